/* tmpfs: sparse files, fallocate, holes, rename flags, O_TMPFILE, xattrs, stable readdir, mapping a
 * file that has data already, size limits. In /dev/shm, which is a tmpfs natively as well. */
#include <dirent.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "tests/guest/check.h"

static void test_sparse(void)
{
	char buf[8192], zero[8192] = {0};
	struct stat st;
	int fd = open("sparse", O_RDWR | O_CREAT, 0644);

	REQUIRE(fd >= 0);
	CHECK_EQ(pwrite(fd, "x", 1, 10 << 20), 1);
	CHECK(fstat(fd, &st) == 0);
	CHECK_EQ(st.st_size, (10 << 20) + 1);
	CHECK_EQ(st.st_blocks, 8);
	CHECK_EQ(pread(fd, buf, sizeof(buf), 5 << 20), sizeof(buf));
	CHECK(memcmp(buf, zero, sizeof(buf)) == 0);
	CHECK_EQ(lseek(fd, 0, SEEK_DATA), 10 << 20);
	CHECK_EQ(lseek(fd, 0, SEEK_HOLE), 0);
	CHECK_EQ(lseek(fd, 10 << 20, SEEK_HOLE), (10 << 20) + 1);
	CHECK_ERR(lseek(fd, 11 << 20, SEEK_DATA), ENXIO);
	CHECK_ERR(lseek(fd, -1, SEEK_SET), EINVAL);
	CHECK_ERR(lseek(fd, 0, 99), EINVAL);
	close(fd);
	unlink("sparse");
}

static void test_truncate(void)
{
	char buf[10000];
	int fd = open("trunc", O_RDWR | O_CREAT, 0644);
	struct stat st;

	memset(buf, 'a', sizeof(buf));
	CHECK_EQ(write(fd, buf, sizeof(buf)), sizeof(buf));
	CHECK(ftruncate(fd, 5000) == 0);
	CHECK(ftruncate(fd, 9000) == 0);
	CHECK_EQ(pread(fd, buf, sizeof(buf), 0), 9000);
	CHECK(buf[4999] == 'a' && buf[5000] == 0 && buf[8999] == 0);
	CHECK_ERR(ftruncate(fd, -1), EINVAL);
	CHECK(ftruncate(fd, 0) == 0);
	CHECK(fstat(fd, &st) == 0 && st.st_blocks == 0);
	close(fd);
	unlink("trunc");
}

static void test_fallocate(void)
{
	char buf[4096 * 4];
	int fd = open("falloc", O_RDWR | O_CREAT, 0644);
	struct stat st;

	CHECK(fallocate(fd, 0, 0, 16384) == 0);
	CHECK(fstat(fd, &st) == 0);
	CHECK_EQ(st.st_size, 16384);
	CHECK_EQ(st.st_blocks, 32);
	memset(buf, 'z', sizeof(buf));
	CHECK_EQ(pwrite(fd, buf, sizeof(buf), 0), sizeof(buf));
	CHECK(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 4000, 4200) == 0);
	CHECK_EQ(pread(fd, buf, sizeof(buf), 0), sizeof(buf));
	CHECK(buf[3999] == 'z' && buf[4000] == 0 && buf[8199] == 0 && buf[8200] == 'z');
	CHECK(fstat(fd, &st) == 0);
	CHECK_EQ(st.st_blocks, 24);
	CHECK(fallocate(fd, FALLOC_FL_KEEP_SIZE, 16384, 4096) == 0);
	CHECK(fstat(fd, &st) == 0);
	CHECK_EQ(st.st_size, 16384);
	CHECK_ERR(fallocate(fd, FALLOC_FL_PUNCH_HOLE, 0, 4096), EOPNOTSUPP);
	CHECK_ERR(fallocate(fd, 0, 0, 0), EINVAL);
	CHECK_ERR(fallocate(fd, 0, -1, 10), EINVAL);
	close(fd);
	unlink("falloc");
}

static void test_map(void)
{
	char buf[100], *p, *q;
	int fd = open("mapped", O_RDWR | O_CREAT, 0644), ro;

	CHECK_EQ(pwrite(fd, "before", 6, 0), 6);
	CHECK_EQ(pwrite(fd, "later", 5, 8192), 5);
	p = mmap(NULL, 12288, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	REQUIRE(p != MAP_FAILED);
	CHECK(memcmp(p, "before", 6) == 0 && memcmp(p + 8192, "later", 5) == 0);
	memcpy(p + 100, "stored", 6);
	CHECK_EQ(pread(fd, buf, 6, 100), 6);
	CHECK(memcmp(buf, "stored", 6) == 0);
	CHECK_EQ(pwrite(fd, "written", 7, 200), 7);
	CHECK(memcmp(p + 200, "written", 7) == 0);
	ro = open("mapped", O_RDONLY);
	CHECK_ERR(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, ro, 0) == MAP_FAILED ? -1 : 0,
		  EACCES);
	q = mmap(NULL, 4096, PROT_READ, MAP_SHARED, ro, 0);
	REQUIRE(q != MAP_FAILED);
	CHECK_ERR(mprotect(q, 4096, PROT_READ | PROT_WRITE), EACCES);
	p[0] = 'B';
	CHECK(q[0] == 'B');
	CHECK(munmap(q, 4096) == 0);
	q = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE, ro, 0);
	REQUIRE(q != MAP_FAILED);
	q[0] = 'p';
	CHECK(p[0] == 'B');
	/* Growing and appending after it was mapped. */
	CHECK(lseek(fd, 0, SEEK_END) == 8197);
	CHECK_EQ(write(fd, "+++", 3), 3);
	CHECK(memcmp(p + 8192, "later+++", 8) == 0);
	if (fork() == 0) {
		p[300] = 'c';
		_exit(0);
	}
	wait(NULL);
	CHECK(p[300] == 'c');
	close(fd);
	close(ro);
	unlink("mapped");
}

static void put(const char *name, const char *text)
{
	int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC, 0644);

	REQUIRE(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
	close(fd);
}

static int starts(const char *name, char c)
{
	char got = 0;
	int fd = open(name, O_RDONLY);

	if (fd < 0)
		return 0;
	if (read(fd, &got, 1) != 1)
		got = 0;
	close(fd);
	return got == c;
}

static void test_rename(void)
{
	struct stat st;

	put("ra", "a");
	put("rb", "b");
	CHECK_ERR(renameat2(AT_FDCWD, "ra", AT_FDCWD, "rb", RENAME_NOREPLACE), EEXIST);
	CHECK(renameat2(AT_FDCWD, "ra", AT_FDCWD, "rb", RENAME_EXCHANGE) == 0);
	CHECK(starts("ra", 'b') && starts("rb", 'a'));
	CHECK_ERR(renameat2(AT_FDCWD, "ra", AT_FDCWD, "none", RENAME_EXCHANGE), ENOENT);
	CHECK(rename("ra", "rb") == 0);
	CHECK(starts("rb", 'b'));
	CHECK(mkdir("rd", 0755) == 0 && mkdir("rd/sub", 0755) == 0 && mkdir("re", 0755) == 0);
	CHECK(stat("rd", &st) == 0 && st.st_nlink == 3);
	CHECK_ERR(rename("re", "rd"), ENOTEMPTY);
	CHECK_ERR(rename("rd", "rd/sub/x"), EINVAL);
	CHECK_ERR(rename("rb", "re"), EISDIR);
	CHECK_ERR(rename("re", "rb"), ENOTDIR);
	CHECK(rename("rd/sub", "re") == 0);
	CHECK(stat("rd", &st) == 0 && st.st_nlink == 2);
	CHECK(renameat2(AT_FDCWD, "rb", AT_FDCWD, "re", RENAME_EXCHANGE) == 0);
	CHECK(stat("rb", &st) == 0 && S_ISDIR(st.st_mode));
	CHECK(link("re", "rl") == 0);
	CHECK(rename("re", "rl") == 0); /* two names of one file: nothing happens */
	CHECK(access("re", F_OK) == 0);
	CHECK(unlink("re") == 0 && unlink("rl") == 0);
	CHECK(rmdir("rb") == 0 && rmdir("rd") == 0);
}

static void test_tmpfile(void)
{
	char path[64];
	struct stat st;
	int fd = open(".", O_TMPFILE | O_RDWR, 0600);

	REQUIRE(fd >= 0);
	CHECK_EQ(write(fd, "unnamed", 7), 7);
	CHECK(fstat(fd, &st) == 0 && st.st_nlink == 0);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	CHECK(linkat(AT_FDCWD, path, AT_FDCWD, "named", AT_SYMLINK_FOLLOW) == 0);
	CHECK(fstat(fd, &st) == 0 && st.st_nlink == 1);
	CHECK(starts("named", 'u'));
	close(fd);
	unlink("named");
	fd = open(".", O_TMPFILE | O_RDWR | O_EXCL, 0600);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	CHECK_ERR(linkat(AT_FDCWD, path, AT_FDCWD, "named", AT_SYMLINK_FOLLOW), ENOENT);
	close(fd);
	CHECK_ERR(open(".", O_TMPFILE | O_RDONLY, 0600), EINVAL);
}

static void test_xattr(void)
{
	char buf[64];

	put("xa", "x");
	if (setxattr("xa", "user.one", "1", 1, 0) < 0 && errno == EOPNOTSUPP)
		return; /* before Linux 6.6 */
	CHECK_EQ(getxattr("xa", "user.one", buf, sizeof(buf)), 1);
	CHECK_ERR(setxattr("xa", "user.one", "2", 1, XATTR_CREATE), EEXIST);
	CHECK_ERR(setxattr("xa", "user.two", "2", 1, XATTR_REPLACE), ENODATA);
	CHECK(setxattr("xa", "user.one", "longer", 6, XATTR_REPLACE) == 0);
	CHECK_EQ(getxattr("xa", "user.one", NULL, 0), 6);
	CHECK_ERR(getxattr("xa", "user.one", buf, 3), ERANGE);
	CHECK_EQ(listxattr("xa", buf, sizeof(buf)), 9);
	CHECK(removexattr("xa", "user.one") == 0);
	CHECK_ERR(getxattr("xa", "user.one", buf, sizeof(buf)), ENODATA);
	unlink("xa");
}

/* Names removed while listing: each other name is seen once. */
static void test_readdir(void)
{
	char name[300], seen[200] = {0};
	struct dirent *e;
	DIR *d;
	int n = 0;

	CHECK(mkdir("rdir", 0755) == 0);
	for (int i = 0; i < 200; i++) {
		snprintf(name, sizeof(name), "rdir/%d", i);
		put(name, "");
	}
	d = opendir("rdir");
	REQUIRE(d);
	while ((e = readdir(d))) {
		if (e->d_name[0] == '.')
			continue;
		CHECK(e->d_type == DT_REG);
		seen[atoi(e->d_name)]++;
		snprintf(name, sizeof(name), "rdir/%s", e->d_name);
		CHECK(unlink(name) == 0);
		n++;
	}
	CHECK_EQ(n, 200);
	for (int i = 0; i < 200; i++)
		CHECK_EQ(seen[i], 1);
	put("rdir/new", "");
	rewinddir(d);
	n = 0;
	while ((e = readdir(d)))
		n++;
	CHECK_EQ(n, 3);
	closedir(d);
	CHECK_ERR(rmdir("rdir"), ENOTEMPTY);
	unlink("rdir/new");
	CHECK(rmdir("rdir") == 0);
}

static void test_removed_dir(void)
{
	struct stat st;
	int fd;

	CHECK(mkdir("gone", 0755) == 0);
	fd = open("gone", O_RDONLY | O_DIRECTORY);
	CHECK(rmdir("gone") == 0);
	CHECK(fstat(fd, &st) == 0);
	CHECK_EQ(st.st_nlink, 0);
	CHECK_ERR(openat(fd, "x", O_CREAT | O_WRONLY, 0644), ENOENT);
	CHECK_ERR(mkdirat(fd, "x", 0755), ENOENT);
	close(fd);
}

static void test_limits(void)
{
	char buf[65536];
	struct statfs sf;
	struct stat st;
	int fd;

	CHECK(mkdir("lim", 0755) == 0);
	if (mount("t", "lim", "tmpfs", 0, "size=64k,nr_inodes=4,mode=700") < 0) {
		rmdir("lim");
		return; /* no privilege */
	}
	CHECK(stat("lim", &st) == 0 && (st.st_mode & 07777) == 0700);
	CHECK(statfs("lim", &sf) == 0);
	CHECK_EQ(sf.f_type, 0x01021994);
	CHECK_EQ(sf.f_blocks, 16);
	CHECK_EQ(sf.f_files, 4);
	memset(buf, 1, sizeof(buf));
	fd = open("lim/a", O_RDWR | O_CREAT, 0644);
	CHECK_EQ(write(fd, buf, 60000), 60000);
	CHECK_EQ(write(fd, buf, 60000), 65536 - 60000);
	CHECK_ERR(write(fd, buf, 1), ENOSPC);
	CHECK(statfs("lim", &sf) == 0 && sf.f_bfree == 0);
	CHECK_ERR(fallocate(fd, 0, 65536, 4096), ENOSPC);
	CHECK(ftruncate(fd, 0) == 0);
	CHECK(statfs("lim", &sf) == 0 && sf.f_bfree == 16);
	close(fd);
	CHECK(mkdir("lim/b", 0755) == 0 && mkdir("lim/c", 0755) == 0);
	CHECK_ERR(mkdir("lim/d", 0755), ENOSPC);
	CHECK(umount("lim") == 0);
	CHECK_ERR(mount("t", "lim", "tmpfs", 0, "size=nonsense"), EINVAL);
	CHECK_ERR(mount("t", "lim", "tmpfs", 0, "bogus=1"), EINVAL);
	rmdir("lim");
}

static void test_vectors(void)
{
	struct iovec iov[3];
	char a[5000], b[3], c[9000], back[14003];
	int fd = open("vec", O_RDWR | O_CREAT | O_APPEND, 0644);

	memset(a, 'a', sizeof(a));
	memset(b, 'b', sizeof(b));
	memset(c, 'c', sizeof(c));
	iov[0] = (struct iovec){a, sizeof(a)};
	iov[1] = (struct iovec){b, sizeof(b)};
	iov[2] = (struct iovec){c, sizeof(c)};
	CHECK_EQ(writev(fd, iov, 3), 14003);
	CHECK_EQ(pread(fd, back, sizeof(back), 0), 14003);
	CHECK(back[4999] == 'a' && back[5000] == 'b' && back[5003] == 'c' && back[14002] == 'c');
	CHECK_EQ(write(fd, "end", 3), 3);
	CHECK_EQ(lseek(fd, 0, SEEK_CUR), 14006);
	CHECK_ERR(write(fd, mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), 10), EFAULT);
	close(fd);
	unlink("vec");
}

int main(void)
{
	char dir[] = "/dev/shm/tmpfs-test-XXXXXX";

	if (!mkdtemp(dir) || chdir(dir) < 0)
		CHECK_SKIP("no /dev/shm");
	test_sparse();
	test_truncate();
	test_fallocate();
	test_map();
	test_rename();
	test_tmpfile();
	test_xattr();
	test_readdir();
	test_removed_dir();
	test_limits();
	test_vectors();
	if (chdir("/") == 0 && rmdir(dir) < 0)
		CHECK_FAIL("%s is not empty", dir);
	return check_status();
}
