/* Times. All are signed 64-bit; nanoseconds outside [0, 999999999] are invalid, except for the
 * two special values of utimensat(2). */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define LINUX_NSEC_PER_SEC 1000000000LL
#define LINUX_UTIME_NOW 0x3fffffff
#define LINUX_UTIME_OMIT 0x3ffffffe

struct linux_timespec {
	int64_t tv_sec;
	int64_t tv_nsec;
};
_Static_assert(sizeof(struct linux_timespec) == 16, "struct timespec");

struct linux_timeval {
	int64_t tv_sec;
	int64_t tv_usec;
};
_Static_assert(sizeof(struct linux_timeval) == 16, "struct timeval");

struct linux_timezone {
	int32_t tz_minuteswest;
	int32_t tz_dsttime;
};

struct linux_itimerspec {
	struct linux_timespec it_interval;
	struct linux_timespec it_value;
};
_Static_assert(sizeof(struct linux_itimerspec) == 32, "struct itimerspec");

struct linux_itimerval {
	struct linux_timeval it_interval;
	struct linux_timeval it_value;
};
_Static_assert(sizeof(struct linux_itimerval) == 32, "struct itimerval");

struct linux_utimbuf {
	int64_t actime;
	int64_t modtime;
};

/* times(2): in ticks of 1/100 s. */
struct linux_tms {
	int64_t tms_utime, tms_stime;
	int64_t tms_cutime, tms_cstime;
};
_Static_assert(sizeof(struct linux_tms) == 32, "struct tms");

struct linux_timex {
	uint32_t modes;
	uint32_t pad0;
	int64_t offset, freq, maxerror, esterror;
	int32_t status;
	int32_t pad1;
	int64_t constant, precision, tolerance;
	struct linux_timeval time;
	int64_t tick, ppsfreq, jitter;
	int32_t shift;
	int32_t pad2;
	int64_t stabil, jitcnt, calcnt, errcnt, stbcnt;
	int32_t tai;
	int32_t pad3[11];
};
_Static_assert(sizeof(struct linux_timex) == 208, "struct timex");

static inline bool linux_timespec_valid(const struct linux_timespec *ts)
{
	return ts->tv_sec >= 0 && ts->tv_nsec >= 0 && ts->tv_nsec < LINUX_NSEC_PER_SEC;
}

/* Of a valid timespec; what doesn't fit is as long as can be. */
static inline uint64_t linux_timespec_ns(const struct linux_timespec *ts)
{
	if (ts->tv_sec >= INT64_MAX / LINUX_NSEC_PER_SEC)
		return INT64_MAX;
	return (uint64_t)ts->tv_sec * LINUX_NSEC_PER_SEC + (uint64_t)ts->tv_nsec;
}

static inline struct linux_timespec linux_timespec_from_ns(uint64_t ns)
{
	return (struct linux_timespec){(int64_t)(ns / LINUX_NSEC_PER_SEC),
				       (int64_t)(ns % LINUX_NSEC_PER_SEC)};
}
