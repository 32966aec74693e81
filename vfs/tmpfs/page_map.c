/* A radix tree of 64-way nodes, as high as the largest index needs: a file of up to 256 KiB is one
 * node. Nodes that become empty are freed, so a hole costs nothing. */
#include "vfs/tmpfs/page_map.h"

#include <errno.h>
#include <stdlib.h>

#include "vfs/tmpfs/page_pool.h"

#define FANOUT_SHIFT 6
#define FANOUT (1u << FANOUT_SHIFT)
#define HEIGHT_MAX 10 /* 60 bits of page index */

struct map_node {
	unsigned used;
	void *slot[FANOUT]; /* nodes, or pages in the lowest level */
};

static uint64_t span_of(unsigned height)
{
	return 1ULL << (FANOUT_SHIFT * height);
}

static unsigned slot_of(uint64_t idx, unsigned level)
{
	return (idx >> (FANOUT_SHIFT * (level - 1))) & (FANOUT - 1);
}

char *page_map_get(const struct page_map *m, uint64_t idx)
{
	void *p = m->root;

	if (m->height == 0 || idx >= span_of(m->height))
		return NULL;
	for (unsigned level = m->height; level > 0 && p; level--)
		p = ((struct map_node *)p)->slot[slot_of(idx, level)];
	return p;
}

/* High enough for idx. A tree without pages starts at the right height: no empty nodes below. */
static int grow(struct page_map *m, uint64_t idx)
{
	unsigned height = m->height ? m->height : 1;

	while (idx >= span_of(height))
		if (++height > HEIGHT_MAX)
			return -EFBIG;
	while (m->height < height) {
		struct map_node *n = calloc(1, sizeof(*n));

		if (!n)
			return -ENOMEM;
		if (m->root) {
			n->slot[0] = m->root;
			n->used = 1;
			m->height++;
		} else {
			m->height = height;
		}
		m->root = n;
	}
	return 0;
}

int page_map_set(struct page_map *m, uint64_t idx, char *page)
{
	struct map_node *n;
	int r = grow(m, idx);

	if (r < 0)
		return r;
	n = m->root;
	for (unsigned level = m->height; level > 1; level--) {
		void **s = &n->slot[slot_of(idx, level)];

		if (!*s) {
			/* Empty nodes left behind by a failure here are freed with the tree. */
			*s = calloc(1, sizeof(*n));
			if (!*s)
				return -ENOMEM;
			n->used++;
		}
		n = *s;
	}
	n->slot[slot_of(idx, 1)] = page;
	n->used++;
	m->pages++;
	return 0;
}

/* Collects neighbours, so that a file written in one go goes back in one piece. */
struct free_run {
	char *start;
	size_t n;
	uint64_t total;
};

static void run_add(struct free_run *run, char *page)
{
	run->total++;
	if (run->n && run->start + run->n * POOL_PAGE == page) {
		run->n++;
		return;
	}
	if (run->n)
		page_pool_put(run->start, run->n);
	run->start = page;
	run->n = 1;
}

/* Removes [first, last], relative to this node. True when the node is empty and was freed. */
static bool node_remove(struct map_node *n, unsigned level, uint64_t first, uint64_t last,
			struct free_run *run)
{
	uint64_t span = span_of(level - 1);

	for (uint64_t s = first / span; s <= last / span; s++) {
		uint64_t base = s * span;

		if (!n->slot[s])
			continue;
		if (level == 1) {
			run_add(run, n->slot[s]);
		} else if (!node_remove(n->slot[s], level - 1, first > base ? first - base : 0,
					last < base + span - 1 ? last - base : span - 1, run)) {
			continue;
		}
		n->slot[s] = NULL;
		n->used--;
	}
	if (n->used)
		return false;
	free(n);
	return true;
}

uint64_t page_map_remove(struct page_map *m, uint64_t first, uint64_t last)
{
	struct free_run run = {NULL, 0, 0};

	if (m->height == 0 || first >= span_of(m->height) || first > last)
		return 0;
	if (last >= span_of(m->height))
		last = span_of(m->height) - 1;
	if (node_remove(m->root, m->height, first, last, &run)) {
		m->root = NULL;
		m->height = 0;
	}
	if (run.n)
		page_pool_put(run.start, run.n);
	m->pages -= run.total;
	return run.total;
}

static char *node_next(const struct map_node *n, unsigned level, uint64_t *idx)
{
	uint64_t span = span_of(level - 1), rel = *idx;

	for (uint64_t s = rel / span; s < FANOUT; s++) {
		uint64_t sub = s * span > rel ? 0 : rel - s * span;
		char *p = n->slot[s];

		if (!p)
			continue;
		if (level > 1)
			p = node_next(n->slot[s], level - 1, &sub);
		else
			sub = 0;
		if (p) {
			*idx = s * span + sub;
			return p;
		}
	}
	return NULL;
}

char *page_map_next(const struct page_map *m, uint64_t *idx)
{
	if (m->height == 0 || *idx >= span_of(m->height))
		return NULL;
	return node_next(m->root, m->height, idx);
}
