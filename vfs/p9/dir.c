/* Names of the 9P file system: looking up, making, renaming, removing. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "vfs/p9/p9_impl.h"
#include "vfs/vfs.h"

static uint32_t fid_of(struct inode *i)
{
	return p9_inode(i)->fid;
}

static void keep_link_text(struct inode *i, char *text)
{
	char *none = NULL;

	if (!text || !S_ISLNK(i->mode) || i->fs->no_dcache ||
	    !atomic_compare_exchange_strong(&i->link_text, &none, text))
		free(text);
}

int p9_lookup(struct inode *dir, const char *name, size_t len, struct inode **out)
{
	struct p9_client *c = p9_conn(dir);
	struct p9_looked_up l;
	struct inode *stashed = p9_stash_take(dir, name, len);
	uint32_t fid;
	int err;

	if (stashed) {
		*out = stashed;
		return 0;
	}
	p9_stash_missed(dir);
	for (bool again = false;; again = true) {
		fid = p9_fid_alloc(c, 1);
		if (!fid)
			return -ENFILE;
		err = p9_do_lookup(c, fid_of(dir), name, len, fid, &l);
		if (!err)
			break;
		if (again || !p9_shed(dir, err))
			return err;
	}
	err = p9_inode_from(p9_fs(dir), fid, &l.attr, &l.fd, out);
	if (err)
		free(l.target);
	else
		keep_link_text(*out, l.target);
	return err;
}

/* Everything that makes a file. A name that exists can only be a race with the host. */
static int make(struct inode *dir, struct p9_str name, uint32_t mode, uint64_t rdev,
		const char *target, const struct cred *cred, struct inode **out)
{
	struct p9_client *c = p9_conn(dir);
	struct p9_tmake t = {
		.dfid = fid_of(dir),
		.name = name,
		.rdev = rdev,
		.target = p9_str(target, target ? strlen(target) : 0),
	};
	struct p9_attr a;
	int fd = -1, none = -1, err;

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
	int err;

	p9_stash_forget(dir, name, len);
	err = p9_do_link(p9_conn(dir), fid_of(dir), p9_str(name, len), fid_of(target));
	p9_stash_forget(dir, name, len);
	p9_attr_forget(dir);
	p9_attr_forget(target);
	return err;
}

static int remove_name(struct inode *dir, const char *name, size_t len, struct inode *child,
		       uint32_t flags)
{
	int err;

	p9_stash_forget(dir, name, len);
	err = p9_do_unlink(p9_conn(dir), fid_of(dir), p9_str(name, len), flags);
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
	int err;

	p9_stash_forget(olddir, oldname, oldlen);
	p9_stash_forget(newdir, newname, newlen);
	err = p9_do_rename(p9_conn(olddir), fid_of(olddir), p9_str(oldname, oldlen),
			   fid_of(newdir), p9_str(newname, newlen), flags);
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

	if (text) {
		*target = strdup(text);
		return *target ? 0 : -ENOMEM;
	}
	return p9_do_readlink(p9_conn(i), fid_of(i), target);
}
