#include "vfs/fs.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>

#include "vfs/changes.h"
#include "vfs/dirent.h"
#include "vfs/fs_impl.h"

enum { TYPES_MAX = 64 };

static const struct fs_type *types[TYPES_MAX];
static int types_count;

struct fs *fs_new(const struct fs_type *type, const struct fs_ops *ops, const char *source,
		  uint64_t magic)
{
	struct fs *fs = calloc(1, sizeof(*fs));

	if (!fs)
		return NULL;
	fs->source = strdup(source ? source : "none");
	if (!fs->source) {
		free(fs);
		return NULL;
	}
	ref_init(&fs->ref);
	ref_init(&fs->alive);
	fs->type = type;
	fs->ops = ops;
	fs->dev = vfs_alloc_dev();
	fs->magic = magic;
	vfs_changes_fs_init(fs);
	fs->shown_type = type ? type->name : "none";
	return fs;
}

struct fs *fs_get(struct fs *fs)
{
	ref_get(&fs->ref);
	return fs;
}

void fs_put(struct fs *fs)
{
	if (!fs || !ref_put(&fs->ref))
		return;
	if (fs->root) {
		dirent_prune(fs->root);
		dirent_put(steal(&fs->root));
	}
	fs_put_alive(fs);
}

void fs_put_alive(struct fs *fs)
{
	if (!ref_put(&fs->alive))
		return;
	if (fs->ops && fs->ops->release)
		fs->ops->release(fs);
	free(fs->source);
	free(fs);
}

void fs_type_register(const struct fs_type *type)
{
	assert(types_count < TYPES_MAX && !fs_type_lookup(type->name));
	types[types_count++] = type;
}

const struct fs_type *fs_type_lookup(const char *name)
{
	for (int i = 0; i < types_count; i++)
		if (strcmp(types[i]->name, name) == 0)
			return types[i];
	return NULL;
}

void fs_type_each(void (*fn)(const struct fs_type *t, void *ctx), void *ctx)
{
	for (int i = 0; i < types_count; i++)
		fn(types[i], ctx);
}

/* Anonymous device numbers as Linux gives them: major 0. */
uint64_t vfs_alloc_dev(void)
{
	static atomic_uint next = 20;

	return makedev(0, atomic_fetch_add(&next, 1));
}
