#include "sentry/time/cpu_time.h"

#include <errno.h>
#include <time.h>

#include "sentry/kernel/kernel.h"
#include "sentry/kernel/task.h"

/* The fields of a dynamic clock id: ~pid << 3, a bit for threads, the kind. */
#define CLOCK_ID_THREAD 4
#define CLOCK_ID_KIND 3
#define CLOCK_ID_FD 3 /* kind of a dynamic POSIX clock: a descriptor */

static int resolve_process(struct task *t, int pid, struct cpu_clock *out)
{
	struct thread_group *tg;

	AUTO_LOCK(&kernel->tasks_lock);
	tg = pid ? thread_group_lookup_locked(pid) : t->tg;
	if (!tg)
		return -EINVAL;
	out->tg = thread_group_get(tg);
	return 0;
}

static int resolve_thread(struct task *t, int tid, struct cpu_clock *out)
{
	struct task *o;

	AUTO_LOCK(&kernel->tasks_lock);
	o = tid ? task_lookup_locked(tid) : t;
	if (!o || o->tg != t->tg)
		return -EINVAL;
	out->task = task_get(o);
	return 0;
}

int cpu_clock_resolve(struct task *t, int clock, struct cpu_clock *out)
{
	*out = (struct cpu_clock){.kind = CPU_CLOCK_SCHED};
	if (clock == CLOCK_PROCESS_CPUTIME_ID)
		return resolve_process(t, 0, out);
	if (clock == CLOCK_THREAD_CPUTIME_ID)
		return resolve_thread(t, 0, out);
	if ((clock & CLOCK_ID_KIND) == CLOCK_ID_FD)
		return -EINVAL;
	out->kind = clock & CLOCK_ID_KIND;
	return clock & CLOCK_ID_THREAD ? resolve_thread(t, ~(clock >> 3), out)
				       : resolve_process(t, ~(clock >> 3), out);
}

void cpu_clock_put(struct cpu_clock *c)
{
	if (c->tg)
		thread_group_put(c->tg);
	if (c->task)
		task_put(c->task);
	c->tg = NULL;
	c->task = NULL;
}

uint64_t cpu_clock_now(const struct cpu_clock *c)
{
	uint64_t user, sys;

	if (c->tg)
		thread_group_cpu_time(c->tg, &user, &sys);
	else
		task_cpu_time(c->task, &user, &sys);
	return c->kind == CPU_CLOCK_VIRT ? user : user + sys;
}

unsigned cpu_clock_rate(const struct cpu_clock *c)
{
	int n = 1;

	if (c->tg) {
		AUTO_LOCK(&kernel->tasks_lock);
		n = c->tg->ntasks;
	}
	/* A thread's user code and its kernel side may overlap a little. */
	return n > 0 ? 2u * (unsigned)n : 1;
}

int cpu_clock_read(struct task *t, int clock, uint64_t *ns)
{
	struct cpu_clock c;
	int err = cpu_clock_resolve(t, clock, &c);

	if (err)
		return err;
	*ns = cpu_clock_now(&c);
	cpu_clock_put(&c);
	return 0;
}
