/* The last step of each call that makes descriptors. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/resource.h>

#include "sentry/kernel/fdtable.h"
#include "sentry/kernel/task.h"
#include "sentry/mm/usercopy.h"
#include "vfs/file.h"

/* Installs f at the lowest free number; consumes the reference in any case. -EMFILE, -ENOMEM. */
static inline int fd_publish(struct task *t, struct file *f, bool cloexec)
{
	int fd = fdtable_install(t->files, f, 0, cloexec, task_rlimit(t, RLIMIT_NOFILE));

	if (fd < 0)
		file_put(f);
	return fd;
}

/* For calls that take or make something before they have a file: the number first. -EMFILE, -ENOMEM. */
static inline int fd_reserve(struct task *t)
{
	return fdtable_reserve(t->files, task_rlimit(t, RLIMIT_NOFILE));
}

/* The end of what fd_reserve() began: f gets the number, or with err < 0 there is no f. The number or err. */
static inline int fd_settle(struct task *t, int fd, int err, struct file *f, bool cloexec)
{
	if (err < 0)
		fdtable_unreserve(t->files, fd);
	else
		fdtable_fill(t->files, fd, f, cloexec);
	return err < 0 ? err : fd;
}

/* Two numbers for what pipe(2) and socketpair(2) will make, told to the guest at once. */
static inline int fd_reserve_pair(struct task *t, struct gptr tell, int out[2])
{
	int err;

	out[0] = fd_reserve(t);
	if (out[0] < 0)
		return out[0];
	out[1] = fd_reserve(t);
	err = out[1] < 0 ? out[1] : copy_to_guest(t, tell, out, 2 * sizeof(out[0]));
	if (err < 0) {
		if (out[1] >= 0)
			fdtable_unreserve(t->files, out[1]);
		fdtable_unreserve(t->files, out[0]);
	}
	return err;
}

static inline int fd_settle_pair(struct task *t, const int fd[2], int err, struct file *f[2], bool cloexec)
{
	for (int i = 0; i < 2; i++)
		fd_settle(t, fd[i], err, f[i], cloexec);
	return err;
}

/* lseek(2) of event descriptors: they have no position, and say so by staying at 0. */
static inline int64_t event_file_seek(struct file *f, int64_t off, int whence)
{
	return 0;
}
