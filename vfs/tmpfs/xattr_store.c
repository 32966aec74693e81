#include "vfs/tmpfs/xattr_store.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>

struct xattr {
	struct xattr *next;
	size_t size;
	void *value;
	char name[];
};

/* The link that points at the attribute, or at the end of the list. */
static struct xattr **find(const struct xattr_store *s, const char *name)
{
	struct xattr **p = &((struct xattr_store *)s)->first;

	while (*p && strcmp((*p)->name, name) != 0)
		p = &(*p)->next;
	return p;
}

ssize_t xattr_store_get(const struct xattr_store *s, const char *name, void *value, size_t size)
{
	struct xattr *x = *find(s, name);

	if (!x)
		return -ENODATA;
	if (size == 0)
		return (ssize_t)x->size;
	if (size < x->size)
		return -ERANGE;
	memcpy(value, x->value, x->size);
	return (ssize_t)x->size;
}

static int replace(struct xattr_store *s, struct xattr *x, const void *value, size_t size)
{
	void *copy;

	if (s->bytes - x->size + size > XATTR_STORE_MAX)
		return -ENOSPC;
	copy = malloc(size ? size : 1);
	if (!copy)
		return -ENOMEM;
	memcpy(copy, value, size);
	free(x->value);
	s->bytes = s->bytes - x->size + size;
	x->value = copy;
	x->size = size;
	return 0;
}

int xattr_store_set(struct xattr_store *s, const char *name, const void *value, size_t size,
		    int flags)
{
	struct xattr **link = find(s, name), *x = *link;
	size_t len = strlen(name);

	if (x)
		return flags & XATTR_CREATE ? -EEXIST : replace(s, x, value, size);
	if (flags & XATTR_REPLACE)
		return -ENODATA;
	if (s->bytes + len + size > XATTR_STORE_MAX)
		return -ENOSPC;
	x = calloc(1, sizeof(*x) + len + 1);
	if (!x)
		return -ENOMEM;
	x->value = malloc(size ? size : 1);
	if (!x->value) {
		free(x);
		return -ENOMEM;
	}
	memcpy(x->name, name, len + 1);
	memcpy(x->value, value, size);
	x->size = size;
	s->bytes += len + size;
	*link = x;
	return 0;
}

int xattr_store_remove(struct xattr_store *s, const char *name)
{
	struct xattr **link = find(s, name), *x = *link;

	if (!x)
		return -ENODATA;
	s->bytes -= strlen(name) + x->size;
	*link = x->next;
	free(x->value);
	free(x);
	return 0;
}

ssize_t xattr_store_list(const struct xattr_store *s, char *list, size_t size)
{
	size_t n = 0;

	for (const struct xattr *x = s->first; x; x = x->next) {
		size_t len = strlen(x->name) + 1;

		if (size) {
			if (n + len > size)
				return -ERANGE;
			memcpy(list + n, x->name, len);
		}
		n += len;
	}
	return (ssize_t)n;
}

void xattr_store_free(struct xattr_store *s)
{
	while (s->first) {
		struct xattr *x = s->first;

		s->first = x->next;
		free(x->value);
		free(x);
	}
	s->bytes = 0;
}
