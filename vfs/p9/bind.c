/* Inodes without a fid, and how they get one.
 *
 * What a listing told, or what was remembered of a name (names.c), makes inodes that the gofer does
 * not know: they have a *home* instead, the directory's inode and the name in it. The first thing
 * that needs the file itself walks there, from the nearest directory above that has a fid: one
 * message, whatever the distance. Only trees that nobody else changes have such inodes, and before a
 * name is changed through us, what it names is bound (dir.c): so home stays the way to the file.
 *
 * A fid is bound once and stays; of two threads that bind the same inode the second gives its number
 * back. */
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vfs/p9/p9_impl.h"

static unsigned unbound_depth(const struct p9_inode *pi)
{
	unsigned n = 0;

	for (; p9_fid_known(pi) == P9_NOFID; pi = p9_inode(pi->home))
		n++;
	return n;
}

/* n <= P9_AHEAD_MAX */
static void route_fill(struct p9_inode *pi, unsigned n, struct p9_route *r)
{
	r->n = n;
	for (; n > 0; pi = p9_inode(pi->home)) {
		n--;
		r->at[n] = pi;
		r->names[n] = p9_str(pi->home_name, pi->home_len);
	}
	r->fid = p9_fid_known(pi);
}

void p9_bound(struct p9_inode *pi, uint32_t fid)
{
	uint32_t none = P9_NOFID;

	if (!atomic_compare_exchange_strong(&pi->fid, &none, fid))
		p9_clunk(p9_conn(&pi->i), fid, false);
}

/* Is what a walk came to what was remembered? */
static bool is_same(const struct p9_inode *pi, const struct p9_attr *a)
{
	return a->qid.path == pi->qid_path && (a->mode & S_IFMT) == inode_type(&pi->i);
}

/* Walks the route and binds the first `bind` on it. *w: what was told; its target and descriptor
 * are the caller's, also on failure. */
static int route_walk(struct p9_fs *fs, const struct p9_route *r, unsigned bind, uint32_t flags,
		      struct p9_walked *w)
{
	struct p9_client *c = fs->client;
	uint32_t first = bind ? p9_fid_alloc(c, bind) : P9_NOFID;
	int err;

	*w = (struct p9_walked){.fd = -1};
	if (!first)
		return -ENFILE;
	err = p9_do_walk(c, r->fid, r->names, r->n, first, flags, w);
	if (err)
		w->n = 0;
	if (bind)
		p9_fid_unused(c, first, bind, w->n < bind ? w->n : bind);
	for (unsigned i = 0; i < w->n; i++) {
		bool same = !err && is_same(r->at[i], &w->attrs[i]);

		if (!same)
			err = -ESTALE;
		if (i < bind && same)
			p9_bound(r->at[i], first + i);
		else if (i < bind)
			p9_clunk(c, first + i, false);
	}
	if (!err && w->n < r->n)
		err = w->err && w->err != -ENOENT ? w->err : -ESTALE;
	return err;
}

/* Binds all on the route. */
static int route_bind(struct p9_fs *fs, const struct p9_route *r)
{
	struct p9_walked w;
	int err = route_walk(fs, r, r->n, 0, &w);

	if (!err && w.target)
		p9_keep_link_text(&r->at[r->n - 1]->i, w.target);
	else
		free(w.target);
	return err;
}

int p9_route(struct inode *i, struct p9_route *r)
{
	struct p9_inode *pi = p9_inode(i);
	int err;

	for (;;) {
		struct p9_inode *up = pi;
		unsigned n = unbound_depth(pi);

		if (n <= P9_AHEAD_MAX) {
			route_fill(pi, n, r);
			return 0;
		}
		/* Too far for one walk: as far as one goes. */
		for (; n > P9_AHEAD_MAX; n--)
			up = p9_inode(up->home);
		route_fill(up, n, r);
		err = route_bind(p9_fs(i), r);
		if (err)
			return err;
	}
}

int p9_fid(struct inode *i, uint32_t *fid)
{
	struct p9_route r;
	int err;

	*fid = p9_fid_known(p9_inode(i));
	if (*fid != P9_NOFID)
		return 0;
	err = p9_route(i, &r);
	if (!err && r.n > 0)
		err = route_bind(p9_fs(i), &r);
	*fid = p9_fid_known(p9_inode(i));
	return err;
}

int p9_open_unbound(struct p9_inode *pi, int *fd)
{
	struct p9_route r;
	struct p9_walked w;
	int err = p9_route(&pi->i, &r);

	if (err || r.n == 0)
		return err;
	err = route_walk(p9_fs(&pi->i), &r, r.n - 1,
			 P9_LOOKUP_OPEN | (r.n > 1 ? P9_LOOKUP_PARENTS : P9_LOOKUP_STAT), &w);
	free(w.target);
	if (err && w.fd >= 0)
		close(w.fd);
	else
		*fd = w.fd;
	return err;
}
