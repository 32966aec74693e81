/* A listening socket whose descriptor lies in a connection that nobody has accepted from it: when both are
 * closed, nothing can reach it, and it goes. It used to stay, and to count as in flight for ever. */
#include <stddef.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "tests/guest/check.h"

static int send_fd(int s, int fd)
{
	union {
		struct cmsghdr h;
		char space[CMSG_SPACE(sizeof(int))];
	} c = {.h = {CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS}};
	struct iovec iov = {"x", 1};
	struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &c,
			   .msg_controllen = sizeof(c)};

	memcpy(CMSG_DATA(&c.h), &fd, sizeof(fd));
	return sendmsg(s, &m, 0) == 1 ? 0 : -errno;
}

/* Collecting may take a moment. */
static int send_fd_soon(int s, int fd)
{
	int r = -1;

	for (int i = 0; i < 2000; i++) {
		r = send_fd(s, fd);
		if (r != -ETOOMANYREFS)
			break;
		usleep(5000);
	}
	return r;
}

static void one_cycle(int i)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	int n = snprintf(a.sun_path + 1, sizeof(a.sun_path) - 1, "gc-%d-%d", (int)getpid(), i);
	socklen_t len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)n);
	int l = socket(AF_UNIX, SOCK_STREAM, 0), c = socket(AF_UNIX, SOCK_STREAM, 0);

	REQUIRE(l >= 0 && c >= 0);
	REQUIRE(bind(l, (struct sockaddr *)&a, len) == 0 && listen(l, 4) == 0);
	REQUIRE(connect(c, (struct sockaddr *)&a, len) == 0);
	CHECK_EQ(send_fd_soon(c, l), 0);
	close(c);
	close(l);
}

int main(void)
{
	/* Without privileges files in flight are limited like open ones. */
	if (geteuid() == 0)
		REQUIRE(setgid(65534) == 0 && setuid(65534) == 0);
	REQUIRE(setrlimit(RLIMIT_NOFILE, &(struct rlimit){40, 40}) == 0);
	for (int i = 0; i < 120 && !check_failures; i++)
		one_cycle(i);
	return check_status();
}
