/* The shape of the tree: moves, subtrees, mount points. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "abi/base/lock.h"
#include "vfs/changes.h"
#include "vfs/dirent.h"
#include "vfs/dirent_impl.h"
#include "vfs/fs.h"
#include "vfs/tree_lock.h"

struct rwlock dirent_rename_lock = RWLOCK_INIT(LOCK_RENAME);

struct dirent *dirent_parent(struct dirent *d)
{
	struct dirent *p;

	tree_rdlock();
	p = dirent_get(d->parent);
	tree_rdunlock();
	return p;
}

bool dirent_is_below(struct dirent *d, struct dirent *top)
{
	bool below = true;

	tree_rdlock();
	while (d != top) {
		if (d->parent == d) {
			below = false;
			break;
		}
		d = d->parent;
	}
	tree_rdunlock();
	return below;
}

static void name_set(struct dirent *d, char *name, size_t len)
{
	if (d->name != (char *)(d + 1))
		free(d->name);
	d->name = name;
	d->name_len = len;
}

/* Takes the caller's reference on parent. The old parent's reference goes to the caller. */
static struct dirent *parent_set(struct dirent *d, struct dirent *parent)
{
	struct dirent *old = d->parent;

	d->parent = parent;
	return old;
}

void dirent_move(struct dirent *d, struct dirent *newparent, const char *name, size_t len)
{
	uint64_t hash = dirent_hash_of(newparent, name, len);
	char *copy = malloc(len + 1);
	struct dirent *target, *oldparent;
	bool cached, had_target = false;

	if (!copy) {
		/* The rename has happened; a dirent that keeps the old name must not be found. */
		dirent_forget(newparent, name, len);
		dirent_unhash(d);
		return;
	}
	memcpy(copy, name, len);
	copy[len] = 0;
	dirent_get(newparent);

	tree_wrlock();
	target = dirent_find_locked(newparent, name, len, hash);
	if (target && target != d) {
		had_target = dirent_remove_locked(target);
		dirent_flag_set(target, DIRENT_UNHASHED);
	}
	cached = dirent_remove_locked(d);
	oldparent = parent_set(d, newparent);
	name_set(d, copy, len);
	if (cached)
		dirent_insert_locked(d);
	vfs_changed(d->fs);
	tree_wrunlock();

	if (had_target)
		dirent_put(target);
	if (cached)
		dirent_put(d); /* of the removal; the insertion took its own */
	dirent_put(oldparent);
}

/* An out-of-line copy of the name, so that it can be handed to the other. */
static char *name_copy(const struct dirent *d)
{
	char *s = malloc(d->name_len + 1);

	if (s)
		memcpy(s, d->name, d->name_len + 1);
	return s;
}

void dirent_exchange(struct dirent *a, struct dirent *b)
{
	AUTO(free) char *an = name_copy(a);
	AUTO(free) char *bn = name_copy(b);
	size_t alen = a->name_len, blen = b->name_len;
	struct dirent *ap, *bp;
	bool ac, bc;

	if (!an || !bn) {
		dirent_unhash(a);
		dirent_unhash(b);
		return;
	}
	tree_wrlock();
	ac = dirent_remove_locked(a);
	bc = dirent_remove_locked(b);
	ap = a->parent;
	bp = b->parent;
	parent_set(a, bp);
	parent_set(b, ap);
	name_set(a, steal(&bn), blen);
	name_set(b, steal(&an), alen);
	if (ac)
		dirent_insert_locked(a);
	if (bc)
		dirent_insert_locked(b);
	vfs_changed(a->fs);
	tree_wrunlock();
	if (ac)
		dirent_put(a);
	if (bc)
		dirent_put(b);
}

bool dirent_idle_locked(const struct dirent *d)
{
	/* Acquire: who put the other references is done with d before it is freed. */
	return atomic_load_explicit(&((struct dirent *)d)->ref.n, memory_order_acquire) == 1 &&
	       !dirent_has(d, DIRENT_PINNED | DIRENT_MOUNTPOINT | DIRENT_ROOT);
}

/* A parent that is not cached itself (removed, or found stale) may live by this child alone. */
void dirent_evict_locked(struct dirent *d, struct list *dead)
{
	struct dirent *parent;

	dirent_remove_locked(d);
	do {
		parent = d->parent == d ? NULL : d->parent;
		d->parent = NULL;
		list_push_back(dead, &d->lru);
		d = parent;
	} while (d && ref_put(&d->ref));
}

void dirent_free_list(struct list *dead)
{
	list_for_each_safe (d, dead, struct dirent, lru)
		dirent_free(d);
}

/* A leaf below d (or d): the first child of the first child ... */
static struct dirent *leaf_of(struct dirent *d)
{
	while (!list_empty(&d->children))
		d = list_first(&d->children, struct dirent, sibling);
	return d;
}

/* Children first, without recursion, each looked at once. What cannot go is set aside, so that its
 * parent's list runs empty like any other, and comes back in the end. */
void dirent_prune(struct dirent *top)
{
	struct list dead = LIST_INIT(dead), kept = LIST_INIT(kept);
	struct dirent *d, *parent;

	tree_wrlock();
	for (d = leaf_of(top); d != top; d = leaf_of(parent)) {
		parent = d->parent;
		if (dirent_idle_locked(d)) {
			dirent_evict_locked(d, &dead);
		} else {
			list_del_init(&d->sibling);
			list_push_back(&kept, &d->sibling);
		}
	}
	list_for_each_safe (k, &kept, struct dirent, sibling) {
		list_del_init(&k->sibling);
		list_push_back(&k->parent->children, &k->sibling);
	}
	tree_wrunlock();
	dirent_free_list(&dead);
}

/* Where a mount hangs must be found by every walk, also on a file system that caches no names.
 * Everything above is held by its child, so it stays. */
void dirent_mounted_locked(struct dirent *d)
{
	struct dirent *first;

	d->mounts++;
	dirent_flag_set(d, DIRENT_MOUNTPOINT);
	for (; !dirent_has(d, DIRENT_ROOT | DIRENT_HASHED | DIRENT_UNHASHED); d = d->parent) {
		first = dirent_find_locked(d->parent, d->name, d->name_len,
					   dirent_hash_of(d->parent, d->name, d->name_len));
		if (!first)
			dirent_insert_locked(d);
	}
}

bool dirent_unmounted_locked(struct dirent *d)
{
	if (--d->mounts)
		return false;
	dirent_flag_clear(d, DIRENT_MOUNTPOINT);
	return d->fs->no_dcache && dirent_remove_locked(d);
}
