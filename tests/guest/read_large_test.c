/* Large reads of files, again and again, while everything about the file changes: position, size, contents,
 * descriptors, the process's memory, signals, other processes. */
#include "tests/guest/check.h"

#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define KIB 1024
#define SIZE (512 * KIB)
#define PIECE (32 * KIB)

static char buf[SIZE + 4 * PIECE];

/* What file number `which` holds at byte i. */
static char pattern(unsigned which, size_t i)
{
	return (char)(i * 131 + (i >> 8) * 7 + (i >> 16) * 29 + which * 83 + 1);
}

static int differs(unsigned which, size_t from, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (buf[i] != pattern(which, from + i))
			return 1;
	return 0;
}

static void path_of(char path[32], unsigned which)
{
	snprintf(path, 32, "large-%u", which);
}

/* A file of SIZE bytes, open for reading only. */
static int make(unsigned which)
{
	char path[32];
	int fd;

	path_of(path, which);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
	REQUIRE(fd >= 0);
	for (size_t i = 0; i < SIZE; i++)
		buf[i] = pattern(which, i);
	REQUIRE(write(fd, buf, SIZE) == SIZE);
	close(fd);
	fd = open(path, O_RDONLY);
	REQUIRE(fd >= 0);
	return fd;
}

static void drop(unsigned which, int fd)
{
	char path[32];

	path_of(path, which);
	close(fd);
	unlink(path);
}

/* Long enough that whoever serves reads has made up its mind how to do it. */
static void warm(unsigned which, int fd, unsigned times)
{
	while (times--) {
		size_t piece = times % 2 ? 4 * PIECE : PIECE;

		CHECK_EQ(lseek(fd, 0, SEEK_SET), 0);
		for (size_t at = 0; at < SIZE; at += piece) {
			memset(buf, 0, piece);
			CHECK_EQ(read(fd, buf, piece), piece);
			if (differs(which, at, piece)) {
				CHECK_FAIL("file %u at %zu", which, at);
				return;
			}
		}
	}
}

static void check_ends(void)
{
	static const size_t sizes[] = {16383, 16384, 16385, 65536, 65537, 131072, 200000, SIZE, SIZE + 4 * PIECE};
	static const size_t from[] = {0, 1, 4095, 65536, SIZE - 65536, SIZE - 16384, SIZE - 1, SIZE, SIZE + 5};
	int fd = make(0);

	warm(0, fd, 4);
	for (unsigned i = 0; i < sizeof(sizes) / sizeof(*sizes); i++)
		for (unsigned k = 0; k < sizeof(from) / sizeof(*from); k++) {
			size_t left = from[k] < SIZE ? SIZE - from[k] : 0;
			size_t want = sizes[i] < left ? sizes[i] : left;

			memset(buf, 0x77, sizeof(buf));
			CHECK_EQ(pread(fd, buf, sizes[i], (off_t)from[k]), want);
			CHECK(!differs(0, from[k], want));
			CHECK(want == sizeof(buf) || buf[want] == 0x77);
			CHECK_EQ(lseek(fd, (off_t)from[k], SEEK_SET), from[k]);
			CHECK_EQ(read(fd, buf, sizes[i]), want);
			CHECK(!differs(0, from[k], want));
			CHECK_EQ(lseek(fd, 0, SEEK_CUR), from[k] + want);
		}
	CHECK_ERR(pread(fd, buf, PIECE, -1), EINVAL);
	drop(0, fd);
}

/* More files than anybody keeps at hand, and numbers that mean another file each time. */
static void check_many_files(void)
{
	enum { N = 24 };
	int fd[N];

	for (unsigned i = 0; i < N; i++)
		fd[i] = make(i);
	for (unsigned i = 0; i < 2 * N; i++)
		warm(i % N, fd[i % N], 4);
	for (unsigned i = 0; i < N; i++) {
		CHECK_EQ(pread(fd[i], buf, PIECE, PIECE), PIECE);
		CHECK(!differs(i, PIECE, PIECE));
	}
	for (unsigned i = 1; i < N; i++) {
		CHECK_EQ(dup2(fd[i], fd[0]), fd[0]);
		warm(i, fd[0], 4);
		drop(i, fd[i]);
		CHECK_EQ(pread(fd[0], buf, PIECE, PIECE), PIECE);
		CHECK(!differs(i, PIECE, PIECE));
	}
	drop(0, fd[0]);
	/* Memory can still be mapped from files, and processes be made. */
	for (unsigned i = 0; i < 40; i++) {
		int one = make(1);
		char *p;

		warm(1, one, 1);
		p = mmap(NULL, SIZE, PROT_READ, MAP_SHARED, one, 0);
		CHECK(p != MAP_FAILED && p[PIECE] == pattern(1, PIECE));
		munmap(p, SIZE);
		drop(1, one);
	}
	if (fork() == 0)
		_exit(0);
	CHECK(wait(NULL) > 0);
}

static void check_changes(void)
{
	int fd = make(3), w;
	char *map;

	warm(3, fd, 6);
	w = open("large-3", O_RDWR);
	REQUIRE(w >= 0);
	CHECK_EQ(pwrite(w, "new", 3, 100), 3);
	CHECK_EQ(pread(fd, buf, PIECE, 0), PIECE);
	CHECK(!memcmp(buf + 100, "new", 3));
	map = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, w, 0);
	REQUIRE(map != MAP_FAILED);
	map[200] = '!';
	CHECK_EQ(pread(fd, buf, PIECE, 0), PIECE);
	CHECK_EQ(buf[200], '!');
	CHECK_EQ(pread(w, buf, PIECE, 0), PIECE);
	CHECK_EQ(buf[200], '!');
	/* Into the file's own pages. */
	CHECK_EQ(pread(fd, map + 2 * PIECE, PIECE, 0), PIECE);
	CHECK_EQ(map[2 * PIECE + 200], '!');
	munmap(map, SIZE);
	CHECK_EQ(ftruncate(w, 20000), 0);
	CHECK_EQ(pread(fd, buf, PIECE, 0), 20000);
	CHECK_EQ(ftruncate(w, SIZE), 0);
	CHECK_EQ(pread(fd, buf, PIECE, 0), PIECE);
	CHECK(buf[19999] == pattern(3, 19999) && !buf[20000] && !buf[PIECE - 1]);
	/* A name means another file now; the descriptor doesn't. */
	close(w);
	CHECK_EQ(unlink("large-3"), 0);
	w = make(3);
	CHECK_EQ(pread(fd, buf, PIECE, 0), PIECE);
	CHECK(!memcmp(buf + 100, "new", 3));
	warm(3, w, 1);
	close(fd);
	drop(3, w);
}

/* Other processes move the position, close their descriptors and go. */
static void check_processes(void)
{
	int fd = make(4), status;
	pid_t pid;

	warm(4, fd, 6);
	lseek(fd, 0, SEEK_SET);
	for (size_t at = 0; at < SIZE; at += 2 * PIECE) {
		CHECK_EQ(read(fd, buf, PIECE), PIECE);
		CHECK(!differs(4, at, PIECE));
		pid = fork();
		if (pid == 0) {
			int bad = read(fd, buf, PIECE) != PIECE || differs(4, at + PIECE, PIECE);

			warm(4, dup(fd), 0);
			close(fd);
			_exit(bad || check_failures);
		}
		CHECK_EQ(waitpid(pid, &status, 0), pid);
		CHECK_EQ(status, 0);
	}
	CHECK_EQ(lseek(fd, 0, SEEK_CUR), SIZE);
	warm(4, fd, 1);
	drop(4, fd);
}

static void *thread_reads(void *arg)
{
	static char own[PIECE];
	int fd = *(int *)arg;

	for (int i = 0; i < 50; i++)
		if (pread(fd, own, PIECE, PIECE) != PIECE || own[5] != pattern(5, PIECE + 5))
			return arg;
	return close(fd) ? arg : NULL;
}

static void check_threads(void)
{
	int fd = make(5), other = open("large-5", O_RDONLY);
	pthread_t th;
	void *bad;

	for (int i = 0; i < 5; i++) {
		warm(5, fd, 2);
		REQUIRE(pthread_create(&th, NULL, thread_reads, &other) == 0);
		warm(5, fd, 1);
		pthread_join(th, &bad);
		CHECK(!bad);
		other = open("large-5", O_RDONLY);
	}
	close(other);
	drop(5, fd);
}

static volatile sig_atomic_t alarms;
static void on_alarm(int sig)
{
	alarms++;
}

static void check_signals(void)
{
	struct sigaction sa = {.sa_handler = on_alarm};
	int fd = make(6);

	sigaction(SIGALRM, &sa, NULL);
	warm(6, fd, 4);
	check_alarms(300);
	for (int i = 0; alarms < 200 || i < 20; i++)
		warm(6, fd, 1);
	check_alarms(0);
	drop(6, fd);
}

/* One process cuts the file off and lets it grow again while another reads: of what a read says that it has
 * read, the position tells the same. */
static void check_races(void)
{
	int fd = make(7), w = open("large-7", O_WRONLY);
	pid_t pid;

	warm(7, fd, 6);
	pid = fork();
	if (pid == 0)
		for (;;) {
			if (ftruncate(w, PIECE / 2 + 5) || ftruncate(w, SIZE))
				_exit(1);
		}
	for (int i = 0; i < 3000; i++) {
		off_t before = lseek(fd, (i % 8) * PIECE / 4, SEEK_SET);
		ssize_t n = read(fd, buf, PIECE);

		CHECK(n >= 0 && n <= PIECE);
		CHECK_EQ(lseek(fd, 0, SEEK_CUR), before + n);
		for (ssize_t k = 0; k < n && k + before < PIECE / 2 + 5; k++)
			if (buf[k] != pattern(7, (size_t)(before + k))) {
				CHECK_FAIL("read %d: byte %zd", i, k);
				break;
			}
	}
	kill(pid, SIGKILL);
	CHECK_EQ(waitpid(pid, NULL, 0), pid);
	close(w);
	drop(7, fd);
}

/* Memory that may be written only in part. */
static void check_memory(void)
{
	char *p = mmap(NULL, 4 * PIECE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int fd = make(8);

	warm(8, fd, 6);
	REQUIRE(p != MAP_FAILED);
	CHECK_EQ(mprotect(p + PIECE, PIECE, PROT_READ), 0);
	CHECK_EQ(munmap(p + 3 * PIECE, PIECE), 0);
	CHECK_ERR(pread(fd, p + PIECE, PIECE, 0), EFAULT);
	CHECK_ERR(pread(fd, p + 3 * PIECE, PIECE, 0), EFAULT);
	CHECK_EQ(pread(fd, p + 2 * PIECE + 4096, PIECE, 0), PIECE - 4096);
	CHECK_EQ(lseek(fd, 0, SEEK_SET), 0);
	CHECK_EQ(read(fd, p + PIECE - 20480, PIECE), 20480);
	CHECK_EQ(lseek(fd, 0, SEEK_CUR), 20480);
	CHECK_EQ(mprotect(p + PIECE, PIECE, PROT_READ | PROT_WRITE), 0);
	CHECK_EQ(pread(fd, p, 2 * PIECE, 0), 2 * PIECE);
	CHECK_EQ(p[2 * PIECE - 1], pattern(8, 2 * PIECE - 1));
	/* The stack, where it has not been yet. */
	{
		volatile char deep[6 * PIECE];

		CHECK_EQ(pread(fd, (char *)deep, sizeof(deep), 0), sizeof(deep));
		CHECK_EQ(deep[sizeof(deep) - 1], pattern(8, sizeof(deep) - 1));
	}
	munmap(p, 3 * PIECE);
	drop(8, fd);
}

int main(void)
{
	check_ends();
	check_many_files();
	check_changes();
	check_processes();
	check_threads();
	check_signals();
	check_races();
	check_memory();
	return check_status();
}
