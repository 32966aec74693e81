/* The stub's way in and out.
 *
 *	guest                host kernel              stub                     sentry (S)
 *	syscall  ----------> filter: TRAP
 *	                     frame to altstack -----> stub_handler
 *	                                              state = STOPPED  ------> reads frame
 *	                                              spin, yield, sleep       serves the call
 *	                                              RESUME  <--------------- edits frame
 *	                     rt_sigreturn <---------- stub_return
 *	next instruction <---
 *
 * The alternate stack lies in the thread's slot, so the frame is in memory that the sentry sees,
 * and the slot is found from the stack pointer alone. Faults and the sentry's interrupt come the
 * same way. All signals but SIGSEGV and SIGBUS are blocked in here: these two let the operations
 * on guest memory fail properly.
 *
 * A patched call site jumps to the thunk, and that to stub_fast_entry (entry.S), instead:
 *
 *	jmp thunk -----------------------------------> stub_fast: registers in the slot
 *	                                               state = STOPPED  ------> reads registers
 *	                                               RESUME  <--------------- edits them
 *	next instruction <---------------------------- stub_fast_exit
 *
 * No frame is made then, and no signal is blocked. A call that needs a frame, and a sentry that
 * asks for one (SLOT_FRAME), get it by stub_trap(): the handler fills it from the slot.
 *
 * This code runs at STUB_TEXT, a copy of what was linked elsewhere: it has no data and no
 * relocations. It trusts nothing either: whatever it is made to do, by a forged slot or by a
 * jump into the middle of it, the filter (filter.c) is what holds. */
#include <asm/unistd.h>
#include <linux/errno.h>
#include <linux/futex.h>
#include <asm/sigcontext.h>
#include <asm/signal.h>
#include <asm/ucontext.h>
#include <linux/time_types.h>
#include <linux/resource.h>

#include "platform/stub/known.h"
#include "platform/stub/layout_asm.h"
#include "platform/stub/stub.h"

_Static_assert(STUB_ASM_ARENA == STUB_ARENA, "layout_asm.h");
_Static_assert(STUB_ASM_ARENA_SIZE == STUB_ARENA_SIZE, "layout_asm.h");
_Static_assert(STUB_ASM_SOCK == STUB_SOCK, "layout_asm.h");
_Static_assert(STUB_ASM_FAST_STACK == SLOT_FAST_STACK, "layout_asm.h");
_Static_assert(STUB_ASM_FAST_REGS == SLOT_FAST_REGS, "layout_asm.h");
_Static_assert(STUB_ASM_PENDING == offsetof(struct slot, pending), "layout_asm.h");

static struct slot *slot_of(uint64_t addr)
{
	return (struct slot *)(addr & ~(SLOT_SIZE - 1));
}

static uint64_t read_tsc(void)
{
	uint32_t lo, hi;

	__asm__ volatile("rdtsc" : "=a"(lo), "=d"(hi));
	return (uint64_t)hi << 32 | lo;
}

static uint32_t current_cpu(void)
{
	uint32_t v;

	/* The per-CPU segment of the host kernel: its limit holds node and CPU. */
	__asm__ volatile("lsl %1, %0" : "=r"(v) : "r"(0x7b) : "cc");
	return v & 0xfff;
}

static void fs_gs_save(struct slot *s)
{
	uint64_t fs, gs;

	__asm__ volatile("rdfsbase %0" : "=r"(fs));
	__asm__ volatile("rdgsbase %0" : "=r"(gs));
	s->fs_base = fs;
	s->gs_base = gs;
}

static void fs_gs_load(struct slot *s)
{
	uint32_t flags = s->flags;

	if (flags & SLOT_SET_FS) {
		if (flags & SLOT_FSGSBASE)
			__asm__ volatile("wrfsbase %0" : : "r"(s->fs_base));
		else
			sys2(__NR_arch_prctl, 0x1002, s->fs_base);
	}
	if (flags & SLOT_SET_GS) {
		if (flags & SLOT_FSGSBASE)
			__asm__ volatile("wrgsbase %0" : : "r"(s->gs_base));
		else
			sys2(__NR_arch_prctl, 0x1001, s->gs_base);
	}
}

/* Tells the sentry; the exchange orders the store before the look at sentry_sleeps. */
static void report(struct slot *s)
{
	s->cpu = current_cpu();
	s->tsc = read_tsc();
	__atomic_exchange_n(&s->state, SLOT_STOPPED, __ATOMIC_SEQ_CST);
	if (__atomic_load_n(&s->sentry_sleeps, __ATOMIC_SEQ_CST))
		sys3(__NR_futex, &s->state, FUTEX_WAKE, 1);
}

static void yield(struct slot *s)
{
	uint64_t start = read_tsc(), took;

	sys0(__NR_sched_yield);
	took = read_tsc() - start;
	if (took > STUB_YIELD_LONG)
		s->lost += took;
}

static uint32_t wait_reply(struct slot *s)
{
	uint32_t state, yields = 0, waited = 0;
	uint64_t start = s->spin ? read_tsc() : 0;

	for (;;) {
		state = __atomic_load_n(&s->state, __ATOMIC_ACQUIRE);
		if (state == SLOT_CMD || state == SLOT_RESUME || state == SLOT_FRAME) {
			s->resumed = waited || !start ? read_tsc() : 0;
			return state;
		}
		__builtin_ia32_pause();
		if (start && read_tsc() - start < __atomic_load_n(&s->spin, __ATOMIC_RELAXED))
			continue;
		start = 0;
		waited = 1;
		if (yields < __atomic_load_n(&s->yields, __ATOMIC_RELAXED)) {
			yields++;
			yield(s);
			continue;
		}
		__atomic_store_n(&s->stub_sleeps, 1, __ATOMIC_SEQ_CST);
		sys4(__NR_futex, &s->state, FUTEX_WAIT, SLOT_STOPPED, 0);
		__atomic_store_n(&s->stub_sleeps, 0, __ATOMIC_SEQ_CST);
	}
}

/* 0: all of it is written. */
static uint64_t put_piece(const struct slot_piece *o)
{
	const struct slot_file *f = (const struct slot_file *)(o + 1);
	uint64_t data = (uint64_t)(o + 1) + o->skip;

	switch (o->what) {
	case SLOT_ZEROS:
		return stub_clear(o->addr, o->len);
	case SLOT_FILE:
		return o->len - sys4(__NR_pread64, f->fd, o->addr, o->len, f->offset);
	default:
		if (stub_copy(o->addr, data, o->len))
			return 1;
		slot_take_lines((void *)data, o->len);
		return 0;
	}
}

/* What the call has written goes to the guest's memory. False: it could not. */
static int copy_out(struct slot *s)
{
	uint32_t out = s->out;
	uint64_t at = (uint64_t)s + (out & 0xffff) * SLOT_UNIT;

	for (uint32_t n = out >> 16; n; n--) {
		const struct slot_piece *o = (const struct slot_piece *)at;

		if (put_piece(o))
			return 0;
		at += slot_out_size(o);
	}
	return 1;
}

/* The thread is stopped, and has reported it or was born so: until it may run again. */
static void serve(struct slot *s)
{
	for (;;) {
		uint32_t state = wait_reply(s);

		if (state == SLOT_FRAME) {
			__atomic_store_n(&s->done, s->seq, __ATOMIC_RELEASE);
			stub_trap();
		}
		if (s->ncmd) {
			stub_run_commands(s);
			s->mapped = read_tsc();
			__atomic_store_n(&s->done, s->seq, __ATOMIC_SEQ_CST);
			if (__atomic_load_n(&s->done_waiters, __ATOMIC_SEQ_CST))
				sys3(__NR_futex, &s->done, FUTEX_WAKE, 1 << 30);
		} else {
			__atomic_store_n(&s->done, s->seq, __ATOMIC_RELEASE);
		}
		if (state != SLOT_CMD) {
			fs_gs_load(s);
			if (!s->out || copy_out(s))
				break;
			s->signo = STUB_OUT_FAULT;
		}
		report(s);
	}
	__atomic_store_n(&s->state, SLOT_RUN, __ATOMIC_RELEASE);
}

static _Noreturn void stopped(struct slot *s, uint64_t uc)
{
	serve(s);
	stub_return(uc);
}

_Noreturn void stub_child(uint64_t uc)
{
	struct slot *s = slot_of(uc);

	s->cpu = current_cpu();
	stopped(s, uc);
}

/* True if the fault was one of our own on guest memory: uc is edited so that it fails. */
static int fixup(struct ucontext *uc)
{
	uint64_t ip = uc->uc_mcontext.rip;

	if (ip >= (uint64_t)stub_cmpxchg32 && ip < (uint64_t)stub_cmpxchg32_end)
		uc->uc_mcontext.rip = (uint64_t)stub_fault;
	else if (ip >= (uint64_t)stub_copy && ip < (uint64_t)stub_copy_bytes)
		uc->uc_mcontext.rip = (uint64_t)stub_copy_bytes;
	else if (ip >= (uint64_t)stub_copy_bytes && ip < (uint64_t)stub_copy_end)
		uc->uc_mcontext.rip = (uint64_t)stub_copy_end;
	else if (ip >= (uint64_t)stub_clear && ip < (uint64_t)stub_clear_end)
		uc->uc_mcontext.rip = (uint64_t)stub_clear_end;
	else
		return 0;
	return 1;
}

static int note_fs(struct slot *s, const uint64_t *regs)
{
	if ((uint32_t)regs[REG_RDI] != 0x1002 /* ARCH_SET_FS */ ||
	    regs[REG_RSI] >= STUB_ARENA_END || !(s->flags & SLOT_FSGSBASE))
		return 0;
	__asm__ volatile("wrfsbase %0" : : "r"(regs[REG_RSI]));
	return 1;
}

/* A thread's first calls; true if regs has the answer now. */
static int note(struct slot *s, uint64_t *regs)
{
	uint64_t v = 0;

	switch ((uint32_t)regs[REG_RAX]) {
	case __NR_set_tid_address:
		s->clear_tid = regs[REG_RDI];
		s->said |= SLOT_SAID_CLEAR_TID;
		v = s->tid;
		break;
	case __NR_set_robust_list:
		if (regs[REG_RSI] != STUB_ROBUST_HEAD_SIZE)
			return 0;
		s->robust_list = regs[REG_RDI];
		s->said |= SLOT_SAID_ROBUST_LIST;
		break;
	case __NR_rseq:
		v = -ENOSYS;
		break;
	default:
		if (!note_fs(s, regs))
			return 0;
	}
	regs[REG_RAX] = v;
	return 1;
}

/* Calls whose answer the sentry has published; true if regs has it now. */
static int answer(struct slot *s, uint64_t *regs)
{
	uint32_t nr = regs[REG_RAX], v = 0;

	if ((!stub_may_answer(nr) && !stub_may_note(nr) && !(s->known && known_may_answer(nr))) ||
	    !__atomic_load_n(&s->answers, __ATOMIC_ACQUIRE))
		return 0;
	if (known_may_answer(nr))
		return stub_answer_known(s, regs);
	if (stub_may_note(nr))
		return note(s, regs);
	if (nr == __NR_getpid)
		v = s->tgid;
	else if (nr == __NR_gettid)
		v = s->tid;
	else if (nr == __NR_getppid)
		v = __atomic_load_n(&s->ppid, __ATOMIC_ACQUIRE);
	else if (nr == __NR_getuid)
		v = s->uid;
	else if (nr == __NR_geteuid)
		v = s->euid;
	else if (nr == __NR_getgid)
		v = s->gid;
	else if (nr == __NR_getegid)
		v = s->egid;
	else
		sys0(__NR_sched_yield);
	regs[REG_RAX] = v;
	return 1;
}

/* Calls for which the sentry needs a frame anyway, or often: births, exec, the end of a thread (the
 * next one is given to it), signals to oneself and what follows them, as raise(3) opens the mask
 * only then. */
static int needs_frame(struct slot *s, uint32_t nr)
{
	static const uint32_t after_63[] = {__NR_rt_sigsuspend, __NR_tkill, __NR_tgkill,
					    __NR_execveat, __NR_clone3};
	uint64_t below_64 = 1UL << __NR_rt_sigreturn | 1UL << __NR_pause | 1UL << __NR_clone |
			    1UL << __NR_fork | 1UL << __NR_vfork | 1UL << __NR_execve |
			    1UL << __NR_kill | 1UL << __NR_exit;

	uint32_t after_signal = s->sent_signal;

	s->sent_signal = nr == __NR_kill || nr == __NR_tkill || nr == __NR_tgkill;
	if (nr < 64)
		return (below_64 >> nr & 1) | after_signal;
	for (unsigned i = 0; i < sizeof(after_63) / sizeof(after_63[0]); i++)
		if (after_63[i] == nr)
			return 1;
	return after_signal;
}

/* exit, exit_group, execve, execveat: the host would tell the sentry only through /proc. */
static uint32_t maxrss(uint32_t nr)
{
	struct rusage ru;

	if (nr != __NR_exit_group && nr != __NR_execve && nr != __NR_exit && nr != __NR_execveat)
		return 0;
	return sys2(__NR_getrusage, 0 /* RUSAGE_SELF */, &ru) == 0 ? ru.ru_maxrss : 0;
}

static void call_begins(struct slot *s, const uint64_t *regs)
{
	s->maxrss = maxrss(regs[REG_RAX]);
	stub_copy_ahead(s, regs);
}

static void fast_report(struct slot *s, int signo)
{
	s->signo = signo;
	s->uc = 0;
	fs_gs_save(s);
	report(s);
	serve(s);
}

void stub_fast(uint64_t *regs)
{
	struct slot *s = slot_of((uint64_t)regs);

	/* Our way out would trap before the next instruction, the host kernel's behind it. */
	if (regs[REG_EFLAGS] & EFLAGS_TF)
		stub_trap();
	if (answer(s, regs))
		return;
	if (needs_frame(s, regs[REG_RAX]))
		stub_trap();
	call_begins(s, regs);
	if (stub_answer_path(s, regs))
		return;
	fast_report(s, SIGSYS);
}

/* An interrupt came since the last look. */
void stub_fast_interrupted(uint64_t *regs)
{
	struct slot *s = slot_of((uint64_t)regs);

	__atomic_store_n(&s->pending, 0, __ATOMIC_RELAXED);
	fast_report(s, STUB_SIG_INTERRUPT);
}

/* A signal that found the thread in the stub. False: back to what was interrupted. True: it is to be
 * reported, and uc has the guest's registers. */
static int inside(struct slot *s, int *signo, struct ucontext *uc)
{
	uint64_t ip = uc->uc_mcontext.rip;
	int trapped = ip == (uint64_t)stub_trap_site && *signo == SIGTRAP;

	if ((*signo == SIGSEGV || *signo == SIGBUS) && fixup(uc))
		return 0;
	if (trapped || (ip >= (uint64_t)stub_fast_exit && ip < (uint64_t)stub_fast_exit_end)) {
		memcpy(&uc->uc_mcontext, (uint8_t *)s + SLOT_FAST_REGS, REG_COUNT * 8);
		if (trapped)
			*signo = SIGSYS;
		return 1;
	}
	if (*signo == STUB_SIG_INTERRUPT) {
		__atomic_store_n(&s->pending, 1, __ATOMIC_RELAXED);
		return 0;
	}
	return *signo != SIGTRAP; /* single steps */
}

/* A call of the guest that trapped, answered or copied ahead. */
static int trapped_answer(struct slot *s, uint64_t *regs)
{
	int may = s->untold < STUB_ANSWERS_UNTOLD, done = may && answer(s, regs);

	if (!done) {
		call_begins(s, regs);
		done = may && stub_answer_path(s, regs);
	}
	s->untold += done;
	return done;
}

void stub_handler(int signo, void *info, uint64_t uc)
{
	struct slot *s = slot_of(uc);
	struct ucontext *u = (struct ucontext *)uc;
	uint64_t *regs = (uint64_t *)&u->uc_mcontext;

	if (u->uc_mcontext.rip - STUB_TEXT < STUB_TEXT_SIZE) {
		if (!inside(s, &signo, u))
			return;
		/* A frame that was asked for later: the window is in use already. */
		if (signo == SIGSYS && s->state != SLOT_FRAME)
			call_begins(s, regs);
	} else if (signo == SIGSYS && trapped_answer(s, regs)) {
		return;
	}
	s->unheard = s->untold;
	s->untold = 0;
	s->signo = signo;
	s->uc = uc;
	s->info = (uint64_t)info;
	if (s->flags & SLOT_FSGSBASE)
		fs_gs_save(s);
	report(s);
	stopped(s, uc);
}
