/* Process groups, sessions, orphaned groups, stops of whole groups. */
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"

static pid_t sleeper(void)
{
	pid_t pid = fork();

	if (pid == 0) {
		for (;;)
			pause();
	}
	return pid;
}

static void end(pid_t pid)
{
	int status;

	kill(pid, SIGKILL);
	CHECK_EQ(waitpid(pid, &status, 0), pid);
}

static void test_setpgid(void)
{
	pid_t a = sleeper(), b = sleeper();

	CHECK_EQ(getpgid(a), getpgid(0));
	CHECK_EQ(getsid(a), getsid(0));
	CHECK(setpgid(a, 0) == 0);
	CHECK_EQ(getpgid(a), a);
	CHECK(setpgid(b, a) == 0);
	CHECK_EQ(getpgid(b), a);
	CHECK(setpgid(b, b) == 0);
	CHECK(setpgid(b, b) == 0);
	CHECK_ERR(setpgid(b, -1), EINVAL);
	CHECK_ERR(setpgid(0x7ffffff, 0), ESRCH);
	CHECK_ERR(setpgid(b, 0x7ffffff), EPERM);
	CHECK_ERR(setpgid(getppid() ? getppid() : 0x7fffff0, 0), ESRCH);
	CHECK_ERR(getpgid(0x7ffffff), ESRCH);
	CHECK_ERR(getsid(0x7ffffff), ESRCH);
	CHECK(killpg(a, 0) == 0);
	CHECK_ERR(killpg(0x7ffffff, 0), ESRCH);
	end(a);
	CHECK_ERR(killpg(a, 0), ESRCH);
	end(b);
}

static void test_setsid(void)
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		CHECK_EQ(setsid(), getpid());
		CHECK_EQ(getpgid(0), getpid());
		CHECK_EQ(getsid(0), getpid());
		CHECK_ERR(setsid(), EPERM);
		CHECK_ERR(setpgid(0, 0), EPERM);
		_exit(check_status());
	}
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	CHECK_EQ(status, 0);
	/* A group leader can't; another session's process can't be moved. */
	pid = fork();
	if (pid == 0) {
		setpgid(0, 0);
		CHECK_ERR(setsid(), EPERM);
		_exit(check_status());
	}
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	CHECK_EQ(status, 0);
	pid = fork();
	if (pid == 0) {
		setsid();
		for (;;)
			pause();
	}
	while (getsid(pid) != pid)
		usleep(1000);
	CHECK_ERR(setpgid(pid, getpgid(0)), EPERM);
	end(pid);
}

static void test_group_kill(void)
{
	pid_t a = sleeper(), b = sleeper();
	int status;

	setpgid(a, a);
	setpgid(b, a);
	CHECK(kill(-a, SIGSTOP) == 0);
	CHECK_EQ(waitpid(a, &status, WUNTRACED), a);
	CHECK(WIFSTOPPED(status));
	CHECK_EQ(waitpid(b, &status, WUNTRACED), b);
	CHECK(WIFSTOPPED(status));
	CHECK(kill(-a, SIGCONT) == 0);
	CHECK_EQ(waitpid(a, &status, WCONTINUED), a);
	CHECK_EQ(waitpid(b, &status, WCONTINUED), b);
	CHECK(kill(-a, SIGTERM) == 0);
	CHECK_EQ(waitpid(a, &status, 0), a);
	CHECK_EQ(status, SIGTERM);
	CHECK_EQ(waitpid(b, &status, 0), b);
	CHECK_EQ(status, SIGTERM);
}

/* The middle process dies: its child's group is orphaned and stopped, and gets SIGHUP, SIGCONT. */
static volatile sig_atomic_t hup, cont;
static void on_signal(int sig)
{
	if (sig == SIGHUP)
		hup = 1;
	else
		cont = 1;
}

static void test_orphaned(void)
{
	int fds[2], status;
	char r = 0;
	pid_t pid;

	REQUIRE(pipe(fds) == 0);
	pid = fork();
	if (pid == 0) {
		pid_t c;

		setsid();
		c = fork();
		if (c == 0) {
			close(fds[0]);
			setpgid(0, 0);
			signal(SIGHUP, on_signal);
			signal(SIGCONT, on_signal);
			raise(SIGSTOP);
			while (!hup || !cont)
				usleep(1000);
			if (write(fds[1], "y", 1) != 1)
				_exit(1);
			_exit(0);
		}
		if (waitpid(c, &status, WUNTRACED) != c || !WIFSTOPPED(status))
			_exit(1);
		_exit(0);
	}
	close(fds[1]);
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	CHECK_EQ(status, 0);
	CHECK_EQ(read(fds[0], &r, 1), 1);
	CHECK_EQ(r, 'y');
	close(fds[0]);
}

/* SIGTSTP in an orphaned group does nothing; SIGSTOP stops. */
static void test_stop_orphan(void)
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		setsid();
		raise(SIGTSTP);
		raise(SIGTTIN);
		raise(SIGTTOU);
		_exit(5);
	}
	CHECK_EQ(waitpid(pid, &status, WUNTRACED), pid);
	CHECK_EQ(status, 5 << 8);
}

static volatile int ticks[4];
static void *ticker(void *arg)
{
	for (;;) {
		(*(volatile int *)arg)++;
		usleep(500);
	}
	return NULL;
}

/* A stop stops all threads, and they all go on. */
static void test_threads(void)
{
	int fds[2], status, before[4], after[4];
	pid_t pid;

	REQUIRE(pipe(fds) == 0);
	pid = fork();
	if (pid == 0) {
		pthread_t th;

		for (int i = 0; i < 4; i++)
			pthread_create(&th, NULL, ticker, (void *)&ticks[i]);
		for (;;) {
			usleep(20000);
			if (write(fds[1], (void *)ticks, sizeof(ticks)) != sizeof(ticks))
				_exit(1);
		}
	}
	for (int i = 0; i < 5; i++) {
		char drain[1 << 16];
		bool all = false;

		usleep(30000);
		kill(pid, SIGSTOP);
		CHECK_EQ(waitpid(pid, &status, WUNTRACED), pid);
		CHECK(WIFSTOPPED(status));
		/* What it wrote before; nothing comes while it is stopped. */
		fcntl(fds[0], F_SETFL, O_NONBLOCK);
		while (read(fds[0], drain, sizeof(drain)) > 0)
			;
		usleep(30000);
		CHECK_ERR(read(fds[0], drain, sizeof(drain)), EAGAIN);
		fcntl(fds[0], F_SETFL, 0);
		kill(pid, SIGCONT);
		CHECK_EQ(waitpid(pid, &status, WCONTINUED), pid);
		CHECK(read(fds[0], before, sizeof(before)) == sizeof(before));
		for (int tries = 0; tries < 1000 && !all; tries++) {
			CHECK(read(fds[0], after, sizeof(after)) == sizeof(after));
			all = true;
			for (int k = 0; k < 4; k++)
				all = all && after[k] > before[k];
		}
		CHECK(all);
	}
	kill(pid, SIGSTOP);
	kill(pid, SIGKILL);
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	CHECK_EQ(status, SIGKILL);
	close(fds[0]);
	close(fds[1]);
}

int main(void)
{
	test_setpgid();
	test_setsid();
	test_group_kill();
	test_orphaned();
	test_stop_orphan();
	test_threads();
	return check_status();
}
