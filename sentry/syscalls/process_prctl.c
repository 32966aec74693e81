/* prctl(2), arch_prctl(2). */
#include <errno.h>
#include <linux/capability.h>
#include <linux/prctl.h>
#include <linux/securebits.h>
#include <string.h>

#include "sentry/kernel/seccomp.h"
#include "sentry/kernel/task_impl.h"
#include "sentry/mm/usercopy.h"
#include "sentry/syscalls/syscalls.h"

#define CAPBIT(c) (1ULL << (c))
#define USER_TOP 0x7ffffffff000UL

#define ARCH_SET_GS 0x1001
#define ARCH_SET_FS 0x1002
#define ARCH_GET_FS 0x1003
#define ARCH_GET_GS 0x1004
#define ARCH_GET_CPUID 0x1011
#define ARCH_SET_CPUID 0x1012

/* ---- names and flags ------------------------------------------------------------------------ */

static int64_t name_set(struct task *t, struct gptr src)
{
	char name[16] = {0};
	ssize_t n = copy_string_from_guest(t, name, src, sizeof(name));

	if (n == -EFAULT)
		return -EFAULT;
	name[sizeof(name) - 1] = '\0';
	AUTO_LOCK(&kernel->tasks_lock);
	memset(t->comm, 0, sizeof(t->comm));
	strcpy(t->comm, name);
	return 0;
}

static int64_t pdeathsig_set(struct task *t, uint64_t signo)
{
	if (signo > GUEST_NSIG)
		return -EINVAL;
	AUTO_LOCK(&kernel->tasks_lock);
	t->pdeathsig = (int)signo;
	return 0;
}

static int64_t dumpable_set(struct task *t, uint64_t v)
{
	if (v > 1)
		return -EINVAL;
	AUTO_LOCK(&kernel->tasks_lock);
	t->tg->dumpable = (int)v;
	return 0;
}

static int64_t subreaper_set(struct task *t, bool on)
{
	AUTO_LOCK(&kernel->tasks_lock);

	t->tg->is_child_subreaper = on;
	return 0;
}

/* ---- capabilities --------------------------------------------------------------------------- */

static int64_t securebits_set(struct task *t, uint64_t bits)
{
	uint32_t old = t->cred->securebits;
	uint32_t locked = (old & SECURE_ALL_LOCKS) >> 1;
	struct cred *c;

	/* A locked bit stays, locks stay, and only known bits may be set. */
	if ((locked & (old ^ (uint32_t)bits)) || (old & SECURE_ALL_LOCKS & ~(uint32_t)bits) ||
	    (bits & ~(uint64_t)(SECURE_ALL_LOCKS | SECURE_ALL_BITS)))
		return -EPERM;
	if (!task_capable(t, CAP_SETPCAP))
		return -EPERM;
	c = cred_dup(t->cred);
	if (!c)
		return -ENOMEM;
	c->securebits = (uint32_t)bits;
	task_set_cred(t, c);
	return 0;
}

static int64_t keepcaps_set(struct task *t, uint64_t on)
{
	struct cred *c;

	if (on > 1)
		return -EINVAL;
	if (t->cred->securebits & SECBIT_KEEP_CAPS_LOCKED)
		return -EPERM;
	c = cred_dup(t->cred);
	if (!c)
		return -ENOMEM;
	c->securebits &= ~(uint32_t)SECBIT_KEEP_CAPS;
	if (on)
		c->securebits |= SECBIT_KEEP_CAPS;
	task_set_cred(t, c);
	return 0;
}

static int64_t bounding_drop(struct task *t, uint64_t cap)
{
	struct cred *c;

	if (!task_capable(t, CAP_SETPCAP))
		return -EPERM;
	if (cap > CAP_LAST_CAP)
		return -EINVAL;
	c = cred_dup(t->cred);
	if (!c)
		return -ENOMEM;
	c->cap_bounding &= ~CAPBIT(cap);
	task_set_cred(t, c);
	return 0;
}

static int64_t ambient(struct task *t, uint64_t op, uint64_t cap, uint64_t a4, uint64_t a5)
{
	const struct cred *old = t->cred;
	struct cred *c;

	if (a4 || a5 || (op == PR_CAP_AMBIENT_CLEAR_ALL && cap))
		return -EINVAL;
	if (op != PR_CAP_AMBIENT_CLEAR_ALL && cap > CAP_LAST_CAP)
		return -EINVAL;
	switch (op) {
	case PR_CAP_AMBIENT_IS_SET:
		return !!(old->cap_ambient & CAPBIT(cap));
	case PR_CAP_AMBIENT_RAISE:
		if (!(old->cap_permitted & old->cap_inheritable & CAPBIT(cap)) ||
		    (old->securebits & SECBIT_NO_CAP_AMBIENT_RAISE))
			return -EPERM;
		break;
	case PR_CAP_AMBIENT_LOWER:
	case PR_CAP_AMBIENT_CLEAR_ALL:
		break;
	default:
		return -EINVAL;
	}
	c = cred_dup(old);
	if (!c)
		return -ENOMEM;
	if (op == PR_CAP_AMBIENT_CLEAR_ALL)
		c->cap_ambient = 0;
	else if (op == PR_CAP_AMBIENT_RAISE)
		c->cap_ambient |= CAPBIT(cap);
	else
		c->cap_ambient &= ~CAPBIT(cap);
	task_set_cred(t, c);
	return 0;
}

static int64_t no_new_privs_set(struct task *t)
{
	struct cred *c;

	if (t->cred->no_new_privs)
		return 0;
	c = cred_dup(t->cred);
	if (!c)
		return -ENOMEM;
	c->no_new_privs = true;
	task_set_cred(t, c);
	return 0;
}

/* ---- the call ------------------------------------------------------------------------------- */

static int64_t prctl_caps(struct task *t, int op, uint64_t a2, uint64_t a3, uint64_t a4,
			  uint64_t a5)
{
	switch (op) {
	case PR_GET_SECUREBITS:
		return t->cred->securebits;
	case PR_SET_SECUREBITS:
		return securebits_set(t, a2);
	case PR_GET_KEEPCAPS:
		return !!(t->cred->securebits & SECBIT_KEEP_CAPS);
	case PR_SET_KEEPCAPS:
		return keepcaps_set(t, a2);
	case PR_CAPBSET_READ:
		return a2 > CAP_LAST_CAP ? -EINVAL : !!(t->cred->cap_bounding & CAPBIT(a2));
	case PR_CAPBSET_DROP:
		return bounding_drop(t, a2);
	case PR_CAP_AMBIENT:
		return ambient(t, a2, a3, a4, a5);
	}
	return -EINVAL;
}

static bool any(uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
	return a || b || c || d;
}

static int64_t prctl_machine(struct task *t, int op, uint64_t a2, uint64_t a3, uint64_t a4,
			     uint64_t a5)
{
	switch (op) {
	case PR_GET_TSC:
		return put_guest_u32(t, gptr(a2), PR_TSC_ENABLE);
	case PR_SET_TSC:
		return a2 == PR_TSC_ENABLE ? 0 : -EINVAL;
	case PR_GET_TIMING:
		return PR_TIMING_STATISTICAL;
	case PR_SET_TIMING:
		return a2 == PR_TIMING_STATISTICAL ? 0 : -EINVAL;
	case PR_TASK_PERF_EVENTS_DISABLE:
	case PR_TASK_PERF_EVENTS_ENABLE:
		return 0;
	case PR_MCE_KILL_GET:
		return any(a2, a3, a4, a5) ? -EINVAL : PR_MCE_KILL_DEFAULT;
	case PR_GET_SPECULATION_CTRL:
		if (any(0, a3, a4, a5))
			return -EINVAL;
		return a2 <= PR_SPEC_L1D_FLUSH ? PR_SPEC_NOT_AFFECTED : -ENODEV;
	case PR_SET_SPECULATION_CTRL:
		return a4 || a5 ? -EINVAL : a2 <= PR_SPEC_L1D_FLUSH ? -ENXIO : -ENODEV;
	case PR_SET_MM:
		return task_capable(t, CAP_SYS_RESOURCE) ? -EINVAL : -EPERM;
	}
	return -EINVAL;
}

static int64_t prctl_task(struct task *t, int op, uint64_t a2, uint64_t a3, uint64_t a4,
			  uint64_t a5)
{
	switch (op) {
	case PR_SET_NAME:
		return name_set(t, gptr(a2));
	case PR_GET_NAME:
		return copy_to_guest(t, gptr(a2), t->comm, sizeof(t->comm));
	case PR_SET_PDEATHSIG:
		return pdeathsig_set(t, a2);
	case PR_GET_PDEATHSIG:
		return put_guest_u32(t, gptr(a2), (uint32_t)t->pdeathsig);
	case PR_SET_DUMPABLE:
		return dumpable_set(t, a2);
	case PR_GET_DUMPABLE:
		return t->tg->dumpable;
	case PR_SET_TIMERSLACK:
		t->timer_slack_ns = (int64_t)a2 > 0 ? a2 : t->default_timer_slack_ns;
		return 0;
	case PR_GET_TIMERSLACK:
		return (int64_t)t->timer_slack_ns;
	case PR_SET_CHILD_SUBREAPER:
		return subreaper_set(t, a2 != 0);
	case PR_GET_CHILD_SUBREAPER:
		return put_guest_u32(t, gptr(a2), t->tg->is_child_subreaper);
	case PR_SET_NO_NEW_PRIVS:
		return a2 != 1 || any(0, a3, a4, a5) ? -EINVAL : no_new_privs_set(t);
	case PR_GET_NO_NEW_PRIVS:
		return any(a2, a3, a4, a5) ? -EINVAL : task_no_new_privs(t);
	case PR_SET_THP_DISABLE:
		if (any(0, a3, a4, a5))
			return -EINVAL;
		t->thp_disable = a2 != 0;
		return 0;
	case PR_GET_THP_DISABLE:
		return any(a2, a3, a4, a5) ? -EINVAL : t->thp_disable;
	case PR_GET_TID_ADDRESS:
		task_hear(t);
		return put_guest_u64(t, gptr(a2), t->clear_child_tid.v);
	case PR_GET_SECCOMP:
		return seccomp_mode(t);
	case PR_SET_SECCOMP:
		return seccomp_prctl(t, a2, gptr(a3));
	}
	return prctl_machine(t, op, a2, a3, a4, a5);
}

int64_t sys_prctl(struct task *t, int op, uint64_t a2, uint64_t a3, uint64_t a4, uint64_t a5)
{
	switch (op) {
	case PR_GET_SECUREBITS:
	case PR_SET_SECUREBITS:
	case PR_GET_KEEPCAPS:
	case PR_SET_KEEPCAPS:
	case PR_CAPBSET_READ:
	case PR_CAPBSET_DROP:
	case PR_CAP_AMBIENT:
		return prctl_caps(t, op, a2, a3, a4, a5);
	}
	return prctl_task(t, op, a2, a3, a4, a5);
}

int64_t sys_arch_prctl(struct task *t, int op, uint64_t addr)
{
	struct pf_regs *regs = kernel->pf_ops->regs(t->pt);

	switch (op) {
	case ARCH_SET_FS:
	case ARCH_SET_GS:
		if (addr >= USER_TOP)
			return -EPERM;
		*(op == ARCH_SET_FS ? &regs->fs_base : &regs->gs_base) = addr;
		return 0;
	case ARCH_GET_FS:
		return put_guest_u64(t, gptr(addr), regs->fs_base);
	case ARCH_GET_GS:
		return put_guest_u64(t, gptr(addr), regs->gs_base);
	case ARCH_GET_CPUID:
		return 1;
	case ARCH_SET_CPUID:
		return -ENODEV;
	}
	return -EINVAL;
}
