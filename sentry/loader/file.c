/* Reading what is executed. */
#include <errno.h>
#include <string.h>

#include "sentry/loader/loader_impl.h"
#include "vfs/file.h"
#include "vfs/uio.h"

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
