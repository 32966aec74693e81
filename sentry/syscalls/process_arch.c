/* arch_prctl(2) and other calls about x86-64 state of a thread. */
#include <asm/prctl.h>
#include <errno.h>

#include "platform/platform.h"
#include "sentry/kernel/kernel.h"
#include "sentry/kernel/task.h"
#include "sentry/mm/usercopy.h"
#include "sentry/syscalls/syscalls.h"

int64_t sys_arch_prctl(struct task *t, int op, uint64_t addr)
{
	struct pf_regs *regs = kernel->pf_ops->regs(t->pt);

	switch (op) {
	case ARCH_SET_FS:
	case ARCH_SET_GS:
		if (addr >= PF_GUEST_MAX)
			return -EPERM;
		if (op == ARCH_SET_FS)
			regs->fs_base = addr;
		else
			regs->gs_base = addr;
		return 0;
	case ARCH_GET_FS:
		return put_guest_u64(t, gptr(addr), regs->fs_base);
	case ARCH_GET_GS:
		return put_guest_u64(t, gptr(addr), regs->gs_base);
	case ARCH_GET_CPUID:
		return 1;
	default:
		return -EINVAL; /* ARCH_SET_CPUID, XCOMP permission (AMX), shadow stacks: not here */
	}
}
