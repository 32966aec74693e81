/* read(2), write(2) and their families, lseek(2). */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/uio.h>

#include "sentry/kernel/fdtable.h"
#include "sentry/kernel/file_wait.h"
#include "sentry/kernel/signal.h"
#include "sentry/kernel/restart.h"
#include "sentry/kernel/task.h"
#include "sentry/mm/fetch.h"
#include "sentry/mm/usercopy.h"
#include "sentry/net/socket.h"
#include "sentry/syscalls/fs_io.h"
#include "sentry/syscalls/syscalls.h"
#include "vfs/inode.h"

#ifndef RWF_NOAPPEND
#define RWF_NOAPPEND 0x20
#endif

/* One read or write on its way: tried again after each wait. */
struct transfer {
	struct uio *u;
	bool at;	/* at `off`, not at the position */
	uint64_t off, limit;
	size_t done;
};

static int64_t read_op(struct file *f, void *arg)
{
	struct transfer *x = arg;

	return x->at ? file_pread(f, x->u, x->off) : file_read(f, x->u);
}

/* A stream takes what there is room for; the rest waits for more, unless the file is non-blocking. */
static int64_t write_op(struct file *f, void *arg)
{
	struct transfer *x = arg;

	while (!x->done || !socket_file_failed(f)) {
		ssize_t n = x->at ? file_pwrite(f, x->u, x->off, x->limit)
				  : file_write(f, x->u, x->limit);

		if (n < 0)
			return n;
		x->done += (size_t)n;
		if (!(f->mode & FILE_STREAM) || !x->u->resid || n == 0)
			break;
	}
	return (int64_t)x->done;
}

bool file_nonblock(struct file *f)
{
	return atomic_load_explicit(&f->flags, memory_order_relaxed) & O_NONBLOCK;
}

int64_t file_read_wait(struct task *t, struct file *f, struct uio *u, const uint64_t *off,
		       bool nonblock)
{
	struct transfer x = {.u = u, .at = off != NULL, .off = off ? *off : 0};
	uint64_t timeo = socket_file_timeout(f, false);
	int64_t r = file_wait_op(t, f, POLLIN | POLLRDNORM | POLLRDHUP,
				 nonblock || file_nonblock(f), socket_deadline(timeo), read_op, &x);

	/* A wait with a timeout isn't restarted. */
	return r == -ERESTARTSYS && timeo ? -EINTR : r;
}

int64_t file_write_wait(struct task *t, struct file *f, struct uio *u, const uint64_t *off,
			bool nonblock)
{
	struct transfer x = {.u = u, .at = off != NULL, .off = off ? *off : 0};
	uint64_t timeo = socket_file_timeout(f, true);
	int64_t r;

	x.limit = inode_type(f->inode) == S_IFREG ? task_rlimit(t, RLIMIT_FSIZE) : UINT64_MAX;
	r = file_wait_op(t, f, POLLOUT | POLLWRNORM, nonblock || file_nonblock(f),
			 socket_deadline(timeo), write_op, &x);
	if (r < 0 && x.done)
		return (int64_t)x.done;
	if (r == -ERESTARTSYS && timeo)
		return -EINTR;
	if (r == -EPIPE)
		socket_file_broken(f);
	if (r == -EFBIG && x.limit != UINT64_MAX)
		task_send_fsize(t);
	return r;
}

void task_send_fsize(struct task *t)
{
	struct guest_siginfo info;

	siginfo_user(&info, SIGXFSZ, t);
	signal_send_task(t, &info);
}

/* As with O_APPEND, for this one write. */
static int64_t write_appending(struct task *t, struct file *f, struct uio *u, const uint64_t *off)
{
	static const uint64_t at_end = UINT64_MAX;
	int64_t r = file_write_wait(t, f, u, &at_end, false);

	if (r > 0 && !off)
		file_seek(f, 0, SEEK_END);
	return r;
}

/* rwf: RWF_*; off NULL: at the position. */
static int64_t do_rw(struct task *t, struct file *f, struct uio *u, const uint64_t *off, bool write,
		     int rwf)
{
	int64_t r;

	if (rwf & ~(RWF_HIPRI | RWF_DSYNC | RWF_SYNC | RWF_NOWAIT | RWF_APPEND | RWF_NOAPPEND))
		return -EOPNOTSUPP;
	if (rwf & RWF_NOWAIT && inode_type(f->inode) == S_IFREG)
		return -EOPNOTSUPP;
	if (rwf & RWF_NOAPPEND)
		return -EOPNOTSUPP;
	if (!write)
		return file_read_wait(t, f, u, off, rwf & RWF_NOWAIT);
	if (rwf & RWF_APPEND && f->mode & FILE_SEEKABLE)
		r = write_appending(t, f, u, off);
	else
		r = file_write_wait(t, f, u, off, rwf & RWF_NOWAIT);
	if (r > 0 && rwf & (RWF_DSYNC | RWF_SYNC)) {
		int e = file_fsync(f, !(rwf & RWF_SYNC));

		if (e < 0 && e != -EINVAL)
			return e;
	}
	return r;
}

/* That a position makes no sense is said first, then the access mode, then comes the memory, as in
 * Linux. */
static int get_for(struct task *t, int fd, bool write, bool positioned, struct file **out)
{
	struct file *f;
	int r = fdtable_get(t->files, fd, &f);

	if (r < 0)
		return r;
	if (positioned && !(f->mode & FILE_SEEKABLE))
		r = -ESPIPE;
	else if (!(f->mode & (write ? FILE_WRITE : FILE_READ)))
		r = -EBADF;
	if (r < 0)
		file_put(f);
	else
		*out = f;
	return r;
}

static int64_t rw_buf(struct task *t, int fd, struct gptr buf, uint64_t count, const uint64_t *off,
		      bool write)
{
	struct guest_uio g;
	struct file *f;
	int64_t r;

	if (off && (int64_t)*off < 0)
		return -EINVAL;
	r = get_for(t, fd, write, off != NULL, &f);
	if (r < 0)
		return r;
	r = guest_uio_init(&g, t, buf, count);
	if (r == 0) {
		if (!write)
			fetch_allow(t, f, !off);
		r = do_rw(t, f, &g.u, off, write, 0);
		t->fetch.allowed = false;
		guest_uio_fini(&g);
	}
	file_put(f);
	return r;
}

static int64_t rw_iov(struct task *t, int fd, struct gptr iov, uint64_t n, const uint64_t *off,
		      bool write, int rwf)
{
	struct guest_uio g;
	struct file *f;
	int64_t r;

	if (off && (int64_t)*off < 0)
		return -EINVAL;
	r = get_for(t, fd, write, off != NULL, &f);
	if (r < 0)
		return r;
	r = guest_uio_init_iov(&g, t, iov, n);
	if (r == 0) {
		r = n || rwf ? do_rw(t, f, &g.u, off, write, rwf) : 0;
		guest_uio_fini(&g);
	}
	file_put(f);
	return r;
}

int64_t sys_read(struct task *t, int fd, struct gptr buf, uint64_t count)
{
	return rw_buf(t, fd, buf, count, NULL, false);
}

int64_t sys_write(struct task *t, int fd, struct gptr buf, uint64_t count)
{
	return rw_buf(t, fd, buf, count, NULL, true);
}

int64_t sys_pread64(struct task *t, int fd, struct gptr buf, uint64_t count, int64_t offset)
{
	return rw_buf(t, fd, buf, count, &(uint64_t){(uint64_t)offset}, false);
}

int64_t sys_pwrite64(struct task *t, int fd, struct gptr buf, uint64_t count, int64_t offset)
{
	return rw_buf(t, fd, buf, count, &(uint64_t){(uint64_t)offset}, true);
}

int64_t sys_readv(struct task *t, int fd, struct gptr iov, uint64_t iovcnt)
{
	return rw_iov(t, fd, iov, iovcnt, NULL, false, 0);
}

int64_t sys_writev(struct task *t, int fd, struct gptr iov, uint64_t iovcnt)
{
	return rw_iov(t, fd, iov, iovcnt, NULL, true, 0);
}

int64_t sys_preadv(struct task *t, int fd, struct gptr iov, uint64_t iovcnt, int64_t pos_l,
		   uint64_t pos_h)
{
	return rw_iov(t, fd, iov, iovcnt, &(uint64_t){(uint64_t)pos_l}, false, 0);
}

int64_t sys_pwritev(struct task *t, int fd, struct gptr iov, uint64_t iovcnt, int64_t pos_l,
		    uint64_t pos_h)
{
	return rw_iov(t, fd, iov, iovcnt, &(uint64_t){(uint64_t)pos_l}, true, 0);
}

/* Position -1: the file's own. */
int64_t sys_preadv2(struct task *t, int fd, struct gptr iov, uint64_t iovcnt, int64_t pos_l,
		    uint64_t pos_h, int flags)
{
	uint64_t off = (uint64_t)pos_l;

	return rw_iov(t, fd, iov, iovcnt, pos_l == -1 ? NULL : &off, false, flags);
}

int64_t sys_pwritev2(struct task *t, int fd, struct gptr iov, uint64_t iovcnt, int64_t pos_l,
		     uint64_t pos_h, int flags)
{
	uint64_t off = (uint64_t)pos_l;

	return rw_iov(t, fd, iov, iovcnt, pos_l == -1 ? NULL : &off, true, flags);
}

int64_t sys_lseek(struct task *t, int fd, int64_t offset, int whence)
{
	struct file *f;
	int64_t r = fdtable_get(t->files, fd, &f);

	if (r < 0)
		return r;
	r = file_seek(f, offset, whence);
	file_put(f);
	return r;
}
