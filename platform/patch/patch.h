/* Call sites that are rewritten so that a system call is a jump into the stub and not a trap.
 *
 *	before				after, rule A			after, rule B
 *	b8 imm32  mov $nr,%eax		e9 ....   jmp thunk		...
 *	44 89 e7  mov %r12d,%edi	44 89 e7  mov %r12d,%edi	...
 *	0f 05     syscall		0f 05     syscall		eb ..     jmp pad
 *	...				...				...
 *	90 90 ..  (padding)						pad: e9 ....  jmp thunk
 *
 * A: an instruction of 5 bytes or more, from which control falls through to `syscall`, becomes a jump
 * to the thunk. The thunk runs that instruction and those behind it. Only it is overwritten: whoever
 * jumps, or is, between it and the `syscall`, finds the code as it was, and traps. So nothing needs
 * to be known of branches, and a place in the thunk can always be told as one in the text.
 * B: dead padding of 5 bytes lies within reach of a 2-byte jump that replaces the `syscall`.
 * In both cases the two bytes before the return address are still something that makes the call, as
 * restarts need. Several instructions, all short, would have to be overwritten to reach the rest: a
 * thread that stands between two of them would then go on in the middle of the jump. They trap.
 *
 * Which bytes are instructions is known by decoding forward from the start of a function (insn.h), which
 * the file's unwind tables, Go's tables or symbols tell, or calls in functions that are known. Padding is
 * dead when what stands before it (the end of a function, or of a block in one without jumps by tables)
 * never goes on, no branch of the function leads into it, and it holds nothing but nops (or int3,
 * between functions).
 *
 * Small segments are scanned as a whole, of large ones only a window around one site.
 *
 * All of this is computed from the bytes of the file. They are hostile: everything is checked for
 * its bounds, and at worst a guest breaks its own code. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define PATCH_PAGE 4096UL
/* Executable segments up to this size are scanned as a whole. */
#define PATCH_WHOLE (4UL << 20)
/* Of larger ones: so much on both sides of a site. */
#define PATCH_WINDOW (64UL << 10)

/* One thunk; all are of this size. The first of each page holds the address of the entry. */
#define PATCH_THUNK_SIZE 64
#define PATCH_DISPLACED_MAX 16

/* Where bytes come from. read: all n bytes at off, or a negative errno. */
struct patch_file {
	int (*read)(void *ctx, uint64_t off, void *buf, size_t n);
	void *ctx;
	uint64_t size;
};

struct patch_site {
	uint64_t off;	   /* of the `syscall` instruction in the file */
	uint64_t pad;	   /* rule B: of the 5 bytes of padding; 0: rule A */
	uint8_t displaced; /* rule A: bytes before `syscall` that go to the thunk */
	uint8_t rip_at;	   /* where in these a distance from %rip stands; 0: nowhere */
};

/* What can be patched of [start, end), file offsets: pages, of one executable segment; the last one may
 * end with the file. */
struct patch_plan {
	uint64_t start, end;
	size_t nsites;
	struct patch_site *sites; /* owned; in the order of off */
	uint8_t *text;		  /* owned; the bytes as the file has them */
};

/* Of what surrounds the file offset `site`, but within [low, high), page borders.
 * -ENOEXEC: not an ELF file that we understand, or not in a segment of code; -ENOENT: nothing to
 * patch in [out->start, out->end); -ENOMEM; what file->read() said. */
int patch_scan(const struct patch_file *file, uint64_t site, uint64_t low, uint64_t high,
	       struct patch_plan *out);
void patch_plan_free(struct patch_plan *p);
/* A site by its offset, or NULL. */
const struct patch_site *patch_plan_find(const struct patch_plan *p, uint64_t off);

size_t patch_thunks_size(const struct patch_plan *p);
/* Where the thunk of the i-th site lies in the thunks. */
uint64_t patch_thunk_place(size_t i);
/* Rewrites `text`, a copy of the plan's, and fills `thunks` (patch_thunks_size() bytes), which are to be
 * mapped `delta` bytes from where `text` is. entry: pf_ops.fast_entry(). */
void patch_write(const struct patch_plan *p, uint8_t *text, uint8_t *thunks, int64_t delta,
		 uint64_t entry);

/* ---- the way back: what a thread that stands in a thunk was about to do --------------------------- */

/* Which place in the text, told as a distance from the thunk's start, is `off` bytes into the thunk? */
int64_t patch_thunk_original(const uint8_t thunk[PATCH_THUNK_SIZE], unsigned off);
/* Of an access in a thunk that faulted since %gs is the guest's own: how far behind it, if `off` is
 * that instruction, lies the one that traps. 0: it is not. */
unsigned patch_thunk_fixup(const uint8_t thunk[PATCH_THUNK_SIZE], unsigned off);
/* Behind that instruction: where the call goes on, as a distance from the thunk's start. */
int64_t patch_thunk_return(const uint8_t thunk[PATCH_THUNK_SIZE]);
