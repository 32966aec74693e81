/* /proc/sys: what programs ask for. Most of it is constant and read-only, as in a container. */
#include <errno.h>
#include <linux/capability.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "abi/base/lock.h"
#include "sentry/fs/proc/proc_impl.h"
#include "sentry/kernel/kernel.h"
#include "sentry/kernel/pid.h"
#include "sentry/kernel/task.h"
#include "sentry/kernel/uts.h"
#include "vfs/cred.h"

/* A file with a constant line. */
#define CONSTANT(fn, value)                                                                        \
	static int fn(struct text *t, const struct synth_ctx *c)                                   \
	{                                                                                          \
		text_puts(t, value "\n");                                                          \
		return 0;                                                                          \
	}

CONSTANT(show_zero, "0")
CONSTANT(show_one, "1")
CONSTANT(show_two, "2")
CONSTANT(show_four, "4")
CONSTANT(show_ostype, UTS_SYSNAME)
CONSTANT(show_osrelease, UTS_RELEASE)
CONSTANT(show_osversion, UTS_VERSION)
CONSTANT(show_cap_last, "40")
CONSTANT(show_overflow, "65534")
CONSTANT(show_ngroups, "65536")
CONSTANT(show_pid_max, "32768")
CONSTANT(show_threads_max, "32768")
CONSTANT(show_core_pattern, "core")
CONSTANT(show_printk, "4\t4\t1\t7")
CONSTANT(show_sem, "32000\t1024000000\t500\t32000")
CONSTANT(show_shmmax, "18446744073692774399")
CONSTANT(show_shmmni, "4096")
CONSTANT(show_msgmax, "8192")
CONSTANT(show_msgmnb, "16384")
CONSTANT(show_msgmni, "32000")
CONSTANT(show_entropy, "256")
CONSTANT(show_max_map_count, "65530")
CONSTANT(show_mmap_min_addr, "65536")
CONSTANT(show_swappiness, "60")
CONSTANT(show_ratio, "50")
CONSTANT(show_file_max, "1048576")
CONSTANT(show_file_nr, "1024\t0\t1048576")
CONSTANT(show_aio_max, "65536")
CONSTANT(show_watches, "65536")
CONSTANT(show_instances, "128")
CONSTANT(show_queued, "16384")
CONSTANT(show_mq_queues, "256")
CONSTANT(show_mq_msg, "10")
CONSTANT(show_somaxconn, "4096")
CONSTANT(show_mem_max, "212992")
CONSTANT(show_ports, "32768\t60999")
CONSTANT(show_tcp_mem, "4096\t131072\t6291456")
CONSTANT(show_congestion, "cubic")
CONSTANT(show_lease_time, "45")

static int show_nr_open(struct text *t, const struct synth_ctx *c)
{
	text_printf(t, "%lu\n", kernel->config.nofile_max);
	return 0;
}

static int show_uuid(struct text *t, const uint8_t in[16])
{
	uint8_t b[16];

	memcpy(b, in, sizeof(b));
	b[6] = (b[6] & 0x0f) | 0x40;
	b[8] = (b[8] & 0x3f) | 0x80;
	text_printf(t,
		    "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x\n", b[0],
		    b[1], b[2], b[3], b[4], b[5], b[6], b[7], b[8], b[9], b[10], b[11], b[12],
		    b[13], b[14], b[15]);
	return 0;
}

static int show_random_uuid(struct text *t, const struct synth_ctx *c)
{
	uint8_t b[16];

	if (getrandom(b, sizeof(b), 0) != sizeof(b))
		return -EIO;
	return show_uuid(t, b);
}

static int show_boot_id(struct text *t, const struct synth_ctx *c)
{
	static struct mutex mu = MUTEX_INIT(LOCK_LOG);
	static uint8_t id[16];
	static bool made;
	AUTO_LOCK(&mu);

	if (!made && getrandom(id, sizeof(id), 0) != sizeof(id))
		return -EIO;
	made = true;
	return show_uuid(t, id);
}

static int show_hostname(struct text *t, const struct synth_ctx *c)
{
	struct uts_ns *u = current_task->uts_ns;
	AUTO_LOCK(&u->mu);

	text_printf(t, "%s\n", u->nodename);
	return 0;
}

static int show_domainname(struct text *t, const struct synth_ctx *c)
{
	struct uts_ns *u = current_task->uts_ns;
	AUTO_LOCK(&u->mu);

	text_printf(t, "%s\n", u->domainname);
	return 0;
}

static int store_name(char *field, const char *buf)
{
	size_t n = strcspn(buf, "\n");
	struct uts_ns *u = current_task->uts_ns;

	if (!cred_capable(current_task->cred, CAP_SYS_ADMIN))
		return -EPERM;
	if (n >= UTS_LEN)
		return -EINVAL;
	AUTO_LOCK(&u->mu);
	memset(field, 0, UTS_LEN);
	memcpy(field, buf, n);
	return 0;
}

static int store_hostname(const struct synth_ctx *c, const char *buf, size_t n)
{
	return store_name(current_task->uts_ns->nodename, buf);
}

static int store_domainname(const struct synth_ctx *c, const char *buf, size_t n)
{
	return store_name(current_task->uts_ns->domainname, buf);
}

#define RO(name_, fn) SYNTH_FILE(name_, 0444, .show = fn)

static const struct synth_entry random_children[] = {
	RO("boot_id", show_boot_id),
	RO("entropy_avail", show_entropy),
	RO("poolsize", show_entropy),
	RO("uuid", show_random_uuid),
	{0},
};

static const struct synth_entry kernel_children[] = {
	RO("cap_last_cap", show_cap_last),
	RO("core_pattern", show_core_pattern),
	RO("core_uses_pid", show_zero),
	SYNTH_FILE("domainname", 0644, .show = show_domainname, .store = store_domainname),
	SYNTH_FILE("hostname", 0644, .show = show_hostname, .store = store_hostname),
	RO("io_uring_disabled", show_two),
	RO("kptr_restrict", show_one),
	RO("msgmax", show_msgmax),
	RO("msgmnb", show_msgmnb),
	RO("msgmni", show_msgmni),
	RO("ngroups_max", show_ngroups),
	RO("osrelease", show_osrelease),
	RO("ostype", show_ostype),
	RO("overflowgid", show_overflow),
	RO("overflowuid", show_overflow),
	RO("perf_event_paranoid", show_four),
	RO("pid_max", show_pid_max),
	RO("printk", show_printk),
	SYNTH_DIR("random", 0555, .children = random_children),
	RO("randomize_va_space", show_two),
	RO("sem", show_sem),
	RO("shmall", show_shmmax),
	RO("shmmax", show_shmmax),
	RO("shmmni", show_shmmni),
	RO("tainted", show_zero),
	RO("threads-max", show_threads_max),
	RO("version", show_osversion),
	{0},
};

static const struct synth_entry vm_children[] = {
	RO("dirty_ratio", show_ratio),
	RO("max_map_count", show_max_map_count),
	RO("mmap_min_addr", show_mmap_min_addr),
	RO("nr_hugepages", show_zero),
	RO("overcommit_memory", show_zero),
	RO("overcommit_ratio", show_ratio),
	RO("swappiness", show_swappiness),
	{0},
};

static const struct synth_entry inotify_children[] = {
	RO("max_queued_events", show_queued),
	RO("max_user_instances", show_instances),
	RO("max_user_watches", show_watches),
	{0},
};

static const struct synth_entry epoll_children[] = {RO("max_user_watches", show_watches), {0}};

static const struct synth_entry mqueue_children[] = {
	RO("msg_default", show_mq_msg),
	RO("msg_max", show_mq_msg),
	RO("msgsize_default", show_msgmax),
	RO("msgsize_max", show_msgmax),
	RO("queues_max", show_mq_queues),
	{0},
};

static const struct synth_entry fs_children[] = {
	RO("aio-max-nr", show_aio_max),
	RO("aio-nr", show_zero),
	SYNTH_DIR("epoll", 0555, .children = epoll_children),
	RO("file-max", show_file_max),
	RO("file-nr", show_file_nr),
	SYNTH_DIR("inotify", 0555, .children = inotify_children),
	RO("lease-break-time", show_lease_time),
	SYNTH_DIR("mqueue", 0555, .children = mqueue_children),
	RO("nr_open", show_nr_open),
	RO("overflowgid", show_overflow),
	RO("overflowuid", show_overflow),
	RO("pipe-max-size", show_file_max),
	RO("protected_fifos", show_one),
	RO("protected_hardlinks", show_one),
	RO("protected_regular", show_two),
	RO("protected_symlinks", show_one),
	{0},
};

static const struct synth_entry net_core_children[] = {
	RO("rmem_default", show_mem_max),
	RO("rmem_max", show_mem_max),
	RO("somaxconn", show_somaxconn),
	RO("wmem_default", show_mem_max),
	RO("wmem_max", show_mem_max),
	{0},
};

static const struct synth_entry net_ipv4_children[] = {
	RO("ip_forward", show_zero),
	RO("ip_local_port_range", show_ports),
	RO("ip_nonlocal_bind", show_zero),
	RO("tcp_congestion_control", show_congestion),
	RO("tcp_rmem", show_tcp_mem),
	RO("tcp_wmem", show_tcp_mem),
	{0},
};

static const struct synth_entry net_children[] = {
	SYNTH_DIR("core", 0555, .children = net_core_children),
	SYNTH_DIR("ipv4", 0555, .children = net_ipv4_children),
	{0},
};

const struct synth_entry proc_sys_children[] = {
	SYNTH_DIR("fs", 0555, .children = fs_children),
	SYNTH_DIR("kernel", 0555, .children = kernel_children),
	SYNTH_DIR("net", 0555, .children = net_children),
	SYNTH_DIR("vm", 0555, .children = vm_children),
	{0},
};
