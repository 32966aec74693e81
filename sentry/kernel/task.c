/* Tasks: allocation, references, the S thread's loop.
 *
 *	task_main:   run guest code -> event -> signal_return_to_user -> run ...  -> task_exit
 *
 * What keeps a task alive: the pid table until it is reaped (or, for a thread that isn't the leader,
 * until it has exited), the S thread until it ends, and whoever holds it by task_get(). Each task
 * holds its group; a group holds its process group until it is reaped. Borrowed pointers
 * (tg->leader, tg->parent, vfork_parent) are cleared under tasks_lock before their target goes. */
#include "sentry/kernel/task.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "abi/base/log.h"
#include "sentry/kernel/fdtable.h"
#include "sentry/kernel/fs_context.h"
#include "sentry/kernel/known.h"
#include "sentry/kernel/ptrace.h"
#include "sentry/kernel/restart.h"
#include "sentry/kernel/seccomp.h"
#include "sentry/kernel/session.h"
#include "sentry/kernel/task_impl.h"
#include "sentry/kernel/uts.h"
#include "sentry/mm/fetch.h"
#include "sentry/mm/late.h"
#include "sentry/mm/mm.h"
#include "sentry/mm/patch.h"
#include "sentry/mm/usercopy.h"
#include "sentry/strace/strace.h"
#include "sentry/syscalls/syscalls.h"

_Thread_local struct task *current_task;

/* ---- thread groups -------------------------------------------------------------------------- */

struct thread_group *thread_group_alloc(void)
{
	struct thread_group *tg = calloc(1, sizeof(*tg));

	if (!tg)
		return NULL;
	ref_init(&tg->ref);
	list_init(&tg->tasks);
	list_init(&tg->pgrp_node);
	list_init(&tg->children);
	list_init(&tg->sibling);
	waitq_init(&tg->child_waitq);
	waitq_init(&tg->exit_waitq);
	waitq_init(&tg->signal_waitq);
	sigpending_init(&tg->pending);
	mutex_init(&tg->exec_lock, LOCK_EXEC);
	tg->start_ns = now_mono_ns() - kernel->boot_mono_ns;
	tg->dumpable = 1;
	return tg;
}

struct thread_group *thread_group_get(struct thread_group *tg)
{
	ref_get(&tg->ref);
	return tg;
}

void thread_group_put(struct thread_group *tg)
{
	if (!tg || !ref_put(&tg->ref))
		return;
	waitq_destroy(&tg->child_waitq);
	waitq_destroy(&tg->exit_waitq);
	waitq_destroy(&tg->signal_waitq);
	mutex_destroy(&tg->exec_lock);
	free(tg);
}

/* ---- tasks ---------------------------------------------------------------------------------- */

struct task *task_alloc(struct thread_group *tg)
{
	struct task *t = calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	ref_init(&t->ref);
	t->tg = thread_group_get(tg);
	list_init(&t->tg_node);
	list_init(&t->tracees);
	list_init(&t->ptrace_notes);
	mutex_init(&t->pt_lock, LOCK_TASK_WAKE);
	sigpending_init(&t->pending);
	altstack_reset(t);
	memset(t->affinity, 0xff, sizeof(t->affinity));
	t->timer_slack_ns = t->default_timer_slack_ns = 50000;
	return t;
}

struct task *task_get(struct task *t)
{
	ref_get(&t->ref);
	return t;
}

void task_put(struct task *t)
{
	if (!t || !ref_put(&t->ref))
		return;
	seccomp_drop(t);
	cred_put(t->cred);
	thread_group_put(t->tg);
	mutex_destroy(&t->pt_lock);
	free(t);
}

uint64_t task_rlimit(struct task *t, int resource)
{
	return t->tg->rlimits[resource].cur;
}

int task_ppid_locked(struct task *t)
{
	return t->tg->parent ? t->tg->parent->tg->tgid : 0;
}

/* What the stub answers is never older than what the sentry would: identity changes under
 * tasks_lock, and is in the stub's slot before that is released. */
static bool answers_allowed(const struct task *t)
{
	return !t->ptrace && !t->seccomp && !strace_enabled();
}

void task_publish(struct task *t)
{
	AUTO_LOCK(&kernel->tasks_lock);
	AUTO_LOCK(&t->pt_lock);

	atomic_store(&t->republish, false);
	t->identity = (struct pf_identity){
		.tgid = t->tg->tgid,
		.tid = t->tid,
		.ppid = task_ppid_locked(t),
		.uid = t->cred->uid,
		.euid = t->cred->euid,
		.gid = t->cred->gid,
		.egid = t->cred->egid,
		.answers_allowed = answers_allowed(t),
		.cred = t->cred->id,
		.place = t->fs->place,
	};
	if (t->pt)
		kernel->pf_ops->publish(t->pt, &t->identity);
}

void task_republish(struct task *t)
{
	AUTO_LOCK(&t->pt_lock);

	t->identity.ppid = task_ppid_locked(t);
	t->identity.answers_allowed = answers_allowed(t);
	if (t->pt && t->identity.tid)
		kernel->pf_ops->publish(t->pt, &t->identity);
}

void task_hear(struct task *t)
{
	struct pf_said said;

	if (!t->pt || !kernel->pf_ops->said)
		return;
	kernel->pf_ops->said(t->pt, true, &said);
	if (said.clear_tid_set)
		t->clear_child_tid = said.clear_tid;
	if (said.robust_list_set)
		t->robust_list = said.robust_list;
}

struct gptr task_robust_list(struct task *o)
{
	struct pf_said said = {0};

	AUTO_LOCK(&o->pt_lock);
	if (o->pt && kernel->pf_ops->said)
		kernel->pf_ops->said(o->pt, false, &said);
	return said.robust_list_set ? said.robust_list : o->robust_list;
}

/* ---- places --------------------------------------------------------------------------------- */

int task_walk_begin(struct task *t, int dirfd, struct walk_ctx *out)
{
	struct file *f;
	int err;

	memset(out, 0, sizeof(*out));
	if (dirfd == AT_FDCWD) {
		fs_context_cwd(t->fs, &out->cwd);
	} else {
		err = fdtable_get_path(t->files, dirfd, &f);
		if (err < 0)
			return err;
		out->cwd = f->path;
		path_get(&out->cwd);
		file_put(f);
	}
	fs_context_root(t->fs, &out->root);
	out->cred = t->cred;
	return 0;
}

void task_walk_end(struct walk_ctx *ctx)
{
	path_put(&ctx->root);
	path_put(&ctx->cwd);
}

/* ---- the loop ------------------------------------------------------------------------------- */

static void fault_deliver(struct task *t, const struct pf_event *ev)
{
	struct guest_siginfo info = {.si_signo = ev->signo, .si_code = ev->code};

	t->fault_addr = ev->addr;
	t->fault_trapno = ev->trapno;
	t->fault_error = ev->error;
	if (ev->signo == SIGSEGV || ev->signo == SIGBUS) {
		int signo = ev->signo, code = ev->code;

		if (mm_handle_fault(t, ev, &signo, &code) == 0)
			return;
		info.si_signo = signo;
		info.si_code = code;
	}
	info.fault.addr = ev->addr;
	signal_force(t, &info);
}

/* Another thread took the memory away under a result or, worse, a signal frame. */
static int64_t late_fault(struct task *t)
{
	struct guest_siginfo info;

	if (t->fetch.active) {
		fetch_undo(t);
		return -ERESTARTNOINTR;
	}
	if (late_settle(t) == 0)
		return INT64_MIN;
	kernel->pf_ops->regs(t->pt)->rax = (uint64_t)-EFAULT;
	if (!t->late_frame)
		return INT64_MIN;
	siginfo_kernel(&info, SIGSEGV);
	signal_force(t, &info);
	return INT64_MIN;
}

static void stub_died(struct task *t)
{
	AUTO_LOCK(&kernel->tasks_lock);

	task_group_exit_locked(t->tg, SIGKILL);
	atomic_store(&t->killed, true);
	atomic_store(&t->work, true);
}

/* The tracer may make another call of it, or none. */
static int64_t traced_syscall(struct task *t, const struct pf_event *ev)
{
	uint64_t nr = ev->nr, args[6];
	int64_t result;

	memcpy(args, ev->args, sizeof(args));
	if (ptrace_syscall_enter(t, &nr, args, &result))
		result = syscall_dispatch(t, nr, args);
	ptrace_syscall_exit(t, &result);
	return result;
}

/* The result of a system call, or INT64_MIN. */
static int64_t event_handle(struct task *t, const struct pf_event *ev)
{
	int64_t result;

	known_opens_hear(t);
	if (ev->kind != PF_LATE_FAULT && ev->kind != PF_INTERRUPT)
		t->late_frame = t->fetch.active = false;
	switch (ev->kind) {
	case PF_SYSCALL:
		t->sys_nr = ev->nr;
		memcpy(t->sys_args, ev->args, sizeof(t->sys_args));
		if (ev->traps)
			patch_trapped(t, ev->traps);
		t->in_syscall = true;
		result = t->ptrace ? traced_syscall(t, ev) : syscall_dispatch(t, ev->nr, ev->args);
		t->in_syscall = false;
		return result;
	case PF_FAULT:
		if (!patch_stopped(t, ev))
			fault_deliver(t, ev);
		break;
	case PF_INTERRUPT:
		patch_stopped(t, ev);
		break;
	case PF_LATE_FAULT:
		known_opens_end(t); /* a position may go back */
		return late_fault(t);
	case PF_DEAD:
		stub_died(t);
		break;
	}
	return INT64_MIN;
}

/* A jump to an address that no program can have faults on the CPU before anything is run; the stub
 * could not even be entered with it. */
static bool rip_check(struct task *t)
{
	const struct pf_regs *regs = kernel->pf_ops->regs(t->pt);
	struct guest_siginfo info;

	for (;;) {
		if (!sigframe_bad_rip(regs->rip))
			return true;
		siginfo_kernel(&info, SIGSEGV);
		t->fault_addr = 0;
		t->fault_trapno = 13;
		t->fault_error = 0;
		signal_force(t, &info);
		if (!signal_return_to_user(t, INT64_MIN))
			return false;
		regs = kernel->pf_ops->regs(t->pt);
	}
}

/* Only the owner writes it: no locked instruction. */
static inline void run_seq_next(struct task *t)
{
	uint32_t seq = atomic_load_explicit(&t->run_seq, memory_order_relaxed);

	atomic_store_explicit(&t->run_seq, seq + 1, memory_order_release);
}

/* One that was born running can only be waited for: its registers are its own until it stops. */
static int64_t task_first_event(struct task *t)
{
	struct pf_event ev;

	t->born_running = false;
	kernel->pf_ops->run(t->pt, &ev);
	run_seq_next(t);
	return event_handle(t, &ev);
}

static void task_loop(struct task *t)
{
	const struct pf_ops *ops = kernel->pf_ops;
	int64_t result = INT64_MIN;
	struct pf_event ev;

	if (t->born_running)
		result = task_first_event(t);
	while (signal_return_to_user(t, result) && rip_check(t)) {
		if (atomic_load_explicit(&t->republish, memory_order_relaxed))
			task_publish(t);
		if (t->ptrace)
			ptrace_before_run(t);
		run_seq_next(t);
		ops->run(t->pt, &ev);
		run_seq_next(t);
		if (t->ptrace)
			ptrace_after_run(t);
		result = event_handle(t, &ev);
	}
}

void task_run(struct task *t)
{
	current_task = t;
	if (!t->born_running) {
		task_publish(t);
		if (!gptr_null(t->set_child_tid))
			put_guest_u32(t, t->set_child_tid, (uint32_t)t->tid);
	}
	task_loop(t);
	task_exit(t);
	current_task = NULL;
	task_put(t);
	if (kernel->pf_ops->reap)
		kernel->pf_ops->reap(kernel->platform);
	kernel_task_gone();
}
