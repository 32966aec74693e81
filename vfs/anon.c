#include "vfs/anon.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "vfs/cred.h"
#include "vfs/file_impl.h"
#include "vfs/fs.h"
#include "vfs/mount_impl.h"
#include "vfs/vfs.h"
#include "vfs/vfs_impl.h"

#define ANON_INODE_FS_MAGIC 0x09041934
#define PIPEFS_MAGIC	    0x50495045
#define SOCKFS_MAGIC	    0x534f434b

struct anon_inode {
	struct inode inode;
	struct timespec atime, mtime, ctime; /* attr_lock */
};

static struct fs *anon_fs;
static struct mount *anon_mnt;

static struct anon_inode *anon_of(struct inode *i)
{
	return container_of(i, struct anon_inode, inode);
}

static int anon_getattr(struct inode *i, struct vfs_attr *out)
{
	struct anon_inode *a = anon_of(i);

	AUTO_LOCK(&i->attr_lock);
	*out = (struct vfs_attr){
		.ino = i->ino,
		.mode = atomic_load(&i->mode),
		.nlink = 1,
		.uid = atomic_load(&i->uid),
		.gid = atomic_load(&i->gid),
		.blksize = 4096,
		.atime = a->atime,
		.mtime = a->mtime,
		.ctime = a->ctime,
	};
	return 0;
}

static int anon_setattr(struct inode *i, const struct vfs_setattr *sa)
{
	struct anon_inode *a = anon_of(i);
	struct timespec now = vfs_now();

	if (sa->mask & ATTR_SIZE)
		return -EINVAL;
	AUTO_LOCK(&i->attr_lock);
	if (sa->mask & ATTR_MODE)
		atomic_store(&i->mode, (atomic_load(&i->mode) & S_IFMT) | (sa->mode & 07777));
	if (sa->mask & ATTR_UID)
		atomic_store(&i->uid, sa->uid);
	if (sa->mask & ATTR_GID)
		atomic_store(&i->gid, sa->gid);
	if (sa->mask & ATTR_ATIME)
		a->atime = sa->mask & ATTR_ATIME_NOW ? now : sa->atime;
	if (sa->mask & ATTR_MTIME)
		a->mtime = sa->mask & ATTR_MTIME_NOW ? now : sa->mtime;
	a->ctime = now;
	return 0;
}

static int anon_statfs(struct inode *i, struct vfs_statfs *out)
{
	uint32_t type = inode_type(i);

	*out = (struct vfs_statfs){
		.type = type == S_IFIFO	   ? PIPEFS_MAGIC
			: type == S_IFSOCK ? SOCKFS_MAGIC
					   : ANON_INODE_FS_MAGIC,
		.bsize = 4096,
		.frsize = 4096,
		.namelen = 255,
	};
	return 0;
}

static void anon_release(struct inode *i)
{
	inode_fini(i);
	free(anon_of(i));
}

/* No open: a pipe is opened anew through /proc/pid/fd like a FIFO, the others can't be. */
static const struct inode_ops anon_inode_ops = {
	.getattr = anon_getattr,
	.setattr = anon_setattr,
	.statfs = anon_statfs,
	.release = anon_release,
};

int anon_inode_new(uint32_t mode, const struct cred *cred, struct inode **out)
{
	static atomic_ullong next_ino = 1000;
	struct anon_inode *a = calloc(1, sizeof(*a));

	if (!a)
		return -ENOMEM;
	inode_init(&a->inode, anon_fs, &anon_inode_ops, atomic_fetch_add(&next_ino, 1), mode);
	inode_set_owner(&a->inode, cred ? cred->fsuid : 0, cred ? cred->fsgid : 0);
	a->atime = a->mtime = a->ctime = vfs_now();
	*out = &a->inode;
	return 0;
}

struct mount *anon_mount(void)
{
	return anon_mnt;
}

/* Consumes the reference on inode. */
static int new_file(const char *name, struct inode *inode, const struct file_ops *ops, void *priv,
		    int flags, uint32_t mode, const struct cred *cred, struct file **out)
{
	struct path p = {.mount = anon_mnt};
	struct file *f;
	int r = dirent_new_anon(anon_fs, name, inode, &p.dirent);

	if (r < 0)
		return r;
	f = file_alloc(&p, flags, mode, cred);
	dirent_put(p.dirent);
	if (!f)
		return -ENOMEM;
	f->ops = ops;
	f->priv = priv;
	*out = f;
	return 0;
}

int file_new_anon(const char *name, const struct file_ops *ops, void *priv, int flags,
		  uint32_t mode, const struct cred *cred, struct file **out)
{
	struct inode *inode;
	int r = anon_inode_new(0600, cred, &inode);

	return r < 0 ? r : new_file(name, inode, ops, priv, flags, mode, cred, out);
}

int file_new_anon_inode(const char *kind, struct inode *inode, const struct file_ops *ops,
			void *priv, int flags, uint32_t mode, const struct cred *cred,
			struct file **out)
{
	char name[64];

	snprintf(name, sizeof(name), "%s:[%llu]", kind, (unsigned long long)inode->ino);
	return new_file(name, inode_get(inode), ops, priv, flags, mode, cred, out);
}

static const struct fs_type anon_type = {.name = "anon_inodefs", .nodev = true};
static const struct fs_ops anon_fs_ops = {0};

int anon_init(void)
{
	struct inode *inode;
	int r;

	anon_fs = fs_new(&anon_type, &anon_fs_ops, "anon_inodefs", ANON_INODE_FS_MAGIC);
	if (!anon_fs)
		return -ENOMEM;
	r = anon_inode_new(S_IFDIR | 0555, NULL, &inode);
	if (r == 0)
		r = dirent_new_root(anon_fs, inode, &anon_fs->root);
	if (r == 0)
		r = mount_new(anon_fs, anon_fs->root, 0, "anon_inodefs", &anon_mnt);
	return r;
}
