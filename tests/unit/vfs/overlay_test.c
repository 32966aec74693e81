/* The overlay: single claims, and a long random comparison with a plain tmpfs. */
#include <linux/fs.h>
#include <stdio.h>

#include "tests/unit/vfs/setup.h"
#include "vfs/overlay/overlay.h"

/* Namespaces: of the overlay, and of its layers seen alone. */
struct tree {
	struct mount_ns *ns;
	struct walk_ctx ctx;
	struct fs *fs;
};

static void tree_of(struct fs *fs, struct tree *t)
{
	t->fs = fs;
	cr_assert_eq(mount_ns_new(fs, 0, &t->ns), 0);
	mount_ns_root(t->ns, &t->ctx.root);
	mount_ns_root(t->ns, &t->ctx.cwd);
	t->ctx.cred = root_cred;
}

static void tree_free(struct tree *t)
{
	path_put(&t->ctx.root);
	path_put(&t->ctx.cwd);
	mount_ns_put(t->ns);
	fs_put(t->fs);
}

static void put_text(struct tree *t, const char *path, const char *text)
{
	struct file *f;
	struct uio u;

	cr_assert_eq(vfs_open(&t->ctx, path, O_CREAT | O_TRUNC | O_WRONLY, 0644, 0, &f), 0, "%s",
		     path);
	uio_init_buf(&u, (char *)(uintptr_t)text, strlen(text));
	cr_assert_eq(file_write(f, &u, UINT64_MAX), (ssize_t)strlen(text));
	file_put(f);
}

static const char *text_of(struct tree *t, const char *path)
{
	static char buf[4096];
	struct file *f;
	struct uio u;
	ssize_t n;
	int r = vfs_open(&t->ctx, path, O_RDONLY, 0, 0, &f);

	if (r < 0)
		return strerror(-r);
	uio_init_buf(&u, buf, sizeof(buf) - 1);
	n = file_read(f, &u);
	file_put(f);
	buf[n < 0 ? 0 : n] = 0;
	return buf;
}

static int attr_of(struct tree *t, const char *path, struct vfs_attr *a)
{
	struct path p;
	int r = vfs_walk(&t->ctx, path, 0, &p);

	if (r < 0)
		return r;
	r = vfs_getattr(&p, a);
	path_put(&p);
	return r;
}

/* The names in a directory, sorted, with spaces between. */
struct names {
	struct dir_sink sink;
	char name[256][64];
	int n;
};

static bool add_name(struct dir_sink *sink, const char *name, size_t len, uint64_t ino,
		     unsigned type, uint64_t next)
{
	struct names *l = container_of(sink, struct names, sink);

	if (!(name[0] == '.' && (len == 1 || (len == 2 && name[1] == '.'))))
		snprintf(l->name[l->n++], 64, "%.*s", (int)len, name);
	return l->n < 256;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(a, b);
}

static int list(struct tree *t, const char *path, struct names *l)
{
	struct file *f;
	int r = vfs_open(&t->ctx, path, O_RDONLY | O_DIRECTORY, 0, 0, &f);

	*l = (struct names){.sink = {.emit = add_name}};
	if (r < 0)
		return r;
	r = file_readdir(f, &l->sink);
	file_put(f);
	qsort(l->name, (size_t)l->n, 64, by_name);
	return r;
}

static const char *listing(struct tree *t, const char *path)
{
	static char buf[4096];
	static struct names l;
	int r = list(t, path, &l);

	if (r < 0)
		return strerror(-r);
	buf[0] = 0;
	for (int i = 0; i < l.n; i++) {
		strcat(buf, i ? " " : "");
		strcat(buf, l.name[i]);
	}
	return buf;
}

static struct tree low0, low1, up, ovl;

static struct fs *layer_fs(void)
{
	struct fs *fs = tree_fs();

	fs->lower = true;
	return fs;
}

static void layers_setup(void)
{
	tree_setup();
	tree_of(layer_fs(), &low0);
	tree_of(layer_fs(), &low1);
	tree_of(layer_fs(), &up);
}

static void overlay_make(void)
{
	struct dirent *lowers[2] = {low0.fs->root, low1.fs->root};
	struct fs *fs;

	cr_assert_eq(overlay_new(up.fs->root, lowers, 2, root_cred, &fs), 0);
	tree_of(fs, &ovl);
}

TestSuite(overlay, .init = layers_setup);

Test(overlay, upper_names_hide_lower_ones_and_directories_merge)
{
	cr_assert_eq(vfs_mkdir(&low0.ctx, "/d", 0755), 0);
	cr_assert_eq(vfs_mkdir(&low1.ctx, "/d", 0755), 0);
	put_text(&low0, "/d/both", "0");
	put_text(&low1, "/d/both", "1");
	put_text(&low1, "/d/one", "one");
	put_text(&low0, "/d/zero", "zero");
	overlay_make();
	cr_assert_str_eq(listing(&ovl, "/d"), "both one zero");
	cr_assert_str_eq(text_of(&ovl, "/d/both"), "0");
	put_text(&ovl, "/d/both", "u");
	cr_assert_str_eq(text_of(&ovl, "/d/both"), "u");
	cr_assert_str_eq(text_of(&low0, "/d/both"), "0");
	cr_assert_str_eq(listing(&ovl, "/d"), "both one zero");
	tree_free(&ovl);
}

Test(overlay, a_removed_name_stays_removed_and_can_come_back)
{
	cr_assert_eq(vfs_mkdir(&low0.ctx, "/d", 0755), 0);
	put_text(&low0, "/d/f", "lower");
	overlay_make();
	cr_assert_eq(vfs_unlink(&ovl.ctx, "/d/f"), 0);
	dirent_prune(ovl.fs->root);
	cr_assert_str_eq(listing(&ovl, "/d"), "");
	cr_assert_eq(vfs_rmdir(&ovl.ctx, "/d"), 0);
	cr_assert_eq(vfs_mkdir(&ovl.ctx, "/d", 0755), 0);
	dirent_prune(ovl.fs->root);
	cr_assert_str_eq(listing(&ovl, "/d"), "");
	put_text(&ovl, "/d/f", "new");
	cr_assert_str_eq(text_of(&ovl, "/d/f"), "new");
	tree_free(&ovl);
}

Test(overlay, inode_numbers_survive_copy_up)
{
	struct vfs_attr a, b;

	put_text(&low0, "/f", "text");
	overlay_make();
	cr_assert_eq(attr_of(&ovl, "/f", &a), 0);
	put_text(&ovl, "/f", "more");
	cr_assert_eq(attr_of(&ovl, "/f", &b), 0);
	cr_assert_eq(a.ino, b.ino);
	dirent_prune(ovl.fs->root);
	cr_assert_eq(attr_of(&ovl, "/f", &b), 0);
	cr_assert_eq(a.ino, b.ino);
	tree_free(&ovl);
}

Test(overlay, an_open_file_sees_what_is_written_after_copy_up)
{
	struct file *f;
	char buf[16];
	struct uio u;

	put_text(&low0, "/f", "old!");
	overlay_make();
	cr_assert_eq(vfs_open(&ovl.ctx, "/f", O_RDONLY, 0, 0, &f), 0);
	put_text(&ovl, "/f", "new text");
	uio_init_buf(&u, buf, sizeof(buf));
	cr_assert_eq(file_read(f, &u), 8);
	cr_assert_eq(memcmp(buf, "new text", 8), 0);
	file_put(f);
	tree_free(&ovl);
}

Test(overlay, links_of_a_lower_file_stay_one_file)
{
	struct path p;
	struct vfs_attr a;

	put_text(&low0, "/a", "x");
	cr_assert_eq(vfs_walk(&low0.ctx, "/a", 0, &p), 0);
	cr_assert_eq(vfs_link(&p, &low0.ctx, "/b"), 0);
	path_put(&p);
	overlay_make();
	put_text(&ovl, "/a", "changed");
	dirent_prune(ovl.fs->root);
	cr_assert_str_eq(text_of(&ovl, "/b"), "changed");
	cr_assert_eq(attr_of(&ovl, "/b", &a), 0);
	cr_assert_eq(a.nlink, 2);
	cr_assert_eq(vfs_unlink(&ovl.ctx, "/b"), 0);
	cr_assert_eq(attr_of(&ovl, "/a", &a), 0);
	cr_assert_eq(a.nlink, 1);
	tree_free(&ovl);
}

Test(overlay, a_merged_directory_moves_with_what_is_below)
{
	cr_assert_eq(vfs_mkdir(&low0.ctx, "/d", 0755), 0);
	cr_assert_eq(vfs_mkdir(&low0.ctx, "/d/sub", 0755), 0);
	put_text(&low0, "/d/sub/f", "deep");
	cr_assert_eq(vfs_mkdir(&low1.ctx, "/d", 0755), 0);
	put_text(&low1, "/d/g", "g");
	overlay_make();
	cr_assert_eq(vfs_rename(&ovl.ctx, "/d", &ovl.ctx, "/e", 0), 0);
	cr_assert_eq(vfs_mkdir(&ovl.ctx, "/d", 0755), 0);
	dirent_prune(ovl.fs->root);
	cr_assert_str_eq(listing(&ovl, "/d"), "");
	cr_assert_str_eq(listing(&ovl, "/e"), "g sub");
	cr_assert_str_eq(text_of(&ovl, "/e/sub/f"), "deep");
	put_text(&ovl, "/e/sub/f", "written");
	cr_assert_eq(vfs_rename(&ovl.ctx, "/e", &ovl.ctx, "/d/in", 0), 0);
	dirent_prune(ovl.fs->root);
	cr_assert_str_eq(text_of(&ovl, "/d/in/sub/f"), "written");
	cr_assert_str_eq(text_of(&low0, "/d/sub/f"), "deep");
	tree_free(&ovl);
}

Test(overlay, without_an_upper_nothing_can_be_changed)
{
	struct dirent *lowers[1] = {low0.fs->root};
	struct fs *fs;

	put_text(&low0, "/f", "x");
	cr_assert_eq(overlay_new(NULL, lowers, 1, root_cred, &fs), 0);
	tree_of(fs, &ovl);
	cr_assert_str_eq(text_of(&ovl, "/f"), "x");
	cr_assert_eq(vfs_unlink(&ovl.ctx, "/f"), -EROFS);
	cr_assert_eq(vfs_mkdir(&ovl.ctx, "/d", 0755), -EROFS);
	cr_assert_eq(vfs_truncate(&(struct path){ovl.ctx.root.mount, ovl.ctx.root.dirent},
				  root_cred, 0), -EISDIR);
	tree_free(&ovl);
}

/* ---- against a model ----------------------------------------------------------------------- */

static unsigned rnd_state = 1;

static unsigned rnd(unsigned n)
{
	rnd_state = rnd_state * 1103515245u + 12345u;
	return (rnd_state >> 16) % n;
}

static void rnd_path(char *out)
{
	unsigned depth = 1 + rnd(3);

	*out = 0;
	while (depth--) {
		char part[3] = {'/', (char)('a' + rnd(4)), 0};

		strcat(out, part);
	}
}

static void fill(struct tree *a, struct tree *model, int n)
{
	char path[16], text[32];

	for (int i = 0; i < n; i++) {
		rnd_path(path);
		if (rnd(2)) {
			struct vfs_attr there;

			if (attr_of(model, path, &there) == 0 && !S_ISDIR(there.mode))
				continue;
			if (vfs_mkdir(&a->ctx, path, 0755) == 0)
				vfs_mkdir(&model->ctx, path, 0755);
			continue;
		}
		/* What a layer below already has as something else would make the two differ. */
		struct vfs_attr at;
		struct file *f;

		if (attr_of(model, path, &at) == 0)
			continue;
		snprintf(text, sizeof(text), "lower %d", i);
		if (vfs_open(&model->ctx, path, O_CREAT | O_WRONLY, 0644, 0, &f) < 0)
			continue;
		file_put(f);
		put_text(model, path, text);
		if (vfs_open(&a->ctx, path, O_CREAT | O_WRONLY, 0644, 0, &f) < 0) {
			vfs_unlink(&model->ctx, path);
			continue;
		}
		file_put(f);
		put_text(a, path, text);
	}
}

static int open_write(struct tree *t, const char *path, int flags, const char *text)
{
	struct file *f;
	struct uio u;
	int r = vfs_open(&t->ctx, path, flags, 0644, 0, &f);

	if (r < 0)
		return r;
	uio_init_buf(&u, (char *)(uintptr_t)text, strlen(text));
	r = (int)file_write(f, &u, UINT64_MAX);
	file_put(f);
	return r;
}

static int do_link(struct tree *t, const char *from, const char *to)
{
	struct path p;
	int r = vfs_walk(&t->ctx, from, 0, &p);

	if (r < 0)
		return r;
	r = vfs_link(&p, &t->ctx, to);
	path_put(&p);
	return r;
}

static int do_chmod(struct tree *t, const char *path, uint32_t mode)
{
	struct path p;
	int r = vfs_walk(&t->ctx, path, 0, &p);

	if (r < 0)
		return r;
	r = vfs_chmod(&p, root_cred, mode);
	path_put(&p);
	return r;
}

static const char *const op_names[] = {"mkdir", "rmdir", "unlink", "create", "append", "rename",
				       "exchange", "link", "chmod", "symlink", "trunc"};

static int one_op(struct tree *t, unsigned op, const char *a, const char *b, const char *text)
{
	switch (op) {
	case 0:
		return vfs_mkdir(&t->ctx, a, 0755);
	case 1:
		return vfs_rmdir(&t->ctx, a);
	case 2:
		return vfs_unlink(&t->ctx, a);
	case 3:
		return open_write(t, a, O_CREAT | O_EXCL | O_WRONLY, text);
	case 4:
		return open_write(t, a, O_WRONLY | O_APPEND | O_NOFOLLOW, text);
	case 5:
		return vfs_rename(&t->ctx, a, &t->ctx, b, 0);
	case 6:
		return vfs_rename(&t->ctx, a, &t->ctx, b, RENAME_EXCHANGE);
	case 7:
		return do_link(t, a, b);
	case 8:
		return do_chmod(t, a, 0700 + (text[0] & 7));
	case 9:
		return vfs_symlink(&t->ctx, text, a);
	default:
		return open_write(t, a, O_WRONLY | O_TRUNC | O_NOFOLLOW, text);
	}
}

static void compare(struct tree *x, struct tree *y, const char *path, int step)
{
	struct names lx, ly;
	struct vfs_attr ax, ay;

	cr_assert_eq(attr_of(x, path, &ax), 0);
	cr_assert_eq(attr_of(y, path, &ay), 0);
	cr_assert_eq(ax.mode, ay.mode, "step %d: mode of %s: %o, not %o", step, path, ax.mode,
		     ay.mode);
	if (S_ISREG(ax.mode)) {
		char text[4096];

		cr_assert_eq(ax.size, ay.size, "step %d: size of %s", step, path);
		cr_assert_eq(ax.nlink, ay.nlink, "step %d: links of %s: %u, not %u", step, path,
			     ax.nlink, ay.nlink);
		strcpy(text, text_of(x, path));
		cr_assert_str_eq(text, text_of(y, path), "step %d: text of %s", step, path);
	}
	if (!S_ISDIR(ax.mode))
		return;
	cr_assert_eq(list(x, path, &lx), 0);
	cr_assert_eq(list(y, path, &ly), 0);
	cr_assert_eq(lx.n, ly.n, "step %d: %s has %d names, not %d", step, path, lx.n, ly.n);
	for (int i = 0; i < lx.n; i++) {
		char sub[128];

		cr_assert_str_eq(lx.name[i], ly.name[i], "step %d: in %s", step, path);
		snprintf(sub, sizeof(sub), "%s/%s", strcmp(path, "/") ? path : "", lx.name[i]);
		compare(x, y, sub, step);
	}
}

static void random_run(unsigned seed, int steps)
{
	struct tree model;

	tree_of(tree_fs(), &model);
	rnd_state = seed;
	fill(&low1, &model, 30);
	fill(&low0, &model, 30);
	overlay_make();
	compare(&ovl, &model, "/", -1);
	for (int i = 0; i < steps; i++) {
		unsigned op = rnd(11);
		char a[16], b[16], text[16];
		int r1, r2;

		rnd_path(a);
		rnd_path(b);
		snprintf(text, sizeof(text), "%d", i);
		r1 = one_op(&ovl, op, a, b, text);
		r2 = one_op(&model, op, a, b, text);
		cr_assert_eq(r1, r2, "seed %u step %d: %s %s %s: %d, not %d", seed, i, op_names[op],
			     a, b, r1, r2);
		if (rnd(10) == 0)
			dirent_prune(ovl.fs->root);
		if (i % 20 == 0)
			compare(&ovl, &model, "/", i);
	}
	compare(&ovl, &model, "/", steps);
	tree_free(&ovl);
	tree_free(&model);
}

#define RANDOM_TEST(n)                                                                             \
	Test(overlay, random_changes_do_as_on_a_plain_file_system_##n)                             \
	{                                                                                          \
		random_run(n * 7919, 4000);                                                        \
	}
RANDOM_TEST(1)
RANDOM_TEST(2)
RANDOM_TEST(3)
RANDOM_TEST(4)
RANDOM_TEST(5)
RANDOM_TEST(6)
