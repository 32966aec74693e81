/* Open files of the overlay.
 *
 * They have no state of their own but position and flags: each overlay inode opens its real files
 * once (lower read-only, upper read-only, upper read-write) and all openings share them, since the
 * operations below carry their offset. So a warm open asks no layer for anything, and after a copy-up
 * every opening is on the upper at its next call.
 *
 * Opening for writing does not copy up yet: an O_TRUNC that follows, or no write at all, then saves
 * copying the data. */
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vfs/anon.h"
#include "vfs/dirent.h"
#include "vfs/file.h"
#include "vfs/overlay/overlay_impl.h"

int ovl_open_real(struct inode *real, int flags, struct file **out)
{
	AUTO(dirent) struct dirent *d = NULL;
	struct path path;
	int r = dirent_new_anon(real->fs, "overlay", inode_get(real), &d);

	if (r < 0)
		return r;
	path = (struct path){anon_mount(), d};
	return file_open_path(&path, flags, ovl_cred(), out);
}

static int open_once(struct inode *real, int flags, _Atomic(struct file *) *slot, struct file **out)
{
	struct file *f = atomic_load_explicit(slot, memory_order_acquire), *none = NULL;
	int r;

	if (f) {
		*out = f;
		return 0;
	}
	r = ovl_open_real(real, flags, &f);
	if (r < 0)
		return r;
	if (!atomic_compare_exchange_strong(slot, &none, f)) {
		file_put(f);
		f = none;
	}
	*out = f;
	return 0;
}

int ovl_real_file(struct ovl_inode *oi, bool write, struct file **out)
{
	struct inode *upper = ovl_upper(oi);

	if (upper && write)
		return open_once(upper, O_RDWR, &oi->upper_rw, out);
	if (upper)
		return open_once(upper, O_RDONLY, &oi->upper_ro, out);
	return open_once(oi->lowers[0].inode, O_RDONLY, &oi->lower_ro, out);
}

/* For a change: on the upper, made now if need be. */
static int file_for_write(struct file *f, struct file **out)
{
	struct ovl_inode *oi = ovl_i(f->inode);
	int r = ovl_copy_up(oi, 0);

	return r < 0 ? r : ovl_real_file(oi, true, out);
}

static ssize_t file_op_read(struct file *f, struct uio *dst, uint64_t off)
{
	struct file *real;
	int r = ovl_real_file(ovl_i(f->inode), false, &real);

	if (r < 0)
		return r;
	return real->ops->read ? real->ops->read(real, dst, off) : -EINVAL;
}

static ssize_t file_op_write(struct file *f, struct uio *src, uint64_t off, uint64_t *end)
{
	struct file *real;
	int r = file_for_write(f, &real);

	if (r < 0)
		return r;
	return real->ops->write ? real->ops->write(real, src, off, end) : -EINVAL;
}

static int64_t file_op_seek(struct file *f, int64_t off, int whence)
{
	struct inode *real = ovl_real(ovl_i(f->inode));
	struct file *rf;
	struct vfs_attr a;
	int64_t base = 0;
	int r = 0;

	switch (whence) {
	case SEEK_SET:
		break;
	case SEEK_CUR:
		base = (int64_t)f->pos;
		break;
	default:
		r = real->ops->getattr ? real->ops->getattr(real, &a) : -EINVAL;
		if (r < 0)
			return r;
		if (whence == SEEK_END) {
			base = (int64_t)a.size;
			break;
		}
		if (whence != SEEK_DATA && whence != SEEK_HOLE)
			return -EINVAL;
		r = ovl_real_file(ovl_i(f->inode), false, &rf);
		if (r < 0)
			return r;
		if (rf->ops->seek)
			return rf->ops->seek(rf, off, whence);
		if (off < 0 || (uint64_t)off >= a.size)
			return -ENXIO;
		return whence == SEEK_DATA ? off : (int64_t)a.size;
	}
	if (__builtin_add_overflow(base, off, &off) || off < 0)
		return -EINVAL;
	return off;
}

static int file_op_mmap(struct file *f, int prot, bool shared, struct file_mapping *out)
{
	struct ovl_inode *oi = ovl_i(f->inode);
	bool write = shared && f->mode & FILE_WRITE;
	struct file *real;
	int r = write ? file_for_write(f, &real) : ovl_real_file(oi, false, &real);

	if (r < 0)
		return r;
	if (!real->ops->mmap)
		return -ENODEV;
	r = real->ops->mmap(real, prot, shared, out);
	if (r == 0 && !write)
		out->writable = false;
	return r;
}

static int file_op_fsync(struct file *f, bool datasync)
{
	struct ovl_inode *oi = ovl_i(f->inode);
	struct file *real;
	int r;

	if (!ovl_upper(oi))
		return 0; /* never changed */
	r = ovl_real_file(oi, true, &real);
	if (r < 0)
		return r;
	return real->ops->fsync ? real->ops->fsync(real, datasync) : 0;
}

static int file_op_fallocate(struct file *f, int mode, uint64_t off, uint64_t len)
{
	struct file *real;
	int r = file_for_write(f, &real);

	if (r < 0)
		return r;
	return real->ops->fallocate ? real->ops->fallocate(real, mode, off, len) : -EOPNOTSUPP;
}

static const struct file_ops ovl_file_ops = {
	.read = file_op_read,
	.write = file_op_write,
	.seek = file_op_seek,
	.mmap = file_op_mmap,
	.fsync = file_op_fsync,
	.fallocate = file_op_fallocate,
};

int ovl_file_open(struct inode *inode, struct file *f)
{
	struct ovl_inode *oi = ovl_i(inode);
	struct file *real;

	f->ops = &ovl_file_ops;
	f->mode |= FILE_SEEKABLE;
	if (f->mode & FILE_WRITE && !ovl_upper(oi))
		return oi->o->upper.root ? 0 : -EROFS;
	/* Errors of the layer (EACCES, EIO, EMFILE) belong to open(2). */
	return ovl_real_file(oi, f->mode & FILE_WRITE, &real);
}
