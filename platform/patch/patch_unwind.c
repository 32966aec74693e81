/* Functions from unwind tables: PT_GNU_EH_FRAME's sorted table, or, of files without one, the records
 * of the section .eh_frame one after the other. Only the encodings that compilers for x86-64 write are
 * read; others are passed over. */
#include <string.h>

#include "platform/patch/patch_impl.h"

#define DW_PCREL_SDATA4 0x1b
#define DW_DATAREL_SDATA4 0x3b
#define DW_UDATA4 0x03
#define EH_FRAME_MAX (64UL << 20)

static uint64_t uleb(struct elf_view *v, uint64_t *off)
{
	uint64_t r = 0;
	uint8_t b = 0x80;

	for (unsigned shift = 0; b & 0x80 && shift < 63; shift += 7) {
		if (view_read(v, (*off)++, &b, 1))
			return 0;
		r |= (uint64_t)(b & 0x7f) << shift;
	}
	return r;
}

/* The pointer encoding of a CIE's FDEs; -1: one that we don't read, or of signal frames. */
static int cie_encoding(struct elf_view *v, uint64_t off)
{
	char aug[8] = "";
	uint32_t len, id;
	uint8_t version, enc;

	if (view_read(v, off, &len, 4) || view_read(v, off + 4, &id, 4) ||
	    view_read(v, off + 8, &version, 1) || len == 0xffffffff || id != 0 || version != 1)
		return -1;
	off += 9;
	for (unsigned i = 0; i < sizeof(aug); i++) {
		if (i == sizeof(aug) - 1 || view_read(v, off++, &aug[i], 1))
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
		if (view_read(v, off++, &enc, 1))
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

/* The last CIE that was looked at. */
struct cie_memo {
	uint64_t off;
	int encoding;
};

/* The record of `len` at off, which is at vaddr, if it is an FDE. */
static int fde_add(struct elf_view *v, struct function_list *f, struct cie_memo *memo, uint64_t off,
		   uint64_t vaddr)
{
	struct {
		uint32_t len, cie;
		int32_t begin;
		uint32_t range;
	} fde;

	if (off == UINT64_MAX || view_read(v, off, &fde, sizeof(fde)) || fde.len == 0xffffffff ||
	    fde.len < 12 || !fde.cie || fde.cie > off + 4)
		return 0;
	if (memo->off != off + 4 - fde.cie) {
		memo->off = off + 4 - fde.cie;
		memo->encoding = cie_encoding(v, memo->off);
	}
	if (memo->encoding != DW_PCREL_SDATA4)
		return 0;
	return function_add(v, f, vaddr + 8 + (uint64_t)(int64_t)fde.begin, fde.range);
}

/* The index of the last entry that begins at or before the place, or 0. */
static uint32_t table_find(struct elf_view *v, uint64_t table, uint32_t n, uint64_t vaddr)
{
	uint32_t low = 0, high = n;

	while (high - low > 1) {
		uint32_t mid = low + (high - low) / 2;
		int32_t at;

		if (view_read(v, table + (uint64_t)mid * 8, &at, 4))
			return 0;
		if (v->eh.p_vaddr + (uint64_t)(int64_t)at <= vaddr)
			low = mid;
		else
			high = mid;
	}
	return low;
}

/* True: there is such a table. */
static bool from_table(struct elf_view *v, struct function_list *f, int *r)
{
	struct cie_memo memo = {.off = UINT64_MAX};
	uint64_t table = v->eh.p_offset + 12, shift = v->text.p_vaddr - v->text.p_offset;
	uint8_t head[4];
	uint32_t n;

	if (v->eh.p_filesz < 12 || view_read(v, v->eh.p_offset, head, 4) || head[0] != 1 ||
	    head[1] != DW_PCREL_SDATA4 || head[2] != DW_UDATA4 || head[3] != DW_DATAREL_SDATA4 ||
	    view_read(v, v->eh.p_offset + 8, &n, 4) || !n || n > (v->eh.p_filesz - 12) / 8)
		return false;
	for (uint32_t i = table_find(v, table, n, f->low + shift); i < n && *r == 0; i++) {
		int32_t at[2];
		uint64_t fde;

		if (view_read(v, table + (uint64_t)i * 8, at, 8) ||
		    v->eh.p_vaddr + (uint64_t)(int64_t)at[0] >= f->high + shift)
			break;
		fde = v->eh.p_vaddr + (uint64_t)(int64_t)at[1];
		*r = fde_add(v, f, &memo, view_offset(v, fde), fde);
	}
	return true;
}

static int from_section(struct elf_view *v, struct function_list *f)
{
	struct cie_memo memo = {.off = UINT64_MAX};
	Elf64_Shdr s;
	uint32_t len;
	int r = 0;

	if (!view_section_named(v, ".eh_frame", &s) || s.sh_type == SHT_NOBITS ||
	    s.sh_size > EH_FRAME_MAX || s.sh_offset > v->file->size)
		return 0;
	for (uint64_t at = 0; r == 0 && at + 4 <= s.sh_size; at += 4 + (uint64_t)len) {
		if (view_read(v, s.sh_offset + at, &len, 4) || !len || len == 0xffffffff)
			break;
		r = fde_add(v, f, &memo, s.sh_offset + at, s.sh_addr + at);
	}
	return r;
}

int functions_unwind(struct elf_view *v, struct function_list *f)
{
	int r = 0;

	return from_table(v, f, &r) ? r : from_section(v, f);
}
