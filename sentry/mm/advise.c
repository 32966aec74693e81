/* madvise(2) and msync(2). */
#include <linux/capability.h>
#include <linux/falloc.h>

#include "sentry/kernel/task.h"
#include "sentry/mm/mm_impl.h"
#include "vfs/file.h"

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22
#define MADV_POPULATE_WRITE 23
#endif
#ifndef MADV_DONTNEED_LOCKED
#define MADV_DONTNEED_LOCKED 24
#endif
#ifndef MADV_SOFT_OFFLINE
#define MADV_SOFT_OFFLINE 101
#endif

static bool advice_known(int advice)
{
	switch (advice) {
	case MADV_NORMAL:
	case MADV_RANDOM:
	case MADV_SEQUENTIAL:
	case MADV_WILLNEED:
	case MADV_DONTNEED:
	case MADV_FREE:
	case MADV_REMOVE:
	case MADV_DONTFORK:
	case MADV_DOFORK:
	case MADV_MERGEABLE:
	case MADV_UNMERGEABLE:
	case MADV_HUGEPAGE:
	case MADV_NOHUGEPAGE:
	case MADV_DONTDUMP:
	case MADV_DODUMP:
	case MADV_WIPEONFORK:
	case MADV_KEEPONFORK:
	case MADV_COLD:
	case MADV_PAGEOUT:
	case MADV_POPULATE_READ:
	case MADV_POPULATE_WRITE:
	case MADV_DONTNEED_LOCKED:
		return true;
	}
	return false;
}

static bool is_private_anonymous(const struct vma *v)
{
	return !v->file && (v->flags & MAP_PRIVATE);
}

/* May `advice` be given about v? */
static int check_vma(const struct vma *v, int advice)
{
	switch (advice) {
	case MADV_DONTNEED:
	case MADV_COLD:
	case MADV_PAGEOUT:
		return v->vm_flags & VMA_LOCKED ? -EINVAL : 0;
	case MADV_FREE:
		return !is_private_anonymous(v) || (v->vm_flags & VMA_LOCKED) ? -EINVAL : 0;
	case MADV_WIPEONFORK:
		return is_private_anonymous(v) ? 0 : -EINVAL;
	case MADV_REMOVE:
		if (v->vm_flags & VMA_LOCKED || !v->file)
			return -EINVAL;
		return (v->flags & MAP_SHARED) && (v->prot & PROT_WRITE) ? 0 : -EACCES;
	case MADV_POPULATE_READ:
		return v->prot & PROT_READ ? 0 : -EINVAL;
	case MADV_POPULATE_WRITE:
		return v->prot & PROT_WRITE ? 0 : -EINVAL;
	case MADV_DONTDUMP:
	case MADV_DODUMP:
		return v->special && v->special[1] == 'v' ? -EINVAL : 0;
	}
	return 0;
}

/* The bits that an advice sets and clears in a VMA; false: it leaves them alone. */
static bool advice_bits(int advice, uint32_t *set, uint32_t *clear)
{
	*set = *clear = 0;
	switch (advice) {
	case MADV_DONTFORK:
		*set = VMA_DONTFORK;
		return true;
	case MADV_DOFORK:
		*clear = VMA_DONTFORK;
		return true;
	case MADV_WIPEONFORK:
		*set = VMA_WIPEONFORK;
		return true;
	case MADV_KEEPONFORK:
		*clear = VMA_WIPEONFORK;
		return true;
	case MADV_DONTDUMP:
		*set = VMA_DONTDUMP;
		return true;
	case MADV_DODUMP:
		*clear = VMA_DONTDUMP;
		return true;
	}
	return false;
}

/* Only what changes the guest's memory reaches the host, and what helps it to be fast. */
static bool host_wants(int advice)
{
	switch (advice) {
	case MADV_DONTNEED:
	case MADV_DONTNEED_LOCKED:
	case MADV_FREE:
	case MADV_DONTFORK:
	case MADV_DOFORK:
	case MADV_WIPEONFORK:
	case MADV_KEEPONFORK:
	case MADV_HUGEPAGE:
	case MADV_NOHUGEPAGE:
	case MADV_POPULATE_READ:
	case MADV_POPULATE_WRITE:
		return true;
	}
	return false;
}

static int host_advice(struct mm_op *op, uint64_t start, uint64_t end, int advice)
{
	int err;

	if (!host_wants(advice))
		return 0;
	/* We pin nothing: for the host there are no locked pages. */
	if (advice == MADV_DONTNEED_LOCKED)
		advice = MADV_DONTNEED;
	if (advice == MADV_POPULATE_READ || advice == MADV_POPULATE_WRITE) {
		err = host_populate_now(op, start, end - start, advice);
		return err == -EFAULT || err == -ENOMEM || err == -EINTR ? err : 0;
	}
	err = host_madvise(op, start, end - start, advice);
	return advice == MADV_HUGEPAGE || advice == MADV_NOHUGEPAGE ? 0 : err;
}

static int advise_part(struct mm_op *op, uint64_t start, uint64_t end, int advice)
{
	uint32_t set, clear;
	int err;

	if (!advice_bits(advice, &set, &clear))
		return host_advice(op, start, end, advice);
	err = vma_split_range(op->m, start, end);
	if (!err)
		err = host_advice(op, start, end, advice);
	if (err)
		return err;
	for (struct vma *v = vma_find(op->m, start); v && v->start < end; v = vma_next(v))
		vma_set_vm_flags(op->m, v, (v->vm_flags | set) & ~clear);
	vma_merge_range(op, start, end);
	return 0;
}

/* Neighbouring VMAs that allow the advice are told to the host as one range. Holes are passed over, and
 * reported at the end. */
static int advise_locked(struct mm_op *op, uint64_t start, uint64_t end, int advice)
{
	int hole = 0;

	while (start < end) {
		struct vma *v = vma_find_range(op->m, start, end);
		uint64_t from, to;
		int err = 0;

		if (!v)
			return -ENOMEM;
		if (v->start > start) {
			hole = -ENOMEM;
			if (advice == MADV_POPULATE_READ || advice == MADV_POPULATE_WRITE)
				return -ENOMEM;
		}
		from = to = v->start > start ? v->start : start;
		for (; v && v->start <= to && to < end && !(err = check_vma(v, advice));
		     v = vma_next(v))
			to = v->end < end ? v->end : end;
		if (to > from) {
			int done = advise_part(op, from, to, advice);

			if (done)
				return done;
		}
		if (err)
			return err;
		start = to;
	}
	return hole;
}

/* MADV_REMOVE punches a hole in the file, which happens outside of map_lock. */
static int advise_remove(struct task *t, uint64_t start, uint64_t end)
{
	int err;

	while (start < end) {
		struct vma v;
		uint64_t to, at;

		if (!mm_lookup(t->mm, start, &v))
			return -ENOMEM;
		to = v.end < end ? v.end : end;
		at = v.offset + (start - v.start);
		err = check_vma(&v, MADV_REMOVE);
		if (!err && shm_is_file(v.file))
			err = shm_punch(v.file, at, to - start);
		else if (!err)
			err = file_fallocate(v.file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
					     at, to - start);
		vma_copy_release(&v);
		if (err)
			return err;
		start = to;
	}
	return 0;
}

int mm_madvise(struct task *t, uint64_t addr, uint64_t len, int advice)
{
	uint64_t size = page_up(len);
	struct mm_op op;
	int err;

	if (advice == MADV_HWPOISON || advice == MADV_SOFT_OFFLINE)
		return task_capable(t, CAP_SYS_ADMIN) ? -EINVAL : -EPERM;
	if (!advice_known(advice))
		return -EINVAL;
	if (addr & ~GUEST_PAGE_MASK || (len && !size) || addr + size < addr)
		return -EINVAL;
	if (size == 0)
		return 0;
	if (advice == MADV_REMOVE)
		return advise_remove(t, addr, addr + size);
	mm_op_begin_range(&op, t, addr, addr + size);
	err = advise_locked(&op, addr, addr + size, advice);
	mm_op_end(&op);
	return err;
}

/* ---- msync ----------------------------------------------------------------------------------- */

int mm_msync(struct task *t, uint64_t addr, uint64_t len, int flags)
{
	uint64_t end;
	int hole = 0;

	if (flags & ~(MS_ASYNC | MS_INVALIDATE | MS_SYNC))
		return -EINVAL;
	if ((flags & MS_ASYNC) && (flags & MS_SYNC))
		return -EINVAL;
	if (addr & ~GUEST_PAGE_MASK)
		return -EINVAL;
	len = page_up(len);
	end = addr + len;
	if (end < addr)
		return -ENOMEM;
	while (addr < end) {
		struct vma v;
		int err = 0;

		if (!mm_lookup(t->mm, addr, &v)) {
			hole = -ENOMEM;
			AUTO_LOCK(&t->mm->map_lock);
			struct vma *next = vma_find_range(t->mm, addr, end);

			if (!next)
				break;
			addr = next->start;
			continue;
		}
		if ((flags & MS_INVALIDATE) && (v.vm_flags & VMA_LOCKED))
			err = -EBUSY;
		else if ((flags & MS_SYNC) && v.file && (v.flags & MAP_SHARED) && !shm_is_file(v.file))
			err = file_fsync(v.file, false);
		addr = v.end;
		vma_copy_release(&v);
		if (err)
			return err;
	}
	return hole;
}
