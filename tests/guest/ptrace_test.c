/* What debuggers and tracers do. */
#include <elf.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/guest/check.h"

static volatile long variable = 77;

static long pt(int request, pid_t pid, long addr, long data)
{
	return syscall(SYS_ptrace, request, pid, addr, data);
}

/* A child that asks to be traced and stops; then runs fn. */
static pid_t traced(void (*fn)(void))
{
	int status;
	pid_t pid = fork();

	REQUIRE(pid >= 0);
	if (pid == 0) {
		if (ptrace(PTRACE_TRACEME, 0, 0, 0) < 0)
			_exit(99);
		raise(SIGSTOP);
		fn();
		_exit(0);
	}
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	CHECK_EQ(status, SIGSTOP << 8 | 0x7f);
	return pid;
}

static int wait_status(pid_t pid)
{
	int status = -1;

	CHECK_EQ(waitpid(pid, &status, __WALL), pid);
	return status;
}

#define STOPPED(sig) ((sig) << 8 | 0x7f)
#define EVENT(ev) ((SIGTRAP | (ev) << 8) << 8 | 0x7f)

static void call_getppid(void)
{
	long r = syscall(SYS_getppid);

	_exit(r == 4321 ? 5 : 6);
}

static void syscall_stops(void)
{
	pid_t pid = traced(call_getppid);
	struct user_regs_struct regs;
	int seen = 0, status;

	CHECK_EQ(ptrace(PTRACE_SETOPTIONS, pid, 0, PTRACE_O_TRACESYSGOOD), 0);
	for (;;) {
		CHECK_EQ(ptrace(PTRACE_SYSCALL, pid, 0, 0), 0);
		status = wait_status(pid);
		if (!WIFSTOPPED(status))
			break;
		CHECK_EQ(WSTOPSIG(status), SIGTRAP | 0x80);
		CHECK_EQ(ptrace(PTRACE_GETREGS, pid, 0, &regs), 0);
		if (regs.orig_rax != SYS_getppid)
			continue;
		if (seen++ == 0) {
			CHECK_EQ((long)regs.rax, -ENOSYS);
		} else {
			CHECK_EQ(regs.rax, getpid());
			regs.rax = 4321;
			CHECK_EQ(ptrace(PTRACE_SETREGS, pid, 0, &regs), 0);
		}
	}
	CHECK_EQ(seen, 2);
	CHECK_EQ(status, 5 << 8);
}

/* The entry stop may turn the call into another one, or into none. */
static void syscall_replaced(void)
{
	pid_t pid = traced(call_getppid);
	struct user_regs_struct regs;
	int status, seen = 0;

	for (;;) {
		CHECK_EQ(ptrace(PTRACE_SYSCALL, pid, 0, 0), 0);
		status = wait_status(pid);
		if (!WIFSTOPPED(status))
			break;
		CHECK_EQ(ptrace(PTRACE_GETREGS, pid, 0, &regs), 0);
		if (regs.orig_rax == SYS_getppid && seen++ == 0) {
			regs.orig_rax = (unsigned long)-1;
			regs.rax = 4321;
			CHECK_EQ(ptrace(PTRACE_SETREGS, pid, 0, &regs), 0);
		}
	}
	CHECK_EQ(status, 5 << 8);
}

static void exit_with_variable(void)
{
	_exit((int)variable);
}

static void memory(void)
{
	pid_t pid = traced(exit_with_variable);
	long word = 0;

	CHECK_EQ(pt(PTRACE_PEEKDATA, pid, (long)&variable, (long)&word), 0);
	CHECK_EQ(word, 77);
	CHECK_EQ(ptrace(PTRACE_POKEDATA, pid, &variable, 42), 0);
	CHECK_EQ(variable, 77);
	CHECK_ERR(pt(PTRACE_PEEKDATA, pid, 8, (long)&word), EIO);
	CHECK_ERR(pt(PTRACE_POKEDATA, pid, 8, 1), EIO);
	CHECK_EQ(ptrace(PTRACE_CONT, pid, 0, 0), 0);
	CHECK_EQ(wait_status(pid), 42 << 8);
}

__attribute__((noinline)) static void marked_function(void)
{
	__asm__ volatile("nop; nop; nop; nop; nop; nop; nop; nop");
}

static void run_marked(void)
{
	marked_function();
	_exit(3);
}

static void breakpoint_in_text(void)
{
	pid_t pid = traced(run_marked);
	struct user_regs_struct regs;
	long old = 0, at = (long)marked_function;

	CHECK_EQ(pt(PTRACE_PEEKTEXT, pid, at, (long)&old), 0);
	CHECK_EQ(ptrace(PTRACE_POKETEXT, pid, at, (old & ~0xffL) | 0xcc), 0);
	CHECK_EQ(ptrace(PTRACE_CONT, pid, 0, 0), 0);
	CHECK_EQ(wait_status(pid), STOPPED(SIGTRAP));
	CHECK_EQ(ptrace(PTRACE_GETREGS, pid, 0, &regs), 0);
	CHECK_EQ(regs.rip, at + 1);
	CHECK_EQ(ptrace(PTRACE_POKETEXT, pid, at, old), 0);
	regs.rip = (unsigned long)at;
	CHECK_EQ(ptrace(PTRACE_SETREGS, pid, 0, &regs), 0);
	CHECK_EQ(ptrace(PTRACE_SINGLESTEP, pid, 0, 0), 0);
	CHECK_EQ(wait_status(pid), STOPPED(SIGTRAP));
	CHECK_EQ(ptrace(PTRACE_GETREGS, pid, 0, &regs), 0);
	CHECK(regs.rip > (unsigned long)at && regs.rip <= (unsigned long)at + 8);
	CHECK_EQ(regs.eflags & 0x100, 0);
	CHECK_EQ(ptrace(PTRACE_CONT, pid, 0, 0), 0);
	CHECK_EQ(wait_status(pid), 3 << 8);
	marked_function(); /* ours is as it was */
}

static void step_me(void)
{
	syscall(SYS_getppid);
	_exit(4);
}

/* Steps to the end, through system calls and all. */
static void single_steps(void)
{
	pid_t pid = traced(step_me);
	int steps = 0, status;

	do {
		CHECK_EQ(ptrace(PTRACE_SINGLESTEP, pid, 0, 0), 0);
		status = wait_status(pid);
		steps++;
	} while (status == STOPPED(SIGTRAP) && steps < 100000 && !check_failures);
	CHECK_EQ(status, 4 << 8);
	CHECK(steps > 10);
}

static volatile sig_atomic_t handled;

static void on_usr(int signo)
{
	handled = signo;
}

static void raise_usr1(void)
{
	signal(SIGUSR1, on_usr);
	signal(SIGUSR2, on_usr);
	raise(SIGUSR1);
	_exit(handled);
}

static void signals(void)
{
	static const int inject[] = {SIGUSR1, 0, SIGUSR2};
	siginfo_t info;

	for (int i = 0; i < 3; i++) {
		pid_t pid = traced(raise_usr1);

		CHECK_EQ(ptrace(PTRACE_CONT, pid, 0, 0), 0);
		CHECK_EQ(wait_status(pid), STOPPED(SIGUSR1));
		CHECK_EQ(ptrace(PTRACE_GETSIGINFO, pid, 0, &info), 0);
		CHECK_EQ(info.si_signo, SIGUSR1);
		CHECK_EQ(info.si_code, SI_TKILL);
		CHECK_EQ(info.si_pid, pid);
		CHECK_ERR(ptrace(PTRACE_CONT, pid, 0, 200), EIO);
		CHECK_EQ(ptrace(PTRACE_CONT, pid, 0, inject[i]), 0);
		CHECK_EQ(wait_status(pid), inject[i] << 8);
	}
}

static void fork_and_exec(void)
{
	pid_t pid = fork();

	if (pid == 0)
		execl("/proc/self/exe", "ptrace_test", "exit7", NULL);
	waitpid(pid, NULL, 0);
	_exit(2);
}

static void events(void)
{
	pid_t pid = traced(fork_and_exec), child = 0, got;
	int status, saw_exec = 0, saw_exit = 0, child_status = -1, parent_status = -1;
	unsigned long message;

	CHECK_EQ(ptrace(PTRACE_SETOPTIONS, pid, 0,
			PTRACE_O_TRACEFORK | PTRACE_O_TRACECLONE | PTRACE_O_TRACEEXEC |
				PTRACE_O_TRACEEXIT), 0);
	CHECK_ERR(ptrace(PTRACE_SETOPTIONS, pid, 0, 0x4000), EINVAL);
	CHECK_EQ(ptrace(PTRACE_CONT, pid, 0, 0), 0);
	while ((got = waitpid(-1, &status, __WALL)) > 0) {
		int sig = 0;

		if (!WIFSTOPPED(status)) {
			*(got == pid ? &parent_status : &child_status) = status;
			continue;
		}
		if (status == EVENT(PTRACE_EVENT_FORK) || status == EVENT(PTRACE_EVENT_CLONE)) {
			CHECK_EQ(ptrace(PTRACE_GETEVENTMSG, got, 0, &message), 0);
			child = (pid_t)message;
		} else if (status == EVENT(PTRACE_EVENT_EXEC)) {
			saw_exec++;
		} else if (status == EVENT(PTRACE_EVENT_EXIT)) {
			CHECK_EQ(ptrace(PTRACE_GETEVENTMSG, got, 0, &message), 0);
			CHECK_EQ(message, got == pid ? 2 << 8 : 7 << 8);
			saw_exit++;
		} else if (WSTOPSIG(status) != SIGSTOP) {
			sig = WSTOPSIG(status);
		}
		CHECK_EQ(ptrace(PTRACE_CONT, got, 0, sig), 0);
	}
	CHECK(child > 0);
	CHECK_EQ(saw_exec, 1);
	CHECK_EQ(saw_exit, 2);
	CHECK_EQ(child_status, 7 << 8);
	CHECK_EQ(parent_status, 2 << 8);
}

/* Without options, an exec of a traced child is a SIGTRAP. */
static void exec_exit7(void)
{
	execl("/proc/self/exe", "ptrace_test", "exit7", NULL);
}

static void exec_traps(void)
{
	pid_t pid = traced(exec_exit7);

	CHECK_EQ(ptrace(PTRACE_CONT, pid, 0, 0), 0);
	CHECK_EQ(wait_status(pid), STOPPED(SIGTRAP));
	CHECK_EQ(ptrace(PTRACE_CONT, pid, 0, 0), 0);
	CHECK_EQ(wait_status(pid), 7 << 8);
}

static void attach_and_detach(void)
{
	struct user_regs_struct regs;
	struct iovec iov = {&regs, sizeof(regs)};
	siginfo_t info;
	pid_t pid = fork();

	REQUIRE(pid >= 0);
	if (pid == 0)
		for (;;)
			pause();
	check_asleep(pid);
	CHECK_ERR(ptrace(PTRACE_CONT, pid, 0, 0), ESRCH);
	CHECK_EQ(ptrace(PTRACE_ATTACH, pid, 0, 0), 0);
	CHECK_ERR(ptrace(PTRACE_ATTACH, pid, 0, 0), EPERM);
	memset(&info, 0, sizeof(info));
	CHECK_EQ(waitid(P_PID, (id_t)pid, &info, WSTOPPED), 0);
	CHECK_EQ(info.si_code, CLD_TRAPPED);
	CHECK_EQ(info.si_status, SIGSTOP);
	CHECK_EQ(ptrace(PTRACE_GETREGSET, pid, NT_PRSTATUS, &iov), 0);
	CHECK_EQ(iov.iov_len, sizeof(regs));
	CHECK_EQ(regs.orig_rax, SYS_pause);
	CHECK_EQ(pt(PTRACE_PEEKUSER, pid, offsetof(struct user_regs_struct, rip),
		    (long)&regs.r15), 0);
	CHECK_EQ(regs.r15, regs.rip);
	CHECK_EQ(ptrace(PTRACE_DETACH, pid, 0, 0), 0);
	CHECK_ERR(ptrace(PTRACE_PEEKUSER, pid, 0, 0), ESRCH);
	CHECK_EQ(waitpid(pid, NULL, WNOHANG), 0);
	kill(pid, SIGTERM);
	CHECK_EQ(wait_status(pid), SIGTERM);
	CHECK_ERR(ptrace(PTRACE_ATTACH, getpid(), 0, 0), EPERM);
	CHECK_ERR(ptrace(PTRACE_ATTACH, 999999, 0, 0), ESRCH);
}

static void seize_and_interrupt(void)
{
	pid_t pid = fork();

	REQUIRE(pid >= 0);
	if (pid == 0)
		for (;;)
			variable++;
	CHECK_EQ(ptrace(PTRACE_SEIZE, pid, 0, PTRACE_O_TRACESYSGOOD), 0);
	CHECK_EQ(waitpid(pid, NULL, WNOHANG), 0);
	CHECK_EQ(ptrace(PTRACE_INTERRUPT, pid, 0, 0), 0);
	CHECK_EQ(wait_status(pid), EVENT(PTRACE_EVENT_STOP));
	CHECK_EQ(ptrace(PTRACE_CONT, pid, 0, 0), 0);
	usleep(5000);
	CHECK_EQ(ptrace(PTRACE_INTERRUPT, pid, 0, 0), 0);
	CHECK_EQ(wait_status(pid), EVENT(PTRACE_EVENT_STOP));
	kill(pid, SIGKILL);
	CHECK_EQ(wait_status(pid), SIGKILL);
}

static void *thread_body(void *tid)
{
	*(pid_t *)tid = (pid_t)syscall(SYS_gettid);
	return NULL;
}

/* Exits when the tracer has waited for the thread: a thread's status becomes that of its group as
   soon as the group exits, even if the thread had come to its own end before. */
static void make_thread(void)
{
	pid_t tid = 0;
	pthread_t t;

	pthread_create(&t, NULL, thread_body, &tid);
	pthread_join(t, NULL);
	while (tid > 0 && syscall(SYS_tgkill, getpid(), tid, 0) == 0)
		usleep(1000);
	_exit(8);
}

/* Threads of a tracee are tracees of their own, and their ends are reported. */
static void threads(void)
{
	pid_t pid = traced(make_thread), tid = 0, got;
	int status, thread_status = -1, main_status = -1;
	unsigned long message;

	CHECK_EQ(ptrace(PTRACE_SETOPTIONS, pid, 0, PTRACE_O_TRACECLONE), 0);
	CHECK_EQ(ptrace(PTRACE_CONT, pid, 0, 0), 0);
	while ((got = waitpid(-1, &status, __WALL)) > 0) {
		if (!WIFSTOPPED(status)) {
			*(got == pid ? &main_status : &thread_status) = status;
			continue;
		}
		if (status == EVENT(PTRACE_EVENT_CLONE)) {
			CHECK_EQ(ptrace(PTRACE_GETEVENTMSG, pid, 0, &message), 0);
			tid = (pid_t)message;
		}
		CHECK_EQ(ptrace(PTRACE_CONT, got, 0, 0), 0);
	}
	CHECK(tid > 0 && tid != pid);
	CHECK_EQ(thread_status, 0);
	CHECK_EQ(main_status, 8 << 8);
}

static void *exec_body(void *arg)
{
	exec_exit7();
	return NULL;
}

static void thread_execs(void)
{
	pthread_t t;

	pthread_create(&t, NULL, exec_body, NULL);
	for (;;)
		pause();
}

/* A thread that calls exec takes the place of its group's leader: the leader's tracer has lost a
 * tracee, or has the thread instead if it traces that. */
static void thread_becomes_leader(void (*fn)(void), long options)
{
	pid_t pid = traced(fn), got;
	int status, main_status = -1;

	CHECK_EQ(ptrace(PTRACE_SETOPTIONS, pid, 0, options), 0);
	CHECK_EQ(ptrace(PTRACE_CONT, pid, 0, 0), 0);
	while ((got = waitpid(-1, &status, __WALL)) > 0) {
		if (WIFSTOPPED(status))
			ptrace(PTRACE_CONT, got, 0, 0);
		else if (got == pid)
			main_status = status;
	}
	CHECK_EQ(errno, ECHILD);
	CHECK_EQ(main_status, 7 << 8);
	CHECK_ERR(ptrace(PTRACE_CONT, pid, 0, 0), ESRCH);
}

static void sleep_long(void)
{
	for (;;)
		pause();
}

static void tracer_with_exitkill(int out)
{
	pid_t pid = traced(sleep_long);

	ptrace(PTRACE_SETOPTIONS, pid, 0, PTRACE_O_EXITKILL);
	if (write(out, &pid, sizeof(pid)) != sizeof(pid))
		_exit(1);
	_exit(0);
}

static void exitkill(void)
{
	pid_t pid, tracer;
	int p[2];

	REQUIRE(pipe(p) == 0);
	tracer = fork();
	if (tracer == 0)
		tracer_with_exitkill(p[1]);
	CHECK_EQ(read(p[0], &pid, sizeof(pid)), sizeof(pid));
	CHECK_EQ(wait_status(tracer), 0);
	for (int i = 0; i < 2000 && kill(pid, 0) == 0; i++) {
		char path[64], line[256] = "";
		FILE *f;

		snprintf(path, sizeof(path), "/proc/%d/stat", pid);
		f = fopen(path, "r"); /* a zombie where init doesn't reap */
		if (f && fgets(line, sizeof(line), f) && strstr(line, ") Z")) {
			fclose(f);
			break;
		}
		if (f)
			fclose(f);
		usleep(10000);
		CHECK(i < 1999);
	}
	close(p[0]);
	close(p[1]);
}

int main(int argc, char **argv)
{
	if (argc > 1 && !strcmp(argv[1], "exit7"))
		_exit(7);
	syscall_stops();
	syscall_replaced();
	memory();
	breakpoint_in_text();
	single_steps();
	signals();
	events();
	exec_traps();
	attach_and_detach();
	seize_and_interrupt();
	threads();
	thread_becomes_leader(thread_execs, 0);
	thread_becomes_leader(thread_execs, PTRACE_O_TRACECLONE | PTRACE_O_TRACEEXEC);
	exitkill();
	return check_status();
}
