/* Names of trees that the host changes too: each is asked for again before it is used.
 *
 * A walk asks for one name after the other, but it says what comes next (walk_ahead), so the first
 * question goes for the whole path, and the answers for the names behind wait in a small ring. They
 * are used within P9_YOUNG_NS: that is the same walk. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "vfs/p9/p9_impl.h"

static bool seen_is(const struct p9_seen *s, uint64_t dir, const struct p9_str *name, uint64_t now)
{
	return s->dir == dir && s->len == name->len && now - s->ns < P9_YOUNG_NS &&
	       memcmp(s->name, name->p, name->len) == 0;
}

/* Takes an answer out of the ring. */
static bool seen_take(struct p9_fs *fs, uint64_t dir, const struct p9_str *name, int *err,
                      struct p9_attr *attr)
{
	uint64_t now = p9_now_ns();

	AUTO_LOCK(&fs->mu);
	for (unsigned i = 0; i < P9_SEEN; i++) {
		struct p9_seen *s = &fs->seen[i];

		if (s->len == 0 || !seen_is(s, dir, name, now))
			continue;
		*err = s->err;
		*attr = s->attr;
		s->len = 0;
		return true;
	}
	return false;
}

bool p9_seen_absent(struct inode *dir, const char *name, size_t len)
{
	struct p9_str s = p9_str(name, len);
	struct p9_attr attr;
	int err;

	return !p9_fs(dir)->exclusive &&
	       seen_take(p9_fs(dir), p9_inode(dir)->qid_path, &s, &err, &attr) && err == -ENOENT;
}

/* We changed something: what was seen before is no answer any more. */
void p9_seen_forget(struct p9_fs *fs)
{
	if (fs->exclusive)
		return;
	AUTO_LOCK(&fs->mu);
	fs->seen_gen++; /* nor is what is on its way */
	for (unsigned i = 0; i < P9_SEEN; i++)
		fs->seen[i].len = 0;
}

/* gen: before the question was asked. */
static void seen_put(struct p9_fs *fs, unsigned gen, uint64_t dir, const struct p9_str *name,
                     int err, const struct p9_attr *attr)
{
	struct p9_seen *s;

	if (name->len > sizeof(s->name))
		return;
	AUTO_LOCK(&fs->mu);
	if (fs->seen_gen != gen)
		return;
	s = &fs->seen[fs->seen_next++ % P9_SEEN];
	s->dir = dir;
	s->ns = p9_now_ns();
	s->len = name->len;
	s->err = err;
	memcpy(s->name, name->p, name->len);
	if (attr)
		s->attr = *attr;
}

static int ask(struct inode *dir, const char *name, size_t len, struct p9_attr *attr)
{
	struct p9_str names[P9_AHEAD_MAX];
	unsigned n = p9_names_ahead(dir, name, len, names);
	struct p9_fs *fs = p9_fs(dir);
	unsigned gen = fs->seen_gen;
	struct p9_walked w;
	int err;

	if (seen_take(fs, p9_inode(dir)->qid_path, &names[0], &err, attr))
		return err;
	err = p9_do_walk(fs->client, p9_fid_known(p9_inode(dir)), names, n, P9_NOFID,
	                 P9_LOOKUP_STAT, &w);
	if (err)
		return err;
	free(w.target);
	if (w.n == 0)
		return w.err;
	for (unsigned i = 1; i < w.n; i++)
		seen_put(fs, gen, w.attrs[i - 1].qid.path, &names[i], 0, &w.attrs[i]);
	if (w.n < n && w.err == -ENOENT)
		seen_put(fs, gen, w.attrs[w.n - 1].qid.path, &names[w.n], -ENOENT, NULL);
	*attr = w.attrs[0];
	return 0;
}

int p9_revalidate(struct inode *dir, const char *name, size_t len, struct inode *child)
{
	struct p9_inode *pi = child ? p9_inode(child) : NULL;
	struct p9_attr a;
	int err = ask(dir, name, len, &a);

	if (err == -ENOENT)
		return child == NULL;
	if (err || !pi || a.qid.path != pi->qid_path || (a.mode & S_IFMT) != inode_type(child))
		return 0;
	AUTO_LOCK(&child->attr_lock);
	p9_attr_set_locked(pi, &a);
	pi->attr_written = pi->writers > 0;
	return 1;
}
