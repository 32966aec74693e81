/* From fids and names to host files.
 *
 * An O_PATH descriptor can be walked from and fstat'ed, but not read, chmod'ed or given attributes.
 * The way to those is the magic link /proc/self/fd/N. The gofer opens /proc/self/fd before it
 * changes its root, keeps the descriptor, and makes it its working directory, so that calls without
 * an *at form (truncate, getxattr) reach "N" as well. It is the only magic link followed, and only
 * for fids whose type fstat has shown to be a regular file or a directory, so that no open blocks
 * or has effects on a device. */
#include "gofer/gofer_impl.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>

static int proc_fd = -1;

/* Of the gofer's user namespace, if it maps one id of each kind; see confine.c. */
static struct {
	bool remap;
	struct host_id_map uid, gid;
} ids;

int host_init(const char *proc_self_fd)
{
	int fd = open(proc_self_fd, O_PATH | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	if (fchdir(fd) < 0) {
		int err = -errno;

		close(fd);
		return err;
	}
	if (proc_fd >= 0)
		close(proc_fd);
	proc_fd = fd;
	return 0;
}

int host_proc_fd(void)
{
	return proc_fd;
}

void host_set_ids(const struct host_id_map *uid, const struct host_id_map *gid)
{
	ids.remap = true;
	ids.uid = *uid;
	ids.gid = *gid;
}

/* What the client is told. All others are root's, which they nearly always are. */
static uint32_t id_shown(const struct host_id_map *m, uint32_t id)
{
	if (!ids.remap)
		return id;
	if (id == m->inside)
		return m->outside;
	return id == m->overflow ? 0 : id;
}

static uint32_t id_asked(const struct host_id_map *m, uint32_t id)
{
	return ids.remap && id == m->outside ? m->inside : id;
}

int host_chown(int fd, uint32_t uid, uint32_t gid)
{
	if (fchownat(fd, "", id_asked(&ids.uid, uid), id_asked(&ids.gid, gid),
	             AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW) < 0)
		return errno == EINVAL ? -EPERM : -errno; /* an id that is not mapped */
	return 0;
}

void host_fd_name(int fd, char out[16])
{
	snprintf(out, 16, "%d", fd);
}

int host_check_name(const struct p9_str *name, char out[256])
{
	if (name->len == 0)
		return -ENOENT;
	if (name->len > 255)
		return -ENAMETOOLONG;
	if (memchr(name->p, '/', name->len) || memchr(name->p, 0, name->len))
		return -EINVAL;
	if (name->p[0] == '.' && (name->len == 1 || (name->len == 2 && name->p[1] == '.')))
		return -EINVAL;
	memcpy(out, name->p, name->len);
	out[name->len] = 0;
	return 0;
}

static int open_beneath(int dirfd, const char *name, int flags, uint64_t resolve, int *fd)
{
	static _Atomic bool no_openat2;
	struct open_how how = {
	    .flags = (uint64_t)(flags | O_NOFOLLOW | O_CLOEXEC),
	    .resolve = resolve | RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
	};
	long n = -1;

	for (int tries = 0; !no_openat2 && tries < 8; tries++) {
		n = syscall(SYS_openat2, dirfd, name, &how, sizeof(how));
		if (n >= 0 || errno != EAGAIN)
			break;
	}
	/* A sandbox around us may not know openat2. A single checked name without following links
	 * can't lead elsewhere either. */
	if (n < 0 && (errno == ENOSYS || errno == EPERM))
		no_openat2 = true;
	if (n < 0 && no_openat2)
		n = openat(dirfd, name, flags | O_NOFOLLOW | O_CLOEXEC);
	if (n < 0)
		return -errno;
	*fd = (int)n;
	return 0;
}

int host_open_child(const struct fid *dir, const char *name, int *fd)
{
	return dir->type == S_IFDIR ? open_beneath(dir->fd, name, O_PATH, 0, fd) : -ENOTDIR;
}

int host_open_dir(int dirfd, const char *name, int *fd)
{
	return open_beneath(dirfd, name, O_RDONLY | O_DIRECTORY, RESOLVE_NO_XDEV, fd);
}

int host_reopen_fd(int path_fd, int flags)
{
	char name[16];
	int fd;

	host_fd_name(path_fd, name);
	fd = openat(proc_fd, name, flags | O_CLOEXEC | O_NOCTTY);
	return fd < 0 ? -errno : fd;
}

int host_may_change(const struct conn *c)
{
	return c->flags & GOFER_READONLY ? -EROFS : 0;
}

int host_may(const struct conn *c, const struct fid *f, uint32_t others_bits, int err)
{
	struct stat st;

	if (!(c->flags & GOFER_OTHERS_ONLY))
		return 0;
	if (fstat(f->fd, &st) < 0)
		return -errno;
	return (st.st_mode & others_bits) == others_bits ? 0 : err;
}

int host_may_change_dir(const struct conn *c, const struct fid *dir)
{
	int err = host_may_change(c);

	if (!err && dir->type != S_IFDIR)
		err = -ENOTDIR;
	if (!err && (dir->traits & FID_HOLLOW))
		err = -EACCES;
	return err ? err : host_may(c, dir, S_IWOTH | S_IXOTH, -EACCES);
}

static int host_may_open(const struct conn *c, const struct fid *f, int flags)
{
	uint32_t bits = 0;
	int acc = flags & O_ACCMODE, err;

	if ((f->traits & FID_HOLLOW) && f->type != S_IFDIR)
		return -EACCES;
	switch (f->type) {
	case S_IFREG:
		break;
	case S_IFDIR:
		if (acc != O_RDONLY)
			return -EISDIR;
		break;
	case S_IFIFO:
		if (!(c->flags & GOFER_FIFOS))
			return -EACCES;
		break;
	case S_IFCHR:
	case S_IFBLK:
		if (!(c->flags & GOFER_DEVICES))
			return -EACCES;
		break;
	case S_IFLNK:
		return -ELOOP;
	default:
		return -ENXIO;
	}
	if (acc == O_ACCMODE)
		return -EINVAL;
	if (acc != O_RDONLY || (flags & O_TRUNC)) {
		err = host_may_change(c);
		if (err)
			return err;
	}
	if (acc != O_WRONLY)
		bits |= S_IROTH;
	if (acc != O_RDONLY || (flags & O_TRUNC))
		bits |= S_IWOTH;
	return host_may(c, f, bits, -EACCES);
}

int host_reopen(const struct conn *c, const struct fid *f, int flags, int *out)
{
	int err = host_may_open(c, f, flags);
	int fd;

	if (err)
		return err;
	flags &= O_ACCMODE | O_TRUNC | O_APPEND | O_DSYNC | O_SYNC;
	if (f->type == S_IFDIR)
		flags = O_RDONLY | O_DIRECTORY;
	else if (f->type != S_IFREG)
		flags |= O_NONBLOCK;
	fd = host_reopen_fd(f->fd, flags);
	if (fd < 0)
		return fd;
	*out = fd;
	return 0;
}

/* Qid paths name (device, inode) pairs, injectively: hashing them would make two files one some
 * day. The device's place in a table of those seen goes into the top byte. The first device
 * (usually the only one) has 0, so that its files show the inode numbers of the host. Inode numbers
 * that need the top byte, and devices beyond the table, get numbers of their own from a second
 * table. */
#define QID_DEVS     240
#define QID_INO_BITS 56

struct odd_inode {
	struct hnode node;
	uint64_t dev, ino, num;
};

static struct {
	struct mutex mu;
	uint64_t devs[QID_DEVS];
	unsigned ndevs;
	struct htable odd;
	uint64_t next_odd;
} qids = {.mu = MUTEX_INIT(LOCK_NONE)};

static bool odd_eq(const struct hnode *n, const void *key)
{
	const struct odd_inode *a = container_of(n, const struct odd_inode, node), *b = key;

	return a->dev == b->dev && a->ino == b->ino;
}

static uint64_t qid_odd_locked(uint64_t dev, uint64_t ino)
{
	struct odd_inode key = {.dev = dev, .ino = ino}, *o;
	uint64_t hash = hash_combine(hash_u64(dev), hash_u64(ino));
	struct hnode *n = htable_find(&qids.odd, hash, odd_eq, &key);

	if (n)
		return container_of(n, struct odd_inode, node)->num;
	key.num = ((uint64_t)0xff << QID_INO_BITS) | qids.next_odd++;
	/* Out of memory: this file gets a new number each time, which is unhandy but not wrong. */
	o = malloc(sizeof(*o));
	if (o) {
		*o = key;
		if (htable_insert(&qids.odd, &o->node, hash) < 0)
			free(o);
	}
	return key.num;
}

static uint64_t qid_path(uint64_t dev, uint64_t ino)
{
	unsigned i;

	AUTO_LOCK(&qids.mu);
	for (i = 0; i < qids.ndevs && qids.devs[i] != dev; i++)
		;
	if (i == qids.ndevs && i < QID_DEVS)
		qids.devs[qids.ndevs++] = dev;
	if (i >= QID_DEVS || ino >> QID_INO_BITS)
		return qid_odd_locked(dev, ino);
	return (uint64_t)i << QID_INO_BITS | ino;
}

void host_qid(uint64_t dev, uint64_t ino, uint32_t type, struct p9_qid *out)
{
	type &= S_IFMT;
	out->type = type == S_IFDIR ? P9_QTDIR : type == S_IFLNK ? P9_QTSYMLINK : P9_QTFILE;
	out->version = 0;
	out->path = qid_path(dev, ino);
}

int host_stat(int fd, const char *name, struct p9_attr *a, struct stat *st)
{
	struct statx sx;

	if (statx(fd, name, AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT,
	          STATX_BASIC_STATS | STATX_BTIME, &sx) < 0)
		return -errno;
	*a = (struct p9_attr){
	    .valid = P9_GETATTR_BASIC | (sx.stx_mask & STATX_BTIME ? P9_GETATTR_BTIME : 0),
	    .mode = sx.stx_mode,
	    .uid = sx.stx_uid,
	    .gid = sx.stx_gid,
	    .nlink = sx.stx_nlink,
	    .rdev = makedev(sx.stx_rdev_major, sx.stx_rdev_minor),
	    .size = sx.stx_size,
	    .blksize = sx.stx_blksize,
	    .blocks = sx.stx_blocks,
	    .atime_sec = (uint64_t)sx.stx_atime.tv_sec,
	    .atime_nsec = sx.stx_atime.tv_nsec,
	    .mtime_sec = (uint64_t)sx.stx_mtime.tv_sec,
	    .mtime_nsec = sx.stx_mtime.tv_nsec,
	    .ctime_sec = (uint64_t)sx.stx_ctime.tv_sec,
	    .ctime_nsec = sx.stx_ctime.tv_nsec,
	    .btime_sec = (uint64_t)sx.stx_btime.tv_sec,
	    .btime_nsec = sx.stx_btime.tv_nsec,
	};
	a->uid = id_shown(&ids.uid, a->uid);
	a->gid = id_shown(&ids.gid, a->gid);
	memset(st, 0, sizeof(*st));
	st->st_dev = makedev(sx.stx_dev_major, sx.stx_dev_minor);
	st->st_ino = sx.stx_ino;
	st->st_mode = sx.stx_mode;
	st->st_uid = sx.stx_uid;
	st->st_gid = sx.stx_gid;
	st->st_size = (off_t)sx.stx_size;
	host_qid(st->st_dev, st->st_ino, st->st_mode, &a->qid);
	return 0;
}

/* File systems that are the kernel's interface and not files: what they tell is about the host, and
 * some of it acts on the host. Exporting one on purpose, as a tree of its own, works. */
static bool kernel_magic(unsigned long magic)
{
	switch (magic) {
	case PROC_SUPER_MAGIC:
	case SYSFS_MAGIC:
	case DEBUGFS_MAGIC:
	case TRACEFS_MAGIC:
	case SECURITYFS_MAGIC:
	case SELINUX_MAGIC:
	case CGROUP_SUPER_MAGIC:
	case CGROUP2_SUPER_MAGIC:
	case BPF_FS_MAGIC:
	case PSTOREFS_MAGIC:
	case EFIVARFS_MAGIC:
	case BINFMTFS_MAGIC:
	case DEVPTS_SUPER_MAGIC:
	case NSFS_MAGIC:
	case 0x62656570: /* configfs */
	case 0x19800202: /* mqueue */
	case 0x65735543: /* fusectl */
		return true;
	}
	return false;
}

uint32_t host_traits(const struct fid *dir, int fd, const struct stat *st)
{
	struct statfs s;

	if (st->st_dev == dir->dev)
		return dir->traits & FID_HOLLOW;
	return fstatfs(fd, &s) < 0 || kernel_magic((unsigned long)s.f_type) ? FID_HOLLOW : 0;
}

int host_getattr(const struct fid *f, struct p9_attr *out)
{
	struct stat st;

	return host_stat(f->fd, "", out, &st);
}
