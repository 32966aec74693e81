/* The root of proc. */
#include "sentry/fs/proc/proc.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sentry/fs/proc/proc_impl.h"
#include "sentry/kernel/task.h"

#define PROC_SUPER_MAGIC 0x9fa0

static int readlink_self(const struct synth_ctx *c, char **target)
{
	if (!current_task)
		return -ENOENT;
	return asprintf(target, "%d", current_task->tg->tgid) < 0 ? -ENOMEM : 0;
}

static int readlink_thread_self(const struct synth_ctx *c, char **target)
{
	if (!current_task)
		return -ENOENT;
	return asprintf(target, "%d/task/%d", current_task->tg->tgid, current_task->tid) < 0
		       ? -ENOMEM
		       : 0;
}

static int readlink_mounts(const struct synth_ctx *c, char **target)
{
	*target = strdup("self/mounts");
	return *target ? 0 : -ENOMEM;
}

static int readlink_net(const struct synth_ctx *c, char **target)
{
	*target = strdup("self/net");
	return *target ? 0 : -ENOMEM;
}

static int show_cmdline(struct text *t, const struct synth_ctx *c)
{
	text_puts(t, "sentry\n");
	return 0;
}

static int show_nothing(struct text *t, const struct synth_ctx *c)
{
	return 0;
}

static int show_devices(struct text *t, const struct synth_ctx *c)
{
	text_puts(t, "Character devices:\n  1 mem\n  5 /dev/tty\n  5 /dev/console\n"
		     "  5 /dev/ptmx\n136 pts\n\nBlock devices:\n");
	return 0;
}

static int show_swaps(struct text *t, const struct synth_ctx *c)
{
	text_puts(t, "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n");
	return 0;
}

static int show_partitions(struct text *t, const struct synth_ctx *c)
{
	text_puts(t, "major minor  #blocks  name\n\n");
	return 0;
}

static int show_cgroups(struct text *t, const struct synth_ctx *c)
{
	text_puts(t, "#subsys_name\thierarchy\tnum_cgroups\tenabled\n");
	return 0;
}

static const struct synth_entry root_children[] = {
	SYNTH_LINK("self", .readlink = readlink_self),
	SYNTH_LINK("thread-self", .readlink = readlink_thread_self),
	SYNTH_LINK("mounts", .readlink = readlink_mounts),
	SYNTH_LINK("net", .readlink = readlink_net),
	SYNTH_DIR("sys", 0555, .children = proc_sys_children),
	SYNTH_FILE("cgroups", 0444, .show = show_cgroups),
	SYNTH_FILE("cmdline", 0444, .show = show_cmdline),
	SYNTH_FILE("cpuinfo", 0444, .show = proc_show_cpuinfo),
	SYNTH_FILE("devices", 0444, .show = show_devices),
	SYNTH_FILE("diskstats", 0444, .show = show_nothing),
	SYNTH_FILE("filesystems", 0444, .show = proc_show_filesystems),
	SYNTH_FILE("loadavg", 0444, .show = proc_show_loadavg),
	SYNTH_FILE("locks", 0444, .show = show_nothing),
	SYNTH_FILE("meminfo", 0444, .show = proc_show_meminfo),
	SYNTH_FILE("modules", 0444, .show = show_nothing),
	SYNTH_FILE("partitions", 0444, .show = show_partitions),
	SYNTH_FILE("stat", 0444, .show = proc_show_system_stat),
	SYNTH_FILE("swaps", 0444, .show = show_swaps),
	SYNTH_FILE("uptime", 0444, .show = proc_show_uptime),
	SYNTH_FILE("version", 0444, .show = proc_show_version),
	SYNTH_FILE("vmstat", 0444, .show = proc_show_vmstat),
	{0},
};

static const struct synth_entry root =
	SYNTH_DIR("", 0555, .children = root_children, .dir = &proc_pid_dir);

static int proc_mount(const struct fs_type *type, const char *source, const char *data,
		      const struct cred *cred, struct fs **out)
{
	return synth_new(type, &root, PROC_SUPER_MAGIC, out);
}

static const struct fs_type proc_type = {.name = "proc", .nodev = true, .mount = proc_mount};

void proc_register(void)
{
	fs_type_register(&proc_type);
}

int64_t proc_parse_number(const char *name, size_t len)
{
	int64_t v = 0;

	if (!len || len > 9 || (name[0] == '0' && len > 1))
		return -1;
	for (size_t i = 0; i < len; i++) {
		if (name[i] < '0' || name[i] > '9')
			return -1;
		v = v * 10 + (name[i] - '0');
	}
	return v;
}
