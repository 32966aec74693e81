/* A file-system instance (a "superblock") and the registry of file-system types. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "abi/base/list.h"
#include "abi/base/ref.h"

struct cred;
struct dirent;
struct fs;
struct fs_context;
struct inode;

struct fs_type {
	const char *name; /* as mount(2) and /proc/filesystems say */
	bool nodev;	  /* /proc/filesystems */
	/* Makes an instance from mount(2)'s arguments. `data` is the option string, parsed by the
	 * type with vfs_option_*; never NULL. -EINVAL with a message in *why (static) if given. The
	 * result has one reference and its root dirent set. */
	int (*mount)(const struct fs_type *type, const char *source, const char *data,
		     const struct cred *cred, struct fs **out);
};

struct fs_ops {
	/* The last reference and the last inode are gone: frees priv; the VFS frees fs itself. */
	void (*release)(struct fs *fs);
	/* Extra text for /proc/mounts options (",size=..."); bytes written as snprintf. May be NULL. */
	int (*show_options)(struct fs *fs, char *buf, size_t size);
	int (*sync)(struct fs *fs); /* may be NULL */
};

/* Two counts: `ref` is held by mounts, and by a file system stacked on this one; when it drops to 0 the
 * cached dirents and the root go. `alive` is held by `ref` as a whole and by each inode; when it
 * drops to 0 ops->release is called. So an inode that outlives the mounts stays harmless. */
struct fs {
	struct ref ref;
	struct ref alive;
	const struct fs_type *type;
	const struct fs_ops *ops;
	uint64_t dev;	     /* st_dev: anonymous device number from vfs_alloc_dev() */
	uint64_t magic;	     /* statfs f_type as the guest shall see it */
	const char *shown_type; /* type name in /proc/mounts ("overlay" for the root) */
	char *source;	     /* malloc'ed */
	struct dirent *root; /* owned; set before mount returns */
	bool caches;	     /* dirents unreferenced go to the LRU (9P, overlay on 9P); else the
			      * file system pins its tree (tmpfs, see DIRENT_PINNED) or has
			      * nothing worth keeping (proc) */
	bool no_dcache;	     /* never cache names, positive or negative (proc) */
	bool no_negative;    /* do not cache negative entries */
	bool readonly;	     /* refuses writes whatever the mount says */
	bool lower;	     /* below an overlay: its dir_locks rank as LOCK_INODE_DIR_LOWER, those of
			      * inodes that are older than this from when they are locked next */
	bool attr_fixed;     /* nobody writes here: attributes and sizes stay what they are */
	unsigned changes;    /* which counter of vfs/changes.h */
	int depth;	     /* overlay nesting; at most 4 */
	void *priv;
};

/* fs with one reference and no root yet; NULL: no memory. */
struct fs *fs_new(const struct fs_type *type, const struct fs_ops *ops, const char *source,
		  uint64_t magic);
struct fs *fs_get(struct fs *fs);
void fs_put(struct fs *fs);

/* Types are registered at start, before any task runs; static lifetime. */
void fs_type_register(const struct fs_type *type);
const struct fs_type *fs_type_lookup(const char *name);
/* Calls fn for each type in order of registration. */
void fs_type_each(void (*fn)(const struct fs_type *t, void *ctx), void *ctx);
uint64_t vfs_alloc_dev(void);

/* Option strings of mount(2), "key=value,key". The next option: 1, 0 at the end, -EINVAL when it
 * is longer than the buffers. value is "" and *has_value false for a bare key. */
struct vfs_option {
	char key[64], value[4096];
	bool has_value;
};
int vfs_option_next(const char **s, struct vfs_option *opt);
int vfs_option_u64(const struct vfs_option *opt, unsigned base, uint64_t *out);
/* With a suffix k, m, g; "50%" is of `total`. -EINVAL. */
int vfs_option_size(const struct vfs_option *opt, uint64_t total, uint64_t *out);
