/* Socket options that do something: socket(7), unix(7), tcp(7), ip(7). */
#include <grp.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "tests/guest/check.h"

#ifndef SO_NETNS_COOKIE
#define SO_NETNS_COOKIE 71
#endif

static int option(int s, int level, int opt)
{
	int v = -77;
	socklen_t len = sizeof(v);

	CHECK_EQ(getsockopt(s, level, opt, &v, &len), 0);
	CHECK_EQ(len, sizeof(v));
	return v;
}

static int option_set(int s, int level, int opt, int v)
{
	return setsockopt(s, level, opt, &v, sizeof(v));
}

/* Two UDP sockets, connected to each other. */
static void udp_pair(int s[2])
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(a);

	for (int i = 0; i < 2; i++) {
		a.sin_port = 0;
		s[i] = socket(AF_INET, SOCK_DGRAM, 0);
		REQUIRE(bind(s[i], (void *)&a, sizeof(a)) == 0);
	}
	for (int i = 0; i < 2; i++) {
		REQUIRE(getsockname(s[!i], (void *)&a, &len) == 0);
		REQUIRE(connect(s[i], (void *)&a, sizeof(a)) == 0);
	}
}

static void tcp_pair(int s[2])
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(a);
	int l = socket(AF_INET, SOCK_STREAM, 0);

	REQUIRE(listen(l, 1) == 0);
	REQUIRE(getsockname(l, (void *)&a, &len) == 0);
	s[0] = socket(AF_INET, SOCK_STREAM, 0);
	REQUIRE(connect(s[0], (void *)&a, sizeof(a)) == 0);
	s[1] = accept(l, NULL, NULL);
	REQUIRE(s[1] >= 0);
	close(l);
}

static void pair_of(int domain, int type, int s[2])
{
	if (domain == AF_UNIX)
		REQUIRE(socketpair(AF_UNIX, type, 0, s) == 0);
	else if (type == SOCK_DGRAM)
		udp_pair(s);
	else
		tcp_pair(s);
}

static void close_pair(int s[2])
{
	close(s[0]);
	close(s[1]);
}

#define PEEK (MSG_PEEK | MSG_DONTWAIT)

static void peek_offset_stream(void)
{
	char buf[16] = "";
	int s[2];

	pair_of(AF_UNIX, SOCK_STREAM, s);
	CHECK_EQ(option(s[1], SOL_SOCKET, SO_PEEK_OFF), -1);
	CHECK_EQ(send(s[0], "abcdef", 6, 0), 6);
	CHECK_EQ(option_set(s[1], SOL_SOCKET, SO_PEEK_OFF, 1), 0);
	CHECK_EQ(recv(s[1], buf, 2, PEEK), 2);
	CHECK_EQ(memcmp(buf, "bc", 2), 0);
	CHECK_EQ(option(s[1], SOL_SOCKET, SO_PEEK_OFF), 3);
	CHECK_EQ(recv(s[1], buf, 16, PEEK), 3);
	CHECK_EQ(memcmp(buf, "def", 3), 0);
	CHECK_ERR(recv(s[1], buf, 16, PEEK), EAGAIN);
	CHECK_EQ(send(s[0], "gh", 2, 0), 2);
	/* What is read moves it back. */
	CHECK_EQ(recv(s[1], buf, 2, 0), 2);
	CHECK_EQ(memcmp(buf, "ab", 2), 0);
	CHECK_EQ(option(s[1], SOL_SOCKET, SO_PEEK_OFF), 4);
	CHECK_EQ(recv(s[1], buf, 16, PEEK), 2);
	CHECK_EQ(memcmp(buf, "gh", 2), 0);
	CHECK_EQ(recv(s[1], buf, 16, 0), 6);
	CHECK_EQ(option(s[1], SOL_SOCKET, SO_PEEK_OFF), 0);
	CHECK_EQ(send(s[0], "ij", 2, 0), 2);
	CHECK_EQ(option_set(s[1], SOL_SOCKET, SO_PEEK_OFF, -1), 0);
	CHECK_EQ(recv(s[1], buf, 1, PEEK), 1);
	CHECK_EQ(recv(s[1], buf, 1, PEEK), 1);
	CHECK_EQ(buf[0], 'i');
	shutdown(s[0], SHUT_WR);
	CHECK_EQ(option_set(s[1], SOL_SOCKET, SO_PEEK_OFF, 2), 0);
	CHECK_EQ(recv(s[1], buf, 1, PEEK), 0);
	close_pair(s);
}

static void peek_offset_dgram(int domain)
{
	char buf[16] = "";
	int s[2];

	pair_of(domain, SOCK_DGRAM, s);
	CHECK_EQ(send(s[0], "abcdef", 6, 0), 6);
	CHECK_EQ(send(s[0], "ghi", 3, 0), 3);
	CHECK_EQ(option_set(s[1], SOL_SOCKET, SO_PEEK_OFF, 0), 0);
	CHECK_EQ(recv(s[1], buf, 4, PEEK), 4);
	CHECK_EQ(option(s[1], SOL_SOCKET, SO_PEEK_OFF), 4);
	CHECK_EQ(recv(s[1], buf, 16, PEEK), 2);
	CHECK_EQ(memcmp(buf, "ef", 2), 0);
	CHECK_EQ(recv(s[1], buf, 16, PEEK), 3);
	CHECK_EQ(memcmp(buf, "ghi", 3), 0);
	CHECK_ERR(recv(s[1], buf, 16, PEEK), EAGAIN);
	CHECK_EQ(recv(s[1], buf, 2, 0), 2);
	/* UDP counts what was read, unix sockets the message. */
	CHECK_EQ(option(s[1], SOL_SOCKET, SO_PEEK_OFF), domain == AF_INET ? 7 : 3);
	CHECK_EQ(recv(s[1], buf, 16, 0), 3);
	CHECK_EQ(memcmp(buf, "ghi", 3), 0);
	CHECK_EQ(option(s[1], SOL_SOCKET, SO_PEEK_OFF), domain == AF_INET ? 4 : 0);
	close_pair(s);
}

static void peer(void)
{
	gid_t groups[256], told[256];
	struct sockaddr_un name = {.sun_family = AF_UNIX}, a;
	struct ucred cred;
	socklen_t len = sizeof(cred);
	int n = getgroups(256, groups), s[2], lone = socket(AF_UNIX, SOCK_STREAM, 0), t[2];

	pair_of(AF_UNIX, SOCK_STREAM, s);
	CHECK_EQ(getsockopt(s[0], SOL_SOCKET, SO_PEERCRED, &cred, &len), 0);
	CHECK_EQ(cred.pid, getpid());
	CHECK_EQ(cred.uid, geteuid());
	CHECK_EQ(cred.gid, getegid());
	len = sizeof(told);
	CHECK_EQ(getsockopt(s[0], SOL_SOCKET, SO_PEERGROUPS, told, &len), 0);
	CHECK_EQ(len, (size_t)n * sizeof(gid_t));
	CHECK_EQ(memcmp(told, groups, len), 0);
	if (n) {
		len = 0;
		CHECK_ERR(getsockopt(s[0], SOL_SOCKET, SO_PEERGROUPS, told, &len), ERANGE);
		CHECK_EQ(len, (size_t)n * sizeof(gid_t));
	}
	CHECK_ERR(getsockopt(lone, SOL_SOCKET, SO_PEERGROUPS, told, &len), ENODATA);
	CHECK_ERR(getsockopt(lone, SOL_SOCKET, SO_PEERNAME, &a, &len), ENOTCONN);
	CHECK_EQ(bind(s[0], (void *)&name, sizeof(sa_family_t)), 0);
	len = sizeof(a);
	CHECK_ERR(getsockopt(s[1], SOL_SOCKET, SO_PEERNAME, &a, &len), EINVAL);
	len = sizeof(sa_family_t);
	CHECK_EQ(getsockopt(s[1], SOL_SOCKET, SO_PEERNAME, &a, &len), 0);
	CHECK_EQ(a.sun_family, AF_UNIX);
	tcp_pair(t);
	len = 4;
	CHECK_EQ(getsockopt(t[1], SOL_SOCKET, SO_PEERNAME, &a, &len), 0);
	CHECK_EQ(len, 4);
	CHECK_EQ(a.sun_family, AF_INET);
	len = sizeof(cred);
	CHECK_EQ(getsockopt(t[1], SOL_SOCKET, SO_PEERCRED, &cred, &len), 0);
	CHECK_EQ(cred.pid, 0);
	CHECK_EQ(cred.uid, -1U);
	CHECK_ERR(getsockopt(t[1], SOL_SOCKET, SO_PEERGROUPS, told, &len), ENODATA);
	close_pair(t);
	close_pair(s);
	close(lone);
}

static unsigned long long cookie(int s)
{
	unsigned long long v = 0;
	socklen_t len = sizeof(v);

	CHECK_EQ(getsockopt(s, SOL_SOCKET, SO_COOKIE, &v, &len), 0);
	CHECK_EQ(len, 8);
	return v;
}

static void numbers(void)
{
	int s[2], v;
	char name[16] = "";
	socklen_t len = 4;

	tcp_pair(s);
	CHECK(cookie(s[0]));
	CHECK(cookie(s[0]) != cookie(s[1]));
	CHECK_EQ(cookie(s[0]), cookie(s[0]));
	CHECK_ERR(getsockopt(s[0], SOL_SOCKET, SO_COOKIE, &v, &len), EINVAL);
	CHECK_EQ(option_set(s[0], SOL_SOCKET, SO_INCOMING_CPU, 0), 0);
	CHECK_EQ(option(s[0], SOL_SOCKET, SO_BUSY_POLL), 0);
	CHECK_EQ(option_set(s[0], IPPROTO_TCP, TCP_NODELAY, 5), 0);
	CHECK_EQ(option(s[0], IPPROTO_TCP, TCP_NODELAY), 1);
	CHECK_EQ(option_set(s[0], IPPROTO_IP, IP_TOS, 7), 0);
	CHECK_EQ(option(s[0], IPPROTO_IP, IP_TOS), 4);
	CHECK_ERR(option_set(s[0], IPPROTO_IP, IP_TTL, 0), EINVAL);
	CHECK_ERR(setsockopt(s[0], IPPROTO_TCP, 9999, &v, 1), EINVAL);
	CHECK_ERR(setsockopt(s[0], IPPROTO_TCP, TCP_CONGESTION, "nonesuch", 8), ENOENT);
	CHECK_EQ(setsockopt(s[0], IPPROTO_TCP, TCP_CONGESTION, "reno", 4), 0);
	len = sizeof(name);
	CHECK_EQ(getsockopt(s[0], IPPROTO_TCP, TCP_CONGESTION, name, &len), 0);
	CHECK_EQ(strcmp(name, "reno"), 0);
	close_pair(s);
	s[0] = socket(AF_INET, SOCK_STREAM, 0);
	len = sizeof(v);
	CHECK_ERR(getsockopt(s[0], IPPROTO_IP, IP_MTU, &v, &len), ENOTCONN);
	CHECK_EQ(option(s[0], IPPROTO_TCP, TCP_MAXSEG), 536);
	CHECK_ERR(option_set(s[0], IPPROTO_TCP, TCP_MAXSEG, 87), EINVAL);
	CHECK_EQ(option_set(s[0], IPPROTO_TCP, TCP_MAXSEG, 88), 0);
	CHECK_EQ(option(s[0], IPPROTO_TCP, TCP_MAXSEG), 88);
	CHECK_EQ(setsockopt(s[0], SOL_SOCKET, SO_BINDTODEVICE, "lo", 2), 0);
	len = sizeof(name);
	CHECK_EQ(getsockopt(s[0], SOL_SOCKET, SO_BINDTODEVICE, name, &len), 0);
	CHECK_EQ(len, 3);
	CHECK_EQ(strcmp(name, "lo"), 0);
	close(s[0]);
	s[0] = socket(AF_INET, SOCK_STREAM, 0);
	CHECK_ERR(setsockopt(s[0], SOL_SOCKET, SO_BINDTODEVICE, "no such", 7), ENODEV);
	close(s[0]);
}

/* Reads wait for SO_RCVLOWAT bytes; of TCP poll(2), too. */
static void low_water(int domain)
{
	struct pollfd p = {.events = POLLIN};
	char buf[16];
	int s[2];

	pair_of(domain, SOCK_STREAM, s);
	CHECK_EQ(option_set(s[1], SOL_SOCKET, SO_RCVLOWAT, 4), 0);
	CHECK_EQ(send(s[0], "ab", 2, 0), 2);
	p.fd = s[1];
	CHECK_EQ(poll(&p, 1, domain == AF_INET ? 20 : 10000), domain == AF_UNIX);
	if (fork() == 0) {
		check_asleep(getppid());
		_exit(send(s[0], "cd", 2, 0) != 2);
	}
	/* Who has taken less than that is not woken by what makes it enough, with TCP. */
	if (domain == AF_INET)
		CHECK_EQ(poll(&p, 1, -1), 1);
	CHECK_EQ(recv(s[1], buf, 16, 0), 4);
	wait(NULL);
	CHECK_EQ(send(s[0], "ab", 2, 0), 2);
	CHECK_EQ(recv(s[1], buf, 16, MSG_DONTWAIT), 2);
	CHECK_EQ(send(s[0], "a", 1, 0), 1);
	CHECK_EQ(recv(s[1], buf, 1, 0), 1);
	CHECK_EQ(send(s[0], "a", 1, 0), 1);
	close(s[0]);
	CHECK_EQ(poll(&p, 1, 10000), 1);
	CHECK_EQ(recv(s[1], buf, 16, 0), 1);
	close(s[1]);
}

/* The first control message of SOL_SOCKET of that kind. */
static size_t receive_item(int s, int kind, void *out, size_t room)
{
	union {
		struct cmsghdr align;
		char buf[256];
	} ctl;
	char data[16];
	struct iovec iov = {data, sizeof(data)};
	struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = ctl.buf, .msg_controllen = sizeof(ctl)};

	CHECK(recvmsg(s, &m, 0) >= 0);
	for (struct cmsghdr *c = CMSG_FIRSTHDR(&m); c; c = CMSG_NXTHDR(&m, c))
		if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == kind) {
			size_t n = c->cmsg_len - CMSG_LEN(0);

			memcpy(out, CMSG_DATA(c), n < room ? n : room);
			return n;
		}
	return 0;
}

static void stamps(int domain)
{
	struct timespec before, at = {0};
	struct timeval tv = {0};
	int s[2];

	pair_of(domain, SOCK_DGRAM, s);
	clock_gettime(CLOCK_REALTIME, &before);
	CHECK_EQ(option_set(s[1], SOL_SOCKET, SO_TIMESTAMP, 1), 0);
	CHECK_EQ(send(s[0], "a", 1, 0), 1);
	CHECK_EQ(send(s[0], "a", 1, 0), 1);
	CHECK_EQ(receive_item(s[1], SO_TIMESTAMP, &tv, sizeof(tv)), sizeof(tv));
	CHECK(tv.tv_sec >= before.tv_sec && tv.tv_sec < before.tv_sec + 60);
	/* One form at a time. */
	CHECK_EQ(option_set(s[1], SOL_SOCKET, SO_TIMESTAMPNS, 1), 0);
	CHECK_EQ(option(s[1], SOL_SOCKET, SO_TIMESTAMP), 0);
	CHECK_EQ(receive_item(s[1], SO_TIMESTAMPNS, &at, sizeof(at)), sizeof(at));
	CHECK(at.tv_sec >= before.tv_sec && at.tv_sec < before.tv_sec + 60);
	CHECK_EQ(option_set(s[1], SOL_SOCKET, SO_TIMESTAMPNS, 0), 0);
	CHECK_EQ(send(s[0], "a", 1, 0), 1);
	CHECK_EQ(receive_item(s[1], SO_TIMESTAMPNS, &at, sizeof(at)), 0);
	close_pair(s);
}

/* UDP tells how many there was no room for. */
static void overflow(void)
{
	static char big[4000];
	unsigned lost = 0;
	int s[2];

	pair_of(AF_INET, SOCK_DGRAM, s);
	CHECK_EQ(option_set(s[1], SOL_SOCKET, SO_RXQ_OVFL, 1), 0);
	CHECK_EQ(option_set(s[1], SOL_SOCKET, SO_RCVBUF, 1), 0);
	for (int i = 0; i < 20; i++)
		CHECK_EQ(send(s[0], big, sizeof(big), 0), sizeof(big));
	while (recv(s[1], big, sizeof(big), MSG_DONTWAIT) >= 0)
		;
	CHECK_EQ(send(s[0], "x", 1, 0), 1);
	CHECK_EQ(receive_item(s[1], SO_RXQ_OVFL, &lost, sizeof(lost)), sizeof(lost));
	CHECK(lost > 0 && lost < 20);
	close_pair(s);
}

int main(void)
{
	peek_offset_stream();
	peek_offset_dgram(AF_UNIX);
	peek_offset_dgram(AF_INET);
	peer();
	numbers();
	low_water(AF_UNIX);
	low_water(AF_INET);
	stamps(AF_UNIX);
	stamps(AF_INET);
	overflow();
	return check_status();
}
