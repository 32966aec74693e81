/* mprotect(2), and the signals of accesses that are not allowed. */
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tests/guest/check.h"

#define PAGE 4096UL
#define RW (PROT_READ | PROT_WRITE)
#define PRIV (MAP_PRIVATE | MAP_ANONYMOUS)

static __thread sigjmp_buf env;
static __thread volatile int code;
static __thread void *volatile addr;

static void on_fault(int sig, siginfo_t *si, void *uc)
{
	code = si->si_code;
	addr = si->si_addr;
	siglongjmp(env, sig);
}

static int touch(volatile char *p, int write)
{
	int sig = sigsetjmp(env, 1);

	if (sig)
		return sig;
	if (write)
		*p = 1;
	else
		(void)*p;
	return 0;
}

static int call(void *p)
{
	int sig = sigsetjmp(env, 1);

	if (sig)
		return sig;
	((void (*)(void))(uintptr_t)p)();
	return 0;
}

static void rights(void)
{
	char *p = mmap(NULL, 4 * PAGE, PROT_READ, PRIV, -1, 0);

	CHECK_EQ(touch(p + PAGE + 5, 1), SIGSEGV);
	CHECK_EQ(code, SEGV_ACCERR);
	CHECK_EQ((long)addr, (long)(p + PAGE + 5));
	CHECK_EQ(mprotect(p + PAGE, PAGE, RW), 0);
	CHECK_EQ(touch(p + PAGE, 1), 0);
	CHECK_EQ(touch(p, 1), SIGSEGV);
	CHECK_EQ(touch(p + 2 * PAGE, 1), SIGSEGV);
	CHECK_EQ(mprotect(p, 4 * PAGE, PROT_NONE), 0);
	CHECK_EQ(touch(p + PAGE, 0), SIGSEGV);
	CHECK_EQ(code, SEGV_ACCERR);
	CHECK_EQ(mprotect(p, 4 * PAGE, RW), 0);
	CHECK_EQ(p[PAGE], 1);
	CHECK_EQ(touch(p + 3 * PAGE, 1), 0);
	/* Code. */
	p[0] = (char)0xc3;
	CHECK_EQ(call(p), SIGSEGV);
	CHECK_EQ(code, SEGV_ACCERR);
	CHECK_EQ(mprotect(p, PAGE, PROT_READ | PROT_EXEC), 0);
	CHECK_EQ(call(p), 0);
	munmap(p, 4 * PAGE);
	CHECK_EQ(touch(p, 1), SIGSEGV);
	CHECK_EQ(code, SEGV_MAPERR);
}

static void errors(void)
{
	char *p = mmap(NULL, 4 * PAGE, RW, PRIV, -1, 0);

	CHECK_ERR(mprotect(p + 1, PAGE, RW), EINVAL);
	CHECK_EQ(mprotect(p, 0, RW), 0);
	CHECK_ERR(mprotect(p, PAGE, 0x40), EINVAL);
	CHECK_ERR(mprotect(p, PAGE, RW | PROT_GROWSDOWN), EINVAL);
	CHECK_ERR(mprotect(p, PAGE, RW | PROT_GROWSDOWN | PROT_GROWSUP), EINVAL);
	CHECK_ERR(mprotect(p, -PAGE, RW), ENOMEM);
	munmap(p + 2 * PAGE, PAGE);
	/* What comes before the hole is changed all the same. */
	CHECK_ERR(mprotect(p, 4 * PAGE, PROT_READ), ENOMEM);
	CHECK_EQ(touch(p, 1), SIGSEGV);
	CHECK_EQ(touch(p + 3 * PAGE, 1), 0);
	CHECK_ERR(mprotect(p + 2 * PAGE, PAGE, PROT_READ), ENOMEM);
	CHECK_EQ(syscall(SYS_pkey_mprotect, p, PAGE, RW, -1), 0);
	CHECK_EQ(touch(p, 1), 0);
	munmap(p, 4 * PAGE);
}

/* The addresses that aren't the program's at all. */
static void strange_addresses(void)
{
	CHECK_EQ(touch(NULL, 0), SIGSEGV);
	CHECK_EQ(code, SEGV_MAPERR);
	CHECK_EQ(touch((char *)0xffff800000000000UL, 0), SIGSEGV);
	CHECK_EQ(touch((char *)0x800000000000UL, 0), SIGSEGV);
	CHECK_EQ(code, SI_KERNEL);
	CHECK_EQ((long)addr, 0);
	CHECK_EQ(call((void *)8), SIGSEGV);
	CHECK_EQ((long)addr, 8);
	/* System calls get EFAULT where the program would get a signal. */
	CHECK_ERR(syscall(SYS_write, 1, 8L, 1L), EFAULT);
	CHECK_ERR(syscall(SYS_write, 1, 0xffff800000000000UL, 1L), EFAULT);
}

/* A garbage collector's write barrier: threads fault on protected pages, a handler opens them. */
static char *heap;
enum { HEAP_PAGES = 64 };

static void barrier(int sig, siginfo_t *si, void *uc)
{
	char *page = (char *)((uintptr_t)si->si_addr & ~(PAGE - 1));

	if (page < heap || page >= heap + HEAP_PAGES * PAGE || mprotect(page, PAGE, RW))
		_exit(99);
}

static void *mutator(void *arg)
{
	for (int round = 0; round < 20; round++)
		for (int i = 0; i < HEAP_PAGES; i++)
			__atomic_fetch_add((int *)(heap + i * PAGE), 1, __ATOMIC_RELAXED);
	return NULL;
}

static void *collector(void *arg)
{
	for (int round = 0; round < 40; round++)
		if (mprotect(heap, HEAP_PAGES * PAGE, PROT_READ))
			_exit(98);
	return NULL;
}

static void threads(void)
{
	struct sigaction sa = {.sa_sigaction = barrier, .sa_flags = SA_SIGINFO};
	pthread_t t[4];

	heap = mmap(NULL, HEAP_PAGES * PAGE, RW, PRIV, -1, 0);
	sigaction(SIGSEGV, &sa, NULL);
	for (int i = 0; i < 3; i++)
		REQUIRE(pthread_create(&t[i], NULL, mutator, NULL) == 0);
	REQUIRE(pthread_create(&t[3], NULL, collector, NULL) == 0);
	for (int i = 0; i < 4; i++)
		pthread_join(t[i], NULL);
	for (int i = 0; i < HEAP_PAGES; i++)
		CHECK_EQ(*(int *)(heap + i * PAGE), 60);
}

int main(void)
{
	struct sigaction sa = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_NODEFER};

	sigaction(SIGSEGV, &sa, NULL);
	sigaction(SIGBUS, &sa, NULL);
	rights();
	errors();
	strange_addresses();
	threads();
	return check_status();
}
