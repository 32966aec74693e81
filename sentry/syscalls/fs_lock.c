/* Record locks of fcntl(2), and flock(2). */
#include "sentry/syscalls/fs_lock.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/file.h>

#include "abi/linux/fcntl.h"
#include "sentry/kernel/fdtable.h"
#include "sentry/kernel/restart.h"
#include "sentry/kernel/task.h"
#include "sentry/mm/usercopy.h"
#include "sentry/syscalls/syscalls.h"
#include "vfs/inode.h"
#include "vfs/locks.h"
#include "vfs/vfs.h"

/* struct flock's range, relative to start, position or end, as first and last byte. */
static int range_of(struct file *f, const struct linux_flock *fl, struct file_lock_req *req)
{
	struct vfs_attr a;
	int64_t start = fl->l_start, end;
	int r;

	switch (fl->l_whence) {
	case SEEK_SET:
		break;
	case SEEK_CUR:
		if (__builtin_add_overflow((int64_t)file_pos(f), start, &start))
			return -EOVERFLOW;
		break;
	case SEEK_END:
		r = vfs_getattr(&f->path, &a);
		if (r < 0)
			return r;
		if (__builtin_add_overflow((int64_t)a.size, start, &start))
			return -EOVERFLOW;
		break;
	default:
		return -EINVAL;
	}
	if (start < 0) /* first, so that adding a negative length can't overflow */
		return -EINVAL;
	end = INT64_MAX;
	if (fl->l_len > 0) {
		if (__builtin_add_overflow(start, fl->l_len - 1, &end))
			return -EOVERFLOW;
	} else if (fl->l_len < 0) {
		end = start - 1;
		start += fl->l_len;
	}
	if (start < 0)
		return -EINVAL;
	req->start = (uint64_t)start;
	req->end = end == INT64_MAX ? UINT64_MAX : (uint64_t)end;
	return 0;
}

static int request_of(struct task *t, struct file *f, const struct linux_flock *fl, bool ofd,
		      struct file_lock_req *req)
{
	if (fl->l_type != F_RDLCK && fl->l_type != F_WRLCK && fl->l_type != F_UNLCK)
		return -EINVAL;
	if (ofd && fl->l_pid)
		return -EINVAL;
	*req = (struct file_lock_req){
		.kind = ofd ? LOCK_KIND_OFD : LOCK_KIND_POSIX,
		.type = fl->l_type,
		.owner = ofd ? (const void *)f : (const void *)t->files,
		.pid = ofd ? -1 : t->tg->tgid,
	};
	return range_of(f, fl, req);
}

static int64_t lock_wait(struct task *t, struct file *f, const struct file_lock_req *req)
{
	struct waitq *q = file_locks_waitq(f);
	struct task_waiter tw;
	int64_t r;

	if (!q)
		return -ENOLCK;
	task_waiter_init(&tw, t, POLLIN);
	waitq_add(q, &tw.w);
	for (;;) {
		uint32_t seq = task_wake_prepare(t);
		struct file_lock_wait w;

		r = file_lock_set(f, req);
		if (r != -EAGAIN)
			break;
		r = file_lock_wait_begin(f, req, &w);
		if (r < 0)
			break;
		r = task_block(t, seq, UINT64_MAX);
		file_lock_wait_end(&w);
		if (r < 0) {
			r = -ERESTARTSYS;
			break;
		}
	}
	waitq_remove(&tw.w);
	return r;
}

static int64_t lock_set(struct task *t, struct file *f, const struct file_lock_req *req, bool wait)
{
	int64_t r = file_lock_set(f, req);

	return r == -EAGAIN && wait ? lock_wait(t, f, req) : r;
}

/* Whether fd still is f's: what a close(2) of it lets go of, it has let go of by then. */
static bool still_open(struct task *t, int fd, const struct file *f)
{
	struct file *now;

	if (fdtable_get_path(t->files, fd, &now) < 0)
		return false;
	file_put(now);
	return now == f;
}

int64_t fcntl_setlk(struct task *t, struct file *f, int fd, struct gptr arg, bool wait, bool ofd)
{
	struct linux_flock fl;
	struct file_lock_req req;
	int64_t r = get_guest(t, &fl, arg);

	if (r == 0)
		r = request_of(t, f, &fl, ofd, &req);
	if (r < 0)
		return r;
	if ((fl.l_type == F_RDLCK && !(f->mode & FILE_READ)) ||
	    (fl.l_type == F_WRLCK && !(f->mode & FILE_WRITE)))
		return -EBADF;
	r = lock_set(t, f, &req, wait);
	if (r == 0 && !ofd && fl.l_type != F_UNLCK && !still_open(t, fd, f)) {
		req.type = F_UNLCK;
		file_lock_set(f, &req);
		r = -EBADF;
	}
	return r;
}

int64_t fcntl_getlk(struct task *t, struct file *f, struct gptr arg, bool ofd)
{
	struct linux_flock fl;
	struct file_lock_req req;
	int r = get_guest(t, &fl, arg);

	if (r == 0)
		r = request_of(t, f, &fl, ofd, &req);
	if (r == 0 && fl.l_type == F_UNLCK)
		r = -EINVAL;
	if (r == 0)
		r = file_lock_get(f, &req);
	if (r < 0)
		return r;
	fl.l_type = (int16_t)req.type;
	if (req.type != F_UNLCK) {
		fl.l_whence = SEEK_SET;
		fl.l_start = (int64_t)req.start;
		fl.l_len = req.end == UINT64_MAX ? 0 : (int64_t)(req.end - req.start + 1);
		fl.l_pid = req.pid;
	}
	return put_guest(t, arg, &fl);
}

int64_t sys_flock(struct task *t, int fd, unsigned int op)
{
	struct file_lock_req req = {.kind = LOCK_KIND_FLOCK, .start = 0, .end = UINT64_MAX};
	struct file *f;
	int64_t r;

	switch (op & ~(unsigned)LOCK_NB) {
	case LOCK_SH:
		req.type = F_RDLCK;
		break;
	case LOCK_EX:
		req.type = F_WRLCK;
		break;
	case LOCK_UN:
		req.type = F_UNLCK;
		break;
	default:
		return -EINVAL;
	}
	r = fdtable_get(t->files, fd, &f);
	if (r < 0)
		return r;
	req.owner = f;
	req.pid = t->tg->tgid;
	r = lock_set(t, f, &req, !(op & LOCK_NB));
	file_put(f);
	return r;
}
