/* CPU time.
 *
 * What stub threads use is the guest's own time; what S threads use for it is system time.
 * A process that has a stub process of its own (owns_space; all but vfork children before their
 * exec) is measured as a whole: the host counts a process's ended threads too, so nothing has to
 * be asked for when a thread exits. dead_utime and dead_stime hold what the S threads of ended tasks
 * used, and what was used in address spaces that an exec left. */
#include <string.h>
#include <time.h>

#include "sentry/kernel/task_impl.h"
#include "sentry/mm/mm.h"

static uint64_t s_thread_ns(struct task *t)
{
	clockid_t clock = atomic_load(&t->s_clock);
	struct timespec ts;
	uint64_t ns;

	/* Fails when the S thread hasn't begun or is gone. */
	if (clock == 0 || clock_gettime(clock, &ts) < 0)
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

struct task *thread_group_runner_locked(struct thread_group *tg)
{
	struct task *best = NULL;
	uint64_t best_ns = 0, best_ran = 0;

	list_for_each(t, &tg->tasks, struct task, tg_node) {
		uint64_t user = 0, sys = 0, ran;

		if (t->exiting)
			continue;
		if (tg->ntasks > 1)
			task_cpu_time(t, &user, &sys);
		ran = user + sys > t->chosen_ns ? user + sys - t->chosen_ns : 0;
		if (best && ran <= best_ran)
			continue;
		best = t;
		best_ran = ran;
		best_ns = user + sys;
	}
	if (best && tg->ntasks > 1)
		best->chosen_ns = best_ns;
	return best;
}

static bool space_time(struct mm *mm, uint64_t *u, uint64_t *s)
{
	const struct pf_ops *ops = kernel->pf_ops;

	return ops->space_cpu_time && ops->space_cpu_time(mm->space, u, s) == 0;
}

void thread_group_owns_space(struct thread_group *tg)
{
	tg->owns_space = kernel->pf_ops->space_cpu_time != NULL;
}

void thread_group_cpu_time_locked(struct thread_group *tg, uint64_t *user_ns, uint64_t *sys_ns)
{
	struct mm *mm = NULL;
	uint64_t u, s;

	*user_ns = tg->dead_utime;
	*sys_ns = tg->dead_stime;
	list_for_each(t, &tg->tasks, struct task, tg_node) {
		if (!tg->owns_space) {
			task_cpu_time(t, &u, &s);
			*user_ns += u;
			*sys_ns += s;
			continue;
		}
		*sys_ns += s_thread_ns(t);
		if (t->mm)
			mm = t->mm;
	}
	if (mm && tg->owns_space && space_time(mm, &u, &s)) {
		*user_ns += u;
		*sys_ns += s;
	}
}

void thread_group_cpu_time(struct thread_group *tg, uint64_t *user_ns, uint64_t *sys_ns)
{
	AUTO_LOCK(&kernel->tasks_lock);

	thread_group_cpu_time_locked(tg, user_ns, sys_ns);
}

/* The group's last task with this mm leaves it: what was used there becomes history. In one step with
 * t->mm = NULL, so that nobody counts it twice. */
void task_leave_space_locked(struct task *t, struct mm *next, bool last)
{
	struct thread_group *tg = t->tg;
	uint64_t u, s;

	if (t->mm && last && tg->owns_space && space_time(t->mm, &u, &s)) {
		tg->dead_utime += u;
		tg->dead_stime += s;
	}
	t->mm = next;
}

void task_note_rss(struct task *t)
{
	const struct pf_ops *ops = kernel->pf_ops;
	uint64_t rss = ops->thread_maxrss ? ops->thread_maxrss(t->pt) : 0;

	if (!rss)
		rss = mm_rss_bytes(t->mm);
	AUTO_LOCK(&kernel->tasks_lock);
	if (rss > t->tg->maxrss)
		t->tg->maxrss = rss;
}

/* The S thread ends its work for t. */
void task_account_exit_locked(struct task *t)
{
	struct thread_group *tg = t->tg;
	uint64_t u, s;

	if (tg->owns_space) {
		tg->dead_stime += s_thread_ns(t);
	} else {
		task_cpu_time(t, &u, &s);
		tg->dead_utime += u;
		tg->dead_stime += s;
	}
	atomic_store(&t->s_clock, 0);
}

/* The old stub thread's time stays with the task, if anybody can still ask for it. Not counted: the
 * process that the address space belonged to has it already. */
struct pf_thread *task_swap_pt(struct task *t, struct pf_thread *pt, bool counted)
{
	const struct pf_ops *ops = kernel->pf_ops;
	uint64_t u = 0, s = 0;
	struct pf_thread *old;

	{
		AUTO_LOCK(&t->pt_lock);
		old = t->pt;
		if (old && counted && (pt || !t->tg->owns_space) && ops->thread_cpu_time(old, &u, &s) == 0) {
			t->utime_base += u;
			t->stime_base += s;
		}
		t->pt = pt;
		memset(&t->identity, 0, sizeof(t->identity));
	}
	atomic_store(&t->republish, true);
	return old;
}

void task_switch_pt(struct task *t, struct pf_thread *pt, bool counted)
{
	struct pf_thread *old = task_swap_pt(t, pt, counted);

	if (!old)
		return;
	if (pt && kernel->pf_ops->thread_aside)
		kernel->pf_ops->thread_aside(old);
	kernel->pf_ops->thread_destroy(old);
}
