/* Requests in the words of the peer: the extension where it was agreed, else plain 9P2000.L, which
 * takes more round trips and donates nothing. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "vfs/p9/p9_impl.h"

#define AUTO_CALL __attribute__((cleanup(auto_p9_call))) struct p9_call *

static struct p9_call *call_new(struct p9_client *c, uint8_t type)
{
	struct p9_call *call = p9_call_get(c);

	if (call)
		call->t.type = type;
	return call;
}

static bool is_regular(int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 && S_ISREG(st.st_mode);
}

/* A descriptor that the peer gave: a regular file, or it is not ours to touch (-EIO: reading a pipe
 * or a device could block the sentry for good). -ENFILE: there was one, but no room for it here. */
static int call_take_fd(struct p9_call *call)
{
	if (call->fds.n == 0)
		return -ENFILE;
	if (call->fds.n > 1 || !is_regular(call->fds.fd[0]))
		return -EIO;
	call->fds.n = 0;
	return call->fds.fd[0];
}

int p9_do_getattr(struct p9_client *c, uint32_t fid, struct p9_attr *out)
{
	AUTO_CALL call = call_new(c, P9_tgetattr);
	int err;

	if (!call)
		return -ENOMEM;
	call->t.tgetattr.fid = fid;
	call->t.tgetattr.mask = P9_GETATTR_ALL;
	err = p9_rpc(call);
	if (!err)
		*out = call->r.rgetattr.attr;
	return err;
}

static int plain_walk(struct p9_client *c, uint32_t dfid, const char *name, size_t len,
                      uint32_t newfid)
{
	AUTO_CALL call = call_new(c, P9_twalk);
	int err;

	if (!call)
		return -ENOMEM;
	call->t.twalk.fid = dfid;
	call->t.twalk.newfid = newfid;
	call->t.twalk.names.n = name ? 1 : 0;
	call->t.twalk.names.a[0] = p9_str(name, len);
	err = p9_rpc(call);
	if (!err && call->r.rwalk.qids.n != call->t.twalk.names.n)
		err = -ENOENT;
	return err;
}

/* One name; no fid wanted: it is bound for a moment. */
static int plain_lookup(struct p9_client *c, uint32_t dfid, const struct p9_str *name,
                        uint32_t newfid, struct p9_attr *out)
{
	uint32_t fid = newfid == P9_NOFID ? p9_fid_alloc(c, 1) : newfid;
	int err;

	if (!fid)
		return -ENFILE;
	err = plain_walk(c, dfid, name->p, name->len, fid);
	if (err) {
		if (newfid == P9_NOFID)
			p9_fid_free(c, fid);
		return err;
	}
	err = p9_do_getattr(c, fid, out);
	if (newfid == P9_NOFID)
		p9_clunk(c, fid, false);
	return err;
}

static int ecode_err(uint32_t ecode)
{
	return ecode > 0 && ecode < 512 ? -(int)ecode : ecode ? -EIO : 0;
}

int p9_do_walk(struct p9_client *c, uint32_t dfid, const struct p9_str *names, unsigned n,
               uint32_t newfid, uint32_t flags, struct p9_walked *out)
{
	AUTO_CALL call = NULL;
	struct p9_rlookup *r;
	int err;

	out->target = NULL;
	out->fd = -1;
	out->n = 0;
	if (!p9_client_extended(c)) {
		out->err = plain_lookup(c, dfid, &names[0], newfid, &out->attrs[0]);
		out->n = !out->err;
		return 0;
	}
	call = call_new(c, P9_tlookup);
	if (!call)
		return -ENOMEM;
	call->t.tlookup.fid = dfid;
	call->t.tlookup.newfid = newfid;
	call->t.tlookup.flags = flags;
	call->t.tlookup.names.n = (uint16_t)n;
	memcpy(call->t.tlookup.names.a, names, n * sizeof(*names));
	err = p9_rpc(call);
	if (err)
		return err;
	r = &call->r.rlookup;
	if (r->attrs.n > n || (r->attrs.n == 0 && !r->ecode))
		return -EIO;
	out->n = r->attrs.n;
	out->err = ecode_err(r->ecode);
	memcpy(out->attrs, r->attrs.a, out->n * sizeof(*out->attrs));
	if (r->target.len > 0 && r->target.len < 4096 && !memchr(r->target.p, 0, r->target.len))
		out->target = strndup(r->target.p, r->target.len);
	if ((flags & P9_LOOKUP_OPEN) && r->donated == P9_DONATED_READ && out->n == n)
		out->fd = call_take_fd(call);
	return 0;
}

int p9_do_setattr(struct p9_client *c, const struct p9_tsetattr *t)
{
	AUTO_CALL call = call_new(c, P9_tsetattr);

	if (!call)
		return -ENOMEM;
	call->t.tsetattr = *t;
	return p9_rpc(call);
}

int p9_do_openfd(struct p9_client *c, uint32_t fid, uint32_t flags, int *fd)
{
	AUTO_CALL call = NULL;
	int err;

	if (!p9_client_extended(c))
		return -EOPNOTSUPP;
	call = call_new(c, P9_topenfd);
	if (!call)
		return -ENOMEM;
	call->t.topenfd.fid = fid;
	call->t.topenfd.flags = flags;
	err = p9_rpc(call);
	if (err)
		return err;
	*fd = call_take_fd(call);
	return *fd < 0 ? *fd : 0;
}

int p9_do_openmany(struct p9_client *c, const struct p9_topenmany *t, struct p9_opened *out)
{
	AUTO_CALL call = call_new(c, P9_topenmany);
	struct p9_ropenmany *r;
	int err;

	if (!call)
		return -ENOMEM;
	call->t.topenmany = *t;
	err = p9_rpc(call);
	if (err)
		return err;
	r = &call->r.ropenmany;
	if (r->opened >> t->names.n || (unsigned)__builtin_popcount(r->opened) != r->qids.n)
		return -EIO;
	if (call->fds.n != r->qids.n)
		return call->fds.n < r->qids.n ? -ENFILE : -EIO;
	for (unsigned i = 0; i < r->qids.n; i++) {
		if (!is_regular(call->fds.fd[i]))
			return -EIO;
		out->qids[i] = r->qids.a[i].path;
	}
	out->opened = r->opened;
	out->fds = call->fds;
	call->fds.n = 0;
	return 0;
}

static int plain_make_call(struct p9_client *c, const struct p9_tmake *t)
{
	AUTO_CALL call = p9_call_get(c);

	if (!call)
		return -ENOMEM;
	switch (t->mode & S_IFMT) {
	case S_IFDIR:
		call->t.type = P9_tmkdir;
		call->t.tmkdir = (struct p9_tmkdir){t->dfid, t->name, t->mode & 07777, t->gid};
		break;
	case S_IFLNK:
		call->t.type = P9_tsymlink;
		call->t.tsymlink = (struct p9_tsymlink){t->dfid, t->name, t->target, t->gid};
		break;
	default:
		call->t.type = P9_tmknod;
		call->t.tmknod = (struct p9_tmknod){t->dfid,        t->name,        t->mode,
		                                    major(t->rdev), minor(t->rdev), t->gid};
	}
	return p9_rpc(call);
}

/* t->newfid is given back on failure. */
int p9_do_make(struct p9_client *c, const struct p9_tmake *t, struct p9_attr *out, int *fd)
{
	AUTO_CALL call = NULL;
	int err;

	*fd = -1;
	if (!p9_client_extended(c)) {
		err = t->name.len == 0 ? -EOPNOTSUPP : plain_make_call(c, t);
		if (err) {
			p9_fid_free(c, t->newfid);
			return err;
		}
		err = plain_lookup(c, t->dfid, &t->name, t->newfid, out);
		if (err)
			p9_fid_free(c, t->newfid);
		return err;
	}
	call = call_new(c, P9_tmake);
	if (!call)
		return -ENOMEM;
	call->t.tmake = *t;
	err = p9_rpc(call);
	if (err) {
		p9_fid_free(c, t->newfid);
		return err;
	}
	*out = call->r.rmake.attr;
	if (call->r.rmake.donated == P9_DONATED_RDWR)
		*fd = call_take_fd(call);
	return 0;
}

int p9_do_rename(struct p9_client *c, uint32_t olddfid, struct p9_str oldname, uint32_t newdfid,
                 struct p9_str newname, uint32_t flags)
{
	AUTO_CALL call = NULL;

	if (flags && !p9_client_extended(c))
		return -EINVAL;
	call = call_new(c, flags ? P9_trename2 : P9_trenameat);
	if (!call)
		return -ENOMEM;
	if (flags)
		call->t.trename2 = (struct p9_trename2){olddfid, oldname, newdfid, newname, flags};
	else
		call->t.trenameat = (struct p9_trenameat){olddfid, oldname, newdfid, newname};
	return p9_rpc(call);
}

int p9_do_unlink(struct p9_client *c, uint32_t dfid, struct p9_str name, uint32_t flags)
{
	AUTO_CALL call = call_new(c, P9_tunlinkat);

	if (!call)
		return -ENOMEM;
	call->t.tunlinkat = (struct p9_tunlinkat){dfid, name, flags};
	return p9_rpc(call);
}

int p9_do_link(struct p9_client *c, uint32_t dfid, struct p9_str name, uint32_t fid)
{
	AUTO_CALL call = call_new(c, P9_tlink);

	if (!call)
		return -ENOMEM;
	call->t.tlink = (struct p9_tlink){dfid, fid, name};
	return p9_rpc(call);
}

int p9_do_readlink(struct p9_client *c, uint32_t fid, char **target)
{
	AUTO_CALL call = call_new(c, P9_treadlink);
	struct p9_str *s;
	int err;

	if (!call)
		return -ENOMEM;
	call->t.treadlink.fid = fid;
	err = p9_rpc(call);
	if (err)
		return err;
	s = &call->r.rreadlink.target;
	if (s->len == 0 || s->len >= 4096 || memchr(s->p, 0, s->len))
		return -EIO;
	*target = strndup(s->p, s->len);
	return *target ? 0 : -ENOMEM;
}

int p9_do_statfs(struct p9_client *c, uint32_t fid, struct p9_rstatfs *out)
{
	AUTO_CALL call = call_new(c, P9_tstatfs);
	int err;

	if (!call)
		return -ENOMEM;
	call->t.tstatfs.fid = fid;
	err = p9_rpc(call);
	if (!err)
		*out = call->r.rstatfs;
	return err;
}

int p9_do_fsync(struct p9_client *c, uint32_t fid, bool datasync)
{
	AUTO_CALL call = call_new(c, P9_tfsync);

	if (!call)
		return -ENOMEM;
	call->t.tfsync = (struct p9_tfsync){fid, datasync};
	return p9_rpc(call);
}

int p9_do_open_plain(struct p9_client *c, uint32_t fid, uint32_t flags, uint32_t *open_fid)
{
	AUTO_CALL call = NULL;
	uint32_t newfid = p9_fid_alloc(c, 1);
	int err;

	if (!newfid)
		return -ENFILE;
	err = plain_walk(c, fid, NULL, 0, newfid);
	if (err) {
		p9_fid_free(c, newfid);
		return err;
	}
	call = call_new(c, P9_tlopen);
	if (!call)
		return -ENOMEM;
	call->t.tlopen = (struct p9_tlopen){newfid, flags};
	err = p9_rpc(call);
	if (err)
		p9_clunk(c, newfid, false);
	else
		*open_fid = newfid;
	return err;
}

ssize_t p9_do_read(struct p9_client *c, uint32_t fid, void *buf, size_t n, uint64_t off)
{
	AUTO_CALL call = call_new(c, P9_tread);
	struct p9_data *d;
	int err;

	if (!call)
		return -ENOMEM;
	if (n > p9_client_msize(c) - P9_DATA_OFFSET)
		n = p9_client_msize(c) - P9_DATA_OFFSET;
	call->t.tread = (struct p9_tread){fid, off, (uint32_t)n};
	err = p9_rpc(call);
	if (err)
		return err;
	d = &call->r.rread.data;
	if (d->len > n)
		return -EIO;
	memcpy(buf, d->p, d->len);
	return d->len;
}

ssize_t p9_do_write(struct p9_client *c, uint32_t fid, const void *buf, size_t n, uint64_t off)
{
	AUTO_CALL call = call_new(c, P9_twrite);
	size_t max = p9_client_msize(c) - P9_HDR_SIZE - 16;
	int err;

	if (!call)
		return -ENOMEM;
	if (n > max)
		n = max;
	call->t.twrite = (struct p9_twrite){fid, off, {buf, (uint32_t)n}};
	err = p9_rpc(call);
	if (err)
		return err;
	return call->r.rwrite.count > n ? -EIO : (ssize_t)call->r.rwrite.count;
}

int p9_do_list(struct p9_client *c, const struct p9_tlist *t, struct p9_listed *out)
{
	AUTO_CALL call = call_new(c, p9_client_extended(c) ? P9_tlist : P9_treaddir);
	struct p9_data *d;
	int err;

	if (!call)
		return -ENOMEM;
	if (call->t.type == P9_tlist)
		call->t.tlist = *t;
	else
		call->t.treaddir = (struct p9_treaddir){t->fid, t->offset, t->count};
	err = p9_rpc(call);
	if (err)
		return err;
	d = call->r.type == P9_rlist ? &call->r.rlist.data : &call->r.rreaddir.data;
	if (d->len > t->count)
		return -EIO;
	*out = (struct p9_listed){.len = d->len, .own = d->len};
	if (call->r.type == P9_rlist) {
		if (call->r.rlist.own > d->len)
			return -EIO;
		out->own = call->r.rlist.own;
		out->end = call->r.rlist.end;
		out->qid_path = call->r.rlist.qid.path;
	}
	out->data = malloc(d->len + 1);
	if (!out->data)
		return -ENOMEM;
	memcpy(out->data, d->p, d->len);
	return 0;
}
