/* How system calls of many threads add up. Runs natively and in any sandbox; prints lines like micro's,
 * "NAME NANOSECONDS": the time of the whole divided by the operations of all threads, so that more
 * threads must not make it larger.
 *
 *	threads_short_N		N threads that write a byte to /dev/null
 *	threads_mixed_N		... and use mmap, munmap, futexes and pipes, too
 *	threads_hogs_N		short calls beside a thread on each CPU that computes
 *	threads_mmap_N		mmap and munmap only
 *	threads_churn_N		N threads each of which creates and joins others
 *
 *	threads [NAME[_N]...]	all, or these */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "bench.h"

#define RUN_MS 300
#define WARM_MS 50
#define THREADS_MAX 2048

struct worker {
	_Alignas(64) _Atomic uint64_t count;
	void (*run)(struct worker *w);
	pthread_t thread;
	int pipe[2];
	uint32_t word;
	unsigned turn;
};

static struct worker workers[THREADS_MAX];
static _Atomic uint32_t go;
static atomic_bool stop;
static int fd_null;

static void sleep_ms(unsigned ms)
{
	struct timespec ts = {ms / 1000, ms % 1000 * 1000000L};

	nanosleep(&ts, NULL);
}

/* ---- what a thread does ---------------------------------------------------------------------------- */

static void run_short(struct worker *w)
{
	(void)w;
	if (write(fd_null, "x", 1) != 1)
		die("write");
}

static void run_mmap(struct worker *w)
{
	char *p = mmap(NULL, 16384, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	(void)w;
	if (p == MAP_FAILED)
		die("mmap");
	p[0] = 1;
	munmap(p, 16384);
}

static void run_mixed(struct worker *w)
{
	char c = 1;

	switch (w->turn++ & 3) {
	case 0:
		run_mmap(w);
		break;
	case 1:
		syscall(SYS_futex, &w->word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
		break;
	case 2:
		if (write(w->pipe[1], &c, 1) != 1 || read(w->pipe[0], &c, 1) != 1)
			die("pipe");
		break;
	case 3:
		run_short(w);
	}
}

static void *nothing(void *arg)
{
	return arg;
}

static void run_churn(struct worker *w)
{
	pthread_t t;

	(void)w;
	if (pthread_create(&t, NULL, nothing, NULL))
		die("pthread_create");
	pthread_join(t, NULL);
}

static void run_hog(struct worker *w)
{
	(void)w;
	for (volatile int i = 0; i < 10000; i++)
		;
}

/* ---- the harness ------------------------------------------------------------------------------------ */

static void *worker_main(void *arg)
{
	struct worker *w = arg;

	while (!atomic_load(&go))
		syscall(SYS_futex, &go, FUTEX_WAIT_PRIVATE, 0, NULL, NULL, 0);
	while (!atomic_load_explicit(&stop, memory_order_relaxed)) {
		w->run(w);
		atomic_store_explicit(&w->count, w->count + 1, memory_order_relaxed);
	}
	return NULL;
}

static uint64_t total(unsigned n)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < n; i++)
		sum += atomic_load_explicit(&workers[i].count, memory_order_relaxed);
	return sum;
}

static void workers_start(unsigned n, unsigned hogs, void (*run)(struct worker *w), bool pipes)
{
	pthread_attr_t attr;

	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, 64 << 10);
	for (unsigned i = 0; i < n + hogs; i++) {
		struct worker *w = &workers[i];

		*w = (struct worker){.run = i < n ? run : run_hog, .turn = i};
		if (pipes && pipe(w->pipe))
			die("pipe");
		if (pthread_create(&w->thread, &attr, worker_main, w))
			die("pthread_create");
	}
	pthread_attr_destroy(&attr);
}

static void measure(const char *name, unsigned n, unsigned hogs, void (*run)(struct worker *w),
		    bool pipes)
{
	uint64_t start, before, done, took;

	go = 0;
	stop = false;
	workers_start(n, hogs, run, pipes);
	go = 1;
	syscall(SYS_futex, &go, FUTEX_WAKE_PRIVATE, INT32_MAX, NULL, NULL, 0);
	sleep_ms(WARM_MS);
	start = now();
	before = total(n);
	sleep_ms(RUN_MS);
	done = total(n) - before;
	took = now() - start;
	atomic_store(&stop, true);
	for (unsigned i = 0; i < n + hogs; i++) {
		pthread_join(workers[i].thread, NULL);
		if (pipes) {
			close(workers[i].pipe[0]);
			close(workers[i].pipe[1]);
		}
	}
	printf("%s_%u %.1f\n", name, n, (double)took / (double)(done ? done : 1));
	fflush(stdout);
}

static const struct load {
	const char *name;
	void (*run)(struct worker *w);
	bool pipes, hogs;
	unsigned n[8];
} loads[] = {
	{"threads_short", run_short, false, false, {1, 2, 4, 16, 64, 1000}},
	{"threads_mixed", run_mixed, true, false, {1, 2, 4, 16, 64, 400}},
	{"threads_hogs", run_short, false, true, {1, 2, 16}},
	{"threads_mmap", run_mmap, false, false, {1, 2, 4, 16, 64, 1000}},
	{"threads_churn", run_churn, false, false, {1, 2, 16}},
};

static unsigned cpus(void)
{
	cpu_set_t set;

	return sched_getaffinity(0, sizeof(set), &set) ? 1 : (unsigned)CPU_COUNT(&set);
}

static void load_run(const struct load *l, unsigned n)
{
	measure(l->name, n, l->hogs ? cpus() : 0, l->run, l->pipes);
}

/* NAME, or NAME_N for any N. */
static void named_run(const char *arg)
{
	for (size_t i = 0; i < sizeof(loads) / sizeof(loads[0]); i++) {
		size_t len = strlen(loads[i].name);
		unsigned n = 0;

		if (strncmp(arg, loads[i].name, len))
			continue;
		if (sscanf(arg + len, "_%u", &n) == 1 && n > 0 && n < THREADS_MAX - 64)
			load_run(&loads[i], n);
		else
			for (const unsigned *k = loads[i].n; *k; k++)
				load_run(&loads[i], *k);
	}
}

int main(int argc, char **argv)
{
	fd_null = open("/dev/null", O_WRONLY);
	if (fd_null < 0)
		die("open");
	for (int i = 1; i < argc; i++)
		named_run(argv[i]);
	for (size_t i = 0; argc < 2 && i < sizeof(loads) / sizeof(loads[0]); i++)
		named_run(loads[i].name);
	return 0;
}
