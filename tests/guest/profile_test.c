/* The signals of timers of CPU time go to threads that use it, as profilers expect. */
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "tests/guest/check.h"

#define ENOUGH 12

enum { MAIN, HOG, IDLE, KINDS };

static atomic_int got[KINDS], stop;
static __thread int me = MAIN;

static void on_signal(int sig)
{
	got[me]++;
}

static void *hog(void *arg)
{
	me = HOG;
	while (!stop)
		;
	return arg;
}

static void *idle(void *arg)
{
	me = IDLE;
	while (!stop)
		usleep(10000);
	return arg;
}

static void set_itimer(int which, long us)
{
	struct itimerval v = {{0, us}, {0, us}};

	CHECK(setitimer(which, &v, NULL) == 0);
}

static void profile(int which)
{
	pthread_t t[3];

	for (int i = 0; i < KINDS; i++)
		got[i] = 0;
	stop = 0;
	pthread_create(&t[0], NULL, hog, NULL);
	pthread_create(&t[1], NULL, idle, NULL);
	pthread_create(&t[2], NULL, hog, NULL);
	set_itimer(which, 10000);
	for (int i = 0; i < 2000 && got[HOG] < ENOUGH; i++)
		usleep(10000);
	set_itimer(which, 0);
	stop = 1;
	for (int i = 0; i < 3; i++)
		pthread_join(t[i], NULL);
	CHECK(got[HOG] >= ENOUGH);
	CHECK(got[MAIN] + got[IDLE] <= got[HOG] / 2);
}

int main(void)
{
	struct sigaction sa = {.sa_handler = on_signal, .sa_flags = SA_RESTART};

	sigaction(SIGPROF, &sa, NULL);
	sigaction(SIGVTALRM, &sa, NULL);
	profile(ITIMER_PROF);
	profile(ITIMER_VIRTUAL);
	return check_status();
}
