/* One timer heap for the whole sentry, served by one host thread that sleeps until the next
 * deadline: nanosleep's deadlines don't need it (task_block), but timerfd, itimers, POSIX timers,
 * alarm and --timeout do. Callbacks run on that thread with no lock held; they must not block. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "abi/base/rbtree.h"

struct task;

struct ktimer {
	struct rb_node node;
	uint64_t deadline_ns; /* absolute host CLOCK_MONOTONIC; protected by the heap's lock */
	bool armed; /* protected by the heap's lock */
	void (*fn)(struct ktimer *t);
};

void ktimer_init(struct ktimer *t, void (*fn)(struct ktimer *t));
/* (Re)arms; a deadline in the past fires soon. */
void ktimer_arm(struct ktimer *t, uint64_t deadline_ns);
/* Disarms without waiting: fn may still be running. Any lock before LOCK_TIMER. */
void ktimer_disarm(struct ktimer *t);
/* Disarms; on return fn is not running and will not (unless called from fn itself). */
void ktimer_cancel(struct ktimer *t);
/* Starts the thread now; else the first ktimer_arm() does. 0 or -errno. */
int ktimer_start_thread(void);

struct guest_siginfo;
struct task;
struct thread_group;

/* The last task of a process exits: frees tg->itimers and tg->posix_timers. No lock held. */
void thread_group_timers_exit(struct task *t);
/* exec: POSIX timers are deleted, interval timers go on (execve(2)). */
void thread_group_timers_exec(struct task *t);
/* A signal with si_code SI_TIMER is being taken off a queue of tg: fills in how often the timer has
 * expired since. tasks_lock may be held. */
void posix_timer_dequeued(struct thread_group *tg, struct guest_siginfo *info);
