/* Inodes of the 9P file system and their attributes. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "vfs/dirent_cache.h"
#include "vfs/p9/p9_impl.h"
#include "vfs/vfs.h"

static struct timespec time_from(uint64_t sec, uint64_t nsec)
{
	return (struct timespec){(time_t)sec, nsec < 1000000000 ? (long)nsec : 0};
}

void p9_attr_set_locked(struct p9_inode *pi, const struct p9_attr *a)
{
	uint32_t type = inode_type(&pi->i);

	pi->attr = (struct vfs_attr){
	    .ino = pi->i.ino,
	    .mode = type | (a->mode & 07777),
	    .nlink = (uint32_t)a->nlink,
	    .uid = a->uid,
	    .gid = a->gid,
	    .rdev = a->rdev,
	    .size = a->size > INT64_MAX ? INT64_MAX : a->size,
	    .blocks = a->blocks,
	    .blksize = a->blksize > 0 && a->blksize <= 1U << 30 ? (uint32_t)a->blksize : 4096,
	    .atime = time_from(a->atime_sec, a->atime_nsec),
	    .mtime = time_from(a->mtime_sec, a->mtime_nsec),
	    .ctime = time_from(a->ctime_sec, a->ctime_nsec),
	    .btime = time_from(a->btime_sec, a->btime_nsec),
	    .has_btime = a->valid & P9_GETATTR_BTIME,
	};
	pi->attr_valid = true;
	pi->attr_written = false;
	if (!p9_fs(&pi->i)->exclusive)
		pi->attr_ns = p9_now_ns();
	inode_set_owner(&pi->i, a->uid, a->gid);
	atomic_store_explicit(&pi->i.mode, pi->attr.mode, memory_order_relaxed);
}

/* One that is being released is none any more. */
static bool inode_eq(const struct hnode *n, const void *key)
{
	const struct p9_inode *pi = container_of(n, const struct p9_inode, node);

	return pi->qid_path == *(const uint64_t *)key && ref_count(&pi->i.ref) > 0;
}

static struct p9_inode *inode_find_locked(struct p9_fs *fs, uint64_t path, uint32_t type)
{
	struct hnode *n = htable_find(&fs->inodes, hash_u64(path), inode_eq, &path);
	struct p9_inode *pi = n ? container_of(n, struct p9_inode, node) : NULL;

	return pi && inode_type(&pi->i) == type && ref_get_unless_zero(&pi->i.ref) ? pi : NULL;
}

static struct p9_inode *inode_find(struct p9_fs *fs, uint64_t path, uint32_t type)
{
	AUTO_LOCK(&fs->mu);
	return inode_find_locked(fs, path, type);
}

/* Makes pi the one that is found, unless another was faster: then that, and pi goes. */
static struct p9_inode *inode_publish(struct p9_fs *fs, struct p9_inode *pi)
{
	struct p9_inode *first;

	if (S_ISDIR(pi->i.mode))
		return pi;
	mutex_lock(&fs->mu);
	first = inode_find_locked(fs, pi->qid_path, inode_type(&pi->i));
	if (!first)
		pi->hashed = htable_insert(&fs->inodes, &pi->node, hash_u64(pi->qid_path)) == 0;
	mutex_unlock(&fs->mu);
	if (first)
		inode_put(&pi->i);
	return first ? first : pi;
}

static bool type_valid(uint32_t mode)
{
	switch (mode & S_IFMT) {
	case S_IFREG:
	case S_IFDIR:
	case S_IFLNK:
	case S_IFIFO:
	case S_IFSOCK:
	case S_IFCHR:
	case S_IFBLK:
		return true;
	}
	return false;
}

static void inode_adopt_fd(struct p9_inode *pi, int *fd)
{
	AUTO_LOCK(&pi->i.attr_lock);
	if (*fd >= 0 && pi->ro_fd < 0 && inode_type(&pi->i) == S_IFREG)
		pi->ro_fd = steal_fd(fd);
}

/* home, name: of an inode that has no fid yet. */
static int inode_new(struct p9_fs *fs, uint32_t fid, const struct p9_attr *a, struct inode *home,
		     const char *name, size_t len, struct p9_inode **out)
{
	struct p9_inode *pi = calloc(1, sizeof(*pi) + len);

	if (!pi)
		return -ENOMEM;
	inode_init(&pi->i, fs->fs, fs->exclusive ? &p9_exclusive_inode_ops : &p9_shared_inode_ops,
	           a->qid.path, a->mode);
	atomic_init(&pi->fid, fid);
	pi->qid_path = a->qid.path;
	pi->home = home ? inode_get(home) : NULL;
	pi->home_offset = P9_NO_OFFSET;
	pi->home_len = (uint8_t)len;
	if (len > 0)
		memcpy(pi->home_name, name, len);
	pi->ro_fd = pi->rw_fd = pi->wo_fd = -1;
	mutex_init(&pi->data_lock, LOCK_INODE_DATA);
	list_init(&pi->stash);
	p9_attr_set_locked(pi, a);
	*out = pi;
	return 0;
}

int p9_inode_from(struct p9_fs *fs, uint32_t fid, const struct p9_attr *a, int *fd,
                  struct inode **out)
{
	AUTO(fd) int donated = fd ? steal_fd(fd) : -1;
	struct p9_inode *pi = NULL;
	int err = 0;

	if (!type_valid(a->mode))
		err = -EIO;
	else if (!S_ISDIR(a->mode))
		pi = inode_find(fs, a->qid.path, a->mode & S_IFMT);
	if (pi) {
		mutex_lock(&pi->i.attr_lock);
		if (!pi->attr_written)
			p9_attr_set_locked(pi, a);
		mutex_unlock(&pi->i.attr_lock);
		p9_bound(pi, fid);
	} else if (!err) {
		err = inode_new(fs, fid, a, NULL, NULL, 0, &pi);
		if (!err)
			pi = inode_publish(fs, pi);
	}
	if (err) {
		p9_clunk(fs->client, fid, false);
		return err;
	}
	inode_adopt_fd(pi, &donated);
	*out = &pi->i;
	return 0;
}

int p9_inode_told(struct inode *dir, const char *name, size_t len, const struct p9_attr *a,
                  uint64_t offset, struct inode **out)
{
	struct p9_fs *fs = p9_fs(dir);
	struct p9_inode *pi = NULL;
	int err;

	if (!type_valid(a->mode))
		return -EIO;
	if (!S_ISDIR(a->mode))
		pi = inode_find(fs, a->qid.path, a->mode & S_IFMT);
	if (!pi) {
		err = inode_new(fs, P9_NOFID, a, dir, name, len, &pi);
		if (err)
			return err;
		pi->home_offset = offset;
		pi = inode_publish(fs, pi);
	}
	*out = &pi->i;
	return 0;
}

static void inode_free(struct p9_inode *pi)
{
	struct p9_fs *fs = p9_fs(&pi->i);
	uint32_t fid = p9_fid_known(pi);

	p9_stash_clear(&pi->i);
	if (pi->hashed) {
		AUTO_LOCK(&fs->mu);
		htable_remove(&fs->inodes, &pi->node);
	}
	if (pi->ro_fd >= 0)
		close(pi->ro_fd);
	if (pi->rw_fd >= 0)
		close(pi->rw_fd);
	if (pi->wo_fd >= 0)
		close(pi->wo_fd);
	/* A deleted file's space, or what somebody on the host waits for, comes free at once. */
	if (fid != P9_NOFID)
		p9_clunk(fs->client, fid,
		         !pi->attr_valid || pi->attr.nlink == 0 || !fs->exclusive);
	mutex_destroy(&pi->data_lock);
	inode_fini(&pi->i);
	free(pi);
}

/* An inode holds its home, and so on: a deep path must not become a deep recursion. */
void p9_inode_release(struct inode *i)
{
	while (i) {
		struct inode *home = p9_inode(i)->home;

		inode_free(p9_inode(i));
		i = home && ref_put(&home->ref) ? home : NULL;
	}
}

bool p9_shed(struct inode *i, int err)
{
	if (err != -EMFILE && err != -ENFILE)
		return false;
	p9_stash_clear_all(p9_fs(i));
	p9_ahead_clear(p9_fs(i));
	dirent_cache_shrink();
	p9_clunk_flush(p9_conn(i));
	return true;
}

void p9_attr_forget(struct inode *i)
{
	struct p9_inode *pi = p9_inode(i);

	p9_seen_forget(p9_fs(i));
	p9_names_forget_attr(p9_fs(i), pi->qid_path);
	AUTO_LOCK(&i->attr_lock);
	pi->attr_valid = false;
}

void p9_attr_written(struct inode *i)
{
	struct p9_inode *pi = p9_inode(i);

	if (pi->attr_written)
		return;
	p9_names_forget_attr(p9_fs(i), pi->qid_path);
	AUTO_LOCK(&i->attr_lock);
	pi->attr_written = true;
}

/* What our own writes have changed, from our own descriptor: no RPC. (Not owners: those the host
 * would show us as our own user namespace sees them.) */
static bool attr_refresh_locked(struct p9_inode *pi)
{
	int fd = pi->rw_fd >= 0 ? pi->rw_fd : pi->wo_fd >= 0 ? pi->wo_fd : pi->ro_fd;
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return false;
	pi->attr.size = (uint64_t)st.st_size;
	pi->attr.blocks = (uint64_t)st.st_blocks;
	pi->attr.nlink = (uint32_t)st.st_nlink;
	pi->attr.atime = st.st_atim;
	pi->attr.mtime = st.st_mtim;
	pi->attr.ctime = st.st_ctim;
	pi->attr_written = pi->writers > 0; /* shared mappings change it unseen */
	return true;
}

static bool attr_current_locked(struct p9_inode *pi)
{
	if (!pi->attr_valid)
		return false;
	if (!p9_fs(&pi->i)->exclusive && p9_now_ns() - pi->attr_ns > P9_YOUNG_NS)
		return false;
	return !pi->attr_written || attr_refresh_locked(pi);
}

static int attr_ask_locked(struct p9_inode *pi, uint32_t fid)
{
	bool written = pi->writers > 0;
	struct p9_attr a;
	int err;

	if (attr_current_locked(pi))
		return 0;
	err = p9_do_getattr(p9_conn(&pi->i), fid, &a);
	if (err)
		return err;
	if ((a.mode & S_IFMT) != inode_type(&pi->i))
		return -ESTALE;
	p9_attr_set_locked(pi, &a);
	pi->attr_written = written;
	return 0;
}

int p9_getattr(struct inode *i, struct vfs_attr *out)
{
	struct p9_inode *pi = p9_inode(i);
	uint32_t fid = p9_fid_known(pi);
	int err;

	if (fid == P9_NOFID) {
		mutex_lock(&i->attr_lock);
		if (attr_current_locked(pi)) {
			*out = pi->attr;
			mutex_unlock(&i->attr_lock);
			return 0;
		}
		mutex_unlock(&i->attr_lock);
		err = p9_fid(i, &fid);
		if (err)
			return err;
	}
	AUTO_LOCK(&i->attr_lock);
	err = attr_ask_locked(pi, fid);
	if (!err)
		*out = pi->attr;
	return err;
}

/* Through a descriptor when we hold one: then mode bits given since don't matter, as for
 * ftruncate(2). */
static int set_size(struct inode *i, uint64_t size)
{
	struct p9_inode *pi = p9_inode(i);
	struct p9_tsetattr t = {.valid = P9_SETATTR_SIZE, .size = size};
	int fd, err;

	AUTO_LOCK(&i->attr_lock);
	fd = pi->rw_fd >= 0 ? pi->rw_fd : pi->wo_fd;
	pi->attr_written = true;
	p9_names_forget_attr(p9_fs(i), pi->qid_path);
	if (fd >= 0)
		return ftruncate(fd, (off_t)size) < 0 ? -errno : 0;
	pi->attr_valid = false;
	p9_seen_forget(p9_fs(i));
	err = p9_fid(i, &t.fid);
	if (!err)
		err = p9_do_setattr(p9_conn(i), &t);
	p9_names_forget_attr(p9_fs(i), pi->qid_path);
	return err;
}

static void set_times(struct p9_tsetattr *t, const struct vfs_setattr *sa)
{
	if (sa->mask & (ATTR_ATIME | ATTR_ATIME_NOW))
		t->valid |= P9_SETATTR_ATIME;
	if ((sa->mask & ATTR_ATIME) && !(sa->mask & ATTR_ATIME_NOW)) {
		t->valid |= P9_SETATTR_ATIME_SET;
		t->atime_sec = (uint64_t)sa->atime.tv_sec;
		t->atime_nsec = (uint64_t)sa->atime.tv_nsec;
	}
	if (sa->mask & (ATTR_MTIME | ATTR_MTIME_NOW))
		t->valid |= P9_SETATTR_MTIME;
	if ((sa->mask & ATTR_MTIME) && !(sa->mask & ATTR_MTIME_NOW)) {
		t->valid |= P9_SETATTR_MTIME_SET;
		t->mtime_sec = (uint64_t)sa->mtime.tv_sec;
		t->mtime_nsec = (uint64_t)sa->mtime.tv_nsec;
	}
}

/* The mode after ATTR_KILL_SUID: chmod and chown of the guest's, so not the host's to decide. */
static uint32_t mode_without_suid(uint32_t mode)
{
	mode &= ~(uint32_t)S_ISUID;
	if ((mode & (S_ISGID | S_IXGRP)) == (S_ISGID | S_IXGRP))
		mode &= ~(uint32_t)S_ISGID;
	return mode;
}

int p9_setattr(struct inode *i, const struct vfs_setattr *sa)
{
	struct p9_inode *pi = p9_inode(i);
	struct p9_tsetattr t = {0};
	uint32_t mode = sa->mask & ATTR_MODE ? sa->mode : i->mode;
	int err = 0;

	if (sa->mask & ATTR_SIZE) {
		AUTO_LOCK(&pi->data_lock);
		err = set_size(i, sa->size);
	}
	if (err)
		return err;
	if ((sa->mask & ATTR_KILL_SUID) && S_ISREG(i->mode))
		mode = mode_without_suid(mode);
	if ((sa->mask & ATTR_MODE) || ((mode ^ i->mode) & 07777)) {
		t.valid |= P9_SETATTR_MODE;
		t.mode = mode & 07777;
	}
	if (sa->mask & ATTR_UID) {
		t.valid |= P9_SETATTR_UID;
		t.uid = sa->uid;
	}
	if (sa->mask & ATTR_GID) {
		t.valid |= P9_SETATTR_GID;
		t.gid = sa->gid;
	}
	set_times(&t, sa);
	if (!t.valid)
		return 0;
	err = p9_fid(i, &t.fid);
	if (err)
		return err;
	p9_names_forget_attr(p9_fs(i), pi->qid_path);
	err = p9_do_setattr(p9_conn(i), &t);
	p9_names_forget_attr(p9_fs(i), pi->qid_path);
	if (!err || err == -EIO)
		p9_attr_forget(i);
	if (!err) {
		/* inode->mode and owner have to be right before the next getattr. */
		if (t.valid & P9_SETATTR_MODE)
			atomic_store(&i->mode, inode_type(i) | t.mode);
		inode_set_owner(i, t.valid & P9_SETATTR_UID ? t.uid : i->uid,
		                t.valid & P9_SETATTR_GID ? t.gid : i->gid);
	}
	return err;
}

int p9_statfs(struct inode *i, struct vfs_statfs *out)
{
	struct p9_rstatfs r;
	uint32_t fid;
	int err = p9_fid(i, &fid);

	if (!err)
		err = p9_do_statfs(p9_conn(i), fid, &r);
	if (err)
		return err;
	*out = (struct vfs_statfs){
	    .type = i->fs->magic,
	    .bsize = r.bsize,
	    .blocks = r.blocks,
	    .bfree = r.bfree,
	    .bavail = r.bavail,
	    .files = r.files,
	    .ffree = r.ffree,
	    .namelen = r.namelen,
	    .frsize = r.bsize,
	    .fsid = r.fsid,
	};
	return 0;
}
