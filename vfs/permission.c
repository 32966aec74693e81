/* Who may do what: path_resolution(7), capabilities(7). */
#include <errno.h>
#include <linux/capability.h>
#include <sys/stat.h>

#include "vfs/cred.h"
#include "vfs/fs.h"
#include "vfs/vfs.h"
#include "vfs/vfs_impl.h"

int inode_owner(struct inode *i, uint32_t *uid, uint32_t *gid)
{
	struct vfs_attr a = {0};
	int r;

	*uid = atomic_load_explicit(&i->uid, memory_order_acquire);
	*gid = atomic_load_explicit(&i->gid, memory_order_relaxed);
	if (*uid != INODE_ID_UNKNOWN)
		return 0;
	r = i->ops->getattr ? i->ops->getattr(i, &a) : 0;
	if (r < 0)
		return r;
	*uid = a.uid;
	*gid = a.gid;
	return 0;
}

static bool caps_allow(uint32_t mode, const struct cred *cred, int mask)
{
	if (S_ISDIR(mode)) {
		if (!(mask & MAY_WRITE) && cred_capable(cred, CAP_DAC_READ_SEARCH))
			return true;
		return cred_capable(cred, CAP_DAC_OVERRIDE);
	}
	if (mask == MAY_READ && cred_capable(cred, CAP_DAC_READ_SEARCH))
		return true;
	/* Reading and writing whatever; executing only if somebody may. */
	return (!(mask & MAY_EXEC) || (mode & 0111)) && cred_capable(cred, CAP_DAC_OVERRIDE);
}

int vfs_permission_generic(struct inode *i, const struct cred *cred, int mask)
{
	uint32_t mode = atomic_load_explicit(&i->mode, memory_order_relaxed);
	uint32_t uid, gid, bits = mode;
	int r;

	mask &= MAY_READ | MAY_WRITE | MAY_EXEC;
	/* What all three classes may do needs no owner. */
	if (((mode & mode >> 3 & mode >> 6) & (uint32_t)mask) == (uint32_t)mask)
		return 0;
	r = inode_owner(i, &uid, &gid);
	if (r < 0)
		return r;
	if (cred->fsuid == uid)
		bits >>= 6;
	else if (cred_in_group(cred, gid))
		bits >>= 3;
	if ((bits & (uint32_t)mask) == (uint32_t)mask)
		return 0;
	return caps_allow(mode, cred, mask) ? 0 : -EACCES;
}

int vfs_inode_permission(struct inode *i, const struct cred *cred, int mask)
{
	if (i->ops->permission)
		return i->ops->permission(i, cred, mask);
	return vfs_permission_generic(i, cred, mask);
}

/* Devices, FIFOs and sockets are written to without changing the file system. */
static bool written_through(const struct inode *i)
{
	uint32_t type = inode_type(i);

	return type != S_IFREG && type != S_IFDIR && type != S_IFLNK;
}

int path_writable(const struct path *p)
{
	if (p->dirent->fs->readonly || (mount_flags(p->mount) & MNT_RDONLY))
		return -EROFS;
	return 0;
}

int vfs_permission(const struct path *p, const struct cred *cred, int mask)
{
	struct inode *i = dirent_inode(p->dirent);

	if (mask & MAY_WRITE && !written_through(i)) {
		int r = path_writable(p);

		if (r < 0)
			return r;
	}
	return vfs_inode_permission(i, cred, mask);
}

bool inode_owner_or_capable(struct inode *i, const struct cred *cred)
{
	uint32_t uid, gid;

	if (inode_owner(i, &uid, &gid) == 0 && uid == cred->fsuid)
		return true;
	return cred_capable(cred, CAP_FOWNER);
}

/* Restricted deletion: in a sticky directory only the owner of the file or of the directory. */
int sticky_check(struct inode *dir, struct inode *child, const struct cred *cred)
{
	uint32_t uid, gid;

	if (!(atomic_load_explicit(&dir->mode, memory_order_relaxed) & S_ISVTX))
		return 0;
	if (inode_owner(child, &uid, &gid) == 0 && uid == cred->fsuid)
		return 0;
	if (inode_owner(dir, &uid, &gid) == 0 && uid == cred->fsuid)
		return 0;
	return cred_capable(cred, CAP_FOWNER) ? 0 : -EPERM;
}

void vfs_init_owner(struct inode *dir, const struct cred *cred, uint32_t *mode, uint32_t *uid,
		    uint32_t *gid)
{
	uint32_t dir_uid, dir_gid;

	*uid = cred->fsuid;
	*gid = cred->fsgid;
	if (!(atomic_load_explicit(&dir->mode, memory_order_relaxed) & S_ISGID))
		return;
	if (inode_owner(dir, &dir_uid, &dir_gid) == 0)
		*gid = dir_gid;
	if (S_ISDIR(*mode))
		*mode |= S_ISGID;
	else if ((*mode & (S_ISGID | S_IXGRP)) == (S_ISGID | S_IXGRP) && !cred_in_group(cred, *gid) &&
		 !cred_capable(cred, CAP_FSETID))
		*mode &= ~(uint32_t)S_ISGID;
}
