/* fifo(7): who waits for whom at open, and what poll says. */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/guest/check.h"

static short ready(int fd, short events)
{
	struct pollfd p = {fd, events, 0};

	poll(&p, 1, 0);
	return p.revents;
}

static void on_alarm(int sig)
{
}

int main(void)
{
	struct sigaction sa = {.sa_handler = on_alarm};
	char buf[16], name[64];
	struct stat st;
	int r, w, status;

	snprintf(name, sizeof(name), "fifo.%d", getpid());
	REQUIRE(mkfifo(name, 0600) == 0);
	CHECK_ERR(mkfifo(name, 0600), EEXIST);
	CHECK_EQ(stat(name, &st), 0);
	CHECK(S_ISFIFO(st.st_mode));
	CHECK_ERR(open(name, O_WRONLY | O_NONBLOCK), ENXIO);
	sigaction(SIGALRM, &sa, NULL);
	check_alarms(20000);
	CHECK_ERR(open(name, O_RDONLY), EINTR);
	check_alarms(0);
	CHECK_ERR(open(name, O_WRONLY | O_NONBLOCK), ENXIO);

	r = open(name, O_RDONLY | O_NONBLOCK);
	CHECK(r >= 0);
	/* Nobody has written yet: end of file, but no hang-up. */
	CHECK_EQ(read(r, buf, 1), 0);
	CHECK_EQ(ready(r, POLLIN), 0);
	w = open(name, O_WRONLY | O_NONBLOCK);
	CHECK(w >= 0);
	CHECK_ERR(read(r, buf, 1), EAGAIN);
	CHECK_EQ(write(w, "abc", 3), 3);
	CHECK_EQ(ready(r, POLLIN), POLLIN);
	CHECK_EQ(read(r, buf, 16), 3);
	close(w);
	CHECK_EQ(ready(r, POLLIN), POLLHUP);
	CHECK_EQ(read(r, buf, 1), 0);
	w = open(name, O_WRONLY);
	CHECK_EQ(ready(r, POLLIN), 0);
	close(w);
	close(r);

	/* Both sides wait for each other. */
	if (fork() == 0) {
		usleep(20000);
		w = open(name, O_WRONLY);
		_exit(w >= 0 && write(w, "child", 5) == 5 ? 0 : 1);
	}
	r = open(name, O_RDONLY);
	CHECK(r >= 0);
	CHECK_EQ(read(r, buf, 16), 5);
	CHECK_EQ(read(r, buf, 16), 0);
	wait(&status);
	CHECK_EQ(status, 0);
	close(r);
	if (fork() == 0) {
		usleep(20000);
		r = open(name, O_RDONLY);
		_exit(r >= 0 && read(r, buf, 16) == 6 ? 0 : 1);
	}
	w = open(name, O_WRONLY);
	CHECK_EQ(write(w, "parent", 6), 6);
	wait(&status);
	CHECK_EQ(status, 0);
	close(w);

	/* Both ends in one descriptor; what nobody read goes with the last close. */
	r = open(name, O_RDWR);
	CHECK(r >= 0);
	CHECK_EQ(write(r, "xy", 2), 2);
	CHECK_EQ(read(r, buf, 1), 1);
	close(r);
	r = open(name, O_RDWR | O_NONBLOCK);
	CHECK_ERR(read(r, buf, 1), EAGAIN);
	close(r);
	unlink(name);
	return check_status();
}
