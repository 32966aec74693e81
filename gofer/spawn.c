/* Starting the gofer's process.
 *
 * The process is made in new namespaces by clone itself, so that it is one process and not two (a
 * pid namespace begins with the child of who asks for it). Only the parent may map more than one id
 * into the child's user namespace: the child waits at a gate until that is done, and ends when the
 * parent does instead. Tiers, in this order:
 *	user, mount, pid, ipc namespaces
 *	the same without a user namespace, for root where those are forbidden
 *	none: Landlock and the filter alone (landlock.c) */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "abi/base/log.h"
#include "abi/base/process.h"
#include "gofer/gofer_impl.h"

#define NS_MOST (CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC)

static ssize_t read_file(const char *path, char *text, size_t size)
{
	AUTO(fd) int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, size - 1);

	if (n < 0)
		return -errno;
	text[n] = '\0';
	return n;
}

static int write_file(const char *path, const char *text, size_t n)
{
	AUTO(fd) int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, text, n) != (ssize_t)n)
		return -errno;
	return 0;
}

/* Every id that exists here, as itself: needs privilege here. The text of our own map names them. *several: more
 * than one. */
static int map_identity(pid_t pid, const char *kind, bool *several)
{
	char path[64], text[4096], out[4096], *p = text;
	unsigned long inside, outside, count;
	int used;
	size_t n = 0;

	snprintf(path, sizeof(path), "/proc/self/%s", kind);
	if (read_file(path, text, sizeof(text)) < 0)
		return -EIO;
	while (n + 64 < sizeof(out) && sscanf(p, "%lu %lu %lu%n", &inside, &outside, &count, &used) == 3) {
		*several = n || count > 1;
		n += (size_t)snprintf(out + n, sizeof(out) - n, "%lu %lu %lu\n", inside, inside,
		                      count);
		p += used;
	}
	snprintf(path, sizeof(path), "/proc/%d/%s", pid, kind);
	return write_file(path, out, n);
}

#define OVERFLOW_ID 65534u

static int map_one(pid_t pid, const char *kind, unsigned id)
{
	char path[64], text[64];
	/* What the kernel shows for ids that are not mapped must stay free for that. */
	unsigned inside = id == OVERFLOW_ID ? OVERFLOW_ID - 1 : id;
	int n = snprintf(text, sizeof(text), "%u %u 1\n", inside, id);

	snprintf(path, sizeof(path), "/proc/%d/%s", pid, kind);
	return write_file(path, text, (size_t)n);
}

/* *several: whether more than one id of a kind is mapped. */
static int map_ids(pid_t pid, bool *several)
{
	bool uids = false, gids = false;
	char path[64];
	int err;

	if (map_identity(pid, "uid_map", &uids) == 0) {
		err = map_identity(pid, "gid_map", &gids);
		*several = uids || gids;
		return err;
	}
	snprintf(path, sizeof(path), "/proc/%d/setgroups", pid);
	err = write_file(path, "deny", 4);
	if (!err)
		err = map_one(pid, "uid_map", geteuid());
	return err ? err : map_one(pid, "gid_map", getegid());
}

static int fd_cmp(const void *a, const void *b)
{
	return *(const int *)a - *(const int *)b;
}

/* Closes all but the exports', stderr and the log's. */
static int close_others(const struct gofer_config *cfg)
{
	size_t n = 0;
	unsigned from = 0;
	int *keep = malloc((2 * cfg->n + 3) * sizeof(*keep));

	if (!keep)
		return -ENOMEM;
	keep[n++] = STDERR_FILENO;
	if (log_get_fd() >= 0)
		keep[n++] = log_get_fd();
	for (size_t i = 0; i < cfg->n; i++) {
		keep[n++] = cfg->exports[i].fd;
		keep[n++] = cfg->exports[i].sock;
	}
	qsort(keep, n, sizeof(*keep), fd_cmp);
	for (size_t i = 0; i < n; i++) {
		if ((unsigned)keep[i] > from)
			close_range(from, (unsigned)keep[i] - 1, 0);
		from = (unsigned)keep[i] + 1;
	}
	close_range(from, ~0U, 0);
	free(keep);
	return 0;
}

static void reset_signals(void)
{
	sigset_t none;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	for (int s = 1; s < 32; s++)
		signal(s, SIG_DFL);
	/* The terminal's signals are for the launcher and the guest: the gofer ends when the
	 * sentry has. */
	signal(SIGINT, SIG_IGN);
	signal(SIGQUIT, SIG_IGN);
	signal(SIGTSTP, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
}

static _Noreturn void child_main(const struct gofer_config *cfg, struct gate *gate)
{
	int64_t tier;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	reset_signals();
	prctl(PR_SET_NAME, "gofer");
	/* After PR_SET_PDEATHSIG: it tells if the parent was gone before. */
	tier = gate_wait(gate);
	if (tier < 0 || close_others(cfg) < 0)
		_exit(1);
	confine_set_tier(tier == 'l' ? TIER_LANDLOCK : TIER_NAMESPACES, tier == 'o');
	_exit(gofer_serve(cfg));
}

/* One attempt with these namespaces. The child doesn't run on without our word. */
static int try_spawn(const struct gofer_config *cfg, unsigned long ns, char tier, pid_t *out)
{
	bool several = false;
	struct gate gate;
	int err = gate_init(&gate);
	pid_t pid;

	if (err)
		return err;
	pid = process_clone(ns);
	if (pid == 0)
		child_main(cfg, &gate);
	err = pid < 0 ? pid : 0;
	if (!err && (ns & CLONE_NEWUSER))
		err = map_ids(pid, &several);
	gate_open(&gate, err ? 0 : tier == 'u' && !several ? 'o' : (uint32_t)tier);
	if (err && pid > 0)
		waitpid(pid, NULL, 0);
	if (!err)
		*out = pid;
	return err;
}

int gofer_spawn(const struct gofer_config *cfg, pid_t *pid)
{
	unsigned long ns = NS_MOST | (cfg->own_net ? CLONE_NEWNET : 0);
	int err = -EPERM;

	if (cfg->confinement != GOFER_UNCONFINED) {
		err = try_spawn(cfg, ns | CLONE_NEWUSER, 'u', pid);
		if (err && geteuid() == 0)
			err = try_spawn(cfg, ns, 'n', pid);
	}
	if (err)
		err = try_spawn(cfg, 0, 'l', pid);
	for (size_t i = 0; i < cfg->n; i++) {
		close(cfg->exports[i].fd);
		close(cfg->exports[i].sock);
	}
	return err;
}
