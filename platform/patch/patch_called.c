/* Functions that no table tells of, as they are local to a stripped file: those that known ones, or the
 * entry of the program, call or end in a jump to. The C library musl makes its blocking calls in such.
 *
 * Where such a function begins is as sure as the instruction that calls it. It ends at an instruction
 * that never goes on and that none of its branches leads beyond, or where the next one begins. What is found so
 * is looked through in turn. */
#include <errno.h>
#include <stdlib.h>

#include "platform/patch/insn.h"
#include "platform/patch/patch_impl.h"

#define CALLED_MAX 65536
#define DECODE_MAX (32UL << 20) /* bytes in all */
#define EXTENT_MAX 65536

struct search {
	const uint8_t *text; /* of [low, high) */
	uint64_t low, high;
	const struct function_list *known; /* in order, disjoint */
	uint64_t *start; /* those found, as they were found */
	size_t n;
	uint8_t *seen;	 /* a bit a byte of text: it is one of start[] */
	size_t budget;
};

/* The first known function that ends above off. */
static size_t known_above(const struct search *s, uint64_t off)
{
	size_t low = 0, high = s->known->n;

	while (low < high) {
		size_t mid = (low + high) / 2;

		if (s->known->range[mid].end <= off)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

static bool is_known(const struct search *s, uint64_t off)
{
	size_t k = known_above(s, off);

	return k < s->known->n && s->known->range[k].start <= off;
}

static bool was_seen(const struct search *s, uint64_t off)
{
	return s->seen[(off - s->low) / 8] >> (off - s->low) % 8 & 1;
}

static void note(struct search *s, uint64_t target)
{
	if (target < s->low || target >= s->high || s->n == CALLED_MAX || was_seen(s, target) ||
	    is_known(s, target))
		return;
	s->seen[(target - s->low) / 8] |= (uint8_t)(1 << (target - s->low) % 8);
	s->start[s->n++] = target;
}

static bool next(struct search *s, uint64_t off, uint64_t end, struct insn *in)
{
	if (off >= end || s->budget < INSN_MAX || !insn_decode(s->text + (off - s->low), end - off, off, in))
		return false;
	s->budget -= in->len;
	return true;
}

/* Notes whom [start, end) calls. */
static void look_through(struct search *s, uint64_t start, uint64_t end)
{
	struct insn in;

	for (uint64_t off = start; next(s, off, end, &in); off += in.len)
		if (in.kind == INSN_CALL ||
		    (in.kind == INSN_JUMP && (in.target < start || in.target >= end)))
			note(s, in.target);
}

/* Where the function that begins at `start` ends; 0: unknown. */
static uint64_t end_of(struct search *s, uint64_t start)
{
	size_t k = known_above(s, start);
	uint64_t limit = k < s->known->n ? s->known->range[k].start : s->high, far = start, off = start;
	struct insn in;

	if (limit - start > EXTENT_MAX)
		limit = start + EXTENT_MAX;
	while (next(s, off, limit, &in)) {
		off += in.len;
		if ((in.kind == INSN_BRANCH || in.kind == INSN_JUMP) && in.target > far && in.target < limit &&
		    !was_seen(s, in.target))
			far = in.target;
		if ((in.kind == INSN_END || in.kind == INSN_JUMP || in.kind == INSN_INDIRECT) && off > far)
			return off;
		if (off < limit && was_seen(s, off))
			return off;
	}
	return off == limit && limit != start + EXTENT_MAX ? off : 0;
}

static int search_run(struct search *s, struct function_list *out)
{
	for (size_t i = 0; i < s->known->n; i++)
		look_through(s, s->known->range[i].start, s->known->range[i].end);
	for (size_t i = 0; i < s->n; i++) {
		uint64_t end = end_of(s, s->start[i]);

		if (end)
			look_through(s, s->start[i], end);
	}
	/* Once more, as more is known of where others begin. */
	out->range = malloc((s->n + 1) * sizeof(out->range[0]));
	if (!out->range)
		return -ENOMEM;
	out->cap = s->n + 1;
	for (size_t i = 0; i < s->n; i++) {
		uint64_t end = end_of(s, s->start[i]);

		if (end)
			out->range[out->n++] = (struct patch_range){s->start[i], end};
	}
	return 0;
}

/* Do the tables tell of nearly all of [low, high)? */
static bool covered(const struct function_list *f, uint64_t low, uint64_t high)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < f->n; i++)
		sum += f->range[i].end - f->range[i].start;
	return sum >= (high - low) / 16 * 15;
}

int functions_called(const uint8_t *text, uint64_t low, uint64_t high, uint64_t entry,
		     struct function_list *f)
{
	struct search s = {.text = text, .low = low, .high = high, .known = f, .budget = DECODE_MAX};
	struct function_list more = {.low = low, .high = high};
	int r = -ENOMEM;

	if (covered(f, low, high))
		return 0;
	s.seen = calloc(1, (high - low) / 8 + 1);
	s.start = malloc(CALLED_MAX * sizeof(s.start[0]));
	if (s.seen && s.start) {
		note(&s, entry);
		r = search_run(&s, &more);
	}
	if (r == 0)
		r = functions_merge(f, &more);
	free(more.range);
	free(s.seen);
	free(s.start);
	return r;
}
