/* Root, working directory and umask: shared by CLONE_FS. */
#pragma once

#include <stdint.h>

#include "abi/base/lock.h"
#include "abi/base/ref.h"
#include "vfs/mount.h"

struct fs_context {
	struct ref ref;
	struct mutex mu;
	struct path root, cwd; /* protected by mu */
	uint32_t umask;	       /* protected by mu */
};

int fs_context_new(const struct path *root, const struct path *cwd, uint32_t umask,
		   struct fs_context **out);
int fs_context_clone(struct fs_context *c, struct fs_context **out);
struct fs_context *fs_context_get(struct fs_context *c);
void fs_context_put(struct fs_context *c);
/* Copies with references. */
void fs_context_root(struct fs_context *c, struct path *out);
void fs_context_cwd(struct fs_context *c, struct path *out);
