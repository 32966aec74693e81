/* The last step of each call that makes descriptors. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/resource.h>

#include "sentry/kernel/fdtable.h"
#include "sentry/kernel/task.h"
#include "vfs/file.h"

/* Installs f at the lowest free number; consumes the reference in any case. -EMFILE, -ENOMEM. */
static inline int fd_publish(struct task *t, struct file *f, bool cloexec)
{
	int fd = fdtable_install(t->files, f, 0, cloexec, task_rlimit(t, RLIMIT_NOFILE));

	if (fd < 0)
		file_put(f);
	return fd;
}

/* Both or none; consumes both references in any case. */
static inline int fd_publish_pair(struct task *t, struct file *f[2], bool cloexec, int out[2])
{
	out[0] = fd_publish(t, f[0], cloexec);
	if (out[0] < 0) {
		file_put(f[1]);
		return out[0];
	}
	out[1] = fd_publish(t, f[1], cloexec);
	if (out[1] < 0) {
		fdtable_close(t->files, out[0]);
		return out[1];
	}
	return 0;
}

/* lseek(2) of event descriptors: they have no position, and say so by staying at 0. */
static inline int64_t event_file_seek(struct file *f, int64_t off, int whence)
{
	return 0;
}
