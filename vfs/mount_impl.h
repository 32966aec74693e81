/* Between mount.c, mount_ns.c and mount_text.c. */
#pragma once

#include "vfs/mount.h"

enum { MOUNTS_MAX = 10000 }; /* in one namespace */

struct mount_ns {
	struct ref ref;
	/* tree lock */
	struct mount *root;
	struct list mounts; /* ns_node, in order of mounting */
	unsigned count;
};

/* Serialises changes of mount trees; the tree lock, exclusive, is taken inside for each change. */
extern struct mutex mounts_mu;

/* One reference, not attached. */
int mount_new(struct fs *fs, struct dirent *root, uint32_t flags, const char *source,
	      struct mount **out);
/* The next mount of the tree of top, parents first; NULL at the end. */
struct mount *mount_next(struct mount *m, const struct mount *top);
/* m, with all below it, becomes part of ns (NULL: stays in what it is); at (NULL: it is a root)
 * is borrowed, references are taken. Consumes the reference on m. Tree lock exclusive. */
void mount_link_locked(struct mount_ns *ns, struct mount *m, const struct path *at);
/* Takes m alone out of its tree. What it hung on comes back through *at, the cache's reference of a
 * dirent that need not be cached through *stale, the tree's reference on m is the caller's: all
 * to be put after unlocking. */
void mount_unlink_locked(struct mount *m, struct path *at, struct dirent **stale);
void mount_move_locked(struct mount *m, const struct path *at, struct path *old,
		       struct dirent **stale);
/* Takes apart m and all below it, and puts the tree's reference on each. mounts_mu held. */
void mount_tree_drop(struct mount *m);
int mount_copy(struct mount *src, struct dirent *root, bool recursive, struct mount **out);
