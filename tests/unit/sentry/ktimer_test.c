#include <criterion/criterion.h>
#include <stdatomic.h>
#include <unistd.h>

#include "abi/base/list.h"
#include "sentry/kernel/task.h"
#include "sentry/kernel/timer.h"

struct probe {
	struct ktimer t;
	atomic_int began, fired;
	int slow_us, again;
	uint64_t when;
};

static void probe_fire(struct ktimer *t)
{
	struct probe *p = container_of(t, struct probe, t);

	p->when = now_mono_ns();
	atomic_fetch_add(&p->began, 1);
	if (p->slow_us)
		usleep((unsigned)p->slow_us);
	if (p->again-- > 0)
		ktimer_arm(t, now_mono_ns() + 1000000);
	atomic_fetch_add(&p->fired, 1);
}

static void wait_for(struct probe *p, int n)
{
	for (int i = 0; i < 5000 && atomic_load(&p->fired) < n; i++)
		usleep(1000);
	cr_assert_eq(atomic_load(&p->fired), n);
}

Test(ktimer, fires_once_and_not_early)
{
	struct probe p = {0};
	uint64_t at = now_mono_ns() + 20000000;

	ktimer_init(&p.t, probe_fire);
	ktimer_arm(&p.t, at);
	wait_for(&p, 1);
	cr_assert_geq(p.when, at);
	usleep(20000);
	cr_assert_eq(atomic_load(&p.fired), 1);
}

Test(ktimer, an_earlier_deadline_overtakes)
{
	struct probe late = {0}, soon = {0};

	ktimer_init(&late.t, probe_fire);
	ktimer_init(&soon.t, probe_fire);
	ktimer_arm(&late.t, now_mono_ns() + 60000000000ULL);
	usleep(5000);
	ktimer_arm(&soon.t, now_mono_ns() + 1000000);
	wait_for(&soon, 1);
	cr_assert_eq(atomic_load(&late.fired), 0);
	ktimer_cancel(&late.t);
}

Test(ktimer, cancel_waits_for_a_running_callback_and_undoes_its_rearming)
{
	struct probe p = {.slow_us = 30000, .again = 1000};

	ktimer_init(&p.t, probe_fire);
	ktimer_arm(&p.t, 0);
	while (!atomic_load(&p.began))
		usleep(1000);
	ktimer_cancel(&p.t);
	/* The first, if we were fast enough; none is under way in any case. */
	int fired = atomic_load(&p.fired);

	cr_assert_eq(fired, atomic_load(&p.began));
	usleep(50000);
	cr_assert_eq(atomic_load(&p.began), fired);
}
