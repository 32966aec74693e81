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

struct cpu_limit;
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
struct ptrace;
struct seccomp_filter;
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
	struct waitq exit_waitq;	/* woken with POLLIN when the process has exited: pidfd */
	struct sigpending pending;	/* shared; tasks_lock */
	struct waitq signal_waitq;
	int exit_signal;		/* tasks_lock: to the parent; 0: none */
	/* How many programs it has run, and its parent had when it was made: another program gets SIGCHLD
	 * whatever the exit signal; tasks_lock. */
	uint32_t exec_id, parent_exec_id;
	bool exiting;			/* group exit has begun; exit_status holds what it will be */
	int exit_status;		/* wait status */
	/* Group stop, tasks_lock: signal.c has the theory. */
	int stop_signal;		/* what stopped it, or is stopping it; 0 when running */
	int stop_count;			/* tasks that have not stopped yet */
	bool stopped;			/* all of them have */
	bool stop_reported, continued, continue_reported; /* to wait4 and waitid */
	struct task *exec_task;		/* the thread that is killing the others for its exec */
	bool zombie;			/* the last task is gone; waits to be reaped */
	bool is_child_subreaper, has_child_subreaper, has_execed;
	int dumpable;			/* PR_GET_DUMPABLE: 0, 1, 2 */
	struct rlimit64_guest rlimits[GUEST_NRLIMITS]; /* tasks_lock for writing */
	struct mutex exec_lock;		/* LOCK_EXEC: exec against clone of a thread, ptrace attach */
	struct itimers *itimers;	/* sentry/time; created on demand */
	struct posix_timers *posix_timers;
	/* CPU time of dead threads and of waited-for children; ns; tasks_lock */
	uint64_t dead_utime, dead_stime, child_utime, child_stime;
	bool owns_space;		/* its CPU time is that of its stub process: task_cpu.c */
	struct task_counts {
		uint64_t min_flt, maj_flt, nvcsw, nivcsw;
	} dead_counts, child_counts;
	uint64_t maxrss, child_maxrss;	/* bytes */
	uint64_t start_ns;		/* since boot */
	int oom_score_adj;
	_Atomic uint32_t membarrier;	/* commands registered for */
	struct cpu_limit *cpu_limit;	/* owned; tasks_lock */
};

/* A read that the stub does by itself: sentry/mm/fetch.h; owner only */
struct task_fetch {
	const struct file *file; /* only compared */
	uint64_t off, end;	 /* of what is read */
	bool at_position;	 /* which was moved there */
	bool allowed;		 /* by the call that is being served */
	bool active;		 /* put off, and not known to be done */
	bool refused;		 /* the last one failed: the next read is an ordinary one */
};

enum task_state { TASK_RUNNING, TASK_SLEEPING, TASK_STOPPED, TASK_ZOMBIE, TASK_DEAD };

/* A `syscall` instruction that traps often: sentry/mm/patch.h */
#define TASK_HOT_SITES_BITS 4
struct hot_site {
	uint64_t rip;
	int traps;
};

struct task {
	struct ref ref;
	int tid;
	struct thread_group *tg;	/* immutable but for exec by a non-leader; owned */
	struct list tg_node;
	_Atomic int state;		/* enum task_state, for /proc */
	struct mutex pt_lock;		/* LOCK_TASK_WAKE: keeps pt alive for task_kick() */
	struct pf_thread *pt;		/* owner only; changed under pt_lock */
	struct pf_identity identity;	/* what the stub knows; pt_lock, and tasks_lock to change */
	struct hot_site hot_sites[1 << TASK_HOT_SITES_BITS]; /* owner only */
	_Atomic uint32_t run_seq;	/* odd while in guest code: membarrier(2) */
	bool born_running;		/* owner only: in guest code since before its S began */

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
	sigset64 real_blocked;		/* during sigtimedwait: what `blocked` was */
	bool stop_pending, stopped;	/* has to take part in a group stop; does so */
	bool exiting;			/* takes no more signals */
	_Atomic bool work;		/* signal_pending(): something to do before user mode */
	_Atomic bool killed;		/* SIGKILL or group exit: only exit is left */
	_Atomic bool republish;		/* the ids in pf_identity have changed */
	uint64_t fault_addr, fault_trapno, fault_error; /* owner: of the last fault, for sigcontext */

	/* sleeping: the futex word that task_block() waits on; others bump it */
	_Atomic uint32_t wake_seq;
	_Atomic bool sleeping;

	/* system call in progress; owner */
	uint64_t sys_nr, sys_args[6];
	bool in_syscall;
	bool late;	 /* own thread: what it writes to the guest may be put off (sentry/mm/late.h) */
	struct task_fetch fetch;
	bool late_frame; /* own thread: so was a signal frame, since it ran last */
	/* restart_syscall(2): what to call again after ERESTART_RESTARTBLOCK */
	int64_t (*restart)(struct task *t);
	uint64_t restart_args[6];

	/* known.c; owner */
	bool actions_told;
	uint8_t action_calls;
	_Atomic bool opens_told; /* also read by others, who hold pt_lock */
	uint8_t open_turn;
	int open_fds[4]; /* -1: none */

	/* at exit and clone */
	struct gptr set_child_tid;
	/* The stub may know of newer ones: task_hear() first. */
	struct gptr clear_child_tid, robust_list;
	_Atomic bool futexes_left;	/* exiting: what it holds will never be released by itself */
	struct task *vfork_parent;	/* tasks_lock: who waits for our exec or exit */
	bool vfork_waiting;		/* tasks_lock: and whether it still does */
	int exit_code;			/* wait status of this thread */
	int pdeathsig;
	char comm[16];			/* tasks_lock for others; owner writes under it */
	uint64_t utime_base, stime_base; /* of stub threads before an exec; pt_lock */
	uint64_t s_clock_base;		/* what s_clock showed when this task began; set before it */
	_Atomic int32_t s_clock;	/* clockid_t: CPU time of the S thread */
	struct task_counts counts;	/* owner */
	uint64_t chosen_ns;		/* CPU time when it was last the group's runner; tasks_lock */
	uint32_t charged_uid;		/* whose RLIMIT_NPROC counts this task; tasks_lock */
	int nice;
	int sched_policy, sched_priority;
	bool sched_reset_on_fork;
	uint64_t affinity[16];		/* tasks_lock for writing */
	uint64_t timer_slack_ns, default_timer_slack_ns;
	uint32_t personality;
	int ioprio;
	bool thp_disable;
	unsigned strace_flags;
	struct ptrace *_Atomic ptrace;	/* who traces t, or NULL: ptrace.c */
	struct list tracees;		/* of their struct ptrace; tasks_lock */
	struct list ptrace_notes;	/* of struct ptrace_note; tasks_lock */
	struct seccomp_filter *_Atomic seccomp; /* the guest's own filters, or NULL: seccomp.c */
	/* As cred's, but set by a sibling along with filters; set under tasks_lock, never cleared */
	_Atomic bool no_new_privs;
};

/* The task whose S thread is running, or NULL on other threads. */
extern _Thread_local struct task *current_task;

struct task *task_get(struct task *t);
void task_put(struct task *t);
DEFINE_AUTO_PUT(task, struct task *, task_put)
/* By id as the caller's pid namespace sees it; with a reference, or NULL. task_lookup_locked and
 * thread_group_lookup_locked: borrowed. The group is found until it is reaped. */
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
/* Not even SIGKILL does: for a task that is exiting already. */
int task_block_always(struct task *t, uint32_t seq);
void task_wake(struct task *t);	   /* any thread, lock-free */
/* Wakes, and interrupts guest code if it runs. Any thread; any lock ranked before LOCK_TASK_WAKE. */
void task_kick(struct task *t);
/* Only interrupts guest code: a sleeping system call sleeps on. As task_kick. */
void task_interrupt(struct task *t);
uint64_t now_mono_ns(void);
bool task_interrupted(void); /* current_task has a signal to see to */
bool task_killed(void);	/* current_task has nothing left but its end */
extern const struct waitq_hooks task_waitq_hooks; /* wakes tasks after the queue's lock is free */

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
/* Takes over what t has told its stub alone. Owner. */
void task_hear(struct task *t);
/* Another task's robust list, whatever it does meanwhile. */
struct gptr task_robust_list(struct task *o);
static inline bool task_capable(struct task *t, int cap)
{
	return cred_capable(t->cred, cap);
}
/* Swaps in a new cred; consumes the reference. Updates dumpable as prctl(2) says. */
void task_set_cred(struct task *t, struct cred *c);
/* CPU time of one task, and of a process (its dead threads included), in ns. Any thread; the
 * latter takes tasks_lock. */
void task_cpu_time(struct task *t, uint64_t *user_ns, uint64_t *sys_ns);
/* Of the group's tasks, the one that has run the most since it was last chosen so; NULL: none is left. */
struct task *thread_group_runner_locked(struct thread_group *tg);
void thread_group_cpu_time_locked(struct thread_group *tg, uint64_t *user_ns, uint64_t *sys_ns);
void thread_group_cpu_time(struct thread_group *tg, uint64_t *user_ns, uint64_t *sys_ns);
/* Opens a program for execve: a regular file with execute permission, on a mount without noexec.
 * Read permission isn't asked for. flags: AT_EMPTY_PATH, AT_SYMLINK_NOFOLLOW. -EACCES ... */
int task_open_exec(struct task *t, int dirfd, const char *path, int flags, struct file **out);
/* ptrace_may_access of Linux: may `t` look into target (read: /proc/pid/fd, mem; kcmp)? -EPERM. tasks_lock held, or
 * target is t. */
int task_may_access(struct task *t, struct task *target);
/* The parent's process id as getppid tells; tasks_lock. */
int task_ppid_locked(struct task *t);
/* Calls fn for every task of every group until it returns false. tasks_lock. */
void task_each_locked(bool (*fn)(struct task *t, void *ctx), void *ctx);
struct thread_group *thread_group_get(struct thread_group *tg);
void thread_group_put(struct thread_group *tg);
DEFINE_AUTO_PUT(thread_group, struct thread_group *, thread_group_put)

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
	int nice;		  /* as getpriority(2) tells */
};
/* Makes init and starts it. -ENOENT, -EACCES, -ENOEXEC ... of the exec. */
int task_start_init(const struct task_init_args *a, struct task **out);
/* exit_group(2) from anywhere in the current task: marks; the exit happens at the return to user mode. */
void task_group_exit_locked(struct thread_group *tg, int wait_status);
