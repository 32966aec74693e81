/* pipe(7): capacity, atomicity, packets, ends, signals, readiness. */
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/guest/check.h"

static volatile sig_atomic_t sigpipes;

static void on_sigpipe(int sig)
{
	sigpipes++;
}

static short ready(int fd, short events)
{
	struct pollfd p = {fd, events, 0};

	poll(&p, 1, 0);
	return p.revents;
}

static size_t fill(int fd, size_t chunk)
{
	static char buf[65536];
	size_t total = 0;
	ssize_t n;

	while ((n = write(fd, buf, chunk)) > 0)
		total += (size_t)n;
	CHECK_EQ(errno, EAGAIN);
	return total;
}

static void basics(void)
{
	struct stat st;
	char buf[16];
	int p[2], q[2], n;

	CHECK_EQ(pipe(p), 0);
	CHECK_EQ(write(p[1], "hello", 5), 5);
	CHECK_EQ(ioctl(p[0], FIONREAD, &n), 0);
	CHECK_EQ(n, 5);
	CHECK_EQ(read(p[0], buf, 3), 3);
	CHECK_EQ(read(p[0], buf, 16), 2);
	CHECK_EQ(write(p[1], buf, 0), 0);
	CHECK_ERR(write(p[0], "x", 1), EBADF);
	CHECK_ERR(read(p[1], buf, 1), EBADF);
	CHECK_ERR(lseek(p[0], 0, SEEK_CUR), ESPIPE);
	CHECK_ERR(pread(p[0], buf, 1, 0), ESPIPE);
	CHECK_ERR(ftruncate(p[1], 0), EINVAL);
	CHECK_EQ(fstat(p[0], &st), 0);
	CHECK(S_ISFIFO(st.st_mode));
	CHECK_EQ(fcntl(p[0], F_GETFL) & O_ACCMODE, O_RDONLY);
	CHECK_EQ(fcntl(p[1], F_GETFL) & O_ACCMODE, O_WRONLY);
	CHECK_EQ(fcntl(p[0], F_GETFD), 0);
	CHECK_EQ(pipe2(q, O_CLOEXEC | O_NONBLOCK), 0);
	CHECK_EQ(fcntl(q[0], F_GETFD), FD_CLOEXEC);
	CHECK(fcntl(q[1], F_GETFL) & O_NONBLOCK);
	CHECK_ERR(read(q[0], buf, 1), EAGAIN);
	CHECK_EQ(read(q[0], buf, 0), 0);
	CHECK_ERR(pipe2(q, O_APPEND), EINVAL);
	CHECK_ERR(syscall(SYS_pipe2, (void *)8, 0), EFAULT);
	/* The descriptors of a failed call are free again. */
	n = dup(0);
	CHECK_EQ(n, q[1] + 1);
	close(n);
	close(p[1]);
	CHECK_EQ(read(p[0], buf, 1), 0);
	CHECK_EQ(ready(p[0], POLLIN), POLLHUP);
	close(p[0]);
	close(q[0]);
	close(q[1]);
}

static void capacity(void)
{
	static char big[1 << 20];
	int p[2];

	CHECK_EQ(pipe2(p, O_NONBLOCK), 0);
	CHECK_EQ(fcntl(p[0], F_GETPIPE_SZ), 65536);
	CHECK_EQ(fill(p[1], 4096), 65536);
	CHECK_EQ(ready(p[1], POLLOUT), 0);
	CHECK_EQ(ready(p[0], POLLIN), POLLIN);
	/* Room for less than PIPE_BUF is no room to poll. */
	CHECK_EQ(read(p[0], big, 4095), 4095);
	CHECK_EQ(ready(p[1], POLLOUT), 0);
	CHECK_EQ(read(p[0], big, 1), 1);
	CHECK_EQ(ready(p[1], POLLOUT), POLLOUT);
	CHECK_ERR(fcntl(p[0], F_SETPIPE_SZ, 4096), EBUSY);
	CHECK_EQ(fcntl(p[0], F_SETPIPE_SZ, 65537), 131072);
	CHECK_EQ(fcntl(p[1], F_GETPIPE_SZ), 131072);
	CHECK_EQ(fill(p[1], 4096), 131072 - 15 * 4096);
	CHECK_EQ(read(p[0], big, sizeof(big)), 131072);
	CHECK_EQ(fcntl(p[0], F_SETPIPE_SZ, 0), 4096);
	CHECK_EQ(fcntl(p[0], F_SETPIPE_SZ, 5000), 8192);
	CHECK_EQ(write(p[1], big, sizeof(big)), 8192);
	close(p[0]);
	close(p[1]);
	CHECK_ERR(fcntl(0, F_GETPIPE_SZ + 100), EINVAL);
}

static void atomic_writes(void)
{
	static char buf[65536];
	int p[2];

	CHECK_EQ(pipe2(p, O_NONBLOCK), 0);
	CHECK_EQ(write(p[1], buf, 65536 - 100), 65536 - 100);
	/* All of it or nothing, up to PIPE_BUF; beyond that, what fits. */
	CHECK_ERR(write(p[1], buf, PIPE_BUF), EAGAIN);
	CHECK_EQ(read(p[0], buf, 65536), 65536 - 100);
	CHECK_EQ(write(p[1], buf, 61440), 61440);
	CHECK_EQ(write(p[1], buf, 8192), 4096);
	close(p[0]);
	close(p[1]);
}

static void packets(void)
{
	char buf[8192] = {0};
	int p[2];

	CHECK_EQ(pipe2(p, O_DIRECT | O_NONBLOCK), 0);
	CHECK_EQ(write(p[1], "abc", 3), 3);
	CHECK_EQ(write(p[1], "defgh", 5), 5);
	CHECK_EQ(write(p[1], buf, 5000), 5000);
	CHECK_EQ(read(p[0], buf, sizeof(buf)), 3);
	/* The rest of a packet is lost. */
	CHECK_EQ(read(p[0], buf, 2), 2);
	CHECK_EQ(memcmp(buf, "de", 2), 0);
	CHECK_EQ(read(p[0], buf, sizeof(buf)), 4096);
	CHECK_EQ(read(p[0], buf, sizeof(buf)), 904);
	CHECK_ERR(read(p[0], buf, sizeof(buf)), EAGAIN);
	/* The number of packets is bounded by the pages of the pipe. */
	CHECK_EQ(fill(p[1], 1), 16);
	CHECK_EQ(ready(p[1], POLLOUT), 0);
	CHECK_EQ(fcntl(p[1], F_SETFL, O_NONBLOCK), 0);
	CHECK_EQ(read(p[0], buf, 8), 1);
	CHECK_EQ(write(p[1], "xyz", 3), 3);
	close(p[0]);
	close(p[1]);
}

static void no_reader(void)
{
	int p[2];

	signal(SIGPIPE, on_sigpipe);
	CHECK_EQ(pipe(p), 0);
	close(p[0]);
	CHECK_ERR(write(p[1], "x", 1), EPIPE);
	CHECK_EQ(sigpipes, 1);
	CHECK_EQ(ready(p[1], POLLOUT), POLLOUT | POLLERR);
	signal(SIGPIPE, SIG_IGN);
	CHECK_ERR(write(p[1], "x", 1), EPIPE);
	CHECK_EQ(sigpipes, 1);
	close(p[1]);
	signal(SIGPIPE, SIG_DFL);
	if (fork() == 0) {
		if (pipe(p))
			_exit(1);
		close(p[0]);
		write(p[1], "x", 1);
		_exit(2);
	}
	int status;

	wait(&status);
	CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGPIPE);
}

static void *slow_reader(void *arg)
{
	static char buf[1000];
	size_t total = 0;
	ssize_t n;

	while ((n = read(*(int *)arg, buf, sizeof(buf))) > 0)
		total += (size_t)n;
	return (void *)total;
}

/* A blocking write goes on until all is written. */
static void blocking(void)
{
	static char big[300000];
	struct iovec iov[2] = {{big, 100000}, {big, 200000}};
	pthread_t t;
	void *total;
	int p[2];

	CHECK_EQ(pipe(p), 0);
	pthread_create(&t, NULL, slow_reader, &p[0]);
	CHECK_EQ(write(p[1], big, sizeof(big)), sizeof(big));
	CHECK_EQ(writev(p[1], iov, 2), 300000);
	close(p[1]);
	pthread_join(t, &total);
	CHECK_EQ((size_t)total, 600000);
	close(p[0]);
}

static void ping_pong(void)
{
	int a[2], b[2], status;
	char c;

	CHECK_EQ(pipe(a), 0);
	CHECK_EQ(pipe(b), 0);
	if (fork() == 0) {
		close(a[1]);
		close(b[0]);
		while (read(a[0], &c, 1) == 1)
			if (write(b[1], &c, 1) != 1)
				_exit(1);
		_exit(0);
	}
	close(a[0]);
	close(b[1]);
	for (int i = 0; i < 2000; i++) {
		char d = (char)i;

		CHECK_EQ(write(a[1], &d, 1), 1);
		CHECK_EQ(read(b[0], &c, 1), 1);
		CHECK_EQ(c, d);
	}
	close(a[1]);
	wait(&status);
	CHECK_EQ(status, 0);
	close(b[0]);
}

static void on_alarm(int sig)
{
}

static void interrupted(void)
{
	struct sigaction sa = {.sa_handler = on_alarm};
	int p[2];
	char c;

	CHECK_EQ(pipe(p), 0);
	sigaction(SIGALRM, &sa, NULL);
	check_alarms(20000);
	CHECK_ERR(read(p[0], &c, 1), EINTR);
	sa.sa_flags = SA_RESTART;
	sigaction(SIGALRM, &sa, NULL);
	if (fork() == 0) {
		usleep(60000);
		write(p[1], "r", 1);
		_exit(0);
	}
	CHECK_EQ(read(p[0], &c, 1), 1);
	check_alarms(0);
	wait(NULL);
	close(p[0]);
	close(p[1]);
}

int main(void)
{
	basics();
	capacity();
	atomic_writes();
	packets();
	no_reader();
	blocking();
	ping_pong();
	interrupted();
	return check_status();
}
