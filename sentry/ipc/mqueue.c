/* POSIX message queues: mq_overview(7).
 *
 * Queues have names of their own, which live as long as no mq_unlink(); a queue lives as long as its
 * name or a descriptor. A descriptor is a file whose priv is the queue. Messages are kept by priority,
 * within it by age. One lock guards names and queues. */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "abi/linux/ipc.h"
#include "abi/linux/signal.h"
#include "abi/linux/time.h"
#include "sentry/ipc/fd_publish.h"
#include "sentry/kernel/fs_context.h"
#include "sentry/kernel/kernel.h"
#include "sentry/kernel/restart.h"
#include "sentry/mm/usercopy.h"
#include "sentry/syscalls/syscalls.h"
#include "vfs/cred.h"
#include "vfs/uio.h"

#define MQ_DEFAULT_MESSAGES 10
#define MQ_DEFAULT_SIZE 8192
#define MQ_HARD_MESSAGES 65536
#define MQ_HARD_SIZE (16 << 20)
#define MQ_QUEUES_MAX 256
#define MQ_PRIO_LIMIT 32768
#define MQ_OVERHEAD 96 /* of a message, for RLIMIT_MSGQUEUE */

struct mq_message {
	struct list node;
	unsigned prio;
	size_t size;
	char data[];
};

struct mqueue {
	struct list node;	/* of names; on none once unlinked */
	int refs;		/* the name's and the files' */
	uint32_t uid, gid, mode;
	uint64_t bytes;		/* what it counts for RLIMIT_MSGQUEUE */
	struct linux_mq_attr attr;
	struct list messages;	/* highest priority first */
	struct waitq wq;
	int receivers;		/* asleep in mq_timedreceive */
	int notify_tgid;	/* who gets a signal when a message comes; 0: nobody */
	int notify_signo;	/* 0: SIGEV_NONE */
	uint64_t notify_value;
	char name[NAME_MAX + 1];
};

static struct mutex mu = MUTEX_INIT(LOCK_SYSV);
static struct list names = LIST_INIT(names);
static int nqueues;

static const struct file_ops mqueue_ops;

/* ---- queues; mu ----------------------------------------------------------------------------- */

static void mqueue_put_locked(struct mqueue *q)
{
	if (--q->refs)
		return;
	list_for_each_safe(m, &q->messages, struct mq_message, node)
		free(m);
	waitq_destroy(&q->wq);
	free(q);
	nqueues--;
}

static struct mqueue *name_find(const char *name)
{
	list_for_each(q, &names, struct mqueue, node)
		if (!strcmp(q->name, name))
			return q;
	return NULL;
}

static uint64_t user_bytes(uint32_t uid)
{
	uint64_t sum = 0;

	list_for_each(q, &names, struct mqueue, node)
		if (q->uid == uid)
			sum += q->bytes;
	return sum;
}

static int attr_check(struct task *t, const struct linux_mq_attr *a)
{
	bool privileged = task_capable(t, CAP_SYS_RESOURCE);

	if (a->mq_maxmsg <= 0 || a->mq_msgsize <= 0)
		return -EINVAL;
	if (a->mq_maxmsg > (privileged ? MQ_HARD_MESSAGES : MQ_DEFAULT_MESSAGES) ||
	    a->mq_msgsize > (privileged ? MQ_HARD_SIZE : MQ_DEFAULT_SIZE))
		return -EINVAL;
	return 0;
}

static int mqueue_new(struct task *t, const char *name, uint32_t mode,
		      const struct linux_mq_attr *attr, struct mqueue **out)
{
	struct mqueue *q;
	uint64_t bytes;
	int err = attr_check(t, attr);

	if (err < 0)
		return err;
	bytes = (uint64_t)attr->mq_maxmsg * (uint64_t)(attr->mq_msgsize + MQ_OVERHEAD);
	if (nqueues >= MQ_QUEUES_MAX && !task_capable(t, CAP_SYS_RESOURCE))
		return -ENOSPC;
	if (user_bytes(t->cred->euid) + bytes > task_rlimit(t, RLIMIT_MSGQUEUE))
		return -EMFILE;
	q = calloc(1, sizeof(*q));
	if (!q)
		return -ENOMEM;
	q->refs = 1;
	q->uid = t->cred->fsuid;
	q->gid = t->cred->fsgid;
	q->mode = mode & 0777;
	q->bytes = bytes;
	q->attr.mq_maxmsg = attr->mq_maxmsg;
	q->attr.mq_msgsize = attr->mq_msgsize;
	list_init(&q->messages);
	waitq_init(&q->wq);
	snprintf(q->name, sizeof(q->name), "%s", name);
	list_push_back(&names, &q->node);
	nqueues++;
	*out = q;
	return 0;
}

static int access_check(struct task *t, const struct mqueue *q, int flags)
{
	static const uint32_t wants[] = {4, 2, 6};
	const struct cred *c = t->cred;
	uint32_t granted = q->mode, want;

	if ((flags & O_ACCMODE) == O_ACCMODE)
		return -EINVAL;
	want = wants[flags & O_ACCMODE];
	if (c->fsuid == q->uid)
		granted >>= 6;
	else if (cred_in_group(c, q->gid))
		granted >>= 3;
	return (want & ~granted & 7) && !cred_capable(c, CAP_DAC_OVERRIDE) ? -EACCES : 0;
}

static int mqueue_lookup(struct task *t, const char *name, int flags, uint32_t mode,
			 const struct linux_mq_attr *attr, struct mqueue **out)
{
	struct mqueue *q = name_find(name);
	int err;

	if (!q) {
		if (!(flags & O_CREAT))
			return -ENOENT;
		return mqueue_new(t, name, mode, attr, out);
	}
	if ((flags & O_CREAT) && (flags & O_EXCL))
		return -EEXIST;
	err = access_check(t, q, flags);
	if (err == 0)
		*out = q;
	return err;
}

/* ---- names ---------------------------------------------------------------------------------- */

/* The C library takes the slash off. */
static int name_fetch(struct task *t, struct gptr user, char name[NAME_MAX + 1])
{
	ssize_t n = copy_string_from_guest(t, name, user, NAME_MAX + 1);

	if (n < 0)
		return (int)n;
	if (n == 0)
		return -ENOENT;
	return strchr(name, '/') || !strcmp(name, ".") || !strcmp(name, "..") ? -EACCES : 0;
}

static uint32_t umask_of(struct task *t)
{
	AUTO_LOCK(&t->fs->mu);

	return t->fs->umask;
}

static int mqueue_open(struct task *t, const char *name, int flags, uint32_t mode,
		       const struct linux_mq_attr *attr, struct file **out)
{
	uint32_t rw = (flags & O_ACCMODE) == O_RDONLY ? FILE_READ :
		      (flags & O_ACCMODE) == O_WRONLY ? FILE_WRITE : FILE_READ | FILE_WRITE;
	struct mqueue *q = NULL;
	int err;

	{
		AUTO_LOCK(&mu);
		err = mqueue_lookup(t, name, flags, mode, attr, &q);
		if (err < 0)
			return err;
		q->refs++;
	}
	err = file_new_anon("mqueue", &mqueue_ops, q, flags & (O_ACCMODE | O_NONBLOCK), rw, t->cred,
			    out);
	if (err < 0) {
		AUTO_LOCK(&mu);
		mqueue_put_locked(q);
	}
	return err;
}

int64_t sys_mq_open(struct task *t, struct gptr user_name, int flags, unsigned int mode,
		    struct gptr user_attr)
{
	struct linux_mq_attr attr = {.mq_maxmsg = MQ_DEFAULT_MESSAGES,
				     .mq_msgsize = MQ_DEFAULT_SIZE};
	char name[NAME_MAX + 1];
	struct file *f = NULL;
	int err, fd;

	if (!gptr_null(user_attr) && get_guest(t, &attr, user_attr))
		return -EFAULT;
	err = name_fetch(t, user_name, name);
	if (err < 0)
		return err;
	fd = fd_reserve(t);
	if (fd < 0)
		return fd;
	err = mqueue_open(t, name, flags, mode & ~umask_of(t), &attr, &f);
	return fd_settle(t, fd, err, f, true);
}

int64_t sys_mq_unlink(struct task *t, struct gptr user_name)
{
	char name[NAME_MAX + 1];
	struct mqueue *q;
	int err = name_fetch(t, user_name, name);

	if (err < 0)
		return err;
	AUTO_LOCK(&mu);
	q = name_find(name);
	if (!q)
		return -ENOENT;
	/* As of a name in a sticky directory. */
	if (t->cred->fsuid != q->uid && !task_capable(t, CAP_FOWNER))
		return -EPERM;
	list_del_init(&q->node);
	mqueue_put_locked(q);
	return 0;
}

/* ---- descriptors ---------------------------------------------------------------------------- */

/* What reading the descriptor as a file shows. */
static ssize_t mqueue_file_read(struct file *f, struct uio *dst, uint64_t off)
{
	struct mqueue *q = f->priv;
	unsigned long bytes = 0;
	char text[128];
	int n;

	{
		AUTO_LOCK(&mu);
		list_for_each(m, &q->messages, struct mq_message, node)
			bytes += m->size;
		n = snprintf(text, sizeof(text),
			     "QSIZE:%-10lu NOTIFY:%-5d SIGNO:%-5d NOTIFY_PID:%-6d\n", bytes,
			     q->notify_tgid && !q->notify_signo ? SIGEV_NONE : SIGEV_SIGNAL,
			     q->notify_signo, q->notify_tgid);
	}
	if (off >= (uint64_t)n)
		return 0;
	return uio_to(dst, text + off, (size_t)n - (size_t)off);
}

static uint32_t mqueue_poll(struct file *f)
{
	struct mqueue *q = f->priv;

	AUTO_LOCK(&mu);
	return (q->attr.mq_curmsgs ? POLLIN | POLLRDNORM : 0u) |
	       (q->attr.mq_curmsgs < q->attr.mq_maxmsg ? POLLOUT | POLLWRNORM : 0u);
}

static struct waitq *mqueue_waitq(struct file *f)
{
	return &((struct mqueue *)f->priv)->wq;
}

/* Closing any descriptor of the queue takes the process's registration away. */
static int mqueue_flush(struct file *f)
{
	struct mqueue *q = f->priv;

	AUTO_LOCK(&mu);
	if (current_task && q->notify_tgid == current_task->tg->tgid)
		q->notify_tgid = 0;
	return 0;
}

static void mqueue_release(struct file *f)
{
	AUTO_LOCK(&mu);

	mqueue_put_locked(f->priv);
}

static const struct file_ops mqueue_ops = {
	.read = mqueue_file_read,
	.poll = mqueue_poll,
	.waitq = mqueue_waitq,
	.flush = mqueue_flush,
	.release = mqueue_release,
};

static int mqueue_get(struct task *t, int fd, uint32_t mode, struct file **out)
{
	int err = fdtable_get(t->files, fd, out);

	if (err < 0)
		return err;
	return (*out)->ops != &mqueue_ops || (mode && !((*out)->mode & mode)) ? -EBADF : 0;
}

/* ---- sending -------------------------------------------------------------------------------- */

/* Absolute CLOCK_REALTIME of the guest to CLOCK_MONOTONIC. */
static int deadline_fetch(struct task *t, struct gptr timeout, uint64_t *out)
{
	struct linux_timespec ts;
	struct timespec now;
	uint64_t at, real;

	*out = UINT64_MAX;
	if (gptr_null(timeout))
		return 0;
	if (get_guest(t, &ts, timeout))
		return -EFAULT;
	if (!linux_timespec_valid(&ts))
		return -EINVAL;
	clock_gettime(CLOCK_REALTIME, &now);
	at = linux_timespec_ns(&ts);
	real = (uint64_t)now.tv_sec * LINUX_NSEC_PER_SEC + (uint64_t)now.tv_nsec;
	*out = now_mono_ns() + (at > real ? at - real : 0);
	return 0;
}

static void message_insert(struct mqueue *q, struct mq_message *m)
{
	struct list *before = &q->messages;

	list_for_each(other, &q->messages, struct mq_message, node) {
		if (other->prio < m->prio) {
			before = &other->node;
			break;
		}
	}
	list_push_back(before, &m->node);
	q->attr.mq_curmsgs++;
}

/* Once, and only when nobody waits for the message anyway. */
static void notify(struct task *t, struct mqueue *q)
{
	struct guest_siginfo info = {.si_signo = q->notify_signo, .si_code = SI_MESGQ};
	struct thread_group *tg;
	int tgid = q->notify_tgid;

	if (!tgid || q->receivers)
		return;
	q->notify_tgid = 0;
	if (!info.si_signo)
		return;
	info.rt.pid = t->tg->tgid;
	info.rt.uid = t->cred->uid;
	info.rt.value = q->notify_value;
	AUTO_LOCK(&kernel->tasks_lock);
	tg = thread_group_lookup_locked(tgid);
	if (tg)
		signal_send_group_locked(tg, &info);
}

/* Sleeps on q; mu is dropped meanwhile. */
static int mqueue_sleep(struct task *t, struct mqueue *q, uint32_t events, uint32_t seq,
			uint64_t deadline)
{
	struct task_waiter w;
	int err;

	task_waiter_init(&w, t, events);
	waitq_add(&q->wq, &w.w);
	mutex_unlock(&mu);
	err = task_block(t, seq, deadline);
	waitq_remove(&w.w);
	mutex_lock(&mu);
	return err == -EINTR ? -ERESTARTSYS : err;
}

static int queue_send(struct task *t, struct file *f, struct mq_message *m, uint64_t deadline)
{
	struct mqueue *q = f->priv;

	AUTO_LOCK(&mu);
	if ((int64_t)m->size > q->attr.mq_msgsize)
		return -EMSGSIZE;
	for (;;) {
		uint32_t seq = task_wake_prepare(t);
		int err;

		if (q->attr.mq_curmsgs < q->attr.mq_maxmsg)
			break;
		if (atomic_load(&f->flags) & O_NONBLOCK)
			return -EAGAIN;
		err = mqueue_sleep(t, q, POLLOUT, seq, deadline);
		if (err < 0)
			return err;
	}
	message_insert(q, m);
	if (q->attr.mq_curmsgs == 1)
		notify(t, q);
	waitq_wake(&q->wq, POLLIN | POLLRDNORM);
	return 0;
}

int64_t sys_mq_timedsend(struct task *t, int mqd, struct gptr msg, uint64_t len, unsigned int prio,
			 struct gptr timeout)
{
	AUTO(free) struct mq_message *m = NULL;
	AUTO(file) struct file *f = NULL;
	uint64_t deadline;
	int err;

	if (prio >= MQ_PRIO_LIMIT)
		return -EINVAL;
	err = deadline_fetch(t, timeout, &deadline);
	if (err == 0)
		err = mqueue_get(t, mqd, FILE_WRITE, &f);
	if (err < 0)
		return err;
	if (len > MQ_HARD_SIZE)
		return -EMSGSIZE;
	m = malloc(sizeof(*m) + len);
	if (!m)
		return -ENOMEM;
	list_init(&m->node);
	m->prio = prio;
	m->size = len;
	if (len && copy_from_guest(t, m->data, msg, len))
		return -EFAULT;
	err = queue_send(t, f, m, deadline);
	if (err == 0)
		steal(&m); /* the queue's now */
	return err;
}

/* ---- receiving ------------------------------------------------------------------------------ */

static int queue_receive(struct task *t, struct file *f, uint64_t len, uint64_t deadline,
			 struct mq_message **out)
{
	struct mqueue *q = f->priv;

	AUTO_LOCK(&mu);
	if (len < (uint64_t)q->attr.mq_msgsize)
		return -EMSGSIZE;
	while (list_empty(&q->messages)) {
		uint32_t seq = task_wake_prepare(t);
		int err;

		if (atomic_load(&f->flags) & O_NONBLOCK)
			return -EAGAIN;
		q->receivers++;
		err = mqueue_sleep(t, q, POLLIN, seq, deadline);
		q->receivers--;
		if (err < 0)
			return err;
	}
	*out = list_first(&q->messages, struct mq_message, node);
	list_del_init(&(*out)->node);
	q->attr.mq_curmsgs--;
	waitq_wake(&q->wq, POLLOUT | POLLWRNORM);
	return 0;
}

int64_t sys_mq_timedreceive(struct task *t, int mqd, struct gptr msg, uint64_t len,
			    struct gptr prio, struct gptr timeout)
{
	AUTO(free) struct mq_message *m = NULL;
	AUTO(file) struct file *f = NULL;
	uint64_t deadline;
	int err = deadline_fetch(t, timeout, &deadline);

	if (err == 0)
		err = mqueue_get(t, mqd, FILE_READ, &f);
	if (err == 0)
		err = queue_receive(t, f, len, deadline, &m);
	if (err < 0)
		return err;
	if (!gptr_null(prio) && put_guest_u32(t, prio, m->prio))
		return -EFAULT;
	if (m->size && copy_to_guest(t, msg, m->data, m->size))
		return -EFAULT;
	return (int64_t)m->size;
}

/* ---- attributes, notification --------------------------------------------------------------- */

int64_t sys_mq_getsetattr(struct task *t, int mqd, struct gptr new, struct gptr old)
{
	struct linux_mq_attr set, was;
	AUTO(file) struct file *f = NULL;
	int err;

	if (!gptr_null(new)) {
		if (get_guest(t, &set, new))
			return -EFAULT;
		if (set.mq_flags & ~(int64_t)O_NONBLOCK)
			return -EINVAL;
	}
	err = mqueue_get(t, mqd, 0, &f);
	if (err < 0)
		return err;
	{
		AUTO_LOCK(&mu);
		was = ((struct mqueue *)f->priv)->attr;
	}
	was.mq_flags = atomic_load(&f->flags) & O_NONBLOCK;
	if (!gptr_null(new) && (set.mq_flags & O_NONBLOCK))
		atomic_fetch_or(&f->flags, O_NONBLOCK);
	else if (!gptr_null(new))
		atomic_fetch_and(&f->flags, ~O_NONBLOCK);
	return !gptr_null(old) && put_guest(t, old, &was) ? -EFAULT : 0;
}

int64_t sys_mq_notify(struct task *t, int mqd, struct gptr event)
{
	struct linux_sigevent ev = {.sigev_notify = LINUX_SIGEV_NONE};
	AUTO(file) struct file *f = NULL;
	struct mqueue *q;
	int err;

	if (!gptr_null(event)) {
		if (get_guest(t, &ev, event))
			return -EFAULT;
		if (ev.sigev_notify == LINUX_SIGEV_THREAD) /* needs a netlink socket */
			return -ENOSYS;
		if (ev.sigev_notify != LINUX_SIGEV_NONE && ev.sigev_notify != LINUX_SIGEV_SIGNAL)
			return -EINVAL;
		if (ev.sigev_notify == LINUX_SIGEV_SIGNAL &&
		    (ev.sigev_signo < 1 || ev.sigev_signo > GUEST_NSIG))
			return -EINVAL;
	}
	err = mqueue_get(t, mqd, 0, &f);
	if (err < 0)
		return err;
	q = f->priv;
	AUTO_LOCK(&mu);
	if (gptr_null(event)) {
		if (q->notify_tgid == t->tg->tgid)
			q->notify_tgid = 0;
		return 0;
	}
	if (q->notify_tgid)
		return -EBUSY;
	q->notify_tgid = t->tg->tgid;
	q->notify_signo = ev.sigev_notify == LINUX_SIGEV_SIGNAL ? ev.sigev_signo : 0;
	q->notify_value = ev.sigev_value.sival_ptr;
	return 0;
}
