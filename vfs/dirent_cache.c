/* The bound on cached dirents: a clock over two lists.
 *
 * Dirents of file systems that cost descriptors (fs->caches) are on `costly`, whose bound follows
 * RLIMIT_NOFILE; all others on `cheap`, whose bound keeps memory in check. An overlay's dirent pins
 * inodes below, so it is as costly as they are. Negative dirents hold no descriptors: they have no
 * weight, and a bound of their own that is larger.
 *
 * Both are kept in order of insertion. A lookup only sets DIRENT_REFERENCED; when a list is over its bound
 * the oldest is looked at, and if it was used since, goes round again. A step limit keeps the cost
 * of one insertion small even if everything is in use. */
#include "vfs/dirent_cache.h"

#include <assert.h>

#include "vfs/dirent.h"
#include "vfs/dirent_impl.h"
#include "vfs/fs.h"
#include "vfs/tree_lock.h"

enum { COUNT_FACTOR = 4, CHEAP_BOUND = 32768, TRIM_STEPS = 128, TRIM_BATCH = 32 };

struct lru {
	struct list list; /* tree lock, exclusive */
	/* written under the tree lock, exclusive; read without it as a hint */
	_Atomic size_t count, weight;
	size_t bound;
};

static struct lru costly = {.list = LIST_INIT(costly.list), .bound = DIRENT_CACHE_DEFAULT};
static struct lru cheap = {.list = LIST_INIT(cheap.list), .bound = CHEAP_BOUND};
static _Atomic uint64_t misses, evictions;

size_t dirent_cache_bound(uint64_t nofile, size_t want)
{
	uint64_t half = nofile / 2;
	uint64_t bound = want ? want : DIRENT_CACHE_DEFAULT;

	if (bound > half)
		bound = half;
	return bound ? (size_t)bound : 1;
}

void dirent_cache_init(size_t bound)
{
	costly.bound = bound;
}

void dirent_cache_missed(void)
{
	atomic_fetch_add_explicit(&misses, 1, memory_order_relaxed);
}

static struct lru *lru_of(const struct dirent *d)
{
	return d->fs->caches ? &costly : &cheap;
}

static void move(_Atomic size_t *v, size_t by)
{
	atomic_store_explicit(v, atomic_load_explicit(v, memory_order_relaxed) + by,
			      memory_order_relaxed);
}

void dirent_cache_add_locked(struct dirent *d)
{
	struct lru *l = lru_of(d);

	list_push_back(&l->list, &d->lru);
	dirent_flag_set(d, DIRENT_ON_LRU);
	move(&l->count, 1);
	dirent_cache_positive_locked(d);
}

void dirent_cache_positive_locked(struct dirent *d)
{
	if (dirent_negative(d) || !dirent_has(d, DIRENT_ON_LRU) || dirent_has(d, DIRENT_WEIGHED))
		return;
	dirent_flag_set(d, DIRENT_WEIGHED);
	move(&lru_of(d)->weight, 1);
}

void dirent_cache_del_locked(struct dirent *d)
{
	struct lru *l = lru_of(d);

	if (!dirent_has(d, DIRENT_ON_LRU))
		return;
	list_del_init(&d->lru);
	dirent_flag_clear(d, DIRENT_ON_LRU);
	move(&l->count, (size_t)-1);
	if (dirent_has(d, DIRENT_WEIGHED)) {
		dirent_flag_clear(d, DIRENT_WEIGHED);
		move(&l->weight, (size_t)-1);
	}
}

static bool over(struct lru *l, size_t bound)
{
	return atomic_load_explicit(&l->weight, memory_order_relaxed) > bound ||
	       atomic_load_explicit(&l->count, memory_order_relaxed) > COUNT_FACTOR * bound;
}

static void trim(struct lru *l, size_t bound)
{
	struct list dead = LIST_INIT(dead);
	int evicted = 0;

	tree_wrlock();
	for (int step = 0; step < TRIM_STEPS && evicted < TRIM_BATCH && over(l, bound); step++) {
		struct dirent *d = list_first(&l->list, struct dirent, lru);

		if (dirent_idle_locked(d) && !dirent_has(d, DIRENT_REFERENCED)) {
			dirent_evict_locked(d, &dead);
			evicted++;
			continue;
		}
		dirent_flag_clear(d, DIRENT_REFERENCED);
		list_del_init(&d->lru);
		list_push_back(&l->list, &d->lru);
	}
	tree_wrunlock();
	atomic_fetch_add_explicit(&evictions, (uint64_t)evicted, memory_order_relaxed);
	dirent_free_list(&dead);
}

void dirent_cache_trim(void)
{
	if (over(&costly, costly.bound))
		trim(&costly, costly.bound);
	if (over(&cheap, cheap.bound))
		trim(&cheap, cheap.bound);
}

void dirent_cache_shrink(void)
{
	size_t half = atomic_load_explicit(&costly.weight, memory_order_relaxed) / 2;

	/* Each round looks at TRIM_STEPS of them, and the first visit may only clear a mark. */
	for (size_t n = 0; n <= 4 * half / TRIM_STEPS + 2 && over(&costly, half); n++)
		trim(&costly, half);
}

void dirent_cache_stats(struct dirent_cache_stats *out)
{
	size_t n = atomic_load(&costly.count);

	*out = (struct dirent_cache_stats){
		.bound = costly.bound,
		.cached = n + atomic_load(&cheap.count),
		.lru = n,
		.hits = tree_hits(),
		.misses = atomic_load(&misses),
		.evictions = atomic_load(&evictions),
	};
}
