/* The life of a sandbox as the launcher sees it:
 *
 *	view_build -> sentry -> gofer (if there are exports) -> forward until CONTROL_STATUS or
 *	the sentry's end -> kill what is left -> exit status
 *
 * Signals are blocked and taken from a signalfd. The sentry and the gofer die with the launcher (PDEATHSIG), and
 * the stubs with the sentry (pid namespace). */
#include "sentry/launch/launch.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "abi/base/cleanup.h"
#include "abi/base/log.h"
#include "gofer/gofer.h"
#include "platform/platform.h"
#include "sentry/cli/exec_options.h"
#include "sentry/launch/control.h"
#include "sentry/launch/environment.h"
#include "sentry/launch/sentry_main.h"
#include "sentry/launch/spawn.h"
#include "sentry/launch/view.h"

#define NOFILE_MIN 64u

struct launcher {
	const struct exec_options *o;
	struct view view;
	int control;	/* to the sentry */
	int signals;	/* signalfd */
	pid_t gofer, sentry;
	int status;	/* exit status for the user; -1: not known yet */
	bool started, timed_out;
	uint64_t deadline_ns;
	bool have_termios;
	struct termios termios;
};

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static const int forwarded[] = {SIGINT,	 SIGTERM, SIGHUP,  SIGQUIT, SIGUSR1,
				SIGUSR2, SIGCONT, SIGTSTP, SIGWINCH, SIGCHLD};

static void block_signals(sigset_t *set)
{
	sigemptyset(set);
	for (size_t i = 0; i < sizeof(forwarded) / sizeof(forwarded[0]); i++)
		sigaddset(set, forwarded[i]);
	sigprocmask(SIG_BLOCK, set, NULL);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGTTOU, SIG_IGN); /* restoring the terminal from the background */
}

/* ---- children -------------------------------------------------------------------------------- */

static int start_gofer(struct launcher *l)
{
	size_t n = l->view.nexports;
	AUTO(free) struct gofer_export *exports = calloc(n + 1, sizeof(*exports));
	struct gofer_config cfg = {
		.exports = exports,
		.n = n,
		.confinement = GOFER_CONFINE_BEST,
	};
	int r;

	if (!n || !exports)
		return n ? -ENOMEM : 0;
	for (size_t i = 0; i < n; i++) {
		struct view_export *e = &l->view.exports[i];

		exports[i] = (struct gofer_export){
			.fd = steal_fd(&e->dir),
			.sock = steal_fd(&e->sock),
			.flags = (e->readonly ? GOFER_READONLY : 0) |
				 (e->others_only ? GOFER_OTHERS_ONLY : 0),
			.name = e->name,
		};
	}
	r = gofer_spawn(&cfg, &l->gofer);
	if (r)
		log_user("cannot start the gofer: %s", strerror(-r));
	return r;
}

static int sentry_process(void *arg, int got)
{
	struct sentry_start *s = arg;

	s->namespaces = got;
	return sentry_main(s);
}

static int start_sentry(struct launcher *l, struct sentry_start *s)
{
	bool root = geteuid() == 0;
	/* A network namespace costs a fifth of a start. Neither the sentry's filter nor the stubs' knows a call
	 * that makes a socket but in connected pairs (filter_rules.c); stubs that are traced have no filter. */
	int net = platform_lookup(l->o->platform)->traces ? CLONE_NEWNET : 0;
	struct spawn_spec spec = {
		.name = "sentry",
		.namespaces = CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC |
			      CLONE_NEWUTS | net,
		/* Root gives its privileges away: 65534 is nobody, on every distribution. */
		.host_uid = root ? 65534 : geteuid(),
		.host_gid = root ? 65534 : getegid(),
		.main = sentry_process,
		.arg = s,
	};
	int got, sv[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sv)) {
		log_user("socketpair: %s", strerror(errno));
		return -1;
	}
	l->control = sv[0];
	s->boot.control_fd = sv[1];
	l->sentry = spawn_process(&spec, &got);
	close(sv[1]);
	if (l->sentry < 0) {
		log_user("cannot start the sandbox: %s", strerror(-l->sentry));
		return -1;
	}
	for (size_t i = 0; i < l->view.nnodes; i++)
		if (l->view.nodes[i].sock >= 0)
			close(steal_fd(&l->view.nodes[i].sock));
	return 0;
}

/* ---- while it runs ---------------------------------------------------------------------------- */

static void set_status(struct launcher *l, int wait_status)
{
	if (l->status >= 0)
		return;
	if (WIFEXITED(wait_status))
		l->status = WEXITSTATUS(wait_status);
	else if (WIFSIGNALED(wait_status))
		l->status = 128 + WTERMSIG(wait_status);
}

/* One message: 1; 0 when there is none; -1 at the end of the connection (SIGCHLD follows). */
static int on_control(struct launcher *l)
{
	struct control_message m;
	int r = control_recv(l->control, &m, MSG_DONTWAIT);

	if (r <= 0)
		return r == -EAGAIN ? 0 : -1;
	switch (m.kind) {
	case CONTROL_STARTED:
		l->started = true;
		break;
	case CONTROL_STATUS:
		set_status(l, m.value);
		/* Nobody needs its files now: it ends beside the sentry and not after it. */
		if (l->gofer > 0)
			kill(l->gofer, SIGKILL);
		break;
	case CONTROL_ERROR:
		if (l->status < 0) {
			m.text[sizeof(m.text) - 1] = '\0';
			log_user("%s", m.text);
			l->status = m.value > 0 && m.value < 256 ? m.value : EXIT_SENTRY;
		}
		break;
	case CONTROL_STOPPED:
		/* As a shell's child would: the shell sees us stopped, and we go on with SIGCONT. */
		raise(SIGSTOP);
		control_send(l->control, CONTROL_SIGNAL, SIGCONT, NULL);
		control_send(l->control, CONTROL_WINSIZE, 0, NULL);
		break;
	default:
		break;
	}
	return 1;
}

/* Reaps children. True when the sentry is gone. */
static bool reap(struct launcher *l)
{
	bool sentry_gone = false;
	int st;
	pid_t pid;

	while ((pid = waitpid(-1, &st, WNOHANG)) > 0) {
		if (pid == l->gofer) {
			l->gofer = 0;
			if (l->status < 0 && WIFSIGNALED(st))
				log_user("the gofer was killed by signal %d: files of the host "
					 "are gone",
					 WTERMSIG(st));
		}
		if (pid != l->sentry)
			continue;
		l->sentry = 0;
		sentry_gone = true;
		while (l->status < 0 && on_control(l) > 0)
			;
		if (l->status < 0) {
			if (WIFSIGNALED(st))
				log_user("the sandbox was killed by signal %d", WTERMSIG(st));
			else
				log_user("the sandbox ended unexpectedly (status %d)",
					 WEXITSTATUS(st));
			l->status = EXIT_SENTRY;
		}
	}
	return sentry_gone;
}

/* True when the sentry is gone. */
static bool on_signal(struct launcher *l)
{
	struct signalfd_siginfo si;

	while (read(l->signals, &si, sizeof(si)) == sizeof(si)) {
		switch (si.ssi_signo) {
		case SIGCHLD:
			if (reap(l))
				return true;
			break;
		case SIGWINCH:
			control_send(l->control, CONTROL_WINSIZE, 0, NULL);
			break;
		default:
			control_send(l->control, CONTROL_SIGNAL, (int)si.ssi_signo, NULL);
			break;
		}
	}
	return false;
}

static int poll_timeout(const struct launcher *l)
{
	uint64_t now;

	if (!l->deadline_ns)
		return -1;
	now = now_ns();
	if (now >= l->deadline_ns)
		return 0;
	now = (l->deadline_ns - now) / 1000000 + 1;
	return now > 86400000 ? 86400000 : (int)now;
}

static void forward(struct launcher *l)
{
	struct pollfd p[2] = {{.fd = l->signals, .events = POLLIN},
			      {.fd = l->control, .events = POLLIN}};

	for (;;) {
		int n = poll(p, 2, poll_timeout(l));

		if (n == 0 && l->deadline_ns && now_ns() >= l->deadline_ns) {
			/* Ask first; a sentry that does not end within a second is killed. */
			l->status = EXIT_TIMEOUT;
			if (l->timed_out)
				kill(l->sentry, SIGKILL);
			control_send(l->control, CONTROL_KILL, 0, NULL);
			l->timed_out = true;
			l->deadline_ns = now_ns() + 1000000000u;
		}
		if (n > 0 && p[0].revents && on_signal(l))
			return;
		if (n > 0 && p[1].revents && on_control(l) < 0)
			p[1].fd = -1;
	}
}

/* ---- start and end ------------------------------------------------------------------------------ */

static int open_output(const char *path, const char *what, int flags)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | flags, 0666);

	if (fd < 0)
		log_user("%s '%s': %s", what, path, strerror(errno));
	return fd;
}

static int open_logs(const struct exec_options *o, int *log_fd, int *strace_fd)
{
	*log_fd = -1;
	*strace_fd = -1;
	if (o->log_file) {
		*log_fd = open_output(o->log_file, "--log", O_APPEND);
		if (*log_fd < 0)
			return -1;
	} else if (o->debug) {
		*log_fd = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
	}
	if (o->strace && o->strace_file) {
		*strace_fd = open_output(o->strace_file, "--strace", O_TRUNC);
		if (*strace_fd < 0)
			return -1;
	} else if (o->strace) {
		*strace_fd = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
	}
	return 0;
}

static void end_children(struct launcher *l)
{
	if (l->sentry > 0)
		kill(l->sentry, SIGKILL);
	if (l->gofer > 0)
		kill(l->gofer, SIGKILL);
	while (waitpid(-1, NULL, 0) > 0 || errno == EINTR)
		;
	if (l->have_termios)
		tcsetattr(STDIN_FILENO, TCSADRAIN, &l->termios);
}

static void fill_boot(struct sentry_start *s, const struct launcher *l)
{
	const struct exec_options *o = l->o;
	struct boot_config *b = &s->boot;

	b->nodes = l->view.nodes;
	b->nnodes = l->view.nnodes;
	for (int fd = 0; fd < 3; fd++) {
		int flags = fcntl(fd, F_GETFL);

		/* O_PATH: main() put it there in place of one that was closed. */
		b->stdio[fd] = flags >= 0 && !(flags & O_PATH) ? fd : -1;
	}
	b->hostname = o->hostname ? o->hostname : DEFAULT_HOSTNAME;
	b->workdir = l->view.workdir;
	b->argv = o->argv;
	b->user = o->user;
	b->uid = geteuid();
	b->gid = getegid();
	b->memory_limit = o->memory;
	b->dirent_cache = o->dirent_cache;
	b->platform = o->platform;
	b->no_patch = o->no_patch;
	b->debug = o->debug;
	b->nice = getpriority(PRIO_PROCESS, 0);
}

/* The gofer and the sentry inherit this. */
static int raise_nofile(void)
{
	struct rlimit r;

	if (getrlimit(RLIMIT_NOFILE, &r))
		return 0;
	r.rlim_cur = r.rlim_max;
	setrlimit(RLIMIT_NOFILE, &r);
	if (r.rlim_max >= NOFILE_MIN)
		return 0;
	log_user("RLIMIT_NOFILE is %lu; a sandbox needs at least %u (ulimit -n)",
		 (unsigned long)r.rlim_max, NOFILE_MIN);
	return -1;
}

int launch_run(const struct exec_options *o)
{
	struct launcher l = {.o = o, .status = -1, .control = -1};
	struct sentry_start s = {0};
	AUTO(fd) int log_fd = -1;
	AUTO(fd) int strace_fd = -1;
	gid_t groups[1024];
	sigset_t set;
	int n;

	if (raise_nofile() || open_logs(o, &log_fd, &strace_fd))
		return EXIT_SENTRY;
	if (view_build(o, &l.view))
		return EXIT_SENTRY;
	fill_boot(&s, &l);
	n = getgroups((int)(sizeof(groups) / sizeof(groups[0])), groups);
	s.boot.groups = groups;
	s.boot.ngroups = n > 0 ? (size_t)n : 0;
	s.boot.strace_fd = strace_fd;
	s.boot.envp = environment_build(o);
	s.log_fd = log_fd;
	block_signals(&set);
	l.signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	l.have_termios = isatty(STDIN_FILENO) && tcgetattr(STDIN_FILENO, &l.termios) == 0;
	log_init("launcher", log_fd, o->debug ? LOG_DEBUG : LOG_INFO);
	if (o->timeout > 0)
		l.deadline_ns = now_ns() + (uint64_t)(o->timeout * 1e9);
	/* The sentry first: it has more to do before it needs the other. */
	if (start_sentry(&l, &s) == 0 && start_gofer(&l) == 0)
		forward(&l);
	else
		l.status = EXIT_SENTRY;
	end_children(&l);
	environment_free(s.boot.envp);
	view_free(&l.view);
	close(l.signals);
	if (l.control >= 0)
		close(l.control);
	return l.status < 0 ? EXIT_SENTRY : l.status;
}
