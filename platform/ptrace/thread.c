/* Guest threads. */
#include <errno.h>
#include <linux/sched.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "platform/ptrace/impl.h"

#define THREAD_FLAGS                                                                               \
	(CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM)

int pt_thread_alloc(struct pf_space *s, struct pf_thread **out)
{
	struct pf_thread *t = calloc(1, sizeof(*t));

	if (!t)
		return -ENOMEM;
	t->space = s;
	mutex_init(&t->call_mu, LOCK_NONE);
	cond_init(&t->reported);
	*out = t;
	return 0;
}

void pt_thread_free(struct pf_thread *t)
{
	mutex_destroy(&t->call_mu);
	cond_destroy(&t->reported);
	free(t);
}

void pt_thread_enlist(struct pf_thread *t)
{
	ptrace_space_get(t->space);
	AUTO_LOCK(&t->space->mu);
	t->space->nthreads++;
}

void pt_thread_copy(struct pf_thread *dst, const struct pf_thread *src)
{
	dst->regs = src->regs;
	dst->host_fs = src->host_fs;
	dst->host_gs = src->host_gs;
	dst->cs = src->cs;
	dst->ss = src->ss;
}

/* The child parks by itself, untraced; its S seizes it when it is first needed. */
int ptrace_thread_new(struct pf_thread *caller, struct pf_thread **out)
{
	struct user_regs_struct r = {.rax = SYS_clone, .rdi = THREAD_FLAGS};
	struct pf_thread *t;
	int64_t tid;
	int err = pt_thread_alloc(caller->space, &t);

	if (err)
		return err;
	err = pt_calls_drain(caller);
	if (!err)
		err = tracee_inject(caller, ptstub_addr(ptstub_thread), &r, &tid);
	if (!err && tid < 0)
		err = (int)tid;
	if (err) {
		pt_thread_free(t);
		return err;
	}
	pt_thread_copy(t, caller);
	t->tid = (pid_t)tid;
	pt_thread_enlist(t);
	*out = t;
	return 0;
}

/* A traced thread other than the first stays a zombie until its tracer's process has waited for
 * it, and the whole process with it. */
static void reap(struct pf_thread *t)
{
	siginfo_t si;

	if (t->tracer && t->tid != t->space->pid)
		while (waitid(P_PID, t->tid, &si, WEXITED | __WALL) < 0 && errno == EINTR)
			;
}

/* The first thread stays, parked: process_vm_readv and the process's pid hang on it. */
void ptrace_thread_destroy(struct pf_thread *t)
{
	struct pf_space *s = t->space;
	bool last;

	mutex_lock(&s->mu);
	last = --s->nthreads == 0;
	mutex_unlock(&s->mu);
	pt_calls_abort(t);
	if (last)
		ptrace_space_kill(s);
	else if (!atomic_load(&s->dead))
		tracee_leave(t, t->tid == s->pid ? ptstub_park : ptstub_exit);
	if (atomic_load(&s->dead))
		reap(t);
	ptrace_space_put(s);
	pt_thread_free(t);
}
