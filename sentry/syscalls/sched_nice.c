/* Nice values and I/O priorities: getpriority(2), setpriority(2), ioprio_set(2). Each names one
 * task, a process group's or a user's. */
#include <errno.h>
#include <linux/capability.h>
#include <sys/resource.h>

#include "sentry/kernel/session.h"
#include "sentry/kernel/task_impl.h"
#include "sentry/syscalls/syscalls.h"

#define IOPRIO_WHO_PROCESS 1
#define IOPRIO_CLASS(v) ((v) >> 13)

struct each {
	struct task *self;
	int value, result;
	uint32_t uid;
	void (*fn)(struct task *o, struct each *e);
};

static bool each_of_user(struct task *o, void *ctx)
{
	struct each *e = ctx;

	if (o->cred->uid == e->uid && o->sighand)
		e->fn(o, e);
	return true;
}

/* which: PRIO_PROCESS, PRIO_PGRP, PRIO_USER. */
static int each_locked(struct task *t, int which, int who, struct each *e)
{
	struct task *o;
	struct pgrp *p;

	switch (which) {
	case PRIO_PROCESS:
		o = who ? task_lookup_locked(who) : t;
		if (o)
			e->fn(o, e);
		return 0;
	case PRIO_PGRP:
		p = who ? pgrp_lookup_locked(who) : t->tg->pgrp;
		if (!p)
			return 0;
		list_for_each(tg, &p->members, struct thread_group, pgrp_node)
			list_for_each(m, &tg->tasks, struct task, tg_node)
				e->fn(m, e);
		return 0;
	case PRIO_USER:
		e->uid = who ? (uint32_t)who : t->cred->uid;
		task_each_locked(each_of_user, e);
		return 0;
	}
	return -EINVAL;
}

static void priority_get(struct task *o, struct each *e)
{
	int v = 20 - o->nice;

	if (v > e->result)
		e->result = v;
}

int64_t sys_getpriority(struct task *t, int which, int who)
{
	struct each e = {.self = t, .result = -ESRCH, .fn = priority_get};
	int err;

	AUTO_LOCK(&kernel->tasks_lock);
	err = each_locked(t, which, who, &e);
	return err < 0 ? err : e.result;
}

static void priority_set(struct task *o, struct each *e)
{
	const struct cred *c = e->self->cred;
	bool may = cred_capable(c, CAP_SYS_NICE);

	if (!may && o->cred->uid != c->euid && o->cred->euid != c->euid) {
		e->result = -EPERM;
		return;
	}
	if (!may && e->value < o->nice &&
	    (uint64_t)(20 - e->value) > o->tg->rlimits[RLIMIT_NICE].cur) {
		e->result = -EACCES;
		return;
	}
	if (e->result == -ESRCH)
		e->result = 0;
	o->nice = e->value;
}

int64_t sys_setpriority(struct task *t, int which, int who, int prio)
{
	struct each e = {.self = t, .result = -ESRCH, .fn = priority_set};
	int err;

	e.value = prio < -20 ? -20 : prio > 19 ? 19 : prio;
	AUTO_LOCK(&kernel->tasks_lock);
	err = each_locked(t, which, who, &e);
	return err < 0 ? err : e.result;
}

/* ---- I/O priority --------------------------------------------------------------------------- */

static void ioprio_set_one(struct task *o, struct each *e)
{
	const struct cred *c = e->self->cred;

	if (o->cred->uid != c->euid && o->cred->uid != c->uid && !cred_capable(c, CAP_SYS_NICE)) {
		e->result = -EPERM;
		return;
	}
	o->ioprio = e->value;
	if (e->result == -ESRCH)
		e->result = 0;
}

static void ioprio_get_one(struct task *o, struct each *e)
{
	/* The best is the lowest number, "none" (0) counts as the default's. */
	int v = o->ioprio;

	if (e->result == -ESRCH || (v && v < e->result))
		e->result = v;
}

static int ioprio_check(struct task *t, int v)
{
	switch (IOPRIO_CLASS(v)) {
	case 0:
		return v & 0x1fff ? -EINVAL : 0;
	case 1:
		if (!task_capable(t, CAP_SYS_ADMIN) && !task_capable(t, CAP_SYS_NICE))
			return -EPERM;
		return (v & 7) > 7 ? -EINVAL : 0;
	case 2:
	case 3:
		return 0;
	}
	return -EINVAL;
}

int64_t sys_ioprio_set(struct task *t, int which, int who, int ioprio)
{
	struct each e = {.self = t, .value = ioprio, .result = -ESRCH, .fn = ioprio_set_one};
	int err = ioprio_check(t, ioprio);

	if (err < 0)
		return err;
	AUTO_LOCK(&kernel->tasks_lock);
	err = each_locked(t, which - IOPRIO_WHO_PROCESS, who, &e);
	return err < 0 ? err : e.result;
}

int64_t sys_ioprio_get(struct task *t, int which, int who)
{
	struct each e = {.self = t, .result = -ESRCH, .fn = ioprio_get_one};
	int err;

	AUTO_LOCK(&kernel->tasks_lock);
	err = each_locked(t, which - IOPRIO_WHO_PROCESS, who, &e);
	return err < 0 ? err : e.result;
}
