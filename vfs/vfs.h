/* File-system operations by path: what the system calls call once they have copied their
 * arguments. Lock order is in abi/base/lock_order.h. All return 0, a count or -errno as the man
 * page of the call says; every one checks permissions with ctx->cred and read-only mounts. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "vfs/inode.h"
#include "vfs/mount.h"
#include "vfs/walk.h"

struct file;

/* flags: O_*; mode: permissions with the umask applied; resolve: WALK_* bits. O_CLOEXEC is the caller's. */
int vfs_open(const struct walk_ctx *ctx, const char *path, int flags, uint32_t mode,
	     unsigned resolve, struct file **out);
int vfs_mknod(const struct walk_ctx *ctx, const char *path, uint32_t mode, uint64_t rdev);
/* As vfs_mknod, and the new place, for bind(2) of a unix socket. */
int vfs_mknod_path(const struct walk_ctx *ctx, const char *path, uint32_t mode, uint64_t rdev,
		   struct path *out);
int vfs_mkdir(const struct walk_ctx *ctx, const char *path, uint32_t mode);
int vfs_symlink(const struct walk_ctx *ctx, const char *target, const char *path);
/* old: already resolved. */
int vfs_link(const struct path *old, const struct walk_ctx *ctx, const char *path);
int vfs_unlink(const struct walk_ctx *ctx, const char *path);
int vfs_rmdir(const struct walk_ctx *ctx, const char *path);
int vfs_rename(const struct walk_ctx *octx, const char *oldpath, const struct walk_ctx *nctx,
	       const char *newpath, unsigned flags);

/* On a resolved place. */
int vfs_getattr(const struct path *p, struct vfs_attr *out);
int vfs_setattr(const struct path *p, const struct cred *cred, struct vfs_setattr *sa);
int vfs_chmod(const struct path *p, const struct cred *cred, uint32_t mode);
int vfs_chown(const struct path *p, const struct cred *cred, uint32_t uid, uint32_t gid); /* -1: keep */
int vfs_utimens(const struct path *p, const struct cred *cred, const struct timespec ts[2]);
int vfs_truncate(const struct path *p, const struct cred *cred, uint64_t size);
int vfs_permission(const struct path *p, const struct cred *cred, int mask);
int vfs_inode_permission(struct inode *i, const struct cred *cred, int mask);
int vfs_permission_generic(struct inode *i, const struct cred *cred, int mask);
int vfs_readlink(const struct path *p, char **target);
int vfs_statfs(const struct path *p, struct vfs_statfs *out);
ssize_t vfs_getxattr(const struct path *p, const struct cred *cred, const char *name, void *value,
		     size_t size);
int vfs_setxattr(const struct path *p, const struct cred *cred, const char *name,
		 const void *value, size_t size, int flags);
ssize_t vfs_listxattr(const struct path *p, const struct cred *cred, char *list, size_t size);
int vfs_removexattr(const struct path *p, const struct cred *cred, const char *name);

/* The owner and mode of a new inode in dir: S_ISGID inheritance. */
void vfs_init_owner(struct inode *dir, const struct cred *cred, uint32_t *mode, uint32_t *uid,
		    uint32_t *gid);

/* Whether a signal waits for the calling task, so that work which a guest can make long gives up with
 * -EINTR. Installed by the sentry at start; without it nothing is interrupted. */
extern bool (*vfs_interrupted)(void);
/* The same, only if nothing but the end is left to it: then nothing is waited for that may never come. */
extern bool (*vfs_killed)(void);

/* Opening FIFOs, sockets (-ENXIO) and devices; installed by the sentry at start. */
struct vfs_special_ops {
	int (*open_fifo)(struct inode *inode, struct file *f);
	int (*open_device)(struct inode *inode, uint64_t rdev, bool block, struct file *f);
};
extern const struct vfs_special_ops *vfs_special;
struct timespec vfs_now(void); /* CLOCK_REALTIME, coarse */

/* vfs_init: registers nothing; sets up the caches. Once, before use. */
int vfs_init(size_t dirent_bound);
