/* For guest tests: checks that report file and line and go on. A test ends with
 * `return check_status();`; CHECK_SKIP() ends it as not possible on this host. */
#pragma once

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int check_failures;

#define CHECK_FAIL(...)                                                                            \
	do {                                                                                       \
		printf("FAIL %s:%d: ", __FILE__, __LINE__);                                        \
		printf(__VA_ARGS__);                                                               \
		printf("\n");                                                                      \
		fflush(stdout);                                                                    \
		check_failures++;                                                                  \
	} while (0)

#define CHECK(cond)                                                                                \
	do {                                                                                       \
		if (!(cond))                                                                       \
			CHECK_FAIL("%s (errno %d, %s)", #cond, errno, strerror(errno));            \
	} while (0)

#define CHECK_EQ(got_, want_)                                                                      \
	do {                                                                                       \
		long long g_ = (long long)(got_), w_ = (long long)(want_);                         \
		if (g_ != w_)                                                                      \
			CHECK_FAIL("%s is %lld (%#llx), not %s = %lld (errno %s)", #got_, g_, g_,  \
				   #want_, w_, strerror(errno));                                   \
	} while (0)

/* The call fails with this errno. */
#define CHECK_ERR(call_, err_)                                                                     \
	do {                                                                                       \
		long long r_;                                                                      \
		errno = 0;                                                                         \
		r_ = (long long)(call_);                                                           \
		if (r_ != -1 || errno != (err_))                                                   \
			CHECK_FAIL("%s: %lld, %s, not %s", #call_, r_,                             \
				   strerrorname_np(errno) ? strerrorname_np(errno) : "?", #err_);  \
	} while (0)

/* The test can't go on without it. */
#define REQUIRE(cond)                                                                              \
	do {                                                                                       \
		if (!(cond)) {                                                                     \
			CHECK_FAIL("%s (errno %d, %s): giving up", #cond, errno, strerror(errno)); \
			exit(1);                                                                   \
		}                                                                                  \
	} while (0)

#define CHECK_SKIP(why)                                                                            \
	do {                                                                                       \
		printf("SKIP %s\n", why);                                                          \
		exit(77);                                                                          \
	} while (0)

static inline int check_status(void)
{
	return check_failures ? 1 : 0;
}
