/* The end of tasks and processes.
 *
 * A task that exits gives up what it has (address space, files, namespaces), then, in one step under
 * tasks_lock, its place in the tree: its children get another parent, and it leaves the list of live
 * tasks. A task that isn't its group's leader is gone with that. The leader stays in the pid table;
 * when the last task of the group has exited, the group is a *zombie*: the parent is told, and wait4
 * reaps it. If the parent doesn't care (SIGCHLD ignored, SA_NOCLDWAIT), it is reaped at once.
 *
 * Children belong to the task that made them (pdeathsig, __WNOTHREAD) and are listed in its group. */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>

#include "sentry/kernel/cpu_limit.h"
#include "sentry/ipc/sysv_exit.h"
#include "sentry/kernel/fdtable.h"
#include "sentry/kernel/fs_context.h"
#include "sentry/kernel/futex.h"
#include "sentry/kernel/pid.h"
#include "sentry/kernel/ptrace.h"
#include "sentry/kernel/session.h"
#include "sentry/kernel/task_impl.h"
#include "sentry/kernel/timer.h"
#include "sentry/kernel/uts.h"
#include "sentry/mm/mm.h"
#include "sentry/mm/usercopy.h"
#include "sentry/strace/strace.h"

/* ---- telling the parent --------------------------------------------------------------------- */

struct thread_group *task_parent_group_locked(struct thread_group *tg)
{
	return tg->parent ? tg->parent->tg : NULL;
}

static int64_t ns_to_ticks(uint64_t ns)
{
	return (int64_t)(ns / 10000000);
}

static void siginfo_child(struct guest_siginfo *info, struct thread_group *tg, int signo, int code,
			  int status)
{
	uint64_t u, s;

	thread_group_cpu_time_locked(tg, &u, &s);
	*info = (struct guest_siginfo){.si_signo = signo, .si_code = code};
	info->chld.pid = tg->tgid;
	info->chld.uid = tg->leader->cred->uid;
	info->chld.status = status;
	info->chld.utime = ns_to_ticks(u);
	info->chld.stime = ns_to_ticks(s);
}

static void parent_wake(struct task *parent)
{
	waitq_wake(&parent->tg->child_waitq, POLLIN);
}

void parent_notify_stop_locked(struct thread_group *tg, int code, int status)
{
	struct task *parent = tg->parent;
	const struct sigaction_guest *act;
	struct guest_siginfo info;

	if (!parent || !parent->sighand)
		return;
	act = &parent->sighand->action[SIGCHLD - 1];
	if (act->handler != 1 && !(act->flags & SA_NOCLDSTOP)) {
		siginfo_child(&info, tg, SIGCHLD, code, status);
		signal_send_group_locked(parent->tg, &info);
	}
	parent_wake(parent);
}

/* Returns whether the zombie is to be reaped at once. The caller wakes who waits. */
static bool parent_notify_exit(struct thread_group *tg)
{
	struct task *parent = tg->parent;
	const struct sigaction_guest *act;
	int status = tg->exit_status, code = CLD_EXITED, signo = tg->exit_signal;
	struct guest_siginfo info;
	bool autoreap = false;

	if (!parent || !parent->sighand)
		return true;
	if (tg->parent_exec_id != parent->tg->exec_id)
		signo = SIGCHLD;
	if (status & 0x7f) {
		code = status & 0x80 ? CLD_DUMPED : CLD_KILLED;
		status &= 0x7f;
	} else {
		status >>= 8;
	}
	if (signo == SIGCHLD) {
		act = &parent->sighand->action[SIGCHLD - 1];
		if (act->handler == 1 || (act->flags & SA_NOCLDWAIT))
			autoreap = true;
		if (act->handler == 1)
			signo = 0;
	}
	if (signo) {
		siginfo_child(&info, tg, signo, code, status);
		signal_send_group_locked(parent->tg, &info);
	}
	return autoreap;
}

/* ---- the tree ------------------------------------------------------------------------------- */

static struct task *live_task(struct thread_group *tg, struct task *but)
{
	list_for_each(t, &tg->tasks, struct task, tg_node)
		if (t != but && !t->exiting)
			return t;
	return NULL;
}

/* Who gets the children of t: another task of its group, the nearest subreaper, init. */
static struct task *reaper_find(struct task *t)
{
	struct task *r = live_task(t->tg, t);
	struct thread_group *tg;

	if (r)
		return r;
	for (tg = task_parent_group_locked(t->tg); tg; tg = task_parent_group_locked(tg)) {
		if (!tg->is_child_subreaper)
			continue;
		r = live_task(tg, NULL);
		if (r)
			return r;
	}
	if (!kernel->init || kernel->init->tg == t->tg)
		return NULL;
	return live_task(kernel->init->tg, NULL);
}

static void child_reparent(struct thread_group *child, struct task *from, struct task *to)
{
	struct guest_siginfo info;

	child->parent = to;
	list_for_each(c, &child->tasks, struct task, tg_node) {
		task_republish(c);
		if (c->pdeathsig) {
			siginfo_user(&info, c->pdeathsig, from);
			signal_send_group_locked(child, &info);
		}
	}
	if (to && to->tg == from->tg)
		return;
	list_del_init(&child->sibling);
	if (to)
		list_push_back(&to->tg->children, &child->sibling);
	child->exit_signal = SIGCHLD;
	child->parent_exec_id = to ? to->tg->exec_id : 0;
	if (child->zombie) {
		bool reap = !to || parent_notify_exit(child);

		if (to)
			parent_wake(to);
		if (reap) {
			thread_group_reap_locked(child);
			return;
		}
	}
	pgrp_check_orphaned_locked(child, from);
}

static void children_reparent(struct task *t)
{
	struct task *to;

	if (list_empty(&t->tg->children))
		return;
	to = reaper_find(t);
	list_for_each_safe(child, &t->tg->children, struct thread_group, sibling)
		if (child->parent == t)
			child_reparent(child, t, to);
}

/* The pid table's reference. */
static void task_unhash_locked(struct task *t)
{
	struct pid_slot *slot = pid_slot_locked(t->tid);

	if (slot && slot->task == t)
		slot->task = NULL;
	user_uncharge_locked(t->charged_uid, USER_NPROC);
	atomic_store(&t->state, TASK_DEAD);
	task_put(t);
}

void thread_group_reap_locked(struct thread_group *tg)
{
	struct task *leader = tg->leader;

	if (leader->ptrace)
		ptrace_detach_locked(leader, 0);
	list_del_init(&tg->sibling);
	tg->parent = NULL;
	pgrp_move_locked(tg, NULL);
	sigpending_flush_locked(&tg->pending, ~0ULL);
	tg->leader = NULL;
	if (kernel->init == leader)
		kernel->init = NULL;
	task_unhash_locked(leader);
}

void thread_group_zombie_release_locked(struct thread_group *tg)
{
	if (parent_notify_exit(tg) || kernel_dying_locked())
		thread_group_reap_locked(tg);
}

/* The parent was told when the zombie became one, if the tracer was one of its own threads. */
void thread_group_zombie_untraced_locked(struct thread_group *tg, const struct thread_group *tracer)
{
	const struct sigaction_guest *act;

	if (task_parent_group_locked(tg) != tracer) {
		thread_group_zombie_release_locked(tg);
		return;
	}
	act = tg->parent->sighand ? &tg->parent->sighand->action[SIGCHLD - 1] : NULL;
	if (!act || act->handler == 1 || act->flags & SA_NOCLDWAIT)
		thread_group_reap_locked(tg);
}

/* All tasks of tg have exited, `last` is the last of them: its status counts unless exit_group or a
 * signal has set the group's (as in Linux since 5.17; before, it was the leader's). */
static void group_zombie(struct thread_group *tg, struct task *last)
{
	tg->zombie = true;
	if (!tg->exiting)
		tg->exit_status = last->exit_code;
	session_leader_exit_locked(tg);
	if (kernel->init && kernel->init->tg == tg) {
		kernel_init_died_locked(tg->exit_status);
		waitq_wake(&tg->exit_waitq, POLLIN | POLLRDNORM);
		if (tg->leader)
			thread_group_reap_locked(tg);
		return;
	}
	pgrp_check_orphaned_locked(tg, NULL);
	waitq_wake(&tg->exit_waitq, POLLIN | POLLRDNORM);
	/* A tracer that isn't the parent sees the end first. */
	if (tg->leader->ptrace && !kernel_dying_locked() &&
	    ptrace_zombie_notify_locked(tg->leader, task_parent_group_locked(tg)))
		return;
	thread_group_zombie_release_locked(tg);
}

static void counts_add(struct task_counts *to, const struct task_counts *c)
{
	to->min_flt += c->min_flt;
	to->maj_flt += c->maj_flt;
	to->nvcsw += c->nvcsw;
	to->nivcsw += c->nivcsw;
}

/* The parent's group, referenced, if it is to be woken. */
static struct thread_group *exit_tree(struct task *t)
{
	AUTO_LOCK(&kernel->tasks_lock);
	struct thread_group *tg = t->tg, *parent = NULL;

	children_reparent(t);
	task_account_exit_locked(t);
	counts_add(&tg->dead_counts, &t->counts);
	sigpending_flush_locked(&t->pending, ~0ULL);
	sighand_put(t->sighand);
	t->sighand = NULL;
	list_del_init(&t->tg_node);
	tg->ntasks--;
	atomic_store(&t->state, TASK_ZOMBIE);
	if (t != tg->leader) {
		ptrace_exit_note_locked(t);
		task_unhash_locked(t);
	}
	if (tg->exec_task)
		task_wake(tg->exec_task);
	if (tg->ntasks == 0) {
		if (tg->parent)
			parent = thread_group_get(tg->parent->tg);
		group_zombie(tg, t);
	}
	return parent;
}

/* Wakes the parent after the lock is free, which is the first thing that it will want. */
static void exit_notify(struct task *t)
{
	struct thread_group *parent = exit_tree(t);

	if (!parent)
		return;
	waitq_wake(&parent->child_waitq, POLLIN);
	thread_group_put(parent);
}

/* ---- what a task has ------------------------------------------------------------------------ */

void task_vfork_release(struct task *t)
{
	AUTO_LOCK(&kernel->tasks_lock);

	if (!t->vfork_parent)
		return;
	t->vfork_parent->vfork_waiting = false;
	task_wake(t->vfork_parent);
	t->vfork_parent = NULL;
}

void task_release_user_state(struct task *t, bool exiting)
{
	task_hear(t);
	futex_task_exit(t, exiting);
	if (!gptr_null(t->clear_child_tid)) {
		if (ref_count(&t->mm->ref) > 1) {
			put_guest_u32(t, t->clear_child_tid, 0);
			futex_wake_addr(t, t->clear_child_tid, 1);
		}
		t->clear_child_tid = GNULL;
	}
	task_vfork_release(t);
}

/* What the host takes a while to end, and what nobody waits for. */
struct remains {
	struct pf_thread *pt;
	struct pf_space *space;
};

static void remains_destroy(struct remains *r)
{
	if (r->pt)
		kernel->pf_ops->thread_destroy(r->pt);
	mm_space_end(r->space);
	*r = (struct remains){0};
}

static void address_space_leave(struct task *t, bool last, struct remains *r)
{
	struct mm *mm = t->mm;

	task_release_user_state(t, true);
	if (last)
		task_note_rss(t);
	{
		AUTO_LOCK(&kernel->tasks_lock);
		task_leave_space_locked(t, NULL, last);
	}
	r->pt = task_swap_pt(t, NULL, true);
	r->space = mm_put_but_space(mm);
	/* A thread of a process that lives on may be wanted for its next one. */
	if (!last || !t->tg->owns_space)
		remains_destroy(r);
}

static void resources_put(struct task *t)
{
	struct fdtable *files;
	struct fs_context *fs;
	struct mount_ns *mounts;
	struct uts_ns *uts;

	{
		AUTO_LOCK(&kernel->tasks_lock);
		files = steal(&t->files);
		fs = steal(&t->fs);
		mounts = steal(&t->mount_ns);
		uts = steal(&t->uts_ns);
	}
	fdtable_put(files);
	fs_context_put(fs);
	mount_ns_put(mounts);
	uts_ns_put(uts);
}

void task_exit(struct task *t)
{
	struct remains remains;
	bool last;

	if (t->ptrace)
		ptrace_exit(t);
	{
		AUTO_LOCK(&kernel->tasks_lock);
		t->exiting = true;
		ptrace_tracer_exit_locked(t);
		signal_task_exit_locked(t);
		last = !live_task(t->tg, t);
		if (t->tg->exiting)
			t->exit_code = t->tg->exit_status;
	}
	if (last) {
		thread_group_timers_exit(t);
		cpu_limit_exit(t->tg);
		semaphores_exit(t->tg);
	}
	address_space_leave(t, last, &remains);
	resources_put(t);
	if (strace_enabled())
		strace_exited(t, t->exit_code);
	exit_notify(t);
	remains_destroy(&remains);
}

/* ---- exec: the group shrinks to one task ---------------------------------------------------- */

/* The leader's number goes to t: the old leader, dead by now, is reaped silently. */
static void leader_replace(struct task *t)
{
	struct thread_group *tg = t->tg;
	struct task *old = tg->leader;
	struct pid_slot *mine = pid_slot_locked(t->tid), *slot = pid_slot_locked(tg->tgid);

	mine->task = NULL;
	slot->task = t;
	t->tid = tg->tgid;
	tg->leader = t;
	if (kernel->init == old)
		kernel->init = t;
	if (old->ptrace)
		ptrace_detach_locked(old, 0);
	user_uncharge_locked(old->charged_uid, USER_NPROC);
	atomic_store(&old->state, TASK_DEAD);
	task_put(old);
}

int task_de_thread(struct task *t)
{
	struct thread_group *tg = t->tg;

	AUTO_LOCK(&kernel->tasks_lock);
	if (t->killed || tg->exiting || tg->exec_task)
		return -EAGAIN;
	tg->exec_task = t;
	list_for_each(o, &tg->tasks, struct task, tg_node) {
		if (o == t)
			continue;
		o->stop_pending = o->stopped = false;
		if (!o->exiting)
			signal_wake_locked(o, true);
	}
	while (tg->ntasks > 1) {
		uint32_t seq = task_wake_prepare(t);

		mutex_unlock(&kernel->tasks_lock);
		task_block_killable(t, seq, UINT64_MAX);
		mutex_lock(&kernel->tasks_lock);
		if (t->killed) {
			tg->exec_task = NULL;
			return -EAGAIN;
		}
	}
	tg->exec_task = NULL;
	tg->stop_count = 0;
	if (tg->leader != t)
		leader_replace(t);
	tg->exit_signal = SIGCHLD;
	tg->exec_id++;
	return 0;
}
