/* The seccomp platform. Guest code runs natively in stub processes; what it asks for comes out by
 * a seccomp TRAP, and goes to the sentry through memory that both share.
 *
 *	 sentry process                        stub process (one a guest address space)
 *	+---------------------------+         +------------------------------------------+
 *	| S thread   pf_thread      |         | guest mappings (all of them the host's)  |
 *	|   pf_run() ------------------slot------ T thread: guest code / stub handler    |
 *	| S thread   pf_thread ----------slot------ T thread                             |
 *	|                           |  arena  |                                          |
 *	|            pf_space --------socket---- descriptor 0: fds for mappings          |
 *	| helper thread: pidfds, approval of clones                                      |
 *	+---------------------------+         +------------------------------------------+
 *	                   zygote: a stub without a guest, which others are forked from
 *
 * Files: arena.c slots; frame.c registers and FP state; handover.c run and interrupt; calls.c
 * commands to a stopped stub; space.c and thread.c births; kit.c what they need; reap.c deaths;
 * memory.c; helper.c; zygote.c. The stub's own code: platform/stub, what it shares with us: stub/layout.h.
 *
 * A pf_thread is stopped or running. Stopped: its stub thread waits in the slot (state STOPPED),
 * its frame lies in the slot, S has a copy of the registers. Running: S waits in pf_run().
 *
 * A stub can lie in everything it says; what then? State words: it fakes its own system calls.
 * Frame and lengths: positions are checked, contents are the guest's anyway. Ids: checked against
 * the host. Silence: every wait is bounded, ends with SIGKILL, and death is learned from pidfds. */
#include "platform/seccomp/impl.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int seccomp_start(const struct pf_config *cfg, struct platform **out)
{
	struct platform *p = calloc(1, sizeof(*p));
	int r;

	if (!p)
		return -ENOMEM;
	p->cfg = *cfg;
	p->listener = p->epoll = p->event = p->answers_fd = -1;
	p->makers_avoid = p->helper_cpu = -1;
	p->orphans_of = cfg->have_pid_namespace ? 0 : getpid();
	p->procfd = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
	mutex_init(&p->zygote_mu, LOCK_NONE);
	mutex_init(&p->mu, LOCK_NONE);
	cond_init(&p->spaces_gone);
	list_init(&p->approvals);
	list_init(&p->watched);
	list_init(&p->ended);
	cond_init(&p->spare_taken);
	cond_init(&p->started_cond);
	p->interrupt_deadline_ns = INTERRUPT_DEADLINE_NS;
	p->command_deadline_ns = COMMAND_DEADLINE_NS;
	answers_start(p);
	r = zygote_launch(p);
	if (r)
		return r; /* the process is about to end: nothing is undone */
	*out = p;
	return 0;
}

/* Without spare stubs there is no thread for it. */
static int seccomp_start_more(struct platform *p)
{
	int r;

	if (p->cfg.spare_stubs)
		return spares_start(p);
	r = zygote_start(p);
	regime_unplace(p);
	return r;
}

static int seccomp_start_wait(struct platform *p)
{
	return p->have_spare_maker ? spares_wait(p) : 0;
}

static void seccomp_stop(struct platform *p)
{
	atomic_store(&p->stopping_soon, true);
	spares_stop(p);
	seccomp_thread_destroy(p->zygote_thread);
	seccomp_reap(p);
	mutex_lock(&p->mu);
	while (p->nspaces && cond_wait(&p->spaces_gone, &p->mu, now_ns() + 5000000000ULL) == 0)
		;
	mutex_unlock(&p->mu);
	helper_stop(p);
	kits_free(p);
	answers_stop(p);
	close(p->epoll);
	close(p->event);
	if (p->listener >= 0)
		close(p->listener);
	if (p->procfd >= 0)
		close(p->procfd);
	mutex_destroy(&p->mu);
	mutex_destroy(&p->zygote_mu);
	cond_destroy(&p->spaces_gone);
	cond_destroy(&p->spare_taken);
	cond_destroy(&p->started_cond);
	free(p);
}

static struct pf_regs *seccomp_regs(struct pf_thread *t)
{
	return &t->regs;
}

void seccomp_publish(struct pf_thread *t, const struct pf_identity *id)
{
	struct slot *s = t->slot;

	__atomic_store_n(&s->answers, 0, __ATOMIC_RELEASE);
	s->tgid = id->tgid;
	s->tid = id->tid;
	__atomic_store_n(&s->ppid, id->ppid, __ATOMIC_RELEASE);
	s->uid = id->uid;
	s->euid = id->euid;
	s->gid = id->gid;
	s->egid = id->egid;
	s->cred = id->cred;
	s->place = id->place;
	__atomic_store_n(&s->answers, id->answers_allowed, __ATOMIC_RELEASE);
}

static void seccomp_said(struct pf_thread *t, bool forget, struct pf_said *out)
{
	struct slot *s = t->slot;
	uint32_t said = __atomic_load_n(&s->said, __ATOMIC_ACQUIRE);

	*out = (struct pf_said){
		.clear_tid_set = said & SLOT_SAID_CLEAR_TID,
		.robust_list_set = said & SLOT_SAID_ROBUST_LIST,
		.clear_tid = gptr(s->clear_tid),
		.robust_list = gptr(s->robust_list),
	};
	if (forget)
		s->said = 0;
}

static struct known *seccomp_known(struct pf_thread *t)
{
	struct known *k = slot_known(t->slot);

	if (!t->knows) {
		memset(k, 0, offsetof(struct known, action));
		t->slot->known = 1;
	}
	t->knows = true;
	return k;
}

/* Needs an instruction that reads the base of %gs. */
static uint64_t seccomp_fast_entry(struct platform *p)
{
	return p->fsgsbase && !p->cfg.no_patch ? STUB_FAST_ENTRY : 0;
}

static uint64_t seccomp_host_vdso(struct pf_space *s)
{
	return s->vdso;
}

static struct pf_space *seccomp_thread_space(struct pf_thread *t)
{
	return t->space;
}

const struct pf_ops platform_seccomp = {
	.name = "seccomp",
	.start = seccomp_start,
	.start_more = seccomp_start_more,
	.start_wait = seccomp_start_wait,
	.stop = seccomp_stop,
	.space_new = seccomp_space_new,
	.space_fork = seccomp_space_fork,
	.space_fork_run = seccomp_space_fork_run,
	.thread_new = seccomp_thread_new,
	.thread_destroy = seccomp_thread_destroy,
	.thread_aside = seccomp_thread_aside,
	.space_kill = seccomp_space_kill,
	.reap = seccomp_reap,
	.space_get = space_get,
	.space_put = space_put,
	.regs = seccomp_regs,
	.fpu_size = seccomp_fpu_size,
	.fpu_get = seccomp_fpu_get,
	.fpu_set = seccomp_fpu_set,
	.fpu_reset = seccomp_fpu_reset,
	.run = seccomp_run,
	.interrupt = seccomp_interrupt,
	.interrupt_clear = seccomp_interrupt_clear,
	.will_block = seccomp_will_block,
	.has_blocked = seccomp_has_blocked,
	.idle = seccomp_idle,
	.call = seccomp_call,
	.call_post = seccomp_call_post,
	.calls_ran = seccomp_calls_ran,
	.call_wait = seccomp_call_wait,
	.read = seccomp_read,
	.write = seccomp_write,
	.late_buffer = seccomp_late_buffer,
	.late_commit = seccomp_late_commit,
	.late_zero = seccomp_late_zero,
	.late_fetch = seccomp_late_fetch,
	.late_flush = seccomp_late_flush,
	.late_drop = seccomp_late_drop,
	.cmpxchg32 = seccomp_cmpxchg32,
	.publish = seccomp_publish,
	.changes = seccomp_changes,
	.place_new = seccomp_place_new,
	.place_set = seccomp_place_set,
	.place_free = seccomp_place_free,
	.may_answer = seccomp_may_answer,
	.answer = seccomp_answer,
	.said = seccomp_said,
	.known = seccomp_known,
	.fast_entry = seccomp_fast_entry,
	.host_vdso = seccomp_host_vdso,
	.thread_cpu_time = seccomp_thread_cpu_time,
	.space_cpu_time = seccomp_space_cpu_time,
	.space_rss = seccomp_space_rss,
	.space_shared = seccomp_space_shared,
	.thread_cpu = seccomp_thread_cpu,
	.thread_maxrss = seccomp_thread_maxrss,
	.thread_space = seccomp_thread_space,
};
