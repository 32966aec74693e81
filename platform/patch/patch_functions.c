/* Where functions begin and end. Unwind tables tell it best, as they are there for what runs; then Go's
 * own tables, then symbols, whose sizes people write by hand. What one source says of a place stands
 * against all that come after it. */
#include "platform/patch/patch_impl.h"

#include <errno.h>
#include <stdlib.h>

#define FUNCTIONS_MAX 400000
#define SYMBOLS_MAX 2000000

int function_add(const struct elf_view *v, struct function_list *f, uint64_t vaddr, uint64_t len)
{
	uint64_t at = vaddr - v->text.p_vaddr;

	if (!len || vaddr < v->text.p_vaddr || at >= v->text.p_filesz || len > v->text.p_filesz - at)
		return 0;
	at += v->text.p_offset;
	if (at >= f->high || at + len <= f->low)
		return 0;
	if (f->n == f->cap) {
		size_t n = f->cap ? f->cap * 2 : 1024;
		void *p = n > FUNCTIONS_MAX ? NULL : realloc(f->range, n * sizeof(f->range[0]));

		if (!p)
			return -ENOMEM;
		f->range = p;
		f->cap = n;
	}
	f->range[f->n++] = (struct patch_range){at, at + len};
	return 0;
}

/* ---- symbols ---------------------------------------------------------------------------------- */

static int symbols_of(struct elf_view *v, struct function_list *f, uint32_t type)
{
	Elf64_Shdr s;
	int r = 0;

	for (unsigned i = 0; view_section(v, i, &s); i++) {
		if (s.sh_type != type || s.sh_size / sizeof(Elf64_Sym) > SYMBOLS_MAX)
			continue;
		for (uint64_t k = 0; r == 0 && k < s.sh_size / sizeof(Elf64_Sym); k++) {
			Elf64_Sym sym;

			if (view_read(v, s.sh_offset + k * sizeof(sym), &sym, sizeof(sym)))
				break;
			if (ELF64_ST_TYPE(sym.st_info) == STT_FUNC && sym.st_shndx != SHN_UNDEF)
				r = function_add(v, f, sym.st_value, sym.st_size);
		}
	}
	return r;
}

int functions_symbols(struct elf_view *v, struct function_list *f)
{
	int r = symbols_of(v, f, SHT_SYMTAB);

	return r || f->n ? r : symbols_of(v, f, SHT_DYNSYM);
}

/* ---- all together ----------------------------------------------------------------------------- */

static int by_start(const void *a, const void *b)
{
	const struct patch_range *x = a, *y = b;

	if (x->start != y->start)
		return x->start < y->start ? -1 : 1;
	return x->end < y->end ? -1 : x->end > y->end;
}

/* Equal ones once; those that overlap otherwise contradict each other: both go. */
static void tidy(struct function_list *f)
{
	size_t n = 0;
	uint64_t high = 0;

	if (!f->n)
		return;
	qsort(f->range, f->n, sizeof(f->range[0]), by_start);
	for (size_t i = 0; i < f->n; i++) {
		struct patch_range r = f->range[i];

		if (n && r.start == f->range[n - 1].start && r.end == f->range[n - 1].end)
			continue;
		if (r.start < high) {
			if (n && f->range[n - 1].end > r.start)
				n--;
		} else {
			f->range[n++] = r;
		}
		if (r.end > high)
			high = r.end;
	}
	f->n = n;
}

int functions_merge(struct function_list *f, struct function_list *more)
{
	size_t k = 0, n = f->n;
	struct patch_range *p;

	tidy(more);
	if (!more->n)
		return 0;
	p = realloc(f->range, (n + more->n) * sizeof(*p));
	if (!p)
		return -ENOMEM;
	f->range = p;
	f->cap = n + more->n;
	for (size_t i = 0; i < more->n; i++) {
		while (k < n && p[k].end <= more->range[i].start)
			k++;
		if (k == n || p[k].start >= more->range[i].end)
			p[f->n++] = more->range[i];
	}
	qsort(p, f->n, sizeof(*p), by_start);
	return 0;
}

int functions_find(struct elf_view *v, struct function_list *f)
{
	static int (*const source[])(struct elf_view *, struct function_list *) = {
		functions_unwind, functions_go, functions_symbols,
	};
	int r = 0;

	for (unsigned i = 0; r == 0 && i < sizeof(source) / sizeof(source[0]); i++) {
		struct function_list more = {.low = f->low, .high = f->high};

		r = source[i](v, &more);
		if (r == 0)
			r = functions_merge(f, &more);
		free(more.range);
	}
	return r;
}
