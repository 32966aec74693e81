#include "vfs/vfs.h"

#include <time.h>

#include "vfs/anon.h"
#include "vfs/dirent_cache.h"
#include "vfs/tree_lock.h"

const struct vfs_special_ops *vfs_special;

static bool never_interrupted(void)
{
	return false;
}

bool (*vfs_interrupted)(void) = never_interrupted;
bool (*vfs_killed)(void) = never_interrupted;

struct timespec vfs_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME_COARSE, &ts);
	return ts;
}

int vfs_init(size_t dirent_bound)
{
	tree_lock_init();
	dirent_cache_init(dirent_bound ? dirent_bound : DIRENT_CACHE_DEFAULT);
	return anon_init();
}
