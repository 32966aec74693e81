/* Which signal a parent gets for a child's end, and how often. */
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/guest/check.h"

static char stack[65536];
static int gate[2];

static int wait_and_exit(void *arg)
{
	char c;

	close(gate[1]);
	return read(gate[0], &c, 1) == 0 ? 3 : 4;
}

static void block(sigset_t *set)
{
	sigemptyset(set);
	sigaddset(set, SIGCHLD);
	sigaddset(set, SIGUSR1);
	sigprocmask(SIG_BLOCK, set, NULL);
}

/* Another program than the one that has asked for SIGUSR1 gets SIGCHLD. */
static void after_exec(pid_t pid, int fd)
{
	siginfo_t info;
	sigset_t set;
	int status;

	block(&set);
	close(fd);
	CHECK_EQ(sigwaitinfo(&set, &info), SIGCHLD);
	CHECK_EQ(info.si_pid, pid);
	CHECK_EQ(info.si_status, 3);
	CHECK_EQ(waitpid(pid, &status, __WALL), pid);
}

static void exec_with_child(int exit_signal)
{
	char a[16], b[16];
	sigset_t set;
	pid_t pid;

	block(&set);
	CHECK_EQ(pipe(gate), 0);
	pid = clone(wait_and_exit, stack + sizeof(stack), exit_signal, NULL);
	close(gate[0]);
	snprintf(a, sizeof(a), "%d", pid);
	snprintf(b, sizeof(b), "%d", gate[1]);
	execl("/proc/self/exe", "exit_signal_test", a, b, NULL);
	CHECK(!"exec");
}

static void exec_usr1(void)
{
	exec_with_child(SIGUSR1);
}

static void exec_none(void)
{
	exec_with_child(0);
}

/* ---- a thread that traces its process's child ------------------------------------------------------- */

static pid_t traced;
static pthread_barrier_t barrier;

static void *trace(void *arg)
{
	CHECK_EQ(ptrace(PTRACE_SEIZE, traced, NULL, NULL), 0);
	pthread_barrier_wait(&barrier);
	pthread_barrier_wait(&barrier);
	return NULL;
}

static void tracing_thread_exits(void)
{
	struct timespec soon = {0, 200000000};
	siginfo_t info;
	sigset_t set;
	pthread_t t;
	int status;

	block(&set);
	CHECK_EQ(pipe(gate), 0);
	traced = fork();
	if (!traced)
		_exit(wait_and_exit(NULL));
	close(gate[0]);
	pthread_barrier_init(&barrier, NULL, 2);
	pthread_create(&t, NULL, trace, NULL);
	pthread_barrier_wait(&barrier);
	close(gate[1]);
	CHECK_EQ(sigwaitinfo(&set, &info), SIGCHLD);
	CHECK_EQ(info.si_pid, traced);
	pthread_barrier_wait(&barrier);
	pthread_join(t, NULL);
	CHECK_ERR(sigtimedwait(&set, &info, &soon), EAGAIN);
	CHECK_EQ(waitpid(traced, &status, 0), traced);
	CHECK_EQ(WEXITSTATUS(status), 3);
}

int main(int argc, char **argv)
{
	if (argc == 3) {
		after_exec(atoi(argv[1]), atoi(argv[2]));
		return check_status();
	}
	check_in_child(exec_usr1);
	check_in_child(exec_none);
	check_in_child(tracing_thread_exits);
	return check_status();
}
