/* The frame of a signal handler on the guest's stack, and the way back.
 *
 *	higher addresses
 *	+---------------------------+ rsp of the interrupted code, or the top of the alternate stack
 *	| red zone, 128 bytes       |
 *	+---------------------------+
 *	| FP state (XSAVE image)    | 64-byte aligned
 *	+---------------------------+
 *	| siginfo                   |
 *	| ucontext                  | 16-byte aligned
 *	| return address: restorer  | <- rsp of the handler
 *	+---------------------------+
 *
 * What comes back through rt_sigreturn is whatever the guest left there: flags are masked, segments
 * must be those of 64-bit user code, the FP image is checked by the platform, and an address that
 * the CPU would not jump to is a fault of the guest's. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "sentry/kernel/task_impl.h"
#include "sentry/mm/usercopy.h"
#include "sentry/syscalls/syscalls.h"

#define SA_RESTORER_GUEST 0x04000000UL
#define SS_AUTODISARM_GUEST (1U << 31)
#define GUEST_MINSIGSTKSZ 2048
#define RED_ZONE 128
#define USER_CS 0x33
#define USER_DS 0x2b
/* The first address that user code can't have. */
#define USER_TOP 0x7ffffffff000UL

/* Flags that a guest may set: AC, OF, DF, TF, SF, ZF, AF, PF, CF, RF. */
#define EFLAGS_GUEST 0x50dd5UL
#define EFLAGS_TF 0x100UL
#define EFLAGS_DF 0x400UL
#define EFLAGS_RF 0x10000UL

/* uc_flags: the frame has an XSAVE image; ss is saved, and restored as it is. */
#define UC_FLAGS (1 | 2 | 4)

struct guest_stack {
	uint64_t sp;
	int32_t flags, pad;
	uint64_t size;
};

struct guest_sigcontext {
	uint64_t r8, r9, r10, r11, r12, r13, r14, r15;
	uint64_t rdi, rsi, rbp, rbx, rdx, rax, rcx, rsp, rip, eflags;
	uint16_t cs, gs, fs, ss;
	uint64_t err, trapno, oldmask, cr2;
	uint64_t fpstate;
	uint64_t reserved[8];
};
_Static_assert(sizeof(struct guest_sigcontext) == 256, "struct sigcontext");

struct guest_ucontext {
	uint64_t flags, link;
	struct guest_stack stack;
	struct guest_sigcontext mc;
	sigset64 mask;
};
_Static_assert(sizeof(struct guest_ucontext) == 304, "struct ucontext");

struct guest_sigframe {
	uint64_t restorer;
	struct guest_ucontext uc;
	struct guest_siginfo info;
};
_Static_assert(sizeof(struct guest_sigframe) == 440, "struct rt_sigframe");

/* The FP state's buffer: on the heap, since an S thread's stack is small. */
static size_t fpu_buf_size(void)
{
	return kernel->pf_ops->fpu_size(kernel->platform);
}

bool sigframe_bad_rip(uint64_t rip)
{
	return rip >= USER_TOP;
}

/* ---- alternate stack ------------------------------------------------------------------------ */

void altstack_reset(struct task *t)
{
	t->altstack_sp = t->altstack_size = 0;
	t->altstack_flags = SS_DISABLE;
}

static bool within_altstack(const struct task *t, uint64_t sp)
{
	return sp > t->altstack_sp && sp - t->altstack_sp <= t->altstack_size;
}

/* With SS_AUTODISARM it was disabled when it was entered, so nobody is on it. */
static bool on_altstack(const struct task *t, uint64_t sp)
{
	return !((unsigned)t->altstack_flags & SS_AUTODISARM_GUEST) && within_altstack(t, sp);
}

int task_sigaltstack(struct task *t, const uint64_t *sp, const uint64_t *size, int flags,
		     uint64_t user_sp)
{
	int mode = (int)((unsigned)flags & ~SS_AUTODISARM_GUEST);

	if (on_altstack(t, user_sp))
		return -EPERM;
	if (mode != SS_DISABLE && mode != SS_ONSTACK && mode != 0)
		return -EINVAL;
	if (mode == SS_DISABLE) {
		t->altstack_sp = t->altstack_size = 0;
	} else {
		if (*size < GUEST_MINSIGSTKSZ)
			return -ENOMEM;
		t->altstack_sp = *sp;
		t->altstack_size = *size;
	}
	t->altstack_flags = flags;
	return 0;
}

int64_t sys_sigaltstack(struct task *t, struct gptr ss, struct gptr old)
{
	uint64_t user_sp = kernel->pf_ops->regs(t->pt)->rsp;
	struct guest_stack new = {0}, was = {.sp = t->altstack_sp, .size = t->altstack_size};
	int err;

	if (!gptr_null(ss) && get_guest(t, &new, ss))
		return -EFAULT;
	was.flags = t->altstack_size == 0 ? SS_DISABLE : on_altstack(t, user_sp) ? SS_ONSTACK : 0;
	was.flags |= (int)((unsigned)t->altstack_flags & SS_AUTODISARM_GUEST);
	if (!gptr_null(ss)) {
		err = task_sigaltstack(t, &new.sp, &new.size, new.flags, user_sp);
		if (err < 0)
			return err;
	}
	if (!gptr_null(old) && put_guest(t, old, &was))
		return -EFAULT;
	return 0;
}

/* ---- to the handler ------------------------------------------------------------------------- */

static void sigcontext_fill(struct guest_sigcontext *mc, const struct task *t,
			    const struct pf_regs *r, sigset64 mask, uint64_t fpstate)
{
	*mc = (struct guest_sigcontext){
		.r8 = r->r8,	 .r9 = r->r9,	  .r10 = r->r10,   .r11 = r->r11,
		.r12 = r->r12,	 .r13 = r->r13,	  .r14 = r->r14,   .r15 = r->r15,
		.rdi = r->rdi,	 .rsi = r->rsi,	  .rbp = r->rbp,   .rbx = r->rbx,
		.rdx = r->rdx,	 .rax = r->rax,	  .rcx = r->rcx,   .rsp = r->rsp,
		.rip = r->rip,	 .eflags = r->eflags, .cs = USER_CS, .ss = USER_DS,
		.err = t->fault_error, .trapno = t->fault_trapno, .oldmask = mask,
		.cr2 = t->fault_addr, .fpstate = fpstate,
	};
}

/* Where the frame goes; 0 when it doesn't fit on the alternate stack. */
static uint64_t frame_place(const struct task *t, const struct sigaction_guest *act, uint64_t rsp,
			    size_t fpu_len, uint64_t *fpstate)
{
	uint64_t sp = rsp - RED_ZONE;
	bool nested = on_altstack(t, rsp), entering = false;

	if ((act->flags & SA_ONSTACK) && t->altstack_size && !on_altstack(t, sp)) {
		sp = t->altstack_sp + t->altstack_size;
		entering = true;
	}
	sp = (sp - fpu_len) & ~63ULL;
	*fpstate = sp;
	sp = ((sp - sizeof(struct guest_sigframe)) & ~15ULL) - 8;
	if ((entering && !within_altstack(t, sp)) || (nested && !entering && !on_altstack(t, sp)))
		return 0;
	return sp;
}

int sigframe_push(struct task *t, int signo, const struct sigaction_guest *act,
		  const struct guest_siginfo *info, sigset64 saved_mask)
{
	const struct pf_ops *ops = kernel->pf_ops;
	struct pf_regs *regs = ops->regs(t->pt);
	struct guest_sigframe frame = {.restorer = act->restorer};
	AUTO(free) void *fpu = malloc(fpu_buf_size());
	uint64_t sp, fpstate;
	int fpu_len;

	if (!(act->flags & SA_RESTORER_GUEST) || !fpu)
		return -EFAULT;
	fpu_len = ops->fpu_get(t->pt, fpu, fpu_buf_size());
	if (fpu_len < 0)
		return -EFAULT;
	sp = frame_place(t, act, regs->rsp, (size_t)fpu_len, &fpstate);
	if (!sp)
		return -EFAULT;
	frame.uc.flags = UC_FLAGS;
	frame.uc.stack = (struct guest_stack){t->altstack_sp, t->altstack_flags, 0, t->altstack_size};
	frame.uc.mask = saved_mask;
	frame.info = *info;
	sigcontext_fill(&frame.uc.mc, t, regs, saved_mask, fpstate);
	if (copy_to_guest(t, gptr(fpstate), fpu, (size_t)fpu_len) ||
	    copy_to_guest(t, gptr(sp), &frame, sizeof(frame)))
		return -EFAULT;
	if ((unsigned)t->altstack_flags & SS_AUTODISARM_GUEST)
		altstack_reset(t);
	regs->rdi = (uint64_t)signo;
	regs->rsi = sp + offsetof(struct guest_sigframe, info);
	regs->rdx = sp + offsetof(struct guest_sigframe, uc);
	regs->rax = 0;
	regs->rsp = sp;
	regs->rip = act->handler;
	regs->eflags &= ~(EFLAGS_DF | EFLAGS_TF | EFLAGS_RF);
	regs->orig_rax = -1;
	ops->fpu_reset(t->pt);
	return 0;
}

/* ---- and back ------------------------------------------------------------------------------- */

static void sigcontext_apply(struct pf_regs *r, const struct guest_sigcontext *mc)
{
	r->r8 = mc->r8;
	r->r9 = mc->r9;
	r->r10 = mc->r10;
	r->r11 = mc->r11;
	r->r12 = mc->r12;
	r->r13 = mc->r13;
	r->r14 = mc->r14;
	r->r15 = mc->r15;
	r->rdi = mc->rdi;
	r->rsi = mc->rsi;
	r->rbp = mc->rbp;
	r->rbx = mc->rbx;
	r->rdx = mc->rdx;
	r->rax = mc->rax;
	r->rcx = mc->rcx;
	r->rsp = mc->rsp;
	r->rip = mc->rip;
	r->eflags = (r->eflags & ~EFLAGS_GUEST) | (mc->eflags & EFLAGS_GUEST);
}

/* The image says itself how long it is: at offset 464 of the legacy area, behind its magic, the
 * size of the whole (with the trailing magic). */
static int fpstate_restore(struct task *t, uint64_t addr)
{
	const struct pf_ops *ops = kernel->pf_ops;
	AUTO(free) uint8_t *buf = NULL;
	uint32_t magic, len = 512;
	size_t cap = fpu_buf_size();
	uint32_t head[2];

	if (addr == 0) {
		ops->fpu_reset(t->pt);
		return 0;
	}
	if (cap < 512)
		cap = 512;
	buf = calloc(1, cap);
	if (!buf || copy_from_guest(t, buf, gptr(addr), 512))
		return -EFAULT;
	memcpy(head, buf + 464, sizeof(head));
	magic = head[0];
	if (magic == 0x46505853U && head[1] > 512 && head[1] <= cap) {
		len = head[1];
		if (copy_from_guest(t, buf + 512, gptr(addr + 512), len - 512))
			return -EFAULT;
	}
	return ops->fpu_set(t->pt, buf, len) < 0 ? -EFAULT : 0;
}

static int64_t sigreturn_bad(struct task *t)
{
	struct guest_siginfo info;

	siginfo_kernel(&info, SIGSEGV);
	signal_force(t, &info);
	kernel->pf_ops->regs(t->pt)->orig_rax = -1;
	return (int64_t)kernel->pf_ops->regs(t->pt)->rax;
}

int64_t sys_rt_sigreturn(struct task *t)
{
	struct pf_regs *regs = kernel->pf_ops->regs(t->pt);
	struct guest_ucontext uc;

	/* The handler's `ret` has taken the return address off. */
	if (get_guest(t, &uc, gptr(regs->rsp)))
		return sigreturn_bad(t);
	t->restart = NULL;
	signal_set_mask(t, uc.mask);
	if (uc.mc.cs != USER_CS || ((uc.flags & 4) && uc.mc.ss != USER_DS))
		return sigreturn_bad(t);
	sigcontext_apply(regs, &uc.mc);
	regs->orig_rax = -1;
	if (fpstate_restore(t, uc.mc.fpstate) < 0)
		return sigreturn_bad(t);
	task_sigaltstack(t, &uc.stack.sp, &uc.stack.size, uc.stack.flags, regs->rsp);
	return (int64_t)regs->rax;
}
