/* Versions, attaching, letting go. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "gofer/ops.h"

static bool version_is(const struct p9_str *v, const char *want)
{
	return v->len == strlen(want) && memcmp(v->p, want, v->len) == 0;
}

/* Starts the session anew: all fids are gone (version(5) of Plan 9). */
int serve_version(struct request *req, const struct p9_tversion *t, struct p9_rversion *r)
{
	struct conn *c = req->conn;
	const char *v = "unknown";

	if (t->msize < P9_MSIZE_MIN)
		return -EMSGSIZE;
	fid_unbind_all(c);
	c->extended = version_is(&t->version, P9_VERSION_SENTRY);
	if (c->extended)
		v = P9_VERSION_SENTRY;
	else if (t->version.len >= strlen(P9_VERSION) &&
	         memcmp(t->version.p, P9_VERSION, strlen(P9_VERSION)) == 0)
		v = P9_VERSION;
	r->msize = t->msize < P9_MSIZE_MAX ? t->msize : P9_MSIZE_MAX;
	c->msize = r->msize;
	r->version = p9_str(v, strlen(v));
	return 0;
}

/* None needed: whoever holds the socket may use the tree. */
int serve_auth(struct request *req, const struct p9_tauth *t, struct p9_rauth *r)
{
	return -EOPNOTSUPP;
}

static int attach_root(struct conn *c, uint32_t fid, struct p9_attr *attr)
{
	struct stat st;
	int fd = fcntl(c->root_fd, F_DUPFD_CLOEXEC, 0), err;

	if (fd < 0)
		return -errno;
	err = host_stat(fd, "", attr, &st);
	if (err) {
		close(fd);
		return err;
	}
	return fid_bind(c, fid, fd, &st, FID_ROOT, NULL);
}

int serve_attach(struct request *req, const struct p9_tattach *t, struct p9_rattach *r)
{
	struct p9_attr attr;
	int err = attach_root(req->conn, t->fid, &attr);

	if (!err)
		r->qid = attr.qid;
	return err;
}

int serve_mount(struct request *req, const struct p9_tmount *t, struct p9_rmount *r)
{
	return attach_root(req->conn, t->fid, &r->attr);
}

int serve_clunk(struct request *req, const struct p9_tclunk *t, struct p9_rclunk *r)
{
	AUTO(fid) struct fid *f = fid_lookup(req->conn, t->fid);
	int err;

	if (!f)
		return -EBADF;
	err = f->state == FID_XATTR_WRITE ? xattr_commit(req, f) : 0;
	fid_unbind(req->conn, t->fid);
	return err;
}

int serve_clunkmany(struct request *req, const struct p9_tclunkmany *t, struct p9_rclunkmany *r)
{
	for (unsigned i = 0; i < t->fids.n; i++)
		fid_unbind(req->conn, t->fids.a[i]);
	return 0;
}

/* A fid doesn't know its name here, so Tremove can only do its other half, the clunk. Clients
 * use Tunlinkat. */
int serve_remove(struct request *req, const struct p9_tremove *t, struct p9_rremove *r)
{
	int err = fid_unbind(req->conn, t->fid);

	return err ? err : -EOPNOTSUPP;
}
