/* Calls whose answer is always the same: they would administer the host's kernel, or need hardware
 * and subsystems that a sandbox doesn't have. Who lacks the privilege gets what Linux says to such
 * a caller; who has it gets what a kernel without the subsystem says. */
#include <errno.h>
#include <linux/capability.h>
#include <time.h>

#include "sentry/kernel/task.h"
#include "sentry/mm/usercopy.h"
#include "sentry/syscalls/syscalls.h"
#include "sentry/time/clock.h"

static int64_t refuse(struct task *t, int cap, int64_t privileged)
{
	return task_capable(t, cap) ? privileged : -EPERM;
}

/* ---- the machine's clock, swap, modules, ports --------------------------------------------- */

int64_t sys_settimeofday(struct task *t, struct gptr tv, struct gptr tz)
{
	int64_t v[2];

	if (!gptr_null(tv)) {
		if (copy_from_guest(t, v, tv, sizeof(v)))
			return -EFAULT;
		if (v[0] < 0 || v[1] < 0 || v[1] >= 1000000)
			return -EINVAL;
	}
	return -EPERM;
}

int64_t sys_clock_settime(struct task *t, int clock, struct gptr ts)
{
	uint64_t ns;
	int err;

	if (clock != CLOCK_REALTIME && (clock >= 0 || clock_read(t, clock, &ns)))
		return -EINVAL;
	err = get_guest_timespec(t, ts, &ns);
	return err ? err : -EPERM;
}

int64_t sys_swapon(struct task *t, struct gptr path, int flags)
{
	return -EPERM;
}

int64_t sys_swapoff(struct task *t, struct gptr path)
{
	return -EPERM;
}

int64_t sys_iopl(struct task *t, unsigned int level)
{
	return level > 3 ? -EINVAL : -EPERM;
}

int64_t sys_ioperm(struct task *t, uint64_t from, uint64_t num, int on)
{
	if (from + num < from || from + num > 65536)
		return -EINVAL;
	return on ? -EPERM : 0;
}

int64_t sys_init_module(struct task *t, struct gptr image, uint64_t len, struct gptr params)
{
	return -EPERM;
}

int64_t sys_finit_module(struct task *t, int fd, struct gptr params, int flags)
{
	return -EPERM;
}

int64_t sys_delete_module(struct task *t, struct gptr name, unsigned int flags)
{
	return -EPERM;
}

int64_t sys_kexec_load(struct task *t, uint64_t entry, uint64_t nr_segments, struct gptr segments,
		       uint64_t flags)
{
	return -EPERM;
}

int64_t sys_kexec_file_load(struct task *t, int kernel_fd, int initrd_fd, uint64_t cmdline_len,
			    struct gptr cmdline, uint64_t flags)
{
	return -EPERM;
}

int64_t sys_bpf(struct task *t, int cmd, struct gptr attr, unsigned int size)
{
	return -EPERM;
}

int64_t sys_modify_ldt(struct task *t, int func, struct gptr ptr, uint64_t bytecount)
{
	switch (func) {
	case 0: /* read: an empty table */
	case 2:
		return 0;
	case 1:
	case 0x11:
		return -EPERM;
	}
	return -ENOSYS;
}

int64_t sys_vhangup(struct task *t)
{
	return refuse(t, CAP_SYS_TTY_CONFIG, 0);
}

/* ---- accounting, quotas, file handles ------------------------------------------------------- */

int64_t sys_acct(struct task *t, struct gptr path)
{
	return refuse(t, CAP_SYS_PACCT, -ENOSYS);
}

int64_t sys_quotactl(struct task *t, unsigned int cmd, struct gptr special, int id,
		     struct gptr addr)
{
	return refuse(t, CAP_SYS_ADMIN, -ENOSYS);
}

int64_t sys_name_to_handle_at(struct task *t, int dirfd, struct gptr path, struct gptr handle,
			      struct gptr mount_id, int flags)
{
	return -EOPNOTSUPP;
}

int64_t sys_open_by_handle_at(struct task *t, int mount_fd, struct gptr handle, int flags)
{
	return refuse(t, CAP_DAC_READ_SEARCH, -EOPNOTSUPP);
}

/* ---- memory: one node, no protection keys ---------------------------------------------------- */

int64_t sys_pkey_alloc(struct task *t, uint64_t flags, uint64_t rights)
{
	if (flags || rights & ~3ULL)
		return -EINVAL;
	return -ENOSPC;
}

int64_t sys_pkey_free(struct task *t, int pkey)
{
	return -EINVAL;
}

int64_t sys_set_mempolicy_home_node(struct task *t, uint64_t start, uint64_t len,
				    uint64_t home_node, uint64_t flags)
{
	if (start & ~GUEST_PAGE_MASK || flags || home_node != 0)
		return -EINVAL;
	return 0;
}

static int64_t task_exists(int pid)
{
	AUTO(task) struct task *other = NULL;

	if (pid == 0)
		return 0;
	other = task_lookup(pid);
	return other ? 0 : -ESRCH;
}

int64_t sys_migrate_pages(struct task *t, int pid, uint64_t maxnode, struct gptr from,
			  struct gptr to)
{
	return task_exists(pid);
}

#define MPOL_MF_KNOWN 6 /* MPOL_MF_MOVE, MPOL_MF_MOVE_ALL */

#define MOVE_CHUNK 256

static int64_t pages_are_here(struct task *t, struct gptr nodes, struct gptr status, uint64_t n)
{
	uint32_t node[MOVE_CHUNK] = {0};

	if (!gptr_null(nodes) && copy_from_guest(t, node, nodes, n * sizeof(node[0])))
		return -EFAULT;
	for (uint64_t i = 0; i < n; i++)
		if (node[i])
			return -ENODEV;
	return copy_to_guest(t, status, node, n * sizeof(node[0])) ? -EFAULT : 0;
}

int64_t sys_move_pages(struct task *t, int pid, uint64_t nr_pages, struct gptr pages,
		       struct gptr nodes, struct gptr status, int flags)
{
	int64_t err = task_exists(pid);

	if (flags & ~MPOL_MF_KNOWN)
		return -EINVAL;
	if (err < 0)
		return err;
	if (nr_pages > INT32_MAX / sizeof(uint64_t))
		return -E2BIG;
	for (uint64_t i = 0; i < nr_pages; i += MOVE_CHUNK) {
		uint64_t n = nr_pages - i < MOVE_CHUNK ? nr_pages - i : MOVE_CHUNK;

		if (task_killed())
			return -EINTR;
		err = pages_are_here(t, gptr_null(nodes) ? nodes : gptr_add(nodes, i * 4),
				     gptr_add(status, i * 4), n);
		if (err < 0)
			return err;
	}
	return 0;
}
