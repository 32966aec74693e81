/* The pid table: an array, since numbers are dense and few; pages of it that are never used are
 * never touched. */
#include <errno.h>
#include <stdlib.h>

#include "sentry/kernel/kernel.h"
#include "sentry/kernel/pid.h"
#include "sentry/kernel/session.h"
#include "sentry/kernel/task.h"

/* Where numbers start again after a wrap: low ones stay with the first processes. */
#define PID_RESERVED 300

int pid_ns_init(struct pid_ns **out)
{
	struct pid_ns *ns = calloc(1, sizeof(*ns));

	if (!ns)
		return -ENOMEM;
	ns->slots = calloc(PID_MAX_DEFAULT, sizeof(*ns->slots));
	if (!ns->slots) {
		free(ns);
		return -ENOMEM;
	}
	*out = ns;
	return 0;
}

static bool slot_free(const struct pid_slot *s)
{
	return !s->task && !s->pgrp && !s->session && !s->reserved;
}

int pid_alloc_locked(void)
{
	struct pid_ns *ns = kernel->root_pid_ns;
	int pid = ns->last;

	for (int i = 0; i < PID_MAX_DEFAULT; i++) {
		pid++;
		if (pid >= PID_MAX_DEFAULT)
			pid = PID_RESERVED;
		if (slot_free(&ns->slots[pid])) {
			ns->slots[pid].reserved = true;
			ns->last = pid;
			if (pid > ns->highest)
				ns->highest = pid;
			return pid;
		}
	}
	return -EAGAIN;
}

struct pid_slot *pid_slot_locked(int pid)
{
	if (pid <= 0 || pid >= PID_MAX_DEFAULT)
		return NULL;
	return &kernel->root_pid_ns->slots[pid];
}

void pid_unreserve_locked(int pid)
{
	struct pid_slot *s = pid_slot_locked(pid);

	if (s)
		s->reserved = false;
}

struct task *task_lookup_locked(int tid)
{
	struct pid_slot *s = pid_slot_locked(tid);

	return s ? s->task : NULL;
}

struct task *task_lookup(int tid)
{
	AUTO_LOCK(&kernel->tasks_lock);
	struct task *t = task_lookup_locked(tid);

	return t ? task_get(t) : NULL;
}

struct thread_group *thread_group_lookup_locked(int tgid)
{
	struct task *t = task_lookup_locked(tgid);

	return t && t->tg->leader == t ? t->tg : NULL;
}

void task_each_locked(bool (*fn)(struct task *t, void *ctx), void *ctx)
{
	for (int i = 1; i <= kernel->root_pid_ns->highest; i++) {
		struct task *t = kernel->root_pid_ns->slots[i].task;

		if (t && !fn(t, ctx))
			return;
	}
}
