/* mremap(2). */
#include <fcntl.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/guest/check.h"

#define PAGE 4096UL
#define RW (PROT_READ | PROT_WRITE)
#define PRIV (MAP_PRIVATE | MAP_ANONYMOUS)
#ifndef MREMAP_DONTUNMAP
#define MREMAP_DONTUNMAP 4
#endif

static char *map(size_t len)
{
	char *p = mmap(NULL, len, RW, PRIV, -1, 0);

	REQUIRE(p != MAP_FAILED);
	return p;
}

static int unmapped(char *p)
{
	return msync(p, PAGE, MS_ASYNC) == -1 && errno == ENOMEM;
}

static void errors(void)
{
	char *p = map(4 * PAGE);

	CHECK_ERR((long)mremap(p + 1, PAGE, PAGE, 0), EINVAL);
	CHECK_ERR((long)mremap(p, PAGE, 0, 0), EINVAL);
	CHECK_ERR((long)mremap(p, PAGE, PAGE, 64), EINVAL);
	CHECK_ERR((long)mremap(p, PAGE, PAGE, MREMAP_FIXED, p), EINVAL);
	CHECK_ERR((long)mremap(p, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, p + 1), EINVAL);
	CHECK_ERR((long)mremap(p, 2 * PAGE, 2 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, p + PAGE), EINVAL);
	CHECK_ERR((long)mremap(p, 0, PAGE, MREMAP_MAYMOVE), EINVAL);
	CHECK_ERR((long)mremap(p, PAGE, 2 * PAGE, MREMAP_MAYMOVE | MREMAP_DONTUNMAP), EINVAL);
	munmap(p + PAGE, PAGE);
	CHECK_ERR((long)mremap(p + PAGE, PAGE, 2 * PAGE, MREMAP_MAYMOVE), EFAULT);
	CHECK_ERR((long)mremap(p, 4 * PAGE, 8 * PAGE, MREMAP_MAYMOVE), EFAULT);
	/* ENOMEM before Linux 6.17. */
	CHECK((long)mremap(p, PAGE, 1UL << 47, MREMAP_MAYMOVE) == -1 &&
	      (errno == ENOMEM || errno == EINVAL));
	munmap(p, 4 * PAGE);
}

static void in_place(void)
{
	char *p = map(8 * PAGE), *q;

	memset(p, 5, 8 * PAGE);
	q = mremap(p, 8 * PAGE, 4 * PAGE, 0);
	CHECK_EQ((long)q, (long)p);
	CHECK(unmapped(p + 4 * PAGE));
	q = mremap(p, 4 * PAGE, 6 * PAGE, 0);
	CHECK_EQ((long)q, (long)p);
	CHECK_EQ(p[4 * PAGE - 1], 5);
	CHECK_EQ(p[4 * PAGE], 0);
	p[6 * PAGE - 1] = 1;
	/* Something is in the way. */
	CHECK_ERR((long)mremap(p, PAGE, 2 * PAGE, 0), ENOMEM);
	CHECK_EQ((long)mremap(p, 6 * PAGE, 6 * PAGE, 0), (long)p);
	munmap(p, 6 * PAGE);
}

static void moving(void)
{
	char *p = map(16 * PAGE), *q, *target = map(16 * PAGE);

	for (int i = 0; i < 4; i++)
		p[i * PAGE] = (char)(i + 1);
	memset(target, 9, 16 * PAGE);
	q = mremap(p, 4 * PAGE, 8 * PAGE, MREMAP_MAYMOVE);
	REQUIRE(q != MAP_FAILED);
	CHECK(q != p && unmapped(p));
	for (int i = 0; i < 4; i++)
		CHECK_EQ(q[i * PAGE], i + 1);
	CHECK_EQ(q[4 * PAGE], 0);
	q[8 * PAGE - 1] = 1;
	/* Onto something else, shrinking. */
	p = mremap(q, 8 * PAGE, 2 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, target + PAGE);
	CHECK_EQ((long)p, (long)(target + PAGE));
	CHECK_EQ(target[0], 9);
	CHECK_EQ(target[PAGE], 1);
	CHECK_EQ(target[2 * PAGE], 2);
	CHECK_EQ(target[3 * PAGE], 9);
	CHECK(unmapped(q) && unmapped(q + 2 * PAGE));
	/* A part of a mapping, with pages of different histories. */
	if (fork() == 0) {
		target[2 * PAGE] = 77;
		q = mremap(target, 4 * PAGE, 4 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED,
			   target + 8 * PAGE);
		_exit(q == target + 8 * PAGE && q[0] == 9 && q[2 * PAGE] == 77 && q[PAGE] == 1
			      ? 0
			      : 1);
	}
	int status;

	wait(&status);
	CHECK_EQ(status, 0);
	CHECK_EQ(target[2 * PAGE], 2);
	munmap(target, 16 * PAGE);
}

/* A mapping that Linux may hold in pieces, since parts of it came from elsewhere. */
static void joined_pieces(void)
{
	char *area = map(64 * PAGE), *other = map(8 * PAGE), *q;

	memset(area, 1, 64 * PAGE);
	memset(other, 2, 8 * PAGE);
	q = mremap(other, 8 * PAGE, 8 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, area + 8 * PAGE);
	CHECK_EQ((long)q, (long)(area + 8 * PAGE));
	for (int i = 0; i < 64; i++)
		CHECK_EQ(area[i * PAGE], i >= 8 && i < 16 ? 2 : 1);
	munmap(area, 64 * PAGE);
}

static void dontunmap(void)
{
	char *p = map(4 * PAGE), *q;

	memset(p, 6, 4 * PAGE);
	q = mremap(p, 4 * PAGE, 4 * PAGE, MREMAP_MAYMOVE | MREMAP_DONTUNMAP);
	if (q == MAP_FAILED && errno == EINVAL)
		return;
	REQUIRE(q != MAP_FAILED);
	CHECK(q != p);
	CHECK_EQ(q[3 * PAGE], 6);
	CHECK_EQ(p[3 * PAGE], 0);
	p[0] = 1;
	CHECK_EQ(q[0], 6);
	munmap(p, 4 * PAGE);
	munmap(q, 4 * PAGE);
}

static void shared(void)
{
	char *p = mmap(NULL, 4 * PAGE, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0), *q;

	p[PAGE] = 3;
	q = mremap(p + PAGE, 0, 2 * PAGE, MREMAP_MAYMOVE);
	REQUIRE(q != MAP_FAILED);
	CHECK_EQ(q[0], 3);
	q[1] = 4;
	CHECK_EQ(p[PAGE + 1], 4);
	munmap(q, 2 * PAGE);
	q = mremap(p, 4 * PAGE, 2 * PAGE, 0);
	CHECK_EQ((long)q, (long)p);
	munmap(p, 2 * PAGE);
}

static void file(void)
{
	char name[] = "mremap_test.XXXXXX", *p, *q, *block;
	int fd = mkstemp(name);

	REQUIRE(fd >= 0);
	unlink(name);
	for (int i = 0; i < 8; i++)
		CHECK_EQ(pwrite(fd, &(char){(char)('a' + i)}, 1, (off_t)(i * PAGE)), 1);
	p = mmap(NULL, 2 * PAGE, RW, MAP_PRIVATE, fd, PAGE);
	p[0] = 'X';
	q = mremap(p, 2 * PAGE, 5 * PAGE, MREMAP_MAYMOVE);
	REQUIRE(q != MAP_FAILED);
	CHECK_EQ(q[0], 'X');
	CHECK_EQ(q[PAGE], 'c');
	CHECK_EQ(q[4 * PAGE], 'f');
	block = mmap(q + 5 * PAGE, PAGE, RW, PRIV, -1, 0);
	p = mremap(q, 5 * PAGE, 7 * PAGE, MREMAP_MAYMOVE);
	REQUIRE(p != MAP_FAILED);
	CHECK_EQ(p[0], 'X');
	CHECK_EQ(p[6 * PAGE], 'h');
	munmap(p, 7 * PAGE);
	munmap(block, PAGE);
	close(fd);
}

/* What realloc of large blocks does. */
static void growth(void)
{
	size_t len = PAGE;
	char *p = map(len);

	*p = 1;
	for (int i = 0; i < 12; i++) {
		char *q = mremap(p, len, len * 2, MREMAP_MAYMOVE);

		REQUIRE(q != MAP_FAILED);
		p = q;
		for (size_t at = 0; at < len; at = at ? at * 2 : PAGE)
			CHECK_EQ(p[at], 1);
		p[len] = 1;
		len *= 2;
	}
	munmap(p, len);
}

int main(void)
{
	errors();
	in_place();
	moving();
	joined_pieces();
	dontunmap();
	shared();
	file();
	growth();
	return check_status();
}
