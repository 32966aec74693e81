/* clone, clone3, fork, vfork, threads. */
#include <fcntl.h>
#include <linux/sched.h>
#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"

int clone(int (*fn)(void *), void *stack, int flags, void *arg, ...);
int unshare(int flags);

static char stack[1 << 17] __attribute__((aligned(16)));
static void *top(void)
{
	return stack + sizeof(stack);
}

static volatile int shared;
static int set_shared(void *arg)
{
	shared = (int)(long)arg;
	return 3;
}

static long raw_clone(unsigned long flags)
{
	return syscall(SYS_clone, flags, NULL, NULL, NULL, 0);
}

static void test_flag_rules(void)
{
	CHECK_ERR(raw_clone(CLONE_THREAD | SIGCHLD), EINVAL);
	CHECK_ERR(raw_clone(CLONE_SIGHAND | SIGCHLD), EINVAL);
	CHECK_ERR(raw_clone(CLONE_THREAD | CLONE_SIGHAND), EINVAL);
	CHECK_ERR(raw_clone(CLONE_FS | CLONE_NEWNS | SIGCHLD), EINVAL);
	CHECK_ERR(raw_clone(CLONE_PIDFD | CLONE_PARENT_SETTID | SIGCHLD), EINVAL);
	CHECK_ERR(unshare(0x1), EINVAL);
	CHECK(unshare(CLONE_FS | CLONE_FILES) == 0);
}

static void test_vm(void)
{
	int status;
	pid_t pid;

	shared = 0;
	pid = clone(set_shared, top(), SIGCHLD, (void *)1L);
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	CHECK_EQ(status, 3 << 8);
	CHECK_EQ(shared, 0);
	pid = clone(set_shared, top(), CLONE_VM | SIGCHLD, (void *)2L);
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	CHECK_EQ(shared, 2);
}

static int open_and_chdir(void *arg)
{
	umask(0);
	if (chdir("/") < 0)
		return 1;
	return close(*(int *)arg) ? 2 : 0;
}

static void test_files_and_fs(void)
{
	char cwd[4096], now[4096];
	int fd = dup(1), status;
	mode_t mask = umask(022);
	pid_t pid;

	umask(022);
	REQUIRE(getcwd(cwd, sizeof(cwd)));
	pid = clone(open_and_chdir, top(), SIGCHLD, &fd);
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	CHECK_EQ(status, 0);
	CHECK(fcntl(fd, F_GETFD) >= 0);
	CHECK(getcwd(now, sizeof(now)) && strcmp(cwd, now) == 0);
	CHECK_EQ(umask(022), 022);
	pid = clone(open_and_chdir, top(), CLONE_FILES | CLONE_FS | SIGCHLD, &fd);
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	CHECK_ERR(fcntl(fd, F_GETFD), EBADF);
	CHECK(getcwd(now, sizeof(now)) && strcmp("/", now) == 0);
	CHECK_EQ(umask(mask), 0);
	CHECK(chdir(cwd) == 0);
}

static void test_sighand(void)
{
	struct sigaction sa;
	int status;
	pid_t pid;

	signal(SIGUSR1, SIG_DFL);
	pid = fork();
	if (pid == 0) {
		signal(SIGUSR1, SIG_IGN);
		_exit(0);
	}
	waitpid(pid, &status, 0);
	sigaction(SIGUSR1, NULL, &sa);
	CHECK(sa.sa_handler == SIG_DFL);
}

/* ---- vfork ---------------------------------------------------------------------------------- */

static void test_vfork(void)
{
	int status;
	pid_t pid;

	shared = 0;
	pid = vfork();
	if (pid == 0) {
		usleep(50000);
		shared = 9;
		_exit(4);
	}
	CHECK_EQ(shared, 9); /* we waited, and share memory */
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	CHECK_EQ(status, 4 << 8);
	pid = vfork();
	if (pid == 0) {
		execl("/bin/true", "true", NULL);
		_exit(127);
	}
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	CHECK_EQ(status, 0);
	/* A killed parent does not wait for its child. */
	pid = fork();
	if (pid == 0) {
		if (vfork() == 0) {
			for (int i = 0; i < 20; i++)
				usleep(100000);
			_exit(0);
		}
		_exit(0);
	}
	usleep(50000);
	kill(pid, SIGKILL);
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	CHECK_EQ(status, SIGKILL);
}

/* ---- tids ----------------------------------------------------------------------------------- */

static int check_tid(void *arg)
{
	return *(volatile pid_t *)arg == (pid_t)syscall(SYS_gettid) ? 0 : 1;
}

static void test_tids(void)
{
	pid_t ptid = 0, ctid = 0, pid;
	int status;

	pid = clone(check_tid, top(), CLONE_PARENT_SETTID | CLONE_CHILD_SETTID | SIGCHLD, &ctid,
		    &ptid, NULL, &ctid);
	CHECK_EQ(ptid, pid);
	CHECK_EQ(ctid, 0);
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	CHECK_EQ(status, 0);
	pid = clone(check_tid, top(), CLONE_VM | CLONE_CHILD_SETTID | CLONE_CHILD_CLEARTID | SIGCHLD,
		    &ctid, NULL, NULL, &ctid);
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	CHECK_EQ(status, 0);
	CHECK_EQ(ctid, 0);
}

static void on_signal(int sig)
{
}

static void test_clone3(void)
{
	struct clone_args a = {.exit_signal = SIGCHLD};
	unsigned char big[sizeof(a) + 8] = {0};
	int pidfd = -1, status;
	siginfo_t si;
	long pid;

	pid = syscall(SYS_clone3, &a, sizeof(a));
	if (pid == 0)
		_exit(6);
	CHECK_EQ(waitpid((pid_t)pid, &status, 0), pid);
	CHECK_EQ(status, 6 << 8);
	CHECK_ERR(syscall(SYS_clone3, &a, 32), EINVAL);
	CHECK_ERR(syscall(SYS_clone3, &a, 5000), E2BIG);
	memcpy(big, &a, sizeof(a));
	big[sizeof(big) - 1] = 1;
	CHECK_ERR(syscall(SYS_clone3, big, sizeof(big)), E2BIG);
	a.exit_signal = 0x100;
	CHECK_ERR(syscall(SYS_clone3, &a, sizeof(a)), EINVAL);
	a.exit_signal = SIGCHLD;
	a.stack = (uintptr_t)stack;
	CHECK_ERR(syscall(SYS_clone3, &a, sizeof(a)), EINVAL);
	a.stack = 0;
	a.flags = CLONE_PIDFD;
	a.pidfd = (uintptr_t)&pidfd;
	pid = syscall(SYS_clone3, &a, sizeof(a));
	if (pid == 0)
		_exit(8);
	CHECK(pidfd >= 0);
	CHECK(fcntl(pidfd, F_GETFD) == FD_CLOEXEC);
	CHECK_EQ(waitid(3 /* P_PIDFD */, (id_t)pidfd, &si, WEXITED), 0);
	CHECK_EQ(si.si_status, 8);
	close(pidfd);
	/* Handlers go, ignored signals stay. */
	signal(SIGUSR1, on_signal);
	signal(SIGUSR2, SIG_IGN);
	a = (struct clone_args){.exit_signal = SIGCHLD, .flags = CLONE_CLEAR_SIGHAND};
	pid = syscall(SYS_clone3, &a, sizeof(a));
	if (pid == 0) {
		struct sigaction u1, u2;

		sigaction(SIGUSR1, NULL, &u1);
		sigaction(SIGUSR2, NULL, &u2);
		_exit(u1.sa_handler == SIG_DFL && u2.sa_handler == SIG_IGN ? 0 : 1);
	}
	CHECK_EQ(waitpid((pid_t)pid, &status, 0), pid);
	CHECK_EQ(status, 0);
	signal(SIGUSR1, SIG_DFL);
	signal(SIGUSR2, SIG_DFL);
}

static void test_parent(void)
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		long sibling = raw_clone(CLONE_PARENT | SIGCHLD);

		if (sibling == 0)
			_exit(21);
		_exit(sibling > 0 ? 20 : 1);
	}
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	CHECK_EQ(status, 20 << 8);
	CHECK(wait(&status) > 0);
	CHECK_EQ(status, 21 << 8);
}

/* ---- threads -------------------------------------------------------------------------------- */

#define THREADS 200
static pthread_barrier_t barrier;
static _Atomic int sum;
static void *adder(void *arg)
{
	pthread_barrier_wait(&barrier);
	sum += (int)(long)arg;
	return arg;
}

static void test_threads(void)
{
	pthread_t th[THREADS];
	void *r;

	pthread_barrier_init(&barrier, NULL, THREADS + 1);
	for (long i = 0; i < THREADS; i++)
		REQUIRE(pthread_create(&th[i], NULL, adder, (void *)i) == 0);
	pthread_barrier_wait(&barrier);
	for (long i = 0; i < THREADS; i++) {
		pthread_join(th[i], &r);
		CHECK_EQ((long)r, i);
	}
	CHECK_EQ(sum, THREADS * (THREADS - 1) / 2);
	for (int i = 0; i < 500; i++) {
		pthread_barrier_init(&barrier, NULL, 1);
		REQUIRE(pthread_create(&th[0], NULL, adder, NULL) == 0);
		pthread_join(th[0], NULL);
	}
}

static void *fork_in_thread(void *arg)
{
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		/* Only this thread is here. */
		_exit(getpid() == (pid_t)syscall(SYS_gettid) ? 0 : 1);
	}
	waitpid(pid, &status, 0);
	return (void *)(long)status;
}

static void test_fork_in_threads(void)
{
	pthread_t th[8];
	void *r;

	for (int i = 0; i < 8; i++)
		pthread_create(&th[i], NULL, fork_in_thread, NULL);
	for (int i = 0; i < 8; i++) {
		pthread_join(th[i], &r);
		CHECK_EQ((long)r, 0);
	}
}

static void *sleeper(void *arg)
{
	for (;;)
		pause();
	return NULL;
}

static void test_exit_group(void)
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		pthread_t th;

		for (int i = 0; i < 10; i++)
			pthread_create(&th, NULL, sleeper, NULL);
		_exit(13);
	}
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	CHECK_EQ(status, 13 << 8);
	pid = fork();
	if (pid == 0) {
		pthread_t th;

		for (int i = 0; i < 10; i++)
			pthread_create(&th, NULL, sleeper, NULL);
		kill(getpid(), SIGTERM);
		for (;;)
			pause();
	}
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	CHECK_EQ(status, SIGTERM);
}

int main(void)
{
	test_flag_rules();
	test_vm();
	test_files_and_fs();
	test_sighand();
	test_vfork();
	test_tids();
	test_clone3();
	test_parent();
	test_threads();
	test_fork_in_threads();
	test_exit_group();
	return check_status();
}
