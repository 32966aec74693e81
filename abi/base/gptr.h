/* Guest addresses and integers that come from the guest. A struct, so that it cannot be
 * dereferenced by accident: only the copy functions (sentry/mm/usercopy.h) unwrap it. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct gptr {
	uint64_t v;
};

#define GNULL ((struct gptr){0})

static inline struct gptr gptr(uint64_t v)
{
	return (struct gptr){v};
}

static inline struct gptr gptr_add(struct gptr p, uint64_t n)
{
	return (struct gptr){p.v + n};
}

static inline bool gptr_null(struct gptr p)
{
	return p.v == 0;
}

#define GUEST_PAGE_SIZE 4096UL
#define GUEST_PAGE_MASK (~(GUEST_PAGE_SIZE - 1))

static inline uint64_t page_down(uint64_t v)
{
	return v & GUEST_PAGE_MASK;
}

/* Wraps to 0 at the top of the range: the caller checks. */
static inline uint64_t page_up(uint64_t v)
{
	return (v + GUEST_PAGE_SIZE - 1) & GUEST_PAGE_MASK;
}
