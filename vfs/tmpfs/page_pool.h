/* Pages for file data: private memory of the sentry that the guest never maps. One pool for all
 * tmpfs instances; each instance does its own accounting. Any thread; the lock is a leaf. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define POOL_PAGE 4096UL
#define POOL_PAGE_SHIFT 12

/* Up to `want` pages next to each other: the first one, with the number in *got (at least 1) and in
 * *zeroed whether they read as zeros (else their contents are old data, to be overwritten before
 * anyone sees them). NULL: no memory, or the limit is reached. */
char *page_pool_get(size_t want, size_t *got, bool *zeroed);
void page_pool_put(char *start, size_t n);
/* Pages that files have in host files of their own count as well, but are only known afterwards. */
void page_pool_count_host(int64_t pages);
bool page_pool_has_room(uint64_t pages);
/* The most that the pool may hold, in pages. Default: the machine's memory. */
void page_pool_set_limit(uint64_t pages);
uint64_t page_pool_used(void);
uint64_t page_pool_host(void); /* of these: in host files, as far as known */
