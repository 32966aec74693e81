/* Writes of more than fits to an end that is closed, or closes meanwhile: how much, which error, and when SIGPIPE. */
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/guest/check.h"

#define MUCH (64u << 20)

static volatile sig_atomic_t signals;
static char *data;

static void on_sigpipe(int sig)
{
	signals++;
}

static void tcp_pair(int sv[2])
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
	socklen_t len = sizeof(a);
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	REQUIRE(bind(listener, (void *)&a, len) == 0 && listen(listener, 1) == 0);
	REQUIRE(getsockname(listener, (void *)&a, &len) == 0);
	sv[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	REQUIRE(connect(sv[0], (void *)&a, len) == 0);
	sv[1] = accept(listener, NULL, NULL);
	REQUIRE(sv[1] >= 0);
	close(listener);
}

static void expect_sigpipes(int n)
{
	CHECK_EQ(signals, n);
	signals = 0;
}

static void expect_part(int fd)
{
	ssize_t r = write(fd, data, MUCH);

	CHECK(r > 0 && r < (ssize_t)MUCH);
}

static short events(int fd)
{
	struct pollfd p = {fd, POLLIN | POLLOUT | POLLRDHUP, 0};

	CHECK(poll(&p, 1, 0) == 1);
	return p.revents;
}

static int error_of(int fd)
{
	socklen_t len = sizeof(int);
	int err = -1;

	CHECK(getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &len) == 0);
	return err;
}

static void closed_before(void)
{
	char c;
	int sv[2];

	tcp_pair(sv);
	close(sv[1]);
	usleep(10000);
	expect_part(sv[0]);
	expect_sigpipes(0);
	usleep(10000);
	CHECK_EQ(events(sv[0]), POLLIN | POLLOUT | POLLERR | POLLHUP | POLLRDHUP);
	CHECK_EQ(error_of(sv[0]), EPIPE);
	CHECK_EQ(error_of(sv[0]), 0);
	CHECK_EQ(events(sv[0]), POLLIN | POLLOUT | POLLHUP | POLLRDHUP);
	CHECK_ERR(write(sv[0], "x", 1), EPIPE);
	expect_sigpipes(1);
	CHECK_EQ(read(sv[0], &c, 1), 0);
	close(sv[0]);

	tcp_pair(sv);
	close(sv[1]);
	usleep(10000);
	CHECK_EQ(write(sv[0], "x", 1), 1);
	usleep(10000);
	CHECK_ERR(write(sv[0], "x", 1), EPIPE);
	expect_sigpipes(1);
	CHECK_EQ(error_of(sv[0]), 0);
	close(sv[0]);
}

static void *read_and_close(void *arg)
{
	int fd = *(int *)arg;
	char buf[1000];

	usleep(50000);
	CHECK(read(fd, buf, sizeof(buf)) > 0);
	close(fd);
	return NULL;
}

/* The reader closes while the write waits; fds: to write to and to read from. */
static void closed_meanwhile(int to, int from, int next_error, int sigpipes, int next_sigpipes)
{
	pthread_t reader;

	pthread_create(&reader, NULL, read_and_close, &from);
	expect_part(to);
	expect_sigpipes(sigpipes);
	CHECK_ERR(write(to, "x", 1), next_error);
	expect_sigpipes(next_sigpipes);
	pthread_join(reader, NULL);
	close(to);
}

int main(void)
{
	int fds[2];

	signal(SIGPIPE, on_sigpipe);
	data = calloc(1, MUCH);
	REQUIRE(data);
	closed_before();
	tcp_pair(fds);
	closed_meanwhile(fds[0], fds[1], ECONNRESET, 0, 0);
	REQUIRE(socketpair(AF_UNIX, SOCK_STREAM, 0, fds) == 0);
	closed_meanwhile(fds[0], fds[1], EPIPE, 0, 1);
	REQUIRE(pipe(fds) == 0);
	closed_meanwhile(fds[1], fds[0], EPIPE, 1, 1);
	return check_status();
}
