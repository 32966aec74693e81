/* Messages over the socket. */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "vfs/p9/client_impl.h"
#include "abi/base/cleanup.h"
#include "vfs/host_fd.h"
#include "vfs/vfs.h"

#define SPIN_MIN_NS 2000

int p9_client_send(struct p9_client *c, const uint8_t *buf, size_t len)
{
	int err = 0;

	if (!c->seqpacket)
		mutex_lock(&c->send_mu);
	while (len > 0) {
		ssize_t n = send(c->sock, buf, len, MSG_NOSIGNAL);

		if (n < 0 && (errno == EINTR || errno == EAGAIN)) {
			if (!c->seqpacket || errno == EINTR || !vfs_killed())
				continue;
			return -EINTR;
		}
		if (n < 0) {
			err = -EIO;
			break;
		}
		buf += n;
		len -= (size_t)n;
	}
	if (!c->seqpacket)
		mutex_unlock(&c->send_mu);
	if (err)
		p9_client_kill(c, "send failed");
	return err;
}

uint64_t p9_now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

/* Replies usually come within microseconds, where going to sleep and being woken takes many times
 * that: look a while first. A look that was in vain halves the next; when it is down to nothing,
 * only one reply in 16 is looked for. */
static ssize_t recv_spin(struct p9_client *c, struct msghdr *msg)
{
	size_t control = msg->msg_controllen;
	uint64_t until;
	ssize_t n;

	if (c->spin_ns < SPIN_MIN_NS && ++c->spin_skips < 16)
		return -1;
	c->spin_skips = 0;
	until = p9_now_ns() + (c->spin_ns < SPIN_MIN_NS ? SPIN_MIN_NS : c->spin_ns);
	do {
		msg->msg_controllen = control;
		n = recvmsg(c->sock, msg, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
		if (n >= 0) {
			c->spin_ns = c->spin_ns * 2 + SPIN_MIN_NS;
			if (c->spin_ns > P9_SPIN_MAX_NS)
				c->spin_ns = P9_SPIN_MAX_NS;
			return n;
		}
	} while (errno == EAGAIN && p9_now_ns() < until);
	msg->msg_controllen = control;
	c->spin_ns /= 2;
	return -1;
}

/* What came with a piece; of descriptors that nobody expects none stays open. */
static void take_descriptors(struct msghdr *msg, struct p9_carried *fds)
{
	struct cmsghdr *cm = CMSG_FIRSTHDR(msg);
	size_t n;

	if (!cm || cm->cmsg_level != SOL_SOCKET || cm->cmsg_type != SCM_RIGHTS)
		return;
	n = (cm->cmsg_len - CMSG_LEN(0)) / sizeof(int);
	for (size_t i = 0; i < n; i++) {
		int fd;

		memcpy(&fd, CMSG_DATA(cm) + i * sizeof(int), sizeof(int));
		if (host_fd_scarce(fd) || fds->n == P9_MAXCARRIED)
			close(fd);
		else
			fds->fd[fds->n++] = fd;
	}
}

/* One piece of n bytes (stream) or one packet of at most n bytes; *fds gets what came with it. */
static ssize_t recv_piece(struct p9_client *c, uint8_t *buf, size_t n, struct p9_carried *fds)
{
	union {
		struct cmsghdr align;
		char buf[CMSG_SPACE(sizeof(fds->fd))];
	} control;
	struct iovec iov = {buf, n};
	struct msghdr msg = {
	    .msg_iov = &iov,
	    .msg_iovlen = 1,
	    .msg_control = &control,
	    .msg_controllen = CMSG_LEN(sizeof(fds->fd)), /* the kernel drops more */
	};
	ssize_t got;

	/* A peer that follows us to this CPU needs it. */
	got = c->may_spin && c->cpu_run < P9_FOLLOW_AFTER ? recv_spin(c, &msg) : -1;
	if (got < 0)
		do
			got = recvmsg(c->sock, &msg, MSG_CMSG_CLOEXEC);
		while (got < 0 && errno == EINTR);
	if (got < 0)
		return errno == EWOULDBLOCK ? -EAGAIN : -errno;
	take_descriptors(&msg, fds);
	if (got == 0)
		return -EPIPE;
	return msg.msg_flags & MSG_TRUNC ? -EMSGSIZE : got;
}

/* A whole message in c->rx: its size, or -errno; -EAGAIN: none for P9_SLICE_MS. On a stream a descriptor travels with the bytes of
 * its message, and a receive never reads past the message whose header it knows, so it can't be
 * another's. */
ssize_t p9_client_recv(struct p9_client *c, struct p9_carried *fds)
{
	struct p9_cur cur = p9_cur(c->rx, 4);
	size_t have = 0;
	uint32_t size;
	ssize_t n;

	if (c->seqpacket) {
		n = recv_piece(c, c->rx, P9_MSIZE_MAX, fds);
		return n >= 0 && n < P9_HDR_SIZE ? -EBADMSG : n;
	}
	while (have < P9_HDR_SIZE) {
		n = recv_piece(c, c->rx + have, P9_HDR_SIZE - have, fds);
		if (n == -EAGAIN && have)
			continue;
		if (n < 0)
			return n;
		have += (size_t)n;
	}
	p9_get_u32(&cur, &size);
	if (size < P9_HDR_SIZE || size > P9_MSIZE_MAX)
		return -EBADMSG;
	while (have < size) {
		n = recv_piece(c, c->rx + have, size - have, fds);
		if (n == -EAGAIN)
			continue;
		if (n < 0)
			return n;
		have += (size_t)n;
	}
	return (ssize_t)size;
}
