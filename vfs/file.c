/* Open files: making and ending them. */
#include "vfs/file.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/inotify.h>
#include <sys/stat.h>

#include "vfs/cred.h"
#include "vfs/file_impl.h"
#include "vfs/fs.h"
#include "vfs/locks.h"
#include "vfs/notify.h"
#include "vfs/vfs.h"
#include "vfs/vfs_impl.h"

/* What F_GETFL does not tell. */
#define OPEN_ONLY_FLAGS (O_CREAT | O_EXCL | O_NOCTTY | O_TRUNC | O_CLOEXEC)
#define FLAG_LARGEFILE	0100000 /* glibc hides it; 64-bit Linux always sets it */

static const struct file_ops path_file_ops = {0};

static uint32_t access_mode(int flags)
{
	switch (flags & O_ACCMODE) {
	case O_RDONLY:
		return FILE_READ;
	case O_WRONLY:
		return FILE_WRITE;
	case O_RDWR:
		return FILE_READ | FILE_WRITE;
	}
	return 0; /* 3: ioctl only */
}

struct file *file_alloc(const struct path *path, int flags, uint32_t mode, const struct cred *cred)
{
	struct file *f = calloc(1, sizeof(*f));

	if (!f)
		return NULL;
	ref_init(&f->ref);
	path_set(&f->path, path);
	f->inode = inode_get(dirent_inode(path->dirent));
	atomic_init(&f->flags, flags);
	f->mode = mode;
	f->cred = cred_get((struct cred *)cred);
	mutex_init(&f->pos_lock,
		   path->dirent->fs->lower ? LOCK_FILE_POS_LOWER : LOCK_FILE_POS);
	return f;
}

static void file_free(struct file *f)
{
	if (f->mode & FILE_COUNTED_WRITER)
		inode_put_write(f->inode);
	inode_put(f->inode);
	path_put(&f->path);
	cred_put(f->cred);
	mutex_destroy(&f->pos_lock);
	free(f);
}

struct file *file_get(struct file *f)
{
	ref_get(&f->ref);
	return f;
}

static void release_locks(struct file *f)
{
	if (!atomic_load_explicit(&f->inode->locks, memory_order_acquire))
		return;
	file_lock_release(f, LOCK_KIND_FLOCK, f);
	file_lock_release(f, LOCK_KIND_OFD, f);
}

void file_put(struct file *f)
{
	if (!f || !ref_put(&f->ref))
		return;
	if (f->epolls_release)
		f->epolls_release(f);
	if (!(f->mode & FILE_PATH)) {
		release_locks(f);
		notify_dirent(f->path.dirent,
			      f->mode & FILE_WRITE ? IN_CLOSE_WRITE : IN_CLOSE_NOWRITE);
	}
	if (f->ops && f->ops->release)
		f->ops->release(f);
	file_free(f);
}

/* Seekable unless the file system said otherwise in open. */
static uint32_t default_mode(const struct inode *i)
{
	uint32_t type = inode_type(i);

	return type == S_IFREG || type == S_IFDIR || type == S_IFBLK ? FILE_SEEKABLE : 0;
}

static int open_special(struct inode *i, const struct path *path, struct file *f)
{
	struct vfs_attr a = {0};
	int r;

	switch (inode_type(i)) {
	case S_IFIFO:
		return vfs_special && vfs_special->open_fifo ? vfs_special->open_fifo(i, f) : -ENXIO;
	case S_IFCHR:
	case S_IFBLK:
		if (mount_flags(path->mount) & MNT_NODEV)
			return -EACCES;
		if (!vfs_special || !vfs_special->open_device)
			return -ENXIO;
		r = i->ops->getattr ? i->ops->getattr(i, &a) : -ENXIO;
		if (r < 0)
			return r;
		return vfs_special->open_device(i, a.rdev, inode_type(i) == S_IFBLK, f);
	}
	return -ENXIO; /* sockets */
}

static int open_inode(struct inode *i, const struct path *path, struct file *f)
{
	uint32_t type = inode_type(i);
	bool special = type == S_IFIFO || type == S_IFCHR || type == S_IFBLK || type == S_IFSOCK;

	if (i->ops->open) {
		int r = i->ops->open(i, f);

		if (r != -ENXIO || !special)
			return r;
	}
	return special ? open_special(i, path, f) : -ENXIO;
}

int file_open_path(const struct path *path, int flags, const struct cred *cred, struct file **out)
{
	struct inode *i = dirent_inode(path->dirent);
	struct file *f;
	int r;

	if (flags & O_PATH) {
		f = file_alloc(path, flags & (O_PATH | O_DIRECTORY | O_NOFOLLOW), FILE_PATH, cred);
		if (!f)
			return -ENOMEM;
		f->ops = &path_file_ops;
		*out = f;
		return 0;
	}
	/* A terminal's open looks at O_NOCTTY. */
	f = file_alloc(path, (flags & ~(OPEN_ONLY_FLAGS & ~O_NOCTTY)) | FLAG_LARGEFILE,
		       access_mode(flags) | default_mode(i), cred);
	if (!f)
		return -ENOMEM;
	if (f->mode & FILE_WRITE && inode_type(i) == S_IFREG) {
		r = inode_get_write(i);
		if (r < 0) {
			file_free(f);
			return r;
		}
		f->mode |= FILE_COUNTED_WRITER;
	}
	r = open_inode(i, path, f);
	if (r < 0) {
		file_free(f);
		return r;
	}
	assert(f->ops);
	atomic_fetch_and_explicit(&f->flags, ~O_NOCTTY, memory_order_relaxed);
	notify_dirent(path->dirent, IN_OPEN);
	*out = f;
	return 0;
}
