#include "sentry/fs/sysfs.h"

#include <errno.h>
#include <stdio.h>

#include "sentry/fs/proc/proc_impl.h"
#include "sentry/fs/synth.h"
#include "sentry/kernel/kernel.h"
#include "sentry/kernel/task.h"

#define SYSFS_MAGIC 0x62656572

static int show_cpu_list(struct text *t, const struct synth_ctx *c)
{
	unsigned n = kernel->config.ncpus;

	if (n > 1)
		text_printf(t, "0-%u\n", n - 1);
	else
		text_puts(t, "0\n");
	return 0;
}

static int show_nothing(struct text *t, const struct synth_ctx *c)
{
	text_puts(t, "\n");
	return 0;
}

static int show_zero(struct text *t, const struct synth_ctx *c)
{
	text_puts(t, "0\n");
	return 0;
}

static int show_one(struct text *t, const struct synth_ctx *c)
{
	text_puts(t, "1\n");
	return 0;
}

static int show_number(struct text *t, const struct synth_ctx *c)
{
	text_printf(t, "%lu\n", c->number);
	return 0;
}

static int show_madvise(struct text *t, const struct synth_ctx *c)
{
	text_puts(t, "always [madvise] never\n");
	return 0;
}

static int show_pmd_size(struct text *t, const struct synth_ctx *c)
{
	text_puts(t, "2097152\n");
	return 0;
}

static int show_mtu(struct text *t, const struct synth_ctx *c)
{
	text_puts(t, "65536\n");
	return 0;
}

static int show_lo_type(struct text *t, const struct synth_ctx *c)
{
	text_puts(t, "772\n");
	return 0;
}

static int show_lo_address(struct text *t, const struct synth_ctx *c)
{
	text_puts(t, "00:00:00:00:00:00\n");
	return 0;
}

static int show_operstate(struct text *t, const struct synth_ctx *c)
{
	text_puts(t, "unknown\n");
	return 0;
}

/* ---- masks of CPUs: hexadecimal words of 32 bits, the highest first -------------------------------- */

static void put_mask(struct text *t, uint64_t first, uint64_t end)
{
	uint64_t n = kernel->config.ncpus;

	for (uint64_t word = (n + 31) / 32; word-- > 0;) {
		uint64_t bits = n - word * 32 < 32 ? n - word * 32 : 32;
		uint32_t mask = 0;

		for (uint64_t i = 0; i < bits; i++)
			if (word * 32 + i >= first && word * 32 + i < end)
				mask |= 1U << i;
		text_printf(t, "%0*x%s", (int)(bits + 3) / 4, mask, word ? "," : "\n");
	}
}

static int show_cpu_map(struct text *t, const struct synth_ctx *c)
{
	put_mask(t, 0, kernel->config.ncpus);
	return 0;
}

static int show_own_map(struct text *t, const struct synth_ctx *c)
{
	put_mask(t, c->number, c->number + 1);
	return 0;
}

/* ---- /sys/devices/system/cpu/cpuN ------------------------------------------------------------------ */

static const struct synth_entry topology_children[] = {
	SYNTH_FILE("core_cpus", 0444, .show = show_own_map),
	SYNTH_FILE("core_cpus_list", 0444, .show = show_number),
	SYNTH_FILE("core_id", 0444, .show = show_number),
	SYNTH_FILE("core_siblings", 0444, .show = show_cpu_map),
	SYNTH_FILE("core_siblings_list", 0444, .show = show_cpu_list),
	SYNTH_FILE("package_cpus", 0444, .show = show_cpu_map),
	SYNTH_FILE("package_cpus_list", 0444, .show = show_cpu_list),
	SYNTH_FILE("physical_package_id", 0444, .show = show_zero),
	SYNTH_FILE("thread_siblings", 0444, .show = show_own_map),
	SYNTH_FILE("thread_siblings_list", 0444, .show = show_number),
	{0},
};

static const struct synth_entry one_cpu_children[] = {
	SYNTH_FILE("online", 0444, .show = show_one),
	SYNTH_DIR("topology", 0555, .children = topology_children),
	{0},
};

static const struct synth_entry one_cpu = SYNTH_DIR("", 0555, .children = one_cpu_children);

static int cpu_lookup(struct synth_ctx *c, const char *name, size_t len,
		      const struct synth_entry **entry)
{
	int64_t n = len > 3 && name[0] == 'c' && name[1] == 'p' && name[2] == 'u'
			    ? proc_parse_number(name + 3, len - 3)
			    : -1;

	if (n < 0 || n >= kernel->config.ncpus)
		return -ENOENT;
	c->number = (uint64_t)n;
	*entry = &one_cpu;
	return 0;
}

static int cpu_next(const struct synth_ctx *c, uint64_t *key, char name[32])
{
	if (*key >= kernel->config.ncpus)
		return 0;
	snprintf(name, 32, "cpu%lu", *key);
	return 1;
}

static const struct synth_dir cpu_dir = {
	.lookup = cpu_lookup,
	.next = cpu_next,
	.child_type = SYNTH_DT_DIR,
};

static const struct synth_entry cpu_children[] = {
	SYNTH_FILE("isolated", 0444, .show = show_nothing),
	SYNTH_FILE("offline", 0444, .show = show_nothing),
	SYNTH_FILE("online", 0444, .show = show_cpu_list),
	SYNTH_FILE("possible", 0444, .show = show_cpu_list),
	SYNTH_FILE("present", 0444, .show = show_cpu_list),
	{0},
};

static const struct synth_entry node0_children[] = {
	SYNTH_FILE("cpulist", 0444, .show = show_cpu_list),
	SYNTH_FILE("cpumap", 0444, .show = show_cpu_map),
	{0},
};

static const struct synth_entry node_children[] = {
	SYNTH_DIR("node0", 0555, .children = node0_children),
	SYNTH_FILE("online", 0444, .show = show_zero),
	SYNTH_FILE("possible", 0444, .show = show_zero),
	{0},
};

static const struct synth_entry system_children[] = {
	SYNTH_DIR("cpu", 0555, .children = cpu_children, .dir = &cpu_dir),
	SYNTH_DIR("node", 0555, .children = node_children),
	{0},
};

static const struct synth_entry devices_children[] = {
	SYNTH_DIR("system", 0555, .children = system_children),
	{0},
};

/* ---- the rest ---------------------------------------------------------------------------------------- */

static const struct synth_entry lo_children[] = {
	SYNTH_FILE("address", 0444, .show = show_lo_address),
	SYNTH_FILE("ifindex", 0444, .show = show_one),
	SYNTH_FILE("mtu", 0444, .show = show_mtu),
	SYNTH_FILE("operstate", 0444, .show = show_operstate),
	SYNTH_FILE("type", 0444, .show = show_lo_type),
	{0},
};

static const struct synth_entry net_children[] = {
	SYNTH_DIR("lo", 0555, .children = lo_children),
	{0},
};

static const struct synth_entry class_children[] = {
	SYNTH_DIR("net", 0555, .children = net_children),
	{0},
};

static const struct synth_entry hugepage_children[] = {
	SYNTH_FILE("enabled", 0444, .show = show_madvise),
	SYNTH_FILE("hpage_pmd_size", 0444, .show = show_pmd_size),
	{0},
};

static const struct synth_entry mm_children[] = {
	SYNTH_DIR("transparent_hugepage", 0555, .children = hugepage_children),
	{0},
};

static const struct synth_entry kernel_children[] = {
	SYNTH_DIR("mm", 0555, .children = mm_children),
	{0},
};

static const struct synth_entry fs_children[] = {
	SYNTH_DIR("cgroup", 0555),
	{0},
};

static const struct synth_entry root_children[] = {
	SYNTH_DIR("block", 0555),
	SYNTH_DIR("bus", 0555),
	SYNTH_DIR("class", 0555, .children = class_children),
	SYNTH_DIR("dev", 0555),
	SYNTH_DIR("devices", 0555, .children = devices_children),
	SYNTH_DIR("firmware", 0555),
	SYNTH_DIR("fs", 0555, .children = fs_children),
	SYNTH_DIR("kernel", 0555, .children = kernel_children),
	SYNTH_DIR("module", 0555),
	SYNTH_DIR("power", 0555),
	{0},
};

static const struct synth_entry root = SYNTH_DIR("", 0555, .children = root_children);

static int sysfs_mount(const struct fs_type *type, const char *source, const char *data,
		       const struct cred *cred, struct fs **out)
{
	return synth_new(type, &root, SYSFS_MAGIC, out);
}

static const struct fs_type sysfs_type = {.name = "sysfs", .nodev = true, .mount = sysfs_mount};

void sysfs_register(void)
{
	fs_type_register(&sysfs_type);
}
