/* What the 9P file system's files share. */
#pragma once

#include "abi/base/htable.h"
#include "abi/base/lock.h"
#include "vfs/file.h"
#include "vfs/fs.h"
#include "vfs/inode.h"
#include "vfs/p9/client.h"
#include "vfs/p9/p9fs.h"

#define P9_SEEN 16
#define P9_YOUNG_NS 200000 /* P9FS_REVALIDATE: an answer this young is used without asking again */

/* What a walk was told about a name ahead of where it was. */
struct p9_seen {
	uint64_t dir; /* qid path */
	uint64_t ns;
	size_t len;
	char name[40];
	int err;
	struct p9_attr attr;
};

struct p9_fs {
	struct fs *fs;
	struct p9_client *client;
	bool exclusive;
	struct mutex mu;      /* LOCK_P9 */
	struct htable inodes; /* by qid path, all but directories; hold no reference */
	struct p9_seen seen[P9_SEEN]; /* revalidate.c; a ring */
	unsigned seen_next;
	_Atomic unsigned seen_gen; /* how often we changed something */
	struct htable stash;  /* stash.c */
	struct list stash_order;
	unsigned nstash;
	_Atomic int stash_credit;
};

/* A file of the server. Hard links share one; a directory has one for each dirent, so that a server
 * which invents a loop can't make the VFS lock one inode twice.
 *
 * The descriptors: ro_fd is kept as long as the inode, so that the next open needs no RPC; rw_fd
 * and wo_fd only while the file is open for writing (the host refuses to run a file that someone
 * may write to), or right after creation. A file that is mapped by a guest gets the one that has
 * the rights it was opened with, no other. */
struct p9_inode {
	struct inode i;
	struct hnode node;   /* p9_fs->inodes */
	bool hashed;
	uint32_t fid;	     /* immutable */
	uint64_t qid_path;   /* immutable */
	/* under i.attr_lock */
	struct vfs_attr attr;
	bool attr_valid;     /* attr is what the server said */
	bool attr_written;   /* since then, contents changed through our descriptors */
	uint64_t attr_ns;    /* when: CLOCK_MONOTONIC, for P9FS_REVALIDATE */
	int ro_fd, rw_fd, wo_fd; /* -1: none */
	unsigned writers;    /* open files that use rw_fd or wo_fd */
	/* LOCK_INODE_DATA: appends and truncation */
	struct mutex data_lock;
	/* directories: stash.c */
	struct list stash;   /* p9_fs->mu */
	unsigned names_gen;  /* p9_fs->mu */
	_Atomic unsigned listed, missed;
	/* exclusive: known to have no security.capability, which every execve(2) asks for */
	_Atomic bool no_capability;
};

static inline struct p9_inode *p9_inode(struct inode *i)
{
	return container_of(i, struct p9_inode, i);
}

static inline struct p9_fs *p9_fs(const struct inode *i)
{
	return i->fs->priv;
}

static inline struct p9_client *p9_conn(const struct inode *i)
{
	return p9_fs(i)->client;
}

extern const struct inode_ops p9_exclusive_inode_ops, p9_shared_inode_ops;
extern const struct file_ops p9_file_ops, p9_dir_ops;

/* inode.c */
/* The inode of what fid names, with a reference: one that exists already (fid is clunked then) or a
 * new one. Consumes fid, and *fd (a read-only descriptor or -1), also on failure. */
int p9_inode_from(struct p9_fs *fs, uint32_t fid, const struct p9_attr *attr, int *fd,
		  struct inode **out);
void p9_inode_release(struct inode *i);
void p9_attr_forget(struct inode *i);	/* the server must be asked again */
void p9_attr_written(struct inode *i);	/* through our own descriptors */
int p9_getattr(struct inode *i, struct vfs_attr *out);
int p9_setattr(struct inode *i, const struct vfs_setattr *sa);
uint64_t p9_now_ns(void);
/* The server's answer for an existing inode. */
void p9_attr_set_locked(struct p9_inode *pi, const struct p9_attr *a);
/* revalidate.c */
int p9_revalidate(struct inode *dir, const char *name, size_t len, struct inode *child);
int p9_statfs(struct inode *i, struct vfs_statfs *out);

/* The walk under way was told that there is no such name. */
bool p9_seen_absent(struct inode *dir, const char *name, size_t len);
/* After a change of ours to attributes. */
void p9_seen_forget(struct p9_fs *fs);

/* dir.c */
/* name, and those that the walk will ask for next (walk_ahead): how many, at most P9_AHEAD_MAX. */
unsigned p9_names_ahead(struct inode *dir, const char *name, size_t len, struct p9_str *names);
int p9_lookup(struct inode *dir, const char *name, size_t len, struct inode **out);
int p9_mknod(struct inode *dir, const char *name, size_t len, uint32_t mode, uint64_t rdev,
	     const struct cred *cred, struct inode **out);
int p9_mkdir(struct inode *dir, const char *name, size_t len, uint32_t mode,
	     const struct cred *cred, struct inode **out);
int p9_symlink(struct inode *dir, const char *name, size_t len, const char *target,
	       const struct cred *cred, struct inode **out);
int p9_tmpfile(struct inode *dir, uint32_t mode, const struct cred *cred, struct inode **out);
int p9_link(struct inode *dir, const char *name, size_t len, struct inode *target);
int p9_unlink(struct inode *dir, const char *name, size_t len, struct inode *child);
int p9_rmdir(struct inode *dir, const char *name, size_t len, struct inode *child);
int p9_rename(struct inode *olddir, const char *oldname, size_t oldlen, struct inode *child,
	      struct inode *newdir, const char *newname, size_t newlen, struct inode *target,
	      unsigned flags);
int p9_readlink(struct inode *i, char **target);

/* file.c */
int p9_open(struct inode *i, struct file *f);

/* xattr.c */
ssize_t p9_getxattr(struct inode *i, const char *name, void *value, size_t size);
int p9_setxattr(struct inode *i, const char *name, const void *value, size_t size, int flags);
ssize_t p9_listxattr(struct inode *i, char *list, size_t size);
int p9_removexattr(struct inode *i, const char *name);

/* calls.c: requests, spoken in the extension or in plain 9P2000.L. Names are counted. */
#define P9_AHEAD_MAX 6
struct p9_walked {
	unsigned n;	/* names that were found: their attributes follow */
	int err;	/* why not all of them; 0 also when a symlink ended the walk */
	char *target;	/* its text, malloc'ed, or NULL */
	int fd;		/* of the last, for reading, or -1 */
	struct p9_attr attrs[P9_AHEAD_MAX];
};
/* to_read: a regular file at the end is wanted open. Walks names (1 to P9_AHEAD_MAX; a plain
 * server: the first) and binds newfid, newfid+1, ...; P9_NOFID: only attributes. 0, also if *
 * nothing was found; the numbers that were not bound are the caller's to give back. */
int p9_do_walk(struct p9_client *c, uint32_t dfid, const struct p9_str *names, unsigned n,
	       uint32_t newfid, bool to_read, struct p9_walked *out);
int p9_do_getattr(struct p9_client *c, uint32_t fid, struct p9_attr *out);
int p9_do_setattr(struct p9_client *c, const struct p9_tsetattr *t);
/* flags: O_RDONLY, O_WRONLY, O_RDWR. A checked descriptor of a regular file; -EOPNOTSUPP: the
 * server donates none. */
int p9_do_openfd(struct p9_client *c, uint32_t fid, uint32_t flags, int *fd);
/* t: all but tag. *fd: a read-write descriptor or -1. */
int p9_do_make(struct p9_client *c, const struct p9_tmake *t, struct p9_attr *out, int *fd);
int p9_do_rename(struct p9_client *c, uint32_t olddfid, struct p9_str oldname, uint32_t newdfid,
		 struct p9_str newname, uint32_t flags);
int p9_do_unlink(struct p9_client *c, uint32_t dfid, struct p9_str name, uint32_t flags);
int p9_do_link(struct p9_client *c, uint32_t dfid, struct p9_str name, uint32_t fid);
int p9_do_readlink(struct p9_client *c, uint32_t fid, char **target);
int p9_do_statfs(struct p9_client *c, uint32_t fid, struct p9_rstatfs *out);
int p9_do_fsync(struct p9_client *c, uint32_t fid, bool datasync);
/* For servers that donate nothing: a clone of fid, opened. */
int p9_do_open_plain(struct p9_client *c, uint32_t fid, uint32_t flags, uint32_t *open_fid);
ssize_t p9_do_read(struct p9_client *c, uint32_t fid, void *buf, size_t n, uint64_t off);
ssize_t p9_do_write(struct p9_client *c, uint32_t fid, const void *buf, size_t n, uint64_t off);
/* Directory entries (p9_get_dirent, and p9_get_attr after each unless newfid is P9_NOFID),
 * malloc'ed. fid: opened unless the extension was agreed. */
int p9_do_list(struct p9_client *c, uint32_t fid, uint64_t off, uint32_t count, uint32_t newfid,
	       uint8_t **out, size_t *len, bool *end);

/* Descriptors have run out, here or in the gofer (err): lets go of what is only cached. True: try
 * again, once. attr_lock not held. */
bool p9_shed(struct inode *i, int err);

/* stash.c */
/* Does a listing of dir pay for attributes? */
bool p9_stash_wanted(struct inode *dir);
unsigned p9_stash_gen(struct inode *dir);
/* Keeps what a listing that began at `gen` told, unless names of dir have changed since. Consumes
 * the inode; NULL: there is no such name. */
void p9_stash_put(struct inode *dir, unsigned gen, const char *name, size_t len, struct inode *i,
		  bool listed);
/* What is known of a name, once: 0 with the inode and its reference, -ENOENT (there is no such
 * name), or 1: nothing. */
int p9_stash_take(struct inode *dir, const char *name, size_t len, struct inode **out);
/* Before and after a name of dir changes. */
void p9_stash_forget(struct inode *dir, const char *name, size_t len);
void p9_stash_clear(struct inode *dir); /* dir goes */
void p9_stash_clear_all(struct p9_fs *fs);
/* For the guess: dir was listed, with n entries; a name of it was looked up that was not there. */
void p9_stash_listed(struct inode *dir, unsigned n);
void p9_stash_missed(struct inode *dir);
