/* What every platform must do. The including file names the platform: SUITE, PLATFORM_NAME,
 * its impl.h, ZYGOTE_PID. */
#pragma once

#include "tests/unit/platform/guest.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>

TestSuite(SUITE, .init = platform_up, .fini = platform_down, .timeout = 60);

/* mov $nr,%eax; syscall */
#define SYSCALL(nr) 0xb8, (nr), 0, 0, 0, 0x0f, 0x05
#define JMP_SELF 0xeb, 0xfe

Test(SUITE, syscall_reports_number_and_arguments_and_takes_a_result)
{
	static const uint8_t code[] = {
		0xbf, 1, 0, 0, 0,	      /* mov $1,%edi */
		0xbe, 2, 0, 0, 0,	      /* mov $2,%esi */
		0xba, 3, 0, 0, 0,	      /* mov $3,%edx */
		0x41, 0xba, 4, 0, 0, 0,	      /* mov $4,%r10d */
		0x41, 0xb8, 5, 0, 0, 0,	      /* mov $5,%r8d */
		0x41, 0xb9, 6, 0, 0, 0,	      /* mov $6,%r9d */
		SYSCALL(SYS_getppid), 0x89, 0xc7, /* mov %eax,%edi */
		SYSCALL(SYS_exit),
	};
	struct pf_space *s;
	struct pf_thread *t;
	struct pf_event ev;

	guest_new(code, sizeof(code), &s, &t);
	guest_expect_syscall(t, &ev, SYS_getppid);
	for (int i = 0; i < 6; i++)
		cr_assert_eq(ev.args[i], (uint64_t)i + 1);
	cr_assert_eq(ops->regs(t)->orig_rax, SYS_getppid);
	ops->regs(t)->rax = 4711;
	guest_expect_syscall(t, &ev, SYS_exit);
	cr_assert_eq(ev.args[0], 4711);
	ops->thread_destroy(t);
}

Test(SUITE, odd_syscall_numbers_are_reported_and_not_run)
{
	static const uint8_t code[] = {
		0x48, 0xc7, 0xc0, 0xff, 0xff, 0xff, 0xff, 0x0f, 0x05, /* syscall(-1) */
		0xb8, 39,   0,	  0,	0x40, 0x0f, 0x05,	      /* x32 getpid */
		SYSCALL(SYS_exit),
	};
	struct pf_space *s;
	struct pf_thread *t;
	struct pf_event ev;

	guest_new(code, sizeof(code), &s, &t);
	guest_expect_syscall(t, &ev, -1UL);
	guest_expect_syscall(t, &ev, 0x40000027);
	guest_expect_syscall(t, &ev, SYS_exit);
	ops->thread_destroy(t);
}

Test(SUITE, int80_does_not_reach_the_host)
{
	static const uint8_t code[] = {0xb8, 20, 0, 0, 0, 0xcd, 0x80, JMP_SELF};
	struct pf_space *s;
	struct pf_thread *t;
	struct pf_event ev;

	guest_new(code, sizeof(code), &s, &t);
	ops->run(t, &ev);
	cr_assert_eq(ev.kind, PF_DEAD);
	ops->thread_destroy(t);
}

Test(SUITE, all_registers_take_effect)
{
	/* ud2 with every register set; the fault shows them again */
	static const uint8_t code[] = {0x0f, 0x0b};
	struct pf_space *s;
	struct pf_thread *t;
	struct pf_event ev;
	struct pf_regs want;

	guest_new(code, sizeof(code), &s, &t);
	for (int i = 0; i < 16; i++)
		((uint64_t *)ops->regs(t))[i] = 0x1111111111111111UL * i;
	ops->regs(t)->fs_base = 0x12345000;
	ops->regs(t)->gs_base = 0x54321000;
	want = *ops->regs(t);
	ops->run(t, &ev);
	cr_assert_eq(ev.kind, PF_FAULT);
	cr_assert_eq(ev.signo, SIGILL);
	cr_assert_eq(ev.addr, CODE);
	cr_assert_eq(memcmp(&want, ops->regs(t), 16 * 8), 0);
	cr_assert_eq(ops->regs(t)->fs_base, 0x12345000);
	cr_assert_eq(ops->regs(t)->gs_base, 0x54321000);
	cr_assert_eq(ops->regs(t)->rip, CODE);
	ops->thread_destroy(t);
}

Test(SUITE, faults_are_reported_and_can_be_repaired)
{
	/* mov %eax,(%rdi); syscall exit; div by zero; int3 */
	static const uint8_t code[] = {0x89, 0x07, SYSCALL(SYS_exit), 0x31, 0xc9, 0xf7, 0xf1, 0xcc};
	struct pf_space *s;
	struct pf_thread *t;
	struct pf_event ev;

	guest_new(code, sizeof(code), &s, &t);
	ops->regs(t)->rdi = 0x30000010;
	ops->run(t, &ev);
	cr_assert_eq(ev.kind, PF_FAULT);
	cr_assert_eq(ev.signo, SIGSEGV);
	cr_assert_eq(ev.code, SEGV_MAPERR);
	cr_assert_eq(ev.addr, 0x30000010);
	cr_assert_eq(ev.trapno, 14);
	cr_assert(ev.error & 2);
	cr_assert_eq(guest_map(t, 0x30000000, 4096, 3), 0x30000000);
	guest_expect_syscall(t, &ev, SYS_exit);
	ops->run(t, &ev);
	cr_assert_eq(ev.signo, SIGFPE);
	cr_assert_eq(ev.code, FPE_INTDIV);
	ops->regs(t)->rip += 2;
	ops->run(t, &ev);
	cr_assert_eq(ev.signo, SIGTRAP);
	ops->regs(t)->rip = 0x8000000000000000UL;
	ops->run(t, &ev);
	cr_assert_eq(ev.signo, SIGSEGV);
	ops->thread_destroy(t);
}

Test(SUITE, fp_state_is_read_written_and_checked)
{
	/* movq %rdi,%xmm3; syscall; movq %xmm3,%rdi; syscall; */
	static const uint8_t code[] = {0x66, 0x48, 0x0f, 0x6e, 0xdf, SYSCALL(1),
				       0x66, 0x48, 0x0f, 0x7e, 0xdf, SYSCALL(2),
				       0x66, 0x48, 0x0f, 0x7e, 0xdf, SYSCALL(3)};
	struct pf_space *s;
	struct pf_thread *t;
	struct pf_event ev;
	uint8_t fp[16384] = {0};
	size_t n = ops->fpu_size(pf);

	guest_new(code, sizeof(code), &s, &t);
	ops->regs(t)->rdi = 0xabcdef;
	guest_expect_syscall(t, &ev, 1);
	cr_assert_eq(ops->fpu_get(t, fp, sizeof(fp)), (int)n);
	cr_assert_eq(ops->fpu_get(t, fp, n - 1), -ENOSPC);
	cr_assert_eq(*(uint64_t *)(fp + 160 + 3 * 16), 0xabcdef);
	*(uint64_t *)(fp + 160 + 3 * 16) = 0x777;
	cr_assert_eq(ops->fpu_set(t, fp, n), 0);
	guest_expect_syscall(t, &ev, 2);
	cr_assert_eq(ev.args[0], 0x777);
	fp[24 + 3] = 0xff; /* a reserved MXCSR bit */
	cr_assert_eq(ops->fpu_set(t, fp, n), -EINVAL);
	fp[24 + 3] = 0;
	if (n > 576) {
		fp[512 + 7] = 0x40; /* an unknown feature */
		cr_assert_eq(ops->fpu_set(t, fp, n), -EINVAL);
		fp[512 + 7] = 0;
	}
	cr_assert_eq(ops->fpu_set(t, fp, 511), -EINVAL);
	cr_assert_eq(ops->fpu_set(t, fp, 512), 0);
	ops->fpu_reset(t);
	guest_expect_syscall(t, &ev, 3);
	cr_assert_eq(ev.args[0], 0);
	ops->thread_destroy(t);
}

Test(SUITE, memory_copies_stop_at_the_first_bad_byte)
{
	static const uint8_t code[] = {JMP_SELF};
	static uint8_t buf[3 * 4096];
	struct pf_space *s;
	struct pf_thread *t;

	guest_new(code, sizeof(code), &s, &t);
	cr_assert_eq(guest_map(t, 0x40000000, 2 * 4096, 3), 0x40000000);
	cr_assert_eq(ops->write(s, gptr(0x40000800), buf, sizeof(buf)), 0x1800);
	cr_assert_eq(ops->read(s, buf, gptr(0x40000800), sizeof(buf)), 0x1800);
	cr_assert_eq(ops->read(s, buf, gptr(0x40002000), 1), -EFAULT);
	cr_assert_eq(ops->read(s, buf, gptr(PF_GUEST_MAX), 1), -EFAULT);
	cr_assert_eq(ops->read(s, buf, gptr(-1UL), 1), -EFAULT);
	cr_assert_eq(ops->write(s, gptr(0x40000000), buf, 0), 0);
	ops->space_kill(s);
	cr_assert_lt(ops->read(s, buf, gptr(0x40000000), 1), 0);
	ops->thread_destroy(t);
}

Test(SUITE, files_are_mapped_by_passed_descriptors)
{
	static const uint8_t code[] = {0x8b, 0x3f, SYSCALL(9), JMP_SELF}; /* mov (%rdi),%edi */
	struct pf_space *s;
	struct pf_thread *t;
	struct pf_event ev;
	int fd = memfd_create("file", 0);
	struct pf_call c = {.nr = PF_MMAP,
			    .arg = {0x50000000, 4096, PROT_READ, MAP_SHARED | MAP_FIXED, 0, 4096},
			    .fd = fd};

	cr_assert_eq(ftruncate(fd, 8192), 0);
	cr_assert_eq(pwrite(fd, "abcd", 4, 4096), 4);
	guest_new(code, sizeof(code), &s, &t);
	cr_assert_eq(ops->call(t, &c), 0x50000000);
	cr_assert_eq(ops->call(t, &c), 0x50000000);
	ops->regs(t)->rdi = 0x50000000;
	guest_expect_syscall(t, &ev, 9);
	cr_assert_eq(ev.args[0], 0x64636261);
	ops->thread_destroy(t);
	close(fd);
}

/* More than go into one message; one of them, and a call at once, with a message of its own. */
Test(SUITE, descriptors_that_are_passed_together_reach_their_calls)
{
	static const uint8_t code[] = {SYSCALL(9), JMP_SELF};
	struct pf_space *s;
	struct pf_thread *t;

	guest_new(code, sizeof(code), &s, &t);
	for (int i = 0; i < 13; i++) {
		uint64_t at = 0x50000000 + (uint64_t)i * 4096;
		char name = (char)('a' + i);
		struct pf_call c = {
			.nr = PF_MMAP,
			.arg = {at, 4096, PROT_READ, MAP_PRIVATE | MAP_FIXED, 0, 0},
			.fd = memfd_create("file", 0),
			.fd_lasts = i != 3 && i != 12,
		};

		cr_assert_eq(write(c.fd, &name, 1), 1);
		cr_assert_eq(ftruncate(c.fd, 4096), 0);
		if (i < 12)
			cr_assert_eq(ops->call_post(t, &c), 0);
		else
			cr_assert_eq(ops->call(t, &c), (int64_t)at);
	}
	for (int i = 0; i < 13; i++) {
		char got;

		cr_assert_eq(ops->read(s, &got, gptr(0x50000000 + (uint64_t)i * 4096), 1), 1);
		cr_assert_eq(got, 'a' + i);
	}
	ops->thread_destroy(t);
}

static int posted[3], nposted;

static void count_posted(void *ctx, int64_t result)
{
	posted[nposted++] = (int)(long)ctx;
	cr_assert_geq(result, 0);
}

Test(SUITE, posted_calls_run_in_order_before_the_guest)
{
	static const uint8_t code[] = {0x89, 0x07, SYSCALL(9), JMP_SELF}; /* mov %eax,(%rdi) */
	struct pf_space *s;
	struct pf_thread *t;
	struct pf_event ev;
	struct pf_call c = {
		.nr = PF_MMAP,
		.arg = {0x60000000, 4096, 0, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0},
		.fd = -1,
		.done = count_posted,
		.ctx = (void *)1};

	guest_new(code, sizeof(code), &s, &t);
	cr_assert_eq(ops->call_post(t, &c), 0);
	c.nr = PF_MPROTECT;
	c.arg[2] = 3;
	c.ctx = (void *)2;
	cr_assert_eq(ops->call_post(t, &c), 0);
	cr_assert_eq(nposted, 0);
	ops->regs(t)->rdi = 0x60000000;
	guest_expect_syscall(t, &ev, 9);
	cr_assert_eq(nposted, 2);
	cr_assert(posted[0] == 1 && posted[1] == 2);
	ops->call_wait(t);
	ops->thread_destroy(t);
}

Test(SUITE, calls_outside_the_guest_range_are_refused)
{
	static const uint8_t code[] = {JMP_SELF};
	struct pf_space *s;
	struct pf_thread *t;
	struct pf_call c = {.nr = PF_MUNMAP, .arg = {PF_GUEST_MAX - 4096, 8192}, .fd = -1};

	guest_new(code, sizeof(code), &s, &t);
	cr_assert_eq(ops->call(t, &c), -EINVAL);
	cr_assert_eq(guest_map(t, 0x7ffe10000000UL, 4096, 3), -EINVAL);
	c = (struct pf_call){.nr = PF_MADVISE, .arg = {CODE, 4096, MADV_MERGEABLE}, .fd = -1};
	cr_assert_eq(ops->call(t, &c), -EINVAL);
	ops->thread_destroy(t);
}

Test(SUITE, fork_copies_memory_registers_and_fp_state)
{
	static const uint8_t code[] = {
		0x66, 0x48, 0x0f, 0x6e, 0xdf, /* movq %rdi,%xmm3 */
		SYSCALL(SYS_fork),
		0xff, 0x06,		      /* incl (%rsi) */
		0x66, 0x48, 0x0f, 0x7e, 0xdf, /* movq %xmm3,%rdi */
		SYSCALL(SYS_exit),
	};
	struct pf_space *s, *s2;
	struct pf_thread *t, *t2;
	struct pf_event ev;
	uint32_t v = 41;

	guest_new(code, sizeof(code), &s, &t);
	ops->write(s, gptr(DATA), &v, 4);
	ops->regs(t)->rdi = 99;
	ops->regs(t)->rsi = DATA;
	ops->regs(t)->fs_base = 0x777000;
	guest_expect_syscall(t, &ev, SYS_fork);
	cr_assert_eq(ops->space_fork(t, &s2, &t2), 0);
	cr_assert_eq(ops->regs(t2)->fs_base, 0x777000);
	guest_expect_syscall(t2, &ev, SYS_exit);
	cr_assert_eq(ev.args[0], 99);
	cr_assert_eq(ops->regs(t2)->fs_base, 0x777000);
	ops->read(s2, &v, gptr(DATA), 4);
	cr_assert_eq(v, 42);
	ops->read(s, &v, gptr(DATA), 4);
	cr_assert_eq(v, 41);
	guest_expect_syscall(t, &ev, SYS_exit);
	ops->thread_destroy(t);
	ops->thread_destroy(t2);
}

Test(SUITE, threads_share_memory_and_have_registers_of_their_own)
{
	static const uint8_t code[] = {
		0xf0, 0xff, 0x06, /* lock incl (%rsi) */
		SYSCALL(SYS_exit), JMP_SELF};
	struct pf_space *s;
	struct pf_thread *t, *more[40];
	struct pf_event ev;
	uint32_t v = 0;

	guest_new(code, sizeof(code), &s, &t);
	ops->regs(t)->rsi = DATA;
	for (int round = 0; round < 3; round++) {
		for (int i = 0; i < 40; i++) {
			cr_assert_eq(ops->thread_new(t, &more[i]), 0);
			ops->regs(more[i])->rdi = i;
			ops->regs(more[i])->fs_base = 0x1000 * i;
		}
		for (int i = 0; i < 40; i++) {
			guest_expect_syscall(more[i], &ev, SYS_exit);
			cr_assert_eq(ev.args[0], (uint64_t)i);
			cr_assert_eq(ops->regs(more[i])->fs_base, 0x1000UL * i);
			ops->thread_destroy(more[i]);
		}
	}
	ops->read(s, &v, gptr(DATA), 4);
	cr_assert_eq(v, 120);
	ops->thread_destroy(t);
}

/* The host thread may be one that had a guest thread before. */
Test(SUITE, a_thread_begins_with_its_makers_state_whatever_ended_before)
{
	static const uint8_t code[] = {
		0x66, 0x48, 0x0f, 0x6e, 0xc7, /* movq %rdi, %xmm0 */
		0x0f, 0xae, 0x16,	      /* ldmxcsr (%rsi) */
		SYSCALL(SYS_exit), JMP_SELF};
	static uint8_t mine[16384], its[16384];
	const uint32_t mxcsr = 0x3f80; /* rounds down */
	struct pf_space *s;
	struct pf_thread *t, *more;
	struct pf_event ev;

	guest_new(code, sizeof(code), &s, &t);
	cr_assert_eq(ops->write(s, gptr(DATA), &mxcsr, 4), 4);
	ops->regs(t)->rsi = DATA;
	ops->regs(t)->rdi = 1234;
	ops->regs(t)->fs_base = 0x5000;
	guest_expect_syscall(t, &ev, SYS_exit);
	cr_assert_gt(ops->fpu_get(t, mine, sizeof(mine)), 0);
	for (int round = 0; round < 50; round++) {
		cr_assert_eq(ops->thread_new(t, &more), 0);
		cr_assert_eq(ops->regs(more)->fs_base, 0x5000UL);
		cr_assert_eq(ops->regs(more)->gs_base, 0UL);
		cr_assert_gt(ops->fpu_get(more, its, sizeof(its)), 0);
		cr_assert_arr_eq(its, mine, 416);
		ops->regs(more)->rip = CODE;
		ops->regs(more)->rdi = round;
		ops->regs(more)->r12 = round * 3;
		if (round & 1)
			ops->regs(more)->fs_base = 0x10000UL * round;
		if (round & 2)
			ops->regs(more)->gs_base = 0x10000UL * round;
		ops->interrupt(more); /* some end with one pending */
		if (round & 4)
			ops->interrupt_clear(more);
		ops->run(more, &ev);
		if (ev.kind == PF_INTERRUPT)
			ops->run(more, &ev);
		cr_assert_eq(ev.kind, PF_SYSCALL);
		cr_assert_eq(ev.args[0], (uint64_t)round);
		cr_assert_eq(ops->regs(more)->r12, round * 3UL);
		cr_assert_eq(ops->regs(more)->fs_base, round & 1 ? 0x10000UL * round : 0x5000UL);
		cr_assert_eq(ops->regs(more)->gs_base, round & 2 ? 0x10000UL * round : 0UL);
		if (round % 3 == 0)
			ops->interrupt(more);
		ops->thread_destroy(more);
	}
	ops->thread_destroy(t);
}

struct spinner {
	struct pf_thread *t;
	struct pf_event ev;
};

static void *run_thread(void *arg)
{
	struct spinner *sp = arg;

	ops->run(sp->t, &sp->ev);
	if (ops->release)
		ops->release(sp->t);
	return NULL;
}

Test(SUITE, interrupt_stops_a_computing_guest)
{
	static const uint8_t code[] = {JMP_SELF};
	struct pf_space *s;
	struct spinner sp;
	pthread_t th;

	guest_new(code, sizeof(code), &s, &sp.t);
	if (ops->release)
		ops->release(sp.t);
	for (int i = 0; i < 20; i++) {
		pthread_create(&th, NULL, run_thread, &sp);
		usleep(i * 300);
		ops->interrupt(sp.t);
		pthread_join(th, NULL);
		cr_assert_eq(sp.ev.kind, PF_INTERRUPT);
	}
	ops->interrupt(sp.t);
	ops->run(sp.t, &sp.ev);
	cr_assert_eq(sp.ev.kind, PF_INTERRUPT);
	ops->interrupt(sp.t);
	ops->interrupt_clear(sp.t);
	ops->thread_destroy(sp.t);
}

Test(SUITE, kill_ends_a_computing_guest)
{
	static const uint8_t code[] = {JMP_SELF};
	struct pf_space *s;
	struct spinner sp;
	pthread_t th;

	guest_new(code, sizeof(code), &s, &sp.t);
	if (ops->release)
		ops->release(sp.t);
	pthread_create(&th, NULL, run_thread, &sp);
	usleep(10000);
	ops->space_kill(s);
	pthread_join(th, NULL);
	cr_assert_eq(sp.ev.kind, PF_DEAD);
	ops->thread_destroy(sp.t);
}

Test(SUITE, cmpxchg_works_and_faults)
{
	static const uint8_t code[] = {JMP_SELF};
	struct pf_space *s;
	struct pf_thread *t;
	uint32_t old, v = 5;

	guest_new(code, sizeof(code), &s, &t);
	ops->write(s, gptr(DATA), &v, 4);
	cr_assert_eq(ops->cmpxchg32(t, gptr(DATA), 5, 6, &old), 0);
	cr_assert_eq(old, 5);
	cr_assert_eq(ops->cmpxchg32(t, gptr(DATA), 5, 7, &old), 0);
	cr_assert_eq(old, 6);
	cr_assert_eq(ops->cmpxchg32(t, gptr(0x1000), 5, 7, &old), -EFAULT);
	cr_assert_eq(ops->cmpxchg32(t, gptr(0x70000000), 5, 7, &old), -EFAULT);
	cr_assert_eq(ops->cmpxchg32(t, gptr(0x70000000), 5, 7, &old), -EFAULT);
	ops->thread_destroy(t);
}

Test(SUITE, the_vdso_is_reachable)
{
	/* clock_gettime through the vDSO is found by the loader; here: its ELF header */
	static const uint8_t code[] = {0x48, 0x8b, 0x3f, SYSCALL(9), JMP_SELF};
	struct pf_space *s;
	struct pf_thread *t;
	struct pf_event ev;

	guest_new(code, sizeof(code), &s, &t);
	cr_assert_gt(ops->host_vdso(s), PF_GUEST_MAX);
	ops->regs(t)->rdi = ops->host_vdso(s);
	guest_expect_syscall(t, &ev, 9);
	cr_assert_eq(ev.args[0] & 0xffffffff, 0x464c457f);
	ops->thread_destroy(t);
}

Test(SUITE, a_blank_space_has_nothing_of_the_sentrys)
{
	static const uint8_t code[] = {JMP_SELF};
	struct pf_space *s;
	struct pf_thread *t;
	char path[64];
	int fds = 0;
	DIR *d;

	guest_new(code, sizeof(code), &s, &t);
	snprintf(path, sizeof(path), "/proc/%d/fd", s->pid);
	d = opendir(path);
	cr_assert(d);
	for (struct dirent *e; (e = readdir(d));)
		fds += e->d_name[0] != '.';
	closedir(d);
	cr_assert_eq(fds, 1);
	ops->thread_destroy(t);
}

/* getppid for ever */
static const uint8_t call_loop[] = {SYSCALL(SYS_getppid), 0xeb, 0xf7};

static int count_fds(void)
{
	DIR *d = opendir("/proc/self/fd");
	int n = 0;

	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

Test(SUITE, spaces_leave_no_descriptor_and_no_process)
{
	struct pf_space *s, *s2;
	struct pf_thread *t, *t2;
	struct pf_event ev;
	int before = 0, after = 0;

	guest_new(call_loop, sizeof(call_loop), &s, &t);
	for (int i = 0; i < 150; i++) {
		/* what is kept ready for later births is there after a few */
		if (i == 8) {
			usleep(50000);
			before = count_fds();
		}
		cr_assert_eq(ops->space_fork(t, &s2, &t2), 0);
		if (i & 1)
			guest_expect_syscall(t2, &ev, SYS_getppid);
		if (i & 2)
			ops->space_kill(s2);
		ops->thread_destroy(t2);
		if (ops->reap)
			ops->reap(pf);
	}
	/* Some more or less may be kept ready than then; a leak would be one for each space. */
	for (int i = 0; i < 500 && (after = count_fds()) > before + 16; i++)
		usleep(10000);
	cr_assert_leq(after, before + 16);
	ops->thread_destroy(t);
}

Test(SUITE, thousands_of_threads_in_one_space)
{
	enum { N = 4000 };
	static struct pf_thread *many[N];
	struct pf_space *s;
	struct pf_thread *t;
	struct pf_event ev;
	struct rlimit rl;

	if (getrlimit(RLIMIT_NPROC, &rl) == 0 && geteuid() != 0 && rl.rlim_cur < N + 1000)
		cr_skip_test("RLIMIT_NPROC");
	guest_new(call_loop, sizeof(call_loop), &s, &t);
	for (int i = 0; i < N; i++)
		cr_assert_eq(ops->thread_new(t, &many[i]), 0, "thread %d", i);
	for (int i = 0; i < N; i += 7)
		guest_expect_syscall(many[i], &ev, SYS_getppid);
	for (int i = 0; i < N; i++)
		ops->thread_destroy(many[i]);
	guest_expect_syscall(t, &ev, SYS_getppid);
	ops->thread_destroy(t);
}

static uint64_t cpu_ns(clockid_t c)
{
	struct timespec ts;

	clock_gettime(c, &ts);
	return ts.tv_sec * 1000000000ULL + ts.tv_nsec;
}

Test(SUITE, an_idle_sandbox_uses_no_cpu)
{
	struct pf_space *s;
	struct pf_thread *t;
	struct pf_event ev;
	clockid_t stub;
	uint64_t ours, theirs;

	guest_new(call_loop, sizeof(call_loop), &s, &t);
	for (int i = 0; i < 1000; i++)
		guest_expect_syscall(t, &ev, SYS_getppid);
	cr_assert_eq(clock_getcpuclockid(s->pid, &stub), 0);
	usleep(100000);
	ours = cpu_ns(CLOCK_PROCESS_CPUTIME_ID);
	theirs = cpu_ns(stub);
	usleep(500000);
	cr_expect_lt(cpu_ns(CLOCK_PROCESS_CPUTIME_ID) - ours, 2000000);
	cr_expect_eq(cpu_ns(stub) - theirs, 0);
	ops->thread_destroy(t);
}

/* A sentry that ends right after a fork; its stubs' ids go to fd. */
static _Noreturn void short_lived_sentry(int fd)
{
	static const uint8_t code[] = {JMP_SELF};
	struct pf_space *s, *s2;
	struct pf_thread *t, *t2;
	pid_t pids[3] = {0};

	platform_up();
	guest_new(code, sizeof(code), &s, &t);
	if (ops->space_fork(t, &s2, &t2))
		_exit(1);
	pids[0] = ZYGOTE_PID;
	pids[1] = s->pid;
	pids[2] = s2->pid;
	_exit(write(fd, pids, sizeof(pids)) != sizeof(pids));
}

/* With no pid namespace around them, the host ends them all the same, one that is just being born
 * too. They come to us when orphaned: that is their end, or a wait in vain. */
Test(SUITE, stubs_die_with_the_sentry, .init = NULL, .fini = NULL)
{
	enum { ROUNDS = 8 };
	const struct timespec tick = {.tv_nsec = 5000000};

	prctl(PR_SET_CHILD_SUBREAPER, 1);
	for (int i = 0; i < ROUNDS; i++) {
		pid_t pids[3] = {0}, child, p = 0;
		int fd[2], status = -1;

		cr_assert_eq(pipe(fd), 0);
		child = fork();
		if (child == 0)
			short_lived_sentry(fd[1]);
		close(fd[1]);
		cr_assert_eq(read(fd[0], pids, sizeof(pids)), (ssize_t)sizeof(pids));
		close(fd[0]);
		cr_assert_eq(waitpid(child, &status, 0), child);
		cr_assert_eq(status, 0);
		for (int n = 0; n < 3; n++) {
			for (int k = 0; k < 4000 && (p = waitpid(-1, NULL, WNOHANG)) == 0; k++)
				nanosleep(&tick, NULL);
			for (int k = 0; p == 0 && k < 3; k++)
				kill(pids[k], SIGKILL);
			cr_assert_neq(p, 0, "a stub lives on");
			cr_assert(p == pids[0] || p == pids[1] || p == pids[2]);
		}
	}
}
