/* The helper thread: learns of the death of stubs, and lets clones through.
 *
 * Without USER_NOTIF on clone a guest that jumps into the stub could make processes and threads
 * that the sentry knows nothing of. With it, the host asks here, and only a clone that some S has
 * announced (thread, flags, stack) goes through, once. */
#include "platform/seccomp/impl.h"

#include <errno.h>
#include <linux/seccomp.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "abi/base/log.h"

/* Linux 6.6: the helper is woken on the CPU of the thread that clones, which sleeps meanwhile. */
#ifndef SECCOMP_IOCTL_NOTIF_SET_FLAGS
#define SECCOMP_IOCTL_NOTIF_SET_FLAGS SECCOMP_IOW(4, __u64)
#define SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP (1UL << 0)
#endif

/* What an event is about: one of these, or a process by its number (reap.c). */
enum { TAG_STOP, TAG_LISTENER };

/* The helper sleeps, as a rule: so it is woken on t's CPU. Elsewhere it would not only wake a CPU: the
 * host wakes t where the answer was given, and S would have to follow. */
static void helper_near_locked(struct platform *p, struct pf_thread *t)
{
	int cpu = seccomp_thread_cpu(t);
	cpu_set_t set;

	if (cpu < 0 || cpu == p->helper_cpu || !p->helper_tid)
		return;
	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	sched_setaffinity(p->helper_tid, sizeof(set), &set);
	p->helper_cpu = cpu;
}

void approval_add(struct pf_thread *t, struct approval *a)
{
	struct platform *p = t->space->p;

	a->tid = t->tid;
	AUTO_LOCK(&p->mu);
	list_push_back(&p->approvals, &a->link);
	helper_near_locked(p, t);
}

void approval_remove(struct platform *p, struct approval *a)
{
	AUTO_LOCK(&p->mu);
	list_del_init(&a->link);
}

static bool approval_take(struct platform *p, const struct seccomp_notif *n)
{
	AUTO_LOCK(&p->mu);
	list_for_each(a, &p->approvals, struct approval, link)
		if (a->tid == (pid_t)n->pid && a->flags == n->data.args[0] &&
		    a->stack == n->data.args[1]) {
			list_del_init(&a->link);
			return true;
		}
	return false;
}

static void notification_serve(struct platform *p)
{
	struct seccomp_notif n;
	struct seccomp_notif_resp r;

	memset(&n, 0, sizeof(n));
	if (ioctl(p->listener, SECCOMP_IOCTL_NOTIF_RECV, &n) < 0)
		return;
	memset(&r, 0, sizeof(r));
	r.id = n.id;
	if (n.data.nr == SYS_clone && approval_take(p, &n))
		r.flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE;
	else
		r.error = -EPERM;
	ioctl(p->listener, SECCOMP_IOCTL_NOTIF_SEND, &r);
}

static void death_serve(struct platform *p, struct pf_space *s)
{
	close(s->pidfd);
	s->pidfd = -1;
	space_mark_dead(s);
	if (s == p->zygote && !atomic_load(&p->stopping_soon))
		log_error("the zygote died: no new address spaces can be made");
	if (s != p->zygote && !atomic_load(&s->ending) && !atomic_load(&p->stopping_soon) &&
	    p->cfg.on_death)
		p->cfg.on_death(s);
	space_put(s);
}

static void event_serve(struct platform *p, const struct epoll_event *ev)
{
	struct pf_space *s;

	switch (ev->data.u64) {
	case TAG_STOP:
		break;
	case TAG_LISTENER:
		if (ev->events & EPOLLIN)
			notification_serve(p);
		else /* no stub is left */
			epoll_ctl(p->epoll, EPOLL_CTL_DEL, p->listener, NULL);
		break;
	default:
		s = space_watched_dead(p, (pid_t)ev->data.u64);
		if (s)
			death_serve(p, s);
	}
}

static void *helper_main(void *arg)
{
	struct platform *p = arg;
	struct epoll_event ev[16];

	mutex_lock(&p->mu);
	p->helper_tid = (pid_t)syscall(SYS_gettid);
	mutex_unlock(&p->mu);
	while (!atomic_load(&p->stopping)) {
		int n = epoll_wait(p->epoll, ev, 16, -1);

		for (int i = 0; i < n; i++)
			event_serve(p, &ev[i]);
	}
	return NULL;
}

static int watch(struct platform *p, int fd, uint64_t tag)
{
	struct epoll_event ev = {.events = EPOLLIN, .data.u64 = tag};

	return epoll_ctl(p->epoll, EPOLL_CTL_ADD, fd, &ev) < 0 ? -errno : 0;
}

int thread_start(pthread_t *out, void *(*fn)(void *), struct platform *p)
{
	pthread_attr_t attr;
	sigset_t all, old;
	int r;

	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, 128 * 1024);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	r = -pthread_create(out, &attr, fn, p);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	pthread_attr_destroy(&attr);
	return r;
}

int helper_start(struct platform *p)
{
	int r;

	p->epoll = epoll_create1(EPOLL_CLOEXEC);
	p->event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (p->epoll < 0 || p->event < 0)
		return -errno;
	if (p->listener >= 0)
		ioctl(p->listener, SECCOMP_IOCTL_NOTIF_SET_FLAGS, SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP);
	r = watch(p, p->event, TAG_STOP);
	if (r == 0 && p->listener >= 0)
		r = watch(p, p->listener, TAG_LISTENER);
	return r ? r : thread_start(&p->helper, helper_main, p);
}

void helper_stop(struct platform *p)
{
	uint64_t one = 1;

	atomic_store(&p->stopping, true);
	if (write(p->event, &one, sizeof(one)) < 0)
		log_error("helper_stop: %s", strerror(errno));
	pthread_join(p->helper, NULL);
}
