/* The first stack of a program, from the top down:
 *
 *	top     8 zero bytes
 *	        file name (AT_EXECFN)
 *	        environment strings, argument strings
 *	        "x86_64" (AT_PLATFORM), 16 random bytes (AT_RANDOM)
 *	        auxv, NULL, envp, NULL, argv, argc
 *	sp      (16-byte aligned)
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/random.h>

#include "sentry/loader/loader_impl.h"

#define EXEC_TOTAL_MIN (128u << 10)
static const char platform_name[] = "x86_64";

struct builder {
	uint8_t *bytes;
	uint64_t base; /* guest address of bytes[0] */
	uint64_t at;   /* guest address of the lowest byte used */
};

static uint64_t push(struct builder *b, const void *src, size_t n)
{
	b->at -= n;
	memcpy(b->bytes + (b->at - b->base), src, n);
	return b->at;
}

/* Bytes of all strings, or -E2BIG. */
static int64_t strings_size(char **v, size_t n)
{
	int64_t sum = 0;

	for (size_t i = 0; i < n; i++) {
		size_t len = strlen(v[i]) + 1;

		if (len > EXEC_STRING_MAX)
			return -E2BIG;
		sum += (int64_t)len;
		if (sum > EXEC_TOTAL_MAX)
			return -E2BIG;
	}
	return sum;
}

static int check_total(int64_t strings, size_t pointers, uint64_t rlim_stack)
{
	uint64_t limit = rlim_stack / 4;

	if (limit > EXEC_TOTAL_MAX)
		limit = EXEC_TOTAL_MAX;
	if (limit < EXEC_TOTAL_MIN)
		limit = EXEC_TOTAL_MIN;
	return (uint64_t)strings + pointers * 8 > limit ? -E2BIG : 0;
}

/* Strings lie in the order of the vector, upwards; *start and *end tell where. */
static void push_strings(struct builder *b, char **v, size_t n, uint64_t *start, uint64_t *end)
{
	*end = b->at;
	for (size_t i = n; i-- > 0;)
		push(b, v[i], strlen(v[i]) + 1);
	*start = b->at;
}

static uint64_t *put_vector(uint64_t *w, char **v, size_t n, uint64_t addr)
{
	for (size_t i = 0; i < n; i++) {
		*w++ = addr;
		addr += strlen(v[i]) + 1;
	}
	*w++ = 0;
	return w;
}

/* The entries that point into the stack itself follow those of the caller. */
static uint64_t *put_auxv(struct mm *m, uint64_t *w, const uint64_t (*auxv)[2], size_t auxc,
			  const uint64_t (*own)[2], size_t nown)
{
	uint64_t *start = w;
	size_t words;

	memcpy(w, auxv, auxc * 16);
	w += auxc * 2;
	memcpy(w, own, nown * 16);
	w += nown * 2;
	words = (size_t)(w - start);
	if (words > sizeof(m->auxv) / sizeof(m->auxv[0]))
		words = sizeof(m->auxv) / sizeof(m->auxv[0]);
	memcpy(m->auxv, start, words * 8);
	m->auxv_len = words / 2;
	return w;
}

int exec_stack_build(struct mm *m, const struct exec_args *args, uint64_t top, uint64_t rlim_stack,
		     const uint64_t (*auxv)[2], size_t auxc, struct exec_stack *out)
{
	int64_t argb = strings_size(args->argv, args->argc);
	int64_t envb = strings_size(args->envp, args->envc);
	size_t name_len = strlen(args->filename) + 1;
	size_t words = 1 + args->argc + 1 + args->envc + 1 + (auxc + 4) * 2;
	uint64_t own[4][2], execfn, platform, random_at, sp, *w;
	uint8_t random[16];
	struct builder b;
	size_t cap;

	if (argb < 0 || envb < 0 || args->argc > EXEC_TOTAL_MAX / 8 ||
	    args->envc > EXEC_TOTAL_MAX / 8 ||
	    check_total(argb + envb + (int64_t)name_len, args->argc + args->envc, rlim_stack))
		return -E2BIG;
	if (getrandom(random, sizeof(random), 0) != sizeof(random))
		return -EAGAIN;
	cap = 8 + name_len + (size_t)argb + (size_t)envb + sizeof(platform_name) + 16 + words * 8 + 64;
	b.bytes = calloc(1, cap);
	if (!b.bytes)
		return -ENOMEM;
	b.base = top - cap;
	b.at = top - 8;
	execfn = push(&b, args->filename, name_len);
	push_strings(&b, args->envp, args->envc, &m->env_start, &m->env_end);
	push_strings(&b, args->argv, args->argc, &m->arg_start, &m->arg_end);
	b.at &= ~15UL;
	platform = push(&b, platform_name, sizeof(platform_name));
	random_at = push(&b, random, sizeof(random));
	sp = (b.at - words * 8) & ~15UL;
	memcpy(own, (uint64_t[4][2]){{AT_RANDOM, random_at}, {AT_EXECFN, execfn},
				     {AT_PLATFORM, platform}, {AT_NULL, 0}}, sizeof(own));
	w = (uint64_t *)(void *)calloc(words, 8);
	if (!w) {
		free(b.bytes);
		return -ENOMEM;
	}
	uint64_t *p = w;

	*p++ = args->argc;
	p = put_vector(p, args->argv, args->argc, m->arg_start);
	p = put_vector(p, args->envp, args->envc, m->env_start);
	put_auxv(m, p, auxv, auxc, (const uint64_t(*)[2])own, 4);
	memcpy(b.bytes + (sp - b.base), w, words * 8);
	free(w);
	memmove(b.bytes, b.bytes + (sp - b.base), top - sp);
	m->start_stack = sp;
	*out = (struct exec_stack){.bytes = b.bytes, .len = top - sp, .sp = sp, .top = top};
	return 0;
}
