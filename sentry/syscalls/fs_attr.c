/* chmod(2), chown(2), utimensat(2), truncate(2), fallocate(2). */
#include <errno.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "sentry/kernel/fdtable.h"
#include "sentry/mm/usercopy.h"
#include "sentry/syscalls/fs_io.h"
#include "sentry/syscalls/fs_path.h"
#include "sentry/syscalls/syscalls.h"
#include "vfs/dirent.h"
#include "vfs/vfs.h"

static int64_t do_chmod(struct task *t, int dirfd, struct gptr path, uint32_t mode, int flags)
{
	AUTO(path) struct path p = {0};
	int r;

	if (flags & ~(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH))
		return -EINVAL;
	r = at_resolve(t, dirfd, path, at_walk_flags(flags), &p);
	return r < 0 ? r : vfs_chmod(&p, t->cred, mode);
}

int64_t sys_fchmodat2(struct task *t, int dirfd, struct gptr path, unsigned int mode, int flags)
{
	return do_chmod(t, dirfd, path, mode, flags);
}

int64_t sys_fchmodat(struct task *t, int dirfd, struct gptr path, unsigned int mode)
{
	return do_chmod(t, dirfd, path, mode, 0);
}

int64_t sys_chmod(struct task *t, struct gptr path, unsigned int mode)
{
	return do_chmod(t, AT_FDCWD, path, mode, 0);
}

/* O_PATH descriptors can't change what they name. */
static int open_path(struct task *t, int fd, struct path *out)
{
	struct file *f;
	int r = fdtable_get(t->files, fd, &f);

	if (r < 0)
		return r;
	*out = f->path;
	path_get(out);
	file_put(f);
	return 0;
}

int64_t sys_fchmod(struct task *t, int fd, unsigned int mode)
{
	AUTO(path) struct path p = {0};
	int r = open_path(t, fd, &p);

	return r < 0 ? r : vfs_chmod(&p, t->cred, mode);
}

int64_t sys_fchownat(struct task *t, int dirfd, struct gptr path, unsigned int uid,
		     unsigned int gid, int flags)
{
	AUTO(path) struct path p = {0};
	int r;

	if (flags & ~(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH))
		return -EINVAL;
	r = at_resolve(t, dirfd, path, at_walk_flags(flags), &p);
	return r < 0 ? r : vfs_chown(&p, t->cred, uid, gid);
}

int64_t sys_chown(struct task *t, struct gptr path, unsigned int uid, unsigned int gid)
{
	return sys_fchownat(t, AT_FDCWD, path, uid, gid, 0);
}

int64_t sys_lchown(struct task *t, struct gptr path, unsigned int uid, unsigned int gid)
{
	return sys_fchownat(t, AT_FDCWD, path, uid, gid, AT_SYMLINK_NOFOLLOW);
}

int64_t sys_fchown(struct task *t, int fd, unsigned int uid, unsigned int gid)
{
	AUTO(path) struct path p = {0};
	int r = open_path(t, fd, &p);

	return r < 0 ? r : vfs_chown(&p, t->cred, uid, gid);
}

/* ts NULL: both now. A null path means the open file dirfd (futimens). */
static int64_t set_times(struct task *t, int dirfd, struct gptr path, const struct timespec *ts,
			 int flags)
{
	AUTO(path) struct path p = {0};
	int r;

	if (ts && ts[0].tv_nsec == UTIME_OMIT && ts[1].tv_nsec == UTIME_OMIT)
		return 0;
	if (gptr_null(path) && dirfd != AT_FDCWD) {
		if (flags)
			return -EINVAL;
		r = open_path(t, dirfd, &p);
	} else {
		if (flags & ~(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH))
			return -EINVAL;
		if (gptr_null(path))
			return -EFAULT;
		r = at_resolve(t, dirfd, path, at_walk_flags(flags), &p);
	}
	return r < 0 ? r : vfs_utimens(&p, t->cred, ts);
}

int64_t sys_utimensat(struct task *t, int dirfd, struct gptr path, struct gptr times, int flags)
{
	struct timespec ts[2];

	if (gptr_null(times))
		return set_times(t, dirfd, path, NULL, flags);
	if (get_guest(t, &ts, times) < 0)
		return -EFAULT;
	return set_times(t, dirfd, path, ts, flags);
}

int64_t sys_futimesat(struct task *t, int dirfd, struct gptr path, struct gptr times)
{
	struct timeval tv[2];
	struct timespec ts[2];

	if (gptr_null(times))
		return set_times(t, dirfd, path, NULL, 0);
	if (get_guest(t, &tv, times) < 0)
		return -EFAULT;
	for (int i = 0; i < 2; i++) {
		if (tv[i].tv_usec < 0 || tv[i].tv_usec >= 1000000)
			return -EINVAL;
		ts[i] = (struct timespec){tv[i].tv_sec, tv[i].tv_usec * 1000};
	}
	return set_times(t, dirfd, path, ts, 0);
}

int64_t sys_utimes(struct task *t, struct gptr path, struct gptr times)
{
	return sys_futimesat(t, AT_FDCWD, path, times);
}

int64_t sys_utime(struct task *t, struct gptr path, struct gptr times)
{
	int64_t sec[2];
	struct timespec ts[2] = {0};

	if (gptr_null(times))
		return set_times(t, AT_FDCWD, path, NULL, 0);
	if (get_guest(t, &sec, times) < 0)
		return -EFAULT;
	ts[0].tv_sec = sec[0];
	ts[1].tv_sec = sec[1];
	return set_times(t, AT_FDCWD, path, ts, 0);
}

/* Growing beyond RLIMIT_FSIZE: SIGXFSZ and EFBIG. */
static int size_check(struct task *t, int64_t length)
{
	if (length < 0)
		return -EINVAL;
	if ((uint64_t)length > task_rlimit(t, RLIMIT_FSIZE)) {
		task_send_fsize(t);
		return -EFBIG;
	}
	return 0;
}

int64_t sys_truncate(struct task *t, struct gptr path, int64_t length)
{
	AUTO(path) struct path p = {0};
	int r = length < 0 ? -EINVAL : at_resolve(t, AT_FDCWD, path, WALK_FOLLOW, &p);

	if (r == 0 && inode_type(atomic_load(&p.dirent->inode)) == S_IFREG)
		r = size_check(t, length);
	return r < 0 ? r : vfs_truncate(&p, t->cred, (uint64_t)length);
}

int64_t sys_ftruncate(struct task *t, int fd, int64_t length)
{
	struct file *f;
	int r;

	if (length < 0)
		return -EINVAL;
	r = fdtable_get(t->files, fd, &f);
	if (r < 0)
		return r;
	if (f->mode & FILE_WRITE && inode_type(f->inode) == S_IFREG)
		r = size_check(t, length);
	if (r == 0)
		r = file_truncate(f, (uint64_t)length);
	file_put(f);
	return r;
}

int64_t sys_fallocate(struct task *t, int fd, int mode, int64_t offset, int64_t len)
{
	struct file *f;
	int r = fdtable_get(t->files, fd, &f);

	if (r < 0)
		return r;
	if (offset >= 0 && len > 0 && !(mode & FALLOC_FL_KEEP_SIZE) && offset <= INT64_MAX - len &&
	    f->mode & FILE_WRITE && inode_type(f->inode) == S_IFREG)
		r = size_check(t, offset + len);
	if (r == 0)
		r = file_fallocate(f, mode, (uint64_t)offset, (uint64_t)len);
	file_put(f);
	return r;
}
