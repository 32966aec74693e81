/* Handing a thread to the guest and getting it back.
 *
 *	S: frame_store, commands into the slot
 *	S: state = RESUME, wakes T if it sleeps        T: runs commands, state = RUN, rt_sigreturn
 *	S: spins or yields, then sleeps on the word     T: ... traps: state = STOPPED, wakes S
 *	S: frame_load
 *
 * The word can be written by the guest, and a sleeper on it can be requeued by it: so every sleep
 * of S is bounded, and death is told through pf_space.dead, which is ours. */
#include "platform/seccomp/impl.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <x86intrin.h>

static void futex_wake(uint32_t *word, int n)
{
	syscall(SYS_futex, word, FUTEX_WAKE, n, NULL, NULL, 0);
}

static void futex_wait(uint32_t *word, uint32_t value, uint64_t ns)
{
	struct timespec ts = {ns / 1000000000, ns % 1000000000};

	syscall(SYS_futex, word, FUTEX_WAIT, value, &ts, NULL, 0);
}

uint64_t handover_give(struct pf_thread *t, uint32_t state)
{
	struct slot *s = t->slot;
	uint64_t spin = regime_give(t);

	s->seq = ++t->seq;
	__atomic_exchange_n(&s->state, state, __ATOMIC_SEQ_CST);
	if (__atomic_load_n(&s->stub_sleeps, __ATOMIC_SEQ_CST)) {
		futex_wake(&s->state, 1);
		regime_woke(t);
	}
	return spin;
}

/* Kills the stub if it has had its time. */
static void deadline_check(struct pf_thread *t, enum wait_for what, uint64_t started)
{
	uint64_t now = now_ns();
	struct platform *p = t->space->p;

	if (what == WAIT_COMMANDS && now - started > p->command_deadline_ns)
		seccomp_space_kill(t->space);
	else if (what == WAIT_EVENT && atomic_load(&t->interrupted) &&
		 now - atomic_load(&t->interrupted_at) > p->interrupt_deadline_ns)
		seccomp_space_kill(t->space);
}

/* Looks at the slot for `cycles`; true once the thread has stopped. */
static bool spin_for(struct pf_thread *t, uint64_t cycles)
{
	uint64_t start = __rdtsc();

	do {
		for (unsigned i = 0; i < 8; i++) {
			if (__atomic_load_n(&t->slot->state, __ATOMIC_ACQUIRE) == SLOT_STOPPED)
				return true;
			__builtin_ia32_pause();
		}
	} while (__rdtsc() - start < cycles);
	return false;
}

/* Lets T have the CPU that S is on; true once it has stopped. Where T runs on another, or goes on for
 * long, this is over soon: it yields to nobody, or is back after T's time slice. */
static bool yield_for(struct pf_thread *t, unsigned yields)
{
	while (yields--) {
		regime_yield(t->space->p, &t->space->p->yields);
		if (__atomic_load_n(&t->slot->state, __ATOMIC_ACQUIRE) == SLOT_STOPPED)
			return true;
	}
	return false;
}

/* One bounded sleep until the state word is not `state`. */
static void sleep_on(struct pf_thread *t, uint32_t state)
{
	uint64_t ns = t->regime.ring.on	   ? RING_SLICE_NS
		      : t->regime.crowd.on ? crowd_slice_ns(t)
					   : WAIT_SLICE_NS;
	struct slot *s = t->slot;

	__atomic_store_n(&s->sentry_sleeps, 1, __ATOMIC_SEQ_CST);
	if (!atomic_load(&t->space->dead))
		futex_wait(&s->state, state, ns);
	__atomic_store_n(&s->sentry_sleeps, 0, __ATOMIC_RELAXED);
}

static void it_computes(struct pf_thread *t, bool slept)
{
	if (t->regime.ring.on) {
		if (slept)
			ring_leave(t);
	} else if (t->regime.crowd.on) {
		if (slept)
			crowd_slept(t);
	} else if (t->pinned) {
		thread_unpin(t);
		t->near = 0;
	}
}

int handover_wait(struct pf_thread *t, enum wait_for what, uint64_t spin)
{
	struct slot *s = t->slot;
	struct pf_space *space = t->space;
	bool hit = !spin		 ? yield_for(t, regime_yields(t))
		   : t->regime.ring.on ? ring_wait(t, spin)
				       : spin_for(t, spin);
	uint64_t started = 0;
	bool slept = false;

	for (;;) {
		uint32_t state = __atomic_load_n(&s->state, __ATOMIC_ACQUIRE);

		if (atomic_load_explicit(&space->dead, memory_order_relaxed))
			return -ESRCH;
		if (state == SLOT_STOPPED)
			break;
		if (started)
			deadline_check(t, what, started);
		else
			started = now_ns();
		if (what == WAIT_EVENT)
			it_computes(t, slept);
		slept = true;
		sleep_on(t, state);
	}
	if (__atomic_load_n(&s->done, __ATOMIC_ACQUIRE) != t->seq) {
		seccomp_space_kill(space);
		return -ESRCH;
	}
	regime_reported(t, hit);
	return 0;
}

/* Wakes S wherever it sleeps; the store makes a sleep that is about to begin fail. */
void handover_wake_dead(struct pf_thread *t)
{
	__atomic_store_n(&t->slot->state, SLOT_DEAD, __ATOMIC_SEQ_CST);
	futex_wake(&t->slot->state, INT_MAX);
	futex_wake(&t->slot->done, INT_MAX);
}

static bool take_interrupt(struct pf_thread *t, struct pf_event *ev)
{
	if (!atomic_load(&t->interrupted)) /* after the store to running, which an interrupt looks at */
		return false;
	atomic_store(&t->interrupted, false);
	ev->kind = PF_INTERRUPT;
	return true;
}

static bool take_late_fault(struct pf_thread *t, struct pf_event *ev)
{
	if (!t->window.faulted)
		return false;
	t->window.faulted = false;
	ev->kind = PF_LATE_FAULT;
	return true;
}

/* False: nothing that the caller should see (an interrupt that was taken back). */
static bool event_decode(struct pf_thread *t, struct pf_event *ev)
{
	int signo;

	if (frame_load(t, ev, &signo)) {
		seccomp_space_kill(t->space);
		ev->kind = PF_DEAD;
		return true;
	}
	window_open(t, signo == SIGSYS);
	switch (signo) {
	case STUB_SIG_INTERRUPT:
		return take_interrupt(t, ev);
	case SIGSYS:
		ev->kind = PF_SYSCALL;
		pf_regs_args(&t->regs, ev->args);
		t->regs.orig_rax = ev->nr;
		return true;
	case SIGSEGV:
	case SIGBUS:
	case SIGFPE:
	case SIGILL:
	case SIGTRAP:
		ev->kind = PF_FAULT;
		return true;
	default:
		seccomp_space_kill(t->space);
		ev->kind = PF_DEAD;
		return true;
	}
}

void handover_born(struct pf_thread *t, unsigned n)
{
	atomic_store(&t->running, true);
	t->born_running = true;
	frame_store(t);
	t->slot->ncmd = n;
	regime_active(t, true);
	handover_give(t, SLOT_RESUME);
}

/* False: nothing was handed over, *ev is set. */
static bool run_begin(struct pf_thread *t, struct pf_event *ev, uint64_t *spin)
{
	bool first = !t->has_run;

	if (first && !regime_in_group(t))
		regime_forget_place();
	t->has_run = true;
	if (t->born_running) {
		t->born_running = false;
		thread_follow(t);
		*spin = 0;
		return true;
	}
	borrow_lock(t);
	atomic_store(&t->running, true);
	if (take_interrupt(t, ev) || take_late_fault(t, ev)) {
		atomic_store(&t->running, false);
		borrow_unlock(t);
		return false;
	}
	if (regime_in_group(t))
		t->near = 0;
	else if (first && t->near)
		thread_pin(t);
	else if (t->pinned && (!t->near || !--t->near))
		thread_unpin(t);
	window_close(t);
	window_send(t);
	frame_store(t);
	t->slot->ncmd = calls_send(t);
	regime_active(t, true);
	*spin = handover_give(t, SLOT_RESUME);
	borrow_unlock(t);
	return true;
}

void seccomp_run(struct pf_thread *t, struct pf_event *ev)
{
	uint64_t spin;
	int r;

	while (run_begin(t, ev, &spin)) {
		r = handover_wait(t, WAIT_EVENT, spin);
		if (r) {
			atomic_store(&t->running, false);
			calls_abort(t);
			ev->kind = PF_DEAD;
			return;
		}
		calls_collect(t);
		t->window.faulted = !window_sent(t);
		r = take_late_fault(t, ev) || event_decode(t, ev);
		atomic_store(&t->running, false);
		if (r)
			return;
	}
}

void seccomp_interrupt(struct pf_thread *t)
{
	if (atomic_load(&t->interrupted))
		return;
	atomic_store(&t->interrupted_at, now_ns());
	atomic_store(&t->interrupted, true);
	if (atomic_load(&t->running))
		syscall(SYS_tgkill, t->space->pid, t->tid, STUB_SIG_INTERRUPT);
}

void seccomp_interrupt_clear(struct pf_thread *t)
{
	atomic_store(&t->interrupted, false);
}

