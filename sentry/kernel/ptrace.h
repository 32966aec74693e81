/* ptrace(2): the tracee's stops, and who traces whom. The requests are in
 * sentry/syscalls/process_ptrace.c; ptrace.c has the theory. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "abi/base/list.h"
#include "sentry/kernel/signal.h"

struct mm;
struct ptrace_write;
struct task;
struct thread_group;

enum ptrace_resume { RESUME_CONT, RESUME_SYSCALL, RESUME_STEP, RESUME_SYSEMU, RESUME_SYSEMU_STEP };
enum ptrace_phase { PHASE_NONE, PHASE_ENTRY, PHASE_EXIT, PHASE_SECCOMP };

/* What a traced task has; all under tasks_lock. */
struct ptrace {
	struct task *tracer;	/* borrowed: it detaches before it is gone */
	struct task *tracee;	/* whose this is */
	struct list node;	/* of tracer->tracees */
	uint64_t options;	/* PTRACE_O_* */
	bool seized;
	bool interrupt;		/* PTRACE_INTERRUPT, or a seized child's first stop */
	bool listening;		/* PTRACE_LISTEN: stopped, but wait(2) and SIGCONT see it */
	enum ptrace_resume resume;
	bool stepping;		/* we have set the trap flag */

	bool stopped;
	bool reported;		/* to wait(2) */
	int code;		/* of the stop: signal | event << 8 */
	int inject;		/* what the tracer resumed it with */
	enum ptrace_phase phase;
	uint64_t message;	/* PTRACE_GETEVENTMSG */
	struct guest_siginfo info;
	struct ptrace_write *write; /* the tracer waits for the tracee to do it */
};

/* ---- attaching; tasks_lock ------------------------------------------------------------------ */

/* -EPERM: traced already; -ENOMEM. */
int ptrace_attach_locked(struct task *tracer, struct task *t, uint64_t options, bool seized);
/* Runs on, with the signal unless it is 0. t may be a zombie. */
void ptrace_detach_locked(struct task *t, int signo);
/* The tracer exits: its tracees run free, or die with it (PTRACE_O_EXITKILL). */
void ptrace_tracer_exit_locked(struct task *tracer);
/* Lets a stopped tracee go on. */
void ptrace_resume_locked(struct task *t, enum ptrace_resume how, int signo);
/* Writes to memory that its owner may not write: breakpoints in text. Only a thread of the address
 * space can open it for the moment, so a stopped tracee of `tracer` that has mm does it. Bytes, or
 * -EFAULT. Must hold no lock. */
ssize_t ptrace_write_through(struct task *tracer, struct mm *mm, struct gptr dst, const void *src,
			     size_t n);
/* The process id of t's tracer, or 0. */
int ptrace_tracer_locked(const struct task *t);

/* ---- the tracee's side; owner --------------------------------------------------------------- */

/* Around a system call. enter: false when the call is to be left out (*result is what the guest
 * gets); nr and args are what the tracer made of them. */
bool ptrace_syscall_enter(struct task *t, uint64_t *nr, uint64_t args[6], int64_t *result);
void ptrace_syscall_exit(struct task *t, int64_t *result);
/* A signal is about to be delivered: the one that the tracer wants instead, 0 for none; *info goes
 * with it. tasks_lock, dropped meanwhile. */
int ptrace_signal_locked(struct task *t, int signo, struct guest_siginfo *info);
/* Stops of a group stop and of PTRACE_INTERRUPT. tasks_lock, dropped meanwhile. */
void ptrace_group_stop_locked(struct task *t, int signo);
bool ptrace_wants_stop_locked(const struct task *t);
/* PTRACE_EVENT_<event> with its message, if the tracer asked for it. */
bool ptrace_event(struct task *t, int event, uint64_t message);
void ptrace_exec(struct task *t, int old_tid);
void ptrace_exit(struct task *t);
/* After clone: which event the parent reports, and the child's tracer. c is not running yet. */
int ptrace_clone_event(struct task *t, uint64_t clone_flags, int exit_signal);
void ptrace_clone_child_locked(struct task *t, struct task *c, bool forced, int event);
/* Sets the trap flag before guest code runs, if t single-steps; takes it back after. */
void ptrace_before_run(struct task *t);
void ptrace_after_run(struct task *t);

/* ---- waiting; tasks_lock -------------------------------------------------------------------- */

/* A tracee that wasn't its group's leader has exited: what wait(2) says of it later. */
struct ptrace_note {
	struct list node; /* of the tracer's ptrace_notes */
	int tid;
	uint32_t uid;
	int status;
};
/* t leaves the list of live tasks. */
void ptrace_exit_note_locked(struct task *t);
/* A process whose leader is traced has ended: tells the tracer, unless that is the parent (false). */
bool ptrace_zombie_notify_locked(struct task *leader, const struct thread_group *parent);
