/* System calls that make, name and connect sockets. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>

#include "sentry/ipc/fd_publish.h"
#include "sentry/kernel/file_wait.h"
#include "sentry/kernel/restart.h"
#include "sentry/mm/usercopy.h"
#include "sentry/net/socket.h"
#include "sentry/net/socket_impl.h"
#include "sentry/syscalls/syscalls.h"

#define OPT_MAX 256 /* bytes of any option */

static const struct sock_family *family_of(int domain)
{
	switch (domain) {
	case AF_UNIX:
		return &unix_family;
	case AF_INET:
	case AF_INET6:
		return &inet_family;
	case AF_NETLINK:
		return &netlink_family;
	}
	return NULL;
}

/* Splits the type from its flags: -EINVAL. */
static int type_split(int *type, int *file_flags, bool *cloexec)
{
	int flags = *type & ~0xf;

	if (flags & ~(SOCK_CLOEXEC | SOCK_NONBLOCK))
		return -EINVAL;
	*type &= 0xf;
	*cloexec = flags & SOCK_CLOEXEC;
	*file_flags = flags & SOCK_NONBLOCK ? O_NONBLOCK : 0;
	return 0;
}

static int socket_create(struct task *t, int domain, int type, int protocol, struct socket **out)
{
	const struct sock_family *fam = family_of(domain);

	if (domain < 0 || domain >= AF_MAX)
		return -EAFNOSUPPORT;
	if (type <= 0 || type > SOCK_PACKET)
		return -EINVAL;
	return fam ? fam->create(t, domain, type, protocol, out) : -EAFNOSUPPORT;
}

int64_t sys_socket(struct task *t, int domain, int type, int protocol)
{
	struct socket *s;
	struct file *f;
	bool cloexec;
	int flags, err = type_split(&type, &flags, &cloexec);

	if (!err)
		err = socket_create(t, domain, type, protocol, &s);
	if (!err)
		err = socket_file_new(s, flags, t->cred, &f);
	return err ? err : fd_publish(t, f, cloexec);
}

static int pair_files(struct task *t, int domain, int type, int protocol, int flags,
		      struct file *f[2])
{
	struct socket *a, *b;
	int err = socket_create(t, domain, type, protocol, &a);

	if (err)
		return err;
	if (!family_of(domain)->pair) {
		a->ops->release(a);
		return -EOPNOTSUPP;
	}
	err = socket_create(t, domain, type, protocol, &b);
	if (err) {
		a->ops->release(a);
		return err;
	}
	err = family_of(domain)->pair(t, a, b);
	if (err) {
		a->ops->release(a);
		b->ops->release(b);
		return err;
	}
	err = socket_file_new(a, flags, t->cred, &f[0]);
	if (err) {
		b->ops->release(b);
		return err;
	}
	err = socket_file_new(b, flags, t->cred, &f[1]);
	if (err)
		file_put(f[0]);
	return err;
}

int64_t sys_socketpair(struct task *t, int domain, int type, int protocol, struct gptr fds)
{
	struct file *f[2];
	int fd[2], flags;
	bool cloexec;
	int err = type_split(&type, &flags, &cloexec);

	if (!err)
		err = fd_reserve_pair(t, fds, fd);
	if (err)
		return err;
	err = pair_files(t, domain, type, protocol, flags, f);
	return fd_settle_pair(t, fd, err, f, cloexec);
}

int64_t sys_bind(struct task *t, int fd, struct gptr addr, unsigned int addrlen)
{
	AUTO(file) struct file *f = NULL;
	struct sock_addr a;
	struct socket *s;
	int err = socket_get(t, fd, &f, &s);

	if (!err)
		err = sock_addr_from_guest(t, addr, (int)addrlen, &a);
	return err ? err : s->ops->bind(s, t, &a);
}

int64_t sys_connect(struct task *t, int fd, struct gptr addr, unsigned int addrlen)
{
	AUTO(file) struct file *f = NULL;
	struct sock_addr a;
	struct socket *s;
	int err = socket_get(t, fd, &f, &s);

	if (!err)
		err = sock_addr_from_guest(t, addr, (int)addrlen, &a);
	return err ? err : s->ops->connect(s, t, &a, file_nonblock(f, 0));
}

int64_t sys_listen(struct task *t, int fd, int backlog)
{
	AUTO(file) struct file *f = NULL;
	struct socket *s;
	int err = socket_get(t, fd, &f, &s);

	if (err)
		return err;
	if (backlog < 0 || backlog > SOMAXCONN)
		backlog = SOMAXCONN;
	return s->ops->listen ? s->ops->listen(s, t, backlog) : -EOPNOTSUPP;
}

struct accept_arg {
	struct socket *out;
	struct sock_addr addr;
};

static int64_t accept_op(struct file *f, void *arg)
{
	struct socket *s = f->priv;
	struct accept_arg *a = arg;

	return s->ops->try_accept(s, &a->out, &a->addr);
}

/* A connection that is taken and whose address can't be told is lost, as with Linux. */
static int accept_file(struct task *t, struct file *f, struct gptr addr, struct gptr addrlen, int flags,
		       struct file **out)
{
	struct socket *s = file_socket(f);
	struct accept_arg a = {0};
	uint64_t timeo;
	int64_t r;
	int err;

	if (!s)
		return -ENOTSOCK;
	if (!s->ops->try_accept)
		return -EOPNOTSUPP;
	timeo = atomic_load(&s->rcvtimeo);
	r = file_wait_op(t, f, POLLIN, file_nonblock(f, 0), socket_deadline(timeo), accept_op, &a);
	if (r == -ERESTARTSYS && timeo)
		return -EINTR;
	if (r)
		return (int)r;
	err = socket_file_new(a.out, flags & SOCK_NONBLOCK ? O_NONBLOCK : 0, t->cred, out);
	if (err)
		return err;
	if (!gptr_null(addr))
		err = sock_addr_to_guest(t, &a.addr, addr, addrlen);
	if (err)
		file_put(*out);
	return err;
}

int64_t sys_accept4(struct task *t, int fd, struct gptr addr, struct gptr addrlen, int flags)
{
	AUTO(file) struct file *f = NULL;
	struct file *nf = NULL;
	int err = fdtable_get(t->files, fd, &f), got;

	if (err)
		return err;
	if (flags & ~(SOCK_CLOEXEC | SOCK_NONBLOCK))
		return -EINVAL;
	got = fd_reserve(t);
	if (got < 0)
		return got;
	err = accept_file(t, f, addr, addrlen, flags, &nf);
	return fd_settle(t, got, err, nf, flags & SOCK_CLOEXEC);
}

int64_t sys_accept(struct task *t, int fd, struct gptr addr, struct gptr addrlen)
{
	return sys_accept4(t, fd, addr, addrlen, 0);
}

static int64_t getname(struct task *t, int fd, bool peer, struct gptr addr, struct gptr addrlen)
{
	AUTO(file) struct file *f = NULL;
	struct sock_addr a = {0};
	struct socket *s;
	int err = socket_get(t, fd, &f, &s);

	if (!err)
		err = s->ops->getname(s, peer, &a);
	return err ? err : sock_addr_to_guest(t, &a, addr, addrlen);
}

int64_t sys_getsockname(struct task *t, int fd, struct gptr addr, struct gptr addrlen)
{
	return getname(t, fd, false, addr, addrlen);
}

int64_t sys_getpeername(struct task *t, int fd, struct gptr addr, struct gptr addrlen)
{
	return getname(t, fd, true, addr, addrlen);
}

int64_t sys_shutdown(struct task *t, int fd, int how)
{
	AUTO(file) struct file *f = NULL;
	struct socket *s;
	int err = socket_get(t, fd, &f, &s);

	if (err)
		return err;
	if (how < SHUT_RD || how > SHUT_RDWR)
		return -EINVAL;
	return s->ops->shutdown(s, how);
}

int64_t sys_setsockopt(struct task *t, int fd, int level, int optname, struct gptr optval,
		       unsigned int optlen)
{
	AUTO(file) struct file *f = NULL;
	uint8_t val[OPT_MAX] = {0};
	struct socket *s;
	int err = socket_get(t, fd, &f, &s);

	if (err)
		return err;
	if ((int)optlen < 0)
		return -EINVAL;
	if (optlen > OPT_MAX)
		optlen = OPT_MAX;
	err = copy_from_guest(t, val, optval, optlen);
	if (err)
		return err;
	if (level == SOL_SOCKET)
		return socket_set_option(s, t, optname, val, optlen);
	return s->ops->setsockopt ? s->ops->setsockopt(s, t, level, optname, val, optlen)
				  : -EOPNOTSUPP;
}

int64_t sys_getsockopt(struct task *t, int fd, int level, int optname, struct gptr optval,
		       struct gptr optlen)
{
	AUTO(file) struct file *f = NULL;
	uint8_t val[OPT_MAX] = {0};
	uint32_t room, len;
	struct socket *s;
	int err = socket_get(t, fd, &f, &s);

	if (!err)
		err = get_guest_u32(t, &room, optlen);
	if (err)
		return err;
	if ((int32_t)room < 0)
		return -EINVAL;
	if (level == SOL_SOCKET && optname == SO_PEERGROUPS)
		return socket_get_peergroups(s, t, optval, optlen, room);
	len = room > OPT_MAX ? OPT_MAX : room;
	if (level == SOL_SOCKET)
		err = socket_get_option(s, t, optname, val, &len);
	else
		err = s->ops->getsockopt ? s->ops->getsockopt(s, t, level, optname, val, &len)
					 : -EOPNOTSUPP;
	if (err)
		return err;
	if (copy_to_guest(t, optval, val, len))
		return -EFAULT;
	return put_guest_u32(t, optlen, len);
}
