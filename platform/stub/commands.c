/* The commands that the sentry gives a stopped thread. They run on the thread's alternate stack,
 * below its frame. */
#include <asm/unistd.h>
#include <linux/errno.h>
#include <linux/futex.h>

#include "platform/stub/stub.h"

struct stub_iovec {
	void *base;
	uint64_t len;
};

struct stub_msghdr {
	void *name;
	uint32_t namelen;
	struct stub_iovec *iov;
	uint64_t iovlen;
	void *control;
	uint64_t controllen;
	uint32_t flags;
};

struct stub_cmsg {
	uint64_t len;
	int32_t level, type;
	int32_t fd[4];
};

#define STUB_MSG_DONTWAIT 0x40

/* Receives exactly n descriptors; the sentry has sent them before it gave the command. */
static long receive_fds(int *fd, unsigned n)
{
	struct stub_cmsg c;
	char byte;
	struct stub_iovec iov = {&byte, 1};
	struct stub_msghdr m = {0};
	unsigned got;
	long r;

	m.iov = &iov;
	m.iovlen = 1;
	m.control = &c;
	m.controllen = sizeof(c);
	c.len = 0;
	r = sys3(__NR_recvmsg, STUB_SOCK, &m, STUB_MSG_DONTWAIT);
	if (r < 0)
		return r;
	got = m.controllen < 16 || c.len < 16 ? 0 : (c.len - 16) / 4;
	for (unsigned i = 0; i < got && i < 4; i++) {
		if (i < n && got >= n)
			fd[i] = c.fd[i];
		else
			sys1(__NR_close, c.fd[i]);
	}
	return got == n ? 0 : -EMFILE;
}

static long mmap_fd(const struct slot_cmd *c)
{
	int fd;
	long r = receive_fds(&fd, 1);

	if (r)
		return r;
	r = sys6(__NR_mmap, c->a[0], c->a[1], c->a[2], c->a[3], fd, c->a[5]);
	sys1(__NR_close, fd);
	return r;
}

static long keep_fd(void)
{
	int fd;
	long r = receive_fds(&fd, 1);

	return r ? r : fd;
}

static long fork_space(const struct slot_cmd *c)
{
	int fd[2];
	long r = receive_fds(fd, 2);

	if (r)
		return r;
	r = stub_fork(STUB_CLONE_PROCESS, fd[0], fd[1], c->a[0], c->a[1]);
	sys1(__NR_close, fd[0]);
	sys1(__NR_close, fd[1]);
	return r;
}

static int64_t run_command(struct slot *s, struct slot_cmd *c)
{
	uint64_t window = (uint64_t)s + SLOT_WINDOW;

	switch (c->op) {
	case CMD_MMAP_FD:
		return mmap_fd(c);
	case CMD_KEEP_FD:
		return keep_fd();
	case CMD_FORK:
		return fork_space(c);
	case CMD_THREAD:
		return stub_clone(STUB_CLONE_THREAD, (c->a[0] - 256) & ~15UL, stub_child,
				  c->a[0]);
	case CMD_EXIT:
		stub_exit();
	case CMD_CMPXCHG32:
		return stub_cmpxchg32(c->a[0], c->a[1], c->a[2]);
	case CMD_COPY_IN:
		return stub_copy(window, c->a[0], c->a[1]);
	case CMD_COPY_OUT:
		return stub_copy(c->a[0], window, c->a[1]);
	case CMD_WAKE:
		return sys3(__NR_futex, c->a[0], c->a[2], c->a[1]);
	case CMD_PAUSE:
		for (;;)
			sys0(__NR_sched_yield);
	default:
		return sys6(c->op, c->a[0], c->a[1], c->a[2], c->a[3], c->a[4], c->a[5]);
	}
}

void stub_run_commands(struct slot *s)
{
	uint32_t n = s->ncmd;

	for (uint32_t i = 0; i < n && i < SLOT_CMDS; i++)
		s->cmd[i].ret = run_command(s, &s->cmd[i]);
}
