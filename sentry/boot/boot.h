/* Sets a sandbox up inside the sentry process: kernel, file systems, first process; runs it. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct p9_client;
struct platform;

enum boot_node_kind {
	BOOT_9P,      /* a 9P connection, perhaps below a memory overlay */
	BOOT_TMPFS,
	BOOT_FS,      /* another file system by its type's name, in `options` */
	BOOT_SYMLINK, /* options: the text */
	BOOT_DIR,     /* made if missing, with mode, uid, gid */
};

/* One node of the tree to build, in order; the first is the root. Missing parents are made. */
struct boot_node {
	enum boot_node_kind kind;
	char *target;	 /* absolute, inside; owned */
	char *options;	 /* tmpfs options, type name, link text; owned, may be NULL */
	char *source;	 /* what /proc/mounts shows; owned, may be NULL */
	uint32_t mode, uid, gid; /* BOOT_DIR */
	int sock;	 /* BOOT_9P */
	struct p9_client *client; /* by boot_prepare(), of sock */
	bool readonly;
	bool overlay;	 /* BOOT_9P: a writable memory overlay on top */
	bool shared;	 /* BOOT_9P: others may change it: revalidate */
	char *hosts, *hostname; /* BOOT_9P with an overlay: the texts of files of that name in it; owned, may be NULL */
	bool is_file;	 /* BOOT_9P: one file, not a directory */
	bool if_empty;	 /* BOOT_TMPFS: only if the directory is missing or empty */
};

struct boot_config {
	struct boot_node *nodes;
	size_t nnodes;
	int stdio[3]; /* host descriptors, or -1 */
	const char *hostname, *workdir;
	char *const *argv, *const *envp;
	const char *user;	  /* UID[:GID], names; NULL: uid, gid, groups */
	uint32_t uid, gid;
	const uint32_t *groups;
	size_t ngroups;
	uint64_t memory_limit, dirent_cache;
	const char *platform;
	bool no_patch;
	bool have_pid_namespace;
	int strace_fd; /* -1: none */
	int control_fd; /* to the launcher; see launch/control.h */
	bool debug;
	int nice; /* of the invoker: what the program starts with */

	/* The last of what needs privileges, and to give those up, for a thread that begins in boot_prepare(); ended
	 * before guest code runs. 0 or -errno. */
	int (*leave)(void *unused);

	struct platform *started; /* by boot_prepare() */
};

/* Launches what boot_run() would wait for, as long as the process may do so. Before any other thread exists. 0, or -errno; the launcher has
 * been told why. */
int boot_prepare(struct boot_config *cfg);

/* Runs the sandbox to its end and tells the launcher over control_fd how it went (CONTROL_STATUS
 * or CONTROL_ERROR). 0, or -errno when it did not start. */
int boot_run(const struct boot_config *cfg);
