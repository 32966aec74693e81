/* What a call writes, put off until its thread runs again; and guests that lie about it. */
#include "tests/unit/platform/guest.h"

#include <sys/mman.h>

#include "platform/seccomp/impl.h"

TestSuite(window, .init = platform_up, .fini = platform_down, .timeout = 60);

/* mov $getppid,%eax; syscall; jmp back */
static const uint8_t loop[] = {0xb8, SYS_getppid, 0, 0, 0, 0x0f, 0x05, 0xeb, 0xf7};
static const uint8_t jmp_self[] = {0xeb, 0xfe};

static bool put(struct pf_thread *t, uint64_t dst, const void *src, size_t n)
{
	void *buf = ops->late_buffer(t, gptr(dst), n);

	if (!buf)
		return false;
	memcpy(buf, src, n);
	ops->late_commit(t, gptr(dst), n);
	return true;
}

static void expect_memory(struct pf_space *s, uint64_t at, const void *want, size_t n)
{
	char got[256];

	cr_assert_eq(ops->read(s, got, gptr(at), n), (ssize_t)n);
	cr_expect_eq(memcmp(got, want, n), 0);
}

Test(window, what_was_put_off_is_in_the_guests_memory_at_the_next_event)
{
	static const size_t sizes[] = {1, 7, 8, 9, 127, 128, 129, 200};
	struct pf_space *s;
	struct pf_thread *t;
	struct pf_event ev;
	char text[256];

	guest_new(loop, sizeof(loop), &s, &t);
	for (int i = 0; i < 256; i++)
		text[i] = (char)(i * 3 + 1);
	guest_expect_syscall(t, &ev, SYS_getppid);
	for (unsigned i = 0; i < 8; i++)
		cr_assert(put(t, DATA + 1 + i * 256, text, sizes[i]));
	guest_expect_syscall(t, &ev, SYS_getppid);
	for (unsigned i = 0; i < 8; i++) {
		expect_memory(s, DATA + 1 + i * 256, text, sizes[i]);
		expect_memory(s, DATA + 1 + i * 256 + sizes[i], "\0", 1);
	}
	ops->thread_destroy(t);
}

Test(window, other_copies_see_it_as_written_and_later_writes_win)
{
	struct pf_space *s;
	struct pf_thread *t;
	struct pf_event ev;

	guest_new(loop, sizeof(loop), &s, &t);
	cr_expect_null(ops->late_buffer(t, gptr(DATA), 8)); /* it has not run yet */
	guest_expect_syscall(t, &ev, SYS_getppid);
	cr_assert(put(t, DATA, "early...", 8));
	expect_memory(s, DATA + 2, "rly...", 6);
	cr_assert(put(t, DATA, "again...", 8));
	cr_assert_eq(ops->write(s, gptr(DATA + 5), "now", 3), 3);
	cr_assert(put(t, DATA + 4, "n", 1));
	guest_expect_syscall(t, &ev, SYS_getppid);
	expect_memory(s, DATA, "againnow", 8);
	ops->thread_destroy(t);
}

Test(window, it_takes_only_what_fits)
{
	struct pf_space *s;
	struct pf_thread *t;
	struct pf_event ev;

	guest_new(loop, sizeof(loop), &s, &t);
	guest_expect_syscall(t, &ev, SYS_getppid);
	cr_expect_null(ops->late_buffer(t, gptr(DATA), SLOT_WINDOW_SIZE));
	cr_expect_null(ops->late_buffer(t, gptr(DATA), SIZE_MAX));
	cr_expect_null(ops->late_buffer(t, gptr(PF_GUEST_MAX - 1), 2));
	cr_expect_null(ops->late_buffer(t, gptr(STUB_ARENA), 2));
	cr_assert(ops->late_buffer(t, gptr(DATA), 65536));
	for (int i = 0; i < WINDOW_OUTS; i++)
		cr_assert(put(t, DATA + i, "x", 1));
	cr_expect_not(put(t, DATA, "y", 1));
	guest_expect_syscall(t, &ev, SYS_getppid);
	expect_memory(s, DATA, "xxxxxxxxxxxxxxxx\0", WINDOW_OUTS + 1);
	ops->thread_destroy(t);
}

#define HOLE (DATA + DATA_SIZE)

Test(window, a_copy_that_faults_comes_back_before_the_guest_runs)
{
	struct pf_space *s;
	struct pf_thread *t;
	struct pf_event ev;
	struct gptr fault = {0};
	uint64_t rip;

	guest_new(loop, sizeof(loop), &s, &t);
	guest_expect_syscall(t, &ev, SYS_getppid);
	rip = ops->regs(t)->rip;
	cr_assert(put(t, DATA, "good", 4));
	cr_assert(put(t, HOLE - 2, "half", 4));
	ops->regs(t)->rax = 4;
	ops->run(t, &ev);
	cr_assert_eq(ev.kind, PF_LATE_FAULT);
	cr_expect_eq(ops->regs(t)->rip, rip);
	cr_expect_eq(ops->regs(t)->rax, 4);
	cr_assert_eq(ops->late_flush(t, &fault), -EFAULT);
	cr_expect_eq(fault.v, HOLE);
	/* Repaired: it goes on as if nothing had been. */
	cr_assert_eq(guest_map(t, HOLE, 4096, 3), (int64_t)HOLE);
	cr_assert_eq(ops->late_flush(t, &fault), 0);
	guest_expect_syscall(t, &ev, SYS_getppid);
	expect_memory(s, HOLE - 2, "half", 4);
	/* Given up: with another result. */
	cr_assert(put(t, HOLE + 4095, "bad", 3));
	ops->run(t, &ev);
	cr_assert_eq(ev.kind, PF_LATE_FAULT);
	ops->late_drop(t);
	ops->regs(t)->rax = (uint64_t)-EFAULT;
	guest_expect_syscall(t, &ev, SYS_getppid);
	cr_expect_eq(ops->late_flush(t, &fault), 0);
	ops->thread_destroy(t);
}

Test(window, what_is_cleared_takes_no_room_and_keeps_its_place_in_the_order)
{
	static const char zeros[256];
	struct pf_space *s;
	struct pf_thread *t;
	struct pf_event ev;
	struct gptr fault = {0};

	guest_new(loop, sizeof(loop), &s, &t);
	guest_expect_syscall(t, &ev, SYS_getppid);
	for (unsigned i = 0; i < DATA_SIZE; i += 8)
		cr_assert_eq(ops->write(s, gptr(DATA + i), "12345678", 8), 8);
	cr_expect_not(ops->late_zero(t, gptr(DATA), 65537));
	cr_expect_not(ops->late_zero(t, gptr(PF_GUEST_MAX - 1), 2));
	cr_assert(ops->late_zero(t, gptr(DATA + 9), 3000));
	cr_assert(put(t, DATA + 16, "x", 1));
	cr_assert(ops->late_zero(t, gptr(DATA + 20), 1));
	guest_expect_syscall(t, &ev, SYS_getppid);
	expect_memory(s, DATA + 8, "1\0\0\0\0\0\0\0x\0\0", 12);
	expect_memory(s, DATA + 3009 - 200, zeros, 200);
	expect_memory(s, DATA + 3009, "2345678", 7);
	/* The same where others look first, and where it faults. */
	cr_assert(ops->late_zero(t, gptr(DATA + 3009), 2));
	expect_memory(s, DATA + 3009, "\0\0" "45678", 7);
	cr_assert(ops->late_zero(t, gptr(HOLE - 6), 8));
	ops->run(t, &ev);
	cr_assert_eq(ev.kind, PF_LATE_FAULT);
	cr_assert_eq(ops->late_flush(t, &fault), -EFAULT);
	cr_expect_eq(fault.v, HOLE);
	expect_memory(s, HOLE - 8, "12\0\0\0\0\0\0", 8);
	ops->late_drop(t);
	guest_expect_syscall(t, &ev, SYS_getppid);
	ops->thread_destroy(t);
}

Test(window, a_stub_reads_a_file_that_it_keeps_whole_or_not_at_all)
{
	static const char text[] = "what the file holds";
	struct pf_call keep = {.nr = PF_KEEP}, drop = {.nr = PF_DROP};
	struct pf_space *s;
	struct pf_thread *t;
	struct pf_event ev;
	struct gptr fault = {0};
	int64_t number;

	keep.fd = memfd_create("test", MFD_CLOEXEC);
	cr_assert_eq(write(keep.fd, text, sizeof(text)), (ssize_t)sizeof(text));
	guest_new(loop, sizeof(loop), &s, &t);
	guest_expect_syscall(t, &ev, SYS_getppid);
	number = ops->call(t, &keep);
	cr_assert_gt(number, 0);
	close(keep.fd);
	cr_assert(ops->late_fetch(t, number, gptr(DATA), sizeof(text) - 5, 5));
	cr_expect_not(ops->late_fetch(t, number, gptr(DATA), 1, 0)); /* one a call */
	guest_expect_syscall(t, &ev, SYS_getppid);
	expect_memory(s, DATA, text + 5, sizeof(text) - 5);
	/* Who looks first finds it. */
	cr_assert(ops->late_fetch(t, number, gptr(DATA + 100), 4, 0));
	cr_assert(put(t, DATA + 102, "AT", 2));
	expect_memory(s, DATA + 100, "whAT\0", 5);
	guest_expect_syscall(t, &ev, SYS_getppid);
	expect_memory(s, DATA + 100, "whAT\0", 5);
	/* The end of the file, of memory. */
	cr_assert(ops->late_fetch(t, number, gptr(DATA), sizeof(text) + 1, 0));
	ops->run(t, &ev);
	cr_assert_eq(ev.kind, PF_LATE_FAULT);
	cr_assert_eq(ops->late_flush(t, &fault), -EFAULT);
	ops->late_drop(t);
	guest_expect_syscall(t, &ev, SYS_getppid);
	cr_assert(ops->late_fetch(t, number, gptr(HOLE - 1), 2, 0));
	ops->run(t, &ev);
	cr_assert_eq(ev.kind, PF_LATE_FAULT);
	ops->late_drop(t);
	guest_expect_syscall(t, &ev, SYS_getppid);
	/* Kept no more; the socket is no file. */
	drop.arg[0] = (uint64_t)number;
	cr_assert_eq(ops->call(t, &drop), 0);
	cr_assert(ops->late_fetch(t, number, gptr(DATA), 1, 0));
	ops->run(t, &ev);
	cr_assert_eq(ev.kind, PF_LATE_FAULT);
	ops->late_drop(t);
	drop.arg[0] = STUB_SOCK;
	cr_expect_eq(ops->call(t, &drop), -EINVAL);
	guest_expect_syscall(t, &ev, SYS_getppid);
	ops->thread_destroy(t);
}

Test(window, a_copy_that_fails_unseen_is_told_at_the_next_run)
{
	struct pf_space *s;
	struct pf_thread *t;
	struct pf_event ev;
	char byte;

	guest_new(loop, sizeof(loop), &s, &t);
	guest_expect_syscall(t, &ev, SYS_getppid);
	cr_assert(put(t, HOLE, "bad", 3));
	cr_assert_eq(ops->read(s, &byte, gptr(HOLE), 1), -EFAULT);
	ops->run(t, &ev);
	cr_assert_eq(ev.kind, PF_LATE_FAULT);
	ops->late_drop(t);
	guest_expect_syscall(t, &ev, SYS_getppid);
	cr_assert(put(t, HOLE, "bad", 3));
	ops->will_block(t, NULL, 0, false);
	ops->run(t, &ev);
	cr_assert_eq(ev.kind, PF_LATE_FAULT);
	ops->late_drop(t);
	guest_expect_syscall(t, &ev, SYS_getppid);
	ops->thread_destroy(t);
}

Test(window, a_thread_that_ends_leaves_nothing_to_the_next)
{
	struct pf_space *s;
	struct pf_thread *t, *t2;
	struct pf_event ev;

	guest_new(loop, sizeof(loop), &s, &t);
	guest_expect_syscall(t, &ev, SYS_getppid);
	for (int i = 0; i < 3 * WINDOWS_LARGE_MAX; i++) {
		cr_assert_eq(ops->thread_new(t, &t2), 0);
		guest_expect_syscall(t2, &ev, SYS_getppid);
		cr_assert(ops->late_buffer(t2, gptr(DATA), 60000), "thread %d", i);
		cr_assert(put(t2, DATA, "stale", 5));
		ops->thread_destroy(t2);
		guest_expect_syscall(t, &ev, SYS_getppid);
		cr_assert(put(t, DATA + 8, "x", 1));
	}
	cr_assert_eq(ops->thread_new(t, &t2), 0);
	guest_expect_syscall(t2, &ev, SYS_getppid);
	expect_memory(s, DATA, "\0\0\0\0\0", 5);
	ops->thread_destroy(t2);
	cr_expect_eq(pf->nlarge, 0);
	ops->thread_destroy(t);
}

struct runner {
	struct pf_thread *t;
	struct pf_event ev;
};

static void *run_once(void *arg)
{
	struct runner *r = arg;

	ops->run(r->t, &r->ev);
	return NULL;
}

Test(window, a_stub_that_claims_a_fault_without_a_copy_dies)
{
	struct runner r;
	struct pf_space *s;
	pthread_t th;

	guest_new(jmp_self, sizeof(jmp_self), &s, &r.t);
	pthread_create(&th, NULL, run_once, &r);
	guest_await_running(s->pid);
	r.t->slot->uc = 0;
	r.t->slot->signo = STUB_OUT_FAULT;
	__atomic_store_n(&r.t->slot->state, SLOT_STOPPED, __ATOMIC_SEQ_CST);
	syscall(SYS_futex, &r.t->slot->state, FUTEX_WAKE, 1, NULL, NULL, 0);
	pthread_join(th, NULL);
	cr_assert_eq(r.ev.kind, PF_DEAD);
	ops->thread_destroy(r.t);
}

/* Another thread of the guest that rewrites records on their way. */
static atomic_bool stop;

static void *scribble(void *arg)
{
	struct pf_thread *t = arg;
	uint64_t x = 88172645463325252ULL;

	while (!stop) {
		struct slot_piece *o = (void *)((uint8_t *)t->slot + SLOT_WINDOW + (x >> 20) % 40 * 16);

		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		switch (x % 6) {
		case 0:
			o->len = (uint32_t)x;
			break;
		case 1:
			o->addr = x >> 16;
			break;
		case 2:
			o->addr = DATA + (x >> 40);
			break;
		case 3:
			t->slot->out = (uint32_t)(x >> 13);
			break;
		case 4:
			t->slot->in = (uint32_t)(x >> 30);
			break;
		default:
			usleep(x >> 56);
		}
	}
	return NULL;
}

Test(window, records_that_change_on_their_way_hurt_only_their_guest)
{
	struct pf_space *s, *s2;
	struct pf_thread *t, *t2;
	struct pf_event ev;
	struct gptr fault;
	pthread_t th;
	char big[3000];

	memset(big, 7, sizeof(big));
	guest_new(loop, sizeof(loop), &s2, &t2);
	for (int round = 0; round < 20; round++) {
		guest_new(loop, sizeof(loop), &s, &t);
		stop = false;
		pthread_create(&th, NULL, scribble, t);
		for (int i = 0; i < 300; i++) {
			ops->run(t, &ev);
			if (ev.kind == PF_DEAD)
				break;
			if (ev.kind == PF_LATE_FAULT && ops->late_flush(t, &fault))
				ops->late_drop(t);
			if (ev.kind != PF_SYSCALL && ev.kind != PF_LATE_FAULT)
				break; /* its code was overwritten */
			for (int k = 0; k < i % 20; k++)
				put(t, DATA + (uint64_t)k * 64, big, (size_t)(i * k) % sizeof(big));
		}
		stop = true;
		pthread_join(th, NULL);
		ops->thread_destroy(t);
		guest_expect_syscall(t2, &ev, SYS_getppid);
	}
	ops->thread_destroy(t2);
}
