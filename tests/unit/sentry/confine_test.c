/* What the sentry gives up where there are no namespaces. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/uio.h>
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
