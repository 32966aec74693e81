/* Micro benchmarks: what single operations cost. Runs natively and in any sandbox; prints a line
 * "NAME NANOSECONDS" for each, the median of several rounds of the time for one operation.
 *
 *	micro [NAME...]		all, or those whose name begins with a NAME */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "bench.h"

#define ROUNDS 7
#define ROUND_NS 30000000u

/* ---- what is measured ----------------------------------------------------------------------------- */

static int fd_zero, fd_null, fd_file;
static char buf[65536];
static const char *self;

static void setup_files(void)
{
	char name[] = "/tmp/sentry-bench-XXXXXX";

	fd_zero = open("/dev/zero", O_RDONLY);
	fd_null = open("/dev/null", O_WRONLY);
	fd_file = mkstemp(name);
	if (fd_zero < 0 || fd_null < 0 || fd_file < 0)
		die("open");
	unlink(name);
	for (int i = 0; i < 16; i++)
		if (write(fd_file, buf, sizeof(buf)) != sizeof(buf))
			die("write");
}

static void do_getpid(void)
{
	syscall(SYS_getpid);
}

static void do_getppid(void)
{
	syscall(SYS_getppid);
}

static void do_clock(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
}

static void do_read1(void)
{
	if (read(fd_zero, buf, 1) != 1)
		die("read");
}

static void do_write1(void)
{
	if (write(fd_null, buf, 1) != 1)
		die("write");
}

static void do_read4k(void)
{
	if (read(fd_zero, buf, 4096) != 4096)
		die("read");
}

static void do_write4k(void)
{
	if (write(fd_null, buf, 4096) != 4096)
		die("write");
}

static void do_pread4k(void)
{
	if (pread(fd_file, buf, 4096, 8192) != 4096)
		die("pread");
}

static void do_pread64k(void)
{
	if (pread(fd_file, buf, 65536, 65536) != 65536)
		die("pread");
}

static void do_stat(void)
{
	struct stat st;

	if (stat("/usr/bin/env", &st))
		die("stat");
}

static void do_open(void)
{
	int fd = open("/usr/bin/env", O_RDONLY);

	if (fd < 0)
		die("open");
	close(fd);
}

static void do_mmap(void)
{
	void *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		die("mmap");
	munmap(p, 4096);
}

/* 4,096 first touches. The operation is one of them. */
#define FAULT_PAGES 4096
static void do_fault(void)
{
	char *p = mmap(NULL, FAULT_PAGES * 4096ul, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		die("mmap");
	madvise(p, FAULT_PAGES * 4096ul, MADV_NOHUGEPAGE);
	for (size_t i = 0; i < FAULT_PAGES; i++)
		p[i * 4096] = 1;
	munmap(p, FAULT_PAGES * 4096ul);
}

static void reap(pid_t pid)
{
	int st;

	if (pid < 0 || waitpid(pid, &st, 0) != pid || st)
		die("child");
}

static void do_fork(void)
{
	pid_t pid = fork();

	if (pid == 0)
		_exit(0);
	reap(pid);
}

static void do_exec(void)
{
	pid_t pid = fork();

	if (pid == 0) {
		execl(self, self, "--nothing", (char *)NULL);
		_exit(1);
	}
	reap(pid);
}

static void do_vfork_exec(void)
{
	pid_t pid = vfork();

	if (pid == 0) {
		execl(self, self, "--nothing", (char *)NULL);
		_exit(1);
	}
	reap(pid);
}

static void *thread_nothing(void *arg)
{
	return arg;
}

static void do_thread(void)
{
	pthread_t t;

	if (pthread_create(&t, NULL, thread_nothing, NULL))
		die("pthread_create");
	pthread_join(t, NULL);
}

static volatile sig_atomic_t caught;

static void on_signal(int sig)
{
	caught = sig;
}

static void setup_signal(void)
{
	signal(SIGUSR1, on_signal);
}

static void do_signal(void)
{
	raise(SIGUSR1);
}

/* ---- two parties: each operation is a round trip ------------------------------------------------- */

static int to_peer[2], from_peer[2];
static pid_t peer;

static void echo_loop(int in, int out)
{
	char c;

	while (read(in, &c, 1) == 1)
		if (write(out, &c, 1) != 1)
			break;
	_exit(0);
}

static void setup_pipe(void)
{
	if (pipe(to_peer) || pipe(from_peer))
		die("pipe");
	peer = fork();
	if (peer == 0) {
		close(to_peer[1]);
		echo_loop(to_peer[0], from_peer[1]);
	}
}

static void do_pipe(void)
{
	char c = 1;

	if (write(to_peer[1], &c, 1) != 1 || read(from_peer[0], &c, 1) != 1)
		die("pipe");
}

static void end_pipe(void)
{
	close(to_peer[1]);
	reap(peer);
	close(to_peer[0]);
	close(from_peer[0]);
	close(from_peer[1]);
}

static void setup_unix(void)
{
	if (socketpair(AF_UNIX, SOCK_STREAM, 0, to_peer))
		die("socketpair");
	peer = fork();
	if (peer == 0) {
		close(to_peer[0]);
		echo_loop(to_peer[1], to_peer[1]);
	}
	close(to_peer[1]);
}

static void do_unix(void)
{
	char c = 1;

	if (write(to_peer[0], &c, 1) != 1 || read(to_peer[0], &c, 1) != 1)
		die("socket");
}

static void end_unix(void)
{
	close(to_peer[0]);
	reap(peer);
}

static int epoll_fd, event_fd;

static void setup_epoll(void)
{
	struct epoll_event ev = {.events = EPOLLIN};

	epoll_fd = epoll_create1(0);
	event_fd = eventfd(0, 0);
	if (epoll_fd < 0 || event_fd < 0 || epoll_ctl(epoll_fd, EPOLL_CTL_ADD, event_fd, &ev))
		die("epoll");
}

/* Signal an eventfd, find it ready, read it. */
static void do_epoll(void)
{
	struct epoll_event ev;
	uint64_t v = 1;

	if (write(event_fd, &v, 8) != 8 || epoll_wait(epoll_fd, &ev, 1, -1) != 1 ||
	    read(event_fd, &v, 8) != 8)
		die("epoll");
}

static _Atomic uint32_t turn;
static pthread_t futex_thread;

static void futex_wait_for(uint32_t mine)
{
	for (;;) {
		uint32_t v = atomic_load(&turn);

		if (v == mine || v == 2)
			return;
		syscall(SYS_futex, &turn, FUTEX_WAIT_PRIVATE, v, NULL, NULL, 0);
	}
}

static void futex_pass(uint32_t next)
{
	atomic_store(&turn, next);
	syscall(SYS_futex, &turn, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

static void *futex_peer(void *arg)
{
	for (;;) {
		futex_wait_for(1);
		if (atomic_load(&turn) == 2)
			return arg;
		futex_pass(0);
	}
}

static void setup_futex(void)
{
	atomic_store(&turn, 0);
	pthread_create(&futex_thread, NULL, futex_peer, NULL);
}

static void do_futex(void)
{
	futex_pass(1);
	futex_wait_for(0);
}

static void end_futex(void)
{
	futex_pass(2);
	pthread_join(futex_thread, NULL);
}

/* ---- the harness ------------------------------------------------------------------------------------ */

static const struct bench {
	const char *name;
	void (*run)(void);
	unsigned per_run; /* operations in one run() */
	void (*setup)(void), (*end)(void);
} benches[] = {
	{"getpid", do_getpid, 1, NULL, NULL},
	{"getppid", do_getppid, 1, NULL, NULL},
	{"clock_gettime", do_clock, 1, NULL, NULL},
	{"read_1_zero", do_read1, 1, NULL, NULL},
	{"write_1_null", do_write1, 1, NULL, NULL},
	{"read_4k_zero", do_read4k, 1, NULL, NULL},
	{"write_4k_null", do_write4k, 1, NULL, NULL},
	{"pread_4k_tmp", do_pread4k, 1, NULL, NULL},
	{"pread_64k_tmp", do_pread64k, 1, NULL, NULL},
	{"stat", do_stat, 1, NULL, NULL},
	{"open_close", do_open, 1, NULL, NULL},
	{"mmap_munmap", do_mmap, 1, NULL, NULL},
	{"page_fault", do_fault, FAULT_PAGES, NULL, NULL},
	{"signal_self", do_signal, 1, setup_signal, NULL},
	{"epoll", do_epoll, 1, setup_epoll, NULL},
	{"pipe_round_trip", do_pipe, 1, setup_pipe, end_pipe},
	{"unix_round_trip", do_unix, 1, setup_unix, end_unix},
	{"futex_round_trip", do_futex, 1, setup_futex, end_futex},
	{"thread_create_join", do_thread, 1, NULL, NULL},
	{"fork_exit_wait", do_fork, 1, NULL, NULL},
	{"fork_exec_wait", do_exec, 1, NULL, NULL},
	{"vfork_exec_wait", do_vfork_exec, 1, NULL, NULL},
};

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

static double round_ns(const struct bench *b, unsigned n)
{
	uint64_t start = now();

	for (unsigned i = 0; i < n; i++)
		b->run();
	return (double)(now() - start) / n / b->per_run;
}

static void measure(const struct bench *b)
{
	double v[ROUNDS];
	unsigned n = 1;
	uint64_t start, took;

	if (b->setup)
		b->setup();
	/* How many make a round; this warms up, too. */
	for (;;) {
		start = now();
		for (unsigned i = 0; i < n; i++)
			b->run();
		took = now() - start;
		if (took > ROUND_NS / 4)
			break;
		n *= 2;
	}
	n = (unsigned)((double)n * ROUND_NS / (double)took) + 1;
	for (int i = 0; i < ROUNDS; i++)
		v[i] = round_ns(b, n);
	if (b->end)
		b->end();
	qsort(v, ROUNDS, sizeof(v[0]), compare);
	printf("%s %.1f\n", b->name, v[ROUNDS / 2]);
	fflush(stdout);
}

static int wanted(const char *name, int argc, char **argv)
{
	for (int i = 1; i < argc; i++)
		if (!strncmp(name, argv[i], strlen(argv[i])))
			return 1;
	return argc < 2;
}

int main(int argc, char **argv)
{
	if (argc > 1 && !strcmp(argv[1], "--nothing"))
		return 0;
	self = argv[0];
	setup_files();
	for (size_t i = 0; i < sizeof(benches) / sizeof(benches[0]); i++)
		if (wanted(benches[i].name, argc, argv))
			measure(&benches[i]);
	return 0;
}
