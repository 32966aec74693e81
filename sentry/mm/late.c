/* Which results of a system call may be put off until the task goes on.
 *
 * The guest's thread is asked to do the copy, so a fault in it comes too late: what was read is gone
 * from the pipe by then. So only memory that the tree says is the guest's own and writable
 * is written that way, and no mapping of a file, whose end can make a page fault (except those that
 * exec made). Then a copy
 * faults only when another thread takes the memory away in the very moment between here and there,
 * which in Linux, too, may come before or after the copy; the call then says EFAULT. */
#include "sentry/mm/late.h"

#include "abi/base/copy.h"
#include "sentry/kernel/kernel.h"
#include "sentry/kernel/task.h"
#include "sentry/mm/mm_impl.h"

/* Above, the copy between processes is no dearer. */
#define LATE_MAX 65536

/* Ranges that this thread has found writable, good while the address space's count is the same. */
#define SEEN 4
static _Thread_local struct {
	uint64_t shrunk, start, end;
} seen[SEEN];
static _Thread_local unsigned seen_next;

/* The copy in it will not fault, as far as the tree can tell. */
static bool is_safe(const struct vma *v)
{
	return (v->prot & PROT_WRITE) && (!v->file || v->vm_flags & VMA_PROGRAM);
}

static bool look_up(struct mm *m, uint64_t addr, uint64_t end)
{
	unsigned i = seen_next++ % SEEN;
	struct vma *v, *next;

	if (!mutex_trylock(&m->map_lock))
		return false;
	v = vma_find(m, addr);
	if (!v || v->start > addr || !is_safe(v)) {
		mutex_unlock(&m->map_lock);
		return false;
	}
	seen[i].shrunk = atomic_load_explicit(&m->impl->shrunk, memory_order_relaxed);
	seen[i].start = v->start;
	while (v->end < end && (next = vma_next(v)) && next->start == v->end && is_safe(next))
		v = next;
	seen[i].end = v->end;
	mutex_unlock(&m->map_lock);
	return end <= seen[i].end;
}

static bool is_writable(struct mm *m, uint64_t addr, uint64_t end)
{
	uint64_t shrunk = atomic_load_explicit(&m->impl->shrunk, memory_order_acquire);

	for (unsigned i = 0; i < SEEN; i++)
		if (seen[i].shrunk == shrunk && addr >= seen[i].start && end <= seen[i].end)
			return true;
	return look_up(m, addr, end);
}

bool late_allowed(struct task *t, struct gptr dst, size_t n)
{
	return t->late && !t->ptrace && dst.v <= PF_GUEST_MAX && n <= PF_GUEST_MAX - dst.v &&
	       is_writable(t->mm, dst.v, dst.v + n);
}

static bool may_be_late(struct task *t, struct gptr dst, size_t n)
{
	return n <= LATE_MAX && late_allowed(t, dst, n);
}

void *late_buffer(struct task *t, struct gptr dst, size_t n)
{
	return may_be_late(t, dst, n) ? kernel->pf_ops->late_buffer(t->pt, dst, n) : NULL;
}

bool late_zero(struct task *t, struct gptr dst, size_t n)
{
	return may_be_late(t, dst, n) && kernel->pf_ops->late_zero(t->pt, dst, n);
}

void late_commit(struct task *t, struct gptr dst, size_t n)
{
	kernel->pf_ops->late_commit(t->pt, dst, n);
}

bool late_write(struct task *t, struct gptr dst, const void *src, size_t n)
{
	void *buf = late_buffer(t, dst, n);

	if (!buf)
		return false;
	copy_bytes(buf, src, n);
	late_commit(t, dst, n);
	return true;
}

int late_settle(struct task *t)
{
	struct gptr fault;

	while (kernel->pf_ops->late_flush(t->pt, &fault)) {
		if (mm_fault_in(t->mm, t, fault.v, true)) {
			kernel->pf_ops->late_drop(t->pt);
			return -EFAULT;
		}
	}
	return 0;
}
