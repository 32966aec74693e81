/* What the sentry gives up where there are no namespaces. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sentry/launch/confine.h"

static volatile char probe = 'x';

static int copy_from(pid_t pid)
{
	char c;
	struct iovec l = {&c, 1}, r = {(void *)&probe, 1};

	return process_vm_readv(pid, &l, 1, &r, 1, 0) == 1 ? 0 : -errno;
}

/* In a child, which is as confined as a sentry then: what went wrong, or 0. */
static int confined(void)
{
	int own_file = open("/etc/passwd", O_RDONLY);
	pid_t outer = getppid(), own;
	int r = confine_reach(&own_file, 1), wrong = 0;

	if (r && r != -EOPNOTSUPP)
		return 77;
	own = fork();
	if (own == 0) {
		pause();
		_exit(0);
	}
	if (r == 0 && (kill(outer, 0) != -1 || errno != EPERM))
		wrong |= 1;
	if (copy_from(outer) != -EPERM)
		wrong |= 2;
	if (copy_from(own))
		wrong |= 4;
	if (kill(own, SIGKILL) || waitpid(own, NULL, 0) != own)
		wrong |= 8;
	if (open("/etc/group", O_RDONLY) != -1 || errno != EACCES)
		wrong |= 16;
	if (open("/etc/passwd", O_RDONLY) < 0 || open("/proc/self/stat", O_RDONLY) < 0)
		wrong |= 32;
	return wrong;
}

Test(confine, signals_copies_and_opens_reach_its_own_alone)
{
	int status;
	pid_t pid = fork();

	if (pid == 0)
		_exit(confined());
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
		cr_skip_test("no Landlock");
	cr_expect_eq(WEXITSTATUS(status), 0, "%x", status);
}

static int connect_errno(int family, const void *addr, socklen_t len)
{
	int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0), r = connect(fd, addr, len) ? errno : 0;

	close(fd);
	return r;
}

/* In a child: what went wrong, or 0. */
static int off_the_network(void)
{
	struct sockaddr_in tcp = {.sin_family = AF_INET, .sin_port = htons(9), .sin_addr = {htonl(INADDR_LOOPBACK)}};
	struct sockaddr_un name = {.sun_family = AF_UNIX, .sun_path = "\0sentry confine test"};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), wrong = 0;

	if (bind(fd, (void *)&name, sizeof(name)) || listen(fd, 1) || confine_network())
		return 128;
	if (connect_errno(AF_INET, &tcp, sizeof(tcp)) != EACCES)
		wrong |= 1;
	/* Version 6 and later. */
	if (syscall(SYS_landlock_create_ruleset, NULL, 0, 1) >= 6 &&
	    connect_errno(AF_UNIX, &name, sizeof(name)) != EPERM)
		wrong |= 2;
	return wrong;
}

Test(confine, without_a_network_namespace_landlock_is_the_second_line)
{
	int status;
	pid_t pid;

	if (syscall(SYS_landlock_create_ruleset, NULL, 0, 1) < 4)
		return;
	pid = fork();
	if (pid == 0)
		_exit(off_the_network());
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	cr_expect(WIFEXITED(status));
	cr_expect_eq(WEXITSTATUS(status), 0, "%x", status);
}

/* In a child with a sentry's filter: what went wrong, or 0. */
static int filtered(bool traces)
{
	static const int types[] = {SOCK_STREAM, SOCK_DGRAM, SOCK_RAW, SOCK_RDM, SOCK_PACKET};
	int wrong = 0, sv[2];

	if (confine_filter_calls(traces))
		return 128;
	for (int family = 0; family < AF_MAX; family++)
		if (socket(family, SOCK_STREAM, 0) != -1 || errno != EPERM)
			wrong |= 1;
	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
		if (socketpair(AF_UNIX, types[i] | SOCK_CLOEXEC, 0, sv) != -1 || errno != EPERM)
			wrong |= 2;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sv))
		return wrong | 4;
	if (connect(sv[0], NULL, 0) != -1 || errno != EPERM || bind(sv[0], NULL, 0) != -1 || errno != EPERM ||
	    listen(sv[0], 1) != -1 || errno != EPERM || accept(sv[0], NULL, NULL) != -1 || errno != EPERM)
		wrong |= 8;
	if (socketpair(AF_TIPC, SOCK_SEQPACKET, 0, sv) != -1 || errno != EPERM)
		wrong |= 16;
	if (syscall(SYS_io_uring_setup, 1, NULL) != -1 || errno != EPERM)
		wrong |= 32;
	return wrong;
}

/* Why no network namespace is needed. */
Test(confine, sockets_come_in_connected_pairs_only)
{
	for (int traces = 0; traces < 2; traces++) {
		int status;
		pid_t pid = fork();

		if (pid == 0)
			_exit(filtered(traces));
		cr_assert_eq(waitpid(pid, &status, 0), pid);
		cr_expect(WIFEXITED(status));
		cr_expect_eq(WEXITSTATUS(status), 0, "%x", status);
	}
}
