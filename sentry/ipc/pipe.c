/* Pipes.
 *
 * One ring of bytes under one lock; it starts at a page and grows as it fills, so that an idle pipe
 * costs little. Beside it, a ring of lengths: how Linux would have put these bytes into its pages. What
 * fits into a pipe is counted in pages, not in bytes: a write fills up the last page only if what is
 * over its whole pages fits there, and begins a new one otherwise. A page is given back when all of it has
 * been read.
 *
 * Readiness: readable when there are bytes; writable when there is a free page, so that POLLOUT
 * keeps its promise for atomic writes. Readers are woken by each write (edge-triggered
 * epoll wants that; nobody waiting costs one load), writers when a page becomes free.
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
	p->pages = p->default_pages;
	p->max_pages = PIPE_DEFAULT_PAGES;
	return p;
}

void pipe_put(struct pipe *p)
{
	if (!p || !ref_put(&p->ref))
		return;
	waitq_destroy(&p->wq);
	mutex_destroy(&p->mu);
	free(p->buf);
	if (p->pages != p->default_pages)
		free(p->pages);
	free(p);
}

/* ---- the rings ------------------------------------------------------------------------------ */

static bool writable_locked(const struct pipe *p)
{
	return p->npages + p->reserved < p->max_pages;
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

	n += p->reserved * PIPE_BUF;
	if (p->alloc - p->used >= n)
		return 0;
	while (size - p->used < n)
		size *= 2;
	return ring_resize(p, size);
}

static struct pipe_page *page_at(struct pipe *p, uint32_t i)
{
	return &p->pages[(p->first_page + i) % p->max_pages];
}

static void page_append(struct pipe *p, uint32_t len, uint32_t end, bool packet)
{
	*page_at(p, p->npages++) = (struct pipe_page){(uint16_t)len, (uint16_t)end, packet};
}

static void ring_drop(struct pipe *p, uint32_t n)
{
	p->used -= n;
	p->head = p->used ? (p->head + n) & (p->alloc - 1) : 0;
	while (n) {
		struct pipe_page *g = page_at(p, 0);
		uint32_t k = min_u32(n, g->len);

		g->len -= (uint16_t)k;
		n -= k;
		if (g->len)
			break;
		p->first_page = (p->first_page + 1) % p->max_pages;
		p->npages--;
	}
}

/* Of n bytes wanted, those of which the first `done` bytes hold a page's part as a whole: Linux has not copied
 * what it could not copy as a whole. */
static uint32_t whole_parts(struct pipe *p, uint32_t n, uint32_t done)
{
	uint32_t sum = 0;

	for (uint32_t i = 0; sum < n; i++) {
		uint32_t part = min_u32(n - sum, page_at(p, i)->len);

		if (sum + part > done)
			break;
		sum += part;
	}
	return sum;
}

/* Copies n of the bytes there are, without consuming: the number copied, or -EFAULT if none. */
static ssize_t ring_copy_out(struct pipe *p, struct uio *dst, uint32_t n)
{
	uint32_t done = 0, whole;

	while (done < n) {
		uint32_t pos = (p->head + done) & (p->alloc - 1);
		uint32_t chunk = min_u32(n - done, p->alloc - pos);
		ssize_t r = uio_to(dst, p->buf + pos, chunk);

		if (r > 0)
			done += (uint32_t)r;
		if (r < 0 || (uint32_t)r < chunk)
			break;
	}
	if (done == n)
		return n;
	whole = whole_parts(p, n, done);
	uio_revert(dst, done - whole);
	return whole ? (ssize_t)whole : -EFAULT;
}

/* The same for n bytes that join the ring; the first `joins` of them go to the last page there is. */
static ssize_t ring_copy_in(struct pipe *p, struct uio *src, uint32_t n, uint32_t joins)
{
	uint32_t done = 0, whole = 0;

	while (done < n) {
		uint32_t pos = (p->head + p->used + done) & (p->alloc - 1);
		uint32_t chunk = min_u32(n - done, p->alloc - pos);
		ssize_t r = uio_from(src, p->buf + pos, chunk);

		if (r > 0)
			done += (uint32_t)r;
		if (r < 0 || (uint32_t)r < chunk)
			break;
	}
	if (done == n)
		return n;
	if (done >= joins)
		whole = joins + (done - joins) / PIPE_BUF * PIPE_BUF;
	uio_revert(src, done - whole);
	return whole ? (ssize_t)whole : -EFAULT;
}

/* ---- reading and writing -------------------------------------------------------------------- */

/* How much a read of `want` bytes gets; *consumed: and takes out of the pipe. A packet ends it. */
static uint32_t readable(struct pipe *p, uint32_t want, uint32_t *consumed)
{
	uint32_t sum = 0;

	for (uint32_t i = 0; sum < want; i++) {
		const struct pipe_page *g = page_at(p, i);
		uint32_t part = min_u32(want - sum, g->len);

		sum += part;
		if (g->packet) {
			*consumed = sum - part + g->len;
			return sum;
		}
	}
	*consumed = sum;
	return sum;
}

static ssize_t read_locked(struct pipe *p, struct uio *dst)
{
	uint32_t n, consumed;
	ssize_t done;

	if (p->splicing)
		return -EAGAIN;
	if (!p->used)
		return p->writers ? -EAGAIN : 0;
	n = readable(p, min_u32(dst->resid, p->used), &consumed);
	done = ring_copy_out(p, dst, n);
	if (done > 0)
		ring_drop(p, (uint32_t)done == n ? consumed : (uint32_t)done);
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

/* How many of the first of n bytes join the last page: what is over whole pages, if it fits. */
static uint32_t joining(struct pipe *p, size_t n)
{
	uint32_t part = n % PIPE_BUF;
	const struct pipe_page *last = p->npages ? page_at(p, p->npages - 1) : NULL;

	return last && !last->packet && last->end + part <= PIPE_BUF ? part : 0;
}

static void pages_add(struct pipe *p, uint32_t n, uint32_t joins, bool packet)
{
	p->used += n;
	if (joins) {
		struct pipe_page *last = page_at(p, p->npages - 1);

		last->len += (uint16_t)joins;
		last->end += (uint16_t)joins;
	}
	for (n -= joins; n;) {
		uint32_t part = min_u32(n, PIPE_BUF);

		page_append(p, part, part, packet);
		n -= part;
	}
}

static ssize_t write_locked(struct pipe *p, struct uio *src, bool packet)
{
	uint32_t joins = joining(p, src->resid);
	uint32_t free_pages = p->max_pages - p->npages - p->reserved;
	uint32_t n = joins + min_u32(src->resid - joins, free_pages * PIPE_BUF);
	ssize_t r;
	int err;

	if (!n)
		return -EAGAIN;
	err = ring_reserve(p, n);
	if (err)
		return err;
	r = ring_copy_in(p, src, n, joins);
	if (r > 0)
		pages_add(p, (uint32_t)r, joins, packet);
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
	else
		r = write_locked(p, src, atomic_load_explicit(&f->flags, memory_order_relaxed) & O_DIRECT);
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
			p->used = p->head = p->npages = 0;
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
	return (int64_t)p->max_pages * PIPE_BUF;
}

static int set_capacity_locked(struct pipe *p, uint32_t size)
{
	struct pipe_page *pages;
	uint32_t max = size / PIPE_BUF;

	if (p->npages + p->reserved > max)
		return -EBUSY;
	if (p->alloc > size) {
		int err = ring_resize(p, size);

		if (err)
			return err;
	}
	pages = calloc(max, sizeof(*pages));
	if (!pages)
		return -ENOMEM;
	for (uint32_t i = 0; i < p->npages; i++)
		pages[i] = *page_at(p, i);
	if (p->pages != p->default_pages)
		free(p->pages);
	p->pages = pages;
	p->max_pages = max;
	p->first_page = 0;
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
		old = p->max_pages * PIPE_BUF;
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

ssize_t pipe_fill_begin(struct file *f, size_t n)
{
	struct pipe *p = f->priv;
	ssize_t r = -EAGAIN;

	{
		AUTO_LOCK(&p->mu);
		uint32_t room = min_u32(n, (p->max_pages - p->npages - p->reserved) * PIPE_BUF);

		if (!p->readers)
			r = -EPIPE;
		else if (room)
			r = ring_reserve(p, room);
		if (r == 0) {
			p->reserved += (room + PIPE_BUF - 1) / PIPE_BUF;
			r = room;
		}
	}
	if (r == -EPIPE)
		send_sigpipe();
	return r;
}

void pipe_fill_end(struct file *f, size_t room, const void *buf, size_t used)
{
	struct pipe *p = f->priv;
	uint32_t wake = used ? WAKE_READERS : 0;
	struct uio u;

	{
		AUTO_LOCK(&p->mu);
		bool was_full = !writable_locked(p);

		p->reserved -= (uint32_t)((room + PIPE_BUF - 1) / PIPE_BUF);
		uio_init_buf(&u, (void *)buf, used);
		ring_copy_in(p, &u, (uint32_t)used, 0);
		p->used += (uint32_t)used;
		for (size_t done = 0; done < used; done += PIPE_BUF)
			page_append(p, min_u32(used - done, PIPE_BUF), PIPE_BUF, false);
		if (was_full && writable_locked(p))
			wake |= WAKE_WRITERS;
	}
	if (wake)
		waitq_wake(&p->wq, wake);
}

/* Both locks are held. Each page becomes one of out, which nothing joins. */
static ssize_t tee_locked(struct pipe *in, struct pipe *out, size_t want)
{
	uint32_t done = 0;

	if (!out->readers)
		return -EPIPE;
	if (!in->used)
		return in->writers ? -EAGAIN : 0;
	if (!writable_locked(out))
		return -EAGAIN;
	for (uint32_t i = 0; i < in->npages && done < want && writable_locked(out); i++) {
		const struct pipe_page *g = page_at(in, i);
		uint32_t n = min_u32(want - done, g->len);

		if (ring_reserve(out, n))
			return done ? (ssize_t)done : -ENOMEM;
		for (uint32_t k = 0; k < n;) {
			uint32_t pos = (in->head + done) & (in->alloc - 1);
			uint32_t chunk = min_u32(n - k, in->alloc - pos);
			struct uio u;

			uio_init_buf(&u, in->buf + pos, chunk);
			ring_copy_in(out, &u, chunk, 0);
			out->used += chunk;
			k += chunk;
			done += chunk;
		}
		page_append(out, n, PIPE_BUF, g->packet);
	}
	return done;
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
	err = fd_reserve_pair(t, fds, fd);
	if (err) {
		file_put(f[0]);
		file_put(f[1]);
		return err;
	}
	return fd_settle_pair(t, fd, 0, f, flags & O_CLOEXEC);
}

int64_t sys_pipe(struct task *t, struct gptr fds)
{
	return sys_pipe2(t, fds, 0);
}
