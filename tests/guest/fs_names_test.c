/* mkdir(2), link(2), symlink(2), unlink(2), rename(2), mknod(2), getdents(2), chdir(2). */
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/fs.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "tests/guest/check.h"

static void make(const char *path)
{
	int fd = open(path, O_CREAT | O_WRONLY, 0644);

	REQUIRE(fd >= 0);
	close(fd);
}

static int exists(const char *path)
{
	struct stat st;

	return lstat(path, &st) == 0;
}

static void test_mkdir(void)
{
	struct stat st;
	char longname[NAME_MAX + 2];

	umask(022);
	CHECK_EQ(mkdir("d", 0777), 0);
	CHECK_EQ(stat("d", &st), 0);
	CHECK_EQ(st.st_mode & ~S_ISGID, S_IFDIR | 0755);
	CHECK_ERR(mkdir("d", 0777), EEXIST);
	CHECK_ERR(mkdir(".", 0777), EEXIST);
	CHECK_ERR(mkdir("..", 0777), EEXIST);
	CHECK_ERR(mkdir("/", 0777), EEXIST);
	CHECK_ERR(mkdir("no/d", 0777), ENOENT);
	CHECK_ERR(mkdir("", 0777), ENOENT);
	CHECK_EQ(mkdir("e/", 0777), 0);
	memset(longname, 'n', NAME_MAX + 1);
	longname[NAME_MAX + 1] = 0;
	CHECK_ERR(mkdir(longname, 0777), ENAMETOOLONG);
	longname[NAME_MAX] = 0;
	CHECK_EQ(mkdir(longname, 0777), 0);
	CHECK_EQ(rmdir(longname), 0);
	make("d/f");
	CHECK_ERR(mkdir("d/f/g", 0777), ENOTDIR);
	CHECK_ERR(rmdir("d"), ENOTEMPTY);
	CHECK_ERR(rmdir("d/f"), ENOTDIR);
	CHECK_ERR(rmdir("d/."), EINVAL);
	CHECK_ERR(rmdir("d/.."), ENOTEMPTY);
	CHECK_ERR(unlink("d"), EISDIR);
	CHECK_ERR(unlink("d/f/"), ENOTDIR);
	CHECK_ERR(unlink("d/g"), ENOENT);
	CHECK_ERR(unlinkat(AT_FDCWD, "d/f", 0x8000), EINVAL);
	CHECK_EQ(unlink("d/f"), 0);
	CHECK_EQ(unlinkat(AT_FDCWD, "d", AT_REMOVEDIR), 0);
	CHECK_EQ(rmdir("e"), 0);
	CHECK_EQ(stat(".", &st), 0);
}

static void test_link(void)
{
	struct stat a, b;
	char buf[16];

	make("f");
	CHECK_EQ(link("f", "g"), 0);
	CHECK_EQ(stat("f", &a), 0);
	CHECK_EQ(stat("g", &b), 0);
	CHECK_EQ(a.st_ino, b.st_ino);
	CHECK_EQ(a.st_nlink, 2);
	CHECK_ERR(link("f", "g"), EEXIST);
	CHECK_ERR(link("none", "h"), ENOENT);
	CHECK_ERR(link(".", "h"), EPERM);
	CHECK_EQ(rename("f", "g"), 0);
	CHECK(exists("f"));
	CHECK_EQ(unlink("g"), 0);
	CHECK_EQ(stat("f", &a), 0);
	CHECK_EQ(a.st_nlink, 1);
	CHECK_EQ(symlink("f", "l"), 0);
	CHECK_EQ(lstat("l", &a), 0);
	CHECK(S_ISLNK(a.st_mode));
	CHECK_EQ(a.st_size, 1);
	CHECK_ERR(symlink("f", "l"), EEXIST);
	CHECK_ERR(symlink("", "m"), ENOENT);
	CHECK_ERR(symlink("x", "m/"), ENOENT);
	memset(buf, 'z', sizeof(buf));
	CHECK_EQ(readlink("l", buf, sizeof(buf)), 1);
	CHECK_EQ(buf[0], 'f');
	CHECK_EQ(buf[1], 'z');
	CHECK_ERR(readlink("f", buf, sizeof(buf)), EINVAL);
	CHECK_ERR(readlink("l", buf, 0), EINVAL);
	CHECK_ERR(readlink("none", buf, 10), ENOENT);
	CHECK_EQ(linkat(AT_FDCWD, "l", AT_FDCWD, "l2", 0), 0);
	CHECK_EQ(lstat("l2", &a), 0);
	CHECK(S_ISLNK(a.st_mode));
	CHECK_EQ(linkat(AT_FDCWD, "l", AT_FDCWD, "f2", AT_SYMLINK_FOLLOW), 0);
	CHECK_EQ(lstat("f2", &a), 0);
	CHECK(S_ISREG(a.st_mode));
	unlink("l");
	unlink("l2");
	unlink("f");
	unlink("f2");
}

static int renameat2_(const char *a, const char *b, unsigned flags)
{
	return (int)syscall(SYS_renameat2, AT_FDCWD, a, AT_FDCWD, b, flags);
}

static void test_rename(void)
{
	struct stat st;
	int fd;

	mkdir("a", 0755);
	mkdir("a/b", 0755);
	mkdir("empty", 0755);
	make("f");
	make("g");
	make("a/x");
	CHECK_ERR(rename("a", "a/b/c"), EINVAL);
	CHECK_ERR(rename("a/b", "a"), ENOTEMPTY);
	CHECK_ERR(rename("f", "a"), EISDIR);
	CHECK_ERR(rename("a", "f"), ENOTDIR);
	CHECK_ERR(rename("f", "new/"), ENOTDIR);
	CHECK_ERR(rename("none", "f"), ENOENT);
	CHECK_ERR(rename("a/.", "q"), EBUSY);
	CHECK_ERR(rename("empty", "a"), ENOTEMPTY);
	CHECK_EQ(rename("a", "empty"), 0);
	CHECK(!exists("a"));
	CHECK(exists("empty/b"));
	CHECK_EQ(rename("empty/", "a/"), 0);
	fd = open("f", O_RDWR);
	CHECK_EQ(write(fd, "data", 4), 4);
	CHECK_EQ(rename("f", "g"), 0);
	CHECK_EQ(stat("g", &st), 0);
	CHECK_EQ(st.st_size, 4);
	CHECK_EQ(write(fd, "more", 4), 4);
	CHECK_EQ(stat("g", &st), 0);
	CHECK_EQ(st.st_size, 8);
	close(fd);
	CHECK_ERR(renameat2_("g", "a/x", RENAME_NOREPLACE), EEXIST);
	CHECK_EQ(renameat2_("g", "h", RENAME_NOREPLACE), 0);
	CHECK_EQ(renameat2_("h", "a/b", RENAME_EXCHANGE), 0);
	CHECK_EQ(stat("h", &st), 0);
	CHECK(S_ISDIR(st.st_mode));
	CHECK_EQ(stat("a/b", &st), 0);
	CHECK(S_ISREG(st.st_mode));
	CHECK_ERR(renameat2_("h", "none", RENAME_EXCHANGE), ENOENT);
	CHECK_ERR(renameat2_("h", "k", RENAME_EXCHANGE | RENAME_NOREPLACE), EINVAL);
	CHECK_ERR(renameat2_("h", "k", 64), EINVAL);
	rmdir("h");
	unlink("a/b");
	unlink("a/x");
	CHECK_EQ(rmdir("a"), 0);
}

/* An unlinked file lives until it is closed; a removed directory takes no new names. */
static void test_unlinked(void)
{
	struct stat st;
	char buf[8], cwd[PATH_MAX], home[PATH_MAX];
	int fd = open("f", O_CREAT | O_RDWR, 0644);

	REQUIRE(getcwd(home, sizeof(home)));
	CHECK_EQ(write(fd, "abc", 3), 3);
	CHECK_EQ(unlink("f"), 0);
	CHECK_EQ(fstat(fd, &st), 0);
	CHECK_EQ(st.st_nlink, 0);
	CHECK_EQ(pread(fd, buf, 8, 0), 3);
	make("f"); /* a new one of that name is another file */
	CHECK_EQ(write(fd, "d", 1), 1);
	CHECK_EQ(stat("f", &st), 0);
	CHECK_EQ(st.st_size, 0);
	close(fd);
	unlink("f");
	CHECK_EQ(mkdir("gone", 0755), 0);
	CHECK_EQ(chdir("gone"), 0);
	CHECK_EQ(rmdir("../gone"), 0);
	CHECK_ERR(open("x", O_CREAT | O_RDWR, 0644), ENOENT);
	CHECK_ERR(mkdir("y", 0755), ENOENT);
	CHECK(getcwd(cwd, sizeof(cwd)) == NULL && errno == ENOENT);
	CHECK_EQ(stat(".", &st), 0);
	CHECK_EQ(chdir(home), 0);
}

static void test_chdir(void)
{
	char home[PATH_MAX], cwd[PATH_MAX], want[PATH_MAX + 8];
	int fd;

	REQUIRE(getcwd(home, sizeof(home)));
	mkdir("d", 0755);
	make("f");
	CHECK_EQ(symlink("d", "s"), 0);
	CHECK_EQ(chdir("s"), 0);
	REQUIRE(getcwd(cwd, sizeof(cwd)));
	snprintf(want, sizeof(want), "%s/d", home);
	CHECK_EQ(strcmp(cwd, want), 0);
	CHECK_EQ(syscall(SYS_getcwd, cwd, sizeof(cwd)), (long)strlen(want) + 1);
	CHECK_ERR(syscall(SYS_getcwd, cwd, 2), ERANGE);
	CHECK_EQ(chdir(".."), 0);
	CHECK_ERR(chdir("f"), ENOTDIR);
	CHECK_ERR(chdir("none"), ENOENT);
	fd = open("d", O_PATH);
	CHECK_EQ(fchdir(fd), 0);
	CHECK_EQ(rename("../d", "../e"), 0);
	REQUIRE(getcwd(cwd, sizeof(cwd)));
	snprintf(want, sizeof(want), "%s/e", home);
	CHECK_EQ(strcmp(cwd, want), 0);
	CHECK_EQ(chdir(home), 0);
	close(fd);
	fd = open("f", O_RDONLY);
	CHECK_ERR(fchdir(fd), ENOTDIR);
	close(fd);
	CHECK_ERR(fchdir(-1), EBADF);
	unlink("f");
	unlink("s");
	rmdir("e");
}

static void test_readdir(void)
{
	enum { N = 300 };
	char name[300], small[16], seen[N] = {0};
	struct dirent *e;
	struct stat st;
	int fd, count = 0, dots = 0;
	DIR *d;

	mkdir("many", 0755);
	for (int i = 0; i < N; i++) {
		snprintf(name, sizeof(name), "many/name-%d", i);
		make(name);
	}
	d = opendir("many");
	REQUIRE(d);
	while ((e = readdir(d))) {
		int i;

		if (e->d_name[0] == '.') {
			dots++;
			CHECK_EQ(e->d_type, DT_DIR);
			continue;
		}
		REQUIRE(sscanf(e->d_name, "name-%d", &i) == 1 && i >= 0 && i < N);
		CHECK_EQ(e->d_type, DT_REG);
		CHECK_EQ(seen[i], 0);
		seen[i] = 1;
		snprintf(name, sizeof(name), "many/%s", e->d_name);
		if (i % 50 == 0) {
			CHECK_EQ(stat(name, &st), 0);
			CHECK_EQ(st.st_ino, e->d_ino);
		}
		CHECK_EQ(unlink(name), 0); /* while listing */
		count++;
	}
	CHECK_EQ(count, N);
	CHECK_EQ(dots, 2);
	rewinddir(d);
	count = 0;
	while ((e = readdir(d)))
		count++;
	CHECK_EQ(count, 2);
	closedir(d);
	fd = open("many", O_RDONLY);
	CHECK_ERR(syscall(SYS_getdents64, fd, small, 10), EINVAL);
	CHECK_EQ(rmdir("many"), 0);
	CHECK_ERR(syscall(SYS_getdents64, fd, name, sizeof(name)), ENOENT);
	close(fd);
	fd = open("/proc/self/status", O_RDONLY);
	CHECK_ERR(syscall(SYS_getdents64, fd, name, sizeof(name)), ENOTDIR);
	close(fd);
}

static void test_mknod(void)
{
	struct stat st;

	CHECK_EQ(mknod("r", S_IFREG | 0644, 0), 0);
	CHECK_EQ(mknod("p", S_IFIFO | 0600, 0), 0);
	CHECK_EQ(mknod("s", S_IFSOCK | 0600, 0), 0);
	CHECK_EQ(lstat("p", &st), 0);
	CHECK(S_ISFIFO(st.st_mode));
	CHECK_EQ(lstat("s", &st), 0);
	CHECK(S_ISSOCK(st.st_mode));
	CHECK_ERR(open("s", O_RDONLY), ENXIO);
	CHECK_ERR(open("p", O_WRONLY | O_NONBLOCK), ENXIO);
	CHECK_ERR(mknod("r", S_IFREG | 0644, 0), EEXIST);
	CHECK_ERR(mknod("q", S_IFDIR | 0755, 0), EPERM);
	CHECK_ERR(mknod("q", S_IFLNK | 0755, 0), EINVAL);
	unlink("r");
	unlink("p");
	unlink("s");
}

/* What one has opened oneself may be linked by its descriptor. */
static void test_link_fd(void)
{
	int f = open("lf", O_CREAT | O_RDWR, 0600), p = open("lf", O_PATH), t = open(".", O_TMPFILE | O_RDWR, 0600);
	struct stat st;

	CHECK_EQ(linkat(f, "", AT_FDCWD, "lf1", AT_EMPTY_PATH), 0);
	CHECK_EQ(linkat(p, "", AT_FDCWD, "lf2", AT_EMPTY_PATH), 0);
	CHECK_EQ(fstat(f, &st), 0);
	CHECK_EQ(st.st_nlink, 3);
	CHECK_ERR(linkat(f, "", AT_FDCWD, "lf3", 0), ENOENT);
	CHECK_ERR(linkat(f, "x", AT_FDCWD, "lf3", AT_EMPTY_PATH), ENOTDIR);
	CHECK_EQ(linkat(AT_FDCWD, "lf", AT_FDCWD, "lf3", AT_EMPTY_PATH), 0);
	if (t >= 0) {
		CHECK_EQ(linkat(t, "", AT_FDCWD, "lt", AT_EMPTY_PATH), 0);
		CHECK_EQ(unlink("lt"), 0);
	}
	CHECK_EQ(unlink("lf") | unlink("lf1") | unlink("lf2") | unlink("lf3"), 0);
	close(f);
	close(p);
	close(t);
}

/* Where the file system can (tmpfs can). */
static void test_whiteout(void)
{
	struct stat st;

	close(open("wh", O_CREAT | O_WRONLY, 0600));
	if (syscall(SYS_renameat2, AT_FDCWD, "wh", AT_FDCWD, "wh1", 4 /* RENAME_WHITEOUT */) == 0) {
		CHECK_EQ(lstat("wh", &st), 0);
		CHECK_EQ(st.st_mode & S_IFMT, S_IFCHR);
		CHECK_EQ(st.st_rdev, 0);
		CHECK_EQ(st.st_uid, geteuid());
		CHECK_EQ(unlink("wh"), 0);
		CHECK_EQ(unlink("wh1"), 0);
	} else {
		CHECK_EQ(unlink("wh"), 0);
	}
}

int main(void)
{
	test_mkdir();
	test_link();
	test_rename();
	test_unlinked();
	test_chdir();
	test_readdir();
	test_mknod();
	test_link_fd();
	test_whiteout();
	return check_status();
}
