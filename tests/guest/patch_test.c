/* Call sites may be rewritten while they run: nobody may notice. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/guest/check.h"

#define CALLS 5000

static atomic_long bad;
static atomic_int stop;

/* Threads run through the sites from before they are patched to long after. */
static void *caller(void *arg)
{
	char buf[16];
	int fd = *(int *)arg;

	for (int i = 0; i < CALLS && !stop; i++) {
		if (pread(fd, buf, 7, 3) != 7 || memcmp(buf, "defghij", 7))
			bad++;
		if (lseek(fd, i, SEEK_SET) < 0 || close(-1) != -1 || errno != EBADF)
			bad++;
	}
	return NULL;
}

static int alphabet_file(void)
{
	char name[] = "/tmp/patchXXXXXX";
	int fd = mkstemp(name);

	CHECK(fd >= 0);
	unlink(name);
	CHECK(write(fd, "abcdefghijklmnopqrstuvwxyz", 26) == 26);
	return fd;
}

static void threads(void)
{
	pthread_t t[4];
	int fd = alphabet_file();

	for (int i = 0; i < 4; i++)
		pthread_create(&t[i], NULL, caller, &fd);
	for (int i = 0; i < 4; i++)
		pthread_join(t[i], NULL);
	CHECK_EQ(bad, 0);
	close(fd);
}

/* All registers but rax, rcx, r11, the flags, the red zone and SSE registers survive. */
static void registers(void)
{
	for (int i = 0; i < 3000; i++) {
		uint64_t flags, xmm, red;
		long r;
		register long r8 __asm__("r8") = 0x88, r9 __asm__("r9") = 0x99, r10 __asm__("r10") = 0xaa;
		uint64_t rdi = -1UL, rsi = 0x55, rdx = 0x77;

		__asm__ volatile("movq %[v],%%xmm9" : : [v] "r"(0x1122334455667788UL) : "xmm9");
		__asm__ volatile("lea -256(%%rsp),%%rsp\n\t"
				 "movq %[v],-16(%%rsp)\n\t"
				 "stc\n\t"
				 "mov $3,%%eax\n\t"
				 "syscall\n\t"
				 "pushfq\n\tpop %[f]\n\t"
				 "movq -16(%%rsp),%[f2]\n\t"
				 "lea 256(%%rsp),%%rsp"
				 : "=a"(r), [f] "=&r"(flags), [f2] "=&r"(red), "+D"(rdi), "+S"(rsi),
				   "+d"(rdx), "+r"(r8), "+r"(r9), "+r"(r10)
				 : [v] "r"(0x99UL)
				 : "rcx", "r11", "memory", "cc");
		__asm__ volatile("movq %%xmm9,%[v]" : [v] "=r"(xmm));
		CHECK_EQ(r, -EBADF);
		CHECK(flags & 1);
		CHECK_EQ(red, 0x99);
		CHECK_EQ(xmm, 0x1122334455667788UL);
		CHECK(rsi == 0x55 && rdx == 0x77 && r8 == 0x88 && r9 == 0x99 && r10 == 0xaa);
		if (rsi != 0x55)
			break;
	}
}

static atomic_int ticks;

static void on_alarm(int s)
{
	int saved = errno;

	ticks++;
	close(-1);
	errno = saved;
}

/* Signals at every place, the thunk and its way out among them. */
static void signals(void)
{
	struct itimerval it = {{0, 1000}, {0, 1000}}, off = {0};
	struct sigaction sa = {.sa_handler = on_alarm, .sa_flags = SA_RESTART}, old;
	int fd = alphabet_file();
	char c;

	sigaction(SIGALRM, &sa, &old);
	setitimer(ITIMER_REAL, &it, NULL);
	for (int i = 0; (i < 20000 && ticks < 100) || !ticks; i++) {
		if (pread(fd, &c, 1, i % 26) != 1 || c != 'a' + i % 26)
			bad++;
		if (getppid() <= 0 && getpid() != 1)
			bad++;
	}
	setitimer(ITIMER_REAL, &off, NULL);
	sigaction(SIGALRM, &old, NULL);
	CHECK_EQ(bad, 0);
	CHECK(ticks > 0);
	close(fd);
}

/* A blocking read that a signal interrupts: EINTR, or begun again. */
static void restarts(void)
{
	struct itimerval it = {{0, 20000}, {0, 20000}}, off = {0};
	struct sigaction sa = {.sa_handler = on_alarm};
	int p[2];
	char c;

	CHECK(pipe(p) == 0);
	for (int i = 0; i < 100; i++) { /* make read's site a patched one */
		CHECK(write(p[1], "x", 1) == 1);
		CHECK(read(p[0], &c, 1) == 1);
	}
	sigaction(SIGALRM, &sa, NULL);
	setitimer(ITIMER_REAL, &it, NULL);
	CHECK(read(p[0], &c, 1) == -1 && errno == EINTR);
	setitimer(ITIMER_REAL, &off, NULL);
	sa.sa_flags = SA_RESTART;
	sigaction(SIGALRM, &sa, NULL);
	if (fork() == 0) {
		usleep(60000);
		_exit(write(p[1], "y", 1) != 1);
	}
	setitimer(ITIMER_REAL, &it, NULL);
	CHECK(read(p[0], &c, 1) == 1 && c == 'y');
	setitimer(ITIMER_REAL, &off, NULL);
	CHECK(wait(NULL) > 0);
}

static void ids(void)
{
	pid_t me = getpid(), parent = getppid();
	int p[2], q[2], status;
	pid_t seen;

	for (int i = 0; i < 500; i++)
		CHECK(getpid() == me && getppid() == parent && syscall(SYS_gettid) == me);
	CHECK(pipe(p) == 0 && pipe(q) == 0);
	pid_t child = fork();
	if (child == 0) {
		pid_t self = getpid(), grandchild;

		if (self == me || getppid() != me)
			_exit(1);
		grandchild = fork();
		if (grandchild == 0) {
			char c;

			getppid();
			close(q[1]);
			/* Until the child has been reaped. */
			if (write(p[1], "r", 1) != 1 || read(q[0], &c, 1) != 1)
				_exit(1);
			seen = getppid();
			_exit(write(p[1], &seen, sizeof(seen)) != sizeof(seen));
		}
		_exit(grandchild < 0);
	}
	CHECK(waitpid(child, &status, 0) == child && status == 0);
	char c;
	CHECK(read(p[0], &c, 1) == 1);
	CHECK(write(q[1], "g", 1) == 1);
	CHECK(read(p[0], &seen, sizeof(seen)) == sizeof(seen));
	CHECK(seen != child);
	if (geteuid() == 0) {
		child = fork();
		if (child == 0) {
			for (int i = 0; i < 100; i++)
				getuid();
			if (setresuid(1, 2, 3) || getuid() != 1 || geteuid() != 2)
				_exit(1);
			_exit(0);
		}
		CHECK(waitpid(child, &status, 0) == child && status == 0);
	}
}

/* A forked child, and one that moves or rewrites the library's text. */
static void children(void)
{
	int status;
	pid_t child = fork();

	if (child == 0) {
		for (int i = 0; i < 200; i++)
			if (close(-1) != -1 || errno != EBADF)
				_exit(1);
		_exit(0);
	}
	CHECK(waitpid(child, &status, 0) == child && status == 0);
	child = fork();
	if (child == 0) {
		uintptr_t page = (uintptr_t)&close & ~4095UL;

		if (mprotect((void *)page, 8192, PROT_READ | PROT_WRITE | PROT_EXEC))
			_exit(0);
		*(volatile char *)page = *(volatile char *)page;
		mprotect((void *)page, 8192, PROT_READ | PROT_EXEC);
		for (int i = 0; i < 500; i++)
			if (close(-1) != -1 || errno != EBADF)
				_exit(1);
		_exit(0);
	}
	CHECK(waitpid(child, &status, 0) == child && status == 0);
}

/* Another mapping of the same text, called often, then moved. */
static void moved_text(void)
{
	uintptr_t f = (uintptr_t)&getppid, start, end;
	unsigned long off;
	char line[512], path[256] = "";
	FILE *maps = fopen("/proc/self/maps", "r");
	pid_t (*call)(void), parent = getppid();
	char *copy, *place;
	size_t len;
	int fd;

	REQUIRE(maps);
	while (fgets(line, sizeof(line), maps))
		if (sscanf(line, "%lx-%lx r-xp %lx %*s %*s %255s", &start, &end, &off, path) == 4 &&
		    start <= f && f < end)
			break;
	fclose(maps);
	REQUIRE(start <= f && f < end);
	len = end - start;
	fd = open(path, O_RDONLY);
	REQUIRE(fd >= 0);
	copy = mmap(NULL, len, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, (off_t)off);
	REQUIRE(copy != MAP_FAILED);
	memcpy(&call, &(char *){copy + (f - start)}, sizeof(call));
	for (int i = 0; i < 3000; i++)
		CHECK(call() == parent);
	usleep(100000);
	for (int i = 0; i < 3000; i++)
		CHECK(call() == parent);
	place = mmap(NULL, len, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	REQUIRE(mremap(copy, len, len, MREMAP_MAYMOVE | MREMAP_FIXED, place) == place);
	memcpy(&call, &(char *){place + (f - start)}, sizeof(call));
	for (int i = 0; i < 300; i++)
		CHECK(call() == parent);
	munmap(place, len);
	close(fd);
}

int main(void)
{
	threads();
	registers();
	signals();
	restarts();
	ids();
	children();
	moved_text();
	return check_status();
}
