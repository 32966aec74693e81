/* The memory devices: null(4), full(4), random(4). */
#include <errno.h>
#include <linux/major.h>
#include <linux/random.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/sysmacros.h>

#include "sentry/fs/dev.h"
#include "sentry/kernel/task.h"
#include "sentry/mm/usercopy.h"
#include "vfs/file.h"
#include "vfs/inode.h"
#include "vfs/uio.h"

enum { MINOR_NULL = 3, MINOR_ZERO = 5, MINOR_FULL = 7, MINOR_RANDOM = 8, MINOR_URANDOM = 9, MINOR_KMSG = 11 };

#define RANDOM_PIECE 2048

static ssize_t null_read(struct file *f, struct uio *dst, uint64_t off)
{
	return 0;
}

/* Accepts everything, and looks at nothing: a bad address is no error either. */
static ssize_t sink_write(struct file *f, struct uio *src, uint64_t off, uint64_t *end)
{
	ssize_t n = (ssize_t)src->resid;

	src->resid = 0;
	if (end)
		*end = 0;
	return n;
}

static ssize_t zero_read(struct file *f, struct uio *dst, uint64_t off)
{
	return uio_zero(dst, dst->resid);
}

static ssize_t full_write(struct file *f, struct uio *src, uint64_t off, uint64_t *end)
{
	return src->resid ? -ENOSPC : 0;
}

static ssize_t random_read(struct file *f, struct uio *dst, uint64_t off)
{
	char buf[RANDOM_PIECE];
	size_t done = 0;

	while (dst->resid) {
		ssize_t n = getrandom(buf, dst->resid < sizeof(buf) ? dst->resid : sizeof(buf), 0);

		if (n < 0 && errno == EINTR)
			continue;
		if (n > 0)
			n = uio_to(dst, buf, (size_t)n);
		if (n <= 0)
			return done ? (ssize_t)done : n;
		done += (size_t)n;
		if (done >= (1u << 20) && current_task && signal_pending(current_task))
			break;
	}
	return (ssize_t)done;
}

static int64_t random_ioctl(struct file *f, struct task *t, unsigned cmd, uint64_t arg)
{
	switch (cmd) {
	case RNDGETENTCNT:
		return put_guest_u32(t, gptr(arg), 256);
	case RNDADDTOENTCNT:
	case RNDADDENTROPY:
	case RNDZAPENTCNT:
	case RNDCLEARPOOL:
	case RNDRESEEDCRNG:
		return -EPERM;
	}
	return -ENOTTY;
}

/* null_lseek: these have no position. */
static int64_t mem_seek(struct file *f, int64_t off, int whence)
{
	return 0;
}

static int zero_mmap(struct file *f, int prot, bool shared, struct file_mapping *out)
{
	*out = (struct file_mapping){.host_fd = -1, .zero = true, .writable = true};
	return 0;
}

/* The log of a kernel that says nothing. */
static ssize_t kmsg_read(struct file *f, struct uio *dst, uint64_t off)
{
	return -EAGAIN;
}

static uint32_t kmsg_poll(struct file *f)
{
	return POLLOUT | POLLWRNORM;
}

static const struct file_ops null_ops = {
	.read = null_read, .write = sink_write, .seek = mem_seek};
static const struct file_ops zero_ops = {
	.read = zero_read, .write = sink_write, .seek = mem_seek, .mmap = zero_mmap};
static const struct file_ops full_ops = {
	.read = zero_read, .write = full_write, .seek = mem_seek};
static const struct file_ops random_ops = {
	.read = random_read, .write = sink_write, .seek = mem_seek, .ioctl = random_ioctl};
static const struct file_ops kmsg_ops = {
	.read = kmsg_read, .write = sink_write, .seek = mem_seek, .poll = kmsg_poll};

static int mem_open(struct inode *inode, uint64_t rdev, struct file *f)
{
	switch (minor(rdev)) {
	case MINOR_NULL:
		f->ops = &null_ops;
		break;
	case MINOR_ZERO:
		f->ops = &zero_ops;
		break;
	case MINOR_FULL:
		f->ops = &full_ops;
		break;
	case MINOR_RANDOM:
	case MINOR_URANDOM:
		f->ops = &random_ops;
		break;
	case MINOR_KMSG:
		f->ops = &kmsg_ops;
		break;
	default:
		return -ENXIO;
	}
	f->mode |= FILE_SEEKABLE;
	return 0;
}

void mem_devices_register(void)
{
	chrdev_register(MEM_MAJOR, 0, 16, mem_open);
}
