/* The overlay file system.
 *
 *	upper	 writable, in memory, ours alone
 *	lower 0	 read-only: the image
 *	lower 1	 ...
 *
 * An overlay inode stands for one object as the guest sees it:
 *
 *	lower only	never changed; all goes to the lower inode
 *	upper only	made here
 *	both		a directory: merged, names of the upper hide those of the lowers;
 *			anything else: copied up, the lower is only remembered
 *
 * Copy-up (copy_up.c) happens before the first change, parents first. A regular file is built as
 * an unnamed file and linked into place when complete, so no one sees half of it; `upper` is then
 * published, once, and never changes again. Files that are open go over to the upper at their next
 * call: unlike with Linux's overlayfs, a file opened read-only before the copy-up sees later writes. Only
 * existing mappings keep showing the lower's pages.
 *
 * A name that is removed while a lower has it becomes a whiteout in the upper (a character device
 * 0:0; all are links to one inode); a directory made over a whiteout, or moved, is opaque
 * (OVL_XATTR_OPAQUE): its lowers are not those of its place. Since the upper is ours alone, what a
 * directory brought along when it moved is kept in memory (struct ovl_record), so rename of a merged
 * directory works and is cheap. Records also keep st_ino stable over copy-up, and the links of one
 * lower file together.
 *
 * Costs: the VFS caches the overlay's dirents, so a warm walk, stat or open does not come here or stops
 * at the overlay inode, which holds the real inodes and one shared open file of each kind.
 *
 * Locks: the overlay directory's dir_lock (VFS) > copy_mu of one inode > dir_locks of the layers
 * (LOCK_INODE_DIR_LOWER; two of the upper's in a rename, in address order) > o->mu, a leaf.
 * Parents are copied up before the child's copy_mu is taken, so no two copy_mu are held at once. */
#include "vfs/overlay/overlay.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "vfs/cred.h"
#include "vfs/dirent.h"
#include "vfs/overlay/overlay_impl.h"

#define OVERLAYFS_SUPER_MAGIC 0x794c7630
#define DEPTH_MAX 4

static void layer_put(struct ovl_layer *l)
{
	inode_put(l->root);
	if (l->fs)
		fs_put(l->fs);
}

static void overlay_release(struct fs *fs)
{
	struct overlay *o = fs->priv;

	if (!o)
		return;
	ovl_tables_free(o);
	inode_put(o->whiteout);
	layer_put(&o->upper);
	for (size_t i = 0; i < o->nlowers; i++)
		layer_put(&o->lowers[i]);
	free(o->lowers);
	cred_put(o->cred);
	mutex_destroy(&o->mu);
	free(o);
}

static struct cred *layer_cred;

static void layer_cred_make(void)
{
	layer_cred = cred_new_root();
}

const struct cred *ovl_cred(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, layer_cred_make);
	return layer_cred;
}

static const struct fs_ops overlay_fs_ops = {.release = overlay_release};

static int layer_init(struct overlay *o, struct ovl_layer *l, struct dirent *d)
{
	struct inode *i = atomic_load(&d->inode);

	if (!i || inode_type(i) != S_IFDIR)
		return -ENOTDIR;
	if (d->fs->depth + 1 > DEPTH_MAX)
		return -ELOOP;
	if (d->fs->depth >= o->fs->depth)
		o->fs->depth = d->fs->depth + 1;
	d->fs->lower = true;
	i->dir_lock.rank = LOCK_INODE_DIR_LOWER;
	l->root = inode_get(i);
	l->fs = fs_get(d->fs);
	return 0;
}

static int layers_init(struct overlay *o, struct dirent *upper, struct dirent *const lowers[],
		       size_t n)
{
	int r;

	o->lowers = calloc(n ? n : 1, sizeof(*o->lowers));
	if (!o->lowers)
		return -ENOMEM;
	if (upper) {
		r = layer_init(o, &o->upper, upper);
		if (r < 0)
			return r;
		if (!o->upper.root->ops->tmpfile || !o->upper.root->ops->link)
			return -EINVAL;
	} else {
		o->fs->readonly = true;
	}
	for (size_t i = 0; i < n; i++, o->nlowers++) {
		r = layer_init(o, &o->lowers[i], lowers[i]);
		if (r < 0)
			return r;
		o->revalidates |= o->lowers[i].root->ops->revalidate != NULL;
		o->fs->caches |= o->lowers[i].fs->caches;
	}
	return 0;
}

/* The whiteout that all removed names are links to: made under a name, which it loses again. */
static int whiteout_init(struct overlay *o)
{
	struct inode *up = o->upper.root, *there;
	char name[32];
	size_t len = 0;
	int r = 0;

	if (!up || o->nlowers == 0)
		return 0;
	AUTO_WRLOCK(&up->dir_lock);
	for (unsigned i = 0; r == 0; i++) { /* a name that is free */
		len = (size_t)snprintf(name, sizeof(name), "#whiteout%u", i);
		r = up->ops->lookup(up, name, len, &there);
		if (r == 0)
			inode_put(there);
	}
	if (r != -ENOENT)
		return r;
	r = up->ops->mknod(up, name, len, S_IFCHR, 0, o->cred, &o->whiteout);
	return r < 0 ? r : up->ops->unlink(up, name, len, o->whiteout);
}

static int root_init(struct overlay *o)
{
	struct ovl_lower *lowers = calloc(o->nlowers ? o->nlowers : 1, sizeof(*lowers));
	struct inode *root;
	int r;

	if (!lowers)
		return -ENOMEM;
	for (size_t i = 0; i < o->nlowers; i++)
		lowers[i] = (struct ovl_lower){inode_get(o->lowers[i].root), (unsigned)i};
	r = ovl_inode_get(o, o->upper.root ? inode_get(o->upper.root) : NULL, lowers, o->nlowers,
			  NULL, "", 0, &root);
	return r < 0 ? r : dirent_new_root(o->fs, root, &o->fs->root);
}

int overlay_new(struct dirent *upper, struct dirent *const lowers[], size_t n,
		const struct cred *cred, struct fs **out)
{
	struct fs *fs;
	struct overlay *o;
	int r;

	if (n > OVERLAY_LOWERS_MAX || (n == 0 && !upper))
		return -EINVAL;
	fs = fs_new(&ovl_type, &overlay_fs_ops, "overlay", OVERLAYFS_SUPER_MAGIC);
	o = calloc(1, sizeof(*o));
	if (!fs || !o) {
		free(o);
		fs_put(fs);
		return -ENOMEM;
	}
	mutex_init(&o->mu, LOCK_NONE);
	fs->priv = o;
	fs->shown_type = "overlay";
	o->fs = fs;
	o->cred = cred_get((struct cred *)ovl_cred());
	r = layers_init(o, upper, lowers, n);
	if (r == 0)
		r = whiteout_init(o);
	if (r == 0)
		r = root_init(o);
	if (r < 0) {
		fs_put(fs);
		return r;
	}
	*out = fs;
	return 0;
}
