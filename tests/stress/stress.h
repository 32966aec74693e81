/* For stress programs: many processes and threads that make random calls, for a time, inside the sandbox only. What a
 * call returns doesn't matter; that the sandbox lives, and ends when told to, does. */
#pragma once

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static __thread uint64_t rnd_state;

static inline uint32_t rnd(uint32_t n)
{
	rnd_state = rnd_state * 6364136223846793005ULL + 1442695040888963407ULL;
	return (uint32_t)(rnd_state >> 33) % n;
}

#define PICK(a) ((a)[rnd(sizeof(a) / sizeof((a)[0]))])

static struct timespec stress_end;

static inline bool stress_over(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec > stress_end.tv_sec ||
	       (now.tv_sec == stress_end.tv_sec && now.tv_nsec >= stress_end.tv_nsec);
}

/* Arguments: seconds, seed. Such a program must never run on the host: it would do there what it is told at random. */
static inline uint64_t stress_begin(int argc, char **argv)
{
	struct utsname u;

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (uname(&u) || !strstr(u.version, "sentry")) {
		fprintf(stderr, "%s runs in the sandbox only\n", argv[0]);
		exit(77);
	}
	clock_gettime(CLOCK_MONOTONIC, &stress_end);
	stress_end.tv_sec += argc > 1 ? atoi(argv[1]) : 5;
	return rnd_state = argc > 2 ? strtoull(argv[2], NULL, 0) : 1;
}

static inline void nothing(int sig)
{
}
