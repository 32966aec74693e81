/* The path walk.
 *
 * It starts *fast*: under the shared tree lock, through cached dirents, cached symlink texts and
 * mounts, with borrowed pointers, and ends by taking two references. What cannot be done there - a
 * name that is not cached, a file system that revalidates or checks permissions itself, the first
 * reading of a symlink - makes it *slow* for the rest of the walk (walker_unlazy): it takes
 * references to where it is, drops the lock and asks the file systems.
 *
 * Symlinks nest: what is left of each text is a frame on a stack. A symlink whose frame has nothing left
 * replaces the frame, so the last component of the whole walk is the one behind which no frame
 * has more than slashes. */
#include "vfs/walk.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "vfs/changes.h"
#include "vfs/cred.h"
#include "vfs/fs.h"
#include "vfs/tree_lock.h"
#include "vfs/vfs.h"
#include "vfs/vfs_impl.h"

_Thread_local const char *walk_ahead;
_Thread_local bool walk_to_read;

#define WALK_SCOPED (WALK_BENEATH | WALK_IN_ROOT)

int walker_begin(struct walker *w, const struct walk_ctx *ctx, const char *path, unsigned flags)
{
	w->ctx = ctx;
	w->root = flags & WALK_SCOPED ? &ctx->cwd : &ctx->root;
	w->flags = flags;
	w->links = w->hits = 0;
	w->slash = false;
	w->depth = 1;
	w->frames[0] = (struct walk_frame){.at = path};
	w->fast = false;
	w->cur = (struct path){0};
	w->seen = (struct walk_seen){
		.walks = walk_seen.walks + 1, .pure = true, .of = 1 << VFS_CHANGES_MOUNTS};
	if (!*path && !(flags & WALK_EMPTY_PATH))
		return -ENOENT;
	if (*path == '/' && flags & WALK_BENEATH)
		return -EXDEV;
	w->cur = *path == '/' ? *w->root : ctx->cwd;
	w->fast = true;
	tree_rdlock();
	return 0;
}

/* Takes references and leaves the tree lock. */
static int walker_unlazy(struct walker *w)
{
	if (!w->fast)
		return 0;
	if (w->flags & WALK_CACHED)
		return -EAGAIN;
	path_get(&w->cur);
	for (int i = 0; i < w->depth; i++)
		if (w->frames[i].inode)
			inode_get(w->frames[i].inode);
	tree_count_hits(w->hits);
	tree_rdunlock();
	w->fast = false;
	return 0;
}

static void frame_drop(struct walker *w, struct walk_frame *f)
{
	if (!w->fast)
		inode_put(f->inode);
	free(f->owned);
}

void walker_end(struct walker *w)
{
	walk_seen = w->seen;
	for (int i = 0; i < w->depth; i++)
		frame_drop(w, &w->frames[i]);
	w->depth = 0;
	if (w->fast) {
		tree_count_hits(w->hits);
		tree_rdunlock();
		w->fast = false;
		w->cur = (struct path){0};
	} else {
		path_put(&w->cur);
	}
}

/* The next component; false at the end of the walk. */
static bool next_component(struct walker *w, const char **name, size_t *len)
{
	struct walk_frame *f;
	const char *p;

	for (;;) {
		f = &w->frames[w->depth - 1];
		for (p = f->at; *p == '/';)
			p++;
		if (*p)
			break;
		f->at = p;
		if (w->depth == 1)
			return false;
		frame_drop(w, f);
		w->depth--;
	}
	*name = p;
	while (*p && *p != '/')
		p++;
	*len = (size_t)(p - *name);
	f->at = p;
	return true;
}

/* Nothing but slashes is left; w->slash says whether there were any. */
static bool at_last(struct walker *w)
{
	w->slash = false;
	for (int i = w->depth - 1; i >= 0; i--) {
		const char *p = w->frames[i].at;

		if (*p == '/')
			w->slash = true;
		while (*p == '/')
			p++;
		if (*p)
			return false;
	}
	return true;
}

static bool is_dot(const char *name, size_t len)
{
	return len == 1 && name[0] == '.';
}

static bool is_dotdot(const char *name, size_t len)
{
	return len == 2 && name[0] == '.' && name[1] == '.';
}

/* What the walk comes to depends on i, whose name is d. What comes from a directory that not everybody may list is not
 * for others' eyes. */
static void depends(struct walker *w, const struct dirent *d, const struct inode *i, uint32_t mode)
{
	w->seen.of |= 1u << d->fs->changes;
	w->seen.pure &= !d->fs->no_dcache && !d->fs->no_negative && !i->ops->revalidate &&
			!i->ops->permission && !i->ops->follow &&
			(!S_ISDIR(mode) || (mode & (S_IROTH | S_IXOTH)) == (S_IROTH | S_IXOTH));
}

/* May cur be searched? */
static int check_search(struct walker *w)
{
	struct inode *i = dirent_inode(w->cur.dirent);
	uint32_t mode;
	int r;

	if (!i)
		return -ENOENT;
	mode = atomic_load_explicit(&i->mode, memory_order_relaxed);
	depends(w, w->cur.dirent, i, mode);
	if (!S_ISDIR(mode))
		return -ENOTDIR;
	if (!i->ops->permission && (mode & 0111) == 0111)
		return 0;
	if (i->ops->permission ||
	    atomic_load_explicit(&i->uid, memory_order_relaxed) == INODE_ID_UNKNOWN) {
		r = walker_unlazy(w);
		if (r < 0)
			return r;
	}
	return vfs_inode_permission(i, w->ctx->cred, MAY_EXEC);
}

/* One ".." from *p, a borrowed path, under the tree lock. */
static int dotdot_locked(struct walker *w, struct path *p)
{
	struct mount *start = p->mount;

	for (;;) {
		if (path_same(p, w->root)) {
			if (w->flags & WALK_BENEATH)
				return -EXDEV;
			break;
		}
		if (p->dirent != p->mount->root) {
			p->dirent = p->dirent->parent;
			break;
		}
		if (p->mount->parent == p->mount)
			break;
		*p = (struct path){p->mount->parent, p->mount->mountpoint};
	}
	mount_down_locked(p);
	/* A directory that was moved out of the tree during the walk has another way up. */
	if (w->flags & WALK_SCOPED && !path_below_locked(*p, w->root))
		return -EAGAIN;
	return w->flags & WALK_NO_XDEV && p->mount != start ? -EXDEV : 0;
}

static int walk_dotdot(struct walker *w)
{
	struct path p = w->cur;
	int r;

	if (w->fast) {
		r = dotdot_locked(w, &p);
		if (r == 0)
			w->cur = p;
		return r;
	}
	tree_rdlock();
	r = dotdot_locked(w, &p);
	if (r == 0)
		path_get(&p);
	tree_rdunlock();
	if (r < 0)
		return r;
	path_put(&w->cur);
	w->cur = p;
	return 0;
}

static int step_fast(struct walker *w, const char *name, size_t len, struct path *next)
{
	struct dirent *dir = w->cur.dirent, *d;

	if (dirent_inode(dir)->ops->revalidate)
		return 0;
	d = dirent_find_locked(dir, name, len, dirent_hash_of(dir, name, len));
	if (!d)
		return 0;
	dirent_touch(d);
	w->hits++;
	*next = (struct path){w->cur.mount, d};
	mount_down_locked(next);
	return 1;
}

/* What follows in the innermost text that has anything left. */
static const char *text_ahead(const struct walker *w)
{
	for (int i = w->depth - 1; i >= 0; i--)
		if (*w->frames[i].at)
			return w->frames[i].at;
	return NULL;
}

static int step_slow(struct walker *w, const char *name, size_t len, struct path *next)
{
	struct dirent *d;
	int r;

	walk_ahead = text_ahead(w);
	walk_to_read = w->flags & WALK_TO_READ;
	r = dirent_lookup(w->cur.dirent, name, len, &d);
	walk_ahead = NULL;
	walk_to_read = false;
	if (r < 0)
		return r;
	*next = (struct path){mount_get(w->cur.mount), d};
	mount_follow_down(next);
	return 0;
}

/* The child `name` of cur, mounts followed; references unless fast. */
static int walk_step(struct walker *w, const char *name, size_t len, struct path *next)
{
	int r;

	if (len > NAME_MAX)
		return -ENAMETOOLONG;
	if (w->fast) {
		r = step_fast(w, name, len, next);
		if (r)
			r = 0;
		else if ((r = walker_unlazy(w)) == 0)
			r = step_slow(w, name, len, next);
	} else {
		r = step_slow(w, name, len, next);
	}
	if (r == 0 && w->flags & WALK_NO_XDEV && next->mount != w->cur.mount) {
		if (!w->fast)
			path_put(next);
		return -EXDEV;
	}
	return r;
}

static void cur_set(struct walker *w, struct path *next)
{
	if (!w->fast)
		path_put(&w->cur);
	w->cur = *next;
}

/* The text of a symlink: cached with the inode (*owned NULL) or the caller's. */
static int link_text(struct inode *i, const char **text, char **owned)
{
	char *s = atomic_load_explicit(&i->link_text, memory_order_acquire), *first = NULL;
	int r;

	*owned = NULL;
	if (!s) {
		if (!i->ops->readlink)
			return -EINVAL;
		r = i->ops->readlink(i, &s);
		if (r < 0)
			return r;
		if (i->fs->no_dcache) {
			*owned = s;
		} else if (!atomic_compare_exchange_strong(&i->link_text, &first, s)) {
			free(s);
			s = first;
		}
	}
	*text = s;
	return 0;
}

/* Pushes text; inode's reference (unless fast) or owned becomes the frame's. */
static int push_text(struct walker *w, const char *text, struct inode *inode, char *owned)
{
	struct walk_frame *top = &w->frames[w->depth - 1];
	struct walk_frame new = {text, inode, owned};

	if (!*top->at) {
		frame_drop(w, top);
		w->depth--;
	}
	w->frames[w->depth++] = new; /* at most one a link, and links are counted */
	if (!*text)
		return -ENOENT;
	if (*text != '/')
		return 0;
	if (w->flags & WALK_BENEATH)
		return -EXDEV;
	if (w->flags & WALK_NO_XDEV && w->cur.mount != w->root->mount)
		return -EXDEV;
	if (w->fast)
		w->cur = *w->root;
	else
		path_set(&w->cur, w->root);
	return 0;
}

static int magic_follow(struct walker *w, struct inode *i, struct path *to)
{
	int r;

	if (!i->ops->follow)
		return 0;
	r = i->ops->follow(i, to);
	if (r == -EOPNOTSUPP)
		return 0;
	if (r < 0)
		return r;
	r = w->flags & WALK_NO_MAGICLINKS				   ? -ELOOP
	    : w->flags & WALK_SCOPED					   ? -EXDEV
	    : w->flags & WALK_NO_XDEV && to->mount != w->cur.mount ? -EXDEV
								   : 1;
	if (r < 0)
		path_put(to);
	return r;
}

int walker_follow(struct walker *w, struct path *link)
{
	struct inode *i = dirent_inode(link->dirent);
	struct path to = {0};
	const char *text;
	char *owned;
	int r;

	if (++w->links > WALK_LINKS_MAX || w->flags & WALK_NO_SYMLINKS) {
		path_put(link);
		return -ELOOP;
	}
	r = magic_follow(w, i, &to);
	if (r == 1)
		cur_set(w, &to);
	if (r != 0) {
		path_put(link);
		return r;
	}
	r = link_text(i, &text, &owned);
	if (r == 0)
		r = push_text(w, text, owned ? NULL : inode_get(i), owned);
	path_put(link);
	return r;
}

/* Follows the symlink `next` from cur. 1: a magic link, cur is where it leads. */
static int walk_link(struct walker *w, struct path *next)
{
	struct inode *i = dirent_inode(next->dirent);
	int r;

	depends(w, next->dirent, i, S_IFLNK);
	if (w->fast) {
		const char *text = atomic_load_explicit(&i->link_text, memory_order_acquire);

		if (text && !i->ops->follow) {
			if (++w->links > WALK_LINKS_MAX || w->flags & WALK_NO_SYMLINKS)
				return -ELOOP;
			return push_text(w, text, i, NULL);
		}
		if (w->flags & WALK_CACHED)
			return -EAGAIN;
		path_get(next); /* while the tree lock keeps it */
		r = walker_unlazy(w);
		if (r < 0)
			return r;
	}
	return walker_follow(w, next);
}

static int finish(struct walker *w)
{
	struct inode *i = dirent_inode(w->cur.dirent);

	if (!i)
		return -ENOENT;
	depends(w, w->cur.dirent, i, S_IFREG);
	if ((w->slash || w->flags & WALK_DIRECTORY) && inode_type(i) != S_IFDIR)
		return -ENOTDIR;
	return 0;
}

static int walk_all(struct walker *w)
{
	struct path next;
	const char *name;
	size_t len;
	int r;

	while (next_component(w, &name, &len)) {
		bool last = at_last(w);
		struct inode *i;

		r = check_search(w);
		if (r < 0)
			return r;
		if (is_dot(name, len))
			continue;
		r = is_dotdot(name, len) ? walk_dotdot(w) : walk_step(w, name, len, &next);
		if (r < 0)
			return r;
		if (is_dotdot(name, len))
			continue;
		i = dirent_inode(next.dirent);
		if (i && inode_type(i) == S_IFLNK &&
		    (!last || w->slash || w->flags & WALK_FOLLOW)) {
			r = walk_link(w, &next);
			if (r < 0)
				return r;
			continue;
		}
		cur_set(w, &next);
		if (!i)
			return -ENOENT;
	}
	return finish(w);
}

int vfs_walk(const struct walk_ctx *ctx, const char *path, unsigned flags, struct path *out)
{
	struct walker w;
	int r = walker_begin(&w, ctx, path, flags);

	if (r < 0)
		return r;
	r = walk_all(&w);
	w.seen.result = r;
	if (r == 0) {
		*out = w.cur;
		path_get(out);
	}
	walker_end(&w);
	return r;
}

static void last_set(struct walk_last *last, const char *name, size_t len, bool slash)
{
	memcpy(last->storage, name, len);
	last->storage[len] = 0;
	last->name = last->storage;
	last->len = len;
	last->trailing_slash = slash;
	last->kind = is_dot(name, len)	    ? LAST_DOT
		     : is_dotdot(name, len) ? LAST_DOTDOT
					    : LAST_NORMAL;
}

int walker_parent(struct walker *w, struct walk_last *last)
{
	struct path next;
	const char *name;
	size_t len;
	int r;

	while (next_component(w, &name, &len)) {
		struct inode *i;

		r = check_search(w);
		if (r < 0)
			return r;
		if (at_last(w)) {
			if (len > NAME_MAX)
				return -ENAMETOOLONG;
			last_set(last, name, len, w->slash);
			return walker_unlazy(w);
		}
		if (is_dot(name, len))
			continue;
		if (is_dotdot(name, len)) {
			r = walk_dotdot(w);
			if (r < 0)
				return r;
			continue;
		}
		r = walk_step(w, name, len, &next);
		if (r < 0)
			return r;
		i = dirent_inode(next.dirent);
		if (i && inode_type(i) == S_IFLNK) {
			r = walk_link(w, &next);
			if (r < 0)
				return r;
			continue;
		}
		cur_set(w, &next);
		if (!i)
			return -ENOENT;
	}
	last->kind = LAST_ROOT;
	last->name = last->storage;
	last->storage[0] = 0;
	last->len = 0;
	last->trailing_slash = false;
	return walker_unlazy(w);
}

int vfs_walk_parent(const struct walk_ctx *ctx, const char *path, unsigned flags,
		    struct path *parent, struct walk_last *last)
{
	struct walker w;
	int r = walker_begin(&w, ctx, path, flags & ~(unsigned)WALK_EMPTY_PATH);

	if (r < 0)
		return r;
	r = walker_parent(&w, last);
	if (r == 0) {
		*parent = w.cur;
		w.cur = (struct path){0};
	}
	walker_end(&w);
	return r;
}
