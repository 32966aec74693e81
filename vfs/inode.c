#include "vfs/inode.h"

#include <errno.h>
#include <stdlib.h>

#include "vfs/fs.h"
#include "vfs/fs_impl.h"
#include "vfs/locks.h"
#include "vfs/notify.h"
#include "vfs/vfs.h"
#include "vfs/vfs_impl.h"

void inode_init(struct inode *i, struct fs *fs, const struct inode_ops *ops, uint64_t ino,
		uint32_t mode)
{
	ref_init(&i->ref);
	i->ops = ops;
	i->fs = fs;
	ref_get(&fs->alive);
	i->ino = ino;
	atomic_init(&i->mode, mode);
	atomic_init(&i->uid, INODE_ID_UNKNOWN);
	atomic_init(&i->gid, INODE_ID_UNKNOWN);
	rwlock_init(&i->dir_lock, fs->lower ? LOCK_INODE_DIR_LOWER : LOCK_INODE_DIR);
	mutex_init(&i->attr_lock, LOCK_INODE_ATTR);
	atomic_init(&i->locks, NULL);
	atomic_init(&i->watches, NULL);
	atomic_init(&i->special, NULL);
	atomic_init(&i->executes, false);
	i->special_release = NULL;
	atomic_init(&i->writers, 0);
	atomic_init(&i->link_text, NULL);
}

void inode_fini(struct inode *i)
{
	if (atomic_load(&i->watches) && notify_ops)
		notify_ops->inode_gone(i);
	if (atomic_load(&i->locks))
		file_lock_table_free(atomic_load(&i->locks));
	if (i->special_release && atomic_load(&i->special))
		i->special_release(atomic_load(&i->special));
	free(atomic_load(&i->link_text));
	mutex_destroy(&i->attr_lock);
	rwlock_destroy(&i->dir_lock);
	fs_put_alive(i->fs);
}

struct inode *inode_get(struct inode *i)
{
	ref_get(&i->ref);
	return i;
}

void inode_put(struct inode *i)
{
	if (i && ref_put(&i->ref))
		i->ops->release(i);
}

void inode_set_owner(struct inode *i, uint32_t uid, uint32_t gid)
{
	atomic_store_explicit(&i->gid, gid, memory_order_relaxed);
	atomic_store_explicit(&i->uid, uid, memory_order_release);
}

void inode_rank_as_layer(struct inode *dir)
{
	if (dir->dir_lock.rank != LOCK_INODE_DIR_LOWER)
		dir->dir_lock.rank = LOCK_INODE_DIR_LOWER;
}

int inode_dir_lock(struct inode *dir, bool write, bool nested)
{
	if (dir->fs->lower)
		inode_rank_as_layer(dir);
	return rwlock_take_unless(&dir->dir_lock, write, nested, vfs_killed);
}

/* writers moves away from 0 in one direction at a time. */
static int writers_move(struct inode *i, int by)
{
	int n = atomic_load(&i->writers);

	do {
		if (by > 0 ? n < 0 : n > 0)
			return -ETXTBSY;
	} while (!atomic_compare_exchange_weak(&i->writers, &n, n + by));
	return 0;
}

int inode_get_write(struct inode *i)
{
	return writers_move(i, 1);
}

int inode_deny_write(struct inode *i)
{
	return writers_move(i, -1);
}

void inode_put_write(struct inode *i)
{
	atomic_fetch_sub(&i->writers, 1);
}

void inode_allow_write(struct inode *i)
{
	atomic_fetch_add(&i->writers, 1);
}
