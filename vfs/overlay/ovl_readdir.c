/* Listing directories.
 *
 * A directory without lowers is listed straight from the upper, with its cookies. Anything else is
 * listed from a snapshot of the merged names, shared by all who open the directory while nothing
 * changes in it; position n+2 is entry n, so positions stay good while names come and go, and
 * rewinding takes a new snapshot. Whiteouts and the names below them are left out when the
 * snapshot is made. What the lowers show is read from them once (lower_list), since it does not
 * change: a new snapshot costs a scan of the upper alone. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "vfs/file.h"
#include "vfs/overlay/overlay_impl.h"

#define KEEP_MAX 8192	  /* a longer list is not kept after use */
#define ENTRIES_MAX (1u << 22)

struct ovl_entry {
	struct hnode hash;
	uint64_t ino;
	uint32_t len;
	uint8_t type;
	bool hidden;
	char name[];
};

struct ovl_list {
	struct ref ref;
	unsigned version;
	struct ovl_entry **entries;
	size_t n, cap;
	size_t own;	       /* the first `own` entries are freed with the list ... */
	struct ovl_list *base; /* ... the others belong to this one; owned, or NULL */
};

static void list_free(struct ovl_list *l)
{
	for (size_t i = 0; i < l->own; i++)
		free(l->entries[i]);
	free(l->entries);
	ovl_list_put(l->base);
	free(l);
}

void ovl_list_put(struct ovl_list *l)
{
	if (l && ref_put(&l->ref))
		list_free(l);
}

/* ---- scanning a layer ---------------------------------------------------------------------- */

struct scan_sink {
	struct dir_sink sink;
	struct ovl_scan *scan;
	bool any;
};

static bool scan_emit(struct dir_sink *sink, const char *name, size_t len, uint64_t ino,
		      unsigned type, uint64_t next_off)
{
	struct scan_sink *s = container_of(sink, struct scan_sink, sink);

	s->any = true;
	if (name[0] == '.' && (len == 1 || (len == 2 && name[1] == '.')))
		return true;
	s->scan->err = s->scan->fn(s->scan, name, len, ino, type);
	return s->scan->err == 0;
}

int ovl_scan_dir(struct inode *dir, struct ovl_scan *scan)
{
	struct scan_sink s = {.sink = {.emit = scan_emit}, .scan = scan};
	AUTO(file) struct file *f = NULL;
	uint64_t pos = 0;
	int r = ovl_open_real(dir, O_RDONLY | O_DIRECTORY, &f);

	if (r < 0)
		return r;
	if (!f->ops->readdir)
		return -ENOTDIR;
	do {
		s.any = false;
		r = f->ops->readdir(f, &pos, &s.sink);
		if (r == 0)
			r = scan->err;
	} while (r == 0 && s.any);
	return r;
}

/* ---- merging ------------------------------------------------------------------------------- */

struct merge {
	struct ovl_scan scan;
	struct ovl_inode *dir;
	struct inode *layer_dir;
	struct ovl_list *list;
	struct htable seen;
	bool upper, check; /* check: names above may hide this one */
	unsigned layer;
};

struct entry_key {
	const char *name;
	size_t len;
};

static bool entry_eq(const struct hnode *n, const void *key)
{
	const struct ovl_entry *e = container_of((struct hnode *)n, struct ovl_entry, hash);
	const struct entry_key *k = key;

	return e->len == k->len && memcmp(e->name, k->name, k->len) == 0;
}

static bool whiteout_entry(struct merge *m, const char *name, size_t len, unsigned type)
{
	AUTO(inode) struct inode *i = NULL;

	if (type != DT_CHR && type != DT_UNKNOWN)
		return false;
	/* An overlay shows none, and a lookup in it would take a lock that its listing may hold. */
	if (m->layer_dir->fs->type == &ovl_type)
		return false;
	/* The layer's dir_lock may be held by its readdir, shared: look up without it. */
	return m->layer_dir->ops->lookup &&
	       m->layer_dir->ops->lookup(m->layer_dir, name, len, &i) == 0 && ovl_is_whiteout(i);
}

static int list_reserve(struct ovl_list *l, size_t n)
{
	struct ovl_entry **entries;
	size_t cap = l->cap ? l->cap : 32;

	if (n <= l->cap)
		return 0;
	if (n > ENTRIES_MAX)
		return -ENOMEM;
	while (cap < n)
		cap *= 2;
	entries = realloc(l->entries, cap * sizeof(*entries));
	if (!entries)
		return -ENOMEM;
	l->entries = entries;
	l->cap = cap;
	return 0;
}

static int merge_entry(struct ovl_scan *s, const char *name, size_t len, uint64_t ino,
		       unsigned type)
{
	struct merge *m = container_of(s, struct merge, scan);
	struct ovl_list *l = m->list;
	struct entry_key key = {name, len};
	uint64_t hash = hash_bytes(name, len);
	struct ovl_entry *e;

	if (m->check && htable_find(&m->seen, hash, entry_eq, &key))
		return 0;
	if (list_reserve(l, l->n + 1) < 0)
		return -ENOMEM;
	e = malloc(sizeof(*e) + len + 1);
	if (!e)
		return -ENOMEM;
	memcpy(e->name, name, len);
	e->name[len] = 0;
	e->len = (uint32_t)len;
	e->type = (uint8_t)type;
	e->ino = m->upper ? ovl_upper_ino(m->dir->o, ino) : ovl_ino_of(m->layer, ino);
	e->hidden = whiteout_entry(m, name, len, type);
	if (htable_insert(&m->seen, &e->hash, hash) < 0) {
		free(e);
		return -ENOMEM;
	}
	l->entries[l->n++] = e;
	l->own = l->n;
	return 0;
}

static void drop_hidden(struct ovl_list *l)
{
	size_t n = 0;

	for (size_t i = 0; i < l->n; i++) {
		if (l->entries[i]->hidden)
			free(l->entries[i]);
		else
			l->entries[n++] = l->entries[i];
	}
	l->n = l->own = n;
}

static int list_new(struct ovl_list **out)
{
	struct ovl_list *l = calloc(1, sizeof(*l));

	if (!l)
		return -ENOMEM;
	ref_init(&l->ref);
	*out = l;
	return 0;
}

/* What the lowers show together, with a reference. copy_mu held. */
static int lower_list_get(struct ovl_inode *dir, struct ovl_list **out)
{
	struct merge m = {.scan = {.fn = merge_entry}, .dir = dir};
	int r = 0;

	if (dir->lower_list && !dir->o->revalidates) {
		ref_get(&dir->lower_list->ref);
		*out = dir->lower_list;
		return 0;
	}
	r = list_new(&m.list);
	for (size_t i = 0; r == 0 && i < dir->nlowers; i++) {
		m.check = i > 0;
		m.layer = dir->lowers[i].layer;
		m.layer_dir = dir->lowers[i].inode;
		r = ovl_scan_dir(m.layer_dir, &m.scan);
	}
	htable_destroy(&m.seen);
	if (r < 0) {
		ovl_list_put(m.list);
		return r;
	}
	drop_hidden(m.list);
	if (m.list->n <= KEEP_MAX && !dir->o->revalidates) {
		ref_get(&m.list->ref);
		ovl_list_put(dir->lower_list);
		dir->lower_list = m.list;
	}
	*out = m.list;
	return 0;
}

/* The entries of l, and behind them those of its base whose names are not among them. */
static int add_base(struct ovl_list *l, const struct htable *seen)
{
	size_t n = l->n;

	if (list_reserve(l, n + l->base->n) < 0)
		return -ENOMEM;
	for (size_t i = 0; i < l->base->n; i++) {
		struct ovl_entry *e = l->base->entries[i];
		struct entry_key key = {e->name, e->len};

		if (!htable_find(seen, e->hash.hash, entry_eq, &key))
			l->entries[n++] = e;
	}
	l->n = n;
	return 0;
}

static int list_build(struct ovl_inode *dir, struct ovl_list **out)
{
	struct merge m = {.scan = {.fn = merge_entry}, .dir = dir, .upper = true};
	struct inode *upper = ovl_upper(dir);
	int r = list_new(&m.list);

	if (r < 0)
		return r;
	m.list->version = atomic_load(&dir->version);
	m.layer_dir = upper;
	if (upper)
		r = ovl_scan_dir(upper, &m.scan);
	if (r == 0)
		r = lower_list_get(dir, &m.list->base);
	/* Whiteouts hide what is in the base, then go themselves. */
	if (r == 0) {
		struct ovl_list *l = m.list;
		size_t own = l->own, kept = 0;

		r = add_base(l, &m.seen);
		for (size_t i = 0; r == 0 && i < l->n; i++) {
			if (i < own && l->entries[i]->hidden) {
				free(l->entries[i]);
				l->own--;
			} else {
				l->entries[kept++] = l->entries[i];
			}
		}
		if (r == 0)
			l->n = kept;
	}
	htable_destroy(&m.seen);
	if (r < 0) {
		ovl_list_put(m.list);
		return r;
	}
	*out = m.list;
	return 0;
}

/* The current listing, with a reference. */
static int list_get(struct ovl_inode *dir, struct ovl_list **out)
{
	int r = ovl_copy_lock(dir);

	if (r < 0)
		return r;
	AUTO(rwunlock) struct rwlock *locked = &dir->copy_mu;
	if (!dir->list || dir->list->version != atomic_load(&dir->version) ||
	    dir->o->revalidates) {
		struct ovl_list *l;

		r = list_build(dir, &l);
		if (r < 0)
			return r;
		ovl_list_put(dir->list);
		dir->list = NULL;
		if (l->n > KEEP_MAX) {
			*out = l;
			return 0;
		}
		dir->list = l;
	}
	ref_get(&dir->list->ref);
	*out = dir->list;
	return 0;
}

int ovl_dir_empty(struct ovl_inode *dir)
{
	struct ovl_list *l;
	int r = list_get(dir, &l);

	if (r < 0)
		return r;
	r = l->n ? -ENOTEMPTY : 0;
	ovl_list_put(l);
	return r;
}

/* ---- the open directory -------------------------------------------------------------------- */

struct map_sink {
	struct dir_sink sink, *to;
	struct ovl_inode *dir;
	uint64_t parent_ino;
};

static bool map_emit(struct dir_sink *sink, const char *name, size_t len, uint64_t ino,
		     unsigned type, uint64_t next_off)
{
	struct map_sink *s = container_of(sink, struct map_sink, sink);

	if (name[0] == '.' && len == 1)
		ino = s->dir->i.ino;
	else if (name[0] == '.' && len == 2 && name[1] == '.')
		ino = s->parent_ino;
	else
		ino = ovl_upper_ino(s->dir->o, ino);
	return s->to->emit(s->to, name, len, ino, type, next_off);
}

static uint64_t parent_ino(struct ovl_inode *dir)
{
	AUTO_WRLOCK(&dir->copy_mu);
	return dir->parent ? dir->parent->i.ino : dir->i.ino;
}

static int upper_readdir(struct ovl_inode *dir, uint64_t *pos, struct dir_sink *sink)
{
	struct map_sink s = {.sink = {.emit = map_emit}, .to = sink, .dir = dir};
	struct file *real;
	int r = ovl_real_file(dir, false, &real);

	if (r < 0)
		return r;
	s.parent_ino = parent_ino(dir);
	return real->ops->readdir(real, pos, &s.sink);
}

static int list_emit(struct ovl_inode *dir, struct ovl_list *l, uint64_t *pos,
		     struct dir_sink *sink)
{
	if (*pos == 0) {
		if (!sink->emit(sink, ".", 1, dir->i.ino, DT_DIR, 1))
			return 0;
		*pos = 1;
	}
	if (*pos == 1) {
		if (!sink->emit(sink, "..", 2, parent_ino(dir), DT_DIR, 2))
			return 0;
		*pos = 2;
	}
	for (; *pos - 2 < l->n; ++*pos) {
		struct ovl_entry *e = l->entries[*pos - 2];

		if (!sink->emit(sink, e->name, e->len, e->ino, e->type, *pos + 1))
			break;
	}
	return 0;
}

static int dir_readdir(struct file *f, uint64_t *pos, struct dir_sink *sink)
{
	struct ovl_inode *dir = ovl_i(f->inode);
	int r;

	if (dir->nlowers == 0)
		return upper_readdir(dir, pos, sink);
	if (*pos == 0 || !f->priv) {
		AUTO_RDLOCK(&f->inode->dir_lock);
		struct ovl_list *l;

		r = list_get(dir, &l);
		if (r < 0)
			return r;
		ovl_list_put(f->priv);
		f->priv = l;
	}
	return list_emit(dir, f->priv, pos, sink);
}

static int64_t dir_seek(struct file *f, int64_t off, int whence)
{
	if (whence == SEEK_CUR)
		off += (int64_t)f->pos;
	else if (whence != SEEK_SET)
		return -EINVAL;
	return off < 0 ? -EINVAL : off;
}

static void dir_release(struct file *f)
{
	ovl_list_put(f->priv);
}

static const struct file_ops ovl_dir_ops = {
	.readdir = dir_readdir,
	.seek = dir_seek,
	.release = dir_release,
};

int ovl_dir_open(struct inode *inode, struct file *f)
{
	f->ops = &ovl_dir_ops;
	f->mode |= FILE_SEEKABLE;
	return 0;
}
