/* Starts a process of the sandbox in namespaces of its own.
 *
 *	launcher --clone(flags)--> the process (pid 1 with CLONE_NEWPID), waits at a gate
 *	   |  writes its id maps        |
 *	   '--- opens it -------------->| takes its ids, runs
 *
 * Where the host denies it a user namespace, or any, it gets what there is. */
#pragma once

#include <sys/types.h>

struct spawn_spec {
	const char *name;	/* for messages and prctl(PR_SET_NAME) */
	int namespaces;		/* CLONE_NEW*; those that the host denies are left out */
	unsigned host_uid, host_gid; /* what id 0 of the user namespace is on the host */
	/* Runs in the new process; its result is the exit status. got: the namespaces it is in. */
	int (*main)(void *arg, int got);
	void *arg;
};

/* The process' pid, or -errno. *got: the namespaces that it got. The process has PDEATHSIG=KILL, a
 * zeroed signal mask, and as user-namespace ids 0. */
pid_t spawn_process(const struct spawn_spec *spec, int *got);
