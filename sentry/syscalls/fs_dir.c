/* getdents64(2), chdir(2), getcwd(2), chroot(2), umask(2). */
#include <errno.h>
#include <linux/capability.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "abi/linux/fcntl.h"
#include "sentry/kernel/fdtable.h"
#include "sentry/kernel/fs_context.h"
#include "sentry/mm/usercopy.h"
#include "sentry/syscalls/fs_path.h"
#include "sentry/syscalls/syscalls.h"
#include "vfs/dirent.h"
#include "vfs/vfs.h"

enum { DENTS_MAX = 1 << 20 };

/* Records are made in a buffer of the sentry's and copied out at the end. */
struct dents {
	struct dir_sink sink;
	char *buf;
	size_t size, used;
	bool old; /* getdents(2)'s layout */
	bool full;
};

static bool dents_emit(struct dir_sink *sink, const char *name, size_t len, uint64_t ino,
		       unsigned type, uint64_t next_off)
{
	struct dents *d = container_of(sink, struct dents, sink);
	size_t head = d->old ? LINUX_DIRENT_NAME_OFFSET : LINUX_DIRENT64_NAME_OFFSET;
	size_t reclen = (head + len + 1 + (d->old ? 1 : 0) + 7) & ~7UL;
	char *rec = d->buf + d->used;

	if (reclen > d->size - d->used) {
		d->full = true;
		return false;
	}
	memset(rec, 0, reclen);
	if (d->old) {
		struct linux_dirent *e = (struct linux_dirent *)rec;

		e->d_ino = ino;
		e->d_off = next_off;
		e->d_reclen = (uint16_t)reclen;
		rec[reclen - 1] = (char)type;
	} else {
		struct linux_dirent64 *e = (struct linux_dirent64 *)rec;

		e->d_ino = ino;
		e->d_off = (int64_t)next_off;
		e->d_reclen = (uint16_t)reclen;
		e->d_type = (uint8_t)type;
	}
	memcpy(rec + head, name, len);
	d->used += reclen;
	return true;
}

static int64_t do_getdents(struct task *t, int fd, struct gptr buf, unsigned int count, bool old)
{
	struct dents d = {.sink = {.emit = dents_emit}, .old = old};
	AUTO(file) struct file *f = NULL;
	AUTO(free) char *mem = NULL;
	uint64_t pos;
	int r = fdtable_get(t->files, fd, &f);

	if (r < 0)
		return r;
	d.size = count > DENTS_MAX ? DENTS_MAX : count;
	d.buf = mem = malloc(d.size + 1);
	if (!mem)
		return -ENOMEM;
	pos = f->pos;
	r = file_readdir(f, &d.sink);
	if (!d.used)
		return r < 0 ? r : d.full ? -EINVAL : 0;
	r = copy_to_guest(t, buf, d.buf, d.used);
	if (r < 0) {
		file_seek(f, (int64_t)pos, SEEK_SET);
		return r;
	}
	return (int64_t)d.used;
}

int64_t sys_getdents64(struct task *t, int fd, struct gptr buf, unsigned int count)
{
	return do_getdents(t, fd, buf, count, false);
}

int64_t sys_getdents(struct task *t, int fd, struct gptr buf, unsigned int count)
{
	return do_getdents(t, fd, buf, count, true);
}

static void context_set(struct task *t, struct path *slot, const struct path *p)
{
	struct path old;

	path_get(p);
	mutex_lock(&t->fs->mu);
	old = *slot;
	*slot = *p;
	fs_context_moved(t->fs, slot == &t->fs->root, slot == &t->fs->cwd);
	mutex_unlock(&t->fs->mu);
	path_put(&old);
}

static int dir_check(struct task *t, const struct path *p)
{
	if (inode_type(atomic_load(&p->dirent->inode)) != S_IFDIR)
		return -ENOTDIR;
	return vfs_permission(p, t->cred, MAY_EXEC);
}

int64_t sys_chdir(struct task *t, struct gptr path)
{
	AUTO(path) struct path p = {0};
	int r = at_resolve(t, AT_FDCWD, path, WALK_FOLLOW | WALK_DIRECTORY, &p);

	if (r == 0)
		r = dir_check(t, &p);
	if (r == 0)
		context_set(t, &t->fs->cwd, &p);
	return r;
}

int64_t sys_fchdir(struct task *t, int fd)
{
	AUTO(path) struct path p = {0};
	int r = fd_path(t, fd, &p);

	if (r == 0)
		r = dir_check(t, &p);
	if (r == 0)
		context_set(t, &t->fs->cwd, &p);
	return r;
}

int64_t sys_chroot(struct task *t, struct gptr path)
{
	AUTO(path) struct path p = {0};
	int r = at_resolve(t, AT_FDCWD, path, WALK_FOLLOW | WALK_DIRECTORY, &p);

	if (r == 0)
		r = dir_check(t, &p);
	if (r == 0 && !task_capable(t, CAP_SYS_CHROOT))
		r = -EPERM;
	if (r == 0)
		context_set(t, &t->fs->root, &p);
	return r;
}

int64_t sys_getcwd(struct task *t, struct gptr buf, uint64_t size)
{
	AUTO(path) struct path root = {0}, cwd = {0};
	AUTO(free) char *text = NULL;
	size_t len;
	int r;

	fs_context_root(t->fs, &root);
	fs_context_cwd(t->fs, &cwd);
	if (atomic_load(&cwd.dirent->flags) & DIRENT_UNHASHED)
		return -ENOENT;
	r = path_to_text(&cwd, &root, &text);
	if (r < 0)
		return r;
	len = strlen(text) + 1;
	if (len > PATH_MAX)
		return -ENAMETOOLONG;
	if (len > size)
		return -ERANGE;
	r = copy_to_guest(t, buf, text, len);
	return r < 0 ? r : (int64_t)len;
}

int64_t sys_umask(struct task *t, unsigned int mask)
{
	uint32_t old;

	AUTO_LOCK(&t->fs->mu);
	old = t->fs->umask;
	t->fs->umask = mask & 0777;
	return old;
}
