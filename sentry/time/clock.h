/* Clocks of the guest and arithmetic with times: clock_gettime(2). Times inside the sentry are
 * uint64_t ns; UINT64_MAX as a deadline means never. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "abi/base/gptr.h"

struct task;

#define NSEC_PER_SEC 1000000000ULL
#define DEADLINE_NEVER UINT64_MAX

/* Valid for the kernel: not negative, nanoseconds below a second. */
static inline bool timespec_valid(const struct timespec *ts)
{
	return ts->tv_sec >= 0 && ts->tv_nsec >= 0 && ts->tv_nsec < 1000000000L;
}

/* Of a valid time; saturates at INT64_MAX ns (292 years), as Linux does. */
static inline uint64_t timespec_to_ns(const struct timespec *ts)
{
	if ((uint64_t)ts->tv_sec >= INT64_MAX / NSEC_PER_SEC)
		return INT64_MAX;
	return (uint64_t)ts->tv_sec * NSEC_PER_SEC + (uint64_t)ts->tv_nsec;
}

static inline struct timespec ns_to_timespec(uint64_t ns)
{
	return (struct timespec){(time_t)(ns / NSEC_PER_SEC), (long)(ns % NSEC_PER_SEC)};
}

/* Copies a timespec from the guest: 0 with *ns, -EFAULT, -EINVAL. */
int get_guest_timespec(struct task *t, struct gptr src, uint64_t *ns);
int put_guest_timespec(struct task *t, struct gptr dst, uint64_t ns);

/* now + ns, or DEADLINE_NEVER when that overflows; absolute CLOCK_MONOTONIC. */
uint64_t deadline_after(uint64_t ns);
/* What is left until then: 0 when passed. */
uint64_t deadline_left(uint64_t deadline_ns);
/* An optional relative timeout of a system call: GNULL is never. *deadline absolute. */
int get_guest_timeout(struct task *t, struct gptr src, uint64_t *deadline_ns);

/* Reads any clock that t may name: CPU clocks of other processes too. -EINVAL. */
int clock_read(struct task *t, int clock, uint64_t *ns);
/* Does it count CPU time? */
static inline bool clock_is_cpu(int clock)
{
	return clock < 0 || clock == CLOCK_PROCESS_CPUTIME_ID || clock == CLOCK_THREAD_CPUTIME_ID;
}
/* A clock on which a guest may wait other than a CPU clock: REALTIME, MONOTONIC, BOOTTIME, TAI and the
 * alarm kinds. */
bool clock_can_wait(int clock);
/* The value of a clock of clock_can_wait(); no task needed. */
uint64_t clock_now(int clock);
/* When a clock will show `at`, on CLOCK_MONOTONIC, as far as can be told now. */
uint64_t clock_deadline(int clock, uint64_t at);
