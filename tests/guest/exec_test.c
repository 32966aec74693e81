/* execve, execveat: what a process keeps and what it loses. The test runs itself with a word that
 * says what to look at. */
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "check.h"

extern char **environ;
static const char *self;

static void on_signal(int sig)
{
}

/* ---- the other side ------------------------------------------------------------------------- */

static int look_at_signals(void)
{
	struct sigaction u1, u2;
	sigset_t mask, pending;
	stack_t ss;

	sigaction(SIGUSR1, NULL, &u1);
	sigaction(SIGUSR2, NULL, &u2);
	sigprocmask(SIG_BLOCK, NULL, &mask);
	sigpending(&pending);
	sigaltstack(NULL, &ss);
	CHECK(u1.sa_handler == SIG_DFL);
	CHECK(u2.sa_handler == SIG_IGN);
	CHECK(sigismember(&mask, SIGTERM) == 1);
	CHECK(sigismember(&pending, SIGTERM) == 1);
	CHECK(ss.ss_flags == SS_DISABLE);
	return check_status();
}

static int look_at_files(char **argv)
{
	CHECK(fcntl(atoi(argv[2]), F_GETFD) == 0);
	CHECK_ERR(fcntl(atoi(argv[3]), F_GETFD), EBADF);
	return check_status();
}

static int look_at_tid(char **argv)
{
	CHECK_EQ(getpid(), atoi(argv[2]));
	CHECK_EQ(syscall(SYS_gettid), getpid());
	return check_status();
}

static int look_at_timers(void)
{
	struct itimerval it;

	getitimer(ITIMER_REAL, &it);
	CHECK(it.it_value.tv_sec > 0);
	CHECK_ERR(timer_delete((timer_t)0), EINVAL);
	return check_status();
}

static int look_at_misc(char **argv)
{
	char name[16], want[16];
	int sig = 0;

	prctl(PR_GET_NAME, name);
	snprintf(want, sizeof(want), "%s", strrchr(argv[2], '/') + 1);
	CHECK(strcmp(name, want) == 0);
	CHECK(prctl(PR_GET_PDEATHSIG, &sig) == 0);
	CHECK_EQ(sig, SIGUSR1);
	CHECK_EQ(prctl(PR_GET_DUMPABLE), 1);
	CHECK_EQ(prctl(PR_GET_KEEPCAPS), 0);
	CHECK_EQ(getpgid(0), atoi(argv[3]));
	return check_status();
}

static int other_side(char **argv)
{
	if (strcmp(argv[1], "signals") == 0)
		return look_at_signals();
	if (strcmp(argv[1], "files") == 0)
		return look_at_files(argv);
	if (strcmp(argv[1], "tid") == 0)
		return look_at_tid(argv);
	if (strcmp(argv[1], "timers") == 0)
		return look_at_timers();
	if (strcmp(argv[1], "misc") == 0)
		return look_at_misc(argv);
	if (strcmp(argv[1], "argc") == 0)
		return strcmp(argv[2], "") == 0 && strcmp(argv[3], "b c") == 0 && !argv[4] ? 0 : 1;
	if (strcmp(argv[1], "env") == 0)
		return environ[0] && strcmp(environ[0], "A=1") == 0 && !environ[1] ? 0 : 1;
	return 99;
}

/* ---- this side ------------------------------------------------------------------------------ */

static int reap(pid_t pid)
{
	int status;

	CHECK_EQ(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + status;
}

static void test_signals(void)
{
	static char stack[16384];
	stack_t ss = {.ss_sp = stack, .ss_size = sizeof(stack)};
	sigset_t set;
	pid_t pid = fork();

	if (pid == 0) {
		signal(SIGUSR1, on_signal);
		signal(SIGUSR2, SIG_IGN);
		sigaltstack(&ss, NULL);
		sigemptyset(&set);
		sigaddset(&set, SIGTERM);
		sigprocmask(SIG_BLOCK, &set, NULL);
		raise(SIGTERM);
		execl(self, self, "signals", NULL);
		_exit(98);
	}
	CHECK_EQ(reap(pid), 0);
}

static void test_files(void)
{
	char a[16], b[16];
	pid_t pid = fork();

	if (pid == 0) {
		int keep = dup(0), drop = fcntl(0, F_DUPFD_CLOEXEC, 0);

		snprintf(a, sizeof(a), "%d", keep);
		snprintf(b, sizeof(b), "%d", drop);
		execl(self, self, "files", a, b, NULL);
		_exit(98);
	}
	CHECK_EQ(reap(pid), 0);
}

static void *idle(void *arg)
{
	for (;;)
		pause();
	return NULL;
}

static void *exec_from_thread(void *arg)
{
	execl(self, self, "tid", arg, NULL);
	_exit(98);
}

/* The one that calls becomes the leader; the others die. */
static void test_threads(void)
{
	char pidtext[16];

	for (int leader = 0; leader < 2; leader++) {
		pid_t pid = fork();

		if (pid == 0) {
			pthread_t th;

			snprintf(pidtext, sizeof(pidtext), "%d", getpid());
			for (int i = 0; i < 5; i++)
				pthread_create(&th, NULL, idle, NULL);
			if (leader)
				exec_from_thread(pidtext);
			pthread_create(&th, NULL, exec_from_thread, pidtext);
			idle(NULL);
		}
		CHECK_EQ(reap(pid), 0);
	}
}

static void test_timers(void)
{
	pid_t pid = fork();

	if (pid == 0) {
		struct itimerval it = {.it_value = {100, 0}};
		struct sigevent ev = {.sigev_notify = SIGEV_NONE};
		timer_t timer;

		setitimer(ITIMER_REAL, &it, NULL);
		timer_create(CLOCK_MONOTONIC, &ev, &timer);
		execl(self, self, "timers", NULL);
		_exit(98);
	}
	CHECK_EQ(reap(pid), 0);
}

static void test_misc(void)
{
	char pg[16];
	pid_t pid = fork();

	if (pid == 0) {
		setpgid(0, 0);
		snprintf(pg, sizeof(pg), "%d", getpgid(0));
		prctl(PR_SET_NAME, "something");
		prctl(PR_SET_PDEATHSIG, SIGUSR1);
		prctl(PR_SET_DUMPABLE, 0);
		prctl(PR_SET_KEEPCAPS, 1);
		execl(self, self, "misc", self, pg, NULL);
		_exit(98);
	}
	CHECK_EQ(reap(pid), 0);
	pid = fork();
	if (pid == 0) {
		execl(self, self, "argc", "", "b c", NULL);
		_exit(98);
	}
	CHECK_EQ(reap(pid), 0);
	pid = fork();
	if (pid == 0) {
		char *argv[] = {(char *)self, (char *)"env", NULL}, *env[] = {(char *)"A=1", NULL};

		execve(self, argv, env);
		_exit(98);
	}
	CHECK_EQ(reap(pid), 0);
}

static void write_file(const char *name, const char *text, mode_t mode)
{
	int fd = open(name, O_CREAT | O_TRUNC | O_WRONLY, 0700);

	REQUIRE(fd >= 0);
	REQUIRE(write(fd, text, strlen(text)) == (ssize_t)strlen(text));
	close(fd);
	REQUIRE(chmod(name, mode) == 0);
}

static void test_errors(void)
{
	char *argv[] = {(char *)"x", NULL}, *env[] = {NULL};
	char *big[3] = {(char *)"x", NULL, NULL};

	CHECK_ERR(execve("/no/such/file", argv, env), ENOENT);
	CHECK_ERR(execve("", argv, env), ENOENT);
	CHECK_ERR(execve("/", argv, env), EACCES);
	CHECK_ERR(execve("/bin/true/x", argv, env), ENOTDIR);
	write_file("noexec", "#!/bin/true\n", 0600);
	CHECK_ERR(execve("noexec", argv, env), EACCES);
	write_file("text", "hello\n", 0700);
	CHECK_ERR(execve("text", argv, env), ENOEXEC);
	write_file("empty", "", 0700);
	CHECK_ERR(execve("empty", argv, env), ENOEXEC);
	write_file("badinterp", "#!/no/such/interpreter\n", 0700);
	CHECK_ERR(execve("badinterp", argv, env), ENOENT);
	write_file("loop", "#!loop\n", 0700);
	CHECK_ERR(execve("./loop", argv, env), ELOOP);
	CHECK_ERR(syscall(SYS_execve, 8, argv, env), EFAULT);
	CHECK_ERR(syscall(SYS_execve, "/bin/true", 8, env), EFAULT);
	big[1] = malloc(200000);
	memset(big[1], 'a', 199999);
	big[1][199999] = 0;
	CHECK_ERR(execve("/bin/true", big, env), E2BIG);
	free(big[1]);
	unlink("noexec");
	unlink("text");
	unlink("empty");
	unlink("badinterp");
	unlink("loop");
}

static void test_script(void)
{
	pid_t pid;

	write_file("script", "#!/bin/sh -e\ntest \"$1\" = one && exit 7\nexit 8\n", 0700);
	pid = fork();
	if (pid == 0) {
		execl("./script", "ignored", "one", NULL);
		_exit(98);
	}
	CHECK_EQ(reap(pid), 7);
	unlink("script");
}

static void test_execveat(void)
{
	char *argv[] = {(char *)"true", NULL}, *env[] = {NULL};
	int dir = open("/bin", O_RDONLY | O_DIRECTORY), fd = open("/bin/true", O_RDONLY | O_CLOEXEC);
	pid_t pid = fork();

	if (pid == 0) {
		syscall(SYS_execveat, dir, "true", argv, env, 0);
		_exit(98);
	}
	CHECK_EQ(reap(pid), 0);
	pid = fork();
	if (pid == 0) {
		syscall(SYS_execveat, fd, "", argv, env, AT_EMPTY_PATH);
		_exit(98);
	}
	CHECK_EQ(reap(pid), 0);
	CHECK_ERR(syscall(SYS_execveat, fd, "", argv, env, 0), ENOENT);
	CHECK_ERR(syscall(SYS_execveat, dir, "true", argv, env, 0x10), EINVAL);
	CHECK_ERR(syscall(SYS_execveat, 999, "true", argv, env, 0), EBADF);
	close(dir);
	close(fd);
}

static void test_setpgid_after_exec(void)
{
	int fds[2], status;
	char c;
	pid_t pid;

	REQUIRE(pipe(fds) == 0);
	fcntl(fds[1], F_SETFD, FD_CLOEXEC);
	pid = fork();
	if (pid == 0) {
		execl("/bin/sleep", "sleep", "10", NULL);
		_exit(98);
	}
	close(fds[1]);
	CHECK_EQ(read(fds[0], &c, 1), 0);
	CHECK_ERR(setpgid(pid, pid), EACCES);
	kill(pid, SIGKILL);
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	close(fds[0]);
}

int main(int argc, char **argv)
{
	static char path[4096];

	if (argc > 1)
		return other_side(argv);
	self = realpath("/proc/self/exe", path);
	REQUIRE(self);
	test_signals();
	test_files();
	test_threads();
	test_timers();
	test_misc();
	test_errors();
	test_script();
	test_execveat();
	test_setpgid_after_exec();
	return check_status();
}
