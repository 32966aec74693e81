/* Filters that a guest puts on its own system calls.
 *
 * A task points at its newest filter, each filter at the one before it, which it holds a reference
 * to. Filters don't change once they are installed, and children share them, so a family of
 * processes is a tree of filters:
 *
 *	parent ──► F2 ──► F1
 *	child ──► F3 ──┘
 *
 * A task's pointer is replaced by itself, or by a sibling with SECCOMP_FILTER_FLAG_TSYNC, under
 * tasks_lock and only by a filter that has the old one among its ancestors. So the owner may read
 * its pointer without a lock: what it finds lives as long as what replaced it, which the owner alone
 * releases.
 *
 * While a task is filtered the stub answers nothing by itself (task_publish), and every call comes
 * through syscall_dispatch(). */
#include "sentry/kernel/seccomp.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/capability.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>

#include "abi/base/log.h"
#include "abi/base/ref.h"
#include "sentry/kernel/ptrace.h"
#include "sentry/kernel/seccomp_bpf.h"
#include "sentry/kernel/task_impl.h"
#include "sentry/mm/usercopy.h"
#include "sentry/syscalls/syscalls.h"

/* Linux counts four instructions more for each filter of a chain. */
#define CHAIN_MAX_INSNS (32768 - 4)
#define FILTER_PENALTY 4
#define FLAGS_KNOWN                                                                                \
	(SECCOMP_FILTER_FLAG_TSYNC | SECCOMP_FILTER_FLAG_LOG | SECCOMP_FILTER_FLAG_SPEC_ALLOW |    \
	 SECCOMP_FILTER_FLAG_TSYNC_ESRCH)
#define SYS_SECCOMP_CODE 1 /* si_code */

struct seccomp_filter {
	struct ref ref;
	/* immutable after it is installed */
	struct seccomp_filter *prev; /* owned */
	bool strict;		     /* SECCOMP_MODE_STRICT: no program */
	bool log;
	unsigned int len;
	unsigned int chain_len;
	struct sock_filter prog[];
};

/* struct sock_fprog of the guest. */
struct guest_fprog {
	uint16_t len;
	uint16_t pad[3];
	uint64_t filter;
};

static struct seccomp_filter *filter_of(struct task *t)
{
	return atomic_load_explicit(&t->seccomp, memory_order_acquire);
}

static struct seccomp_filter *filter_get(struct seccomp_filter *f)
{
	if (f)
		ref_get(&f->ref);
	return f;
}

/* Not recursive: a chain may have thousands of links. */
static void filter_put(struct seccomp_filter *f)
{
	while (f && ref_put(&f->ref)) {
		struct seccomp_filter *prev = f->prev;

		free(f);
		f = prev;
	}
}

DEFINE_AUTO_PUT(seccomp_filter, struct seccomp_filter *, filter_put)

int seccomp_mode(struct task *t)
{
	struct seccomp_filter *f = filter_of(t);

	if (!f)
		return SECCOMP_MODE_DISABLED;
	return f->strict ? SECCOMP_MODE_STRICT : SECCOMP_MODE_FILTER;
}

int seccomp_filter_count(struct task *t)
{
	int n = 0;

	for (struct seccomp_filter *f = filter_of(t); f; f = f->prev)
		n += !f->strict;
	return n;
}

bool task_no_new_privs(const struct task *t)
{
	return t->cred->no_new_privs || atomic_load(&((struct task *)t)->no_new_privs);
}

void seccomp_inherit(struct task *child, struct task *parent)
{
	atomic_store(&child->no_new_privs, atomic_load(&parent->no_new_privs));
	child->seccomp = filter_get(filter_of(parent));
}

void seccomp_drop(struct task *t)
{
	filter_put(t->seccomp);
	t->seccomp = NULL;
}

/* ---- installing ----------------------------------------------------------------------------- */

static struct seccomp_filter *filter_alloc(unsigned int len)
{
	struct seccomp_filter *f = calloc(1, sizeof(*f) + len * sizeof(f->prog[0]));

	if (f) {
		ref_init(&f->ref);
		f->len = len;
	}
	return f;
}

/* Consumes a reference to f. tasks_lock. */
static void filter_set_locked(struct task *t, struct seccomp_filter *f)
{
	struct seccomp_filter *old = t->seccomp;

	atomic_store_explicit(&t->seccomp, f, memory_order_release);
	/* Not the last reference: f or an ancestor of f has one. */
	filter_put(old);
}

static bool is_ancestor(const struct seccomp_filter *f, const struct seccomp_filter *of)
{
	for (; of; of = of->prev)
		if (of == f)
			return true;
	return !f;
}

/* A sibling with filters of its own, which t's can't replace. */
static struct task *tsync_obstacle_locked(struct task *t)
{
	list_for_each(other, &t->tg->tasks, struct task, tg_node)
		if (other != t && !is_ancestor(other->seccomp, t->seccomp))
			return other;
	return NULL;
}

static int64_t filter_install(struct task *t, struct seccomp_filter *f, unsigned int flags)
{
	AUTO_LOCK(&kernel->tasks_lock);

	if (flags & SECCOMP_FILTER_FLAG_TSYNC) {
		struct task *other = tsync_obstacle_locked(t);

		if (other)
			return flags & SECCOMP_FILTER_FLAG_TSYNC_ESRCH ? -ESRCH : other->tid;
	}
	f->prev = filter_get(t->seccomp);
	f->chain_len = f->len + FILTER_PENALTY + (f->prev ? f->prev->chain_len : 0);
	filter_set_locked(t, filter_get(f));
	atomic_store(&t->republish, true);
	if (flags & SECCOMP_FILTER_FLAG_TSYNC) {
		list_for_each(other, &t->tg->tasks, struct task, tg_node) {
			if (other == t || other->exiting)
				continue;
			/* Or it could bring a program with other rights under our filters. */
			if (task_no_new_privs(t))
				atomic_store(&other->no_new_privs, true);
			filter_set_locked(other, filter_get(f));
			task_republish(other);
		}
	}
	return 0;
}

static int fprog_fetch(struct task *t, struct gptr prog, struct seccomp_filter **out)
{
	AUTO(seccomp_filter) struct seccomp_filter *f = NULL;
	struct guest_fprog fprog;
	int err;

	if (get_guest(t, &fprog, prog))
		return -EFAULT;
	if (fprog.len == 0 || fprog.len > BPF_MAXINSNS || !fprog.filter)
		return -EINVAL;
	f = filter_alloc(fprog.len);
	if (!f)
		return -ENOMEM;
	if (copy_from_guest(t, f->prog, gptr(fprog.filter), fprog.len * sizeof(f->prog[0])))
		return -EFAULT;
	err = seccomp_bpf_check(f->prog, f->len);
	if (err < 0)
		return err;
	*out = steal(&f);
	return 0;
}

static int64_t mode_filter(struct task *t, unsigned int flags, struct gptr prog)
{
	AUTO(seccomp_filter) struct seccomp_filter *f = NULL;
	struct seccomp_filter *old = filter_of(t);
	int err;

	if (flags & ~(unsigned int)FLAGS_KNOWN)
		return -EINVAL;
	if (!task_no_new_privs(t) && !task_capable(t, CAP_SYS_ADMIN))
		return -EACCES;
	err = fprog_fetch(t, prog, &f);
	if (err < 0)
		return err;
	if (old && old->strict)
		return -EINVAL;
	if (old && old->chain_len + f->len + FILTER_PENALTY > CHAIN_MAX_INSNS)
		return -ENOMEM;
	f->log = flags & SECCOMP_FILTER_FLAG_LOG;
	return filter_install(t, f, flags);
}

static int64_t mode_strict(struct task *t)
{
	AUTO(seccomp_filter) struct seccomp_filter *f = NULL;

	if (filter_of(t))
		return filter_of(t)->strict ? 0 : -EINVAL;
	f = filter_alloc(0);
	if (!f)
		return -ENOMEM;
	f->strict = true;
	return filter_install(t, f, 0);
}

static int64_t action_available(struct task *t, struct gptr arg)
{
	uint32_t action;

	if (get_guest_u32(t, &action, arg))
		return -EFAULT;
	switch (action) {
	case SECCOMP_RET_KILL_PROCESS:
	case SECCOMP_RET_KILL_THREAD:
	case SECCOMP_RET_TRAP:
	case SECCOMP_RET_ERRNO:
	case SECCOMP_RET_TRACE:
	case SECCOMP_RET_LOG:
	case SECCOMP_RET_ALLOW:
		return 0;
	}
	return -EOPNOTSUPP;
}

int64_t sys_seccomp(struct task *t, unsigned int op, unsigned int flags, struct gptr args)
{
	switch (op) {
	case SECCOMP_SET_MODE_STRICT:
		return flags || !gptr_null(args) ? -EINVAL : mode_strict(t);
	case SECCOMP_SET_MODE_FILTER:
		return mode_filter(t, flags, args);
	case SECCOMP_GET_ACTION_AVAIL:
		return flags ? -EINVAL : action_available(t, args);
	}
	/* SECCOMP_GET_NOTIF_SIZES: no user notification. */
	return -EINVAL;
}

int64_t seccomp_prctl(struct task *t, uint64_t mode, struct gptr prog)
{
	switch (mode) {
	case SECCOMP_MODE_STRICT:
		return mode_strict(t);
	case SECCOMP_MODE_FILTER:
		return mode_filter(t, 0, prog);
	}
	return -EINVAL;
}

/* ---- asking --------------------------------------------------------------------------------- */

static void kill_thread(struct task *t, int signo)
{
	AUTO_LOCK(&kernel->tasks_lock);

	/* The last thread of a process takes it along, with the signal as its status. */
	if (t->tg->ntasks == 1) {
		task_group_exit_locked(t->tg, signo);
	} else {
		t->exit_code = signo;
	}
	atomic_store(&t->killed, true);
	atomic_store(&t->work, true);
}

static void kill_process(struct task *t)
{
	AUTO_LOCK(&kernel->tasks_lock);

	task_group_exit_locked(t->tg, SIGSYS);
	atomic_store(&t->killed, true);
	atomic_store(&t->work, true);
}

/* SIGSYS; the handler finds the registers as they were before the call. */
static void trap(struct task *t, uint64_t nr, uint32_t data)
{
	struct guest_siginfo info = {
		.si_signo = SIGSYS,
		.si_errno = (int32_t)data,
		.si_code = SYS_SECCOMP_CODE,
	};

	info.sys.call_addr = kernel->pf_ops->regs(t->pt)->rip;
	info.sys.syscall = (int32_t)nr;
	info.sys.arch = AUDIT_ARCH_X86_64;
	signal_force(t, &info);
}

static bool strict_allows(uint64_t nr)
{
	return nr == SYS_read || nr == SYS_write || nr == SYS_exit || nr == SYS_rt_sigreturn;
}

/* The strictest answer of all filters; of equals, the newest one's. */
static uint32_t filters_run(const struct seccomp_filter *f, const struct seccomp_data *data,
			    bool *log)
{
	uint32_t worst = SECCOMP_RET_ALLOW;

	for (; f; f = f->prev) {
		uint32_t r = seccomp_bpf_run(f->prog, data);

		if ((int32_t)(r & SECCOMP_RET_ACTION_FULL) <
		    (int32_t)(worst & SECCOMP_RET_ACTION_FULL)) {
			worst = r;
			*log = f->log;
		}
	}
	return worst;
}

static uint32_t verdict_get(struct task *t, uint64_t nr, const uint64_t args[6])
{
	struct seccomp_data data = {.nr = (int)nr, .arch = AUDIT_ARCH_X86_64};
	bool log = false;
	uint32_t verdict;

	data.instruction_pointer = kernel->pf_ops->regs(t->pt)->rip;
	for (int i = 0; i < 6; i++)
		data.args[i] = args[i];
	verdict = filters_run(filter_of(t), &data, &log);
	if (log || (verdict & SECCOMP_RET_ACTION_FULL) == SECCOMP_RET_LOG)
		log_info("seccomp: pid %d (%s): call %d, verdict %#x", t->tid, t->comm, data.nr,
			 verdict);
	return verdict;
}

/* The tracer may make another call of it, or none. ENOSYS without a tracer that cares. */
static bool tracer_allows(struct task *t, uint32_t value, uint64_t *nr, uint64_t args[6],
			  int64_t *result)
{
	struct pf_regs *r = kernel->pf_ops->regs(t->pt);

	r->rax = (uint64_t)-ENOSYS;
	if (!ptrace_event(t, PTRACE_EVENT_SECCOMP, value))
		return false;
	*result = (int64_t)r->rax;
	if (t->killed || r->orig_rax < 0)
		return false;
	*nr = (uint64_t)r->orig_rax;
	pf_regs_args(r, args);
	return true;
}

static bool verdict_obey(struct task *t, uint32_t verdict, uint64_t nr, int64_t *result)
{
	uint32_t value = verdict & SECCOMP_RET_DATA;

	*result = -ENOSYS;
	switch (verdict & SECCOMP_RET_ACTION_FULL) {
	case SECCOMP_RET_ALLOW:
	case SECCOMP_RET_LOG:
		return true;
	case SECCOMP_RET_ERRNO:
		*result = -(int64_t)(value > 4095 ? 4095 : value);
		return false;
	case SECCOMP_RET_TRAP:
		trap(t, nr, value);
		*result = (int64_t)nr;
		return false;
	case SECCOMP_RET_KILL_THREAD:
		kill_thread(t, SIGSYS);
		return false;
	}
	kill_process(t);
	return false;
}

static bool is_trace(uint32_t verdict)
{
	return (verdict & SECCOMP_RET_ACTION_FULL) == SECCOMP_RET_TRACE;
}

bool seccomp_allows(struct task *t, uint64_t *nr, uint64_t args[6], int64_t *result)
{
	uint32_t verdict;

	*result = -ENOSYS;
	if (filter_of(t)->strict) {
		if (strict_allows(*nr))
			return true;
		kill_thread(t, SIGKILL);
		return false;
	}
	verdict = verdict_get(t, *nr, args);
	if (is_trace(verdict)) {
		if (!tracer_allows(t, verdict & SECCOMP_RET_DATA, nr, args, result))
			return false;
		/* What the tracer has made of it is asked about, too, but not the tracer again. */
		verdict = verdict_get(t, *nr, args);
		if (is_trace(verdict))
			return true;
	}
	return verdict_obey(t, verdict, *nr, result);
}
