/* timer_create(2) and its family. */
#include <pthread.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/guest/check.h"

static volatile sig_atomic_t hits;
static volatile int last_value, last_code, last_tid;

static void on_signal(int sig, siginfo_t *info, void *ctx)
{
	hits++;
	last_value = info->si_value.sival_int;
	last_code = info->si_code;
	last_tid = (int)syscall(SYS_gettid);
}

static const struct itimerspec off;

static void basics(void)
{
	struct sigevent ev = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN + 1,
			      .sigev_value.sival_int = 42};
	struct itimerspec its = {{0, 0}, {100, 20000000}}, cur;
	timer_t t;

	CHECK_EQ(timer_create(CLOCK_MONOTONIC, &ev, &t), 0);
	CHECK_EQ(timer_gettime(t, &cur), 0);
	CHECK_EQ(cur.it_value.tv_nsec, 0);
	CHECK_EQ(timer_settime(t, 0, &its, NULL), 0);
	CHECK_EQ(timer_gettime(t, &cur), 0);
	CHECK(cur.it_value.tv_sec > 0 && cur.it_value.tv_sec <= 100);
	its.it_value.tv_sec = 0;
	CHECK_EQ(timer_settime(t, 0, &its, NULL), 0);
	while (!hits)
		usleep(1000);
	CHECK_EQ(hits, 1);
	CHECK_EQ(last_value, 42);
	CHECK_EQ(last_code, SI_TIMER);
	CHECK_EQ(timer_gettime(t, &cur), 0);
	CHECK_EQ(cur.it_value.tv_sec + cur.it_value.tv_nsec, 0);
	/* Absolute, in the past: at once. */
	its.it_value = (struct timespec){1, 0};
	hits = 0;
	CHECK_EQ(timer_settime(t, TIMER_ABSTIME, &its, NULL), 0);
	for (int i = 0; i < 10000 && !hits; i++)
		usleep(1000);
	CHECK_EQ(hits, 1);
	its.it_value.tv_nsec = 1000000000;
	CHECK_ERR(timer_settime(t, 0, &its, NULL), EINVAL);
	CHECK_EQ(timer_delete(t), 0);
	CHECK_ERR(syscall(SYS_timer_delete, 12345), EINVAL);
	CHECK_ERR(syscall(SYS_timer_settime, 12345, 0, &off, NULL), EINVAL);
	CHECK_ERR(syscall(SYS_timer_gettime, 12345, &cur), EINVAL);
	CHECK_ERR(syscall(SYS_timer_getoverrun, 12345), EINVAL);
	ev.sigev_signo = 77;
	CHECK_ERR(timer_create(CLOCK_MONOTONIC, &ev, &t), EINVAL);
	CHECK_ERR(timer_create(99, NULL, &t), EINVAL);
}

/* One signal is queued at a time; the others are counted. */
static void overruns(void)
{
	struct sigevent ev = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN + 2};
	struct itimerspec its = {{0, 1000000}, {0, 1000000}};
	siginfo_t info;
	sigset_t set;
	timer_t t;
	int n;

	sigemptyset(&set);
	sigaddset(&set, SIGRTMIN + 2);
	sigprocmask(SIG_BLOCK, &set, NULL);
	CHECK_EQ(timer_create(CLOCK_REALTIME, &ev, &t), 0);
	CHECK_EQ(timer_settime(t, 0, &its, NULL), 0);
	usleep(50000);
	CHECK_EQ(sigwaitinfo(&set, &info), SIGRTMIN + 2);
	n = timer_getoverrun(t);
	CHECK_EQ(n, info.si_overrun);
	CHECK(n >= 30 && n < 100000);
	CHECK_EQ(timer_settime(t, 0, &off, &its), 0);
	CHECK_EQ(its.it_interval.tv_nsec, 1000000);
	CHECK_EQ(timer_delete(t), 0);
	sigtimedwait(&set, &info, &(struct timespec){0, 0});
	/* A nanosecond's interval harms nobody. */
	its = (struct itimerspec){{0, 1}, {0, 1}};
	CHECK_EQ(timer_create(CLOCK_MONOTONIC, &ev, &t), 0);
	CHECK_EQ(timer_settime(t, 0, &its, NULL), 0);
	usleep(20000);
	CHECK_EQ(sigwaitinfo(&set, &info), SIGRTMIN + 2);
	CHECK(info.si_overrun > 1000);
	CHECK_EQ(timer_delete(t), 0);
	sigtimedwait(&set, &info, &(struct timespec){0, 0});
	sigprocmask(SIG_UNBLOCK, &set, NULL);
}

static void *thread_main(void *arg)
{
	struct sigevent ev = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGRTMIN + 1};
	struct itimerspec its = {{0, 0}, {0, 10000000}};
	timer_t t;

	ev._sigev_un._tid = (int)syscall(SYS_gettid);
	hits = 0;
	CHECK_EQ(timer_create(CLOCK_MONOTONIC, &ev, &t), 0);
	CHECK_EQ(timer_settime(t, 0, &its, NULL), 0);
	while (!hits)
		usleep(1000);
	CHECK_EQ(last_tid, ev._sigev_un._tid);
	timer_delete(t);
	return NULL;
}

static void cpu_clock(clockid_t c)
{
	struct sigevent ev = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN + 1};
	struct itimerspec its = {{0, 0}, {0, 50000000}};
	volatile long x = 0;
	timer_t t;

	hits = 0;
	CHECK_EQ(timer_create(c, &ev, &t), 0);
	CHECK_EQ(timer_settime(t, 0, &its, NULL), 0);
	usleep(100000);
	CHECK_EQ(hits, 0);
	for (long i = 0; i < 3000000000L && !hits; i++)
		x += i;
	CHECK_EQ(hits, 1);
	timer_delete(t);
}

static void none(void)
{
	struct sigevent ev = {.sigev_notify = SIGEV_NONE};
	struct itimerspec its = {{0, 0}, {0, 10000000}}, cur;
	timer_t t;

	CHECK_EQ(timer_create(CLOCK_BOOTTIME, &ev, &t), 0);
	CHECK_EQ(timer_settime(t, 0, &its, NULL), 0);
	usleep(20000);
	CHECK_EQ(timer_gettime(t, &cur), 0);
	CHECK_EQ(cur.it_value.tv_nsec, 0);
	/* Timers are not inherited. */
	if (fork() == 0)
		_exit(syscall(SYS_timer_gettime, *(int *)&t, &cur) == -1 ? 0 : 1);
	int status;

	wait(&status);
	CHECK_EQ(status, 0);
	timer_delete(t);
}

int main(void)
{
	struct sigaction sa = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO};
	pthread_t t;

	sigaction(SIGRTMIN + 1, &sa, NULL);
	basics();
	overruns();
	pthread_create(&t, NULL, thread_main, NULL);
	pthread_join(t, NULL);
	cpu_clock(CLOCK_PROCESS_CPUTIME_ID);
	cpu_clock(CLOCK_THREAD_CPUTIME_ID);
	none();
	return check_status();
}
