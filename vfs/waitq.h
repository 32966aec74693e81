/* The one wait-queue primitive: readiness of files, child exits, timers, futexes of the sentry.
 *
 * A waiter is a callback on a queue. Whoever changes the state wakes the queue with a mask of
 * POLL* events; each waiter whose interest meets the mask is called, under the queue's lock, so a
 * callback must not block or take a lock ranked before LOCK_WAITQ (waking a task is fine).
 *
 * The way to sleep (done by the sentry's system calls, never inside a file system):
 *	waitq_add(q, &w); for (;;) { r = op(); if (r != -EAGAIN) break; r = task_block(...); } 
 *	waitq_remove(q, &w);
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "abi/base/list.h"
#include "abi/base/lock.h"

struct waitq {
	struct mutex mu;
	struct list waiters;
};

struct waiter {
	struct list node;
	uint32_t events; /* interest: POLLIN, ...; POLLERR and POLLHUP are always added */
	void (*wake)(struct waiter *w, uint32_t events);
	struct waitq *q; /* the queue it is on, or NULL */
};

void waitq_init(struct waitq *q);
void waitq_destroy(struct waitq *q); /* must be empty */
void waitq_add(struct waitq *q, struct waiter *w);
void waitq_remove(struct waiter *w); /* fine when on none; no callback runs after the return */
void waitq_wake(struct waitq *q, uint32_t events);     /* all interested */
void waitq_wake_one(struct waitq *q, uint32_t events); /* the first interested (FIFO) */
bool waitq_active(struct waitq *q);

/* What waking a task costs (a call of the host) can wait until the queue's lock is free, so that
 * the task doesn't run into it: begin and end enclose each wake-up. Installed once, at start; they
 * nest. */
struct waitq_hooks {
	void (*begin)(void);
	void (*end)(void);
};
extern const struct waitq_hooks *waitq_hooks;
