/* Datagrams and sequenced packets: messages in the receiver's queue.
 *
 * Two bounds: what a sender has under way (SO_SNDBUF), and for unix sockets how many messages wait
 * at a receiver that isn't connected back. Room at a receiver wakes those who wait there
 * (SOCK_SPACE), and the sockets that are connected to it, whose POLLOUT it is. */
#include <errno.h>
#include <linux/capability.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>

#include "sentry/kernel/task.h"
#include "sentry/net/local.h"
#include "sentry/net/socket_impl.h"
#include "sentry/time/clock.h"
#include "vfs/uio.h"

#define QUEUE_MAX 10	      /* messages; net.unix.max_dgram_qlen */
#define CHARGE_OVERHEAD 256u  /* what a message costs beside its bytes */
#define UDP_PAYLOAD_MAX 65507u
#define UDP6_PAYLOAD_MAX 65527u

/* Who is connected to whom: senders lists, and peers of datagram sockets. */
static struct mutex link_lock = MUTEX_INIT(LOCK_SOCKET_LINK);

/* ---- messages ------------------------------------------------------------------------------- */

static void in_flight_sub(struct lsock *from, uint32_t charge)
{
	uint32_t left = atomic_fetch_sub(&from->in_flight, charge) - charge;
	uint32_t size = atomic_load(&from->sk.sndbuf);

	if ((uint64_t)(left + charge) * 4 > size && (uint64_t)left * 4 <= size)
		waitq_wake(&from->sk.wq, POLLOUT | POLLWRNORM);
}

/* No lock held. */
static void msg_free(struct lmsg *msg)
{
	scm_rights_put(msg->scm.rights);
	in_flight_sub(msg->from, msg->charge);
	lsock_put(msg->from);
	lname_put(msg->from_name);
	free(msg);
}

void lsock_msgs_free(struct list *msgs)
{
	list_for_each_safe (msg, msgs, struct lmsg, node) {
		if (msg->scm.rights && msg->scm.rights->inflight) {
			AUTO_LOCK(&scm_lock);
			scm_inflight_del_locked(msg->scm.rights);
		}
		list_del_init(&msg->node);
		msg_free(msg);
	}
}

static int msg_new(struct lsock *s, struct sock_msg *m, const struct lsock *to, struct lmsg **out)
{
	size_t len = m->data->resid;
	struct lmsg *msg = malloc(sizeof(*msg) + len);

	if (!msg)
		return -ENOBUFS;
	*msg = (struct lmsg){.len = (uint32_t)len, .charge = (uint32_t)len + CHARGE_OVERHEAD};
	list_init(&msg->node);
	if (len && uio_from(m->data, msg->data, len) != (ssize_t)len) {
		free(msg);
		return -EFAULT;
	}
	msg->scm.cred = m->scm.cred;
	msg->from = lsock_get(s);
	msg->from_name = s->fam->source_name ? s->fam->source_name(s, &to->name->addr)
					     : lsock_name(s);
	if (s->fam->msg_sent)
		s->fam->msg_sent(s, m, msg);
	atomic_fetch_add(&s->in_flight, msg->charge);
	*out = msg;
	return 0;
}

/* ---- sending -------------------------------------------------------------------------------- */

static bool queue_full(const struct lsock *s, struct lsock *to)
{
	if (s->fam->inet || atomic_load(&to->peer) == s)
		return false;
	return to->nmsgs > QUEUE_MAX;
}

/* Whether s may send to `to` at all; to->mu is held. */
static int receiver_check_locked(struct lsock *s, struct lsock *to)
{
	struct lsock *theirs = atomic_load(&to->peer);

	if (to->dead)
		return s->sk.type == SOCK_SEQPACKET ? -EPIPE : -ECONNREFUSED;
	if (theirs && theirs != s)
		return -EPERM;
	if (to->shut & LSOCK_SHUT_RD)
		return -EPIPE;
	return 0;
}

bool lsock_dgram_writable(struct lsock *s)
{
	struct lsock *peer;
	bool full = false;

	if ((uint64_t)atomic_load(&s->in_flight) * 4 > atomic_load(&s->sk.sndbuf))
		return false;
	{
		AUTO_LOCK(&s->mu);
		peer = atomic_load(&s->peer);
		if (peer)
			lsock_get(peer);
	}
	if (peer) {
		AUTO_LOCK(&peer->mu);
		full = queue_full(s, peer);
	}
	lsock_put(peer);
	return !full;
}

/* A connected UDP socket knows an address, not who is there. */
static int dest_find(struct lsock *s, struct sock_msg *m, struct lsock **out)
{
	struct lname *dest = NULL;
	int err;

	{
		AUTO_LOCK(&s->mu);
		if (s->dest)
			dest = lname_get(s->dest);
	}
	if (!dest)
		return -EDESTADDRREQ;
	err = s->fam->lookup(s, m->t, &dest->addr, out);
	lname_put(dest);
	return err;
}

/* To whom m goes, with a reference. */
static int receiver_find(struct lsock *s, struct sock_msg *m, struct lsock **out)
{
	struct lsock *peer;

	if (m->name.len && s->sk.type == SOCK_DGRAM)
		return s->fam->lookup(s, m->t, &m->name, out);
	if (s->fam->inet)
		return dest_find(s, m, out);
	AUTO_LOCK(&s->mu);
	peer = atomic_load(&s->peer);
	if (!peer || (s->sk.type == SOCK_SEQPACKET && s->state != LSOCK_CONNECTED))
		return -ENOTCONN;
	*out = lsock_get(peer);
	return 0;
}

static int size_check(struct lsock *s, const struct sock_msg *m)
{
	size_t len = m->data->resid, max = atomic_load(&s->sk.sndbuf);
	uint32_t busy = atomic_load(&s->in_flight);

	max = max > 32 ? max - 32 : 0;
	if (s->fam->inet)
		max = s->sk.domain == AF_INET6 ? UDP6_PAYLOAD_MAX : UDP_PAYLOAD_MAX;
	if (len > max)
		return -EMSGSIZE;
	return busy && busy + len > atomic_load(&s->sk.sndbuf) ? -EAGAIN : 0;
}

/* A UDP socket drops what comes when it has more than its room already: a single datagram always fits. */
static bool udp_drops(struct lsock *to)
{
	return to->fam->inet && to->msg_bytes > atomic_load(&to->sk.rcvbuf);
}

static int deliver_locked(struct lsock *s, struct lsock *to, struct lmsg *msg, bool *dropped)
{
	int err;

	AUTO_LOCK(&to->mu);
	err = receiver_check_locked(s, to);
	if (err)
		return err;
	*dropped = udp_drops(to);
	if (*dropped) {
		to->drops++;
		return 0;
	}
	msg->drops = to->drops;
	if (socket_flag(&to->sk, SO_TIMESTAMP) || socket_flag(&to->sk, SO_TIMESTAMPNS))
		msg->stamp = clock_now(CLOCK_REALTIME);
	list_push_back(&to->msgs, &msg->node);
	to->nmsgs++;
	to->msg_bytes += msg->charge;
	if (msg->scm.rights)
		atomic_fetch_add(&to->rx_rights, 1);
	return 0;
}

static int deliver_with_rights(struct lsock *s, struct lsock *to, struct lmsg *msg,
			       struct sock_msg *m)
{
	bool dropped;
	int err;

	AUTO_LOCK(&scm_lock);
	err = scm_inflight_add_locked(m->scm.rights, task_rlimit(m->t, RLIMIT_NOFILE),
				      task_capable(m->t, CAP_SYS_RESOURCE) ||
					      task_capable(m->t, CAP_SYS_ADMIN));
	if (err)
		return err;
	msg->scm.rights = m->scm.rights;
	err = deliver_locked(s, to, msg, &dropped);
	if (err) {
		scm_inflight_del_locked(msg->scm.rights);
		msg->scm.rights = NULL;
	} else {
		m->scm.rights = NULL;
	}
	return err;
}

/* The receiver takes part in nothing of ours yet: what would make us wait is asked before the
 * bytes leave the caller's cursor. Once they have, the message is queued even if others were faster. */
static int send_check(struct lsock *s, struct lsock *to, struct sock_msg *m)
{
	int err;

	AUTO_LOCK(&to->mu);
	err = receiver_check_locked(s, to);
	if (!err && queue_full(s, to)) {
		m->blocked_on = &lsock_get(to)->sk;
		err = -EAGAIN;
	}
	return err;
}

static ssize_t send_to(struct lsock *s, struct lsock *to, struct sock_msg *m)
{
	struct lmsg *msg;
	bool dropped = false;
	ssize_t len;
	int err = send_check(s, to, m);

	if (!err)
		err = msg_new(s, m, to, &msg);
	if (err)
		return err;
	len = msg->len;
	err = m->scm.rights ? deliver_with_rights(s, to, msg, m)
			    : deliver_locked(s, to, msg, &dropped);
	if (err || dropped)
		msg_free(msg);
	else
		waitq_wake(&to->sk.wq, POLLIN | POLLRDNORM);
	return err ? err : len;
}

/* Nobody is there. UDP's sender doesn't hear of it, unless it is connected: then by its next call. */
static ssize_t udp_refused(struct lsock *s, const struct sock_msg *m, ssize_t len)
{
	if (!m->name.len) {
		atomic_store(&s->sk.error, ECONNREFUSED);
		waitq_wake(&s->sk.wq, POLLERR);
	}
	return len;
}

ssize_t lsock_dgram_send(struct lsock *s, struct sock_msg *m)
{
	AUTO(lsock) struct lsock *to = NULL;
	ssize_t r, len = (ssize_t)m->data->resid;
	int err;

	if (m->flags & MSG_OOB)
		return -EOPNOTSUPP;
	err = socket_take_error(&s->sk);
	if (err)
		return err;
	if (s->shut & LSOCK_SHUT_WR)
		err = -EPIPE;
	if (!err)
		err = size_check(s, m);
	if (!err && !s->name && (s->fam->inet || socket_flag(&s->sk, SO_PASSCRED)))
		err = s->fam->autobind(s);
	if (!err)
		err = receiver_find(s, m, &to);
	if (err)
		return err == -ECONNREFUSED && s->fam->inet ? udp_refused(s, m, len) : err;
	r = send_to(s, to, m);
	if (r == -ECONNREFUSED && s->fam->inet)
		return udp_refused(s, m, len);
	/* The one we were connected to is gone for good. */
	if (r == -ECONNREFUSED && !m->name.len && !s->fam->inet)
		lsock_dgram_disconnect(s);
	return r;
}

/* ---- receiving ------------------------------------------------------------------------------ */

void lsock_announce_room(struct lsock *s)
{
	waitq_wake(&s->sk.wq, SOCK_SPACE);
	AUTO_LOCK(&s->mu);
	list_for_each (from, &s->senders, struct lsock, sender_node)
		waitq_wake(&from->sk.wq, POLLOUT | POLLWRNORM);
}

/* The first message, or with MSG_PEEK and SO_PEEK_OFF the one that *skip falls into, which becomes the place
 * within it. NULL: none. */
static struct lmsg *msg_find(struct lsock *s, bool peek, uint32_t *skip)
{
	int off = peek ? atomic_load_explicit(&s->sk.peek_off, memory_order_relaxed) : 0;

	*skip = off > 0 ? (uint32_t)off : 0;
	list_for_each (msg, &s->msgs, struct lmsg, node) {
		if (!peek || off < 0 || *skip < msg->len || (!msg->len && !*skip && !msg->peeked))
			return msg;
		*skip -= msg->len;
	}
	return NULL;
}

/* Who doesn't wait for a datagram is not told that none can come. */
static bool hides_end(const struct lsock *s, const struct sock_msg *m)
{
	return s->sk.type == SOCK_DGRAM && s->sk.file && file_nonblock(s->sk.file, m->flags);
}

/* Takes the first message off, or with MSG_PEEK finds the one to look at. */
static int take_locked(struct lsock *s, struct sock_msg *m, bool locked, bool *retry,
		       struct lmsg **out, uint32_t *skip)
{
	struct lmsg *msg = msg_find(s, m->flags & MSG_PEEK, skip);

	if (!msg) {
		int err = socket_take_error(&s->sk);

		if (err)
			return err;
		if (s->sk.type == SOCK_SEQPACKET && s->state != LSOCK_CONNECTED)
			return -ENOTCONN;
		return s->shut & LSOCK_SHUT_RD && !hides_end(s, m) ? 0 : -EAGAIN;
	}
	if (msg->scm.rights && !locked) {
		*retry = true;
		return 0;
	}
	m->scm.cred = msg->scm.cred;
	m->scm.has_cred = s->fam->passes_scm && socket_flag(&s->sk, SO_PASSCRED);
	if (m->flags & MSG_PEEK) {
		if (msg->scm.rights)
			m->scm.rights = scm_rights_dup(msg->scm.rights);
		*out = msg;
		return 0;
	}
	list_del_init(&msg->node);
	s->nmsgs--;
	s->msg_bytes -= msg->charge;
	if (msg->scm.rights) {
		scm_inflight_del_locked(msg->scm.rights);
		atomic_fetch_sub(&s->rx_rights, 1);
		m->scm.rights = steal(&msg->scm.rights);
	}
	*out = msg;
	return 0;
}

static void item_add(struct sock_msg *m, int type, const void *data, uint32_t len)
{
	struct scm_item *i = &m->items[m->nitems++];

	i->level = SOL_SOCKET;
	i->type = type;
	i->len = len;
	memcpy(i->data, data, len);
}

/* SO_TIMESTAMP and SO_RXQ_OVFL. */
static void items_of_socket(struct lsock *s, const struct lmsg *msg, struct sock_msg *m)
{
	bool nano = socket_flag(&s->sk, SO_TIMESTAMPNS);
	uint64_t at = msg->stamp;

	m->nitems = 0;
	if (nano || socket_flag(&s->sk, SO_TIMESTAMP)) {
		if (!at) /* asked for after it came */
			at = clock_now(CLOCK_REALTIME);
		int64_t when[2] = {(int64_t)(at / NSEC_PER_SEC), (int64_t)(at % NSEC_PER_SEC) / (nano ? 1 : 1000)};

		item_add(m, nano ? SO_TIMESTAMPNS : SO_TIMESTAMP, when, sizeof(when));
	}
	if (msg->drops && socket_flag(&s->sk, SO_RXQ_OVFL))
		item_add(m, SO_RXQ_OVFL, &msg->drops, sizeof(msg->drops));
}

static ssize_t msg_tell(struct lsock *s, const struct lmsg *msg, struct sock_msg *m, uint32_t skip)
{
	size_t len = msg->len - skip, n = len < m->data->resid ? len : m->data->resid;

	if (n && uio_to(m->data, msg->data + skip, n) != (ssize_t)n)
		return -EFAULT;
	if (n < len)
		m->out_flags |= MSG_TRUNC;
	items_of_socket(s, msg, m);
	if (s->fam->msg_read)
		s->fam->msg_read(s, msg, m);
	m->name.len = 0;
	if (msg->from_name)
		s->fam->name_tell(s, msg->from_name, &m->name);
	return m->flags & MSG_TRUNC ? (ssize_t)len : (ssize_t)n;
}

ssize_t lsock_dgram_recv(struct lsock *s, struct sock_msg *m)
{
	struct lmsg *msg = NULL;
	bool retry = false, was_full;
	uint32_t skip, n;
	ssize_t r;

	if (m->flags & MSG_OOB && !s->fam->inet)
		return -EOPNOTSUPP;
	do {
		bool locked = retry || atomic_load(&s->rx_rights);

		retry = false;
		if (locked)
			mutex_lock(&scm_lock);
		mutex_lock(&s->mu);
		was_full = s->nmsgs > QUEUE_MAX;
		r = take_locked(s, m, locked, &retry, &msg, &skip);
		if (msg && m->flags & MSG_PEEK) {
			n = msg->len - skip < m->data->resid ? msg->len - skip : (uint32_t)m->data->resid;
			r = msg_tell(s, msg, m, skip);
			msg->peeked = true;
			if (r >= 0)
				socket_peek_move(&s->sk, true, n);
			msg = NULL;
		} else if (msg && !s->fam->inet) {
			socket_peek_move(&s->sk, false, msg->len);
		}
		mutex_unlock(&s->mu);
		if (locked)
			mutex_unlock(&scm_lock);
	} while (retry);
	if (!msg)
		return r;
	r = msg_tell(s, msg, m, 0);
	if (r > 0 && s->fam->inet)
		socket_peek_move(&s->sk, false, (uint32_t)r);
	msg_free(msg);
	if (was_full)
		lsock_announce_room(s);
	return r;
}

/* ---- connect(2) of datagram sockets --------------------------------------------------------- */

/* Makes `to` (consumed; NULL: none) the peer of s. */
static void peer_set(struct lsock *s, struct lsock *to)
{
	struct lname *dest;
	struct lsock *old;

	{
		AUTO_LOCK(&link_lock);
		{
			AUTO_LOCK(&s->mu);
			old = atomic_exchange(&s->peer, to);
			dest = s->dest;
			s->dest = NULL;
			s->state = to ? LSOCK_CONNECTED : LSOCK_IDLE;
		}
		if (old) {
			AUTO_LOCK(&old->mu);
			list_del_init(&s->sender_node);
		}
		if (to) {
			AUTO_LOCK(&to->mu);
			list_push_back(&to->senders, &s->sender_node);
		}
	}
	lsock_put(old);
	lname_put(dest);
	if (old)
		waitq_wake(&s->sk.wq, POLLOUT | POLLWRNORM);
}

void lsock_dgram_disconnect(struct lsock *s)
{
	peer_set(s, NULL);
}

int lsock_dgram_connect(struct lsock *s, struct task *t, const struct sock_addr *a)
{
	AUTO(lsock) struct lsock *to = NULL;
	int err = 0;

	if (!s->name && socket_flag(&s->sk, SO_PASSCRED))
		err = s->fam->autobind(s);
	if (!err)
		err = s->fam->lookup(s, t, a, &to);
	if (err)
		return err;
	{
		AUTO_LOCK(&to->mu);
		struct lsock *theirs = atomic_load(&to->peer);

		if (theirs && theirs != s)
			return -EPERM;
	}
	peer_set(s, steal(&to));
	return 0;
}
