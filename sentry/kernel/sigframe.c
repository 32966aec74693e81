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

#include "abi/linux/sigframe.h"
#include "sentry/kernel/task_impl.h"
#include "sentry/mm/usercopy.h"
#include "sentry/syscalls/syscalls.h"

#define USER_CS 0x33
#define USER_DS 0x2b
/* The first address that user code can't have. */
#define USER_TOP 0x7ffffffff000UL

/* Flags that a guest may set: AC, OF, DF, TF, SF, ZF, AF, PF, CF, RF. */
#define EFLAGS_GUEST 0x50dd5UL
#define EFLAGS_TF 0x100UL
#define EFLAGS_DF 0x400UL
#define EFLAGS_RF 0x10000UL

#define UC_FLAGS                                                                                   \
	(LINUX_UC_FP_XSTATE | LINUX_UC_SIGCONTEXT_SS | LINUX_UC_STRICT_RESTORE_SS)

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
	return !((unsigned)t->altstack_flags & LINUX_SS_AUTODISARM) && within_altstack(t, sp);
}

int task_sigaltstack(struct task *t, const uint64_t *sp, const uint64_t *size, int flags,
		     uint64_t user_sp)
{
	int mode = (int)((unsigned)flags & ~LINUX_SS_AUTODISARM);

	if (on_altstack(t, user_sp))
		return -EPERM;
	if (mode != SS_DISABLE && mode != SS_ONSTACK && mode != 0)
		return -EINVAL;
	if (mode == SS_DISABLE) {
		t->altstack_sp = t->altstack_size = 0;
	} else {
		if (*size < LINUX_MINSIGSTKSZ)
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
	struct linux_stack new = {0}, was = {.ss_sp = t->altstack_sp, .ss_size = t->altstack_size};
	int err;

	if (!gptr_null(ss) && get_guest(t, &new, ss))
		return -EFAULT;
	was.ss_flags = t->altstack_size == 0 ? SS_DISABLE : on_altstack(t, user_sp) ? SS_ONSTACK : 0;
	was.ss_flags |= (int)((unsigned)t->altstack_flags & LINUX_SS_AUTODISARM);
	if (!gptr_null(ss)) {
		err = task_sigaltstack(t, &new.ss_sp, &new.ss_size, new.ss_flags, user_sp);
		if (err < 0)
			return err;
	}
	if (!gptr_null(old) && put_guest(t, old, &was))
		return -EFAULT;
	return 0;
}

/* ---- to the handler ------------------------------------------------------------------------- */

static void sigcontext_fill(struct linux_sigcontext *mc, const struct task *t,
			    const struct pf_regs *r, sigset64 mask, uint64_t fpstate)
{
	*mc = (struct linux_sigcontext){
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
	uint64_t sp = rsp - LINUX_RED_ZONE;
	bool nested = on_altstack(t, rsp), entering = false;

	if ((act->flags & SA_ONSTACK) && t->altstack_size && !on_altstack(t, sp)) {
		sp = t->altstack_sp + t->altstack_size;
		entering = true;
	}
	sp = (sp - fpu_len) & ~63ULL;
	*fpstate = sp;
	sp = ((sp - sizeof(struct linux_rt_sigframe)) & ~15ULL) - 8;
	if ((entering && !within_altstack(t, sp)) || (nested && !entering && !on_altstack(t, sp)))
		return 0;
	return sp;
}

static void frame_fill(struct linux_rt_sigframe *frame, const struct task *t,
		       const struct pf_regs *regs, const struct sigaction_guest *act,
		       const struct guest_siginfo *info, sigset64 saved_mask, uint64_t fpstate)
{
	memset(frame, 0, sizeof(*frame));
	frame->pretcode = act->restorer;
	frame->uc.uc_flags = UC_FLAGS;
	frame->uc.uc_stack.ss_sp = t->altstack_sp;
	frame->uc.uc_stack.ss_flags = t->altstack_flags;
	frame->uc.uc_stack.ss_size = t->altstack_size;
	frame->uc.uc_sigmask = saved_mask;
	memcpy(&frame->info, info, sizeof(frame->info));
	sigcontext_fill(&frame->uc.uc_mcontext, t, regs, saved_mask, fpstate);
}

static void regs_enter(struct pf_regs *regs, int signo, uint64_t sp, uint64_t handler)
{
	regs->rdi = (uint64_t)signo;
	regs->rsi = sp + offsetof(struct linux_rt_sigframe, info);
	regs->rdx = sp + offsetof(struct linux_rt_sigframe, uc);
	regs->rax = 0;
	regs->rsp = sp;
	regs->rip = handler;
	regs->eflags &= ~(EFLAGS_DF | EFLAGS_TF | EFLAGS_RF);
	regs->orig_rax = -1;
}

/* As results of calls are written; nobody looks at a frame before its handler. */
static int frame_write(struct task *t, uint64_t sp, const void *frame, size_t n)
{
	int err;

	t->late = t->late_frame = kernel->pf_ops->late_buffer != NULL;
	err = copy_to_guest(t, gptr(sp), frame, n);
	t->late = false;
	return err;
}

/* Between the frame and the FP state there is less than this, for alignment. */
#define FRAME_GAP_MAX 96

int sigframe_push(struct task *t, int signo, const struct sigaction_guest *act,
		  const struct guest_siginfo *info, sigset64 saved_mask)
{
	const struct pf_ops *ops = kernel->pf_ops;
	struct pf_regs *regs = ops->regs(t->pt);
	const size_t head = sizeof(struct linux_rt_sigframe) + FRAME_GAP_MAX;
	AUTO(free) uint8_t *buf = malloc(head + fpu_buf_size());
	uint64_t sp, fpstate;
	uint8_t *start;
	int fpu_len;

	if (!(act->flags & LINUX_SA_RESTORER) || !buf)
		return -EFAULT;
	fpu_len = ops->fpu_get(t->pt, buf + head, fpu_buf_size());
	if (fpu_len < 0)
		return -EFAULT;
	sp = frame_place(t, act, regs->rsp, (size_t)fpu_len, &fpstate);
	if (!sp)
		return -EFAULT;
	/* One copy for both; what lies in the gap is zero. */
	start = buf + head - (fpstate - sp);
	memset(start, 0, fpstate - sp);
	frame_fill((struct linux_rt_sigframe *)(void *)start, t, regs, act, info, saved_mask,
		   fpstate);
	if (frame_write(t, sp, start, fpstate - sp + (size_t)fpu_len))
		return -EFAULT;
	if ((unsigned)t->altstack_flags & LINUX_SS_AUTODISARM)
		altstack_reset(t);
	regs_enter(regs, signo, sp, act->handler);
	ops->fpu_reset(t->pt);
	return 0;
}

/* ---- and back ------------------------------------------------------------------------------- */

static void sigcontext_apply(struct pf_regs *r, const struct linux_sigcontext *mc)
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

/* The image says itself how long it is: the size of the whole (with the trailing magic) stands
 * behind its magic, at the end of the legacy area. */
static size_t fpstate_len(const uint8_t *buf, size_t cap)
{
	struct linux_fp_sw_bytes sw;

	memcpy(&sw, buf + LINUX_FP_SW_RESERVED_OFFSET, sizeof(sw));
	if (sw.magic1 == LINUX_FP_XSTATE_MAGIC1 && sw.extended_size > LINUX_FXSAVE_SIZE &&
	    sw.extended_size <= cap)
		return sw.extended_size;
	return LINUX_FXSAVE_SIZE;
}

/* What was copied in with the ucontext: frame and FP state usually lie together. */
struct frame_copy {
	uint8_t *buf;
	uint64_t addr; /* of buf[0] in the guest */
	size_t len;
};

/* The FP state at `addr` if all of it is in the copy. */
static const uint8_t *fpstate_peek(const struct frame_copy *c, uint64_t addr, size_t cap,
				   size_t *len)
{
	size_t left;

	if (addr < c->addr || addr - c->addr >= c->len)
		return NULL;
	left = c->len - (addr - c->addr);
	if (left < LINUX_FXSAVE_SIZE)
		return NULL;
	*len = fpstate_len(c->buf + (addr - c->addr), cap);
	return *len <= left ? c->buf + (addr - c->addr) : NULL;
}

static int fpstate_restore_far(struct task *t, uint64_t addr, size_t cap)
{
	AUTO(free) uint8_t *buf = calloc(1, cap);
	ssize_t got;

	if (!buf)
		return -EFAULT;
	/* As much as there can be: a shorter image may end where the memory does. */
	got = copy_from_guest_partial(t, buf, gptr(addr), cap);
	if (got < LINUX_FXSAVE_SIZE || got < (ssize_t)fpstate_len(buf, cap))
		return -EFAULT;
	return kernel->pf_ops->fpu_set(t->pt, buf, fpstate_len(buf, cap)) < 0 ? -EFAULT : 0;
}

static int fpstate_restore(struct task *t, uint64_t addr, const struct frame_copy *c)
{
	size_t cap = fpu_buf_size(), len;
	const uint8_t *near;

	if (addr == 0) {
		kernel->pf_ops->fpu_reset(t->pt);
		return 0;
	}
	if (cap < LINUX_FXSAVE_SIZE)
		cap = LINUX_FXSAVE_SIZE;
	near = fpstate_peek(c, addr, cap, &len);
	if (!near)
		return fpstate_restore_far(t, addr, cap);
	return kernel->pf_ops->fpu_set(t->pt, near, len) < 0 ? -EFAULT : 0;
}

static int64_t sigreturn_bad(struct task *t)
{
	struct guest_siginfo info;

	siginfo_kernel(&info, SIGSEGV);
	signal_force(t, &info);
	kernel->pf_ops->regs(t->pt)->orig_rax = -1;
	return (int64_t)kernel->pf_ops->regs(t->pt)->rax;
}

/* The handler's `ret` has taken the return address off: the ucontext lies at rsp. */
static int frame_fetch(struct task *t, uint64_t rsp, struct frame_copy *c)
{
	size_t cap = sizeof(struct linux_rt_sigframe) + FRAME_GAP_MAX + fpu_buf_size();
	ssize_t got;

	c->addr = rsp;
	c->buf = malloc(cap);
	if (!c->buf)
		return -EFAULT;
	got = copy_from_guest_partial(t, c->buf, gptr(rsp), cap);
	if (got < (ssize_t)sizeof(struct linux_ucontext))
		return -EFAULT;
	c->len = (size_t)got;
	return 0;
}

static int frame_restore(struct task *t, const struct frame_copy *c)
{
	struct pf_regs *regs = kernel->pf_ops->regs(t->pt);
	struct linux_ucontext uc;

	memcpy(&uc, c->buf, sizeof(uc));
	signal_set_mask(t, uc.uc_sigmask);
	if (uc.uc_mcontext.cs != USER_CS ||
	    ((uc.uc_flags & LINUX_UC_STRICT_RESTORE_SS) && uc.uc_mcontext.ss != USER_DS))
		return -EFAULT;
	sigcontext_apply(regs, &uc.uc_mcontext);
	regs->orig_rax = -1;
	if (fpstate_restore(t, uc.uc_mcontext.fpstate, c) < 0)
		return -EFAULT;
	task_sigaltstack(t, &uc.uc_stack.ss_sp, &uc.uc_stack.ss_size, uc.uc_stack.ss_flags,
			 regs->rsp);
	return 0;
}

int64_t sys_rt_sigreturn(struct task *t)
{
	struct frame_copy c = {0};
	int err = frame_fetch(t, kernel->pf_ops->regs(t->pt)->rsp, &c);

	t->restart = NULL;
	if (err == 0)
		err = frame_restore(t, &c);
	free(c.buf);
	return err < 0 ? sigreturn_bad(t) : (int64_t)kernel->pf_ops->regs(t->pt)->rax;
}
