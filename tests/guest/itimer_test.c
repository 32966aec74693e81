/* setitimer(2), getitimer(2), alarm(2). */
#include <signal.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/guest/check.h"

static volatile sig_atomic_t hits;
static volatile int last_code;

static void on_signal(int sig, siginfo_t *info, void *ctx)
{
	hits++;
	last_code = info->si_code;
}

static long long now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000LL + ts.tv_nsec;
}

static void spin_until(int n)
{
	long long start = now();
	volatile long x = 0;

	while (hits < n && now() - start < 30000000000LL)
		for (int i = 0; i < 10000; i++)
			x += i;
}

static void handler(int sig)
{
	struct sigaction sa = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO};

	sigaction(sig, &sa, NULL);
	hits = 0;
}

static void real(void)
{
	struct itimerval v = {{0, 10000}, {0, 20000}}, old;
	long long start = now();

	handler(SIGALRM);
	CHECK_EQ(getitimer(ITIMER_REAL, &old), 0);
	CHECK_EQ(old.it_value.tv_sec + old.it_value.tv_usec, 0);
	CHECK_EQ(setitimer(ITIMER_REAL, &v, &old), 0);
	while (hits < 5)
		pause();
	CHECK(now() - start >= 60000000LL);
	CHECK_EQ(last_code, SI_KERNEL);
	CHECK_EQ(getitimer(ITIMER_REAL, &old), 0);
	CHECK_EQ(old.it_interval.tv_usec, 10000);
	CHECK(old.it_value.tv_usec > 0 && old.it_value.tv_usec <= 10000);
	v = (struct itimerval){0};
	CHECK_EQ(setitimer(ITIMER_REAL, &v, &old), 0);
	hits = 0;
	usleep(30000);
	CHECK_EQ(hits, 0);
	v.it_value.tv_usec = 1000000;
	CHECK_ERR(setitimer(ITIMER_REAL, &v, NULL), EINVAL);
	CHECK_ERR(setitimer(7, &v, NULL), EINVAL);
	CHECK_ERR(getitimer(7, &old), EINVAL);
}

static void alarms(void)
{
	CHECK_EQ(alarm(100), 0);
	int left = (int)alarm(50); /* rounded to the nearest second */

	CHECK(left > 90 && left <= 100);
	left = (int)alarm(0);
	CHECK(left > 40 && left <= 50);
	CHECK_EQ(alarm(0), 0);
	hits = 0;
	CHECK_EQ(ualarm(10000, 10000), 0);
	pause();
	CHECK(hits > 0);
	ualarm(0, 0);
	/* Not inherited by fork. */
	alarm(100);
	if (fork() == 0)
		_exit(alarm(0));
	int status;

	wait(&status);
	CHECK_EQ(status, 0);
	CHECK(alarm(0) > 90);
}

static void cpu(int which, int sig)
{
	struct itimerval v = {{0, 20000}, {0, 20000}}, old;

	handler(sig);
	CHECK_EQ(setitimer(which, &v, NULL), 0);
	usleep(60000);
	CHECK(hits <= 1);
	hits = 0;
	spin_until(3);
	CHECK(hits >= 3);
	v = (struct itimerval){0};
	CHECK_EQ(setitimer(which, &v, &old), 0);
	CHECK_EQ(old.it_interval.tv_usec, 20000);
}

int main(void)
{
	real();
	alarms();
	cpu(ITIMER_VIRTUAL, SIGVTALRM);
	cpu(ITIMER_PROF, SIGPROF);
	return check_status();
}
