/* Call sites that are rewritten so that a system call is a jump into the stub and not a trap.
 *
 *	before				after, rule A			after, rule B
 *	b8 imm32  mov $nr,%eax		e9 ....   jmp thunk		...
 *	0f 05     syscall		0f 05     syscall		eb ..     jmp pad
 *	...				...				...
 *	90 90 ..  (padding)						pad: e9 ....  jmp thunk
 *
 * A: the instruction right before `syscall` is the 5-byte mov; who jumps straight to the `syscall`
 * still traps. B: dead padding of 5 bytes lies within reach of a 2-byte jump that replaces the
 * `syscall`. In both cases the two bytes before the return address are still something that makes
 * the call, as restarts need.
 *
 * Which bytes are instructions is known by decoding forward from the start of a function, which the
 * file's symbols or unwind tables tell. Padding is dead when the function before it ends in an
 * instruction that never goes on, and it holds nothing but nops or int3.
 *
 * All of this is computed from the bytes of the file. They are hostile: everything is checked for
 * its bounds, and at worst a guest breaks its own code. */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* One thunk; all are of this size. */
#define PATCH_THUNK_SIZE 64

struct patch_site {
	uint64_t off;	  /* of the `syscall` instruction in the file */
	uint64_t pad;	  /* rule B: of the 5 bytes of padding; 0: rule A */
	uint32_t nr;	  /* rule A */
};

/* What can be patched in one file: within its executable segment [start, end), file offsets. */
struct patch_plan {
	uint64_t start, end;
	size_t nsites;
	struct patch_site *sites; /* owned */
};

/* -ENOEXEC: not an ELF file that we understand; -ENOENT: nothing to patch; -ENOMEM. */
int patch_scan(const uint8_t *file, size_t size, struct patch_plan *out);
void patch_plan_free(struct patch_plan *p);
size_t patch_thunks_size(const struct patch_plan *p);
/* Rewrites `text`, the bytes [start, end) of the file, and fills `thunks` (patch_thunks_size()
 * bytes), which are to be mapped `delta` bytes from where `text` is. entry: pf_ops.fast_entry(). */
void patch_write(const struct patch_plan *p, uint8_t *text, uint8_t *thunks, int64_t delta,
		 uint64_t entry);
/* Of an access in a thunk that faulted since %gs is the guest's own: how far behind it, if `off`, the
 * place in the thunks, is that instruction, lies the one that traps. 0: it is not. */
unsigned patch_thunk_fixup(uint64_t off);

/* patch_functions.c: where functions begin and end, file offsets, in order, disjoint. */
struct patch_range {
	uint64_t start, end;
};
struct patch_functions {
	size_t n;
	struct patch_range *range; /* owned */
};
/* Those within the executable segment [*start, *end), which it tells. */
int patch_functions_find(const uint8_t *file, size_t size, uint64_t *start, uint64_t *end,
			 struct patch_functions *out);
