/* Process ids: one table for tasks, process groups and sessions, since a number is free only when none of
 * the three uses it. All under kernel->tasks_lock. */
#pragma once

#include <stdbool.h>

struct pgrp;
struct session;
struct task;

#define PID_MAX_DEFAULT 32768

struct pid_slot {
	struct task *task;	 /* owns a reference */
	struct pgrp *pgrp;	 /* borrowed */
	struct session *session; /* borrowed */
	bool reserved;		 /* allocated, its task is not in the table yet */
};

struct pid_ns {
	struct pid_slot *slots; /* [PID_MAX_DEFAULT] */
	int last;		/* the number given out last */
	int highest;		/* ever given out: where walks of the table end */
};

int pid_ns_init(struct pid_ns **out);
/* A free number, reserved: or -EAGAIN. */
int pid_alloc_locked(void);
/* NULL for a number out of range. */
struct pid_slot *pid_slot_locked(int pid);
/* Gives back what pid_alloc_locked() reserved and nothing used. */
void pid_unreserve_locked(int pid);
