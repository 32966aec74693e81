/* Faults. The host serves the ordinary ones; what arrives here is an access that the host's
 * mappings don't allow. The tree says whether the guest's do: a stack that shall grow, a mapping
 * that is on its way or was lost is repaired and the access tried again, all else is the guest's
 * own signal. */
#include <signal.h>

#include "sentry/kernel/kernel.h"
#include "sentry/kernel/task.h"
#include "sentry/mm/mm_impl.h"

#define TRAP_PAGE_FAULT 14
#define FAULT_WRITE 2
#define FAULT_FETCH 16
/* Stacks grow by more than the page that was touched: a fault costs as much as 30 mappings. */
#define STACK_STEP (32 * GUEST_PAGE_SIZE)
/* Repairs of one place in a row before the fault is the guest's after all. */
#define REPAIRS_MAX 8
#define REPAIR_FORGET_NS 10000000UL

/* What this thread repaired last: a host that keeps refusing must not make us spin. */
static _Thread_local struct {
	uint64_t addr, at_ns;
	unsigned count;
} last_repair;

static bool repair_pays(uint64_t addr)
{
	uint64_t now = now_mono_ns();

	if (last_repair.addr != addr || now - last_repair.at_ns > REPAIR_FORGET_NS) {
		last_repair.addr = addr;
		last_repair.count = 0;
	}
	last_repair.at_ns = now;
	return ++last_repair.count <= REPAIRS_MAX;
}

static bool may_access(const struct vma *v, bool write, bool fetch)
{
	if (write)
		return v->prot & PROT_WRITE;
	if (fetch)
		return v->prot & PROT_EXEC;
	/* x86 has no write-only or execute-only pages without protection keys. */
	return v->prot != PROT_NONE;
}

/* ---- stacks that grow ------------------------------------------------------------------------ */

/* The lowest address that v may grow to. */
static uint64_t stack_limit(struct mm_op *op, const struct vma *v)
{
	struct vma *prev = rb_prev(&v->node) ? rb_entry(rb_prev(&v->node), struct vma, node) : NULL;
	uint64_t size = op->rlim_stack, low = PF_GUEST_MIN;

	if (size < v->end - PF_GUEST_MIN)
		low = page_up(v->end - size);
	if (prev) {
		uint64_t floor = prev->end;

		if (prev->prot != PROT_NONE && !(prev->flags & MAP_GROWSDOWN))
			floor += MM_GUARD_GAP;
		if (floor > low)
			low = floor;
	}
	return low;
}

/* Grows the stack above addr to hold it. -EFAULT: there is none, or it may not. */
static int stack_grow(struct mm_op *op, uint64_t addr)
{
	struct vma *v = vma_find(op->m, addr);
	uint64_t start = page_down(addr), low;

	if (!v || !(v->flags & MAP_GROWSDOWN) || v->start <= addr)
		return -EFAULT;
	low = stack_limit(op, v);
	if (start < low)
		return -EFAULT;
	start = start - low > STACK_STEP ? start - STACK_STEP : low;
	if (mm_may_expand(op, v->start - start, 0, false))
		return -EFAULT;
	if ((v->vm_flags & VMA_LOCKED) && !op->may_lock &&
	    op->m->locked_pages * GUEST_PAGE_SIZE + (v->start - start) > op->rlim_memlock)
		return -EFAULT;
	if (host_mmap_anon(op, start, v->start - start, v->prot))
		return -EFAULT;
	vma_set_range(op->m, v, start, v->end);
	return 0;
}

/* ---- mappings that the host should have ------------------------------------------------------- */

/* The page is there for the tree but was not for the host. Perhaps only because another thread's
 * operation was under way, so the first attempts just try again. */
static int repair_page(struct mm_op *op, const struct vma *v, uint64_t addr)
{
	struct pf_call c = {.nr = PF_MMAP, .fd = -1,
			    .arg = {page_down(addr), GUEST_PAGE_SIZE, v->prot,
				    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE |
					    MAP_FIXED_NOREPLACE,
				    (uint64_t)-1, 0}};

	if (!repair_pays(addr))
		return -EFAULT;
	if (last_repair.count <= 2)
		return 0;
	if (v->file) /* a page behind the end of the file, for a copy */
		return -EFAULT;
	if (host_mprotect(op, page_down(addr), GUEST_PAGE_SIZE, v->prot) == 0)
		return 0;
	return kernel->pf_ops->call(op->th, &c) == (int64_t)page_down(addr) ? 0 : -EFAULT;
}

int mm_handle_fault(struct task *t, const struct pf_event *ev, int *signo, int *code)
{
	bool write = ev->error & FAULT_WRITE, fetch = ev->error & FAULT_FETCH;
	struct vma *v;

	*signo = ev->signo;
	*code = ev->code;
	if (ev->signo != SIGSEGV || ev->trapno != TRAP_PAGE_FAULT ||
	    (ev->code != SEGV_MAPERR && ev->code != SEGV_ACCERR))
		return -EFAULT;
	*code = SEGV_MAPERR;
	if (ev->addr >= PF_GUEST_MAX)
		return -EFAULT;

	AUTO(mm_op) struct mm_op op;
	mm_op_begin(&op, t);
	op.post = false;
	v = vma_find(op.m, ev->addr);
	if (v && v->start <= ev->addr) {
		*code = SEGV_ACCERR;
		return may_access(v, write, fetch) ? repair_page(&op, v, ev->addr) : -EFAULT;
	}
	return stack_grow(&op, ev->addr);
}

/* For copies. Only t's own thread can run host calls; a copy from elsewhere finds what is there. */
int mm_fault_in(struct mm *m, struct task *t, uint64_t addr, bool write)
{
	struct vma *v;
	int err;

	if (!t || t != current_task || t->mm != m || addr >= PF_GUEST_MAX)
		return -EFAULT;
	AUTO(mm_op) struct mm_op op;
	mm_op_begin(&op, t);
	op.post = false;
	if (atomic_load(&m->impl->posted)) {
		err = mm_op_flush(&op);
		if (err)
			return -EFAULT;
	}
	v = vma_find(m, addr);
	if (v && v->start <= addr)
		return may_access(v, write, false) ? repair_page(&op, v, addr) : -EFAULT;
	return stack_grow(&op, addr);
}
