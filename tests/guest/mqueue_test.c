/* POSIX message queues. */
#include <fcntl.h>
#include <mqueue.h>
#include <poll.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/guest/check.h"

static char name[64];

static mqd_t create(long maxmsg, long msgsize, int flags)
{
	struct mq_attr a = {.mq_maxmsg = maxmsg, .mq_msgsize = msgsize};
	mqd_t q = mq_open(name, O_RDWR | O_CREAT | O_EXCL | flags, 0600, &a);

	REQUIRE(q >= 0);
	return q;
}

static void order_and_limits(void)
{
	mqd_t q = create(3, 16, O_NONBLOCK);
	struct mq_attr a, set = {0};
	char buf[16];
	unsigned prio;
	struct pollfd p = {q, POLLIN | POLLOUT, 0};

	CHECK_EQ(fcntl(q, F_GETFD), FD_CLOEXEC);
	CHECK_EQ(poll(&p, 1, 0), 1);
	CHECK_EQ(p.revents, POLLOUT);
	CHECK_EQ(mq_send(q, "low", 3, 1), 0);
	CHECK_EQ(mq_send(q, "high", 4, 9), 0);
	CHECK_EQ(mq_send(q, "low2", 4, 1), 0);
	CHECK_ERR(mq_send(q, "x", 1, 0), EAGAIN);
	CHECK_EQ(poll(&p, 1, 0), 1);
	CHECK_EQ(p.revents, POLLIN);
	CHECK_EQ(mq_getattr(q, &a), 0);
	CHECK_EQ(a.mq_curmsgs, 3);
	CHECK_EQ(a.mq_maxmsg, 3);
	CHECK_EQ(a.mq_flags, O_NONBLOCK);
	CHECK_ERR(mq_receive(q, buf, 15, NULL), EMSGSIZE);
	CHECK_EQ(mq_receive(q, buf, 16, &prio), 4);
	CHECK_EQ(prio, 9);
	CHECK_EQ(mq_receive(q, buf, 16, &prio), 3);
	CHECK(!memcmp(buf, "low", 3));
	CHECK_EQ(mq_receive(q, buf, 16, &prio), 4);
	CHECK_ERR(mq_receive(q, buf, 16, &prio), EAGAIN);
	CHECK_ERR(mq_send(q, "x", 17, 0), EMSGSIZE);
	CHECK_ERR(mq_send(q, "x", 1, 32768), EINVAL);
	CHECK_EQ(mq_setattr(q, &set, &a), 0);
	CHECK_EQ(a.mq_flags, O_NONBLOCK);
	CHECK_EQ(fcntl(q, F_GETFL) & O_NONBLOCK, 0);
	mq_close(q);
	CHECK_ERR(mq_getattr(q, &a), EBADF);
	CHECK_ERR(mq_open(name, O_CREAT | O_EXCL | O_RDWR, 0600, NULL), EEXIST);
	CHECK_EQ(mq_unlink(name), 0);
	CHECK_ERR(mq_unlink(name), ENOENT);
	CHECK_ERR(mq_open(name, O_RDWR), ENOENT);
	a.mq_maxmsg = 0;
	CHECK_ERR(mq_open(name, O_CREAT | O_RDWR, 0600, &a), EINVAL);
	CHECK_ERR(syscall(SYS_mq_open, "a/b", O_CREAT | O_RDWR, 0600, NULL), EACCES);
	CHECK_ERR(syscall(SYS_mq_open, "", O_CREAT | O_RDWR, 0600, NULL), ENOENT);
}

static void waiting(void)
{
	mqd_t q = create(2, 8, 0);
	struct timespec ts;
	char buf[8];
	int status;
	pid_t pid;

	clock_gettime(CLOCK_REALTIME, &ts);
	ts.tv_nsec += 30000000;
	if (ts.tv_nsec >= 1000000000) {
		ts.tv_sec++;
		ts.tv_nsec -= 1000000000;
	}
	CHECK_ERR(mq_timedreceive(q, buf, 8, NULL, &ts), ETIMEDOUT);
	ts.tv_nsec = -1;
	CHECK_ERR(mq_timedreceive(q, buf, 8, NULL, &ts), EINVAL);
	pid = fork();
	if (pid == 0)
		_exit(mq_receive(q, buf, 8, NULL) == 2 && !memcmp(buf, "hi", 2) ? 0 : 1);
	usleep(20000);
	CHECK_EQ(mq_send(q, "hi", 2, 0), 0);
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	CHECK_EQ(status, 0);
	mq_send(q, "1", 1, 0);
	mq_send(q, "2", 1, 0);
	pid = fork();
	if (pid == 0)
		_exit(mq_send(q, "3", 1, 0) == 0 ? 0 : 1);
	usleep(20000);
	CHECK_EQ(waitpid(pid, &status, WNOHANG), 0);
	CHECK_EQ(mq_receive(q, buf, 8, NULL), 1);
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	CHECK_EQ(status, 0);
	mq_close(q);
	CHECK_EQ(mq_unlink(name), 0);
}

static volatile siginfo_t got;

static void on_signal(int signo, siginfo_t *info, void *ctx)
{
	*(siginfo_t *)&got = *info;
}

static void notification(void)
{
	struct sigaction sa = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO};
	struct sigevent ev = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1};
	mqd_t q = create(5, 8, O_NONBLOCK);
	char buf[8];

	sigaction(SIGUSR1, &sa, NULL);
	ev.sigev_value.sival_int = 77;
	CHECK_EQ(mq_notify(q, &ev), 0);
	CHECK_ERR(mq_notify(q, &ev), EBUSY);
	CHECK_EQ(mq_send(q, "a", 1, 0), 0);
	CHECK_EQ(got.si_signo, SIGUSR1);
	CHECK_EQ(got.si_code, SI_MESGQ);
	CHECK_EQ(got.si_value.sival_int, 77);
	CHECK_EQ(got.si_pid, getpid());
	got.si_signo = 0;
	CHECK_EQ(mq_notify(q, &ev), 0); /* once; and only for an empty queue */
	CHECK_EQ(mq_send(q, "b", 1, 0), 0);
	CHECK_EQ(got.si_signo, 0);
	CHECK_EQ(mq_notify(q, NULL), 0);
	mq_receive(q, buf, 8, NULL);
	mq_receive(q, buf, 8, NULL);
	CHECK_EQ(mq_send(q, "c", 1, 0), 0);
	CHECK_EQ(got.si_signo, 0);
	ev.sigev_signo = 100;
	CHECK_ERR(mq_notify(q, &ev), EINVAL);
	mq_close(q);
	CHECK_EQ(mq_unlink(name), 0);
}

/* A queue lives on without its name. */
static void unlinked(void)
{
	mqd_t q = create(2, 8, 0);
	char buf[8];

	CHECK_EQ(mq_unlink(name), 0);
	CHECK_EQ(mq_send(q, "x", 1, 0), 0);
	CHECK_EQ(mq_receive(q, buf, 8, NULL), 1);
	mq_close(q);
}

static void read_only(void)
{
	mqd_t q = create(2, 8, 0), r;
	char buf[8];

	r = mq_open(name, O_RDONLY);
	CHECK(r >= 0);
	CHECK_ERR(mq_send(r, "x", 1, 0), EBADF);
	mq_close(r);
	r = mq_open(name, O_WRONLY);
	CHECK_ERR(mq_receive(r, buf, 8, NULL), EBADF);
	mq_close(r);
	mq_close(q);
	CHECK_ERR(mq_send(0, "x", 1, 0), EBADF);
	CHECK_EQ(mq_unlink(name), 0);
}

int main(void)
{
	mqd_t q;

	snprintf(name, sizeof(name), "/sentry-test-%d", getpid());
	q = mq_open(name, O_RDWR | O_CREAT, 0600, NULL);
	if (q < 0 && errno == ENOSYS)
		CHECK_SKIP("no POSIX message queues");
	mq_close(q);
	mq_unlink(name);
	order_and_limits();
	waiting();
	notification();
	unlinked();
	read_only();
	return check_status();
}
