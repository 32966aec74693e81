/* Large reads of host files, done by the guest's own stub.
 *
 *	sentry                                         stub
 *	read(fd, buf, n): clamps n to the file's size,
 *	moves the position, posts the read ---------> pread(kept, buf, n, off): n bytes
 *	                                              back to the guest, whose result is n
 *
 * The data moves once, from the host's page cache to the guest, on the CPU that wants it: it costs what it
 * costs natively. For that the stub keeps a descriptor of the file: a read-only one, of a regular file
 * that this process has read several times in large pieces and still has open. A guest that finds the
 * descriptor can do with it what it could do before: read the file, and map it for reading. A process
 * keeps few of them; each goes when the process closes any descriptor of the file, and all of
 * them with exec; a forked stub has none.
 *
 * What may go wrong (the file was cut off in between, memory was taken away, a disk failed) is seen before
 * the guest runs: the position is moved back and the call made again, in the ordinary way. The same
 * happens before a signal is delivered, if it comes to that.
 *
 * Only while one task uses the address space: the number of a descriptor that another thread
 * closes could mean another file by the time that it is read. */
#include "sentry/mm/fetch.h"

#include <stdlib.h>

#include "sentry/kernel/fdtable.h"
#include "sentry/kernel/kernel.h"
#include "sentry/kernel/task.h"
#include "sentry/mm/late.h"
#include "sentry/mm/mm_impl.h"
#include "vfs/file.h"
#include "vfs/uio.h"

/* A signal waits for the end of it. */
#define FETCH_MAX (8UL << 20)
/* To pass a descriptor costs about as much as this many large reads save. */
#define KEEP_AFTER 3

void fetch_allow(struct task *t, const struct file *f, bool at_position)
{
	bool refused = t->fetch.refused;

	t->fetch = (struct task_fetch){.file = f, .at_position = at_position, .allowed = !refused};
}

static uint64_t source_id(const struct uio_source *s)
{
	static _Atomic uint64_t last;
	uint64_t id = atomic_load_explicit(s->id, memory_order_relaxed), none = 0;

	if (id)
		return id;
	id = atomic_fetch_add(&last, 1) + 1;
	return atomic_compare_exchange_strong(s->id, &none, id) ? id : none;
}

/* ---- what the stub keeps ----------------------------------------------------------------------- */

/* On its way to the stub. */
struct keeping {
	struct mm_impl *impl;
	uint64_t id;
};

static struct mm_kept *kept_find_locked(struct mm_impl *impl, uint64_t id)
{
	for (unsigned i = 0; i < MM_KEPT; i++)
		if (impl->kept[i].id == id)
			return &impl->kept[i];
	return NULL;
}

static void kept_clear_locked(struct mm_impl *impl, struct mm_kept *k)
{
	*k = (struct mm_kept){0};
	atomic_fetch_sub(&impl->nkept, 1);
}

static void keep_done(void *ctx, int64_t number)
{
	struct keeping *c = ctx;
	struct mm_kept *k;

	mutex_lock(&c->impl->kept_lock);
	k = kept_find_locked(c->impl, c->id);
	if (k && number > 0)
		k->number = number;
	else if (k)
		kept_clear_locked(c->impl, k);
	mutex_unlock(&c->impl->kept_lock);
	mm_impl_put(c->impl);
	free(c);
}

static void stub_close(struct task *t, int64_t number)
{
	struct pf_call c = {.nr = PF_DROP, .fd = -1, .arg = {(uint64_t)number}};

	if (kernel->pf_ops->call_post(t->pt, &c))
		kernel->pf_ops->call(t->pt, &c);
}

/* A place for one more: its descriptor in the stub that must go, 0: none. -1: no place. */
static int64_t kept_reserve(struct mm_impl *impl, uint64_t id, const struct inode *inode)
{
	struct mm_kept *k = &impl->kept[0];
	int64_t old;

	AUTO_LOCK(&impl->kept_lock);
	for (unsigned i = 1; i < MM_KEPT; i++)
		if (impl->kept[i].used < k->used)
			k = &impl->kept[i];
	if (k->id && !k->number)
		return -1;
	old = k->number;
	if (!k->id)
		atomic_fetch_add(&impl->nkept, 1);
	*k = (struct mm_kept){.id = id, .inode = inode, .used = ++impl->kept_clock};
	return old;
}

static void keep(struct task *t, uint64_t id, int fd)
{
	struct mm_impl *impl = t->mm->impl;
	struct keeping *ctx = malloc(sizeof(*ctx));
	struct pf_call c = {.nr = PF_KEEP, .fd = fd, .done = keep_done, .ctx = ctx};
	int64_t old = ctx ? kept_reserve(impl, id, t->fetch.file->inode) : -1;

	if (old < 0) {
		free(ctx);
		return;
	}
	if (old)
		stub_close(t, old);
	*ctx = (struct keeping){impl, id};
	ref_get(&impl->ref);
	if (kernel->pf_ops->call_post(t->pt, &c))
		keep_done(ctx, -1);
}

/* The number in the stub, or 0. */
static int64_t kept_number(struct mm_impl *impl, uint64_t id)
{
	struct mm_kept *k;

	AUTO_LOCK(&impl->kept_lock);
	k = kept_find_locked(impl, id);
	if (!k)
		return 0;
	k->used = ++impl->kept_clock;
	return k->number;
}

/* Takes out one that is inode's: its number, or 0. */
static int64_t kept_take(struct mm_impl *impl, const struct inode *inode)
{
	AUTO_LOCK(&impl->kept_lock);
	for (unsigned i = 0; i < MM_KEPT; i++) {
		struct mm_kept *k = &impl->kept[i];
		int64_t number = k->number;

		if (k->inode != inode)
			continue;
		if (number) {
			kept_clear_locked(impl, k);
			return number;
		}
		/* Still on its way, by another thread: nobody finds it, and it is the next to go. */
		k->inode = NULL;
		k->used = 0;
	}
	return 0;
}

void fetch_forget(const struct inode *inode)
{
	struct task *t = current_task;
	int64_t number;

	if (!t || !t->mm || t->exiting || !t->pt ||
	    !atomic_load_explicit(&t->mm->impl->nkept, memory_order_relaxed))
		return;
	while ((number = kept_take(t->mm->impl, inode)))
		stub_close(t, number);
}

/* ---- reads ------------------------------------------------------------------------------------- */

/* Often enough in a row? */
static bool deserves_keeping(struct mm_impl *impl, uint64_t id)
{
	if (impl->read_id != id) {
		impl->read_id = id;
		impl->read_times = 0;
	}
	if (++impl->read_times < KEEP_AFTER)
		return false;
	impl->read_times = 0;
	return true;
}

bool fetch_begin(struct task *t, struct gptr dst, size_t n, const struct uio_source *s, uint64_t off)
{
	const struct pf_ops *ops = kernel->pf_ops;
	int64_t number;
	uint64_t id;

	if (!t->fetch.allowed || n > FETCH_MAX || !ops->late_fetch || ref_count(&t->mm->ref) > 1)
		return false;
	id = source_id(s);
	number = kept_number(t->mm->impl, id);
	if (!number) {
		if (deserves_keeping(t->mm->impl, id))
			keep(t, id, s->fd);
		return false;
	}
	if (!late_allowed(t, dst, n) || !ops->late_fetch(t->pt, number, dst, n, off))
		return false;
	t->fetch.off = off;
	t->fetch.end = off + n;
	t->fetch.active = true;
	return true;
}

/* Unless another process has read from there since. */
static void position_back(struct task *t)
{
	struct file *f;

	if (!t->fetch.at_position || fdtable_get(t->files, (int)t->sys_args[0], &f) < 0)
		return;
	mutex_lock(&f->pos_lock);
	if (f == t->fetch.file && f->pos == t->fetch.end)
		f->pos = t->fetch.off;
	mutex_unlock(&f->pos_lock);
	file_put(f);
}

void fetch_undo(struct task *t)
{
	kernel->pf_ops->late_drop(t->pt);
	position_back(t);
	t->fetch.active = false;
	t->fetch.refused = true;
}

bool fetch_settle(struct task *t)
{
	struct gptr fault;

	t->fetch.active = false;
	if (kernel->pf_ops->late_flush(t->pt, &fault) == 0)
		return true;
	fetch_undo(t);
	return false;
}
