/* Root, working directory and umask: shared by CLONE_FS. */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "abi/base/lock.h"
#include "abi/base/ref.h"
#include "vfs/mount.h"

struct fs_context {
	struct ref ref;
	struct mutex mu;
	struct path root, cwd; /* protected by mu */
	uint32_t umask;	       /* protected by mu */
	/* For the answers that stubs give: the platform's number for this context, and numbers that nothing else has
	 * had, of root and cwd. A copy has the same, a change makes new ones. */
	unsigned place;
	_Atomic uint64_t root_id, cwd_id; /* written with mu held, after root and cwd */
};

int fs_context_new(const struct path *root, const struct path *cwd, uint32_t umask,
		   struct fs_context **out);
int fs_context_clone(struct fs_context *c, struct fs_context **out);
struct fs_context *fs_context_get(struct fs_context *c);
void fs_context_put(struct fs_context *c);
/* To be called with mu held after root, cwd or both have been changed, and before that can be told. */
void fs_context_moved(struct fs_context *c, bool root, bool cwd);
/* Copies with references. */
void fs_context_root(struct fs_context *c, struct path *out);
void fs_context_cwd(struct fs_context *c, struct path *out);
