#include "vfs/notify.h"

#include "vfs/dirent_impl.h"
#include "vfs/inode.h"
#include "vfs/tree_lock.h"

#include <limits.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>

const struct notify_ops *notify_ops;

static bool watched(struct inode *i)
{
	return i && atomic_load_explicit(&i->watches, memory_order_relaxed);
}

static uint32_t isdir(const struct inode *i)
{
	return inode_type(i) == S_IFDIR ? IN_ISDIR : 0;
}

/* The parent's inode, with a reference, and d's name in it, if someone watches the parent. */
static struct inode *watched_parent(struct dirent *d, char *name, size_t *len)
{
	struct inode *dir = NULL;

	tree_rdlock();
	if (d->parent != d && watched(dirent_inode(d->parent))) {
		dir = inode_get(dirent_inode(d->parent));
		*len = d->name_len < NAME_MAX ? d->name_len : NAME_MAX;
		memcpy(name, d->name, *len);
		name[*len] = 0;
	}
	tree_rdunlock();
	return dir;
}

void notify_dirent(struct dirent *d, uint32_t mask)
{
	struct inode *i, *dir;
	char name[NAME_MAX + 1];
	size_t len;

	if (!notify_ops)
		return;
	i = dirent_inode(d);
	if (!i)
		return;
	mask |= isdir(i);
	dir = watched_parent(d, name, &len);
	if (dir) {
		notify_ops->event(dir, name, len, mask, 0);
		inode_put(dir);
	}
	if (watched(i))
		notify_ops->event(i, NULL, 0, mask, 0);
}

void notify_dir(struct inode *dir, const char *name, size_t len, uint32_t mask, uint32_t cookie)
{
	if (notify_ops && watched(dir))
		notify_ops->event(dir, name, len, mask, cookie);
}

void notify_inode(struct inode *inode, uint32_t mask)
{
	if (notify_ops && watched(inode))
		notify_ops->event(inode, NULL, 0, mask | isdir(inode), 0);
}

/* Linux tells when the inode itself goes; here it goes when the last name does, which is what
 * watchers look for. */
void notify_gone(struct inode *inode)
{
	struct vfs_attr a = {0};

	if (!notify_ops || !watched(inode))
		return;
	if (inode->ops->getattr && inode->ops->getattr(inode, &a) == 0 && a.nlink > 0 &&
	    inode_type(inode) != S_IFDIR)
		return;
	notify_ops->event(inode, NULL, 0, IN_DELETE_SELF, 0);
}
