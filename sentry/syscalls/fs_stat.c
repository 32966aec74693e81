/* stat(2), statx(2), access(2), readlink(2), statfs(2). */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "abi/linux/stat.h"
#include "sentry/mm/usercopy.h"
#include "sentry/syscalls/fs_answer.h"
#include "sentry/syscalls/fs_path.h"
#include "sentry/syscalls/syscalls.h"
#include "vfs/dirent.h"
#include "vfs/vfs.h"

#ifndef AT_NO_AUTOMOUNT
#define AT_NO_AUTOMOUNT 0x800
#endif

void stat_of_attr(const struct vfs_attr *a, struct linux_stat *out)
{
	*out = (struct linux_stat){
		.st_dev = a->dev,
		.st_ino = a->ino,
		.st_nlink = a->nlink,
		.st_mode = a->mode,
		.st_uid = a->uid,
		.st_gid = a->gid,
		.st_rdev = a->rdev,
		.st_size = (int64_t)a->size,
		.st_blksize = a->blksize,
		.st_blocks = (int64_t)a->blocks,
		.st_atime_sec = (uint64_t)a->atime.tv_sec,
		.st_atime_nsec = (uint64_t)a->atime.tv_nsec,
		.st_mtime_sec = (uint64_t)a->mtime.tv_sec,
		.st_mtime_nsec = (uint64_t)a->mtime.tv_nsec,
		.st_ctime_sec = (uint64_t)a->ctime.tv_sec,
		.st_ctime_nsec = (uint64_t)a->ctime.tv_nsec,
	};
}

static int64_t put_stat(struct task *t, struct gptr dst, const struct vfs_attr *a)
{
	struct linux_stat st;

	stat_of_attr(a, &st);
	fs_answer_data(&st, sizeof(st), a->fixed);
	return put_guest(t, dst, &st);
}

static int64_t do_stat(struct task *t, int dirfd, struct gptr path, struct gptr dst, unsigned walk)
{
	AUTO(path) struct path p = {0};
	struct vfs_attr a;
	int r = at_resolve(t, dirfd, path, walk, &p);

	if (r == 0)
		r = vfs_getattr(&p, &a);
	return r < 0 ? r : put_stat(t, dst, &a);
}

int64_t sys_stat(struct task *t, struct gptr path, struct gptr st)
{
	return do_stat(t, AT_FDCWD, path, st, WALK_FOLLOW);
}

int64_t sys_lstat(struct task *t, struct gptr path, struct gptr st)
{
	return do_stat(t, AT_FDCWD, path, st, 0);
}

int64_t sys_fstat(struct task *t, int fd, struct gptr st)
{
	AUTO(path) struct path p = {0};
	struct vfs_attr a;
	int r = fd_path(t, fd, &p);

	if (r == 0)
		r = vfs_getattr(&p, &a);
	return r < 0 ? r : put_stat(t, st, &a);
}

int64_t sys_newfstatat(struct task *t, int dirfd, struct gptr path, struct gptr st, int flags)
{
	if (flags & ~(AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_EMPTY_PATH | LINUX_AT_STATX_SYNC_TYPE))
		return -EINVAL;
	return do_stat(t, dirfd, path, st, at_walk_flags(flags));
}

static struct linux_statx_timestamp statx_time(struct timespec ts)
{
	return (struct linux_statx_timestamp){ts.tv_sec, (uint32_t)ts.tv_nsec, 0};
}

int64_t sys_statx(struct task *t, int dirfd, struct gptr path, unsigned int flags,
		  unsigned int mask, struct gptr buf)
{
	AUTO(path) struct path p = {0};
	struct linux_statx sx = {0};
	struct vfs_attr a;
	int r;

	if (mask & LINUX_STATX_RESERVED)
		return -EINVAL;
	if (flags & ~(unsigned)(AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_EMPTY_PATH |
				LINUX_AT_STATX_SYNC_TYPE))
		return -EINVAL;
	if ((flags & LINUX_AT_STATX_SYNC_TYPE) == LINUX_AT_STATX_SYNC_TYPE)
		return -EINVAL;
	r = at_resolve(t, dirfd, path, at_walk_flags((int)flags), &p);
	if (r == 0)
		r = vfs_getattr(&p, &a);
	if (r < 0)
		return r;
	sx.stx_mask = LINUX_STATX_BASIC_STATS | LINUX_STATX_MNT_ID;
	sx.stx_blksize = a.blksize;
	sx.stx_attributes_mask = LINUX_STATX_ATTR_MOUNT_ROOT;
	if (p.dirent == p.mount->root)
		sx.stx_attributes = LINUX_STATX_ATTR_MOUNT_ROOT;
	sx.stx_nlink = a.nlink;
	sx.stx_uid = a.uid;
	sx.stx_gid = a.gid;
	sx.stx_mode = (uint16_t)a.mode;
	sx.stx_ino = a.ino;
	sx.stx_size = a.size;
	sx.stx_blocks = a.blocks;
	sx.stx_atime = statx_time(a.atime);
	sx.stx_mtime = statx_time(a.mtime);
	sx.stx_ctime = statx_time(a.ctime);
	if (a.has_btime) {
		sx.stx_mask |= LINUX_STATX_BTIME;
		sx.stx_btime = statx_time(a.btime);
	}
	sx.stx_rdev_major = linux_major(a.rdev);
	sx.stx_rdev_minor = linux_minor(a.rdev);
	sx.stx_dev_major = linux_major(a.dev);
	sx.stx_dev_minor = linux_minor(a.dev);
	sx.stx_mnt_id = (uint64_t)p.mount->id;
	fs_answer_data(&sx, sizeof(sx), a.fixed);
	return put_guest(t, buf, &sx);
}

/* access(2) asks for the real ids; capabilities count only if the real user is root. */
static int real_cred(struct task *t, struct cred **out)
{
	struct cred *c = cred_dup(t->cred);

	if (!c)
		return -ENOMEM;
	c->fsuid = c->uid;
	c->fsgid = c->gid;
	if (!(c->securebits & 4 /* SECBIT_NO_SETUID_FIXUP */))
		c->cap_effective = c->uid == 0 ? c->cap_permitted : 0;
	*out = c;
	return 0;
}

static bool ids_are_real(const struct cred *c)
{
	return c->fsuid == c->uid && c->fsgid == c->gid &&
	       (c->uid != 0 || c->cap_effective == c->cap_permitted) &&
	       (c->uid == 0 || c->cap_effective == 0);
}

static int check_access(const struct path *p, const struct cred *cred, int mode)
{
	struct inode *i = atomic_load(&p->dirent->inode);

	/* Executing what may not be executed here is refused, directories aside. */
	if (mode & MAY_EXEC && inode_type(i) == S_IFREG &&
	    atomic_load(&p->mount->flags) & MNT_NOEXEC)
		return -EACCES;
	return mode ? vfs_permission(p, cred, mode) : 0;
}

/* As at_resolve, with other credentials. */
static int resolve_as(struct task *t, const struct cred *cred, int dirfd, struct gptr path,
		      unsigned walk, struct path *out)
{
	AUTO(at) struct at_path at = {.ctx = {.cred = NULL}};
	const struct cred *own;
	int r = at_begin(t, dirfd, path, walk & WALK_EMPTY_PATH, &at);

	if (r < 0)
		return r;
	own = at.ctx.cred;
	at.ctx.cred = cred;
	r = vfs_walk(&at.ctx, at.path, walk, out);
	at.ctx.cred = own;
	return r;
}

static int64_t do_access(struct task *t, int dirfd, struct gptr path, int mode, int flags)
{
	AUTO(path) struct path p = {0};
	AUTO(cred) struct cred *real = NULL;
	const struct cred *cred = t->cred;
	int r = 0;

	if (mode & ~7 || flags & ~(AT_EACCESS | AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH))
		return -EINVAL;
	if (!(flags & AT_EACCESS) && !ids_are_real(cred)) {
		r = real_cred(t, &real);
		cred = real;
	}
	if (r < 0)
		return r;
	r = real ? resolve_as(t, real, dirfd, path, at_walk_flags(flags), &p)
		 : at_resolve(t, dirfd, path, at_walk_flags(flags), &p);
	return r < 0 ? r : check_access(&p, cred, mode);
}

int64_t sys_access(struct task *t, struct gptr path, int mode)
{
	return do_access(t, AT_FDCWD, path, mode, 0);
}

int64_t sys_faccessat(struct task *t, int dirfd, struct gptr path, int mode)
{
	return do_access(t, dirfd, path, mode, 0);
}

int64_t sys_faccessat2(struct task *t, int dirfd, struct gptr path, int mode, int flags)
{
	return do_access(t, dirfd, path, mode, flags);
}

/* An empty path: the symlink that dirfd is open on (O_PATH|O_NOFOLLOW). */
static int readlink_place(struct task *t, int dirfd, const struct at_path *at, struct path *out)
{
	if (at->path[0])
		return vfs_walk(&at->ctx, at->path, 0, out);
	return dirfd == AT_FDCWD ? -ENOENT : fd_path(t, dirfd, out);
}

int64_t sys_readlinkat(struct task *t, int dirfd, struct gptr path, struct gptr buf, int bufsiz)
{
	AUTO(at) struct at_path at = {.ctx = {.cred = NULL}};
	AUTO(path) struct path p = {0};
	AUTO(free) char *target = NULL;
	size_t len;
	int r;

	if (bufsiz <= 0)
		return -EINVAL;
	r = at_begin(t, dirfd, path, true, &at);
	if (r == 0)
		r = readlink_place(t, dirfd, &at, &p);
	if (r == 0)
		r = vfs_readlink(&p, &target);
	if (r < 0)
		return r == -EINVAL && !at.path[0] ? -ENOENT : r;
	len = strlen(target);
	fs_answer_data(target, len, true);
	if (len > (size_t)bufsiz)
		len = (size_t)bufsiz;
	r = copy_to_guest(t, buf, target, len);
	return r < 0 ? r : (int64_t)len;
}

int64_t sys_readlink(struct task *t, struct gptr path, struct gptr buf, int bufsiz)
{
	return sys_readlinkat(t, AT_FDCWD, path, buf, bufsiz);
}

static int64_t put_statfs(struct task *t, struct gptr dst, const struct path *p)
{
	struct linux_statfs sf = {0};
	struct vfs_statfs v;
	int r = vfs_statfs(p, &v);

	if (r < 0)
		return r;
	sf.f_type = (int64_t)v.type;
	sf.f_bsize = (int64_t)v.bsize;
	sf.f_blocks = v.blocks;
	sf.f_bfree = v.bfree;
	sf.f_bavail = v.bavail;
	sf.f_files = v.files;
	sf.f_ffree = v.ffree;
	sf.f_fsid[0] = (int32_t)v.fsid;
	sf.f_fsid[1] = (int32_t)(v.fsid >> 32);
	sf.f_namelen = (int64_t)v.namelen;
	sf.f_frsize = (int64_t)v.frsize;
	sf.f_flags = (int64_t)v.flags;
	return put_guest(t, dst, &sf);
}

int64_t sys_statfs(struct task *t, struct gptr path, struct gptr buf)
{
	AUTO(path) struct path p = {0};
	int r = at_resolve(t, AT_FDCWD, path, WALK_FOLLOW, &p);

	return r < 0 ? r : put_statfs(t, buf, &p);
}

int64_t sys_fstatfs(struct task *t, int fd, struct gptr buf)
{
	AUTO(path) struct path p = {0};
	int r = fd_path(t, fd, &p);

	return r < 0 ? r : put_statfs(t, buf, &p);
}
