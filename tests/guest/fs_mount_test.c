/* mount(2), umount2(2), bind mounts, pivot_root(2), chroot(2). Natively in a mount namespace of its
 * own; not as an ordinary user. */
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
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

static void test_tmpfs(void)
{
	struct stat a, b;
	int fd;

	mkdir("m", 0755);
	make("m/hidden");
	CHECK_EQ(stat("m", &a), 0);
	CHECK_EQ(mount("none", "m", "tmpfs", 0, "mode=700,size=1m"), 0);
	CHECK_EQ(stat("m", &b), 0);
	CHECK(a.st_dev != b.st_dev);
	CHECK_EQ(b.st_mode & 07777, 0700);
	CHECK(!exists("m/hidden"));
	make("m/f");
	CHECK_ERR(rmdir("m"), EBUSY);
	CHECK_ERR(rename("m", "n"), EBUSY);
	CHECK_ERR(rename("m/f", "f"), EXDEV);
	CHECK_ERR(link("m/f", "f"), EXDEV);
	fd = open("m/f", O_RDWR);
	CHECK_ERR(umount("m"), EBUSY);
	close(fd);
	CHECK_EQ(mount(NULL, "m", NULL, MS_REMOUNT | MS_RDONLY, NULL), 0);
	CHECK_ERR(open("m/g", O_CREAT | O_RDWR, 0644), EROFS);
	CHECK_ERR(open("m/f", O_RDWR), EROFS);
	CHECK_ERR(access("m/f", W_OK), EROFS);
	CHECK_ERR(mkdir("m/d", 0755), EROFS);
	CHECK_ERR(unlink("m/f"), EROFS);
	CHECK_EQ(umount("m"), 0);
	CHECK(exists("m/hidden"));
	CHECK_ERR(umount("m"), EINVAL);
	CHECK_ERR(umount2("m", 0x4000), EINVAL);
	CHECK_ERR(mount("none", "m", "nosuchfs", 0, NULL), ENODEV);
	CHECK_ERR(mount("none", "nowhere", "tmpfs", 0, NULL), ENOENT);
	CHECK_ERR(mount("none", "m/hidden", "tmpfs", 0, NULL), ENOTDIR);
	CHECK_ERR(mount("none", "m", "tmpfs", 0, "bogus=1"), EINVAL);
	unlink("m/hidden");
	rmdir("m");
}

static void test_bind(void)
{
	mkdir("src", 0755);
	mkdir("src/sub", 0755);
	mkdir("dst", 0755);
	make("src/f");
	make("file");
	CHECK_EQ(mount("none", "src/sub", "tmpfs", 0, NULL), 0);
	make("src/sub/deep");
	CHECK_EQ(mount("src", "dst", NULL, MS_BIND, NULL), 0);
	CHECK(exists("dst/f"));
	CHECK(!exists("dst/sub/deep"));
	CHECK_EQ(mount(NULL, "dst", NULL, MS_BIND | MS_REMOUNT | MS_RDONLY, NULL), 0);
	CHECK_ERR(unlink("dst/f"), EROFS);
	make("src/g");
	CHECK_EQ(umount("dst"), 0);
	CHECK_EQ(mount("src", "dst", NULL, MS_BIND | MS_REC, NULL), 0);
	CHECK(exists("dst/sub/deep"));
	CHECK_ERR(umount("dst"), EBUSY);
	CHECK_EQ(umount2("dst", MNT_DETACH), 0);
	CHECK(!exists("dst/f"));
	CHECK_EQ(mount("file", "src/f", NULL, MS_BIND, NULL), 0);
	CHECK_ERR(unlink("src/f"), EBUSY);
	CHECK_EQ(umount("src/f"), 0);
	CHECK_ERR(mount("src", "file", NULL, MS_BIND, NULL), ENOTDIR);
	CHECK_EQ(mount("src/sub", "dst", NULL, MS_MOVE, NULL), 0);
	CHECK(exists("dst/deep"));
	CHECK(!exists("src/sub/deep"));
	CHECK_EQ(umount("dst"), 0);
	unlink("src/f");
	unlink("src/g");
	unlink("file");
	rmdir("src/sub");
	rmdir("src");
	rmdir("dst");
}

static void test_chroot(void)
{
	int status;
	pid_t pid;

	mkdir("jail", 0755);
	make("jail/inside");
	make("outside");
	pid = fork();
	if (pid == 0) {
		char cwd[PATH_MAX];

		check_failures = 0;
		REQUIRE(chroot("jail") == 0);
		CHECK(exists("/inside"));
		CHECK(exists("outside")); /* the working directory stays */
		CHECK_EQ(syscall(SYS_getcwd, cwd, sizeof(cwd)) > 0, 1);
		CHECK_EQ(strncmp(cwd, "(unreachable)", 13), 0);
		CHECK_EQ(chdir("/"), 0);
		CHECK_EQ(chdir("../../.."), 0);
		CHECK(exists("inside"));
		CHECK(!exists("../outside"));
		fflush(stdout);
		_exit(check_failures != 0);
	}
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	CHECK_EQ(status, 0);
	CHECK_ERR(chroot("outside"), ENOTDIR);
	unlink("jail/inside");
	unlink("outside");
	rmdir("jail");
}

static void test_pivot(void)
{
	mkdir("new", 0755);
	CHECK_EQ(mount("none", "new", "tmpfs", 0, NULL), 0);
	make("new/here");
	CHECK_ERR(syscall(SYS_pivot_root, "/", "/"), EBUSY);
	CHECK_EQ(chdir("new"), 0);
	CHECK_EQ(syscall(SYS_pivot_root, ".", "."), 0);
	CHECK_EQ(umount2(".", MNT_DETACH), 0);
	CHECK_EQ(chdir("/"), 0);
	CHECK(exists("/here"));
	CHECK(!exists("/usr"));
}

/* What an overlay writes to can be seen, and changed, at its own place. */
static void test_overlay_upper_in_sight(void)
{
	mkdir("m", 0755);
	CHECK_EQ(mount("none", "m", "tmpfs", 0, NULL), 0);
	mkdir("m/low", 0755);
	mkdir("m/up", 0755);
	mkdir("m/work", 0755);
	mkdir("m/all", 0755);
	mkdir("m/up/d", 0755);
	make("m/up/d/a");
	CHECK_EQ(mount("none", "m/all", "overlay", 0, "lowerdir=m/low,upperdir=m/up,workdir=m/work"), 0);
	CHECK_EQ(rename("m/up/d/a", "m/up/d/b"), 0);
	CHECK(!exists("m/up/d/a") && exists("m/up/d/b"));
	CHECK_ERR(rename("m/up/d", "m/up/d/c"), EINVAL);
	CHECK_ERR(rename("m/up/d/b", "m/up/d"), ENOTEMPTY);
	CHECK_EQ(umount("m/all"), 0);
	CHECK_EQ(umount2("m", MNT_DETACH), 0);
	rmdir("m");
}

/* The working directory is on a mount that has been bound elsewhere, and both are gone. */
static void unshare_in_gone_mount(void)
{
	char cwd[PATH_MAX];

	CHECK_EQ(getcwd(cwd, sizeof(cwd)) != NULL, 1);
	mkdir("m", 0755);
	mkdir("n", 0755);
	CHECK_EQ(mount("none", "m", "tmpfs", 0, NULL), 0);
	CHECK_EQ(mount("m", "n", NULL, MS_BIND, NULL), 0);
	make("m/f");
	CHECK_EQ(chdir("m"), 0);
	strcat(cwd, "/n");
	CHECK_EQ(umount2(cwd, MNT_DETACH), 0);
	cwd[strlen(cwd) - 1] = 'm';
	CHECK_EQ(umount2(cwd, MNT_DETACH), 0);
	CHECK_EQ(unshare(CLONE_NEWNS), 0);
	CHECK(exists("f"));
	CHECK_EQ(chdir(cwd), 0);
	CHECK_EQ(chdir(".."), 0);
	rmdir("m");
	rmdir("n");
}

int main(void)
{
	if (geteuid() != 0)
		CHECK_SKIP("needs root");
	if (unshare(CLONE_NEWNS) < 0)
		CHECK_SKIP("needs a mount namespace");
	REQUIRE(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0);
	test_tmpfs();
	test_bind();
	test_chroot();
	test_overlay_upper_in_sight();
	check_in_child(unshare_in_gone_mount);
	fflush(stdout);
	test_pivot();
	return check_status();
}
