/* The 9P connection's client end.
 *
 * Who waits for a reply may have to read the socket for all: the first waiter becomes the *leader*, reads messages,
 * hands each to the call with its tag, and passes the lead on when its own has come. So a single caller costs one send and
 * one receive, without any switch to another thread, and no thread exists only to read.
 *
 *	caller:  encode, send; lock mu
 *		 while not done: no leader? lead (unlock, receive, lock, deliver) : sleep on the call's cond
 *		 done: wake some other waiter if there is no leader now
 *
 * When the peer dies or sends nonsense the client is dead for good: all calls end with -EIO.
 *
 * The send can't deadlock with the peer: replies that nobody reads are bounded (P9_ASYNC_MAX small ones);
 * for all others there is a waiter, hence a leader. */
#include "vfs/p9/client.h"

#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "abi/base/log.h"

#define SPIN_MIN_NS 2000
#define SPIN_MAX_NS 40000

struct p9_client {
	int sock;
	bool seqpacket, extended, may_spin; /* immutable after p9_client_new */
	uint32_t msize;
	_Atomic bool dead;
	struct mutex send_mu; /* streams */
	uint8_t *rx;	      /* the leader's */
	unsigned spin_ns;     /* the leader's: how long to look before it sleeps */
	unsigned spin_skips;

	struct mutex mu; /* all below */
	struct cond call_freed;
	bool leader;
	struct p9_call *calls[P9_CALLS_MAX]; /* by tag */
	unsigned ncalls, nasync;
	struct list free, waiting;
	uint32_t next_fid;
	uint32_t *free_fids;
	size_t nfree_fids, cap_free_fids;
	struct p9_fids clunks;
};

bool p9_client_extended(const struct p9_client *c)
{
	return c->extended;
}

bool p9_client_dead(struct p9_client *c)
{
	return c->dead;
}

uint32_t p9_client_msize(const struct p9_client *c)
{
	return c->msize;
}

static void client_kill_locked(struct p9_client *c, const char *why)
{
	if (!c->dead) {
		c->dead = true;
		log_warn("9p: connection lost: %s", why);
		shutdown(c->sock, SHUT_RDWR);
	}
	list_for_each(call, &c->waiting, struct p9_call, node)
		cond_signal(&call->cond);
	cond_broadcast(&c->call_freed);
}

static void client_kill(struct p9_client *c, const char *why)
{
	AUTO_LOCK(&c->mu);
	client_kill_locked(c, why);
}

static struct p9_call *call_new_locked(struct p9_client *c)
{
	struct p9_call *call = malloc(sizeof(*call));

	if (!call)
		return NULL;
	call->client = c;
	call->state = CALL_FREE;
	call->t.tag = (uint16_t)c->ncalls;
	call->rx = call->rx_small;
	call->fd = -1;
	list_init(&call->node);
	cond_init(&call->cond);
	c->calls[c->ncalls++] = call;
	return call;
}

struct p9_call *p9_call_get(struct p9_client *c)
{
	struct p9_call *call;

	AUTO_LOCK(&c->mu);
	for (;;) {
		call = list_first(&c->free, struct p9_call, node);
		if (call)
			break;
		if (c->ncalls < P9_CALLS_MAX) {
			call = call_new_locked(c);
			if (!call)
				return NULL;
			break;
		}
		cond_wait(&c->call_freed, &c->mu, UINT64_MAX);
	}
	list_del_init(&call->node);
	call->state = CALL_BUSY;
	call->async = false;
	return call;
}

static void call_put_locked(struct p9_call *call)
{
	struct p9_client *c = call->client;

	if (call->rx != call->rx_small)
		free(call->rx);
	call->rx = call->rx_small;
	if (call->fd >= 0)
		close(call->fd);
	call->fd = -1;
	call->state = CALL_FREE;
	list_del_init(&call->node);
	list_push_front(&c->free, &call->node);
	if (c->ncalls == P9_CALLS_MAX)
		cond_signal(&c->call_freed);
}

void p9_call_put(struct p9_call *call)
{
	AUTO_LOCK(&call->client->mu);
	call_put_locked(call);
}

static int client_send(struct p9_client *c, const uint8_t *buf, size_t len)
{
	int err = 0;

	if (!c->seqpacket)
		mutex_lock(&c->send_mu);
	while (len > 0) {
		ssize_t n = send(c->sock, buf, len, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
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
		client_kill(c, "send failed");
	return err;
}

/* Encodes call->t: into call->tx when it fits, else into memory of its own. */
static ssize_t call_encode(struct p9_call *call, uint8_t **buf)
{
	ssize_t n = p9_encode(&call->t, call->tx, sizeof(call->tx));

	*buf = call->tx;
	if (n != -EMSGSIZE)
		return n;
	*buf = malloc(call->client->msize);
	if (!*buf)
		return -ENOMEM;
	n = p9_encode(&call->t, *buf, call->client->msize);
	if (n < 0)
		free(*buf);
	return n;
}

static int call_send(struct p9_call *call)
{
	struct p9_client *c = call->client;
	uint8_t *buf;
	ssize_t n = call_encode(call, &buf);
	int err;

	if (n < 0)
		return (int)n;
	mutex_lock(&c->mu);
	if (call->rx != call->rx_small) /* of a request before */
		free(call->rx);
	call->rx = call->rx_small;
	call->state = CALL_SENT;
	list_push_back(&c->waiting, &call->node);
	mutex_unlock(&c->mu);
	err = client_send(c, buf, (size_t)n);
	if (buf != call->tx)
		free(buf);
	return err;
}

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

/* Replies usually come within microseconds, where going to sleep and being woken takes many times that: look a while
 * first. A look that was in vain halves the next; when it is down to nothing, only one reply in 16 is looked for. */
static ssize_t recv_spin(struct p9_client *c, struct msghdr *msg)
{
	size_t control = msg->msg_controllen;
	uint64_t until;
	ssize_t n;

	if (c->spin_ns < SPIN_MIN_NS && ++c->spin_skips < 16)
		return -1;
	c->spin_skips = 0;
	until = now_ns() + (c->spin_ns < SPIN_MIN_NS ? SPIN_MIN_NS : c->spin_ns);
	do {
		msg->msg_controllen = control;
		n = recvmsg(c->sock, msg, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
		if (n >= 0) {
			c->spin_ns = c->spin_ns * 2 + SPIN_MIN_NS;
			if (c->spin_ns > SPIN_MAX_NS)
				c->spin_ns = SPIN_MAX_NS;
			return n;
		}
	} while (errno == EAGAIN && now_ns() < until);
	msg->msg_controllen = control;
	c->spin_ns /= 2;
	return -1;
}

/* One piece of n bytes (stream) or one packet of at most n bytes; *fd gets a descriptor if one came. */
static ssize_t client_recv(struct p9_client *c, uint8_t *buf, size_t n, int *fd)
{
	union {
		struct cmsghdr align;
		char buf[CMSG_SPACE(sizeof(int))];
	} control;
	struct iovec iov = {buf, n};
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = CMSG_LEN(sizeof(int)), /* room for one: the kernel drops more */
	};
	struct cmsghdr *cm;
	ssize_t got;

	got = c->may_spin ? recv_spin(c, &msg) : -1;
	if (got < 0)
		do
			got = recvmsg(c->sock, &msg, MSG_CMSG_CLOEXEC);
		while (got < 0 && errno == EINTR);
	if (got < 0)
		return -errno;
	cm = CMSG_FIRSTHDR(&msg);
	if (cm && cm->cmsg_level == SOL_SOCKET && cm->cmsg_type == SCM_RIGHTS &&
	    cm->cmsg_len == CMSG_LEN(sizeof(int))) {
		if (*fd >= 0)
			close(*fd);
		memcpy(fd, CMSG_DATA(cm), sizeof(int));
	}
	if (got == 0)
		return -EPIPE;
	return msg.msg_flags & MSG_TRUNC ? -EMSGSIZE : got;
}

/* A whole message in c->rx: its size, or -errno. On a stream a descriptor travels with the bytes of its message, and a
 * receive never reads past the message whose header it knows, so it can't be another's. */
static ssize_t client_recv_message(struct p9_client *c, int *fd)
{
	struct p9_cur cur = p9_cur(c->rx, 4);
	size_t have = 0;
	uint32_t size;
	ssize_t n;

	if (c->seqpacket) {
		n = client_recv(c, c->rx, P9_MSIZE_MAX, fd);
		return n >= 0 && n < P9_HDR_SIZE ? -EBADMSG : n;
	}
	while (have < P9_HDR_SIZE) {
		n = client_recv(c, c->rx + have, P9_HDR_SIZE - have, fd);
		if (n < 0)
			return n;
		have += (size_t)n;
	}
	p9_get_u32(&cur, &size);
	if (size < P9_HDR_SIZE || size > P9_MSIZE_MAX)
		return -EBADMSG;
	while (have < size) {
		n = client_recv(c, c->rx + have, size - have, fd);
		if (n < 0)
			return n;
		have += (size_t)n;
	}
	return (ssize_t)size;
}

static void fid_free_locked(struct p9_client *c, uint32_t fid)
{
	if (c->nfree_fids == c->cap_free_fids) {
		size_t cap = c->cap_free_fids ? c->cap_free_fids * 2 : 64;
		uint32_t *grown = realloc(c->free_fids, cap * sizeof(*grown));

		if (!grown)
			return; /* the number is lost: there are 4 billion */
		c->free_fids = grown;
		c->cap_free_fids = cap;
	}
	c->free_fids[c->nfree_fids++] = fid;
}

/* What the peer has unbound may be used again, not before: requests overtake each other. */
static void clunked_locked(struct p9_client *c, const struct p9_msg *t)
{
	if (t->type == P9_tclunk)
		fid_free_locked(c, t->tclunk.fid);
	for (unsigned i = 0; t->type == P9_tclunkmany && i < t->tclunkmany.fids.n; i++)
		fid_free_locked(c, t->tclunkmany.fids.a[i]);
}

/* Hands the message in c->rx to its call. False: nobody asked for it, or no memory. */
static bool deliver_locked(struct p9_client *c, size_t len, int *fd)
{
	struct p9_cur cur = p9_cur(c->rx, len);
	struct p9_call *call;
	uint16_t tag;

	p9_take(&cur, 5);
	p9_get_u16(&cur, &tag);
	if (tag >= c->ncalls || c->calls[tag]->state != CALL_SENT)
		return false;
	call = c->calls[tag];
	if (len > sizeof(call->rx_small)) {
		call->rx = malloc(len);
		if (!call->rx) {
			call->rx = call->rx_small;
			return false;
		}
	}
	memcpy(call->rx, c->rx, len);
	call->rx_len = len;
	call->fd = *fd;
	*fd = -1;
	call->state = CALL_DONE;
	list_del_init(&call->node);
	if (call->async) {
		c->nasync--;
		clunked_locked(c, &call->t);
		call_put_locked(call);
	} else {
		cond_signal(&call->cond);
	}
	return true;
}

/* mu held; lets go of it while it reads. */
static void lead_locked(struct p9_client *c)
{
	int fd = -1;
	ssize_t n;

	c->leader = true;
	mutex_unlock(&c->mu);
	n = client_recv_message(c, &fd);
	mutex_lock(&c->mu);
	c->leader = false;
	if (n < 0)
		client_kill_locked(c, n == -EPIPE || n == -ECONNRESET ? "the gofer is gone" : strerror((int)-n));
	else if (!deliver_locked(c, (size_t)n, &fd))
		client_kill_locked(c, "a reply that nobody asked for");
	if (fd >= 0)
		close(fd);
}

static void call_wait(struct p9_call *call)
{
	struct p9_client *c = call->client;
	struct p9_call *next;

	AUTO_LOCK(&c->mu);
	while (call->state == CALL_SENT && !c->dead) {
		if (c->leader)
			cond_wait(&call->cond, &c->mu, UINT64_MAX);
		else
			lead_locked(c);
	}
	list_del_init(&call->node);
	if (c->leader)
		return;
	list_for_each_safe(w, &c->waiting, struct p9_call, node) {
		next = w;
		if (!next->async) {
			cond_signal(&next->cond);
			return;
		}
	}
}

/* The second half of p9_rpc, for a call that was sent. */
static int call_finish(struct p9_call *call)
{
	uint8_t expect = (uint8_t)(call->t.type + 1);
	int err;

	call_wait(call);
	if (call->state != CALL_DONE)
		return -EIO;
	err = p9_decode(call->rx, call->rx_len, &call->r);
	if (!err && call->r.type == P9_rlerror) {
		uint32_t e = call->r.rlerror.ecode;

		return e > 0 && e < 512 ? -(int)e : -EIO;
	}
	if (err || call->r.type != expect) {
		client_kill(call->client, "a malformed reply");
		return -EIO;
	}
	return 0;
}

int p9_rpc(struct p9_call *call)
{
	int err;

	if (call->client->dead)
		return -EIO;
	err = call_send(call);
	if (err == -EMSGSIZE || err == -ENOMEM || err == -EINVAL)
		return err; /* not sent */
	return call_finish(call);
}

uint32_t p9_fid_alloc(struct p9_client *c, unsigned n)
{
	uint32_t fid;

	AUTO_LOCK(&c->mu);
	if (n == 1 && c->nfree_fids > 0)
		return c->free_fids[--c->nfree_fids];
	if (c->next_fid > P9_NOFID - 1 - n)
		return 0;
	fid = c->next_fid;
	c->next_fid += n;
	return fid;
}

void p9_fid_unused(struct p9_client *c, uint32_t first, unsigned n, unsigned used)
{
	AUTO_LOCK(&c->mu);
	if (c->next_fid == first + n)
		c->next_fid = first + used;
	else
		for (unsigned i = used; i < n; i++)
			fid_free_locked(c, first + i);
}

void p9_fid_free(struct p9_client *c, uint32_t fid)
{
	AUTO_LOCK(&c->mu);
	fid_free_locked(c, fid);
}

/* Sends call->t and lets go of the call; without waiting, unless too many replies are outstanding. */
static void clunk_send(struct p9_client *c, struct p9_call *call, bool wait)
{
	mutex_lock(&c->mu);
	call->async = !wait && c->nasync < P9_ASYNC_MAX;
	c->nasync += call->async;
	mutex_unlock(&c->mu);
	if (call->async) {
		call_send(call);
		return;
	}
	p9_rpc(call);
	mutex_lock(&c->mu);
	clunked_locked(c, &call->t);
	call_put_locked(call);
	mutex_unlock(&c->mu);
}

static void clunk_gathered(struct p9_client *c, bool wait)
{
	struct p9_call *call = c->dead ? NULL : p9_call_get(c);

	if (!call)
		return;
	mutex_lock(&c->mu);
	if (c->extended) {
		call->t.type = P9_tclunkmany;
		call->t.tclunkmany.fids = c->clunks;
		c->clunks.n = 0;
	} else if (c->clunks.n > 0) {
		call->t.type = P9_tclunk;
		call->t.tclunk.fid = c->clunks.a[--c->clunks.n];
	} else { /* another thread was faster */
		call_put_locked(call);
		call = NULL;
	}
	mutex_unlock(&c->mu);
	if (!call)
		return;
	clunk_send(c, call, wait);
}

void p9_clunk(struct p9_client *c, uint32_t fid, bool now)
{
	mutex_lock(&c->mu);
	if (c->clunks.n < P9_MAXFIDS)
		c->clunks.a[c->clunks.n++] = fid;
	now = now || c->clunks.n >= P9_CLUNKS_MAX || !c->extended;
	mutex_unlock(&c->mu);
	if (now)
		clunk_gathered(c, false);
}

void p9_clunk_flush(struct p9_client *c)
{
	clunk_gathered(c, true);
}

static void tversion(struct p9_call *call, const char *version)
{
	call->t.type = P9_tversion;
	call->t.tversion.msize = P9_MSIZE_MAX;
	call->t.tversion.version = p9_str(version, strlen(version));
}

/* 1: the version asked for; 0: some other. */
static int rversion(struct p9_client *c, const struct p9_call *call, const char *version)
{
	const struct p9_rversion *r = &call->r.rversion;

	if (r->msize < P9_MSIZE_MIN || r->msize > P9_MSIZE_MAX)
		return -EPROTO;
	c->msize = r->msize;
	return r->version.len == strlen(version) &&
	       memcmp(r->version.p, version, strlen(version)) == 0;
}

/* Ours: both messages are sent before the first is answered, which saves a round trip for each tree at start. The gofer
 * serves Tversion before it looks at anything else. (Over a stream the peer may be someone else, who would stumble.) 1: agreed
 * and attached. */
static int negotiate_extended(struct p9_client *c, const char *aname, struct p9_attr *root)
{
	__attribute__((cleanup(auto_p9_call))) struct p9_call *version = p9_call_get(c);
	__attribute__((cleanup(auto_p9_call))) struct p9_call *mount = p9_call_get(c);
	int err, agreed;

	if (!version || !mount)
		return -ENOMEM;
	tversion(version, P9_VERSION_SENTRY);
	mount->t.type = P9_tmount;
	mount->t.tmount = (struct p9_tmount){P9_ROOT_FID, p9_str(aname, strlen(aname))};
	err = call_send(version);
	if (!err && c->seqpacket)
		err = call_send(mount);
	if (err)
		return err;
	err = call_finish(version);
	agreed = err ? err : rversion(c, version, P9_VERSION_SENTRY);
	c->extended = agreed == 1;
	if (c->seqpacket)
		err = call_finish(mount);
	else if (agreed == 1)
		err = p9_rpc(mount);
	if (agreed != 1)
		return agreed;
	if (!err)
		*root = mount->r.rmount.attr;
	return err ? err : 1;
}

static int negotiate_plain(struct p9_client *c, const char *aname, struct p9_attr *root)
{
	__attribute__((cleanup(auto_p9_call))) struct p9_call *call = p9_call_get(c);
	int err;

	if (!call)
		return -ENOMEM;
	tversion(call, P9_VERSION);
	err = p9_rpc(call);
	if (err)
		return err;
	err = rversion(c, call, P9_VERSION);
	if (err != 1)
		return err ? err : -EPROTO;
	call->t.type = P9_tattach;
	call->t.tattach = (struct p9_tattach){
		.fid = P9_ROOT_FID,
		.afid = P9_NOFID,
		.uname = p9_str("root", 4),
		.aname = p9_str(aname, strlen(aname)),
		.n_uname = 0,
	};
	err = p9_rpc(call);
	if (err)
		return err;
	call->t.type = P9_tgetattr;
	call->t.tgetattr = (struct p9_tgetattr){P9_ROOT_FID, P9_GETATTR_ALL};
	err = p9_rpc(call);
	if (!err)
		*root = call->r.rgetattr.attr;
	return err;
}

int p9_client_new(int sock, const char *aname, struct p9_client **out, struct p9_attr *root)
{
	struct p9_client *c = calloc(1, sizeof(*c));
	socklen_t len = sizeof(int);
	cpu_set_t cpus;
	int type = 0, err;

	if (!c || !(c->rx = malloc(P9_MSIZE_MAX))) {
		free(c);
		close(sock);
		return -ENOMEM;
	}
	c->sock = sock;
	c->msize = P9_MSIZE_MIN;
	c->next_fid = P9_ROOT_FID + 1;
	c->may_spin = sched_getaffinity(0, sizeof(cpus), &cpus) == 0 && CPU_COUNT(&cpus) > 1;
	c->spin_ns = SPIN_MAX_NS;
	mutex_init(&c->mu, LOCK_P9);
	mutex_init(&c->send_mu, LOCK_NONE);
	cond_init(&c->call_freed);
	list_init(&c->free);
	list_init(&c->waiting);
	err = getsockopt(sock, SOL_SOCKET, SO_TYPE, &type, &len) < 0 ? -errno : 0;
	c->seqpacket = type == SOCK_SEQPACKET;
	if (!err)
		err = negotiate_extended(c, aname, root);
	if (!err)
		err = negotiate_plain(c, aname, root);
	if (err < 0)
		p9_client_free(c);
	else
		*out = c;
	return err < 0 ? err : 0;
}

void p9_client_free(struct p9_client *c)
{
	for (unsigned i = 0; i < c->ncalls; i++) {
		struct p9_call *call = c->calls[i];

		if (call->rx != call->rx_small)
			free(call->rx);
		if (call->fd >= 0)
			close(call->fd);
		cond_destroy(&call->cond);
		free(call);
	}
	close(c->sock);
	free(c->rx);
	free(c->free_fids);
	mutex_destroy(&c->mu);
	mutex_destroy(&c->send_mu);
	cond_destroy(&c->call_freed);
	free(c);
}
