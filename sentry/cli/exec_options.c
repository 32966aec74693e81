#include "sentry/cli/exec_options.h"

#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "abi/base/cleanup.h"
#include "abi/base/log.h"
#include "platform/platform.h"
#include "sentry/cli/help.h"

enum {
	OPT_ROOTFS = 256,
	OPT_READ_ONLY,
	OPT_OVERLAY,
	OPT_TMPFS,
	OPT_ENV_ALL,
	OPT_HOSTNAME,
	OPT_PLATFORM,
	OPT_NO_PATCH,
	OPT_TIMEOUT,
	OPT_MEMORY,
	OPT_DIRENT_CACHE,
	OPT_STRACE,
	OPT_LOG,
	OPT_DEBUG,
	OPT_VERSION,
	OPT_HELP,
};

static const struct option long_options[] = {
	{"rootfs", required_argument, NULL, OPT_ROOTFS},
	{"read-only", no_argument, NULL, OPT_READ_ONLY},
	{"overlay", required_argument, NULL, OPT_OVERLAY},
	{"volume", required_argument, NULL, 'v'},
	{"tmpfs", required_argument, NULL, OPT_TMPFS},
	{"workdir", required_argument, NULL, 'w'},
	{"user", required_argument, NULL, 'u'},
	{"env", required_argument, NULL, 'e'},
	{"env-all", no_argument, NULL, OPT_ENV_ALL},
	{"hostname", required_argument, NULL, OPT_HOSTNAME},
	{"platform", required_argument, NULL, OPT_PLATFORM},
	{"no-patch", no_argument, NULL, OPT_NO_PATCH},
	{"timeout", required_argument, NULL, OPT_TIMEOUT},
	{"memory", required_argument, NULL, OPT_MEMORY},
	{"dirent-cache", required_argument, NULL, OPT_DIRENT_CACHE},
	{"strace", optional_argument, NULL, OPT_STRACE},
	{"log", required_argument, NULL, OPT_LOG},
	{"debug", no_argument, NULL, OPT_DEBUG},
	{"quiet", no_argument, NULL, 'q'},
	{"version", no_argument, NULL, OPT_VERSION},
	{"help", no_argument, NULL, OPT_HELP},
	{NULL, 0, NULL, 0},
};

static int usage_error(const char *what, const char *value, const char *why)
{
	log_user("%s '%s': %s (see 'sentry exec --help')", what, value, why);
	return -1;
}

/* Grows an array of `n` elements by one; NULL when there is no memory. */
static void *array_grow(void *array, size_t n, size_t size)
{
	return reallocarray(array, n + 1, size);
}

/* "512m", "1.5g", "1048576": bytes. */
static int parse_size(const char *s, uint64_t *out)
{
	char *end;
	double v;

	errno = 0;
	v = strtod(s, &end);
	if (end == s || errno || !isfinite(v) || v <= 0)
		return -EINVAL;
	switch (*end | 0x20) {
	case 't':
		v *= 1024;
		/* fall through */
	case 'g':
		v *= 1024;
		/* fall through */
	case 'm':
		v *= 1024;
		/* fall through */
	case 'k':
		v *= 1024;
		end++;
		break;
	default:
		break;
	}
	if (*end == 'i')
		end++;
	if ((*end | 0x20) == 'b')
		end++;
	if (*end || v >= 9e18)
		return -EINVAL;
	*out = (uint64_t)v;
	return 0;
}

/* "10", "1.5s", "2m", "1h", "1d" as timeout(1) takes them. */
static int parse_duration(const char *s, double *out)
{
	static const struct {
		char unit;
		double seconds;
	} units[] = {{'s', 1}, {'m', 60}, {'h', 3600}, {'d', 86400}};
	char *end;
	double v;

	errno = 0;
	v = strtod(s, &end);
	if (end == s || errno || !isfinite(v) || v < 0)
		return -EINVAL;
	for (size_t i = 0; *end && i < sizeof(units) / sizeof(units[0]); i++)
		if (end[0] == units[i].unit && !end[1]) {
			*out = v * units[i].seconds;
			return 0;
		}
	if (*end)
		return -EINVAL;
	*out = v;
	return 0;
}

/* SRC:DST[:ro|:rw] */
static int add_volume(struct exec_options *o, const char *arg)
{
	AUTO(free) char *copy = strdup(arg);
	struct volume_option *v;
	char *target, *mode, *real;

	if (!copy)
		return -1;
	target = strchr(copy, ':');
	if (!target)
		return usage_error("--volume", arg, "expected SRC:DST[:ro]");
	*target++ = '\0';
	mode = strchr(target, ':');
	if (mode) {
		*mode++ = '\0';
		if (strcmp(mode, "ro") && strcmp(mode, "rw"))
			return usage_error("--volume", arg, "the mode must be 'ro' or 'rw'");
	}
	if (!*copy)
		return usage_error("--volume", arg, "the source is empty");
	if (target[0] != '/')
		return usage_error("--volume", arg, "the destination must be an absolute path");
	real = realpath(copy, NULL);
	if (!real)
		return usage_error("--volume", arg, strerror(errno));
	v = array_grow(o->volumes, o->nvolumes, sizeof(*v));
	if (!v) {
		free(real);
		return -1;
	}
	o->volumes = v;
	v[o->nvolumes++] = (struct volume_option){
		.source = real,
		.target = strdup(target),
		.readonly = mode && !strcmp(mode, "ro"),
	};
	return 0;
}

/* DST[:opts] */
static int add_tmpfs(struct exec_options *o, const char *arg)
{
	struct tmpfs_option *t;
	const char *colon = strchr(arg, ':');

	if (arg[0] != '/')
		return usage_error("--tmpfs", arg, "the destination must be an absolute path");
	t = array_grow(o->tmpfs, o->ntmpfs, sizeof(*t));
	if (!t)
		return -1;
	o->tmpfs = t;
	t[o->ntmpfs++] = (struct tmpfs_option){
		.target = colon ? strndup(arg, colon - arg) : strdup(arg),
		.options = strdup(colon ? colon + 1 : ""),
	};
	return 0;
}

static int add_env(struct exec_options *o, char *arg)
{
	char **env;

	if (!arg[0] || arg[0] == '=')
		return usage_error("--env", arg, "expected NAME or NAME=VALUE");
	env = array_grow(o->env, o->nenv, sizeof(*env));
	if (!env)
		return -1;
	o->env = env;
	env[o->nenv++] = arg;
	return 0;
}

static int parse_overlay(struct exec_options *o, const char *arg)
{
	if (!strcmp(arg, "memory"))
		o->overlay = OVERLAY_MEMORY;
	else if (!strcmp(arg, "none"))
		o->overlay = OVERLAY_NONE;
	else
		return usage_error("--overlay", arg, "expected 'memory' or 'none'");
	return 0;
}

static int parse_cache(struct exec_options *o, const char *arg)
{
	char *end;

	errno = 0;
	o->dirent_cache = strtoull(arg, &end, 10);
	if (errno || *end || end == arg || arg[0] == '-' || !o->dirent_cache)
		return usage_error("--dirent-cache", arg, "expected a number of entries");
	return 0;
}

static int parse_hostname(struct exec_options *o, const char *arg)
{
	if (!arg[0] || strlen(arg) > 64)
		return usage_error("--hostname", arg, "expected 1 to 64 characters");
	o->hostname = arg;
	return 0;
}

static int parse_one(struct exec_options *o, int opt, char *arg)
{
	switch (opt) {
	case OPT_ROOTFS:
		o->rootfs = arg;
		return 0;
	case OPT_READ_ONLY:
		o->read_only = true;
		return 0;
	case OPT_OVERLAY:
		return parse_overlay(o, arg);
	case 'v':
		return add_volume(o, arg);
	case OPT_TMPFS:
		return add_tmpfs(o, arg);
	case 'w':
		if (arg[0] != '/')
			return usage_error("--workdir", arg, "must be an absolute path");
		o->workdir = arg;
		return 0;
	case 'u':
		o->user = arg;
		return 0;
	case 'e':
		return add_env(o, arg);
	case OPT_ENV_ALL:
		o->env_all = true;
		return 0;
	case OPT_HOSTNAME:
		return parse_hostname(o, arg);
	case OPT_PLATFORM:
		o->platform = arg;
		return platform_lookup(arg) ? 0
					    : usage_error("--platform", arg, "no such platform");
	case OPT_NO_PATCH:
		o->no_patch = true;
		return 0;
	case OPT_TIMEOUT:
		return parse_duration(arg, &o->timeout)
			       ? usage_error("--timeout", arg, "expected seconds, or 5m, 1h")
			       : 0;
	case OPT_MEMORY:
		return parse_size(arg, &o->memory)
			       ? usage_error("--memory", arg, "expected a size such as 512m")
			       : 0;
	case OPT_DIRENT_CACHE:
		return parse_cache(o, arg);
	case OPT_STRACE:
		o->strace = true;
		o->strace_file = arg;
		return 0;
	case OPT_LOG:
		o->log_file = arg;
		return 0;
	case OPT_DEBUG:
		o->debug = true;
		return 0;
	case 'q':
		o->quiet = true;
		return 0;
	case OPT_VERSION:
		help_print_version();
		return 1;
	case OPT_HELP:
	case 'h':
		help_print_exec();
		return 1;
	default:
		return -1;
	}
}

int exec_options_parse(int argc, char **argv, struct exec_options *out)
{
	*out = (struct exec_options){.platform = "seccomp"};
	opterr = 0;
	optind = 1;
	for (;;) {
		int at = optind;
		int opt = getopt_long(argc, argv, "+:v:w:u:e:qh", long_options, NULL);
		int r;

		if (opt == -1)
			break;
		if (opt == '?')
			return usage_error("option", argv[at ? at : 1], "unknown or malformed");
		if (opt == ':')
			return usage_error("option", argv[optind - 1], "needs a value");
		r = parse_one(out, opt, optarg);
		if (r)
			return r;
	}
	out->argv = argv + optind;
	if (!out->argv[0]) {
		log_user("no command given (usage: sentry exec [options] [--] COMMAND [ARG...])");
		return -1;
	}
	return 0;
}

void exec_options_free(struct exec_options *o)
{
	for (size_t i = 0; i < o->nvolumes; i++) {
		free(o->volumes[i].source);
		free(o->volumes[i].target);
	}
	for (size_t i = 0; i < o->ntmpfs; i++) {
		free(o->tmpfs[i].target);
		free(o->tmpfs[i].options);
	}
	free(o->volumes);
	free(o->tmpfs);
	free(o->env);
}
