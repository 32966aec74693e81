/* mmap(2) and munmap(2). */
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/sysinfo.h>

#include "sentry/kernel/kernel.h"
#include "sentry/kernel/task.h"
#include "sentry/mm/mm_impl.h"
#include "sentry/mm/patch.h"
#include "vfs/file.h"
#include "vfs/inode.h"
#include "vfs/mount.h"

/* What MAP_SHARED_VALIDATE lets pass; MAP_SYNC needs DAX. */
#define MAP_KNOWN                                                                                  \
	(MAP_TYPE | MAP_FIXED | MAP_ANONYMOUS | MAP_32BIT | MAP_GROWSDOWN | MAP_DENYWRITE |        \
	 MAP_EXECUTABLE | MAP_LOCKED | MAP_NORESERVE | MAP_POPULATE | MAP_NONBLOCK | MAP_STACK |   \
	 MAP_HUGETLB | MAP_FIXED_NOREPLACE | (31U << MAP_HUGE_SHIFT))
#define MAP_UNINITIALIZED_GUEST 0x4000000
#define PERSONALITY_READ_IMPLIES_EXEC 0x0400000

#ifndef MAP_HUGE_SHIFT
#define MAP_HUGE_SHIFT 26
#endif
#define HUGE_PAGE (2UL << 20)
#define PROT_RWX (PROT_READ | PROT_WRITE | PROT_EXEC)

/* ---- limits ---------------------------------------------------------------------------------- */

int mm_may_expand(struct mm_op *op, uint64_t len, uint64_t replaced, bool data)
{
	struct mm *m = op->m;

	if (m->total_pages * GUEST_PAGE_SIZE - replaced + len > op->rlim_as)
		return -ENOMEM;
	if (data && m->data_pages * GUEST_PAGE_SIZE + len > op->rlim_data)
		return -ENOMEM;
	return 0;
}

/* Linux's heuristic overcommit: only what could never be there is refused. */
static bool obvious_overcommit(uint64_t len)
{
	static _Atomic uint64_t total;
	uint64_t limit = kernel->config.memory_limit;

	if (!total) {
		struct sysinfo si;

		total = sysinfo(&si) ? UINT64_MAX
				     : ((uint64_t)si.totalram + si.totalswap) * si.mem_unit;
	}
	return len > total || (limit && len > limit);
}

static int check_locked_limit(struct mm_op *op, uint64_t len)
{
	if (op->may_lock)
		return 0;
	if (op->rlim_memlock == 0)
		return -EPERM;
	return op->m->locked_pages * GUEST_PAGE_SIZE + len > op->rlim_memlock ? -EAGAIN : 0;
}

/* ---- the place ------------------------------------------------------------------------------- */

/* Where the mapping goes, or -errno. */
static int64_t choose_address(struct mm_op *op, uint64_t addr, uint64_t len, uint32_t flags)
{
	uint64_t hint = page_down(addr);

	if (flags & (MAP_FIXED | MAP_FIXED_NOREPLACE)) {
		if (addr & ~GUEST_PAGE_MASK)
			return -EINVAL;
		if (addr > PF_GUEST_MAX || len > PF_GUEST_MAX - addr)
			return -ENOMEM;
		if (addr < PF_GUEST_MIN)
			return -EPERM;
		if ((flags & MAP_FIXED_NOREPLACE) && vma_find_range(op->m, addr, addr + len))
			return -EEXIST;
		return (int64_t)addr;
	}
	if (hint && hint < PF_GUEST_MIN)
		hint = PF_GUEST_MIN;
	if (hint && layout_free(op->m, hint, len) &&
	    (!(flags & MAP_32BIT) || hint + len <= 0x80000000UL))
		return (int64_t)hint;
	addr = 0;
	/* So that the host can use huge pages. */
	if ((flags & MAP_ANONYMOUS) && len % HUGE_PAGE == 0 && !(flags & MAP_32BIT))
		addr = layout_search_aligned(op->m, len, HUGE_PAGE);
	if (!addr || (op->shared && busy_below(op->m->impl, op->th, addr, addr + len)))
		addr = layout_search_idle(op, len, flags & MAP_32BIT);
	return addr ? (int64_t)addr : -ENOMEM;
}

/* ---- mapping --------------------------------------------------------------------------------- */

static struct vma *vma_for(const struct mm_op *op, const struct mmap_args *a)
{
	struct vma *v = vma_alloc();

	if (!v)
		return NULL;
	v->start = a->addr;
	v->end = a->addr + a->len;
	v->prot = a->prot;
	v->max_prot = a->max_prot;
	v->flags = a->flags & VMA_MAP_FLAGS;
	v->vm_flags = op->m->impl->def_flags;
	if (a->flags & MAP_LOCKED)
		v->vm_flags |= VMA_LOCKED;
	if (a->file && (a->flags & MAP_PRIVATE) && (a->prot & PROT_WRITE))
		v->vm_flags |= VMA_WRITTEN;
	v->file = a->file;
	vma_file_get(v);
	v->offset = a->offset;
	v->special = a->special;
	return v;
}

static int host_map(struct mm_op *op, const struct mmap_args *a)
{
	int err;

	if (a->host_fd < 0)
		return host_mmap_anon(op, a->addr, a->len, a->prot);
	err = host_mmap_fd(op, a->addr, a->len, a->prot, a->flags & MAP_SHARED,
			   a->file && atomic_load(&a->file->inode->executes), a->host_fd, a->host_offset);
	if (err == 0 && a->file && (a->prot & PROT_EXEC) && op->t)
		atomic_store(&a->file->inode->executes, true);
	return err;
}

/* Programs' loaders map a whole library and then its parts over it again with other protections.
 * Where that is the same part of the same file, and nobody has written there, it comes to the same
 * as mprotect, which needs no descriptor. */
static bool is_same_mapping(struct mm_op *op, const struct mmap_args *a)
{
	struct vma *v = vma_find(op->m, a->addr);

	return a->file && v && v->file == a->file && v->start <= a->addr &&
	       a->addr + a->len <= v->end && v->offset + (a->addr - v->start) == a->offset &&
	       v->flags == (a->flags & VMA_MAP_FLAGS) && (v->flags & MAP_PRIVATE) &&
	       v->vm_flags == op->m->impl->def_flags && v->max_prot == a->max_prot &&
	       !(a->flags & MAP_LOCKED) && !v->special;
}

/* Maps at a->addr, which is checked, over whatever is there. */
static int map_at(struct mm_op *op, const struct mmap_args *a)
{
	struct vma *v;
	int err;

	if (op->m->impl->nvmas >= MM_MAX_VMAS)
		return -ENOMEM;
	if (is_same_mapping(op, a))
		return mprotect_locked(op, a->addr, a->addr + a->len, a->prot);
	err = vma_split_range(op->m, a->addr, a->addr + a->len);
	if (err)
		return err;
	v = vma_for(op, a);
	if (!v)
		return -ENOMEM;
	err = host_map(op, a);
	if (err) {
		v->next_dead = op->dead;
		op->dead = v;
		return err;
	}
	if (vma_find_range(op->m, v->start, v->end))
		vma_remove_range(op, v->start, v->end);
	vma_link(op->m, v);
	vma_merge_range(op, v->start, v->end);
	return 0;
}

int64_t mmap_locked(struct mm_op *op, const struct mmap_args *args)
{
	struct mmap_args a = *args;
	bool data = (a.flags & MAP_PRIVATE) && (a.prot & PROT_WRITE) && !(a.flags & MAP_GROWSDOWN);
	int64_t addr = choose_address(op, a.addr, a.len, a.flags);
	uint64_t replaced = 0;
	int err;

	if (addr < 0)
		return addr;
	a.addr = (uint64_t)addr;
	if (a.flags & MAP_FIXED)
		replaced = vma_mapped_bytes(op->m, a.addr, a.addr + a.len);
	err = mm_may_expand(op, a.len, replaced, data);
	if (!err && ((a.flags & MAP_LOCKED) || (op->m->impl->def_flags & VMA_LOCKED)))
		err = check_locked_limit(op, a.len);
	if (!err)
		err = map_at(op, &a);
	if (!err && (a.flags & (MAP_POPULATE | MAP_LOCKED)) && !(a.flags & MAP_NONBLOCK) &&
	    a.prot != PROT_NONE)
		host_populate(op, a.addr, a.len, (a.prot & PROT_WRITE) && !a.file);
	return err ? err : (int64_t)a.addr;
}

int munmap_locked(struct mm_op *op, uint64_t start, uint64_t end)
{
	int err;

	if (!vma_find_range(op->m, start, end))
		return 0;
	err = vma_split_range(op->m, start, end);
	if (!err)
		err = host_munmap(op, start, end - start);
	if (!err)
		vma_remove_range(op, start, end);
	return err;
}

int mm_munmap(struct task *t, uint64_t addr, uint64_t len)
{
	struct mm_op op;
	int err;

	if (addr & ~GUEST_PAGE_MASK || addr > PF_GUEST_MAX || len > PF_GUEST_MAX - addr)
		return -EINVAL;
	if (len == 0)
		return -EINVAL;
	mm_op_begin_range(&op, t, addr, addr + page_up(len));
	err = munmap_locked(&op, addr, addr + page_up(len));
	mm_op_end(&op);
	return err;
}

/* ---- what kind of mapping --------------------------------------------------------------------- */

static int check_file(struct file *f, uint32_t prot, uint32_t flags, uint32_t *max_prot)
{
	bool shared = flags & MAP_SHARED;
	uint32_t type = inode_type(f->inode);

	if (f->mode & FILE_PATH)
		return -EBADF;
	if (shared && (prot & PROT_WRITE) && !(f->mode & FILE_WRITE))
		return -EACCES;
	if (!(f->mode & FILE_READ))
		return -EACCES;
	*max_prot = PROT_RWX;
	if (shared && !(f->mode & FILE_WRITE))
		*max_prot &= ~(uint32_t)PROT_WRITE;
	if (f->path.mount && (f->path.mount->flags & MNT_NOEXEC)) {
		if (prot & PROT_EXEC)
			return -EPERM;
		*max_prot &= ~(uint32_t)PROT_EXEC;
	}
	if (type == S_IFDIR)
		return -ENODEV;
	if (flags & MAP_GROWSDOWN)
		return -EINVAL;
	return 0;
}

/* Asks the file for its host descriptor. Rights the mapping may get later (mprotect) are asked for
 * now: a mapping of a read-only descriptor can't be made writable. */
static int open_mapping(struct mmap_args *a)
{
	bool shared = a->flags & MAP_SHARED;
	uint32_t want = a->prot;
	struct file_mapping fm = {.host_fd = -1};
	int err = check_file(a->file, a->prot, a->flags, &a->max_prot);

	if (err)
		return err;
	if (a->offset + a->len < a->offset || a->offset + a->len > INT64_MAX)
		return -EOVERFLOW;
	if (shared && (a->max_prot & PROT_WRITE))
		want |= PROT_WRITE;
	err = file_mmap(a->file, (int)want, shared, &fm);
	if (err == -EPERM && want != a->prot) {
		/* A memfd sealed against writing can still be mapped for reading. */
		err = file_mmap(a->file, (int)a->prot, shared, &fm);
		fm.writable = false;
	}
	if (err)
		return err;
	if (shared && !fm.writable && !fm.zero) {
		if (a->prot & PROT_WRITE)
			return -EACCES;
		a->max_prot &= ~(uint32_t)PROT_WRITE;
	}
	if (fm.zero) {
		a->file = NULL;
		a->offset = 0;
		a->flags |= MAP_ANONYMOUS;
		return 0;
	}
	a->host_fd = fm.host_fd;
	a->host_offset = a->offset + fm.delta;
	return 0;
}

static int check_anonymous(struct mmap_args *a)
{
	if ((a->flags & MAP_SHARED) && (a->flags & MAP_GROWSDOWN))
		return -EINVAL;
	if (!(a->flags & MAP_NORESERVE) && (a->prot & PROT_WRITE) && obvious_overcommit(a->len))
		return -ENOMEM;
	a->max_prot = PROT_RWX;
	a->offset = 0;
	return 0;
}

/* Shared anonymous memory gets a file of its own. *shm: to be put by the caller. */
static int open_shared_anonymous(struct mmap_args *a, struct file **shm)
{
	struct file_mapping fm = {.host_fd = -1};
	int err = anon_shared_new(a->len, shm);

	if (!err)
		err = file_mmap(*shm, (int)a->max_prot, true, &fm);
	if (err)
		return err;
	a->file = *shm;
	a->host_fd = fm.host_fd;
	a->host_offset = fm.delta;
	return 0;
}

/* MAP_SHARED_VALIDATE becomes MAP_SHARED. */
static int check_type(uint32_t *flags, bool has_file)
{
	switch (*flags & MAP_TYPE) {
	case MAP_SHARED:
	case MAP_PRIVATE:
		return 0;
	case MAP_SHARED_VALIDATE:
		if (!has_file)
			return -EINVAL;
		if (*flags & ~(uint32_t)(MAP_KNOWN | MAP_UNINITIALIZED_GUEST))
			return -EOPNOTSUPP;
		*flags = (*flags & ~(uint32_t)MAP_TYPE) | MAP_SHARED;
		return 0;
	}
	return -EINVAL;
}

static int prepare(struct mmap_args *a, struct file **shm)
{
	int err;

	if (a->len == 0)
		return -EINVAL;
	a->len = page_up(a->len);
	if (a->len == 0 || a->len > PF_GUEST_MAX)
		return -ENOMEM;
	err = check_type(&a->flags, a->file != NULL);
	if (err)
		return err;
	/* No huge pages are reserved; a file is none of hugetlbfs. */
	if (a->flags & MAP_HUGETLB)
		return a->file ? -EINVAL : -ENOMEM;
	if (a->file)
		err = open_mapping(a);
	if (!err && !a->file)
		err = check_anonymous(a);
	if (!err && !a->file && (a->flags & MAP_SHARED))
		err = open_shared_anonymous(a, shm);
	return err;
}

static void mmap_begin(struct mm_op *op, struct task *t, const struct mmap_args *a)
{
	uint64_t at = page_down(a->addr);

	if (a->flags & MAP_32BIT)
		mm_op_begin(op, t);
	else
		mm_op_begin_range(op, t, at, at ? at + a->len + GUEST_PAGE_SIZE : 0);
}

int64_t mm_mmap(struct task *t, uint64_t addr, uint64_t len, int prot, int flags,
		struct file *file, uint64_t offset)
{
	struct mmap_args a = {.addr = addr, .len = len, .prot = (uint32_t)prot & PROT_RWX,
			      .flags = (uint32_t)flags, .file = file, .offset = offset,
			      .host_fd = -1};
	AUTO(file) struct file *shm = NULL;
	struct mm_op op;
	bool linked;
	int64_t r;

	if ((prot & PROT_READ) && (t->personality & PERSONALITY_READ_IMPLIES_EXEC) &&
	    !(file && file->path.mount && (file->path.mount->flags & MNT_NOEXEC)))
		a.prot |= PROT_EXEC;
	r = prepare(&a, &shm);
	if (r)
		return r;
	linked = (a.prot & PROT_EXEC) && a.host_fd >= 0 && a.host_offset == a.offset && patch_linker_calls(t);
	mmap_begin(&op, t, &a);
	r = mmap_locked(&op, &a);
	if (r == -ENOMEM && op.skipped) {
		mm_op_end(&op);
		mm_op_begin(&op, t);
		r = mmap_locked(&op, &a);
	}
	if (r >= 0 && linked)
		patch_mapped(&op, (uint64_t)r, a.host_fd);
	mm_op_end(&op);
	return r;
}

int64_t mm_map_on(struct mm *m, struct pf_thread *th, uint64_t addr, uint64_t len, int prot,
		  int flags, struct file *file, uint64_t offset)
{
	struct mmap_args a = {.addr = addr, .len = len, .prot = (uint32_t)prot & PROT_RWX,
			      .flags = (uint32_t)flags, .file = file, .offset = offset,
			      .host_fd = -1};
	AUTO(file) struct file *shm = NULL;
	struct mm_op op;
	int64_t r = prepare(&a, &shm);
	int err;

	if (r)
		return r;
	mm_op_begin_on(&op, m, th, NULL);
	r = mmap_locked(&op, &a);
	err = mm_op_flush(&op);
	mm_op_end(&op);
	return err ? err : r;
}
