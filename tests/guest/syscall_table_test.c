/* Numbers without a call, garbage in the upper halves of registers, calls that are always refused. */
#include <fcntl.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/guest/check.h"

static long raw(long nr, long a, long b, long c)
{
	long ret;

	__asm__ volatile("syscall"
			 : "=a"(ret)
			 : "a"(nr), "D"(a), "S"(b), "d"(c)
			 : "rcx", "r11", "memory");
	return ret;
}

static void unknown_numbers(void)
{
	static const long numbers[] = {337, 400, 423, 5000, -1, -2, 0x7fffffff, 1L << 32 | 5000};

	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
		CHECK_EQ(raw(numbers[i], 0, 0, 0), -ENOSYS);
	CHECK_EQ(raw(180, 0, 0, 0), -ENOSYS); /* nfsservctl */
	CHECK_EQ(raw(134, 0, 0, 0), -ENOSYS); /* uselib */
	CHECK_EQ(raw(236, 0, 0, 0), -ENOSYS); /* vserver */
}

/* A descriptor is an int for Linux: what stands above it doesn't count. */
static void upper_halves_are_ignored(void)
{
	int fd = open("/dev/null", O_WRONLY);
	long dirty = (long)(0xdeadbeef00000000UL | (unsigned)fd);

	REQUIRE(fd >= 0);
	CHECK_EQ(raw(SYS_write, dirty, (long)"x", 1), 1);
	CHECK_EQ(raw(SYS_close, dirty, 0, 0), 0);
	CHECK_EQ(raw(SYS_close, dirty, 0, 0), -EBADF);
	CHECK_EQ(raw(SYS_close, (long)0x1ffffffffUL, 0, 0), -EBADF);
}

static void lengths_are_whole(void)
{
	/* 2^32 + 1 bytes are not 1 byte. */
	int fd = open("/dev/null", O_WRONLY);

	REQUIRE(fd >= 0);
	CHECK(raw(SYS_write, fd, (long)"x", (1L << 32) + 1) != 1);
	close(fd);
}

/* EPERM, or ENOSYS where the kernel is built without it. */
#define CHECK_REFUSED(call)                                                                        \
	do {                                                                                       \
		errno = 0;                                                                         \
		CHECK((call) == -1 && (errno == EPERM || errno == ENOSYS));                        \
	} while (0)

/* Of an ordinary user: a child gives its privileges up. */
static void refusals(void)
{
	struct timeval tv = {0, 0};
	int status;
	pid_t pid = fork();

	REQUIRE(pid >= 0);
	if (pid == 0) {
		if (getuid() == 0 && (setgid(65534) || setuid(65534)))
			_exit(2);
		CHECK_ERR(syscall(SYS_settimeofday, &tv, NULL), EPERM);
		CHECK_ERR(syscall(SYS_swapoff, "/nowhere"), EPERM);
		CHECK_ERR(syscall(SYS_acct, NULL), EPERM);
		CHECK_ERR(syscall(SYS_vhangup), EPERM);
		CHECK_ERR(syscall(SYS_chroot, "/"), EPERM);
		CHECK_REFUSED(syscall(SYS_iopl, 3));
		CHECK_REFUSED(syscall(SYS_init_module, NULL, 0, ""));
		CHECK_REFUSED(syscall(SYS_delete_module, "x", 0));
		CHECK_REFUSED(syscall(SYS_kexec_load, 0, 0, NULL, 0));
		_exit(check_status());
	}
	REQUIRE(waitpid(pid, &status, 0) == pid);
	CHECK_EQ(status, 0);
	CHECK_ERR(syscall(SYS_move_pages, 0, 1UL, NULL, NULL, NULL, 0x100), EINVAL);
}

int main(void)
{
	unknown_numbers();
	upper_halves_are_ignored();
	lengths_are_whole();
	refusals();
	return check_status();
}
