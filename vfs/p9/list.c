/* Listing directories, and what is fetched along with a listing.
 *
 * For trees that nobody else changes a listing tells the attributes of the directories in it, which
 * cost the gofer little, and of all entries while that pays: after names of a listed directory were
 * asked for one by one, and as long as lookups are answered by listings. What was told is
 * remembered (names.c).
 *
 * What traverses a tree lists a directory, then the first directory in it, and so on. So when a
 * directory is listed that a listing told of, its parent is asked for the listings of a number of
 * directories from that one on, in the order of a traversal (P9_LIST_BELOW). The number doubles
 * while at least half of the last lot was used, and shrinks otherwise. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "vfs/p9/p9_impl.h"

#define LIST_BYTES	   32768
#define LIST_AHEAD_BYTES   (96 * 1024)
#define AHEAD_MIN	   2
#define AHEAD_MAX	   128
#define ATTR_CREDIT	   32
#define FETCH_MISSES	   8	/* names asked for one by one before all are fetched */
#define FETCH_SHARE	   8	/* ... or one of so many entries listed */
#define FETCH_DIR_SIZE	   8192 /* st_size of a directory that is small enough to do so unlisted */
#define FETCH_MESSAGES	   4

/* A name as the host may have it: what a peer sends otherwise is not passed on. */
static bool entry_valid(const struct p9_dirent *d)
{
	return d->name.len > 0 && d->name.len <= 255 && !memchr(d->name.p, '/', d->name.len) &&
	       !memchr(d->name.p, 0, d->name.len);
}

static bool is_dots(const struct p9_str *s)
{
	return s->p[0] == '.' && (s->len == 1 || (s->len == 2 && s->p[1] == '.'));
}

/* Remembers what the entries of directory `dir` tell, which begin at offset *at; where the next ones do
 * is left there. How many entries, or -EIO. */
static int entries_keep(struct p9_fs *fs, unsigned gen, uint64_t dir, uint64_t *at, uint8_t *data,
			size_t len)
{
	struct p9_cur c = p9_cur(data, len);
	struct p9_entry e;
	int n = 0;

	for (; p9_get_entry(&c, &e); n++) {
		if (!entry_valid(&e.d))
			return -EIO;
		if (e.target.len > 4095 || (e.target.len && memchr(e.target.p, 0, e.target.len)))
			return -EIO;
		if (e.attr.valid && !is_dots(&e.d.name))
			p9_names_put(fs, gen, dir, &e.d.name,
				     &(struct p9_told){&e.attr, e.target, *at});
		*at = e.d.offset;
	}
	return c.bad ? -EIO : n;
}

static int sections_keep(struct p9_fs *fs, unsigned gen, uint8_t *data, size_t len)
{
	struct p9_cur c = p9_cur(data, len);
	unsigned got = 0;
	uint64_t dir, at;
	int entries;
	uint32_t n;
	uint8_t *p;

	while (p9_left(&c) > 0) {
		p9_get_u64(&c, &dir);
		p9_get_u32(&c, &n);
		p = p9_take(&c, n);
		at = 0;
		entries = c.bad ? -EIO : entries_keep(fs, gen, dir, &at, p, n);
		if (entries < 0)
			return entries;
		p9_listing_put(fs, gen, dir, p, n, (unsigned)entries);
		got++;
	}
	atomic_store(&fs->ahead_got, got);
	return c.bad ? -EIO : 0;
}

/* ---- requests -------------------------------------------------------------------------------- */

/* Sends t for directory i, which is bound by it if it has no fid. */
static int list_once(struct inode *i, struct p9_tlist *t, struct p9_listed *out)
{
	struct p9_inode *pi = p9_inode(i);
	struct p9_client *c = p9_conn(i);
	struct p9_route r;
	int err = p9_route(i, &r);

	if (err)
		return err;
	t->fid = r.fid;
	t->newfid = P9_NOFID;
	t->names.n = (uint16_t)r.n;
	memcpy(t->names.a, r.names, r.n * sizeof(*r.names));
	if (r.n > 0) {
		t->newfid = p9_fid_alloc(c, 1);
		if (!t->newfid)
			return -ENFILE;
	}
	err = p9_do_list(c, t, out);
	if (r.n == 0)
		return err;
	if (err == -EIO || err == -ENOMEM) /* who knows whether it is bound */
		return err;
	if (err) {
		p9_fid_free(c, t->newfid);
		return err;
	}
	if (out->qid_path != pi->qid_path) {
		p9_clunk(c, t->newfid, false);
		free(steal(&out->data));
		return -ESTALE;
	}
	p9_bound(pi, t->newfid);
	return 0;
}

static int list_request(struct inode *i, struct p9_tlist *t, struct p9_listed *out)
{
	int err;

	*out = (struct p9_listed){0};
	err = list_once(i, t, out);
	if (err && p9_shed(i, err))
		err = list_once(i, t, out);
	return err;
}

static uint32_t attr_flags(struct p9_fs *fs)
{
	if (!fs->exclusive)
		return 0;
	if (fs->attr_credit <= 0)
		return P9_LIST_DIRS;
	fs->attr_credit--;
	return P9_LIST_ATTRS;
}

void p9_list_paid(struct p9_fs *fs)
{
	if (atomic_load_explicit(&fs->attr_credit, memory_order_relaxed) != ATTR_CREDIT)
		fs->attr_credit = ATTR_CREDIT;
}

static unsigned ahead_budget(struct p9_fs *fs)
{
	unsigned budget = fs->ahead_budget, got = fs->ahead_got, used = fs->ahead_used;

	if (used * 2 >= got)
		budget = budget * 2;
	else
		budget = budget / 2;
	budget = budget < AHEAD_MIN ? AHEAD_MIN : budget > AHEAD_MAX ? AHEAD_MAX : budget;
	fs->ahead_budget = budget;
	fs->ahead_got = fs->ahead_used = 0;
	return budget;
}

/* Asks i's home for listings from i's on. */
static void fetch_ahead(struct inode *i)
{
	struct p9_inode *pi = p9_inode(i);
	struct p9_fs *fs = p9_fs(i);
	unsigned gen = p9_names_gen(fs);
	struct p9_tlist t = {
	    .offset = pi->home_offset,
	    .count = LIST_AHEAD_BYTES,
	    .flags = attr_flags(fs) | P9_LIST_BELOW,
	    .ahead = ahead_budget(fs),
	};
	struct p9_listed l;

	if (list_request(pi->home, &t, &l) < 0)
		return;
	if (l.own == 0)
		sections_keep(fs, gen, l.data, l.len);
	free(l.data);
}

/* n entries of pi were told. */
static void listed(struct p9_inode *pi, unsigned n, bool first)
{
	pi->listed = (first ? 0 : pi->listed) + n;
	pi->missed = 0;
	p9_fs(&pi->i)->attr_untold += n;
}

/* From what was fetched ahead. */
static bool list_take(struct file *f)
{
	struct p9_file *pf = f->priv;
	struct p9_fs *fs = p9_fs(f->inode);
	unsigned n;

	if (!p9_listing_take(fs, p9_inode(f->inode)->qid_path, &pf->list, &pf->list_len, &n))
		return false;
	pf->list_end = true;
	fs->ahead_used++;
	listed(p9_inode(f->inode), n, true);
	return true;
}

/* Entries from pos on. */
static int list_fetch(struct file *f, struct p9_file *pf, uint64_t pos)
{
	struct p9_inode *pi = p9_inode(f->inode);
	struct p9_fs *fs = p9_fs(f->inode);
	unsigned gen = p9_names_gen(fs);
	struct p9_tlist t = {.offset = pos, .count = LIST_BYTES};
	struct p9_listed l;
	uint64_t next;
	int err;

	free(steal(&pf->list));
	pf->list_at = pf->list_len = 0;
	pf->list_pos = pos;
	if (pos == 0 && fs->exclusive) {
		if (list_take(f))
			return 0;
		if (pi->home_offset != P9_NO_OFFSET) {
			fetch_ahead(f->inode);
			if (list_take(f))
				return 0;
		}
	}
	if (pos == 0)
		pf->list_flags = attr_flags(fs);
	t.flags = pf->list_flags;
	if (pf->fid) {
		t.fid = pf->fid;
		err = p9_do_list(p9_conn(f->inode), &t, &l);
	} else {
		err = list_request(f->inode, &t, &l);
	}
	if (err)
		return err;
	pf->list = l.data;
	pf->list_len = l.own;
	pf->list_end = l.end || l.own == 0;
	if (!p9_client_extended(p9_conn(f->inode)))
		return 0;
	next = pos;
	err = entries_keep(fs, gen, pi->qid_path, &next, l.data, l.own);
	if (err < 0) {
		free(steal(&pf->list));
		return err;
	}
	listed(pi, (unsigned)err, pos == 0);
	return 0;
}

/* All of dir's names with their attributes, if they are not too many. */
static bool fetch_attrs(struct inode *dir)
{
	struct p9_fs *fs = p9_fs(dir);
	unsigned gen = p9_names_gen(fs);
	struct p9_tlist t = {.count = LIST_BYTES * 2, .flags = P9_LIST_ATTRS};
	struct p9_listed l;
	int n;

	for (int i = 0; i < FETCH_MESSAGES; i++) {
		if (list_request(dir, &t, &l) < 0)
			return i > 0;
		n = entries_keep(fs, gen, p9_inode(dir)->qid_path, &t.offset, l.data, l.own);
		free(l.data);
		if (n < 0)
			return false;
		if (l.end || l.own == 0)
			break;
	}
	return true;
}

static bool is_small(struct p9_inode *pi)
{
	AUTO_LOCK(&pi->i.attr_lock);
	return pi->attr.size <= FETCH_DIR_SIZE;
}

/* In listed directories, one name in FETCH_SHARE or more is asked for. */
static bool misses_many(struct p9_fs *fs)
{
	unsigned n = ++fs->attr_missed;

	if (n < FETCH_MISSES || n < fs->attr_untold / FETCH_SHARE)
		return false;
	fs->attr_missed = fs->attr_untold = 0;
	return true;
}

bool p9_list_missed(struct inode *dir)
{
	struct p9_inode *pi = p9_inode(dir);
	struct p9_fs *fs = p9_fs(dir);

	if (!fs->exclusive || !p9_client_extended(fs->client))
		return false;
	if (pi->listed) {
		if (fs->attr_credit <= 0 && !misses_many(fs))
			return false;
		fs->attr_credit = ATTR_CREDIT;
	} else if (++pi->missed != FETCH_MISSES || !is_small(pi)) {
		return false;
	}
	pi->listed = 0;
	return fetch_attrs(dir);
}

/* Offsets are the server's, which are the host's: an entry keeps its own whatever happens to
 * others. What the caller's buffer did not hold is kept for its next call, if that goes on where
 * this one ended. */
int p9_dir_readdir(struct file *f, uint64_t *pos, struct dir_sink *sink)
{
	bool plain = !p9_client_extended(p9_conn(f->inode));
	struct p9_file *pf = f->priv;
	struct p9_entry e;
	struct p9_cur c;
	int err;

	if (!pf->list || *pos != pf->list_pos || *pos == 0 ||
	    (pf->list_at == pf->list_len && !pf->list_end)) {
		err = list_fetch(f, pf, *pos);
		if (err)
			return err;
	}
	c = p9_cur(pf->list + pf->list_at, pf->list_len - pf->list_at);
	while (plain ? p9_get_dirent(&c, &e.d) : p9_get_entry(&c, &e)) {
		uint64_t ino = e.d.qid.path;

		if (!entry_valid(&e.d))
			return -EIO;
		if (e.d.name.len == 1 && e.d.name.p[0] == '.')
			ino = f->inode->ino;
		if (!sink->emit(sink, e.d.name.p, e.d.name.len, ino, e.d.type, e.d.offset))
			return 0;
		*pos = e.d.offset;
		pf->list_pos = e.d.offset;
		pf->list_at = pf->list_len - p9_left(&c);
	}
	return c.bad ? -EIO : 0;
}
