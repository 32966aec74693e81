/* The ELF parser. It sees bytes only: every offset, size and count is checked here, so that who maps
 * the segments needs no doubts. The errors are those of Linux's binfmt_elf. */
#include "sentry/loader/elf.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "platform/platform.h"

int elf_check_header(const void *buf, size_t len, uint64_t *phoff, size_t *phbytes)
{
	Elf64_Ehdr h;

	if (len < sizeof(h))
		return -ENOEXEC;
	memcpy(&h, buf, sizeof(h));
	if (memcmp(h.e_ident, ELFMAG, SELFMAG) || h.e_ident[EI_CLASS] != ELFCLASS64 ||
	    h.e_ident[EI_DATA] != ELFDATA2LSB)
		return -ENOEXEC;
	if ((h.e_type != ET_EXEC && h.e_type != ET_DYN) || h.e_machine != EM_X86_64)
		return -ENOEXEC;
	if (h.e_phentsize != sizeof(Elf64_Phdr) || h.e_phnum == 0)
		return -ENOEXEC;
	*phbytes = (size_t)h.e_phnum * sizeof(Elf64_Phdr);
	if (*phbytes > ELF_PHDR_BYTES_MAX || h.e_phoff > INT64_MAX - *phbytes)
		return -ENOEXEC;
	*phoff = h.e_phoff;
	return 0;
}

static uint32_t segment_prot(uint32_t flags)
{
	return (flags & PF_R ? PROT_READ : 0) | (flags & PF_W ? PROT_WRITE : 0) |
	       (flags & PF_X ? PROT_EXEC : 0);
}

static int add_segment(struct elf_image *img, const Elf64_Phdr *p)
{
	struct elf_segment *s = &img->segments[img->nsegments];
	uint64_t low = page_down(p->p_vaddr), high;

	if (p->p_filesz > p->p_memsz || p->p_memsz > PF_GUEST_MAX ||
	    p->p_vaddr > PF_GUEST_MAX - p->p_memsz)
		return -EINVAL;
	if (p->p_filesz &&
	    ((p->p_offset ^ p->p_vaddr) & ~GUEST_PAGE_MASK || p->p_offset > INT64_MAX - p->p_filesz))
		return -EINVAL;
	high = page_up(p->p_vaddr + p->p_memsz);
	*s = (struct elf_segment){.vaddr = p->p_vaddr, .offset = p->p_offset,
				  .filesz = p->p_filesz, .memsz = p->p_memsz,
				  .prot = segment_prot(p->p_flags)};
	if (img->nsegments == 0 || low < img->low)
		img->low = low;
	if (high > img->high)
		img->high = high;
	if (p->p_align > img->align && (p->p_align & (p->p_align - 1)) == 0 &&
	    p->p_align < (1UL << 40))
		img->align = p->p_align;
	img->nsegments++;
	return 0;
}

/* Where the program headers end up in memory: in the segment whose file part holds them. */
static void note_phdrs(struct elf_image *img, const Elf64_Ehdr *h, const Elf64_Phdr *p)
{
	if (p->p_type == PT_PHDR)
		img->phdr_vaddr = p->p_vaddr;
	else if (p->p_type == PT_LOAD && !img->phdr_vaddr && h->e_phoff >= p->p_offset &&
		 h->e_phoff - p->p_offset < p->p_filesz)
		img->phdr_vaddr = h->e_phoff - p->p_offset + p->p_vaddr;
}

static int parse_one(struct elf_image *img, const Elf64_Ehdr *h, const Elf64_Phdr *p)
{
	note_phdrs(img, h, p);
	switch (p->p_type) {
	case PT_LOAD:
		return add_segment(img, p);
	case PT_INTERP:
		if (img->interp_size) /* the first one counts */
			return 0;
		if (p->p_filesz > 4096 || p->p_filesz < 2 || p->p_offset > INT64_MAX - p->p_filesz)
			return -ENOEXEC;
		img->interp_offset = p->p_offset;
		img->interp_size = p->p_filesz;
		return 0;
	case PT_GNU_STACK:
		img->stack_exec = p->p_flags & PF_X ? 1 : 0;
		return 0;
	}
	return 0;
}

int elf_parse(const Elf64_Ehdr *h, const void *phdrs, size_t phbytes, struct elf_image *out)
{
	struct elf_image img = {.pie = h->e_type == ET_DYN, .entry = h->e_entry,
				.align = GUEST_PAGE_SIZE, .phnum = h->e_phnum, .stack_exec = -1};
	int err = 0;

	img.segments = calloc(h->e_phnum + 1u, sizeof(*img.segments));
	if (!img.segments)
		return -ENOMEM;
	for (size_t i = 0; !err && i < h->e_phnum && (i + 1) * sizeof(Elf64_Phdr) <= phbytes; i++) {
		Elf64_Phdr p;

		memcpy(&p, (const char *)phdrs + i * sizeof(p), sizeof(p));
		err = parse_one(&img, h, &p);
	}
	if (!err && (img.nsegments == 0 || img.high <= img.low))
		err = img.pie ? -EINVAL : -ENOEXEC;
	if (err) {
		elf_image_release(&img);
		return err;
	}
	*out = img;
	return 0;
}

void elf_image_release(struct elf_image *img)
{
	free(img->segments);
	img->segments = NULL;
	img->nsegments = 0;
}
