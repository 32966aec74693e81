/* The tree lock: who has it shared sees names, parents and mounts stand still.
 *
 * A path walk takes it once, shared, and walks through cached dirents and mounts without touching
 * a reference count. Readers must not stall each other, so it is one mutex per shard of threads:
 * a reader takes its own, a writer takes all. Nothing blocks or calls a file system under it.
 * Never recursive. */
#pragma once

#include <stddef.h>
#include <stdint.h>

void tree_lock_init(void);
void tree_rdlock(void);
void tree_rdunlock(void);
void tree_wrlock(void);
void tree_wrunlock(void);
/* Lookups answered from the cache; under the lock, shared. */
void tree_count_hits(unsigned n);
uint64_t tree_hits(void);
