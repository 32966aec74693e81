/* Job control of terminals: termios(3) ("Job control" of POSIX, chapter 11), tty_ioctl(4). */
#include "sentry/fs/tty.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/tty.h>
#include <signal.h>
#include <sys/ioctl.h>

#include "sentry/kernel/kernel.h"
#include "sentry/kernel/restart.h"
#include "sentry/kernel/session.h"
#include "sentry/kernel/signal.h"
#include "sentry/kernel/task.h"
#include "sentry/mm/usercopy.h"
#include "vfs/file.h"
#include "vfs/vfs.h"

void tty_init(struct tty *t, const struct tty_ops *ops, unsigned dev)
{
	ref_init(&t->ref);
	t->ops = ops;
	t->dev = dev;
	t->session = NULL;
	t->devpts = NULL;
	mutex_init(&t->attr_mu, LOCK_INODE_ATTR);
	t->atime = t->mtime = t->ctime = vfs_now();
}

void tty_fini(struct tty *t)
{
	mutex_destroy(&t->attr_mu);
}

struct tty *tty_get(struct tty *t)
{
	ref_get(&t->ref);
	return t;
}

void tty_put(struct tty *t)
{
	if (t && ref_put(&t->ref))
		t->ops->release(t);
}

unsigned tty_device_number(struct tty *t)
{
	return t->dev;
}

static struct session *session_of_locked(struct task *task)
{
	return task->tg->pgrp ? task->tg->pgrp->session : NULL;
}

struct tty *tty_of_task(struct task *task)
{
	AUTO_LOCK(&kernel->tasks_lock);
	struct session *s = session_of_locked(task);

	return s && s->tty ? tty_get(s->tty) : NULL;
}

void tty_attach_locked(struct tty *t, struct session *s)
{
	struct tty *old = s->tty;

	s->tty = tty_get(t);
	t->session = s;
	tty_put(old);
}

/* session_leader_exit_locked() has signalled the foreground group already and drops its reference. */
void tty_session_gone_locked(struct tty *t, struct session *s)
{
	if (t->session != s)
		return;
	t->session = NULL;
	if (t->ops->hangup_locked)
		t->ops->hangup_locked(t);
}

/* ---- who may use it ------------------------------------------------------------------------ */

static bool ignores_locked(struct task *task, int signo)
{
	return atomic_load(&task->blocked) & SIGBIT(signo) ||
	       task->sighand->action[signo - 1].handler == (uint64_t)(uintptr_t)SIG_IGN;
}

static int check(struct tty *t, int signo)
{
	struct task *task = current_task;
	struct guest_siginfo info;
	struct session *s;
	struct pgrp *pg;

	if (!task)
		return 0;
	AUTO_LOCK(&kernel->tasks_lock);
	pg = task->tg->pgrp;
	s = session_of_locked(task);
	if (!s || s->tty != t || !s->foreground || s->foreground == pg)
		return 0;
	if (ignores_locked(task, signo))
		return signo == SIGTTIN ? -EIO : 0;
	if (pgrp_is_orphaned_locked(pg))
		return -EIO;
	siginfo_kernel(&info, signo);
	signal_send_pgrp_locked(pg, &info);
	return -ERESTARTSYS;
}

int tty_check_read(struct tty *t)
{
	return check(t, SIGTTIN);
}

int tty_check_write(struct tty *t)
{
	return t->ops->tostop(t) ? check(t, SIGTTOU) : 0;
}

int tty_check_change(struct tty *t)
{
	return check(t, SIGTTOU);
}

/* ---- signals ------------------------------------------------------------------------------- */

void tty_signal_foreground(struct tty *t, int signo)
{
	struct guest_siginfo info;

	AUTO_LOCK(&kernel->tasks_lock);
	if (!t->session || !t->session->foreground)
		return;
	siginfo_kernel(&info, signo);
	signal_send_pgrp_locked(t->session->foreground, &info);
}

void tty_hangup_session(struct tty *t)
{
	struct guest_siginfo info;
	struct session *s;

	AUTO_LOCK(&kernel->tasks_lock);
	s = t->session;
	if (!s)
		return;
	siginfo_kernel(&info, SIGHUP);
	if (s->leader)
		signal_send_group_locked(s->leader, &info);
	if (s->foreground)
		signal_send_pgrp_locked(s->foreground, &info);
	siginfo_kernel(&info, SIGCONT);
	if (s->leader)
		signal_send_group_locked(s->leader, &info);
	if (s->foreground)
		signal_send_pgrp_locked(s->foreground, &info);
}

/* ---- requests ------------------------------------------------------------------------------ */

static void detach_locked(struct session *s, struct tty *t)
{
	pgrp_put_locked(s->foreground);
	s->foreground = NULL;
	s->tty = NULL;
	t->session = NULL;
}

static bool become_locked(struct tty *t, struct task *task)
{
	struct session *s = session_of_locked(task);

	if (!s || s->leader != task->tg || s->tty)
		return false;
	tty_attach_locked(t, s);
	s->foreground = pgrp_get(task->tg->pgrp);
	return true;
}

void tty_opened(struct tty *t, struct file *f)
{
	if (!current_task)
		return;
	AUTO_LOCK(&kernel->tasks_lock);
	if (!t->session)
		become_locked(t, current_task);
}

static int set_controlling(struct tty *t, struct task *task, uint64_t steal)
{
	struct session *s;
	struct tty *stolen = NULL;
	int r = 0;
	{
		AUTO_LOCK(&kernel->tasks_lock);
		s = session_of_locked(task);
		if (!s)
			return -EPERM;
		if (s->leader == task->tg && t->session == s)
			return 0;
		if (s->leader != task->tg || s->tty)
			return -EPERM;
		if (t->session) {
			if (steal != 1 || !cred_capable(task->cred, CAP_SYS_ADMIN))
				return -EPERM;
			stolen = t;
			detach_locked(t->session, t);
		}
		if (!become_locked(t, task))
			r = -EPERM;
	}
	tty_put(stolen);
	return r;
}

static int give_up(struct tty *t, struct task *task)
{
	struct guest_siginfo info;
	struct session *s;
	bool mine = false;
	{
		AUTO_LOCK(&kernel->tasks_lock);
		s = session_of_locked(task);
		if (!s || s->tty != t)
			return -ENOTTY;
		if (s->leader == task->tg) {
			if (s->foreground) {
				siginfo_kernel(&info, SIGHUP);
				signal_send_pgrp_locked(s->foreground, &info);
				siginfo_kernel(&info, SIGCONT);
				signal_send_pgrp_locked(s->foreground, &info);
			}
			detach_locked(s, t);
			mine = true;
		}
		/* Else nothing: a process cannot leave its session's terminal alone here, since it
		 * is kept per session. */
	}
	if (mine)
		tty_put(t);
	return 0;
}

static int64_t get_pgrp(struct tty *t, struct task *task, uint64_t arg, bool other_end)
{
	uint32_t id = 0;
	{
		AUTO_LOCK(&kernel->tasks_lock);
		struct session *s = session_of_locked(task);

		if (!other_end && (!s || s->tty != t))
			return -ENOTTY;
		if (t->session && t->session->foreground)
			id = (uint32_t)t->session->foreground->pgid;
	}
	return put_guest_u32(task, gptr(arg), id);
}

static int64_t set_pgrp(struct tty *t, struct task *task, uint64_t arg, bool other_end)
{
	struct session *s;
	struct pgrp *pg;
	uint32_t id;
	int r = tty_check_change(t);

	if (r < 0)
		return r;
	if (get_guest_u32(task, &id, gptr(arg)) < 0)
		return -EFAULT;
	if ((int32_t)id < 0)
		return -EINVAL;
	AUTO_LOCK(&kernel->tasks_lock);
	s = other_end ? t->session : session_of_locked(task);
	if (!s || s->tty != t)
		return -ENOTTY;
	pg = pgrp_lookup_locked((int)id);
	if (!pg)
		return -ESRCH;
	if (pg->session != s)
		return -EPERM;
	pgrp_get(pg);
	pgrp_put_locked(s->foreground);
	s->foreground = pg;
	return 0;
}

static int64_t get_sid(struct tty *t, struct task *task, uint64_t arg, bool other_end)
{
	uint32_t id;
	{
		AUTO_LOCK(&kernel->tasks_lock);
		struct session *s = session_of_locked(task);

		if (!t->session || (!other_end && s != t->session))
			return -ENOTTY;
		id = (uint32_t)t->session->sid;
	}
	return put_guest_u32(task, gptr(arg), id);
}

int64_t tty_ioctl_job(struct tty *t, struct file *f, struct task *task, unsigned cmd, uint64_t arg,
		      bool other_end)
{
	switch (cmd) {
	case TIOCSCTTY:
		return set_controlling(t, task, arg);
	case TIOCNOTTY:
		return give_up(t, task);
	case TIOCGPGRP:
		return get_pgrp(t, task, arg, other_end);
	case TIOCSPGRP:
		return set_pgrp(t, task, arg, other_end);
	case TIOCGSID:
		return get_sid(t, task, arg, other_end);
	}
	return -ENOTTY;
}
