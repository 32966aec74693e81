/* TCP and UDP over loopback; rtnetlink through getifaddrs(3). */
#include <arpa/inet.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/guest/check.h"

static struct sockaddr_in v4(const char *ip, int port)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};

	inet_pton(AF_INET, ip, &a.sin_addr);
	return a;
}

static int port_of(int s)
{
	struct sockaddr_in6 a;
	socklen_t len = sizeof(a);

	CHECK_EQ(getsockname(s, (void *)&a, &len), 0);
	return ntohs(a.sin6_port);
}

static short ready(int fd, short events)
{
	struct pollfd p = {fd, events, 0};

	poll(&p, 1, 10000);
	return p.revents;
}

static void tcp(void)
{
	struct sockaddr_in a = v4("127.0.0.1", 0), b;
	socklen_t len = sizeof(b);
	int l = socket(AF_INET, SOCK_STREAM, 0), c, s, d, port, v;
	char buf[64];

	CHECK_EQ(bind(l, (void *)&a, sizeof(a)), 0);
	CHECK_ERR(bind(l, (void *)&a, sizeof(a)), EINVAL);
	port = port_of(l);
	CHECK(port >= 1024);
	a = v4("127.0.0.1", port);
	c = socket(AF_INET, SOCK_STREAM, 0);
	CHECK_ERR(connect(c, (void *)&a, sizeof(a)), ECONNREFUSED);
	close(c);
	CHECK_EQ(listen(l, 5), 0);
	d = socket(AF_INET, SOCK_STREAM, 0);
	CHECK_ERR(bind(d, (void *)&a, sizeof(a)), EADDRINUSE);
	close(d);
	c = socket(AF_INET, SOCK_STREAM, IPPROTO_TCP);
	CHECK_ERR(send(c, "x", 1, MSG_NOSIGNAL), EPIPE);
	CHECK_ERR(recv(c, buf, 1, 0), ENOTCONN);

	CHECK_EQ(connect(c, (void *)&a, sizeof(a)), 0);
	CHECK_ERR(connect(c, (void *)&a, sizeof(a)), EISCONN);
	s = accept4(l, (void *)&b, &len, SOCK_CLOEXEC);
	CHECK(s >= 0);
	CHECK_EQ(len, sizeof(b));
	CHECK_EQ(ntohs(b.sin_port), port_of(c));
	CHECK_EQ(b.sin_addr.s_addr, htonl(INADDR_LOOPBACK));
	CHECK_EQ(port_of(s), port);
	CHECK_EQ(getpeername(c, (void *)&b, &len), 0);
	CHECK_EQ(ntohs(b.sin_port), port);
	CHECK_EQ(getsockname(c, (void *)&b, &len), 0);
	CHECK_EQ(b.sin_addr.s_addr, htonl(INADDR_LOOPBACK));
	CHECK_EQ(write(c, "request", 7), 7);
	CHECK_EQ(ready(s, POLLIN | POLLOUT), POLLIN | POLLOUT);
	CHECK_EQ(read(s, buf, 64), 7);
	CHECK_EQ(write(s, "response", 8), 8);
	CHECK_EQ(shutdown(s, SHUT_WR), 0);
	CHECK_EQ(recv(c, buf, 64, MSG_WAITALL), 8);
	CHECK_EQ(read(c, buf, 64), 0);
	CHECK_EQ(ready(c, POLLIN | POLLRDHUP), POLLIN | POLLRDHUP);
	CHECK_EQ(write(c, "more", 4), 4);
	CHECK_EQ(read(s, buf, 64), 4);
	v = 1;
	len = sizeof(v);
	CHECK_EQ(setsockopt(c, IPPROTO_TCP, TCP_NODELAY, &v, sizeof(v)), 0);
	v = 0;
	CHECK_EQ(getsockopt(c, IPPROTO_TCP, TCP_NODELAY, &v, &len), 0);
	CHECK_EQ(v, 1);
	CHECK_EQ(getsockopt(c, SOL_SOCKET, SO_ERROR, &v, &len), 0);
	CHECK_EQ(v, 0);
	CHECK_EQ(getsockopt(c, SOL_SOCKET, SO_PROTOCOL, &v, &len), 0);
	CHECK_EQ(v, IPPROTO_TCP);
	CHECK_EQ(getsockopt(l, SOL_SOCKET, SO_ACCEPTCONN, &v, &len), 0);
	CHECK_EQ(v, 1);
	CHECK_ERR(setsockopt(c, IPPROTO_TCP, 9999, &v, sizeof(v)), ENOPROTOOPT);
	close(s);
	/* The first thing sent to who is gone is lost in silence. */
	CHECK_EQ(write(c, "lost", 4), 4);
	ready(c, 0);
	CHECK_ERR(write(c, "x", 1), EPIPE);
	CHECK_EQ(read(c, buf, 1), 0);
	close(c);
	/* Cut off: SO_LINGER with no time. */
	c = socket(AF_INET, SOCK_STREAM, 0);
	CHECK_EQ(connect(c, (void *)&a, sizeof(a)), 0);
	s = accept(l, NULL, NULL);
	struct linger cut = {1, 0};

	setsockopt(s, SOL_SOCKET, SO_LINGER, &cut, sizeof(cut));
	close(s);
	CHECK_ERR(getpeername(c, (void *)&b, &len), ENOTCONN);
	CHECK_ERR(read(c, buf, 1), ECONNRESET);
	close(c);
	/* Without blocking. */
	c = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	CHECK_ERR(connect(c, (void *)&a, sizeof(a)), EINPROGRESS);
	CHECK_EQ(ready(c, POLLOUT), POLLOUT);
	CHECK_EQ(connect(c, (void *)&a, sizeof(a)), 0);
	CHECK_ERR(connect(c, (void *)&a, sizeof(a)), EISCONN);
	CHECK_EQ(getsockopt(c, SOL_SOCKET, SO_ERROR, &v, &len), 0);
	CHECK_EQ(v, 0);
	close(c);
	close(l);
	c = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	CHECK_ERR(connect(c, (void *)&a, sizeof(a)), EINPROGRESS);
	CHECK_EQ(ready(c, POLLOUT | POLLIN), POLLOUT | POLLIN | POLLERR | POLLHUP);
	CHECK_EQ(getsockopt(c, SOL_SOCKET, SO_ERROR, &v, &len), 0);
	CHECK_EQ(v, ECONNREFUSED);
	CHECK_ERR(connect(c, (void *)&a, sizeof(a)), ECONNABORTED);
	CHECK_ERR(connect(c, (void *)&a, sizeof(a)), EINPROGRESS);
	CHECK_EQ(ready(c, POLLOUT | POLLIN), POLLOUT | POLLIN | POLLERR | POLLHUP);
	CHECK_ERR(connect(c, (void *)&a, sizeof(a)), ECONNREFUSED);
	CHECK_ERR(connect(c, (void *)&a, sizeof(a)), EINPROGRESS);
	CHECK_EQ(ready(c, POLLOUT | POLLIN), POLLOUT | POLLIN | POLLERR | POLLHUP);
	CHECK_ERR(recv(c, buf, 1, 0), ECONNREFUSED);
	close(c);
}

static void dual_stack(void)
{
	struct sockaddr_in6 a = {.sin6_family = AF_INET6}, b;
	struct sockaddr_in four;
	socklen_t len = sizeof(b);
	int l = socket(AF_INET6, SOCK_STREAM, 0), c, s, one = 1, port;
	char text[64];

	if (l < 0)
		return;
	setsockopt(l, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	CHECK_EQ(bind(l, (void *)&a, sizeof(a)), 0);
	CHECK_EQ(listen(l, 5), 0);
	port = port_of(l);
	four = v4("127.0.0.1", port);
	c = socket(AF_INET, SOCK_STREAM, 0);
	CHECK_EQ(connect(c, (void *)&four, sizeof(four)), 0);
	s = accept(l, (void *)&b, &len);
	CHECK(s >= 0);
	CHECK_EQ(len, sizeof(b));
	CHECK(IN6_IS_ADDR_V4MAPPED(&b.sin6_addr));
	inet_ntop(AF_INET6, &b.sin6_addr, text, sizeof(text));
	CHECK(!strcmp(text, "::ffff:127.0.0.1"));
	close(c);
	close(s);
	a.sin6_addr = in6addr_loopback;
	a.sin6_port = htons((uint16_t)port);
	c = socket(AF_INET6, SOCK_STREAM, 0);
	CHECK_EQ(connect(c, (void *)&a, sizeof(a)), 0);
	close(c);
	close(l);
	l = socket(AF_INET6, SOCK_STREAM, 0);
	setsockopt(l, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one));
	a.sin6_port = 0;
	a.sin6_addr = in6addr_any;
	CHECK_EQ(bind(l, (void *)&a, sizeof(a)), 0);
	CHECK_EQ(listen(l, 5), 0);
	four = v4("127.0.0.1", port_of(l));
	c = socket(AF_INET, SOCK_STREAM, 0);
	CHECK_ERR(connect(c, (void *)&four, sizeof(four)), ECONNREFUSED);
	close(c);
	close(l);
}

static void udp(void)
{
	struct sockaddr_in a = v4("127.0.0.1", 0), b;
	socklen_t len = sizeof(b);
	int s = socket(AF_INET, SOCK_DGRAM, 0), c = socket(AF_INET, SOCK_DGRAM, 0), o, port;
	static char big[70000];
	char buf[64];

	CHECK_EQ(bind(s, (void *)&a, sizeof(a)), 0);
	port = port_of(s);
	a = v4("127.0.0.1", port);
	CHECK_ERR(send(c, "x", 1, 0), EDESTADDRREQ);
	CHECK_EQ(sendto(c, "hello", 5, 0, (void *)&a, sizeof(a)), 5);
	CHECK_EQ(recvfrom(s, buf, 64, 0, (void *)&b, &len), 5);
	CHECK_EQ(ntohs(b.sin_port), port_of(c));
	CHECK_EQ(b.sin_addr.s_addr, htonl(INADDR_LOOPBACK));
	CHECK_EQ(sendto(s, "back", 4, 0, (void *)&b, sizeof(b)), 4);
	CHECK_EQ(recv(c, buf, 64, 0), 4);
	CHECK_EQ(connect(c, (void *)&a, sizeof(a)), 0);
	CHECK_EQ(getpeername(c, (void *)&b, &len), 0);
	CHECK_EQ(ntohs(b.sin_port), port);
	CHECK_EQ(send(c, "", 0, 0), 0);
	CHECK_EQ(recv(s, buf, 64, 0), 0);
	CHECK_ERR(send(c, big, 65508, 0), EMSGSIZE);
	CHECK_EQ(send(c, big, 65507, 0), 65507);
	CHECK_EQ(recv(s, buf, 64, MSG_TRUNC), 65507);
	/* Connected, c hears only s. */
	o = socket(AF_INET, SOCK_DGRAM, 0);
	b = v4("127.0.0.1", port_of(c));
	CHECK_EQ(sendto(o, "x", 1, 0, (void *)&b, sizeof(b)), 1);
	CHECK_ERR(recv(c, buf, 64, MSG_DONTWAIT), EAGAIN);
	CHECK_EQ(sendto(s, "y", 1, 0, (void *)&b, sizeof(b)), 1);
	CHECK_EQ(recv(c, buf, 64, 0), 1);
	/* Nobody there: a connected sender hears of it afterwards. */
	close(s);
	CHECK_EQ(send(c, "x", 1, 0), 1);
	CHECK_EQ(ready(c, POLLIN) & POLLERR, POLLERR);
	CHECK_ERR(recv(c, buf, 64, 0), ECONNREFUSED);
	CHECK_EQ(send(c, "x", 1, 0), 1);
	CHECK_EQ(ready(c, POLLIN) & POLLERR, POLLERR);
	CHECK_ERR(send(c, "x", 1, 0), ECONNREFUSED);
	CHECK_ERR(recv(c, buf, 64, MSG_DONTWAIT), EAGAIN);
	CHECK_EQ(sendto(o, "x", 1, 0, (void *)&a, sizeof(a)), 1);
	CHECK_EQ(connect(c, &(struct sockaddr){AF_UNSPEC}, sizeof(struct sockaddr)), 0);
	CHECK_ERR(getpeername(c, (void *)&b, &len), ENOTCONN);
	close(c);
	close(o);
}

static void errors(void)
{
	struct sockaddr_in a = v4("203.0.113.7", 0);
	int s = socket(AF_INET, SOCK_STREAM, 0), p[2];

	CHECK_ERR(bind(s, (void *)&a, sizeof(a)), EADDRNOTAVAIL);
	CHECK_ERR(bind(s, (void *)&a, 4), EINVAL);
	a.sin_family = AF_UNIX;
	CHECK_ERR(bind(s, (void *)&a, sizeof(a)), EAFNOSUPPORT);
	CHECK_ERR(socketpair(AF_INET, SOCK_STREAM, 0, p), EOPNOTSUPP);
	CHECK_ERR(socket(AF_INET, SOCK_STREAM, IPPROTO_UDP), EPROTONOSUPPORT);
	CHECK_ERR(socket(AF_INET, SOCK_RAW, 0), EPROTONOSUPPORT);
	CHECK_ERR(socket(AF_INET, SOCK_DGRAM, IPPROTO_ICMPV6), EPROTONOSUPPORT);
	CHECK_ERR(socket(AF_INET, SOCK_SEQPACKET, 0), ESOCKTNOSUPPORT);
	CHECK_ERR(socket(AF_NETLINK, SOCK_STREAM, 0), ESOCKTNOSUPPORT);
	close(s);
}

static void interfaces(void)
{
	struct ifaddrs *all, *i;
	struct ifreq r = {.ifr_name = "lo"};
	int lo4 = 0, link = 0, s = socket(AF_INET, SOCK_DGRAM, 0);

	CHECK_EQ(getifaddrs(&all), 0);
	for (i = all; i; i = i->ifa_next) {
		if (strcmp(i->ifa_name, "lo") || !i->ifa_addr)
			continue;
		CHECK(i->ifa_flags & IFF_LOOPBACK);
		if (i->ifa_addr->sa_family == AF_INET)
			lo4 += ((struct sockaddr_in *)i->ifa_addr)->sin_addr.s_addr ==
			       htonl(INADDR_LOOPBACK);
		if (i->ifa_addr->sa_family == AF_PACKET)
			link++;
	}
	freeifaddrs(all);
	CHECK_EQ(lo4, 1);
	CHECK_EQ(link, 1);
	CHECK_EQ(if_nametoindex("lo"), 1);
	CHECK_EQ(ioctl(s, SIOCGIFFLAGS, &r), 0);
	CHECK(r.ifr_flags & IFF_UP);
	strcpy(r.ifr_name, "nothing");
	CHECK_ERR(ioctl(s, SIOCGIFFLAGS, &r), ENODEV);
	close(s);
}

static void processes(void)
{
	static char big[500000];
	struct sockaddr_in a = v4("127.0.0.1", 0);
	int l = socket(AF_INET, SOCK_STREAM, 0), status;
	size_t total = 0;
	ssize_t n;

	CHECK_EQ(bind(l, (void *)&a, sizeof(a)), 0);
	CHECK_EQ(listen(l, 1), 0);
	a = v4("0.0.0.0", port_of(l));
	if (fork() == 0) {
		int c = socket(AF_INET, SOCK_STREAM, 0);

		if (connect(c, (void *)&a, sizeof(a)))
			_exit(1);
		_exit(write(c, big, sizeof(big)) == sizeof(big) ? 0 : 2);
	}
	int s = accept(l, NULL, NULL);

	while ((n = read(s, big, 4096)) > 0)
		total += (size_t)n;
	CHECK_EQ(n, 0);
	CHECK_EQ(total, sizeof(big));
	wait(&status);
	CHECK_EQ(status, 0);
	close(s);
	close(l);
}

/* A socket may be found as soon as it is bound. */
static volatile int binds_done;

static void *send_always(void *addr)
{
	int s = socket(AF_INET, SOCK_DGRAM, 0);

	while (!binds_done)
		CHECK_EQ(sendto(s, "x", 1, 0, addr, sizeof(struct sockaddr_in)), 1);
	close(s);
	return NULL;
}

static void bound_under_fire(void)
{
	struct sockaddr_in a = v4("127.0.0.1", 0);
	int s = socket(AF_INET, SOCK_DGRAM, 0);
	pthread_t t;

	CHECK_EQ(bind(s, (void *)&a, sizeof(a)), 0);
	a.sin_port = htons((uint16_t)port_of(s));
	pthread_create(&t, NULL, send_always, &a);
	for (int i = 0; i < 5000; i++) {
		close(s);
		s = socket(AF_INET, SOCK_DGRAM, 0);
		if (bind(s, (void *)&a, sizeof(a))) /* somebody else may have got it */
			CHECK_EQ(errno, EADDRINUSE);
	}
	binds_done = 1;
	pthread_join(t, NULL);
	close(s);
}

/* ---- connect(2) to AF_UNSPEC ------------------------------------------------------------------------ */

static int tcp_listener(struct sockaddr_in *a)
{
	int l = socket(AF_INET, SOCK_STREAM, 0);

	*a = v4("127.0.0.1", 0);
	CHECK_EQ(bind(l, (void *)a, sizeof(*a)), 0);
	CHECK_EQ(listen(l, 5), 0);
	a->sin_port = htons((uint16_t)port_of(l));
	return l;
}

static void disconnect(void)
{
	static const struct sockaddr none = {.sa_family = AF_UNSPEC};
	struct sockaddr_in a, b;
	socklen_t len = sizeof(b);
	int l = tcp_listener(&a), c = socket(AF_INET, SOCK_STREAM, 0), s, d, v, u[2];
	char buf[8];

	CHECK_EQ(connect(c, &none, sizeof(none)), 0);
	CHECK_EQ(connect(c, &none, sizeof(none.sa_family)), 0);
	CHECK_ERR(connect(c, &none, 1), EINVAL);
	CHECK_EQ(connect(c, (void *)&a, sizeof(a)), 0);
	s = accept(l, NULL, NULL);
	CHECK_EQ(write(s, "unread", 6), 6);
	CHECK_EQ(connect(c, &none, sizeof(none)), 0);
	CHECK_ERR(getpeername(c, (void *)&b, &len), ENOTCONN);
	CHECK_EQ(getsockname(c, (void *)&b, &len), 0);
	CHECK_EQ(b.sin_addr.s_addr, htonl(INADDR_ANY));
	CHECK_ERR(read(c, buf, 8), ECONNRESET);
	CHECK_ERR(read(c, buf, 8), ENOTCONN);
	CHECK_ERR(send(c, buf, 1, MSG_NOSIGNAL), EPIPE);
	CHECK_EQ(ready(s, POLLIN | POLLOUT | POLLRDHUP), POLLIN | POLLOUT | POLLERR | POLLHUP | POLLRDHUP);
	CHECK_ERR(read(s, buf, 8), ECONNRESET);
	CHECK_ERR(send(s, buf, 1, MSG_NOSIGNAL), EPIPE);
	close(s);
	/* As new. */
	for (int i = 0; i < 3; i++) {
		CHECK_EQ(connect(c, (void *)&a, sizeof(a)), 0);
		s = accept(l, NULL, NULL);
		CHECK_EQ(write(s, "new", 3), 3);
		CHECK_EQ(read(c, buf, 8), 3);
		CHECK_EQ(connect(c, &none, sizeof(none)), 0);
		CHECK_ERR(read(s, buf, 8), ECONNRESET);
		close(s);
	}
	CHECK_ERR(read(c, buf, 8), ECONNRESET);
	/* It may listen, and be stopped from that. */
	CHECK_EQ(listen(c, 1), 0);
	b = v4("127.0.0.1", port_of(c));
	d = socket(AF_INET, SOCK_STREAM, 0);
	CHECK_EQ(connect(d, (void *)&b, sizeof(b)), 0);
	CHECK_EQ(connect(c, &none, sizeof(none)), 0);
	CHECK_ERR(read(d, buf, 1), ECONNRESET);
	close(d);
	d = socket(AF_INET, SOCK_STREAM, 0);
	CHECK_ERR(connect(d, (void *)&b, sizeof(b)), ECONNREFUSED);
	close(d);
	len = sizeof(v);
	CHECK_EQ(getsockopt(c, SOL_SOCKET, SO_ACCEPTCONN, &v, &len), 0);
	CHECK_EQ(v, 0);
	CHECK_EQ(listen(c, 1), 0);
	close(c);
	close(l);
	/* Unix streams have no such thing. */
	CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, u), 0);
	CHECK_ERR(connect(u[0], &none, sizeof(none)), EINVAL);
	close(u[0]);
	close(u[1]);
}

/* One thread reads what the other connects and disconnects. */
static int shared_client;
static volatile int disconnects_done;

static void *read_always(void *arg)
{
	char buf[8];

	while (!disconnects_done) {
		recv(shared_client, buf, sizeof(buf), MSG_DONTWAIT);
		send(shared_client, "x", 1, MSG_DONTWAIT | MSG_NOSIGNAL);
	}
	return NULL;
}

static void disconnect_under_fire(void)
{
	static const struct sockaddr none = {.sa_family = AF_UNSPEC};
	struct sockaddr_in a;
	int l = tcp_listener(&a), s;
	pthread_t t;

	shared_client = socket(AF_INET, SOCK_STREAM, 0);
	pthread_create(&t, NULL, read_always, NULL);
	for (int i = 0; i < 500; i++) {
		while (connect(shared_client, (void *)&a, sizeof(a))) /* an error that nobody has heard of */
			CHECK(errno == ECONNRESET || errno == ECONNABORTED);
		s = accept(l, NULL, NULL);
		CHECK(s >= 0);
		CHECK_EQ(connect(shared_client, &none, sizeof(none)), 0);
		close(s);
	}
	disconnects_done = 1;
	pthread_join(t, NULL);
	close(shared_client);
	close(l);
}

/* Whoever has accepted a connection finds its other end connected. */
static int early_listener, early_client;

static void *accept_and_look(void *arg)
{
	char buf[8];
	int s = accept(early_listener, NULL, NULL);

	CHECK(s >= 0);
	CHECK_EQ(send(early_client, "x", 1, 0), 1);
	CHECK_EQ(read(s, buf, 8), 1);
	close(s);
	CHECK_EQ(recv(early_client, buf, 8, 0), 0);
	return NULL;
}

static void accepted_is_connected(void)
{
	struct sockaddr_in a;
	pthread_t t;

	early_listener = tcp_listener(&a);
	for (int i = 0; i < 300; i++) {
		early_client = socket(AF_INET, SOCK_STREAM, 0);
		pthread_create(&t, NULL, accept_and_look, NULL);
		CHECK_EQ(connect(early_client, (void *)&a, sizeof(a)), 0);
		pthread_join(t, NULL);
		close(early_client);
	}
	close(early_listener);
}

/* shutdown(2) of a listener: waiting connections are cut, accept(2) ends, listen(2) begins anew. */
static void *accept_until_shut(void *l)
{
	CHECK_ERR(accept(*(int *)l, NULL, NULL), EINVAL);
	return NULL;
}

static void listener_shut(void)
{
	struct sockaddr_in a;
	char buf[8];
	int l = tcp_listener(&a), c = socket(AF_INET, SOCK_STREAM, 0);
	pthread_t t;

	CHECK_EQ(connect(c, (void *)&a, sizeof(a)), 0);
	CHECK_EQ(shutdown(l, SHUT_RD), 0);
	CHECK_EQ(ready(l, POLLIN | POLLOUT), POLLOUT | POLLHUP);
	CHECK_ERR(accept(l, NULL, NULL), EINVAL);
	CHECK_ERR(read(c, buf, 1), ECONNRESET);
	close(c);
	c = socket(AF_INET, SOCK_STREAM, 0);
	CHECK_ERR(connect(c, (void *)&a, sizeof(a)), ECONNREFUSED);
	close(c);
	CHECK_EQ(listen(l, 3), 0);
	pthread_create(&t, NULL, accept_until_shut, &l);
	usleep(20000);
	CHECK_EQ(shutdown(l, SHUT_RDWR), 0);
	pthread_join(t, NULL);
	close(l);
}

/* Who doesn't wait for a datagram is not told that none can come. */
static void udp_shut(void)
{
	struct sockaddr_in a = v4("127.0.0.1", 9);
	int u = socket(AF_INET, SOCK_DGRAM, 0);
	char buf[8];

	CHECK_EQ(connect(u, (void *)&a, sizeof(a)), 0);
	CHECK_EQ(shutdown(u, SHUT_RD), 0);
	CHECK_ERR(recv(u, buf, 8, MSG_DONTWAIT), EAGAIN);
	CHECK_EQ(recv(u, buf, 8, 0), 0);
	close(u);
}

/* ---- who may share a port --------------------------------------------------------------------------- */

/* How the second fares: what bind(2) and listen(2) say. */
static int second_bind(int type, int listening, int opt_a, int opt_b, const char *ip_a, const char *ip_b)
{
	struct sockaddr_in a = v4(ip_a, 0), b;
	int s = socket(AF_INET, type, 0), t = socket(AF_INET, type, 0), one = 1, r;

	if (opt_a)
		setsockopt(s, SOL_SOCKET, opt_a, &one, sizeof(one));
	if (opt_b)
		setsockopt(t, SOL_SOCKET, opt_b, &one, sizeof(one));
	CHECK_EQ(bind(s, (void *)&a, sizeof(a)), 0);
	if (listening)
		CHECK_EQ(listen(s, 1), 0);
	b = v4(ip_b, port_of(s));
	r = bind(t, (void *)&b, sizeof(b)) ? errno : 0;
	close(s);
	close(t);
	return r;
}

static void shared_ports(void)
{
	static const char here[] = "127.0.0.1", all[] = "0.0.0.0", other[] = "127.0.0.2";
	struct sockaddr_in a = v4(here, 0);
	int s = socket(AF_INET, SOCK_STREAM, 0), t = socket(AF_INET, SOCK_STREAM, 0), one = 1;

	for (int type = SOCK_STREAM; type <= SOCK_DGRAM; type++) {
		CHECK_EQ(second_bind(type, 0, 0, 0, here, here), EADDRINUSE);
		CHECK_EQ(second_bind(type, 0, 0, 0, here, all), EADDRINUSE);
		CHECK_EQ(second_bind(type, 0, 0, 0, all, other), EADDRINUSE);
		CHECK_EQ(second_bind(type, 0, 0, 0, here, other), 0);
		CHECK_EQ(second_bind(type, 0, SO_REUSEADDR, 0, here, here), EADDRINUSE);
		CHECK_EQ(second_bind(type, 0, SO_REUSEADDR, SO_REUSEADDR, here, here), 0);
		CHECK_EQ(second_bind(type, 0, SO_REUSEPORT, SO_REUSEADDR, here, here), EADDRINUSE);
		CHECK_EQ(second_bind(type, 0, SO_REUSEPORT, SO_REUSEPORT, here, all), 0);
	}
	CHECK_EQ(second_bind(SOCK_STREAM, 1, SO_REUSEADDR, SO_REUSEADDR, here, here), EADDRINUSE);
	CHECK_EQ(second_bind(SOCK_STREAM, 1, SO_REUSEADDR, SO_REUSEADDR, all, here), EADDRINUSE);
	CHECK_EQ(second_bind(SOCK_STREAM, 1, SO_REUSEADDR, SO_REUSEADDR, here, other), 0);
	CHECK_EQ(second_bind(SOCK_STREAM, 1, SO_REUSEPORT, SO_REUSEPORT, here, here), 0);
	/* Two may be bound, one may listen. */
	setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	setsockopt(t, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	CHECK_EQ(bind(s, (void *)&a, sizeof(a)), 0);
	a.sin_port = htons((uint16_t)port_of(s));
	CHECK_EQ(bind(t, (void *)&a, sizeof(a)), 0);
	CHECK_EQ(listen(s, 1), 0);
	CHECK_ERR(listen(t, 1), EADDRINUSE);
	CHECK_EQ(listen(s, 5), 0);
	close(s);
	CHECK_EQ(listen(t, 1), 0);
	close(t);
}

int main(void)
{
	signal(SIGPIPE, SIG_IGN);
	tcp();
	dual_stack();
	udp();
	errors();
	interfaces();
	processes();
	bound_under_fire();
	disconnect();
	disconnect_under_fire();
	accepted_is_connected();
	listener_shut();
	udp_shut();
	shared_ports();
	return check_status();
}
