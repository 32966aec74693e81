/* brk(2). */
#include <stdint.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/guest/check.h"

#define PAGE 4096UL

static uintptr_t raw_brk(uintptr_t at)
{
	return (uintptr_t)syscall(SYS_brk, at);
}

int main(void)
{
	uintptr_t start = raw_brk(0), page = (start + PAGE - 1) & ~(PAGE - 1);
	char *p = (char *)page;
	void *wall;
	int status;

	CHECK(start != 0);
	CHECK_EQ(raw_brk(0), start);
	CHECK_EQ(raw_brk(1), start);
	CHECK_EQ(raw_brk(-1UL), start);
	CHECK_EQ(raw_brk(page + 10), page + 10);
	CHECK_EQ(raw_brk(0), page + 10);
	p[0] = p[PAGE - 1] = 1;
	CHECK_EQ(raw_brk(page + 64 * PAGE), page + 64 * PAGE);
	CHECK_EQ(p[0], 1);
	CHECK_EQ(p[PAGE], 0);
	memset(p, 2, 64 * PAGE);
	/* Memory that was given up comes back as zeros. */
	CHECK_EQ(raw_brk(page + PAGE), page + PAGE);
	CHECK_ERR(msync(p + PAGE, PAGE, MS_ASYNC), ENOMEM);
	CHECK_EQ(raw_brk(page + 4 * PAGE), page + 4 * PAGE);
	CHECK_EQ(p[PAGE], 0);
	CHECK_EQ(p[0], 2);
	/* Something is in the way. */
	wall = mmap(p + 16 * PAGE, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	CHECK_EQ((uintptr_t)wall, page + 16 * PAGE);
	CHECK_EQ(raw_brk(page + 32 * PAGE), page + 4 * PAGE);
	CHECK_EQ(raw_brk(page + 8 * PAGE), page + 8 * PAGE);
	munmap(wall, PAGE);
	CHECK_EQ(raw_brk(page + 32 * PAGE), page + 32 * PAGE);
	if (fork() == 0) {
		struct rlimit r = {1 << 20, 1 << 20};

		CHECK_EQ(raw_brk(0), page + 32 * PAGE);
		setrlimit(RLIMIT_DATA, &r);
		CHECK_EQ(raw_brk(page + (4 << 20)), page + 32 * PAGE);
		_exit(check_failures);
	}
	wait(&status);
	CHECK_EQ(status, 0);
	CHECK_EQ(raw_brk(start), start);
	return check_status();
}
