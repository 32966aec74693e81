/* Which way of handing over pays for a thread, and where S runs.
 *
 * Waking a CPU that sleeps costs 50-200 us, a switch between two threads of one CPU 1.5, putting one to
 * sleep and waking it 1-2 more, a look at a word that another CPU wrote 0.1. So:
 *
 *	one CPU  S is pinned to the CPU that T told last. T wakes S and yields to it; S answers
 *	         and sleeps, which brings T back. No other CPU is ever woken.
 *	tandem   The same, but S yields to T instead of sleeping, so that nobody has to be woken;
 *	         it sleeps after a few yields that T did not answer.
 *	spin     S is kept off T's CPU and looks at the slot for a bounded time after each answer,
 *	         T does likewise for the answer. Two CPUs busy for one guest thread.
 *
 *	            48 quick calls in a row, a CPU to spare
 *	  tandem  -------------------------------------------> spin
 *	  or      <-------------------------------------------
 *	  one CPU   score below 0, or no CPU to spare; then a pause before the next try, which
 *	            doubles each time that spinning did not pay for long
 *
 *	ring     For threads that wait for each other, however they hand over else: ring.c.
 *	crowd    Several threads share the two CPUs of the spin regime: crowd.c.
 *
 * The score is the time that spinning has saved lately, in us: a call that was caught spinning
 * saves a switch; a spin that ran out cost itself and a wake; a report that S saw late (T says
 * when it reported) means that S was preempted, so that the CPU was not to spare after all; a call
 * that blocked costs the wake of T's CPU, which S is not on.
 *
 * Who yields lets everybody else go first, where one who is woken goes before who has long been
 * running: beside one that computes, a call in tandem takes a time slice. So a thread that was away for
 * long leaves tandem for a while, whoever had the CPU; what is long grows with the number of threads
 * that take turns.
 *
 * A yield that takes a time slice (of T, which counts them in the slot, or of S) is what yielding beside one
 * that computes costs each time: then nobody in the sandbox yields for a while, all sleep instead.
 *
 * What T says (CPU, time, losses) is the guest's word: at worst it slows itself down. */
#include "platform/seccomp/impl.h"

#include <errno.h>
#include <sched.h>
#include <string.h>
#include <x86intrin.h>

#define QUICK_US 30	   /* between two calls: worth spinning for */
#define QUICK_CALLS 48	   /* as many in a row start the spin regime */
#define SPIN_SENTRY_US 40  /* S, after an answer */
#define SPIN_STUB_US 30	   /* T, after a report */
#define RING_STUB_US 2	   /* T in the ring, before it yields */
#define LATE_US 20
#define SCORE_MAX 1000
#define SCORE_HIT 3
#define SCORE_MISS 100
#define SCORE_WAKE 50
#define PAUSE_MAX_US 30000
#define YIELDS 100	/* T, in the one-CPU regime, while CPUs may be idle */
#define YIELDS_BUSY 5	/* with more threads than CPUs */
#define TANDEM_YIELDS 3 /* S, after an answer */
#define TANDEM_LATE_US 500
#define TANDEM_TURN_US 30 /* another thread's turn meanwhile */
#define TANDEM_LATE 500	  /* as many calls pay for being late once */
#define TANDEM_START 999
#define TANDEM_MAX 3000
#define TANDEM_PAUSE_MAX_US 250000
#define YIELD_AGAIN_US 20000
#define TURNOVER_US 20000

/* The CPU that this S thread is pinned to, -1 - cpu when it is kept off it; NOWHERE: not known. */
#define NOWHERE INT32_MIN
static _Thread_local int placed = NOWHERE;

static void place(struct platform *p, int where)
{
	cpu_set_t set;

	if (placed == where)
		return;
	if (where >= 0) {
		CPU_ZERO(&set);
		CPU_SET(where, &set);
	} else {
		set = p->cpus;
		CPU_CLR(-1 - where, &set);
	}
	if (sched_setaffinity(0, sizeof(set), &set) == 0)
		placed = where;
}

/* Threads that this one makes inherit where it may run. */
void regime_unplace(struct platform *p)
{
	if (placed != NOWHERE && sched_setaffinity(0, sizeof(p->cpus), &p->cpus) == 0)
		placed = NOWHERE;
}

void regime_forget_place(void)
{
	placed = NOWHERE;
}

/* S near T or away from it, as the regime wants. */
void regime_place(struct pf_thread *t)
{
	struct platform *p = t->space->p;
	uint32_t cpu = __atomic_load_n(&t->slot->cpu, __ATOMIC_RELAXED);

	if (cpu >= CPU_SETSIZE || !CPU_ISSET(cpu, &p->cpus) || p->ncpu < 2)
		return;
	if (regime_in_group(t))
		place(p, -1 - (int)t->regime.home);
	else
		place(p, t->regime.spin.on ? -1 - (int)cpu : (int)cpu);
}

void trial_pause(struct platform *p, struct trial *r, uint64_t now, uint32_t pause_max_us)
{
	r->on = false;
	r->retry_at = now + (uint64_t)r->pause_us * p->tsc_per_us;
	r->pause_us = r->pause_us * 2 > pause_max_us ? pause_max_us : r->pause_us * 2;
}

void spin_leave(struct pf_thread *t, uint64_t now)
{
	t->regime.quick = 0;
	trial_pause(t->space->p, &t->regime.spin, now, PAUSE_MAX_US);
	atomic_fetch_sub(&t->space->p->nspinning, 1);
}

bool cpu_to_spare(struct platform *p, unsigned more)
{
	unsigned ring = atomic_load_explicit(&p->nring, memory_order_relaxed) +
			atomic_load_explicit(&p->nlinger, memory_order_relaxed);
	unsigned crowd = atomic_load_explicit(&p->ncrowd, memory_order_relaxed);

	return atomic_load_explicit(&p->nactive, memory_order_relaxed) +
		       atomic_load_explicit(&p->nspinning, memory_order_relaxed) + (ring ? 2 : 0) +
		       (crowd ? 2 : 0) +
		       more <=
	       p->ncpu;
}

static void spin_enter(struct pf_thread *t)
{
	t->regime.spin.on = true;
	t->regime.spin.score = 2 * SCORE_MISS;
	atomic_fetch_add(&t->space->p->nspinning, 1);
}

/* Who took the time slice was one of the sandbox's own, beside whom sleeping costs more than it saves: where
 * that has work for all CPUs (a compiler beside another), or where a process was made or has ended, which
 * the host takes ms to take apart if it is large. */
static bool loss_is_ours(struct platform *p, uint64_t now)
{
	return atomic_load_explicit(&p->nactive, memory_order_relaxed) >= p->ncpu ||
	       now - atomic_load_explicit(&p->turnover, memory_order_relaxed) <
		       TURNOVER_US * (uint64_t)p->tsc_per_us;
}

void regime_turnover(struct platform *p)
{
	atomic_store_explicit(&p->turnover, __rdtsc(), memory_order_relaxed);
}

/* Somebody who computes got a time slice from who yielded. Until it ends all sleep instead. Where a
 * hypervisor takes the CPU away, it looks the same: but only he who computes does it at once again. */
static void yields_pause(struct platform *p, struct yields *y, uint64_t now)
{
	uint64_t retry = atomic_load(&y->again);
	uint32_t us = atomic_load(&y->pause_us);

	if (now < retry || loss_is_ours(p, now))
		return;
	us = now - retry > YIELD_AGAIN_US * (uint64_t)p->tsc_per_us ? PAUSE_MIN_US : us * 2;
	if (us > TANDEM_PAUSE_MAX_US)
		us = TANDEM_PAUSE_MAX_US;
	atomic_store(&y->pause_us, us);
	atomic_store(&y->again, now + us * (uint64_t)p->tsc_per_us);
}

bool regime_may_yield(const struct yields *y, uint64_t now)
{
	return now >= atomic_load_explicit(&y->again, memory_order_relaxed);
}

void regime_yield(struct platform *p, struct yields *y)
{
	uint64_t start = __rdtsc(), now;
	unsigned others = atomic_load_explicit(&p->nactive, memory_order_relaxed) / p->ncpu;

	sched_yield();
	now = __rdtsc();
	if (now - start > STUB_YIELD_LONG + others * (uint64_t)TANDEM_TURN_US * p->tsc_per_us)
		yields_pause(p, y, now);
}

/* Yielding keeps T on its CPU, where a sleeper would be woken on an idle one, at the cost of waking
 * that. With many threads no CPU is idle, and many that yield keep each other from running, unless they
 * all do. */
static unsigned yields(struct pf_thread *t)
{
	struct platform *p = t->space->p;
	unsigned n = atomic_load_explicit(&p->nactive, memory_order_relaxed);

	if (!regime_may_yield(&p->yields, __rdtsc()))
		return 0;
	if (n <= p->ncpu)
		return YIELDS;
	return n <= 2 * p->ncpu || t->regime.tandem.on ? YIELDS_BUSY : 0;
}

void regime_init(struct pf_thread *t)
{
	t->regime = (struct regime){.spread.at = -1,
				    .spin.pause_us = PAUSE_MIN_US,
				    .tandem.pause_us = PAUSE_MIN_US,
				    .ring.pause_us = PAUSE_MIN_US,
				    .crowd.pause_us = PAUSE_MIN_US};
}

void regime_end(struct pf_thread *t)
{
	regime_active(t, false);
	ring_end(t);
	crowd_end(t);
	if (t->regime.spin.on)
		atomic_fetch_sub(&t->space->p->nspinning, 1);
	t->regime.spin.on = false;
}

static bool is_late(struct platform *p, uint64_t late, uint64_t us)
{
	return late > us * p->tsc_per_us && late < 1UL << 40;
}

static void spin_judge(struct pf_thread *t, bool hit, uint64_t now)
{
	struct platform *p = t->space->p;
	struct trial *r = &t->regime.spin;
	uint64_t late = now - __atomic_load_n(&t->slot->tsc, __ATOMIC_RELAXED);

	if (!hit || is_late(p, late, LATE_US))
		r->score -= SCORE_MISS;
	else if (r->score < SCORE_MAX)
		r->score += SCORE_HIT;
	else
		r->pause_us = PAUSE_MIN_US;
	if (r->score < 0 || !cpu_to_spare(p, 0))
		spin_leave(t, now);
}

static void tandem_judge(struct pf_thread *t, uint64_t now)
{
	struct platform *p = t->space->p;
	struct trial *r = &t->regime.tandem;
	unsigned others = atomic_load_explicit(&p->nactive, memory_order_relaxed) / p->ncpu;

	if (!r->on) {
		r->on = now >= r->retry_at;
		r->score = TANDEM_START;
		return;
	}
	if (is_late(p, now - t->regime.given, TANDEM_LATE_US + (uint64_t)others * TANDEM_TURN_US))
		r->score -= TANDEM_LATE;
	else if (r->score < TANDEM_MAX)
		r->score++;
	else
		r->pause_us = PAUSE_MIN_US;
	if (r->score < 0)
		trial_pause(p, r, now, TANDEM_PAUSE_MAX_US);
}

/* A thread that runs for long between its calls is not for the ring. */
static void ring_count(struct pf_thread *t, uint64_t now)
{
	if (now - t->regime.given > RING_SHORT_US * (uint64_t)t->space->p->tsc_per_us)
		ring_long_run(t);
}

/* T had to wait for whom it yielded to. */
static void stub_lost(struct pf_thread *t, uint64_t now)
{
	struct platform *p = t->space->p;
	uint64_t lost = __atomic_load_n(&t->slot->lost, __ATOMIC_RELAXED);

	if (lost == t->regime.lost)
		return;
	t->regime.lost = lost;
	if (atomic_load_explicit(&p->nactive, memory_order_relaxed) <= 2 * p->ncpu)
		yields_pause(p, t->regime.ring.on ? &p->ring_yields : &p->yields, now);
}

/* How long T ran and how long all took, of late. */
static void share_count(struct pf_thread *t, uint64_t now)
{
	struct regime *r = &t->regime;
	uint64_t resumed = __atomic_load_n(&t->slot->resumed, __ATOMIC_RELAXED);
	uint64_t mapped = __atomic_load_n(&t->slot->mapped, __ATOMIC_RELAXED);
	uint64_t stopped = __atomic_load_n(&t->slot->tsc, __ATOMIC_RELAXED);

	if (!r->last)
		return;
	if (resumed < r->given)
		resumed = r->given;
	if (stopped > resumed && stopped < now)
		r->ran += stopped - resumed;
	r->took += now - r->last;
	crowd_count(t, r->given - r->last + (stopped > resumed ? stopped - resumed : 0),
		    mapped > resumed && mapped < stopped ? mapped - resumed : 0);
	if (r->took > 2 * RING_SHARE_US * (uint64_t)t->space->p->tsc_per_us) {
		r->ran /= 2;
		r->took /= 2;
	}
}

static void spin_consider(struct pf_thread *t, uint64_t now, uint64_t last)
{
	struct platform *p = t->space->p;
	struct regime *r = &t->regime;

	r->quick = now - last < QUICK_US * (uint64_t)p->tsc_per_us ? r->quick + 1 : 0;
	if (r->quick >= QUICK_CALLS && now >= r->spin.retry_at && cpu_to_spare(p, 1))
		spin_enter(t);
}

/* T has reported; hit: while S was spinning or yielding. */
void regime_reported(struct pf_thread *t, bool hit)
{
	struct platform *p = t->space->p;
	struct regime *r = &t->regime;
	uint64_t now = __rdtsc(), last = r->last;
	bool late;

	stub_lost(t, now);
	share_count(t, now);
	late = is_late(p, now - __atomic_load_n(&t->slot->tsc, __ATOMIC_RELAXED), LATE_US);
	if (r->ring.on) {
		ring_judge(t, hit, late, now);
	} else if (r->crowd.on) {
		crowd_judge(t, hit, late, now);
	} else if (r->spin.on) {
		spin_judge(t, hit, now);
	} else {
		ring_count(t, now);
		tandem_judge(t, now);
		if (p->cfg.spin_allowed) {
			crowd_consider(t, now);
			if (!r->crowd.on)
				spin_consider(t, now, last);
		}
	}
	r->last = now;
	spread_judge(t, now);
	regime_place(t);
}

/* T slept, so S had to wake it: from another CPU, if S spins. A thread that blocks every few calls
 * is better off on one CPU. */
void regime_woke(struct pf_thread *t)
{
	t->regime.quick = 0;
	if (t->regime.spin.on)
		t->regime.spin.score -= SCORE_WAKE;
}

/* How long S is to spin, in TSC cycles; tells T its part. */
uint64_t regime_give(struct pf_thread *t)
{
	struct platform *p = t->space->p;
	struct slot *s = t->slot;
	bool spin = t->regime.spin.on;

	if (spin && !cpu_to_spare(p, 0)) {
		spin_leave(t, __rdtsc());
		regime_place(t);
		spin = false;
	}
	t->regime.given = __rdtsc();
	if (t->regime.ring.on) {
		s->spin = RING_STUB_US * p->tsc_per_us;
		s->yields = YIELDS;
		return SPIN_SENTRY_US * (uint64_t)p->tsc_per_us;
	}
	if (t->regime.crowd.on) {
		s->spin = CROWD_STUB_US * p->tsc_per_us;
		s->yields = 0;
		return CROWD_SENTRY_US * (uint64_t)p->tsc_per_us;
	}
	s->spin = spin ? SPIN_STUB_US * p->tsc_per_us : 0;
	s->yields = spin ? 0 : yields(t);
	return spin ? SPIN_SENTRY_US * (uint64_t)p->tsc_per_us : 0;
}

unsigned regime_yields(struct pf_thread *t)
{
	return t->regime.tandem.on && !t->regime.spin.on &&
			       regime_may_yield(&t->space->p->yields, t->regime.given)
		       ? TANDEM_YIELDS
		       : 0;
}

/* The time stamp counter's speed, from a few ms of start-up, and the CPUs that we may use. */
void regime_start(struct platform *p, uint64_t tsc0, uint64_t ns0)
{
	uint64_t ns = now_ns() - ns0;

	p->tsc_per_us = ns ? (__rdtsc() - tsc0) * 1000 / ns : 1000;
	if (sched_getaffinity(0, sizeof(p->cpus), &p->cpus) < 0)
		CPU_ZERO(&p->cpus);
	p->ncpu = CPU_COUNT(&p->cpus);
	if (p->ncpu < 2)
		p->cfg.spin_allowed = false;
	crowd_start(p);
}
