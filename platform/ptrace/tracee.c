/* One host thread under ptrace. The host takes requests only from the thread that traces: so each
 * function here acts for the calling thread, and attaches first where that is not yet the tracer.
 *
 * A thread that changes hands passes through `park`: its old tracer lets it go there, it sleeps in
 * pause(), and the new one seizes and interrupts it. Nothing of a guest runs meanwhile: parked
 * means inside the stub's code, which the guest can neither change nor unmap.
 *
 * Waits leave zombies alone (WNOWAIT): a pid or tid stays ours as long as we have use for it. */
#include <errno.h>
#include <elf.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "abi/base/log.h"
#include "platform/ptrace/impl.h"

#define OPTIONS (PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL)
/* Of user_regs_struct: all before fs_base, which the host may refuse. */
#define GENERAL_SIZE offsetof(struct user_regs_struct, fs_base)
/* Bases from here on are the host kernel's. */
#define BASE_MAX 0x7ffffffff000UL

#define USER_CS 0x33
#define USER_SS 0x2b

static long request(int what, pid_t tid, uint64_t addr, void *data)
{
	return syscall(SYS_ptrace, what, tid, addr, data) < 0 ? -errno : 0;
}

static pid_t own_tid(void)
{
	static _Thread_local pid_t tid;

	if (!tid)
		tid = gettid();
	return tid;
}

/* Whatever the host did not like, nothing of the process runs on. */
static int lost(struct pf_thread *t)
{
	ptrace_space_kill(t->space);
	return -ESRCH;
}

int tracee_wait(struct pf_thread *t, int *status)
{
	siginfo_t si;

	for (;;) {
		if (waitid(P_PID, t->tid, &si, WEXITED | WSTOPPED | __WALL | WNOWAIT) == 0)
			break;
		if (errno != EINTR)
			return lost(t);
	}
	if (si.si_code != CLD_TRAPPED)
		return lost(t);
	*status = si.si_status;
	return 0;
}

int tracee_resume(struct pf_thread *t, int how)
{
	return request(how, t->tid, 0, NULL) ? lost(t) : 0;
}

static int regset_general(struct pf_thread *t, int what, struct user_regs_struct *r, size_t n)
{
	struct iovec iov = {r, n};

	return request(what, t->tid, NT_PRSTATUS, &iov) ? lost(t) : 0;
}

int tracee_regs_get(struct pf_thread *t)
{
	struct user_regs_struct r;
	int err = regset_general(t, PTRACE_GETREGSET, &r, sizeof(r));

	if (err)
		return err;
	t->regs = (struct pf_regs){
		.r8 = r.r8, .r9 = r.r9, .r10 = r.r10, .r11 = r.r11,
		.r12 = r.r12, .r13 = r.r13, .r14 = r.r14, .r15 = r.r15,
		.rdi = r.rdi, .rsi = r.rsi, .rbp = r.rbp, .rbx = r.rbx,
		.rdx = r.rdx, .rax = r.rax, .rcx = r.rcx, .rsp = r.rsp,
		.rip = r.rip, .eflags = r.eflags,
		.fs_base = r.fs_base, .gs_base = r.gs_base, .orig_rax = (int64_t)r.orig_rax,
	};
	t->host_fs = r.fs_base;
	t->host_gs = r.gs_base;
	t->cs = r.cs;
	t->ss = r.ss;
	return 0;
}

/* A base that the guest loaded itself and that the host would not take is in place already. */
static void base_set(struct pf_thread *t, size_t off, uint64_t want, uint64_t *have)
{
	if (want == *have || want >= BASE_MAX)
		return;
	if (request(PTRACE_POKEUSER, t->tid, off, (void *)want) == 0)
		*have = want;
}

/* orig_rax of -1: the host shall not take rax for the result of a call that it may restart. */
int tracee_regs_set(struct pf_thread *t)
{
	const struct pf_regs *g = &t->regs;
	struct user_regs_struct r = {
		.r8 = g->r8, .r9 = g->r9, .r10 = g->r10, .r11 = g->r11,
		.r12 = g->r12, .r13 = g->r13, .r14 = g->r14, .r15 = g->r15,
		.rdi = g->rdi, .rsi = g->rsi, .rbp = g->rbp, .rbx = g->rbx,
		.rdx = g->rdx, .rax = g->rax, .rcx = g->rcx, .rsp = g->rsp,
		.rip = g->rip, .eflags = g->eflags, .orig_rax = -1UL, .cs = t->cs, .ss = t->ss,
	};
	int err = regset_general(t, PTRACE_SETREGSET, &r, GENERAL_SIZE);

	if (err)
		return err;
	base_set(t, offsetof(struct user, regs.fs_base), g->fs_base, &t->host_fs);
	base_set(t, offsetof(struct user, regs.gs_base), g->gs_base, &t->host_gs);
	return 0;
}

static int inject_start(struct pf_thread *t, uint64_t entry, struct user_regs_struct *r)
{
	int err;

	r->rip = entry;
	r->orig_rax = -1UL;
	r->eflags = 0x202;
	r->cs = USER_CS;
	r->ss = USER_SS;
	err = regset_general(t, PTRACE_SETREGSET, r, GENERAL_SIZE);
	return err ? err : tracee_resume(t, PTRACE_CONT);
}

/* Waits for the stub's breakpoint. A pending interrupt may come first, and is forgotten here:
 * pf_thread.interrupted remembers it. */
static int break_wait(struct pf_thread *t)
{
	int status, err;

	for (;;) {
		err = tracee_wait(t, &status);
		if (err)
			return err;
		if (status == SIGTRAP)
			return 0;
		if (status == SIGSEGV || status == SIGBUS)
			return -EFAULT;
		err = tracee_resume(t, PTRACE_CONT);
		if (err)
			return err;
	}
}

int tracee_inject(struct pf_thread *t, uint64_t entry, struct user_regs_struct *r, int64_t *rax)
{
	int err = tracee_attach(t);

	if (!err)
		err = inject_start(t, entry, r);
	if (!err)
		err = break_wait(t);
	if (!err)
		err = regset_general(t, PTRACE_GETREGSET, r,
				     offsetof(struct user_regs_struct, rcx));
	if (!err)
		*rax = (int64_t)r->rax;
	return err;
}

int64_t tracee_syscall(struct pf_thread *t, long nr, const uint64_t arg[6])
{
	struct user_regs_struct r = {.rax = nr, .rdi = arg[0], .rsi = arg[1], .rdx = arg[2],
				     .r10 = arg[3], .r8 = arg[4], .r9 = arg[5]};
	int64_t ret;
	int err = tracee_inject(t, ptstub_addr(ptstub_call), &r, &ret);

	return err ? err : ret;
}

static int seize(struct pf_thread *t)
{
	int status;
	long r = request(PTRACE_SEIZE, t->tid, 0, (void *)OPTIONS);

	if (r == 0) {
		t->tracer = own_tid(); /* dead or not, it is ours to reap from here on */
		r = request(PTRACE_INTERRUPT, t->tid, 0, NULL);
	}
	if (r) {
		lost(t);
		/* EPERM of one that is just exiting; of the first of all: this host forbids it. */
		return t->space->p->zygote ? -ESRCH : (int)r;
	}
	for (;;) {
		r = tracee_wait(t, &status);
		if (r || status >> 8 == PTRACE_EVENT_STOP)
			return r;
		r = tracee_resume(t, PTRACE_CONT);
		if (r)
			return r;
	}
}

/* A forked child may have been stopped before it was done with the stub's part of its birth: then
 * that ends at the breakpoint instead of `park`. */
static int birth_finish(struct pf_thread *t)
{
	struct user_regs_struct r;
	int err = regset_general(t, PTRACE_GETREGSET, &r, sizeof(r));

	if (err)
		return err;
	t->newborn = false;
	if (r.rip < ptstub_addr(ptstub_born) || r.rip >= ptstub_addr(ptstub_born_end))
		return 0;
	r.r13 = ptstub_addr(ptstub_break);
	err = regset_general(t, PTRACE_SETREGSET, &r, GENERAL_SIZE);
	if (!err)
		err = tracee_resume(t, PTRACE_CONT);
	return err ? err : break_wait(t);
}

int tracee_attach(struct pf_thread *t)
{
	pid_t me = own_tid();
	int err;

	if (atomic_load(&t->space->dead))
		return -ESRCH;
	if (t->tracer == me)
		return 0;
	if (t->tracer) {
		log_error("ptrace: a guest thread is still traced by another thread");
		ptrace_space_kill(t->space);
		return -ESRCH;
	}
	err = seize(t);
	if (err)
		return err;
	return t->newborn ? birth_finish(t) : 0;
}

void tracee_leave(struct pf_thread *t, const char *label)
{
	struct user_regs_struct r = {.rip = ptstub_addr(label), .orig_rax = -1UL, .eflags = 0x202,
				     .cs = USER_CS, .ss = USER_SS};

	if (tracee_attach(t))
		return;
	/* Not both: it must not go where the guest was. */
	if (regset_general(t, PTRACE_SETREGSET, &r, GENERAL_SIZE))
		return;
	if (request(PTRACE_DETACH, t->tid, 0, NULL))
		lost(t); /* its zombie is still ours to reap */
	else
		t->tracer = 0;
}
