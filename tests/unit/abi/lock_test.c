#include <criterion/criterion.h>
#include <errno.h>
#include <signal.h>
#include <time.h>

#include "abi/base/lock.h"

static unsigned long long now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (unsigned long long)ts.tv_sec * 1000000000ULL + (unsigned long long)ts.tv_nsec;
}

Test(lock, cond_wait_ends_at_its_deadline)
{
	struct mutex m;
	struct cond c;
	unsigned long long start = now_ns();

	mutex_init(&m, LOCK_PIPE);
	cond_init(&c);
	mutex_lock(&m);
	cr_assert_eq(cond_wait(&c, &m, start + 20000000), -ETIMEDOUT);
	cr_assert_geq(now_ns(), start + 20000000);
	mutex_assert_held(&m);
	mutex_unlock(&m);
	cond_destroy(&c);
	mutex_destroy(&m);
}

Test(lock, scope_end_releases)
{
	struct mutex m = MUTEX_INIT(LOCK_PIPE);
	struct rwlock l = RWLOCK_INIT(LOCK_CHECKPOINT);

	{
		AUTO_RDLOCK(&l);
		AUTO_LOCK(&m);
	}
	cr_assert(mutex_trylock(&m));
	mutex_unlock(&m);
	rwlock_wrlock(&l);
	rwlock_unlock(&l);
}

Test(lock, release_may_be_in_any_order)
{
	struct mutex a = MUTEX_INIT(LOCK_PIPE), b = MUTEX_INIT(LOCK_LOG);

	mutex_lock(&a);
	mutex_lock(&b);
	mutex_unlock(&a);
	mutex_unlock(&b);
	mutex_lock(&a);
	mutex_unlock(&a);
}

#ifdef LOCK_CHECK
Test(lock, out_of_order_aborts, .signal = SIGABRT)
{
	struct mutex a = MUTEX_INIT(LOCK_PIPE), b = MUTEX_INIT(LOCK_LOG);

	mutex_lock(&b);
	mutex_lock(&a);
}
#endif
