/* Mounts: what makes one tree of several file systems. A mount shows the tree below `root` (a dirent of
 * its fs) at `mountpoint` in its parent mount. All mounts of a namespace are under one lock. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "abi/base/cleanup.h"
#include "abi/base/htable.h"
#include "abi/base/list.h"
#include "abi/base/ref.h"

struct dirent;
struct fs;
struct mount;
struct mount_ns;

enum {
	MNT_RDONLY = 1 << 0,
	MNT_NOSUID = 1 << 1,
	MNT_NODEV = 1 << 2,
	MNT_NOEXEC = 1 << 3,
	MNT_NOATIME = 1 << 4,
	MNT_RELATIME = 1 << 5,
	MNT_NODIRATIME = 1 << 6,
	MNT_DETACHED = 1 << 16,
};

struct mount {
	struct ref ref;
	int id;			/* /proc/self/mountinfo */
	_Atomic uint32_t flags; /* MNT_* */
	struct fs *fs;		/* owned */
	struct dirent *root;	/* owned */
	/* under the tree lock (tree_lock.h) */
	struct mount_ns *ns;	/* NULL once detached */
	struct mount *parent;	/* itself for the root of a namespace */
	struct dirent *mountpoint; /* owned; in parent's fs */
	struct list children, sibling, ns_node;
	struct hnode hash;	/* (parent, mountpoint) */
	char *source;
	struct mount *copy;	/* while a tree is copied, under mounts_mu; stale afterwards */
	uint64_t serial;	/* never used again */
	uint64_t copied;	/* the serial of what this is a copy of; 0: none */
};

/* A place in the tree: what openat's dirfd, cwd and root are. */
struct path {
	struct mount *mount;
	struct dirent *dirent;
};

static inline bool path_same(const struct path *a, const struct path *b)
{
	return a->mount == b->mount && a->dirent == b->dirent;
}
void path_get(const struct path *p);  /* takes both references */
void path_put(struct path *p);	      /* drops both, NULLs them; fine when empty */
static inline void auto_path(struct path *p)
{
	path_put(p);
}
void path_set(struct path *dst, const struct path *src); /* get src, put old dst */

struct mount *mount_get(struct mount *m);
void mount_put(struct mount *m);

/* A namespace whose root is fs's root; consumes nothing (takes references). */
int mount_ns_new(struct fs *fs, uint32_t flags, struct mount_ns **out);
int mount_ns_clone(struct mount_ns *ns, struct mount_ns **out); /* CLONE_NEWNS */
struct mount_ns *mount_ns_get(struct mount_ns *ns);
void mount_ns_put(struct mount_ns *ns);
void mount_ns_root(struct mount_ns *ns, struct path *out); /* with references */

/* mount(2) without the parsing: fs at `at`, on top of what is there. */
int mount_attach(struct mount_ns *ns, const struct path *at, struct fs *fs, struct dirent *root,
		 uint32_t flags, const char *source);
int mount_bind(struct mount_ns *ns, const struct path *at, const struct path *what, bool recursive);
int mount_move(struct mount_ns *ns, const struct path *at, struct mount *m);
int mount_remount(struct mount *m, uint32_t flags);
/* pivot_root(2): new_root, a mount's root, becomes the namespace's, the old one goes to put_old. */
int mount_pivot(struct mount_ns *ns, const struct path *root, const struct path *new_root,
		const struct path *put_old);
/* After mount_ns_clone(): *p, a place in the namespace that was cloned, becomes the same place in
 * the clone; call before anything changes in either. */
void mount_ns_adopt(struct mount_ns *clone, struct path *p);
/* umount2(2): flags MNT_DETACH, MNT_EXPIRE, UMOUNT_NOFOLLOW handled by the caller, who holds exactly one
 * reference on m. -EBUSY, -EINVAL. */
int mount_detach(struct mount_ns *ns, struct mount *m, bool lazy);
/* The topmost mount at p, if any: 1 and *p replaced (references moved), else 0. */
int mount_follow_down(struct path *p);
/* From the root of a mount to its mountpoint in the parent: 1, or 0 at the namespace's root. */
int mount_follow_up(struct path *p);
/* Calls fn for each mount in mountinfo's order, under the namespace's lock: must not block. */
void mount_ns_each(struct mount_ns *ns, void (*fn)(struct mount *m, void *ctx), void *ctx);
/* The path's text as d_path: malloc'ed; relative to root; " (deleted)" is appended when so, and
 * "(unreachable)" put in front when it is not below root. */
int path_to_text(const struct path *p, const struct path *root, char **out);
