/* Unix sockets: descriptors and credentials on the way. */
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/guest/check.h"

static union {
	struct cmsghdr align;
	char buf[2048];
} ctl;

static ssize_t send_fds(int s, const char *text, size_t len, const int *fds, int n)
{
	struct iovec iov = {(void *)text, len};
	struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = ctl.buf,
			   .msg_controllen = CMSG_SPACE((size_t)n * sizeof(int))};
	struct cmsghdr *c;

	memset(&ctl, 0, sizeof(ctl));
	c = CMSG_FIRSTHDR(&m);
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN((size_t)n * sizeof(int));
	memcpy(CMSG_DATA(c), fds, (size_t)n * sizeof(int));
	return sendmsg(s, &m, 0);
}

/* Receives; the descriptors into fds, their number in *n. */
static ssize_t recv_fds(int s, char *buf, size_t len, int *fds, int *n, size_t room, int flags,
			int *out_flags)
{
	struct iovec iov = {buf, len};
	struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = ctl.buf,
			   .msg_controllen = room};
	ssize_t r = recvmsg(s, &m, flags);

	*n = 0;
	if (r < 0)
		return r;
	if (out_flags)
		*out_flags = m.msg_flags;
	for (struct cmsghdr *c = CMSG_FIRSTHDR(&m); c; c = CMSG_NXTHDR(&m, c))
		if (c->cmsg_type == SCM_RIGHTS) {
			*n = (int)((c->cmsg_len - CMSG_LEN(0)) / sizeof(int));
			memcpy(fds, CMSG_DATA(c), (size_t)*n * sizeof(int));
		}
	return r;
}

static void rights(int type)
{
	int s[2], p[2], fds[8], n, flags;
	char buf[32];

	REQUIRE(socketpair(AF_UNIX, type, 0, s) == 0);
	REQUIRE(pipe(p) == 0);
	CHECK_EQ(send_fds(s[0], "fds", 3, p, 2), 3);
	CHECK_EQ(recv_fds(s[1], buf, 32, fds, &n, sizeof(ctl), MSG_CMSG_CLOEXEC, &flags), 3);
	CHECK_EQ(n, 2);
	CHECK_EQ(flags, MSG_CMSG_CLOEXEC);
	CHECK_EQ(fcntl(fds[0], F_GETFD), FD_CLOEXEC);
	CHECK_EQ(write(fds[1], "x", 1), 1);
	CHECK_EQ(read(p[0], buf, 1), 1);
	close(fds[0]);
	close(fds[1]);
	/* In flight they stay open; who closes the socket closes them. */
	CHECK_EQ(send_fds(s[0], "w", 1, &p[1], 1), 1);
	close(p[1]);
	CHECK_EQ(fcntl(p[0], F_SETFL, O_NONBLOCK), 0);
	CHECK_ERR(read(p[0], buf, 1), EAGAIN);
	CHECK_EQ(recv(s[1], buf, 1, MSG_PEEK), 1);
	CHECK_EQ(recv(s[1], buf, 1, 0), 1);
	CHECK_EQ(read(p[0], buf, 1), 0);
	close(p[0]);
	/* Peeked descriptors are copies. */
	n = 0;
	int fd = open("/etc/passwd", O_RDONLY);

	CHECK_EQ(send_fds(s[0], "p", 1, &fd, 1), 1);
	CHECK_EQ(recv_fds(s[1], buf, 8, fds, &n, sizeof(ctl), MSG_PEEK, NULL), 1);
	CHECK_EQ(n, 1);
	close(fds[0]);
	CHECK_EQ(recv_fds(s[1], buf, 8, fds, &n, sizeof(ctl), 0, NULL), 1);
	CHECK_EQ(n, 1);
	CHECK_EQ(read(fds[0], buf, 4), 4);
	close(fds[0]);
	/* No room for all. */
	CHECK_EQ(send_fds(s[0], "t", 1, (int[]){fd, fd, fd}, 3), 1);
	CHECK_EQ(recv_fds(s[1], buf, 8, fds, &n, CMSG_LEN(sizeof(int)), 0, &flags), 1);
	CHECK_EQ(n, 1);
	CHECK(flags & MSG_CTRUNC);
	close(fds[0]);
	CHECK_ERR(send_fds(s[0], "b", 1, (int[]){999}, 1), EBADF);
	int many[254];

	for (int i = 0; i < 254; i++)
		many[i] = fd;
	CHECK_ERR(send_fds(s[0], "m", 1, many, 254), EINVAL);
	CHECK_EQ(send_fds(s[0], "m", 1, many, 253), 1);
	CHECK_EQ(recv(s[1], buf, 8, 0), 1);
	close(fd);
	close(s[0]);
	close(s[1]);
}

/* Bytes that came with descriptors are not read together with what was sent after. */
static void boundaries(void)
{
	int s[2], fds[8], n;
	char buf[64];

	REQUIRE(socketpair(AF_UNIX, SOCK_STREAM, 0, s) == 0);
	CHECK_EQ(write(s[0], "before", 6), 6);
	CHECK_EQ(send_fds(s[0], "with", 4, &s[0], 1), 4);
	CHECK_EQ(write(s[0], "after", 5), 5);
	CHECK_EQ(recv_fds(s[1], buf, 64, fds, &n, sizeof(ctl), 0, NULL), 10);
	CHECK_EQ(n, 1);
	close(fds[0]);
	CHECK_EQ(recv_fds(s[1], buf, 64, fds, &n, sizeof(ctl), 0, NULL), 5);
	CHECK_EQ(n, 0);
	close(s[0]);
	close(s[1]);
}

static void credentials(int type)
{
	struct iovec iov = {(char[16]){0}, 16};
	struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1};
	struct ucred cred = {getpid(), getuid(), getgid()};
	struct cmsghdr *c;
	int s[2], one = 1, status;
	pid_t pid;

	REQUIRE(socketpair(AF_UNIX, type, 0, s) == 0);
	CHECK_EQ(setsockopt(s[1], SOL_SOCKET, SO_PASSCRED, &one, sizeof(one)), 0);
	pid = fork();
	if (pid == 0)
		_exit(write(s[0], "child", 5) == 5 ? 0 : 1);
	waitpid(pid, &status, 0);
	CHECK_EQ(write(s[0], "parent", 6), 6);
	for (int i = 0; i < 2; i++) {
		m.msg_control = ctl.buf;
		m.msg_controllen = sizeof(ctl);
		CHECK_EQ(recvmsg(s[1], &m, 0), i ? 6 : 5);
		c = CMSG_FIRSTHDR(&m);
		CHECK(c && c->cmsg_type == SCM_CREDENTIALS);
		if (!c)
			return;
		memcpy(&cred, CMSG_DATA(c), sizeof(cred));
		CHECK_EQ(cred.pid, i ? getpid() : pid);
		CHECK_EQ(cred.uid, getuid());
		CHECK_EQ(cred.gid, getgid());
	}
	/* Given by the sender; a stranger's are refused. */
	m.msg_control = ctl.buf;
	m.msg_controllen = CMSG_SPACE(sizeof(cred));
	c = CMSG_FIRSTHDR(&m);
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_CREDENTIALS;
	c->cmsg_len = CMSG_LEN(sizeof(cred));
	cred = (struct ucred){getpid(), getuid(), getgid()};
	memcpy(CMSG_DATA(c), &cred, sizeof(cred));
	CHECK_EQ(sendmsg(s[0], &m, 0), 16);
	CHECK_EQ(recv(s[1], ctl.buf, 16, 0), 16);
	if (fork() == 0) {
		if (getuid() == 0 && setuid(1000))
			_exit(2);
		cred.pid = 1;
		memcpy(CMSG_DATA(c), &cred, sizeof(cred));
		m.msg_control = ctl.buf;
		m.msg_controllen = CMSG_SPACE(sizeof(cred));
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_CREDENTIALS;
		c->cmsg_len = CMSG_LEN(sizeof(cred));
		memcpy(CMSG_DATA(c), &cred, sizeof(cred));
		errno = 0;
		_exit(sendmsg(s[0], &m, 0) == -1 && errno == EPERM ? 0 : 1);
	}
	wait(&status);
	CHECK_EQ(status, 0);
	close(s[0]);
	close(s[1]);
}

/* Sockets that hold only each other are collected; chains of them fall without bringing the kernel
 * down. */
static void cycles(void)
{
	int s[2], n, prev, fds[4], p[2];
	char buf[8];

	REQUIRE(pipe2(p, O_NONBLOCK) == 0);
	for (int i = 0; i < 300; i++) {
		REQUIRE(socketpair(AF_UNIX, SOCK_STREAM, 0, s) == 0);
		CHECK_EQ(send_fds(s[0], "a", 1, &s[1], 1), 1);
		CHECK_EQ(send_fds(s[1], "b", 1, (int[]){s[0], p[1]}, 2), 1);
		close(s[0]);
		close(s[1]);
	}
	/* All of the pipe's writers in flight are gone, once someone looks. */
	close(p[1]);
	socketpair(AF_UNIX, SOCK_STREAM, 0, s);
	send_fds(s[0], "a", 1, &s[1], 1);
	close(s[0]);
	close(s[1]);
	errno = 0;
	for (int i = 0; i < 2000 && (n = (int)read(p[0], buf, 1)) != 0; i++)
		usleep(10000);
	CHECK_EQ(n, 0);
	close(p[0]);
	prev = open("/etc/passwd", O_RDONLY);
	for (int i = 0; i < 500; i++) {
		REQUIRE(socketpair(AF_UNIX, SOCK_DGRAM, 0, s) == 0);
		CHECK_EQ(send_fds(s[0], "c", 1, &prev, 1), 1);
		close(prev);
		close(s[0]);
		prev = s[1];
	}
	for (int i = 0; i < 10; i++) {
		CHECK_EQ(recv_fds(prev, buf, 8, fds, &n, sizeof(ctl), 0, NULL), 1);
		CHECK_EQ(n, 1);
		close(prev);
		prev = fds[0];
	}
	close(prev);
}

/* Where the data, the name or the control buffer can't be written. */
static void bad_addresses(int type)
{
	char *page = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), *end = page + 4096;
	struct sockaddr_un a = {.sun_family = AF_UNIX}, from;
	int s[2], fds[8], n, on = 1;
	socklen_t len = sizeof(from);
	char buf[32];
	struct iovec iov = {buf, 16};
	struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1};

	REQUIRE(munmap(end, 4096) == 0);
	REQUIRE(socketpair(AF_UNIX, type, 0, s) == 0);
	/* A stream keeps all, of others the whole message is lost. */
	CHECK_EQ(send_fds(s[0], "data", 4, s, 1), 4);
	CHECK_ERR(recv_fds(s[1], (char *)8, 16, fds, &n, sizeof(ctl), 0, NULL), EFAULT);
	if (type == SOCK_STREAM) {
		CHECK_EQ(recv_fds(s[1], buf, 16, fds, &n, sizeof(ctl), 0, NULL), 4);
		CHECK_EQ(n, 1);
		close(fds[0]);
	}
	CHECK_ERR(recv(s[1], buf, 16, MSG_DONTWAIT), EAGAIN);
	/* Descriptors that can't be told are closed, and the call says no more than MSG_CTRUNC. */
	for (int i = 0; i < 2; i++) {
		m.msg_control = i ? end - sizeof(struct cmsghdr) : (void *)8;
		m.msg_controllen = 64;
		CHECK_EQ(send_fds(s[0], "data", 4, s, 2), 4);
		CHECK_EQ(recvmsg(s[1], &m, 0), 4);
		CHECK_EQ(m.msg_flags, MSG_CTRUNC);
		CHECK_EQ(m.msg_controllen, 0);
		CHECK_ERR(fcntl(s[1] + 1, F_GETFD), EBADF);
	}
	/* One of two can. */
	m.msg_control = end - sizeof(struct cmsghdr) - sizeof(int);
	m.msg_controllen = 64;
	CHECK_EQ(send_fds(s[0], "data", 4, s, 2), 4);
	CHECK_EQ(recvmsg(s[1], &m, 0), 4);
	CHECK_EQ(m.msg_flags, MSG_CTRUNC);
	CHECK_EQ(m.msg_controllen, CMSG_LEN(sizeof(int)) + 4);
	m.msg_controllen = CMSG_LEN(sizeof(int));
	CHECK_EQ(CMSG_FIRSTHDR(&m)->cmsg_len, CMSG_LEN(sizeof(int)));
	memcpy(fds, CMSG_DATA(CMSG_FIRSTHDR(&m)), sizeof(int));
	CHECK_EQ(close(fds[0]), 0);
	/* What comes before is left out, what comes behind is written in its place. */
	setsockopt(s[1], SOL_SOCKET, SO_PASSCRED, &on, sizeof(on));
	m.msg_control = end - CMSG_LEN(sizeof(int));
	m.msg_controllen = 64;
	CHECK_EQ(send_fds(s[0], "data", 4, s, 1), 4);
	CHECK_EQ(recvmsg(s[1], &m, 0), 4);
	CHECK_EQ(m.msg_flags, 0);
	CHECK_EQ(CMSG_FIRSTHDR(&m)->cmsg_type, SCM_RIGHTS);
	CHECK_EQ(close(s[1] + 1), 0);
	/* All has been received when the name is told: descriptors are there. */
	CHECK_EQ(bind(s[0], (void *)&a, sizeof(sa_family_t)), 0);
	m = (struct msghdr){.msg_name = (void *)8, .msg_namelen = 64, .msg_iov = &iov, .msg_iovlen = 1,
			    .msg_control = ctl.buf, .msg_controllen = sizeof(ctl)};
	CHECK_EQ(send_fds(s[0], "data", 4, s, 1), 4);
	m.msg_control = ctl.buf;
	CHECK_ERR(recvmsg(s[1], &m, 0), EFAULT);
	CHECK_EQ(close(s[1] + 1), 0);
	CHECK_ERR(recv(s[1], buf, 16, MSG_DONTWAIT), EAGAIN);
	m.msg_namelen = -1;
	CHECK_EQ(send_fds(s[0], "data", 4, s, 1), 4);
	CHECK_ERR(recvmsg(s[1], &m, 0), EINVAL);
	CHECK_EQ(recvfrom(s[1], buf, 16, 0, (void *)&from, &len), 4);
	CHECK_EQ(len, sizeof(sa_family_t) + 6);
	CHECK_EQ(from.sun_family, AF_UNIX);
	CHECK_EQ(from.sun_path[0], 0);
	CHECK_ERR(fcntl(s[1] + 1, F_GETFD), EBADF);
	munmap(page, 4096);
	close(s[0]);
	close(s[1]);
}

int main(void)
{
	rights(SOCK_STREAM);
	rights(SOCK_DGRAM);
	rights(SOCK_SEQPACKET);
	boundaries();
	credentials(SOCK_STREAM);
	credentials(SOCK_DGRAM);
	cycles();
	bad_addresses(SOCK_STREAM);
	bad_addresses(SOCK_DGRAM);
	bad_addresses(SOCK_SEQPACKET);
	return check_status();
}
