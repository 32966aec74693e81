/* Pseudoterminals: pty(7), and the file system that shows their slaves, devpts. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "abi/base/list.h"
#include "abi/base/lock.h"
#include "sentry/fs/ldisc.h"
#include "sentry/fs/tty.h"
#include "sentry/kernel/timer.h"
#include "vfs/waitq.h"

struct cred;
struct devpts;
struct file;
struct fs;

#define PTY_MAX 4096

struct pty {
	struct tty tty;		/* the references: master, each slave file, each slave inode */
	struct fs *fs; /* the devpts, which has its number while the master is open */

	struct mutex mu; /* LOCK_TTY: all below */
	struct ldisc ld;
	struct linux_winsize size;
	bool locked;	     /* TIOCSPTLCK */
	bool master_open;
	bool slave_opened;   /* once at least */
	bool packet;	     /* TIOCPKT */
	struct linux_termios fixed; /* bits set, characters not 0: TIOCSLCKTRMIOS */
	bool exclusive;	     /* TIOCEXCL */
	unsigned slaves;     /* open files */
	struct waitq master_wq, slave_wq;
	struct ktimer vtime; /* VTIME of a reader */
	bool vtime_armed, vtime_over;
};

/* Makes f the master of a new pty on the instance; -ENOSPC, -ENOMEM. */
int pty_open_master(struct fs *devpts_fs, struct file *f);
/* Makes f a slave: -EIO while locked or when the master is gone. */
int pty_open_slave(struct pty *p, struct file *f);

/* devpts.c */
int devpts_register(void);
/* The instance that /dev/ptmx (5:2) outside of devpts means: the one mounted first; borrowed, NULL. */
struct fs *devpts_default(void);
/* Gives t a number (index, dev) and shows it, owned by cred as the options say. -ENOSPC. Before
 * anyone else knows t. */
int devpts_add(struct fs *fs, struct tty *t, const struct cred *cred);
void devpts_remove(struct tty *t);
