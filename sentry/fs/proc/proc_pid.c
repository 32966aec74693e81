/* /proc/PID and /proc/PID/task/TID. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "abi/base/lock.h"
#include "sentry/fs/proc/proc.h"
#include "sentry/fs/proc/proc_impl.h"
#include "sentry/kernel/fs_context.h"
#include "sentry/kernel/kernel.h"
#include "sentry/kernel/pid.h"
#include "sentry/kernel/task.h"
#include "sentry/mm/mm.h"
#include "vfs/cred.h"
#include "vfs/file.h"

int proc_may_read(const struct synth_ctx *c)
{
	if (!current_task)
		return -EACCES;
	AUTO_LOCK(&kernel->tasks_lock);
	return task_may_access(current_task, c->task) ? -EACCES : 0;
}

/* ---- which processes there are ------------------------------------------------------------------ */

static void ctx_set_task(struct synth_ctx *c, struct task *t)
{
	task_put(c->task);
	c->task = t;
}

static const struct synth_entry pid_entry =
	SYNTH_DIR("", 0555, .children = proc_pid_children);

static int pid_lookup(struct synth_ctx *c, const char *name, size_t len,
		      const struct synth_entry **entry)
{
	int64_t pid = proc_parse_number(name, len);
	struct task *t = pid > 0 ? task_lookup((int)pid) : NULL;

	if (!t)
		return -ENOENT;
	ctx_set_task(c, t);
	*entry = &pid_entry;
	return 0;
}

static int pid_next(const struct synth_ctx *c, uint64_t *key, char name[32])
{
	AUTO_LOCK(&kernel->tasks_lock);

	for (uint64_t pid = *key; pid <= PID_MAX_DEFAULT; pid++) {
		struct pid_slot *slot = pid_slot_locked((int)pid);

		if (slot && slot->task && slot->task->tg->leader == slot->task) {
			*key = pid;
			snprintf(name, 32, "%d", (int)pid);
			return 1;
		}
	}
	return 0;
}

const struct synth_dir proc_pid_dir = {
	.lookup = pid_lookup,
	.next = pid_next,
	.child_type = SYNTH_DT_DIR,
};

static const struct synth_entry tid_entry;

static int tid_lookup(struct synth_ctx *c, const char *name, size_t len,
		      const struct synth_entry **entry)
{
	int64_t tid = proc_parse_number(name, len);
	struct task *t = tid > 0 ? task_lookup((int)tid) : NULL;

	if (t && t->tg != c->task->tg) {
		task_put(t);
		t = NULL;
	}
	if (!t)
		return -ENOENT;
	ctx_set_task(c, t);
	c->thread = true;
	*entry = &tid_entry;
	return 0;
}

static int tid_next(const struct synth_ctx *c, uint64_t *key, char name[32])
{
	struct task *best = NULL;
	AUTO_LOCK(&kernel->tasks_lock);

	list_for_each(t, &c->task->tg->tasks, struct task, tg_node)
		if ((uint64_t)t->tid >= *key && (!best || t->tid < best->tid))
			best = t;
	if (!best)
		return 0;
	*key = (uint64_t)best->tid;
	snprintf(name, 32, "%d", best->tid);
	return 1;
}

/* Programs ask whether they have one thread. */
static unsigned tid_count(const struct synth_ctx *c)
{
	AUTO_LOCK(&kernel->tasks_lock);

	return (unsigned)c->task->tg->ntasks;
}

static const struct synth_dir task_dir = {
	.lookup = tid_lookup,
	.next = tid_next,
	.child_type = SYNTH_DT_DIR,
	.ndirs = tid_count,
};

/* ---- links ---------------------------------------------------------------------------------------- */

static struct fs_context *task_fs(struct task *t)
{
	AUTO_LOCK(&kernel->tasks_lock);
	return t->fs ? fs_context_get(t->fs) : NULL;
}

static int follow_cwd(const struct synth_ctx *c, struct path *out)
{
	struct fs_context *fs = task_fs(c->task);

	if (!fs)
		return -ENOENT;
	fs_context_cwd(fs, out);
	fs_context_put(fs);
	return 0;
}

static int follow_root(const struct synth_ctx *c, struct path *out)
{
	struct fs_context *fs = task_fs(c->task);

	if (!fs)
		return -ENOENT;
	fs_context_root(fs, out);
	fs_context_put(fs);
	return 0;
}

static int follow_exe(const struct synth_ctx *c, struct path *out)
{
	struct mm *mm = proc_task_mm(c->task);

	if (!mm)
		return -ENOENT;
	if (mm->exe) {
		path_get(&mm->exe->path);
		*out = mm->exe->path;
	}
	mm_put(mm);
	return out->dirent ? 0 : -ENOENT;
}

/* The text of a magic link, as the current task's root shows it. */
static int link_text(const struct synth_ctx *c,
		     int (*follow)(const struct synth_ctx *, struct path *), char **target)
{
	AUTO(path) struct path p = {0};
	AUTO(path) struct path root = {0};
	int r = follow(c, &p);

	if (r)
		return r;
	if (!current_task)
		return -ENOENT;
	fs_context_root(current_task->fs, &root);
	return path_to_text(&p, &root, target);
}

static int readlink_cwd(const struct synth_ctx *c, char **target)
{
	return link_text(c, follow_cwd, target);
}

static int readlink_root(const struct synth_ctx *c, char **target)
{
	return link_text(c, follow_root, target);
}

static int readlink_exe(const struct synth_ctx *c, char **target)
{
	return link_text(c, follow_exe, target);
}

/* Namespaces: one of each kind, with the numbers that Linux gives its first ones. */
#define NS_LINK(name, number)                                                                      \
	static int readlink_ns_##name(const struct synth_ctx *c, char **target)                    \
	{                                                                                          \
		*target = strdup(#name ":[" #number "]");                                          \
		return *target ? 0 : -ENOMEM;                                                      \
	}
NS_LINK(cgroup, 4026531835)
NS_LINK(ipc, 4026531839)
NS_LINK(mnt, 4026531841)
NS_LINK(net, 4026531840)
NS_LINK(pid, 4026531836)
NS_LINK(time, 4026531834)
NS_LINK(user, 4026531837)
NS_LINK(uts, 4026531838)

static const struct synth_entry ns_children[] = {
	SYNTH_LINK("cgroup", .readlink = readlink_ns_cgroup),
	SYNTH_LINK("ipc", .readlink = readlink_ns_ipc),
	SYNTH_LINK("mnt", .readlink = readlink_ns_mnt),
	SYNTH_LINK("net", .readlink = readlink_ns_net),
	SYNTH_LINK("pid", .readlink = readlink_ns_pid),
	SYNTH_LINK("time", .readlink = readlink_ns_time),
	SYNTH_LINK("user", .readlink = readlink_ns_user),
	SYNTH_LINK("uts", .readlink = readlink_ns_uts),
	{0},
};

/* ---- small files ------------------------------------------------------------------------------------ */

static int show_comm(struct text *t, const struct synth_ctx *c)
{
	AUTO_LOCK(&kernel->tasks_lock);
	text_printf(t, "%s\n", c->task->comm);
	return 0;
}

static int store_comm(const struct synth_ctx *c, const char *buf, size_t n)
{
	if (!current_task || current_task->tg != c->task->tg)
		return -EINVAL;
	if (n && buf[n - 1] == '\n')
		n--;
	AUTO_LOCK(&kernel->tasks_lock);
	snprintf(c->task->comm, sizeof(c->task->comm), "%.*s", (int)n, buf);
	return 0;
}

static int show_cgroup(struct text *t, const struct synth_ctx *c)
{
	text_puts(t, "0::/\n");
	return 0;
}

static int show_id_map(struct text *t, const struct synth_ctx *c)
{
	text_puts(t, "         0          0 4294967295\n");
	return 0;
}

static int show_allow(struct text *t, const struct synth_ctx *c)
{
	text_puts(t, "allow\n");
	return 0;
}

static int show_zero(struct text *t, const struct synth_ctx *c)
{
	text_puts(t, "0\n");
	return 0;
}

static int show_zero_bare(struct text *t, const struct synth_ctx *c)
{
	text_puts(t, "0");
	return 0;
}

static int show_unset_id(struct text *t, const struct synth_ctx *c)
{
	text_puts(t, "4294967295");
	return 0;
}

static int show_empty(struct text *t, const struct synth_ctx *c)
{
	return 0;
}

static int show_personality(struct text *t, const struct synth_ctx *c)
{
	text_printf(t, "%08x\n", c->task->personality);
	return 0;
}

static int show_schedstat(struct text *t, const struct synth_ctx *c)
{
	uint64_t user, sys;

	task_cpu_time(c->task, &user, &sys);
	text_printf(t, "%lu 0 1\n", user + sys);
	return 0;
}

static int show_io(struct text *t, const struct synth_ctx *c)
{
	text_puts(t, "rchar: 0\nwchar: 0\nsyscr: 0\nsyscw: 0\nread_bytes: 0\n"
		     "write_bytes: 0\ncancelled_write_bytes: 0\n");
	return 0;
}

static int show_oom_score_adj(struct text *t, const struct synth_ctx *c)
{
	text_printf(t, "%d\n", c->task->tg->oom_score_adj);
	return 0;
}

static int store_oom_score_adj(const struct synth_ctx *c, const char *buf, size_t n)
{
	char *end;
	long v = strtol(buf, &end, 10);

	if (end == buf || v < -1000 || v > 1000)
		return -EINVAL;
	if (v < c->task->tg->oom_score_adj && !cred_capable(current_task->cred, 24))
		return -EACCES;
	c->task->tg->oom_score_adj = (int)v;
	return 0;
}

static int show_timerslack(struct text *t, const struct synth_ctx *c)
{
	text_printf(t, "%lu\n", c->task->timer_slack_ns);
	return 0;
}

static int show_children(struct text *t, const struct synth_ctx *c)
{
	AUTO_LOCK(&kernel->tasks_lock);
	list_for_each(g, &c->task->tg->children, struct thread_group, sibling)
		if (g->parent == c->task)
			text_printf(t, "%d ", g->tgid);
	return 0;
}

static int show_coredump_filter(struct text *t, const struct synth_ctx *c)
{
	text_puts(t, "00000033\n");
	return 0;
}

/* Of a process and of a thread alike. */
#define PID_COMMON                                                                                 \
	SYNTH_FILE("auxv", 0400, .show = proc_show_auxv, .may = proc_may_read),                    \
		SYNTH_FILE("cgroup", 0444, .show = show_cgroup),                                   \
		SYNTH_FILE("children", 0444, .show = show_children),                               \
		SYNTH_FILE("cmdline", 0444, .show = proc_show_cmdline),                            \
		SYNTH_FILE("comm", 0644, .show = show_comm, .store = store_comm),                  \
		SYNTH_LINK("cwd", .readlink = readlink_cwd, .follow = follow_cwd,                  \
			   .may = proc_may_read),                                                  \
		SYNTH_FILE("environ", 0400, .show = proc_show_environ, .may = proc_may_read),      \
		SYNTH_LINK("exe", .readlink = readlink_exe, .follow = follow_exe,                  \
			   .may = proc_may_read),                                                  \
		SYNTH_DIR("fd", 0500, .dir = &proc_fd_dir, .may = proc_may_read),                  \
		SYNTH_DIR("fdinfo", 0555, .dir = &proc_fdinfo_dir, .may = proc_may_read),          \
		SYNTH_FILE("gid_map", 0444, .show = show_id_map),                                  \
		SYNTH_FILE("io", 0400, .show = show_io, .may = proc_may_read),                     \
		SYNTH_FILE("limits", 0444, .show = proc_show_limits),                              \
		SYNTH_FILE("loginuid", 0444, .show = show_unset_id),                               \
		SYNTH_FILE("maps", 0444, .show = proc_show_maps, .may = proc_may_read),            \
		SYNTH_FILE("mem", 0600, .open = proc_open_mem, .may = proc_may_read),              \
		SYNTH_FILE("mountinfo", 0444, .show = proc_show_mountinfo),                        \
		SYNTH_FILE("mounts", 0444, .show = proc_show_mounts),                              \
		SYNTH_DIR("net", 0555, .children = proc_net_children),                             \
		SYNTH_DIR("ns", 0511, .children = ns_children),                                    \
		SYNTH_FILE("oom_score", 0444, .show = show_zero),                                  \
		SYNTH_FILE("oom_score_adj", 0644, .show = show_oom_score_adj,                      \
			   .store = store_oom_score_adj),                                          \
		SYNTH_FILE("personality", 0400, .show = show_personality, .may = proc_may_read),   \
		SYNTH_LINK("root", .readlink = readlink_root, .follow = follow_root,               \
			   .may = proc_may_read),                                                  \
		SYNTH_FILE("schedstat", 0444, .show = show_schedstat),                             \
		SYNTH_FILE("sessionid", 0444, .show = show_unset_id),                              \
		SYNTH_FILE("smaps", 0444, .show = proc_show_smaps, .may = proc_may_read),          \
		SYNTH_FILE("stack", 0400, .show = show_empty, .may = proc_may_read),               \
		SYNTH_FILE("stat", 0444, .show = proc_show_stat),                                  \
		SYNTH_FILE("statm", 0444, .show = proc_show_statm),                                \
		SYNTH_FILE("status", 0444, .show = proc_show_status),                              \
		SYNTH_FILE("uid_map", 0444, .show = show_id_map),                                  \
		SYNTH_FILE("wchan", 0444, .show = show_zero_bare)

const struct synth_entry proc_pid_children[] = {
	PID_COMMON,
	SYNTH_FILE("coredump_filter", 0644, .show = show_coredump_filter),
	SYNTH_FILE("mountstats", 0400, .show = proc_show_mountstats),
	SYNTH_FILE("setgroups", 0444, .show = show_allow),
	SYNTH_DIR("task", 0555, .dir = &task_dir),
	SYNTH_FILE("timerslack_ns", 0666, .show = show_timerslack),
	{0},
};

static const struct synth_entry tid_children[] = {PID_COMMON, {0}};

static const struct synth_entry tid_entry = SYNTH_DIR("", 0555, .children = tid_children);

struct task *proc_pid_dir_task(struct file *f)
{
	const struct synth_ctx *c = synth_dir_ctx(f, proc_pid_children);

	return c && !c->thread ? c->task : NULL;
}
