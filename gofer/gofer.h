/* The gofer: serves host file trees over 9P to one sandbox, from a process of its own that can
 * reach nothing else (gofer/README.md).
 *
 * The launcher makes one socket pair and one descriptor of the tree for each 9P mount, starts the
 * gofer with its ends, and gives the other ends to the sentry (vfs/p9/p9fs.h). */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum {
	/* Nothing below can be changed, whatever a client asks. */
	GOFER_READONLY = 1 << 0,
	/* Only what the mode bits give to "others" can be read, listed, walked through or
	 * changed: what the invoking user could read as owner, by a group or as root stays out
	 * of reach. */
	GOFER_OTHERS_ONLY = 1 << 1,
	/* FIFOs, or device nodes, of the host may be opened (donated) and, with GOFER_DEVICES,
	 * made. */
	GOFER_FIFOS = 1 << 2,
	GOFER_DEVICES = 1 << 3,
};

struct gofer_export {
	int fd;		  /* the tree's root: a directory or one file; O_PATH will do. Consumed */
	int sock;	  /* connected socket, stream or seqpacket. Consumed */
	uint32_t flags;	  /* GOFER_* */
	const char *name; /* for messages: where the tree comes from */
};

enum gofer_confinement {
	GOFER_UNCONFINED,   /* tests, debugging */
	GOFER_CONFINE_BEST, /* as much as this host allows: namespaces, Landlock, seccomp */
};

struct gofer_config {
	struct gofer_export *exports;
	size_t n;
	unsigned workers;  /* threads; 0: the default */
	uint32_t max_fids; /* of one connection; 0: follows RLIMIT_NOFILE */
	enum gofer_confinement confinement;
	/* Also a network namespace of its own: 0.6 ms. Without one the filter, which knows no call
	 * that makes or connects a socket, stands alone. */
	bool own_net;
};

/* A pair of sockets for one export: seqpacket, close-on-exec. 0 or -errno. */
int gofer_socketpair(int sv[2]);

/* Starts the gofer in a new process, in namespaces of its own where possible. Consumes the
 * descriptors of the exports in both processes; all others are closed in the gofer except stderr
 * and the log's. To be called while the caller has one thread. The child dies with the calling
 * thread, and when all its sockets are closed. 0 and *pid, or -errno. */
int gofer_spawn(const struct gofer_config *cfg, pid_t *pid);

/* Serves until every connection is closed, in this process: the exit status. For a process that was
 * made for it; gofer_spawn does. Consumes the exports' descriptors. */
int gofer_serve(const struct gofer_config *cfg);
