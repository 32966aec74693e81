/* Local sockets: connections, their beginning and end.
 *
 * States of a connecting socket:
 *
 *	IDLE --listen--> LISTENING
 *	  |
 *	  +--connect--> CONNECTING --> CONNECTED        (and back to IDLE when it fails)
 *
 * connect() makes the server's end itself: a new socket that is CONNECTED from the start, named
 * like the listener, and queued there until accept() gives it a file. So the client may send
 * before the server has accepted. Since a CONNECTING socket can neither listen nor connect, no two
 * sockets' locks are ever held at once.
 *
 * References: a file, the accept queue, a peer, and messages under way hold one. The two ends of a
 * connection hold each other until the first of them is closed, which lets go; the other one then keeps a
 * dead peer until it is closed, too. */
#include "sentry/net/local.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "sentry/kernel/restart.h"
#include "sentry/kernel/task.h"
#include "vfs/cred.h"
#include "vfs/file.h"

#define ACCEPT_MAX 4096u /* connections nobody has accepted */
#define RETIRED_MAX 1024u

/* ---- objects -------------------------------------------------------------------------------- */

struct lname *lname_new(const struct sock_addr *a)
{
	struct lname *n = calloc(1, sizeof(*n));

	if (!n)
		return NULL;
	ref_init(&n->ref);
	n->addr = *a;
	return n;
}

struct lname *lname_get(struct lname *n)
{
	ref_get(&n->ref);
	return n;
}

void lname_put(struct lname *n)
{
	if (!n || !ref_put(&n->ref))
		return;
	path_put(&n->path);
	free(n);
}

struct lname *lsock_name(struct lsock *s)
{
	AUTO_LOCK(&s->mu);

	return s->name ? lname_get(s->name) : NULL;
}

struct lsock *lsock_new(const struct lfamily *fam, int domain, int type, int protocol)
{
	struct lsock *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	socket_init(&s->sk, &local_ops, domain, type, protocol);
	ref_init(&s->ref);
	mutex_init(&s->mu, LOCK_SOCKET);
	s->fam = fam;
	list_init(&s->accept_queue);
	list_init(&s->marks);
	list_init(&s->msgs);
	list_init(&s->senders);
	list_init(&s->accept_node);
	list_init(&s->sender_node);
	list_init(&s->gc_node);
	list_init(&s->retired);
	list_init(&s->retired_node);
	if (fam->passes_scm)
		unix_gc_register(s);
	return s;
}

struct lsock *lsock_get(struct lsock *s)
{
	ref_get(&s->ref);
	return s;
}

void lsock_put(struct lsock *s)
{
	if (!s || !ref_put(&s->ref))
		return;
	byte_ring_free(&s->rx);
	lname_put(s->name);
	lname_put(s->dest);
	cred_put(s->peercred.cred);
	free(s->options);
	mutex_destroy(&s->mu);
	socket_fini(&s->sk);
	free(s);
}

/* ---- the end -------------------------------------------------------------------------------- */

/* The other end learns that s is gone, unless it has left first. TCP only learns that nothing more comes, unless
 * data was lost. */
static void tell_peer(struct lsock *s, struct lsock *peer, bool reset)
{
	{
		AUTO_LOCK(&peer->mu);
		if (atomic_load(&peer->peer) != s)
			return;
		peer->shut |= peer->fam->inet && !reset ? LSOCK_SHUT_RD : LSOCK_SHUT_BOTH;
		peer->reset = reset;
		if (reset)
			atomic_store(&peer->sk.error, ECONNRESET);
	}
	waitq_wake(&peer->sk.wq,
		   POLLIN | POLLRDNORM | POLLOUT | POLLWRNORM | POLLRDHUP |
			   (peer->shut == LSOCK_SHUT_BOTH ? POLLHUP : 0u) | (reset ? POLLERR : 0u));
}

/* SO_LINGER with no time: the connection is cut. */
static bool linger_reset(const struct lsock *s)
{
	return atomic_load(&((struct lsock *)s)->sk.linger) == 1;
}

static void accepts_close(struct list *accepts)
{
	list_for_each_safe (e, accepts, struct lsock, accept_node) {
		list_del_init(&e->accept_node);
		lsock_close(e, true);
	}
}

/* Nobody else uses s. */
static void retired_free(struct lsock *s)
{
	struct list old = LIST_INIT(old);

	{
		AUTO_LOCK(&s->mu);
		list_splice_back(&old, &s->retired);
		s->nretired = 0;
	}
	list_for_each_safe (p, &old, struct lsock, retired_node) {
		list_del_init(&p->retired_node);
		lsock_put(p);
	}
}

void lsock_close(struct lsock *s, bool embryo)
{
	struct list msgs = LIST_INIT(msgs), marks = LIST_INIT(marks), accepts = LIST_INIT(accepts);
	struct lname *name;
	struct lsock *peer;
	bool unread;

	{
		AUTO_LOCK(&s->mu);
		s->dead = true;
		s->shut = LSOCK_SHUT_BOTH;
		unread = s->rx.used || s->nmsgs;
		list_splice_back(&msgs, &s->msgs);
		list_splice_back(&marks, &s->marks);
		list_splice_back(&accepts, &s->accept_queue);
		s->nmsgs = s->naccept = 0;
		byte_ring_free(&s->rx);
		name = s->name;
	}
	/* Those that were accepted share a listener's name, which stays its own. */
	if (name && name->sock == s)
		s->fam->unbind(name);
	if (s->fam->passes_scm)
		unix_gc_unregister(s);
	if (lsock_connects(s)) {
		peer = atomic_exchange(&s->peer, NULL);
		if (peer)
			tell_peer(s, peer, unread || embryo || (s->fam->inet && linger_reset(s)));
		lsock_put(peer);
	} else {
		lsock_dgram_disconnect(s);
	}
	lsock_msgs_free(&msgs);
	lsock_marks_free(&marks);
	accepts_close(&accepts);
	retired_free(s);
	lsock_announce_room(s);
	lsock_put(s);
}

static void local_release(struct socket *sk)
{
	struct lsock *s = lsock_of(sk);
	bool scm = s->fam->passes_scm;

	sk->file = NULL;
	lsock_close(s, false);
	if (scm)
		unix_gc();
}

static void local_put(struct socket *sk)
{
	lsock_put(lsock_of(sk));
}

/* ---- names ---------------------------------------------------------------------------------- */

static int local_bind(struct socket *sk, struct task *t, const struct sock_addr *a)
{
	struct lsock *s = lsock_of(sk);

	return s->fam->bind(s, t, a);
}

/* The name of s's peer, with a reference; *n may be NULL. -ENOTCONN. */
static int peer_name(struct lsock *s, struct lname **n)
{
	struct lsock *p;

	{
		AUTO_LOCK(&s->mu);
		p = atomic_load(&s->peer);
		if (s->dest) {
			*n = lname_get(s->dest);
			return 0;
		}
		if (s->state != LSOCK_CONNECTED || !p || (s->fam->inet && s->reset))
			return -ENOTCONN;
		lsock_get(p);
	}
	*n = lsock_name(p);
	lsock_put(p);
	return 0;
}

static int local_getname(struct socket *sk, bool peer, struct sock_addr *out)
{
	struct lsock *s = lsock_of(sk);
	struct lname *n = NULL;
	int err = 0;

	if (peer)
		err = peer_name(s, &n);
	else
		n = lsock_name(s);
	if (err)
		return err;
	s->fam->name_tell(s, n, out);
	lname_put(n);
	return 0;
}

static struct cred *local_peercred(struct socket *sk, int *pid)
{
	struct lsock *s = lsock_of(sk);

	AUTO_LOCK(&s->mu);
	if (!s->peercred.cred || !s->fam->passes_scm)
		return NULL;
	*pid = s->peercred.pid;
	return cred_get(s->peercred.cred);
}

static struct lpeer lpeer_of(struct task *t)
{
	return (struct lpeer){cred_get(t->cred), t->tg->tgid};
}

/* ---- connections ---------------------------------------------------------------------------- */

static bool local_listening(struct socket *sk)
{
	return lsock_of(sk)->state == LSOCK_LISTENING;
}

static int local_listen(struct socket *sk, struct task *t, int backlog)
{
	AUTO(cred) struct cred *old = NULL;
	struct lsock *s = lsock_of(sk);

	if (!lsock_connects(s))
		return -EOPNOTSUPP;
	if (!s->name && !s->fam->inet)
		return -EINVAL;
	if (!s->name) {
		int err = s->fam->autobind(s);

		if (err)
			return err;
	}
	{
		AUTO_LOCK(&s->mu);
		if (s->state != LSOCK_IDLE && s->state != LSOCK_LISTENING)
			return -EINVAL;
		if (s->fam->listen_locked) {
			int err = s->fam->listen_locked(s);

			if (err)
				return err;
		}
		s->state = LSOCK_LISTENING;
		s->backlog = (unsigned)backlog;
		old = s->peercred.cred;
		s->peercred = lpeer_of(t);
	}
	waitq_wake(&sk->wq, SOCK_SPACE);
	return 0;
}

void lsock_state_set(struct lsock *s, enum lstate state)
{
	AUTO_LOCK(&s->mu);
	s->state = state;
}

static int local_try_accept(struct socket *sk, struct socket **out, struct sock_addr *addr)
{
	struct lsock *s = lsock_of(sk), *e, *client;
	struct lname *n;

	if (!lsock_connects(s))
		return -EOPNOTSUPP;
	{
		AUTO_LOCK(&s->mu);
		if (s->state != LSOCK_LISTENING)
			return -EINVAL;
		e = list_first(&s->accept_queue, struct lsock, accept_node);
		if (!e)
			return s->shut & LSOCK_SHUT_RD ? -EINVAL : -EAGAIN;
		list_del_init(&e->accept_node);
		s->naccept--;
	}
	waitq_wake(&sk->wq, SOCK_SPACE);
	atomic_store(&e->sk.flags, atomic_load(&sk->flags));
	client = atomic_load(&e->peer);
	n = client ? lsock_name(client) : NULL;
	s->fam->name_tell(e, n, addr);
	lname_put(n);
	*out = &e->sk;
	return 0;
}

/* The server's end of a connection to come, connected to s; with the reference of the accept queue. */
static int embryo_new(struct lsock *s, struct lsock *listener, struct task *t, struct lsock **out)
{
	struct lsock *e = lsock_new(s->fam, s->sk.domain, s->sk.type, s->sk.protocol);

	if (!e)
		return -ENOMEM;
	e->sk.domain = listener->sk.domain;
	atomic_store(&e->sk.sndbuf, atomic_load(&listener->sk.sndbuf));
	atomic_store(&e->sk.rcvbuf, atomic_load(&listener->sk.rcvbuf));
	e->state = LSOCK_CONNECTED;
	e->peercred = lpeer_of(t);
	atomic_store(&e->peer, lsock_get(s));
	*out = e;
	return 0;
}

/* Undoes embryo_new for one that never got into the queue. */
static void embryo_drop(struct lsock *e)
{
	lsock_put(atomic_exchange(&e->peer, NULL));
	lsock_close(e, true);
}

/* Queues e at the listener, which connects s: 0, -EAGAIN when its queue is full, -ECONNREFUSED. Whoever accepts e
 * finds s connected; nobody but us changes the state of a socket that is CONNECTING. */
static int embryo_queue(struct lsock *listener, struct lsock *e, struct lsock *s, struct lpeer *peercred)
{
	{
		AUTO_LOCK(&listener->mu);
		if (listener->dead || listener->state != LSOCK_LISTENING ||
		    listener->shut & LSOCK_SHUT_RD)
			return -ECONNREFUSED;
		/* A TCP client never waits for the server to accept. */
		if (listener->naccept > (listener->fam->inet ? ACCEPT_MAX : listener->backlog))
			return listener->fam->inet ? -ECONNREFUSED : -EAGAIN;
		if (!e->name)
			e->name = lname_get(listener->name);
		*peercred = (struct lpeer){cred_get(listener->peercred.cred), listener->peercred.pid};
		lsock_get(e); /* the client's */
		__atomic_store_n(&s->state, LSOCK_CONNECTED, __ATOMIC_RELEASE);
		list_push_back(&listener->accept_queue, &e->accept_node);
		listener->naccept++;
	}
	waitq_wake(&listener->sk.wq, POLLIN | POLLRDNORM);
	return 0;
}

static int queue_wait(struct lsock *listener, struct lsock *e, struct lsock *s, struct task *t,
		      uint64_t deadline, struct lpeer *peercred)
{
	struct task_waiter w;
	int r;

	task_waiter_init(&w, t, SOCK_SPACE);
	waitq_add(&listener->sk.wq, &w.w);
	for (;;) {
		uint32_t seq = task_wake_prepare(t);
		int err;

		r = embryo_queue(listener, e, s, peercred);
		if (r != -EAGAIN)
			break;
		err = task_block(t, seq, deadline);
		if (err) {
			r = err == -EINTR ? -ERESTARTSYS : -EAGAIN;
			break;
		}
	}
	waitq_remove(&w.w);
	return r;
}

/* 0: the caller may connect; 1: it is connected already, and hears so for the first time. */
static int connecting_begin(struct lsock *s)
{
	int err;

	AUTO_LOCK(&s->mu);
	switch (s->state) {
	case LSOCK_IDLE:
		if (s->connect_failed) {
			s->connect_failed = false;
			err = socket_take_error(&s->sk);
			return err ? err : -ECONNABORTED;
		}
		if (s->fam->inet)
			atomic_store(&s->sk.error, 0);
		s->state = LSOCK_CONNECTING;
		return 0;
	case LSOCK_CONNECTING:
		return -EALREADY;
	case LSOCK_CONNECTED:
		if (!s->connect_untold)
			return -EISCONN;
		s->connect_untold = false;
		return 1;
	case LSOCK_LISTENING:
		return s->fam->inet ? -EISCONN : -EINVAL;
	}
	return -EINVAL;
}

/* With a peer s has been connected, and perhaps disconnected again. cred: consumed then. */
static void connecting_end(struct lsock *s, struct lsock *peer, const struct lpeer *cred)
{
	AUTO(cred) struct cred *old = NULL;

	{
		AUTO_LOCK(&s->mu);
		if (peer) {
			old = s->peercred.cred;
			s->peercred = *cred;
		} else {
			atomic_store(&s->peer, NULL);
			__atomic_store_n(&s->state, LSOCK_IDLE, __ATOMIC_RELEASE);
		}
	}
	if (peer)
		waitq_wake(&s->sk.wq, POLLOUT | POLLWRNORM);
}

/* s is CONNECTING. */
static int stream_connect(struct lsock *s, struct task *t, const struct sock_addr *a,
			  bool nonblock)
{
	AUTO(lsock) struct lsock *listener = NULL;
	struct lpeer cred = {0};
	struct lsock *e;
	uint64_t timeo = atomic_load(&s->sk.sndtimeo);
	int err = s->fam->lookup(s, t, a, &listener);

	if (!err && !s->name && (s->fam->inet || socket_flag(&s->sk, SO_PASSCRED)))
		err = s->fam->autobind(s);
	if (!err)
		err = embryo_new(s, listener, t, &e);
	if (err) {
		connecting_end(s, NULL, NULL);
		return err;
	}
	if (s->fam->source_name && s->name)
		e->name = s->fam->source_name(listener, &s->name->addr);
	/* Before the server can see its end, and take it for an answer. */
	atomic_store(&s->peer, e);
	err = embryo_queue(listener, e, s, &cred);
	if (err == -EAGAIN && !nonblock) {
		err = queue_wait(listener, e, s, t, timeo ? now_mono_ns() + timeo : UINT64_MAX, &cred);
		if (err == -ERESTARTSYS && timeo)
			err = -EINTR;
	}
	connecting_end(s, err ? NULL : e, &cred);
	if (err)
		embryo_drop(e);
	return err;
}

/* TCP never has the answer at once: who doesn't wait hears it by POLLOUT, SO_ERROR or another
 * connect(2). */
static int in_progress(struct lsock *s, int err)
{
	if (err && err != -ECONNREFUSED)
		return err;
	if (err) {
		atomic_store(&s->sk.error, -err);
		{
			AUTO_LOCK(&s->mu);
			s->connect_failed = true;
		}
		waitq_wake(&s->sk.wq, POLLERR | POLLHUP | POLLIN | POLLOUT);
	} else {
		AUTO_LOCK(&s->mu);
		s->connect_untold = true;
	}
	return -EINPROGRESS;
}

/* ---- connect(2) to AF_UNSPEC ---------------------------------------------------------------- */

/* What s was is taken apart into the three; an error for who reads from it next. s->mu is held. */
static int disconnect_locked(struct lsock *s, struct lsock **peer, struct list *accepts, struct list *marks)
{
	if (s->state == LSOCK_CONNECTING)
		return -EALREADY;
	if (s->state == LSOCK_CONNECTED) {
		if (s->nretired == RETIRED_MAX)
			return -ENOBUFS;
		*peer = atomic_exchange(&s->peer, NULL);
	}
	if (*peer) {
		lsock_get(*peer);
		list_push_back(&s->retired, &(*peer)->retired_node);
		s->nretired++;
		if (s->shut != LSOCK_SHUT_BOTH)
			atomic_store(&s->sk.error, ECONNRESET);
	}
	list_splice_back(accepts, &s->accept_queue);
	list_splice_back(marks, &s->marks);
	byte_ring_free(&s->rx);
	s->naccept = 0;
	s->shut = 0;
	s->reset = s->connect_untold = s->connect_failed = false;
	__atomic_store_n(&s->state, LSOCK_IDLE, __ATOMIC_RELEASE);
	return 0;
}

/* TCP: back to the beginning, but for the name. */
static int stream_disconnect(struct lsock *s)
{
	struct list accepts = LIST_INIT(accepts), marks = LIST_INIT(marks);
	AUTO(lsock) struct lsock *peer = NULL;

	{
		AUTO_LOCK(&s->mu);
		int err = disconnect_locked(s, &peer, &accepts, &marks);

		if (err)
			return err;
	}
	if (peer)
		tell_peer(s, peer, true);
	accepts_close(&accepts);
	lsock_marks_free(&marks);
	waitq_wake(&s->sk.wq, POLLIN | POLLOUT | POLLHUP | SOCK_SPACE);
	/* Without other references to the file than the table's and ours, nobody is in the middle of anything. */
	if (ref_count(&s->sk.file->ref) <= 2)
		retired_free(s);
	return 0;
}

static int local_connect(struct socket *sk, struct task *t, const struct sock_addr *a,
			 bool nonblock)
{
	struct lsock *s = lsock_of(sk);
	int err;

	if (a->len < sizeof(a->family))
		return -EINVAL;
	if (!lsock_connects(s)) {
		if (s->fam->dgram_connect)
			return s->fam->dgram_connect(s, a);
		if (a->family != AF_UNSPEC)
			return lsock_dgram_connect(s, t, a);
		lsock_dgram_disconnect(s);
		return 0;
	}
	if (s->fam->inet && a->family == AF_UNSPEC)
		return stream_disconnect(s);
	if (!s->fam->inet && a->family != AF_UNIX)
		return -EINVAL;
	err = connecting_begin(s);
	if (err)
		return err > 0 ? 0 : err;
	err = stream_connect(s, t, a, nonblock);
	return s->fam->inet && nonblock ? in_progress(s, err) : err;
}

int lsock_pair(struct task *t, struct socket *ska, struct socket *skb)
{
	struct lsock *a = lsock_of(ska), *b = lsock_of(skb);

	a->peercred = lpeer_of(t);
	b->peercred = lpeer_of(t);
	a->state = b->state = LSOCK_CONNECTED;
	atomic_store(&a->peer, lsock_get(b));
	atomic_store(&b->peer, lsock_get(a));
	if (!lsock_connects(a)) {
		list_push_back(&b->senders, &a->sender_node);
		list_push_back(&a->senders, &b->sender_node);
	}
	return 0;
}

/* ---- shutdown, data, readiness -------------------------------------------------------------- */

/* With from: only if s is still connected to that. */
static void shut_add(struct lsock *s, unsigned bits, struct lsock *from)
{
	{
		AUTO_LOCK(&s->mu);
		if (from && atomic_load(&s->peer) != from)
			return;
		s->shut |= bits;
	}
	waitq_wake(&s->sk.wq, POLLIN | POLLRDNORM | POLLOUT | POLLWRNORM | POLLRDHUP |
				      (s->shut == LSOCK_SHUT_BOTH ? POLLHUP : 0u));
}

static int local_shutdown(struct socket *sk, int how)
{
	static const unsigned ours[3] = {LSOCK_SHUT_RD, LSOCK_SHUT_WR, LSOCK_SHUT_BOTH};
	static const unsigned theirs[3] = {LSOCK_SHUT_WR, LSOCK_SHUT_RD, LSOCK_SHUT_BOTH};
	struct lsock *s = lsock_of(sk), *peer = NULL;

	if (s->fam->inet && s->state != LSOCK_CONNECTED && s->state != LSOCK_LISTENING)
		return -ENOTCONN;
	/* Nobody is accepted any more, and who waited for it is cut off. */
	if (s->fam->inet && s->state == LSOCK_LISTENING && how != SHUT_WR)
		return stream_disconnect(s);
	{
		AUTO_LOCK(&s->mu);
		if (lsock_connects(s)) {
			peer = lsock_stream_peer(s);
			if (peer)
				lsock_get(peer);
		}
	}
	shut_add(s, ours[how], NULL);
	/* TCP doesn't tell the other side that we stopped reading. */
	if (peer && !(s->fam->inet && how == SHUT_RD))
		shut_add(peer, s->fam->inet ? LSOCK_SHUT_RD : theirs[how], s);
	lsock_put(peer);
	return 0;
}

static ssize_t local_try_send(struct socket *sk, struct sock_msg *m)
{
	struct lsock *s = lsock_of(sk);

	if (!s->fam->passes_scm && m->scm.rights)
		return -EINVAL;
	return sk->type == SOCK_STREAM ? lsock_stream_send(s, m) : lsock_dgram_send(s, m);
}

static ssize_t local_try_recv(struct socket *sk, struct sock_msg *m)
{
	struct lsock *s = lsock_of(sk);

	if (m->flags & MSG_ERRQUEUE)
		return -EAGAIN;
	return sk->type == SOCK_STREAM ? lsock_stream_recv(s, m) : lsock_dgram_recv(s, m);
}

static uint32_t local_poll(struct socket *sk)
{
	struct lsock *s = lsock_of(sk);
	bool stream = sk->type == SOCK_STREAM, idle;
	/* Of unix streams only reads wait for so much. */
	uint32_t ev = 0, low = s->fam->inet ? (uint32_t)atomic_load(&sk->rcvlowat) : 1;

	if (atomic_load_explicit(&sk->error, memory_order_relaxed))
		ev |= POLLERR;
	{
		AUTO_LOCK(&s->mu);
		if (s->rx.used >= low || s->nmsgs || s->naccept || s->shut & LSOCK_SHUT_RD)
			ev |= POLLIN | POLLRDNORM;
		if (s->shut & LSOCK_SHUT_RD)
			ev |= POLLRDHUP;
		if (s->shut == LSOCK_SHUT_BOTH)
			ev |= POLLHUP;
		idle = s->state == LSOCK_IDLE || s->state == LSOCK_CONNECTING;
		if (idle && lsock_connects(s))
			ev |= POLLHUP;
		if (idle && s->fam->inet && ev & POLLERR) /* a connection was refused */
			ev |= POLLIN | POLLRDNORM | POLLRDHUP;
		if (s->state == LSOCK_LISTENING)
			return ev;
	}
	if (stream ? lsock_stream_writable(s) : lsock_dgram_writable(s))
		ev |= POLLOUT | POLLWRNORM | POLLWRBAND;
	return ev;
}

static int local_queued(struct socket *sk, bool out, int *bytes)
{
	struct lsock *s = lsock_of(sk), *peer;

	if (s->state == LSOCK_LISTENING)
		return -EINVAL;
	if (out) {
		peer = lsock_stream_peer(s);
		*bytes = sk->type != SOCK_STREAM ? (int)atomic_load(&s->in_flight)
			 : peer && !s->fam->inet ? (int)peer->rx.used
						 : 0;
		return 0;
	}
	AUTO_LOCK(&s->mu);
	struct lmsg *first = list_first(&s->msgs, struct lmsg, node);

	*bytes = sk->type == SOCK_STREAM ? (int)s->rx.used : first ? (int)first->len : 0;
	return 0;
}

static int local_setsockopt(struct socket *sk, struct task *t, int level, int opt, const void *val,
			    uint32_t len)
{
	struct lsock *s = lsock_of(sk);

	return s->fam->setsockopt ? s->fam->setsockopt(sk, t, level, opt, val, len) : -EOPNOTSUPP;
}

static int local_getsockopt(struct socket *sk, struct task *t, int level, int opt, void *val,
			    uint32_t *len)
{
	struct lsock *s = lsock_of(sk);

	return s->fam->getsockopt ? s->fam->getsockopt(sk, t, level, opt, val, len) : -EOPNOTSUPP;
}

const struct socket_ops local_ops = {
	.bind = local_bind,
	.connect = local_connect,
	.listen = local_listen,
	.try_accept = local_try_accept,
	.getname = local_getname,
	.shutdown = local_shutdown,
	.try_send = local_try_send,
	.try_recv = local_try_recv,
	.poll = local_poll,
	.setsockopt = local_setsockopt,
	.getsockopt = local_getsockopt,
	.peercred = local_peercred,
	.listening = local_listening,
	.queued = local_queued,
	.put = local_put,
	.release = local_release,
};
