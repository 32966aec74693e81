#include "sentry/boot/aside.h"

#include <assert.h>
#include <pthread.h>
#include <stddef.h>
#include <stdint.h>

#include "abi/base/lock.h"

#define JOBS_MAX 4
#define STACK_SIZE (256u << 10)

struct job {
	int (*fn)(void *);
	void *arg;
};

static struct {
	struct mutex mu;
	struct cond changed;
	/* protected by mu */
	struct job jobs[JOBS_MAX];
	unsigned asked, ended;
	int first_result;
} aside = {.mu = MUTEX_INIT(LOCK_NONE), .changed = {PTHREAD_COND_INITIALIZER}};

static void *aside_main(void *arg)
{
	mutex_lock(&aside.mu);
	for (;;) {
		struct job job;
		int r;

		while (aside.ended == aside.asked)
			cond_wait(&aside.changed, &aside.mu, UINT64_MAX);
		job = aside.jobs[aside.ended];
		mutex_unlock(&aside.mu);
		r = job.fn(job.arg);
		mutex_lock(&aside.mu);
		if (aside.ended++ == 0)
			aside.first_result = r;
		cond_broadcast(&aside.changed);
	}
	return NULL;
}

int aside_start(void)
{
	pthread_attr_t attr;
	pthread_t t;
	int r;

	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, STACK_SIZE);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	r = pthread_create(&t, &attr, aside_main, NULL);
	pthread_attr_destroy(&attr);
	return -r;
}

void aside_do(int (*job)(void *), void *arg)
{
	AUTO_LOCK(&aside.mu);
	assert(aside.asked < JOBS_MAX);
	aside.jobs[aside.asked++] = (struct job){job, arg};
	cond_broadcast(&aside.changed);
}

int aside_wait_first(void)
{
	AUTO_LOCK(&aside.mu);
	while (!aside.ended)
		cond_wait(&aside.changed, &aside.mu, UINT64_MAX);
	return aside.first_result;
}
