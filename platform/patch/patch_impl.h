/* Reading ELF files for patch_scan(). */
#pragma once

#include <elf.h>
#include <stdbool.h>

#include "platform/patch/patch.h"

struct elf_block;

struct elf_view {
	const struct patch_file *file;
	Elf64_Ehdr h;
	Elf64_Phdr text; /* the executable segment that was asked for */
	Elf64_Phdr eh;	 /* PT_GNU_EH_FRAME; p_filesz 0: none */
	struct elf_block *blocks; /* owned: what was read last */
	unsigned turn;
	unsigned reads; /* so far */
};

/* elf_view.c */
int view_open(struct elf_view *v, const struct patch_file *file, uint64_t site);
void view_close(struct elf_view *v);
int view_read(struct elf_view *v, uint64_t off, void *out, size_t n);
/* The file offset of a virtual address; UINT64_MAX: it is not in a segment. */
uint64_t view_offset(struct elf_view *v, uint64_t vaddr);
/* False: it does not exist. The i-th: */
bool view_section(struct elf_view *v, unsigned i, Elf64_Shdr *out);
bool view_section_named(struct elf_view *v, const char *name, Elf64_Shdr *out);

/* Where functions begin and end, file offsets. */
struct patch_range {
	uint64_t start, end;
};

struct function_list {
	uint64_t low, high; /* only what touches [low, high), file offsets, is taken */
	size_t n, cap;
	struct patch_range *range; /* owned */
};

/* Takes [vaddr, vaddr + len) if it lies in the executable segment. 0 or -ENOMEM. */
int function_add(const struct elf_view *v, struct function_list *f, uint64_t vaddr, uint64_t len);

/* The sources. 0, also when there is no such table or none that is understood; or -ENOMEM. */
int functions_unwind(struct elf_view *v, struct function_list *f);  /* patch_unwind.c */
int functions_go(struct elf_view *v, struct function_list *f);	    /* patch_gotab.c */
int functions_symbols(struct elf_view *v, struct function_list *f); /* patch_functions.c */
/* All: in order, disjoint. */
int functions_find(struct elf_view *v, struct function_list *f);
/* Adds those of `more` that overlap neither each other nor any in f, which is in order and disjoint before
 * and after. 0 or -ENOMEM. */
int functions_merge(struct function_list *f, struct function_list *more);
/* Adds those that are called, if f does not tell of nearly all of `text`, which is [low, high) of the
 * file; the program begins at `entry` (patch_called.c). 0 or -ENOMEM. */
int functions_called(const uint8_t *text, uint64_t low, uint64_t high, uint64_t entry,
		     struct function_list *f);
