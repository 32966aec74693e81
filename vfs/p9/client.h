/* A 9P connection: requests from many threads, no thread of its own. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "abi/base/list.h"
#include "abi/base/lock.h"
#include "abi/p9/p9.h"

#define P9_CALLS_MAX 256  /* concurrent requests; more wait */
#define P9_ASYNC_MAX 32   /* of them, requests whose reply nobody waits for */
#define P9_ORPHANS_MAX 192 /* of them, those whose callers were killed */
#define P9_CLUNKS_MAX 32  /* fids gathered for one Tclunkmany */

struct p9_client;

/* One request and its reply. The tag is the call's for good. */
struct p9_call {
	struct p9_msg t; /* the caller fills in type and fields */
	struct p9_msg r; /* the reply; its strings lie in rx, until p9_call_put */
	struct p9_carried fds; /* came with the reply; steal them */

	/* client.c's */
	struct p9_client *client;
	struct list node; /* free, or waiting for a reply */
	struct cond cond;
	/* ORPHAN: given up by the caller, LOST: and put by it; the reply is still to come */
	enum { CALL_FREE, CALL_BUSY, CALL_SENT, CALL_DONE, CALL_ORPHAN, CALL_LOST } state; /* client->mu */
	bool async;
	uint32_t uses;	  /* how often it was got; client->mu */
	uint8_t *rx;	  /* rx_small, or malloc'ed */
	size_t rx_len;
	uint8_t rx_small[2560];
	uint8_t tx[P9_SMALL_MAX];
};

/* Asks for the version and the root, and doesn't wait for the answers. Owns sock from now on, also on
 * failure. Nothing else may be asked before p9_client_attach() has succeeded. */
int p9_client_new(int sock, const char *aname, struct p9_client **out);
/* Waits for them: fid 1 is the root, with attributes in *root. Once. */
int p9_client_attach(struct p9_client *c, const char *aname, struct p9_attr *root);
#define P9_ROOT_FID 1
uint64_t p9_now_ns(void); /* CLOCK_MONOTONIC */
void p9_client_free(struct p9_client *c);
bool p9_client_extended(const struct p9_client *c);
bool p9_client_dead(struct p9_client *c);
uint32_t p9_client_msize(const struct p9_client *c);

/* NULL: no memory. Waits when too many are out. */
struct p9_call *p9_call_get(struct p9_client *c);
void p9_call_put(struct p9_call *call);
static inline void auto_p9_call(struct p9_call **call)
{
	if (*call)
		p9_call_put(*call);
}
/* Sends call->t and waits for the reply, which is in call->r: 0, the peer's -errno, or -EIO: the
 * peer is gone or broke the protocol. -EINTR: the calling task has been killed. */
int p9_rpc(struct p9_call *call);

/* A fid number that is in use nowhere; n of them in a row when n > 1 (0: can't, ask for one). */
uint32_t p9_fid_alloc(struct p9_client *c, unsigned n);
/* Of n numbers got in a row from first on, only the first `used` were bound. */
void p9_fid_unused(struct p9_client *c, uint32_t first, unsigned n, unsigned used);
/* The number was never bound, or the peer has unbound it. */
void p9_fid_free(struct p9_client *c, uint32_t fid);
/* Unbinds a fid, some time soon, without waiting. now: with the next breath (a deleted file's
 * space is waiting). */
void p9_clunk(struct p9_client *c, uint32_t fid, bool now);
/* Sends what has been gathered and waits until the peer has unbound it. */
void p9_clunk_flush(struct p9_client *c);
