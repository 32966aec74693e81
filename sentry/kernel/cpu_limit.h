/* RLIMIT_CPU: SIGXCPU every second beyond the soft limit, SIGKILL at the hard one (getrlimit(2)). */
#pragma once

struct cpu_limit;
struct thread_group;

/* The group has a limit that may be new: watches it. No lock held. Out of memory: not enforced. */
void cpu_limit_update(struct thread_group *tg);
/* The last task exits. No lock held. */
void cpu_limit_exit(struct thread_group *tg);
