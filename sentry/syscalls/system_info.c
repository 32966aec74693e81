/* What the system is and has: uname(2), sysinfo(2), getrandom(2), syslog(2), personality(2) ... */
#include <errno.h>
#include <linux/capability.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/sysinfo.h>

#include "abi/linux/resource.h"
#include "sentry/kernel/restart.h"
#include "sentry/kernel/task_impl.h"
#include "sentry/kernel/uts.h"
#include "sentry/mm/mm.h"
#include "sentry/mm/usercopy.h"
#include "sentry/syscalls/syscalls.h"

/* ---- names ---------------------------------------------------------------------------------- */

int64_t sys_uname(struct task *t, struct gptr buf)
{
	struct linux_utsname u = {0};

	strcpy(u.sysname, UTS_SYSNAME);
	strcpy(u.release, UTS_RELEASE);
	strcpy(u.version, UTS_VERSION);
	strcpy(u.machine, UTS_MACHINE);
	{
		AUTO_LOCK(&t->uts_ns->mu);
		memcpy(u.nodename, t->uts_ns->nodename, UTS_LEN);
		memcpy(u.domainname, t->uts_ns->domainname, UTS_LEN);
	}
	return put_guest(t, buf, &u);
}

static int64_t uts_name_set(struct task *t, char *field, struct gptr name, int len)
{
	char tmp[UTS_LEN] = {0};

	if (!task_capable(t, CAP_SYS_ADMIN))
		return -EPERM;
	if (len < 0 || len >= UTS_LEN)
		return -EINVAL;
	if (copy_from_guest(t, tmp, name, (size_t)len))
		return -EFAULT;
	AUTO_LOCK(&t->uts_ns->mu);
	memcpy(field, tmp, sizeof(tmp));
	return 0;
}

int64_t sys_sethostname(struct task *t, struct gptr name, int len)
{
	return uts_name_set(t, t->uts_ns->nodename, name, len);
}

int64_t sys_setdomainname(struct task *t, struct gptr name, int len)
{
	return uts_name_set(t, t->uts_ns->domainname, name, len);
}

/* ---- memory and load ------------------------------------------------------------------------ */

int64_t sys_sysinfo(struct task *t, struct gptr info)
{
	struct linux_sysinfo si = {.mem_unit = 1};
	uint64_t total, avail;

	kernel_memory(&total, &avail);
	si.uptime = (int64_t)((now_mono_ns() - kernel->boot_mono_ns) / 1000000000ULL);
	si.totalram = total;
	si.freeram = avail;
	si.procs = (uint16_t)kernel->ntasks;
	return put_guest(t, info, &si);
}

/* ---- random numbers ------------------------------------------------------------------------- */

#ifndef GRND_INSECURE
#define GRND_INSECURE 4
#endif

int64_t sys_getrandom(struct task *t, struct gptr buf, uint64_t len, unsigned int flags)
{
	uint8_t chunk[1024];
	uint64_t done = 0;

	if (flags & ~(unsigned)(GRND_NONBLOCK | GRND_RANDOM | GRND_INSECURE))
		return -EINVAL;
	if ((flags & (GRND_RANDOM | GRND_INSECURE)) == (GRND_RANDOM | GRND_INSECURE))
		return -EINVAL;
	if (len > INT32_MAX)
		len = INT32_MAX;
	while (done < len) {
		uint64_t n = len - done < sizeof(chunk) ? len - done : sizeof(chunk);
		ssize_t got = getrandom(chunk, n, 0);
		ssize_t put;

		if (got < 0)
			return done ? (int64_t)done : -errno;
		put = copy_to_guest_partial(t, gptr_add(buf, done), chunk, (size_t)got);
		if (put < 0)
			return done ? (int64_t)done : put;
		done += (uint64_t)put;
		if (put < got)
			break;
		if (signal_pending(t))
			break;
	}
	return (int64_t)done;
}

/* ---- the kernel's log: there is none -------------------------------------------------------- */

int64_t sys_syslog(struct task *t, int type, struct gptr buf, int len)
{
	if (type < 0 || type > 10)
		return -EINVAL;
	/* Reading all and the size of the buffer are everybody's (dmesg_restrict 0). */
	if (type != 3 && type != 10 && !task_capable(t, CAP_SYSLOG) &&
	    !task_capable(t, CAP_SYS_ADMIN))
		return -EPERM;
	switch (type) {
	case 2:
	case 3:
	case 4:
		return gptr_null(buf) || len < 0 ? -EINVAL : 0;
	case 8:
		return len < 1 || len > 8 ? -EINVAL : 0;
	case 10:
		return 1 << 17;
	}
	return 0;
}

int64_t sys_personality(struct task *t, unsigned int persona)
{
	uint32_t old = t->personality;

	if (persona != 0xffffffffU)
		t->personality = persona;
	return old;
}

/* ---- reboot --------------------------------------------------------------------------------- */

#define REBOOT_MAGIC1 0xfee1deadU
#define REBOOT_RESTART 0x01234567U
#define REBOOT_RESTART2 0xa1b2c3d4U
#define REBOOT_HALT 0xcdef0123U
#define REBOOT_POWER_OFF 0x4321fedcU

static bool reboot_magic2(unsigned m)
{
	return m == 672274793 || m == 85072278 || m == 369367448 || m == 537993216;
}

/* pid_namespaces(7): ends the first process by a signal that says what was asked for. */
int64_t sys_reboot(struct task *t, unsigned int magic1, unsigned int magic2, unsigned int cmd,
		   struct gptr arg)
{
	int signo;

	if (!task_capable(t, CAP_SYS_BOOT))
		return -EPERM;
	if (magic1 != REBOOT_MAGIC1 || !reboot_magic2(magic2))
		return -EINVAL;
	switch (cmd) {
	case REBOOT_RESTART:
	case REBOOT_RESTART2:
		signo = SIGHUP;
		break;
	case REBOOT_HALT:
	case REBOOT_POWER_OFF:
		signo = SIGINT;
		break;
	default:
		return -EINVAL;
	}
	AUTO_LOCK(&kernel->tasks_lock);
	if (kernel->init)
		task_group_exit_locked(kernel->init->tg, signo);
	return 0;
}
