/* Mounts and their tree.
 *
 * (parent mount, mountpoint dirent) -> mount is a hash table under the tree lock, which the walk
 * holds anyway; a dirent says with DIRENT_MOUNTPOINT that it is worth looking. References: an attached
 * mount has one from its tree, one from each child, and those of paths (open files, cwd). So a mount is
 * unused if it has no children and no other reference but the tree's. */
#include "vfs/mount.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "abi/base/lock.h"
#include "vfs/fs.h"
#include "vfs/mount_impl.h"
#include "vfs/tree_lock.h"
#include "vfs/vfs_impl.h"

struct mutex mounts_mu = MUTEX_INIT(LOCK_MOUNT);
static struct htable mounted; /* tree lock */

void path_get(const struct path *p)
{
	mount_get(p->mount);
	dirent_get(p->dirent);
}

void path_put(struct path *p)
{
	dirent_put(steal(&p->dirent));
	mount_put(steal(&p->mount));
}

void path_set(struct path *dst, const struct path *src)
{
	struct path old = *dst;

	path_get(src);
	*dst = *src;
	path_put(&old);
}

struct mount *mount_get(struct mount *m)
{
	ref_get(&m->ref);
	return m;
}

void mount_put(struct mount *m)
{
	if (!m || !ref_put(&m->ref))
		return;
	dirent_put(m->root);
	fs_put(m->fs);
	free(m->source);
	free(m);
}

int mount_new(struct fs *fs, struct dirent *root, uint32_t flags, const char *source,
	      struct mount **out)
{
	static atomic_int next_id = 20;
	static _Atomic uint64_t serials;
	struct mount *m = calloc(1, sizeof(*m));

	if (!m)
		return -ENOMEM;
	m->source = strdup(source ? source : fs->source);
	if (!m->source) {
		free(m);
		return -ENOMEM;
	}
	ref_init(&m->ref);
	m->id = atomic_fetch_add(&next_id, 1);
	m->serial = atomic_fetch_add(&serials, 1) + 1;
	atomic_init(&m->flags, flags);
	m->fs = fs_get(fs);
	m->root = dirent_get(root);
	m->parent = m;
	list_init(&m->children);
	list_init(&m->sibling);
	list_init(&m->ns_node);
	*out = m;
	return 0;
}

static uint64_t place_hash(const struct mount *parent, const struct dirent *d)
{
	uint64_t h = ((uintptr_t)parent >> 4) * 0x9e3779b97f4a7c15ULL ^ (uintptr_t)d >> 4;

	return (h ^ h >> 29) * 0xbf58476d1ce4e5b9ULL >> 8;
}

static bool place_eq(const struct hnode *n, const void *key)
{
	const struct mount *m = container_of(n, struct mount, hash);
	const struct path *at = key;

	return m->parent == at->mount && m->mountpoint == at->dirent;
}

struct mount *mount_find_locked(const struct mount *parent, const struct dirent *d)
{
	struct path at = {(struct mount *)parent, (struct dirent *)d};
	struct hnode *n = htable_find(&mounted, place_hash(parent, d), place_eq, &at);

	return n ? container_of(n, struct mount, hash) : NULL;
}

void mount_down_locked(struct path *p)
{
	while (dirent_has(p->dirent, DIRENT_MOUNTPOINT)) {
		struct mount *m = mount_find_locked(p->mount, p->dirent);

		if (!m)
			return;
		*p = (struct path){m, m->root};
	}
}

int mount_follow_down(struct path *p)
{
	struct path top = *p;

	if (!dirent_has(p->dirent, DIRENT_MOUNTPOINT))
		return 0;
	tree_rdlock();
	mount_down_locked(&top);
	path_get(&top);
	tree_rdunlock();
	if (path_same(&top, p)) {
		path_put(&top);
		return 0;
	}
	path_put(p);
	*p = top;
	return 1;
}

int mount_follow_up(struct path *p)
{
	struct path up = {0};

	tree_rdlock();
	if (p->mount->parent != p->mount) {
		up = (struct path){p->mount->parent, p->mount->mountpoint};
		path_get(&up);
	}
	tree_rdunlock();
	if (!up.mount)
		return 0;
	path_put(p);
	*p = up;
	return 1;
}

struct mount *mount_next(struct mount *m, const struct mount *top)
{
	if (!list_empty(&m->children))
		return list_first(&m->children, struct mount, sibling);
	while (m != top && m->sibling.next == &m->parent->children)
		m = m->parent;
	return m == top ? NULL : list_entry(m->sibling.next, struct mount, sibling);
}

void mount_link_locked(struct mount_ns *ns, struct mount *m, const struct path *at)
{
	vfs_changed_mounts();
	for (struct mount *c = m; ns && c; c = mount_next(c, m)) {
		c->ns = ns;
		list_push_back(&ns->mounts, &c->ns_node);
		ns->count++;
	}
	if (!at)
		return;
	m->parent = mount_get(at->mount);
	m->mountpoint = dirent_get(at->dirent);
	list_push_back(&at->mount->children, &m->sibling);
	htable_insert(&mounted, &m->hash, place_hash(at->mount, at->dirent));
	dirent_mounted_locked(at->dirent);
}

void mount_unlink_locked(struct mount *m, struct path *at, struct dirent **stale)
{
	*at = (struct path){0};
	*stale = NULL;
	vfs_changed_mounts();
	if (m->ns) {
		list_del_init(&m->ns_node);
		m->ns->count--;
		m->ns = NULL;
	}
	if (m->parent == m)
		return;
	*at = (struct path){m->parent, m->mountpoint};
	htable_remove(&mounted, &m->hash);
	list_del_init(&m->sibling);
	m->parent = m;
	m->mountpoint = NULL;
	if (dirent_unmounted_locked(at->dirent))
		*stale = at->dirent;
}

/* Directories go on directories, other things on other things. */
static int type_match(struct dirent *root, const struct path *at)
{
	bool a = inode_type(dirent_inode(root)) == S_IFDIR;
	bool b = inode_type(dirent_inode(at->dirent)) == S_IFDIR;

	return a == b ? 0 : -ENOTDIR;
}

/* Puts m on top of whatever is mounted at `at`; consumes m. mounts_mu held. */
static int attach(struct mount_ns *ns, struct mount *m, const struct path *at)
{
	struct path top = *at;
	int r = type_match(m->root, at);

	if (r == 0 && ns->count >= MOUNTS_MAX)
		r = -ENOSPC;
	if (r == 0) {
		tree_wrlock();
		mount_down_locked(&top);
		if (top.mount->ns != ns)
			r = -EINVAL;
		else if (dirent_has(top.dirent, DIRENT_UNHASHED))
			r = -ENOENT;
		else
			mount_link_locked(ns, m, &top);
		tree_wrunlock();
	}
	if (r < 0)
		mount_tree_drop(m);
	return r;
}

/* One at a time from the first leaf on: no recursion, no memory. */
void mount_tree_drop(struct mount *m)
{
	for (;;) {
		struct mount *leaf = m;
		struct dirent *stale;
		struct path at;

		tree_wrlock();
		while (!list_empty(&leaf->children))
			leaf = list_first(&leaf->children, struct mount, sibling);
		mount_unlink_locked(leaf, &at, &stale);
		tree_wrunlock();
		dirent_put(stale);
		path_put(&at);
		mount_put(leaf);
		if (leaf == m)
			return;
	}
}

int mount_attach(struct mount_ns *ns, const struct path *at, struct fs *fs, struct dirent *root,
		 uint32_t flags, const char *source)
{
	struct mount *m;
	int r = mount_new(fs, root, flags, source, &m);

	if (r < 0)
		return r;
	AUTO_LOCK(&mounts_mu);
	return attach(ns, m, at);
}

/* Copies src, with root as its root, and if recursive the mounts below it in that tree. The copy is
 * attached nowhere; src->copy and below point to the copies. mounts_mu held. */
int mount_copy(struct mount *src, struct dirent *root, bool recursive, struct mount **out)
{
	struct mount *copy;
	int r = mount_new(src->fs, root, mount_flags(src), src->source, &copy);

	if (r < 0)
		return r;
	src->copy = copy;
	copy->copied = src->serial;
	for (struct mount *c = src; recursive && (c = mount_next(c, src));) {
		struct path at = {c->parent->copy, c->mountpoint};

		c->copy = NULL;
		if (!at.mount || (c->parent == src && !dirent_is_below(c->mountpoint, root)))
			continue;
		r = mount_new(c->fs, c->root, mount_flags(c), c->source, &c->copy);
		if (r < 0) {
			mount_tree_drop(copy);
			return r;
		}
		c->copy->copied = c->serial;
		tree_wrlock();
		mount_link_locked(NULL, c->copy, &at);
		tree_wrunlock();
	}
	*out = copy;
	return 0;
}

int mount_bind(struct mount_ns *ns, const struct path *at, const struct path *what, bool recursive)
{
	struct mount *m;
	int r;

	AUTO_LOCK(&mounts_mu);
	if (what->mount->ns != ns)
		return -EINVAL;
	if (recursive && ns->count > MOUNTS_MAX / 2)
		return -ENOSPC;
	r = mount_copy(what->mount, what->dirent, recursive, &m);
	return r < 0 ? r : attach(ns, m, at);
}

static bool mount_below(struct mount *m, const struct mount *top)
{
	while (m != top && m->parent != m)
		m = m->parent;
	return m == top;
}

int mount_move(struct mount_ns *ns, const struct path *at, struct mount *m)
{
	struct dirent *stale;
	struct path old;
	int r;

	AUTO_LOCK(&mounts_mu);
	if (m->ns != ns || m->parent == m || at->mount->ns != ns)
		return -EINVAL;
	if (mount_below(at->mount, m))
		return -ELOOP;
	r = type_match(m->root, at);
	if (r < 0)
		return r;
	mount_get(m);
	tree_wrlock();
	mount_move_locked(m, at, &old, &stale);
	tree_wrunlock();
	dirent_put(stale);
	path_put(&old);
	mount_put(m);
	return 0;
}

/* Hangs m elsewhere, with all below it, which stays in the namespace. */
void mount_move_locked(struct mount *m, const struct path *at, struct path *old,
		       struct dirent **stale)
{
	struct mount_ns *ns = m->ns;
	struct path top = *at;

	mount_unlink_locked(m, old, stale);
	m->ns = ns;
	list_push_back(&ns->mounts, &m->ns_node);
	ns->count++;
	mount_down_locked(&top);
	mount_link_locked(NULL, m, &top);
}

int mount_remount(struct mount *m, uint32_t flags)
{
	atomic_store(&m->flags, flags);
	vfs_changed_mounts();
	return 0;
}

/* The caller holds one reference (the path that it walked to). */
int mount_detach(struct mount_ns *ns, struct mount *m, bool lazy)
{
	struct dirent *stale = NULL;
	struct path at = {0};

	AUTO_LOCK(&mounts_mu);
	if (m->ns != ns)
		return -EINVAL;
	if (m->parent == m)
		return lazy ? -EINVAL : -EBUSY;
	if (lazy) {
		mount_get(m);
		mount_tree_drop(m);
		atomic_fetch_or(&m->flags, MNT_DETACHED);
		mount_put(m);
		return 0;
	}
	tree_wrlock();
	if (!list_empty(&m->children) || ref_count(&m->ref) > 2) {
		tree_wrunlock();
		return -EBUSY;
	}
	mount_unlink_locked(m, &at, &stale);
	tree_wrunlock();
	dirent_put(stale);
	path_put(&at);
	mount_put(m); /* the tree's */
	return 0;
}
