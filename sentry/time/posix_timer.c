/* POSIX timers: timer_create(2), timer_settime(2), timer_getoverrun(2), timer_delete(2).
 *
 * At most one signal of a timer is queued at a time. Expiries while it waits are counted, and told
 * when it is taken off the queue (posix_timer_dequeued). Whether it still waits is seen from the
 * pending set itself, since an ignored signal never arrives at all.
 *
 * References: the table and whoever uses a timer outside the table's lock. */
#include <errno.h>
#include <limits.h>
#include <linux/capability.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>

#include "abi/base/list.h"
#include "abi/base/ref.h"
#include "sentry/kernel/kernel.h"
#include "sentry/kernel/signal.h"
#include "sentry/kernel/task.h"
#include "sentry/mm/usercopy.h"
#include "sentry/syscalls/syscalls.h"
#include "sentry/time/clock.h"
#include "sentry/time/gtimer.h"
#include "sentry/time/time_impl.h"

#define POSIX_TIMERS_MAX 16384 /* a process; RLIMIT_SIGPENDING bounds it too */

/* struct sigevent of the ABI: 64 bytes. */
struct guest_sigevent {
	uint64_t value;
	int32_t signo, notify;
	int32_t tid;
	uint8_t pad[44];
};
_Static_assert(sizeof(struct guest_sigevent) == 64, "struct sigevent is 64 bytes");

struct posix_timer {
	struct gtimer g;
	struct ref ref;
	struct list node; /* in the table, by id */
	int id;
	struct thread_group *tg; /* the owner; outlives the timer */
	struct task *task;	 /* SIGEV_THREAD_ID; owned */
	int notify, signo;
	uint64_t value;
	bool queued;	       /* a signal of ours was sent; protected by tasks_lock */
	_Atomic uint64_t extra; /* expiries beyond the one the queued signal stands for */
	_Atomic int overrun;	/* of the signal delivered last */
};

struct posix_timers {
	struct mutex mu; /* LOCK_POSIX_TIMERS */
	struct list timers; /* ascending ids */
	int count, next_id;
};

static int clip_int(uint64_t n)
{
	return n > INT_MAX ? INT_MAX : (int)n;
}

/* ---- expiry --------------------------------------------------------------------------------- */

static bool still_queued_locked(const struct posix_timer *p)
{
	const struct sigpending *q = p->task ? &p->task->pending : &p->tg->pending;

	return p->queued && q->set & SIGBIT(p->signo);
}

static void posix_timer_expire(struct gtimer *g, uint64_t n)
{
	struct posix_timer *p = container_of(g, struct posix_timer, g);
	struct guest_siginfo info = {.si_signo = p->signo, .si_code = SI_TIMER};

	if (p->notify == SIGEV_NONE)
		return;
	info.timer.timerid = p->id;
	info.timer.value = p->value;
	AUTO_LOCK(&kernel->tasks_lock);
	if (still_queued_locked(p)) {
		atomic_fetch_add(&p->extra, n);
		return;
	}
	atomic_store(&p->extra, n - 1);
	p->queued = true;
	if (p->task)
		signal_send_task_locked(p->task, &info);
	else if (gtimer_on_cpu_clock(&p->g))
		signal_send_runner_locked(p->tg, &info);
	else
		signal_send_group_locked(p->tg, &info);
}

/* ---- the table ------------------------------------------------------------------------------ */

static struct posix_timers *table_peek(struct thread_group *tg)
{
	return __atomic_load_n(&tg->posix_timers, __ATOMIC_ACQUIRE);
}

static struct posix_timers *table_of(struct thread_group *tg)
{
	struct posix_timers *pt = table_peek(tg), *made;

	if (pt)
		return pt;
	made = calloc(1, sizeof(*made));
	if (!made)
		return NULL;
	mutex_init(&made->mu, LOCK_POSIX_TIMERS);
	list_init(&made->timers);
	if (__atomic_compare_exchange_n(&tg->posix_timers, &pt, made, false, __ATOMIC_ACQ_REL,
					__ATOMIC_ACQUIRE))
		return made;
	free(made);
	return pt;
}

/* Not under tasks_lock: the last reference waits for a running expiry. */
static void timer_put(struct posix_timer *p)
{
	if (!p || !ref_put(&p->ref))
		return;
	gtimer_destroy(&p->g);
	cpu_clock_put(&p->g.cpu);
	if (p->task)
		task_put(p->task);
	free(p);
}

static void auto_timer(struct posix_timer **p)
{
	timer_put(*p);
}

static struct posix_timer *table_find_locked(struct posix_timers *pt, int id)
{
	list_for_each (p, &pt->timers, struct posix_timer, node)
		if (p->id == id)
			return p;
	return NULL;
}

static struct posix_timer *timer_lookup(struct task *t, int id)
{
	struct posix_timers *pt = table_peek(t->tg);
	struct posix_timer *p;

	if (!pt)
		return NULL;
	AUTO_LOCK(&pt->mu);
	p = table_find_locked(pt, id);
	if (p)
		ref_get(&p->ref);
	return p;
}

/* The lowest id that was not used lately, as Linux gives them out; keeps the list in order. */
static int table_insert(struct posix_timers *pt, struct posix_timer *p, uint64_t limit)
{
	AUTO_LOCK(&pt->mu);
	if (pt->count >= POSIX_TIMERS_MAX || (uint64_t)pt->count >= limit)
		return -EAGAIN;
	while (table_find_locked(pt, pt->next_id))
		pt->next_id = pt->next_id == INT_MAX ? 0 : pt->next_id + 1;
	p->id = pt->next_id;
	pt->next_id = p->id == INT_MAX ? 0 : p->id + 1;
	pt->count++;
	ref_get(&p->ref);
	list_push_back(&pt->timers, &p->node);
	return 0;
}

static struct posix_timer *table_remove(struct posix_timers *pt, struct posix_timer *which)
{
	AUTO_LOCK(&pt->mu);
	if (list_empty(&which->node))
		return NULL;
	list_del_init(&which->node);
	pt->count--;
	return which;
}

static void posix_timers_free(struct posix_timers *pt)
{
	struct posix_timer *p;

	if (!pt)
		return;
	while ((p = list_first(&pt->timers, struct posix_timer, node)))
		timer_put(table_remove(pt, p));
	mutex_destroy(&pt->mu);
	free(pt);
}

void posix_timer_dequeued(struct thread_group *tg, struct guest_siginfo *info)
{
	struct posix_timers *pt = table_peek(tg);
	struct posix_timer *p;

	if (!pt)
		return;
	AUTO_LOCK(&pt->mu);
	p = table_find_locked(pt, info->timer.timerid);
	if (!p || p->signo != info->si_signo)
		return;
	p->queued = false;
	info->timer.overrun = clip_int(atomic_exchange(&p->extra, 0));
	atomic_store(&p->overrun, info->timer.overrun);
}

void thread_group_timers_exec(struct task *t)
{
	posix_timers_free(__atomic_exchange_n(&t->tg->posix_timers, NULL, __ATOMIC_ACQ_REL));
}

void thread_group_timers_exit(struct task *t)
{
	thread_group_timers_exec(t);
	itimers_free(__atomic_exchange_n(&t->tg->itimers, NULL, __ATOMIC_ACQ_REL));
}

/* ---- system calls --------------------------------------------------------------------------- */

static int event_check(struct task *t, const struct guest_sigevent *ev, struct posix_timer *p)
{
	p->notify = ev->notify;
	p->signo = ev->signo;
	p->value = ev->value;
	switch (ev->notify) {
	case SIGEV_NONE:
		return 0;
	case SIGEV_SIGNAL:
	case SIGEV_THREAD:
	case SIGEV_THREAD_ID:
		break;
	default:
		return -EINVAL;
	}
	if (ev->signo <= 0 || ev->signo > GUEST_NSIG)
		return -EINVAL;
	if (ev->notify != SIGEV_THREAD_ID)
		return 0;
	p->task = task_lookup(ev->tid);
	if (p->task && p->task->tg == t->tg)
		return 0;
	return -EINVAL;
}

static int timer_clock_resolve(struct task *t, int clock, struct cpu_clock *cpu)
{
	if (clock_is_cpu(clock))
		return cpu_clock_resolve(t, clock, cpu);
	if (clock == CLOCK_MONOTONIC_RAW || clock == CLOCK_MONOTONIC_COARSE ||
	    clock == CLOCK_REALTIME_COARSE)
		return -EOPNOTSUPP;
	if (!clock_can_wait(clock))
		return -EINVAL;
	if ((clock == CLOCK_REALTIME_ALARM || clock == CLOCK_BOOTTIME_ALARM) &&
	    !task_capable(t, CAP_WAKE_ALARM))
		return -EPERM;
	return 0;
}

static int posix_timer_new(struct task *t, int clock, struct posix_timer **out)
{
	struct cpu_clock cpu = {0};
	struct posix_timer *p;
	int err = timer_clock_resolve(t, clock, &cpu);

	if (err)
		return err;
	p = calloc(1, sizeof(*p));
	if (!p) {
		cpu_clock_put(&cpu);
		return -ENOMEM;
	}
	gtimer_init(&p->g, clock, &cpu, posix_timer_expire);
	ref_init(&p->ref);
	list_init(&p->node);
	p->tg = t->tg;
	*out = p;
	return 0;
}

int64_t sys_timer_create(struct task *t, int clock, struct gptr event, struct gptr timer)
{
	AUTO(timer) struct posix_timer *p = NULL;
	struct posix_timers *pt = table_of(t->tg);
	struct guest_sigevent ev = {.signo = SIGALRM, .notify = SIGEV_SIGNAL};
	int err;

	if (!pt)
		return -ENOMEM;
	if (!gptr_null(event)) {
		err = get_guest(t, &ev, event);
		if (err)
			return err;
	}
	err = posix_timer_new(t, clock, &p);
	if (!err)
		err = event_check(t, &ev, p);
	if (!err)
		err = table_insert(pt, p, task_rlimit(t, RLIMIT_SIGPENDING));
	if (err)
		return err;
	if (gptr_null(event))
		p->value = (uint64_t)p->id;
	err = put_guest_u32(t, timer, (uint32_t)p->id);
	if (err)
		timer_put(table_remove(pt, p));
	return err;
}

int64_t sys_timer_settime(struct task *t, int timer, int flags, struct gptr value, struct gptr old)
{
	AUTO(timer) struct posix_timer *p = NULL;
	struct gtimer_value was;
	uint64_t ns, interval;
	int err;

	if (gptr_null(value))
		return -EINVAL;
	err = get_guest_itimerspec(t, value, &ns, &interval);
	if (err)
		return err;
	p = timer_lookup(t, timer);
	if (!p)
		return -EINVAL;
	gtimer_set(&p->g, ns, interval, flags & TIMER_ABSTIME, &was);
	atomic_store(&p->overrun, 0);
	return gptr_null(old) ? 0 : put_guest_itimerspec(t, old, &was);
}

int64_t sys_timer_gettime(struct task *t, int timer, struct gptr value)
{
	AUTO(timer) struct posix_timer *p = timer_lookup(t, timer);
	struct gtimer_value v;

	if (!p)
		return -EINVAL;
	v = gtimer_get(&p->g);
	return put_guest_itimerspec(t, value, &v);
}

int64_t sys_timer_getoverrun(struct task *t, int timer)
{
	AUTO(timer) struct posix_timer *p = timer_lookup(t, timer);

	return p ? atomic_load(&p->overrun) : -EINVAL;
}

int64_t sys_timer_delete(struct task *t, int timer)
{
	AUTO(timer) struct posix_timer *p = timer_lookup(t, timer);

	if (!p)
		return -EINVAL;
	timer_put(table_remove(table_peek(t->tg), p));
	return 0;
}
