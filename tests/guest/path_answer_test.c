/* Calls with paths that are made again and again have to see each change at once, whoever made it and however:
 * results are remembered in several places. */
#include <fcntl.h>
#include <limits.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/guest/check.h"

/* Often enough to be remembered. */
#define WARM 6

enum { GONE = 1 << 0, IS_FILE = 1 << 1, IS_DIR = 1 << 2, IS_LINK = 1 << 3, OTHER = 1 << 4 };

/* What all these calls agree upon. */
static int ask(const char *path)
{
	struct statx sx;
	struct stat st, ln;
	char text[8];
	int there = stat(path, &st) == 0, seen = lstat(path, &ln) == 0, fd;
	ssize_t n;

	CHECK_EQ(access(path, F_OK) == 0, there);
	CHECK_EQ(faccessat(AT_FDCWD, path, F_OK, AT_EACCESS) == 0, there);
	CHECK_EQ(statx(AT_FDCWD, path, 0, STATX_BASIC_STATS, &sx) == 0, there);
	if (there) {
		CHECK_EQ(sx.stx_ino, st.st_ino);
		CHECK_EQ(sx.stx_mode, st.st_mode);
		CHECK_EQ(sx.stx_size, st.st_size);
	}
	fd = open(path, O_RDONLY | O_NONBLOCK | O_PATH);
	CHECK_EQ(fd >= 0, there);
	close(fd);
	n = readlink(path, text, sizeof(text));
	if (n < 0)
		CHECK_EQ(errno == EINVAL, seen);
	else
		CHECK(seen && S_ISLNK(ln.st_mode));
	return !seen		       ? GONE
	       : S_ISLNK(ln.st_mode) ? IS_LINK
	       : S_ISREG(ln.st_mode) ? IS_FILE
	       : S_ISDIR(ln.st_mode) ? IS_DIR
				       : OTHER;
}

static void warm(const char *path, int what)
{
	for (int i = 0; i < WARM; i++)
		CHECK_EQ(ask(path), what);
}

static void make(const char *path)
{
	int fd = open(path, O_CREAT | O_WRONLY, 0644);

	REQUIRE(fd >= 0);
	close(fd);
}

static void test_names(void)
{
	for (int i = 0; i < 20; i++) {
		warm("n", GONE);
		make("n");
		warm("n", IS_FILE);
		CHECK_EQ(unlink("n"), 0);
		warm("n", GONE);
		CHECK_EQ(mkdir("n", 0755), 0);
		warm("n", IS_DIR);
		warm("n/", IS_DIR);
		warm("n/.", IS_DIR);
		warm("n/x", GONE);
		make("n/x");
		warm("n/x", IS_FILE);
		CHECK_EQ(rename("n/x", "x"), 0);
		warm("n/x", GONE);
		warm("x", IS_FILE);
		CHECK_EQ(rmdir("n"), 0);
		warm("n", GONE);
		CHECK_EQ(symlink("x", "n"), 0);
		warm("n", IS_LINK);
		CHECK_EQ(unlink("x"), 0);
		CHECK_EQ(unlink("n"), 0);
		CHECK_EQ(mkfifo("n", 0644), 0);
		warm("n", OTHER);
		CHECK_EQ(unlink("n"), 0);
	}
}

static void test_moved_directories(void)
{
	struct stat a, b, c;

	mkdir("d", 0755);
	mkdir("d/e", 0755);
	mkdir("other", 0755);
	make("d/e/f");
	warm("d/e/f", IS_FILE);
	warm("other/f", GONE);
	CHECK_EQ(rename("d/e", "other/e"), 0);
	warm("d/e/f", GONE);
	warm("other/e/f", IS_FILE);
	warm("other/e/../e/f", IS_FILE);
	CHECK_EQ(rename("other", "d/o"), 0);
	warm("other/e/f", GONE);
	warm("d/o/e/f", IS_FILE);
	make("one");
	make("two");
	for (int i = 0; i < WARM; i++) {
		CHECK_EQ(stat("one", &a), 0);
		CHECK_EQ(stat("two", &b), 0);
	}
	CHECK_EQ(syscall(SYS_renameat2, AT_FDCWD, "one", AT_FDCWD, "two", 2 /* EXCHANGE */), 0);
	CHECK_EQ(stat("one", &c), 0);
	CHECK_EQ(c.st_ino, b.st_ino);
	CHECK_EQ(rename("one", "two"), 0);
	CHECK_EQ(stat("two", &c), 0);
	CHECK_EQ(c.st_ino, b.st_ino);
	warm("one", GONE);
	unlink("two");
	unlink("d/o/e/f");
	rmdir("d/o/e");
	rmdir("d/o");
	rmdir("d");
}

static void test_links(void)
{
	char text[300], longer[300], *volatile nowhere = (char *)8;

	mkdir("a", 0755);
	mkdir("b", 0755);
	make("a/only-a");
	CHECK_EQ(symlink("a", "l"), 0);
	warm("l/only-a", IS_FILE);
	for (int i = 0; i < WARM; i++) {
		memset(text, '#', sizeof(text));
		CHECK_EQ(readlink("l", text, 300), 1);
		CHECK(text[0] == 'a' && text[1] == '#');
		CHECK_ERR(readlink("l", text, 0), EINVAL);
		CHECK_ERR(readlink("a", text, 300), EINVAL);
		CHECK_ERR(readlink("l", nowhere, 300), EFAULT);
	}
	CHECK_EQ(unlink("l"), 0);
	CHECK_EQ(symlink("b/../b", "l"), 0);
	warm("l/only-a", GONE);
	for (int i = 0; i < WARM; i++) {
		memset(text, '#', sizeof(text));
		CHECK_EQ(readlink("l", text, 3), 3);
		CHECK(!memcmp(text, "b/.#", 4));
		CHECK_EQ(readlinkat(AT_FDCWD, "l", text, 6), 6);
		CHECK(!memcmp(text, "b/../b#", 7));
	}
	unlink("l");
	memset(longer, 'x', 299);
	longer[299] = 0;
	CHECK_EQ(symlink(longer, "l"), 0);
	for (int i = 0; i < WARM; i++) {
		CHECK_EQ(readlink("l", text, 300), 299);
		CHECK(!memcmp(text, longer, 299));
	}
	unlink("l");
	CHECK_EQ(symlink("l", "l"), 0);
	for (int i = 0; i < WARM; i++) {
		CHECK_ERR(access("l", F_OK), ELOOP);
		CHECK_ERR(open("l", O_RDONLY), ELOOP);
		CHECK_ERR(open("a", O_RDONLY | O_NOFOLLOW | O_DIRECTORY | O_CREAT, 0600), EINVAL);
	}
	unlink("l");
	unlink("a/only-a");
	rmdir("a");
	rmdir("b");
}

static void test_attributes(void)
{
	struct timespec ts[2] = {{1000, 1}, {2000, 2}};
	struct stat st;
	int fd;

	make("f");
	for (int i = 1; i < 20; i++) {
		CHECK_EQ(chmod("f", 0600 | (i & 077)), 0);
		CHECK_EQ(stat("f", &st), 0);
		CHECK_EQ(st.st_mode & 07777, 0600 | (i & 077));
		fd = open("f", O_WRONLY | O_APPEND);
		CHECK_EQ(write(fd, "xyz", 3), 3);
		CHECK_EQ(stat("f", &st), 0);
		CHECK_EQ(st.st_size, i * 3);
		CHECK_EQ(ftruncate(fd, i * 3 + 1), 0);
		CHECK_EQ(lstat("f", &st), 0);
		CHECK_EQ(st.st_size, i * 3 + 1);
		CHECK_EQ(ftruncate(fd, i * 3), 0);
		close(fd);
		ts[1].tv_sec++;
		CHECK_EQ(utimensat(AT_FDCWD, "f", ts, 0), 0);
		CHECK_EQ(stat("f", &st), 0);
		CHECK_EQ(st.st_mtim.tv_sec, ts[1].tv_sec);
		CHECK_EQ(link("f", "g"), 0);
		CHECK_EQ(stat("f", &st), 0);
		CHECK_EQ(st.st_nlink, 2);
		unlink("g");
		CHECK_EQ(stat("f", &st), 0);
		CHECK_EQ(st.st_nlink, 1);
		mkdir("d", 0755);
		CHECK_EQ(stat(".", &st), 0);
		rmdir("d");
	}
	unlink("f");
}

/* Of a file that was there before the program began. */
static void test_old_file(const char *self)
{
	struct stat a, b, f;
	struct statx sx;
	int fd = open(self, O_RDONLY);

	REQUIRE(fd >= 0);
	CHECK_EQ(fstat(fd, &f), 0);
	for (int i = 0; i < WARM; i++) {
		memset(&a, i, sizeof(a));
		CHECK_EQ(stat(self, &a), 0);
		CHECK(a.st_ino == f.st_ino && a.st_size == f.st_size && a.st_mode == f.st_mode);
		CHECK_EQ(lstat(self, &b), 0);
		CHECK(!memcmp(&a.st_mtim, &b.st_mtim, sizeof(a.st_mtim)));
		CHECK_EQ(statx(AT_FDCWD, self, 0, STATX_ALL, &sx), 0);
		CHECK_EQ(sx.stx_size, a.st_size);
		CHECK_EQ(sx.stx_ino, a.st_ino);
		CHECK_ERR(stat(self, (struct stat *)8), EFAULT);
		CHECK_ERR(stat(self, (struct stat *)0x7fffffffff00), EFAULT);
		CHECK_ERR(stat(self, (struct stat *)-4096L), EFAULT);
	}
	close(fd);
}

static void test_places_for_results(const char *self)
{
	char *p = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct stat st;
	size_t n = strlen(self) + 1;

	REQUIRE(p != MAP_FAILED);
	CHECK_EQ(mprotect(p + 4096, 4096, PROT_READ), 0);
	for (int i = 0; i < WARM; i++) {
		CHECK_EQ(stat(self, &st), 0);
		CHECK_ERR(stat(self, (struct stat *)(p + 4096)), EFAULT);
		CHECK_ERR(stat(self, (struct stat *)(p + 4096 - 16)), EFAULT);
		CHECK_EQ(stat(self, (struct stat *)(p + 4096 - sizeof(st))), 0);
		CHECK(!memcmp(p + 4096 - sizeof(st), &st, sizeof(st)));
	}
	/* A name that ends with the last byte that is there, and one that does not. */
	CHECK_EQ(munmap(p + 4096, 4096), 0);
	memcpy(p + 4096 - n, self, n);
	for (int i = 0; i < WARM; i++) {
		CHECK_EQ(access(p + 4096 - n, F_OK), 0);
		p[4095] = 'x';
		CHECK_ERR(access(p + 4096 - n, F_OK), EFAULT);
		p[4095] = 0;
	}
	munmap(p, 4096);
}

static void test_lengths(void)
{
	char path[PATH_MAX + 16];
	char dir[201];

	memset(dir, 'd', 200);
	dir[200] = 0;
	CHECK_EQ(mkdir(dir, 0755), 0);
	for (int slashes = 0; slashes < 120; slashes++) {
		strcpy(path, "./");
		memset(path + 2, '/', slashes);
		strcpy(path + 2 + slashes, dir);
		CHECK_EQ(access(path, F_OK), 0);
		CHECK_EQ(access(path, F_OK), 0);
		CHECK_EQ(access(path, F_OK), 0);
		strcat(path, "/x");
		CHECK_ERR(access(path, F_OK), ENOENT);
		CHECK_ERR(access(path, F_OK), ENOENT);
		CHECK_ERR(access(path, F_OK), ENOENT);
	}
	rmdir(dir);
	memset(path, 'y', 256);
	path[256] = 0;
	for (int i = 0; i < WARM; i++) {
		CHECK_ERR(access(path, F_OK), ENAMETOOLONG);
		CHECK_ERR(access("", F_OK), ENOENT);
		CHECK_ERR(faccessat(-5, "x", F_OK, 0), EBADF);
		CHECK_ERR(access("/", 8), EINVAL);
		CHECK_EQ(faccessat(-5, "/", F_OK, 0), 0);
		CHECK_ERR(fstatat(AT_FDCWD, "/", (struct stat *)path, 0x40), EINVAL);
	}
	memset(path, '/', PATH_MAX);
	path[PATH_MAX] = 0;
	for (int i = 0; i < WARM; i++)
		CHECK_ERR(access(path, F_OK), ENAMETOOLONG);
}

static void test_directories_as_places(void)
{
	int dir;

	mkdir("p", 0755);
	mkdir("q", 0755);
	make("p/in-p");
	dir = open("q", O_DIRECTORY);
	for (int i = 0; i < 3; i++) {
		warm("in-p", GONE);
		CHECK_EQ(chdir("p"), 0);
		warm("in-p", IS_FILE);
		warm("../q", IS_DIR);
		CHECK_EQ(fchdir(dir), 0);
		warm("in-p", GONE);
		warm("../p/in-p", IS_FILE);
		CHECK_EQ(chdir(".."), 0);
	}
	/* Somebody moves the directory that we are in. */
	CHECK_EQ(chdir("p"), 0);
	warm("../q", IS_DIR);
	CHECK_EQ(rename("../p", "../q/p"), 0);
	warm("../q", GONE);
	warm("../p/in-p", IS_FILE);
	CHECK_EQ(unlink("in-p"), 0);
	CHECK_EQ(rmdir("../p"), 0);
	warm("in-p", GONE);
	CHECK_EQ(fchdir(dir), 0);
	CHECK_EQ(chdir(".."), 0);
	CHECK_EQ(rmdir("q"), 0);
	close(dir);
}

/* ---- others make the changes ------------------------------------------------------------------- */

struct shared {
	atomic_int turn;
	atomic_int stop;
};

static struct shared *shared_new(void)
{
	struct shared *s = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	REQUIRE(s != MAP_FAILED);
	return s;
}

/* Without a system call of who waits, so that nothing but the change itself can tell. */
static void turn_await(struct shared *s, int turn)
{
	while (atomic_load(&s->turn) != turn && !atomic_load(&s->stop))
		;
}

static void change(int i)
{
	if (i & 1)
		unlink("t");
	else
		make("t");
}

static void *changer(void *arg)
{
	struct shared *s = arg;

	for (int i = 0; i < 100; i++) {
		turn_await(s, 2 * i + 1);
		change(i);
		atomic_store(&s->turn, 2 * i + 2);
	}
	return NULL;
}

static void look_after(struct shared *s)
{
	for (int i = 0; i < 100; i++) {
		for (int k = 0; k < 3; k++)
			CHECK_EQ(access("t", F_OK), i & 1 ? 0 : -1);
		atomic_store(&s->turn, 2 * i + 1);
		turn_await(s, 2 * i + 2);
		CHECK_EQ(access("t", F_OK), i & 1 ? -1 : 0);
	}
	atomic_store(&s->stop, 1);
}

static void test_changes_by_others(void)
{
	struct shared *s = shared_new();
	pthread_t th;
	pid_t pid = fork();

	if (pid == 0) {
		changer(s);
		_exit(0);
	}
	look_after(s);
	waitpid(pid, NULL, 0);
	atomic_store(&s->turn, 0);
	atomic_store(&s->stop, 0);
	REQUIRE(pthread_create(&th, NULL, changer, s) == 0);
	look_after(s);
	pthread_join(th, NULL);
	munmap(s, 4096);
}

static void *mover(void *arg)
{
	struct shared *s = arg;

	for (int i = 0; i < 100; i++) {
		turn_await(s, 2 * i + 1);
		CHECK_EQ(chdir(i & 1 ? ".." : "w"), 0);
		atomic_store(&s->turn, 2 * i + 2);
	}
	return NULL;
}

/* The working directory belongs to all threads. */
static void test_chdir_by_another_thread(void)
{
	struct shared *s = shared_new();
	pthread_t th;

	mkdir("w", 0755);
	make("w/in-w");
	REQUIRE(pthread_create(&th, NULL, mover, s) == 0);
	for (int i = 0; i < 100; i++) {
		for (int k = 0; k < 3; k++)
			CHECK_EQ(access("in-w", F_OK), i & 1 ? 0 : -1);
		atomic_store(&s->turn, 2 * i + 1);
		turn_await(s, 2 * i + 2);
		CHECK_EQ(access("in-w", F_OK), i & 1 ? -1 : 0);
	}
	atomic_store(&s->stop, 1);
	pthread_join(th, NULL);
	unlink("w/in-w");
	rmdir("w");
	munmap(s, 4096);
}

static void *asker(void *arg)
{
	struct shared *s = arg;

	while (!atomic_load(&s->stop))
		access("in-w", F_OK);
	return NULL;
}

/* What was looked up in the directory of before is not said of the one that follows, though the call that
 * looked it up ended after the chdir. */
static void test_chdir_during_calls_of_others(void)
{
	struct shared *s = shared_new();
	pthread_t th[2];

	mkdir("w", 0755);
	make("w/in-w");
	for (int i = 0; i < 2; i++)
		REQUIRE(pthread_create(&th[i], NULL, asker, s) == 0);
	for (int i = 0; i < 2000; i++) {
		CHECK_EQ(chdir(i & 1 ? ".." : "w"), 0);
		for (int k = 0; k < 8; k++)
			CHECK_EQ(access("in-w", F_OK), i & 1 ? -1 : 0);
	}
	atomic_store(&s->stop, 1);
	for (int i = 0; i < 2; i++)
		pthread_join(th[i], NULL);
	unlink("w/in-w");
	rmdir("w");
	munmap(s, 4096);
}

static void *own_place(void *arg)
{
	(void)arg;
	CHECK_EQ(unshare(CLONE_FS), 0);
	CHECK_EQ(chdir("w"), 0);
	for (int i = 0; i < WARM; i++)
		CHECK_EQ(access("in-w", F_OK), 0);
	return NULL;
}

static void test_unshared_place(void)
{
	pthread_t th;

	mkdir("w", 0755);
	make("w/in-w");
	warm("in-w", GONE);
	REQUIRE(pthread_create(&th, NULL, own_place, NULL) == 0);
	pthread_join(th, NULL);
	warm("in-w", GONE);
	unlink("w/in-w");
	rmdir("w");
}

static void as_nobody(void)
{
	CHECK_EQ(access("secret/f", F_OK), 0);
	CHECK_EQ(setgid(65534), 0);
	CHECK_EQ(seteuid(65534), 0);
	for (int i = 0; i < WARM; i++) {
		struct stat st;

		CHECK_ERR(stat("secret/f", &st), EACCES);
		CHECK_ERR(faccessat(AT_FDCWD, "readable", W_OK, AT_EACCESS), EACCES);
		CHECK_EQ(access("secret/f", F_OK), 0); /* the real ids */
	}
	CHECK_EQ(seteuid(0), 0);
	for (int i = 0; i < WARM; i++)
		CHECK_EQ(faccessat(AT_FDCWD, "readable", W_OK, AT_EACCESS), 0);
	CHECK_EQ(setuid(65534), 0);
	for (int i = 0; i < WARM; i++) {
		CHECK_ERR(access("secret/f", F_OK), EACCES);
		CHECK_ERR(open("secret/nothing", O_RDONLY), EACCES);
		CHECK_EQ(access("readable", R_OK), 0);
		CHECK_ERR(access("readable", W_OK), EACCES);
	}
}

static void test_credentials(void)
{
	if (getuid())
		return;
	CHECK_EQ(chmod(".", 0755), 0);
	mkdir("secret", 0700);
	make("secret/f");
	make("readable");
	warm("secret/f", IS_FILE);
	for (int i = 0; i < WARM; i++)
		CHECK_EQ(access("readable", W_OK), 0);
	check_in_child(as_nobody);
	warm("secret/f", IS_FILE);
	unlink("readable");
	unlink("secret/f");
	rmdir("secret");
}

static void test_permissions(void)
{
	if (getuid() == 0)
		return;
	mkdir("s", 0755);
	make("s/f");
	for (int i = 0; i < 10; i++) {
		warm("s/f", IS_FILE);
		CHECK_EQ(chmod("s", 0), 0);
		for (int k = 0; k < WARM; k++)
			CHECK_ERR(access("s/f", F_OK), EACCES);
		CHECK_EQ(chmod("s", 0755), 0);
		CHECK_EQ(chmod("s/f", 0), 0);
		for (int k = 0; k < WARM; k++)
			CHECK_ERR(access("s/f", R_OK), EACCES);
		CHECK_EQ(chmod("s/f", 0400), 0);
		for (int k = 0; k < WARM; k++)
			CHECK_EQ(access("s/f", R_OK), 0);
	}
	unlink("s/f");
	rmdir("s");
}

static void mounts(void)
{
	if (unshare(CLONE_NEWNS) || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL))
		return;
	warm("m/f", IS_FILE);
	for (int i = 0; i < 3; i++) {
		CHECK_EQ(mount("none", "m", "tmpfs", 0, NULL), 0);
		warm("m/f", GONE);
		make("m/g");
		warm("m/g", IS_FILE);
		for (int k = 0; k < WARM; k++)
			CHECK_EQ(access("m/g", W_OK), 0);
		CHECK_EQ(mount(NULL, "m", NULL, MS_REMOUNT | MS_RDONLY, NULL), 0);
		for (int k = 0; k < WARM; k++)
			CHECK_ERR(access("m/g", W_OK), EROFS);
		CHECK_EQ(umount("m"), 0);
		warm("m/f", IS_FILE);
		warm("m/g", GONE);
		CHECK_EQ(mount("other-side", "m", NULL, MS_BIND, NULL), 0);
		warm("m/h", IS_FILE);
		CHECK_EQ(umount2("m", MNT_DETACH), 0);
		warm("m/h", GONE);
	}
	CHECK_EQ(mount("none", "m", "tmpfs", 0, NULL), 0);
	warm("m/f", GONE);
}

static void rooted(void)
{
	char cwd[PATH_MAX], path[PATH_MAX + 8];

	REQUIRE(getcwd(cwd, sizeof(cwd)));
	snprintf(path, sizeof(path), "%s/m", cwd);
	warm(path, IS_DIR);
	warm("/f", GONE);
	if (chroot("m"))
		return;
	warm(path, GONE);
	warm("/f", IS_FILE);
	warm("m/f", IS_FILE); /* where we are did not change */
	CHECK_EQ(chdir("/"), 0);
	warm("f", IS_FILE);
	warm("../f", IS_FILE);
}

static void test_mounts_and_roots(void)
{
	if (getuid())
		return;
	mkdir("m", 0755);
	make("m/f");
	mkdir("other-side", 0755);
	make("other-side/h");
	warm("m/f", IS_FILE);
	check_in_child(mounts);
	warm("m/f", IS_FILE);
	check_in_child(rooted);
	warm("m/f", IS_FILE);
	warm("/f", GONE);
	unlink("m/f");
	rmdir("m");
	unlink("other-side/h");
	rmdir("other-side");
}

/* ---- those that watch calls see all of them ------------------------------------------------------ */

static void filtered(void)
{
	struct sock_filter f[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_access, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EXDEV),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog prog = {sizeof(f) / sizeof(f[0]), f};

	for (int i = 0; i < WARM; i++)
		CHECK_EQ(access("/", F_OK), 0);
	CHECK_EQ(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
	CHECK_EQ(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog), 0);
	for (int i = 0; i < WARM; i++)
		CHECK_ERR(syscall(SYS_access, "/", F_OK), EXDEV);
}

static void traced(void)
{
	ptrace(PTRACE_TRACEME, 0, NULL, NULL);
	for (int i = 0; i < WARM; i++)
		syscall(SYS_access, "/", F_OK);
	raise(SIGSTOP);
	for (int i = 0; i < WARM; i++)
		syscall(SYS_access, "/", F_OK);
}

static void test_tracer(void)
{
	int status, stops = 0;
	pid_t pid = fork();

	if (pid == 0) {
		traced();
		_exit(0);
	}
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	REQUIRE(WIFSTOPPED(status));
	for (;;) {
		CHECK_EQ(ptrace(PTRACE_SYSCALL, pid, NULL, NULL), 0);
		CHECK_EQ(waitpid(pid, &status, 0), pid);
		if (!WIFSTOPPED(status))
			break;
		stops++;
	}
	CHECK(stops >= 2 * WARM + 1);
}

int main(int argc, char **argv)
{
	char dir[] = "/tmp/path-answer-XXXXXX", self[PATH_MAX];
	const char *places[] = {".", dir};
	char start[PATH_MAX];

	(void)argc;
	REQUIRE(realpath(argv[0], self));
	REQUIRE(getcwd(start, sizeof(start)));
	REQUIRE(mkdtemp(dir));
	test_old_file(self);
	test_places_for_results(self);
	for (int i = 0; i < 2; i++) {
		CHECK_EQ(chdir(places[i]), 0);
		test_names();
		test_moved_directories();
		test_links();
		test_attributes();
		test_lengths();
		test_directories_as_places();
		test_changes_by_others();
		test_chdir_by_another_thread();
		test_chdir_during_calls_of_others();
		test_unshared_place();
		test_credentials();
		test_permissions();
		test_mounts_and_roots();
	}
	check_in_child(filtered);
	test_tracer();
	CHECK_EQ(chdir(start), 0);
	CHECK_EQ(rmdir(dir), 0);
	return check_status();
}
