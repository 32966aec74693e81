/* Sending and receiving: send(2), recv(2) and their cousins. The loops that block are here. */
#include <errno.h>
#include <poll.h>
#include <string.h>

#include "sentry/kernel/file_wait.h"
#include "sentry/kernel/restart.h"
#include "sentry/kernel/task.h"
#include "sentry/mm/usercopy.h"
#include "sentry/net/socket.h"
#include "sentry/net/socket_impl.h"
#include "sentry/syscalls/syscalls.h"
#include "sentry/time/clock.h"

#define MMSG_MAX 1024

uint64_t socket_deadline(uint64_t timeo_ns)
{
	return timeo_ns ? deadline_after(timeo_ns) : DEADLINE_NEVER;
}

/* A call with a timeout can't be restarted: the time would begin anew. */
static int64_t interrupted(int64_t r, uint64_t timeo_ns)
{
	return r == -ERESTARTSYS && timeo_ns ? -EINTR : r;
}

/* ---- waiting -------------------------------------------------------------------------------- */

static int64_t send_op(struct file *f, void *arg)
{
	struct socket *s = f->priv;
	struct sock_msg *m = arg;

	if (m->blocked_on)
		s->ops->put(steal(&m->blocked_on));
	return s->ops->try_send(s, m);
}

static int64_t recv_op(struct file *f, void *arg)
{
	struct socket *s = f->priv;

	return s->ops->try_recv(s, arg);
}

/* Room in another socket's queue, which try_send named: wait there. */
static int wait_room(struct task *t, struct file *f, struct sock_msg *m, uint64_t deadline,
		     int64_t *r)
{
	struct socket *s = f->priv, *full = steal(&m->blocked_on);
	struct task_waiter w;
	int err = 0;

	task_waiter_init(&w, t, SOCK_SPACE);
	waitq_add(&full->wq, &w.w);
	for (;;) {
		uint32_t seq = task_wake_prepare(t);

		*r = send_op(f, m);
		if (*r != -EAGAIN || m->blocked_on != full)
			break;
		err = task_block(t, seq, deadline);
		if (err)
			break;
	}
	waitq_remove(&w.w);
	s->ops->put(full);
	return err;
}

/* One try after the other until something went out. */
static int64_t send_some(struct task *t, struct file *f, struct sock_msg *m, uint64_t deadline)
{
	struct socket *s = f->priv;
	int64_t r = send_op(f, m);

	while (r == -EAGAIN && !file_nonblock(f, m->flags)) {
		int err = 0;

		if (m->blocked_on)
			err = wait_room(t, f, m, deadline, &r);
		else
			r = file_wait_op(t, f, POLLOUT, false, deadline, send_op, m);
		if (err == -EINTR)
			r = -ERESTARTSYS;
		if (err || (r == -EAGAIN && !m->blocked_on))
			break;
	}
	if (m->blocked_on)
		s->ops->put(steal(&m->blocked_on));
	return r;
}

int64_t socket_send(struct task *t, struct file *f, struct sock_msg *m)
{
	struct socket *s = f->priv;
	uint64_t timeo = atomic_load_explicit(&s->sndtimeo, memory_order_relaxed);
	uint64_t deadline = socket_deadline(timeo);
	int64_t total = 0, r;

	m->t = t;
	do {
		r = send_some(t, f, m, deadline);
		if (r < 0)
			break;
		total += r;
	} while (s->type == SOCK_STREAM && r && m->data->resid && !socket_file_failed(f));
	if (total)
		return total;
	if (r == -EPIPE && s->type == SOCK_STREAM && !(m->flags & MSG_NOSIGNAL))
		socket_sigpipe();
	return interrupted(r, timeo);
}

int64_t socket_recv(struct task *t, struct file *f, struct sock_msg *m)
{
	struct socket *s = f->priv;
	uint64_t timeo = atomic_load_explicit(&s->rcvtimeo, memory_order_relaxed);
	uint64_t deadline = socket_deadline(timeo);
	int64_t total = 0, want = 1, r;

	m->t = t;
	if (s->type == SOCK_STREAM && !(m->flags & MSG_PEEK))
		want = m->flags & MSG_WAITALL ? (int64_t)m->data->resid : atomic_load(&s->rcvlowat);
	do {
		r = file_wait_op(t, f, POLLIN, file_nonblock(f, m->flags), deadline, recv_op, m);
		if (r <= 0)
			break;
		total += r;
		/* What came with descriptors or from someone else is not glued to the rest. */
	} while (total < want && m->data->resid && !m->scm.rights && !m->scm.has_cred);
	return total ? total : interrupted(r, timeo);
}

/* ---- addresses ------------------------------------------------------------------------------ */

int sock_addr_from_guest(struct task *t, struct gptr src, int len, struct sock_addr *out)
{
	if (len < 0 || len > LINUX_SOCKADDR_MAX)
		return -EINVAL;
	memset(out, 0, sizeof(*out));
	out->len = (uint32_t)len;
	return len ? copy_from_guest(t, out->raw, src, (size_t)len) : 0;
}

int sock_addr_to_guest(struct task *t, const struct sock_addr *a, struct gptr dst,
		       struct gptr ulen)
{
	uint32_t room;
	int err = get_guest_u32(t, &room, ulen);

	if (err)
		return err;
	if ((int32_t)room < 0)
		return -EINVAL;
	if (room > a->len)
		room = a->len;
	if (room && copy_to_guest(t, dst, a->raw, room))
		return -EFAULT;
	return put_guest_u32(t, ulen, a->len);
}

/* ---- one buffer ----------------------------------------------------------------------------- */

int64_t sys_sendto(struct task *t, int fd, struct gptr buf, uint64_t len, unsigned int flags,
		   struct gptr addr, unsigned int addrlen)
{
	AUTO(file) struct file *f = NULL;
	struct sock_msg m = {.flags = flags};
	struct guest_uio u;
	struct socket *s;
	int64_t r = socket_get(t, fd, &f, &s);

	if (r)
		return r;
	if (!gptr_null(addr)) {
		r = sock_addr_from_guest(t, addr, (int)addrlen, &m.name);
		if (r)
			return r;
	}
	r = guest_uio_init(&u, t, buf, len);
	if (r)
		return r;
	m.data = &u.u;
	scm_cred_of(t, &m.scm.cred);
	r = socket_send(t, f, &m);
	guest_uio_fini(&u);
	return r;
}

int64_t sys_recvfrom(struct task *t, int fd, struct gptr buf, uint64_t len, unsigned int flags,
		     struct gptr addr, struct gptr addrlen)
{
	AUTO(file) struct file *f = NULL;
	struct sock_msg m = {.flags = flags};
	struct guest_uio u;
	struct socket *s;
	int64_t r = socket_get(t, fd, &f, &s);
	int err;

	if (r)
		return r;
	r = guest_uio_init(&u, t, buf, len);
	if (r)
		return r;
	m.data = &u.u;
	r = socket_recv(t, f, &m);
	guest_uio_fini(&u);
	scm_rights_put(m.scm.rights);
	if (r >= 0 && !gptr_null(addr)) {
		err = sock_addr_to_guest(t, &m.name, addr, addrlen);
		if (err)
			return err;
	}
	return r;
}

/* ---- struct msghdr -------------------------------------------------------------------------- */

static int msghdr_check(const struct linux_msghdr *h)
{
	if (h->msg_name && h->msg_namelen < 0)
		return -EINVAL;
	if (h->msg_iovlen > LINUX_UIO_MAXIOV)
		return -EMSGSIZE;
	return 0;
}

static int64_t send_msghdr(struct task *t, struct file *f, const struct linux_msghdr *h,
			   uint32_t flags)
{
	struct sock_msg m = {.flags = flags};
	struct guest_uio u;
	int64_t r = msghdr_check(h);

	if (r)
		return r;
	if (h->msg_name) {
		int len = h->msg_namelen > LINUX_SOCKADDR_MAX ? LINUX_SOCKADDR_MAX : h->msg_namelen;

		r = sock_addr_from_guest(t, gptr(h->msg_name), len, &m.name);
		if (r)
			return r;
	}
	scm_cred_of(t, &m.scm.cred);
	if (h->msg_controllen) {
		r = scm_from_guest(t, gptr(h->msg_control), h->msg_controllen, &m.scm);
		if (r)
			return r;
	}
	r = guest_uio_init_iov(&u, t, gptr(h->msg_iov), h->msg_iovlen);
	if (!r) {
		m.data = &u.u;
		r = socket_send(t, f, &m);
		guest_uio_fini(&u);
	}
	scm_rights_put(m.scm.rights);
	return r;
}

int64_t sys_sendmsg(struct task *t, int fd, struct gptr msg, unsigned int flags)
{
	AUTO(file) struct file *f = NULL;
	struct linux_msghdr h;
	struct socket *s;
	int err = socket_get(t, fd, &f, &s);

	if (!err)
		err = get_guest(t, &h, msg);
	return err ? err : send_msghdr(t, f, &h, flags);
}

/* Writes back what recvmsg(2) changes in the header. */
static int put_msghdr(struct task *t, struct gptr at, const struct linux_msghdr *h)
{
	if (put_guest_u32(t, gptr_add(at, offsetof(struct linux_msghdr, msg_namelen)),
			  (uint32_t)h->msg_namelen) ||
	    put_guest_u64(t, gptr_add(at, offsetof(struct linux_msghdr, msg_controllen)),
			  h->msg_controllen) ||
	    put_guest_u32(t, gptr_add(at, offsetof(struct linux_msghdr, msg_flags)), h->msg_flags))
		return -EFAULT;
	return 0;
}

static int put_msg_name(struct task *t, struct linux_msghdr *h, const struct sock_addr *name)
{
	uint32_t n = name->len;

	if (!h->msg_name)
		return 0;
	if (n > (uint32_t)h->msg_namelen)
		n = (uint32_t)h->msg_namelen;
	h->msg_namelen = (int32_t)name->len;
	return n ? copy_to_guest(t, gptr(h->msg_name), name->raw, n) : 0;
}

static int64_t recv_msghdr(struct task *t, struct file *f, struct gptr at, uint32_t flags)
{
	struct sock_msg m = {.flags = flags};
	struct linux_msghdr h;
	struct guest_uio u;
	int64_t r = get_guest(t, &h, at);
	int err;

	if (!r)
		r = msghdr_check(&h);
	if (!r)
		r = guest_uio_init_iov(&u, t, gptr(h.msg_iov), h.msg_iovlen);
	if (r)
		return r;
	m.data = &u.u;
	r = socket_recv(t, f, &m);
	guest_uio_fini(&u);
	if (r < 0) {
		scm_rights_put(m.scm.rights);
		return r;
	}
	h.msg_flags = m.out_flags | (flags & MSG_CMSG_CLOEXEC);
	scm_to_guest(t, &m.scm, m.items, m.nitems, gptr(h.msg_control), &h.msg_controllen,
		     flags & MSG_CMSG_CLOEXEC, &h.msg_flags);
	/* What fails from here on has been received, descriptors too. */
	err = put_msg_name(t, &h, &m.name);
	if (!err)
		err = put_msghdr(t, at, &h);
	return err ? err : r;
}

int64_t sys_recvmsg(struct task *t, int fd, struct gptr msg, unsigned int flags)
{
	AUTO(file) struct file *f = NULL;
	struct socket *s;
	int err = socket_get(t, fd, &f, &s);

	return err ? err : recv_msghdr(t, f, msg, flags);
}

/* ---- several messages ----------------------------------------------------------------------- */

static struct gptr mmsg_at(struct gptr vec, unsigned i)
{
	return gptr_add(vec, (uint64_t)i * sizeof(struct linux_mmsghdr));
}

static int put_mmsg_len(struct task *t, struct gptr at, int64_t n)
{
	return put_guest_u32(t, gptr_add(at, offsetof(struct linux_mmsghdr, msg_len)), (uint32_t)n);
}

int64_t sys_sendmmsg(struct task *t, int fd, struct gptr msgvec, unsigned int vlen,
		     unsigned int flags)
{
	AUTO(file) struct file *f = NULL;
	struct socket *s;
	unsigned i = 0;
	int64_t r = socket_get(t, fd, &f, &s);

	if (r)
		return r;
	if (vlen > MMSG_MAX)
		vlen = MMSG_MAX;
	for (; i < vlen; i++) {
		struct gptr at = mmsg_at(msgvec, i);
		struct linux_msghdr h;

		r = get_guest(t, &h, at);
		if (!r)
			r = send_msghdr(t, f, &h, flags);
		if (r >= 0)
			r = put_mmsg_len(t, at, r);
		if (r < 0)
			break;
	}
	return i ? (int64_t)i : r;
}

int64_t sys_recvmmsg(struct task *t, int fd, struct gptr msgvec, unsigned int vlen,
		     unsigned int flags, struct gptr timeout)
{
	AUTO(file) struct file *f = NULL;
	uint64_t deadline;
	struct socket *s;
	unsigned i = 0;
	int64_t r = socket_get(t, fd, &f, &s);

	if (!r)
		r = get_guest_timeout(t, timeout, &deadline);
	if (!r)
		r = socket_take_error(s);
	if (r)
		return r;
	if (vlen > MMSG_MAX)
		vlen = MMSG_MAX;
	for (; i < vlen; i++) {
		struct gptr at = mmsg_at(msgvec, i);

		r = recv_msghdr(t, f, at, flags & ~(uint32_t)MSG_WAITFORONE);
		if (r >= 0)
			r = put_mmsg_len(t, at, r);
		if (r < 0)
			break;
		if (flags & MSG_WAITFORONE)
			flags |= MSG_DONTWAIT;
		/* The timeout is looked at between messages only: recvmmsg(2), BUGS. */
		if (deadline != DEADLINE_NEVER && !deadline_left(deadline)) {
			i++;
			break;
		}
	}
	if (!gptr_null(timeout) && i &&
	    put_guest_timespec(t, timeout, deadline_left(deadline)))
		return -EFAULT;
	return i ? (int64_t)i : r;
}
