/* Lookup: which layers have a name, and what they make together. */
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "vfs/overlay/overlay_impl.h"
#include "vfs/vfs.h"

bool ovl_is_whiteout(struct inode *real)
{
	struct vfs_attr a;

	return inode_type(real) == S_IFCHR && real->ops->getattr &&
	       real->ops->getattr(real, &a) == 0 && a.rdev == 0;
}

bool ovl_is_opaque(struct inode *real)
{
	char v = 0;

	return real->ops->getxattr && real->ops->getxattr(real, OVL_XATTR_OPAQUE, &v, 1) == 1 &&
	       v == 'y';
}

int ovl_set_opaque(struct inode *upper)
{
	return upper->ops->setxattr ? upper->ops->setxattr(upper, OVL_XATTR_OPAQUE, "y", 1, 0)
				    : -EOPNOTSUPP;
}

int ovl_layer_lookup(struct inode *dir, const char *name, size_t len, struct inode **out)
{
	if (!dir->ops->lookup)
		return -ENOENT;
	AUTO_RDLOCK(&dir->dir_lock);
	return dir->ops->lookup(dir, name, len, out);
}

int ovl_lower_has(struct ovl_inode *dir, const char *name, size_t len)
{
	for (size_t i = 0; i < dir->nlowers; i++) {
		AUTO(inode) struct inode *found = NULL;
		int r = ovl_layer_lookup(dir->lowers[i].inode, name, len, &found);

		if (r == 0)
			return !ovl_is_whiteout(found);
		if (r != -ENOENT)
			return r;
	}
	return 0;
}

/* What the layers have, top to bottom. */
struct found {
	struct inode *upper;
	struct ovl_lower *lowers;
	size_t nlowers;
	bool done; /* nothing further down counts */
};

static void found_free(struct found *f)
{
	inode_put(f->upper);
	ovl_lowers_put(f->lowers, f->nlowers);
}

/* The lowers that a moved directory brought along: true if it was moved. */
static int moved_lowers(struct overlay *o, struct found *f)
{
	AUTO_LOCK(&o->mu);
	struct ovl_record *r = ovl_record_locked(o, f->upper->ino, false);

	if (!r || !r->moved)
		return 0;
	free(f->lowers);
	f->lowers = ovl_lowers_dup(r->lowers, r->nlowers);
	if (!f->lowers)
		return -ENOMEM;
	f->nlowers = r->nlowers;
	f->done = true;
	return 0;
}

static int find_upper(struct ovl_inode *dir, const char *name, size_t len, struct found *f)
{
	struct inode *upper = ovl_upper(dir);
	int r;

	if (!upper)
		return 0;
	r = ovl_layer_lookup(upper, name, len, &f->upper);
	if (r < 0)
		return r == -ENOENT ? 0 : r;
	if (inode_type(f->upper) != S_IFDIR) {
		f->done = true;
		return ovl_is_whiteout(f->upper) ? -ENOENT : 0;
	}
	if (ovl_is_opaque(f->upper))
		f->done = true;
	return moved_lowers(dir->o, f);
}

static int find_lowers(struct ovl_inode *dir, const char *name, size_t len, struct found *f)
{
	for (size_t i = 0; i < dir->nlowers && !f->done; i++) {
		struct ovl_lower l = {.layer = dir->lowers[i].layer};
		bool is_dir;
		int r = ovl_layer_lookup(dir->lowers[i].inode, name, len, &l.inode);

		if (r == -ENOENT)
			continue;
		if (r < 0)
			return r;
		is_dir = inode_type(l.inode) == S_IFDIR;
		/* A file or whiteout ends what is merged above it. */
		if ((!is_dir && (f->upper || f->nlowers)) || ovl_is_whiteout(l.inode)) {
			inode_put(l.inode);
			break;
		}
		f->lowers[f->nlowers++] = l;
		f->done = !is_dir || (i + 1 < dir->nlowers && ovl_is_opaque(l.inode));
	}
	return 0;
}

int ovl_lookup(struct inode *dir, const char *name, size_t len, struct inode **out)
{
	struct ovl_inode *di = ovl_i(dir);
	struct found f = {.lowers = calloc(di->nlowers ? di->nlowers : 1, sizeof(*f.lowers))};
	int r = f.lowers ? find_upper(di, name, len, &f) : -ENOMEM;

	if (r == 0 && !f.done)
		r = find_lowers(di, name, len, &f);
	if (r == 0 && !f.upper && !f.nlowers)
		r = -ENOENT;
	if (r < 0) {
		found_free(&f);
		return r;
	}
	return ovl_inode_get(di->o, f.upper, f.lowers, f.nlowers, di, name, len, out);
}
