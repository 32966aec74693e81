/* Between hostfile.c, host_io.c and host_tty.c. */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "abi/base/list.h"
#include "sentry/fs/tty.h"
#include "sentry/kernel/host_poll.h"
#include "sentry/kernel/timer.h"
#include "vfs/inode.h"

struct cred;
struct file;
struct task;
struct uio;

/* A terminal of the host: one for all descriptors of it. */
struct host_tty {
	struct tty tty;
	struct list node;   /* of all; protected by the lock in host_tty.c */
	uint64_t host_rdev; /* which one */
	int fd;		    /* its own: for ioctl, and for /dev/tty */
	_Atomic bool tostop;
	_Atomic unsigned read_tenths; /* VTIME, where a read ends by it: not canonical, VMIN 0 */
};

struct host_inode {
	struct inode i;
	int fd;			 /* owned */
	int access;		 /* O_RDONLY, O_WRONLY, O_RDWR */
	bool nonblock;		 /* the description is our own and doesn't block */
	bool socket, seekable;
	uint32_t uid, gid;
	struct host_poll poll;
	struct host_tty *tty;	 /* owned; NULL unless a terminal */
	struct ktimer vtime;	 /* of a reader of a terminal */
	_Atomic int vtime_state; /* enum in host_tty.c */
};

static inline struct host_inode *host_i(const struct inode *i)
{
	return container_of((struct inode *)i, struct host_inode, i);
}

/* host_io.c: never sleeps, never changes the host's O_NONBLOCK. off: as of struct file_ops. */
ssize_t host_stream_read(struct host_inode *hi, struct uio *dst);
ssize_t host_stream_write(struct host_inode *hi, struct uio *src);
ssize_t host_seekable_read(struct host_inode *hi, struct uio *dst, uint64_t off);
ssize_t host_seekable_write(struct host_inode *hi, struct uio *src, uint64_t off, bool outside,
			    uint64_t *end);
int64_t host_seek(struct host_inode *hi, struct file *f, int64_t off, int whence);
/* A second descriptor on the same object with O_NONBLOCK, or -1. */
int host_reopen_nonblock(int fd, int access);

/* hostfile.c: makes f, of whatever inode, a file of this host descriptor (duplicated). */
int host_file_adopt(int host_fd, struct file *f);

/* host_tty.c */
int host_tty_get(int fd, uint64_t host_rdev, const struct cred *cred, struct host_tty **out);
void host_tty_vtime_init(struct host_inode *hi);
/* A read of the terminal said r: -EAGAIN becomes 0 once VTIME is over. */
ssize_t host_tty_vtime(struct host_inode *hi, ssize_t r);
int64_t host_tty_ioctl(struct host_inode *hi, struct file *f, struct task *t, unsigned cmd,
		       uint64_t arg);
