/* timerfd_create(2). */
#include <fcntl.h>
#include <poll.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "tests/guest/check.h"

static const struct itimerspec off;

static uint64_t ticks(int fd)
{
	uint64_t n = 0;

	return read(fd, &n, 8) == 8 ? n : 0;
}

int main(void)
{
	struct itimerspec its = {{0, 0}, {0, 20000000}}, cur;
	struct epoll_event ev = {.events = EPOLLIN | EPOLLET};
	struct pollfd p;
	struct timespec at;
	int fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC), ep;
	uint64_t n;

	REQUIRE(fd >= 0);
	CHECK_EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
	CHECK_ERR(timerfd_create(CLOCK_MONOTONIC, 1), EINVAL);
	CHECK_ERR(timerfd_create(CLOCK_THREAD_CPUTIME_ID, 0), EINVAL);
	CHECK_ERR(read(fd, &n, 8), EAGAIN);
	CHECK_ERR(read(fd, &n, 7), EINVAL);
	CHECK_ERR(write(fd, &n, 8), EINVAL);
	CHECK_EQ(timerfd_settime(fd, 0, &its, NULL), 0);
	p = (struct pollfd){fd, POLLIN, 0};
	CHECK_EQ(poll(&p, 1, 5000), 1);
	CHECK_EQ(ticks(fd), 1);
	CHECK_EQ(timerfd_gettime(fd, &cur), 0);
	CHECK_EQ(cur.it_value.tv_nsec, 0);
	its.it_interval.tv_nsec = 5000000;
	CHECK_EQ(timerfd_settime(fd, 0, &its, NULL), 0);
	usleep(60000);
	n = ticks(fd);
	CHECK(n >= 5 && n < 10000);
	CHECK_EQ(timerfd_settime(fd, 0, &off, &cur), 0);
	CHECK_EQ(cur.it_interval.tv_nsec, 5000000);
	CHECK_EQ(timerfd_gettime(fd, &cur), 0);
	CHECK_EQ(cur.it_value.tv_nsec, 0);
	usleep(10000);
	CHECK_ERR(read(fd, &n, 8), EAGAIN);
	/* Setting it again takes back what was not read. */
	its = (struct itimerspec){{0, 0}, {0, 1000000}};
	CHECK_EQ(timerfd_settime(fd, 0, &its, NULL), 0);
	usleep(10000);
	its.it_value.tv_sec = 100;
	CHECK_EQ(timerfd_settime(fd, 0, &its, NULL), 0);
	CHECK_ERR(read(fd, &n, 8), EAGAIN);
	CHECK_ERR(timerfd_settime(fd, 8, &its, NULL), EINVAL);
	its.it_value.tv_nsec = -1;
	CHECK_ERR(timerfd_settime(fd, 0, &its, NULL), EINVAL);
	CHECK_ERR(timerfd_settime(0, 0, &off, NULL), EINVAL);
	CHECK_ERR(timerfd_gettime(999, &cur), EBADF);
	close(fd);

	fd = timerfd_create(CLOCK_REALTIME, 0);
	clock_gettime(CLOCK_REALTIME, &at);
	at.tv_nsec += 30000000;
	if (at.tv_nsec >= 1000000000) {
		at.tv_nsec -= 1000000000;
		at.tv_sec++;
	}
	its = (struct itimerspec){{0, 0}, at};
	CHECK_EQ(timerfd_settime(fd, TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET, &its, NULL), 0);
	CHECK_EQ(ticks(fd), 1);
	clock_gettime(CLOCK_REALTIME, &at);
	CHECK(at.tv_sec > its.it_value.tv_sec ||
	      (at.tv_sec == its.it_value.tv_sec && at.tv_nsec >= its.it_value.tv_nsec));
	/* Edge-triggered: the first expiry after a read is an event. */
	ep = epoll_create1(0);
	CHECK_EQ(epoll_ctl(ep, EPOLL_CTL_ADD, fd, &ev), 0);
	its = (struct itimerspec){{0, 10000000}, {0, 10000000}};
	CHECK_EQ(timerfd_settime(fd, 0, &its, NULL), 0);
	CHECK_EQ(epoll_wait(ep, &ev, 1, 5000), 1);
	CHECK_EQ(epoll_wait(ep, &ev, 1, 50), 0);
	CHECK(ticks(fd) >= 2);
	CHECK_EQ(epoll_wait(ep, &ev, 1, 5000), 1);
	close(ep);
	close(fd);
	return check_status();
}
