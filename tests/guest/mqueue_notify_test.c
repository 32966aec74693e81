/* POSIX message queues. */
#include <fcntl.h>
#include <mqueue.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/guest/check.h"

int main(void)
{
	struct mq_attr a = {.mq_maxmsg = 3, .mq_msgsize = 32}, b;
	struct sigevent ev = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1,
			      .sigev_value.sival_int = 77};
	struct timespec at;
	char name[32], buf[64];
	siginfo_t info;
	unsigned prio;
	sigset_t set;
	mqd_t q, r;
	int status;

	snprintf(name, sizeof(name), "/sentry-mq-%d", getpid());
	CHECK_ERR(mq_open(name, O_RDWR), ENOENT);
	q = mq_open(name, O_RDWR | O_CREAT | O_EXCL, 0600, &a);
	if (q < 0 && errno == ENOSYS)
		CHECK_SKIP("no message queues");
	REQUIRE(q >= 0);
	CHECK_ERR(mq_open(name, O_RDWR | O_CREAT | O_EXCL, 0600, &a), EEXIST);
	CHECK_ERR(mq_open("/a/b", O_RDWR | O_CREAT, 0600, NULL), EACCES);
	CHECK_EQ(fcntl(q, F_GETFD), FD_CLOEXEC);
	CHECK_EQ(mq_getattr(q, &b), 0);
	CHECK_EQ(b.mq_maxmsg, 3);
	CHECK_EQ(b.mq_msgsize, 32);
	CHECK_EQ(b.mq_curmsgs, 0);
	CHECK_EQ(mq_send(q, "low", 3, 1), 0);
	CHECK_EQ(mq_send(q, "high", 4, 9), 0);
	CHECK_EQ(mq_send(q, "high2", 5, 9), 0);
	CHECK_ERR(mq_send(q, buf, 33, 0), EMSGSIZE);
	CHECK_ERR(mq_send(q, buf, 1, 32768), EINVAL);
	clock_gettime(CLOCK_REALTIME, &at);
	CHECK_ERR(mq_timedsend(q, "x", 1, 0, &at), ETIMEDOUT);
	CHECK_ERR(mq_receive(q, buf, 31, &prio), EMSGSIZE);
	CHECK_EQ(mq_receive(q, buf, 64, &prio), 4);
	CHECK_EQ(prio, 9);
	CHECK_EQ(mq_receive(q, buf, 64, &prio), 5);
	CHECK_EQ(mq_receive(q, buf, 64, &prio), 3);
	CHECK_EQ(prio, 1);
	r = mq_open(name, O_RDONLY | O_NONBLOCK);
	CHECK(r >= 0);
	CHECK_ERR(mq_receive(r, buf, 64, NULL), EAGAIN);
	CHECK_ERR(mq_send(r, "x", 1, 0), EBADF);
	struct pollfd p = {q, POLLIN | POLLOUT, 0};

	CHECK_EQ(poll(&p, 1, 0), 1);
	CHECK_EQ(p.revents, POLLOUT);
	/* Across processes, waiting. */
	if (fork() == 0) {
		usleep(20000);
		_exit(mq_send(q, "child", 5, 0) ? 1 : 0);
	}
	CHECK_EQ(mq_receive(q, buf, 64, &prio), 5);
	wait(&status);
	CHECK_EQ(status, 0);
	/* Told once, when a message comes to the empty queue. */
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigprocmask(SIG_BLOCK, &set, NULL);
	CHECK_EQ(mq_notify(q, &ev), 0);
	CHECK_ERR(mq_notify(q, &ev), EBUSY);
	CHECK_EQ(mq_send(q, "n", 1, 0), 0);
	CHECK_EQ(sigtimedwait(&set, &info, &(struct timespec){2, 0}), SIGUSR1);
	CHECK_EQ(info.si_code, SI_MESGQ);
	CHECK_EQ(info.si_value.sival_int, 77);
	CHECK_EQ(mq_notify(q, &ev), 0);
	CHECK_EQ(mq_notify(q, NULL), 0);
	CHECK_EQ(mq_unlink(name), 0);
	CHECK_ERR(mq_unlink(name), ENOENT);
	CHECK_EQ(mq_receive(q, buf, 64, NULL), 1);
	mq_close(q);
	mq_close(r);
	return check_status();
}
