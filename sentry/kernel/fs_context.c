#include "sentry/kernel/fs_context.h"

#include <errno.h>
#include <stdlib.h>

int fs_context_new(const struct path *root, const struct path *cwd, uint32_t umask,
		   struct fs_context **out)
{
	struct fs_context *c = calloc(1, sizeof(*c));

	if (!c)
		return -ENOMEM;
	ref_init(&c->ref);
	mutex_init(&c->mu, LOCK_FS_CONTEXT);
	c->root = *root;
	c->cwd = *cwd;
	path_get(&c->root);
	path_get(&c->cwd);
	c->umask = umask;
	*out = c;
	return 0;
}

int fs_context_clone(struct fs_context *c, struct fs_context **out)
{
	AUTO_LOCK(&c->mu);

	return fs_context_new(&c->root, &c->cwd, c->umask, out);
}

struct fs_context *fs_context_get(struct fs_context *c)
{
	ref_get(&c->ref);
	return c;
}

void fs_context_put(struct fs_context *c)
{
	if (!c || !ref_put(&c->ref))
		return;
	path_put(&c->root);
	path_put(&c->cwd);
	mutex_destroy(&c->mu);
	free(c);
}

void fs_context_root(struct fs_context *c, struct path *out)
{
	AUTO_LOCK(&c->mu);

	*out = c->root;
	path_get(out);
}

void fs_context_cwd(struct fs_context *c, struct path *out)
{
	AUTO_LOCK(&c->mu);

	*out = c->cwd;
	path_get(out);
}
