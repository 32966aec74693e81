/* fsync(2) and the like, and advice about files. */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "sentry/kernel/fdtable.h"
#include "sentry/kernel/kernel.h"
#include "sentry/kernel/task.h"
#include "sentry/syscalls/syscalls.h"
#include "vfs/fs.h"
#include "vfs/inode.h"

static int64_t do_fsync(struct task *t, int fd, bool datasync)
{
	struct file *f;
	int64_t r = fdtable_get(t->files, fd, &f);

	if (r < 0)
		return r;
	r = file_fsync(f, datasync);
	file_put(f);
	return r;
}

int64_t sys_fsync(struct task *t, int fd)
{
	return do_fsync(t, fd, false);
}

int64_t sys_fdatasync(struct task *t, int fd)
{
	return do_fsync(t, fd, true);
}

/* What is written goes straight to the host's page cache: nothing is held back here. */
int64_t sys_sync(struct task *t)
{
	return 0;
}

int64_t sys_syncfs(struct task *t, int fd)
{
	struct file *f;
	struct fs *fs;
	int64_t r = fdtable_get(t->files, fd, &f);

	if (r < 0)
		return r;
	fs = f->path.mount->fs;
	r = fs->ops && fs->ops->sync ? fs->ops->sync(fs) : 0;
	file_put(f);
	return r;
}

int64_t sys_sync_file_range(struct task *t, int fd, int64_t offset, int64_t nbytes,
			    unsigned int flags)
{
	struct file *f;
	int64_t r;

	r = fdtable_get(t->files, fd, &f);
	if (r < 0)
		return r;
	if (flags & ~7u || offset < 0 || nbytes < 0 || offset > INT64_MAX - nbytes) {
		file_put(f);
		return -EINVAL;
	}
	switch (inode_type(f->inode)) {
	case S_IFREG:
		r = flags ? file_fsync(f, true) : 0;
		break;
	case S_IFBLK:
	case S_IFDIR:
	case S_IFLNK:
		r = 0;
		break;
	default:
		r = -ESPIPE;
	}
	file_put(f);
	return r;
}

int64_t sys_fadvise64(struct task *t, int fd, int64_t offset, uint64_t len, int advice)
{
	struct file *f;
	int64_t r = fdtable_get(t->files, fd, &f);

	if (r < 0)
		return r;
	if (inode_type(f->inode) == S_IFIFO)
		r = -ESPIPE;
	else if ((int64_t)len < 0 || advice < POSIX_FADV_NORMAL || advice > POSIX_FADV_NOREUSE)
		r = -EINVAL;
	file_put(f);
	return r;
}

int64_t sys_readahead(struct task *t, int fd, int64_t offset, uint64_t count)
{
	struct file *f;
	int64_t r = fdtable_get(t->files, fd, &f);

	if (r < 0)
		return r;
	if (!(f->mode & FILE_READ))
		r = -EBADF;
	else if (inode_type(f->inode) != S_IFREG && inode_type(f->inode) != S_IFBLK)
		r = -EINVAL;
	file_put(f);
	return r;
}
