/* Between the VFS's own files. */
#pragma once

#include "vfs/changes.h"
#include "vfs/dirent_impl.h"
#include "vfs/inode.h"
#include "vfs/mount.h"
#include "vfs/walk.h"

struct cred;

/* -EROFS if the mount or the file system is read-only. */
int path_writable(const struct path *p);
int inode_owner(struct inode *i, uint32_t *uid, uint32_t *gid);
/* Owner, or CAP_FOWNER. */
bool inode_owner_or_capable(struct inode *i, const struct cred *cred);
/* May cred remove child from dir as far as the sticky bit says: 0 or -EPERM. */
int sticky_check(struct inode *dir, struct inode *child, const struct cred *cred);
/* dir_lock, for a change or a look. File systems keep it while they wait for a peer, which may never answer:
 * -EINTR, the calling task has been killed meanwhile. nested: another directory's is held. */
int inode_dir_lock(struct inode *dir, bool write, bool nested);
/* Inodes made before their file system became a layer of an overlay rank as any other's: to be corrected before they
 * are locked. */
void inode_rank_as_layer(struct inode *dir);
/* Write and search permission on a directory, and the directory not deleted; dir_lock held. */
int may_create(const struct path *dir, const struct cred *cred);
int may_delete(const struct path *dir, struct dirent *victim, const struct cred *cred, bool isdir);

static inline uint32_t mount_flags(const struct mount *m)
{
	return atomic_load_explicit(&((struct mount *)m)->flags, memory_order_relaxed);
}

/* Tree lock held: the mount at (parent, d), borrowed, or NULL. */
struct mount *mount_find_locked(const struct mount *parent, const struct dirent *d);
/* Is place p in the tree that place top names? Tree lock held. */
bool path_below_locked(struct path p, const struct path *top);
/* The same as mount_find_locked for a borrowed path: replaced by the root of the topmost mount there. */
void mount_down_locked(struct path *p);

/* The walk, for calls that look at the last component themselves (open with O_CREAT). */
enum { WALK_LINKS_MAX = 40 };

struct walk_frame {
	const char *at;	     /* what is left of this text */
	struct inode *inode; /* whose link_text it is; a reference unless fast */
	char *owned;	     /* or: to be freed */
};

struct walker {
	const struct walk_ctx *ctx;
	const struct path *root; /* what ".." and "/" stop at; borrowed */
	unsigned flags;		 /* WALK_* */
	bool fast;		 /* the tree lock is held, cur is borrowed */
	bool slash;		 /* the component taken last was followed by a slash */
	unsigned links, hits;
	struct walk_seen seen;
	int depth;
	struct path cur;
	struct walk_frame frames[WALK_LINKS_MAX + 1];
};

int walker_begin(struct walker *w, const struct walk_ctx *ctx, const char *path, unsigned flags);
/* To the parent of the last component: w->cur, with references. */
int walker_parent(struct walker *w, struct walk_last *last);
/* Goes on with the symlink `link` found as the last component; consumes its references. The next
 * walker_parent() tells the new last component; 1: it was a magic link, w->cur is where it leads. */
int walker_follow(struct walker *w, struct path *link);
void walker_end(struct walker *w);
