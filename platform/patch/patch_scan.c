/* Finding call sites: by their two bytes, then by decoding the function that they lie in. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>

#include "platform/patch/insn.h"
#include "platform/patch/patch_impl.h"

#define SITES_MAX 4096
#define FUNCTION_MAX 65536 /* bytes; what is longer is left alone */
#define DECODE_MAX (32UL << 20) /* bytes in all: a file made for it could have us decode forever */
#define LOOKS_MAX (256UL << 20) /* looks at decoded instructions in all, for the same reason */
#define JMP_SIZE 5
#define JMP8_MIN (-128)
#define JMP8_MAX 127

struct code {
	uint32_t off; /* in the function */
	uint8_t len, kind, rip_at;
	uint64_t target; /* 0: none */
};

struct scan {
	struct patch_plan *plan;
	const uint8_t *text; /* the plan's; at(s, off) finds a byte by its file offset */
	struct function_list f;
	size_t cap;
	/* The function that was decoded last. */
	size_t decoded;
	bool decodes, ends; /* to its end; in an instruction that never goes on */
	struct code *code; /* its instructions */
	size_t ncode;
	size_t budget; /* bytes that may still be decoded */
	size_t looks;  /* instructions that may still be looked at */
	/* Padding behind function i is used up to here. */
	uint64_t *used;
	/* Places in padding inside of functions that are used, in the order of their sites. */
	uint64_t *inner;
	size_t ninner;
};

static const uint8_t *at(const struct scan *s, uint64_t off)
{
	return s->text + (off - s->plan->start);
}

static bool never_goes_on(const struct insn *i)
{
	return i->kind == INSN_END || i->kind == INSN_JUMP || i->kind == INSN_INDIRECT;
}

static void decode(struct scan *s, size_t k)
{
	uint64_t start = s->f.range[k].start, n = s->f.range[k].end - start, i = 0;
	struct insn in;

	if (s->decoded == k)
		return;
	s->decoded = k;
	s->ncode = 0;
	s->decodes = s->ends = false;
	if (n > FUNCTION_MAX || n > s->budget)
		return;
	s->budget -= n;
	while (i < n && insn_decode(at(s, start + i), n - i, start + i, &in)) {
		s->code[s->ncode++] = (struct code){
			.off = (uint32_t)i,
			.len = in.len,
			.kind = in.kind,
			.rip_at = in.rip_at,
			.target = in.target,
		};
		s->ends = never_goes_on(&in);
		i += in.len;
	}
	s->decodes = i == n;
	s->ends &= s->decodes;
}

/* The index in s->code of the instruction at off, or -1. */
static long code_find(const struct scan *s, size_t k, uint64_t off)
{
	size_t low = 0, high = s->ncode;
	uint32_t rel = (uint32_t)(off - s->f.range[k].start);

	while (low < high) {
		size_t mid = (low + high) / 2;

		if (s->code[mid].off < rel)
			low = mid + 1;
		else
			high = mid;
	}
	return low < s->ncode && s->code[low].off == rel ? (long)low : -1;
}

static bool looks_spend(struct scan *s)
{
	if (s->looks < s->ncode)
		return false;
	s->looks -= s->ncode;
	return true;
}

/* Is [low, high] jumped into from within the function? */
static bool branched_into(struct scan *s, uint64_t low, uint64_t high)
{
	if (!looks_spend(s))
		return true;
	for (size_t i = 0; i < s->ncode; i++)
		if (s->code[i].target >= low && s->code[i].target <= high)
			return true;
	return false;
}

/* ---- padding ---------------------------------------------------------------------------------- */

static uint64_t gap_end(const struct scan *s, size_t k)
{
	return k + 1 < s->f.n ? s->f.range[k + 1].start : s->f.range[k].end;
}

/* Nothing but filler behind function k, which never goes on there? */
static bool gap_is_dead(struct scan *s, size_t k)
{
	uint64_t off = s->f.range[k].end, end = gap_end(s, k);
	struct insn in;

	if (end - off > 256)
		return false;
	for (; off < end; off += in.len)
		if (!insn_decode(at(s, off), end - off, off, &in) ||
		    (in.kind != INSN_NOP && *at(s, off) != 0xcc))
			return false;
	decode(s, k);
	return s->ends;
}

static bool same_page(uint64_t off, uint64_t len)
{
	return off / PATCH_PAGE == (off + len - 1) / PATCH_PAGE;
}

/* A free place in the padding behind function k that the jump at `off` reaches; 0: none. */
static uint64_t pad_take(struct scan *s, size_t k, uint64_t off)
{
	uint64_t place = s->used[k] ? s->used[k] : s->f.range[k].end, end = gap_end(s, k);
	int64_t low = (int64_t)off + 2 + JMP8_MIN, high = (int64_t)off + 2 + JMP8_MAX;

	if (end < place + JMP_SIZE || (int64_t)place > high || (int64_t)end - JMP_SIZE < low)
		return 0;
	if ((int64_t)place < low)
		place = (uint64_t)low;
	if (!same_page(place, JMP_SIZE))
		place = (place | (PATCH_PAGE - 1)) + 1;
	if (place + JMP_SIZE > end || (int64_t)place > high || !gap_is_dead(s, k))
		return 0;
	s->used[k] = place + JMP_SIZE;
	return place;
}

/* Only sites nearby can want the same place, and these came last. */
#define INNER_NEAR 128

static bool inner_is_used(const struct scan *s, uint64_t place)
{
	for (size_t i = s->ninner; i-- > 0 && s->ninner - i <= INNER_NEAR;)
		if (s->inner[i] < place + JMP_SIZE && place < s->inner[i] + JMP_SIZE)
			return true;
	return false;
}

/* The end of the filler that begins with instruction j of function k, which is decoded; 0 if it may be
 * run: what stands before it goes on, or a branch leads into it. */
static uint64_t filler_end(struct scan *s, size_t k, size_t j)
{
	uint64_t start = s->f.range[k].start + s->code[j].off, end = start;
	uint8_t before = j ? s->code[j - 1].kind : INSN_PLAIN;

	if (before != INSN_END && before != INSN_JUMP)
		return 0;
	for (; j < s->ncode && s->code[j].kind == INSN_NOP; j++)
		end += s->code[j].len;
	return end > start && !branched_into(s, start, end - 1) ? end : 0;
}

/* A free place, within reach, in filler between the blocks of function k. Where jumps go by tables,
 * nobody can tell what is filler. */
static uint64_t inner_find(struct scan *s, size_t k, uint64_t off)
{
	uint64_t low = off + 2 + JMP8_MIN, high = off + 2 + JMP8_MAX, place, end;

	if (!looks_spend(s))
		return 0;
	for (size_t j = 0; j < s->ncode; j++)
		if (s->code[j].kind == INSN_INDIRECT)
			return 0;
	for (size_t j = 0; j < s->ncode; j++) {
		place = s->f.range[k].start + s->code[j].off;
		if (place > high)
			break;
		end = s->code[j].kind == INSN_NOP ? filler_end(s, k, j) : 0;
		for (; place + JMP_SIZE <= end && place <= high; place++)
			if (place >= low && same_page(place, JMP_SIZE) && !inner_is_used(s, place))
				return s->inner[s->ninner++] = place;
	}
	return 0;
}

static uint64_t pad_find(struct scan *s, size_t k, uint64_t off)
{
	uint64_t place;

	for (size_t i = k; i < s->f.n && s->f.range[i].end <= off + 2 + JMP8_MAX; i++) {
		place = pad_take(s, i, off);
		if (place)
			return place;
	}
	for (size_t i = k; i-- > 0 && s->f.range[i + 1].start + 128 >= off;) {
		place = pad_take(s, i, off);
		if (place)
			return place;
	}
	return 0;
}

/* ---- sites ------------------------------------------------------------------------------------ */

static int site_add(struct scan *s, const struct patch_site *site)
{
	struct patch_plan *p = s->plan;

	if (p->nsites == SITES_MAX)
		return 0;
	if (p->nsites == s->cap) {
		size_t n = s->cap ? s->cap * 2 : 64;
		void *m = realloc(p->sites, n * sizeof(p->sites[0]));

		if (!m)
			return -ENOMEM;
		p->sites = m;
		s->cap = n;
	}
	p->sites[p->nsites++] = *site;
	return 0;
}

/* Rule A for the `syscall` that is instruction i of function k. *entered: some of the function's
 * branches lead behind what would be overwritten, to where it would still trap. */
static bool rule_a(struct scan *s, size_t k, long i, struct patch_site *site, bool *entered)
{
	uint64_t rip_at = 0;

	for (long j = i - 1; j >= 0; j--) {
		const struct code *c = &s->code[j];
		uint64_t off = s->f.range[k].start + c->off;

		if ((c->kind != INSN_PLAIN && c->kind != INSN_NOP) ||
		    site->off - off > PATCH_DISPLACED_MAX || (c->rip_at && rip_at))
			return false;
		if (c->rip_at)
			rip_at = off + c->rip_at;
		if (c->len < JMP_SIZE)
			continue;
		if (!same_page(off, JMP_SIZE))
			return false;
		site->displaced = (uint8_t)(site->off - off);
		site->rip_at = rip_at ? (uint8_t)(rip_at - off) : 0;
		*entered = branched_into(s, off + 1, site->off);
		return true;
	}
	return false;
}

/* Unwinders and debuggers know a sigreturn trampoline by its bytes. */
static bool is_trampoline(const struct scan *s, uint64_t off)
{
	const uint8_t *p = at(s, off);
	uint64_t n = off - s->plan->start;

	return (n >= 5 && !memcmp(p - 5, "\xb8\x0f\0\0\0", 5)) ||
	       (n >= 7 && !memcmp(p - 7, "\x48\xc7\xc0\x0f\0\0\0", 7));
}

/* The bytes of `syscall` at off, in function k. */
static int site_try(struct scan *s, size_t k, uint64_t off)
{
	struct patch_site site = {.off = off};
	bool a, entered = false;
	long i;

	decode(s, k);
	i = s->decodes ? code_find(s, k, off) : -1;
	if (i < 0 || s->code[i].kind != INSN_SYSCALL || s->code[i].len != 2 || is_trampoline(s, off))
		return 0;
	a = rule_a(s, k, i, &site, &entered);
	if ((!a || entered) && same_page(off, 2) && s->plan->nsites < SITES_MAX) {
		site.pad = inner_find(s, k, off);
		if (!site.pad)
			site.pad = pad_find(s, k, off);
	}
	if (site.pad)
		site.displaced = site.rip_at = 0;
	return a || site.pad ? site_add(s, &site) : 0;
}

/* The function that holds off, or -1. */
static long function_of(const struct scan *s, uint64_t off)
{
	size_t low = 0, high = s->f.n;

	while (low < high) {
		size_t mid = (low + high) / 2;

		if (s->f.range[mid].end <= off)
			low = mid + 1;
		else
			high = mid;
	}
	return low < s->f.n && s->f.range[low].start <= off ? (long)low : -1;
}

static int scan_sites(struct scan *s)
{
	uint64_t off = s->plan->start;
	int r = 0;

	while (r == 0 && off + 1 < s->plan->end) {
		const uint8_t *p = memmem(at(s, off), s->plan->end - off, "\x0f\x05", 2);
		long k;

		if (!p)
			break;
		off = s->plan->start + (uint64_t)(p - s->text);
		k = function_of(s, off);
		if (k >= 0)
			r = site_try(s, (size_t)k, off);
		off++;
	}
	return r;
}

/* ---- what is scanned -------------------------------------------------------------------------- */

static void window(const struct elf_view *v, uint64_t site, uint64_t low, uint64_t high,
		   struct patch_plan *out)
{
	uint64_t start = v->text.p_offset & ~(PATCH_PAGE - 1);
	uint64_t end = (v->text.p_offset + v->text.p_filesz + PATCH_PAGE - 1) & ~(PATCH_PAGE - 1);

	if (end - start > PATCH_WHOLE) {
		site &= ~(PATCH_PAGE - 1);
		if (site - start > PATCH_WINDOW)
			start = site - PATCH_WINDOW;
		if (end - site > PATCH_WINDOW)
			end = site + PATCH_WINDOW;
	}
	out->start = start > low ? start : low;
	out->end = end < high ? end : high;
	if (out->end > v->file->size)
		out->end = v->file->size;
}

/* Functions that lie in [start, end) altogether. */
static void clip(struct function_list *f, uint64_t start, uint64_t end)
{
	size_t n = 0;

	for (size_t i = 0; i < f->n; i++)
		if (f->range[i].start >= start && f->range[i].end <= end)
			f->range[n++] = f->range[i];
	f->n = n;
}

static int text_read(const struct patch_file *file, struct patch_plan *p)
{
	p->text = malloc(p->end - p->start);
	if (!p->text)
		return -ENOMEM;
	return file->read(file->ctx, p->start, p->text, p->end - p->start);
}

static int scan_functions(struct scan *s)
{
	int r = -ENOMEM;

	s->code = calloc(FUNCTION_MAX, sizeof(s->code[0]));
	s->used = calloc(s->f.n, sizeof(s->used[0]));
	s->inner = calloc(SITES_MAX, sizeof(s->inner[0]));
	if (s->code && s->used && s->inner)
		r = scan_sites(s);
	free(s->code);
	free(s->used);
	free(s->inner);
	return r;
}

int patch_scan(const struct patch_file *file, uint64_t site, uint64_t low, uint64_t high,
	       struct patch_plan *out)
{
	struct scan s = {.plan = out, .decoded = SIZE_MAX, .budget = DECODE_MAX,
			 .looks = LOOKS_MAX};
	uint64_t entry = UINT64_MAX;
	struct elf_view v;
	int r = view_open(&v, file, site);

	*out = (struct patch_plan){0};
	if (r)
		return r;
	window(&v, site, low, high, out);
	if (out->end <= out->start || site < out->start || site >= out->end)
		r = -ENOENT;
	s.f = (struct function_list){.low = out->start, .high = out->end};
	if (r == 0)
		r = functions_find(&v, &s.f);
	if (r == 0)
		entry = view_offset(&v, v.h.e_entry);
	view_close(&v);
	clip(&s.f, out->start, out->end);
	if (r == 0)
		r = text_read(file, out);
	s.text = out->text;
	if (r == 0 && v.text.p_filesz <= PATCH_WHOLE)
		r = functions_called(out->text, out->start, out->end, entry, &s.f);
	if (r == 0)
		r = s.f.n ? scan_functions(&s) : -ENOENT;
	free(s.f.range);
	if (r == 0 && !out->nsites)
		r = -ENOENT;
	if (r) {
		uint64_t start = out->start, end = out->end;

		patch_plan_free(out);
		out->start = start;
		out->end = end;
	}
	return r;
}

void patch_plan_free(struct patch_plan *p)
{
	free(p->sites);
	free(p->text);
	*p = (struct patch_plan){0};
}

const struct patch_site *patch_plan_find(const struct patch_plan *p, uint64_t off)
{
	size_t low = 0, high = p->nsites;

	while (low < high) {
		size_t mid = (low + high) / 2;

		if (p->sites[mid].off < off)
			low = mid + 1;
		else
			high = mid;
	}
	return low < p->nsites && p->sites[low].off == off ? &p->sites[low] : NULL;
}
