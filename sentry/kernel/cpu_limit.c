/* A timer looks at the process's CPU time when, at the earliest, it can have reached the limit: if
 * all its threads were running all the time. A process without a limit has no timer. */
#include "sentry/kernel/cpu_limit.h"

#include <stdlib.h>
#include <sys/resource.h>

#include "sentry/kernel/task_impl.h"
#include "sentry/kernel/timer.h"

#define NS_PER_S 1000000000ULL
#define LOOK_MIN_NS 2000000ULL
#define LIMIT_MAX_S (UINT64_MAX / NS_PER_S)

struct cpu_limit {
	struct ktimer timer;
	struct thread_group *tg; /* borrowed: it ends us before it goes */
};

static uint64_t seconds_ns(uint64_t s)
{
	if (s == 0)
		s = 1; /* a limit of 0 is one second */
	return s < LIMIT_MAX_S ? s * NS_PER_S : UINT64_MAX;
}

/* Sends what is due; when to look again, or UINT64_MAX. tasks_lock. */
static uint64_t look_locked(struct thread_group *tg)
{
	struct rlimit64_guest *l = &tg->rlimits[RLIMIT_CPU];
	uint64_t soft = seconds_ns(l->cur), hard = seconds_ns(l->max), user, sys, used, left;
	struct guest_siginfo info;

	if ((soft == UINT64_MAX && hard == UINT64_MAX) || tg->ntasks == 0)
		return UINT64_MAX;
	thread_group_cpu_time_locked(tg, &user, &sys);
	used = user + sys;
	if (used >= hard) {
		task_group_exit_locked(tg, SIGKILL);
		return UINT64_MAX;
	}
	if (used >= soft) {
		siginfo_kernel(&info, SIGXCPU);
		signal_send_runner_locked(tg, &info);
		/* As Linux does: getrlimit shows it. */
		l->cur = used / NS_PER_S + 1;
		soft = seconds_ns(l->cur);
	}
	left = (soft < hard ? soft : hard) - used;
	left /= (unsigned)tg->ntasks < kernel->config.ncpus ? (unsigned)tg->ntasks :
							      kernel->config.ncpus;
	return now_mono_ns() + (left < LOOK_MIN_NS ? LOOK_MIN_NS : left);
}

/* Arming is done under tasks_lock while the group still has the limit: none comes after
 * cpu_limit_exit() has taken it away. */
static void limit_fire(struct ktimer *timer)
{
	struct cpu_limit *c = container_of(timer, struct cpu_limit, timer);
	uint64_t when;

	AUTO_LOCK(&kernel->tasks_lock);
	if (c->tg->cpu_limit != c)
		return;
	when = look_locked(c->tg);
	if (when != UINT64_MAX)
		ktimer_arm(&c->timer, when);
}

void cpu_limit_update(struct thread_group *tg)
{
	struct cpu_limit *fresh = NULL;

	if (tg->rlimits[RLIMIT_CPU].cur == RLIM64_INFINITY &&
	    tg->rlimits[RLIMIT_CPU].max == RLIM64_INFINITY)
		return;
	fresh = calloc(1, sizeof(*fresh));
	if (!fresh)
		return;
	ktimer_init(&fresh->timer, limit_fire);
	fresh->tg = tg;
	{
		AUTO_LOCK(&kernel->tasks_lock);
		if (!tg->cpu_limit && tg->ntasks > 0)
			tg->cpu_limit = steal(&fresh);
		if (tg->cpu_limit)
			ktimer_arm(&tg->cpu_limit->timer, now_mono_ns());
	}
	free(fresh);
}

void cpu_limit_exit(struct thread_group *tg)
{
	struct cpu_limit *c;

	{
		AUTO_LOCK(&kernel->tasks_lock);
		c = steal(&tg->cpu_limit);
	}
	if (!c)
		return;
	ktimer_cancel(&c->timer);
	free(c);
}
