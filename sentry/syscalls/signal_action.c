/* Dispositions and masks: rt_sigaction(2), rt_sigprocmask(2), rt_sigpending(2), sigaltstack is in
 * kernel/sigframe.c. */
#include <errno.h>

#include "sentry/kernel/known.h"
#include "sentry/kernel/restart.h"
#include "sentry/kernel/task_impl.h"
#include "sentry/mm/usercopy.h"
#include "sentry/syscalls/syscalls.h"

/* SA_* that Linux knows; others are cleared, so that programs can probe (SA_UNSUPPORTED). */
#define SA_KNOWN                                                                                   \
	(SA_NOCLDSTOP | SA_NOCLDWAIT | SA_SIGINFO | SA_ONSTACK | SA_RESTART | SA_NODEFER |          \
	 SA_RESETHAND | 0x04000000UL /* SA_RESTORER */ | 0x800UL /* SA_EXPOSE_TAGBITS */)

static void action_set(struct task *t, int signo, struct sigaction_guest *act)
{
	act->flags = (uint32_t)act->flags & SA_KNOWN;
	act->mask &= ~SIGSET_UNBLOCKABLE;
	t->sighand->action[signo - 1] = *act;
	/* sigaction(3p): what is pending and now ignored is discarded. */
	if (signal_is_ignored_locked(t, signo)) {
		sigpending_flush_locked(&t->tg->pending, SIGBIT(signo));
		list_for_each(o, &t->tg->tasks, struct task, tg_node) {
			sigpending_flush_locked(&o->pending, SIGBIT(signo));
			if (o == t)
				signal_recalc_locked(o);
		}
	}
}

int64_t sys_rt_sigaction(struct task *t, int signo, struct gptr act, struct gptr oldact,
			 uint64_t setsize)
{
	struct sigaction_guest new, old;

	if (setsize != sizeof(sigset64))
		return -EINVAL;
	if (!gptr_null(act) && get_guest(t, &new, act))
		return -EFAULT;
	if (signo < 1 || signo > GUEST_NSIG)
		return -EINVAL;
	if (!gptr_null(act) && (signo == SIGKILL || signo == SIGSTOP))
		return -EINVAL;
	known_actions_hear(t);
	{
		AUTO_LOCK(&kernel->tasks_lock);
		old = t->sighand->action[signo - 1];
		if (!gptr_null(act))
			action_set(t, signo, &new);
	}
	known_actions_tell(t, signo);
	if (!gptr_null(oldact) && put_guest(t, oldact, &old))
		return -EFAULT;
	return 0;
}

int64_t sys_rt_sigprocmask(struct task *t, int how, struct gptr set, struct gptr oldset,
			   uint64_t setsize)
{
	sigset64 old = t->blocked, mask;

	if (setsize != sizeof(sigset64))
		return -EINVAL;
	if (!gptr_null(set)) {
		if (get_guest_u64(t, &mask, set))
			return -EFAULT;
		switch (how) {
		case SIG_BLOCK:
			mask |= old;
			break;
		case SIG_UNBLOCK:
			mask = old & ~mask;
			break;
		case SIG_SETMASK:
			break;
		default:
			return -EINVAL;
		}
		signal_set_mask(t, mask);
	}
	if (!gptr_null(oldset) && put_guest_u64(t, oldset, old))
		return -EFAULT;
	return 0;
}

int64_t sys_rt_sigpending(struct task *t, struct gptr set, uint64_t setsize)
{
	sigset64 pending;

	if (setsize > sizeof(sigset64))
		return -EINVAL;
	{
		AUTO_LOCK(&kernel->tasks_lock);
		pending = (t->pending.set | t->tg->pending.set) & t->blocked;
	}
	return copy_to_guest(t, set, &pending, setsize);
}

int64_t sys_rt_sigsuspend(struct task *t, struct gptr mask, uint64_t setsize)
{
	sigset64 set;

	if (setsize != sizeof(sigset64))
		return -EINVAL;
	if (get_guest_u64(t, &set, mask))
		return -EFAULT;
	signal_set_temporary_mask(t, set);
	while (!signal_pending(t)) {
		uint32_t seq = task_wake_prepare(t);

		task_block(t, seq, UINT64_MAX);
	}
	return -ERESTARTNOHAND;
}

int64_t sys_pause(struct task *t)
{
	while (!signal_pending(t)) {
		uint32_t seq = task_wake_prepare(t);

		task_block(t, seq, UINT64_MAX);
	}
	return -ERESTARTNOHAND;
}

int64_t sys_restart_syscall(struct task *t)
{
	int64_t (*restart)(struct task *t) = t->restart;

	return restart ? restart(t) : -EINTR;
}
