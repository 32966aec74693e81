/* Copies between the sentry and guest memory. Each goes through the platform, which knows the
 * fastest way; what it can't reach is repaired where the guest's own access would be (fault.c) and tried
 * again. */
#include "sentry/mm/usercopy.h"

#include <string.h>

#include "sentry/kernel/kernel.h"
#include "sentry/kernel/ptrace.h"
#include "sentry/kernel/task.h"
#include "sentry/mm/fetch.h"
#include "sentry/mm/late.h"
#include "sentry/mm/mm_impl.h"

static bool range_is_guest(uint64_t addr, size_t n)
{
	return addr < PF_GUEST_MAX && n <= PF_GUEST_MAX - addr;
}

/* The part of [addr, addr+n) below the end of guest memory. */
static size_t clip(uint64_t addr, size_t n)
{
	if (addr >= PF_GUEST_MAX)
		return 0;
	return n < PF_GUEST_MAX - addr ? n : PF_GUEST_MAX - addr;
}

/* One loop for both directions. t may be NULL: nothing is repaired then. */
static ssize_t copy_loop(struct mm *m, struct task *t, uint64_t addr, void *in, const void *out,
			 size_t n)
{
	size_t done = 0;
	ssize_t r = 0;

	n = clip(addr, n);
	while (done < n) {
		struct gptr at = gptr(addr + done);

		if (in)
			r = kernel->pf_ops->read(m->space, (char *)in + done, at, n - done);
		else
			r = kernel->pf_ops->write(m->space, at, (const char *)out + done, n - done);
		if (r > 0) {
			done += (size_t)r;
			continue;
		}
		if (r != 0 && r != -EFAULT)
			break;
		if (mm_fault_in(m, t, addr + done, !in))
			break;
	}
	return done ? (ssize_t)done : -EFAULT;
}

ssize_t copy_from_guest_partial(struct task *t, void *dst, struct gptr src, size_t n)
{
	return n ? copy_loop(t->mm, t, src.v, dst, NULL, n) : 0;
}

ssize_t copy_to_guest_partial(struct task *t, struct gptr dst, const void *src, size_t n)
{
	if (n == 0)
		return 0;
	return late_write(t, dst, src, n) ? (ssize_t)n : copy_loop(t->mm, t, dst.v, NULL, src, n);
}

int copy_from_guest(struct task *t, void *dst, struct gptr src, size_t n)
{
	if (n == 0)
		return 0;
	if (!range_is_guest(src.v, n))
		return -EFAULT;
	return copy_loop(t->mm, t, src.v, dst, NULL, n) == (ssize_t)n ? 0 : -EFAULT;
}

int copy_to_guest(struct task *t, struct gptr dst, const void *src, size_t n)
{
	if (n == 0)
		return 0;
	if (!range_is_guest(dst.v, n))
		return -EFAULT;
	if (late_write(t, dst, src, n))
		return 0;
	return copy_loop(t->mm, t, dst.v, NULL, src, n) == (ssize_t)n ? 0 : -EFAULT;
}

static ssize_t zero_guest_partial(struct task *t, struct gptr dst, size_t n)
{
	static const char zeros[65536];
	size_t done = 0;

	while (done < n) {
		size_t part = n - done < sizeof(zeros) ? n - done : sizeof(zeros);
		ssize_t r = part;

		if (done && task_killed())
			return (ssize_t)done;
		if (!late_zero(t, gptr_add(dst, done), part))
			r = copy_loop(t->mm, t, dst.v + done, NULL, zeros, part);
		if (r > 0)
			done += (size_t)r;
		if (r < (ssize_t)part)
			return done ? (ssize_t)done : -EFAULT;
	}
	return (ssize_t)done;
}

int zero_guest(struct task *t, struct gptr dst, size_t n)
{
	if (n && !range_is_guest(dst.v, n))
		return -EFAULT;
	return zero_guest_partial(t, dst, n) == (ssize_t)n ? 0 : -EFAULT;
}

/* Strings are short, mostly: the first look is small, and none goes beyond the page, where nothing may be. The stub
 * copies ahead accordingly. */
#define STRING_FIRST 256

ssize_t copy_string_from_guest(struct task *t, char *dst, struct gptr src, size_t size)
{
	size_t done = 0;

	while (done < size) {
		size_t part = GUEST_PAGE_SIZE - (src.v + done) % GUEST_PAGE_SIZE;
		const char *nul;
		ssize_t r;

		if (done < STRING_FIRST && part > STRING_FIRST - done)
			part = STRING_FIRST - done;
		if (part > size - done)
			part = size - done;
		r = copy_from_guest_partial(t, dst + done, gptr_add(src, done), part);
		if (r < 0)
			return r;
		nul = memchr(dst + done, 0, (size_t)r);
		if (nul)
			return nul - dst;
		done += (size_t)r;
	}
	return -ENAMETOOLONG;
}

int copy_path_from_guest(struct task *t, char buf[4096], struct gptr src)
{
	ssize_t r = copy_string_from_guest(t, buf, src, 4096);

	return r < 0 ? (int)r : 0;
}

int get_guest_u32(struct task *t, uint32_t *out, struct gptr src)
{
	return copy_from_guest(t, out, src, sizeof(*out));
}

int put_guest_u32(struct task *t, struct gptr dst, uint32_t v)
{
	return copy_to_guest(t, dst, &v, sizeof(v));
}

int get_guest_u64(struct task *t, uint64_t *out, struct gptr src)
{
	return copy_from_guest(t, out, src, sizeof(*out));
}

int put_guest_u64(struct task *t, struct gptr dst, uint64_t v)
{
	return copy_to_guest(t, dst, &v, sizeof(v));
}

/* ---- other address spaces --------------------------------------------------------------------- */

ssize_t mm_read(struct mm *mm, void *dst, struct gptr src, size_t n)
{
	return n ? copy_loop(mm, current_task, src.v, dst, NULL, n) : 0;
}

ssize_t mm_write(struct mm *mm, struct gptr dst, const void *src, size_t n)
{
	return n ? copy_loop(mm, current_task, dst.v, NULL, src, n) : 0;
}

/* Read-only private pages are opened for the moment of the write. */
static ssize_t write_protected_page(struct task *t, uint64_t addr, const void *src, size_t n)
{
	struct vma *v;
	ssize_t r;
	size_t part = GUEST_PAGE_SIZE - (addr & ~GUEST_PAGE_MASK);

	AUTO(mm_op) struct mm_op op;
	mm_op_begin(&op, t);
	op.post = false;
	v = vma_find(op.m, addr);
	if (!v || v->start > addr || !(v->flags & MAP_PRIVATE))
		return -EFAULT;
	if (n < part)
		part = n;
	if (host_mprotect(&op, page_down(addr), GUEST_PAGE_SIZE, PROT_READ | PROT_WRITE))
		return -EFAULT;
	r = kernel->pf_ops->write(op.m->space, gptr(addr), src, part);
	if (v->file)
		vma_set_vm_flags(op.m, v, v->vm_flags | VMA_WRITTEN);
	host_mprotect(&op, page_down(addr), GUEST_PAGE_SIZE, v->prot);
	return r > 0 ? r : -EFAULT;
}

/* stopped: a task of mm whose stub thread we may use, or NULL. */
static ssize_t write_force(struct mm *mm, struct task *stopped, struct gptr dst, const void *src,
			   size_t n)
{
	size_t done = 0;

	while (done < n) {
		const char *from = (const char *)src + done;
		ssize_t r = mm_write(mm, gptr_add(dst, done), from, n - done);

		if (r <= 0 && stopped && range_is_guest(dst.v + done, n - done))
			r = write_protected_page(stopped, dst.v + done, from, n - done);
		if (r <= 0)
			break;
		done += (size_t)r;
	}
	return done || !n ? (ssize_t)done : -EFAULT;
}

ssize_t mm_write_force(struct mm *mm, struct gptr dst, const void *src, size_t n)
{
	struct task *t = current_task;
	ssize_t r = write_force(mm, t && t->mm == mm ? t : NULL, dst, src, n);

	/* A tracer's: the stopped tracee does it. */
	if (r < 0 && t && t->mm != mm && range_is_guest(dst.v, n))
		r = ptrace_write_through(t, mm, dst, src, n);
	return r;
}

ssize_t copy_to_stopped_force(struct task *t, struct gptr dst, const void *src, size_t n)
{
	return write_force(t->mm, t, dst, src, n);
}

/* ---- uio over guest memory --------------------------------------------------------------------- */

static struct guest_uio *guest_uio_of(struct uio *u)
{
	return container_of(u, struct guest_uio, u);
}

/* Files move much in pieces of some such size: who has been killed meanwhile ends between two of them. */
#define KILLED_LOOK 65536

/* Moves n bytes at the cursor, piece by piece: into the guest (src; NULL: zeros), or out of it (dst). */
static ssize_t guest_uio_move(struct uio *u, void *dst, const void *src, size_t n)
{
	struct guest_uio *g = guest_uio_of(u);
	size_t done = 0;

	if (n > u->resid)
		n = u->resid;
	if (n > KILLED_LOOK && task_killed())
		return -EFAULT;
	while (done < n) {
		const struct guest_iov *v = &g->iov[g->index];
		struct gptr at = gptr_add(v->base, g->offset);
		size_t part = v->len - g->offset < n - done ? v->len - g->offset : n - done;
		ssize_t r = 0;

		if (part && dst)
			r = copy_from_guest_partial(g->t, (char *)dst + done, at, part);
		else if (part && src)
			r = copy_to_guest_partial(g->t, at, (const char *)src + done, part);
		else if (part)
			r = zero_guest_partial(g->t, at, part);
		if (r > 0) {
			done += (size_t)r;
			g->offset += (size_t)r;
			u->resid -= (size_t)r;
		}
		if (r < (ssize_t)part)
			return done ? (ssize_t)done : -EFAULT;
		if (g->offset == v->len) {
			g->index++;
			g->offset = 0;
		}
	}
	return (ssize_t)done;
}

static ssize_t guest_uio_to(struct uio *u, const void *src, size_t n)
{
	return guest_uio_move(u, NULL, src, n);
}

static ssize_t guest_uio_from(struct uio *u, void *dst, size_t n)
{
	return guest_uio_move(u, dst, NULL, n);
}

static ssize_t guest_uio_zero(struct uio *u, size_t n)
{
	return guest_uio_move(u, NULL, NULL, n);
}

static void guest_uio_revert(struct uio *u, size_t n)
{
	struct guest_uio *g = guest_uio_of(u);

	u->resid += n;
	while (n > g->offset) {
		n -= g->offset;
		g->offset = g->iov[--g->index].len;
	}
	g->offset -= n;
}

static void *guest_uio_place(struct uio *u, size_t n)
{
	struct guest_uio *g = guest_uio_of(u);
	const struct guest_iov *v = &g->iov[g->index];

	if (n > v->len - g->offset)
		return NULL;
	return late_buffer(g->t, gptr_add(v->base, g->offset), n);
}

static void guest_uio_advance(struct guest_uio *g, size_t n)
{
	g->u.resid -= n;
	g->offset += n;
	if (g->offset == g->iov[g->index].len) {
		g->index++;
		g->offset = 0;
	}
}

static void guest_uio_filled(struct uio *u, size_t n)
{
	struct guest_uio *g = guest_uio_of(u);

	late_commit(g->t, gptr_add(g->iov[g->index].base, g->offset), n);
	guest_uio_advance(g, n);
}

static bool guest_uio_fetch(struct uio *u, const struct uio_source *s, uint64_t off, size_t n)
{
	struct guest_uio *g = guest_uio_of(u);
	const struct guest_iov *v = &g->iov[g->index];

	if (n > v->len - g->offset ||
	    !fetch_begin(g->t, gptr_add(v->base, g->offset), n, s, off))
		return false;
	guest_uio_advance(g, n);
	return true;
}

static const struct uio_ops guest_uio_ops = {
	.to = guest_uio_to,
	.from = guest_uio_from,
	.zero = guest_uio_zero,
	.place = guest_uio_place,
	.filled = guest_uio_filled,
	.fetch = guest_uio_fetch,
	.revert = guest_uio_revert,
};

#define GUEST_IOV_MAX 1024
#define GUEST_RW_MAX 0x7ffff000UL

static void guest_uio_prepare(struct guest_uio *g, struct task *t)
{
	memset(&g->u, 0, sizeof(g->u));
	g->u.ops = &guest_uio_ops;
	g->t = t;
	g->iov = g->small;
	g->n = g->index = 0;
	g->offset = 0;
}

int guest_uio_init(struct guest_uio *g, struct task *t, struct gptr buf, uint64_t len)
{
	guest_uio_prepare(g, t);
	/* access_ok(): an address that can't be the guest's is refused before anything moves. */
	if (buf.v > PF_GUEST_MAX || len > PF_GUEST_MAX - buf.v)
		return -EFAULT;
	if (len > GUEST_RW_MAX)
		len = GUEST_RW_MAX;
	g->small[0] = (struct guest_iov){buf, len};
	g->n = 1;
	g->u.resid = len;
	return 0;
}

/* Checks the copied vector and clips its total. */
static int guest_uio_check(struct guest_uio *g)
{
	size_t total = 0;

	for (size_t i = 0; i < g->n; i++) {
		struct guest_iov *v = &g->iov[i];

		if ((int64_t)v->len < 0)
			return -EINVAL;
		if (v->base.v > PF_GUEST_MAX || v->len > PF_GUEST_MAX - v->base.v)
			return -EFAULT;
		if (v->len > GUEST_RW_MAX - total)
			v->len = GUEST_RW_MAX - total;
		total += v->len;
	}
	g->u.resid = total;
	return 0;
}

int guest_uio_init_iov(struct guest_uio *g, struct task *t, struct gptr iov, uint64_t count)
{
	int err;

	guest_uio_prepare(g, t);
	if (count > GUEST_IOV_MAX)
		return -EINVAL;
	if (count > sizeof(g->small) / sizeof(g->small[0])) {
		g->iov = malloc(count * sizeof(*g->iov));
		if (!g->iov) {
			g->iov = g->small;
			return -ENOMEM;
		}
	}
	g->n = count;
	err = copy_from_guest(t, g->iov, iov, count * sizeof(*g->iov));
	if (!err)
		err = guest_uio_check(g);
	if (err)
		guest_uio_fini(g);
	return err;
}

void guest_uio_fini(struct guest_uio *g)
{
	if (g->iov != g->small)
		free(g->iov);
	g->iov = g->small;
	g->n = 0;
}
