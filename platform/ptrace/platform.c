/* The ptrace platform. Guest code runs natively in host processes, one a guest address space, one
 * host thread T a guest thread; each T is traced by its S, the sentry's thread that serves it.
 *
 *	S  pf_run()				T
 *	   SETREGSET, PTRACE_SYSEMU  ---------->  guest code
 *	   waitid  <--------------------------  `syscall`: stopped at its entry, the host runs nothing
 *	   GETREGSET, PF_SYSCALL
 *
 * Every `syscall` of a running T stops it before the host has looked at it, and is skipped: no
 * guest's call reaches the host, whatever the number and wherever the instruction lies. Faults stop
 * T on their way to become signals, and the signal is dropped.
 *
 * Host calls (mmap and the like) are *injected*: S sets T's registers to the call and to the stub, a
 * page above PF_GUEST_MAX with the few instructions needed (stub.c), lets T run it without SYSEMU
 * to its breakpoint, and later puts the guest's registers back. The truth about a stopped guest's
 * registers is in pf_thread.regs; FP state stays in T. There is no second stack, no signal frame,
 * no memory shared with the guest, except a page for recvmsg's header, over which the guest may
 * scribble to lose its own descriptors.
 *
 * The host takes ptrace requests only from the thread that traces, so a T has at most one S:
 *
 *	born -> *parked*: untraced, asleep in the stub's pause()
 *	parked -> traced: its S needs it the first time (tracee_attach)
 *	traced -> parked: pf_ops.release, before another S takes over; thread_destroy of the first
 *	traced -> gone: thread_destroy; the process: space_kill
 *
 * An interrupt comes from any thread and can't be a request of the tracer: it is a signal to T,
 * whose stop S sees.
 *
 * If the sentry dies: PTRACE_O_EXITKILL ends the traced ones, the parent's death signal (which each
 * process asks for at birth) the parked ones.
 *
 * Death: a T other than the first is a zombie until its S has waited for it, and the first one is
 * not reported before. So if somebody on the host kills a process (a lack of memory, say) while its
 * first thread runs and its others sleep in the sentry, that is noticed when one of these wakes.
 *
 * What of a guest reaches the host natively: its page faults, and the three time calls of the
 * legacy vsyscall page, if the host has one; both harmless. int $0x80 and sysenter are stopped like
 * `syscall` and end the process.
 *
 * Files: tracee.c one thread and its tracer; run.c; calls.c; fault.c; fpu.c; space.c, thread.c,
 * zygote.c births and deaths; memory.c. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "platform/ptrace/impl.h"

static int ptrace_start(const struct pf_config *cfg, struct platform **out)
{
	struct platform *p = calloc(1, sizeof(*p));
	int r;

	if (!p)
		return -ENOMEM;
	p->cfg = *cfg;
	p->procfd = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
	mutex_init(&p->zygote_mu, LOCK_NONE);
	mutex_init(&p->mu, LOCK_NONE);
	cond_init(&p->spaces_gone);
	r = pt_fault_start();
	if (!r)
		r = pt_zygote_start(p);
	if (r)
		return r; /* the process is about to end: nothing is undone */
	*out = p;
	return 0;
}

static void ptrace_stop(struct platform *p)
{
	struct timespec now;
	unsigned long long deadline;

	ptrace_thread_destroy(p->zygote);
	clock_gettime(CLOCK_MONOTONIC, &now);
	deadline = now.tv_sec * 1000000000ULL + now.tv_nsec + 5000000000ULL;
	mutex_lock(&p->mu);
	while (p->nspaces && cond_wait(&p->spaces_gone, &p->mu, deadline) == 0)
		;
	mutex_unlock(&p->mu);
	pt_fault_stop();
	if (p->procfd >= 0)
		close(p->procfd);
	mutex_destroy(&p->mu);
	mutex_destroy(&p->zygote_mu);
	cond_destroy(&p->spaces_gone);
	free(p);
}

static struct pf_regs *ptrace_regs(struct pf_thread *t)
{
	return &t->regs;
}

static void ptrace_publish(struct pf_thread *t, const struct pf_identity *id)
{
	/* Nothing is answered without the sentry. */
}

static uint64_t ptrace_host_vdso(struct pf_space *s)
{
	return s->p->vdso;
}

static struct pf_space *ptrace_thread_space(struct pf_thread *t)
{
	return t->space;
}

const struct pf_ops platform_ptrace = {
	.name = "ptrace",
	.traces = true,
	.start = ptrace_start,
	.stop = ptrace_stop,
	.space_new = ptrace_space_new,
	.space_fork = ptrace_space_fork,
	.thread_new = ptrace_thread_new,
	.thread_destroy = ptrace_thread_destroy,
	.release = ptrace_release,
	.space_kill = ptrace_space_kill,
	.space_get = ptrace_space_get,
	.space_put = ptrace_space_put,
	.regs = ptrace_regs,
	.fpu_size = ptrace_fpu_size,
	.fpu_get = ptrace_fpu_get,
	.fpu_set = ptrace_fpu_set,
	.fpu_reset = ptrace_fpu_reset,
	.run = ptrace_run,
	.interrupt = ptrace_interrupt,
	.interrupt_clear = ptrace_interrupt_clear,
	.call = ptrace_call,
	.call_post = ptrace_call_post,
	.call_wait = ptrace_call_wait,
	.read = ptrace_read,
	.write = ptrace_write,
	.cmpxchg32 = ptrace_cmpxchg32,
	.publish = ptrace_publish,
	.host_vdso = ptrace_host_vdso,
	.thread_cpu_time = ptrace_thread_cpu_time,
	.space_cpu_time = ptrace_space_cpu_time,
	.space_rss = ptrace_space_rss,
	.space_shared = ptrace_space_shared,
	.thread_space = ptrace_thread_space,
};
