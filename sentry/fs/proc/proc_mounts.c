/* /proc/PID/mounts, mountinfo, mountstats (proc(5)). */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>

#include "abi/base/cleanup.h"
#include "abi/base/lock.h"
#include "sentry/fs/proc/proc_impl.h"
#include "sentry/kernel/fs_context.h"
#include "sentry/kernel/kernel.h"
#include "sentry/kernel/task.h"
#include "vfs/dirent.h"
#include "vfs/fs.h"
#include "vfs/mount.h"
#include "vfs/tree_lock.h"

#define MOUNTS_MAX 4096

/* Taken under the namespace's lock, written out after. */
struct mount_list {
	struct mount **v;
	size_t n;
};

static void collect(struct mount *m, void *arg)
{
	struct mount_list *l = arg;

	if (l->n < MOUNTS_MAX)
		l->v[l->n++] = mount_get(m);
}

static int list_mounts(struct task *t, struct mount_list *l, struct path *root)
{
	struct mount_ns *ns;
	struct fs_context *fs;

	*l = (struct mount_list){.v = calloc(MOUNTS_MAX, sizeof(l->v[0]))};
	if (!l->v)
		return -ENOMEM;
	mutex_lock(&kernel->tasks_lock);
	ns = t->mount_ns ? mount_ns_get(t->mount_ns) : NULL;
	fs = t->fs ? fs_context_get(t->fs) : NULL;
	mutex_unlock(&kernel->tasks_lock);
	if (fs) {
		fs_context_root(fs, root);
		fs_context_put(fs);
	}
	if (ns) {
		mount_ns_each(ns, collect, l);
		mount_ns_put(ns);
	}
	return 0;
}

static void free_mounts(struct mount_list *l)
{
	for (size_t i = 0; i < l->n; i++)
		mount_put(l->v[i]);
	free(l->v);
}

static const char *fs_name(const struct fs *fs)
{
	return fs->shown_type ? fs->shown_type : fs->type->name;
}

static void show_flags(struct text *t, uint32_t flags, bool readonly)
{
	text_puts(t, readonly ? "ro" : "rw");
	if (flags & MNT_NOSUID)
		text_puts(t, ",nosuid");
	if (flags & MNT_NODEV)
		text_puts(t, ",nodev");
	if (flags & MNT_NOEXEC)
		text_puts(t, ",noexec");
	if (flags & MNT_NOATIME)
		text_puts(t, ",noatime");
	if (flags & MNT_NODIRATIME)
		text_puts(t, ",nodiratime");
	if (flags & MNT_RELATIME)
		text_puts(t, ",relatime");
}

static void show_fs_options(struct text *t, struct fs *fs)
{
	char buf[1024];
	int n = fs->ops && fs->ops->show_options ? fs->ops->show_options(fs, buf, sizeof(buf)) : 0;

	if (n > 0)
		text_add(t, buf, (size_t)n < sizeof(buf) ? (size_t)n : sizeof(buf) - 1);
}

/* Where the mount is, as the task sees it; NULL when it can't see it. */
static char *mount_point(struct mount *m, const struct path *root)
{
	struct path p = {m, m->root};
	char *s;

	if (path_to_text(&p, root, &s))
		return NULL;
	if (s[0] != '/') {
		free(s);
		return NULL;
	}
	return s;
}

static const char *mount_source(const struct mount *m)
{
	if (m->source)
		return m->source;
	return m->fs->source ? m->fs->source : "none";
}

static int show_each(struct text *t, const struct synth_ctx *c,
		     void (*show)(struct text *t, struct mount *m, const char *where))
{
	struct path root = {0};
	struct mount_list l;
	int r = list_mounts(c->task, &l, &root);

	if (r)
		return r;
	for (size_t i = 0; i < l.n; i++) {
		AUTO(free) char *where = mount_point(l.v[i], &root);

		if (where)
			show(t, l.v[i], where);
	}
	free_mounts(&l);
	path_put(&root);
	return 0;
}

static void show_mount(struct text *t, struct mount *m, const char *where)
{
	text_escape(t, mount_source(m), " \t\n#");
	text_add(t, " ", 1);
	text_escape(t, where, " \t\n#");
	text_printf(t, " %s ", fs_name(m->fs));
	show_flags(t, m->flags, m->flags & MNT_RDONLY || m->fs->readonly);
	show_fs_options(t, m->fs);
	text_puts(t, " 0 0\n");
}

static void show_info(struct text *t, struct mount *m, const char *where)
{
	struct path top = {m, m->fs->root};
	AUTO(free) char *root = NULL;
	int parent;

	tree_rdlock();
	parent = m->parent->id;
	tree_rdunlock();

	/* What of the file system is mounted: "/" unless it is a bind mount of a part. */
	if (m->root == m->fs->root || path_to_text(&(struct path){m, m->root}, &top, &root))
		root = strdup("/");
	text_printf(t, "%d %d %u:%u ", m->id, parent, major(m->fs->dev),
		    minor(m->fs->dev));
	text_escape(t, root ? root : "/", " \t\n");
	text_add(t, " ", 1);
	text_escape(t, where, " \t\n");
	text_add(t, " ", 1);
	show_flags(t, m->flags, m->flags & MNT_RDONLY);
	text_printf(t, " - %s ", fs_name(m->fs));
	text_escape(t, mount_source(m), " \t\n");
	text_puts(t, m->fs->readonly ? " ro" : " rw");
	show_fs_options(t, m->fs);
	text_add(t, "\n", 1);
}

static void show_stats(struct text *t, struct mount *m, const char *where)
{
	text_puts(t, "device ");
	text_escape(t, mount_source(m), " \t\n");
	text_puts(t, " mounted on ");
	text_escape(t, where, " \t\n");
	text_printf(t, " with fstype %s\n", fs_name(m->fs));
}

int proc_show_mounts(struct text *t, const struct synth_ctx *c)
{
	return show_each(t, c, show_mount);
}

int proc_show_mountinfo(struct text *t, const struct synth_ctx *c)
{
	return show_each(t, c, show_info);
}

int proc_show_mountstats(struct text *t, const struct synth_ctx *c)
{
	return show_each(t, c, show_stats);
}
