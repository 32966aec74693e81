/* What the stub's own files share. */
#pragma once

#include <stdint.h>

#include "platform/stub/layout.h"
#include "platform/stub/sys.h"

/* Hidden, so that addresses are taken relative to the instruction: this code is copied. */
#pragma GCC visibility push(hidden)

/* Registers by their place in sigcontext, which is that in SLOT_FAST_REGS. */
enum {
	REG_R8 = 0,
	REG_R9,
	REG_R10,
	REG_RDI = 8,
	REG_RSI,
	REG_RDX = 12,
	REG_RAX,
	REG_RSP = 15,
	REG_EFLAGS = 17,
	REG_COUNT = 18,
};
#define EFLAGS_TF 0x100UL

extern const char stub_blob_start[], stub_blob_end[]; /* stub.lds */

/* entry.S */
_Noreturn void stub_jump(void *arg, uint64_t stack, uint64_t to);
_Noreturn void stub_return(uint64_t uc);
void stub_restorer(void);
long stub_fork(long flags, int arena, int sock, uint64_t uc, long sentry);
long stub_clone(long flags, uint64_t stack, void (*fn)(uint64_t), uint64_t arg);
_Noreturn void stub_exit(void);
int64_t stub_cmpxchg32(uint64_t p, uint32_t expect, uint32_t desired);
uint64_t stub_copy(uint64_t dst, uint64_t src, uint64_t n);
uint64_t stub_clear(uint64_t dst, uint64_t n);
_Noreturn void stub_trap(void);
extern const char stub_trap_site[], stub_fast_exit[], stub_fast_exit_end[];
extern const char stub_cmpxchg32_end[], stub_fault[], stub_copy_bytes[], stub_copy_end[];
extern const char stub_clear_end[];
void *memcpy(void *dst, const void *src, unsigned long n);
void *memset(void *dst, int c, unsigned long n);

/* entry.c */
void stub_handler(int signo, void *info, uint64_t uc);
_Noreturn void stub_child(uint64_t uc);
void stub_fast(uint64_t *regs);
void stub_fast_interrupted(uint64_t *regs);

/* commands.c: runs the slot's commands */
void stub_run_commands(struct slot *s);

/* ahead.c: copies what the call in regs (by their place in sigcontext) will surely read to the window,
 * so that the sentry need not fetch it */
void stub_copy_ahead(struct slot *s, const uint64_t *regs);

/* answers.c: true if the call in regs, copied ahead, has its answer in them now */
int stub_answer_path(struct slot *s, uint64_t *regs);

/* known.c: the same, from what the sentry has told of the thread's state */
int stub_answer_known(struct slot *s, uint64_t *regs);

/* filter.c: 0, a listener's descriptor, or -errno. orphans_end: with the calls by which a child sees to
 * its end with the sentry's */
long stub_install_filter(int want_listener, int orphans_end);

/* zygote.c */
_Noreturn void zygote_load(uint64_t *stack);

#pragma GCC visibility pop
