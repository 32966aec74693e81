/* Process groups, sessions, job control.
 *
 * A process group is *orphaned* when no member has a parent in another group of the same session:
 * nobody is left who could continue it. When a group becomes so (an exit takes the last such parent
 * away) and has stopped members, they all get SIGHUP and SIGCONT; and the stop signals of a terminal
 * don't stop members of an orphaned group. */
#include "sentry/kernel/session.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>

#include "sentry/kernel/pid.h"
#include "sentry/kernel/task_impl.h"

struct pgrp *pgrp_lookup_locked(int pgid)
{
	struct pid_slot *s = pid_slot_locked(pgid);

	return s ? s->pgrp : NULL;
}

struct session *session_lookup_locked(int sid)
{
	struct pid_slot *s = pid_slot_locked(sid);

	return s ? s->session : NULL;
}

struct session *session_get(struct session *s)
{
	ref_get(&s->ref);
	return s;
}

void session_put_locked(struct session *s)
{
	if (!s || !ref_put(&s->ref))
		return;
	pid_slot_locked(s->sid)->session = NULL;
	pgrp_put_locked(s->foreground);
	if (s->tty)
		tty_put(s->tty);
	free(s);
}

struct pgrp *pgrp_get(struct pgrp *p)
{
	ref_get(&p->ref);
	return p;
}

void pgrp_put_locked(struct pgrp *p)
{
	if (!p || !ref_put(&p->ref))
		return;
	pid_slot_locked(p->pgid)->pgrp = NULL;
	list_del_init(&p->session_node);
	session_put_locked(p->session);
	free(p);
}

int pgrp_new_locked(struct session *s, int pgid, struct pgrp **out)
{
	struct pgrp *p = calloc(1, sizeof(*p));

	if (!p)
		return -ENOMEM;
	ref_init(&p->ref);
	p->pgid = pgid;
	p->session = session_get(s);
	list_init(&p->members);
	list_init(&p->session_node);
	list_push_back(&s->pgrps, &p->session_node);
	pid_slot_locked(pgid)->pgrp = p;
	*out = p;
	return 0;
}

void pgrp_move_locked(struct thread_group *tg, struct pgrp *to)
{
	struct pgrp *old = tg->pgrp;

	list_del_init(&tg->pgrp_node);
	if (to) {
		pgrp_get(to);
		list_push_back(&to->members, &tg->pgrp_node);
	}
	tg->pgrp = to;
	pgrp_put_locked(old);
}

int session_new_locked(struct thread_group *tg)
{
	struct session *s = calloc(1, sizeof(*s));
	struct pgrp *p;
	int err;

	if (!s)
		return -ENOMEM;
	ref_init(&s->ref);
	s->sid = tg->tgid;
	s->leader = tg;
	list_init(&s->pgrps);
	pid_slot_locked(s->sid)->session = s;
	err = pgrp_new_locked(s, tg->tgid, &p);
	session_put_locked(s); /* the group holds it */
	if (err < 0)
		return err;
	pgrp_move_locked(tg, p);
	pgrp_put_locked(p);
	return 0;
}

/* ---- orphaned groups ------------------------------------------------------------------------ */

bool pgrp_will_be_orphaned_locked(struct pgrp *p, struct thread_group *ignored)
{
	list_for_each(tg, &p->members, struct thread_group, pgrp_node) {
		struct pgrp *pp;

		if (tg == ignored || tg->zombie || !tg->parent)
			continue;
		pp = tg->parent->tg->pgrp;
		if (pp && pp != p && pp->session == p->session)
			return false;
	}
	return true;
}

bool pgrp_is_orphaned_locked(struct pgrp *p)
{
	return pgrp_will_be_orphaned_locked(p, NULL);
}

static bool pgrp_has_stopped(struct pgrp *p)
{
	list_for_each(tg, &p->members, struct thread_group, pgrp_node)
		if (tg->stopped)
			return true;
	return false;
}

void pgrp_check_orphaned_locked(struct thread_group *tg, struct task *parent)
{
	struct thread_group *ignored = parent ? NULL : tg;
	struct pgrp *p = tg->pgrp;
	struct guest_siginfo info;

	if (!parent)
		parent = tg->parent;
	if (!p || !parent || !parent->tg->pgrp || parent->tg->pgrp == p ||
	    parent->tg->pgrp->session != p->session)
		return;
	if (!pgrp_will_be_orphaned_locked(p, ignored) || !pgrp_has_stopped(p))
		return;
	siginfo_kernel(&info, SIGHUP);
	signal_send_pgrp_locked(p, &info);
	siginfo_kernel(&info, SIGCONT);
	signal_send_pgrp_locked(p, &info);
}

/* exit(3p): the terminal is given up, its foreground group hangs up. */
void session_leader_exit_locked(struct thread_group *tg)
{
	struct session *s = tg->pgrp ? tg->pgrp->session : NULL;
	struct guest_siginfo info;
	struct tty *tty;

	if (!s || s->leader != tg)
		return;
	s->leader = NULL;
	tty = s->tty;
	if (!tty)
		return;
	if (s->foreground) {
		siginfo_kernel(&info, SIGHUP);
		signal_send_pgrp_locked(s->foreground, &info);
		siginfo_kernel(&info, SIGCONT);
		signal_send_pgrp_locked(s->foreground, &info);
		pgrp_put_locked(s->foreground);
		s->foreground = NULL;
	}
	s->tty = NULL;
	tty_session_gone_locked(tty, s);
	tty_put(tty);
}
