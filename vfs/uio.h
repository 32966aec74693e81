/* Where the bytes of a read or write come from or go to: a cursor over guest memory or over the
 * sentry's own buffers. File systems only see these functions. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

/* Below, it costs more than it saves. */
#define UIO_FETCH_MIN 16384

struct uio;

/* A regular file of the host, and what is known of it elsewhere under `*id`: a number that is never another
 * file's, 0 until somebody gives it one. fd is read-only, and borrowed for the call. */
struct uio_source {
	int fd;
	_Atomic uint64_t *id;
};

struct uio_ops {
	/* Move n bytes (n <= u->resid) at the cursor and advance it by what was moved. The number
	 * of bytes moved (less than n only if the rest is inaccessible), or -EFAULT if none. */
	ssize_t (*to)(struct uio *u, const void *src, size_t n);   /* into the caller's memory */
	ssize_t (*from)(struct uio *u, void *dst, size_t n);       /* out of the caller's memory */
	ssize_t (*zero)(struct uio *u, size_t n);
	/* See uio_place() and uio_filled(). NULL: there never is a place. */
	void *(*place)(struct uio *u, size_t n);
	void (*filled)(struct uio *u, size_t n);
	/* See uio_fetch(). NULL: it never does. */
	bool (*fetch)(struct uio *u, const struct uio_source *s, uint64_t off, size_t n);
	/* Moves the cursor back over the n bytes moved last. */
	void (*revert)(struct uio *u, size_t n);
};

struct uio {
	const struct uio_ops *ops;
	size_t resid; /* bytes left */
	/* for uio_kernel */
	const struct iovec *iov;
	size_t iov_index, iov_offset;
	struct iovec one;
	/* for others (guest memory: sentry/mm/usercopy.h) */
	void *owner;
	const void *vec;
	size_t vec_count;
};

/* A uio over the sentry's own memory; borrowed, must outlive the uio. */
void uio_init_buf(struct uio *u, void *buf, size_t n);
void uio_init_iov(struct uio *u, const struct iovec *iov, size_t n);

/* As the ops; n is clipped to resid. */
ssize_t uio_to(struct uio *u, const void *src, size_t n);
ssize_t uio_from(struct uio *u, void *dst, size_t n);
ssize_t uio_zero(struct uio *u, size_t n);
/* Memory for the next n bytes (n <= resid, not 0), to be filled instead of copying them with uio_to():
 * uio_filled() then says how many came, 0 too. Nothing else may be done with u in between. NULL: use
 * uio_to(). */
void *uio_place(struct uio *u, size_t n);
void uio_filled(struct uio *u, size_t n);
/* Whether it is worth asking for n bytes at once. */
static inline bool uio_may_fetch(const struct uio *u, size_t n)
{
	return u->ops->fetch && n >= UIO_FETCH_MIN;
}
/* The reader will get the next n bytes (n <= resid), at `off` of the file, by itself, and they count as
 * moved. The caller knows that the file has them; should they be gone by then, the whole call is
 * made again. False: they must be moved in another way. */
bool uio_fetch(struct uio *u, const struct uio_source *s, uint64_t off, size_t n);
/* Takes back the last n bytes moved: for what a sink did not accept in the end. */
void uio_revert(struct uio *u, size_t n);
/* Serves a read at `offset` of a whole text of `len` bytes: the usual proc file. */
ssize_t uio_to_text(struct uio *u, const char *text, size_t len, uint64_t offset);
