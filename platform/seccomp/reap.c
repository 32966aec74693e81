/* The end of stub processes.
 *
 *	expected	the last thread of a space is destroyed: SIGKILL, and the space goes to
 *			p->ended. Some thread that has nothing else to do takes it from there (reap), so
 *			that nobody waits for the host's teardown.
 *	unexpected	the helper thread learns of it from the pidfd.
 *
 * Either takes the space off p->watched, and with that the reference that the process holds. */
#include "platform/seccomp/impl.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/wait.h>
#include <unistd.h>

int space_watch(struct pf_space *s)
{
	struct platform *p = s->p;
	struct epoll_event ev = {.events = EPOLLIN, .data.u64 = (uint64_t)s->pid};

	ref_get(&s->ref);
	mutex_lock(&p->mu);
	list_push_back(&p->watched, &s->watch_link);
	mutex_unlock(&p->mu);
	if (epoll_ctl(p->epoll, EPOLL_CTL_ADD, s->pidfd, &ev) == 0)
		return 0;

	int r = -errno;

	if (space_unwatch(s))
		ref_put(&s->ref);
	return r;
}

/* Closing the pidfd takes it out of the epoll set, so that an end that we bring about wakes nobody. */
bool space_unwatch(struct pf_space *s)
{
	struct platform *p = s->p;
	bool watched;

	mutex_lock(&p->mu);
	watched = !list_empty(&s->watch_link);
	list_del_init(&s->watch_link);
	mutex_unlock(&p->mu);
	if (watched) {
		close(s->pidfd);
		s->pidfd = -1;
	}
	return watched;
}

static bool process_ended(pid_t pid, int flags)
{
	siginfo_t si = {0};

	if (waitid(P_PID, pid, &si, WEXITED | WNOWAIT | flags) < 0)
		return errno != EINTR;
	return si.si_pid == pid;
}

/* By number: an event may be older than what has that number by now. */
struct pf_space *space_watched_dead(struct platform *p, pid_t pid)
{
	AUTO_LOCK(&p->mu);

	list_for_each(s, &p->watched, struct pf_space, watch_link)
		if (s->pid == pid && process_ended(pid, WNOHANG)) {
			list_del_init(&s->watch_link);
			return s;
		}
	return NULL;
}

void space_end(struct pf_space *s)
{
	struct platform *p = s->p;
	bool ours = space_unwatch(s);

	regime_turnover(p);
	seccomp_space_kill(s);
	if (!ours)
		return;
	AUTO_LOCK(&p->mu);
	list_push_back(&p->ended, &s->watch_link);
	atomic_fetch_add(&p->nended, 1);
}

/* A process takes 100 us and more to end, on the CPU where it was last, as a rule: for an exec that is the one
 * that the new program is to start on. */
void seccomp_thread_aside(struct pf_thread *t)
{
	struct platform *p = t->space->p;
	int cpu = sched_getcpu();
	cpu_set_t set = p->cpus;
	bool last;

	if (p->ncpu < 2 || cpu < 0 || cpu >= CPU_SETSIZE ||
	    atomic_load_explicit(&p->nactive, memory_order_relaxed) >= p->ncpu)
		return;
	mutex_lock(&t->space->mu);
	last = t->space->nthreads == 1;
	mutex_unlock(&t->space->mu);
	CPU_CLR(cpu, &set);
	if (last)
		sched_setaffinity(t->tid, sizeof(set), &set);
}

static struct pf_space *ended_take(struct platform *p)
{
	struct pf_space *s;

	if (!atomic_load(&p->nended))
		return NULL;
	AUTO_LOCK(&p->mu);
	s = list_first(&p->ended, struct pf_space, watch_link);
	if (s) {
		list_del_init(&s->watch_link);
		atomic_fetch_sub(&p->nended, 1);
	}
	return s;
}

void seccomp_reap(struct platform *p)
{
	struct pf_space *s;
	bool any = false;

	while ((s = ended_take(p))) {
		while (!process_ended(s->pid, 0))
			;
		space_put(s);
		any = true;
	}
	if (any) /* where processes end, others begin */
		kits_fill(p);
}
