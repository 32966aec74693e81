/* lseek(2) on what has just been opened, which the sandbox answers without asking: whoever reads, shares or
 * looks at the file then finds it where it is. */
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>

#include "platform/stub/known.h"
#include "platform/stub/layout.h"
#include "tests/guest/check.h"

#define SIZE 10000

static const char *name = "seek";

static unsigned char at(long pos)
{
	return (unsigned char)(pos * 7 + pos / 256);
}

static void make_file(void)
{
	unsigned char buf[SIZE];
	int fd = open(name, O_CREAT | O_TRUNC | O_WRONLY, 0666);

	for (int i = 0; i < SIZE; i++)
		buf[i] = at(i);
	REQUIRE(fd >= 0 && write(fd, buf, SIZE) == SIZE);
	close(fd);
}

static int open_it(void)
{
	int fd = open(name, O_RDONLY | O_CLOEXEC);

	REQUIRE(fd >= 0);
	return fd;
}

static long seek(int fd, long off, int whence)
{
	return syscall(SYS_lseek, fd, off, whence);
}

static int reads(int fd, long pos)
{
	unsigned char c;

	return read(fd, &c, 1) == 1 && c == at(pos);
}

/* Any sequence does what the model does. */
static void sequences(void)
{
	int fd[6];
	long pos[6] = {0};
	unsigned seed = 1;

	for (int i = 0; i < 6; i++)
		fd[i] = open_it();
	for (int n = 0; n < 20000; n++) {
		int i = (seed >> 8) % 6;
		long off = (long)(seed >> 16) % 9000 - 2000, want;
		unsigned char buf[3];

		seed = seed * 1103515245 + 12345;
		switch ((seed >> 20) % 7) {
		case 0:
			want = off < 0 ? -1 : off;
			break;
		case 1:
			want = pos[i] + off < 0 ? -1 : pos[i] + off;
			break;
		case 2:
			want = SIZE + off < 0 ? -1 : SIZE + off;
			break;
		case 3: /* asks */
			CHECK_EQ(seek(fd[i], 0, SEEK_CUR), pos[i]);
			continue;
		case 4:
			if (pos[i] + 3 > SIZE)
				continue;
			CHECK(read(fd[i], buf, 3) == 3 && buf[0] == at(pos[i]) && buf[2] == at(pos[i] + 2));
			pos[i] += 3;
			continue;
		case 5:
			CHECK(pread(fd[i], buf, 1, 5) == 1 && buf[0] == at(5));
			continue;
		default:
			close(fd[i]);
			fd[i] = open_it();
			pos[i] = 0;
			continue;
		}
		CHECK_EQ(seek(fd[i], off, (seed >> 20) % 7), want);
		if (want >= 0)
			pos[i] = want;
	}
	for (int i = 0; i < 6; i++)
		close(fd[i]);
}

static void arguments(void)
{
	int fd = open_it(), p[2];

	CHECK(seek(fd, 7, SEEK_SET) == 7);
	CHECK_ERR(seek(fd, -1, SEEK_SET), EINVAL);
	CHECK_ERR(seek(fd, -8, SEEK_CUR), EINVAL);
	CHECK_ERR(seek(fd, -SIZE - 1, SEEK_END), EINVAL);
	CHECK_ERR(seek(fd, LONG_MIN, SEEK_CUR), EINVAL);
	CHECK(seek(fd, LONG_MAX, SEEK_CUR) == -1);
	CHECK_ERR(seek(fd, 0, 5), EINVAL);
	CHECK_ERR(seek(fd, 0, -1), EINVAL);
	CHECK_EQ(seek(fd, 0, SEEK_CUR), 7);
	CHECK_EQ(seek(fd, 0, SEEK_DATA), 0);
	CHECK_EQ(seek(fd, 5, SEEK_HOLE), SIZE);
	CHECK_EQ(seek(fd, 1L << 35, SEEK_SET), 1L << 35);
	CHECK_EQ(seek(fd, 1L << 35, SEEK_CUR), 1L << 36);
	CHECK_EQ(read(fd, p, 4), 0);
	CHECK_EQ(syscall(SYS_lseek, 0x700000000UL + fd, 3L, 0x500000000UL), 3);
	CHECK(reads(fd, 3));
	close(fd);
	CHECK_ERR(seek(fd, 0, SEEK_CUR), EBADF);
	CHECK_ERR(seek(-1, 0, SEEK_CUR), EBADF);
	CHECK(pipe(p) == 0);
	CHECK_ERR(seek(p[0], 0, SEEK_CUR), ESPIPE);
	close(p[0]);
	close(p[1]);
	fd = open(name, O_PATH);
	CHECK_ERR(seek(fd, 0, SEEK_CUR), EBADF);
	close(fd);
}

/* The position comes along with every way to share a file, and what others do to it is seen. */
static void sharing(void)
{
	for (int i = 0; i < 20; i++) {
		int fd = open_it(), other, status;
		unsigned char buf[4];
		struct iovec iov = {buf, 2};
		pid_t pid;

		CHECK_EQ(seek(fd, 100 + i, SEEK_SET), 100 + i);
		other = i % 3 == 0 ? dup(fd) : i % 3 == 1 ? fcntl(fd, F_DUPFD, 50) : dup3(fd, 60, 0);
		CHECK_EQ(seek(other, 0, SEEK_CUR), 100 + i);
		CHECK_EQ(seek(other, 10, SEEK_CUR), 110 + i);
		CHECK_EQ(seek(fd, 0, SEEK_CUR), 110 + i);
		CHECK(reads(other, 110 + i) && reads(fd, 111 + i));
		close(other);
		CHECK_EQ(seek(fd, 50, SEEK_SET), 50);
		pid = fork();
		if (pid == 0) {
			status = seek(fd, 0, SEEK_CUR) == 50 && seek(fd, 70, SEEK_SET) == 70;
			_exit(!status);
		}
		CHECK(waitpid(pid, &status, 0) == pid && status == 0);
		CHECK_EQ(seek(fd, 0, SEEK_CUR), 70);
		CHECK_EQ(seek(fd, 71, SEEK_SET), 71);
		CHECK(readv(fd, &iov, 1) == 2 && buf[0] == at(71) && seek(fd, 0, SEEK_CUR) == 73);
		close(fd);
	}
}

/* Over a socket, and by pidfd_getfd, while the owner goes on. */
static int take(int pid, int fd)
{
	int pidfd = (int)syscall(SYS_pidfd_open, pid, 0), got;

	REQUIRE(pidfd >= 0);
	got = (int)syscall(SYS_pidfd_getfd, pidfd, fd, 0);
	close(pidfd);
	return got;
}

static void another_process_takes_it(void)
{
	volatile int *turn = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int status;

	REQUIRE(turn != MAP_FAILED);
	for (int i = 0; i < 10; i++) {
		pid_t pid;
		int fd;
		char path[64], text[200] = "";

		*turn = 0;
		pid = fork();
		if (pid == 0) {
			int own = open_it();

			turn[1] = own;
			seek(own, 1000 + i, SEEK_SET);
			*turn = 1;
			while (*turn != 2) /* without a call that the sandbox would see */
				;
			status = seek(own, 0, SEEK_CUR) == 2000 + i && seek(own, 3000, SEEK_SET) == 3000;
			*turn = 3;
			while (*turn != 4)
				;
			_exit(!(status && reads(own, 4000)));
		}
		while (*turn != 1)
			sched_yield();
		snprintf(path, sizeof(path), "/proc/%d/fdinfo/%d", pid, turn[1]);
		fd = open(path, O_RDONLY);
		CHECK(fd >= 0 && read(fd, text, sizeof(text) - 1) > 0);
		close(fd);
		CHECK_EQ(strtol(text + 4, NULL, 10), 1000 + i);
		fd = take(pid, turn[1]);
		if (fd < 0) { /* not allowed here */
			CHECK(errno == EPERM);
			kill(pid, SIGKILL);
			waitpid(pid, &status, 0);
			break;
		}
		CHECK_EQ(seek(fd, 0, SEEK_CUR), 1000 + i);
		CHECK_EQ(seek(fd, 1000, SEEK_CUR), 2000 + i);
		*turn = 2;
		while (*turn != 3)
			sched_yield();
		CHECK_EQ(seek(fd, 0, SEEK_CUR), 3000);
		CHECK_EQ(seek(fd, 4000, SEEK_SET), 4000);
		*turn = 4;
		CHECK(waitpid(pid, &status, 0) == pid && status == 0);
		close(fd);
	}
	munmap((void *)turn, 4096);
}

static void *other_thread(void *arg)
{
	int fd = *(int *)arg;

	for (int i = 0; i < 1000; i++)
		if (seek(fd, 1, SEEK_CUR) < 0)
			return arg;
	return NULL;
}

static void threads(void)
{
	pthread_t t[2];
	int fd = open_it();
	void *bad;

	CHECK_EQ(seek(fd, 5, SEEK_SET), 5);
	for (int i = 0; i < 2; i++)
		REQUIRE(pthread_create(&t[i], NULL, other_thread, &fd) == 0);
	CHECK(!other_thread(&fd));
	for (int i = 0; i < 2; i++)
		CHECK(pthread_join(t[i], &bad) == 0 && !bad);
	CHECK_EQ(seek(fd, 0, SEEK_CUR), 3005);
	close(fd);
}

/* exec keeps the position of what it keeps open. */
static void exec(const char *self)
{
	for (volatile int i = 0; i < 5; i++) {
		volatile int fd = open(name, O_RDONLY);
		int status;
		char number[20];
		pid_t pid;

		pid = i % 2 ? fork() : vfork();
		if (pid == 0) {
			if (i % 2) /* its own now, and told of anew */
				fd = open(name, O_RDONLY);
			seek(fd, 321, SEEK_SET);
			snprintf(number, sizeof(number), "%d", fd);
			execl(self, self, number, NULL);
			_exit(9);
		}
		CHECK(waitpid(pid, &status, 0) == pid && status == 0);
		CHECK_EQ(seek(fd, 0, SEEK_CUR), i % 2 ? 0 : 321);
		close(fd);
	}
}

/* Large reads at the position, which the sandbox makes in yet another way. */
static void large_reads(void)
{
	static char buf[1 << 18];
	int fd = open("large", O_CREAT | O_TRUNC | O_RDWR, 0666);

	for (int i = 0; i < (int)sizeof(buf); i++)
		buf[i] = (char)(i / 4096);
	REQUIRE(fd >= 0 && write(fd, buf, sizeof(buf)) == sizeof(buf));
	close(fd);
	fd = open("large", O_RDONLY);
	for (int i = 0; i < 200; i++) {
		long pos = i % 13 * 4096;

		CHECK_EQ(seek(fd, pos, SEEK_SET), pos);
		CHECK_EQ(read(fd, buf, 65536), 65536);
		CHECK(buf[0] == pos / 4096 && buf[65535] == pos / 4096 + 15);
		CHECK_EQ(seek(fd, 0, SEEK_CUR), pos + 65536);
	}
	close(fd);
	unlink("large");
}

static void traced(void)
{
	int status, calls = 0;
	pid_t pid = fork();

	if (pid == 0) {
		int fd = open_it();

		seek(fd, 12, SEEK_SET);
		ptrace(PTRACE_TRACEME, 0, 0, 0);
		raise(SIGSTOP);
		for (int i = 0; i < 10; i++)
			seek(fd, 1, SEEK_CUR);
		_exit(!reads(fd, 22));
	}
	CHECK(waitpid(pid, &status, 0) == pid && WIFSTOPPED(status));
	CHECK(ptrace(PTRACE_SETOPTIONS, pid, 0, PTRACE_O_TRACESYSGOOD) == 0);
	for (;;) {
		CHECK(ptrace(PTRACE_SYSCALL, pid, 0, 0) == 0);
		CHECK(waitpid(pid, &status, 0) == pid);
		if (!WIFSTOPPED(status))
			break;
		if (WSTOPSIG(status) == (SIGTRAP | 0x80) &&
		    ptrace(PTRACE_PEEKUSER, pid, 15 * 8, 0) == SYS_lseek)
			calls++;
	}
	CHECK_EQ(calls, 20);
	CHECK_EQ(status, 0);
}

/* In the sandbox, what is known can be written to: lies are the liar's own. */
static void liar(void)
{
	struct known *k = (struct known *)(STUB_ARENA + SLOT_KNOWN);
	int p[2], there, fd = open_it();

	REQUIRE(pipe(p) == 0);
	there = write(p[1], k, 1) == 1;
	close(p[0]);
	close(p[1]);
	if (!there)
		return;
	close(fd);
	fd = open_it();
	for (int i = 0; i < 8; i++) {
		static const uint64_t pos[] = {0, 5, SIZE, 1UL << 40, (1UL << 40) + 1, 1UL << 63, ~0UL, 99};

		for (int n = 0; n < KNOWN_OPENS; n++)
			k->open[n] = (struct known_open){.fd1 = (uint32_t)fd + 1 + (uint32_t)(n / 2), .has = ~0U,
							 .pos = pos[i]};
		k->moved = ~0U;
		seek(fd, 0, SEEK_CUR);
		read(fd, p, 1);
		CHECK(getppid() > 0);
	}
	memset(k, 0xff, sizeof(*k));
	seek(fd, 1, SEEK_CUR);
	close(fd);
	fd = open_it();
	CHECK(seek(fd, 55, SEEK_SET) == 55 && reads(fd, 55));
	sequences();
}

int main(int argc, char **argv)
{
	if (argc > 1)
		return seek(atoi(argv[1]), 0, SEEK_CUR) != 321;
	make_file();
	sequences();
	arguments();
	sharing();
	another_process_takes_it();
	exec("/proc/self/exe");
	large_reads();
	traced();
	check_in_child(liar);
	threads();
	unlink(name);
	return check_status();
}
