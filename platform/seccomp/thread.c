/* Guest threads: a slot, a host thread, the sentry's copy of the registers.
 *
 * A host thread costs the host a clone, its approval and an exit: much more than what a short guest
 * thread does in between. So some whose guest thread has ended are parked: they stay in their slots,
 * stopped, and the guest's next threads are given to them. What a clone would copy is written into
 * the frame that they return by.
 *
 * A guest can make a parked thread run by writing to its slot. That is then a thread that the sentry
 * knows nothing of, as is one that does not exit when it is told to: it computes until its next call,
 * which nobody answers, and dies with the process. When it is taken, its state gives it away. */
#include "platform/seccomp/impl.h"

#include "platform/host_proc.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

int thread_alloc(struct pf_space *s, uint32_t index, struct slot *slot, struct pf_thread **out)
{
	struct pf_thread *t = calloc(1, sizeof(*t));

	if (!t)
		return -ENOMEM;
	t->space = s;
	t->slot = slot;
	t->slot_index = index;
	t->born_ns = now_ns();
	regime_init(t);
	list_init(&t->link);
	mutex_init(&t->call_mu, LOCK_NONE);
	mutex_init(&t->borrow_mu, LOCK_NONE);
	slot->flags = slot_flags(s->p);
	slot->self = slot_guest_addr(index) + SLOT_MAGIC;
	__atomic_store_n(&slot->state, SLOT_STOPPED, __ATOMIC_RELEASE);
	*out = t;
	return 0;
}

void thread_free(struct pf_thread *t)
{
	mutex_destroy(&t->call_mu);
	mutex_destroy(&t->borrow_mu);
	free(t);
}

/* Makes t, whose host thread is known now, a member of its space. */
void thread_enlist(struct pf_thread *t)
{
	struct pf_space *s = t->space;

	ref_get(&s->ref);
	AUTO_LOCK(&s->mu);
	list_push_back(&s->threads, &t->link);
	s->nthreads++;
}

static bool tid_is_new(struct pf_space *s, int64_t tid)
{
	if (tid <= 1 || tid > INT32_MAX || syscall(SYS_tgkill, s->pid, (pid_t)tid, 0) < 0)
		return false;
	AUTO_LOCK(&s->mu);
	list_for_each(t, &s->threads, struct pf_thread, link)
		if (t->tid == tid)
			return false;
	list_for_each(t, &s->parked, struct pf_thread, link)
		if (t->tid == tid)
			return false;
	list_for_each(d, &s->free_slots, struct dead_slot, link)
		if (d->tid == tid)
			return false;
	return true;
}

/* Has the caller's stub clone a thread that is born stopped with t's frame. */
static int thread_clone(struct pf_thread *caller, struct pf_thread *t)
{
	uint64_t uc = slot_guest_addr(t->slot_index) + t->uc_off;
	struct slot_cmd cmd = {.op = CMD_THREAD, .a = {uc}};
	struct approval a = {.flags = STUB_CLONE_THREAD,
			     .stack = (uc - 256) & ~15UL};
	struct platform *p = t->space->p;
	int r;

	approval_add(caller, &a);
	r = commands_run(caller, &cmd, 1);
	approval_remove(p, &a);
	if (r)
		return r;
	if (cmd.ret < 0)
		return cmd.ret;
	if (!tid_is_new(t->space, cmd.ret)) {
		seccomp_space_kill(t->space);
		return -ESRCH;
	}
	t->tid = cmd.ret;
	return 0;
}

/* ---- parked threads -------------------------------------------------------------------------- */

/* Less CPU time than that a new guest thread may find on its clock. */
#define LIVED_MAX_NS 200000

/* A new thread's host thread sleeps, perhaps on another CPU than the S thread that is given to it. It
 * starts on that one's, and stays for a few calls, which may be all that it makes; until it computes. */
#define NEAR_RUNS 8

/* In the ring (ring.c) the next guest thread comes soon, as a rule. */
#define PARKED_YIELDS 100

/* Its frame lies where every system call's does. */
static bool frame_is_usual(struct pf_thread *t)
{
	struct platform *p = t->space->p;

	return !t->fast && t->uc_off == p->uc_off && t->fp_off == p->fp_off;
}

/* True: t belongs to the space from here on. */
static bool thread_park(struct pf_thread *t)
{
	struct pf_space *s = t->space;

	if (!frame_is_usual(t) || t->slot->pending || t->born_running)
		return false;
	__atomic_store_n(&t->slot->answers, 0, __ATOMIC_RELEASE);
	__atomic_store_n(&t->slot->yields, t->regime.ring.on ? PARKED_YIELDS : 0, __ATOMIC_RELAXED);
	__atomic_store_n(&t->slot->spin, 0, __ATOMIC_RELAXED);
	calls_abort(t);
	regime_end(t);
	t->lived_ns += now_ns() - t->born_ns;
	AUTO_LOCK(&s->mu);
	if (s->nparked == PARKED_MAX)
		return false;
	s->nparked++;
	list_push_front(&s->parked, &t->link);
	return true;
}

static struct pf_thread *parked_take(struct pf_space *s)
{
	AUTO_LOCK(&s->mu);
	struct pf_thread *t = list_first(&s->parked, struct pf_thread, link);

	if (!t)
		return NULL;
	list_del_init(&t->link);
	s->nparked--;
	return t;
}

static void cpu_time_rebase(struct pf_thread *t)
{
	uint64_t user, sys;

	t->born_ns = now_ns();
	if (t->lived_ns < LIVED_MAX_NS)
		return;
	if (host_thread_cpu_time(t->space->p->procfd, t->space->pid, t->tid, &user, &sys) == 0)
		t->cpu_base_ns = user + sys;
	t->lived_ns = 0;
}

/* Gives a parked t to a guest thread that caller makes. */
static int thread_revive(struct pf_thread *t, struct pf_thread *caller)
{
	struct slot *slot = t->slot;

	if (__atomic_load_n(&slot->state, __ATOMIC_ACQUIRE) != SLOT_STOPPED) {
		seccomp_space_kill(t->space);
		thread_free(t);
		return -ESRCH;
	}
	thread_copy(t, caller);
	t->fs_seen = t->gs_seen = ~0UL; /* the host thread still has its last guest's */
	memset(&t->window, 0, sizeof(t->window));
	atomic_store(&t->interrupted, false);
	slot->pending = slot->out = slot->known = 0;
	t->knows = false;
	memset(&slot->untold, 0, offsetof(struct slot, cmd) - offsetof(struct slot, untold));
	t->near = NEAR_RUNS;
	t->has_run = false;
	regime_init(t);
	if (caller->regime.ring.on)
		ring_enter(t, caller->regime.home);
	cpu_time_rebase(t);
	return 0;
}

/* ---- births and deaths ----------------------------------------------------------------------- */

int seccomp_thread_new(struct pf_thread *caller, struct pf_thread **out)
{
	struct pf_space *s = caller->space;
	struct pf_thread *t;
	struct slot *slot;
	uint32_t index;
	int r = frame_full(caller);

	if (r)
		return r;
	t = frame_is_usual(caller) ? parked_take(s) : NULL;
	if (t) {
		r = thread_revive(t, caller);
		if (r)
			return r;
		thread_enlist(t);
		*out = t;
		return 0;
	}
	thread_may_clone(caller);
	r = slot_alloc(s, &index, &slot);
	if (r)
		return r;
	r = thread_alloc(s, index, slot, &t);
	if (r) {
		slot_retire(s, index, 0);
		return r;
	}
	thread_copy(t, caller);
	r = thread_clone(caller, t);
	if (r) {
		slot_retire(s, index, INT32_MAX);
		thread_free(t);
		return r;
	}
	thread_enlist(t);
	*out = t;
	return 0;
}

void thread_copy(struct pf_thread *dst, struct pf_thread *src)
{
	frame_copy(dst, src);
	dst->regs = src->regs;
	memcpy(dst->in_frame, src->in_frame, sizeof(dst->in_frame));
	dst->slot->cpu = src->slot->cpu;
	dst->fs_seen = src->fs_seen;
	dst->gs_seen = ~0UL; /* the host thread inherits src's slot there */
}

/* Also what it inherited from a zygote that was sent elsewhere (spare.c) ends with that. */
void thread_pin(struct pf_thread *t)
{
	thread_pin_to(t, sched_getcpu());
}

void thread_pin_to(struct pf_thread *t, int cpu)
{
	cpu_set_t set;

	if (cpu < 0 || cpu >= CPU_SETSIZE || t->space->p->ncpu < 2 ||
	    (t->pinned && t->pinned_cpu == cpu))
		return;
	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	t->pinned = true;
	t->pinned_cpu = cpu;
	sched_setaffinity(t->tid, sizeof(set), &set);
}

int seccomp_thread_cpu(struct pf_thread *t)
{
	const struct platform *p = t->space->p;
	uint32_t cpu = __atomic_load_n(&t->slot->cpu, __ATOMIC_RELAXED);

	if (regime_in_group(t)) /* its S is kept off there */
		return -1;
	return p->ncpu > 1 && cpu < CPU_SETSIZE && CPU_ISSET(cpu, &p->cpus) ? (int)cpu : -1;
}

void thread_unpin(struct pf_thread *t)
{
	const cpu_set_t *all = &t->space->p->cpus;

	t->pinned = false;
	sched_setaffinity(t->tid, sizeof(*all), all);
}

void thread_may_clone(struct pf_thread *t)
{
	ring_leave(t);
	crowd_leave(t);
	if (t->pinned)
		thread_unpin(t);
}

void thread_move_off(struct pf_thread *t, int cpu)
{
	cpu_set_t set = t->space->p->cpus;

	CPU_CLR(cpu, &set);
	sched_setaffinity(t->tid, sizeof(set), &set);
	thread_unpin(t);
}

/* What the slot says about the CPU is its parent's until it has begun. */
void thread_follow(struct pf_thread *t)
{
	for (unsigned i = 0; i < 8; i++) {
		if (__atomic_load_n(&t->slot->state, __ATOMIC_ACQUIRE) != SLOT_RESUME)
			break;
		sched_yield();
	}
	regime_place(t);
}

/* The stub's first thread stays, stopped: process_vm_readv needs it. Others are parked, or exit: then
 * the slot is used again when the host confirms it. */
void seccomp_thread_destroy(struct pf_thread *t)
{
	struct pf_space *s = t->space;
	bool last;

	window_end(t);
	mutex_lock(&s->mu);
	while (t->borrowed)
		cond_wait(&s->borrow_end, &s->mu, UINT64_MAX);
	list_del_init(&t->link);
	last = --s->nthreads == 0;
	mutex_unlock(&s->mu);
	if (last) {
		space_end(s);
	} else if (!atomic_load(&s->dead) && thread_park(t)) {
		space_put(s);
		return;
	} else if (!atomic_load(&s->dead) && !t->primary) {
		t->slot->cmd[0] = (struct slot_cmd){.op = CMD_EXIT};
		t->slot->ncmd = 1;
		handover_give(t, SLOT_CMD);
		slot_retire(s, t->slot_index, t->tid);
	}
	calls_abort(t);
	regime_end(t);
	space_put(s);
	thread_free(t);
}
