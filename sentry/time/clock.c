/* Clocks. The host's clocks are the guest's: a restored sandbox gets its offsets from a time
 * namespace. CPU clocks are sums over the host threads that run the guest's. */
#include "sentry/time/clock.h"

#include <errno.h>
#include <string.h>
#include <sys/time.h>
#include <sys/timex.h>

#include "sentry/kernel/kernel.h"
#include "sentry/kernel/task.h"
#include "sentry/mm/usercopy.h"
#include "sentry/syscalls/syscalls.h"
#include "sentry/time/cpu_time.h"

int get_guest_timespec(struct task *t, struct gptr src, uint64_t *ns)
{
	struct timespec ts;
	int err = get_guest(t, &ts, src);

	if (err)
		return err;
	if (!timespec_valid(&ts))
		return -EINVAL;
	*ns = timespec_to_ns(&ts);
	return 0;
}

int put_guest_timespec(struct task *t, struct gptr dst, uint64_t ns)
{
	struct timespec ts = ns_to_timespec(ns);

	return put_guest(t, dst, &ts);
}

uint64_t deadline_after(uint64_t ns)
{
	uint64_t now = now_mono_ns();

	return ns >= (uint64_t)INT64_MAX - now ? DEADLINE_NEVER : now + ns;
}

uint64_t deadline_left(uint64_t deadline_ns)
{
	uint64_t now = now_mono_ns();

	return deadline_ns > now ? deadline_ns - now : 0;
}

int get_guest_timeout(struct task *t, struct gptr src, uint64_t *deadline_ns)
{
	uint64_t ns;
	int err;

	*deadline_ns = DEADLINE_NEVER;
	if (gptr_null(src))
		return 0;
	err = get_guest_timespec(t, src, &ns);
	if (!err)
		*deadline_ns = deadline_after(ns);
	return err;
}

static uint64_t host_clock(clockid_t clock)
{
	struct timespec ts;

	if (clock_gettime(clock, &ts) != 0)
		return 0;
	return timespec_to_ns(&ts);
}

bool clock_can_wait(int clock)
{
	switch (clock) {
	case CLOCK_REALTIME:
	case CLOCK_MONOTONIC:
	case CLOCK_BOOTTIME:
	case CLOCK_TAI:
	case CLOCK_REALTIME_ALARM:
	case CLOCK_BOOTTIME_ALARM:
		return true;
	}
	return false;
}

/* The alarm clocks differ from their plain twins only in waking a suspended machine. */
static clockid_t clock_base(int clock)
{
	if (clock == CLOCK_REALTIME_ALARM)
		return CLOCK_REALTIME;
	if (clock == CLOCK_BOOTTIME_ALARM)
		return CLOCK_BOOTTIME;
	return clock;
}

uint64_t clock_now(int clock)
{
	return host_clock(clock_base(clock));
}

uint64_t clock_deadline(int clock, uint64_t at)
{
	uint64_t now;

	if (clock == CLOCK_MONOTONIC)
		return at;
	now = clock_now(clock);
	return deadline_after(at > now ? at - now : 0);
}

int clock_read(struct task *t, int clock, uint64_t *ns)
{
	if (clock_is_cpu(clock))
		return cpu_clock_read(t, clock, ns);
	if (!clock_can_wait(clock) && clock != CLOCK_MONOTONIC_RAW &&
	    clock != CLOCK_REALTIME_COARSE && clock != CLOCK_MONOTONIC_COARSE)
		return -EINVAL;
	*ns = clock_now(clock);
	return 0;
}

/* ---- system calls --------------------------------------------------------------------------- */

int64_t sys_clock_gettime(struct task *t, int clock, struct gptr ts)
{
	uint64_t ns;
	int err = clock_read(t, clock, &ns);

	return err ? err : put_guest_timespec(t, ts, ns);
}

int64_t sys_clock_getres(struct task *t, int clock, struct gptr res)
{
	struct timespec ts = {0, 1};
	uint64_t ns;
	int err = clock_read(t, clock, &ns);

	if (err)
		return err;
	if (clock == CLOCK_REALTIME_COARSE || clock == CLOCK_MONOTONIC_COARSE)
		clock_getres(clock, &ts);
	return gptr_null(res) ? 0 : put_guest(t, res, &ts);
}

int64_t sys_gettimeofday(struct task *t, struct gptr tv, struct gptr tz)
{
	struct timeval now;
	struct timezone utc = {0};
	int err = 0;

	gettimeofday(&now, NULL);
	if (!gptr_null(tv))
		err = put_guest(t, tv, &now);
	if (!err && !gptr_null(tz))
		err = put_guest(t, tz, &utc);
	return err;
}

int64_t sys_time(struct task *t, struct gptr tloc)
{
	uint64_t now = (uint64_t)time(NULL);

	if (!gptr_null(tloc) && put_guest_u64(t, tloc, now))
		return -EFAULT;
	return (int64_t)now;
}

/* Reading is for all, changing for nobody: the clock is the host's. */
static int64_t timex_read(struct task *t, struct gptr buf)
{
	struct timex tx, out;
	int err = get_guest(t, &tx, buf);

	if (err)
		return err;
	if (tx.modes != 0 && tx.modes != ADJ_OFFSET_SS_READ)
		return -EPERM;
	memset(&out, 0, sizeof(out));
	out.modes = tx.modes;
	out.status = STA_UNSYNC;
	out.tick = 10000;
	out.maxerror = out.esterror = 16000000;
	out.tolerance = 500 << 16;
	out.precision = 1;
	out.constant = 2;
	gettimeofday(&out.time, NULL);
	err = put_guest(t, buf, &out);
	return err ? err : TIME_ERROR;
}

int64_t sys_adjtimex(struct task *t, struct gptr buf)
{
	return timex_read(t, buf);
}

int64_t sys_clock_adjtime(struct task *t, int clock, struct gptr buf)
{
	uint64_t ns;
	int err = clock_read(t, clock, &ns);

	if (err)
		return err;
	return clock == CLOCK_REALTIME ? timex_read(t, buf) : -EOPNOTSUPP;
}
