/* The VMA tree: find, split, merge, count. Callers hold map_lock. */
#include "sentry/mm/mm_impl.h"

#include <stdlib.h>

#include "vfs/file.h"
#include "vfs/tmpfs/memfd.h"

static bool vma_ends_above(const struct rb_node *n, const void *key)
{
	return rb_entry(n, struct vma, node)->end > *(const uint64_t *)key;
}

static bool vma_starts_at_or_above(const struct rb_node *n, const void *key)
{
	return rb_entry(n, struct vma, node)->start >= *(const uint64_t *)key;
}

static struct vma *vma_of(struct rb_node *n)
{
	return n ? rb_entry(n, struct vma, node) : NULL;
}

struct vma *vma_find(struct mm *m, uint64_t addr)
{
	return vma_of(rb_lower_bound(&m->vmas, vma_ends_above, &addr));
}

struct vma *vma_find_below(struct mm *m, uint64_t addr)
{
	struct rb_node *n = rb_lower_bound(&m->vmas, vma_starts_at_or_above, &addr);

	return vma_of(n ? rb_prev(n) : rb_last(&m->vmas));
}

struct vma *vma_find_range(struct mm *m, uint64_t start, uint64_t end)
{
	struct vma *v = vma_find(m, start);

	return v && v->start < end ? v : NULL;
}

struct vma *vma_next(struct vma *v)
{
	return vma_of(rb_next(&v->node));
}

struct vma *vma_prev(struct vma *v)
{
	return vma_of(rb_prev(&v->node));
}

struct vma *vma_alloc(void)
{
	return calloc(1, sizeof(struct vma));
}

/* A file is told of its shared writable mappings: seals are refused while there are some. */
static void count_writable(const struct vma *v, int delta)
{
	if (v->flags & MAP_SHARED && v->max_prot & PROT_WRITE)
		memfd_count_mapping(v->file, delta);
}

void vma_file_get(struct vma *v)
{
	if (!v->file)
		return;
	file_get(v->file);
	count_writable(v, 1);
}

void vma_free(struct vma *v)
{
	if (v->file) {
		count_writable(v, -1);
		file_put(v->file);
	}
	free(v);
}

void vma_free_list(struct vma *dead)
{
	while (dead) {
		struct vma *next = dead->next_dead;

		vma_free(dead);
		dead = next;
	}
}

static int vma_cmp(const struct rb_node *a, const struct rb_node *b)
{
	uint64_t x = rb_entry(a, struct vma, node)->start, y = rb_entry(b, struct vma, node)->start;

	return x < y ? -1 : x > y;
}

/* sign is 1 or -1 (as an unsigned factor). */
static void vma_account(struct mm *m, const struct vma *v, uint64_t sign)
{
	uint64_t pages = (v->end - v->start) / GUEST_PAGE_SIZE * sign;

	m->total_pages += pages;
	if (m->total_pages > m->peak_pages)
		m->peak_pages = m->total_pages;
	if (v->vm_flags & VMA_LOCKED)
		m->locked_pages += pages;
	if (vma_is_data(v))
		m->data_pages += pages;
	if (v->flags & MAP_GROWSDOWN)
		m->stack_pages += pages;
	if (v->flags & MAP_SHARED)
		m->shared_pages += pages;
	if ((v->prot & PROT_EXEC) && !(v->prot & PROT_WRITE))
		m->exec_pages += pages;
}

void vma_link(struct mm *m, struct vma *v)
{
	rb_insert(&m->vmas, &v->node, vma_cmp);
	m->impl->nvmas++;
	vma_account(m, v, 1);
}

/* Before the host is asked, or right after, by who holds map_lock all the while. */
static void shrunk(struct mm *m)
{
	atomic_fetch_add_explicit(&m->impl->shrunk, 1, memory_order_release);
}

void vma_unlink(struct mm *m, struct vma *v)
{
	shrunk(m);
	rb_erase(&m->vmas, &v->node);
	m->impl->nvmas--;
	vma_account(m, v, -1UL);
}

void vma_set_prot(struct mm *m, struct vma *v, uint32_t prot)
{
	shrunk(m);
	vma_account(m, v, -1UL);
	v->prot = prot;
	if ((prot & PROT_WRITE) && v->file && (v->flags & MAP_PRIVATE))
		v->vm_flags |= VMA_WRITTEN;
	vma_account(m, v, 1);
}

void vma_set_vm_flags(struct mm *m, struct vma *v, uint32_t vm_flags)
{
	vma_account(m, v, -1UL);
	v->vm_flags = vm_flags;
	vma_account(m, v, 1);
}

/* The order in the tree must stay the same. */
void vma_set_range(struct mm *m, struct vma *v, uint64_t start, uint64_t end)
{
	uint64_t peak = m->peak_pages;

	shrunk(m);
	vma_account(m, v, -1UL);
	if (v->file)
		v->offset += start - v->start;
	v->start = start;
	v->end = end;
	m->peak_pages = peak;
	vma_account(m, v, 1);
}

int vma_split_at(struct mm *m, uint64_t addr)
{
	struct vma *v = vma_find(m, addr), *upper;

	if (!v || v->start >= addr)
		return 0;
	if (m->impl->nvmas >= MM_MAX_VMAS)
		return -ENOMEM;
	upper = vma_alloc();
	if (!upper)
		return -ENOMEM;
	*upper = *v;
	if (v->file) {
		vma_file_get(upper);
		upper->offset = v->offset + (addr - v->start);
	}
	upper->start = addr;
	vma_set_range(m, v, v->start, addr);
	vma_link(m, upper);
	return 0;
}

int vma_split_range(struct mm *m, uint64_t start, uint64_t end)
{
	int err = vma_split_at(m, start);

	return err ? err : vma_split_at(m, end);
}

static bool vma_can_merge(const struct vma *a, const struct vma *b)
{
	return a->end == b->start && a->prot == b->prot && a->max_prot == b->max_prot &&
	       a->flags == b->flags && a->vm_flags == b->vm_flags && a->file == b->file &&
	       a->special == b->special &&
	       (!a->file || a->offset + (a->end - a->start) == b->offset);
}

/* Joins v with its successor where they are alike; whoever remains. */
static bool vma_merge_next(struct mm_op *op, struct vma *v)
{
	struct vma *next = vma_next(v);
	uint64_t end;

	if (!next || !vma_can_merge(v, next))
		return false;
	end = next->end;
	vma_unlink(op->m, next);
	next->next_dead = op->dead;
	op->dead = next;
	vma_set_range(op->m, v, v->start, end);
	return true;
}

void vma_merge_range(struct mm_op *op, uint64_t start, uint64_t end)
{
	struct vma *v = vma_find(op->m, start ? start - 1 : 0);

	while (v && v->start <= end)
		if (!vma_merge_next(op, v))
			v = vma_next(v);
}

void vma_remove_range(struct mm_op *op, uint64_t start, uint64_t end)
{
	struct vma *v = vma_find_range(op->m, start, end);

	while (v && v->start < end) {
		struct vma *next = vma_next(v);

		vma_unlink(op->m, v);
		v->next_dead = op->dead;
		op->dead = v;
		v = next;
	}
	layout_unmapped(op->m, start, end);
}

uint64_t vma_mapped_bytes(struct mm *m, uint64_t start, uint64_t end)
{
	uint64_t sum = 0;

	for (struct vma *v = vma_find_range(m, start, end); v && v->start < end; v = vma_next(v))
		sum += (v->end < end ? v->end : end) - (v->start > start ? v->start : start);
	return sum;
}

bool vma_covers(struct mm *m, uint64_t start, uint64_t end)
{
	struct vma *v = vma_find(m, start);

	for (; v && v->start <= start && start < end; v = vma_next(v))
		start = v->end;
	return start >= end;
}

uint64_t vma_start_gap(const struct vma *v)
{
	if (!(v->flags & MAP_GROWSDOWN))
		return v->start;
	return v->start > MM_GUARD_GAP ? v->start - MM_GUARD_GAP : 0;
}
