/* fallocate(2) of gigabytes ends at a kill. It used to take its pages to the end first, for seconds, with
 * the file's lock held. */
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/guest/check.h"

static long ms_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

int main(void)
{
	int fd = open("big", O_RDWR | O_CREAT | O_EXCL, 0600), status = 0;
	long start;
	pid_t pid;

	REQUIRE(fd >= 0 && unlink("big") == 0);
	pid = fork();
	REQUIRE(pid >= 0);
	if (pid == 0) {
		while (fallocate(fd, 0, 0, 8LL << 30) < 0 && errno == EINTR)
			;
		pause();
	}
	usleep(50000);
	start = ms_now();
	REQUIRE(kill(pid, SIGKILL) == 0);
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	CHECK(ms_now() - start < 4000);
	return check_status();
}
