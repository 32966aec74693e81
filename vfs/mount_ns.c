/* Mount namespaces: whole trees of mounts. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "abi/base/lock.h"
#include "vfs/fs.h"
#include "vfs/mount.h"
#include "vfs/mount_impl.h"
#include "vfs/tree_lock.h"
#include "vfs/vfs_impl.h"

static struct mount_ns *ns_alloc(void)
{
	struct mount_ns *ns = calloc(1, sizeof(*ns));

	if (!ns)
		return NULL;
	ref_init(&ns->ref);
	list_init(&ns->mounts);
	return ns;
}

static void ns_set_root(struct mount_ns *ns, struct mount *m)
{
	tree_wrlock();
	ns->root = m;
	mount_link_locked(ns, m, NULL);
	tree_wrunlock();
}

int mount_ns_new(struct fs *fs, uint32_t flags, struct mount_ns **out)
{
	AUTO(free) struct mount_ns *ns = ns_alloc();
	struct mount *m;
	int r;

	if (!ns)
		return -ENOMEM;
	r = mount_new(fs, fs->root, flags, NULL, &m);
	if (r < 0)
		return r;
	ns_set_root(ns, m);
	*out = steal(&ns);
	return 0;
}

int mount_ns_clone(struct mount_ns *from, struct mount_ns **out)
{
	AUTO(free) struct mount_ns *ns = ns_alloc();
	struct mount *m;
	int r;

	if (!ns)
		return -ENOMEM;
	AUTO_LOCK(&mounts_mu);
	r = mount_copy(from->root, from->root->root, true, &m);
	if (r < 0)
		return r;
	ns_set_root(ns, m);
	*out = steal(&ns);
	return 0;
}

void mount_ns_adopt(struct mount_ns *clone, struct path *p)
{
	struct path to = {0};

	{
		AUTO_LOCK(&mounts_mu);
		list_for_each (m, &clone->mounts, struct mount, ns_node) {
			if (!p->mount || m->copied != p->mount->serial)
				continue;
			to = (struct path){m, p->dirent};
			path_get(&to);
			break;
		}
	}
	if (to.mount) {
		path_put(p);
		*p = to;
	}
}

struct mount_ns *mount_ns_get(struct mount_ns *ns)
{
	ref_get(&ns->ref);
	return ns;
}

void mount_ns_put(struct mount_ns *ns)
{
	if (!ns || !ref_put(&ns->ref))
		return;
	{
		AUTO_LOCK(&mounts_mu);
		mount_tree_drop(ns->root);
	}
	free(ns);
}

void mount_ns_root(struct mount_ns *ns, struct path *out)
{
	tree_rdlock();
	*out = (struct path){ns->root, ns->root->root};
	mount_down_locked(out);
	path_get(out);
	tree_rdunlock();
}

/* mounts_mu instead of the tree lock: fn may take the latter. */
void mount_ns_each(struct mount_ns *ns, void (*fn)(struct mount *m, void *ctx), void *ctx)
{
	AUTO_LOCK(&mounts_mu);
	list_for_each (m, &ns->mounts, struct mount, ns_node)
		fn(m, ctx);
}

bool path_below_locked(struct path p, const struct path *top)
{
	for (;;) {
		if (path_same(&p, top))
			return true;
		if (p.dirent != p.mount->root)
			p.dirent = p.dirent->parent;
		else if (p.mount->parent != p.mount)
			p = (struct path){p.mount->parent, p.mount->mountpoint};
		else
			return false;
	}
}

static int pivot_check_locked(struct mount_ns *ns, const struct path *root,
			      const struct path *new_root, const struct path *put_old)
{
	if (new_root->mount->ns != ns || root->mount->ns != ns || put_old->mount->ns != ns)
		return -EINVAL;
	if (new_root->mount == root->mount || put_old->mount == root->mount)
		return -EBUSY;
	if (root->dirent != root->mount->root || new_root->dirent != new_root->mount->root)
		return -EINVAL;
	if (new_root->mount->parent == new_root->mount)
		return -EINVAL;
	if (!path_below_locked(*put_old, new_root) || !path_below_locked(*new_root, root))
		return -EINVAL;
	return 0;
}

/* new_root takes the place where the old root hung (if anywhere), the old root goes to put_old. With
 * put_old == new_root the old root ends up on top of the new one, ready to be unmounted: the
 * pivot_root(".", ".") of container runtimes. */
int mount_pivot(struct mount_ns *ns, const struct path *root, const struct path *new_root,
		const struct path *put_old)
{
	struct path root_at = {0}, new_at = {0}, gone = {0};
	struct dirent *stale[2] = {NULL, NULL};
	struct mount *old = root->mount, *new = new_root->mount;
	int r;

	AUTO_LOCK(&mounts_mu);
	tree_wrlock();
	r = pivot_check_locked(ns, root, new_root, put_old);
	if (r == 0) {
		mount_unlink_locked(new, &new_at, &stale[0]);
		if (old->parent != old)
			root_at = (struct path){old->parent, old->mountpoint};
		mount_unlink_locked(old, &gone, &stale[1]);
		new->ns = old->ns = ns;
		list_push_back(&ns->mounts, &new->ns_node);
		list_push_back(&ns->mounts, &old->ns_node);
		ns->count += 2;
		mount_link_locked(NULL, new, root_at.mount ? &root_at : NULL);
		mount_link_locked(NULL, old, put_old);
		if (ns->root == old)
			ns->root = new;
	}
	tree_wrunlock();
	dirent_put(stale[0]);
	dirent_put(stale[1]);
	path_put(&new_at);
	path_put(&gone);
	return r;
}

/* Text grows from the end of the buffer to its front. */
struct text {
	char *buf, *at;
	size_t size;
};

static int text_front(struct text *t, const char *s, size_t n)
{
	if ((size_t)(t->at - t->buf) < n)
		return -ERANGE;
	t->at -= n;
	memcpy(t->at, s, n);
	return 0;
}

static int text_path_locked(struct text *t, struct path p, const struct path *root)
{
	bool anon = dirent_has(p.dirent, DIRENT_ANON);
	int r = text_front(t, "", 1);
	char *end = t->at;

	if (r == 0 && dirent_has(p.dirent, DIRENT_UNHASHED))
		r = text_front(t, " (deleted)", 10);
	if (anon)
		return r < 0 ? r : text_front(t, p.dirent->name, p.dirent->name_len);
	end = t->at;
	while (r == 0 && !path_same(&p, root)) {
		if (p.dirent != p.mount->root) {
			r = text_front(t, p.dirent->name, p.dirent->name_len);
			r = r < 0 ? r : text_front(t, "/", 1);
			if (p.dirent->parent == p.dirent)
				break; /* cannot be: a root that is not its mount's */
			p.dirent = p.dirent->parent;
		} else if (p.mount->parent != p.mount) {
			p = (struct path){p.mount->parent, p.mount->mountpoint};
		} else {
			/* Not below root. The namespace's own root is no reason to complain when
			 * root was chrooted to is elsewhere; the path is still absolute. */
			if (t->at == end)
				r = text_front(t, "/", 1);
			return r < 0 ? r : text_front(t, "(unreachable)", 13);
		}
	}
	if (r == 0 && t->at == end)
		r = text_front(t, "/", 1);
	return r;
}

int path_to_text(const struct path *p, const struct path *root, char **out)
{
	for (size_t size = 256;; size *= 4) {
		AUTO(free) char *buf = malloc(size);
		struct text t;
		int r;

		if (!buf)
			return -ENOMEM;
		t = (struct text){buf, buf + size, size};
		tree_rdlock();
		r = text_path_locked(&t, *p, root);
		tree_rdunlock();
		if (r == -ERANGE && size < 1 << 20)
			continue;
		if (r < 0)
			return -ENAMETOOLONG;
		memmove(buf, t.at, (size_t)(buf + size - t.at));
		*out = steal(&buf);
		return 0;
	}
}
