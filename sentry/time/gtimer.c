/* A guest's timer: a deadline on the guest's clock, and a ktimer that goes off when the clock may
 * have got there. Going off, it looks at the clock: too early (the clock was set back, the threads did
 * not run) means waiting again. So clocks that jump and clocks of CPU time need nothing special.
 *
 * A CPU clock can't outrun real time times the threads that feed it; so that is how long it surely
 * takes. While nothing runs the look is repeated ever more rarely. */
#include "sentry/time/gtimer.h"

#include <errno.h>
#include <time.h>

#include "sentry/kernel/task.h"
#include "sentry/mm/usercopy.h"
#include "sentry/time/clock.h"

/* A guest may ask for an interval of a nanosecond: expiries are counted, but looked at no more often. */
#define GTIMER_MIN_GAP_NS 50000ULL
#define CPU_MIN_WAIT_NS 500000ULL
#define CPU_MAX_BACKOFF_NS 100000000ULL

bool gtimer_on_cpu_clock(const struct gtimer *g)
{
	return g->cpu.tg || g->cpu.task;
}

static uint64_t timer_clock_now(const struct gtimer *g)
{
	return gtimer_on_cpu_clock(g) ? cpu_clock_now(&g->cpu) : clock_now(g->clock);
}

/* When to look at a CPU clock that shows `now`. */
static uint64_t cpu_look_again(struct gtimer *g, uint64_t now)
{
	uint64_t wait = (g->at - now) / cpu_clock_rate(&g->cpu);

	g->backoff = now == g->seen ? 2 * g->backoff : 0;
	if (g->backoff > CPU_MAX_BACKOFF_NS)
		g->backoff = CPU_MAX_BACKOFF_NS;
	g->seen = now;
	if (wait < CPU_MIN_WAIT_NS)
		wait = CPU_MIN_WAIT_NS;
	if (wait < g->backoff)
		wait = g->backoff;
	else
		g->backoff = wait;
	return deadline_after(wait);
}

static void rearm_locked(struct gtimer *g, uint64_t now, uint64_t not_before)
{
	uint64_t deadline;

	if (g->at > now)
		deadline = gtimer_on_cpu_clock(g) ? cpu_look_again(g, now) : clock_deadline(g->clock, g->at);
	else
		deadline = now_mono_ns();
	ktimer_arm(&g->kt, deadline > not_before ? deadline : not_before);
}

/* How often it has expired by now; moves on to the next expiry. */
static uint64_t count_locked(struct gtimer *g, uint64_t now)
{
	uint64_t n;

	if (!g->at || now < g->at)
		return 0;
	if (!g->interval) {
		g->at = 0;
		return 1;
	}
	n = (now - g->at) / g->interval + 1;
	g->at += n * g->interval;
	return n;
}

static void gtimer_fire(struct ktimer *kt)
{
	struct gtimer *g = container_of(kt, struct gtimer, kt);
	uint64_t now, n;

	{
		AUTO_LOCK(&g->mu);
		if (!g->at)
			return;
		now = timer_clock_now(g);
		n = count_locked(g, now);
		if (g->at)
			rearm_locked(g, now, n ? now_mono_ns() + GTIMER_MIN_GAP_NS : 0);
	}
	if (n)
		g->expire(g, n);
}

void gtimer_init(struct gtimer *g, int clock, const struct cpu_clock *cpu,
		 void (*expire)(struct gtimer *g, uint64_t n))
{
	*g = (struct gtimer){.clock = clock, .expire = expire};
	if (cpu)
		g->cpu = *cpu;
	ktimer_init(&g->kt, gtimer_fire);
	mutex_init(&g->mu, LOCK_GTIMER);
}

void gtimer_destroy(struct gtimer *g)
{
	{
		AUTO_LOCK(&g->mu);
		g->at = 0;
	}
	ktimer_cancel(&g->kt);
	mutex_destroy(&g->mu);
}

static struct gtimer_value value_locked(const struct gtimer *g, uint64_t now)
{
	struct gtimer_value v = {0, g->interval};

	/* An expiry that nobody has looked at yet is still to come. */
	if (g->at)
		v.left = g->at > now ? g->at - now : 1;
	return v;
}

void gtimer_set(struct gtimer *g, uint64_t value, uint64_t interval, bool absolute,
		struct gtimer_value *old)
{
	AUTO_LOCK(&g->mu);
	uint64_t now = timer_clock_now(g);

	if (old)
		*old = value_locked(g, now);
	g->interval = interval;
	g->at = 0;
	if (!value) {
		ktimer_disarm(&g->kt);
		return;
	}
	if (absolute)
		g->at = value;
	else
		g->at = value > INT64_MAX - now ? INT64_MAX : now + value;
	g->seen = 0;
	g->backoff = 0;
	rearm_locked(g, now, 0);
}

struct gtimer_value gtimer_get(struct gtimer *g)
{
	AUTO_LOCK(&g->mu);

	return value_locked(g, g->at ? timer_clock_now(g) : 0);
}

int get_guest_itimerspec(struct task *t, struct gptr src, uint64_t *value, uint64_t *interval)
{
	struct itimerspec its;
	int err = get_guest(t, &its, src);

	if (err)
		return err;
	if (!timespec_valid(&its.it_value) || !timespec_valid(&its.it_interval))
		return -EINVAL;
	*value = timespec_to_ns(&its.it_value);
	*interval = timespec_to_ns(&its.it_interval);
	return 0;
}

int put_guest_itimerspec(struct task *t, struct gptr dst, const struct gtimer_value *v)
{
	struct itimerspec its = {ns_to_timespec(v->interval), ns_to_timespec(v->left)};

	return put_guest(t, dst, &its);
}
