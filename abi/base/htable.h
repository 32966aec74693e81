/* Intrusive chained hash table that grows by doubling. Not locked. The user keeps the hash in the
 * node; keys are compared by the user's function. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "abi/base/list.h"

struct hnode {
	struct hnode *next;
	uint64_t hash;
};

struct htable {
	struct hnode **buckets;
	size_t nbuckets; /* a power of two, or 0 before the first insert */
	size_t count;
};

/* SipHash-2-4 with a per-process random key: guests choose the keys. */
uint64_t hash_bytes(const void *p, size_t n);
uint64_t hash_u64(uint64_t v);
uint64_t hash_combine(uint64_t a, uint64_t b);

/* 0 or -ENOMEM (only for the first insert; a failed growth is tolerated). */
int htable_insert(struct htable *t, struct hnode *n, uint64_t hash);
void htable_remove(struct htable *t, struct hnode *n);
/* NULL if eq() accepts none with this hash. */
struct hnode *htable_find(const struct htable *t, uint64_t hash,
			  bool (*eq)(const struct hnode *n, const void *key), const void *key);
/* Iteration: start with NULL; the table must not change meanwhile, except that the node returned
 * last may be removed. */
struct hnode *htable_iter(const struct htable *t, struct hnode *prev);
void htable_destroy(struct htable *t);
