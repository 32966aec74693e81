/* Prints the filters of a file of rules (abi/base/filter_rules.h) as C arrays. */
#include <errno.h>
#include <inttypes.h>
#include <linux/filter.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "abi/base/filter_rules.h"

static int print_array(const char *name, FILE *program)
{
	struct sock_filter f;

	printf("static const struct sock_filter %s[] = {\n", name);
	rewind(program);
	while (fread(&f, sizeof(f), 1, program) == 1)
		printf("\t{0x%02x, %u, %u, 0x%08" PRIx32 "},\n", f.code, f.jt, f.jf, f.k);
	printf("};\n");
	return ferror(program) || ferror(stdout) ? -EIO : 0;
}

static int make_filter(const struct filter_rules *rules)
{
	scmp_filter_ctx f = seccomp_init(SCMP_ACT_ERRNO(EPERM));
	FILE *program = tmpfile();
	int r = f && program ? 0 : -ENOMEM;

	/* A binary tree instead of a list. */
	if (!r)
		r = seccomp_attr_set(f, SCMP_FLTATR_CTL_OPTIMIZE, 2);
	if (!r)
		r = rules->add(f);
	if (!r)
		r = seccomp_export_bpf(f, fileno(program));
	if (!r)
		r = print_array(rules->name, program);
	if (program)
		fclose(program);
	seccomp_release(f);
	return r;
}

int main(void)
{
	printf("#pragma once\n#include <linux/filter.h>\n");
	for (const struct filter_rules *rules = filter_rules; rules->name; rules++) {
		int r = make_filter(rules);

		if (r) {
			fprintf(stderr, "make_filter: %s: %s\n", rules->name, strerror(-r));
			return 1;
		}
	}
	return fflush(stdout) ? 1 : 0;
}
