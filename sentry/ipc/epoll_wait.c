/* epoll_wait(2) and its cousins. Events are gathered in the sentry's memory under the instance's
 * lock and copied out after it. */
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/epoll.h>

#include "sentry/ipc/epoll_impl.h"
#include "sentry/ipc/wait_mask.h"
#include "sentry/kernel/fdtable.h"
#include "sentry/syscalls/syscalls.h"
#include "sentry/time/clock.h"

#define EVENTS_SMALL 32
#define EVENTS_LARGE 65536 /* more than so many are reported by the next call */

/* As epoll_harvest, but waits: 0 at the deadline, -EINTR. */
static int harvest_wait(struct task *t, struct epoll *ep, struct epoll_event *ev, int max,
			uint64_t deadline)
{
	struct task_waiter w;
	int n;

	task_waiter_init(&w, t, POLLIN);
	waitq_add(&ep->wq, &w.w);
	for (;;) {
		uint32_t seq = task_wake_prepare(t);
		int err;

		n = epoll_harvest(ep, ev, max);
		if (n)
			break;
		err = task_block(t, seq, deadline);
		if (err == -ETIMEDOUT)
			n = epoll_harvest(ep, ev, max);
		else if (err)
			n = err;
		if (err)
			break;
	}
	waitq_remove(&w.w);
	epoll_pass_on(ep);
	return n;
}

static int64_t wait_events(struct task *t, struct epoll *ep, struct gptr events, int max,
			   uint64_t deadline)
{
	struct epoll_event small[EVENTS_SMALL], *ev = small;
	int n;

	if (max > EVENTS_SMALL) {
		/* Each item is reported once a call. An item added meanwhile waits its turn. */
		int items = epoll_item_count(ep);

		if (max > items)
			max = items > EVENTS_SMALL ? items : EVENTS_SMALL;
		if (max > EVENTS_LARGE)
			max = EVENTS_LARGE;
	}
	if (max > EVENTS_SMALL) {
		ev = malloc((size_t)max * sizeof(*ev));
		if (!ev)
			return -ENOMEM;
	}
	n = epoll_harvest(ep, ev, max);
	if (!n && deadline)
		n = harvest_wait(t, ep, ev, max, deadline);
	if (n > 0 && copy_to_guest(t, events, ev, (size_t)n * sizeof(*ev)))
		n = -EFAULT;
	if (ev != small)
		free(ev);
	return n;
}

/* deadline 0: don't wait. */
static int64_t do_epoll_wait(struct task *t, int epfd, struct gptr events, int max,
			     uint64_t deadline)
{
	AUTO(file) struct file *f = NULL;
	struct epoll *ep;
	int err;

	if (max <= 0 || max > (int)(INT_MAX / sizeof(struct epoll_event)))
		return -EINVAL;
	err = fdtable_get(t->files, epfd, &f);
	if (err)
		return err;
	ep = epoll_of(f);
	return ep ? wait_events(t, ep, events, max, deadline) : -EINVAL;
}

static uint64_t deadline_of_ms(int ms)
{
	if (ms < 0)
		return DEADLINE_NEVER;
	return ms ? deadline_after((uint64_t)ms * 1000000ULL) : 0;
}

int64_t sys_epoll_wait(struct task *t, int epfd, struct gptr events, int maxevents, int timeout_ms)
{
	return do_epoll_wait(t, epfd, events, maxevents, deadline_of_ms(timeout_ms));
}

int64_t sys_epoll_pwait(struct task *t, int epfd, struct gptr events, int maxevents,
			int timeout_ms, struct gptr sigmask, uint64_t setsize)
{
	int err = wait_mask_begin(t, sigmask, setsize);
	int64_t r;

	if (err)
		return err;
	r = do_epoll_wait(t, epfd, events, maxevents, deadline_of_ms(timeout_ms));
	wait_mask_end(t, r == -EINTR);
	return r;
}

int64_t sys_epoll_pwait2(struct task *t, int epfd, struct gptr events, int maxevents,
			 struct gptr timeout, struct gptr sigmask, uint64_t setsize)
{
	uint64_t deadline = DEADLINE_NEVER, ns;
	int64_t r;
	int err;

	if (!gptr_null(timeout)) {
		err = get_guest_timespec(t, timeout, &ns);
		if (err)
			return err;
		deadline = ns ? deadline_after(ns) : 0;
	}
	err = wait_mask_begin(t, sigmask, setsize);
	if (err)
		return err;
	r = do_epoll_wait(t, epfd, events, maxevents, deadline);
	wait_mask_end(t, r == -EINTR);
	return r;
}
