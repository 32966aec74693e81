/* Calls that come by a jump: nothing but rax, rcx and r11 may change, whatever happens meanwhile. */
#include "tests/unit/platform/guest.h"

#include "platform/patch/patch.h"
#include "platform/seccomp/impl.h"

TestSuite(fast, .init = platform_up, .fini = platform_down, .timeout = 60);

#define THUNKS (CODE + 0x100000)
#define THUNK (THUNKS + PATCH_THUNK_SIZE) /* the first one */

/* Loads every register from a pattern, sets flags and the red zone, calls, stores everything. */
static const uint8_t probe[] = {
	0x48, 0xbc, 0, 0x80, 0, 0x20, 0, 0, 0, 0,	/* mov $DATA+0x8000,%rsp */
	0x48, 0xb8, 1, 1, 1, 1, 1, 1, 1, 1,		/* movabs pattern,%rax */
	0x48, 0x89, 0x44, 0x24, 0xf8,			/* mov %rax,-8(%rsp): the red zone */
	0x48, 0x89, 0x44, 0x24, 0x80,			/* mov %rax,-128(%rsp) */
	0x66, 0x48, 0x0f, 0x6e, 0xf8,			/* movq %rax,%xmm7 */
	0x48, 0xbb, 2, 2, 2, 2, 2, 2, 2, 2,		/* rbx */
	0x48, 0xbd, 3, 3, 3, 3, 3, 3, 3, 3,		/* rbp */
	0x49, 0xbc, 4, 4, 4, 4, 4, 4, 4, 4,		/* r12 */
	0x49, 0xbd, 5, 5, 5, 5, 5, 5, 5, 5,		/* r13 */
	0x49, 0xbe, 6, 6, 6, 6, 6, 6, 6, 6,		/* r14 */
	0x49, 0xbf, 7, 7, 7, 7, 7, 7, 7, 7,		/* r15 */
	0xbf, 8, 0, 0, 0, 0xbe, 9, 0, 0, 0,		/* edi, esi */
	0xba, 10, 0, 0, 0,				/* edx */
	0x41, 0xba, 11, 0, 0, 0, 0x41, 0xb8, 12, 0, 0, 0, /* r10, r8 */
	0x41, 0xb9, 13, 0, 0, 0,			/* r9 */
	0xf9, 0xfd,					/* stc; std */
	/* CALL_AT: */
	0xb8, SYS_mlock & 0xff, 0, 0, 0, 0x0f, 0x05,	/* mov $mlock,%eax; syscall */
	0x72, 0x02, 0x0f, 0x0b,				/* jc +2; ud2 */
	0xb8, SYS_exit, 0, 0, 0, 0x0f, 0x05,		/* exit */
};
#define CALL_AT (sizeof(probe) - 18)

/* Patches the site at CODE + CALL_AT as rule A. */
static void patch_one(struct pf_space *s, struct pf_thread *t, const uint8_t *code, size_t n, size_t call)
{
	static uint8_t text[4096], thunks[4096];
	struct patch_site site = {.off = call + 5, .displaced = 5};
	struct patch_plan plan = {.end = 4096, .nsites = 1, .sites = &site};

	memset(text, 0xcc, sizeof(text));
	memcpy(text, code, n);
	patch_write(&plan, text, thunks, THUNKS - CODE, ops->fast_entry(pf));
	cr_assert_eq(text[call], 0xe9);
	cr_assert_eq(guest_map(t, THUNKS, 4096, 7), (int64_t)THUNKS);
	cr_assert_eq(ops->write(s, gptr(CODE), text, 4096), 4096);
	cr_assert_eq(ops->write(s, gptr(THUNKS), thunks, 4096), 4096);
}

static void need_fast(void)
{
	if (!ops->fast_entry(pf))
		cr_skip_test("no FSGSBASE");
}

static void probe_check(struct pf_space *s, struct pf_thread *t, uint64_t rax)
{
	struct pf_regs *r = ops->regs(t);
	uint64_t red[2];

	for (unsigned i = 2; i <= 7; i++) {
		const uint64_t v[] = {0, 0, r->rbx, r->rbp, r->r12, r->r13, r->r14, r->r15};

		cr_expect_eq(v[i], i * 0x0101010101010101UL, "register %u: %lx", i, v[i]);
	}
	cr_expect_eq(r->rdi, 8);
	cr_expect_eq(r->rsi, 9);
	cr_expect_eq(r->rdx, 10);
	cr_expect_eq(r->r10, 11);
	cr_expect_eq(r->r8, 12);
	cr_expect_eq(r->r9, 13);
	cr_expect_eq(r->rsp, DATA + 0x8000);
	cr_expect_eq(r->eflags & 0x401, 0x401, "flags %lx", r->eflags);
	cr_expect_eq(r->rax, rax);
	cr_assert_eq(ops->read(s, &red[0], gptr(DATA + 0x8000 - 8), 8), 8);
	cr_assert_eq(ops->read(s, &red[1], gptr(DATA + 0x8000 - 128), 8), 8);
	cr_expect_eq(red[0], 0x0101010101010101UL);
	cr_expect_eq(red[1], 0x0101010101010101UL);
}

static uint64_t xmm7(struct pf_thread *t)
{
	static uint8_t fp[65536];
	uint64_t v;

	cr_assert_gt(ops->fpu_get(t, fp, sizeof(fp)), 0);
	memcpy(&v, fp + 160 + 7 * 16, 8);
	return v;
}

Test(fast, a_patched_call_changes_what_a_call_changes_and_nothing_else)
{
	struct pf_space *s;
	struct pf_thread *t;
	struct pf_event ev;

	need_fast();
	for (int full = 0; full < 2; full++) {
		guest_new(probe, sizeof(probe), &s, &t);
		patch_one(s, t, probe, sizeof(probe), CALL_AT);
		guest_expect_syscall(t, &ev, SYS_mlock);
		cr_expect_eq(ev.traps, 0);
		for (int i = 0; i < 6; i++)
			cr_expect_eq(ev.args[i], (uint64_t)i + 8);
		cr_expect_eq(ops->regs(t)->rip, CODE + CALL_AT + 7);
		cr_expect_eq(ops->regs(t)->rcx, CODE + CALL_AT + 7);
		cr_expect_eq(ops->regs(t)->r11, ops->regs(t)->eflags);
		if (full) /* by way of a signal frame */
			cr_expect_eq(xmm7(t), 0x0101010101010101UL);
		probe_check(s, t, SYS_mlock);
		ops->regs(t)->rax = SYS_exit;
		guest_expect_syscall(t, &ev, SYS_exit);
		probe_check(s, t, SYS_exit);
		cr_expect_eq(xmm7(t), 0x0101010101010101UL);
		ops->thread_destroy(t);
	}
}

Test(fast, all_registers_can_be_changed_at_the_exit)
{
	struct pf_space *s;
	struct pf_thread *t;
	struct pf_event ev;
	struct pf_regs want;

	need_fast();
	guest_new(probe, sizeof(probe), &s, &t);
	patch_one(s, t, probe, sizeof(probe), CALL_AT);
	guest_expect_syscall(t, &ev, SYS_mlock);
	want = *ops->regs(t);
	for (unsigned i = 0; i < 15; i++)
		((uint64_t *)&want)[i] = 0x1000 + i;
	want.rsp = DATA + 0x4000;
	want.rip = CODE + CALL_AT + 5; /* the `syscall` itself, which still traps */
	want.eflags = 0x8d7;
	*ops->regs(t) = want;
	ops->run(t, &ev);
	cr_assert_eq(ev.kind, PF_SYSCALL);
	cr_expect_eq(ev.traps, 1);
	cr_expect_eq(ev.nr, want.rax);
	want.rip += 2;
	want.rcx = want.rip;
	for (unsigned i = 0; i < 17; i++)
		if (i != 3)
			cr_expect_eq(((uint64_t *)ops->regs(t))[i], ((uint64_t *)&want)[i], "%u", i);
	cr_expect_eq(ops->regs(t)->eflags & 0xcd5, 0x8d5);
	ops->thread_destroy(t);
}

Test(fast, forked_child_and_new_thread_go_on_from_a_fast_call_with_slots_of_their_own)
{
	struct pf_space *s, *cs;
	struct pf_thread *t, *c[2];
	struct pf_event ev;

	need_fast();
	guest_new(probe, sizeof(probe), &s, &t);
	patch_one(s, t, probe, sizeof(probe), CALL_AT);
	guest_expect_syscall(t, &ev, SYS_mlock);
	cr_assert_eq(ops->space_fork(t, &cs, &c[0]), 0);
	cr_assert_eq(ops->thread_new(t, &c[1]), 0);
	for (int i = 0; i < 2; i++) {
		ops->regs(c[i])->rip = CODE; /* again */
		guest_expect_syscall(c[i], &ev, SYS_mlock);
		cr_expect_eq(ev.traps, 0);
		cr_expect_eq(ops->regs(c[i])->gs_base, 0);
		probe_check(i ? s : cs, c[i], SYS_mlock);
		guest_expect_syscall(c[i], &ev, SYS_exit);
	}
	guest_expect_syscall(t, &ev, SYS_exit);
	probe_check(s, t, SYS_exit);
	for (int i = 0; i < 2; i++)
		ops->thread_destroy(c[i]);
	ops->thread_destroy(t);
}

Test(fast, guest_with_a_gs_base_of_its_own_traps)
{
	uint8_t thunk[PATCH_THUNK_SIZE];
	struct pf_space *s;
	struct pf_thread *t;
	struct pf_event ev;

	need_fast();
	guest_new(probe, sizeof(probe), &s, &t);
	patch_one(s, t, probe, sizeof(probe), CALL_AT);
	guest_expect_syscall(t, &ev, SYS_mlock);
	ops->regs(t)->gs_base = DATA;
	ops->regs(t)->rip = CODE;
	guest_expect_syscall(t, &ev, SYS_mlock);
	cr_expect_eq(ev.traps, 1);
	cr_expect_eq(ops->regs(t)->gs_base, DATA);
	ops->regs(t)->rax = SYS_exit;
	guest_expect_syscall(t, &ev, SYS_exit);
	probe_check(s, t, SYS_exit);
	/* Nothing is mapped there: a fault in the thunk, which is told how to go on. */
	ops->regs(t)->gs_base = 0x30000000;
	ops->regs(t)->rip = CODE;
	ops->run(t, &ev);
	cr_assert_eq(ev.kind, PF_FAULT);
	cr_assert_eq(ops->read(s, thunk, gptr(THUNK), sizeof(thunk)), PATCH_THUNK_SIZE);
	cr_assert_gt(patch_thunk_fixup(thunk, ops->regs(t)->rip - THUNK), 0);
	ops->regs(t)->rip += patch_thunk_fixup(thunk, ops->regs(t)->rip - THUNK);
	guest_expect_syscall(t, &ev, SYS_mlock);
	cr_expect_eq(THUNK + (uint64_t)patch_thunk_original(thunk, ops->regs(t)->rip - THUNK),
		     CODE + CALL_AT + 7);
	ops->regs(t)->gs_base = 0;
	ops->regs(t)->rip = CODE;
	guest_expect_syscall(t, &ev, SYS_mlock);
	cr_expect_eq(ev.traps, 0);
	ops->thread_destroy(t);
}

/* mov $mlock,%eax; syscall; inc %r15; cmp %eax,%ebx... a loop that notices any other result */
static const uint8_t loop[] = {
	0xb8, SYS_mlock & 0xff, 0, 0, 0, 0x0f, 0x05, /* the site */
	0x3d, 0x44, 0x33, 0x22, 0x11,		     /* cmp $0x11223344,%eax */
	0x75, 0x05,				     /* jne bad */
	0x49, 0xff, 0xc7,			     /* inc %r15 */
	0xeb, 0xed,				     /* jmp loop */
	0x0f, 0x0b,				     /* bad: ud2 */
};

static atomic_bool storm_over;

static void *storm(void *arg)
{
	while (!atomic_load(&storm_over)) {
		ops->interrupt(arg);
		usleep(50);
	}
	return NULL;
}

static void storm_run(uint32_t nr, bool with_frames)
{
	uint8_t code[sizeof(loop)];
	struct pf_space *s;
	struct pf_thread *t;
	struct pf_event ev;
	pthread_t thread;
	unsigned calls = 0, interrupts = 0;
	uint64_t end;
	static uint8_t fp[65536];

	memcpy(code, loop, sizeof(loop));
	code[1] = nr;
	guest_new(code, sizeof(code), &s, &t);
	patch_one(s, t, code, sizeof(code), 0);
	ops->publish(t, &(struct pf_identity){.tgid = 0x11223344, .answers_allowed = true});
	atomic_store(&storm_over, false);
	pthread_create(&thread, NULL, storm, t);
	end = test_now() + 700000000UL;
	while (test_now() < end) {
		ops->run(t, &ev);
		if (ev.kind == PF_INTERRUPT) {
			interrupts++;
			if (with_frames && interrupts % 3 == 0)
				ops->fpu_get(t, fp, sizeof(fp));
			continue;
		}
		cr_assert_eq(ev.kind, PF_SYSCALL, "kind %d signo %d rip %lx", ev.kind, ev.signo,
			     ops->regs(t)->rip);
		cr_assert_eq(ev.nr, nr);
		cr_assert_eq(ops->regs(t)->rip, CODE + 7);
		if (nr != SYS_getpid)
			cr_assert_eq(ops->regs(t)->r15, calls);
		ops->regs(t)->rax = 0x11223344;
		if (with_frames && calls % 5 == 0)
			ops->fpu_get(t, fp, sizeof(fp));
		calls++;
	}
	atomic_store(&storm_over, true);
	pthread_join(thread, NULL);
	cr_expect_gt(interrupts, 5);
	if (nr == SYS_mlock)
		cr_expect_gt(calls, 100);
	else
		cr_expect_gt(ops->regs(t)->r15, 100);
	ops->thread_destroy(t);
}

Test(fast, no_interrupt_is_lost_and_no_call_disturbed)
{
	need_fast();
	storm_run(SYS_mlock & 0xff, false);
	storm_run(SYS_mlock & 0xff, true);
}

Test(fast, no_interrupt_is_lost_in_a_loop_of_calls_that_the_stub_answers)
{
	need_fast();
	storm_run(SYS_getpid, false);
	storm_run(SYS_getpid, true);
}

Test(fast, stub_answers_what_was_published_until_it_may_not)
{
	static const uint8_t code[] = {
		0xb8, SYS_getppid, 0, 0, 0, 0x0f, 0x05, 0x89, 0xc7, /* edi = getppid() */
		0xb8, SYS_getegid, 0, 0, 0, 0x0f, 0x05, 0x89, 0xc6, /* esi = getegid() */
		0xb8, SYS_exit, 0, 0, 0, 0x0f, 0x05,
	};
	struct pf_identity id = {.tgid = 1, .tid = 2, .ppid = 3, .egid = 7, .answers_allowed = true};
	struct pf_space *s;
	struct pf_thread *t;
	struct pf_event ev;

	guest_new(code, sizeof(code), &s, &t);
	ops->publish(t, &id);
	guest_expect_syscall(t, &ev, SYS_exit);
	cr_expect_eq(ev.args[0], 3);
	cr_expect_eq(ev.args[1], 7);
	id.answers_allowed = false;
	ops->publish(t, &id);
	ops->regs(t)->rip = CODE;
	guest_expect_syscall(t, &ev, SYS_getppid);
	ops->thread_destroy(t);
}

Test(fast, what_a_call_reads_comes_from_the_window_until_the_sentry_writes)
{
	static const uint8_t code[] = {
		0xbf, 1, 0, 0, 0,			/* edi: 1 */
		0xbe, 0, 0, 0, 0x20,			/* esi: DATA */
		0xba, 0, 1, 0, 0,			/* edx: 256 */
		0xb8, SYS_write, 0, 0, 0, 0x0f, 0x05,
		0xbe, 0, 0xff, 0, 0x20,			/* esi: 256 bytes before the end of DATA */
		0xb8, 0, 1, 0, 0, 0x89, 0xc2, 0xff, 0xc2, /* edx: 257 */
		0xb8, SYS_write, 0, 0, 0, 0x0f, 0x05,
		0xbe, 0, 0, 0, 0x66,			/* esi: nothing is there */
		0xb8, SYS_write, 0, 0, 0, 0x0f, 0x05,
	};
	struct pf_space *s;
	struct pf_thread *t;
	struct pf_event ev;
	char in[512], out[512];

	guest_new(code, sizeof(code), &s, &t);
	for (int i = 0; i < 512; i++)
		out[i] = i * 7;
	cr_assert_eq(ops->write(s, gptr(DATA), out, 512), 512);
	cr_assert_eq(ops->write(s, gptr(DATA + 0xff00), out, 256), 256);
	guest_expect_syscall(t, &ev, SYS_write);
	cr_assert_eq(t->slot->in >> 16, 1);
	cr_assert_eq(ops->read(s, in, gptr(DATA + 16), 32), 32);
	cr_expect_eq(memcmp(in, out + 16, 32), 0);
	/* More than it holds: what it has, then the rest. */
	cr_assert_eq(ops->read(s, in, gptr(DATA + 200), 100), 56);
	cr_expect_eq(memcmp(in, out + 200, 56), 0);
	cr_assert_eq(ops->read(s, in, gptr(DATA + 256), 100), 100);
	cr_expect_eq(memcmp(in, out + 256, 100), 0);
	cr_assert_eq(ops->write(s, gptr(DATA + 16), "fresh", 5), 5);
	cr_assert_eq(ops->read(s, in, gptr(DATA + 16), 5), 5);
	cr_expect_eq(memcmp(in, "fresh", 5), 0);
	guest_expect_syscall(t, &ev, SYS_write);
	cr_expect_eq(t->slot->in >> 16, 1);
	cr_assert_eq(ops->read(s, in, gptr(DATA + 0xff00), 257), 256);
	cr_expect_eq(memcmp(in, out, 256), 0);
	guest_expect_syscall(t, &ev, SYS_write);
	cr_expect_eq(t->slot->in, 0);
	cr_assert_eq(ops->read(s, in, gptr(0x66000000), 10), -EFAULT);
	/* A stub that lies about its length. */
	t->slot->in = 0x7fffffff;
	ops->thread_destroy(t);
}
