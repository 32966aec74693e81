/* splice(2) and sendfile(2) into pipes: what there is no room for stays where it was. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/guest/check.h"

#define BIG (8u << 20)
#define ROOM 65536

static uint8_t byte_at(size_t i)
{
	return (uint8_t)(i * 31 + (i >> 8) * 7 + (i >> 16));
}

static void fill(uint8_t *buf, size_t from, size_t n)
{
	for (size_t i = 0; i < n; i++)
		buf[i] = byte_at(from + i);
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

static void unix_pair(int sv[2])
{
	REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv) == 0);
}

static void *send_all(void *arg)
{
	int fd = *(int *)arg;
	uint8_t buf[50000];
	size_t done = 0;

	while (done < BIG) {
		size_t n = BIG - done < sizeof(buf) ? BIG - done : sizeof(buf);
		ssize_t r;

		fill(buf, done, n);
		r = write(fd, buf, n);
		REQUIRE(r > 0);
		done += (size_t)r;
	}
	shutdown(fd, SHUT_WR);
	return NULL;
}

static void *receive_all(void *arg)
{
	int fd = *(int *)arg;
	uint8_t buf[30000];
	size_t done = 0, wrong = 0;
	ssize_t r;

	while ((r = read(fd, buf, sizeof(buf))) > 0)
		for (ssize_t i = 0; i < r; i++)
			wrong += buf[i] != byte_at(done++);
	CHECK_EQ(wrong, 0);
	CHECK_EQ(done, BIG);
	return NULL;
}

/* From a socket through a pipe, which is never emptied before more is asked for, into another. */
static void relay(void (*pair)(int sv[2]), unsigned flags)
{
	int up[2], down[2], p[2];
	size_t in_pipe = 0, in = 0, out = 0;
	pthread_t sender, receiver;
	bool end = false;

	pair(up);
	pair(down);
	REQUIRE(pipe2(p, O_CLOEXEC) == 0);
	pthread_create(&sender, NULL, send_all, &up[0]);
	pthread_create(&receiver, NULL, receive_all, &down[1]);
	while (!end || in_pipe) {
		ssize_t r = end ? 0 : splice(up[1], NULL, p[1], NULL, BIG, in_pipe ? flags | SPLICE_F_NONBLOCK : flags);

		if (r > 0)
			in += (size_t)r, in_pipe += (size_t)r;
		else if (r == 0)
			end = true;
		else
			REQUIRE(errno == EAGAIN && in_pipe);
		if (!in_pipe)
			continue;
		r = splice(p[0], NULL, down[0], NULL, in_pipe / 2 + 1, 0);
		REQUIRE(r > 0);
		out += (size_t)r, in_pipe -= (size_t)r;
	}
	CHECK_EQ(in, BIG);
	CHECK_EQ(out, BIG);
	shutdown(down[0], SHUT_WR);
	pthread_join(sender, NULL);
	pthread_join(receiver, NULL);
	for (int i = 0; i < 2; i++) {
		close(up[i]);
		close(down[i]);
		close(p[i]);
	}
}

static void full_pipe(void)
{
	uint8_t *buf = malloc(BIG);
	int sv[2], p[2];
	ssize_t r;

	unix_pair(sv);
	REQUIRE(buf && pipe2(p, O_CLOEXEC) == 0);
	memset(buf, 1, ROOM);
	CHECK_EQ(write(p[1], buf, ROOM), ROOM);
	fill(buf, 0, 1000);
	CHECK_EQ(write(sv[0], buf, 1000), 1000);
	CHECK_ERR(splice(sv[1], NULL, p[1], NULL, 1000, SPLICE_F_NONBLOCK), EAGAIN);
	CHECK_EQ(read(p[0], buf, ROOM), ROOM);
	CHECK_EQ(splice(sv[1], NULL, p[1], NULL, 5000, SPLICE_F_NONBLOCK), 1000);
	CHECK_EQ(read(p[0], buf, ROOM), 1000);
	for (int i = 0; i < 1000; i++)
		CHECK(buf[i] == byte_at((size_t)i));
	fcntl(sv[1], F_SETFL, O_NONBLOCK);
	CHECK_ERR(splice(sv[1], NULL, p[1], NULL, 5000, 0), EAGAIN);
	close(sv[0]);
	r = splice(sv[1], NULL, p[1], NULL, 5000, 0);
	CHECK_EQ(r, 0);
	close(p[0]);
	signal(SIGPIPE, SIG_IGN);
	close(sv[1]);
	unix_pair(sv);
	CHECK_EQ(write(sv[0], buf, 10), 10);
	CHECK_ERR(splice(sv[1], NULL, p[1], NULL, 10, 0), EPIPE);
	close(p[1]);
	close(sv[0]);
	close(sv[1]);
	free(buf);
}

/* A file gives what there is room for, and does not wait for more. */
static void file_to_pipe(void)
{
	char name[] = "/tmp/spliceXXXXXX";
	int fd = mkstemp(name), p[2];
	uint8_t *buf = malloc(BIG);
	loff_t off = 100;
	off_t at = 7;

	REQUIRE(fd >= 0 && buf);
	unlink(name);
	fill(buf, 0, 4 * ROOM);
	CHECK(write(fd, buf, 4 * ROOM) == 4 * ROOM);
	REQUIRE(pipe2(p, O_CLOEXEC) == 0);
	alarm(20);
	CHECK_EQ(lseek(fd, 0, SEEK_SET), 0);
	CHECK_EQ(splice(fd, NULL, p[1], NULL, 4 * ROOM, 0), ROOM);
	CHECK_EQ(lseek(fd, 0, SEEK_CUR), ROOM);
	CHECK_ERR(splice(fd, NULL, p[1], NULL, 4 * ROOM, SPLICE_F_NONBLOCK), EAGAIN);
	CHECK_EQ(read(p[0], buf, BIG), ROOM);
	CHECK(buf[0] == byte_at(0) && buf[ROOM - 1] == byte_at(ROOM - 1));
	CHECK_EQ(sendfile(p[1], fd, NULL, 4 * ROOM), ROOM);
	CHECK_EQ(lseek(fd, 0, SEEK_CUR), 2 * ROOM);
	CHECK_EQ(read(p[0], buf, BIG), ROOM);
	CHECK(buf[5] == byte_at(ROOM + 5));
	CHECK_EQ(splice(fd, &off, p[1], NULL, 50, 0), 50);
	CHECK_EQ(off, 150);
	CHECK_EQ(sendfile(p[1], fd, &at, 50), 50);
	CHECK_EQ(at, 57);
	CHECK_EQ(lseek(fd, 0, SEEK_CUR), 2 * ROOM);
	CHECK_EQ(read(p[0], buf, BIG), 100);
	CHECK(buf[0] == byte_at(100) && buf[50] == byte_at(7));
	alarm(0);
	close(fd);
	close(p[0]);
	close(p[1]);
	free(buf);
}

static void sources_that_cannot_seek(void)
{
	int sv[2], p[2], fd = open("/dev/null", O_WRONLY);

	unix_pair(sv);
	REQUIRE(pipe2(p, O_CLOEXEC) == 0);
	CHECK_EQ(write(sv[0], "abc", 3), 3);
	CHECK_EQ(write(p[1], "abc", 3), 3);
	CHECK_ERR(sendfile(fd, sv[1], NULL, 3), EINVAL);
	CHECK_ERR(sendfile(fd, p[0], NULL, 3), EINVAL);
	close(fd);
	close(sv[0]);
	close(sv[1]);
	close(p[0]);
	close(p[1]);
}

static void *drain_late(void *arg)
{
	char buf[ROOM];

	usleep(50000);
	CHECK_EQ(read(*(int *)arg, buf, ROOM), ROOM);
	return NULL;
}

static void waits_for_room(void)
{
	char buf[ROOM] = {0};
	pthread_t reader;
	int sv[2], p[2];

	unix_pair(sv);
	REQUIRE(pipe2(p, O_CLOEXEC) == 0);
	CHECK_EQ(write(p[1], buf, ROOM), ROOM);
	CHECK_EQ(write(sv[0], "abc", 3), 3);
	pthread_create(&reader, NULL, drain_late, &p[0]);
	CHECK_EQ(splice(sv[1], NULL, p[1], NULL, 100, 0), 3);
	pthread_join(reader, NULL);
	CHECK_EQ(read(p[0], buf, ROOM), 3);
	CHECK_EQ(memcmp(buf, "abc", 3), 0);
	close(sv[0]);
	close(sv[1]);
	close(p[0]);
	close(p[1]);
}

int main(void)
{
	relay(tcp_pair, 0);
	relay(unix_pair, 0);
	relay(unix_pair, SPLICE_F_MOVE | SPLICE_F_MORE);
	full_pipe();
	file_to_pipe();
	sources_that_cannot_seek();
	waits_for_room();
	return check_status();
}
