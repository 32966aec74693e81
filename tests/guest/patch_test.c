/* Call sites may be rewritten while they run: nobody may notice. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <ucontext.h>
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

/* Where `f` lies: what of which file is mapped there; a descriptor of it. */
static int text_of(uintptr_t f, uintptr_t *start, uintptr_t *end, unsigned long *off)
{
	char line[512], path[256] = "";
	FILE *maps = fopen("/proc/self/maps", "r");
	int fd;

	REQUIRE(maps);
	while (fgets(line, sizeof(line), maps))
		if (sscanf(line, "%lx-%lx r-xp %lx %*s %*s %255s", start, end, off, path) == 4 && *start <= f && f < *end)
			break;
	fclose(maps);
	REQUIRE(*start <= f && f < *end);
	fd = open(path, O_RDONLY);
	REQUIRE(fd >= 0);
	return fd;
}

/* A translator of code maps libraries to read them, with the rights that they ask for. */
static void mapped_to_be_read(void)
{
	uintptr_t start = 0, end = 0;
	unsigned long off = 0;
	int fd = text_of((uintptr_t)&close, &start, &end, &off);
	size_t len = end - start;
	char *file = malloc(len), *p;

	for (int i = 0; i < 4 * CALLS; i++) {
		close(-1);
		if (i % CALLS == 0)
			usleep(50000);
	}
	REQUIRE(file && pread(fd, file, len, (off_t)off) == (ssize_t)len);
	p = mmap(NULL, len, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, (off_t)off);
	REQUIRE(p != MAP_FAILED);
	CHECK_EQ(memcmp(p, file, len), 0);
	CHECK(munmap(p, len) == 0);
	free(file);
	close(fd);
}

/* Another mapping of the same text, called often, then moved. */
static void moved_text(void)
{
	uintptr_t f = (uintptr_t)&getppid, start = 0, end = 0;
	unsigned long off = 0;
	int fd = text_of(f, &start, &end, &off);
	pid_t (*call)(void), parent = getppid();
	size_t len = end - start;
	char *copy, *place;

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

/* A handler that looks where it interrupted sees the code of files, nothing else. */
static struct {
	uintptr_t start, end;
} text[64];
static unsigned ntext;

static void text_read(void)
{
	FILE *maps = fopen("/proc/self/maps", "r");
	char line[512], path[256];

	REQUIRE(maps);
	ntext = 0;
	while (ntext < 64 && fgets(line, sizeof(line), maps)) {
		path[0] = 0;
		if (sscanf(line, "%lx-%lx %*2cx%*c %*x %*s %*s %255s", &text[ntext].start, &text[ntext].end, path) >= 2 &&
		    (path[0] == '/' || !strcmp(path, "[vdso]") || !strcmp(path, "[vsyscall]")))
			ntext++;
	}
	fclose(maps);
}

static bool in_text(uintptr_t p)
{
	for (unsigned i = 0; i < ntext; i++)
		if (p >= text[i].start && p < text[i].end)
			return true;
	return false;
}

static atomic_long outside, inside;

static void on_alarm_look(int s, siginfo_t *info, void *uc)
{
	uintptr_t rip = (uintptr_t)((ucontext_t *)uc)->uc_mcontext.gregs[REG_RIP];

	(void)s;
	(void)info;
	if (in_text(rip))
		inside++;
	else
		outside++;
}

static void contexts(void)
{
	struct itimerval it = {{0, 200}, {0, 200}}, off = {0};
	struct sigaction sa = {.sa_sigaction = on_alarm_look, .sa_flags = SA_SIGINFO | SA_RESTART}, old;
	int fd = alphabet_file();
	char c;

	text_read();
	CHECK(ntext > 0);
	sigaction(SIGALRM, &sa, &old);
	setitimer(ITIMER_REAL, &it, NULL);
	for (int i = 0; i < 60000 && inside + outside < 300; i++) {
		CHECK(pread(fd, &c, 1, i % 26) == 1 && c == 'a' + i % 26);
		getppid();
		close(-1);
	}
	setitimer(ITIMER_REAL, &off, NULL);
	sigaction(SIGALRM, &old, NULL);
	CHECK(inside > 0);
	CHECK_EQ(outside, 0);
	close(fd);
}

/* Single steps through calls: each ends in the text, the call has its result. */
static atomic_long steps;

static void on_trap(int s, siginfo_t *info, void *uc)
{
	uintptr_t rip = (uintptr_t)((ucontext_t *)uc)->uc_mcontext.gregs[REG_RIP];

	(void)s;
	(void)info;
	steps++;
	if (!in_text(rip))
		outside++;
}

static void set_trap_flag(void)
{
	__asm__ volatile("lea -128(%%rsp),%%rsp\n\tpushfq\n\torq $0x100,(%%rsp)\n\tpopfq\n\tlea 128(%%rsp),%%rsp" ::
			 : "memory", "cc");
}

static void clear_trap_flag(void)
{
	__asm__ volatile("lea -128(%%rsp),%%rsp\n\tpushfq\n\tandq $~0x100,(%%rsp)\n\tpopfq\n\tlea 128(%%rsp),%%rsp" ::
			 : "memory", "cc");
}

static void single_steps(void)
{
	struct sigaction sa = {.sa_sigaction = on_trap, .sa_flags = SA_SIGINFO}, old;
	pid_t parent = getppid(), seen[3];
	int r[3], e[3];

	for (int i = 0; i < 100; i++) { /* patched now, if ever */
		getppid();
		close(-1);
	}
	usleep(20000);
	for (int i = 0; i < 100; i++) {
		getppid();
		close(-1);
	}
	text_read();
	outside = 0;
	sigaction(SIGTRAP, &sa, &old);
	for (int i = 0; i < 3; i++) {
		set_trap_flag();
		seen[i] = getppid();
		r[i] = close(-1);
		e[i] = errno;
		clear_trap_flag();
	}
	sigaction(SIGTRAP, &old, NULL);
	for (int i = 0; i < 3; i++) {
		CHECK_EQ(seen[i], parent);
		CHECK_EQ(r[i], -1);
		CHECK_EQ(e[i], EBADF);
	}
	CHECK(steps > 30);
	CHECK_EQ(outside, 0);
}

/* A program with a %gs of its own, mapped or not. */
static void own_gs(void)
{
	static uint64_t area[512];
	int status;
	pid_t child;

	for (int k = 0; k < 3; k++) {
		child = fork();
		if (child == 0) {
			unsigned long base = k == 0 ? (unsigned long)area : k == 1 ? 0x1000 : 0x7fff00000000UL;
			uint64_t v;

			for (int i = 0; i < 50; i++)
				close(-1);
			area[2] = 0x1234;
			if (syscall(SYS_arch_prctl, 0x1001, base))
				_exit(1);
			for (int i = 0; i < 100; i++)
				if (close(-1) != -1 || errno != EBADF || getppid() <= 0)
					_exit(2);
			if (k == 0) {
				__asm__ volatile("mov %%gs:16,%0" : "=r"(v));
				if (v != 0x1234)
					_exit(3);
			}
			if (syscall(SYS_arch_prctl, 0x1001, 0UL))
				_exit(4);
			for (int i = 0; i < 100; i++)
				if (close(-1) != -1 || errno != EBADF)
					_exit(5);
			_exit(0);
		}
		CHECK(waitpid(child, &status, 0) == child);
		CHECK_EQ(status, 0);
	}
}

/* Generated code makes calls, and is rewritten between them. */
static void generated(void)
{
	static const unsigned char code[] = {0xb8, 0, 0, 0, 0, 0x0f, 0x05, 0xc3}; /* mov $nr,%eax; syscall; ret */
	unsigned char *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	long (*call)(void), want[2] = {getpid(), getppid()};

	REQUIRE(p != MAP_FAILED);
	memcpy(&call, &p, sizeof(call));
	for (int i = 0; i < 400; i++) {
		memcpy(p, code, sizeof(code));
		p[1] = i % 2 ? SYS_getppid : SYS_getpid;
		CHECK_EQ(call(), want[i % 2]);
	}
	CHECK_EQ(memcmp(p + 5, code + 5, 3), 0);
	munmap(p, 4096);
}

/* A file with code of ours: called until it may be patched, then protected, written, mapped anew. */
static void own_file(void)
{
	static const unsigned char code[] = {0xb8, SYS_getppid, 0, 0, 0, 0x0f, 0x05, 0xc3};
	char name[] = "/tmp/patchXXXXXX";
	int fd = mkstemp(name);
	long (*call)(void), parent = getppid(), me = getpid();
	unsigned char *p, page[4096] = {0};

	REQUIRE(fd >= 0);
	unlink(name);
	memcpy(page, code, sizeof(code));
	CHECK(write(fd, page, sizeof(page)) == sizeof(page));
	p = mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 0);
	REQUIRE(p != MAP_FAILED);
	memcpy(&call, &p, sizeof(call));
	for (int i = 0; i < 100; i++)
		CHECK_EQ(call(), parent);
	/* The file changes: so does what is mapped, as it was never written. */
	page[1] = SYS_getpid;
	CHECK(pwrite(fd, page, sizeof(page), 0) == sizeof(page));
	for (int i = 0; i < 100; i++)
		CHECK_EQ(call(), me);
	CHECK(mprotect(p, 4096, PROT_READ | PROT_WRITE) == 0);
	p[1] = SYS_getppid;
	CHECK(mprotect(p, 4096, PROT_READ | PROT_EXEC) == 0);
	for (int i = 0; i < 100; i++)
		CHECK_EQ(call(), parent);
	CHECK(mmap(p, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_FIXED, fd, 0) == (void *)p);
	for (int i = 0; i < 100; i++)
		CHECK_EQ(call(), me);
	munmap(p, 4096);
	close(fd);
}

/* Whatever is there: all ways to read one's own code agree. */
static void reads_itself(void)
{
	uintptr_t page = (uintptr_t)&close & ~4095UL;
	unsigned char a[4096], b[4096];
	struct iovec local = {b, sizeof(b)}, remote = {(void *)page, sizeof(b)};
	int fd = open("/proc/self/mem", O_RDONLY);

	for (int i = 0; i < 100; i++)
		close(-1);
	memcpy(a, (void *)page, sizeof(a));
	CHECK(process_vm_readv(getpid(), &local, 1, &remote, 1, 0) == sizeof(b));
	CHECK_EQ(memcmp(a, b, sizeof(a)), 0);
	CHECK(pread(fd, b, sizeof(b), (off_t)page) == sizeof(b));
	CHECK_EQ(memcmp(a, b, sizeof(a)), 0);
	close(fd);
}

/* The text of the library is mapped anew over itself while threads call. */
static void mapped_anew(void)
{
	uintptr_t f = (uintptr_t)&close, start = 0, end = 0;
	unsigned long off = 0;
	pthread_t t[2];
	int fd = text_of((uintptr_t)&close, &start, &end, &off), alphabet = alphabet_file();

	bad = 0;
	for (int i = 0; i < 2; i++)
		pthread_create(&t[i], NULL, caller, &alphabet);
	for (int i = 0; i < 20; i++) {
		CHECK(mmap((void *)start, end - start, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_FIXED, fd, (off_t)off) ==
		      (void *)start);
		usleep(1000);
		CHECK(mprotect((void *)(f & ~4095UL), 4096, PROT_READ | PROT_WRITE | PROT_EXEC) == 0 || errno == EACCES);
		CHECK(mprotect((void *)(f & ~4095UL), 4096, PROT_READ | PROT_EXEC) == 0);
	}
	for (int i = 0; i < 2; i++)
		pthread_join(t[i], NULL);
	CHECK_EQ(bad, 0);
	close(fd);
	close(alphabet);
}

int main(void)
{
	threads();
	registers();
	signals();
	restarts();
	ids();
	children();
	mapped_to_be_read();
	moved_text();
	contexts();
	single_steps();
	own_gs();
	generated();
	own_file();
	reads_itself();
	mapped_anew();
	return check_status();
}
