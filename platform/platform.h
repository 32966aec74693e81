/* The platform: runs guest code in host processes of its own ("stubs"), one process an address
 * space, one host thread a guest thread, and reports what the guest asks for. The sentry above it
 * knows nothing of SIGSYS, ptrace or stubs.
 *
 * Who calls: every guest thread has one sentry thread S. Only S calls the functions that take
 * the pf_thread, except those marked "any thread". A pf_thread is either *running* (inside
 * pf_run) or *stopped*; the guest executes nothing of that thread while it is stopped.
 *
 * Trust: everything in a stub's memory belongs to the guest. Each value is copied once, then
 * checked. A stub that breaks the protocol, dies or hangs is killed and reported as PF_DEAD.
 *
 * Addresses are guest virtual addresses, sizes bytes, times ns of CLOCK_MONOTONIC.
 * Functions return 0 or a count, or -errno. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "abi/base/gptr.h"

/* The guest may map [PF_GUEST_MIN, PF_GUEST_MAX); the stub, its arenas and thunks lie above. */
#define PF_GUEST_MIN 0x10000UL
#define PF_GUEST_MAX 0x7ffe00000000UL

struct platform;  /* one a sandbox */
struct pf_space;  /* one guest address space; reference counted by its creator alone */
struct pf_thread; /* one guest thread */
struct known;

/* General registers of a stopped thread, in the names of x86-64. orig_rax: the number of the
 * system call that stopped it, or -1. fs_base/gs_base: what the guest set. */
struct pf_regs {
	uint64_t r8, r9, r10, r11, r12, r13, r14, r15;
	uint64_t rdi, rsi, rbp, rbx, rdx, rax, rcx, rsp, rip;
	uint64_t eflags;
	uint64_t fs_base, gs_base;
	int64_t orig_rax;
};

/* The arguments of a system call. */
static inline void pf_regs_args(const struct pf_regs *r, uint64_t args[6])
{
	args[0] = r->rdi;
	args[1] = r->rsi;
	args[2] = r->rdx;
	args[3] = r->r10;
	args[4] = r->r8;
	args[5] = r->r9;
}

enum pf_event_kind {
	PF_SYSCALL,   /* nr and args are set; regs.rip lies behind the instruction */
	PF_FAULT,     /* a hardware exception: signo, code, addr, trapno, error are set */
	PF_INTERRUPT, /* pf_interrupt() was called; nothing else happened */
	PF_LATE_FAULT, /* what was written late can't be: nothing has run, registers are as they were;
			* late_flush() tells where, late_drop() gives up */
	PF_DEAD,      /* the host thread or process is gone; only pf_thread_destroy() is left */
};

struct pf_event {
	enum pf_event_kind kind;
	unsigned traps;		/* PF_SYSCALL: how many traps this stands for, about; 0: it came from
				 * a patched site. The stub answers some without telling. */
	uint64_t nr, args[6];	/* PF_SYSCALL; nr is not yet checked */
	int signo;		/* PF_FAULT: SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP */
	int code;		/* si_code as the host gave it */
	uint64_t addr;		/* si_addr */
	uint64_t trapno, error; /* of the sigcontext (err bit 1: write; bit 4: fetch) */
};

/* A mapping operation that a thread's stub runs on the host. `fd` is a descriptor of the sentry's,
 * borrowed until the call has been reported; it is passed for PF_MMAP of a file, else -1. */
enum pf_call_nr {
	PF_MMAP,
	PF_MUNMAP,
	PF_MPROTECT,
	PF_MREMAP,
	PF_MADVISE,
	PF_KEEP, /* the stub keeps fd for late_fetch(); the result is its number there. Only of an address
		  * space with one thread */
	PF_DROP, /* no more: arg[0] is the number */
};

struct pf_call {
	enum pf_call_nr nr;
	uint64_t arg[6]; /* as of the system call; for PF_MMAP arg[4] is ignored and fd is used */
	int fd;
	bool fd_lasts; /* fd stays what it is until the call has run, so it may be passed late */
	/* For pf_call_post(): called once, with what the host returned (-errno on failure), on
	 * some sentry thread that holds no lock. May be NULL. */
	void (*done)(void *ctx, int64_t result);
	void *ctx;
};

struct pf_config {
	const char *name;	/* "seccomp" or "ptrace" */
	bool spin_allowed;	/* more than one CPU, and the quota allows two */
	bool no_patch;		/* leave the guest's code alone */
	size_t spare_stubs;	/* how many to keep forked ahead */
	bool have_pid_namespace;/* else stubs need PDEATHSIG */
	/* The host process of s is gone, and nobody here asked for that: its threads may all be
	 * stopped, so no run() tells. On a thread of the platform's, no lock held. May be NULL. */
	void (*on_death)(struct pf_space *s);
};

/* What a stub may answer by itself; published by pf_publish(), read by the guest. */
struct pf_identity {
	int32_t tgid, tid, ppid;
	uint32_t uid, euid, gid, egid;
	bool answers_allowed;	/* false while traced or filtered */
	uint64_t cred;		/* credentials as a number: equal ones may do the same */
	unsigned place;		/* of place_new(), or 0 */
};

/* What a call with a path came to, for stubs to say the same again. */
struct pf_answer {
	uint64_t nr;
	const uint64_t *args; /* six */
	uint64_t cred;
	uint64_t root, cwd; /* numbers of place_set(), taken before the call looked at anything */
	const char *path;
	size_t path_len;
	int64_t result;
	const void *data; /* what the call wrote; if its result is the length, all that could be read */
	size_t data_len;
	uint32_t of;	  /* the counters of changes() that it depends on, a bit each */
	uint64_t changed; /* their sum, taken before the call looked at anything */
};

/* How a forked thread begins that need not wait for its S. */
struct pf_birth {
	uint64_t rsp;		 /* 0: the caller's */
	struct pf_identity id;
	struct gptr tid_addr;	 /* where it finds id.tid; null: nowhere */
};

/* What a thread has told its stub since it was last asked. */
struct pf_said {
	bool clear_tid_set, robust_list_set;
	struct gptr clear_tid;	 /* set_tid_address(2) */
	struct gptr robust_list; /* set_robust_list(2) */
};

struct pf_ops {
	const char *name;
	bool traces; /* the sentry's filter must allow PLATFORM_PTRACE_HOST_CALLS too */

	/* Starts the zygote. Must be called once, before any other thread exists, by a thread
	 * that lives as long as the platform (the stubs' parent-death signal hangs on it). From
	 * then on the platform reaps its own children by pid and leaves others alone. */
	int (*start)(const struct pf_config *cfg, struct platform **out);
	/* Goes on with it in a thread of the platform's, once the caller has given up what privileges it
	 * had; start_wait() waits for the end of that, and must come before any other operation. The caller
	 * can do something else before either. NULL: there is nothing left to do. */
	int (*start_more)(struct platform *p);
	int (*start_wait)(struct platform *p);
	void (*stop)(struct platform *p);

	/* A blank address space, with one stopped thread whose registers are zero and whose FP
	 * state is the initial one. Takes a spare stub if there is one. */
	int (*space_new)(struct platform *p, struct pf_space **space, struct pf_thread **thread);
	/* A copy of caller's address space (host copy-on-write) with one stopped thread, a copy of
	 * caller's registers, FP state, and FS/GS base. One fork at a time per space: the caller
	 * holds off others and overlapping pf_calls. */
	int (*space_fork)(struct pf_thread *caller, struct pf_space **space,
			  struct pf_thread **thread);
	/* The same, but the thread runs from the moment that it exists, its rax 0: it may have done
	 * anything by the return. The first run() of it only waits. NULL: there is only space_fork(). */
	int (*space_fork_run)(struct pf_thread *caller, const struct pf_birth *b,
			      struct pf_space **space, struct pf_thread **thread);
	/* Another stopped thread in caller's space, registers and FP state copied from caller. */
	int (*thread_new)(struct pf_thread *caller, struct pf_thread **thread);

	/* Ends the host thread of a stopped `t` and frees it; the last one of a space ends the
	 * stub process (space_kill() does so at once). pf_calls that were posted and not reported
	 * complete with -EINTR. */
	void (*thread_destroy)(struct pf_thread *t);
	/* t is about to be destroyed, and its S goes on with another thread at once: if t was the last of its
	 * space, let the host take that apart on another CPU, if one is free. NULL: it ends where it is. */
	void (*thread_aside)(struct pf_thread *t);
	/* The calling thread will not use a stopped t any more; another one is about to. To be called
	 * before a thread other than t's first user takes over. May be NULL. */
	void (*release)(struct pf_thread *t);
	/* Kills the stub process and reaps it; all threads in it report PF_DEAD. The structure
	 * itself is freed when its last thread is destroyed. Any thread. */
	void (*space_kill)(struct pf_space *s);
	/* Takes apart what is left of ended stub processes; waits until the host is done with them. For a
	 * thread that has nothing else to do. May be NULL. */
	void (*reap)(struct platform *p);
	/* A reference keeps the structure, not the process, beyond the last thread: for who may still
	 * read, write or kill it by then. Any thread. */
	void (*space_get)(struct pf_space *s);
	void (*space_put)(struct pf_space *s);

	/* Registers of a stopped thread: S may read and write them freely between runs. Changes
	 * (all of them, rcx and r11 too) take effect at the next run. */
	struct pf_regs *(*regs)(struct pf_thread *t);
	/* FP state in the format of the Linux signal frame (fxsave, sw_reserved with magics,
	 * XSAVE image): what a guest handler finds behind uc_mcontext.fpregs. */
	size_t (*fpu_size)(struct platform *p);
	int (*fpu_get)(struct pf_thread *t, void *buf, size_t cap); /* the size, or -errno */
	/* Untrusted bytes: header and MXCSR are checked, unknown features refused (-EINVAL).
	 * An image without the magics is taken as a plain 512-byte fxsave. */
	int (*fpu_set)(struct pf_thread *t, const void *buf, size_t len);
	void (*fpu_reset)(struct pf_thread *t);

	/* Runs guest code until the next event. Posted calls run first, in order. Returns at once
	 * with PF_INTERRUPT when an interrupt is pending. */
	void (*run)(struct pf_thread *t, struct pf_event *ev);
	/* Any thread, any lock of rank below LOCK_PLATFORM. Makes the current or next run return
	 * (PF_INTERRUPT, or another event that came first: then the interrupt stays pending).
	 * Never blocks. */
	void (*interrupt)(struct pf_thread *t);
	/* Drops a pending interrupt. */
	void (*interrupt_clear)(struct pf_thread *t);
	/* A hint: this system call is about to sleep until *word is not `seen`, so the host thread had
	 * better sleep too. May wait a little by itself; brief: the wait may be a short one. word is
	 * NULL: nothing is known. May be NULL. */
	void (*will_block)(struct pf_thread *t, const _Atomic uint32_t *word, uint32_t seen,
			   bool brief);
	/* After each will_block(): the call goes on. May be NULL. */
	void (*has_blocked)(struct pf_thread *t);
	/* An S thread that has no task is about to sleep until *word is not `seen`: as will_block(). May be
	 * NULL. */
	void (*idle)(struct platform *p, const _Atomic uint32_t *word, uint32_t seen);

	/* Runs one host call now, while t is stopped; its result. -EINTR: the stub died. The
	 * caller says where things go: mmap needs MAP_FIXED or MAP_FIXED_NOREPLACE, mremap with
	 * MREMAP_MAYMOVE needs MREMAP_FIXED, ranges end below PF_GUEST_MAX, else -EINVAL. Of the
	 * mmap flags only SHARED, PRIVATE, ANONYMOUS, FIXED, FIXED_NOREPLACE and NORESERVE reach
	 * the host; advice that is not on the stub's list is -EINVAL. */
	int64_t (*call)(struct pf_thread *t, const struct pf_call *c);
	/* Queues a call that rides on t's next run; -EAGAIN: the queue is full, use call().
	 * A call with an fd may be run at once by the platform (done() is then called before the
	 * return). */
	int (*call_post)(struct pf_thread *t, const struct pf_call *c);
	/* Any thread that keeps t alive: have all calls posted on t been run, or never will be? A thread
	 * that sleeps in the sentry has run them. NULL: can't be told. */
	bool (*calls_ran)(struct pf_thread *t);
	/* Any thread: waits until all calls posted on t so far have been reported. */
	void (*call_wait)(struct pf_thread *t);

	/* Guest memory. Any thread. The number of bytes copied, which is less than len only when
	 * the next byte is not accessible; -EFAULT when that is the first; -ESRCH when the space
	 * is dead. The caller has checked that the range ends below PF_GUEST_MAX. */
	ssize_t (*read)(struct pf_space *s, void *dst, struct gptr src, size_t len);
	ssize_t (*write)(struct pf_space *s, struct gptr dst, const void *src, size_t len);
	/* Writes that are put off until t, stopped in a system call, runs again: its stub does them then.
	 * Cheaper than write(), for where the guest surely may write. Only t's own S; its other
	 * copies in t's space see them as written. late_buffer: where to put len bytes that are to
	 * be found at dst, or NULL (too many, or not now: use write()); nothing is written before
	 * late_commit(), of all or the first of them. Any other late_* or write comes after that.
	 * late_flush: writes now what was put off, 0; or -EFAULT, *fault is the first byte that
	 * can't be, and all is still put off. late_zero: len bytes at dst are zero, false: use write().
	 * late_fetch: the stub reads len bytes at dst from a file that it keeps (PF_KEEP) at `off`;
	 * nothing else may be put off before in this call. Fewer bytes count as a fault.
	 * All six may be NULL. */
	void *(*late_buffer)(struct pf_thread *t, struct gptr dst, size_t len);
	void (*late_commit)(struct pf_thread *t, struct gptr dst, size_t len);
	bool (*late_zero)(struct pf_thread *t, struct gptr dst, size_t len);
	bool (*late_fetch)(struct pf_thread *t, int64_t number, struct gptr dst, size_t len,
			   uint64_t off);
	int (*late_flush)(struct pf_thread *t, struct gptr *fault);
	void (*late_drop)(struct pf_thread *t);
	/* Compare-and-exchange, in the guest's memory, of a 32-bit word, 4-byte aligned: 0 with
	 * the value found in *old, or -EFAULT. Done by t's stub, t stopped. */
	int (*cmpxchg32)(struct pf_thread *t, struct gptr addr, uint32_t expect, uint32_t desired,
			 uint32_t *old);

	/* Any thread that keeps t alive; one at a time. */
	void (*publish)(struct pf_thread *t, const struct pf_identity *id);
	/* Calls with paths that stubs answer. Whoever changes what an answer depends on adds 1 to its counter
	 * before his own call returns: changes(), *n words, NULL: there are no such answers. A place has the
	 * numbers of a root and a working directory, for as many threads as share them; 0: nothing is
	 * answered. place_set() takes effect at once, also for those that run. Any thread. All may be NULL. */
	_Atomic uint64_t *(*changes)(struct platform *p, unsigned *n);
	unsigned (*place_new)(struct platform *p);
	void (*place_set)(struct platform *p, unsigned place, uint64_t root, uint64_t cwd);
	void (*place_free)(struct platform *p, unsigned place);
	bool (*may_answer)(uint64_t nr);
	void (*answer)(struct platform *p, const struct pf_answer *a);
	/* Any thread that keeps t alive. forget: t is stopped, and what it said is not told again. NULL:
	 * nothing is kept from the sentry. */
	void (*said)(struct pf_thread *t, bool forget, struct pf_said *out);
	/* What t's stub knows (stub/known.h), for its own S to write and read while t is stopped; the guest
	 * can write there, too. All zero in a new thread. NULL: nothing can be told. */
	struct known *(*known)(struct pf_thread *t);
	/* Where patched call sites (platform/patch/patch.h) enter the stub; 0, or a NULL op: they
	 * can't be used here. */
	uint64_t (*fast_entry)(struct platform *p);
	/* Where the host's vDSO lies in s (above PF_GUEST_MAX), or 0. */
	uint64_t (*host_vdso)(struct pf_space *s);
	/* CPU time that the host thread / all threads of s so far have used, in ns. Any thread.
	 * user and sys separately. */
	int (*thread_cpu_time)(struct pf_thread *t, uint64_t *user_ns, uint64_t *sys_ns);
	/* Of all threads of s so far, the ended ones too; cheap and precise. May be NULL. */
	int (*space_cpu_time)(struct pf_space *s, uint64_t *user_ns, uint64_t *sys_ns);
	/* Resident bytes of the stub process, for RSS and --memory. */
	uint64_t (*space_rss)(struct pf_space *s);
	/* Of these: in memory that may be shared with other processes, and not in files. May be NULL. */
	uint64_t (*space_shared)(struct pf_space *s);
	/* The most that the stub process of t, stopped in a system call, has had resident; its own word
	 * for it. 0: space_rss() must be asked. May be NULL. */
	uint64_t (*thread_maxrss)(struct pf_thread *t);
	/* Where t's host thread was last, by its own word: its S had better begin there. -1: not known.
	 * May be NULL. A thread's first run() expects that others have chosen the CPUs of the caller. */
	int (*thread_cpu)(struct pf_thread *t);
	struct pf_space *(*thread_space)(struct pf_thread *t);
};

/* NULL for an unknown name. */
const struct pf_ops *platform_lookup(const char *name);
extern const struct pf_ops platform_seccomp;
extern const struct pf_ops platform_ptrace;
