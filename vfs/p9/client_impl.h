/* What client.c (calls), client_io.c (bytes), client_fids.c and client_session.c share. */
#pragma once

#include "vfs/p9/client.h"

#define P9_SPIN_MAX_NS 40000
/* Who waits looks as often whether it has been killed. */
#define P9_SLICE_MS 250UL
#define P9_LOST_MAX 1024

struct p9_client {
	int sock;
	bool seqpacket, extended, may_spin; /* immutable after p9_client_attach */
	uint32_t msize;
	struct p9_call *version, *mount; /* asked by p9_client_new, until p9_client_attach */
	_Atomic bool dead;
	struct mutex send_mu; /* streams */
	uint8_t *rx;	      /* the leader's */
	unsigned spin_ns;     /* the leader's: how long to look before it sleeps */
	unsigned spin_skips;
	_Atomic int cpu;      /* of the last request; -1 */
	_Atomic unsigned cpu_run; /* so many before it came from there, too */

	struct mutex mu; /* all below */
	struct cond call_freed;
	bool leader;
	struct p9_call *calls[P9_CALLS_MAX]; /* by tag */
	unsigned ncalls, nasync;
	struct list free, waiting;
	uint32_t next_fid;
	uint32_t *free_fids;
	size_t nfree_fids, cap_free_fids;
	struct p9_fids clunks;
	unsigned norphans;
	/* What orphans bind, or have bound: the numbers are not given back by who asked for them. */
	struct p9_fid_range {
		uint32_t first, n;
	} *lost;
	unsigned nlost;
};

/* client.c */
void p9_client_kill(struct p9_client *c, const char *why);
void p9_call_put_locked(struct p9_call *call);
/* The halves of p9_rpc. */
int p9_call_send(struct p9_call *call);
int p9_call_finish(struct p9_call *call);

/* client_orphan.c */
/* For a killed caller that got no reply: 0, wait on; -EINTR, the call is an orphan. */
int p9_call_give_up_locked(struct p9_call *call, uint64_t *since_ns);
void p9_orphan_answered_locked(struct p9_call *call, const uint8_t *reply, size_t len);
/* Is the number an orphan's? */
bool p9_fid_lost_locked(const struct p9_client *c, uint32_t fid);

/* client_io.c */
int p9_client_send(struct p9_client *c, const uint8_t *buf, size_t len);
/* A whole message in c->rx, for the leader: its size, or -errno. *fds: what came with it. */
ssize_t p9_client_recv(struct p9_client *c, struct p9_carried *fds);

/* client_fids.c */
/* What the peer has unbound, by the request t, may be used again. */
void p9_clunked_locked(struct p9_client *c, const struct p9_msg *t);
