/* Threads that make short calls get together (seccomp/crowd.c), and get apart. */
#include "platform/seccomp/impl.h"
#include "tests/unit/platform/guest.h"

#define MEMBERS 4
#define DEADLINE_NS (30 * 1000000000ULL)

/* mov $39, %eax; syscall; jmp to the first; and a loop without a call */
static const uint8_t code[] = {0xb8, 39, 0, 0, 0, 0x0f, 0x05, 0xeb, 0xf7, 0xeb, 0xfe};
#define LOOP (CODE + 9)

static struct member {
	struct pf_thread *t;
	pthread_t thread;
	struct pf_event ev;
} members[MEMBERS];

static struct pf_space *space;
static atomic_bool enough, compute;

static void *serve(void *arg)
{
	struct member *m = arg;

	for (;;) {
		ops->run(m->t, &m->ev);
		if (m->ev.kind != PF_SYSCALL || atomic_load(&enough))
			return NULL;
		ops->regs(m->t)->rax = 0;
		if (atomic_load(&compute))
			ops->regs(m->t)->rip = LOOP;
	}
}

/* Calls of any length are short, so that it works on a slow or loaded machine, too. */
static void members_up(void)
{
	pf->crowd_work = 1UL << 40;
	atomic_store(&enough, false);
	atomic_store(&compute, false);
	guest_new(code, sizeof(code), &space, &members[0].t);
	guest_expect_syscall(members[0].t, &members[0].ev, 39);
	for (int i = 1; i < MEMBERS; i++)
		cr_assert_eq(ops->thread_new(members[0].t, &members[i].t), 0);
	for (int i = 0; i < MEMBERS; i++)
		pthread_create(&members[i].thread, NULL, serve, &members[i]);
}

static void await_members(unsigned min, unsigned max)
{
	uint64_t start = test_now();

	while (atomic_load(&pf->crowd) >> 16 < min || atomic_load(&pf->crowd) >> 16 > max) {
		cr_assert_lt(test_now() - start, DEADLINE_NS);
		usleep(1000);
	}
}

static void members_down(void)
{
	for (int i = 0; i < MEMBERS; i++)
		pthread_join(members[i].thread, NULL);
	for (int i = MEMBERS - 1; i >= 0; i--)
		ops->thread_destroy(members[i].t);
	cr_assert_eq(atomic_load(&pf->crowd) >> 16, 0);
	cr_assert_eq(atomic_load(&pf->ncrowd), 0);
	cr_assert_eq(atomic_load(&pf->ncallers), 0);
}

static bool can_spin(void)
{
	return pf->ncpu > 1 && pf->cfg.spin_allowed;
}

TestSuite(crowd, .init = platform_up, .fini = platform_down);

Test(crowd, forms_of_threads_that_call_and_ends_with_them)
{
	if (!can_spin())
		return;
	members_up();
	await_members(2, MEMBERS);
	atomic_store(&enough, true);
	members_down();
}

Test(crowd, is_left_by_those_who_compute)
{
	if (!can_spin())
		return;
	members_up();
	await_members(2, MEMBERS);
	atomic_store(&compute, true);
	await_members(0, 0);
	atomic_store(&enough, true);
	for (int i = 0; i < MEMBERS; i++)
		ops->interrupt(members[i].t);
	members_down();
}

Test(crowd, does_not_outlive_its_process)
{
	if (!can_spin())
		return;
	members_up();
	await_members(2, MEMBERS);
	ops->space_kill(space);
	members_down();
}

Test(crowd, is_left_by_those_who_wait)
{
	if (!can_spin())
		return;
	members_up();
	await_members(2, MEMBERS);
	atomic_store(&enough, true);
	for (int i = 0; i < MEMBERS; i++)
		pthread_join(members[i].thread, NULL);
	for (int i = 0; i < MEMBERS; i++)
		ops->will_block(members[i].t, NULL, 0, false);
	cr_assert_eq(atomic_load(&pf->crowd) >> 16, 0);
	cr_assert_eq(atomic_load(&pf->ncrowd), 0);
	for (int i = 0; i < MEMBERS; i++)
		ops->has_blocked(members[i].t);
	for (int i = MEMBERS - 1; i >= 0; i--)
		ops->thread_destroy(members[i].t);
}
