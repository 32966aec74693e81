/* Fid numbers, and giving them back. */
#include <errno.h>
#include <stdlib.h>

#include "vfs/p9/client_impl.h"

static void fid_free_locked(struct p9_client *c, uint32_t fid)
{
	if (c->nlost && p9_fid_lost_locked(c, fid))
		return;
	if (c->nfree_fids == c->cap_free_fids) {
		size_t cap = c->cap_free_fids ? c->cap_free_fids * 2 : 64;
		uint32_t *grown = realloc(c->free_fids, cap * sizeof(*grown));

		if (!grown)
			return; /* the number is lost: there are 4 billion */
		c->free_fids = grown;
		c->cap_free_fids = cap;
	}
	c->free_fids[c->nfree_fids++] = fid;
}

/* What the peer has unbound may be used again, not before: requests overtake each other. Not while there
 * are orphans: their requests may name it. */
void p9_clunked_locked(struct p9_client *c, const struct p9_msg *t)
{
	if (c->norphans)
		return;
	if (t->type == P9_tclunk)
		fid_free_locked(c, t->tclunk.fid);
	for (unsigned i = 0; t->type == P9_tclunkmany && i < t->tclunkmany.fids.n; i++)
		fid_free_locked(c, t->tclunkmany.fids.a[i]);
}

uint32_t p9_fid_alloc(struct p9_client *c, unsigned n)
{
	uint32_t fid;

	AUTO_LOCK(&c->mu);
	if (n == 1 && c->nfree_fids > 0)
		return c->free_fids[--c->nfree_fids];
	if (c->next_fid > P9_NOFID - 1 - n)
		return 0;
	fid = c->next_fid;
	c->next_fid += n;
	return fid;
}

void p9_fid_unused(struct p9_client *c, uint32_t first, unsigned n, unsigned used)
{
	AUTO_LOCK(&c->mu);
	if (c->next_fid == first + n && !c->nlost)
		c->next_fid = first + used;
	else
		for (unsigned i = used; i < n; i++)
			fid_free_locked(c, first + i);
}

void p9_fid_free(struct p9_client *c, uint32_t fid)
{
	AUTO_LOCK(&c->mu);
	fid_free_locked(c, fid);
}

/* Sends call->t and lets go of the call; without waiting, unless too many replies are
 * outstanding. */
static void clunk_send(struct p9_client *c, struct p9_call *call, bool wait)
{
	int err;

	mutex_lock(&c->mu);
	call->async = !wait && c->nasync < P9_ASYNC_MAX;
	c->nasync += call->async;
	mutex_unlock(&c->mu);
	if (call->async) {
		err = p9_call_send(call);
		if (err != -EINTR)
			return;
		mutex_lock(&c->mu);
		c->nasync--;
		p9_call_put_locked(call);
		mutex_unlock(&c->mu);
		return;
	}
	err = p9_rpc(call);
	mutex_lock(&c->mu);
	if (err != -EINTR)
		p9_clunked_locked(c, &call->t);
	p9_call_put_locked(call);
	mutex_unlock(&c->mu);
}

static void clunk_gathered(struct p9_client *c, bool wait)
{
	struct p9_call *call = c->dead ? NULL : p9_call_get(c);

	if (!call)
		return;
	mutex_lock(&c->mu);
	if (c->extended) {
		call->t.type = P9_tclunkmany;
		call->t.tclunkmany.fids = c->clunks;
		c->clunks.n = 0;
	} else if (c->clunks.n > 0) {
		call->t.type = P9_tclunk;
		call->t.tclunk.fid = c->clunks.a[--c->clunks.n];
	} else { /* another thread was faster */
		p9_call_put_locked(call);
		call = NULL;
	}
	mutex_unlock(&c->mu);
	if (!call)
		return;
	clunk_send(c, call, wait);
}

void p9_clunk(struct p9_client *c, uint32_t fid, bool now)
{
	mutex_lock(&c->mu);
	if (c->clunks.n < P9_MAXFIDS)
		c->clunks.a[c->clunks.n++] = fid;
	now = now || c->clunks.n >= P9_CLUNKS_MAX || !c->extended;
	mutex_unlock(&c->mu);
	if (now)
		clunk_gathered(c, false);
}

void p9_clunk_flush(struct p9_client *c)
{
	clunk_gathered(c, true);
}
