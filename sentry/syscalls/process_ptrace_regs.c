/* Registers of a stopped tracee, as struct user_regs_struct and the FP images. All of it happens
 * under tasks_lock, which keeps the tracee stopped. */
#include "sentry/syscalls/process_ptrace_regs.h"

#include <elf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>

#include "abi/linux/sched.h"
#include "abi/linux/sigframe.h"
#include "sentry/kernel/ptrace.h"
#include "sentry/kernel/task_impl.h"
#include "sentry/mm/usercopy.h"

#define USER_CS 0x33
#define USER_SS 0x2b
#define FPU_MAX 8192
/* struct user: registers first; u_debugreg. */
#define USER_SIZE 912
#define USER_DEBUGREG 848
/* CF PF AF ZF SF TF DF OF NT RF AC: what a tracer may change. */
#define EFLAGS_SETTABLE 0x54dd5ULL

static struct task *tracee_locked(struct task *t, int tid)
{
	struct task *other = task_lookup_locked(tid);

	if (!other || !other->ptrace || other->ptrace->tracer != t || !other->ptrace->stopped ||
	    !other->pt)
		return NULL;
	return other;
}

static void regs_get(struct task *o, struct linux_user_regs *u)
{
	const struct pf_regs *r = kernel->pf_ops->regs(o->pt);

	*u = (struct linux_user_regs){
		.r15 = r->r15, .r14 = r->r14, .r13 = r->r13, .r12 = r->r12, .rbp = r->rbp,
		.rbx = r->rbx, .r11 = r->r11, .r10 = r->r10, .r9 = r->r9, .r8 = r->r8,
		.rax = r->rax, .rcx = r->rcx, .rdx = r->rdx, .rsi = r->rsi, .rdi = r->rdi,
		.orig_rax = (uint64_t)r->orig_rax, .rip = r->rip, .cs = USER_CS,
		.eflags = r->eflags, .rsp = r->rsp, .ss = USER_SS, .fs_base = r->fs_base,
		.gs_base = r->gs_base,
	};
}

static int regs_set(struct task *o, const struct linux_user_regs *u)
{
	struct pf_regs *r = kernel->pf_ops->regs(o->pt);

	if (u->fs_base >= PF_GUEST_MAX || u->gs_base >= PF_GUEST_MAX)
		return -EIO;
	r->r15 = u->r15;
	r->r14 = u->r14;
	r->r13 = u->r13;
	r->r12 = u->r12;
	r->rbp = u->rbp;
	r->rbx = u->rbx;
	r->r11 = u->r11;
	r->r10 = u->r10;
	r->r9 = u->r9;
	r->r8 = u->r8;
	r->rax = u->rax;
	r->rcx = u->rcx;
	r->rdx = u->rdx;
	r->rsi = u->rsi;
	r->rdi = u->rdi;
	r->orig_rax = (int64_t)u->orig_rax;
	r->rip = u->rip;
	r->eflags = (r->eflags & ~EFLAGS_SETTABLE) | (u->eflags & EFLAGS_SETTABLE);
	r->rsp = u->rsp;
	r->fs_base = u->fs_base;
	r->gs_base = u->gs_base;
	return 0;
}

/* ---- FP state ------------------------------------------------------------------------------- */

/* The XSAVE image without the words of the signal frame; XCR0 stands where gdb looks for it. The
 * size, or -errno. */
static int fpu_get(struct task *o, uint8_t *buf)
{
	struct linux_fp_sw_bytes sw;
	int n = kernel->pf_ops->fpu_get(o->pt, buf, FPU_MAX);

	if (n < 0)
		return n;
	memcpy(&sw, buf + LINUX_FP_SW_RESERVED_OFFSET, sizeof(sw));
	memset(buf + LINUX_FP_SW_RESERVED_OFFSET, 0, sizeof(sw));
	if (sw.magic1 != LINUX_FP_XSTATE_MAGIC1)
		return LINUX_FXSAVE_SIZE;
	memcpy(buf + LINUX_FP_SW_RESERVED_OFFSET, &sw.xfeatures, sizeof(sw.xfeatures));
	return (int)sw.xstate_size;
}

/* The first `len` bytes of the image are replaced, the rest stays. */
static int fpu_set(struct task *o, const uint8_t *new, size_t len, uint8_t *image)
{
	struct linux_fp_sw_bytes sw;
	int n = kernel->pf_ops->fpu_get(o->pt, image, FPU_MAX);

	if (n < 0)
		return n;
	memcpy(&sw, image + LINUX_FP_SW_RESERVED_OFFSET, sizeof(sw));
	if (sw.magic1 == LINUX_FP_XSTATE_MAGIC1 && len > sw.xstate_size)
		return -EINVAL;
	memcpy(image, new, len);
	memcpy(image + LINUX_FP_SW_RESERVED_OFFSET, &sw, sizeof(sw));
	return kernel->pf_ops->fpu_set(o->pt, image, (size_t)n);
}

/* ---- register sets -------------------------------------------------------------------------- */

struct regset {
	uint8_t data[FPU_MAX], image[FPU_MAX];
	int size;
};

static int regset_read(struct task *o, uint64_t type, struct regset *rs)
{
	struct linux_user_regs u;

	switch (type) {
	case NT_PRSTATUS:
		regs_get(o, &u);
		memcpy(rs->data, &u, sizeof(u));
		return sizeof(u);
	case NT_PRFPREG:
	case NT_X86_XSTATE: {
		int n = fpu_get(o, rs->data);

		return n > 0 && type == NT_PRFPREG ? LINUX_FXSAVE_SIZE : n;
	}
	}
	return -EINVAL;
}

static int regset_write(struct task *o, uint64_t type, struct regset *rs, size_t len)
{
	struct linux_user_regs u;

	switch (type) {
	case NT_PRSTATUS:
		regs_get(o, &u);
		memcpy(&u, rs->data, len < sizeof(u) ? len : sizeof(u));
		return regs_set(o, &u);
	case NT_PRFPREG:
		return len < LINUX_FXSAVE_SIZE ? -EINVAL :
						 fpu_set(o, rs->data, LINUX_FXSAVE_SIZE, rs->image);
	case NT_X86_XSTATE:
		return len < LINUX_FXSAVE_SIZE ? -EINVAL : fpu_set(o, rs->data, len, rs->image);
	}
	return -EINVAL;
}

static int regset_do(struct task *t, int tid, bool set, uint64_t type, struct regset *rs,
		     size_t len)
{
	AUTO_LOCK(&kernel->tasks_lock);
	struct task *o = tracee_locked(t, tid);

	if (!o)
		return -ESRCH;
	return set ? regset_write(o, type, rs, len) : regset_read(o, type, rs);
}

/* On success the length that was copied. */
static int64_t regset(struct task *t, int tid, bool set, uint64_t type, struct gptr buf,
		      uint64_t len)
{
	AUTO(free) struct regset *rs = malloc(sizeof(*rs));
	int n;

	if (!rs)
		return -ENOMEM;
	if (set) {
		if (len > sizeof(rs->data))
			len = sizeof(rs->data);
		if (copy_from_guest(t, rs->data, buf, (size_t)len))
			return -EFAULT;
	}
	n = regset_do(t, tid, set, type, rs, (size_t)len);
	if (n < 0 || set)
		return n < 0 ? n : (int64_t)len;
	if ((uint64_t)n > len)
		n = (int)len;
	return copy_to_guest(t, buf, rs->data, (size_t)n) ? -EFAULT : n;
}

/* data points at an iovec, whose length is updated. */
static int64_t regset_iov(struct task *t, int tid, bool set, uint64_t type, struct gptr data)
{
	uint64_t iov[2];
	int64_t n;

	if (get_guest(t, &iov, data))
		return -EFAULT;
	n = regset(t, tid, set, type, gptr(iov[0]), iov[1]);
	if (n < 0)
		return n;
	return put_guest_u64(t, gptr_add(data, 8), (uint64_t)n);
}

/* ---- struct user ---------------------------------------------------------------------------- */

static int64_t user_area(struct task *t, int tid, bool set, uint64_t offset, uint64_t *word)
{
	AUTO_LOCK(&kernel->tasks_lock);
	struct task *o = tracee_locked(t, tid);
	struct linux_user_regs u;

	if (!o)
		return -ESRCH;
	if (offset % 8 || offset >= USER_SIZE)
		return -EIO;
	if (offset >= sizeof(u)) {
		/* No debug registers: watchpoints fall back on single steps. */
		if (set && offset >= USER_DEBUGREG && *word)
			return -EINVAL;
		if (!set)
			*word = 0;
		return 0;
	}
	regs_get(o, &u);
	if (!set) {
		memcpy(word, (char *)&u + offset, 8);
		return 0;
	}
	memcpy((char *)&u + offset, word, 8);
	return regs_set(o, &u);
}

int64_t ptrace_registers(struct task *t, int64_t request, int tid, uint64_t addr, struct gptr data)
{
	uint64_t word = data.v;
	int64_t r;

	switch (request) {
	case PTRACE_GETREGS:
	case PTRACE_SETREGS:
		r = regset(t, tid, request == PTRACE_SETREGS, NT_PRSTATUS, data,
			   sizeof(struct linux_user_regs));
		return r < 0 ? r : 0;
	case PTRACE_GETFPREGS:
	case PTRACE_SETFPREGS:
		r = regset(t, tid, request == PTRACE_SETFPREGS, NT_PRFPREG, data,
			   LINUX_FXSAVE_SIZE);
		return r < 0 ? r : 0;
	case PTRACE_GETREGSET:
		return regset_iov(t, tid, false, addr, data);
	case PTRACE_SETREGSET:
		return regset_iov(t, tid, true, addr, data);
	case PTRACE_PEEKUSER:
		r = user_area(t, tid, false, addr, &word);
		return r < 0 ? r : put_guest_u64(t, data, word);
	case PTRACE_POKEUSER:
		return user_area(t, tid, true, addr, &word);
	}
	return -EIO;
}
