/* The few constants of layout.h that assembly needs; stub.c asserts that they agree. */
#pragma once

#define STUB_ASM_ARENA 0x7ffe80000000
#define STUB_ASM_ARENA_SIZE 0x80000000
#define STUB_ASM_SOCK 0
#define STUB_ASM_FAST_STACK 0x1000
#define STUB_ASM_FAST_REGS 0xf70
#define STUB_ASM_PENDING 0x58
