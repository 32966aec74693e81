/* mlock(2) and friends: counted against RLIMIT_MEMLOCK and remembered; the host's memory is not
 * pinned, since a guest must not be able to take it away from others. */
#include "sentry/kernel/task.h"
#include "sentry/mm/mm_impl.h"

static uint32_t lock_bits(bool lock, bool onfault)
{
	return lock ? VMA_LOCKED | (onfault ? VMA_LOCKONFAULT : 0) : 0;
}

static uint64_t unlocked_bytes(struct mm_op *op, uint64_t start, uint64_t end)
{
	uint64_t sum = 0;

	for (struct vma *v = vma_find_range(op->m, start, end); v && v->start < end;
	     v = vma_next(v))
		if (!(v->vm_flags & VMA_LOCKED))
			sum += (v->end < end ? v->end : end) - (v->start > start ? v->start : start);
	return sum;
}

static void set_locked(struct mm_op *op, uint64_t start, uint64_t end, uint32_t bits)
{
	for (struct vma *v = vma_find_range(op->m, start, end); v && v->start < end;
	     v = vma_next(v))
		if (!v->special || v->special[1] != 'v')
			vma_set_vm_flags(op->m, v,
					 (v->vm_flags & ~(uint32_t)(VMA_LOCKED | VMA_LOCKONFAULT)) |
						 bits);
	vma_merge_range(op, start, end);
}

int mm_mlock(struct task *t, uint64_t addr, uint64_t len, bool lock, bool onfault)
{
	uint64_t start = page_down(addr), end = start + page_up(len + (addr - start));
	bool covered;
	int err;

	AUTO(mm_op) struct mm_op op;
	mm_op_begin(&op, t);
	if (lock && !op.may_lock && op.rlim_memlock == 0)
		return -EPERM;
	if (end < start)
		return -EINVAL;
	if (lock && !op.may_lock &&
	    op.m->locked_pages * GUEST_PAGE_SIZE + unlocked_bytes(&op, start, end) >
		    op.rlim_memlock)
		return -ENOMEM;
	if (start == end)
		return 0;
	covered = vma_covers(op.m, start, end);
	err = vma_split_range(op.m, start, end);
	if (err)
		return err;
	set_locked(&op, start, end, lock_bits(lock, onfault));
	return covered ? 0 : -ENOMEM;
}

int mm_mlockall(struct task *t, int flags)
{
	bool current = flags & MCL_CURRENT, onfault = flags & MCL_ONFAULT;

	AUTO(mm_op) struct mm_op op;
	mm_op_begin(&op, t);
	if (flags && !op.may_lock) {
		if (op.rlim_memlock == 0)
			return -EPERM;
		if (current && op.m->total_pages * GUEST_PAGE_SIZE > op.rlim_memlock)
			return -ENOMEM;
	}
	op.m->impl->def_flags = lock_bits(flags & MCL_FUTURE, onfault);
	if (!flags || current)
		set_locked(&op, 0, PF_GUEST_MAX, lock_bits(current, onfault));
	return 0;
}
