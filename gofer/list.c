/* Listing directories, one or many.
 *
 * A listing (Tlist) can tell the attributes of its entries: by fstatat, so that it binds nothing
 * and costs no descriptors. And it can go on into the directories below (P9_LIST_BELOW): what
 * traverses a tree gets the directories that come next along with the one that it asked for, so
 * that one message stands for a hundred. Each directory below is a *section* of the reply, whole or
 * not at all; the recursion walks over the sections that it has just written, so it needs no
 * memory but a descriptor for each level. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "abi/linux/fcntl.h"
#include "gofer/ops.h"

#define LIST_DEPTH 12	  /* of directories below; each has a descriptor open meanwhile */
#define LIST_BELOW_READS 8 /* getdents calls in search of the first of them */

struct lister {
	struct conn *c;
	struct p9_cur out;
	bool plain;	/* Rreaddir's entries */
	uint32_t flags; /* P9_LIST_* */
	uint32_t ahead; /* how many directories below */
};

/* A directory that is being listed. */
struct place {
	int fd; /* open for reading */
	uint64_t dev, ino;
	bool root, attrs; /* attrs: those of its entries may be told */
};

static bool is_dots(const char *name)
{
	return name[0] == '.' && (!name[1] || (name[1] == '.' && !name[2]));
}

/* Gone meanwhile, or nothing that may be known: no attributes. */
static void entry_attr(const struct lister *l, const struct place *at,
		       const struct linux_dirent64 *e, struct p9_attr *a)
{
	uint32_t dirs = e->d_type == DT_DIR || e->d_type == DT_UNKNOWN ? P9_LIST_DIRS : 0;
	struct stat st;

	a->valid = 0;
	if (!(l->flags & (P9_LIST_ATTRS | dirs)) || !at->attrs || is_dots(e->d_name))
		return;
	/* What is mounted there may be hollow: a lookup finds out. */
	if (host_stat(at->fd, e->d_name, a, &st) < 0 || st.st_dev != at->dev)
		a->valid = 0;
}

/* False: no room. */
static bool entry_put(struct lister *l, const struct place *at, const struct linux_dirent64 *e)
{
	size_t len = strlen(e->d_name);
	struct p9_entry out = {
	    .d = {.offset = (uint64_t)e->d_off,
	          .type = e->d_type,
	          .name = p9_str(e->d_name, len)},
	};
	struct p9_cur before = l->out;
	char text[1024];
	ssize_t n;
	bool up = at->root && strcmp(e->d_name, "..") == 0;

	host_qid(at->dev, up ? at->ino : e->d_ino, DTTOIF(e->d_type), &out.d.qid);
	if (l->plain) {
		p9_put_dirent(&l->out, &out.d);
	} else {
		entry_attr(l, at, e, &out.attr);
		if (out.attr.valid && S_ISLNK(out.attr.mode)) {
			n = readlinkat(at->fd, e->d_name, text, sizeof(text));
			if (n > 0 && n < (ssize_t)sizeof(text))
				out.target = p9_str(text, (size_t)n);
		}
		p9_put_entry(&l->out, &out);
	}
	if (l->out.bad)
		l->out = before;
	return l->out.p != before.p;
}

/* Entries from the descriptor's position on, as many as fit. -EINVAL when not even one fits. */
static int fill(struct lister *l, const struct place *at, bool *end)
{
	_Alignas(8) char buf[16384];
	uint8_t *start = l->out.p;
	long n;

	*end = false;
	for (;;) {
		n = syscall(SYS_getdents64, at->fd, buf, sizeof(buf));
		if (n < 0)
			return l->out.p != start ? 0 : -errno;
		*end = n == 0;
		if (n == 0)
			return 0;
		for (long i = 0; i < n;) {
			const struct linux_dirent64 *e = (const void *)(buf + i);

			if (!entry_put(l, at, e))
				return l->out.p != start ? 0 : -EINVAL;
			i += e->d_reclen;
		}
	}
}

/* ---- the directories below ------------------------------------------------------------------ */

/* Opens `name` if its listing may be told without further ado. */
static int below_open(struct lister *l, const struct place *up, const char *name, struct place *at)
{
	bool others = l->c->flags & GOFER_OTHERS_ONLY;
	struct stat st;
	int err = host_open_dir(up->fd, name, &at->fd);

	if (err)
		return err;
	if (fstat(at->fd, &st) < 0 || st.st_dev != up->dev ||
	    (others && (st.st_mode & (S_IROTH | S_IXOTH)) != (S_IROTH | S_IXOTH))) {
		close(at->fd);
		return -EACCES;
	}
	at->dev = st.st_dev;
	at->ino = st.st_ino;
	at->root = false;
	at->attrs = true;
	return 0;
}

static bool below_entries(struct lister *l, const struct place *at, uint8_t *p, size_t len,
			  unsigned depth);

/* A section for `name`, and for what is below it. False: that's all. */
static bool below(struct lister *l, const struct place *up, const char *name, unsigned depth)
{
	struct p9_cur start = l->out, head;
	struct p9_qid qid;
	struct place at;
	uint8_t *first;
	bool end;
	bool more;

	if (l->ahead == 0)
		return false;
	if (below_open(l, up, name, &at) < 0)
		return true;
	head = start;
	p9_take(&l->out, P9_SECTION_HDR);
	first = l->out.p;
	if (l->out.bad || fill(l, &at, &end) < 0 || !end) {
		l->out = start;
		close(at.fd);
		return false;
	}
	l->ahead--;
	host_qid(at.dev, at.ino, S_IFDIR, &qid);
	p9_put_u64(&head, qid.path);
	p9_put_u32(&head, (uint32_t)(l->out.p - first));
	more = depth + 1 >= LIST_DEPTH ||
	       below_entries(l, &at, first, (size_t)(l->out.p - first), depth + 1);
	close(at.fd);
	return more;
}

/* The directories among entries that have been put at p. */
static bool below_entries(struct lister *l, const struct place *at, uint8_t *p, size_t len,
			  unsigned depth)
{
	struct p9_cur c = p9_cur(p, len);
	struct p9_entry e;
	char name[256];

	while (p9_get_entry(&c, &e)) {
		if (!e.attr.valid || !S_ISDIR(e.attr.mode) || host_check_name(&e.d.name, name) < 0)
			continue;
		if (!below(l, at, name, depth))
			return false;
	}
	return true;
}

/* From the descriptor's position on. */
static int fill_below(struct lister *l, const struct place *at)
{
	_Alignas(8) char buf[16384];
	uint8_t *start = l->out.p;

	for (int reads = 0; reads < LIST_BELOW_READS || l->out.p != start; reads++) {
		long n = syscall(SYS_getdents64, at->fd, buf, sizeof(buf));

		if (n <= 0)
			return n < 0 ? -errno : 0;
		for (long i = 0; i < n;) {
			const struct linux_dirent64 *e = (const void *)(buf + i);

			if ((e->d_type == DT_DIR || e->d_type == DT_UNKNOWN) &&
			    !is_dots(e->d_name) && !below(l, at, e->d_name, 0))
				return 0;
			i += e->d_reclen;
		}
	}
	return 0;
}

/* ---- the requests ---------------------------------------------------------------------------- */

struct listed {
	struct p9_data data;
	uint32_t own;
	uint8_t end;
};

static int list_open(struct lister *l, struct fid *dir, uint64_t offset, struct listed *out)
{
	struct place at = {.dev = dir->dev, .ino = dir->ino, .root = dir->traits & FID_ROOT};
	bool end = false;
	int err;

	AUTO_LOCK(&dir->mu);
	if (dir->open_fd < 0) {
		err = host_reopen(l->c, dir, O_RDONLY, &dir->open_fd);
		if (err)
			return err;
	}
	at.fd = dir->open_fd;
	at.attrs = host_may(l->c, dir, S_IXOTH, -EACCES) == 0;
	if (lseek(at.fd, (off_t)offset, SEEK_SET) < 0)
		return -errno;
	if (l->flags & P9_LIST_BELOW) {
		err = at.attrs ? fill_below(l, &at) : 0;
	} else {
		err = fill(l, &at, &end);
		out->own = (uint32_t)(l->out.p - out->data.p);
	}
	out->data.len = (uint32_t)(l->out.p - out->data.p);
	out->end = end;
	if ((end || l->flags & P9_LIST_BELOW) && dir->state == FID_WALKED)
		close(steal_fd(&dir->open_fd));
	return err;
}

static int list_dir(struct request *req, struct fid *dir, struct lister *l, uint64_t offset,
		    uint32_t count, struct listed *out)
{
	struct conn *c = req->conn;
	uint8_t *start = req->tx + P9_DATA_OFFSET;

	*out = (struct listed){.data = {start, 0}, .end = 1};
	if (dir->type != S_IFDIR)
		return -ENOTDIR;
	if (host_may(c, dir, S_IROTH, -EACCES) < 0 || (dir->traits & FID_HOLLOW))
		return 0;
	/* What comes behind the data must fit, too. */
	if (count > c->msize - P9_DATA_OFFSET - 32)
		count = c->msize - P9_DATA_OFFSET - 32;
	l->c = c;
	l->out = p9_cur(start, count);
	return list_open(l, dir, offset, out);
}

int serve_readdir(struct request *req, const struct p9_treaddir *t, struct p9_rreaddir *r)
{
	AUTO(fid) struct fid *dir = fid_lookup(req->conn, t->fid);
	struct lister l = {.plain = true};
	struct listed out;
	int err = dir ? list_dir(req, dir, &l, t->offset, t->count, &out) : -EBADF;

	if (!err)
		r->data = out.data;
	return err;
}

/* The directory that the names lead to, bound to newfid. */
static int list_walk(struct conn *c, const struct p9_tlist *t, struct fid **dir)
{
	struct stat st = {0};
	struct fid to;
	int err = walk_to(c, *dir, &t->names, &to);

	if (err)
		return err;
	st.st_dev = to.dev;
	st.st_ino = to.ino;
	st.st_mode = to.type;
	if (to.type != S_IFDIR) {
		close(to.fd);
		return -ENOTDIR;
	}
	fid_put(*dir);
	*dir = NULL;
	return fid_bind(c, t->newfid, to.fd, &st, to.traits, dir);
}

int serve_list(struct request *req, const struct p9_tlist *t, struct p9_rlist *r)
{
	AUTO(fid) struct fid *dir = fid_lookup(req->conn, t->fid);
	struct lister l = {.flags = t->flags, .ahead = t->ahead};
	struct listed out;
	int err;

	if (!dir)
		return -EBADF;
	if (t->names.n > 0) {
		err = list_walk(req->conn, t, &dir);
		if (err)
			return err;
	}
	err = list_dir(req, dir, &l, t->offset, t->count, &out);
	if (err && t->names.n > 0)
		fid_unbind(req->conn, t->newfid);
	if (err)
		return err;
	host_qid(dir->dev, dir->ino, S_IFDIR, &r->qid);
	r->data = out.data;
	r->own = out.own;
	r->end = out.end;
	return 0;
}
