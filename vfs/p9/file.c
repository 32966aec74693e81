/* Open files of the 9P file system. Contents go through descriptors that the gofer donated; only a
 * server that donates none is asked with Tread and Twrite. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vfs/p9/p9_impl.h"
#include "vfs/uio.h"

#define BOUNCE_STACK 4096
#define BOUNCE_MAX   (128 * 1024)

/* The inode's descriptor for `flags`, opened if there is none yet. */
static int inode_fd_locked(struct p9_inode *pi, int *slot, uint32_t flags)
{
	uint32_t fid = p9_fid_known(pi);
	int err, fd;

	if (*slot >= 0)
		return 0;
	if (flags == O_RDONLY) {
		*slot = p9_ahead_open(pi);
		if (*slot >= 0)
			return 0;
	}
	if (fid == P9_NOFID && flags == O_RDONLY) {
		err = p9_open_unbound(pi, slot);
		if (err || *slot >= 0)
			return err;
	}
	err = p9_fid(&pi->i, &fid);
	if (!err)
		err = p9_do_openfd(p9_conn(&pi->i), fid, flags, &fd);
	if (!err)
		*slot = fd;
	return err;
}

/* For writing: read-write, because a shared mapping may follow; write-only when the host grants
 * no more. */
static int open_writer_locked(struct p9_inode *pi, struct p9_file *pf, bool read)
{
	int err = inode_fd_locked(pi, &pi->rw_fd, O_RDWR);

	if (!err) {
		pf->wfd = pi->rw_fd;
	} else if (err == -EACCES && !read) {
		err = inode_fd_locked(pi, &pi->wo_fd, O_WRONLY);
		pf->wfd = pi->wo_fd;
	}
	if (err)
		return err;
	if (read)
		pf->rfd = pi->rw_fd;
	pf->writer = true;
	pi->writers++;
	pi->attr_written = true;
	p9_names_forget_attr(p9_fs(&pi->i), pi->qid_path);
	return 0;
}

static int open_regular(struct inode *i, struct file *f, struct p9_file *pf)
{
	struct p9_inode *pi = p9_inode(i);
	int err = 0;

	AUTO_LOCK(&i->attr_lock);
	if (f->mode & FILE_WRITE) {
		err = open_writer_locked(pi, pf, f->mode & FILE_READ);
	} else if (f->mode & FILE_READ) {
		err = inode_fd_locked(pi, &pi->ro_fd, O_RDONLY);
		pf->rfd = pi->ro_fd;
	}
	if (err == -EOPNOTSUPP && !p9_client_extended(p9_conn(i)))
		err =
		    p9_do_open_plain(p9_conn(i), p9_fid_known(pi), (uint32_t)f->flags & O_ACCMODE, &pf->fid);
	return err;
}

int p9_open(struct inode *i, struct file *f)
{
	struct p9_file *pf;
	int err = 0;

	if (!S_ISREG(i->mode) && !S_ISDIR(i->mode))
		return -ENXIO;
	pf = calloc(1, sizeof(*pf));
	if (!pf)
		return -ENOMEM;
	pf->rfd = pf->wfd = -1;
	if (S_ISREG(i->mode)) {
		err = open_regular(i, f, pf);
		if (err && p9_shed(i, err))
			err = open_regular(i, f, pf);
	} else if (!p9_client_extended(p9_conn(i))) {
		err = p9_do_open_plain(p9_conn(i), p9_fid_known(p9_inode(i)), O_RDONLY, &pf->fid);
	}
	if (err) {
		free(pf);
		return err;
	}
	f->ops = S_ISREG(i->mode) ? &p9_file_ops : &p9_dir_ops;
	f->priv = pf;
	return 0;
}

static void p9_file_release(struct file *f)
{
	struct p9_file *pf = f->priv;
	struct p9_inode *pi = p9_inode(f->inode);

	if (pf->writer) {
		AUTO_LOCK(&f->inode->attr_lock);
		if (--pi->writers == 0) {
			/* Later attributes come from ro_fd, or from the server: the host's are
			 * final now. */
			if (pi->ro_fd < 0)
				pi->attr_valid = false;
			p9_names_forget_attr(p9_fs(f->inode), pi->qid_path);
			if (pi->rw_fd >= 0)
				close(steal_fd(&pi->rw_fd));
			if (pi->wo_fd >= 0)
				close(steal_fd(&pi->wo_fd));
		}
	}
	if (pf->fid)
		p9_clunk(p9_conn(f->inode), pf->fid, true);
	free(pf->list);
	free(pf);
}

static ssize_t read_some(struct file *f, void *buf, size_t n, uint64_t off)
{
	struct p9_file *pf = f->priv;
	ssize_t r;

	if (pf->fid)
		return p9_do_read(p9_conn(f->inode), pf->fid, buf, n, off);
	do
		r = pread(pf->rfd, buf, n, (off_t)off);
	while (r < 0 && errno == EINTR);
	return r < 0 ? -errno : r;
}

static ssize_t write_some(struct file *f, const void *buf, size_t n, uint64_t off, bool append)
{
	struct p9_file *pf = f->priv;
	struct iovec iov = {(void *)buf, n};
	ssize_t r;

	if (pf->fid)
		return p9_do_write(p9_conn(f->inode), pf->fid, buf, n, off);
	do
		r = append ? pwritev2(pf->wfd, &iov, 1, (off_t)off, RWF_APPEND)
		           : pwrite(pf->wfd, buf, n, (off_t)off);
	while (r < 0 && errno == EINTR);
	return r < 0 ? -errno : r;
}

/* The bytes go through a buffer of ours, small ones on the stack, where the reader has no place. */
static uint8_t *bounce_get(uint8_t *small, size_t want, size_t *size)
{
	uint8_t *p;

	*size = want < BOUNCE_MAX ? want : BOUNCE_MAX;
	if (want > BOUNCE_STACK) {
		p = malloc(*size);
		if (p)
			return p;
	}
	if (*size > BOUNCE_STACK)
		*size = BOUNCE_STACK;
	return small;
}

/* -EAGAIN: it can't be. */
static ssize_t read_in_place(struct file *f, struct uio *dst, uint64_t off)
{
	void *place = dst->resid ? uio_place(dst, dst->resid) : NULL;
	ssize_t n;

	if (!place)
		return -EAGAIN;
	n = read_some(f, place, dst->resid, off);
	uio_filled(dst, n > 0 ? (size_t)n : 0);
	return n == -EAGAIN ? -EIO : n;
}

/* As the server last said, where nobody else writes and we haven't; else as the host has it. */
static bool size_of_open(struct file *f, uint64_t *size)
{
	struct p9_inode *pi = p9_inode(f->inode);
	struct p9_file *pf = f->priv;
	struct stat st;

	if (p9_fs(f->inode)->exclusive) {
		AUTO_LOCK(&f->inode->attr_lock);
		*size = pi->attr.size;
		if (pi->attr_valid && !pi->attr_written)
			return true;
	}
	if (fstat(pf->rfd, &st) < 0)
		return false;
	*size = (uint64_t)st.st_size;
	return true;
}

/* The reader gets it by itself, if it is much. */
static ssize_t read_by_reader(struct file *f, struct uio *dst, uint64_t off)
{
	struct p9_file *pf = f->priv;
	struct uio_source source = {pf->rfd, &p9_inode(f->inode)->fetch_id};
	size_t n = dst->resid;
	uint64_t size;

	/* A writer's descriptor is not for reading alone. */
	if (!uio_may_fetch(dst, n) || pf->fid || pf->writer || !size_of_open(f, &size) ||
	    off >= size)
		return -EAGAIN;
	if (n > size - off)
		n = size - off;
	return uio_fetch(dst, &source, off, n) ? (ssize_t)n : -EAGAIN;
}

static ssize_t p9_file_read(struct file *f, struct uio *dst, uint64_t off)
{
	uint8_t small[BOUNCE_STACK], *buf;
	size_t size;
	ssize_t total = 0, n = 0, moved, r;

	if (off > INT64_MAX)
		return -EINVAL;
	r = read_by_reader(f, dst, off);
	if (r == -EAGAIN)
		r = read_in_place(f, dst, off);
	if (r != -EAGAIN)
		return r;
	buf = bounce_get(small, dst->resid, &size);
	while (dst->resid > 0) {
		size_t want = dst->resid < size ? dst->resid : size;

		n = read_some(f, buf, want, off + (uint64_t)total);
		if (n <= 0)
			break;
		moved = uio_to(dst, buf, (size_t)n);
		if (moved < 0) {
			n = moved;
			break;
		}
		total += moved;
		if (moved < n || (size_t)n < want)
			break;
	}
	if (buf != small)
		free(buf);
	return total > 0 ? total : n;
}

static ssize_t write_loop(struct file *f, struct uio *src, uint64_t off, bool append)
{
	uint8_t small[BOUNCE_STACK], *buf;
	size_t size;
	ssize_t total = 0, n = 0;

	buf = bounce_get(small, src->resid, &size);
	while (src->resid > 0) {
		ssize_t got = uio_from(src, buf, src->resid < size ? src->resid : size);

		if (got <= 0) {
			n = got;
			break;
		}
		n = write_some(f, buf, (size_t)got, off + (uint64_t)total, append);
		if (n < 0)
			break;
		total += n;
		if (n < got)
			break;
	}
	if (buf != small)
		free(buf);
	if (total > 0)
		p9_attr_written(f->inode);
	return total > 0 ? total : n;
}

/* The end of file, for appends and SEEK_END. */
static int file_size(struct file *f, uint64_t *size)
{
	struct p9_file *pf = f->priv;
	int fd = pf->wfd >= 0 ? pf->wfd : pf->rfd;
	struct vfs_attr a;
	struct stat st;
	int err;

	if (fd >= 0) {
		if (fstat(fd, &st) < 0)
			return -errno;
		*size = (uint64_t)st.st_size;
		return 0;
	}
	err = p9_getattr(f->inode, &a);
	if (!err)
		*size = a.size;
	return err;
}

static ssize_t p9_file_write(struct file *f, struct uio *src, uint64_t off, uint64_t *end)
{
	struct p9_inode *pi = p9_inode(f->inode);
	uint64_t size = 0;
	ssize_t n;
	int err;

	if (off != UINT64_MAX) {
		if (off > INT64_MAX)
			return -EINVAL;
		n = write_loop(f, src, off, false);
		if (n > 0 && end)
			*end = off + (uint64_t)n;
		return n;
	}
	/* data_lock makes appends of the sandbox whole; RWF_APPEND finds the end when the host
	 * appends too. */
	AUTO_LOCK(&pi->data_lock);
	err = file_size(f, &size);
	if (err)
		return err;
	n = write_loop(f, src, size, true);
	if (n > 0 && end) {
		if (p9_fs(f->inode)->exclusive || file_size(f, end) < 0)
			*end = size + (uint64_t)n;
	}
	return n;
}

static int64_t p9_file_seek(struct file *f, int64_t off, int whence)
{
	struct p9_file *pf = f->priv;
	int fd = pf->rfd >= 0 ? pf->rfd : pf->wfd;
	uint64_t base = 0;
	int64_t pos;
	int err;

	switch (whence) {
	case SEEK_DATA:
	case SEEK_HOLE:
		if (fd < 0)
			return -EINVAL;
		/* Moves the descriptor's own position too, which nobody uses. */
		pos = lseek(fd, off, whence);
		return pos < 0 ? -errno : pos;
	case SEEK_SET:
		break;
	case SEEK_CUR:
		base = f->pos;
		break;
	case SEEK_END:
		if (S_ISDIR(f->inode->mode))
			return -EINVAL;
		err = file_size(f, &base);
		if (err)
			return err;
		break;
	default:
		return -EINVAL;
	}
	if (__builtin_add_overflow((int64_t)base, off, &pos) || pos < 0)
		return -EINVAL;
	return pos;
}

/* A descriptor has exactly the rights that the file was opened with, so a mapping of it can be made
 * no stronger. */
static int p9_file_mmap(struct file *f, int prot, bool shared, struct file_mapping *out)
{
	struct p9_file *pf = f->priv;
	int fd = pf->rfd;

	if (pf->fid)
		return -ENODEV;
	if (fd < 0)
		return -EACCES;
	if (shared && pf->writer)
		p9_attr_written(f->inode);
	*out = (struct file_mapping){.host_fd = fd, .writable = pf->writer};
	return 0;
}

static int p9_file_fsync(struct file *f, bool datasync)
{
	struct p9_file *pf = f->priv;
	int fd = pf->wfd >= 0 ? pf->wfd : pf->rfd, err = 0;
	uint32_t fid = pf->fid;

	if (fd < 0) {
		if (!fid)
			err = p9_fid(f->inode, &fid);
		return err ? err : p9_do_fsync(p9_conn(f->inode), fid, datasync);
	}
	return (datasync ? fdatasync(fd) : fsync(fd)) < 0 ? -errno : 0;
}

static int p9_file_fallocate(struct file *f, int mode, uint64_t off, uint64_t len)
{
	struct p9_file *pf = f->priv;

	if (pf->wfd < 0)
		return -EOPNOTSUPP;
	if (fallocate(pf->wfd, mode, (off_t)off, (off_t)len) < 0)
		return -errno;
	p9_attr_written(f->inode);
	return 0;
}

const struct file_ops p9_file_ops = {
    .read = p9_file_read,
    .write = p9_file_write,
    .seek = p9_file_seek,
    .mmap = p9_file_mmap,
    .fsync = p9_file_fsync,
    .fallocate = p9_file_fallocate,
    .release = p9_file_release,
};

const struct file_ops p9_dir_ops = {
    .seek = p9_file_seek,
    .readdir = p9_dir_readdir,
    .fsync = p9_file_fsync,
    .release = p9_file_release,
};
