/* What a child may take for granted from its first instruction on: it has the number that it is told,
 * others can find it by that, and what they send it arrives. */
#include <signal.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>
#include <xmmintrin.h>

#include "tests/guest/check.h"

#define ROUNDS 200

static struct shared {
	_Atomic int pid;  /* a child: of itself */
	_Atomic int seen; /* the watcher: 1 found and signalled, -1 not found */
} *sh;

/* Asks for and signals each child at once, from a process of its own. */
static void watcher(void)
{
	for (;;) {
		int pid;

		while ((pid = sh->pid) == 0)
			sched_yield();
		sh->pid = 0;
		if (pid < 0)
			_exit(0);
		sh->seen = kill(pid, 0) == 0 && getpgid(pid) == getpgrp() &&
			   kill(pid, SIGTERM) == 0 ? 1 : -1;
	}
}

static void test_visible_at_once(void)
{
	pid_t w = fork();
	int status;

	if (w == 0)
		watcher();
	for (int i = 0; i < ROUNDS; i++) {
		pid_t pid;

		sh->seen = 0;
		pid = fork();
		if (pid == 0) {
			sh->pid = getpid();
			for (;;)
				pause();
		}
		CHECK_EQ(waitpid(pid, &status, 0), pid);
		CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);
		while (!sh->seen)
			sched_yield();
		CHECK_EQ(sh->seen, 1);
	}
	sh->pid = -1;
	CHECK_EQ(waitpid(w, &status, 0), w);
	CHECK_EQ(status, 0);
}

/* Mask, rounding mode, ids and memory are the parent's; a pending signal is not. */
static void test_child_state(void)
{
	sigset_t set, old, got;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigaddset(&set, SIGRTMIN + 3);
	sigprocmask(SIG_BLOCK, &set, &old);
	raise(SIGUSR1);
	_MM_SET_ROUNDING_MODE(_MM_ROUND_UP);
	for (int i = 0; i < 50; i++) {
		pid_t parent = getpid(), pid = fork();
		int status;

		if (pid == 0) {
			CHECK_EQ(getppid(), parent);
			CHECK(getpid() != parent && getpid() == gettid());
			sigprocmask(SIG_BLOCK, NULL, &got);
			CHECK(sigismember(&got, SIGUSR1) && sigismember(&got, SIGRTMIN + 3) &&
			      !sigismember(&got, SIGUSR2));
			sigpending(&got);
			CHECK(!sigismember(&got, SIGUSR1));
			CHECK_EQ(_MM_GET_ROUNDING_MODE(), _MM_ROUND_UP);
			_exit(check_failures != 0);
		}
		CHECK_EQ(waitpid(pid, &status, 0), pid);
		CHECK_EQ(status, 0);
	}
	_MM_SET_ROUNDING_MODE(_MM_ROUND_NEAREST);
	sigpending(&got);
	CHECK(sigismember(&got, SIGUSR1));
	signal(SIGUSR1, SIG_IGN);
	sigprocmask(SIG_SETMASK, &old, NULL);
}

/* A child's memory is its own, whatever process used the same means before it. */
static void test_nothing_left_behind(void)
{
	static char area[64 * 4096];

	for (int i = 0; i < 60; i++) {
		pid_t pid;
		int status;

		area[4096 * (i % 64)] = (char)i;
		pid = fork();
		if (pid == 0) {
			for (int k = 0; k < 64; k++) {
				CHECK_EQ(area[4096 * k], k <= i ? (char)k : 0);
				area[4096 * k] = 77;
			}
			_exit(check_failures != 0);
		}
		CHECK_EQ(waitpid(pid, &status, 0), pid);
		CHECK_EQ(status, 0);
	}
}

int main(void)
{
	sh = mmap(NULL, sizeof(*sh), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	REQUIRE(sh != MAP_FAILED);
	test_visible_at_once();
	test_child_state();
	test_nothing_left_behind();
	return check_status();
}
