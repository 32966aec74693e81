/* Resource limits and usage: getrlimit(2), prlimit(2), getrusage(2), times(2). */
#include <errno.h>
#include <linux/capability.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/times.h>

#include "sentry/kernel/cpu_limit.h"
#include "sentry/kernel/task_impl.h"
#include "sentry/mm/mm.h"
#include "sentry/mm/usercopy.h"
#include "sentry/syscalls/syscalls.h"

#define NS_PER_TICK 10000000ULL

/* ---- limits --------------------------------------------------------------------------------- */

static int limit_set_locked(struct task *t, struct thread_group *tg, unsigned resource,
			    const struct rlimit64_guest *new)
{
	struct rlimit64_guest *l = &tg->rlimits[resource];

	if (new->cur > new->max)
		return -EINVAL;
	if (resource == RLIMIT_NOFILE && new->max > kernel->config.nofile_max)
		return -EPERM;
	if (new->max > l->max && !task_capable(t, CAP_SYS_RESOURCE))
		return -EPERM;
	*l = *new;
	return 0;
}

/* prlimit(2): another's only when all ids match, or CAP_SYS_RESOURCE. */
static bool limit_may(struct task *t, struct task *target)
{
	const struct cred *c = t->cred, *o = target->cred;

	if (t->tg == target->tg || cred_capable(c, CAP_SYS_RESOURCE))
		return true;
	return c->uid == o->euid && c->uid == o->suid && c->uid == o->uid && c->gid == o->egid &&
	       c->gid == o->sgid && c->gid == o->gid;
}

static int64_t do_prlimit(struct task *t, int pid, unsigned resource,
			  const struct rlimit64_guest *new, struct rlimit64_guest *old)
{
	AUTO(thread_group) struct thread_group *tg = NULL;
	struct task *target;
	int err = 0;

	if (resource >= GUEST_NRLIMITS)
		return -EINVAL;
	{
		AUTO_LOCK(&kernel->tasks_lock);
		target = pid ? task_lookup_locked(pid) : t;
		if (!target)
			return -ESRCH;
		if (!limit_may(t, target))
			return -EPERM;
		tg = thread_group_get(target->tg);
		*old = tg->rlimits[resource];
		if (new)
			err = limit_set_locked(t, tg, resource, new);
	}
	if (err == 0 && new && resource == RLIMIT_CPU)
		cpu_limit_update(tg);
	return err;
}

int64_t sys_prlimit64(struct task *t, int pid, unsigned int resource, struct gptr new_limit,
		      struct gptr old_limit)
{
	struct rlimit64_guest new, old;
	int64_t err;

	if (!gptr_null(new_limit) && get_guest(t, &new, new_limit))
		return -EFAULT;
	err = do_prlimit(t, pid, resource, gptr_null(new_limit) ? NULL : &new, &old);
	if (err == 0 && !gptr_null(old_limit) && put_guest(t, old_limit, &old))
		return -EFAULT;
	return err;
}

int64_t sys_getrlimit(struct task *t, unsigned int resource, struct gptr rlim)
{
	struct rlimit64_guest old;
	int64_t err = do_prlimit(t, 0, resource, NULL, &old);

	return err < 0 ? err : put_guest(t, rlim, &old);
}

int64_t sys_setrlimit(struct task *t, unsigned int resource, struct gptr rlim)
{
	struct rlimit64_guest new, old;

	if (get_guest(t, &new, rlim))
		return -EFAULT;
	return do_prlimit(t, 0, resource, &new, &old);
}

/* ---- usage ---------------------------------------------------------------------------------- */

static void timeval_set(struct timeval *tv, uint64_t ns)
{
	tv->tv_sec = (time_t)(ns / 1000000000ULL);
	tv->tv_usec = (suseconds_t)(ns % 1000000000ULL / 1000);
}

static void usage_counts(struct rusage *ru, const struct task_counts *c)
{
	ru->ru_minflt += (long)c->min_flt;
	ru->ru_majflt += (long)c->maj_flt;
	ru->ru_nvcsw += (long)c->nvcsw;
	ru->ru_nivcsw += (long)c->nivcsw;
}

static void usage_self(struct task *t, struct rusage *ru)
{
	uint64_t u, s, rss = mm_rss_bytes(t->mm);

	AUTO_LOCK(&kernel->tasks_lock);
	thread_group_cpu_time_locked(t->tg, &u, &s);
	timeval_set(&ru->ru_utime, u);
	timeval_set(&ru->ru_stime, s);
	usage_counts(ru, &t->tg->dead_counts);
	list_for_each(o, &t->tg->tasks, struct task, tg_node)
		usage_counts(ru, &o->counts);
	if (rss > t->tg->maxrss)
		t->tg->maxrss = rss;
	ru->ru_maxrss = (long)(t->tg->maxrss >> 10);
}

static void usage_children(struct task *t, struct rusage *ru)
{
	AUTO_LOCK(&kernel->tasks_lock);

	timeval_set(&ru->ru_utime, t->tg->child_utime);
	timeval_set(&ru->ru_stime, t->tg->child_stime);
	usage_counts(ru, &t->tg->child_counts);
	ru->ru_maxrss = (long)(t->tg->child_maxrss >> 10);
}

static void usage_thread(struct task *t, struct rusage *ru)
{
	uint64_t u, s;

	task_cpu_time(t, &u, &s);
	timeval_set(&ru->ru_utime, u);
	timeval_set(&ru->ru_stime, s);
	usage_counts(ru, &t->counts);
	ru->ru_maxrss = (long)(mm_rss_bytes(t->mm) >> 10);
}

int64_t sys_getrusage(struct task *t, int who, struct gptr usage)
{
	struct rusage ru;

	memset(&ru, 0, sizeof(ru));
	switch (who) {
	case RUSAGE_SELF:
		usage_self(t, &ru);
		break;
	case RUSAGE_CHILDREN:
		usage_children(t, &ru);
		break;
	case RUSAGE_THREAD:
		usage_thread(t, &ru);
		break;
	default:
		return -EINVAL;
	}
	return put_guest(t, usage, &ru);
}

int64_t sys_times(struct task *t, struct gptr buf)
{
	struct tms tms;
	uint64_t u, s;

	if (!gptr_null(buf)) {
		{
			AUTO_LOCK(&kernel->tasks_lock);
			thread_group_cpu_time_locked(t->tg, &u, &s);
			tms.tms_cutime = (clock_t)(t->tg->child_utime / NS_PER_TICK);
			tms.tms_cstime = (clock_t)(t->tg->child_stime / NS_PER_TICK);
		}
		tms.tms_utime = (clock_t)(u / NS_PER_TICK);
		tms.tms_stime = (clock_t)(s / NS_PER_TICK);
		if (put_guest(t, buf, &tms))
			return -EFAULT;
	}
	return (int64_t)((now_mono_ns() - kernel->boot_mono_ns) / NS_PER_TICK);
}
