/* Files of proc's root: the machine as the sandbox sees it. */
#include <cpuid.h>
#include <errno.h>
#include <string.h>
#include <sys/sysinfo.h>
#include <time.h>

#include "abi/base/lock.h"
#include "sentry/fs/proc/proc_impl.h"
#include "sentry/kernel/kernel.h"
#include "sentry/kernel/pid.h"
#include "sentry/kernel/task.h"
#include "sentry/kernel/uts.h"

/* ---- memory ------------------------------------------------------------------------------------------ */

int proc_show_meminfo(struct text *t, const struct synth_ctx *c)
{
	struct sysinfo si;
	uint64_t total, available, used = 0;

	if (sysinfo(&si))
		return -errno;
	total = si.totalram * si.mem_unit;
	available = si.freeram * si.mem_unit;
	if (kernel->config.memory_limit && kernel->config.memory_limit < total) {
		total = kernel->config.memory_limit;
		if (available > total)
			available = total;
	}
	used = total - available;
	text_printf(t,
		    "MemTotal:       %8lu kB\nMemFree:        %8lu kB\nMemAvailable:   %8lu kB\n"
		    "Buffers:        %8lu kB\nCached:         %8lu kB\nSwapCached:     %8lu kB\n"
		    "Active:         %8lu kB\nInactive:       %8lu kB\n"
		    "Active(anon):   %8lu kB\nInactive(anon): %8lu kB\n"
		    "Active(file):   %8lu kB\nInactive(file): %8lu kB\n"
		    "Unevictable:    %8lu kB\nMlocked:        %8lu kB\n"
		    "SwapTotal:      %8lu kB\nSwapFree:       %8lu kB\n"
		    "Dirty:          %8lu kB\nWriteback:      %8lu kB\n"
		    "AnonPages:      %8lu kB\nMapped:         %8lu kB\nShmem:          %8lu kB\n"
		    "Slab:           %8lu kB\nSReclaimable:   %8lu kB\nSUnreclaim:     %8lu kB\n"
		    "PageTables:     %8lu kB\nCommitLimit:    %8lu kB\nCommitted_AS:   %8lu kB\n"
		    "VmallocTotal:   34359738367 kB\nVmallocUsed:           0 kB\n"
		    "HugePages_Total:       0\nHugePages_Free:        0\nHugePages_Rsvd:        0\n"
		    "HugePages_Surp:        0\nHugepagesize:       2048 kB\nHugetlb:               0 kB\n",
		    total >> 10, available >> 10, available >> 10, 0ul, 0ul, 0ul, used >> 10, 0ul,
		    used >> 10, 0ul, 0ul, 0ul, 0ul, 0ul, 0ul, 0ul, 0ul, 0ul, used >> 10, 0ul, 0ul,
		    0ul, 0ul, 0ul, 0ul, total >> 11, used >> 10);
	return 0;
}

int proc_show_vmstat(struct text *t, const struct synth_ctx *c)
{
	text_puts(t, "nr_free_pages 0\npgpgin 0\npgpgout 0\npswpin 0\npswpout 0\npgfault 0\n"
		     "pgmajfault 0\n");
	return 0;
}

/* ---- processors -------------------------------------------------------------------------------------- */

/* A flag of cpuinfo: leaf, subleaf, register (0 eax ... 3 edx), bit. */
static const struct cpu_flag {
	const char *name;
	unsigned leaf, sub, reg, bit;
} cpu_flags[] = {
	{"fpu", 1, 0, 3, 0},	    {"vme", 1, 0, 3, 1},	{"de", 1, 0, 3, 2},
	{"pse", 1, 0, 3, 3},	    {"tsc", 1, 0, 3, 4},	{"msr", 1, 0, 3, 5},
	{"pae", 1, 0, 3, 6},	    {"mce", 1, 0, 3, 7},	{"cx8", 1, 0, 3, 8},
	{"apic", 1, 0, 3, 9},	    {"sep", 1, 0, 3, 11},	{"mtrr", 1, 0, 3, 12},
	{"pge", 1, 0, 3, 13},	    {"mca", 1, 0, 3, 14},	{"cmov", 1, 0, 3, 15},
	{"pat", 1, 0, 3, 16},	    {"pse36", 1, 0, 3, 17},	{"clflush", 1, 0, 3, 19},
	{"mmx", 1, 0, 3, 23},	    {"fxsr", 1, 0, 3, 24},	{"sse", 1, 0, 3, 25},
	{"sse2", 1, 0, 3, 26},	    {"ht", 1, 0, 3, 28},	{"syscall", 0x80000001, 0, 3, 11},
	{"nx", 0x80000001, 0, 3, 20}, {"mmxext", 0x80000001, 0, 3, 22},
	{"fxsr_opt", 0x80000001, 0, 3, 25}, {"pdpe1gb", 0x80000001, 0, 3, 26},
	{"rdtscp", 0x80000001, 0, 3, 27}, {"lm", 0x80000001, 0, 3, 29},
	{"pni", 1, 0, 2, 0},	    {"pclmulqdq", 1, 0, 2, 1},	{"ssse3", 1, 0, 2, 9},
	{"fma", 1, 0, 2, 12},	    {"cx16", 1, 0, 2, 13},	{"sse4_1", 1, 0, 2, 19},
	{"sse4_2", 1, 0, 2, 20},    {"x2apic", 1, 0, 2, 21},	{"movbe", 1, 0, 2, 22},
	{"popcnt", 1, 0, 2, 23},    {"aes", 1, 0, 2, 25},	{"xsave", 1, 0, 2, 26},
	{"avx", 1, 0, 2, 28},	    {"f16c", 1, 0, 2, 29},	{"rdrand", 1, 0, 2, 30},
	{"hypervisor", 1, 0, 2, 31}, {"lahf_lm", 0x80000001, 0, 2, 0},
	{"abm", 0x80000001, 0, 2, 5}, {"sse4a", 0x80000001, 0, 2, 6},
	{"3dnowprefetch", 0x80000001, 0, 2, 8}, {"bmi1", 7, 0, 1, 3},
	{"avx2", 7, 0, 1, 5},	    {"smep", 7, 0, 1, 7},	{"bmi2", 7, 0, 1, 8},
	{"erms", 7, 0, 1, 9},	    {"avx512f", 7, 0, 1, 16},	{"avx512dq", 7, 0, 1, 17},
	{"rdseed", 7, 0, 1, 18},    {"adx", 7, 0, 1, 19},	{"clflushopt", 7, 0, 1, 23},
	{"clwb", 7, 0, 1, 24},	    {"avx512cd", 7, 0, 1, 28},	{"sha_ni", 7, 0, 1, 29},
	{"avx512bw", 7, 0, 1, 30},  {"avx512vl", 7, 0, 1, 31},	{"vaes", 7, 0, 2, 9},
	{"vpclmulqdq", 7, 0, 2, 10}, {"rdpid", 7, 0, 2, 22},
};

static void show_flags(struct text *t)
{
	text_puts(t, "flags\t\t:");
	for (size_t i = 0; i < sizeof(cpu_flags) / sizeof(cpu_flags[0]); i++) {
		const struct cpu_flag *f = &cpu_flags[i];
		unsigned r[4];

		if (__get_cpuid_count(f->leaf, f->sub, &r[0], &r[1], &r[2], &r[3]) &&
		    r[f->reg] >> f->bit & 1)
			text_printf(t, " %s", f->name);
	}
}

static void cpu_brand(char out[49])
{
	unsigned *r = (unsigned *)(void *)out;

	memset(out, 0, 49);
	for (unsigned i = 0; i < 3; i++)
		__get_cpuid(0x80000002 + i, &r[i * 4], &r[i * 4 + 1], &r[i * 4 + 2], &r[i * 4 + 3]);
}

int proc_show_cpuinfo(struct text *t, const struct synth_ctx *c)
{
	unsigned a = 0, b = 0, cx = 0, d = 0, family, model, n = kernel->config.ncpus;
	char vendor[13] = "";
	char brand[49] __attribute__((aligned(4)));

	__get_cpuid(0, &a, &b, &cx, &d);
	memcpy(vendor, &b, 4);
	memcpy(vendor + 4, &d, 4);
	memcpy(vendor + 8, &cx, 4);
	cpu_brand(brand);
	__get_cpuid(1, &a, &b, &cx, &d);
	family = (a >> 8 & 15) == 15 ? 15 + (a >> 20 & 255) : a >> 8 & 15;
	model = (a >> 4 & 15) | (a >> 12 & 0xf0);
	for (unsigned i = 0; i < n; i++) {
		text_printf(t,
			    "processor\t: %u\nvendor_id\t: %s\ncpu family\t: %u\nmodel\t\t: %u\n"
			    "model name\t: %s\nstepping\t: %u\ncpu MHz\t\t: 2000.000\n"
			    "cache size\t: 1024 KB\nphysical id\t: 0\nsiblings\t: %u\n"
			    "core id\t\t: %u\ncpu cores\t: %u\napicid\t\t: %u\n"
			    "fpu\t\t: yes\nfpu_exception\t: yes\ncpuid level\t: 13\nwp\t\t: yes\n",
			    i, vendor, family, model, brand, a & 15, n, i, n, i);
		show_flags(t);
		text_puts(t, "\nbogomips\t: 4000.00\nclflush size\t: 64\ncache_alignment\t: 64\n"
			     "address sizes\t: 48 bits physical, 48 bits virtual\n"
			     "power management:\n\n");
	}
	return 0;
}

static bool add_task_time(struct task *t, void *arg)
{
	uint64_t *sum = arg, user, sys;

	task_cpu_time(t, &user, &sys);
	sum[0] += user;
	sum[1] += sys;
	return true;
}

int proc_show_system_stat(struct text *t, const struct synth_ctx *c)
{
	uint64_t sum[2] = {0}, up = now_mono_ns() - kernel->boot_mono_ns, idle;
	unsigned n = kernel->config.ncpus;

	mutex_lock(&kernel->tasks_lock);
	task_each_locked(add_task_time, sum);
	mutex_unlock(&kernel->tasks_lock);
	idle = up * n > sum[0] + sum[1] ? up * n - sum[0] - sum[1] : 0;
	text_printf(t, "cpu  %lu 0 %lu %lu 0 0 0 0 0 0\n", sum[0] / 10000000, sum[1] / 10000000,
		    idle / 10000000);
	for (unsigned i = 0; i < n; i++)
		text_printf(t, "cpu%u %lu 0 %lu %lu 0 0 0 0 0 0\n", i, sum[0] / 10000000 / n,
			    sum[1] / 10000000 / n, idle / 10000000 / n);
	text_printf(t,
		    "intr 0\nctxt 0\nbtime %ld\nprocesses %lu\nprocs_running 1\nprocs_blocked 0\n"
		    "softirq 0 0 0 0 0 0 0 0 0 0 0\n",
		    (long)kernel->boot_realtime, kernel->total_forks);
	return 0;
}

int proc_show_uptime(struct text *t, const struct synth_ctx *c)
{
	uint64_t ms = (now_mono_ns() - kernel->boot_mono_ns) / 10000000;

	text_printf(t, "%lu.%02lu %lu.%02lu\n", ms / 100, ms % 100, ms / 100, ms % 100);
	return 0;
}

static bool count_task(struct task *t, void *arg)
{
	int *n = arg;

	n[0]++;
	n[1] += t->state == TASK_RUNNING;
	if (t->tid > n[2])
		n[2] = t->tid;
	return true;
}

int proc_show_loadavg(struct text *t, const struct synth_ctx *c)
{
	int n[3] = {0};

	mutex_lock(&kernel->tasks_lock);
	task_each_locked(count_task, n);
	mutex_unlock(&kernel->tasks_lock);
	text_printf(t, "0.00 0.00 0.00 %d/%d %d\n", n[1], n[0], n[2]);
	return 0;
}

/* ---- names ---------------------------------------------------------------------------------------------- */

static void show_type(const struct fs_type *type, void *arg)
{
	text_printf(arg, "%s\t%s\n", type->nodev ? "nodev" : "", type->name);
}

int proc_show_filesystems(struct text *t, const struct synth_ctx *c)
{
	fs_type_each(show_type, t);
	return 0;
}

int proc_show_version(struct text *t, const struct synth_ctx *c)
{
	text_printf(t, "%s version %s (sentry) (gcc) %s\n", UTS_SYSNAME, UTS_RELEASE, UTS_VERSION);
	return 0;
}
