/* The ptrace platform's own structures. The theory: ptrace/platform.c. */
#pragma once

#include <stdatomic.h>
#include <sys/user.h>

#include "abi/base/lock.h"
#include "abi/base/ref.h"
#include "platform/platform.h"
#include "platform/ptrace/stub.h"

struct platform {
	/* immutable after start */
	struct pf_config cfg;
	struct pf_thread *zygote;
	uint64_t vdso;
	size_t regset_size;   /* of NT_X86_XSTATE; 0: the host has none, NT_PRFPREG is used */
	size_t fp_size;	      /* of a signal frame's FP state, with its trailer */
	uint64_t fp_features; /* xfeatures of it; 0: plain fxsave */
	uint32_t mxcsr_mask;
	int procfd; /* /proc, or -1 */

	struct mutex zygote_mu; /* one fork of the zygote at a time */

	struct mutex mu;
	size_t nspaces; /* protected by mu: living structures */
	struct cond spaces_gone;
};

/* One host process. References: one for each pf_thread, and the users' own. It is reaped, and its
 * pid may mean another, only when the last reference goes. */
struct pf_space {
	struct ref ref;
	struct platform *p;
	pid_t pid;
	int sock; /* our end of the socket that is the process's descriptor 0 */
	atomic_bool dead;

	struct mutex op_mu; /* one exchange of descriptors at a time */

	struct mutex mu;
	unsigned nthreads; /* protected by mu */
};

#define POST_MAX 30

struct pf_thread {
	struct pf_space *space;
	pid_t tid;

	/* only S */
	pid_t tracer; /* the sentry's thread that traces it; 0: nobody, it is parked or about to be */
	bool newborn; /* forked and not traced since */
	struct pf_regs regs;
	uint64_t host_fs, host_gs; /* what the host has for fs_base, gs_base */
	uint64_t cs, ss;

	atomic_bool running; /* the guest executes, or is about to */
	atomic_bool interrupted;

	struct mutex call_mu;
	struct pf_call queue[POST_MAX]; /* protected by call_mu */
	unsigned nqueued;		/* protected by call_mu */
	unsigned nreporting;		/* protected by call_mu: being run or reported */
	struct cond reported;
};

/* tracee.c */
/* Makes the calling thread the tracer, t stopped. -ESRCH: it is dead. */
int tracee_attach(struct pf_thread *t);
/* Lets go of t, which goes on at `label` of the stub. */
void tracee_leave(struct pf_thread *t, const char *label);
/* The next stop's status as of waitid(2); -ESRCH: the end. */
int tracee_wait(struct pf_thread *t, int *status);
int tracee_resume(struct pf_thread *t, int request);
int tracee_regs_get(struct pf_thread *t);
int tracee_regs_set(struct pf_thread *t);
/* Runs the stub's code at `entry`, until its breakpoint, with these registers; rax at the end.
 * -EFAULT: it faulted. -ESRCH: the thread is dead. */
int tracee_inject(struct pf_thread *t, uint64_t entry, struct user_regs_struct *r, int64_t *rax);
/* One host call. */
int64_t tracee_syscall(struct pf_thread *t, long nr, const uint64_t arg[6]);

/* run.c */
void ptrace_run(struct pf_thread *t, struct pf_event *ev);
void ptrace_interrupt(struct pf_thread *t);
void ptrace_interrupt_clear(struct pf_thread *t);
void ptrace_release(struct pf_thread *t);

/* fault.c: trapno and error, which ptrace does not tell. */
int pt_fault_start(void);
void pt_fault_stop(void);
void pt_fault_describe(struct pf_thread *t, struct pf_event *ev);

/* calls.c */
int64_t ptrace_call(struct pf_thread *t, const struct pf_call *c);
int ptrace_call_post(struct pf_thread *t, const struct pf_call *c);
void ptrace_call_wait(struct pf_thread *t);
int ptrace_cmpxchg32(struct pf_thread *t, struct gptr addr, uint32_t expect, uint32_t desired,
		     uint32_t *old);
/* Runs what was posted; -ESRCH: the thread is dead, and all of it reported as -EINTR. */
int pt_calls_drain(struct pf_thread *t);
void pt_calls_abort(struct pf_thread *t);
/* Sends fd and writes the message header that the stub receives it with. */
int pt_fd_hand_over(struct pf_space *s, int fd);

/* space.c */
int pt_space_alloc(struct platform *p, struct pf_space **out);
int ptrace_space_new(struct platform *p, struct pf_space **space, struct pf_thread **thread);
int ptrace_space_fork(struct pf_thread *caller, struct pf_space **space, struct pf_thread **thread);
void ptrace_space_kill(struct pf_space *s);
void ptrace_space_get(struct pf_space *s);
void ptrace_space_put(struct pf_space *s);

/* thread.c */
int pt_thread_alloc(struct pf_space *s, struct pf_thread **out);
void pt_thread_free(struct pf_thread *t);
/* Makes t, whose host thread is known now, a member of its space. */
void pt_thread_enlist(struct pf_thread *t);
void pt_thread_copy(struct pf_thread *dst, const struct pf_thread *src);
int ptrace_thread_new(struct pf_thread *caller, struct pf_thread **thread);
void ptrace_thread_destroy(struct pf_thread *t);

/* fpu.c */
int pt_fpu_learn(struct pf_thread *zygote);
size_t ptrace_fpu_size(struct platform *p);
int ptrace_fpu_get(struct pf_thread *t, void *buf, size_t cap);
int ptrace_fpu_set(struct pf_thread *t, const void *buf, size_t len);
void ptrace_fpu_reset(struct pf_thread *t);

/* memory.c */
ssize_t ptrace_read(struct pf_space *s, void *dst, struct gptr src, size_t len);
ssize_t ptrace_write(struct pf_space *s, struct gptr dst, const void *src, size_t len);
/* Without the bound of guest addresses. */
ssize_t pt_memory_copy(struct pf_space *s, bool write, void *local, uint64_t remote, size_t len);
int ptrace_thread_cpu_time(struct pf_thread *t, uint64_t *user_ns, uint64_t *sys_ns);
int ptrace_space_cpu_time(struct pf_space *s, uint64_t *user_ns, uint64_t *sys_ns);
uint64_t ptrace_space_rss(struct pf_space *s);
uint64_t ptrace_space_shared(struct pf_space *s);

/* zygote.c */
int pt_zygote_start(struct platform *p);
