/* The cache in front of a file system that counts what it is asked. */
#include "tests/unit/vfs/setup.h"

#include "vfs/dirent_cache.h"

#include <stdio.h>

static int lookups, live, valid = 1;

static void count_release(struct inode *i)
{
	live--;
	inode_fini(i);
	free(i);
}

static const struct inode_ops file_ops_ = {.release = count_release};
static const struct inode_ops dir_ops;

static struct inode *count_inode(struct fs *fs, uint32_t mode)
{
	struct inode *i = calloc(1, sizeof(*i));

	inode_init(i, fs, S_ISDIR(mode) ? &dir_ops : &file_ops_, (uint64_t)++live, mode);
	inode_set_owner(i, 0, 0);
	return i;
}

/* Names that begin with f are files, with d directories; there are no others. */
static int count_lookup(struct inode *dir, const char *name, size_t len, struct inode **out)
{
	lookups++;
	if (name[0] != 'f' && name[0] != 'd')
		return -ENOENT;
	*out = count_inode(dir->fs, name[0] == 'd' ? S_IFDIR | 0755 : S_IFREG | 0644);
	return 0;
}

static int count_revalidate(struct inode *dir, const char *name, size_t len, struct inode *child)
{
	return valid;
}

static const struct inode_ops dir_ops = {.lookup = count_lookup, .release = count_release};
static const struct inode_ops reval_ops = {
	.lookup = count_lookup, .revalidate = count_revalidate, .release = count_release};

static const struct fs_type count_type = {.name = "count"};
static int released;

static void fs_gone(struct fs *fs)
{
	released++;
}

static const struct fs_ops count_fs_ops = {.release = fs_gone};

static void mount_count(const struct inode_ops *ops, void (*tune)(struct fs *fs))
{
	struct fs *fs = fs_new(&count_type, &count_fs_ops, "count", 1);
	struct inode *i;
	struct path at;

	fs->caches = true;
	if (tune)
		tune(fs);
	i = count_inode(fs, S_IFDIR | 0755);
	i->ops = ops;
	cr_assert_eq(dirent_new_root(fs, i, &fs->root), 0);
	cr_assert_eq(vfs_mkdir(&ctx, "/c", 0755), 0);
	cr_assert_eq(vfs_walk(&ctx, "/c", 0, &at), 0);
	cr_assert_eq(mount_attach(ns, &at, fs, fs->root, 0, "count"), 0);
	path_put(&at);
	fs_put(fs);
}

TestSuite(dirent_cache, .init = tree_setup);

Test(dirent_cache, names_and_their_absence_are_asked_for_once)
{
	mount_count(&dir_ops, NULL);
	for (int i = 0; i < 5; i++) {
		cr_assert_eq(walk("/c/d/f"), 0);
		cr_assert_eq(walk("/c/d/none"), -ENOENT);
	}
	cr_assert_eq(lookups, 3);
}

static void no_dcache(struct fs *fs)
{
	fs->no_dcache = true;
}

Test(dirent_cache, no_dcache_asks_every_time_but_finds_mounts)
{
	struct fs *fs = tree_fs();
	struct path at;

	mount_count(&dir_ops, no_dcache);
	for (int i = 0; i < 5; i++)
		cr_assert_eq(walk("/c/f"), 0);
	cr_assert_eq(lookups, 5);
	cr_assert_eq(live, 1, "nothing is kept");
	cr_assert_eq(vfs_walk(&ctx, "/c/d1/d2", 0, &at), 0);
	cr_assert_eq(mount_attach(ns, &at, fs, fs->root, 0, "x"), 0);
	path_put(&at);
	fs_put(fs);
	cr_assert_eq(make_file("/c/d1/d2/here"), 0);
	cr_assert_eq(walk("/c/d1/d2/here"), 0);
	ASSERT_PLACE("/c/d1/d2/here", "/c/d1/d2/here");
}

Test(dirent_cache, stays_below_its_bound)
{
	struct dirent_cache_stats st;
	char path[64];

	dirent_cache_init(50);
	mount_count(&dir_ops, NULL);
	for (int i = 0; i < 1000; i++) {
		snprintf(path, sizeof(path), "/c/d%d/f%d", i % 7, i);
		cr_assert_eq(walk(path), 0);
		dirent_cache_stats(&st);
		cr_assert_leq(st.lru, 55);
	}
	cr_assert_leq(live, 60);
	cr_assert_gt(st.evictions, 900);
}

Test(dirent_cache, what_is_used_is_not_dropped)
{
	struct path p[100];
	char path[64];

	dirent_cache_init(20);
	mount_count(&dir_ops, NULL);
	for (int i = 0; i < 100; i++) {
		snprintf(path, sizeof(path), "/c/d%d", i);
		cr_assert_eq(vfs_walk(&ctx, path, 0, &p[i]), 0);
	}
	lookups = 0;
	for (int i = 0; i < 100; i++) {
		snprintf(path, sizeof(path), "/c/d%d", i);
		cr_assert_eq(walk(path), 0);
		path_put(&p[i]);
	}
	cr_assert_eq(lookups, 0);
	for (int i = 0; i < 100; i++) {
		snprintf(path, sizeof(path), "/c/f%d", i);
		cr_assert_eq(walk(path), 0);
	}
	cr_assert_leq(live, 30);
}

/* Cached children must not be what keeps a removed directory alive when they are evicted. */
Test(dirent_cache, children_of_a_dropped_directory_go_with_it)
{
	struct path d;
	char path[64];

	dirent_cache_init(20);
	mount_count(&dir_ops, NULL);
	cr_assert_eq(walk("/c/d/f1"), 0);
	cr_assert_eq(vfs_walk(&ctx, "/c/d", 0, &d), 0);
	dirent_unhash(d.dirent);
	path_set(&ctx.cwd, &d);
	cr_assert_eq(walk("f2"), 0);
	path_set(&ctx.cwd, &ctx.root);
	path_put(&d);
	for (int i = 0; i < 200; i++) {
		snprintf(path, sizeof(path), "/c/f%d", i);
		cr_assert_eq(walk(path), 0);
	}
	cr_assert_leq(live, 30);
}

Test(dirent_cache, revalidation_drops_what_is_stale)
{
	mount_count(&reval_ops, NULL);
	cr_assert_eq(walk("/c/f"), 0);
	cr_assert_eq(walk("/c/f"), 0);
	cr_assert_eq(lookups, 1);
	valid = 0;
	cr_assert_eq(walk("/c/f"), 0);
	cr_assert_eq(lookups, 2);
}

Test(dirent_cache, unmounting_frees_everything)
{
	struct path at;

	mount_count(&dir_ops, NULL);
	for (int i = 0; i < 10; i++) {
		char path[64];

		snprintf(path, sizeof(path), "/c/d/d%d/f", i);
		cr_assert_eq(walk(path), 0);
	}
	cr_assert_eq(vfs_walk(&ctx, "/c", 0, &at), 0);
	cr_assert_eq(mount_detach(ns, at.mount, false), 0);
	path_put(&at);
	cr_assert_eq(live, 0);
	cr_assert_eq(released, 1);
}

Test(dirent_cache, the_bound_follows_rlimit_nofile)
{
	cr_assert_eq(dirent_cache_bound(1024, 0), 512);
	cr_assert_eq(dirent_cache_bound(1000000, 0), DIRENT_CACHE_DEFAULT);
	cr_assert_eq(dirent_cache_bound(1000000, 5000), 5000);
	cr_assert_eq(dirent_cache_bound(1024, 5000), 512);
}
