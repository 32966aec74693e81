/* Threads that come and go: each begins with its maker's state and nothing of one that ended before,
 * signals and ends of processes come at any moment. */
#include <fenv.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "check.h"

static __thread int local = 7;

static uint32_t mxcsr_get(void)
{
	uint32_t v;

	__asm__ volatile("stmxcsr %0" : "=m"(v));
	return v;
}

static void mxcsr_set(uint32_t v)
{
	__asm__ volatile("ldmxcsr %0" : : "m"(v));
}

/* ---- state ---------------------------------------------------------------------------------- */

struct seen {
	int local, round, altstack;
	uint32_t mxcsr;
	sigset_t mask;
	uint64_t cpu_ns;
	pid_t tid;
};

static void *look(void *arg)
{
	struct seen *s = arg;
	struct timespec ts;
	stack_t ss;
	sigset_t all;

	s->local = local++;
	s->mxcsr = mxcsr_get();
	s->tid = (pid_t)syscall(SYS_gettid);
	sigaltstack(NULL, &ss);
	s->altstack = !(ss.ss_flags & SS_DISABLE);
	pthread_sigmask(SIG_BLOCK, NULL, &s->mask);
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	s->cpu_ns = (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
	/* what the next one must not see */
	local = 99;
	mxcsr_set(0x1f80 | (s->round & 1 ? 0x2000 : 0x6000));
	sigfillset(&all);
	pthread_sigmask(SIG_BLOCK, &all, NULL);
	ss = (stack_t){.ss_sp = malloc(32768), .ss_size = 32768};
	sigaltstack(&ss, NULL);
	if (s->round % 50 == 0) {
		do {
			clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
		} while ((uint64_t)ts.tv_nsec < s->cpu_ns % 1000000000u + 20000000 && ts.tv_sec == 0);
	}
	free(ss.ss_sp);
	return NULL;
}

static void test_state(void)
{
	pid_t last = 0;

	for (int i = 0; i < 200; i++) {
		struct seen s = {.round = i};
		pthread_t t;

		mxcsr_set(i & 2 ? 0x3f80 : 0x1f80);
		REQUIRE(pthread_create(&t, NULL, look, &s) == 0);
		pthread_join(t, NULL);
		CHECK_EQ(s.local, 7);
		CHECK_EQ(s.mxcsr & 0xffc0, i & 2 ? 0x3f80 : 0x1f80);
		CHECK_EQ(s.altstack, 0);
		CHECK_EQ(sigismember(&s.mask, SIGUSR1), 0);
		CHECK(s.cpu_ns < 15000000);
		CHECK(s.tid != last);
		last = s.tid;
	}
	mxcsr_set(0x1f80);
}

/* ---- signals ---------------------------------------------------------------------------------- */

static atomic_int handled, rounds_left;

static void on_usr1(int sig)
{
	atomic_fetch_add(&handled, 1);
}

static void *short_life(void *arg)
{
	for (volatile int i = (int)(intptr_t)arg; i > 0; i--)
		;
	if ((intptr_t)arg & 1)
		sched_yield();
	return NULL;
}

/* Threads are signalled while they begin, run and end. */
static void *churn(void *arg)
{
	while (atomic_fetch_sub(&rounds_left, 1) > 0) {
		pthread_t t[4];

		for (int i = 0; i < 4; i++)
			REQUIRE(pthread_create(&t[i], NULL, short_life,
					       (void *)(intptr_t)(i * 1000 + (long)arg)) == 0);
		for (int i = 0; i < 4; i++)
			pthread_kill(t[i], SIGUSR1);
		kill(getpid(), SIGUSR1);
		for (int i = 0; i < 4; i++)
			pthread_join(t[i], NULL);
	}
	return NULL;
}

static void test_signals(void)
{
	struct sigaction sa = {.sa_handler = on_usr1, .sa_flags = SA_RESTART};
	pthread_t t[3];

	sigaction(SIGUSR1, &sa, NULL);
	atomic_store(&rounds_left, 150);
	for (long i = 0; i < 3; i++)
		REQUIRE(pthread_create(&t[i], NULL, churn, (void *)i) == 0);
	for (int i = 0; i < 3; i++)
		pthread_join(t[i], NULL);
	CHECK(atomic_load(&handled) > 0);
}

/* ---- ends ------------------------------------------------------------------------------------- */

static void *churn_for_ever(void *arg)
{
	for (;;) {
		pthread_t t;

		if (pthread_create(&t, NULL, short_life, (void *)200L) == 0)
			pthread_join(t, NULL);
	}
	return arg;
}

/* A process ends, is killed, execs, while its threads come and go. */
static void test_ends(void)
{
	for (int i = 0; i < 30; i++) {
		int status = -1;
		pid_t pid = fork();

		if (pid == 0) {
			pthread_t t;

			for (int k = 0; k < 3; k++)
				pthread_create(&t, NULL, churn_for_ever, NULL);
			usleep((useconds_t)(i * 300));
			if (i % 3 == 0)
				_exit(5);
			if (i % 3 == 1)
				execl("/proc/self/exe", "thread_churn_test", "--exit-5", (char *)NULL);
			kill(getpid(), SIGKILL);
		}
		REQUIRE(pid > 0);
		CHECK_EQ(waitpid(pid, &status, 0), pid);
		CHECK_EQ(status, i % 3 == 2 ? SIGKILL : 5 << 8);
	}
}

/* The first thread ends before the others. */
static void *later(void *arg)
{
	pthread_t t;

	pthread_join(*(pthread_t *)arg, NULL);
	for (int i = 0; i < 50; i++) {
		pthread_create(&t, NULL, short_life, NULL);
		pthread_join(t, NULL);
	}
	_exit(9);
}

static void test_first_ends_first(void)
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		static pthread_t self;
		pthread_t t;

		self = pthread_self();
		pthread_create(&t, NULL, later, &self);
		pthread_exit(NULL);
	}
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	CHECK_EQ(status, 9 << 8);
}

/* Forks by threads whose host threads had others before. */
static void *fork_one(void *arg)
{
	int status = -1;
	pid_t pid = fork();

	if (pid == 0) {
		pthread_t t;

		pthread_create(&t, NULL, short_life, NULL);
		pthread_join(t, NULL);
		_exit(local == 7 ? 3 : 4);
	}
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	CHECK_EQ(status, 3 << 8);
	return NULL;
}

static void test_forks(void)
{
	for (int i = 0; i < 20; i++) {
		pthread_t t[3];

		for (int k = 0; k < 3; k++)
			REQUIRE(pthread_create(&t[k], NULL, fork_one, NULL) == 0);
		for (int k = 0; k < 3; k++)
			pthread_join(t[k], NULL);
	}
}

/* More at once than are kept. */
static void *wait_for_go(void *arg)
{
	pthread_barrier_wait(arg);
	return NULL;
}

static void test_bursts(void)
{
	for (int round = 0; round < 5; round++) {
		pthread_barrier_t b;
		pthread_t t[60];

		pthread_barrier_init(&b, NULL, 61);
		for (int i = 0; i < 60; i++)
			REQUIRE(pthread_create(&t[i], NULL, wait_for_go, &b) == 0);
		pthread_barrier_wait(&b);
		for (int i = 0; i < 60; i++)
			pthread_join(t[i], NULL);
		pthread_barrier_destroy(&b);
	}
}

int main(int argc, char **argv)
{
	if (argc > 1 && !strcmp(argv[1], "--exit-5"))
		return 5;
	test_state();
	test_signals();
	test_ends();
	test_first_ends_first();
	test_forks();
	test_bursts();
	return check_status();
}
