/* Names of the 9P file system: looking up, making, renaming, removing. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vfs/p9/p9_impl.h"
#include "vfs/vfs.h"
#include "vfs/walk.h"

void p9_keep_link_text(struct inode *i, char *text)
{
	char *none = NULL;

	if (!text || !S_ISLNK(i->mode) || i->fs->no_dcache ||
	    !atomic_compare_exchange_strong(&i->link_text, &none, text))
		free(text);
}

unsigned p9_names_ahead(struct inode *dir, const char *name, size_t len, struct p9_str *names)
{
	const char *p = walk_ahead;
	unsigned n = 1;

	names[0] = p9_str(name, len);
	if (!p || !p9_client_extended(p9_conn(dir)))
		return n;
	while (n < P9_AHEAD_MAX) {
		p += strspn(p, "/");
		len = strcspn(p, "/");
		if (len == 0 || len > 255 ||
		    (p[0] == '.' && (len == 1 || (len == 2 && p[1] == '.'))))
			break;
		names[n++] = p9_str(p, len);
		p += len;
	}
	return n;
}

/* Keeps what the walk was told beyond its first name, for the lookups that will ask for it.
 * `first` is the first name's inode. */
static void keep_ahead(struct inode *first, uint32_t fid, const struct p9_str *names, unsigned n,
                       struct p9_walked *w)
{
	struct p9_fs *fs = p9_fs(first);
	struct inode *at = inode_get(first), *next;
	unsigned i;

	for (i = 1; i < w->n; i++) {
		if (!S_ISDIR(at->mode) || p9_inode_from(fs, fid + i, &w->attrs[i],
		                                        i == n - 1 ? &w->fd : NULL, &next) < 0) {
			p9_clunk(fs->client, fid + i, false);
			continue;
		}
		p9_stash_put(at, p9_stash_gen(at), names[i].p, names[i].len, inode_get(next));
		inode_put(at);
		at = next;
	}
	if (w->n < n && w->err == -ENOENT && S_ISDIR(at->mode))
		p9_stash_put(at, p9_stash_gen(at), names[w->n].p, names[w->n].len, NULL);
	p9_keep_link_text(at, steal(&w->target));
	inode_put(at);
}

/* Remembers what the walk told. gen: from before it. */
static void keep_names(struct inode *dir, unsigned gen, const struct p9_str *names, unsigned n,
                       const struct p9_walked *w)
{
	struct p9_fs *fs = p9_fs(dir);
	uint64_t at = p9_inode(dir)->qid_path;
	struct p9_told told;
	bool is_dir = true;
	unsigned i;

	for (i = 0; i < w->n && is_dir; i++) {
		told = (struct p9_told){&w->attrs[i], p9_str(NULL, 0), P9_NO_OFFSET};
		if (w->target && i + 1 == w->n)
			told.target = p9_str(w->target, strlen(w->target));
		p9_names_put(fs, gen, at, &names[i], &told);
		at = w->attrs[i].qid.path;
		is_dir = S_ISDIR(w->attrs[i].mode);
	}
	if (i < n && w->err == -ENOENT && is_dir)
		p9_names_put(fs, gen, at, &names[i],
		             &(struct p9_told){.offset = P9_NO_OFFSET});
}

static int lookup_walk(struct inode *dir, const struct p9_str *names, unsigned n,
                       struct inode **out)
{
	struct p9_client *c = p9_conn(dir);
	struct p9_fs *fs = p9_fs(dir);
	struct p9_walked w;
	unsigned gen = p9_names_gen(fs);
	uint32_t fid, dfid;
	int err = p9_fid(dir, &dfid);

	if (err)
		return err;
	fid = p9_fid_alloc(c, n);
	if (!fid && n > 1) {
		n = 1;
		fid = p9_fid_alloc(c, 1);
	}
	if (!fid)
		return -ENFILE;
	err = p9_do_walk(c, dfid, names, n, fid, walk_to_read ? P9_LOOKUP_OPEN : 0, &w);
	if (err)
		w = (struct p9_walked){.fd = -1};
	else
		keep_names(dir, gen, names, n, &w);
	p9_fid_unused(c, fid, n, w.n);
	if (!err && w.n == 0)
		err = w.err;
	if (err)
		return err;
	err = p9_inode_from(fs, fid, &w.attrs[0], n == 1 ? &w.fd : NULL, out);
	if (!err) {
		keep_ahead(*out, fid, names, n, &w);
		if (w.fd >= 0)
			close(w.fd);
		return 0;
	}
	if (w.fd >= 0)
		close(w.fd);
	for (unsigned i = 1; i < w.n; i++)
		p9_clunk(c, fid + i, false);
	free(w.target);
	return err;
}

int p9_lookup(struct inode *dir, const char *name, size_t len, struct inode **out)
{
	struct p9_str names[P9_AHEAD_MAX];
	unsigned n;
	int err = p9_stash_take(dir, name, len, out);

	if (err > 0)
		err = p9_names_lookup(dir, name, len, out);
	if (err <= 0)
		return err;
	if (p9_seen_absent(dir, name, len))
		return -ENOENT;
	if (p9_list_missed(dir)) {
		err = p9_names_lookup(dir, name, len, out);
		if (err <= 0)
			return err;
	}
	n = p9_names_ahead(dir, name, len, names);
	err = lookup_walk(dir, names, n, out);
	if (err && p9_shed(dir, err))
		err = lookup_walk(dir, names, 1, out);
	return err;
}

/* Everything that makes a file. A name that exists can only be a race with the host. */
static int make(struct inode *dir, struct p9_str name, uint32_t mode, uint64_t rdev,
                const char *target, const struct cred *cred, struct inode **out)
{
	struct p9_client *c = p9_conn(dir);
	struct p9_tmake t = {
	    .name = name,
	    .rdev = rdev,
	    .target = p9_str(target, target ? strlen(target) : 0),
	};
	struct p9_attr a;
	int fd = -1, none = -1, err = p9_fid(dir, &t.dfid);

	if (err)
		return err;
	vfs_init_owner(dir, cred, &mode, &t.uid, &t.gid);
	t.mode = mode;
	p9_stash_forget(dir, name.p, name.len);
	for (bool again = false;; again = true) {
		t.newfid = p9_fid_alloc(c, 1);
		if (!t.newfid)
			return -ENFILE;
		err = p9_do_make(c, &t, &a, &fd);
		if (!err || again || !p9_shed(dir, err))
			break;
	}
	p9_stash_forget(dir, name.p, name.len);
	if (!err)
		err = p9_inode_from(p9_fs(dir), t.newfid, &a, &none, out);
	if (!err && fd >= 0) {
		AUTO_LOCK(&(*out)->attr_lock);
		if (S_ISREG((*out)->mode) && p9_inode(*out)->rw_fd < 0)
			p9_inode(*out)->rw_fd = steal_fd(&fd);
	}
	if (fd >= 0)
		close(fd);
	p9_attr_forget(dir);
	return err;
}

int p9_mknod(struct inode *dir, const char *name, size_t len, uint32_t mode, uint64_t rdev,
             const struct cred *cred, struct inode **out)
{
	if (!(mode & S_IFMT))
		mode |= S_IFREG;
	return make(dir, p9_str(name, len), mode, rdev, NULL, cred, out);
}

int p9_mkdir(struct inode *dir, const char *name, size_t len, uint32_t mode,
             const struct cred *cred, struct inode **out)
{
	return make(dir, p9_str(name, len), S_IFDIR | (mode & 07777), 0, NULL, cred, out);
}

int p9_symlink(struct inode *dir, const char *name, size_t len, const char *target,
               const struct cred *cred, struct inode **out)
{
	return make(dir, p9_str(name, len), S_IFLNK | 0777, 0, target, cred, out);
}

int p9_tmpfile(struct inode *dir, uint32_t mode, const struct cred *cred, struct inode **out)
{
	return make(dir, p9_str(NULL, 0), S_IFREG | (mode & 07777), 0, NULL, cred, out);
}

int p9_link(struct inode *dir, const char *name, size_t len, struct inode *target)
{
	uint32_t dfid, fid;
	int err = p9_fid(dir, &dfid);

	if (!err)
		err = p9_fid(target, &fid);
	if (err)
		return err;
	p9_stash_forget(dir, name, len);
	err = p9_do_link(p9_conn(dir), dfid, p9_str(name, len), fid);
	p9_stash_forget(dir, name, len);
	p9_attr_forget(dir);
	p9_attr_forget(target);
	return err;
}

/* The child is bound first: afterwards its name leads there no more. */
static int remove_name(struct inode *dir, const char *name, size_t len, struct inode *child,
                       uint32_t flags)
{
	uint32_t dfid, fid;
	int err = p9_fid(dir, &dfid);

	if (!err)
		err = p9_fid(child, &fid);
	if (err)
		return err;
	p9_stash_forget(dir, name, len);
	p9_names_forget_attr(p9_fs(dir), p9_inode(child)->qid_path);
	err = p9_do_unlink(p9_conn(dir), dfid, p9_str(name, len), flags);
	p9_stash_forget(dir, name, len);
	p9_attr_forget(dir);
	p9_attr_forget(child);
	return err;
}

int p9_unlink(struct inode *dir, const char *name, size_t len, struct inode *child)
{
	return remove_name(dir, name, len, child, 0);
}

int p9_rmdir(struct inode *dir, const char *name, size_t len, struct inode *child)
{
	return remove_name(dir, name, len, child, AT_REMOVEDIR);
}

int p9_rename(struct inode *olddir, const char *oldname, size_t oldlen, struct inode *child,
              struct inode *newdir, const char *newname, size_t newlen, struct inode *target,
              unsigned flags)
{
	uint32_t from, to, fid;
	int err = p9_fid(olddir, &from);

	if (!err)
		err = p9_fid(newdir, &to);
	if (!err)
		err = p9_fid(child, &fid);
	if (!err && target)
		err = p9_fid(target, &fid);
	if (err)
		return err;
	p9_stash_forget(olddir, oldname, oldlen);
	p9_stash_forget(newdir, newname, newlen);
	p9_names_forget_attr(p9_fs(olddir), p9_inode(child)->qid_path);
	err = p9_do_rename(p9_conn(olddir), from, p9_str(oldname, oldlen), to,
	                   p9_str(newname, newlen), flags);
	p9_stash_forget(olddir, oldname, oldlen);
	p9_stash_forget(newdir, newname, newlen);
	p9_attr_forget(olddir);
	p9_attr_forget(newdir);
	p9_attr_forget(child);
	if (target)
		p9_attr_forget(target);
	return err;
}

/* An overlay asks here even when the text came with the lookup. */
int p9_readlink(struct inode *i, char **target)
{
	const char *text = atomic_load(&i->link_text);
	uint32_t fid;
	int err;

	if (text) {
		*target = strdup(text);
		return *target ? 0 : -ENOMEM;
	}
	err = p9_fid(i, &fid);
	if (err)
		return err;
	text = atomic_load(&i->link_text); /* came with the walk */
	if (!text)
		return p9_do_readlink(p9_conn(i), fid, target);
	*target = strdup(text);
	return *target ? 0 : -ENOMEM;
}
