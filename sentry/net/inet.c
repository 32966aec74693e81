/* TCP and UDP inside the sandbox: the only network of `--network none` is the loopback interface,
 * and both ends of whatever goes over it are ours. So there are no packets: a TCP connection is a
 * pair of local sockets, a UDP datagram goes straight to its receiver's queue. What is left of the
 * protocols is here: addresses, ports, and who gets what.
 *
 * 127.0.0.0/8, ::1 and the wildcards are local; everything else is unreachable. */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/capability.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "sentry/kernel/task.h"
#include "sentry/net/inet_impl.h"

#define PORT_FIRST 32768u /* net.ipv4.ip_local_port_range */
#define PORT_LAST 60999u
#define PORT_PRIVILEGED 1024u

/* Who is bound where, by protocol and port. A leaf: taken last. */
static struct mutex ports_lock = MUTEX_INIT(LOCK_NONE);
static struct htable ports; /* of lname; protected by ports_lock */
static uint32_t port_next;  /* protected by ports_lock */

/* ---- addresses ------------------------------------------------------------------------------ */

static const uint8_t v4_prefix[12] = {[10] = 0xff, [11] = 0xff};

bool inet_is_v4(const struct inet_end *e)
{
	return !memcmp(e->ip, v4_prefix, sizeof(v4_prefix));
}

static bool all_zero(const uint8_t *p, size_t n)
{
	while (n--)
		if (*p++)
			return false;
	return true;
}

bool inet_is_any(const struct inet_end *e)
{
	return inet_is_v4(e) ? all_zero(e->ip + 12, 4) : all_zero(e->ip, 16);
}

bool inet_is_loopback(const struct inet_end *e)
{
	if (inet_is_v4(e))
		return e->ip[12] == 127;
	return all_zero(e->ip, 15) && e->ip[15] == 1;
}

int inet_end_of(int domain, const struct sock_addr *a, struct inet_end *out)
{
	if (a->len < sizeof(a->family))
		return -EINVAL;
	if (a->family == AF_INET && a->len >= sizeof(a->in)) {
		memcpy(out->ip, v4_prefix, sizeof(v4_prefix));
		memcpy(out->ip + 12, &a->in.sin_addr, 4);
		out->port = ntohs(a->in.sin_port);
		/* An IPv6 socket takes no plain IPv4 address. */
		return domain == AF_INET ? 0 : -EAFNOSUPPORT;
	}
	if (a->family == AF_INET6 && domain == AF_INET6 && a->len >= 24) {
		memcpy(out->ip, a->in6.sin6_addr, 16);
		out->port = ntohs(a->in6.sin6_port);
		return 0;
	}
	return a->family == domain ? -EINVAL : -EAFNOSUPPORT;
}

void inet_end_tell(int domain, const struct inet_end *e, struct sock_addr *out)
{
	*out = (struct sock_addr){0};
	out->family = (uint16_t)domain;
	if (domain == AF_INET) {
		out->len = sizeof(out->in);
		out->in.sin_port = htons(e->port);
		memcpy(&out->in.sin_addr, e->ip + 12, 4);
	} else {
		out->len = sizeof(out->in6);
		out->in6.sin6_port = htons(e->port);
		memcpy(out->in6.sin6_addr, e->ip, 16);
	}
}

static struct inet_end end_of_name(const struct lname *n)
{
	struct inet_end e = {0};

	inet_end_of(n->addr.family, &n->addr, &e);
	return e;
}

static struct inet_end loopback_for(bool v4, uint16_t port)
{
	struct inet_end e = {.port = port};

	if (v4) {
		memcpy(e.ip, v4_prefix, sizeof(v4_prefix));
		e.ip[12] = 127;
	}
	e.ip[15] = 1;
	return e;
}

/* ---- ports ---------------------------------------------------------------------------------- */

static uint64_t port_hash(int protocol, uint16_t port)
{
	return hash_u64((uint64_t)protocol << 16 | port);
}

/* Calls fn for each socket bound to the port, until it returns false. */
static void port_each_locked(int protocol, uint16_t port, bool (*fn)(struct lname *n, void *ctx),
			     void *ctx)
{
	uint64_t hash = port_hash(protocol, port);
	struct hnode *h = ports.nbuckets ? ports.buckets[hash & (ports.nbuckets - 1)] : NULL;

	for (; h; h = h->next) {
		struct lname *n = container_of(h, struct lname, hash);

		if (h->hash == hash && n->sock->sk.protocol == protocol && end_of_name(n).port == port &&
		    !fn(n, ctx))
			return;
	}
}

/* Do two bindings of one port claim the same packets? */
static bool ends_overlap(struct lsock *a, const struct inet_end *x, struct lsock *b,
			 const struct inet_end *y)
{
	bool x_any = inet_is_any(x), y_any = inet_is_any(y);
	bool x_dual = x_any && !inet_is_v4(x) && !inet_v6only(a);
	bool y_dual = y_any && !inet_is_v4(y) && !inet_v6only(b);

	if (inet_is_v4(x) != inet_is_v4(y))
		return (x_dual && inet_is_v4(y)) || (y_dual && inet_is_v4(x));
	return x_any || y_any || !memcmp(x->ip, y->ip, sizeof(x->ip));
}

struct conflict_search {
	struct lsock *s;
	const struct inet_end *end;
	bool found;
};

static bool conflict_check(struct lname *n, void *ctx)
{
	struct conflict_search *c = ctx;
	struct inet_end other = end_of_name(n);
	struct lsock *o = n->sock;

	if (!ends_overlap(c->s, c->end, o, &other))
		return true;
	if (socket_flag(&c->s->sk, SO_REUSEPORT) && socket_flag(&o->sk, SO_REUSEPORT))
		return true;
	if (socket_flag(&c->s->sk, SO_REUSEADDR) && socket_flag(&o->sk, SO_REUSEADDR) &&
	    (o->sk.type == SOCK_DGRAM || o->state != LSOCK_LISTENING))
		return true;
	c->found = true;
	return false;
}

static bool port_taken_locked(struct lsock *s, const struct inet_end *e)
{
	struct conflict_search c = {s, e, false};

	port_each_locked(s->sk.protocol, e->port, conflict_check, &c);
	return c.found;
}

/* A free port, or 0. */
static uint16_t port_pick_locked(struct lsock *s, struct inet_end *e)
{
	for (uint32_t i = 0; i <= PORT_LAST - PORT_FIRST; i++) {
		if (!port_next)
			port_next = (uint32_t)hash_u64(0) % (PORT_LAST - PORT_FIRST + 1);
		port_next = port_next % (PORT_LAST - PORT_FIRST + 1) + 1;
		e->port = (uint16_t)(PORT_FIRST + port_next - 1);
		if (!port_taken_locked(s, e))
			return e->port;
	}
	return e->port = 0;
}

static bool listener_check(struct lname *n, void *ctx)
{
	struct conflict_search *c = ctx;
	struct inet_end other = end_of_name(n);
	struct lsock *o = n->sock;

	c->found = o != c->s && o->state == LSOCK_LISTENING && ends_overlap(c->s, c->end, o, &other) &&
		   !(socket_flag(&c->s->sk, SO_REUSEPORT) && socket_flag(&o->sk, SO_REUSEPORT));
	return !c->found;
}

/* Several may be bound to a port with SO_REUSEADDR, of which one listens. */
static int inet_listen_locked(struct lsock *s)
{
	struct inet_end e = end_of_name(s->name);
	struct conflict_search c = {s, &e, false};

	AUTO_LOCK(&ports_lock);
	if (s->state != LSOCK_LISTENING)
		port_each_locked(s->sk.protocol, e.port, listener_check, &c);
	if (c.found)
		return -EADDRINUSE;
	s->state = LSOCK_LISTENING;
	return 0;
}

static void inet_unbind(struct lname *n)
{
	AUTO_LOCK(&ports_lock);
	if (n->sock)
		htable_remove(&ports, &n->hash);
	n->sock = NULL;
}

/* Who finds s by its name finds the name at s, too. s->mu is held. */
static int name_publish(struct lsock *s, struct lname *n, struct inet_end *e)
{
	int err;

	AUTO_LOCK(&ports_lock);
	if (!e->port ? !port_pick_locked(s, e) : port_taken_locked(s, e))
		return -EADDRINUSE;
	inet_end_tell(s->sk.domain, e, &n->addr);
	n->sock = s;
	err = htable_insert(&ports, &n->hash, port_hash(s->sk.protocol, e->port));
	if (!err)
		s->name = n;
	return err;
}

/* Binds s to *e; port 0: any. */
static int bind_end(struct lsock *s, struct inet_end *e)
{
	struct lname *n = lname_new(&(struct sock_addr){0});
	int err;

	if (!n)
		return -ENOMEM;
	{
		AUTO_LOCK(&s->mu);
		err = s->name ? -EINVAL : name_publish(s, n, e);
	}
	if (err)
		lname_put(n);
	return err;
}

static int inet_bind(struct lsock *s, struct task *t, const struct sock_addr *a)
{
	struct sock_addr v4 = *a;
	struct inet_end e;
	int err;

	/* An old habit: AF_UNSPEC with the wildcard counts as AF_INET. */
	if (a->len >= sizeof(a->in) && a->family == AF_UNSPEC && s->sk.domain == AF_INET &&
	    !a->in.sin_addr)
		v4.family = AF_INET;
	err = inet_end_of(s->sk.domain, &v4, &e);
	if (err)
		return err;
	if (s->name)
		return -EINVAL;
	if (!inet_is_any(&e) && !inet_is_loopback(&e))
		return -EADDRNOTAVAIL;
	if (e.port && e.port < PORT_PRIVILEGED && !task_capable(t, CAP_NET_BIND_SERVICE))
		return -EACCES;
	return bind_end(s, &e);
}

static int inet_autobind(struct lsock *s)
{
	struct inet_end e = {0};
	int err;

	if (s->sk.domain == AF_INET)
		memcpy(e.ip, v4_prefix, sizeof(v4_prefix));
	err = bind_end(s, &e);
	return err == -EADDRINUSE ? -EAGAIN : err == -EINVAL ? 0 : err;
}

/* ---- who receives --------------------------------------------------------------------------- */

struct receiver_search {
	struct lsock *from;
	struct inet_end from_end, to;
	struct lsock *best;
	int score;
};

/* Does a binding receive what is sent to e? 0: no; an exact address beats a wildcard. */
static int match_score(struct lsock *s, const struct inet_end *bound, const struct inet_end *e)
{
	if (!inet_is_any(bound))
		return memcmp(bound->ip, e->ip, sizeof(e->ip)) ? 0 : 3;
	if (inet_is_v4(bound) == inet_is_v4(e))
		return 2;
	return inet_is_v4(e) && !inet_v6only(s) ? 1 : 0;
}

/* A UDP socket that is connected hears only its peer, and before others. */
static int dest_score(struct lsock *s, const struct receiver_search *r)
{
	struct inet_end d;

	if (!s->dest)
		return 0;
	d = end_of_name(s->dest);
	if (d.port != r->from_end.port || memcmp(d.ip, r->from_end.ip, sizeof(d.ip)))
		return -100;
	return 10;
}

static bool receiver_consider(struct lname *n, void *ctx)
{
	struct receiver_search *r = ctx;
	struct inet_end bound = end_of_name(n);
	struct lsock *s = n->sock;
	int score = match_score(s, &bound, &r->to);

	if (!score || s->dead)
		return true;
	if (s->sk.type == SOCK_STREAM && s->state != LSOCK_LISTENING)
		return true;
	if (s->sk.type == SOCK_DGRAM)
		score += dest_score(s, r);
	if (score > r->score) {
		r->score = score;
		r->best = s;
	}
	return true;
}

/* Wildcards as destinations mean this host. -ENETUNREACH. */
static int reach(struct inet_end *e)
{
	if (inet_is_any(e))
		*e = loopback_for(inet_is_v4(e), e->port);
	return inet_is_loopback(e) ? 0 : -ENETUNREACH;
}

static struct inet_end source_end(struct lsock *s, const struct inet_end *to)
{
	struct inet_end e = {0};
	struct lname *n = lsock_name(s);

	if (n) {
		e = end_of_name(n);
		lname_put(n);
	}
	return inet_is_any(&e) ? loopback_for(inet_is_v4(to), e.port) : e;
}

struct inet_end inet_local_end(struct lsock *s, bool v4)
{
	struct inet_end e = {0};

	if (s->name)
		e = end_of_name(s->name);
	return inet_is_any(&e) ? loopback_for(v4, e.port) : e;
}

static int inet_lookup(struct lsock *s, struct task *t, const struct sock_addr *a,
		       struct lsock **out)
{
	struct receiver_search r = {.from = s};
	int err = inet_end_of(s->sk.domain, a, &r.to);

	if (!err)
		err = reach(&r.to);
	if (!err && !r.to.port)
		err = s->sk.type == SOCK_STREAM ? -ECONNREFUSED : -EINVAL;
	if (err)
		return err;
	r.from_end = source_end(s, &r.to);
	AUTO_LOCK(&ports_lock);
	port_each_locked(s->sk.protocol, r.to.port, receiver_consider, &r);
	if (!r.best || !ref_get_unless_zero(&r.best->ref))
		return -ECONNREFUSED;
	*out = r.best;
	return 0;
}

/* n: consumed; NULL: connected to none. */
static void dest_set(struct lsock *s, struct lname *n)
{
	struct lname *old;

	{
		/* ports_lock, since senders look at dest under it. */
		AUTO_LOCK(&s->mu);
		AUTO_LOCK(&ports_lock);
		old = s->dest;
		s->dest = n;
		s->state = n ? LSOCK_CONNECTED : LSOCK_IDLE;
	}
	lname_put(old);
}

static int inet_dgram_connect(struct lsock *s, const struct sock_addr *a)
{
	struct inet_end e;
	struct lname *n;
	int err;

	if (a->family == AF_UNSPEC) {
		dest_set(s, NULL);
		return 0;
	}
	err = inet_end_of(s->sk.domain, a, &e);
	if (!err)
		err = reach(&e);
	if (!err && !s->name)
		err = inet_autobind(s);
	if (err)
		return err;
	n = lname_new(&(struct sock_addr){0});
	if (!n)
		return -ENOMEM;
	inet_end_tell(s->sk.domain, &e, &n->addr);
	dest_set(s, n);
	return 0;
}

/* ---- what others see ------------------------------------------------------------------------ */

static struct lname *inet_source_name(struct lsock *s, const struct sock_addr *to)
{
	struct inet_end dest, e;
	struct lname *n;

	if (inet_end_of(to->family, to, &dest))
		return NULL;
	e = source_end(s, &dest);
	n = lname_new(&(struct sock_addr){0});
	if (n)
		inet_end_tell(inet_is_v4(&e) ? AF_INET : AF_INET6, &e, &n->addr);
	return n;
}

static void inet_name_tell(const struct lsock *asker, const struct lname *n, struct sock_addr *out)
{
	struct inet_end e = {0};

	if (n)
		e = end_of_name(n);
	else if (asker->sk.domain == AF_INET)
		memcpy(e.ip, v4_prefix, sizeof(v4_prefix));
	if (inet_is_any(&e) && asker->state == LSOCK_CONNECTED)
		e = loopback_for(inet_is_v4(&e), e.port);
	inet_end_tell(asker->sk.domain, &e, out);
}

static const struct lfamily inet_lfamily = {
	.bind = inet_bind,
	.autobind = inet_autobind,
	.lookup = inet_lookup,
	.unbind = inet_unbind,
	.listen_locked = inet_listen_locked,
	.name_tell = inet_name_tell,
	.source_name = inet_source_name,
	.dgram_connect = inet_dgram_connect,
	.msg_sent = inet_msg_sent,
	.msg_read = inet_msg_read,
	.setsockopt = inet_setsockopt,
	.getsockopt = inet_getsockopt,
	.inet = true,
};

static int inet_create(struct task *t, int domain, int type, int protocol, struct socket **out)
{
	struct lsock *s;

	if (type == SOCK_RAW)
		return !protocol || task_capable(t, CAP_NET_RAW) ? -EPROTONOSUPPORT : -EPERM;
	if (type != SOCK_STREAM && type != SOCK_DGRAM)
		return -ESOCKTNOSUPPORT;
	if (type == SOCK_DGRAM && protocol == (domain == AF_INET ? IPPROTO_ICMP : IPPROTO_ICMPV6))
		return -EACCES;
	if (!protocol)
		protocol = type == SOCK_STREAM ? IPPROTO_TCP : IPPROTO_UDP;
	if (type == SOCK_STREAM ? protocol != IPPROTO_TCP
				: protocol != IPPROTO_UDP && protocol != IPPROTO_UDPLITE)
		return -EPROTONOSUPPORT;
	s = lsock_new(&inet_lfamily, domain, type, protocol);
	if (!s)
		return -ENOMEM;
	*out = &s->sk;
	return 0;
}

const struct sock_family inet_family = {.create = inet_create};
