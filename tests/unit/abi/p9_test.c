/* The 9P codec: the bytes of messages as the protocol's documents have them, and what it does
 * with bytes that aren't. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "abi/p9/p9.h"

static uint8_t buf[P9_SMALL_MAX];

static void expect_bytes(struct p9_msg *m, const char *bytes, size_t n)
{
	struct p9_msg back;

	cr_assert_eq(p9_encode(m, buf, sizeof(buf)), (ssize_t)n);
	cr_assert_arr_eq(buf, bytes, n);
	cr_assert_eq(p9_decode(buf, n, &back), 0);
	cr_assert_eq(back.type, m->type);
	cr_assert_eq(back.tag, m->tag);
}
#define EXPECT(m, bytes) expect_bytes(m, bytes, sizeof(bytes) - 1)

Test(p9_codec, tversion_is_as_linux_sends_it)
{
	struct p9_msg m = {.type = P9_tversion, .tag = P9_NOTAG};

	m.tversion.msize = 0x2000;
	m.tversion.version = p9_str("9P2000.L", 8);
	EXPECT(&m, "\x15\0\0\0\x64\xff\xff\0\x20\0\0\x08\x00"
		   "9P2000.L");
}

Test(p9_codec, tattach_has_the_numeric_user)
{
	struct p9_msg m = {.type = P9_tattach, .tag = 1};

	m.tattach = (struct p9_tattach){0, P9_NOFID, p9_str("root", 4), p9_str("/x", 2), 1000};
	EXPECT(&m, "\x1d\0\0\0\x68\x01\0\0\0\0\0\xff\xff\xff\xff\x04\0root\x02\0/x\xe8\x03\0\0");
}

Test(p9_codec, twalk_counts_its_names)
{
	struct p9_msg m = {.type = P9_twalk, .tag = 2};

	m.twalk = (struct p9_twalk){1, 2, {2, {p9_str("ab", 2), p9_str("c", 1)}}};
	EXPECT(&m, "\x18\0\0\0\x6e\x02\0\x01\0\0\0\x02\0\0\0\x02\0\x02\0"
		   "ab\x01\0"
		   "c");
}

Test(p9_codec, rwalk_carries_qids)
{
	struct p9_msg m = {.type = P9_rwalk, .tag = 2};

	m.rwalk.qids = (struct p9_qids){1, {{P9_QTDIR, 3, 0x1122334455667788}}};
	EXPECT(&m, "\x16\0\0\0\x6f\x02\0\x01\0\x80\x03\0\0\0\x88\x77\x66\x55\x44\x33\x22\x11");
}

Test(p9_codec, rlerror_is_a_number)
{
	struct p9_msg m = {.type = P9_rlerror, .tag = 9};

	m.rlerror.ecode = ENOENT;
	EXPECT(&m, "\x0b\0\0\0\x07\x09\0\x02\0\0\0");
}

Test(p9_codec, data_in_place_is_not_copied)
{
	struct p9_msg m = {.type = P9_rread, .tag = 1};

	memcpy(buf + P9_DATA_OFFSET, "hello", 5);
	m.rread.data = (struct p9_data){buf + P9_DATA_OFFSET, 5};
	EXPECT(&m, "\x10\0\0\0\x75\x01\0\x05\0\0\0hello");
}

Test(p9_codec, attributes_take_as_many_bytes_as_said)
{
	struct p9_msg m = {.type = P9_rgetattr, .tag = 1}, back;

	m.rgetattr.attr.size = 77;
	m.rgetattr.attr.data_version = 5;
	cr_assert_eq(p9_encode(&m, buf, sizeof(buf)), P9_HDR_SIZE + P9_ATTR_SIZE);
	cr_assert_eq(p9_decode(buf, P9_HDR_SIZE + P9_ATTR_SIZE, &back), 0);
	cr_assert_eq(back.rgetattr.attr.size, 77);
	cr_assert_eq(back.rgetattr.attr.data_version, 5);
}

Test(p9_codec, tfsync_may_lack_its_last_field)
{
	struct p9_msg m;

	cr_assert_eq(p9_decode((char[]){11, 0, 0, 0, 50, 1, 0, 7, 0, 0, 0}, 11, &m), 0);
	cr_assert_eq(m.tfsync.fid, 7);
	cr_assert_eq(m.tfsync.datasync, 0);
}

Test(p9_codec, every_message_survives_both_ways)
{
	struct p9_msg m, back;
	uint8_t again[P9_SMALL_MAX];

	for (int type = 0; type < 256; type++) {
		ssize_t n;

		memset(&m, 0, sizeof(m));
		m.type = (uint8_t)type;
		m.tag = 0x1234;
		n = p9_encode(&m, buf, sizeof(buf));
		if (n == -EINVAL) {
			cr_assert_str_eq(p9_type_name((uint8_t)type), "?");
			continue;
		}
		cr_assert_gt(n, 0);
		cr_assert_eq(p9_decode(buf, (size_t)n, &back), 0);
		cr_assert_eq(p9_encode(&back, again, sizeof(again)), n);
		cr_assert_arr_eq(buf, again, (size_t)n);
	}
}

Test(p9_codec, every_truncation_is_refused)
{
	struct p9_msg m, back;

	for (int type = 0; type < 256; type++) {
		memset(&m, 0, sizeof(m));
		m.type = (uint8_t)type;
		ssize_t n = p9_encode(&m, buf, sizeof(buf));

		for (ssize_t k = P9_HDR_SIZE; k < n; k++) {
			uint8_t *cut = malloc((size_t)k); /* so that a sanitizer sees an overrun */

			memcpy(cut, buf, (size_t)k);
			cut[0] = (uint8_t)k;
			cut[1] = (uint8_t)(k >> 8);
			if (!(type == P9_tfsync && k == n - 4))
				cr_assert_eq(p9_decode(cut, (size_t)k, &back), -EBADMSG, "%s at %zd",
					     p9_type_name((uint8_t)type), k);
			free(cut);
		}
	}
}

Test(p9_codec, lengths_that_lie_are_refused)
{
	struct p9_msg m;

	/* size field against length; bytes left over; a string longer than the message; 17 names */
	cr_assert_eq(p9_decode((char[]){8, 0, 0, 0, 121, 1, 0}, 7, &m), -EBADMSG);
	cr_assert_eq(p9_decode((char[]){8, 0, 0, 0, 121, 1, 0, 0}, 8, &m), -EBADMSG);
	cr_assert_eq(p9_decode((char[]){9, 0, 0, 0, 23, 1, 0, 1, 0}, 9, &m), -EBADMSG);
	memset(buf, 0, 64);
	buf[0] = 7 + 4 + 4 + 2 + 34;
	buf[4] = P9_twalk;
	buf[15] = 17;
	cr_assert_eq(p9_decode(buf, buf[0], &m), -EBADMSG);
	cr_assert_eq(p9_decode((char[]){7, 0, 0, 0, 1, 1, 0}, 7, &m), -EOPNOTSUPP);
}

Test(p9_codec, what_does_not_fit_is_not_written)
{
	struct p9_msg m = {.type = P9_rversion, .tag = 1};

	m.rversion.version = p9_str("9P2000.L", 8);
	memset(buf, 0xaa, sizeof(buf));
	cr_assert_eq(p9_encode(&m, buf, 20), -EMSGSIZE);
	cr_assert_eq(buf[20], 0xaa);
}

Test(p9_codec, directory_entries_end_at_the_last_whole_one)
{
	struct p9_dirent d = {.offset = 5, .type = 8, .name = p9_str("name", 4)}, back;
	struct p9_cur c = p9_cur(buf, sizeof(buf));
	size_t n;

	p9_put_dirent(&c, &d);
	p9_put_dirent(&c, &d);
	n = p9_dirent_size(4);
	c = p9_cur(buf, 2 * n - 1);
	cr_assert(p9_get_dirent(&c, &back));
	cr_assert_eq(back.name.len, 4);
	cr_assert_not(p9_get_dirent(&c, &back));
	cr_assert(c.bad);
}
