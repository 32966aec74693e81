/* open(2) and openat2(2). */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>

#include "vfs/cred.h"
#include "vfs/file.h"
#include "vfs/fs.h"
#include "vfs/notify.h"
#include "vfs/vfs.h"
#include "vfs/vfs_impl.h"

struct open_req {
	int flags;
	uint32_t mode;
	const struct cred *cred;
	bool created;
};

static int wanted_access(int flags)
{
	static const int by_mode[] = {MAY_READ, MAY_WRITE, MAY_READ | MAY_WRITE,
				      MAY_READ | MAY_WRITE};
	int mask = by_mode[flags & O_ACCMODE];

	if (flags & O_TRUNC)
		mask |= MAY_WRITE;
	return mask | MAY_OPEN;
}

static int check_type(const struct open_req *req, uint32_t type, int mask)
{
	if (type == S_IFLNK)
		return -ELOOP;
	if (req->flags & O_DIRECTORY && type != S_IFDIR)
		return -ENOTDIR;
	if (type == S_IFDIR && (mask & MAY_WRITE || req->flags & O_CREAT))
		return -EISDIR;
	return 0;
}

/* Append-only and immutable attributes do not exist here; O_NOATIME is the owner's. */
static int check_open(const struct path *p, const struct open_req *req)
{
	struct inode *i = dirent_inode(p->dirent);
	int mask = wanted_access(req->flags), r;

	r = check_type(req, inode_type(i), mask);
	if (r < 0)
		return r;
	/* Who makes a file may open it, whatever its mode says. */
	if (!req->created) {
		r = vfs_permission(p, req->cred, mask);
		if (r < 0)
			return r;
	}
	if (req->flags & O_NOATIME && !inode_owner_or_capable(i, req->cred))
		return -EPERM;
	return 0;
}

static int truncate_opened(struct file *f, const struct open_req *req)
{
	struct inode *i = f->inode;
	struct vfs_setattr sa = {.mask = ATTR_SIZE | ATTR_MTIME | ATTR_MTIME_NOW};
	int r;

	if (!(req->flags & O_TRUNC) || req->created || inode_type(i) != S_IFREG)
		return 0;
	if (!i->ops->setattr)
		return 0;
	if (!cred_capable(req->cred, CAP_FSETID))
		sa.mask |= ATTR_KILL_SUID;
	r = f->mode & FILE_COUNTED_WRITER ? 0 : inode_get_write(i);
	if (r < 0)
		return r;
	r = i->ops->setattr(i, &sa);
	if (!(f->mode & FILE_COUNTED_WRITER))
		inode_put_write(i);
	if (r == 0)
		notify_dirent(f->path.dirent, IN_MODIFY);
	return r;
}

static int open_place(const struct path *p, const struct open_req *req, struct file **out)
{
	AUTO(file) struct file *f = NULL;
	int r;

	if (!(req->flags & O_PATH)) {
		r = check_open(p, req);
		if (r < 0)
			return r;
	} else if (req->flags & O_DIRECTORY &&
		   inode_type(dirent_inode(p->dirent)) != S_IFDIR) {
		return -ENOTDIR;
	}
	r = file_open_path(p, req->flags, req->cred, &f);
	if (r == 0 && !(req->flags & O_PATH))
		r = truncate_opened(f, req);
	if (r == 0)
		*out = steal(&f);
	return r;
}

static int open_existing(const struct walk_ctx *ctx, const char *path, const struct open_req *req,
			 unsigned walk, struct file **out)
{
	AUTO(path) struct path p = {0};
	int r;

	if (req->flags & O_DIRECTORY)
		walk |= WALK_DIRECTORY;
	if (!(req->flags & O_NOFOLLOW))
		walk |= WALK_FOLLOW;
	r = vfs_walk(ctx, path, walk, &p);
	/* A symlink that is not followed is reported as such, except that a directory was wanted. */
	return r < 0 ? r : open_place(&p, req, out);
}

static int open_tmpfile(const struct walk_ctx *ctx, const char *path, struct open_req *req,
			unsigned walk, struct file **out)
{
	AUTO(path) struct path dir = {0}, p = {0};
	struct inode *d, *i;
	int r;

	if (!(req->flags & O_ACCMODE) || req->flags & O_CREAT)
		return -EINVAL;
	r = vfs_walk(ctx, path, walk | WALK_DIRECTORY | WALK_FOLLOW, &dir);
	if (r < 0)
		return r;
	d = dirent_inode(dir.dirent);
	r = vfs_permission(&dir, req->cred, MAY_WRITE | MAY_EXEC);
	if (r < 0)
		return r;
	if (!d->ops->tmpfile)
		return -EOPNOTSUPP;
	r = d->ops->tmpfile(d, S_IFREG | (req->mode & 07777), req->cred, &i);
	if (r < 0)
		return r;
	if (req->flags & O_EXCL)
		atomic_store(&i->no_link, true);
	r = dirent_new_tmpfile(dir.dirent, i, &p.dirent);
	if (r < 0)
		return r;
	p.mount = mount_get(dir.mount);
	req->created = true;
	req->flags &= ~O_TMPFILE;
	return open_place(&p, req, out);
}

/* Makes name in the walker's directory, which has no such name as far as the cache knows. dir_lock is
 * taken. *d: the dirent, whether made or found. */
static int make_last(struct walker *w, const struct walk_last *last, struct open_req *req,
		     struct dirent **d)
{
	struct inode *dir = dirent_inode(w->cur.dirent), *child;
	int r = inode_dir_lock(dir, true, false);

	if (r < 0)
		return r;
	AUTO(rwunlock) struct rwlock *locked = &dir->dir_lock;
	r = dirent_lookup_locked(w->cur.dirent, last->name, last->len, d);
	if (r < 0 || !dirent_negative(*d))
		return r;
	r = may_create(&w->cur, req->cred);
	if (r == 0 && !dir->ops->mknod)
		r = -EACCES;
	if (r == 0)
		r = dir->ops->mknod(dir, last->name, last->len, S_IFREG | (req->mode & 07777), 0,
				    req->cred, &child);
	if (r == 0) {
		dirent_instantiate(*d, child);
		req->created = true;
	}
	return r;
}

/* *p: the place of the last component, made if need be. */
static int create_last(struct walker *w, const struct walk_last *last, struct open_req *req,
		       struct path *p)
{
	AUTO(dirent) struct dirent *d = NULL;
	int r = dirent_lookup(w->cur.dirent, last->name, last->len, &d);

	if (r < 0)
		return r;
	if (dirent_negative(d) && !last->trailing_slash) {
		dirent_put(steal(&d));
		r = make_last(w, last, req, &d);
		if (r == -EEXIST) {
			/* Somebody else who shares the tree was faster: it is there now. */
			dirent_unhash(d);
			dirent_put(steal(&d));
			r = dirent_lookup(w->cur.dirent, last->name, last->len, &d);
		}
	}
	if (r < 0)
		return r;
	if (req->created)
		notify_dir(dirent_inode(w->cur.dirent), last->name, last->len, IN_CREATE, 0);
	*p = (struct path){mount_get(w->cur.mount), steal(&d)};
	return 0;
}

/* One round: the last component is made, opened, or (1) a symlink that was followed. */
static int create_round(struct walker *w, struct walk_last *last, struct open_req *req,
			struct file **out)
{
	AUTO(path) struct path p = {0};
	struct inode *i;
	int r;

	if (last->kind != LAST_NORMAL)
		return req->flags & O_EXCL ? -EEXIST : -EISDIR;
	if (last->trailing_slash)
		return -EISDIR;
	r = create_last(w, last, req, &p);
	if (r < 0)
		return r;
	i = dirent_inode(p.dirent);
	if (!i)
		return -ENOENT;
	if (req->created)
		return open_place(&p, req, out);
	if (req->flags & O_EXCL)
		return -EEXIST;
	if (mount_follow_down(&p) && w->flags & WALK_NO_XDEV)
		return -EXDEV;
	i = dirent_inode(p.dirent);
	if (inode_type(i) == S_IFLNK) {
		if (req->flags & O_NOFOLLOW)
			return -ELOOP;
		r = walker_follow(w, &p);
		if (r == 1) /* a magic link leads to an open file's place */
			return open_place(&w->cur, req, out);
		return r < 0 ? r : 1;
	}
	return open_place(&p, req, out);
}

static int open_create(const struct walk_ctx *ctx, const char *path, struct open_req *req,
		       unsigned walk, struct file **out)
{
	struct walk_last last;
	struct walker w;
	int r = walker_begin(&w, ctx, path, walk);

	if (r < 0)
		return r;
	do {
		r = walker_parent(&w, &last);
		if (r == 0)
			r = create_round(&w, &last, req, out);
	} while (r == 1);
	walker_end(&w);
	return r;
}

int vfs_open(const struct walk_ctx *ctx, const char *path, int flags, uint32_t mode,
	     unsigned resolve, struct file **out)
{
	struct open_req req = {flags, mode, ctx->cred, false};

	if (flags & O_PATH) {
		req.flags &= O_PATH | O_DIRECTORY | O_NOFOLLOW;
		return open_existing(ctx, path, &req, resolve, out);
	}
	if ((flags & O_TMPFILE) == O_TMPFILE)
		return open_tmpfile(ctx, path, &req, resolve, out);
	if (!(flags & (O_CREAT | O_DIRECTORY)) && (flags & O_ACCMODE) == O_RDONLY)
		resolve |= WALK_TO_READ;
	if (!(flags & O_CREAT))
		return open_existing(ctx, path, &req, resolve, out);
	if (flags & O_DIRECTORY)
		return -EINVAL;
	return open_create(ctx, path, &req, resolve & ~(unsigned)WALK_EMPTY_PATH, out);
}
