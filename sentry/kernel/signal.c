/* Signals: sending.
 *
 * A signal is *generated* for a task or a group. If the target ignores it, it is dropped, unless it is
 * blocked (who blocks it may be about to change the action). Else it becomes *pending*: a bit in the
 * set, and for its details an entry in the queue; a standard signal that is pending already is
 * dropped, a realtime one is queued again. One task is chosen to *deliver* it and woken; it takes
 * the signal on its way to user mode (signal_deliver.c).
 *
 * A fatal signal that leaves no core is decided by the sender: the whole group is told to exit at
 * once. SIGCONT and the stop signals act when they are sent, whatever the masks: each erases the
 * other kind from all queues, and SIGCONT wakes the stopped tasks.
 *
 * Group stop: the first task that delivers a stop signal asks all others (stop_pending) and counts
 * them (stop_count); each stops on its way to user mode; the last one reports to the parent.
 *
 * t->work says that t has to come to the exit path: a deliverable signal, a stop, or death. It is
 * written under tasks_lock and read without, so that the common return to user mode takes no
 * lock: a sender sets it before it kicks. */
#include "sentry/kernel/ptrace.h"
#include "sentry/kernel/signal.h"

#include <errno.h>
#include <linux/capability.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "sentry/kernel/session.h"
#include "sentry/kernel/task_impl.h"
#include "sentry/kernel/timer.h"

#define SIGSET_STOP (SIGBIT(SIGSTOP) | SIGBIT(SIGTSTP) | SIGBIT(SIGTTIN) | SIGBIT(SIGTTOU))
#define SIGSET_IGNORED (SIGBIT(SIGCONT) | SIGBIT(SIGCHLD) | SIGBIT(SIGWINCH) | SIGBIT(SIGURG))
#define SIGSET_CORE                                                                                \
	(SIGBIT(SIGQUIT) | SIGBIT(SIGILL) | SIGBIT(SIGTRAP) | SIGBIT(SIGABRT) | SIGBIT(SIGFPE) |    \
	 SIGBIT(SIGSEGV) | SIGBIT(SIGBUS) | SIGBIT(SIGSYS) | SIGBIT(SIGXCPU) | SIGBIT(SIGXFSZ))
#define SIGSET_SYNC                                                                                \
	(SIGBIT(SIGSEGV) | SIGBIT(SIGBUS) | SIGBIT(SIGILL) | SIGBIT(SIGTRAP) | SIGBIT(SIGFPE) |     \
	 SIGBIT(SIGSYS))
#define FIRST_REALTIME 32
/* Handlers of the guest's: SIG_DFL 0, SIG_IGN 1. */
#define HANDLER_DFL 0
#define HANDLER_IGN 1

struct sigqueue_entry {
	struct list node;
	struct guest_siginfo info;
	uint32_t uid; /* whose RLIMIT_SIGPENDING it counts for */
};

enum sig_default signal_default(int signo)
{
	sigset64 bit = SIGBIT(signo);

	if (bit & SIGSET_STOP)
		return SIG_DEFAULT_STOP;
	if (bit & SIGSET_IGNORED)
		return SIG_DEFAULT_IGNORE;
	return bit & SIGSET_CORE ? SIG_DEFAULT_CORE : SIG_DEFAULT_TERM;
}

/* ---- dispositions --------------------------------------------------------------------------- */

struct sighand *sighand_new(void)
{
	struct sighand *s = calloc(1, sizeof(*s));

	if (s)
		ref_init(&s->ref);
	return s;
}

struct sighand *sighand_get(struct sighand *s)
{
	ref_get(&s->ref);
	return s;
}

void sighand_put(struct sighand *s)
{
	if (s && ref_put(&s->ref))
		free(s);
}

struct sighand *sighand_clone_locked(struct sighand *s)
{
	struct sighand *copy = sighand_new();

	if (copy)
		memcpy(copy->action, s->action, sizeof(copy->action));
	return copy;
}

/* ---- pending sets --------------------------------------------------------------------------- */

void sigpending_init(struct sigpending *p)
{
	p->set = 0;
	list_init(&p->queue);
}

/* Of all users together: root may raise RLIMIT_SIGPENDING and be many users, but the memory is the
 * sentry's. */
#define QUEUED_MAX (1u << 19)
static unsigned queued; /* protected by tasks_lock */

static void entry_free(struct sigqueue_entry *e)
{
	list_del_init(&e->node);
	queued--;
	user_uncharge_locked(e->uid, USER_SIGPENDING);
	free(e);
}

void sigpending_flush_locked(struct sigpending *p, sigset64 set)
{
	if (!(p->set & set))
		return;
	p->set &= ~set;
	list_for_each_safe(e, &p->queue, struct sigqueue_entry, node)
		if (SIGBIT(e->info.si_signo) & set)
			entry_free(e);
}

/* Faults come first, so that a handler of another signal does not run on top of them; then the
 * lowest number. */
static int pending_next(const struct sigpending *p, sigset64 set)
{
	sigset64 ready = p->set & set;

	if (ready & SIGSET_SYNC)
		ready &= SIGSET_SYNC;
	return ready ? __builtin_ctzll(ready) + 1 : 0;
}

static int pending_take(struct sigpending *p, sigset64 set, struct guest_siginfo *out)
{
	int signo = pending_next(p, set);
	struct sigqueue_entry *found = NULL;
	bool more = false;

	if (!signo)
		return 0;
	list_for_each(e, &p->queue, struct sigqueue_entry, node) {
		if (e->info.si_signo != signo)
			continue;
		if (found) {
			more = true;
			break;
		}
		found = e;
	}
	if (!more)
		p->set &= ~SIGBIT(signo);
	if (!found) {
		/* Its details found no room: SI_USER from nobody, as in Linux. */
		*out = (struct guest_siginfo){.si_signo = signo, .si_code = SI_USER};
		return signo;
	}
	*out = found->info;
	entry_free(found);
	return signo;
}

int signal_dequeue_locked(struct task *t, sigset64 set, struct guest_siginfo *out)
{
	int signo = pending_take(&t->pending, set, out);

	if (!signo)
		signo = pending_take(&t->tg->pending, set, out);
	if (signo && out->si_code == SI_TIMER)
		posix_timer_dequeued(t->tg, out);
	return signo;
}

int signal_dequeue(struct task *t, sigset64 set, struct guest_siginfo *out)
{
	AUTO_LOCK(&kernel->tasks_lock);
	int signo = signal_dequeue_locked(t, set & ~SIGSET_UNBLOCKABLE, out);

	signal_recalc_locked(t);
	return signo;
}

struct waitq *signal_waitq(struct task *t)
{
	return &t->tg->signal_waitq;
}

/* ---- who has something to do ---------------------------------------------------------------- */

bool signal_pending(struct task *t)
{
	return atomic_load_explicit(&t->work, memory_order_acquire);
}

void signal_recalc_locked(struct task *t)
{
	sigset64 ready = (t->pending.set | t->tg->pending.set) & ~t->blocked;

	atomic_store(&t->work,
		     ready || t->stop_pending || t->killed || ptrace_wants_stop_locked(t));
}

void signal_wake_locked(struct task *t, bool kill)
{
	if (kill)
		atomic_store(&t->killed, true);
	atomic_store(&t->work, true);
	task_kick(t);
}

bool signal_is_ignored_locked(struct task *t, int signo)
{
	uint64_t handler = t->sighand->action[signo - 1].handler;

	return handler == HANDLER_IGN ||
	       (handler == HANDLER_DFL && signal_default(signo) == SIG_DEFAULT_IGNORE);
}

static bool task_wants(struct task *t, int signo)
{
	if (t->exiting || t->killed || (t->blocked & SIGBIT(signo)))
		return false;
	if (signo == SIGKILL)
		return true;
	return !t->stopped;
}

/* One of first's group that isn't busy with another signal, if there is one. */
static struct task *group_choose(struct task *first, int signo)
{
	struct task *fallback = NULL;

	if (task_wants(first, signo)) {
		if (!first->work)
			return first;
		fallback = first;
	}
	list_for_each(t, &first->tg->tasks, struct task, tg_node) {
		if (!task_wants(t, signo))
			continue;
		if (!t->work)
			return t;
		if (!fallback)
			fallback = t;
	}
	return fallback;
}

void task_group_exit_locked(struct thread_group *tg, int wait_status)
{
	if (tg->exiting)
		return;
	tg->exiting = true;
	tg->exit_status = wait_status;
	tg->stop_count = 0;
	tg->stop_signal = 0;
	tg->stopped = false;
	list_for_each(t, &tg->tasks, struct task, tg_node) {
		t->stop_pending = t->stopped = false;
		if (!t->exiting)
			signal_wake_locked(t, true);
	}
}

/* A signal that is pending finds its task. */
static void signal_complete_locked(struct task *t, bool group, int signo)
{
	struct thread_group *tg = t->tg;
	struct task *chosen = group ? group_choose(t, signo) : (task_wants(t, signo) ? t : NULL);
	const struct sigaction_guest *act;
	enum sig_default what = signal_default(signo);

	waitq_wake(&tg->signal_waitq, POLLIN);
	if (!chosen)
		return;
	act = &chosen->sighand->action[signo - 1];
	if (signo == SIGKILL || (act->handler == HANDLER_DFL && what == SIG_DEFAULT_TERM &&
				 !(chosen->real_blocked & SIGBIT(signo)) && !chosen->ptrace)) {
		task_group_exit_locked(tg, signo);
		return;
	}
	signal_wake_locked(chosen, false);
}

/* ---- generation ----------------------------------------------------------------------------- */

static void group_flush_locked(struct thread_group *tg, sigset64 set)
{
	sigpending_flush_locked(&tg->pending, set);
	list_for_each(t, &tg->tasks, struct task, tg_node)
		sigpending_flush_locked(&t->pending, set);
}

static void group_continue_locked(struct thread_group *tg)
{
	bool was_stopped = tg->stopped, stopping = tg->stop_signal != 0;

	tg->stop_signal = 0;
	tg->stop_count = 0;
	tg->stopped = tg->stop_reported = false;
	list_for_each(t, &tg->tasks, struct task, tg_node) {
		t->stop_pending = false;
		if (t->stopped) {
			t->stopped = false;
			task_kick(t);
		}
		signal_recalc_locked(t);
	}
	if (was_stopped) {
		tg->continued = true;
		tg->continue_reported = false;
		parent_notify_stop_locked(tg, CLD_CONTINUED, SIGCONT);
	} else if (stopping) {
		parent_notify_stop_locked(tg, CLD_STOPPED, SIGSTOP);
	}
}

/* pid_namespaces(7): the other processes inside can send the first one only what it has a handler
 * for (or blocks). Its own signals and the kernel's act as on any process: abort() must end it, and
 * so must the user's Ctrl-C. */
static bool init_protected(struct task *t, const struct guest_siginfo *info)
{
	if (!kernel->init || t->tg != kernel->init->tg || info->si_code > 0)
		return false;
	if (!current_task || current_task->tg == t->tg)
		return false;
	return t->sighand->action[info->si_signo - 1].handler == HANDLER_DFL;
}

/* Side effects, and whether the signal is to become pending. */
static bool signal_prepare_locked(struct task *t, const struct guest_siginfo *info)
{
	struct thread_group *tg = t->tg;
	int signo = info->si_signo;

	if (tg->exiting)
		return signo == SIGKILL && !tg->zombie;
	if (SIGBIT(signo) & SIGSET_STOP) {
		group_flush_locked(tg, SIGBIT(SIGCONT));
	} else if (signo == SIGCONT) {
		group_flush_locked(tg, SIGSET_STOP);
		group_continue_locked(tg);
	}
	if ((t->blocked | t->real_blocked) & SIGBIT(signo))
		return true;
	if (t->ptrace && signo != SIGKILL)
		return true;
	return !signal_is_ignored_locked(t, signo) && !init_protected(t, info);
}

/* Standard signals get through without their details when there is no room; realtime ones that
 * were queued with sigqueue() are refused. */
static int signal_enqueue_locked(struct task *t, struct sigpending *p,
				 const struct guest_siginfo *info)
{
	int signo = info->si_signo;
	uint32_t uid = t->cred->uid;
	uint64_t limit = t->tg->rlimits[RLIMIT_SIGPENDING].cur;
	struct sigqueue_entry *e = NULL;

	if (signo < FIRST_REALTIME && info->si_code >= 0)
		limit = UINT64_MAX;
	if (queued < QUEUED_MAX && user_charge_locked(uid, USER_SIGPENDING, limit) == 0) {
		e = malloc(sizeof(*e));
		if (!e)
			user_uncharge_locked(uid, USER_SIGPENDING);
	}
	if (!e) {
		if (signo >= FIRST_REALTIME && info->si_code != SI_USER)
			return -EAGAIN;
		p->set |= SIGBIT(signo);
		return 0;
	}
	queued++;
	e->info = *info;
	e->uid = uid;
	list_init(&e->node);
	list_push_back(&p->queue, &e->node);
	p->set |= SIGBIT(signo);
	return 0;
}

static int signal_send_locked(struct task *t, bool group, const struct guest_siginfo *info)
{
	struct sigpending *p = group ? &t->tg->pending : &t->pending;
	int signo = info->si_signo;
	int err;

	if (!t->sighand || t->tg->zombie)
		return 0;
	if (!signal_prepare_locked(t, info))
		return 0;
	if (signo == SIGKILL) {
		task_group_exit_locked(t->tg, SIGKILL);
		return 0;
	}
	if (signo < FIRST_REALTIME && (p->set & SIGBIT(signo)))
		return 0;
	err = signal_enqueue_locked(t, p, info);
	if (err < 0)
		return err;
	signal_complete_locked(t, group, signo);
	return 0;
}

int signal_send_task_locked(struct task *t, const struct guest_siginfo *info)
{
	if (t->exiting)
		return 0;
	return signal_send_locked(t, false, info);
}

/* Any task of the group stands for it; the leader may have exited already. */
int signal_send_group_locked(struct thread_group *tg, const struct guest_siginfo *info)
{
	struct task *t = tg->leader;

	if (!t || t->exiting)
		t = list_first(&tg->tasks, struct task, tg_node);
	return t ? signal_send_locked(t, true, info) : 0;
}

int signal_send_runner_locked(struct thread_group *tg, const struct guest_siginfo *info)
{
	struct task *t = thread_group_runner_locked(tg);

	return t ? signal_send_locked(t, true, info) : signal_send_group_locked(tg, info);
}

int signal_send_task(struct task *t, const struct guest_siginfo *info)
{
	AUTO_LOCK(&kernel->tasks_lock);

	return signal_send_task_locked(t, info);
}

int signal_send_group(struct thread_group *tg, const struct guest_siginfo *info)
{
	AUTO_LOCK(&kernel->tasks_lock);

	return signal_send_group_locked(tg, info);
}

int signal_send_pgrp_locked(struct pgrp *pg, const struct guest_siginfo *info)
{
	int err = -ESRCH;

	list_for_each_safe(tg, &pg->members, struct thread_group, pgrp_node) {
		int r = signal_send_group_locked(tg, info);

		if (err != 0)
			err = r;
	}
	return err;
}

/* Forced: a blocked or ignored signal goes to its default, which then ends the process. */
void signal_force(struct task *t, const struct guest_siginfo *info)
{
	AUTO_LOCK(&kernel->tasks_lock);
	struct sigaction_guest *act = &t->sighand->action[info->si_signo - 1];
	sigset64 bit = SIGBIT(info->si_signo);

	if (t->exiting || t->tg->exiting)
		return;
	if (act->handler == HANDLER_IGN || (t->blocked & bit)) {
		act->handler = HANDLER_DFL;
		atomic_fetch_and(&t->blocked, ~bit);
	}
	/* A standard signal of the kernel's: becomes pending whatever the limits. */
	if (!(t->pending.set & bit))
		signal_enqueue_locked(t, &t->pending, info);
	atomic_store(&t->work, true);
}

void siginfo_kernel(struct guest_siginfo *out, int signo)
{
	*out = (struct guest_siginfo){.si_signo = signo, .si_code = SI_KERNEL};
}

void siginfo_user(struct guest_siginfo *out, int signo, struct task *sender)
{
	*out = (struct guest_siginfo){.si_signo = signo, .si_code = SI_USER};
	out->rt.pid = sender->tg->tgid;
	out->rt.uid = sender->cred->uid;
}

bool signal_may_send(const struct cred *sender, struct task *target, int signo)
{
	const struct cred *c = target->cred;

	if (current_task && current_task->tg == target->tg)
		return true;
	if (sender->euid == c->suid || sender->euid == c->uid || sender->uid == c->suid ||
	    sender->uid == c->uid || cred_capable(sender, CAP_KILL))
		return true;
	return signo == SIGCONT && current_task &&
	       current_task->tg->pgrp->session == target->tg->pgrp->session;
}

/* ---- masks ---------------------------------------------------------------------------------- */

/* Signals of the group that t had been chosen for and now blocks go to somebody else. */
static void group_retarget_locked(struct task *t, sigset64 set)
{
	sigset64 ready = t->tg->pending.set & set;

	if (!ready || t->tg->exiting)
		return;
	list_for_each(o, &t->tg->tasks, struct task, tg_node) {
		if (o == t || o->exiting || !(ready & ~o->blocked))
			continue;
		if (!o->work)
			signal_wake_locked(o, false);
		ready &= o->blocked;
		if (!ready)
			return;
	}
}

void signal_set_mask(struct task *t, sigset64 mask)
{
	sigset64 added;

	mask &= ~SIGSET_UNBLOCKABLE;
	if (mask == t->blocked)
		return;
	AUTO_LOCK(&kernel->tasks_lock);
	added = mask & ~t->blocked;
	if (t->work && added)
		group_retarget_locked(t, added);
	atomic_store(&t->blocked, mask);
	signal_recalc_locked(t);
}

void signal_set_temporary_mask(struct task *t, sigset64 mask)
{
	if (!t->has_saved_mask) {
		t->saved_mask = t->blocked;
		t->has_saved_mask = true;
	}
	signal_set_mask(t, mask);
}

/* ---- tasks that come and go ----------------------------------------------------------------- */

void signal_task_exit_locked(struct task *t)
{
	struct thread_group *tg = t->tg;

	group_retarget_locked(t, ~t->blocked);
	if (t->stop_pending) {
		t->stop_pending = false;
		if (tg->stop_count > 0 && --tg->stop_count == 0 && !tg->exiting && tg->ntasks > 1) {
			tg->stopped = true;
			parent_notify_stop_locked(tg, CLD_STOPPED, tg->stop_signal);
		}
	}
}

void signal_task_join_locked(struct task *t)
{
	struct thread_group *tg = t->tg;

	if (tg->stop_signal && !tg->stopped) {
		t->stop_pending = true;
		tg->stop_count++;
	}
	signal_recalc_locked(t);
}
