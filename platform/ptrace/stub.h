/* The few instructions that guest processes run for the sentry, and where they lie. */
#pragma once

#include <stdint.h>

#include "platform/platform.h"

#define PTSTUB_CODE 0x7ffe10000000UL /* r-x; above PF_GUEST_MAX, as all of these */
#define PTSTUB_DATA 0x7ffe10010000UL /* rw-: the message header for recvmsg; the guest may scribble here */
#define PTSTUB_VDSO 0x7ffe20000000UL /* the host's vvar and vDSO, moved here */
#define PTSTUB_VDSO_SIZE 0x100000UL
#define PTSTUB_PAGE 0x1000UL

/* stub.c: position independent; each label's use is said there. */
extern const char ptstub_begin[], ptstub_park[], ptstub_call[], ptstub_exit[], ptstub_cmpxchg[],
	ptstub_mmap_fd[], ptstub_thread[], ptstub_fork[], ptstub_born[], ptstub_born_end[],
	ptstub_break[], ptstub_end[];

static inline uint64_t ptstub_addr(const char *label)
{
	return PTSTUB_CODE + (uint64_t)(label - ptstub_begin);
}
