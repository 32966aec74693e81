/* Numbers of processes, process groups and sessions: getpid(2), setpgid(2), setsid(2), pidfd_open(2). */
#include <errno.h>
#include <fcntl.h>
#include <sys/resource.h>

#include "sentry/kernel/fdtable.h"
#include "sentry/kernel/known.h"
#include "sentry/kernel/session.h"
#include "sentry/kernel/task_impl.h"
#include "sentry/syscalls/syscalls.h"

int64_t sys_getpid(struct task *t)
{
	return t->tg->tgid;
}

int64_t sys_gettid(struct task *t)
{
	return t->tid;
}

int64_t sys_getppid(struct task *t)
{
	AUTO_LOCK(&kernel->tasks_lock);

	return task_ppid_locked(t);
}

/* 0: the caller. Any thread's number names its process. */
static struct thread_group *group_of_locked(struct task *t, int pid)
{
	struct task *target = pid ? task_lookup_locked(pid) : t;

	return target && target->tg->pgrp ? target->tg : NULL;
}

int64_t sys_getpgid(struct task *t, int pid)
{
	AUTO_LOCK(&kernel->tasks_lock);
	struct thread_group *tg = group_of_locked(t, pid);

	return tg ? tg->pgrp->pgid : -ESRCH;
}

int64_t sys_getpgrp(struct task *t)
{
	return sys_getpgid(t, 0);
}

int64_t sys_getsid(struct task *t, int pid)
{
	AUTO_LOCK(&kernel->tasks_lock);
	struct thread_group *tg = group_of_locked(t, pid);

	return tg ? tg->pgrp->session->sid : -ESRCH;
}

static int pgid_target_locked(struct task *t, int pid, struct thread_group **out)
{
	struct task *target = task_lookup_locked(pid);
	struct thread_group *tg;

	if (!target || !target->tg->pgrp)
		return -ESRCH;
	tg = target->tg;
	if (tg->leader != target)
		return -EINVAL;
	if (task_parent_group_locked(tg) == t->tg) {
		if (tg->pgrp->session != t->tg->pgrp->session)
			return -EPERM;
		if (tg->has_execed)
			return -EACCES;
	} else if (tg != t->tg) {
		return -ESRCH;
	}
	if (tg->pgrp->session->leader == tg)
		return -EPERM;
	*out = tg;
	return 0;
}

int64_t sys_setpgid(struct task *t, int pid, int pgid)
{
	struct thread_group *tg;
	struct pgrp *p;
	int err;

	if (pid == 0)
		pid = t->tg->tgid;
	if (pgid == 0)
		pgid = pid;
	if (pgid < 0)
		return -EINVAL;
	AUTO_LOCK(&kernel->tasks_lock);
	err = pgid_target_locked(t, pid, &tg);
	if (err < 0)
		return err;
	p = pgrp_lookup_locked(pgid);
	if (pgid != pid) {
		if (!p || p->session != t->tg->pgrp->session || list_empty(&p->members))
			return -EPERM;
		pgrp_move_locked(tg, p);
		return 0;
	}
	if (p) {
		if (p->session != tg->pgrp->session)
			return -EPERM;
		if (p != tg->pgrp)
			pgrp_move_locked(tg, p);
		return 0;
	}
	err = pgrp_new_locked(tg->pgrp->session, pgid, &p);
	if (err < 0)
		return err;
	pgrp_move_locked(tg, p);
	pgrp_put_locked(p);
	return 0;
}

int64_t sys_setsid(struct task *t)
{
	AUTO_LOCK(&kernel->tasks_lock);
	struct thread_group *tg = t->tg;
	int err;

	if (tg->pgrp->session->leader == tg || pgrp_lookup_locked(tg->tgid))
		return -EPERM;
	err = session_new_locked(tg);
	return err < 0 ? err : tg->tgid;
}

/* ---- pidfds --------------------------------------------------------------------------------- */

int64_t sys_pidfd_open(struct task *t, int pid, unsigned int flags)
{
	AUTO(thread_group) struct thread_group *tg = NULL;
	struct task *target;
	struct file *f;
	int err;

	if (flags & ~(unsigned)O_NONBLOCK || pid <= 0)
		return -EINVAL;
	{
		AUTO_LOCK(&kernel->tasks_lock);
		target = task_lookup_locked(pid);
		if (!target)
			return -ESRCH;
		if (target->tg->leader != target)
			return -EINVAL;
		tg = thread_group_get(target->tg);
	}
	err = pidfd_new(t, tg, (int)flags, &f);
	if (err < 0)
		return err;
	err = fdtable_install(t->files, f, 0, true, task_rlimit(t, RLIMIT_NOFILE));
	if (err < 0)
		file_put(f);
	return err;
}

int64_t sys_pidfd_getfd(struct task *t, int pidfd, int targetfd, unsigned int flags)
{
	AUTO(thread_group) struct thread_group *tg = NULL;
	AUTO(file) struct file *f = NULL;
	struct fdtable *files = NULL;
	AUTO(task) struct task *target = NULL;
	struct file *got;
	struct task *o;
	uint64_t pos;
	int err;

	if (flags)
		return -EINVAL;
	err = fdtable_get(t->files, pidfd, &f);
	if (err == 0)
		err = pidfd_group(f, &tg);
	if (err < 0)
		return err;
	{
		AUTO_LOCK(&kernel->tasks_lock);
		o = tg->leader ? list_first(&tg->tasks, struct task, tg_node) : NULL;
		if (!o || !o->files)
			return -ESRCH;
		err = task_may_access(t, o);
		if (err < 0)
			return err;
		files = fdtable_ref(o->files);
		target = task_get(o);
	}
	err = fdtable_get_path(files, targetfd, &got);
	fdtable_put(files);
	if (err < 0)
		return err;
	if (known_open_pos(target, targetfd, true, &pos))
		file_seek(got, (int64_t)pos, SEEK_SET);
	err = fdtable_install(t->files, got, 0, true, task_rlimit(t, RLIMIT_NOFILE));
	if (err < 0)
		file_put(got);
	return err;
}
