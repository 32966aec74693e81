/* For guest tests: checks that report file and line and go on. A test ends with
 * `return check_status();`; CHECK_SKIP() ends it as not possible on this host. */
#pragma once

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

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

/* SIGALRM every so many microseconds, until check_alarms(0): a single one may come before what it is to
 * interrupt has begun. */
static inline void check_alarms(long usec)
{
	struct itimerval it = {{0, usec}, {0, usec}};

	setitimer(ITIMER_REAL, &it, NULL);
}

/* Waits until the thread or process sleeps in the kernel, where its last call is to have brought it. For one
 * that calls nothing else that sleeps. */
static inline void check_asleep(int tid)
{
	char path[64], text[256], *state;

	snprintf(path, sizeof(path), "/proc/self/task/%d/stat", tid);
	if (access(path, F_OK))
		snprintf(path, sizeof(path), "/proc/%d/stat", tid);
	for (int i = 0; i < 20000; i++) {
		int fd = open(path, O_RDONLY);
		ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);

		close(fd);
		text[n > 0 ? n : 0] = 0;
		state = strrchr(text, ')');
		if (!state || strchr("SZX", state[2])) /* it may have ended, if it was not to sleep */
			return;
		usleep(500);
	}
	CHECK_FAIL("%s: it does not sleep", path);
}

/* Runs fn in a child, whose failed checks count. */
static inline void check_in_child(void (*fn)(void))
{
	int status = -1;
	pid_t pid = fork();

	if (pid == 0) {
		fn();
		fflush(stdout);
		_exit(check_failures != 0);
	}
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	CHECK_EQ(status, 0);
}

static inline int check_status(void)
{
	return check_failures ? 1 : 0;
}
