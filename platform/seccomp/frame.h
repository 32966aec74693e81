/* The signal frame as the host kernel lays it out (arch/x86/include/uapi/asm/sigcontext.h). */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "platform/platform.h"

struct kernel_sigcontext {
	uint64_t gregs[18]; /* in the order of struct pf_regs */
	uint16_t cs, gs, fs, ss;
	uint64_t err, trapno, oldmask, cr2;
	uint64_t fpstate;
	uint64_t reserved[8];
};

struct kernel_ucontext {
	uint64_t flags, link;
	uint64_t ss_sp;
	uint32_t ss_flags, ss_pad;
	uint64_t ss_size;
	struct kernel_sigcontext mc;
	uint64_t sigmask;
};

_Static_assert(sizeof(struct kernel_sigcontext) == 256, "struct sigcontext");
_Static_assert(sizeof(struct kernel_ucontext) == 304, "struct ucontext");
_Static_assert(offsetof(struct pf_regs, eflags) == 17 * 8, "pf_regs begins like gregs");

struct kernel_siginfo {
	int32_t signo, err, code, pad;
	union {
		uint64_t addr;
		struct {
			uint64_t call_addr;
			int32_t syscall;
			uint32_t arch;
		} sys;
		uint8_t bytes[112];
	};
};

_Static_assert(sizeof(struct kernel_siginfo) == 128, "siginfo_t");

/* The FP state: fxsave, whose last 48 bytes are the host kernel's; XSAVE header; the rest. */
#define FP_FXSAVE_SIZE 512
#define FP_MXCSR 24
#define FP_MXCSR_MASK 28
#define FP_SW 464
#define FP_MAGIC1 0x46505853U
#define FP_MAGIC2 0x46505845U

struct fp_sw {
	uint32_t magic1, extended_size;
	uint64_t xfeatures;
	uint32_t xstate_size, padding[7];
};

struct fp_header {
	uint64_t xstate_bv, xcomp_bv, reserved[6];
};

_Static_assert(sizeof(struct fp_sw) == 48, "struct _fpx_sw_bytes");
_Static_assert(sizeof(struct fp_header) == 64, "XSAVE header");

/* Of untrusted bytes, for both platforms (fp_image.c). True if buf, of at least FP_FXSAVE_SIZE, has the
 * extended format; then *xstate_size is checked against len. */
bool fp_is_extended(const void *buf, size_t len, uint32_t *xstate_size);
/* -EINVAL for a feature that is not in `features`, compaction, or reserved words. */
int fp_header_check(uint64_t features, const struct fp_header *h);
/* The parts of an image that are the host kernel's, not the guest's; size: of the image with its end mark. */
void fp_trailer_write(void *fp, uint64_t features, size_t size);
