/* sendfile(2), copy_file_range(2), splice(2), tee(2), vmsplice(2): copies between files through a
 * buffer of the sentry's. What was read but could not be written goes back: the position is set
 * anew, or a pipe is told how much of what it gave was used. A socket takes nothing back: where a pipe is filled,
 * room is kept in it first, and then read for. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "sentry/ipc/pipe.h"
#include "sentry/kernel/fdtable.h"
#include "sentry/kernel/file_wait.h"
#include "sentry/kernel/restart.h"
#include "sentry/kernel/task.h"
#include "sentry/mm/usercopy.h"
#include "sentry/net/socket.h"
#include "sentry/syscalls/fs_io.h"
#include "sentry/syscalls/syscalls.h"
#include "vfs/inode.h"
#include "vfs/vfs.h"

enum { COPY_CHUNK = 65536 };

/* One side of a copy. */
struct end {
	struct file *f;
	bool at; /* at `off`, which is written back; else at the position */
	uint64_t off;
	bool nonblock;
};

struct splice_read {
	void *buf;
	size_t n;
};

static int64_t splice_begin_op(struct file *f, void *arg)
{
	struct splice_read *s = arg;

	return pipe_splice_begin(f, s->buf, s->n);
}

static int64_t end_read(struct task *t, struct end *e, void *buf, size_t n)
{
	struct splice_read s = {buf, n};
	struct uio u;

	if (file_is_pipe(e->f))
		return file_wait_op(t, e->f, POLLIN, e->nonblock || file_nonblock(e->f), UINT64_MAX,
				    splice_begin_op, &s);
	uio_init_buf(&u, buf, n);
	return file_read_wait(t, e->f, &u, e->at ? &e->off : NULL, e->nonblock);
}

/* Of n bytes read, `used` were wanted. */
static void end_read_done(struct end *e, size_t n, size_t used)
{
	if (file_is_pipe(e->f))
		pipe_splice_end(e->f, used);
	else if (e->at)
		e->off += used;
	else if (used < n && e->f->mode & FILE_SEEKABLE)
		file_seek(e->f, -(int64_t)(n - used), SEEK_CUR);
}

static int64_t end_write(struct task *t, struct end *e, void *buf, size_t n)
{
	struct uio u;
	int64_t r;

	uio_init_buf(&u, buf, n);
	r = file_write_wait(t, e->f, &u, e->at ? &e->off : NULL, e->nonblock);
	if (r > 0 && e->at)
		e->off += (uint64_t)r;
	return r;
}

/* ---- into a pipe ---------------------------------------------------------------------------- */

/* Waited for on either side, since -EAGAIN does not say whose fault it was; when the other side
 * turns out to be the one, this ends the wait and is never seen outside. */
enum { OTHER_SIDE = 1000 };

struct fill {
	struct end *in;
	struct file *pipe;
	void *buf;
	size_t n;
};

static int64_t fill_from(struct fill *a, bool waits_for_pipe)
{
	struct end *in = a->in;
	ssize_t room = pipe_fill_begin(a->pipe, a->n), r;
	struct uio u;

	if (room < 0)
		return room == -EAGAIN && !waits_for_pipe ? -OTHER_SIDE : room;
	uio_init_buf(&u, a->buf, (size_t)room);
	r = in->at ? file_pread(in->f, &u, in->off) : file_read(in->f, &u);
	pipe_fill_end(a->pipe, (size_t)room, a->buf, r > 0 ? (size_t)r : 0);
	if (r > 0 && in->at)
		in->off += (uint64_t)r;
	return r == -EAGAIN && waits_for_pipe ? -OTHER_SIDE : r;
}

static int64_t fill_when_room(struct file *f, void *arg)
{
	return fill_from(arg, true);
}

static int64_t fill_when_readable(struct file *f, void *arg)
{
	return fill_from(arg, false);
}

static int64_t fill_wait(struct task *t, struct fill *a, bool nonblock)
{
	uint64_t timeo = socket_file_timeout(a->in->f, false), deadline = socket_deadline(timeo);
	bool file_nonblocks = a->in->nonblock || file_nonblock(a->in->f);
	int64_t r;

	do {
		r = file_wait_op(t, a->pipe, POLLOUT, nonblock, UINT64_MAX, fill_when_room, a);
		if (r == -OTHER_SIDE)
			r = file_wait_op(t, a->in->f, POLLIN | POLLRDNORM | POLLRDHUP, file_nonblocks, deadline,
					 fill_when_readable, a);
	} while (r == -OTHER_SIDE);
	return r == -ERESTARTSYS && timeo ? -EINTR : r;
}

/* As much as there is room for and the source has at once, after a wait for the first of it. */
static int64_t fill_pipe(struct task *t, struct end *in, struct end *out, uint64_t len)
{
	struct fill a = {.in = in, .pipe = out->f, .n = len < COPY_CHUNK ? len : COPY_CHUNK};
	AUTO(free) char *buf = malloc(a.n);
	uint64_t done;
	int64_t r;

	if (!buf)
		return -ENOMEM;
	a.buf = buf;
	r = fill_wait(t, &a, out->nonblock || file_nonblock(out->f));
	if (r <= 0)
		return r;
	for (done = (uint64_t)r; done < len; done += (uint64_t)r) {
		a.n = len - done < COPY_CHUNK ? len - done : COPY_CHUNK;
		r = fill_from(&a, true);
		if (r <= 0)
			break;
	}
	return (int64_t)done;
}

/* A pipe gives what it has, once something has been moved; a file is read to the end. */
static int64_t copy_loop(struct task *t, struct end *in, struct end *out, uint64_t len)
{
	AUTO(free) char *buf = NULL;
	uint64_t done = 0;

	if (!len)
		return 0;
	if (file_is_pipe(out->f) && !file_is_pipe(in->f))
		return fill_pipe(t, in, out, len);
	buf = malloc(len < COPY_CHUNK ? len : COPY_CHUNK);
	if (!buf)
		return -ENOMEM;
	while (done < len) {
		size_t part = len - done < COPY_CHUNK ? len - done : COPY_CHUNK;
		int64_t n, w;

		if (done && atomic_load_explicit(&t->work, memory_order_relaxed))
			break; /* a signal is waiting, and a copy may be long */
		if (done)
			in->nonblock = true;
		n = end_read(t, in, buf, part);
		if (n <= 0)
			return done ? (int64_t)done : n;
		w = end_write(t, out, buf, (size_t)n);
		end_read_done(in, (size_t)n, w < 0 ? 0 : (size_t)w);
		if (w < 0)
			return done ? (int64_t)done : w;
		done += (uint64_t)w;
		if (w < n)
			break;
	}
	return (int64_t)done;
}

/* ---- the calls ------------------------------------------------------------------------------ */

static int get_files(struct task *t, int in_fd, int out_fd, struct end *in, struct end *out)
{
	int r = fdtable_get(t->files, in_fd, &in->f);

	return r < 0 ? r : fdtable_get(t->files, out_fd, &out->f);
}

static int check_modes(const struct end *in, const struct end *out)
{
	return in->f->mode & FILE_READ && out->f->mode & FILE_WRITE ? 0 : -EBADF;
}

static int get_pair(struct task *t, int in_fd, int out_fd, struct end *in, struct end *out)
{
	int r = get_files(t, in_fd, out_fd, in, out);

	return r < 0 ? r : check_modes(in, out);
}

static int offset_get(struct task *t, struct end *e, struct gptr ptr)
{
	int r;

	if (gptr_null(ptr))
		return 0;
	if (!(e->f->mode & FILE_SEEKABLE))
		return -ESPIPE;
	e->at = true;
	r = get_guest_u64(t, &e->off, ptr);
	return r == 0 && (int64_t)e->off < 0 ? -EINVAL : r;
}

static int64_t offset_put(struct task *t, const struct end *e, struct gptr ptr, int64_t result)
{
	if (e->at && result > 0 && put_guest_u64(t, ptr, e->off) < 0)
		return -EFAULT;
	return result;
}

static bool appends(struct file *f)
{
	return atomic_load_explicit(&f->flags, memory_order_relaxed) & O_APPEND;
}

static int64_t clip_len(uint64_t len)
{
	return len > MAX_RW_COUNT ? (int64_t)MAX_RW_COUNT : (int64_t)len;
}

int64_t sys_sendfile(struct task *t, int out_fd, int in_fd, struct gptr offset, uint64_t count)
{
	struct end in = {0}, out = {0};
	int64_t r = get_pair(t, in_fd, out_fd, &in, &out);

	if (r == 0)
		r = offset_get(t, &in, offset);
	if (r == 0 && ((int64_t)count < 0 || appends(out.f) || !(in.f->mode & FILE_SEEKABLE)))
		r = -EINVAL;
	if (r == 0 && inode_type(in.f->inode) == S_IFDIR)
		r = -EINVAL;
	if (r == 0)
		r = copy_loop(t, &in, &out, (uint64_t)clip_len(count));
	r = offset_put(t, &in, offset, r);
	file_put(in.f);
	file_put(out.f);
	return r;
}

/* *len is clipped to what the source has: it must not overlap, and not grow meanwhile. */
static int range_check(const struct end *in, const struct end *out, uint64_t *len)
{
	uint64_t i = in->at ? in->off : file_pos(in->f), o = out->at ? out->off : file_pos(out->f);
	struct vfs_attr a;
	int r;

	if (inode_type(in->f->inode) == S_IFDIR || inode_type(out->f->inode) == S_IFDIR)
		return -EISDIR;
	if (inode_type(in->f->inode) != S_IFREG || inode_type(out->f->inode) != S_IFREG)
		return -EINVAL;
	if (check_modes(in, out) < 0 || appends(out->f))
		return -EBADF;
	if (i + *len < i || o + *len < o || i + *len > INT64_MAX || o + *len > INT64_MAX)
		return -EOVERFLOW;
	r = vfs_getattr(&in->f->path, &a);
	if (r < 0)
		return r;
	if (i >= a.size)
		*len = 0;
	else if (*len > a.size - i)
		*len = a.size - i;
	return in->f->inode == out->f->inode && i < o + *len && o < i + *len ? -EINVAL : 0;
}

int64_t sys_copy_file_range(struct task *t, int fd_in, struct gptr off_in, int fd_out,
			    struct gptr off_out, uint64_t len, unsigned int flags)
{
	struct end in = {0}, out = {0};
	int64_t r = get_files(t, fd_in, fd_out, &in, &out);

	if (r == 0 && flags)
		r = -EINVAL;
	if (r == 0)
		r = offset_get(t, &in, off_in);
	if (r == 0)
		r = offset_get(t, &out, off_out);
	if (r == -ESPIPE)
		r = -EINVAL;
	len = (uint64_t)clip_len(len);
	if (r == 0)
		r = range_check(&in, &out, &len);
	if (r == 0)
		r = copy_loop(t, &in, &out, len);
	r = offset_put(t, &in, off_in, r);
	r = offset_put(t, &out, off_out, r);
	file_put(in.f);
	file_put(out.f);
	return r;
}

#define SPLICE_FLAGS (SPLICE_F_MOVE | SPLICE_F_NONBLOCK | SPLICE_F_MORE | SPLICE_F_GIFT)

static int splice_check(const struct end *in, const struct end *out)
{
	bool pi = file_is_pipe(in->f), po = file_is_pipe(out->f);

	if (!pi && !po)
		return -EINVAL;
	if (pi && po && in->f->inode == out->f->inode)
		return -EINVAL;
	if (!po && appends(out->f))
		return -EINVAL;
	if (inode_type(in->f->inode) == S_IFDIR)
		return -EINVAL;
	return 0;
}

int64_t sys_splice(struct task *t, int fd_in, struct gptr off_in, int fd_out, struct gptr off_out,
		   uint64_t len, unsigned int flags)
{
	struct end in = {0}, out = {0};
	int64_t r;

	if (!len)
		return 0;
	if (flags & ~(unsigned)SPLICE_FLAGS)
		return -EINVAL;
	r = get_pair(t, fd_in, fd_out, &in, &out);
	if (r == 0)
		r = offset_get(t, &in, off_in);
	if (r == 0)
		r = offset_get(t, &out, off_out);
	if (r == 0)
		r = splice_check(&in, &out);
	if (r == 0) {
		/* The flag is about the pipe's side; a file's own O_NONBLOCK is looked at anyway. */
		in.nonblock = flags & SPLICE_F_NONBLOCK && file_is_pipe(in.f);
		out.nonblock = flags & SPLICE_F_NONBLOCK && file_is_pipe(out.f);
		r = copy_loop(t, &in, &out, (uint64_t)clip_len(len));
	}
	r = offset_put(t, &in, off_in, r);
	r = offset_put(t, &out, off_out, r);
	file_put(in.f);
	file_put(out.f);
	return r;
}

struct tee_args {
	struct file *in, *out;
	size_t n;
};

static int64_t tee_try(struct tee_args *a, struct file *waiting)
{
	int64_t r = pipe_tee(a->in, a->out, a->n);
	bool readable;

	if (r != -EAGAIN)
		return r;
	readable = file_poll(a->in) & POLLIN;
	return readable == (waiting == a->in) ? -OTHER_SIDE : -EAGAIN;
}

static int64_t tee_op(struct file *f, void *arg)
{
	return tee_try(arg, f);
}

static int64_t tee_wait(struct task *t, struct tee_args *a, bool nonblock)
{
	int64_t r;

	if (nonblock)
		return pipe_tee(a->in, a->out, a->n);
	do {
		r = file_wait_op(t, a->in, POLLIN, false, UINT64_MAX, tee_op, a);
		if (r == -OTHER_SIDE)
			r = file_wait_op(t, a->out, POLLOUT, false, UINT64_MAX, tee_op, a);
	} while (r == -OTHER_SIDE);
	return r;
}

int64_t sys_tee(struct task *t, int fd_in, int fd_out, uint64_t len, unsigned int flags)
{
	struct end in = {0}, out = {0};
	int64_t r;

	if (flags & ~(unsigned)SPLICE_FLAGS)
		return -EINVAL;
	if (!len)
		return 0;
	r = get_pair(t, fd_in, fd_out, &in, &out);
	if (r == 0 && (!file_is_pipe(in.f) || !file_is_pipe(out.f)))
		r = -EINVAL;
	if (r == 0) {
		struct tee_args a = {in.f, out.f, (size_t)clip_len(len)};

		r = tee_wait(t, &a,
			     flags & SPLICE_F_NONBLOCK || file_nonblock(in.f) || file_nonblock(out.f));
	}
	file_put(in.f);
	file_put(out.f);
	return r;
}

int64_t sys_vmsplice(struct task *t, int fd, struct gptr iov, uint64_t nr_segs, unsigned int flags)
{
	struct guest_uio g;
	struct file *f;
	int64_t r;

	if (flags & ~(unsigned)SPLICE_FLAGS)
		return -EINVAL;
	r = fdtable_get(t->files, fd, &f);
	if (r < 0)
		return r;
	if (!file_is_pipe(f)) {
		file_put(f);
		return -EBADF;
	}
	r = guest_uio_init_iov(&g, t, iov, nr_segs);
	if (r == 0) {
		bool nonblock = flags & SPLICE_F_NONBLOCK;

		if (!g.u.resid)
			r = 0;
		else if (f->mode & FILE_WRITE)
			r = file_write_wait(t, f, &g.u, NULL, nonblock);
		else
			r = file_read_wait(t, f, &g.u, NULL, nonblock);
		guest_uio_fini(&g);
	}
	file_put(f);
	return r;
}
