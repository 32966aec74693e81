/* Tracing of tasks by tasks.
 *
 * A tracee stops on its own S thread, at places of its own choosing: before and after a system
 * call, before a signal is delivered, at events (fork, exec, exit), when asked to. To stop it
 * notes why, tells the tracer's process as a child would (SIGCHLD, wait), and sleeps until the
 * tracer lets it go or it is killed:
 *
 *	tracee S: stop_locked() ─ sleeps ───────────────── awake, goes on with pt->inject
 *	tracer S:        wait4 ─ GETREGS, POKE ... ─ CONT ─┘
 *
 * While it is stopped, the tracer's S thread may touch its registers, under tasks_lock, which the
 * tracee needs to leave the stop. t->ptrace is set, replaced and freed under tasks_lock; the owner
 * may look without it whether it is NULL, and no further.
 *
 * A traced task's signals go through its tracer even if they are ignored, and its stub answers no
 * call by itself (task_publish). */
#include "sentry/kernel/ptrace.h"

#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>

#include "sentry/kernel/task_impl.h"
#include "sentry/mm/mm.h"
#include "sentry/mm/usercopy.h"

#define EFLAGS_TF 0x100
#define EVENT_STOP 128 /* PTRACE_EVENT_STOP */

/* ---- telling the tracer --------------------------------------------------------------------- */

static void tracer_notify_locked(struct task *t, int code, int status)
{
	struct task *tracer = t->ptrace->tracer;
	struct guest_siginfo info = {.si_signo = SIGCHLD, .si_code = code};
	const struct sigaction_guest *act;

	if (!tracer->sighand)
		return;
	act = &tracer->sighand->action[SIGCHLD - 1];
	if (act->handler != 1 && !(act->flags & SA_NOCLDSTOP)) {
		info.chld.pid = t->tid;
		info.chld.uid = t->cred->uid;
		info.chld.status = status;
		signal_send_group_locked(tracer->tg, &info);
	}
	waitq_wake(&tracer->tg->child_waitq, POLLIN);
}

/* ---- writing through a tracee --------------------------------------------------------------- */

struct ptrace_write {
	struct task *tracer;
	struct gptr dst;
	const void *src;
	size_t n;
	ssize_t result;
	bool done;
};

static void write_finish_locked(struct ptrace *p, ssize_t result)
{
	struct ptrace_write *w = p->write;

	p->write = NULL;
	w->result = result;
	w->done = true;
	task_wake(w->tracer);
}

/* On the tracee's S thread, with tasks_lock, dropped meanwhile. */
static void write_do_locked(struct task *t)
{
	struct ptrace_write *w = t->ptrace->write;
	ssize_t r;

	mutex_unlock(&kernel->tasks_lock);
	r = mm_write_force(t->mm, w->dst, w->src, w->n);
	mutex_lock(&kernel->tasks_lock);
	write_finish_locked(t->ptrace, r);
}

static struct ptrace *writer_find_locked(struct task *tracer, struct mm *mm)
{
	list_for_each(p, &tracer->tracees, struct ptrace, node)
		if (p->stopped && p->tracee->mm == mm && !p->tracee->killed)
			return p;
	return NULL;
}

ssize_t ptrace_write_through(struct task *tracer, struct mm *mm, struct gptr dst, const void *src,
			     size_t n)
{
	struct ptrace_write w = {.tracer = tracer, .dst = dst, .src = src, .n = n};
	struct ptrace *p;

	mutex_lock(&kernel->tasks_lock);
	p = writer_find_locked(tracer, mm);
	if (!p) {
		mutex_unlock(&kernel->tasks_lock);
		return -EFAULT;
	}
	p->write = &w;
	task_wake(p->tracee);
	while (!w.done) {
		uint32_t seq = task_wake_prepare(tracer);

		mutex_unlock(&kernel->tasks_lock);
		task_block_always(tracer, seq);
		mutex_lock(&kernel->tasks_lock);
	}
	mutex_unlock(&kernel->tasks_lock);
	return w.result;
}

/* ---- stopping ------------------------------------------------------------------------------- */

/* Returns the signal that the tracer injects. tasks_lock is held on entry and on return; t->ptrace
 * may be NULL then. exiting: being killed doesn't end the stop, the tracer's end does. */
static int stop_always_locked(struct task *t, int code, const struct guest_siginfo *info,
			      bool exiting)
{
	struct ptrace *p = t->ptrace;
	int inject = 0;

	p->code = code;
	p->info = info ? *info : (struct guest_siginfo){.si_signo = code & 0x7f, .si_code = code};
	p->inject = 0;
	p->stopped = true;
	p->reported = p->listening = false;
	atomic_store(&t->state, TASK_STOPPED);
	tracer_notify_locked(t, CLD_TRAPPED, code & 0x7f);
	while (t->ptrace && t->ptrace->stopped && (exiting || !t->killed)) {
		uint32_t seq = task_wake_prepare(t);

		if (t->ptrace->write) {
			write_do_locked(t);
			continue;
		}
		mutex_unlock(&kernel->tasks_lock);
		if (exiting)
			task_block_always(t, seq);
		else
			task_block_killable(t, seq, UINT64_MAX);
		atomic_store(&t->state, TASK_STOPPED);
		mutex_lock(&kernel->tasks_lock);
	}
	atomic_store(&t->state, TASK_RUNNING);
	if (t->ptrace) {
		if (t->ptrace->write) /* killed */
			write_finish_locked(t->ptrace, -EFAULT);
		t->ptrace->stopped = false;
		t->ptrace->phase = PHASE_NONE;
		inject = t->ptrace->inject;
	}
	signal_recalc_locked(t);
	return t->killed ? 0 : inject;
}

static int stop_locked(struct task *t, int code, const struct guest_siginfo *info)
{
	return t->killed ? 0 : stop_always_locked(t, code, info, false);
}

void ptrace_resume_locked(struct task *t, enum ptrace_resume how, int signo)
{
	struct ptrace *p = t->ptrace;

	p->resume = how;
	p->inject = signo;
	p->stopped = p->listening = false;
	task_wake(t);
}

/* ---- attaching ------------------------------------------------------------------------------ */

int ptrace_attach_locked(struct task *tracer, struct task *t, uint64_t options, bool seized)
{
	struct ptrace *p;

	if (t->ptrace)
		return -EPERM;
	p = calloc(1, sizeof(*p));
	if (!p)
		return -ENOMEM;
	p->tracer = tracer;
	p->options = options;
	p->seized = seized;
	list_init(&p->node);
	list_push_back(&tracer->tracees, &p->node);
	p->tracee = t;
	t->ptrace = p;
	task_republish(t);
	return 0;
}

void ptrace_detach_locked(struct task *t, int signo)
{
	struct ptrace *p = t->ptrace;
	struct guest_siginfo info;

	list_del_init(&p->node);
	t->ptrace = NULL;
	if (signo && t->sighand) {
		siginfo_kernel(&info, signo);
		info.si_code = SI_USER;
		signal_send_task_locked(t, &info);
	}
	free(p);
	if (!t->exiting)
		task_republish(t);
	task_wake(t);
}

void ptrace_tracer_exit_locked(struct task *tracer)
{
	list_for_each_safe(p, &tracer->tracees, struct ptrace, node) {
		struct task *t = p->tracee;
		bool kill = p->options & PTRACE_O_EXITKILL;

		ptrace_detach_locked(t, 0);
		if (kill && !t->exiting)
			task_group_exit_locked(t->tg, SIGKILL);
		else if (t->tg->zombie)
			thread_group_zombie_untraced_locked(t->tg, tracer->tg);
	}
	list_for_each_safe(n, &tracer->ptrace_notes, struct ptrace_note, node) {
		list_del_init(&n->node);
		free(n);
	}
}

int ptrace_tracer_locked(const struct task *t)
{
	return t->ptrace ? t->ptrace->tracer->tg->tgid : 0;
}

/* ---- system calls --------------------------------------------------------------------------- */

static bool stops_at_calls(const struct ptrace *p)
{
	return p->resume == RESUME_SYSCALL || p->resume == RESUME_SYSEMU ||
	       p->resume == RESUME_SYSEMU_STEP;
}

/* The signal that a tracer gives when it resumes a syscall-stop is sent, not delivered at once. */
static void send_injected_locked(struct task *t, int signo)
{
	struct guest_siginfo info = {.si_signo = signo, .si_code = SI_USER};

	if (signo)
		signal_send_task_locked(t, &info);
}

static int syscall_code(const struct ptrace *p)
{
	return SIGTRAP | (p->options & PTRACE_O_TRACESYSGOOD ? 0x80 : 0);
}

bool ptrace_syscall_enter(struct task *t, uint64_t *nr, uint64_t args[6], int64_t *result)
{
	AUTO_LOCK(&kernel->tasks_lock);
	struct pf_regs *regs = kernel->pf_ops->regs(t->pt);
	bool emulated;

	if (!t->ptrace || !stops_at_calls(t->ptrace))
		return true;
	emulated = t->ptrace->resume != RESUME_SYSCALL;
	regs->rax = (uint64_t)-ENOSYS;
	t->ptrace->phase = PHASE_ENTRY;
	send_injected_locked(t, stop_locked(t, syscall_code(t->ptrace), NULL));
	*result = (int64_t)regs->rax;
	if (t->killed || emulated || regs->orig_rax < 0)
		return false;
	*nr = (uint64_t)regs->orig_rax;
	pf_regs_args(regs, args);
	return true;
}

void ptrace_syscall_exit(struct task *t, int64_t *result)
{
	AUTO_LOCK(&kernel->tasks_lock);
	struct pf_regs *regs = kernel->pf_ops->regs(t->pt);
	struct ptrace *p = t->ptrace;
	bool step;

	if (!p || t->killed)
		return;
	step = p->resume == RESUME_STEP || p->resume == RESUME_SYSEMU_STEP;
	if (p->resume != RESUME_SYSCALL && !step)
		return;
	regs->rax = (uint64_t)*result;
	p->phase = PHASE_EXIT;
	send_injected_locked(t, stop_locked(t, step ? SIGTRAP : syscall_code(p), NULL));
	*result = (int64_t)regs->rax;
}

/* ---- signals -------------------------------------------------------------------------------- */

int ptrace_signal_locked(struct task *t, int signo, struct guest_siginfo *info)
{
	int inject = stop_locked(t, signo, info);

	if (t->killed || !inject)
		return 0;
	if (inject != signo) {
		*info = (struct guest_siginfo){.si_signo = inject, .si_code = SI_USER};
		if (t->ptrace) {
			info->rt.pid = t->ptrace->tracer->tg->tgid;
			info->rt.uid = t->ptrace->tracer->cred->uid;
		}
	} else if (t->ptrace) {
		*info = t->ptrace->info; /* PTRACE_SETSIGINFO may have changed it */
		info->si_signo = inject;
	}
	if (t->blocked & SIGBIT(inject)) { /* it must wait */
		signal_send_task_locked(t, info);
		return 0;
	}
	return inject;
}

bool ptrace_wants_stop_locked(const struct task *t)
{
	return t->ptrace && t->ptrace->interrupt;
}

void ptrace_group_stop_locked(struct task *t, int signo)
{
	struct ptrace *p = t->ptrace;

	p->interrupt = false;
	if (p->seized)
		stop_locked(t, (signo ? signo : SIGTRAP) | EVENT_STOP << 8, NULL);
	else
		stop_locked(t, signo ? signo : SIGTRAP, NULL);
}

/* ---- events --------------------------------------------------------------------------------- */

static bool event_wanted(const struct ptrace *p, int event)
{
	return p->options & 1ULL << event;
}

bool ptrace_event(struct task *t, int event, uint64_t message)
{
	AUTO_LOCK(&kernel->tasks_lock);

	if (!t->ptrace || !event_wanted(t->ptrace, event))
		return false;
	t->ptrace->message = message;
	if (event == PTRACE_EVENT_SECCOMP)
		t->ptrace->phase = PHASE_SECCOMP;
	send_injected_locked(t, stop_locked(t, SIGTRAP | event << 8, NULL));
	return true;
}

/* Only of those who exit by themselves: who was killed has no time for it (ptrace(2)). */
void ptrace_exit(struct task *t)
{
	AUTO_LOCK(&kernel->tasks_lock);

	if (!t->ptrace || !event_wanted(t->ptrace, PTRACE_EVENT_EXIT))
		return;
	if (t->sys_nr != SYS_exit && t->sys_nr != SYS_exit_group)
		return;
	t->ptrace->message = (uint64_t)(t->tg->exiting ? t->tg->exit_status : t->exit_code);
	stop_always_locked(t, SIGTRAP | PTRACE_EVENT_EXIT << 8, NULL, true);
}

/* Without PTRACE_O_TRACEEXEC, a tracer that attached in the old way gets a SIGTRAP. */
void ptrace_exec(struct task *t, int old_tid)
{
	struct guest_siginfo info = {.si_signo = SIGTRAP, .si_code = SI_USER};

	if (!t->ptrace || ptrace_event(t, PTRACE_EVENT_EXEC, (uint64_t)old_tid))
		return;
	AUTO_LOCK(&kernel->tasks_lock);
	if (t->ptrace && !t->ptrace->seized) {
		info.rt.pid = t->tg->tgid;
		signal_send_task_locked(t, &info);
	}
}

int ptrace_clone_event(struct task *t, uint64_t flags, int exit_signal)
{
	AUTO_LOCK(&kernel->tasks_lock);
	int event = PTRACE_EVENT_CLONE;

	if (!t->ptrace || flags & CLONE_UNTRACED)
		return 0;
	if (flags & CLONE_VFORK)
		event = PTRACE_EVENT_VFORK;
	else if (exit_signal == SIGCHLD && !(flags & CLONE_THREAD))
		event = PTRACE_EVENT_FORK;
	return event_wanted(t->ptrace, event) ? event : 0;
}

/* The child of a tracee begins its life stopped. */
void ptrace_clone_child_locked(struct task *t, struct task *c, bool forced, int event)
{
	struct guest_siginfo info = {.si_signo = SIGSTOP, .si_code = SI_USER};
	struct ptrace *p = t->ptrace;

	if (!p || !(event || forced))
		return;
	if (ptrace_attach_locked(p->tracer, c, p->options, p->seized) < 0)
		return; /* no memory: it runs untraced */
	if (p->seized) {
		c->ptrace->interrupt = true;
		atomic_store(&c->work, true);
	} else {
		signal_send_task_locked(c, &info);
	}
}

/* ---- single steps --------------------------------------------------------------------------- */

void ptrace_before_run(struct task *t)
{
	AUTO_LOCK(&kernel->tasks_lock);
	struct ptrace *p = t->ptrace;
	struct pf_regs *regs = kernel->pf_ops->regs(t->pt);

	if (!p)
		return;
	p->stepping = false;
	if (p->resume != RESUME_STEP && p->resume != RESUME_SYSEMU_STEP)
		return;
	p->stepping = !(regs->eflags & EFLAGS_TF);
	regs->eflags |= EFLAGS_TF;
}

void ptrace_after_run(struct task *t)
{
	AUTO_LOCK(&kernel->tasks_lock);

	if (t->ptrace && t->ptrace->stepping && t->pt)
		kernel->pf_ops->regs(t->pt)->eflags &= ~(uint64_t)EFLAGS_TF;
}

/* ---- the end of a tracee -------------------------------------------------------------------- */

void ptrace_exit_note_locked(struct task *t)
{
	struct ptrace_note *n;
	struct task *tracer;

	if (!t->ptrace)
		return;
	tracer = t->ptrace->tracer;
	n = calloc(1, sizeof(*n));
	if (n) {
		n->tid = t->tid;
		n->uid = t->cred->uid;
		n->status = t->exit_code;
		list_init(&n->node);
		list_push_back(&tracer->ptrace_notes, &n->node);
		tracer_notify_locked(t, n->status & 0x7f ? CLD_KILLED : CLD_EXITED,
				     n->status & 0x7f ? n->status & 0x7f : n->status >> 8);
	}
	ptrace_detach_locked(t, 0);
}

bool ptrace_zombie_notify_locked(struct task *leader, const struct thread_group *parent)
{
	int status = leader->tg->exit_status;

	if (leader->ptrace->tracer->tg == parent)
		return false;
	tracer_notify_locked(leader, status & 0x7f ? CLD_KILLED : CLD_EXITED,
			     status & 0x7f ? status & 0x7f : status >> 8);
	return true;
}
