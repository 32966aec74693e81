/* tmpfs directories.
 *
 * Each name is in two structures: a hash table, for lookup, and a tree ordered by a cookie that is
 * never used twice in a directory, for readdir. A position in a listing is "the first cookie not
 * yet shown", so names that come and go in between neither hide others nor show them twice. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "vfs/cred.h"
#include "vfs/file.h"
#include "vfs/tmpfs/tmpfs_impl.h"
#include "vfs/vfs.h"

struct name_key {
	const char *name;
	size_t len;
};

static bool name_eq(const struct hnode *n, const void *key)
{
	const struct tmpfs_name *tn = container_of((struct hnode *)n, struct tmpfs_name, hash);
	const struct name_key *k = key;

	return tn->len == k->len && memcmp(tn->name, k->name, k->len) == 0;
}

static struct tmpfs_name *name_find(struct tmpfs_inode *dir, const char *name, size_t len)
{
	struct name_key key = {name, len};
	struct hnode *n = htable_find(&dir->names, hash_bytes(name, len), name_eq, &key);

	return n ? container_of(n, struct tmpfs_name, hash) : NULL;
}

static int cookie_cmp(const struct rb_node *a, const struct rb_node *b)
{
	uint64_t ca = rb_entry((struct rb_node *)a, struct tmpfs_name, node)->cookie;
	uint64_t cb = rb_entry((struct rb_node *)b, struct tmpfs_name, node)->cookie;

	return ca < cb ? -1 : ca > cb;
}

/* Takes over the caller's reference on child, on success. */
static int name_add(struct tmpfs_inode *dir, const char *name, size_t len,
		    struct tmpfs_inode *child)
{
	struct tmpfs_name *tn = malloc(sizeof(*tn) + len + 1);

	if (!tn)
		return -ENOMEM;
	memcpy(tn->name, name, len);
	tn->name[len] = 0;
	tn->len = (uint32_t)len;
	tn->child = child;
	tn->cookie = dir->next_cookie;
	if (htable_insert(&dir->names, &tn->hash, hash_bytes(name, len)) < 0) {
		free(tn);
		return -ENOMEM;
	}
	dir->next_cookie++;
	rb_insert(&dir->order, &tn->node, cookie_cmp);
	return 0;
}

/* The child, with the table's reference. */
static struct tmpfs_inode *name_remove(struct tmpfs_inode *dir, struct tmpfs_name *tn)
{
	struct tmpfs_inode *child = tn->child;

	htable_remove(&dir->names, &tn->hash);
	rb_erase(&dir->order, &tn->node);
	free(tn);
	return child;
}

/* Trees can be deep, so not by recursion: a child that dies with its name hands its own names over
 * to the list first. */
void tmpfs_dir_clear(struct tmpfs_inode *ti)
{
	struct rb_node *n, *m;

	htable_destroy(&ti->names);
	while ((n = rb_first(&ti->order))) {
		struct tmpfs_name *tn = rb_entry(n, struct tmpfs_name, node);
		struct tmpfs_inode *child = tn->child;

		rb_erase(&ti->order, n);
		free(tn);
		if (inode_type(&child->i) == S_IFDIR && ref_count(&child->i.ref) == 1) {
			while ((m = rb_first(&child->order))) {
				rb_erase(&child->order, m);
				rb_entry(m, struct tmpfs_name, node)->cookie = ti->next_cookie++;
				rb_insert(&ti->order, m, cookie_cmp);
			}
		}
		inode_put(&child->i);
	}
}

static int dir_lookup(struct inode *dir, const char *name, size_t len, struct inode **out)
{
	struct tmpfs_name *tn = name_find(tmpfs_i(dir), name, len);

	if (!tn)
		return -ENOENT;
	*out = inode_get(&tn->child->i);
	return 0;
}

static int make(struct inode *dir, const char *name, size_t len, uint32_t mode, uint64_t rdev,
		const char *target, const struct cred *cred, struct inode **out)
{
	struct tmpfs_inode *d = tmpfs_i(dir), *ti;
	uint32_t uid, gid;
	int r;

	if (d->dead)
		return -ENOENT;
	vfs_init_owner(dir, cred, &mode, &uid, &gid);
	r = tmpfs_inode_new(d->t, mode, rdev, uid, gid, &ti);
	if (r < 0)
		return r;
	if (target) {
		ti->target = strdup(target);
		r = ti->target ? 0 : -ENOMEM;
	}
	if (r == 0)
		r = name_add(d, name, len, ti);
	if (r < 0) {
		inode_put(&ti->i);
		return r;
	}
	ti->parent_ino = dir->ino;
	if (S_ISDIR(mode))
		tmpfs_add_link(d, 1);
	tmpfs_touch(d, true);
	*out = inode_get(&ti->i);
	return 0;
}

static int dir_mknod(struct inode *dir, const char *name, size_t len, uint32_t mode, uint64_t rdev,
		     const struct cred *cred, struct inode **out)
{
	return make(dir, name, len, mode, rdev, NULL, cred, out);
}

static int dir_mkdir(struct inode *dir, const char *name, size_t len, uint32_t mode,
		     const struct cred *cred, struct inode **out)
{
	return make(dir, name, len, S_IFDIR | (mode & 07777), 0, NULL, cred, out);
}

static int dir_symlink(struct inode *dir, const char *name, size_t len, const char *target,
		       const struct cred *cred, struct inode **out)
{
	return make(dir, name, len, S_IFLNK | 0777, 0, target, cred, out);
}

static int dir_link(struct inode *dir, const char *name, size_t len, struct inode *target)
{
	struct tmpfs_inode *d = tmpfs_i(dir), *ti = tmpfs_i(target);
	int r;

	if (d->dead)
		return -ENOENT;
	r = name_add(d, name, len, ti);
	if (r < 0)
		return r;
	inode_get(target);
	tmpfs_add_link(ti, 1);
	tmpfs_touch(d, true);
	return 0;
}

static int dir_unlink(struct inode *dir, const char *name, size_t len, struct inode *child)
{
	struct tmpfs_inode *d = tmpfs_i(dir);
	struct tmpfs_name *tn = name_find(d, name, len);

	if (!tn || &tn->child->i != child)
		return -ENOENT;
	name_remove(d, tn);
	tmpfs_touch(d, true);
	tmpfs_add_link(tmpfs_i(child), -1);
	inode_put(child); /* the table's; the caller has its own */
	return 0;
}

/* The child's dir_lock is held by the VFS too, or nobody can change it: it is checked here. */
static int dir_rmdir(struct inode *dir, const char *name, size_t len, struct inode *child)
{
	struct tmpfs_inode *d = tmpfs_i(dir), *ti = tmpfs_i(child);
	struct tmpfs_name *tn = name_find(d, name, len);

	if (!tn || &tn->child->i != child)
		return -ENOENT;
	if (ti->names.count)
		return -ENOTEMPTY;
	ti->dead = true;
	name_remove(d, tn);
	tmpfs_add_link(ti, -2);
	tmpfs_add_link(d, -1);
	tmpfs_touch(d, true);
	inode_put(child);
	return 0;
}

static int rename_exchange(struct tmpfs_inode *od, struct tmpfs_name *on, struct tmpfs_inode *nd,
			   struct tmpfs_name *nn)
{
	struct tmpfs_inode *a = on->child, *b = nn->child;
	bool adir = inode_type(&a->i) == S_IFDIR, bdir = inode_type(&b->i) == S_IFDIR;

	on->child = b;
	nn->child = a;
	a->parent_ino = nd->i.ino;
	b->parent_ino = od->i.ino;
	if (od != nd && adir != bdir) {
		tmpfs_add_link(od, bdir ? 1 : -1);
		tmpfs_add_link(nd, adir ? 1 : -1);
	}
	tmpfs_touch(a, false);
	tmpfs_touch(b, false);
	return 0;
}

/* Drops what `target` was at the new name, which now belongs to something else. */
static void rename_replaced(struct tmpfs_inode *nd, struct tmpfs_inode *target)
{
	bool dir = inode_type(&target->i) == S_IFDIR;

	target->dead = dir;
	tmpfs_add_link(target, dir ? -2 : -1);
	if (dir)
		tmpfs_add_link(nd, -1);
	inode_put(&target->i);
}

static int dir_rename(struct inode *olddir, const char *oldname, size_t oldlen,
		      struct inode *child, struct inode *newdir, const char *newname,
		      size_t newlen, struct inode *target, unsigned flags)
{
	struct tmpfs_inode *od = tmpfs_i(olddir), *nd = tmpfs_i(newdir), *moved = tmpfs_i(child);
	struct tmpfs_name *on = name_find(od, oldname, oldlen), *nn;
	struct tmpfs_inode *whiteout = NULL;
	bool dir = inode_type(child) == S_IFDIR;
	int r;

	if (target == child)
		return 0; /* two links of one file */
	if (!on || on->child != moved || nd->dead)
		return -ENOENT;
	nn = name_find(nd, newname, newlen);
	if ((nn ? &nn->child->i : NULL) != target)
		return -ENOENT;
	if (flags & RENAME_EXCHANGE) {
		if (!nn)
			return -ENOENT;
		r = rename_exchange(od, on, nd, nn);
		tmpfs_touch(od, true);
		tmpfs_touch(nd, true);
		return r;
	}
	if (target && inode_type(target) == S_IFDIR && tmpfs_i(target)->names.count)
		return -ENOTEMPTY;
	if (flags & RENAME_WHITEOUT) {
		r = tmpfs_inode_new(od->t, S_IFCHR, makedev(0, 0), 0, 0, &whiteout);
		if (r < 0)
			return r;
	}
	if (nn) {
		struct tmpfs_inode *old = nn->child;

		nn->child = moved;
		rename_replaced(nd, old);
	} else {
		r = name_add(nd, newname, newlen, moved);
		if (r < 0) {
			if (whiteout)
				inode_put(&whiteout->i);
			return r;
		}
	}
	if (whiteout)
		on->child = whiteout;
	else
		name_remove(od, on);
	moved->parent_ino = newdir->ino;
	if (dir && od != nd) {
		tmpfs_add_link(od, -1);
		tmpfs_add_link(nd, 1);
	}
	tmpfs_touch(moved, false);
	tmpfs_touch(od, true);
	if (od != nd)
		tmpfs_touch(nd, true);
	return 0;
}

int tmpfs_dir_tmpfile(struct inode *dir, uint32_t mode, const struct cred *cred,
		      struct inode **out)
{
	struct tmpfs_inode *ti;
	uint32_t uid, gid;
	int r;

	mode = S_IFREG | (mode & 07777);
	vfs_init_owner(dir, cred, &mode, &uid, &gid);
	r = tmpfs_inode_new(tmpfs_i(dir)->t, mode, 0, uid, gid, &ti);
	if (r < 0)
		return r;
	ti->nlink = 0;
	*out = &ti->i;
	return 0;
}

/* ---- listing ------------------------------------------------------------------------------- */

static bool cookie_at_or_after(const struct rb_node *n, const void *key)
{
	return rb_entry((struct rb_node *)n, struct tmpfs_name, node)->cookie >=
	       *(const uint64_t *)key;
}

static int dir_readdir(struct file *f, uint64_t *pos, struct dir_sink *sink)
{
	struct tmpfs_inode *ti = tmpfs_i(f->inode);

	AUTO_RDLOCK(&f->inode->dir_lock);
	if (*pos == 0) {
		if (!sink->emit(sink, ".", 1, f->inode->ino, DT_DIR, 1))
			return 0;
		*pos = 1;
	}
	if (*pos == 1) {
		if (!sink->emit(sink, "..", 2, ti->parent_ino, DT_DIR, 2))
			return 0;
		*pos = 2;
	}
	for (struct rb_node *n = rb_lower_bound(&ti->order, cookie_at_or_after, pos); n;
	     n = rb_next(n)) {
		struct tmpfs_name *tn = rb_entry(n, struct tmpfs_name, node);

		if (!sink->emit(sink, tn->name, tn->len, tn->child->i.ino,
				inode_type(&tn->child->i) >> 12, tn->cookie + 1))
			return 0;
		*pos = tn->cookie + 1;
	}
	tmpfs_accessed(ti, f);
	return 0;
}

static int64_t dir_seek(struct file *f, int64_t off, int whence)
{
	if (whence == SEEK_CUR)
		off += (int64_t)f->pos;
	else if (whence != SEEK_SET)
		return -EINVAL;
	return off < 0 ? -EINVAL : off;
}

static int dir_open(struct inode *inode, struct file *f)
{
	f->ops = &tmpfs_dir_ops;
	f->mode |= FILE_SEEKABLE;
	return 0;
}

const struct file_ops tmpfs_dir_ops = {
	.readdir = dir_readdir,
	.seek = dir_seek,
};

#define ATTR_SLOTS                                                                                 \
	.getattr = tmpfs_getattr, .setattr = tmpfs_setattr, .getxattr = tmpfs_getxattr,            \
	.setxattr = tmpfs_setxattr, .listxattr = tmpfs_listxattr,                                  \
	.removexattr = tmpfs_removexattr, .statfs = tmpfs_statfs, .release = tmpfs_inode_release

const struct inode_ops tmpfs_dir_inode_ops = {
	.lookup = dir_lookup,
	.mknod = dir_mknod,
	.mkdir = dir_mkdir,
	.symlink = dir_symlink,
	.link = dir_link,
	.unlink = dir_unlink,
	.rmdir = dir_rmdir,
	.rename = dir_rename,
	.tmpfile = tmpfs_dir_tmpfile,
	.open = dir_open,
	ATTR_SLOTS,
};

const struct inode_ops tmpfs_file_inode_ops = {.open = tmpfs_file_open, ATTR_SLOTS};
const struct inode_ops tmpfs_link_inode_ops = {.readlink = tmpfs_readlink, ATTR_SLOTS};
const struct inode_ops tmpfs_special_inode_ops = {ATTR_SLOTS};
