/* Lines of trace, with this process's own memory for the guest's. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "abi/linux/unistd.h"
#include "sentry/kernel/restart.h"
#include "sentry/kernel/task.h"
#include "sentry/mm/usercopy.h"
#include "sentry/strace/strace.h"

#define BAD_POINTER 0x10UL

/* By the kernel, which stops at a page that isn't there. */
ssize_t copy_from_guest_partial(struct task *t, void *dst, struct gptr src, size_t n)
{
	struct iovec local = {dst, n}, remote = {(void *)src.v, n};
	size_t whole = 4096 - (src.v & 4095);

	if (process_vm_readv(getpid(), &local, 1, &remote, 1, 0) == (ssize_t)n)
		return (ssize_t)n;
	local.iov_len = remote.iov_len = whole < n ? whole : n;
	return process_vm_readv(getpid(), &local, 1, &remote, 1, 0) > 0 ? (ssize_t)local.iov_len :
									  -EFAULT;
}

int copy_from_guest(struct task *t, void *dst, struct gptr src, size_t n)
{
	return copy_from_guest_partial(t, dst, src, n) == (ssize_t)n ? 0 : -EFAULT;
}

int get_guest_u32(struct task *t, uint32_t *out, struct gptr src)
{
	return copy_from_guest(t, out, src, 4);
}

int get_guest_u64(struct task *t, uint64_t *out, struct gptr src)
{
	return copy_from_guest(t, out, src, 8);
}

static struct task task = {.tid = 7};
static int pipe_fds[2];

static void start(void)
{
	cr_assert_eq(pipe2(pipe_fds, O_NONBLOCK), 0);
	strace_init(pipe_fds[1], 8);
}

static void expect_output(const char *want)
{
	static char got[16384];
	ssize_t n = read(pipe_fds[0], got, sizeof(got) - 1);
	char squeezed[16384], *to = squeezed;

	got[n > 0 ? n : 0] = '\0';
	for (char *from = got; *from; from++) /* results stand in a column */
		if (!(from[0] == ' ' && from[1] == ' '))
			*to++ = *from;
	*to = '\0';
	cr_expect_str_eq(squeezed, want);
}

static void call(int64_t result, uint64_t nr, uint64_t a, uint64_t b, uint64_t c, uint64_t d,
		 uint64_t e, uint64_t f)
{
	uint64_t args[6] = {a, b, c, d, e, f};

	strace_enter(&task, nr, args);
	strace_exit(&task, nr, args, result);
}

#define P(p) ((uint64_t)(p))
#define CALL(result, nr, ...) CALL_(result, nr, __VA_ARGS__, 0, 0, 0, 0, 0, 0)
#define CALL_(result, nr, a, b, c, d, e, f, ...) call(result, nr, P(a), P(b), P(c), P(d), P(e), P(f))

Test(strace, numbers_flags_and_paths, .init = start)
{
	CALL(3, __NR_openat, AT_FDCWD, "/etc/passwd", O_RDONLY | O_CLOEXEC, 0);
	expect_output("[pid 7] openat(AT_FDCWD, \"/etc/passwd\", O_RDONLY|O_CLOEXEC) = 3\n");
	CALL(-ENOENT, __NR_openat, 5, "x", O_RDWR | O_CREAT | O_TRUNC, 0644);
	expect_output("[pid 7] openat(5, \"x\", O_RDWR|O_CREAT|O_TRUNC, 0644) = -1 ENOENT "
		      "(No such file or directory)\n");
	CALL(0x7f0000001000, __NR_mmap, 0, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
	     -1, 0);
	expect_output("[pid 7] mmap(NULL, 4096, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, "
		      "0) = 0x7f0000001000\n");
	CALL(0, __NR_fcntl, 1, F_GETFD, 77);
	expect_output("[pid 7] fcntl(1, F_GETFD) = 0\n");
	CALL(5, __NR_fcntl, 1, F_DUPFD, 3);
	expect_output("[pid 7] fcntl(1, F_DUPFD, 3) = 5\n");
	CALL(0, __NR_kill, -1, SIGKILL);
	expect_output("[pid 7] kill(-1, SIGKILL) = 0\n");
}

Test(strace, buffers_are_escaped_and_cut, .init = start)
{
	CALL(4, __NR_write, 1, "a\n\"\001", 4);
	expect_output("[pid 7] write(1, \"a\\n\\\"\\1\", 4) = 4\n");
	CALL(12, __NR_write, 1, "0123456789ab", 12);
	expect_output("[pid 7] write(1, \"01234567\"..., 12) = 12\n");
	CALL(2, __NR_read, 0, "xyz", 100);
	expect_output("[pid 7] read(0, \"xy\", 100) = 2\n");
	CALL(-EFAULT, __NR_read, 0, BAD_POINTER, 100);
	expect_output("[pid 7] read(0, 0x10, 100) = -1 EFAULT (Bad address)\n");
	CALL(-EFAULT, __NR_chdir, BAD_POINTER);
	expect_output("[pid 7] chdir(0x10) = -1 EFAULT (Bad address)\n");
}

Test(strace, structures, .init = start)
{
	struct stat st = {.st_mode = S_IFREG | 0644, .st_size = 42};
	struct timespec ts = {1, 5};
	struct sockaddr_un un = {AF_UNIX, "/run/x"};
	struct iovec iov[] = {{(char[]){"ab"}, 2}, {(char[]){"cd"}, 2}};
	const char *argv[] = {"ls", "-l", NULL}, *envp[] = {"A=1", NULL};
	uint64_t set = 1 << (SIGINT - 1) | 1 << (SIGCHLD - 1);
	int status = 3 << 8;

	CALL(0, __NR_fstat, 1, &st);
	expect_output("[pid 7] fstat(1, {st_mode=S_IFREG|0644, st_size=42, ...}) = 0\n");
	CALL(0, __NR_nanosleep, &ts, 0);
	expect_output("[pid 7] nanosleep({tv_sec=1, tv_nsec=5}, NULL) = 0\n");
	CALL(0, __NR_connect, 3, &un, sizeof(un));
	expect_output("[pid 7] connect(3, {sa_family=AF_UNIX, sun_path=\"/run/x\"}, 110) = 0\n");
	CALL(4, __NR_writev, 1, iov, 2);
	expect_output("[pid 7] writev(1, [{iov_base=\"ab\", iov_len=2}, {iov_base=\"cd\", "
		      "iov_len=2}], 2) = 4\n");
	CALL(3, __NR_readv, 1, iov, 2);
	expect_output("[pid 7] readv(1, [{iov_base=\"ab\", iov_len=2}, {iov_base=\"c\", "
		      "iov_len=2}], 2) = 3\n");
	CALL(0, __NR_rt_sigprocmask, SIG_BLOCK, &set, 0, 8);
	expect_output("[pid 7] rt_sigprocmask(SIG_BLOCK, [INT CHLD], NULL, 8) = 0\n");
	CALL(9, __NR_wait4, -1, &status, 0, 0);
	expect_output("[pid 7] wait4(-1, [{WIFEXITED(s) && WEXITSTATUS(s) == 3}], 0, NULL) = 9\n");
	CALL(0, __NR_execve, "/bin/ls", argv, envp);
	{
		char want[128];

		snprintf(want, sizeof(want),
			 "[pid 7] execve(\"/bin/ls\", [\"ls\", \"-l\"], %p /* 1 vars */) = 0\n",
			 (void *)envp);
		expect_output(want);
	}
}

Test(strace, a_sleeping_call_is_printed_in_two_halves, .init = start)
{
	uint64_t args[6] = {0, (uint64_t)"z", 1};

	strace_enter(&task, __NR_read, args);
	strace_sleep(&task);
	strace_sleep(&task);
	expect_output("[pid 7] read(0, <unfinished ...>\n");
	strace_exit(&task, __NR_read, args, 1);
	expect_output("[pid 7] <... read resumed>\"z\", 1) = 1\n");
	strace_enter(&task, __NR_pause, args);
	strace_sleep(&task);
	expect_output("[pid 7] pause( <unfinished ...>\n");
	strace_exit(&task, __NR_pause, args, -ERESTARTNOHAND);
	expect_output("[pid 7] <... pause resumed>) = ? ERESTARTNOHAND (To be restarted if no "
		      "handler)\n");
}

Test(strace, signals_exits_and_unknown_calls, .init = start)
{
	struct guest_siginfo info = {
		.si_signo = SIGSEGV, .si_code = SEGV_MAPERR, .fault.addr = 0x1234};
	uint64_t args[6] = {1, 2, 3, 4, 5, 6};

	strace_signal(&task, &info);
	expect_output("[pid 7] --- SIGSEGV {si_signo=SIGSEGV, si_code=SEGV_MAPERR, "
		      "si_addr=0x1234} ---\n");
	strace_enter(&task, __NR_exit_group, args);
	expect_output("[pid 7] exit_group(1) = ?\n");
	call(-ENOSYS, 5000, 1, 2, 3, 4, 5, 6);
	expect_output("[pid 7] syscall_0x1388(0x1, 0x2, 0x3, 0x4, 0x5, 0x6) = -1 ENOSYS "
		      "(Function not implemented)\n");
	strace_exited(&task, 1 << 8);
	expect_output("[pid 7] +++ exited with 1 +++\n");
	strace_exited(&task, SIGKILL);
	expect_output("[pid 7] +++ killed by SIGKILL +++\n");
}
