/* Which pool page holds which page of a file: a radix tree, sparse. Not locked: the inode's
 * data_lock guards it. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct page_map {
	void *root;	 /* struct map_node, or NULL */
	unsigned height; /* levels; 0 when empty */
	uint64_t pages;	 /* present */
};

char *page_map_get(const struct page_map *m, uint64_t idx);
/* -ENOMEM. The place must be empty. */
int page_map_set(struct page_map *m, uint64_t idx, char *page);
/* Gives the pages in [first, last] back to the pool; how many there were. */
uint64_t page_map_remove(struct page_map *m, uint64_t first, uint64_t last);
/* The first page present at or after *idx: moves *idx there. */
char *page_map_next(const struct page_map *m, uint64_t *idx);
