/* tmpfs and ramfs: file systems in the sentry's memory.
 *
 * Names live in each directory's own table (tmpfs_dir.c); the dirents of the VFS are only a cache
 * over it. The table owns a reference on the child's inode, open files own another one, so an
 * unlinked file lives until its last close.
 *
 * Data of a regular file is in one of two places (tmpfs_file.c, tmpfs_host.c):
 *
 *	pages in the pool       -- first mmap -->        a host file (memfd) of its own
 *	read: straight from                             read, write: pread, pwrite
 *	the page to the guest                           mmap: its descriptor
 *
 * A memfd for every file would cost 14 us and a descriptor each; most files are never mapped.
 *
 * Accounting: a page is charged to the instance before it is taken. Stores of a guest into holes
 * of a mapped file are only seen later, at the next call on the file (tmpfs_host_account). */
#include "vfs/tmpfs/tmpfs.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysinfo.h>

#include "vfs/cred.h"
#include "vfs/dirent.h"
#include "vfs/tmpfs/page_pool.h"
#include "vfs/tmpfs/tmpfs_impl.h"

#define TMPFS_SUPER_MAGIC 0x01021994
#define RAMFS_SUPER_MAGIC 0x858458f6

int tmpfs_charge(struct tmpfs *t, uint64_t pages)
{
	uint64_t used = atomic_load_explicit(&t->used_pages, memory_order_relaxed);

	do {
		if (t->max_pages && (used > t->max_pages || pages > t->max_pages - used))
			return -ENOSPC;
	} while (!atomic_compare_exchange_weak_explicit(&t->used_pages, &used, used + pages,
							memory_order_relaxed,
							memory_order_relaxed));
	return 0;
}

void tmpfs_uncharge(struct tmpfs *t, uint64_t pages)
{
	atomic_fetch_sub_explicit(&t->used_pages, pages, memory_order_relaxed);
}

int tmpfs_statfs(struct inode *inode, struct vfs_statfs *out)
{
	struct tmpfs *t = tmpfs_i(inode)->t;
	uint64_t used = atomic_load(&t->used_pages), inodes = atomic_load(&t->used_inodes);

	memset(out, 0, sizeof(*out));
	out->type = inode->fs->magic;
	out->bsize = out->frsize = POOL_PAGE;
	out->namelen = 255;
	out->fsid = inode->fs->dev;
	out->blocks = t->max_pages;
	out->bfree = out->bavail = t->max_pages > used ? t->max_pages - used : 0;
	out->files = t->max_inodes;
	out->ffree = t->max_inodes > inodes ? t->max_inodes - inodes : 0;
	return 0;
}

/* ---- options ------------------------------------------------------------------------------- */

static uint64_t ram_pages(void)
{
	struct sysinfo si;

	if (sysinfo(&si) != 0)
		return (1UL << 30) / POOL_PAGE;
	return (uint64_t)si.totalram * si.mem_unit / POOL_PAGE;
}

static int parse_option(struct tmpfs *t, const struct vfs_option *o)
{
	uint64_t v;
	int r;

	if (strcmp(o->key, "mode") == 0) {
		r = vfs_option_u64(o, 8, &v);
		if (r == 0 && v > 07777)
			return -EINVAL;
		if (r == 0)
			t->root_mode = (uint32_t)v;
		return r;
	}
	if (t->ram)
		return 0; /* as Linux: ramfs never refused what it did not know */
	if (strcmp(o->key, "size") == 0) {
		r = vfs_option_size(o, ram_pages() * POOL_PAGE, &v);
		if (r == 0)
			t->max_pages = v / POOL_PAGE + (v % POOL_PAGE != 0);
		return r;
	}
	if (strcmp(o->key, "nr_blocks") == 0)
		return vfs_option_size(o, ram_pages(), &t->max_pages);
	if (strcmp(o->key, "nr_inodes") == 0)
		return vfs_option_size(o, ram_pages(), &t->max_inodes);
	if (strcmp(o->key, "uid") == 0 || strcmp(o->key, "gid") == 0) {
		r = vfs_option_u64(o, 10, &v);
		if (r == 0 && v >= UINT32_MAX)
			return -EINVAL;
		if (r == 0)
			*(o->key[0] == 'u' ? &t->root_uid : &t->root_gid) = (uint32_t)v;
		return r;
	}
	if (strcmp(o->key, "huge") == 0 || strcmp(o->key, "mpol") == 0)
		return o->has_value ? 0 : -EINVAL;
	if (strcmp(o->key, "inode32") == 0 || strcmp(o->key, "inode64") == 0 ||
	    strcmp(o->key, "noswap") == 0)
		return o->has_value ? -EINVAL : 0;
	return -EINVAL;
}

static int parse_options(struct tmpfs *t, const char *data)
{
	struct vfs_option o;
	int r;

	while ((r = vfs_option_next(&data, &o)) > 0) {
		r = parse_option(t, &o);
		if (r < 0)
			return r;
	}
	return r;
}

/* ---- instances ----------------------------------------------------------------------------- */

static void tmpfs_release(struct fs *fs)
{
	free(fs->priv);
	fs->priv = NULL;
}

static int tmpfs_show_options(struct fs *fs, char *buf, size_t size)
{
	struct tmpfs *t = fs->priv;
	int n = 0;

	if (size)
		buf[0] = 0;
	if (t->ram)
		return 0;
#define ADD(...) (n += snprintf(buf + n, (size_t)n < size ? size - (size_t)n : 0, __VA_ARGS__))
	if (t->max_pages)
		ADD(",size=%luk", (unsigned long)t->max_pages * (POOL_PAGE / 1024));
	if (t->max_inodes)
		ADD(",nr_inodes=%lu", (unsigned long)t->max_inodes);
	if (t->root_mode != 01777)
		ADD(",mode=%03o", t->root_mode);
	if (t->root_uid)
		ADD(",uid=%u", t->root_uid);
	if (t->root_gid)
		ADD(",gid=%u", t->root_gid);
#undef ADD
	return n;
}

static const struct fs_ops tmpfs_fs_ops = {
	.release = tmpfs_release,
	.show_options = tmpfs_show_options,
};

static int instance_new(const struct fs_type *type, bool ram, const char *source,
			const char *data, const struct cred *cred, struct fs **out)
{
	struct fs *fs = fs_new(type, &tmpfs_fs_ops, source,
			       ram ? RAMFS_SUPER_MAGIC : TMPFS_SUPER_MAGIC);
	struct tmpfs *t = calloc(1, sizeof(*t));
	struct tmpfs_inode *root;
	int r;

	if (!fs || !t) {
		free(t);
		fs_put(fs);
		return -ENOMEM;
	}
	fs->priv = t;
	fs->shown_type = type->name;
	t->fs = fs;
	t->ram = ram;
	t->root_mode = ram ? 0755 : 01777;
	t->root_uid = cred->fsuid;
	t->root_gid = cred->fsgid;
	atomic_init(&t->next_ino, 1);
	if (!ram)
		t->max_pages = t->max_inodes = ram_pages() / 2;
	r = parse_options(t, data);
	if (r == 0)
		r = tmpfs_inode_new(t, S_IFDIR | t->root_mode, 0, t->root_uid, t->root_gid, &root);
	if (r == 0) {
		root->parent_ino = root->i.ino;
		r = dirent_new_root(fs, &root->i, &fs->root);
	}
	if (r < 0) {
		fs_put(fs);
		return r;
	}
	*out = fs;
	return 0;
}

static int tmpfs_mount(const struct fs_type *type, const char *source, const char *data,
		       const struct cred *cred, struct fs **out)
{
	return instance_new(type, false, source, data, cred, out);
}

static int ramfs_mount(const struct fs_type *type, const char *source, const char *data,
		       const struct cred *cred, struct fs **out)
{
	return instance_new(type, true, source, data, cred, out);
}

static const struct fs_type tmpfs_type = {.name = "tmpfs", .nodev = true, .mount = tmpfs_mount};
static const struct fs_type ramfs_type = {.name = "ramfs", .nodev = true, .mount = ramfs_mount};

int tmpfs_register(void)
{
	fs_type_register(&tmpfs_type);
	fs_type_register(&ramfs_type);
	return 0;
}

int tmpfs_new(const char *options, const struct cred *cred, struct fs **out)
{
	return tmpfs_mount(&tmpfs_type, "none", options, cred, out);
}

int tmpfs_new_type(const struct fs_type *type, const char *source, const char *options,
		   const struct cred *cred, struct fs **out)
{
	return instance_new(type, false, source, options, cred, out);
}

static struct fs *internal_fs;

static void internal_make(void)
{
	struct cred *cred = cred_new_root();

	if (cred)
		instance_new(&tmpfs_type, false, "none", "size=0,nr_inodes=0", cred, &internal_fs);
	cred_put(cred);
}

struct fs *tmpfs_internal(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, internal_make);
	return internal_fs;
}
