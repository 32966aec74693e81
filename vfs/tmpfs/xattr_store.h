/* Extended attributes kept in memory: a short list on an inode, in order of creation. Not locked:
 * the inode's attr_lock guards it. Names and sizes are bounded by the VFS (XATTR_NAME_MAX,
 * XATTR_SIZE_MAX); the sum on one inode is bounded here. */
#pragma once

#include <stddef.h>
#include <sys/types.h>

struct xattr;

struct xattr_store {
	struct xattr *first;
	size_t bytes; /* names and values */
};

#define XATTR_STORE_MAX (1UL << 20)

/* The value's size; -ENODATA; -ERANGE if size is smaller and not 0. */
ssize_t xattr_store_get(const struct xattr_store *s, const char *name, void *value, size_t size);
/* flags: XATTR_CREATE (-EEXIST), XATTR_REPLACE (-ENODATA). -ENOSPC, -ENOMEM. */
int xattr_store_set(struct xattr_store *s, const char *name, const void *value, size_t size,
		    int flags);
int xattr_store_remove(struct xattr_store *s, const char *name);
ssize_t xattr_store_list(const struct xattr_store *s, char *list, size_t size);
void xattr_store_free(struct xattr_store *s);
