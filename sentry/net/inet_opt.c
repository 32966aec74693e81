/* Options of TCP and UDP sockets. There is no wire, so most options change
 * nothing: they are checked, kept, and told back. */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <netinet/udp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "sentry/net/inet_impl.h"

#define LO_MTU 65536

/* Each option with an int value: what it is before it is set, and what it may be set to. */
struct int_option {
	short level, opt;
	int initial, min, max;
};

static const struct int_option int_options[] = {
	{IPPROTO_TCP, TCP_NODELAY, 0, INT32_MIN, INT32_MAX},
	{IPPROTO_TCP, TCP_CORK, 0, INT32_MIN, INT32_MAX},
	{IPPROTO_TCP, TCP_MAXSEG, 65483, 0, 65535},
	{IPPROTO_TCP, TCP_KEEPIDLE, 7200, 1, 32767},
	{IPPROTO_TCP, TCP_KEEPINTVL, 75, 1, 32767},
	{IPPROTO_TCP, TCP_KEEPCNT, 9, 1, 127},
	{IPPROTO_TCP, TCP_SYNCNT, 6, 1, 127},
	{IPPROTO_TCP, TCP_LINGER2, 60, INT32_MIN, INT32_MAX},
	{IPPROTO_TCP, TCP_DEFER_ACCEPT, 0, INT32_MIN, INT32_MAX},
	{IPPROTO_TCP, TCP_WINDOW_CLAMP, 0, 0, INT32_MAX},
	{IPPROTO_TCP, TCP_QUICKACK, 1, INT32_MIN, INT32_MAX},
	{IPPROTO_TCP, TCP_USER_TIMEOUT, 0, 0, INT32_MAX},
	{IPPROTO_TCP, TCP_FASTOPEN, 0, 0, INT32_MAX},
	{IPPROTO_TCP, TCP_FASTOPEN_CONNECT, 0, 0, 1},
	{IPPROTO_TCP, TCP_NOTSENT_LOWAT, 0, INT32_MIN, INT32_MAX},
	{IPPROTO_UDP, UDP_CORK, 0, INT32_MIN, INT32_MAX},
	{IPPROTO_UDPLITE, 10, 0, 0, 65535}, /* UDPLITE_SEND_CSCOV, UDPLITE_RECV_CSCOV */
	{IPPROTO_UDPLITE, 11, 0, 0, 65535},
	{IPPROTO_IP, IP_TOS, 0, 0, 255},
	{IPPROTO_IP, IP_TTL, 64, -1, 255},
	{IPPROTO_IP, IP_MTU_DISCOVER, 1, 0, 5},
	{IPPROTO_IP, IP_MTU, LO_MTU, 0, -1},
	{IPPROTO_IP, IP_RECVERR, 0, INT32_MIN, INT32_MAX},
	{IPPROTO_IP, IP_PKTINFO, 0, INT32_MIN, INT32_MAX},
	{IPPROTO_IP, IP_RECVTTL, 0, INT32_MIN, INT32_MAX},
	{IPPROTO_IP, IP_RECVTOS, 0, INT32_MIN, INT32_MAX},
	{IPPROTO_IP, IP_FREEBIND, 0, INT32_MIN, INT32_MAX},
	{IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 0, INT32_MIN, INT32_MAX},
	{IPPROTO_IP, IP_MULTICAST_TTL, 1, -1, 255},
	{IPPROTO_IP, IP_MULTICAST_LOOP, 1, INT32_MIN, INT32_MAX},
	{IPPROTO_IP, IP_RECVORIGDSTADDR, 0, INT32_MIN, INT32_MAX},
	{IPPROTO_IPV6, IPV6_V6ONLY, 0, INT32_MIN, INT32_MAX},
	{IPPROTO_IPV6, IPV6_UNICAST_HOPS, 64, -1, 255},
	{IPPROTO_IPV6, IPV6_MULTICAST_HOPS, 1, -1, 255},
	{IPPROTO_IPV6, IPV6_MULTICAST_LOOP, 1, 0, 1},
	{IPPROTO_IPV6, IPV6_MTU, LO_MTU, 1280, INT32_MAX},
	{IPPROTO_IPV6, IPV6_MTU_DISCOVER, 1, 0, 5},
	{IPPROTO_IPV6, IPV6_RECVPKTINFO, 0, INT32_MIN, INT32_MAX},
	{IPPROTO_IPV6, IPV6_RECVERR, 0, INT32_MIN, INT32_MAX},
	{IPPROTO_IPV6, IPV6_RECVHOPLIMIT, 0, INT32_MIN, INT32_MAX},
	{IPPROTO_IPV6, IPV6_RECVTCLASS, 0, INT32_MIN, INT32_MAX},
	{IPPROTO_IPV6, IPV6_TCLASS, 0, -1, 255},
};
#define OPTION_COUNT (sizeof(int_options) / sizeof(int_options[0]))

struct inet_options {
	int value[OPTION_COUNT];
};

static int option_index(int level, int opt)
{
	for (size_t i = 0; i < OPTION_COUNT; i++)
		if (int_options[i].level == level && int_options[i].opt == opt)
			return (int)i;
	return -1;
}

/* Without the lock, which the caller may have: options are never freed while s lives. */
static int option_get(struct lsock *s, int i)
{
	struct inet_options *o = __atomic_load_n(&s->options, __ATOMIC_ACQUIRE);

	return o ? __atomic_load_n(&o->value[i], __ATOMIC_RELAXED) : int_options[i].initial;
}

static int option_value(struct lsock *s, int level, int opt)
{
	return option_get(s, option_index(level, opt));
}

static int option_set(struct lsock *s, int i, int v)
{
	AUTO_LOCK(&s->mu);
	if (!s->options) {
		struct inet_options *o = malloc(sizeof(*o));

		if (!o)
			return -ENOMEM;
		for (size_t k = 0; k < OPTION_COUNT; k++)
			o->value[k] = int_options[k].initial;
		__atomic_store_n(&s->options, o, __ATOMIC_RELEASE);
	}
	s->options->value[i] = v == -1 && int_options[i].min == -1 ? int_options[i].initial : v;
	return 0;
}

bool inet_v6only(struct lsock *s)
{
	return option_value(s, IPPROTO_IPV6, IPV6_V6ONLY);
}

static bool level_ok(const struct socket *sk, int level)
{
	switch (level) {
	case IPPROTO_IP:
		return true;
	case IPPROTO_IPV6:
		return sk->domain == AF_INET6;
	case IPPROTO_TCP:
		return sk->type == SOCK_STREAM;
	case IPPROTO_UDP:
		return sk->type == SOCK_DGRAM;
	case IPPROTO_UDPLITE:
		return sk->protocol == IPPROTO_UDPLITE;
	}
	return false;
}

/* Options that are no ints. */
static int set_other(struct socket *sk, int level, int opt, uint32_t len)
{
	if (level == IPPROTO_TCP && opt == TCP_CONGESTION)
		return len ? 0 : -EINVAL;
	if (level == IPPROTO_IP && (opt == IP_MULTICAST_IF || opt == IP_OPTIONS))
		return 0;
	if ((level == IPPROTO_IP && (opt == IP_ADD_MEMBERSHIP || opt == IP_DROP_MEMBERSHIP)) ||
	    (level == IPPROTO_IPV6 && (opt == IPV6_JOIN_GROUP || opt == IPV6_LEAVE_GROUP)))
		return len < 8 ? -EINVAL : -ENODEV;
	if (level == IPPROTO_IPV6 && opt == IPV6_MULTICAST_IF)
		return 0;
	return -ENOPROTOOPT;
}

int inet_setsockopt(struct socket *sk, struct task *t, int level, int opt, const void *val,
		    uint32_t len)
{
	struct lsock *s = lsock_of(sk);
	int i = option_index(level, opt), v = 0;

	if (!level_ok(sk, level))
		return -ENOPROTOOPT;
	if (i < 0)
		return set_other(sk, level, opt, len);
	if (len >= sizeof(v))
		memcpy(&v, val, sizeof(v));
	else if (len >= 1 && level == IPPROTO_IP)
		v = *(const uint8_t *)val;
	else
		return -EINVAL;
	if (v < int_options[i].min || v > int_options[i].max)
		return int_options[i].max < 0 ? -ENOPROTOOPT : -EINVAL;
	if (level == IPPROTO_IPV6 && opt == IPV6_V6ONLY && s->name)
		return -EINVAL;
	return option_set(s, i, v);
}

static int give(void *val, uint32_t *len, const void *src, uint32_t n)
{
	if (*len > n)
		*len = n;
	memcpy(val, src, *len);
	return 0;
}

static int get_tcp_info(struct lsock *s, void *val, uint32_t *len)
{
	static const uint8_t state[] = {
		[LSOCK_IDLE] = TCP_CLOSE,
		[LSOCK_CONNECTING] = TCP_SYN_SENT,
		[LSOCK_LISTENING] = TCP_LISTEN,
		[LSOCK_CONNECTED] = TCP_ESTABLISHED,
	};
	struct tcp_info info = {.tcpi_snd_mss = 65483, .tcpi_rcv_mss = 65483, .tcpi_pmtu = LO_MTU,
				.tcpi_rtt = 20, .tcpi_snd_cwnd = 10};
	unsigned shut = s->shut;

	info.tcpi_state = state[s->state];
	if (s->state == LSOCK_CONNECTED && shut)
		info.tcpi_state = shut == LSOCK_SHUT_BOTH  ? TCP_CLOSE
				  : shut == LSOCK_SHUT_RD ? TCP_CLOSE_WAIT
							  : TCP_FIN_WAIT2;
	return give(val, len, &info, sizeof(info));
}

int inet_getsockopt(struct socket *sk, struct task *t, int level, int opt, void *val, uint32_t *len)
{
	struct lsock *s = lsock_of(sk);
	int i = option_index(level, opt), v;

	if (!level_ok(sk, level))
		return -EOPNOTSUPP;
	if (level == IPPROTO_TCP && opt == TCP_INFO)
		return get_tcp_info(s, val, len);
	if (level == IPPROTO_TCP && opt == TCP_CONGESTION)
		return give(val, len, "cubic\0\0\0\0\0\0\0\0\0\0", 16);
	if (i < 0)
		return -ENOPROTOOPT;
	v = option_get(s, i);
	if (level == IPPROTO_TCP && (opt == TCP_NODELAY || opt == TCP_CORK))
		v = v != 0;
	return give(val, len, &v, sizeof(v));
}

/* ---- what goes with a datagram -------------------------------------------------------------- */

void inet_msg_sent(struct lsock *s, const struct sock_msg *m, struct lmsg *msg)
{
	bool v6 = s->sk.domain == AF_INET6;
	int tos = v6 ? option_value(s, IPPROTO_IPV6, IPV6_TCLASS)
		     : option_value(s, IPPROTO_IP, IP_TOS);
	int ttl = v6 ? option_value(s, IPPROTO_IPV6, IPV6_UNICAST_HOPS)
		     : option_value(s, IPPROTO_IP, IP_TTL);

	msg->tos = (uint8_t)(m->scm.tos_plus1 ? m->scm.tos_plus1 - 1 : tos);
	msg->ttl = (uint8_t)(m->scm.ttl_plus1 ? m->scm.ttl_plus1 - 1 : ttl);
}

static void item_add(struct sock_msg *m, int level, int type, const void *data, size_t len)
{
	struct scm_item *i = &m->items[m->nitems++];

	i->level = level;
	i->type = type;
	i->len = (uint32_t)len;
	memcpy(i->data, data, len);
}

static void items_v4(struct lsock *s, const struct lmsg *msg, struct sock_msg *m)
{
	struct inet_end to = inet_local_end(s, true);
	struct in_pktinfo info = {.ipi_ifindex = 1};
	int ttl = msg->ttl;

	memcpy(&info.ipi_addr, to.ip + 12, 4);
	info.ipi_spec_dst = info.ipi_addr;
	if (option_value(s, IPPROTO_IP, IP_PKTINFO))
		item_add(m, IPPROTO_IP, IP_PKTINFO, &info, sizeof(info));
	if (option_value(s, IPPROTO_IP, IP_RECVTTL))
		item_add(m, IPPROTO_IP, IP_TTL, &ttl, sizeof(ttl));
	if (option_value(s, IPPROTO_IP, IP_RECVTOS))
		item_add(m, IPPROTO_IP, IP_TOS, &msg->tos, 1);
}

static void items_v6(struct lsock *s, const struct lmsg *msg, struct sock_msg *m)
{
	int ttl = msg->ttl, tos = msg->tos;
	struct inet_end to = inet_local_end(s, msg->from->sk.domain == AF_INET);
	struct in6_pktinfo info = {.ipi6_ifindex = 1};

	memcpy(&info.ipi6_addr, to.ip, sizeof(to.ip));
	if (option_value(s, IPPROTO_IPV6, IPV6_RECVPKTINFO))
		item_add(m, IPPROTO_IPV6, IPV6_PKTINFO, &info, sizeof(info));
	if (option_value(s, IPPROTO_IPV6, IPV6_RECVHOPLIMIT))
		item_add(m, IPPROTO_IPV6, IPV6_HOPLIMIT, &ttl, sizeof(int));
	if (option_value(s, IPPROTO_IPV6, IPV6_RECVTCLASS))
		item_add(m, IPPROTO_IPV6, IPV6_TCLASS, &tos, sizeof(int));
}

void inet_msg_read(struct lsock *s, const struct lmsg *msg, struct sock_msg *m)
{
	m->nitems = 0;
	if (!s->options)
		return;
	if (s->sk.domain == AF_INET)
		items_v4(s, msg, m);
	else
		items_v6(s, msg, m);
}
