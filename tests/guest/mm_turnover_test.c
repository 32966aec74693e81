/* Threads that map and unmap as fast as they can: each mapping is new, nobody else's, and stays until it
 * is unmapped, while others fork, move the break, stop the process and end. */
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/guest/check.h"

#define PAGE 4096UL
#define RW (PROT_READ | PROT_WRITE)
#define PRIV (MAP_PRIVATE | MAP_ANONYMOUS)

enum { THREADS = 8, ROUNDS = 400 };

static atomic_int failures, running;

static void expect(int ok, const char *what)
{
	if (!ok && atomic_fetch_add(&failures, 1) < 5)
		CHECK_FAIL("%s (errno %d)", what, errno);
}

static int all_are(const char *p, size_t len, char c)
{
	for (size_t i = 0; i < len; i += PAGE)
		if (p[i] != c || p[i + PAGE - 1] != c)
			return 0;
	return 1;
}

static void fill(char *p, size_t len, char c)
{
	for (size_t i = 0; i < len; i += PAGE)
		p[i] = p[i + PAGE - 1] = c;
}

static void one_round(unsigned i, char c)
{
	size_t len = PAGE * (1 + i % 5), half = len / 2 / PAGE * PAGE;
	char *p = mmap(NULL, len, RW, PRIV, -1, 0);

	if (p == MAP_FAILED) {
		expect(0, "mmap");
		return;
	}
	expect(all_are(p, len, 0), "a new mapping is zero");
	fill(p, len, c);
	if (i % 7 == 0)
		sched_yield();
	expect(all_are(p, len, c), "a mapping keeps what was written");
	switch (i % 6) {
	case 0: /* replaced where it is */
		expect(mmap(p, len, RW, PRIV | MAP_FIXED, -1, 0) == p, "MAP_FIXED");
		expect(all_are(p, len, 0), "a replaced mapping is zero");
		break;
	case 1:
		expect(madvise(p, len, MADV_DONTNEED) == 0, "MADV_DONTNEED");
		expect(all_are(p, len, 0), "what is not needed is zero");
		break;
	case 2:
		expect(mprotect(p, len, PROT_READ) == 0 && all_are(p, len, c), "mprotect");
		break;
	case 3:
		if (half)
			expect(munmap(p + half, len - half) == 0, "munmap of a half");
		break;
	case 4: /* by name, where one just was; others may have been faster */
		expect(munmap(p, len) == 0, "munmap");
		p = mmap(p, len, RW, PRIV, -1, 0);
		expect(p != MAP_FAILED && all_are(p, len, 0), "mmap with a hint");
		break;
	}
	if (i % 6 == 3 && half)
		len = half;
	expect(munmap(p, len) == 0, "munmap");
}

static void *turnover(void *arg)
{
	for (unsigned i = 0; i < ROUNDS; i++)
		one_round(i, (char)(1 + (intptr_t)arg));
	atomic_fetch_sub(&running, 1);
	return NULL;
}

static void *short_turnover(void *arg)
{
	for (unsigned i = 0; i < 3; i++)
		one_round(i, (char)(intptr_t)arg);
	return NULL;
}

/* What a child finds is what was mapped at that moment. */
static void fork_beside(char *mine, size_t len)
{
	int status = -1;
	pid_t pid = fork();

	if (pid == 0) {
		char *p = mmap(NULL, len, RW, PRIV, -1, 0);

		_exit(p != MAP_FAILED && all_are(p, len, 0) && all_are(mine, len, 'm') ? 6 : 7);
	}
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	CHECK_EQ(status, 6 << 8);
}

static void break_beside(void)
{
	char *b = sbrk(8 * PAGE);

	CHECK(b != (char *)-1);
	if (b == (char *)-1)
		return;
	memset(b, 1, 8 * PAGE);
	CHECK(sbrk(-(intptr_t)(8 * PAGE)) != (void *)-1);
}

static void stop_beside(pid_t helper)
{
	kill(helper, SIGUSR1);
}

static int turn_over(void)
{
	size_t len = 16 * PAGE;
	char *mine = mmap(NULL, len, RW, PRIV, -1, 0);
	pthread_t t[THREADS], more;
	pid_t self = getpid(), helper;
	sigset_t usr1;
	int sig;

	/* Stops this process for a moment whenever it is asked to. */
	sigemptyset(&usr1);
	sigaddset(&usr1, SIGUSR1);
	sigprocmask(SIG_BLOCK, &usr1, NULL);
	helper = fork();
	if (helper == 0) {
		while (sigwait(&usr1, &sig) == 0) {
			kill(self, SIGSTOP);
			usleep(1000);
			kill(self, SIGCONT);
		}
		_exit(0);
	}
	REQUIRE(helper > 0 && mine != MAP_FAILED);
	fill(mine, len, 'm');
	atomic_store(&running, THREADS);
	for (intptr_t i = 0; i < THREADS; i++)
		REQUIRE(pthread_create(&t[i], NULL, turnover, (void *)i) == 0);
	for (int i = 0; atomic_load(&running) > 0; i++) {
		if (i % 5 == 0)
			fork_beside(mine, len);
		if (i % 8 == 1)
			stop_beside(helper);
		break_beside();
		REQUIRE(pthread_create(&more, NULL, short_turnover, (void *)99L) == 0);
		mine = mremap(mine, len, len, MREMAP_MAYMOVE);
		pthread_join(more, NULL);
	}
	for (int i = 0; i < THREADS; i++)
		pthread_join(t[i], NULL);
	CHECK_EQ(atomic_load(&failures), 0);
	CHECK(all_are(mine, len, 'm'));
	kill(helper, SIGKILL);
	kill(self, SIGCONT);
	waitpid(helper, NULL, 0);
	return check_status();
}

/* In a process that can be stopped, which the first one of a sandbox can't. */
int main(void)
{
	int status = -1;
	pid_t pid = fork();

	if (pid == 0)
		_exit(turn_over());
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	CHECK_EQ(status, 0);
	return check_status();
}
