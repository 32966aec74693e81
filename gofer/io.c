/* Opening, and what is done to contents. Our own client reads and writes donated descriptors; Tread
 * and Twrite are for others. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "gofer/ops.h"

int serve_lopen(struct request *req, const struct p9_tlopen *t, struct p9_rlopen *r)
{
	AUTO(fid) struct fid *f = fid_lookup(req->conn, t->fid);
	int err;

	if (!f)
		return -EBADF;
	AUTO_LOCK(&f->mu);
	if (f->state != FID_WALKED)
		return -EINVAL;
	if (f->open_fd < 0) { /* else a directory that was listed */
		err = host_reopen(req->conn, f, (int)t->flags, &f->open_fd);
		if (err)
			return err;
	}
	f->state = FID_OPEN;
	host_qid(f->dev, f->ino, f->type, &r->qid);
	r->iounit = 0;
	return 0;
}

int serve_openfd(struct request *req, const struct p9_topenfd *t, struct p9_ropenfd *r)
{
	AUTO(fid) struct fid *f = fid_lookup(req->conn, t->fid);
	int err;

	if (!f)
		return -EBADF;
	if (f->type == S_IFDIR)
		return -EISDIR; /* a donated directory would be a way into the tree */
	if (t->flags & ~(uint32_t)O_ACCMODE)
		return -EINVAL;
	err = host_reopen(req->conn, f, (int)t->flags, &req->donate.fd[0]);
	if (err)
		return err;
	req->donate.n = 1;
	r->donated = t->flags == O_RDONLY   ? P9_DONATED_READ
	             : t->flags == O_WRONLY ? P9_DONATED_WRITE
	                                    : P9_DONATED_RDWR;
	return 0;
}

/* One of the names of directory `at`: false, or a descriptor more. */
static bool open_one(struct request *req, const struct fid *at, const struct p9_str *elem,
                     struct p9_qid *qid)
{
	struct p9_carried *out = &req->donate;
	struct p9_attr attr;
	struct stat st;
	struct fid f;
	char name[256];
	int err;

	if (host_check_name(elem, name) < 0 || host_open_child(at, name, &f.fd) < 0)
		return false;
	err = host_stat(f.fd, "", &attr, &st);
	f.type = err ? 0 : st.st_mode & S_IFMT;
	if (f.type == S_IFREG) {
		f.traits = host_traits(at, f.fd, &st);
		err = host_reopen(req->conn, &f, O_RDONLY, &out->fd[out->n]);
	}
	close(f.fd);
	if (err || f.type != S_IFREG)
		return false;
	out->n++;
	*qid = attr.qid;
	return true;
}

int serve_openmany(struct request *req, const struct p9_topenmany *t, struct p9_ropenmany *r)
{
	AUTO(fid) struct fid *start = fid_lookup(req->conn, t->fid);
	struct fid to = {.fd = -1};
	const struct fid *at = start;
	int err;

	if (!start)
		return -EBADF;
	if (t->dir.n > 0) {
		err = walk_to(req->conn, start, &t->dir, &to);
		if (err)
			return err;
		at = &to;
	}
	err = at->type != S_IFDIR ? -ENOTDIR : 0;
	if (!err && (at->traits & FID_HOLLOW))
		err = -ENOENT;
	if (!err)
		err = host_may(req->conn, at, S_IXOTH, -ENOENT);
	r->opened = 0;
	r->qids.n = 0;
	for (unsigned i = 0; !err && i < t->names.n; i++) {
		if (!open_one(req, at, &t->names.a[i], &r->qids.a[r->qids.n]))
			continue;
		r->opened |= 1U << i;
		r->qids.n++;
	}
	if (to.fd >= 0)
		close(to.fd);
	return err;
}

/* A descriptor of an open fid, ours; -1: not open. */
static int open_fd_dup(struct fid *f)
{
	AUTO_LOCK(&f->mu);
	return f->state == FID_OPEN ? fcntl(f->open_fd, F_DUPFD_CLOEXEC, 0) : -1;
}

int serve_read(struct request *req, const struct p9_tread *t, struct p9_rread *r)
{
	AUTO(fid) struct fid *f = fid_lookup(req->conn, t->fid);
	uint32_t count = t->count;
	ssize_t n;

	if (!f)
		return -EBADF;
	if (f->type == S_IFDIR && f->state == FID_OPEN)
		return -EISDIR;
	if (count > req->conn->msize - P9_DATA_OFFSET)
		count = req->conn->msize - P9_DATA_OFFSET;
	r->data.p = req->tx + P9_DATA_OFFSET;
	if (f->state == FID_XATTR_READ) {
		n = xattr_read(f, t->offset, req->tx + P9_DATA_OFFSET, count);
	} else {
		AUTO(fd) int fd = open_fd_dup(f);

		if (fd < 0)
			return -EBADF;
		n = pread(fd, req->tx + P9_DATA_OFFSET, count, (off_t)t->offset);
		n = n < 0 ? -errno : n;
	}
	if (n < 0)
		return (int)n;
	r->data.len = (uint32_t)n;
	return 0;
}

int serve_write(struct request *req, const struct p9_twrite *t, struct p9_rwrite *r)
{
	AUTO(fid) struct fid *f = fid_lookup(req->conn, t->fid);
	ssize_t n;

	if (!f)
		return -EBADF;
	if (f->state == FID_XATTR_WRITE) {
		n = xattr_write(f, t->offset, t->data.p, t->data.len);
	} else {
		AUTO(fd) int fd = open_fd_dup(f);

		if (fd < 0)
			return -EBADF;
		n = pwrite(fd, t->data.p, t->data.len, (off_t)t->offset);
		n = n < 0 ? -errno : n;
	}
	if (n < 0)
		return (int)n;
	r->count = (uint32_t)n;
	return 0;
}

/* Syncing an unopened fid opens it for the purpose. */
int serve_fsync(struct request *req, const struct p9_tfsync *t, struct p9_rfsync *r)
{
	AUTO(fid) struct fid *f = fid_lookup(req->conn, t->fid);
	AUTO(fd) int fd = -1;

	if (!f)
		return -EBADF;
	if (f->type != S_IFREG && f->type != S_IFDIR)
		return 0;
	fd = open_fd_dup(f);
	if (fd < 0)
		fd = host_reopen_fd(f->fd, O_RDONLY);
	if (fd < 0)
		return fd;
	return (t->datasync ? fdatasync(fd) : fsync(fd)) < 0 ? -errno : 0;
}

int serve_allocate(struct request *req, const struct p9_tallocate *t, struct p9_rallocate *r)
{
	AUTO(fid) struct fid *f = fid_lookup(req->conn, t->fid);
	AUTO(fd) int fd = -1;
	int err;

	if (!f)
		return -EBADF;
	if (f->type != S_IFREG)
		return -ENODEV;
	err = host_reopen(req->conn, f, O_WRONLY, &fd);
	if (err)
		return err;
	return fallocate(fd, (int)t->mode, (off_t)t->offset, (off_t)t->length) < 0 ? -errno : 0;
}

static void lock_to_flock(uint8_t type, uint64_t start, uint64_t length, struct flock *fl)
{
	*fl = (struct flock){
	    .l_type = type == P9_LOCK_RDLCK   ? F_RDLCK
	              : type == P9_LOCK_WRLCK ? F_WRLCK
	                                      : F_UNLCK,
	    .l_whence = SEEK_SET,
	    .l_start = (off_t)start,
	    .l_len = (off_t)length,
	};
}

int serve_lock(struct request *req, const struct p9_tlock *t, struct p9_rlock *r)
{
	AUTO(fid) struct fid *f = fid_lookup(req->conn, t->fid);
	struct flock fl;

	if (!f)
		return -EBADF;
	lock_to_flock(t->type, t->start, t->length, &fl);
	AUTO_LOCK(&f->mu);
	if (f->state != FID_OPEN)
		return -EBADF;
	r->status = P9_LOCK_SUCCESS;
	if (fcntl(f->open_fd, F_OFD_SETLK, &fl) < 0) {
		if (errno != EAGAIN && errno != EACCES)
			return -errno;
		r->status = P9_LOCK_BLOCKED;
	}
	return 0;
}

int serve_getlock(struct request *req, const struct p9_tgetlock *t, struct p9_rgetlock *r)
{
	AUTO(fid) struct fid *f = fid_lookup(req->conn, t->fid);
	struct flock fl;

	if (!f)
		return -EBADF;
	lock_to_flock(t->type, t->start, t->length, &fl);
	AUTO_LOCK(&f->mu);
	if (f->state != FID_OPEN)
		return -EBADF;
	if (fcntl(f->open_fd, F_OFD_GETLK, &fl) < 0)
		return -errno;
	r->type = fl.l_type == F_RDLCK   ? P9_LOCK_RDLCK
	          : fl.l_type == F_WRLCK ? P9_LOCK_WRLCK
	                                 : P9_LOCK_UNLCK;
	r->start = (uint64_t)fl.l_start;
	r->length = (uint64_t)fl.l_len;
	r->proc_id = t->proc_id;
	r->client_id = t->client_id;
	return 0;
}
