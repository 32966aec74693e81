/* fcntl(2), and the part of ioctl(2) that is the same for all files. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "abi/linux/fcntl.h"
#include "sentry/ipc/fd_publish.h"
#include "sentry/ipc/pipe.h"
#include "sentry/kernel/kernel.h"
#include "sentry/kernel/session.h"
#include "sentry/mm/usercopy.h"
#include "sentry/syscalls/fs_lock.h"
#include "sentry/syscalls/syscalls.h"
#include "vfs/cred.h"
#include "vfs/inode.h"
#include "vfs/tmpfs/memfd.h"
#include "vfs/vfs.h"
#include <linux/capability.h>
#include <linux/fs.h>

#define SETFL_FLAGS (O_APPEND | O_ASYNC | O_DIRECT | O_NOATIME | O_NONBLOCK)

static int64_t dup_from(struct task *t, struct file *f, uint64_t min, bool cloexec)
{
	uint64_t limit = task_rlimit(t, RLIMIT_NOFILE);
	int r;

	if (min >= limit || (int)min < 0)
		return -EINVAL;
	r = fdtable_install(t->files, file_get(f), (int)min, cloexec, limit);
	if (r < 0)
		file_put(f);
	return r;
}

static int flags_change(struct file *f, int clear, int set)
{
	int old = atomic_load(&f->flags), new;

	do
		new = (old & ~clear) | set;
	while (!atomic_compare_exchange_weak(&f->flags, &old, new));
	if (new != old && f->ops->set_flags)
		f->ops->set_flags(f, new);
	return 0;
}

/* O_ASYNC means something where readiness comes and goes: elsewhere fcntl(2) leaves it as open(2) has set it. */
static bool has_async(const struct file *f)
{
	return f->mode & FILE_STREAM || inode_type(f->inode) == S_IFSOCK;
}

static int64_t setfl(struct task *t, struct file *f, uint64_t arg)
{
	int may = has_async(f) ? SETFL_FLAGS : SETFL_FLAGS & ~O_ASYNC;
	int flags = (int)arg & may;

	if (flags & O_NOATIME && !(atomic_load(&f->flags) & O_NOATIME)) {
		struct vfs_attr a;
		int r = vfs_getattr(&f->path, &a);

		if (r < 0)
			return r;
		if (a.uid != t->cred->fsuid && !task_capable(t, CAP_FOWNER))
			return -EPERM;
	}
	return flags_change(f, may, flags);
}

/* F_SETOWN: a process group is negative. */
static int64_t set_owner(struct file *f, int type, int id)
{
	if (type == LINUX_F_OWNER_PGRP && id < 0) {
		if (id == INT32_MIN)
			return -EINVAL;
		id = -id;
	}
	if (id) {
		AUTO_LOCK(&kernel->tasks_lock);
		if (!task_lookup_locked(id) && !pgrp_lookup_locked(id))
			return -ESRCH;
	}
	f->owner_type = type;
	atomic_store(&f->owner_pid, id);
	return 0;
}

static int64_t owner_ex(struct task *t, struct file *f, struct gptr arg, bool set)
{
	struct linux_f_owner_ex ex = {f->owner_type, atomic_load(&f->owner_pid)};
	int r;

	if (!set)
		return put_guest(t, arg, &ex);
	r = get_guest(t, &ex, arg);
	if (r < 0)
		return r;
	if (ex.type < LINUX_F_OWNER_TID || ex.type > LINUX_F_OWNER_PGRP)
		return -EINVAL;
	return set_owner(f, ex.type, ex.pid);
}

static int64_t get_owner(struct file *f)
{
	int id = atomic_load(&f->owner_pid);

	return f->owner_type == LINUX_F_OWNER_PGRP ? -id : id;
}

static int64_t rw_hint(struct task *t, struct gptr arg, bool set)
{
	uint64_t hint = 0;

	if (!set)
		return put_guest_u64(t, arg, 0);
	if (get_guest_u64(t, &hint, arg) < 0)
		return -EFAULT;
	return hint > 5 ? -EINVAL : 0;
}

/* What may be asked of an O_PATH descriptor, too. */
static bool fcntl_any(struct task *t, struct file *f, int fd, unsigned cmd, uint64_t arg, int64_t *r)
{
	switch (cmd) {
	case F_DUPFD:
		*r = dup_from(t, f, arg, false);
		return true;
	case LINUX_F_DUPFD_CLOEXEC:
		*r = dup_from(t, f, arg, true);
		return true;
	case F_GETFD:
		*r = fdtable_get_cloexec(t->files, fd);
		return true;
	case F_SETFD:
		*r = fdtable_set_cloexec(t->files, fd, arg & FD_CLOEXEC);
		return true;
	case F_GETFL:
		*r = atomic_load(&f->flags);
		return true;
	case LINUX_F_DUPFD_QUERY: {
		struct file *other;

		*r = fdtable_get_path(t->files, (int)arg, &other);
		if (*r == 0) {
			*r = other == f;
			file_put(other);
		}
		return true;
	}
	}
	return false;
}

static int64_t fcntl_open(struct task *t, struct file *f, int fd, unsigned cmd, uint64_t arg)
{
	switch (cmd) {
	case F_SETFL:
		return setfl(t, f, arg);
	case F_GETLK:
		return fcntl_getlk(t, f, gptr(arg), false);
	case F_SETLK:
	case F_SETLKW:
		return fcntl_setlk(t, f, fd, gptr(arg), cmd == F_SETLKW, false);
	case LINUX_F_OFD_GETLK:
		return fcntl_getlk(t, f, gptr(arg), true);
	case LINUX_F_OFD_SETLK:
	case LINUX_F_OFD_SETLKW:
		return fcntl_setlk(t, f, fd, gptr(arg), cmd == LINUX_F_OFD_SETLKW, true);
	case F_SETOWN:
		return set_owner(f, (int)arg < 0 ? LINUX_F_OWNER_PGRP : LINUX_F_OWNER_PID, (int)arg);
	case F_GETOWN:
		return get_owner(f);
	case LINUX_F_SETOWN_EX:
	case LINUX_F_GETOWN_EX:
		return owner_ex(t, f, gptr(arg), cmd == LINUX_F_SETOWN_EX);
	case LINUX_F_SETSIG:
		if (arg >= NSIG)
			return -EINVAL;
		f->owner_sig = (int)arg;
		return 0;
	case LINUX_F_GETSIG:
		return f->owner_sig;
	case LINUX_F_GETLEASE:
		return F_UNLCK;
	case LINUX_F_SETLEASE:
		return arg == F_UNLCK ? -EAGAIN : -EINVAL;
	case LINUX_F_SETPIPE_SZ:
		return pipe_set_size(f, t, arg);
	case LINUX_F_GETPIPE_SZ:
		return pipe_get_size(f);
	case LINUX_F_ADD_SEALS:
		return memfd_add_seals(f, (unsigned)arg);
	case LINUX_F_GET_SEALS:
		return memfd_get_seals(f);
	case LINUX_F_GET_RW_HINT:
	case LINUX_F_GET_FILE_RW_HINT:
		return rw_hint(t, gptr(arg), false);
	case LINUX_F_SET_RW_HINT:
	case LINUX_F_SET_FILE_RW_HINT:
		return rw_hint(t, gptr(arg), true);
	}
	return -EINVAL;
}

int64_t sys_fcntl(struct task *t, int fd, unsigned int cmd, uint64_t arg)
{
	struct file *f;
	int64_t r = fdtable_get_path(t->files, fd, &f);

	if (r < 0)
		return r;
	if (!fcntl_any(t, f, fd, cmd, arg, &r))
		r = f->mode & FILE_PATH ? -EBADF : fcntl_open(t, f, fd, cmd, arg);
	file_put(f);
	return r;
}

static int64_t flag_by_int(struct task *t, struct file *f, struct gptr arg, int flag)
{
	uint32_t on;

	if (get_guest_u32(t, &on, arg) < 0)
		return -EFAULT;
	return flags_change(f, flag, on ? flag : 0);
}

static int64_t put_size(struct task *t, struct file *f, struct gptr arg, unsigned cmd)
{
	struct vfs_attr a;
	int r = vfs_getattr(&f->path, &a);
	int64_t left;

	if (r < 0)
		return r;
	if (cmd == FIOQSIZE)
		return put_guest_u64(t, arg, a.size);
	if (cmd == FIGETBSZ)
		return put_guest_u32(t, arg, a.blksize);
	left = (int64_t)(a.size - file_pos(f));
	return put_guest_u32(t, arg, (uint32_t)left);
}

static bool on_disk(const struct file *f)
{
	uint32_t type = inode_type(f->inode);

	return type == S_IFREG || type == S_IFDIR || type == S_IFLNK;
}

static int64_t do_ioctl(struct task *t, struct file *f, int fd, unsigned cmd, uint64_t arg)
{
	int64_t r;

	switch (cmd) {
	case FIOCLEX:
		return fdtable_set_cloexec(t->files, fd, true);
	case FIONCLEX:
		return fdtable_set_cloexec(t->files, fd, false);
	case FIONBIO:
		return flag_by_int(t, f, gptr(arg), O_NONBLOCK);
	case FIOASYNC:
		return has_async(f) ? flag_by_int(t, f, gptr(arg), O_ASYNC) : -ENOTTY;
	case FIOQSIZE:
		return on_disk(f) ? put_size(t, f, gptr(arg), cmd) : -ENOTTY;
	case FIGETBSZ:
		return put_size(t, f, gptr(arg), cmd);
	case FICLONE:
	case FICLONERANGE:
	case FIDEDUPERANGE:
		return -EOPNOTSUPP;
	}
	r = file_ioctl(f, t, cmd, arg);
	if (r == -ENOTTY && cmd == FIONREAD && inode_type(f->inode) == S_IFREG)
		return put_size(t, f, gptr(arg), cmd);
	return r;
}

int64_t sys_ioctl(struct task *t, int fd, unsigned int cmd, uint64_t arg)
{
	struct file *f;
	int64_t r = fdtable_get(t->files, fd, &f);

	if (r < 0)
		return r;
	r = do_ioctl(t, f, fd, cmd, arg);
	file_put(f);
	return r;
}
