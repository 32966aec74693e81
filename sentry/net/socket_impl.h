/* What the files of the socket layer share. */
#pragma once

#include <fcntl.h>
#include <stdbool.h>
#include <sys/socket.h>

#include "sentry/net/socket.h"
#include "vfs/file.h"

void socket_sigpipe(void); /* to the current task */
/* Requests about interfaces (netdevice(7)), which a socket of any family takes. -ENOTTY. */
int64_t netdev_ioctl(struct task *t, unsigned cmd, uint64_t arg);

static inline bool file_nonblock(const struct file *f, uint32_t msg_flags)
{
	int flags = atomic_load_explicit(&((struct file *)f)->flags, memory_order_relaxed);

	return msg_flags & MSG_DONTWAIT || flags & O_NONBLOCK;
}
