/* Synthetic file systems (proc, sysfs): a tree of static tables, in which some directories make
 * their entries up (processes, descriptors).
 *
 * A node is an entry plus its context: the task and number that a dynamic directory above it stood for. Nothing is cached: each lookup makes
 * an inode, and the inode number is a hash of entry and context, so it is stable. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sentry/fs/text.h"
#include "vfs/fs.h"
#include "vfs/inode.h"

struct file;
struct file_ops;
struct path;
struct synth_entry;
struct task;

/* What a node is about. Below /proc/PID: the task (a reference); number: a descriptor or the like. */
struct synth_ctx {
	struct task *task;
	uint64_t number;
	bool thread; /* below .../task/TID: this thread, not its process */
};

struct synth_dir {
	/* The child called `name`: its entry, and *ctx (which starts as a copy of the parent's
	 * with a reference of its own on the task) changed to what it stands for. -ENOENT. */
	int (*lookup)(struct synth_ctx *ctx, const char *name, size_t len,
		      const struct synth_entry **entry);
	/* The first child whose key is >= *key: 1 with its key and name, 0 at the end. */
	int (*next)(const struct synth_ctx *ctx, uint64_t *key, char name[32]);
	unsigned child_type; /* DT_* of these */
	/* How many of them are directories, for st_nlink. NULL: not counted. */
	unsigned (*ndirs)(const struct synth_ctx *ctx);
};

struct synth_entry {
	const char *name;
	uint32_t mode;			    /* type and permissions */
	const struct synth_entry *children; /* directories: ends with a NULL name; may be NULL */
	const struct synth_dir *dir;	    /* directories: dynamic children, after the static ones */
	/* Files: the whole text; made anew when read from the start. 0 or -errno. */
	int (*show)(struct text *t, const struct synth_ctx *ctx);
	/* A write, at any offset: the whole buffer, terminated. NULL: -EACCES at open. */
	int (*store)(const struct synth_ctx *ctx, const char *buf, size_t n);
	/* Symlinks; follow is for magic ones. */
	int (*readlink)(const struct synth_ctx *ctx, char **target);
	int (*follow)(const struct synth_ctx *ctx, struct path *out);
	/* Files with operations of their own (f->priv is the file's). */
	int (*open)(const struct synth_ctx *ctx, struct file *f);
	/* May the current task look? NULL: yes. Checked at open, readlink, follow, lookup. */
	int (*may)(const struct synth_ctx *ctx);
	/* Last changes to what getattr tells. */
	void (*attr)(const struct synth_ctx *ctx, struct vfs_attr *out);
};

/* DT_DIR and DT_LNK of <dirent.h>, whose struct dirent is not ours. */
enum { SYNTH_DT_DIR = 4, SYNTH_DT_LNK = 10, SYNTH_DT_REG = 8 };

#define SYNTH_DIR(name_, mode_, ...) {.name = (name_), .mode = 0040000 | (mode_), __VA_ARGS__}
#define SYNTH_FILE(name_, mode_, ...) {.name = (name_), .mode = 0100000 | (mode_), __VA_ARGS__}
#define SYNTH_LINK(name_, ...) {.name = (name_), .mode = 0120777, __VA_ARGS__}

/* An instance whose root is `root` (a directory entry). */
int synth_new(const struct fs_type *type, const struct synth_entry *root, uint64_t magic,
	      struct fs **out);
/* The context of an open file of a synthetic fs (borrowed), for entries with `open`. */
const struct synth_ctx *synth_file_ctx(struct file *f);
/* If f is an open directory whose static children are these: its context; else NULL. */
const struct synth_ctx *synth_dir_ctx(struct file *f, const struct synth_entry *children);
