/* The file side of sockets. */
#include "sentry/net/socket.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "sentry/kernel/fdtable.h"
#include "sentry/kernel/signal.h"
#include "sentry/kernel/task.h"
#include "sentry/mm/usercopy.h"
#include "sentry/net/socket_impl.h"
#include "vfs/anon.h"
#include "vfs/cred.h"
#include "vfs/file.h"
#include "vfs/inode.h"
#include "vfs/uio.h"

void socket_init(struct socket *s, const struct socket_ops *ops, int domain, int type, int protocol)
{
	*s = (struct socket){.ops = ops, .domain = domain, .type = type, .protocol = protocol};
	waitq_init(&s->wq);
	atomic_init(&s->sndbuf, SOCK_BUF_DEFAULT);
	atomic_init(&s->rcvbuf, SOCK_BUF_DEFAULT);
	atomic_init(&s->rcvlowat, 1);
	atomic_init(&s->incoming_cpu, -1);
	atomic_init(&s->peek_off, -1);
	atomic_init(&s->pacing_rate, UINT64_MAX);
}

void socket_fini(struct socket *s)
{
	waitq_destroy(&s->wq);
}

void socket_sigpipe(void)
{
	struct guest_siginfo info;

	if (!current_task)
		return;
	siginfo_user(&info, SIGPIPE, current_task);
	signal_send_task(current_task, &info);
}

static ssize_t sock_file_read(struct file *f, struct uio *dst, uint64_t off)
{
	struct socket *s = f->priv;
	struct sock_msg m = {.t = current_task, .data = dst};
	ssize_t r;

	if (!dst->resid && s->type == SOCK_STREAM)
		return 0;
	r = s->ops->try_recv(s, &m);
	scm_rights_put(m.scm.rights);
	return r;
}

static ssize_t sock_file_write(struct file *f, struct uio *src, uint64_t off, uint64_t *end)
{
	struct socket *s = f->priv;
	struct sock_msg m = {.t = current_task, .data = src};
	ssize_t r;

	scm_cred_of(current_task, &m.scm.cred);
	r = s->ops->try_send(s, &m);
	if (m.blocked_on)
		s->ops->put(m.blocked_on);
	return r;
}

static uint32_t sock_file_poll(struct file *f)
{
	struct socket *s = f->priv;

	return s->ops->poll(s);
}

static struct waitq *sock_file_waitq(struct file *f)
{
	return &((struct socket *)f->priv)->wq;
}

static int64_t sock_file_ioctl(struct file *f, struct task *t, unsigned cmd, uint64_t arg)
{
	struct socket *s = f->priv;
	int bytes, err;

	switch (cmd) {
	case SIOCINQ:
	case SIOCOUTQ:
		if (!s->ops->queued)
			return -ENOTTY;
		err = s->ops->queued(s, cmd == SIOCOUTQ, &bytes);
		return err ? err : put_guest_u32(t, gptr(arg), (uint32_t)bytes);
	case SIOCATMARK:
		return s->type == SOCK_STREAM ? put_guest_u32(t, gptr(arg), 0) : -EINVAL;
	}
	return netdev_ioctl(t, cmd, arg);
}

static void sock_file_release(struct file *f)
{
	struct socket *s = f->priv;

	s->ops->release(s);
}

static const struct file_ops socket_file_ops = {
	.read = sock_file_read,
	.write = sock_file_write,
	.poll = sock_file_poll,
	.waitq = sock_file_waitq,
	.ioctl = sock_file_ioctl,
	.release = sock_file_release,
};

int socket_file_new(struct socket *s, int flags, const struct cred *cred, struct file **out)
{
	AUTO(inode) struct inode *inode = NULL;
	uint32_t mode = FILE_READ | FILE_WRITE | (s->type == SOCK_STREAM ? FILE_STREAM : 0u);
	int err = anon_inode_new(S_IFSOCK | 0777, cred, &inode);

	if (!err)
		err = file_new_anon_inode("socket", inode, &socket_file_ops, s,
					  O_RDWR | (flags & O_NONBLOCK), mode, cred, out);
	if (err)
		s->ops->release(s);
	else
		s->file = *out;
	return err;
}

struct socket *file_socket(const struct file *f)
{
	return f->ops == &socket_file_ops ? f->priv : NULL;
}

uint64_t socket_file_timeout(const struct file *f, bool write)
{
	struct socket *s = file_socket(f);

	return s ? atomic_load_explicit(write ? &s->sndtimeo : &s->rcvtimeo, memory_order_relaxed)
		 : 0;
}

bool socket_file_failed(const struct file *f)
{
	struct socket *s = file_socket(f);

	return s && atomic_load_explicit(&s->error, memory_order_relaxed);
}

void socket_file_broken(const struct file *f)
{
	struct socket *s = file_socket(f);

	if (s && s->type == SOCK_STREAM)
		socket_sigpipe();
}

int socket_get(struct task *t, int fd, struct file **f, struct socket **out)
{
	int err = fdtable_get(t->files, fd, f);

	if (err)
		return err;
	*out = file_socket(*f);
	return *out ? 0 : -ENOTSOCK;
}
