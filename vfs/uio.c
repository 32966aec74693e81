#include "vfs/uio.h"

#include <string.h>

enum dir { TO, FROM, ZERO };

/* Moves n bytes between buf and the vector, or clears them. */
static ssize_t kernel_move(struct uio *u, void *buf, size_t n, enum dir dir)
{
	size_t done = 0;

	while (done < n) {
		const struct iovec *v = &u->iov[u->iov_index];
		char *at = (char *)v->iov_base + u->iov_offset;
		size_t part = v->iov_len - u->iov_offset;

		if (part > n - done)
			part = n - done;
		if (dir == TO)
			memcpy(at, (char *)buf + done, part);
		else if (dir == FROM)
			memcpy((char *)buf + done, at, part);
		else
			memset(at, 0, part);
		done += part;
		u->iov_offset += part;
		if (u->iov_offset == v->iov_len) {
			u->iov_index++;
			u->iov_offset = 0;
		}
	}
	u->resid -= done;
	return (ssize_t)done;
}

static ssize_t kernel_to(struct uio *u, const void *src, size_t n)
{
	return kernel_move(u, (void *)src, n, TO);
}

static ssize_t kernel_from(struct uio *u, void *dst, size_t n)
{
	return kernel_move(u, dst, n, FROM);
}

static ssize_t kernel_zero(struct uio *u, size_t n)
{
	return kernel_move(u, NULL, n, ZERO);
}

static void kernel_revert(struct uio *u, size_t n)
{
	u->resid += n;
	while (n > u->iov_offset) {
		n -= u->iov_offset;
		u->iov_offset = u->iov[--u->iov_index].iov_len;
	}
	u->iov_offset -= n;
}

static const struct uio_ops kernel_ops = {
	.to = kernel_to,
	.from = kernel_from,
	.zero = kernel_zero,
	.revert = kernel_revert,
};

void uio_init_iov(struct uio *u, const struct iovec *iov, size_t n)
{
	*u = (struct uio){.ops = &kernel_ops, .iov = iov};
	for (size_t i = 0; i < n; i++)
		u->resid += iov[i].iov_len;
}

void uio_init_buf(struct uio *u, void *buf, size_t n)
{
	*u = (struct uio){.ops = &kernel_ops, .resid = n, .one = {buf, n}};
	u->iov = &u->one;
}

void uio_revert(struct uio *u, size_t n)
{
	if (n)
		u->ops->revert(u, n);
}

ssize_t uio_to(struct uio *u, const void *src, size_t n)
{
	if (n > u->resid)
		n = u->resid;
	return n ? u->ops->to(u, src, n) : 0;
}

void *uio_place(struct uio *u, size_t n)
{
	return u->ops->place ? u->ops->place(u, n) : NULL;
}

void uio_filled(struct uio *u, size_t n)
{
	u->ops->filled(u, n);
}

bool uio_fetch(struct uio *u, const struct uio_source *s, uint64_t off, size_t n)
{
	return uio_may_fetch(u, n) && u->ops->fetch(u, s, off, n);
}

ssize_t uio_from(struct uio *u, void *dst, size_t n)
{
	if (n > u->resid)
		n = u->resid;
	return n ? u->ops->from(u, dst, n) : 0;
}

ssize_t uio_zero(struct uio *u, size_t n)
{
	if (n > u->resid)
		n = u->resid;
	return n ? u->ops->zero(u, n) : 0;
}

ssize_t uio_to_text(struct uio *u, const char *text, size_t len, uint64_t offset)
{
	if (offset >= len)
		return 0;
	return uio_to(u, text + offset, len - offset);
}
