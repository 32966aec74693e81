/* Inodes: identity, attributes and operations of a file-system object, without a name.
 *
 * References: each positive dirent holds one on its inode, each open file too (through its
 * dirent). A file system may keep inodes of its own table without a reference if `release` removes
 * them there.
 *
 * Locks: dir_lock of a directory is held by the VFS around every operation that looks up or
 * changes names in it (shared for lookup and readdir, exclusive for changes). data_lock is the file system's own:
 * contents and size. attr_lock guards the cached attributes here. */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

#include "abi/base/cleanup.h"
#include "abi/base/lock.h"
#include "abi/base/ref.h"

struct cred;
struct dirent_cache;
struct dirent;
struct file;
struct fs;
struct inode;
struct file_lock_table;
struct inotify_watches;
struct path;

/* What stat(2) and statx(2) tell. */
struct vfs_attr {
	uint64_t ino;
	uint64_t dev;	/* makedev number as the guest sees it; filled by the VFS from fs->dev */
	uint32_t mode;	/* type and permissions */
	uint32_t nlink;
	uint32_t uid, gid;
	uint64_t rdev;
	uint64_t size, blocks; /* blocks of 512 bytes */
	uint32_t blksize;
	struct timespec atime, mtime, ctime, btime;
	bool has_btime;
	bool fixed; /* none of it changes without being counted: vfs/changes.h; filled by the VFS from
		     * fs->attr_fixed */
};

/* Which attributes setattr changes. */
enum {
	ATTR_MODE = 1 << 0,
	ATTR_UID = 1 << 1,
	ATTR_GID = 1 << 2,
	ATTR_SIZE = 1 << 3,
	ATTR_ATIME = 1 << 4, /* to attr->atime, or now with ATTR_ATIME_NOW */
	ATTR_MTIME = 1 << 5,
	ATTR_ATIME_NOW = 1 << 6,
	ATTR_MTIME_NOW = 1 << 7,
	ATTR_KILL_SUID = 1 << 8, /* drop S_ISUID, and S_ISGID if group-executable */
};

struct vfs_setattr {
	uint32_t mask;
	uint32_t mode; /* permission bits only */
	uint32_t uid, gid;
	uint64_t size;
	struct timespec atime, mtime;
};

struct vfs_statfs {
	uint64_t type, bsize, blocks, bfree, bavail, files, ffree, namelen, frsize, flags;
	uint64_t fsid;
};

/* Names are counted, not terminated, never empty, ".", ".." or with a slash, at most NAME_MAX.
 * A NULL slot refuses as noted. The VFS has checked permissions, read-only mounts, existence
 * (by lookup, under the same dir_lock) and types before it calls. */
struct inode_ops {
	/* The child's inode with a reference in *out; -ENOENT when there is none (which the VFS may
	 * cache). NULL: -ENOTDIR. dir_lock held, shared or exclusive. */
	int (*lookup)(struct inode *dir, const char *name, size_t len, struct inode **out);
	/* Make a child of any type (mknod: S_IFREG, S_IFIFO, S_IFSOCK, S_IFCHR, S_IFBLK; mkdir). mode has
	 * the umask applied already. Owner: cred's fsuid, and fsgid or dir's gid when S_ISGID (the
	 * file system calls vfs_init_owner). NULL: -EPERM (EROFS for read-only file systems). */
	int (*mknod)(struct inode *dir, const char *name, size_t len, uint32_t mode, uint64_t rdev,
		     const struct cred *cred, struct inode **out);
	int (*mkdir)(struct inode *dir, const char *name, size_t len, uint32_t mode,
		     const struct cred *cred, struct inode **out);
	int (*symlink)(struct inode *dir, const char *name, size_t len, const char *target,
		       const struct cred *cred, struct inode **out);
	int (*link)(struct inode *dir, const char *name, size_t len, struct inode *target);
	int (*unlink)(struct inode *dir, const char *name, size_t len, struct inode *child);
	int (*rmdir)(struct inode *dir, const char *name, size_t len, struct inode *child);
	/* flags: RENAME_NOREPLACE (checked by the VFS already), RENAME_EXCHANGE, RENAME_WHITEOUT.
	 * target is the inode at the new name, or NULL. Both dir_locks held. */
	int (*rename)(struct inode *olddir, const char *oldname, size_t oldlen, struct inode *child,
		      struct inode *newdir, const char *newname, size_t newlen,
		      struct inode *target, unsigned flags);
	/* An unnamed file (O_TMPFILE). NULL: -EOPNOTSUPP. */
	int (*tmpfile)(struct inode *dir, uint32_t mode, const struct cred *cred,
		       struct inode **out);

	/* *target: malloc'ed, NUL-terminated; the caller frees. NULL: -EINVAL. */
	int (*readlink)(struct inode *inode, char **target);
	/* For magic links (proc fd, exe, cwd, root): the dirent and mount to jump to, with references.
	 * NULL, or -EOPNOTSUPP: follow the text. */
	int (*follow)(struct inode *inode, struct path *out);

	int (*getattr)(struct inode *inode, struct vfs_attr *out);
	/* NULL: -EPERM. Times: ctime is set by the file system. */
	int (*setattr)(struct inode *inode, const struct vfs_setattr *sa);
	/* Permission check other than by mode bits; NULL: vfs_permission_generic(). mask: MAY_*. */
	int (*permission)(struct inode *inode, const struct cred *cred, int mask);

	/* Fills in f->ops (and f->priv). For O_TRUNC the VFS calls setattr itself, after. NULL:
	 * -ENXIO. Types: regular files and directories; FIFOs, sockets and devices are opened by
	 * the VFS through vfs_special_ops unless the file system sets them itself. */
	int (*open)(struct inode *inode, struct file *f);

	/* xattr(7). Sizes: the value's size is returned; -ERANGE if size is smaller and not 0.
	 * NULL slots: -EOPNOTSUPP. list writes NUL-terminated names. */
	ssize_t (*getxattr)(struct inode *inode, const char *name, void *value, size_t size);
	int (*setxattr)(struct inode *inode, const char *name, const void *value, size_t size,
			int flags);
	ssize_t (*listxattr)(struct inode *inode, char *list, size_t size);
	int (*removexattr)(struct inode *inode, const char *name);

	int (*statfs)(struct inode *inode, struct vfs_statfs *out); /* NULL: from fs->magic */

	/* Is a cached dirent (dir, name) -> child (NULL: negative) still true? 1 yes, 0 no. NULL:
	 * always. dir_lock not held. */
	int (*revalidate)(struct inode *dir, const char *name, size_t len, struct inode *child);
	/* The last reference is gone; frees the inode. */
	void (*release)(struct inode *inode);
};

enum { MAY_EXEC = 1, MAY_WRITE = 2, MAY_READ = 4, MAY_OPEN = 8 };

struct inode {
	struct ref ref;
	const struct inode_ops *ops;	/* immutable */
	struct fs *fs;			/* immutable; the inode holds a reference */
	uint64_t ino;			/* immutable */
	_Atomic uint32_t mode;		/* type immutable; permissions change under attr_lock */
	/* The owner, kept current by the file system as mode is, so that permission checks need
	 * no getattr. INODE_ID_UNKNOWN (what inode_init sets): not kept, getattr is asked. */
	_Atomic uint32_t uid, gid;
	struct rwlock dir_lock;		/* directories: names */
	struct mutex attr_lock;		/* the file system's, for its attributes */
	/* What hangs off an inode from elsewhere; created on demand (see the owners). */
	_Atomic(struct file_lock_table *) locks; /* vfs/locks.h */
	_Atomic(struct inotify_watches *) watches; /* vfs/notify.h */
	_Atomic(void *) special;	/* FIFO's pipe, bound unix socket: sentry-owned */
	void (*special_release)(void *);
	_Atomic int writers;		/* open for writing; <0: denied (running text) */
	_Atomic bool no_link;		/* link(2) says ENOENT: its last name went, or it was made
					 * with O_TMPFILE|O_EXCL */
	_Atomic bool executes;		/* the host has mapped it to be executed before */
	_Atomic(char *) link_text;	/* a symlink's target once read, unless fs->no_dcache */
};

#define INODE_ID_UNKNOWN UINT32_MAX

/* Initialises the common part; mode with the type. Keeps the fs from being released (not from
 * being shut down: see fs.h). */
void inode_init(struct inode *i, struct fs *fs, const struct inode_ops *ops, uint64_t ino,
		uint32_t mode);
/* Undoes inode_init (locks, tables): the last act of `release`, before free. The fs and its priv
 * may be gone afterwards. */
void inode_fini(struct inode *i);
struct inode *inode_get(struct inode *i);
void inode_put(struct inode *i); /* NULL is fine */
DEFINE_AUTO_PUT(inode, struct inode *, inode_put)

/* Who may write to a file and who runs it exclude each other: -ETXTBSY. */
int inode_get_write(struct inode *i);  /* an opening for writing, or truncate(2) */
void inode_put_write(struct inode *i);
int inode_deny_write(struct inode *i); /* execve(2); until inode_allow_write() */
void inode_allow_write(struct inode *i);
static inline bool inode_has_writers(struct inode *i)
{
	return atomic_load(&i->writers) > 0;
}
/* mode, uid and gid at once, for file systems that keep them here. */
void inode_set_owner(struct inode *i, uint32_t uid, uint32_t gid);

static inline uint32_t inode_type(const struct inode *i)
{
	return atomic_load_explicit(&((struct inode *)i)->mode, memory_order_relaxed) & 0170000;
}
