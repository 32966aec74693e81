/* From a fork of the launcher to a confined sentry: a root directory of its own that holds nothing but a
 * /proc of its pid namespace, no descriptors but those it needs, no capabilities, a filter on its calls. */
#include "sentry/launch/sentry_main.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "abi/base/cleanup.h"
#include "abi/base/log.h"
#include "sentry/cli/exec_options.h"
#include "sentry/launch/confine.h"
#include "sentry/launch/control.h"
#include "sentry/launch/crash.h"

/* A tmpfs with a /proc in it becomes the root; the old one is still there, but for paths. */
static int enter_own_root(void)
{
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
	    mount("sentry", "/proc", "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "size=64k,mode=755"))
		return -errno;
	if (chdir("/proc") || mkdir("proc", 0555))
		return -errno;
	/* subset=pid needs Linux 5.8. Where /proc is masked no new one may be mounted: do without. */
	if (mount("proc", "proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, "subset=pid"))
		log_info("no /proc for the sandbox: %s", strerror(errno));
	return syscall(SYS_pivot_root, ".", ".") ? -errno : 0;
}

/* Takes its time: the host's kernel waits until nobody can be looking at the old mounts. */
static int leave_old_root(void)
{
	if (umount2(".", MNT_DETACH) || chdir("/"))
		return -errno;
	if (mount(NULL, "/", NULL, MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV, NULL))
		return -errno;
	return 0;
}

/* The sentry's memory holds the guest's: no dump of it. */
static void no_core(void)
{
	setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
}

static int compare_fd(const void *a, const void *b)
{
	return *(const int *)a - *(const int *)b;
}

/* Closes all descriptors but those the configuration names. */
static void close_others(const struct sentry_start *s)
{
	AUTO(free) int *keep = calloc(s->boot.nnodes + 8, sizeof(*keep));
	size_t n = 0;
	int next = 0;

	if (!keep)
		abort();
	for (int i = 0; i < 3; i++)
		keep[n++] = s->boot.stdio[i];
	keep[n++] = s->log_fd;
	keep[n++] = s->boot.strace_fd;
	keep[n++] = s->boot.control_fd;
	for (size_t i = 0; i < s->boot.nnodes; i++)
		keep[n++] = s->boot.nodes[i].sock;
	qsort(keep, n, sizeof(keep[0]), compare_fd);
	for (size_t i = 0; i < n; i++) {
		if (keep[i] < next)
			continue;
		if (keep[i] > next)
			close_range((unsigned)next, (unsigned)keep[i] - 1, 0);
		next = keep[i] + 1;
	}
	close_range((unsigned)next, ~0u, 0);
}

/* 0, 1 and 2 stay open, so that nothing else gets these numbers. */
static void move_stdio(struct boot_config *b)
{
	for (int i = 0; i < 3; i++) {
		if (b->stdio[i] < 0)
			continue;
		b->stdio[i] = fcntl(b->stdio[i], F_DUPFD_CLOEXEC, 3);
	}
}

static void ignore_signals(void)
{
	/* The terminal sends these to its whole foreground group, which we are in; what they mean for the guest
	 * is the launcher's to say. */
	static const int ignored[] = {SIGINT,  SIGQUIT, SIGTSTP, SIGTTIN, SIGTTOU, SIGHUP,
				      SIGTERM, SIGPIPE, SIGUSR1, SIGUSR2, SIGWINCH, SIGALRM};

	for (size_t i = 0; i < sizeof(ignored) / sizeof(ignored[0]); i++)
		signal(ignored[i], SIG_IGN);
}

static int give_up_root(void)
{
	(void)!setgroups(0, NULL);
	if (setresgid(65534, 65534, 65534) || setresuid(65534, 65534, 65534))
		return -errno;
	prctl(PR_SET_DUMPABLE, 1);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	return 0;
}

static bool own_root(int (*step)(void))
{
	int r = step();

	if (r)
		log_warn("no root directory of its own: %s", strerror(-r));
	return r == 0;
}

static void limit_reach(const struct boot_config *b)
{
	int r = confine_reach(b->stdio, sizeof(b->stdio) / sizeof(b->stdio[0]));

	if (r)
		log_warn("Landlock does not keep the sentry %s: %s",
			 r == -EOPNOTSUPP ? "from sending signals to others" : "apart", strerror(-r));
}

static int leave(void *unused)
{
	own_root(leave_old_root);
	return confine_drop_privileges();
}

static int leave_nothing(void *unused)
{
	return confine_drop_privileges();
}

/* In a user namespace, the zygote is born while the sentry gives its privileges up: it gives up its own. */
static int confine(struct sentry_start *s)
{
	bool user_ns = s->namespaces & CLONE_NEWUSER;
	bool entered = s->namespaces & CLONE_NEWNS && own_root(enter_own_root);

	if (entered && !user_ns)
		own_root(leave_old_root);
	if (!user_ns && geteuid() == 0 && give_up_root()) {
		control_send(s->boot.control_fd, CONTROL_ERROR, EXIT_SENTRY, "cannot give up root's uid");
		return -1;
	}
	if (!s->boot.have_pid_namespace)
		limit_reach(&s->boot);
	if (!(s->namespaces & CLONE_NEWNET))
		(void)confine_network();
	s->boot.leave = entered && user_ns ? leave : leave_nothing;
	if (boot_prepare(&s->boot))
		return -1;
	if (confine_drop_privileges()) {
		control_send(s->boot.control_fd, CONTROL_ERROR, EXIT_SENTRY, "cannot give up privileges");
		return -1;
	}
	return 0;
}

int sentry_main(struct sentry_start *s)
{
	ignore_signals();
	crash_init();
	no_core();
	close_others(s);
	move_stdio(&s->boot);
	log_init("sentry", s->log_fd, s->boot.debug ? LOG_DEBUG : LOG_INFO);
	s->boot.have_pid_namespace = s->namespaces & CLONE_NEWPID;
	if (!(s->namespaces & CLONE_NEWUSER))
		log_warn("no user namespaces on this host: confined by %s and seccomp",
			 s->boot.have_pid_namespace ? "other namespaces" : "Landlock");
	return confine(s) || boot_run(&s->boot) ? EXIT_SENTRY : 0;
}
