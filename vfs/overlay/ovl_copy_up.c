/* Copy-up: makes the upper twin of a lower object. */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "vfs/cred.h"
#include "vfs/file.h"
#include "vfs/overlay/overlay_impl.h"
#include "vfs/uio.h"
#include "vfs/vfs.h"

#define COPY_CHUNK (256UL << 10)
#define COPY_PAGE 4096UL

static bool all_zero(const char *p, size_t n)
{
	return n == 0 || (p[0] == 0 && memcmp(p, p + 1, n - 1) == 0);
}

/* Writes a chunk, leaving out pages of zeros: sparse files stay so. */
static int write_chunk(struct file *dst, char *buf, size_t n, uint64_t off)
{
	for (size_t at = 0; at < n;) {
		size_t len = n - at < COPY_PAGE ? n - at : COPY_PAGE;
		struct uio u;
		ssize_t r;

		if (all_zero(buf + at, len)) {
			at += len;
			continue;
		}
		while (at + len < n) {
			size_t more = n - at - len < COPY_PAGE ? n - at - len : COPY_PAGE;

			if (all_zero(buf + at + len, more))
				break;
			len += more;
		}
		uio_init_buf(&u, buf + at, len);
		r = dst->ops->write(dst, &u, off + at, NULL);
		if (r < 0)
			return (int)r;
		if ((size_t)r < len)
			return -ENOSPC;
		at += len;
	}
	return 0;
}

static int copy_data(struct inode *lower, struct inode *upper, uint64_t size)
{
	struct vfs_setattr sa = {.mask = ATTR_SIZE, .size = size};
	AUTO(file) struct file *src = NULL, *dst = NULL;
	AUTO(free) char *buf = malloc(COPY_CHUNK);
	uint64_t off = 0;
	int r;

	if (!buf)
		return -ENOMEM;
	r = ovl_open_real(lower, O_RDONLY, &src);
	if (r == 0)
		r = ovl_open_real(upper, O_RDWR, &dst);
	while (r == 0 && off < size) {
		struct uio u;
		ssize_t n;

		if (vfs_killed()) /* a file may be of any size, if it is sparse */
			return -EINTR;

		uio_init_buf(&u, buf, size - off < COPY_CHUNK ? size - off : COPY_CHUNK);
		n = src->ops->read ? src->ops->read(src, &u, off) : -EINVAL;
		if (n < 0)
			return (int)n;
		if (n == 0)
			break;
		r = write_chunk(dst, buf, (size_t)n, off);
		off += (uint64_t)n;
	}
	return r < 0 ? r : upper->ops->setattr(upper, &sa);
}

static int copy_xattrs(struct inode *lower, struct inode *upper)
{
	AUTO(free) char *names = NULL;
	ssize_t n;

	if (!lower->ops->listxattr || !lower->ops->getxattr || !upper->ops->setxattr)
		return 0;
	n = lower->ops->listxattr(lower, NULL, 0);
	if (n <= 0)
		return 0;
	names = malloc((size_t)n);
	if (!names)
		return -ENOMEM;
	n = lower->ops->listxattr(lower, names, (size_t)n);
	for (char *p = names; n > 0 && p < names + n; p += strlen(p) + 1) {
		AUTO(free) char *value = NULL;
		ssize_t len = lower->ops->getxattr(lower, p, NULL, 0);
		int r;

		if (len < 0 || strncmp(p, OVL_XATTR_PREFIX, strlen(OVL_XATTR_PREFIX)) == 0)
			continue;
		value = malloc(len ? (size_t)len : 1);
		if (!value)
			return -ENOMEM;
		len = len ? lower->ops->getxattr(lower, p, value, (size_t)len) : 0;
		r = len < 0 ? 0 : upper->ops->setxattr(upper, p, value, (size_t)len, 0);
		if (r < 0 && r != -EOPNOTSUPP)
			return r;
	}
	return 0;
}

static int copy_attrs(const struct vfs_attr *a, struct inode *upper)
{
	struct vfs_setattr sa = {
		.mask = ATTR_UID | ATTR_GID | ATTR_ATIME | ATTR_MTIME,
		.uid = a->uid,
		.gid = a->gid,
		.atime = a->atime,
		.mtime = a->mtime,
	};

	if (!S_ISLNK(a->mode)) {
		sa.mask |= ATTR_MODE;
		sa.mode = a->mode & 07777;
	}
	return upper->ops->setattr(upper, &sa);
}

/* An unlinked twin of a regular file. */
static int make_file(struct ovl_inode *oi, const struct vfs_attr *a, unsigned flags,
		     struct inode **out)
{
	struct inode *dir = oi->o->upper.root, *lower = oi->lowers[0].inode;
	struct inode *upper;
	int r = dir->ops->tmpfile(dir, S_IFREG | 0600, oi->o->cred, &upper);

	if (r < 0)
		return r;
	if (!(flags & OVL_NO_DATA))
		r = copy_data(lower, upper, a->size);
	if (r == 0)
		r = copy_xattrs(lower, upper);
	if (r == 0)
		r = copy_attrs(a, upper);
	if (r < 0) {
		inode_put(upper);
		return r;
	}
	*out = upper;
	return 0;
}

/* Any other type is made in place: nobody looks below dir while its dir_lock is held. */
static int make_in_place(struct ovl_inode *oi, struct inode *dir, const struct vfs_attr *a,
			 struct inode **out)
{
	struct inode *lower = oi->lowers[0].inode, *upper;
	const struct cred *cred = oi->o->cred;
	int r;

	if (S_ISDIR(a->mode)) {
		r = dir->ops->mkdir(dir, oi->name, oi->name_len, a->mode & 07777, cred, &upper);
	} else if (S_ISLNK(a->mode)) {
		AUTO(free) char *target = NULL;

		r = lower->ops->readlink ? lower->ops->readlink(lower, &target) : -EIO;
		if (r < 0)
			return r;
		r = dir->ops->symlink(dir, oi->name, oi->name_len, target, cred, &upper);
	} else {
		r = dir->ops->mknod(dir, oi->name, oi->name_len, a->mode, a->rdev, cred, &upper);
	}
	if (r < 0)
		return r;
	r = copy_attrs(a, upper);
	if (r == 0)
		r = copy_xattrs(lower, upper);
	if (r < 0) {
		if (S_ISDIR(a->mode))
			dir->ops->rmdir(dir, oi->name, oi->name_len, upper);
		else
			dir->ops->unlink(dir, oi->name, oi->name_len, upper);
		inode_put(upper);
		return r;
	}
	*out = upper;
	return 0;
}

/* Remembers the guest's inode number and, for a file with several links, where they lead. */
static int make_record(struct ovl_inode *oi, const struct vfs_attr *a, struct inode *upper)
{
	struct overlay *o = oi->o;
	const struct ovl_lower *l = &oi->lowers[0];

	AUTO_LOCK(&o->mu);
	struct ovl_record *rec = ovl_record_locked(o, upper->ino, true);

	if (!rec)
		return -ENOMEM;
	rec->ino = oi->i.ino;
	if (S_ISDIR(a->mode) || a->nlink < 2 || rec->linked)
		return 0;
	rec->lower_layer = l->layer;
	rec->lower_ino = l->inode->ino;
	if (htable_insert(&o->links, &rec->lower_node,
			  hash_u64(l->inode->ino ^ (uint64_t)l->layer << 48)) < 0)
		return 0; /* the links come apart, as with Linux's overlayfs */
	rec->linked = true;
	rec->upper = inode_get(upper);
	rec->lower_links = (int32_t)a->nlink - (oi->parent ? 1 : 0);
	return 0;
}

/* Builds the twin and puts it at oi's place. copy_mu held, the parent has an upper. */
static int build(struct ovl_inode *oi, unsigned flags, struct inode **out)
{
	struct inode *lower = oi->lowers[0].inode, *upper = NULL, *dir;
	struct vfs_attr a, before;
	int r = lower->ops->getattr ? lower->ops->getattr(lower, &a) : -EIO;

	if (r < 0)
		return r;
	if (S_ISREG(a.mode)) {
		r = make_file(oi, &a, flags, &upper);
		if (r < 0)
			return r;
	}
	if (oi->parent) {
		dir = ovl_upper(oi->parent);
		AUTO_WRLOCK(&dir->dir_lock);
		r = dir->ops->getattr(dir, &before);
		if (r == 0 && upper)
			r = dir->ops->link(dir, oi->name, oi->name_len, upper);
		else if (r == 0)
			r = make_in_place(oi, dir, &a, &upper);
		if (r == 0) {
			/* The directory did not change, as far as the guest knows. */
			struct vfs_setattr sa = {
				.mask = ATTR_ATIME | ATTR_MTIME,
				.atime = before.atime,
				.mtime = before.mtime,
			};

			dir->ops->setattr(dir, &sa);
		}
	} else if (!upper) {
		r = -ENOENT; /* a removed directory, symlink or node: nothing to change */
	}
	if (r == 0)
		r = make_record(oi, &a, upper);
	if (r < 0) {
		inode_put(upper);
		return r;
	}
	*out = upper;
	return 0;
}

static int copy_up_one(struct ovl_inode *oi, unsigned flags)
{
	struct inode *upper = NULL;
	int r = ovl_copy_lock(oi);

	if (r < 0)
		return r;
	AUTO(rwunlock) struct rwlock *locked = &oi->copy_mu;
	if (ovl_upper(oi))
		return 0;
	if (oi->parent && !ovl_upper(oi->parent))
		return -EAGAIN; /* moved in between: the caller looks again */
	r = build(oi, flags, &upper);
	if (r == 0)
		ovl_set_upper(oi, upper);
	return r;
}

/* The parent of oi, if that has no upper yet, with a reference; otherwise NULL. */
static int parent_without_upper(struct ovl_inode *oi, struct ovl_inode **out)
{
	int r = ovl_copy_lock(oi);

	if (r < 0)
		return r;
	AUTO(rwunlock) struct rwlock *locked = &oi->copy_mu;
	*out = oi->parent && !ovl_upper(oi->parent) ? oi->parent : NULL;
	if (*out)
		inode_get(&(*out)->i);
	return 0;
}

/* The topmost ancestor, or oi itself, that has no upper yet; with a reference. */
static int first_without_upper(struct ovl_inode *oi, struct ovl_inode **out)
{
	inode_get(&oi->i);
	for (;;) {
		struct ovl_inode *parent;
		int r = parent_without_upper(oi, &parent);

		if (r == 0 && !parent) {
			*out = oi;
			return 0;
		}
		inode_put(&oi->i);
		if (r < 0)
			return r;
		oi = parent;
	}
}

int ovl_copy_up(struct ovl_inode *oi, unsigned flags)
{
	if (ovl_upper(oi))
		return 0;
	if (!oi->o->upper.root)
		return -EROFS;
	do {
		struct ovl_inode *at;
		int r = first_without_upper(oi, &at);

		if (r < 0)
			return r;
		r = copy_up_one(at, at == oi ? flags : 0);
		inode_put(&at->i);
		if (r < 0 && r != -EAGAIN)
			return r;
	} while (!ovl_upper(oi));
	return 0;
}
