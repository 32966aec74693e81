/* Stacks that grow: by touch, by system calls that write there, up to the limit and to a neighbour. */
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/guest/check.h"

#define PAGE 4096UL
#define RW (PROT_READ | PROT_WRITE)

static sigjmp_buf env;

static void on_fault(int sig)
{
	siglongjmp(env, sig);
}

static int touch(volatile char *p)
{
	int sig = sigsetjmp(env, 1);

	if (sig)
		return sig;
	*p = 1;
	return 0;
}

static int __attribute__((noinline)) deep(int n)
{
	volatile char frame[4096];

	frame[0] = (char)n;
	return n ? deep(n - 1) + frame[0] * 0 : 0;
}

/* A buffer far below the stack pointer's page that nobody has touched. */
static void __attribute__((noinline)) call_into_stack(int fd)
{
	char big[600000];

	CHECK_EQ(read(fd, big, 100), 100);
	CHECK_EQ(big[99], 'x');
}

static void main_stack(void)
{
	struct rlimit r = {4 << 20, 4 << 20};
	int fds[2], status;
	char data[100];

	memset(data, 'x', sizeof(data));
	REQUIRE(pipe(fds) == 0);
	CHECK_EQ(write(fds[1], data, 100), 100);
	call_into_stack(fds[0]);
	CHECK_EQ(deep(200), 0);
	if (fork() == 0) {
		signal(SIGSEGV, SIG_DFL);
		setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
		setrlimit(RLIMIT_STACK, &r);
		deep(5000);
		_exit(0);
	}
	wait(&status);
	CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
}

static void grows_down(void)
{
	char *area = mmap(NULL, 2048 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), *p;

	munmap(area, 2048 * PAGE);
	p = mmap(area + 2000 * PAGE, PAGE, RW,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_GROWSDOWN | MAP_FIXED, -1, 0);
	REQUIRE(p == area + 2000 * PAGE);
	p[0] = 7;
	CHECK_EQ(touch(p - 1), 0);
	CHECK_EQ(touch(p - 100 * PAGE), 0);
	CHECK_EQ(p[-1], 1);
	CHECK_EQ(p[0], 7);
	CHECK_EQ(mprotect(p, PAGE, PROT_READ | PROT_GROWSDOWN), 0);
	CHECK_EQ(touch(p - 100 * PAGE), SIGSEGV);
	CHECK_EQ(mprotect(p, PAGE, RW | PROT_GROWSDOWN), 0);
	/* A neighbour keeps its distance: 256 pages. */
	char *low = mmap(area + 1000 * PAGE, PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);

	REQUIRE(low == area + 1000 * PAGE);
	CHECK_EQ(touch(low + 100 * PAGE), SIGSEGV);
	CHECK_EQ(touch(low + 300 * PAGE), 0);
	munmap(area, 2048 * PAGE);
}

int main(void)
{
	stack_t ss = {.ss_sp = malloc(65536), .ss_size = 65536};
	struct sigaction sa = {.sa_handler = on_fault, .sa_flags = SA_ONSTACK | SA_NODEFER};

	sigaltstack(&ss, NULL);
	sigaction(SIGSEGV, &sa, NULL);
	main_stack();
	grows_down();
	return check_status();
}
