/* Unix sockets: datagrams and sequenced packets. */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/guest/check.h"

/* An abstract name, which is one of the whole network namespace. */
static socklen_t name(struct sockaddr_un *a, const char *prefix)
{
	int n;

	memset(a, 0, sizeof(*a));
	a->sun_family = AF_UNIX;
	n = snprintf(a->sun_path + 1, sizeof(a->sun_path) - 1, "%s-%d", prefix, getpid());
	return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)n);
}

static short ready(int fd, short events)
{
	struct pollfd p = {fd, events, 0};

	poll(&p, 1, 0);
	return p.revents;
}

static void datagrams(void)
{
	struct sockaddr_un a, b, from;
	socklen_t alen = name(&a, "sentry-dgram-a"), blen = name(&b, "sentry-dgram-b"), len;
	int s = socket(AF_UNIX, SOCK_DGRAM, 0), c = socket(AF_UNIX, SOCK_DGRAM, 0), d, n;
	char buf[64];

	CHECK_ERR(send(c, "x", 1, 0), ENOTCONN);
	CHECK_ERR(sendto(c, "x", 1, 0, (void *)&a, alen), ECONNREFUSED);
	CHECK_EQ(bind(s, (void *)&a, alen), 0);
	CHECK_EQ(sendto(c, "one", 3, 0, (void *)&a, alen), 3);
	CHECK_EQ(sendto(c, "", 0, 0, (void *)&a, alen), 0);
	CHECK_EQ(ioctl(s, FIONREAD, &n), 0);
	CHECK_EQ(n, 3);
	len = sizeof(from);
	CHECK_EQ(recvfrom(s, buf, 64, 0, (void *)&from, &len), 3);
	CHECK_EQ(len, 0);
	CHECK_EQ(recv(s, buf, 64, 0), 0);
	CHECK_ERR(recv(s, buf, 64, MSG_DONTWAIT), EAGAIN);
	CHECK_EQ(bind(c, (void *)&b, blen), 0);
	CHECK_EQ(connect(c, (void *)&a, alen), 0);
	CHECK_EQ(send(c, "truncated", 9, 0), 9);
	CHECK_EQ(recv(s, buf, 4, MSG_PEEK | MSG_TRUNC), 9);
	len = sizeof(from);
	CHECK_EQ(recvfrom(s, buf, 4, 0, (void *)&from, &len), 4);
	CHECK_EQ(len, blen);
	CHECK_EQ(memcmp(&from, &b, blen), 0);
	CHECK_ERR(recv(s, buf, 4, MSG_DONTWAIT), EAGAIN);
	/* s is connected to nobody; connected to c, it takes nothing from others. */
	CHECK_EQ(connect(s, (void *)&b, blen), 0);
	d = socket(AF_UNIX, SOCK_DGRAM, 0);
	CHECK_ERR(sendto(d, "x", 1, 0, (void *)&a, alen), EPERM);
	CHECK_ERR(connect(d, (void *)&a, alen), EPERM);
	CHECK_EQ(send(c, "ok", 2, 0), 2);
	CHECK_EQ(read(s, buf, 64), 2);
	/* AF_UNSPEC ends it. */
	from.sun_family = AF_UNSPEC;
	CHECK_EQ(connect(s, (void *)&from, sizeof(from)), 0);
	CHECK_EQ(sendto(d, "x", 1, 0, (void *)&a, alen), 1);
	CHECK_EQ(recv(s, buf, 64, 0), 1);
	static char big[300000];

	CHECK_ERR(send(c, big, sizeof(big), 0), EMSGSIZE);
	CHECK_ERR(listen(s, 1), EOPNOTSUPP);
	CHECK_ERR(accept(s, NULL, NULL), EOPNOTSUPP);
	/* The receiver goes. */
	close(s);
	CHECK_ERR(send(c, "x", 1, 0), ECONNREFUSED);
	CHECK_ERR(send(c, "x", 1, 0), ENOTCONN);
	close(c);
	close(d);
}

/* A receiver that doesn't read holds its senders up. */
static void queue_bound(void)
{
	struct sockaddr_un a;
	socklen_t alen = name(&a, "sentry-dgram-q");
	int s = socket(AF_UNIX, SOCK_DGRAM, 0), c = socket(AF_UNIX, SOCK_DGRAM, 0);
	int o = socket(AF_UNIX, SOCK_DGRAM, 0), n = 0, status;
	char buf[16];

	CHECK_EQ(bind(s, (void *)&a, alen), 0);
	CHECK_EQ(connect(c, (void *)&a, alen), 0);
	CHECK_EQ(ready(c, POLLOUT), POLLOUT);
	while (send(c, "m", 1, MSG_DONTWAIT) == 1)
		n++;
	CHECK_EQ(errno, EAGAIN);
	CHECK(n >= 5 && n < 1000);
	CHECK_EQ(ready(c, POLLOUT), 0);
	CHECK_ERR(sendto(o, "x", 1, MSG_DONTWAIT, (void *)&a, alen), EAGAIN);
	for (int i = 0; i < 2; i++)
		if (fork() == 0)
			_exit((i ? send(c, "w", 1, 0)
				 : sendto(o, "w", 1, 0, (void *)&a, alen)) == 1 ? 0 : 1);
	usleep(20000);
	for (int i = 0; i < n + 2; i++)
		CHECK_EQ(recv(s, buf, 16, 0), 1);
	for (int i = 0; i < 2; i++) {
		wait(&status);
		CHECK_EQ(status, 0);
	}
	CHECK_EQ(ready(c, POLLOUT), POLLOUT);
	close(s);
	close(c);
	close(o);
}

static void dgram_pair(void)
{
	struct mmsghdr mm[4];
	struct iovec iov[4];
	char buf[4][8];
	int s[2];

	CHECK_EQ(socketpair(AF_UNIX, SOCK_DGRAM, 0, s), 0);
	memset(mm, 0, sizeof(mm));
	for (int i = 0; i < 4; i++) {
		iov[i] = (struct iovec){"abcd", (size_t)i + 1};
		mm[i].msg_hdr.msg_iov = &iov[i];
		mm[i].msg_hdr.msg_iovlen = 1;
	}
	CHECK_EQ(sendmmsg(s[0], mm, 4, 0), 4);
	CHECK_EQ(mm[2].msg_len, 3);
	for (int i = 0; i < 4; i++)
		iov[i] = (struct iovec){buf[i], 8};
	CHECK_EQ(recvmmsg(s[1], mm, 3, MSG_WAITFORONE, NULL), 3);
	CHECK_EQ(mm[2].msg_len, 3);
	CHECK_EQ(recvmmsg(s[1], mm, 4, MSG_WAITFORONE, NULL), 1);
	CHECK_EQ(mm[0].msg_len, 4);
	/* Headers that can't be are found before anything else. */
	mm[0].msg_hdr.msg_controllen = 10;
	CHECK_ERR(sendmsg(s[0], &mm[0].msg_hdr, 0), EFAULT);
	mm[0].msg_hdr.msg_controllen = 0;
	mm[0].msg_hdr.msg_name = buf;
	mm[0].msg_hdr.msg_namelen = (socklen_t)-1;
	CHECK_ERR(recvmsg(s[1], &mm[0].msg_hdr, MSG_DONTWAIT), EINVAL);
	CHECK_EQ(shutdown(s[1], SHUT_RD), 0);
	CHECK_ERR(send(s[0], "x", 1, 0), EPIPE);
	CHECK_EQ(recv(s[1], buf, 8, 0), 0);
	close(s[0]);
	close(s[1]);
}

static void packets(void)
{
	struct sockaddr_un a;
	socklen_t alen = name(&a, "sentry-seqpacket");
	int l = socket(AF_UNIX, SOCK_SEQPACKET, 0), c = socket(AF_UNIX, SOCK_SEQPACKET, 0), s, p[2];
	struct iovec iov = {(char[4]){0}, 4};
	struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1};
	char buf[16];

	CHECK_EQ(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, p), 0);
	CHECK_EQ(send(p[0], "abc", 3, 0), 3);
	CHECK_EQ(send(p[0], "defghi", 6, 0), 6);
	CHECK_EQ(recv(p[1], buf, 16, 0), 3);
	CHECK_EQ(recvmsg(p[1], &m, 0), 4);
	CHECK_EQ(m.msg_flags & MSG_TRUNC, MSG_TRUNC);
	CHECK_ERR(recv(p[1], buf, 16, MSG_DONTWAIT), EAGAIN);
	close(p[0]);
	CHECK_EQ(recv(p[1], buf, 16, 0), 0);
	CHECK_ERR(send(p[1], "x", 1, MSG_NOSIGNAL), EPIPE);
	close(p[1]);
	CHECK_ERR(send(c, "x", 1, 0), ENOTCONN);
	CHECK_ERR(recv(c, buf, 1, 0), ENOTCONN);
	CHECK_EQ(bind(l, (void *)&a, alen), 0);
	CHECK_EQ(listen(l, 3), 0);
	CHECK_EQ(connect(c, (void *)&a, alen), 0);
	CHECK_EQ(send(c, "one", 3, 0), 3);
	CHECK_EQ(send(c, "two", 3, 0), 3);
	s = accept(l, NULL, NULL);
	CHECK_EQ(recv(s, buf, 16, 0), 3);
	CHECK_EQ(write(s, "answer", 6), 6);
	CHECK_EQ(read(c, buf, 16), 6);
	close(c);
	CHECK_EQ(recv(s, buf, 16, 0), 3);
	CHECK_EQ(recv(s, buf, 16, 0), 0);
	close(s);
	close(l);
}

int main(void)
{
	signal(SIGPIPE, SIG_IGN);
	datagrams();
	queue_bound();
	dgram_pair();
	packets();
	return check_status();
}
