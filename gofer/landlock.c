/* Where there are no namespaces: Landlock keeps opens and changes below the exported trees. It says
 * nothing about stat and the like; those have no way out either but a descriptor, and all that the
 * gofer has are of the trees. */
#include <errno.h>
#include <linux/landlock.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "gofer/gofer_impl.h"

#ifndef LANDLOCK_ACCESS_FS_REFER
#define LANDLOCK_ACCESS_FS_REFER (1ULL << 13)
#endif
#ifndef LANDLOCK_ACCESS_FS_TRUNCATE
#define LANDLOCK_ACCESS_FS_TRUNCATE (1ULL << 14)
#endif

#define ACCESS_READ (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR)
#define ACCESS_FILE                                                                                \
	(LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE |                            \
	 LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_TRUNCATE)
/* The first version's 13 rights. */
#define ACCESS_V1 ((1ULL << 13) - 1)

static uint64_t access_handled(int abi)
{
	uint64_t a = ACCESS_V1;

	if (abi >= 2)
		a |= LANDLOCK_ACCESS_FS_REFER;
	if (abi >= 3)
		a |= LANDLOCK_ACCESS_FS_TRUNCATE;
	return a;
}

int confine_landlock(const struct gofer_config *cfg)
{
	struct landlock_ruleset_attr attr;
	AUTO(fd) int rules = -1;
	int abi =
	    (int)syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);

	if (abi < 1)
		return abi < 0 ? -errno : -ENOSYS;
	attr = (struct landlock_ruleset_attr){.handled_access_fs = access_handled(abi)};
	rules = (int)syscall(SYS_landlock_create_ruleset, &attr, sizeof(attr), 0);
	if (rules < 0)
		return -errno;
	for (size_t i = 0; i < cfg->n; i++) {
		struct landlock_path_beneath_attr path = {
		    .parent_fd = cfg->exports[i].fd,
		    .allowed_access =
		        attr.handled_access_fs & ~(uint64_t)LANDLOCK_ACCESS_FS_EXECUTE,
		};
		struct stat st;

		if (fstat(path.parent_fd, &st) < 0)
			return -errno;
		if (cfg->exports[i].flags & GOFER_READONLY)
			path.allowed_access &= ACCESS_READ;
		if (!S_ISDIR(st.st_mode))
			path.allowed_access &= ACCESS_FILE;
		if (syscall(SYS_landlock_add_rule, rules, LANDLOCK_RULE_PATH_BENEATH, &path, 0) < 0)
			return -errno;
	}
	return syscall(SYS_landlock_restrict_self, rules, 0) < 0 ? -errno : 0;
}
