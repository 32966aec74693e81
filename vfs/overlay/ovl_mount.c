/* mount(2) of an overlay: options as Linux's, of which those that choose directories count. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "vfs/dirent.h"
#include "vfs/mount.h"
#include "vfs/overlay/overlay.h"
#include "vfs/overlay/overlay_impl.h"

static int (*walk_path)(const char *name, struct path *out);

struct mount_opts {
	struct path upper, work;
	struct path lowers[OVERLAY_LOWERS_MAX];
	size_t n;
};

/* "a:b\:c:d": topmost first; a backslash keeps the next character as it is. */
static int parse_lowers(struct mount_opts *m, char *list)
{
	char *from = list, *to = list, *start = list;
	bool end;

	do {
		end = *from == 0;
		if (!end && *from == '\\' && from[1]) {
			*to++ = from[1];
			from += 2;
			continue;
		}
		if (!end && *from != ':') {
			*to++ = *from++;
			continue;
		}
		*to = 0;
		if (to == start || m->n == OVERLAY_LOWERS_MAX)
			return -EINVAL;
		int r = walk_path(start, &m->lowers[m->n]);

		if (r < 0)
			return r;
		m->n++;
		from += !end;
		start = to = from;
	} while (!end);
	return 0;
}

static bool is_known(const char *key)
{
	static const char *const known[] = {"default_permissions", "redirect_dir", "index", "xino",
					    "metacopy", "nfs_export", "uuid", "volatile",
					    "userxattr", "verity"};

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (strcmp(key, known[i]) == 0)
			return true;
	return false;
}

static int parse_option(struct mount_opts *m, struct vfs_option *o)
{
	struct path *p = strcmp(o->key, "upperdir") == 0  ? &m->upper
			 : strcmp(o->key, "workdir") == 0 ? &m->work
							  : NULL;

	if (strcmp(o->key, "lowerdir") == 0)
		return m->n ? -EINVAL : parse_lowers(m, o->value);
	if (!p)
		return is_known(o->key) ? 0 : -EINVAL;
	if (p->dirent)
		return -EINVAL;
	return walk_path(o->value, p);
}

static int make(struct mount_opts *m, const struct cred *cred, struct fs **out)
{
	struct dirent *lowers[OVERLAY_LOWERS_MAX], *upper = m->upper.dirent;
	int r;

	if (m->n == 0 || (upper && !m->work.dirent))
		return -EINVAL;
	if (upper && (m->work.dirent->fs != upper->fs || dirent_is_below(m->work.dirent, upper) ||
		      dirent_is_below(upper, m->work.dirent)))
		return -EINVAL;
	for (size_t i = 0; i < m->n; i++)
		lowers[i] = m->lowers[i].dirent;
	r = overlay_new(upper, lowers, m->n, cred, out);
	if (r == -EPERM || r == -EOPNOTSUPP)
		return -EINVAL; /* the upper cannot do what it takes */
	if (r < 0)
		return r;
	((struct overlay *)(*out)->priv)->mounted = true;
	if (upper) {
		/* It stays visible at its own place, where changes come from below now. */
		dirent_prune(upper->fs->root);
		upper->fs->no_dcache = true;
	}
	return 0;
}

static int ovl_mount(const struct fs_type *type, const char *source, const char *data,
		     const struct cred *cred, struct fs **out)
{
	struct mount_opts *m;
	struct vfs_option *o;
	int r;

	if (!walk_path)
		return -EINVAL;
	m = calloc(1, sizeof(*m));
	o = calloc(1, sizeof(*o));
	r = m && o ? 0 : -ENOMEM;
	while (r == 0 && (r = vfs_option_next(&data, o)) > 0)
		r = parse_option(m, o);
	if (r == 0)
		r = make(m, cred, out);
	for (size_t i = 0; m && i < m->n; i++)
		path_put(&m->lowers[i]);
	if (m) {
		path_put(&m->upper);
		path_put(&m->work);
	}
	free(m);
	free(o);
	return r;
}

const struct fs_type ovl_type = {
	.name = "overlay",
	.nodev = true,
	.mount = ovl_mount,
};

int overlay_register(int (*walk)(const char *name, struct path *out))
{
	walk_path = walk;
	fs_type_register(&ovl_type);
	return 0;
}
