/* Shadows of files: sentry/mm/patch.h says what they are. */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* What to map: the executable segment, file offsets, and the thunks. */
struct shadow {
	int fd; /* borrowed, for good */
	uint64_t start, end, thunks, thunks_len;
	int64_t delta; /* from the segment's start to the thunks */
};

enum shadow_state {
	SHADOW_NONE,  /* there is nothing to patch, or it is not allowed */
	SHADOW_LATER, /* being made, or not to be made yet */
	SHADOW_READY,
};

void shadow_init(uint64_t entry);
/* The k-th shadow of the file behind fd. SHADOW_LATER, if k is how many there are. */
enum shadow_state shadow_get(int fd, unsigned k, struct shadow *out);
/* Asks for one with this delta. */
enum shadow_state shadow_request(int fd, int64_t delta);
