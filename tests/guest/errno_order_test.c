/* Calls with several things wrong: which of them is told. */
#include <fcntl.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "tests/guest/check.h"

static void files(void)
{
	int p[2], d = open(".", O_RDONLY), r;

	REQUIRE(pipe(p) == 0);
	CHECK_ERR(lseek(p[0], 0, 99), EINVAL);
	CHECK_ERR(lseek(p[0], 0, SEEK_CUR), ESPIPE);
	CHECK_ERR(fallocate(p[0], 0, 0, 0), EINVAL);
	CHECK_ERR(fallocate(p[0], 0, -1, 10), EINVAL);
	CHECK_ERR(fallocate(p[0], FALLOC_FL_PUNCH_HOLE, 0, 10), EOPNOTSUPP);
	CHECK_ERR(fallocate(p[0], 0, 0, 10), EBADF);
	CHECK_ERR(fallocate(p[1], 0, 0, 10), ESPIPE);
	CHECK_ERR(fallocate(d, 0, 0, 10), EBADF);
	CHECK_ERR(sync_file_range(-1, 0, 0, 8), EBADF);
	CHECK_ERR(sync_file_range(d, 0, 0, 8), EINVAL);
	/* The owner must be there: a process or, as a negative number, a group. */
	CHECK_ERR(fcntl(p[0], F_SETOWN, 4000000), ESRCH);
	CHECK_ERR(fcntl(p[0], F_SETOWN, -4000000), ESRCH);
	CHECK_EQ(fcntl(p[0], F_SETOWN, getpid()), 0);
	CHECK_EQ(fcntl(p[0], F_GETOWN), getpid());
	r = getpgrp();
	CHECK_EQ(fcntl(p[0], F_SETOWN, -r), 0);
	CHECK_EQ(syscall(SYS_fcntl, p[0], F_SETOWN, 0), 0);
	CHECK_EQ(fcntl(p[0], F_GETOWN), 0);
	close(p[0]);
	close(p[1]);
	close(d);
}

/* Who may set the clock does so here only with what can't be set. */
static void clocks(void)
{
	struct timespec bad = {0, 1000000000}, one = {1, 0};
	struct timeval bad_tv = {0, 1000000};

	CHECK_ERR(clock_settime(CLOCK_REALTIME, &bad), EINVAL);
	CHECK_ERR(clock_settime(CLOCK_MONOTONIC, &one), EINVAL);
	CHECK_ERR(clock_settime(CLOCK_PROCESS_CPUTIME_ID, &one), EINVAL);
	CHECK_ERR(clock_settime(99, &one), EINVAL);
	CHECK_ERR(syscall(SYS_clock_settime, CLOCK_REALTIME, 8), EFAULT);
	CHECK_ERR(syscall(SYS_settimeofday, &bad_tv, NULL), EINVAL);
}

static void sched_attributes(void)
{
	struct {
		unsigned size, policy;
		unsigned long flags;
		int nice;
		char rest[4096];
	} a = {.size = 4000, .nice = getpriority(PRIO_PROCESS, 0)};

	CHECK_EQ(syscall(SYS_sched_setattr, 0, &a, 0), 0);
	a.rest[3000] = 1;
	CHECK_ERR(syscall(SYS_sched_setattr, 0, &a, 0), E2BIG);
	CHECK(a.size >= 48 && a.size < 4000);
}

int main(void)
{
	files();
	clocks();
	sched_attributes();
	return check_status();
}
