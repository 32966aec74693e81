/* kill(2), tkill, tgkill, rt_sigqueueinfo, pidfd_send_signal: who may send what to whom. */
#include <errno.h>
#include <limits.h>

#include "sentry/fs/proc/proc.h"
#include "sentry/kernel/fdtable.h"
#include "sentry/kernel/session.h"
#include "sentry/kernel/task_impl.h"
#include "sentry/mm/usercopy.h"
#include "sentry/syscalls/syscalls.h"

static bool signo_valid(int signo)
{
	return signo >= 0 && signo <= GUEST_NSIG;
}

static int group_kill_locked(struct task *t, struct thread_group *tg,
			     const struct guest_siginfo *info)
{
	if (!signal_may_send(t->cred, tg->leader, info->si_signo))
		return -EPERM;
	return info->si_signo ? signal_send_group_locked(tg, info) : 0;
}

/* 0 if one could be signalled, else the last error, or -ESRCH. */
static int pgrp_kill_locked(struct task *t, int pgid, const struct guest_siginfo *info)
{
	struct pgrp *p = pgid ? pgrp_lookup_locked(pgid) : t->tg->pgrp;
	int err = -ESRCH;
	bool done = false;

	if (!p)
		return -ESRCH;
	list_for_each_safe(tg, &p->members, struct thread_group, pgrp_node) {
		int r = group_kill_locked(t, tg, info);

		if (r == 0)
			done = true;
		else
			err = r;
	}
	return done ? 0 : err;
}

struct kill_all {
	struct task *sender;
	const struct guest_siginfo *info;
	int count, err;
};

static bool kill_one(struct task *t, void *ctx)
{
	struct kill_all *k = ctx;
	int r;

	if (t->tg->leader != t || t->tg == k->sender->tg ||
	    (kernel->init && t->tg == kernel->init->tg))
		return true;
	r = group_kill_locked(k->sender, t->tg, k->info);
	k->count++;
	if (r != -EPERM)
		k->err = r;
	return true;
}

int64_t sys_kill(struct task *t, int pid, int signo)
{
	struct guest_siginfo info;
	struct thread_group *tg;

	siginfo_user(&info, signo, t);
	if (pid == INT_MIN)
		return -ESRCH;
	if (!signo_valid(signo))
		return -EINVAL;
	AUTO_LOCK(&kernel->tasks_lock);
	if (pid == -1) {
		struct kill_all k = {t, &info, 0, 0};

		task_each_locked(kill_one, &k);
		return k.count ? k.err : -ESRCH;
	}
	if (pid <= 0)
		return pgrp_kill_locked(t, -pid, &info);
	/* A thread's number names its process too. */
	struct task *target = task_lookup_locked(pid);

	tg = target ? target->tg : NULL;
	if (!tg || !tg->leader)
		return -ESRCH;
	return group_kill_locked(t, tg, &info);
}

/* tgid 0: any. */
static int64_t task_kill_one(struct task *t, int tgid, int tid, const struct guest_siginfo *info)
{
	struct task *target;

	AUTO_LOCK(&kernel->tasks_lock);
	target = task_lookup_locked(tid);
	if (!target || (tgid && target->tg->tgid != tgid))
		return -ESRCH;
	if (!signal_may_send(t->cred, target, info->si_signo))
		return -EPERM;
	return info->si_signo ? signal_send_task_locked(target, info) : 0;
}

int64_t sys_tgkill(struct task *t, int tgid, int tid, int signo)
{
	struct guest_siginfo info;

	if (tgid <= 0 || tid <= 0 || !signo_valid(signo))
		return -EINVAL;
	siginfo_user(&info, signo, t);
	info.si_code = SI_TKILL;
	return task_kill_one(t, tgid, tid, &info);
}

int64_t sys_tkill(struct task *t, int tid, int signo)
{
	struct guest_siginfo info;

	if (tid <= 0 || !signo_valid(signo))
		return -EINVAL;
	siginfo_user(&info, signo, t);
	info.si_code = SI_TKILL;
	return task_kill_one(t, 0, tid, &info);
}

/* Nobody may pretend to be the kernel or kill() towards others. */
static int siginfo_get(struct task *t, struct guest_siginfo *info, int signo, struct gptr src)
{
	if (get_guest(t, info, src))
		return -EFAULT;
	info->si_signo = signo;
	return 0;
}

static bool siginfo_forged(const struct guest_siginfo *info)
{
	return info->si_code >= 0 || info->si_code == SI_TKILL;
}

int64_t sys_rt_sigqueueinfo(struct task *t, int tgid, int signo, struct gptr src)
{
	struct guest_siginfo info;
	struct task *target;
	int err = siginfo_get(t, &info, signo, src);

	if (err < 0)
		return err;
	if (!signo_valid(signo))
		return -EINVAL;
	AUTO_LOCK(&kernel->tasks_lock);
	if (siginfo_forged(&info) && tgid != t->tg->tgid)
		return -EPERM;
	target = task_lookup_locked(tgid);
	if (!target || !target->tg->leader)
		return -ESRCH;
	return group_kill_locked(t, target->tg, &info);
}

int64_t sys_rt_tgsigqueueinfo(struct task *t, int tgid, int tid, int signo, struct gptr src)
{
	struct guest_siginfo info;
	int err = siginfo_get(t, &info, signo, src);

	if (err < 0)
		return err;
	if (tgid <= 0 || tid <= 0 || !signo_valid(signo))
		return -EINVAL;
	if (siginfo_forged(&info) && tid != t->tid)
		return -EPERM;
	return task_kill_one(t, tgid, tid, &info);
}

/* An open /proc/PID stands for the process, too: pidfd_send_signal(2). */
static int pidfd_or_proc_group(struct file *f, struct thread_group **out)
{
	struct task *target;

	if (pidfd_group(f, out) == 0)
		return 0;
	target = proc_pid_dir_task(f);
	if (!target)
		return -EBADF;
	*out = thread_group_get(target->tg);
	return 0;
}

int64_t sys_pidfd_send_signal(struct task *t, int pidfd, int signo, struct gptr src,
			      unsigned int flags)
{
	AUTO(thread_group) struct thread_group *tg = NULL;
	AUTO(file) struct file *f = NULL;
	struct guest_siginfo info;
	int err;

	if (flags)
		return -EINVAL;
	err = fdtable_get(t->files, pidfd, &f);
	if (err == 0)
		err = pidfd_or_proc_group(f, &tg);
	if (err < 0)
		return err;
	siginfo_user(&info, signo, t);
	if (!gptr_null(src)) {
		if (get_guest(t, &info, src))
			return -EFAULT;
		if (info.si_signo != signo)
			return -EINVAL;
		if (tg != t->tg && siginfo_forged(&info))
			return -EPERM;
	}
	if (!signo_valid(signo))
		return -EINVAL;
	AUTO_LOCK(&kernel->tasks_lock);
	if (!tg->leader)
		return -ESRCH;
	return group_kill_locked(t, tg, &info);
}
