/* A tree on tmpfs to try the VFS on. */
#pragma once

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "vfs/cred.h"
#include "vfs/dirent.h"
#include "vfs/file.h"
#include "vfs/fs.h"
#include "vfs/tmpfs/tmpfs.h"
#include "vfs/uio.h"
#include "vfs/vfs.h"

static struct mount_ns *ns;
static struct walk_ctx ctx;
static struct cred *root_cred, *user_cred;

static inline struct fs *tree_fs(void)
{
	struct fs *fs = NULL;

	cr_assert_eq(tmpfs_new("mode=755", root_cred, &fs), 0);
	return fs;
}

static inline void tree_setup(void)
{
	struct fs *fs;

	cr_assert_eq(vfs_init(1000), 0);
	root_cred = cred_new_root();
	user_cred = cred_dup(root_cred);
	user_cred->uid = user_cred->euid = user_cred->suid = user_cred->fsuid = 1000;
	user_cred->gid = user_cred->egid = user_cred->sgid = user_cred->fsgid = 1000;
	user_cred->cap_effective = user_cred->cap_permitted = 0;
	fs = tree_fs();
	cr_assert_eq(mount_ns_new(fs, 0, &ns), 0);
	fs_put(fs);
	mount_ns_root(ns, &ctx.root);
	mount_ns_root(ns, &ctx.cwd);
	ctx.cred = root_cred;
}

static inline int make_file(const char *path)
{
	struct file *f;
	int r = vfs_open(&ctx, path, O_CREAT | O_EXCL | O_RDWR, 0644, 0, &f);

	if (r == 0)
		file_put(f);
	return r;
}

static inline int open_put(const char *path, int flags)
{
	struct file *f;
	int r = vfs_open(&ctx, path, flags, 0644, 0, &f);

	if (r == 0)
		file_put(f);
	return r;
}

static inline int walk_flags(const char *path, unsigned flags)
{
	struct path p;
	int r = vfs_walk(&ctx, path, flags, &p);

	if (r == 0)
		path_put(&p);
	return r;
}

static inline int walk(const char *path)
{
	return walk_flags(path, WALK_FOLLOW);
}

/* The text of the place that path leads to. */
static inline char *place(const char *path)
{
	struct path p;
	char *text = NULL;
	int r = vfs_walk(&ctx, path, WALK_FOLLOW, &p);

	if (r < 0)
		return strdup(strerror(-r));
	cr_assert_eq(path_to_text(&p, &ctx.root, &text), 0);
	path_put(&p);
	return text;
}

#define ASSERT_PLACE(path, want)                                                                   \
	do {                                                                                       \
		char *got_ = place(path);                                                          \
		cr_assert_str_eq(got_, want, "%s leads to %s, not %s", path, got_, want);          \
		free(got_);                                                                        \
	} while (0)
