/* devpts: a directory with ptmx and one character device for each slave. Nothing is stored: a
 * lookup makes an inode for the pty of that number. Each mount is an instance of its own, as on Linux. */
#include <errno.h>
#include <linux/major.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "sentry/fs/pty.h"
#include "sentry/kernel/session.h"
#include "vfs/cred.h"
#include "vfs/dirent.h"
#include "vfs/file.h"
#include "vfs/fs.h"
#include "vfs/inode.h"
#include "vfs/vfs.h"

/* Of <dirent.h>, whose struct dirent is not ours. */
enum { DT_CHR = 2, DT_DIR = 4 };

#define DEVPTS_SUPER_MAGIC 0x1cd1
#define INO_ROOT 1
#define INO_PTMX 2
#define INO_SLAVE 3

struct devpts {
	struct fs *fs; /* borrowed */
	bool gid_set, uid_set;
	uint32_t uid, gid, mode, ptmx_mode, max;
	struct timespec made;
	uint32_t root_mode, root_uid, root_gid;
	struct mutex mu; /* LOCK_NONE: the table */
	struct tty *ttys[PTY_MAX]; /* borrowed: ptys whose masters are open, the host's */
};

struct devpts_inode {
	struct inode i;
	struct tty *tty; /* owned; NULL: the root or ptmx */
};

static struct mutex default_mu = MUTEX_INIT(LOCK_NONE);
static struct fs *default_fs;

static struct devpts *devpts_of(const struct fs *fs)
{
	return fs->priv;
}

static struct devpts_inode *devpts_i(const struct inode *i)
{
	return container_of((struct inode *)i, struct devpts_inode, i);
}

struct fs *devpts_default(void)
{
	AUTO_LOCK(&default_mu);
	return default_fs;
}

int devpts_add(struct fs *fs, struct tty *t, const struct cred *cred)
{
	struct devpts *d = devpts_of(fs);

	t->mode = d->mode;
	t->uid = d->uid_set ? d->uid : cred->fsuid;
	t->gid = d->gid_set ? d->gid : cred->fsgid;
	AUTO_LOCK(&d->mu);
	for (unsigned i = 0; i < d->max; i++) {
		if (d->ttys[i])
			continue;
		d->ttys[i] = t;
		t->devpts = d;
		t->index = i;
		t->dev = (unsigned)makedev(UNIX98_PTY_SLAVE_MAJOR, i);
		return 0;
	}
	return -ENOSPC;
}

void devpts_remove(struct tty *t)
{
	struct devpts *d = t->devpts;

	AUTO_LOCK(&d->mu);
	if (d->ttys[t->index] == t)
		d->ttys[t->index] = NULL;
}

/* ---- inodes -------------------------------------------------------------------------------- */

static int devpts_getattr(struct inode *inode, struct vfs_attr *out)
{
	struct devpts_inode *di = devpts_i(inode);
	struct devpts *d = devpts_of(inode->fs);
	struct tty *p = di->tty;

	*out = (struct vfs_attr){
		.ino = inode->ino,
		.dev = inode->fs->dev,
		.mode = atomic_load(&inode->mode),
		.nlink = inode->ino == INO_ROOT ? 2 : 1,
		.uid = d->root_uid,
		.gid = d->root_gid,
		.blksize = 1024,
		.atime = d->made,
		.mtime = d->made,
		.ctime = d->made,
	};
	if (inode->ino == INO_PTMX)
		out->rdev = makedev(TTYAUX_MAJOR, 2);
	if (p) {
		AUTO_LOCK(&p->attr_mu);
		out->mode = S_IFCHR | p->mode;
		out->uid = p->uid;
		out->gid = p->gid;
		out->rdev = makedev(UNIX98_PTY_SLAVE_MAJOR, p->index);
		out->atime = p->atime;
		out->mtime = p->mtime;
		out->ctime = p->ctime;
	}
	return 0;
}

static int devpts_setattr(struct inode *inode, const struct vfs_setattr *sa)
{
	struct tty *p = devpts_i(inode)->tty;
	struct timespec now = vfs_now();

	if (!p) {
		AUTO_LOCK(&inode->attr_lock);
		if (sa->mask & (ATTR_UID | ATTR_GID))
			return -EPERM;
		if (sa->mask & ATTR_MODE)
			atomic_store(&inode->mode,
				     inode_type(inode) | (sa->mode & 07777));
		return 0;
	}
	AUTO_LOCK(&p->attr_mu);
	if (sa->mask & ATTR_MODE)
		p->mode = sa->mode & 07777;
	if (sa->mask & ATTR_UID)
		p->uid = sa->uid;
	if (sa->mask & ATTR_GID)
		p->gid = sa->gid;
	if (sa->mask & (ATTR_ATIME | ATTR_ATIME_NOW))
		p->atime = sa->mask & ATTR_ATIME_NOW ? now : sa->atime;
	if (sa->mask & (ATTR_MTIME | ATTR_MTIME_NOW))
		p->mtime = sa->mask & ATTR_MTIME_NOW ? now : sa->mtime;
	p->ctime = now;
	atomic_store(&inode->mode, S_IFCHR | p->mode);
	inode_set_owner(inode, p->uid, p->gid);
	return 0;
}

static void devpts_inode_release(struct inode *inode)
{
	struct devpts_inode *di = devpts_i(inode);
	struct tty *p = di->tty;

	inode_fini(inode);
	free(di);
	if (p)
		tty_put(p);
}

static int slave_inode_open(struct inode *inode, struct file *f)
{
	struct tty *t = devpts_i(inode)->tty;

	return t->ops->open(t, f);
}

static int ptmx_inode_open(struct inode *inode, struct file *f)
{
	return pty_open_master(inode->fs, f);
}

static const struct inode_ops slave_inode_ops = {
	.open = slave_inode_open,
	.getattr = devpts_getattr,
	.setattr = devpts_setattr,
	.release = devpts_inode_release,
};

static const struct inode_ops ptmx_inode_ops = {
	.open = ptmx_inode_open,
	.getattr = devpts_getattr,
	.setattr = devpts_setattr,
	.release = devpts_inode_release,
};

/* Consumes the reference on p. */
static int inode_make(struct fs *fs, const struct inode_ops *ops, uint64_t ino, uint32_t mode,
		      uint32_t uid, uint32_t gid, struct tty *p, struct inode **out)
{
	struct devpts_inode *di = calloc(1, sizeof(*di));

	if (!di) {
		if (p)
			tty_put(p);
		return -ENOMEM;
	}
	inode_init(&di->i, fs, ops, ino, mode);
	inode_set_owner(&di->i, uid, gid);
	di->tty = p;
	*out = &di->i;
	return 0;
}

/* "0", "17"; not "017". */
static int parse_index(const char *name, size_t len, unsigned *out)
{
	unsigned v = 0;

	if (len == 0 || len > 4 || (name[0] == '0' && len > 1))
		return -ENOENT;
	for (size_t i = 0; i < len; i++) {
		if (name[i] < '0' || name[i] > '9')
			return -ENOENT;
		v = v * 10 + (unsigned)(name[i] - '0');
	}
	if (v >= PTY_MAX)
		return -ENOENT;
	*out = v;
	return 0;
}

static int devpts_lookup(struct inode *dir, const char *name, size_t len, struct inode **out)
{
	struct devpts *d = devpts_of(dir->fs);
	struct tty *p;
	unsigned idx;
	int r;

	if (len == 4 && memcmp(name, "ptmx", 4) == 0)
		return inode_make(dir->fs, &ptmx_inode_ops, INO_PTMX, S_IFCHR | d->ptmx_mode,
				  d->root_uid, d->root_gid, NULL, out);
	r = parse_index(name, len, &idx);
	if (r < 0)
		return r;
	{
		AUTO_LOCK(&d->mu);
		p = d->ttys[idx];
		if (!p)
			return -ENOENT;
		tty_get(p); /* its master is open, so there is a reference */
	}
	return inode_make(dir->fs, &slave_inode_ops, INO_SLAVE + idx, S_IFCHR | p->mode, p->uid,
			  p->gid, p, out);
}

/* Position: 0 ".", 1 "..", 2 ptmx, 3 + n: slave n. */
static int devpts_readdir(struct file *f, uint64_t *pos, struct dir_sink *sink)
{
	struct devpts *d = devpts_of(f->inode->fs);
	static const char *const fixed[] = {".", "..", "ptmx"};

	for (; *pos < 3; ++*pos)
		if (!sink->emit(sink, fixed[*pos], strlen(fixed[*pos]),
				*pos == 2 ? INO_PTMX : INO_ROOT, *pos == 2 ? DT_CHR : DT_DIR,
				*pos + 1))
			return 0;
	for (; *pos < 3 + (uint64_t)d->max; ++*pos) {
		unsigned idx = (unsigned)(*pos - 3);
		char name[16];
		bool there;
		{
			AUTO_LOCK(&d->mu);
			there = d->ttys[idx] != NULL;
		}
		if (!there)
			continue;
		snprintf(name, sizeof(name), "%u", idx);
		if (!sink->emit(sink, name, strlen(name), INO_SLAVE + idx, DT_CHR, *pos + 1))
			return 0;
	}
	return 0;
}

static int64_t devpts_seek(struct file *f, int64_t off, int whence)
{
	if (whence == SEEK_CUR)
		off += (int64_t)f->pos;
	else if (whence != SEEK_SET)
		return -EINVAL;
	return off < 0 ? -EINVAL : off;
}

static const struct file_ops devpts_dir_ops = {.readdir = devpts_readdir, .seek = devpts_seek};

static int devpts_dir_open(struct inode *inode, struct file *f)
{
	f->ops = &devpts_dir_ops;
	f->mode |= FILE_SEEKABLE;
	return 0;
}

static const struct inode_ops root_inode_ops = {
	.lookup = devpts_lookup,
	.open = devpts_dir_open,
	.getattr = devpts_getattr,
	.setattr = devpts_setattr,
	.release = devpts_inode_release,
};

/* ---- instances ----------------------------------------------------------------------------- */

static int parse_option(struct devpts *d, const struct vfs_option *o)
{
	uint64_t v = 0;
	int r;

	if (strcmp(o->key, "newinstance") == 0)
		return o->has_value ? -EINVAL : 0;
	if (strcmp(o->key, "mode") == 0 || strcmp(o->key, "ptmxmode") == 0) {
		r = vfs_option_u64(o, 8, &v);
		if (r == 0)
			*(o->key[0] == 'm' ? &d->mode : &d->ptmx_mode) = (uint32_t)v & 0777;
		return r;
	}
	if (strcmp(o->key, "uid") == 0 || strcmp(o->key, "gid") == 0) {
		r = vfs_option_u64(o, 10, &v);
		if (r < 0 || v >= UINT32_MAX)
			return -EINVAL;
		*(o->key[0] == 'u' ? &d->uid : &d->gid) = (uint32_t)v;
		*(o->key[0] == 'u' ? &d->uid_set : &d->gid_set) = true;
		return 0;
	}
	if (strcmp(o->key, "max") == 0) {
		r = vfs_option_u64(o, 10, &v);
		if (r < 0 || v > PTY_MAX)
			return -EINVAL;
		d->max = (uint32_t)v;
		return 0;
	}
	return -EINVAL;
}

static void devpts_release(struct fs *fs)
{
	struct devpts *d = fs->priv;
	{
		AUTO_LOCK(&default_mu);
		if (default_fs == fs)
			default_fs = NULL;
	}
	if (d)
		mutex_destroy(&d->mu);
	free(d);
}

static int devpts_show(struct fs *fs, char *buf, size_t size)
{
	struct devpts *d = fs->priv;
	char gid[24] = "";

	if (d->gid_set)
		snprintf(gid, sizeof(gid), ",gid=%u", d->gid);
	return snprintf(buf, size, "%s,mode=%03o,ptmxmode=%03o", gid, d->mode, d->ptmx_mode);
}

static const struct fs_ops devpts_fs_ops = {
	.release = devpts_release,
	.show_options = devpts_show,
};

static int devpts_mount(const struct fs_type *type, const char *source, const char *data,
			const struct cred *cred, struct fs **out)
{
	struct fs *fs = fs_new(type, &devpts_fs_ops, source, DEVPTS_SUPER_MAGIC);
	struct devpts *d = calloc(1, sizeof(*d));
	struct inode *root;
	struct vfs_option o;
	int r = 0;

	if (!fs || !d) {
		free(d);
		fs_put(fs);
		return -ENOMEM;
	}
	mutex_init(&d->mu, LOCK_NONE);
	fs->priv = d;
	fs->no_dcache = true;
	d->fs = fs;
	d->mode = 0620;
	d->gid = 5; /* tty, everywhere */
	d->gid_set = true;
	d->ptmx_mode = 0666;
	d->max = PTY_MAX;
	d->root_uid = cred->fsuid;
	d->root_gid = cred->fsgid;
	d->made = vfs_now();
	while ((r = vfs_option_next(&data, &o)) > 0) {
		r = parse_option(d, &o);
		if (r < 0)
			break;
	}
	if (r == 0)
		r = inode_make(fs, &root_inode_ops, INO_ROOT, S_IFDIR | 0755, d->root_uid,
			       d->root_gid, NULL, &root);
	if (r == 0)
		r = dirent_new_root(fs, root, &fs->root);
	if (r < 0) {
		fs_put(fs);
		return r;
	}
	{
		AUTO_LOCK(&default_mu);
		if (!default_fs)
			default_fs = fs;
	}
	*out = fs;
	return 0;
}

static const struct fs_type devpts_type = {
	.name = "devpts",
	.nodev = true,
	.mount = devpts_mount,
};

int devpts_register(void)
{
	fs_type_register(&devpts_type);
	return 0;
}
