/* mount(2), umount2(2), pivot_root(2). Propagation (MS_SHARED and friends) is accepted: with one
 * peer group per mount it changes nothing that can be seen. */
#include <errno.h>
#include <linux/capability.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "sentry/kernel/fs_context.h"
#include "sentry/mm/usercopy.h"
#include "sentry/syscalls/fs_path.h"
#include "sentry/syscalls/syscalls.h"
#include "vfs/dirent.h"
#include "vfs/fs.h"
#include "vfs/vfs.h"

enum { OPTION_MAX = 4096 };

#define MS_PROPAGATION (MS_SHARED | MS_PRIVATE | MS_SLAVE | MS_UNBINDABLE)
/* What a remount may change, and what is known of the rest. */
#define MS_KNOWN_ATTRS                                                                             \
	(MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_NOATIME | MS_RELATIME | MS_NODIRATIME)

static uint32_t mnt_flags_of(uint64_t ms)
{
	static const struct {
		uint64_t ms;
		uint32_t mnt;
	} map[] = {
		{MS_RDONLY, MNT_RDONLY},     {MS_NOSUID, MNT_NOSUID},
		{MS_NODEV, MNT_NODEV},	     {MS_NOEXEC, MNT_NOEXEC},
		{MS_NOATIME, MNT_NOATIME},   {MS_NODIRATIME, MNT_NODIRATIME},
	};
	uint32_t mnt = 0;

	for (size_t i = 0; i < sizeof(map) / sizeof(map[0]); i++)
		if (ms & map[i].ms)
			mnt |= map[i].mnt;
	if (!(ms & (MS_NOATIME | MS_STRICTATIME)))
		mnt |= MNT_RELATIME;
	return mnt;
}

static bool is_mount_root(const struct path *p)
{
	return p->dirent == p->mount->root;
}

static int do_remount(const struct path *at, uint64_t flags)
{
	if (!is_mount_root(at))
		return -EINVAL;
	return mount_remount(at->mount, mnt_flags_of(flags));
}

static int do_bind(struct task *t, const struct path *at, const char *source, uint64_t flags)
{
	AUTO(path) struct path what = {0};
	struct walk_ctx ctx;
	int r;

	if (!source || !*source)
		return -EINVAL;
	r = task_walk_begin(t, AT_FDCWD, &ctx);
	if (r < 0)
		return r;
	r = vfs_walk(&ctx, source, WALK_FOLLOW, &what);
	task_walk_end(&ctx);
	if (r < 0)
		return r;
	if (flags & MS_MOVE)
		return is_mount_root(&what) ? mount_move(t->mount_ns, at, what.mount) : -EINVAL;
	return mount_bind(t->mount_ns, at, &what, flags & MS_REC);
}

static int do_new(struct task *t, const struct path *at, const char *type_name, const char *source,
		  const char *data, uint64_t flags)
{
	const struct fs_type *type;
	struct fs *fs;
	int r;

	if (!type_name)
		return -EINVAL;
	type = fs_type_lookup(type_name);
	if (!type || !type->mount)
		return -ENODEV;
	r = type->mount(type, source && *source ? source : "none", data ? data : "", t->cred, &fs);
	if (r < 0)
		return r;
	r = mount_attach(t->mount_ns, at, fs, fs->root, mnt_flags_of(flags), source);
	fs_put(fs);
	return r;
}

/* A string argument that may be null; the caller frees. */
static int copy_option(struct task *t, struct gptr src, char **out)
{
	AUTO(free) char *s = NULL;
	ssize_t n;

	*out = NULL;
	if (gptr_null(src))
		return 0;
	s = malloc(OPTION_MAX);
	if (!s)
		return -ENOMEM;
	n = copy_string_from_guest(t, s, src, OPTION_MAX);
	if (n < 0)
		return n == -ENAMETOOLONG ? -EINVAL : (int)n;
	*out = steal(&s);
	return 0;
}

static int mount_at(struct task *t, const struct path *at, const char *source, const char *type,
		    const char *data, uint64_t flags)
{
	if ((flags & MS_MGC_MSK) == MS_MGC_VAL)
		flags &= ~(uint64_t)MS_MGC_MSK;
	if (!task_capable(t, CAP_SYS_ADMIN))
		return -EPERM;
	if (flags & MS_REMOUNT)
		return do_remount(at, flags);
	if (flags & (MS_BIND | MS_MOVE))
		return do_bind(t, at, source, flags);
	if (flags & MS_PROPAGATION)
		return is_mount_root(at) ? 0 : -EINVAL;
	return do_new(t, at, type, source, data, flags);
}

int64_t sys_mount(struct task *t, struct gptr source_ptr, struct gptr target, struct gptr type_ptr,
		  uint64_t flags, struct gptr data_ptr)
{
	AUTO(free) char *source = NULL;
	AUTO(free) char *type = NULL;
	AUTO(free) char *data = NULL;
	AUTO(path) struct path at = {0};
	int r = copy_option(t, type_ptr, &type);

	if (r == 0)
		r = copy_option(t, source_ptr, &source);
	if (r == 0)
		r = copy_option(t, data_ptr, &data);
	if (r == 0)
		r = at_resolve(t, AT_FDCWD, target, WALK_FOLLOW, &at);
	return r < 0 ? r : mount_at(t, &at, source, type, data, flags);
}

int64_t sys_umount2(struct task *t, struct gptr target, int flags)
{
	AUTO(path) struct path at = {0};
	int r;

	if (flags & ~(MNT_FORCE | MNT_DETACH | MNT_EXPIRE | UMOUNT_NOFOLLOW))
		return -EINVAL;
	if (flags & MNT_EXPIRE && flags & (MNT_FORCE | MNT_DETACH))
		return -EINVAL;
	r = at_resolve(t, AT_FDCWD, target, flags & UMOUNT_NOFOLLOW ? 0 : WALK_FOLLOW, &at);
	if (r < 0)
		return r;
	/* What is mounted on "." or "/" is meant, which a walk does not look at. */
	mount_follow_down(&at);
	if (!is_mount_root(&at))
		return -EINVAL;
	if (!task_capable(t, CAP_SYS_ADMIN))
		return -EPERM;
	if (flags & MNT_EXPIRE)
		return -EAGAIN; /* the first of two calls marks it; nobody makes the second here */
	return mount_detach(t->mount_ns, at.mount, flags & MNT_DETACH);
}

/* Linux moves every process whose root or cwd was the old root; here the caller is moved. */
static void move_context(struct task *t, const struct path *from, const struct path *to)
{
	struct path *slots[] = {&t->fs->root, &t->fs->cwd};
	struct path old[2] = {{0}, {0}};

	mutex_lock(&t->fs->mu);
	for (int i = 0; i < 2; i++) {
		if (!path_same(slots[i], from))
			continue;
		old[i] = *slots[i];
		*slots[i] = *to;
		path_get(to);
	}
	fs_context_moved(t->fs, true, true);
	mutex_unlock(&t->fs->mu);
	path_put(&old[0]);
	path_put(&old[1]);
}

int64_t sys_pivot_root(struct task *t, struct gptr new_root, struct gptr put_old)
{
	AUTO(path) struct path new = {0}, old = {0}, root = {0};
	int r;

	if (!task_capable(t, CAP_SYS_ADMIN))
		return -EPERM;
	r = at_resolve(t, AT_FDCWD, new_root, WALK_FOLLOW | WALK_DIRECTORY, &new);
	if (r == 0)
		r = at_resolve(t, AT_FDCWD, put_old, WALK_FOLLOW | WALK_DIRECTORY, &old);
	if (r < 0)
		return r;
	fs_context_root(t->fs, &root);
	r = mount_pivot(t->mount_ns, &root, &new, &old);
	if (r == 0)
		move_context(t, &root, &new);
	return r;
}
