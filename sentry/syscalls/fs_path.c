#include "sentry/syscalls/fs_path.h"

#include <errno.h>

#include "sentry/kernel/fdtable.h"
#include "sentry/kernel/fs_context.h"
#include "sentry/mm/usercopy.h"
#include "sentry/syscalls/fs_answer.h"

int at_fetch(struct task *t, struct gptr path, bool empty_ok, struct at_path *a)
{
	int r = copy_path_from_guest(t, a->path, path);

	if (r < 0)
		return r;
	fs_answer_path(a->path);
	return !a->path[0] && !empty_ok ? -ENOENT : 0;
}

int at_start(struct task *t, int dirfd, struct at_path *a)
{
	int r;

	/* An absolute path makes dirfd irrelevant, even a bad one. */
	if (a->path[0] == '/')
		dirfd = AT_FDCWD;
	r = task_walk_begin(t, dirfd, &a->ctx);
	if (r < 0)
		a->ctx.cred = NULL;
	return r;
}

int at_begin(struct task *t, int dirfd, struct gptr path, bool empty_ok, struct at_path *a)
{
	int r = at_fetch(t, path, empty_ok, a);

	return r < 0 ? r : at_start(t, dirfd, a);
}

void at_end(struct at_path *a)
{
	if (a->ctx.cred)
		task_walk_end(&a->ctx);
	a->ctx.cred = NULL;
}

int fd_path(struct task *t, int fd, struct path *out)
{
	struct file *f;
	int r = fdtable_get_path(t->files, fd, &f);

	if (r < 0)
		return r;
	*out = f->path;
	path_get(out);
	file_put(f);
	return 0;
}

int at_resolve(struct task *t, int dirfd, struct gptr path, unsigned flags, struct path *out)
{
	struct walk_ctx ctx;
	char buf[PATH_MAX];
	int r = 0;

	if (gptr_null(path) && flags & WALK_EMPTY_PATH)
		buf[0] = 0;
	else
		r = copy_path_from_guest(t, buf, path);
	if (r < 0)
		return r;
	fs_answer_path(buf);
	if (!buf[0]) {
		if (!(flags & WALK_EMPTY_PATH))
			return -ENOENT;
		if (dirfd != AT_FDCWD)
			return fd_path(t, dirfd, out);
	}
	r = task_walk_begin(t, buf[0] == '/' ? AT_FDCWD : dirfd, &ctx);
	if (r < 0)
		return r;
	r = vfs_walk(&ctx, buf, flags, out);
	task_walk_end(&ctx);
	return r;
}

uint32_t task_umask(struct task *t)
{
	AUTO_LOCK(&t->fs->mu);
	return t->fs->umask;
}
