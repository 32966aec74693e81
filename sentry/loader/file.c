/* Opening and reading what is executed. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "sentry/loader/loader_impl.h"
#include "vfs/dirent.h"
#include "vfs/file.h"
#include "vfs/inode.h"
#include "vfs/mount.h"
#include "vfs/uio.h"
#include "vfs/vfs.h"
#include "vfs/walk.h"

static int check_executable(const struct path *p, const struct cred *cred)
{
	struct inode *i = atomic_load(&p->dirent->inode);

	if (!i)
		return -ENOENT;
	if (inode_type(i) == S_IFLNK)
		return -ELOOP;
	if (inode_type(i) != S_IFREG)
		return -EACCES;
	if (p->mount->flags & MNT_NOEXEC)
		return -EACCES;
	return vfs_permission(p, cred, MAY_EXEC | MAY_OPEN);
}

int loader_open(const struct walk_ctx *ctx, const char *path, unsigned flags, struct file **out)
{
	AUTO(path) struct path p = {0};
	int err = vfs_walk(ctx, path, flags, &p);

	if (!err)
		err = check_executable(&p, ctx->cred);
	if (!err && atomic_load(&atomic_load(&p.dirent->inode)->writers) > 0)
		err = -ETXTBSY;
	return err ? err : file_open_path(&p, O_RDONLY, ctx->cred, out);
}

ssize_t exec_file_read(struct file *f, void *buf, size_t n, uint64_t off)
{
	size_t done = 0;

	while (done < n) {
		struct uio u;
		ssize_t r;

		uio_init_buf(&u, (char *)buf + done, n - done);
		r = file_pread(f, &u, off + done);
		if (r < 0)
			return r;
		if (r == 0)
			break;
		done += (size_t)r;
	}
	return (ssize_t)done;
}

int exec_head_read(struct exec_head *h, struct file *f)
{
	ssize_t n = exec_file_read(f, h->bytes, sizeof(h->bytes), 0);

	if (n < 0)
		return (int)n;
	h->file = f;
	h->len = (size_t)n;
	return 0;
}

int exec_head_get(const struct exec_head *h, void *buf, size_t n, uint64_t off)
{
	ssize_t r;

	if (off <= h->len && n <= h->len - off) {
		memcpy(buf, h->bytes + off, n);
		return 0;
	}
	r = exec_file_read(h->file, buf, n, off);
	if (r < 0)
		return (int)r;
	return (size_t)r == n ? 0 : -EIO;
}
