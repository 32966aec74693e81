/* Moving bytes through host descriptors that may block and that other processes share.
 *
 * O_NONBLOCK belongs to the open file description, which the user's shell has too, so it stays as
 * it is. Pipes and terminals are opened a second time where that works, which gives us a description of
 * our own. Else: ask poll first, then read or write with RWF_NOWAIT, or MSG_DONTWAIT for sockets; where
 * the host knows neither, a plain call right after poll said yes, in pieces that fit then. It can
 * only block if someone else takes the bytes in between.
 *
 * A seekable descriptor's offset is shared too, with the user's shell and its other programs, and often
 * with another descriptor of the guest: `sentry exec a >log 2>&1`. So the position of a file that was handed
 * in is the host's, and only that. One that the guest opens again (/dev/stdout) has a position of its own. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "abi/base/cleanup.h"
#include "sentry/fs/hostfile_impl.h"
#include "vfs/file.h"
#include "vfs/uio.h"

#define SMALL 2048
#define LARGE (64UL << 10)
#define TTY_PIECE 256

int host_reopen_nonblock(int fd, int access)
{
	char path[32];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return open(path, access | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
}

static bool ready(int fd, short events)
{
	struct pollfd p = {.fd = fd, .events = events};

	return poll(&p, 1, 0) == 1;
}

/* Small things on the stack, S threads have little of it. */
static char *buffer(size_t want, char small[SMALL], char **owned, size_t *cap)
{
	*cap = SMALL;
	if (want <= SMALL)
		return small;
	*owned = malloc(want < LARGE ? want : LARGE);
	if (!*owned)
		return small;
	*cap = want < LARGE ? want : LARGE;
	return *owned;
}

static ssize_t result(ssize_t r)
{
	if (r >= 0)
		return r;
	return errno == EWOULDBLOCK ? -EAGAIN : -errno;
}

static ssize_t read_now(struct host_inode *hi, char *buf, size_t n)
{
	struct iovec iov = {buf, n};
	ssize_t r;

	if (hi->nonblock)
		return result(read(hi->fd, buf, n));
	if (hi->socket)
		return result(recv(hi->fd, buf, n, MSG_DONTWAIT));
	if (!ready(hi->fd, POLLIN))
		return -EAGAIN;
	r = preadv2(hi->fd, &iov, 1, -1, RWF_NOWAIT);
	if (r < 0 && (errno == EOPNOTSUPP || errno == EINVAL || errno == ENOSYS))
		r = read(hi->fd, buf, n);
	return result(r);
}

static ssize_t write_now(struct host_inode *hi, char *buf, size_t n)
{
	struct iovec iov = {buf, n};
	ssize_t r;

	if (hi->nonblock)
		return result(write(hi->fd, buf, n));
	if (hi->socket)
		return result(send(hi->fd, buf, n, MSG_DONTWAIT | MSG_NOSIGNAL));
	if (!ready(hi->fd, POLLOUT))
		return -EAGAIN;
	r = pwritev2(hi->fd, &iov, 1, -1, RWF_NOWAIT);
	if (r < 0 && (errno == EOPNOTSUPP || errno == EINVAL || errno == ENOSYS)) {
		size_t piece = hi->tty ? TTY_PIECE : PIPE_BUF;

		r = write(hi->fd, buf, n < piece ? n : piece);
	}
	return result(r);
}

ssize_t host_stream_read(struct host_inode *hi, struct uio *dst)
{
	AUTO(free) char *owned = NULL;
	char small[SMALL], *buf;
	size_t cap;
	ssize_t r;

	buf = buffer(dst->resid, small, &owned, &cap);
	do {
		r = read_now(hi, buf, dst->resid < cap ? dst->resid : cap);
	} while (r == -EINTR);
	return r > 0 ? uio_to(dst, buf, (size_t)r) : r;
}

ssize_t host_stream_write(struct host_inode *hi, struct uio *src)
{
	AUTO(free) char *owned = NULL;
	char small[SMALL], *buf;
	size_t cap, done = 0;
	ssize_t n, r;

	if (!ready(hi->fd, POLLOUT))
		return -EAGAIN;
	buf = buffer(src->resid, small, &owned, &cap);
	while (src->resid) {
		size_t sent = 0;

		n = uio_from(src, buf, src->resid < cap ? src->resid : cap);
		if (n <= 0)
			return done ? (ssize_t)done : n;
		while (sent < (size_t)n) {
			r = write_now(hi, buf + sent, (size_t)n - sent);
			if (r == -EINTR)
				continue;
			if (r <= 0)
				break;
			sent += (size_t)r;
		}
		done += sent;
		if (sent < (size_t)n) {
			uio_revert(src, (size_t)n - sent);
			return done ? (ssize_t)done : r;
		}
	}
	return (ssize_t)done;
}

/* ---- seekable ------------------------------------------------------------------------------ */

static ssize_t read_at(int fd, char *buf, size_t n, uint64_t off, size_t done)
{
	ssize_t r;

	do {
		r = off == FILE_HERE ? read(fd, buf, n) : pread(fd, buf, n, (off_t)(off + done));
	} while (r < 0 && errno == EINTR);
	return r < 0 ? -errno : r;
}

ssize_t host_seekable_read(struct host_inode *hi, struct uio *dst, uint64_t off)
{
	AUTO(free) char *owned = NULL;
	char small[SMALL], *buf;
	size_t cap, done = 0;

	buf = buffer(dst->resid, small, &owned, &cap);
	while (dst->resid) {
		size_t want = dst->resid < cap ? dst->resid : cap;
		ssize_t got = read_at(hi->fd, buf, want, off, done), r;

		if (got < 0)
			return done ? (ssize_t)done : got;
		if (got == 0)
			break;
		r = uio_to(dst, buf, (size_t)got);
		if (off == FILE_HERE && r < got) /* the guest has not got them */
			lseek(hi->fd, (r < 0 ? 0 : r) - got, SEEK_CUR);
		if (r < 0)
			return done ? (ssize_t)done : r;
		done += (size_t)r;
		if ((size_t)r < want)
			break;
	}
	return (ssize_t)done;
}

/* outside: an append moves the host's offset. */
static ssize_t write_at(int fd, const char *buf, size_t n, uint64_t off, bool outside, size_t done)
{
	struct iovec iov = {(char *)buf, n};
	ssize_t r;

	do {
		if (off == UINT64_MAX)
			r = pwritev2(fd, &iov, 1, outside ? -1 : 0, RWF_APPEND);
		else if (off == FILE_HERE)
			r = write(fd, buf, n);
		else
			r = pwrite(fd, buf, n, (off_t)(off + done));
	} while (r < 0 && errno == EINTR);
	return r < 0 ? -errno : r;
}

static uint64_t append_end(const struct host_inode *hi)
{
	struct stat st;

	return fstat(hi->fd, &st) == 0 ? (uint64_t)st.st_size : 0;
}

ssize_t host_seekable_write(struct host_inode *hi, struct uio *src, uint64_t off, bool outside,
			    uint64_t *end)
{
	AUTO(free) char *owned = NULL;
	char small[SMALL], *buf;
	size_t cap, done = 0;

	buf = buffer(src->resid, small, &owned, &cap);
	while (src->resid) {
		ssize_t n = uio_from(src, buf, src->resid < cap ? src->resid : cap), r;

		if (n <= 0)
			return done ? (ssize_t)done : n;
		r = write_at(hi->fd, buf, (size_t)n, off, outside, done);
		if (r < 0)
			return done ? (ssize_t)done : r;
		done += (size_t)r;
		if (r < n) {
			uio_revert(src, (size_t)(n - r));
			break;
		}
	}
	if (end)
		*end = off == UINT64_MAX ? append_end(hi) : off + done;
	return (ssize_t)done;
}

/* A file of its own position: the host's offset stays where it is. */
static int64_t seek_own(struct host_inode *hi, struct file *f, int64_t off, int whence)
{
	int64_t size = (int64_t)append_end(hi);

	switch (whence) {
	case SEEK_CUR:
		if (__builtin_add_overflow((int64_t)f->pos, off, &off))
			return -EINVAL;
		break;
	case SEEK_END:
		if (__builtin_add_overflow(size, off, &off))
			return -EINVAL;
		break;
	case SEEK_DATA:
	case SEEK_HOLE:
		if (off < 0 || off >= size)
			return -ENXIO;
		return whence == SEEK_DATA ? off : size;
	}
	return off < 0 ? -EINVAL : off;
}

int64_t host_seek(struct host_inode *hi, struct file *f, int64_t off, int whence)
{
	off_t r;

	if (!(f->mode & FILE_POS_OUTSIDE))
		return seek_own(hi, f, off, whence);
	r = lseek(hi->fd, off, whence);
	return r < 0 ? -errno : r;
}
