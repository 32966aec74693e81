/* The table of files and their shadows, and the thread that makes these. Files are known by device,
 * inode, size and times: they are never freed, only few. */
#include "sentry/mm/patch_shadow.h"

#include <errno.h>
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
#define FILE_SIZE_MAX (1UL << 30)
#define WINDOWS 16
#define VARIANTS 3
#define RACY_NS 2000000000L
/* A scan takes 3 us a KiB, and time that somebody else would use. A trap costs some 3 us more than a jump, what it
 * reads included. With so many bytes a trap, half of what a scan takes has been lost before: a program that ends soon is spared it. */
#define SCAN_PER_TRAP 2048
#define WORKER_STACK (256 * 1024)

/* A part of a file: the whole executable segment, if that is small. Immutable, but for the shadows. */
struct window {
	struct patch_plan plan; /* no sites: there is nothing to patch */
	struct shadow variant[VARIANTS];
	unsigned nvariants;
};

struct shadow_file {
	struct list link;
	struct stat id;
	bool nothing, busy;
	unsigned runs;
	struct window window[WINDOWS];
	unsigned nwindows;
	/* busy: what the worker shall do */
	struct list queue_link;
	int fd; /* owned */
	uint64_t site;
	int64_t delta;
};

static struct {
	uint64_t entry, bytes_max; /* immutable */
	cpu_set_t cpus;
	struct mutex lock;
	struct cond work;
	/* lock; of a busy file, only the worker touches the windows' plans */
	struct list files, queue;
	unsigned nfiles;
	uint64_t bytes;
	uint64_t scanned; /* bytes */
	bool has_worker;
	_Atomic uint64_t traps;
} shadows;

void shadow_init(uint64_t entry, uint64_t bytes_max)
{
	shadows.entry = entry;
	shadows.bytes_max = bytes_max;
	mutex_init(&shadows.lock, LOCK_NONE);
	cond_init(&shadows.work);
	list_init(&shadows.files);
	list_init(&shadows.queue);
	if (sched_getaffinity(0, sizeof(shadows.cpus), &shadows.cpus) < 0)
		shadows.entry = 0;
}

uint64_t shadow_bytes(void)
{
	if (!shadows.entry)
		return 0;
	AUTO_LOCK(&shadows.lock);
	return shadows.bytes;
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

struct shadow_file *shadow_lookup(int fd)
{
	struct shadow_file *f;
	struct stat st;

	if (!shadows.entry || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		return NULL;
	AUTO_LOCK(&shadows.lock);
	f = file_find_locked(&st);
	return f && !f->nothing ? f : NULL;
}

bool shadow_window(struct shadow_file *f, unsigned w, uint64_t *start, uint64_t *end)
{
	AUTO_LOCK(&shadows.lock);
	if (w >= f->nwindows)
		return false;
	*start = f->window[w].plan.start;
	*end = page_up(f->window[w].plan.end);
	return true;
}

bool shadow_get(struct shadow_file *f, unsigned w, unsigned k, struct shadow *out)
{
	AUTO_LOCK(&shadows.lock);
	if (w >= f->nwindows || k >= f->window[w].nvariants)
		return false;
	*out = f->window[w].variant[k];
	return true;
}

/* The window that holds the site, or NULL. */
static struct window *window_find_locked(struct shadow_file *f, uint64_t site)
{
	for (unsigned i = 0; i < f->nwindows; i++)
		if (site >= f->window[i].plan.start && site < f->window[i].plan.end)
			return &f->window[i];
	return NULL;
}

enum shadow_state shadow_find(struct shadow_file *f, uint64_t site, unsigned *w)
{
	struct window *found;

	AUTO_LOCK(&shadows.lock);
	found = window_find_locked(f, site);
	if (!found)
		return f->nwindows < WINDOWS && !f->nothing ? SHADOW_LATER : SHADOW_NONE;
	if (!patch_plan_find(&found->plan, site))
		return SHADOW_NONE;
	*w = (unsigned)(found - f->window);
	return SHADOW_READY;
}

/* ---- making them ------------------------------------------------------------------------------ */

static int file_read(void *ctx, uint64_t off, void *buf, size_t n)
{
	const struct shadow_file *f = ctx;

	while (n) {
		ssize_t r = pread(f->fd, buf, n, (off_t)off);

		if (r <= 0)
			return -EIO;
		buf = (uint8_t *)buf + r;
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
static int shadow_write(const struct patch_plan *p, uint8_t *text, struct shadow *s)
{
	size_t n = p->end - p->start;
	AUTO(free) uint8_t *thunks = malloc(s->thunks_len);
	AUTO(fd) int fd = memfd_create("text", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	int r;

	if (!thunks || fd < 0)
		return -ENOMEM;
	patch_write(p, text, thunks, s->delta, shadows.entry);
	if (ftruncate(fd, (off_t)(s->thunks + s->thunks_len)) < 0)
		return -ENOSPC;
	r = write_all(fd, text, n, 0);
	if (r == 0)
		r = write_all(fd, thunks, s->thunks_len, s->thunks);
	if (r == 0 && fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
		r = -EPERM;
	if (r == 0)
		s->fd = steal_fd(&fd);
	return r;
}

/* Where a new window around the site may begin and end: windows don't overlap. */
static void bounds(const struct shadow_file *f, uint64_t *low, uint64_t *high)
{
	*low = 0;
	*high = UINT64_MAX;
	for (unsigned i = 0; i < f->nwindows; i++) {
		const struct patch_plan *p = &f->window[i].plan;

		if (p->end <= f->site && page_up(p->end) > *low)
			*low = page_up(p->end);
		if (p->start > f->site && p->start < *high)
			*high = p->start;
	}
}

/* The file is still the one that its identity tells? What was read of it then belongs together, as
 * it had not changed lately when that was taken. */
static bool unchanged(const struct shadow_file *f)
{
	struct stat now;

	return fstat(f->fd, &now) == 0 && same_file(&f->id, &now);
}

/* The window that holds f->site; one that was scanned for it, if need be, becomes f's. *text: its bytes,
 * if there is something to patch. */
static int window_make(struct shadow_file *f, struct window **out, uint8_t **text)
{
	struct patch_file file = {.read = file_read, .ctx = f, .size = (uint64_t)f->id.st_size};
	struct window *w = window_find_locked(f, f->site); /* nobody else changes them now */
	struct patch_plan plan;
	uint64_t low, high;
	int r;

	if (w) {
		*out = w;
		*text = malloc(w->plan.end - w->plan.start);
		return *text ? file_read(f, w->plan.start, *text, w->plan.end - w->plan.start) : -ENOMEM;
	}
	bounds(f, &low, &high);
	r = patch_scan(&file, f->site, low, high, &plan);
	if (r && r != -ENOENT)
		return r;
	*text = plan.text;
	plan.text = NULL;
	AUTO_LOCK(&shadows.lock);
	w = &f->window[f->nwindows++];
	*w = (struct window){.plan = plan};
	*out = w;
	return 0;
}

static void worker_step(struct shadow_file *f)
{
	AUTO(free) uint8_t *text = NULL;
	struct shadow s = {.delta = f->delta};
	struct window *w = NULL;
	int r = window_make(f, &w, &text);

	if (r == 0 && !unchanged(f))
		r = -EIO;
	if (r == 0 && w->plan.nsites) {
		s.start = w->plan.start;
		s.end = page_up(w->plan.end);
		s.thunks = s.end - s.start;
		s.thunks_len = patch_thunks_size(&w->plan);
		r = shadow_write(&w->plan, text, &s);
	}
	log_debug("shadow of inode %lu at %lx: %zu call sites, %d", (unsigned long)f->id.st_ino, f->site,
		  r ? 0 : w->plan.nsites, r);
	close(f->fd);
	AUTO_LOCK(&shadows.lock);
	f->busy = false;
	f->nothing = r != 0;
	if (r == 0 && w->plan.nsites) {
		w->variant[w->nvariants++] = s;
		shadows.bytes += s.thunks + s.thunks_len;
	}
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

unsigned shadow_run(int fd)
{
	struct shadow_file *f;
	struct stat st;

	if (!shadows.entry || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		return 0;
	AUTO_LOCK(&shadows.lock);
	f = file_find_locked(&st);
	if (!f)
		f = file_new_locked(&st);
	if (!f || f->nothing)
		return 0;
	return ++f->runs;
}

/* A new shadow of the site with this delta: may there be one? */
static bool wanted_locked(struct shadow_file *f, uint64_t site, int64_t delta)
{
	const struct window *w = window_find_locked(f, site);

	if (!w)
		return f->nwindows < WINDOWS;
	if (!w->plan.nsites || w->nvariants == VARIANTS)
		return false;
	for (unsigned i = 0; i < w->nvariants; i++)
		if (w->variant[i].delta == delta)
			return false;
	return true;
}

static bool scan_earned_locked(uint64_t bytes)
{
	uint64_t traps = atomic_load_explicit(&shadows.traps, memory_order_relaxed);

	if (traps * SCAN_PER_TRAP < shadows.scanned + bytes)
		return false;
	shadows.scanned += bytes;
	return true;
}

void shadow_count_traps(unsigned n)
{
	atomic_fetch_add_explicit(&shadows.traps, n, memory_order_relaxed);
}

enum shadow_state shadow_request(int fd, uint64_t site, int64_t delta, uint64_t scan)
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
	if (!f || f->nothing || shadows.bytes >= shadows.bytes_max)
		return SHADOW_NONE;
	if (f->busy)
		return SHADOW_LATER;
	if (!wanted_locked(f, site, delta))
		return SHADOW_NONE;
	if (!window_find_locked(f, site) && !scan_earned_locked(scan))
		return SHADOW_LATER;
	f->fd = dup(fd);
	if (f->fd < 0)
		return SHADOW_LATER;
	fcntl(f->fd, F_SETFD, FD_CLOEXEC);
	if (!shadows.has_worker)
		shadows.has_worker = worker_start();
	f->site = site;
	f->delta = delta;
	f->busy = true;
	list_push_back(&shadows.queue, &f->queue_link);
	cond_signal(&shadows.work);
	return SHADOW_LATER;
}
