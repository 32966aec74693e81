/* clone(2): a new task, in a new process or in the caller's.
 *
 * Everything that can fail comes first; the new task enters the tree in one step under tasks_lock,
 * where a group exit, an exec or a stop that began meanwhile is seen; its S thread is started last
 * and sleeps in nothing before. What was built is taken apart by task_put-like steps in
 * child_discard() if a step fails. */
#include <errno.h>
#include <poll.h>
#include <linux/capability.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/resource.h>

#include "sentry/kernel/cpu_limit.h"
#include "sentry/kernel/fdtable.h"
#include "sentry/kernel/fs_context.h"
#include "sentry/kernel/known.h"
#include "sentry/kernel/pid.h"
#include "sentry/kernel/ptrace.h"
#include "sentry/kernel/restart.h"
#include "sentry/kernel/seccomp.h"
#include "sentry/kernel/session.h"
#include "sentry/kernel/task_impl.h"
#include "sentry/kernel/uts.h"
#include "sentry/mm/mm.h"
#include "sentry/mm/usercopy.h"

#ifndef CLONE_CLEAR_SIGHAND
#define CLONE_CLEAR_SIGHAND 0x100000000ULL
#endif
#define CLONE_NAMESPACES                                                                           \
	(CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET |  \
	 CLONE_NEWCGROUP)
/* Namespaces that there is only one of: as on a kernel that was configured without them. */
#define CLONE_REFUSED (CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC)

static int flags_check(struct task *t, uint64_t f)
{
	if ((f & (CLONE_NEWNS | CLONE_FS)) == (CLONE_NEWNS | CLONE_FS))
		return -EINVAL;
	if ((f & (CLONE_NEWUSER | CLONE_FS)) == (CLONE_NEWUSER | CLONE_FS))
		return -EINVAL;
	if ((f & CLONE_THREAD) && !(f & CLONE_SIGHAND))
		return -EINVAL;
	if ((f & CLONE_SIGHAND) && !(f & CLONE_VM))
		return -EINVAL;
	if ((f & CLONE_SIGHAND) && (f & CLONE_CLEAR_SIGHAND))
		return -EINVAL;
	if ((f & CLONE_THREAD) && (f & (CLONE_NEWUSER | CLONE_NEWPID)))
		return -EINVAL;
	if ((f & CLONE_NEWIPC) && (f & CLONE_SYSVSEM))
		return -EINVAL;
	if ((f & CLONE_PIDFD) && (f & CLONE_DETACHED))
		return -EINVAL;
	if ((f & CLONE_NAMESPACES & ~CLONE_NEWUSER) && !task_capable(t, CAP_SYS_ADMIN))
		return -EPERM;
	return f & CLONE_REFUSED ? -EINVAL : 0;
}

/* ---- what the child shares or copies -------------------------------------------------------- */

int task_clone_mounts(struct mount_ns *ns, struct fs_context *fs, struct mount_ns **out)
{
	int err = mount_ns_clone(ns, out);
	struct path root, cwd;

	if (err < 0)
		return err;
	fs_context_root(fs, &root);
	fs_context_cwd(fs, &cwd);
	mount_ns_adopt(*out, &root);
	mount_ns_adopt(*out, &cwd);
	{
		AUTO_LOCK(&fs->mu);
		struct path old_root = fs->root, old_cwd = fs->cwd;

		fs->root = root;
		fs->cwd = cwd;
		fs_context_moved(fs, true, true);
		root = old_root;
		cwd = old_cwd;
	}
	path_put(&root);
	path_put(&cwd);
	return 0;
}

/* After child_files(): c->fs is its own when the mounts are to be. */
static int child_namespaces(struct task *c, struct task *t, uint64_t f)
{
	int err;

	c->ipc_ns = t->ipc_ns;
	if (f & CLONE_NEWUTS) {
		err = uts_ns_clone(t->uts_ns, &c->uts_ns);
		if (err < 0)
			return err;
	} else {
		c->uts_ns = uts_ns_get(t->uts_ns);
	}
	if (!(f & CLONE_NEWNS)) {
		c->mount_ns = mount_ns_get(t->mount_ns);
		return 0;
	}
	return task_clone_mounts(t->mount_ns, c->fs, &c->mount_ns);
}

static int child_files(struct task *c, struct task *t, uint64_t f)
{
	int err;

	if (f & CLONE_FILES) {
		c->files = fdtable_ref(t->files);
	} else {
		err = fdtable_clone(t->files, &c->files);
		if (err < 0)
			return err;
	}
	if (f & CLONE_FS) {
		c->fs = fs_context_get(t->fs);
		return 0;
	}
	return fs_context_clone(t->fs, &c->fs);
}

static int child_sighand(struct task *c, struct task *t, uint64_t f)
{
	if (f & CLONE_SIGHAND)
		known_actions_end(t);
	else
		known_actions_hear(t);
	AUTO_LOCK(&kernel->tasks_lock);

	if (f & CLONE_SIGHAND) {
		c->sighand = sighand_get(t->sighand);
		return 0;
	}
	c->sighand = sighand_clone_locked(t->sighand);
	if (!c->sighand)
		return -ENOMEM;
	if (f & CLONE_CLEAR_SIGHAND)
		for (int i = 0; i < GUEST_NSIG; i++)
			if (c->sighand->action[i].handler != 1)
				c->sighand->action[i] = (struct sigaction_guest){0};
	return 0;
}

static int child_mm(struct task *c, struct task *t, uint64_t f)
{
	int err;

	if (!(f & CLONE_VM))
		return mm_fork(t, &c->mm, &c->pt);
	err = kernel->pf_ops->thread_new(t->pt, &c->pt);
	if (err == 0)
		c->mm = mm_get(t->mm);
	return err;
}

static void child_attributes(struct task *c, struct task *t, uint64_t f)
{
	c->cred = cred_get(t->cred);
	c->blocked = t->has_saved_mask ? t->saved_mask : t->blocked;
	memcpy(c->comm, t->comm, sizeof(c->comm));
	memcpy(c->affinity, t->affinity, sizeof(c->affinity));
	c->timer_slack_ns = c->default_timer_slack_ns = t->timer_slack_ns;
	c->personality = t->personality;
	c->ioprio = t->ioprio;
	c->thp_disable = t->thp_disable;
	c->strace_flags = t->strace_flags;
	c->nice = t->nice;
	c->sched_policy = t->sched_policy;
	c->sched_priority = t->sched_priority;
	if (t->sched_reset_on_fork) {
		c->sched_policy = SCHED_OTHER;
		c->sched_priority = 0;
		if (c->nice < 0)
			c->nice = 0;
	}
	/* The alternate stack goes along with a copy of the memory, and for vfork. */
	if (!(f & CLONE_VM) || (f & CLONE_VFORK)) {
		c->altstack_sp = t->altstack_sp;
		c->altstack_size = t->altstack_size;
		c->altstack_flags = t->altstack_flags;
	}
	c->fault_addr = t->fault_addr;
	c->fault_trapno = t->fault_trapno;
	c->fault_error = t->fault_error;
}

static void child_group(struct thread_group *tg, struct thread_group *from, struct task *t)
{
	memcpy(tg->rlimits, from->rlimits, sizeof(tg->rlimits));
	tg->dumpable = from->dumpable;
	tg->oom_score_adj = from->oom_score_adj;
	tg->has_child_subreaper = from->has_child_subreaper || from->is_child_subreaper;
}

static void child_registers(struct task *c, const struct clone_args_kernel *a)
{
	struct pf_regs *r = kernel->pf_ops->regs(c->pt);

	r->rax = 0;
	r->orig_rax = -1;
	if (a->stack)
		r->rsp = a->stack;
	if (a->flags & CLONE_SETTLS)
		r->fs_base = a->tls.v;
}

/* ---- putting together and taking apart ------------------------------------------------------ */

/* A child that never ran. It may have been in the tree for a moment, and who found it there may keep it: he finds
 * one that has exited. */
static void child_discard(struct task *c)
{
	struct {
		struct pf_thread *pt;
		struct mm *mm;
		struct fdtable *files;
		struct fs_context *fs;
		struct mount_ns *mount_ns;
		struct uts_ns *uts_ns;
		struct sighand *sighand;
	} had;

	{
		AUTO_LOCK(&kernel->tasks_lock);
		AUTO_LOCK(&c->pt_lock);
		had.pt = steal(&c->pt);
		had.mm = steal(&c->mm);
		had.files = steal(&c->files);
		had.fs = steal(&c->fs);
		had.mount_ns = steal(&c->mount_ns);
		had.uts_ns = steal(&c->uts_ns);
		had.sighand = steal(&c->sighand);
	}
	if (had.pt)
		kernel->pf_ops->thread_destroy(had.pt);
	if (had.mm)
		mm_put(had.mm);
	fdtable_put(had.files);
	fs_context_put(had.fs);
	mount_ns_put(had.mount_ns);
	uts_ns_put(had.uts_ns);
	sighand_put(had.sighand);
	if (c->tid) {
		AUTO_LOCK(&kernel->tasks_lock);
		pid_unreserve_locked(c->tid);
		user_uncharge_locked(c->charged_uid, USER_NPROC);
	}
	task_put(c);
}

static int child_reserve(struct task *c, struct task *t)
{
	uint64_t limit = task_rlimit(t, RLIMIT_NPROC);
	int pid;

	if (t->cred->uid == 0 || task_capable(t, CAP_SYS_RESOURCE) ||
	    task_capable(t, CAP_SYS_ADMIN))
		limit = UINT64_MAX;
	AUTO_LOCK(&kernel->tasks_lock);
	if (user_charge_locked(t->cred->uid, USER_NPROC, limit) < 0)
		return -EAGAIN;
	pid = pid_alloc_locked();
	if (pid < 0) {
		user_uncharge_locked(t->cred->uid, USER_NPROC);
		return pid;
	}
	c->charged_uid = t->cred->uid;
	c->tid = pid;
	return 0;
}

/* All but the memory of a child that will be born running. */
static int child_build(struct task *t, const struct clone_args_kernel *a, bool later,
		       struct task **out)
{
	uint64_t f = a->flags;
	struct thread_group *tg = f & CLONE_THREAD ? thread_group_get(t->tg) : thread_group_alloc();
	struct task *c = tg ? task_alloc(tg) : NULL;
	int err;

	thread_group_put(tg);
	if (!c)
		return -ENOMEM;
	child_attributes(c, t, f);
	err = child_reserve(c, t);
	if (err == 0)
		err = child_files(c, t, f);
	if (err == 0)
		err = child_namespaces(c, t, f);
	if (err == 0)
		err = child_sighand(c, t, f);
	if (err == 0 && !later)
		err = child_mm(c, t, f);
	if (err < 0) {
		child_discard(c);
		return err;
	}
	if (!(f & CLONE_THREAD)) {
		tg->tgid = c->tid;
		tg->exit_signal = a->exit_signal;
		tg->parent_exec_id = t->tg->exec_id;
		child_group(tg, t->tg, t);
		if (!(f & CLONE_VM))
			thread_group_owns_space(tg);
	}
	if (!later)
		child_registers(c, a);
	if (f & CLONE_CHILD_SETTID)
		c->set_child_tid = a->child_tid;
	if (f & CLONE_CHILD_CLEARTID)
		c->clear_child_tid = a->child_tid;
	*out = c;
	return 0;
}

static void tree_enter_process(struct task *c, struct task *t, uint64_t f)
{
	struct thread_group *tg = c->tg;

	tg->leader = c;
	tg->parent = t;
	if (f & CLONE_PARENT) {
		tg->parent = t->tg->parent;
		tg->exit_signal = t->tg->exit_signal;
		tg->parent_exec_id = t->tg->parent_exec_id;
	}
	list_push_back(&tg->parent->tg->children, &tg->sibling);
	pgrp_move_locked(tg, t->tg->pgrp);
}

/* The step that makes c exist. */
static int tree_enter(struct task *c, struct task *t, uint64_t f, int event)
{
	struct pid_slot *slot;

	AUTO_LOCK(&kernel->tasks_lock);
	if (t->killed)
		return -EINTR;
	/* A process may not be made a sibling of init: nobody outside would reap it. */
	if ((f & CLONE_PARENT) && ((kernel->init && t->tg == kernel->init->tg) ||
				   (!(f & CLONE_THREAD) && !t->tg->parent)))
		return -EINVAL;
	if (!(f & CLONE_THREAD))
		tree_enter_process(c, t, f);
	seccomp_inherit(c, t);
	slot = pid_slot_locked(c->tid);
	slot->task = task_get(c);
	slot->reserved = false;
	list_push_back(&c->tg->tasks, &c->tg_node);
	c->tg->ntasks++;
	signal_task_join_locked(c);
	ptrace_clone_child_locked(t, c, f & CLONE_PTRACE, event);
	if (f & CLONE_VFORK) {
		c->vfork_parent = t;
		t->vfork_waiting = true;
	}
	kernel->ntasks++;
	kernel->total_forks++;
	return 0;
}

/* No S thread or no memory could be had: c leaves as if killed before it ran. */
static void tree_leave_locked(struct task *c, struct task *t)
{

	t->vfork_waiting = false;
	c->vfork_parent = NULL;
	list_del_init(&c->tg_node);
	c->exiting = true;
	atomic_store(&c->futexes_left, true);
	if (c->ptrace)
		ptrace_detach_locked(c, 0);
	c->tg->ntasks--;
	kernel->ntasks--;
	pid_slot_locked(c->tid)->task = NULL;
	pid_slot_locked(c->tid)->reserved = true;
	task_put(c); /* the table's; the caller has another */
	sigpending_flush_locked(&c->pending, ~0ULL);
	if (c->tg->leader == c) {
		sigpending_flush_locked(&c->tg->pending, ~0ULL);
		list_del_init(&c->tg->sibling);
		pgrp_move_locked(c->tg, NULL);
		c->tg->leader = NULL;
	}
}

static void tree_leave(struct task *c, struct task *t)
{
	mutex_lock(&kernel->tasks_lock);
	tree_leave_locked(c, t);
	mutex_unlock(&kernel->tasks_lock);
	waitq_wake(&t->tg->child_waitq, POLLIN); /* it may have been all that was waited for */
}

/* ---- children that are born running --------------------------------------------------------- */

/* A fork whose child nobody need do anything to before it runs does not wait for its S thread: it runs as soon
 * as the host has made it, and what it asks for waits. Others may learn its number from it at once, so
 * it is in the tree by then, without memory, as those are that exit. */
static bool may_be_born_running(struct task *t, const struct clone_args_kernel *a)
{
	const uint64_t other = CLONE_VM | CLONE_PARENT | CLONE_PTRACE | CLONE_PIDFD | CLONE_SETTLS |
			       CLONE_PARENT_SETTID | CLONE_NAMESPACES;

	return kernel->pf_ops->space_fork_run && !(a->flags & other) && !t->ptrace && !t->seccomp;
}

/* What came before there was a host thread to interrupt, it is told of now. */
static void child_enters_space(struct task *c, struct mm *mm, struct pf_thread *pt,
			       const struct pf_identity *id)
{
	AUTO_LOCK(&kernel->tasks_lock);

	c->mm = mm;
	{
		AUTO_LOCK(&c->pt_lock);
		c->pt = pt;
		if (id)
			c->identity = *id;
	}
	if (!id)
		return;
	if (c->ptrace || c->seccomp)
		task_republish(c);
	if (c->work || c->killed)
		kernel->pf_ops->interrupt(pt);
}

static int child_birth(struct task *c, struct task *t, const struct clone_args_kernel *a)
{
	struct pf_birth b = {
		.rsp = a->stack,
		.id = {
			.tgid = c->tid,
			.tid = c->tid,
			.ppid = t->tg->tgid,
			.uid = c->cred->uid,
			.euid = c->cred->euid,
			.gid = c->cred->gid,
			.egid = c->cred->egid,
			.answers_allowed = t->identity.answers_allowed,
			.cred = c->cred->id,
			.place = c->fs->place,
		},
	};
	struct pf_thread *pt;
	struct mm *mm;
	int err;

	if (a->flags & CLONE_CHILD_SETTID)
		b.tid_addr = a->child_tid;
	err = mm_fork_run(t, &b, &mm, &pt);
	if (err == 0) {
		c->born_running = true;
		atomic_store(&c->run_seq, 1);
		child_enters_space(c, mm, pt, &b.id);
		return 0;
	}
	if (err == -EFAULT)
		err = mm_fork(t, &mm, &pt);
	if (err == 0) {
		child_enters_space(c, mm, pt, NULL);
		child_registers(c, a);
	}
	return err;
}

static void vfork_wait(struct task *t, struct task *c)
{
	for (;;) {
		uint32_t seq = task_wake_prepare(t);

		mutex_lock(&kernel->tasks_lock);
		if (t->killed && t->vfork_waiting) {
			c->vfork_parent = NULL;
			t->vfork_waiting = false;
		}
		if (!t->vfork_waiting) {
			mutex_unlock(&kernel->tasks_lock);
			return;
		}
		mutex_unlock(&kernel->tasks_lock);
		task_block_killable(t, seq, UINT64_MAX);
	}
}

static int child_pidfd(struct task *t, struct task *c, const struct clone_args_kernel *a, int *fd)
{
	struct file *f;
	int err;

	*fd = -1;
	if (!(a->flags & CLONE_PIDFD))
		return 0;
	err = pidfd_new(t, c->tg, 0, &f);
	if (err < 0)
		return err;
	err = fdtable_install(t->files, f, 0, true, task_rlimit(t, RLIMIT_NOFILE));
	if (err < 0) {
		file_put(f);
		return err;
	}
	*fd = err;
	if (put_guest_u32(t, a->pidfd, (uint32_t)*fd)) {
		fdtable_close(t->files, *fd);
		return -EFAULT;
	}
	return 0;
}

int64_t task_clone(struct task *t, const struct clone_args_kernel *a)
{
	struct task *c;
	int64_t tid;
	int err = flags_check(t, a->flags), fd, event;
	bool birth = may_be_born_running(t, a);

	if (err < 0)
		return err;
	if (signal_pending(t))
		return -ERESTARTNOINTR;
	err = child_build(t, a, birth, &c);
	if (err < 0)
		return err;
	tid = c->tid;
	err = child_pidfd(t, c, a, &fd);
	if (err < 0) {
		child_discard(c);
		return err;
	}
	if (a->flags & CLONE_PARENT_SETTID)
		put_guest_u32(t, a->parent_tid, (uint32_t)tid);
	event = ptrace_clone_event(t, a->flags, a->exit_signal);
	err = tree_enter(c, t, a->flags, event);
	if (err == 0) {
		if (!(a->flags & CLONE_THREAD))
			cpu_limit_update(c->tg);
		if (birth)
			err = child_birth(c, t, a);
		if (err == 0)
			err = task_start_thread(c);
		if (err < 0) {
			tree_leave(c, t);
			cpu_limit_exit(c->tg);
		}
	}
	if (err < 0) {
		if (fd >= 0)
			fdtable_close(t->files, fd);
		child_discard(c);
		return err;
	}
	if (event)
		ptrace_event(t, event, (uint64_t)tid);
	if (a->flags & CLONE_VFORK) {
		vfork_wait(t, c);
		if (event)
			ptrace_event(t, PTRACE_EVENT_VFORK_DONE, (uint64_t)tid);
	}
	task_put(c);
	return tid;
}
