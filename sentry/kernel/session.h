/* Process groups, sessions and job control: setpgid(2), setsid(2), credentials(7), termios(3).
 * All under kernel->tasks_lock. */
#pragma once

#include <stdbool.h>

#include "abi/base/list.h"
#include "abi/base/ref.h"

struct thread_group;
struct tty;

struct session {
	struct ref ref;
	int sid;
	struct thread_group *leader; /* borrowed; NULL once it has exited */
	struct tty *tty;	     /* controlling terminal, referenced; or NULL */
	struct pgrp *foreground;     /* referenced; or NULL */
	struct list pgrps;
};

struct pgrp {
	struct ref ref;
	int pgid;
	struct session *session; /* owned */
	struct list members;	 /* of thread_group->pgrp_node */
	struct list session_node;
};

struct pgrp *pgrp_lookup_locked(int pgid); /* borrowed, NULL */
struct session *session_lookup_locked(int sid);
struct pgrp *pgrp_get(struct pgrp *p);
void pgrp_put_locked(struct pgrp *p);
struct session *session_get(struct session *s);
void session_put_locked(struct session *s);
bool pgrp_is_orphaned_locked(struct pgrp *p);

/* What a terminal (sentry/fs/tty*.c) gives to sessions. */
struct tty *tty_get(struct tty *t);
void tty_put(struct tty *t);
/* The session leader has exited, or gave the terminal up: hang up or forget. */
void tty_session_gone_locked(struct tty *t, struct session *s);
unsigned tty_device_number(struct tty *t); /* tty_nr of /proc/pid/stat */
