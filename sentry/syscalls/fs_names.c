/* mkdir(2), mknod(2), link(2), symlink(2), unlink(2), rmdir(2), rename(2) and their *at forms. */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <sys/stat.h>

#include "abi/linux/stat.h"
#include "sentry/kernel/fdtable.h"
#include "sentry/mm/usercopy.h"
#include "sentry/syscalls/fs_path.h"
#include "sentry/syscalls/syscalls.h"
#include "vfs/vfs.h"

int64_t sys_mkdirat(struct task *t, int dirfd, struct gptr path, unsigned int mode)
{
	AUTO(at) struct at_path at = {.ctx = {.cred = NULL}};
	int r = at_begin(t, dirfd, path, false, &at);

	return r < 0 ? r : vfs_mkdir(&at.ctx, at.path, mode & ~task_umask(t));
}

int64_t sys_mkdir(struct task *t, struct gptr path, unsigned int mode)
{
	return sys_mkdirat(t, AT_FDCWD, path, mode);
}

int64_t sys_mknodat(struct task *t, int dirfd, struct gptr path, unsigned int mode, unsigned int dev)
{
	AUTO(at) struct at_path at = {.ctx = {.cred = NULL}};
	int r = at_begin(t, dirfd, path, false, &at);
	uint32_t perm = mode & 07777 & ~task_umask(t);

	return r < 0 ? r : vfs_mknod(&at.ctx, at.path, (mode & S_IFMT) | perm, dev);
}

int64_t sys_mknod(struct task *t, struct gptr path, unsigned int mode, unsigned int dev)
{
	return sys_mknodat(t, AT_FDCWD, path, mode, dev);
}

int64_t sys_symlinkat(struct task *t, struct gptr target, int newdirfd, struct gptr linkpath)
{
	AUTO(at) struct at_path at = {.ctx = {.cred = NULL}};
	AUTO(free) char *text = malloc(PATH_MAX);
	int r;

	if (!text)
		return -ENOMEM;
	r = copy_path_from_guest(t, text, target);
	if (r < 0)
		return r;
	if (!*text)
		return -ENOENT;
	r = at_begin(t, newdirfd, linkpath, false, &at);
	return r < 0 ? r : vfs_symlink(&at.ctx, text, at.path);
}

int64_t sys_symlink(struct task *t, struct gptr target, struct gptr linkpath)
{
	return sys_symlinkat(t, target, AT_FDCWD, linkpath);
}

/* What a descriptor is open on may be linked by who opened it, or may search everywhere. */
static int link_from_fd(struct task *t, int fd, struct path *out)
{
	AUTO(file) struct file *f = NULL;
	int r = fdtable_get_path(t->files, fd, &f);

	if (r < 0)
		return r;
	if (f->cred != t->cred && !task_capable(t, CAP_DAC_READ_SEARCH))
		return -ENOENT;
	*out = f->path;
	path_get(out);
	return 0;
}

static int link_source(struct task *t, int dirfd, struct gptr path, int flags, struct path *out)
{
	AUTO(at) struct at_path at = {.ctx = {.cred = NULL}};
	unsigned walk = flags & AT_SYMLINK_FOLLOW ? WALK_FOLLOW : 0;
	int r = at_fetch(t, path, flags & AT_EMPTY_PATH, &at);

	if (r == 0 && !at.path[0] && dirfd != AT_FDCWD)
		return link_from_fd(t, dirfd, out);
	if (r == 0)
		r = at_start(t, dirfd, &at);
	return r < 0 ? r : vfs_walk(&at.ctx, at.path, walk | (at.path[0] ? 0 : WALK_EMPTY_PATH), out);
}

int64_t sys_linkat(struct task *t, int olddirfd, struct gptr oldpath, int newdirfd,
		   struct gptr newpath, int flags)
{
	AUTO(at) struct at_path at = {.ctx = {.cred = NULL}};
	AUTO(path) struct path old = {0};
	int r;

	if (flags & ~(AT_SYMLINK_FOLLOW | AT_EMPTY_PATH))
		return -EINVAL;
	r = link_source(t, olddirfd, oldpath, flags, &old);
	if (r == 0)
		r = at_begin(t, newdirfd, newpath, false, &at);
	return r < 0 ? r : vfs_link(&old, &at.ctx, at.path);
}

int64_t sys_link(struct task *t, struct gptr oldpath, struct gptr newpath)
{
	return sys_linkat(t, AT_FDCWD, oldpath, AT_FDCWD, newpath, 0);
}

int64_t sys_unlinkat(struct task *t, int dirfd, struct gptr path, int flags)
{
	AUTO(at) struct at_path at = {.ctx = {.cred = NULL}};
	int r;

	if (flags & ~AT_REMOVEDIR)
		return -EINVAL;
	r = at_begin(t, dirfd, path, false, &at);
	if (r < 0)
		return r;
	return flags & AT_REMOVEDIR ? vfs_rmdir(&at.ctx, at.path) : vfs_unlink(&at.ctx, at.path);
}

int64_t sys_unlink(struct task *t, struct gptr path)
{
	return sys_unlinkat(t, AT_FDCWD, path, 0);
}

int64_t sys_rmdir(struct task *t, struct gptr path)
{
	return sys_unlinkat(t, AT_FDCWD, path, AT_REMOVEDIR);
}

/* Two paths of 4 KiB are a lot for the stack of a task's thread: one is on the heap. */
int64_t sys_renameat2(struct task *t, int olddirfd, struct gptr oldpath, int newdirfd,
		      struct gptr newpath, unsigned int flags)
{
	AUTO(at) struct at_path old = {.ctx = {.cred = NULL}};
	AUTO(free) struct at_path *new = calloc(1, sizeof(*new));
	int r;

	if (!new)
		return -ENOMEM;
	/* Empty ones are refused by the walks, the old one's first. */
	r = at_begin(t, olddirfd, oldpath, true, &old);
	if (r == 0)
		r = at_begin(t, newdirfd, newpath, true, new);
	if (r == 0)
		r = vfs_rename(&old.ctx, old.path, &new->ctx, new->path, flags);
	at_end(new);
	return r;
}

int64_t sys_renameat(struct task *t, int olddirfd, struct gptr oldpath, int newdirfd,
		     struct gptr newpath)
{
	return sys_renameat2(t, olddirfd, oldpath, newdirfd, newpath, 0);
}

int64_t sys_rename(struct task *t, struct gptr oldpath, struct gptr newpath)
{
	return sys_renameat2(t, AT_FDCWD, oldpath, AT_FDCWD, newpath, 0);
}
