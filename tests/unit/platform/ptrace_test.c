#define SUITE ptrace
#define PLATFORM_NAME "ptrace"
#define ZYGOTE_PID (pf->zygote->tid)
#include "platform/ptrace/impl.h"
#include "tests/unit/platform/ops_tests.h"

Test(ptrace, a_guest_that_jumps_into_the_stub_gains_nothing)
{
	static const uint8_t code[] = {JMP_SELF};
	struct pf_space *s;
	struct pf_thread *t;
	struct pf_event ev;

	guest_new(code, sizeof(code), &s, &t);
	ops->regs(t)->rip = ptstub_addr(ptstub_call);
	ops->regs(t)->rax = SYS_exit_group;
	guest_expect_syscall(t, &ev, SYS_exit_group);
	ops->run(t, &ev);
	cr_assert_eq(ev.kind, PF_FAULT);
	cr_assert_eq(ev.signo, SIGTRAP);
	ops->regs(t)->rip = ptstub_addr(ptstub_fork);
	guest_expect_syscall(t, &ev, SYS_recvmsg);
	ops->regs(t)->rax = 1;
	guest_expect_syscall(t, &ev, SYS_clone);
	ops->regs(t)->rip = ptstub_addr(ptstub_park);
	guest_expect_syscall(t, &ev, SYS_pause);
	ops->thread_destroy(t);
}

Test(ptrace, a_scribbled_message_header_is_written_anew)
{
	static const uint8_t code[] = {0xf3, 0xaa, SYSCALL(9), JMP_SELF}; /* rep stosb */
	int fd = memfd_create("file", 0);
	struct pf_call c = {.nr = PF_MMAP,
			    .arg = {0x50000000, 4096, PROT_READ, MAP_SHARED | MAP_FIXED, 0, 0},
			    .fd = fd};
	struct pf_space *s;
	struct pf_thread *t;
	struct pf_event ev;

	cr_assert_eq(ftruncate(fd, 4096), 0);
	guest_new(code, sizeof(code), &s, &t);
	ops->regs(t)->rdi = PTSTUB_DATA;
	ops->regs(t)->rcx = 4096;
	ops->regs(t)->rax = 0xff;
	guest_expect_syscall(t, &ev, 9);
	cr_assert_eq(ops->call(t, &c), 0x50000000);
	ops->thread_destroy(t);
	close(fd);
}

Test(ptrace, a_fault_says_whether_it_was_a_write)
{
	static const struct {
		uint8_t code[12];
		uint64_t error;
	} cases[] = {
		{{0x8b, 0x07}, 4},				/* mov (%rdi),%eax */
		{{0x89, 0x07}, 6},				/* mov %eax,(%rdi) */
		{{0x83, 0x07, 0x01}, 6},			/* addl $1,(%rdi) */
		{{0x83, 0x3f, 0x01}, 4},			/* cmpl $1,(%rdi) */
		{{0x89, 0x44, 0x8f, 0x10}, 6},			/* mov %eax,0x10(%rdi,%rcx,4) */
		{{0x64, 0x8b, 0x04, 0x25, 0, 0, 0, 0}, 4},	/* mov %fs:0,%eax */
		{{0xff, 0x37}, 4},				/* push (%rdi) */
		{{0x48, 0x89, 0xfc, 0x50}, 6},			/* mov %rdi,%rsp; push %rax */
		{{0xf3, 0xaa}, 6},				/* rep stosb */
		{{0x48, 0x87, 0xfe, 0xa4}, 4},			/* xchg %rdi,%rsi; movsb */
		{{0xa4}, 6},					/* movsb */
		{{0x66, 0x0f, 0x7f, 0x07}, 6},			/* movdqa %xmm0,(%rdi) */
		{{0x66, 0x0f, 0x6f, 0x07}, 4},			/* movdqa (%rdi),%xmm0 */
		{{0x0f, 0xe7, 0x07}, 6},			/* movntq %mm0,(%rdi) */
		{{0xc5, 0xfe, 0x7f, 0x07}, 6},			/* vmovdqu %ymm0,(%rdi) */
		{{0xc5, 0xfe, 0x6f, 0x07}, 4},			/* vmovdqu (%rdi),%ymm0 */
		{{0xdd, 0x1f}, 6},				/* fstpl (%rdi) */
		{{0xdd, 0x07}, 4},				/* fldl (%rdi) */
		{{0x0f, 0xae, 0x07}, 6},			/* fxsave (%rdi) */
		{{0x0f, 0xae, 0x1f}, 6},			/* stmxcsr (%rdi) */
		{{0x0f, 0x94, 0x07}, 6},			/* sete (%rdi) */
		{{0xf0, 0x0f, 0xb1, 0x0f}, 6},			/* lock cmpxchg %ecx,(%rdi) */
		{{0xa6}, 4},					/* cmpsb */
		{{0xff, 0xe7}, 20},				/* jmp *%rdi */
	};
	struct pf_space *s;
	struct pf_thread *t;
	struct pf_event ev;

	guest_new(cases[0].code, sizeof(cases[0].code), &s, &t);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		ops->write(s, gptr(CODE), cases[i].code, sizeof(cases[i].code));
		ops->regs(t)->rip = CODE;
		ops->regs(t)->rsp = DATA + 0x1000;
		ops->regs(t)->rdi = 0x30000000;
		ops->regs(t)->rsi = DATA;
		ops->regs(t)->rcx = 4;
		ops->regs(t)->fs_base = 0x30000000;
		ops->run(t, &ev);
		cr_expect_eq(ev.kind, PF_FAULT);
		cr_expect_eq(ev.trapno, 14);
		cr_expect_eq(ev.error, cases[i].error, "case %zu: error %lu, addr %#lx", i,
			     ev.error, ev.addr);
	}
	ops->thread_destroy(t);
}

Test(ptrace, signals_from_the_host_change_nothing)
{
	static const int signals[] = {SIGTERM, SIGSTOP, SIGUSR1, SIGTRAP, SIGSEGV, SIGCONT, SIGTSTP};
	struct pf_space *s;
	struct pf_thread *t;
	struct pf_event ev;

	guest_new(call_loop, sizeof(call_loop), &s, &t);
	for (int i = 0; i < 70; i++) {
		cr_assert_eq(kill(s->pid, signals[i % 7]), 0);
		guest_expect_syscall(t, &ev, SYS_getppid);
		if (i % 5 == 0)
			cr_assert_eq(guest_map(t, 0x30000000, 4096, 3), 0x30000000);
	}
	ops->thread_destroy(t);
}

Test(ptrace, a_killed_process_is_dead)
{
	struct pf_space *s;
	struct pf_thread *t, *t2;
	struct pf_event ev;

	guest_new(call_loop, sizeof(call_loop), &s, &t);
	cr_assert_eq(ops->thread_new(t, &t2), 0);
	guest_expect_syscall(t, &ev, SYS_getppid);
	guest_expect_syscall(t2, &ev, SYS_getppid);
	kill(s->pid, SIGKILL);
	ops->run(t2, &ev);
	cr_assert_eq(ev.kind, PF_DEAD);
	cr_assert_eq(guest_map(t2, 0x30000000, 4096, 3), -EINTR);
	ops->thread_destroy(t2);
	ops->run(t, &ev);
	cr_assert_eq(ev.kind, PF_DEAD);
	ops->thread_destroy(t);
}

static void *kill_soon(void *arg)
{
	struct pf_space *s = arg;

	usleep(s->pid % 7 * 30);
	kill(s->pid, SIGKILL);
	return NULL;
}

/* Whatever its threads were doing, none stays a zombie that holds the process. */
Test(ptrace, a_process_killed_while_its_threads_are_seized_is_reaped)
{
	struct pf_space *s, *s2;
	struct pf_thread *t, *t2, *t3;
	struct pf_event ev;
	pthread_t th;

	guest_new(call_loop, sizeof(call_loop), &s, &t);
	for (int i = 0; i < 300; i++) {
		cr_assert_eq(ops->space_fork(t, &s2, &t2), 0);
		cr_assert_eq(ops->thread_new(t2, &t3), 0);
		pthread_create(&th, NULL, kill_soon, s2);
		if (i % 3)
			ops->release(t2);
		do
			ops->run(t3, &ev);
		while (ev.kind == PF_SYSCALL && i % 5);
		ops->release(t3);
		pthread_join(th, NULL);
		ops->thread_destroy(i & 1 ? t2 : t3);
		ops->thread_destroy(i & 1 ? t3 : t2);
	}
	ops->thread_destroy(t);
}
