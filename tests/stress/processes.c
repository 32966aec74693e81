/* Processes and threads that make, trace, stop, wait for, signal, look at and end each other. */
#include <linux/futex.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>

#include "stress.h"

#define PIDS 64
#define ALIVE_MAX 40

/* Shared by all. */
static struct {
	_Atomic int pid[PIDS];
	_Atomic int alive;
	_Atomic unsigned word[4];
} *all;

static char stack[4][32768] __attribute__((aligned(16)));
static const char *self;

static int somebody(void)
{
	return atomic_load(&all->pid[rnd(PIDS)]);
}

static void look(void)
{
	static const char *const names[] = {"stat",    "status", "maps",   "cmdline", "environ", "fd",	   "task",
					    "wchan",   "limits", "auxv",   "mounts",  "cwd",	 "exe",	   "syscall",
					    "cgroup",  "comm",	 "statm",  "io",      "mem",	 "fdinfo/1", "oom_score_adj"};
	char path[64], text[2000];
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/%s", somebody(), PICK(names));
	if (rnd(4) == 0 && readlink(path, text, sizeof(text)) < 0)
		return;
	fd = open(path, O_RDONLY | O_NONBLOCK);
	if (fd < 0)
		return;
	if (rnd(3))
		read(fd, text, sizeof(text));
	else
		syscall(SYS_getdents64, fd, text, sizeof(text));
	close(fd);
}

static void trace(void)
{
	struct user_regs_struct regs;
	siginfo_t si;
	int pid = somebody();

	switch (rnd(14)) {
	case 0:
		ptrace(PTRACE_SEIZE, pid, 0, rnd(256) | (rnd(4) ? PTRACE_O_EXITKILL : 0));
		break;
	case 1:
		if (rnd(3) == 0)
			ptrace(PTRACE_ATTACH, pid, 0, 0);
		break;
	case 2:
		ptrace(PTRACE_INTERRUPT, pid, 0, 0);
		break;
	case 3:
		ptrace(PTRACE_GETREGS, pid, 0, &regs);
		break;
	case 4:
		ptrace(PTRACE_GETSIGINFO, pid, 0, &si);
		break;
	case 5:
		ptrace(PTRACE_POKEDATA, pid, all, rnd(100));
		break;
	case 6:
		ptrace(PTRACE_POKEDATA, pid, (void *)look, *(long *)(void *)look);
		break;
	case 7:
		ptrace(PTRACE_LISTEN, pid, 0, 0);
		break;
	case 8:
		ptrace(PTRACE_SYSCALL, pid, 0, 0);
		break;
	case 9:
		ptrace(PTRACE_SINGLESTEP, pid, 0, 0);
		break;
	default:
		ptrace(rnd(2) ? PTRACE_CONT : PTRACE_DETACH, pid, 0, 0);
	}
}

static void signal_some(void)
{
	static const int sigs[] = {0, SIGUSR1, SIGUSR2, SIGCONT, SIGSTOP, SIGTSTP, SIGCHLD, SIGALRM, 34, 40, SIGWINCH};
	union sigval v = {.sival_int = 1};
	int pid = somebody(), sig = PICK(sigs);
	sigset_t set;

	switch (rnd(8)) {
	case 0:
		if (rnd(8) == 0 && pid > 1)
			kill(pid, SIGKILL);
		break;
	case 1:
		if (pid > 1)
			sigqueue(pid, sig, v);
		break;
	case 2:
		syscall(SYS_tgkill, pid, pid, sig);
		break;
	case 3:
		kill(0, rnd(2) ? SIGUSR1 : SIGCONT);
		break;
	case 4:
		sigemptyset(&set);
		sigaddset(&set, SIGUSR1);
		sigaddset(&set, 34);
		sigprocmask((int)rnd(3), &set, NULL);
		break;
	case 5: {
		struct timespec ts = {0, 100000};

		sigfillset(&set);
		sigtimedwait(&set, NULL, &ts);
		break;
	}
	case 6: {
		int fd = (int)syscall(SYS_pidfd_open, pid, 0);

		syscall(SYS_pidfd_send_signal, fd, sig, NULL, 0);
		close((int)syscall(SYS_pidfd_getfd, fd, (int)rnd(4), 0));
		close(fd);
		break;
	}
	case 7:
		if (pid > 1)
			kill(pid, SIGCONT);
		break;
	}
}

static void futex_some(void)
{
	_Atomic unsigned *w = &all->word[rnd(4)], *w2 = &all->word[rnd(4)];
	struct timespec ts = {0, rnd(300000)};
	int private = rnd(2) ? FUTEX_PRIVATE_FLAG : 0;
	static struct {
		uint64_t val, addr;
		uint32_t flags, pad;
	} v[3];

	switch (rnd(12)) {
	case 0:
		syscall(SYS_futex, w, FUTEX_WAIT | private, *w, &ts, NULL, 0);
		break;
	case 1:
		syscall(SYS_futex, w, FUTEX_WAKE | private, rnd(3), NULL, NULL, 0);
		break;
	case 2:
		syscall(SYS_futex, w, FUTEX_CMP_REQUEUE | private, 1, (long)rnd(3), w2, *w);
		break;
	case 3:
		syscall(SYS_futex, w, FUTEX_WAKE_OP | private, 1, 1, w2, rnd(~0u));
		break;
	case 4:
		syscall(SYS_futex, w, FUTEX_LOCK_PI2 | private, 0, &ts, NULL, 0);
		break;
	case 5:
		syscall(SYS_futex, w, FUTEX_UNLOCK_PI | private, 0, NULL, NULL, 0);
		break;
	case 6:
		syscall(SYS_futex, w, FUTEX_WAIT_REQUEUE_PI | private, *w, &ts, w2, 0);
		break;
	case 7:
		syscall(SYS_futex, w, FUTEX_CMP_REQUEUE_PI | private, 1, (long)rnd(3), w2, *w);
		break;
	case 8:
		for (int i = 0; i < 3; i++) {
			v[i].addr = (uint64_t)(uintptr_t)&all->word[rnd(4)];
			v[i].val = *(_Atomic unsigned *)(uintptr_t)v[i].addr;
			v[i].flags = 2;
		}
		clock_gettime(CLOCK_MONOTONIC, &ts);
		ts.tv_nsec = (ts.tv_nsec + 200000) % 1000000000;
		syscall(SYS_futex_waitv, v, 3, 0, &ts, CLOCK_MONOTONIC);
		break;
	default:
		*w = rnd(2) ? 0 : rnd(2) ? (unsigned)somebody() | FUTEX_WAITERS : rnd(10);
	}
}

static void memory_some(void)
{
	static char page[8192];
	struct iovec l = {page, rnd(sizeof(page))}, r = {(char *)all - rnd(2) * 4096, rnd(20000)};
	char *m = mmap(NULL, 65536, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	process_vm_readv(somebody(), &l, 1, &r, 1, 0);
	if (m == MAP_FAILED)
		return;
	memset(m, 1, rnd(65536));
	madvise(m + 4096 * rnd(8), 4096 * rnd(8), (int)rnd(26));
	mprotect(m + 4096 * rnd(8), 4096 * rnd(8), (int)rnd(8));
	mremap(m, 65536, 4096 * (1 + rnd(40)), MREMAP_MAYMOVE);
	munmap(m, 65536);
}

static void timers(void)
{
	struct sigevent ev = {.sigev_notify = rnd(2) ? SIGEV_SIGNAL : SIGEV_THREAD_ID, .sigev_signo = SIGUSR1 + (int)rnd(30)};
	struct itimerspec its = {{0, rnd(100000)}, {0, rnd(100000)}};
	struct itimerval it = {{0, rnd(3000)}, {0, rnd(3000)}};
	int id;

	ev._sigev_un._tid = (int)syscall(SYS_gettid);
	if (syscall(SYS_timer_create, rnd(4), &ev, &id) == 0) {
		syscall(SYS_timer_settime, id, 0, &its, NULL);
		if (rnd(3))
			syscall(SYS_timer_delete, id);
	}
	setitimer((int)rnd(3), &it, NULL);
}

static void identity(void)
{
	struct rlimit l = {rnd(100), 100};
	int pid = somebody();

	switch (rnd(9)) {
	case 0:
		setpgid(rnd(2) ? pid : 0, rnd(2) ? somebody() : 0);
		break;
	case 1:
		if (rnd(4) == 0)
			setsid();
		break;
	case 2:
		prctl(PR_SET_CHILD_SUBREAPER, rnd(2));
		break;
	case 3:
		prctl(PR_SET_PDEATHSIG, rnd(3) ? 0 : SIGUSR1);
		break;
	case 4:
		syscall(SYS_prlimit64, pid, RLIMIT_SIGPENDING, rnd(2) ? &l : NULL, &l);
		break;
	case 5:
		syscall(SYS_kcmp, pid, somebody(), rnd(8), rnd(4), rnd(4));
		break;
	case 6:
		getpriority(PRIO_PGRP, 0);
		break;
	case 7:
		syscall(SYS_sched_setaffinity, pid, 8, (uint64_t[]){1 + rnd(3)});
		break;
	case 8:
		syscall(SYS_get_robust_list, pid, (void *[]){0}, (size_t[]){0});
		break;
	}
}

static void steps(unsigned n);

static int cloned(void *arg)
{
	rnd_state ^= (uint64_t)(uintptr_t)arg;
	return (int)rnd(3);
}

static void *thread(void *arg)
{
	rnd_state = (uint64_t)(uintptr_t)arg;
	steps(1 + rnd(60));
	if (rnd(10) == 0)
		execl(self, self, "again", (char *)NULL);
	if (rnd(10) == 0)
		_exit((int)rnd(5));
	return NULL;
}

static void child_life(void)
{
	pthread_t th;

	atomic_store(&all->pid[rnd(PIDS)], getpid());
	if (rnd(6) == 0)
		ptrace(PTRACE_TRACEME, 0, 0, 0);
	for (unsigned i = rnd(4); i; i--)
		if (pthread_create(&th, NULL, thread, (void *)(uintptr_t)(rnd_state + i)) == 0)
			pthread_detach(th);
	steps(1 + rnd(100));
	atomic_fetch_sub(&all->alive, 1);
	switch (rnd(4)) {
	case 0:
		execl(self, self, "again", (char *)NULL);
		break;
	case 1:
		syscall(SYS_exit, 3);
		break;
	case 2:
		raise(SIGKILL);
		break;
	}
	_exit((int)rnd(5));
}

static void make(void)
{
	uint64_t seed = rnd_state ^ ((uint64_t)rnd(1u << 30) << 20);
	int pid;

	if (atomic_fetch_add(&all->alive, 1) >= ALIVE_MAX) {
		atomic_fetch_sub(&all->alive, 1);
		return;
	}
	switch (rnd(8)) {
	case 0:
		pid = vfork();
		if (pid == 0) {
			atomic_fetch_sub(&all->alive, 1);
			if (rnd(2))
				execl(self, self, "again", (char *)NULL);
			_exit(1);
		}
		break;
	case 1:
		pid = clone(cloned, stack[rnd(4)] + 32000, CLONE_VM | (rnd(2) ? CLONE_FILES : 0) | (rnd(2) ? SIGCHLD : 0),
			    (void *)(uintptr_t)rnd(1000));
		atomic_fetch_sub(&all->alive, 1);
		break;
	default:
		pid = fork();
		if (pid == 0) {
			rnd_state = seed;
			child_life();
		}
		if (pid < 0)
			atomic_fetch_sub(&all->alive, 1);
	}
	if (pid > 0)
		atomic_store(&all->pid[rnd(PIDS)], pid);
}

static void reap(void)
{
	static const int options[] = {WNOHANG, WNOHANG | WUNTRACED, WNOHANG | WCONTINUED | WUNTRACED, WNOHANG | __WALL,
				      WNOHANG | __WNOTHREAD};
	siginfo_t si;
	int st, pid;

	if (rnd(3) == 0) {
		waitid((idtype_t)rnd(3), (id_t)somebody(), &si, PICK(options) | WEXITED | (rnd(4) ? 0 : WNOWAIT));
		return;
	}
	pid = waitpid(rnd(2) ? -1 : somebody(), &st, PICK(options));
	if (pid > 0 && WIFSTOPPED(st) && rnd(4))
		ptrace(rnd(2) ? PTRACE_CONT : PTRACE_DETACH, pid, 0, WSTOPSIG(st) == SIGTRAP ? 0 : WSTOPSIG(st));
}

static void steps(unsigned n)
{
	while (n-- && !stress_over()) {
		switch (rnd(12)) {
		case 0:
			make();
			break;
		case 1:
		case 2:
			reap();
			break;
		case 3:
			trace();
			break;
		case 4:
		case 5:
			signal_some();
			break;
		case 6:
		case 7:
			futex_some();
			break;
		case 8:
			look();
			break;
		case 9:
			memory_some();
			break;
		case 10:
			timers();
			break;
		case 11:
			identity();
			break;
		}
	}
}

static void handlers(void)
{
	struct sigaction sa = {.sa_handler = nothing};

	for (int s = 1; s < 65; s++)
		if (s != SIGKILL && s != SIGSTOP && s != SIGSEGV && s != SIGBUS && s != SIGTRAP && s != SIGTSTP)
			sigaction(s, &sa, NULL);
}

/* Whatever signals come. */
static void sleep_ms(unsigned ms)
{
	struct timespec until;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_nsec += ms * 1000000L;
	until.tv_sec += until.tv_nsec / 1000000000;
	until.tv_nsec %= 1000000000;
	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL) == EINTR)
		;
}

/* The first process only waits and starts; what hangs, it ends. */
int main(int argc, char **argv)
{
	unsigned rounds = 0;
	int status;

	if (argc > 1 && !strcmp(argv[1], "again"))
		return 0;
	self = "/proc/self/exe";
	stress_begin(argc, argv);
	all = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	handlers();
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	while (!stress_over()) {
		memset(all, 0, sizeof(*all));
		for (int i = 0; i < 3; i++) {
			uint64_t seed = rnd_state * 31 + (uint64_t)i;
			pid_t pid = fork();

			if (pid == 0) {
				rnd_state = seed;
				if (rnd(2))
					setpgid(0, 0);
				for (int k = 0; k < 20; k++)
					steps(100);
				child_life();
			}
			atomic_store(&all->pid[i], pid);
			rnd(2);
		}
		sleep_ms(200 + rnd(500));
		/* More may be born while these die. */
		do {
			kill(-1, SIGCONT);
			kill(-1, SIGKILL);
		} while (waitpid(-1, &status, 0) > 0);
		rounds++;
	}
	printf("%u rounds\n", rounds);
	return 0;
}
