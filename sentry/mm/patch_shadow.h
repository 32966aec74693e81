/* Shadows of files: sentry/mm/patch.h says what they are. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct shadow_file;

/* What to map: in fd, the text of [start, end), file offsets, from 0 on, and thunks. */
struct shadow {
	int fd; /* borrowed, for good */
	uint64_t start, end, thunks, thunks_len;
	int64_t delta; /* from the text to the thunks */
};

enum shadow_state {
	SHADOW_NONE,  /* there is nothing to patch, or it is not allowed */
	SHADOW_LATER, /* being made, or not to be made yet */
	SHADOW_READY,
};

/* bytes_max: of all shadows together, at least nearly. */
void shadow_init(uint64_t entry, uint64_t bytes_max);
/* What all shadows take. */
uint64_t shadow_bytes(void);
/* The file behind fd; NULL: nobody has asked for a shadow of it, or it has none. */
struct shadow_file *shadow_lookup(int fd);
/* Counts a run of the file behind fd; how many there were. 0: it can't have a shadow. */
unsigned shadow_run(int fd);
/* The parts of f that were scanned, from 0 on; false: there are no more. */
bool shadow_window(struct shadow_file *f, unsigned w, uint64_t *start, uint64_t *end);
/* The k-th shadow of part w; false: there are no more. */
bool shadow_get(struct shadow_file *f, unsigned w, unsigned k, struct shadow *out);
/* Which part has the call site at this file offset? SHADOW_LATER: none yet. */
enum shadow_state shadow_find(struct shadow_file *f, uint64_t site, unsigned *w);
/* Asks for a shadow of what surrounds `site`, with this delta. scan: how many bytes would have to be looked at if
 * nobody has looked there yet, which must have been earned by traps. */
enum shadow_state shadow_request(int fd, uint64_t site, int64_t delta, uint64_t scan);
/* There were n traps. */
void shadow_count_traps(unsigned n);
