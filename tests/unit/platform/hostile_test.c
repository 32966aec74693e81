/* Stubs that lie, jump about, hang and die. Whatever they do, the sentry's side must come back with
 * an answer or with PF_DEAD, keep its other guests, and leave nothing behind. */
#include "tests/unit/platform/guest.h"

#include <dirent.h>
#include <sched.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/uio.h>

#include "platform/seccomp/frame.h"
#include "platform/seccomp/impl.h"

TestSuite(hostile, .init = platform_up, .fini = platform_down, .timeout = 120);

static const uint8_t jmp_self[] = {0xeb, 0xfe};
/* mov $getppid,%eax; syscall; jmp back */
static const uint8_t loop[] = {0xb8, SYS_getppid, 0, 0, 0, 0x0f, 0x05, 0xeb, 0xf7};

/* The stub's `syscall; ud2` of its restorer: a guest can jump there with any registers. */
static uint64_t stub_syscall_site(struct pf_space *s)
{
	static uint8_t text[STUB_TEXT_SIZE];
	static const uint8_t pattern[] = {0xb8, 15, 0, 0, 0, 0x0f, 0x05, 0x0f, 0x0b};
	struct iovec l = {text, sizeof(text)}, r = {(void *)STUB_TEXT, sizeof(text)};
	uint8_t *p;

	cr_assert_eq(process_vm_readv(s->pid, &l, 1, &r, 1, 0), (ssize_t)sizeof(text));
	p = memmem(text, sizeof(text), pattern, sizeof(pattern));
	cr_assert(p);
	return STUB_TEXT + (p - text) + 5;
}

/* Runs one system call from inside the stub; true if the host ran it, *result is set then. */
static bool from_inside(struct pf_thread *t, uint64_t site, uint64_t nr, const uint64_t *a,
			int64_t *result)
{
	struct pf_regs *r = ops->regs(t);
	struct pf_event ev;

	r->rip = site;
	guest_set_call(r, nr, a);
	r->rsp = DATA + DATA_SIZE;
	ops->run(t, &ev);
	if (ev.kind == PF_SYSCALL) {
		cr_assert_eq(ev.nr, nr);
		return false;
	}
	cr_assert_eq(ev.kind, PF_FAULT, "call %lu: event %d", nr, ev.kind);
	cr_assert_eq(ev.signo, SIGILL);
	*result = r->rax;
	return true;
}

Test(hostile, only_the_listed_calls_reach_the_host_from_inside_the_stub)
{
	/* exit, exit_group and rt_sigreturn are let through too, but don't come back */
	static const int let_through[] = {SYS_mmap,	   SYS_munmap, SYS_mprotect, SYS_mremap,
					  SYS_madvise,	   SYS_futex,  SYS_recvmsg,  SYS_sched_yield,
					  SYS_getppid,	 SYS_dup3,
					  SYS_getrusage,   SYS_pread64};
	static const uint64_t zero[6];
	struct pf_space *s;
	struct pf_thread *t;
	uint64_t site;
	int64_t result;

	guest_new(jmp_self, sizeof(jmp_self), &s, &t);
	site = stub_syscall_site(s);
	for (int nr = 0; nr < 600; nr++) {
		bool expected = false, ran;

		if (nr == SYS_exit || nr == SYS_exit_group || nr == SYS_rt_sigreturn)
			continue;
		/* uretprobe, uprobe: the host exempts them from filters, and from anywhere but
		 * its own trampoline they are a SIGILL */
		if (nr == 335 || nr == 336)
			continue;
		for (size_t i = 0; i < sizeof(let_through) / sizeof(let_through[0]); i++)
			expected |= let_through[i] == nr;
		ran = from_inside(t, site, nr, zero, &result);
		cr_expect_eq(ran, expected, "call %d: %s", nr, ran ? "ran" : "trapped");
		ran = from_inside(t, site, nr | 0x40000000, zero, &result);
		cr_expect(!ran, "x32 call %d ran", nr);
	}
	ops->thread_destroy(t);
}

struct attempt {
	int nr;
	uint64_t a[6];
	bool runs;
	int64_t result; /* if it runs */
};

Test(hostile, arguments_outside_the_list_are_trapped)
{
	static const struct attempt attempts[] = {
		{SYS_mmap, {0x30000000, 4096, 8, 0x22, -1UL, 0}},
		{SYS_mmap, {0x30000000, 4096, 3, 0x40022, -1UL, 0}}, /* HUGETLB */
		{SYS_mmap, {0x30000000, 4096, 3, 0x2022, -1UL, 0}},  /* LOCKED */
		{SYS_mmap, {0x30000000, 4096, 3, 0x8022, -1UL, 0}},  /* POPULATE */
		{SYS_mmap, {0x30000000, 4096, 3, 0x100000022, -1UL, 0}},
		{SYS_mmap, {0x30000000, 4096, 3, 0x32, -1UL, 0}, true, 0x30000000},
		{SYS_mprotect, {0x30000000, 4096, 0x1000003}},
		{SYS_madvise, {0x30000000, 4096, 12}}, /* MERGEABLE */
		{SYS_madvise, {0x30000000, 4096, 21}}, /* PAGEOUT */
		{SYS_madvise, {0x30000000, 4096, 100}}, /* HWPOISON */
		{SYS_madvise, {0x30000000, 4096, 4}, true, 0},
		{SYS_recvmsg, {1, DATA, 0}},
		{SYS_close, {0}},
		{SYS_close, {5}, true, -EBADF},
		{SYS_dup3, {0, 1, 0}},
		{SYS_pread64, {0, DATA, 1, 0}, true, -ESPIPE},
		{SYS_pread64, {1, DATA, 1, 0}, true, -EBADF},
		{SYS_close_range, {0, 10, 0}},
		{SYS_close_range, {1, -1U, 0}, true, 0},
		{SYS_futex, {DATA, 6, 0}}, /* LOCK_PI */
		{SYS_futex, {DATA, 13, 0}}, /* LOCK_PI2 */
		{SYS_clone, {17}},
		{SYS_clone, {0x8011 | 0x10000000}}, /* NEWUSER */
		{SYS_clone, {0x50f00 | 0x80000}},   /* SETTLS */
		{SYS_clone, {0x100008011}},
		{SYS_clone, {STUB_CLONE_PROCESS}, true, -EPERM},
		{SYS_clone, {STUB_CLONE_THREAD, DATA + 4096}, true, -EPERM},
		{SYS_getrusage, {-1U, DATA}}, /* RUSAGE_CHILDREN */
		{SYS_getrusage, {1, DATA}},   /* RUSAGE_THREAD */
		{SYS_prctl, {1, 15}},
		{SYS_prctl, {22, 0}},
		{SYS_arch_prctl, {0x1003, DATA}},
		{SYS_arch_prctl, {0x1012, 0}},
		{SYS_arch_prctl, {0x1002, 0x1234}, true, 0},
	};
	struct pf_space *s;
	struct pf_thread *t;
	uint64_t site;

	guest_new(jmp_self, sizeof(jmp_self), &s, &t);
	if (pf->listener < 0)
		cr_skip_test("no listener: clones are not approved one by one");
	site = stub_syscall_site(s);
	for (size_t i = 0; i < sizeof(attempts) / sizeof(attempts[0]); i++) {
		const struct attempt *a = &attempts[i];
		int64_t result = 0;
		bool ran = from_inside(t, site, a->nr, a->a, &result);

		cr_expect_eq(ran, a->runs, "%zu: call %d %s", i, a->nr, ran ? "ran" : "trapped");
		if (ran && a->runs)
			cr_expect_eq(result, a->result, "%zu: call %d: %ld", i, a->nr, result);
	}
	ops->thread_destroy(t);
}

struct runner {
	struct pf_thread *t;
	struct pf_event ev;
	atomic_bool back;
};

static void *run_once(void *arg)
{
	struct runner *r = arg;

	ops->run(r->t, &r->ev);
	atomic_store(&r->back, true);
	return NULL;
}

/* The guest puts an end to its stub in every way that the filter leaves it. */
Test(hostile, a_stub_that_destroys_itself_is_dead_and_nothing_else)
{
	static const struct {
		int nr;
		uint64_t a[6];
	} ends[] = {
		{SYS_exit_group, {0}},
		{SYS_exit, {0}},
		{SYS_munmap, {STUB_ARENA, STUB_ARENA_SIZE}},
		{SYS_munmap, {STUB_TEXT, STUB_TEXT_SIZE}},
		{SYS_munmap, {0, 0x7ffffffff000UL}},
		{SYS_mprotect, {STUB_ARENA, STUB_ARENA_SIZE, PROT_READ}},
		{SYS_mprotect, {STUB_TEXT, STUB_TEXT_SIZE, PROT_READ}},
		{SYS_mmap, {STUB_ARENA, STUB_ARENA_SIZE, 3, 0x32, -1UL, 0}},
	};
	struct pf_space *s, *other;
	struct pf_thread *t, *alive;
	struct pf_event ev;
	struct runner run;
	pthread_t th;

	pf->interrupt_deadline_ns = 300000000;
	guest_new(loop, sizeof(loop), &other, &alive);
	for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
		struct pf_regs *r;

		guest_new(jmp_self, sizeof(jmp_self), &s, &t);
		r = ops->regs(t);
		r->rip = stub_syscall_site(s);
		r->rax = ends[i].nr;
		r->rdi = ends[i].a[0];
		r->rsi = ends[i].a[1];
		r->rdx = ends[i].a[2];
		r->r10 = ends[i].a[3];
		r->r8 = ends[i].a[4];
		run = (struct runner){.t = t};
		pthread_create(&th, NULL, run_once, &run);
		/* a stub that is only silent could be computing: it dies when it is wanted */
		usleep(100000);
		ops->interrupt(t);
		pthread_join(th, NULL);
		cr_expect_eq(run.ev.kind, PF_DEAD, "end %zu: event %d", i, run.ev.kind);
		ops->thread_destroy(t);
		guest_expect_syscall(alive, &ev, SYS_getppid);
	}
	ops->thread_destroy(alive);
}

Test(hostile, a_guest_that_blocks_all_signals_dies_at_the_interrupts_deadline)
{
	struct pf_space *s;
	struct pf_event ev;
	struct runner r = {0};
	struct kernel_ucontext uc = {0};
	pthread_t th;
	uint64_t start;

	pf->interrupt_deadline_ns = 500000000;
	guest_new(loop, sizeof(loop), &s, &r.t);
	guest_expect_syscall(r.t, &ev, SYS_getppid);
	/* a frame of its own: everything blocked, then an endless loop */
	memcpy(&uc, (uint8_t *)r.t->slot + r.t->uc_off, sizeof(uc));
	uc.sigmask = -1UL;
	uc.mc.gregs[16] = CODE;
	cr_assert_eq(ops->write(s, gptr(DATA), &uc, sizeof(uc)), (ssize_t)sizeof(uc));
	cr_assert_eq(ops->write(s, gptr(CODE), jmp_self, 2), 2);
	ops->regs(r.t)->rip = stub_syscall_site(s);
	ops->regs(r.t)->rax = SYS_rt_sigreturn;
	ops->regs(r.t)->rsp = DATA;
	pthread_create(&th, NULL, run_once, &r);
	guest_await_running(s->pid);
	cr_assert(!r.back);
	start = test_now();
	ops->interrupt(r.t);
	pthread_join(th, NULL);
	cr_assert_eq(r.ev.kind, PF_DEAD);
	cr_assert_lt(test_now() - start, 5000000000ULL);
	ops->thread_destroy(r.t);
}

Test(hostile, a_stub_that_never_answers_a_command_is_killed)
{
	struct pf_space *s;
	struct pf_thread *t;
	struct slot_cmd cmd = {.op = CMD_PAUSE};

	pf->command_deadline_ns = 300000000;
	guest_new(jmp_self, sizeof(jmp_self), &s, &t);
	cr_assert_eq(commands_run(t, &cmd, 1), -ESRCH);
	ops->thread_destroy(t);
}

Test(hostile, a_claimed_pid_is_checked)
{
	struct pf_space *s, *other, *child;
	struct pf_thread *t, *t2;

	guest_new(jmp_self, sizeof(jmp_self), &s, &t);
	guest_new(jmp_self, sizeof(jmp_self), &other, &t2);
	cr_assert_eq(space_alloc(pf, &child), 0);
	cr_expect_eq(space_adopt(child, 1, s->pid), -EPROTO);
	cr_expect_eq(space_adopt(child, 0, s->pid), -EPROTO);
	cr_expect_eq(space_adopt(child, -1, s->pid), -EPROTO);
	cr_expect_eq(space_adopt(child, getpid(), s->pid), -EPROTO);
	cr_expect_eq(space_adopt(child, s->pid, s->pid), -EPROTO);
	cr_expect_eq(space_adopt(child, other->pid, s->pid), -EPROTO);
	cr_expect_eq(space_adopt(child, pf->zygote->pid, s->pid), -EPROTO);
	space_put(child);
	ops->thread_destroy(t);
	ops->thread_destroy(t2);
}

/* --- a sibling thread of the guest that scribbles over the slot while the sentry uses it --- */

struct scribbler {
	struct pf_space *s;
	struct pf_thread *t;
	atomic_bool stop;
	uint64_t seed;
};

static uint64_t xorshift(uint64_t *x)
{
	*x ^= *x << 13;
	*x ^= *x >> 7;
	return *x ^= *x << 17;
}

static uint64_t nasty(struct scribbler *sc)
{
	static const uint64_t values[] = {0,	     1,		 2,	     3,		    4,
					  -1UL,	     -1000UL,	 0x7fffffff, 0x8000000000000000UL,
					  STUB_TEXT, STUB_ARENA, CODE,	     PF_GUEST_MAX};
	uint64_t r = xorshift(&sc->seed);

	switch (r % 5) {
	case 0:
		return r;
	case 1:
		return STUB_ARENA + (r >> 32) % 0x20000;
	case 2:
		return sc->s->pid;
	default:
		return values[(r >> 16) % (sizeof(values) / sizeof(values[0]))];
	}
}

static void *scribble(void *arg)
{
	struct scribbler *sc = arg;
	uint8_t *slot = (uint8_t *)sc->t->slot;

	while (!atomic_load(&sc->stop)) {
		uint64_t r = xorshift(&sc->seed), v = nasty(sc);
		/* the head, the first commands, or the frame */
		uint32_t off = r % 4 == 0   ? 0x5000 + (r >> 8) % 0x3000
			       : r % 4 == 1 ? (r >> 8) % 512
					    : (r >> 8) % 128;

		memcpy(slot + (off & ~3U), &v, r & 16 ? 4 : 8);
		for (int i = (r >> 40) % 2000; i > 0; i--)
			__builtin_ia32_pause();
	}
	return NULL;
}

/* What a sentry does with a guest, until it dies or `n` rounds are over. */
static void exercise(struct pf_thread *t, int n)
{
	struct pf_event ev;
	struct pf_space *s2;
	struct pf_thread *t2;
	uint32_t old;
	static uint8_t fp[16384];

	for (int i = 0; i < n; i++) {
		ops->run(t, &ev);
		if (ev.kind == PF_DEAD)
			return;
		ops->regs(t)->rip = CODE;
		guest_map(t, 0x30000000, 4096, 3);
		ops->cmpxchg32(t, gptr(DATA), 0, 0, &old);
		ops->fpu_get(t, fp, sizeof(fp));
		ops->fpu_reset(t);
		if (i % 16 == 3 && ops->thread_new(t, &t2) == 0) {
			ops->run(t2, &ev);
			ops->thread_destroy(t2);
		}
		if (i % 16 == 7 && ops->space_fork(t, &s2, &t2) == 0) {
			ops->run(t2, &ev);
			ops->thread_destroy(t2);
		}
	}
}

struct exercise_arg {
	struct pf_thread *t;
	atomic_bool back;
};

static void *exercise_thread(void *arg)
{
	struct exercise_arg *e = arg;

	exercise(e->t, 200);
	atomic_store(&e->back, true);
	return NULL;
}

Test(hostile, a_scribbled_slot_ends_in_an_answer_or_in_death)
{
	pf->interrupt_deadline_ns = 200000000;
	pf->command_deadline_ns = 500000000;
	for (int round = 0; round < 60; round++) {
		struct scribbler sc = {.seed = 88172645463325252UL + round * 7919};
		struct exercise_arg e = {0};
		pthread_t th, worker;
		uint64_t start = test_now();

		guest_new(loop, sizeof(loop), &sc.s, &sc.t);
		e.t = sc.t;
		pthread_create(&th, NULL, scribble, &sc);
		pthread_create(&worker, NULL, exercise_thread, &e);
		while (!atomic_load(&e.back)) {
			usleep(20000);
			/* a guest that runs astray for ever is what interrupts are for */
			if (test_now() - start > 100000000ULL)
				ops->interrupt(sc.t);
			cr_assert_lt(test_now() - start, 20000000000ULL, "round %d hangs", round);
		}
		pthread_join(worker, NULL);
		atomic_store(&sc.stop, true);
		pthread_join(th, NULL);
		ops->thread_destroy(sc.t);
	}
}

/* --- parked threads --- */

/* Runs `code` in a second thread until its first call, where it ends: its slot, which a guest can find. */
static struct slot *park_one(const uint8_t *code, size_t n, struct pf_space **s, struct pf_thread **t)
{
	struct pf_thread *other;
	struct pf_event ev;
	struct slot *slot;

	guest_new(code, n, s, t);
	cr_assert_eq(ops->thread_new(*t, &other), 0);
	slot = other->slot;
	guest_expect_syscall(other, &ev, SYS_getppid);
	ops->thread_destroy(other);
	cr_assert_eq((*s)->nparked, 1);
	cr_assert_eq(slot->state, SLOT_STOPPED);
	return slot;
}

static void slot_wake(struct slot *slot, uint32_t state)
{
	__atomic_store_n(&slot->state, state, __ATOMIC_SEQ_CST);
	syscall(SYS_futex, &slot->state, FUTEX_WAKE, 1, NULL, NULL, 0);
}

Test(hostile, a_parked_thread_that_was_made_to_run_ends_the_stub_when_it_is_taken)
{
	static const uint8_t once[] = {0xb8, SYS_getppid, 0, 0, 0, 0x0f, 0x05, 0xeb, 0xfe};
	struct pf_space *s;
	struct pf_thread *t, *other;
	struct pf_event ev;
	struct slot *slot = park_one(once, sizeof(once), &s, &t);
	uint64_t start = test_now();

	slot_wake(slot, SLOT_RESUME);
	while (__atomic_load_n(&slot->state, __ATOMIC_ACQUIRE) != SLOT_RUN)
		cr_assert_lt(test_now() - start, 10000000000ULL);
	cr_assert_eq(ops->thread_new(t, &other), -ESRCH);
	ops->run(t, &ev);
	cr_assert_eq(ev.kind, PF_DEAD);
	ops->thread_destroy(t);
}

Test(hostile, a_parked_thread_that_ran_and_stopped_again_is_as_good_as_new)
{
	struct pf_space *s;
	struct pf_thread *t, *other;
	struct pf_event ev;
	struct slot *slot = park_one(loop, sizeof(loop), &s, &t);
	uint64_t start = test_now();

	for (int i = 0; i < 100; i++) {
		slot->tsc = 0;
		slot_wake(slot, SLOT_RESUME);
		while (!__atomic_load_n(&slot->tsc, __ATOMIC_ACQUIRE) ||
		       __atomic_load_n(&slot->state, __ATOMIC_ACQUIRE) != SLOT_STOPPED)
			cr_assert_lt(test_now() - start, 20000000000ULL);
	}
	memset((uint8_t *)slot + s->p->uc_off, 0xff, sizeof(struct kernel_ucontext));
	cr_assert_eq(ops->thread_new(t, &other), 0);
	cr_assert_eq(other->slot, slot);
	ops->regs(other)->rbx = 77;
	guest_expect_syscall(other, &ev, SYS_getppid);
	cr_assert_eq(ops->regs(other)->rbx, 77);
	ops->thread_destroy(other);
	ops->thread_destroy(t);
}

/* Its stub thread is gone, so nobody answers: the deadlines are what ends that. */
Test(hostile, a_parked_thread_that_exited_is_found_out)
{
	struct pf_space *s;
	struct pf_thread *t, *other;
	struct pf_event ev;
	struct slot *slot = park_one(loop, sizeof(loop), &s, &t);
	pid_t tid = list_first(&s->parked, struct pf_thread, link)->tid;
	uint64_t start = test_now();

	pf->command_deadline_ns = 200000000;
	slot->cmd[0] = (struct slot_cmd){.op = CMD_EXIT};
	slot->ncmd = 1;
	slot_wake(slot, SLOT_CMD);
	while (syscall(SYS_tgkill, s->pid, tid, 0) == 0)
		cr_assert_lt(test_now() - start, 10000000000ULL);
	slot->state = SLOT_STOPPED;
	cr_assert_eq(ops->thread_new(t, &other), 0);
	cr_assert_eq(guest_map(other, 0x30000000, 4096, 3), -EINTR);
	ops->run(t, &ev);
	cr_assert_eq(ev.kind, PF_DEAD);
	ops->thread_destroy(other);
	ops->thread_destroy(t);
}

/* --- leaks and limits --- */

Test(hostile, copies_work_where_the_host_denies_process_vm)
{
	static uint8_t in[100000], out[100000];
	struct pf_space *s;
	struct pf_thread *t;
	struct pf_event ev;

	pf->process_vm = false;
	guest_new(loop, sizeof(loop), &s, &t);
	cr_assert_eq(guest_map(t, 0x40000000, sizeof(in) & ~4095UL, 3), 0x40000000);
	for (size_t i = 0; i < sizeof(in); i++)
		in[i] = i * 7;
	cr_assert_eq(ops->write(s, gptr(0x40000123), in, 90000), 90000);
	cr_assert_eq(ops->read(s, out, gptr(0x40000123), 90000), 90000);
	cr_assert_eq(memcmp(in, out, 90000), 0);
	cr_assert_eq(ops->read(s, out, gptr(0x40017f00), sizeof(out)), 0x100);
	cr_assert_eq(ops->read(s, out, gptr(0x50000000), 1), -EFAULT);
	cr_assert_eq(ops->write(s, gptr(0x50000000), out, 1), -EFAULT);
	guest_expect_syscall(t, &ev, SYS_getppid);
	ops->thread_destroy(t);
}
