/* Calls whose caller has been killed.
 *
 * A peer may take its time, for ever if it is stopped or its disk hangs. A task that has been killed waits
 * P9_SLICE_MS more and leaves; its call stays behind as an *orphan*, so that the tag isn't used again, and
 * the reply is thrown away when it comes.
 *
 * What the request may bind is bound then, whatever its caller believes: these fids are the orphan's from
 * the moment that it is given up (`lost`). Nobody else can give them back; when the reply says that they are
 * bound, they are unbound. Their numbers are lost.
 *
 * And no number at all is used again while there are orphans: a request on its way could name it. */
#include <errno.h>
#include <stdlib.h>

#include "vfs/p9/client_impl.h"

/* What the request binds when it succeeds; n 0: nothing. */
static struct p9_fid_range binds(const struct p9_msg *t)
{
	struct p9_fid_range r = {P9_NOFID, 1};

	switch (t->type) {
	case P9_twalk:
		if (t->twalk.newfid != t->twalk.fid)
			r.first = t->twalk.newfid;
		break;
	case P9_txattrwalk:
		r.first = t->txattrwalk.newfid;
		break;
	case P9_tlookup:
		r = (struct p9_fid_range){t->tlookup.newfid, t->tlookup.names.n};
		break;
	case P9_tmake:
		r.first = t->tmake.newfid;
		break;
	case P9_tlist:
		if (t->tlist.names.n)
			r.first = t->tlist.newfid;
		break;
	}
	if (r.first == P9_NOFID)
		r.n = 0;
	return r;
}

bool p9_fid_lost_locked(const struct p9_client *c, uint32_t fid)
{
	for (unsigned i = 0; i < c->nlost; i++)
		if (fid - c->lost[i].first < c->lost[i].n)
			return true;
	return false;
}

static bool lose_locked(struct p9_client *c, struct p9_fid_range r)
{
	if (!r.n)
		return true;
	if (!c->lost)
		c->lost = calloc(P9_LOST_MAX, sizeof(*c->lost));
	if (!c->lost || c->nlost == P9_LOST_MAX)
		return false;
	c->lost[c->nlost++] = r;
	return true;
}

int p9_call_give_up_locked(struct p9_call *call, uint64_t *since_ns)
{
	struct p9_client *c = call->client;

	if (!*since_ns)
		*since_ns = p9_now_ns();
	if (p9_now_ns() - *since_ns < P9_SLICE_MS * 1000000 || c->norphans == P9_ORPHANS_MAX ||
	    !lose_locked(c, binds(&call->t)))
		return 0;
	c->norphans++;
	call->state = CALL_ORPHAN;
	return -EINTR;
}

void p9_orphan_answered_locked(struct p9_call *call, const uint8_t *reply, size_t len)
{
	struct p9_client *c = call->client;
	struct p9_fid_range r = binds(&call->t);
	bool put = call->state == CALL_LOST;

	if (len >= P9_HDR_SIZE && reply[4] != P9_rlerror)
		for (uint32_t i = 0; i < r.n && c->clunks.n < P9_MAXFIDS; i++)
			c->clunks.a[c->clunks.n++] = r.first + i;
	c->norphans--;
	call->state = CALL_BUSY;
	if (put)
		p9_call_put_locked(call);
}
