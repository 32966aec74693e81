/* poll(2), ppoll(2), select(2), pselect(2). */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/guest/check.h"

static volatile sig_atomic_t hits;

static void on_signal(int sig)
{
	hits++;
}

static long now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static void later_write(int fd, int ms)
{
	if (fork() == 0) {
		usleep((useconds_t)ms * 1000);
		write(fd, "x", 1);
		_exit(0);
	}
}

static void polls(void)
{
	struct pollfd fds[40];
	struct rlimit lim;
	long start;
	int p[2];

	REQUIRE(pipe(p) == 0);
	fds[0] = (struct pollfd){p[0], POLLIN, 99};
	fds[1] = (struct pollfd){-5, POLLIN, 99};
	fds[2] = (struct pollfd){p[1], POLLIN | POLLOUT, 99};
	fds[3] = (struct pollfd){777, POLLIN, 99};
	CHECK_EQ(poll(fds, 4, -1), 2);
	CHECK_EQ(fds[0].revents, 0);
	CHECK_EQ(fds[1].revents, 0);
	CHECK_EQ(fds[2].revents, POLLOUT);
	CHECK_EQ(fds[3].revents, POLLNVAL);
	start = now_ms();
	CHECK_EQ(poll(fds, 2, 50), 0);
	CHECK(now_ms() - start >= 49);
	CHECK_EQ(poll(NULL, 0, 10), 0);
	CHECK_ERR(syscall(SYS_poll, 8, 1, 0), EFAULT);
	getrlimit(RLIMIT_NOFILE, &lim);
	CHECK_ERR(syscall(SYS_poll, fds, (unsigned)lim.rlim_cur + 1, 0), EINVAL);
	later_write(p[1], 20);
	CHECK_EQ(poll(fds, 2, 5000), 1);
	CHECK_EQ(fds[0].revents, POLLIN);
	wait(NULL);
	/* Many, so that nothing fits on a stack. */
	for (int i = 0; i < 40; i++)
		fds[i] = (struct pollfd){p[0], POLLIN | POLLRDNORM, 0};
	CHECK_EQ(poll(fds, 40, 0), 40);
	CHECK_EQ(fds[39].revents, POLLIN | POLLRDNORM);
	CHECK_EQ(read(p[0], fds, 1), 1);
	for (int i = 0; i < 40; i++)
		fds[i] = (struct pollfd){p[0], POLLIN, 0};
	later_write(p[1], 20);
	CHECK_EQ(poll(fds, 40, 5000), 40);
	wait(NULL);
	close(p[0]);
	close(p[1]);
}

static void polls_interrupted(void)
{
	struct sigaction sa = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
	struct timespec ts = {5, 0}, zero = {0, 0}, bad = {0, 1000000000};
	struct pollfd pfd;
	sigset_t none, blocked;
	int p[2];

	REQUIRE(pipe(p) == 0);
	pfd = (struct pollfd){p[0], POLLIN, 0};
	sigaction(SIGALRM, &sa, NULL);
	/* poll is never restarted after a handler, whatever SA_RESTART says. */
	hits = 0;
	check_alarms(20000);
	CHECK_ERR(poll(&pfd, 1, 50000), EINTR);
	check_alarms(0);
	CHECK(hits > 0);
	hits = 1;
	sigemptyset(&none);
	sigemptyset(&blocked);
	sigaddset(&blocked, SIGALRM);
	sigprocmask(SIG_BLOCK, &blocked, NULL);
	raise(SIGALRM);
	CHECK_EQ(hits, 1);
	/* Ready wins: the signal stays pending. */
	write(p[1], "x", 1);
	CHECK_EQ(ppoll(&pfd, 1, &ts, &none), 1);
	CHECK_EQ(hits, 1);
	read(p[0], &(char){0}, 1);
	CHECK_ERR(ppoll(&pfd, 1, &ts, &none), EINTR);
	CHECK_EQ(hits, 2);
	CHECK_EQ(ppoll(&pfd, 1, &zero, &none), 0);
	CHECK_ERR(ppoll(&pfd, 1, &bad, NULL), EINVAL);
	CHECK_ERR(syscall(SYS_ppoll, &pfd, 1, &zero, &none, 4), EINVAL);
	sigprocmask(SIG_SETMASK, NULL, &none);
	CHECK(sigismember(&none, SIGALRM));
	sigprocmask(SIG_UNBLOCK, &blocked, NULL);
	/* Stopped and continued, poll goes on with the time that is left. */
	if (fork() == 0) {
		long start = now_ms();
		int r = poll(&pfd, 1, 200);

		_exit(r == 0 && now_ms() - start < 20000 ? 0 : 1);
	}
	usleep(50000);
	close(p[0]);
	close(p[1]);
	int status;

	wait(&status);
	CHECK_EQ(status, 0);
}

static void selects(void)
{
	struct timeval tv = {0, 50000}, bad = {0, -1};
	struct timespec ts = {0, 30000000};
	fd_set r, w, e;
	int p[2];
	long start;

	REQUIRE(pipe(p) == 0);
	FD_ZERO(&r);
	FD_ZERO(&w);
	FD_ZERO(&e);
	FD_SET(p[0], &r);
	FD_SET(p[1], &w);
	FD_SET(p[0], &e);
	CHECK_EQ(select(p[1] + 1, &r, &w, &e, NULL), 1);
	CHECK(!FD_ISSET(p[0], &r) && FD_ISSET(p[1], &w) && !FD_ISSET(p[0], &e));
	FD_SET(p[0], &r);
	start = now_ms();
	CHECK_EQ(select(p[0] + 1, &r, NULL, NULL, &tv), 0);
	CHECK(now_ms() - start >= 49);
	CHECK(!FD_ISSET(p[0], &r));
	CHECK_EQ(tv.tv_sec, 0);
	CHECK_EQ(tv.tv_usec, 0);
	write(p[1], "x", 1);
	FD_SET(p[0], &r);
	FD_SET(p[1], &w);
	tv.tv_sec = 10;
	CHECK_EQ(select(p[1] + 1, &r, &w, NULL, &tv), 2);
	CHECK(tv.tv_sec > 0 && tv.tv_sec <= 10);
	FD_ZERO(&r);
	FD_SET(33, &r);
	CHECK_ERR(select(34, &r, NULL, NULL, NULL), EBADF);
	CHECK(FD_ISSET(33, &r));
	CHECK_ERR(select(-1, &r, NULL, NULL, NULL), EINVAL);
	CHECK_ERR(select(0, NULL, NULL, NULL, &bad), EINVAL);
	/* Bits at and above nfds don't count. */
	tv = (struct timeval){0, 0};
	CHECK_EQ(select(33, &r, NULL, NULL, &tv), 0);
	CHECK_EQ(syscall(SYS_pselect6, 0, NULL, NULL, NULL, &ts, NULL), 0);
	CHECK_EQ(ts.tv_nsec, 0);
	/* Hang-up makes readable, a missing reader writable. */
	read(p[0], &(char){0}, 1);
	int q = dup(p[0]);

	close(p[1]);
	FD_ZERO(&r);
	FD_SET(q, &r);
	CHECK_EQ(select(q + 1, &r, NULL, NULL, NULL), 1);
	close(q);
	close(p[0]);
}

/* Descriptors beyond the process's table, which is as long as a fork makes it, are not looked at. */
static void selects_beyond(void)
{
	struct timeval none = {0, 0};
	fd_set r;
	int status;

	if (fork() == 0) {
		syscall(SYS_close_range, 64, ~0U, 0);
		if (fork() == 0) {
			FD_ZERO(&r);
			FD_SET(1000, &r);
			CHECK_EQ(select(1001, &r, NULL, NULL, &none), 0);
			_exit(check_status());
		}
		wait(&status);
		_exit(WEXITSTATUS(status));
	}
	wait(&status);
	CHECK_EQ(status, 0);
}

static void pselect_mask(void)
{
	struct sigaction sa = {.sa_handler = on_signal};
	sigset_t none, blocked;

	hits = 0;
	sigaction(SIGUSR1, &sa, NULL);
	sigemptyset(&none);
	sigemptyset(&blocked);
	sigaddset(&blocked, SIGUSR1);
	sigprocmask(SIG_BLOCK, &blocked, NULL);
	raise(SIGUSR1);
	CHECK_ERR(pselect(0, NULL, NULL, NULL, NULL, &none), EINTR);
	CHECK_EQ(hits, 1);
	sigprocmask(SIG_UNBLOCK, &blocked, NULL);
}

int main(void)
{
	polls();
	polls_interrupted();
	selects();
	selects_beyond();
	pselect_mask();
	return check_status();
}
