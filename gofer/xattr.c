/* Extended attributes: user.* and security.capability, nothing else of the host. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>

#include "gofer/ops.h"

static bool xattr_allowed(const char *name)
{
	return (strncmp(name, "user.", 5) == 0 && name[5]) ||
	       strcmp(name, "security.capability") == 0;
}

static int xattr_name(const struct p9_str *s, char out[256])
{
	if (s->len > 255)
		return -ERANGE;
	if (memchr(s->p, 0, s->len))
		return -EINVAL;
	memcpy(out, s->p, s->len);
	out[s->len] = 0;
	return xattr_allowed(out) ? 0 : -EOPNOTSUPP;
}

static bool xattr_capable(const struct fid *f)
{
	return f->type == S_IFREG || f->type == S_IFDIR;
}

/* The list without the names that are none of the guest's business. */
static ssize_t xattr_list(const char *path, char *buf, size_t size)
{
	ssize_t n = listxattr(path, buf, size);
	size_t kept = 0;

	if (n < 0)
		return errno == EOPNOTSUPP ? 0 : -errno;
	for (size_t at = 0; at < (size_t)n;) {
		size_t len = strnlen(buf + at, (size_t)n - at) + 1;

		if (xattr_allowed(buf + at)) {
			memmove(buf + kept, buf + at, len);
			kept += len;
		}
		at += len;
	}
	return (ssize_t)kept;
}

/* name "": the list. A malloc'ed value, at most P9_XATTR_MAX bytes. */
static int xattr_get(struct conn *c, struct fid *f, const struct p9_str *name, uint8_t **out,
                     size_t *len)
{
	AUTO(free) uint8_t *buf = NULL;
	char path[16], key[256];
	ssize_t n = 0;
	int err;

	if (name->len > 0) {
		err = xattr_name(name, key);
		if (err)
			return err;
		if (!xattr_capable(f))
			return -ENODATA;
	}
	err = host_may(c, f, S_IROTH, name->len > 0 ? -ENODATA : 0);
	if (err)
		return err;
	buf = malloc(P9_XATTR_MAX);
	if (!buf)
		return -ENOMEM;
	host_fd_name(f->fd, path);
	if (name->len > 0) {
		n = getxattr(path, key, buf, P9_XATTR_MAX);
		n = n < 0 ? -errno : n;
	} else if (xattr_capable(f)) {
		n = xattr_list(path, (char *)buf, P9_XATTR_MAX);
	}
	if (n < 0)
		return (int)n;
	*out = steal(&buf);
	*len = (size_t)n;
	return 0;
}

static int xattr_set(struct conn *c, struct fid *f, const char *key, const void *value, size_t len,
                     uint32_t flags)
{
	char path[16];
	int err = host_may_change(c);

	if (!err)
		err = host_may(c, f, S_IWOTH, -EACCES);
	if (err)
		return err;
	if (!xattr_capable(f))
		return -EPERM;
	if (flags & ~(uint32_t)(XATTR_CREATE | XATTR_REPLACE))
		return -EINVAL;
	host_fd_name(f->fd, path);
	return setxattr(path, key, value, len, (int)flags) < 0 ? -errno : 0;
}

int serve_getxattr(struct request *req, const struct p9_tgetxattr *t, struct p9_rgetxattr *r)
{
	AUTO(fid) struct fid *f = fid_lookup(req->conn, t->fid);
	AUTO(free) uint8_t *value = NULL;
	uint8_t *at = req->tx + P9_HDR_SIZE + 8 + 4;
	size_t len;
	int err;

	if (!f)
		return -EBADF;
	err = xattr_get(req->conn, f, &t->name, &value, &len);
	if (err)
		return err;
	r->size = len;
	r->value = (struct p9_data){at, 0};
	if (t->size == 0)
		return 0;
	if (len > t->size)
		return -ERANGE;
	if (len + (size_t)(at - req->tx) > req->conn->msize)
		return -E2BIG;
	memcpy(at, value, len);
	r->value.len = (uint32_t)len;
	return 0;
}

int serve_setxattr(struct request *req, const struct p9_tsetxattr *t, struct p9_rsetxattr *r)
{
	AUTO(fid) struct fid *f = fid_lookup(req->conn, t->fid);
	char key[256];
	int err;

	if (!f)
		return -EBADF;
	err = xattr_name(&t->name, key);
	return err ? err : xattr_set(req->conn, f, key, t->value.p, t->value.len, t->flags);
}

int serve_removexattr(struct request *req, const struct p9_tremovexattr *t,
                      struct p9_rremovexattr *r)
{
	AUTO(fid) struct fid *f = fid_lookup(req->conn, t->fid);
	char key[256], path[16];
	int err;

	if (!f)
		return -EBADF;
	err = xattr_name(&t->name, key);
	if (!err)
		err = host_may_change(req->conn);
	if (!err)
		err = host_may(req->conn, f, S_IWOTH, -EACCES);
	if (err)
		return err;
	if (!xattr_capable(f))
		return -EPERM;
	host_fd_name(f->fd, path);
	return removexattr(path, key) < 0 ? -errno : 0;
}

/* 9P2000.L: newfid stands for the value, to be read. */
int serve_xattrwalk(struct request *req, const struct p9_txattrwalk *t, struct p9_rxattrwalk *r)
{
	struct conn *c = req->conn;
	AUTO(fid) struct fid *f = fid_lookup(c, t->fid);
	AUTO(fid) struct fid *nf = NULL;
	AUTO(free) uint8_t *value = NULL;
	struct stat st;
	size_t len;
	int err, fd;

	if (!f)
		return -EBADF;
	err = xattr_get(c, f, &t->name, &value, &len);
	if (err)
		return err;
	fd = fcntl(f->fd, F_DUPFD_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	st = (struct stat){.st_dev = f->dev, .st_ino = f->ino, .st_mode = f->type};
	err = fid_bind(c, t->newfid, fd, &st, f->traits, &nf);
	if (err)
		return err;
	AUTO_LOCK(&nf->mu);
	nf->state = FID_XATTR_READ;
	nf->xattr = steal(&value);
	nf->xattr_len = len;
	r->size = len;
	return 0;
}

/* The fid itself then stands for the value, to be written; Tclunk sets it. */
int serve_xattrcreate(struct request *req, const struct p9_txattrcreate *t,
                      struct p9_rxattrcreate *r)
{
	AUTO(fid) struct fid *f = fid_lookup(req->conn, t->fid);
	char key[256];
	int err;

	if (!f)
		return -EBADF;
	err = xattr_name(&t->name, key);
	if (!err)
		err = host_may_change(req->conn);
	if (err)
		return err;
	if (t->size > P9_XATTR_MAX)
		return -E2BIG;
	AUTO_LOCK(&f->mu);
	if (f->state != FID_WALKED || f->xattr)
		return -EINVAL;
	f->xattr = malloc(t->size + 1);
	f->xattr_name = strdup(key);
	if (!f->xattr || !f->xattr_name)
		return -ENOMEM;
	f->xattr_cap = t->size;
	f->xattr_flags = t->flags;
	f->state = FID_XATTR_WRITE;
	return 0;
}

ssize_t xattr_read(struct fid *f, uint64_t off, void *buf, size_t n)
{
	AUTO_LOCK(&f->mu);
	if (off >= f->xattr_len)
		return 0;
	if (n > f->xattr_len - off)
		n = f->xattr_len - off;
	memcpy(buf, f->xattr + off, n);
	return (ssize_t)n;
}

ssize_t xattr_write(struct fid *f, uint64_t off, const void *buf, size_t n)
{
	AUTO_LOCK(&f->mu);
	if (off != f->xattr_len || n > f->xattr_cap - f->xattr_len)
		return -EINVAL;
	memcpy(f->xattr + off, buf, n);
	f->xattr_len += n;
	return (ssize_t)n;
}

int xattr_commit(struct request *req, struct fid *f)
{
	AUTO_LOCK(&f->mu);
	if (f->xattr_len == 0 && f->xattr_cap == 0) { /* size 0 removes: attr(5) of .L clients */
		char path[16];

		host_fd_name(f->fd, path);
		return removexattr(path, f->xattr_name) < 0 ? -errno : 0;
	}
	return xattr_set(req->conn, f, f->xattr_name, f->xattr, f->xattr_len, f->xattr_flags);
}
