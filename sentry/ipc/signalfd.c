/* signalfd(2). A read takes signals that are pending for the *reading* task; the descriptor itself
 * holds nothing but the set it is asked for. So poll looks at the polling task, too.
 *
 * Watched by epoll, the queue is that of the process which added it, as on Linux. The queue must
 * outlive the watch, so the descriptor keeps a reference to each process that ever waited on it;
 * those that have exited and left nothing on their queue are let go at the next opportunity. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>

#include "sentry/ipc/fd_publish.h"
#include "sentry/kernel/kernel.h"
#include "sentry/kernel/signal.h"
#include "sentry/mm/usercopy.h"
#include "sentry/syscalls/syscalls.h"
#include "vfs/file.h"
#include "vfs/uio.h"
#include "vfs/waitq.h"

struct sigfd_group {
	struct list node;
	struct thread_group *tg; /* owned */
};

struct signalfd {
	_Atomic sigset64 mask;
	struct mutex mu;
	struct list groups; /* of sigfd_group; protected by mu */
};

static void record_fill(struct signalfd_siginfo *r, const struct guest_siginfo *info)
{
	memset(r, 0, sizeof(*r));
	r->ssi_signo = (uint32_t)info->si_signo;
	r->ssi_errno = info->si_errno;
	r->ssi_code = info->si_code;
	if (info->si_code == SI_TIMER) {
		r->ssi_tid = (uint32_t)info->timer.timerid;
		r->ssi_overrun = (uint32_t)info->timer.overrun;
		r->ssi_ptr = info->timer.value;
		r->ssi_int = (int32_t)info->timer.value;
		return;
	}
	if (info->si_code > 0 && info->si_code != SI_KERNEL) {
		switch (info->si_signo) {
		case SIGCHLD:
			r->ssi_pid = (uint32_t)info->chld.pid;
			r->ssi_uid = info->chld.uid;
			r->ssi_status = info->chld.status;
			r->ssi_utime = (uint64_t)info->chld.utime;
			r->ssi_stime = (uint64_t)info->chld.stime;
			return;
		case SIGILL:
		case SIGFPE:
		case SIGSEGV:
		case SIGBUS:
		case SIGTRAP:
			r->ssi_addr = info->fault.addr;
			r->ssi_addr_lsb = (uint16_t)info->fault.addr_lsb;
			return;
		case SIGPOLL:
			r->ssi_band = (uint32_t)info->poll.band;
			r->ssi_fd = info->poll.fd;
			return;
		case SIGSYS:
			r->ssi_call_addr = info->sys.call_addr;
			r->ssi_syscall = info->sys.syscall;
			r->ssi_arch = info->sys.arch;
			return;
		}
	}
	r->ssi_pid = (uint32_t)info->rt.pid;
	r->ssi_uid = info->rt.uid;
	r->ssi_ptr = info->rt.value;
	r->ssi_int = (int32_t)info->rt.value;
}

static ssize_t sigfd_read(struct file *f, struct uio *dst, uint64_t off)
{
	struct signalfd *s = f->priv;
	struct signalfd_siginfo rec;
	struct guest_siginfo info;
	ssize_t total = 0;

	if (dst->resid < sizeof(rec))
		return -EINVAL;
	if (!current_task)
		return -EAGAIN;
	while (dst->resid >= sizeof(rec)) {
		if (!signal_dequeue(current_task, atomic_load(&s->mask), &info))
			break;
		record_fill(&rec, &info);
		if (uio_to(dst, &rec, sizeof(rec)) != sizeof(rec))
			return total ? total : -EFAULT;
		total += sizeof(rec);
	}
	return total ? total : -EAGAIN;
}

static uint32_t sigfd_poll(struct file *f)
{
	struct signalfd *s = f->priv;
	struct task *t = current_task;

	if (!t)
		return 0;
	AUTO_LOCK(&kernel->tasks_lock);
	return (t->pending.set | t->tg->pending.set) & atomic_load(&s->mask) ? POLLIN | POLLRDNORM
									      : 0;
}

static void group_drop(struct sigfd_group *g)
{
	list_del_init(&g->node);
	thread_group_put(g->tg);
	free(g);
}

/* Makes sure that the group lives as long as the descriptor. */
static bool group_keep(struct signalfd *s, struct thread_group *tg)
{
	struct list gone = LIST_INIT(gone);
	struct sigfd_group *found = NULL;

	{
		AUTO_LOCK(&s->mu);
		list_for_each_safe (g, &s->groups, struct sigfd_group, node) {
			if (g->tg == tg) {
				found = g;
			} else if (!g->tg->ntasks && !waitq_active(&g->tg->signal_waitq)) {
				list_del_init(&g->node);
				list_push_back(&gone, &g->node);
			}
		}
		if (!found) {
			found = calloc(1, sizeof(*found));
			if (found) {
				found->tg = thread_group_get(tg);
				list_push_back(&s->groups, &found->node);
			}
		}
	}
	list_for_each_safe (g, &gone, struct sigfd_group, node)
		group_drop(g);
	return found;
}

static struct waitq *sigfd_waitq(struct file *f)
{
	struct task *t = current_task;

	if (!t || !group_keep(f->priv, t->tg))
		return NULL;
	return signal_waitq(t);
}

static int sigfd_show(struct file *f, char *buf, size_t size)
{
	struct signalfd *s = f->priv;

	return snprintf(buf, size, "sigmask:\t%016llx\n",
			(unsigned long long)atomic_load(&s->mask));
}

static void sigfd_release(struct file *f)
{
	struct signalfd *s = f->priv;

	list_for_each_safe (g, &s->groups, struct sigfd_group, node)
		group_drop(g);
	mutex_destroy(&s->mu);
	free(s);
}

static const struct file_ops signalfd_ops = {
	.seek = event_file_seek,
	.read = sigfd_read,
	.poll = sigfd_poll,
	.waitq = sigfd_waitq,
	.show_fdinfo = sigfd_show,
	.release = sigfd_release,
};

static int signalfd_new(struct task *t, sigset64 mask, int flags)
{
	struct signalfd *s = calloc(1, sizeof(*s));
	struct file *f;
	int err;

	if (!s)
		return -ENOMEM;
	atomic_init(&s->mask, mask);
	mutex_init(&s->mu, LOCK_NONE);
	list_init(&s->groups);
	err = file_new_anon("anon_inode:[signalfd]", &signalfd_ops, s,
			    O_RDWR | (flags & SFD_NONBLOCK), FILE_READ | FILE_WRITE, t->cred, &f);
	if (err) {
		free(s);
		return err;
	}
	return fd_publish(t, f, flags & SFD_CLOEXEC);
}

static int signalfd_change(struct task *t, int fd, sigset64 mask)
{
	AUTO(file) struct file *f = NULL;
	int err = fdtable_get(t->files, fd, &f);

	if (err)
		return err;
	if (f->ops != &signalfd_ops)
		return -EINVAL;
	atomic_store(&((struct signalfd *)f->priv)->mask, mask);
	/* A reader may wait for what is in the new set. */
	waitq_wake(signal_waitq(t), POLLIN | POLLRDNORM);
	return fd;
}

int64_t sys_signalfd4(struct task *t, int fd, struct gptr mask, uint64_t setsize, int flags)
{
	sigset64 set;
	int err;

	if (flags & ~(SFD_CLOEXEC | SFD_NONBLOCK) || setsize != sizeof(set))
		return -EINVAL;
	err = get_guest(t, &set, mask);
	if (err)
		return err;
	set &= ~SIGSET_UNBLOCKABLE;
	return fd == -1 ? signalfd_new(t, set, flags) : signalfd_change(t, fd, set);
}

int64_t sys_signalfd(struct task *t, int fd, struct gptr mask, uint64_t setsize)
{
	return sys_signalfd4(t, fd, mask, setsize, 0);
}
