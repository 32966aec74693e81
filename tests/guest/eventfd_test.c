/* eventfd(2). */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/guest/check.h"

static short ready(int fd)
{
	struct pollfd p = {fd, POLLIN | POLLOUT, 0};

	poll(&p, 1, 0);
	return p.revents;
}

static int put(int fd, uint64_t v)
{
	return (int)write(fd, &v, 8);
}

static uint64_t get(int fd)
{
	uint64_t v = 0;

	return read(fd, &v, 8) == 8 ? v : 0;
}

static void on_alarm(int sig)
{
}

int main(void)
{
	struct sigaction sa = {.sa_handler = on_alarm};
	uint64_t v[2] = {5, 6};
	int fd = eventfd(3, EFD_NONBLOCK), status;

	REQUIRE(fd >= 0);
	CHECK_EQ(ready(fd), POLLIN | POLLOUT);
	CHECK_EQ(get(fd), 3);
	CHECK_EQ(ready(fd), POLLOUT);
	CHECK_ERR(read(fd, v, 8), EAGAIN);
	CHECK_ERR(read(fd, v, 7), EINVAL);
	CHECK_ERR(write(fd, v, 7), EINVAL);
	/* Longer writes are refused only since Linux 6.9. */
	CHECK_EQ(write(fd, v, 8), 8);
	CHECK_EQ(read(fd, v, 16), 8);
	CHECK_EQ(v[0], 5);
	CHECK_ERR(put(fd, UINT64_MAX), EINVAL);
	CHECK_EQ(put(fd, UINT64_MAX - 1), 8);
	CHECK_EQ(ready(fd), POLLIN);
	CHECK_ERR(put(fd, 1), EAGAIN);
	CHECK_EQ(put(fd, 0), 8);
	CHECK_EQ(get(fd), UINT64_MAX - 1);
	CHECK_EQ(lseek(fd, 5, SEEK_SET), 0);
	close(fd);

	fd = eventfd(2, EFD_SEMAPHORE | EFD_NONBLOCK | EFD_CLOEXEC);
	CHECK_EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
	CHECK_EQ(get(fd), 1);
	CHECK_EQ(get(fd), 1);
	CHECK_ERR(read(fd, v, 8), EAGAIN);
	close(fd);
	CHECK_ERR(eventfd(0, 0x1000), EINVAL);

	/* A writer waits for room, with its value. */
	fd = eventfd(0, 0);
	CHECK_EQ(put(fd, UINT64_MAX - 1), 8);
	if (fork() == 0)
		_exit(put(fd, 7) == 8 ? 0 : 1);
	usleep(20000);
	CHECK_EQ(get(fd), UINT64_MAX - 1);
	CHECK_EQ(get(fd), 7);
	wait(&status);
	CHECK_EQ(status, 0);
	/* A reader waits for a value. */
	if (fork() == 0) {
		usleep(20000);
		_exit(put(fd, 9) == 8 ? 0 : 1);
	}
	CHECK_EQ(get(fd), 9);
	wait(&status);
	CHECK_EQ(status, 0);
	sigaction(SIGALRM, &sa, NULL);
	check_alarms(20000);
	CHECK_ERR(read(fd, v, 8), EINTR);
	CHECK_EQ(put(fd, UINT64_MAX - 1), 8);
	CHECK_ERR(put(fd, 1), EINTR);
	check_alarms(0);
	return check_status();
}
