/* Unix sockets: streams, names, connections, shutdown, options. */
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <linux/sockios.h>
#include <unistd.h>

#include "tests/guest/check.h"

static volatile sig_atomic_t sigpipes;

static void on_sigpipe(int sig)
{
	sigpipes++;
}

static short ready(int fd, short events)
{
	struct pollfd p = {fd, events, 0};

	poll(&p, 1, 0);
	return p.revents;
}

static socklen_t name(struct sockaddr_un *a, const char *path)
{
	memset(a, 0, sizeof(*a));
	a->sun_family = AF_UNIX;
	if (path[0] == '@') {
		memcpy(a->sun_path + 1, path + 1, strlen(path) - 1);
		return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path));
	}
	strcpy(a->sun_path, path);
	return sizeof(*a);
}

static void pairs(void)
{
	char buf[32];
	int s[2], none[2], n;

	CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, s), 0);
	CHECK_EQ(fcntl(s[0], F_GETFD), FD_CLOEXEC);
	CHECK_ERR(read(s[0], buf, 1), EAGAIN);
	CHECK_EQ(write(s[0], "hello", 5), 5);
	CHECK_EQ(send(s[0], " you", 4, 0), 4);
	CHECK_EQ(ioctl(s[1], FIONREAD, &n), 0);
	CHECK_EQ(n, 9);
	CHECK_EQ(recv(s[1], buf, 5, MSG_PEEK), 5);
	CHECK_EQ(recv(s[1], buf, sizeof(buf), 0), 9);
	CHECK_EQ(memcmp(buf, "hello you", 9), 0);
	CHECK_EQ(send(s[1], "back", 4, 0), 4);
	CHECK_EQ(read(s[0], buf, 32), 4);
	CHECK_EQ(ready(s[0], POLLIN | POLLOUT), POLLOUT);
	CHECK_ERR(lseek(s[0], 0, SEEK_SET), ESPIPE);
	CHECK_ERR(socketpair(AF_INET, SOCK_STREAM, 0, none), EOPNOTSUPP);
	CHECK_ERR(socketpair(AF_UNIX, SOCK_STREAM, 99, none), EPROTONOSUPPORT);
	CHECK_ERR(socketpair(AF_UNIX, SOCK_RDM, 0, none), ESOCKTNOSUPPORT);
	CHECK_ERR(socket(AF_UNIX, 77, 0), EINVAL);
	CHECK_ERR(socket(99, SOCK_STREAM, 0), EAFNOSUPPORT);
	close(s[0]);
	CHECK_EQ(ready(s[1], POLLIN | POLLOUT | POLLRDHUP), POLLIN | POLLOUT | POLLHUP | POLLRDHUP);
	CHECK_EQ(read(s[1], buf, 1), 0);
	signal(SIGPIPE, on_sigpipe);
	CHECK_ERR(write(s[1], "x", 1), EPIPE);
	CHECK_EQ(sigpipes, 1);
	CHECK_ERR(send(s[1], "x", 1, MSG_NOSIGNAL), EPIPE);
	CHECK_EQ(sigpipes, 1);
	close(s[1]);
	/* Unread bytes at the end are a reset. */
	socketpair(AF_UNIX, SOCK_STREAM, 0, s);
	write(s[0], "lost", 4);
	close(s[1]);
	CHECK_ERR(read(s[0], buf, 1), ECONNRESET);
	CHECK_EQ(read(s[0], buf, 1), 0);
	close(s[0]);
	CHECK_ERR(send(0, "x", 1, 0), ENOTSOCK);
	CHECK_ERR(send(999, "x", 1, 0), EBADF);
}

static void *reader(void *arg)
{
	static char buf[4000];
	size_t total = 0;
	ssize_t n;

	while ((n = read(*(int *)arg, buf, sizeof(buf))) > 0)
		total += (size_t)n;
	return (void *)total;
}

static void flow(void)
{
	static char big[1 << 20];
	struct timeval tv = {0, 30000};
	pthread_t t;
	void *total;
	ssize_t n;
	int s[2], v;
	socklen_t len = sizeof(v);

	CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, s), 0);
	CHECK_EQ(setsockopt(s[0], SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv)), 0);
	n = send(s[0], big, sizeof(big), 0);
	CHECK(n > 50000 && n < (ssize_t)sizeof(big));
	CHECK_ERR(send(s[0], big, 1, 0), EAGAIN);
	CHECK_ERR(send(s[0], big, 1, MSG_DONTWAIT), EAGAIN);
	CHECK_EQ(ready(s[0], POLLOUT), 0);
	CHECK_EQ(recv(s[1], big, (size_t)n, MSG_WAITALL), n);
	CHECK_EQ(ready(s[0], POLLOUT), POLLOUT);
	tv = (struct timeval){0, 0};
	setsockopt(s[0], SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv));
	pthread_create(&t, NULL, reader, &s[1]);
	CHECK_EQ(write(s[0], big, sizeof(big)), sizeof(big));
	CHECK_EQ(shutdown(s[0], SHUT_WR), 0);
	pthread_join(t, &total);
	CHECK_EQ((size_t)total, sizeof(big));
	CHECK_ERR(send(s[0], "x", 1, MSG_NOSIGNAL), EPIPE);
	CHECK_EQ(write(s[1], "still", 5), 5);
	CHECK_EQ(read(s[0], big, 10), 5);
	CHECK_EQ(ready(s[1], POLLIN | POLLRDHUP), POLLIN | POLLRDHUP);
	CHECK_EQ(shutdown(s[0], SHUT_RD), 0);
	CHECK_ERR(send(s[1], "x", 1, MSG_NOSIGNAL), EPIPE);
	CHECK_ERR(shutdown(s[0], 3), EINVAL);
	tv = (struct timeval){0, 30000};
	close(s[0]);
	close(s[1]);
	socketpair(AF_UNIX, SOCK_STREAM, 0, s);
	setsockopt(s[0], SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
	CHECK_ERR(recv(s[0], big, 1, 0), EAGAIN);
	CHECK_ERR(read(s[0], big, 1), EAGAIN);
	CHECK_EQ(getsockopt(s[0], SOL_SOCKET, SO_SNDBUF, &v, &len), 0);
	CHECK_EQ(v, 212992);
	v = 5000;
	CHECK_EQ(setsockopt(s[0], SOL_SOCKET, SO_SNDBUF, &v, sizeof(v)), 0);
	CHECK_EQ(getsockopt(s[0], SOL_SOCKET, SO_SNDBUF, &v, &len), 0);
	CHECK_EQ(v, 10000);
	close(s[0]);
	close(s[1]);
}

static void options(void)
{
	int s = socket(AF_UNIX, SOCK_STREAM, 0), v;
	struct linger l = {1, 5};
	struct timeval tv;
	socklen_t len = sizeof(v);

	CHECK_EQ(getsockopt(s, SOL_SOCKET, SO_TYPE, &v, &len), 0);
	CHECK_EQ(v, SOCK_STREAM);
	CHECK_EQ(getsockopt(s, SOL_SOCKET, SO_DOMAIN, &v, &len), 0);
	CHECK_EQ(v, AF_UNIX);
	CHECK_EQ(getsockopt(s, SOL_SOCKET, SO_PROTOCOL, &v, &len), 0);
	CHECK_EQ(v, 0);
	CHECK_EQ(getsockopt(s, SOL_SOCKET, SO_ERROR, &v, &len), 0);
	CHECK_EQ(v, 0);
	CHECK_EQ(getsockopt(s, SOL_SOCKET, SO_ACCEPTCONN, &v, &len), 0);
	CHECK_EQ(v, 0);
	v = 1;
	CHECK_EQ(setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &v, sizeof(v)), 0);
	CHECK_EQ(setsockopt(s, SOL_SOCKET, SO_PASSCRED, &v, sizeof(v)), 0);
	v = 0;
	CHECK_EQ(getsockopt(s, SOL_SOCKET, SO_PASSCRED, &v, &len), 0);
	CHECK_EQ(v, 1);
	CHECK_EQ(setsockopt(s, SOL_SOCKET, SO_LINGER, &l, sizeof(l)), 0);
	l.l_linger = 0;
	len = sizeof(l);
	CHECK_EQ(getsockopt(s, SOL_SOCKET, SO_LINGER, &l, &len), 0);
	CHECK_EQ(l.l_linger, 5);
	tv = (struct timeval){3, 500000};
	CHECK_EQ(setsockopt(s, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv)), 0);
	tv.tv_sec = 0;
	len = sizeof(tv);
	CHECK_EQ(getsockopt(s, SOL_SOCKET, SO_RCVTIMEO, &tv, &len), 0);
	CHECK_EQ(tv.tv_sec, 3);
	CHECK_ERR(setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &v, 2), EINVAL);
	CHECK_ERR(setsockopt(s, SOL_SOCKET, 9999, &v, sizeof(v)), ENOPROTOOPT);
	CHECK_ERR(setsockopt(s, 6, 1, &v, sizeof(v)), EOPNOTSUPP);
	len = 2;
	v = 0x55555555;
	CHECK_EQ(getsockopt(s, SOL_SOCKET, SO_TYPE, &v, &len), 0);
	CHECK_EQ(len, 2);
	CHECK_EQ(v, 0x55550001);
	close(s);
}

static void connections(const char *path)
{
	struct sockaddr_un a, b;
	socklen_t len = name(&a, path), blen = sizeof(b);
	int l = socket(AF_UNIX, SOCK_STREAM, 0), c, s, d;
	struct ucred cred;
	char buf[16];

	CHECK_ERR(connect(l, (void *)&a, len), path[0] == '@' ? ECONNREFUSED : ENOENT);
	CHECK_ERR(listen(l, 5), EINVAL);
	CHECK_EQ(bind(l, (void *)&a, len), 0);
	CHECK_ERR(bind(l, (void *)&(struct sockaddr_un){AF_UNIX, "\0other"}, 8), EINVAL);
	d = socket(AF_UNIX, SOCK_STREAM, 0);
	CHECK_ERR(bind(d, (void *)&a, len), EADDRINUSE);
	CHECK_ERR(connect(d, (void *)&a, len), ECONNREFUSED);
	CHECK_ERR(accept(l, NULL, NULL), EINVAL);
	CHECK_EQ(listen(l, 1), 0);
	CHECK_EQ(getsockname(l, (void *)&b, &blen), 0);
	CHECK_EQ(blen, path[0] == '@' ? len
				      : offsetof(struct sockaddr_un, sun_path) + strlen(path) + 1);
	CHECK_EQ(memcmp(&a, &b, blen), 0);
	CHECK_ERR(getpeername(l, (void *)&b, &blen), ENOTCONN);
	CHECK_EQ(ready(l, POLLIN | POLLOUT), 0);
	c = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
	CHECK_EQ(ready(c, POLLIN | POLLOUT), POLLOUT | POLLHUP);
	CHECK_ERR(send(c, "x", 1, 0), ENOTCONN);
	CHECK_ERR(recv(c, buf, 1, 0), EINVAL);
	CHECK_EQ(connect(c, (void *)&a, len), 0);
	CHECK_ERR(connect(c, (void *)&a, len), EISCONN);
	/* Before anyone has accepted. */
	CHECK_EQ(write(c, "early", 5), 5);
	CHECK_EQ(ready(l, POLLIN), POLLIN);
	blen = sizeof(b);
	s = accept4(l, (void *)&b, &blen, SOCK_NONBLOCK);
	CHECK(s >= 0);
	CHECK_EQ(blen, 2);
	CHECK_EQ(b.sun_family, AF_UNIX);
	CHECK_EQ(read(s, buf, 16), 5);
	blen = sizeof(b);
	CHECK_EQ(getpeername(c, (void *)&b, &blen), 0);
	CHECK_EQ(memcmp(&a, &b, blen), 0);
	CHECK_EQ(getsockname(c, (void *)&b, &blen), 0);
	CHECK_EQ(blen, 2);
	blen = sizeof(cred);
	CHECK_EQ(getsockopt(c, SOL_SOCKET, SO_PEERCRED, &cred, &blen), 0);
	CHECK_EQ(cred.pid, getpid());
	CHECK_EQ(cred.uid, getuid());
	CHECK_EQ(send(s, "late", 4, 0), 4);
	CHECK_EQ(recv(c, buf, 16, 0), 4);
	close(s);
	CHECK_EQ(read(c, buf, 1), 0);
	close(c);
	/* The queue is full: a client that doesn't wait hears so, another one waits. */
	for (int i = 0; i < 2; i++)
		CHECK_EQ(connect(socket(AF_UNIX, SOCK_STREAM, 0), (void *)&a, len), 0);
	c = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
	CHECK_ERR(connect(c, (void *)&a, len), EAGAIN);
	if (fork() == 0) {
		int e = socket(AF_UNIX, SOCK_STREAM, 0);

		_exit(connect(e, (void *)&a, len) == 0 && write(e, "w", 1) == 1 ? 0 : 1);
	}
	usleep(20000);
	for (int i = 0; i < 3; i++) {
		s = accept(l, NULL, NULL);
		CHECK(s >= 0);
	}
	CHECK_EQ(read(s, buf, 2), 1);
	int status;

	wait(&status);
	CHECK_EQ(status, 0);
	/* A listener that goes resets who waits. */
	CHECK_EQ(connect(c, (void *)&a, len), 0);
	close(l);
	CHECK_EQ(ready(c, POLLIN), POLLIN | POLLHUP | POLLERR);
	CHECK_ERR(read(c, buf, 1), ECONNRESET);
	CHECK_ERR(connect(d, (void *)&a, len), ECONNREFUSED);
	close(d);
	d = socket(AF_UNIX, SOCK_DGRAM, 0);
	if (path[0] != '@') {
		struct stat st;

		CHECK_EQ(stat(path, &st), 0);
		CHECK(S_ISSOCK(st.st_mode));
		CHECK_ERR(open(path, O_RDWR), ENXIO);
		unlink(path);
	}
	close(d);
	for (int fd = 3; fd < 30; fd++)
		close(fd);
}

static void names(void)
{
	struct sockaddr_un a, b;
	socklen_t len = sizeof(b);
	int s = socket(AF_UNIX, SOCK_STREAM, 0), d;

	/* Autobind: five hexadecimal digits. */
	a.sun_family = AF_UNIX;
	CHECK_EQ(bind(s, (void *)&a, 2), 0);
	CHECK_EQ(getsockname(s, (void *)&b, &len), 0);
	CHECK_EQ(len, 8);
	CHECK_EQ(b.sun_path[0], 0);
	a.sun_family = AF_INET;
	d = socket(AF_UNIX, SOCK_STREAM, 0);
	CHECK_ERR(bind(d, (void *)&a, sizeof(a)), EINVAL);
	CHECK_ERR(bind(d, (void *)&a, 1000), EINVAL);
	name(&a, "/nonexistent/socket");
	CHECK_ERR(bind(d, (void *)&a, sizeof(a)), ENOENT);
	close(open("plain-file", O_WRONLY | O_CREAT, 0600));
	name(&a, "plain-file");
	CHECK_ERR(connect(d, (void *)&a, sizeof(a)), ECONNREFUSED);
	unlink("plain-file");
	/* The wrong type of socket. */
	len = name(&a, "type.sock");
	unlink("type.sock");
	CHECK_EQ(bind(d, (void *)&a, len), 0);
	CHECK_EQ(listen(d, 1), 0);
	close(s);
	s = socket(AF_UNIX, SOCK_DGRAM, 0);
	CHECK_ERR(connect(s, (void *)&a, len), EPROTOTYPE);
	close(s);
	/* Who may not write to the inode may not connect. */
	if (getuid() == 0) {
		chmod("type.sock", 0600);
		if (fork() == 0) {
			s = socket(AF_UNIX, SOCK_STREAM, 0);
			if (setuid(1000))
				_exit(2);
			errno = 0;
			connect(s, (void *)&a, len);
			_exit(errno == EACCES ? 0 : 1);
		}
		int status;

		wait(&status);
		CHECK_EQ(status, 0);
	}
	/* A renamed inode is found under its new name. */
	CHECK_EQ(rename("type.sock", "type2.sock"), 0);
	len = name(&a, "type2.sock");
	s = socket(AF_UNIX, SOCK_STREAM, 0);
	CHECK_EQ(connect(s, (void *)&a, len), 0);
	close(s);
	close(d);
	unlink("type2.sock");
}

static void edges(void)
{
	struct epoll_event ev = {.events = EPOLLIN | EPOLLOUT | EPOLLET | EPOLLRDHUP};
	int s[2], ep = epoll_create1(0);
	char buf[8];

	socketpair(AF_UNIX, SOCK_STREAM, 0, s);
	CHECK_EQ(epoll_ctl(ep, EPOLL_CTL_ADD, s[0], &ev), 0);
	CHECK_EQ(epoll_wait(ep, &ev, 1, 0), 1);
	CHECK_EQ(ev.events, EPOLLOUT);
	CHECK_EQ(epoll_wait(ep, &ev, 1, 0), 0);
	write(s[1], "1", 1);
	CHECK_EQ(epoll_wait(ep, &ev, 1, 0), 1);
	CHECK_EQ(ev.events, EPOLLIN | EPOLLOUT);
	write(s[1], "2", 1);
	CHECK_EQ(epoll_wait(ep, &ev, 1, 0), 1);
	CHECK_EQ(read(s[0], buf, 8), 2);
	CHECK_EQ(epoll_wait(ep, &ev, 1, 0), 0);
	shutdown(s[1], SHUT_WR);
	CHECK_EQ(epoll_wait(ep, &ev, 1, 0), 1);
	CHECK_EQ(ev.events, EPOLLIN | EPOLLOUT | EPOLLRDHUP);
	close(s[1]);
	CHECK_EQ(epoll_wait(ep, &ev, 1, 0), 1);
	CHECK_EQ(ev.events, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLHUP);
	close(s[0]);
	close(ep);
}

/* connect(2) gives up again and again while another thread uses the socket. */
static volatile int connects_done;

static void *use_unconnected(void *arg)
{
	int s = *(int *)arg, v;
	char c;

	while (!connects_done) {
		CHECK_EQ(recv(s, &c, 1, MSG_DONTWAIT), -1);
		CHECK_EQ(send(s, "x", 1, MSG_DONTWAIT | MSG_NOSIGNAL), -1);
		ioctl(s, SIOCOUTQ, &v);
		ready(s, POLLIN | POLLOUT);
	}
	return NULL;
}

static void used_while_connecting(int type)
{
	struct sockaddr_un a = {AF_UNIX, ""};
	socklen_t len = sizeof(a);
	int l = socket(AF_UNIX, type, 0), c = socket(AF_UNIX, type, 0);
	int s = socket(AF_UNIX, type, 0);
	struct timeval tv = {0, 1000};
	pthread_t t;

	CHECK_EQ(bind(l, (void *)&a, sizeof(sa_family_t)), 0); /* any abstract name */
	CHECK_EQ(getsockname(l, (void *)&a, &len), 0);
	CHECK_EQ(listen(l, 0), 0);
	CHECK_EQ(connect(c, (void *)&a, len), 0);
	CHECK_EQ(setsockopt(s, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv)), 0);
	connects_done = 0;
	pthread_create(&t, NULL, use_unconnected, &s);
	for (int i = 0; i < 50; i++)
		CHECK_ERR(connect(s, (void *)&a, len), EAGAIN);
	CHECK_EQ(fcntl(s, F_SETFL, O_NONBLOCK), 0);
	for (int i = 0; i < 2000; i++)
		CHECK_ERR(connect(s, (void *)&a, len), EAGAIN);
	connects_done = 1;
	pthread_join(t, NULL);
	close(s);
	close(c);
	close(l);
}

int main(void)
{
	char abstract[64]; /* a name of the whole network namespace */

	snprintf(abstract, sizeof(abstract), "@sentry-stream-test-%d", getpid());
	pairs();
	flow();
	options();
	unlink("stream.sock");
	connections("stream.sock");
	connections(abstract);
	names();
	edges();
	used_while_connecting(SOCK_STREAM);
	used_while_connecting(SOCK_SEQPACKET);
	return check_status();
}
