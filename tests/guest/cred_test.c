/* User and group ids, capabilities, securebits. Parts need root. */
#include <grp.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <sys/fsuid.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <fcntl.h>
#include <unistd.h>

#include "check.h"

struct caps {
	unsigned long eff, perm, inh;
};

static struct caps caps_get(void)
{
	struct __user_cap_header_struct h = {_LINUX_CAPABILITY_VERSION_3, 0};
	struct __user_cap_data_struct d[2];

	CHECK(syscall(SYS_capget, &h, d) == 0);
	return (struct caps){d[0].effective | (unsigned long)d[1].effective << 32,
			     d[0].permitted | (unsigned long)d[1].permitted << 32,
			     d[0].inheritable | (unsigned long)d[1].inheritable << 32};
}

static int caps_set(struct caps c)
{
	struct __user_cap_header_struct h = {_LINUX_CAPABILITY_VERSION_3, 0};
	struct __user_cap_data_struct d[2] = {
		{(unsigned)c.eff, (unsigned)c.perm, (unsigned)c.inh},
		{(unsigned)(c.eff >> 32), (unsigned)(c.perm >> 32), (unsigned)(c.inh >> 32)}};

	return (int)syscall(SYS_capset, &h, d);
}

static void ids_are(unsigned r, unsigned e, unsigned s)
{
	uid_t a, b, c;

	CHECK(getresuid(&a, &b, &c) == 0);
	CHECK_EQ(a, r);
	CHECK_EQ(b, e);
	CHECK_EQ(c, s);
}

/* Raw calls: the C library's change all threads. */
#define SETUID(u) syscall(SYS_setuid, u)
#define SETREUID(r, e) syscall(SYS_setreuid, r, e)
#define SETRESUID(r, e, s) syscall(SYS_setresuid, r, e, s)

static void in_child(void (*fn)(void))
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		check_failures = 0;
		fn();
		_exit(check_status());
	}
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	CHECK_EQ(status, 0);
}

static void as_user(void)
{
	CHECK_ERR(SETUID(getuid() + 1), EPERM);
	CHECK_ERR(SETRESUID(-1, getuid() + 1, -1), EPERM);
	CHECK_ERR(SETREUID(-1, getuid() + 1), EPERM);
	CHECK(SETUID(getuid()) == 0);
	CHECK_ERR(setgroups(0, NULL), EPERM);
	CHECK_EQ(setfsuid(getuid() + 1), getuid());
	CHECK_EQ(setfsuid((uid_t)-1), getuid());
	CHECK_ERR(syscall(SYS_setuid, -1), EINVAL);
	CHECK_ERR(prctl(PR_CAPBSET_DROP, CAP_KILL), EPERM);
	CHECK_ERR(prctl(PR_SET_SECUREBITS, 0), EPERM);
}

static void setuid_root(void)
{
	struct caps c;

	CHECK(SETUID(1000) == 0);
	ids_are(1000, 1000, 1000);
	c = caps_get();
	CHECK_EQ(c.eff, 0);
	CHECK_EQ(c.perm, 0);
	CHECK_EQ(prctl(PR_GET_DUMPABLE), 0);
	CHECK_ERR(SETUID(0), EPERM);
	as_user();
}

static void seteuid_root(void)
{
	struct caps before = caps_get(), c;

	CHECK(SETRESUID(-1, 1000, -1) == 0);
	ids_are(0, 1000, 0);
	c = caps_get();
	CHECK_EQ(c.eff, 0);
	CHECK_EQ(c.perm, before.perm);
	CHECK(SETRESUID(-1, 0, -1) == 0);
	CHECK_EQ(caps_get().eff, before.perm);
	CHECK(SETREUID(1000, 1001) == 0);
	ids_are(1000, 1001, 1001);
	CHECK(SETREUID(1001, 1000) == 0);
	ids_are(1001, 1000, 1000);
}

static void keepcaps(void)
{
	struct caps c;

	CHECK(prctl(PR_SET_KEEPCAPS, 1) == 0);
	CHECK_EQ(prctl(PR_GET_KEEPCAPS), 1);
	CHECK(SETUID(1000) == 0);
	c = caps_get();
	CHECK_EQ(c.eff, 0);
	CHECK(c.perm != 0);
	c.eff = c.perm;
	CHECK(caps_set(c) == 0);
	CHECK(SETUID(0) == 0);
	CHECK_ERR(prctl(PR_SET_KEEPCAPS, 2), EINVAL);
}

static void groups(void)
{
	gid_t list[4] = {30, 10, 20, 10}, got[8];

	CHECK(setgroups(4, list) == 0);
	CHECK_EQ(getgroups(0, NULL), 4);
	CHECK_ERR(getgroups(2, got), EINVAL);
	CHECK_EQ(getgroups(8, got), 4);
	CHECK(got[0] == 10 && got[1] == 10 && got[2] == 20 && got[3] == 30);
	CHECK_ERR(syscall(SYS_getgroups, -1, got), EINVAL);
	CHECK_ERR(setgroups(70000, got), EINVAL);
	CHECK(setgroups(0, NULL) == 0);
	CHECK_EQ(getgroups(0, NULL), 0);
	CHECK(syscall(SYS_setresgid, 5, 6, 7) == 0);
	CHECK(getgid() == 5 && getegid() == 6);
	CHECK(syscall(SYS_setregid, -1, 5) == 0);
	CHECK_EQ(getegid(), 5);
}

static void fsuid(void)
{
	unsigned long all = caps_get().eff;

	CHECK_EQ(setfsuid(1000), 0);
	CHECK_EQ(setfsuid((uid_t)-1), 1000);
	CHECK(!(caps_get().eff & 1UL << CAP_DAC_OVERRIDE));
	CHECK(caps_get().eff & 1UL << CAP_KILL);
	CHECK_EQ(setfsuid(0), 1000);
	CHECK_EQ(caps_get().eff, all);
}

static void bounding(void)
{
	struct caps c = caps_get();

	CHECK_EQ(prctl(PR_CAPBSET_READ, CAP_KILL), 1);
	CHECK(prctl(PR_CAPBSET_DROP, CAP_KILL) == 0);
	CHECK_EQ(prctl(PR_CAPBSET_READ, CAP_KILL), 0);
	CHECK_ERR(prctl(PR_CAPBSET_READ, 70), EINVAL);
	CHECK_ERR(prctl(PR_CAPBSET_DROP, 70), EINVAL);
	CHECK(caps_get().perm & 1UL << CAP_KILL);
	c.eff &= ~(1UL << CAP_KILL);
	c.perm &= ~(1UL << CAP_KILL);
	CHECK(caps_set(c) == 0);
	c.perm |= 1UL << CAP_KILL;
	CHECK_ERR(caps_set(c), EPERM);
	c = caps_get();
	c.eff |= 1UL << CAP_KILL;
	CHECK_ERR(caps_set(c), EPERM);
	c = caps_get();
	c.inh |= 1UL << CAP_KILL;
	CHECK_ERR(caps_set(c), EPERM);
}

static void ambient(void)
{
	struct caps c = caps_get();

	CHECK_ERR(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_KILL, 0, 0), EPERM);
	c.inh |= 1UL << CAP_KILL;
	CHECK(caps_set(c) == 0);
	CHECK(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_KILL, 0, 0) == 0);
	CHECK_EQ(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, CAP_KILL, 0, 0), 1);
	CHECK(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) == 0);
	CHECK_EQ(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, CAP_KILL, 0, 0), 0);
	CHECK_ERR(prctl(PR_CAP_AMBIENT, 9, CAP_KILL, 0, 0), EINVAL);
}

static void securebits(void)
{
	CHECK(prctl(PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP | SECBIT_NO_SETUID_FIXUP_LOCKED) == 0);
	CHECK_EQ(prctl(PR_GET_SECUREBITS), SECBIT_NO_SETUID_FIXUP | SECBIT_NO_SETUID_FIXUP_LOCKED);
	CHECK_ERR(prctl(PR_SET_SECUREBITS, 0), EPERM);
	CHECK(SETUID(1000) == 0);
	CHECK(caps_get().eff != 0);
}

static void capget_versions(void)
{
	struct __user_cap_header_struct h = {0x1234, 0};
	struct __user_cap_data_struct d[2];

	CHECK_ERR(syscall(SYS_capget, &h, d), EINVAL);
	CHECK_EQ(h.version, _LINUX_CAPABILITY_VERSION_3);
	h.version = 0;
	CHECK(syscall(SYS_capget, &h, NULL) == 0);
	CHECK_EQ(h.version, _LINUX_CAPABILITY_VERSION_3);
	h.pid = 0x7ffffff;
	CHECK_ERR(syscall(SYS_capget, &h, d), ESRCH);
	h.pid = -1;
	CHECK_ERR(syscall(SYS_capget, &h, d), EINVAL);
}

/* ---- set-user-ID programs ------------------------------------------------------------------- */

static void copy_self(const char *to, mode_t mode)
{
	char buf[65536];
	int in = open("/proc/self/exe", O_RDONLY), out = open(to, O_CREAT | O_TRUNC | O_WRONLY, 0700);
	ssize_t n;

	REQUIRE(in >= 0 && out >= 0);
	while ((n = read(in, buf, sizeof(buf))) > 0)
		REQUIRE(write(out, buf, (size_t)n) == n);
	close(in);
	REQUIRE(fchown(out, 1234, 4321) == 0);
	REQUIRE(fchmod(out, mode) == 0);
	close(out);
}

static int exec_self(const char *prog, const char *what)
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		execl(prog, prog, what, NULL);
		_exit(98);
	}
	waitpid(pid, &status, 0);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + status;
}

static void suid_exec(void)
{
	copy_self("suid_program", 06755);
	CHECK_EQ(exec_self("./suid_program", "suid"), 0);
	CHECK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
	CHECK_EQ(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0), 1);
	CHECK_EQ(exec_self("./suid_program", "nosuid"), 0);
	unlink("suid_program");
}

/* Root's capabilities come back with exec, an ordinary user's are lost but for ambient ones. */
static void exec_caps(void)
{
	struct caps c = caps_get();

	CHECK_EQ(exec_self("/proc/self/exe", "caps"), 0);
	c.inh = 1UL << CAP_KILL;
	CHECK(caps_set(c) == 0);
	CHECK(prctl(PR_SET_SECUREBITS, SECBIT_KEEP_CAPS) == 0);
	CHECK(SETRESUID(1000, 1000, 1000) == 0);
	CHECK_EQ(exec_self("/proc/self/exe", "nocaps"), 0);
	CHECK(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_KILL, 0, 0) == 0);
	CHECK_EQ(exec_self("/proc/self/exe", "killcap"), 0);
}

static int other_side(const char *what)
{
	struct caps c = caps_get();

	if (strcmp(what, "suid") == 0) {
		CHECK_EQ(getuid(), 0);
		CHECK_EQ(geteuid(), 1234);
		CHECK_EQ(getegid(), 4321);
		CHECK_EQ(prctl(PR_GET_DUMPABLE), 0);
		CHECK_EQ(c.eff, 0);
	} else if (strcmp(what, "nosuid") == 0) {
		CHECK_EQ(geteuid(), 0);
		CHECK_EQ(getegid(), getgid());
	} else if (strcmp(what, "caps") == 0) {
		CHECK(c.eff != 0);
	} else if (strcmp(what, "nocaps") == 0) {
		CHECK_EQ(c.eff, 0);
		CHECK_EQ(c.perm, 0);
	} else if (strcmp(what, "killcap") == 0) {
		CHECK_EQ(c.eff, 1UL << CAP_KILL);
		CHECK_EQ(c.perm, 1UL << CAP_KILL);
	}
	return check_status();
}

int main(int argc, char **argv)
{
	if (argc > 1)
		return other_side(argv[1]);
	in_child(capget_versions);
	if (getuid() != 0) {
		in_child(as_user);
		return check_status();
	}
	in_child(setuid_root);
	in_child(seteuid_root);
	in_child(keepcaps);
	in_child(groups);
	in_child(fsuid);
	in_child(bounding);
	in_child(ambient);
	in_child(securebits);
	in_child(suid_exec);
	in_child(exec_caps);
	return check_status();
}
