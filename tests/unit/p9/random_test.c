/* Random calls on an exclusive tree must do what the host does to a directory beside it, whatever is
 * cached: names that were told, listings, inodes without a fid. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tests/unit/p9/tree.h"
#include "vfs/dirent.h"
#include "vfs/dirent_cache.h"
#include "vfs/file.h"
#include "vfs/fs.h"
#include "vfs/inode.h"
#include "vfs/uio.h"
#include "vfs/vfs.h"

static struct tree t;
static char twin[64];
static uint64_t seed;

static unsigned rnd(unsigned n)
{
	seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
	return (unsigned)(seed >> 33) % n;
}

static void pick(char inside[64], char outside[160])
{
	static const char *const dirs[] = {"", "a/", "b/", "a/a/", "a/b/", "b/a/", "a/a/a/"};
	static const char *const leaves[] = {"a", "b", "c", "d", "e", "f"};
	const char *dir = dirs[rnd(7)], *leaf = leaves[rnd(6)];

	snprintf(inside, 64, "/%s%s", dir, leaf);
	snprintf(outside, 160, "%s/%s%s", twin, dir, leaf);
}

static int host(int r)
{
	return r < 0 ? -errno : 0;
}

static int append(const char *path, unsigned n)
{
	static char text[64] = "................................................................";
	AUTO(file) struct file *f = NULL;
	struct uio u;
	int err = vfs_open(&t.ctx, path, O_WRONLY | O_CREAT | O_APPEND, 0644, 0, &f);

	if (err)
		return err;
	uio_init_buf(&u, text, n);
	return file_write(f, &u, UINT64_MAX) == (ssize_t)n ? 0 : -EIO;
}

static int host_append(const char *path, unsigned n)
{
	char text[64] = "";
	int fd = open(path, O_WRONLY | O_CREAT | O_APPEND, 0644);

	if (fd < 0)
		return -errno;
	cr_assert_eq(write(fd, text, n), (ssize_t)n);
	return close(fd);
}

static void compare_stat(const char *in, const char *out)
{
	AUTO(path) struct path p = {0};
	struct vfs_attr a;
	struct stat st;
	int err = vfs_walk(&t.ctx, in, 0, &p);

	if (!err)
		err = vfs_getattr(&p, &a);
	cr_assert_eq(err, host(lstat(out, &st)), "stat %s: %d", in, err);
	if (err)
		return;
	cr_assert_eq(a.mode, st.st_mode, "%s: mode %o, %o", in, a.mode, st.st_mode);
	if (S_ISDIR(st.st_mode))
		return;
	cr_assert_eq(a.nlink, st.st_nlink, "%s: nlink %u", in, a.nlink);
	cr_assert_eq(a.size, (uint64_t)st.st_size, "%s: size %lu", in, (unsigned long)a.size);
}

struct names {
	struct dir_sink sink;
	unsigned n;
	unsigned long sum; /* whatever the order */
};

static bool add_name(struct dir_sink *sink, const char *name, size_t len, uint64_t ino,
		     unsigned type, uint64_t next_off)
{
	struct names *s = container_of(sink, struct names, sink);

	s->n++;
	s->sum += len * (unsigned char)name[0] * 31 + type;
	return true;
}

struct host_entry {
	uint64_t ino;
	int64_t off;
	uint16_t len;
	uint8_t type;
	char name[];
};

static int host_list(const char *path, struct dir_sink *sink)
{
	_Alignas(8) char buf[8192]; /* there are only a few names */
	int fd = open(path, O_RDONLY | O_DIRECTORY);
	long n = fd < 0 ? 0 : syscall(SYS_getdents64, fd, buf, sizeof(buf));

	if (fd < 0)
		return -errno;
	for (long i = 0; i < n;) {
		struct host_entry *e = (void *)(buf + i);

		sink->emit(sink, e->name, strlen(e->name), e->ino, e->type, 0);
		i += e->len;
	}
	return close(fd);
}

static int list(const char *path, struct names *s)
{
	AUTO(file) struct file *f = NULL;
	int err = vfs_open(&t.ctx, path, O_RDONLY | O_DIRECTORY, 0, 0, &f);
	unsigned before = 1;

	while (!err && s->n != before) {
		before = s->n;
		err = file_readdir(f, &s->sink);
	}
	return err;
}

static void compare_list(const char *in, const char *out)
{
	struct names a = {.sink = {add_name}}, b = a;
	int err = list(in, &a);

	cr_assert_eq(err, host_list(out, &b.sink), "list %s: %d", in, err);
	cr_assert_eq(a.n, b.n, "list %s: %u, %u", in, a.n, b.n);
	cr_assert_eq(a.sum, b.sum, "list %s", in);
}

static void step(void)
{
	char in[64], out[160], in2[64], out2[160];
	AUTO(path) struct path p = {0};
	unsigned n;
	int err;

	pick(in, out);
	pick(in2, out2);
	switch (rnd(16)) {
	case 0:
	case 1:
		cr_assert_eq(vfs_mkdir(&t.ctx, in, 0755), host(mkdir(out, 0755)), "mkdir %s", in);
		break;
	case 2:
		cr_assert_eq(vfs_rmdir(&t.ctx, in), host(rmdir(out)), "rmdir %s", in);
		break;
	case 3:
		cr_assert_eq(vfs_unlink(&t.ctx, in), host(unlink(out)), "unlink %s", in);
		break;
	case 4:
	case 5:
		cr_assert_eq(vfs_rename(&t.ctx, in, &t.ctx, in2, 0), host(rename(out, out2)),
			     "rename %s %s", in, in2);
		break;
	case 6:
		err = vfs_walk(&t.ctx, in, 0, &p);
		if (!err)
			err = vfs_link(&p, &t.ctx, in2);
		cr_assert_eq(err, host(link(out, out2)), "link %s %s: %d", in, in2, err);
		break;
	case 7:
		cr_assert_eq(vfs_symlink(&t.ctx, "a/b", in), host(symlink("a/b", out)));
		break;
	case 8:
	case 9:
	case 10:
		n = 1 + rnd(64);
		cr_assert_eq(append(in, n), host_append(out, n), "append %s", in);
		break;
	case 11:
		err = vfs_walk(&t.ctx, in, 0, &p);
		if (!err && S_ISREG(atomic_load(&p.dirent->inode)->mode))
			cr_assert_eq(vfs_chmod(&p, t.cred, 0600), host(chmod(out, 0600)));
		break;
	case 12:
		compare_list("/", twin);
		break;
	case 13:
		compare_list(in, out);
		break;
	case 14:
		dirent_cache_shrink();
		break;
	}
	compare_stat(in, out);
	compare_stat(in2, out2);
}

Test(p9_random, calls_do_what_the_host_does, .timeout = 60)
{
	char cmd[128];

	strcpy(twin, "/tmp/p9twin-XXXXXX");
	cr_assert(mkdtemp(twin));
	for (seed = 1; seed <= 3; seed++) {
		uint64_t first = seed;

		tree_open(&t, &(struct tree_options){.confinement = GOFER_CONFINE_BEST});
		for (int i = 0; i < 3000; i++)
			step();
		tree_close(&t);
		snprintf(cmd, sizeof(cmd), "rm -rf '%s' && mkdir '%s'", twin, twin);
		cr_assert_eq(system(cmd), 0);
		seed = first;
	}
	rmdir(twin);
}
