/* What the tests of races between futex calls share. Each race runs for RACE_MS, however much or little happens
 * in that time: what is checked holds for any number of rounds. */
#pragma once

#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/guest/check.h"

#define RACE_MS 120

static inline long futex(void *addr, int op, unsigned val, const void *timeout, void *addr2,
			 unsigned val3)
{
	return syscall(SYS_futex, addr, op, val, timeout, addr2, val3);
}

static inline int64_t now_ns(clockid_t c)
{
	struct timespec ts;

	clock_gettime(c, &ts);
	return ts.tv_sec * 1000000000LL + ts.tv_nsec;
}

static inline int64_t race_end(void)
{
	return now_ns(CLOCK_MONOTONIC) + RACE_MS * 1000000LL;
}

static inline bool race_on(int64_t end)
{
	return now_ns(CLOCK_MONOTONIC) < end;
}

/* In a forked child: what its parent found wrong doesn't count again. */
static inline pid_t race_fork(void)
{
	pid_t pid = fork();

	REQUIRE(pid >= 0);
	if (pid == 0)
		check_failures = 0;
	return pid;
}

/* One state for each thread or process. */
static inline unsigned rnd(unsigned *state)
{
	*state = *state * 1103515245 + 12345;
	return *state >> 16 & 0x7fff;
}

/* Some microseconds from now, or at once. */
static inline struct timespec soon(unsigned *state)
{
	return (struct timespec){0, (long)(rnd(state) % 8 ? rnd(state) % 200 * 1000 : 0)};
}

static inline void *shared_page(void)
{
	void *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	REQUIRE(p != MAP_FAILED);
	return p;
}

static inline pid_t gettid_(void)
{
	return (pid_t)syscall(SYS_gettid);
}

static inline void thread_start(pthread_t *t, void *(*fn)(void *), void *arg)
{
	REQUIRE(pthread_create(t, NULL, fn, arg) == 0);
}
