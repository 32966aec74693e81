/* The one path walk: symlinks (limit 40), "..", mounts, trailing slashes, O_NOFOLLOW, openat2's
 * resolve flags (path_resolution(7), openat2(2)). */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vfs/mount.h"

struct cred;

/* Where a walk starts and what bounds it; borrowed. */
struct walk_ctx {
	struct path root, cwd; /* cwd: also a dirfd's place */
	const struct cred *cred;
};

enum {
	WALK_FOLLOW = 1 << 0,	 /* follow a symlink in the last component */
	WALK_DIRECTORY = 1 << 1, /* the result must be a directory */
	WALK_EMPTY_PATH = 1 << 2,/* AT_EMPTY_PATH: "" names cwd itself */
	WALK_NO_XDEV = 1 << 3,	 /* RESOLVE_* of openat2 */
	WALK_NO_MAGICLINKS = 1 << 4,
	WALK_NO_SYMLINKS = 1 << 5,
	WALK_BENEATH = 1 << 6,
	WALK_IN_ROOT = 1 << 7,
	WALK_CACHED = 1 << 8,
	WALK_NO_AUTOMOUNT = 1 << 9,
	WALK_TO_READ = 1 << 10,	 /* a hint: what is found will be opened for reading */
};

/* While a walk looks a name up: what follows it in the path, as text, or NULL. A file system that can look several
 * names up at once may do so, as long as it believes its own answers later. */
extern _Thread_local const char *walk_ahead;
extern _Thread_local bool walk_to_read; /* WALK_TO_READ */

/* The place that `path` names; references in *out. -ENOENT, -ENOTDIR, -EACCES, -ELOOP,
 * -ENAMETOOLONG, -EXDEV. path: NUL-terminated, at most PATH_MAX-1. */
int vfs_walk(const struct walk_ctx *ctx, const char *path, unsigned flags, struct path *out);

/* The parent of the last component, for calls that make or remove a name. */
struct walk_last {
	const char *name; /* into the path given, or into storage */
	size_t len;
	enum { LAST_NORMAL, LAST_DOT, LAST_DOTDOT, LAST_ROOT } kind;
	bool trailing_slash;
	char storage[256];
};
int vfs_walk_parent(const struct walk_ctx *ctx, const char *path, unsigned flags,
		    struct path *parent, struct walk_last *last);
