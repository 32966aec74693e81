/* What the parts of the overlay share; the theory is in overlay.c. */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "abi/base/htable.h"
#include "abi/base/lock.h"
#include "vfs/fs.h"
#include "vfs/inode.h"
#include "vfs/vfs.h"

struct cred;
struct file;
struct ovl_list;

extern const struct fs_type ovl_type; /* mount.c */

struct ovl_layer {
	struct inode *root; /* owned */
	struct fs *fs;	    /* owned */
};

struct overlay {
	struct fs *fs; /* borrowed */
	struct ovl_layer upper; /* root NULL: read-only */
	struct ovl_layer *lowers;
	size_t nlowers;
	bool revalidates; /* some lower does */
	bool mounted;	  /* by mount(2): the upper outlives us, and what is only in memory */
	struct cred *cred;	/* for what the overlay itself makes */

	struct mutex mu;	/* LOCK_NONE: the tables and whiteout; nothing is called under it */
	struct htable by_upper; /* live inodes: key upper inode; no references */
	struct htable by_lower; /* live inodes: key (layer, lower ino); no references */
	struct htable records;	/* of ovl_record.upper_node: key upper ino */
	struct htable links;	/* of ovl_record.lower_node: key (layer, lower ino) */
	struct inode *whiteout; /* the one that all names share, once made; owned */
};

/* A lower inode and the layer it is of. */
struct ovl_lower {
	struct inode *inode; /* owned */
	unsigned layer;
};

struct ovl_inode {
	struct inode i;
	struct overlay *o;
	_Atomic(struct inode *) upper; /* owned; set once, under copy_mu, by copy-up */
	struct ovl_lower *lowers;      /* immutable; at most one unless a directory */
	size_t nlowers;

	/* LOCK_OVERLAY: copy-up; also place. Always taken for writing: by ovl_copy_lock() where one may leave. */
	struct rwlock copy_mu;
	/* Where copy-up puts it: copy_mu. parent NULL once it has no name. */
	struct ovl_inode *parent; /* owned */
	char *name;
	size_t name_len;
	bool fresh; /* made here where the lowers have nothing of this name */
	_Atomic bool no_xattrs; /* the lower has none, as far as asked; it does not change */
	_Atomic uint32_t lost_links; /* names of a lower file that were removed */

	/* Opened once, shared by all open files; each is set once. */
	_Atomic(struct file *) lower_ro, upper_ro, upper_rw;

	/* Directories: under i.dir_lock. */
	_Atomic unsigned version; /* of the names */
	/* LOCK_OVERLAY (copy_mu): the merged listing, when current; what the lowers have */
	struct ovl_list *list, *lower_list;

	struct hnode upper_node, lower_node; /* o->mu */
	bool in_upper, in_lower;
};

/* What must be remembered of an upper inode after its overlay inode is gone from the cache. Lives as
 * long as the overlay, or until the upper inode's last name goes. */
struct ovl_record {
	struct hnode upper_node, lower_node;
	uint64_t upper_ino;
	uint64_t ino;		/* as the guest knows it */
	struct ovl_lower *lowers; /* moved directories: their lowers, wherever they are now */
	size_t nlowers;
	bool moved;		/* lowers counts, the place does not */
	/* Files with several links in the lower: where all of them lead now. */
	bool linked;
	unsigned lower_layer;
	uint64_t lower_ino;
	struct inode *upper;	/* owned if linked */
	int32_t lower_links;	/* names not yet seen in the upper */
};

/* Whoever copies up or lists may wait for the layer's file system for as long as that pleases. -EINTR: killed. */
static inline int ovl_copy_lock(struct ovl_inode *oi)
{
	return rwlock_take_unless(&oi->copy_mu, true, false, vfs_killed);
}

static inline struct ovl_inode *ovl_i(const struct inode *i)
{
	return container_of((struct inode *)i, struct ovl_inode, i);
}

static inline struct inode *ovl_upper(struct ovl_inode *oi)
{
	return atomic_load_explicit(&oi->upper, memory_order_acquire);
}

static inline struct inode *ovl_real(struct ovl_inode *oi)
{
	struct inode *u = ovl_upper(oi);

	return u ? u : oi->lowers[0].inode;
}

/* Is this inode of a layer a whiteout? */
bool ovl_is_whiteout(struct inode *real);
bool ovl_is_opaque(struct inode *real);
int ovl_set_opaque(struct inode *upper);
/* Looks a name up in a layer's directory, taking its dir_lock. Whiteouts are found as they are. */
int ovl_layer_lookup(struct inode *dir, const char *name, size_t len, struct inode **out);
/* Do dir's lowers show this name? 1, 0, or -errno. */
int ovl_lower_has(struct ovl_inode *dir, const char *name, size_t len);
uint64_t ovl_ino_of(unsigned layer, uint64_t real_ino); /* layer: of the lowers */
uint64_t ovl_upper_ino(struct overlay *o, uint64_t real_ino);

/* The overlay inode for what a lookup found; consumes the references in upper and lowers[] in any
 * case, and the array itself. One exists for each object. */
int ovl_inode_get(struct overlay *o, struct inode *upper, struct ovl_lower *lowers, size_t n,
		  struct ovl_inode *parent, const char *name, size_t len, struct inode **out);
void ovl_inode_release(struct inode *inode);
/* mode and owner from the real inode. */
void ovl_refresh(struct ovl_inode *oi);
/* After copy-up: publishes upper (consumed). copy_mu held. */
void ovl_set_upper(struct ovl_inode *oi, struct inode *upper);
/* A new place for oi (parent NULL: none). */
int ovl_set_place(struct ovl_inode *oi, struct ovl_inode *parent, const char *name, size_t len,
		  bool fresh);
/* The record of an upper inode: made if need be. NULL: no memory. Use under o->mu. */
struct ovl_record *ovl_record_locked(struct overlay *o, uint64_t upper_ino, bool make);
void ovl_record_drop(struct overlay *o, struct inode *upper);
void ovl_lowers_put(struct ovl_lower *lowers, size_t n);
struct ovl_lower *ovl_lowers_dup(const struct ovl_lower *lowers, size_t n);
void ovl_tables_free(struct overlay *o);

/* copy_up.c: 0 when oi has an upper afterwards; its parents then have one too. */
enum { OVL_NO_DATA = 1 };
int ovl_copy_up(struct ovl_inode *oi, unsigned flags);

/* readdir.c */
void ovl_list_put(struct ovl_list *l);
int ovl_dir_open(struct inode *inode, struct file *f);
/* -ENOTEMPTY, or 0 if the guest sees nothing in it. */
int ovl_dir_empty(struct ovl_inode *dir);
/* Calls fn for each entry of a layer's directory, "." and ".." left out. */
struct ovl_scan {
	int (*fn)(struct ovl_scan *s, const char *name, size_t len, uint64_t ino, unsigned type);
	int err;
};
int ovl_scan_dir(struct inode *dir, struct ovl_scan *s);

/* file.c */
int ovl_file_open(struct inode *inode, struct file *f);
/* The shared open file of the real inode; borrowed. */
int ovl_real_file(struct ovl_inode *oi, bool write, struct file **out);
/* root, for the layers' files. */
const struct cred *ovl_cred(void);
/* A file on a layer's inode. */
int ovl_open_real(struct inode *real, int flags, struct file **out);

/* inode.c, dir.c: operations */
extern const struct inode_ops ovl_dir_inode_ops, ovl_dir_reval_inode_ops, ovl_file_inode_ops,
	ovl_link_inode_ops, ovl_special_inode_ops;
int ovl_getattr(struct inode *inode, struct vfs_attr *out);
int ovl_setattr(struct inode *inode, const struct vfs_setattr *sa);
ssize_t ovl_getxattr(struct inode *inode, const char *name, void *value, size_t size);
int ovl_setxattr(struct inode *inode, const char *name, const void *value, size_t size, int flags);
ssize_t ovl_listxattr(struct inode *inode, char *list, size_t size);
int ovl_removexattr(struct inode *inode, const char *name);
int ovl_readlink(struct inode *inode, char **target);
int ovl_statfs(struct inode *inode, struct vfs_statfs *out);
int ovl_lookup(struct inode *dir, const char *name, size_t len, struct inode **out);

#define OVL_XATTR_PREFIX "trusted.overlay."
#define OVL_XATTR_OPAQUE "trusted.overlay.opaque"
#define OVL_ATTR_SLOTS                                                                             \
	.getattr = ovl_getattr, .setattr = ovl_setattr, .getxattr = ovl_getxattr,                  \
	.setxattr = ovl_setxattr, .listxattr = ovl_listxattr, .removexattr = ovl_removexattr,      \
	.statfs = ovl_statfs, .release = ovl_inode_release
