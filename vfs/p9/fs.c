/* Instances of the 9P file system.
 *
 * What one path walk costs: a name that is cached costs nothing (exclusive) or one Tlookup without
 * a fid (revalidated); a name that is not costs one Tlookup, which also brings the attributes and a
 * symlink's text. Opening a file the first time costs one Topenfd, which brings a descriptor; after
 * that reads, writes, mappings and sizes are the host kernel's, and no message is sent for them. */
#include <errno.h>
#include <linux/magic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "vfs/dirent.h"
#include "vfs/p9/p9_impl.h"

#define ANAME "/" /* each socket is one tree */

/* Two tables, so that a walk through a tree that nobody else changes needs no calls at all. */
#define P9_INODE_SLOTS \
	.lookup = p9_lookup, \
	.mknod = p9_mknod, \
	.mkdir = p9_mkdir, \
	.symlink = p9_symlink, \
	.link = p9_link, \
	.unlink = p9_unlink, \
	.rmdir = p9_rmdir, \
	.rename = p9_rename, \
	.tmpfile = p9_tmpfile, \
	.readlink = p9_readlink, \
	.getattr = p9_getattr, \
	.setattr = p9_setattr, \
	.open = p9_open, \
	.getxattr = p9_getxattr, \
	.setxattr = p9_setxattr, \
	.listxattr = p9_listxattr, \
	.removexattr = p9_removexattr, \
	.statfs = p9_statfs, \
	.release = p9_inode_release

const struct inode_ops p9_exclusive_inode_ops = {P9_INODE_SLOTS};
const struct inode_ops p9_shared_inode_ops = {P9_INODE_SLOTS, .revalidate = p9_revalidate};

static void p9fs_release(struct fs *fs)
{
	struct p9_fs *p = fs->priv;

	p9_ahead_clear(p);
	p9_client_free(p->client);
	htable_destroy(&p->inodes);
	htable_destroy(&p->stash);
	p9_names_destroy(p);
	mutex_destroy(&p->mu);
	free(p);
}

static const struct fs_ops p9fs_ops = {
	.release = p9fs_release,
};

/* Not registered: a guest can't mount one. */
static const struct fs_type p9fs_type = {
	.name = "9p",
	.nodev = true,
};

static int root_new(struct p9_fs *p, const struct p9_attr *a)
{
	struct inode *root = NULL;
	int err = p9_inode_from(p, P9_ROOT_FID, a, NULL, &root);

	return err ? err : dirent_new_root(p->fs, root, &p->fs->root);
}

int p9fs_connect(int sock, struct p9_client **out)
{
	return p9_client_new(sock, ANAME, out);
}

int p9fs_new(int sock, const struct p9fs_options *opts, struct fs **out)
{
	struct p9_client *client;
	int err = p9fs_connect(sock, &client);

	return err ? err : p9fs_new_on(client, opts, out);
}

int p9fs_new_on(struct p9_client *client, const struct p9fs_options *opts, struct fs **out)
{
	struct p9_fs *p;
	struct fs *fs;
	struct p9_attr root;
	int err = p9_client_attach(client, ANAME, &root);

	if (err) {
		p9_client_free(client);
		return err;
	}
	p = calloc(1, sizeof(*p));
	fs = p ? fs_new(&p9fs_type, &p9fs_ops, opts->source ? opts->source : "none",
			opts->magic ? opts->magic : EXT4_SUPER_MAGIC)
	       : NULL;
	if (!fs) {
		free(p);
		p9_client_free(client);
		return -ENOMEM;
	}
	p->fs = fs;
	p->client = client;
	p->exclusive = opts->cache == P9FS_EXCLUSIVE;
	mutex_init(&p->mu, LOCK_P9);
	list_init(&p->stash_order);
	p9_names_init(p);
	p9_ahead_init(p);
	fs->priv = p;
	fs->shown_type = opts->shown_type ? opts->shown_type : "ext4";
	fs->caches = true;
	fs->readonly = opts->readonly;
	fs->attr_fixed = p->exclusive && (opts->readonly || opts->lower);
	fs->lower = opts->lower;
	err = root_new(p, &root);
	if (err) {
		fs_put(fs);
		return err;
	}
	*out = fs;
	return 0;
}
