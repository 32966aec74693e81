/* Extended attributes: xattr(7). */
#include <errno.h>
#include <linux/capability.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include "vfs/cred.h"
#include "vfs/notify.h"
#include "vfs/vfs.h"
#include "vfs/vfs_impl.h"

static bool in_space(const char *name, const char *space)
{
	size_t n = strlen(space);

	return strncmp(name, space, n) == 0 && name[n];
}

/* mask: MAY_READ or MAY_WRITE. */
static int check(const struct path *p, const struct cred *cred, const char *name, int mask)
{
	struct inode *i = dirent_inode(p->dirent);
	uint32_t type = inode_type(i);

	if (mask & MAY_WRITE) {
		int r = path_writable(p);

		if (r < 0)
			return r;
	}
	if (in_space(name, "security.") && mask & MAY_WRITE)
		return cred_capable(cred, strcmp(name, "security.capability") ? CAP_SYS_ADMIN
									      : CAP_SETFCAP)
			       ? 0
			       : -EPERM;
	if (in_space(name, "security.") || in_space(name, "system."))
		return !(mask & MAY_WRITE) || inode_owner_or_capable(i, cred) ? 0 : -EPERM;
	if (in_space(name, "trusted."))
		return cred_capable(cred, CAP_SYS_ADMIN) ? 0 : mask & MAY_WRITE ? -EPERM : -ENODATA;
	if (!in_space(name, "user."))
		return strcmp(name, "user.") ? -EOPNOTSUPP : -EINVAL;
	if (type != S_IFREG && type != S_IFDIR)
		return mask & MAY_WRITE ? -EPERM : -ENODATA;
	if (type == S_IFDIR && mask & MAY_WRITE && atomic_load(&i->mode) & S_ISVTX &&
	    !inode_owner_or_capable(i, cred))
		return -EPERM;
	return vfs_inode_permission(i, cred, mask);
}

ssize_t vfs_getxattr(const struct path *p, const struct cred *cred, const char *name, void *value,
		     size_t size)
{
	struct inode *i = dirent_inode(p->dirent);
	int r = check(p, cred, name, MAY_READ);

	if (r < 0)
		return r;
	return i->ops->getxattr ? i->ops->getxattr(i, name, value, size) : -EOPNOTSUPP;
}

int vfs_setxattr(const struct path *p, const struct cred *cred, const char *name,
		 const void *value, size_t size, int flags)
{
	struct inode *i = dirent_inode(p->dirent);
	int r;

	if (flags & ~(XATTR_CREATE | XATTR_REPLACE))
		return -EINVAL;
	r = check(p, cred, name, MAY_WRITE);
	if (r < 0)
		return r;
	r = i->ops->setxattr ? i->ops->setxattr(i, name, value, size, flags) : -EOPNOTSUPP;
	if (r == 0)
		notify_dirent(p->dirent, IN_ATTRIB);
	return r;
}

ssize_t vfs_listxattr(const struct path *p, const struct cred *cred, char *list, size_t size)
{
	struct inode *i = dirent_inode(p->dirent);

	return i->ops->listxattr ? i->ops->listxattr(i, list, size) : 0;
}

int vfs_removexattr(const struct path *p, const struct cred *cred, const char *name)
{
	struct inode *i = dirent_inode(p->dirent);
	int r = check(p, cred, name, MAY_WRITE);

	if (r < 0)
		return r;
	r = i->ops->removexattr ? i->ops->removexattr(i, name) : -EOPNOTSUPP;
	if (r == 0)
		notify_dirent(p->dirent, IN_ATTRIB);
	return r;
}
