#include "sentry/kernel/fs_context.h"

#include <errno.h>
#include <stdlib.h>

#include "sentry/kernel/kernel.h"
#include "vfs/changes.h"

static void place_begin(struct fs_context *c)
{
	if (kernel->pf_ops && kernel->pf_ops->place_new)
		c->place = kernel->pf_ops->place_new(kernel->platform);
}

static void place_set(struct fs_context *c)
{
	if (c->place)
		kernel->pf_ops->place_set(kernel->platform, c->place, c->root_id, c->cwd_id);
}

void fs_context_moved(struct fs_context *c, bool root, bool cwd)
{
	if (root)
		c->root_id = vfs_new_id();
	/* A walk from cwd may meet the root: a link, "..". */
	if (root || cwd)
		c->cwd_id = vfs_new_id();
	place_set(c);
}

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
	place_begin(c);
	fs_context_moved(c, true, true);
	*out = c;
	return 0;
}

int fs_context_clone(struct fs_context *c, struct fs_context **out)
{
	int err;

	AUTO_LOCK(&c->mu);
	err = fs_context_new(&c->root, &c->cwd, c->umask, out);
	if (err < 0)
		return err;
	(*out)->root_id = c->root_id;
	(*out)->cwd_id = c->cwd_id;
	place_set(*out);
	return 0;
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
	if (c->place)
		kernel->pf_ops->place_free(kernel->platform, c->place);
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
