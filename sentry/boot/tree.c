/* The tree of a sandbox: nodes are mounted in order, the first one is the root. Missing mount points are
 * made: the root is a tmpfs or has a memory overlay while the tree is built, whatever the guest may do to it later;
 * only a root that is the host's own writable tree gets none, and a mount without a point
 * there is left out with a warning. */
#include "sentry/boot/tree.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "abi/base/cleanup.h"
#include "abi/base/log.h"
#include "sentry/boot/boot.h"
#include "sentry/fs/dev.h"
#include "sentry/fs/proc/proc.h"
#include "sentry/fs/sysfs.h"
#include "sentry/kernel/task.h"
#include "vfs/anon.h"
#include "vfs/cred.h"
#include "vfs/dirent.h"
#include "vfs/file.h"
#include "vfs/fs.h"
#include "vfs/mount.h"
#include "vfs/overlay/overlay.h"
#include "vfs/p9/p9fs.h"
#include "vfs/tmpfs/tmpfs.h"
#include "vfs/uio.h"
#include "vfs/vfs.h"

struct builder {
	struct mount_ns *ns;
	struct walk_ctx ctx;
	struct cred *cred;
	char *why;
	size_t why_size;
};

static int fail(struct builder *b, const struct boot_node *n, const char *what, int err)
{
	snprintf(b->why, b->why_size, "%s '%s': %s", what, n->target, strerror(-err));
	return err;
}

/* ---- the file system of a node ------------------------------------------------------------------ */

static int put_file(struct builder *b, struct fs *fs, const char *name, char *text)
{
	AUTO(dirent) struct dirent *d = NULL;
	AUTO(file) struct file *f = NULL;
	struct inode *dir = fs->root->inode, *made = NULL;
	struct path at;
	struct uio u;
	ssize_t n;
	int r = dir->ops->mknod(dir, name, strlen(name), S_IFREG | 0644, 0, b->cred, &made);

	if (r)
		return r;
	r = dirent_new_anon(fs, name, made, &d);
	if (r)
		return r;
	at = (struct path){anon_mount(), d};
	r = file_open_path(&at, O_WRONLY, b->cred, &f);
	if (r)
		return r;
	uio_init_buf(&u, text, strlen(text));
	n = file_write(f, &u, UINT64_MAX);
	return n < 0 ? (int)n : 0;
}

static void put_own(struct builder *b, struct fs *upper, const char *name, char *text)
{
	if (text && put_file(b, upper, name, text))
		log_debug("no /etc/%s of our own", name);
}

/* A memory overlay whose upper root looks like the lower one. */
static int wrap_overlay(struct builder *b, struct fs *lower, const struct boot_node *n, struct fs **out)
{
	struct vfs_attr attr;
	struct fs *upper;
	char options[96];
	int r = lower->root->inode->ops->getattr(lower->root->inode, &attr);

	if (r)
		return r;
	snprintf(options, sizeof(options), "mode=%o,uid=%u,gid=%u", attr.mode & 07777, attr.uid,
		 attr.gid);
	r = tmpfs_new(options, b->cred, &upper);
	if (r)
		return r;
	put_own(b, upper, "hosts", n->hosts);
	put_own(b, upper, "hostname", n->hostname);
	r = overlay_new(upper->root, &lower->root, 1, b->cred, out);
	fs_put(upper);
	return r;
}

int boot_connect(struct boot_node *nodes, size_t n)
{
	int r = 0;

	for (size_t i = 0; i < n && !r; i++)
		if (nodes[i].kind == BOOT_9P)
			r = p9fs_connect(nodes[i].sock, &nodes[i].client);
	return r;
}

static int open_9p(struct builder *b, const struct boot_node *n, bool is_root, struct fs **out)
{
	struct p9fs_options opt = {
		.cache = n->shared ? P9FS_REVALIDATE : P9FS_EXCLUSIVE,
		.readonly = n->readonly,
		.source = n->source,
		.lower = n->overlay || (is_root && n->readonly),
	};
	struct fs *fs;
	int r = p9fs_new_on(n->client, &opt, &fs);

	if (r)
		return r;
	if (n->overlay || (is_root && n->readonly)) {
		r = wrap_overlay(b, fs, n, out);
		fs_put(fs);
		return r;
	}
	*out = fs;
	return 0;
}

static int open_type(struct builder *b, const struct boot_node *n, struct fs **out)
{
	const struct fs_type *type = fs_type_lookup(n->options);

	if (!type)
		return -ENODEV;
	return type->mount(type, n->options, "", b->cred, out);
}

static int open_fs(struct builder *b, const struct boot_node *n, bool is_root, struct fs **out)
{
	switch (n->kind) {
	case BOOT_9P:
		return open_9p(b, n, is_root, out);
	case BOOT_TMPFS:
		return tmpfs_new(n->options ? n->options : "", b->cred, out);
	default:
		return open_type(b, n, out);
	}
}

/* ---- mount points ------------------------------------------------------------------------------- */

/* mkdir -p of all but the last component, and of that too if `last`. */
static int make_dirs(struct builder *b, const char *path, bool last, uint32_t mode)
{
	AUTO(free) char *p = strdup(path);
	int r = 0;

	if (!p)
		return -ENOMEM;
	for (char *s = p + 1; *s && !r; s++) {
		if (*s != '/')
			continue;
		*s = '\0';
		r = vfs_mkdir(&b->ctx, p, 0755);
		if (r == -EEXIST)
			r = 0;
		*s = '/';
	}
	if (!r && last)
		r = vfs_mkdir(&b->ctx, p, mode);
	return r == -EEXIST ? 0 : r;
}

static int make_mount_point(struct builder *b, const struct boot_node *n, struct path *out)
{
	int r = vfs_walk(&b->ctx, n->target, WALK_FOLLOW, out);

	if (r != -ENOENT)
		return r;
	r = make_dirs(b, n->target, !n->is_file, 0755);
	if (!r && n->is_file)
		r = vfs_mknod(&b->ctx, n->target, S_IFREG | 0644, 0);
	return r ? r : vfs_walk(&b->ctx, n->target, WALK_FOLLOW, out);
}

static bool ignore_name(struct dir_sink *sink, const char *name, size_t len, uint64_t ino,
			unsigned type, uint64_t next)
{
	return (len == 1 && name[0] == '.') || (len == 2 && !memcmp(name, "..", 2));
}

/* Missing, or a directory with nothing in it. */
static bool is_missing_or_empty(struct builder *b, const char *path)
{
	struct dir_sink sink = {.emit = ignore_name};
	struct file *f;
	uint64_t before;
	int r = vfs_open(&b->ctx, path, O_RDONLY | O_DIRECTORY, 0, 0, &f);

	if (r)
		return r == -ENOENT;
	do {
		before = f->pos;
		r = file_readdir(f, &sink);
	} while (!r && f->pos != before);
	file_put(f);
	return r == 0;
}

static uint32_t mount_flags(const struct boot_node *n)
{
	uint32_t flags = MNT_RELATIME;

	if (n->readonly)
		flags |= MNT_RDONLY;
	if (n->kind == BOOT_FS)
		flags |= MNT_NOSUID | (strncmp(n->options, "dev", 3) ? MNT_NODEV | MNT_NOEXEC : 0);
	return flags;
}

static int mount_node(struct builder *b, const struct boot_node *n)
{
	AUTO(path) struct path at = {0};
	struct fs *fs;
	int r;

	if (n->kind == BOOT_FS && !fs_type_lookup(n->options)) {
		log_warn("unknown file-system type '%s' for %s: left out", n->options, n->target);
		return 0;
	}
	if (n->if_empty && !is_missing_or_empty(b, n->target))
		return 0;
	r = make_mount_point(b, n, &at);
	if (r == -EROFS || r == -EACCES || r == -EPERM) {
		log_warn("no mount point %s, and none can be made: left out", n->target);
		return 0;
	}
	if (r)
		return fail(b, n, "mount point", r);
	r = open_fs(b, n, false, &fs);
	if (r)
		return fail(b, n, "mount", r);
	r = mount_attach(b->ns, &at, fs, fs->root, mount_flags(n), n->source);
	fs_put(fs);
	return r ? fail(b, n, "mount", r) : 0;
}

static int make_dir_node(struct builder *b, const struct boot_node *n)
{
	AUTO(path) struct path p = {0};
	int r = make_dirs(b, n->target, true, n->mode);

	if (!r)
		r = vfs_walk(&b->ctx, n->target, 0, &p);
	if (!r)
		r = vfs_chmod(&p, b->cred, n->mode);
	if (!r && (n->uid || n->gid))
		r = vfs_chown(&p, b->cred, n->uid, n->gid);
	return r ? fail(b, n, "directory", r) : 0;
}

static int make_symlink_node(struct builder *b, const struct boot_node *n)
{
	int r = make_dirs(b, n->target, false, 0755);

	if (!r)
		r = vfs_symlink(&b->ctx, n->options, n->target);
	return r && r != -EEXIST ? fail(b, n, "symbolic link", r) : 0;
}

static int build_node(struct builder *b, const struct boot_node *n)
{
	switch (n->kind) {
	case BOOT_DIR:
		return make_dir_node(b, n);
	case BOOT_SYMLINK:
		return make_symlink_node(b, n);
	default:
		return mount_node(b, n);
	}
}

static int build_root(struct builder *b, const struct boot_node *n)
{
	struct fs *fs;
	int r = open_fs(b, n, true, &fs);

	if (r)
		return fail(b, n, "root", r);
	r = mount_ns_new(fs, MNT_RELATIME, &b->ns);
	fs_put(fs);
	if (r)
		return fail(b, n, "root", r);
	mount_ns_root(b->ns, &b->ctx.root);
	path_set(&b->ctx.cwd, &b->ctx.root);
	return 0;
}

int boot_build_tree(const struct boot_config *cfg, struct mount_ns **out, char *why, size_t size)
{
	AUTO(cred) struct cred *cred = cred_new_root();
	struct builder b = {.cred = cred, .why = why, .why_size = size};
	int r;

	if (!cred)
		return -ENOMEM;
	b.ctx.cred = cred;
	r = build_root(&b, &cfg->nodes[0]);
	for (size_t i = 1; !r && i < cfg->nnodes; i++)
		r = build_node(&b, &cfg->nodes[i]);
	if (!r && cfg->nodes[0].readonly)
		r = mount_remount(b.ctx.root.mount, MNT_RDONLY | MNT_RELATIME);
	path_put(&b.ctx.root);
	path_put(&b.ctx.cwd);
	if (r) {
		mount_ns_put(b.ns);
		return r;
	}
	*out = b.ns;
	return 0;
}

/* A directory named in mount(2)'s options. */
static int task_walk_current(const char *name, struct path *out)
{
	struct walk_ctx ctx;
	int r = current_task ? task_walk_begin(current_task, AT_FDCWD, &ctx) : -EINVAL;

	if (r < 0)
		return r;
	r = vfs_walk(&ctx, name, WALK_FOLLOW | WALK_DIRECTORY, out);
	task_walk_end(&ctx);
	return r;
}

int boot_register_filesystems(void)
{
	int r = tmpfs_register();

	if (!r)
		r = overlay_register(task_walk_current);
	if (r)
		return r;
	proc_register();
	sysfs_register();
	return dev_init();
}
