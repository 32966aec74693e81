/* inotify's hooks in the VFS. The instance (a file) lives in sentry/ipc/inotify.c and installs itself here. */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct dirent;
struct inode;

/* An event on d's inode (IN_ACCESS, ...), also told to watchers of its parent with its name. */
void notify_dirent(struct dirent *d, uint32_t mask);
/* An event on directory `dir` about the child `name` (IN_CREATE, IN_DELETE, IN_MOVED_FROM...);
 * cookie joins the two halves of a rename. */
void notify_dir(struct inode *dir, const char *name, size_t len, uint32_t mask, uint32_t cookie);
/* On the inode only (IN_ATTRIB on link count, IN_DELETE_SELF, IN_MOVE_SELF). */
void notify_inode(struct inode *inode, uint32_t mask);

/* A name of the inode went; IN_DELETE_SELF follows when it was the last (and the file is closed). */
void notify_gone(struct inode *inode);

struct notify_ops {
	void (*event)(struct inode *inode, const char *name, size_t len, uint32_t mask, uint32_t cookie);
	void (*inode_gone)(struct inode *inode);
};
extern const struct notify_ops *notify_ops; /* NULL until an instance exists: costs one load */
