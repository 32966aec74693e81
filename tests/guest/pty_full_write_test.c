/* A writer that waits for room in a terminal's input sleeps, and a kill ends it. It used to wake
 * itself on each try: it spun, and no signal was ever seen. */
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "tests/guest/check.h"

static int full_master(int *slave)
{
	int m = posix_openpt(O_RDWR | O_NOCTTY | O_NONBLOCK);
	struct termios raw;
	char buf[512] = {0};

	REQUIRE(m >= 0 && grantpt(m) == 0 && unlockpt(m) == 0);
	*slave = open(ptsname(m), O_RDWR | O_NOCTTY);
	REQUIRE(*slave >= 0 && tcgetattr(*slave, &raw) == 0);
	cfmakeraw(&raw);
	REQUIRE(tcsetattr(*slave, TCSANOW, &raw) == 0);
	for (int i = 0; i < 10000 && write(m, buf, sizeof(buf)) > 0; i++)
		;
	/* Until it has been full for a while: what moves bytes from one buffer to the next may be late. */
	for (int quiet = 0; quiet < 5; quiet++) {
		usleep(10000);
		while (write(m, buf, 1) > 0)
			quiet = 0;
	}
	REQUIRE(fcntl(m, F_SETFL, 0) == 0);
	return m;
}

int main(void)
{
	int slave, m = full_master(&slave), status = 0;
	struct rusage ru;
	pid_t pid = fork();

	REQUIRE(pid >= 0);
	if (pid == 0) {
		char buf[4096] = {0};

		write(m, buf, sizeof(buf));
		_exit(0);
	}
	usleep(300000);
	CHECK(kill(pid, SIGKILL) == 0);
	CHECK(wait4(pid, &status, 0, &ru) == pid);
	CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	CHECK(ru.ru_utime.tv_sec == 0 && ru.ru_stime.tv_sec == 0);
	CHECK(ru.ru_utime.tv_usec + ru.ru_stime.tv_usec < 150000);
	return check_status();
}
