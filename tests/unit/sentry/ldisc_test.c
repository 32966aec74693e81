/* The line discipline by itself: no input may break it, and nothing gets lost in raw mode. */
#include <asm/termbits.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "sentry/fs/ldisc.h"

static struct ldisc l;

static void setup(void)
{
	cr_assert_eq(ldisc_init(&l), 0);
}

TestSuite(ldisc, .init = setup);

static size_t type(const char *s)
{
	return ldisc_input(&l, s, strlen(s));
}

static const char *echoed(void)
{
	static char buf[LDISC_OUTPUT + 1];

	buf[ring_read(&l.out, buf, LDISC_OUTPUT)] = 0;
	return buf;
}

static void raw(void)
{
	struct linux_termios2 m = l.modes;

	m.c_lflag = 0;
	m.c_iflag = 0;
	m.c_oflag = 0;
	ldisc_set_modes(&l, &m);
}

Test(ldisc, a_line_is_read_only_when_it_is_complete)
{
	char buf[16];

	type("ab");
	cr_assert_eq(ldisc_read(&l, buf, sizeof(buf), false), -EAGAIN);
	type("\n");
	cr_assert_eq(ldisc_read(&l, buf, sizeof(buf), false), 3);
	cr_assert_str_eq(echoed(), "ab\r\n");
}

Test(ldisc, erasing_a_character_of_utf8_takes_all_its_bytes)
{
	struct linux_termios2 m = l.modes;
	char buf[16];

	m.c_iflag |= IUTF8;
	ldisc_set_modes(&l, &m);
	type("x\xc3\xa9\x7fy\n");
	cr_assert_eq(ldisc_read(&l, buf, sizeof(buf), false), 3);
	cr_assert_eq(memcmp(buf, "xy\n", 3), 0);
}

Test(ldisc, erasing_a_tab_goes_back_to_where_it_began)
{
	type("abc\t");
	echoed();
	type("\x7f");
	cr_assert_str_eq(echoed(), "\b\b\b\b\b");
}

Test(ldisc, interrupt_discards_the_line_and_is_reported)
{
	char buf[16];

	type("typed\x03");
	cr_assert_eq(l.signals, 1u << SIGINT);
	cr_assert_eq(ldisc_read(&l, buf, sizeof(buf), true), -EAGAIN);
	cr_assert_eq(l.in_used, 0);
}

Test(ldisc, an_overlong_line_can_still_be_ended)
{
	char big[6000], back[6000];
	int64_t n;

	memset(big, 'a', sizeof(big));
	cr_assert_eq(ldisc_input(&l, big, sizeof(big)), sizeof(big));
	type("\n");
	n = ldisc_read(&l, back, sizeof(back), false);
	cr_assert_eq(n, LDISC_INPUT);
	cr_assert_eq(back[n - 1], '\n');
}

Test(ldisc, raw_bytes_pass_unchanged_and_the_writer_is_held_back)
{
	char big[6000], back[6000];
	size_t took;

	raw();
	for (size_t i = 0; i < sizeof(big); i++)
		big[i] = (char)i;
	took = ldisc_input(&l, big, sizeof(big));
	cr_assert_lt(took, sizeof(big));
	cr_assert_eq(ldisc_read(&l, back, sizeof(back), false), (int64_t)took);
	cr_assert_eq(memcmp(big, back, took), 0);
	cr_assert_eq(ldisc_input(&l, big + took, sizeof(big) - took), sizeof(big) - took);
}

Test(ldisc, leaving_canonical_mode_frees_what_was_typed)
{
	char buf[16];

	type("half");
	raw();
	cr_assert_eq(ldisc_read(&l, buf, sizeof(buf), false), 4);
}

/* Whatever modes and bytes come, the counts stay within the buffers. */
Test(ldisc, random_modes_and_bytes_do_no_harm)
{
	srand(7);
	for (int i = 0; i < 200000; i++) {
		char s[64], back[80];
		size_t n = (size_t)rand() % sizeof(s);

		for (size_t k = 0; k < n; k++)
			s[k] = (char)(rand() % 3 ? rand() % 32 : rand());
		switch (rand() % 8) {
		case 0: {
			struct linux_termios2 m = l.modes;

			m.c_iflag = (uint32_t)rand();
			m.c_oflag = (uint32_t)rand();
			m.c_lflag = (uint32_t)rand();
			for (int k = 0; k < 19; k++)
				m.c_cc[k] = (uint8_t)(rand() % 40);
			ldisc_set_modes(&l, &m);
			break;
		}
		case 1:
		case 2:
			ldisc_output(&l, s, n);
			break;
		case 3:
			ldisc_read(&l, back, sizeof(back), rand() & 1);
			break;
		case 4:
			ring_read(&l.out, back, sizeof(back));
			break;
		case 5:
			if (rand() % 50 == 0)
				ldisc_flush_input(&l);
			break;
		default:
			cr_assert_leq(ldisc_input(&l, s, n), n);
		}
		cr_assert_leq(l.in_used, LDISC_INPUT);
		cr_assert_leq(l.in_open, l.in_used);
		cr_assert_leq(l.out.used, l.out.size);
		cr_assert_leq(ldisc_readable_bytes(&l), l.in_used);
	}
	ldisc_fini(&l);
}
