/* A signal that the user sends to the launcher is meant for what runs in the sandbox: to the foreground group if
 * the first process has a terminal, else to the first process's group. */
#include "sentry/boot/forward.h"

#include <errno.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>

#include "abi/base/lock.h"
#include "sentry/fs/hostfile.h"
#include "sentry/kernel/kernel.h"
#include "sentry/kernel/session.h"
#include "sentry/kernel/signal.h"
#include "sentry/kernel/task.h"
#include "sentry/launch/control.h"

static bool from_terminal(int signo)
{
	return signo == SIGINT || signo == SIGQUIT || signo == SIGTSTP || signo == SIGCONT;
}

/* Whoever runs as the first process is in an orphaned group, where SIGTSTP stops nobody (setpgid(2)). Outside,
 * its parent would be the user's shell, and it would stop. */
static int stop_signal_locked(struct pgrp *to)
{
	struct task *leader = kernel->init->tg->leader;

	if (to != kernel->init->tg->pgrp || !pgrp_is_orphaned_locked(to) || !leader->sighand)
		return SIGTSTP;
	return leader->sighand->action[SIGTSTP - 1].handler == 0 ? SIGSTOP : SIGTSTP;
}

static void send_signal(int signo)
{
	struct guest_siginfo info;
	struct pgrp *to = NULL;

	if (signo < 1 || signo > GUEST_NSIG)
		return;
	siginfo_kernel(&info, signo);
	AUTO_LOCK(&kernel->tasks_lock);
	if (!kernel->init)
		return;
	if (from_terminal(signo))
		to = kernel->init->tg->pgrp->session->foreground;
	if (signo == SIGTSTP)
		info.si_signo = stop_signal_locked(to ? to : kernel->init->tg->pgrp);
	if (to)
		signal_send_pgrp_locked(to, &info);
	else
		signal_send_group_locked(kernel->init->tg, &info);
}

static bool init_stopped(void)
{
	AUTO_LOCK(&kernel->tasks_lock);
	return kernel->init && kernel->init->tg->stopped;
}

/* After SIGTSTP: if the first process stops, the launcher stops too. A shell inside that catches
 * the signal goes on. */
static void report_stop(int control)
{
	const struct timespec tick = {.tv_nsec = 2000000};

	for (int i = 0; i < 50; i++) {
		if (init_stopped()) {
			control_send(control, CONTROL_STOPPED, 0, NULL);
			return;
		}
		nanosleep(&tick, NULL);
	}
}

int forward_messages(void *arg)
{
	int control = *(const int *)arg;
	struct control_message m;

	while (control_recv(control, &m, 0) == 1) {
		switch (m.kind) {
		case CONTROL_SIGNAL:
			send_signal(m.value);
			if (m.value == SIGTSTP)
				report_stop(control);
			break;
		case CONTROL_WINSIZE:
			hostfile_winsize_changed();
			break;
		case CONTROL_KILL:
			kernel_kill_all();
			break;
		default:
			break;
		}
	}
	/* The launcher is gone, and with it everything. */
	_exit(0);
}
