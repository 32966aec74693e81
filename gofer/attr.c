/* Attributes. */
#include <errno.h>
#include <fcntl.h>
#include <sys/statfs.h>
#include <unistd.h>

#include "gofer/ops.h"

int serve_getattr(struct request *req, const struct p9_tgetattr *t, struct p9_rgetattr *r)
{
	AUTO(fid) struct fid *f = fid_lookup(req->conn, t->fid);

	return f ? host_getattr(f, &r->attr) : -EBADF;
}

static int set_size(struct conn *c, struct fid *f, uint64_t size)
{
	AUTO(fd) int fd = -1;
	int err;

	if (f->type != S_IFREG)
		return f->type == S_IFDIR ? -EISDIR : -EINVAL;
	err = host_reopen(c, f, O_WRONLY, &fd);
	if (err)
		return err;
	return ftruncate(fd, (off_t)size) < 0 ? -errno : 0;
}

static struct timespec set_time(uint32_t valid, uint32_t bit, uint32_t bit_set, uint64_t sec,
                                uint64_t nsec)
{
	if (!(valid & bit))
		return (struct timespec){.tv_nsec = UTIME_OMIT};
	if (!(valid & bit_set))
		return (struct timespec){.tv_nsec = UTIME_NOW};
	return (struct timespec){.tv_sec = (time_t)sec, .tv_nsec = (long)nsec};
}

static int set_times(struct fid *f, const struct p9_tsetattr *t)
{
	struct timespec ts[2] = {
	    set_time(t->valid, P9_SETATTR_ATIME, P9_SETATTR_ATIME_SET, t->atime_sec, t->atime_nsec),
	    set_time(t->valid, P9_SETATTR_MTIME, P9_SETATTR_MTIME_SET, t->mtime_sec, t->mtime_nsec),
	};

	/* The times' nsec can't smuggle in UTIME_NOW: that is harmless. */
	return utimensat(f->fd, "", ts, AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW) < 0 ? -errno : 0;
}

int serve_setattr(struct request *req, const struct p9_tsetattr *t, struct p9_rsetattr *r)
{
	struct conn *c = req->conn;
	AUTO(fid) struct fid *f = fid_lookup(c, t->fid);
	char name[16];
	int err;

	if (!f)
		return -EBADF;
	err = host_may_change(c);
	if (!err)
		err = host_may(c, f, S_IWOTH, -EPERM);
	if (err)
		return err;
	if (t->valid & P9_SETATTR_SIZE) {
		err = set_size(c, f, t->size);
		if (err)
			return err;
	}
	/* chown first: it clears the set-id bits that a chmod in the same request may set. */
	if (t->valid & (P9_SETATTR_UID | P9_SETATTR_GID)) {
		err = host_chown(f->fd, t->valid & P9_SETATTR_UID ? t->uid : P9_NOID,
		                 t->valid & P9_SETATTR_GID ? t->gid : P9_NOID);
		if (err)
			return err;
	}
	if (t->valid & P9_SETATTR_MODE) {
		if (f->type == S_IFLNK)
			return -EOPNOTSUPP;
		host_fd_name(f->fd, name);
		if (fchmodat(host_proc_fd(), name, t->mode & 07777, 0) < 0)
			return -errno;
	}
	if (t->valid & (P9_SETATTR_ATIME | P9_SETATTR_MTIME))
		return set_times(f, t);
	return 0;
}

int serve_statfs(struct request *req, const struct p9_tstatfs *t, struct p9_rstatfs *r)
{
	AUTO(fid) struct fid *f = fid_lookup(req->conn, t->fid);
	struct statfs s;

	if (!f)
		return -EBADF;
	if (fstatfs(f->fd, &s) < 0)
		return -errno;
	*r = (struct p9_rstatfs){
	    .type = (uint32_t)s.f_type,
	    .bsize = (uint32_t)s.f_bsize,
	    .blocks = s.f_blocks,
	    .bfree = s.f_bfree,
	    .bavail = s.f_bavail,
	    .files = s.f_files,
	    .ffree = s.f_ffree,
	    .fsid = (uint64_t)(uint32_t)s.f_fsid.__val[0] | (uint64_t)(uint32_t)s.f_fsid.__val[1]
	                                                        << 32,
	    .namelen = (uint32_t)s.f_namelen,
	};
	return 0;
}
