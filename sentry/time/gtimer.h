/* A guest's timer on any clock: what interval timers, POSIX timers and timerfds are made of. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "abi/base/gptr.h"
#include "abi/base/lock.h"
#include "sentry/kernel/timer.h"
#include "sentry/time/cpu_time.h"

struct task;

struct gtimer {
	struct ktimer kt;
	int clock;		     /* of clock_can_wait(); unused for a CPU clock */
	struct cpu_clock cpu;	     /* tg or task set: a CPU clock; its references are the owner's affair */
	/* The timer has expired n times since the last call. On the timer thread, no lock held. */
	void (*expire)(struct gtimer *g, uint64_t n);
	struct mutex mu;
	/* protected by mu */
	uint64_t at;	   /* next expiry on the clock; 0: disarmed */
	uint64_t interval; /* 0: once */
	uint64_t seen;	   /* CPU clocks: what the clock showed at the last look */
	uint64_t backoff;  /* CPU clocks: how long to wait while nothing runs */
};

/* cpu: NULL for a clock that goes by itself. */
void gtimer_init(struct gtimer *g, int clock, const struct cpu_clock *cpu,
		 void (*expire)(struct gtimer *g, uint64_t n));
/* Waits for a running expire(). Hold no lock that it takes. */
void gtimer_destroy(struct gtimer *g);

struct gtimer_value {
	uint64_t left, interval; /* ns; left 0: disarmed */
};

/* value 0 disarms. absolute: value is a time of the clock. *old may be NULL. */
void gtimer_set(struct gtimer *g, uint64_t value, uint64_t interval, bool absolute,
		struct gtimer_value *old);
struct gtimer_value gtimer_get(struct gtimer *g);
bool gtimer_on_cpu_clock(const struct gtimer *g);

/* struct itimerspec of the guest. -EFAULT, -EINVAL. */
int get_guest_itimerspec(struct task *t, struct gptr src, uint64_t *value, uint64_t *interval);
int put_guest_itimerspec(struct task *t, struct gptr dst, const struct gtimer_value *v);
