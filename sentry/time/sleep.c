/* nanosleep(2), clock_nanosleep(2). The task sleeps on its own word with a deadline: no timer is
 * armed. An interrupted relative sleep goes on through restart_syscall(2) with the deadline that it
 * had, and tells what is left. */
#include <errno.h>
#include <time.h>

#include "sentry/kernel/restart.h"
#include "sentry/kernel/task.h"
#include "sentry/mm/usercopy.h"
#include "sentry/syscalls/syscalls.h"
#include "sentry/time/clock.h"
#include "sentry/time/cpu_time.h"

/* How often a sleep on a CPU clock looks at it at least. */
#define CPU_SLEEP_MIN_NS 1000000ULL

/* Sleeps until the clock shows `at`: 0 or -EINTR. A clock that is set back meanwhile is noticed at the
 * end of the sleep. */
static int sleep_until(struct task *t, int clock, uint64_t at)
{
	for (;;) {
		uint32_t seq = task_wake_prepare(t);
		uint64_t deadline = clock_deadline(clock, at);
		int err;

		if (now_mono_ns() >= deadline)
			return 0;
		err = task_block(t, seq, deadline);
		if (err == -EINTR)
			return err;
	}
}

static int cpu_sleep_until(struct task *t, const struct cpu_clock *c, uint64_t at)
{
	for (;;) {
		uint32_t seq = task_wake_prepare(t);
		uint64_t now = cpu_clock_now(c), wait;

		if (now >= at)
			return 0;
		wait = (at - now) / cpu_clock_rate(c);
		if (wait < CPU_SLEEP_MIN_NS)
			wait = CPU_SLEEP_MIN_NS;
		if (task_block(t, seq, deadline_after(wait)) == -EINTR)
			return -EINTR;
	}
}

/* restart_args: clock, when it ends on that clock, where to tell what is left. */
static int64_t sleep_restart(struct task *t)
{
	int clock = (int)t->restart_args[0];
	uint64_t at = t->restart_args[1], now;
	struct gptr rem = gptr(t->restart_args[2]);
	struct cpu_clock c;
	int err;

	if (clock_is_cpu(clock)) {
		err = cpu_clock_resolve(t, clock, &c);
		if (err)
			return err;
		err = cpu_sleep_until(t, &c, at);
		now = cpu_clock_now(&c);
		cpu_clock_put(&c);
	} else {
		err = sleep_until(t, clock, at);
		now = clock_now(clock);
	}
	if (err != -EINTR)
		return err;
	if (!gptr_null(rem) && put_guest_timespec(t, rem, at > now ? at - now : 0))
		return -EFAULT;
	t->restart = sleep_restart;
	return -ERESTART_RESTARTBLOCK;
}

static int64_t sleep_relative(struct task *t, int clock, uint64_t now, uint64_t ns, struct gptr rem)
{
	t->restart_args[0] = (uint64_t)(int64_t)clock;
	t->restart_args[1] = ns > INT64_MAX - now ? INT64_MAX : now + ns;
	t->restart_args[2] = rem.v;
	return sleep_restart(t);
}

int64_t sys_nanosleep(struct task *t, struct gptr req, struct gptr rem)
{
	uint64_t ns;
	int err = get_guest_timespec(t, req, &ns);

	if (err)
		return err;
	return sleep_relative(t, CLOCK_MONOTONIC, now_mono_ns(), ns, rem);
}

static int64_t cpu_sleep_absolute(struct task *t, int clock, uint64_t at)
{
	struct cpu_clock c;
	int err = cpu_clock_resolve(t, clock, &c);

	if (err)
		return err;
	err = cpu_sleep_until(t, &c, at);
	cpu_clock_put(&c);
	return err;
}

int64_t sys_clock_nanosleep(struct task *t, int clock, int flags, struct gptr req, struct gptr rem)
{
	uint64_t ns, now;
	int err;

	/* Sleeping on one's own CPU clock would never end. */
	if (clock == CLOCK_THREAD_CPUTIME_ID || clock == CLOCK_MONOTONIC_RAW ||
	    clock == CLOCK_MONOTONIC_COARSE || clock == CLOCK_REALTIME_COARSE)
		return -EOPNOTSUPP;
	err = clock_read(t, clock, &now);
	if (err)
		return err;
	err = get_guest_timespec(t, req, &ns);
	if (err)
		return err;
	if (flags & TIMER_ABSTIME) {
		err = clock_is_cpu(clock) ? (int)cpu_sleep_absolute(t, clock, ns)
					  : sleep_until(t, clock, ns);
		return err == -EINTR ? -ERESTARTNOHAND : err;
	}
	/* A relative sleep doesn't follow changes of the real-time clock. */
	if (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_ALARM || clock == CLOCK_TAI) {
		clock = CLOCK_MONOTONIC;
		now = now_mono_ns();
	}
	return sleep_relative(t, clock, now, ns, rem);
}
