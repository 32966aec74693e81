/* Locks with a checked order.
 *
 * In builds with LOCK_CHECK each thread keeps a small stack of the locks it holds. Taking a lock
 * whose rank is not greater than every held one's ends the process with both ranks named: a
 * potential deadlock is found by the first test that walks the path, not by the one that meets the
 * other thread. LOCK_NONE locks are leaves and are not tracked. */
#include "abi/base/lock.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#ifdef LOCK_CHECK

#define HELD_MAX 48

struct held {
	const void *lock;
	enum lock_rank rank;
};

static _Thread_local struct held held_stack[HELD_MAX];
static _Thread_local int held_count;

static void lock_order_fail(const char *what, enum lock_rank wanted, enum lock_rank have)
{
	fprintf(stderr, "lock order: %s: wants rank %d while holding rank %d (abi/base/lock_order.h)\n",
		what, (int)wanted, (int)have);
	abort();
}

static void held_check(const void *lock, enum lock_rank rank, bool nested)
{
	if (rank == LOCK_NONE)
		return;
	for (int i = 0; i < held_count; i++) {
		if (held_stack[i].lock == lock)
			lock_order_fail("taken twice", rank, held_stack[i].rank);
		if (held_stack[i].rank > rank || (held_stack[i].rank == rank && !nested))
			lock_order_fail("out of order", rank, held_stack[i].rank);
	}
}

static void held_push(const void *lock, enum lock_rank rank)
{
	if (rank == LOCK_NONE)
		return;
	if (held_count == HELD_MAX)
		lock_order_fail("too many locks held", rank, held_stack[HELD_MAX - 1].rank);
	held_stack[held_count++] = (struct held){lock, rank};
}

static void held_pop(const void *lock, enum lock_rank rank)
{
	int i = held_count - 1;

	if (rank == LOCK_NONE)
		return;
	while (i >= 0 && held_stack[i].lock != lock)
		i--;
	if (i < 0)
		lock_order_fail("unlock of a lock that is not held", rank, LOCK_NONE);
	held_count--;
	for (; i < held_count; i++)
		held_stack[i] = held_stack[i + 1];
}

static bool held_any(const void *lock)
{
	for (int i = 0; i < held_count; i++)
		if (held_stack[i].lock == lock)
			return true;
	return false;
}

#else

static void held_check(const void *lock, enum lock_rank rank, bool nested)
{
}

static void held_push(const void *lock, enum lock_rank rank)
{
}

static void held_pop(const void *lock, enum lock_rank rank)
{
}

#endif

/* The pthread calls fail only on misuse, which is a bug of ours. */
static void must(int err)
{
	assert(err == 0);
	(void)err;
}

void mutex_init(struct mutex *m, enum lock_rank rank)
{
	must(pthread_mutex_init(&m->m, NULL));
	m->rank = rank;
}

void mutex_destroy(struct mutex *m)
{
	must(pthread_mutex_destroy(&m->m));
}

static void mutex_take(struct mutex *m, bool nested)
{
	held_check(m, m->rank, nested);
	must(pthread_mutex_lock(&m->m));
	held_push(m, m->rank);
}

void mutex_lock(struct mutex *m)
{
	mutex_take(m, false);
}

void mutex_lock_nested(struct mutex *m)
{
	mutex_take(m, true);
}

/* No order check: a try never waits, so it cannot close a cycle. */
bool mutex_trylock(struct mutex *m)
{
	if (pthread_mutex_trylock(&m->m) != 0)
		return false;
	held_push(m, m->rank);
	return true;
}

void mutex_unlock(struct mutex *m)
{
	held_pop(m, m->rank);
	must(pthread_mutex_unlock(&m->m));
}

void mutex_assert_held(struct mutex *m)
{
#ifdef LOCK_CHECK
	if (m->rank != LOCK_NONE && !held_any(m))
		lock_order_fail("not held", m->rank, LOCK_NONE);
#endif
}

void rwlock_init(struct rwlock *l, enum lock_rank rank)
{
	pthread_rwlockattr_t attr;

	/* Readers come in an endless stream (path walks): let a waiting writer go first. Locks are
	 * not recursive here, which this kind needs. */
	must(pthread_rwlockattr_init(&attr));
	must(pthread_rwlockattr_setkind_np(&attr, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP));
	must(pthread_rwlock_init(&l->l, &attr));
	must(pthread_rwlockattr_destroy(&attr));
	l->rank = rank;
}

void rwlock_destroy(struct rwlock *l)
{
	must(pthread_rwlock_destroy(&l->l));
}

static void rwlock_take(struct rwlock *l, bool write, bool nested)
{
	held_check(l, l->rank, nested);
	must(write ? pthread_rwlock_wrlock(&l->l) : pthread_rwlock_rdlock(&l->l));
	held_push(l, l->rank);
}

void rwlock_rdlock(struct rwlock *l)
{
	rwlock_take(l, false, false);
}

void rwlock_wrlock(struct rwlock *l)
{
	rwlock_take(l, true, false);
}

void rwlock_rdlock_nested(struct rwlock *l)
{
	rwlock_take(l, false, true);
}

void rwlock_wrlock_nested(struct rwlock *l)
{
	rwlock_take(l, true, true);
}

#define SLICE_NS 200000000L

/* By the wall clock, as not all tools that watch locks know the calls that take another: who sets it makes
 * a slice longer or shorter. */
static struct timespec slice_end(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	ts.tv_nsec += SLICE_NS;
	if (ts.tv_nsec >= 1000000000) {
		ts.tv_nsec -= 1000000000;
		ts.tv_sec++;
	}
	return ts;
}

int rwlock_take_unless(struct rwlock *l, bool write, bool nested, bool (*give_up)(void))
{
	int err;

	held_check(l, l->rank, nested);
	err = write ? pthread_rwlock_trywrlock(&l->l) : pthread_rwlock_tryrdlock(&l->l);
	while (err) {
		struct timespec end = slice_end();

		assert(err == EBUSY || err == ETIMEDOUT);
		if (err == ETIMEDOUT && give_up())
			return -EINTR;
		err = write ? pthread_rwlock_timedwrlock(&l->l, &end)
			    : pthread_rwlock_timedrdlock(&l->l, &end);
	}
	held_push(l, l->rank);
	return 0;
}

void rwlock_unlock(struct rwlock *l)
{
	held_pop(l, l->rank);
	must(pthread_rwlock_unlock(&l->l));
}

void cond_init(struct cond *c)
{
	pthread_condattr_t attr;

	must(pthread_condattr_init(&attr));
	must(pthread_condattr_setclock(&attr, CLOCK_MONOTONIC));
	must(pthread_cond_init(&c->c, &attr));
	must(pthread_condattr_destroy(&attr));
}

void cond_destroy(struct cond *c)
{
	must(pthread_cond_destroy(&c->c));
}

/* The lock stays on the thread's held list while it sleeps: it is held again on return, and the
 * thread takes nothing in between. */
int cond_wait(struct cond *c, struct mutex *m, unsigned long long deadline_ns)
{
	struct timespec ts;
	int err;

	if (deadline_ns == ~0ULL) {
		must(pthread_cond_wait(&c->c, &m->m));
		return 0;
	}
	ts.tv_sec = (time_t)(deadline_ns / 1000000000ULL);
	ts.tv_nsec = (long)(deadline_ns % 1000000000ULL);
	err = pthread_cond_timedwait(&c->c, &m->m, &ts);
	if (err == ETIMEDOUT)
		return -ETIMEDOUT;
	must(err);
	return 0;
}

void cond_signal(struct cond *c)
{
	must(pthread_cond_signal(&c->c));
}

void cond_broadcast(struct cond *c)
{
	must(pthread_cond_broadcast(&c->c));
}
