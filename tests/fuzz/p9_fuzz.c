/* Fuzz target: the 9P decoder, and that whatever it accepts encodes to bytes that decode to the
 * same bytes again.
 *
 *	clang -g -O1 -fsanitize=fuzzer,address,undefined -I. -D_GNU_SOURCE tests/fuzz/p9_fuzz.c abi/p9/codec.c
 *	cc -DSTANDALONE ...	reads files named on the command line, or mutates bytes of its own N times
 * / */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "abi/p9/p9.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct p9_msg m, again;
	uint8_t *in = malloc(size + 1), *out = malloc(size + 64);
	struct p9_dirent d;
	struct p9_entry e;
	struct p9_cur c;
	ssize_t n;

	if (!in || !out)
		abort();
	memcpy(in, data, size);
	if (size >= 4) { /* the size field is checked first: let the rest be reached */
		c = p9_cur(in, 4);
		p9_put_u32(&c, (uint32_t)size);
	}
	if (p9_decode(in, size, &m) == 0) {
		n = p9_encode(&m, out, size + 64);
		if (n < (ssize_t)size || p9_decode(out, (size_t)n, &again) != 0)
			abort();
		if ((size_t)n == size && memcmp(in, out, size) != 0)
			abort();
	}
	c = p9_cur(in, size);
	while (p9_get_dirent(&c, &d))
		if (d.name.len && !memchr(d.name.p, d.name.p[0], d.name.len))
			abort();
	c = p9_cur(in, size);
	while (p9_get_entry(&c, &e))
		if (e.target.len && !memchr(e.target.p, e.target.p[0], e.target.len))
			abort();
	free(in);
	free(out);
	return 0;
}

#ifdef STANDALONE
int main(int argc, char **argv)
{
	unsigned long rounds = argc > 1 ? strtoul(argv[1], NULL, 0) : 100000;
	uint8_t buf[512];
	unsigned seed = 1;

	for (unsigned long i = 0; i < rounds; i++) {
		size_t n = (size_t)rand_r(&seed) % sizeof(buf);

		for (size_t k = 0; k < n; k++)
			buf[k] = rand_r(&seed) % 4 ? 0 : (uint8_t)rand_r(&seed);
		LLVMFuzzerTestOneInput(buf, n);
	}
	return 0;
}
#endif
