/* What all terminals have in common: their place in sessions and job control. A terminal is a pty
 * (pty.h) or one of the host (hostfile.h); each embeds a struct tty.
 *
 * The session a terminal controls, and its foreground group, are protected by kernel->tasks_lock:
 * session->tty (with a reference) and tty->session point at each other. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <time.h>

#include "abi/base/lock.h"
#include "abi/base/ref.h"
#include "abi/linux/termios.h"

struct cred;
struct devpts;
struct file;
struct session;
struct task;
struct tty;

struct tty_ops {
	void (*release)(struct tty *t); /* the last reference is gone; no lock held */
	/* Another opening of it, for /dev/tty. */
	int (*open)(struct tty *t, struct file *f);
	bool (*tostop)(struct tty *t); /* TOSTOP is set: background writers stop */
	/* The controlling session is gone. tasks_lock held: only marks and wakes. */
	void (*hangup_locked)(struct tty *t);
};

struct tty {
	struct ref ref;
	const struct tty_ops *ops;
	unsigned dev; /* as stat's st_rdev, 32 bits of makedev() */
	struct session *session; /* tasks_lock; borrowed: it clears this when it goes */

	/* Its node in devpts. */
	struct devpts *devpts; /* NULL: none */
	unsigned index;
	struct mutex attr_mu; /* what stat tells: the inodes come and go */
	uint32_t mode, uid, gid;
	struct timespec atime, mtime, ctime;
};

void tty_init(struct tty *t, const struct tty_ops *ops, unsigned dev);
void tty_fini(struct tty *t); /* by ops->release */

/* May the current task read (SIGTTIN) or write, or change (SIGTTOU) the terminal? 0; -EIO; or
 * -ERESTARTSYS after the signal was sent to its group. */
int tty_check_read(struct tty *t);
int tty_check_write(struct tty *t); /* only with TOSTOP */
int tty_check_change(struct tty *t);

/* The requests of job control, the same for all terminals (TIOCSCTTY, TIOCNOTTY, TIOCGPGRP,
 * TIOCSPGRP, TIOCGSID). -ENOTTY: another request. other_end: f is the master of a pty. */
int64_t tty_ioctl_job(struct tty *t, struct file *f, struct task *task, unsigned cmd, uint64_t arg,
		      bool other_end);
/* At open(2) without O_NOCTTY by a session leader without terminal: it becomes the session's. */
void tty_opened(struct tty *t, struct file *f);
/* To the foreground group, as typed ^C does or a changed window. Takes tasks_lock. */
void tty_signal_foreground(struct tty *t, int signo);
/* The terminal is gone: its session's leader gets SIGHUP and SIGCONT. Takes tasks_lock. */
void tty_hangup_session(struct tty *t);
/* For the first process: makes t the terminal of s. tasks_lock held. */
void tty_attach_locked(struct tty *t, struct session *s);

/* /dev/tty: the terminal of the task's session, with a reference; NULL. */
struct tty *tty_of_task(struct task *task);
