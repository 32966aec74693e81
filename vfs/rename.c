/* rename(2), renameat2(2).
 *
 * A rename between directories holds the rename lock, exclusive: no directory moves, so which of two
 * is above the other does not change, and cycles are seen. Then the dir_locks: the upper
 * directory's first if one is above the other, else by address; then those of the directories that are
 * replaced, which lie below both. */
#include <errno.h>
#include <linux/fs.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>

#include "vfs/cred.h"
#include "vfs/fs.h"
#include "vfs/notify.h"
#include "vfs/vfs.h"
#include "vfs/vfs_impl.h"

struct rename_end {
	struct path dir; /* owned */
	struct walk_last last;
	struct dirent *d; /* owned; maybe negative */
};

struct rename_req {
	struct rename_end old, new;
	unsigned flags;
	const struct cred *cred;
};

static bool is_dir(const struct dirent *d)
{
	return !dirent_negative(d) && inode_type(dirent_inode(d)) == S_IFDIR;
}

/* Where no names are cached, one directory may have several dirents. */
static bool same_dir(struct dirent *a, struct dirent *b)
{
	return dirent_inode(a) == dirent_inode(b);
}

static int lock_dirs(struct dirent *a, struct dirent *b)
{
	struct dirent *first = a < b ? a : b, *second = a < b ? b : a;
	int r;

	if (same_dir(a, b))
		return inode_dir_lock(dirent_inode(a), true, false);
	if (dirent_is_below(first, second)) {
		struct dirent *t = first;

		first = second;
		second = t;
	}
	r = inode_dir_lock(dirent_inode(first), true, false);
	if (r < 0)
		return r;
	r = inode_dir_lock(dirent_inode(second), true, true);
	if (r < 0)
		rwlock_unlock(&dirent_inode(first)->dir_lock);
	return r;
}

static void unlock_dirs(struct dirent *a, struct dirent *b)
{
	rwlock_unlock(&dirent_inode(a)->dir_lock);
	if (!same_dir(a, b))
		rwlock_unlock(&dirent_inode(b)->dir_lock);
}

static int check_slashes(const struct rename_req *q)
{
	bool old_slash = q->old.last.trailing_slash, new_slash = q->new.last.trailing_slash;

	if (q->flags & RENAME_EXCHANGE) {
		if ((old_slash && !is_dir(q->old.d)) || (new_slash && !is_dir(q->new.d)))
			return -ENOTDIR;
		return 0;
	}
	return (old_slash || new_slash) && !is_dir(q->old.d) ? -ENOTDIR : 0;
}

/* Write permission on a directory that moves elsewhere: its ".." changes. */
static int check_moving(const struct rename_end *from, const struct rename_end *to,
			const struct cred *cred)
{
	if (from->dir.dirent == to->dir.dirent || !is_dir(from->d))
		return 0;
	return vfs_inode_permission(dirent_inode(from->d), cred, MAY_WRITE);
}

static int check_loops(const struct rename_req *q)
{
	/* Into itself or below. */
	if (dirent_is_below(q->new.dir.dirent, q->old.d) || same_dir(q->new.dir.dirent, q->old.d))
		return -EINVAL;
	/* Onto what contains it. */
	if (dirent_is_below(q->old.dir.dirent, q->new.d) || same_dir(q->old.dir.dirent, q->new.d))
		return q->flags & RENAME_EXCHANGE ? -EINVAL : -ENOTEMPTY;
	return 0;
}

static int check_permission(const struct rename_req *q)
{
	bool exchange = q->flags & RENAME_EXCHANGE;
	int r = may_delete(&q->old.dir, q->old.d, q->cred, is_dir(q->old.d));

	if (r < 0)
		return r;
	if (dirent_negative(q->new.d))
		r = may_create(&q->new.dir, q->cred);
	else
		r = may_delete(&q->new.dir, q->new.d, q->cred,
			       exchange ? is_dir(q->new.d) : is_dir(q->old.d));
	if (r == 0)
		r = check_moving(&q->old, &q->new, q->cred);
	if (r == 0 && exchange)
		r = check_moving(&q->new, &q->old, q->cred);
	return r;
}

static int check(const struct rename_req *q)
{
	int r;

	if (dirent_negative(q->old.d))
		return -ENOENT;
	if (q->flags & RENAME_EXCHANGE && dirent_negative(q->new.d))
		return -ENOENT;
	if (q->flags & RENAME_NOREPLACE && !dirent_negative(q->new.d))
		return -EEXIST;
	r = check_slashes(q);
	if (r == 0)
		r = check_loops(q);
	return r < 0 ? r : check_permission(q);
}

static int call_fs(const struct rename_req *q)
{
	struct inode *odir = dirent_inode(q->old.dir.dirent), *ndir = dirent_inode(q->new.dir.dirent);
	struct inode *child = dirent_inode(q->old.d), *target = dirent_inode(q->new.d);
	bool lock_target = target && inode_type(target) == S_IFDIR && !(q->flags & RENAME_EXCHANGE);
	int r;

	if (!odir->ops->rename)
		return -EPERM;
	r = lock_target ? inode_dir_lock(target, true, true) : 0;
	if (r < 0)
		return r;
	r = odir->ops->rename(odir, q->old.last.name, q->old.last.len, child, ndir,
			      q->new.last.name, q->new.last.len, target, q->flags);
	if (lock_target)
		rwlock_unlock(&target->dir_lock);
	return r;
}

static void move_names(const struct rename_req *q)
{
	if (q->flags & RENAME_EXCHANGE) {
		dirent_exchange(q->old.d, q->new.d);
		return;
	}
	dirent_move(q->old.d, q->new.dir.dirent, q->new.last.name, q->new.last.len);
	if (!(q->flags & RENAME_WHITEOUT))
		dirent_remember_gone(q->old.dir.dirent, q->old.last.name, q->old.last.len);
}

/* What is left behind belongs to the caller, as if made by mknod(2). */
static void own_whiteout(const struct rename_req *q)
{
	struct vfs_setattr sa = {.mask = ATTR_UID | ATTR_GID, .uid = q->cred->fsuid, .gid = q->cred->fsgid};
	AUTO(dirent) struct dirent *d = NULL;
	struct inode *i;

	if (dirent_lookup_locked(q->old.dir.dirent, q->old.last.name, q->old.last.len, &d) < 0)
		return;
	i = dirent_inode(d);
	if (i && inode_type(i) == S_IFCHR && i->ops->setattr)
		i->ops->setattr(i, &sa);
}

/* 1: old and new are one file, nothing is to be done. */
static int rename_locked(struct rename_req *q)
{
	int r = dirent_lookup_locked(q->old.dir.dirent, q->old.last.name, q->old.last.len, &q->old.d);

	if (r < 0)
		return r;
	if (dirent_negative(q->old.d))
		return -ENOENT;
	r = dirent_lookup_locked(q->new.dir.dirent, q->new.last.name, q->new.last.len, &q->new.d);
	if (r < 0)
		return r;
	r = check(q);
	if (r < 0)
		return r;
	if (dirent_inode(q->old.d) == dirent_inode(q->new.d))
		return 1;
	r = call_fs(q);
	if (r == 0) {
		move_names(q);
		if (q->flags & RENAME_WHITEOUT)
			own_whiteout(q);
	} else if (r == -ENOENT) {
		dirent_unhash(q->old.d); /* shared with others, and stale */
	}
	return r;
}

static void notify_renamed(const struct rename_req *q)
{
	static atomic_uint next_cookie = 1;
	struct inode *i = dirent_inode(q->old.d), *target = dirent_inode(q->new.d);
	uint32_t isdir = is_dir(q->old.d) ? IN_ISDIR : 0;
	uint32_t cookie;

	if (!notify_ops)
		return;
	cookie = atomic_fetch_add(&next_cookie, 1);
	notify_dir(dirent_inode(q->old.dir.dirent), q->old.last.name, q->old.last.len,
		   IN_MOVED_FROM | isdir, cookie);
	notify_dir(dirent_inode(q->new.dir.dirent), q->new.last.name, q->new.last.len,
		   IN_MOVED_TO | isdir, cookie);
	notify_inode(i, IN_MOVE_SELF);
	if (target && !(q->flags & RENAME_EXCHANGE)) {
		notify_inode(target, IN_ATTRIB);
		notify_gone(target);
	}
}

static int rename_ends(struct rename_req *q)
{
	bool cross = q->old.dir.dirent != q->new.dir.dirent;
	int r;

	if (q->old.dir.mount != q->new.dir.mount)
		return -EXDEV;
	if (q->old.last.kind != LAST_NORMAL || q->new.last.kind != LAST_NORMAL)
		return q->flags & RENAME_NOREPLACE && q->new.last.kind != LAST_NORMAL &&
				       q->old.last.kind == LAST_NORMAL
			       ? -EEXIST
			       : -EBUSY;
	if (cross) {
		r = rwlock_take_unless(&dirent_rename_lock, true, false, vfs_killed);
		if (r < 0)
			return r;
	}
	r = lock_dirs(q->old.dir.dirent, q->new.dir.dirent);
	if (r == 0) {
		r = rename_locked(q);
		unlock_dirs(q->old.dir.dirent, q->new.dir.dirent);
	}
	if (cross)
		rwlock_unlock(&dirent_rename_lock);
	if (r == 0)
		notify_renamed(q);
	return r < 0 ? r : 0;
}

static void rename_done(struct rename_req *q)
{
	dirent_put(q->old.d);
	dirent_put(q->new.d);
	path_put(&q->old.dir);
	path_put(&q->new.dir);
}

int vfs_rename(const struct walk_ctx *octx, const char *oldpath, const struct walk_ctx *nctx,
	       const char *newpath, unsigned flags)
{
	struct rename_req q;
	int r;

	if (flags & ~(unsigned)(RENAME_NOREPLACE | RENAME_EXCHANGE | RENAME_WHITEOUT))
		return -EINVAL;
	if (flags & RENAME_EXCHANGE && flags & (RENAME_NOREPLACE | RENAME_WHITEOUT))
		return -EINVAL;
	memset(&q.old.dir, 0, sizeof(q.old.dir));
	memset(&q.new.dir, 0, sizeof(q.new.dir));
	q.old.d = q.new.d = NULL;
	q.flags = flags;
	q.cred = octx->cred;
	r = vfs_walk_parent(octx, oldpath, 0, &q.old.dir, &q.old.last);
	if (r == 0)
		r = vfs_walk_parent(nctx, newpath, 0, &q.new.dir, &q.new.last);
	if (r == 0)
		r = rename_ends(&q);
	rename_done(&q);
	return r;
}
