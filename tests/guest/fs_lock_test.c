/* flock(2), POSIX and open-file-description locks, F_SETOWN, ioctl(2) on files. */
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/guest/check.h"

static int lock(int fd, int cmd, int type, off_t start, off_t len)
{
	struct flock fl = {.l_type = (short)type, .l_whence = SEEK_SET, .l_start = start, .l_len = len};

	return fcntl(fd, cmd, &fl);
}

/* Runs fn in a child; what it returns. */
static int in_child(int (*fn)(int), int arg)
{
	int status;
	pid_t pid = fork();

	if (pid == 0)
		_exit(fn(arg));
	REQUIRE(waitpid(pid, &status, 0) == pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + status;
}

static int try_write_lock(int fd)
{
	return lock(fd, F_SETLK, F_WRLCK, 0, 10) == 0 ? 0 : errno;
}

static int who_holds(int fd)
{
	struct flock fl = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 5, .l_len = 1};

	if (fcntl(fd, F_GETLK, &fl) < 0)
		return 1;
	return fl.l_type == F_WRLCK && fl.l_pid == getppid() && fl.l_start == 0 && fl.l_len == 10 ? 0 : 2;
}

static void test_posix(void)
{
	struct flock fl = {.l_type = F_RDLCK, .l_whence = SEEK_SET};
	int fd = open("f", O_CREAT | O_RDWR, 0644), ro, again;

	CHECK_EQ(lock(fd, F_SETLK, F_WRLCK, 0, 10), 0);
	CHECK_EQ(in_child(try_write_lock, fd), EAGAIN);
	CHECK_EQ(in_child(who_holds, fd), 0);
	CHECK_EQ(fcntl(fd, F_GETLK, &fl), 0);
	CHECK_EQ(fl.l_type, F_UNLCK); /* one's own is no obstacle */
	ro = open("f", O_RDONLY);
	CHECK_ERR(lock(ro, F_SETLK, F_WRLCK, 20, 1), EBADF);
	CHECK_EQ(lock(ro, F_SETLK, F_RDLCK, 20, 1), 0);
	CHECK_ERR(lock(fd, F_SETLK, 77, 0, 1), EINVAL);
	CHECK_ERR(lock(fd, F_SETLK, F_RDLCK, -5, 1), EINVAL);
	CHECK_EQ(lock(fd, F_SETLK, F_UNLCK, 0, 0), 0);
	CHECK_EQ(in_child(try_write_lock, fd), 0);
	/* Closing any descriptor of the file drops the process's locks. */
	CHECK_EQ(lock(fd, F_SETLK, F_WRLCK, 0, 10), 0);
	again = open("f", O_RDONLY);
	close(again);
	CHECK_EQ(in_child(try_write_lock, fd), 0);
	close(ro);
	close(fd);
	unlink("f");
}

static void nothing(int sig)
{
}

/* A waiter gets the lock when it is free; a signal ends the wait. */
static void test_waiting(void)
{
	struct sigaction sa = {.sa_handler = nothing};
	int fd = open("f", O_CREAT | O_RDWR, 0644), p[2], status;
	pid_t pid;
	char c;

	REQUIRE(pipe(p) == 0);
	CHECK_EQ(lock(fd, F_SETLK, F_WRLCK, 0, 0), 0);
	pid = fork();
	if (pid == 0) {
		int r;

		sigaction(SIGALRM, &sa, NULL);
		check_alarms(30000);
		r = lock(fd, F_SETLKW, F_WRLCK, 0, 0);
		if (r != -1 || errno != EINTR)
			_exit(1);
		check_alarms(0);
		if (write(p[1], "x", 1) != 1)
			_exit(2);
		_exit(lock(fd, F_SETLKW, F_WRLCK, 0, 0) == 0 ? 0 : 3);
	}
	CHECK_EQ(read(p[0], &c, 1), 1);
	check_asleep(pid);
	CHECK_EQ(lock(fd, F_SETLK, F_UNLCK, 0, 0), 0);
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	CHECK_EQ(status, 0);
	close(p[0]);
	close(p[1]);
	close(fd);
	unlink("f");
}

static void test_deadlock(void)
{
	int fd = open("f", O_CREAT | O_RDWR, 0644), p[2], status;
	pid_t pid;
	char c;

	REQUIRE(pipe(p) == 0);
	CHECK_EQ(lock(fd, F_SETLK, F_WRLCK, 0, 1), 0);
	pid = fork();
	if (pid == 0) {
		if (lock(fd, F_SETLK, F_WRLCK, 1, 1) || write(p[1], "x", 1) != 1)
			_exit(1);
		_exit(lock(fd, F_SETLKW, F_WRLCK, 0, 1) == 0 ? 0 : 2);
	}
	CHECK_EQ(read(p[0], &c, 1), 1);
	check_asleep(pid);
	CHECK_ERR(lock(fd, F_SETLKW, F_WRLCK, 1, 1), EDEADLK);
	CHECK_EQ(lock(fd, F_SETLK, F_UNLCK, 0, 0), 0);
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	CHECK_EQ(status, 0);
	close(p[0]);
	close(p[1]);
	close(fd);
	unlink("f");
}

static void test_flock(void)
{
	int a = open("f", O_CREAT | O_RDWR, 0644), b = open("f", O_RDWR), c = dup(a);

	CHECK_EQ(flock(a, LOCK_EX), 0);
	CHECK_ERR(flock(b, LOCK_EX | LOCK_NB), EWOULDBLOCK);
	CHECK_EQ(flock(c, LOCK_SH | LOCK_NB), 0); /* the same open file */
	CHECK_EQ(flock(b, LOCK_SH | LOCK_NB), 0);
	CHECK_ERR(flock(a, LOCK_EX | LOCK_NB), EWOULDBLOCK);
	CHECK_EQ(flock(b, LOCK_UN), 0);
	CHECK_EQ(flock(a, LOCK_EX | LOCK_NB), 0);
	close(a);
	CHECK_ERR(flock(b, LOCK_EX | LOCK_NB), EWOULDBLOCK);
	close(c);
	CHECK_EQ(flock(b, LOCK_EX | LOCK_NB), 0);
	CHECK_ERR(flock(b, 77), EINVAL);
	CHECK_ERR(flock(-1, LOCK_EX), EBADF);
	close(b);
	unlink("f");
}

static void test_ofd(void)
{
	int a = open("f", O_CREAT | O_RDWR, 0644), b = open("f", O_RDWR);
	struct flock fl = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_len = 5};

	CHECK_EQ(lock(a, F_OFD_SETLK, F_WRLCK, 0, 5), 0);
	CHECK_ERR(lock(b, F_OFD_SETLK, F_WRLCK, 0, 5), EAGAIN);
	CHECK_ERR(lock(b, F_SETLK, F_WRLCK, 0, 5), EAGAIN);
	CHECK_EQ(fcntl(b, F_OFD_GETLK, &fl), 0);
	CHECK_EQ(fl.l_type, F_WRLCK);
	CHECK_EQ(fl.l_pid, -1);
	fl.l_pid = 5;
	CHECK_ERR(fcntl(b, F_OFD_SETLK, &fl), EINVAL);
	close(a);
	CHECK_EQ(lock(b, F_OFD_SETLK, F_WRLCK, 0, 5), 0);
	close(b);
	unlink("f");
}

static void test_owner_and_ioctl(void)
{
	struct f_owner_ex ex = {F_OWNER_PGRP, 0};
	int fd = open("f", O_CREAT | O_RDWR, 0644), n = 1, p[2];

	CHECK_EQ(write(fd, "0123456789", 10), 10);
	lseek(fd, 4, SEEK_SET);
	CHECK_EQ(ioctl(fd, FIONREAD, &n), 0);
	CHECK_EQ(n, 6);
	CHECK_EQ(ioctl(fd, FIOCLEX), 0);
	CHECK_EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
	CHECK_EQ(ioctl(fd, FIONCLEX), 0);
	CHECK_EQ(fcntl(fd, F_GETFD), 0);
	CHECK_ERR(ioctl(fd, TCGETS, &n), ENOTTY);
	CHECK_EQ(pipe(p), 0);
	n = 1;
	CHECK_EQ(ioctl(p[0], FIONBIO, &n), 0);
	CHECK_EQ(fcntl(p[0], F_GETFL), O_RDONLY | O_NONBLOCK);
	CHECK_ERR(read(p[0], &n, 4), EAGAIN);
	CHECK_EQ(fcntl(p[0], F_GETPIPE_SZ), 65536);
	CHECK_EQ(fcntl(p[0], F_SETOWN, getpid()), 0);
	CHECK_EQ(fcntl(p[0], F_GETOWN), getpid());
	CHECK_EQ(fcntl(p[0], F_SETSIG, SIGUSR1), 0);
	CHECK_EQ(fcntl(p[0], F_GETSIG), SIGUSR1);
	ex.pid = getpgrp();
	if (ex.pid > 0) {
		CHECK_EQ(fcntl(p[0], F_SETOWN_EX, &ex), 0);
		CHECK_EQ(fcntl(p[0], F_GETOWN_EX, &ex), 0);
		CHECK_EQ(ex.type, F_OWNER_PGRP);
	}
	CHECK_ERR(fcntl(fd, 9999), EINVAL);
	CHECK_ERR(fcntl(999, F_GETFD), EBADF);
	close(p[0]);
	close(p[1]);
	close(fd);
	unlink("f");
}

static int waiting_fd;

static void *wait_for_lock(void *arg)
{
	*(int *)arg = (int)syscall(SYS_gettid);
	return (void *)(long)(lock(waiting_fd, F_SETLKW, F_WRLCK, 0, 10) ? errno : 0);
}

/* A close(2) takes the process's locks off the file: also the one that a thread is about to get. */
static void test_closed_while_waiting(void)
{
	int fd = open("f", O_CREAT | O_RDWR, 0644), p[2];
	volatile int tid = 0;
	pthread_t th;
	void *result;
	pid_t pid;

	REQUIRE(pipe(p) == 0);
	pid = fork();
	if (pid == 0) {
		lock(fd, F_SETLK, F_WRLCK, 0, 10);
		REQUIRE(write(p[1], "", 1) == 1);
		pause();
	}
	REQUIRE(read(p[0], &result, 1) == 1);
	waiting_fd = open("f", O_RDWR);
	REQUIRE(pthread_create(&th, NULL, wait_for_lock, (void *)&tid) == 0);
	while (!tid)
		usleep(1000);
	check_asleep(tid);
	close(waiting_fd);
	kill(pid, SIGKILL);
	CHECK_EQ(waitpid(pid, NULL, 0), pid);
	pthread_join(th, &result);
	CHECK_EQ((long)result, EBADF);
	CHECK_EQ(in_child(try_write_lock, fd), 0);
	close(p[0]);
	close(p[1]);
	close(fd);
	unlink("f");
}

int main(void)
{
	test_posix();
	test_closed_while_waiting();
	test_waiting();
	test_deadlock();
	test_flock();
	test_ofd();
	test_owner_and_ioctl();
	return check_status();
}
