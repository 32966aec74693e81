/* The timer heap: a tree by deadline and one thread that sleeps until the first of them. The
 * thread exists from the first timer on. */
#include "sentry/kernel/timer.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include "abi/base/lock.h"
#include "sentry/kernel/task.h"

#define TIMER_STACK_SIZE (256 * 1024)

static struct timer_heap {
	struct mutex mu; /* LOCK_TIMER; protects all below and the timers' own fields */
	struct cond wake;     /* the first deadline has changed */
	struct cond finished; /* fn has returned */
	struct rb_tree tree;
	struct ktimer *running; /* whose fn runs; fn may free it */
	bool started;
	uint64_t sleeping_until;
	pthread_t thread;
} heap = {.mu = MUTEX_INIT(LOCK_TIMER)};

static pthread_once_t heap_once = PTHREAD_ONCE_INIT;

static void heap_init(void)
{
	cond_init(&heap.wake);
	cond_init(&heap.finished);
}

static int timer_cmp(const struct rb_node *a, const struct rb_node *b)
{
	uint64_t x = rb_entry(a, struct ktimer, node)->deadline_ns;
	uint64_t y = rb_entry(b, struct ktimer, node)->deadline_ns;

	return x < y ? -1 : x > y;
}

static void run_locked(struct ktimer *t)
{
	rb_erase(&heap.tree, &t->node);
	t->armed = false;
	heap.running = t;
	mutex_unlock(&heap.mu);
	t->fn(t);
	mutex_lock(&heap.mu);
	heap.running = NULL;
	cond_broadcast(&heap.finished);
}

static void *timer_main(void *arg)
{
	mutex_lock(&heap.mu);
	for (;;) {
		struct rb_node *n = rb_first(&heap.tree);
		struct ktimer *t = n ? rb_entry(n, struct ktimer, node) : NULL;

		if (t && t->deadline_ns <= now_mono_ns()) {
			run_locked(t);
			continue;
		}
		heap.sleeping_until = t ? t->deadline_ns : UINT64_MAX;
		cond_wait(&heap.wake, &heap.mu, heap.sleeping_until);
		heap.sleeping_until = 0;
	}
	return NULL;
}

static int start_locked(void)
{
	sigset_t all, old;
	pthread_attr_t attr;
	int err;

	if (heap.started)
		return 0;
	sigfillset(&all);
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, TIMER_STACK_SIZE);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	err = pthread_create(&heap.thread, &attr, timer_main, NULL);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	pthread_attr_destroy(&attr);
	heap.started = err == 0;
	return -err;
}

int ktimer_start_thread(void)
{
	pthread_once(&heap_once, heap_init);
	AUTO_LOCK(&heap.mu);
	return start_locked();
}

void ktimer_init(struct ktimer *t, void (*fn)(struct ktimer *t))
{
	*t = (struct ktimer){.fn = fn};
}

void ktimer_arm(struct ktimer *t, uint64_t deadline_ns)
{
	pthread_once(&heap_once, heap_init);
	AUTO_LOCK(&heap.mu);
	if (t->armed)
		rb_erase(&heap.tree, &t->node);
	t->deadline_ns = deadline_ns;
	t->armed = true;
	rb_insert(&heap.tree, &t->node, timer_cmp);
	start_locked();
	if (deadline_ns < heap.sleeping_until)
		cond_signal(&heap.wake);
}

static void disarm_locked(struct ktimer *t)
{
	if (t->armed)
		rb_erase(&heap.tree, &t->node);
	t->armed = false;
}

void ktimer_disarm(struct ktimer *t)
{
	AUTO_LOCK(&heap.mu);
	disarm_locked(t);
}

void ktimer_cancel(struct ktimer *t)
{
	pthread_once(&heap_once, heap_init);
	AUTO_LOCK(&heap.mu);
	disarm_locked(t);
	if (heap.started && pthread_equal(heap.thread, pthread_self()))
		return;
	while (heap.running == t) {
		cond_wait(&heap.finished, &heap.mu, UINT64_MAX);
		/* fn may have armed it again before it returned. */
		disarm_locked(t);
	}
}
