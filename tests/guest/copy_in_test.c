/* Arguments in memory at the edge of what the program may read: paths, buffers, structures, vectors and
 * messages that end with their page, or go on behind it where nothing is. */
#include "tests/guest/check.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define PAGE 4096

/* The end of a page behind which there is nothing. */
static char *edge(void)
{
	char *p = mmap(NULL, 3 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	REQUIRE(p != MAP_FAILED && munmap(p + 2 * PAGE, PAGE) == 0);
	return p + 2 * PAGE;
}

/* n bytes that end with the page. */
static void *at_edge(char *end, const void *what, size_t n)
{
	return memcpy(end - n, what, n);
}

static void test_paths(char *end)
{
	struct stat st;
	char name[64], *p;

	for (int n = 1; n < 300; n += n < 10 ? 1 : 37) {
		p = end - n;
		memset(p, 'a', (size_t)n);
		CHECK_ERR(stat(p, &st), EFAULT);
		CHECK_ERR(open(p, O_RDONLY), EFAULT);
		CHECK_ERR(rename("/", p), EFAULT);
		end[-1] = 0;
		CHECK_ERR(access(p, F_OK), n > 256 ? ENAMETOOLONG : ENOENT);
	}
	p = at_edge(end, "/", 2);
	CHECK_EQ(stat(p, &st), 0);
	snprintf(name, sizeof(name), "copy_in_%d", getpid());
	p = at_edge(end, name, strlen(name) + 1);
	CHECK_EQ(mkdir(p, 0700), 0);
	strcat(name, "x");
	CHECK_EQ(rename(p, name), 0);
	CHECK_EQ(rename(name, p), 0);
	CHECK_EQ(rmdir(p), 0);
	/* Longer than any window, and across pages. */
	p = end - 5000;
	for (int i = 0; i < 4000; i += 2)
		memcpy(p + i, "./", 2);
	p[4000] = 0;
	CHECK_EQ(stat(p, &st), 0);
	CHECK_ERR(syscall(SYS_stat, NULL, &st), EFAULT);
	CHECK_ERR(syscall(SYS_stat, 0x7fffffffffffUL, &st), EFAULT);
}

static void expect_bytes(int fd, const char *want, size_t n)
{
	char got[8192] = {0};

	CHECK_EQ(read(fd, got, sizeof(got)), n);
	CHECK(memcmp(got, want, n) == 0);
}

static void test_buffers(char *end)
{
	static const int sizes[] = {1, 7, 8, 100, 127, 129, 4000};
	int p[2], s[2];
	char *start = end - PAGE, got[8192];

	REQUIRE(pipe2(p, O_NONBLOCK) == 0 && socketpair(AF_UNIX, SOCK_STREAM, 0, s) == 0);
	for (int i = 0; i < PAGE; i++)
		start[i] = (char)(i * 7 + i / 256);
	for (unsigned i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		size_t n = (size_t)sizes[i];
		struct iovec v[3] = {{start, 10}, {end - n, n}, {start + 20, 0}}, *at_end;

		CHECK_EQ(write(p[1], end - n, n), n);
		expect_bytes(p[0], end - n, n);
		CHECK_ERR(write(p[1], end - n, n + 1), EFAULT);
		CHECK_ERR(read(p[0], start, 1), EAGAIN);
		CHECK_EQ(send(s[1], end - n, n, 0), n);
		expect_bytes(s[0], end - n, n);
		CHECK_ERR(send(s[1], end - n, n + 1, 0), EFAULT);
		CHECK_EQ(writev(p[1], v, 3), 10 + n);
		CHECK_EQ(read(p[0], got, sizeof(got)), 10 + n);
		CHECK(memcmp(got, start, 10) == 0 && memcmp(got + 10, end - n, n) == 0);
		if (n > 4000 - 10)
			continue;
		CHECK_ERR(write(p[1], end, 1), EFAULT);
		v[0].iov_len = 3;
		at_end = at_edge(end, v, sizeof(v[0]));
		CHECK_EQ(writev(p[1], at_end, 1), 3);
		CHECK_ERR(writev(p[1], at_end, 2), EFAULT);
		expect_bytes(p[0], start, 3);
	}
	close(p[0]), close(p[1]), close(s[0]), close(s[1]);
}

static void test_structs(char *end)
{
	struct timespec ts = {0, 1};
	struct epoll_event e = {.events = EPOLLIN}, *ep_at;
	struct pollfd pf = {.events = POLLIN};
	int ep = epoll_create1(0), ev = eventfd(1, 0);
	uint64_t mask = 0;

	REQUIRE(ep >= 0 && ev >= 0);
	CHECK_EQ(syscall(SYS_nanosleep, at_edge(end, &ts, 16), NULL), 0);
	ep_at = at_edge(end, &e, sizeof(e));
	CHECK_EQ(syscall(SYS_epoll_ctl, ep, EPOLL_CTL_ADD, ev, ep_at), 0);
	CHECK_EQ(syscall(SYS_rt_sigprocmask, SIG_BLOCK, at_edge(end, &mask, 8), NULL, 8), 0);
	for (int k = 1; k < 8; k++) {
		CHECK_ERR(syscall(SYS_nanosleep, end - k, NULL), EFAULT);
		CHECK_ERR(syscall(SYS_epoll_ctl, ep, EPOLL_CTL_MOD, ev, end - k), EFAULT);
		CHECK_ERR(syscall(SYS_rt_sigprocmask, SIG_BLOCK, end - k, NULL, 8), EFAULT);
		CHECK_ERR(poll((void *)(end - k), 1, 0), EFAULT);
	}
	pf.fd = ev;
	CHECK_EQ(poll(at_edge(end, &pf, sizeof(pf)), 1, -1), 1);
	CHECK_EQ(((struct pollfd *)(end - sizeof(pf)))->revents, POLLIN);
	CHECK_ERR(poll((void *)(end - sizeof(pf)), 2, 0), EFAULT);
	/* In and out at one place. */
	memset(end - 64, 0, 64);
	CHECK_EQ(syscall(SYS_select, 1, end - 8, end - 8, NULL, end - 32), 0);
	CHECK_EQ(syscall(SYS_rt_sigprocmask, SIG_BLOCK, end - 8, end - 8, 8), 0);
	close(ep), close(ev);
}

static void test_messages(char *end)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	struct {
		struct cmsghdr h;
		int fd;
	} c = {{CMSG_LEN(4), SOL_SOCKET, SCM_RIGHTS}, 1};
	char text[] = "some text", got[64];
	struct iovec v[2] = {{text, 4}, {text + 4, 5}};
	struct msghdr m = {.msg_iov = v, .msg_iovlen = 2}, bad;
	int s[2];

	REQUIRE(socketpair(AF_UNIX, SOCK_DGRAM, 0, s) == 0);
	CHECK_EQ(sendmsg(s[1], at_edge(end, &m, sizeof(m)), 0), 9);
	CHECK_ERR(sendmsg(s[1], (void *)(end - 48), 0), EFAULT);
	for (int part = 0; part < 3; part++) {
		bad = m;
		if (part == 0)
			bad.msg_iov = (void *)(end - 8);
		else if (part == 1)
			bad.msg_control = end - 8, bad.msg_controllen = 24;
		else
			bad.msg_name = end - 1, bad.msg_namelen = 10;
		CHECK_ERR(sendmsg(s[1], &bad, 0), EFAULT);
	}
	v[1].iov_base = end - 2;
	CHECK_ERR(sendmsg(s[1], &m, 0), EFAULT);
	v[1].iov_base = text + 4;
	m.msg_control = at_edge(end, &c, CMSG_LEN(4));
	m.msg_controllen = CMSG_LEN(4);
	CHECK_EQ(sendmsg(s[1], &m, 0), 9);
	CHECK_EQ(recv(s[0], got, sizeof(got), 0), 9);
	CHECK(memcmp(got, text, 9) == 0);
	CHECK_EQ(recv(s[0], got, sizeof(got), 0), 9);
	CHECK_ERR(bind(s[0], (void *)(end - 4), sizeof(a)), EFAULT);
	CHECK_ERR(sendto(s[1], end - 4, 5, 0, NULL, 0), EFAULT);
	close(s[0]), close(s[1]);
}

/* Much at once, between addresses of every kind: by a pipe, a socket and a file, written whole and as a vector,
 * at the edge of memory and across it. */
#define LARGE 200000

static char large(size_t i)
{
	return (char)(i * 37 + (i >> 8) * 11 + (i >> 16));
}

static void expect_large(const char *p, size_t from, size_t n, const char *how)
{
	for (size_t i = 0; i < n; i++)
		if (p[i] != large(from + i)) {
			CHECK_FAIL("%s: byte %zu of %zu", how, i, n);
			return;
		}
}

static void send_large(char *from, char *to, size_t at, size_t n)
{
	struct iovec v[3] = {{from + at, n / 3}, {from + at + n / 3, 1}, {from + at + n / 3 + 1, n - n / 3 - 1}};
	struct msghdr m = {.msg_iov = v, .msg_iovlen = 3};
	int p[2], s[2], fd = open("copy_in_large", O_RDWR | O_CREAT | O_TRUNC, 0600);

	REQUIRE(pipe(p) == 0 && socketpair(AF_UNIX, SOCK_STREAM, 0, s) == 0 && fd >= 0);
	if (n <= 65536) {
		CHECK_EQ(write(p[1], from + at, n), n);
		CHECK_EQ(read(p[0], to, n), n);
		expect_large(to, at, n, "pipe");
		CHECK_EQ(writev(p[1], v, 3), n);
		memset(to, 0, n);
		CHECK_EQ(read(p[0], to, n), n);
		expect_large(to, at, n, "pipe, vector");
		CHECK_EQ(sendmsg(s[0], &m, 0), n);
		memset(to, 0, n);
		CHECK_EQ(recv(s[1], to, n, MSG_WAITALL), n);
		expect_large(to, at, n, "socket");
	}
	CHECK_EQ(pwrite(fd, from + at, n, 5), n);
	CHECK_EQ(pwritev(fd, v, 3, (off_t)n + 50), n);
	memset(to, 0, n);
	CHECK_EQ(pread(fd, to, n, 5), n);
	expect_large(to, at, n, "file");
	CHECK_EQ(pread(fd, to, n, (off_t)n + 50), n);
	expect_large(to, at, n, "file, vector");
	close(fd);
	for (int i = 0; i < 2; i++) {
		close(p[i]);
		close(s[i]);
	}
}

static void test_large(void)
{
	static const size_t sizes[] = {4096, 4097, 8192, 16383, 16384, 40000, 65535, 65536, 65537, 130000};
	static const size_t places[] = {0, 1, 8, 15, 16, 17, 31, 32, 33, 63, 64, 4000, 4095};
	char *from = mmap(NULL, LARGE + PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char *to = mmap(NULL, LARGE + PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	size_t end = (LARGE + PAGE) / PAGE * PAGE;
	int p[2];

	REQUIRE(from != MAP_FAILED && to != MAP_FAILED);
	for (size_t i = 0; i < end; i++)
		from[i] = large(i);
	for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++)
		for (size_t k = 0; k < sizeof(places) / sizeof(*places); k++)
			send_large(from, to + places[(k * 5 + i) % 13], places[k], sizes[i]);
	unlink("copy_in_large");
	/* What lies behind the end is missing, whatever was copied before. */
	REQUIRE(munmap(from + end - PAGE, PAGE) == 0 && pipe(p) == 0);
	end -= PAGE;
	for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes) && sizes[i] <= 65536; i++) {
		CHECK_EQ(write(p[1], from + end - sizes[i], sizes[i]), sizes[i]);
		CHECK_EQ(read(p[0], to, sizes[i]), sizes[i]);
		expect_large(to, end - sizes[i], sizes[i], "edge");
	}
	CHECK_EQ(write(p[1], from + end - 3 * PAGE, 4 * PAGE), 3 * PAGE);
	CHECK_EQ(read(p[0], to, 4 * PAGE), 3 * PAGE);
	expect_large(to, end - 3 * PAGE, 3 * PAGE, "across the edge");
	CHECK_ERR(write(p[1], from + end, 3 * PAGE), EFAULT);
	close(p[0]);
	close(p[1]);
	munmap(from, end);
	munmap(to, LARGE + PAGE);
}

int main(void)
{
	char *end = edge();

	test_paths(end);
	test_buffers(end);
	test_structs(end);
	test_messages(end);
	test_large();
	return check_status();
}
