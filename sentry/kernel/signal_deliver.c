/* Signals: delivery, on the way to user mode. signal.c has the theory. */
#include <errno.h>
#include <linux/unistd.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include "sentry/kernel/known.h"
#include "sentry/kernel/ptrace.h"
#include "sentry/kernel/restart.h"
#include "sentry/kernel/session.h"
#include "sentry/kernel/task_impl.h"
#include "sentry/mm/fetch.h"
#include "sentry/strace/strace.h"

#define HANDLER_DFL 0
#define HANDLER_IGN 1
/* The bit of a wait status that says "core dumped". */
#define WAIT_CORE 0x80

/* ---- group stop ----------------------------------------------------------------------------- */

static void stop_begin_locked(struct task *t, int signo)
{
	struct thread_group *tg = t->tg;

	if (tg->stop_signal && !tg->stopped)
		return; /* one is under way; t has its stop_pending already */
	tg->stop_signal = signo;
	tg->stop_count = 0;
	tg->stopped = tg->stop_reported = false;
	list_for_each(o, &tg->tasks, struct task, tg_node) {
		if (o->exiting || o->killed || o->stopped)
			continue;
		o->stop_pending = true;
		tg->stop_count++;
		if (o != t)
			signal_wake_locked(o, false);
	}
}

/* Stops until SIGCONT or death. tasks_lock is held on entry and on return. */
static void stop_take_part(struct task *t)
{
	struct thread_group *tg = t->tg;

	t->stop_pending = false;
	t->stopped = true;
	if (tg->stop_count > 0 && --tg->stop_count == 0) {
		tg->stopped = true;
		tg->stop_reported = tg->continued = false;
		if (!t->ptrace)
			parent_notify_stop_locked(tg, CLD_STOPPED, tg->stop_signal);
	}
	if (t->ptrace) {
		ptrace_group_stop_locked(t, tg->stop_signal);
		t->stopped = false;
		return;
	}
	atomic_store(&t->state, TASK_STOPPED);
	while (t->stopped && !t->killed) {
		uint32_t seq = task_wake_prepare(t);

		mutex_unlock(&kernel->tasks_lock);
		task_block_killable(t, seq, UINT64_MAX);
		atomic_store(&t->state, TASK_STOPPED);
		mutex_lock(&kernel->tasks_lock);
	}
	t->stopped = false;
	atomic_store(&t->state, TASK_RUNNING);
	signal_recalc_locked(t);
}

/* ---- choosing ------------------------------------------------------------------------------- */

static int fatal_status(struct task *t, int signo)
{
	if (signal_default(signo) == SIG_DEFAULT_CORE && t->tg->dumpable == 1 &&
	    t->tg->rlimits[RLIMIT_CORE].cur != 0)
		return signo | WAIT_CORE;
	return signo;
}

/* The next signal that has a handler: its number, with the action and details. 0: none. Defaults
 * are carried out here; -1: the task is to exit. */
static int signal_get(struct task *t, struct sigaction_guest *act, struct guest_siginfo *info)
{
	AUTO_LOCK(&kernel->tasks_lock);

	for (;;) {
		struct sigaction_guest *a;
		int signo;

		if (t->killed)
			return -1;
		if (t->stop_pending) {
			stop_take_part(t);
			continue;
		}
		if (ptrace_wants_stop_locked(t)) {
			ptrace_group_stop_locked(t, 0);
			continue;
		}
		signo = signal_dequeue_locked(t, ~t->blocked, info);
		if (!signo) {
			signal_recalc_locked(t);
			return 0;
		}
		if (t->ptrace && signo != SIGKILL) {
			signo = ptrace_signal_locked(t, signo, info);
			if (!signo)
				continue;
		}
		a = &t->sighand->action[signo - 1];
		if (a->handler == HANDLER_IGN)
			continue;
		if (strace_enabled())
			strace_signal(t, info);
		if (a->handler != HANDLER_DFL) {
			*act = *a;
			if (a->flags & SA_RESETHAND)
				a->handler = HANDLER_DFL;
			signal_recalc_locked(t);
			return signo;
		}
		switch (signal_default(signo)) {
		case SIG_DEFAULT_IGNORE:
			break;
		case SIG_DEFAULT_STOP:
			/* SIGSTOP stops even those whom nobody is left to continue. */
			if (signo == SIGSTOP || !pgrp_is_orphaned_locked(t->tg->pgrp))
				stop_begin_locked(t, signo);
			break;
		case SIG_DEFAULT_TERM:
		case SIG_DEFAULT_CORE:
			task_group_exit_locked(t->tg, fatal_status(t, signo));
			return -1;
		}
	}
}

/* ---- restarts ------------------------------------------------------------------------------- */

static bool is_restart(int64_t result)
{
	return result == -ERESTARTSYS || result == -ERESTARTNOINTR || result == -ERESTARTNOHAND ||
	       result == -ERESTART_RESTARTBLOCK;
}

/* The instruction is 2 bytes long, however the guest entered. */
static void syscall_again(struct pf_regs *regs, uint64_t nr)
{
	regs->rax = nr;
	regs->rip -= 2;
	regs->orig_rax = -1;
}

static void restart_for_handler(struct pf_regs *regs, int64_t result, uint64_t flags)
{
	bool again = result == -ERESTARTNOINTR ||
		     (result == -ERESTARTSYS && (flags & SA_RESTART));

	if (again)
		syscall_again(regs, (uint64_t)regs->orig_rax);
	else
		regs->rax = (uint64_t)-EINTR;
}

static void restart_plain(struct pf_regs *regs, int64_t result)
{
	syscall_again(regs, result == -ERESTART_RESTARTBLOCK ? SYS_restart_syscall :
							       (uint64_t)regs->orig_rax);
}

/* ---- the exit path -------------------------------------------------------------------------- */

/* A frame that doesn't fit is a fault of its own: SIGSEGV, and its default if that is what failed. */
static void frame_failed(struct task *t, int signo)
{
	struct guest_siginfo info;

	if (signo == SIGSEGV) {
		AUTO_LOCK(&kernel->tasks_lock);
		t->sighand->action[SIGSEGV - 1].handler = HANDLER_DFL;
	}
	siginfo_kernel(&info, SIGSEGV);
	signal_force(t, &info);
}

static void signal_handle(struct task *t, int signo, const struct sigaction_guest *act,
			  const struct guest_siginfo *info)
{
	sigset64 saved = t->has_saved_mask ? t->saved_mask : t->blocked;

	if (sigframe_push(t, signo, act, info, saved) < 0) {
		frame_failed(t, signo);
		return;
	}
	t->has_saved_mask = false;
	signal_set_mask(t, t->blocked | act->mask | (act->flags & SA_NODEFER ? 0 : SIGBIT(signo)));
}

static void saved_mask_restore(struct task *t)
{
	if (!t->has_saved_mask)
		return;
	t->has_saved_mask = false;
	signal_set_mask(t, t->saved_mask);
}

static bool signal_work(struct task *t, int64_t result)
{
	struct pf_regs *regs = kernel->pf_ops->regs(t->pt);
	bool restart = is_restart(result) && regs->orig_rax >= 0;
	struct sigaction_guest act;
	struct guest_siginfo info;

	kernel->pf_ops->interrupt_clear(t->pt);
	known_actions_end(t); /* delivery may reset some */
	/* The temporary mask outlives its call only if a signal has ended it. */
	if (!restart && result != -EINTR)
		saved_mask_restore(t);
	for (;;) {
		int signo = signal_get(t, &act, &info);

		if (signo < 0)
			return false;
		restart = restart && regs->orig_rax >= 0; /* a tracer may have changed its mind */
		if (signo == 0) {
			if (restart)
				restart_plain(regs, result);
			restart = false;
			if (!t->has_saved_mask)
				return true;
			saved_mask_restore(t);
			continue;
		}
		if (restart)
			restart_for_handler(regs, result, act.flags);
		restart = false;
		signal_handle(t, signo, &act, &info);
	}
}

bool signal_return_to_user(struct task *t, int64_t result)
{
	if (result != INT64_MIN)
		kernel->pf_ops->regs(t->pt)->rax = (uint64_t)result;
	if (!signal_pending(t) && !t->has_saved_mask && !is_restart(result))
		return true;
	/* Before anybody else sees the registers or the memory. */
	if (t->fetch.active && !fetch_settle(t))
		result = -ERESTARTNOINTR;
	return signal_work(t, result);
}
