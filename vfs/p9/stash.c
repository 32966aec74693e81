/* What the server told before it was asked for, kept for the lookups that will ask: names ahead of
 * a walk, and what a listing told beyond names.
 *
 * Programs that list a directory often look at each file next (ls -l, git status, du, rm -r). A
 * listing can bring the attributes and bind fids of all entries; their inodes wait here, and a
 * lookup takes one out instead of asking. That costs the gofer an open for each entry, so it is
 * done only while it pays: a directory whose names were looked up after it was listed gives the
 * file system credit for some listings with attributes, and each lookup answered from here renews
 * it.
 *
 * Listings only so for trees that nobody else changes. An entry is true as long as nobody changes
 * the name through us: whoever does forgets it before and after, and a listing that was under way
 * meanwhile keeps nothing (names_gen). Entries are bounded, the oldest go first, and they go with
 * their directory. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "vfs/p9/p9_impl.h"

#define STASH_MAX    512
#define STASH_CREDIT 32

struct stashed {
	struct hnode node;   /* p9_fs->stash */
	struct list order;   /* p9_fs->stash_order, oldest first */
	struct list in_dir;  /* p9_inode->stash */
	struct inode *dir;   /* borrowed: the entry goes before it */
	struct inode *inode; /* owned; NULL: there is no such name */
	bool listed;         /* a listing told */
	uint64_t ns;         /* trees that the host changes: good for P9_YOUNG_NS */
	size_t len;
	char name[];
};

struct stash_key {
	const struct inode *dir;
	const char *name;
	size_t len;
};

static bool stash_eq(const struct hnode *n, const void *key)
{
	const struct stashed *s = container_of(n, const struct stashed, node);
	const struct stash_key *k = key;

	return s->dir == k->dir && s->len == k->len && memcmp(s->name, k->name, k->len) == 0;
}

static uint64_t stash_hash(const struct inode *dir, const char *name, size_t len)
{
	return hash_combine(hash_u64((uintptr_t)dir), hash_bytes(name, len));
}

/* The entry, now nobody's but the caller's; NULL: none. */
static struct stashed *stash_remove_locked(struct p9_fs *fs, struct stashed *s)
{
	htable_remove(&fs->stash, &s->node);
	list_del_init(&s->order);
	list_del_init(&s->in_dir);
	fs->nstash--;
	return s;
}

static struct stashed *stash_find_locked(struct p9_fs *fs, const struct inode *dir,
                                         const char *name, size_t len)
{
	struct stash_key key = {dir, name, len};
	struct hnode *n;

	if (fs->nstash == 0)
		return NULL;
	n = htable_find(&fs->stash, stash_hash(dir, name, len), stash_eq, &key);
	return n ? container_of(n, struct stashed, node) : NULL;
}

static void stash_free(struct stashed *s)
{
	if (!s)
		return;
	inode_put(s->inode);
	free(s);
}

bool p9_stash_wanted(struct inode *dir)
{
	struct p9_fs *fs = p9_fs(dir);

	if (!fs->exclusive || !p9_client_extended(fs->client) || fs->stash_credit <= 0)
		return false;
	fs->stash_credit--;
	return true;
}

unsigned p9_stash_gen(struct inode *dir)
{
	AUTO_LOCK(&p9_fs(dir)->mu);
	return p9_inode(dir)->names_gen;
}

void p9_stash_put(struct inode *dir, unsigned gen, const char *name, size_t len, struct inode *i,
                  bool listed)
{
	struct stashed *s = malloc(sizeof(*s) + len), *old = NULL;
	struct p9_fs *fs = p9_fs(dir);

	if (!s) {
		inode_put(i);
		return;
	}
	s->dir = dir;
	s->inode = i;
	s->ns = fs->exclusive ? 0 : p9_now_ns();
	s->listed = listed;
	s->len = len;
	memcpy(s->name, name, len);
	list_init(&s->order);
	list_init(&s->in_dir);
	mutex_lock(&fs->mu);
	old = stash_find_locked(fs, dir, name, len);
	if (!old && fs->nstash >= STASH_MAX)
		old = list_first(&fs->stash_order, struct stashed, order);
	if (old)
		stash_remove_locked(fs, old);
	if (p9_inode(dir)->names_gen == gen &&
	    htable_insert(&fs->stash, &s->node, stash_hash(dir, name, len)) == 0) {
		list_push_back(&fs->stash_order, &s->order);
		list_push_back(&p9_inode(dir)->stash, &s->in_dir);
		fs->nstash++;
		s = NULL;
	}
	mutex_unlock(&fs->mu);
	stash_free(old);
	stash_free(s);
}

int p9_stash_take(struct inode *dir, const char *name, size_t len, struct inode **out)
{
	struct p9_fs *fs = p9_fs(dir);
	struct stashed *s;
	int r = 1;

	mutex_lock(&fs->mu);
	s = stash_find_locked(fs, dir, name, len);
	if (s)
		stash_remove_locked(fs, s);
	mutex_unlock(&fs->mu);
	if (!s)
		return 1;
	if (fs->exclusive || p9_now_ns() - s->ns < P9_YOUNG_NS) {
		*out = steal(&s->inode);
		r = *out ? 0 : -ENOENT;
	}
	if (r == 0 && s->listed)
		fs->stash_credit = STASH_CREDIT;
	stash_free(s);
	return r;
}

void p9_stash_forget(struct inode *dir, const char *name, size_t len)
{
	struct p9_fs *fs = p9_fs(dir);
	struct stashed *s;

	mutex_lock(&fs->mu);
	p9_inode(dir)->names_gen++;
	s = stash_find_locked(fs, dir, name, len);
	if (s)
		stash_remove_locked(fs, s);
	mutex_unlock(&fs->mu);
	stash_free(s);
}

void p9_stash_clear(struct inode *dir)
{
	struct p9_fs *fs = p9_fs(dir);
	struct stashed *s;

	do {
		mutex_lock(&fs->mu);
		s = list_first(&p9_inode(dir)->stash, struct stashed, in_dir);
		if (s)
			stash_remove_locked(fs, s);
		mutex_unlock(&fs->mu);
		stash_free(s);
	} while (s);
}

void p9_stash_clear_all(struct p9_fs *fs)
{
	struct stashed *s;

	fs->stash_credit = 0;
	do {
		mutex_lock(&fs->mu);
		s = list_first(&fs->stash_order, struct stashed, order);
		if (s)
			stash_remove_locked(fs, s);
		mutex_unlock(&fs->mu);
		stash_free(s);
	} while (s);
}

void p9_stash_listed(struct inode *dir, unsigned n)
{
	p9_inode(dir)->missed = 0;
	p9_inode(dir)->listed = n;
}

void p9_stash_missed(struct inode *dir)
{
	struct p9_inode *pi = p9_inode(dir);
	unsigned listed = pi->listed;

	if (listed < 6) /* "." and ".." are two of them */
		return;
	if (++pi->missed * 2 >= listed) {
		pi->listed = 0;
		p9_fs(dir)->stash_credit = STASH_CREDIT;
	}
}
