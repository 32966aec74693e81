/* Hardware exceptions as a handler sees them: breakpoints, single steps (system calls included), the
 * trap number and error code of page faults. */
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#include "tests/guest/check.h"

#define FLAG_TF 0x100
#define STEPS 60

static volatile sig_atomic_t steps, breakpoints;
static volatile long long trapno, error, code;
static volatile unsigned long addr;
static void *page;

static void on_trap(int signo, siginfo_t *si, void *uc)
{
	greg_t *regs = ((ucontext_t *)uc)->uc_mcontext.gregs;

	code = si->si_code;
	trapno = regs[REG_TRAPNO];
	if (si->si_code != TRAP_TRACE)
		breakpoints++;
	else if (++steps >= STEPS)
		regs[REG_EFL] &= ~FLAG_TF;
}

static void trace(void)
{
	steps = 0;
	__asm__ volatile("lea -128(%%rsp), %%rsp; pushf; orl %0, (%%rsp); popf; lea 128(%%rsp), %%rsp"
			 :: "i"(FLAG_TF) : "cc", "memory");
}

static void test_breakpoint(void)
{
	breakpoints = 0;
	__asm__ volatile("int3");
	CHECK_EQ(breakpoints, 1);
	CHECK_EQ(code, SI_KERNEL);
	CHECK_EQ(trapno, 3);
}

static void test_single_steps(void)
{
	trace();
	for (volatile int i = 0; i < 100; i++)
		;
	CHECK_EQ(steps, STEPS);
	CHECK_EQ(trapno, 1);
	trace();
	CHECK(syscall(SYS_getppid) >= 0);
	for (volatile int i = 0; i < 100; i++)
		;
	CHECK_EQ(steps, STEPS);
}

static void test_sent_by_hand(void)
{
	breakpoints = 0;
	raise(SIGTRAP);
	CHECK_EQ(breakpoints, 1);
	CHECK_EQ(code, SI_TKILL);
}

/* Lets the access through by opening the page. */
static void on_fault(int signo, siginfo_t *si, void *uc)
{
	greg_t *regs = ((ucontext_t *)uc)->uc_mcontext.gregs;

	trapno = regs[REG_TRAPNO];
	error = regs[REG_ERR];
	addr = (unsigned long)si->si_addr;
	code = si->si_code;
	mprotect(page, 4096, PROT_READ | PROT_WRITE);
}

static void expect_fault(long long want)
{
	CHECK_EQ(trapno, 14);
	CHECK_EQ(error, want);
	CHECK_EQ(addr, (unsigned long)page);
	CHECK_EQ(code, SEGV_ACCERR);
	error = 0;
}

static void test_page_faults(void)
{
	volatile int *p;

	page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	REQUIRE(page != MAP_FAILED);
	p = page;
	*p = 1; /* the page is there, so that the error code says so */
	CHECK_EQ(mprotect(page, 4096, PROT_READ), 0);
	*p = 2;
	expect_fault(7);
	CHECK_EQ(mprotect(page, 4096, PROT_READ), 0);
	__atomic_fetch_add(p, 1, __ATOMIC_SEQ_CST);
	expect_fault(7);
	CHECK_EQ(mprotect(page, 4096, PROT_READ), 0);
	__asm__ volatile("movdqu %%xmm0, (%0)" :: "r"(p) : "memory");
	expect_fault(7);
}

int main(void)
{
	struct sigaction trap = {.sa_sigaction = on_trap, .sa_flags = SA_SIGINFO};
	struct sigaction fault = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO};

	REQUIRE(sigaction(SIGTRAP, &trap, NULL) == 0);
	REQUIRE(sigaction(SIGSEGV, &fault, NULL) == 0);
	test_breakpoint();
	test_single_steps();
	test_sent_by_hand();
	test_page_faults();
	return check_status();
}
