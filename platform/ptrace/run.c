/* Running the guest: PTRACE_SYSEMU until the next stop that means something. */
#include <elf.h>
#include <errno.h>
#include <linux/audit.h>
#include <linux/ptrace.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "platform/ptrace/impl.h"

#define SIG_INTERRUPT SIGURG
#define STOP_SYSCALL (SIGTRAP | 0x80)

static bool take_interrupt(struct pf_thread *t, struct pf_event *ev)
{
	if (!atomic_load(&t->interrupted)) /* after the store to running, which an interrupt looks at */
		return false;
	atomic_store(&t->interrupted, false);
	ev->kind = PF_INTERRUPT;
	return true;
}

/* `syscall` leaves the return address in rcx (unless the CPU has FRED); int $0x80 and sysenter,
 * whose numbers mean other things, don't. */
static bool is_native_call(struct pf_thread *t)
{
	struct ptrace_syscall_info info;

	if (t->regs.rcx == t->regs.rip)
		return true;
	return syscall(SYS_ptrace, PTRACE_GET_SYSCALL_INFO, t->tid, sizeof(info), &info) > 0 &&
	       info.op == PTRACE_SYSCALL_INFO_ENTRY && info.arch == AUDIT_ARCH_X86_64;
}

static bool syscall_decode(struct pf_thread *t, struct pf_event *ev)
{
	struct pf_regs *g = &t->regs;

	if (!is_native_call(t)) {
		ptrace_space_kill(t->space);
		ev->kind = PF_DEAD;
		return true;
	}
	g->rax = (uint64_t)g->orig_rax;
	ev->kind = PF_SYSCALL;
	ev->nr = (uint64_t)(int64_t)(int32_t)g->rax;
	g->orig_rax = (int64_t)ev->nr;
	pf_regs_args(g, ev->args);
	return true;
}

/* False: somebody on the host sent the signal; guests can't. */
static bool fault_decode(struct pf_thread *t, struct pf_event *ev)
{
	siginfo_t si;

	if (syscall(SYS_ptrace, PTRACE_GETSIGINFO, t->tid, 0, &si) < 0) {
		ev->kind = PF_DEAD;
		return true;
	}
	if (si.si_code <= 0)
		return false;
	t->regs.orig_rax = -1;
	ev->kind = PF_FAULT;
	ev->signo = si.si_signo;
	ev->code = si.si_code;
	ev->addr = (uint64_t)si.si_addr;
	pt_fault_describe(t, ev);
	return true;
}

/* False: nothing that the caller should see. */
static bool stop_decode(struct pf_thread *t, int status, struct pf_event *ev)
{
	if (status != STOP_SYSCALL && status >> 8)
		return false; /* a stop of the whole process, by somebody on the host */
	if (tracee_regs_get(t)) {
		ev->kind = PF_DEAD;
		return true;
	}
	switch (status) {
	case STOP_SYSCALL:
		return syscall_decode(t, ev);
	case SIG_INTERRUPT:
		t->regs.orig_rax = -1;
		return take_interrupt(t, ev);
	case SIGSEGV:
	case SIGBUS:
	case SIGFPE:
	case SIGILL:
	case SIGTRAP:
		return fault_decode(t, ev);
	default:
		return false;
	}
}

/* From here on `running` is set, so an interrupt sends its signal. */
static void run_until_event(struct pf_thread *t, struct pf_event *ev)
{
	int status;

	do {
		if (tracee_resume(t, PTRACE_SYSEMU) || tracee_wait(t, &status)) {
			ev->kind = PF_DEAD;
			return;
		}
	} while (!stop_decode(t, status, ev));
}

void ptrace_run(struct pf_thread *t, struct pf_event *ev)
{
	memset(ev, 0, sizeof(*ev));
	if (tracee_attach(t) || pt_calls_drain(t)) {
		pt_calls_abort(t);
		ev->kind = PF_DEAD;
		return;
	}
	atomic_store(&t->running, true);
	if (!take_interrupt(t, ev)) {
		if (tracee_regs_set(t))
			ev->kind = PF_DEAD;
		else
			run_until_event(t, ev);
	}
	atomic_store(&t->running, false);
}

void ptrace_interrupt(struct pf_thread *t)
{
	if (atomic_exchange(&t->interrupted, true))
		return;
	if (atomic_load(&t->running))
		syscall(SYS_tgkill, t->space->pid, t->tid, SIG_INTERRUPT);
}

void ptrace_interrupt_clear(struct pf_thread *t)
{
	atomic_store(&t->interrupted, false);
}

void ptrace_release(struct pf_thread *t)
{
	if (t->tracer)
		tracee_leave(t, ptstub_park);
}
