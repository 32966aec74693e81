/* Which call sites are found, and what they become. The C library of this machine is the sample. */
#include "tests/unit/platform/guest.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "platform/patch/patch.h"
#include "platform/stub/layout.h"

#define LIBC "/lib/x86_64-linux-gnu/libc.so.6"
#define DELTA 0x40000000L

static uint8_t *sample;
static size_t sample_size;

static void sample_load(void)
{
	struct stat st;
	int fd = open(LIBC, O_RDONLY);

	if (fd < 0 || fstat(fd, &st) < 0)
		cr_skip_test("no " LIBC);
	sample_size = st.st_size;
	sample = malloc(sample_size);
	cr_assert_eq(read(fd, sample, sample_size), (ssize_t)sample_size);
	close(fd);
}

TestSuite(patch, .init = sample_load, .timeout = 120);

static int32_t rel32(const uint8_t *p)
{
	int32_t v;

	memcpy(&v, p, 4);
	return v;
}

/* Where the thunk's last lea says that the call returns to. */
static int64_t thunk_back(const uint8_t *thunk, int64_t at, const struct patch_site *s)
{
	unsigned lea = s->pad ? 34 : 39;

	cr_assert_eq(memcmp(thunk + lea, "\x48\x8d\x0d", 3), 0);
	return at + lea + 7 + rel32(thunk + lea + 3);
}

Test(patch, sites_become_jumps_to_thunks_that_return_behind_them)
{
	struct patch_plan p;
	uint8_t *text, *thunks;
	unsigned a = 0, b = 0;

	cr_assert_eq(patch_scan(sample, sample_size, &p), 0);
	text = malloc(p.end - p.start);
	thunks = malloc(patch_thunks_size(&p));
	memcpy(text, sample + p.start, p.end - p.start);
	patch_write(&p, text, thunks, DELTA, STUB_FAST_ENTRY);
	for (size_t i = 0; i < p.nsites; i++) {
		const struct patch_site *s = &p.sites[i];
		const uint8_t *before = sample + s->off, *after = text + (s->off - p.start);
		const uint8_t *thunk = thunks + i * PATCH_THUNK_SIZE;
		int64_t at = (int64_t)p.start + DELTA + (int64_t)(i * PATCH_THUNK_SIZE);

		cr_assert_eq(memcmp(before, "\x0f\x05", 2), 0);
		if (s->pad) {
			const uint8_t *pad = text + (s->pad - p.start);

			b++;
			cr_expect_eq(after[0], 0xeb);
			cr_expect_eq((int64_t)s->off + 2 + (int8_t)after[1], (int64_t)s->pad);
			cr_expect_eq(pad[0], 0xe9);
			cr_expect_eq((int64_t)s->pad + 5 + rel32(pad + 1), at);
		} else {
			a++;
			cr_expect_eq(before[-5], 0xb8);
			cr_expect_eq((uint32_t)rel32(before - 4), s->nr);
			cr_expect_neq(s->nr, SYS_rt_sigreturn);
			cr_expect_eq(after[-5], 0xe9);
			cr_expect_eq((int64_t)s->off + rel32(after - 4), at);
			cr_expect_eq(memcmp(after, "\x0f\x05", 2), 0);
			cr_expect_eq(thunk[0], 0xb8);
		}
		cr_expect_eq(thunk_back(thunk, at, s), (int64_t)s->off + 2);
	}
	cr_expect_gt(a, 100);
	cr_expect_gt(b, 10);
	/* Nothing else has changed. */
	for (size_t i = 0; i < p.nsites; i++) {
		const struct patch_site *s = &p.sites[i];

		memcpy(text + (s->off - 5 - p.start), sample + s->off - 5, 7);
		if (s->pad)
			memcpy(text + (s->pad - p.start), sample + s->pad, 5);
	}
	cr_expect_eq(memcmp(text, sample + p.start, p.end - p.start), 0);
	free(text);
	free(thunks);
	patch_plan_free(&p);
}

Test(patch, truncated_and_damaged_files_are_survived)
{
	struct patch_plan p;
	uint64_t seed = 12345;

	for (size_t n = 0; n < sample_size; n += sample_size / 24 + 1) {
		uint8_t *copy = malloc(n ? n : 1); /* so that a checker sees what is read behind it */

		memcpy(copy, sample, n);
		if (patch_scan(copy, n, &p) == 0)
			patch_plan_free(&p);
		free(copy);
	}
	for (int round = 0; round < 24; round++) {
		uint8_t *copy = malloc(sample_size);

		memcpy(copy, sample, sample_size);
		for (int i = 0; i < 2000; i++) {
			seed = seed * 6364136223846793005UL + 1442695040888963407UL;
			copy[(seed >> 20) % (round & 1 ? 4096 : sample_size)] = seed >> 13;
			if (i == 4 && round & 1)
				break;
		}
		if (patch_scan(copy, sample_size, &p) == 0) {
			for (size_t i = 0; i < p.nsites; i++) {
				cr_assert_geq(p.sites[i].off, p.start + 5);
				cr_assert_leq(p.sites[i].off + 2, p.end);
				cr_assert(!p.sites[i].pad || (p.sites[i].pad >= p.start &&
							      p.sites[i].pad + 5 <= p.end));
			}
			patch_plan_free(&p);
		}
		free(copy);
	}
}

Test(patch, files_that_are_not_programs_are_refused)
{
	struct patch_plan p;
	uint8_t zeros[4096] = {0};

	cr_expect_eq(patch_scan(zeros, sizeof(zeros), &p), -ENOEXEC);
	cr_expect_eq(patch_scan(sample, 10, &p), -ENOEXEC);
}
