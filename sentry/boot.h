/* Sets a sandbox up inside the sentry process: kernel, file systems, first process. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct boot_mount {
	enum { BOOT_MOUNT_9P, BOOT_MOUNT_TMPFS, BOOT_MOUNT_PROC, BOOT_MOUNT_SYSFS, BOOT_MOUNT_DEV, BOOT_MOUNT_DEVPTS, BOOT_MOUNT_MQUEUE } kind;
	const char *target;  /* absolute, inside */
	const char *options; /* tmpfs */
	int sock;	     /* 9P connection, or -1 */
	bool readonly;
	bool overlay;	     /* a writable memory overlay on top */
	bool is_file;	     /* 9P export is a single file */
};

struct boot_config {
	const struct boot_mount *mounts; /* the first one is the root */
	size_t nmounts;
	int stdio[3];		/* host descriptors, or -1 */
	bool stdio_tty[3];
	const char *hostname, *workdir;
	char *const *argv, *const *envp;
	uint32_t uid, gid;
	const uint32_t *groups;
	size_t ngroups;
	uint64_t memory_limit, dirent_cache;
	const char *platform;
	bool have_pid_ns;
	bool strace;
	int strace_fd;
	int control_fd;		/* from the launcher: signals, window size; -1 */
};

/* Runs the sandbox to its end; the wait status of the first process, or -errno with one line said
 * to the user (125/126/127 is the CLI's affair: *exec_error says whether exec failed). */
int boot_run(const struct boot_config *cfg, bool *exec_error);
