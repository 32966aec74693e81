/* An ELF file's headers, and a few blocks of it in memory: the tables are read a word at a time. */
#include "platform/patch/patch_impl.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define SEGMENTS_MAX 64
#define BLOCK 16384UL
#define BLOCKS 4
/* Tables may say that they go on for terabytes of holes. */
#define READS_MAX (64U << 20)

struct elf_block {
	uint64_t off;
	size_t n; /* 0: empty */
	uint8_t bytes[BLOCK];
};

static int block_get(struct elf_view *v, uint64_t off, const struct elf_block **out)
{
	struct elf_block *b;
	int r;

	for (unsigned i = 0; i < BLOCKS; i++)
		if (v->blocks[i].n && v->blocks[i].off == off) {
			*out = &v->blocks[i];
			return 0;
		}
	b = &v->blocks[v->turn++ % BLOCKS];
	b->off = off;
	b->n = v->file->size - off < BLOCK ? v->file->size - off : BLOCK;
	r = v->file->read(v->file->ctx, off, b->bytes, b->n);
	if (r < 0)
		b->n = 0;
	*out = b;
	return r < 0 ? r : 0;
}

int view_read(struct elf_view *v, uint64_t off, void *out, size_t n)
{
	if (off > v->file->size || n > v->file->size - off || v->reads == READS_MAX)
		return -ENOEXEC;
	v->reads++;
	if (n > BLOCK)
		return v->file->read(v->file->ctx, off, out, n);
	while (n) {
		const struct elf_block *b;
		uint64_t at = off % BLOCK;
		size_t part = n < BLOCK - at ? n : BLOCK - at;
		int r = block_get(v, off - at, &b);

		if (r)
			return r;
		memcpy(out, b->bytes + at, part);
		out = (uint8_t *)out + part;
		off += part;
		n -= part;
	}
	return 0;
}

uint64_t view_offset(struct elf_view *v, uint64_t vaddr)
{
	for (unsigned i = 0; i < v->h.e_phnum; i++) {
		Elf64_Phdr p;

		if (view_read(v, v->h.e_phoff + i * sizeof(p), &p, sizeof(p)))
			break;
		if (p.p_type == PT_LOAD && vaddr >= p.p_vaddr && vaddr - p.p_vaddr < p.p_filesz)
			return p.p_offset + (vaddr - p.p_vaddr);
	}
	return UINT64_MAX;
}

bool view_section(struct elf_view *v, unsigned i, Elf64_Shdr *out)
{
	return v->h.e_shentsize == sizeof(*out) && i < v->h.e_shnum &&
	       view_read(v, v->h.e_shoff + i * sizeof(*out), out, sizeof(*out)) == 0;
}

bool view_section_named(struct elf_view *v, const char *name, Elf64_Shdr *out)
{
	size_t n = strlen(name) + 1;
	Elf64_Shdr names;
	char seen[32];

	if (n > sizeof(seen) || !view_section(v, v->h.e_shstrndx, &names))
		return false;
	for (unsigned i = 0; view_section(v, i, out); i++)
		if (names.sh_offset <= UINT64_MAX - out->sh_name &&
		    view_read(v, names.sh_offset + out->sh_name, seen, n) == 0 &&
		    memcmp(seen, name, n) == 0)
			return true;
	return false;
}

static int segments_read(struct elf_view *v, uint64_t site)
{
	bool have_text = false;

	for (unsigned i = 0; i < v->h.e_phnum; i++) {
		Elf64_Phdr p;

		if (view_read(v, v->h.e_phoff + i * sizeof(p), &p, sizeof(p)))
			return -ENOEXEC;
		if (p.p_type == PT_GNU_EH_FRAME)
			v->eh = p;
		if (p.p_type != PT_LOAD || site < p.p_offset || site - p.p_offset >= p.p_filesz)
			continue;
		/* A file may show the same bytes twice. */
		if (have_text || !(p.p_flags & PF_X) || p.p_flags & PF_W)
			return -ENOEXEC;
		have_text = true;
		v->text = p;
	}
	if (!have_text || v->text.p_offset > v->file->size ||
	    v->text.p_filesz > v->file->size - v->text.p_offset)
		return -ENOEXEC;
	return 0;
}

int view_open(struct elf_view *v, const struct patch_file *file, uint64_t site)
{
	int r = 0;

	*v = (struct elf_view){.file = file, .blocks = calloc(BLOCKS, sizeof(*v->blocks))};
	if (!v->blocks)
		return -ENOMEM;
	if (view_read(v, 0, &v->h, sizeof(v->h)) || memcmp(v->h.e_ident, ELFMAG, SELFMAG) ||
	    v->h.e_ident[EI_CLASS] != ELFCLASS64 || v->h.e_machine != EM_X86_64 ||
	    v->h.e_phentsize != sizeof(Elf64_Phdr) || v->h.e_phnum > SEGMENTS_MAX)
		r = -ENOEXEC;
	if (r == 0)
		r = segments_read(v, site);
	if (r)
		view_close(v);
	return r;
}

void view_close(struct elf_view *v)
{
	free(v->blocks);
	v->blocks = NULL;
}
