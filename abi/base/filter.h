/* A process's own list of system calls, as a program for seccomp. The programs are made when we are built
 * (filter_rules.h): making one takes a third of a millisecond, and each start of a sandbox needs two. */
#pragma once

#include <linux/filter.h>
#include <stddef.h>

struct filter {
	const struct sock_filter *code;
	size_t n;
};

/* For all threads of the process, which must have no_new_privs. 0, or -errno. */
int filter_install(const struct filter *f);
