/* /proc/PID/stat, statm, status, limits. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "abi/base/lock.h"
#include "sentry/fs/proc/proc_impl.h"
#include "sentry/kernel/fdtable.h"
#include "sentry/kernel/fs_context.h"
#include "sentry/kernel/kernel.h"
#include "sentry/kernel/ptrace.h"
#include "sentry/kernel/seccomp.h"
#include "sentry/kernel/session.h"
#include "sentry/kernel/task.h"
#include "sentry/mm/mm.h"
#include "vfs/cred.h"

#define NS_PER_TICK 10000000u

struct mem_numbers {
	uint64_t vsize, rss, data, text, stack, start_code, end_code, start_stack;
	uint64_t start_data, end_data, brk, arg_start, arg_end, env_start, env_end, locked;
};

static void mem_numbers(struct task *t, struct mem_numbers *out)
{
	struct mm *mm = proc_task_mm(t);

	*out = (struct mem_numbers){0};
	if (!mm)
		return;
	out->rss = mm_rss_bytes(mm);
	mutex_lock(&mm->map_lock);
	out->vsize = mm->total_pages * GUEST_PAGE_SIZE;
	out->data = mm->data_pages * GUEST_PAGE_SIZE;
	out->locked = mm->locked_pages * GUEST_PAGE_SIZE;
	out->text = mm->end_code - mm->start_code;
	out->start_code = mm->start_code;
	out->end_code = mm->end_code;
	out->start_stack = mm->start_stack;
	out->start_data = mm->start_data;
	out->end_data = mm->end_data;
	out->brk = mm->brk_start;
	out->arg_start = mm->arg_start;
	out->arg_end = mm->arg_end;
	out->env_start = mm->env_start;
	out->env_end = mm->env_end;
	mutex_unlock(&mm->map_lock);
	mm_put(mm);
	if (out->rss > out->vsize)
		out->rss = out->vsize;
}

static char state_char(struct task *t)
{
	if (t == current_task)
		return 'R';
	if (t->ptrace && t->ptrace->stopped)
		return 't';
	switch (t->state) {
	case TASK_SLEEPING:
		return 'S';
	case TASK_STOPPED:
		return 'T';
	case TASK_ZOMBIE:
		return 'Z';
	case TASK_DEAD:
		return 'X';
	default:
		return 'R';
	}
}

static const char *state_name(char c)
{
	switch (c) {
	case 'S':
		return "S (sleeping)";
	case 'T':
		return "T (stopped)";
	case 't':
		return "t (tracing stop)";
	case 'Z':
		return "Z (zombie)";
	case 'X':
		return "X (dead)";
	default:
		return "R (running)";
	}
}

struct signal_numbers {
	sigset64 pending, shared, blocked, ignored, caught;
};

static void signal_numbers_locked(struct task *t, struct signal_numbers *out)
{
	*out = (struct signal_numbers){
		.pending = t->pending.set,
		.shared = t->tg->pending.set,
		.blocked = t->blocked,
	};
	for (int sig = 1; t->sighand && sig <= GUEST_NSIG; sig++) {
		uint64_t h = t->sighand->action[sig - 1].handler;

		if (h == (uint64_t)(uintptr_t)SIG_IGN)
			out->ignored |= SIGBIT(sig);
		else if (h != (uint64_t)(uintptr_t)SIG_DFL)
			out->caught |= SIGBIT(sig);
	}
}

int proc_show_stat(struct text *t, const struct synth_ctx *c)
{
	struct task *task = c->task;
	struct thread_group *tg = task->tg;
	uint64_t utime, stime;
	struct mem_numbers m;
	struct signal_numbers s;
	struct task_counts n;
	int tty = 0, tpgid = -1;

	mem_numbers(task, &m);
	if (c->thread)
		task_cpu_time(task, &utime, &stime);
	else
		thread_group_cpu_time(tg, &utime, &stime);
	AUTO_LOCK(&kernel->tasks_lock);
	signal_numbers_locked(task, &s);
	n = task->counts;
	if (tg->pgrp && tg->pgrp->session->tty) {
		tty = (int)tty_device_number(tg->pgrp->session->tty);
		tpgid = tg->pgrp->session->foreground ? tg->pgrp->session->foreground->pgid : -1;
	}
	text_printf(t, "%d (%s) %c %d %d %d %d %d %u ", c->thread ? task->tid : tg->tgid, task->comm,
		    state_char(task), task_ppid_locked(task), tg->pgrp ? tg->pgrp->pgid : 0,
		    tg->pgrp ? tg->pgrp->session->sid : 0, tty, tpgid, 0x400000u);
	text_printf(t, "%lu %lu %lu %lu %lu %lu %ld %ld %d %d %d 0 %lu ", n.min_flt,
		    tg->child_counts.min_flt, n.maj_flt, tg->child_counts.maj_flt,
		    utime / NS_PER_TICK, stime / NS_PER_TICK,
		    (long)(tg->child_utime / NS_PER_TICK), (long)(tg->child_stime / NS_PER_TICK),
		    20 + task->nice, task->nice, tg->ntasks, tg->start_ns / NS_PER_TICK);
	text_printf(t, "%lu %lu %lu %lu %lu %lu 0 0 %lu %lu %lu %lu %d 0 0 %d %d %d %d 0 0 0 ",
		    m.vsize, m.rss / GUEST_PAGE_SIZE, tg->rlimits[RLIMIT_RSS].cur, m.start_code,
		    m.end_code, m.start_stack, s.pending & 0x7fffffff, s.blocked & 0x7fffffff,
		    s.ignored & 0x7fffffff, s.caught & 0x7fffffff, 0, tg->exit_signal, 0,
		    task->sched_priority, task->sched_policy);
	text_printf(t, "%lu %lu %lu %lu %lu %lu %lu %d\n", m.start_data, m.end_data, m.brk,
		    m.arg_start, m.arg_end, m.env_start, m.env_end, task->exit_code);
	return 0;
}

int proc_show_statm(struct text *t, const struct synth_ctx *c)
{
	struct mem_numbers m;

	mem_numbers(c->task, &m);
	text_printf(t, "%lu %lu %lu %lu 0 %lu 0\n", m.vsize / GUEST_PAGE_SIZE,
		    m.rss / GUEST_PAGE_SIZE, 0ul, m.text / GUEST_PAGE_SIZE,
		    m.data / GUEST_PAGE_SIZE);
	return 0;
}

static void show_ids(struct text *t, const struct cred *c)
{
	text_printf(t, "Uid:\t%u\t%u\t%u\t%u\nGid:\t%u\t%u\t%u\t%u\n", c->uid, c->euid, c->suid,
		    c->fsuid, c->gid, c->egid, c->sgid, c->fsgid);
}

static void show_caps(struct text *t, const struct cred *c, struct task *task)
{
	text_printf(t,
		    "CapInh:\t%016lx\nCapPrm:\t%016lx\nCapEff:\t%016lx\nCapBnd:\t%016lx\n"
		    "CapAmb:\t%016lx\nNoNewPrivs:\t%d\nSeccomp:\t%d\nSeccomp_filters:\t%d\n",
		    c->cap_inheritable, c->cap_permitted, c->cap_effective, c->cap_bounding,
		    c->cap_ambient, c->no_new_privs || atomic_load(&task->no_new_privs),
		    seccomp_mode(task), seccomp_filter_count(task));
}

static void show_memory(struct text *t, const struct mem_numbers *m)
{
	text_printf(t,
		    "VmPeak:\t%8lu kB\nVmSize:\t%8lu kB\nVmLck:\t%8lu kB\nVmPin:\t%8lu kB\n"
		    "VmHWM:\t%8lu kB\nVmRSS:\t%8lu kB\nRssAnon:\t%8lu kB\nRssFile:\t%8lu kB\n"
		    "RssShmem:\t%8lu kB\nVmData:\t%8lu kB\nVmStk:\t%8lu kB\nVmExe:\t%8lu kB\n"
		    "VmLib:\t%8lu kB\nVmPTE:\t%8lu kB\nVmSwap:\t%8lu kB\n",
		    m->vsize >> 10, m->vsize >> 10, m->locked >> 10, 0ul, m->rss >> 10, m->rss >> 10,
		    m->rss >> 10, 0ul, 0ul, m->data >> 10, 132ul, m->text >> 10, 0ul, 40ul, 0ul);
}

static void show_cpus_allowed(struct text *t)
{
	unsigned n = kernel->config.ncpus;
	uint64_t mask = n >= 64 ? ~0ull : (1ull << n) - 1;

	text_printf(t, "Cpus_allowed:\t%lx\nCpus_allowed_list:\t", mask);
	text_printf(t, n > 1 ? "0-%u\n" : "%u\n", n - 1);
	text_puts(t, "Mems_allowed:\t1\nMems_allowed_list:\t0\n");
}

int proc_show_status(struct text *t, const struct synth_ctx *c)
{
	struct task *task = c->task;
	struct mem_numbers m;
	struct signal_numbers s;
	struct cred *cred;
	struct fs_context *fs = NULL;
	char state;
	int tracer, ppid, pgid = 0, sid = 0, nfds = 64;

	mem_numbers(task, &m);
	mutex_lock(&kernel->tasks_lock);
	signal_numbers_locked(task, &s);
	cred = cred_get(task->cred);
	state = state_char(task);
	ppid = task_ppid_locked(task);
	if (task->tg->pgrp) {
		pgid = task->tg->pgrp->pgid;
		sid = task->tg->pgrp->session->sid;
	}
	tracer = ptrace_tracer_locked(task);
	if (task->fs)
		fs = fs_context_get(task->fs);
	text_printf(t, "Name:\t%s\n", task->comm);
	mutex_unlock(&kernel->tasks_lock);
	if (fs) {
		mutex_lock(&fs->mu);
		text_printf(t, "Umask:\t%04o\n", fs->umask);
		mutex_unlock(&fs->mu);
		fs_context_put(fs);
	}
	text_printf(t, "State:\t%s\nTgid:\t%d\nNgid:\t0\nPid:\t%d\nPPid:\t%d\nTracerPid:\t%d\n",
		    state_name(state), task->tg->tgid, c->thread ? task->tid : task->tg->tgid, ppid,
		    tracer);
	show_ids(t, cred);
	text_printf(t, "FDSize:\t%d\nGroups:\t", nfds);
	for (uint32_t i = 0; i < cred->ngroups; i++)
		text_printf(t, "%u ", cred->groups[i]);
	text_printf(t, "\nNStgid:\t%d\nNSpid:\t%d\nNSpgid:\t%d\nNSsid:\t%d\n", task->tg->tgid,
		    task->tid, pgid, sid);
	if (state != 'Z')
		show_memory(t, &m);
	text_printf(t,
		    "CoreDumping:\t0\nThreads:\t%d\nSigQ:\t0/%lu\nSigPnd:\t%016lx\n"
		    "ShdPnd:\t%016lx\nSigBlk:\t%016lx\nSigIgn:\t%016lx\nSigCgt:\t%016lx\n",
		    task->tg->ntasks, task->tg->rlimits[RLIMIT_SIGPENDING].cur, s.pending, s.shared,
		    s.blocked, s.ignored, s.caught);
	show_caps(t, cred, task);
	cred_put(cred);
	show_cpus_allowed(t);
	text_printf(t, "voluntary_ctxt_switches:\t%lu\nnonvoluntary_ctxt_switches:\t%lu\n",
		    task->counts.nvcsw, task->counts.nivcsw);
	return 0;
}

int proc_show_limits(struct text *t, const struct synth_ctx *c)
{
	static const struct {
		const char *name, *unit;
	} rows[GUEST_NRLIMITS] = {
		{"Max cpu time", "seconds"},	   {"Max file size", "bytes"},
		{"Max data size", "bytes"},	   {"Max stack size", "bytes"},
		{"Max core file size", "bytes"},   {"Max resident set", "bytes"},
		{"Max processes", "processes"},	   {"Max open files", "files"},
		{"Max locked memory", "bytes"},	   {"Max address space", "bytes"},
		{"Max file locks", "locks"},	   {"Max pending signals", "signals"},
		{"Max msgqueue size", "bytes"},	   {"Max nice priority", ""},
		{"Max realtime priority", ""},	   {"Max realtime timeout", "us"},
	};
	AUTO_LOCK(&kernel->tasks_lock);

	text_printf(t, "%-25s %-20s %-20s %-10s\n", "Limit", "Soft Limit", "Hard Limit", "Units");
	for (int i = 0; i < GUEST_NRLIMITS; i++) {
		const struct rlimit64_guest *r = &c->task->tg->rlimits[i];
		const uint64_t v[2] = {r->cur, r->max};

		text_printf(t, "%-25s ", rows[i].name);
		for (int k = 0; k < 2; k++) {
			if (v[k] == ~0ull)
				text_printf(t, "%-20s ", "unlimited");
			else
				text_printf(t, "%-20lu ", v[k]);
		}
		text_printf(t, "%-10s\n", rows[i].unit);
	}
	return 0;
}
