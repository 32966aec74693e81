#include "vfs/changes.h"

#include "vfs/fs.h"

static _Atomic uint64_t nobody_looks[VFS_CHANGES];

_Atomic uint64_t *vfs_changes = nobody_looks;
_Thread_local struct walk_seen walk_seen;

void vfs_changes_keep_at(_Atomic uint64_t *words)
{
	vfs_changes = words;
}

/* Several may share one: then some answers are thrown away too early. */
void vfs_changes_fs_init(struct fs *fs)
{
	static atomic_uint next;

	fs->changes = VFS_CHANGES_MOUNTS + 1 +
		      atomic_fetch_add_explicit(&next, 1, memory_order_relaxed) % (VFS_CHANGES - 1);
}

void vfs_changed(const struct fs *fs)
{
	atomic_fetch_add(&vfs_changes[fs->changes], 1);
}

void vfs_changed_mounts(void)
{
	atomic_fetch_add(&vfs_changes[VFS_CHANGES_MOUNTS], 1);
}

uint64_t vfs_new_id(void)
{
	static atomic_uint_least64_t last;

	return atomic_fetch_add_explicit(&last, 1, memory_order_relaxed) + 1;
}
