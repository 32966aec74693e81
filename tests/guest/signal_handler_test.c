/* Handlers: actions, masks, frames, alternate stacks, restarts. */
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#include "check.h"

static volatile sig_atomic_t count, last_sig, nested, order[64], order_n;
static volatile siginfo_t last_info;

static void on_signal(int sig)
{
	count++;
	last_sig = sig;
}

static void on_info(int sig, siginfo_t *si, void *uc)
{
	count++;
	last_sig = sig;
	memcpy((void *)&last_info, si, sizeof(*si));
	if (order_n < 64)
		order[order_n++] = si->si_code == SI_QUEUE ? si->si_value.sival_int : sig;
}

static void action(int sig, void (*fn)(int), int flags)
{
	struct sigaction sa = {.sa_handler = fn, .sa_flags = flags};

	REQUIRE(sigaction(sig, &sa, NULL) == 0);
}

static void action_info(int sig, void (*fn)(int, siginfo_t *, void *), int flags)
{
	struct sigaction sa = {.sa_sigaction = fn, .sa_flags = flags | SA_SIGINFO};

	REQUIRE(sigaction(sig, &sa, NULL) == 0);
}

static void test_basic(void)
{
	struct sigaction sa;

	action(SIGUSR1, on_signal, 0);
	count = 0;
	CHECK(raise(SIGUSR1) == 0);
	CHECK_EQ(count, 1);
	CHECK_EQ(last_sig, SIGUSR1);
	action_info(SIGUSR1, on_info, 0);
	CHECK(kill(getpid(), SIGUSR1) == 0);
	CHECK_EQ(last_info.si_code, SI_USER);
	CHECK_EQ(last_info.si_pid, getpid());
	CHECK_EQ(last_info.si_uid, getuid());
	CHECK(syscall(SYS_tgkill, getpid(), getpid(), SIGUSR1) == 0);
	CHECK_EQ(last_info.si_code, SI_TKILL);
	action(SIGUSR1, on_signal, SA_RESETHAND);
	raise(SIGUSR1);
	CHECK(sigaction(SIGUSR1, NULL, &sa) == 0);
	CHECK(sa.sa_handler == SIG_DFL);
	CHECK_ERR(sigaction(SIGKILL, &sa, NULL), EINVAL);
	CHECK(sigaction(SIGKILL, NULL, &sa) == 0);
	CHECK_ERR(syscall(SYS_rt_sigaction, 65, NULL, NULL, 8), EINVAL);
	CHECK_ERR(syscall(SYS_rt_sigaction, SIGUSR1, NULL, NULL, 4), EINVAL);
	CHECK_ERR(kill(getpid(), 65), EINVAL);
	CHECK_ERR(kill(0x7ffffff, 0), ESRCH);
	CHECK(kill(getpid(), 0) == 0);
}

static void test_masks(void)
{
	sigset_t set, old, pending;

	action_info(SIGUSR1, on_info, 0);
	action_info(SIGRTMIN, on_info, 0);
	action_info(SIGRTMIN + 1, on_info, 0);
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigaddset(&set, SIGRTMIN);
	sigaddset(&set, SIGRTMIN + 1);
	CHECK(sigprocmask(SIG_BLOCK, &set, &old) == 0);
	count = order_n = 0;
	raise(SIGUSR1);
	raise(SIGUSR1);
	CHECK(sigqueue(getpid(), SIGRTMIN + 1, (union sigval){.sival_int = 100}) == 0);
	CHECK(sigqueue(getpid(), SIGRTMIN, (union sigval){.sival_int = 101}) == 0);
	CHECK(sigqueue(getpid(), SIGRTMIN, (union sigval){.sival_int = 102}) == 0);
	CHECK_EQ(count, 0);
	CHECK(sigpending(&pending) == 0);
	CHECK(sigismember(&pending, SIGUSR1) == 1);
	CHECK(sigismember(&pending, SIGRTMIN) == 1);
	CHECK(sigismember(&pending, SIGUSR2) == 0);
	CHECK(sigprocmask(SIG_SETMASK, &old, NULL) == 0);
	/* Frames nest: the last one pushed runs first, so the order is from the highest down. */
	CHECK_EQ(count, 4);
	CHECK_EQ(order_n, 4);
	CHECK_EQ(order[3], SIGUSR1);
	CHECK(sigpending(&pending) == 0);
	CHECK(sigismember(&pending, SIGRTMIN) == 0);
	CHECK_ERR(sigprocmask(77, &set, NULL), EINVAL);
	CHECK(sigprocmask(77, NULL, &old) == 0);
}

/* Ignored while blocked: discarded when the action says so. */
static void test_ignore(void)
{
	sigset_t set, pending;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR2);
	signal(SIGUSR2, SIG_DFL);
	sigprocmask(SIG_BLOCK, &set, NULL);
	raise(SIGUSR2);
	sigpending(&pending);
	CHECK(sigismember(&pending, SIGUSR2) == 1);
	signal(SIGUSR2, SIG_IGN);
	sigpending(&pending);
	CHECK(sigismember(&pending, SIGUSR2) == 0);
	sigprocmask(SIG_UNBLOCK, &set, NULL);
	raise(SIGUSR2);
	signal(SIGUSR2, SIG_DFL);
}

static void on_nested(int sig)
{
	sigset_t now;

	sigprocmask(SIG_BLOCK, NULL, &now);
	if (sig == SIGUSR1) {
		CHECK(sigismember(&now, SIGUSR1) == 1);
		CHECK(sigismember(&now, SIGUSR2) == 1);
		raise(SIGUSR2);
		CHECK_EQ(nested, 0);
	} else {
		nested++;
	}
}

static void on_nodefer(int sig)
{
	if (++nested < 3)
		raise(sig);
}

static void test_mask_in_handler(void)
{
	struct sigaction sa = {.sa_handler = on_nested};

	sigaddset(&sa.sa_mask, SIGUSR2);
	sigaction(SIGUSR1, &sa, NULL);
	sigaction(SIGUSR2, &sa, NULL);
	nested = 0;
	raise(SIGUSR1);
	CHECK_EQ(nested, 1);
	nested = 0;
	action(SIGUSR1, on_nodefer, SA_NODEFER);
	raise(SIGUSR1);
	CHECK_EQ(nested, 3);
}

/* ---- frames --------------------------------------------------------------------------------- */

static void on_context(int sig, siginfo_t *si, void *ctx)
{
	ucontext_t *uc = ctx;
	unsigned long sp = (unsigned long)__builtin_frame_address(0);

	count++;
	CHECK(((unsigned long)ctx & 7) == 0);
	CHECK(((unsigned long)uc->uc_mcontext.fpregs & 63) == 0);
	CHECK(sp < (unsigned long)uc->uc_mcontext.gregs[REG_RSP]);
	CHECK_EQ(uc->uc_mcontext.gregs[REG_CSGSFS] & 0xffff, 0x33);
	uc->uc_mcontext.gregs[REG_R15] = 0x1234567890;
	/* The upper parts of the FP state are clean on entry. */
	__asm__ volatile("pxor %%xmm7, %%xmm7" ::: "xmm7");
}

static void test_context(void)
{
	double x[2] = {1.25, -3.5}, y[2] = {0, 0};
	uint64_t r15 = 0, zone_ok;
	long pid = getpid();

	action_info(SIGUSR1, on_context, 0);
	count = 0;
	/* The red zone survives, changed registers come back changed, FP registers unchanged. */
	__asm__ volatile("movupd %[x], %%xmm7\n\t"
			 "movq $0x5a5a, -8(%%rsp)\n\t"
			 "movq $0xa5a5, -120(%%rsp)\n\t"
			 "xor %%r15d, %%r15d\n\t"
			 "mov %[pid], %%rdi\n\t"
			 "mov $10, %%esi\n\t"
			 "mov $62, %%eax\n\t"
			 "syscall\n\t"
			 "movupd %%xmm7, %[y]\n\t"
			 "mov %%r15, %[r15]\n\t"
			 "xor %%ecx, %%ecx\n\t"
			 "cmpq $0x5a5a, -8(%%rsp)\n\t"
			 "jne 1f\n\t"
			 "cmpq $0xa5a5, -120(%%rsp)\n\t"
			 "jne 1f\n\t"
			 "mov $1, %%ecx\n\t"
			 "1: mov %%rcx, %[zone]"
			 : [y] "=m"(y), [r15] "=&b"(r15), [zone] "=&d"(zone_ok)
			 : [x] "m"(x), [pid] "r"(pid)
			 : "rax", "rcx", "rdi", "rsi", "r11", "r15", "xmm7", "memory", "cc");
	CHECK_EQ(count, 1);
	CHECK_EQ(r15, 0x1234567890);
	CHECK(zone_ok == 1);
	CHECK(y[0] == 1.25 && y[1] == -3.5);
}

static sigjmp_buf jump;
static void on_fault(int sig, siginfo_t *si, void *ctx)
{
	memcpy((void *)&last_info, si, sizeof(*si));
	last_sig = sig;
	siglongjmp(jump, 1);
}

static void on_fault_skip(int sig, siginfo_t *si, void *ctx)
{
	ucontext_t *uc = ctx;

	count++;
	CHECK_EQ(uc->uc_mcontext.gregs[REG_TRAPNO], 14);
	CHECK_EQ(uc->uc_mcontext.gregs[REG_CR2], (unsigned long)si->si_addr);
	uc->uc_mcontext.gregs[REG_RIP] = uc->uc_mcontext.gregs[REG_R14];
}

static void test_faults(void)
{
	char *ro = mmap(NULL, 8192, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	action_info(SIGSEGV, on_fault, 0);
	action_info(SIGFPE, on_fault, 0);
	action_info(SIGILL, on_fault, 0);
	action_info(SIGTRAP, on_fault, 0);
	if (!sigsetjmp(jump, 1)) {
		*(volatile int *)16 = 1;
		CHECK(0);
	}
	CHECK_EQ(last_sig, SIGSEGV);
	CHECK_EQ(last_info.si_code, SEGV_MAPERR);
	CHECK_EQ((long)last_info.si_addr, 16);
	if (!sigsetjmp(jump, 1)) {
		*(volatile char *)(ro + 5) = 1;
		CHECK(0);
	}
	CHECK_EQ(last_info.si_code, SEGV_ACCERR);
	CHECK_EQ((long)last_info.si_addr, (long)ro + 5);
	if (!sigsetjmp(jump, 1)) {
		__asm__ volatile("movabs $0x8000000000000000, %%rax; mov (%%rax), %%al" ::: "rax");
		CHECK(0);
	}
	CHECK_EQ(last_sig, SIGSEGV);
	CHECK_EQ(last_info.si_code, SI_KERNEL);
	if (!sigsetjmp(jump, 1)) {
		__asm__ volatile("xor %%eax, %%eax; xor %%edx, %%edx; xor %%ecx, %%ecx; div %%ecx"
				 ::: "rax", "rcx", "rdx", "cc");
		CHECK(0);
	}
	CHECK_EQ(last_sig, SIGFPE);
	CHECK_EQ(last_info.si_code, FPE_INTDIV);
	if (!sigsetjmp(jump, 1)) {
		__asm__ volatile("ud2");
		CHECK(0);
	}
	CHECK_EQ(last_sig, SIGILL);
	if (!sigsetjmp(jump, 1)) {
		__asm__ volatile("int3");
	}
	CHECK_EQ(last_sig, SIGTRAP);
	count = 0;
	action_info(SIGSEGV, on_fault_skip, 0);
	__asm__ volatile("lea 1f(%%rip), %%r14; movl $1, 0x20; 1:" ::: "r14", "memory");
	CHECK_EQ(count, 1);
	signal(SIGSEGV, SIG_DFL);
	signal(SIGTRAP, SIG_DFL);
	munmap(ro, 8192);
}

static volatile unsigned long handler_sp;
static void on_altstack(int sig)
{
	stack_t ss;

	handler_sp = (unsigned long)__builtin_frame_address(0);
	CHECK(sigaltstack(NULL, &ss) == 0);
	CHECK_EQ(ss.ss_flags, SS_ONSTACK);
	CHECK_ERR(sigaltstack(&ss, NULL), EPERM);
	if (sig == SIGUSR1) {
		raise(SIGUSR2);
		CHECK(handler_sp < (unsigned long)__builtin_frame_address(0));
	}
}

static void test_altstack(void)
{
	static char stack[65536];
	stack_t ss = {.ss_sp = stack, .ss_size = sizeof(stack)}, old;

	CHECK(sigaltstack(&ss, &old) == 0);
	CHECK_EQ(old.ss_flags, SS_DISABLE);
	action(SIGUSR1, on_altstack, SA_ONSTACK);
	action(SIGUSR2, on_altstack, SA_ONSTACK);
	raise(SIGUSR1);
	CHECK(handler_sp >= (unsigned long)stack &&
	      handler_sp < (unsigned long)stack + sizeof(stack));
	ss.ss_size = 100;
	CHECK_ERR(sigaltstack(&ss, NULL), ENOMEM);
	ss.ss_flags = 77;
	CHECK_ERR(sigaltstack(&ss, NULL), EINVAL);
	ss.ss_flags = SS_DISABLE;
	CHECK(sigaltstack(&ss, NULL) == 0);
	CHECK(sigaltstack(NULL, &old) == 0);
	CHECK_EQ(old.ss_flags, SS_DISABLE);
}

static void on_autodisarm(int sig)
{
	stack_t ss;

	count++;
	handler_sp = (unsigned long)__builtin_frame_address(0);
	CHECK(sigaltstack(NULL, &ss) == 0);
	CHECK(ss.ss_flags & SS_DISABLE);
}

static void test_autodisarm(void)
{
	static char stack[65536];
	stack_t ss = {.ss_sp = stack, .ss_size = sizeof(stack), .ss_flags = (int)(1U << 31)}, now;

	CHECK(sigaltstack(&ss, NULL) == 0);
	action(SIGUSR1, on_autodisarm, SA_ONSTACK);
	count = 0;
	raise(SIGUSR1);
	CHECK_EQ(count, 1);
	CHECK(handler_sp >= (unsigned long)stack &&
	      handler_sp < (unsigned long)stack + sizeof(stack));
	CHECK(sigaltstack(NULL, &now) == 0);
	CHECK(now.ss_sp == stack && now.ss_size == sizeof(stack));
	ss.ss_flags = SS_DISABLE;
	sigaltstack(&ss, NULL);
}

/* A stack overflow is caught on the alternate stack. */
#pragma GCC diagnostic ignored "-Winfinite-recursion"
static int overflow(int n)
{
	volatile char pad[4096];

	pad[0] = (char)n;
	return overflow(n + 1) + pad[0];
}

static void test_stack_overflow(void)
{
	static char stack[65536];
	stack_t ss = {.ss_sp = stack, .ss_size = sizeof(stack)};
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		sigaltstack(&ss, NULL);
		action_info(SIGSEGV, on_fault, SA_ONSTACK);
		if (!sigsetjmp(jump, 1))
			overflow(0);
		_exit(last_sig == SIGSEGV ? 7 : 8);
	}
	CHECK(waitpid(pid, &status, 0) == pid);
	CHECK_EQ(status, 7 << 8);
	pid = fork();
	if (pid == 0) {
		/* Without one the frame does not fit: death. */
		action_info(SIGSEGV, on_fault, 0);
		overflow(0);
		_exit(1);
	}
	CHECK(waitpid(pid, &status, 0) == pid);
	CHECK_EQ(status & 0x7f, SIGSEGV);
}

/* ---- hostile frames ------------------------------------------------------------------------- */

static int hostile_kind;
static void on_hostile(int sig, siginfo_t *si, void *ctx)
{
	ucontext_t *uc = ctx;

	switch (hostile_kind) {
	case 0:
		uc->uc_mcontext.gregs[REG_RIP] = 0x8000000000000000;
		break;
	case 1:
		uc->uc_mcontext.gregs[REG_RIP] = 0x7fffffffffff;
		break;
	case 2:
		uc->uc_mcontext.gregs[REG_CSGSFS] = 0;
		break;
	case 3:
		uc->uc_mcontext.gregs[REG_RSP] = 0x8000000000000000;
		break;
	case 4:
		uc->uc_mcontext.fpregs = (void *)0x10;
		break;
	case 5: /* Harmless: IOPL and other privileged flags are not taken over. */
		uc->uc_mcontext.gregs[REG_EFL] |= 0x3000 | 0x20000 | 0x100000;
		break;
	case 6:
		uc->uc_mcontext.fpregs->mxcsr = 0xffffffff;
		break;
	}
}

static int hostile(int kind)
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		hostile_kind = kind;
		action_info(SIGUSR1, on_hostile, 0);
		raise(SIGUSR1);
		if (kind == 3)
			*(volatile int *)0 = 0;
		_exit(42);
	}
	CHECK(waitpid(pid, &status, 0) == pid);
	return status & 0x80 ? status & ~0x80 : status;
}

static void test_hostile_frames(void)
{
	CHECK_EQ(hostile(0), SIGSEGV);
	CHECK_EQ(hostile(1), SIGSEGV);
	CHECK_EQ(hostile(2) & 0x7f, SIGSEGV);
	CHECK(hostile(3) != 42 << 8);
	CHECK_EQ(hostile(4), SIGSEGV);
	CHECK_EQ(hostile(5), 42 << 8);
	CHECK_EQ(hostile(6), SIGSEGV);
}

/* ---- restarts ------------------------------------------------------------------------------- */

static int told[2];

static void on_alarm(int sig)
{
	if (count++ == 0 && write(told[1], "t", 1) != 1)
		_exit(99);
}

static void test_restart(void)
{
	struct timespec ts = {50, 0}, rem = {0, 0};
	int fds[2], status;
	char c;
	pid_t pid;

	REQUIRE(pipe(fds) == 0 && pipe(told) == 0);
	count = 1;
	action(SIGALRM, on_alarm, 0);
	check_alarms(50000);
	CHECK_ERR(read(fds[0], &c, 1), EINTR);
	action(SIGALRM, on_alarm, SA_RESTART);
	pid = fork();
	if (pid == 0) {
		/* Some time after the reader's first alarm. */
		if (read(told[0], &c, 1) != 1 || usleep(60000) || write(fds[1], "x", 1) != 1)
			_exit(1);
		_exit(0);
	}
	count = 0;
	CHECK_EQ(read(fds[0], &c, 1), 1);
	CHECK(count > 0);
	CHECK(waitpid(pid, &status, 0) == pid);
	CHECK_EQ(status, 0);
	/* Sleeps end even with SA_RESTART, and tell what is left. */
	CHECK_ERR(nanosleep(&ts, &rem), EINTR);
	CHECK(rem.tv_sec > 0 && rem.tv_sec < 50);
	CHECK_ERR(pause(), EINTR);
	check_alarms(0);
	close(told[0]);
	close(told[1]);
	/* A signal without a handler that stops and continues does not end a sleep. */
	pid = fork();
	if (pid == 0) {
		ts.tv_sec = 0;
		ts.tv_nsec = 500000000;
		_exit(nanosleep(&ts, NULL) == 0 ? 0 : 1);
	}
	check_asleep(pid);
	kill(pid, SIGSTOP);
	CHECK(waitpid(pid, &status, WUNTRACED) == pid);
	kill(pid, SIGCONT);
	CHECK(waitpid(pid, &status, 0) == pid);
	CHECK_EQ(status, 0);
	close(fds[0]);
	close(fds[1]);
}

static void test_sigsuspend(void)
{
	sigset_t set, old, now;

	action(SIGUSR1, on_signal, 0);
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigprocmask(SIG_BLOCK, &set, &old);
	count = 0;
	raise(SIGUSR1);
	sigemptyset(&set);
	CHECK_ERR(sigsuspend(&set), EINTR);
	CHECK_EQ(count, 1);
	sigprocmask(SIG_SETMASK, NULL, &now);
	CHECK(sigismember(&now, SIGUSR1) == 1);
	sigprocmask(SIG_SETMASK, &old, NULL);
}

int main(void)
{
	test_basic();
	test_masks();
	test_ignore();
	test_mask_in_handler();
	test_context();
	test_faults();
	test_altstack();
	test_autodisarm();
	test_stack_overflow();
	test_hostile_frames();
	test_restart();
	test_sigsuspend();
	return check_status();
}
