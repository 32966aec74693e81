/* Signals: signal(7), sigaction(2), sigqueue(3). Dispositions are shared by CLONE_SIGHAND, shared
 * pending signals belong to the thread group, private ones to the task. All protected by
 * kernel->tasks_lock; a task's own mask is written only by itself (read by others under the lock). */
#pragma once

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

#include "abi/base/gptr.h"
#include "abi/base/list.h"
#include "abi/base/ref.h"

struct cred;
struct task;
struct thread_group;

typedef uint64_t sigset64; /* bit n-1 is signal n */

#define GUEST_NSIG 64
#define SIGBIT(sig) (1ULL << ((sig)-1))
#define SIGSET_UNBLOCKABLE (SIGBIT(SIGKILL) | SIGBIT(SIGSTOP))

/* What a guest's siginfo_t holds, 128 bytes, as the ABI lays it out (abi/linux/signal.h). */
struct guest_siginfo {
	int32_t si_signo, si_errno, si_code, pad;
	union {
		struct { int32_t pid; uint32_t uid; uint64_t value; } rt;	/* kill, sigqueue, mq */
		struct { int32_t timerid, overrun; uint64_t value; } timer;
		struct { int32_t pid; uint32_t uid; int32_t status; int32_t pad; int64_t utime, stime; } chld;
		struct { uint64_t addr; int16_t addr_lsb; } fault;
		struct { int64_t band; int32_t fd; } poll;
		struct { uint64_t call_addr; int32_t syscall; uint32_t arch; } sys;
		uint8_t raw[112];
	};
};
_Static_assert(sizeof(struct guest_siginfo) == 128, "siginfo_t is 128 bytes");

struct sigaction_guest {
	uint64_t handler, flags, restorer;
	sigset64 mask;
};

struct sighand {
	struct ref ref;
	struct sigaction_guest action[GUEST_NSIG]; /* [signo-1] */
};

struct sigpending {
	sigset64 set;
	struct list queue; /* of struct sigqueue_entry, in order of arrival */
};

/* Senders. info->si_signo is the signal. They take tasks_lock; the _locked ones need it. All wake
 * or interrupt who should see the signal. -EAGAIN when RLIMIT_SIGPENDING is exhausted (realtime). */
int signal_send_task(struct task *t, const struct guest_siginfo *info);
int signal_send_group(struct thread_group *tg, const struct guest_siginfo *info);
int signal_send_task_locked(struct task *t, const struct guest_siginfo *info);
int signal_send_group_locked(struct thread_group *tg, const struct guest_siginfo *info);
/* The same, of a timer that counts CPU time: rather to the task that has used it. */
int signal_send_runner_locked(struct thread_group *tg, const struct guest_siginfo *info);
/* SI_KERNEL signal to all of a process group (tty, SIGHUP on orphaned groups ...). */
struct pgrp;
int signal_send_pgrp_locked(struct pgrp *pg, const struct guest_siginfo *info);
/* A fault of the task's own (synchronous): forced, unblocked, to the default if ignored. */
void signal_force(struct task *t, const struct guest_siginfo *info);
void siginfo_kernel(struct guest_siginfo *out, int signo);		  /* SI_KERNEL */
void siginfo_user(struct guest_siginfo *out, int signo, struct task *sender); /* SI_USER */
/* kill(2)'s rule. */
bool signal_may_send(const struct cred *sender, struct task *target, int signo);

/* Is there something for t to do before it returns to user mode (deliverable signal, stop, kill)? Lock-free:
 * reads t->work. */
bool signal_pending(struct task *t);
/* Replaces the blocked mask of the current task, and rechecks. */
void signal_set_mask(struct task *t, sigset64 mask);
/* For sigsuspend, ppoll, pselect, epoll_pwait: sets `mask` for the duration of the call; the old one is restored at the
 * return to user mode, after the handler's frame was built. */
void signal_set_temporary_mask(struct task *t, sigset64 mask);
/* Takes a pending signal of `set` off t's queues (sigtimedwait, signalfd): the signal number, or 0. */
int signal_dequeue(struct task *t, sigset64 set, struct guest_siginfo *out);
/* The queue signalfd and sigtimedwait wait on: woken with POLLIN at each new signal for t. */
struct waitq;
struct waitq *signal_waitq(struct task *t);
/* The exit path of each run: delivers signals, does stops and group exit; sets up handler frames, handles restarts.
 * `result`: of the system call that just ended, or INT64_MIN after a fault or interrupt.
 * Returns false when the task must exit. */
bool signal_return_to_user(struct task *t, int64_t result);
