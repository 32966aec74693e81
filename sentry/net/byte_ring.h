/* A queue of bytes that grows as it fills, up to a bound of the caller's. Not locked. */
#pragma once

#include <stdint.h>
#include <sys/types.h>

struct uio;

struct byte_ring {
	char *buf; /* NULL before the first byte */
	uint32_t alloc, head, used;
};

void byte_ring_free(struct byte_ring *r); /* leaves an empty one */
/* Appends n bytes of src (n <= src->resid): n, or none: -EFAULT, -ENOMEM. */
ssize_t byte_ring_put(struct byte_ring *r, struct uio *src, uint32_t n);
/* Copies up to n bytes, `skip` from the front, without taking them: how many, or -EFAULT if not all. */
ssize_t byte_ring_peek(const struct byte_ring *r, struct uio *dst, uint32_t skip, uint32_t n);
void byte_ring_drop(struct byte_ring *r, uint32_t n);
