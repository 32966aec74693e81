/* /proc/PID/fd and fdinfo: one entry a descriptor. fd's are magic links to what is open. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "abi/base/lock.h"
#include "sentry/fs/proc/proc_impl.h"
#include "sentry/kernel/fdtable.h"
#include "sentry/kernel/fs_context.h"
#include "sentry/kernel/kernel.h"
#include "sentry/kernel/known.h"
#include "sentry/kernel/task.h"
#include "vfs/dirent.h"
#include "vfs/file.h"
#include "vfs/inode.h"
#include "vfs/mount.h"

static struct fdtable *task_files(struct task *t)
{
	AUTO_LOCK(&kernel->tasks_lock);
	return t->files ? fdtable_ref(t->files) : NULL;
}

/* The open file that the context's number stands for. */
static int ctx_file(const struct synth_ctx *c, struct file **out)
{
	struct fdtable *files = task_files(c->task);
	int r;

	if (!files)
		return -ENOENT;
	r = fdtable_get_path(files, (int)c->number, out);
	fdtable_put(files);
	return r ? -ENOENT : 0;
}

static int fd_follow(const struct synth_ctx *c, struct path *out)
{
	struct file *f;
	int r = ctx_file(c, &f);

	if (r)
		return r;
	path_get(&f->path);
	*out = f->path;
	file_put(f);
	return 0;
}

static int fd_readlink(const struct synth_ctx *c, char **target)
{
	AUTO(path) struct path p = {0};
	AUTO(path) struct path root = {0};
	int r = fd_follow(c, &p);

	if (r)
		return r;
	if (!current_task)
		return -ENOENT;
	fs_context_root(current_task->fs, &root);
	return path_to_text(&p, &root, target);
}

/* The link's mode bits tell how the file is open. */
static void fd_attr(const struct synth_ctx *c, struct vfs_attr *out)
{
	struct file *f;

	out->size = 64;
	if (ctx_file(c, &f))
		return;
	out->mode = 0120000 | 0100 | (f->mode & FILE_READ ? 0400 : 0) |
		    (f->mode & FILE_WRITE ? 0200 : 0);
	file_put(f);
}

static const struct synth_entry fd_entry = {
	.mode = 0120700,
	.readlink = fd_readlink,
	.follow = fd_follow,
	.attr = fd_attr,
	.may = proc_may_read,
};

static int fdinfo_show(struct text *t, const struct synth_ctx *c)
{
	char extra[4096];
	struct file *f;
	uint64_t pos;
	int n, r = ctx_file(c, &f);

	if (r)
		return r;
	if (!known_open_pos(c->task, (int)c->number, false, &pos))
		pos = file_pos(f);
	text_printf(t, "pos:\t%lu\nflags:\t0%o\nmnt_id:\t%d\nino:\t%lu\n", pos,
		    (unsigned)f->flags, f->path.mount ? f->path.mount->id : 0, f->inode->ino);
	n = f->ops && f->ops->show_fdinfo ? f->ops->show_fdinfo(f, extra, sizeof(extra)) : 0;
	if (n > 0)
		text_add(t, extra, (size_t)n < sizeof(extra) ? (size_t)n : sizeof(extra) - 1);
	file_put(f);
	return 0;
}

static const struct synth_entry fdinfo_entry = {
	.mode = 0100400,
	.show = fdinfo_show,
	.may = proc_may_read,
};

static int lookup_number(struct synth_ctx *c, const char *name, size_t len)
{
	int64_t fd = proc_parse_number(name, len);
	struct file *f;
	int r;

	if (fd < 0)
		return -ENOENT;
	c->number = (uint64_t)fd;
	r = ctx_file(c, &f);
	if (!r)
		file_put(f);
	return r;
}

static int fd_lookup(struct synth_ctx *c, const char *name, size_t len,
		     const struct synth_entry **entry)
{
	*entry = &fd_entry;
	return lookup_number(c, name, len);
}

static int fdinfo_lookup(struct synth_ctx *c, const char *name, size_t len,
			 const struct synth_entry **entry)
{
	*entry = &fdinfo_entry;
	return lookup_number(c, name, len);
}

static int fd_next(const struct synth_ctx *c, uint64_t *key, char name[32])
{
	struct fdtable *files = *key > INT32_MAX ? NULL : task_files(c->task);
	int fd;

	if (!files)
		return 0;
	fd = fdtable_next(files, (int)*key);
	fdtable_put(files);
	if (fd < 0)
		return 0;
	*key = (uint64_t)fd;
	snprintf(name, 32, "%d", fd);
	return 1;
}

const struct synth_dir proc_fd_dir = {
	.lookup = fd_lookup,
	.next = fd_next,
	.child_type = SYNTH_DT_LNK,
};

const struct synth_dir proc_fdinfo_dir = {
	.lookup = fdinfo_lookup,
	.next = fd_next,
	.child_type = SYNTH_DT_REG,
};
