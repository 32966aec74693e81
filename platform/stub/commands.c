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
	int32_t fd[SLOT_FDS];
};

/* Descriptors of the last message that no command of this hand-over has taken yet. */
struct fds {
	int fd[SLOT_FDS];
	unsigned n, next;
	int lost; /* a message came incomplete: nobody knows whose they are */
};

#define STUB_MSG_CTRUNC 0x8
#define STUB_MSG_DONTWAIT 0x40

static void fds_close(struct fds *f)
{
	while (f->next < f->n)
		sys1(__NR_close, f->fd[f->next++]);
}

/* The sentry has sent the message before it gave the command. */
static long fds_receive(struct fds *f)
{
	struct stub_cmsg c;
	char byte;
	struct stub_iovec iov = {&byte, 1};
	struct stub_msghdr m = {0};
	long r;

	m.iov = &iov;
	m.iovlen = 1;
	m.control = &c;
	m.controllen = sizeof(c);
	c.len = 0;
	r = sys3(__NR_recvmsg, STUB_SOCK, &m, STUB_MSG_DONTWAIT);
	if (r < 0)
		return r;
	f->next = 0;
	f->n = m.controllen < 16 || c.len < 16 ? 0 : (c.len - 16) / 4;
	if (f->n > SLOT_FDS)
		f->n = SLOT_FDS;
	for (unsigned i = 0; i < f->n; i++)
		f->fd[i] = c.fd[i];
	if (m.flags & STUB_MSG_CTRUNC) {
		f->lost = f->n != 0;
		fds_close(f);
	}
	return f->next < f->n ? 0 : -EMFILE;
}

static long fd_take(struct fds *f, int *fd)
{
	if (f->lost)
		return -EMFILE;
	if (f->next == f->n) {
		long r = fds_receive(f);

		if (r)
			return r;
	}
	*fd = f->fd[f->next++];
	return 0;
}

static long mmap_fd(const struct slot_cmd *c, struct fds *f)
{
	int fd;
	long r = fd_take(f, &fd);

	if (r)
		return r;
	r = sys6(__NR_mmap, c->a[0], c->a[1], c->a[2], c->a[3], fd, c->a[5]);
	sys1(__NR_close, fd);
	return r;
}

static long keep_fd(struct fds *f)
{
	int fd;
	long r = fd_take(f, &fd);

	return r ? r : fd;
}

static long fork_space(const struct slot_cmd *c, struct fds *f)
{
	int arena, sock;
	long r = fd_take(f, &arena);

	if (r)
		return r;
	r = fd_take(f, &sock);
	if (r == 0) {
		r = stub_fork(STUB_CLONE_PROCESS, arena, sock, c->a[0], c->a[1]);
		sys1(__NR_close, sock);
	}
	sys1(__NR_close, arena);
	return r;
}

static int64_t run_command(struct slot *s, struct slot_cmd *c, struct fds *f)
{
	uint64_t window = (uint64_t)s + SLOT_WINDOW;

	switch (c->op) {
	case CMD_MMAP_FD:
		return mmap_fd(c, f);
	case CMD_KEEP_FD:
		return keep_fd(f);
	case CMD_FORK:
		return fork_space(c, f);
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
	struct fds f;

	f.n = f.next = f.lost = 0;
	for (uint32_t i = 0; i < n && i < SLOT_CMDS; i++)
		s->cmd[i].ret = run_command(s, &s->cmd[i], &f);
	fds_close(&f);
}
