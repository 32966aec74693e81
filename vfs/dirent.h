/* Dirents: a name in the tree, its parent, and its inode or the knowledge that there is none.
 *
 * References: a child holds one on its parent; open files, working directories and mounts hold
 * them on what they name; the cache holds one on each dirent that lookups can find (DIRENT_HASHED),
 * until the LRU (dirent_cache.h), an unlink or an unmount takes it away. A negative dirent has
 * inode == NULL.
 *
 * name, parent change only under the parents' dir_locks (and the rename lock, exclusive, if the
 * parent changes) and the tree lock (tree_lock.h), exclusive; readers hold any of these. inode
 * changes once, from negative to positive, under the parent's dir_lock and the tree lock, both
 * exclusive: who holds a reference to a positive dirent may use its inode without a lock. */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "abi/base/cleanup.h"
#include "abi/base/htable.h"
#include "abi/base/list.h"
#include "abi/base/ref.h"

struct fs;
struct inode;
struct mount;

enum {
	DIRENT_PINNED = 1 << 0,	  /* the file system keeps a reference while the name exists (tmpfs) */
	DIRENT_UNHASHED = 1 << 1, /* deleted, or never had a name: " (deleted)" */
	DIRENT_MOUNTPOINT = 1 << 2,
	DIRENT_ROOT = 1 << 3,	  /* root of its fs: parent == itself */
	DIRENT_ON_LRU = 1 << 4,
	DIRENT_HASHED = 1 << 5,	  /* lookups find it: the cache holds a reference */
	DIRENT_REFERENCED = 1 << 6, /* used since the LRU last looked */
	DIRENT_WEIGHED = 1 << 8,  /* counts towards the LRU's bound */
	DIRENT_ANON = 1 << 7,	  /* no place in any tree: its text is its name */
};

struct dirent {
	struct ref ref;
	_Atomic uint32_t flags;
	struct fs *fs;		/* immutable */
	struct dirent *parent;	/* itself at the root */
	char *name;		/* NUL-terminated, owned */
	size_t name_len;
	_Atomic(struct inode *) inode; /* NULL: negative */
	/* under the tree lock */
	struct hnode hash;	/* (parent, name) */
	struct list children;	/* hashed children */
	struct list sibling;
	struct list lru;
	unsigned mounts;	/* mounts on it; DIRENT_MOUNTPOINT while not 0 */
};

/* The root dirent of an fs; consumes the inode reference. */
int dirent_new_root(struct fs *fs, struct inode *inode, struct dirent **out);
/* A dirent without a place in the tree (pipes, sockets, memfd, O_TMPFILE): name as readlink of
 * /proc/self/fd shows it. Consumes the inode reference. */
int dirent_new_anon(struct fs *fs, const char *name, struct inode *inode, struct dirent **out);
struct dirent *dirent_get(struct dirent *d);
void dirent_put(struct dirent *d);
DEFINE_AUTO_PUT(dirent, struct dirent *, dirent_put)

static inline bool dirent_negative(const struct dirent *d)
{
	return atomic_load_explicit(&((struct dirent *)d)->inode, memory_order_acquire) == NULL;
}
/* The child `name` of directory d: cached, or looked up (then cached, also when negative).
 * 0 with a reference, possibly to a negative dirent (-ENOENT is never returned).
 * Takes d's dir_lock (shared) if it must look up. */
int dirent_lookup(struct dirent *d, const char *name, size_t len, struct dirent **out);
/* The same for a caller that holds d's dir_lock. */
int dirent_lookup_locked(struct dirent *d, const char *name, size_t len, struct dirent **out);
/* A negative dirent becomes positive (after mknod and friends); consumes the inode reference. */
void dirent_instantiate(struct dirent *d, struct inode *inode);
/* After unlink/rmdir: the name is gone; d stays usable to those who hold it. */
void dirent_unhash(struct dirent *d);
/* After rename: d now is newparent/newname; whatever was there is unhashed. */
void dirent_move(struct dirent *d, struct dirent *newparent, const char *name, size_t len);
void dirent_exchange(struct dirent *a, struct dirent *b);
/* Forgets cached children that nobody uses, below d (for revalidation and unmount). */
void dirent_prune(struct dirent *d);
/* Forget what is cached for one name: the next lookup asks the file system. */
void dirent_forget(struct dirent *dir, const char *name, size_t len);
/* Is d inside (or equal to) the tree of `top`? Caller holds the rename lock, or accepts races. */
bool dirent_is_below(struct dirent *d, struct dirent *top);
/* A file of O_TMPFILE: shown as "dir/#ino (deleted)". Consumes the inode reference. */
int dirent_new_tmpfile(struct dirent *dir, struct inode *inode, struct dirent **out);
/* The parent with a reference (d itself at a root). */
struct dirent *dirent_parent(struct dirent *d);
/* One rename that moves between directories at a time: the tree's shape holds still. */
extern struct rwlock dirent_rename_lock;
