/* A gofer that serves a temporary directory, and a VFS that mounts it. */
#pragma once

#include "gofer/gofer.h"
#include "vfs/p9/p9fs.h"
#include "vfs/walk.h"

struct tree {
	char dir[64];	/* on the host */
	pid_t gofer;
	int sock;	/* the client's end, until it is mounted; -1 */
	struct fs *fs;
	struct mount_ns *ns;
	struct walk_ctx ctx;
	struct cred *cred;
};

struct tree_options {
	uint32_t export_flags;
	enum p9fs_cache cache;
	enum gofer_confinement confinement;
	bool stream;
	bool plain;    /* between the two somebody who knows only 9P2000.L */
	uint32_t max_fids;
	bool unmounted; /* only the gofer and the socket */
};

void tree_open(struct tree *t, const struct tree_options *o);
/* Ends the gofer and removes the directory. The wait status. */
int tree_close(struct tree *t);
/* A path below the host directory; valid until the next four calls. */
const char *tree_host(struct tree *t, const char *name);
void tree_write_host(struct tree *t, const char *name, const char *text);
/* What is in a file, as a guest sees it, or why it can't be read; valid until the next call. */
const char *tree_get(struct tree *t, const char *path);
void tree_put(struct tree *t, const char *path, int flags, const char *text);
