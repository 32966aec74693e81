/* Which ranges posted calls are about to touch, where several tasks share an address space.
 *
 * A posted call is run by its thread's stub at some time after map_lock is free again. Until then its
 * range is busy: no operation of another thread on it may begin, or a late munmap would hit a new
 * mapping. Searches for free space pass busy ranges over; who wants a certain one waits, without the
 * lock, and as long as anybody waits nothing more is posted.
 *
 * An entry keeps its thread alive for us: what a thread has posted is reported before it is freed, and
 * the report removes the entry, under fail_lock. */
#include <sched.h>
#include <stdlib.h>
#include <time.h>

#include "sentry/kernel/kernel.h"
#include "sentry/kernel/task.h"
#include "sentry/mm/mm_impl.h"

#define BUSY_MAX 256
#define WAIT_YIELDS 20
#define WAIT_STEP_NS 50000
/* A stub that has not run its calls by then is a hostile one. */
#define WAIT_MAX_NS 60000000000ULL

struct busy_range {
	uint64_t start, end;
	struct pf_thread *th;
	const void *who;
};

void busy_free(struct mm_impl *impl)
{
	free(impl->busy);
}

static void drop_locked(struct mm_impl *impl, uint32_t i)
{
	impl->busy[i] = impl->busy[--impl->nbusy];
}

static bool has_run(const struct busy_range *b)
{
	return kernel->pf_ops->calls_ran(b->th);
}

bool busy_add(struct mm_impl *impl, struct pf_thread *th, uint64_t start, uint64_t len, const void *who)
{
	AUTO_LOCK(&impl->fail_lock);
	if (!impl->busy)
		impl->busy = malloc(BUSY_MAX * sizeof(*impl->busy));
	if (!impl->busy)
		return false;
	for (uint32_t i = 0; impl->nbusy == BUSY_MAX && i < impl->nbusy; i++)
		if (has_run(&impl->busy[i]))
			drop_locked(impl, i);
	if (impl->nbusy == BUSY_MAX)
		return false;
	impl->busy[impl->nbusy++] = (struct busy_range){start, start + page_up(len), th, who};
	return true;
}

void busy_remove(struct mm_impl *impl, const void *who)
{
	AUTO_LOCK(&impl->fail_lock);
	for (uint32_t i = 0; i < impl->nbusy; i++)
		if (impl->busy[i].who == who) {
			drop_locked(impl, i);
			return;
		}
}

uint64_t busy_below(struct mm_impl *impl, struct pf_thread *th, uint64_t start, uint64_t end)
{
	AUTO_LOCK(&impl->fail_lock);
	for (uint32_t i = 0; i < impl->nbusy;) {
		const struct busy_range *b = &impl->busy[i];

		if (b->th == th || b->start >= end || b->end <= start)
			i++;
		else if (has_run(b))
			drop_locked(impl, i);
		else
			return b->start;
	}
	return 0;
}

static void wait_step(unsigned n)
{
	struct timespec ts = {0, WAIT_STEP_NS};

	if (n < WAIT_YIELDS)
		sched_yield();
	else
		clock_nanosleep(CLOCK_MONOTONIC, 0, &ts, NULL);
}

void busy_lock(struct mm_op *op, uint64_t start, uint64_t end)
{
	struct mm_impl *impl = op->m->impl;
	uint64_t since = 0;

	for (unsigned n = 0;; n++) {
		mutex_lock(&op->m->map_lock);
		if (start >= end || !busy_below(impl, op->th, start, end))
			break;
		mutex_unlock(&op->m->map_lock);
		if (!since) {
			atomic_fetch_add(&impl->waiting, 1);
			since = now_mono_ns();
		} else if (now_mono_ns() - since > WAIT_MAX_NS) {
			kernel->pf_ops->space_kill(op->m->space);
		}
		wait_step(n);
	}
	if (since)
		atomic_fetch_sub(&impl->waiting, 1);
}
