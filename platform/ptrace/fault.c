/* What a signal frame would say of a hardware exception and siginfo does not: trap number and
 * error code, rebuilt from the signal's code. */
#include <signal.h>

#include "platform/ptrace/impl.h"

#define TRAP_DE 0
#define TRAP_DB 1
#define TRAP_BP 3
#define TRAP_UD 6
#define TRAP_GP 13
#define TRAP_PF 14
#define TRAP_MF 16
#define TRAP_AC 17
#define TRAP_XF 19

#define ERROR_PRESENT 1
#define ERROR_WRITE 2
#define ERROR_USER 4
#define ERROR_FETCH 16
#define ERROR_PKEY 32

static uint64_t page_fault_error(struct pf_thread *t, const struct pf_event *ev)
{
	uint64_t e = ERROR_USER;

	if (ev->code == SEGV_ACCERR)
		e |= ERROR_PRESENT;
	if (ev->code == SEGV_PKUERR)
		e |= ERROR_PRESENT | ERROR_PKEY;
	if (ev->addr - t->regs.rip < 15 && ev->code != SEGV_PKUERR)
		return e | ERROR_FETCH;
	return e | ERROR_WRITE;
}

static void segv_describe(struct pf_thread *t, struct pf_event *ev)
{
	if (ev->code == SI_KERNEL) {
		ev->trapno = TRAP_GP;
		return;
	}
	ev->trapno = TRAP_PF;
	ev->error = page_fault_error(t, ev);
}

void pt_fault_describe(struct pf_thread *t, struct pf_event *ev)
{
	ev->error = 0;
	switch (ev->signo) {
	case SIGSEGV:
		segv_describe(t, ev);
		break;
	case SIGBUS:
		ev->trapno = ev->code == BUS_ADRALN ? TRAP_AC : TRAP_PF;
		if (ev->code != BUS_ADRALN)
			ev->error = page_fault_error(t, ev);
		break;
	case SIGFPE:
		ev->trapno = ev->code == FPE_INTDIV ? TRAP_DE : TRAP_XF;
		break;
	case SIGILL:
		ev->trapno = TRAP_UD;
		break;
	case SIGTRAP:
		ev->trapno = ev->code == SI_KERNEL ? TRAP_BP : TRAP_DB;
		break;
	}
}
