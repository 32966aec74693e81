/* Filters that a program puts on itself: every action, precedence, inheritance, TSYNC. Sandboxes
 * of browsers and services work this way. */
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/guest/check.h"

#define LOAD_NR BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr))
#define RETURN(what) BPF_STMT(BPF_RET | BPF_K, what)
/* Call nr gets `what`, all others pass. */
#define FILTER(name, nr, what)                                                                     \
	struct sock_filter name##_insns[] = {                                                      \
		LOAD_NR,                                                                           \
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, nr, 0, 1),                                     \
		RETURN(what),                                                                      \
		RETURN(SECCOMP_RET_ALLOW),                                                         \
	};                                                                                         \
	struct sock_fprog name = {4, name##_insns}

static int install(struct sock_fprog *prog, unsigned flags)
{
	return (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, prog);
}

/* Runs fn in a child; its wait status. */
static int in_child(void (*fn)(void))
{
	int status = -1;
	pid_t pid = fork();

	REQUIRE(pid >= 0);
	if (pid == 0) {
		prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
		fn();
		_exit(check_status());
	}
	REQUIRE(waitpid(pid, &status, 0) == pid);
	return status & 0x7f ? status & 0x7f : status; /* without the core flag */
}

static void errno_and_inheritance(void)
{
	FILTER(deny, SYS_getppid, SECCOMP_RET_ERRNO | ENOTTY);
	int status;

	CHECK_EQ(install(&deny, 0), 0);
	CHECK_ERR(syscall(SYS_getppid), ENOTTY);
	CHECK_EQ(prctl(PR_GET_SECCOMP), 2);
	if (fork() == 0)
		_exit(syscall(SYS_getppid) == -1 && errno == ENOTTY ? 0 : 1);
	wait(&status);
	CHECK_EQ(status, 0);
}

/* Calls that a stub could answer by itself are filtered, too. */
static void cheap_calls_are_filtered(void)
{
	FILTER(deny, SYS_gettid, SECCOMP_RET_ERRNO | EXDEV);

	for (int i = 0; i < 10; i++)
		CHECK(syscall(SYS_gettid) > 0);
	CHECK_EQ(install(&deny, 0), 0);
	for (int i = 0; i < 10; i++)
		CHECK_ERR(syscall(SYS_gettid), EXDEV);
}

static void the_strictest_wins(void)
{
	FILTER(a, SYS_getppid, SECCOMP_RET_ERRNO | 1);
	FILTER(b, SYS_getppid, SECCOMP_RET_LOG);
	FILTER(c, SYS_getppid, SECCOMP_RET_ERRNO | 3);

	CHECK_EQ(install(&a, 0), 0);
	CHECK_EQ(install(&b, 0), 0);
	CHECK_ERR(syscall(SYS_getppid), 1);
	CHECK_EQ(install(&c, 0), 0); /* of equals the newest */
	CHECK_ERR(syscall(SYS_getppid), 3);
}

static void arguments_are_seen(void)
{
	struct sock_filter insns[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_X86_64, 1, 0),
		RETURN(SECCOMP_RET_KILL_PROCESS),
		LOAD_NR,
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_dup, 0, 5),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[0])),
		BPF_STMT(BPF_ST, 3),
		BPF_STMT(BPF_LD | BPF_MEM, 3),
		BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, 1000, 0, 1),
		RETURN(SECCOMP_RET_ERRNO | 77),
		RETURN(SECCOMP_RET_ALLOW),
	};
	struct sock_fprog prog = {sizeof(insns) / sizeof(insns[0]), insns};

	CHECK_EQ(install(&prog, 0), 0);
	CHECK_ERR(syscall(SYS_dup, 1000), 77);
	CHECK_ERR(syscall(SYS_dup, 999), EBADF);
}

static volatile int trapped;
static siginfo_t trap_info;

static void on_sigsys(int signo, siginfo_t *info, void *ctx)
{
	trapped++;
	trap_info = *info;
}

static void trap_is_sigsys(void)
{
	FILTER(trap, SYS_getppid, SECCOMP_RET_TRAP | 42);
	struct sigaction sa = {.sa_sigaction = on_sigsys, .sa_flags = SA_SIGINFO};

	sigaction(SIGSYS, &sa, NULL);
	CHECK_EQ(install(&trap, 0), 0);
	CHECK_EQ(syscall(SYS_getppid), SYS_getppid); /* rax as it was */
	CHECK_EQ(trapped, 1);
	CHECK_EQ(trap_info.si_signo, SIGSYS);
	CHECK_EQ(trap_info.si_code, 1);
	CHECK_EQ(trap_info.si_errno, 42);
	CHECK_EQ(trap_info.si_syscall, SYS_getppid);
	CHECK_EQ(trap_info.si_arch, AUDIT_ARCH_X86_64);
	CHECK(trap_info.si_call_addr != NULL);
}

static void trap_without_handler_kills(void)
{
	FILTER(trap, SYS_getppid, SECCOMP_RET_TRAP);

	CHECK_EQ(install(&trap, 0), 0);
	syscall(SYS_getppid);
}

static void kill_process(void)
{
	FILTER(kill, SYS_getppid, SECCOMP_RET_KILL_PROCESS);

	CHECK_EQ(install(&kill, 0), 0);
	syscall(SYS_getppid);
}

static void *getppid_thread(void *arg)
{
	syscall(SYS_getppid);
	*(volatile int *)arg = 1; /* not reached */
	return NULL;
}

static void kill_thread_spares_the_others(void)
{
	FILTER(kill, SYS_getppid, SECCOMP_RET_KILL_THREAD);
	volatile int reached = 0;
	pthread_t t;

	CHECK_EQ(install(&kill, 0), 0);
	CHECK_EQ(pthread_create(&t, NULL, getppid_thread, (void *)&reached), 0);
	pthread_join(t, NULL);
	CHECK_EQ(reached, 0);
}

static void strict_mode(void)
{
	CHECK_EQ(prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT), 0);
	syscall(SYS_write, -1, "", 0);
	syscall(SYS_getpid);
	syscall(SYS_exit, 0);
}

static void strict_exit(void)
{
	CHECK_EQ(prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT), 0);
	syscall(SYS_exit, 5);
}

static atomic_int phase;
static int thread_result, thread_no_new_privs;

static void *waiting_thread(void *arg)
{
	atomic_store(&phase, 1);
	while (atomic_load(&phase) < 2)
		usleep(1000);
	errno = 0;
	thread_result = syscall(SYS_getppid) == -1 ? errno : 0;
	thread_no_new_privs = prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0);
	return NULL;
}

static void tsync_reaches_siblings(void)
{
	FILTER(deny, SYS_getppid, SECCOMP_RET_ERRNO | 9);
	pthread_t t;

	CHECK_EQ(pthread_create(&t, NULL, waiting_thread, NULL), 0);
	while (atomic_load(&phase) < 1)
		usleep(1000);
	CHECK_EQ(install(&deny, SECCOMP_FILTER_FLAG_TSYNC), 0);
	atomic_store(&phase, 2);
	pthread_join(t, NULL);
	CHECK_EQ(thread_result, 9);
	CHECK_EQ(thread_no_new_privs, 1);
}

/* The siblings can't gain rights either, though only the caller has said so. */
static void tsync_brings_no_new_privs(void)
{
	struct sock_filter ok[] = {RETURN(SECCOMP_RET_ALLOW)};
	struct sock_fprog fine = {1, ok};
	pthread_t t;
	int status;

	if (fork() == 0) {
		CHECK_EQ(pthread_create(&t, NULL, waiting_thread, NULL), 0);
		while (atomic_load(&phase) < 1)
			usleep(1000);
		CHECK_EQ(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
		CHECK_EQ(install(&fine, SECCOMP_FILTER_FLAG_TSYNC), 0);
		atomic_store(&phase, 2);
		pthread_join(t, NULL);
		CHECK_EQ(thread_no_new_privs, 1);
		_exit(check_status());
	}
	wait(&status);
	CHECK_EQ(status, 0);
}

/* A tracer that is asked may change the call and its arguments, or leave it out; what it makes of it
 * is filtered again. */
static void tracee(void)
{
	struct sock_filter insns[] = {
		LOAD_NR,
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getppid, 0, 1),
		RETURN(SECCOMP_RET_TRACE | 42),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getsid, 0, 1),
		RETURN(SECCOMP_RET_ERRNO | EXDEV),
		RETURN(SECCOMP_RET_ALLOW),
	};
	struct sock_fprog prog = {sizeof(insns) / sizeof(insns[0]), insns};

	CHECK_EQ(install(&prog, 0), 0);
	CHECK_ERR(syscall(SYS_getppid), ENOSYS); /* not traced */
	ptrace(PTRACE_TRACEME, 0, 0, 0);
	raise(SIGSTOP);
	CHECK(syscall(SYS_getppid) > 1);
	CHECK_ERR(syscall(SYS_getppid), EBADF);
	CHECK_EQ(syscall(SYS_getppid), 4321);
	CHECK_ERR(syscall(SYS_getppid), EXDEV);
	_exit(check_status());
}

static void the_tracer_is_asked(void)
{
	struct user_regs_struct regs;
	unsigned long message;
	int status, stops = 0;
	pid_t pid = fork();

	if (pid == 0)
		tracee();
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	CHECK(WIFSTOPPED(status));
	CHECK_EQ(ptrace(PTRACE_SETOPTIONS, pid, 0, PTRACE_O_TRACESECCOMP), 0);
	for (;;) {
		CHECK_EQ(ptrace(PTRACE_CONT, pid, 0, 0), 0);
		CHECK_EQ(waitpid(pid, &status, 0), pid);
		if (!WIFSTOPPED(status))
			break;
		CHECK_EQ(status >> 8, SIGTRAP | PTRACE_EVENT_SECCOMP << 8);
		CHECK_EQ(ptrace(PTRACE_GETEVENTMSG, pid, 0, &message), 0);
		CHECK_EQ(message, 42);
		CHECK_EQ(ptrace(PTRACE_GETREGS, pid, 0, &regs), 0);
		CHECK_EQ(regs.orig_rax, SYS_getppid);
		CHECK_EQ((long)regs.rax, -ENOSYS);
		switch (++stops) {
		case 2:
			regs.orig_rax = SYS_close;
			regs.rdi = 999;
			break;
		case 3:
			regs.orig_rax = (unsigned long)-1;
			regs.rax = 4321;
			break;
		case 4:
			regs.orig_rax = SYS_getsid;
			break;
		}
		CHECK_EQ(ptrace(PTRACE_SETREGS, pid, 0, &regs), 0);
	}
	CHECK_EQ(stops, 4);
	CHECK_EQ(status, 0);
}

static void bad_programs(void)
{
	struct sock_filter no_return[] = {LOAD_NR};
	struct sock_filter jump_out[] = {BPF_JUMP(BPF_JMP | BPF_JA, 1, 0, 0),
					 RETURN(SECCOMP_RET_ALLOW)};
	struct sock_filter unaligned[] = {BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 2),
					  RETURN(SECCOMP_RET_ALLOW)};
	struct sock_filter outside[] = {BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 64),
					RETURN(SECCOMP_RET_ALLOW)};
	struct sock_filter by_zero[] = {BPF_STMT(BPF_ALU | BPF_DIV | BPF_K, 0),
					RETURN(SECCOMP_RET_ALLOW)};
	struct sock_filter unwritten[] = {BPF_STMT(BPF_LD | BPF_MEM, 3), RETURN(SECCOMP_RET_ALLOW)};
	struct sock_filter bytes[] = {BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 0),
				      RETURN(SECCOMP_RET_ALLOW)};
	struct sock_filter ok[] = {RETURN(SECCOMP_RET_ALLOW)};
	struct sock_fprog progs[] = {{1, no_return}, {2, jump_out}, {2, unaligned}, {2, outside},
				     {2, by_zero}, {2, unwritten}, {2, bytes}, {0, ok}, {5000, ok}};
	struct sock_fprog fine = {1, ok}, faulty = {1, (void *)8};

	for (size_t i = 0; i < sizeof(progs) / sizeof(progs[0]); i++)
		CHECK_ERR(install(&progs[i], 0), EINVAL);
	CHECK_ERR(install(NULL, 0), EFAULT);
	CHECK_ERR(install(&faulty, 0), EFAULT);
	CHECK_ERR(install(&fine, 0x1000), EINVAL);
	CHECK_ERR(syscall(SYS_seccomp, 99, 0, NULL), EINVAL);
	CHECK_ERR(prctl(PR_SET_SECCOMP, 7, NULL), EINVAL);
	CHECK_EQ(install(&fine, 0), 0);
	CHECK_ERR(prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT), EINVAL);
}

static void privilege(void)
{
	struct sock_filter ok[] = {RETURN(SECCOMP_RET_ALLOW)};
	struct sock_fprog fine = {1, ok};
	unsigned action = SECCOMP_RET_TRAP;
	int status;

	CHECK_EQ(syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &action), 0);
	action = 0x12340000;
	CHECK_ERR(syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &action), EOPNOTSUPP);
	CHECK_EQ(prctl(PR_GET_SECCOMP), 0);
	if (fork() == 0) {
		if (getuid() == 0 && setuid(65534))
			_exit(2);
		CHECK_ERR(install(&fine, 0), EACCES);
		_exit(check_status());
	}
	wait(&status);
	CHECK_EQ(status, 0);
}

int main(void)
{
	if (prctl(PR_GET_SECCOMP) != 0)
		CHECK_SKIP("already filtered");
	privilege();
	CHECK_EQ(in_child(errno_and_inheritance), 0);
	CHECK_EQ(in_child(cheap_calls_are_filtered), 0);
	CHECK_EQ(in_child(the_strictest_wins), 0);
	CHECK_EQ(in_child(arguments_are_seen), 0);
	CHECK_EQ(in_child(trap_is_sigsys), 0);
	CHECK_EQ(in_child(trap_without_handler_kills), SIGSYS);
	CHECK_EQ(in_child(kill_process), SIGSYS);
	CHECK_EQ(in_child(kill_thread_spares_the_others), 0);
	CHECK_EQ(in_child(strict_mode), SIGKILL);
	CHECK_EQ(in_child(strict_exit), 5 << 8);
	CHECK_EQ(in_child(tsync_reaches_siblings), 0);
	tsync_brings_no_new_privs();
	CHECK_EQ(in_child(the_tracer_is_asked), 0);
	CHECK_EQ(in_child(bad_programs), 0);
	return check_status();
}
