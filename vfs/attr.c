/* Attributes: stat, chmod, chown, utimens, truncate, readlink, statfs. */
#include <errno.h>
#include <linux/capability.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>

#include "vfs/changes.h"
#include "vfs/cred.h"
#include "vfs/fs.h"
#include "vfs/notify.h"
#include "vfs/vfs.h"
#include "vfs/vfs_impl.h"

int vfs_getattr(const struct path *p, struct vfs_attr *out)
{
	struct inode *i = dirent_inode(p->dirent);
	int r;

	memset(out, 0, sizeof(*out));
	if (!i->ops->getattr) {
		*out = (struct vfs_attr){.ino = i->ino, .mode = atomic_load(&i->mode), .nlink = 1,
					 .blksize = 4096};
	} else {
		r = i->ops->getattr(i, out);
		if (r < 0)
			return r;
	}
	if (!out->dev)
		out->dev = i->fs->dev;
	if (i->fs->attr_fixed)
		out->fixed = true;
	return 0;
}

static uint32_t notify_mask(uint32_t attrs)
{
	uint32_t mask = 0;

	if (attrs & (ATTR_MODE | ATTR_UID | ATTR_GID))
		mask |= IN_ATTRIB;
	if (attrs & ATTR_SIZE)
		mask |= IN_MODIFY;
	else if (attrs & (ATTR_ATIME | ATTR_MTIME))
		mask |= IN_ATTRIB;
	return mask;
}

static int apply(const struct path *p, const struct vfs_setattr *sa)
{
	struct inode *i = dirent_inode(p->dirent);
	int r;

	if (!i->ops->setattr)
		return -EPERM;
	r = i->ops->setattr(i, sa);
	vfs_changed(i->fs);
	if (r == 0)
		notify_dirent(p->dirent, notify_mask(sa->mask));
	return r;
}

/* Without a permission check of the single attributes: the callers' below did it. */
int vfs_setattr(const struct path *p, const struct cred *cred, struct vfs_setattr *sa)
{
	int r = path_writable(p);

	return r < 0 ? r : apply(p, sa);
}

int vfs_chmod(const struct path *p, const struct cred *cred, uint32_t mode)
{
	struct inode *i = dirent_inode(p->dirent);
	struct vfs_setattr sa = {.mask = ATTR_MODE, .mode = mode & 07777};
	uint32_t uid, gid;
	int r = path_writable(p);

	if (r == 0)
		r = inode_owner(i, &uid, &gid);
	if (r < 0)
		return r;
	if (inode_type(i) == S_IFLNK)
		return -EOPNOTSUPP;
	if (!inode_owner_or_capable(i, cred))
		return -EPERM;
	if (!cred_in_group(cred, gid) && !cred_capable(cred, CAP_FSETID))
		sa.mode &= ~(uint32_t)S_ISGID;
	return apply(p, &sa);
}

static bool may_chown(const struct cred *cred, uint32_t owner, uint32_t group, uint32_t uid,
		      uint32_t gid)
{
	if (cred_capable(cred, CAP_CHOWN))
		return true;
	if (cred->fsuid != owner)
		return false;
	if (uid != UINT32_MAX && uid != owner)
		return false;
	return gid == UINT32_MAX || gid == group || cred_in_group(cred, gid);
}

int vfs_chown(const struct path *p, const struct cred *cred, uint32_t uid, uint32_t gid)
{
	struct inode *i = dirent_inode(p->dirent);
	struct vfs_setattr sa = {.uid = uid, .gid = gid};
	uint32_t owner, group;
	int r = path_writable(p);

	if (r == 0)
		r = inode_owner(i, &owner, &group);
	if (r < 0)
		return r;
	if (uid != UINT32_MAX)
		sa.mask |= ATTR_UID;
	if (gid != UINT32_MAX)
		sa.mask |= ATTR_GID;
	if (!sa.mask)
		return 0;
	if (!may_chown(cred, owner, group, uid, gid))
		return -EPERM;
	if (inode_type(i) != S_IFDIR)
		sa.mask |= ATTR_KILL_SUID;
	return apply(p, &sa);
}

#ifndef UTIME_NOW
#define UTIME_NOW  ((1L << 30) - 1L)
#define UTIME_OMIT ((1L << 30) - 2L)
#endif

static int time_mask(const struct timespec *ts, uint32_t attr, uint32_t now, uint32_t *mask)
{
	if (ts->tv_nsec == UTIME_OMIT)
		return 0;
	if (ts->tv_nsec == UTIME_NOW)
		*mask |= attr | now;
	else if (ts->tv_nsec < 0 || ts->tv_nsec >= 1000000000L)
		return -EINVAL;
	else
		*mask |= attr;
	return 0;
}

/* ts NULL: both now. Setting to now needs write permission, to anything else ownership. */
int vfs_utimens(const struct path *p, const struct cred *cred, const struct timespec ts[2])
{
	static const struct timespec now[2] = {{.tv_nsec = UTIME_NOW}, {.tv_nsec = UTIME_NOW}};
	const uint32_t both_now = ATTR_ATIME | ATTR_ATIME_NOW | ATTR_MTIME | ATTR_MTIME_NOW;
	struct inode *i = dirent_inode(p->dirent);
	struct vfs_setattr sa = {0};
	int r;

	if (!ts)
		ts = now;
	sa.atime = ts[0];
	sa.mtime = ts[1];
	r = time_mask(&ts[0], ATTR_ATIME, ATTR_ATIME_NOW, &sa.mask);
	if (r == 0)
		r = time_mask(&ts[1], ATTR_MTIME, ATTR_MTIME_NOW, &sa.mask);
	if (r < 0 || !sa.mask)
		return r;
	r = path_writable(p);
	if (r < 0)
		return r;
	if (!inode_owner_or_capable(i, cred)) {
		if (sa.mask != both_now)
			return -EPERM;
		r = vfs_inode_permission(i, cred, MAY_WRITE);
		if (r < 0)
			return r;
	}
	return apply(p, &sa);
}

int vfs_truncate(const struct path *p, const struct cred *cred, uint64_t size)
{
	struct inode *i = dirent_inode(p->dirent);
	struct vfs_setattr sa = {.mask = ATTR_SIZE | ATTR_MTIME | ATTR_MTIME_NOW, .size = size};
	uint32_t type = inode_type(i);
	int r;

	if ((int64_t)size < 0)
		return -EINVAL;
	if (type == S_IFDIR)
		return -EISDIR;
	if (type != S_IFREG)
		return -EINVAL;
	r = vfs_permission(p, cred, MAY_WRITE);
	if (r == 0)
		r = inode_get_write(i);
	if (r < 0)
		return r;
	if (!cred_capable(cred, CAP_FSETID))
		sa.mask |= ATTR_KILL_SUID;
	r = apply(p, &sa);
	inode_put_write(i);
	return r;
}

int vfs_readlink(const struct path *p, char **target)
{
	struct inode *i = dirent_inode(p->dirent);
	char *text;

	if (inode_type(i) != S_IFLNK || !i->ops->readlink)
		return -EINVAL;
	text = atomic_load_explicit(&i->link_text, memory_order_acquire);
	if (!text)
		return i->ops->readlink(i, target);
	text = strdup(text);
	if (!text)
		return -ENOMEM;
	*target = text;
	return 0;
}

#define ST_VALID 0x20

/* ST_* of statvfs(3), as statfs(2) tells them. */
static uint64_t mount_statfs_flags(const struct mount *m)
{
	static const struct {
		uint32_t mnt;
		uint64_t st;
	} map[] = {
		{MNT_RDONLY, 1},    {MNT_NOSUID, 2},     {MNT_NODEV, 4},	 {MNT_NOEXEC, 8},
		{MNT_NOATIME, 1024}, {MNT_NODIRATIME, 2048}, {MNT_RELATIME, 4096},
	};
	uint32_t flags = mount_flags(m);
	uint64_t st = ST_VALID;

	for (size_t i = 0; i < sizeof(map) / sizeof(map[0]); i++)
		if (flags & map[i].mnt)
			st |= map[i].st;
	if (m->fs->readonly)
		st |= 1;
	return st;
}

int vfs_statfs(const struct path *p, struct vfs_statfs *out)
{
	struct inode *i = dirent_inode(p->dirent);
	int r;

	memset(out, 0, sizeof(*out));
	if (i->ops->statfs) {
		r = i->ops->statfs(i, out);
		if (r < 0)
			return r;
	} else {
		*out = (struct vfs_statfs){.bsize = 4096, .frsize = 4096, .namelen = 255};
	}
	if (!out->type)
		out->type = i->fs->magic;
	if (!out->frsize)
		out->frsize = out->bsize;
	if (!out->fsid)
		out->fsid = i->fs->dev;
	out->flags = mount_statfs_flags(p->mount);
	return 0;
}
