/* No descriptor is free: what a call would have taken or made stays as it was. Numbers that are kept for
 * calls under way. */
#include <fcntl.h>
#include <mqueue.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tests/guest/check.h"

static struct rlimit before;
static int *volatile nowhere = (int *)8;

/* No descriptor is left from now on. */
static void fill(void)
{
	struct rlimit l;
	int fd;

	getrlimit(RLIMIT_NOFILE, &before);
	fd = dup(0);
	REQUIRE(fd > 0);
	close(fd);
	l = (struct rlimit){(rlim_t)fd, before.rlim_max};
	REQUIRE(setrlimit(RLIMIT_NOFILE, &l) == 0);
}

static void unfill(void)
{
	setrlimit(RLIMIT_NOFILE, &before);
}

static int listener(int domain, struct sockaddr_storage *a, socklen_t *len)
{
	int l = socket(domain, SOCK_STREAM, 0);

	memset(a, 0, sizeof(*a));
	a->ss_family = (sa_family_t)domain;
	*len = domain == AF_UNIX ? sizeof(sa_family_t) : sizeof(struct sockaddr_in);
	if (domain == AF_INET)
		((struct sockaddr_in *)a)->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	REQUIRE(bind(l, (void *)a, *len) == 0);
	REQUIRE(listen(l, 5) == 0);
	*len = sizeof(*a);
	REQUIRE(getsockname(l, (void *)a, len) == 0);
	return l;
}

static void accepting(int domain)
{
	struct sockaddr_storage a;
	socklen_t len;
	int l = listener(domain, &a, &len), c = socket(domain, SOCK_STREAM, 0), s, p[2];
	char buf[8];

	REQUIRE(pipe(p) == 0);
	fill();
	/* At once, though nobody is there to be accepted. */
	CHECK_ERR(accept(l, NULL, NULL), EMFILE);
	CHECK_EQ(connect(c, (void *)&a, len), 0);
	CHECK_EQ(write(c, "kept", 4), 4);
	CHECK_ERR(accept(l, NULL, NULL), EMFILE);
	CHECK_ERR(accept4(l, NULL, NULL, SOCK_NONBLOCK), EMFILE);
	CHECK_ERR(accept(p[0], NULL, NULL), EMFILE);
	CHECK_ERR(accept4(l, NULL, NULL, 1), EINVAL);
	CHECK_ERR(accept4(-1, NULL, NULL, 1), EBADF);
	unfill();
	CHECK_ERR(accept(p[0], NULL, NULL), ENOTSOCK);
	s = accept(l, NULL, NULL);
	CHECK(s >= 0);
	CHECK_EQ(read(s, buf, 8), 4);
	/* A connection whose address can't be told is lost. */
	close(c);
	c = socket(domain, SOCK_STREAM, 0);
	CHECK_EQ(connect(c, (void *)&a, len), 0);
	CHECK_ERR(accept(l, (void *)8, &len), EFAULT);
	CHECK_EQ(fcntl(l, F_SETFL, O_NONBLOCK), 0);
	CHECK_ERR(accept(l, NULL, NULL), EAGAIN);
	CHECK_EQ(read(c, buf, 1) <= 0, 1);
	close(c);
	close(s);
	close(l);
	close(p[0]);
	close(p[1]);
}

static void opening(void)
{
	char dir[] = "fd_full.XXXXXX", path[64], fifo[64];
	struct stat st;
	int fd;

	REQUIRE(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/file", dir);
	snprintf(fifo, sizeof(fifo), "%s/fifo", dir);
	fd = open(path, O_CREAT | O_WRONLY, 0600);
	CHECK_EQ(write(fd, "kept", 4), 4);
	close(fd);
	CHECK_EQ(mkfifo(fifo, 0600), 0);
	fill();
	CHECK_ERR(open(path, O_RDWR | O_TRUNC), EMFILE);
	CHECK_ERR(open(fifo, O_RDONLY), EMFILE);
	CHECK_ERR(open("/not there, and not asked for before", O_RDONLY), EMFILE);
	CHECK_ERR(open("", O_RDONLY), ENOENT);
	CHECK_ERR(open((char *)8, O_RDONLY), EFAULT);
	CHECK_ERR(openat(-5, "x", O_RDONLY), EMFILE);
	CHECK_EQ(stat(path, &st), 0);
	CHECK_EQ(st.st_size, 4);
	CHECK_EQ(unlink(path), 0);
	CHECK_ERR(open(path, O_CREAT | O_WRONLY, 0600), EMFILE);
	CHECK_ERR(access(path, F_OK), ENOENT);
	CHECK_ERR(mq_open("/fd_full", O_CREAT | O_RDWR, 0600, NULL), EMFILE);
	unfill();
	CHECK_ERR(mq_open("/fd_full", O_RDWR), ENOENT);
	unlink(fifo);
	CHECK_EQ(rmdir(dir), 0);
}

static void pairs(void)
{
	int p[2] = {-5, -5}, next = dup(0);

	close(next);
	CHECK_ERR(pipe(nowhere), EFAULT);
	CHECK_ERR(socketpair(AF_UNIX, SOCK_STREAM, 0, nowhere), EFAULT);
	CHECK_ERR(socketpair(AF_INET, SOCK_STREAM, 0, nowhere), EFAULT);
	CHECK_ERR(socketpair(AF_INET, SOCK_STREAM, 0, p), EOPNOTSUPP);
	CHECK_EQ(p[0], next); /* told before it was known whether there will be any */
	CHECK_EQ(p[1], next + 1);
	CHECK_EQ(dup(0), next);
	fill();
	CHECK_ERR(socketpair(AF_INET, SOCK_STREAM, 0, p), EMFILE);
	CHECK_ERR(socketpair(AF_UNIX, SOCK_STREAM, 0, p), EMFILE);
	CHECK_ERR(pipe(p), EMFILE);
	unfill();
	close(next);
}

/* ---- a number that is kept for a call under way ---------------------------------------------------- */

static int reader_tid;
static const char *fifo_path;

static void *open_fifo(void *got)
{
	__atomic_store_n(&reader_tid, gettid(), __ATOMIC_RELEASE);
	*(int *)got = open(fifo_path, O_RDONLY);
	return NULL;
}

static int child_next;

/* In the child of a fork nobody is about to open something there. */
static void number_is_free(void)
{
	CHECK_EQ(dup(0), child_next);
	CHECK_EQ(dup2(0, child_next), child_next);
}

static void reserved(void)
{
	char dir[] = "fd_full.XXXXXX", path[64];
	int next = dup(0), above, got = -1, w;
	pthread_t t;

	REQUIRE(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/fifo", dir);
	fifo_path = path;
	CHECK_EQ(mkfifo(path, 0600), 0);
	above = dup(0);
	CHECK_EQ(above, next + 1);
	close(next);
	pthread_create(&t, NULL, open_fifo, &got);
	while (!__atomic_load_n(&reader_tid, __ATOMIC_ACQUIRE))
		usleep(1000);
	check_asleep(reader_tid);
	CHECK_ERR(dup2(0, next), EBUSY);
	CHECK_ERR(dup3(0, next, O_CLOEXEC), EBUSY);
	CHECK_ERR(close(next), EBADF);
	CHECK_ERR(fcntl(next, F_GETFD), EBADF);
	CHECK_EQ(dup(0), next + 2);
	close(next + 2);
	child_next = next;
	check_in_child(number_is_free);
	CHECK_EQ(syscall(SYS_close_range, next, ~0U, 0), 0);
	CHECK_ERR(fcntl(above, F_GETFD), EBADF);
	w = open(path, O_WRONLY);
	CHECK_EQ(w, above);
	pthread_join(t, NULL);
	CHECK_EQ(got, next);
	CHECK_EQ(fcntl(next, F_GETFD), 0);
	close(w);
	close(got);
	unlink(path);
	CHECK_EQ(rmdir(dir), 0);
}

int main(void)
{
	accepting(AF_UNIX);
	accepting(AF_INET);
	opening();
	pairs();
	reserved();
	return check_status();
}
