/* What the calls with a (dirfd, path) have in common. */
#pragma once

#include <fcntl.h>
#include <limits.h>

#include "abi/base/gptr.h"
#include "sentry/kernel/task.h"
#include "vfs/file.h"
#include "vfs/walk.h"

/* A copied path and where its walk starts. */
struct at_path {
	struct walk_ctx ctx;
	char path[PATH_MAX];
};

/* The two halves of at_begin(): copies the path; takes the walk context. */
int at_fetch(struct task *t, struct gptr path, bool empty_ok, struct at_path *a);
int at_start(struct task *t, int dirfd, struct at_path *a);
/* Copies the path and takes the walk context. -EFAULT, -ENAMETOOLONG, -ENOENT (empty, unless
 * empty_ok), -EBADF, -ENOTDIR. at_end() is needed only after 0; AUTO(at) does it anyway. */
int at_begin(struct task *t, int dirfd, struct gptr path, bool empty_ok, struct at_path *a);
void at_end(struct at_path *a);
static inline void auto_at(struct at_path *a)
{
	at_end(a);
}
#define AT_PATH_INIT {.ctx = {.cred = NULL}, .path = ""}

/* The place. flags: WALK_*. With WALK_EMPTY_PATH and an empty path (or a null pointer): what dirfd is
 * open on, whatever its kind. */
int at_resolve(struct task *t, int dirfd, struct gptr path, unsigned flags, struct path *out);

/* AT_SYMLINK_NOFOLLOW and AT_EMPTY_PATH to WALK_*, for calls that follow by default. */
static inline unsigned at_walk_flags(int at_flags)
{
	unsigned flags = at_flags & AT_SYMLINK_NOFOLLOW ? 0 : WALK_FOLLOW;

	return at_flags & AT_EMPTY_PATH ? flags | WALK_EMPTY_PATH : flags;
}

uint32_t task_umask(struct task *t);
/* The place of an open file, O_PATH too. */
int fd_path(struct task *t, int fd, struct path *out);
