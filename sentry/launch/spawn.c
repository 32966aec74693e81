#include "sentry/launch/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "abi/base/cleanup.h"
#include "abi/base/log.h"

/* What the helper tells the launcher. */
struct helper_report {
	int namespaces; /* got; -errno when it failed */
	pid_t pid;
};

static ssize_t pipe_read(int fd, void *buf, size_t n)
{
	ssize_t r;

	do
		r = read(fd, buf, n);
	while (r < 0 && errno == EINTR);
	return r;
}

/* Tiers: all; without a user namespace (root in a container); none. */
static int unshare_what_goes(int want)
{
	const int tiers[] = {want, want & ~CLONE_NEWUSER, 0};

	for (size_t i = 0; i < sizeof(tiers) / sizeof(tiers[0]); i++)
		if (unshare(tiers[i]) == 0)
			return tiers[i];
	return 0;
}

static int write_proc_file(pid_t pid, const char *name, const char *text)
{
	char path[64];
	AUTO(fd) int fd = -1;

	snprintf(path, sizeof(path), "/proc/%d/%s", pid, name);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0 || write(fd, text, strlen(text)) < 0)
		return -errno;
	return 0;
}

/* The launcher's ids may be mapped onto fewer than 2^32 host ids: map what it has itself. */
static int identity_map(const char *file, char *buf, size_t size)
{
	FILE *f = fopen(file, "re");
	unsigned inside, outside, count;
	size_t n = 0;

	if (!f)
		return -errno;
	while (n < size - 64 && fscanf(f, "%u %u %u", &inside, &outside, &count) == 3)
		n += (size_t)snprintf(buf + n, size - n, "%u %u %u\n", inside, inside, count);
	fclose(f);
	return n ? 0 : -EINVAL;
}

static int write_id_maps(pid_t pid, const struct spawn_spec *spec)
{
	char uids[1024], gids[1024];
	int r;

	if (spec->map_all) {
		r = identity_map("/proc/self/uid_map", uids, sizeof(uids));
		if (!r)
			r = identity_map("/proc/self/gid_map", gids, sizeof(gids));
		if (r)
			return r;
	} else {
		snprintf(uids, sizeof(uids), "0 %u 1\n", spec->host_uid);
		snprintf(gids, sizeof(gids), "0 %u 1\n", spec->host_gid);
	}
	r = write_proc_file(pid, "uid_map", uids);
	if (r)
		return r;
	if (geteuid() != 0) {
		r = write_proc_file(pid, "setgroups", "deny");
		if (r)
			return r;
	}
	return write_proc_file(pid, "gid_map", gids);
}

static void reset_signals(void)
{
	sigset_t none;

	for (int sig = 1; sig < NSIG; sig++)
		signal(sig, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

/* In the new process: waits until the launcher has adopted it, takes its ids, runs. */
static void run_process(const struct spawn_spec *spec, int go, int got, pid_t launcher)
{
	char c;

	if (pipe_read(go, &c, 1) != 1)
		_exit(125);
	close(go);
	reset_signals();
	if (got & CLONE_NEWUSER && !spec->map_all) {
		if (geteuid() != 0 || getegid() != 0) {
			(void)!setgroups(0, NULL);
			if (setresgid(0, 0, 0) || setresuid(0, 0, 0))
				_exit(125);
		}
	}
	/* The parent is checked after, in case it died before: with a pid namespace it shows as 0. */
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (!(got & CLONE_NEWPID) && getppid() != launcher)
		_exit(125);
	prctl(PR_SET_NAME, spec->name);
	_exit(spec->main(spec->arg, got));
}

/* In the helper process. Does not return. */
static void run_helper(const struct spawn_spec *spec, int report, int mapped, int go, pid_t launcher)
{
	struct helper_report rep = {0};
	char c;

	rep.namespaces = unshare_what_goes(spec->namespaces);
	if (write(report, &rep, sizeof(rep)) != sizeof(rep) || pipe_read(mapped, &c, 1) != 1)
		_exit(125);
	rep.pid = fork();
	if (rep.pid == 0) {
		close(report);
		close(mapped);
		run_process(spec, go, rep.namespaces, launcher);
	}
	if (rep.pid < 0)
		rep.pid = -errno;
	_exit(write(report, &rep, sizeof(rep)) == sizeof(rep) ? 0 : 125);
}

static pid_t adopt(const struct spawn_spec *spec, pid_t helper, int report, int mapped, int *got)
{
	struct helper_report rep;
	int r;

	if (pipe_read(report, &rep, sizeof(rep)) != sizeof(rep))
		return -EIO;
	*got = rep.namespaces;
	if (rep.namespaces & CLONE_NEWUSER) {
		r = write_id_maps(helper, spec);
		if (r)
			return r;
	}
	if (write(mapped, "m", 1) != 1 || pipe_read(report, &rep, sizeof(rep)) != sizeof(rep))
		return -EIO;
	return rep.pid;
}

pid_t spawn_process(const struct spawn_spec *spec, int *got)
{
	AUTO(fd) int report_r = -1;
	AUTO(fd) int report_w = -1;
	AUTO(fd) int map_r = -1;
	AUTO(fd) int map_w = -1;
	AUTO(fd) int go_r = -1;
	AUTO(fd) int go_w = -1;
	int p[2], status;
	pid_t helper, pid, launcher = getpid();

	prctl(PR_SET_CHILD_SUBREAPER, 1);
	if (pipe2(p, O_CLOEXEC))
		return -errno;
	report_r = p[0], report_w = p[1];
	if (pipe2(p, O_CLOEXEC))
		return -errno;
	map_r = p[0], map_w = p[1];
	if (pipe2(p, O_CLOEXEC))
		return -errno;
	go_r = p[0], go_w = p[1];

	fflush(NULL);
	helper = fork();
	if (helper < 0)
		return -errno;
	if (helper == 0) {
		close(steal_fd(&report_r));
		close(steal_fd(&map_w));
		close(steal_fd(&go_w));
		run_helper(spec, report_w, map_r, go_r, launcher);
	}
	close(steal_fd(&report_w));
	close(steal_fd(&map_r));
	close(steal_fd(&go_r));
	pid = adopt(spec, helper, report_r, map_w, got);
	if (pid < 0)
		close(steal_fd(&map_w)); /* the helper gives up */
	while (waitpid(helper, &status, 0) < 0 && errno == EINTR)
		;
	if (pid > 0 && write(go_w, "g", 1) != 1)
		pid = -EIO;
	return pid;
}
