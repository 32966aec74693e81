/* Which results of calls with paths are kept for the stubs (platform/stub/answers.h).
 *
 * One that comes from a single walk through file systems where all changes are counted (vfs/changes.h). Attributes are kept only of file systems where nobody writes, since writing is not counted. */
#include "sentry/syscalls/fs_answer.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <string.h>

#include "abi/linux/fcntl.h"
#include "abi/linux/stat.h"
#include "abi/linux/unistd.h"
#include "sentry/kernel/fdtable.h"
#include "sentry/kernel/fs_context.h"
#include "sentry/kernel/kernel.h"
#include "sentry/kernel/known.h"
#include "sentry/kernel/task.h"
#include "vfs/changes.h"
#include "vfs/cred.h"
#include "vfs/fs.h"
#include "vfs/inode.h"
#include "vfs/vfs.h"

enum { PATH_KEPT = 256, DATA_KEPT = sizeof(struct linux_statx) };

static _Thread_local struct {
	bool on;
	bool lasting;
	size_t path_len, data_len;
	uint64_t root, cwd;
	uint64_t before[VFS_CHANGES];
	char path[PATH_KEPT];
	uint8_t data[DATA_KEPT];
} call;

static bool answered[LINUX_NR_MAX + 1];

void fs_answers_init(void)
{
	unsigned n;
	_Atomic uint64_t *words =
		kernel->pf_ops->changes ? kernel->pf_ops->changes(kernel->platform, &n) : NULL;

	if (!words || n < VFS_CHANGES)
		return;
	vfs_changes_keep_at(words);
	for (uint64_t nr = 0; nr <= LINUX_NR_MAX; nr++)
		answered[nr] = kernel->pf_ops->may_answer(nr);
}

void fs_answer_begin(struct task *t, uint64_t nr)
{
	call.on = nr <= LINUX_NR_MAX && answered[nr] && t->identity.answers_allowed && t->identity.place;
	if (!call.on)
		return;
	call.path_len = call.data_len = 0;
	call.lasting = true;
	walk_seen.walks = 0;
	call.root = atomic_load(&t->fs->root_id);
	call.cwd = atomic_load(&t->fs->cwd_id);
	for (int i = 0; i < VFS_CHANGES; i++)
		call.before[i] = atomic_load_explicit(&vfs_changes[i], memory_order_acquire);
}

void fs_answer_path(const char *path)
{
	if (!call.on)
		return;
	call.path_len = strnlen(path, PATH_KEPT);
	memcpy(call.path, path, call.path_len);
}

void fs_answer_data(const void *data, size_t n, bool lasting)
{
	if (!call.on)
		return;
	call.lasting = lasting && n <= DATA_KEPT;
	call.data_len = call.lasting ? n : 0;
	memcpy(call.data, data, call.data_len);
}

/* Of an open, only that there is nothing: what else may come in its way is not all of the walk. */
static bool keeps(uint64_t nr, int64_t result)
{
	bool opens = nr == __NR_open || nr == __NR_openat;

	if (walk_seen.walks != 1 || !walk_seen.pure || !call.lasting)
		return false;
	if (walk_seen.result < 0)
		return result == walk_seen.result &&
		       (result == -ENOENT || result == -ENOTDIR || result == -EACCES);
	return !opens && (result >= 0 || result == -EINVAL || result == -EACCES || result == -EROFS);
}

/* Another thread may change the directories that it shares with us at any time. The walk has started in those
 * that we have the numbers of, if they are the same now: a number comes after what it is the number of. */
static bool stayed(const struct task *t)
{
	return call.root == atomic_load(&t->fs->root_id) && call.cwd == atomic_load(&t->fs->cwd_id);
}

static uint64_t changed_before(uint32_t of)
{
	uint64_t sum = 0;

	for (int i = 0; i < VFS_CHANGES; i++)
		if (of & 1u << i)
			sum += call.before[i];
	return sum;
}

/* A file that is looked up and opened: its attributes will be asked for next, as a rule. They are at hand where they are
 * kept. */
static void opened(struct task *t, int fd, uint64_t flags)
{
	AUTO(file) struct file *f = NULL;
	struct linux_stat st;
	struct vfs_attr a;
	bool fixed;

	if (flags & (O_CREAT | LINUX_O_TMPFILE_BIT | O_PATH) || walk_seen.walks != 1 || !walk_seen.pure ||
	    fdtable_is_shared(t->files) || fdtable_get(t->files, fd, &f) < 0)
		return;
	fixed = (f->inode->fs->attr_fixed || f->inode->fs->depth) &&
		vfs_getattr(&f->path, &a) == 0 && a.fixed;
	if (fixed)
		stat_of_attr(&a, &st);
	known_open_tell(t, fd, f, fixed ? &st : NULL, walk_seen.of, changed_before(walk_seen.of));
}

void fs_answer_end(struct task *t, uint64_t nr, const uint64_t args[6], int64_t result)
{
	struct pf_answer a = {
		.nr = nr,
		.args = args,
		.cred = t->identity.cred,
		.root = call.root,
		.cwd = call.cwd,
		.path = call.path,
		.path_len = call.path_len,
		.result = result,
		.data = call.data,
		.data_len = result < 0 ? 0 : call.data_len,
		.of = walk_seen.of,
	};

	if (!call.on)
		return;
	call.on = false;
	if (result >= 0 && (nr == __NR_open || nr == __NR_openat))
		opened(t, (int)result, args[nr == __NR_open ? 1 : 2]);
	if (!call.path_len || call.path_len == PATH_KEPT || !keeps(nr, result) || !stayed(t))
		return;
	a.changed = changed_before(a.of);
	kernel->pf_ops->answer(kernel->platform, &a);
}
