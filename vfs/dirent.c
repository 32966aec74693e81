/* The dirent cache: (parent, name) -> dirent.
 *
 * States of a dirent:
 *	hashed		lookups find it; the cache holds a reference and lists it on an LRU
 *	unhashed	never cached (fs->no_dcache, anonymous), or evicted, or its name is gone
 *			(DIRENT_UNHASHED: shown as " (deleted)"); lives as long as its references
 * and, apart from that, positive or negative. A hashed dirent's count is thus at least 1; a count of
 * exactly 1 under the exclusive tree lock means that nobody uses it, since new references come
 * only from lookups, under the shared tree lock, or from references that exist.
 *
 * A lookup that misses asks the file system under the directory's dir_lock, shared. Two may miss at
 * once: who comes second to the insertion takes the first's dirent. Whoever changes names holds
 * dir_lock exclusively, so a miss never brings back a name that was just removed. */
#include "vfs/dirent.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vfs/changes.h"
#include "vfs/dirent_impl.h"
#include "vfs/fs.h"
#include "vfs/inode.h"
#include "vfs/tree_lock.h"
#include "vfs/vfs_impl.h"

static struct htable dirents; /* tree lock */

struct name_key {
	const struct dirent *parent;
	const char *name;
	size_t len;
};

/* The names are chosen by guests: hash_bytes is keyed. The address only spreads. */
uint64_t dirent_hash_of(const struct dirent *parent, const char *name, size_t len)
{
	uint64_t h = hash_bytes(name, len) ^ ((uintptr_t)parent >> 4) * 0x9e3779b97f4a7c15ULL;

	return h ^ h >> 32;
}

static bool name_eq(const struct hnode *n, const void *key)
{
	const struct dirent *d = container_of(n, struct dirent, hash);
	const struct name_key *k = key;

	return d->parent == k->parent && d->name_len == k->len &&
	       memcmp(d->name, k->name, k->len) == 0;
}

struct dirent *dirent_find_locked(const struct dirent *parent, const char *name, size_t len,
				  uint64_t hash)
{
	struct name_key key = {parent, name, len};
	struct hnode *n = htable_find(&dirents, hash, name_eq, &key);

	return n ? container_of(n, struct dirent, hash) : NULL;
}

struct dirent *dirent_alloc(struct fs *fs, struct dirent *parent, const char *name, size_t len,
			    struct inode *inode)
{
	struct dirent *d = malloc(sizeof(*d) + len + 1);

	if (!d)
		return NULL;
	memset(d, 0, sizeof(*d));
	ref_init(&d->ref);
	d->fs = fs;
	d->parent = parent ? dirent_get(parent) : d;
	d->name = (char *)(d + 1);
	memcpy(d->name, name, len);
	d->name[len] = 0;
	d->name_len = len;
	atomic_init(&d->inode, inode);
	list_init(&d->children);
	list_init(&d->sibling);
	list_init(&d->lru);
	return d;
}

void dirent_free(struct dirent *d)
{
	inode_put(dirent_inode(d));
	if (d->name != (char *)(d + 1))
		free(d->name);
	free(d);
}

int dirent_new_root(struct fs *fs, struct inode *inode, struct dirent **out)
{
	struct dirent *d = dirent_alloc(fs, NULL, "/", 1, inode);

	if (!d) {
		inode_put(inode);
		return -ENOMEM;
	}
	dirent_flag_set(d, DIRENT_ROOT);
	*out = d;
	return 0;
}

int dirent_new_anon(struct fs *fs, const char *name, struct inode *inode, struct dirent **out)
{
	struct dirent *d = dirent_alloc(fs, NULL, name, strlen(name), inode);

	if (!d) {
		inode_put(inode);
		return -ENOMEM;
	}
	dirent_flag_set(d, DIRENT_ANON | DIRENT_ROOT);
	*out = d;
	return 0;
}

int dirent_new_tmpfile(struct dirent *dir, struct inode *inode, struct dirent **out)
{
	char name[24];
	int len = snprintf(name, sizeof(name), "#%llu", (unsigned long long)inode->ino);
	struct dirent *d = dirent_alloc(dir->fs, dir, name, (size_t)len, inode);

	if (!d) {
		inode_put(inode);
		return -ENOMEM;
	}
	dirent_flag_set(d, DIRENT_UNHASHED);
	*out = d;
	return 0;
}

struct dirent *dirent_get(struct dirent *d)
{
	ref_get(&d->ref);
	return d;
}

void dirent_put(struct dirent *d)
{
	while (d && ref_put(&d->ref)) {
		struct dirent *parent = d->parent == d ? NULL : d->parent;

		dirent_free(d);
		d = parent;
	}
}

bool dirent_cacheable_locked(const struct dirent *d)
{
	if (dirent_has(d, DIRENT_UNHASHED | DIRENT_ROOT) || d->fs->no_dcache)
		return false;
	/* Nothing leads to the children of a removed directory: they would stay for nothing. */
	if (dirent_has(d->parent, DIRENT_UNHASHED))
		return false;
	return !(d->fs->no_negative && dirent_negative(d));
}

void dirent_insert_locked(struct dirent *d)
{
	uint64_t h = dirent_hash_of(d->parent, d->name, d->name_len);

	if (htable_insert(&dirents, &d->hash, h) < 0)
		return; /* not cached, then */
	ref_get(&d->ref);
	list_push_back(&d->parent->children, &d->sibling);
	dirent_flag_set(d, DIRENT_HASHED);
	dirent_cache_add_locked(d);
}

bool dirent_remove_locked(struct dirent *d)
{
	if (!dirent_has(d, DIRENT_HASHED))
		return false;
	htable_remove(&dirents, &d->hash);
	list_del_init(&d->sibling);
	dirent_flag_clear(d, DIRENT_HASHED);
	dirent_cache_del_locked(d);
	return true;
}

static struct dirent *find_get(struct dirent *dir, const char *name, size_t len, uint64_t hash)
{
	struct dirent *d;

	tree_rdlock();
	d = dirent_find_locked(dir, name, len, hash);
	if (d) {
		dirent_get(d);
		dirent_touch(d);
		tree_count_hits(1);
	}
	tree_rdunlock();
	return d;
}

/* Makes d findable, or gives way to one that came first. Consumes d; the result is owned. */
static struct dirent *publish(struct dirent *d, uint64_t hash)
{
	struct dirent *first;

	if (d->fs->no_dcache)
		return d;
	tree_wrlock();
	first = dirent_find_locked(d->parent, d->name, d->name_len, hash);
	if (first)
		dirent_get(first);
	else if (dirent_cacheable_locked(d))
		dirent_insert_locked(d);
	tree_wrunlock();
	if (!first)
		return d;
	dirent_put(d);
	return first;
}

static int ask_fs(struct dirent *dir, const char *name, size_t len, uint64_t hash,
		  struct dirent **out)
{
	struct inode *parent = dirent_inode(dir), *inode = NULL;
	struct dirent *d;
	int r;

	if (!parent->ops->lookup)
		return -ENOTDIR;
	dirent_cache_missed();
	r = parent->ops->lookup(parent, name, len, &inode);
	if (r < 0 && r != -ENOENT)
		return r;
	d = dirent_alloc(dir->fs, dir, name, len, r < 0 ? NULL : inode);
	if (!d) {
		if (r == 0)
			inode_put(inode);
		return -ENOMEM;
	}
	*out = publish(d, hash);
	return 0;
}

int dirent_lookup_locked(struct dirent *d, const char *name, size_t len, struct dirent **out)
{
	uint64_t hash = dirent_hash_of(d, name, len);
	struct dirent *c = find_get(d, name, len, hash);

	if (!c)
		return ask_fs(d, name, len, hash, out);
	*out = c;
	return 0;
}

static bool still_true(struct dirent *dir, struct dirent *c)
{
	struct inode *parent = dirent_inode(dir);

	if (!parent->ops->revalidate || dirent_has(c, DIRENT_MOUNTPOINT))
		return true;
	return parent->ops->revalidate(parent, c->name, c->name_len, dirent_inode(c)) != 0;
}

int dirent_lookup(struct dirent *d, const char *name, size_t len, struct dirent **out)
{
	uint64_t hash = dirent_hash_of(d, name, len);
	struct inode *dir = dirent_inode(d);
	struct dirent *c = find_get(d, name, len, hash);
	int r;

	if (c && still_true(d, c)) {
		*out = c;
		return 0;
	}
	if (c) {
		dirent_unhash(c);
		dirent_put(c);
	}
	if (!dir->ops->lookup)
		return -ENOTDIR;
	r = inode_dir_lock(dir, false, true); /* nested: a parent's may be held, see rename */
	if (r < 0)
		return r;
	r = dirent_lookup_locked(d, name, len, out);
	rwlock_unlock(&dir->dir_lock);
	dirent_cache_trim();
	return r;
}

void dirent_instantiate(struct dirent *d, struct inode *inode)
{
	tree_wrlock();
	atomic_store_explicit(&d->inode, inode, memory_order_release);
	if (dirent_has(d, DIRENT_HASHED))
		dirent_cache_positive_locked(d);
	else if (dirent_cacheable_locked(d))
		dirent_insert_locked(d);
	vfs_changed(d->fs);
	tree_wrunlock();
	dirent_cache_trim();
}

void dirent_unhash(struct dirent *d)
{
	bool mine;

	tree_wrlock();
	mine = dirent_remove_locked(d);
	dirent_flag_set(d, DIRENT_UNHASHED);
	vfs_changed(d->fs);
	tree_wrunlock();
	if (mine)
		dirent_put(d);
}

void dirent_remember_gone(struct dirent *dir, const char *name, size_t len)
{
	struct dirent *d;

	if (!dir->fs->caches || dir->fs->no_negative || dirent_inode(dir)->ops->revalidate)
		return;
	d = dirent_alloc(dir->fs, dir, name, len, NULL);
	if (d)
		dirent_put(publish(d, dirent_hash_of(dir, name, len)));
}

void dirent_forget(struct dirent *dir, const char *name, size_t len)
{
	struct dirent *d = find_get(dir, name, len, dirent_hash_of(dir, name, len));

	if (d) {
		dirent_unhash(d);
		dirent_put(d);
	}
}
