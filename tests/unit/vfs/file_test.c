#include "tests/unit/vfs/setup.h"

#include "vfs/anon.h"
#include "vfs/waitq.h"
#include <poll.h>
#include <stdio.h>

TestSuite(vfs_file, .init = tree_setup);

static ssize_t put(struct file *f, const char *s)
{
	struct uio u;

	uio_init_buf(&u, (void *)s, strlen(s));
	return file_write(f, &u, UINT64_MAX);
}

static ssize_t get_at(struct file *f, char *buf, size_t n, uint64_t off)
{
	struct uio u;

	uio_init_buf(&u, buf, n);
	return file_pread(f, &u, off);
}

Test(vfs_file, position_moves_with_reads_and_writes)
{
	struct file *f;
	char buf[16] = "";

	cr_assert_eq(vfs_open(&ctx, "/f", O_CREAT | O_RDWR, 0644, 0, &f), 0);
	cr_assert_eq(put(f, "hello"), 5);
	cr_assert_eq(put(f, " world"), 6);
	cr_assert_eq(file_seek(f, 0, SEEK_END), 11);
	cr_assert_eq(file_seek(f, -12, SEEK_CUR), -EINVAL);
	cr_assert_eq(file_seek(f, 0, 99), -EINVAL);
	cr_assert_eq(get_at(f, buf, 15, 6), 5);
	cr_assert_str_eq(buf, "world");
	cr_assert_eq(get_at(f, buf, 15, 11), 0);
	file_put(f);
}

Test(vfs_file, append_writes_at_the_end)
{
	struct file *f, *g;
	struct vfs_attr a;

	cr_assert_eq(vfs_open(&ctx, "/f", O_CREAT | O_WRONLY | O_APPEND, 0644, 0, &f), 0);
	cr_assert_eq(vfs_open(&ctx, "/f", O_CREAT | O_WRONLY | O_APPEND, 0644, 0, &g), 0);
	put(f, "ab");
	put(g, "cd");
	put(f, "ef");
	cr_assert_eq(vfs_getattr(&f->path, &a), 0);
	cr_assert_eq(a.size, 6);
	cr_assert_eq(f->pos, 6);
	file_put(f);
	file_put(g);
}

Test(vfs_file, access_modes_are_checked)
{
	struct file *f;
	char buf[4];

	cr_assert_eq(vfs_open(&ctx, "/f", O_CREAT | O_WRONLY, 0644, 0, &f), 0);
	cr_assert_eq(get_at(f, buf, 4, 0), -EBADF);
	file_put(f);
	cr_assert_eq(vfs_open(&ctx, "/f", O_PATH, 0, 0, &f), 0);
	cr_assert_eq(put(f, "x"), -EBADF);
	cr_assert_eq(file_seek(f, 0, SEEK_SET), -EBADF);
	file_put(f);
	cr_assert_eq(vfs_open(&ctx, "/", O_RDONLY, 0, 0, &f), 0);
	cr_assert_eq(get_at(f, buf, 4, 0), -EISDIR);
	file_put(f);
}

Test(vfs_file, the_size_limit_clips_then_refuses)
{
	struct file *f;
	struct uio u;

	cr_assert_eq(vfs_open(&ctx, "/f", O_CREAT | O_WRONLY, 0644, 0, &f), 0);
	uio_init_buf(&u, (void *)"abcdef", 6);
	cr_assert_eq(file_write(f, &u, 4), 4);
	uio_init_buf(&u, (void *)"abcdef", 6);
	cr_assert_eq(file_write(f, &u, 4), -EFBIG);
	file_put(f);
}

Test(vfs_file, writing_takes_set_user_id_away)
{
	struct file *f;
	struct vfs_attr a;

	cr_assert_eq(vfs_mkdir(&ctx, "/w", 0777), 0);
	ctx.cred = user_cred;
	cr_assert_eq(vfs_open(&ctx, "/w/f", O_CREAT | O_WRONLY, 0755, 0, &f), 0);
	cr_assert_eq(vfs_chmod(&f->path, user_cred, 06755), 0);
	put(f, "x");
	cr_assert_eq(vfs_getattr(&f->path, &a), 0);
	cr_assert_eq(a.mode & 07777, 0755);
	file_put(f);
}

static const struct file_ops nothing_ops = {0};

Test(vfs_file, anonymous_files_have_names_and_modes)
{
	struct inode *i;
	struct file *f;
	struct vfs_attr a;
	char *text, want[64];

	cr_assert_eq(anon_inode_new(S_IFIFO | 0600, user_cred, &i), 0);
	cr_assert_eq(file_new_anon_inode("pipe", i, &nothing_ops, NULL, O_RDONLY, FILE_READ,
					 user_cred, &f),
		     0);
	snprintf(want, sizeof(want), "pipe:[%llu]", (unsigned long long)i->ino);
	inode_put(i);
	cr_assert_eq(vfs_getattr(&f->path, &a), 0);
	cr_assert(S_ISFIFO(a.mode));
	cr_assert_eq(a.uid, 1000);
	cr_assert_eq(path_to_text(&f->path, &ctx.root, &text), 0);
	cr_assert_str_eq(text, want);
	free(text);
	file_put(f);
}

static int woken;

static void count(struct waiter *w, uint32_t events)
{
	woken++;
}

Test(vfs_waitq, wakes_whom_it_concerns)
{
	struct waiter in = {.events = POLLIN, .wake = count}, out = {.events = POLLOUT, .wake = count};
	struct waiter in2 = {.events = POLLIN, .wake = count};
	struct waitq q;

	waitq_init(&q);
	waitq_wake(&q, POLLIN);
	waitq_add(&q, &in);
	waitq_add(&q, &out);
	waitq_add(&q, &in2);
	waitq_wake(&q, POLLIN);
	cr_assert_eq(woken, 2);
	waitq_wake_one(&q, POLLIN);
	cr_assert_eq(woken, 3);
	waitq_wake(&q, POLLHUP);
	cr_assert_eq(woken, 6);
	waitq_remove(&in);
	waitq_remove(&in2);
	waitq_remove(&out);
	waitq_remove(&out);
	cr_assert(!waitq_active(&q));
	waitq_destroy(&q);
}
