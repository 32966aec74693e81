/* Walking, reading links. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "gofer/ops.h"

/* One step. What others may not search looks empty with GOFER_OTHERS_ONLY: with EACCES an overlay
 * above could not put files of its own below such a directory (/root). */
static int walk_step(struct conn *c, const struct fid *dir, const struct p9_str *elem, int *fd)
{
	char name[256];
	int err = host_check_name(elem, name);

	if (!err && dir->type != S_IFDIR)
		err = -ENOTDIR;
	if (!err && (dir->traits & FID_HOLLOW))
		err = -ENOENT;
	if (!err)
		err = host_may(c, dir, S_IXOTH, -ENOENT);
	return err ? err : host_open_child(dir, name, fd);
}

int walk_to(struct conn *c, const struct fid *from, const struct p9_names *names, struct fid *out)
{
	const struct fid *at = from;
	struct stat st = {0};
	struct p9_attr attr;
	int fd, err = 0;

	out->fd = -1;
	for (unsigned i = 0; i < names->n; i++) {
		uint32_t traits = 0;

		err = walk_step(c, at, &names->a[i], &fd);
		if (err)
			break;
		err = host_stat(fd, "", &attr, &st);
		if (!err)
			traits = host_traits(at, fd, &st);
		if (out->fd >= 0)
			close(out->fd);
		*out = (struct fid){.fd = fd,
		                    .type = st.st_mode & S_IFMT,
		                    .dev = st.st_dev,
		                    .ino = st.st_ino,
		                    .traits = traits};
		at = out;
		if (err)
			break;
	}
	if (err && out->fd >= 0)
		close(steal_fd(&out->fd));
	return err;
}

/* A fid for the same file. */
static int walk_clone(struct conn *c, const struct fid *f, uint32_t newfid)
{
	struct stat st = {.st_dev = f->dev, .st_ino = f->ino, .st_mode = f->type};
	int fd = fcntl(f->fd, F_DUPFD_CLOEXEC, 0);

	return fd < 0 ? -errno : fid_bind(c, newfid, fd, &st, f->traits, NULL);
}

int serve_walk(struct request *req, const struct p9_twalk *t, struct p9_rwalk *r)
{
	struct conn *c = req->conn;
	AUTO(fid) struct fid *start = fid_lookup(c, t->fid);
	struct fid cur; /* where the walk is; its fd is ours from the first step on */
	struct p9_attr attr;
	struct stat st = {0};
	int fd, err;

	r->qids.n = 0;
	if (!start)
		return -EBADF;
	if (t->names.n == 0) {
		if (t->newfid == t->fid)
			return 0;
		return walk_clone(c, start, t->newfid);
	}
	cur.fd = start->fd;
	cur.type = start->type;
	cur.traits = start->traits;
	cur.dev = start->dev;
	for (unsigned i = 0; i < t->names.n; i++) {
		err = walk_step(c, &cur, &t->names.a[i], &fd);
		if (!err) {
			err = host_stat(fd, "", &attr, &st);
			if (err)
				close(fd);
		}
		if (err) {
			if (cur.fd != start->fd)
				close(cur.fd);
			return i == 0 ? err : 0; /* a partial walk binds nothing */
		}
		cur.traits = host_traits(&cur, fd, &st);
		if (cur.fd != start->fd)
			close(cur.fd);
		cur.fd = fd;
		cur.type = st.st_mode & S_IFMT;
		cur.dev = st.st_dev;
		r->qids.a[r->qids.n++] = attr.qid;
	}
	if (t->newfid == t->fid)
		fid_unbind(c, t->fid);
	return fid_bind(c, t->newfid, cur.fd, &st, cur.traits, NULL);
}

/* A walk that stops early still succeeds: the client learns how far it got, and why. */
int serve_lookup(struct request *req, const struct p9_tlookup *t, struct p9_rlookup *r)
{
	struct conn *c = req->conn;
	AUTO(fid) struct fid *cur = fid_lookup(c, t->fid);
	bool bind = !(t->flags & P9_LOOKUP_STAT);
	struct fid hop = {.fd = -1}; /* where the walk is when it bound nothing there */
	const struct fid *at = cur;
	struct stat st;
	int fd, err = 0;

	r->ecode = 0;
	r->donated = P9_DONATED_NONE;
	r->attrs.n = 0;
	r->target = p9_str(NULL, 0);
	if (!cur)
		return -EBADF;
	if (t->names.n == 0 && !bind) { /* attributes of the fid itself */
		err = host_getattr(cur, &r->attrs.a[0]);
		r->attrs.n = !err;
		return err;
	}
	for (unsigned i = 0; i < t->names.n && !err; i++) {
		struct fid *next = NULL;
		uint32_t traits;

		err = walk_step(c, at, &t->names.a[i], &fd);
		if (err)
			break;
		err = host_stat(fd, "", &r->attrs.a[i], &st);
		if (err) {
			close(fd);
			break;
		}
		traits = host_traits(at, fd, &st);
		if (bind && !(t->flags & P9_LOOKUP_PARENTS && i + 1 == t->names.n)) {
			err = fid_bind(c, t->newfid + i, fd, &st, traits, &next);
			if (err)
				break;
			fid_put(cur);
			at = cur = next;
		} else {
			if (hop.fd >= 0)
				close(hop.fd);
			hop = (struct fid){.fd = fd,
			                   .type = st.st_mode & S_IFMT,
			                   .dev = st.st_dev,
			                   .traits = traits};
			at = &hop;
		}
		r->attrs.n++;
		if (at->type == S_IFLNK)
			break;
	}
	r->ecode = (uint32_t)-err;
	if (!err && bind && at == cur && cur->type == S_IFLNK && r->attrs.n > 0) {
		/* Somewhere in tx that encoding the attributes does not reach before it copies
		 * this. */
		char *text = (char *)req->tx + P9_SMALL_MAX;
		ssize_t n = readlinkat(cur->fd, "", text, 4095);

		r->target = p9_str(text, n > 0 ? (size_t)n : 0);
	}
	if (!err && r->attrs.n == t->names.n && (t->flags & P9_LOOKUP_OPEN) &&
	    at->type == S_IFREG && host_reopen(c, at, O_RDONLY, &req->donate.fd[0]) == 0) {
		req->donate.n = 1;
		r->donated = P9_DONATED_READ;
	}
	if (hop.fd >= 0)
		close(hop.fd);
	return 0;
}

int serve_readlink(struct request *req, const struct p9_treadlink *t, struct p9_rreadlink *r)
{
	AUTO(fid) struct fid *f = fid_lookup(req->conn, t->fid);
	char *buf = (char *)req->tx + P9_HDR_SIZE + 2;
	ssize_t n;

	if (!f)
		return -EBADF;
	n = readlinkat(f->fd, "", buf, 4096);
	if (n < 0)
		return errno == ENOENT ? -EINVAL : -errno; /* "": not a link */
	r->target = p9_str(buf, (size_t)n);
	return 0;
}
