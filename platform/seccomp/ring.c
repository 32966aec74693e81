/* Threads that wait for each other: the ring.
 *
 * Of two threads that hand a turn to each other (pipes, futexes, a thread that is made and joined) one
 * waits at any time, so they need one CPU at most; their S threads need another, if there is one. In
 * the ring all T's are kept on one CPU, all S's off it, and nobody sleeps for short:
 *
 *	CPU of the T's   T_a reports .. T_a looks, yields .. T_b has its answer, runs, reports ..
 *	CPU of the S's   .. S_a serves, wakes S_b, which sees that when S_a yields, answers T_b ..
 *
 * Who has nothing to do looks at its word (T at the slot, S at the slot or at what its task waits for)
 * and yields. So a wake-up is a store, a hand-over a look at a word that another CPU wrote, and what
 * is left are two switches, where on one CPU there would be five and between two a CPU to wake.
 *
 * A thread enters after some short waits, with short runs between them, and takes those that it makes
 * along. It leaves when it computes for a good part of its time (it and the one it feeds would each use a CPU), when its waits
 * become long or rare, when somebody outside the ring wants the CPUs, or when a yield cost a time slice. The score
 * is kept in us, about: what was saved or lost.
 *
 * Looking is bounded (RING_LINGER_US; T's yields end when S says so, or by their number), and nothing
 * depends on it: it only comes before the usual sleep on the same word, whose value was taken before the
 * condition was tested. A waker that finds nobody asleep has changed the word first, so the sleep that
 * might follow returns at once. */
#include "platform/seccomp/impl.h"

#include <x86intrin.h>

#define RING_BLOCKS 12	   /* short waits in a row; of the first in the ring */
#define RING_BLOCKS_MORE 2 /* of others */
#define RING_LINGER_US 60  /* S, for its task's wake-up */
#define RING_POLLS 8
#define RING_PAUSE_MAX_US 250000
#define RING_YIELDS 5000	   /* T, as long as S looks around */
#define RING_START 500
#define RING_MAX 2000
#define RING_WOKEN 20	   /* a wake-up that was seen without sleep */
#define RING_HIT 3
#define RING_SHARE_IN 40   /* % of its time that a T may compute that enters */
#define RING_SHARE_OUT 50  /* and one that stays, if it is not alone there */
#define RING_LATE 50
#define RING_OTHERS 10	   /* somebody outside wants a CPU */
#define RING_ALONE 25	   /* and nobody has come along */
#define RING_CALLS 50	   /* without a wait: it does not depend on others. Each more costs */
#define RING_CALL 25
#define RING_SLEPT 40
#define RING_MISS 100

static _Thread_local bool idle_lingers;

/* The thread counts as one that runs (nactive, nring, ncrowd), that looks around (nlinger), or not at all. */
static void count(struct pf_thread *t, atomic_uint *which)
{
	atomic_uint *old = t->regime.counted;

	if (old == which)
		return;
	if (which)
		atomic_fetch_add_explicit(which, 1, memory_order_relaxed);
	if (old)
		atomic_fetch_sub_explicit(old, 1, memory_order_relaxed);
	t->regime.counted = which;
	spread_count(t, which == &t->space->p->nactive);
	crowd_recount(t);
}

void regime_active(struct pf_thread *t, bool active)
{
	struct platform *p = t->space->p;

	count(t, !active	      ? NULL
		 : t->regime.ring.on  ? &p->nring
		 : t->regime.crowd.on ? &p->ncrowd
				      : &p->nactive);
}

/* Who is first says which CPU. */
unsigned group_join(atomic_uint *group, unsigned cpu)
{
	uint32_t old = atomic_load(group), new;

	do
		new = old >> 16 ? old + (1u << 16) : 1u << 16 | cpu;
	while (!atomic_compare_exchange_weak(group, &old, new));
	return new & 0xffff;
}

static bool others_want_cpus(struct platform *p, unsigned fewer)
{
	return atomic_load_explicit(&p->nactive, memory_order_relaxed) +
		       atomic_load_explicit(&p->nspinning, memory_order_relaxed) +
		       (atomic_load_explicit(&p->ncrowd, memory_order_relaxed) ? 2 : 0) + 2 >
	       p->ncpu + fewer;
}

/* t computed, or waited for long. */
void ring_long_run(struct pf_thread *t)
{
	uint32_t *blocks = &t->regime.blocks;

	*blocks = *blocks > RING_BLOCKS / 3 ? *blocks - RING_BLOCKS / 3 : 0;
}

void ring_enter(struct pf_thread *t, int cpu)
{
	struct regime *r = &t->regime;

	if (cpu < 0)
		return;
	if (r->spin.on)
		spin_leave(t, __rdtsc());
	r->ring.on = true;
	r->ring.score = RING_START;
	r->blocks = 0;
	regime_active(t, r->counted);
	r->home = group_join(&t->space->p->ring, cpu);
	thread_pin_to(t, r->home);
}

static void ring_quit(struct pf_thread *t)
{
	struct regime *r = &t->regime;

	r->ring.on = false;
	regime_active(t, r->counted);
	atomic_fetch_sub(&t->space->p->ring, 1u << 16);
}

void ring_leave(struct pf_thread *t)
{
	if (!t->regime.ring.on)
		return;
	ring_quit(t);
	t->regime.left_ring = __rdtsc();
	trial_pause(t->space->p, &t->regime.ring, __rdtsc(), RING_PAUSE_MAX_US);
	if (t->pinned && atomic_load(&t->space->p->ring) >> 16)
		thread_move_off(t, t->pinned_cpu);
	else if (t->pinned)
		thread_unpin(t);
}

/* t ends, or is given to another guest thread: it stays where it is until then. */
void ring_end(struct pf_thread *t)
{
	idle_lingers = t->regime.ring.on;
	if (t->regime.ring.on)
		ring_quit(t);
}

static bool ring_alone(struct platform *p)
{
	return atomic_load_explicit(&p->ring, memory_order_relaxed) >> 16 == 1;
}

/* A thread that waits for another runs less than half of the time; one that computes wants a CPU of its own, however
 * short the runs between its calls are. */
static bool computes(const struct pf_thread *t, unsigned percent)
{
	const struct regime *r = &t->regime;

	return r->took >= RING_SHARE_US * (uint64_t)t->space->p->tsc_per_us &&
	       r->ran * 100 > r->took * percent;
}

void ring_judge(struct pf_thread *t, bool hit, bool late, uint64_t now)
{
	struct platform *p = t->space->p;
	struct trial *r = &t->regime.ring;

	if (!hit)
		r->score -= RING_MISS;
	else if (late)
		r->score -= RING_LATE;
	else if (others_want_cpus(p, 0))
		r->score -= ring_alone(p) ? RING_ALONE : RING_OTHERS;
	else if (t->regime.calls > RING_CALLS)
		r->score -= RING_CALL;
	else if (r->score < RING_MAX)
		r->score += RING_HIT;
	else
		r->pause_us = PAUSE_MIN_US;
	if (!ring_alone(p) && computes(t, RING_SHARE_OUT))
		r->score = -1;
	if (r->score < 0 || !regime_may_yield(&p->ring_yields, now))
		ring_leave(t);
}

/* Looks at *word until it is not `seen`, or for `us`, and lets others go first. */
static bool look(struct platform *p, const _Atomic uint32_t *word, uint32_t seen, unsigned us)
{
	uint64_t start = __rdtsc();

	do {
		regime_yield(p, &p->ring_yields);
		for (unsigned i = 0; i < RING_POLLS; i++) {
			if (atomic_load_explicit(word, memory_order_acquire) != seen)
				return true;
			__builtin_ia32_pause();
		}
	} while (__rdtsc() - start < (uint64_t)us * p->tsc_per_us);
	return false;
}

/* True once the thread has stopped. */
bool ring_wait(struct pf_thread *t, uint64_t cycles)
{
	uint64_t start = __rdtsc();

	do {
		for (unsigned i = 0; i < RING_POLLS; i++) {
			if (__atomic_load_n(&t->slot->state, __ATOMIC_ACQUIRE) == SLOT_STOPPED)
				return true;
			__builtin_ia32_pause();
		}
		regime_yield(t->space->p, &t->space->p->ring_yields);
	} while (__rdtsc() - start < cycles);
	return __atomic_load_n(&t->slot->state, __ATOMIC_ACQUIRE) == SLOT_STOPPED;
}

void seccomp_will_block(struct pf_thread *t, const _Atomic uint32_t *word, uint32_t seen,
			bool brief)
{
	struct platform *p = t->space->p;
	struct regime *r = &t->regime;
	bool linger = r->ring.on && word && brief;

	calls_flush(t);
	window_flush(t);
	__atomic_store_n(&t->slot->yields, linger ? RING_YIELDS : 0, __ATOMIC_RELAXED);
	__atomic_store_n(&t->slot->spin, 0, __ATOMIC_RELAXED);
	r->blocked = __rdtsc();
	crowd_waits(t);
	if (linger)
		count(t, &p->nlinger);
	if (linger && look(p, word, seen, RING_LINGER_US))
		r->ring.score += r->ring.score < RING_MAX && !others_want_cpus(p, 0) ? RING_WOKEN : 0;
	else if (r->ring.on)
		r->ring.score -= RING_SLEPT;
	if (linger)
		__atomic_store_n(&t->slot->yields, 0, __ATOMIC_RELAXED);
	regime_active(t, false);
}

/* Each of two that wait for each other is out of place without the other, and leaves soon: so whose pause is long
 * comes along with whom has waited his out. */
static bool may_enter(struct pf_thread *t, uint64_t now)
{
	struct platform *p = t->space->p;
	struct regime *r = &t->regime;

	return now >= r->ring.retry_at ||
	       (atomic_load(&p->ring) >> 16 && now - r->left_ring > PAUSE_MIN_US * (uint64_t)p->tsc_per_us);
}

/* Before t's call goes on. */
void seccomp_has_blocked(struct pf_thread *t)
{
	struct platform *p = t->space->p;
	struct regime *r = &t->regime;
	uint64_t now = __rdtsc();

	if (r->ring.on) {
		if (r->ring.score < 0 || !regime_may_yield(&p->ring_yields, now))
			ring_leave(t);
		return;
	}
	if (now - r->blocked > RING_SHORT_US * (uint64_t)p->tsc_per_us || !p->cfg.spin_allowed)
		ring_long_run(t);
	else if (++r->blocks > (atomic_load(&p->ring) >> 16 ? RING_BLOCKS_MORE : RING_BLOCKS) &&
		 may_enter(t, now) && !computes(t, RING_SHARE_IN) &&
		 regime_may_yield(&p->ring_yields, now) &&
		 !others_want_cpus(p, 1 + r->spin.on))
		ring_enter(t, seccomp_thread_cpu(t));
}

/* An S thread without a task. */
void seccomp_idle(struct platform *p, const _Atomic uint32_t *word, uint32_t seen)
{
	if (idle_lingers)
		look(p, word, seen, RING_LINGER_US);
	idle_lingers = false;
}
