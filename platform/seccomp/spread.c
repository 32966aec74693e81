/* Which CPU a thread is on that runs or is being served, as far as it has told: so that two which work do
 * not share one while another is idle.
 *
 *	exec	a new program starts on an idle CPU, if its caller's is shared
 *	report	a thread that has shared its CPU for SPREAD_AFTER_US is sent to an idle one;
 *		its S follows it with the next report, as always
 *
 * The host sees to that for processes outside, when they exec and when they have long waited for a CPU. Here it is late:
 * what it sees of a T and its S on one CPU are two threads that yield to each other, one of them pinned. Compilers that a
 * make had started side by side stayed on one CPU for 10 ms, half of their lives.
 *
 * A thread that computes does not tell where it is, so a CPU that seems idle may be its. So each move of a
 * thread puts off its next one by more, and there is a last one.
 *
 * Threads of the ring and the crowd have places of their own and don't count here. */
#include "platform/seccomp/impl.h"

#define SPREAD_AFTER_US 300
#define SPREAD_PAUSE_US 1000 /* after a move; each further one four times as long */
#define SPREAD_MOVES 10

void spread_count(struct pf_thread *t, bool active)
{
	struct platform *p = t->space->p;
	struct spread *r = &t->regime.spread;
	uint32_t cpu = __atomic_load_n(&t->slot->cpu, __ATOMIC_RELAXED);
	int at = active && cpu < SPREAD_CPUS ? (int)cpu : -1;

	if (r->at == at)
		return;
	if (at >= 0)
		atomic_fetch_add_explicit(&p->busy[at], 1, memory_order_relaxed);
	if (r->at >= 0)
		atomic_fetch_sub_explicit(&p->busy[r->at], 1, memory_order_relaxed);
	r->at = at;
	r->shared = 0;
}

static bool is_shared(struct platform *p, int cpu)
{
	return p->ncpu > 1 && cpu >= 0 && cpu < SPREAD_CPUS &&
	       atomic_load_explicit(&p->busy[cpu], memory_order_relaxed) > 1;
}

/* One on which nobody is, or -1. */
static int idle_cpu(struct platform *p)
{
	for (int i = 0; i < SPREAD_CPUS; i++)
		if (CPU_ISSET(i, &p->cpus) &&
		    !atomic_load_explicit(&p->busy[i], memory_order_relaxed))
			return i;
	return -1;
}

int spread_start(struct platform *p, int cpu)
{
	int other = is_shared(p, cpu) ? idle_cpu(p) : -1;

	return other < 0 ? cpu : other;
}

static bool may_move(struct pf_thread *t, uint64_t now)
{
	const struct spread *r = &t->regime.spread;
	uint64_t us = (uint64_t)SPREAD_PAUSE_US << 2 * r->moves;

	return !r->moves ||
	       (r->moves < SPREAD_MOVES && now - r->moved > us * t->space->p->tsc_per_us);
}

/* It wakes there, or is moved at once if it yields, and is free again the time after. */
static void move(struct pf_thread *t, int cpu, uint64_t now)
{
	t->regime.spread.moved = now;
	t->regime.spread.moves++;
	thread_pin_to(t, cpu);
	t->near = 2;
	__atomic_store_n(&t->slot->cpu, (uint32_t)cpu, __ATOMIC_RELAXED);
	spread_count(t, true);
}

void spread_judge(struct pf_thread *t, uint64_t now)
{
	struct platform *p = t->space->p;
	struct spread *r = &t->regime.spread;
	int cpu;

	spread_count(t, t->regime.counted == &p->nactive);
	if (!is_shared(p, r->at)) {
		r->shared = 0;
		return;
	}
	if (!r->shared)
		r->shared = now;
	if (now - r->shared < SPREAD_AFTER_US * (uint64_t)p->tsc_per_us || !may_move(t, now))
		return;
	r->shared = 0;
	cpu = idle_cpu(p);
	if (cpu >= 0)
		move(t, cpu, now);
}
