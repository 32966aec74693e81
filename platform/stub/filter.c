/* What a stub may ask of the host (the table of DESIGN 4.6), as BPF.
 *
 *	not x86-64                        kill
 *	instruction pointer not in stub   TRAP: the guest's calls, all of them
 *	the few calls below               ALLOW (clone: USER_NOTIF, the sentry approves)
 *	else                              TRAP: a jump into the stub gains nothing
 *
 * The instruction pointer is not the security boundary: the guest can jump into the stub with
 * any registers. With every call below it can do no more than what it may do to its own address
 * space anyway, with descriptors no stronger than what it has open:
 *
 * - mmap, munmap, mprotect, mremap, madvise: its own memory. Mapping over the stub or the arena
 *   ends in a dead or a silent stub, which is the guest's loss. The arena can't be resized
 *   (sealed), so the sentry's view of it stays valid, and the answers of all stubs (STUB_PATHS) can't be
 *   mapped for writing (sealed). No call that pins, merges or pages out.
 * - recvmsg, dup3, close, close_range: besides K, there are descriptors in the table for the moment
 *   between recvmsg and close, to be mapped, and a few that are kept to be read: of regular files,
 *   read-only, as long as the guest has the file open for reading (sentry/mm/fetch.c).
 * - pread64: reads those, into its own memory. K is a socket, which has no positions.
 * - futex: on memory that it shares with others or with the sentry. The sentry's waiters are
 *   bounded, so requeueing or waking them only costs time.
 * - clone: with a listener the sentry lets exactly the one through that it asked for. Without
 *   one (the host has a listener already), a pids limit must bound it.
 * - getrusage: numbers of its own, into its own memory.
 * - rt_sigreturn can block the sentry's interrupt: an interrupt has a deadline, then SIGKILL.
 *
 * SECCOMP_FILTER_FLAG_SPEC_ALLOW is set on purpose: speculative store bypass lets code read its
 * own process's stale memory, and there is nothing in a stub that its guest may not read. */
#include <asm/unistd.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/futex.h>
#include <linux/mman.h>
#include <linux/prctl.h>
#include <linux/seccomp.h>

#include "platform/stub/stub.h"

#define ARG_LO(i) (offsetof(struct seccomp_data, args) + (i) * 8)
#define ARG_HI(i) (ARG_LO(i) + 4)
#define FAIL 0xff /* patched to the distance to the rule's TRAP */

struct builder {
	struct sock_filter f[320];
	unsigned n, rule;
};

static void emit(struct builder *b, unsigned code, unsigned k, unsigned jt, unsigned jf)
{
	if (b->n == sizeof(b->f) / sizeof(b->f[0]))
		__builtin_trap();
	b->f[b->n++] = (struct sock_filter){code, jt, jf, k};
}

static void load(struct builder *b, unsigned off)
{
	emit(b, BPF_LD | BPF_W | BPF_ABS, off, 0, 0);
}

static void ret(struct builder *b, unsigned action)
{
	emit(b, BPF_RET | BPF_K, action, 0, 0);
}

/* A rule: the accumulator holds the number before and, if it does not match, after it. */
static void rule_begin(struct builder *b, unsigned nr)
{
	b->rule = b->n;
	emit(b, BPF_JMP | BPF_JEQ | BPF_K, nr, 0, 0);
}

static void rule_end(struct builder *b, unsigned action)
{
	unsigned fail;

	ret(b, action);
	fail = b->n;
	ret(b, SECCOMP_RET_TRAP);
	b->f[b->rule].jf = b->n - b->rule - 1;
	for (unsigned i = b->rule + 1; i < fail; i++) {
		if (b->f[i].jt == FAIL)
			b->f[i].jt = fail - i - 1;
		if (b->f[i].jf == FAIL)
			b->f[i].jf = fail - i - 1;
	}
}

static void allow(struct builder *b, unsigned nr)
{
	rule_begin(b, nr);
	rule_end(b, SECCOMP_RET_ALLOW);
}

/* Descriptors, prctl options and the like are 32 bits wide for the kernel too: their upper half
 * is ignored there, so it must be here. */
static void arg32_eq(struct builder *b, unsigned arg, unsigned v)
{
	load(b, ARG_LO(arg));
	emit(b, BPF_JMP | BPF_JEQ | BPF_K, v, 0, FAIL);
}

static void arg_hi_zero(struct builder *b, unsigned arg)
{
	load(b, ARG_HI(arg));
	emit(b, BPF_JMP | BPF_JEQ | BPF_K, 0, 0, FAIL);
}

static void arg_eq(struct builder *b, unsigned arg, unsigned v)
{
	arg_hi_zero(b, arg);
	arg32_eq(b, arg, v);
}

static void arg_at_most(struct builder *b, unsigned arg, unsigned max)
{
	arg_hi_zero(b, arg);
	load(b, ARG_LO(arg));
	emit(b, BPF_JMP | BPF_JGT | BPF_K, max, FAIL, 0);
}

static void arg_within(struct builder *b, unsigned arg, unsigned mask)
{
	arg_hi_zero(b, arg);
	load(b, ARG_LO(arg));
	emit(b, BPF_JMP | BPF_JSET | BPF_K, ~mask, FAIL, 0);
}

/* The accumulator (after `and`) is one of n values. */
static void acc_in(struct builder *b, const unsigned char *v, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		emit(b, BPF_JMP | BPF_JEQ | BPF_K, v[i], n - 1 - i, i + 1 < n ? 0 : FAIL);
}

static void memory_rules(struct builder *b)
{
	static const unsigned char advice[] = {
		0, 1, 2, 3, 4,	/* NORMAL RANDOM SEQUENTIAL WILLNEED DONTNEED */
		8, 9, 10, 11,	/* FREE REMOVE DONTFORK DOFORK */
		14, 15, 16, 17, /* HUGEPAGE NOHUGEPAGE DONTDUMP DODUMP */
		18, 19,		/* WIPEONFORK KEEPONFORK */
		22, 23, 24,	/* POPULATE_READ POPULATE_WRITE DONTNEED_LOCKED */
		102, 103,	/* GUARD_INSTALL GUARD_REMOVE */
	};

	rule_begin(b, __NR_mmap);
	arg_at_most(b, 2, 7);
	arg_within(b, 3, MAP_SHARED | MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED |
			 MAP_FIXED_NOREPLACE | MAP_NORESERVE);
	rule_end(b, SECCOMP_RET_ALLOW);
	allow(b, __NR_munmap);
	rule_begin(b, __NR_mprotect);
	arg_at_most(b, 2, 7);
	rule_end(b, SECCOMP_RET_ALLOW);
	rule_begin(b, __NR_madvise);
	load(b, ARG_LO(2));
	acc_in(b, advice, sizeof(advice));
	rule_end(b, SECCOMP_RET_ALLOW);
	rule_begin(b, __NR_mremap);
	arg_at_most(b, 3, 7);
	rule_end(b, SECCOMP_RET_ALLOW);
}

static void fd_rules(struct builder *b)
{
	rule_begin(b, __NR_recvmsg);
	arg32_eq(b, 0, STUB_SOCK);
	rule_end(b, SECCOMP_RET_ALLOW);
	rule_begin(b, __NR_close);
	load(b, ARG_LO(0));
	emit(b, BPF_JMP | BPF_JEQ | BPF_K, STUB_SOCK, FAIL, 0);
	rule_end(b, SECCOMP_RET_ALLOW);
	rule_begin(b, __NR_dup3);
	arg32_eq(b, 1, STUB_SOCK);
	rule_end(b, SECCOMP_RET_ALLOW);
	allow(b, __NR_pread64);
	rule_begin(b, __NR_close_range);
	arg32_eq(b, 0, STUB_SOCK + 1);
	rule_end(b, SECCOMP_RET_ALLOW);
}

static void clone_rules(struct builder *b, unsigned action)
{
	rule_begin(b, __NR_clone);
	arg_eq(b, 0, STUB_CLONE_PROCESS);
	rule_end(b, action);
	/* rule_end() of a clone that is no process trapped: retarget its failure to the next rule. */
	b->f[b->n - 1] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
						      offsetof(struct seccomp_data, nr));
	rule_begin(b, __NR_clone);
	arg_eq(b, 0, STUB_CLONE_THREAD);
	rule_end(b, action);
}

/* getppid tells a guest that jumps to it the sentry's process id, which it can do nothing with. */
static void orphan_rules(struct builder *b)
{
	rule_begin(b, __NR_prctl);
	arg32_eq(b, 0, PR_SET_PDEATHSIG);
	arg32_eq(b, 1, 9);
	rule_end(b, SECCOMP_RET_ALLOW);
	allow(b, __NR_getppid);
}

static void build(struct builder *b, unsigned clone_action, int orphans_end)
{
	static const unsigned char futex_ops[] = {FUTEX_WAIT,	     FUTEX_WAKE,
						  FUTEX_WAIT_BITSET, FUTEX_WAKE_BITSET,
						  FUTEX_REQUEUE,     FUTEX_CMP_REQUEUE};
	unsigned ip = offsetof(struct seccomp_data, instruction_pointer);

	b->n = 0;
	load(b, offsetof(struct seccomp_data, arch));
	emit(b, BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_X86_64, 1, 0);
	ret(b, SECCOMP_RET_KILL_PROCESS);
	load(b, ip + 4);
	emit(b, BPF_JMP | BPF_JEQ | BPF_K, STUB_TEXT >> 32, 0, 3);
	load(b, ip);
	emit(b, BPF_JMP | BPF_JGE | BPF_K, STUB_TEXT & 0xffffffff, 0, 1);
	emit(b, BPF_JMP | BPF_JGE | BPF_K, (STUB_TEXT + STUB_TEXT_SIZE) & 0xffffffff, 0, 1);
	ret(b, SECCOMP_RET_TRAP);
	load(b, offsetof(struct seccomp_data, nr));
	allow(b, __NR_rt_sigreturn);
	allow(b, __NR_sched_yield);
	rule_begin(b, __NR_futex);
	load(b, ARG_LO(1));
	emit(b, BPF_ALU | BPF_AND | BPF_K, ~(FUTEX_PRIVATE_FLAG | FUTEX_CLOCK_REALTIME), 0, 0);
	acc_in(b, futex_ops, sizeof(futex_ops));
	rule_end(b, SECCOMP_RET_ALLOW);
	memory_rules(b);
	fd_rules(b);
	clone_rules(b, clone_action);
	allow(b, __NR_exit);
	allow(b, __NR_exit_group);
	rule_begin(b, __NR_getrusage);
	arg32_eq(b, 0, 0 /* RUSAGE_SELF */);
	rule_end(b, SECCOMP_RET_ALLOW);
	rule_begin(b, __NR_arch_prctl);
	load(b, ARG_LO(0));
	emit(b, BPF_JMP | BPF_JEQ | BPF_K, 0x1001 /* ARCH_SET_GS */, 1, 0);
	emit(b, BPF_JMP | BPF_JEQ | BPF_K, 0x1002 /* ARCH_SET_FS */, 0, FAIL);
	rule_end(b, SECCOMP_RET_ALLOW);
	if (orphans_end)
		orphan_rules(b);
	ret(b, SECCOMP_RET_TRAP);
}

static long install(struct builder *b, unsigned flags)
{
	struct sock_fprog prog = {b->n, b->f};

	return sys3(__NR_seccomp, SECCOMP_SET_MODE_FILTER, flags | SECCOMP_FILTER_FLAG_SPEC_ALLOW,
		    &prog);
}

long stub_install_filter(int want_listener, int orphans_end)
{
	struct builder b;
	long r;

	if (want_listener) {
		build(&b, SECCOMP_RET_USER_NOTIF, orphans_end);
		r = install(&b, SECCOMP_FILTER_FLAG_NEW_LISTENER);
		if (r >= 0)
			return r;
	}
	build(&b, SECCOMP_RET_ALLOW, orphans_end);
	return install(&b, 0);
}
