/* Files to scan: those of this machine, and small ones made up of given code. */
#pragma once

#include <elf.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "platform/patch/patch.h"

struct bytes {
	uint8_t *p;
	size_t n;
};

static inline int bytes_read(void *ctx, uint64_t off, void *buf, size_t n)
{
	const struct bytes *b = ctx;

	if (off > b->n || n > b->n - off)
		return -5;
	memcpy(buf, b->p + off, n);
	return 0;
}

static inline struct patch_file bytes_file(struct bytes *b)
{
	return (struct patch_file){.read = bytes_read, .ctx = b, .size = b->n};
}

static inline bool bytes_load(const char *path, struct bytes *b)
{
	struct stat st;
	int fd = open(path, O_RDONLY);

	if (fd < 0)
		return false;
	b->p = NULL;
	if (fstat(fd, &st) == 0 && (b->p = malloc((size_t)st.st_size)))
		b->n = (size_t)st.st_size;
	if (b->p && read(fd, b->p, b->n) != (ssize_t)b->n) {
		free(b->p);
		b->p = NULL;
	}
	close(fd);
	return b->p != NULL;
}

/* The i-th executable segment; its end, or 0. */
static inline uint64_t bytes_text(const struct bytes *b, unsigned i, uint64_t *start)
{
	Elf64_Ehdr h;
	Elf64_Phdr p;

	if (bytes_read((void *)(uintptr_t)b, 0, &h, sizeof(h)) || memcmp(h.e_ident, ELFMAG, SELFMAG))
		return 0;
	for (unsigned k = 0; k < h.e_phnum; k++) {
		if (bytes_read((void *)(uintptr_t)b, h.e_phoff + k * sizeof(p), &p, sizeof(p)))
			return 0;
		if (p.p_type != PT_LOAD || !(p.p_flags & PF_X) || i--)
			continue;
		*start = p.p_offset;
		return p.p_offset + p.p_filesz <= b->n ? p.p_offset + p.p_filesz : 0;
	}
	return 0;
}

#define MADE_TEXT 0x1000UL

/* A program whose segment of code begins at MADE_TEXT with `text`, with symbols for `functions`: pairs of
 * offset and size, up to a size of 0. */
static inline struct bytes bytes_make(const void *text, size_t n, const uint64_t (*functions)[2])
{
	size_t size = MADE_TEXT + ((n + 4095) & ~4095UL), nsyms = 0;
	Elf64_Sym syms[32] = {0};
	Elf64_Shdr s[2] = {{0}};
	Elf64_Phdr ph = {.p_type = PT_LOAD, .p_flags = PF_R | PF_X, .p_offset = MADE_TEXT,
			 .p_vaddr = MADE_TEXT, .p_filesz = n, .p_memsz = n};
	Elf64_Ehdr h = {.e_ident = {0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB, EV_CURRENT},
			.e_type = ET_DYN, .e_machine = EM_X86_64, .e_phoff = sizeof(h), .e_phnum = 1,
			.e_phentsize = sizeof(ph), .e_shentsize = sizeof(s[0]), .e_shnum = 2,
			.e_shoff = sizeof(h) + sizeof(ph)};
	struct bytes b = {calloc(1, size + sizeof(syms)), size + sizeof(syms)};

	for (; nsyms < 32 && functions[nsyms][1]; nsyms++)
		syms[nsyms] = (Elf64_Sym){.st_info = ELF64_ST_INFO(STB_GLOBAL, STT_FUNC), .st_shndx = 1,
					  .st_value = MADE_TEXT + functions[nsyms][0],
					  .st_size = functions[nsyms][1]};
	s[1] = (Elf64_Shdr){.sh_type = SHT_SYMTAB, .sh_offset = size, .sh_size = nsyms * sizeof(syms[0])};
	memcpy(b.p, &h, sizeof(h));
	memcpy(b.p + h.e_phoff, &ph, sizeof(ph));
	memcpy(b.p + h.e_shoff, s, sizeof(s));
	memcpy(b.p + MADE_TEXT, text, n);
	memcpy(b.p + size, syms, sizeof(syms));
	return b;
}
