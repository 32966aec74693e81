/* Processes that make, move, mount, map, lock and remove files below each other's feet: in memory, in overlays, on the
 * host, and in /proc. */
#include <dirent.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/xattr.h>

#include "stress.h"

#define PROCESSES 4
#define THREADS 2
#define SIZE (128 << 10)

static uint64_t base_seed;
static char data[SIZE];

static const char *const dirs[] = {"", "a/", "b/", "a/c/", "a/c/d/", "m/", "m/x/", "o/", "o/a/", "up/", "low/", "low/a/", "h/", "h/a/", "l/"};
static const char *const leaves[] = {"a", "b", "c", "d", "e", "f", "l", "m", "o", "x", ".", "..", "c/d", "s", "p"};

static const char *name(char *p)
{
	snprintf(p, 64, "%s%s", PICK(dirs), PICK(leaves));
	return p;
}

static int some_open(void)
{
	static const int flags[] = {O_RDONLY, O_RDWR, O_WRONLY, O_RDWR | O_CREAT, O_RDWR | O_CREAT | O_TRUNC, O_WRONLY | O_APPEND,
				    O_PATH, O_PATH | O_NOFOLLOW, O_RDONLY | O_DIRECTORY, O_RDWR | O_CREAT | O_EXCL};
	char p[64];
	int fd;

	if (rnd(20) == 0)
		fd = open(PICK(dirs)[0] ? "a" : ".", O_TMPFILE | O_RDWR, 0600);
	else
		fd = open(name(p), PICK(flags) | O_NONBLOCK, 0644);
	return fd;
}

static void use(int fd)
{
	struct iovec v[3] = {{data, rnd(4000)}, {data + 5000, rnd(40000)}, {data + 60000, rnd(100)}};
	char *m, text[4096];
	struct stat st;

	for (unsigned n = 1 + rnd(6); n; n--) {
		switch (rnd(18)) {
		case 0:
			pwritev(fd, v, 3, rnd(200000));
			break;
		case 1:
			preadv(fd, v, 3, rnd(200000));
			break;
		case 2:
			ftruncate(fd, rnd(300000));
			break;
		case 3:
			fallocate(fd, (int)rnd(4), rnd(100000), 1 + rnd(100000));
			break;
		case 4:
			m = mmap(NULL, 65536, rnd(2) ? PROT_READ : PROT_READ | PROT_WRITE, rnd(2) ? MAP_SHARED : MAP_PRIVATE, fd,
				 4096 * rnd(20));
			if (m == MAP_FAILED)
				break;
			if (fstat(fd, &st) == 0 && st.st_size > 200000)
				write(fd, m, 4096);
			if (rnd(2))
				msync(m, 65536, MS_SYNC);
			munmap(m, 65536);
			break;
		case 5:
			syscall(SYS_getdents64, fd, text, rnd(sizeof(text)));
			break;
		case 6:
			lseek(fd, rnd(1000), (int)rnd(5));
			break;
		case 7:
			fchmod(fd, rnd(010000));
			break;
		case 8:
			fchown(fd, rnd(3), rnd(3));
			break;
		case 9:
			fsetxattr(fd, rnd(2) ? "user.a" : "trusted.b", data, rnd(rnd(8) ? 50 : 20000), 0);
			break;
		case 10:
			fgetxattr(fd, "user.a", text, rnd(sizeof(text)));
			flistxattr(fd, text, rnd(sizeof(text)));
			break;
		case 11:
			flock(fd, (int)rnd(8) | LOCK_NB);
			break;
		case 12:
			fsync(fd);
			break;
		case 13:
			write(fd, data, rnd(rnd(2) ? SIZE : 100));
			break;
		case 14:
			read(fd, data, rnd(rnd(2) ? SIZE : 100));
			break;
		case 15:
			snprintf(text, sizeof(text), "/proc/self/fd/%d", fd);
			close(open(text, (int)rnd(3) | O_NONBLOCK));
			break;
		case 16:
			fchdir(rnd(10) ? -1 : fd);
			chdir("/tmp/w");
			break;
		case 17:
			linkat(fd, "", AT_FDCWD, "a/e", AT_EMPTY_PATH);
			break;
		}
	}
}

static void names(void)
{
	char p[64], q[64], text[4096];
	struct stat st;
	struct statfs sf;

	name(p);
	name(q);
	switch (rnd(16)) {
	case 0:
		mkdir(p, 0755);
		break;
	case 1:
	case 2:
		rename(p, q);
		break;
	case 3:
		syscall(SYS_renameat2, AT_FDCWD, p, AT_FDCWD, q, rnd(8));
		break;
	case 4:
		unlink(p);
		break;
	case 5:
		rmdir(p);
		break;
	case 6:
		link(p, q);
		break;
	case 7:
		symlink(rnd(3) ? q : "../l", p);
		break;
	case 8:
		mknod(p, (rnd(2) ? S_IFIFO : rnd(2) ? S_IFSOCK : S_IFCHR) | 0644, rnd(2) ? 0 : 0x103);
		break;
	case 9:
		stat(p, &st);
		lstat(q, &st);
		break;
	case 10:
		readlink(p, text, sizeof(text));
		break;
	case 11:
		access(p, (int)rnd(8));
		break;
	case 12:
		truncate(p, rnd(100000));
		break;
	case 13:
		chmod(p, rnd(010000));
		break;
	case 14:
		statfs(p, &sf);
		break;
	case 15: {
		struct sockaddr_un a = {.sun_family = AF_UNIX};
		int s = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);

		strcpy(a.sun_path, p);
		if (rnd(2))
			bind(s, (void *)&a, sizeof(a));
		else
			connect(s, (void *)&a, sizeof(a));
		close(s);
		break;
	}
	}
}

static void mounts(void)
{
	static const char *const lowers[] = {"lowerdir=low", "lowerdir=low:a", "lowerdir=low,upperdir=up/u,workdir=up/w",
					     "lowerdir=h,upperdir=up/u,workdir=up/w", "lowerdir=o", "lowerdir=b:low:m",
					     "lowerdir=/proc", "lowerdir"};
	char p[64], q[64], text[3000];
	int fd;

	name(p);
	name(q);
	switch (rnd(12)) {
	case 0:
		mount("none", p, "tmpfs", 0, rnd(2) ? "size=200k" : "mode=755");
		break;
	case 1:
		mount(p, q, NULL, MS_BIND | (rnd(2) ? MS_REC : 0), NULL);
		break;
	case 2:
		mount(p, q, NULL, MS_MOVE, NULL);
		break;
	case 3:
		mount("none", rnd(2) ? "o" : p, "overlay", 0, PICK(lowers));
		break;
	case 4:
		if (rnd(8) == 0)
			mount("none", p, rnd(2) ? "proc" : "sysfs", 0, NULL);
		break;
	case 5:
		mount(NULL, p, NULL, MS_REMOUNT | (rnd(4) ? 0 : MS_RDONLY), NULL);
		break;
	case 6:
	case 7:
	case 8:
		umount2(rnd(2) ? "o" : p, rnd(3) ? MNT_DETACH : 0);
		break;
	case 9:
		if (rnd(4) == 0)
			unshare(CLONE_NEWNS);
		break;
	case 10:
		fd = open(rnd(2) ? "/proc/self/mountinfo" : "/proc/self/maps", O_RDONLY);
		read(fd, text, sizeof(text));
		close(fd);
		break;
	case 11:
		syscall(SYS_pivot_root, p, q);
		break;
	}
}

static void watches(void)
{
	static __thread int in = -1;
	char p[64], text[2000];

	if (in < 0)
		in = inotify_init1(IN_NONBLOCK);
	if (rnd(2))
		inotify_add_watch(in, name(p), 1 + rnd(0x1000));
	if (rnd(2))
		read(in, text, sizeof(text));
	if (rnd(3) == 0)
		inotify_rm_watch(in, 1 + (int)rnd(20));
	if (rnd(10) == 0) {
		close(in);
		in = -1;
	}
}

/* A path of many short steps, gone down and removed from below. */
static void deep(void)
{
	unsigned n = rnd(300);

	for (unsigned i = 0; i < n; i++) {
		mkdir("z", 0755);
		if (chdir("z"))
			break;
	}
	for (unsigned i = 0; i < n; i++) {
		if (rnd(100) == 0 || chdir(".."))
			break;
		rmdir("z");
	}
	chdir("/tmp/w");
}

static void *run(void *arg)
{
	rnd_state = base_seed ^ (uint64_t)(uintptr_t)arg * 0x9e3779b97f4a7c15ULL;
	while (!stress_over()) {
		int fd;

		switch (rnd(10)) {
		case 0:
		case 1:
		case 2:
			fd = some_open();
			if (fd >= 0)
				use(fd);
			if (rnd(30))
				close(fd);
			break;
		case 3:
			mounts();
			break;
		case 4:
			watches();
			break;
		case 5:
			if (rnd(20) == 0)
				deep();
			break;
		default:
			names();
		}
		if (rnd(3000) == 0) {
			close_range(3, ~0u, 0);
			syscall(SYS_getcwd, (char[100]){0}, 100);
		}
	}
	return NULL;
}

static void process(unsigned n)
{
	pthread_t th;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	signal(SIGBUS, SIG_DFL);
	if (rnd(4) == 0 && unshare(CLONE_NEWNS) == 0)
		chroot(".");
	for (unsigned i = 1; i < THREADS; i++)
		pthread_create(&th, NULL, run, (void *)(uintptr_t)(n * 10 + i));
	run((void *)(uintptr_t)(n * 10));
	_exit(0);
}

/* argv[3]: a directory of the host. */
int main(int argc, char **argv)
{
	pid_t pid[PROCESSES] = {0};
	unsigned n = 0;

	base_seed = stress_begin(argc, argv);
	umask(0);
	mkdir("/tmp/w", 0755);
	if (chdir("/tmp/w"))
		return 1;
	for (const char *const *d = (const char *const[]){"a", "b", "m", "o", "up", "up/u", "up/w", "low", "low/a", "h", NULL}; *d; d++)
		mkdir(*d, 0755);
	symlink("a/c", "l");
	if (argc > 3 && mount(argv[3], "h", NULL, MS_BIND, NULL))
		perror(argv[3]);
	mount("none", "o", "overlay", 0, "lowerdir=low,upperdir=up/u,workdir=up/w");
	while (!stress_over()) {
		unsigned i = rnd(PROCESSES);

		if (pid[i] > 0) {
			kill(pid[i], SIGKILL);
			waitpid(pid[i], NULL, 0);
		}
		n++;
		pid[i] = fork();
		if (pid[i] == 0)
			process(n);
		usleep(1000 * rnd(600));
	}
	for (unsigned i = 0; i < PROCESSES; i++)
		if (pid[i] > 0)
			kill(pid[i], SIGKILL);
	while (wait(NULL) > 0)
		;
	printf("%u processes\n", n);
	return 0;
}
