/* The page pool: address space is reserved in segments, handed out from the front ("bump") and
 * reused through two stacks of runs.
 *
 *	bump      never touched: zero; populated a chunk at a time, which costs a fraction of a
 *	          page fault for each page
 *	dirty     freed with its contents: costs nothing to reuse, but must be cleared
 *	clean     freed and given back to the host (MADV_DONTNEED): zero again, faults on use
 *
 * Small amounts stay dirty, so that a file written, removed and written again meets no page fault;
 * what is beyond DIRTY_MAX goes back to the host. */
#include "vfs/tmpfs/page_pool.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sysinfo.h>

#include "abi/base/lock.h"

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

#define SEGMENT_BYTES (256UL << 20)
#define SEGMENT_MIN (4UL << 20)
#define POPULATE_PAGES 16
#define DIRTY_MAX ((16UL << 20) / POOL_PAGE)
#define RUN_RETURN 64 /* a run this long is given back at once */

struct run {
	char *start;
	size_t n;
};

struct run_stack {
	struct run *runs;
	size_t count, cap;
	size_t pages;
};

static struct {
	struct mutex mu;
	char *bump, *populated, *end;
	struct run_stack dirty, clean;
	uint64_t used, limit;
	uint64_t host; /* of used: in host files */
} pool = {.mu = MUTEX_INIT(LOCK_TMPFS)};

static bool stack_push(struct run_stack *s, char *start, size_t n)
{
	struct run *top = s->count ? &s->runs[s->count - 1] : NULL;

	if (top && top->start + top->n * POOL_PAGE == start) {
		top->n += n;
	} else if (top && start + n * POOL_PAGE == top->start) {
		top->start = start;
		top->n += n;
	} else {
		if (s->count == s->cap) {
			size_t cap = s->cap ? s->cap * 2 : 64;
			struct run *runs = realloc(s->runs, cap * sizeof(*runs));

			if (!runs)
				return false;
			s->runs = runs;
			s->cap = cap;
		}
		s->runs[s->count++] = (struct run){start, n};
	}
	s->pages += n;
	return true;
}

static char *stack_pop(struct run_stack *s, size_t want, size_t *got)
{
	struct run *top;
	char *start;

	if (s->count == 0)
		return NULL;
	top = &s->runs[s->count - 1];
	start = top->start;
	*got = top->n < want ? top->n : want;
	top->start += *got * POOL_PAGE;
	top->n -= *got;
	s->pages -= *got;
	if (top->n == 0)
		s->count--;
	return start;
}

/* A new segment; smaller ones are tried when the host is strict about reserving. */
static bool segment_add_locked(void)
{
	for (size_t size = SEGMENT_BYTES; size >= SEGMENT_MIN; size /= 2) {
		char *p = mmap(NULL, size, PROT_READ | PROT_WRITE,
			       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

		if (p == MAP_FAILED)
			continue;
		pool.bump = pool.populated = p;
		pool.end = p + size;
		return true;
	}
	return false;
}

static char *bump_locked(size_t want, size_t *got)
{
	size_t room;
	char *start;

	if (pool.bump == pool.end && !segment_add_locked())
		return NULL;
	room = (size_t)(pool.end - pool.bump) / POOL_PAGE;
	*got = want < room ? want : room;
	start = pool.bump;
	pool.bump += *got * POOL_PAGE;
	if (pool.bump > pool.populated) {
		size_t chunk = POPULATE_PAGES * POOL_PAGE;
		size_t len = ((size_t)(pool.bump - pool.populated) + chunk - 1) / chunk * chunk;

		if (len > (size_t)(pool.end - pool.populated))
			len = (size_t)(pool.end - pool.populated);
		/* Only a hint: on a host without it, pages come in by fault. */
		madvise(pool.populated, len, MADV_POPULATE_WRITE);
		pool.populated += len;
	}
	return start;
}

static uint64_t default_limit(void)
{
	struct sysinfo si;

	if (sysinfo(&si) != 0)
		return UINT64_MAX;
	return (uint64_t)si.totalram * si.mem_unit / POOL_PAGE;
}

char *page_pool_get(size_t want, size_t *got, bool *zeroed)
{
	AUTO_LOCK(&pool.mu);
	char *p;

	if (pool.limit == 0)
		pool.limit = default_limit();
	if (pool.used >= pool.limit)
		return NULL;
	if (want > pool.limit - pool.used)
		want = pool.limit - pool.used;
	*zeroed = false;
	p = stack_pop(&pool.dirty, want, got);
	if (!p) {
		*zeroed = true;
		p = stack_pop(&pool.clean, want, got);
	}
	if (!p)
		p = bump_locked(want, got);
	if (p)
		pool.used += *got;
	return p;
}

void page_pool_put(char *start, size_t n)
{
	AUTO_LOCK(&pool.mu);
	bool give_back = n >= RUN_RETURN || pool.dirty.pages + n > DIRTY_MAX;

	pool.used -= n;
	if (give_back && madvise(start, n * POOL_PAGE, MADV_DONTNEED) == 0) {
		/* Without memory for the stack the address range is lost, not the memory. */
		(void)!stack_push(&pool.clean, start, n);
		return;
	}
	(void)!stack_push(&pool.dirty, start, n);
}

void page_pool_count_host(int64_t pages)
{
	AUTO_LOCK(&pool.mu);
	pool.used += (uint64_t)pages;
	pool.host += (uint64_t)pages;
}

uint64_t page_pool_host(void)
{
	AUTO_LOCK(&pool.mu);
	return pool.host;
}

bool page_pool_has_room(uint64_t pages)
{
	AUTO_LOCK(&pool.mu);
	if (pool.limit == 0)
		pool.limit = default_limit();
	return pool.used <= pool.limit && pages <= pool.limit - pool.used;
}

void page_pool_set_limit(uint64_t pages)
{
	AUTO_LOCK(&pool.mu);
	pool.limit = pages ? pages : 1;
}

uint64_t page_pool_used(void)
{
	AUTO_LOCK(&pool.mu);
	return pool.used;
}
