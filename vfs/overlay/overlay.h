/* The overlay: one writable tree over read-only ones, shown as a single file system. */
#pragma once

#include <stddef.h>

struct cred;
struct dirent;
struct fs;

#define OVERLAY_LOWERS_MAX 128

/* upper: a directory of a file system that has O_TMPFILE and hard links (tmpfs), or NULL for a
 * read-only overlay; nobody else may change the tree below it while the overlay lives. lowers:
 * directories, topmost first; they must not change unless their file system revalidates. References
 * are taken, also on their fs. Set fs->lower of each of them before their first inode is made, so
 * that debug builds know the locks' order; here it is set as well, for the inodes still to come.
 * -EINVAL, -ELOOP (too deep), -ENOMEM. */
int overlay_new(struct dirent *upper, struct dirent *const lowers[], size_t n,
		const struct cred *cred, struct fs **out);
/* Registers the type. mount(2) of it (lowerdir=, upperdir=, workdir=) finds its directories through
 * `walk`, which looks a path up as the calling task would; NULL: such mounts get -EINVAL. */
struct path;
int overlay_register(int (*walk)(const char *name, struct path *out));
