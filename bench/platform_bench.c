/* What the platform's operations cost, with no kernel above it. Run it free, and pinned to one CPU
 * with `taskset -c 0`. Prints medians in ns. */
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "abi/base/log.h"
#include "bench/bench.h"
#include "platform/platform.h"

#define CODE 0x10000000UL
#define DATA 0x20000000UL

static const struct pf_ops *ops;
static struct platform *pf;

static int cmp_u64(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static void say(const char *what, uint64_t *v, int n)
{
	qsort(v, n, sizeof(*v), cmp_u64);
	printf("%-44s %10lu   (10%% %lu, 90%% %lu)\n", what, v[n / 2], v[n / 10], v[n * 9 / 10]);
	fflush(stdout);
}

static void check(int ok, const char *what)
{
	if (!ok) {
		fprintf(stderr, "platform_bench: %s\n", what);
		exit(1);
	}
}

static int64_t map(struct pf_thread *t, uint64_t at, size_t len)
{
	struct pf_call c = {.nr = PF_MMAP,
			    .arg = {at, len, 7, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0},
			    .fd = -1};

	return ops->call(t, &c);
}

/* mov $nr,%eax; syscall; jmp back */
static const uint8_t loop[] = {0xb8, SYS_getppid, 0, 0, 0, 0x0f, 0x05, 0xeb, 0xf7};

static struct pf_thread *guest_new(void)
{
	struct pf_space *s;
	struct pf_thread *t;

	check(ops->space_new(pf, &s, &t) == 0, "space_new");
	check(map(t, CODE, 4096) == (int64_t)CODE, "mmap");
	check(ops->write(s, gptr(CODE), loop, sizeof(loop)) == sizeof(loop), "write");
	ops->regs(t)->rip = CODE;
	ops->regs(t)->rsp = CODE + 4096;
	return t;
}

static void calls(struct pf_thread *t, int n)
{
	struct pf_event ev;

	for (int i = 0; i < n; i++) {
		ops->run(t, &ev);
		check(ev.kind == PF_SYSCALL && ev.nr == SYS_getppid, "getppid");
		ops->regs(t)->rax = 42;
	}
}

static void bench_getppid(void)
{
	struct pf_thread *t = guest_new();
	uint64_t v[100];

	calls(t, 2000);
	for (int i = 0; i < 100; i++) {
		uint64_t a = now();

		calls(t, 1000);
		v[i] = (now() - a) / 1000;
	}
	say("getppid, trapped", v, 100);
	ops->thread_destroy(t);
}

/* The guest call comes after the kernel side took a while, as a blocking call's does. */
static void bench_slow_calls(void)
{
	struct pf_thread *t = guest_new();
	struct pf_event ev;
	uint64_t v[500];

	for (int i = 0; i < 500; i++) {
		uint64_t a;

		ops->run(t, &ev);
		usleep(1000);
		a = now();
		ops->run(t, &ev);
		v[i] = now() - a;
	}
	say("round trip after 1 ms in the sentry", v, 500);
	ops->thread_destroy(t);
}

static void bench_call(void)
{
	struct pf_thread *t = guest_new();
	struct pf_event ev;
	uint64_t v[1000], w[1000];
	struct pf_call un = {.nr = PF_MUNMAP, .arg = {DATA, 4096}, .fd = -1};
	struct pf_call m = {.nr = PF_MMAP,
			    .arg = {DATA, 4096, 3, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0},
			    .fd = -1};

	calls(t, 100);
	for (int i = 0; i < 1000; i++) {
		uint64_t a = now();

		map(t, DATA, 4096);
		ops->call(t, &un);
		v[i] = now() - a;
		a = now();
		ops->call_post(t, &m);
		ops->run(t, &ev);
		ops->call_post(t, &un);
		ops->run(t, &ev);
		w[i] = now() - a;
	}
	say("mmap + munmap by call()", v, 1000);
	say("mmap + munmap posted, with their traps", w, 1000);
	ops->thread_destroy(t);
}

static void bench_spaces(void)
{
	struct pf_thread *t = guest_new();
	uint64_t v[200], w[200], x[200];

	for (int i = 0; i < 200; i++) {
		struct pf_space *s;
		struct pf_thread *n;
		uint64_t a = now();

		check(ops->space_new(pf, &s, &n) == 0, "space_new");
		v[i] = now() - a;
		ops->thread_destroy(n);
		usleep(2000);
	}
	say("space_new", v, 200);
	calls(t, 100);
	for (int i = 0; i < 200; i++) {
		struct pf_space *s;
		struct pf_thread *n;
		uint64_t a = now(), b;

		check(ops->space_fork(t, &s, &n) == 0, "space_fork");
		b = now();
		w[i] = b - a;
		calls(n, 1);
		calls(t, 1);
		ops->thread_destroy(n);
		x[i] = now() - a;
	}
	say("space_fork", w, 200);
	say("space_fork, a call of each, destroy", x, 200);
	for (int i = 0; i < 200; i++) {
		struct pf_thread *n;
		uint64_t a = now();

		check(ops->thread_new(t, &n) == 0, "thread_new");
		v[i] = now() - a;
		calls(n, 1);
		ops->thread_destroy(n);
		w[i] = now() - a;
	}
	say("thread_new", v, 200);
	say("thread_new, a call, destroy", w, 200);
	ops->thread_destroy(t);
}

static void bench_native_fork(void)
{
	uint64_t v[200];

	for (int i = 0; i < 200; i++) {
		uint64_t a = now();
		pid_t p = fork();

		if (p == 0)
			_exit(0);
		waitpid(p, NULL, 0);
		v[i] = now() - a;
	}
	say("native fork + exit + wait", v, 200);
}

static void bench_memory(void)
{
	struct pf_thread *t = guest_new();
	static char buf[65536];
	uint64_t v[1000];

	map(t, DATA, sizeof(buf));
	for (int i = 0; i < 1000; i++) {
		uint64_t a = now();

		ops->read(ops->thread_space(t), buf, gptr(DATA), 64);
		v[i] = now() - a;
	}
	say("read of 64 bytes", v, 1000);
	ops->thread_destroy(t);
}

int main(int argc, char **argv)
{
	cpu_set_t cpus;
	struct pf_config cfg = {.name = "seccomp"};
	uint64_t a;

	bench_native_fork();
	sched_getaffinity(0, sizeof(cpus), &cpus);
	cfg.spin_allowed = CPU_COUNT(&cpus) > 1;
	cfg.spare_stubs = argc > 1 ? atoi(argv[1]) : 0;
	log_init("bench", 2, LOG_INFO);
	ops = platform_lookup("seccomp");
	a = now();
	check(ops->start(&cfg, &pf) == 0 && ops->start_more(pf) == 0 && ops->start_wait(pf) == 0, "start");
	printf("%-44s %10lu\n", "start", now() - a);
	bench_getppid();
	bench_slow_calls();
	bench_memory();
	bench_call();
	bench_spaces();
	ops->stop(pf);
	return 0;
}
