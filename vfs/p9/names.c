/* What a tree that nobody else changes has told: names with their attributes, names that do not
 * exist, and whole listings. It costs memory only: no descriptor, neither here nor in the gofer.
 *
 * The bound on cached dirents follows the number of descriptors, which is small. What is known
 * here outlives an evicted dirent: looking it up again makes a new inode without asking, and that
 * inode is bound to a fid of the gofer's only when something needs one (bind.c).
 *
 * Keys are qid paths, so entries outlive inodes as well. An entry is true as long as nobody changes
 * the name or the attributes through us: whoever does forgets it before and after, which also moves
 * `names_gen`, and what a request tells that was sent before the last move is not kept. Everything
 * is bounded, the oldest goes first. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "vfs/p9/names_impl.h"

#define NAMES_MAX	   16384
#define LISTINGS_MAX	   1024
#define LISTINGS_BYTES_MAX (512 * 1024)

struct listing {
	struct hnode node;
	struct list order;
	uint64_t dir;
	size_t len;
	unsigned n; /* entries */
	uint8_t *data;
};

struct known_key {
	uint64_t dir;
	const char *name;
	size_t len;
};

static bool known_eq(const struct hnode *n, const void *key)
{
	const struct known *k = container_of(n, const struct known, by_name);
	const struct known_key *want = key;

	return k->dir == want->dir && k->len == want->len &&
	       memcmp(k->name, want->name, k->len) == 0;
}

static bool qid_eq(const struct hnode *n, const void *key)
{
	return container_of(n, const struct known, by_qid)->attr.qid.path == *(uint64_t *)key;
}

static bool listing_eq(const struct hnode *n, const void *key)
{
	return container_of(n, const struct listing, node)->dir == *(uint64_t *)key;
}

static uint64_t known_hash(uint64_t dir, const char *name, size_t len)
{
	return hash_combine(hash_u64(dir), hash_bytes(name, len));
}

static bool dir_eq(const struct hnode *n, const void *key)
{
	return container_of(n, const struct known_dir, node)->dir == *(uint64_t *)key;
}

static struct known *known_find_locked(struct p9_fs *fs, uint64_t dir, const char *name, size_t len,
				       uint64_t hash)
{
	struct known_key key = {dir, name, len};
	struct hnode *n = htable_find(&fs->names, hash, known_eq, &key);

	return n ? container_of(n, struct known, by_name) : NULL;
}

struct known *p9_known_find_locked(struct p9_fs *fs, uint64_t dir, const char *name, size_t len)
{
	return known_find_locked(fs, dir, name, len, known_hash(dir, name, len));
}

static void dir_leave_locked(struct p9_fs *fs, struct known *k)
{
	struct known_dir *d = k->home;

	if (!d)
		return;
	list_del_init(&k->in_dir);
	k->home = NULL;
	if (d->last == k)
		d->last = NULL;
	if (--d->n > 0)
		return;
	htable_remove(&fs->names_dirs, &d->node);
	free(d);
}

/* Regular files that a listing told. Takes the place of `old`. */
static void dir_join_locked(struct p9_fs *fs, struct known *k, const struct known *old)
{
	uint64_t hash = hash_u64(k->dir);
	struct known_dir *d;
	struct hnode *n;

	if (k->absent || !S_ISREG(k->attr.mode) || k->offset == P9_NO_OFFSET)
		return;
	n = htable_find(&fs->names_dirs, hash, dir_eq, &k->dir);
	d = n ? container_of(n, struct known_dir, node) : calloc(1, sizeof(*d));
	if (!d)
		return;
	if (!n) {
		d->dir = k->dir;
		list_init(&d->files);
		if (htable_insert(&fs->names_dirs, &d->node, hash) < 0) {
			free(d);
			return;
		}
	}
	list_push_back(&d->files, &k->in_dir);
	d->n++;
	k->home = d;
	k->place = old && old->home ? old->place : ++fs->names_told;
	if (old && d->last == old)
		d->last = k;
}

static void known_drop_locked(struct p9_fs *fs, struct known *k)
{
	dir_leave_locked(fs, k);
	htable_remove(&fs->names, &k->by_name);
	if (!k->absent)
		htable_remove(&fs->names_by_qid, &k->by_qid);
	list_del_init(&k->order);
	free(k);
}

static bool keeps(const struct p9_fs *fs)
{
	return fs->exclusive && p9_client_extended(fs->client);
}

unsigned p9_names_gen(struct p9_fs *fs)
{
	return atomic_load(&fs->names_gen);
}

static struct known *known_new(uint64_t dir, const struct p9_str *name, const struct p9_told *told)
{
	size_t target = told->target.len;
	struct known *k = malloc(sizeof(*k) + name->len + target + 1);

	if (!k)
		return NULL;
	k->dir = dir;
	k->offset = told->offset;
	k->absent = !told->attr;
	if (told->attr)
		k->attr = *told->attr;
	k->len = (uint8_t)name->len;
	k->target_len = (uint16_t)target;
	memcpy(k->name, name->p, name->len);
	if (target > 0)
		memcpy(k->name + name->len, told->target.p, target);
	k->name[name->len + target] = 0;
	list_init(&k->order);
	list_init(&k->in_dir);
	k->home = NULL;
	return k;
}

/* False: better not. Of a directory that is larger than the bound, what it told first is kept: that
 * is asked for first. */
static bool room_made_locked(struct p9_fs *fs, uint64_t dir)
{
	struct known *oldest = list_first(&fs->names_order, struct known, order);

	if (fs->names.count < NAMES_MAX)
		return true;
	if (oldest->dir == dir)
		return false;
	known_drop_locked(fs, oldest);
	return true;
}

static bool known_insert_locked(struct p9_fs *fs, struct known *k, uint64_t hash)
{
	if (htable_insert(&fs->names, &k->by_name, hash) < 0)
		return false;
	if (!k->absent &&
	    htable_insert(&fs->names_by_qid, &k->by_qid, hash_u64(k->attr.qid.path)) < 0) {
		htable_remove(&fs->names, &k->by_name);
		return false;
	}
	list_push_back(&fs->names_order, &k->order);
	return true;
}

void p9_names_put(struct p9_fs *fs, unsigned gen, uint64_t dir, const struct p9_str *name,
		  const struct p9_told *told)
{
	struct known *k, *old;
	uint64_t hash;

	if (!keeps(fs))
		return;
	k = known_new(dir, name, told);
	if (!k)
		return;
	hash = known_hash(dir, name->p, name->len);
	AUTO_LOCK(&fs->mu);
	old = known_find_locked(fs, dir, name->p, name->len, hash);
	if (old && k->offset == P9_NO_OFFSET)
		k->offset = old->offset;
	if (fs->names_gen == gen)
		dir_join_locked(fs, k, old);
	if (old)
		known_drop_locked(fs, old);
	if (fs->names_gen != gen || !room_made_locked(fs, dir) ||
	    !known_insert_locked(fs, k, hash)) {
		dir_leave_locked(fs, k);
		free(k);
	}
}

/* A copy of what is known. *target: malloc'ed, or NULL. */
static int names_find(struct p9_fs *fs, uint64_t dir, const char *name, size_t len,
		      struct p9_attr *attr, uint64_t *offset, char **target)
{
	struct known *k;

	AUTO_LOCK(&fs->mu);
	if (fs->names.count == 0)
		return 1;
	k = known_find_locked(fs, dir, name, len, known_hash(dir, name, len));
	if (!k)
		return 1;
	list_del_init(&k->order);
	list_push_back(&fs->names_order, &k->order);
	if (k->absent)
		return -ENOENT;
	*attr = k->attr;
	*offset = k->offset;
	*target = k->target_len > 0 ? strdup(k->name + k->len) : NULL;
	return 0;
}

int p9_names_lookup(struct inode *dir, const char *name, size_t len, struct inode **out)
{
	struct p9_fs *fs = p9_fs(dir);
	struct p9_attr attr;
	uint64_t offset;
	char *target;
	int err;

	if (!keeps(fs))
		return 1;
	err = names_find(fs, p9_inode(dir)->qid_path, name, len, &attr, &offset, &target);
	if (err)
		return err;
	/* More such questions are to be expected: let the next listing tell, too. */
	if (offset != P9_NO_OFFSET && !S_ISDIR(attr.mode))
		p9_list_paid(fs);
	err = p9_inode_told(dir, name, len, &attr, offset, out);
	if (!err && target)
		p9_keep_link_text(*out, target);
	else
		free(target);
	return err;
}

static struct listing *listing_remove_locked(struct p9_fs *fs, uint64_t dir)
{
	struct hnode *n = htable_find(&fs->listings, hash_u64(dir), listing_eq, &dir);
	struct listing *l = n ? container_of(n, struct listing, node) : NULL;

	if (!l)
		return NULL;
	htable_remove(&fs->listings, n);
	list_del_init(&l->order);
	fs->listings_bytes -= l->len;
	return l;
}

static void listing_drop_locked(struct p9_fs *fs, uint64_t dir)
{
	struct listing *l = listing_remove_locked(fs, dir);

	if (l) {
		free(l->data);
		free(l);
	}
}

void p9_names_forget(struct p9_fs *fs, uint64_t dir, const char *name, size_t len)
{
	struct known *k;

	if (!keeps(fs))
		return;
	AUTO_LOCK(&fs->mu);
	fs->names_gen++;
	k = known_find_locked(fs, dir, name, len, known_hash(dir, name, len));
	if (k)
		known_drop_locked(fs, k);
	listing_drop_locked(fs, dir);
}

void p9_names_forget_attr(struct p9_fs *fs, uint64_t qid)
{
	struct hnode *n;

	if (!keeps(fs))
		return;
	AUTO_LOCK(&fs->mu);
	fs->names_gen++;
	p9_ahead_drop_locked(fs, qid);
	while ((n = htable_find(&fs->names_by_qid, hash_u64(qid), qid_eq, &qid)))
		known_drop_locked(fs, container_of(n, struct known, by_qid));
}

void p9_listing_put(struct p9_fs *fs, unsigned gen, uint64_t dir, const uint8_t *data, size_t len,
		    unsigned n)
{
	struct listing *l;

	if (!keeps(fs) || len > LISTINGS_BYTES_MAX / 4)
		return;
	l = malloc(sizeof(*l));
	if (!l)
		return;
	*l = (struct listing){.dir = dir, .len = len, .n = n, .data = malloc(len + 1)};
	if (!l->data) {
		free(l);
		return;
	}
	memcpy(l->data, data, len);
	list_init(&l->order);
	AUTO_LOCK(&fs->mu);
	listing_drop_locked(fs, dir);
	while (fs->listings.count > 0 && (fs->listings.count >= LISTINGS_MAX ||
					  fs->listings_bytes + len > LISTINGS_BYTES_MAX))
		listing_drop_locked(fs,
				    list_first(&fs->listings_order, struct listing, order)->dir);
	if (fs->names_gen != gen || htable_insert(&fs->listings, &l->node, hash_u64(dir)) < 0) {
		free(l->data);
		free(l);
		return;
	}
	list_push_back(&fs->listings_order, &l->order);
	fs->listings_bytes += len;
}

bool p9_listing_take(struct p9_fs *fs, uint64_t dir, uint8_t **data, size_t *len, unsigned *n)
{
	struct listing *l;

	AUTO_LOCK(&fs->mu);
	if (fs->listings.count == 0)
		return false;
	l = listing_remove_locked(fs, dir);
	if (!l)
		return false;
	*data = l->data;
	*len = l->len;
	*n = l->n;
	free(l);
	return true;
}

void p9_names_init(struct p9_fs *fs)
{
	list_init(&fs->names_order);
	list_init(&fs->listings_order);
}

void p9_names_destroy(struct p9_fs *fs)
{
	while (!list_empty(&fs->names_order))
		known_drop_locked(fs, list_first(&fs->names_order, struct known, order));
	while (!list_empty(&fs->listings_order))
		listing_drop_locked(fs,
				    list_first(&fs->listings_order, struct listing, order)->dir);
	htable_destroy(&fs->names);
	htable_destroy(&fs->names_by_qid);
	htable_destroy(&fs->names_dirs);
	htable_destroy(&fs->listings);
}
