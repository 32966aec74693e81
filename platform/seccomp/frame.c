/* Reading and editing the signal frame that the host kernel left in a thread's slot. Each word
 * can change under us; so positions are checked once and kept as offsets of our own. */
#include "platform/seccomp/impl.h"

#include <errno.h>
#include <string.h>

#include "platform/seccomp/frame.h"

#define EFLAGS_TF 0x100UL
#define ALTSTACK_END (SLOT_ALTSTACK + SLOT_ALTSTACK_SIZE)

static void *at(struct pf_thread *t, uint32_t off)
{
	return (uint8_t *)t->slot + off;
}

/* The offset in the slot of [addr, addr + size), which must lie in the alternate stack. */
static int stack_offset(struct pf_thread *t, uint64_t addr, size_t size, uint32_t *off)
{
	uint64_t o = addr - slot_guest_addr(t->slot_index);

	if (o < SLOT_ALTSTACK || o > ALTSTACK_END - size)
		return -EINVAL;
	*off = o;
	return 0;
}

/* Of a system call only the registers are read: each cache line that another CPU has just written
 * costs 100 ns. Its frame lies where the zygote's first one lay. */
static int load_syscall(struct pf_thread *t, struct pf_event *ev)
{
	t->uc_off = t->space->p->uc_off;
	t->fp_off = t->space->p->fp_off;
	memcpy(&t->regs, at(t, t->uc_off + offsetof(struct kernel_ucontext, mc)),
	       sizeof(t->in_frame));
	ev->nr = (int64_t)(int32_t)t->regs.rax;
	return 0;
}

static int load_fault(struct pf_thread *t, struct pf_event *ev)
{
	struct kernel_sigcontext mc;
	struct kernel_siginfo info;
	uint32_t info_off;

	if (stack_offset(t, t->slot->uc, sizeof(struct kernel_ucontext), &t->uc_off) ||
	    stack_offset(t, t->slot->info, sizeof(info), &info_off))
		return -EINVAL;
	memcpy(&mc, at(t, t->uc_off + offsetof(struct kernel_ucontext, mc)), sizeof(mc));
	memcpy(&info, at(t, info_off), offsetof(struct kernel_siginfo, bytes) + 16);
	if (stack_offset(t, mc.fpstate, t->space->p->fp_size, &t->fp_off))
		return -EINVAL;
	memcpy(&t->regs, mc.gregs, sizeof(mc.gregs));
	ev->signo = t->slot->signo;
	ev->code = info.code;
	ev->addr = info.addr;
	ev->trapno = mc.trapno;
	ev->error = mc.err;
	ev->nr = (int64_t)info.sys.syscall;
	return 0;
}

static int load_fast(struct pf_thread *t, struct pf_event *ev, int signo)
{
	if (signo != SIGSYS && signo != STUB_SIG_INTERRUPT)
		return -EINVAL;
	memcpy(&t->regs, at(t, SLOT_FAST_REGS), sizeof(t->in_frame));
	ev->nr = (int64_t)(int32_t)t->regs.rax;
	return 0;
}

/* Calls of this site, or others, that the stub has answered since the last that it told. */
static uint32_t unheard(const struct slot *s)
{
	uint32_t n = __atomic_load_n(&s->unheard, __ATOMIC_RELAXED);

	return n <= STUB_ANSWERS_UNTOLD ? n : 0;
}

int frame_load(struct pf_thread *t, struct pf_event *ev, int *signo)
{
	struct slot *s = t->slot;
	uint64_t uc = s->uc;
	int r;

	*signo = s->signo;
	t->fast = !uc;
	if (t->fast)
		r = load_fast(t, ev, *signo);
	else if (*signo == SIGSYS && uc == slot_guest_addr(t->slot_index) + t->space->p->uc_off)
		r = load_syscall(t, ev);
	else
		r = load_fault(t, ev);
	if (r)
		return r;
	memcpy(t->in_frame, &t->regs, sizeof(t->in_frame));
	if (t->space->p->fsgsbase) {
		t->regs.fs_base = t->fs_seen = s->fs_base;
		t->gs_seen = s->gs_base;
		t->regs.gs_base = t->gs_seen == host_gs(t, 0) ? 0 : t->gs_seen;
	}
	ev->signo = *signo;
	ev->traps = t->fast ? 0 : 1 + unheard(s);
	t->regs.orig_rax = -1;
	return 0;
}

static bool base_valid(uint64_t v)
{
	return (uint64_t)((int64_t)(v << 16) >> 16) == v;
}

/* With the borrow lock. */
static int frame_make(struct pf_thread *t)
{
	struct kernel_ucontext *uc;
	int r;

	t->slot->ncmd = 0;
	r = handover_wait(t, WAIT_COMMANDS, handover_give(t, SLOT_FRAME));
	if (r)
		return r;
	r = stack_offset(t, t->slot->uc, sizeof(*uc), &t->uc_off);
	if (r == 0) {
		uc = at(t, t->uc_off);
		r = stack_offset(t, uc->mc.fpstate, t->space->p->fp_size, &t->fp_off);
	}
	if (r) {
		seccomp_space_kill(t->space);
		return -ESRCH;
	}
	t->fast = false;
	return 0;
}

int frame_full(struct pf_thread *t)
{
	int r;

	if (!t->fast)
		return 0;
	borrow_lock(t);
	r = frame_make(t);
	borrow_unlock(t);
	return r;
}

/* With the borrow lock. */
void frame_store(struct pf_thread *t)
{
	struct slot *s = t->slot;
	uint32_t flags = slot_flags(t->space->p) | (t->window.reads_large ? SLOT_LARGE : 0);
	uint64_t gs = t->regs.gs_base, *gregs;

	if (t->space->p->fsgsbase)
		gs = host_gs(t, gs);
	/* The way out of a fast call leads through %gs, and would be single-stepped itself. */
	if (t->fast && (gs != t->gs_seen || t->regs.eflags & EFLAGS_TF))
		frame_make(t);
	gregs = t->fast ? at(t, SLOT_FAST_REGS)
			: ((struct kernel_ucontext *)at(t, t->uc_off))->mc.gregs;
	for (unsigned i = 0; i < 18; i++)
		if (((uint64_t *)&t->regs)[i] != t->in_frame[i])
			gregs[i] = ((uint64_t *)&t->regs)[i];
	memcpy(t->in_frame, &t->regs, sizeof(t->in_frame));
	if (t->regs.fs_base != t->fs_seen && base_valid(t->regs.fs_base)) {
		s->fs_base = t->fs_seen = t->regs.fs_base;
		flags |= SLOT_SET_FS;
	}
	if (gs != t->gs_seen && base_valid(gs)) {
		s->gs_base = t->gs_seen = gs;
		flags |= SLOT_SET_GS;
	}
	s->flags = flags;
}

/* dst, which is to be born in its own slot, gets src's frame at the same place in its slot. */
void frame_copy(struct pf_thread *dst, struct pf_thread *src)
{
	struct kernel_ucontext *uc;
	uint32_t from = src->uc_off < src->fp_off ? src->uc_off : src->fp_off;
	uint64_t base = slot_guest_addr(dst->slot_index);

	memcpy(at(dst, from), at(src, from), ALTSTACK_END - from);
	dst->uc_off = src->uc_off;
	dst->fp_off = src->fp_off;
	uc = at(dst, dst->uc_off);
	uc->link = 0;
	uc->ss_sp = base + SLOT_ALTSTACK;
	uc->ss_flags = 0;
	uc->ss_size = SLOT_ALTSTACK_SIZE;
	uc->mc.fpstate = base + dst->fp_off;
}

size_t seccomp_fpu_size(struct platform *p)
{
	return p->fp_size;
}

int seccomp_fpu_get(struct pf_thread *t, void *buf, size_t cap)
{
	size_t n = t->space->p->fp_size;

	if (cap < n)
		return -ENOSPC;
	if (frame_full(t))
		return -EINTR;
	memcpy(buf, at(t, t->fp_off), n);
	fp_trailer_write(buf, t->space->p->fp_features, t->space->p->fp_size);
	return n;
}

int seccomp_fpu_set(struct pf_thread *t, const void *buf, size_t len)
{
	struct platform *p = t->space->p;
	struct fp_header h = {.xstate_bv = 3};
	uint32_t mxcsr, n = FP_FXSAVE_SIZE;
	uint8_t *fp;

	if (len < FP_FXSAVE_SIZE)
		return -EINVAL;
	if (frame_full(t))
		return -EINTR;
	fp = at(t, t->fp_off);
	memcpy(&mxcsr, (const uint8_t *)buf + FP_MXCSR, sizeof(mxcsr));
	if (mxcsr & ~p->mxcsr_mask)
		return -EINVAL;
	if (p->fp_features && fp_is_extended(buf, len, &n)) {
		memcpy(&h, (const uint8_t *)buf + FP_FXSAVE_SIZE, sizeof(h));
		if (fp_header_check(p->fp_features, &h))
			return -EINVAL;
		if (n > p->fp_size - 4)
			n = p->fp_size - 4;
	}
	memcpy(fp, buf, n);
	memcpy(fp + FP_MXCSR_MASK, &p->mxcsr_mask, sizeof(p->mxcsr_mask));
	if (p->fp_features)
		memcpy(fp + FP_FXSAVE_SIZE, &h, sizeof(h));
	fp_trailer_write(fp, p->fp_features, p->fp_size);
	return 0;
}

/* An xstate_bv of 0 means the initial state of everything but MXCSR. */
void seccomp_fpu_reset(struct pf_thread *t)
{
	struct platform *p = t->space->p;
	uint8_t *fp;
	uint16_t fcw = 0x37f;
	uint32_t mxcsr = 0x1f80;

	if (frame_full(t))
		return;
	fp = at(t, t->fp_off);
	memset(fp, 0, p->fp_features ? FP_FXSAVE_SIZE + sizeof(struct fp_header) : FP_FXSAVE_SIZE);
	memcpy(fp, &fcw, sizeof(fcw));
	memcpy(fp + FP_MXCSR, &mxcsr, sizeof(mxcsr));
	memcpy(fp + FP_MXCSR_MASK, &p->mxcsr_mask, sizeof(p->mxcsr_mask));
	fp_trailer_write(fp, p->fp_features, p->fp_size);
}

/* Learns the layout from the zygote's first frame, when no guest has run yet. */
int frame_learn(struct pf_thread *t)
{
	struct platform *p = t->space->p;
	struct kernel_ucontext *uc;
	struct fp_sw sw;

	if (stack_offset(t, t->slot->uc, sizeof(*uc), &t->uc_off))
		return -EPROTO;
	uc = at(t, t->uc_off);
	if (stack_offset(t, uc->mc.fpstate, FP_FXSAVE_SIZE, &t->fp_off))
		return -EPROTO;
	memcpy(&sw, (uint8_t *)at(t, t->fp_off) + FP_SW, sizeof(sw));
	memcpy(&p->mxcsr_mask, (uint8_t *)at(t, t->fp_off) + FP_MXCSR_MASK, sizeof(p->mxcsr_mask));
	if (!p->mxcsr_mask)
		p->mxcsr_mask = 0xffbf;
	p->fp_size = FP_FXSAVE_SIZE;
	p->fp_features = 0;
	if (sw.magic1 == FP_MAGIC1) {
		p->fp_size = sw.extended_size;
		p->fp_features = sw.xfeatures;
	}
	if (p->fp_size > SLOT_ALTSTACK_SIZE / 3)
		return -E2BIG;
	if (stack_offset(t, uc->mc.fpstate, p->fp_size, &t->fp_off))
		return -EPROTO;
	p->uc_off = t->uc_off;
	p->fp_off = t->fp_off;
	memcpy(t->in_frame, uc->mc.gregs, sizeof(t->in_frame));
	return 0;
}
