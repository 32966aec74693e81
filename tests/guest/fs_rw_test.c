/* read(2), write(2), pread(2), readv(2), lseek(2), sendfile(2), splice(2) and their families. */
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "tests/guest/check.h"

static char buf[300000], other[300000];
/* Out of the compiler's sight. */
static void *volatile bad_ptr = (void *)1;
static volatile size_t huge = (size_t)-1;
static volatile int minus_one = -1, too_many = 1025;

static int fresh(const char *path, int flags)
{
	int fd;

	unlink(path);
	fd = open(path, O_CREAT | O_EXCL | O_RDWR | flags, 0644);
	REQUIRE(fd >= 0);
	return fd;
}

static void test_basic(void)
{
	int fd = fresh("f", 0), ro, wo, dir;

	CHECK_EQ(write(fd, "hello", 5), 5);
	CHECK_EQ(lseek(fd, 0, SEEK_CUR), 5);
	CHECK_EQ(read(fd, buf, 10), 0);
	CHECK_EQ(lseek(fd, 1, SEEK_SET), 1);
	CHECK_EQ(read(fd, buf, 10), 4);
	CHECK_EQ(memcmp(buf, "ello", 4), 0);
	CHECK_EQ(pread(fd, buf, 3, 2), 3);
	CHECK_EQ(memcmp(buf, "llo", 3), 0);
	CHECK_EQ(lseek(fd, 0, SEEK_CUR), 5);
	CHECK_EQ(pwrite(fd, "XY", 2, 8), 2);
	CHECK_EQ(pread(fd, buf, 100, 0), 10);
	CHECK_EQ(memcmp(buf, "hello\0\0\0XY", 10), 0);
	CHECK_ERR(pread(fd, buf, 1, -1), EINVAL);
	lseek(fd, 0, SEEK_SET);
	CHECK_ERR(read(fd, bad_ptr, 1), EFAULT);
	CHECK_ERR(write(fd, bad_ptr, 1), EFAULT);
	CHECK_EQ(read(fd, buf, 0), 0);
	CHECK_EQ(write(fd, NULL, 0), 0);
	CHECK_ERR(read(-1, buf, 1), EBADF);
	CHECK_ERR(read(fd, buf, huge), EFAULT);
	ro = open("f", O_RDONLY);
	wo = open("f", O_WRONLY);
	CHECK_ERR(write(ro, "x", 1), EBADF);
	CHECK_ERR(read(wo, buf, 1), EBADF);
	dir = open(".", O_RDONLY);
	CHECK_ERR(read(dir, buf, 1), EISDIR);
	close(ro);
	close(wo);
	close(dir);
	close(fd);
	unlink("f");
}

static void test_seek(void)
{
	int fd = fresh("f", 0), p[2];

	CHECK_EQ(ftruncate(fd, 100), 0);
	CHECK_EQ(lseek(fd, -10, SEEK_END), 90);
	CHECK_ERR(lseek(fd, -101, SEEK_END), EINVAL);
	CHECK_ERR(lseek(fd, -1, SEEK_SET), EINVAL);
	CHECK_ERR(lseek(fd, 0, 17), EINVAL);
	CHECK_EQ(lseek(fd, 1000, SEEK_SET), 1000);
	CHECK_ERR(lseek(fd, INT64_MAX, SEEK_CUR), EINVAL);
	CHECK_ERR(lseek(fd, INT64_MAX, SEEK_END), EINVAL);
	CHECK_ERR(pwrite(fd, "z", 1, INT64_MAX), EINVAL);
	CHECK_ERR(pread(fd, buf, 1, INT64_MAX), EINVAL);
	CHECK_EQ(read(fd, buf, 1), 0);
	CHECK_EQ(write(fd, "z", 1), 1);
	CHECK_EQ(lseek(fd, 0, SEEK_END), 1001);
	CHECK_ERR(lseek(fd, 1001, SEEK_DATA), ENXIO);
	CHECK_EQ(lseek(fd, 1000, SEEK_HOLE), 1001);
	CHECK_EQ(pipe(p), 0);
	CHECK_ERR(lseek(p[0], 0, SEEK_CUR), ESPIPE);
	CHECK_ERR(pread(p[0], buf, 1, 0), ESPIPE);
	CHECK_ERR(pwrite(p[1], buf, 1, 0), ESPIPE);
	close(p[0]);
	close(p[1]);
	close(fd);
	unlink("f");
}

static void test_big(void)
{
	int fd = fresh("f", 0);

	for (size_t i = 0; i < sizeof(buf); i++)
		buf[i] = (char)(i * 7 + i / 251);
	CHECK_EQ(write(fd, buf, sizeof(buf)), sizeof(buf));
	CHECK_EQ(pread(fd, other, sizeof(other), 0), sizeof(other));
	CHECK_EQ(memcmp(buf, other, sizeof(buf)), 0);
	CHECK_EQ(pread(fd, other, 100, 299950), 50);
	close(fd);
	unlink("f");
}

static void test_append(void)
{
	int a = fresh("f", O_APPEND), b = open("f", O_WRONLY | O_APPEND);

	CHECK_EQ(write(a, "ab", 2), 2);
	CHECK_EQ(write(b, "cd", 2), 2);
	CHECK_EQ(write(a, "ef", 2), 2);
	CHECK_EQ(lseek(a, 0, SEEK_CUR), 6);
	CHECK_EQ(pwrite(a, "g", 1, 0), 1); /* appends: BUGS of pwrite(2) */
	CHECK_EQ(pread(a, buf, 10, 0), 7);
	CHECK_EQ(memcmp(buf, "abcdefg", 7), 0);
	close(a);
	close(b);
	unlink("f");
}

static void test_vectors(void)
{
	struct iovec v[3] = {{"ab", 2}, {NULL, 0}, {"cde", 3}}, r[2], bad = {(void *)8, 4};
	int fd = fresh("f", 0);
	char x[2], y[8];

	CHECK_EQ(writev(fd, v, 3), 5);
	r[0] = (struct iovec){x, 2};
	r[1] = (struct iovec){y, 8};
	CHECK_EQ(preadv(fd, r, 2, 0), 5);
	CHECK_EQ(memcmp(x, "ab", 2), 0);
	CHECK_EQ(memcmp(y, "cde", 3), 0);
	CHECK_EQ(pwritev(fd, v, 1, 3), 2);
	CHECK_EQ(preadv2(fd, r, 2, -1, 0), 0);
	lseek(fd, 0, SEEK_SET);
	CHECK_EQ(readv(fd, r, 2), 5);
	CHECK_EQ(memcmp(y, "cab", 3), 0);
	CHECK_ERR(readv(fd, r, minus_one), EINVAL);
	CHECK_ERR(readv(fd, r, too_many), EINVAL);
	CHECK_EQ(readv(fd, r, 0), 0);
	CHECK_ERR(writev(fd, &bad, 1), EFAULT);
	CHECK_ERR(preadv2(fd, r, 2, 0, 0x1000), EOPNOTSUPP);
	CHECK_EQ(pwritev2(fd, v, 1, 0, RWF_DSYNC), 2);
	CHECK_EQ(pwritev2(fd, v, 1, 0, RWF_APPEND), 2);
	CHECK_EQ(preadv2(fd, r, 1, 0, RWF_APPEND), 2);
	CHECK_EQ(pwritev2(fd, v, 1, -1, RWF_APPEND), 2);
	CHECK_EQ(lseek(fd, 0, SEEK_CUR), 9);
	CHECK_EQ(lseek(fd, 0, SEEK_END), 9);
	r[0].iov_len = (size_t)-1;
	CHECK_ERR(readv(fd, r, 1), EINVAL);
	close(fd);
	unlink("f");
}

/* A fault in the middle ends a read or write with what was moved. */
static void test_partial_fault(void)
{
	char *m = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int fd = fresh("f", 0);
	ssize_t n;

	mprotect(m + 4096, 4096, PROT_NONE);
	memset(m, 'a', 4096);
	n = write(fd, m + 4000, 200);
	CHECK(n == 96 || (n == -1 && errno == EFAULT));
	CHECK_EQ(pwrite(fd, buf, 500, 0), 500);
	n = pread(fd, m + 4000, 200, 0);
	CHECK(n == 96 || (n == -1 && errno == EFAULT));
	munmap(m, 8192);
	close(fd);
	unlink("f");
}

static int xfsz;

static void on_xfsz(int sig)
{
	xfsz++;
}

static void test_fsize(void)
{
	struct rlimit old, rl;
	int fd = fresh("f", 0);

	signal(SIGXFSZ, on_xfsz);
	getrlimit(RLIMIT_FSIZE, &old);
	rl = old;
	rl.rlim_cur = 100;
	CHECK_EQ(setrlimit(RLIMIT_FSIZE, &rl), 0);
	CHECK_EQ(write(fd, buf, 150), 100);
	CHECK_EQ(xfsz, 0);
	CHECK_ERR(write(fd, buf, 1), EFBIG);
	CHECK_EQ(xfsz, 1);
	CHECK_ERR(ftruncate(fd, 101), EFBIG);
	CHECK_EQ(xfsz, 2);
	CHECK_EQ(ftruncate(fd, 10), 0);
	setrlimit(RLIMIT_FSIZE, &old);
	close(fd);
	unlink("f");
}

static void test_sendfile(void)
{
	int in = fresh("in", 0), out = fresh("out", 0), p[2], ap;
	off_t off = 10;

	for (size_t i = 0; i < sizeof(buf); i++)
		buf[i] = (char)(i * 3);
	CHECK_EQ(write(in, buf, 200000), 200000);
	CHECK_EQ(sendfile(out, in, &off, 150000), 150000);
	CHECK_EQ(off, 150010);
	CHECK_EQ(lseek(in, 0, SEEK_CUR), 200000);
	CHECK_EQ(lseek(out, 0, SEEK_CUR), 150000);
	CHECK_EQ(pread(out, other, 150000, 0), 150000);
	CHECK_EQ(memcmp(other, buf + 10, 150000), 0);
	lseek(in, 0, SEEK_SET);
	CHECK_EQ(sendfile(out, in, NULL, 5), 5);
	CHECK_EQ(lseek(in, 0, SEEK_CUR), 5);
	CHECK_EQ(pipe(p), 0);
	CHECK_EQ(sendfile(p[1], in, NULL, 100), 100);
	CHECK_EQ(lseek(in, 0, SEEK_CUR), 105);
	CHECK_EQ(read(p[0], other, 200), 100);
	CHECK_EQ(memcmp(other, buf + 5, 100), 0);
	CHECK_ERR(sendfile(out, -1, NULL, 1), EBADF);
	ap = open("out", O_WRONLY | O_APPEND);
	CHECK_ERR(sendfile(ap, in, NULL, 1), EINVAL);
	close(ap);

	off = 0;
	{
		loff_t io = 100, oo = 7;

		CHECK_EQ(ftruncate(out, 0), 0);
		CHECK_EQ(copy_file_range(in, &io, out, &oo, 1000, 0), 1000);
		CHECK_EQ(io, 1100);
		CHECK_EQ(oo, 1007);
		CHECK_EQ(pread(out, other, 2000, 0), 1007);
		CHECK_EQ(memcmp(other + 7, buf + 100, 1000), 0);
		CHECK_ERR(copy_file_range(in, &io, out, &oo, 1000, 1), EINVAL);
		io = 0;
		oo = 10;
		CHECK_ERR(copy_file_range(in, &io, in, &oo, 20, 0), EINVAL);
		CHECK_ERR(copy_file_range(p[0], NULL, out, NULL, 20, 0), EINVAL);
	}
	{
		loff_t at = 50;

		CHECK_EQ(splice(in, &at, p[1], NULL, 60, 0), 60);
		CHECK_EQ(at, 110);
		at = 0;
		CHECK_EQ(splice(p[0], NULL, out, &at, 1000, 0), 60);
		CHECK_EQ(pread(out, other, 60, 0), 60);
		CHECK_EQ(memcmp(other, buf + 50, 60), 0);
		CHECK_ERR(splice(in, &at, out, &at, 10, 0), EINVAL);
		CHECK_ERR(splice(p[0], &at, out, NULL, 10, 0), ESPIPE);
		CHECK_ERR(splice(p[0], NULL, out, NULL, 10, SPLICE_F_NONBLOCK), EAGAIN);
	}
	{
		int q[2];
		struct iovec v = {"vmsplice", 8};

		CHECK_EQ(pipe(q), 0);
		CHECK_EQ(write(p[1], "tee", 3), 3);
		CHECK_EQ(tee(p[0], q[1], 100, 0), 3);
		CHECK_EQ(read(p[0], other, 10), 3);
		CHECK_EQ(read(q[0], other, 10), 3);
		CHECK_EQ(memcmp(other, "tee", 3), 0);
		CHECK_ERR(tee(p[0], q[1], 100, SPLICE_F_NONBLOCK), EAGAIN);
		CHECK_ERR(tee(p[0], out, 100, 0), EINVAL);
		CHECK_EQ(vmsplice(q[1], &v, 1, 0), 8);
		CHECK_EQ(read(q[0], other, 10), 8);
		CHECK_EQ(memcmp(other, "vmsplice", 8), 0);
		close(q[0]);
		close(q[1]);
	}
	close(p[0]);
	close(p[1]);
	close(in);
	close(out);
	unlink("in");
	unlink("out");
}

static void test_fallocate(void)
{
	struct stat st;
	int fd = fresh("f", 0);
	int r = fallocate(fd, 0, 0, 10000);

	if (r < 0 && errno == EOPNOTSUPP) {
		close(fd);
		return;
	}
	CHECK_EQ(r, 0);
	CHECK_EQ(fstat(fd, &st), 0);
	CHECK_EQ(st.st_size, 10000);
	CHECK_EQ(fallocate(fd, FALLOC_FL_KEEP_SIZE, 10000, 5000), 0);
	CHECK_EQ(fstat(fd, &st), 0);
	CHECK_EQ(st.st_size, 10000);
	memset(buf, 'x', 10000);
	CHECK_EQ(pwrite(fd, buf, 10000, 0), 10000);
	CHECK_EQ(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 100, 200), 0);
	CHECK_EQ(pread(fd, other, 400, 0), 400);
	CHECK_EQ(other[99], 'x');
	CHECK_EQ(other[100], 0);
	CHECK_EQ(other[299], 0);
	CHECK_EQ(other[300], 'x');
	CHECK_ERR(fallocate(fd, 0, -1, 10), EINVAL);
	CHECK_ERR(fallocate(fd, 0, 0, 0), EINVAL);
	CHECK_ERR(fallocate(fd, FALLOC_FL_PUNCH_HOLE, 0, 10), EOPNOTSUPP);
	close(fd);
	unlink("f");
}

static void test_sync(void)
{
	int fd = fresh("f", 0), p[2];

	CHECK_EQ(pipe(p), 0);
	CHECK_EQ(fsync(fd), 0);
	CHECK_EQ(fdatasync(fd), 0);
	CHECK_EQ(syncfs(fd), 0);
	CHECK_EQ(sync_file_range(fd, 0, 0, SYNC_FILE_RANGE_WRITE), 0);
	CHECK_ERR(fsync(p[0]), EINVAL);
	CHECK_ERR(fsync(-1), EBADF);
	CHECK_ERR(sync_file_range(p[0], 0, 0, 0), ESPIPE);
	CHECK_ERR(sync_file_range(fd, -1, 0, 0), EINVAL);
	CHECK_EQ(posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL), 0);
	CHECK_EQ(posix_fadvise(fd, 0, 0, 77), EINVAL);
	CHECK_EQ(posix_fadvise(p[0], 0, 0, 0), ESPIPE);
	CHECK_EQ(readahead(fd, 0, 100), 0);
	close(p[0]);
	close(p[1]);
	close(fd);
	unlink("f");
}

int main(void)
{
	test_basic();
	test_seek();
	test_big();
	test_append();
	test_vectors();
	test_partial_fault();
	test_fsize();
	test_sendfile();
	test_fallocate();
	test_sync();
	return check_status();
}
