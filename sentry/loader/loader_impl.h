/* What only the loader's own files see. */
#pragma once

#include "sentry/loader/elf.h"
#include "sentry/loader/loader.h"
#include "sentry/mm/mm_impl.h"

#define EXEC_HEAD_SIZE 4096u

/* The first bytes of a file, read once, and the file. */
struct exec_head {
	struct file *file; /* borrowed */
	size_t len;
	uint8_t bytes[EXEC_HEAD_SIZE];
};

/* All of n bytes at off, or less at the end of the file; -errno. */
ssize_t exec_file_read(struct file *f, void *buf, size_t n, uint64_t off);
int exec_head_read(struct exec_head *h, struct file *f);
/* n bytes at off, out of the head if they lie in it: 0, -EIO when the file is too short. */
int exec_head_get(const struct exec_head *h, void *buf, size_t n, uint64_t off);

/* An image in the new address space. */
struct elf_placed {
	uint64_t bias, entry;
	uint64_t end; /* page-aligned end of the last segment */
	uint64_t start_code, end_code, start_data, end_data;
};
/* Checks and parses. bad: what a file that is no ELF of ours gives (-ENOEXEC, -ELIBBAD). */
int elf_read(const struct exec_head *h, int bad, struct elf_image *out);
/* Posts the mappings of img at base (bias is chosen by the caller). */
int elf_map(struct mm_op *op, struct file *f, const struct elf_image *img, uint64_t bias,
	    struct elf_placed *out);
/* After the mappings are there: zeroes what follows the file's bytes in the last pages. */
int elf_clear_tails(struct mm *m, const struct elf_image *img, uint64_t bias);

/* argv, envp and auxv as they will lie on the stack. */
struct exec_stack {
	uint8_t *bytes;	/* owned; goes to [sp, top) */
	size_t len;
	uint64_t sp, top;
};
int exec_stack_build(struct mm *m, const struct exec_args *args, uint64_t top, uint64_t rlim_stack,
		     const uint64_t (*auxv)[2], size_t auxc, struct exec_stack *out);

#define AUXV_MAX 32
