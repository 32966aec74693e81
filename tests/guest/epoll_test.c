/* epoll(7). */
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/guest/check.h"

static struct epoll_event out[64];

static int ctl(int ep, int op, int fd, uint32_t events)
{
	struct epoll_event ev = {.events = events, .data.fd = fd};

	return epoll_ctl(ep, op, fd, &ev);
}

static int now(int ep)
{
	return epoll_wait(ep, out, 64, 0);
}

static void put(int fd)
{
	CHECK_EQ(write(fd, &(uint64_t){1}, 8), 8);
}

static void get(int fd)
{
	CHECK_EQ(read(fd, &(uint64_t){0}, 8), 8);
}

static void errors(void)
{
	int ep = epoll_create1(EPOLL_CLOEXEC), e = eventfd(0, 0), other = epoll_create(1);
	int file = open("/etc/passwd", O_RDONLY);

	CHECK_EQ(fcntl(ep, F_GETFD), FD_CLOEXEC);
	CHECK_ERR(epoll_create(0), EINVAL);
	CHECK_ERR(epoll_create1(4), EINVAL);
	CHECK_ERR(ctl(ep, EPOLL_CTL_ADD, 555, EPOLLIN), EBADF);
	CHECK_ERR(ctl(555, EPOLL_CTL_ADD, e, EPOLLIN), EBADF);
	CHECK_ERR(ctl(e, EPOLL_CTL_ADD, ep, EPOLLIN), EINVAL);
	CHECK_ERR(ctl(ep, EPOLL_CTL_ADD, ep, EPOLLIN), EINVAL);
	CHECK_ERR(ctl(ep, EPOLL_CTL_ADD, file, EPOLLIN), EPERM);
	CHECK_ERR(ctl(ep, EPOLL_CTL_MOD, e, EPOLLIN), ENOENT);
	CHECK_ERR(ctl(ep, EPOLL_CTL_DEL, e, EPOLLIN), ENOENT);
	CHECK_ERR(ctl(ep, 9, e, EPOLLIN), EINVAL);
	CHECK_EQ(ctl(ep, EPOLL_CTL_ADD, e, EPOLLIN), 0);
	CHECK_ERR(ctl(ep, EPOLL_CTL_ADD, e, EPOLLIN), EEXIST);
	CHECK_ERR(epoll_ctl(ep, EPOLL_CTL_MOD, e, NULL), EFAULT);
	CHECK_ERR(epoll_wait(ep, out, 0, 0), EINVAL);
	CHECK_ERR(syscall(SYS_epoll_wait, ep, out, -1, 0), EINVAL);
	CHECK_ERR(epoll_wait(e, out, 1, 0), EINVAL);
	put(e);
	CHECK_ERR(syscall(SYS_epoll_wait, ep, 8, 1, 0), EFAULT);
	CHECK_EQ(epoll_ctl(ep, EPOLL_CTL_DEL, e, NULL), 0);
	CHECK_EQ(now(ep), 0);
	CHECK_ERR(ctl(ep, EPOLL_CTL_ADD, other, EPOLLIN | EPOLLEXCLUSIVE), EINVAL);
	CHECK_EQ(ctl(ep, EPOLL_CTL_ADD, e, EPOLLIN | EPOLLEXCLUSIVE), 0);
	CHECK_ERR(ctl(ep, EPOLL_CTL_MOD, e, EPOLLIN), EINVAL);
	close(ep);
	close(e);
	close(other);
	close(file);
}

static void triggers(void)
{
	int ep = epoll_create1(0), e = eventfd(0, EFD_NONBLOCK);

	CHECK_EQ(ctl(ep, EPOLL_CTL_ADD, e, EPOLLIN), 0);
	CHECK_EQ(now(ep), 0);
	put(e);
	CHECK_EQ(now(ep), 1);
	CHECK_EQ(now(ep), 1);
	CHECK_EQ(out[0].data.fd, e);
	CHECK_EQ(out[0].events, EPOLLIN);
	get(e);
	CHECK_EQ(now(ep), 0);
	/* Edge: once an event; a write to what is readable is one more. */
	CHECK_EQ(ctl(ep, EPOLL_CTL_MOD, e, EPOLLIN | EPOLLET), 0);
	put(e);
	CHECK_EQ(now(ep), 1);
	CHECK_EQ(now(ep), 0);
	put(e);
	CHECK_EQ(now(ep), 1);
	CHECK_EQ(now(ep), 0);
	CHECK_EQ(ctl(ep, EPOLL_CTL_MOD, e, EPOLLIN | EPOLLET), 0);
	CHECK_EQ(now(ep), 1);
	/* One shot: disabled until it is set again. */
	CHECK_EQ(ctl(ep, EPOLL_CTL_MOD, e, EPOLLIN | EPOLLONESHOT), 0);
	CHECK_EQ(now(ep), 1);
	put(e);
	CHECK_EQ(now(ep), 0);
	CHECK_EQ(ctl(ep, EPOLL_CTL_MOD, e, EPOLLOUT | EPOLLONESHOT), 0);
	CHECK_EQ(now(ep), 1);
	CHECK_EQ(out[0].events, EPOLLOUT);
	close(ep);
	close(e);
}

static void fairness(void)
{
	int ep = epoll_create1(0), e[50], seen[64] = {0};

	for (int i = 0; i < 50; i++) {
		struct epoll_event ev = {.events = EPOLLIN, .data.u32 = (uint32_t)i};

		e[i] = eventfd(1, 0);
		CHECK_EQ(epoll_ctl(ep, EPOLL_CTL_ADD, e[i], &ev), 0);
	}
	CHECK_EQ(epoll_wait(ep, out, 64, -1), 50);
	/* Ten at a time, all have had their turn. */
	for (int round = 0; round < 5; round++) {
		CHECK_EQ(epoll_wait(ep, out, 10, -1), 10);
		for (int i = 0; i < 10; i++)
			seen[out[i].data.u32]++;
	}
	for (int i = 0; i < 50; i++) {
		CHECK_EQ(seen[i], 1);
		close(e[i]);
	}
	CHECK_EQ(now(ep), 0);
	close(ep);
}

static void closing(void)
{
	int ep = epoll_create1(0), p[2], d;

	REQUIRE(pipe(p) == 0);
	CHECK_EQ(ctl(ep, EPOLL_CTL_ADD, p[0], EPOLLIN), 0);
	d = dup(p[0]);
	/* The same file under another number is another item. */
	CHECK_EQ(ctl(ep, EPOLL_CTL_ADD, d, EPOLLIN), 0);
	write(p[1], "x", 1);
	CHECK_EQ(now(ep), 2);
	close(d);
	CHECK_EQ(now(ep), 2);
	close(p[1]);
	CHECK_EQ(now(ep), 2);
	CHECK_EQ(out[0].events, EPOLLIN | EPOLLHUP);
	close(p[0]);
	CHECK_EQ(now(ep), 0);
	/* The instance goes while items are there. */
	REQUIRE(pipe(p) == 0);
	CHECK_EQ(ctl(ep, EPOLL_CTL_ADD, p[1], EPOLLOUT), 0);
	close(ep);
	close(p[0]);
	close(p[1]);
}

static void nesting(void)
{
	int ep[7], e = eventfd(0, 0);

	for (int i = 0; i < 7; i++)
		ep[i] = epoll_create1(0);
	CHECK_EQ(ctl(ep[0], EPOLL_CTL_ADD, e, EPOLLIN), 0);
	for (int i = 1; i < 5; i++)
		CHECK_EQ(ctl(ep[i], EPOLL_CTL_ADD, ep[i - 1], EPOLLIN), 0);
	CHECK_ERR(ctl(ep[5], EPOLL_CTL_ADD, ep[4], EPOLLIN), ELOOP);
	CHECK_ERR(ctl(ep[0], EPOLL_CTL_ADD, ep[4], EPOLLIN), ELOOP);
	CHECK_ERR(ctl(ep[0], EPOLL_CTL_ADD, ep[1], EPOLLIN), ELOOP);
	CHECK_EQ(now(ep[4]), 0);
	put(e);
	CHECK_EQ(now(ep[4]), 1);
	CHECK_EQ(out[0].data.fd, ep[3]);
	struct pollfd p = {ep[4], POLLIN, 0};

	CHECK_EQ(poll(&p, 1, 0), 1);
	get(e);
	CHECK_EQ(poll(&p, 1, 0), 0);
	CHECK_EQ(now(ep[4]), 0);
	for (int i = 0; i < 7; i++)
		close(ep[i]);
	close(e);
}

static void *wait_one(void *arg)
{
	struct epoll_event ev;

	return (void *)(intptr_t)epoll_wait(*(int *)arg, &ev, 1, 5000);
}

static void waiting(void)
{
	struct timespec ts = {0, 20000000};
	int ep = epoll_create1(0), a = eventfd(0, 0), b = eventfd(0, 0);
	pthread_t t[2];
	void *r;

	CHECK_EQ(epoll_wait(ep, out, 1, 20), 0);
	CHECK_EQ(syscall(SYS_epoll_pwait2, ep, out, 1, &ts, NULL, 8), 0);
	CHECK_EQ(ctl(ep, EPOLL_CTL_ADD, a, EPOLLIN), 0);
	/* An item added while someone waits. */
	pthread_create(&t[0], NULL, wait_one, &ep);
	usleep(20000);
	put(b);
	CHECK_EQ(ctl(ep, EPOLL_CTL_ADD, b, EPOLLIN), 0);
	pthread_join(t[0], &r);
	CHECK_EQ((intptr_t)r, 1);
	get(b);
	/* Two wait, two events come: each gets one. */
	CHECK_EQ(ctl(ep, EPOLL_CTL_MOD, a, EPOLLIN | EPOLLET), 0);
	CHECK_EQ(ctl(ep, EPOLL_CTL_MOD, b, EPOLLIN | EPOLLET), 0);
	pthread_create(&t[0], NULL, wait_one, &ep);
	pthread_create(&t[1], NULL, wait_one, &ep);
	usleep(20000);
	put(a);
	put(b);
	for (int i = 0; i < 2; i++) {
		pthread_join(t[i], &r);
		CHECK_EQ((intptr_t)r, 1);
	}
	close(ep);
	close(a);
	close(b);
}

static volatile int busy_stop;

static void *busy_writer(void *arg)
{
	do {
		put(*(int *)arg);
		get(*(int *)arg);
		put(*(int *)arg);
	} while (!busy_stop);
	return NULL;
}

/* Woken again and again while it is being reported, an item is still reported once a call. */
static void busy(void)
{
	int ep = epoll_create1(0), e = eventfd(0, EFD_SEMAPHORE);
	pthread_t t;

	CHECK_EQ(ctl(ep, EPOLL_CTL_ADD, e, EPOLLIN), 0);
	pthread_create(&t, NULL, busy_writer, &e);
	for (int i = 0; i < 20000; i++)
		CHECK(epoll_wait(ep, out, 8, 0) <= 1);
	busy_stop = 1;
	pthread_join(t, NULL);
	CHECK_EQ(now(ep), 1);
	close(ep);
	close(e);
}

static volatile sig_atomic_t hits;

static void on_signal(int sig)
{
	hits++;
}

static void masks(void)
{
	struct sigaction sa = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
	int ep = epoll_create1(0);
	sigset_t none, blocked;

	sigaction(SIGALRM, &sa, NULL);
	check_alarms(20000);
	CHECK_ERR(epoll_wait(ep, out, 1, 50000), EINTR);
	check_alarms(0);
	CHECK(hits > 0);
	hits = 0;
	sigemptyset(&none);
	sigemptyset(&blocked);
	sigaddset(&blocked, SIGALRM);
	sigprocmask(SIG_BLOCK, &blocked, NULL);
	raise(SIGALRM);
	CHECK_EQ(epoll_wait(ep, out, 1, 10), 0);
	CHECK_ERR(epoll_pwait(ep, out, 1, 5000, &none), EINTR);
	CHECK_EQ(hits, 1);
	sigprocmask(SIG_UNBLOCK, &blocked, NULL);
	close(ep);
}

int main(void)
{
	errors();
	triggers();
	fairness();
	closing();
	nesting();
	waiting();
	busy();
	masks();
	return check_status();
}
