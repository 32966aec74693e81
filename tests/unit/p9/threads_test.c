/* Many threads on one connection. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/unit/p9/tree.h"
#include "vfs/dirent.h"
#include "vfs/file.h"
#include "vfs/uio.h"
#include "vfs/vfs.h"

#define THREADS 6

static struct tree t;
static _Atomic int failed, ended;

static bool emit(struct dir_sink *s, const char *name, size_t len, uint64_t ino, unsigned type,
		 uint64_t next)
{
	return true;
}

/* Makes, writes, reads, stats, lists, renames and removes files of its own, and reads one of all.
 * 0 or -errno. */
static int one_round(int id, int round)
{
	AUTO(file) struct file *f = NULL, *d = NULL, *shared = NULL;
	struct dir_sink sink = {emit};
	struct path p = {0};
	struct vfs_attr a;
	char name[32], other[32], buf[16] = "";
	struct uio u;
	int err;

	snprintf(name, sizeof(name), "/d%d/f%d", id % 2, id * 1000 + round);
	snprintf(other, sizeof(other), "/d%d/g%d", (id + 1) % 2, id * 1000 + round);
	err = vfs_open(&t.ctx, name, O_RDWR | O_CREAT | O_EXCL, 0644, 0, &f);
	if (err)
		return err;
	uio_init_buf(&u, (void *)"12345", 5);
	if (file_write(f, &u, UINT64_MAX) != 5)
		return -EIO;
	uio_init_buf(&u, buf, sizeof(buf));
	if (file_pread(f, &u, 0) != 5 || memcmp(buf, "12345", 5) != 0)
		return -EIO;
	err = vfs_rename(&t.ctx, name, &t.ctx, other, 0);
	if (!err)
		err = vfs_walk(&t.ctx, other, 0, &p);
	if (err)
		return err;
	err = vfs_getattr(&p, &a);
	path_put(&p);
	if (err || a.size != 5)
		return err ? err : -EIO;
	err = vfs_open(&t.ctx, "/d0", O_RDONLY | O_DIRECTORY, 0, 0, &d);
	if (!err)
		err = file_readdir(d, &sink);
	if (!err)
		err = vfs_open(&t.ctx, "/shared", O_RDONLY, 0, 0, &shared);
	if (err)
		return err;
	uio_init_buf(&u, buf, sizeof(buf));
	if (file_read(shared, &u) != 6)
		return -EIO;
	return vfs_unlink(&t.ctx, other);
}

static void *thread_main(void *arg)
{
	int id = (int)(intptr_t)arg;

	for (int i = 0; i < 60; i++) {
		int err = one_round(id, i);

		if (err == -EIO && t.gofer == 0)
			break;
		if (err) {
			fprintf(stderr, "thread %d round %d: %s\n", id, i, strerror(-err));
			failed++;
			break;
		}
	}
	ended++;
	return NULL;
}

static void run(bool kill_it)
{
	pthread_t th[THREADS];

	tree_open(&t, &(struct tree_options){.confinement = GOFER_CONFINE_BEST});
	tree_write_host(&t, "shared", "shared");
	cr_assert_eq(vfs_mkdir(&t.ctx, "/d0", 0755), 0);
	cr_assert_eq(vfs_mkdir(&t.ctx, "/d1", 0755), 0);
	for (int i = 0; i < THREADS; i++)
		pthread_create(&th[i], NULL, thread_main, (void *)(intptr_t)i);
	if (kill_it) {
		pid_t gofer = t.gofer;

		usleep(20000);
		t.gofer = 0;
		kill(gofer, SIGKILL);
		waitpid(gofer, NULL, 0);
	}
	for (int i = 0; i < THREADS; i++)
		pthread_join(th[i], NULL);
	cr_assert_eq(failed, 0);
	tree_close(&t);
}

Test(p9_threads, share_a_connection, .timeout = 60)
{
	run(false);
}

Test(p9_threads, all_end_when_the_gofer_is_killed, .timeout = 60)
{
	run(true);
}
