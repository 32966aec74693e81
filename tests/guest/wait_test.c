/* wait4, waitid: every option; SIGCHLD; reparenting; usage. */
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"

static volatile sig_atomic_t chld;
static siginfo_t chld_info;
static void on_chld(int sig, siginfo_t *si, void *uc)
{
	chld++;
	chld_info = *si;
}

static pid_t child_exit(int code)
{
	pid_t pid = fork();

	if (pid == 0)
		_exit(code);
	return pid;
}

static void test_basic(void)
{
	struct rusage ru;
	siginfo_t si;
	int status;
	pid_t pid;

	CHECK_ERR(wait(&status), ECHILD);
	CHECK_ERR(waitpid(-1, &status, 0x100), EINVAL);
	pid = child_exit(3);
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	CHECK_EQ(status, 3 << 8);
	CHECK_ERR(waitpid(pid, &status, 0), ECHILD);
	pid = fork();
	if (pid == 0) {
		pause();
		_exit(0);
	}
	CHECK_EQ(waitpid(pid, &status, WNOHANG), 0);
	memset(&si, 0x55, sizeof(si));
	CHECK_EQ(waitid(P_PID, (id_t)pid, &si, WEXITED | WNOHANG), 0);
	CHECK_EQ(si.si_pid, 0);
	CHECK_EQ(si.si_signo, 0);
	kill(pid, SIGKILL);
	CHECK_EQ(waitid(P_PID, (id_t)pid, &si, WEXITED | WNOWAIT), 0);
	CHECK_EQ(si.si_pid, pid);
	CHECK_EQ(si.si_signo, SIGCHLD);
	CHECK_EQ(si.si_code, CLD_KILLED);
	CHECK_EQ(si.si_status, SIGKILL);
	CHECK_EQ(wait4(pid, &status, 0, &ru), pid);
	CHECK_EQ(status, SIGKILL);
	CHECK_ERR(waitid(P_ALL, 0, &si, 0), EINVAL);
	CHECK_ERR(waitid(P_ALL, 0, &si, WNOHANG), EINVAL);
	CHECK_ERR(waitid(P_PID, 0, &si, WEXITED), EINVAL);
	CHECK_ERR(waitid(77, 1, &si, WEXITED), EINVAL);
	CHECK_ERR(waitid(P_ALL, 0, &si, WEXITED), ECHILD);
	CHECK_ERR(waitpid(-0x7fffffff - 1, &status, 0), ESRCH);
}

static void test_stops(void)
{
	siginfo_t si;
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		for (;;)
			pause();
	}
	setpgid(pid, pid); /* SIGTSTP does not stop members of an orphaned group */
	kill(pid, SIGSTOP);
	CHECK_EQ(waitpid(pid, &status, WUNTRACED), pid);
	CHECK(WIFSTOPPED(status));
	CHECK_EQ(WSTOPSIG(status), SIGSTOP);
	CHECK_EQ(waitpid(pid, &status, WUNTRACED | WNOHANG), 0);
	kill(pid, SIGCONT);
	CHECK_EQ(waitpid(pid, &status, WCONTINUED), pid);
	CHECK(WIFCONTINUED(status));
	CHECK_EQ(waitpid(pid, &status, WCONTINUED | WNOHANG), 0);
	kill(pid, SIGTSTP);
	CHECK_EQ(waitid(P_PID, (id_t)pid, &si, WSTOPPED | WNOWAIT), 0);
	CHECK_EQ(si.si_code, CLD_STOPPED);
	CHECK_EQ(si.si_status, SIGTSTP);
	CHECK_EQ(waitid(P_PID, (id_t)pid, &si, WSTOPPED), 0);
	CHECK_EQ(si.si_status, SIGTSTP);
	/* A stopped process dies of SIGKILL at once, and of others when continued. */
	kill(pid, SIGTERM);
	usleep(20000);
	CHECK_EQ(waitpid(pid, &status, WNOHANG), 0);
	kill(pid, SIGCONT);
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	CHECK_EQ(status, SIGTERM);
}

static void test_sigchld(void)
{
	struct sigaction sa = {.sa_sigaction = on_chld, .sa_flags = SA_SIGINFO | SA_RESTART};
	int status;
	pid_t pid;

	sigaction(SIGCHLD, &sa, NULL);
	chld = 0;
	pid = child_exit(7);
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	CHECK_EQ(chld, 1);
	CHECK_EQ(chld_info.si_code, CLD_EXITED);
	CHECK_EQ(chld_info.si_status, 7);
	CHECK_EQ(chld_info.si_pid, pid);
	/* Stops are told too, unless SA_NOCLDSTOP. */
	pid = fork();
	if (pid == 0) {
		for (;;)
			pause();
	}
	chld = 0;
	kill(pid, SIGSTOP);
	CHECK_EQ(waitpid(pid, &status, WUNTRACED), pid);
	for (int i = 0; i < 10000 && !chld; i++) /* Linux shows the stop before it sends the signal */
		usleep(1000);
	CHECK_EQ(chld, 1);
	CHECK_EQ(chld_info.si_code, CLD_STOPPED);
	CHECK_EQ(chld_info.si_status, SIGSTOP);
	sa.sa_flags |= SA_NOCLDSTOP;
	sigaction(SIGCHLD, &sa, NULL);
	chld = 0;
	kill(pid, SIGCONT);
	CHECK_EQ(waitpid(pid, &status, WCONTINUED), pid);
	CHECK_EQ(chld, 0);
	kill(pid, SIGKILL);
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	CHECK_EQ(chld, 1);
	/* Nobody becomes a zombie. */
	sa.sa_flags = SA_NOCLDWAIT | SA_SIGINFO | SA_RESTART;
	sigaction(SIGCHLD, &sa, NULL);
	chld = 0;
	pid = child_exit(1);
	CHECK_ERR(waitpid(pid, &status, 0), ECHILD);
	CHECK_EQ(chld, 1);
	signal(SIGCHLD, SIG_IGN);
	pid = child_exit(1);
	CHECK_ERR(waitpid(-1, &status, 0), ECHILD);
	for (int i = 0; i < 10000 && kill(pid, 0) == 0; i++) /* what reaps itself may be late */
		usleep(1000);
	CHECK_ERR(kill(pid, 0), ESRCH);
	signal(SIGCHLD, SIG_DFL);
}

static void test_pgrp(void)
{
	siginfo_t si;
	int status;
	pid_t a = fork(), b;

	if (a == 0) {
		setpgid(0, 0);
		_exit(1);
	}
	setpgid(a, a);
	b = child_exit(2);
	CHECK_EQ(waitpid(-a, &status, 0), a);
	CHECK_ERR(waitpid(-a, &status, 0), ECHILD);
	CHECK_EQ(waitpid(0, &status, 0), b);
	b = child_exit(2);
	CHECK_EQ(waitid(P_PGID, 0, &si, WEXITED), 0);
	CHECK_EQ(si.si_pid, b);
}

/* ---- clone children, threads ---------------------------------------------------------------- */

static char stack[65536] __attribute__((aligned(16)));
static int clone_child(void *arg)
{
	_exit((int)(long)arg);
}

static void test_wclone(void)
{
	int status;
	pid_t pid = clone(clone_child, stack + sizeof(stack), 0, (void *)5L);

	REQUIRE(pid > 0);
	CHECK_ERR(waitpid(-1, &status, 0), ECHILD);
	CHECK_EQ(waitpid(-1, &status, __WCLONE), pid);
	CHECK_EQ(status, 5 << 8);
	signal(SIGUSR1, SIG_IGN);
	pid = clone(clone_child, stack + sizeof(stack), SIGUSR1, (void *)6L);
	CHECK_EQ(waitpid(-1, &status, __WALL), pid);
	signal(SIGUSR1, SIG_DFL);
}

static volatile pid_t thread_child;
static void *forker(void *arg)
{
	int status;
	pid_t pid = fork();

	if (pid == 0)
		_exit(4);
	thread_child = pid;
	while (*(volatile int *)arg == 0)
		usleep(1000);
	CHECK_EQ(syscall(SYS_wait4, pid, &status, __WNOTHREAD, NULL), pid);
	return NULL;
}

static void test_wnothread(void)
{
	volatile int go = 0;
	pthread_t th;
	int status;

	pthread_create(&th, NULL, forker, (void *)&go);
	while (!thread_child)
		usleep(1000);
	CHECK_ERR(syscall(SYS_wait4, thread_child, &status, __WNOTHREAD, NULL), ECHILD);
	go = 1;
	pthread_join(th, NULL);
}

static void test_multithreaded_child(void)
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		pthread_t th;
		static volatile int go;

		/* The leader exits first: a zombie only once the other has gone too. */
		pthread_create(&th, NULL, forker, (void *)&go);
		while (!thread_child)
			usleep(1000);
		go = 1;
		syscall(SYS_exit, 11);
	}
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	/* The leader's before Linux 5.17, now the last one's. */
	CHECK(status == 11 << 8 || status == 0);
}

/* ---- orphans -------------------------------------------------------------------------------- */

static void test_subreaper(void)
{
	int fds[2], status, on = 0;
	pid_t pid, grandchild = 0;

	REQUIRE(pipe(fds) == 0);
	CHECK(prctl(PR_SET_CHILD_SUBREAPER, 1) == 0);
	CHECK(prctl(PR_GET_CHILD_SUBREAPER, &on) == 0);
	CHECK_EQ(on, 1);
	pid = fork();
	if (pid == 0) {
		pid_t me = getpid(), grandparent = getppid(), gc = fork();

		if (gc == 0) {
			while (getppid() == me)
				usleep(1000);
			_exit(getppid() == grandparent ? 33 : 34);
		}
		if (write(fds[1], &gc, sizeof(gc)) != sizeof(gc))
			_exit(1);
		_exit(0);
	}
	CHECK(read(fds[0], &grandchild, sizeof(grandchild)) == sizeof(grandchild));
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	CHECK_EQ(waitpid(grandchild, &status, 0), grandchild);
	CHECK_EQ(status, 33 << 8);
	CHECK(prctl(PR_SET_CHILD_SUBREAPER, 0) == 0);
	close(fds[0]);
	close(fds[1]);
}

static void test_pdeathsig(void)
{
	int fds[2], status;
	char c;
	pid_t pid;

	REQUIRE(pipe(fds) == 0);
	pid = fork();
	if (pid == 0) {
		if (fork() == 0) {
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			if (write(fds[1], "r", 1) != 1)
				_exit(1);
			for (;;)
				pause();
		}
		if (read(fds[0], &c, 1) != 1)
			_exit(1);
		_exit(0);
	}
	close(fds[1]);
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	/* The grandchild held the other end: its death is an end of file. */
	CHECK_EQ(read(fds[0], &c, 1), 0);
	close(fds[0]);
}

static void test_usage(void)
{
	struct rusage ru, before;
	int status;
	pid_t pid;

	getrusage(RUSAGE_CHILDREN, &before);
	pid = fork();
	if (pid == 0) {
		struct rusage own;

		do {
			for (volatile int i = 0; i < 1000000; i++)
				;
			getrusage(RUSAGE_SELF, &own);
		} while (own.ru_utime.tv_sec * 1000000 + own.ru_utime.tv_usec < 100000);
		_exit(0);
	}
	CHECK_EQ(wait4(pid, &status, 0, &ru), pid);
	CHECK(ru.ru_utime.tv_sec * 1000000 + ru.ru_utime.tv_usec >= 90000);
	getrusage(RUSAGE_CHILDREN, &ru);
	CHECK(ru.ru_utime.tv_sec * 1000000 + ru.ru_utime.tv_usec -
	      before.ru_utime.tv_sec * 1000000 - before.ru_utime.tv_usec >= 90000);
}

static void test_many(void)
{
	int status, sum = 0, n = 0;

	for (int i = 0; i < 50; i++)
		if (child_exit(i) > 0)
			n++;
	/* As process 1 we may also have inherited a killed orphan. */
	while (wait(&status) > 0) {
		if (!WIFEXITED(status))
			continue;
		sum += WEXITSTATUS(status);
		n--;
	}
	CHECK_EQ(n, 0);
	CHECK_EQ(sum, 49 * 50 / 2);
}

/* Whoever has ended can't stop or continue any more: nobody is there to wait for. */
static void test_stops_of_the_dead(void)
{
	siginfo_t si;
	pid_t dead, live;

	alarm(20);
	dead = child_exit(3);
	CHECK_EQ(waitid(P_PID, (id_t)dead, &si, WEXITED | WNOWAIT), 0);
	CHECK_ERR(waitid(P_PID, (id_t)dead, &si, WSTOPPED), ECHILD);
	CHECK_ERR(waitid(P_PID, (id_t)dead, &si, WSTOPPED | WNOHANG), ECHILD);
	CHECK_ERR(waitid(P_ALL, 0, &si, WCONTINUED), ECHILD);
	live = fork();
	if (live == 0) {
		pause();
		_exit(0);
	}
	CHECK_EQ(waitid(P_ALL, 0, &si, WSTOPPED | WNOHANG), 0);
	kill(live, SIGKILL);
	CHECK_EQ(waitpid(live, NULL, 0), live);
	CHECK_EQ(waitpid(dead, NULL, 0), dead);
	dead = fork();
	if (dead == 0) {
		ptrace(PTRACE_TRACEME, 0, NULL, NULL);
		_exit(4);
	}
	CHECK_EQ(waitid(P_PID, (id_t)dead, &si, WEXITED | WNOWAIT), 0);
	CHECK_ERR(waitid(P_PID, (id_t)dead, &si, WSTOPPED), ECHILD);
	CHECK_EQ(waitpid(dead, NULL, 0), dead);
	alarm(0);
}

int main(void)
{
	test_basic();
	test_stops_of_the_dead();
	test_stops();
	test_sigchld();
	test_pgrp();
	test_wclone();
	test_wnothread();
	test_multithreaded_child();
	test_subreaper();
	test_pdeathsig();
	test_usage();
	test_many();
	return check_status();
}
