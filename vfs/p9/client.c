/* The 9P connection's client end.
 *
 * Who waits for a reply may have to read the socket for all: the first waiter becomes the *leader*,
 * reads messages, hands each to the call with its tag, and passes the lead on when its own has
 * come. So a single caller costs one send and one receive, without any switch to another thread,
 * and no thread exists only to read.
 *
 *	caller:  encode, send; lock mu
 *		 while not done: no leader? lead (unlock, receive, lock, deliver) : sleep on the call's cond
 *		 done: wake some other waiter if there is no leader now
 *
 * A peer that lives but doesn't answer is waited for, but not by who has been killed: client_orphan.c.
 *
 * When the peer dies or sends nonsense the client is dead for good: all calls end with -EIO.
 *
 * The send can't deadlock with the peer: replies that nobody reads are bounded (P9_ASYNC_MAX small
 * ones); for all others there is a waiter, hence a leader. */
#include "vfs/p9/client_impl.h"

#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "abi/base/log.h"
#include "vfs/vfs.h"

_Static_assert(P9_CALLS_MAX == 256, "P9_TAG_NUM");

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
	list_for_each(call, &c->waiting, struct p9_call, node) cond_signal(&call->cond);
	cond_broadcast(&c->call_freed);
}

static uint64_t slice_end(void)
{
	return p9_now_ns() + P9_SLICE_MS * 1000000;
}

void p9_client_kill(struct p9_client *c, const char *why)
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
	call->fds.n = 0;
	call->uses = 0;
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
		if (cond_wait(&c->call_freed, &c->mu, slice_end()) < 0 && vfs_killed())
			return NULL;
	}
	list_del_init(&call->node);
	call->state = CALL_BUSY;
	call->async = false;
	call->uses++;
	return call;
}

void p9_call_put_locked(struct p9_call *call)
{
	struct p9_client *c = call->client;

	if (call->state == CALL_ORPHAN) { /* its tag is in use */
		call->state = CALL_LOST;
		return;
	}
	if (call->rx != call->rx_small)
		free(call->rx);
	call->rx = call->rx_small;
	p9_carried_close(&call->fds);
	call->state = CALL_FREE;
	list_del_init(&call->node);
	list_push_front(&c->free, &call->node);
	if (c->ncalls == P9_CALLS_MAX)
		cond_signal(&c->call_freed);
}

void p9_call_put(struct p9_call *call)
{
	AUTO_LOCK(&call->client->mu);
	p9_call_put_locked(call);
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

/* Tells the peer where we run. */
static void call_tag(struct p9_call *call)
{
	struct p9_client *c = call->client;
	int cpu = c->may_spin ? sched_getcpu() : -1;

	call->t.tag = P9_TAG(P9_TAG_NUM(call->t.tag), cpu);
	if (cpu == c->cpu) {
		c->cpu_run++;
	} else {
		c->cpu = cpu;
		c->cpu_run = 0;
	}
}

int p9_call_send(struct p9_call *call)
{
	struct p9_client *c = call->client;
	uint32_t use = call->uses;
	uint8_t *buf;
	ssize_t n;
	int err;

	call_tag(call);
	n = call_encode(call, &buf);

	if (n < 0)
		return (int)n;
	mutex_lock(&c->mu);
	if (call->rx != call->rx_small) /* of a request before */
		free(call->rx);
	call->rx = call->rx_small;
	call->state = CALL_SENT;
	list_push_back(&c->waiting, &call->node);
	mutex_unlock(&c->mu);
	err = p9_client_send(c, buf, (size_t)n);
	if (buf != call->tx)
		free(buf);
	if (err == -EINTR) {
		mutex_lock(&c->mu);
		/* A peer may answer what it has not been asked yet; then the call may be another's by now. */
		if (call->uses == use && call->state == CALL_SENT) {
			list_del_init(&call->node);
			call->state = CALL_BUSY;
		} else {
			err = 0;
		}
		mutex_unlock(&c->mu);
	}
	return err;
}

/* Hands the message in c->rx to its call. False: nobody asked for it, or no memory. */
static bool deliver_locked(struct p9_client *c, size_t len, struct p9_carried *fds)
{
	struct p9_cur cur = p9_cur(c->rx, len);
	struct p9_call *call;
	uint16_t tag;

	p9_take(&cur, 5);
	p9_get_u16(&cur, &tag);
	if (P9_TAG_NUM(tag) >= c->ncalls)
		return false;
	call = c->calls[P9_TAG_NUM(tag)];
	if (call->t.tag != tag)
		return false;
	if (call->state == CALL_ORPHAN || call->state == CALL_LOST) {
		p9_orphan_answered_locked(call, c->rx, len);
		return true;
	}
	if (call->state != CALL_SENT)
		return false;
	if (len > sizeof(call->rx_small)) {
		call->rx = malloc(len);
		if (!call->rx) {
			call->rx = call->rx_small;
			return false;
		}
	}
	memcpy(call->rx, c->rx, len);
	call->rx_len = len;
	call->fds = *fds;
	fds->n = 0;
	call->state = CALL_DONE;
	list_del_init(&call->node);
	if (call->async) {
		c->nasync--;
		p9_clunked_locked(c, &call->t);
		p9_call_put_locked(call);
	} else {
		cond_signal(&call->cond);
	}
	return true;
}

/* mu held; lets go of it while it reads. */
static void lead_locked(struct p9_client *c)
{
	struct p9_carried fds = {.n = 0};
	ssize_t n;

	c->leader = true;
	mutex_unlock(&c->mu);
	n = p9_client_recv(c, &fds);
	mutex_lock(&c->mu);
	c->leader = false;
	if (n == -EAGAIN) /* nothing has come for a while */
		return;
	if (n < 0)
		client_kill_locked(c, n == -EPIPE || n == -ECONNRESET ? "the gofer is gone"
		                                                      : strerror((int)-n));
	else if (!deliver_locked(c, (size_t)n, &fds))
		client_kill_locked(c, "a reply that nobody asked for");
	p9_carried_close(&fds);
}

/* Of those who wait, one must read for all. */
static void lead_pass_on_locked(struct p9_client *c)
{
	if (c->leader)
		return;
	list_for_each(w, &c->waiting, struct p9_call, node)
	{
		if (!w->async) {
			cond_signal(&w->cond);
			return;
		}
	}
}

/* 0: there is a reply; -EIO, or -EINTR: the caller has been killed and the call is an orphan. */
static int call_wait(struct p9_call *call)
{
	struct p9_client *c = call->client;
	uint64_t give_up = 0;
	int err = 0;

	AUTO_LOCK(&c->mu);
	while (call->state == CALL_SENT && !c->dead && !err) {
		if (c->leader)
			cond_wait(&call->cond, &c->mu, slice_end());
		else
			lead_locked(c);
		if (call->state == CALL_SENT && vfs_killed())
			err = p9_call_give_up_locked(call, &give_up);
	}
	list_del_init(&call->node);
	lead_pass_on_locked(c);
	return err ? err : call->state == CALL_DONE ? 0 : -EIO;
}

/* The second half of p9_rpc, for a call that was sent. */
int p9_call_finish(struct p9_call *call)
{
	uint8_t expect = (uint8_t)(call->t.type + 1);
	int err = call_wait(call);

	if (err)
		return err;
	err = p9_decode(call->rx, call->rx_len, &call->r);
	if (!err && call->r.type == P9_rlerror) {
		uint32_t e = call->r.rlerror.ecode;

		return e > 0 && e < 512 ? -(int)e : -EIO;
	}
	if (err || call->r.type != expect) {
		p9_client_kill(call->client, "a malformed reply");
		return -EIO;
	}
	return 0;
}

int p9_rpc(struct p9_call *call)
{
	int err;

	if (call->client->dead)
		return -EIO;
	err = p9_call_send(call);
	if (err == -EMSGSIZE || err == -ENOMEM || err == -EINVAL || err == -EINTR)
		return err; /* not sent */
	return p9_call_finish(call);
}
