/* Every call site of real programs that the rules allow, run as it was and patched, from the same
 * random state: registers, flags, FP state, stack, red zone and memory must be the same at the call and
 * behind it.
 *
 * PATCH_ALL=1 takes all programs and libraries of the machine (make patch-full), else a few. */
#include "tests/unit/platform/guest.h"

#include <ftw.h>
#include <signal.h>

#include "platform/patch/patch.h"
#include "tests/unit/platform/patch_file.h"

#define TEXT 0x200000000UL
#define DELTA 0x40000000L
#define FLAGS 0xcd5UL
#define TF 0x100UL

TestSuite(patch_all, .init = platform_up, .fini = platform_down, .timeout = 3600);

static uint64_t seed = 88172645463325252UL;

static uint64_t rnd(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	return seed ^= seed << 17;
}

/* A guest with the text, as it was or patched. */
struct side {
	struct pf_space *s;
	struct pf_thread *t;
	struct pf_event ev;
	struct pf_regs regs; /* when it stopped */
	uint8_t fp[8192];
	int fp_size;
	uint8_t data[DATA_SIZE];
};

struct start {
	struct pf_regs regs;
	uint8_t xmm[256], ymm[256];
	uint8_t data[DATA_SIZE];
};

static struct side plain, patched;
static struct start start;
static struct {
	unsigned files, sites, faults, steps, fast;
} seen;

static void side_new(struct side *side, const struct patch_plan *p, const uint8_t *text)
{
	static const uint8_t nothing[1] = {0xcc};
	size_t n = p->end - p->start;

	guest_new(nothing, 1, &side->s, &side->t);
	cr_assert_eq(guest_map(side->t, TEXT + p->start, (n + 4095) & ~4095UL, 7),
		     (int64_t)(TEXT + p->start));
	cr_assert_eq(ops->write(side->s, gptr(TEXT + p->start), text, n), (ssize_t)n);
}

static void side_bytes(struct side *side, uint64_t addr, const void *bytes, size_t n)
{
	cr_assert_eq(ops->write(side->s, gptr(addr), bytes, n), (ssize_t)n);
}

/* Registers that are numbers, or (pointers) addresses in DATA. */
static void start_new(bool pointers)
{
	uint64_t *r = (uint64_t *)&start.regs;

	memset(&start.regs, 0, sizeof(start.regs));
	for (unsigned i = 0; i < 15; i++)
		r[i] = pointers ? DATA + 0x4000 + rnd() % 0x8000 / 8 * 8 : rnd();
	start.regs.rsp = DATA + 0x8000 + rnd() % 64 * 8;
	start.regs.eflags = 0x202 | (rnd() & FLAGS);
	start.regs.fs_base = DATA + 0x8000;
	for (unsigned i = 0; i < sizeof(start.xmm); i++) {
		start.xmm[i] = (uint8_t)rnd();
		start.ymm[i] = (uint8_t)rnd();
	}
	for (unsigned i = 0; i < sizeof(start.data); i += 8)
		memcpy(start.data + i, &(uint64_t){rnd()}, 8);
}

static void fp_load(struct side *side)
{
	uint64_t features = 0, bv;
	int n = ops->fpu_get(side->t, side->fp, sizeof(side->fp));

	cr_assert_gt(n, 0);
	memcpy(side->fp + 160, start.xmm, sizeof(start.xmm));
	if (n > 832) {
		memcpy(&features, side->fp + 472, 8);
		memcpy(&bv, side->fp + 512, 8);
		bv |= 3 | (features & 4);
		memcpy(side->fp + 512, &bv, 8);
		if (features & 4)
			memcpy(side->fp + 576, start.ymm, sizeof(start.ymm));
	}
	cr_assert_eq(ops->fpu_set(side->t, side->fp, (size_t)n), 0);
}

static void side_start(struct side *side, uint64_t rip)
{
	side_bytes(side, DATA, start.data, DATA_SIZE);
	fp_load(side);
	*ops->regs(side->t) = start.regs;
	ops->regs(side->t)->rip = rip;
}

static void side_run(struct side *side)
{
	ops->run(side->t, &side->ev);
	side->regs = *ops->regs(side->t);
}

static void side_look(struct side *side)
{
	memset(side->fp, 0, sizeof(side->fp));
	side->fp_size = ops->fpu_get(side->t, side->fp, sizeof(side->fp));
	cr_assert_eq(ops->read(side->s, side->data, gptr(DATA), DATA_SIZE), (ssize_t)DATA_SIZE);
}

/* The thunk of the i-th site, if a rip lies in it. */
static bool in_thunk(const struct patch_plan *p, size_t i, uint64_t rip, uint64_t *base)
{
	*base = TEXT + p->start + DELTA + patch_thunk_place(i);
	return rip - *base < PATCH_THUNK_SIZE;
}

static void compare(const char *what, const char *file, const struct patch_site *s)
{
	const uint64_t *a = (uint64_t *)&plain.regs, *b = (uint64_t *)&patched.regs;

	for (unsigned i = 0; i < 18; i++)
		cr_assert_eq(a[i], b[i], "%s, site %lx of %s: register %u is %lx, not %lx", what, s->off,
			     file, i, b[i], a[i]);
	cr_assert_eq(plain.regs.fs_base, patched.regs.fs_base);
	cr_assert_eq(patched.regs.gs_base, 0);
	cr_assert_eq(memcmp(plain.data, patched.data, DATA_SIZE), 0, "%s, site %lx of %s: memory", what,
		     s->off, file);
	cr_assert_eq(plain.fp_size, patched.fp_size);
	cr_assert_eq(memcmp(plain.fp + 24, patched.fp + 24, 416 - 24), 0, "%s, site %lx of %s: SSE", what,
		     s->off, file);
	if (plain.fp_size > 832)
		cr_assert_eq(memcmp(plain.fp + 576, patched.fp + 576, 256), 0);
}

/* Both from rip to the call and one instruction behind it. */
static void run_both(const char *file, const struct patch_plan *p, size_t i, uint64_t rip, bool fast)
{
	const struct patch_site *s = &p->sites[i];
	uint8_t thunk[PATCH_THUNK_SIZE];
	uint64_t base, result = rnd();

	side_start(&plain, rip);
	side_start(&patched, rip);
	side_run(&plain);
	side_run(&patched);
	cr_assert_eq(plain.ev.kind, patched.ev.kind, "site %lx of %s: kind %d, not %d", s->off, file,
		     patched.ev.kind, plain.ev.kind);
	if (plain.ev.kind == PF_FAULT) {
		seen.faults++;
		cr_assert_eq(plain.ev.signo, patched.ev.signo);
		cr_assert_eq(plain.ev.addr, patched.ev.addr);
		if (in_thunk(p, i, patched.regs.rip, &base)) {
			cr_assert_eq(ops->read(patched.s, thunk, gptr(base), sizeof(thunk)), PATCH_THUNK_SIZE);
			patched.regs.rip =
				base + (uint64_t)patch_thunk_original(thunk, patched.regs.rip - base);
		}
		side_look(&plain);
		side_look(&patched);
		compare("fault", file, s);
		return;
	}
	cr_assert_eq(plain.ev.kind, PF_SYSCALL);
	cr_assert_eq(plain.ev.nr, patched.ev.nr);
	cr_assert_eq(memcmp(plain.ev.args, patched.ev.args, sizeof(plain.ev.args)), 0);
	cr_assert_eq(patched.regs.rip, TEXT + s->off + 2);
	seen.fast += fast && !patched.ev.traps;
	side_look(&plain);
	side_look(&patched);
	compare("call", file, s);
	ops->regs(plain.t)->rax = ops->regs(patched.t)->rax = result;
	side_run(&plain);
	side_run(&patched);
	cr_assert_eq(patched.ev.kind, PF_FAULT);
	cr_assert_eq(patched.ev.signo, SIGTRAP);
	cr_assert_eq(patched.regs.rip, TEXT + s->off + 3);
	cr_assert_eq(patched.regs.rax, result);
	side_look(&plain);
	side_look(&patched);
	compare("return", file, s);
}

/* Step by step through the thunk: from each place in it, what it stands for in the text leads to the same
 * call. That is how a signal finds the thread, and where its handler returns to. */
static void run_steps(const char *file, const struct patch_plan *p, size_t i, uint64_t rip)
{
	const struct patch_site *s = &p->sites[i];
	uint8_t thunk[PATCH_THUNK_SIZE];
	struct pf_regs at = {0}, want;
	uint64_t base;

	side_start(&patched, rip);
	side_run(&patched);
	if (patched.ev.kind != PF_SYSCALL)
		return;
	want = patched.regs;
	side_start(&patched, rip);
	ops->regs(patched.t)->eflags |= TF;
	for (unsigned n = 0; n < 64; n++) {
		side_run(&patched);
		if (patched.ev.kind != PF_FAULT || patched.ev.signo != SIGTRAP)
			break;
		if (!in_thunk(p, i, patched.regs.rip, &base))
			continue;
		seen.steps++;
		cr_assert_gt(patched.regs.rip, at.rip, "a step that leads nowhere");
		at = patched.regs;
		cr_assert_eq(ops->read(patched.s, thunk, gptr(base), sizeof(thunk)), PATCH_THUNK_SIZE);
		cr_assert_eq(ops->read(patched.s, patched.data, gptr(DATA), DATA_SIZE), (ssize_t)DATA_SIZE);
		ops->regs(patched.t)->rip = base + (uint64_t)patch_thunk_original(thunk, at.rip - base);
		cr_assert_geq(ops->regs(patched.t)->rip, TEXT + s->off - s->displaced);
		cr_assert_leq(ops->regs(patched.t)->rip, TEXT + s->off);
		ops->regs(patched.t)->eflags &= ~TF;
		side_run(&patched);
		cr_assert_eq(patched.ev.kind, PF_SYSCALL, "site %lx of %s, from %lx", s->off, file,
			     at.rip - base);
		for (unsigned k = 0; k < 18; k++)
			cr_assert_eq(((uint64_t *)&patched.regs)[k], ((uint64_t *)&want)[k],
				     "site %lx of %s, from %lx: register %u", s->off, file, at.rip - base, k);
		*ops->regs(patched.t) = at;
		side_bytes(&patched, DATA, patched.data, DATA_SIZE);
	}
	cr_assert_eq(patched.ev.kind, PF_SYSCALL, "site %lx of %s: %d at %lx", s->off, file, patched.ev.kind,
		     patched.regs.rip);
}

static void site_check(const char *file, const struct patch_plan *p, const uint8_t *text, size_t i)
{
	const struct patch_site *s = &p->sites[i];
	uint64_t site = TEXT + s->off, behind = site + 2;
	size_t at = s->off + 2 - p->start;

	seen.sites++;
	side_bytes(&plain, behind, "\xcc", 1);
	side_bytes(&patched, behind, "\xcc", 1);
	for (int pointers = 0; pointers < 2; pointers++) {
		start_new(pointers);
		run_both(file, p, i, site - s->displaced, true);
		if (pointers)
			run_steps(file, p, i, site - s->displaced);
		/* A jump straight to it, from elsewhere: it still works. */
		run_both(file, p, i, site, false);
	}
	side_bytes(&plain, behind, p->text + at, 1);
	side_bytes(&patched, behind, text + at, 1);
}

static void plan_check(const char *file, const struct patch_plan *p)
{
	size_t n = p->end - p->start, size = patch_thunks_size(p);
	uint64_t at = TEXT + p->start + DELTA;
	uint8_t *text = malloc(n), *thunks = malloc(size);

	memcpy(text, p->text, n);
	patch_write(p, text, thunks, DELTA, ops->fast_entry(pf));
	side_new(&plain, p, p->text);
	side_new(&patched, p, text);
	cr_assert_eq(guest_map(patched.t, at, size, 7), (int64_t)at);
	side_bytes(&patched, at, thunks, size);
	for (size_t i = 0; i < p->nsites; i++)
		site_check(file, p, text, i);
	ops->thread_destroy(plain.t);
	ops->thread_destroy(patched.t);
	free(text);
	free(thunks);
}

/* A segment, window by window, as the sentry scans it. */
static void segment_check(const char *name, struct bytes *b, uint64_t from, uint64_t end)
{
	struct patch_file f = bytes_file(b);
	uint64_t low = 0, sites = seen.sites;

	while (from + 1 < end) {
		const uint8_t *hit = memmem(b->p + from, end - from, "\x0f\x05", 2);
		struct patch_plan p = {0};
		int r;

		if (!hit)
			break;
		from = (uint64_t)(hit - b->p);
		r = patch_scan(&f, from, low, UINT64_MAX, &p);
		if (r == 0)
			plan_check(name, &p);
		else if (r != -ENOENT)
			break;
		low = (p.end + 4095) & ~4095UL;
		from = p.end > from ? p.end : from + 1;
		patch_plan_free(&p);
	}
	if (getenv("TEST_DEBUG"))
		printf("%s: %lu sites\n", name, seen.sites - sites);
}

static void file_check(const char *name)
{
	uint64_t start_off = 0, end;
	struct bytes b;

	if (!bytes_load(name, &b))
		return;
	seen.files++;
	for (unsigned i = 0; (end = bytes_text(&b, i, &start_off)); i++)
		segment_check(name, &b, start_off, end);
	free(b.p);
}

static int walk_file(const char *name, const struct stat *st, int type, struct FTW *ftw)
{
	char magic[4] = "";
	int fd;

	(void)ftw;
	if (type != FTW_F || !S_ISREG(st->st_mode) || st->st_size < 64)
		return 0;
	fd = open(name, O_RDONLY);
	if (fd < 0)
		return 0;
	if (read(fd, magic, 4) == 4 && !memcmp(magic, "\177ELF", 4))
		file_check(name);
	close(fd);
	return 0;
}

Test(patch_all, every_site_changes_what_a_call_changes_and_nothing_else)
{
	static const char *const some[] = {
		"/lib/x86_64-linux-gnu/libc.so.6", "/lib64/ld-linux-x86-64.so.2",
		"/lib/ld-musl-x86_64.so.1",	   "/bin/busybox",
		"/usr/lib/go-1.19/bin/gofmt",	   "/usr/lib/go/bin/go",
		"/usr/bin/node",		   "/usr/lib/jvm/default-java/lib/server/libjvm.so",
	};

	if (!ops->fast_entry(pf))
		cr_skip_test("no FSGSBASE");
	if (getenv("PATCH_ALL")) {
		nftw("/usr/bin", walk_file, 16, FTW_PHYS);
		nftw("/usr/lib", walk_file, 16, FTW_PHYS);
		nftw("build/guest/static", walk_file, 16, FTW_PHYS);
	} else {
		for (unsigned i = 0; i < sizeof(some) / sizeof(some[0]); i++)
			file_check(some[i]);
	}
	printf("%u files, %u sites, %u faults, %u places in thunks\n", seen.files, seen.sites, seen.faults,
	       seen.steps);
	if (seen.files)
		cr_expect_gt(seen.sites, 0);
	/* The stub has a frame made for some calls, as if they had trapped. */
	cr_expect_gt(seen.fast * 10, (2 * seen.sites - seen.faults) * 9);
}
