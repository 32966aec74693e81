/* Options of TCP and UDP sockets. There is no wire, so most options change
 * nothing: they are checked, kept, and told back. */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <netinet/udp.h>
#include <linux/capability.h>
#include <linux/in6.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "sentry/kernel/task.h"
#include "sentry/net/inet_impl.h"

#define LO_MTU 65536
#define LO_MSS 65483

/* Each option with an int value: what it is before it is set, and what it may be set to. */
struct int_option {
	short level, opt;
	int initial, min, max;
	uint8_t how; /* HOW_* */
};

enum {
	HOW_SWITCH = 1, /* told as 0 or 1 */
	HOW_TOLD = 2,	/* can't be set: -ENOPROTOOPT */
	HOW_ADMIN = 4	/* 0 is for all, other values for CAP_NET_ADMIN */
};

#define ANY INT32_MIN, INT32_MAX
#define SWITCH 0, ANY, HOW_SWITCH

static const struct int_option int_options[] = {
	{IPPROTO_TCP, TCP_NODELAY, SWITCH},
	{IPPROTO_TCP, TCP_CORK, SWITCH},
	{IPPROTO_TCP, TCP_MAXSEG, 0, 0, 32767, 0},
	{IPPROTO_TCP, TCP_KEEPIDLE, 7200, 1, 32767, 0},
	{IPPROTO_TCP, TCP_KEEPINTVL, 75, 1, 32767, 0},
	{IPPROTO_TCP, TCP_KEEPCNT, 9, 1, 127, 0},
	{IPPROTO_TCP, TCP_SYNCNT, 6, 1, 127, 0},
	{IPPROTO_TCP, TCP_LINGER2, 60, ANY, 0},
	{IPPROTO_TCP, TCP_DEFER_ACCEPT, 0, ANY, 0},
	{IPPROTO_TCP, TCP_WINDOW_CLAMP, 0, ANY, 0},
	{IPPROTO_TCP, TCP_QUICKACK, 1, ANY, HOW_SWITCH},
	{IPPROTO_TCP, TCP_THIN_LINEAR_TIMEOUTS, 0, 0, 1, 0},
	{IPPROTO_TCP, TCP_USER_TIMEOUT, 0, 0, INT32_MAX, 0},
	{IPPROTO_TCP, TCP_FASTOPEN, 0, 0, INT32_MAX, 0},
	{IPPROTO_TCP, TCP_FASTOPEN_CONNECT, 0, 0, 1, 0},
	{IPPROTO_TCP, TCP_FASTOPEN_NO_COOKIE, 0, 0, 1, 0},
	{IPPROTO_TCP, TCP_NOTSENT_LOWAT, 0, ANY, 0},
	{IPPROTO_TCP, TCP_SAVE_SYN, 0, 0, 1, 0},
	{IPPROTO_TCP, TCP_TX_DELAY, 0, 0, INT32_MAX, 0},
	{IPPROTO_UDP, UDP_CORK, SWITCH},
	{IPPROTO_UDP, UDP_NO_CHECK6_TX, SWITCH},
	{IPPROTO_UDP, UDP_NO_CHECK6_RX, SWITCH},
	{IPPROTO_UDPLITE, 10, 0, 0, 65535, 0}, /* UDPLITE_SEND_CSCOV, UDPLITE_RECV_CSCOV */
	{IPPROTO_UDPLITE, 11, 0, 0, 65535, 0},
	{IPPROTO_IP, IP_TOS, 0, ANY, 0},
	{IPPROTO_IP, IP_TTL, 64, -1, 255, 0},
	{IPPROTO_IP, IP_HDRINCL, 0, 0, -1, HOW_TOLD},
	{IPPROTO_IP, IP_ROUTER_ALERT, 0, 0, -1, 0},
	{IPPROTO_IP, IP_RECVOPTS, SWITCH},
	{IPPROTO_IP, IP_RETOPTS, SWITCH},
	{IPPROTO_IP, IP_MTU_DISCOVER, 1, 0, 5, 0},
	{IPPROTO_IP, IP_RECVERR, SWITCH},
	{IPPROTO_IP, IP_PKTINFO, SWITCH},
	{IPPROTO_IP, IP_RECVTTL, SWITCH},
	{IPPROTO_IP, IP_RECVTOS, SWITCH},
	{IPPROTO_IP, IP_FREEBIND, SWITCH},
	{IPPROTO_IP, IP_PASSSEC, SWITCH},
	{IPPROTO_IP, IP_TRANSPARENT, 0, ANY, HOW_SWITCH | HOW_ADMIN},
	{IPPROTO_IP, IP_MINTTL, 0, 0, 255, 0},
	{IPPROTO_IP, IP_NODEFRAG, 0, 0, -1, HOW_TOLD},
	{IPPROTO_IP, IP_CHECKSUM, SWITCH},
	{IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, SWITCH},
	{IPPROTO_IP, IP_RECVFRAGSIZE, 0, 0, -1, HOW_TOLD},
	{IPPROTO_IP, IP_MULTICAST_TTL, 1, -1, 255, 0},
	{IPPROTO_IP, IP_MULTICAST_LOOP, 1, ANY, HOW_SWITCH},
	{IPPROTO_IP, IP_MULTICAST_ALL, 1, 0, 1, 0},
	{IPPROTO_IP, IP_RECVORIGDSTADDR, SWITCH},
	{IPPROTO_IPV6, IPV6_V6ONLY, SWITCH},
	{IPPROTO_IPV6, IPV6_UNICAST_HOPS, 64, -1, 255, 0},
	{IPPROTO_IPV6, IPV6_MULTICAST_HOPS, 1, -1, 255, 0},
	{IPPROTO_IPV6, IPV6_MULTICAST_LOOP, 1, 0, 1, 0},
	{IPPROTO_IPV6, IPV6_MULTICAST_ALL, 1, 0, 1, 0},
	{IPPROTO_IPV6, IPV6_MTU_DISCOVER, 1, 0, 5, 0},
	{IPPROTO_IPV6, IPV6_2292PKTINFO, SWITCH},
	{IPPROTO_IPV6, IPV6_2292HOPOPTS, SWITCH},
	{IPPROTO_IPV6, IPV6_2292DSTOPTS, SWITCH},
	{IPPROTO_IPV6, IPV6_2292RTHDR, SWITCH},
	{IPPROTO_IPV6, IPV6_2292HOPLIMIT, SWITCH},
	{IPPROTO_IPV6, IPV6_RECVPKTINFO, SWITCH},
	{IPPROTO_IPV6, IPV6_RECVHOPLIMIT, SWITCH},
	{IPPROTO_IPV6, IPV6_RECVHOPOPTS, SWITCH},
	{IPPROTO_IPV6, IPV6_RECVRTHDR, SWITCH},
	{IPPROTO_IPV6, IPV6_RECVDSTOPTS, SWITCH},
	{IPPROTO_IPV6, IPV6_RECVPATHMTU, SWITCH},
	{IPPROTO_IPV6, IPV6_RECVTCLASS, SWITCH},
	{IPPROTO_IPV6, IPV6_RECVERR, SWITCH},
	{IPPROTO_IPV6, IPV6_RECVORIGDSTADDR, SWITCH},
	{IPPROTO_IPV6, IPV6_RECVFRAGSIZE, SWITCH},
	{IPPROTO_IPV6, IPV6_FREEBIND, SWITCH},
	{IPPROTO_IPV6, IPV6_DONTFRAG, SWITCH},
	{IPPROTO_IPV6, IPV6_AUTOFLOWLABEL, 1, ANY, HOW_SWITCH},
	{IPPROTO_IPV6, IPV6_FLOWINFO_SEND, SWITCH},
	{IPPROTO_IPV6, IPV6_TRANSPARENT, 0, ANY, HOW_SWITCH | HOW_ADMIN},
	{IPPROTO_IPV6, IPV6_MINHOPCOUNT, 0, 0, 255, 0},
	{IPPROTO_IPV6, IPV6_TCLASS, 0, -1, 255, 0},
};
#define OPTION_COUNT (sizeof(int_options) / sizeof(int_options[0]))

struct inet_options {
	int value[OPTION_COUNT];
	bool reno; /* TCP_CONGESTION: the other of two */
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

/* The options of s, which from now on are its own. s->mu is held. NULL: no memory. */
static struct inet_options *options_locked(struct lsock *s)
{
	struct inet_options *o = s->options;

	if (o)
		return o;
	o = calloc(1, sizeof(*o));
	if (!o)
		return NULL;
	for (size_t k = 0; k < OPTION_COUNT; k++)
		o->value[k] = int_options[k].initial;
	__atomic_store_n(&s->options, o, __ATOMIC_RELEASE);
	return o;
}

static int option_set(struct lsock *s, int i, int v)
{
	const struct int_option *d = &int_options[i];
	struct inet_options *o;

	AUTO_LOCK(&s->mu);
	o = options_locked(s);
	if (!o)
		return -ENOMEM;
	if (d->how & HOW_SWITCH)
		v = v != 0;
	else if (v == -1 && d->min == -1)
		v = d->initial;
	__atomic_store_n(&o->value[i], v, __ATOMIC_RELAXED);
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

/* ---- setting -------------------------------------------------------------------------------- */

static int set_congestion(struct lsock *s, const char *name, uint32_t len)
{
	struct inet_options *o;
	bool reno;

	len = (uint32_t)strnlen(name, len < 15 ? len : 15);
	reno = len == 4 && !memcmp(name, "reno", 4);
	if (!reno && (len != 5 || memcmp(name, "cubic", 5)))
		return -ENOENT;
	AUTO_LOCK(&s->mu);
	o = options_locked(s);
	if (!o)
		return -ENOMEM;
	o->reno = reno;
	return 0;
}

/* Options that are no ints. */
static int set_other(struct socket *sk, int level, int opt, const void *val, uint32_t len)
{
	if (level == IPPROTO_TCP && opt == TCP_CONGESTION)
		return len ? set_congestion(lsock_of(sk), val, len) : -EINVAL;
	if (level == IPPROTO_TCP && opt == TCP_ULP)
		return len ? -ENOENT : -EINVAL;
	if ((level == IPPROTO_TCP || level == IPPROTO_UDP) && len < sizeof(int))
		return -EINVAL;
	if (level == IPPROTO_TCP && opt == TCP_REPAIR)
		return -EPERM;
	if (level == IPPROTO_IP && (opt == IP_MULTICAST_IF || opt == IP_OPTIONS))
		return 0;
	if ((level == IPPROTO_IP && (opt == IP_ADD_MEMBERSHIP || opt == IP_DROP_MEMBERSHIP)) ||
	    (level == IPPROTO_IPV6 && (opt == IPV6_JOIN_GROUP || opt == IPV6_LEAVE_GROUP)))
		return len < 8 ? -EINVAL : -ENODEV;
	if (level == IPPROTO_IPV6 && opt == IPV6_MTU && len >= sizeof(int))
		return *(const int *)val && *(const int *)val < 1280 ? -EINVAL : 0;
	if (level == IPPROTO_IPV6 && opt == IPV6_MULTICAST_IF)
		return sk->type == SOCK_STREAM ? -ENOPROTOOPT : 0;
	return -ENOPROTOOPT;
}

/* The value as it is kept, of one that is within its bounds. */
static int option_check(struct lsock *s, const struct int_option *o, int *v)
{
	bool tcp = s->sk.type == SOCK_STREAM;

	if (o->level == IPPROTO_IPV6 && o->opt == IPV6_V6ONLY && s->name)
		return -EINVAL;
	if (o->level == IPPROTO_IPV6 && o->opt == IPV6_MULTICAST_HOPS && tcp)
		return -ENOPROTOOPT;
	if (o->level == IPPROTO_IP && o->opt == IP_TTL && !*v)
		return -EINVAL;
	if (o->level == IPPROTO_TCP && o->opt == TCP_MAXSEG && *v && *v < 88)
		return -EINVAL;
	if (o->level == IPPROTO_TCP && o->opt == TCP_WINDOW_CLAMP && *v && *v < 1152)
		*v = 1152;
	if (o->level == IPPROTO_IP && o->opt == IP_TOS)
		*v &= 0xff;
	/* The bits of explicit congestion notification are TCP's own. */
	if (tcp && ((o->level == IPPROTO_IP && o->opt == IP_TOS) ||
		    (o->level == IPPROTO_IPV6 && o->opt == IPV6_TCLASS && *v > 0)))
		*v &= ~3;
	return 0;
}

int inet_setsockopt(struct socket *sk, struct task *t, int level, int opt, const void *val,
		    uint32_t len)
{
	const struct int_option *o;
	struct lsock *s = lsock_of(sk);
	int i = option_index(level, opt), v = 0, err;

	if (!level_ok(sk, level))
		return -ENOPROTOOPT;
	if (i < 0)
		return set_other(sk, level, opt, val, len);
	o = &int_options[i];
	if (o->how & HOW_TOLD)
		return -ENOPROTOOPT;
	if (len >= sizeof(v))
		memcpy(&v, val, sizeof(v));
	else if (len >= 1 && level == IPPROTO_IP)
		v = *(const uint8_t *)val;
	else if (level != IPPROTO_IP)
		return -EINVAL;
	if (v < o->min || v > o->max)
		return -EINVAL;
	if (o->how & HOW_ADMIN && v && !task_capable(t, CAP_NET_ADMIN))
		return -EPERM;
	err = option_check(s, o, &v);
	return err ? err : option_set(s, i, v);
}

/* ---- getting -------------------------------------------------------------------------------- */

static int give(void *val, uint32_t *len, const void *src, uint32_t n)
{
	if (*len > n)
		*len = n;
	memcpy(val, src, *len);
	return 0;
}

static int give_int(void *val, uint32_t *len, int v)
{
	return give(val, len, &v, sizeof(v));
}

static int get_tcp_info(struct lsock *s, void *val, uint32_t *len)
{
	static const uint8_t state[] = {
		[LSOCK_IDLE] = TCP_CLOSE,
		[LSOCK_CONNECTING] = TCP_SYN_SENT,
		[LSOCK_LISTENING] = TCP_LISTEN,
		[LSOCK_CONNECTED] = TCP_ESTABLISHED,
	};
	union {
		struct tcp_info info;
		uint8_t all[248]; /* what newer kernels tell is 0 */
	} u = {.info = {.tcpi_snd_mss = LO_MSS, .tcpi_rcv_mss = LO_MSS, .tcpi_pmtu = LO_MTU, .tcpi_rtt = 20,
			.tcpi_snd_cwnd = 10}};
	unsigned shut = s->shut;

	u.info.tcpi_state = state[s->state];
	if (s->state == LSOCK_CONNECTED && shut)
		u.info.tcpi_state = shut == LSOCK_SHUT_BOTH  ? TCP_CLOSE
				    : shut == LSOCK_SHUT_RD ? TCP_CLOSE_WAIT
							    : TCP_FIN_WAIT2;
	return give(val, len, &u, sizeof(u));
}

static int get_tcp(struct lsock *s, int opt, int v, void *val, uint32_t *len)
{
	switch (opt) {
	case TCP_INFO:
		return get_tcp_info(s, val, len);
	case TCP_CONGESTION:
		return give(val, len, s->options && s->options->reno ? "reno\0\0\0\0\0\0\0\0\0\0\0"
								     : "cubic\0\0\0\0\0\0\0\0\0\0", 16);
	case TCP_MAXSEG:
		return give_int(val, len, s->state == LSOCK_CONNECTED ? LO_MSS : v ? v : 536);
	case TCP_TIMESTAMP:
		return give_int(val, len, (int)(now_mono_ns() / 1000000));
	case TCP_REPAIR:
		return give_int(val, len, 0);
	case TCP_ULP:
	case TCP_SAVED_SYN:
		return *len = 0;
	}
	return option_index(IPPROTO_TCP, opt) < 0 ? -ENOPROTOOPT : give_int(val, len, v);
}

int inet_getsockopt(struct socket *sk, struct task *t, int level, int opt, void *val, uint32_t *len)
{
	struct lsock *s = lsock_of(sk);
	int i = option_index(level, opt), v = i < 0 ? 0 : option_get(s, i);

	if (!level_ok(sk, level))
		return sk->domain == AF_INET6 ? -ENOPROTOOPT : -EOPNOTSUPP;
	if (level == IPPROTO_TCP)
		return get_tcp(s, opt, v, val, len);
	if ((level == IPPROTO_IP && opt == IP_MTU) || (level == IPPROTO_IPV6 && opt == IPV6_MTU))
		return s->state == LSOCK_CONNECTED ? give_int(val, len, LO_MTU) : -ENOTCONN;
	if (level == IPPROTO_IP && opt == IP_OPTIONS)
		return *len = 0;
	if ((level == IPPROTO_IP && opt == IP_MULTICAST_IF) ||
	    (level == IPPROTO_IPV6 && opt == IPV6_MULTICAST_IF))
		return give_int(val, len, 0);
	return i < 0 ? -ENOPROTOOPT : give_int(val, len, v);
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
	if (!s->options)
		return;
	if (s->sk.domain == AF_INET)
		items_v4(s, msg, m);
	else
		items_v6(s, msg, m);
}
