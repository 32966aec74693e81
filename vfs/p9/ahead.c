/* Opening ahead.
 *
 * What reads many files of a directory opens them one after the other, and each costs a message. So
 * when a file is opened that comes right behind the one that was opened before, in the order in
 * which the directory was listed, or by name, or by inode number, those that come next are opened
 * along with it, in the same message. How many doubles while at least half of the last lot was used, and
 * halves otherwise. A traversal that has been going well is trusted with the first file of
 * the next directory, too.
 *
 * The descriptors wait here, by qid path. While one is held its file's number can't become
 * another's, so it is the right one for whatever name leads to that number; and whoever changes the file's
 * attributes or takes its name away closes it first (p9_names_forget_attr). What was asked for
 * before such a change is not kept (names_gen). Few are held, for a second or two, and none when
 * descriptors run out. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "vfs/p9/names_impl.h"

#define HELD_SHARE   32 /* one of so many descriptors that there may be */
#define HELD_NS	     2000000000ULL
#define BUDGET_MIN   2
#define BUDGET_TRUST 4
#define DIR_MAX	     4096 /* files: in a larger one it takes too long to see what comes next */
#define FAILS_MAX    8

enum { ORDER_TOLD, ORDER_NAME, ORDER_NUMBER, ORDERS };

void p9_ahead_init(struct p9_fs *fs)
{
	struct rlimit nofile = {0};

	getrlimit(RLIMIT_NOFILE, &nofile);
	fs->ahead.max = nofile.rlim_cur / HELD_SHARE < P9_HELD_MAX
				? (unsigned)nofile.rlim_cur / HELD_SHARE
				: P9_HELD_MAX;
	for (unsigned i = 0; i < P9_HELD_MAX; i++)
		fs->ahead.held[i].fd = -1;
}

/* ---- what is held ---------------------------------------------------------------------------- */

static int held_take_locked(struct p9_ahead *a, struct p9_held *h)
{
	a->nheld--;
	return steal_fd(&h->fd);
}

static int held_find_locked(struct p9_ahead *a, uint64_t qid)
{
	for (unsigned i = 0; i < a->max; i++)
		if (a->held[i].fd >= 0 && a->held[i].qid == qid)
			return held_take_locked(a, &a->held[i]);
	return -1;
}

void p9_ahead_drop_locked(struct p9_fs *fs, uint64_t qid)
{
	int fd;

	while (fs->ahead.nheld && (fd = held_find_locked(&fs->ahead, qid)) >= 0)
		close(fd);
}

static void held_expire_locked(struct p9_ahead *a, uint64_t before)
{
	for (unsigned i = 0; a->nheld && i < a->max; i++)
		if (a->held[i].fd >= 0 && a->held[i].ns <= before)
			close(held_take_locked(a, &a->held[i]));
}

void p9_ahead_clear(struct p9_fs *fs)
{
	AUTO_LOCK(&fs->mu);
	held_expire_locked(&fs->ahead, UINT64_MAX);
}

static void held_put_locked(struct p9_ahead *a, uint64_t qid, int fd, uint64_t now)
{
	struct p9_held *h = NULL;

	for (unsigned i = 0; i < a->max && !h; i++)
		if (a->held[i].fd < 0)
			h = &a->held[i];
	if (!h) {
		h = &a->held[a->next++ % a->max];
		close(held_take_locked(a, h));
	}
	*h = (struct p9_held){qid, now, fd};
	a->nheld++;
}

/* ---- what comes next ------------------------------------------------------------------------- */

static int compare(int order, const struct known *a, const struct known *b)
{
	uint64_t x = order == ORDER_TOLD ? a->place : a->attr.qid.path;
	uint64_t y = order == ORDER_TOLD ? b->place : b->attr.qid.path;
	int c;

	if (order != ORDER_NAME)
		return x < y ? -1 : x > y;
	c = memcmp(a->name, b->name, a->len < b->len ? a->len : b->len);
	return c ? c : (int)a->len - (int)b->len;
}

/* Those that follow `at`, or the first ones if that is NULL, in their order. */
static unsigned followers_locked(const struct known_dir *d, const struct known *at, int order,
				 struct known **out, unsigned max)
{
	unsigned n = 0, i;

	list_for_each(k, &d->files, struct known, in_dir)
	{
		if (at && compare(order, k, at) <= 0)
			continue;
		if (n == max && compare(order, k, out[n - 1]) >= 0)
			continue;
		i = n < max ? n++ : n - 1;
		for (; i > 0 && compare(order, k, out[i - 1]) < 0; i--)
			out[i] = out[i - 1];
		out[i] = k;
	}
	return n;
}

static bool follows_locked(const struct known_dir *d, const struct known *k, int order)
{
	struct known *next;

	return followers_locked(d, d->last, order, &next, 1) && next == k;
}

static bool went_well(const struct p9_ahead *a)
{
	return a->used * 2 >= a->got;
}

/* Is k opened in some order? */
static bool recognised_locked(struct p9_ahead *a, const struct known_dir *d, const struct known *k)
{
	if (follows_locked(d, k, a->order))
		return d->last || (a->budget >= BUDGET_TRUST && went_well(a));
	for (int order = 0; d->last && order < ORDERS; order++) {
		if (order != a->order && follows_locked(d, k, order)) {
			a->order = order;
			a->budget = 0;
			return true;
		}
	}
	return false;
}

/* How many more. */
static unsigned budget_locked(struct p9_ahead *a)
{
	unsigned max = a->max < P9_MAXWELEM ? a->max : P9_MAXWELEM - 1;

	a->budget = went_well(a) ? a->budget * 2 : a->budget / 2;
	if (a->budget < BUDGET_MIN)
		a->budget = BUDGET_MIN;
	if (a->budget > max)
		a->budget = max;
	return a->budget;
}

/* ---- requests -------------------------------------------------------------------------------- */

/* What is opened by one message: the names, the first being the one that is wanted. */
struct batch {
	unsigned n;
	unsigned gen;
	uint64_t qids[P9_MAXWELEM];
	struct p9_topenmany t;
	char text[P9_MAXWELEM][255];
};

static void batch_add(struct batch *b, const struct known *k)
{
	memcpy(b->text[b->n], k->name, k->len);
	b->t.names.a[b->n] = p9_str(b->text[b->n], k->len);
	b->qids[b->n] = k->attr.qid.path;
	b->t.names.n = (uint16_t)++b->n;
}

/* NULL: nothing to be opened ahead. */
static struct batch *batch_new_locked(struct p9_fs *fs, struct p9_inode *pi)
{
	struct p9_ahead *a = &fs->ahead;
	struct known *next[P9_MAXWELEM];
	struct known_dir *d;
	struct known *k = p9_known_find_locked(fs, p9_inode(pi->home)->qid_path, pi->home_name,
					       pi->home_len);
	struct batch *b;
	unsigned n;

	if (!k || !k->home || k->attr.qid.path != pi->qid_path)
		return NULL;
	d = k->home;
	if (d->n > DIR_MAX || d->fails >= FAILS_MAX)
		return NULL;
	if (!recognised_locked(a, d, k)) {
		d->fails += d->last != NULL;
		d->last = k;
		return NULL;
	}
	d->fails = 0;
	d->last = k;
	n = followers_locked(d, k, a->order, next, budget_locked(a));
	b = n ? malloc(sizeof(*b)) : NULL;
	if (!b)
		return NULL;
	b->n = 0;
	b->gen = fs->names_gen;
	batch_add(b, k);
	for (unsigned i = 0; i < n; i++)
		batch_add(b, next[i]);
	d->last = next[n - 1];
	a->got = n;
	a->used = 0;
	return b;
}

/* Keeps what was opened; the first one's descriptor, or -1. */
static int batch_keep(struct p9_fs *fs, const struct batch *b, struct p9_opened *o)
{
	uint64_t now = p9_now_ns();
	unsigned at = 0;
	int first = -1;

	AUTO_LOCK(&fs->mu);
	for (unsigned i = 0; i < b->n; i++) {
		if (!(o->opened & 1U << i))
			continue;
		if (o->qids[at] == b->qids[i] && i == 0)
			first = o->fds.fd[at];
		else if (o->qids[at] == b->qids[i] && fs->names_gen == b->gen)
			held_put_locked(&fs->ahead, b->qids[i], o->fds.fd[at], now);
		else
			close(o->fds.fd[at]);
		at++;
	}
	return first;
}

static int batch_open(struct p9_inode *pi, struct batch *b)
{
	struct p9_fs *fs = p9_fs(&pi->i);
	struct p9_opened opened;
	struct p9_route r;
	int err = p9_route(pi->home, &r);

	if (err)
		return -1;
	b->t.fid = r.fid;
	b->t.dir.n = (uint16_t)r.n;
	memcpy(b->t.dir.a, r.names, r.n * sizeof(*r.names));
	err = p9_do_openmany(fs->client, &b->t, &opened);
	return err ? -1 : batch_keep(fs, b, &opened);
}

int p9_ahead_open(struct p9_inode *pi)
{
	struct p9_fs *fs = p9_fs(&pi->i);
	struct p9_ahead *a = &fs->ahead;
	struct batch *b = NULL;
	int fd = -1;

	if (!fs->exclusive || a->max < BUDGET_MIN || !p9_client_extended(fs->client))
		return -1;
	mutex_lock(&fs->mu);
	if (a->nheld) {
		fd = held_find_locked(a, pi->qid_path);
		a->used += fd >= 0;
	}
	if (fd < 0 && pi->home) {
		held_expire_locked(a, p9_now_ns() - HELD_NS);
		b = batch_new_locked(fs, pi);
	}
	mutex_unlock(&fs->mu);
	if (b)
		fd = batch_open(pi, b);
	free(b);
	return fd;
}
