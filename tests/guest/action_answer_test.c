/* rt_sigaction(2) called again and again, which the sandbox answers in part without asking: results and
 * effects are those of the calls made one by one. */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "platform/stub/known.h"
#include "platform/stub/layout.h"
#include "tests/guest/check.h"

struct action {
	uint64_t handler, flags, restorer, mask;
};
#define RESTORER 0x04000000UL
#define KNOWN_FLAGS 0xdc000807UL

static int act(int signo, const struct action *new, struct action *old)
{
	return syscall(SYS_rt_sigaction, signo, new, old, 8) ? -errno : 0;
}

static struct action get(int signo)
{
	struct action a;

	memset(&a, 0xee, sizeof(a));
	CHECK(act(signo, NULL, &a) == 0);
	return a;
}

/* So that it is answered from here on, if ever. */
static void warm(void)
{
	for (int i = 0; i < 100; i++)
		get(SIGUSR1);
}

static int same(const struct action *a, const struct action *b)
{
	return !memcmp(a, b, sizeof(*a));
}

static void what_is_set_is_what_is_asked_for(void)
{
	struct action none = {0};

	for (int signo = 1; signo <= 64; signo++) {
		struct action a = {0, RESTORER | SA_RESTART, 0x1234560000UL + signo, 0xff00ff00ff00ffUL},
			      old, want;

		if (signo == SIGKILL || signo == SIGSTOP) {
			CHECK(act(signo, &a, NULL) == -EINVAL);
			continue;
		}
		CHECK(act(signo, &none, NULL) == 0);
		CHECK(act(signo, &a, &old) == 0);
		CHECK(same(&old, &none));
		want = a;
		want.mask &= ~(1UL << (SIGKILL - 1) | 1UL << (SIGSTOP - 1));
		old = get(signo);
		CHECK(same(&old, &want));
		/* Flags that nobody knows are cleared. */
		a.flags = ~0UL;
		CHECK(act(signo, &a, NULL) == 0);
		old = get(signo);
		CHECK(old.flags == KNOWN_FLAGS || old.flags == (KNOWN_FLAGS | 0x400));
		/* Old and new in one place. */
		old = none;
		CHECK(act(signo, &old, &old) == 0);
		CHECK(old.restorer == a.restorer);
		old = get(signo);
		CHECK(same(&old, &none));
	}
}

static void bad_arguments(void)
{
	struct action a = {0}, old = {.mask = 5};
	char *page = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	CHECK(page != MAP_FAILED && munmap(page + 4096, 4096) == 0);
	CHECK(act(0, NULL, &old) == -EINVAL);
	CHECK(act(65, NULL, &old) == -EINVAL);
	CHECK(act(-1, &a, &old) == -EINVAL);
	CHECK(syscall(SYS_rt_sigaction, SIGUSR1, &a, &old, 4) == -1 && errno == EINVAL);
	CHECK(old.mask == 5);
	CHECK(act(SIGUSR1, (void *)1, NULL) == -EFAULT);
	CHECK(act(SIGUSR1, NULL, (void *)1) == -EFAULT);
	CHECK(act(SIGUSR1, (void *)(page + 4096 - 16), NULL) == -EFAULT);
	CHECK(act(SIGUSR1, NULL, (void *)(page + 4096 - 16)) == -EFAULT);
	CHECK(act(SIGUSR1, (void *)0xffffffff80000000UL, NULL) == -EFAULT);
	CHECK(act(SIGUSR1, NULL, (void *)0xffffffff80000000UL) == -EFAULT);
	/* It has been set all the same. */
	a.restorer = 77;
	CHECK(act(SIGUSR1, &a, (void *)1) == -EFAULT);
	CHECK(get(SIGUSR1).restorer == 77);
	a.restorer = 0;
	CHECK(act(SIGUSR1, &a, NULL) == 0);
	munmap(page, 4096);
}

static volatile int caught;

static void catch(int signo)
{
	caught = signo;
}

static void handlers_are_called_and_resets_seen(void)
{
	struct sigaction sa = {.sa_handler = catch, .sa_flags = SA_RESETHAND};
	struct action none = {0}, a;

	for (int i = 0; i < 20; i++) {
		CHECK(sigaction(SIGUSR1, &sa, NULL) == 0);
		CHECK(get(SIGUSR1).handler == (uint64_t)catch);
		caught = 0;
		raise(SIGUSR1);
		CHECK(caught == SIGUSR1);
		a = get(SIGUSR1);
		CHECK(a.handler == 0 && a.flags == (RESTORER | SA_RESETHAND));
		CHECK(act(SIGUSR1, &none, NULL) == 0);
		CHECK(get(SIGUSR1).flags == 0);
	}
}

static void what_was_pending_and_is_ignored_is_dropped(void)
{
	static const int signals[] = {SIGCHLD, SIGCONT, SIGURG, SIGWINCH, SIGUSR1};
	sigset_t all, old, pending;

	sigfillset(&all);
	CHECK(sigprocmask(SIG_SETMASK, &all, &old) == 0);
	for (unsigned i = 0; i < 5; i++) {
		struct action dfl = {0}, ign = {.handler = 1};
		int s = signals[i];

		for (int k = 0; k < 5; k++) {
			CHECK(act(s, &dfl, NULL) == 0);
			kill(getpid(), s);
			CHECK(act(s, &dfl, NULL) == 0);
			CHECK(sigpending(&pending) == 0);
			CHECK(sigismember(&pending, s) == (s == SIGUSR1));
			CHECK(act(s, &ign, NULL) == 0);
			CHECK(sigpending(&pending) == 0 && !sigismember(&pending, s));
			kill(getpid(), s);
			CHECK(act(s, &ign, NULL) == 0);
			CHECK(sigpending(&pending) == 0 && !sigismember(&pending, s));
			CHECK(act(s, &dfl, NULL) == 0);
		}
	}
	CHECK(sigprocmask(SIG_SETMASK, &old, NULL) == 0);
}

/* What has been set lately is in a child, and what a child sets is its own. */
static void children(void)
{
	for (int i = 0; i < 10; i++) {
		struct action a = {0, RESTORER, 1000 + i, 3}, b;
		int status;
		pid_t pid;

		CHECK(act(SIGUSR2, &a, NULL) == 0);
		pid = i % 2 ? fork() : (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
		if (pid == 0) {
			b = get(SIGUSR2);
			if (!same(&a, &b))
				_exit(1);
			warm();
			b.restorer++;
			act(SIGUSR2, &b, NULL);
			_exit(get(SIGUSR2).restorer == 1001U + i ? 0 : 2);
		}
		CHECK(waitpid(pid, &status, 0) == pid && status == 0);
		b = get(SIGUSR2);
		CHECK(same(&a, &b));
	}
}

/* Threads share the actions, also with one who had been answered before there were others. */
static pthread_barrier_t barrier;

static void *setter(void *arg)
{
	for (int i = 0; i < 200; i++) {
		struct action a = {0, RESTORER, 5000 + i, 0};

		pthread_barrier_wait(&barrier);
		act(SIGUSR2, &a, NULL);
		pthread_barrier_wait(&barrier);
		pthread_barrier_wait(&barrier);
		CHECK(get(SIGUSR2).restorer == 6000U + i);
	}
	return arg;
}

static void threads(void)
{
	pthread_t t;

	warm();
	pthread_barrier_init(&barrier, NULL, 2);
	CHECK(pthread_create(&t, NULL, setter, NULL) == 0);
	for (int i = 0; i < 200; i++) {
		struct action a = {0, RESTORER, 6000 + i, 0};

		pthread_barrier_wait(&barrier);
		pthread_barrier_wait(&barrier);
		CHECK(get(SIGUSR2).restorer == 5000U + i);
		act(SIGUSR2, &a, NULL);
		pthread_barrier_wait(&barrier);
	}
	pthread_join(t, NULL);
	warm();
	for (int i = 0; i < 20; i++) {
		struct action a = {0, RESTORER, 7000 + i, 0};

		act(SIGUSR2, &a, NULL);
		CHECK(get(SIGUSR2).restorer == 7000U + i);
	}
}

/* Another process that shares them: CLONE_SIGHAND with CLONE_VM, without CLONE_THREAD. */
static char stack[65536];

static int sharer(void *arg)
{
	struct action a = {0, RESTORER, 9999, 0};

	return get(SIGUSR2).restorer != (uint64_t)arg || act(SIGUSR2, &a, NULL);
}

static void a_process_that_shares_them(void)
{
	for (int i = 0; i < 10; i++) {
		struct action a = {0, RESTORER, 8000 + i, 0};
		int status;
		pid_t pid;

		warm();
		CHECK(act(SIGUSR2, &a, NULL) == 0);
		pid = clone(sharer, stack + sizeof(stack), CLONE_VM | CLONE_SIGHAND | SIGCHLD,
			    (void *)(8000UL + i));
		CHECK(pid > 0 && waitpid(pid, &status, 0) == pid && status == 0);
		CHECK(get(SIGUSR2).restorer == 9999);
	}
}

/* posix_spawn sets every signal of the child; the parent keeps its own. */
static void spawning(void)
{
	struct sigaction sa = {.sa_handler = catch};
	char *argv[] = {"/proc/self/exe", "child", NULL}, *envp[] = {NULL};

	CHECK(sigaction(SIGTERM, &sa, NULL) == 0);
	CHECK(signal(SIGHUP, SIG_IGN) != SIG_ERR);
	for (int i = 0; i < 5; i++) {
		posix_spawnattr_t attr;
		sigset_t set;
		pid_t pid;
		int status;

		sigfillset(&set);
		posix_spawnattr_init(&attr);
		posix_spawnattr_setsigdefault(&attr, &set);
		posix_spawnattr_setflags(&attr, i == 4 ? POSIX_SPAWN_SETSIGDEF : 0);
		argv[1] = i == 4 ? "child-all" : "child";
		CHECK(posix_spawn(&pid, argv[0], NULL, &attr, argv, envp) == 0);
		CHECK(waitpid(pid, &status, 0) == pid && status == 0);
		CHECK(get(SIGTERM).handler == (uint64_t)catch && get(SIGHUP).handler == 1);
	}
	signal(SIGTERM, SIG_DFL);
	signal(SIGHUP, SIG_DFL);
}

static int spawned(int all)
{
	for (int signo = 1; signo <= 64; signo++) {
		struct action a = get(signo);

		if (signo == 32 || signo == 33) /* the C library's */
			continue;
		if (a.handler != (signo == SIGHUP && !all) || a.flags || a.mask || a.restorer)
			return 1;
	}
	return 0;
}

/* Inside, a program can write to what its stub knows: that changes nothing but what it is told itself. */
static void liar(void)
{
	struct known *k = (struct known *)(STUB_ARENA + SLOT_KNOWN);
	struct sigaction sa = {.sa_handler = catch};
	struct action none = {0};
	int p[2], status, there;
	pid_t pid;

	CHECK(pipe(p) == 0);
	there = write(p[1], k, 1) == 1;
	close(p[0]);
	close(p[1]);
	if (!there)
		return;
	CHECK(sigaction(SIGUSR1, &sa, NULL) == 0 && act(SIGCHLD, &none, NULL) == 0 &&
	      act(SIGUSR2, &none, NULL) == 0);
	warm();
	for (int i = 0; i < KNOWN_SIGNALS; i++)
		k->action[i] = (struct known_action){1, ~0UL, 0x4444, ~0UL};
	k->replaced = ~0UL;
	pid = fork();
	if (pid == 0) {
		struct action usr1 = get(SIGUSR1), chld = get(SIGCHLD), usr2 = get(SIGUSR2);

		/* Handlers and what others see of SIGCHLD are what they were. */
		_exit(usr1.handler != (uint64_t)catch || usr1.mask || chld.handler || chld.flags ||
		      get(SIGKILL).flags || get(SIGSTOP).mask || usr2.handler ||
		      usr2.mask & KNOWN_UNBLOCKABLE);
	}
	CHECK(waitpid(pid, &status, 0) == pid && status == 0);
	caught = 0;
	raise(SIGUSR1);
	CHECK(caught == SIGUSR1);
	memset(k, 0xff, sizeof(*k));
	warm();
	memset(k, 0, sizeof(*k));
	warm();
	CHECK(sigaction(SIGUSR1, &sa, NULL) == 0);
	caught = 0;
	raise(SIGUSR1);
	CHECK(caught == SIGUSR1);
}

/* Who traces sees every call. */
static void traced(void)
{
	int status, calls = 0;
	pid_t pid = fork();

	if (pid == 0) {
		warm();
		ptrace(PTRACE_TRACEME, 0, 0, 0);
		raise(SIGSTOP);
		for (int i = 0; i < 10; i++)
			get(SIGUSR1);
		_exit(0);
	}
	CHECK(waitpid(pid, &status, 0) == pid && WIFSTOPPED(status));
	CHECK(ptrace(PTRACE_SETOPTIONS, pid, 0, PTRACE_O_TRACESYSGOOD) == 0);
	for (;;) {
		CHECK(ptrace(PTRACE_SYSCALL, pid, 0, 0) == 0);
		CHECK(waitpid(pid, &status, 0) == pid);
		if (!WIFSTOPPED(status))
			break;
		if (WSTOPSIG(status) == (SIGTRAP | 0x80) &&
		    ptrace(PTRACE_PEEKUSER, pid, 15 * 8, 0) == SYS_rt_sigaction)
			calls++;
	}
	CHECK(calls == 20);
}

int main(int argc, char **argv)
{
	if (argc > 1)
		return spawned(!strcmp(argv[1], "child-all"));
	for (int signo = 1; signo <= 64; signo++) /* some may have been inherited */
		signal(signo, SIG_DFL);
	warm();
	what_is_set_is_what_is_asked_for();
	bad_arguments();
	handlers_are_called_and_resets_seen();
	what_was_pending_and_is_ignored_is_dropped();
	children();
	threads();
	a_process_that_shares_them();
	spawning();
	traced();
	check_in_child(liar);
	return check_status();
}
