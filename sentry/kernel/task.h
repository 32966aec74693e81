/* Tasks (guest threads) and thread groups (guest processes).
 *
 * Each task has a sentry thread S that runs task_main(): run guest code, handle the event, deliver
 * signals, again. "Owner only" fields are touched by that thread alone. The lock of the tree (parents, children,
 * groups, sessions, signal state, exit state) is kernel->tasks_lock.
 *
 * References: the pid table holds one until the task is reaped, the running S thread holds one. A
 * task found by pid is referenced (task_get) before tasks_lock is dropped. */
#pragma once

#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "abi/base/cleanup.h"
#include "abi/base/gptr.h"
#include "abi/base/list.h"
#include "abi/base/lock.h"
#include "abi/base/ref.h"
#include "platform/platform.h"
#include "sentry/kernel/signal.h"
#include "vfs/cred.h"
#include "vfs/waitq.h"
#include "vfs/walk.h"

struct fdtable;
struct file;
struct fs_context;
struct ipc_ns;
struct itimers;
struct mm;
struct mount_ns;
struct pgrp;
struct pid_ns;
struct posix_timers;
struct session;
struct tty;
struct uts_ns;

struct rlimit64_guest {
	uint64_t cur, max;
};
#define GUEST_NRLIMITS 16

/* A process. */
struct thread_group {
	struct ref ref;
	int tgid;			/* as the root pid namespace sees it */
	struct task *leader;		/* tasks_lock */
	struct list tasks;		/* of task->tg_node; tasks_lock */
	int ntasks;			/* live ones; tasks_lock */
	struct pgrp *pgrp;		/* tasks_lock; owned; its session is pgrp->session */
	struct list pgrp_node;
	struct task *parent;		/* tasks_lock: the task whose child the leader is */
	struct list children;		/* of child->tg sibling; tasks_lock */
	struct list sibling;
	struct waitq child_waitq;	/* woken when a child changes state */
	struct sigpending pending;	/* shared; tasks_lock */
	struct waitq signal_waitq;
	int exit_signal;		/* tasks_lock: to the parent; 0: none */
	bool exiting;			/* group exit has begun; exit_status holds what it will be */
	int exit_status;		/* wait status */
	int stop_signal;		/* group stop: what stopped it; 0 when running */
	bool stopped, stop_reported, continued, continue_reported;
	bool is_child_subreaper, has_execed, dumpable;
	int pdeathsig_unused;
	struct rlimit64_guest rlimits[GUEST_NRLIMITS]; /* tasks_lock for writing */
	struct mutex exec_lock;		/* LOCK_EXEC: exec against clone of a thread, ptrace attach */
	struct itimers *itimers;	/* sentry/time; created on demand */
	struct posix_timers *posix_timers;
	/* CPU time of dead threads and of waited-for children; ns; tasks_lock */
	uint64_t dead_utime, dead_stime, child_utime, child_stime;
	uint64_t start_ns;		/* since boot */
	int oom_score_adj;
	int nice;
};

enum task_state { TASK_RUNNING, TASK_SLEEPING, TASK_STOPPED, TASK_ZOMBIE, TASK_DEAD };

struct task {
	struct ref ref;
	int tid;
	struct thread_group *tg;	/* immutable but for exec by a non-leader; owned */
	struct list tg_node;
	_Atomic int state;		/* enum task_state, for /proc */
	struct pf_thread *pt;		/* owner only */

	/* owner only for writing; others read them under tasks_lock and take a reference */
	struct mm *mm;			/* NULL once exited */
	struct fdtable *files;
	struct fs_context *fs;
	struct cred *cred;
	struct mount_ns *mount_ns;
	struct uts_ns *uts_ns;
	struct ipc_ns *ipc_ns;

	/* signals; tasks_lock, but see signal.h */
	struct sighand *sighand;
	struct sigpending pending;
	_Atomic sigset64 blocked;
	sigset64 saved_mask;		/* owner: for signal_set_temporary_mask */
	bool has_saved_mask;
	uint64_t altstack_sp, altstack_size; /* owner */
	int altstack_flags;
	_Atomic bool work;		/* signal_pending(): something to do before user mode */
	_Atomic bool killed;		/* SIGKILL or group exit: only exit is left */

	/* sleeping: the futex word that task_block() waits on; others bump it */
	_Atomic uint32_t wake_seq;
	struct waiter wait_unused;

	/* system call in progress; owner */
	uint64_t sys_nr, sys_args[6];
	bool in_syscall;
	/* restart_syscall(2): what to call again after ERESTART_RESTARTBLOCK */
	int64_t (*restart)(struct task *t);
	uint64_t restart_args[6];

	/* at exit and clone */
	struct gptr clear_child_tid, set_child_tid;
	struct gptr robust_list;
	uint64_t robust_list_len;
	struct task *vfork_parent;	/* tasks_lock: who waits for our exec or exit */
	int exit_code;			/* wait status of this thread */
	int pdeathsig;
	char comm[16];			/* tasks_lock for others; owner writes under it */
	uint64_t utime_base, stime_base;
	uint64_t min_flt, maj_flt, nvcsw, nivcsw;
	int sched_policy, sched_priority;
	uint64_t affinity[16];
	bool ptraced_unused;
	uint64_t timer_slack_ns;
	unsigned strace_flags;
	void *ptrace;			/* later */
	void *seccomp;			/* later: the guest's own filters */
};

/* The task whose S thread is running, or NULL on other threads. */
extern _Thread_local struct task *current_task;

struct task *task_get(struct task *t);
void task_put(struct task *t);
DEFINE_AUTO_PUT(task, struct task *, task_put)
/* By id as the caller's pid namespace sees it; with a reference, or NULL. */
struct task *task_lookup(int tid);
struct task *task_lookup_locked(int tid);
struct thread_group *thread_group_lookup_locked(int tgid);

/* ---- sleeping ------------------------------------------------------------------------------ */

/* A waiter that wakes the task it was made for. */
struct task_waiter {
	struct waiter w;
	struct task *t;
	_Atomic uint32_t fired; /* the events that woke it, or'ed */
};
void task_waiter_init(struct task_waiter *tw, struct task *t, uint32_t events);
/* Call before the condition is tested; then task_block() returns at once if a wake came since. */
uint32_t task_wake_prepare(struct task *t);
/* Sleeps until a wake-up since `seq`, an interruption or the deadline (absolute CLOCK_MONOTONIC ns; UINT64_MAX:
 * none). 0: woken (also spuriously: test again); -EINTR: signal_pending(); -ETIMEDOUT. Must hold no lock. */
int task_block(struct task *t, uint32_t seq, uint64_t deadline_ns);
/* As task_block, but only SIGKILL interrupts. */
int task_block_killable(struct task *t, uint32_t seq, uint64_t deadline_ns);
void task_wake(struct task *t);	   /* any thread, lock-free */
void task_kick(struct task *t);	   /* wake, and out of guest code if it is there (pf interrupt) */
uint64_t now_mono_ns(void);

/* ---- what system calls use ------------------------------------------------------------------ */

/* Walk context of the task for a *at call: cwd is the dirfd's place (AT_FDCWD, or a directory; any file when
 * path is empty is the caller's affair). -EBADF, -ENOTDIR. Release with task_walk_end(). */
int task_walk_begin(struct task *t, int dirfd, struct walk_ctx *out);
void task_walk_end(struct walk_ctx *ctx);
static inline void auto_walk(struct walk_ctx *ctx)
{
	task_walk_end(ctx);
}
uint64_t task_rlimit(struct task *t, int resource); /* the soft limit */
static inline bool task_capable(struct task *t, int cap)
{
	return cred_capable(t->cred, cap);
}
/* Swaps in a new cred; consumes the reference. Updates dumpable as prctl(2) says. */
void task_set_cred(struct task *t, struct cred *c);

/* ---- life ----------------------------------------------------------------------------------- */

struct file;
/* What the first process is made of; everything is borrowed (references are taken). */
struct task_init_args {
	struct cred *cred;
	struct mount_ns *mount_ns;
	const struct path *root, *cwd;
	struct fdtable *files;
	const char *path;	  /* looked up inside */
	char *const *argv, *const *envp;
	const struct rlimit64_guest *rlimits; /* GUEST_NRLIMITS of them */
	struct tty *ctty;	  /* controlling terminal or NULL */
};
/* Makes init and starts it. -ENOENT, -EACCES, -ENOEXEC ... of the exec. */
int task_start_init(const struct task_init_args *a, struct task **out);
/* exit_group(2) from anywhere in the current task: marks; the exit happens at the return to user mode. */
void task_group_exit_locked(struct thread_group *tg, int wait_status);
