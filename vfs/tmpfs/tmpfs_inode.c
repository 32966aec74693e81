/* tmpfs inodes: birth, attributes, extended attributes, death. */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "vfs/file.h"
#include "vfs/tmpfs/page_pool.h"
#include "vfs/tmpfs/tmpfs_impl.h"
#include "vfs/vfs.h"

#define DIR_ENTRY_SIZE 20 /* what Linux pretends an entry of tmpfs to take */

static const struct inode_ops *ops_for(uint32_t mode)
{
	switch (mode & S_IFMT) {
	case S_IFDIR:
		return &tmpfs_dir_inode_ops;
	case S_IFREG:
		return &tmpfs_file_inode_ops;
	case S_IFLNK:
		return &tmpfs_link_inode_ops;
	default:
		return &tmpfs_special_inode_ops;
	}
}

/* An inode, its name and its dirent take about a KiB of the sentry's memory, which the sandbox's limit
 * must see: one page for each INODES_A_PAGE. */
#define INODES_A_PAGE 4

static int charge_inode(struct tmpfs *t)
{
	uint64_t n = atomic_load_explicit(&t->used_inodes, memory_order_relaxed);
	bool page;

	do {
		page = n % INODES_A_PAGE == 0;
		if ((t->max_inodes && n >= t->max_inodes) || (page && !page_pool_has_room(1)))
			return -ENOSPC;
	} while (!atomic_compare_exchange_weak(&t->used_inodes, &n, n + 1));
	if (page)
		page_pool_count_host(1);
	return 0;
}

static void uncharge_inode(struct tmpfs *t)
{
	if ((atomic_fetch_sub(&t->used_inodes, 1) - 1) % INODES_A_PAGE == 0)
		page_pool_count_host(-1);
}

int tmpfs_inode_new(struct tmpfs *t, uint32_t mode, uint64_t rdev, uint32_t uid, uint32_t gid,
		    struct tmpfs_inode **out)
{
	struct tmpfs_inode *ti;
	int r = charge_inode(t);

	if (r < 0)
		return r;
	ti = calloc(1, sizeof(*ti));
	if (!ti) {
		uncharge_inode(t);
		return -ENOMEM;
	}
	inode_init(&ti->i, t->fs, ops_for(mode), atomic_fetch_add(&t->next_ino, 1), mode);
	inode_set_owner(&ti->i, uid, gid);
	ti->t = t;
	ti->rdev = rdev;
	ti->nlink = S_ISDIR(mode) ? 2 : 1;
	ti->atime = ti->mtime = ti->ctime = ti->btime = vfs_now();
	ti->next_cookie = 2; /* 0 and 1 are "." and ".." */
	rwlock_init(&ti->data_lock, LOCK_INODE_DATA);
	ti->host_fd = ti->host_fd_ro = -1;
	atomic_init(&ti->seals, F_SEAL_SEAL);
	*out = ti;
	return 0;
}

/* Extended attributes are charged by the page, from the first whole one on. -ENOSPC. */
static int charge_xattrs(struct tmpfs_inode *ti, size_t bytes)
{
	uint64_t want = bytes / POOL_PAGE, have = ti->xattr_pages;

	if (want > have && (!page_pool_has_room(want - have) ||
			    tmpfs_charge(ti->t, want - have) < 0))
		return -ENOSPC;
	if (want < have)
		tmpfs_uncharge(ti->t, have - want);
	page_pool_count_host((int64_t)(want - have));
	ti->xattr_pages = want;
	return 0;
}

void tmpfs_inode_release(struct inode *inode)
{
	struct tmpfs_inode *ti = tmpfs_i(inode);
	struct tmpfs *t = ti->t;

	if (inode_type(inode) == S_IFDIR)
		tmpfs_dir_clear(ti);
	if (inode_type(inode) == S_IFREG)
		tmpfs_file_free(ti);
	charge_xattrs(ti, 0);
	xattr_store_free(&ti->xattrs);
	rwlock_destroy(&ti->data_lock);
	free(ti->target);
	uncharge_inode(t);
	inode_fini(inode);
	free(ti);
}

static void touch_locked(struct tmpfs_inode *ti, bool mtime)
{
	ti->ctime = vfs_now();
	if (mtime)
		ti->mtime = ti->ctime;
	atomic_store_explicit(&ti->atime_stale, true, memory_order_relaxed);
}

void tmpfs_touch(struct tmpfs_inode *ti, bool mtime)
{
	AUTO_LOCK(&ti->i.attr_lock);
	touch_locked(ti, mtime);
}

void tmpfs_add_link(struct tmpfs_inode *ti, int delta)
{
	AUTO_LOCK(&ti->i.attr_lock);
	ti->nlink += (uint32_t)delta;
	if (ti->nlink == 0)
		atomic_store(&ti->i.no_link, true);
	touch_locked(ti, false);
}

/* relatime: an access counts if the file was changed since the last one, or after a day. */
void tmpfs_accessed(struct tmpfs_inode *ti, struct file *f)
{
	struct timespec now;

	if (f->path.mount && (atomic_load_explicit(&f->path.mount->flags, memory_order_relaxed) &
			      (MNT_NOATIME | MNT_RDONLY)))
		return;
	if (atomic_load_explicit(&f->flags, memory_order_relaxed) & O_NOATIME)
		return;
	now = vfs_now();
	if (!atomic_load_explicit(&ti->atime_stale, memory_order_relaxed) &&
	    now.tv_sec - ti->atime.tv_sec < 24 * 60 * 60)
		return;
	AUTO_LOCK(&ti->i.attr_lock);
	ti->atime = now;
	atomic_store_explicit(&ti->atime_stale, false, memory_order_relaxed);
}

int tmpfs_getattr(struct inode *inode, struct vfs_attr *out)
{
	struct tmpfs_inode *ti = tmpfs_i(inode);
	uint32_t type = inode_type(inode);

	memset(out, 0, sizeof(*out));
	out->ino = inode->ino;
	out->dev = inode->fs->dev;
	out->rdev = ti->rdev;
	out->blksize = POOL_PAGE;
	out->btime = ti->btime;
	out->has_btime = true;
	if (type == S_IFREG) {
		AUTO_RDLOCK(&ti->data_lock);
		out->size = atomic_load(&ti->size);
		out->blocks = ti->pages.pages * (POOL_PAGE / 512);
		if (ti->host_fd >= 0) {
			struct stat st;

			if (fstat(ti->host_fd, &st) == 0)
				out->blocks = (uint64_t)st.st_blocks;
		}
	} else if (type == S_IFDIR) {
		/* Not worth the dir_lock: a count that is about to change. */
		out->size = (2 + ti->names.count) * DIR_ENTRY_SIZE;
	} else if (type == S_IFLNK) {
		out->size = strlen(ti->target);
	}
	AUTO_LOCK(&inode->attr_lock);
	out->mode = atomic_load(&inode->mode);
	out->nlink = ti->nlink;
	out->uid = atomic_load(&inode->uid);
	out->gid = atomic_load(&inode->gid);
	out->atime = ti->atime;
	out->mtime = ti->mtime;
	out->ctime = ti->ctime;
	return 0;
}

static void set_times_locked(struct tmpfs_inode *ti, const struct vfs_setattr *sa,
			     struct timespec now)
{
	if (sa->mask & (ATTR_ATIME | ATTR_ATIME_NOW)) {
		ti->atime = sa->mask & ATTR_ATIME_NOW ? now : sa->atime;
		atomic_store(&ti->atime_stale, false);
	}
	if (sa->mask & (ATTR_MTIME | ATTR_MTIME_NOW)) {
		ti->mtime = sa->mask & ATTR_MTIME_NOW ? now : sa->mtime;
		atomic_store(&ti->atime_stale, true);
	}
}

int tmpfs_setattr(struct inode *inode, const struct vfs_setattr *sa)
{
	struct tmpfs_inode *ti = tmpfs_i(inode);
	uint32_t mode;

	if (sa->mask & ATTR_MODE && atomic_load(&ti->seals) & F_SEAL_EXEC &&
	    (atomic_load(&inode->mode) ^ sa->mode) & 0111)
		return -EPERM;
	if (sa->mask & ATTR_SIZE) {
		int r = inode_type(inode) == S_IFREG ? tmpfs_truncate(ti, sa->size) : -EINVAL;

		if (r < 0)
			return r;
	}
	AUTO_LOCK(&inode->attr_lock);
	mode = atomic_load(&inode->mode);
	if (sa->mask & ATTR_MODE)
		mode = (mode & S_IFMT) | (sa->mode & 07777);
	if (sa->mask & ATTR_KILL_SUID) {
		mode &= ~(uint32_t)S_ISUID;
		if (mode & S_IXGRP)
			mode &= ~(uint32_t)S_ISGID;
	}
	atomic_store(&inode->mode, mode);
	inode_set_owner(inode, sa->mask & ATTR_UID ? sa->uid : atomic_load(&inode->uid),
			sa->mask & ATTR_GID ? sa->gid : atomic_load(&inode->gid));
	ti->ctime = vfs_now();
	set_times_locked(ti, sa, ti->ctime);
	return 0;
}

/* POSIX ACLs are refused, as by a kernel built without them: the permission check does not know
 * them, and storing what is not enforced would be a lie. */
static bool xattr_name_known(const char *name)
{
	return strncmp(name, "user.", 5) == 0 || strncmp(name, "trusted.", 8) == 0 ||
	       strncmp(name, "security.", 9) == 0;
}

ssize_t tmpfs_getxattr(struct inode *inode, const char *name, void *value, size_t size)
{
	if (!xattr_name_known(name))
		return -EOPNOTSUPP;
	AUTO_LOCK(&inode->attr_lock);
	return xattr_store_get(&tmpfs_i(inode)->xattrs, name, value, size);
}

int tmpfs_setxattr(struct inode *inode, const char *name, const void *value, size_t size,
		   int flags)
{
	struct tmpfs_inode *ti = tmpfs_i(inode);
	int r;

	if (!xattr_name_known(name))
		return -EOPNOTSUPP;
	AUTO_LOCK(&inode->attr_lock);
	r = charge_xattrs(ti, ti->xattrs.bytes + strlen(name) + size);
	if (r < 0)
		return r;
	r = xattr_store_set(&ti->xattrs, name, value, size, flags);
	charge_xattrs(ti, ti->xattrs.bytes);
	if (r == 0)
		touch_locked(ti, false);
	return r;
}

ssize_t tmpfs_listxattr(struct inode *inode, char *list, size_t size)
{
	AUTO_LOCK(&inode->attr_lock);
	return xattr_store_list(&tmpfs_i(inode)->xattrs, list, size);
}

int tmpfs_removexattr(struct inode *inode, const char *name)
{
	struct tmpfs_inode *ti = tmpfs_i(inode);
	int r;

	if (!xattr_name_known(name))
		return -EOPNOTSUPP;
	AUTO_LOCK(&inode->attr_lock);
	r = xattr_store_remove(&ti->xattrs, name);
	charge_xattrs(ti, ti->xattrs.bytes);
	if (r == 0)
		touch_locked(ti, false);
	return r;
}

int tmpfs_readlink(struct inode *inode, char **target)
{
	*target = strdup(tmpfs_i(inode)->target);
	return *target ? 0 : -ENOMEM;
}
