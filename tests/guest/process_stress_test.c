/* Races between fork, exec, exit, signals and waits: nothing may hang, get lost or be reaped twice. */
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "check.h"

static volatile sig_atomic_t got;
static void on_signal(int sig)
{
	got++;
}

static unsigned seed = 1;
static unsigned rnd(void)
{
	seed = seed * 1103515245 + 12345;
	return seed >> 16 & 0x7fff;
}

/* Children that exit while they are being killed. */
static void test_kill_exit(void)
{
	for (int i = 0; i < 200; i++) {
		int status;
		pid_t pid = fork();

		if (pid == 0)
			_exit(5);
		if (rnd() & 1)
			sched_yield();
		kill(pid, rnd() & 1 ? SIGKILL : SIGTERM);
		CHECK_EQ(waitpid(pid, &status, 0), pid);
		CHECK(status == 5 << 8 || status == SIGKILL || status == SIGTERM);
		CHECK_ERR(kill(pid, 0), ESRCH);
	}
}

static void *spin(void *arg)
{
	for (;;) {
		if (arg)
			sched_yield();
		getppid();
	}
	return NULL;
}

/* Threads in all states while the group exits, execs or is killed. */
static void test_group_death(void)
{
	for (int i = 0; i < 60; i++) {
		int status;
		pid_t pid = fork();

		if (pid == 0) {
			pthread_t th;

			for (int k = 0; k < 4; k++)
				pthread_create(&th, NULL, spin, (void *)(long)(k & 1));
			if (i % 3 == 0)
				_exit(6);
			if (i % 3 == 1) {
				execl("/bin/sh", "sh", "-c", "exit 6", NULL);
				_exit(1);
			}
			spin((void *)1);
		}
		if (i % 3 == 2) {
			usleep(rnd() % 3000);
			kill(pid, SIGKILL);
		}
		CHECK_EQ(waitpid(pid, &status, 0), pid);
		CHECK_EQ(status, i % 3 == 2 ? SIGKILL : 6 << 8);
	}
}

/* Two threads exec at the same time: one wins, nothing hangs. */
static pthread_barrier_t barrier;
static void *exec_now(void *arg)
{
	pthread_barrier_wait(&barrier);
	execl("/bin/sh", "sh", "-c", "exit 9", NULL);
	return NULL;
}

static void test_exec_race(void)
{
	for (int i = 0; i < 20; i++) {
		int status;
		pid_t pid = fork();

		if (pid == 0) {
			pthread_t th;

			pthread_barrier_init(&barrier, NULL, 3);
			for (int k = 0; k < 3; k++)
				pthread_create(&th, NULL, exec_now, NULL);
			for (;;)
				pause();
		}
		CHECK_EQ(waitpid(pid, &status, 0), pid);
		CHECK_EQ(status, 9 << 8);
	}
}

/* Stops and continues in quick succession, with threads; no wake-up is lost. */
static void test_stop_storm(void)
{
	volatile int *count = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int status, before;
	pid_t pid = fork();

	if (pid == 0) {
		pthread_t th;

		for (int k = 0; k < 3; k++)
			pthread_create(&th, NULL, spin, (void *)1);
		for (;;) {
			(*count)++;
			sched_yield();
		}
	}
	for (int i = 0; i < 300; i++) {
		kill(pid, SIGSTOP);
		if (rnd() & 1)
			sched_yield();
		kill(pid, SIGCONT);
	}
	before = *count;
	for (int i = 0; i < 20000 && *count == before; i++)
		usleep(1000);
	CHECK(*count != before);
	kill(pid, SIGSTOP);
	CHECK_EQ(waitpid(pid, &status, WUNTRACED), pid);
	before = *count;
	usleep(10000);
	CHECK_EQ(*count, before);
	kill(pid, SIGKILL);
	do
		CHECK_EQ(waitpid(pid, &status, 0), pid);
	while (!WIFSIGNALED(status));
	CHECK_EQ(status, SIGKILL);
}

/* Every realtime signal that was queued arrives. */
static void test_no_lost_signals(void)
{
	struct sigaction sa = {.sa_handler = on_signal};
	int status, sent = 0;
	pid_t me = getpid(), pid;

	sigaction(SIGRTMIN, &sa, NULL);
	got = 0;
	pid = fork();
	if (pid == 0) {
		for (int i = 0; i < 1000; i++)
			while (sigqueue(me, SIGRTMIN, (union sigval){.sival_int = i}) < 0)
				sched_yield();
		_exit(0);
	}
	while (waitpid(pid, &status, WNOHANG) == 0)
		getppid();
	sent = 1000;
	for (int i = 0; i < 20000 && got < sent; i++)
		usleep(1000);
	CHECK_EQ(got, sent);
}

/* Ping-pong with sigsuspend: one lost wake-up hangs it. */
static void test_ping_pong(void)
{
	struct sigaction sa = {.sa_handler = on_signal};
	sigset_t block, old;
	int status;
	pid_t me = getpid(), pid;

	sigaction(SIGUSR1, &sa, NULL);
	sigemptyset(&block);
	sigaddset(&block, SIGUSR1);
	sigprocmask(SIG_BLOCK, &block, &old);
	pid = fork();
	if (pid == 0) {
		for (int i = 0; i < 500; i++) {
			sigsuspend(&old);
			kill(me, SIGUSR1);
		}
		_exit(0);
	}
	for (int i = 0; i < 500; i++) {
		kill(pid, SIGUSR1);
		sigsuspend(&old);
	}
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	CHECK_EQ(status, 0);
	sigprocmask(SIG_SETMASK, &old, NULL);
}

/* Threads that come and go while signals arrive at the process. */
static void *brief(void *arg)
{
	return arg;
}

static void *storm(void *arg)
{
	pid_t pid = getpid();

	for (int i = 0; i < 1000; i++) {
		kill(pid, SIGUSR2);
		if (i % 16 == 0)
			sched_yield();
	}
	return NULL;
}

static void test_thread_churn(void)
{
	struct sigaction sa = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
	pthread_t killer, th;

	sigaction(SIGUSR2, &sa, NULL);
	REQUIRE(pthread_create(&killer, NULL, storm, NULL) == 0);
	for (int i = 0; i < 300; i++) {
		REQUIRE(pthread_create(&th, NULL, brief, NULL) == 0);
		pthread_join(th, NULL);
	}
	pthread_join(killer, NULL);
}

/* Zombies whose parent dies, orphans that die: pids come back. */
static void test_orphans(void)
{
	for (int i = 0; i < 50; i++) {
		int status;
		pid_t pid = fork();

		if (pid == 0) {
			for (int k = 0; k < 3; k++)
				if (fork() == 0)
					_exit(0);
			_exit(0);
		}
		CHECK_EQ(waitpid(pid, &status, 0), pid);
	}
}

int main(void)
{
	test_kill_exit();
	test_group_death();
	test_exec_race();
	test_stop_storm();
	test_no_lost_signals();
	test_ping_pong();
	test_thread_churn();
	test_orphans();
	return check_status();
}
