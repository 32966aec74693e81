/* Host mapping calls: at once, or posted on the reply (mm_impl.h says when). */
#include <stdlib.h>

#include "abi/base/log.h"
#include "sentry/kernel/kernel.h"
#include "sentry/kernel/task.h"
#include "sentry/mm/mm_impl.h"

/* Stub filters refuse other flags (DESIGN 4.6). NORESERVE always: overcommit of guest memory is
 * decided by us, and equal flags let the host join mappings. */
#define HOST_ANON (MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE)

/* Takes the host some milliseconds. */
#define POPULATE_PIECE (16UL << 20)

/* A posted call; on failure it stays on the list until someone settles it. */
struct mm_failure {
	struct mm_failure *next;
	struct mm_impl *impl; /* owned while in flight */
	struct pf_call call;
	int64_t result;
	bool busy; /* has an entry (busy.c) */
};

struct mm_impl *mm_impl_new(void)
{
	static _Atomic uint64_t next = 1UL << 32;
	struct mm_impl *impl = calloc(1, sizeof(*impl));

	if (!impl)
		return NULL;
	ref_init(&impl->ref);
	impl->shrunk = atomic_fetch_add(&next, 1UL << 32);
	mutex_init(&impl->fail_lock, LOCK_NONE);
	mutex_init(&impl->kept_lock, LOCK_NONE);
	return impl;
}

void mm_impl_put(struct mm_impl *impl)
{
	if (!impl || !ref_put(&impl->ref))
		return;
	while (impl->failures) {
		struct mm_failure *f = impl->failures;

		impl->failures = f->next;
		free(f);
	}
	busy_free(impl);
	mutex_destroy(&impl->fail_lock);
	mutex_destroy(&impl->kept_lock);
	free(impl);
}

/* The platform reports a posted call, on some thread. */
static void host_call_done(void *ctx, int64_t result)
{
	struct mm_failure *f = ctx;
	struct mm_impl *impl = f->impl;

	atomic_fetch_sub(&impl->posted, 1);
	if (f->busy)
		busy_remove(impl, f);
	f->result = result;
	if (result < 0 && result > -4096 && result != -EINTR) {
		mutex_lock(&impl->fail_lock);
		f->next = impl->failures;
		impl->failures = f;
		atomic_store(&impl->failed, true);
		mutex_unlock(&impl->fail_lock);
	} else {
		free(f);
	}
	mm_impl_put(impl);
}

static bool host_call_post(struct mm_op *op, const struct pf_call *c)
{
	struct mm_impl *impl = op->m->impl;
	struct mm_failure *f = malloc(sizeof(*f));

	if (!f)
		return false;
	*f = (struct mm_failure){.impl = impl, .call = *c, .busy = op->shared};
	if (f->busy && !busy_add(impl, op->th, c->arg[0], c->arg[1], f)) {
		free(f);
		return false;
	}
	f->call.done = host_call_done;
	f->call.ctx = f;
	ref_get(&impl->ref);
	atomic_fetch_add(&impl->posted, 1);
	if (kernel->pf_ops->call_post(op->th, &f->call) == 0)
		return true;
	atomic_fetch_sub(&impl->posted, 1);
	if (f->busy)
		busy_remove(impl, f);
	mm_impl_put(impl);
	free(f);
	return false;
}

/* A call made at once runs what was posted before it, in order: one without effect will do. */
static void flush_posted(struct mm_op *op)
{
	struct pf_call nothing = {.nr = PF_MADVISE, .fd = -1,
				  .arg = {PF_GUEST_MIN, 0, MADV_NORMAL}};

	if (atomic_load(&op->m->impl->posted))
		kernel->pf_ops->call(op->th, &nothing);
}

/* Runs what was posted before, too. */
static int64_t host_call_now(struct mm_op *op, struct pf_call *c)
{
	int64_t r = kernel->pf_ops->call(op->th, c);

	if (r < 0 && r > -4096)
		log_debug("host mapping call %d(%#lx, %#lx, %#lx): %ld", c->nr, c->arg[0],
			  c->arg[1], c->arg[2], (long)r);
	return r;
}

static int64_t host_call(struct mm_op *op, struct pf_call *c)
{
	if (op->post && host_call_post(op, c))
		return c->nr == PF_MMAP ? (int64_t)c->arg[0] : 0;
	return host_call_now(op, c);
}

/* A host mmap must have landed where we said. */
static int check_placed(int64_t r, uint64_t addr)
{
	if (r < 0 && r > -4096)
		return (int)r;
	return (uint64_t)r == addr ? 0 : -ENOMEM;
}

int host_mmap_anon(struct mm_op *op, uint64_t addr, uint64_t len, uint32_t prot)
{
	struct pf_call c = {.nr = PF_MMAP, .fd = -1,
			    .arg = {addr, len, prot, HOST_ANON, (uint64_t)-1, 0}};

	return check_placed(host_call(op, &c), addr);
}

/* The host refuses a file's mapping for what we can't check only where it shall be executed (a host
 * mount with noexec): that must reach the caller, so it is not posted by a running guest until it has worked once. An
 * exec posts all: it looks at the results before it commits. */
int host_mmap_fd(struct mm_op *op, uint64_t addr, uint64_t len, uint32_t prot, bool shared, bool sure, int fd,
		 uint64_t offset)
{
	struct pf_call c = {.nr = PF_MMAP, .fd = fd, .fd_lasts = !op->t,
			    .arg = {addr, len, prot,
				    (shared ? MAP_SHARED : MAP_PRIVATE | MAP_NORESERVE) | MAP_FIXED,
				    0, offset}};

	return check_placed(op->t && (prot & PROT_EXEC) && !sure ? host_call_now(op, &c) :
								   host_call(op, &c),
			    addr);
}

int host_munmap(struct mm_op *op, uint64_t addr, uint64_t len)
{
	struct pf_call c = {.nr = PF_MUNMAP, .fd = -1, .arg = {addr, len}};

	return (int)host_call(op, &c);
}

int host_mprotect(struct mm_op *op, uint64_t addr, uint64_t len, uint32_t prot)
{
	struct pf_call c = {.nr = PF_MPROTECT, .fd = -1, .arg = {addr, len, prot}};

	return (int)host_call(op, &c);
}

int host_madvise(struct mm_op *op, uint64_t addr, uint64_t len, int advice)
{
	struct pf_call c = {.nr = PF_MADVISE, .fd = -1, .arg = {addr, len, (uint64_t)advice}};

	return (int)host_call(op, &c);
}

/* No signal of ours ends a host call that fills memory, and there may be any amount to fill: so who has been killed
 * is asked for after each piece. */
int host_populate_now(struct mm_op *op, uint64_t addr, uint64_t len, int advice)
{
	int64_t r = 0;

	for (uint64_t done = 0, n; done < len && r == 0; done += n) {
		struct pf_call c = {.nr = PF_MADVISE, .fd = -1};

		n = len - done < POPULATE_PIECE ? len - done : POPULATE_PIECE;
		c.arg[0] = addr + done;
		c.arg[1] = n;
		c.arg[2] = (uint64_t)advice;
		r = task_killed() ? -EINTR : host_call_now(op, &c);
	}
	return (int)r;
}

void host_populate(struct mm_op *op, uint64_t addr, uint64_t len, bool write)
{
	/* MADV_POPULATE_WRITE and _READ of Linux 5.14; without them the pages come when touched. */
	struct pf_call c = {.nr = PF_MADVISE, .fd = -1, .arg = {addr, len, write ? 23 : 22}};

	if (!op->post || len > POPULATE_PIECE || kernel->pf_ops->call_post(op->th, &c))
		host_populate_now(op, addr, len, (int)c.arg[2]);
}

/* The host refuses (EFAULT) a range of several of its mappings, and it may have more of them than
 * our tree shows (it joins fewer): then the halves are moved one by one. */
int host_mremap_move(struct mm_op *op, uint64_t old, uint64_t old_len, uint64_t new_len,
		     uint64_t addr, bool dontunmap)
{
	int flags = MREMAP_MAYMOVE | MREMAP_FIXED | (dontunmap ? MREMAP_DONTUNMAP : 0);
	struct pf_call c = {.nr = PF_MREMAP, .fd = -1,
			    .arg = {old, old_len, new_len, (uint64_t)flags, addr}};
	int err = check_placed(host_call_now(op, &c), addr);
	uint64_t half = page_down(old_len / 2);

	if (err != -EFAULT || half == 0)
		return err;
	err = host_mremap_move(op, old, half, half, addr, dontunmap);
	if (err)
		return err;
	return host_mremap_move(op, old + half, old_len - half, new_len - half, addr + half,
				dontunmap);
}

/* ---- what to do about posted calls that failed --------------------------------------------- */

/* They failed for want of host memory, which may be there by now: try again, without touching what
 * has been mapped there since. An mmap that still doesn't happen leaves the tree: the guest sees a fault. */
static void settle_one(struct mm_op *op, struct mm_failure *f)
{
	uint64_t start = f->call.arg[0], end = start + page_up(f->call.arg[1]);
	int64_t r = f->result;

	if (f->call.nr == PF_MUNMAP ? vma_mapped_bytes(op->m, start, end) : !vma_covers(op->m, start, end))
		return;
	if (f->call.nr == PF_MMAP)
		f->call.arg[3] = (f->call.arg[3] & ~(uint64_t)MAP_FIXED) | MAP_FIXED_NOREPLACE;
	/* A descriptor may be closed by now, or be another file's. */
	if (f->call.fd < 0)
		r = host_call_now(op, &f->call);
	if (r >= 0 || r == -EEXIST)
		return;
	log_warn("host refused mapping call %d at %#lx, %lu bytes: %ld", f->call.nr, start,
		 end - start, (long)r);
	if (f->call.nr == PF_MMAP && vma_split_range(op->m, start, end) == 0)
		vma_remove_range(op, start, end);
}

static struct mm_failure *take_failures(struct mm_impl *impl)
{
	struct mm_failure *list;

	mutex_lock(&impl->fail_lock);
	list = impl->failures;
	impl->failures = NULL;
	atomic_store(&impl->failed, false);
	mutex_unlock(&impl->fail_lock);
	return list;
}

static void settle_failures(struct mm_op *op)
{
	struct mm_failure *f = take_failures(op->m->impl);

	while (f) {
		struct mm_failure *next = f->next;

		settle_one(op, f);
		free(f);
		f = next;
	}
}

int mm_op_flush(struct mm_op *op)
{
	struct mm_failure *f;
	int err = 0;

	flush_posted(op);
	if (!atomic_load(&op->m->impl->failed))
		return 0;
	f = take_failures(op->m->impl);
	while (f) {
		struct mm_failure *next = f->next;

		err = (int)f->result;
		free(f);
		f = next;
	}
	return err;
}

void mm_op_lock(struct mm_op *op, uint64_t start, uint64_t end)
{
	busy_lock(op, start, end);
	if (atomic_load(&op->m->impl->failed))
		settle_failures(op);
}
