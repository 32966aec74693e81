/* CPU time: what the stub thread uses counts as user time and, for the host's work on faults and
 * mappings, system time; the S thread's own time is system time. */
#include <time.h>

#include "sentry/kernel/task_impl.h"

static uint64_t s_thread_ns(struct task *t)
{
	struct timespec ts;
	uint64_t ns;

	/* Fails when the S thread hasn't begun or is gone. */
	if (t->s_clock == 0 || clock_gettime(t->s_clock, &ts) < 0)
		return 0;
	ns = (uint64_t)ts.tv_sec * 1000000000ULL + (uint64_t)ts.tv_nsec;
	return ns > t->s_clock_base ? ns - t->s_clock_base : 0;
}

void task_cpu_time(struct task *t, uint64_t *user_ns, uint64_t *sys_ns)
{
	uint64_t u = 0, s = 0;

	AUTO_LOCK(&t->pt_lock);
	if (t->pt && kernel->pf_ops->thread_cpu_time(t->pt, &u, &s) < 0)
		u = s = 0;
	*user_ns = t->utime_base + u;
	*sys_ns = t->stime_base + s + s_thread_ns(t);
}

void thread_group_cpu_time_locked(struct thread_group *tg, uint64_t *user_ns, uint64_t *sys_ns)
{
	*user_ns = tg->dead_utime;
	*sys_ns = tg->dead_stime;
	list_for_each(t, &tg->tasks, struct task, tg_node) {
		uint64_t u, s;

		task_cpu_time(t, &u, &s);
		*user_ns += u;
		*sys_ns += s;
	}
}

void thread_group_cpu_time(struct thread_group *tg, uint64_t *user_ns, uint64_t *sys_ns)
{
	AUTO_LOCK(&kernel->tasks_lock);

	thread_group_cpu_time_locked(tg, user_ns, sys_ns);
}

/* The old stub thread's time stays with the task. */
void task_switch_pt(struct task *t, struct pf_thread *pt)
{
	const struct pf_ops *ops = kernel->pf_ops;
	uint64_t u = 0, s = 0;
	struct pf_thread *old;

	{
		AUTO_LOCK(&t->pt_lock);
		old = t->pt;
		if (old && ops->thread_cpu_time(old, &u, &s) == 0) {
			t->utime_base += u;
			t->stime_base += s;
		}
		t->pt = pt;
	}
	if (old)
		ops->thread_destroy(old);
}
