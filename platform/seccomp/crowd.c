/* Many threads that do nothing but make short calls: the crowd.
 *
 * One such thread gets a call in less than half a us, with a spinning S on another CPU. Two of them want four
 * CPUs for that; on two they would take turns with their S's, at two switches a call. So all T's of a
 * crowd are kept on one CPU, and all S's off it:
 *
 *	CPU of the T's   T_a calls .. calls .. calls | T_b calls .. calls .. calls | T_c ..
 *	CPU of the S's   S_a spins, serves, spins .. | S_b spins, serves, spins .. | S_c ..
 *
 * T_a has the CPU for a time slice of the host's, and only S_a has something to do meanwhile. When T_b's
 * turn comes, S_a's spin soon ends, T_b finds S_b asleep and wakes it: a wake and a few switches
 * a time slice, not a call. T's spin for longer than S's, so that they don't sleep before it is there.
 *
 * All its threads get together what one of two CPUs can do, however many CPUs there are. That is more than what
 * all of these can do one by one as long as a call, with what T does before the next, is shorter than
 * p->crowd_work. Nobody outside loses by it: the host shares CPUs among threads, and a crowd has fewer that
 * want to run than pairs of T and S have. So it also serves a single thread beside others that compute, on all
 * CPUs, whom it could only yield to.
 *
 * A thread is a *caller* when it has made short calls for a while without a wait. Callers enter if they can't have
 * the spin regime, and if there are several, or more active threads than CPUs. A thread leaves when it waits, when its calls become long or
 * rare (a spin in vain, other than when its turn comes), when it computes, when it is alone and could spin for itself,
 * or when the ring, where threads yield, wants the CPUs for long. Then it pauses.
 *
 * Calls that map memory are longer, but threads of one process that make them on several CPUs only get in each other's
 * way: they wait for the host's lock of the address space, and each unmapping interrupts the other CPUs. Of 10 us
 * for an mmap and munmap by one thread it makes 35 for two, and 10 again for those who take turns. So callers who spend a good part of their
 * time so, *mappers*, enter although their calls are long, if their process has other callers. What a call takes outside says little about
 * what it will take inside, so they have a while until it is looked at.
 *
 * Nothing depends on any of this: as in the spin regime, who has spun for long enough sleeps on the word. */
#include "platform/seccomp/impl.h"

#include <x86intrin.h>

#define CROWD_CALLS 8	      /* short ones in a row: a caller */
#define CROWD_CALLS_US 3000   /* and for that long */
#define CROWD_WARM 64	      /* calls, until they are as short as they will be */
#define CROWD_RING_US 12000   /* the ring is busy */
#define CROWD_SAMPLE_US 8     /* longer calls count as this */
#define CROWD_MAPS_US 12      /* a mapper's calls are shorter, in the crowd */
#define CROWD_MAPS_SAMPLE_US 20
#define CROWD_MAPS_OUT_US 80  /* and outside, in each other's way: */
#define CROWD_MAPS_EACH_US 2  /* for each of them so much longer */
#define CROWD_MAPS_TRIAL_US 10000 /* until the others have come along */
#define CROWD_AWAY_US 1000    /* others had their turns */
#define CROWD_TURN_US 8000    /* at least a time slice of the host's */
#define CROWD_AGAIN_US 10000
#define CROWD_PAUSE_MAX_US 250000
#define CROWD_START 1000
#define CROWD_MAX 2000
#define CROWD_HIT 1
#define CROWD_MISS 500
#define CROWD_ALONE 10

static unsigned get(const atomic_uint *n)
{
	return atomic_load_explicit(n, memory_order_relaxed);
}

/* ns: of a call and what follows, so that w + spin < (w + one_cpu) / ncpu. */
void crowd_start(struct platform *p)
{
	const int64_t one_cpu = 2900, spin = 200;
	int64_t n = p->ncpu, w = n < 2 ? 0 : (one_cpu - spin * n) / (n - 1);

	p->crowd_work = w > 0 ? w * p->tsc_per_us / 1000 : 0;
}

/* Whether t is one of p->ncallers. */
void crowd_recount(struct pf_thread *t)
{
	struct platform *p = t->space->p;
	struct regime *r = &t->regime;
	bool counts = r->caller && r->counted == &p->nactive;

	if (counts == r->counts_caller)
		return;
	r->counts_caller = counts;
	atomic_fetch_add_explicit(&p->ncallers, counts ? 1 : -1, memory_order_relaxed);
}

static void caller_set(struct pf_thread *t, bool caller)
{
	if (caller != t->regime.caller)
		atomic_fetch_add_explicit(&t->space->ncallers, caller ? 1 : -1, memory_order_relaxed);
	t->regime.caller = caller;
	crowd_recount(t);
}

static uint64_t at_most_us(struct platform *p, uint64_t cycles, unsigned us)
{
	uint64_t max = us * (uint64_t)p->tsc_per_us;

	return cycles < max ? cycles : max;
}

static uint64_t average(uint64_t old, uint64_t sample)
{
	return old + (int64_t)(sample - old) / 16;
}

static unsigned maps_out_us(struct platform *p)
{
	return CROWD_MAPS_OUT_US + CROWD_MAPS_EACH_US * get(&p->nactive);
}

/* How long t's calls are, of late, and how much of that the host's mapping calls are. */
static void work_count(struct pf_thread *t, uint64_t cycles, uint64_t maps)
{
	struct regime *r = &t->regime;
	unsigned max = !maps	     ? CROWD_SAMPLE_US
		       : r->crowd.on ? CROWD_MAPS_SAMPLE_US
				     : maps_out_us(t->space->p) * 5 / 4;

	cycles = at_most_us(t->space->p, cycles, max);
	maps = at_most_us(t->space->p, maps, max);
	r->work = r->calls ? average(r->work, cycles) : cycles;
	r->maps = r->calls ? average(r->maps, maps) : maps;
}

static bool is_short(struct pf_thread *t, unsigned percent)
{
	return t->regime.work * 100 < t->space->p->crowd_work * percent;
}

static bool is_mapper(const struct pf_thread *t, unsigned max_us)
{
	const struct regime *r = &t->regime;

	return r->maps * (r->crowd.on ? 8 : 4) > r->work &&
	       r->work < max_us * (uint64_t)t->space->p->tsc_per_us;
}

/* There may be others in whose way it is. */
static bool has_company(const struct pf_thread *t)
{
	return get(&t->space->ncallers) > 1;
}

static bool fits_in(struct pf_thread *t)
{
	return is_short(t, 100) || (is_mapper(t, CROWD_MAPS_US) && has_company(t));
}

/* A mapper that came before the others. */
static bool on_trial(struct pf_thread *t, uint64_t now)
{
	return now - t->regime.entered < CROWD_MAPS_TRIAL_US * (uint64_t)t->space->p->tsc_per_us &&
	       is_mapper(t, maps_out_us(t->space->p));
}

static bool ring_works(struct platform *p)
{
	return get(&p->nring) || get(&p->nlinger);
}

static bool longer_than(struct platform *p, uint64_t cycles, unsigned us)
{
	return cycles > us * (uint64_t)p->tsc_per_us;
}

static void crowd_enter(struct pf_thread *t, int cpu)
{
	struct regime *r = &t->regime;

	if (cpu < 0)
		return;
	r->crowd.on = true;
	r->crowd.score = CROWD_START;
	r->entered = __rdtsc();
	r->calls = 0;
	regime_active(t, r->counted);
	r->home = group_join(&t->space->p->crowd, cpu);
	thread_pin_to(t, r->home);
}

static void crowd_quit(struct pf_thread *t)
{
	t->regime.crowd.on = false;
	regime_active(t, t->regime.counted);
	atomic_fetch_sub(&t->space->p->crowd, 1u << 16);
}

void crowd_leave(struct pf_thread *t)
{
	if (!t->regime.crowd.on)
		return;
	crowd_quit(t);
	caller_set(t, false);
	t->regime.calls = 0;
	t->regime.left_crowd = __rdtsc();
	trial_pause(t->space->p, &t->regime.crowd, __rdtsc(), CROWD_PAUSE_MAX_US);
	if (t->pinned)
		thread_unpin(t);
}

void crowd_end(struct pf_thread *t)
{
	if (t->regime.crowd.on)
		crowd_quit(t);
	caller_set(t, false);
}

/* T has made another call; cycles: of the one before, and of what followed; maps: of these, the
 * host's mapping calls. */
void crowd_count(struct pf_thread *t, uint64_t cycles, uint64_t maps)
{
	work_count(t, cycles, maps);
	t->regime.calls++;
}

void crowd_waits(struct pf_thread *t)
{
	crowd_leave(t);
	t->regime.calls = 0;
	caller_set(t, false);
}

/* The call that t made now. */
static int crowd_score(struct pf_thread *t, bool hit, bool late, uint64_t now)
{
	struct platform *p = t->space->p;

	if (!hit && longer_than(p, now - t->regime.last, CROWD_AWAY_US))
		return 0;
	return !hit || late ? -CROWD_MISS : CROWD_HIT + (int)(t->regime.work / p->tsc_per_us * 2);
}

void crowd_judge(struct pf_thread *t, bool hit, bool late, uint64_t now)
{
	struct platform *p = t->space->p;
	struct trial *r = &t->regime.crowd;
	bool trial = on_trial(t, now);

	if (!trial)
		r->score += crowd_score(t, hit, late, now);
	if (r->score >= CROWD_MAX) {
		r->score = CROWD_MAX;
		r->pause_us = PAUSE_MIN_US;
	}
	if (!ring_works(p))
		atomic_store_explicit(&p->crowd_undisturbed, now, memory_order_relaxed);
	else if (longer_than(p, now - atomic_load_explicit(&p->crowd_undisturbed, memory_order_relaxed),
			     CROWD_RING_US))
		r->score = -1;
	if (get(&p->crowd) >> 16 == 1 && get(&p->nactive) < p->ncpu)
		r->score -= CROWD_ALONE;
	if (r->score < 0 || (t->regime.calls > CROWD_WARM && !trial && !fits_in(t)))
		crowd_leave(t);
}

/* Where many take turns, they find nothing in the caches, and their calls look longer than they will be. */
static unsigned entry_percent(struct platform *p)
{
	unsigned n = get(&p->nactive);

	return 80 + 5 * (n < 40 ? n : 40);
}

/* Not after each other's pauses, if that can be: they are better off together, mappers at once. */
static bool may_enter(struct pf_thread *t, bool mapper, uint64_t now)
{
	struct platform *p = t->space->p;

	return now >= t->regime.crowd.retry_at ||
	       (get(&p->crowd) >> 16 && (mapper || longer_than(p, now - t->regime.left_crowd, CROWD_AGAIN_US)));
}

void crowd_consider(struct pf_thread *t, uint64_t now)
{
	struct platform *p = t->space->p;
	struct regime *r = &t->regime;
	bool small = is_short(t, entry_percent(p)), mapper = is_mapper(t, maps_out_us(p));

	if (!small && !mapper)
		r->calls = 0;
	if (r->calls <= 1)
		r->calls_since = now;
	caller_set(t, r->calls >= CROWD_CALLS &&
			      longer_than(p, now - r->calls_since, CROWD_CALLS_US));
	if (r->caller && (small || has_company(t)) && may_enter(t, mapper, now) &&
	    !ring_works(p) && !cpu_to_spare(p, 1) &&
	    (get(&p->crowd) >> 16 || get(&p->ncallers) > 1 || get(&p->nactive) > p->ncpu))
		crowd_enter(t, seccomp_thread_cpu(t));
}

/* Until then T should have had its turn, and have called. */
static uint64_t patience_us(struct platform *p)
{
	return CROWD_TURN_US * (1 + (uint64_t)get(&p->ncrowd) + get(&p->nactive));
}

/* How long S is to sleep before it looks whether T computes. */
uint64_t crowd_slice_ns(struct pf_thread *t)
{
	uint64_t ns = patience_us(t->space->p) * 1000;

	return ns < WAIT_SLICE_NS ? ns : WAIT_SLICE_NS;
}

/* S has slept, and T has not called yet. */
void crowd_slept(struct pf_thread *t)
{
	struct platform *p = t->space->p;

	if (longer_than(p, __rdtsc() - t->regime.given, patience_us(p)))
		crowd_leave(t);
}
