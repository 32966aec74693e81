/* Life of an address space: blank for exec, copied by fork, gone with its last user. */
#include <linux/capability.h>
#include <stdlib.h>
#include <sys/resource.h>

#include "sentry/kernel/kernel.h"
#include "sentry/kernel/task.h"
#include "sentry/mm/mm_impl.h"
#include "vfs/file.h"
#include "vfs/inode.h"

static struct mm *mm_alloc(void)
{
	struct mm *m = calloc(1, sizeof(*m));

	if (!m)
		return NULL;
	m->impl = mm_impl_new();
	if (!m->impl) {
		free(m);
		return NULL;
	}
	ref_init(&m->ref);
	mutex_init(&m->map_lock, LOCK_MM_MAP);
	return m;
}

static void mm_free(struct mm *m)
{
	struct rb_node *n;

	while ((n = m->vmas.root)) {
		struct vma *v = rb_entry(n, struct vma, node);

		rb_erase(&m->vmas, n);
		vma_free(v);
	}
	if (m->exe) {
		inode_allow_write(m->exe->inode);
		file_put(m->exe);
	}
	mutex_destroy(&m->map_lock);
	mm_impl_put(m->impl);
	free(m);
}

int mm_new(struct mm **out, struct pf_thread **thread)
{
	struct mm *m = mm_alloc();
	int err;

	if (!m)
		return -ENOMEM;
	err = kernel->pf_ops->space_new(kernel->platform, &m->space, thread);
	if (err) {
		mm_free(m);
		return err;
	}
	kernel->pf_ops->space_get(m->space);
	*out = m;
	return 0;
}

struct mm *mm_get(struct mm *m)
{
	ref_get(&m->ref);
	return m;
}

struct pf_space *mm_put_but_space(struct mm *m)
{
	struct pf_space *s;

	if (!m || !ref_put(&m->ref))
		return NULL;
	s = m->space;
	mm_free(m);
	return s;
}

void mm_space_end(struct pf_space *s)
{
	if (!s)
		return;
	kernel->pf_ops->space_kill(s);
	kernel->pf_ops->space_put(s);
}

void mm_put(struct mm *m)
{
	mm_space_end(mm_put_but_space(m));
}

/* The child's VMA for v: nothing is locked in a child. */
static int copy_vma(struct mm *child, const struct vma *v)
{
	struct vma *copy = vma_alloc();

	if (!copy)
		return -ENOMEM;
	*copy = *v;
	copy->vm_flags &= ~(uint32_t)(VMA_LOCKED | VMA_LOCKONFAULT);
	vma_file_get(copy);
	vma_link(child, copy);
	return 0;
}

static void copy_layout(struct mm *c, const struct mm *m)
{
	c->brk_start = m->brk_start;
	c->brk = m->brk;
	c->mmap_base = m->mmap_base;
	c->start_code = m->start_code;
	c->end_code = m->end_code;
	c->start_data = m->start_data;
	c->end_data = m->end_data;
	c->start_stack = m->start_stack;
	c->arg_start = m->arg_start;
	c->arg_end = m->arg_end;
	c->env_start = m->env_start;
	c->env_end = m->env_end;
	c->vdso_base = m->vdso_base;
	for (size_t i = 0; i < sizeof(m->auxv) / sizeof(m->auxv[0]); i++)
		c->auxv[i] = m->auxv[i];
	c->auxv_len = m->auxv_len;
	if (m->exe && mm_set_exe(c, m->exe))
		c->exe = NULL;
	c->impl->hint = m->impl->hint;
	c->impl->hole = m->impl->hole;
	atomic_store(&c->impl->patched, atomic_load(&m->impl->patched));
}

static int copy_tree(struct mm *child, struct mm *m)
{
	for (struct rb_node *n = rb_first(&m->vmas); n; n = rb_next(n)) {
		const struct vma *v = rb_entry(n, struct vma, node);
		int err;

		if (v->vm_flags & VMA_DONTFORK)
			continue;
		err = copy_vma(child, v);
		if (err)
			return err;
	}
	return 0;
}

/* The host copies the memory itself: the stub process is cloned. DONTFORK and WIPEONFORK have been
 * told to the host when the guest asked for them. */
static int fork_locked(struct mm_op *op, const struct pf_birth *b, struct mm *child,
		       struct pf_thread **thread)
{
	int err = mm_op_flush(op);

	if (!err)
		err = copy_tree(child, op->m);
	if (err)
		return err;
	copy_layout(child, op->m);
	if (b)
		return kernel->pf_ops->space_fork_run(op->th, b, &child->space, thread);
	return kernel->pf_ops->space_fork(op->th, &child->space, thread);
}

static bool word_writable(struct mm *m, uint64_t addr)
{
	struct vma *v = vma_find(m, addr);

	return v && v->start <= addr && v->end - addr >= 4 && (v->prot & PROT_WRITE);
}

static int fork_space(struct task *caller, const struct pf_birth *b, struct mm **out,
		      struct pf_thread **thread)
{
	struct mm *child = mm_alloc();
	struct mm_op op;
	int err;

	if (!child)
		return -ENOMEM;
	mm_op_begin(&op, caller);
	if (b && !gptr_null(b->tid_addr) && !word_writable(op.m, b->tid_addr.v))
		err = -EFAULT;
	else
		err = fork_locked(&op, b, child, thread);
	mm_op_end(&op);
	if (err) {
		mm_free(child);
		return err;
	}
	kernel->pf_ops->space_get(child->space);
	*out = child;
	return 0;
}

int mm_fork(struct task *caller, struct mm **out, struct pf_thread **thread)
{
	return fork_space(caller, NULL, out, thread);
}

int mm_fork_run(struct task *caller, const struct pf_birth *b, struct mm **out,
		struct pf_thread **thread)
{
	return fork_space(caller, b, out, thread);
}

/* ---- operations ----------------------------------------------------------------------------- */

/* Whether calls may be posted: alone, or where their ranges can be told to be busy. */
static bool may_post(struct mm_op *op)
{
	if (op->m->impl->nvmas >= MM_POST_VMAS)
		return false;
	return !op->shared || (kernel->pf_ops->calls_ran && !atomic_load(&op->m->impl->waiting));
}

void mm_op_begin_range(struct mm_op *op, struct task *t, uint64_t start, uint64_t end)
{
	*op = (struct mm_op){
		.m = t->mm,
		.th = t->pt,
		.t = t,
		.rlim_as = task_rlimit(t, RLIMIT_AS),
		.rlim_data = task_rlimit(t, RLIMIT_DATA),
		.rlim_memlock = task_rlimit(t, RLIMIT_MEMLOCK),
		.rlim_stack = task_rlimit(t, RLIMIT_STACK),
		.may_lock = task_capable(t, CAP_IPC_LOCK),
	};
	mm_op_lock(op, start, end);
	op->shared = ref_count(&op->m->ref) > 1;
	op->post = may_post(op);
}

void mm_op_begin(struct mm_op *op, struct task *t)
{
	mm_op_begin_range(op, t, 0, UINT64_MAX);
}

void mm_op_begin_on(struct mm_op *op, struct mm *m, struct pf_thread *th, struct task *limits)
{
	*op = (struct mm_op){.m = m, .th = th, .post = true};
	op->rlim_as = limits ? task_rlimit(limits, RLIMIT_AS) : RLIM_INFINITY;
	op->rlim_stack = limits ? task_rlimit(limits, RLIMIT_STACK) : RLIM_INFINITY;
	op->rlim_data = op->rlim_memlock = RLIM_INFINITY;
	op->may_lock = true;
}

void mm_op_end(struct mm_op *op)
{
	if (op->t)
		mutex_unlock(&op->m->map_lock);
	vma_free_list(op->dead);
	op->dead = NULL;
}

/* ---- looking at it from outside ------------------------------------------------------------- */

struct vma_snapshot {
	struct vma *v;
	size_t n;
};

static bool snapshot_take(struct mm *m, struct vma_snapshot *s)
{
	AUTO_LOCK(&m->map_lock);

	s->v = calloc(m->impl->nvmas + 1, sizeof(*s->v));
	if (!s->v)
		return false;
	for (struct rb_node *n = rb_first(&m->vmas); n; n = rb_next(n)) {
		struct vma *copy = &s->v[s->n++];

		*copy = *rb_entry(n, struct vma, node);
		if (copy->file)
			file_get(copy->file);
	}
	return true;
}

void mm_each_vma(struct mm *m, bool (*fn)(const struct vma *v, void *ctx), void *ctx)
{
	struct vma_snapshot s = {0};
	bool more = true;

	if (!snapshot_take(m, &s))
		return;
	for (size_t i = 0; i < s.n; i++) {
		more = more && fn(&s.v[i], ctx);
		vma_copy_release(&s.v[i]);
	}
	free(s.v);
}

bool mm_lookup(struct mm *m, uint64_t addr, struct vma *copy)
{
	struct vma *v;

	AUTO_LOCK(&m->map_lock);
	v = vma_find(m, addr);
	if (!v || v->start > addr)
		return false;
	*copy = *v;
	if (copy->file)
		file_get(copy->file);
	return true;
}

void vma_copy_release(struct vma *copy)
{
	if (copy->file)
		file_put(copy->file);
	copy->file = NULL;
}

int mm_range_mapped(struct mm *m, uint64_t addr, uint64_t len)
{
	AUTO_LOCK(&m->map_lock);
	return vma_covers(m, page_down(addr), page_up(addr + len)) ? 0 : -ENOMEM;
}

uint64_t mm_rss_bytes(struct mm *m)
{
	return kernel->pf_ops->space_rss ? kernel->pf_ops->space_rss(m->space) : 0;
}

uint64_t mm_shared_bytes(struct mm *m)
{
	return kernel->pf_ops->space_shared ? kernel->pf_ops->space_shared(m->space) : 0;
}

struct file *mm_exe(struct mm *m)
{
	AUTO_LOCK(&m->map_lock);
	return m->exe ? file_get(m->exe) : NULL;
}

int mm_set_exe(struct mm *m, struct file *f)
{
	int err = inode_deny_write(f->inode);

	if (!err)
		m->exe = file_get(f);
	return err;
}
