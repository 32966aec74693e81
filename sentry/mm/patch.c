/* Mapping shadows into processes: patch.h has the theory. */
#include "sentry/mm/patch.h"

#include <elf.h>
#include <limits.h>
#include <signal.h>
#include <string.h>

#include "platform/patch/patch.h"
#include "sentry/kernel/kernel.h"
#include "sentry/kernel/task.h"
#include "sentry/mm/mm_impl.h"
#include "sentry/mm/patch_shadow.h"
#include "sentry/mm/usercopy.h"
#include "vfs/file.h"

/* Traps of one site, in one thread, before a process is worth a mapping of a shadow, or to ask for one. */
#define HOT_TRAPS 16
/* Runs of a file, whose every process makes some calls there, before it is worth a shadow. */
#define HOT_RUNS 4
#define NEVER (-1000000000)
#define SHADOW_BYTES_MAX (64UL << 20)
#define MMAP_AREA 0x700000000000UL
#define GIB (1L << 30)

static const char thunks_name[] = "[thunks]";

void patch_init(uint64_t memory_limit)
{
	const struct pf_ops *ops = kernel->pf_ops;
	uint64_t bytes = SHADOW_BYTES_MAX;

	if (memory_limit && memory_limit / 8 < bytes)
		bytes = memory_limit / 8;
	shadow_init(ops->fast_entry ? ops->fast_entry(kernel->platform) : 0, bytes);
}

uint64_t patch_bytes(void)
{
	return shadow_bytes();
}

/* ---- where a thread stands ---------------------------------------------------------------------- */

static bool is_thunk(struct mm *m, uint64_t addr)
{
	struct vma v;
	bool r;

	if (!mm_lookup(m, addr, &v))
		return false;
	r = v.special == thunks_name;
	vma_copy_release(&v);
	return r;
}

static bool thunk_read(struct task *t, uint64_t addr, uint8_t thunk[PATCH_THUNK_SIZE])
{
	addr &= ~(PATCH_THUNK_SIZE - 1UL);
	return is_thunk(t->mm, addr) && copy_from_guest(t, thunk, gptr(addr), PATCH_THUNK_SIZE) == 0;
}

/* A call that was made in a thunk, as %gs is the guest's: it was made at its site. */
static void thunk_leave(struct task *t, struct pf_regs *regs)
{
	uint64_t base = regs->rip & ~(PATCH_THUNK_SIZE - 1UL);
	uint8_t thunk[PATCH_THUNK_SIZE];

	if (thunk_read(t, regs->rip, thunk))
		regs->rip = regs->rcx = base + (uint64_t)patch_thunk_original(thunk, regs->rip - base);
}

/* Whose mapping is at addr; only to compare. */
static const struct file *file_at(struct mm *m, uint64_t addr)
{
	const struct file *f;
	struct vma v;

	if (!mm_lookup(m, addr, &v))
		return NULL;
	f = v.file;
	vma_copy_release(&v);
	return f;
}

static uint64_t linker_base(const struct mm *m)
{
	for (size_t i = 0; i < m->auxv_len; i++)
		if (m->auxv[2 * i] == AT_BASE)
			return m->auxv[2 * i + 1];
	return 0;
}

bool patch_linker_calls(struct task *t)
{
	uint64_t base = linker_base(t->mm), rip = kernel->pf_ops->regs(t->pt)->rip;
	const struct file *linker = base ? file_at(t->mm, base) : NULL;
	uint8_t thunk[PATCH_THUNK_SIZE];

	if (linker && thunk_read(t, rip, thunk))
		rip = (rip & ~(PATCH_THUNK_SIZE - 1UL)) +
		      (uint64_t)patch_thunk_original(thunk, rip & (PATCH_THUNK_SIZE - 1UL));
	return linker && file_at(t->mm, rip) == linker;
}

/* The thunk that a jump at rip leads to. */
static uint64_t jump_target(struct task *t, uint64_t rip)
{
	uint8_t jump[5];
	int32_t distance;

	if (copy_from_guest(t, jump, gptr(rip), sizeof(jump)) || jump[0] != 0xe9)
		return 0;
	memcpy(&distance, jump + 1, sizeof(distance));
	return rip + sizeof(jump) + (uint64_t)(int64_t)distance;
}

/* Where the thread would be if nothing were patched; regs->rip, if there. `off`: of the instruction in the
 * thunk, whose bytes are copied; UINT_MAX: not in one. */
static uint64_t original_rip(struct task *t, uint64_t rip, uint8_t thunk[PATCH_THUNK_SIZE], unsigned *off)
{
	uint64_t base = rip & ~(PATCH_THUNK_SIZE - 1UL);
	struct vma v;
	bool patched;

	*off = UINT_MAX;
	if (!mm_lookup(t->mm, rip, &v))
		return rip;
	patched = v.vm_flags & VMA_PATCHED;
	vma_copy_release(&v);
	if (thunk_read(t, rip, thunk)) {
		*off = rip - base;
		return base + (uint64_t)patch_thunk_original(thunk, *off);
	}
	base = patched ? jump_target(t, rip) : 0;
	if (base && base % PATCH_THUNK_SIZE == 0 && thunk_read(t, base, thunk))
		return base + (uint64_t)patch_thunk_original(thunk, 0);
	return rip;
}

bool patch_stopped(struct task *t, const struct pf_event *ev)
{
	struct pf_regs *regs = kernel->pf_ops->regs(t->pt);
	uint8_t thunk[PATCH_THUNK_SIZE];
	uint64_t rip;
	unsigned off;

	if (!t->mm->impl->patched)
		return false;
	rip = original_rip(t, regs->rip, thunk, &off);
	if (rip == regs->rip)
		return false;
	if (ev->kind == PF_FAULT && ev->signo == SIGTRAP && ev->code == TRAP_TRACE && !atomic_load(&t->work))
		return true;
	if (ev->kind == PF_FAULT && off != UINT_MAX && regs->gs_base && patch_thunk_fixup(thunk, off)) {
		regs->rip += patch_thunk_fixup(thunk, off);
		return true;
	}
	regs->rip = rip;
	return false;
}

/* ---- mapping shadows ---------------------------------------------------------------------------- */

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
	       !(v->vm_flags & VMA_WRITTEN) && !v->special;
}

static uint64_t shadow_address(const struct vma *v, const struct shadow *s)
{
	return v->start + (s->start - v->offset);
}

static bool vma_holds(const struct vma *v, uint64_t start, uint64_t end)
{
	return start >= v->offset && end - v->offset <= v->end - v->start;
}

/* Is this very shadow mapped there? */
static bool shadow_is_mapped(struct mm_op *op, const struct vma *v, const struct shadow *s)
{
	uint64_t at = shadow_address(v, s) + (uint64_t)s->delta;
	const struct vma *thunks = vma_find(op->m, at);

	return v->vm_flags & VMA_PATCHED && thunks && thunks->start <= at && thunks->special == thunks_name;
}

/* This very shadow's thunks are there still, from when the text was there before. They are known by what
 * anonymous memory has no use for. */
static bool thunks_are_left(struct mm_op *op, uint64_t at, const struct shadow *s)
{
	const struct vma *v = vma_find(op->m, at);

	return v && v->start == at && v->end - at == s->thunks_len && v->special == thunks_name &&
	       v->offset == (uint64_t)s->fd && v->prot == (PROT_READ | PROT_EXEC);
}

static bool shadow_fits(struct mm_op *op, const struct vma *v, const struct shadow *s)
{
	uint64_t at = shadow_address(v, s) + (uint64_t)s->delta;

	return vma_holds(v, s->start, s->end) && op->m->impl->nvmas < MM_MAX_VMAS &&
	       (place_is_free(op->m, at, s->thunks_len) || thunks_are_left(op, at, s));
}

static int thunks_map(struct mm_op *op, uint64_t at, const struct shadow *s)
{
	struct vma *thunks;
	int err;

	if (thunks_are_left(op, at, s))
		return 0;
	thunks = vma_alloc();
	if (!thunks)
		return -ENOMEM;
	*thunks = (struct vma){
		.start = at,
		.end = at + s->thunks_len,
		.prot = PROT_READ | PROT_EXEC,
		.max_prot = PROT_READ | PROT_EXEC,
		.flags = MAP_PRIVATE | MAP_ANONYMOUS,
		.offset = (uint64_t)s->fd,
		.special = thunks_name,
	};
	err = host_mmap_fd(op, at, s->thunks_len, thunks->prot, false, true, s->fd, s->thunks);
	if (err)
		vma_free(thunks);
	else
		vma_link(op->m, thunks);
	return err;
}

/* The thunks first: a thread may run through the text at any time. */
static int shadow_map(struct mm_op *op, struct vma *v, const struct shadow *s)
{
	uint64_t text = shadow_address(v, s);
	int err = thunks_map(op, text + (uint64_t)s->delta, s);

	if (!err)
		err = host_mmap_fd(op, text, s->end - s->start, v->prot, false, true, s->fd, 0);
	if (!err) {
		vma_set_vm_flags(op->m, v, v->vm_flags | VMA_PATCHED);
		op->m->impl->patched = true;
	}
	return err;
}

/* Maps one of the shadows of a part of the file. SHADOW_LATER: none fits. */
static enum shadow_state window_map(struct mm_op *op, struct vma *v, struct shadow_file *f, unsigned w)
{
	struct shadow s;

	for (unsigned k = 0; shadow_get(f, w, k, &s); k++) {
		if (shadow_is_mapped(op, v, &s))
			return SHADOW_NONE;
		if (shadow_fits(op, v, &s))
			return shadow_map(op, v, &s) ? SHADOW_NONE : SHADOW_READY;
	}
	return SHADOW_LATER;
}

/* True: something was there to be mapped, and was. */
static bool shadows_map(struct mm_op *op, struct vma *v, int fd)
{
	struct shadow_file *f = shadow_lookup(fd);
	uint64_t start, end;
	bool mapped = false;

	for (unsigned w = 0; f && shadow_window(f, w, &start, &end); w++)
		if (vma_holds(v, start, end) && window_map(op, v, f, w) != SHADOW_LATER)
			mapped = true;
	return mapped;
}

static struct vma *patchable_at(struct mm_op *op, uint64_t addr)
{
	struct vma *v = vma_find(op->m, addr);

	return v && v->start <= addr && vma_patchable(v) ? v : NULL;
}

void patch_mapped(struct mm_op *op, uint64_t addr, int fd)
{
	struct vma *v = fd < 0 ? NULL : patchable_at(op, addr);

	if (v)
		shadows_map(op, v, fd);
}

/* Has a shadow made whose thunks find room. How many there will be is not known yet. scan: what would have to
 * be looked at, in bytes; 0: it pays in any case. */
static enum shadow_state ask(struct mm_op *op, const struct vma *v, int fd, uint64_t site, uint64_t scan)
{
	uint64_t len = 2 * PATCH_WINDOW + 64 * GUEST_PAGE_SIZE, from = v->start;
	uint64_t addr = v->start + (site - v->offset);

	if (addr - v->start > PATCH_WHOLE)
		from = page_down(addr) - PATCH_WINDOW;
	for (unsigned i = 0; delta_candidate(v, i); i++) {
		int64_t delta = delta_candidate(v, i);

		if (place_is_free(op->m, from + (uint64_t)delta, len))
			return shadow_request(fd, site, delta, scan);
	}
	return SHADOW_NONE;
}

/* Each of its processes traps at many sites of it, and at none often. */
void patch_executed(struct mm_op *op, uint64_t addr, int fd)
{
	struct vma *v = fd < 0 ? NULL : patchable_at(op, addr);

	if (v && !shadows_map(op, v, fd) && v->end - v->start <= PATCH_WHOLE && shadow_run(fd) >= HOT_RUNS)
		ask(op, v, fd, v->offset, 0);
}

static enum shadow_state patch_locked(struct mm_op *op, struct vma *v, int fd, uint64_t site)
{
	struct shadow_file *f = shadow_lookup(fd);
	enum shadow_state state = SHADOW_LATER;
	uint64_t len;
	unsigned w;

	if (f)
		state = shadow_find(f, site, &w);
	if (state == SHADOW_READY)
		state = window_map(op, v, f, w);
	if (state != SHADOW_LATER)
		return state;
	len = v->end - v->start;
	return ask(op, v, fd, site, len > PATCH_WHOLE ? 2 * PATCH_WINDOW : len);
}

/* The VMA may have changed since `seen` was looked up, as its file had to be asked without the lock. */
static enum shadow_state patch_site(struct task *t, const struct vma *seen, uint64_t addr)
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
	return patch_locked(&op, v, fm.host_fd, v->offset + (addr - v->start));
}

/* Sites that share a place count together, so that two which take turns get somewhere. Only that nothing can be
 * done for a site is its own matter. */
static struct hot_site *hot_site(struct task *t, uint64_t rip)
{
	struct hot_site *h = &t->hot_sites[rip * 0x9e3779b97f4a7c15UL >> (64 - TASK_HOT_SITES_BITS)];

	if (h->rip != rip) {
		h->rip = rip;
		if (h->traps < 0)
			h->traps = 0;
	}
	return h;
}

void patch_trapped(struct task *t, unsigned n)
{
	struct pf_regs *regs = kernel->pf_ops->regs(t->pt);
	enum shadow_state state = SHADOW_NONE;
	struct hot_site *h;
	struct vma v;

	if (regs->gs_base && t->mm->impl->patched)
		thunk_leave(t, regs);
	shadow_count_traps(n);
	h = hot_site(t, regs->rip);
	h->traps += (int)n;
	if (h->traps < HOT_TRAPS)
		return;
	if (mm_lookup(t->mm, regs->rip - 2, &v)) {
		state = patch_site(t, &v, regs->rip - 2);
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
					   false, fm.host_fd, v->offset + fm.delta);
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

