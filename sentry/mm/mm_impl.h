/* What only sentry/mm and the loader see: the VMA tree's functions, and operations on it.
 *
 * An operation (struct mm_op) holds map_lock from begin to end. It first splits VMAs at its borders
 * (which changes nothing), then asks the host, then changes the tree, which can't fail: so a
 * host that refuses leaves the tree as it was.
 *
 * While one task alone uses the address space, host calls are *posted*: they ride on the reply to
 * the guest and nobody can observe that they come a moment later. The rare failure of a posted
 * call (the host is out of memory or of mappings) is queued and settled at the next operation. When
 * several tasks share the space, the range of a posted call stays busy until it has run (busy.c), which
 * gives the order that the sequence rule of DESIGN 4.2 asks for; where the platform can't tell that, and
 * while somebody waits for a busy range, each call runs at once, under map_lock. */
#pragma once

#include <errno.h>
#include <stdatomic.h>
#include <sys/mman.h>

#include "sentry/mm/mm.h"

/* As vm.max_map_count, less what the stub needs for itself. */
#define MM_MAX_VMAS 65000
/* Beyond that, the host's count may run ahead of ours: no more posting. */
#define MM_POST_VMAS 32000
#define MM_GUARD_GAP (256 * GUEST_PAGE_SIZE)
/* What MAP_* means for the tree; other flags act only at mmap time. */
#define VMA_MAP_FLAGS (MAP_SHARED | MAP_PRIVATE | MAP_ANONYMOUS | MAP_GROWSDOWN | MAP_NORESERVE)

struct mm_failure;
struct busy_range;

/* A file that the stub keeps: fetch.c */
#define MM_KEPT 4
struct mm_kept {
	uint64_t id;		   /* of struct uio_source; 0: none */
	const struct inode *inode; /* of the guest's descriptor; only compared */
	int64_t number;		   /* in the stub; 0: not known yet */
	uint64_t used;
};

struct mm_impl {
	struct ref ref;		     /* the mm, and each posted call */
	_Atomic uint32_t posted;     /* not yet reported */
	struct mutex fail_lock;	     /* LOCK_NONE: a leaf */
	struct mm_failure *failures; /* fail_lock */
	_Atomic bool failed;	     /* failures is not empty */
	struct busy_range *busy;     /* fail_lock; made when first needed */
	uint32_t nbusy;		     /* fail_lock */
	_Atomic uint32_t waiting;    /* operations that wait for a busy range */
	/* map_lock */
	uint32_t nvmas;
	uint32_t def_flags; /* mlockall(MCL_FUTURE) */
	/* Another value whenever memory that could be written may no longer be: sentry/mm/late.c. No two
	 * address spaces ever have the same. */
	_Atomic uint64_t shrunk;
	struct mutex kept_lock; /* LOCK_NONE: a leaf */
	struct mm_kept kept[MM_KEPT]; /* kept_lock */
	_Atomic unsigned nkept;
	uint64_t kept_clock;	      /* kept_lock */
	/* Only of a space with one task: what it has read in large pieces last, and how often. */
	uint64_t read_id;
	unsigned read_times;
	_Atomic bool patched; /* some VMA has been; stays set */
	uint64_t hint;	    /* where the search for free space starts, downwards */
	uint64_t hole;	    /* the largest hole above the hint */
};

struct mm_op {
	struct mm *m;
	struct pf_thread *th;
	struct task *t; /* NULL: exec, no limits */
	bool post;	/* host calls may ride on the reply */
	bool shared;	/* other tasks use the space */
	bool skipped;	/* space was left out because it is busy */
	struct vma *dead;
	uint64_t rlim_as, rlim_data, rlim_memlock, rlim_stack;
	bool may_lock; /* CAP_IPC_LOCK */
};

/* Limits are read before the lock is taken. No call that another thread has posted is left to be run. */
void mm_op_begin(struct mm_op *op, struct task *t);
/* For who touches only [start, end), and what layout_search_idle() finds. */
void mm_op_begin_range(struct mm_op *op, struct task *t, uint64_t start, uint64_t end);
/* For exec, whose address space nobody else knows yet: without the lock (so that files may be asked
 * for their descriptors meanwhile). Every call is posted; mm_op_flush() runs them and tells. */
void mm_op_begin_on(struct mm_op *op, struct mm *m, struct pf_thread *th, struct task *limits);
void mm_op_end(struct mm_op *op);
/* Takes the lock when no part of [start, end) is busy, and settles what failed since. */
void mm_op_lock(struct mm_op *op, uint64_t start, uint64_t end);
static inline void auto_mm_op(struct mm_op *op)
{
	mm_op_end(op);
}
/* Runs posted calls now; the first failure or 0. */
int mm_op_flush(struct mm_op *op);

/* ---- ranges of posted calls: busy.c -------------------------------------------------------- */

/* `who` names the entry. False: there are too many. */
bool busy_add(struct mm_impl *impl, struct pf_thread *th, uint64_t start, uint64_t len, const void *who);
void busy_remove(struct mm_impl *impl, const void *who);
/* The start of a range that meets [start, end) and is busy with another thread's call, or 0. */
uint64_t busy_below(struct mm_impl *impl, struct pf_thread *th, uint64_t start, uint64_t end);
/* Takes map_lock at a moment when nothing of the range is. */
void busy_lock(struct mm_op *op, uint64_t start, uint64_t end);
void busy_free(struct mm_impl *impl);

/* ---- host calls: host.c -------------------------------------------------------------------- */

int host_mmap_anon(struct mm_op *op, uint64_t addr, uint64_t len, uint32_t prot);
/* sure: the host will not refuse to have that file executed. */
int host_mmap_fd(struct mm_op *op, uint64_t addr, uint64_t len, uint32_t prot, bool shared, bool sure, int fd,
		 uint64_t offset);
int host_munmap(struct mm_op *op, uint64_t addr, uint64_t len);
int host_mprotect(struct mm_op *op, uint64_t addr, uint64_t len, uint32_t prot);
int host_madvise(struct mm_op *op, uint64_t addr, uint64_t len, int advice);
/* Faults the pages in, as far as it goes. */
void host_populate(struct mm_op *op, uint64_t addr, uint64_t len, bool write);
/* At once: MADV_POPULATE_*. -EINTR: the caller has been killed. */
int host_populate_now(struct mm_op *op, uint64_t addr, uint64_t len, int advice);
/* Always at once. The range may cover several host mappings. */
int host_mremap_move(struct mm_op *op, uint64_t old, uint64_t old_len, uint64_t new_len,
		     uint64_t addr, bool dontunmap);
struct mm_impl *mm_impl_new(void);
void mm_impl_put(struct mm_impl *impl);

/* ---- the tree: vma.c; map_lock held -------------------------------------------------------- */

/* The first VMA that ends above addr, or NULL. */
struct vma *vma_find(struct mm *m, uint64_t addr);
/* The last VMA that starts below addr, or NULL. */
struct vma *vma_find_below(struct mm *m, uint64_t addr);
/* The first VMA that meets [start, end), or NULL. */
struct vma *vma_find_range(struct mm *m, uint64_t start, uint64_t end);
struct vma *vma_next(struct vma *v);
struct vma *vma_prev(struct vma *v);
struct vma *vma_alloc(void);
/* The reference on v's file, set before, that vma_free() drops. */
void vma_file_get(struct vma *v);
void vma_free(struct vma *v); /* drops the file: no lock held */
void vma_free_list(struct vma *dead);
/* Counted and linked; the range is free. */
void vma_link(struct mm *m, struct vma *v);
void vma_unlink(struct mm *m, struct vma *v);
/* Makes addr a border. -ENOMEM. */
int vma_split_at(struct mm *m, uint64_t addr);
int vma_split_range(struct mm *m, uint64_t start, uint64_t end);
/* Joins equal neighbours in and around [start, end). */
void vma_merge_range(struct mm_op *op, uint64_t start, uint64_t end);
/* Unlinks all in [start, end) (borders exist) onto op->dead. */
void vma_remove_range(struct mm_op *op, uint64_t start, uint64_t end);
/* Bytes mapped within [start, end). */
uint64_t vma_mapped_bytes(struct mm *m, uint64_t start, uint64_t end);
/* Is [start, end) mapped without a hole? */
bool vma_covers(struct mm *m, uint64_t start, uint64_t end);
void vma_set_prot(struct mm *m, struct vma *v, uint32_t prot);
void vma_set_vm_flags(struct mm *m, struct vma *v, uint32_t vm_flags);
void vma_set_range(struct mm *m, struct vma *v, uint64_t start, uint64_t end);
/* v->start, less the gap that a stack keeps below itself. */
uint64_t vma_start_gap(const struct vma *v);
static inline bool vma_is_data(const struct vma *v)
{
	return (v->flags & MAP_PRIVATE) && (v->prot & PROT_WRITE) && !(v->flags & MAP_GROWSDOWN);
}

/* ---- where to put things: layout.c --------------------------------------------------------- */

/* Free space for len bytes; 0: none. */
uint64_t layout_search(struct mm *m, uint64_t len, bool low_32bit);
/* The same; passes over what is busy, of an operation on a shared space. */
uint64_t layout_search_idle(struct mm_op *op, uint64_t len, bool low_32bit);
/* As layout_search(), at a multiple of align. */
uint64_t layout_search_aligned(struct mm *m, uint64_t len, uint64_t align);
/* Is [addr, addr+len) free and a stack's gap away from stacks? */
bool layout_free(struct mm *m, uint64_t addr, uint64_t len);
void layout_unmapped(struct mm *m, uint64_t start, uint64_t end);
/* Draws mmap_base below a stack that may grow to rlim_stack; the top of the stack. random: false for
 * personality(ADDR_NO_RANDOMIZE). */
uint64_t layout_init(struct mm *m, uint64_t rlim_stack, bool random);
uint64_t layout_random(uint64_t pages); /* a multiple of the page size, below pages of them */
bool layout_is_guest(uint64_t addr, uint64_t len);

/* ---- inside operations ---------------------------------------------------------------------- */

struct mmap_args {
	uint64_t addr, len;
	uint32_t prot, max_prot;
	uint32_t flags;
	struct file *file; /* borrowed */
	uint64_t offset;
	int host_fd;	   /* -1: anonymous */
	uint64_t host_offset;
	const char *special;
};
int64_t mmap_locked(struct mm_op *op, const struct mmap_args *a);
int mprotect_locked(struct mm_op *op, uint64_t start, uint64_t end, uint32_t prot);
int munmap_locked(struct mm_op *op, uint64_t start, uint64_t end);
/* -ENOMEM when bytes more are too many; replaced: bytes that go away. */
int mm_may_expand(struct mm_op *op, uint64_t len, uint64_t replaced, bool data);
/* Repairs an access that failed: grows a stack, runs posted calls, restores a lost mapping.
 * 0: try again; -EFAULT. th: a stopped thread of m, or NULL when there is none at hand. */
int mm_fault_in(struct mm *m, struct task *t, uint64_t addr, bool write);

/* ---- shared anonymous memory: shm.c --------------------------------------------------------- */

/* A file without a name of `size` zero bytes, for MAP_SHARED|MAP_ANONYMOUS. */
int anon_shared_new(uint64_t size, struct file **out);
bool shm_is_file(const struct file *f);
/* madvise(MADV_REMOVE): gives the memory back; zeros are read from it. */
int shm_punch(struct file *f, uint64_t off, uint64_t len);
