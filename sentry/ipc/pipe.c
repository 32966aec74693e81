/* Pipes.
 *
 * One ring of bytes under one lock; it starts at a page and grows to the capacity as it fills, so
 * that an idle pipe costs little. Where packets (O_DIRECT) were written, a second ring tells where
 * each run of bytes ends; plain pipes never have it.
 *
 * Readiness: readable when there are bytes; writable when a write of PIPE_BUF bytes would fit, so
 * that POLLOUT keeps its promise for atomic writes. Readers are woken by each write (edge-triggered
 * epoll wants that; nobody waiting costs one load), writers when room for PIPE_BUF appears.
 *
 * The lock is held while bytes are copied from and to the guest's memory, which makes writes of up
 * to PIPE_BUF atomic without a second copy. */
#include "sentry/ipc/pipe.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/capability.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include "sentry/ipc/fd_publish.h"
#include "sentry/ipc/pipe_impl.h"
#include "sentry/kernel/signal.h"
#include "sentry/kernel/task.h"
#include "sentry/mm/usercopy.h"
#include "sentry/syscalls/syscalls.h"
#include "vfs/anon.h"
#include "vfs/inode.h"
#include "vfs/uio.h"

#define PIPE_FIRST_ALLOC 4096u
#define WAKE_READERS (POLLIN | POLLRDNORM)
#define WAKE_WRITERS (POLLOUT | POLLWRNORM)

static uint32_t min_u32(size_t a, uint32_t b)
{
	return a < b ? (uint32_t)a : b;
}

struct pipe *pipe_alloc(void)
{
	struct pipe *p = calloc(1, sizeof(*p));

	if (!p)
		return NULL;
	ref_init(&p->ref);
	mutex_init(&p->mu, LOCK_PIPE);
	waitq_init(&p->wq);
	p->capacity = PIPE_DEFAULT_SIZE;
	return p;
}

void pipe_put(struct pipe *p)
{
	if (!p || !ref_put(&p->ref))
		return;
	waitq_destroy(&p->wq);
	mutex_destroy(&p->mu);
	free(p->buf);
	free(p->segs);
	free(p);
}

/* ---- the rings ------------------------------------------------------------------------------ */

/* As many segments as the capacity has pages, which bounds small packets. */
static uint32_t seg_limit(const struct pipe *p)
{
	return p->capacity / PIPE_BUF;
}

static bool writable_locked(const struct pipe *p)
{
	return p->capacity - p->used >= PIPE_BUF && (!p->segs || p->nsegs < seg_limit(p));
}

/* Moves the bytes to a buffer of `size`, which holds them all. */
static int ring_resize(struct pipe *p, uint32_t size)
{
	char *buf = malloc(size);
	uint32_t first;

	if (!buf)
		return -ENOMEM;
	if (p->used) {
		first = min_u32(p->used, p->alloc - p->head);
		memcpy(buf, p->buf + p->head, first);
		memcpy(buf + first, p->buf, p->used - first);
	}
	free(p->buf);
	p->buf = buf;
	p->alloc = size;
	p->head = 0;
	return 0;
}

static int ring_reserve(struct pipe *p, uint32_t n)
{
	uint32_t size = p->alloc ? p->alloc : PIPE_FIRST_ALLOC;

	if (p->alloc - p->used >= n)
		return 0;
	while (size - p->used < n)
		size *= 2;
	return ring_resize(p, size);
}

static struct pipe_seg *seg_at(struct pipe *p, uint32_t i)
{
	return &p->segs[(p->seg_head + i) % p->seg_cap];
}

/* From now on runs are kept apart; what is in the pipe is the first one. */
static int segs_begin(struct pipe *p)
{
	uint32_t cap = seg_limit(p) + 1;

	p->segs = calloc(cap, sizeof(*p->segs));
	if (!p->segs)
		return -ENOMEM;
	p->seg_cap = cap;
	p->seg_head = 0;
	p->nsegs = p->used ? 1 : 0;
	p->segs[0] = (struct pipe_seg){p->used, false};
	return 0;
}

/* Room for one more segment was checked, unless the bytes join a stream run. */
static void seg_append(struct pipe *p, uint32_t len, bool packet)
{
	struct pipe_seg *last = p->nsegs ? seg_at(p, p->nsegs - 1) : NULL;

	if (last && !packet && !last->packet)
		last->len += len;
	else
		*seg_at(p, p->nsegs++) = (struct pipe_seg){len, packet};
}

static void ring_drop(struct pipe *p, uint32_t n)
{
	p->used -= n;
	p->head = p->used ? (p->head + n) & (p->alloc - 1) : 0;
	while (n && p->nsegs) {
		struct pipe_seg *s = seg_at(p, 0);
		uint32_t k = min_u32(n, s->len);

		s->len -= k;
		n -= k;
		if (!s->len) {
			p->seg_head = (p->seg_head + 1) % p->seg_cap;
			p->nsegs--;
		}
	}
}

/* Linux keeps pages, and one that could not be copied as a whole has not been copied. */
static ssize_t whole_pages(struct uio *u, uint32_t done)
{
	uint32_t part = done % GUEST_PAGE_SIZE;

	uio_revert(u, part);
	return done > part ? (ssize_t)(done - part) : -EFAULT;
}

/* Copies n of the bytes there are, without consuming: the number copied, or -EFAULT if none. */
static ssize_t ring_copy_out(struct pipe *p, struct uio *dst, uint32_t n)
{
	uint32_t done = 0;

	while (done < n) {
		uint32_t pos = (p->head + done) & (p->alloc - 1);
		uint32_t chunk = min_u32(n - done, p->alloc - pos);
		ssize_t r = uio_to(dst, p->buf + pos, chunk);

		if (r > 0)
			done += (uint32_t)r;
		if (r < 0 || (uint32_t)r < chunk)
			return whole_pages(dst, done);
	}
	return done;
}

static ssize_t ring_copy_in(struct pipe *p, struct uio *src, uint32_t n)
{
	uint32_t done = 0;

	while (done < n) {
		uint32_t pos = (p->head + p->used + done) & (p->alloc - 1);
		uint32_t chunk = min_u32(n - done, p->alloc - pos);
		ssize_t r = uio_from(src, p->buf + pos, chunk);

		if (r > 0)
			done += (uint32_t)r;
		if (r < 0 || (uint32_t)r < chunk)
			return whole_pages(src, done);
	}
	return done;
}

/* ---- reading and writing -------------------------------------------------------------------- */

static ssize_t read_locked(struct pipe *p, struct uio *dst)
{
	uint32_t run = p->used, n;
	bool packet = false;
	ssize_t done;

	if (p->splicing)
		return -EAGAIN;
	if (!p->used)
		return p->writers ? -EAGAIN : 0;
	if (p->segs) {
		run = seg_at(p, 0)->len;
		packet = seg_at(p, 0)->packet;
	}
	n = min_u32(dst->resid, run);
	done = ring_copy_out(p, dst, n);
	if (done < 0)
		return done;
	/* A packet that does not fit loses its rest. */
	ring_drop(p, packet ? run : (uint32_t)done);
	return done;
}

static ssize_t pipe_read(struct file *f, struct uio *dst, uint64_t off)
{
	struct pipe *p = f->priv;
	bool was_full, wake;
	ssize_t r;

	if (!dst->resid)
		return 0;
	mutex_lock(&p->mu);
	was_full = !writable_locked(p);
	r = read_locked(p, dst);
	wake = was_full && writable_locked(p);
	mutex_unlock(&p->mu);
	if (wake)
		waitq_wake(&p->wq, WAKE_WRITERS);
	return r;
}

static ssize_t write_packets_locked(struct pipe *p, struct uio *src)
{
	ssize_t total = 0;
	int err;

	if (!p->segs) {
		err = segs_begin(p);
		if (err)
			return err;
	}
	while (src->resid) {
		uint32_t n = min_u32(src->resid, PIPE_BUF);
		ssize_t r;

		if (p->nsegs >= seg_limit(p) || p->capacity - p->used < n)
			return total ? total : -EAGAIN;
		err = ring_reserve(p, n);
		if (err)
			return total ? total : err;
		r = ring_copy_in(p, src, n);
		if (r <= 0)
			return total ? total : r;
		p->used += (uint32_t)r;
		seg_append(p, (uint32_t)r, true);
		total += r;
		if ((uint32_t)r < n)
			break;
	}
	return total;
}

static ssize_t write_stream_locked(struct pipe *p, struct uio *src)
{
	uint32_t room = p->capacity - p->used, n;
	ssize_t r;
	int err;

	if (!room || (src->resid <= PIPE_BUF && room < src->resid))
		return -EAGAIN;
	if (p->segs && p->nsegs >= seg_limit(p) && seg_at(p, p->nsegs - 1)->packet)
		return -EAGAIN;
	n = min_u32(src->resid, room);
	err = ring_reserve(p, n);
	if (err)
		return err;
	r = ring_copy_in(p, src, n);
	if (r <= 0)
		return r;
	p->used += (uint32_t)r;
	if (p->segs)
		seg_append(p, (uint32_t)r, false);
	return r;
}

static void send_sigpipe(void)
{
	struct guest_siginfo info;

	if (!current_task)
		return;
	siginfo_user(&info, SIGPIPE, current_task);
	signal_send_task(current_task, &info);
}

static ssize_t pipe_write(struct file *f, struct uio *src, uint64_t off, uint64_t *end)
{
	struct pipe *p = f->priv;
	ssize_t r;

	if (!src->resid)
		return 0;
	mutex_lock(&p->mu);
	if (!p->readers)
		r = -EPIPE;
	else if (atomic_load_explicit(&f->flags, memory_order_relaxed) & O_DIRECT)
		r = write_packets_locked(p, src);
	else
		r = write_stream_locked(p, src);
	mutex_unlock(&p->mu);
	if (r > 0)
		waitq_wake(&p->wq, WAKE_READERS);
	else if (r == -EPIPE)
		send_sigpipe();
	return r;
}

static uint32_t pipe_poll(struct file *f)
{
	struct pipe *p = f->priv;
	uint32_t ev = 0;

	AUTO_LOCK(&p->mu);
	if (f->mode & FILE_READ) {
		if (p->used)
			ev |= WAKE_READERS;
		if (!p->writers && f->pos != p->writer_opens)
			ev |= POLLHUP;
	}
	if (f->mode & FILE_WRITE) {
		if (writable_locked(p))
			ev |= WAKE_WRITERS;
		if (!p->readers)
			ev |= POLLERR;
	}
	return ev;
}

static struct waitq *pipe_waitq(struct file *f)
{
	return &((struct pipe *)f->priv)->wq;
}

static int64_t pipe_ioctl(struct file *f, struct task *t, unsigned cmd, uint64_t arg)
{
	struct pipe *p = f->priv;
	uint32_t used;

	if (cmd != FIONREAD)
		return -ENOTTY;
	{
		AUTO_LOCK(&p->mu);
		used = p->used;
	}
	return put_guest_u32(t, gptr(arg), used);
}

void pipe_attach_locked(struct pipe *p, const struct file *f)
{
	if (f->mode & FILE_READ) {
		p->readers++;
		p->reader_opens++;
	}
	if (f->mode & FILE_WRITE) {
		p->writers++;
		p->writer_opens++;
	}
}

static void pipe_release(struct file *f)
{
	struct pipe *p = f->priv;
	uint32_t wake = 0;

	if (!p)
		return;
	{
		AUTO_LOCK(&p->mu);
		if (f->mode & FILE_READ && --p->readers == 0)
			wake |= POLLERR | WAKE_WRITERS;
		if (f->mode & FILE_WRITE && --p->writers == 0)
			wake |= POLLHUP | WAKE_READERS;
		/* What nobody read is gone once a FIFO has neither side. */
		if (!p->readers && !p->writers) {
			p->used = p->head = p->nsegs = 0;
			free(p->buf);
			p->buf = NULL;
			p->alloc = 0;
		}
	}
	if (wake)
		waitq_wake(&p->wq, wake);
	pipe_put(p);
}

const struct file_ops pipe_ops = {
	.read = pipe_read,
	.write = pipe_write,
	.poll = pipe_poll,
	.waitq = pipe_waitq,
	.ioctl = pipe_ioctl,
	.release = pipe_release,
};

bool file_is_pipe(const struct file *f)
{
	return f->ops == &pipe_ops;
}

/* ---- sizes, splice, tee --------------------------------------------------------------------- */

int64_t pipe_get_size(struct file *f)
{
	struct pipe *p = f->priv;

	if (!file_is_pipe(f))
		return -EBADF;
	AUTO_LOCK(&p->mu);
	return p->capacity;
}

static int set_capacity_locked(struct pipe *p, uint32_t size)
{
	struct pipe_seg *segs;
	uint32_t cap = size / PIPE_BUF + 1;

	if (p->used > size || p->nsegs > size / PIPE_BUF)
		return -EBUSY;
	if (p->alloc > size) {
		int err = ring_resize(p, size);

		if (err)
			return err;
	}
	if (p->segs) {
		segs = calloc(cap, sizeof(*segs));
		if (!segs)
			return -ENOMEM;
		for (uint32_t i = 0; i < p->nsegs; i++)
			segs[i] = *seg_at(p, i);
		free(p->segs);
		p->segs = segs;
		p->seg_cap = cap;
		p->seg_head = 0;
	}
	p->capacity = size;
	return 0;
}

int64_t pipe_set_size(struct file *f, struct task *t, uint64_t want)
{
	struct pipe *p = f->priv;
	uint32_t size = PIPE_BUF, old;
	int err;

	if (!file_is_pipe(f))
		return -EBADF;
	if (want > 1u << 31)
		return -EINVAL;
	while (size < want)
		size *= 2;
	if (size > PIPE_MAX_SIZE && !task_capable(t, CAP_SYS_RESOURCE))
		return -EPERM;
	{
		AUTO_LOCK(&p->mu);
		old = p->capacity;
		err = set_capacity_locked(p, size);
	}
	if (err)
		return err;
	if (size > old)
		waitq_wake(&p->wq, WAKE_WRITERS);
	return size;
}

ssize_t pipe_splice_begin(struct file *f, void *buf, size_t n)
{
	struct pipe *p = f->priv;
	struct uio u;
	ssize_t r;

	AUTO_LOCK(&p->mu);
	if (p->splicing)
		return -EAGAIN;
	if (!p->used)
		return p->writers ? -EAGAIN : 0;
	uio_init_buf(&u, buf, n);
	r = ring_copy_out(p, &u, min_u32(n, p->used));
	p->splicing = r > 0;
	return r;
}

void pipe_splice_end(struct file *f, size_t used)
{
	struct pipe *p = f->priv;
	uint32_t wake = 0;

	{
		AUTO_LOCK(&p->mu);
		bool was_full = !writable_locked(p);

		ring_drop(p, min_u32(used, p->used));
		p->splicing = false;
		if (p->used || !p->writers)
			wake |= WAKE_READERS;
		if (was_full && writable_locked(p))
			wake |= WAKE_WRITERS;
	}
	if (wake)
		waitq_wake(&p->wq, wake);
}

/* Both locks are held. The bytes arrive as one plain run: tee(2) promises no packets. */
static ssize_t tee_locked(struct pipe *in, struct pipe *out, size_t want)
{
	uint32_t room = out->capacity - out->used, n, done = 0;
	int err;

	if (!out->readers)
		return -EPIPE;
	if (!in->used)
		return in->writers ? -EAGAIN : 0;
	if (!room || (out->segs && out->nsegs >= seg_limit(out)))
		return -EAGAIN;
	n = min_u32(min_u32(want, in->used), room);
	err = ring_reserve(out, n);
	if (err)
		return err;
	while (done < n) {
		uint32_t pos = (in->head + done) & (in->alloc - 1);
		uint32_t chunk = min_u32(n - done, in->alloc - pos);
		struct uio u;

		uio_init_buf(&u, in->buf + pos, chunk);
		ring_copy_in(out, &u, chunk);
		out->used += chunk;
		done += chunk;
	}
	if (out->segs)
		seg_append(out, n, false);
	return n;
}

ssize_t pipe_tee(struct file *in, struct file *out, size_t n)
{
	struct pipe *a = in->priv, *b = out->priv;
	ssize_t r;

	if (a == b)
		return -EINVAL;
	if (!n)
		return 0;
	/* Two pipes at once: by address. */
	mutex_lock(a < b ? &a->mu : &b->mu);
	mutex_lock_nested(a < b ? &b->mu : &a->mu);
	r = tee_locked(a, b, n);
	mutex_unlock(&a->mu);
	mutex_unlock(&b->mu);
	if (r > 0)
		waitq_wake(&b->wq, WAKE_READERS);
	else if (r == -EPIPE)
		send_sigpipe();
	return r;
}

/* ---- pipe(2) -------------------------------------------------------------------------------- */

static int pipe_end_new(struct pipe *p, struct inode *inode, int flags, uint32_t mode,
			const struct cred *cred, struct file **out)
{
	int err;

	ref_get(&p->ref);
	err = file_new_anon_inode("pipe", inode, &pipe_ops, p, flags, mode | FILE_STREAM, cred,
				  out);
	if (err) {
		pipe_put(p);
		return err;
	}
	AUTO_LOCK(&p->mu);
	pipe_attach_locked(p, *out);
	return 0;
}

static void auto_pipe(struct pipe **p)
{
	pipe_put(*p);
}

int pipe_new(int flags, const struct cred *cred, struct file *out[2])
{
	AUTO(pipe) struct pipe *p = pipe_alloc();
	AUTO(inode) struct inode *inode = NULL;
	AUTO(file) struct file *r = NULL;
	int err;

	if (!p)
		return -ENOMEM;
	err = anon_inode_new(S_IFIFO | 0600, cred, &inode);
	if (err)
		return err;
	fifo_bind(inode, p);
	err = pipe_end_new(p, inode, O_RDONLY | (flags & O_NONBLOCK), FILE_READ, cred, &r);
	if (err)
		return err;
	err = pipe_end_new(p, inode, O_WRONLY | (flags & (O_NONBLOCK | O_DIRECT)), FILE_WRITE, cred,
			   &out[1]);
	if (err)
		return err;
	out[0] = steal(&r);
	return 0;
}

int64_t sys_pipe2(struct task *t, struct gptr fds, int flags)
{
	struct file *f[2];
	int fd[2], err;

	if (flags & ~(O_CLOEXEC | O_NONBLOCK | O_DIRECT))
		return -EINVAL;
	err = pipe_new(flags, t->cred, f);
	if (err)
		return err;
	err = fd_publish_pair(t, f, flags & O_CLOEXEC, fd);
	if (err)
		return err;
	err = copy_to_guest(t, fds, fd, sizeof(fd));
	if (err) {
		fdtable_close(t->files, fd[0]);
		fdtable_close(t->files, fd[1]);
	}
	return err;
}

int64_t sys_pipe(struct task *t, struct gptr fds)
{
	return sys_pipe2(t, fds, 0);
}
