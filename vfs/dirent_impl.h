/* Between the dirent files (dirent.c, dirent_tree.c, dirent_cache.c) and the walk. */
#pragma once

#include <stdint.h>

#include "vfs/dirent.h"

/* With one reference; takes one on parent (NULL: itself). On failure NULL; inode stays the caller's. */
struct dirent *dirent_alloc(struct fs *fs, struct dirent *parent, const char *name, size_t len,
			    struct inode *inode);
uint64_t dirent_hash_of(const struct dirent *parent, const char *name, size_t len);

/* Tree lock held, shared or exclusive: the cached child, borrowed, or NULL. */
struct dirent *dirent_find_locked(const struct dirent *parent, const char *name, size_t len,
				  uint64_t hash);
/* Tree lock exclusive. Insertion takes the cache's reference; removal hands it to the caller, who
 * puts it after unlocking: true if d was hashed. */
void dirent_insert_locked(struct dirent *d);
bool dirent_remove_locked(struct dirent *d);
/* A name was just removed from dir: the cache knows that it is gone, where asking costs a message.
 * dir_lock exclusive. */
void dirent_remember_gone(struct dirent *dir, const char *name, size_t len);
/* Whether d is to be kept when nobody uses it. Tree lock exclusive. */
bool dirent_cacheable_locked(const struct dirent *d);

/* A mount appears on or goes from d; tree lock exclusive. Makes d and what leads to it findable. */
void dirent_mounted_locked(struct dirent *d);
/* True: the caller owns the cache's reference of a dirent that need not be findable any more. */
bool dirent_unmounted_locked(struct dirent *d);

/* dirent_cache.c; tree lock exclusive. */
void dirent_cache_add_locked(struct dirent *d);
void dirent_cache_del_locked(struct dirent *d);
/* d was negative and is not any more, or is new. */
void dirent_cache_positive_locked(struct dirent *d);
/* Drops what is over the bound; takes the tree lock. Costs two loads when nothing is. */
void dirent_cache_trim(void);
void dirent_cache_missed(void);
/* d is hashed, unused and may go. Tree lock exclusive. */
bool dirent_idle_locked(const struct dirent *d);
/* Takes an idle dirent out and its reference off the parent, so that the parent may become idle;
 * put on `dead` for dirent_free_list(), after unlocking. */
void dirent_evict_locked(struct dirent *d, struct list *dead);
void dirent_free_list(struct list *dead);
void dirent_free(struct dirent *d);

static inline void dirent_flag_set(struct dirent *d, uint32_t flag)
{
	atomic_fetch_or_explicit(&d->flags, flag, memory_order_relaxed);
}

static inline void dirent_flag_clear(struct dirent *d, uint32_t flag)
{
	atomic_fetch_and_explicit(&d->flags, ~flag, memory_order_relaxed);
}

static inline bool dirent_has(const struct dirent *d, uint32_t flag)
{
	return atomic_load_explicit(&((struct dirent *)d)->flags, memory_order_relaxed) & flag;
}

/* Read first: a warm dirent's cache line stays shared between CPUs. */
static inline void dirent_touch(struct dirent *d)
{
	if (!dirent_has(d, DIRENT_REFERENCED))
		dirent_flag_set(d, DIRENT_REFERENCED);
}

static inline struct inode *dirent_inode(const struct dirent *d)
{
	return atomic_load_explicit(&((struct dirent *)d)->inode, memory_order_acquire);
}
