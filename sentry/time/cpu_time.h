/* Clocks that show CPU time of tasks and processes (clock_getcpuclockid(3)). */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct task;
struct thread_group;

/* What a CPU clock counts: PROF and SCHED all time, VIRT that in user mode. */
enum cpu_clock_kind { CPU_CLOCK_PROF = 0, CPU_CLOCK_VIRT = 1, CPU_CLOCK_SCHED = 2 };

/* Whose clock it is. One of the two is set, with a reference. */
struct cpu_clock {
	struct thread_group *tg;
	struct task *task;
	enum cpu_clock_kind kind;
};

/* Resolves a clock id of clock_is_cpu() for t: own (0, or id 2 and 3) or another process's, or a thread
 * of the own process. -EINVAL. */
int cpu_clock_resolve(struct task *t, int clock, struct cpu_clock *out);
void cpu_clock_put(struct cpu_clock *c);
/* ns; what the dead used still counts. Takes tasks_lock for a process. */
uint64_t cpu_clock_now(const struct cpu_clock *c);
/* How many threads make it advance: so much faster than real time it may run. */
unsigned cpu_clock_rate(const struct cpu_clock *c);

int cpu_clock_read(struct task *t, int clock, uint64_t *ns);
