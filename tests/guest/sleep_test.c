/* nanosleep(2), clock_nanosleep(2), clock_gettime(2) and their errors. */
#include <signal.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/guest/check.h"

static volatile sig_atomic_t hits;

static void on_signal(int sig)
{
	hits++;
}

static long long ns(const struct timespec *ts)
{
	return ts->tv_sec * 1000000000LL + ts->tv_nsec;
}

static long long now(clockid_t c)
{
	struct timespec ts;

	CHECK_EQ(clock_gettime(c, &ts), 0);
	return ns(&ts);
}

static int raw_sleep(clockid_t c, int flags, const struct timespec *req, struct timespec *rem)
{
	return (int)syscall(SYS_clock_nanosleep, c, flags, req, rem);
}

static void clocks(void)
{
	static const clockid_t all[] = {CLOCK_REALTIME, CLOCK_MONOTONIC, CLOCK_PROCESS_CPUTIME_ID,
					CLOCK_THREAD_CPUTIME_ID, CLOCK_MONOTONIC_RAW,
					CLOCK_REALTIME_COARSE, CLOCK_MONOTONIC_COARSE, CLOCK_BOOTTIME,
					CLOCK_TAI};
	struct timespec ts;
	struct timeval tv, after;
	clockid_t other;
	time_t t;

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		long long a = now(all[i]), b = now(all[i]);

		CHECK(a > 0 && b >= a);
		CHECK_EQ(syscall(SYS_clock_gettime, all[i], &ts), 0);
		CHECK(ns(&ts) >= b);
		CHECK_EQ(clock_getres(all[i], &ts), 0);
		CHECK(ts.tv_sec == 0 && ts.tv_nsec >= 1 && ts.tv_nsec <= 10000000);
	}
	CHECK_ERR(syscall(SYS_clock_gettime, 99, &ts), EINVAL);
	CHECK_ERR(syscall(SYS_clock_getres, 99, NULL), EINVAL);
	CHECK_EQ(syscall(SYS_clock_getres, CLOCK_MONOTONIC, NULL), 0);
	CHECK_ERR(syscall(SYS_clock_gettime, CLOCK_MONOTONIC, NULL), EFAULT);
	CHECK_EQ(syscall(SYS_gettimeofday, &tv, NULL), 0);
	t = (time_t)syscall(SYS_time, NULL);
	CHECK_EQ(syscall(SYS_gettimeofday, &after, NULL), 0);
	CHECK(t >= tv.tv_sec - 1 && t <= after.tv_sec); /* it lags behind, by a tick */
	CHECK_EQ(clock_getcpuclockid(0, &other), 0);
	CHECK_EQ(clock_gettime(other, &ts), 0);
	CHECK(clock_getcpuclockid(getppid(), &other) == 0 || getppid() == 0);
	CHECK_EQ(clock_getcpuclockid(2000000, &other), ESRCH);
}

static void cpu_time_passes(void)
{
	long long cpu = now(CLOCK_PROCESS_CPUTIME_ID), thread = now(CLOCK_THREAD_CPUTIME_ID);
	long long start = now(CLOCK_MONOTONIC);
	volatile long x = 0;

	while (now(CLOCK_PROCESS_CPUTIME_ID) - cpu < 30000000LL &&
	       now(CLOCK_MONOTONIC) - start < 5000000000LL)
		for (int i = 0; i < 100000; i++)
			x += i;
	CHECK(now(CLOCK_PROCESS_CPUTIME_ID) - cpu >= 30000000LL);
	CHECK(now(CLOCK_THREAD_CPUTIME_ID) - thread >= 20000000LL);
	/* Asleep it stands still. */
	cpu = now(CLOCK_PROCESS_CPUTIME_ID);
	usleep(100000);
	CHECK(now(CLOCK_PROCESS_CPUTIME_ID) - cpu < 50000000LL);
}

static void sleeps(void)
{
	struct timespec req = {0, 30000000}, bad = {0, 1000000000}, neg = {-1, 0}, zero = {0, 0}, at;
	long long start = now(CLOCK_MONOTONIC);

	CHECK_EQ(nanosleep(&req, NULL), 0);
	CHECK(now(CLOCK_MONOTONIC) - start >= 30000000LL);
	CHECK_EQ(nanosleep(&zero, NULL), 0);
	CHECK_ERR(nanosleep(&bad, NULL), EINVAL);
	CHECK_ERR(nanosleep(&neg, NULL), EINVAL);
	CHECK_ERR(syscall(SYS_nanosleep, 8, NULL), EFAULT);
	CHECK_ERR(raw_sleep(CLOCK_THREAD_CPUTIME_ID, 0, &req, NULL), EOPNOTSUPP);
	CHECK_ERR(raw_sleep(99, 0, &req, NULL), EINVAL);
	CHECK_ERR(raw_sleep(CLOCK_MONOTONIC_RAW, 0, &req, NULL), EOPNOTSUPP);
	for (int i = 0; i < 3; i++) {
		static const clockid_t c[] = {CLOCK_REALTIME, CLOCK_MONOTONIC, CLOCK_BOOTTIME};

		clock_gettime(c[i], &at);
		at.tv_nsec += 20000000;
		if (at.tv_nsec >= 1000000000) {
			at.tv_sec++;
			at.tv_nsec -= 1000000000;
		}
		CHECK_EQ(raw_sleep(c[i], TIMER_ABSTIME, &at, NULL), 0);
		CHECK(now(c[i]) >= ns(&at));
		CHECK_EQ(raw_sleep(c[i], TIMER_ABSTIME, &at, NULL), 0);
		CHECK_EQ(raw_sleep(c[i], 0, &(struct timespec){0, 1000}, NULL), 0);
	}
}

static void interrupted(void)
{
	struct sigaction sa = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
	struct timespec req = {50, 0}, rem = {0, 0};

	sigaction(SIGALRM, &sa, NULL);
	hits = 0;
	check_alarms(30000);
	CHECK_ERR(nanosleep(&req, &rem), EINTR);
	CHECK(hits > 0);
	CHECK(ns(&rem) > 0 && ns(&rem) < 50000000000LL);
	CHECK_ERR(raw_sleep(CLOCK_MONOTONIC, TIMER_ABSTIME,
			    &(struct timespec){now(CLOCK_MONOTONIC) / 1000000000 + 50, 0}, NULL),
		  EINTR);
	check_alarms(0);
}

/* A stop in the middle does not cut the sleep short, and doesn't lengthen it. */
static void stopped(void)
{
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		long long start = now(CLOCK_MONOTONIC), took;
		struct timespec req = {0, 300000000};
		int r = nanosleep(&req, NULL);

		took = now(CLOCK_MONOTONIC) - start;
		_exit(r == 0 && took >= 300000000LL && took < 20000000000LL ? 0 : 1);
	}
	usleep(50000);
	kill(pid, SIGSTOP);
	usleep(50000);
	kill(pid, SIGCONT);
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	CHECK_EQ(status, 0);
}

int main(void)
{
	clocks();
	cpu_time_passes();
	sleeps();
	interrupted();
	stopped();
	return check_status();
}
