/* Tracing of guest system calls in the manner of strace(1), from inside the sentry: the lines go to
 * a descriptor of the host, one write a line.
 *
 * The functions are called on the sentry thread of the task they are about, which holds no lock of
 * address spaces or below;
 * they read guest memory and never fail: what can't be read is printed as an address. */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct guest_siginfo;
struct task;

/* fd: where lines go, not owned; -1 turns tracing off. string_limit: bytes shown of a buffer or
 * string; 0 for the default of 32. Before the first task starts. */
void strace_init(int fd, size_t string_limit);

extern atomic_bool strace_on;

static inline bool strace_enabled(void)
{
	return atomic_load_explicit(&strace_on, memory_order_relaxed);
}

/* Around one system call, printed as one line at its exit; in two, with <unfinished ...>, when
 * strace_sleep() was called in between. exit and exit_group print at their entry. */
void strace_enter(struct task *t, uint64_t nr, const uint64_t args[6]);
/* The task goes to sleep in the call: what is known of it is printed. May be called again. */
void strace_sleep(struct task *t);
void strace_exit(struct task *t, uint64_t nr, const uint64_t args[6], int64_t result);
/* A signal is about to be delivered: --- SIGSEGV {si_signo=SIGSEGV, ...} --- */
void strace_signal(struct task *t, const struct guest_siginfo *info);
/* The task is gone, wait_status as for wait4(2): +++ exited with 0 +++, +++ killed by SIGKILL +++ */
void strace_exited(struct task *t, int wait_status);
