/* process_vm_readv(2), process_vm_writev(2), and the memory-policy calls. */
#include <stdint.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/guest/check.h"

#define PAGE 4096UL
#define RW (PROT_READ | PROT_WRITE)

static void own_memory(void)
{
	char src[100] = "hello world", dst[100] = {0};
	struct iovec l[2] = {{dst, 6}, {dst + 50, 20}}, r[3] = {{src, 3}, {src + 3, 5}, {src + 8, 4}};

	CHECK_EQ(process_vm_readv(getpid(), l, 2, r, 3, 0), 12);
	CHECK(!memcmp(dst, "hello ", 6));
	CHECK(!strcmp(dst + 50, "world"));
	CHECK_EQ(process_vm_writev(getpid(), l, 1, r, 1, 0), 3);
	CHECK_EQ(process_vm_readv(getpid(), l, 0, r, 1, 0), 0);
	CHECK_EQ(process_vm_readv(getpid(), l, 1, r, 0, 0), 0);
	CHECK_ERR(process_vm_readv(getpid(), l, 1, r, 1, 1), EINVAL);
	CHECK_ERR(process_vm_readv(getpid(), l, 2000, r, 1, 0), EINVAL);
	CHECK_ERR(process_vm_readv(getpid(), l, 1, r, 2000, 0), EINVAL);
	CHECK_ERR(process_vm_readv(0x3ffffff0, l, 1, r, 1, 0), ESRCH);
	CHECK_ERR(process_vm_readv(getpid(), (void *)8, 1, r, 1, 0), EFAULT);
}

static void partial(void)
{
	char *p = mmap(NULL, 2 * PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), buf[3 * 4096];
	struct iovec l = {buf, 2 * PAGE}, r = {p, 2 * PAGE};

	memset(p, 4, 2 * PAGE);
	CHECK_EQ(process_vm_readv(getpid(), &l, 1, &r, 1, 0), 2 * PAGE);
	munmap(p + PAGE, PAGE);
	CHECK_EQ(process_vm_readv(getpid(), &l, 1, &r, 1, 0), PAGE);
	mprotect(p, PAGE, PROT_READ);
	CHECK_ERR(process_vm_writev(getpid(), &l, 1, &r, 1, 0), EFAULT);
	munmap(p, PAGE);
	CHECK_ERR(process_vm_readv(getpid(), &l, 1, &r, 1, 0), EFAULT);
}

static void other_process(void)
{
	volatile int *p = mmap(NULL, PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int go[2], back[2], value = 0, status;
	char c;
	pid_t pid;

	REQUIRE(pipe(go) == 0 && pipe(back) == 0);
	*p = 1;
	pid = fork();
	if (pid == 0) {
		*p = 1234;
		if (write(back[1], "r", 1) != 1 || read(go[0], &c, 1) != 1)
			_exit(2);
		_exit(*p == 77 ? 0 : 1);
	}
	CHECK_EQ(read(back[0], &c, 1), 1);
	struct iovec l = {&value, sizeof(value)}, r = {(void *)p, sizeof(*p)};
	CHECK_EQ(process_vm_readv(pid, &l, 1, &r, 1, 0), 4);
	CHECK_EQ(value, 1234);
	CHECK_EQ(*p, 1);
	value = 77;
	CHECK_EQ(process_vm_writev(pid, &l, 1, &r, 1, 0), 4);
	CHECK_EQ(write(go[1], "g", 1), 1);
	waitpid(pid, &status, 0);
	CHECK_EQ(status, 0);
	CHECK_ERR(process_vm_readv(pid, &l, 1, &r, 1, 0), ESRCH);
}

static void policies(void)
{
	unsigned long mask = 1, nothing = 0, other = 2;
	int mode = 99;
	char *p = mmap(NULL, PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (syscall(SYS_get_mempolicy, &mode, NULL, 0, NULL, 0) && errno == ENOSYS)
		return;
	CHECK_EQ(mode, 0);
	CHECK_EQ(syscall(SYS_set_mempolicy, 0, NULL, 0), 0);
	CHECK_ERR(syscall(SYS_set_mempolicy, 55, NULL, 0), EINVAL);
	CHECK_ERR(syscall(SYS_set_mempolicy, 2, &nothing, 64), EINVAL);
	CHECK_ERR(syscall(SYS_set_mempolicy, 0, &mask, 64), EINVAL);
	CHECK_EQ(syscall(SYS_mbind, p, PAGE, 2, &mask, 64, 0), 0);
	CHECK_ERR(syscall(SYS_mbind, p, PAGE, 2, &other, 64, 0), EINVAL);
	CHECK_ERR(syscall(SYS_mbind, p + 1, PAGE, 2, &mask, 64, 0), EINVAL);
	CHECK_ERR(syscall(SYS_mbind, p, PAGE, 2, &mask, 64, 0x100), EINVAL);
	munmap(p, PAGE);
	CHECK_ERR(syscall(SYS_mbind, p, PAGE, 2, &mask, 64, 0), EFAULT);
	CHECK_ERR(syscall(SYS_get_mempolicy, &mode, NULL, 0, NULL, 0x100), EINVAL);
}

int main(void)
{
	own_memory();
	partial();
	other_process();
	policies();
	return check_status();
}
