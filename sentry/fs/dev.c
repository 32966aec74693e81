/* The registry of devices, and those that lead to terminals: /dev/tty, /dev/console, /dev/ptmx and
 * nodes of ptys outside of devpts. */
#include "sentry/fs/dev.h"

#include <assert.h>
#include <errno.h>
#include <linux/major.h>
#include <sys/sysmacros.h>

#include "sentry/fs/hostfile.h"
#include "sentry/fs/pty.h"
#include "sentry/fs/tty.h"
#include "sentry/ipc/fifo.h"
#include "sentry/kernel/session.h"
#include "sentry/kernel/task.h"
#include "vfs/file.h"
#include "vfs/fs.h"
#include "vfs/inode.h"
#include "vfs/vfs.h"

#define DEVICES_MAX 32

struct device {
	unsigned major, minor, count;
	device_open_fn open;
};

static struct device devices[DEVICES_MAX];
static unsigned ndevices;

void chrdev_register(unsigned major, unsigned minor, unsigned count, device_open_fn open)
{
	assert(ndevices < DEVICES_MAX);
	devices[ndevices++] = (struct device){major, minor, count, open};
}

int dev_open(struct inode *inode, uint64_t rdev, bool block, struct file *f)
{
	unsigned maj = major(rdev), min = minor(rdev);

	for (unsigned i = 0; !block && i < ndevices; i++) {
		const struct device *d = &devices[i];

		if (d->major == maj && min >= d->minor && min - d->minor < d->count)
			return d->open(inode, rdev, f);
	}
	return -ENXIO;
}

static int tty_device_open(struct inode *inode, uint64_t rdev, struct file *f)
{
	struct tty *t = current_task ? tty_of_task(current_task) : NULL;
	int r;

	if (!t)
		return -ENXIO;
	r = t->ops->open(t, f);
	tty_put(t);
	return r;
}

static int console_open(struct inode *inode, uint64_t rdev, struct file *f)
{
	struct tty *t = hostfile_console();
	int r;

	if (!t)
		return -EIO;
	r = t->ops->open(t, f);
	tty_put(t);
	return r;
}

static int ptmx_open(struct inode *inode, uint64_t rdev, struct file *f)
{
	struct fs *fs = devpts_default();

	return fs ? pty_open_master(fs, f) : -ENODEV;
}

static const struct vfs_special_ops special_ops = {
	.open_fifo = fifo_open,
	.open_device = dev_open,
};

int dev_init(void)
{
	mem_devices_register();
	chrdev_register(TTYAUX_MAJOR, 0, 1, tty_device_open);
	chrdev_register(TTYAUX_MAJOR, 1, 1, console_open);
	chrdev_register(TTYAUX_MAJOR, 2, 1, ptmx_open);
	vfs_special = &special_ops;
	devtmpfs_register();
	return devpts_register();
}
