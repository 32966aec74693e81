/* mprotect(2). */
#include "sentry/kernel/task.h"
#include "sentry/mm/mm_impl.h"
#include "vfs/file.h"
#include "vfs/inode.h"

#define PROT_SEM_GUEST 8
#define PERSONALITY_READ_IMPLIES_EXEC 0x0400000
#define PROT_KNOWN (PROT_READ | PROT_WRITE | PROT_EXEC | PROT_SEM_GUEST)

/* How far from start the request may go: to the first hole or VMA that refuses. *err says why it
 * ends early. */
static uint64_t protect_limit(struct mm_op *op, uint64_t start, uint64_t end, uint32_t prot,
			      int *err)
{
	uint64_t at = start, growth = 0;

	*err = 0;
	for (struct vma *v = vma_find(op->m, start); at < end; v = vma_next(v)) {
		if (!v || v->start > at) {
			*err = -ENOMEM;
			break;
		}
		if (prot & ~v->max_prot) {
			*err = -EACCES;
			break;
		}
		if ((prot & PROT_WRITE) && !(v->prot & PROT_WRITE) && (v->flags & MAP_PRIVATE) &&
		    !(v->flags & MAP_GROWSDOWN))
			growth += (v->end < end ? v->end : end) - at;
		if (growth && op->m->data_pages * GUEST_PAGE_SIZE + growth > op->rlim_data) {
			*err = -ENOMEM;
			break;
		}
		at = v->end;
	}
	return at < end ? at : end;
}

int mprotect_locked(struct mm_op *op, uint64_t start, uint64_t end, uint32_t prot)
{
	bool change = false, file_code = false, post = op->post;
	int refused, err;

	end = protect_limit(op, start, end, prot, &refused);
	if (end == start)
		return refused;
	for (struct vma *v = vma_find(op->m, start); v && v->start < end; v = vma_next(v)) {
		change |= v->prot != prot;
		file_code |= v->file && (prot & PROT_EXEC) && !atomic_load(&v->file->inode->executes);
	}
	if (!change)
		return refused;
	err = vma_split_range(op->m, start, end);
	if (op->t && file_code) /* see host_mmap_fd() */
		op->post = false;
	if (!err)
		err = host_mprotect(op, start, end - start, prot);
	op->post = post;
	if (err)
		return err;
	for (struct vma *v = vma_find(op->m, start); v && v->start < end; v = vma_next(v)) {
		vma_set_prot(op->m, v, prot);
		if (op->t && file_code && v->file)
			atomic_store(&v->file->inode->executes, true);
	}
	vma_merge_range(op, start, end);
	return refused;
}

int mm_mprotect(struct task *t, uint64_t addr, uint64_t len, int prot)
{
	bool growsdown = prot & PROT_GROWSDOWN, growsup = prot & PROT_GROWSUP;
	uint64_t end;

	prot &= ~(PROT_GROWSDOWN | PROT_GROWSUP);
	if (growsdown && growsup)
		return -EINVAL;
	if (addr & ~GUEST_PAGE_MASK)
		return -EINVAL;
	if (len == 0)
		return 0;
	end = addr + page_up(len);
	if (end <= addr)
		return -ENOMEM;
	if (prot & ~PROT_KNOWN)
		return -EINVAL;
	prot &= ~PROT_SEM_GUEST;
	if ((prot & PROT_READ) && (t->personality & PERSONALITY_READ_IMPLIES_EXEC))
		prot |= PROT_EXEC;

	AUTO(mm_op) struct mm_op op;
	mm_op_begin_range(&op, t, growsdown ? 0 : addr, end);
	struct vma *v = vma_find(op.m, addr);

	if (!v)
		return -ENOMEM;
	if (growsdown) {
		if (v->start >= end)
			return -ENOMEM;
		if (!(v->flags & MAP_GROWSDOWN))
			return -EINVAL;
		addr = v->start;
	} else {
		if (v->start > addr)
			return -ENOMEM;
		if (growsup)
			return -EINVAL;
	}
	return mprotect_locked(&op, addr, end, (uint32_t)prot);
}
