/* Threads that map, unmap, protect, move and fork side by side, each checking its own memory. */
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/guest/check.h"

#define PAGE 4096UL
#define RW (PROT_READ | PROT_WRITE)
#define PRIV (MAP_PRIVATE | MAP_ANONYMOUS)

enum { THREADS = 6, ROUNDS = 150 };

static _Atomic int failures;

static void expect(int ok)
{
	if (!ok)
		failures++;
}

static void fill(char *p, size_t pages, char c)
{
	for (size_t i = 0; i < pages; i++)
		p[i * PAGE] = p[i * PAGE + PAGE - 1] = c;
}

static int holds(const char *p, size_t pages, char c)
{
	for (size_t i = 0; i < pages; i++)
		if (p[i * PAGE] != c || p[i * PAGE + PAGE - 1] != c)
			return 0;
	return 1;
}

static void *worker(void *arg)
{
	char c = (char)(intptr_t)arg;
	unsigned seed = (unsigned)(intptr_t)arg;

	for (int i = 0; i < ROUNDS; i++) {
		size_t pages = 1 + (size_t)rand_r(&seed) % 20;
		char *p = mmap(NULL, pages * PAGE, RW, PRIV, -1, 0), *q;

		if (p == MAP_FAILED) {
			failures++;
			return NULL;
		}
		expect(p[0] == 0);
		fill(p, pages, c);
		switch (i % 4) {
		case 0:
			expect(mprotect(p, pages * PAGE, PROT_READ) == 0);
			expect(holds(p, pages, c));
			expect(mprotect(p, pages * PAGE, RW) == 0);
			break;
		case 1:
			q = mremap(p, pages * PAGE, (pages + 5) * PAGE, MREMAP_MAYMOVE);
			expect(q != MAP_FAILED && q[(pages + 1) * PAGE] == 0);
			expect(holds(q, pages, c));
			expect(munmap(q + pages * PAGE, 5 * PAGE) == 0);
			p = q;
			break;
		case 2:
			q = mmap(p, pages * PAGE, RW, PRIV | MAP_FIXED, -1, 0);
			expect(q == p && p[0] == 0);
			fill(p, pages, c);
			break;
		default:
			expect(madvise(p, pages * PAGE, MADV_DONTNEED) == 0);
			expect(p[0] == 0);
			fill(p, pages, c);
		}
		expect(holds(p, pages, c));
		expect(munmap(p, pages * PAGE) == 0);
	}
	return NULL;
}

static char *shared_state;

static void *forker(void *arg)
{
	for (int i = 0; i < 12; i++) {
		int status = -1;
		pid_t pid = fork();

		if (pid == 0) {
			char *p = mmap(NULL, 4 * PAGE, RW, PRIV, -1, 0);

			fill(p, 4, 'f');
			shared_state[0] = 'c'; /* the child's own copy */
			_exit(holds(p, 4, 'f') && shared_state[0] == 'c' ? 0 : 1);
		}
		expect(pid > 0 && waitpid(pid, &status, 0) == pid && status == 0);
		expect(shared_state[0] == 'p');
	}
	return NULL;
}

int main(void)
{
	pthread_t t[THREADS + 1];

	shared_state = mmap(NULL, PAGE, RW, PRIV, -1, 0);
	shared_state[0] = 'p';
	for (intptr_t i = 0; i < THREADS; i++)
		REQUIRE(pthread_create(&t[i], NULL, worker, (void *)(i + 1)) == 0);
	REQUIRE(pthread_create(&t[THREADS], NULL, forker, NULL) == 0);
	for (int i = 0; i <= THREADS; i++)
		pthread_join(t[i], NULL);
	CHECK_EQ(failures, 0);
	return check_status();
}
