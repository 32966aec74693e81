/* Walking and listing directories, reading links. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/syscall.h>
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
	struct fid hop = {.fd = -1}; /* where the walk is when it binds nothing */
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
		if (bind) {
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
	if (hop.fd >= 0)
		close(hop.fd);
	r->ecode = (uint32_t)-err;
	if (!err && bind && cur->type == S_IFLNK && r->attrs.n > 0) {
		/* Somewhere in tx that encoding the attributes does not reach before it copies
		 * this. */
		char *text = (char *)req->tx + P9_SMALL_MAX;
		ssize_t n = readlinkat(cur->fd, "", text, 4095);

		r->target = p9_str(text, n > 0 ? (size_t)n : 0);
	}
	if (!err && bind && r->attrs.n == t->names.n && (t->flags & P9_LOOKUP_OPEN) &&
	    cur->type == S_IFREG && host_reopen(c, cur, O_RDONLY, &req->donate) == 0)
		r->donated = P9_DONATED_READ;
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

struct linux_dirent64 {
	uint64_t d_ino;
	int64_t d_off;
	uint16_t d_reclen;
	uint8_t d_type;
	char d_name[];
};

struct lister {
	struct conn *c;
	struct fid *dir;
	struct p9_cur out;
	bool attrs;
	uint32_t newfid; /* of the next entry with attributes */
	bool end;        /* of the directory */
};

/* Binds the next fid to an entry; when that can't be (gone meanwhile, no descriptor left) it has
 * no attributes. */
static void list_bind(struct lister *l, const char *name, struct p9_attr *a)
{
	struct stat st;
	int fd;

	/* What a listing binds is a guess: it may not use up what requests will need. */
	if (fid_crowded(l->c))
		return;
	if ((name[0] == '.' && (!name[1] || (name[1] == '.' && !name[2]))) ||
	    host_open_child(l->dir, name, &fd) < 0)
		return;
	if (host_stat(fd, "", a, &st) < 0) {
		a->valid = 0;
		close(fd);
		return;
	}
	if (fid_bind(l->c, l->newfid, fd, &st, host_traits(l->dir, fd, &st), NULL) < 0)
		a->valid = 0;
	else
		l->newfid++;
}

/* False: no room. */
static bool list_entry_put(struct lister *l, const struct linux_dirent64 *e)
{
	size_t len = strlen(e->d_name);
	struct p9_dirent d = {
	    .offset = (uint64_t)e->d_off,
	    .type = e->d_type,
	    .name = p9_str(e->d_name, len),
	};
	bool dotdot = strcmp(e->d_name, "..") == 0;
	struct p9_attr a = {0};

	if (p9_left(&l->out) < p9_dirent_size(len) + (l->attrs ? P9_ATTR_SIZE : 0))
		return false;
	host_qid(l->dir->dev, dotdot && (l->dir->traits & FID_ROOT) ? l->dir->ino : e->d_ino,
	         DTTOIF(e->d_type), &d.qid);
	if (l->attrs)
		list_bind(l, e->d_name, &a);
	p9_put_dirent(&l->out, &d);
	if (l->attrs)
		p9_put_attr(&l->out, &a);
	return true;
}

/* Entries from `offset` on, as many as fit. 0 at the end, -EINVAL when not even one fits. */
static int list_fill(struct lister *l, uint64_t offset)
{
	_Alignas(8) char buf[16384];
	uint8_t *start = l->out.p;
	long n;

	if (lseek(l->dir->open_fd, (off_t)offset, SEEK_SET) < 0)
		return -errno;
	for (;;) {
		n = syscall(SYS_getdents64, l->dir->open_fd, buf, sizeof(buf));
		if (n < 0)
			return l->out.p != start ? 0 : -errno;
		l->end = n == 0;
		if (n == 0)
			return 0;
		for (long at = 0; at < n;) {
			const struct linux_dirent64 *e = (const void *)(buf + at);

			if (!list_entry_put(l, e))
				return l->out.p != start ? 0 : -EINVAL;
			at += e->d_reclen;
		}
	}
}

static int list_dir(struct request *req, uint32_t fidnum, uint64_t offset, uint32_t count,
                    uint32_t newfid, struct p9_data *out, uint8_t *end)
{
	struct conn *c = req->conn;
	AUTO(fid) struct fid *dir = fid_lookup(c, fidnum);
	struct lister l;
	uint8_t *start = req->tx + P9_DATA_OFFSET;
	int err;

	if (!dir)
		return -EBADF;
	if (dir->type != S_IFDIR)
		return -ENOTDIR;
	out->p = start;
	out->len = 0;
	*end = 1;
	if (host_may(c, dir, S_IROTH, -EACCES) < 0 || (dir->traits & FID_HOLLOW))
		return 0;
	if (count > c->msize - P9_DATA_OFFSET - 1)
		count = c->msize - P9_DATA_OFFSET - 1;
	l = (struct lister){c, dir, p9_cur(start, count), newfid != P9_NOFID, newfid, false};
	if (l.attrs && host_may(c, dir, S_IXOTH, -EACCES) < 0)
		return -EACCES;
	AUTO_LOCK(&dir->mu);
	if (dir->open_fd < 0) {
		err = host_reopen(c, dir, O_RDONLY, &dir->open_fd);
		if (err)
			return err;
	}
	err = list_fill(&l, offset);
	out->len = (uint32_t)(l.out.p - start);
	*end = l.end;
	if (l.end && dir->state == FID_WALKED)
		close(steal_fd(&dir->open_fd));
	return err;
}

int serve_readdir(struct request *req, const struct p9_treaddir *t, struct p9_rreaddir *r)
{
	uint8_t end;

	return list_dir(req, t->fid, t->offset, t->count, P9_NOFID, &r->data, &end);
}

int serve_list(struct request *req, const struct p9_tlist *t, struct p9_rlist *r)
{
	return list_dir(req, t->fid, t->offset, t->count,
	                t->flags & P9_READDIR_ATTR ? t->newfid : P9_NOFID, &r->data, &r->end);
}
