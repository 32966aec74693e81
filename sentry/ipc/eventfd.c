/* eventfd(2): a counter. All of its state is one word, so there is no lock. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>

#include "sentry/ipc/fd_publish.h"
#include "sentry/kernel/restart.h"
#include "sentry/kernel/task.h"
#include "sentry/syscalls/syscalls.h"
#include "vfs/file.h"
#include "vfs/uio.h"
#include "vfs/waitq.h"

#define COUNT_MAX (UINT64_MAX - 1)

struct eventfd {
	struct waitq wq;
	_Atomic uint64_t count; /* at most COUNT_MAX */
	bool semaphore;		/* immutable */
};

static ssize_t evfd_read(struct file *f, struct uio *dst, uint64_t off)
{
	struct eventfd *e = f->priv;
	uint64_t old = atomic_load(&e->count), value;
	ssize_t r;

	if (dst->resid < sizeof(value))
		return -EINVAL;
	do {
		if (!old)
			return -EAGAIN;
		value = e->semaphore ? 1 : old;
	} while (!atomic_compare_exchange_weak(&e->count, &old, old - value));
	waitq_wake(&e->wq, POLLOUT | POLLWRNORM);
	r = uio_to(dst, &value, sizeof(value));
	return r == sizeof(value) ? r : -EFAULT;
}

static bool counter_add(struct eventfd *e, uint64_t value)
{
	uint64_t old = atomic_load(&e->count);

	do {
		if (value > COUNT_MAX - old)
			return false;
	} while (!atomic_compare_exchange_weak(&e->count, &old, old + value));
	return true;
}

/* The one file operation that sleeps: the eight bytes have left the caller's cursor already, so a
 * second try from outside would find none. Nothing is locked here. */
static ssize_t add_wait(struct eventfd *e, uint64_t value)
{
	struct task_waiter w;
	ssize_t r = 0;

	task_waiter_init(&w, current_task, POLLOUT);
	waitq_add(&e->wq, &w.w);
	for (;;) {
		uint32_t seq = task_wake_prepare(current_task);

		if (counter_add(e, value))
			break;
		if (task_block(current_task, seq, UINT64_MAX) == -EINTR) {
			r = -ERESTARTSYS;
			break;
		}
	}
	waitq_remove(&w.w);
	return r;
}

static ssize_t evfd_write(struct file *f, struct uio *src, uint64_t off, uint64_t *end)
{
	struct eventfd *e = f->priv;
	uint64_t value;
	ssize_t r;

	if (src->resid < sizeof(value))
		return -EINVAL;
	r = uio_from(src, &value, sizeof(value));
	if (r != sizeof(value))
		return -EFAULT;
	if (value == UINT64_MAX)
		return -EINVAL;
	if (!counter_add(e, value)) {
		if (!current_task || atomic_load(&f->flags) & O_NONBLOCK)
			return -EAGAIN;
		r = add_wait(e, value);
		if (r < 0)
			return r;
	}
	waitq_wake(&e->wq, POLLIN | POLLRDNORM);
	return sizeof(value);
}

static uint32_t eventfd_poll(struct file *f)
{
	struct eventfd *e = f->priv;
	uint64_t n = atomic_load(&e->count);

	return (n ? POLLIN | POLLRDNORM : 0u) | (n < COUNT_MAX ? POLLOUT | POLLWRNORM : 0u);
}

static struct waitq *eventfd_waitq(struct file *f)
{
	return &((struct eventfd *)f->priv)->wq;
}

static int eventfd_show(struct file *f, char *buf, size_t size)
{
	struct eventfd *e = f->priv;

	return snprintf(buf, size, "eventfd-count: %16llx\n",
			(unsigned long long)atomic_load(&e->count));
}

static void eventfd_release(struct file *f)
{
	struct eventfd *e = f->priv;

	waitq_destroy(&e->wq);
	free(e);
}

static const struct file_ops eventfd_ops = {
	.seek = event_file_seek,
	.read = evfd_read,
	.write = evfd_write,
	.poll = eventfd_poll,
	.waitq = eventfd_waitq,
	.show_fdinfo = eventfd_show,
	.release = eventfd_release,
};

int64_t sys_eventfd2(struct task *t, unsigned int initval, int flags)
{
	struct eventfd *e;
	struct file *f;
	int err;

	if (flags & ~(EFD_CLOEXEC | EFD_NONBLOCK | EFD_SEMAPHORE))
		return -EINVAL;
	e = calloc(1, sizeof(*e));
	if (!e)
		return -ENOMEM;
	waitq_init(&e->wq);
	atomic_init(&e->count, initval);
	e->semaphore = flags & EFD_SEMAPHORE;
	err = file_new_anon("anon_inode:[eventfd]", &eventfd_ops, e,
			    O_RDWR | (flags & EFD_NONBLOCK), FILE_READ | FILE_WRITE, t->cred, &f);
	if (err) {
		waitq_destroy(&e->wq);
		free(e);
		return err;
	}
	return fd_publish(t, f, flags & EFD_CLOEXEC);
}

int64_t sys_eventfd(struct task *t, unsigned int initval)
{
	return sys_eventfd2(t, initval, 0);
}
