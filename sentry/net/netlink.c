/* NETLINK_ROUTE, as much as getifaddrs(3), getaddrinfo(3) and `ip` ask: there is one interface, lo,
 * with 127.0.0.1/8 and ::1/128, and no route to anywhere. netlink(7), rtnetlink(7).
 *
 * A request is answered at once, into the sender's own queue: one datagram a request. */
#include <errno.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "abi/base/list.h"
#include "sentry/kernel/task.h"
#include "sentry/net/socket.h"
#include "vfs/uio.h"

#define REQUEST_MAX 65536
#define REPLIES_MAX 64
#define REPLY_SIZE 2048
#define LO_INDEX 1
#define LO_FLAGS (IFF_UP | IFF_LOOPBACK | IFF_RUNNING | 0x10000 /* IFF_LOWER_UP */)

struct reply {
	struct list node;
	uint32_t len;
	char data[REPLY_SIZE];
};

struct nlsock {
	struct socket sk;
	struct mutex mu; /* LOCK_SOCKET */
	struct list replies;
	unsigned nreplies;
	uint32_t port; /* nl_pid; 0: not bound */
};

static _Atomic uint32_t next_port = 0x80000000u;

static struct nlsock *nlsock_of(struct socket *s)
{
	return (struct nlsock *)(void *)s;
}

/* ---- building replies ----------------------------------------------------------------------- */

static void *put(struct reply *r, const void *data, size_t n)
{
	void *at = r->data + r->len;

	if (r->len + NLMSG_ALIGN(n) > REPLY_SIZE)
		return NULL;
	memset(at, 0, NLMSG_ALIGN(n));
	if (data)
		memcpy(at, data, n);
	r->len += NLMSG_ALIGN(n);
	return at;
}

static void put_attr(struct reply *r, int type, const void *data, size_t n)
{
	struct rtattr a = {(unsigned short)RTA_LENGTH(n), (unsigned short)type};

	put(r, &a, sizeof(a));
	put(r, data, n);
}

static uint32_t msg_begin(struct reply *r, const struct nlmsghdr *req, uint32_t port, int type,
			  const void *body, size_t n)
{
	struct nlmsghdr h = {.nlmsg_type = (uint16_t)type, .nlmsg_seq = req->nlmsg_seq,
			     .nlmsg_pid = port};
	uint32_t at = r->len;

	if ((req->nlmsg_flags & NLM_F_DUMP) == NLM_F_DUMP && type != NLMSG_ERROR)
		h.nlmsg_flags = NLM_F_MULTI;
	put(r, &h, sizeof(h));
	put(r, body, n);
	return at;
}

static void msg_end(struct reply *r, uint32_t at)
{
	uint32_t len = r->len - at;

	memcpy(r->data + at, &len, sizeof(len));
}

static void put_link(struct reply *r, const struct nlmsghdr *req, uint32_t port)
{
	struct ifinfomsg i = {.ifi_type = 772 /* ARPHRD_LOOPBACK */, .ifi_index = LO_INDEX,
			      .ifi_flags = LO_FLAGS};
	uint32_t at = msg_begin(r, req, port, RTM_NEWLINK, &i, sizeof(i));

	put_attr(r, IFLA_IFNAME, "lo", 3);
	put_attr(r, IFLA_TXQLEN, &(uint32_t){1000}, 4);
	put_attr(r, IFLA_OPERSTATE, &(uint8_t){0}, 1);
	put_attr(r, IFLA_LINKMODE, &(uint8_t){0}, 1);
	put_attr(r, IFLA_MTU, &(uint32_t){65536}, 4);
	put_attr(r, IFLA_GROUP, &(uint32_t){0}, 4);
	put_attr(r, IFLA_QDISC, "noqueue", 8);
	put_attr(r, IFLA_ADDRESS, "\0\0\0\0\0", 6);
	put_attr(r, IFLA_BROADCAST, "\0\0\0\0\0", 6);
	put_attr(r, IFLA_STATS, &(struct rtnl_link_stats){0}, sizeof(struct rtnl_link_stats));
	put_attr(r, IFLA_STATS64, &(struct rtnl_link_stats64){0},
		 sizeof(struct rtnl_link_stats64));
	msg_end(r, at);
}

static void put_addr(struct reply *r, const struct nlmsghdr *req, uint32_t port, int family)
{
	struct ifaddrmsg a = {.ifa_family = (uint8_t)family,
			      .ifa_prefixlen = family == AF_INET ? 8 : 128,
			      .ifa_flags = IFA_F_PERMANENT, .ifa_scope = RT_SCOPE_HOST,
			      .ifa_index = LO_INDEX};
	static const uint8_t v4[4] = {127, 0, 0, 1}, v6[16] = {[15] = 1};
	const void *ip = family == AF_INET ? (const void *)v4 : v6;
	struct ifa_cacheinfo forever = {UINT32_MAX, UINT32_MAX, 0, 0};
	size_t n = family == AF_INET ? 4 : 16;
	uint32_t at = msg_begin(r, req, port, RTM_NEWADDR, &a, sizeof(a));

	put_attr(r, IFA_ADDRESS, ip, n);
	if (family == AF_INET) {
		put_attr(r, IFA_LOCAL, ip, n);
		put_attr(r, IFA_LABEL, "lo", 3);
	}
	put_attr(r, IFA_FLAGS, &(uint32_t){IFA_F_PERMANENT}, 4);
	put_attr(r, IFA_CACHEINFO, &forever, sizeof(forever));
	msg_end(r, at);
}

static void put_error(struct reply *r, const struct nlmsghdr *req, uint32_t port, int err)
{
	struct nlmsgerr e = {.error = err, .msg = *req};

	msg_end(r, msg_begin(r, req, port, NLMSG_ERROR, &e, sizeof(e)));
}

static void put_done(struct reply *r, const struct nlmsghdr *req, uint32_t port)
{
	msg_end(r, msg_begin(r, req, port, NLMSG_DONE, &(int){0}, sizeof(int)));
}

/* family: the first byte behind the header of every rtnetlink request. */
static void answer(struct reply *r, const struct nlmsghdr *req, uint8_t family, uint32_t port)
{
	bool dump = (req->nlmsg_flags & NLM_F_DUMP) == NLM_F_DUMP;

	switch (req->nlmsg_type) {
	case RTM_GETLINK:
		put_link(r, req, port);
		break;
	case RTM_GETADDR:
		if (family != AF_INET6)
			put_addr(r, req, port, AF_INET);
		if (family != AF_INET)
			put_addr(r, req, port, AF_INET6);
		break;
	case RTM_GETROUTE:
		if (!dump)
			put_error(r, req, port, -ENETUNREACH);
		break;
	case RTM_GETNEIGH:
	case RTM_GETRULE:
	case RTM_GETQDISC:
		break;
	default:
		put_error(r, req, port, req->nlmsg_type < RTM_BASE ? 0 : -EPERM);
		return;
	}
	if (dump)
		put_done(r, req, port);
	else if (req->nlmsg_flags & NLM_F_ACK)
		put_error(r, req, port, 0);
}

/* ---- the socket ----------------------------------------------------------------------------- */

static void bind_port(struct nlsock *s, struct task *t, uint32_t want)
{
	AUTO_LOCK(&s->mu);
	if (!s->port)
		s->port = want ? want : atomic_fetch_add(&next_port, 1);
}

static int nl_bind(struct socket *sk, struct task *t, const struct sock_addr *a)
{
	struct nlsock *s = nlsock_of(sk);

	if (a->len < sizeof(a->nl) || a->family != AF_NETLINK)
		return -EINVAL;
	if (s->port && a->nl.nl_pid && a->nl.nl_pid != s->port)
		return -EINVAL;
	bind_port(s, t, a->nl.nl_pid);
	return 0;
}

static int nl_connect(struct socket *sk, struct task *t, const struct sock_addr *a, bool nonblock)
{
	if (a->len < sizeof(a->nl) || a->family != AF_NETLINK)
		return -EINVAL;
	bind_port(nlsock_of(sk), t, 0);
	return a->nl.nl_pid ? -ECONNREFUSED : 0;
}

static int nl_getname(struct socket *sk, bool peer, struct sock_addr *out)
{
	*out = (struct sock_addr){.len = sizeof(out->nl)};
	out->nl.nl_family = AF_NETLINK;
	out->nl.nl_pid = peer ? 0 : nlsock_of(sk)->port;
	return 0;
}

static int nl_shutdown(struct socket *sk, int how)
{
	return -EOPNOTSUPP;
}

static int queue_reply(struct nlsock *s, struct reply *r)
{
	AUTO_LOCK(&s->mu);
	if (s->nreplies >= REPLIES_MAX)
		return -ENOBUFS;
	list_push_back(&s->replies, &r->node);
	s->nreplies++;
	return 0;
}

static int handle_request(struct nlsock *s, const struct nlmsghdr *req, uint8_t family)
{
	struct reply *r = malloc(sizeof(*r));
	int err;

	if (!r)
		return -ENOBUFS;
	r->len = 0;
	list_init(&r->node);
	answer(r, req, family, s->port);
	err = r->len ? queue_reply(s, r) : -ENODATA;
	if (err)
		free(r);
	return err == -ENODATA ? 0 : err;
}

static ssize_t nl_try_send(struct socket *sk, struct sock_msg *m)
{
	struct nlsock *s = nlsock_of(sk);
	size_t len = m->data->resid, at = 0;
	AUTO(free) char *buf = NULL;
	int err = 0;

	if (m->name.len && (m->name.len < sizeof(m->name.nl) || m->name.family != AF_NETLINK))
		return -EINVAL;
	if (m->name.len && m->name.nl.nl_pid)
		return -ECONNREFUSED;
	if (len > REQUEST_MAX)
		return -EMSGSIZE;
	buf = malloc(len + 1);
	if (!buf)
		return -ENOBUFS;
	if (len && uio_from(m->data, buf, len) != (ssize_t)len)
		return -EFAULT;
	bind_port(s, m->t, 0);
	while (!err && sk->protocol == NETLINK_ROUTE && len - at >= sizeof(struct nlmsghdr)) {
		struct nlmsghdr h;

		memcpy(&h, buf + at, sizeof(h));
		if (h.nlmsg_len < sizeof(h) || h.nlmsg_len > len - at)
			break;
		if (h.nlmsg_flags & NLM_F_REQUEST)
			err = handle_request(s, &h,
					     h.nlmsg_len > sizeof(h) ? (uint8_t)buf[at + sizeof(h)]
								       : 0);
		if (NLMSG_ALIGN(h.nlmsg_len) >= len - at)
			break;
		at += NLMSG_ALIGN(h.nlmsg_len);
	}
	waitq_wake(&sk->wq, POLLIN | POLLRDNORM);
	return err ? err : (ssize_t)len;
}

static ssize_t reply_tell(const struct reply *r, struct sock_msg *m)
{
	size_t n = r->len < m->data->resid ? r->len : m->data->resid;

	if (n && uio_to(m->data, r->data, n) != (ssize_t)n)
		return -EFAULT;
	if (n < r->len)
		m->out_flags |= MSG_TRUNC;
	m->name.len = sizeof(m->name.nl);
	m->name.nl = (struct linux_sockaddr_nl){.nl_family = AF_NETLINK};
	return m->flags & MSG_TRUNC ? (ssize_t)r->len : (ssize_t)n;
}

static ssize_t nl_try_recv(struct socket *sk, struct sock_msg *m)
{
	struct nlsock *s = nlsock_of(sk);
	struct reply *r;
	ssize_t n;

	if (m->flags & MSG_OOB)
		return -EOPNOTSUPP;
	{
		AUTO_LOCK(&s->mu);
		r = list_first(&s->replies, struct reply, node);
		if (!r)
			return -EAGAIN;
		if (m->flags & MSG_PEEK)
			return reply_tell(r, m);
		list_del_init(&r->node);
		s->nreplies--;
	}
	n = reply_tell(r, m);
	free(r);
	return n;
}

static uint32_t nl_poll(struct socket *sk)
{
	struct nlsock *s = nlsock_of(sk);

	AUTO_LOCK(&s->mu);
	return POLLOUT | POLLWRNORM | (s->nreplies ? POLLIN | POLLRDNORM : 0u);
}

static int nl_setsockopt(struct socket *s, struct task *t, int level, int opt, const void *val,
			 uint32_t len)
{
	return level == SOL_NETLINK ? 0 : -ENOPROTOOPT;
}

static void nl_release(struct socket *sk)
{
	struct nlsock *s = nlsock_of(sk);

	list_for_each_safe (r, &s->replies, struct reply, node)
		free(r);
	mutex_destroy(&s->mu);
	socket_fini(sk);
	free(s);
}

static const struct socket_ops netlink_ops = {
	.bind = nl_bind,
	.connect = nl_connect,
	.getname = nl_getname,
	.shutdown = nl_shutdown,
	.try_send = nl_try_send,
	.try_recv = nl_try_recv,
	.poll = nl_poll,
	.setsockopt = nl_setsockopt,
	.release = nl_release,
};

static int netlink_create(struct task *t, int domain, int type, int protocol, struct socket **out)
{
	struct nlsock *s;

	if (type != SOCK_RAW && type != SOCK_DGRAM)
		return -ESOCKTNOSUPPORT;
	/* Nobody ever sends on the bus of device events. */
	if (protocol != NETLINK_ROUTE && protocol != NETLINK_KOBJECT_UEVENT)
		return -EPROTONOSUPPORT;
	s = calloc(1, sizeof(*s));
	if (!s)
		return -ENOMEM;
	socket_init(&s->sk, &netlink_ops, domain, type, protocol);
	mutex_init(&s->mu, LOCK_SOCKET);
	list_init(&s->replies);
	*out = &s->sk;
	return 0;
}

const struct sock_family netlink_family = {.create = netlink_create};
