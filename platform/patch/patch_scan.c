/* Finding call sites: by their two bytes, then by decoding the function that they lie in. */
#include "platform/patch/patch.h"

#include <capstone/capstone.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>

#define SITES_MAX 4096
#define FUNCTION_MAX 65536 /* bytes; what is longer is left alone */
#define DECODE_MAX (32UL << 20) /* bytes in all: a file made for it could have us decode forever */
#define PAD_SIZE 5
#define JMP8_MIN (-128)
#define JMP8_MAX 127

struct scan {
	const uint8_t *file;
	struct patch_functions f;
	uint64_t start, end;
	csh cs;
	cs_insn *insn;
	struct patch_plan *plan;
	size_t cap;
	/* The function that was decoded last. */
	size_t decoded;
	bool decodes, ends; /* to its end; in an instruction that never goes on */
	struct {
		uint64_t off;
		uint16_t size;
		unsigned id;
	} *code; /* its instructions */
	size_t ncode;
	size_t budget; /* bytes that may still be decoded */
	/* Padding behind function i is used up to here. */
	uint64_t *used;
};

static bool never_goes_on(const cs_insn *i)
{
	switch (i->id) {
	case X86_INS_RET:
	case X86_INS_RETF:
	case X86_INS_JMP:
	case X86_INS_UD2:
	case X86_INS_HLT:
	case X86_INS_INT3:
		return true;
	default:
		return false;
	}
}

static bool is_filler(const cs_insn *i)
{
	return i->id == X86_INS_NOP || i->id == X86_INS_INT3 ||
	       (i->id == X86_INS_XCHG && i->bytes[i->size - 1] == 0x90);
}

static void decode(struct scan *s, size_t k)
{
	uint64_t off = s->f.range[k].start, end = s->f.range[k].end, at = off;
	const uint8_t *p = s->file + off;
	size_t n = end - off;

	if (s->decoded == k)
		return;
	s->decoded = k;
	s->ncode = 0;
	s->decodes = s->ends = false;
	if (n > FUNCTION_MAX || n > s->budget)
		return;
	s->budget -= n;
	while (n && cs_disasm_iter(s->cs, &p, &n, &at, s->insn)) {
		s->code[s->ncode].off = s->insn->address;
		s->code[s->ncode].size = s->insn->size;
		s->code[s->ncode++].id = s->insn->id;
		s->ends = never_goes_on(s->insn);
	}
	s->decodes = n == 0;
	s->ends &= s->decodes;
}

static uint64_t gap_end(const struct scan *s, size_t k)
{
	return k + 1 < s->f.n ? s->f.range[k + 1].start : s->f.range[k].end;
}

/* Nothing but filler behind function k? */
static bool gap_is_dead(struct scan *s, size_t k)
{
	uint64_t off = s->f.range[k].end, at = off;
	const uint8_t *p = s->file + off;
	size_t n = gap_end(s, k) - off;

	if (n > 256)
		return false;
	while (n && cs_disasm_iter(s->cs, &p, &n, &at, s->insn))
		if (!is_filler(s->insn))
			return false;
	decode(s, k);
	return n == 0 && s->ends;
}

static bool same_page(uint64_t off, uint64_t len)
{
	return off >> 12 == (off + len - 1) >> 12;
}

/* A free place in the padding behind function k that the jump at `off` reaches; 0: none. */
static uint64_t pad_take(struct scan *s, size_t k, uint64_t off)
{
	uint64_t at = s->used[k] ? s->used[k] : s->f.range[k].end, end = gap_end(s, k);
	int64_t low = (int64_t)off + 2 + JMP8_MIN, high = (int64_t)off + 2 + JMP8_MAX;

	if (end < at + PAD_SIZE || (int64_t)at > high || (int64_t)end - PAD_SIZE < low)
		return 0;
	if ((int64_t)at < low)
		at = low;
	if (!same_page(at, PAD_SIZE))
		at = (at | 4095) + 1;
	if (at + PAD_SIZE > end || (int64_t)at > high || !gap_is_dead(s, k))
		return 0;
	s->used[k] = at + PAD_SIZE;
	return at;
}

static uint64_t pad_find(struct scan *s, size_t k, uint64_t off)
{
	uint64_t at;

	for (size_t i = k; i < s->f.n && s->f.range[i].end <= off + 2 + JMP8_MAX; i++) {
		at = pad_take(s, i, off);
		if (at)
			return at;
	}
	for (size_t i = k; i-- > 0 && s->f.range[i + 1].start + 128 >= off;) {
		at = pad_take(s, i, off);
		if (at)
			return at;
	}
	return 0;
}

/* The index in s->code of the instruction at off, or -1. */
static long code_find(const struct scan *s, uint64_t off)
{
	size_t lo = 0, hi = s->ncode;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (s->code[mid].off < off)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < s->ncode && s->code[lo].off == off ? (long)lo : -1;
}

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

/* The bytes of `syscall` at off, in function k. A sigreturn trampoline stays as it is: unwinders and
 * debuggers know it by its bytes. */
static int site_try(struct scan *s, size_t k, uint64_t off)
{
	struct patch_site site = {.off = off};
	long i;

	decode(s, k);
	i = s->decodes ? code_find(s, off) : -1;
	if (i < 0 || s->code[i].id != X86_INS_SYSCALL || s->code[i].size != 2)
		return 0;
	if (i > 0 && s->code[i - 1].size == 5 && s->file[off - 5] == 0xb8) {
		memcpy(&site.nr, s->file + off - 4, 4);
		if (site.nr == SYS_rt_sigreturn)
			return 0;
		if (same_page(off - 5, 7))
			return site_add(s, &site);
	}
	if (i > 0 && s->code[i - 1].size == 7 && !memcmp(s->file + off - 7, "\x48\xc7\xc0\x0f\0\0\0", 7))
		return 0;
	site.pad = same_page(off, 2) ? pad_find(s, k, off) : 0;
	return site.pad ? site_add(s, &site) : 0;
}

/* The function that holds off, or -1. */
static long function_find(const struct scan *s, uint64_t off)
{
	size_t lo = 0, hi = s->f.n;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (s->f.range[mid].end <= off)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < s->f.n && s->f.range[lo].start <= off ? (long)lo : -1;
}

static int scan_sites(struct scan *s)
{
	uint64_t off = s->start;
	int r = 0;

	while (r == 0 && off + 1 < s->end) {
		const uint8_t *p = memmem(s->file + off, s->end - off, "\x0f\x05", 2);
		long k;

		if (!p)
			break;
		off = p - s->file;
		k = function_find(s, off);
		if (k >= 0)
			r = site_try(s, k, off);
		off++;
	}
	return r;
}

int patch_scan(const uint8_t *file, size_t size, struct patch_plan *out)
{
	struct scan s = {.file = file, .plan = out, .decoded = SIZE_MAX, .budget = DECODE_MAX};
	int r = patch_functions_find(file, size, &s.start, &s.end, &s.f);

	*out = (struct patch_plan){0};
	if (r)
		return r;
	if (!s.f.n || !memmem(file + s.start, s.end - s.start, "\x0f\x05", 2)) {
		free(s.f.range);
		return -ENOENT;
	}
	r = cs_open(CS_ARCH_X86, CS_MODE_64, &s.cs) == CS_ERR_OK ? 0 : -ENOMEM;
	if (r == 0) {
		s.insn = cs_malloc(s.cs);
		s.code = calloc(FUNCTION_MAX, sizeof(s.code[0]));
		s.used = calloc(s.f.n, sizeof(s.used[0]));
		r = s.insn && s.code && s.used ? scan_sites(&s) : -ENOMEM;
		if (s.insn)
			cs_free(s.insn, 1);
		free(s.code);
		free(s.used);
		cs_close(&s.cs);
	}
	free(s.f.range);
	out->start = s.start & ~4095UL;
	out->end = s.end;
	if (r == 0 && !out->nsites)
		r = -ENOENT;
	if (r)
		patch_plan_free(out);
	return r;
}

void patch_plan_free(struct patch_plan *p)
{
	free(p->sites);
	*p = (struct patch_plan){0};
}
