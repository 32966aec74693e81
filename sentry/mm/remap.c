/* mremap(2). Growth in place is a new host mapping behind the old one; a move is one host mremap,
 * followed by a new mapping for what is added when the host can't do both in one. */
#include "sentry/kernel/task.h"
#include "sentry/mm/mm_impl.h"
#include "sentry/mm/patch.h"
#include "vfs/file.h"

struct remap {
	struct vma *v; /* holds all of [old, old+old_len) */
	uint64_t old, old_len, new_len, new_addr;
	int flags;
	int host_fd; /* of v->file, or -1 */
	uint64_t host_delta;
};

static int check_args(const struct remap *r)
{
	if (r->flags & ~(MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP))
		return -EINVAL;
	if ((r->flags & MREMAP_FIXED) && !(r->flags & MREMAP_MAYMOVE))
		return -EINVAL;
	if ((r->flags & MREMAP_DONTUNMAP) &&
	    (!(r->flags & MREMAP_MAYMOVE) || r->old_len != r->new_len))
		return -EINVAL;
	if (r->old & ~GUEST_PAGE_MASK || r->new_len == 0)
		return -EINVAL;
	if (!(r->flags & (MREMAP_FIXED | MREMAP_DONTUNMAP)))
		return 0;
	if (r->new_addr & ~GUEST_PAGE_MASK)
		return -EINVAL;
	if (r->new_len > PF_GUEST_MAX || r->new_addr > PF_GUEST_MAX - r->new_len)
		return -EINVAL;
	if ((r->flags & MREMAP_FIXED) && r->new_addr < PF_GUEST_MIN)
		return -EPERM;
	if (r->old + r->old_len > r->new_addr && r->new_addr + r->new_len > r->old)
		return (r->flags & MREMAP_FIXED) ? -EINVAL : 0;
	return 0;
}

static int check_vma(struct mm_op *op, struct remap *r)
{
	struct vma *v = vma_find(op->m, r->old);
	uint64_t extra = r->new_len > r->old_len ? r->new_len - r->old_len : 0;

	if (!v || v->start > r->old)
		return -EFAULT;
	r->v = v;
	if (!r->old_len && !(v->flags & MAP_SHARED))
		return -EINVAL;
	if (v->special && v->special[1] == 'v')
		return -EFAULT;
	if (r->old_len > v->end - r->old)
		return -EFAULT;
	if (v->file && extra) {
		uint64_t at = v->offset + (r->old - v->start);

		if (at + r->new_len < at)
			return -EINVAL;
	}
	if (extra && (v->vm_flags & VMA_LOCKED) && !op->may_lock &&
	    op->m->locked_pages * GUEST_PAGE_SIZE + extra > op->rlim_memlock)
		return -EAGAIN;
	if ((r->flags & MREMAP_DONTUNMAP) && v->special)
		return -EINVAL;
	if (extra || (r->flags & MREMAP_DONTUNMAP) || !r->old_len)
		return mm_may_expand(op, r->flags & MREMAP_DONTUNMAP ? r->old_len : extra, 0,
				     vma_is_data(v));
	return 0;
}

/* What to map for the part of v that begins at guest offset `delta` behind v->start. */
static struct mmap_args like_vma(const struct remap *r, uint64_t addr, uint64_t len, uint64_t delta)
{
	const struct vma *v = r->v;

	return (struct mmap_args){.addr = addr, .len = len, .prot = v->prot,
				  .max_prot = v->max_prot, .flags = v->flags | MAP_FIXED,
				  .file = v->file, .offset = v->offset + delta,
				  .host_fd = r->host_fd,
				  .host_offset = v->offset + delta + r->host_delta,
				  .special = v->special};
}

static int map_like(struct mm_op *op, const struct remap *r, uint64_t addr, uint64_t len,
		    uint64_t delta)
{
	struct mmap_args a = like_vma(r, addr, len, delta);
	uint32_t vm_flags = r->v->vm_flags & ~(uint32_t)VMA_PROGRAM, def = op->m->impl->def_flags;
	int64_t got;

	op->m->impl->def_flags = vm_flags;
	got = mmap_locked(op, &a);
	op->m->impl->def_flags = def;
	return got < 0 ? (int)got : 0;
}

static bool can_grow_in_place(struct mm_op *op, const struct remap *r)
{
	uint64_t end = r->old + r->old_len;
	struct vma *next = vma_next(r->v);

	if (end != r->v->end || !layout_is_guest(r->old, r->new_len))
		return false;
	return !next || vma_start_gap(next) >= r->old + r->new_len;
}

/* The host side of a move: old_len bytes and whatever is added. */
static int host_move(struct mm_op *op, const struct remap *r)
{
	uint64_t extra = r->new_len - r->old_len;
	int err = host_mremap_move(op, r->old, r->old_len, r->old_len, r->new_addr,
				   r->flags & MREMAP_DONTUNMAP);

	if (err || !extra)
		return err;
	if (r->host_fd < 0)
		return host_mmap_anon(op, r->new_addr + r->old_len, extra, r->v->prot);
	return host_mmap_fd(op, r->new_addr + r->old_len, extra, r->v->prot,
			    r->v->flags & MAP_SHARED, false, r->host_fd,
			    r->v->offset + (r->old - r->v->start) + r->old_len + r->host_delta);
}

/* Moves the tree's part; nothing is left that can fail but memory for one VMA, taken before. */
static int move(struct mm_op *op, struct remap *r)
{
	struct mm *m = op->m;
	uint64_t old_end = r->old + r->old_len;
	struct vma *copy;
	int err = vma_split_range(m, r->old, old_end);

	if (!err)
		err = vma_split_range(m, r->new_addr, r->new_addr + r->new_len);
	if (err)
		return err;
	copy = vma_alloc();
	if (!copy)
		return -ENOMEM;
	r->v = vma_find(m, r->old);
	*copy = *r->v;
	vma_file_get(copy);
	copy->start = r->new_addr;
	copy->end = r->new_addr + r->new_len;
	/* The heap and the stack are where they were; what moved away is neither. */
	copy->special = NULL;
	copy->vm_flags &= ~(uint32_t)VMA_PROGRAM;
	copy->flags &= ~(uint32_t)MAP_GROWSDOWN;
	err = host_move(op, r);
	if (err) {
		copy->next_dead = op->dead;
		op->dead = copy;
		return err;
	}
	if (!(r->flags & MREMAP_DONTUNMAP))
		vma_remove_range(op, r->old, old_end);
	else
		vma_set_vm_flags(m, r->v, r->v->vm_flags & ~(uint32_t)VMA_LOCKED);
	vma_remove_range(op, r->new_addr, r->new_addr + r->new_len);
	vma_link(m, copy);
	vma_merge_range(op, copy->start, copy->end);
	return 0;
}

static int choose_target(struct mm_op *op, struct remap *r)
{
	if (r->flags & MREMAP_FIXED)
		return 0;
	if ((r->flags & MREMAP_DONTUNMAP) && r->new_addr &&
	    layout_free(op->m, r->new_addr, r->new_len))
		return 0;
	r->new_addr = layout_search(op->m, r->new_len, false);
	return r->new_addr ? 0 : -ENOMEM;
}

static int64_t remap_move(struct mm_op *op, struct remap *r)
{
	int err = choose_target(op, r);

	if (err)
		return err;
	if (r->old_len == 0) /* a second view of shared memory */
		err = map_like(op, r, r->new_addr, r->new_len, r->old - r->v->start);
	else
		err = move(op, r);
	return err ? err : (int64_t)r->new_addr;
}

static int64_t remap_locked(struct mm_op *op, struct remap *r)
{
	int err;

	if (r->old_len > r->new_len && r->old_len) {
		/* Shrinking may reach over several VMAs. */
		if (!vma_find_range(op->m, r->old, r->old + 1))
			return -EFAULT;
		err = munmap_locked(op, r->old + r->new_len, r->old + r->old_len);
		if (err)
			return err;
		r->old_len = r->new_len;
		if (!(r->flags & MREMAP_FIXED))
			return (int64_t)r->old;
	}
	err = check_vma(op, r);
	if (err)
		return err;
	if (r->flags & (MREMAP_FIXED | MREMAP_DONTUNMAP))
		return remap_move(op, r);
	if (r->old_len == r->new_len)
		return (int64_t)r->old;
	if (r->old_len && can_grow_in_place(op, r)) {
		err = map_like(op, r, r->old + r->old_len, r->new_len - r->old_len,
			       r->old + r->old_len - r->v->start);
		return err ? err : (int64_t)r->old;
	}
	if (!(r->flags & MREMAP_MAYMOVE))
		return -ENOMEM;
	return remap_move(op, r);
}

/* A file mapping that grows needs the file's descriptor, which file systems give outside of
 * map_lock: taken for what is mapped at `old` now, and used only if that is still so. */
static struct file *borrow_file(struct task *t, struct remap *r)
{
	struct vma v;
	struct file_mapping fm;
	bool shared;

	r->host_fd = -1;
	if (!mm_lookup(t->mm, r->old, &v) || !v.file)
		return NULL;
	shared = v.flags & MAP_SHARED;
	if (file_mmap(v.file, (int)(v.prot | (shared ? v.max_prot & PROT_WRITE : 0)), shared,
		      &fm) == 0) {
		r->host_fd = fm.host_fd;
		r->host_delta = fm.delta;
	}
	return v.file;
}

int64_t mm_mremap(struct task *t, uint64_t old, uint64_t old_len, uint64_t new_len, int flags,
		  uint64_t new_addr)
{
	struct remap r = {.old = old, .old_len = page_up(old_len), .new_len = page_up(new_len),
			  .flags = flags, .new_addr = new_addr, .host_fd = -1};
	int64_t err = check_args(&r);

	if (err)
		return err;
	if (!layout_is_guest(old, r.old_len))
		return -EFAULT;
	if (r.new_len > PF_GUEST_MAX)
		return -EINVAL; /* ENOMEM before Linux 6.17 */
	err = patch_undo(t, old, r.old_len);
	if (err)
		return err;
	AUTO(file) struct file *file =
		r.new_len > r.old_len ? borrow_file(t, &r) : NULL;
	AUTO(mm_op) struct mm_op op;

	mm_op_begin(&op, t);
	if (file) {
		struct vma *v = vma_find_range(op.m, old, old + 1);

		if (!v || v->file != file || r.host_fd < 0)
			return -EFAULT;
	}
	return remap_locked(&op, &r);
}
