/* Changes of names: create, remove, link, rename. The VFS holds the overlay directories' dir_locks
 * exclusively; here the upper directories' are taken as well. */
#include <errno.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "vfs/cred.h"
#include "vfs/overlay/overlay_impl.h"
#include "vfs/vfs.h"

static void changed(struct ovl_inode *dir)
{
	atomic_fetch_add(&dir->version, 1);
}

static int upper_dir(struct inode *dir, struct inode **out)
{
	int r = ovl_copy_up(ovl_i(dir), 0);

	if (r == 0)
		*out = ovl_upper(ovl_i(dir));
	return r;
}

/* The name is free in the upper. */
static int whiteout_put_locked(struct overlay *o, struct inode *upper, const char *name, size_t len)
{
	return o->whiteout ? upper->ops->link(upper, name, len, o->whiteout) : 0;
}

/* Removes a whiteout from a name that is to be used: 1 if there was one. */
static int whiteout_drop_locked(struct inode *upper, const char *name, size_t len)
{
	AUTO(inode) struct inode *found = NULL;
	int r = upper->ops->lookup(upper, name, len, &found);

	if (r < 0)
		return r == -ENOENT ? 0 : r;
	if (!ovl_is_whiteout(found))
		return -EEXIST;
	r = upper->ops->unlink(upper, name, len, found);
	return r < 0 ? r : 1;
}

/* ---- create -------------------------------------------------------------------------------- */

struct make_args {
	uint32_t mode;
	uint64_t rdev;
	const char *target;
	const struct cred *cred;
};

static int make_upper_locked(struct inode *upper, const char *name, size_t len,
			     const struct make_args *a, bool opaque, struct inode **out)
{
	int r;

	switch (a->mode & S_IFMT) {
	case S_IFDIR:
		r = upper->ops->mkdir(upper, name, len, a->mode & 07777, a->cred, out);
		break;
	case S_IFLNK:
		r = upper->ops->symlink(upper, name, len, a->target, a->cred, out);
		break;
	default:
		r = upper->ops->mknod(upper, name, len, a->mode, a->rdev, a->cred, out);
	}
	if (r < 0 || !opaque || !S_ISDIR(a->mode))
		return r;
	r = ovl_set_opaque(*out);
	if (r < 0) {
		upper->ops->rmdir(upper, name, len, *out);
		inode_put(*out);
	}
	return r;
}

static int make(struct inode *dir, const char *name, size_t len, const struct make_args *a,
		struct inode **out)
{
	struct ovl_inode *di = ovl_i(dir);
	struct inode *upper = NULL, *made, *result;
	struct ovl_lower *none;
	int r, hidden;

	r = upper_dir(dir, &upper);
	if (r < 0)
		return r;
	{
		AUTO_WRLOCK(&upper->dir_lock);
		hidden = whiteout_drop_locked(upper, name, len);
		if (hidden < 0)
			return hidden;
		r = make_upper_locked(upper, name, len, a, hidden, &made);
		if (r < 0 && hidden)
			whiteout_put_locked(di->o, upper, name, len);
	}
	if (r < 0)
		return r;
	changed(di);
	none = calloc(1, sizeof(*none));
	if (!none) {
		inode_put(made);
		return -ENOMEM;
	}
	r = ovl_inode_get(di->o, made, none, 0, di, name, len, &result);
	if (r < 0)
		return r;
	ovl_i(result)->fresh = !hidden;
	*out = result;
	return 0;
}

static int ovl_mknod(struct inode *dir, const char *name, size_t len, uint32_t mode, uint64_t rdev,
		     const struct cred *cred, struct inode **out)
{
	struct make_args a = {.mode = mode, .rdev = rdev, .cred = cred};

	if (S_ISCHR(mode) && rdev == 0)
		return -EPERM; /* would be a whiteout */
	return make(dir, name, len, &a, out);
}

static int ovl_mkdir(struct inode *dir, const char *name, size_t len, uint32_t mode,
		     const struct cred *cred, struct inode **out)
{
	struct make_args a = {.mode = S_IFDIR | (mode & 07777), .cred = cred};

	return make(dir, name, len, &a, out);
}

static int ovl_symlink(struct inode *dir, const char *name, size_t len, const char *target,
		       const struct cred *cred, struct inode **out)
{
	struct make_args a = {.mode = S_IFLNK | 0777, .target = target, .cred = cred};

	return make(dir, name, len, &a, out);
}

static int ovl_tmpfile(struct inode *dir, uint32_t mode, const struct cred *cred,
		       struct inode **out)
{
	struct ovl_lower *none;
	struct inode *upper = NULL, *made;
	int r = upper_dir(dir, &upper);

	if (r < 0)
		return r;
	r = upper->ops->tmpfile(upper, mode, cred, &made);
	if (r < 0)
		return r;
	none = calloc(1, sizeof(*none));
	if (!none) {
		inode_put(made);
		return -ENOMEM;
	}
	return ovl_inode_get(ovl_i(dir)->o, made, none, 0, NULL, NULL, 0, out);
}

static int ovl_link(struct inode *dir, const char *name, size_t len, struct inode *target)
{
	struct ovl_inode *di = ovl_i(dir);
	struct inode *upper = NULL;
	int r, hidden;

	r = upper_dir(dir, &upper);
	if (r == 0)
		r = ovl_copy_up(ovl_i(target), 0);
	if (r < 0)
		return r;
	AUTO_WRLOCK(&upper->dir_lock);
	hidden = whiteout_drop_locked(upper, name, len);
	if (hidden < 0)
		return hidden;
	r = upper->ops->link(upper, name, len, ovl_upper(ovl_i(target)));
	if (r < 0 && hidden)
		whiteout_put_locked(di->o, upper, name, len);
	changed(di);
	return r;
}

/* ---- remove -------------------------------------------------------------------------------- */

struct name_list {
	struct ovl_scan scan;
	char **names;
	size_t n, cap;
};

static int collect_name(struct ovl_scan *s, const char *name, size_t len, uint64_t ino,
			unsigned type)
{
	struct name_list *l = container_of(s, struct name_list, scan);

	if (l->n == l->cap) {
		size_t cap = l->cap ? l->cap * 2 : 16;
		char **names = realloc(l->names, cap * sizeof(*names));

		if (!names)
			return -ENOMEM;
		l->names = names;
		l->cap = cap;
	}
	l->names[l->n] = strndup(name, len);
	return l->names[l->n] ? (l->n++, 0) : -ENOMEM;
}

/* An upper directory that looks empty may hold whiteouts. */
static int clear_whiteouts(struct inode *upper)
{
	struct name_list l = {.scan = {.fn = collect_name}};
	int r = ovl_scan_dir(upper, &l.scan);

	for (size_t i = 0; i < l.n; i++) {
		AUTO_WRLOCK(&upper->dir_lock);
		int hidden = whiteout_drop_locked(upper, l.names[i], strlen(l.names[i]));

		if (hidden < 0 && r == 0)
			r = hidden == -EEXIST ? -ENOTEMPTY : hidden;
		free(l.names[i]);
	}
	free(l.names);
	return r;
}

static bool at_place(struct ovl_inode *oi, struct ovl_inode *dir, const char *name, size_t len)
{
	AUTO_WRLOCK(&oi->copy_mu);
	return oi->parent == dir && oi->name_len == len && memcmp(oi->name, name, len) == 0;
}

static bool is_fresh(struct ovl_inode *oi, struct ovl_inode *dir, const char *name, size_t len)
{
	return oi->fresh && at_place(oi, dir, name, len);
}

/* One of several links of a lower file has gone, without ever having been in the upper. */
static void lower_link_gone(struct ovl_inode *oi)
{
	struct inode *upper = ovl_upper(oi);

	atomic_fetch_add(&oi->lost_links, 1);
	if (upper) {
		AUTO_LOCK(&oi->o->mu);
		struct ovl_record *r = ovl_record_locked(oi->o, upper->ino, false);

		if (r && r->linked && r->lower_links > 0)
			r->lower_links--;
	}
}

/* When no name is left: what is remembered of the upper inode can go. */
static void forget_if_unlinked(struct ovl_inode *oi)
{
	struct inode *upper = ovl_upper(oi);
	struct vfs_attr a;

	if (ovl_getattr(&oi->i, &a) < 0 || a.nlink)
		return;
	atomic_store(&oi->i.no_link, true);
	if (upper)
		ovl_record_drop(oi->o, upper);
}

static int remove_upper_locked(struct overlay *o, struct inode *upper, const char *name, size_t len,
			       bool dir, bool whiteout, bool *was_upper)
{
	AUTO(inode) struct inode *found = NULL;
	int r = upper->ops->lookup(upper, name, len, &found);

	*was_upper = r == 0;
	if (r == 0)
		r = dir ? upper->ops->rmdir(upper, name, len, found)
			: upper->ops->unlink(upper, name, len, found);
	else if (r == -ENOENT)
		r = 0;
	if (r < 0 || !whiteout)
		return r;
	r = whiteout_put_locked(o, upper, name, len);
	if (r < 0 && *was_upper && !dir)
		upper->ops->link(upper, name, len, found);
	return r;
}

static int remove_name(struct inode *dir, const char *name, size_t len, struct inode *child,
		       bool is_dir)
{
	struct ovl_inode *di = ovl_i(dir), *ci = ovl_i(child);
	bool placed = at_place(ci, di, name, len), was_upper;
	struct inode *upper = NULL;
	int r, below;

	if (di->nlowers == 0 || is_fresh(ci, di, name, len))
		below = 0;
	else if (placed && !ovl_upper(ci))
		below = 1; /* it is what the lower has */
	else
		below = ovl_lower_has(di, name, len);
	if (below < 0)
		return below;
	r = upper_dir(dir, &upper);
	if (r < 0)
		return r;
	if (is_dir) {
		r = ovl_dir_empty(ci);
		if (r == 0 && ovl_upper(ci))
			r = clear_whiteouts(ovl_upper(ci));
		if (r < 0)
			return r;
	}
	/* First, so that a copy-up at this moment does not bring the name back. */
	if (placed)
		ovl_set_place(ci, NULL, NULL, 0, false);
	{
		AUTO_WRLOCK(&upper->dir_lock);
		r = remove_upper_locked(di->o, upper, name, len, is_dir, below, &was_upper);
	}
	if (r < 0) {
		if (placed)
			ovl_set_place(ci, di, name, len, false);
		return r;
	}
	if (!was_upper)
		lower_link_gone(ci);
	forget_if_unlinked(ci);
	changed(di);
	return 0;
}

static int ovl_unlink(struct inode *dir, const char *name, size_t len, struct inode *child)
{
	return remove_name(dir, name, len, child, false);
}

static int ovl_rmdir(struct inode *dir, const char *name, size_t len, struct inode *child)
{
	return remove_name(dir, name, len, child, true);
}

/* ---- rename -------------------------------------------------------------------------------- */

/* A directory that moves takes its lowers along; one without must not get those of its new place. */
static int prepare_move(struct ovl_inode *ci, struct ovl_inode *newdir)
{
	struct inode *upper = ovl_upper(ci);
	struct overlay *o = ci->o;
	struct ovl_record *rec;

	if (inode_type(&ci->i) != S_IFDIR)
		return 0;
	if (ci->nlowers == 0)
		return newdir->nlowers ? ovl_set_opaque(upper) : 0;
	if (o->mounted)
		return -EXDEV; /* the next mount would not know of the move; programs copy */
	AUTO_LOCK(&o->mu);
	rec = ovl_record_locked(o, upper->ino, true);
	if (!rec)
		return -ENOMEM;
	rec->ino = ci->i.ino;
	if (rec->moved)
		return 0;
	rec->lowers = ovl_lowers_dup(ci->lowers, ci->nlowers);
	if (!rec->lowers)
		return -ENOMEM;
	rec->nlowers = ci->nlowers;
	rec->moved = true;
	return 0;
}

static void lock_two(struct inode *a, struct inode *b)
{
	if (a > b) {
		struct inode *t = a;

		a = b;
		b = t;
	}
	rwlock_wrlock(&a->dir_lock);
	if (a != b)
		rwlock_wrlock_nested(&b->dir_lock);
}

static void unlock_two(struct inode *a, struct inode *b)
{
	rwlock_unlock(&a->dir_lock);
	if (a != b)
		rwlock_unlock(&b->dir_lock);
}

struct rename_args {
	struct ovl_inode *od, *nd, *child, *target;
	const char *oldname, *newname;
	size_t oldlen, newlen;
	unsigned flags;
	bool below;  /* a lower has something at the old name */
	bool fresh;  /* no layer had anything at the new one */
	bool target_was_upper;
};

/* In the upper; both dir_locks held. */
static int rename_upper_locked(struct rename_args *a, struct inode *ou, struct inode *nu)
{
	AUTO(inode) struct inode *there = NULL;
	int r = nu->ops->lookup(nu, a->newname, a->newlen, &there);

	if (r < 0 && r != -ENOENT)
		return r;
	a->fresh = !there && !a->target;
	a->target_was_upper = there && a->target && there == ovl_upper(a->target);
	r = ou->ops->rename(ou, a->oldname, a->oldlen, ovl_upper(a->child), nu, a->newname,
			    a->newlen, there, a->flags & RENAME_EXCHANGE);
	if (r == 0 && a->below && !(a->flags & RENAME_EXCHANGE))
		r = whiteout_put_locked(a->od->o, ou, a->oldname, a->oldlen);
	return r;
}

static int rename_prepare(struct rename_args *a)
{
	bool exchange = a->flags & RENAME_EXCHANGE;
	int r = ovl_copy_up(a->od, 0);

	if (r == 0)
		r = ovl_copy_up(a->nd, 0);
	if (r == 0)
		r = ovl_copy_up(a->child, 0);
	if (r == 0 && exchange)
		r = ovl_copy_up(a->target, 0);
	if (r == 0 && !exchange && a->target && inode_type(&a->target->i) == S_IFDIR) {
		r = ovl_dir_empty(a->target);
		if (r == 0 && ovl_upper(a->target))
			r = clear_whiteouts(ovl_upper(a->target));
	}
	if (r == 0 && a->od->nlowers &&
	    !is_fresh(a->child, a->od, a->oldname, a->oldlen)) {
		r = ovl_lower_has(a->od, a->oldname, a->oldlen);
		a->below = r > 0;
		r = r < 0 ? r : 0;
	}
	if (r == 0)
		r = prepare_move(a->child, a->nd);
	if (r == 0 && exchange)
		r = prepare_move(a->target, a->od);
	return r;
}

static int ovl_rename(struct inode *olddir, const char *oldname, size_t oldlen, struct inode *child,
		      struct inode *newdir, const char *newname, size_t newlen,
		      struct inode *target, unsigned flags)
{
	struct rename_args a = {
		.od = ovl_i(olddir),
		.nd = ovl_i(newdir),
		.child = ovl_i(child),
		.target = target ? ovl_i(target) : NULL,
		.oldname = oldname,
		.newname = newname,
		.oldlen = oldlen,
		.newlen = newlen,
		.flags = flags,
	};
	bool exchange = flags & RENAME_EXCHANGE, placed = false;
	struct inode *ou, *nu;
	int r;

	if (flags & ~(unsigned)(RENAME_EXCHANGE | RENAME_NOREPLACE) || (exchange && !target))
		return -EINVAL;
	if (target == child)
		return 0;
	r = rename_prepare(&a);
	if (r < 0)
		return r;
	if (target && !exchange) {
		placed = at_place(a.target, a.nd, newname, newlen);
		if (placed)
			ovl_set_place(a.target, NULL, NULL, 0, false);
	}
	ou = ovl_upper(a.od);
	nu = ovl_upper(a.nd);
	lock_two(ou, nu);
	r = rename_upper_locked(&a, ou, nu);
	unlock_two(ou, nu);
	if (r < 0) {
		if (placed)
			ovl_set_place(a.target, a.nd, newname, newlen, false);
		return r;
	}
	ovl_set_place(a.child, a.nd, newname, newlen, a.fresh);
	if (exchange) {
		ovl_set_place(a.target, a.od, oldname, oldlen, false);
	} else if (target) {
		if (!a.target_was_upper)
			lower_link_gone(a.target);
		forget_if_unlinked(a.target);
	}
	changed(a.od);
	changed(a.nd);
	return 0;
}

/* Only where a lower may change under us. */
static int ovl_revalidate(struct inode *dir, const char *name, size_t len, struct inode *child)
{
	struct ovl_inode *di = ovl_i(dir), *ci = child ? ovl_i(child) : NULL;

	if (ci && ovl_upper(ci))
		return 1;
	for (size_t i = 0; i < di->nlowers; i++) {
		struct inode *ld = di->lowers[i].inode, *lc = NULL;

		for (size_t k = 0; ci && k < ci->nlowers; k++)
			if (ci->lowers[k].layer == di->lowers[i].layer)
				lc = ci->lowers[k].inode;
		if (ld->ops->revalidate && !ld->ops->revalidate(ld, name, len, lc))
			return 0;
	}
	return 1;
}

#define DIR_SLOTS                                                                                  \
	.lookup = ovl_lookup, .mknod = ovl_mknod, .mkdir = ovl_mkdir, .symlink = ovl_symlink,      \
	.link = ovl_link, .unlink = ovl_unlink, .rmdir = ovl_rmdir, .rename = ovl_rename,          \
	.tmpfile = ovl_tmpfile, .open = ovl_dir_open, OVL_ATTR_SLOTS

const struct inode_ops ovl_dir_inode_ops = {DIR_SLOTS};
/* A walk is slower where there is something to ask, so only then. */
const struct inode_ops ovl_dir_reval_inode_ops = {DIR_SLOTS, .revalidate = ovl_revalidate};
