/* signalfd(2). */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/guest/check.h"

static short ready(int fd)
{
	struct pollfd p = {fd, POLLIN, 0};

	poll(&p, 1, 0);
	return p.revents;
}

int main(void)
{
	struct signalfd_siginfo si[4];
	struct epoll_event ev = {.events = EPOLLIN};
	sigset_t set, more;
	int fd, ep, status;
	pid_t pid;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigaddset(&set, SIGRTMIN);
	sigaddset(&set, SIGCHLD);
	more = set;
	sigaddset(&more, SIGUSR2);
	sigprocmask(SIG_BLOCK, &more, NULL);
	fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
	REQUIRE(fd >= 0);
	CHECK_EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
	CHECK_ERR(read(fd, si, sizeof(si)), EAGAIN);
	CHECK_ERR(read(fd, si, sizeof(si[0]) - 1), EINVAL);
	CHECK_ERR(signalfd(-1, &set, 1), EINVAL);
	CHECK_ERR(signalfd(0, &set, 0), EINVAL);
	CHECK_EQ(ready(fd), 0);
	raise(SIGUSR2);
	CHECK_EQ(ready(fd), 0);
	raise(SIGUSR1);
	sigqueue(getpid(), SIGRTMIN, (union sigval){.sival_int = 7});
	sigqueue(getpid(), SIGRTMIN, (union sigval){.sival_int = 8});
	CHECK_EQ(ready(fd), POLLIN);
	CHECK_EQ(read(fd, si, sizeof(si)), 3 * sizeof(si[0]));
	CHECK_EQ(si[0].ssi_signo, SIGUSR1);
	CHECK_EQ(si[0].ssi_pid, getpid());
	CHECK_EQ(si[1].ssi_signo, SIGRTMIN);
	CHECK_EQ(si[1].ssi_int, 7);
	CHECK_EQ(si[2].ssi_int, 8);
	CHECK_EQ(si[2].ssi_code, SI_QUEUE);
	/* The set of an existing one changes. */
	CHECK_EQ(signalfd(fd, &more, 0), fd);
	CHECK_EQ(read(fd, si, sizeof(si)), sizeof(si[0]));
	CHECK_EQ(si[0].ssi_signo, SIGUSR2);
	ep = epoll_create1(0);
	CHECK_EQ(epoll_ctl(ep, EPOLL_CTL_ADD, fd, &ev), 0);
	CHECK_EQ(epoll_wait(ep, &ev, 1, 0), 0);
	pid = fork();
	if (pid == 0) {
		usleep(20000);
		_exit(3);
	}
	CHECK_EQ(epoll_wait(ep, &ev, 1, 5000), 1);
	CHECK_EQ(read(fd, si, sizeof(si)), sizeof(si[0]));
	CHECK_EQ(si[0].ssi_signo, SIGCHLD);
	CHECK_EQ(si[0].ssi_pid, pid);
	CHECK_EQ(si[0].ssi_status, 3);
	CHECK_EQ(si[0].ssi_code, CLD_EXITED);
	wait(NULL);
	/* A blocking read; and a child that watches the descriptor it inherited and goes. */
	fcntl(fd, F_SETFL, 0);
	pid = fork();
	if (pid == 0) {
		int e = epoll_create1(0);

		epoll_ctl(e, EPOLL_CTL_ADD, fd, &ev);
		epoll_ctl(ep, EPOLL_CTL_DEL, fd, NULL);
		epoll_ctl(ep, EPOLL_CTL_ADD, fd, &ev);
		usleep(20000);
		kill(getppid(), SIGUSR1);
		_exit(0);
	}
	CHECK_EQ(read(fd, si, sizeof(si[0])), sizeof(si[0]));
	CHECK_EQ(si[0].ssi_signo, SIGUSR1);
	CHECK_EQ(si[0].ssi_pid, pid);
	waitpid(pid, &status, 0);
	raise(SIGUSR2);
	CHECK_EQ(read(fd, si, sizeof(si[0])), sizeof(si[0]));
	close(ep);
	close(fd);
	return check_status();
}
