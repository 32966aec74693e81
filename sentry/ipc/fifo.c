/* FIFOs. The inode holds a reference to its pipe from the first open on. */
#include "sentry/ipc/fifo.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>

#include "sentry/ipc/pipe_impl.h"
#include "sentry/kernel/restart.h"
#include "sentry/kernel/task.h"
#include "vfs/anon.h"
#include "vfs/inode.h"
#include "vfs/mount.h"

static void fifo_special_release(void *p)
{
	pipe_put(p);
}

void fifo_bind(struct inode *inode, struct pipe *p)
{
	ref_get(&p->ref);
	inode->special_release = fifo_special_release;
	atomic_store_explicit(&inode->special, p, memory_order_release);
}

/* The inode's pipe with a reference, made if need be; NULL: no memory. */
static struct pipe *fifo_pipe(struct inode *inode)
{
	void *p = atomic_load_explicit(&inode->special, memory_order_acquire);
	struct pipe *made;

	if (!p) {
		made = pipe_alloc();
		if (!made)
			return NULL;
		inode->special_release = fifo_special_release;
		if (atomic_compare_exchange_strong(&inode->special, &p, made))
			p = made;
		else
			pipe_put(made);
	}
	ref_get(&((struct pipe *)p)->ref);
	return p;
}

/* What f's opener waits to see change, or NULL when the other side is there. */
static uint64_t *fifo_awaits_locked(struct pipe *p, const struct file *f)
{
	uint32_t rw = f->mode & (FILE_READ | FILE_WRITE);

	if (rw == FILE_READ && !p->writers)
		return &p->writer_opens;
	if (rw == FILE_WRITE && !p->readers)
		return &p->reader_opens;
	return NULL;
}

int fifo_open(struct inode *inode, struct file *f)
{
	int flags = atomic_load_explicit(&f->flags, memory_order_relaxed);
	struct pipe *p = fifo_pipe(inode);
	uint64_t *awaits;

	if (!p)
		return -ENOMEM;
	mutex_lock(&p->mu);
	/* A pipe(2) opened through /proc/self/fd waits for nobody: its other end may have gone. */
	awaits = inode->fs == anon_mount()->fs ? NULL : fifo_awaits_locked(p, f);
	if (awaits && flags & O_NONBLOCK && f->mode & FILE_WRITE) {
		mutex_unlock(&p->mu);
		pipe_put(p);
		return -ENXIO;
	}
	f->pos = 0;
	if (awaits)
		f->pos = *awaits | (flags & O_NONBLOCK ? 0 : FIFO_WAITING);
	pipe_attach_locked(p, f);
	mutex_unlock(&p->mu);
	f->mode = (f->mode & ~(uint32_t)FILE_SEEKABLE) | FILE_STREAM;
	f->ops = &pipe_ops;
	f->priv = p;
	waitq_wake(&p->wq, POLLIN | POLLOUT);
	return 0;
}

static bool fifo_met(struct pipe *p, struct file *f)
{
	AUTO_LOCK(&p->mu);
	uint64_t *awaits = fifo_awaits_locked(p, f);

	/* One that came and went again counts. */
	if (awaits && f->pos == (*awaits | FIFO_WAITING))
		return false;
	f->pos = 0;
	return true;
}

int fifo_open_wait(struct task *t, struct file *f)
{
	struct pipe *p = f->priv;
	struct task_waiter w;
	int r = 0;

	if (f->ops != &pipe_ops || !(f->pos & FIFO_WAITING))
		return 0;
	task_waiter_init(&w, t, POLLIN | POLLOUT);
	waitq_add(&p->wq, &w.w);
	for (;;) {
		uint32_t seq = task_wake_prepare(t);

		if (fifo_met(p, f))
			break;
		r = task_block(t, seq, UINT64_MAX);
		if (r == -EINTR) {
			r = -ERESTARTSYS;
			break;
		}
	}
	waitq_remove(&w.w);
	return r;
}
