/* setxattr(2), getxattr(2), listxattr(2), removexattr(2) and their l* and f* forms. */
#include <errno.h>
#include <linux/limits.h>
#include <stdlib.h>

#include "sentry/kernel/fdtable.h"
#include "sentry/mm/usercopy.h"
#include "sentry/syscalls/fs_path.h"
#include "sentry/syscalls/syscalls.h"
#include "vfs/vfs.h"

/* What an attribute call works on: a path, followed or not, or a descriptor. */
enum on { ON_PATH, ON_LINK, ON_FD };

static int place(struct task *t, enum on on, int fd, struct gptr path, struct path *out)
{
	struct file *f;
	int r;

	if (on != ON_FD)
		return at_resolve(t, AT_FDCWD, path, on == ON_PATH ? WALK_FOLLOW : 0, out);
	r = fdtable_get(t->files, fd, &f);
	if (r < 0)
		return r;
	*out = f->path;
	path_get(out);
	file_put(f);
	return 0;
}

static int copy_name(struct task *t, char name[XATTR_NAME_MAX + 1], struct gptr src)
{
	ssize_t n = copy_string_from_guest(t, name, src, XATTR_NAME_MAX + 1);

	if (n == -ENAMETOOLONG || n == 0)
		return -ERANGE;
	return n < 0 ? (int)n : 0;
}

static int64_t do_set(struct task *t, enum on on, int fd, struct gptr path, struct gptr name_ptr,
		      struct gptr value, uint64_t size, int flags)
{
	AUTO(path) struct path p = {0};
	AUTO(free) char *buf = NULL;
	char name[XATTR_NAME_MAX + 1];
	int r = copy_name(t, name, name_ptr);

	if (r < 0)
		return r;
	if (size > XATTR_SIZE_MAX)
		return -E2BIG;
	buf = malloc(size + 1);
	if (!buf)
		return -ENOMEM;
	r = copy_from_guest(t, buf, value, size);
	if (r == 0)
		r = place(t, on, fd, path, &p);
	return r < 0 ? r : vfs_setxattr(&p, t->cred, name, buf, size, flags);
}

int64_t sys_setxattr(struct task *t, struct gptr path, struct gptr name, struct gptr value,
		     uint64_t size, int flags)
{
	return do_set(t, ON_PATH, -1, path, name, value, size, flags);
}

int64_t sys_lsetxattr(struct task *t, struct gptr path, struct gptr name, struct gptr value,
		      uint64_t size, int flags)
{
	return do_set(t, ON_LINK, -1, path, name, value, size, flags);
}

int64_t sys_fsetxattr(struct task *t, int fd, struct gptr name, struct gptr value, uint64_t size,
		      int flags)
{
	return do_set(t, ON_FD, fd, GNULL, name, value, size, flags);
}

/* name NULL: list. A result longer than the buffer is -ERANGE, or -E2BIG when nothing could hold it. */
static int64_t do_get(struct task *t, enum on on, int fd, struct gptr path, const char *name,
		      struct gptr dst, uint64_t size)
{
	const uint64_t max = name ? XATTR_SIZE_MAX : XATTR_LIST_MAX;
	AUTO(path) struct path p = {0};
	AUTO(free) char *buf = NULL;
	ssize_t n;
	int r = place(t, on, fd, path, &p);

	if (r < 0)
		return r;
	if (size > max)
		size = max;
	buf = malloc(size + 1);
	if (!buf)
		return -ENOMEM;
	n = name ? vfs_getxattr(&p, t->cred, name, buf, size)
		 : vfs_listxattr(&p, t->cred, buf, size);
	if (n > 0 && size) {
		if ((size_t)n > size)
			return -ERANGE;
		r = copy_to_guest(t, dst, buf, (size_t)n);
	} else if (n == -ERANGE && size == max) {
		r = -E2BIG;
	}
	return r < 0 ? r : n;
}

static int64_t get_named(struct task *t, enum on on, int fd, struct gptr path, struct gptr name_ptr,
			 struct gptr value, uint64_t size)
{
	char name[XATTR_NAME_MAX + 1];
	int r = copy_name(t, name, name_ptr);

	return r < 0 ? r : do_get(t, on, fd, path, name, value, size);
}

int64_t sys_getxattr(struct task *t, struct gptr path, struct gptr name, struct gptr value,
		     uint64_t size)
{
	return get_named(t, ON_PATH, -1, path, name, value, size);
}

int64_t sys_lgetxattr(struct task *t, struct gptr path, struct gptr name, struct gptr value,
		      uint64_t size)
{
	return get_named(t, ON_LINK, -1, path, name, value, size);
}

int64_t sys_fgetxattr(struct task *t, int fd, struct gptr name, struct gptr value, uint64_t size)
{
	return get_named(t, ON_FD, fd, GNULL, name, value, size);
}

int64_t sys_listxattr(struct task *t, struct gptr path, struct gptr list, uint64_t size)
{
	return do_get(t, ON_PATH, -1, path, NULL, list, size);
}

int64_t sys_llistxattr(struct task *t, struct gptr path, struct gptr list, uint64_t size)
{
	return do_get(t, ON_LINK, -1, path, NULL, list, size);
}

int64_t sys_flistxattr(struct task *t, int fd, struct gptr list, uint64_t size)
{
	return do_get(t, ON_FD, fd, GNULL, NULL, list, size);
}

static int64_t do_remove(struct task *t, enum on on, int fd, struct gptr path, struct gptr name_ptr)
{
	AUTO(path) struct path p = {0};
	char name[XATTR_NAME_MAX + 1];
	int r = copy_name(t, name, name_ptr);

	if (r == 0)
		r = place(t, on, fd, path, &p);
	return r < 0 ? r : vfs_removexattr(&p, t->cred, name);
}

int64_t sys_removexattr(struct task *t, struct gptr path, struct gptr name)
{
	return do_remove(t, ON_PATH, -1, path, name);
}

int64_t sys_lremovexattr(struct task *t, struct gptr path, struct gptr name)
{
	return do_remove(t, ON_LINK, -1, path, name);
}

int64_t sys_fremovexattr(struct task *t, int fd, struct gptr name)
{
	return do_remove(t, ON_FD, fd, GNULL, name);
}
