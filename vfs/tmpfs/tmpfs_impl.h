/* What the parts of tmpfs share. */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "abi/base/htable.h"
#include "abi/base/lock.h"
#include "abi/base/rbtree.h"
#include "vfs/fs.h"
#include "vfs/inode.h"
#include "vfs/tmpfs/page_map.h"
#include "vfs/tmpfs/xattr_store.h"

#ifndef F_SEAL_FUTURE_WRITE
#define F_SEAL_FUTURE_WRITE 0x0010
#endif
#ifndef F_SEAL_EXEC
#define F_SEAL_EXEC 0x0020
#endif

struct cred;
struct file;
struct uio;

/* An instance. The counters are atomic: charged before memory is taken, so that they never exceed
 * the limits. */
struct tmpfs {
	struct fs *fs;		/* borrowed */
	bool ram;		/* ramfs: no limits */
	uint64_t max_pages;	/* 0: none */
	uint64_t max_inodes;	/* 0: none */
	uint32_t root_mode, root_uid, root_gid;
	_Atomic uint64_t used_pages, used_inodes;
	_Atomic uint64_t next_ino;
};

struct tmpfs_inode {
	struct inode i;
	struct tmpfs *t;

	/* attr_lock */
	uint32_t nlink; /* mode, uid, gid: in i */
	struct timespec atime, mtime, ctime;
	struct xattr_store xattrs;
	uint64_t xattr_pages; /* charged for them */
	_Atomic bool atime_stale; /* mtime or ctime moved since atime was set (relatime) */

	struct timespec btime; /* immutable */
	uint64_t rdev;	       /* immutable */
	char *target;	       /* symlinks; immutable */

	/* Directories: i.dir_lock. The table owns one reference on each child. */
	struct htable names;	/* of tmpfs_name.hash */
	struct rb_tree order;	/* of tmpfs_name.node, by cookie */
	uint64_t next_cookie;
	uint64_t parent_ino;
	bool dead;		/* removed: nothing can be made in it */

	/* Regular files: data_lock. */
	struct rwlock data_lock;
	_Atomic uint64_t size;	/* written under data_lock */
	struct page_map pages;	/* until host_fd >= 0 */
	int host_fd;		/* read-write; -1 until first mapped */
	int host_fd_ro;		/* the same file, read-only; -1 until wanted */
	_Atomic uint64_t fetch_id; /* of host_fd_ro: uio_fetch() */
	_Atomic uint64_t read_large; /* bytes, in large reads since the last write */
	uint64_t host_pages;	/* charged for it */
	_Atomic unsigned seals; /* F_SEAL_* */
	_Atomic int shared_writers; /* writable shared mappings */
};

struct tmpfs_name {
	struct hnode hash;
	struct rb_node node;
	uint64_t cookie;
	struct tmpfs_inode *child; /* owned */
	uint32_t len;
	char name[];
};

static inline struct tmpfs_inode *tmpfs_i(const struct inode *i)
{
	return container_of((struct inode *)i, struct tmpfs_inode, i);
}

/* tmpfs.c: accounting. -ENOSPC. */
int tmpfs_charge(struct tmpfs *t, uint64_t pages);
void tmpfs_uncharge(struct tmpfs *t, uint64_t pages);
int tmpfs_statfs(struct inode *inode, struct vfs_statfs *out);
/* The instance that nameless files live on; borrowed. NULL: no memory. */
struct fs *tmpfs_internal(void);

/* tmpfs_inode.c */
int tmpfs_inode_new(struct tmpfs *t, uint32_t mode, uint64_t rdev, uint32_t uid, uint32_t gid,
		    struct tmpfs_inode **out);
void tmpfs_touch(struct tmpfs_inode *ti, bool mtime); /* ctime, and mtime, are now */
void tmpfs_add_link(struct tmpfs_inode *ti, int delta);
void tmpfs_accessed(struct tmpfs_inode *ti, struct file *f);
int tmpfs_getattr(struct inode *inode, struct vfs_attr *out);
int tmpfs_setattr(struct inode *inode, const struct vfs_setattr *sa);
void tmpfs_inode_release(struct inode *inode);
ssize_t tmpfs_getxattr(struct inode *inode, const char *name, void *value, size_t size);
int tmpfs_setxattr(struct inode *inode, const char *name, const void *value, size_t size,
		   int flags);
ssize_t tmpfs_listxattr(struct inode *inode, char *list, size_t size);
int tmpfs_removexattr(struct inode *inode, const char *name);
int tmpfs_readlink(struct inode *inode, char **target);

/* tmpfs_dir.c */
extern const struct inode_ops tmpfs_dir_inode_ops, tmpfs_file_inode_ops, tmpfs_link_inode_ops,
	tmpfs_special_inode_ops;
extern const struct file_ops tmpfs_dir_ops, tmpfs_file_ops;
/* Drops every name below ti, which nobody can reach any more. */
void tmpfs_dir_clear(struct tmpfs_inode *ti);
int tmpfs_dir_tmpfile(struct inode *dir, uint32_t mode, const struct cred *cred,
		      struct inode **out);

/* tmpfs_file.c */
int tmpfs_file_open(struct inode *inode, struct file *f);
int tmpfs_truncate(struct tmpfs_inode *ti, uint64_t size);
void tmpfs_file_free(struct tmpfs_inode *ti);
int tmpfs_file_wrap(struct tmpfs_inode *ti, const char *name, int flags, const struct cred *cred,
		    struct file **out);

/* tmpfs_host.c: files whose data is a host file; data_lock held, for writing where they change it */
int tmpfs_host_convert(struct tmpfs_inode *ti);
int tmpfs_host_readonly(struct tmpfs_inode *ti); /* the descriptor, or -errno */
ssize_t tmpfs_host_read(struct tmpfs_inode *ti, struct uio *dst, uint64_t off, size_t n);
ssize_t tmpfs_host_write(struct tmpfs_inode *ti, struct uio *src, uint64_t off, size_t n);
int tmpfs_host_allocate(struct tmpfs_inode *ti, int mode, uint64_t off, uint64_t len);
/* Charges or gives back what the host has allocated since. */
void tmpfs_host_account(struct tmpfs_inode *ti);
