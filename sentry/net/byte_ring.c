#include "sentry/net/byte_ring.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "vfs/uio.h"

#define RING_FIRST_ALLOC 4096u

static uint32_t min_u32(uint32_t a, uint32_t b)
{
	return a < b ? a : b;
}

void byte_ring_free(struct byte_ring *r)
{
	free(r->buf);
	*r = (struct byte_ring){0};
}

static int ring_reserve(struct byte_ring *r, uint32_t n)
{
	uint32_t size = r->alloc ? r->alloc : RING_FIRST_ALLOC, first;
	char *buf;

	if (r->alloc - r->used >= n)
		return 0;
	while (size - r->used < n)
		size *= 2;
	buf = malloc(size);
	if (!buf)
		return -ENOMEM;
	first = min_u32(r->used, r->alloc - r->head);
	if (r->used) {
		memcpy(buf, r->buf + r->head, first);
		memcpy(buf + first, r->buf, r->used - first);
	}
	free(r->buf);
	r->buf = buf;
	r->alloc = size;
	r->head = 0;
	return 0;
}

ssize_t byte_ring_put(struct byte_ring *r, struct uio *src, uint32_t n)
{
	uint32_t done = 0;
	int err = ring_reserve(r, n);

	if (err)
		return err;
	while (done < n) {
		uint32_t pos = (r->head + r->used + done) & (r->alloc - 1);
		uint32_t chunk = min_u32(n - done, r->alloc - pos);
		ssize_t k = uio_from(src, r->buf + pos, chunk);

		if (k > 0)
			done += (uint32_t)k;
		if (k < 0 || (uint32_t)k < chunk) {
			uio_revert(src, done);
			return -EFAULT;
		}
	}
	__atomic_store_n(&r->used, r->used + done, __ATOMIC_RELAXED);
	return done;
}

ssize_t byte_ring_peek(const struct byte_ring *r, struct uio *dst, uint32_t skip, uint32_t n)
{
	uint32_t done = 0;

	n = min_u32(n, r->used - skip);
	while (done < n) {
		uint32_t pos = (r->head + skip + done) & (r->alloc - 1);
		uint32_t chunk = min_u32(n - done, r->alloc - pos);
		ssize_t k = uio_to(dst, r->buf + pos, chunk);

		if (k > 0)
			done += (uint32_t)k;
		if (k < 0 || (uint32_t)k < chunk) {
			uio_revert(dst, done);
			return -EFAULT;
		}
	}
	return done;
}

void byte_ring_drop(struct byte_ring *r, uint32_t n)
{
	__atomic_store_n(&r->used, r->used - n, __ATOMIC_RELAXED);
	r->head = r->used ? (r->head + n) & (r->alloc - 1) : 0;
}
