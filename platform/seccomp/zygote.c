/* Starts the zygote (what it does itself: stub/zygote.c) and learns from it how this host is. */
#include "platform/seccomp/impl.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include <x86intrin.h>

#include "abi/base/cleanup.h"
#include "abi/base/log.h"
#include "platform/host_limits.h"

#ifndef MFD_EXEC
#define MFD_EXEC 0x0010U
#endif

extern const char stub_elf[], stub_elf_end[];

/* The stub executable as a file. */
static int stub_file(int *out)
{
	size_t n = stub_elf_end - stub_elf;
	AUTO(fd) int fd = memfd_create("stub", MFD_CLOEXEC | MFD_EXEC);

	if (fd < 0 && errno == EINVAL)
		fd = memfd_create("stub", MFD_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (write(fd, stub_elf, n) != (ssize_t)n)
		return -EIO;
	*out = steal_fd(&fd);
	return 0;
}

/* sentry: the process to end with, or 0; paths: -1, or what goes to STUB_PATHS */
static _Noreturn void zygote_exec(int sock, int arena, int exe, int paths, pid_t sentry)
{
	static char name[] = "stub";
	char *const argv[] = {name, NULL}, *const envp[] = {NULL};
	sigset_t none;

	sock = fcntl(sock, F_DUPFD, STUB_PATHS_FD + 1);
	arena = fcntl(arena, F_DUPFD, STUB_PATHS_FD + 1);
	exe = fcntl(exe, F_DUPFD, STUB_PATHS_FD + 1);
	if (paths >= 0 && paths != STUB_PATHS_FD)
		dup2(paths, STUB_PATHS_FD);
	else if (paths >= 0)
		fcntl(paths, F_SETFD, 0);
	if (dup2(sock, STUB_SOCK) < 0 || dup2(arena, 1) < 0 || dup3(exe, 2, O_CLOEXEC) < 0)
		_exit(1);
	syscall(SYS_close_range, STUB_PATHS_FD + (paths >= 0), ~0U, 0);
	setpgid(0, 0);
	if (sentry && (prctl(PR_SET_PDEATHSIG, SIGKILL) || getppid() != sentry))
		_exit(1);
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	host_limits_set();
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	syscall(SYS_execveat, 2, "", argv, envp, AT_EMPTY_PATH);
	_exit(1);
}

/* Without a copy of our memory: we stand still until it has exec'd. */
static __attribute__((noinline)) pid_t zygote_vfork(int sock, int arena, int exe, int paths,
						     pid_t sentry)
{
	pid_t pid = vfork();

	if (pid == 0)
		zygote_exec(sock, arena, exe, paths, sentry);
	return pid;
}

static int hello_receive(int sock, struct zygote_hello *h, int *listener)
{
	struct iovec iov = {h, sizeof(*h)};
	union {
		struct cmsghdr h;
		char space[CMSG_SPACE(sizeof(int))];
	} c;
	struct msghdr m = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &c, .msg_controllen = sizeof(c)};
	struct pollfd pfd = {.fd = sock, .events = POLLIN};

	if (poll(&pfd, 1, 10000) != 1)
		return -ETIMEDOUT;
	if (recvmsg(sock, &m, MSG_CMSG_CLOEXEC) != sizeof(*h) || h->magic != ZYGOTE_MAGIC)
		return -EPROTO;
	if (m.msg_controllen >= CMSG_LEN(sizeof(int)) && c.h.cmsg_type == SCM_RIGHTS)
		memcpy(listener, CMSG_DATA(&c.h), sizeof(int));
	return 0;
}

/* Starts the process and does not wait for it. */
static int zygote_spawn(struct platform *p, struct zygote_birth *b)
{
	struct zygote_config *cfg = (void *)((uint8_t *)b->slot + SLOT_WINDOW);
	int exe_fd = -1, sock[2], r;

	r = stub_file(&exe_fd);
	if (r)
		return r;
	AUTO(fd) int exe = exe_fd;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sock) < 0)
		return -errno;
	AUTO(fd) int theirs = sock[1];
	AUTO(fd) int ours = sock[0];
	*cfg = (struct zygote_config){p->orphans_of, 1, 1, p->answers != NULL, ""};
	host_oom_score_raised(cfg->oom_score);
	b->first = zygote_vfork(theirs, b->space->arena_fd, exe, p->answers_fd, cfg->sentry);
	if (b->first < 0)
		return -errno;
	b->sock = steal_fd(&ours);
	return 0;
}

/* *status: the exit status of the process that was started; it is gone. */
static int zygote_wait(struct platform *p, struct zygote_birth *b, struct zygote_hello *h, int *status)
{
	int r = hello_receive(b->sock, h, &p->listener);

	if (r)
		kill(b->first, SIGKILL);
	waitpid(b->first, status, 0);
	if (r == 0) {
		close(b->space->sock);
		close(steal_fd(&b->space->their_sock));
		b->space->sock = steal_fd(&b->sock);
	} else {
		close(steal_fd(&b->sock));
	}
	return r;
}

static int zygote_expect(struct platform *p, struct zygote_birth *b, struct zygote_hello *h)
{
	int status = 0, r = -EIO;

	for (int i = 0; i < 10; i++) {
		r = i ? zygote_spawn(p, b) : 0;
		if (r == 0)
			r = zygote_wait(p, b, h, &status);
		if (r != -EPROTO || !WIFEXITED(status) || WEXITSTATUS(status) != ZYGOTE_RETRY)
			break;
	}
	if (r == 0 && h->err) {
		log_error("stub: step %u failed: %s", h->step, strerror(-h->err));
		r = h->err;
	} else if (r) {
		log_error("stub: did not start: %s, status %#x", strerror(-r), status);
	}
	return r;
}

/* The zygote as a space with one thread that has just trapped. */
static int zygote_enlist(struct platform *p, struct pf_space *s, struct pf_thread *t, pid_t first,
			 pid_t pid)
{
	int r = space_adopt(s, pid, first);

	if (r)
		return r;
	t->tid = pid;
	t->primary = true;
	r = handover_wait(t, WAIT_COMMANDS, 0);
	if (r == 0)
		r = frame_learn(t);
	if (r)
		return r;
	t->regs.eflags = 0x202;
	p->zygote = s;
	p->zygote_thread = t;
	thread_enlist(t);
	return 0;
}

int zygote_launch(struct platform *p)
{
	struct zygote_birth *b = &p->birth;
	int r = space_alloc(p, &b->space);

	if (r)
		return r;
	mutex_lock(&b->space->mu);
	r = arena_slot_locked(b->space, 0, &b->slot);
	mutex_unlock(&b->space->mu);
	if (r == 0)
		r = thread_alloc(b->space, 0, b->slot, &b->thread);
	if (r)
		return r;
	b->slot->state = SLOT_RUN;
	b->tsc = __rdtsc();
	b->ns = now_ns();
	return zygote_spawn(p, b);
}

int zygote_start(struct platform *p)
{
	struct zygote_birth *b = &p->birth;
	struct zygote_hello h = {0};
	struct pf_space *s = b->space;
	int r = zygote_expect(p, b, &h);

	if (r)
		return r;
	regime_start(p, b->tsc, b->ns);
	p->fsgsbase = h.fsgsbase;
	p->vdso = h.vdso;
	r = helper_start(p);
	if (r == 0)
		r = zygote_enlist(p, s, b->thread, b->first, h.pid);
	if (r)
		return r;
	p->process_vm = memory_probe(s);
	answers_started(p);
	log_debug("stub: listener %d, userns %u, vdso %#lx, fp %zu bytes, process_vm %d", p->listener,
		  h.userns, (unsigned long)h.vdso, p->fp_size, p->process_vm);
	space_put(s);
	return 0;
}
