#include "sentry/fs/hostfile.h"
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <poll.h>
#include <unistd.h>
#include "sentry/kernel/fdtable.h"
#include "vfs/file.h"
#include "vfs/uio.h"
static ssize_t hf_read(struct file *f, struct uio *dst, uint64_t off)
{
	char buf[4096];
	size_t n = dst->resid < sizeof(buf) ? dst->resid : sizeof(buf);
	ssize_t r = read((int)(intptr_t)f->priv, buf, n);
	if (r < 0)
		return -errno;
	return r ? uio_to(dst, buf, (size_t)r) : 0;
}
static ssize_t hf_write(struct file *f, struct uio *src, uint64_t off, uint64_t *end)
{
	char buf[4096];
	ssize_t r = uio_from(src, buf, src->resid < sizeof(buf) ? src->resid : sizeof(buf));
	if (r <= 0)
		return r;
	r = write((int)(intptr_t)f->priv, buf, (size_t)r);
	return r < 0 ? -errno : r;
}
static const struct file_ops hf_ops = {.read = hf_read, .write = hf_write};
int hostfile_new(int host_fd, const struct cred *cred, struct file **out)
{
	return file_new_anon("host", &hf_ops, (void *)(intptr_t)host_fd, O_RDWR, FILE_READ | FILE_WRITE | FILE_STREAM, cred, out);
}
struct tty *hostfile_tty(struct fdtable *files, int fd) { return NULL; }
void hostfile_winsize_changed(void) {}
