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
#include <sys/wait.h>
#include <unistd.h>

#include "abi/base/cleanup.h"
#include "abi/base/process.h"

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

static int write_id_maps(pid_t pid, const struct spawn_spec *spec)
{
	char uids[32], gids[32];
	int r;

	snprintf(uids, sizeof(uids), "0 %u 1\n", spec->host_uid);
	snprintf(gids, sizeof(gids), "0 %u 1\n", spec->host_gid);
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

	for (int sig = 1; sig < 32; sig++)
		signal(sig, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

/* In the new process: waits until its ids are mapped, takes them, runs. */
static _Noreturn void run_process(const struct spawn_spec *spec, struct gate *gate, int got, pid_t launcher)
{
	reset_signals();
	if (gate_wait(gate) < 0)
		_exit(125);
	if (got & CLONE_NEWUSER && (geteuid() != 0 || getegid() != 0)) {
		(void)!setgroups(0, NULL);
		if (setresgid(0, 0, 0) || setresuid(0, 0, 0))
			_exit(125);
	}
	/* The parent is checked after, in case it died before: with a pid namespace it shows as 0. */
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (!(got & CLONE_NEWPID) && getppid() != launcher)
		_exit(125);
	prctl(PR_SET_NAME, spec->name);
	_exit(spec->main(spec->arg, got));
}

/* One attempt with these namespaces. A process that is not told to go ends. */
static pid_t try_spawn(const struct spawn_spec *spec, int namespaces)
{
	pid_t pid, launcher = getpid();
	struct gate gate;
	int r = gate_init(&gate);

	if (r)
		return r;
	pid = process_clone((unsigned)namespaces);
	if (pid == 0)
		run_process(spec, &gate, namespaces, launcher);
	if (pid > 0)
		gate_place(&gate, pid);
	if (pid > 0 && namespaces & CLONE_NEWUSER)
		r = write_id_maps(pid, spec);
	gate_open(&gate, pid > 0 && !r);
	if (!r)
		return pid;
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
	return r;
}

/* Tiers: all; without a user namespace (root in a container); none. */
pid_t spawn_process(const struct spawn_spec *spec, int *got)
{
	const int tiers[] = {spec->namespaces, spec->namespaces & ~CLONE_NEWUSER, 0};
	pid_t pid = -EINVAL;

	/* Where there is no pid namespace, stubs that outlive their sentry for a moment are waited for, too. */
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	fflush(NULL);
	for (size_t i = 0; i < sizeof(tiers) / sizeof(tiers[0]); i++) {
		pid = try_spawn(spec, tiers[i]);
		if (pid > 0) {
			*got = tiers[i];
			break;
		}
	}
	return pid;
}
