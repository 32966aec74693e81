/* Connections: their life, who receives from them, whole messages in and out. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "abi/base/log.h"
#include "gofer/gofer_impl.h"

/* The struct itself is never freed (there are as many as exports): a worker may just have been told
 * about a connection that another one ends. */
void conn_put(struct conn *c)
{
	if (!ref_put(&c->ref))
		return;
	fid_unbind_all(c);
	htable_destroy(&c->fids);
	close(c->root_fd);
	close(c->sock);
	free(c->rx);
}

int conn_new(const struct gofer_export *e, uint32_t max_fids, struct conn **out)
{
	struct conn *c = calloc(1, sizeof(*c));
	socklen_t len = sizeof(int);
	int type;

	if (!c)
		return -ENOMEM;
	if (getsockopt(e->sock, SOL_SOCKET, SO_TYPE, &type, &len) < 0) {
		free(c);
		return -errno;
	}
	ref_init(&c->ref);
	c->sock = e->sock;
	c->root_fd = e->fd;
	c->flags = e->flags;
	c->name = e->name ? e->name : "?";
	c->seqpacket = type == SOCK_SEQPACKET;
	c->cpu = -1;
	c->max_fids = max_fids;
	mutex_init(&c->send_mu, LOCK_NONE);
	mutex_init(&c->mu, LOCK_P9);
	list_init(&c->inflight);
	*out = c;
	return 0;
}

/* The end of a connection; its memory goes with the last request in flight. */
void conn_kill(struct conn *c, const char *why)
{
	if (atomic_exchange(&c->dead, true))
		return;
	log_debug("%s: %s", c->name, why);
	epoll_ctl(gofer_server.epoll, EPOLL_CTL_DEL, c->sock, NULL);
	shutdown(c->sock, SHUT_RDWR);
	conn_put(c);
	if (atomic_fetch_sub(&gofer_server.live, 1) == 1) {
		pthread_mutex_lock(&gofer_server.done_mu);
		pthread_cond_broadcast(&gofer_server.done);
		pthread_mutex_unlock(&gofer_server.done_mu);
	}
}

bool conn_own(struct conn *c)
{
	bool no = false;

	return atomic_compare_exchange_strong(&c->owned, &no, true);
}

int conn_ctl(struct conn *c, int op, uint32_t events)
{
	struct epoll_event ev = {.events = events, .data.ptr = c};

	return epoll_ctl(gofer_server.epoll, op, c->sock, &ev) < 0 ? -errno : 0;
}

/* Anyone may own it who epoll tells that there is something to receive. */
int conn_disown(struct conn *c, int op)
{
	atomic_store(&c->owned, false);
	return conn_ctl(c, op, EPOLLIN | EPOLLRDHUP | EPOLLONESHOT);
}

/* Receiving: the size of a whole message now in w->rx, 0 when there is none yet, or -errno: the *
 * connection is finished. Descriptors that a client sends are dropped by the kernel: we offer no
 * room for them. */
static ssize_t receive_packet(struct conn *c, struct worker *w)
{
	ssize_t n;

	do
		n = recv(c->sock, w->rx, P9_MSIZE_MAX, MSG_DONTWAIT | MSG_TRUNC);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return errno == EAGAIN ? 0 : -errno;
	if (n == 0)
		return -EPIPE;
	return n < P9_HDR_SIZE || n > P9_MSIZE_MAX ? -EBADMSG : n;
}

static ssize_t receive_stream(struct conn *c, struct worker *w)
{
	size_t want = 4;
	uint8_t *full;

	if (!c->rx)
		c->rx = malloc(P9_MSIZE_MAX);
	if (!c->rx)
		return -ENOMEM;
	for (;;) {
		ssize_t n;

		if (c->rx_have >= 4) {
			struct p9_cur cur = p9_cur(c->rx, 4);
			uint32_t size;

			p9_get_u32(&cur, &size);
			if (size < P9_HDR_SIZE || size > (c->msize ? c->msize : P9_MSIZE_MIN))
				return -EBADMSG;
			want = size;
		}
		if (c->rx_have == want)
			break;
		n = recv(c->sock, c->rx + c->rx_have, want - c->rx_have, MSG_DONTWAIT);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == EAGAIN ? 0 : -errno;
		if (n == 0)
			return -EPIPE;
		c->rx_have += (size_t)n;
	}
	full = c->rx;
	c->rx = w->rx;
	w->rx = full;
	c->rx_have = 0;
	return (ssize_t)want;
}

/* Where too many descriptors are under way already (ETOOMANYREFS), the message goes without. */
int conn_send(struct conn *c, const void *buf, size_t len, const struct p9_carried *fds)
{
	union {
		struct cmsghdr align;
		char buf[CMSG_SPACE(sizeof(fds->fd))];
	} control;
	struct iovec iov = {(void *)buf, len};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
	ssize_t n;
	int err = 0;

	if (fds->n > 0) {
		size_t size = fds->n * sizeof(fds->fd[0]);
		struct cmsghdr *cm = &control.align;

		msg.msg_control = &control;
		msg.msg_controllen = CMSG_SPACE(size);
		cm->cmsg_level = SOL_SOCKET;
		cm->cmsg_type = SCM_RIGHTS;
		cm->cmsg_len = CMSG_LEN(size);
		memcpy(CMSG_DATA(cm), fds->fd, size);
	}
	if (!c->seqpacket)
		mutex_lock(&c->send_mu);
	while (iov.iov_len > 0) {
		n = sendmsg(c->sock, &msg, MSG_NOSIGNAL);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == ETOOMANYREFS && msg.msg_control) {
			msg.msg_control = NULL;
			msg.msg_controllen = 0;
			continue;
		}
		if (n < 0) {
			err = -errno;
			break;
		}
		iov.iov_base = (char *)iov.iov_base + n;
		iov.iov_len -= (size_t)n;
		msg.msg_control = NULL;
		msg.msg_controllen = 0;
	}
	if (!c->seqpacket)
		mutex_unlock(&c->send_mu);
	return err;
}

ssize_t conn_receive(struct conn *c, struct worker *w)
{
	return c->seqpacket ? receive_packet(c, w) : receive_stream(c, w);
}
