/* Where mappings go that don't say where: top-down from mmap_base, below the stack, at random per
 * exec. A hint remembers where the last search ended, and the largest hole that was passed over, so
 * that most searches look at one VMA. */
#include <pthread.h>
#include <sys/random.h>

#include "sentry/mm/mm_impl.h"

/* Entropy as Linux x86-64 has it: mmap_rnd_bits, the stack's 22 bits of pages. */
#define MMAP_RND_PAGES (1UL << 28)
#define STACK_RND_PAGES (1UL << 22)
#define STACK_GAP_MIN (128UL << 20)
#define LOW_32BIT_START 0x40000000UL
#define LOW_32BIT_END 0x80000000UL

bool layout_is_guest(uint64_t addr, uint64_t len)
{
	return addr >= PF_GUEST_MIN && addr <= PF_GUEST_MAX && len <= PF_GUEST_MAX - addr;
}

uint64_t layout_random(uint64_t pages)
{
	static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
	static uint64_t pool[32];
	static size_t left;
	uint64_t r;

	pthread_mutex_lock(&lock);
	if (left == 0) {
		if (getrandom(pool, sizeof(pool), 0) != sizeof(pool))
			abort();
		left = sizeof(pool) / sizeof(pool[0]);
	}
	r = pool[--left];
	pthread_mutex_unlock(&lock);
	return r % pages * GUEST_PAGE_SIZE;
}

uint64_t layout_init(struct mm *m, uint64_t rlim_stack, bool random)
{
	uint64_t top = PF_GUEST_MAX - GUEST_PAGE_SIZE -
		       (random ? layout_random(STACK_RND_PAGES) : 0);
	uint64_t gap = rlim_stack;
	uint64_t max_gap = PF_GUEST_MAX / 6 * 5;

	if (gap < STACK_GAP_MIN)
		gap = STACK_GAP_MIN;
	if (gap > max_gap)
		gap = max_gap;
	gap = page_up(gap) + MM_GUARD_GAP;
	m->mmap_base = PF_GUEST_MAX - STACK_RND_PAGES * GUEST_PAGE_SIZE - gap -
		       (random ? layout_random(MMAP_RND_PAGES) : 0);
	m->impl->hint = m->mmap_base;
	m->impl->hole = 0;
	return top;
}

/* The highest free range of len bytes that ends at or below `top`; *hole: the largest that was too
 * small. */
static uint64_t search_down(struct mm *m, uint64_t len, uint64_t low, uint64_t top, uint64_t *hole)
{
	uint64_t end = top;

	for (struct vma *v = vma_find_below(m, top);; v = vma_prev(v)) {
		uint64_t from = v && v->end > low ? v->end : low;

		if (from < end && end - from >= len)
			return end - len;
		if (from < end && end - from > *hole)
			*hole = end - from;
		if (!v || v->start <= low)
			return 0;
		if (vma_start_gap(v) < end)
			end = vma_start_gap(v);
	}
}

static uint64_t search_up(struct mm *m, uint64_t len, uint64_t low, uint64_t high)
{
	uint64_t addr = low;

	for (struct vma *v = vma_find(m, low);; v = vma_next(v)) {
		uint64_t limit = v && vma_start_gap(v) < high ? vma_start_gap(v) : high;

		if (limit > addr && limit - addr >= len)
			return addr;
		if (!v || v->start >= high)
			return 0;
		if (v->end > addr)
			addr = v->end;
	}
}

uint64_t layout_search(struct mm *m, uint64_t len, bool low_32bit)
{
	struct mm_impl *impl = m->impl;
	uint64_t addr;

	if (low_32bit)
		return search_up(m, len, LOW_32BIT_START, LOW_32BIT_END);
	if (len <= impl->hole) {
		impl->hint = m->mmap_base;
		impl->hole = 0;
	}
	addr = search_down(m, len, PF_GUEST_MIN, impl->hint, &impl->hole);
	if (!addr && impl->hint != m->mmap_base) {
		impl->hole = 0;
		addr = search_down(m, len, PF_GUEST_MIN, m->mmap_base, &impl->hole);
	}
	if (addr) {
		impl->hint = addr;
		return addr;
	}
	return search_up(m, len, m->mmap_base, PF_GUEST_MAX);
}

/* The next search begins where this one did: what is busy now is free then. */
uint64_t layout_search_idle(struct mm_op *op, uint64_t len, bool low_32bit)
{
	struct mm_impl *impl = op->m->impl;
	uint64_t addr = layout_search(op->m, len, low_32bit), first = addr + len, hole = 0, below;

	if (!op->shared || low_32bit)
		return addr;
	while (addr && (below = busy_below(impl, op->th, addr, addr + len))) {
		op->skipped = true;
		addr = search_down(op->m, len, PF_GUEST_MIN, below, &hole);
	}
	if (op->skipped)
		impl->hint = first < op->m->mmap_base ? first : op->m->mmap_base;
	return addr;
}

uint64_t layout_search_aligned(struct mm *m, uint64_t len, uint64_t align)
{
	uint64_t found = layout_search(m, len + align - GUEST_PAGE_SIZE, false), addr;

	if (!found)
		return 0;
	addr = (found + align - 1) & ~(align - 1);
	m->impl->hint = addr;
	/* What is left above. */
	if (align - GUEST_PAGE_SIZE - (addr - found) > m->impl->hole)
		m->impl->hole = align - GUEST_PAGE_SIZE - (addr - found);
	return addr;
}

bool layout_free(struct mm *m, uint64_t addr, uint64_t len)
{
	struct vma *v = vma_find(m, addr);

	return layout_is_guest(addr, len) && (!v || addr + len <= vma_start_gap(v));
}

void layout_unmapped(struct mm *m, uint64_t start, uint64_t end)
{
	if (end > m->impl->hint)
		m->impl->hint = end < m->mmap_base ? end : m->mmap_base;
}
