/* Results of system calls at the edge of what the program may write: unmapped, read-only and partly
 * mapped buffers at each offset around the end of a page, buffers that overlap what the call reads,
 * and memory that another thread takes away meanwhile. */
#include "tests/guest/check.h"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PAGE 4096
#define DATA 300 /* bytes that a source holds */

static const int offsets[] = {0, 1, 7, 8, 9, 15, 63, 64, 65, 127, 128, 129, 255, 299};
#define NOFFSETS (int)(sizeof(offsets) / sizeof(offsets[0]))

static char pattern(size_t i)
{
	return (char)(i * 131 + (i >> 8) * 7 + 1);
}

static void fill(char *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		p[i] = pattern(i);
}

static int differs(const char *p, size_t from, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (p[i] != pattern(from + i))
			return 1;
	return 0;
}

/* A page that may be written, and behind it one that may not. */
enum behind { UNMAPPED, READ_ONLY, NO_ACCESS, NBEHIND };
static char *edge(enum behind kind)
{
	char *p = mmap(NULL, 3 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	REQUIRE(p != MAP_FAILED);
	memset(p, 0x55, 2 * PAGE);
	if (kind == UNMAPPED)
		REQUIRE(munmap(p + PAGE, 2 * PAGE) == 0);
	else
		REQUIRE(mprotect(p + PAGE, 2 * PAGE,
				 kind == READ_ONLY ? PROT_READ : PROT_NONE) == 0);
	return p + PAGE;
}

static void edge_free(char *end)
{
	munmap(end - PAGE, 3 * PAGE);
}

static int data_file(size_t n)
{
	char name[] = "copy_out_XXXXXX", *data = malloc(n);
	int fd = mkstemp(name);

	REQUIRE(fd >= 0 && data);
	unlink(name);
	fill(data, n);
	REQUIRE(write(fd, data, n) == (ssize_t)n);
	free(data);
	return fd;
}

static void fill_stream(int fd)
{
	char data[DATA];

	fill(data, DATA);
	REQUIRE(write(fd, data, DATA) == DATA);
}

/* A regular file gives what fits, a stream nothing and keeps all. */
static void test_read_at_the_edge(void)
{
	int file = data_file(DATA), p[2], s[2];
	char all[DATA];

	REQUIRE(pipe(p) == 0 && socketpair(AF_UNIX, SOCK_STREAM, 0, s) == 0);
	fill_stream(p[1]);
	fill_stream(s[1]);
	for (int kind = 0; kind < NBEHIND; kind++) {
		char *end = edge(kind);

		for (int i = 0; i < NOFFSETS; i++) {
			int k = offsets[i];

			memset(end - PAGE, 0, PAGE);
			if (k == 0)
				CHECK_ERR(pread(file, end, DATA, 0), EFAULT);
			else
				CHECK_EQ(pread(file, end - k, DATA, 0), k);
			CHECK(!differs(end - k, 0, (size_t)k));
			CHECK_EQ(end[-k - 1], 0);
			CHECK_ERR(read(p[0], end - k, DATA), EFAULT);
			CHECK_ERR(read(s[0], end - k, DATA), EFAULT);
			CHECK_ERR(recv(s[0], end - k, DATA, MSG_PEEK), EFAULT);
			CHECK_ERR(recv(s[0], end - k, DATA, 0), EFAULT);
		}
		CHECK_EQ(pread(file, end - DATA, DATA, 0), DATA);
		CHECK(!differs(end - DATA, 0, DATA));
		edge_free(end);
	}
	CHECK_EQ(read(p[0], all, DATA), DATA);
	CHECK(!differs(all, 0, DATA));
	CHECK_EQ(read(s[0], all, DATA), DATA);
	CHECK(!differs(all, 0, DATA));
	close(file), close(p[0]), close(p[1]), close(s[0]), close(s[1]);
}

static void test_readv_at_the_edge(void)
{
	int file = data_file(DATA), p[2];
	char *end = edge(UNMAPPED), first[100];

	REQUIRE(pipe(p) == 0);
	fill_stream(p[1]);
	for (int i = 0; i < NOFFSETS; i++) {
		int k = offsets[i], want = k < DATA - 100 ? 100 + k : DATA;
		struct iovec v[2] = {{first, 100}, {end - k, DATA}};

		memset(first, 0, sizeof(first));
		CHECK_EQ(preadv(file, v, 2, 0), want);
		CHECK(!differs(first, 0, 100));
		CHECK(!differs(end - k, 100, (size_t)want - 100));
		v[0].iov_base = end;
		CHECK_ERR(preadv(file, v, 2, 0), EFAULT);
		if (k < DATA - 100)
			CHECK_ERR(readv(p[0], v, 2), EFAULT);
	}
	CHECK_EQ(read(p[0], end - DATA, DATA), DATA);
	CHECK(!differs(end - DATA, 0, DATA));
	edge_free(end);
	close(file), close(p[0]), close(p[1]);
}

/* Structures: all or EFAULT. */
static void test_structs_at_the_edge(void)
{
	char *end = edge(UNMAPPED), *ro = edge(READ_ONLY);
	int fd = open("/", O_RDONLY | O_DIRECTORY);
	struct stat st;

	REQUIRE(fd >= 0 && stat("/", &st) == 0);
	for (int k = 0; k < 144; k += k < 16 ? 1 : 13) {
		CHECK_ERR(syscall(SYS_newfstatat, AT_FDCWD, "/", end - k, 0), EFAULT);
		CHECK_ERR(syscall(SYS_fstat, fd, ro - k), EFAULT);
		CHECK_ERR(syscall(SYS_uname, end - k), EFAULT);
		CHECK_ERR(syscall(SYS_getrusage, RUSAGE_SELF, ro - k), EFAULT);
	}
	CHECK_EQ(syscall(SYS_newfstatat, AT_FDCWD, "/", end - sizeof(st), 0), 0);
	CHECK_EQ(((struct stat *)(end - sizeof(st)))->st_ino, st.st_ino);
	for (int k = 0; k < 16; k++) {
		CHECK_ERR(syscall(SYS_clock_gettime, CLOCK_MONOTONIC, end - k), EFAULT);
		CHECK_ERR(syscall(SYS_getrlimit, RLIMIT_NOFILE, ro - k), EFAULT);
	}
	CHECK_EQ(syscall(SYS_clock_gettime, CLOCK_MONOTONIC, end - 16), 0);
	CHECK_ERR(syscall(SYS_statx, fd, "", AT_EMPTY_PATH, STATX_ALL, end - 255), EFAULT);
	CHECK_EQ(syscall(SYS_statx, fd, "", AT_EMPTY_PATH, STATX_ALL, end - 256), 0);
	CHECK_ERR(syscall(SYS_getcwd, ro, PAGE), EFAULT);
	CHECK_ERR(syscall(SYS_getdents64, fd, end, PAGE), EFAULT);
	CHECK_ERR(syscall(SYS_getdents64, fd, end - 8, PAGE), EFAULT);
	CHECK(syscall(SYS_getdents64, fd, end - PAGE, PAGE) > 0);
	CHECK_ERR(syscall(SYS_getrandom, end, 16, 0), EFAULT);
	edge_free(end);
	edge_free(ro);
	close(fd);
}

static int lowest_free_fd(void)
{
	int fd = dup(1);

	close(fd);
	return fd;
}

static void test_pairs_and_events_at_the_edge(void)
{
	char *end = edge(UNMAPPED), *ro = edge(READ_ONLY);
	int before = lowest_free_fd(), ep, ev;
	struct epoll_event e = {.events = EPOLLIN, .data.u64 = 0x1122334455667788};

	for (int k = 0; k < 8; k++) {
		CHECK_ERR(syscall(SYS_pipe2, end - k, 0), EFAULT);
		CHECK_ERR(syscall(SYS_socketpair, AF_UNIX, SOCK_STREAM, 0, ro - k), EFAULT);
	}
	CHECK_EQ(lowest_free_fd(), before);
	CHECK_EQ(syscall(SYS_pipe2, end - 8, 0), 0);
	CHECK_EQ(((int *)end)[-2], before);
	close(before), close(((int *)end)[-1]);
	ep = epoll_create1(0);
	ev = eventfd(1, EFD_NONBLOCK);
	REQUIRE(ep >= 0 && ev >= 0 && epoll_ctl(ep, EPOLL_CTL_ADD, ev, &e) == 0);
	for (int k = 0; k < 12; k++)
		CHECK_ERR(epoll_wait(ep, (void *)(end - k), 1, 0), EFAULT);
	CHECK_EQ(epoll_wait(ep, (void *)(end - 12), 1, 0), 1);
	memcpy(&e, end - 12, 12);
	CHECK_EQ(e.data.u64, 0x1122334455667788);
	CHECK_ERR(read(ev, ro - 3, 8), EFAULT);
	CHECK_ERR(read(ev, ro - 8, 8), EAGAIN); /* the count is gone */
	CHECK_ERR(poll((void *)(ro - 4), 1, 0), EFAULT);
	memset(ro - 8, 0, 8);
	close(ep), close(ev);
	edge_free(end);
	edge_free(ro);
}

/* What the call has done stays done. */
static void test_effects_of_calls_that_fail(void)
{
	char *ro = edge(READ_ONLY);
	sigset_t usr1, old, now;
	pid_t pid = fork();

	if (pid == 0)
		_exit(3);
	CHECK_ERR(waitpid(pid, (int *)(void *)ro, 0), EFAULT);
	CHECK_ERR(waitpid(pid, NULL, 0), ECHILD);
	sigemptyset(&usr1);
	sigaddset(&usr1, SIGUSR1);
	REQUIRE(sigprocmask(SIG_SETMASK, NULL, &old) == 0);
	CHECK_ERR(syscall(SYS_rt_sigprocmask, SIG_BLOCK, &usr1, ro, 8), EFAULT);
	REQUIRE(sigprocmask(SIG_SETMASK, &old, &now) == 0);
	CHECK(sigismember(&now, SIGUSR1));
	edge_free(ro);
}

/* Behind the end of a file that is mapped there is no page. */
static void test_buffers_in_mapped_files(void)
{
	int file = data_file(2 * PAGE), p[2];
	char *priv = mmap(NULL, 3 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, file, 0);
	char *shared = mmap(NULL, 3 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
	char all[DATA];

	REQUIRE(priv != MAP_FAILED && shared != MAP_FAILED && pipe(p) == 0);
	fill_stream(p[1]);
	CHECK_ERR(read(p[0], priv + 2 * PAGE, DATA), EFAULT);
	CHECK_ERR(read(p[0], shared + 2 * PAGE - 5, DATA), EFAULT);
	REQUIRE(ftruncate(file, PAGE) == 0);
	CHECK_ERR(read(p[0], priv + PAGE, DATA), EFAULT);
	CHECK_ERR(read(p[0], shared + PAGE, DATA), EFAULT);
	CHECK_EQ(read(p[0], shared + 10, 100), 100);
	CHECK_EQ(pread(file, all, 100, 10), 100);
	CHECK(!differs(all, 0, 100));
	CHECK_EQ(read(p[0], priv + 10, DATA), DATA - 100);
	CHECK(!differs(priv + 10, 100, DATA - 100));
	munmap(priv, 3 * PAGE);
	munmap(shared, 3 * PAGE);
	close(file), close(p[0]), close(p[1]);
}

/* The call reads its arguments before it writes, or what it has written itself. */
static void test_overlaps(void)
{
	int file = data_file(DATA);
	struct iovec v[3];
	char a[64], b[64], c[64];
	struct sigaction act = {.sa_handler = SIG_IGN};
	pid_t self = getpid();

	memset(v, 0, sizeof(v));
	v[0] = (struct iovec){v, sizeof(v[0]) * 2};
	v[1] = (struct iovec){a, 8};
	CHECK_EQ(preadv(file, v, 2, 0), 40);
	CHECK(!differs((char *)v, 0, 32) && !differs(a, 32, 8));
	/* Of two that overlap the last wins. */
	v[0] = (struct iovec){a, 64};
	v[1] = (struct iovec){a + 16, 16};
	CHECK_EQ(preadv(file, v, 2, 0), 80);
	CHECK(!differs(a, 0, 16) && !differs(a + 16, 64, 16) && !differs(a + 32, 32, 32));
	/* Copies one after the other: c gets what b just got. */
	fill(a, sizeof(a));
	memset(b, 0, sizeof(b));
	{
		struct iovec to[2] = {{b, 64}, {c, 64}}, from[2] = {{a, 64}, {b, 64}};

		CHECK_EQ(process_vm_readv(self, to, 2, from, 2, 0), 128);
		CHECK(!differs(c, 0, 64));
	}
	/* The old action is written over the new one. */
	{
		struct {
			void *handler;
			uint64_t flags, restorer, mask;
		} k = {(void *)SIG_IGN, 0, 0, 0};

		CHECK_EQ(syscall(SYS_rt_sigaction, SIGUSR2, &k, &k, 8), 0);
		CHECK(k.handler == (void *)SIG_DFL);
		CHECK_EQ(sigaction(SIGUSR2, NULL, &act), 0);
		CHECK(act.sa_handler == SIG_IGN);
	}
	close(file);
}

static void test_sizes(void)
{
	static char in_data[3 * PAGE] = "x"; /* .data, a private mapping of the program's file */
	static const size_t sizes[] = {1, 3, 100, 4095, 4096, 4097, 20000, 65535, 65536, 65537,
				       100000, 500000};
	int file = data_file(500000);
	char *buf = malloc(500016);
	struct iovec v[400];

	REQUIRE(buf);
	for (unsigned i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
		for (int shift = 0; shift < 9; shift += 4) {
			memset(buf, 0, 500016);
			CHECK_EQ(pread(file, buf + shift, sizes[i], 0), sizes[i]);
			CHECK(!differs(buf + shift, 0, sizes[i]));
			CHECK_EQ(buf[shift + sizes[i]], 0);
		}
	for (int i = 0; i < 400; i++)
		v[i] = (struct iovec){buf + i * 100, (size_t)i % 90};
	CHECK_EQ(preadv(file, v, 400, 0), 4 * 90 * 89 / 2 + 40 * 39 / 2);
	for (size_t i = 0, at = 0; i < 400; at += v[i++].iov_len)
		CHECK(!differs(v[i].iov_base, at, v[i].iov_len));
	CHECK_EQ(pread(file, in_data + 1000, 2 * PAGE, 5), 2 * PAGE);
	CHECK(!differs(in_data + 1000, 5, 2 * PAGE) && in_data[0] == 'x');
	free(buf);
	close(file);
}

/* A signal that comes as the call ends: handler and program both find their results. */
static int signal_file;
static atomic_int handled;

static void on_alarm(int signo)
{
	char buf[5000];

	if (pread(signal_file, buf, sizeof(buf), 7) != sizeof(buf) || differs(buf, 7, sizeof(buf)))
		CHECK_FAIL("in the handler");
	handled++;
}

static void test_results_and_signals(void)
{
	struct itimerval it = {{0, 500}, {0, 500}}, off = {0};
	struct sigaction act = {.sa_handler = on_alarm};
	char buf[3000];

	signal_file = data_file(10000);
	sigaction(SIGALRM, &act, NULL);
	setitimer(ITIMER_REAL, &it, NULL);
	for (int i = 0; i < 200000 && handled < 50; i++) {
		memset(buf, 0, 16);
		CHECK_EQ(pread(signal_file, buf, sizeof(buf), i % 1000), sizeof(buf));
		if (differs(buf, (size_t)i % 1000, sizeof(buf))) {
			CHECK_FAIL("round %d", i);
			break;
		}
		if (i % 8 == 0)
			raise(SIGALRM);
	}
	setitimer(ITIMER_REAL, &off, NULL);
	close(signal_file);
}

/* A thread takes the buffer away and gives it back: each call says EFAULT or gives its bytes. */
static char *volatile contested;
static atomic_bool stop;

static void *taker(void *arg)
{
	int mode = 0;

	while (!stop) {
		switch (mode++ % 3) {
		case 0:
			mprotect(contested, 2 * PAGE, PROT_READ);
			mprotect(contested, 2 * PAGE, PROT_READ | PROT_WRITE);
			break;
		case 1:
			munmap(contested, PAGE);
			mmap(contested, PAGE, PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
			break;
		default:
			mmap(contested, 2 * PAGE, PROT_NONE,
			     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
			mmap(contested, 2 * PAGE, PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
		}
	}
	return arg;
}

static void test_memory_that_goes_away(void)
{
	int file = data_file(2 * PAGE), good = 0, bad = 0;
	struct stat st;
	pthread_t th;

	contested = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	REQUIRE(contested != MAP_FAILED);
	REQUIRE(pthread_create(&th, NULL, taker, NULL) == 0);
	for (int i = 0; i < 3000; i++) {
		ssize_t r = pread(file, contested + i % 64, PAGE, 0);

		if (r >= 0)
			good++;
		else if (errno == EFAULT)
			bad++;
		else
			CHECK_FAIL("pread: %zd, errno %d", r, errno);
		r = syscall(SYS_fstat, file, contested + PAGE - i % 144);
		if (r != 0 && errno != EFAULT)
			CHECK_FAIL("fstat: %zd, errno %d", r, errno);
	}
	stop = 1;
	pthread_join(th, NULL);
	CHECK_EQ(good + bad, 3000);
	CHECK_EQ(fstat(file, &st), 0);
	close(file);
	munmap(contested, 2 * PAGE);
}

/* Others see the result once the call has returned. */
static void test_results_are_there_for_others(void)
{
	int p[2], q[2], st;
	uint64_t v = 0;
	pid_t pid;

	REQUIRE(pipe(p) == 0 && pipe(q) == 0);
	for (uint64_t i = 1; i < 50; i++) {
		REQUIRE(write(p[1], &i, 8) == 8);
		CHECK_EQ(read(p[0], &v, 8), 8);
		CHECK_EQ(write(q[1], &v, 8), 8);
		v = 0;
		CHECK_EQ(read(q[0], &v, 8), 8);
		CHECK_EQ(v, i);
	}
	pid = fork();
	if (pid == 0)
		_exit(v == 49 ? 7 : 1);
	CHECK_EQ(waitpid(pid, &st, 0), pid);
	CHECK(WIFEXITED(st) && WEXITSTATUS(st) == 7);
	close(p[0]), close(p[1]), close(q[0]), close(q[1]);
}

int main(void)
{
	test_read_at_the_edge();
	test_readv_at_the_edge();
	test_structs_at_the_edge();
	test_pairs_and_events_at_the_edge();
	test_effects_of_calls_that_fail();
	test_buffers_in_mapped_files();
	test_overlaps();
	test_sizes();
	test_results_and_signals();
	test_memory_that_goes_away();
	test_results_are_there_for_others();
	return check_status();
}
