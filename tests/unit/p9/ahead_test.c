/* Files that are opened one after the other are opened ahead, whatever the order, and what was opened ahead is
 * not believed after a change. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/unit/p9/tree.h"
#include "vfs/dirent.h"
#include "vfs/file.h"
#include "vfs/fs.h"
#include "vfs/uio.h"
#include "vfs/vfs.h"

#define FILES 60

static struct tree t;

struct name {
	char path[32];
	uint64_t ino;
};

struct found {
	struct dir_sink sink;
	unsigned n;
	struct name names[FILES];
};

static bool found_name(struct dir_sink *sink, const char *name, size_t len, uint64_t ino,
		       unsigned type, uint64_t next_off)
{
	struct found *f = container_of(sink, struct found, sink);

	if (name[0] == 'f' && f->n < FILES) {
		f->names[f->n].ino = ino;
		snprintf(f->names[f->n++].path, sizeof(f->names[0].path), "/d/%.*s", (int)len, name);
	}
	return true;
}

static void list(const char *path, struct found *f)
{
	AUTO(file) struct file *dir = NULL;
	unsigned before;

	*f = (struct found){.sink = {found_name}};
	cr_assert_eq(vfs_open(&t.ctx, path, O_RDONLY | O_DIRECTORY, 0, 0, &dir), 0);
	do {
		before = f->n;
		cr_assert_eq(file_readdir(dir, &f->sink), 0);
	} while (f->n != before);
}

static const char *get(const char *path)
{
	return tree_get(&t, path);
}

static void put(const char *path, int flags, const char *text)
{
	tree_put(&t, path, flags, text);
}

static unsigned descriptors(void)
{
	unsigned n = 0;

	for (int fd = 0; fd < 512; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

/* A directory d of files which hold their own names, its names told with attributes. */
static void start(struct found *f)
{
	char name[32];

	tree_open(&t, &(struct tree_options){.confinement = GOFER_CONFINE_BEST});
	mkdir(tree_host(&t, "d"), 0755);
	mkdir(tree_host(&t, "e"), 0755);
	for (int i = 0; i < FILES; i++) {
		snprintf(name, sizeof(name), "/e/f%02d", i * 37 % FILES);
		tree_write_host(&t, name + 1, name);
		name[1] = 'd';
		tree_write_host(&t, name + 1, name);
	}
	list("/e", f);
	for (int i = 0; i < FILES; i++) {
		snprintf(name, sizeof(name), "/e/f%02d", i * 23 % FILES); /* in no order */
		get(name);
	}
	list("/d", f);
	cr_assert_eq(f->n, FILES);
}

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct name *)a)->path, ((const struct name *)b)->path);
}

static int by_number(const void *a, const void *b)
{
	uint64_t x = ((const struct name *)a)->ino, y = ((const struct name *)b)->ino;

	return x < y ? -1 : x > y;
}

/* Opens them one by one until one brings so many more: its place. */
static unsigned open_until(const struct found *f, unsigned i, unsigned more)
{
	unsigned before;

	do {
		cr_assert_lt(i, f->n, "nothing is opened ahead");
		before = descriptors();
		cr_assert_str_eq(get(f->names[i].path), f->names[i].path);
		i++;
	} while (descriptors() <= before + more);
	return i - 1;
}

static void check_order(int (*compare)(const void *, const void *))
{
	struct found f;
	unsigned i;

	start(&f);
	if (compare)
		qsort(f.names, f.n, sizeof(f.names[0]), compare);
	i = open_until(&f, 0, 8);
	cr_assert_lt(i, FILES / 2);
	kill(t.gofer, SIGKILL);
	waitpid(t.gofer, NULL, 0);
	t.gofer = 0;
	for (unsigned k = 1; k <= 8; k++)
		cr_assert_str_eq(get(f.names[i + k].path), f.names[i + k].path);
	cr_assert_str_eq(get(f.names[FILES - 1].path), strerror(EIO));
	tree_close(&t);
}

Test(p9_ahead, files_come_in_the_order_of_the_listing)
{
	check_order(NULL);
}

Test(p9_ahead, files_come_by_name)
{
	check_order(by_name);
}

Test(p9_ahead, files_come_by_inode_number)
{
	check_order(by_number);
}

Test(p9_ahead, what_was_opened_is_not_believed_after_a_change)
{
	AUTO(path) struct path p = {0};
	struct found f;
	struct stat st;
	unsigned i, n;

	start(&f);
	i = open_until(&f, 0, 8);
	n = descriptors();
	cr_assert_eq(vfs_unlink(&t.ctx, f.names[i + 1].path), 0);
	cr_assert_eq(descriptors(), n - 1); /* its space is free */
	cr_assert_str_eq(get(f.names[i + 1].path), strerror(ENOENT));
	put(f.names[i + 1].path, O_CREAT | O_EXCL, "other");
	cr_assert_str_eq(get(f.names[i + 1].path), "other");

	put("/e/new", O_CREAT | O_EXCL, "new");
	cr_assert_eq(vfs_rename(&t.ctx, "/e/new", &t.ctx, f.names[i + 2].path, 0), 0);
	cr_assert_str_eq(get(f.names[i + 2].path), "new");

	put(f.names[i + 3].path, O_TRUNC, "text");
	cr_assert_str_eq(get(f.names[i + 3].path), "text");

	n = descriptors();
	cr_assert_eq(vfs_walk(&t.ctx, f.names[i + 4].path, 0, &p), 0);
	cr_assert_eq(vfs_chmod(&p, t.cred, 0600), 0);
	path_put(&p);
	p = (struct path){0};
	cr_assert_eq(descriptors(), n - 1);
	cr_assert_eq(stat(tree_host(&t, f.names[i + 4].path + 1), &st), 0);
	cr_assert_eq(st.st_mode & 07777, 0600);

	cr_assert_eq(vfs_rename(&t.ctx, f.names[i + 5].path, &t.ctx, "/e/moved", 0), 0);
	cr_assert_str_eq(get("/e/moved"), f.names[i + 5].path);
	cr_assert_str_eq(get(f.names[i + 6].path), f.names[i + 6].path);
	tree_close(&t);
}

Test(p9_ahead, files_in_no_order_are_opened_one_by_one)
{
	struct found f;
	unsigned before;

	start(&f);
	qsort(f.names, f.n, sizeof(f.names[0]), by_name);
	before = descriptors();
	for (unsigned i = 0, k = 0; i < FILES; i++, k = (k + 23) % FILES)
		cr_assert_str_eq(get(f.names[k].path), f.names[k].path);
	/* It may have looked like one of the other orders for a moment. */
	cr_assert_leq(descriptors(), before + FILES + 4);
	tree_close(&t);
}

Test(p9_ahead, few_are_held_where_there_are_few_descriptors)
{
	struct rlimit r;
	struct found f;
	unsigned before;

	/* Ours alone: the gofer raises its own again. */
	cr_assert_eq(getrlimit(RLIMIT_NOFILE, &r), 0);
	r.rlim_cur = 256;
	cr_assert_eq(setrlimit(RLIMIT_NOFILE, &r), 0);
	start(&f);
	for (unsigned i = 0; i < FILES; i++) {
		before = descriptors();
		cr_assert_str_eq(get(f.names[i].path), f.names[i].path);
		cr_assert_leq(descriptors(), before + 1 + 256 / 32);
	}
	tree_close(&t);
}
