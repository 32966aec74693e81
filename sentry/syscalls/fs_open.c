/* open(2), close(2), dup(2) and their families. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/resource.h>

#include "abi/linux/fcntl.h"
#include "sentry/ipc/fd_publish.h"
#include "sentry/ipc/fifo.h"
#include "sentry/kernel/kernel.h"
#include "sentry/mm/usercopy.h"
#include "sentry/syscalls/fs_path.h"
#include "sentry/syscalls/syscalls.h"
#include "vfs/vfs.h"

#define OPEN_FLAGS_VALID                                                                           \
	(O_ACCMODE | O_CREAT | O_EXCL | O_NOCTTY | O_TRUNC | O_APPEND | O_NONBLOCK | O_SYNC |      \
	 O_ASYNC | O_DIRECT | LINUX_O_LARGEFILE | O_DIRECTORY | O_NOFOLLOW | O_NOATIME |           \
	 O_CLOEXEC | O_PATH | O_TMPFILE)

struct open_args {
	uint64_t flags, mode;
	unsigned walk;
};

static int open_check(struct open_args *a)
{
	bool makes = a->flags & (O_CREAT | LINUX_O_TMPFILE_BIT);

	if (a->mode && !makes)
		return -EINVAL;
	if (a->mode & ~07777ULL)
		return -EINVAL;
	if ((a->flags & (O_DIRECTORY | O_CREAT)) == (O_DIRECTORY | O_CREAT))
		return -EINVAL;
	if (a->flags & LINUX_O_TMPFILE_BIT) {
		if ((a->flags & O_TMPFILE) != O_TMPFILE || !(a->flags & (O_WRONLY | O_RDWR)))
			return -EINVAL;
	}
	return 0;
}

static int open_file(struct task *t, int dirfd, struct at_path *at, const struct open_args *a,
		     struct file **out)
{
	uint32_t mode = (uint32_t)a->mode & ~task_umask(t);
	int r = at_start(t, dirfd, at);

	if (r == 0)
		r = vfs_open(&at->ctx, at->path, (int)a->flags, mode, a->walk, out);
	if (r < 0)
		return r;
	at_end(at);
	r = fifo_open_wait(t, *out);
	if (r < 0)
		file_put(*out);
	return r;
}

static int64_t do_open(struct task *t, int dirfd, struct gptr path, const struct open_args *a)
{
	AUTO(at) struct at_path at = {.ctx = {.cred = NULL}};
	struct file *f = NULL;
	int r = at_fetch(t, path, false, &at), fd;

	if (r < 0)
		return r;
	fd = fd_reserve(t);
	if (fd < 0)
		return fd;
	r = open_file(t, dirfd, &at, a, &f);
	return fd_settle(t, fd, r, f, a->flags & O_CLOEXEC);
}

int64_t sys_openat(struct task *t, int dirfd, struct gptr path, int flags, unsigned int mode)
{
	struct open_args a = {.flags = (unsigned)flags & OPEN_FLAGS_VALID};
	int r;

	/* The old calls ignore what they do not know, and the mode where none is needed. */
	if (a.flags & (O_CREAT | LINUX_O_TMPFILE_BIT))
		a.mode = mode & 07777;
	if (a.flags & O_PATH)
		a = (struct open_args){.flags = a.flags & (O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)};
	r = open_check(&a);
	return r < 0 ? r : do_open(t, dirfd, path, &a);
}

int64_t sys_open(struct task *t, struct gptr path, int flags, unsigned int mode)
{
	return sys_openat(t, AT_FDCWD, path, flags, mode);
}

int64_t sys_creat(struct task *t, struct gptr path, unsigned int mode)
{
	return sys_openat(t, AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, mode);
}

static int resolve_to_walk(uint64_t resolve, unsigned *walk)
{
	static const struct {
		uint64_t bit;
		unsigned walk;
	} map[] = {
		{LINUX_RESOLVE_NO_XDEV, WALK_NO_XDEV},
		{LINUX_RESOLVE_NO_MAGICLINKS, WALK_NO_MAGICLINKS},
		{LINUX_RESOLVE_NO_SYMLINKS, WALK_NO_SYMLINKS},
		{LINUX_RESOLVE_BENEATH, WALK_BENEATH},
		{LINUX_RESOLVE_IN_ROOT, WALK_IN_ROOT},
		{LINUX_RESOLVE_CACHED, WALK_CACHED},
	};

	*walk = 0;
	for (size_t i = 0; i < sizeof(map) / sizeof(map[0]); i++) {
		if (resolve & map[i].bit)
			*walk |= map[i].walk;
		resolve &= ~map[i].bit;
	}
	if (resolve || (*walk & (WALK_BENEATH | WALK_IN_ROOT)) == (WALK_BENEATH | WALK_IN_ROOT))
		return -EINVAL;
	return 0;
}

static int copy_how(struct task *t, struct linux_open_how *how, struct gptr src, uint64_t size)
{
	char rest[GUEST_PAGE_SIZE];
	uint64_t extra;
	int r;

	if (size < sizeof(*how))
		return -EINVAL;
	if (size > GUEST_PAGE_SIZE)
		return -E2BIG;
	r = get_guest(t, how, src);
	extra = size - sizeof(*how);
	if (r == 0 && extra)
		r = copy_from_guest(t, rest, gptr_add(src, sizeof(*how)), extra);
	for (uint64_t i = 0; r == 0 && i < extra; i++)
		if (rest[i])
			return -E2BIG;
	return r;
}

int64_t sys_openat2(struct task *t, int dirfd, struct gptr path, struct gptr how_ptr, uint64_t size)
{
	struct linux_open_how how;
	struct open_args a;
	int r = copy_how(t, &how, how_ptr, size);

	if (r < 0)
		return r;
	a = (struct open_args){.flags = how.flags, .mode = how.mode};
	if (how.flags & ~(uint64_t)OPEN_FLAGS_VALID)
		return -EINVAL;
	if (how.flags & O_PATH && how.flags & ~(uint64_t)(O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC))
		return -EINVAL;
	r = resolve_to_walk(how.resolve, &a.walk);
	if (r == 0)
		r = open_check(&a);
	if (r < 0)
		return r;
	if (a.walk & WALK_CACHED && a.flags & (O_CREAT | O_TRUNC | LINUX_O_TMPFILE_BIT))
		return -EAGAIN;
	return do_open(t, dirfd, path, &a);
}

int64_t sys_close(struct task *t, int fd)
{
	return fdtable_close(t->files, fd);
}

/* Others look at t->files under tasks_lock. */
static void files_swap(struct task *t, struct fdtable *own)
{
	struct fdtable *old;

	mutex_lock(&kernel->tasks_lock);
	old = t->files;
	t->files = own;
	mutex_unlock(&kernel->tasks_lock);
	fdtable_put(old);
}

#define LINUX_CLOSE_RANGE_UNSHARE 2
#define LINUX_CLOSE_RANGE_CLOEXEC 4

int64_t sys_close_range(struct task *t, unsigned int first, unsigned int last, unsigned int flags)
{
	struct fdtable *own;
	int r;

	if (flags & ~(unsigned)(LINUX_CLOSE_RANGE_UNSHARE | LINUX_CLOSE_RANGE_CLOEXEC) || first > last)
		return -EINVAL;
	if (flags & LINUX_CLOSE_RANGE_UNSHARE) {
		r = fdtable_clone(t->files, &own);
		if (r < 0)
			return r;
		files_swap(t, own);
	}
	return fdtable_close_range(t->files, first, last, flags & LINUX_CLOSE_RANGE_CLOEXEC);
}

int64_t sys_dup(struct task *t, int fd)
{
	struct file *f;
	int r = fdtable_get_path(t->files, fd, &f);

	return r < 0 ? r : fd_publish(t, f, false);
}

int64_t sys_dup3(struct task *t, int oldfd, int newfd, int flags)
{
	struct file *f;
	int r;

	if (flags & ~O_CLOEXEC || oldfd == newfd)
		return -EINVAL;
	if (newfd < 0 || (uint64_t)newfd >= task_rlimit(t, RLIMIT_NOFILE))
		return -EBADF;
	r = fdtable_get_path(t->files, oldfd, &f);
	if (r < 0)
		return r;
	r = fdtable_install_at(t->files, f, newfd, flags & O_CLOEXEC,
			       task_rlimit(t, RLIMIT_NOFILE));
	if (r < 0)
		file_put(f);
	return r;
}

int64_t sys_dup2(struct task *t, int oldfd, int newfd)
{
	struct file *f;
	int r;

	if (oldfd != newfd)
		return sys_dup3(t, oldfd, newfd, 0);
	r = fdtable_get_path(t->files, oldfd, &f);
	if (r < 0)
		return r;
	file_put(f);
	return newfd;
}
