/* Copies of much memory whose place others choose.
 *
 * `rep movsb`, of which memcpy(3) and the host's kernel make use, moves single bytes where its destination lies
 * up to 15 bytes above its source, seen modulo the size of a page, and takes twice as long up to 31 (AMD
 * Zen 3 and later: 16 KiB in 4,700 ns instead of 150). */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define COPY_APART 32

static inline int copy_is_slow(uint64_t dst, uint64_t src, uint64_t n)
{
	return n >= 256 && ((dst - src) & 4095) - 1 < COPY_APART - 1;
}

/* As memcpy(). */
static inline void copy_bytes(void *dst, const void *src, size_t n)
{
	struct block {
		uint64_t word[8];
	} __attribute__((packed, may_alias));
	uint8_t *d = dst;
	const uint8_t *s = src;

	if (copy_is_slow((uint64_t)dst, (uint64_t)src, n))
		for (; n >= sizeof(struct block); n -= sizeof(struct block)) {
			*(struct block *)d = *(const struct block *)s;
			d += sizeof(struct block);
			s += sizeof(struct block);
			__asm__ volatile("" : : : "memory"); /* or it becomes a call of memcpy() */
		}
	__builtin_memcpy(d, s, n);
}
