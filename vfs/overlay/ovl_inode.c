/* Overlay inodes: the tables that make one exist for each object, records, attributes. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "vfs/changes.h"
#include "vfs/file.h"
#include "vfs/overlay/overlay_impl.h"
#include "vfs/vfs.h"
#include "vfs/vfs_impl.h"

/* ---- identity ------------------------------------------------------------------------------ */

#define LAYER_SHIFT 48

/* Numbers of the topmost lower stay as they are; those of the others, and of the upper, are set
 * apart by high bits, as xino of Linux's overlayfs does. */
uint64_t ovl_ino_of(unsigned layer, uint64_t real_ino)
{
	return layer == 0 ? real_ino : real_ino ^ ((uint64_t)layer + 1) << LAYER_SHIFT;
}

struct lower_key {
	unsigned layer;
	uint64_t ino;
};

static uint64_t lower_hash(unsigned layer, uint64_t ino)
{
	return hash_u64(ino ^ (uint64_t)layer << LAYER_SHIFT);
}

static bool lower_eq(const struct hnode *n, const void *key)
{
	const struct ovl_inode *oi = container_of((struct hnode *)n, struct ovl_inode, lower_node);
	const struct lower_key *k = key;

	return oi->lowers[0].layer == k->layer && oi->lowers[0].inode->ino == k->ino &&
	       ref_count(&oi->i.ref) > 0;
}

static bool upper_eq(const struct hnode *n, const void *key)
{
	struct ovl_inode *oi = container_of((struct hnode *)n, struct ovl_inode, upper_node);

	return ovl_upper(oi) == key && ref_count(&oi->i.ref) > 0;
}

static bool record_upper_eq(const struct hnode *n, const void *key)
{
	return container_of((struct hnode *)n, struct ovl_record, upper_node)->upper_ino ==
	       *(const uint64_t *)key;
}

static bool record_lower_eq(const struct hnode *n, const void *key)
{
	const struct ovl_record *r = container_of((struct hnode *)n, struct ovl_record, lower_node);
	const struct lower_key *k = key;

	return r->lower_layer == k->layer && r->lower_ino == k->ino;
}

struct ovl_record *ovl_record_locked(struct overlay *o, uint64_t upper_ino, bool make)
{
	uint64_t hash = hash_u64(upper_ino);
	struct hnode *n = htable_find(&o->records, hash, record_upper_eq, &upper_ino);
	struct ovl_record *r;

	if (n)
		return container_of(n, struct ovl_record, upper_node);
	if (!make)
		return NULL;
	r = calloc(1, sizeof(*r));
	if (!r)
		return NULL;
	r->upper_ino = upper_ino;
	if (htable_insert(&o->records, &r->upper_node, hash) < 0) {
		free(r);
		return NULL;
	}
	return r;
}

static void record_free(struct ovl_record *r)
{
	ovl_lowers_put(r->lowers, r->nlowers);
	inode_put(r->upper);
	free(r);
}

void ovl_record_drop(struct overlay *o, struct inode *upper)
{
	struct ovl_record *r;
	{
		AUTO_LOCK(&o->mu);
		r = ovl_record_locked(o, upper->ino, false);
		if (!r || (r->linked && r->lower_links > 0))
			return;
		htable_remove(&o->records, &r->upper_node);
		if (r->linked)
			htable_remove(&o->links, &r->lower_node);
	}
	record_free(r);
}

void ovl_tables_free(struct overlay *o)
{
	for (struct hnode *n = htable_iter(&o->records, NULL), *next; n; n = next) {
		next = htable_iter(&o->records, n);
		htable_remove(&o->records, n);
		record_free(container_of(n, struct ovl_record, upper_node));
	}
	htable_destroy(&o->records);
	htable_destroy(&o->links);
	htable_destroy(&o->by_upper);
	htable_destroy(&o->by_lower);
}

uint64_t ovl_upper_ino(struct overlay *o, uint64_t real_ino)
{
	AUTO_LOCK(&o->mu);
	struct ovl_record *r = ovl_record_locked(o, real_ino, false);

	return r && r->ino ? r->ino : real_ino ^ 1ULL << LAYER_SHIFT;
}

void ovl_lowers_put(struct ovl_lower *lowers, size_t n)
{
	for (size_t i = 0; i < n; i++)
		inode_put(lowers[i].inode);
	free(lowers);
}

struct ovl_lower *ovl_lowers_dup(const struct ovl_lower *lowers, size_t n)
{
	struct ovl_lower *copy = calloc(n ? n : 1, sizeof(*copy));

	for (size_t i = 0; copy && i < n; i++)
		copy[i] = (struct ovl_lower){inode_get(lowers[i].inode), lowers[i].layer};
	return copy;
}

/* ---- life ---------------------------------------------------------------------------------- */

static const struct inode_ops *ops_for(const struct overlay *o, uint32_t type)
{
	switch (type) {
	case S_IFDIR:
		return o->revalidates ? &ovl_dir_reval_inode_ops : &ovl_dir_inode_ops;
	case S_IFREG:
		return &ovl_file_inode_ops;
	case S_IFLNK:
		return &ovl_link_inode_ops;
	default:
		return &ovl_special_inode_ops;
	}
}

static struct ovl_inode *find_live_locked(struct overlay *o, struct inode *upper,
					  const struct ovl_lower *lower)
{
	struct ovl_inode *oi = NULL;
	struct hnode *n;

	if (upper) {
		n = htable_find(&o->by_upper, hash_u64((uintptr_t)upper), upper_eq, upper);
		if (n)
			oi = container_of(n, struct ovl_inode, upper_node);
	} else if (lower) {
		struct lower_key key = {lower->layer, lower->inode->ino};

		n = htable_find(&o->by_lower, lower_hash(key.layer, key.ino), lower_eq, &key);
		if (n)
			oi = container_of(n, struct ovl_inode, lower_node);
	}
	return oi && ref_get_unless_zero(&oi->i.ref) ? oi : NULL;
}

/* The upper of a lower file with several links, if one of them was copied up. */
static struct inode *linked_upper_locked(struct overlay *o, const struct ovl_lower *lower)
{
	struct lower_key key = {lower->layer, lower->inode->ino};
	struct hnode *n = htable_find(&o->links, lower_hash(key.layer, key.ino), record_lower_eq,
				      &key);

	return n ? inode_get(container_of(n, struct ovl_record, lower_node)->upper) : NULL;
}

static int insert_locked(struct overlay *o, struct ovl_inode *oi)
{
	struct inode *upper = ovl_upper(oi);

	if (upper) {
		if (htable_insert(&o->by_upper, &oi->upper_node, hash_u64((uintptr_t)upper)) < 0)
			return -ENOMEM;
		oi->in_upper = true;
	} else {
		uint64_t h = lower_hash(oi->lowers[0].layer, oi->lowers[0].inode->ino);

		if (htable_insert(&o->by_lower, &oi->lower_node, h) < 0)
			return -ENOMEM;
		oi->in_lower = true;
	}
	return 0;
}

static struct ovl_inode *inode_alloc(struct overlay *o, struct inode *upper,
				     struct ovl_lower *lowers, size_t n, uint64_t ino)
{
	struct inode *real = upper ? upper : lowers[0].inode;
	struct ovl_inode *oi = calloc(1, sizeof(*oi));

	if (!oi)
		return NULL;
	inode_init(&oi->i, o->fs, ops_for(o, inode_type(real)), ino, atomic_load(&real->mode));
	rwlock_init(&oi->copy_mu, LOCK_OVERLAY);
	oi->o = o;
	atomic_init(&oi->upper, upper);
	oi->lowers = lowers;
	oi->nlowers = n;
	if (upper)
		inode_rank_as_layer(upper);
	for (size_t i = 0; i < n; i++)
		if (lowers[i].inode)
			inode_rank_as_layer(lowers[i].inode);
	ovl_refresh(oi);
	return oi;
}

/* Closes what was opened; drops the layers' inodes. Not the parent: see ovl_inode_release. */
static void inode_free(struct ovl_inode *oi)
{
	file_put(atomic_load(&oi->lower_ro));
	file_put(atomic_load(&oi->upper_ro));
	file_put(atomic_load(&oi->upper_rw));
	ovl_list_put(oi->list);
	ovl_list_put(oi->lower_list);
	inode_put(ovl_upper(oi));
	ovl_lowers_put(oi->lowers, oi->nlowers);
	free(oi->name);
	rwlock_destroy(&oi->copy_mu);
	inode_fini(&oi->i);
	free(oi);
}

/* An inode holds its parent, and so on: a deep path must not become a deep recursion. */
void ovl_inode_release(struct inode *inode)
{
	struct ovl_inode *oi = ovl_i(inode);

	while (oi) {
		struct ovl_inode *parent = oi->parent;
		{
			AUTO_LOCK(&oi->o->mu);
			if (oi->in_upper)
				htable_remove(&oi->o->by_upper, &oi->upper_node);
			if (oi->in_lower)
				htable_remove(&oi->o->by_lower, &oi->lower_node);
		}
		inode_free(oi);
		oi = parent && ref_put(&parent->i.ref) ? parent : NULL;
	}
}

int ovl_inode_get(struct overlay *o, struct inode *upper, struct ovl_lower *lowers, size_t n,
		  struct ovl_inode *parent, const char *name, size_t len, struct inode **out)
{
	struct ovl_inode *oi, *made;
	uint64_t ino = 0;
	int r = 0;
	{
		AUTO_LOCK(&o->mu);
		struct ovl_record *rec;

		if (!upper && n && inode_type(lowers[0].inode) != S_IFDIR)
			upper = linked_upper_locked(o, &lowers[0]);
		oi = find_live_locked(o, upper, n ? &lowers[0] : NULL);
		rec = upper ? ovl_record_locked(o, upper->ino, false) : NULL;
		if (rec)
			ino = rec->ino;
	}
	if (oi) {
		inode_put(upper);
		ovl_lowers_put(lowers, n);
		*out = &oi->i;
		return 0;
	}
	if (!ino && n)
		ino = ovl_ino_of(lowers[0].layer, lowers[0].inode->ino);
	else if (!ino)
		ino = upper->ino ^ 1ULL << LAYER_SHIFT;
	made = inode_alloc(o, upper, lowers, n, ino);
	if (!made) {
		inode_put(upper);
		ovl_lowers_put(lowers, n);
		return -ENOMEM;
	}
	if (parent)
		r = ovl_set_place(made, parent, name, len, false);
	if (r == 0) {
		AUTO_LOCK(&o->mu);
		oi = find_live_locked(o, upper, n ? &lowers[0] : NULL);
		if (!oi)
			r = insert_locked(o, made);
	}
	if (oi || r < 0) { /* another was faster */
		inode_put(&made->i);
		if (r < 0)
			return r;
		*out = &oi->i;
		return 0;
	}
	*out = &made->i;
	return 0;
}

void ovl_set_upper(struct ovl_inode *oi, struct inode *upper)
{
	struct overlay *o = oi->o;

	AUTO_LOCK(&o->mu);
	atomic_store_explicit(&oi->upper, upper, memory_order_release);
	vfs_changed(oi->i.fs);
	oi->in_upper =
		htable_insert(&o->by_upper, &oi->upper_node, hash_u64((uintptr_t)upper)) == 0;
}

int ovl_set_place(struct ovl_inode *oi, struct ovl_inode *parent, const char *name, size_t len,
		  bool fresh)
{
	char *copy = parent ? strndup(name, len) : NULL;
	struct ovl_inode *old;
	char *old_name;

	if (parent && !copy)
		return -ENOMEM;
	{
		AUTO_WRLOCK(&oi->copy_mu);
		old = oi->parent;
		old_name = oi->name;
		if (parent)
			inode_get(&parent->i);
		oi->parent = parent;
		oi->name = copy;
		oi->name_len = parent ? len : 0;
		oi->fresh = fresh;
	}
	free(old_name);
	if (old)
		inode_put(&old->i);
	return 0;
}

/* ---- attributes ---------------------------------------------------------------------------- */

void ovl_refresh(struct ovl_inode *oi)
{
	struct inode *real = ovl_real(oi);
	uint32_t uid = atomic_load(&real->uid), gid = atomic_load(&real->gid);
	uint32_t mode = atomic_load(&real->mode);
	struct vfs_attr a;

	if ((uid == INODE_ID_UNKNOWN || gid == INODE_ID_UNKNOWN) && real->ops->getattr &&
	    real->ops->getattr(real, &a) == 0) {
		uid = a.uid;
		gid = a.gid;
		mode = a.mode;
	}
	atomic_store(&oi->i.mode, mode);
	inode_set_owner(&oi->i, uid, gid);
}

/* What link counts don't show of files with several names in a lower. */
static uint32_t hidden_links(struct ovl_inode *oi, struct inode *upper)
{
	AUTO_LOCK(&oi->o->mu);
	struct ovl_record *r = ovl_record_locked(oi->o, upper->ino, false);

	return r && r->linked && r->lower_links > 0 ? (uint32_t)r->lower_links : 0;
}

int ovl_getattr(struct inode *inode, struct vfs_attr *out)
{
	struct ovl_inode *oi = ovl_i(inode);
	struct inode *real = ovl_real(oi), *upper = ovl_upper(oi);
	int r;

	if (!real->ops->getattr)
		return -EIO;
	r = real->ops->getattr(real, out);
	if (r < 0)
		return r;
	out->ino = inode->ino;
	out->dev = inode->fs->dev;
	out->fixed = !upper && real->fs->attr_fixed;
	if (inode_type(inode) == S_IFDIR) {
		if (oi->nlowers + (upper != NULL) > 1 && out->nlink)
			out->nlink = 1; /* merged: nobody knows, as Linux says it */
	} else if (upper && oi->nlowers) {
		out->nlink += hidden_links(oi, upper);
	} else if (!upper) {
		uint32_t lost = atomic_load_explicit(&oi->lost_links, memory_order_relaxed);

		out->nlink -= lost < out->nlink ? lost : out->nlink;
	}
	return 0;
}

int ovl_setattr(struct inode *inode, const struct vfs_setattr *sa)
{
	struct ovl_inode *oi = ovl_i(inode);
	bool empty = sa->mask & ATTR_SIZE && sa->size == 0;
	struct inode *upper;
	int r = ovl_copy_up(oi, empty ? OVL_NO_DATA : 0);

	if (r < 0)
		return r;
	upper = ovl_upper(oi);
	if (!upper->ops->setattr)
		return -EPERM;
	r = upper->ops->setattr(upper, sa);
	ovl_refresh(oi);
	return r;
}

static bool own_xattr(const char *name)
{
	return strncmp(name, OVL_XATTR_PREFIX, strlen(OVL_XATTR_PREFIX)) == 0;
}

/* ACLs are not stored by the upper and not enforced: not asked for either, as if the layers were
 * mounted without. */
static bool acl_xattr(const char *name)
{
	return strncmp(name, "system.posix_acl_", 17) == 0;
}

ssize_t ovl_getxattr(struct inode *inode, const char *name, void *value, size_t size)
{
	struct ovl_inode *oi = ovl_i(inode);
	struct inode *real = ovl_real(oi);

	if (acl_xattr(name))
		return -EOPNOTSUPP;
	if (own_xattr(name))
		return -ENODATA;
	if (!ovl_upper(oi) && atomic_load_explicit(&oi->no_xattrs, memory_order_relaxed))
		return -ENODATA;
	return real->ops->getxattr ? real->ops->getxattr(real, name, value, size) : -EOPNOTSUPP;
}

int ovl_setxattr(struct inode *inode, const char *name, const void *value, size_t size, int flags)
{
	struct ovl_inode *oi = ovl_i(inode);
	struct inode *upper;
	int r;

	if (acl_xattr(name))
		return -EOPNOTSUPP;
	if (own_xattr(name))
		return -EPERM;
	r = ovl_copy_up(oi, 0);
	if (r < 0)
		return r;
	upper = ovl_upper(oi);
	if (!upper->ops->setxattr)
		return -EOPNOTSUPP;
	return upper->ops->setxattr(upper, name, value, size, flags);
}

ssize_t ovl_listxattr(struct inode *inode, char *list, size_t size)
{
	struct ovl_inode *oi = ovl_i(inode);
	struct inode *real = ovl_real(oi);
	AUTO(free) char *all = NULL;
	ssize_t n, out = 0;

	if (!real->ops->listxattr)
		return 0;
	if (!ovl_upper(oi) && atomic_load_explicit(&oi->no_xattrs, memory_order_relaxed))
		return 0;
	n = real->ops->listxattr(real, NULL, 0);
	if (n == 0 && !oi->o->revalidates)
		atomic_store_explicit(&oi->no_xattrs, true, memory_order_relaxed);
	if (n <= 0)
		return n;
	all = malloc((size_t)n);
	if (!all)
		return -ENOMEM;
	n = real->ops->listxattr(real, all, (size_t)n);
	for (char *p = all; n > 0 && p < all + n; p += strlen(p) + 1) {
		size_t len = strlen(p) + 1;

		if (own_xattr(p))
			continue;
		if (size && (size_t)out + len > size)
			return -ERANGE;
		if (size)
			memcpy(list + out, p, len);
		out += (ssize_t)len;
	}
	return n < 0 ? n : out;
}

int ovl_removexattr(struct inode *inode, const char *name)
{
	struct ovl_inode *oi = ovl_i(inode);
	struct inode *upper;
	ssize_t n;
	int r;

	if (own_xattr(name))
		return -EPERM;
	n = ovl_getxattr(inode, name, NULL, 0); /* no copy-up for what is not there */
	if (n < 0)
		return (int)n;
	r = ovl_copy_up(oi, 0);
	if (r < 0)
		return r;
	upper = ovl_upper(oi);
	return upper->ops->removexattr ? upper->ops->removexattr(upper, name) : -EOPNOTSUPP;
}

int ovl_readlink(struct inode *inode, char **target)
{
	struct inode *real = ovl_real(ovl_i(inode));

	return real->ops->readlink ? real->ops->readlink(real, target) : -EINVAL;
}

int ovl_statfs(struct inode *inode, struct vfs_statfs *out)
{
	struct overlay *o = ovl_i(inode)->o;
	struct inode *real = o->upper.root ? o->upper.root : o->lowers[0].root;
	int r;

	if (!real->ops->statfs) {
		memset(out, 0, sizeof(*out));
		out->bsize = out->frsize = 4096;
		out->namelen = 255;
	} else {
		r = real->ops->statfs(real, out);
		if (r < 0)
			return r;
	}
	out->type = o->fs->magic;
	out->fsid = o->fs->dev;
	return 0;
}

const struct inode_ops ovl_file_inode_ops = {.open = ovl_file_open, OVL_ATTR_SLOTS};
const struct inode_ops ovl_link_inode_ops = {.readlink = ovl_readlink, OVL_ATTR_SLOTS};
const struct inode_ops ovl_special_inode_ops = {OVL_ATTR_SLOTS};
