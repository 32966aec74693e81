/* Making and removing names. */
#include <errno.h>
#include <linux/capability.h>
#include <linux/limits.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>

#include "vfs/cred.h"
#include "vfs/fs.h"
#include "vfs/notify.h"
#include "vfs/vfs.h"
#include "vfs/vfs_impl.h"

static int may_change(const struct path *dir, const struct cred *cred)
{
	int r;

	if (dirent_has(dir->dirent, DIRENT_UNHASHED))
		return -ENOENT;
	r = path_writable(dir);
	return r < 0 ? r : vfs_inode_permission(dirent_inode(dir->dirent), cred,
						MAY_WRITE | MAY_EXEC);
}

int may_create(const struct path *dir, const struct cred *cred)
{
	return may_change(dir, cred);
}

int may_delete(const struct path *dir, struct dirent *victim, const struct cred *cred, bool isdir)
{
	struct inode *child = dirent_inode(victim);
	int r;

	if (!child)
		return -ENOENT;
	r = may_change(dir, cred);
	if (r == 0)
		r = sticky_check(dirent_inode(dir->dirent), child, cred);
	if (r < 0)
		return r;
	if (isdir != (inode_type(child) == S_IFDIR))
		return isdir ? -ENOTDIR : -EISDIR;
	if (dirent_has(victim, DIRENT_MOUNTPOINT | DIRENT_ROOT))
		return -EBUSY;
	return 0;
}

/* What is to be made. */
struct make {
	uint32_t mode; /* with the type; S_IFLNK and S_IFDIR have operations of their own */
	uint64_t rdev;
	const char *target;
	struct inode *link; /* link(2) */
	const struct cred *cred;
};

static int make_inode(struct inode *dir, const struct walk_last *n, const struct make *m,
		      struct inode **out)
{
	const struct inode_ops *ops = dir->ops;
	int r;

	if (m->link) {
		if (!ops->link || inode_type(m->link) == S_IFDIR)
			return -EPERM;
		if (atomic_load(&m->link->no_link))
			return -ENOENT;
		r = ops->link(dir, n->name, n->len, m->link);
		if (r == 0)
			*out = inode_get(m->link);
		return r;
	}
	if (S_ISDIR(m->mode))
		return ops->mkdir ? ops->mkdir(dir, n->name, n->len, m->mode, m->cred, out)
				  : -EPERM;
	if (S_ISLNK(m->mode))
		return ops->symlink ? ops->symlink(dir, n->name, n->len, m->target, m->cred, out)
				    : -EPERM;
	return ops->mknod ? ops->mknod(dir, n->name, n->len, m->mode, m->rdev, m->cred, out)
			  : -EPERM;
}

static int make_locked(const struct path *parent, const struct walk_last *n, const struct make *m,
		       struct dirent **out)
{
	struct inode *dir = dirent_inode(parent->dirent), *child;
	AUTO(dirent) struct dirent *d = NULL;
	int r = inode_dir_lock(dir, true, false);

	if (r < 0)
		return r;
	AUTO(rwunlock) struct rwlock *locked = &dir->dir_lock;
	r = dirent_lookup_locked(parent->dirent, n->name, n->len, &d);
	if (r < 0)
		return r;
	if (!dirent_negative(d))
		return -EEXIST;
	/* mkdir("new/") is fine; anything else with a slash behind does not name a directory. */
	if (n->trailing_slash && !S_ISDIR(m->mode))
		return -ENOENT;
	if (m->link && dir->fs != m->link->fs)
		return -EXDEV;
	r = may_create(parent, m->cred);
	if (r == 0)
		r = make_inode(dir, n, m, &child);
	if (r < 0) {
		if (r == -EEXIST) /* shared with others, and stale */
			dirent_unhash(d);
		return r;
	}
	dirent_instantiate(d, child);
	*out = steal(&d);
	return 0;
}

/* Makes path; *out, if wanted, is the new place. */
static int make_name(const struct walk_ctx *ctx, const char *path, const struct make *m,
		     struct path *out)
{
	AUTO(path) struct path parent = {0};
	AUTO(dirent) struct dirent *d = NULL;
	struct walk_last last;
	int r = vfs_walk_parent(ctx, path, 0, &parent, &last);

	if (r < 0)
		return r;
	if (last.kind != LAST_NORMAL)
		return -EEXIST;
	r = make_locked(&parent, &last, m, &d);
	if (r < 0)
		return r;
	if (m->link)
		notify_inode(m->link, IN_ATTRIB);
	notify_dir(dirent_inode(parent.dirent), last.name, last.len,
		   IN_CREATE | (S_ISDIR(m->mode) ? IN_ISDIR : 0), 0);
	if (out)
		*out = (struct path){mount_get(parent.mount), steal(&d)};
	return 0;
}

int vfs_mknod_path(const struct walk_ctx *ctx, const char *path, uint32_t mode, uint64_t rdev,
		   struct path *out)
{
	struct make m = {.mode = mode, .rdev = rdev, .cred = ctx->cred};

	if (!(mode & S_IFMT))
		m.mode |= S_IFREG;
	switch (m.mode & S_IFMT) {
	case S_IFCHR:
	case S_IFBLK:
		/* The whiteout, device 0/0, is anybody's. */
		if (!(S_ISCHR(m.mode) && rdev == 0) && !cred_capable(ctx->cred, CAP_MKNOD))
			return -EPERM;
		break;
	case S_IFREG:
	case S_IFIFO:
	case S_IFSOCK:
		m.rdev = 0;
		break;
	case S_IFDIR:
		return -EPERM;
	default:
		return -EINVAL;
	}
	return make_name(ctx, path, &m, out);
}

int vfs_mknod(const struct walk_ctx *ctx, const char *path, uint32_t mode, uint64_t rdev)
{
	return vfs_mknod_path(ctx, path, mode, rdev, NULL);
}

int vfs_mkdir(const struct walk_ctx *ctx, const char *path, uint32_t mode)
{
	struct make m = {.mode = S_IFDIR | (mode & 01777), .cred = ctx->cred};

	return make_name(ctx, path, &m, NULL);
}

int vfs_symlink(const struct walk_ctx *ctx, const char *target, const char *path)
{
	struct make m = {.mode = S_IFLNK | 0777, .target = target, .cred = ctx->cred};

	if (!*target)
		return -ENOENT;
	if (strlen(target) >= PATH_MAX)
		return -ENAMETOOLONG;
	return make_name(ctx, path, &m, NULL);
}

int vfs_link(const struct path *old, const struct walk_ctx *ctx, const char *path)
{
	struct make m = {.link = dirent_inode(old->dirent), .mode = S_IFREG, .cred = ctx->cred};

	return make_name(ctx, path, &m, NULL);
}

static int remove_locked(const struct path *parent, const struct walk_last *n,
			 const struct cred *cred, bool isdir, struct dirent **out)
{
	struct inode *dir = dirent_inode(parent->dirent), *child;
	AUTO(dirent) struct dirent *d = NULL;
	int r = inode_dir_lock(dir, true, false);

	if (r < 0)
		return r;
	AUTO(rwunlock) struct rwlock *locked = &dir->dir_lock;
	r = dirent_lookup_locked(parent->dirent, n->name, n->len, &d);
	if (r < 0)
		return r;
	r = may_delete(parent, d, cred, isdir);
	child = dirent_inode(d);
	/* unlink("file/"): the slash says directory, and it is none. */
	if (!isdir && n->trailing_slash && child)
		return inode_type(child) == S_IFDIR ? -EISDIR : -ENOTDIR;
	if (r < 0)
		return r;
	if (isdir) {
		/* Nothing is made inside meanwhile. */
		r = inode_dir_lock(child, true, true);
		if (r < 0)
			return r;
		r = dir->ops->rmdir ? dir->ops->rmdir(dir, n->name, n->len, child) : -EPERM;
		if (r == 0)
			dirent_unhash(d);
		rwlock_unlock(&child->dir_lock);
	} else {
		r = dir->ops->unlink ? dir->ops->unlink(dir, n->name, n->len, child) : -EPERM;
		if (r == 0)
			dirent_unhash(d);
	}
	if (r < 0) {
		if (r == -ENOENT)
			dirent_unhash(d);
		return r;
	}
	dirent_remember_gone(parent->dirent, n->name, n->len);
	*out = steal(&d);
	return 0;
}

static int remove_name(const struct walk_ctx *ctx, const char *path, bool isdir)
{
	AUTO(path) struct path parent = {0};
	AUTO(dirent) struct dirent *d = NULL;
	struct walk_last last;
	struct inode *child;
	int r = vfs_walk_parent(ctx, path, 0, &parent, &last);

	if (r < 0)
		return r;
	if (last.kind != LAST_NORMAL) {
		if (!isdir)
			return -EISDIR;
		return last.kind == LAST_DOT ? -EINVAL : last.kind == LAST_DOTDOT ? -ENOTEMPTY : -EBUSY;
	}
	r = remove_locked(&parent, &last, ctx->cred, isdir, &d);
	if (r < 0)
		return r;
	if (isdir)
		dirent_prune(d);
	child = dirent_inode(d);
	if (!isdir)
		notify_inode(child, IN_ATTRIB);
	notify_gone(child);
	notify_dir(dirent_inode(parent.dirent), last.name, last.len,
		   IN_DELETE | (isdir ? IN_ISDIR : 0), 0);
	return 0;
}

int vfs_unlink(const struct walk_ctx *ctx, const char *path)
{
	return remove_name(ctx, path, false);
}

int vfs_rmdir(const struct walk_ctx *ctx, const char *path)
{
	return remove_name(ctx, path, true);
}
