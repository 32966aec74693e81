/* brk(2): the heap is an anonymous mapping that begins at brk_start. Returns the new break, or the
 * old one when it can't be moved, as the raw system call does. */
#include "sentry/kernel/task.h"
#include "sentry/mm/mm_impl.h"

static bool brk_expand(struct mm_op *op, uint64_t old_end, uint64_t new_end)
{
	struct mmap_args a = {.addr = old_end, .len = new_end - old_end,
			      .prot = PROT_READ | PROT_WRITE,
			      .max_prot = PROT_READ | PROT_WRITE | PROT_EXEC,
			      .flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE,
			      .host_fd = -1, .special = "[heap]"};
	struct vma *next = vma_find(op->m, old_end);

	if (!layout_is_guest(old_end, new_end - old_end))
		return false;
	if (next && new_end + GUEST_PAGE_SIZE > vma_start_gap(next))
		return false;
	return mmap_locked(op, &a) >= 0;
}

int64_t mm_brk(struct task *t, uint64_t brk)
{
	AUTO(mm_op) struct mm_op op;
	mm_op_begin(&op, t);
	struct mm *m = op.m;
	uint64_t old_end = page_up(m->brk), new_end = page_up(brk);
	uint64_t initialised = m->end_data - m->start_data;

	if (brk < m->brk_start || new_end < brk)
		return (int64_t)m->brk;
	if (op.rlim_data != UINT64_MAX && brk - m->brk_start + initialised > op.rlim_data)
		return (int64_t)m->brk;
	if (new_end > old_end && !brk_expand(&op, old_end, new_end))
		return (int64_t)m->brk;
	if (new_end < old_end && munmap_locked(&op, new_end, old_end))
		return (int64_t)m->brk;
	m->brk = brk;
	return (int64_t)brk;
}
