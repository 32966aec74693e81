/* What calls with a path came to, kept where every stub of the sandbox can read it, so that the same
 * question is answered without the sentry: platform/stub/answers.c asks, platform/seccomp/answers.c
 * writes, and sentry/syscalls/fs_answer.c knows when an answer may be kept.
 *
 *	STUB_PATHS  counters of changes   an answer says which of them it depends on, and their sum
 *	            places                root and working directory of each fs_context, as numbers
 *	            index                 where the answer to questions with this hash may be
 *	            answers               one after the other, the oldest is overwritten
 *
 * An answer holds as long as the sum of its counters is what it was before the call that it comes from: who
 * changes something counts before his own call returns. A place's numbers change when its directory does.
 *
 * The sentry alone can write here (the memory is sealed against other mappings). An answer that is being
 * written has an odd `seq`. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "platform/stub/layout.h"

#define ANSWER_CHANGES 32
#define ANSWER_PLACES 4096
#define ANSWER_INDEX 4096
#define ANSWERS 1024
#define ANSWER_PATH 192
#define ANSWER_DATA 256 /* struct statx */

struct answer {
	_Alignas(64) uint32_t seq;
	uint32_t nr;
	uint32_t x, y; /* the other arguments that the answer depends on */
	uint64_t cred, place;
	uint64_t changed; /* the sum of the counters that it depends on */
	uint32_t of; /* which counters those are, a bit each */
	uint32_t data_len; /* of what the call writes, beside its result */
	int32_t result;
	uint32_t path_len;
	char path[ANSWER_PATH];
	uint64_t data[ANSWER_DATA / 8];
};

struct answer_place {
	uint64_t root, cwd; /* for paths that begin with a slash, and others; 0: unknown */
};

struct answers {
	uint64_t changes[ANSWER_CHANGES];
	_Alignas(64) struct answer_place place[ANSWER_PLACES]; /* 0: none */
	_Alignas(64) uint16_t index[ANSWER_INDEX]; /* 0: nowhere */
	_Alignas(64) struct answer answer[ANSWERS]; /* not [0] */
};
_Static_assert(sizeof(struct answers) <= STUB_PATHS_SIZE, "layout.h");

/* Where a call has its arguments; -1: it has none of that kind. */
struct answer_shape {
	uint16_t nr;
	int8_t dirfd, path, x, y;
	int8_t data, size; /* where the result goes, and the argument that bounds it */
};

/* NULL: never answered so. */
static inline const struct answer_shape *answer_shape(uint64_t nr)
{
	static const struct answer_shape shapes[] = {
		{2, -1, 0, 1, -1, -1, -1},   /* open, as long as it makes nothing */
		{4, -1, 0, -1, -1, 1, -1},   /* stat */
		{6, -1, 0, -1, -1, 1, -1},   /* lstat */
		{21, -1, 0, 1, -1, -1, -1},  /* access */
		{89, -1, 0, -1, -1, 1, 2},   /* readlink */
		{257, 0, 1, 2, -1, -1, -1},  /* openat */
		{262, 0, 1, 3, -1, 2, -1},   /* newfstatat */
		{267, 0, 1, -1, -1, 2, 3},   /* readlinkat */
		{269, 0, 1, 2, -1, -1, -1},  /* faccessat */
		{332, 0, 1, 2, 3, 4, -1},    /* statx */
		{439, 0, 1, 2, 3, -1, -1},   /* faccessat2 */
	};

	for (unsigned i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++)
		if (shapes[i].nr == nr)
			return &shapes[i];
	return NULL;
}

/* A question, put together by both sides in the same way. */
struct answer_key {
	uint32_t nr, x, y, path_len;
	uint64_t cred, place;
	const char *path;
};

#define ANSWER_AT_FDCWD (-100)
#define ANSWER_O_MAKES 020000100u /* O_CREAT, the bit of O_TMPFILE */

/* args: the call's six. False: no answer can be had, or kept. The caller has set the path. */
static inline int answer_key(struct answer_key *k, const struct answer_shape *s, const uint64_t args[6],
			     uint64_t cred, const struct answer_place *place)
{
	int absolute = k->path_len && k->path[0] == '/';

	k->nr = s->nr;
	k->x = s->x < 0 ? 0 : (uint32_t)args[s->x];
	k->y = s->y < 0 ? 0 : (uint32_t)args[s->y];
	k->cred = cred;
	k->place = absolute ? __atomic_load_n(&place->root, __ATOMIC_ACQUIRE) :
			      __atomic_load_n(&place->cwd, __ATOMIC_ACQUIRE);
	if (!k->place || !k->path_len || k->path_len > ANSWER_PATH)
		return 0;
	if (s->dirfd >= 0 && !absolute && (int32_t)args[s->dirfd] != ANSWER_AT_FDCWD)
		return 0;
	if (s->size >= 0 && (int32_t)args[s->size] <= 0)
		return 0;
	return !((s->nr == 2 || s->nr == 257) && k->x & ANSWER_O_MAKES);
}

static inline uint64_t answer_mix(uint64_t h, uint64_t v)
{
	h = (h ^ v) * 0x9e3779b97f4a7c15UL;
	return h ^ h >> 29;
}

static inline unsigned answer_hash(const struct answer_key *k)
{
	uint64_t h = answer_mix(k->cred, k->place), v;
	uint32_t n = k->path_len, i;

	h = answer_mix(h, (uint64_t)k->x << 32 | k->y);
	h = answer_mix(h, (uint64_t)k->nr << 32 | n);
	for (i = 0; i + 8 <= n; i += 8) {
		__builtin_memcpy(&v, k->path + i, 8);
		h = answer_mix(h, v);
	}
	for (v = 0; i < n; i++)
		v = v << 8 | (uint8_t)k->path[i];
	h = answer_mix(h, v);
	return (h ^ h >> 32) % ANSWER_INDEX;
}

static inline int answer_is(const struct answer *a, const struct answer_key *k)
{
	uint32_t i = 0, n = k->path_len;
	uint64_t v, w;

	if (a->nr != k->nr || a->path_len != n || a->place != k->place || a->cred != k->cred ||
	    a->x != k->x || a->y != k->y)
		return 0;
	for (; i + 8 <= n; i += 8) {
		__builtin_memcpy(&v, a->path + i, 8);
		__builtin_memcpy(&w, k->path + i, 8);
		if (v != w)
			return 0;
	}
	for (; i < n; i++)
		if (a->path[i] != k->path[i])
			return 0;
	return 1;
}

/* Is `changed` still the sum of these counters? */
static inline int changes_hold(const struct answers *t, uint32_t of, uint64_t changed)
{
	uint64_t sum = 0;

	for (; of; of &= of - 1)
		sum += __atomic_load_n(&t->changes[__builtin_ctz(of) % ANSWER_CHANGES], __ATOMIC_ACQUIRE);
	return sum == changed;
}

static inline int answer_holds(const struct answers *t, const struct answer *a)
{
	return changes_hold(t, a->of, a->changed);
}
