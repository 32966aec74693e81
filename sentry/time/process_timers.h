/* What a process's life does to its timers. Hold no lock. */
#pragma once

struct guest_siginfo;
struct thread_group;

/* execve(2): POSIX timers go, interval timers stay. */
void process_timers_exec(struct thread_group *tg);
/* The last thread of the process is gone (or almost): all timers go. */
void process_timers_exit(struct thread_group *tg);
/* A signal with si_code SI_TIMER is being taken off a queue of tg: fills in how often the timer has
 * expired since. May be called under tasks_lock. */
void posix_timer_dequeued(struct thread_group *tg, struct guest_siginfo *info);
