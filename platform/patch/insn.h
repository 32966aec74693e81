/* The lengths of 64-bit x86 instructions, and what moving one or jumping to one depends on.
 *
 * Only what compilers and assemblers for Linux programs write is known. Anything else, redundant or
 * contradicting prefixes among it, has no length: who asks must then leave the code alone. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define INSN_MAX 15

enum insn_kind {
	INSN_PLAIN,    /* goes on behind itself */
	INSN_NOP,
	INSN_BRANCH,   /* conditional, to insn.target */
	INSN_JUMP,     /* to insn.target */
	INSN_CALL,     /* to insn.target */
	INSN_INDIRECT, /* a jump to nobody knows where */
	INSN_END,      /* ret, ud2, hlt, int3: never goes on */
	INSN_SYSCALL,
	INSN_MOVES_NOT, /* goes on, but means something else at another place, or ends a system call */
};

struct insn {
	uint8_t len;
	uint8_t kind;
	bool memory;	   /* reads or writes memory, by an operand or on the stack */
	uint8_t rip_at;	   /* where in it the distance from %rip of an operand stands; 0: there is none */
	uint64_t target;   /* of a branch, or of that operand; 0: none */
};

/* Of the instruction at p, of which n bytes can be read, and whose address is `at`. False: unknown,
 * or longer than n. */
bool insn_decode(const uint8_t *p, size_t n, uint64_t at, struct insn *out);
