/* getitimer(2), setitimer(2), alarm(2). */
#include <errno.h>
#include <stdlib.h>
#include <sys/time.h>

#include "sentry/kernel/kernel.h"
#include "sentry/kernel/signal.h"
#include "sentry/kernel/task.h"
#include "sentry/mm/usercopy.h"
#include "sentry/syscalls/syscalls.h"
#include "sentry/time/clock.h"
#include "sentry/time/gtimer.h"
#include "sentry/time/time_impl.h"

struct itimer {
	struct gtimer g;
	struct thread_group *tg; /* the owner */
	int signo;
};

struct itimers {
	struct itimer t[3]; /* ITIMER_REAL, ITIMER_VIRTUAL, ITIMER_PROF */
};

static void itimer_expire(struct gtimer *g, uint64_t n)
{
	struct itimer *it = container_of(g, struct itimer, g);
	struct guest_siginfo info;

	siginfo_kernel(&info, it->signo);
	AUTO_LOCK(&kernel->tasks_lock);
	if (it->signo == SIGALRM)
		signal_send_group_locked(it->tg, &info);
	else
		signal_send_runner_locked(it->tg, &info);
}

static struct itimers *itimers_new(struct thread_group *tg)
{
	static const int signo[3] = {SIGALRM, SIGVTALRM, SIGPROF};
	const struct cpu_clock cpu[3] = {
		[ITIMER_VIRTUAL] = {.tg = tg, .kind = CPU_CLOCK_VIRT},
		[ITIMER_PROF] = {.tg = tg, .kind = CPU_CLOCK_PROF},
	};
	struct itimers *its = calloc(1, sizeof(*its));

	for (int i = 0; its && i < 3; i++) {
		gtimer_init(&its->t[i].g, CLOCK_MONOTONIC, i == ITIMER_REAL ? NULL : &cpu[i],
			    itimer_expire);
		its->t[i].tg = tg;
		its->t[i].signo = signo[i];
	}
	return its;
}

void itimers_free(struct itimers *its)
{
	if (!its)
		return;
	for (int i = 0; i < 3; i++)
		gtimer_destroy(&its->t[i].g);
	free(its);
}

static struct itimers *itimers_peek(struct thread_group *tg)
{
	return __atomic_load_n(&tg->itimers, __ATOMIC_ACQUIRE);
}

/* Made by the first setitimer; NULL: no memory. */
static struct itimers *itimers_of(struct thread_group *tg)
{
	struct itimers *its = itimers_peek(tg), *made;

	if (its)
		return its;
	made = itimers_new(tg);
	if (!made)
		return NULL;
	if (__atomic_compare_exchange_n(&tg->itimers, &its, made, false, __ATOMIC_ACQ_REL,
					__ATOMIC_ACQUIRE))
		return made;
	itimers_free(made);
	return its;
}

/* Rounded up: an armed timer never shows zero. */
static struct timeval ns_to_timeval(uint64_t ns)
{
	uint64_t us = ns / 1000 + (ns % 1000 != 0);

	return (struct timeval){(time_t)(us / 1000000), (suseconds_t)(us % 1000000)};
}

static bool timeval_to_ns(const struct timeval *tv, uint64_t *ns)
{
	struct timespec ts;

	if (tv->tv_sec < 0 || tv->tv_usec < 0 || tv->tv_usec >= 1000000)
		return false;
	ts = (struct timespec){tv->tv_sec, tv->tv_usec * 1000};
	*ns = timespec_to_ns(&ts);
	return true;
}

static int put_itimerval(struct task *t, struct gptr dst, const struct gtimer_value *v)
{
	struct itimerval itv = {ns_to_timeval(v->interval), ns_to_timeval(v->left)};

	return put_guest(t, dst, &itv);
}

int64_t sys_getitimer(struct task *t, int which, struct gptr value)
{
	struct gtimer_value v = {0, 0};
	struct itimers *its;

	if (which < ITIMER_REAL || which > ITIMER_PROF)
		return -EINVAL;
	its = itimers_peek(t->tg);
	if (its)
		v = gtimer_get(&its->t[which].g);
	return put_itimerval(t, value, &v);
}

static int itimer_set(struct task *t, int which, uint64_t value, uint64_t interval,
		      struct gtimer_value *old)
{
	struct itimers *its = itimers_peek(t->tg);

	*old = (struct gtimer_value){0, 0};
	if (!its && !value)
		return 0;
	its = itimers_of(t->tg);
	if (!its)
		return -ENOMEM;
	gtimer_set(&its->t[which].g, value, interval, false, old);
	return 0;
}

int64_t sys_setitimer(struct task *t, int which, struct gptr value, struct gptr old)
{
	struct itimerval itv = {0};
	uint64_t ns, interval;
	struct gtimer_value was;
	int err;

	/* A missing value counts as zero, an old habit of Linux. */
	if (!gptr_null(value)) {
		err = get_guest(t, &itv, value);
		if (err)
			return err;
	}
	if (which < ITIMER_REAL || which > ITIMER_PROF ||
	    !timeval_to_ns(&itv.it_value, &ns) || !timeval_to_ns(&itv.it_interval, &interval))
		return -EINVAL;
	err = itimer_set(t, which, ns, ns ? interval : 0, &was);
	if (err || gptr_null(old))
		return err;
	return put_itimerval(t, old, &was);
}

int64_t sys_alarm(struct task *t, unsigned int seconds)
{
	struct gtimer_value was;
	uint64_t left;
	int err = itimer_set(t, ITIMER_REAL, seconds * NSEC_PER_SEC, 0, &was);

	if (err)
		return err;
	/* Rounded to the nearest second, but an alarm that is set never counts as none. */
	left = (was.left + NSEC_PER_SEC / 2) / NSEC_PER_SEC;
	return was.left && !left ? 1 : (int64_t)left;
}
