/* Data of tmpfs files: in pool pages, or in a host file (tmpfs_host.c).
 *
 * data_lock: shared for reading, exclusive for whatever changes contents or size. The bytes of a
 * page beyond the file's size are zero at all times, so growing a file needs no clearing. */
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vfs/file.h"
#include "vfs/host_memory.h"
#include "vfs/tmpfs/page_pool.h"
#include "vfs/tmpfs/tmpfs_impl.h"
#include "vfs/uio.h"
#include "vfs/vfs.h"

#define SIZE_MAX_FILE ((uint64_t)INT64_MAX)
#define LARGE_READ 65537 /* up to 64 KiB, pages are as good */
#define LARGE_MOVE_MAX (64UL << 20) /* no file larger than that is moved for its readers */
#define LARGE_MOVE_COST (256UL << 10) /* of a memfd, in bytes read */
#define RUN_PAGES 64 /* the most that is moved by one copy */

static uint64_t min_u64(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static uint64_t size_of(struct tmpfs_inode *ti)
{
	return atomic_load_explicit(&ti->size, memory_order_relaxed);
}

static void set_size(struct tmpfs_inode *ti, uint64_t size)
{
	atomic_store_explicit(&ti->size, size, memory_order_relaxed);
}

/* How many bytes from `off` on (at most n) lie next to each other in memory, starting in `page`. */
static size_t run_length(struct tmpfs_inode *ti, char *page, uint64_t off, size_t n)
{
	uint64_t idx = off >> POOL_PAGE_SHIFT;
	size_t len = POOL_PAGE - (off & (POOL_PAGE - 1));

	while (len < n && page_map_get(&ti->pages, ++idx) == page + POOL_PAGE) {
		page += POOL_PAGE;
		len += POOL_PAGE;
	}
	return len < n ? len : n;
}

static size_t hole_length(struct tmpfs_inode *ti, uint64_t off, size_t n)
{
	uint64_t idx = off >> POOL_PAGE_SHIFT, end;

	if (!page_map_next(&ti->pages, &idx))
		return n;
	end = idx << POOL_PAGE_SHIFT;
	return end - off < n ? end - off : n;
}

static ssize_t pages_read(struct tmpfs_inode *ti, struct uio *dst, uint64_t off, size_t n)
{
	size_t done = 0;

	while (done < n) {
		uint64_t at = off + done;
		char *page = page_map_get(&ti->pages, at >> POOL_PAGE_SHIFT);
		size_t len;
		ssize_t r;

		if (page) {
			len = run_length(ti, page, at, n - done);
			r = uio_to(dst, page + (at & (POOL_PAGE - 1)), len);
		} else {
			len = hole_length(ti, at, n - done);
			r = uio_zero(dst, len);
		}
		if (r < 0)
			return done ? (ssize_t)done : r;
		done += (size_t)r;
		if ((size_t)r < len)
			break;
	}
	return (ssize_t)done;
}

/* What is read again and again in pieces that are too large to be put anywhere on their way moves to the host file, from which readers get it by
 * themselves: once that has cost as much as it would have saved, or so. */
static void read_large(struct tmpfs_inode *ti, uint64_t n)
{
	uint64_t sum = atomic_fetch_add_explicit(&ti->read_large, n, memory_order_relaxed) + n;
	uint64_t size = size_of(ti);

	if (size > LARGE_MOVE_MAX || sum < 2 * size + LARGE_MOVE_COST)
		return;
	AUTO_WRLOCK(&ti->data_lock);
	atomic_store(&ti->read_large, 0);
	if (tmpfs_host_convert(ti) == 0)
		tmpfs_host_readonly(ti);
}

static ssize_t read_locked(struct tmpfs_inode *ti, struct uio *dst, uint64_t off, size_t n)
{
	struct uio_source source = {ti->host_fd_ro, &ti->fetch_id};

	if (ti->host_fd_ro >= 0 && uio_fetch(dst, &source, off, n))
		return (ssize_t)n;
	return ti->host_fd >= 0 ? tmpfs_host_read(ti, dst, off, n) : pages_read(ti, dst, off, n);
}

static ssize_t file_op_read(struct file *f, struct uio *dst, uint64_t off)
{
	struct tmpfs_inode *ti = tmpfs_i(f->inode);
	bool large = dst->resid >= LARGE_READ && uio_may_fetch(dst, dst->resid);
	ssize_t r;

	if (off >= size_of(ti) || dst->resid == 0)
		return 0;
	{
		AUTO_RDLOCK(&ti->data_lock);
		uint64_t size = size_of(ti), n = dst->resid;

		if (off >= size)
			return 0;
		n = min_u64(n, size - off);
		r = read_locked(ti, dst, off, n);
		large = large && n >= LARGE_READ && ti->host_fd_ro < 0;
	}
	if (large && r > 0)
		read_large(ti, (uint64_t)r);
	tmpfs_accessed(ti, f);
	return r;
}

/* Fills a hole with what comes from the guest: at most RUN_PAGES pages at `off`. */
static ssize_t hole_write(struct tmpfs_inode *ti, struct uio *src, uint64_t off, size_t n)
{
	uint64_t idx = off >> POOL_PAGE_SHIFT;
	size_t in = off & (POOL_PAGE - 1);
	size_t want = (in + n + POOL_PAGE - 1) >> POOL_PAGE_SHIFT, got, used;
	bool zeroed;
	char *run;
	ssize_t r;
	int err = 0;

	if (want > RUN_PAGES)
		want = RUN_PAGES;
	while (tmpfs_charge(ti->t, want) < 0) {
		if (want == 1)
			return -ENOSPC;
		want = 1;
	}
	run = page_pool_get(want, &got, &zeroed);
	tmpfs_uncharge(ti->t, run ? want - got : want);
	if (!run)
		return -ENOSPC;
	if (n > got * POOL_PAGE - in)
		n = got * POOL_PAGE - in;
	r = uio_from(src, run + in, n);
	used = r > 0 ? (in + (size_t)r + POOL_PAGE - 1) >> POOL_PAGE_SHIFT : 0;
	if (!zeroed && used) {
		memset(run, 0, in);
		memset(run + in + r, 0, used * POOL_PAGE - in - (size_t)r);
	} else if (zeroed && used < got) {
		/* A copy that failed may still have touched what goes back. */
		memset(run + used * POOL_PAGE, 0, (got - used) * POOL_PAGE);
	}
	for (size_t i = 0; i < used && err == 0; i++) {
		err = page_map_set(&ti->pages, idx + i, run + i * POOL_PAGE);
		if (err < 0) {
			r = i ? (ssize_t)(i * POOL_PAGE - in) : err;
			used = i;
		}
	}
	if (used < got) {
		page_pool_put(run + used * POOL_PAGE, got - used);
		tmpfs_uncharge(ti->t, got - used);
	}
	return r;
}

/* Overwrites pages that exist, or fills a hole, at `off`; less than n is fine. */
static ssize_t pages_write_some(struct tmpfs_inode *ti, struct uio *src, uint64_t off, size_t n)
{
	char *page = page_map_get(&ti->pages, off >> POOL_PAGE_SHIFT);

	if (page)
		return uio_from(src, page + (off & (POOL_PAGE - 1)), run_length(ti, page, off, n));
	return hole_write(ti, src, off, hole_length(ti, off, n));
}

static ssize_t pages_write(struct tmpfs_inode *ti, struct uio *src, uint64_t off, size_t n)
{
	size_t done = 0;

	while (done < n) {
		ssize_t r = pages_write_some(ti, src, off + done, n - done);

		if (r < 0 && done == 0)
			return r;
		if (r <= 0)
			break;
		done += (size_t)r;
		if (off + done > size_of(ti))
			set_size(ti, off + done);
	}
	return (ssize_t)done;
}

static ssize_t write_locked(struct tmpfs_inode *ti, struct uio *src, uint64_t off, size_t n)
{
	unsigned seals = atomic_load_explicit(&ti->seals, memory_order_relaxed);

	if (seals & (F_SEAL_WRITE | F_SEAL_FUTURE_WRITE))
		return -EPERM;
	if (off >= SIZE_MAX_FILE)
		return -EFBIG;
	n = min_u64(n, SIZE_MAX_FILE - off);
	atomic_store_explicit(&ti->read_large, 0, memory_order_relaxed);
	if (seals & F_SEAL_GROW && off + n > size_of(ti)) {
		if (off >= size_of(ti))
			return -EPERM;
		n = size_of(ti) - off;
	}
	return ti->host_fd >= 0 ? tmpfs_host_write(ti, src, off, n)
				: pages_write(ti, src, off, n);
}

static ssize_t file_op_write(struct file *f, struct uio *src, uint64_t off, uint64_t *end)
{
	struct tmpfs_inode *ti = tmpfs_i(f->inode);
	ssize_t r;

	if (src->resid == 0)
		return 0;
	{
		AUTO_WRLOCK(&ti->data_lock);

		if (off == UINT64_MAX)
			off = size_of(ti);
		r = write_locked(ti, src, off, src->resid);
		if (end)
			*end = r > 0 ? off + (uint64_t)r : off;
	}
	if (r > 0)
		tmpfs_touch(ti, true);
	return r;
}

/* ---- size ---------------------------------------------------------------------------------- */

/* Bytes [from, to) of one page become zero; a hole stays one. */
static void zero_in_page(struct tmpfs_inode *ti, uint64_t from, uint64_t to)
{
	char *page = page_map_get(&ti->pages, from >> POOL_PAGE_SHIFT);

	if (page && to > from)
		memset(page + (from & (POOL_PAGE - 1)), 0, to - from);
}

static void pages_punch(struct tmpfs_inode *ti, uint64_t off, uint64_t end)
{
	uint64_t first = (off + POOL_PAGE - 1) >> POOL_PAGE_SHIFT, last = end >> POOL_PAGE_SHIFT;

	if (first > last) { /* within one page */
		zero_in_page(ti, off, end);
		return;
	}
	if (off & (POOL_PAGE - 1))
		zero_in_page(ti, off, first << POOL_PAGE_SHIFT);
	if (end & (POOL_PAGE - 1))
		zero_in_page(ti, last << POOL_PAGE_SHIFT, end);
	if (first < last)
		tmpfs_uncharge(ti->t, page_map_remove(&ti->pages, first, last - 1));
}

static int truncate_locked(struct tmpfs_inode *ti, uint64_t size)
{
	unsigned seals = atomic_load(&ti->seals);
	uint64_t old = size_of(ti);

	if (size > SIZE_MAX_FILE)
		return -EFBIG;
	if ((size < old && seals & F_SEAL_SHRINK) || (size > old && seals & F_SEAL_GROW))
		return -EPERM;
	if (ti->host_fd >= 0) {
		if (ftruncate(ti->host_fd, (off_t)size) < 0)
			return -errno;
		tmpfs_host_account(ti);
	} else if (size < old || ti->pages.pages) {
		/* Also what fallocate() put beyond the end. */
		uint64_t first = (size + POOL_PAGE - 1) >> POOL_PAGE_SHIFT;

		if (size & (POOL_PAGE - 1))
			zero_in_page(ti, size, first << POOL_PAGE_SHIFT);
		tmpfs_uncharge(ti->t, page_map_remove(&ti->pages, first, UINT64_MAX));
	}
	set_size(ti, size);
	return 0;
}

int tmpfs_truncate(struct tmpfs_inode *ti, uint64_t size)
{
	int r;
	{
		AUTO_WRLOCK(&ti->data_lock);
		r = truncate_locked(ti, size);
	}
	if (r == 0)
		tmpfs_touch(ti, true);
	return r;
}

void tmpfs_file_free(struct tmpfs_inode *ti)
{
	tmpfs_uncharge(ti->t, page_map_remove(&ti->pages, 0, UINT64_MAX) + ti->host_pages);
	page_pool_count_host(-(int64_t)ti->host_pages);
	if (ti->host_fd >= 0)
		host_memory_close(ti->host_fd);
	if (ti->host_fd_ro >= 0)
		close(ti->host_fd_ro);
}

/* Takes a page for each hole in [off, end). All or nothing, as far as the charge goes. A signal ends it,
 * since it may be half of the memory there is; what was taken until then stays. */
static int pages_allocate(struct tmpfs_inode *ti, uint64_t off, uint64_t end)
{
	uint64_t first = off >> POOL_PAGE_SHIFT, last = (end - 1) >> POOL_PAGE_SHIFT;
	uint64_t present = 0;
	int r = 0;

	for (uint64_t i = first; page_map_next(&ti->pages, &i) && i <= last; i++)
		present++;
	if (tmpfs_charge(ti->t, last - first + 1 - present) < 0)
		return -ENOSPC;
	present = last - first + 1 - present; /* still to do */
	for (uint64_t i = first; i <= last && r == 0; i++) {
		size_t got;
		bool zeroed;
		char *page;

		if (page_map_get(&ti->pages, i))
			continue;
		if (i % 1024 == 0 && vfs_interrupted()) {
			r = -EINTR;
			break;
		}
		page = page_pool_get(1, &got, &zeroed);
		if (!page) {
			r = -ENOSPC;
			break;
		}
		if (!zeroed)
			memset(page, 0, POOL_PAGE);
		r = page_map_set(&ti->pages, i, page);
		if (r < 0)
			page_pool_put(page, 1);
		else
			present--;
	}
	tmpfs_uncharge(ti->t, present);
	return r;
}

static int fallocate_locked(struct tmpfs_inode *ti, int mode, uint64_t off, uint64_t end)
{
	unsigned seals = atomic_load(&ti->seals);
	int r;

	if (mode & FALLOC_FL_PUNCH_HOLE) {
		if (seals & (F_SEAL_WRITE | F_SEAL_FUTURE_WRITE))
			return -EPERM;
		if (ti->host_fd >= 0)
			return tmpfs_host_allocate(ti, mode, off, end - off);
		pages_punch(ti, off, end);
		return 0;
	}
	if (seals & F_SEAL_GROW && end > size_of(ti))
		return -EPERM;
	r = ti->host_fd >= 0 ? tmpfs_host_allocate(ti, mode, off, end - off)
			     : pages_allocate(ti, off, end);
	if (r == 0 && !(mode & FALLOC_FL_KEEP_SIZE) && end > size_of(ti))
		set_size(ti, end);
	return r;
}

static int file_op_fallocate(struct file *f, int mode, uint64_t off, uint64_t len)
{
	struct tmpfs_inode *ti = tmpfs_i(f->inode);
	int r;

	if (mode & ~(FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE))
		return -EOPNOTSUPP;
	if (mode & FALLOC_FL_PUNCH_HOLE && !(mode & FALLOC_FL_KEEP_SIZE))
		return -EOPNOTSUPP;
	if (len == 0)
		return -EINVAL;
	if (off > SIZE_MAX_FILE || len > SIZE_MAX_FILE - off)
		return -EFBIG;
	{
		AUTO_WRLOCK(&ti->data_lock);
		r = fallocate_locked(ti, mode, off, off + len);
	}
	if (r == 0)
		tmpfs_touch(ti, true);
	return r;
}

/* ---- position ------------------------------------------------------------------------------ */

static int64_t seek_data_locked(struct tmpfs_inode *ti, uint64_t off, bool hole)
{
	uint64_t size = size_of(ti), idx = off >> POOL_PAGE_SHIFT, next = idx;

	if (off >= size)
		return -ENXIO;
	if (ti->host_fd >= 0) {
		off_t r = lseek(ti->host_fd, (off_t)off, hole ? SEEK_HOLE : SEEK_DATA);

		return r < 0 ? -errno : r;
	}
	if (hole) {
		while (page_map_get(&ti->pages, next))
			next++;
		if (next != idx)
			off = next << POOL_PAGE_SHIFT;
		return (int64_t)min_u64(off, size);
	}
	if (!page_map_next(&ti->pages, &next))
		return -ENXIO;
	if (next != idx)
		off = next << POOL_PAGE_SHIFT;
	return off < size ? (int64_t)off : -ENXIO;
}

static int64_t file_op_seek(struct file *f, int64_t off, int whence)
{
	struct tmpfs_inode *ti = tmpfs_i(f->inode);
	int64_t base = 0;

	switch (whence) {
	case SEEK_SET:
		break;
	case SEEK_CUR:
		base = (int64_t)f->pos;
		break;
	case SEEK_END:
		base = (int64_t)size_of(ti);
		break;
	case SEEK_DATA:
	case SEEK_HOLE: {
		if (off < 0)
			return -ENXIO;
		AUTO_RDLOCK(&ti->data_lock);
		return seek_data_locked(ti, (uint64_t)off, whence == SEEK_HOLE);
	}
	default:
		return -EINVAL;
	}
	if (__builtin_add_overflow(base, off, &off) || off < 0)
		return -EINVAL;
	return off;
}

/* ---- mmap ---------------------------------------------------------------------------------- */

static int file_op_mmap(struct file *f, int prot, bool shared, struct file_mapping *out)
{
	struct tmpfs_inode *ti = tmpfs_i(f->inode);
	bool sealed = atomic_load(&ti->seals) & (F_SEAL_WRITE | F_SEAL_FUTURE_WRITE);
	bool write = shared && f->mode & FILE_WRITE && !sealed;
	int fd, r;

	if (shared && prot & PROT_WRITE && sealed)
		return -EPERM;
	AUTO_WRLOCK(&ti->data_lock);
	r = tmpfs_host_convert(ti);
	if (r < 0)
		return r;
	fd = write ? ti->host_fd : tmpfs_host_readonly(ti);
	if (fd < 0)
		return fd;
	*out = (struct file_mapping){.host_fd = fd, .writable = write};
	return 0;
}

const struct file_ops tmpfs_file_ops = {
	.read = file_op_read,
	.write = file_op_write,
	.seek = file_op_seek,
	.mmap = file_op_mmap,
	.fallocate = file_op_fallocate,
};

int tmpfs_file_open(struct inode *inode, struct file *f)
{
	f->ops = &tmpfs_file_ops;
	f->mode |= FILE_SEEKABLE;
	return 0;
}
