/* More ways in which the results of calls with paths change, after these have been made often enough to be
 * remembered (path_answer_test.c has the common ones). */
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <linux/securebits.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <sys/fsuid.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/guest/check.h"

#define WARM 6

static void there(const char *path)
{
	struct stat st;

	for (int i = 0; i < WARM; i++) {
		CHECK_EQ(access(path, F_OK), 0);
		CHECK_EQ(lstat(path, &st), 0);
	}
}

static void gone(const char *path)
{
	struct stat st;

	for (int i = 0; i < WARM; i++) {
		CHECK_ERR(access(path, F_OK), ENOENT);
		CHECK_ERR(lstat(path, &st), ENOENT);
		CHECK_ERR(open(path, O_RDONLY), ENOENT);
	}
}

static void may(const char *path, int how, int err)
{
	for (int i = 0; i < WARM; i++) {
		if (err)
			CHECK_ERR(faccessat(AT_FDCWD, path, how, AT_EACCESS), err);
		else
			CHECK_EQ(faccessat(AT_FDCWD, path, how, AT_EACCESS), 0);
	}
}

static void make(const char *path, int mode)
{
	int fd = open(path, O_CREAT | O_WRONLY, mode);

	REQUIRE(fd >= 0);
	close(fd);
}

/* ---- names that come by other calls than open ----------------------------------------------------- */

static void test_sockets(void)
{
	struct sockaddr_un un = {.sun_family = AF_UNIX, .sun_path = "sock"};

	for (int i = 0; i < 5; i++) {
		int s = socket(AF_UNIX, SOCK_STREAM, 0);

		gone("sock");
		CHECK_EQ(bind(s, (struct sockaddr *)&un, sizeof(un)), 0);
		there("sock");
		close(s);
		there("sock");
		CHECK_EQ(unlink("sock"), 0);
	}
	gone("sock");
}

static void test_unnamed_files(void)
{
	char link[64];
	int fd = open(".", O_TMPFILE | O_RDWR, 0600);

	if (fd < 0)
		return;
	gone("named");
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	if (linkat(AT_FDCWD, link, AT_FDCWD, "named", AT_SYMLINK_FOLLOW) == 0) {
		there("named");
		CHECK_EQ(unlink("named"), 0);
	}
	gone("named");
	close(fd);
}

static void test_whiteouts(void)
{
	struct stat st;

	make("w", 0644);
	there("w");
	gone("x");
	if (syscall(SYS_renameat2, AT_FDCWD, "w", AT_FDCWD, "x", 4 /* RENAME_WHITEOUT */) == 0) {
		there("w");
		there("x");
		CHECK_EQ(lstat("w", &st), 0);
		CHECK(S_ISCHR(st.st_mode));
		unlink("w");
		CHECK_EQ(rename("x", "w"), 0);
	}
	gone("x");
	CHECK_EQ(unlink("w"), 0);
	gone("w");
}

/* By a descriptor or another name of the file. */
static void test_modes_by_other_ways(void)
{
	int fd;

	make("one", 0644);
	CHECK_EQ(link("one", "two"), 0);
	fd = open("one", O_RDONLY);
	for (int i = 0; i < 5; i++) {
		may("one", X_OK, EACCES);
		CHECK_EQ(fchmod(fd, 0755), 0);
		may("one", X_OK, 0);
		may("two", X_OK, 0);
		CHECK_EQ(chmod("two", 0644), 0);
		may("one", X_OK, EACCES);
	}
	close(fd);
	CHECK_EQ(unlink("two"), 0);
	CHECK_EQ(unlink("one"), 0);
}

/* The string that is asked about is where the result goes. */
static void test_result_over_the_path(void)
{
	union {
		char path[512];
		struct stat st;
	} u;
	struct stat want;

	CHECK_EQ(symlink("a-text-that-is-longer", "l"), 0);
	CHECK_EQ(stat("/proc/self/exe", &want), 0);
	CHECK_EQ(stat("/", &want), 0);
	for (int i = 0; i < WARM; i++) {
		strcpy(u.path, "/");
		CHECK_EQ(syscall(SYS_stat, u.path, &u.st), 0);
		CHECK_EQ(u.st.st_ino, want.st_ino);
		memset(u.path, 0, sizeof(u.path));
		strcpy(u.path, "l");
		CHECK_EQ(syscall(SYS_readlink, u.path, u.path, sizeof(u.path)), 21);
		CHECK(!strcmp(u.path, "a-text-that-is-longer"));
		strcpy(u.path + 1, "l");
		CHECK_EQ(syscall(SYS_readlink, u.path + 1, u.path, 5), 5);
		CHECK(!memcmp(u.path, "a-tex", 5));
	}
	CHECK_EQ(unlink("l"), 0);
}

/* ---- who asks ------------------------------------------------------------------------------------ */

static int caps_set(uint32_t effective_low)
{
	struct __user_cap_header_struct h = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct d[2];

	if (syscall(SYS_capget, &h, d))
		return -1;
	d[0].effective = effective_low & d[0].permitted;
	d[1].effective = 0;
	return (int)syscall(SYS_capset, &h, d);
}

static void capabilities(void)
{
	const uint32_t all = UINT32_MAX, none = 0;

	/* Root without capabilities, of somebody else's. */
	for (int i = 0; i < 5; i++) {
		may("private", R_OK, 0);
		CHECK_EQ(caps_set(none), 0);
		may("private", R_OK, EACCES);
		CHECK_EQ(access("private", R_OK), 0); /* the permitted ones count */
		CHECK_EQ(caps_set(all), 0);
	}
	for (int i = 0; i < 5; i++) {
		may("private", R_OK, 0);
		CHECK_EQ(setfsuid(1000), 0);
		may("private", R_OK, EACCES);
		CHECK_EQ(setfsuid(65534), 1000);
		may("private", R_OK, 0);
		CHECK_EQ(setfsuid(0), 65534);
	}
	for (int i = 0; i < WARM; i++)
		CHECK_EQ(access("private", R_OK), 0);
	CHECK_EQ(caps_set(1u << CAP_SETPCAP), 0);
	CHECK_EQ(prctl(PR_SET_SECUREBITS, 1 << SECURE_NO_SETUID_FIXUP), 0);
	for (int i = 0; i < WARM; i++)
		CHECK_ERR(access("private", R_OK), EACCES);
	CHECK_EQ(prctl(PR_SET_SECUREBITS, 0), 0);
	for (int i = 0; i < WARM; i++)
		CHECK_EQ(access("private", R_OK), 0);
}

static void groups(void)
{
	gid_t g = 4242;

	CHECK_EQ(chown("private", 65534, g), 0);
	CHECK_EQ(chmod("private", 0640), 0);
	CHECK_EQ(setgroups(1, &g), 0);
	CHECK_EQ(setresuid(1000, 1000, 0), 0);
	may("private", R_OK, 0);
	CHECK_EQ(setresuid(-1, 0, -1), 0);
	CHECK_EQ(setgroups(0, NULL), 0);
	CHECK_EQ(setresuid(-1, 1000, -1), 0);
	may("private", R_OK, EACCES);
}

static void test_who_asks(void)
{
	if (getuid())
		return;
	CHECK_EQ(chmod(".", 0755), 0);
	make("private", 0600);
	CHECK_EQ(chown("private", 65534, 65534), 0);
	check_in_child(capabilities);
	check_in_child(groups);
	unlink("private");
}

/* ---- where from ---------------------------------------------------------------------------------- */

static int moves(void *arg)
{
	return chdir(arg);
}

static char stack[1 << 16] __attribute__((aligned(16)));

static void test_places_of_children(void)
{
	int status;
	pid_t pid;

	mkdir("d", 0755);
	make("d/in-d", 0644);
	gone("in-d");
	pid = clone(moves, stack + sizeof(stack), SIGCHLD | CLONE_VM | CLONE_VFORK, "d");
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	CHECK_EQ(status, 0);
	gone("in-d");
	pid = clone(moves, stack + sizeof(stack), SIGCHLD | CLONE_FS, "d");
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	CHECK_EQ(status, 0);
	there("in-d");
	CHECK_EQ(chdir(".."), 0);
	gone("in-d");
	unlink("d/in-d");
	rmdir("d");
}

static void pivoted(void)
{
	if (unshare(CLONE_NEWNS) || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL))
		return;
	mkdir("new", 0755);
	if (mount("none", "new", "tmpfs", 0, NULL))
		return;
	make("new/only-here", 0644);
	mkdir("new/old", 0755);
	gone("/only-here");
	CHECK_EQ(chdir("new"), 0);
	there("only-here");
	if (syscall(SYS_pivot_root, ".", "old"))
		return;
	there("/only-here");
	there("/old");
	there("only-here");
	there("../only-here");
	CHECK_EQ(umount2("/old", MNT_DETACH), 0);
	there("/old");
	gone("/old/proc");
}

static void test_pivot(void)
{
	if (getuid())
		return;
	check_in_child(pivoted);
	rmdir("new");
}

/* ---- those that watch calls ---------------------------------------------------------------------- */

static struct {
	atomic_int asking, stop, filtered;
} *shared;

static int filter_all(void)
{
	struct sock_filter f[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_access, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EXDEV),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog prog = {sizeof(f) / sizeof(f[0]), f};

	CHECK_EQ(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
	return (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &prog);
}

static void *asks(void *arg)
{
	(void)arg;
	for (;;) {
		int after = atomic_load(&shared->filtered);
		long r = syscall(SYS_access, "/", F_OK);

		atomic_fetch_add(&shared->asking, 1);
		if (after) {
			CHECK_EQ(r, -1);
			return NULL;
		}
	}
}

static void asked_await(int n)
{
	while (atomic_load(&shared->asking) < n)
		usleep(100);
}

static void filtered_by_another(void)
{
	pthread_t th;

	atomic_store(&shared->asking, 0);
	atomic_store(&shared->filtered, 0);
	REQUIRE(pthread_create(&th, NULL, asks, NULL) == 0);
	asked_await(100);
	CHECK_EQ(filter_all(), 0);
	atomic_store(&shared->filtered, 1);
	pthread_join(th, NULL);
}

/* A tracer that comes while calls are being made sees all that follow. */
static void test_seized(void)
{
	int status, stops = 0;
	pid_t pid;

	atomic_store(&shared->asking, 0);
	pid = fork();
	if (pid == 0) {
		for (;;) {
			syscall(SYS_access, "/", F_OK);
			atomic_fetch_add(&shared->asking, 1);
		}
	}
	asked_await(100);
	if (ptrace(PTRACE_SEIZE, pid, NULL, NULL) == 0) {
		CHECK_EQ(ptrace(PTRACE_INTERRUPT, pid, NULL, NULL), 0);
		CHECK_EQ(waitpid(pid, &status, 0), pid);
		CHECK(WIFSTOPPED(status));
		for (int i = 0; i < 20; i++) {
			int before = atomic_load(&shared->asking);

			CHECK_EQ(ptrace(PTRACE_SYSCALL, pid, NULL, NULL), 0);
			CHECK_EQ(waitpid(pid, &status, 0), pid);
			stops += WIFSTOPPED(status);
			CHECK(atomic_load(&shared->asking) <= before + 1);
		}
		CHECK_EQ(stops, 20);
		CHECK_EQ(ptrace(PTRACE_DETACH, pid, NULL, NULL), 0);
		asked_await(atomic_load(&shared->asking) + 100);
	}
	kill(pid, SIGKILL);
	CHECK_EQ(waitpid(pid, &status, 0), pid);
}

int main(void)
{
	char dir[] = "/tmp/path-change-XXXXXX", start[PATH_MAX];
	const char *places[] = {".", dir};

	shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	REQUIRE(shared != MAP_FAILED);
	REQUIRE(getcwd(start, sizeof(start)));
	REQUIRE(mkdtemp(dir));
	for (int i = 0; i < 2; i++) {
		CHECK_EQ(chdir(places[i]), 0);
		test_sockets();
		test_unnamed_files();
		test_whiteouts();
		test_modes_by_other_ways();
		test_result_over_the_path();
		test_who_asks();
		test_places_of_children();
		test_pivot();
	}
	for (int i = 0; i < 5; i++) {
		check_in_child(filtered_by_another);
		test_seized();
	}
	CHECK_EQ(chdir(start), 0);
	CHECK_EQ(rmdir(dir), 0);
	return check_status();
}
