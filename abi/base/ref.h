/* Reference counts. An object starts with one reference, owned by who made it. Taking a reference
 * needs one already held (or the lock that keeps the object alive); ref_get_unless_zero() is for
 * lookups in a table whose entries hold no reference. */
#pragma once

#include <assert.h>
#include <stdatomic.h>
#include <stdbool.h>

struct ref {
	atomic_int n;
};

#define REF_INIT {1}

static inline void ref_init(struct ref *r)
{
	atomic_init(&r->n, 1);
}

static inline void ref_get(struct ref *r)
{
	int old = atomic_fetch_add_explicit(&r->n, 1, memory_order_relaxed);

	assert(old > 0);
	(void)old;
}

static inline bool ref_get_unless_zero(struct ref *r)
{
	int old = atomic_load_explicit(&r->n, memory_order_relaxed);

	while (old > 0)
		if (atomic_compare_exchange_weak_explicit(&r->n, &old, old + 1, memory_order_acquire,
							  memory_order_relaxed))
			return true;
	return false;
}

/* True when this was the last reference: the caller then destroys the object. */
static inline bool ref_put(struct ref *r)
{
	int old = atomic_fetch_sub_explicit(&r->n, 1, memory_order_acq_rel);

	assert(old > 0);
	return old == 1;
}

static inline int ref_count(const struct ref *r)
{
	return atomic_load_explicit((atomic_int *)&r->n, memory_order_relaxed);
}
