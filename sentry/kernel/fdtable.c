/* Descriptor tables.
 *
 * An array of files, and two bitmaps over it: in use, and close-on-exec. The lowest free number is
 * found from a hint below which none is free. A number may be in use without a file: a call that takes
 * something away, or makes it, before it has a file reserves its number first. One lock a table; what a
 * descriptor's end sets off (release of locks, of the file) happens after it is dropped. */
#include "sentry/kernel/fdtable.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "abi/base/lock.h"
#include "abi/base/ref.h"
#include "sentry/mm/fetch.h"
#include "vfs/inode.h"
#include "vfs/locks.h"

enum { FD_FIRST = 64, FD_MAX = 1 << 20 /* /proc/sys/fs/nr_open */ };

struct fdtable {
	struct ref ref;
	struct mutex mu;
	/* under mu */
	unsigned size; /* of files; a multiple of 64 */
	unsigned free_hint;
	int count;
	struct file **files;
	uint64_t *open, *cloexec;
};

static bool bit_get(const uint64_t *map, unsigned i)
{
	return map[i / 64] >> (i % 64) & 1;
}

static void bit_set(uint64_t *map, unsigned i)
{
	map[i / 64] |= 1ULL << (i % 64);
}

static void bit_clear(uint64_t *map, unsigned i)
{
	map[i / 64] &= ~(1ULL << (i % 64));
}

static void bit_put(uint64_t *map, unsigned i, bool on)
{
	if (on)
		bit_set(map, i);
	else
		bit_clear(map, i);
}

/* The first set bit at or after i, or size. */
static unsigned bit_next(const uint64_t *map, unsigned size, unsigned i)
{
	uint64_t word;

	if (i >= size)
		return size;
	word = map[i / 64] & ~0ULL << (i % 64);
	for (i /= 64;;) {
		if (word)
			return i * 64 + (unsigned)__builtin_ctzll(word);
		if (++i == size / 64)
			return size;
		word = map[i];
	}
}

static unsigned bit_next_zero(const uint64_t *map, unsigned size, unsigned i)
{
	uint64_t word;

	if (i >= size)
		return i;
	word = ~map[i / 64] & ~0ULL << (i % 64);
	for (i /= 64;;) {
		if (word)
			return i * 64 + (unsigned)__builtin_ctzll(word);
		if (++i == size / 64)
			return size;
		word = ~map[i];
	}
}

/* The first number at or after fd that has a file, or size. */
static unsigned file_next(const struct fdtable *t, const uint64_t *map, unsigned fd)
{
	do
		fd = bit_next(map, t->size, fd);
	while (fd < t->size && !t->files[fd] && ++fd);
	return fd;
}

/* All three arrays are one allocation. */
static int arrays_new(unsigned size, struct file ***files, uint64_t **open, uint64_t **cloexec)
{
	struct file **f = calloc(1, size * sizeof(*f) + 2 * (size / 8));

	if (!f)
		return -ENOMEM;
	*files = f;
	*open = (uint64_t *)(f + size);
	*cloexec = *open + size / 64;
	return 0;
}

static int grow_locked(struct fdtable *t, unsigned fd)
{
	struct file **files;
	uint64_t *open, *cloexec;
	unsigned size = t->size;
	int r;

	while (size <= fd)
		size *= 2;
	if (size == t->size)
		return 0;
	r = arrays_new(size, &files, &open, &cloexec);
	if (r < 0)
		return r;
	memcpy(files, t->files, t->size * sizeof(*files));
	memcpy(open, t->open, t->size / 8);
	memcpy(cloexec, t->cloexec, t->size / 8);
	free(t->files);
	t->files = files;
	t->open = open;
	t->cloexec = cloexec;
	t->size = size;
	return 0;
}

static int table_alloc(unsigned size, struct fdtable **out)
{
	struct fdtable *t = calloc(1, sizeof(*t));

	if (!t)
		return -ENOMEM;
	ref_init(&t->ref);
	mutex_init(&t->mu, LOCK_FDTABLE);
	t->size = size;
	if (arrays_new(size, &t->files, &t->open, &t->cloexec) < 0) {
		free(t);
		return -ENOMEM;
	}
	*out = t;
	return 0;
}

int fdtable_new(struct fdtable **out)
{
	return table_alloc(FD_FIRST, out);
}

static void free_locked(struct fdtable *t, unsigned fd)
{
	bit_clear(t->open, fd);
	bit_clear(t->cloexec, fd);
	if (fd < t->free_hint)
		t->free_hint = fd;
}

int fdtable_clone(struct fdtable *from, struct fdtable **out)
{
	struct fdtable *t;
	int r;

	AUTO_LOCK(&from->mu);
	r = table_alloc(from->size, &t);
	if (r < 0)
		return r;
	t->free_hint = from->free_hint;
	t->count = from->count;
	memcpy(t->open, from->open, from->size / 8);
	memcpy(t->cloexec, from->cloexec, from->size / 8);
	for (unsigned fd = bit_next(t->open, t->size, 0); fd < t->size;
	     fd = bit_next(t->open, t->size, fd + 1)) {
		if (from->files[fd])
			t->files[fd] = file_get(from->files[fd]);
		else
			free_locked(t, fd); /* what is reserved there is not ours */
	}
	*out = t;
	return 0;
}

struct fdtable *fdtable_ref(struct fdtable *t)
{
	ref_get(&t->ref);
	return t;
}

/* What close(2) of one descriptor does to its file; no lock held. Consumes the reference. */
static int close_file(struct fdtable *t, struct file *f)
{
	int r = 0;

	fetch_forget(f->inode);
	if (atomic_load_explicit(&f->inode->locks, memory_order_acquire))
		file_lock_release(f, LOCK_KIND_POSIX, t);
	if (f->ops->flush)
		r = f->ops->flush(f);
	file_put(f);
	return r;
}

void fdtable_put(struct fdtable *t)
{
	if (!t || !ref_put(&t->ref))
		return;
	for (unsigned fd = file_next(t, t->open, 0); fd < t->size;
	     fd = file_next(t, t->open, fd + 1))
		close_file(t, t->files[fd]);
	mutex_destroy(&t->mu);
	free(t->files);
	free(t);
}

int fdtable_get_path(struct fdtable *t, int fd, struct file **out)
{
	struct file *f = NULL;

	mutex_lock(&t->mu);
	if ((unsigned)fd < t->size)
		f = t->files[fd];
	if (f)
		file_get(f);
	mutex_unlock(&t->mu);
	if (!f)
		return -EBADF;
	*out = f;
	return 0;
}

int fdtable_get(struct fdtable *t, int fd, struct file **out)
{
	struct file *f;
	int r = fdtable_get_path(t, fd, &f);

	if (r < 0)
		return r;
	if (f->mode & FILE_PATH) {
		file_put(f);
		return -EBADF;
	}
	*out = f;
	return 0;
}

static void put_locked(struct fdtable *t, unsigned fd, struct file *f, bool cloexec)
{
	t->files[fd] = f;
	bit_set(t->open, fd);
	bit_put(t->cloexec, fd, cloexec);
	t->count++;
}

static struct file *take_locked(struct fdtable *t, unsigned fd)
{
	struct file *f = t->files[fd];

	if (!f)
		return NULL;
	t->files[fd] = NULL;
	t->count--;
	free_locked(t, fd);
	return f;
}

/* The lowest free number, which the caller is to mark as in use. */
static int pick_locked(struct fdtable *t, int min, uint64_t limit)
{
	unsigned start = (unsigned)min, fd;
	bool from_hint;
	int r;

	from_hint = start <= t->free_hint;
	if (from_hint)
		start = t->free_hint;
	fd = bit_next_zero(t->open, t->size, start);
	if (fd >= limit || fd >= FD_MAX)
		return -EMFILE;
	r = grow_locked(t, fd);
	if (r < 0)
		return r;
	if (from_hint)
		t->free_hint = fd + 1;
	return (int)fd;
}

int fdtable_install(struct fdtable *t, struct file *f, int min, bool cloexec, uint64_t limit)
{
	int fd;

	AUTO_LOCK(&t->mu);
	fd = pick_locked(t, min, limit);
	if (fd >= 0)
		put_locked(t, (unsigned)fd, f, cloexec);
	return fd;
}

int fdtable_reserve(struct fdtable *t, uint64_t limit)
{
	int fd;

	AUTO_LOCK(&t->mu);
	fd = pick_locked(t, 0, limit);
	if (fd >= 0)
		bit_set(t->open, (unsigned)fd);
	return fd;
}

void fdtable_fill(struct fdtable *t, int fd, struct file *f, bool cloexec)
{
	AUTO_LOCK(&t->mu);
	put_locked(t, (unsigned)fd, f, cloexec);
}

void fdtable_unreserve(struct fdtable *t, int fd)
{
	AUTO_LOCK(&t->mu);
	free_locked(t, (unsigned)fd);
}

int fdtable_install_at(struct fdtable *t, struct file *f, int fd, bool cloexec, uint64_t limit)
{
	struct file *old;
	int r;

	if (fd < 0 || (uint64_t)fd >= limit || fd >= FD_MAX)
		return -EBADF;
	{
		AUTO_LOCK(&t->mu);
		r = grow_locked(t, (unsigned)fd);
		if (r == 0 && bit_get(t->open, (unsigned)fd) && !t->files[fd])
			r = -EBUSY; /* somebody's to be */
		if (r < 0)
			return r;
		old = take_locked(t, (unsigned)fd);
		put_locked(t, (unsigned)fd, f, cloexec);
	}
	if (old)
		close_file(t, old);
	return fd;
}

int fdtable_close(struct fdtable *t, int fd)
{
	struct file *f = NULL;

	mutex_lock(&t->mu);
	if ((unsigned)fd < t->size)
		f = take_locked(t, (unsigned)fd);
	mutex_unlock(&t->mu);
	return f ? close_file(t, f) : -EBADF;
}

/* Takes out the first file at or after *fd, up to last; NULL at the end. */
static struct file *take_next(struct fdtable *t, unsigned *fd, unsigned last, bool cloexec_ones)
{
	AUTO_LOCK(&t->mu);
	*fd = file_next(t, cloexec_ones ? t->cloexec : t->open, *fd);
	return *fd < t->size && *fd <= last ? take_locked(t, *fd) : NULL;
}

static void mark_cloexec(struct fdtable *t, unsigned first, unsigned last)
{
	AUTO_LOCK(&t->mu);
	for (unsigned fd = bit_next(t->open, t->size, first); fd < t->size && fd <= last;
	     fd = bit_next(t->open, t->size, fd + 1))
		bit_set(t->cloexec, fd);
}

int fdtable_close_range(struct fdtable *t, unsigned first, unsigned last, bool cloexec_only)
{
	struct file *f;

	if (first > last)
		return -EINVAL;
	if (cloexec_only) {
		mark_cloexec(t, first, last);
		return 0;
	}
	for (unsigned fd = first; (f = take_next(t, &fd, last, false)); fd++)
		close_file(t, f);
	return 0;
}

void fdtable_close_on_exec(struct fdtable *t)
{
	struct file *f;

	for (unsigned fd = 0; (f = take_next(t, &fd, FD_MAX, true)); fd++)
		close_file(t, f);
}

int fdtable_get_cloexec(struct fdtable *t, int fd)
{
	AUTO_LOCK(&t->mu);
	if ((unsigned)fd >= t->size || !t->files[fd])
		return -EBADF;
	return bit_get(t->cloexec, (unsigned)fd);
}

int fdtable_set_cloexec(struct fdtable *t, int fd, bool on)
{
	AUTO_LOCK(&t->mu);
	if ((unsigned)fd >= t->size || !t->files[fd])
		return -EBADF;
	bit_put(t->cloexec, (unsigned)fd, on);
	return 0;
}

int fdtable_next(struct fdtable *t, int fd)
{
	unsigned n;

	AUTO_LOCK(&t->mu);
	n = file_next(t, t->open, fd < 0 ? 0 : (unsigned)fd);
	return n < t->size ? (int)n : -1;
}

int fdtable_count(struct fdtable *t)
{
	AUTO_LOCK(&t->mu);
	return t->count;
}

int fdtable_span(struct fdtable *t)
{
	AUTO_LOCK(&t->mu);
	return (int)t->size;
}

bool fdtable_is_shared(struct fdtable *t)
{
	return ref_count(&t->ref) > 1;
}
