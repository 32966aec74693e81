/* Readiness of host descriptors as wait queues: one host thread in epoll_wait() for all of them.
 *
 *	host_poll_init(&hp, fd);
 *	host_poll_now(&hp)	what poll(2) says at this moment
 *	host_poll_waitq(&hp)	woken whenever that may have changed
 *	host_poll_fini(&hp)
 *
 * The descriptor joins the thread's set when its queue is first asked for; edge-triggered, so what
 * nobody reads costs nothing. A descriptor that knows no poll (a regular file) is always ready and
 * has no queue. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "abi/base/htable.h"
#include "vfs/waitq.h"

struct host_poll {
	struct waitq wq;
	int fd;			/* borrowed */
	uint64_t id;		/* what epoll knows it by */
	struct hnode node;	/* protected by the poller's lock */
	_Atomic int state;	/* enum in host_poll.c */
};

void host_poll_init(struct host_poll *hp, int fd);
/* No wake-up is under way afterwards. The descriptor must still be open. */
void host_poll_fini(struct host_poll *hp);
uint32_t host_poll_now(struct host_poll *hp);
struct waitq *host_poll_waitq(struct host_poll *hp); /* NULL: never changes */
/* Starts the thread now; else the first queue does. 0 or -errno. */
int host_poll_start(void);
