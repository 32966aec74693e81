/* Making, renaming and removing names. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "gofer/ops.h"

struct making {
	char name[256]; /* empty: an unnamed file */
	uint32_t mode, uid, gid;
	uint64_t rdev;
	char target[4097];
	/* the result */
	int fd;    /* O_PATH */
	int rw_fd; /* regular files */
	struct p9_attr attr;
	struct stat st;
};

/* What was made can't be used (descriptors ran out): the client may try again, and must not find
 * it there. */
static void make_undo(struct fid *dir, const struct making *m)
{
	if (m->name[0])
		unlinkat(dir->fd, m->name, S_ISDIR(m->mode) ? AT_REMOVEDIR : 0);
}

static int make_regular(struct fid *dir, struct making *m)
{
	int fd;

	if (m->name[0])
		fd = openat(dir->fd, m->name, O_CREAT | O_EXCL | O_RDWR | O_NOFOLLOW | O_CLOEXEC,
		            m->mode & 07777);
	else
		fd = openat(dir->fd, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, m->mode & 07777);
	if (fd < 0)
		return -errno;
	m->rw_fd = fd;
	m->fd = host_reopen_fd(fd, O_PATH);
	if (m->fd < 0)
		make_undo(dir, m);
	return m->fd < 0 ? m->fd : 0;
}

/* Only what does no harm on the host: device nodes need the export's permission. */
static int make_special(struct conn *c, struct fid *dir, struct making *m)
{
	uint32_t type = m->mode & S_IFMT;
	int n;

	switch (type) {
	case S_IFDIR:
		n = mkdirat(dir->fd, m->name, m->mode & 07777);
		break;
	case S_IFLNK:
		n = symlinkat(m->target, dir->fd, m->name);
		break;
	case S_IFCHR:
	case S_IFBLK:
		if (!(c->flags & GOFER_DEVICES))
			return -EPERM;
		/* fall through */
	case S_IFIFO:
	case S_IFSOCK:
		n = mknodat(dir->fd, m->name, m->mode, m->rdev);
		break;
	default:
		return -EINVAL;
	}
	if (n < 0)
		return -errno;
	n = host_open_child(dir, m->name, &m->fd);
	if (n == -EMFILE || n == -ENFILE)
		make_undo(dir, m);
	return n;
}

/* The owner and the mode bits that creation does not set. An ordinary user can't give files away:
 * then they stay its own. */
static int make_finish(struct making *m)
{
	uint32_t bits = m->mode & 07777;
	char name[16];
	int err = host_stat(m->fd, "", &m->attr, &m->st);

	if (err)
		return err;
	if ((m->st.st_mode & S_IFMT) != (m->mode & S_IFMT))
		return -ESTALE; /* replaced meanwhile by somebody on the host */
	if ((m->uid != P9_NOID && m->uid != m->attr.uid) ||
	    (m->gid != P9_NOID && m->gid != m->attr.gid)) {
		err = host_chown(m->fd, m->uid, m->gid);
		if (err && err != -EPERM)
			return err;
		err = host_stat(m->fd, "", &m->attr, &m->st);
		if (err)
			return err;
	}
	if ((m->mode & S_IFMT) == S_IFLNK || (m->st.st_mode & 07777) == bits)
		return 0;
	host_fd_name(m->fd, name);
	if (fchmodat(host_proc_fd(), name, bits, 0) < 0 && errno != EPERM)
		return -errno;
	return host_stat(m->fd, "", &m->attr, &m->st);
}

static int make_name(struct conn *c, struct fid *dir, const struct p9_str *name, struct making *m)
{
	int err = host_may_change_dir(c, dir);

	m->fd = m->rw_fd = -1;
	if (err)
		return err;
	m->name[0] = 0;
	if (name->len > 0 || (m->mode & S_IFMT) != S_IFREG)
		err = host_check_name(name, m->name);
	if (err)
		return err;
	if ((m->mode & S_IFMT) == S_IFREG)
		err = make_regular(dir, m);
	else
		err = make_special(c, dir, m);
	if (!err)
		err = make_finish(m);
	if (err) {
		if (m->fd >= 0)
			close(m->fd);
		if (m->rw_fd >= 0)
			close(m->rw_fd);
	}
	return err;
}

static int copy_target(struct making *m, const struct p9_str *t)
{
	if (t->len == 0)
		return -ENOENT;
	if (t->len >= sizeof(m->target))
		return -ENAMETOOLONG;
	if (memchr(t->p, 0, t->len))
		return -EINVAL;
	memcpy(m->target, t->p, t->len);
	m->target[t->len] = 0;
	return 0;
}

int serve_make(struct request *req, const struct p9_tmake *t, struct p9_rmake *r)
{
	struct conn *c = req->conn;
	AUTO(fid) struct fid *dir = fid_lookup(c, t->dfid);
	struct making m = {.mode = t->mode, .uid = t->uid, .gid = t->gid, .rdev = t->rdev};
	int err;

	if (!dir)
		return -EBADF;
	if ((m.mode & S_IFMT) == S_IFLNK) {
		err = copy_target(&m, &t->target);
		if (err)
			return err;
	}
	err = make_name(c, dir, &t->name, &m);
	if (err)
		return err;
	err = fid_bind(c, t->newfid, m.fd, &m.st, 0, NULL);
	if (err) {
		make_undo(dir, &m);
		if (m.rw_fd >= 0)
			close(m.rw_fd);
		return err;
	}
	r->attr = m.attr;
	r->donated = m.rw_fd >= 0 ? P9_DONATED_RDWR : P9_DONATED_NONE;
	if (m.rw_fd >= 0)
		req->donate = (struct p9_carried){.n = 1, .fd = {m.rw_fd}};
	return 0;
}

/* 9P2000.L's forms of the same, without a fid for what was made. */
static int make_plain(struct conn *c, uint32_t dfid, const struct p9_str *name, struct making *m,
                      struct p9_qid *qid)
{
	AUTO(fid) struct fid *dir = fid_lookup(c, dfid);
	int err;

	if (!dir)
		return -EBADF;
	m->uid = P9_NOID;
	err = make_name(c, dir, name, m);
	if (err)
		return err;
	close(m->fd);
	if (m->rw_fd >= 0)
		close(m->rw_fd);
	*qid = m->attr.qid;
	return 0;
}

int serve_symlink(struct request *req, const struct p9_tsymlink *t, struct p9_rsymlink *r)
{
	struct making m = {.mode = S_IFLNK | 0777, .gid = t->gid};
	int err = copy_target(&m, &t->target);

	return err ? err : make_plain(req->conn, t->dfid, &t->name, &m, &r->qid);
}

int serve_mknod(struct request *req, const struct p9_tmknod *t, struct p9_rmknod *r)
{
	struct making m = {.mode = t->mode, .gid = t->gid, .rdev = makedev(t->major, t->minor)};

	if ((m.mode & S_IFMT) == S_IFLNK || (m.mode & S_IFMT) == S_IFDIR)
		return -EINVAL;
	if (t->name.len == 0)
		return -ENOENT;
	return make_plain(req->conn, t->dfid, &t->name, &m, &r->qid);
}

int serve_mkdir(struct request *req, const struct p9_tmkdir *t, struct p9_rmkdir *r)
{
	struct making m = {.mode = S_IFDIR | (t->mode & 07777), .gid = t->gid};

	return make_plain(req->conn, t->dfid, &t->name, &m, &r->qid);
}

/* The fid moves from the directory to the new, open file. An existing file is opened, unless
 * O_EXCL. */
int serve_lcreate(struct request *req, const struct p9_tlcreate *t, struct p9_rlcreate *r)
{
	struct conn *c = req->conn;
	AUTO(fid) struct fid *dir = fid_lookup(c, t->fid);
	AUTO(fid) struct fid *f = NULL;
	struct making m = {.mode = S_IFREG | (t->mode & 07777), .uid = P9_NOID, .gid = t->gid};
	struct fid probe;
	int err, fd = -1;

	if (!dir)
		return -EBADF;
	if (t->name.len == 0)
		return -ENOENT;
	err = make_name(c, dir, &t->name, &m);
	if (err == -EEXIST && !(t->flags & O_EXCL)) {
		err = host_open_child(dir, m.name, &m.fd);
		if (!err)
			err = host_stat(m.fd, "", &m.attr, &m.st);
		if (!err) {
			probe.fd = m.fd;
			probe.type = m.st.st_mode & S_IFMT;
			probe.traits = host_traits(dir, m.fd, &m.st);
			err = host_reopen(c, &probe, (int)t->flags, &fd);
		}
		if (err && m.fd >= 0)
			close(m.fd);
	} else if (!err) {
		fd = host_reopen_fd(m.rw_fd, (int)t->flags & (O_ACCMODE | O_APPEND));
		if (fd < 0) /* its own mode bits may forbid it */
			fd = m.rw_fd;
		else
			close(m.rw_fd);
	}
	if (err)
		return err;
	fid_unbind(c, t->fid);
	err = fid_bind(c, t->fid, m.fd, &m.st, 0, &f);
	if (err) {
		close(fd);
		return err;
	}
	mutex_lock(&f->mu);
	f->state = FID_OPEN;
	f->open_fd = fd;
	mutex_unlock(&f->mu);
	r->qid = m.attr.qid;
	r->iounit = 0;
	return 0;
}

int serve_link(struct request *req, const struct p9_tlink *t, struct p9_rlink *r)
{
	struct conn *c = req->conn;
	AUTO(fid) struct fid *dir = fid_lookup(c, t->dfid);
	AUTO(fid) struct fid *f = fid_lookup(c, t->fid);
	char name[256], from[16];
	int err;

	if (!dir || !f)
		return -EBADF;
	err = host_may_change_dir(c, dir);
	if (!err)
		err = host_check_name(&t->name, name);
	if (err)
		return err;
	if (f->type == S_IFDIR)
		return -EPERM;
	host_fd_name(f->fd, from);
	return linkat(host_proc_fd(), from, dir->fd, name, AT_SYMLINK_FOLLOW) < 0 ? -errno : 0;
}

static int rename_names(struct conn *c, uint32_t olddfid, const struct p9_str *oldname,
                        uint32_t newdfid, const struct p9_str *newname, unsigned flags)
{
	AUTO(fid) struct fid *olddir = fid_lookup(c, olddfid);
	AUTO(fid) struct fid *newdir = fid_lookup(c, newdfid);
	char from[256], to[256];
	int err;

	if (!olddir || !newdir)
		return -EBADF;
	if (flags & ~(RENAME_NOREPLACE | RENAME_EXCHANGE))
		return -EINVAL;
	err = host_may_change_dir(c, olddir);
	if (!err)
		err = host_may_change_dir(c, newdir);
	if (!err)
		err = host_check_name(oldname, from);
	if (!err)
		err = host_check_name(newname, to);
	if (err)
		return err;
	return renameat2(olddir->fd, from, newdir->fd, to, flags) < 0 ? -errno : 0;
}

int serve_renameat(struct request *req, const struct p9_trenameat *t, struct p9_rrenameat *r)
{
	return rename_names(req->conn, t->olddfid, &t->oldname, t->newdfid, &t->newname, 0);
}

int serve_rename2(struct request *req, const struct p9_trename2 *t, struct p9_rrename2 *r)
{
	return rename_names(req->conn, t->olddfid, &t->oldname, t->newdfid, &t->newname, t->flags);
}

/* By fid, whose name is not known here: clients fall back from Trenameat to this, never the other
 * way. */
int serve_rename(struct request *req, const struct p9_trename *t, struct p9_rrename *r)
{
	return -EOPNOTSUPP;
}

int serve_unlinkat(struct request *req, const struct p9_tunlinkat *t, struct p9_runlinkat *r)
{
	struct conn *c = req->conn;
	AUTO(fid) struct fid *dir = fid_lookup(c, t->dfid);
	char name[256];
	int err;

	if (!dir)
		return -EBADF;
	if (t->flags & ~(uint32_t)AT_REMOVEDIR)
		return -EINVAL;
	err = host_may_change_dir(c, dir);
	if (!err)
		err = host_check_name(&t->name, name);
	if (err)
		return err;
	return unlinkat(dir->fd, name, (int)t->flags) < 0 ? -errno : 0;
}
