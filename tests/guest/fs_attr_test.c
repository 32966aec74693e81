/* stat(2), statx(2), access(2), chmod(2), chown(2), utimensat(2), truncate(2), xattr(7). */
#include <fcntl.h>
#include <grp.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>
#include <utime.h>

#include "tests/guest/check.h"

static void make(const char *path)
{
	int fd = open(path, O_CREAT | O_WRONLY | O_TRUNC, 0644);

	REQUIRE(fd >= 0);
	close(fd);
}

static mode_t mode_of(const char *path)
{
	struct stat st;

	return lstat(path, &st) == 0 ? st.st_mode & 07777 : 0xffff;
}

static void test_stat(void)
{
	struct stat st, at;
	struct statx sx;
	struct statfs sf;
	int p[2], fd;

	make("f");
	CHECK_EQ(stat("f", &st), 0);
	CHECK_EQ(fstatat(AT_FDCWD, "f", &at, 0), 0);
	CHECK_EQ(st.st_ino, at.st_ino);
	CHECK_EQ(st.st_dev, at.st_dev);
	CHECK_ERR(fstatat(AT_FDCWD, "", &at, 0), ENOENT);
	CHECK_EQ(fstatat(AT_FDCWD, "", &at, AT_EMPTY_PATH), 0);
	CHECK(S_ISDIR(at.st_mode));
	CHECK_ERR(fstatat(AT_FDCWD, "f", &at, 0x40000000), EINVAL);
	CHECK_ERR(stat("f", (void *)8), EFAULT);
	CHECK_EQ(statx(AT_FDCWD, "f", 0, STATX_BASIC_STATS | STATX_BTIME, &sx), 0);
	CHECK_EQ(sx.stx_ino, st.st_ino);
	CHECK_EQ(sx.stx_mode, st.st_mode);
	CHECK_EQ(sx.stx_mask & STATX_BASIC_STATS, STATX_BASIC_STATS);
	CHECK_ERR(statx(AT_FDCWD, "f", 0, 0x80000000u, &sx), EINVAL);
	CHECK_ERR(statx(AT_FDCWD, "f", AT_STATX_FORCE_SYNC | AT_STATX_DONT_SYNC, 0, &sx), EINVAL);
	CHECK_EQ(pipe(p), 0);
	CHECK_EQ(fstat(p[0], &st), 0);
	CHECK(S_ISFIFO(st.st_mode));
	CHECK_EQ(fstat(p[1], &at), 0);
	CHECK_EQ(st.st_ino, at.st_ino);
	CHECK_ERR(fstat(99, &st), EBADF);
	CHECK_EQ(statfs(".", &sf), 0);
	CHECK(sf.f_bsize > 0 && sf.f_namelen >= 100);
	fd = open("f", O_RDONLY);
	CHECK_EQ(fstatfs(fd, &sf), 0);
	CHECK_ERR(statfs("none", &sf), ENOENT);
	close(fd);
	close(p[0]);
	close(p[1]);
	unlink("f");
}

static void test_chmod(void)
{
	int fd;

	make("f");
	CHECK_EQ(chmod("f", 04751), 0);
	CHECK_EQ(mode_of("f"), 04751);
	CHECK_EQ(symlink("f", "l"), 0);
	CHECK_EQ(chmod("l", 0640), 0);
	CHECK_EQ(mode_of("f"), 0640);
	fd = open("f", O_RDONLY);
	CHECK_EQ(fchmod(fd, 0600), 0);
	CHECK_EQ(mode_of("f"), 0600);
	CHECK_EQ(fchmodat(AT_FDCWD, "f", 0644, 0), 0);
	CHECK_ERR(chmod("none", 0644), ENOENT);
	CHECK_ERR(chmod("f/", 0644), ENOTDIR);
	close(fd);
	unlink("l");
	unlink("f");
}

static void test_times(void)
{
	struct timespec ts[2] = {{1000, 123456789}, {2000, 987654321}}, bad[2] = {{0, 1000000000}, {0, 0}};
	struct timeval tv[2] = {{11, 22}, {33, 44}};
	struct utimbuf ub = {55, 66};
	struct stat st, before;
	int fd;

	make("f");
	CHECK_EQ(utimensat(AT_FDCWD, "f", ts, 0), 0);
	CHECK_EQ(stat("f", &st), 0);
	CHECK_EQ(st.st_atim.tv_sec, 1000);
	CHECK_EQ(st.st_atim.tv_nsec, 123456789);
	CHECK_EQ(st.st_mtim.tv_sec, 2000);
	CHECK_EQ(st.st_mtim.tv_nsec, 987654321);
	ts[0].tv_nsec = UTIME_OMIT;
	ts[1].tv_nsec = UTIME_NOW;
	CHECK_EQ(utimensat(AT_FDCWD, "f", ts, 0), 0);
	CHECK_EQ(stat("f", &st), 0);
	CHECK_EQ(st.st_atim.tv_sec, 1000);
	CHECK(st.st_mtim.tv_sec > 1000000000);
	CHECK_ERR(utimensat(AT_FDCWD, "f", bad, 0), EINVAL);
	CHECK_EQ(utimes("f", tv), 0);
	CHECK_EQ(stat("f", &st), 0);
	CHECK_EQ(st.st_mtim.tv_sec, 33);
	CHECK_EQ(st.st_mtim.tv_nsec, 44000);
	CHECK_EQ(utime("f", &ub), 0);
	CHECK_EQ(stat("f", &st), 0);
	CHECK_EQ(st.st_atim.tv_sec, 55);
	CHECK_EQ(st.st_mtim.tv_sec, 66);
	fd = open("f", O_RDWR);
	CHECK_EQ(futimens(fd, NULL), 0);
	CHECK_EQ(stat("f", &before), 0);
	CHECK(before.st_mtim.tv_sec > 1000000000);
	ts[0] = ts[1] = (struct timespec){5, 0};
	CHECK_EQ(futimens(fd, ts), 0);
	CHECK_EQ(write(fd, "x", 1), 1);
	CHECK_EQ(stat("f", &st), 0);
	CHECK(st.st_mtim.tv_sec > 1000000000);
	CHECK_EQ(symlink("f", "l"), 0);
	CHECK_EQ(utimensat(AT_FDCWD, "l", ts, AT_SYMLINK_NOFOLLOW), 0);
	CHECK_EQ(lstat("l", &st), 0);
	CHECK_EQ(st.st_mtim.tv_sec, 5);
	close(fd);
	unlink("l");
	unlink("f");
}

static void test_truncate(void)
{
	char buf[20];
	struct stat st;
	int fd = open("f", O_CREAT | O_RDWR, 0644), ro;

	CHECK_EQ(write(fd, "0123456789", 10), 10);
	CHECK_EQ(truncate("f", 4), 0);
	CHECK_EQ(truncate("f", 8), 0);
	CHECK_EQ(pread(fd, buf, 20, 0), 8);
	CHECK_EQ(memcmp(buf, "0123\0\0\0\0", 8), 0);
	CHECK_EQ(ftruncate(fd, 0), 0);
	CHECK_EQ(fstat(fd, &st), 0);
	CHECK_EQ(st.st_size, 0);
	CHECK_ERR(truncate("f", -1), EINVAL);
	CHECK_ERR(truncate(".", 0), EISDIR);
	CHECK_ERR(truncate("none", 0), ENOENT);
	ro = open("f", O_RDONLY);
	CHECK_ERR(ftruncate(ro, 0), EINVAL);
	CHECK_ERR(ftruncate(-1, 0), EBADF);
	close(ro);
	close(fd);
	unlink("f");
}

static void test_access(void)
{
	make("f");
	chmod("f", 0644);
	CHECK_EQ(access("f", F_OK), 0);
	CHECK_EQ(access("f", R_OK | W_OK), 0);
	CHECK_ERR(access("f", X_OK), EACCES);
	CHECK_ERR(access("none", F_OK), ENOENT);
	CHECK_ERR(access("f", 8), EINVAL);
	CHECK_EQ(access(".", R_OK | W_OK | X_OK), 0);
	CHECK_EQ(faccessat(AT_FDCWD, "f", R_OK, AT_EACCESS), 0);
	CHECK_EQ(symlink("none", "l"), 0);
	CHECK_ERR(access("l", F_OK), ENOENT);
	CHECK_EQ(faccessat(AT_FDCWD, "l", F_OK, AT_SYMLINK_NOFOLLOW), 0);
	unlink("l");
	unlink("f");
}

static void test_xattr(void)
{
	char buf[64];
	int fd;

	make("f");
	if (setxattr("f", "user.one", "1", 1, 0) < 0 && errno == EOPNOTSUPP) {
		unlink("f");
		return;
	}
	CHECK_EQ(getxattr("f", "user.one", buf, sizeof(buf)), 1);
	CHECK_EQ(buf[0], '1');
	CHECK_EQ(getxattr("f", "user.one", NULL, 0), 1);
	CHECK_ERR(getxattr("f", "user.none", buf, sizeof(buf)), ENODATA);
	CHECK_ERR(setxattr("f", "user.one", "2", 1, XATTR_CREATE), EEXIST);
	CHECK_ERR(setxattr("f", "user.two", "2", 1, XATTR_REPLACE), ENODATA);
	CHECK_EQ(setxattr("f", "user.one", "12345", 5, XATTR_REPLACE), 0);
	CHECK_ERR(getxattr("f", "user.one", buf, 3), ERANGE);
	CHECK_ERR(setxattr("f", "bogus.one", "1", 1, 0), EOPNOTSUPP);
	CHECK_ERR(setxattr("f", "user.", "1", 1, 0), EINVAL);
	CHECK_ERR(setxattr("f", "", "1", 1, 0), ERANGE);
	fd = open("f", O_RDWR);
	CHECK_EQ(fsetxattr(fd, "user.two", "22", 2, 0), 0);
	CHECK(flistxattr(fd, buf, sizeof(buf)) >= 18);
	CHECK_EQ(fremovexattr(fd, "user.two"), 0);
	CHECK_ERR(fremovexattr(fd, "user.two"), ENODATA);
	close(fd);
	unlink("f");
}

/* What another user may do: in a child that gives root up. */
static void as_user(void (*fn)(void))
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		check_failures = 0;
		REQUIRE(setgroups(0, NULL) == 0 && setgid(1000) == 0 && setuid(1000) == 0);
		fn();
		fflush(stdout);
		_exit(check_failures != 0);
	}
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	CHECK_EQ(status, 0);
}

static void user_checks(void)
{
	struct stat st;

	CHECK_ERR(open("priv", O_RDONLY), EACCES);
	CHECK_EQ(open("pub", O_RDONLY) >= 0, 1);
	CHECK_ERR(open("pub", O_WRONLY), EACCES);
	CHECK_ERR(open("pub", O_RDONLY | O_TRUNC), EACCES);
	CHECK_ERR(chmod("pub", 0777), EPERM);
	CHECK_ERR(chown("pub", 1000, 1000), EPERM);
	CHECK_ERR(truncate("pub", 0), EACCES);
	CHECK_ERR(utimes("pub", NULL), EACCES);
	CHECK_ERR(stat("closed/f", &st), EACCES);
	CHECK_ERR(access("priv", R_OK), EACCES);
	CHECK_ERR(unlink("sticky/roots"), EPERM);
	CHECK_ERR(rename("sticky/roots", "sticky/mine"), EPERM);
	CHECK_ERR(open("newfile", O_CREAT | O_RDWR, 0644), EACCES);
	make("sticky/mine");
	CHECK_EQ(stat("sticky/mine", &st), 0);
	CHECK_EQ(st.st_uid, 1000);
	CHECK_EQ(chmod("sticky/mine", 04755), 0);
	CHECK_EQ(chown("sticky/mine", -1, 1000), 0);
	CHECK_EQ(mode_of("sticky/mine"), 0755);
	CHECK_ERR(chown("sticky/mine", 0, -1), EPERM);
	CHECK_ERR(setxattr("sticky/mine", "security.mine", "1", 1, 0), EPERM);
	CHECK_EQ(chmod("sticky/mine", 0000), 0);
	CHECK_ERR(open("sticky/mine", O_RDONLY), EACCES);
	CHECK_ERR(mknod("sticky/dev", S_IFCHR | 0600, 0x103), EPERM);
	CHECK_ERR(chroot("."), EPERM);
	CHECK_EQ(open("sticky/ro", O_CREAT | O_RDWR, 0444) >= 0, 1);
	CHECK_ERR(open("sticky/ro", O_RDWR), EACCES);
	CHECK_EQ(unlink("sticky/ro"), 0);
	CHECK_EQ(unlink("sticky/mine"), 0);
}

static void test_permissions(void)
{
	struct stat st;

	chmod(".", 0755);
	make("priv");
	chmod("priv", 0600);
	make("pub");
	mkdir("closed", 0700);
	make("closed/f");
	mkdir("sticky", 0755);
	chmod("sticky", 01777);
	make("sticky/roots");
	as_user(user_checks);
	CHECK_EQ(chown("pub", 1000, 1000), 0);
	CHECK_EQ(stat("pub", &st), 0);
	CHECK_EQ(st.st_uid, 1000);
	CHECK_EQ(st.st_gid, 1000);
	mkdir("setgid", 0755);
	CHECK_EQ(chown("setgid", 0, 1000), 0);
	CHECK_EQ(chmod("setgid", 02755), 0);
	make("setgid/f");
	mkdir("setgid/d", 0755);
	CHECK_EQ(stat("setgid/f", &st), 0);
	CHECK_EQ(st.st_gid, 1000);
	CHECK_EQ(stat("setgid/d", &st), 0);
	CHECK_EQ(st.st_gid, 1000);
	CHECK(st.st_mode & S_ISGID);
	rmdir("setgid/d");
	unlink("setgid/f");
	rmdir("setgid");
	unlink("sticky/roots");
	rmdir("sticky");
	unlink("closed/f");
	rmdir("closed");
	unlink("priv");
	unlink("pub");
}

int main(void)
{
	umask(022);
	test_stat();
	test_chmod();
	test_times();
	test_truncate();
	test_access();
	test_xattr();
	if (geteuid() == 0)
		test_permissions();
	return check_status();
}
