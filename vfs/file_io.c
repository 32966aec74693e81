/* The wrappers around file_ops: the only callers. */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/falloc.h>
#include <poll.h>
#include <stdio.h>
#include <sys/inotify.h>
#include <sys/stat.h>

#include "vfs/cred.h"
#include "vfs/file.h"
#include "vfs/fs.h"
#include "vfs/notify.h"
#include "vfs/uio.h"
#include "vfs/vfs.h"
#include "vfs/vfs_impl.h"

static void clip(struct uio *u)
{
	if (u->resid > MAX_RW_COUNT)
		u->resid = MAX_RW_COUNT;
}

static ssize_t do_read(struct file *f, struct uio *dst, uint64_t off)
{
	ssize_t n;

	if (!(f->mode & FILE_READ))
		return -EBADF;
	if (inode_type(f->inode) == S_IFDIR)
		return -EISDIR;
	if (!f->ops->read)
		return -EINVAL;
	clip(dst);
	if (f->mode & FILE_SEEKABLE && off != FILE_HERE && off > INT64_MAX - dst->resid)
		return -EINVAL;
	n = f->ops->read(f, dst, off);
	if (n > 0)
		notify_dirent(f->path.dirent, IN_ACCESS);
	return n;
}

ssize_t file_pread(struct file *f, struct uio *dst, uint64_t off)
{
	if (!(f->mode & FILE_SEEKABLE) && f->mode & FILE_READ)
		return -ESPIPE;
	return do_read(f, dst, off);
}

ssize_t file_read(struct file *f, struct uio *dst)
{
	ssize_t n;

	if (!(f->mode & FILE_SEEKABLE))
		return do_read(f, dst, 0);
	AUTO_LOCK(&f->pos_lock);
	if (f->mode & FILE_POS_OUTSIDE)
		return do_read(f, dst, FILE_HERE);
	n = do_read(f, dst, f->pos);
	if (n > 0)
		f->pos += (uint64_t)n;
	return n;
}

/* A write takes set-user-ID away, unless by who may set it. */
static void drop_suid(struct file *f)
{
	uint32_t mode = atomic_load_explicit(&f->inode->mode, memory_order_relaxed);
	struct vfs_setattr sa = {.mask = ATTR_KILL_SUID};

	if (!(mode & S_ISUID) && (mode & (S_ISGID | S_IXGRP)) != (S_ISGID | S_IXGRP))
		return;
	if (cred_capable(f->cred, CAP_FSETID) || !f->inode->ops->setattr)
		return;
	f->inode->ops->setattr(f->inode, &sa);
}

static int fsize_clip(struct file *f, struct uio *src, uint64_t off, uint64_t limit)
{
	if (limit == UINT64_MAX || inode_type(f->inode) != S_IFREG)
		return 0;
	if (off == UINT64_MAX) {
		struct vfs_attr a = {0};

		if (f->inode->ops->getattr && f->inode->ops->getattr(f->inode, &a) < 0)
			return -EIO;
		off = a.size;
	} else if (off == FILE_HERE) {
		off = file_pos(f);
	}
	if (off >= limit)
		return -EFBIG;
	if (src->resid > limit - off)
		src->resid = limit - off;
	return 0;
}

static ssize_t do_write(struct file *f, struct uio *src, uint64_t off, uint64_t limit,
			uint64_t *end)
{
	bool regular = inode_type(f->inode) == S_IFREG;
	ssize_t n;

	if (!(f->mode & FILE_WRITE))
		return -EBADF;
	if (!f->ops->write)
		return -EINVAL;
	clip(src);
	if (off < FILE_HERE && f->mode & FILE_SEEKABLE && off > INT64_MAX - src->resid)
		return -EINVAL;
	if (regular) {
		int r;

		if (src->resid == 0)
			return 0;
		r = fsize_clip(f, src, off, limit);
		if (r < 0)
			return r;
		drop_suid(f);
	}
	n = f->ops->write(f, src, off, end);
	if (n > 0)
		notify_dirent(f->path.dirent, IN_MODIFY);
	return n;
}

static bool appends(const struct file *f)
{
	return atomic_load_explicit(&((struct file *)f)->flags, memory_order_relaxed) & O_APPEND;
}

/* With O_APPEND pwrite(2) appends too; see its BUGS. */
ssize_t file_pwrite(struct file *f, struct uio *src, uint64_t off, uint64_t fsize_limit)
{
	uint64_t end;

	if (!(f->mode & FILE_SEEKABLE) && f->mode & FILE_WRITE)
		return -ESPIPE;
	return do_write(f, src, appends(f) ? UINT64_MAX : off, fsize_limit, &end);
}

ssize_t file_write(struct file *f, struct uio *src, uint64_t fsize_limit)
{
	uint64_t end = 0;
	ssize_t n;

	if (!(f->mode & FILE_SEEKABLE))
		return do_write(f, src, 0, fsize_limit, NULL);
	AUTO_LOCK(&f->pos_lock);
	if (f->mode & FILE_POS_OUTSIDE)
		return do_write(f, src, appends(f) ? UINT64_MAX : FILE_HERE, fsize_limit, &end);
	if (appends(f)) {
		n = do_write(f, src, UINT64_MAX, fsize_limit, &end);
		if (n > 0)
			f->pos = end;
		return n;
	}
	n = do_write(f, src, f->pos, fsize_limit, NULL);
	if (n > 0)
		f->pos += (uint64_t)n;
	return n;
}

static int64_t seek_in_size(uint64_t size, int64_t off, int whence)
{
	if (off < 0 || (uint64_t)off >= size)
		return -ENXIO;
	return whence == SEEK_DATA ? off : (int64_t)size;
}

static int64_t seek_generic(struct file *f, int64_t off, int whence)
{
	struct vfs_attr a = {0};
	int64_t base = 0;
	int r;

	if (whence == SEEK_CUR) {
		base = (int64_t)f->pos;
	} else if (whence != SEEK_SET) {
		r = f->inode->ops->getattr ? f->inode->ops->getattr(f->inode, &a) : 0;
		if (r < 0)
			return r;
		if (whence == SEEK_DATA || whence == SEEK_HOLE)
			return seek_in_size(a.size, off, whence);
		base = (int64_t)a.size;
	}
	if (__builtin_add_overflow(base, off, &off) || off < 0)
		return -EINVAL;
	return off;
}

int64_t file_seek(struct file *f, int64_t off, int whence)
{
	int64_t r;

	if (f->mode & FILE_PATH)
		return -EBADF;
	if (whence < SEEK_SET || whence > SEEK_HOLE)
		return -EINVAL;
	if (!f->ops->seek && !(f->mode & FILE_SEEKABLE))
		return -ESPIPE;
	AUTO_LOCK(&f->pos_lock);
	r = f->ops->seek ? f->ops->seek(f, off, whence) : seek_generic(f, off, whence);
	if (r >= 0)
		f->pos = (uint64_t)r;
	return r;
}

uint64_t file_pos(struct file *f)
{
	int64_t r;

	if (!(f->mode & FILE_POS_OUTSIDE))
		return f->pos;
	r = f->ops->seek(f, 0, SEEK_CUR);
	return r < 0 ? 0 : (uint64_t)r;
}

int file_readdir(struct file *f, struct dir_sink *sink)
{
	int r;

	if (f->mode & FILE_PATH)
		return -EBADF;
	if (!f->ops->readdir)
		return -ENOTDIR;
	AUTO_LOCK(&f->pos_lock);
	/* An open directory whose name is gone lists nothing. */
	if (dirent_has(f->path.dirent, DIRENT_UNHASHED))
		return -ENOENT;
	r = f->ops->readdir(f, &f->pos, sink);
	if (r >= 0)
		notify_dirent(f->path.dirent, IN_ACCESS);
	return r;
}

uint32_t file_poll(struct file *f)
{
	if (!f->ops->poll)
		return POLLIN | POLLOUT | POLLRDNORM | POLLWRNORM;
	return f->ops->poll(f);
}

struct waitq *file_waitq(struct file *f)
{
	return f->ops->waitq ? f->ops->waitq(f) : NULL;
}

int64_t file_ioctl(struct file *f, struct task *t, unsigned cmd, uint64_t arg)
{
	if (f->mode & FILE_PATH)
		return -EBADF;
	return f->ops->ioctl ? f->ops->ioctl(f, t, cmd, arg) : -ENOTTY;
}

/* PROT_* are 1 read, 2 write. */
int file_mmap(struct file *f, int prot, bool shared, struct file_mapping *out)
{
	if (f->mode & FILE_PATH)
		return -EBADF;
	if (!(f->mode & FILE_READ) || (shared && prot & 2 && !(f->mode & FILE_WRITE)))
		return -EACCES;
	if (prot & 4 && mount_flags(f->path.mount) & MNT_NOEXEC)
		return -EPERM;
	return f->ops->mmap ? f->ops->mmap(f, prot, shared, out) : -ENODEV;
}

int file_fsync(struct file *f, bool datasync)
{
	if (f->mode & FILE_PATH)
		return -EBADF;
	if (f->ops->fsync)
		return f->ops->fsync(f, datasync);
	/* Pipes, sockets and the like have nothing to be synchronised. */
	return inode_type(f->inode) == S_IFREG || inode_type(f->inode) == S_IFDIR ||
			       inode_type(f->inode) == S_IFBLK
		       ? 0
		       : -EINVAL;
}

int file_fallocate(struct file *f, int mode, uint64_t off, uint64_t len)
{
	uint32_t type = inode_type(f->inode);
	int r;

	if (f->mode & FILE_PATH)
		return -EBADF;
	if ((int64_t)off < 0 || (int64_t)len <= 0)
		return -EINVAL;
	if (mode & ~(FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE | FALLOC_FL_COLLAPSE_RANGE |
		     FALLOC_FL_ZERO_RANGE | FALLOC_FL_INSERT_RANGE | FALLOC_FL_UNSHARE_RANGE))
		return -EOPNOTSUPP;
	if (mode & FALLOC_FL_PUNCH_HOLE && mode & FALLOC_FL_ZERO_RANGE)
		return -EOPNOTSUPP;
	if (mode & FALLOC_FL_PUNCH_HOLE && !(mode & FALLOC_FL_KEEP_SIZE))
		return -EOPNOTSUPP;
	if (!(f->mode & FILE_WRITE))
		return -EBADF;
	if (type == S_IFIFO)
		return -ESPIPE;
	if (type == S_IFDIR)
		return -EISDIR;
	if (type != S_IFREG && type != S_IFBLK)
		return -ENODEV;
	if (off + len > INT64_MAX)
		return -EFBIG;
	if (!f->ops->fallocate)
		return -EOPNOTSUPP;
	drop_suid(f);
	r = f->ops->fallocate(f, mode, off, len);
	if (r == 0)
		notify_dirent(f->path.dirent, IN_MODIFY);
	return r;
}

int file_truncate(struct file *f, uint64_t size)
{
	struct vfs_setattr sa = {.mask = ATTR_SIZE | ATTR_MTIME | ATTR_MTIME_NOW, .size = size};
	int r;

	if (f->mode & FILE_PATH)
		return -EBADF;
	if ((int64_t)size < 0 || inode_type(f->inode) != S_IFREG || !(f->mode & FILE_WRITE))
		return -EINVAL;
	if (!cred_capable(f->cred, CAP_FSETID))
		sa.mask |= ATTR_KILL_SUID;
	if (!f->inode->ops->setattr)
		return -EINVAL;
	r = f->inode->ops->setattr(f->inode, &sa);
	if (r == 0)
		notify_dirent(f->path.dirent, IN_MODIFY);
	return r;
}
