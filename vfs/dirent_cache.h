/* The bound on cached dirents of file systems that cost descriptors (fs->caches).
 *
 * Every cached 9P dirent may hold a gofer descriptor and a donated one, so the bound follows
 * RLIMIT_NOFILE: half of it, and at most DIRENT_CACHE_DEFAULT unless a flag asks for more (then
 * at most the half). One limiter for all mounts. Least recently used goes first; a dirent that
 * is open, a working directory, has cached children or is a mount point is never dropped. */
#pragma once

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#define DIRENT_CACHE_DEFAULT 1000

struct dirent;

struct dirent_cache_stats {
	size_t bound, cached, lru;
	uint64_t hits, misses, evictions;
};

/* nofile: the (raised) soft limit of RLIMIT_NOFILE; want: 0 or what a flag asks for. The bound. */
size_t dirent_cache_bound(uint64_t nofile, size_t want);
void dirent_cache_init(size_t bound);
/* Descriptors have run out: forgets half of what may be forgotten. May be called with dir_locks held. */
void dirent_cache_shrink(void);
void dirent_cache_stats(struct dirent_cache_stats *out);
