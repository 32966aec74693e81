/* What a listing told is used without asking, and is not believed after a change. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/unit/p9/tree.h"
#include "vfs/dirent.h"
#include "vfs/dirent_cache.h"
#include "vfs/file.h"
#include "vfs/fs.h"
#include "vfs/uio.h"
#include "vfs/vfs.h"

static struct tree t;

struct found {
	struct dir_sink sink;
	unsigned n;
	char dirs[64][32];
	unsigned ndirs;
};

static bool found_name(struct dir_sink *sink, const char *name, size_t len, uint64_t ino,
		       unsigned type, uint64_t next_off)
{
	struct found *f = container_of(sink, struct found, sink);

	if (name[0] == '.')
		return true;
	f->n++;
	if (type == 4 && f->ndirs < 64)
		snprintf(f->dirs[f->ndirs++], sizeof(f->dirs[0]), "%.*s", (int)len, name);
	return true;
}

/* Lists path into *f: 0 or -errno. */
static int list_into(const char *path, struct found *f)
{
	AUTO(file) struct file *dir = NULL;
	unsigned before;
	int err = vfs_open(&t.ctx, path, O_RDONLY | O_DIRECTORY, 0, 0, &dir);

	*f = (struct found){.sink = {found_name}};
	while (!err) {
		before = f->n;
		err = file_readdir(dir, &f->sink);
		if (f->n == before)
			break;
	}
	return err;
}

static unsigned list(const char *path)
{
	struct found f;
	int err = list_into(path, &f);

	cr_assert_eq(err, 0, "%s: %d", path, err);
	return f.n;
}

/* As find(1) goes: how many names. */
static unsigned traverse(const char *path)
{
	struct found *f = malloc(sizeof(*f));
	char sub[512];
	unsigned n;
	int err = list_into(path, f);

	cr_assert_eq(err, 0, "%s: %d", path, err);
	n = f->n;
	for (unsigned i = 0; i < f->ndirs; i++) {
		snprintf(sub, sizeof(sub), "%s/%s", strcmp(path, "/") ? path : "", f->dirs[i]);
		n += traverse(sub);
	}
	free(f);
	return n;
}

static int stat_path(const char *path, struct vfs_attr *a)
{
	AUTO(path) struct path p = {0};
	int err = vfs_walk(&t.ctx, path, 0, &p);

	return err ? err : vfs_getattr(&p, a);
}

static const char *get(const char *path)
{
	return tree_get(&t, path);
}

static void put(const char *path, int flags, const char *text)
{
	tree_put(&t, path, flags, text);
}

static void kill_gofer(void)
{
	kill(t.gofer, SIGKILL);
	waitpid(t.gofer, NULL, 0);
	t.gofer = 0;
}

/* A directory d of n files f0, f1, ..., listed and looked at until listings tell attributes. */
static void start_told(int n)
{
	struct vfs_attr a;
	char name[32];

	tree_open(&t, &(struct tree_options){.confinement = GOFER_CONFINE_BEST});
	mkdir(tree_host(&t, "d"), 0755);
	mkdir(tree_host(&t, "e"), 0755);
	for (int i = 0; i < n; i++) {
		snprintf(name, sizeof(name), "d/f%d", i);
		tree_write_host(&t, name, "text");
		snprintf(name, sizeof(name), "e/f%d", i);
		tree_write_host(&t, name, "text");
	}
	list("/e");
	for (int i = 0; i < n; i++) {
		snprintf(name, sizeof(name), "/e/f%d", i);
		cr_assert_eq(stat_path(name, &a), 0);
	}
	cr_assert_eq(list("/d"), (unsigned)n);
}

Test(p9_names, that_a_listing_told_are_not_asked_for)
{
	struct vfs_attr a;
	char name[32];

	start_told(40);
	kill_gofer();
	for (int i = 0; i < 40; i++) {
		snprintf(name, sizeof(name), "/d/f%d", i);
		cr_assert_eq(stat_path(name, &a), 0);
		cr_assert_eq(a.size, 4);
	}
	cr_assert_eq(stat_path("/d/other", &a), -EIO);
	tree_close(&t);
}

Test(p9_names, are_remembered_longer_than_dirents)
{
	struct vfs_attr a;
	char name[32];

	start_told(40);
	for (int i = 0; i < 40; i++) {
		snprintf(name, sizeof(name), "/d/f%d", i);
		cr_assert_eq(stat_path(name, &a), 0);
	}
	cr_assert_eq(stat_path("/d/other", &a), -ENOENT);
	for (int i = 0; i < 10; i++)
		dirent_cache_shrink();
	kill_gofer();
	cr_assert_eq(stat_path("/d/f17", &a), 0);
	tree_close(&t);
}

Test(p9_names, of_a_traversed_tree_come_ahead)
{
	char name[64];

	tree_open(&t, &(struct tree_options){.confinement = GOFER_CONFINE_BEST});
	for (int i = 0; i < 30; i++) {
		snprintf(name, sizeof(name), "d%d", i);
		mkdir(tree_host(&t, name), 0755);
		for (int k = 0; k < 4; k++) {
			snprintf(name, sizeof(name), "d%d/s%d", i, k);
			mkdir(tree_host(&t, name), 0755);
			snprintf(name, sizeof(name), "d%d/s%d/file", i, k);
			tree_write_host(&t, name, name);
		}
	}
	cr_assert_eq(traverse("/"), 30 + 30 * 4 * 2);
	cr_assert_str_eq(get("/d7/s2/file"), "d7/s2/file");
	cr_assert_eq(traverse("/"), 30 + 30 * 4 * 2);
	/* What was fetched ahead and not used yet knows of later changes. */
	for (int i = 0; i < 30; i++) {
		snprintf(name, sizeof(name), "/d%d/s1/new", i);
		put(name, O_CREAT | O_EXCL, "new");
		snprintf(name, sizeof(name), "/d%d/s3/file", i);
		cr_assert_eq(vfs_unlink(&t.ctx, name), 0);
		snprintf(name, sizeof(name), "/d%d/s3", i);
		cr_assert_eq(list(name), 0);
		cr_assert_eq(vfs_rmdir(&t.ctx, name), 0);
		snprintf(name, sizeof(name), "/d%d", i);
		cr_assert_eq(traverse(name), 3 + 4);
	}
	cr_assert_eq(traverse("/"), 30 + 30 * 7);
	tree_close(&t);
}

Test(p9_names, deep_below_what_has_a_fid_lead_to_their_files)
{
	char name[64] = "";

	tree_open(&t, &(struct tree_options){.confinement = GOFER_CONFINE_BEST});
	for (int i = 0; i < 20; i++) {
		strcat(name, i ? "/a" : "a");
		mkdir(tree_host(&t, name), 0755);
	}
	strcat(name, "/file");
	tree_write_host(&t, name, "deep");
	cr_assert_eq(traverse("/"), 21);
	cr_assert_str_eq(get("/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/file"), "deep");
	put("/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/new", O_CREAT, "x");
	cr_assert_eq(access(tree_host(&t, "a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/new"), F_OK), 0);
	tree_close(&t);
}

Test(p9_names, that_were_only_told_outlive_their_unlink_for_who_holds_them)
{
	AUTO(path) struct path file = {0}, dir = {0};
	struct vfs_attr a;

	start_told(20);
	mkdir(tree_host(&t, "e/sub"), 0755);
	cr_assert_eq(list("/e"), 21);
	cr_assert_eq(vfs_walk(&t.ctx, "/d/f3", 0, &file), 0);
	cr_assert_eq(vfs_walk(&t.ctx, "/e/sub", 0, &dir), 0);
	cr_assert_eq(vfs_unlink(&t.ctx, "/d/f3"), 0);
	cr_assert_eq(vfs_rmdir(&t.ctx, "/e/sub"), 0);
	cr_assert_eq(vfs_getattr(&file, &a), 0);
	cr_assert_eq(a.nlink, 0);
	cr_assert_eq(a.size, 4);
	cr_assert_eq(vfs_getattr(&dir, &a), 0);
	cr_assert_eq(stat_path("/d/f3", &a), -ENOENT);
	path_put(&file);
	path_put(&dir);
	file = dir = (struct path){0};
	tree_close(&t);
}

Test(p9_names, move_with_their_files)
{
	AUTO(path) struct path sub = {0};
	struct vfs_attr a;

	tree_open(&t, &(struct tree_options){.confinement = GOFER_CONFINE_BEST});
	mkdir(tree_host(&t, "a"), 0755);
	mkdir(tree_host(&t, "a/b"), 0755);
	mkdir(tree_host(&t, "a/b/c"), 0755);
	mkdir(tree_host(&t, "z"), 0755);
	tree_write_host(&t, "a/b/c/f", "one");
	tree_write_host(&t, "a/g", "two");
	cr_assert_eq(traverse("/"), 6);
	cr_assert_eq(vfs_walk(&t.ctx, "/a/b/c", 0, &sub), 0);
	cr_assert_eq(vfs_rename(&t.ctx, "/a/b", &t.ctx, "/z/new", 0), 0);
	cr_assert_eq(vfs_getattr(&sub, &a), 0);
	cr_assert_str_eq(get("/z/new/c/f"), "one");
	cr_assert_str_eq(get("/a/b/c/f"), strerror(ENOENT));
	cr_assert_eq(vfs_mkdir(&t.ctx, "/a/b", 0755), 0);
	cr_assert_eq(list("/a/b"), 0);
	cr_assert_eq(list("/z/new"), 1);
	cr_assert_eq(vfs_rename(&t.ctx, "/a/g", &t.ctx, "/z/new/c/f", 0), 0);
	cr_assert_str_eq(get("/z/new/c/f"), "two");
	cr_assert_eq(traverse("/"), 6);
	path_put(&sub);
	sub = (struct path){0};
	tree_close(&t);
}

Test(p9_names, of_one_file_change_together)
{
	struct vfs_attr a;

	start_told(20);
	cr_assert_eq(link(tree_host(&t, "d/f0"), tree_host(&t, "e/hard")), 0);
	cr_assert_eq(list("/d") + list("/e"), 41);
	put("/d/f0", O_APPEND, "more");
	cr_assert_eq(stat_path("/e/hard", &a), 0);
	cr_assert_eq(a.size, 8);
	for (int i = 0; i < 10; i++)
		dirent_cache_shrink();
	cr_assert_eq(stat_path("/e/hard", &a), 0);
	cr_assert_eq(a.size, 8);
	cr_assert_eq(vfs_unlink(&t.ctx, "/d/f0"), 0);
	cr_assert_eq(stat_path("/e/hard", &a), 0);
	cr_assert_eq(a.nlink, 1);
	cr_assert_str_eq(get("/e/hard"), "textmore");
	tree_close(&t);
}

Test(p9_names, that_did_not_exist_do_when_they_are_made)
{
	struct vfs_attr a;

	start_told(10);
	cr_assert_eq(stat_path("/d/new", &a), -ENOENT);
	for (int i = 0; i < 10; i++)
		dirent_cache_shrink();
	put("/d/new", O_CREAT | O_EXCL, "x");
	cr_assert_eq(stat_path("/d/new", &a), 0);
	cr_assert_eq(list("/d"), 11);
	tree_close(&t);
}

Test(p9_names, that_the_host_changes_nevertheless_are_stale)
{
	AUTO(path) struct path p = {0};
	AUTO(file) struct file *f = NULL;
	struct vfs_attr a;

	start_told(20);
	cr_assert_eq(vfs_walk(&t.ctx, "/d/f5", 0, &p), 0);
	cr_assert_eq(rename(tree_host(&t, "d/f6"), tree_host(&t, "d/f5")), 0);
	unlink(tree_host(&t, "d/f7"));
	cr_assert_eq(vfs_open(&t.ctx, "/d/f5", O_RDONLY, 0, 0, &f), -ESTALE);
	cr_assert_eq(vfs_open(&t.ctx, "/d/f7", O_RDONLY, 0, 0, &f), -ESTALE);
	cr_assert_eq(vfs_getattr(&p, &a), 0); /* as it was told */
	path_put(&p);
	p = (struct path){0};
	tree_close(&t);
}

Test(p9_names, of_a_shared_tree_are_not_kept)
{
	struct vfs_attr a;
	char name[32];

	tree_open(&t, &(struct tree_options){.cache = P9FS_REVALIDATE});
	mkdir(tree_host(&t, "d"), 0755);
	mkdir(tree_host(&t, "d/s"), 0755);
	for (int i = 0; i < 30; i++) {
		snprintf(name, sizeof(name), "d/f%d", i);
		tree_write_host(&t, name, "text");
	}
	for (int round = 0; round < 3; round++) {
		cr_assert_eq(traverse("/"), 32);
		for (int i = 0; i < 30; i++) {
			snprintf(name, sizeof(name), "/d/f%d", i);
			cr_assert_eq(stat_path(name, &a), 0);
		}
	}
	usleep(20000); /* the host's time stamps may move in ticks */
	tree_write_host(&t, "d/f1", "longer text");
	unlink(tree_host(&t, "d/f2"));
	tree_write_host(&t, "d/s/new", "new");
	usleep(1000);
	cr_assert_eq(traverse("/"), 32);
	cr_assert_eq(stat_path("/d/f1", &a), 0);
	cr_assert_eq(a.size, 11);
	cr_assert_eq(stat_path("/d/f2", &a), -ENOENT);
	tree_close(&t);
}
