/* Limits, scheduling, prctl, pidfds, usage, names: what a process can ask about itself. */
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/sem.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <sys/times.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"

static void in_child(void (*fn)(void))
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		check_failures = 0;
		fn();
		_exit(check_status());
	}
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	CHECK_EQ(status, 0);
}

static void limits(void)
{
	struct rlimit r, old;

	CHECK(getrlimit(RLIMIT_NOFILE, &r) == 0);
	CHECK_ERR(getrlimit(77, &r), EINVAL);
	r = (struct rlimit){20, 10};
	CHECK_ERR(setrlimit(RLIMIT_CPU, &r), EINVAL);
	r = (struct rlimit){10, 20};
	CHECK(setrlimit(RLIMIT_NOFILE, &r) == 0);
	CHECK(prlimit(getpid(), RLIMIT_NOFILE, NULL, &old) == 0);
	CHECK(old.rlim_cur == 10 && old.rlim_max == 20);
	while (dup(0) >= 0)
		;
	CHECK_EQ(errno, EMFILE);
	CHECK_ERR(dup2(0, 10), EBADF);
	if (getuid() == 0) {
		r = (struct rlimit){10, 100};
		CHECK(setrlimit(RLIMIT_NOFILE, &r) == 0 || errno == EPERM); /* CAP_SYS_RESOURCE */
		CHECK(syscall(SYS_setresuid, 1000, 1000, 1000) == 0);
	}
	r = (struct rlimit){10, 10000};
	CHECK_ERR(setrlimit(RLIMIT_NOFILE, &r), EPERM);
	CHECK_ERR(prlimit(0x7ffffff, RLIMIT_NOFILE, NULL, &old), ESRCH);
}

static volatile sig_atomic_t xcpu;
static void on_xcpu(int sig)
{
	xcpu++;
}

/* A signal each second of CPU time from the soft limit on, death at the hard one. */
static void cpu_limit(void)
{
	struct rlimit r = {1, 2};
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		signal(SIGXCPU, on_xcpu);
		setrlimit(RLIMIT_CPU, &r);
		while (!xcpu)
			;
		CHECK(getrlimit(RLIMIT_CPU, &r) == 0);
		CHECK_EQ(r.rlim_cur, 2);
		if (check_failures)
			_exit(1);
		for (;;)
			;
	}
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	CHECK_EQ(status, SIGKILL);
}

static void nproc(void)
{
	struct rlimit r = {1, 1};

	if (getuid() != 0)
		return;
	CHECK(setrlimit(RLIMIT_NPROC, &r) == 0);
	CHECK(syscall(SYS_setresuid, 54321, 54321, 54321) == 0);
	CHECK_ERR(fork(), EAGAIN);
}

static void scheduling(void)
{
	struct sched_param p = {0};
	cpu_set_t set, one;
	int n = 0;

	CHECK_EQ(sched_getscheduler(0), SCHED_OTHER);
	CHECK_EQ(sched_get_priority_max(SCHED_FIFO), 99);
	CHECK_EQ(sched_get_priority_min(SCHED_RR), 1);
	CHECK_EQ(sched_get_priority_max(SCHED_OTHER), 0);
	CHECK_ERR(sched_get_priority_max(99), EINVAL);
	p.sched_priority = 5;
	CHECK_ERR(sched_setscheduler(0, SCHED_OTHER, &p), EINVAL);
	p.sched_priority = 100;
	CHECK_ERR(sched_setscheduler(0, SCHED_FIFO, &p), EINVAL);
	p.sched_priority = 0;
	CHECK(sched_setscheduler(0, SCHED_BATCH, &p) == 0);
	CHECK_EQ(sched_getscheduler(0), SCHED_BATCH);
	CHECK_ERR(sched_setscheduler(0x7ffffff, SCHED_OTHER, &p), ESRCH);
	CHECK_ERR(sched_getparam(0x7ffffff, &p), ESRCH);
	CHECK(sched_yield() == 0);
	CHECK(sched_getaffinity(0, sizeof(set), &set) == 0);
	n = CPU_COUNT(&set);
	CHECK(n >= 1);
	for (int i = 0; i < CPU_SETSIZE; i++)
		if (CPU_ISSET(i, &set)) {
			unsigned cpu = 999;

			CPU_ZERO(&one);
			CPU_SET(i, &one);
			CHECK(sched_setaffinity(0, sizeof(one), &one) == 0);
			CHECK(sched_getaffinity(0, sizeof(one), &one) == 0);
			CHECK_EQ(CPU_COUNT(&one), 1);
			CHECK(syscall(SYS_getcpu, &cpu, NULL, NULL) == 0);
			CHECK_EQ(cpu, i);
		}
	CPU_ZERO(&one);
	CHECK_ERR(sched_setaffinity(0, sizeof(one), &one), EINVAL);
	CHECK_ERR(syscall(SYS_sched_getaffinity, 0, 1, &one), EINVAL);
	CHECK(sched_setaffinity(0, sizeof(set), &set) == 0);
	errno = 0;
	if (getpriority(PRIO_PROCESS, 0) <= 5) {
		CHECK(setpriority(PRIO_PROCESS, 0, 5) == 0);
		CHECK_EQ(getpriority(PRIO_PROCESS, 0), 5);
	}
	CHECK(setpriority(PRIO_PROCESS, 0, 100) == 0);
	CHECK_EQ(getpriority(PRIO_PROCESS, 0), 19);
	CHECK_ERR(setpriority(9, 0, 0), EINVAL);
	CHECK_ERR(setpriority(PRIO_PROCESS, 0x7ffffff, 0), ESRCH);
	if (getuid() == 0)
		CHECK(syscall(SYS_setresuid, 1000, 1000, 1000) == 0);
	CHECK_ERR(setpriority(PRIO_PROCESS, 0, 0), EACCES);
}

static void names(void)
{
	struct utsname u;
	char name[17] = {0};

	CHECK(uname(&u) == 0);
	CHECK(strcmp(u.sysname, "Linux") == 0);
	CHECK(strcmp(u.machine, "x86_64") == 0);
	CHECK(u.release[0] >= '4' && u.release[0] <= '9');
	CHECK(prctl(PR_SET_NAME, "a name that is far too long") == 0);
	CHECK(prctl(PR_GET_NAME, name) == 0);
	CHECK(strcmp(name, "a name that is ") == 0);
	CHECK_ERR(prctl(PR_SET_NAME, 8), EFAULT);
	if (getuid() != 0)
		CHECK_ERR(sethostname("x", 1), EPERM);
	CHECK_ERR(prctl(PR_SET_PDEATHSIG, 65), EINVAL);
	CHECK_ERR(prctl(PR_SET_DUMPABLE, 3), EINVAL);
	CHECK_ERR(prctl(PR_SET_NO_NEW_PRIVS, 2, 0, 0, 0), EINVAL);
	CHECK_ERR(prctl(12345), EINVAL);
	CHECK(prctl(PR_SET_TIMERSLACK, 1000) == 0);
	CHECK_EQ(prctl(PR_GET_TIMERSLACK), 1000);
	CHECK_EQ(personality(0xffffffff), 0);
	CHECK_EQ(personality(ADDR_NO_RANDOMIZE), 0);
	CHECK_EQ(personality(0), ADDR_NO_RANDOMIZE);
}

static void usage(void)
{
	struct rusage ru;
	struct sysinfo si;
	struct tms tms;
	unsigned char buf[300] = {0};
	static char touched[4 << 20];
	int nonzero = 0;

	memset(touched, 1, sizeof(touched)); /* the host counts resident pages in batches */
	CHECK(getrusage(RUSAGE_SELF, &ru) == 0);
	CHECK(ru.ru_maxrss > 0);
	CHECK(getrusage(RUSAGE_THREAD, &ru) == 0);
	CHECK_ERR(getrusage(99, &ru), EINVAL);
	CHECK(times(&tms) != (clock_t)-1);
	CHECK(sysinfo(&si) == 0);
	CHECK(si.totalram > 0 && si.procs > 0 && si.mem_unit > 0);
	CHECK_EQ(getrandom(buf, sizeof(buf), 0), (long)sizeof(buf));
	for (size_t i = 0; i < sizeof(buf); i++)
		nonzero += buf[i] != 0;
	CHECK(nonzero > 200);
	CHECK_ERR(getrandom(buf, 10, 0x100), EINVAL);
	CHECK_ERR(syscall(SYS_getrandom, 8, 10, 0), EFAULT);
}

/* ---- pidfds --------------------------------------------------------------------------------- */

static void pidfds(void)
{
	int fds[2], fd, got, got2, status;
	char path[40];
	struct pollfd p;
	siginfo_t si;
	pid_t pid;
	char c;

	REQUIRE(pipe(fds) == 0);
	pid = fork();
	if (pid == 0) {
		for (;;)
			pause();
	}
	fd = (int)syscall(SYS_pidfd_open, pid, 0);
	CHECK(fd >= 0);
	CHECK_EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
	p = (struct pollfd){.fd = fd, .events = POLLIN};
	CHECK_EQ(poll(&p, 1, 0), 0);
	CHECK(syscall(SYS_pidfd_send_signal, fd, 0, NULL, 0) == 0);
	CHECK_ERR(syscall(SYS_pidfd_send_signal, fd, 0, NULL, 64), EINVAL);
	CHECK_ERR(syscall(SYS_pidfd_send_signal, 0, 0, NULL, 0), EBADF);
	got = (int)syscall(SYS_pidfd_getfd, fd, fds[0], 0);
	CHECK(got >= 0);
	CHECK(write(fds[1], "z", 1) == 1);
	CHECK(read(got, &c, 1) == 1 && c == 'z');
	CHECK_ERR(syscall(SYS_pidfd_getfd, fd, 999, 0), EBADF);
	CHECK_ERR(syscall(SYS_pidfd_open, 0, 0), EINVAL);
	CHECK_ERR(syscall(SYS_pidfd_open, pid, 1), EINVAL);
	CHECK_ERR(syscall(SYS_pidfd_open, 0x7ffffff, 0), ESRCH);
	snprintf(path, sizeof(path), "/proc/%d", pid);
	got2 = open(path, O_RDONLY | O_DIRECTORY);
	CHECK(got2 >= 0);
	CHECK(syscall(SYS_pidfd_send_signal, got2, 0, NULL, 0) == 0);
	CHECK(syscall(SYS_pidfd_send_signal, fd, SIGTERM, NULL, 0) == 0);
	CHECK_EQ(poll(&p, 1, 5000), 1);
	CHECK(p.revents & POLLIN);
	CHECK_EQ(waitid(P_PIDFD, (id_t)fd, &si, WEXITED | WNOWAIT), 0);
	CHECK_EQ(si.si_pid, pid);
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	CHECK_EQ(status, SIGTERM);
	CHECK_ERR(syscall(SYS_pidfd_send_signal, fd, 0, NULL, 0), ESRCH);
	CHECK_ERR(waitid(P_PIDFD, (id_t)fd, &si, WEXITED), ECHILD);
	close(fd);
	CHECK_ERR(syscall(SYS_pidfd_send_signal, got2, 0, NULL, 0), ESRCH);
	close(got);
	close(got2);
	close(fds[0]);
	close(fds[1]);
}

static void membarriers(void)
{
	long q = syscall(SYS_membarrier, 0, 0, 0);

	CHECK(q >= 0);
	if (q & 8) {
		CHECK_ERR(syscall(SYS_membarrier, 8, 0, 0), EPERM);
		CHECK(syscall(SYS_membarrier, 16, 0, 0) == 0);
		CHECK(syscall(SYS_membarrier, 8, 0, 0) == 0);
	}
	CHECK_ERR(syscall(SYS_membarrier, 1 << 20, 0, 0), EINVAL);
	CHECK_ERR(syscall(SYS_membarrier, 0, 5, 0), EINVAL);
}

/* Those who have no SEM_UNDO records are equal, whoever they are. */
static void kcmp_undos(pid_t me)
{
	int id = semget(IPC_PRIVATE, 1, 0600), status;
	struct sembuf up = {0, 1, SEM_UNDO};
	pid_t child = fork();

	if (child == 0) {
		pause();
		_exit(0);
	}
	CHECK_EQ(syscall(SYS_kcmp, me, child, 6, 0, 0), 0);
	if (id >= 0 && semop(id, &up, 1) == 0) {
		CHECK(syscall(SYS_kcmp, me, child, 6, 0, 0) > 0);
		CHECK_EQ(syscall(SYS_kcmp, me, me, 6, 0, 0), 0);
	}
	semctl(id, 0, IPC_RMID);
	kill(child, SIGKILL);
	waitpid(child, &status, 0);
}

static void kcmps(void)
{
	int a = dup(0), b = open("/dev/null", O_RDONLY);
	pid_t me = getpid();

	if (syscall(SYS_kcmp, me, me, 1, 0, 0) < 0 && errno == ENOSYS)
		return;
	CHECK_EQ(syscall(SYS_kcmp, me, me, 0, 0, a), 0);
	CHECK(syscall(SYS_kcmp, me, me, 0, 0, b) > 0);
	CHECK_EQ(syscall(SYS_kcmp, me, me, 1, 0, 0), 0);
	CHECK_ERR(syscall(SYS_kcmp, me, me, 0, 0, 999), EBADF);
	CHECK_ERR(syscall(SYS_kcmp, me, me, 99, 0, 0), EINVAL);
	CHECK_ERR(syscall(SYS_kcmp, me, 0x7ffffff, 1, 0, 0), ESRCH);
	kcmp_undos(me);
}

int main(void)
{
	in_child(limits);
	in_child(nproc);
	in_child(cpu_limit);
	in_child(scheduling);
	in_child(names);
	in_child(usage);
	in_child(pidfds);
	in_child(membarriers);
	in_child(kcmps);
	return check_status();
}
