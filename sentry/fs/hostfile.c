/* Host descriptors as files of the guest.
 *
 * Each is an inode without a name, on an internal file system, so that fstat tells what it is and
 * /proc/self/fd/1 (/dev/stdout) can be opened again. The sentry never learns a host path from it. */
#include "sentry/fs/hostfile.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "sentry/fs/hostfile_impl.h"
#include "sentry/kernel/fdtable.h"
#include "sentry/kernel/session.h"
#include "sentry/kernel/signal.h"
#include "sentry/kernel/task.h"
#include "sentry/mm/usercopy.h"
#include "vfs/anon.h"
#include "vfs/cred.h"
#include "vfs/dirent.h"
#include "vfs/fs.h"
#include "vfs/uio.h"
#include "vfs/vfs.h"

#define ANON_INODE_FS_MAGIC 0x09041934

/* ---- file operations ----------------------------------------------------------------------- */

static struct host_inode *priv_of(const struct file *f)
{
	return f->priv;
}

static ssize_t op_read(struct file *f, struct uio *dst, uint64_t off)
{
	struct host_inode *hi = priv_of(f);
	int r = hi->tty ? tty_check_read(&hi->tty->tty) : 0;

	if (r < 0)
		return r;
	if (hi->seekable)
		return host_seekable_read(hi, dst, off);
	return hi->tty ? host_tty_vtime(hi, host_stream_read(hi, dst))
		       : host_stream_read(hi, dst);
}

static void send_sigpipe(void)
{
	struct guest_siginfo info;

	if (!current_task)
		return;
	siginfo_user(&info, SIGPIPE, current_task);
	signal_send_task(current_task, &info);
}

static ssize_t op_write(struct file *f, struct uio *src, uint64_t off, uint64_t *end)
{
	struct host_inode *hi = priv_of(f);
	ssize_t r = hi->tty ? tty_check_write(&hi->tty->tty) : 0;

	if (r < 0)
		return r;
	r = hi->seekable ? host_seekable_write(hi, src, off, f->mode & FILE_POS_OUTSIDE, end)
			 : host_stream_write(hi, src);
	if (r == -EPIPE)
		send_sigpipe();
	return r;
}

static int64_t op_seek(struct file *f, int64_t off, int whence)
{
	struct host_inode *hi = priv_of(f);

	return hi->seekable ? host_seek(hi, f, off, whence) : -ESPIPE;
}

static uint32_t op_poll(struct file *f)
{
	return host_poll_now(&priv_of(f)->poll);
}

static struct waitq *op_waitq(struct file *f)
{
	return host_poll_waitq(&priv_of(f)->poll);
}

static int64_t op_ioctl(struct file *f, struct task *t, unsigned cmd, uint64_t arg)
{
	struct host_inode *hi = priv_of(f);

	if (cmd == FIONREAD && inode_type(&hi->i) != S_IFREG) {
		int n = 0;

		if (ioctl(hi->fd, FIONREAD, &n) < 0)
			return -errno;
		return put_guest_u32(t, gptr(arg), (uint32_t)n);
	}
	return hi->tty ? host_tty_ioctl(hi, f, t, cmd, arg) : -ENOTTY;
}

static int op_mmap(struct file *f, int prot, bool shared, struct file_mapping *out)
{
	struct host_inode *hi = priv_of(f);

	if (inode_type(&hi->i) != S_IFREG || hi->access == O_WRONLY)
		return -ENODEV;
	*out = (struct file_mapping){.host_fd = hi->fd, .writable = hi->access == O_RDWR};
	return 0;
}

static int op_fsync(struct file *f, bool datasync)
{
	int fd = priv_of(f)->fd;

	return (datasync ? fdatasync(fd) : fsync(fd)) < 0 ? -errno : 0;
}

static void op_release(struct file *f)
{
	inode_put(&priv_of(f)->i);
}

static const struct file_ops hostfile_ops = {
	.read = op_read,
	.write = op_write,
	.seek = op_seek,
	.poll = op_poll,
	.waitq = op_waitq,
	.ioctl = op_ioctl,
	.mmap = op_mmap,
	.fsync = op_fsync,
	.release = op_release,
};

/* ---- inode operations ---------------------------------------------------------------------- */

static int host_getattr(struct inode *inode, struct vfs_attr *out)
{
	struct host_inode *hi = host_i(inode);
	struct stat st;

	if (fstat(hi->fd, &st) < 0)
		return -errno;
	*out = (struct vfs_attr){
		.ino = inode->ino,
		.dev = inode->fs->dev,
		.mode = (uint32_t)st.st_mode,
		.nlink = 1,
		.uid = hi->uid,
		.gid = hi->gid,
		.rdev = st.st_rdev,
		.size = (uint64_t)st.st_size,
		.blocks = (uint64_t)st.st_blocks,
		.blksize = (uint32_t)st.st_blksize,
		.atime = st.st_atim,
		.mtime = st.st_mtim,
		.ctime = st.st_ctim,
	};
	return 0;
}

static int host_setattr(struct inode *inode, const struct vfs_setattr *sa)
{
	struct host_inode *hi = host_i(inode);

	if (sa->mask & ATTR_SIZE && inode_type(inode) == S_IFREG)
		return ftruncate(hi->fd, (off_t)sa->size) < 0 ? -errno : 0;
	if (sa->mask & (ATTR_MODE | ATTR_UID | ATTR_GID))
		return -EPERM; /* whose file it is, is the host's affair */
	return 0;
}

static int open_on(struct host_inode *hi, struct file *f)
{
	if (f->mode & FILE_READ && hi->access == O_WRONLY)
		return -EACCES;
	if (f->mode & FILE_WRITE && hi->access == O_RDONLY)
		return -EACCES;
	f->ops = &hostfile_ops;
	f->mode &= ~(uint32_t)(FILE_SEEKABLE | FILE_STREAM);
	f->mode |= hi->seekable ? FILE_SEEKABLE : FILE_STREAM;
	inode_get(&hi->i);
	f->priv = hi;
	return 0;
}

static int host_open(struct inode *inode, struct file *f)
{
	return open_on(host_i(inode), f);
}

static void host_release(struct inode *inode)
{
	struct host_inode *hi = host_i(inode);

	if (hi->tty)
		ktimer_cancel(&hi->vtime);
	host_poll_fini(&hi->poll);
	close(hi->fd);
	if (hi->tty)
		tty_put(&hi->tty->tty);
	inode_fini(inode);
	free(hi);
}

static const struct inode_ops host_inode_ops = {
	.open = host_open,
	.getattr = host_getattr,
	.setattr = host_setattr,
	.release = host_release,
};

/* ---- making them --------------------------------------------------------------------------- */

static struct fs *host_fs;

static void host_fs_make(void)
{
	static const struct fs_ops no_ops = {0};
	struct sigaction sa;

	host_fs = fs_new(NULL, &no_ops, "host", ANON_INODE_FS_MAGIC);
	/* A reader that is gone is an errno here, and a signal for the guest alone. */
	if (sigaction(SIGPIPE, NULL, &sa) == 0 && sa.sa_handler == SIG_DFL)
		signal(SIGPIPE, SIG_IGN);
}

static int take_over(struct host_inode *hi, const struct stat *st, const struct cred *cred)
{
	bool stream = S_ISFIFO(st->st_mode) || S_ISCHR(st->st_mode);
	int r, own;

	hi->socket = S_ISSOCK(st->st_mode);
	if (S_ISREG(st->st_mode) || S_ISBLK(st->st_mode))
		hi->seekable = lseek(hi->fd, 0, SEEK_CUR) >= 0;
	if (S_ISCHR(st->st_mode) && isatty(hi->fd)) {
		host_tty_vtime_init(hi);
		r = host_tty_get(hi->fd, st->st_rdev, cred, &hi->tty);
		if (r < 0)
			return r;
	}
	own = stream ? host_reopen_nonblock(hi->fd, hi->access) : -1;
	if (own >= 0) {
		close(hi->fd);
		hi->fd = own;
		hi->nonblock = true;
	}
	return 0;
}

static void name_for(const struct host_inode *hi, const struct stat *st, char *buf, size_t size)
{
	const char *kind = "file";

	if (hi->tty)
		kind = "tty";
	else if (S_ISFIFO(st->st_mode))
		kind = "pipe";
	else if (S_ISSOCK(st->st_mode))
		kind = "socket";
	else if (S_ISCHR(st->st_mode) && st->st_rdev == makedev(1, 3)) {
		snprintf(buf, size, "/dev/null");
		return;
	}
	snprintf(buf, size, S_ISFIFO(st->st_mode) || S_ISSOCK(st->st_mode) ? "%s:[%llu]"
									     : "host:[%s]",
		 kind, (unsigned long long)hi->i.ino);
}

/* Takes fd over in any case. */
static int host_inode_new(int host_fd, const struct cred *cred, struct host_inode **out)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	static _Atomic uint64_t next_ino = 1;
	AUTO(fd) int fd = host_fd;
	int flags = fcntl(fd, F_GETFL), r;
	struct host_inode *hi;
	struct stat st;

	if (flags < 0 || fstat(fd, &st) < 0)
		return -errno;
	pthread_once(&once, host_fs_make);
	hi = calloc(1, sizeof(*hi));
	if (!hi || !host_fs) {
		free(hi);
		return -ENOMEM;
	}
	inode_init(&hi->i, host_fs, &host_inode_ops, atomic_fetch_add(&next_ino, 1), st.st_mode);
	inode_set_owner(&hi->i, cred->fsuid, cred->fsgid);
	hi->uid = cred->fsuid;
	hi->gid = cred->fsgid;
	hi->access = flags & O_ACCMODE;
	hi->fd = steal_fd(&fd);
	r = take_over(hi, &st, cred);
	host_poll_init(&hi->poll, hi->fd);
	if (r < 0) {
		inode_put(&hi->i);
		return r;
	}
	*out = hi;
	return 0;
}

int host_file_adopt(int host_fd, struct file *f)
{
	struct host_inode *hi;
	int fd = fcntl(host_fd, F_DUPFD_CLOEXEC, 3), r;

	if (fd < 0)
		return -ENFILE;
	r = host_inode_new(fd, f->cred, &hi);
	if (r < 0)
		return r;
	r = open_on(hi, f);
	inode_put(&hi->i); /* the file holds it */
	return r;
}

/* A terminal is opened by its name in devpts, so that ttyname(3) finds it. */
static int open_named(struct host_inode *hi, const struct path *root, int flags,
		      const struct cred *cred, struct file **out)
{
	struct walk_ctx ctx = {.root = *root, .cwd = *root, .cred = cred};
	AUTO(path) struct path at = {0};
	char name[32];
	int r;

	if (!hi->tty || !hi->tty->tty.devpts || !root->dirent)
		return -ENOENT;
	snprintf(name, sizeof(name), "/dev/pts/%u", hi->tty->tty.index);
	r = vfs_walk(&ctx, name, 0, &at);
	return r < 0 ? r : file_open_path(&at, flags, cred, out);
}

int hostfile_new(int host_fd, const struct path *root, const struct cred *cred, struct file **out)
{
	AUTO(dirent) struct dirent *d = NULL;
	int flags = fcntl(host_fd, F_GETFL), r;
	struct host_inode *hi;
	struct stat st;
	struct path path;
	char name[64];

	r = host_inode_new(host_fd, cred, &hi);
	if (r < 0)
		return r;
	if (fstat(hi->fd, &st) < 0)
		memset(&st, 0, sizeof(st));
	flags = (flags & (O_ACCMODE | O_APPEND | O_NONBLOCK)) | O_NOCTTY;
	if (open_named(hi, root, flags, cred, out) == 0) {
		inode_put(&hi->i);
		return 0;
	}
	name_for(hi, &st, name, sizeof(name));
	r = dirent_new_anon(host_fs, name, &hi->i, &d);
	if (r < 0)
		return r;
	path = (struct path){anon_mount(), d};
	r = file_open_path(&path, flags, cred, out);
	if (r == 0 && hi->seekable)
		(*out)->mode |= FILE_POS_OUTSIDE;
	return r;
}

struct tty *hostfile_tty(struct fdtable *files, int fd)
{
	AUTO(file) struct file *f = NULL;
	struct host_inode *hi;

	if (fdtable_get(files, fd, &f) < 0 || f->ops != &hostfile_ops)
		return NULL;
	hi = priv_of(f);
	return hi->tty ? tty_get(&hi->tty->tty) : NULL;
}
