/* The kernel object: everything that a sandbox is, reachable from here, so that a checkpoint can find it. One a
 * process; `kernel` is set before the first task exists. */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "abi/base/list.h"
#include "abi/base/lock.h"
#include "platform/platform.h"

struct fs;
struct mount_ns;
struct pid_ns;
struct task;
struct uts_ns;
struct user_ns;
struct ipc_ns;

struct kernel_config {
	const char *hostname;
	uint64_t memory_limit; /* bytes, 0: none */
	bool debug;
	unsigned ncpus; /* what the guest sees */
	uint64_t nofile_max; /* /proc/sys/fs/nr_open: one process must not have all of ours */
};

struct kernel {
	const struct pf_ops *pf_ops; /* immutable after init */
	struct platform *platform;
	struct kernel_config config;
	uint64_t boot_mono_ns; /* host CLOCK_MONOTONIC at start: uptime and guest boot time */
	time_t boot_realtime;

	/* Task tree, thread groups, process groups, sessions, and signal state of all of them. */
	struct mutex tasks_lock;
	struct pid_ns *root_pid_ns;
	struct user_ns *root_user_ns;
	struct ipc_ns *ipc_ns;
	struct task *init; /* first process; protected by tasks_lock */
	_Atomic int ntasks;
	_Atomic uint64_t total_forks; /* /proc/stat */

	struct mount_ns *root_mount_ns;
	int exit_status; /* wait status of init; set once, then exited is signalled */
	bool exited;
	uint64_t host_memory; /* bytes; immutable after init */
	_Atomic uint64_t rss_bytes, rss_until; /* of all processes; good until then (monotonic ns) */
	struct cond exited_cond; /* with tasks_lock */
};

extern struct kernel *kernel;

/* cfg is copied. The file systems are set up by the caller (sentry/boot). */
int kernel_init(const struct kernel_config *cfg, const struct pf_ops *ops, struct platform *p);
/* Waits until the first process is gone; its wait status. Others are being killed. */
int kernel_wait(void);
/* Kills everything: SIGKILL to all tasks; used for --timeout and fatal signals. */
void kernel_kill_all(void);
/* pf_config.on_death: the processes in s die as by SIGKILL, wherever they sleep. */
void kernel_space_died(struct pf_space *s);
/* What the guest sees as memory of the machine: --memory, else the host's; and what was not in use
 * of it a moment ago. */
void kernel_memory(uint64_t *total, uint64_t *avail);
