/* ELF headers, from bytes that nobody has checked. */
#pragma once

#include <elf.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ELF_PHDR_BYTES_MAX 65536u

struct elf_segment {
	uint64_t vaddr, offset, filesz, memsz;
	uint32_t prot; /* PROT_* */
};

/* What of a program's headers matters. */
struct elf_image {
	bool pie; /* ET_DYN */
	uint64_t entry;
	uint64_t low, high;	/* page-aligned extent of the segments, before any bias */
	uint64_t align;		/* the largest p_align, a power of two, at least a page */
	uint64_t phdr_vaddr;	/* where the program headers lie in memory, or 0 */
	uint16_t phnum;
	uint64_t interp_offset, interp_size; /* PT_INTERP; size 0: none */
	int stack_exec;		/* PT_GNU_STACK: 0, 1; -1: not there */
	struct elf_segment *segments; /* PT_LOADs; owned */
	size_t nsegments;
};

/* The first bytes of a file: is it an ELF program of ours? -ENOEXEC. On success the program headers
 * lie at *phoff, *phbytes of them. */
int elf_check_header(const void *buf, size_t len, uint64_t *phoff, size_t *phbytes);
/* hdr has been checked; phdrs are its program headers. -ENOEXEC, -EINVAL, -ENOMEM. */
int elf_parse(const Elf64_Ehdr *hdr, const void *phdrs, size_t phbytes, struct elf_image *out);
void elf_image_release(struct elf_image *img);
