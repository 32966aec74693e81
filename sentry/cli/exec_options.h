/* Options of `sentry exec`. All strings are borrowed from argv; the arrays are owned. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Exit statuses of our own; everything else is the guest's (128+n for a signal). */
enum {
	EXIT_TIMEOUT = 124,
	EXIT_SENTRY = 125,	 /* our own error, bad usage */
	EXIT_NOT_EXECUTABLE = 126,
	EXIT_NOT_FOUND = 127,
};

struct volume_option {
	char *source; /* owned; absolute */
	char *target; /* owned */
	bool readonly;
};

struct tmpfs_option {
	char *target, *options; /* owned */
};

#define DEFAULT_HOSTNAME "sentry"

struct exec_options {
	const char *rootfs;
	bool read_only;
	enum { OVERLAY_MEMORY, OVERLAY_NONE } overlay;
	struct volume_option *volumes;
	size_t nvolumes;
	struct tmpfs_option *tmpfs;
	size_t ntmpfs;
	const char *workdir;
	const char *user;
	char **env; /* NAME or NAME=VALUE, borrowed strings */
	size_t nenv;
	bool env_all;
	const char *hostname;
	const char *platform;
	bool no_patch; /* the guest's code is never rewritten */
	double timeout;	       /* seconds; 0: none */
	uint64_t memory;       /* bytes; 0: none */
	uint64_t dirent_cache; /* 0: default */
	bool strace;
	const char *strace_file;
	const char *log_file;
	bool debug, quiet;
	char **argv; /* the command; NULL-terminated */
};

/* 0: run; 1: done already (help, version), exit 0; -1: usage error, already said. */
int exec_options_parse(int argc, char **argv, struct exec_options *out);
void exec_options_free(struct exec_options *o);
