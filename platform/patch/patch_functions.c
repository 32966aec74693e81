/* Where functions begin and end: from .eh_frame, by way of PT_GNU_EH_FRAME's sorted table, and from
 * symbol tables. Only the encodings that compilers for x86-64 write are read; others are passed
 * over. */
#include "platform/patch/patch.h"

#include <elf.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define FUNCTIONS_MAX 400000

struct elf_view {
	const uint8_t *file;
	size_t size;
	Elf64_Ehdr h;
	Elf64_Phdr text; /* the executable segment */
	Elf64_Phdr eh;	 /* PT_GNU_EH_FRAME; p_filesz 0: none */
};

static int get(const struct elf_view *v, uint64_t off, void *out, size_t n)
{
	if (off > v->size || n > v->size - off)
		return -ENOEXEC;
	memcpy(out, v->file + off, n);
	return 0;
}

/* The file offset of a virtual address; UINT64_MAX: it is not in a segment. */
static uint64_t file_offset(const struct elf_view *v, uint64_t vaddr)
{
	for (unsigned i = 0; i < v->h.e_phnum; i++) {
		Elf64_Phdr p;

		if (get(v, v->h.e_phoff + i * sizeof(p), &p, sizeof(p)))
			break;
		if (p.p_type == PT_LOAD && vaddr >= p.p_vaddr && vaddr - p.p_vaddr < p.p_filesz)
			return p.p_offset + (vaddr - p.p_vaddr);
	}
	return UINT64_MAX;
}

static int view_open(struct elf_view *v)
{
	bool have_text = false;

	if (get(v, 0, &v->h, sizeof(v->h)) || memcmp(v->h.e_ident, ELFMAG, SELFMAG) ||
	    v->h.e_ident[EI_CLASS] != ELFCLASS64 || v->h.e_machine != EM_X86_64 ||
	    v->h.e_phentsize != sizeof(Elf64_Phdr) || v->h.e_phnum > 64)
		return -ENOEXEC;
	for (unsigned i = 0; i < v->h.e_phnum; i++) {
		Elf64_Phdr p;

		if (get(v, v->h.e_phoff + i * sizeof(p), &p, sizeof(p)))
			return -ENOEXEC;
		if (p.p_type == PT_GNU_EH_FRAME)
			v->eh = p;
		if (p.p_type != PT_LOAD || !(p.p_flags & PF_X))
			continue;
		if (have_text || p.p_flags & PF_W)
			return -ENOEXEC;
		have_text = true;
		v->text = p;
	}
	if (!have_text || v->text.p_offset > v->size || v->text.p_filesz > v->size - v->text.p_offset)
		return -ENOEXEC;
	return 0;
}

/* Takes [vaddr, vaddr + len) if it lies in the executable segment. */
static int add(const struct elf_view *v, struct patch_functions *f, size_t *cap, uint64_t vaddr,
	       uint64_t len)
{
	uint64_t at = vaddr - v->text.p_vaddr;

	if (!len || vaddr < v->text.p_vaddr || at >= v->text.p_filesz || len > v->text.p_filesz - at)
		return 0;
	if (f->n == *cap) {
		size_t n = *cap ? *cap * 2 : 1024;
		void *p = n > FUNCTIONS_MAX ? NULL : realloc(f->range, n * sizeof(f->range[0]));

		if (!p)
			return -ENOMEM;
		f->range = p;
		*cap = n;
	}
	at += v->text.p_offset;
	f->range[f->n++] = (struct patch_range){at, at + len};
	return 0;
}

/* ---- unwind tables ---------------------------------------------------------------------------- */

#define DW_PCREL_SDATA4 0x1b
#define DW_DATAREL_SDATA4 0x3b
#define DW_UDATA4 0x03

static uint64_t uleb(const struct elf_view *v, uint64_t *off)
{
	uint64_t r = 0;
	uint8_t b = 0x80;

	for (unsigned shift = 0; b & 0x80 && shift < 63; shift += 7) {
		if (get(v, (*off)++, &b, 1))
			return 0;
		r |= (uint64_t)(b & 0x7f) << shift;
	}
	return r;
}

/* The pointer encoding of a CIE's FDEs; -1: one that we don't read, or of signal frames. */
static int cie_encoding(const struct elf_view *v, uint64_t off)
{
	char aug[8] = "";
	uint32_t len, id;
	uint8_t version, enc;

	if (get(v, off, &len, 4) || get(v, off + 4, &id, 4) || get(v, off + 8, &version, 1) ||
	    len == 0xffffffff || id != 0 || version != 1)
		return -1;
	off += 9;
	for (unsigned i = 0; i < sizeof(aug); i++) {
		if (i == sizeof(aug) - 1 || get(v, off++, &aug[i], 1))
			return -1;
		if (!aug[i])
			break;
	}
	if (aug[0] != 'z')
		return -1;
	uleb(v, &off);
	uleb(v, &off); /* the data alignment: only its length matters */
	off++;	       /* return address register */
	uleb(v, &off);
	for (const char *a = aug + 1; *a; a++) {
		if (get(v, off++, &enc, 1))
			return -1;
		if (*a == 'R')
			return enc;
		if (*a == 'P')
			off += (enc & 15) == 0 || (enc & 7) == 4 ? 8 : (enc & 7) == 2 ? 2 : 4;
		else if (*a != 'L')
			return -1;
	}
	return -1;
}

static int fde_add(const struct elf_view *v, struct patch_functions *f, size_t *cap, uint64_t vaddr)
{
	uint64_t off = file_offset(v, vaddr);
	uint32_t len, cie, range;
	int32_t begin;

	if (off == UINT64_MAX || get(v, off, &len, 4) || len == 0xffffffff ||
	    get(v, off + 4, &cie, 4) || !cie || cie > off + 4 || get(v, off + 8, &begin, 4) ||
	    get(v, off + 12, &range, 4) || cie_encoding(v, off + 4 - cie) != DW_PCREL_SDATA4)
		return 0;
	return add(v, f, cap, vaddr + 8 + (int64_t)begin, range);
}

static int add_unwind(const struct elf_view *v, struct patch_functions *f, size_t *cap)
{
	uint8_t head[4];
	uint32_t n;
	int r = 0;

	if (v->eh.p_filesz < 12 || get(v, v->eh.p_offset, head, 4) || head[0] != 1 ||
	    head[1] != DW_PCREL_SDATA4 || head[2] != DW_UDATA4 || head[3] != DW_DATAREL_SDATA4 ||
	    get(v, v->eh.p_offset + 8, &n, 4) || n > (v->eh.p_filesz - 12) / 8)
		return 0;
	for (uint32_t i = 0; i < n && r == 0; i++) {
		int32_t at[2];

		if (get(v, v->eh.p_offset + 12 + (uint64_t)i * 8, at, 8))
			break;
		r = fde_add(v, f, cap, v->eh.p_vaddr + (int64_t)at[1]);
	}
	return r;
}

/* ---- symbols ---------------------------------------------------------------------------------- */

static int add_symbols(const struct elf_view *v, struct patch_functions *f, size_t *cap)
{
	if (v->h.e_shentsize != sizeof(Elf64_Shdr))
		return 0;
	for (unsigned i = 0; i < v->h.e_shnum; i++) {
		Elf64_Shdr s;

		if (get(v, v->h.e_shoff + i * sizeof(s), &s, sizeof(s)))
			return 0;
		if ((s.sh_type != SHT_SYMTAB && s.sh_type != SHT_DYNSYM) ||
		    s.sh_size / sizeof(Elf64_Sym) > FUNCTIONS_MAX)
			continue;
		for (uint64_t k = 0; k < s.sh_size / sizeof(Elf64_Sym); k++) {
			Elf64_Sym sym;
			int r;

			if (get(v, s.sh_offset + k * sizeof(sym), &sym, sizeof(sym)))
				break;
			if (ELF64_ST_TYPE(sym.st_info) != STT_FUNC || sym.st_shndx == SHN_UNDEF)
				continue;
			r = add(v, f, cap, sym.st_value, sym.st_size);
			if (r)
				return r;
		}
	}
	return 0;
}

static int by_start(const void *a, const void *b)
{
	const struct patch_range *x = a, *y = b;

	if (x->start != y->start)
		return x->start < y->start ? -1 : 1;
	return x->end < y->end ? -1 : x->end > y->end;
}

/* Equal ones once; those that overlap otherwise contradict each other: both go. */
static void tidy(struct patch_functions *f)
{
	size_t n = 0;
	uint64_t high = 0;

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

int patch_functions_find(const uint8_t *file, size_t size, uint64_t *start, uint64_t *end,
			 struct patch_functions *out)
{
	struct elf_view v = {.file = file, .size = size};
	struct patch_functions f = {0};
	size_t cap = 0;
	int r = view_open(&v);

	if (r == 0)
		r = add_unwind(&v, &f, &cap);
	if (r == 0 && f.n == 0)
		r = add_symbols(&v, &f, &cap);
	if (r) {
		free(f.range);
		return r;
	}
	if (f.n)
		tidy(&f);
	*start = v.text.p_offset;
	*end = v.text.p_offset + v.text.p_filesz;
	*out = f;
	return 0;
}
