/* What the kernel puts on the stack before a signal handler starts: the return address (the
 * restorer), ucontext, siginfo; above them, 64-byte aligned, the FP state that
 * uc_mcontext.fpstate points at. rt_sigreturn(2) is entered with rsp just above the return
 * address. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "abi/linux/signal.h"

struct linux_sigcontext {
	uint64_t r8, r9, r10, r11, r12, r13, r14, r15;
	uint64_t rdi, rsi, rbp, rbx, rdx, rax, rcx, rsp, rip;
	uint64_t eflags;
	uint16_t cs, gs, fs, ss;
	uint64_t err, trapno;
	uint64_t oldmask;
	uint64_t cr2;
	uint64_t fpstate; /* guest address, or 0 */
	uint64_t reserved[8];
};
_Static_assert(sizeof(struct linux_sigcontext) == 256, "struct sigcontext");
_Static_assert(offsetof(struct linux_sigcontext, rip) == 128, "struct sigcontext");
_Static_assert(offsetof(struct linux_sigcontext, fpstate) == 184, "struct sigcontext");

struct linux_ucontext {
	uint64_t uc_flags; /* LINUX_UC_* */
	uint64_t uc_link;
	struct linux_stack uc_stack;
	struct linux_sigcontext uc_mcontext;
	uint64_t uc_sigmask;
};
_Static_assert(sizeof(struct linux_ucontext) == 304, "struct ucontext");
_Static_assert(offsetof(struct linux_ucontext, uc_mcontext) == 40, "struct ucontext");
_Static_assert(offsetof(struct linux_ucontext, uc_sigmask) == 296, "struct ucontext");

#define LINUX_UC_FP_XSTATE 0x1
#define LINUX_UC_SIGCONTEXT_SS 0x2
#define LINUX_UC_STRICT_RESTORE_SS 0x4

struct linux_rt_sigframe {
	uint64_t pretcode; /* the restorer */
	struct linux_ucontext uc;
	struct linux_siginfo info;
};
_Static_assert(sizeof(struct linux_rt_sigframe) == 440, "struct rt_sigframe");

/* Bytes below rsp that belong to the interrupted function. */
#define LINUX_RED_ZONE 128

/* The legacy 512-byte area, with the software's words at its end. */
#define LINUX_FP_XSTATE_MAGIC1 0x46505853U
#define LINUX_FP_XSTATE_MAGIC2 0x46505845U /* behind the XSAVE image */
#define LINUX_FXSAVE_SIZE 512
#define LINUX_FP_SW_RESERVED_OFFSET 464

struct linux_fp_sw_bytes {
	uint32_t magic1;
	uint32_t extended_size; /* image and magic2 */
	uint64_t xfeatures;
	uint32_t xstate_size;
	uint32_t padding[7];
};
_Static_assert(sizeof(struct linux_fp_sw_bytes) == 48, "struct _fpx_sw_bytes");
