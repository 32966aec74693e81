/* fork(2) into namespaces: the child is one process and not two, as it would be with unshare(2), since a pid
 * namespace begins with the next child of who asks for it. Its parent maps its ids meanwhile: it waits at a gate. */
#pragma once

#include <stdint.h>
#include <sys/types.h>

/* An eventfd, and a pipe that tells the child of its parent's end. A byte in the pipe would do, but for the
 * scheduler: who is woken by one is expected to follow the writer on its CPU, where both would wait for each other. */
struct gate {
	int event, alive[2];
};

int gate_init(struct gate *g);
/* In the child: what gate_open() was given, or -EPIPE if the parent ended or gave up. Closes the gate. */
int64_t gate_wait(struct gate *g);
/* In the parent. what > 0; 0: it gives up. Closes the gate. */
void gate_open(struct gate *g, uint32_t what);

/* flags: CLONE_NEW*. To be called by a process with one thread. 0 in the child, the child's pid, or -errno. */
pid_t process_clone(unsigned long flags);

/* A new process begins on its parent's CPU, as a rule, however idle others are, and waits there until the parent
 * sleeps. This one begins on another, if there is one; to be called before it changes its ids. */
void process_send_away(pid_t pid);

/* Room for some thousands of descriptors in this process's table. To be called while it has one thread: a table that
 * grows in a process with several waits for an RCU grace period, 5-20 ms, in whatever call took the descriptor. */
void process_reserve_descriptors(void);
