/* The client and the server together, as the VFS uses them. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/unit/p9/tree.h"
#include "vfs/dirent.h"
#include "vfs/file.h"
#include "vfs/fs.h"
#include "vfs/uio.h"
#include "vfs/vfs.h"

static struct tree t;

static void start(uint32_t export_flags, enum p9fs_cache cache)
{
	tree_open(&t, &(struct tree_options){.export_flags = export_flags,
					      .cache = cache,
					      .confinement = GOFER_CONFINE_BEST});
}

static int put(const char *path, int flags, const char *text)
{
	AUTO(file) struct file *f = NULL;
	struct uio u;
	ssize_t n;
	int err = vfs_open(&t.ctx, path, flags, 0644, 0, &f);

	if (err)
		return err;
	uio_init_buf(&u, (void *)text, strlen(text));
	n = file_write(f, &u, UINT64_MAX);
	return n < 0 ? (int)n : n == (ssize_t)strlen(text) ? 0 : -EIO;
}

static const char *get(const char *path)
{
	static char buf[4096];
	AUTO(file) struct file *f = NULL;
	struct uio u;
	ssize_t n;
	int err = vfs_open(&t.ctx, path, O_RDONLY, 0, 0, &f);

	if (err)
		return strerror(-err);
	uio_init_buf(&u, buf, sizeof(buf) - 1);
	n = file_read(f, &u);
	if (n < 0)
		return strerror((int)-n);
	buf[n] = 0;
	return buf;
}

static int stat_path(const char *path, struct vfs_attr *a)
{
	struct path p = {0};
	int err = vfs_walk(&t.ctx, path, 0, &p);

	if (err)
		return err;
	err = vfs_getattr(&p, a);
	path_put(&p);
	return err;
}

Test(p9_files, what_the_host_wrote_is_read)
{
	start(0, P9FS_EXCLUSIVE);
	tree_write_host(&t, "a", "hello");
	mkdir(tree_host(&t, "d"), 0755);
	tree_write_host(&t, "d/b", "deep");
	cr_assert_eq(symlink("d/b", tree_host(&t, "l")), 0);
	cr_assert_str_eq(get("/a"), "hello");
	cr_assert_str_eq(get("/d/b"), "deep");
	cr_assert_str_eq(get("/l"), "deep");
	cr_assert_str_eq(get("/nope"), strerror(ENOENT));
	cr_assert_eq(tree_close(&t), 0);
}

Test(p9_files, writes_reach_the_host_and_the_attributes)
{
	struct vfs_attr a;
	struct stat st;

	start(0, P9FS_EXCLUSIVE);
	cr_assert_eq(put("/new", O_WRONLY | O_CREAT, "12345"), 0);
	cr_assert_eq(stat_path("/new", &a), 0);
	cr_assert_eq(a.size, 5);
	cr_assert_eq(put("/new", O_WRONLY | O_APPEND, "678"), 0);
	cr_assert_eq(stat_path("/new", &a), 0);
	cr_assert_eq(a.size, 8);
	cr_assert_str_eq(get("/new"), "12345678");
	cr_assert_eq(stat(tree_host(&t, "new"), &st), 0);
	cr_assert_eq(st.st_size, 8);
	cr_assert_eq(st.st_mode, S_IFREG | 0644);
	cr_assert_eq(put("/new", O_WRONLY | O_TRUNC, "x"), 0);
	cr_assert_eq(stat_path("/new", &a), 0);
	cr_assert_eq(a.size, 1);
	cr_assert_eq(a.mtime.tv_sec >= st.st_mtim.tv_sec, 1);
	tree_close(&t);
}

Test(p9_files, an_unlinked_file_lives_while_open)
{
	AUTO(file) struct file *f = NULL;
	struct uio u;
	char buf[8] = "";

	start(0, P9FS_EXCLUSIVE);
	tree_write_host(&t, "a", "hello");
	cr_assert_eq(vfs_open(&t.ctx, "/a", O_RDWR, 0, 0, &f), 0);
	cr_assert_eq(vfs_unlink(&t.ctx, "/a"), 0);
	cr_assert_eq(access(tree_host(&t, "a"), F_OK), -1);
	uio_init_buf(&u, buf, 5);
	cr_assert_eq(file_pread(f, &u, 0), 5);
	cr_assert_str_eq(buf, "hello");
	cr_assert_eq(file_truncate(f, 2), 0);
	cr_assert_eq(vfs_chmod(&f->path, t.cred, 0600), 0);
	file_put(steal(&f));
	tree_close(&t);
}

Test(p9_files, names_change_here_and_on_the_host)
{
	struct path p = {0};
	struct vfs_attr a, b;

	start(0, P9FS_EXCLUSIVE);
	cr_assert_eq(vfs_mkdir(&t.ctx, "/d", 0750), 0);
	cr_assert_eq(put("/d/f", O_WRONLY | O_CREAT | O_EXCL, "data"), 0);
	cr_assert_eq(put("/d/f", O_WRONLY | O_CREAT | O_EXCL, "data"), -EEXIST);
	cr_assert_eq(vfs_walk(&t.ctx, "/d/f", 0, &p), 0);
	cr_assert_eq(vfs_link(&p, &t.ctx, "/hard"), 0);
	path_put(&p);
	cr_assert_eq(stat_path("/hard", &a), 0);
	cr_assert_eq(stat_path("/d/f", &b), 0);
	cr_assert_eq(a.ino, b.ino);
	cr_assert_eq(a.nlink, 2);
	cr_assert_eq(b.nlink, 2);
	cr_assert_eq(vfs_rename(&t.ctx, "/d/f", &t.ctx, "/g", 0), 0);
	cr_assert_str_eq(get("/g"), "data");
	cr_assert_eq(access(tree_host(&t, "g"), F_OK), 0);
	cr_assert_eq(vfs_rmdir(&t.ctx, "/d"), 0);
	cr_assert_eq(vfs_symlink(&t.ctx, "g", "/sym"), 0);
	cr_assert_str_eq(get("/sym"), "data");
	cr_assert_eq(vfs_mknod(&t.ctx, "/fifo", S_IFIFO | 0600, 0), 0);
	cr_assert_eq(vfs_mknod(&t.ctx, "/sock", S_IFSOCK | 0600, 0), 0);
	cr_assert_eq(vfs_mknod(&t.ctx, "/dev", S_IFCHR | 0600, 0x103), -EPERM);
	tree_close(&t);
}

struct names_sink {
	struct dir_sink sink;
	unsigned n, room;
	uint64_t last;
};

static bool count_name(struct dir_sink *sink, const char *name, size_t len, uint64_t ino,
		       unsigned type, uint64_t next_off)
{
	struct names_sink *s = container_of(sink, struct names_sink, sink);

	if (s->n == s->room)
		return false;
	s->n++;
	return true;
}

Test(p9_files, a_directory_is_listed_in_parts_without_gaps)
{
	AUTO(file) struct file *f = NULL;
	struct names_sink s = {{count_name}, 0, 7, 0};
	unsigned total = 0;
	char name[32];

	start(0, P9FS_EXCLUSIVE);
	for (int i = 0; i < 1000; i++) {
		snprintf(name, sizeof(name), "file-%d", i);
		tree_write_host(&t, name, "");
	}
	cr_assert_eq(vfs_open(&t.ctx, "/", O_RDONLY | O_DIRECTORY, 0, 0, &f), 0);
	do {
		s.n = 0;
		s.room = s.room * 3 % 101;
		cr_assert_eq(file_readdir(f, &s.sink), 0);
		total += s.n;
	} while (s.n > 0);
	cr_assert_eq(total, 1002);
	file_put(steal(&f));
	tree_close(&t);
}

Test(p9_files, a_read_only_export_refuses_every_change)
{
	struct path p = {0};
	struct vfs_setattr sa = {.mask = ATTR_MODE, .mode = 0777};

	start(GOFER_READONLY, P9FS_EXCLUSIVE);
	tree_write_host(&t, "a", "hello");
	cr_assert_str_eq(get("/a"), "hello");
	cr_assert_eq(put("/a", O_WRONLY, "x"), -EROFS);
	cr_assert_eq(put("/b", O_WRONLY | O_CREAT, "x"), -EROFS);
	cr_assert_eq(vfs_mkdir(&t.ctx, "/d", 0755), -EROFS);
	cr_assert_eq(vfs_unlink(&t.ctx, "/a"), -EROFS);
	cr_assert_eq(vfs_symlink(&t.ctx, "x", "/l"), -EROFS);
	cr_assert_eq(vfs_rename(&t.ctx, "/a", &t.ctx, "/c", 0), -EROFS);
	cr_assert_eq(vfs_walk(&t.ctx, "/a", 0, &p), 0);
	cr_assert_eq(vfs_setattr(&p, t.cred, &sa), -EROFS);
	cr_assert_eq(vfs_truncate(&p, t.cred, 0), -EROFS);
	cr_assert_eq(vfs_setxattr(&p, t.cred, "user.x", "1", 1, 0), -EROFS);
	path_put(&p);
	tree_close(&t);
}

Test(p9_files, mappings_get_the_rights_of_the_open)
{
	AUTO(file) struct file *ro = NULL, *rw = NULL;
	struct file_mapping m;
	void *p;

	start(0, P9FS_EXCLUSIVE);
	tree_write_host(&t, "a", "hello");
	cr_assert_eq(vfs_open(&t.ctx, "/a", O_RDONLY, 0, 0, &ro), 0);
	cr_assert_eq(file_mmap(ro, PROT_READ, true, &m), 0);
	cr_assert_eq(mmap(NULL, 4096, PROT_WRITE, MAP_SHARED, m.host_fd, 0), MAP_FAILED);
	cr_assert_not(m.writable);
	cr_assert_eq(vfs_open(&t.ctx, "/a", O_RDWR, 0, 0, &rw), 0);
	cr_assert_eq(file_mmap(rw, PROT_READ | PROT_WRITE, true, &m), 0);
	p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, m.host_fd, 0);
	cr_assert_neq(p, MAP_FAILED);
	memcpy(p, "HELLO", 5);
	cr_assert_str_eq(get("/a"), "HELLO");
	file_put(steal(&ro));
	file_put(steal(&rw));
	tree_close(&t);
}

Test(p9_files, extended_attributes_come_and_go)
{
	struct path p = {0};
	char buf[64];

	start(0, P9FS_EXCLUSIVE);
	tree_write_host(&t, "a", "hello");
	cr_assert_eq(vfs_walk(&t.ctx, "/a", 0, &p), 0);
	cr_assert_eq(vfs_setxattr(&p, t.cred, "user.k", "value", 5, 0), 0);
	cr_assert_eq(vfs_getxattr(&p, t.cred, "user.k", NULL, 0), 5);
	cr_assert_eq(vfs_getxattr(&p, t.cred, "user.k", buf, 3), -ERANGE);
	cr_assert_eq(vfs_getxattr(&p, t.cred, "user.k", buf, sizeof(buf)), 5);
	cr_assert_eq(memcmp(buf, "value", 5), 0);
	cr_assert_eq(vfs_listxattr(&p, t.cred, buf, sizeof(buf)), 7);
	cr_assert_str_eq(buf, "user.k");
	cr_assert_eq(vfs_removexattr(&p, t.cred, "user.k"), 0);
	cr_assert_eq(vfs_getxattr(&p, t.cred, "user.k", buf, sizeof(buf)), -ENODATA);
	path_put(&p);
	tree_close(&t);
}

Test(p9_files, a_shared_tree_shows_what_the_host_does)
{
	struct vfs_attr a;

	start(0, P9FS_REVALIDATE);
	cr_assert_eq(stat_path("/a", &a), -ENOENT);
	tree_write_host(&t, "a", "hello");
	cr_assert_str_eq(get("/a"), "hello");
	usleep(20000); /* the host's time stamps may move in ticks */
	tree_write_host(&t, "a", "longer than before");
	cr_assert_eq(stat_path("/a", &a), 0);
	cr_assert_eq(a.size, 18);
	tree_write_host(&t, "b", "other");
	cr_assert_eq(rename(tree_host(&t, "b"), tree_host(&t, "a")), 0);
	cr_assert_str_eq(get("/a"), "other");
	unlink(tree_host(&t, "a"));
	cr_assert_eq(stat_path("/a", &a), -ENOENT);
	tree_close(&t);
}

Test(p9_files, a_closed_file_can_be_run_on_the_host)
{
	int status = -1;

	start(0, P9FS_EXCLUSIVE);
	cr_assert_eq(put("/run", O_WRONLY | O_CREAT, "#!/bin/true\n"), 0);
	chmod(tree_host(&t, "run"), 0755);
	/* The gofer closes its copy of what it donated right after the reply. */
	for (int i = 0; i < 200 && (status = system(tree_host(&t, "run"))) != 0; i++)
		usleep(20000);
	cr_assert_eq(status, 0);
	tree_close(&t);
}

Test(p9_files, when_the_gofer_dies_calls_fail_with_EIO)
{
	AUTO(file) struct file *f = NULL;
	struct uio u;
	char buf[8];

	start(0, P9FS_EXCLUSIVE);
	tree_write_host(&t, "a", "hello");
	cr_assert_eq(vfs_open(&t.ctx, "/a", O_RDONLY, 0, 0, &f), 0);
	kill(t.gofer, SIGKILL);
	waitpid(t.gofer, NULL, 0);
	t.gofer = 0;
	cr_assert_str_eq(get("/b"), strerror(EIO));
	cr_assert_str_eq(get("/b"), strerror(EIO));
	uio_init_buf(&u, buf, 5); /* what is donated stays */
	cr_assert_eq(file_pread(f, &u, 0), 5);
	file_put(steal(&f));
	tree_close(&t);
}

Test(p9_files, a_stream_socket_works_too)
{
	tree_open(&t, &(struct tree_options){.stream = true});
	tree_write_host(&t, "a", "hello");
	cr_assert_str_eq(get("/a"), "hello");
	cr_assert_eq(put("/b", O_WRONLY | O_CREAT, "12345"), 0);
	cr_assert_eq(tree_close(&t), 0);
}

Test(p9_files, a_plain_9p2000_l_server_will_do)
{
	AUTO(file) struct file *f = NULL;
	struct names_sink s = {{count_name}, 0, 100, 0};
	struct file_mapping m;
	struct vfs_attr a;

	tree_open(&t, &(struct tree_options){.plain = true});
	tree_write_host(&t, "a", "hello");
	cr_assert_str_eq(get("/a"), "hello");
	cr_assert_eq(put("/b", O_WRONLY | O_CREAT | O_EXCL, "12345"), 0);
	cr_assert_eq(put("/b", O_WRONLY | O_APPEND, "678"), 0);
	cr_assert_str_eq(get("/b"), "12345678");
	cr_assert_eq(stat_path("/b", &a), 0);
	cr_assert_eq(a.size, 8);
	cr_assert_eq(put("/b", O_WRONLY | O_TRUNC, "x"), 0);
	cr_assert_str_eq(get("/b"), "x");
	cr_assert_eq(vfs_mkdir(&t.ctx, "/d", 0755), 0);
	cr_assert_eq(vfs_rename(&t.ctx, "/b", &t.ctx, "/d/b", 0), 0);
	cr_assert_eq(vfs_symlink(&t.ctx, "d/b", "/l"), 0);
	cr_assert_str_eq(get("/l"), "x");
	cr_assert_eq(vfs_open(&t.ctx, "/", O_RDONLY | O_DIRECTORY, 0, 0, &f), 0);
	cr_assert_eq(file_readdir(f, &s.sink), 0);
	cr_assert_eq(s.n, 5);
	file_put(steal(&f));
	cr_assert_eq(vfs_open(&t.ctx, "/a", O_RDONLY, 0, 0, &f), 0);
	cr_assert_eq(file_mmap(f, PROT_READ, false, &m), -ENODEV);
	file_put(steal(&f));
	cr_assert_eq(vfs_unlink(&t.ctx, "/d/b"), 0);
	cr_assert_eq(vfs_rmdir(&t.ctx, "/d"), 0);
	tree_close(&t);
}

Test(p9_files, cached_files_make_room_when_fids_run_out)
{
	struct vfs_attr a;
	char name[32];

	tree_open(&t, &(struct tree_options){.max_fids = 60});
	for (int i = 0; i < 300; i++) {
		snprintf(name, sizeof(name), "/f%d", i);
		cr_assert_eq(put(name, O_WRONLY | O_CREAT, "x"), 0, "%d", i);
	}
	for (int i = 0; i < 300; i++) {
		snprintf(name, sizeof(name), "/f%d", i);
		cr_assert_eq(stat_path(name, &a), 0, "%d", i);
		cr_assert_str_eq(get(name), "x");
	}
	tree_close(&t);
}

Test(p9_files, what_a_listing_brought_is_not_believed_after_a_change)
{
	struct names_sink s = {{count_name}, 0, 100, 0};
	struct vfs_attr a;
	char name[32];

	start(0, P9FS_EXCLUSIVE);
	cr_assert_eq(vfs_mkdir(&t.ctx, "/d", 0755), 0);
	for (int i = 0; i < 20; i++) {
		snprintf(name, sizeof(name), "d/f%d", i);
		tree_write_host(&t, name, "x");
	}
	/* List and look, so that the next listing brings attributes. */
	for (int round = 0; round < 3; round++) {
		AUTO(file) struct file *f = NULL;

		cr_assert_eq(vfs_open(&t.ctx, "/d", O_RDONLY | O_DIRECTORY, 0, 0, &f), 0);
		s.n = 0;
		cr_assert_eq(file_readdir(f, &s.sink), 0);
		for (int i = round * 8; i < round * 8 + 8 && i < 20; i++) {
			snprintf(name, sizeof(name), "/d/f%d", i);
			cr_assert_eq(stat_path(name, &a), 0);
			cr_assert_eq(a.size, 1);
		}
		if (round < 2)
			for (int i = 16; i < 20; i++) {
				snprintf(name, sizeof(name), "/d/f%d", i);
				cr_assert_eq(put(name, O_WRONLY | O_TRUNC | O_CREAT, "x"), 0);
			}
	}
	cr_assert_eq(vfs_unlink(&t.ctx, "/d/f19"), 0);
	cr_assert_eq(stat_path("/d/f19", &a), -ENOENT);
	cr_assert_eq(put("/d/f18", O_WRONLY | O_APPEND, "yz"), 0);
	cr_assert_eq(stat_path("/d/f18", &a), 0);
	cr_assert_eq(a.size, 3);
	cr_assert_eq(vfs_rename(&t.ctx, "/d/f17", &t.ctx, "/d/f16", 0), 0);
	cr_assert_eq(stat_path("/d/f17", &a), -ENOENT);
	tree_close(&t);
}
