/* fork(2) into namespaces: the child is one process and not two, as it would be with unshare(2), since a pid
 * namespace begins with the next child of who asks for it. Its parent maps its ids meanwhile: it waits at a gate. */
#pragma once

#include <sched.h>
#include <stdint.h>
#include <sys/types.h>

/* An eventfd, and a pipe that tells the child of its parent's end. A byte in the pipe would do, but for the
 * scheduler: who is woken by one is expected to follow the writer on its CPU, where both would wait for each other. */
struct gate {
	int event, alive[2];
	cpu_set_t cpus; /* where parent and child may run; empty: not known */
};

int gate_init(struct gate *g);
/* In the child: what gate_open() was given, or -EPIPE if the parent ended or gave up. Closes the gate. */
int64_t gate_wait(struct gate *g);
/* In the parent: the child is to go on through the gate on another CPU than this one, if there is one. Left to the
 * scheduler, it often waits here until the parent sleeps, however idle others are: virtual CPUs that are halted look
 * taken away. To be called before the child changes its ids. */
void gate_place(const struct gate *g, pid_t child);
/* In the parent. what > 0; 0: it gives up. Closes the gate. */
void gate_open(struct gate *g, uint32_t what);

/* flags: CLONE_NEW*. To be called by a process with one thread. 0 in the child, the child's pid, or -errno. */
pid_t process_clone(unsigned long flags);

/* Room for some thousands of descriptors in this process's table. To be called while it has one thread: a table that
 * grows in a process with several waits for an RCU grace period, 5-20 ms, in whatever call took the descriptor. */
void process_reserve_descriptors(void);
