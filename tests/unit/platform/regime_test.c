/* What is made of a time slice that a yield took (seccomp/regime.c). */
#include <criterion/criterion.h>
#include <unistd.h>

#include "platform/seccomp/impl.h"

/* Cycles a us with which a ms is long, or hours are short. */
#define LONG_AFTER 1
#define RIGHT_AFTER (1U << 30)

static struct platform p;
static struct pf_space space = {.p = &p};
static struct slot slot;
static struct pf_thread thread = {.space = &space, .slot = &slot};

static void begin(void)
{
	p.ncpu = 2;
	slot.cpu = UINT32_MAX; /* nothing is pinned */
	regime_init(&thread);
}

/* The thread reports that it had to wait for whom it yielded to. True: nobody is to yield for a while. */
static bool loss_pauses(unsigned tsc_per_us)
{
	p.tsc_per_us = tsc_per_us;
	atomic_store(&p.yields.again, 0);
	slot.lost++;
	regime_reported(&thread, true);
	return atomic_load(&p.yields.again) != 0;
}

TestSuite(regime, .init = begin);

Test(regime, a_time_slice_that_somebody_outside_took_makes_all_sleep_instead_of_yield)
{
	cr_expect(loss_pauses(LONG_AFTER));
	atomic_store(&p.nactive, 1);
	cr_expect(loss_pauses(LONG_AFTER));
}

Test(regime, one_that_the_sandbox_took_itself_does_not_where_it_has_work_for_all_cpus)
{
	atomic_store(&p.nactive, 2);
	cr_expect(!loss_pauses(LONG_AFTER));
	atomic_store(&p.nactive, 1);
	cr_expect(loss_pauses(LONG_AFTER));
}

Test(regime, nor_does_one_after_a_process_was_made_or_has_ended)
{
	regime_turnover(&p);
	cr_expect(!loss_pauses(RIGHT_AFTER));
	usleep(1000);
	cr_expect(loss_pauses(LONG_AFTER));
}

Test(regime, a_report_without_a_loss_says_nothing)
{
	p.tsc_per_us = LONG_AFTER;
	regime_reported(&thread, true);
	cr_expect_eq(atomic_load(&p.yields.again), 0);
}
