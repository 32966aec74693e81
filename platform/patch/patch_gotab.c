/* Functions of Go programs, which have no unwind tables: the section .gopclntab, that Go's runtime
 * itself can't do without, begins with the sorted table of where functions begin. Its three latest
 * layouts are read (Go 1.16 and on; debug/gosym has them all). */
#include "platform/patch/patch_impl.h"

#define MAGIC_1_16 0xfffffffaU
#define MAGIC_1_18 0xfffffff0U
#define MAGIC_1_20 0xfffffff1U
#define COUNT_MAX 4000000
#define FILLER_MAX 64

struct gotab {
	struct elf_view *v;
	uint64_t table; /* file offset: pairs of words, the first is a function's begin */
	uint64_t base;	/* what these are counted from */
	uint64_t n;
	unsigned word; /* bytes */
};

static bool gotab_open(struct elf_view *v, struct gotab *g)
{
	Elf64_Shdr s;
	struct {
		uint32_t magic;
		uint8_t zero[2], quantum, word;
		uint64_t n, files, w[6];
	} h;
	bool old;

	if (!view_section_named(v, ".gopclntab", &s) || s.sh_type == SHT_NOBITS ||
	    s.sh_size < sizeof(h) || view_read(v, s.sh_offset, &h, sizeof(h)) || h.word != 8 ||
	    h.quantum != 1)
		return false;
	old = h.magic == MAGIC_1_16;
	if (!old && h.magic != MAGIC_1_18 && h.magic != MAGIC_1_20)
		return false;
	*g = (struct gotab){.v = v, .n = h.n, .word = old ? 8 : 4, .base = old ? 0 : h.w[0]};
	g->table = old ? h.w[4] : h.w[5];
	if (g->table > s.sh_size || g->n > COUNT_MAX ||
	    g->n * 2 * g->word + g->word > s.sh_size - g->table)
		return false;
	g->table += s.sh_offset;
	/* Of a program that can be loaded anywhere, the base is filled in by its loader. */
	return old || (g->base >= v->text.p_vaddr && g->base - v->text.p_vaddr < v->text.p_filesz);
}

/* Where the i-th function begins; the last entry tells where the last one ends. 0: not known. */
static uint64_t gotab_get(struct gotab *g, uint64_t i)
{
	uint64_t at = 0;

	if (view_read(g->v, g->table + i * 2 * g->word, &at, g->word))
		return 0;
	return g->base + at;
}

/* A function reaches to the next one: without the int3 that fill the room between. */
static uint64_t trimmed(struct elf_view *v, uint64_t start, uint64_t end)
{
	uint64_t off = view_offset(v, start), low = end - start > FILLER_MAX ? end - FILLER_MAX : start + 1;
	uint8_t b;

	while (off != UINT64_MAX && end > low &&
	       view_read(v, off + (end - 1 - start), &b, 1) == 0 && b == 0xcc)
		end--;
	return end;
}

int functions_go(struct elf_view *v, struct function_list *f)
{
	uint64_t shift = v->text.p_vaddr - v->text.p_offset, low = 0, high;
	struct gotab g;
	int r = 0;

	if (!gotab_open(v, &g) || !g.n)
		return 0;
	high = g.n;
	while (high - low > 1) {
		uint64_t mid = low + (high - low) / 2;

		if (gotab_get(&g, mid) <= f->low + shift)
			low = mid;
		else
			high = mid;
	}
	for (uint64_t i = low; i < g.n && r == 0; i++) {
		uint64_t start = gotab_get(&g, i), end = gotab_get(&g, i + 1);

		if (!start || start >= f->high + shift || end <= start)
			break;
		r = function_add(v, f, start, trimmed(v, start, end) - start);
	}
	return r;
}
