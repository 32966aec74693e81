/* The sentry's own cage. The guest never reaches the host's kernel; should it break into the sentry, this is
 * what it finds: no capability, an empty root, and these calls. */
#include "sentry/launch/confine.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/landlock.h>
#include <linux/securebits.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "abi/base/cleanup.h"
#include "abi/base/filter.h"
#include "sentry_filter.h"

/* struct landlock_ruleset_attr, which grows: of version 4 (Linux 6.7), of version 6 (Linux 6.12). */
struct ruleset {
	uint64_t fs, net, scoped;
};
#define NET_VERSION 4
#define NET_TCP 3ULL /* bind, connect */
#define SCOPE_VERSION 6
#define SCOPE_ABSTRACT_SOCKETS (1ULL << 0)
#define SCOPE_SIGNAL (1ULL << 1)
/* Of opens, no others come through the filter. */
#define READING (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR)

int confine_drop_privileges(void)
{
	struct __user_cap_header_struct h = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct none[2] = {0};

	/* Nothing gives a capability back: no exec does with no_new_privs, and uid 0 is like any other. To empty the
	 * bounding set, too, would be 41 calls, each of which makes new credentials. */
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		return -errno;
	prctl(PR_SET_SECUREBITS, SECBIT_NOROOT | SECBIT_NOROOT_LOCKED, 0, 0, 0);
	if (syscall(SYS_capset, &h, none))
		return -errno;
	return 0;
}

/* Not there, or of a kind that has no path, as pipes: nothing to allow then. */
static void allow_reading(int rules, int fd, bool folder)
{
	struct landlock_path_beneath_attr path = {
		.parent_fd = fd,
		.allowed_access = folder ? READING : LANDLOCK_ACCESS_FS_READ_FILE,
	};

	(void)!syscall(SYS_landlock_add_rule, rules, LANDLOCK_RULE_PATH_BENEATH, &path, 0);
}

static int landlock_version(void)
{
	return (int)syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
}

/* A descriptor, or -errno. What a host's version does not know, is not asked for. */
static int ruleset_new(struct ruleset *attr, int version)
{
	int fd;

	if (version < NET_VERSION)
		attr->net = 0;
	if (version < SCOPE_VERSION)
		attr->scoped = 0;
	fd = (int)syscall(SYS_landlock_create_ruleset, attr, sizeof(*attr), 0);
	return fd < 0 ? -errno : fd;
}

static int ruleset_enter(int rules)
{
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		return -errno;
	return syscall(SYS_landlock_restrict_self, rules, 0) < 0 ? -errno : 0;
}

int confine_reach(const int *fds, size_t n)
{
	struct ruleset attr = {.fs = READING, .scoped = SCOPE_SIGNAL};
	int version = landlock_version(), r;
	AUTO(fd) int proc = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
	AUTO(fd) int rules = ruleset_new(&attr, version);

	if (rules < 0)
		return rules;
	allow_reading(rules, proc, true);
	for (size_t i = 0; i < n; i++)
		allow_reading(rules, fds[i], false);
	r = ruleset_enter(rules);
	return !r && version < SCOPE_VERSION ? -EOPNOTSUPP : r;
}

int confine_network(void)
{
	struct ruleset attr = {.net = NET_TCP, .scoped = SCOPE_ABSTRACT_SOCKETS};
	int version = landlock_version();
	AUTO(fd) int rules = version < NET_VERSION ? -EOPNOTSUPP : ruleset_new(&attr, version);

	return rules < 0 ? rules : ruleset_enter(rules);
}

int confine_filter_calls(bool traces)
{
	const struct filter plain = {sentry_filter, sizeof(sentry_filter) / sizeof(sentry_filter[0])};
	const struct filter tracer = {sentry_filter_tracer, sizeof(sentry_filter_tracer) /
								    sizeof(sentry_filter_tracer[0])};

	return filter_install(traces ? &tracer : &plain);
}
