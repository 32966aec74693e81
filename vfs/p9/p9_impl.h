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

#define P9_HELD_MAX 32

/* Files that were opened ahead, and how well that went; under p9_fs->mu. */
struct p9_ahead {
	struct p9_held {
		uint64_t qid, ns;
		int fd;
	} held[P9_HELD_MAX];
	unsigned nheld;
	unsigned max;	    /* how many may be held */
	unsigned next;	    /* where the next one goes if all places are taken */
	int order;
	unsigned budget, got, used;
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
	/* names.c */
	struct htable names, names_by_qid, names_dirs, listings;
	uint64_t names_told;
	struct list names_order, listings_order;
	size_t listings_bytes;
	_Atomic unsigned names_gen; /* how often we changed something; under mu */
	struct p9_ahead ahead; /* ahead.c */
	/* list.c: guesses */
	_Atomic int attr_credit;	  /* so many listings with all attributes */
	_Atomic unsigned attr_untold, attr_missed; /* entries; lookups in listed directories */
	_Atomic unsigned ahead_budget;	  /* directories to ask for ahead of a traversal */
	_Atomic unsigned ahead_got, ahead_used;
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
	_Atomic uint32_t fid; /* P9_NOFID: none yet, see bind.c; then immutable */
	uint64_t qid_path;   /* immutable */
	struct inode *home;  /* with a reference, or NULL; immutable, as are the next two */
	uint64_t home_offset; /* where a listing of home begins with it, or P9_NO_OFFSET */
	uint8_t home_len;
	/* under i.attr_lock */
	struct vfs_attr attr;
	bool attr_valid;     /* attr is what the server said */
	bool attr_written;   /* since then, contents changed through our descriptors */
	uint64_t attr_ns;    /* when: CLOCK_MONOTONIC, for P9FS_REVALIDATE */
	int ro_fd, rw_fd, wo_fd; /* -1: none */
	unsigned writers;    /* open files that use rw_fd or wo_fd */
	_Atomic uint64_t fetch_id; /* of ro_fd: uio_fetch() */
	/* LOCK_INODE_DATA: appends and truncation */
	struct mutex data_lock;
	/* directories */
	struct list stash;   /* stash.c; p9_fs->mu */
	unsigned names_gen;  /* p9_fs->mu */
	_Atomic unsigned listed, missed; /* list.c: entries told; names then asked for one by one */
	/* exclusive: known to have no security.capability, which every execve(2) asks for */
	_Atomic bool no_capability;
	char home_name[];
};
#define P9_NO_OFFSET UINT64_MAX

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
/* The inode that `name` of dir was told to be, with a reference; not bound to a fid unless it exists
 * already. */
int p9_inode_told(struct inode *dir, const char *name, size_t len, const struct p9_attr *attr,
		  uint64_t offset, struct inode **out);
void p9_inode_release(struct inode *i);
void p9_attr_forget(struct inode *i);	/* the server must be asked again */
void p9_attr_written(struct inode *i);	/* through our own descriptors */
int p9_getattr(struct inode *i, struct vfs_attr *out);
int p9_setattr(struct inode *i, const struct vfs_setattr *sa);
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

void p9_keep_link_text(struct inode *i, char *text); /* consumes it */

/* file.c */
int p9_open(struct inode *i, struct file *f);
/* file->priv. The descriptors are the inode's: ro_fd stays as long as it, the others while we are
 * counted in `writers`. */
struct p9_file {
	int rfd, wfd; /* -1: none */
	uint32_t fid; /* an opened fid of our own instead (0: none) */
	bool writer;
	/* directories: entries that the host told and nobody has read yet; under f->pos_lock */
	uint8_t *list;
	size_t list_at, list_len;
	uint64_t list_pos; /* the position that list_at is for */
	uint32_t list_flags; /* P9_LIST_*, from the beginning to the end */
	bool list_end;     /* nothing comes behind */
};

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
/* Walks names (1 to P9_AHEAD_MAX; a plain server: the first) and binds newfid, newfid+1, ... as
 * flags (P9_LOOKUP_*) say. 0, also if nothing was found; the numbers that were not bound are the
 * caller's to give back. */
int p9_do_walk(struct p9_client *c, uint32_t dfid, const struct p9_str *names, unsigned n,
	       uint32_t newfid, uint32_t flags, struct p9_walked *out);
int p9_do_getattr(struct p9_client *c, uint32_t fid, struct p9_attr *out);
int p9_do_setattr(struct p9_client *c, const struct p9_tsetattr *t);
/* flags: O_RDONLY, O_WRONLY, O_RDWR. A checked descriptor of a regular file; -EOPNOTSUPP: the
 * server donates none. */
int p9_do_openfd(struct p9_client *c, uint32_t fid, uint32_t flags, int *fd);
struct p9_opened {
	uint32_t opened; /* bit i: name i */
	uint64_t qids[P9_MAXWELEM]; /* of those */
	struct p9_carried fds; /* checked: as many regular files */
};
/* The extension only. */
int p9_do_openmany(struct p9_client *c, const struct p9_topenmany *t, struct p9_opened *out);
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
struct p9_listed {
	uint8_t *data; /* malloc'ed */
	size_t len, own;
	bool end;
	uint64_t qid_path; /* the extension: of the directory */
};
/* t->fid: opened unless the extension was agreed; then of the others only offset and count
 * count, and entries are those of p9_get_dirent. */
int p9_do_list(struct p9_client *c, const struct p9_tlist *t, struct p9_listed *out);

/* Descriptors have run out, here or in the gofer (err): lets go of what is only cached. True: try
 * again, once. attr_lock not held. */
bool p9_shed(struct inode *i, int err);

/* bind.c: inodes without a fid */
static inline uint32_t p9_fid_known(const struct p9_inode *pi)
{
	return atomic_load_explicit(&((struct p9_inode *)pi)->fid, memory_order_acquire);
}
/* The fid, bound now if there was none. -ESTALE: what was told has proved wrong. */
int p9_fid(struct inode *i, uint32_t *fid);
/* The way to i from what has a fid; n is 0 when that is i itself. */
struct p9_route {
	uint32_t fid;
	unsigned n;
	struct p9_str names[P9_AHEAD_MAX];
	struct p9_inode *at[P9_AHEAD_MAX];
};
int p9_route(struct inode *i, struct p9_route *r);
/* The peer has bound fid to pi's file. */
void p9_bound(struct p9_inode *pi, uint32_t fid);
/* A descriptor for reading of a regular file that has no fid, and gets none. 0 with *fd == -1: has to
 * be opened another way. */
int p9_open_unbound(struct p9_inode *pi, int *fd);

/* names.c: what an exclusive tree has told. All keys are qid paths. */
void p9_names_init(struct p9_fs *fs);
void p9_names_destroy(struct p9_fs *fs);
unsigned p9_names_gen(struct p9_fs *fs);
/* What was told of a name. */
struct p9_told {
	const struct p9_attr *attr; /* NULL: there is no such name */
	struct p9_str target;	    /* of a symlink; empty: not told */
	uint64_t offset;	    /* where a listing begins with it, or P9_NO_OFFSET */
};
/* gen: from before the request was sent. */
void p9_names_put(struct p9_fs *fs, unsigned gen, uint64_t dir, const struct p9_str *name,
		  const struct p9_told *told);
/* What is known of a name of dir, which goes from there: 0 with the inode and its reference, -ENOENT
 * (there is no such name), or 1: nothing. */
int p9_names_lookup(struct inode *dir, const char *name, size_t len, struct inode **out);
/* Before and after a name, or attributes of a file, change. */
void p9_names_forget(struct p9_fs *fs, uint64_t dir, const char *name, size_t len);
void p9_names_forget_attr(struct p9_fs *fs, uint64_t qid);
/* Whole listings (Rlist's own entries), used once. */
void p9_listing_put(struct p9_fs *fs, unsigned gen, uint64_t dir, const uint8_t *data, size_t len,
		    unsigned n);
bool p9_listing_take(struct p9_fs *fs, uint64_t dir, uint8_t **data, size_t *len, unsigned *n);

/* ahead.c: opening regular files of an exclusive tree before they are asked for. */
void p9_ahead_init(struct p9_fs *fs);
/* A descriptor for reading pi: one that was opened ahead, or one that is opened along with others. -1: has to
 * be opened by itself. */
int p9_ahead_open(struct p9_inode *pi);
void p9_ahead_drop_locked(struct p9_fs *fs, uint64_t qid);
void p9_ahead_clear(struct p9_fs *fs);

/* list.c */
int p9_dir_readdir(struct file *f, uint64_t *pos, struct dir_sink *sink);
/* A name of dir is about to be asked for by itself. True: all of dir's were fetched instead. */
bool p9_list_missed(struct inode *dir);
/* A name was not asked for because a listing told it. */
void p9_list_paid(struct p9_fs *fs);

/* stash.c */
unsigned p9_stash_gen(struct inode *dir);
/* Keeps what a walk told ahead, unless names of dir have changed since `gen`. Consumes the inode; NULL:
 * there is no such name. */
void p9_stash_put(struct inode *dir, unsigned gen, const char *name, size_t len, struct inode *i);
/* What is known of a name, once: 0 with the inode and its reference, -ENOENT (there is no such
 * name), or 1: nothing. */
int p9_stash_take(struct inode *dir, const char *name, size_t len, struct inode **out);
/* Before and after a name of dir changes: here and in names.c. */
void p9_stash_forget(struct inode *dir, const char *name, size_t len);
void p9_stash_clear(struct inode *dir); /* dir goes */
void p9_stash_clear_all(struct p9_fs *fs);
