/* membarrier(2): a memory barrier on every thread that runs.
 *
 * A thread that is not in guest code passes a barrier before it is there again. One that is gets
 * interrupted, which is a trip through the host's kernel. So: take the threads that are in guest
 * code now (run_seq is odd), interrupt each, and wait until its count has moved. The count is
 * written by the S thread before it hands over to the stub, so on x86-64, where stores become
 * visible in order, a thread that we see outside will see what was stored before this call. */
#include <errno.h>
#include <linux/membarrier.h>
#include <stdlib.h>
#include <time.h>

#include "sentry/kernel/restart.h"
#include "sentry/kernel/task_impl.h"
#include "sentry/mm/mm.h"
#include "sentry/syscalls/syscalls.h"

#define COMMANDS                                                                                   \
	(MEMBARRIER_CMD_GLOBAL | MEMBARRIER_CMD_GLOBAL_EXPEDITED |                                  \
	 MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED | MEMBARRIER_CMD_PRIVATE_EXPEDITED |              \
	 MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED | MEMBARRIER_CMD_PRIVATE_EXPEDITED_SYNC_CORE |   \
	 MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_SYNC_CORE)

struct running {
	struct task *t;
	uint32_t seq;
};

struct barrier {
	struct task *self;
	bool all; /* or only those that share our memory */
	struct running *v;
	size_t n, cap;
	bool failed;
};

static bool running_add(struct task *o, void *ctx)
{
	struct barrier *b = ctx;
	uint32_t seq = atomic_load(&o->run_seq);

	if (o == b->self || !(seq & 1) || (!b->all && o->mm != b->self->mm))
		return true;
	if (b->n == b->cap) {
		size_t cap = b->cap ? b->cap * 2 : 16;
		struct running *v = realloc(b->v, cap * sizeof(*v));

		if (!v) {
			b->failed = true;
			return false;
		}
		b->v = v;
		b->cap = cap;
	}
	b->v[b->n++] = (struct running){task_get(o), seq};
	return true;
}

static void running_wait(const struct running *r)
{
	struct timespec pause = {0, 20000};

	while (atomic_load(&r->t->run_seq) == r->seq)
		nanosleep(&pause, NULL);
}

static int64_t barrier_run(struct task *t, bool all)
{
	struct barrier b = {.self = t, .all = all};

	atomic_thread_fence(memory_order_seq_cst);
	{
		AUTO_LOCK(&kernel->tasks_lock);
		/* Others may share our memory without being of our process. */
		if (all || ref_count(&t->mm->ref) > t->tg->ntasks)
			task_each_locked(running_add, &b);
		else
			list_for_each(o, &t->tg->tasks, struct task, tg_node)
				running_add(o, &b);
		for (size_t i = 0; i < b.n; i++)
			task_interrupt(b.v[i].t);
	}
	for (size_t i = 0; i < b.n; i++) {
		running_wait(&b.v[i]);
		task_put(b.v[i].t);
	}
	free(b.v);
	atomic_thread_fence(memory_order_seq_cst);
	return b.failed ? -ENOMEM : 0;
}

int64_t sys_membarrier(struct task *t, int cmd, unsigned int flags, int cpu)
{
	_Atomic uint32_t *registered = &t->tg->membarrier;

	/* MEMBARRIER_CMD_FLAG_CPU belongs to the rseq commands, which are not here. */
	if (flags)
		return -EINVAL;
	switch (cmd) {
	case MEMBARRIER_CMD_QUERY:
		return COMMANDS;
	case MEMBARRIER_CMD_GLOBAL:
	case MEMBARRIER_CMD_GLOBAL_EXPEDITED:
		return barrier_run(t, true);
	case MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED:
	case MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED:
	case MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_SYNC_CORE:
		atomic_fetch_or(registered, (uint32_t)cmd);
		return 0;
	case MEMBARRIER_CMD_PRIVATE_EXPEDITED:
	case MEMBARRIER_CMD_PRIVATE_EXPEDITED_SYNC_CORE:
		/* The registering command is the next bit. */
		if (!(*registered & (uint32_t)cmd << 1))
			return -EPERM;
		return barrier_run(t, false);
	}
	return -EINVAL;
}
