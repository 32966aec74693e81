/* What a signal frame would say of a hardware exception and siginfo does not: trap number and
 * error code, rebuilt from the signal's code and, for page faults, from the instruction. */
#include <capstone/capstone.h>
#include <errno.h>
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

#define INSN_MAX 15

#define ERROR_PRESENT 1
#define ERROR_WRITE 2
#define ERROR_USER 4
#define ERROR_FETCH 16
#define ERROR_PKEY 32

/* One decoder for all; it can't be used by two threads at a time. */
static struct {
	struct mutex mu;
	csh handle;
	cs_insn *insn;
} decoder = {.mu = MUTEX_INIT(LOCK_NONE)};

int pt_fault_start(void)
{
	if (cs_open(CS_ARCH_X86, CS_MODE_64, &decoder.handle) != CS_ERR_OK)
		return -ENOMEM;
	cs_option(decoder.handle, CS_OPT_DETAIL, CS_OPT_ON);
	decoder.insn = cs_malloc(decoder.handle);
	return decoder.insn ? 0 : -ENOMEM;
}

void pt_fault_stop(void)
{
	cs_free(decoder.insn, 1);
	cs_close(&decoder.handle);
}

/* 0 for a register that isn't a general one: vector indexes. */
static uint64_t register_value(const struct pf_regs *g, const cs_insn *insn, unsigned reg)
{
	const struct {
		unsigned r64, r32;
		uint64_t value;
	} regs[] = {
		{X86_REG_RAX, X86_REG_EAX, g->rax},  {X86_REG_RBX, X86_REG_EBX, g->rbx},
		{X86_REG_RCX, X86_REG_ECX, g->rcx},  {X86_REG_RDX, X86_REG_EDX, g->rdx},
		{X86_REG_RSI, X86_REG_ESI, g->rsi},  {X86_REG_RDI, X86_REG_EDI, g->rdi},
		{X86_REG_RBP, X86_REG_EBP, g->rbp},  {X86_REG_RSP, X86_REG_ESP, g->rsp},
		{X86_REG_R8, X86_REG_R8D, g->r8},    {X86_REG_R9, X86_REG_R9D, g->r9},
		{X86_REG_R10, X86_REG_R10D, g->r10}, {X86_REG_R11, X86_REG_R11D, g->r11},
		{X86_REG_R12, X86_REG_R12D, g->r12}, {X86_REG_R13, X86_REG_R13D, g->r13},
		{X86_REG_R14, X86_REG_R14D, g->r14}, {X86_REG_R15, X86_REG_R15D, g->r15},
		{X86_REG_RIP, X86_REG_EIP, g->rip + insn->size},
	};

	for (size_t i = 0; i < sizeof(regs) / sizeof(regs[0]); i++) {
		if (reg == regs[i].r64)
			return regs[i].value;
		if (reg == regs[i].r32)
			return (uint32_t)regs[i].value;
	}
	return 0;
}

static uint64_t operand_address(const struct pf_regs *g, const cs_insn *insn, const cs_x86_op *op)
{
	uint64_t at = register_value(g, insn, op->mem.base) +
		      register_value(g, insn, op->mem.index) * (uint64_t)op->mem.scale +
		      (uint64_t)op->mem.disp;

	if (op->mem.segment == X86_REG_FS)
		at += g->fs_base;
	if (op->mem.segment == X86_REG_GS)
		at += g->gs_base;
	return at;
}

static bool writes_stack(const cs_insn *insn)
{
	switch (insn->id) {
	case X86_INS_PUSH:
	case X86_INS_PUSHF:
	case X86_INS_PUSHFQ:
	case X86_INS_CALL:
	case X86_INS_LCALL:
	case X86_INS_ENTER:
		return true;
	default:
		return false;
	}
}

/* Stores with one operand, which the decoder's tables don't know for such. */
static bool stores_state(const cs_insn *insn)
{
	switch (insn->id) {
	case X86_INS_FST:
	case X86_INS_FSTP:
	case X86_INS_FIST:
	case X86_INS_FISTP:
	case X86_INS_FISTTP:
	case X86_INS_FBSTP:
	case X86_INS_FNSTCW:
	case X86_INS_FNSTSW:
	case X86_INS_FNSTENV:
	case X86_INS_FNSAVE:
	case X86_INS_STMXCSR:
	case X86_INS_VSTMXCSR:
		return true;
	default:
		return false;
	}
}

/* The tables also lack the access of many vector moves: a first operand in memory, beside others,
 * is written but by comparisons. */
static bool writes_operand(const cs_insn *insn, const cs_x86 *x, unsigned i)
{
	if (x->operands[i].access & CS_AC_WRITE || stores_state(insn))
		return true;
	if (i != 0 || x->op_count < 2)
		return false;
	switch (insn->id) {
	case X86_INS_CMP:
	case X86_INS_TEST:
	case X86_INS_BT:
	case X86_INS_CMPSB:
	case X86_INS_CMPSW:
	case X86_INS_CMPSD:
	case X86_INS_CMPSQ:
		return false;
	default:
		return true;
	}
}

/* What the instruction did at addr: error bits. Where no operand lies there: a fetch, if addr is
 * the instruction's; else a write, if it has one. */
static uint64_t access_decoded(const struct pf_regs *g, const cs_insn *insn, uint64_t addr)
{
	const cs_x86 *x = &insn->detail->x86;
	bool any_write = false;

	for (unsigned i = 0; i < x->op_count; i++) {
		const cs_x86_op *op = &x->operands[i];
		bool write = writes_operand(insn, x, i);

		if (op->type != X86_OP_MEM)
			continue;
		if (addr - operand_address(g, insn, op) < (op->size ? op->size : 1U))
			return write ? ERROR_WRITE : 0;
		any_write |= write;
	}
	if (writes_stack(insn) && g->rsp - addr <= 64)
		return ERROR_WRITE;
	if (addr - g->rip < insn->size)
		return ERROR_FETCH;
	return any_write ? ERROR_WRITE : 0;
}

static uint64_t access_kind(struct pf_thread *t, uint64_t addr)
{
	uint8_t bytes[INSN_MAX];
	const uint8_t *code = bytes;
	uint64_t at = t->regs.rip;
	ssize_t n = pt_memory_copy(t->space, false, bytes, at, sizeof(bytes));
	size_t left = n > 0 ? (size_t)n : 0;

	AUTO_LOCK(&decoder.mu);
	if (left && cs_disasm_iter(decoder.handle, &code, &left, &at, decoder.insn))
		return access_decoded(&t->regs, decoder.insn, addr);
	return addr - t->regs.rip < INSN_MAX ? ERROR_FETCH : 0;
}

static uint64_t page_fault_error(struct pf_thread *t, const struct pf_event *ev)
{
	uint64_t e = ERROR_USER | access_kind(t, ev->addr);

	if (ev->code == SEGV_ACCERR)
		e |= ERROR_PRESENT;
	if (ev->code == SEGV_PKUERR)
		e |= ERROR_PRESENT | ERROR_PKEY;
	return e;
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
