/* Mapping shadows into processes: patch.h has the theory. */
#include "sentry/mm/patch.h"

#include "platform/patch/patch.h"
#include "sentry/kernel/kernel.h"
#include "sentry/kernel/task.h"
#include "sentry/mm/mm_impl.h"
#include "sentry/mm/patch_shadow.h"
#include "vfs/file.h"

/* Traps of one site, in one thread, before its file is worth a shadow and a process a mapping. */
#define HOT_TRAPS 16
#define NEVER (-1000000000)
#define MMAP_AREA 0x700000000000UL
#define GIB (1L << 30)

static const char thunks_name[] = "[thunks]";

void patch_init(void)
{
	const struct pf_ops *ops = kernel->pf_ops;

	shadow_init(ops->fast_entry ? ops->fast_entry(kernel->platform) : 0);
}

/* Where thunks may go, as seen from the text. Libraries lie in the upper part of the address space,
 * with room above them; programs below their heap. All within the reach of a jump. */
static int64_t delta_candidate(const struct vma *v, unsigned i)
{
	static const int64_t library[] = {GIB, -GIB, GIB + GIB / 2};
	static const int64_t program[] = {-GIB, GIB + 3 * (GIB / 4), GIB};

	if (i >= sizeof(library) / sizeof(library[0]))
		return 0;
	return v->start >= MMAP_AREA ? library[i] : program[i];
}

static bool place_is_free(struct mm *m, uint64_t addr, uint64_t len)
{
	return addr >= PF_GUEST_MIN && layout_free(m, addr, len) && !vma_find_range(m, addr, addr + len);
}

static bool vma_patchable(const struct vma *v)
{
	return v->file && (v->flags & MAP_PRIVATE) && v->prot == (PROT_READ | PROT_EXEC) &&
	       !(v->vm_flags & (VMA_WRITTEN | VMA_PATCHED)) && !v->special;
}

/* v is the segment that s has? */
static bool shadow_fits(struct mm_op *op, const struct vma *v, const struct shadow *s)
{
	return v->offset == s->start && v->end - v->start == s->end - s->start &&
	       op->m->impl->nvmas < MM_MAX_VMAS &&
	       place_is_free(op->m, v->start + (uint64_t)s->delta, s->thunks_len);
}

/* The thunks first: a thread may run through the text at any time. */
static int shadow_map(struct mm_op *op, struct vma *v, const struct shadow *s)
{
	struct vma *thunks = vma_alloc();
	uint64_t at = v->start + (uint64_t)s->delta;
	int err;

	if (!thunks)
		return -ENOMEM;
	*thunks = (struct vma){
		.start = at,
		.end = at + s->thunks_len,
		.prot = PROT_READ | PROT_EXEC,
		.max_prot = PROT_READ | PROT_EXEC,
		.flags = MAP_PRIVATE | MAP_ANONYMOUS,
		.special = thunks_name,
	};
	err = host_mmap_fd(op, at, s->thunks_len, thunks->prot, false, s->fd, s->thunks);
	if (err) {
		vma_free(thunks);
		return err;
	}
	vma_link(op->m, thunks);
	err = host_mmap_fd(op, v->start, v->end - v->start, v->prot, false, s->fd, v->offset);
	if (!err) {
		vma_set_vm_flags(op->m, v, v->vm_flags | VMA_PATCHED);
		op->m->impl->patched = true;
	}
	return err;
}

/* Maps a shadow over v, if there is one that fits. Else, if `ask`, one is made. */
static enum shadow_state patch_vma(struct mm_op *op, struct vma *v, int fd, bool ask)
{
	enum shadow_state state = SHADOW_NONE;
	struct shadow s;

	for (unsigned k = 0;; k++) {
		state = shadow_get(fd, k, &s);
		if (state != SHADOW_READY)
			break;
		if (shadow_fits(op, v, &s))
			return shadow_map(op, v, &s) ? SHADOW_NONE : SHADOW_READY;
	}
	for (unsigned i = 0; ask && state == SHADOW_LATER && delta_candidate(v, i); i++) {
		int64_t delta = delta_candidate(v, i);

		/* How many thunks there will be is not known yet. */
		if (place_is_free(op->m, v->start + (uint64_t)delta, 64 * GUEST_PAGE_SIZE))
			return shadow_request(fd, delta);
	}
	return ask && state == SHADOW_LATER ? SHADOW_NONE : state;
}

void patch_mapped(struct mm_op *op, uint64_t addr, int fd)
{
	struct vma *v = vma_find(op->m, addr);

	if (fd >= 0 && v && v->start <= addr && vma_patchable(v))
		patch_vma(op, v, fd, false);
}

/* The VMA may have changed since `seen` was looked up, as its file had to be asked without the lock. */
static enum shadow_state patch_site(struct task *t, const struct vma *seen)
{
	struct file_mapping fm = {.host_fd = -1};
	struct vma *v;

	if (!vma_patchable(seen) || file_mmap(seen->file, PROT_READ | PROT_EXEC, false, &fm) ||
	    fm.zero || fm.host_fd < 0 || fm.delta)
		return SHADOW_NONE;
	AUTO(mm_op) struct mm_op op;
	mm_op_begin(&op, t);
	op.post = false;
	v = vma_find(op.m, seen->start);
	if (!v || v->start != seen->start || v->end != seen->end || v->file != seen->file ||
	    v->offset != seen->offset || !vma_patchable(v))
		return SHADOW_NONE;
	return patch_vma(&op, v, fm.host_fd, true);
}

void patch_trapped(struct task *t, uint64_t rip, unsigned n)
{
	struct hot_site *h = &t->hot_sites[rip / 2 % TASK_HOT_SITES];
	enum shadow_state state = SHADOW_NONE;
	struct vma v;

	if (h->rip != rip) {
		h->rip = rip;
		h->traps = 0;
	}
	h->traps += (int)n;
	if (h->traps < HOT_TRAPS)
		return;
	if (mm_lookup(t->mm, rip - 2, &v)) {
		state = patch_site(t, &v);
		vma_copy_release(&v);
	}
	h->traps = state == SHADOW_LATER ? 0 : NEVER;
}

/* ---- the way back ------------------------------------------------------------------------------ */

static int unpatch_first(struct task *t, uint64_t addr, uint64_t end, uint64_t *next)
{
	struct file_mapping fm = {.host_fd = -1};
	struct vma seen, *v;
	int err = 0;

	*next = end;
	if (!mm_lookup(t->mm, addr, &seen))
		return 0;
	*next = seen.end;
	if (!(seen.vm_flags & VMA_PATCHED)) {
		vma_copy_release(&seen);
		return 0;
	}
	err = file_mmap(seen.file, PROT_READ | PROT_EXEC, false, &fm);
	if (!err) {
		AUTO(mm_op) struct mm_op op;

		mm_op_begin(&op, t);
		v = vma_find(op.m, seen.start);
		if (v && v->start == seen.start && v->end == seen.end && v->file == seen.file &&
		    (v->vm_flags & VMA_PATCHED)) {
			err = host_mmap_fd(&op, v->start, v->end - v->start, v->prot, false,
					   fm.host_fd, v->offset + fm.delta);
			if (!err)
				vma_set_vm_flags(op.m, v, v->vm_flags & ~(uint32_t)VMA_PATCHED);
		}
	}
	vma_copy_release(&seen);
	return err;
}

/* Jumps in the text find their thunks by distance: what moves becomes the file again. */
int patch_undo(struct task *t, uint64_t addr, uint64_t len)
{
	uint64_t end = addr + len;
	int err = 0;

	if (!t->mm->impl->patched)
		return 0;
	while (addr < end && !err)
		err = unpatch_first(t, addr, end, &addr);
	return err;
}

bool patch_fault(struct task *t)
{
	struct pf_regs *regs = kernel->pf_ops->regs(t->pt);
	unsigned skip = 0;
	struct vma v;

	if (!regs->gs_base || !t->mm->impl->patched || !mm_lookup(t->mm, regs->rip, &v))
		return false;
	if (v.special == thunks_name)
		skip = patch_thunk_fixup(regs->rip - v.start);
	vma_copy_release(&v);
	regs->rip += skip;
	return skip != 0;
}
