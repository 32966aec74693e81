/* Sockets: what all families share. A socket is the priv of its file.
 *
 * The try_* operations never sleep: -EAGAIN, and the caller waits on `wq` (socket_msg.c). connect
 * gets the task and sleeps by itself where a connection takes time. */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "abi/base/gptr.h"
#include "abi/linux/socket.h"
#include "sentry/net/scm.h"
#include "vfs/waitq.h"

struct cred;
struct file;
struct socket;
struct task;
struct uio;

struct sock_addr {
	uint32_t len; /* 0: none */
	union {
		uint16_t family;
		struct linux_sockaddr_un un;
		struct linux_sockaddr_in in;
		struct linux_sockaddr_in6 in6;
		struct linux_sockaddr_nl nl;
		uint8_t raw[LINUX_SOCKADDR_MAX];
	};
};

/* One message on its way in or out. */
struct sock_msg {
	struct task *t;
	struct uio *data;
	struct sock_addr name; /* to whom, or from whom; len 0: none */
	uint32_t flags;	       /* MSG_* that the caller gave */
	uint32_t out_flags;    /* MSG_* that the receiver is told */
	struct scm scm;
	struct scm_item items[SCM_ITEMS_MAX]; /* out */
	unsigned nitems;
	/* After -EAGAIN of try_send: whose queue was full, with a reference, or NULL for the
	 * socket's own. Space there wakes its queue with SOCK_SPACE. */
	struct socket *blocked_on;
};

/* Wakes those who wait for room in a receive queue, or in a queue of connections. */
#define SOCK_SPACE 0x8000u

struct socket_ops {
	int (*bind)(struct socket *s, struct task *t, const struct sock_addr *a);
	/* May sleep unless nonblock. */
	int (*connect)(struct socket *s, struct task *t, const struct sock_addr *a, bool nonblock);
	int (*listen)(struct socket *s, struct task *t, int backlog);
	/* The next connection, owned by the caller, and its peer's address; -EAGAIN. */
	int (*try_accept)(struct socket *s, struct socket **out, struct sock_addr *addr);
	int (*getname)(struct socket *s, bool peer, struct sock_addr *out);
	int (*shutdown)(struct socket *s, int how);
	ssize_t (*try_send)(struct socket *s, struct sock_msg *m);
	ssize_t (*try_recv)(struct socket *s, struct sock_msg *m);
	uint32_t (*poll)(struct socket *s);
	/* Levels other than SOL_SOCKET. val[0..len) is a copy; get: *len in and out. NULL: -EOPNOTSUPP. */
	int (*setsockopt)(struct socket *s, struct task *t, int level, int opt, const void *val,
			  uint32_t len);
	int (*getsockopt)(struct socket *s, struct task *t, int level, int opt, void *val,
			  uint32_t *len);
	struct cred *(*peercred)(struct socket *s, int *pid); /* of the other end, owned by the caller, or NULL */
	bool (*listening)(struct socket *s);			     /* SO_ACCEPTCONN */
	/* SIOCINQ and SIOCOUTQ. -EINVAL. NULL: -ENOTTY */
	int (*queued)(struct socket *s, bool out, int *bytes);
	void (*put)(struct socket *s);	   /* drops a reference (of blocked_on) */
	void (*release)(struct socket *s); /* the file is gone: its reference, too */
};

struct sock_family {
	/* type: without flags, one of SOCK_*. -EPROTONOSUPPORT, -ESOCKTNOSUPPORT, -EPERM. */
	int (*create)(struct task *t, int domain, int type, int protocol, struct socket **out);
	/* Connects two fresh sockets. NULL: -EOPNOTSUPP. */
	int (*pair)(struct task *t, struct socket *a, struct socket *b);
};

extern const struct sock_family unix_family, inet_family, netlink_family;

struct socket {
	const struct socket_ops *ops; /* immutable, as are domain, type, protocol */
	int domain, type, protocol;
	struct waitq wq;
	struct file *file; /* borrowed; NULL until it has one */
	_Atomic int error; /* SO_ERROR: taken by whoever sees it first */

	/* SOL_SOCKET options: plain words, each read and written at once */
	_Atomic uint32_t sndbuf, rcvbuf;
	_Atomic uint64_t rcvtimeo, sndtimeo; /* ns; 0: none */
	_Atomic uint32_t flags;		     /* by option number, see socket_opt.c */
	_Atomic uint64_t linger;	     /* struct linger as it is */
	_Atomic int priority, mark, rcvlowat, busy_poll, incoming_cpu, buf_lock;
	_Atomic int peek_off;	      /* SO_PEEK_OFF, -1: off; families change it under their lock */
	_Atomic bool to_loopback;     /* SO_BINDTODEVICE */
	_Atomic uint64_t pacing_rate; /* SO_MAX_PACING_RATE */
	_Atomic uint64_t cookie;      /* SO_COOKIE; 0: nobody has asked */
};

#define SOCK_BUF_DEFAULT 212992u
#define SOCK_BUF_MAX (8u << 20)

void socket_init(struct socket *s, const struct socket_ops *ops, int domain, int type,
		 int protocol);
void socket_fini(struct socket *s);
/* A file for s, which the file owns from then on; on failure s is released. flags: O_NONBLOCK. */
int socket_file_new(struct socket *s, int flags, const struct cred *cred, struct file **out);
/* The socket of a descriptor: -EBADF, -ENOTSOCK. *f holds the reference, also on -ENOTSOCK. */
int socket_get(struct task *t, int fd, struct file **f, struct socket **out);
struct socket *file_socket(const struct file *f); /* NULL when it is none */

/* 0 or a pending error, which is thereby taken. */
static inline int socket_take_error(struct socket *s)
{
	if (!atomic_load_explicit(&s->error, memory_order_relaxed))
		return 0;
	return -atomic_exchange(&s->error, 0);
}

/* socket_opt.c: SOL_SOCKET. */
int socket_set_option(struct socket *s, struct task *t, int opt, const void *val, uint32_t len);
int socket_get_option(struct socket *s, struct task *t, int opt, void *val, uint32_t *len);
/* SO_PEERGROUPS: the groups of the other end, straight to the guest. */
int socket_get_peergroups(struct socket *s, struct task *t, struct gptr val, struct gptr ulen, uint32_t room);
/* What has been read or, with MSG_PEEK, looked at moves SO_PEEK_OFF. */
void socket_peek_move(struct socket *s, bool peek, uint32_t n);
bool socket_flag(const struct socket *s, int opt); /* SO_PASSCRED and other switches */
void socket_flag_set(struct socket *s, int opt, bool on);

/* socket_msg.c: blocking. The count, or -errno. */
int64_t socket_send(struct task *t, struct file *f, struct sock_msg *m);
int64_t socket_recv(struct task *t, struct file *f, struct sock_msg *m);
/* Copies an address in: -EINVAL for a bad length. Out: clipped to *ulen, which gets the full length. */
int sock_addr_from_guest(struct task *t, struct gptr src, int len, struct sock_addr *out);
int sock_addr_to_guest(struct task *t, const struct sock_addr *a, struct gptr dst,
		       struct gptr ulen);
/* f is a socket whose error is still to be told. A write that has moved something leaves it to the next call. */
bool socket_file_failed(const struct file *f);
/* SIGPIPE, if a write to f that moved nothing ends with -EPIPE, and f is a socket; pipes send their own. */
void socket_file_broken(const struct file *f);
/* The absolute deadline of SO_RCVTIMEO, SO_SNDTIMEO. */
uint64_t socket_deadline(uint64_t timeo_ns);
/* SO_RCVTIMEO or SO_SNDTIMEO of a file that is a socket: ns, 0 none. For read(2) and write(2). */
uint64_t socket_file_timeout(const struct file *f, bool write);
