/* The thread knows a descriptor by a number that is never used twice, so an event that was fetched
 * before a host_poll_fini() finds nothing instead of a freed object. */
#include "sentry/kernel/host_poll.h"

#include <errno.h>
#include <poll.h>
#include <stdatomic.h>
#include <pthread.h>
#include <signal.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "abi/base/log.h"

#define BATCH 64
#define STACK_SIZE (64UL << 10)

enum { UNWATCHED, WATCHED, UNPOLLABLE };

static struct {
	struct mutex mu; /* the table; held while queues are woken */
	struct htable table;
	uint64_t next_id;
	int epfd; /* -1 until started */
	int error;
} poller = {.mu = MUTEX_INIT(LOCK_HOST_POLL), .epfd = -1};

static bool id_eq(const struct hnode *n, const void *key)
{
	return container_of((struct hnode *)n, struct host_poll, node)->id ==
	       *(const uint64_t *)key;
}

static void dispatch(const struct epoll_event *ev)
{
	uint64_t id = ev->data.u64;
	struct hnode *n = htable_find(&poller.table, hash_u64(id), id_eq, &id);

	/* EPOLL* and POLL* are the same bits. */
	if (n)
		waitq_wake(&container_of(n, struct host_poll, node)->wq, ev->events);
}

static void *poller_main(void *arg)
{
	struct epoll_event events[BATCH];

	pthread_setname_np(pthread_self(), "host-poll");
	for (;;) {
		int n = epoll_wait(poller.epfd, events, BATCH, -1);

		if (n < 0 && errno != EINTR) {
			log_error("host poller: epoll_wait: %d", errno);
			return NULL;
		}
		AUTO_LOCK(&poller.mu);
		for (int i = 0; i < n; i++)
			dispatch(&events[i]);
	}
}

static int start_locked(void)
{
	sigset_t all, old;
	pthread_attr_t attr;
	pthread_t thread;
	int err;

	if (poller.epfd >= 0 || poller.error)
		return poller.error;
	poller.epfd = epoll_create1(EPOLL_CLOEXEC);
	if (poller.epfd < 0)
		return -errno;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, STACK_SIZE);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	err = pthread_create(&thread, &attr, poller_main, NULL);
	pthread_attr_destroy(&attr);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (err) {
		poller.error = -err;
		close(poller.epfd);
		poller.epfd = -1;
	}
	return -err;
}

int host_poll_start(void)
{
	AUTO_LOCK(&poller.mu);
	return start_locked();
}

void host_poll_init(struct host_poll *hp, int fd)
{
	waitq_init(&hp->wq);
	hp->fd = fd;
	hp->id = 0;
	atomic_init(&hp->state, UNWATCHED);
}

void host_poll_fini(struct host_poll *hp)
{
	if (atomic_load(&hp->state) == WATCHED) {
		AUTO_LOCK(&poller.mu);
		htable_remove(&poller.table, &hp->node);
		epoll_ctl(poller.epfd, EPOLL_CTL_DEL, hp->fd, NULL);
	}
	waitq_destroy(&hp->wq);
}

uint32_t host_poll_now(struct host_poll *hp)
{
	struct pollfd p = {
		.fd = hp->fd,
		.events = POLLIN | POLLPRI | POLLOUT | POLLRDNORM | POLLWRNORM | POLLRDHUP,
	};

	if (atomic_load_explicit(&hp->state, memory_order_relaxed) == UNPOLLABLE)
		return POLLIN | POLLOUT | POLLRDNORM | POLLWRNORM;
	return poll(&p, 1, 0) == 1 ? (uint16_t)p.revents : 0;
}

static int watch_locked(struct host_poll *hp)
{
	struct epoll_event ev = {
		.events = EPOLLIN | EPOLLOUT | EPOLLPRI | EPOLLRDHUP | EPOLLET,
	};
	int r = start_locked();

	if (r < 0)
		return r;
	hp->id = ev.data.u64 = ++poller.next_id;
	if (htable_insert(&poller.table, &hp->node, hash_u64(hp->id)) < 0)
		return -ENOMEM;
	if (epoll_ctl(poller.epfd, EPOLL_CTL_ADD, hp->fd, &ev) < 0) {
		r = -errno;
		htable_remove(&poller.table, &hp->node);
	}
	return r;
}

struct waitq *host_poll_waitq(struct host_poll *hp)
{
	int state = atomic_load_explicit(&hp->state, memory_order_acquire);

	if (state == UNWATCHED) {
		AUTO_LOCK(&poller.mu);
		state = atomic_load(&hp->state);
		if (state == UNWATCHED) {
			int r = watch_locked(hp);

			if (r < 0 && r != -EPERM)
				log_warn("host poller: cannot watch descriptor %d: %d", hp->fd, -r);
			state = r < 0 ? UNPOLLABLE : WATCHED;
			atomic_store_explicit(&hp->state, state, memory_order_release);
		}
	}
	return state == WATCHED ? &hp->wq : NULL;
}
