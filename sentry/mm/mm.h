/* Guest address spaces: the VMA tree is the truth about what may be where; the host mappings of the stub process
 * are driven from it (DESIGN 4.2). Functions that change mappings run on a task whose mm it is (they need its
 * stopped stub thread), unless they say otherwise. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "abi/base/cleanup.h"
#include "abi/base/gptr.h"
#include "abi/base/lock.h"
#include "abi/base/rbtree.h"
#include "abi/base/ref.h"
#include "platform/platform.h"

struct cred;
struct file;
struct mm;
struct mm_impl;
struct task;

struct vma {
	struct rb_node node;
	uint64_t start, end;   /* page-aligned */
	uint32_t prot;	       /* PROT_* as the guest sees it */
	uint32_t max_prot;     /* what mprotect may give (file mode) */
	uint32_t flags;	       /* MAP_SHARED or MAP_PRIVATE, MAP_ANONYMOUS, MAP_GROWSDOWN, MAP_NORESERVE */
	uint32_t vm_flags;     /* VMA_* */
	struct file *file;     /* owned; NULL: anonymous */
	uint64_t offset;       /* in the file */
	const char *special;   /* "[heap]", "[stack]", "[vdso]", "[vvar]"; static */
	struct vma *next_dead; /* on a list of removed ones: sentry/mm */
};

enum { VMA_LOCKED = 1, VMA_DONTFORK = 2, VMA_WIPEONFORK = 4, VMA_DONTDUMP = 8, VMA_LOCKONFAULT = 16,
       VMA_WRITTEN = 32 /* private pages of a file may differ from it */,
       VMA_PROGRAM = 128 /* private, of a program being executed: all of it lies within the file */,
       VMA_PATCHED = 64 /* the host has the file's shadow there: sentry/mm/patch.h */ };

struct mm {
	struct ref ref;			/* tasks that use it */
	struct mutex map_lock;		/* LOCK_MM_MAP: everything below, unless immutable */
	struct pf_space *space;		/* immutable */
	struct rb_tree vmas;
	uint64_t brk_start, brk;
	uint64_t mmap_base;
	uint64_t start_code, end_code, start_data, end_data, start_stack;
	uint64_t arg_start, arg_end, env_start, env_end;
	uint64_t vdso_base;
	uint64_t auxv[64];
	size_t auxv_len;		/* entries of two words */
	uint64_t total_pages, locked_pages, data_pages; /* accounting for RLIMIT_AS, MEMLOCK, DATA */
	uint64_t stack_pages, exec_pages, shared_pages, peak_pages; /* for /proc/pid/status */
	struct file *exe;		/* /proc/pid/exe; owned */
	struct mm_impl *impl;		/* sentry/mm only */
};

/* fork(2): a copy of caller's mm with its first thread. Holds off mapping operations of the
 * other threads while the host clone runs. */
int mm_fork(struct task *caller, struct mm **out, struct pf_thread **thread);
/* The same; the thread runs already (pf_ops.space_fork_run). -EFAULT: b->tid_addr can't be written. */
int mm_fork_run(struct task *caller, const struct pf_birth *b, struct mm **out,
		struct pf_thread **thread);
/* A blank one for exec, with its first thread. */
int mm_new(struct mm **out, struct pf_thread **thread);
struct mm *mm_get(struct mm *m);
/* The last reference kills the stub process. */
void mm_put(struct mm *m);
/* In two steps: the files, and then the host's process, if nobody uses it any more (else NULL). */
struct pf_space *mm_put_but_space(struct mm *m);
void mm_space_end(struct pf_space *s);
DEFINE_AUTO_PUT(mm, struct mm *, mm_put)

/* The system calls' bodies (man 2 of each name). mmap returns the address. */
int64_t mm_mmap(struct task *t, uint64_t addr, uint64_t len, int prot, int flags,
		struct file *file, uint64_t offset);
int mm_munmap(struct task *t, uint64_t addr, uint64_t len);
int mm_mprotect(struct task *t, uint64_t addr, uint64_t len, int prot);
int64_t mm_mremap(struct task *t, uint64_t old, uint64_t old_len, uint64_t new_len, int flags,
		  uint64_t new_addr);
int64_t mm_brk(struct task *t, uint64_t brk);
int mm_madvise(struct task *t, uint64_t addr, uint64_t len, int advice);
int mm_msync(struct task *t, uint64_t addr, uint64_t len, int flags);
int mm_mlock(struct task *t, uint64_t addr, uint64_t len, bool lock, bool onfault);
int mm_mlockall(struct task *t, int flags); /* 0: munlockall */
/* -ENOMEM unless every page of the range is mapped. */
int mm_range_mapped(struct mm *m, uint64_t addr, uint64_t len);

/* A fault event of t: 0 when it was repaired (run again), else the signal to force is in
 * *signo, *code. */
int mm_handle_fault(struct task *t, const struct pf_event *ev, int *signo, int *code);

/* For exec, before the task switches to it: like mm_mmap but on a thread of the new space, and
 * without limits. */
int64_t mm_map_on(struct mm *m, struct pf_thread *th, uint64_t addr, uint64_t len, int prot,
		  int flags, struct file *file, uint64_t offset);

/* /proc/pid/maps: calls fn for each VMA of a snapshot, with no lock held; false ends it. */
void mm_each_vma(struct mm *m, bool (*fn)(const struct vma *v, void *ctx), void *ctx);
/* A copy of the VMA that holds addr, with a reference on its file; false: none. */
bool mm_lookup(struct mm *m, uint64_t addr, struct vma *copy);
void vma_copy_release(struct vma *copy);
uint64_t mm_rss_bytes(struct mm *m);
uint64_t mm_shared_bytes(struct mm *m); /* of these: shared memory */
/* Once, of a new mm. While it is set nobody may open the file for writing; -ETXTBSY: somebody has. */
int mm_set_exe(struct mm *m, struct file *f);
/* The program file, with a reference, or NULL. */
struct file *mm_exe(struct mm *m);
