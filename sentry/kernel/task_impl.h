/* What the files of sentry/kernel share among themselves. */
#pragma once

#include "sentry/kernel/kernel.h"
#include "sentry/kernel/task.h"
#include "sentry/loader/loader.h"

/* ---- per-user counts: user.c ---------------------------------------------------------------- */

enum user_count { USER_NPROC, USER_SIGPENDING, USER_NCOUNTS };
/* Adds one to the user's count unless it is at the limit already: -EAGAIN; -ENOMEM. tasks_lock. */
int user_charge_locked(uint32_t uid, enum user_count what, uint64_t limit);
void user_uncharge_locked(uint32_t uid, enum user_count what);
uint64_t user_count_locked(uint32_t uid, enum user_count what);

/* ---- making and running tasks: task.c ------------------------------------------------------- */

/* A task with a reference and nothing else; NULL: no memory. tg: referenced. */
struct task *task_alloc(struct thread_group *tg);
/* Starts the S thread, which takes over a reference of its own. -EAGAIN. task_thread.c */
int task_start_thread(struct task *t);
/* The life of t on its S thread, to its end; t's reference is dropped. */
void task_run(struct task *t);
/* A group without tasks, its rlimits and flags blank. */
struct thread_group *thread_group_alloc(void);
/* Tells the stub what it may answer by itself. Owner. */
void task_publish(struct task *t);
/* The parent, or what may be answered, has changed: at once. Any thread; tasks_lock. */
void task_republish(struct task *t);
/* Replaces the stub thread; the old one is destroyed. Owner. task_cpu.c, as the next five. */
void task_switch_pt(struct task *t, struct pf_thread *pt, bool counted);
/* The same, but the old one is the caller's, or NULL. */
struct pf_thread *task_swap_pt(struct task *t, struct pf_thread *pt, bool counted);
/* tg has an address space, and so a stub process, of its own. */
void thread_group_owns_space(struct thread_group *tg);
/* t->mm becomes next (reference moved); last: nobody else of the group uses the old one. tasks_lock. */
void task_leave_space_locked(struct task *t, struct mm *next, bool last);
void task_account_exit_locked(struct task *t);
/* t is about to leave its address space, which its process has to itself: how large it was. */
void task_note_rss(struct task *t);
/* An S thread has ended, the last thing it does with the kernel. */
void kernel_task_gone(void);
/* init's group is dead: everything else is to die. tasks_lock. */
void kernel_init_died_locked(int wait_status);
bool kernel_dying_locked(void);

/* ---- exit.c --------------------------------------------------------------------------------- */

/* The end of a task, on its own S thread. */
void task_exit(struct task *t);
/* Takes a zombie process out of the tree: pid table, parent, process group. tasks_lock. */
void thread_group_reap_locked(struct thread_group *tg);
/* Tells the parent of a zombie, which is reaped if nobody cares. tasks_lock. */
void thread_group_zombie_release_locked(struct thread_group *tg);
void thread_group_zombie_untraced_locked(struct thread_group *tg, const struct thread_group *tracer);
/* exec or exit of a vfork child: lets the parent go on. */
void task_vfork_release(struct task *t);
/* clear_child_tid and robust futexes of the address space that t is leaving. */
void task_release_user_state(struct task *t, bool exiting);
/* Kills the other tasks of the group and waits for their end; t becomes the leader. -EAGAIN when
 * someone else is at it or the group exits: then t is being killed. */
int task_de_thread(struct task *t);
/* Tells the parent of a change (SIGCHLD, wait). code: CLD_*; status: si_status. */
void parent_notify_stop_locked(struct thread_group *tg, int code, int status);
struct thread_group *task_parent_group_locked(struct thread_group *tg);

/* ---- session.c ------------------------------------------------------------------------------ */

/* Puts tg in a new session and process group of its own number. -ENOMEM. tasks_lock. */
int session_new_locked(struct thread_group *tg);
int pgrp_new_locked(struct session *s, int pgid, struct pgrp **out);
void pgrp_move_locked(struct thread_group *tg, struct pgrp *to);
/* The group tg is leaving the tree, or its parent `parent` does (NULL: tg itself does): hangs up
 * process groups that thereby become orphaned with stopped members. */
void pgrp_check_orphaned_locked(struct thread_group *tg, struct task *parent);
bool pgrp_will_be_orphaned_locked(struct pgrp *p, struct thread_group *ignored);
/* A session leader has exited. */
void session_leader_exit_locked(struct thread_group *tg);

/* ---- signals -------------------------------------------------------------------------------- */

enum sig_default { SIG_DEFAULT_TERM, SIG_DEFAULT_CORE, SIG_DEFAULT_IGNORE, SIG_DEFAULT_STOP };
enum sig_default signal_default(int signo);

struct sighand *sighand_new(void);
struct sighand *sighand_get(struct sighand *s);
void sighand_put(struct sighand *s);
struct sighand *sighand_clone_locked(struct sighand *s); /* NULL: no memory */
void sigpending_init(struct sigpending *p);
/* Drops all, or those of `set`. */
void sigpending_flush_locked(struct sigpending *p, sigset64 set);
/* Recomputes t->work. tasks_lock. */
void signal_recalc_locked(struct task *t);
/* Marks `what` for t and kicks it, if it isn't on its way out. tasks_lock. */
void signal_wake_locked(struct task *t, bool kill);
int signal_dequeue_locked(struct task *t, sigset64 set, struct guest_siginfo *out);
/* t exits: its share of the group's pending signals and of a group stop goes to others. */
void signal_task_exit_locked(struct task *t);
/* A group stop is under way in tg, which t joins as a new thread. */
void signal_task_join_locked(struct task *t);
bool signal_is_ignored_locked(struct task *t, int signo);
/* Sends without the permission check; the target may be a dead group: -ESRCH. */
int signal_send_pidfd(struct thread_group *tg, const struct guest_siginfo *info);

/* sigframe.c. regs and FP state of t's stub thread are replaced. 0 or -EFAULT. */
int sigframe_push(struct task *t, int signo, const struct sigaction_guest *act,
		  const struct guest_siginfo *info, sigset64 saved_mask);
/* The guest is about to run at an address that no CPU would jump to. */
bool sigframe_bad_rip(uint64_t rip);
int task_sigaltstack(struct task *t, const uint64_t *sp, const uint64_t *size, int flags,
		     uint64_t user_sp);
void altstack_reset(struct task *t);

/* ---- clone, exec ---------------------------------------------------------------------------- */

struct clone_args_kernel {
	uint64_t flags; /* without CSIGNAL */
	int exit_signal;
	struct gptr pidfd, child_tid, parent_tid, tls;
	uint64_t stack; /* the new stack pointer, or 0 */
};
int64_t task_clone(struct task *t, const struct clone_args_kernel *a);
/* A copy of the mount namespace, with fs's root and cwd moved to their places in the copy. */
int task_clone_mounts(struct mount_ns *ns, struct fs_context *fs, struct mount_ns **out);

/* Programs and arguments in sentry memory; consumes nothing. On success t is a new program. */
int64_t task_exec(struct task *t, struct exec_args *args);
void exec_args_free(struct exec_args *a);

/* pidfd.c */
int pidfd_new(struct task *t, struct thread_group *tg, int flags, struct file **out);
/* The group behind a pidfd file with a reference; -EBADF. */
int pidfd_group(struct file *f, struct thread_group **out);
