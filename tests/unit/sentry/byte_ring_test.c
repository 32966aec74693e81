#include <criterion/criterion.h>
#include <string.h>

#include "sentry/net/byte_ring.h"
#include "vfs/uio.h"

static void put(struct byte_ring *r, const char *s)
{
	struct uio u;

	uio_init_buf(&u, (void *)(uintptr_t)s, strlen(s));
	cr_assert_eq(byte_ring_put(r, &u, (uint32_t)strlen(s)), (ssize_t)strlen(s));
}

static void expect(const struct byte_ring *r, uint32_t skip, const char *want)
{
	char buf[64] = {0};
	struct uio u;

	uio_init_buf(&u, buf, strlen(want));
	cr_assert_eq(byte_ring_peek(r, &u, skip, (uint32_t)strlen(want)), (ssize_t)strlen(want));
	cr_assert_str_eq(buf, want);
}

Test(byte_ring, bytes_come_out_in_order)
{
	struct byte_ring r = {0};

	put(&r, "hello ");
	put(&r, "world");
	cr_assert_eq(r.used, 11);
	expect(&r, 0, "hello world");
	expect(&r, 6, "wor");
	byte_ring_drop(&r, 6);
	expect(&r, 0, "world");
	byte_ring_drop(&r, 5);
	cr_assert_eq(r.used, 0);
	byte_ring_free(&r);
	cr_assert_null(r.buf);
}

Test(byte_ring, wraps_and_grows_without_losing_a_byte)
{
	struct byte_ring r = {0};
	unsigned in = 0, out = 0;

	for (int round = 0; round < 2000; round++) {
		unsigned char buf[97];
		unsigned n = (unsigned)(round * 31) % sizeof(buf) + 1, got;
		struct uio u;

		for (unsigned i = 0; i < n; i++)
			buf[i] = (unsigned char)(in++);
		uio_init_buf(&u, buf, n);
		cr_assert_eq(byte_ring_put(&r, &u, n), (ssize_t)n);
		got = n / 2 + (round % 3 == 0);
		if (got > r.used)
			got = r.used;
		uio_init_buf(&u, buf, got);
		cr_assert_eq(byte_ring_peek(&r, &u, 0, got), (ssize_t)got);
		for (unsigned i = 0; i < got; i++)
			cr_assert_eq(buf[i], (unsigned char)(out++));
		byte_ring_drop(&r, got);
		cr_assert_eq(r.used, in - out);
	}
	byte_ring_free(&r);
}
