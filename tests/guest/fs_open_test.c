/* open(2), openat2(2), close(2), dup(2), close_range(2). */
#include <dirent.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

#include "tests/guest/check.h"

static int openat2_(int dirfd, const char *path, uint64_t flags, uint64_t mode, uint64_t resolve)
{
	struct open_how how = {.flags = flags, .mode = mode, .resolve = resolve};

	return (int)syscall(SYS_openat2, dirfd, path, &how, sizeof(how));
}

static void make(const char *path)
{
	int fd = open(path, O_CREAT | O_WRONLY | O_TRUNC, 0644);

	REQUIRE(fd >= 0);
	close(fd);
}

static const char *volatile no_path;

static void test_create(void)
{
	struct stat st;
	int fd;

	umask(027);
	CHECK_ERR(open("f", O_RDONLY), ENOENT);
	fd = open("f", O_CREAT | O_EXCL | O_RDWR, 06777);
	CHECK(fd >= 0);
	CHECK_EQ(fstat(fd, &st), 0);
	CHECK_EQ(st.st_mode, S_IFREG | 06750);
	CHECK_EQ(st.st_size, 0);
	CHECK_EQ(st.st_nlink, 1);
	close(fd);
	umask(022);
	CHECK_ERR(open("f", O_CREAT | O_EXCL | O_RDWR, 0666), EEXIST);
	fd = open("f", O_CREAT | O_RDWR, 0666);
	CHECK(fd >= 0);
	CHECK_EQ(write(fd, "hello", 5), 5);
	close(fd);
	fd = open("f", O_WRONLY | O_TRUNC);
	CHECK_EQ(fstat(fd, &st), 0);
	CHECK_EQ(st.st_size, 0);
	close(fd);
	CHECK_ERR(open("f/", O_RDONLY), ENOTDIR);
	CHECK_ERR(open("f/x", O_CREAT | O_RDWR, 0666), ENOTDIR);
	CHECK_ERR(open("new/", O_CREAT | O_RDWR, 0666), EISDIR);
	CHECK_ERR(open("nodir/x", O_CREAT | O_RDWR, 0666), ENOENT);
	CHECK_ERR(open("", O_RDONLY), ENOENT);
	CHECK_ERR(open(no_path, O_RDONLY), EFAULT);
	CHECK_ERR(open(".", O_WRONLY), EISDIR);
	CHECK_ERR(open(".", O_RDONLY | O_CREAT, 0644), EISDIR);
	CHECK_ERR(open("f", O_DIRECTORY), ENOTDIR);
	CHECK_EQ(creat("f", 0600) >= 0, 1);
	unlink("f");
}

static void test_links(void)
{
	struct stat st;
	char buf[64];
	int fd;

	make("f");
	CHECK_EQ(symlink("f", "l"), 0);
	CHECK_EQ(symlink("dangling-target", "d"), 0);
	CHECK_EQ(symlink("loop", "loop"), 0);
	CHECK_ERR(open("l", O_RDONLY | O_NOFOLLOW), ELOOP);
	CHECK_ERR(open("loop", O_RDONLY), ELOOP);
	CHECK_ERR(open("d", O_RDONLY), ENOENT);
	CHECK_ERR(open("d", O_RDWR | O_CREAT | O_EXCL, 0644), EEXIST);
	fd = open("d", O_RDWR | O_CREAT, 0644);
	CHECK(fd >= 0);
	close(fd);
	CHECK_EQ(stat("dangling-target", &st), 0);
	fd = open("l", O_PATH | O_NOFOLLOW);
	CHECK(fd >= 0);
	CHECK_EQ(fstat(fd, &st), 0);
	CHECK(S_ISLNK(st.st_mode));
	CHECK_EQ(readlinkat(fd, "", buf, sizeof(buf)), 1);
	CHECK_ERR(read(fd, buf, 1), EBADF);
	CHECK_ERR(fchmod(fd, 0600), EBADF);
	CHECK_EQ(fcntl(fd, F_GETFL), O_PATH | O_NOFOLLOW);
	close(fd);
	fd = open("l", O_PATH);
	CHECK_EQ(fstat(fd, &st), 0);
	CHECK(S_ISREG(st.st_mode));
	CHECK_ERR(fchdir(fd), ENOTDIR);
	close(fd);
	unlink("l");
	unlink("d");
	unlink("loop");
	unlink("f");
	unlink("dangling-target");
}

static void test_tmpfile(void)
{
	char proc[64];
	struct stat st;
	int fd = open(".", O_TMPFILE | O_RDWR, 0600);

	if (fd < 0 && errno == EOPNOTSUPP)
		return;
	CHECK(fd >= 0);
	CHECK_EQ(fstat(fd, &st), 0);
	CHECK_EQ(st.st_nlink, 0);
	CHECK_EQ(write(fd, "x", 1), 1);
	snprintf(proc, sizeof(proc), "/proc/self/fd/%d", fd);
	CHECK_EQ(linkat(AT_FDCWD, proc, AT_FDCWD, "tmp-named", AT_SYMLINK_FOLLOW), 0);
	CHECK_EQ(stat("tmp-named", &st), 0);
	CHECK_EQ(st.st_size, 1);
	close(fd);
	unlink("tmp-named");
	CHECK_ERR(open(".", O_TMPFILE | O_RDONLY, 0600), EINVAL);
	CHECK_ERR(open("nodir", O_TMPFILE | O_RDWR, 0600), ENOENT);
}

static void test_openat2(void)
{
	struct {
		struct open_how how;
		uint64_t more;
	} big = {.how = {.flags = O_RDONLY}};
	int dir, fd;

	mkdir("d", 0755);
	mkdir("d/e", 0755);
	make("d/e/f");
	make("outside");
	CHECK_EQ(symlink("../outside", "d/up"), 0);
	CHECK_EQ(symlink("e/f", "d/in"), 0);
	CHECK_EQ(symlink("/e/f", "d/abs"), 0);
	dir = open("d", O_RDONLY | O_DIRECTORY);
	REQUIRE(dir >= 0);
	fd = openat2_(dir, "e/f", O_RDONLY, 0, 0);
	if (fd < 0 && errno == ENOSYS)
		return;
	CHECK(fd >= 0);
	close(fd);
	CHECK_ERR(openat2_(dir, "up", O_RDONLY, 0, RESOLVE_BENEATH), EXDEV);
	CHECK_ERR(openat2_(dir, "..", O_RDONLY, 0, RESOLVE_BENEATH), EXDEV);
	CHECK_ERR(openat2_(dir, "/etc", O_RDONLY, 0, RESOLVE_BENEATH), EXDEV);
	CHECK_ERR(openat2_(dir, "abs", O_RDONLY, 0, RESOLVE_BENEATH), EXDEV);
	CHECK_ERR(openat2_(dir, "in", O_RDONLY, 0, RESOLVE_NO_SYMLINKS), ELOOP);
	fd = openat2_(dir, "in", O_RDONLY, 0, RESOLVE_BENEATH);
	CHECK(fd >= 0);
	close(fd);
	fd = openat2_(dir, "abs", O_RDONLY, 0, RESOLVE_IN_ROOT);
	CHECK(fd >= 0);
	close(fd);
	fd = openat2_(dir, "../../../e/f", O_RDONLY, 0, RESOLVE_IN_ROOT);
	CHECK(fd >= 0);
	close(fd);
	CHECK_ERR(openat2_(dir, "/proc/self/cwd", O_RDONLY, 0, RESOLVE_NO_MAGICLINKS), ELOOP);
	CHECK_ERR(openat2_(dir, "/proc/self/status", O_RDONLY, 0, RESOLVE_NO_XDEV), EXDEV);
	CHECK_ERR(openat2_(dir, "e/f", O_RDONLY, 0644, 0), EINVAL);
	CHECK_ERR(openat2_(dir, "e/f", 1ULL << 40, 0, 0), EINVAL);
	CHECK_ERR(openat2_(dir, "e/f", O_RDONLY, 0, 1 << 20), EINVAL);
	CHECK_ERR(openat2_(dir, "e/f", O_RDONLY, 0, RESOLVE_BENEATH | RESOLVE_IN_ROOT), EINVAL);
	CHECK_ERR(openat2_(dir, "e/f", O_PATH | O_RDWR, 0, 0), EINVAL);
	CHECK_ERR(syscall(SYS_openat2, dir, "e/f", &big, 8), EINVAL);
	fd = (int)syscall(SYS_openat2, dir, "e/f", &big, sizeof(big));
	CHECK(fd >= 0);
	close(fd);
	big.more = 1;
	CHECK_ERR(syscall(SYS_openat2, dir, "e/f", &big, sizeof(big)), E2BIG);
	CHECK_ERR(openat(dir, "/nowhere", O_RDONLY), ENOENT);
	CHECK_ERR(openat(-1, "x", O_RDONLY), EBADF);
	fd = openat(-1, "/", O_RDONLY);
	CHECK(fd >= 0);
	close(fd);
	fd = openat(dir, "e/f", O_RDONLY);
	CHECK_ERR(openat(fd, "x", O_RDONLY), ENOTDIR);
	close(fd);
	close(dir);
	unlink("d/up");
	unlink("d/in");
	unlink("d/abs");
	unlink("d/e/f");
	unlink("outside");
	rmdir("d/e");
	rmdir("d");
}

static void test_flags(void)
{
	int fd;

	make("f");
	fd = open("f", O_RDWR | O_APPEND | O_NONBLOCK | O_CLOEXEC | O_CREAT, 0600);
	CHECK_EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
	CHECK_EQ(fcntl(fd, F_GETFL), O_RDWR | O_APPEND | O_NONBLOCK | 0100000);
	CHECK_EQ(fcntl(fd, F_SETFL, O_RDONLY), 0);
	CHECK_EQ(fcntl(fd, F_GETFL), O_RDWR | 0100000);
	CHECK_EQ(fcntl(fd, F_SETFD, 0), 0);
	CHECK_EQ(fcntl(fd, F_GETFD), 0);
	close(fd);
	unlink("f");
}

static void test_dup(void)
{
	struct rlimit rl, small;
	int fd = open(".", O_RDONLY), d;

	CHECK_EQ(dup2(fd, fd), fd);
	CHECK_ERR(dup3(fd, fd, 0), EINVAL);
	CHECK_ERR(dup3(fd, 50, O_APPEND), EINVAL);
	CHECK_EQ(dup3(fd, 50, O_CLOEXEC), 50);
	CHECK_EQ(fcntl(50, F_GETFD), FD_CLOEXEC);
	CHECK_EQ(dup2(50, 51), 51);
	CHECK_EQ(fcntl(51, F_GETFD), 0);
	CHECK_ERR(dup2(-1, 52), EBADF);
	CHECK_ERR(dup2(fd, -1), EBADF);
	CHECK_ERR(dup(12345), EBADF);
	d = fcntl(fd, F_DUPFD, 100);
	CHECK_EQ(d, 100);
	CHECK_EQ(fcntl(fd, F_DUPFD_CLOEXEC, 100), 101);
	CHECK_EQ(fcntl(101, F_GETFD), FD_CLOEXEC);
	CHECK_ERR(fcntl(fd, F_DUPFD, -1), EINVAL);
	close(100);
	CHECK_EQ(fcntl(fd, F_DUPFD, 99), 99);
	CHECK_EQ(fcntl(fd, F_DUPFD, 99), 100);
	CHECK_EQ(syscall(SYS_close_range, 99, 100, 4 /* CLOEXEC */), 0);
	CHECK_EQ(fcntl(99, F_GETFD), FD_CLOEXEC);
	CHECK_EQ(syscall(SYS_close_range, 50, ~0U, 0), 0);
	CHECK_ERR(fcntl(99, F_GETFD), EBADF);
	CHECK_ERR(fcntl(51, F_GETFD), EBADF);
	CHECK_ERR(syscall(SYS_close_range, 2, 1, 0), EINVAL);
	CHECK_ERR(syscall(SYS_close_range, 2, 3, 64), EINVAL);
	CHECK_ERR(close(51), EBADF);
	CHECK_ERR(close(-1), EBADF);
	getrlimit(RLIMIT_NOFILE, &rl);
	small = rl;
	small.rlim_cur = (rlim_t)fd + 2;
	CHECK_EQ(setrlimit(RLIMIT_NOFILE, &small), 0);
	d = dup(fd);
	CHECK_EQ(d, fd + 1);
	CHECK_ERR(dup(fd), EMFILE);
	CHECK_ERR(open(".", O_RDONLY), EMFILE);
	CHECK_ERR(dup2(fd, fd + 2), EBADF);
	CHECK_ERR(fcntl(fd, F_DUPFD, fd + 2), EINVAL);
	setrlimit(RLIMIT_NOFILE, &rl);
	close(d);
	close(fd);
}

static void test_many(void)
{
	enum { N = 900 };
	int fds[N], first = -1;

	for (int i = 0; i < N; i++) {
		fds[i] = open(".", O_RDONLY);
		REQUIRE(fds[i] >= 0);
		if (i == 0)
			first = fds[0];
		CHECK_EQ(fds[i], first + i);
	}
	close(fds[500]);
	close(fds[20]);
	CHECK_EQ(dup(0), fds[20]);
	CHECK_EQ(dup(0), fds[500]);
	for (int i = 0; i < N; i++)
		close(fds[i]);
}

/* fcntl(2) sets O_ASYNC only where it means something; open(2) keeps it anyway. */
static void test_async(void)
{
	int p[2], on = 1, f = open("as", O_CREAT | O_RDWR, 0600), g = open("as", O_RDONLY | O_ASYNC), n = open("/dev/null", O_RDWR);

	REQUIRE(pipe(p) == 0);
	CHECK_EQ(fcntl(f, F_SETFL, O_ASYNC | O_NONBLOCK), 0);
	CHECK_EQ(fcntl(f, F_GETFL) & (O_ASYNC | O_NONBLOCK), O_NONBLOCK);
	CHECK_EQ(fcntl(g, F_GETFL) & O_ASYNC, O_ASYNC);
	CHECK_EQ(fcntl(g, F_SETFL, 0), 0);
	CHECK_EQ(fcntl(g, F_GETFL) & O_ASYNC, O_ASYNC);
	CHECK_EQ(fcntl(n, F_SETFL, O_ASYNC), 0);
	CHECK_EQ(fcntl(n, F_GETFL) & O_ASYNC, 0);
	CHECK_EQ(fcntl(p[0], F_SETFL, O_ASYNC), 0);
	CHECK_EQ(fcntl(p[0], F_GETFL) & O_ASYNC, O_ASYNC);
	CHECK_ERR(ioctl(f, FIOASYNC, &on), ENOTTY);
	CHECK_EQ(ioctl(p[1], FIOASYNC, &on), 0);
	CHECK_EQ(fcntl(p[1], F_GETFL) & O_ASYNC, O_ASYNC);
	close(f);
	close(g);
	close(n);
	close(p[0]);
	close(p[1]);
	CHECK_EQ(unlink("as"), 0);
}

int main(void)
{
	closefrom(3); /* what the runner left open would be in the way */
	test_create();
	test_links();
	test_tmpfile();
	test_openat2();
	test_flags();
	test_dup();
	test_many();
	test_async();
	return check_status();
}
