/* tmpfs files whose data is a host file: those that were mapped once, or read often in pieces of more than 64 KiB.
 *
 * The descriptor goes to stubs, which map it and close it; they can neither truncate nor seal it
 * (the stub's filter), so size and layout change only here, under data_lock. A guest that may only
 * read the file gets a read-only descriptor: a stub could make a mapping of the other one writable.
 * Reads and writes bounce: touching a mapping here could raise SIGBUS when the host has no memory. */
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "abi/base/cleanup.h"
#include "abi/base/log.h"
#include "vfs/host_fd.h"
#include "vfs/host_memory.h"
#include "vfs/tmpfs/page_pool.h"
#include "vfs/tmpfs/tmpfs_impl.h"
#include "vfs/uio.h"

#define BOUNCE_SMALL 8192
#define BOUNCE_LARGE (256UL << 10)

static int host_errno(void)
{
	return errno == EMFILE || errno == ENFILE ? -ENFILE : -errno;
}

static int full_pwrite(int fd, const char *p, size_t n, uint64_t off)
{
	while (n) {
		ssize_t r = pwrite(fd, p, n, (off_t)off);

		if (r < 0 && errno == EINTR)
			continue;
		if (r <= 0)
			return r < 0 ? -errno : -EIO;
		p += r;
		n -= (size_t)r;
		off += (uint64_t)r;
	}
	return 0;
}

int tmpfs_host_convert(struct tmpfs_inode *ti)
{
	AUTO(fd) int fd = -1;
	uint64_t idx = 0;
	char *page;

	if (ti->host_fd >= 0)
		return 0;
	fd = memfd_create("tmpfs", MFD_CLOEXEC);
	if (host_fd_scarce(fd)) {
		close(steal_fd(&fd));
		return -ENFILE;
	}
	if (fd < 0)
		return host_errno();
	if (ftruncate(fd, (off_t)atomic_load(&ti->size)) < 0)
		return -errno;
	while ((page = page_map_next(&ti->pages, &idx))) {
		uint64_t first = idx++;
		size_t n = POOL_PAGE;
		int r;

		while (page_map_get(&ti->pages, idx) == page + n) {
			n += POOL_PAGE;
			idx++;
		}
		/* Whole pages: the tail of the last one is zero, and cut off again below. */
		r = full_pwrite(fd, page, n, first << POOL_PAGE_SHIFT);
		if (r < 0)
			return r;
	}
	if (ftruncate(fd, (off_t)atomic_load(&ti->size)) < 0)
		return -errno;
	tmpfs_uncharge(ti->t, page_map_remove(&ti->pages, 0, UINT64_MAX));
	ti->host_fd = steal_fd(&fd);
	host_memory_add(ti->host_fd);
	tmpfs_host_account(ti);
	return 0;
}

int tmpfs_host_readonly(struct tmpfs_inode *ti)
{
	char path[32];

	if (ti->host_fd_ro >= 0)
		return ti->host_fd_ro;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", ti->host_fd);
	ti->host_fd_ro = open(path, O_RDONLY | O_CLOEXEC);
	if (ti->host_fd_ro < 0) {
		int r = host_errno();

		log_warn("tmpfs: no read-only descriptor: %d", -r);
		return r == -ENFILE ? r : -EACCES;
	}
	return ti->host_fd_ro;
}

void tmpfs_host_account(struct tmpfs_inode *ti)
{
	struct stat st;
	uint64_t now;

	if (fstat(ti->host_fd, &st) < 0)
		return;
	now = (uint64_t)st.st_blocks / (POOL_PAGE / 512);
	/* What the host has given out cannot be refused any more: charged beyond the limit. */
	if (now > ti->host_pages)
		atomic_fetch_add(&ti->t->used_pages, now - ti->host_pages);
	else
		tmpfs_uncharge(ti->t, ti->host_pages - now);
	page_pool_count_host((int64_t)(now - ti->host_pages));
	ti->host_pages = now;
}

/* Is there room for a write of [off, off + n)? Exact only when it looks as if there were none. */
static bool has_room(struct tmpfs_inode *ti, uint64_t off, uint64_t n)
{
	struct tmpfs *t = ti->t;
	uint64_t used, pages = (n >> POOL_PAGE_SHIFT) + 2;
	off_t hole;

	if (!page_pool_has_room(pages))
		return false;
	if (t->max_pages == 0)
		return true;
	used = atomic_load(&t->used_pages);
	if (used <= t->max_pages && pages <= t->max_pages - used)
		return true;
	tmpfs_host_account(ti);
	used = atomic_load(&t->used_pages);
	pages = ((off + n + POOL_PAGE - 1) >> POOL_PAGE_SHIFT) - (off >> POOL_PAGE_SHIFT);
	if (used <= t->max_pages && pages <= t->max_pages - used)
		return true;
	hole = lseek(ti->host_fd, (off_t)off, SEEK_HOLE);
	return hole >= 0 && (uint64_t)hole >= off + n && off + n <= atomic_load(&ti->size);
}

static char *bounce(size_t n, char *small, char **owned, size_t *cap)
{
	*cap = BOUNCE_SMALL;
	if (n <= BOUNCE_SMALL)
		return small;
	*owned = malloc(BOUNCE_LARGE);
	if (!*owned)
		return small;
	*cap = BOUNCE_LARGE;
	return *owned;
}

ssize_t tmpfs_host_read(struct tmpfs_inode *ti, struct uio *dst, uint64_t off, size_t n)
{
	AUTO(free) char *owned = NULL;
	char small[BOUNCE_SMALL], *buf = uio_place(dst, n);
	size_t cap, done = 0;

	if (buf) {
		ssize_t got = pread(ti->host_fd, buf, n, (off_t)off);

		uio_filled(dst, got > 0 ? (size_t)got : 0);
		return got < 0 ? -errno : got;
	}
	buf = bounce(n, small, &owned, &cap);
	while (done < n) {
		size_t want = n - done < cap ? n - done : cap;
		ssize_t got = pread(ti->host_fd, buf, want, (off_t)(off + done)), r;

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return done ? (ssize_t)done : -errno;
		if (got == 0)
			break;
		r = uio_to(dst, buf, (size_t)got);
		if (r < 0)
			return done ? (ssize_t)done : r;
		done += (size_t)r;
		if (r < got)
			break;
	}
	return (ssize_t)done;
}

ssize_t tmpfs_host_write(struct tmpfs_inode *ti, struct uio *src, uint64_t off, size_t n)
{
	AUTO(free) char *owned = NULL;
	char small[BOUNCE_SMALL], *buf;
	size_t cap, done = 0;
	ssize_t err = 0;

	buf = bounce(n, small, &owned, &cap);
	while (done < n) {
		size_t want = n - done < cap ? n - done : cap;
		ssize_t got;

		if (!has_room(ti, off + done, want)) {
			err = -ENOSPC;
			break;
		}
		got = uio_from(src, buf, want);
		if (got <= 0) {
			err = got;
			break;
		}
		err = full_pwrite(ti->host_fd, buf, (size_t)got, off + done);
		if (err < 0)
			break;
		done += (size_t)got;
		if (off + done > atomic_load(&ti->size))
			atomic_store(&ti->size, off + done);
		if ((size_t)got < want)
			break;
	}
	tmpfs_host_account(ti);
	return done ? (ssize_t)done : err;
}

int tmpfs_host_allocate(struct tmpfs_inode *ti, int mode, uint64_t off, uint64_t len)
{
	int r = 0;

	if (!(mode & FALLOC_FL_PUNCH_HOLE) && !has_room(ti, off, len))
		return -ENOSPC;
	while (fallocate(ti->host_fd, mode, (off_t)off, (off_t)len) < 0) {
		if (errno == EINTR)
			continue;
		r = -errno;
		break;
	}
	tmpfs_host_account(ti);
	return r;
}
