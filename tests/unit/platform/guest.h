/* A small guest for platform tests: a space with one page of code, one of data, and a stack. */
#pragma once

#include <criterion/criterion.h>
#include <errno.h>
#include <linux/futex.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "abi/base/log.h"
#include "platform/platform.h"

#define CODE 0x10000000UL
#define DATA 0x20000000UL
#define DATA_SIZE 0x10000UL

#ifndef PLATFORM_NAME
#define PLATFORM_NAME "seccomp"
#endif

static const struct pf_ops *ops;
static struct platform *pf;

static inline void platform_up(void)
{
	struct pf_config cfg = {
		.name = PLATFORM_NAME,
		.spin_allowed = sysconf(_SC_NPROCESSORS_ONLN) > 1,
	};

	log_init("test", 2, getenv("TEST_DEBUG") ? LOG_DEBUG : LOG_WARN);
	ops = platform_lookup(PLATFORM_NAME);
	cr_assert(ops);
	cr_assert_eq(ops->start(&cfg, &pf), 0);
	if (ops->start_more)
		cr_assert_eq(ops->start_more(pf) || ops->start_wait(pf), 0);
}

static inline void platform_down(void)
{
	ops->stop(pf);
	/* No zombie, no child is left. */
	cr_assert_eq(waitpid(-1, NULL, WNOHANG), -1);
	cr_assert_eq(errno, ECHILD);
}

static inline int64_t guest_map(struct pf_thread *t, uint64_t at, size_t len, int prot)
{
	struct pf_call c = {.nr = PF_MMAP,
			    .arg = {at, len, prot, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0},
			    .fd = -1};

	return ops->call(t, &c);
}

/* A space with `code` at CODE, about to run it. */
static inline void guest_new(const void *code, size_t n, struct pf_space **s, struct pf_thread **t)
{
	cr_assert_eq(ops->space_new(pf, s, t), 0);
	cr_assert_eq(guest_map(*t, CODE, 4096, 7), (int64_t)CODE);
	cr_assert_eq(guest_map(*t, DATA, DATA_SIZE, 3), (int64_t)DATA);
	cr_assert_eq(ops->write(*s, gptr(CODE), code, n), (ssize_t)n);
	ops->regs(*t)->rip = CODE;
	ops->regs(*t)->rsp = DATA + DATA_SIZE;
}

static inline void guest_set_call(struct pf_regs *r, uint64_t nr, const uint64_t a[6])
{
	r->rax = nr;
	r->rdi = a[0];
	r->rsi = a[1];
	r->rdx = a[2];
	r->r10 = a[3];
	r->r8 = a[4];
	r->r9 = a[5];
}

static inline void guest_expect_syscall(struct pf_thread *t, struct pf_event *ev, uint64_t nr)
{
	ops->run(t, ev);
	cr_assert_eq(ev->kind, PF_SYSCALL, "kind %d signo %d addr %lx rip %lx", ev->kind, ev->signo,
		     ev->addr, ops->regs(t)->rip);
	cr_assert_eq(ev->nr, nr, "nr %lu", ev->nr);
}

/* Waits until the stub process has used CPU time: its guest, an endless loop, runs. */
static inline void guest_await_running(pid_t pid)
{
	struct timespec first, ts;
	clockid_t clock;

	cr_assert_eq(clock_getcpuclockid(pid, &clock), 0);
	clock_gettime(clock, &first);
	do {
		usleep(2000);
		clock_gettime(clock, &ts);
	} while ((ts.tv_sec - first.tv_sec) * 1000000000 + ts.tv_nsec - first.tv_nsec < 20000000);
}

static inline uint64_t test_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000ULL + ts.tv_nsec;
}
