/* Scheduling policies, priorities and affinity: kept, checked and shown; the host schedules. */
#include <errno.h>
#include <linux/capability.h>
#include <linux/ioprio.h>
#include <sched.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "abi/linux/sched.h"
#include "sentry/kernel/session.h"
#include "sentry/kernel/task_impl.h"
#include "sentry/mm/usercopy.h"
#include "sentry/syscalls/syscalls.h"

#define POLICY_DEADLINE 6
#define RESET_ON_FORK 0x40000000
#define FLAG_RESET_ON_FORK 1ULL
#define FLAGS_KNOWN 0x7fULL
#define PRIORITY_MAX 99

int64_t sys_sched_yield(struct task *t)
{
	sched_yield();
	return 0;
}

static bool policy_realtime(int policy)
{
	return policy == SCHED_FIFO || policy == SCHED_RR;
}

static bool policy_valid(int policy)
{
	return policy == SCHED_OTHER || policy == SCHED_BATCH || policy == SCHED_IDLE ||
	       policy_realtime(policy);
}

static struct task *target_locked(struct task *t, int pid)
{
	return pid ? task_lookup_locked(pid) : t;
}

static bool may_change(struct task *t, struct task *target)
{
	const struct cred *c = t->cred, *o = target->cred;

	return c->euid == o->euid || c->euid == o->uid || cred_capable(c, CAP_SYS_NICE);
}

struct policy_wish {
	int policy, priority; /* policy -1: as it is */
	int nice;
	bool set_nice, reset_on_fork, keep_reset;
};

static int wish_check(struct task *t, struct task *o, const struct policy_wish *w)
{
	bool may = cred_capable(t->cred, CAP_SYS_NICE);
	uint64_t rtprio = o->tg->rlimits[RLIMIT_RTPRIO].cur;

	if (!policy_valid(w->policy))
		return -EINVAL;
	if (policy_realtime(w->policy) ? w->priority < 1 || w->priority > PRIORITY_MAX :
					 w->priority != 0)
		return -EINVAL;
	if (!may_change(t, o))
		return -EPERM;
	if (may)
		return 0;
	if (policy_realtime(w->policy)) {
		if (w->policy != o->sched_policy && rtprio == 0)
			return -EPERM;
		if (w->priority > o->sched_priority && (uint64_t)w->priority > rtprio)
			return -EPERM;
	}
	if (o->sched_policy == SCHED_IDLE && w->policy != SCHED_IDLE &&
	    (uint64_t)(20 - o->nice) > o->tg->rlimits[RLIMIT_NICE].cur)
		return -EPERM;
	if (w->set_nice && w->nice < o->nice &&
	    (uint64_t)(20 - w->nice) > o->tg->rlimits[RLIMIT_NICE].cur)
		return -EPERM;
	if (!w->keep_reset && o->sched_reset_on_fork && !w->reset_on_fork)
		return -EPERM;
	return 0;
}

static int64_t policy_set(struct task *t, int pid, struct policy_wish *w)
{
	struct task *o;
	int err;

	if (pid < 0)
		return -EINVAL;
	AUTO_LOCK(&kernel->tasks_lock);
	o = target_locked(t, pid);
	if (!o)
		return -ESRCH;
	if (w->policy == -1)
		w->policy = o->sched_policy;
	err = wish_check(t, o, w);
	if (err < 0)
		return err;
	o->sched_policy = w->policy;
	o->sched_priority = w->priority;
	if (!w->keep_reset)
		o->sched_reset_on_fork = w->reset_on_fork;
	if (w->set_nice)
		o->nice = w->nice;
	return 0;
}

int64_t sys_sched_setscheduler(struct task *t, int pid, int policy, struct gptr param)
{
	struct policy_wish w = {.policy = policy & ~RESET_ON_FORK,
				.reset_on_fork = policy & RESET_ON_FORK};

	if (policy < 0 || gptr_null(param))
		return -EINVAL;
	if (get_guest_u32(t, (uint32_t *)&w.priority, param))
		return -EFAULT;
	return policy_set(t, pid, &w);
}

int64_t sys_sched_setparam(struct task *t, int pid, struct gptr param)
{
	struct policy_wish w = {.policy = -1, .keep_reset = true};

	if (gptr_null(param))
		return -EINVAL;
	if (get_guest_u32(t, (uint32_t *)&w.priority, param))
		return -EFAULT;
	return policy_set(t, pid, &w);
}

int64_t sys_sched_getscheduler(struct task *t, int pid)
{
	struct task *o;

	if (pid < 0)
		return -EINVAL;
	AUTO_LOCK(&kernel->tasks_lock);
	o = target_locked(t, pid);
	if (!o)
		return -ESRCH;
	return o->sched_policy | (o->sched_reset_on_fork ? RESET_ON_FORK : 0);
}

int64_t sys_sched_getparam(struct task *t, int pid, struct gptr param)
{
	struct task *o;
	int priority;

	if (pid < 0 || gptr_null(param))
		return -EINVAL;
	{
		AUTO_LOCK(&kernel->tasks_lock);
		o = target_locked(t, pid);
		if (!o)
			return -ESRCH;
		priority = o->sched_priority;
	}
	return put_guest_u32(t, param, (uint32_t)priority);
}

/* What only newer kernels know must not be asked for: -E2BIG. */
static int rest_check(struct task *t, struct gptr attr, uint32_t size)
{
	uint8_t rest[GUEST_PAGE_SIZE];
	uint32_t known = sizeof(struct linux_sched_attr);

	if (size <= known)
		return 0;
	if (copy_from_guest(t, rest, gptr_add(attr, known), size - known))
		return -EFAULT;
	for (uint32_t i = 0; i < size - known; i++)
		if (rest[i])
			return -E2BIG;
	return 0;
}

int64_t sys_sched_setattr(struct task *t, int pid, struct gptr attr, unsigned int flags)
{
	struct linux_sched_attr a = {0};
	struct policy_wish w;
	uint32_t size;
	int err;

	if (gptr_null(attr) || pid < 0 || flags)
		return -EINVAL;
	if (get_guest_u32(t, &size, attr))
		return -EFAULT;
	if (size == 0)
		size = LINUX_SCHED_ATTR_SIZE_VER0;
	if (size < LINUX_SCHED_ATTR_SIZE_VER0 || size > GUEST_PAGE_SIZE) {
		put_guest_u32(t, attr, sizeof(a));
		return -E2BIG;
	}
	if (copy_from_guest(t, &a, attr, size < sizeof(a) ? size : sizeof(a)))
		return -EFAULT;
	err = rest_check(t, attr, size);
	if (err) {
		if (err == -E2BIG)
			put_guest_u32(t, attr, sizeof(a));
		return err;
	}
	if (a.sched_flags & ~FLAGS_KNOWN || a.sched_policy == POLICY_DEADLINE)
		return -EINVAL;
	w = (struct policy_wish){.policy = (int)a.sched_policy,
				 .priority = (int)a.sched_priority,
				 .nice = a.sched_nice < -20 ? -20 :
					 a.sched_nice > 19  ? 19 :
							      a.sched_nice,
				 .set_nice = !policy_realtime((int)a.sched_policy),
				 .reset_on_fork = a.sched_flags & FLAG_RESET_ON_FORK};
	if (w.policy < 0)
		return -EINVAL;
	return policy_set(t, pid, &w);
}

int64_t sys_sched_getattr(struct task *t, int pid, struct gptr attr, unsigned int size,
			  unsigned int flags)
{
	struct linux_sched_attr a = {.size = sizeof(a)};
	struct task *o;

	if (gptr_null(attr) || pid < 0 || flags || size < LINUX_SCHED_ATTR_SIZE_VER0 ||
	    size > GUEST_PAGE_SIZE)
		return -EINVAL;
	{
		AUTO_LOCK(&kernel->tasks_lock);
		o = target_locked(t, pid);
		if (!o)
			return -ESRCH;
		a.sched_policy = (uint32_t)o->sched_policy;
		a.sched_flags = o->sched_reset_on_fork ? FLAG_RESET_ON_FORK : 0;
		a.sched_priority = (uint32_t)o->sched_priority;
		a.sched_nice = policy_realtime(o->sched_policy) ? 0 : o->nice;
	}
	if (size < sizeof(a))
		a.size = size;
	return copy_to_guest(t, attr, &a, a.size);
}

static int64_t priority_bound(int policy, int64_t realtime)
{
	if (policy_realtime(policy))
		return realtime;
	return policy_valid(policy) || policy == POLICY_DEADLINE ? 0 : -EINVAL;
}

int64_t sys_sched_get_priority_max(struct task *t, int policy)
{
	return priority_bound(policy, PRIORITY_MAX);
}

int64_t sys_sched_get_priority_min(struct task *t, int policy)
{
	return priority_bound(policy, 1);
}

int64_t sys_sched_rr_get_interval(struct task *t, int pid, struct gptr interval)
{
	struct timespec ts = {0, 4000000};
	int64_t policy;

	policy = sys_sched_getscheduler(t, pid);
	if (policy < 0)
		return policy;
	policy &= ~(int64_t)RESET_ON_FORK;
	if (policy == SCHED_RR)
		ts.tv_nsec = 100000000;
	else if (policy == SCHED_FIFO)
		ts.tv_nsec = 0;
	return put_guest(t, interval, &ts);
}

/* ---- affinity ------------------------------------------------------------------------------- */

/* As many bytes as Linux has for this many CPUs. */
static size_t affinity_size(void)
{
	return (kernel->config.ncpus + 63) / 64 * 8;
}

static void affinity_clip(uint64_t mask[16])
{
	unsigned n = kernel->config.ncpus;

	for (unsigned i = 0; i < 16; i++) {
		if (i * 64 >= n)
			mask[i] = 0;
		else if (n - i * 64 < 64)
			mask[i] &= (1ULL << (n - i * 64)) - 1;
	}
}

int64_t sys_sched_setaffinity(struct task *t, int pid, uint64_t len, struct gptr mask)
{
	uint64_t m[16] = {0};
	struct task *o;
	bool some = false;

	if (copy_from_guest(t, m, mask, len < sizeof(m) ? len : sizeof(m)))
		return -EFAULT;
	affinity_clip(m);
	for (int i = 0; i < 16; i++)
		some = some || m[i];
	AUTO_LOCK(&kernel->tasks_lock);
	o = target_locked(t, pid);
	if (pid < 0 || !o)
		return -ESRCH;
	if (!may_change(t, o))
		return -EPERM;
	if (!some)
		return -EINVAL;
	memcpy(o->affinity, m, sizeof(m));
	return 0;
}

int64_t sys_sched_getaffinity(struct task *t, int pid, uint64_t len, struct gptr mask)
{
	size_t size = affinity_size();
	uint64_t m[16];
	struct task *o;

	if ((uint32_t)len * 8 < kernel->config.ncpus || len & 7)
		return -EINVAL;
	{
		AUTO_LOCK(&kernel->tasks_lock);
		o = target_locked(t, pid);
		if (pid < 0 || !o)
			return -ESRCH;
		memcpy(m, o->affinity, sizeof(m));
	}
	affinity_clip(m);
	if (len < size)
		size = len;
	return copy_to_guest(t, mask, m, size) ? -EFAULT : (int64_t)size;
}

static unsigned affinity_first(const uint64_t m[16])
{
	for (unsigned i = 0; i < 16; i++)
		if (m[i])
			return i * 64 + (unsigned)__builtin_ctzll(m[i]);
	return 0;
}

/* Where the sentry's half of the thread runs, if the guest allowed itself that CPU. */
int64_t sys_getcpu(struct task *t, struct gptr cpu, struct gptr node, struct gptr unused)
{
	int on = sched_getcpu();
	unsigned n = on < 0 ? 0 : (unsigned)on % kernel->config.ncpus;

	if (n < 1024 && !(t->affinity[n / 64] & 1ULL << n % 64))
		n = affinity_first(t->affinity);
	if (!gptr_null(cpu) && put_guest_u32(t, cpu, n))
		return -EFAULT;
	if (!gptr_null(node) && put_guest_u32(t, node, 0))
		return -EFAULT;
	return 0;
}
