# Random file system calls, as root and as a user: each must return what it returns natively, on a
# volume, and leave the same behind.
command -v gcc >/dev/null || exit 77
cat >fsrand.c <<'C'
/* File system calls on a small tree, chosen at random from a seed; prints what each returned.
 * NOSUID: no set-id bits, which the host takes away from files of a volume when they are written.
 * A third argument: as user 1000. */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

static uint64_t s;
static unsigned rnd(unsigned n)
{
	s = s * 6364136223846793005ULL + 1442695040888963407ULL;
	return (unsigned)(s >> 33) % n;
}

static const char *const dirs[] = {"",       "",   "a/", "b/",    "a/c/",
                                   "a/c/d/", "l/", "./", "../w/", "a/../"};
static const char *const leaves[] = {"a", "b", "c", "d",  "e",  "f",  "l",
                                     "m", "",  ".", "..", "a/", "e/", "l/"};
#define PICK(t) (t)[rnd(sizeof(t) / sizeof((t)[0]))]

static const char *name(char *buf)
{
	sprintf(buf, "%s%s", PICK(dirs), PICK(leaves));
	return buf;
}

static int fds[8];
static int root, nosuid;

static void show(const char *what, const char *a, const char *b, long r)
{
	printf("%s(%s%s%s) = ", what, a, b ? ", " : "", b ? b : "");
	if (r < 0)
		printf("%s\n", strerrorname_np(errno) ? strerrorname_np(errno) : "?");
	else
		printf("%ld\n", r);
}

static void show_stat(const char *what, const char *a, int r, const struct stat *st)
{
	if (r < 0) {
		show(what, a, NULL, r);
		return;
	}
	printf("%s(%s) = mode %o uid %u gid %u", what, a, st->st_mode, st->st_uid, st->st_gid);
	if (!S_ISDIR(st->st_mode)) /* file systems differ about directories */
		printf(" nlink %lu size %ld", (unsigned long)st->st_nlink, (long)st->st_size);
	printf("\n");
}

static void op_open(void)
{
	static const int modes[] = {O_RDONLY, O_RDONLY, O_WRONLY, O_RDWR, O_RDWR, O_PATH};
	static const int more[] = {0,
	                           0,
	                           O_CREAT,
	                           O_CREAT,
	                           O_CREAT | O_EXCL,
	                           O_TRUNC,
	                           O_CREAT | O_TRUNC,
	                           O_APPEND,
	                           O_DIRECTORY,
	                           O_NOFOLLOW,
	                           O_CREAT | O_NOFOLLOW,
	                           O_CREAT | O_DIRECTORY,
	                           O_APPEND | O_CREAT,
	                           O_NONBLOCK,
	                           O_NOATIME};
	char p[64], f[32];
	int flags = PICK(modes) | PICK(more) | O_NONBLOCK, i = (int)rnd(8), fd;
	static const int perms[] = {0644, 0666, 0600, 0444, 0, 0755, 04755, 02755, 0222};

	fd = open(name(p), flags, PICK(perms) & (nosuid ? 01777 : 07777));
	snprintf(f, sizeof(f), "%#o", flags);
	show("open", p, f, fd < 0 ? -1 : 0);
	if (fd >= 0) {
		if (fds[i] >= 0)
			close(fds[i]);
		fds[i] = fd;
	}
}

static int cmp(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static void op_list(const char *p)
{
	char *names[256];
	int n = 0;
	DIR *d = opendir(p);
	struct dirent *e;

	if (!d) {
		show("list", p, NULL, -1);
		return;
	}
	while ((e = readdir(d)) && n < 256) {
		char b[300];

		sprintf(b, "%s:%d", e->d_name, e->d_type);
		names[n++] = strdup(b);
	}
	closedir(d);
	qsort(names, (size_t)n, sizeof(*names), cmp);
	printf("list(%s) =", p);
	for (int i = 0; i < n; i++) {
		printf(" %s", names[i]);
		free(names[i]);
	}
	printf("\n");
}

static void op_fd(void)
{
	static char buf[20000];
	static const int whences[] = {SEEK_SET, SEEK_CUR, SEEK_END};
	int fd = fds[rnd(8)], fd2 = fds[rnd(8)];
	char a[16];
	struct stat st;
	long r, sum = 0;
	off_t off = rnd(9000);

	if (fd < 0)
		return;
	sprintf(a, "-");
	memset(buf, 'a' + (int)rnd(26), sizeof(buf));
	switch (rnd(16)) {
	case 0:
		r = read(fd, buf, rnd(6000));
		for (long i = 0; i < r; i++)
			sum = sum * 31 + buf[i];
		sprintf(a, "%lx", sum & 0xffffff);
		show("read", a, NULL, r);
		break;
	case 1:
	case 2:
		show("write", a, NULL, write(fd, buf, rnd(9000)));
		break;
	case 3:
		r = pread(fd, buf, rnd(6000), off);
		for (long i = 0; i < r; i++)
			sum = sum * 31 + buf[i];
		sprintf(a, "%lx", sum & 0xffffff);
		show("pread", a, NULL, r);
		break;
	case 4:
		show("pwrite", a, NULL, pwrite(fd, buf, rnd(3000), off));
		break;
	case 5:
		off = (off_t)rnd(8000) - 2000;
		if (fstat(fd, &st) == 0 && S_ISDIR(st.st_mode)) /* file systems differ */
			break;
		show("lseek", a, NULL, lseek(fd, off, PICK(whences)));
		break;
	case 6:
		show("ftruncate", a, NULL, ftruncate(fd, (off_t)rnd(12000) - 500));
		break;
	case 7:
	case 8:
		r = fstat(fd, &st);
		show_stat("fstat", a, (int)r, &st);
		break;
	case 9:
		show("fchmod", a, NULL, fchmod(fd, rnd(4) ? 0644 : nosuid ? 0777 : 06777));
		break;
	case 10:
		show("getfl", a, NULL, fcntl(fd, F_GETFL));
		break;
	case 11:
		show("flock", a, NULL, flock(fd, (rnd(2) ? LOCK_EX : LOCK_SH) | LOCK_NB));
		break;
	case 12:
		show("fchdir", a, NULL, fchdir(fd));
		if (fchdir(root) < 0)
			abort();
		break;
	case 13:
		if (fd2 >= 0)
			show("copy", a, NULL, copy_file_range(fd, NULL, fd2, NULL, rnd(5000), 0));
		break;
	case 14:
		show("fsync", a, NULL, fsync(fd));
		break;
	case 15: {
		struct flock fl = {.l_type = rnd(2) ? F_WRLCK : F_RDLCK,
		                   .l_whence = SEEK_SET,
		                   .l_start = rnd(100),
		                   .l_len = rnd(100)};

		show("setlk", a, NULL, fcntl(fd, F_SETLK, &fl));
		break;
	}
	}
}

static void op_name(void)
{
	char p[64], q[64], b[PATH_MAX];
	struct stat st;
	long r;

	name(p);
	name(q);
	switch (rnd(26)) {
	case 0:
	case 1:
		show("mkdir", p, NULL, mkdir(p, rnd(5) ? 0755 : 01777));
		break;
	case 2:
		show("rmdir", p, NULL, rmdir(p));
		break;
	case 3:
	case 4:
		show("unlink", p, NULL, unlink(p));
		break;
	case 5:
	case 6:
	case 7:
		show("rename", p, q, rename(p, q));
		break;
	case 8:
		r = (long)rnd(4);
		show(r == 1   ? "rename-noreplace"
		     : r == 2 ? "rename-exchange"
		              : "rename2",
		     p, q, syscall(SYS_renameat2, AT_FDCWD, p, AT_FDCWD, q, r == 3 ? 0 : r));
		break;
	case 9:
		show("link", p, q, link(p, q));
		break;
	case 10:
		show("symlink", p, q, symlink(p, q));
		break;
	case 11:
		r = readlink(p, b, sizeof(b) - 1);
		b[r < 0 ? 0 : r] = 0;
		show("readlink", p, b, r);
		break;
	case 12:
	case 13:
	case 14:
		r = stat(p, &st);
		show_stat("stat", p, (int)r, &st);
		break;
	case 15:
	case 16:
		r = lstat(p, &st);
		show_stat("lstat", p, (int)r, &st);
		break;
	case 17:
		op_list(p);
		break;
	case 18:
		show("chmod", p, NULL,
		     chmod(p, rnd(3)   ? 0755
		              : rnd(2) ? 0
		              : nosuid ? 01777
		                       : 07777));
		break;
	case 19:
		show("truncate", p, NULL, truncate(p, (off_t)rnd(9000) - 10));
		break;
	case 20:
		r = rnd(8);
		sprintf(b, "%ld", r);
		show("access", p, b, access(p, (int)r));
		break;
	case 21:
		r = chdir(p);
		show("chdir", p, NULL, r);
		if (r == 0) {
			char *c = getcwd(b, sizeof(b));

			printf("cwd %s\n", c ? strstr(c, "/w") ? strstr(c, "/w") : "/"
			                     : strerrorname_np(errno));
			if (fchdir(root) < 0)
				abort();
		}
		break;
	case 22:
		show("mkfifo", p, NULL, mkfifo(p, 0644));
		break;
	case 23:
		r = rnd(3);
		show("chown", p, NULL,
		     chown(p, r == 0 ? (uid_t)-1 : 1000, r == 1 ? (gid_t)-1 : 1000));
		break;
	case 24: {
		struct timespec ts[2] = {{rnd(1000), rnd(1000)},
		                         {rnd(1000), rnd(3) ? 5 : UTIME_OMIT}};

		r = utimensat(AT_FDCWD, p, ts, rnd(2) ? AT_SYMLINK_NOFOLLOW : 0);
		show("utimens", p, NULL, r);
		if (r == 0 && ts[1].tv_nsec == 5 && lstat(p, &st) == 0 && !S_ISDIR(st.st_mode) &&
		    !S_ISLNK(st.st_mode))
			printf("times %ld.%ld\n", st.st_mtim.tv_sec, st.st_mtim.tv_nsec);
		break;
	}
	case 25:
		show("mknod", p, NULL, mknod(p, S_IFREG | 0600, 0));
		break;
	}
}

int main(int argc, char **argv)
{
	int n = atoi(argv[2]);

	nosuid = getenv("NOSUID") != NULL;

	s = strtoull(argv[1], NULL, 10);
	umask(022);
	for (int i = 0; i < 8; i++)
		fds[i] = -1;
	if (mkdir("t", 0777) < 0 || chmod("t", 0777) < 0 || mkdir("t/w", 0777) < 0 ||
	    chmod("t/w", 0777) < 0 || chdir("t/w") < 0)
		return 1;
	root = open(".", O_RDONLY | O_DIRECTORY);
	if (argc > 3 && geteuid() == 0 &&
	    (setgroups(0, NULL) < 0 || setgid(1000) < 0 || setuid(1000) < 0))
		return 1;
	for (int i = 0; i < n; i++) {
		printf("\n%d ", i);
		if (rnd(10) < 2)
			op_open();
		else if (rnd(10) < 4)
			op_fd();
		else
			op_name();
	}
	return 0;
}
C
gcc -O1 -w -o fsrand fsrand.c || exit 77
chmod 1777 .
export NOSUID=1
for seed in 1 2 3 4 5 6 7 8 9 10; do
	for user in '' user; do
		mkdir run && chmod 1777 run
		echo "== seed $seed $user"
		(cd run && ../fsrand "$seed" 2000 $user)
		rm -rf run
	done
done
