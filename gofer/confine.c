/* What the gofer gives up before it serves.
 *
 * Namespaces: the process was cloned into them (spawn.c). Here it gets its root: a small read-only
 * tmpfs with one directory (or file) for each export, where the exported tree is bound,
 * recursively. The exports' descriptors came from outside and know the host's whole tree through
 * ".."; they are replaced by ones of the bound trees, above which there is nothing but that tmpfs.
 * Its /proc/self/fd, which is the way to open fids (host.c), becomes one of a proc of the gofer's
 * own pid namespace, where a broken-into gofer finds no process but itself; where the host forbids
 * such a mount, it stays the one of before.
 *
 * Owners: a user namespace of an ordinary user maps one id, and shows all others as the overflow
 * id. Nearly all of them are root's in truth (/usr, /etc), so that is what the guest is told.
 *
 * Capabilities: those that file access needs, and for a namespace of one id none: what the user may
 * not read, the gofer may not either. Then no_new_privs, and the filter (filter.c) when the threads
 * have started. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/capability.h>
#include <linux/mount.h>
#include <linux/securebits.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "abi/base/log.h"
#include "gofer/gofer_impl.h"

static enum gofer_tier tier = TIER_LANDLOCK;
static bool may_map_one_id;

void confine_set_tier(enum gofer_tier t, bool one_id)
{
	tier = t;
	may_map_one_id = one_id;
}

static const char *fd_text(int fd, char buf[32])
{
	snprintf(buf, 32, "/proc/self/fd/%d", fd);
	return buf;
}

/* Where the new root is mounted on, for a moment: any directory will do that exists. */
static const char *stage_dir(void)
{
	static const char *const dirs[] = {"/tmp", "/run", "/mnt", "/dev", "/proc"};

	for (size_t i = 0; i < sizeof(dirs) / sizeof(*dirs); i++)
		if (access(dirs[i], F_OK) == 0)
			return dirs[i];
	return "/";
}

static int make_mount_point(const char *at, uint32_t mode)
{
	int fd;

	if (S_ISDIR(mode))
		return mkdir(at, 0755) < 0 ? -errno : 0;
	fd = open(at, O_CREAT | O_EXCL | O_CLOEXEC | O_WRONLY, 0644);
	if (fd < 0)
		return -errno;
	close(fd);
	return 0;
}

/* Second line of defence behind the export's flags. */
static void restrict_mount(const char *at, uint32_t flags)
{
	struct mount_attr attr = {.attr_set = MOUNT_ATTR_NOSUID};

	if (flags & GOFER_READONLY)
		attr.attr_set |= MOUNT_ATTR_RDONLY;
	if (!(flags & GOFER_DEVICES))
		attr.attr_set |= MOUNT_ATTR_NODEV;
	if (syscall(SYS_mount_setattr, AT_FDCWD, at, AT_RECURSIVE | AT_SYMLINK_NOFOLLOW, &attr,
	            sizeof(attr)) < 0)
		log_debug("mount_setattr %s: %s", at, strerror(errno)); /* Linux before 5.12 */
}

/* Binds the tree of e at `at` by its path (a descriptor of another mount namespace can't be bound).
 * The old root is at /old. */
static int bind_export(struct gofer_export *e, const char *path, const char *at, bool *bound)
{
	char old[PATH_MAX + 8];
	struct stat want, st;
	int err;

	*bound = false;
	if (fstat(e->fd, &want) < 0)
		return -errno;
	err = make_mount_point(at, want.st_mode);
	if (err)
		return err;
	snprintf(old, sizeof(old), "/old%s", path);
	if (mount(old, at, NULL, MS_BIND | MS_REC, NULL) < 0) {
		log_debug("%s: cannot bind: %s", path, strerror(errno));
		return 0;
	}
	*bound = stat(at, &st) == 0 && st.st_dev == want.st_dev && st.st_ino == want.st_ino;
	if (*bound)
		restrict_mount(at, e->flags);
	else
		umount2(at, MNT_DETACH);
	return 0;
}

static int replace_fd(int fd, const char *path)
{
	int n = open(path, O_PATH | O_NOFOLLOW | O_CLOEXEC), err = 0;

	if (n < 0)
		return -errno;
	if (dup3(n, fd, O_CLOEXEC) < 0)
		err = -errno;
	close(n);
	return err;
}

/* A proc that shows nobody but us. It lies in the old root and is detached with it: each umount waits
 * until nobody can be looking. */
static void private_proc(void)
{
	if (mount("proc", "/old/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC,
	          "subset=pid,hidepid=2") < 0 ||
	    host_init("/old/proc/self/fd") < 0)
		log_debug("no proc of its own: %s", strerror(errno));
}

/* The tmpfs becomes the root, with the old one at /old. */
static int stage_root(void)
{
	const char *stage = stage_dir();

	if (mount("", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount("gofer", stage, "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=755,size=64k") <
	        0 ||
	    chdir(stage) < 0 || mkdir("old", 0755) < 0 || syscall(SYS_pivot_root, ".", "old") < 0 ||
	    chdir("/") < 0)
		return -errno;
	return 0;
}

static int enter_root(const struct gofer_config *cfg)
{
	char(*paths)[PATH_MAX] = calloc(cfg->n, PATH_MAX), at[32];
	bool bound;
	int err;

	if (!paths)
		return -ENOMEM;
	for (size_t i = 0; i < cfg->n; i++)
		if (readlink(fd_text(cfg->exports[i].fd, at), paths[i], PATH_MAX - 1) < 0)
			paths[i][0] = 0;
	err = stage_root();
	for (size_t i = 0; i < cfg->n && !err; i++) {
		struct gofer_export *e = &cfg->exports[i];

		snprintf(at, sizeof(at), "/%zu", i);
		err = bind_export(e, paths[i], at, &bound);
		if (!err && bound)
			err = replace_fd(e->fd, at);
		else if (!err)
			log_warn("%s: served from outside the gofer's root",
			         e->name ? e->name : "?");
	}
	free(paths);
	if (err)
		return err;
	private_proc();
	if (umount2("/old", MNT_DETACH) < 0 ||
	    mount(NULL, "/", NULL,
	          MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) < 0)
		return -errno;
	return fchdir(host_proc_fd()) < 0 ? -errno : 0;
}

static uint32_t read_id(const char *path)
{
	unsigned id = 65534;
	FILE *f = fopen(path, "re");

	if (f) {
		if (fscanf(f, "%u", &id) != 1)
			id = 65534;
		fclose(f);
	}
	return id;
}

/* The id of its kind ("uid") that the namespace maps, if it is just one. */
static bool maps_one_id(const char *kind, struct host_id_map *m)
{
	unsigned inside, outside, count = 0;
	char path[32];
	FILE *f;
	int n = 0;

	snprintf(path, sizeof(path), "/proc/self/%s_map", kind);
	f = fopen(path, "re");
	if (!f)
		return false;
	if (fscanf(f, "%u %u %u", &m->inside, &m->outside, &count) == 3)
		n = fscanf(f, "%u %u", &inside, &outside);
	fclose(f);
	snprintf(path, sizeof(path), "/proc/sys/kernel/overflow%s", kind);
	m->overflow = read_id(path);
	return count == 1 && n < 1;
}

static uint64_t wanted_caps(const struct gofer_config *cfg, bool one_id)
{
	uint64_t caps = 0;

	if (one_id)
		return 0;
#define CAP(c) (1ULL << (c))
	caps = CAP(CAP_DAC_READ_SEARCH) | CAP(CAP_DAC_OVERRIDE);
	for (size_t i = 0; i < cfg->n; i++) {
		if (!(cfg->exports[i].flags & GOFER_READONLY))
			caps |=
			    CAP(CAP_CHOWN) | CAP(CAP_FOWNER) | CAP(CAP_FSETID) | CAP(CAP_SETFCAP);
		if (cfg->exports[i].flags & GOFER_DEVICES)
			caps |= CAP(CAP_MKNOD);
	}
#undef CAP
	return caps;
}

static int drop_caps(uint64_t keep)
{
	struct __user_cap_header_struct head = {_LINUX_CAPABILITY_VERSION_3, 0};
	struct __user_cap_data_struct data[2];

	if (syscall(SYS_capget, &head, data) < 0)
		return -errno;
	/* No exec gives one back, with no_new_privs: the bounding set can stay. */
	prctl(PR_SET_SECUREBITS, SECBIT_NOROOT | SECBIT_NOROOT_LOCKED, 0, 0, 0);
	for (int i = 0; i < 2; i++) {
		uint32_t k = (uint32_t)(keep >> (32 * i)) & data[i].permitted;

		data[i].permitted = data[i].effective = k;
		data[i].inheritable = 0;
	}
	return syscall(SYS_capset, &head, data) < 0 ? -errno : 0;
}

int confine_enter(const struct gofer_config *cfg)
{
	struct host_id_map uid, gid;
	bool one_id = may_map_one_id && maps_one_id("uid", &uid) && maps_one_id("gid", &gid);
	int err = -EPERM;

	if (one_id)
		host_set_ids(&uid, &gid);
	if (tier == TIER_NAMESPACES) {
		err = enter_root(cfg);
		if (err)
			log_info("no root of its own: %s", strerror(-err));
	}
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return -errno;
	if (err) {
		err = confine_landlock(cfg);
		if (err)
			log_warn("neither namespaces nor Landlock here (%s): only the filter "
			         "confines it",
			         strerror(-err));
		else
			log_info("no namespaces here: confined by Landlock and the filter");
	}
	err = drop_caps(wanted_caps(cfg, one_id));
	if (err)
		return err;
	return prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0 ? -errno : 0;
}
