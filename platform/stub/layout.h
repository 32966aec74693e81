/* What the sentry's side (platform/seccomp) and the stub share: addresses, the slot, the commands.
 * Included by freestanding code: nothing but integers here.
 *
 *	PF_GUEST_MAX 0x7ffe00000000 ------------------------------------------------
 *	STUB_TEXT    0x7ffe10000000  the stub's code, r-x, the only place whose
 *	                             `syscall` instructions reach the host
 *	STUB_BOOT    0x7ffe18000000  the zygote's first stack; gone before any guest
 *	STUB_VDSO    0x7ffe20000000  the host's vvar and vDSO, moved here
 *	STUB_PATHS   0x7ffe40000000  answers to calls with paths, shared by all stubs of a
 *	                             sandbox, r-- for them (answers.h)
 *	STUB_ARENA   0x7ffe80000000  the arena: SLOT_MAX slots, shared with the sentry,
 *	STUB_ARENA_END 0x7fff00000000  memory touched lazily
 *
 * A slot belongs to one guest thread:
 *
 *	0x0000  struct slot: state word, what was reported, commands
 *	0x1000  (downwards) the stack of calls that came without a trap; at its top their registers
 *	0x1000  alternate signal stack: the host kernel writes the signal frame here
 *	0x8000  data window: what the stub has read for the call; behind it what the call has
 *	        written, for the stub to copy out (see struct slot_piece); what the copy commands move
 *	0x1f000 what the stub knows of the thread's state (known.h)
 *
 * Everything in an arena can be written by the guest. The sentry copies, then checks. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "abi/base/copy.h"

#define STUB_TEXT 0x7ffe10000000UL
#define STUB_TEXT_SIZE 0x10000UL
#define STUB_BOOT 0x7ffe18000000UL
#define STUB_BOOT_SIZE 0x20000UL
#define STUB_VDSO 0x7ffe20000000UL
#define STUB_VDSO_SIZE 0x100000UL
#define STUB_PATHS 0x7ffe40000000UL
#define STUB_PATHS_SIZE 0x100000UL
#define STUB_ARENA 0x7ffe80000000UL
#define STUB_ARENA_END 0x7fff00000000UL
#define STUB_ARENA_SIZE (STUB_ARENA_END - STUB_ARENA)

#define SLOT_SIZE 0x20000UL
#define SLOT_MAX (STUB_ARENA_SIZE / SLOT_SIZE)
#define SLOT_ALTSTACK 0x1000UL
#define SLOT_ALTSTACK_SIZE 0x7000UL
#define SLOT_WINDOW 0x8000UL
#define SLOT_WINDOW_SIZE 0x17000UL
#define SLOT_KNOWN 0x1f000UL
#define SLOT_CMDS 32
/* Descriptors in one message, for as many commands; a stub may have twice as many open. */
#define SLOT_FDS 8
/* What the stub copies ahead: the beginning of a path, or all of a small buffer; all in all. */
#define SLOT_IN_PATH 256
#define SLOT_IN_BUFFER 4096
#define SLOT_IN_SIZE 0x2000UL
/* The same for a thread whose calls have been found to read more. */
#define SLOT_IN_BUFFER_LARGE 0x10000
#define SLOT_IN_SIZE_LARGE 0x11000UL
#define SLOT_INS 16
/* Of execve's vectors: bytes of the vector, and of the strings, at a time. */
#define STUB_STRINGS 256
#define STUB_STRING_BLOCK 1024
/* A signo that no signal has: the thread could not write what the call has left in the window. */
#define STUB_OUT_FAULT 0x7f
/* The registers of a fast call, in the order of struct pf_regs: r8 ... eflags. */
#define SLOT_FAST_STACK 0x1000UL
#define SLOT_FAST_REGS (SLOT_FAST_STACK - 18 * 8)
/* slot.self is the slot's own address plus this: by chance no memory looks like it. */
#define SLOT_MAGIC 0x5ca1ab1eUL
/* Where patched call sites enter: they load the return address into rcx, all else is as it was.
 * %gs must be the slot; the thunk has checked it. */
#define STUB_FAST_ENTRY STUB_TEXT

/* The stub's own descriptor: a socket over which the sentry passes others. */
#define STUB_SOCK 0
/* The signal with which the sentry interrupts a running thread. */
#define STUB_SIG_INTERRUPT 23 /* SIGURG */

/* The exact flag words that the filter lets through to clone(). */
#define STUB_CLONE_PROCESS 0x8011UL /* CLONE_PARENT | SIGCHLD */
#define STUB_CLONE_THREAD 0x50f00UL /* VM FS FILES SIGHAND THREAD SYSVSEM */

/* struct slot.state. RUN and STOPPED are set by the stub's thread, CMD and RESUME by the sentry. */
enum {
	SLOT_RUN,     /* the guest runs, or the stub on its way to it */
	SLOT_STOPPED, /* the frame is complete; the thread waits for CMD or RESUME */
	SLOT_CMD,     /* run the commands, then STOPPED again */
	SLOT_RESUME,  /* run the commands, then return to the guest through the frame */
	SLOT_FRAME,   /* make a signal frame of a fast call, then STOPPED again */
	SLOT_DEAD,    /* the sentry gave up on this thread */
};

/* Mapping calls carry the host's own numbers, which are all below CMD_FIRST. */
enum {
	CMD_FIRST = 0x1000,
	CMD_MMAP_FD = CMD_FIRST, /* receive a descriptor, mmap it, close it; args as mmap */
	CMD_KEEP_FD,	/* receive a descriptor and keep it; its number */
	CMD_FORK,	/* receive arena and socket, clone a process; a[0] its ucontext, a[1]
			 * the sentry's process id if it is to end with the sentry, or 0 */
	CMD_THREAD,	/* clone a thread; a[0] its ucontext */
	CMD_EXIT,	/* end this thread; never reports */
	CMD_CMPXCHG32,	/* a[0] address, a[1] expected, a[2] desired; the value found, or -errno */
	CMD_COPY_IN,	/* guest a[0] to the window, a[1] bytes; bytes not copied */
	CMD_COPY_OUT,	/* window to guest a[0], a[1] bytes; bytes not copied */
	CMD_WAKE,	/* futex wake: a[0] address, a[1] count, a[2] futex op */
	CMD_PAUSE,	/* test aid: never answer */
};

/* Calls that the stub answers from the slot. Of those that trapped it lets one in so many through, so
 * that the sentry learns of the site. */
#define STUB_ANSWERS_UNTOLD 64
static inline int stub_may_answer(uint64_t nr)
{
	/* getpid sched_yield; getuid getgid geteuid getegid getppid; gettid */
	return nr == 39 || nr == 24 || nr == 102 || nr == 104 || (nr >= 107 && nr <= 108) ||
	       nr == 110 || nr == 186;
}

/* Calls that a thread makes once, at its beginning, while `answers` is set: the stub notes what they
 * say (slot.said), and does what can be done here. */
static inline int stub_may_note(uint64_t nr)
{
	/* arch_prctl set_tid_address set_robust_list rseq */
	return nr == 158 || nr == 218 || nr == 273 || nr == 334;
}

enum { SLOT_SAID_CLEAR_TID = 1, SLOT_SAID_ROBUST_LIST = 2 };
#define STUB_ROBUST_HEAD_SIZE 24

/* TSC cycles, about a ms: who yielded for longer gave somebody a time slice. */
#define STUB_YIELD_LONG (1u << 21)

struct slot_cmd {
	uint64_t op;
	uint64_t a[6];
	int64_t ret;
};

enum {
	SLOT_SET_FS = 1,    /* load fs_base before returning to the guest */
	SLOT_SET_GS = 2,
	SLOT_FSGSBASE = 4, /* the instructions exist */
	SLOT_LARGE = 8,	   /* copy as much ahead as the larger limits allow */
};

/* A piece of guest memory in the window, what a call reads or has written: `len` bytes follow, of or
 * for `addr` (after `skip`, see slot_skip()); or it is to be cleared, and nothing follows; or to be read from a file: a struct slot_file
 * follows. The next piece begins at the next multiple of this header's size. */
struct slot_piece {
	uint64_t addr;
	uint32_t len;
	uint16_t what, skip; /* skip: bytes between this and the data */
};
enum { SLOT_BYTES, SLOT_ZEROS, SLOT_FILE };
struct slot_file {
	int64_t fd; /* what CMD_KEEP_FD said */
	uint64_t offset;
};
#define SLOT_UNIT 64
static inline uint32_t slot_piece_size(uint32_t len)
{
	return sizeof(struct slot_piece) * (1 + (len + sizeof(struct slot_piece) - 1) /
							sizeof(struct slot_piece));
}
static inline uint32_t slot_out_size(const struct slot_piece *p)
{
	return slot_piece_size(p->what == SLOT_BYTES  ? p->skip + p->len :
			       p->what == SLOT_FILE ? sizeof(struct slot_file) :
						      0);
}

/* So that the stub's own copies of what lies at guest addresses are never slow. */
static inline uint32_t slot_skip(uint64_t dst, uint64_t src, uint64_t len)
{
	return copy_is_slow(dst, src, len) ? COPY_APART : 0;
}

/* Whoever has read much from the window writes to each of its cache lines, so that the other side's next
 * write finds them in one place: lines that the writer still owns and the reader shares cost it
 * 7 ns each (AMD again: 64 KiB there and back in 9.4 us, so in 3.9). */
#define SLOT_TAKE_MIN 1024
static inline void slot_take_lines(void *start, uint64_t len)
{
	volatile uint8_t *p = start;

	if (len >= SLOT_TAKE_MIN)
		for (uint64_t i = 0; i < len; i += 64) {
			uint8_t same = p[i];

			p[i] = same;
		}
}

struct slot {
	/* stub to sentry; the first line is all that a spinning sentry looks at */
	_Alignas(64) uint32_t state;
	uint32_t stub_sleeps; /* in futex wait on state */
	uint32_t sentry_sleeps;
	uint32_t cpu;
	uint32_t signo;
	uint32_t done; /* the seq of the last batch of commands that was run */
	uint64_t uc, info; /* uc 0: a fast call, without a frame */
	uint64_t fs_base, gs_base; /* both ways */
	uint64_t tsc;		   /* when the thread reported */

	/* sentry to stub */
	_Alignas(64) uint32_t flags;
	uint32_t spin;	 /* TSC cycles to spin before yielding */
	uint32_t yields; /* yields to spend before sleeping */
	uint32_t ncmd;
	uint32_t seq;
	uint32_t done_waiters; /* somebody sleeps on `done` */
	uint32_t pending; /* stub: an interrupt came while the stub itself was running */
	/* What the stub answers by itself, while `answers` is set. */
	uint32_t answers;
	uint32_t tgid, tid, ppid, uid, euid, gid, egid;
	uint32_t place; /* of answers.h; 0: no answers to calls with paths */
	uint32_t known; /* something at SLOT_KNOWN has been told */
	uint64_t cred;	/* credentials as a number, for the same */
	/* Pieces to copy out before the guest goes on: their number << 16, and where in the slot
	 * the first begins, in units of SLOT_UNIT. */
	uint32_t out;

	_Alignas(64) uint64_t self;
	/* the stub's own */
	uint32_t untold; /* traps answered since the last that was let through */
	uint32_t unheard; /* what it was when a trap was let through */
	uint32_t sent_signal; /* the last call may have made a signal pending */
	/* Pieces that the call reads, copied to the window: their number << 16, and where in the slot
	 * they end, in units of SLOT_UNIT. */
	uint32_t in;
	/* Of a call that ends the process or its program: the most memory that it had, in KiB; else 0. */
	uint32_t maxrss;
	uint32_t said; /* which of the next two; the sentry takes note and clears it */
	uint64_t clear_tid, robust_list;
	uint64_t resumed; /* TSC, when T saw the answer; 0: at once, while it was spinning */
	uint64_t mapped;  /* TSC, when T had run commands the last time */
	uint64_t lost; /* TSC cycles that somebody else had the CPU for, while T yielded */

	_Alignas(64) struct slot_cmd cmd[SLOT_CMDS];
};

_Static_assert(sizeof(struct slot) <= SLOT_FAST_REGS - 1024, "head and fast stack share a page");

/* Sent by the zygote once it is ready, with the seccomp listener attached if there is one. */
#define ZYGOTE_MAGIC 0x7a79676fU
struct zygote_hello {
	uint32_t magic;
	int32_t pid;
	int32_t err;	 /* 0, or -errno of the step that failed */
	uint32_t step;
	uint32_t fsgsbase;
	uint32_t listener; /* 1: attached */
	uint32_t userns;   /* 1: in a user namespace of its own */
	uint64_t vdso;	   /* address, or 0 */
};

/* Of the zygote, when it begins. */
#define STUB_PATHS_FD 3

/* What the sentry tells the zygote, at the start of slot 0's window. */
struct zygote_config {
	uint32_t sentry; /* the process with whose end stubs are to end, or 0 */
	uint32_t want_listener;
	uint32_t want_userns;
	uint32_t want_paths; /* descriptor STUB_PATHS_FD is what goes to STUB_PATHS */
	char oom_score[8]; /* for /proc/self/oom_score_adj; empty: leave that alone */
};
/* The zygote's exit status when the host's random layout lies in the way: start it again. */
#define ZYGOTE_RETRY 75
