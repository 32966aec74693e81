/* The table of files and their shadows, and the thread that makes these. Files are known by device,
 * inode, size and times: they are never freed, only few. */
#include "sentry/mm/patch_shadow.h"

#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "abi/base/cleanup.h"
#include "abi/base/list.h"
#include "abi/base/lock.h"
#include "abi/base/log.h"
#include "platform/patch/patch.h"
#include "sentry/mm/mm_impl.h"

#define FILES_MAX 512
#define FILE_SIZE_MAX (16UL << 20)
#define BYTES_MAX (64UL << 20) /* of all shadows */
#define VARIANTS 3
#define RACY_NS 2000000000L
#define WORKER_STACK (256 * 1024)

struct shadow_file {
	struct list link;
	struct stat id;
	bool scanned, nothing, busy;
	struct patch_plan plan; /* immutable once scanned */
	struct shadow variant[VARIANTS];
	unsigned nvariants;
	/* busy: what the worker shall do */
	struct list queue_link;
	int fd; /* owned */
	int64_t delta;
};

static struct {
	uint64_t entry;
	cpu_set_t cpus;
	struct mutex lock;
	struct cond work;
	/* lock */
	struct list files, queue;
	unsigned nfiles;
	uint64_t bytes;
	bool has_worker;
} shadows;

void shadow_init(uint64_t entry)
{
	shadows.entry = entry;
	mutex_init(&shadows.lock, LOCK_NONE);
	cond_init(&shadows.work);
	list_init(&shadows.files);
	list_init(&shadows.queue);
	if (sched_getaffinity(0, sizeof(shadows.cpus), &shadows.cpus) < 0)
		shadows.entry = 0;
}

static bool same_time(const struct timespec *a, const struct timespec *b)
{
	return a->tv_sec == b->tv_sec && a->tv_nsec == b->tv_nsec;
}

static bool same_file(const struct stat *a, const struct stat *b)
{
	return a->st_ino == b->st_ino && a->st_dev == b->st_dev && a->st_size == b->st_size &&
	       same_time(&a->st_mtim, &b->st_mtim) && same_time(&a->st_ctim, &b->st_ctim);
}

static struct shadow_file *file_find_locked(const struct stat *st)
{
	list_for_each(f, &shadows.files, struct shadow_file, link)
		if (same_file(&f->id, st))
			return f;
	return NULL;
}

enum shadow_state shadow_get(int fd, unsigned k, struct shadow *out)
{
	struct shadow_file *f;
	struct stat st;

	if (!shadows.entry || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		return SHADOW_NONE;
	AUTO_LOCK(&shadows.lock);
	f = file_find_locked(&st);
	if (!f)
		return SHADOW_LATER;
	if (f->nothing)
		return SHADOW_NONE;
	if (k >= f->nvariants)
		return SHADOW_LATER;
	*out = f->variant[k];
	return SHADOW_READY;
}

/* ---- making them ------------------------------------------------------------------------------ */

static int read_all(int fd, uint8_t *buf, size_t n, uint64_t off)
{
	while (n) {
		ssize_t r = pread(fd, buf, n, (off_t)off);

		if (r <= 0)
			return -EIO;
		buf += r;
		off += (uint64_t)r;
		n -= (size_t)r;
	}
	return 0;
}

static int write_all(int fd, const uint8_t *buf, size_t n, uint64_t off)
{
	while (n) {
		ssize_t r = pwrite(fd, buf, n, (off_t)off);

		if (r <= 0)
			return -ENOSPC;
		buf += r;
		off += (uint64_t)r;
		n -= (size_t)r;
	}
	return 0;
}

/* Sealed, so that a process that gets at the descriptor can't write into the code of others. */
static int shadow_write(const struct patch_plan *p, uint8_t *file, size_t size, struct shadow *s)
{
	uint64_t end = s->end < size ? s->end : size; /* whole pages, as the file's mapping has them */
	AUTO(free) uint8_t *thunks = malloc(s->thunks_len);
	AUTO(fd) int fd = memfd_create("text", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	int r;

	if (!thunks || fd < 0)
		return -ENOMEM;
	patch_write(p, file + p->start, thunks, s->delta, shadows.entry);
	if (ftruncate(fd, (off_t)(s->thunks + s->thunks_len)) < 0)
		return -ENOSPC;
	r = write_all(fd, file + p->start, end - p->start, p->start);
	if (r == 0)
		r = write_all(fd, thunks, s->thunks_len, s->thunks);
	if (r == 0 && fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
		r = -EPERM;
	if (r == 0)
		s->fd = steal_fd(&fd);
	return r;
}

static int shadow_make(struct shadow_file *f, struct shadow *s)
{
	size_t size = (size_t)f->id.st_size;
	AUTO(free) uint8_t *file = malloc(size);
	struct stat now;
	int r;

	if (!file)
		return -ENOMEM;
	r = read_all(f->fd, file, size, 0);
	if (r == 0 && (fstat(f->fd, &now) < 0 || !same_file(&f->id, &now)))
		r = -EIO;
	if (r == 0 && !f->scanned) {
		r = patch_scan(file, size, &f->plan);
		f->scanned = r == 0;
	}
	if (r)
		return r;
	*s = (struct shadow){.start = f->plan.start, .end = page_up(f->plan.end),
			     .thunks = page_up(size), .thunks_len = patch_thunks_size(&f->plan),
			     .delta = f->delta};
	return shadow_write(&f->plan, file, size, s);
}

static void worker_step(struct shadow_file *f)
{
	struct shadow s;
	int r = shadow_make(f, &s);

	close(f->fd);
	AUTO_LOCK(&shadows.lock);
	f->busy = false;
	if (r) {
		f->nothing = true;
	} else {
		f->variant[f->nvariants++] = s;
		shadows.bytes += s.end - s.start + s.thunks_len;
	}
	log_debug("shadow of inode %lu: %zu call sites, %d", (unsigned long)f->id.st_ino,
		  f->plan.nsites, r);
}

static void *worker_main(void *arg)
{
	/* S threads are pinned; this one must not inherit that. */
	sched_setaffinity(0, sizeof(shadows.cpus), &shadows.cpus);
	for (;;) {
		struct shadow_file *f;

		mutex_lock(&shadows.lock);
		while (list_empty(&shadows.queue))
			cond_wait(&shadows.work, &shadows.lock, UINT64_MAX);
		f = list_first(&shadows.queue, struct shadow_file, queue_link);
		list_del_init(&f->queue_link);
		mutex_unlock(&shadows.lock);
		worker_step(f);
	}
	return NULL;
}

static bool worker_start(void)
{
	pthread_attr_t attr;
	pthread_t thread;
	sigset_t all, old;
	int r;

	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, WORKER_STACK);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	r = pthread_create(&thread, &attr, worker_main, NULL);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	pthread_attr_destroy(&attr);
	return r == 0;
}

static bool changed_lately(const struct stat *st)
{
	struct timespec now;
	int64_t age;

	clock_gettime(CLOCK_REALTIME, &now);
	age = (now.tv_sec - st->st_ctim.tv_sec) * 1000000000L + (now.tv_nsec - st->st_ctim.tv_nsec);
	return age < RACY_NS;
}

static struct shadow_file *file_new_locked(const struct stat *st)
{
	struct shadow_file *f;

	if (shadows.nfiles >= FILES_MAX)
		return NULL;
	f = calloc(1, sizeof(*f));
	if (!f)
		return NULL;
	f->id = *st;
	f->nothing = (uint64_t)st->st_size > FILE_SIZE_MAX || st->st_size <= 0;
	list_init(&f->queue_link);
	list_push_back(&shadows.files, &f->link);
	shadows.nfiles++;
	return f;
}

enum shadow_state shadow_request(int fd, int64_t delta)
{
	struct shadow_file *f;
	struct stat st;

	if (!shadows.entry || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		return SHADOW_NONE;
	if (changed_lately(&st))
		return SHADOW_LATER;
	AUTO_LOCK(&shadows.lock);
	f = file_find_locked(&st);
	if (!f)
		f = file_new_locked(&st);
	if (!f || f->nothing || shadows.bytes > BYTES_MAX)
		return SHADOW_NONE;
	if (f->busy)
		return SHADOW_LATER;
	for (unsigned i = 0; i < f->nvariants; i++)
		if (f->variant[i].delta == delta)
			return SHADOW_NONE;
	if (f->nvariants == VARIANTS)
		return SHADOW_NONE;
	f->fd = dup(fd);
	if (f->fd < 0)
		return SHADOW_LATER;
	fcntl(f->fd, F_SETFD, FD_CLOEXEC);
	if (!shadows.has_worker)
		shadows.has_worker = worker_start();
	f->delta = delta;
	f->busy = true;
	list_push_back(&shadows.queue, &f->queue_link);
	cond_signal(&shadows.work);
	return SHADOW_LATER;
}
