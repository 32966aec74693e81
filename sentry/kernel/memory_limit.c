/* A watcher instead of a cgroup, which an ordinary user may not make: it looks at the resident memory of
 * every address space, of the in-memory file systems, of shared memory that nobody maps, of patched text and of the sentry's own heap (what is in pipes
 * and sockets), the more often the less is left, and ends
 * the largest process when the limit is passed, as the host's kernel does in a memory cgroup. In-memory files are
 * bounded exactly (ENOSPC). What is faulted in between two looks can go over the limit for that time. Only sandboxes
 * with a limit pay for the looking. */
#include "sentry/kernel/memory_limit.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stddef.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "abi/base/log.h"
#include "sentry/kernel/kernel.h"
#include "sentry/kernel/signal.h"
#include "sentry/kernel/task.h"
#include "sentry/mm/mm.h"
#include "sentry/mm/patch.h"
#include "vfs/host_memory.h"
#include "vfs/tmpfs/page_pool.h"

#define PERIOD_MIN_NS 5000000u	 /* close to the limit */
#define PERIOD_MAX_NS 200000000u /* nothing used yet */
#define GROUPS_MAX 4096
#define SHARERS_LOOK 64
#define UNMAPPED_LOOK (1UL << 20)	 /* less is not looked for */
#define CACHES_MAX (8UL << 20) /* of the sentry, which come with use */

struct watch {
	uint64_t limit;
	struct mm *mms[GROUPS_MAX]; /* referenced for the time of a look */
	struct thread_group *groups[GROUPS_MAX];
	size_t n;
	int statm;	/* the sentry's own, or -1 */
	uint64_t spare; /* of its heap, in bytes: what is not the guest's */
};

/* Of its group's tasks the first that has memory: leaders may end before the others. */
static bool stands_for_group(struct task *t)
{
	list_for_each(o, &t->tg->tasks, struct task, tg_node)
		if (o->mm)
			return o == t;
	return false;
}

static bool collect(struct task *t, void *arg)
{
	struct watch *w = arg;

	if (w->n == GROUPS_MAX)
		return false;
	if (!t->mm || !stands_for_group(t))
		return true;
	/* Who has just been made by vfork shares its parent's, which is next to it. */
	for (size_t i = w->n, k = 0; i-- > 0 && k < SHARERS_LOOK; k++)
		if (w->mms[i] == t->mm)
			return true;
	w->mms[w->n] = mm_get(t->mm);
	w->groups[w->n++] = thread_group_get(t->tg);
	return true;
}

/* Anonymous memory that is not the file systems'. */
static uint64_t own_heap(struct watch *w)
{
	unsigned long size, resident, shared;
	uint64_t files = page_pool_used() * GUEST_PAGE_SIZE, heap;
	char text[128];
	ssize_t n = pread(w->statm, text, sizeof(text) - 1, 0);

	text[n > 0 ? n : 0] = 0;
	if (sscanf(text, "%lu %lu %lu", &size, &resident, &shared) != 3)
		return 0;
	heap = (resident - shared) * GUEST_PAGE_SIZE;
	heap = heap > files ? heap - files : 0;
	if (!w->spare)
		w->spare = heap + CACHES_MAX;
	return heap > w->spare ? heap - w->spare : 0;
}

static void kill_group(struct thread_group *tg, uint64_t rss)
{
	struct guest_siginfo info;

	log_warn("memory limit passed: process %d (%lu MiB) is ended", tg->tgid, rss >> 20);
	siginfo_kernel(&info, SIGKILL);
	signal_send_group(tg, &info);
}

/* Shared memory that neither the file systems nor anybody's resident memory shows: stored through mappings that are
 * gone. At least so much: who maps what is counted already makes it less. */
static uint64_t unmapped(struct watch *w)
{
	uint64_t there = host_memory_bytes(), known = page_pool_host() * GUEST_PAGE_SIZE;

	for (size_t i = 0; i < w->n && there > known + UNMAPPED_LOOK; i++)
		known += mm_shared_bytes(w->mms[i]);
	return there > known + UNMAPPED_LOOK ? there - known : 0;
}

/* The share of the limit that is in use, in 1/1000. */
static uint64_t look(struct watch *w)
{
	uint64_t total = page_pool_used() * GUEST_PAGE_SIZE + patch_bytes() + own_heap(w), largest = 0;
	size_t victim = 0;

	w->n = 0;
	mutex_lock(&kernel->tasks_lock);
	task_each_locked(collect, w);
	mutex_unlock(&kernel->tasks_lock);
	for (size_t i = 0; i < w->n; i++) {
		uint64_t rss = mm_rss_bytes(w->mms[i]);

		total += rss;
		if (rss > largest) {
			largest = rss;
			victim = i;
		}
	}
	total += unmapped(w);
	if (total > w->limit && w->n)
		kill_group(w->groups[victim], largest);
	for (size_t i = 0; i < w->n; i++) {
		mm_put(w->mms[i]);
		thread_group_put(w->groups[i]);
	}
	return total / (w->limit / 1000 + 1);
}

static void *watch_thread(void *arg)
{
	static struct watch w;

	w.limit = *(const uint64_t *)arg;
	w.statm = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
	for (;;) {
		uint64_t used = look(&w), period = PERIOD_MIN_NS;
		struct timespec ts;

		if (used < 1000)
			period += (PERIOD_MAX_NS - PERIOD_MIN_NS) / 1000 * (1000 - used);
		ts = (struct timespec){.tv_nsec = (long)period};
		nanosleep(&ts, NULL);
	}
	return NULL;
}

int memory_limit_start(uint64_t limit)
{
	static uint64_t kept;
	pthread_attr_t attr;
	pthread_t t;
	int r;

	kept = limit;
	page_pool_set_limit(limit / GUEST_PAGE_SIZE);
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, 64 << 10);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	r = pthread_create(&t, &attr, watch_thread, &kept);
	pthread_attr_destroy(&attr);
	return -r;
}
