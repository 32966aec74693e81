/* wait4(2), waitid(2): the parent's side of a child's exits, stops and continuations. */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "sentry/kernel/fdtable.h"
#include "sentry/kernel/ptrace.h"
#include "sentry/kernel/restart.h"
#include "sentry/kernel/session.h"
#include "sentry/kernel/task_impl.h"
#include "sentry/mm/usercopy.h"
#include "sentry/syscalls/syscalls.h"

#ifndef P_PIDFD
#define P_PIDFD 3
#endif
#define WAIT_THREADS (__WNOTHREAD | __WALL | __WCLONE)

struct wait_query {
	enum { QUERY_ANY, QUERY_PID, QUERY_PGID } kind;
	int id;
	int options;
};

struct wait_result {
	int pid; /* 0: nobody yet */
	uint32_t uid;
	int code, status; /* CLD_*; exit status or signal */
	int wait_status;
	struct rusage usage;
};

static void timeval_set(struct timeval *tv, uint64_t ns)
{
	tv->tv_sec = (time_t)(ns / 1000000000ULL);
	tv->tv_usec = (suseconds_t)(ns % 1000000000ULL / 1000);
}

/* Of the child and of those it has waited for. */
static void usage_fill(struct rusage *ru, struct thread_group *tg)
{
	uint64_t u, s;

	thread_group_cpu_time_locked(tg, &u, &s);
	memset(ru, 0, sizeof(*ru));
	timeval_set(&ru->ru_utime, u + tg->child_utime);
	timeval_set(&ru->ru_stime, s + tg->child_stime);
	ru->ru_maxrss = (long)((tg->maxrss > tg->child_maxrss ? tg->maxrss : tg->child_maxrss) >> 10);
	ru->ru_minflt = (long)(tg->dead_counts.min_flt + tg->child_counts.min_flt);
	ru->ru_majflt = (long)(tg->dead_counts.maj_flt + tg->child_counts.maj_flt);
	ru->ru_nvcsw = (long)(tg->dead_counts.nvcsw + tg->child_counts.nvcsw);
	ru->ru_nivcsw = (long)(tg->dead_counts.nivcsw + tg->child_counts.nivcsw);
}

static void child_account(struct thread_group *parent, struct thread_group *tg)
{
	uint64_t rss = tg->maxrss > tg->child_maxrss ? tg->maxrss : tg->child_maxrss;

	parent->child_utime += tg->dead_utime + tg->child_utime;
	parent->child_stime += tg->dead_stime + tg->child_stime;
	parent->child_counts.min_flt += tg->dead_counts.min_flt + tg->child_counts.min_flt;
	parent->child_counts.maj_flt += tg->dead_counts.maj_flt + tg->child_counts.maj_flt;
	parent->child_counts.nvcsw += tg->dead_counts.nvcsw + tg->child_counts.nvcsw;
	parent->child_counts.nivcsw += tg->dead_counts.nivcsw + tg->child_counts.nivcsw;
	if (rss > parent->child_maxrss)
		parent->child_maxrss = rss;
}

static bool child_matches(const struct task *t, const struct thread_group *tg,
			  const struct wait_query *q)
{
	if (q->kind == QUERY_PID && tg->tgid != q->id)
		return false;
	if (q->kind == QUERY_PGID && (!tg->pgrp || tg->pgrp->pgid != q->id))
		return false;
	if ((q->options & __WNOTHREAD) && tg->parent != t)
		return false;
	if (q->options & __WALL || (tg->leader && tg->leader->ptrace))
		return true;
	return (tg->exit_signal != SIGCHLD) == !!(q->options & __WCLONE);
}

static void result_set(struct wait_result *r, struct thread_group *tg, int code, int status,
		       int wait_status)
{
	r->pid = tg->tgid;
	r->uid = tg->leader->cred->uid;
	r->code = code;
	r->status = status;
	r->wait_status = wait_status;
	usage_fill(&r->usage, tg);
}

/* Another process is to hear of it first. */
static bool others_trace(const struct task *t, const struct thread_group *tg)
{
	return tg->leader && tg->leader->ptrace && tg->leader->ptrace->tracer->tg != t->tg;
}

/* All that could still be told of it is its end, for which nobody asks. */
static bool is_over(const struct thread_group *tg, const struct wait_query *q)
{
	return tg->zombie && !(q->options & WEXITED);
}

static bool child_try(struct task *t, struct thread_group *tg, const struct wait_query *q,
		      struct wait_result *r)
{
	bool keep = q->options & WNOWAIT;
	bool traced = tg->leader && tg->leader->ptrace;

	/* Its stops are the tracer's (tracee_try), and so is its end first. */
	if ((traced && !tg->zombie) || others_trace(t, tg))
		return false;
	if (tg->zombie) {
		int st = tg->exit_status;

		if (st & 0x7f)
			result_set(r, tg, st & 0x80 ? CLD_DUMPED : CLD_KILLED, st & 0x7f, st);
		else
			result_set(r, tg, CLD_EXITED, st >> 8 & 0xff, st);
		if (!keep) {
			child_account(t->tg, tg);
			thread_group_reap_locked(tg);
		}
		return true;
	}
	if ((q->options & WSTOPPED) && tg->stopped && !tg->stop_reported) {
		result_set(r, tg, CLD_STOPPED, tg->stop_signal, tg->stop_signal << 8 | 0x7f);
		tg->stop_reported = !keep;
		return true;
	}
	if ((q->options & WCONTINUED) && tg->continued && !tg->continue_reported) {
		result_set(r, tg, CLD_CONTINUED, SIGCONT, 0xffff);
		tg->continue_reported = !keep;
		return true;
	}
	return false;
}

/* ---- tracees -------------------------------------------------------------------------------- */

static bool id_matches(const struct wait_query *q, int tid, const struct thread_group *tg)
{
	if (q->kind == QUERY_PID)
		return tid == q->id;
	return q->kind == QUERY_ANY || (tg && tg->pgrp && tg->pgrp->pgid == q->id);
}

static bool tracee_try(struct task *t, struct ptrace *p, const struct wait_query *q,
		       struct wait_result *r)
{
	struct task *o = p->tracee;
	struct thread_group *tg = o->tg;
	bool keep = q->options & WNOWAIT;

	if (p->stopped && !p->reported) {
		*r = (struct wait_result){
			.pid = o->tid,
			.uid = o->cred->uid,
			.code = CLD_TRAPPED,
			.status = p->code,
			.wait_status = p->code << 8 | 0x7f,
		};
		p->reported = !keep;
		return true;
	}
	/* Our own child's end is reported as any child's. */
	if (!tg->zombie || o != tg->leader || task_parent_group_locked(tg) == t->tg)
		return false;
	result_set(r, tg, tg->exit_status & 0x7f ? CLD_KILLED : CLD_EXITED,
		   tg->exit_status & 0x7f ? tg->exit_status & 0x7f : tg->exit_status >> 8 & 0xff,
		   tg->exit_status);
	if (!keep) {
		ptrace_detach_locked(o, 0);
		thread_group_zombie_release_locked(tg);
	}
	return true;
}

static bool note_try(struct ptrace_note *n, const struct wait_query *q, struct wait_result *r)
{
	int st = n->status;

	*r = (struct wait_result){
		.pid = n->tid,
		.uid = n->uid,
		.code = st & 0x7f ? CLD_KILLED : CLD_EXITED,
		.status = st & 0x7f ? st & 0x7f : st >> 8 & 0xff,
		.wait_status = st,
	};
	if (!(q->options & WNOWAIT)) {
		list_del_init(&n->node);
		free(n);
	}
	return true;
}

/* Those of one thread; *any: there is something to wait for. */
static bool tracees_scan(struct task *t, struct task *tracer, const struct wait_query *q,
			 struct wait_result *r, bool *any)
{
	list_for_each_safe(n, &tracer->ptrace_notes, struct ptrace_note, node) {
		if (!id_matches(q, n->tid, NULL) || !(q->options & WEXITED))
			continue;
		*any = true;
		if (note_try(n, q, r))
			return true;
	}
	list_for_each_safe(p, &tracer->tracees, struct ptrace, node) {
		if (!id_matches(q, p->tracee->tid, p->tracee->tg) || is_over(p->tracee->tg, q))
			continue;
		*any = true;
		if (tracee_try(t, p, q, r))
			return true;
	}
	return false;
}

static int children_scan(struct task *t, const struct wait_query *q, struct wait_result *r)
{
	AUTO_LOCK(&kernel->tasks_lock);
	bool any = false;

	list_for_each(tg, &t->tg->children, struct thread_group, sibling) {
		if (!child_matches(t, tg, q) || (is_over(tg, q) && !others_trace(t, tg)))
			continue;
		any = true;
		if (child_try(t, tg, q, r))
			return 0;
	}
	list_for_each(o, &t->tg->tasks, struct task, tg_node) {
		if (o != t && (q->options & __WNOTHREAD))
			continue;
		if (tracees_scan(t, o, q, r, &any))
			return 0;
	}
	return any ? 0 : -ECHILD;
}

static int64_t task_wait(struct task *t, const struct wait_query *q, struct wait_result *r)
{
	struct task_waiter tw;
	int64_t err;

	task_waiter_init(&tw, t, ~0U);
	waitq_add(&t->tg->child_waitq, &tw.w);
	for (;;) {
		uint32_t seq = task_wake_prepare(t);

		r->pid = 0;
		err = children_scan(t, q, r);
		if (err < 0 || r->pid || (q->options & WNOHANG))
			break;
		if (task_block(t, seq, UINT64_MAX) == -EINTR) {
			err = -ERESTARTSYS;
			break;
		}
	}
	waitq_remove(&tw.w);
	return err;
}

static int own_pgid(struct task *t)
{
	AUTO_LOCK(&kernel->tasks_lock);

	return t->tg->pgrp->pgid;
}

int64_t sys_wait4(struct task *t, int pid, struct gptr status, int options, struct gptr rusage)
{
	struct wait_query q = {.options = options | WEXITED, .id = pid};
	struct wait_result r;
	int64_t err;

	if (options & ~(WNOHANG | WUNTRACED | WCONTINUED | WAIT_THREADS))
		return -EINVAL;
	if (pid == INT_MIN)
		return -ESRCH;
	if (pid == -1) {
		q.kind = QUERY_ANY;
	} else if (pid > 0) {
		q.kind = QUERY_PID;
	} else {
		q.kind = QUERY_PGID;
		q.id = pid ? -pid : own_pgid(t);
	}
	err = task_wait(t, &q, &r);
	if (err < 0 || !r.pid)
		return err;
	if (!gptr_null(status) && put_guest_u32(t, status, (uint32_t)r.wait_status))
		return -EFAULT;
	if (!gptr_null(rusage) && put_guest(t, rusage, &r.usage))
		return -EFAULT;
	return r.pid;
}

static int pidfd_query(struct task *t, int fd, struct wait_query *q, bool *nonblock)
{
	AUTO(thread_group) struct thread_group *tg = NULL;
	AUTO(file) struct file *f = NULL;
	int err;

	if (fd < 0)
		return -EINVAL;
	err = fdtable_get(t->files, fd, &f);
	if (err == 0)
		err = pidfd_group(f, &tg);
	if (err < 0)
		return err;
	*nonblock = f->flags & 04000; /* O_NONBLOCK, as PIDFD_NONBLOCK */
	q->kind = QUERY_PID;
	q->id = tg->tgid;
	return 0;
}

static int waitid_query(struct task *t, int idtype, int id, struct wait_query *q, bool *nonblock)
{
	q->id = id;
	switch (idtype) {
	case P_ALL:
		q->kind = QUERY_ANY;
		return 0;
	case P_PID:
		q->kind = QUERY_PID;
		return id <= 0 ? -EINVAL : 0;
	case P_PGID:
		q->kind = QUERY_PGID;
		if (id == 0)
			q->id = own_pgid(t);
		return id < 0 ? -EINVAL : 0;
	case P_PIDFD:
		return pidfd_query(t, id, q, nonblock);
	}
	return -EINVAL;
}

int64_t sys_waitid(struct task *t, int idtype, int id, struct gptr info, int options,
		   struct gptr rusage)
{
	struct wait_query q = {.options = options};
	struct guest_siginfo si = {0};
	struct wait_result r;
	bool nonblock = false;
	int64_t err;

	if (options & ~(WNOHANG | WNOWAIT | WEXITED | WSTOPPED | WCONTINUED | WAIT_THREADS))
		return -EINVAL;
	if (!(options & (WEXITED | WSTOPPED | WCONTINUED)))
		return -EINVAL;
	err = waitid_query(t, idtype, id, &q, &nonblock);
	if (err < 0)
		return err;
	if (nonblock)
		q.options |= WNOHANG;
	err = task_wait(t, &q, &r);
	if (err < 0)
		return err;
	if (!r.pid && nonblock && !(options & WNOHANG))
		return -EAGAIN;
	if (r.pid) {
		si.si_signo = SIGCHLD;
		si.si_code = r.code;
		si.chld.pid = r.pid;
		si.chld.uid = r.uid;
		si.chld.status = r.status;
		if (!gptr_null(rusage) && put_guest(t, rusage, &r.usage))
			return -EFAULT;
	}
	/* Only the fields that waitid(2) names: six words. */
	if (!gptr_null(info) && copy_to_guest(t, info, &si, 28))
		return -EFAULT;
	return 0;
}
