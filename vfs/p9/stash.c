/* What a walk was told ahead of where it was, kept for the lookups that will ask for it at once:
 * inodes with their fids, and perhaps an open descriptor.
 *
 * An entry is true as long as nobody changes the name through us: whoever does forgets it before
 * and after, and a walk that was under way meanwhile keeps nothing (names_gen). Entries are bounded, the
 * oldest go first, and they go with their directory. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "vfs/p9/p9_impl.h"

#define STASH_MAX 128

struct stashed {
	struct hnode node;   /* p9_fs->stash */
	struct list order;   /* p9_fs->stash_order, oldest first */
	struct list in_dir;  /* p9_inode->stash */
	struct inode *dir;   /* borrowed: the entry goes before it */
	struct inode *inode; /* owned; NULL: there is no such name */
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

unsigned p9_stash_gen(struct inode *dir)
{
	AUTO_LOCK(&p9_fs(dir)->mu);
	return p9_inode(dir)->names_gen;
}

void p9_stash_put(struct inode *dir, unsigned gen, const char *name, size_t len, struct inode *i)
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
	stash_free(s);
	return r;
}

void p9_stash_forget(struct inode *dir, const char *name, size_t len)
{
	struct p9_fs *fs = p9_fs(dir);
	struct stashed *s;

	p9_names_forget(fs, p9_inode(dir)->qid_path, name, len);
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

	do {
		mutex_lock(&fs->mu);
		s = list_first(&fs->stash_order, struct stashed, order);
		if (s)
			stash_remove_locked(fs, s);
		mutex_unlock(&fs->mu);
		stash_free(s);
	} while (s);
}
