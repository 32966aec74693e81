/* Starts a process of the sandbox in namespaces of its own.
 *
 *	launcher --fork--> helper: unshare(flags) --fork--> the process (pid 1 with CLONE_NEWPID)
 *	   |  writes the id maps        | exits
 *	   '--- adopts the process as a child subreaper, releases it, waits for it
 *
 * The detour through fork() (instead of one clone with all flags) keeps the C library's idea of thread ids
 * right, and the process is the launcher's child all the same. */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

struct spawn_spec {
	const char *name;	/* for messages and prctl(PR_SET_NAME) */
	int namespaces;		/* CLONE_NEW*; those that the host denies are left out */
	unsigned host_uid, host_gid; /* what id 0 of the user namespace is on the host */
	bool map_all;		/* identity map of all ids instead (a root gofer) */
	/* Runs in the new process; its result is the exit status. got: the namespaces it is in. */
	int (*main)(void *arg, int got);
	void *arg;
};

/* The process' pid, or -errno. *got: the namespaces that it got. The process has PDEATHSIG=KILL, a
 * zeroed signal mask, and as user-namespace ids 0. */
pid_t spawn_process(const struct spawn_spec *spec, int *got);
