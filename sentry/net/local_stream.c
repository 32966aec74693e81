/* Streams: bytes lie in the receiver's ring, under the receiver's lock, and the sender's SO_SNDBUF
 * bounds them. Marks tell where descriptors arrived and where the sender's identity changes.
 *
 * A sender that found the ring full is woken when a quarter is left in it, so that the two do not
 * wake each other for every few bytes; POLLOUT says the same. */
#include <errno.h>
#include <linux/capability.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include "sentry/kernel/task.h"
#include "sentry/net/local.h"
#include "vfs/uio.h"

static uint32_t stream_used(const struct lsock *s)
{
	return __atomic_load_n(&s->rx.used, __ATOMIC_RELAXED);
}

/* May `sender` be told to write to s? */
static bool room_for(const struct lsock *s, struct lsock *sender)
{
	return (uint64_t)stream_used(s) * 4 <= atomic_load(&sender->sk.sndbuf);
}

bool lsock_stream_writable(struct lsock *s)
{
	struct lsock *peer = lsock_stream_peer(s);

	return !peer || room_for(peer, s);
}

static bool same_cred(const struct linux_ucred *a, const struct linux_ucred *b)
{
	return a->pid == b->pid && a->uid == b->uid && a->gid == b->gid;
}

/* ---- sending -------------------------------------------------------------------------------- */

static int mark_new(struct lsock *to, struct sock_msg *m, struct lmark **out)
{
	struct lmark *k = calloc(1, sizeof(*k));

	if (!k)
		return -ENOMEM;
	k->pos = to->rx_pos + to->rx.used;
	k->cred = m->scm.cred;
	*out = k;
	return 0;
}

/* The receiver's lock is held; scm_lock too when there are descriptors. */
static ssize_t send_locked(struct lsock *s, struct lsock *to, struct sock_msg *m)
{
	uint32_t size = atomic_load_explicit(&s->sk.sndbuf, memory_order_relaxed), n;
	struct lmark *mark = NULL;
	ssize_t r;
	int err;

	if (to->shut & LSOCK_SHUT_RD || to->dead || atomic_load(&to->peer) != s)
		return -EPIPE;
	if (to->rx.used >= size)
		return -EAGAIN;
	n = size - to->rx.used;
	if (n > m->data->resid)
		n = (uint32_t)m->data->resid;
	if (m->scm.rights || !same_cred(&to->last_cred, &m->scm.cred)) {
		err = mark_new(to, m, &mark);
		if (err)
			return err;
	}
	r = byte_ring_put(&to->rx, m->data, n);
	if (r <= 0) {
		free(mark);
		return r;
	}
	to->last_cred = m->scm.cred;
	if (mark) {
		mark->end = mark->pos + (uint64_t)r;
		mark->rights = steal(&m->scm.rights);
		if (mark->rights)
			atomic_fetch_add(&to->rx_rights, 1);
		list_push_back(&to->marks, &mark->node);
	}
	return r;
}

static ssize_t send_with_rights(struct lsock *s, struct lsock *to, struct sock_msg *m)
{
	struct scm_rights *r = m->scm.rights;
	ssize_t n;
	int err;

	AUTO_LOCK(&scm_lock);
	err = scm_inflight_add_locked(r, task_rlimit(m->t, RLIMIT_NOFILE),
				      task_capable(m->t, CAP_SYS_RESOURCE) ||
					      task_capable(m->t, CAP_SYS_ADMIN));
	if (err)
		return err;
	AUTO_LOCK(&to->mu);
	n = send_locked(s, to, m);
	if (n <= 0)
		scm_inflight_del_locked(r);
	return n;
}

/* The other end of a TCP connection is closed. That is learned by sending: what is sent first, as much as there
 * is room for, is lost, and the next call told. */
static ssize_t sent_to_nobody(struct lsock *s, struct sock_msg *m)
{
	uint32_t size = atomic_load_explicit(&s->sk.sndbuf, memory_order_relaxed);

	{
		AUTO_LOCK(&s->mu);
		s->shut = LSOCK_SHUT_BOTH;
		atomic_store(&s->sk.error, EPIPE);
	}
	waitq_wake(&s->sk.wq, POLLIN | POLLOUT | POLLHUP | POLLERR);
	return m->data->resid < size ? (ssize_t)m->data->resid : (ssize_t)size;
}

ssize_t lsock_stream_send(struct lsock *s, struct sock_msg *m)
{
	struct lsock *to = lsock_stream_peer(s);
	ssize_t r;

	if (m->name.len && !s->fam->inet)
		return to ? -EISCONN : -EOPNOTSUPP;
	if (!to && !s->fam->inet)
		return -ENOTCONN;
	if (s->shut & LSOCK_SHUT_WR) {
		r = s->fam->inet ? socket_take_error(&s->sk) : 0;
		return r ? r : -EPIPE;
	}
	if (!to) {
		r = socket_take_error(&s->sk);
		return r ? r : -EPIPE;
	}
	if (!m->data->resid)
		return 0;
	if (m->scm.rights) {
		r = send_with_rights(s, to, m);
	} else {
		AUTO_LOCK(&to->mu);
		r = send_locked(s, to, m);
	}
	if (r > 0)
		waitq_wake(&to->sk.wq, POLLIN | POLLRDNORM);
	else if (r == -EPIPE && s->fam->inet && to->dead)
		r = sent_to_nobody(s, m);
	return r;
}

/* ---- receiving ------------------------------------------------------------------------------ */

static void mark_free(struct lmark *k)
{
	scm_rights_put(k->rights);
	free(k);
}

void lsock_marks_free(struct list *marks)
{
	list_for_each_safe (k, marks, struct lmark, node) {
		if (k->rights && k->rights->inflight) {
			AUTO_LOCK(&scm_lock);
			scm_inflight_del_locked(k->rights);
		}
		list_del_init(&k->node);
		mark_free(k);
	}
}

/* Takes or copies the descriptors of a mark. */
static int take_rights(struct lsock *s, struct lmark *k, struct sock_msg *m)
{
	if (m->flags & MSG_PEEK) {
		m->scm.rights = scm_rights_dup(k->rights);
		return m->scm.rights ? 0 : -ENOMEM;
	}
	scm_inflight_del_locked(k->rights);
	atomic_fetch_sub(&s->rx_rights, 1);
	m->scm.rights = steal(&k->rights);
	return 0;
}

/* Meets the marks in the *n bytes at from: ends the read behind the bytes that the first descriptors came with,
 * or before bytes of another sender if credentials are told. The first mark with descriptors, or NULL. */
static struct lmark *meet_marks(struct lsock *s, struct sock_msg *m, uint64_t from, uint32_t *n)
{
	bool passcred = socket_flag(&s->sk, SO_PASSCRED);
	struct linux_ucred cred = s->rx_cred;
	uint64_t end = from + *n;
	struct lmark *first = NULL;

	list_for_each (k, &s->marks, struct lmark, node) {
		if (k->pos >= end)
			break;
		if (k->pos <= from) {
			cred = k->cred;
		} else if (passcred && !same_cred(&cred, &k->cred)) {
			end = k->pos;
			break;
		}
		if (!k->rights || k->end <= from)
			continue;
		if (end > k->end)
			end = k->end;
		if (!first)
			first = k;
	}
	m->scm.cred = cred;
	m->scm.has_cred = passcred;
	*n = (uint32_t)(end - from);
	return first;
}

/* The bytes before rx_pos are gone, and with them what was marked there. */
static void drop_marks(struct lsock *s)
{
	list_for_each_safe (k, &s->marks, struct lmark, node) {
		if (k->pos >= s->rx_pos)
			break;
		s->rx_cred = k->cred;
		if (k->rights && k->end > s->rx_pos)
			break;
		list_del_init(&k->node);
		free(k);
	}
}

/* Sets *retry when scm_lock is needed and not held. Descriptors are taken only once their bytes have been copied:
 * what fails with -EFAULT is still there. */
static ssize_t recv_locked(struct lsock *s, struct sock_msg *m, bool locked, bool *retry)
{
	bool peek = m->flags & MSG_PEEK;
	struct lmark *with = NULL;
	uint32_t n, skip = 0;
	ssize_t r;
	int err;

	if (s->state != LSOCK_CONNECTED) {
		err = s->fam->inet ? socket_take_error(&s->sk) : 0;
		return err ? err : s->fam->inet ? -ENOTCONN : -EINVAL;
	}
	if (peek && atomic_load_explicit(&s->sk.peek_off, memory_order_relaxed) > 0)
		skip = (uint32_t)atomic_load(&s->sk.peek_off);
	if (s->rx.used <= skip) {
		err = socket_take_error(&s->sk);
		if (err)
			return err;
		return s->shut & LSOCK_SHUT_RD ? 0 : -EAGAIN;
	}
	n = s->rx.used - skip;
	if (n > m->data->resid)
		n = (uint32_t)m->data->resid;
	if (!list_empty(&s->marks) || socket_flag(&s->sk, SO_PASSCRED)) {
		with = meet_marks(s, m, s->rx_pos + skip, &n);
		*retry = with && !locked;
		if (*retry)
			return 0;
	}
	if (m->flags & MSG_TRUNC && s->fam->inet)
		r = n; /* tcp(7): the bytes are thrown away */
	else
		r = byte_ring_peek(&s->rx, m->data, skip, n);
	if (r > 0 && with && with->pos < s->rx_pos + skip + (uint64_t)r && !m->scm.rights) {
		err = take_rights(s, with, m);
		if (err)
			return err;
	}
	if (r > 0)
		socket_peek_move(&s->sk, peek, (uint32_t)r);
	if (r <= 0 || peek)
		return r;
	byte_ring_drop(&s->rx, (uint32_t)r);
	s->rx_pos += (uint64_t)r;
	if (!list_empty(&s->marks))
		drop_marks(s);
	return r;
}

/* A unix stream tells the name of its other end with what comes from there, if it has one. */
static void sender_tell(struct lsock *s, struct lsock *peer, struct sock_msg *m)
{
	struct lname *n = lsock_name(peer);

	if (n)
		s->fam->name_tell(s, n, &m->name);
	lname_put(n);
}

ssize_t lsock_stream_recv(struct lsock *s, struct sock_msg *m)
{
	struct lsock *peer = lsock_stream_peer(s);
	bool full, retry = false;
	ssize_t r;

	if (m->flags & MSG_OOB)
		return s->fam->inet ? -EINVAL : -EOPNOTSUPP;
	do {
		bool locked = retry || atomic_load(&s->rx_rights);

		retry = false;
		if (locked)
			mutex_lock(&scm_lock);
		mutex_lock(&s->mu);
		full = peer && !room_for(s, peer);
		r = recv_locked(s, m, locked, &retry);
		mutex_unlock(&s->mu);
		if (locked)
			mutex_unlock(&scm_lock);
	} while (retry);
	if (r > 0 && peer && !s->fam->inet)
		sender_tell(s, peer, m);
	if (r > 0 && full && room_for(s, peer))
		waitq_wake(&peer->sk.wq, POLLOUT | POLLWRNORM);
	return r;
}
