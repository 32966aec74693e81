/* Counters of changes, by which somebody who remembers what a path walk came to knows whether it would
 * come to the same now.
 *
 * A counter stands for some file systems: it counts names that come, go or move there, and changes of
 * modes and owners; the first one counts changes of the mounts. A walk through nothing but file systems whose names
 * change only by what is counted (walk_seen.pure) depends on the first and on those of the file systems
 * that it went through (walk_seen.of). Who makes a change counts it after he has made it and before his own call returns: a result is good
 * as long as the counters say what they said *before* the walk. */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct fs;
struct inode;

#define VFS_CHANGES 32
#define VFS_CHANGES_MOUNTS 0

extern _Atomic uint64_t *vfs_changes;

/* They are to be kept there, at least VFS_CHANGES words that are 0. Before any walk. */
void vfs_changes_keep_at(_Atomic uint64_t *words);
void vfs_changes_fs_init(struct fs *fs);
void vfs_changed(const struct fs *fs);
void vfs_changed_mounts(void);
/* A number that nothing else has had: of credentials, of a directory that somebody is in. Not 0. */
uint64_t vfs_new_id(void);

/* What this thread's last walk depended on; for who has set walks to 0 before. */
struct walk_seen {
	unsigned walks; /* since then */
	bool pure;
	int result;
	uint32_t of; /* a bit for each counter */
};
extern _Thread_local struct walk_seen walk_seen;
