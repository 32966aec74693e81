/* Which call sites are found, and what they become. The C library of this machine is the sample. */
#include "tests/unit/platform/guest.h"

#include <capstone/capstone.h>

#include "platform/patch/insn.h"
#include "platform/patch/patch.h"
#include "platform/stub/layout.h"
#include "tests/unit/platform/patch_file.h"

#define LIBC "/lib/x86_64-linux-gnu/libc.so.6"
#define GOLDEN "tests/unit/platform/golden/sites.txt"
#define DELTA 0x40000000L

static struct bytes sample;

static void sample_load(void)
{
	if (!bytes_load(LIBC, &sample))
		cr_skip_test("no " LIBC);
}

TestSuite(patch, .timeout = 120);
TestSuite(patch_sample, .init = sample_load, .timeout = 120);

static int32_t rel32(const uint8_t *p)
{
	int32_t v;

	memcpy(&v, p, 4);
	return v;
}

static int scan(struct bytes *b, struct patch_plan *out)
{
	struct patch_file f = bytes_file(b);
	uint64_t start = 0;

	bytes_text(b, 0, &start);
	return patch_scan(&f, start, 0, UINT64_MAX, out);
}

/* What patch_write() makes of a plan. */
struct patched {
	struct patch_plan plan;
	uint8_t *text, *thunks;
};

static void patched_make(struct patched *w)
{
	size_t n = w->plan.end - w->plan.start;

	w->text = malloc(n);
	w->thunks = malloc(patch_thunks_size(&w->plan));
	memcpy(w->text, w->plan.text, n);
	patch_write(&w->plan, w->text, w->thunks, DELTA, STUB_FAST_ENTRY);
}

static void patched_free(struct patched *w)
{
	free(w->text);
	free(w->thunks);
	patch_plan_free(&w->plan);
}

Test(patch_sample, sites_become_jumps_to_thunks_that_return_behind_them)
{
	struct patched w;
	unsigned a = 0, b = 0;

	cr_assert_eq(scan(&sample, &w.plan), 0);
	patched_make(&w);
	for (size_t i = 0; i < w.plan.nsites; i++) {
		const struct patch_site *s = &w.plan.sites[i];
		const uint8_t *before = sample.p + s->off, *after = w.text + (s->off - w.plan.start);
		const uint8_t *thunk = w.thunks + patch_thunk_place(i);
		int64_t at = (int64_t)w.plan.start + DELTA + (int64_t)patch_thunk_place(i);

		cr_assert_eq(memcmp(before, "\x0f\x05", 2), 0);
		cr_expect_eq(patch_plan_find(&w.plan, s->off), s);
		if (s->pad) {
			const uint8_t *pad = w.text + (s->pad - w.plan.start);

			b++;
			cr_expect_eq(after[0], 0xeb);
			cr_expect_eq((int64_t)s->off + 2 + (int8_t)after[1], (int64_t)s->pad);
			cr_expect_eq(pad[0], 0xe9);
			cr_expect_eq((int64_t)s->pad + 5 + rel32(pad + 1), at);
		} else {
			const uint8_t *jump = after - s->displaced;

			a++;
			cr_expect_geq(s->displaced, 5);
			cr_expect_eq(jump[0], 0xe9);
			cr_expect_eq((int64_t)s->off - s->displaced + 5 + rel32(jump + 1), at);
			cr_expect_eq(memcmp(after, "\x0f\x05", 2), 0);
			cr_expect(s->rip_at || !memcmp(thunk, before - s->displaced, s->displaced));
			for (unsigned k = 0; k < s->displaced; k++)
				cr_expect_eq(at + patch_thunk_original(thunk, k),
					     (int64_t)s->off - s->displaced + k);
		}
		cr_expect_eq(at + patch_thunk_return(thunk), (int64_t)s->off + 2);
		cr_expect_eq(at + patch_thunk_original(thunk, s->displaced), (int64_t)s->off);
	}
	cr_expect_gt(a, 400);
	cr_expect_gt(b, 5);
	/* Nothing else has changed. */
	for (size_t i = 0; i < w.plan.nsites; i++) {
		const struct patch_site *s = &w.plan.sites[i];
		uint64_t from = s->off - s->displaced;

		memcpy(w.text + (from - w.plan.start), sample.p + from, s->pad ? 2 : 5);
		if (s->pad)
			memcpy(w.text + (s->pad - w.plan.start), sample.p + s->pad, 5);
	}
	cr_expect_eq(memcmp(w.text, sample.p + w.plan.start, w.plan.end - w.plan.start), 0);
	patched_free(&w);
}

Test(patch_sample, truncated_and_damaged_files_are_survived)
{
	struct patch_plan p;
	uint64_t seed = 12345;

	for (size_t n = 0; n < sample.n; n += sample.n / 24 + 1) {
		struct bytes copy = {malloc(n ? n : 1), n}; /* so that a checker sees what is read behind it */

		memcpy(copy.p, sample.p, n);
		if (scan(&copy, &p) == 0)
			patch_plan_free(&p);
		free(copy.p);
	}
	for (int round = 0; round < 24; round++) {
		struct bytes copy = {malloc(sample.n), sample.n};

		memcpy(copy.p, sample.p, sample.n);
		for (int i = 0; i < 2000; i++) {
			seed = seed * 6364136223846793005UL + 1442695040888963407UL;
			copy.p[(seed >> 20) % (round & 1 ? 4096 : sample.n)] = seed >> 13;
			if (i == 4 && round & 1)
				break;
		}
		if (scan(&copy, &p) == 0) {
			struct patched w = {.plan = p};

			patched_make(&w); /* within its bounds, as a checker sees */
			patched_free(&w);
		}
		free(copy.p);
	}
}

Test(patch_sample, files_that_are_not_programs_are_refused)
{
	struct bytes zeros = {calloc(1, 4096), 4096}, ten = {sample.p, 10};
	struct patch_file f = bytes_file(&sample);
	struct patch_plan p;

	cr_expect_eq(scan(&zeros, &p), -ENOEXEC);
	cr_expect_eq(scan(&ten, &p), -ENOEXEC);
	cr_expect_eq(patch_scan(&f, 0, 0, UINT64_MAX, &p), -ENOEXEC); /* its headers are no code */
	free(zeros.p);
}

/* ---- golden ----------------------------------------------------------------------------------- */

static size_t hex_read(const char *s, uint8_t *out)
{
	size_t n = 0;
	int used;
	unsigned v;

	while (sscanf(s, " %2x%n", &v, &used) == 1) {
		out[n++] = v;
		s += used;
	}
	return n;
}

static void hex_write(FILE *f, const char *name, const uint8_t *p, size_t n)
{
	fprintf(f, "%s:", name);
	for (size_t i = 0; i < n; i++)
		fprintf(f, " %02x", p[i]);
	fprintf(f, "\n");
}

struct golden {
	char name[128];
	uint8_t code[64], pad[64], text[128], thunk[64];
	size_t ncode, npad, ntext, nthunk;
};

/* UPDATE=1 prints what the file should hold. */
static void golden_check(struct golden *g)
{
	uint8_t both[256];
	struct bytes b;
	struct patched w = {0};
	size_t n = g->ncode + g->npad, nthunk = 0;
	const uint8_t *text = both, *thunk = NULL;

	memcpy(both, g->code, g->ncode);
	memcpy(both + g->ncode, g->pad, g->npad);
	b = bytes_make(both, n + 1, (const uint64_t[][2]){{0, g->ncode}, {n, 1}, {0, 0}});
	b.p[MADE_TEXT + n] = 0xc3;
	if (scan(&b, &w.plan) == 0) {
		patched_make(&w);
		text = w.text;
		thunk = w.thunks + PATCH_THUNK_SIZE;
		nthunk = w.plan.sites[0].displaced;
		cr_expect_eq(memcmp(thunk + nthunk, "\xf3\x49\x0f\xae\xcb", 5), 0);
	}
	if (getenv("UPDATE")) {
		printf("case: %s\n", g->name);
		hex_write(stdout, "code", g->code, g->ncode);
		hex_write(stdout, "pad", g->pad, g->npad);
		hex_write(stdout, "text", text, n);
		hex_write(stdout, "thunk", thunk, nthunk);
		printf("\n");
	} else {
		cr_expect(n == g->ntext && !memcmp(text, g->text, n), "text of case '%s'", g->name);
		cr_expect(nthunk == g->nthunk && (!nthunk || !memcmp(thunk, g->thunk, nthunk)),
			  "thunk of case '%s'", g->name);
	}
	free(b.p);
	patched_free(&w);
}

Test(patch, each_rule_gives_the_golden_bytes)
{
	FILE *f = fopen(GOLDEN, "r");
	struct golden g = {0};
	unsigned cases = 0;
	char line[512];

	if (!f)
		cr_skip_test("not run in the project's directory");
	while (fgets(line, sizeof(line), f)) {
		line[strcspn(line, "\n")] = 0;
		if (!strncmp(line, "case: ", 6))
			snprintf(g.name, sizeof(g.name), "%.100s", line + 6);
		else if (!strncmp(line, "code:", 5))
			g.ncode = hex_read(line + 5, g.code);
		else if (!strncmp(line, "pad:", 4))
			g.npad = hex_read(line + 4, g.pad);
		else if (!strncmp(line, "text:", 5))
			g.ntext = hex_read(line + 5, g.text);
		else if (!strncmp(line, "thunk:", 6)) {
			g.nthunk = hex_read(line + 6, g.thunk);
			golden_check(&g);
			cases++;
		}
	}
	fclose(f);
	cr_expect_gt(cases, 15);
}

/* ---- where sites lie -------------------------------------------------------------------------- */

/* One function of n bytes at `off` of a text of three pages of int3. */
static struct bytes placed(uint64_t off, const char *code, size_t n)
{
	static uint8_t text[3 * 4096];

	memset(text, 0xcc, sizeof(text));
	memcpy(text + off, code, n);
	return bytes_make(text, sizeof(text), (const uint64_t[][2]){{off, n}, {0, 0}});
}

Test(patch, a_jump_never_crosses_a_page)
{
	static const char code[] = "\xb8\x27\0\0\0\x0f\x05\xc3"; /* mov $39,%eax; syscall; ret */

	for (uint64_t off = 4096 - 16; off < 4096 + 16; off++) {
		struct bytes b = placed(off, code, 8);
		struct patch_plan p;
		bool crosses = off / 4096 != (off + 4) / 4096;

		cr_expect_eq(scan(&b, &p), crosses ? -ENOENT : 0, "%lx", off);
		if (!crosses) {
			cr_expect_eq(p.nsites, 1);
			cr_expect_eq(p.sites[0].displaced, 5);
		}
		patch_plan_free(&p);
		free(b.p);
	}
}

Test(patch, padding_is_used_as_far_as_a_short_jump_reaches)
{
	static const char code[] = "\x89\xf8\x0f\x05"; /* mov %edi,%eax; syscall; nops; ret */
	uint8_t f[256];

	memset(f, 0x90, sizeof(f));
	memcpy(f, code, 4);
	for (size_t n = 100; n < 160; n++) {
		struct bytes b;
		struct patch_plan p;

		f[n - 1] = 0xc3;
		b = bytes_make(f, n, (const uint64_t[][2]){{0, n}, {0, 0}});
		free(b.p);
		uint8_t text[400];
		memset(text, 0xcc, sizeof(text));
		memcpy(text, f, n);
		text[n + 16] = 0xc3;
		b = bytes_make(text, n + 17, (const uint64_t[][2]){{0, n}, {n + 16, 1}, {0, 0}});
		cr_expect_eq(scan(&b, &p), n <= 4 + 127 ? 0 : -ENOENT, "%zu", n);
		patch_plan_free(&p);
		free(b.p);
		f[n - 1] = 0x90;
	}
}

/* Call sites and places between blocks that are too small, as many as there can be: unbounded, looking for
 * padding would take hours. */
Test(patch, a_text_made_to_be_slow_to_scan_is_given_up)
{
	static uint8_t text[65536];
	struct patch_plan p;
	struct bytes b;

	for (size_t i = 0; i < sizeof(text); i += 4)
		memcpy(text + i, "\x0f\x05\xc3\x90", 4); /* syscall; ret; nop */
	b = bytes_make(text, sizeof(text), (const uint64_t[][2]){{0, sizeof(text)}, {0, 0}});
	cr_expect_eq(scan(&b, &p), -ENOENT);
	patch_plan_free(&p);
	free(b.p);
}

/* A large text: only what surrounds the site is scanned, and windows do not overlap. */
Test(patch, of_a_large_text_a_window_is_scanned)
{
	static const char code[] = "\xb8\x27\0\0\0\x0f\x05\xc3";
	size_t n = PATCH_WHOLE + 4 * PATCH_WINDOW;
	const uint64_t at[] = {0x100, 2 * PATCH_WINDOW, 3 * PATCH_WINDOW + 0x1000};
	uint8_t *text = malloc(n);
	struct patch_plan p;
	struct bytes b;

	memset(text, 0xcc, n);
	for (int i = 0; i < 3; i++)
		memcpy(text + at[i], code, 8);
	b = bytes_make(text, n, (const uint64_t[][2]){{at[0], 8}, {at[1], 8}, {at[2], 8}, {0, 0}});
	struct patch_file f = bytes_file(&b);
	cr_assert_eq(patch_scan(&f, MADE_TEXT + at[1] + 5, 0, UINT64_MAX, &p), 0);
	cr_expect_eq(p.nsites, 1);
	cr_expect_leq(p.end - p.start, 2 * PATCH_WINDOW);
	uint64_t end = p.end;
	patch_plan_free(&p);
	cr_assert_eq(patch_scan(&f, MADE_TEXT + at[2] + 5, end, UINT64_MAX, &p), 0);
	cr_expect_eq(p.nsites, 1);
	cr_expect_geq(p.start, end);
	patch_plan_free(&p);
	free(text);
	free(b.p);
}

/* ---- the decoder ------------------------------------------------------------------------------ */

/* What capstone, an independent decoder, says of the sample's code. */
Test(patch_sample, instruction_lengths_are_those_that_capstone_finds)
{
	uint64_t start = 0, end = bytes_text(&sample, 0, &start);
	unsigned long same = 0, unknown = 0, different = 0;
	cs_insn *in;
	csh cs;

	cr_assert_eq(cs_open(CS_ARCH_X86, CS_MODE_64, &cs), CS_ERR_OK);
	in = cs_malloc(cs);
	for (uint64_t off = start, step; off < end; off += step) {
		const uint8_t *p = sample.p + off;
		size_t n = end - off;
		uint64_t at = off;
		struct insn mine;
		bool known = insn_decode(p, n, off, &mine);

		step = known ? mine.len : 1;
		if (!cs_disasm_iter(cs, &p, &n, &at, in))
			continue; /* younger than capstone, or data */
		if (!known)
			unknown++;
		else if (mine.len != in->size)
			different++;
		else
			same++;
	}
	cr_expect_eq(different, 0, "%lu of %lu", different, same);
	cr_expect_lt(unknown, 100);
	cr_expect_gt(same, 300000);
	cs_free(in, 1);
	cs_close(&cs);
}
