/* For files of rules, which tools/make_filter.c turns into the arrays of a header when we are built. Their
 * process includes that header; they are in no archive. */
#pragma once

#include <seccomp.h>

struct filter_rules {
	const char *name; /* of the array; NULL ends the list */
	/* Adds what is allowed; all else is answered EPERM. 0, or -errno. */
	int (*add)(scmp_filter_ctx f);
};

extern const struct filter_rules filter_rules[];
