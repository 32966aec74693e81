/* Which threads are sent to an idle CPU (seccomp/spread.c). */
#include <criterion/criterion.h>

#include "platform/seccomp/impl.h"

#define MS 1000000UL /* cycles */

static struct platform p;
static struct pf_space space = {.p = &p};
static struct slot slot[3];
static struct pf_thread thread[3];

static void begin(void)
{
	p.ncpu = 2;
	p.tsc_per_us = 1000;
	CPU_ZERO(&p.cpus);
	CPU_SET(0, &p.cpus);
	CPU_SET(1, &p.cpus);
	for (int i = 0; i < 3; i++) {
		thread[i].space = &space;
		thread[i].slot = &slot[i];
		regime_init(&thread[i]);
		regime_active(&thread[i], true);
	}
	regime_active(&thread[2], false);
}

/* All on CPU 0 up to here; reports of the first one from `from` to `to`. */
static unsigned cpu_after(uint64_t from, uint64_t to)
{
	for (uint64_t now = from; now <= to; now += MS / 100)
		spread_judge(&thread[0], now);
	return slot[0].cpu;
}

TestSuite(spread, .init = begin);

Test(spread, who_shares_a_cpu_goes_to_an_idle_one_after_a_while)
{
	cr_expect_eq(cpu_after(MS, MS + MS / 4), 0);
	cr_expect_eq(cpu_after(MS + MS / 4, 2 * MS), 1);
	cr_expect_eq(atomic_load(&p.busy[0]), 1);
	cr_expect_eq(atomic_load(&p.busy[1]), 1);
}

Test(spread, who_is_alone_stays)
{
	regime_active(&thread[1], false);
	cr_expect_eq(cpu_after(MS, 20 * MS), 0);
}

Test(spread, and_so_does_who_finds_no_idle_cpu)
{
	slot[2].cpu = 1;
	regime_active(&thread[2], true);
	cr_expect_eq(cpu_after(MS, 20 * MS), 0);
}

Test(spread, sharing_for_a_moment_now_and_then_is_no_reason)
{
	for (int i = 1; i < 20; i++) {
		cr_expect_eq(cpu_after(i * MS, i * MS + MS / 5), 0);
		regime_active(&thread[1], false);
		cr_expect_eq(cpu_after(i * MS + MS / 4, i * MS + MS / 2), 0);
		regime_active(&thread[1], true);
	}
}

Test(spread, moves_that_do_not_help_become_rare)
{
	unsigned last = 0, moves = 0;

	for (uint64_t now = MS; now < 100000 * MS; now += MS / 10) {
		spread_judge(&thread[0], now);
		moves += slot[0].cpu != last;
		last = slot[0].cpu;
		/* The other one comes along. */
		slot[1].cpu = last;
		spread_count(&thread[1], true);
	}
	cr_expect_geq(moves, 2);
	cr_expect_leq(moves, 10);
}

Test(spread, a_program_starts_elsewhere_only_if_its_caller_shares_a_cpu)
{
	cr_expect_eq(spread_start(&p, 0), 1);
	regime_active(&thread[1], false);
	cr_expect_eq(spread_start(&p, 0), 0);
	cr_expect_eq(spread_start(&p, -1), -1);
}

Test(spread, cpus_that_a_slot_makes_up_count_nowhere)
{
	slot[0].cpu = slot[1].cpu = UINT32_MAX;
	spread_count(&thread[0], true);
	spread_count(&thread[1], true);
	cr_expect_eq(atomic_load(&p.busy[0]), 0);
	cr_expect_eq(cpu_after(MS, 20 * MS), UINT32_MAX);
}
