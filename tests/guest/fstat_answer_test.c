/* fstat(2) of what has just been opened, which the sandbox answers ahead: whatever becomes of the number and
 * of the file in between. */
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "platform/stub/known.h"
#include "platform/stub/layout.h"
#include "tests/guest/check.h"

/* Files of the system that differ in size. */
static const char *A = "/bin/sh", *B = "/bin/ls";
static struct stat sa, sb;

static int same(const struct stat *a, const struct stat *b)
{
	return a->st_ino == b->st_ino && a->st_dev == b->st_dev && a->st_size == b->st_size &&
	       a->st_mode == b->st_mode && a->st_nlink == b->st_nlink && a->st_uid == b->st_uid &&
	       a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec &&
	       a->st_blocks == b->st_blocks && a->st_blksize == b->st_blksize;
}

/* By both calls. */
static int is(int fd, const struct stat *want)
{
	struct stat st, st2;

	memset(&st, 0xee, sizeof(st));
	memset(&st2, 0xdd, sizeof(st2));
	return syscall(SYS_fstat, fd, &st) == 0 &&
	       syscall(SYS_newfstatat, fd, "", &st2, AT_EMPTY_PATH) == 0 && same(&st, want) &&
	       same(&st2, want);
}

static int open_ro(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	REQUIRE(fd >= 0);
	return fd;
}

static void numbers(void)
{
	int a = open_ro(A), b, c, p[2];
	struct stat st;

	CHECK(is(a, &sa));
	close(a);
	CHECK_ERR(syscall(SYS_fstat, a, &st), EBADF);
	CHECK_ERR(syscall(SYS_newfstatat, a, "", &st, AT_EMPTY_PATH), EBADF);
	b = open_ro(B);
	CHECK(a == b && is(b, &sb));
	a = open_ro(A);
	CHECK(is(a, &sa) && is(b, &sb));
	CHECK(dup2(a, b) == b && is(b, &sa) && is(a, &sa));
	close(b);
	close(a);
	a = open_ro(A);
	b = open_ro(B);
	CHECK(dup3(b, a, 0) == a && is(a, &sb));
	CHECK(syscall(SYS_close_range, a, b, 0) == 0);
	CHECK_ERR(syscall(SYS_fstat, a, &st), EBADF);
	CHECK_ERR(syscall(SYS_fstat, b, &st), EBADF);
	a = open_ro(A);
	c = dup(a);
	CHECK(is(c, &sa));
	close(a);
	CHECK(pipe(p) == 0 && p[0] == a);
	CHECK(syscall(SYS_fstat, a, &st) == 0 && S_ISFIFO(st.st_mode));
	close(p[0]);
	close(p[1]);
	close(c);
	for (int i = 0; i < 100; i++) {
		int fd[10];

		for (int k = 0; k < 10; k++)
			fd[k] = open_ro((i + k) % 3 ? A : B);
		for (int k = 0; k < 10; k++)
			CHECK(is(fd[k], (i + k) % 3 ? &sa : &sb));
		for (int k = i % 2; k < 10; k++)
			close(fd[k]);
		CHECK(i % 2 == 0 || is(fd[0], i % 3 ? &sa : &sb));
		if (i % 2)
			close(fd[0]);
	}
}

static void arguments(void)
{
	char *page = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int a = open_ro(A);
	struct stat st;

	REQUIRE(page != MAP_FAILED && munmap(page + 4096, 4096) == 0);
	CHECK_ERR(syscall(SYS_fstat, a, 1), EFAULT);
	CHECK_ERR(syscall(SYS_fstat, a, page + 4096 - 100), EFAULT);
	CHECK_ERR(syscall(SYS_fstat, a, 0xffffffff80000000UL), EFAULT);
	CHECK_ERR(syscall(SYS_newfstatat, a, 1, &st, AT_EMPTY_PATH), EFAULT);
	CHECK_ERR(syscall(SYS_newfstatat, a, page + 4096, &st, AT_EMPTY_PATH), EFAULT);
	CHECK_ERR(syscall(SYS_newfstatat, a, "", &st, 0), ENOENT);
	CHECK_ERR(syscall(SYS_newfstatat, a, "x", &st, AT_EMPTY_PATH), ENOTDIR);
	CHECK(syscall(SYS_newfstatat, a, A, &st, AT_EMPTY_PATH) == 0 && same(&st, &sa));
	CHECK(syscall(SYS_newfstatat, a, "", &st, AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW) == 0 &&
	      same(&st, &sa));
	CHECK_ERR(syscall(SYS_fstat, -1, &st), EBADF);
	CHECK_ERR(syscall(SYS_fstat, UINT_MAX, &st), EBADF);
	CHECK(syscall(SYS_fstat, 0x5500000000UL + a, &st) == 0 && same(&st, &sa));
	close(a);
	munmap(page, 4096);
}

/* Another task closes and opens in the same table. */
static atomic_int turn, number;

static void *swapper(void *arg)
{
	for (int i = 0; i < 300; i++) {
		while (atomic_load(&turn) != 1)
			sched_yield();
		CHECK(close(atomic_load(&number)) == 0);
		CHECK(open_ro(B) == atomic_load(&number));
		atomic_store(&turn, 2);
	}
	return arg;
}

static void *wait_for_it(void *arg)
{
	while (!atomic_load(&turn))
		sched_yield();
	return close(atomic_load(&number)) ? NULL : arg;
}

static void threads(void)
{
	pthread_t t;
	struct stat st;
	int a;

	/* Told before there was another thread. */
	for (int i = 0; i < 50; i++) {
		atomic_store(&turn, 0);
		a = open_ro(A);
		atomic_store(&number, a);
		REQUIRE(pthread_create(&t, NULL, wait_for_it, &turn) == 0);
		CHECK(is(a, &sa));
		atomic_store(&turn, 1);
		pthread_join(t, NULL);
		CHECK_ERR(syscall(SYS_fstat, a, &st), EBADF);
	}
	atomic_store(&turn, 0);
	REQUIRE(pthread_create(&t, NULL, swapper, NULL) == 0);
	for (int i = 0; i < 300; i++) {
		a = open_ro(A);
		CHECK(is(a, &sa));
		atomic_store(&number, a);
		atomic_store(&turn, 1);
		while (atomic_load(&turn) != 2)
			sched_yield();
		CHECK(is(a, &sb));
		close(a);
	}
	pthread_join(t, NULL);
}

static char stack[65536];

static int child_closes(void *arg)
{
	return close((int)(long)arg) || open_ro(B) != (int)(long)arg;
}

static void children(void)
{
	for (int i = 0; i < 20; i++) {
		int a = open_ro(A), status;
		pid_t pid;

		CHECK(is(a, &sa));
		/* With the table shared, then not. */
		pid = clone(child_closes, stack + sizeof(stack),
			    (i % 2 ? CLONE_VM | CLONE_VFORK : 0) | CLONE_FILES | SIGCHLD, (void *)(long)a);
		CHECK(pid > 0 && waitpid(pid, &status, 0) == pid && status == 0);
		CHECK(is(a, &sb));
		close(a);
		a = open_ro(A);
		pid = clone(child_closes, stack + sizeof(stack), (i % 2 ? CLONE_VM | CLONE_VFORK : 0) | SIGCHLD,
			    (void *)(long)a);
		CHECK(pid > 0 && waitpid(pid, &status, 0) == pid && status == 0);
		CHECK(is(a, &sa));
		pid = fork();
		if (pid == 0)
			_exit(!is(a, &sa) || close(a) || open_ro(B) != a || !is(a, &sb));
		CHECK(waitpid(pid, &status, 0) == pid && status == 0);
		CHECK(is(a, &sa));
		close(a);
	}
}

/* Files that change while they are open; by whom else than the one who asks. */
static void in_child(void (*fn)(const char *), const char *path)
{
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		fn(path);
		_exit(0);
	}
	CHECK(waitpid(pid, &status, 0) == pid && status == 0);
}

static void append(const char *path)
{
	int fd = open(path, O_WRONLY | O_APPEND);

	CHECK(fd >= 0 && write(fd, "more", 4) == 4);
}

static void cut(const char *path)
{
	CHECK(truncate(path, 3) == 0);
}

static void mode(const char *path)
{
	CHECK(chmod(path, 0640) == 0);
}

static void mtime(const char *path)
{
	struct timespec ts[2] = {{77, 0}, {77, 0}};

	CHECK(utimensat(AT_FDCWD, path, ts, 0) == 0);
}

static void another_name(const char *path)
{
	char other[PATH_MAX];

	snprintf(other, sizeof(other), "%s.link", path);
	CHECK(link(path, other) == 0);
}

static void changes(const char *path)
{
	int fd = open_ro(path), other[4];
	struct stat st, was;

	CHECK(fstat(fd, &was) == 0);
	CHECK(is(fd, &was));
	in_child(append, path);
	CHECK(fstat(fd, &st) == 0 && st.st_size == was.st_size + 4);
	in_child(cut, path);
	CHECK(fstat(fd, &st) == 0 && st.st_size == 3);
	in_child(mode, path);
	CHECK(fstat(fd, &st) == 0 && (st.st_mode & 07777) == 0640);
	in_child(mtime, path);
	CHECK(fstat(fd, &st) == 0 && st.st_mtim.tv_sec == 77);
	in_child(another_name, path);
	CHECK(fstat(fd, &st) == 0 && st.st_nlink == was.st_nlink + 1);
	for (int i = 0; i < 4; i++) {
		other[i] = open_ro(path);
		CHECK(is(other[i], &st));
	}
	in_child(append, path);
	for (int i = 0; i < 4; i++) {
		CHECK(fstat(other[i], &st) == 0 && st.st_size == 7);
		close(other[i]);
	}
	close(fd);
}

/* Each change as the first one that comes after the open. */
static void first_changes(const char *const *paths)
{
	void (*const fns[])(const char *) = {append, cut, mode, mtime, another_name};

	for (int i = 0; i < 5 && paths[i]; i++) {
		int fd = open_ro(paths[i]);
		struct stat was, st, by_path;

		CHECK(fstat(fd, &was) == 0);
		in_child(fns[i], paths[i]);
		CHECK(fstat(fd, &st) == 0 && stat(paths[i], &by_path) == 0 && !same(&st, &was));
		CHECK(st.st_size == by_path.st_size && st.st_mode == by_path.st_mode &&
		      st.st_nlink == by_path.st_nlink && st.st_mtim.tv_sec == by_path.st_mtim.tv_sec);
		close(fd);
	}
}

static void own_file(void)
{
	int fd = open("changing", O_CREAT | O_TRUNC | O_WRONLY, 0666);

	REQUIRE(fd >= 0 && write(fd, "12345", 5) == 5);
	close(fd);
	changes("changing");
	unlink("changing");
	unlink("changing.link");
}

static int inside(void)
{
	int p[2], there;

	REQUIRE(pipe(p) == 0);
	there = write(p[1], (void *)(STUB_ARENA + SLOT_KNOWN), 1) == 1;
	close(p[0]);
	close(p[1]);
	return there;
}

/* In the sandbox, files of the system can be changed, and what is known of them. */
static void liar(void)
{
	struct known *k = (struct known *)(STUB_ARENA + SLOT_KNOWN);
	static const char *const files[] = {"/usr/bin/cmp", "/usr/bin/comm", "/usr/bin/csplit", "/usr/bin/cut",
					    "/usr/bin/diff", NULL};
	int a = open_ro(A), b = open_ro(B);
	struct stat st;

	CHECK(is(a, &sa) && is(b, &sb));
	for (int i = 0; i < KNOWN_OPENS; i++)
		k->open[i] = (struct known_open){.fd1 = a + 1, .of = ~0U, .changed = i};
	CHECK(is(a, &sa) && is(b, &sb));
	memset(k, 0xff, sizeof(*k));
	syscall(SYS_fstat, a, &st);
	close(a);
	close(b);
	memset(k, 0xff, sizeof(*k));
	a = open_ro(A);
	b = open_ro(B);
	CHECK(is(a, &sa) && is(b, &sb));
	if (geteuid() == 0) {
		changes("/usr/bin/yes");
		first_changes(files);
	}
}

static void traced(void)
{
	int status, calls = 0;
	pid_t pid = fork();

	if (pid == 0) {
		ptrace(PTRACE_TRACEME, 0, 0, 0);
		raise(SIGSTOP);
		for (int i = 0; i < 10; i++)
			is(open_ro(A), &sa);
		_exit(0);
	}
	CHECK(waitpid(pid, &status, 0) == pid && WIFSTOPPED(status));
	CHECK(ptrace(PTRACE_SETOPTIONS, pid, 0, PTRACE_O_TRACESYSGOOD) == 0);
	for (;;) {
		CHECK(ptrace(PTRACE_SYSCALL, pid, 0, 0) == 0);
		CHECK(waitpid(pid, &status, 0) == pid);
		if (!WIFSTOPPED(status))
			break;
		if (WSTOPSIG(status) == (SIGTRAP | 0x80) &&
		    ptrace(PTRACE_PEEKUSER, pid, 15 * 8, 0) == SYS_fstat)
			calls++;
	}
	CHECK_EQ(calls, 20);
}

int main(void)
{
	REQUIRE(stat(A, &sa) == 0 && stat(B, &sb) == 0 && sa.st_size != sb.st_size);
	numbers();
	arguments();
	children();
	traced();
	own_file();
	if (inside())
		check_in_child(liar);
	threads();
	return check_status();
}
