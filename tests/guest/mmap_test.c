/* mmap(2), munmap(2), madvise(2), mlock(2), msync(2), mincore(2). */
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <setjmp.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/guest/check.h"

#define PAGE 4096UL
#define RW (PROT_READ | PROT_WRITE)
#define PRIV (MAP_PRIVATE | MAP_ANONYMOUS)

static void *map(size_t len, int prot, int flags)
{
	return mmap(NULL, len, prot, flags, -1, 0);
}

/* The signal that touching the byte gives, or 0. */
static sigjmp_buf fault_env;
static volatile int fault_code;

static void on_fault(int sig, siginfo_t *si, void *uc)
{
	fault_code = si->si_code;
	siglongjmp(fault_env, sig);
}

static int touch(volatile char *p, int write)
{
	struct sigaction sa = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_NODEFER};
	int sig;

	sigaction(SIGSEGV, &sa, NULL);
	sigaction(SIGBUS, &sa, NULL);
	sig = sigsetjmp(fault_env, 1);
	if (sig)
		return sig;
	if (write)
		*p = 1;
	else
		(void)*p;
	return 0;
}

static int tmp_file(size_t size)
{
	char name[] = "mmap_test.XXXXXX";
	int fd = mkstemp(name);

	REQUIRE(fd >= 0);
	unlink(name);
	REQUIRE(ftruncate(fd, (off_t)size) == 0);
	return fd;
}

static void errors(void)
{
	int fd = tmp_file(PAGE), ro, wo, dir = open("/", O_RDONLY | O_DIRECTORY), path, pipes[2];
	char *p;

	CHECK_ERR((long)map(0, RW, PRIV), EINVAL);
	CHECK_ERR((long)map(PAGE, RW, MAP_ANONYMOUS), EINVAL);
	CHECK_ERR((long)map(PAGE, RW, MAP_ANONYMOUS | 7), EINVAL);
	CHECK_ERR((long)mmap((void *)0x10001, PAGE, RW, PRIV | MAP_FIXED, -1, 0), EINVAL);
	CHECK_ERR((long)mmap((void *)0x7ffffffff000UL, PAGE * 2, RW, PRIV | MAP_FIXED, -1, 0), ENOMEM);
	CHECK_ERR((long)map(1UL << 47, RW, PRIV), ENOMEM);
	CHECK_ERR((long)map(-1UL, RW, PRIV), ENOMEM);
	CHECK_ERR(syscall(SYS_mmap, 0, PAGE, RW, MAP_PRIVATE, fd, 1), EINVAL);
	CHECK_ERR((long)mmap(NULL, PAGE, RW, MAP_PRIVATE, 999, 0), EBADF);
	CHECK_ERR((long)mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, dir, 0), ENODEV);
	CHECK_EQ(pipe(pipes), 0);
	CHECK_ERR((long)mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, pipes[0], 0), ENODEV);
	close(pipes[0]);
	close(pipes[1]);
	CHECK_ERR((long)mmap(NULL, PAGE, RW, MAP_SHARED_VALIDATE | (1 << 22), fd, 0), EOPNOTSUPP);
	CHECK_ERR((long)mmap(NULL, PAGE, RW, MAP_SHARED_VALIDATE | (int)(1U << 31), fd, 0), EOPNOTSUPP);
	CHECK_ERR((long)map(PAGE, RW, MAP_SHARED_VALIDATE | MAP_ANONYMOUS), EINVAL);
	CHECK_ERR((long)map(PAGE, RW, MAP_SHARED | MAP_ANONYMOUS | MAP_GROWSDOWN), EINVAL);
	CHECK_ERR((long)mmap(NULL, PAGE, RW, MAP_PRIVATE, fd, -PAGE), EOVERFLOW);

	char proc[64];

	snprintf(proc, sizeof(proc), "/proc/self/fd/%d", fd);
	ro = open(proc, O_RDONLY);
	wo = open(proc, O_WRONLY);
	path = open("/", O_PATH);
	if (ro >= 0 && wo >= 0) {
		CHECK_ERR((long)mmap(NULL, PAGE, RW, MAP_SHARED, ro, 0), EACCES);
		CHECK_ERR((long)mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, wo, 0), EACCES);
		CHECK_ERR((long)mmap(NULL, PAGE, PROT_WRITE, MAP_SHARED, wo, 0), EACCES);
		p = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, ro, 0);
		CHECK(p != MAP_FAILED);
		CHECK_ERR(mprotect(p, PAGE, RW), EACCES);
		munmap(p, PAGE);
		p = mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, ro, 0);
		CHECK_EQ(mprotect(p, PAGE, RW), 0);
		*p = 1;
		munmap(p, PAGE);
		p = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, 0);
		CHECK_EQ(mprotect(p, PAGE, RW), 0);
		*p = 42;
		char c = 0;
		CHECK_EQ(pread(fd, &c, 1, 0), 1);
		CHECK_EQ(c, 42);
		munmap(p, PAGE);
	}
	CHECK_ERR((long)mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, path, 0), EBADF);
	CHECK_ERR(munmap((void *)1, PAGE), EINVAL);
	CHECK_ERR(munmap((void *)PAGE, 0), EINVAL);
	CHECK_ERR(munmap((void *)0x7ffffffff000UL, PAGE * 16), EINVAL);
	CHECK_EQ(munmap((void *)0x10000000UL, PAGE), 0);
	close(fd);
	close(dir);
	close(path);
	close(ro);
	close(wo);
}

static void fixed(void)
{
	char *p = map(8 * PAGE, RW, PRIV), *q;

	memset(p, 7, 8 * PAGE);
	CHECK_ERR((long)mmap(p + PAGE, PAGE, RW, PRIV | MAP_FIXED_NOREPLACE, -1, 0), EEXIST);
	q = mmap(p + 2 * PAGE, 2 * PAGE, RW, PRIV | MAP_FIXED, -1, 0);
	CHECK_EQ((long)q, (long)(p + 2 * PAGE));
	CHECK_EQ(q[0], 0);
	CHECK_EQ(q[-1], 7);
	CHECK_EQ(q[2 * PAGE], 7);
	CHECK_EQ(munmap(p + 4 * PAGE, PAGE), 0);
	CHECK_EQ(touch(p + 4 * PAGE, 0), SIGSEGV);
	CHECK_EQ(fault_code, SEGV_MAPERR);
	CHECK_EQ(touch(p + 5 * PAGE, 1), 0);
	/* A hint that is free is taken; one that is not isn't. */
	q = mmap(p + 4 * PAGE, PAGE, RW, PRIV, -1, 0);
	CHECK_EQ((long)q, (long)(p + 4 * PAGE));
	q = mmap(p, PAGE, RW, PRIV, -1, 0);
	CHECK(q != p && q != MAP_FAILED);
	munmap(q, PAGE);
	q = mmap(NULL, PAGE, RW, PRIV | MAP_32BIT, -1, 0);
	CHECK(q != MAP_FAILED && (uintptr_t)q < 0x80000000UL);
	*q = 1;
	munmap(q, PAGE);
	/* Several mappings and holes at once. */
	munmap(p + PAGE, PAGE);
	munmap(p + 6 * PAGE, PAGE);
	CHECK_EQ(munmap(p, 8 * PAGE), 0);
	CHECK_EQ(touch(p, 0), SIGSEGV);
	CHECK_EQ(touch(p + 7 * PAGE, 0), SIGSEGV);
}

static void shared_anonymous(void)
{
	volatile int *p = map(3 * PAGE, RW, MAP_SHARED | MAP_ANONYMOUS);
	int status;

	REQUIRE(p != MAP_FAILED);
	p[0] = 1;
	if (fork() == 0) {
		p[0] = 5;
		p[1024 * 2] = 6;
		_exit(0);
	}
	wait(&status);
	CHECK_EQ(p[0], 5);
	CHECK_EQ(p[1024 * 2], 6);
	CHECK_EQ(munmap((void *)p, 3 * PAGE), 0);
}

static void files(void)
{
	int fd = tmp_file(3 * PAGE + 100);
	char buf[10] = {0}, *shared, *private;

	CHECK_EQ(pwrite(fd, "hello", 5, PAGE), 5);
	shared = mmap(NULL, 4 * PAGE, RW, MAP_SHARED, fd, 0);
	private = mmap(NULL, 2 * PAGE, RW, MAP_PRIVATE, fd, PAGE);
	REQUIRE(shared != MAP_FAILED && private != MAP_FAILED);
	CHECK(!memcmp(shared + PAGE, "hello", 5));
	CHECK(!memcmp(private, "hello", 5));
	memcpy(shared + PAGE, "world", 5);
	CHECK(!memcmp(private, "world", 5));
	CHECK_EQ(pread(fd, buf, 5, PAGE), 5);
	CHECK(!memcmp(buf, "world", 5));
	memcpy(private, "mine!", 5);
	CHECK(!memcmp(shared + PAGE, "world", 5));
	CHECK_EQ(pwrite(fd, "WORLD", 5, PAGE), 5);
	CHECK(!memcmp(shared + PAGE, "WORLD", 5));
	CHECK_EQ(madvise(private, PAGE, MADV_DONTNEED), 0);
	CHECK(!memcmp(private, "WORLD", 5));
	/* Behind the end: zeros up to the page, then SIGBUS. */
	CHECK_EQ(shared[3 * PAGE + 200], 0);
	CHECK_EQ(ftruncate(fd, PAGE), 0);
	CHECK_EQ(touch(shared + 2 * PAGE, 0), SIGBUS);
	CHECK_EQ(fault_code, BUS_ADRERR);
	CHECK_ERR(write(fd, shared + 2 * PAGE, 10), EFAULT);
	CHECK_EQ(ftruncate(fd, 4 * PAGE), 0);
	CHECK_EQ(touch(shared + 2 * PAGE, 1), 0);
	close(fd);
	shared[0] = 'x';
	CHECK_EQ(msync(shared, 4 * PAGE, MS_SYNC), 0);
	CHECK_EQ(msync(shared, 4 * PAGE, MS_ASYNC | MS_INVALIDATE), 0);
	CHECK_ERR(msync(shared, 4 * PAGE, MS_ASYNC | MS_SYNC), EINVAL);
	CHECK_ERR(msync(shared + 1, PAGE, MS_SYNC), EINVAL);
	CHECK_ERR(msync(shared, PAGE, 64), EINVAL);
	munmap(shared + PAGE, PAGE);
	CHECK_ERR(msync(shared, 4 * PAGE, MS_SYNC), ENOMEM);
	munmap(shared, 4 * PAGE);
	munmap(private, 2 * PAGE);
}

static void zero_device(void)
{
	int fd = open("/dev/zero", O_RDWR), status;
	volatile char *p;

	if (fd < 0)
		return;
	p = mmap(NULL, PAGE, RW, MAP_PRIVATE, fd, 0);
	CHECK(p != MAP_FAILED && *p == 0);
	*p = 1;
	munmap((void *)p, PAGE);
	p = mmap(NULL, PAGE, RW, MAP_SHARED, fd, 0);
	REQUIRE(p != MAP_FAILED);
	if (fork() == 0) {
		*p = 9;
		_exit(0);
	}
	wait(&status);
	CHECK_EQ(*p, 9);
	munmap((void *)p, PAGE);
	close(fd);
}

static void advice(void)
{
	char *p = map(4 * PAGE, RW, PRIV);
	int status;

	memset(p, 3, 4 * PAGE);
	CHECK_EQ(madvise(p + PAGE, PAGE, MADV_DONTNEED), 0);
	CHECK_EQ(p[PAGE], 0);
	CHECK_EQ(p[0], 3);
	CHECK_EQ(p[2 * PAGE], 3);
	CHECK_EQ(madvise(p, 4 * PAGE, MADV_WILLNEED), 0);
	CHECK_EQ(madvise(p, 4 * PAGE, MADV_SEQUENTIAL), 0);
	CHECK_EQ(madvise(p, 4 * PAGE, MADV_FREE), 0);
	CHECK_ERR(madvise(p + 1, PAGE, MADV_NORMAL), EINVAL);
	CHECK_ERR(madvise(p, PAGE, 12345), EINVAL);
	CHECK_EQ(madvise(p, 0, MADV_NORMAL), 0);
	memset(p, 3, 4 * PAGE);
	munmap(p + PAGE, PAGE);
	CHECK_ERR(madvise(p, 4 * PAGE, MADV_DONTNEED), ENOMEM);
	CHECK_EQ(p[0], 0);
	CHECK_EQ(p[3 * PAGE], 0);
	munmap(p, 4 * PAGE);

	p = map(3 * PAGE, RW, PRIV);
	memset(p, 3, 3 * PAGE);
	CHECK_EQ(madvise(p, PAGE, MADV_DONTFORK), 0);
	CHECK_EQ(madvise(p + PAGE, PAGE, MADV_WIPEONFORK), 0);
	if (fork() == 0) {
		int r = touch(p, 0) == SIGSEGV ? 0 : 1;

		r |= p[PAGE] == 0 ? 0 : 2;
		r |= p[2 * PAGE] == 3 ? 0 : 4;
		/* What isn't there can be mapped. */
		if (mmap(p, PAGE, RW, PRIV | MAP_FIXED_NOREPLACE, -1, 0) != p || p[0])
			r |= 8;
		_exit(r);
	}
	wait(&status);
	CHECK_EQ(status, 0);
	CHECK_EQ(p[PAGE], 3);
	CHECK_EQ(madvise(p, 2 * PAGE, MADV_DOFORK), 0);
	CHECK_EQ(madvise(p, 2 * PAGE, MADV_KEEPONFORK), 0);
	if (fork() == 0)
		_exit(p[0] == 3 && p[PAGE] == 3 ? 0 : 1);
	wait(&status);
	CHECK_EQ(status, 0);
	munmap(p, 3 * PAGE);

	p = map(2 * PAGE, RW, MAP_SHARED | MAP_ANONYMOUS);
	p[0] = p[PAGE] = 1;
	CHECK_EQ(madvise(p, PAGE, MADV_DONTNEED), 0);
	CHECK_EQ(p[0], 1);
	CHECK_EQ(madvise(p, PAGE, MADV_REMOVE), 0);
	CHECK_EQ(p[0], 0);
	CHECK_EQ(p[PAGE], 1);
	CHECK_ERR(madvise(p, PAGE, MADV_WIPEONFORK), EINVAL);
	CHECK_ERR(madvise(p, PAGE, MADV_FREE), EINVAL);
	munmap(p, 2 * PAGE);
	p = map(PAGE, RW, PRIV);
	CHECK_ERR(madvise(p, PAGE, MADV_REMOVE), EINVAL);
	munmap(p, PAGE);
}

static void locking(void)
{
	char *p = map(4 * PAGE, RW, PRIV);
	struct rlimit old, small = {2 * PAGE, 2 * PAGE};

	CHECK_EQ(mlock(p, 2 * PAGE), 0);
	CHECK_ERR(madvise(p, PAGE, MADV_DONTNEED), EINVAL);
	CHECK_EQ(munlock(p, 2 * PAGE), 0);
	CHECK_EQ(madvise(p, PAGE, MADV_DONTNEED), 0);
	CHECK_EQ(syscall(SYS_mlock2, p, PAGE, 1), 0);
	CHECK_ERR(syscall(SYS_mlock2, p, PAGE, 8), EINVAL);
	munmap(p + PAGE, PAGE);
	CHECK_ERR(mlock(p, 4 * PAGE), ENOMEM);
	CHECK_EQ(mlock(p, (size_t)-1), 0); /* rounded up, that is nothing */
	CHECK_ERR(mlockall(0), EINVAL);
	CHECK_ERR(mlockall(64), EINVAL);
	CHECK_EQ(munlockall(), 0);
	munmap(p, 4 * PAGE);
	getrlimit(RLIMIT_MEMLOCK, &old);
	if (geteuid() != 0 && setrlimit(RLIMIT_MEMLOCK, &small) == 0) {
		p = map(4 * PAGE, RW, PRIV);
		CHECK_EQ(mlock(p, 2 * PAGE), 0);
		CHECK_EQ(mlock(p, 2 * PAGE), 0);
		CHECK_ERR(mlock(p, 3 * PAGE), ENOMEM);
		CHECK_ERR((long)map(PAGE, RW, PRIV | MAP_LOCKED), EAGAIN);
		munmap(p, 4 * PAGE);
	}
}

static void residence(void)
{
	unsigned char vec[4] = {9, 9, 9, 9};
	char *p = map(4 * PAGE, RW, PRIV);

	memset(p, 1, 4 * PAGE);
	CHECK_EQ(mincore(p, 3 * PAGE, vec), 0);
	CHECK_EQ(vec[0] & 1, 1);
	CHECK_EQ(vec[2] & 1, 1);
	CHECK_EQ(vec[3], 9);
	CHECK_ERR(mincore(p + 1, PAGE, vec), EINVAL);
	CHECK_ERR(mincore(p, PAGE, (void *)8), EFAULT);
	munmap(p + PAGE, PAGE);
	CHECK_ERR(mincore(p, 3 * PAGE, vec), ENOMEM);
	munmap(p, 4 * PAGE);
}

static void limits(void)
{
	int status;

	if (fork() == 0) {
		struct rlimit as = {1UL << 30, 1UL << 30};

		setrlimit(RLIMIT_AS, &as);
		CHECK_ERR((long)map(2UL << 30, RW, PRIV | MAP_NORESERVE), ENOMEM);
		CHECK(map(1UL << 20, RW, PRIV) != MAP_FAILED);
		_exit(check_failures);
	}
	wait(&status);
	CHECK_EQ(status, 0);
	if (fork() == 0) {
		struct rlimit data = {64UL << 20, 64UL << 20};
		char *p;

		setrlimit(RLIMIT_DATA, &data);
		CHECK_ERR((long)map(128UL << 20, RW, PRIV), ENOMEM);
		p = map(128UL << 20, PROT_READ, PRIV);
		CHECK(p != MAP_FAILED);
		CHECK_ERR(mprotect(p, 128UL << 20, RW), ENOMEM);
		CHECK(map(128UL << 20, RW, MAP_SHARED | MAP_ANONYMOUS) != MAP_FAILED);
		_exit(check_failures);
	}
	wait(&status);
	CHECK_EQ(status, 0);
	CHECK(map(1UL << 40, PROT_NONE, PRIV | MAP_NORESERVE) != MAP_FAILED);
}

static void nonlinear(void)
{
	char *p = map(4 * PAGE, RW, MAP_SHARED | MAP_ANONYMOUS);

	for (int i = 0; i < 4; i++)
		p[i * PAGE] = (char)(i + 1);
	CHECK_EQ(syscall(SYS_remap_file_pages, p, PAGE, 0, 3, 0), 0);
	CHECK_EQ(syscall(SYS_remap_file_pages, p + 3 * PAGE, PAGE, 0, 0, 0), 0);
	CHECK_EQ(p[0], 4);
	CHECK_EQ(p[PAGE], 2);
	CHECK_EQ(p[3 * PAGE], 1);
	CHECK_ERR(syscall(SYS_remap_file_pages, p, PAGE, PROT_READ, 0, 0), EINVAL);
	munmap(p, 4 * PAGE);
	p = map(PAGE, RW, PRIV);
	CHECK_ERR(syscall(SYS_remap_file_pages, p, PAGE, 0, 0, 0), EINVAL);
	munmap(p, PAGE);
}

/* Many mappings, made and unmade in an order that splits and joins. */
static void churn(void)
{
	enum { N = 300 };
	char *base = map(N * PAGE, PROT_NONE, PRIV);

	for (int i = 0; i < N; i += 2)
		CHECK_EQ(mprotect(base + i * PAGE, PAGE, RW), 0);
	for (int i = 0; i < N; i += 2)
		base[i * PAGE] = (char)i;
	for (int i = 1; i < N; i += 4)
		CHECK_EQ(munmap(base + i * PAGE, PAGE), 0);
	for (int i = 0; i < N; i += 2)
		CHECK_EQ(base[i * PAGE], (char)i);
	for (int i = 1; i < N; i += 4)
		CHECK_EQ(touch(base + i * PAGE, 0), SIGSEGV);
	CHECK_EQ(munmap(base, N * PAGE), 0);
}

int main(void)
{
	errors();
	fixed();
	shared_anonymous();
	files();
	zero_device();
	advice();
	locking();
	residence();
	limits();
	nonlinear();
	churn();
	return check_status();
}
