/* Wait queues. A waker looks at the list without the lock first: the queues of most files are
 * empty most of the time. That is safe because who waits adds itself and then looks at the state
 * again, and who wakes changed the state before it looks here; the fence on one side and the lock
 * on the other keep either from being reordered. */
#include "vfs/waitq.h"

#include <assert.h>
#include <poll.h>
#include <stdatomic.h>

const struct waitq_hooks *waitq_hooks;

void waitq_init(struct waitq *q)
{
	mutex_init(&q->mu, LOCK_WAITQ);
	list_init(&q->waiters);
}

void waitq_destroy(struct waitq *q)
{
	assert(list_empty(&q->waiters));
	mutex_destroy(&q->mu);
}

void waitq_add(struct waitq *q, struct waiter *w)
{
	assert(!w->q);
	{
		AUTO_LOCK(&q->mu);
		w->q = q;
		list_push_back(&q->waiters, &w->node);
	}
	atomic_thread_fence(memory_order_seq_cst);
}

void waitq_remove(struct waiter *w)
{
	struct waitq *q = w->q;

	if (!q)
		return;
	AUTO_LOCK(&q->mu);
	list_del_init(&w->node);
	w->q = NULL;
}

bool waitq_active(struct waitq *q)
{
	atomic_thread_fence(memory_order_seq_cst);
	return !list_looks_empty(&q->waiters);
}

static void wake_locked(struct waitq *q, uint32_t events, bool one)
{
	AUTO_LOCK(&q->mu);
	list_for_each_safe (w, &q->waiters, struct waiter, node) {
		if (!(events & (w->events | POLLERR | POLLHUP)))
			continue;
		w->wake(w, events);
		if (one)
			return;
	}
}

static void wake(struct waitq *q, uint32_t events, bool one)
{
	const struct waitq_hooks *h = waitq_hooks;

	if (!waitq_active(q))
		return;
	if (h)
		h->begin();
	wake_locked(q, events, one);
	if (h)
		h->end();
}

void waitq_wake(struct waitq *q, uint32_t events)
{
	wake(q, events, false);
}

void waitq_wake_one(struct waitq *q, uint32_t events)
{
	wake(q, events, true);
}
