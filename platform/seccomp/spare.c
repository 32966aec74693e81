/* Spare stubs, forked ahead of time by a thread of their own, so that exec does not wait. The first one, for the
 * first program, is made at once, further ones not before a guest makes a process: many sandboxes never do. The
 * same thread sees the zygote through its start, beside who builds the rest of the sandbox. */
#include "platform/seccomp/impl.h"

#include <errno.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "abi/base/log.h"

/* The maker's work is for later, what the taker does is waited for: while a CPU is to spare they don't share
 * one. Both sleep, as a rule, so this moves nobody; what the spares inherit, thread_pin() ends. */
static void makers_send_away_locked(struct platform *p)
{
	int cpu = sched_getcpu();
	cpu_set_t set = p->cpus;

	if (p->ncpu < 2 || cpu < 0 || cpu >= CPU_SETSIZE || !p->maker_tid)
		return;
	if (atomic_load_explicit(&p->nactive, memory_order_relaxed) > p->ncpu)
		cpu = -1;
	if (cpu == p->makers_avoid)
		return;
	if (cpu >= 0)
		CPU_CLR(cpu, &set);
	sched_setaffinity(p->maker_tid, sizeof(set), &set);
	sched_setaffinity(p->zygote_thread->tid, sizeof(set), &set);
	p->makers_avoid = cpu;
}

struct pf_thread *spare_take(struct platform *p)
{
	struct pf_thread *t;

	AUTO_LOCK(&p->mu);
	do {
		if (!p->nspares)
			return NULL;
		t = p->spare[--p->nspares];
		if (atomic_load(&t->space->dead)) {
			/* Killed by the host, for memory: seldom, and it is left to stop(). */
			log_warn("a spare stub died");
			t = NULL;
		}
	} while (!t);
	makers_send_away_locked(p);
	cond_signal(&p->spare_taken);
	return t;
}

static void spares_make_locked(struct platform *p)
{
	struct pf_space *s;
	struct pf_thread *t;
	int r;

	mutex_unlock(&p->mu);
	r = space_blank(p, &s, &t);
	seccomp_reap(p);
	mutex_lock(&p->mu);
	if (r == 0)
		p->spare[p->nspares++] = t;
	else if (!atomic_load(&p->stopping_soon)) /* try again in a second */
		cond_wait(&p->spare_taken, &p->mu, now_ns() + 1000000000ULL);
}

static void *maker_main(void *arg)
{
	struct platform *p = arg;
	bool first = true;
	int r = zygote_start(p);

	regime_unplace(p);
	mutex_lock(&p->mu);
	p->maker_tid = (pid_t)syscall(SYS_gettid);
	p->start_err = r;
	p->started = true;
	cond_broadcast(&p->started_cond);
	while (r == 0 && !atomic_load(&p->stopping_soon)) {
		if (p->nspares >= p->cfg.spare_stubs || (!first && !atomic_load(&p->has_forked))) {
			cond_wait(&p->spare_taken, &p->mu, UINT64_MAX);
			continue;
		}
		spares_make_locked(p);
		first = p->nspares == 0 && first;
	}
	mutex_unlock(&p->mu);
	return NULL;
}

int spares_start(struct platform *p)
{
	int r;

	if (p->cfg.spare_stubs > SPARE_MAX)
		p->cfg.spare_stubs = SPARE_MAX;
	r = thread_start(&p->spare_maker, maker_main, p);
	p->have_spare_maker = r == 0;
	return r;
}

int spares_wait(struct platform *p)
{
	AUTO_LOCK(&p->mu);
	while (!p->started)
		cond_wait(&p->started_cond, &p->mu, UINT64_MAX);
	return p->start_err;
}

void spares_expect_exec(struct platform *p)
{
	if (atomic_load_explicit(&p->has_forked, memory_order_relaxed))
		return;
	AUTO_LOCK(&p->mu);
	atomic_store(&p->has_forked, true);
	cond_signal(&p->spare_taken);
}

void spares_stop(struct platform *p)
{
	struct pf_thread *t;

	if (p->have_spare_maker) {
		mutex_lock(&p->mu);
		cond_signal(&p->spare_taken);
		mutex_unlock(&p->mu);
		pthread_join(p->spare_maker, NULL);
	}
	while ((t = spare_take(p)))
		seccomp_thread_destroy(t);
}
