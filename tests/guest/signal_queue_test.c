/* Pending signals: queues, sigtimedwait, limits, default actions, threads, permissions. */
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "check.h"

static volatile sig_atomic_t count;
static void on_signal(int sig)
{
	count++;
}

static void test_timedwait(void)
{
	struct timespec zero = {0, 0}, short_time = {0, 50000000}, bad = {0, 2000000000};
	sigset_t set;
	siginfo_t si;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigaddset(&set, SIGRTMIN + 3);
	sigprocmask(SIG_BLOCK, &set, NULL);
	CHECK_ERR(sigtimedwait(&set, &si, &zero), EAGAIN);
	CHECK_ERR(sigtimedwait(&set, &si, &short_time), EAGAIN);
	CHECK_ERR(sigtimedwait(&set, &si, &bad), EINVAL);
	sigqueue(getpid(), SIGRTMIN + 3, (union sigval){.sival_int = 5});
	sigqueue(getpid(), SIGRTMIN + 3, (union sigval){.sival_int = 6});
	raise(SIGUSR1);
	CHECK_EQ(sigtimedwait(&set, &si, &zero), SIGUSR1);
	CHECK_EQ(sigwaitinfo(&set, &si), SIGRTMIN + 3);
	CHECK_EQ(si.si_code, SI_QUEUE);
	CHECK_EQ(si.si_value.sival_int, 5);
	CHECK_EQ(si.si_pid, getpid());
	CHECK_EQ(sigwaitinfo(&set, &si), SIGRTMIN + 3);
	CHECK_EQ(si.si_value.sival_int, 6);
	CHECK_ERR(sigtimedwait(&set, &si, &zero), EAGAIN);
	/* A waiting task is woken; a default action does not end the process meanwhile. */
	pid_t me = getpid(), pid = fork();

	if (pid == 0) {
		usleep(50000);
		kill(me, SIGUSR1);
		_exit(0);
	}
	CHECK_EQ(sigwaitinfo(&set, &si), SIGUSR1);
	CHECK_EQ(si.si_pid, pid);
	CHECK(waitpid(pid, NULL, 0) == pid);
	/* SIGCHLD, ignored by default, is queued for who blocks it. */
	sigset_t chld;

	sigemptyset(&chld);
	sigaddset(&chld, SIGCHLD);
	sigprocmask(SIG_BLOCK, &chld, NULL);
	sigtimedwait(&chld, &si, &zero);
	pid = fork();
	if (pid == 0)
		_exit(9);
	CHECK_EQ(sigwaitinfo(&chld, &si), SIGCHLD);
	CHECK_EQ(si.si_code, CLD_EXITED);
	CHECK_EQ(si.si_status, 9);
	CHECK_EQ(si.si_pid, pid);
	CHECK(waitpid(pid, NULL, 0) == pid);
	sigprocmask(SIG_UNBLOCK, &chld, NULL);
	sigprocmask(SIG_UNBLOCK, &set, NULL);
}

static void test_interrupted_wait(void)
{
	struct timespec t = {5, 0};
	struct sigaction sa = {.sa_handler = on_signal};
	sigset_t set;
	pid_t me = getpid(), pid;

	sigaction(SIGUSR2, &sa, NULL);
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigprocmask(SIG_BLOCK, &set, NULL);
	pid = fork();
	if (pid == 0) {
		usleep(50000);
		kill(me, SIGUSR2);
		_exit(0);
	}
	CHECK_ERR(sigtimedwait(&set, NULL, &t), EINTR);
	CHECK(waitpid(pid, NULL, 0) == pid);
	sigprocmask(SIG_UNBLOCK, &set, NULL);
}

static int died_of(int sig)
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		struct rlimit none = {0, 0};

		setrlimit(RLIMIT_CORE, &none);
		raise(sig);
		_exit(50);
	}
	CHECK(waitpid(pid, &status, 0) == pid);
	return WIFSIGNALED(status) ? WTERMSIG(status) : -WEXITSTATUS(status);
}

static void test_defaults(void)
{
	static const int deadly[] = {SIGHUP, SIGINT, SIGQUIT, SIGILL, SIGTRAP, SIGABRT, SIGBUS,
				     SIGFPE, SIGKILL, SIGUSR1, SIGSEGV, SIGUSR2, SIGPIPE, SIGALRM,
				     SIGTERM, SIGXCPU, SIGXFSZ, SIGVTALRM, SIGPROF, SIGIO, SIGSYS,
				     SIGPWR, SIGSTKFLT};

	signal(SIGUSR2, SIG_DFL);
	for (size_t i = 0; i < sizeof(deadly) / sizeof(deadly[0]); i++)
		CHECK_EQ(died_of(deadly[i]), deadly[i]);
	CHECK_EQ(died_of(SIGRTMIN), SIGRTMIN);
	CHECK_EQ(died_of(SIGCHLD), -50);
	CHECK_EQ(died_of(SIGCONT), -50);
	CHECK_EQ(died_of(SIGURG), -50);
	CHECK_EQ(died_of(SIGWINCH), -50);
}

static void test_limit(void)
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		struct rlimit few = {3, 3};
		sigset_t set;
		int i;

		sigfillset(&set);
		sigprocmask(SIG_BLOCK, &set, NULL);
		setrlimit(RLIMIT_SIGPENDING, &few);
		for (i = 0; i < 100; i++)
			if (sigqueue(getpid(), SIGRTMIN, (union sigval){.sival_int = i}) < 0)
				break;
		if (errno != EAGAIN || i > 3)
			_exit(1);
		/* Standard signals get through. */
		_exit(kill(getpid(), SIGUSR1) == 0 ? 0 : 2);
	}
	CHECK(waitpid(pid, &status, 0) == pid);
	CHECK_EQ(status, 0);
}

/* ---- threads -------------------------------------------------------------------------------- */

static volatile pid_t handled_by;
static volatile int stop;
static void on_who(int sig)
{
	handled_by = (pid_t)syscall(SYS_gettid);
}

static void *idle(void *arg)
{
	*(volatile pid_t *)arg = (pid_t)syscall(SYS_gettid);
	while (!stop)
		usleep(1000);
	return NULL;
}

static void test_threads(void)
{
	struct sigaction sa = {.sa_handler = on_who};
	volatile pid_t tid = 0;
	sigset_t set;
	pthread_t th;

	sigaction(SIGUSR1, &sa, NULL);
	REQUIRE(pthread_create(&th, NULL, idle, (void *)&tid) == 0);
	while (!tid)
		usleep(1000);
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	handled_by = 0;
	kill(getpid(), SIGUSR1); /* blocked here: the other one takes it */
	for (int i = 0; i < 20000 && !handled_by; i++)
		usleep(1000);
	CHECK_EQ(handled_by, tid);
	handled_by = 0;
	CHECK(syscall(SYS_tgkill, getpid(), getpid(), SIGUSR1) == 0);
	usleep(20000);
	CHECK_EQ(handled_by, 0); /* private and blocked: stays */
	pthread_sigmask(SIG_UNBLOCK, &set, NULL);
	CHECK_EQ(handled_by, getpid());
	CHECK_ERR(syscall(SYS_tgkill, getpid() + 1, tid, 0), ESRCH);
	CHECK_ERR(syscall(SYS_tgkill, 0, tid, 0), EINVAL);
	stop = 1;
	pthread_join(th, NULL);
}

static void test_forged(void)
{
	siginfo_t si = {.si_code = SI_USER};
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		si.si_code = 0;
		if (syscall(SYS_rt_sigqueueinfo, getppid(), SIGUSR1, &si) == 0 || errno != EPERM)
			_exit(1);
		si.si_code = SI_TKILL;
		if (syscall(SYS_rt_sigqueueinfo, getppid(), SIGUSR1, &si) == 0 || errno != EPERM)
			_exit(2);
		_exit(0);
	}
	CHECK(waitpid(pid, &status, 0) == pid);
	CHECK_EQ(status, 0);
}

static void test_permission(void)
{
	int status;
	pid_t me = getpid(), pid;

	if (getuid() != 0)
		return;
	pid = fork();
	if (pid == 0) {
		if (setresuid(65534, 65534, 65534) < 0)
			_exit(1);
		if (kill(me, 0) == 0 || errno != EPERM)
			_exit(2);
		_exit(kill(getpid(), 0) == 0 ? 0 : 3);
	}
	CHECK(waitpid(pid, &status, 0) == pid);
	CHECK_EQ(status, 0);
}

int main(void)
{
	test_timedwait();
	test_interrupted_wait();
	test_defaults();
	test_limit();
	test_threads();
	test_forged();
	test_permission();
	return check_status();
}
