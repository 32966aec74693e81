/* Local sockets: both ends are in the sandbox. Unix sockets are such, and so are TCP and UDP over
 * loopback; families differ in how ends find each other and in manners. Theory: local.c. */
#pragma once

#include "abi/base/htable.h"
#include "abi/base/list.h"
#include "abi/base/lock.h"
#include "abi/base/ref.h"
#include "sentry/net/byte_ring.h"
#include "sentry/net/socket.h"
#include "vfs/mount.h"

struct lmsg;
struct lsock;

/* What a socket is bound to. Shared by those that were accepted from it and by messages under
 * way. */
struct lname {
	struct ref ref;
	struct sock_addr addr;
	struct hnode hash;  /* in a family's table, under its lock */
	struct lsock *sock; /* who is found under the name; borrowed; family's lock */
	struct path path;   /* of a pathname socket; owned */
};

enum lstate { LSOCK_IDLE, LSOCK_CONNECTING, LSOCK_LISTENING, LSOCK_CONNECTED };
enum { LSOCK_SHUT_RD = 1, LSOCK_SHUT_WR = 2, LSOCK_SHUT_BOTH = 3 };

struct lfamily {
	/* Binds; an empty address of the family binds automatically. mu not held. */
	int (*bind)(struct lsock *s, struct task *t, const struct sock_addr *a);
	int (*autobind)(struct lsock *s);
	/* Who receives at an address, with a reference. -ECONNREFUSED, -EPROTOTYPE ... */
	int (*lookup)(struct lsock *s, struct task *t, const struct sock_addr *a, struct lsock **out);
	/* The name is no longer found. */
	void (*unbind)(struct lname *n);
	/* What `asker` is told of a name, its own or its peer's; n may be NULL (unbound). */
	void (*name_tell)(const struct lsock *asker, const struct lname *n, struct sock_addr *out);
	/* The name, with a reference, that a connection shows its peer and datagrams come from, when
	 * the peer is at `to`. NULL slot: s->name. A NULL result: no name. */
	struct lname *(*source_name)(struct lsock *s, const struct sock_addr *to);
	/* connect(2) of a datagram socket to a place where nobody need be, or with AF_UNSPEC to
	 * none. NULL slot: somebody must be there. */
	int (*dgram_connect)(struct lsock *s, const struct sock_addr *a);
	int (*setsockopt)(struct socket *s, struct task *t, int level, int opt, const void *val,
			  uint32_t len);
	int (*getsockopt)(struct socket *s, struct task *t, int level, int opt, void *val,
			  uint32_t *len);
	/* A datagram leaves; one is read: what goes with it beside its bytes. May be NULL. */
	void (*msg_sent)(struct lsock *s, const struct sock_msg *m, struct lmsg *msg);
	void (*msg_read)(struct lsock *s, const struct lmsg *msg, struct sock_msg *m);
	/* s, which may listen as far as its state goes, is LISTENING from then on, or -EADDRINUSE. mu is held. NULL
	 * slot: it always is. */
	int (*listen_locked)(struct lsock *s);
	bool inet;	  /* the manners of TCP and UDP: see the uses */
	bool passes_scm; /* descriptors and credentials */
};

/* Something that stands at a place in a stream. */
struct lmark {
	struct list node;
	uint64_t pos, end; /* of the bytes it came with, as stream positions */
	struct linux_ucred cred;
	struct scm_rights *rights; /* owned, or NULL */
};

/* Who is at the other end: SO_PEERCRED, SO_PEERGROUPS. */
struct lpeer {
	struct cred *cred; /* referenced; NULL: not known */
	int pid;
};

/* A datagram under way. */
struct lmsg {
	struct list node;
	struct lsock *from;	/* referenced: its in_flight counts this */
	struct lname *from_name; /* referenced, or NULL */
	struct scm scm;
	uint32_t len, charge;
	uint8_t tos, ttl; /* over IP */
	bool peeked;
	uint32_t drops;	  /* SO_RXQ_OVFL: what was lost before it */
	uint64_t stamp;	  /* SO_TIMESTAMP: when it came, ns; 0: nobody asked */
	char data[];
};

struct lsock {
	struct socket sk;
	struct ref ref;
	const struct lfamily *fam;
	struct mutex mu; /* LOCK_SOCKET */

	/* protected by mu */
	enum lstate state;
	unsigned shut; /* LSOCK_SHUT_* */
	bool dead;     /* the file is gone */
	bool reset;	     /* TCP: cut off by the other end */
	/* TCP, after connect(2) has said EINPROGRESS: connected; refused. Until the next one. */
	bool connect_untold, connect_failed;
	struct lname *name;		/* referenced */
	struct lpeer peercred;		/* of a listener: its own */
	struct list accept_queue;	/* of accept_node: connected, not accepted; referenced */
	unsigned naccept, backlog;
	struct byte_ring rx;		/* streams */
	uint64_t rx_pos;		/* stream position of rx's first byte */
	struct list marks;		/* of lmark, by position */
	struct linux_ucred last_cred;	/* of the last bytes that came in */
	struct linux_ucred rx_cred;	/* of the next byte to go out */
	struct list msgs;		/* of lmsg: datagrams and seqpackets */
	unsigned nmsgs;
	size_t msg_bytes;
	uint32_t drops;			/* datagrams that there was no room for */
	struct list senders;		/* of sender_node: connected to us; also LOCK_SOCKET_LINK */

	/* Owned. Streams: set before CONNECTED, and let go of by who disconnects or closes s: see `retired`. Others:
	 * under mu. */
	_Atomic(struct lsock *) peer;
	/* Peers that s has disconnected from, referenced: somebody who uses s may have looked at one still. */
	struct list retired; /* of retired_node; under mu */
	unsigned nretired;
	struct list retired_node;
	struct list accept_node, sender_node;
	_Atomic uint32_t in_flight;	/* bytes in others' msgs that we sent */
	_Atomic uint32_t rx_rights;	/* marks or messages with descriptors in our queue */
	/* unix_gc.c */
	struct list gc_node;
	uint32_t gc_inflight, gc_found;
	bool gc_live, gc_candidate;
	/* inet.c */
	struct lname *dest; /* a connected UDP socket's; under mu; referenced */
	struct inet_options *options; /* under mu; owned */
};

static inline struct lsock *lsock_of(struct socket *s)
{
	return (struct lsock *)(void *)s;
}

extern const struct socket_ops local_ops;

struct lsock *lsock_new(const struct lfamily *fam, int domain, int type, int protocol);
struct lsock *lsock_get(struct lsock *s);
void lsock_put(struct lsock *s);
static inline void auto_lsock(struct lsock **s)
{
	lsock_put(*s);
}
int lsock_pair(struct task *t, struct socket *a, struct socket *b);
/* Ends a socket whose file is gone, or that never had one. Drops the caller's reference. */
void lsock_close(struct lsock *s, bool embryo);

struct lname *lname_new(const struct sock_addr *a); /* NULL: no memory */
struct lname *lname_get(struct lname *n);
void lname_put(struct lname *n);
struct lname *lsock_name(struct lsock *s); /* with a reference, or NULL */

/* local_stream.c, local_dgram.c */
ssize_t lsock_stream_send(struct lsock *s, struct sock_msg *m);
ssize_t lsock_stream_recv(struct lsock *s, struct sock_msg *m);
bool lsock_stream_writable(struct lsock *s);
void lsock_marks_free(struct list *marks);
ssize_t lsock_dgram_send(struct lsock *s, struct sock_msg *m);
ssize_t lsock_dgram_recv(struct lsock *s, struct sock_msg *m);
bool lsock_dgram_writable(struct lsock *s);
int lsock_dgram_connect(struct lsock *s, struct task *t, const struct sock_addr *a);
void lsock_dgram_disconnect(struct lsock *s);
void lsock_msgs_free(struct list *msgs);
/* The receive queue of s has got room: those who want to send to it may go on. */
void lsock_announce_room(struct lsock *s);

void lsock_state_set(struct lsock *s, enum lstate state);
/* The other end of a connected stream, which stays until s is closed, or NULL: what a connect(2) tries that
 * is under way may be gone at any time. */
static inline struct lsock *lsock_stream_peer(struct lsock *s)
{
	if (__atomic_load_n(&s->state, __ATOMIC_ACQUIRE) != LSOCK_CONNECTED)
		return NULL;
	return atomic_load_explicit(&s->peer, memory_order_acquire);
}
static inline bool lsock_connects(const struct lsock *s)
{
	return s->sk.type != 2; /* SOCK_DGRAM */
}

/* unix_gc.c: files in queues. add: counts what r holds, before it is queued; -ETOOMANYREFS. del: after
 * it left the queue. Both under scm_lock. */
extern struct mutex scm_lock; /* LOCK_SOCKET_RIGHTS */
int scm_inflight_add_locked(struct scm_rights *r, uint64_t limit, bool unlimited);
void scm_inflight_del_locked(struct scm_rights *r);
void unix_gc_register(struct lsock *s);
void unix_gc_unregister(struct lsock *s);
/* Frees sockets that only sockets in flight hold. No lock held. */
void unix_gc(void);
