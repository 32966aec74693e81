/* Files in flight, and the cycles they can make.
 *
 * A unix socket may lie in the queue of another one, or in its own. When nothing but queues of such
 * sockets refers to it any more, no one can ever receive it: a leak that a guest could repeat. The
 * collector finds these sockets:
 *
 *   - a candidate is a socket whose file has as many references as it has places in queues;
 *   - what a candidate's queue holds of other candidates is discounted; a candidate with places
 *     left over is referred to from a queue that someone can read: it is live, and so is
 *     everything in its queue, and so on;
 *   - the queues of the rest are emptied, which closes the rest.
 *
 * scm_lock is held by all who put files into queues or take them out, so the counts stand still. A
 * file's own count may change meanwhile only through a reference that isn't in a queue, and then
 * the file isn't a candidate. Queues of sockets that wait to be accepted count as their listener's.
 */
#include <errno.h>
#include <stdlib.h>

#include "sentry/net/local.h"
#include "vfs/file.h"

struct mutex scm_lock = MUTEX_INIT(LOCK_SOCKET_RIGHTS);

/* protected by scm_lock */
static struct list all_sockets = LIST_INIT(all_sockets);
static uint64_t files_in_flight, sockets_in_flight;
static bool collecting;

void unix_gc_register(struct lsock *s)
{
	AUTO_LOCK(&scm_lock);
	list_push_back(&all_sockets, &s->gc_node);
}

void unix_gc_unregister(struct lsock *s)
{
	AUTO_LOCK(&scm_lock);
	list_del_init(&s->gc_node);
}

static struct lsock *file_lsock(const struct file *f)
{
	struct socket *s = file_socket(f);

	return s && s->ops == &local_ops ? lsock_of(s) : NULL;
}

int scm_inflight_add_locked(struct scm_rights *r, uint64_t limit, bool unlimited)
{
	if (files_in_flight + r->n > limit && !unlimited)
		return -ETOOMANYREFS;
	for (uint32_t i = 0; i < r->n; i++) {
		struct lsock *s = file_lsock(r->file[i]);

		if (s) {
			s->gc_inflight++;
			sockets_in_flight++;
		}
	}
	files_in_flight += r->n;
	r->inflight = true;
	return 0;
}

void scm_inflight_del_locked(struct scm_rights *r)
{
	for (uint32_t i = 0; i < r->n; i++) {
		struct lsock *s = file_lsock(r->file[i]);

		if (s) {
			s->gc_inflight--;
			sockets_in_flight--;
		}
	}
	files_in_flight -= r->n;
	r->inflight = false;
}

/* ---- the collector -------------------------------------------------------------------------- */

typedef void (*visit_fn)(struct lsock *s, struct list *work);

static void visit_rights(const struct scm_rights *r, visit_fn fn, struct list *work)
{
	for (uint32_t i = 0; r && i < r->n; i++) {
		struct lsock *s = file_lsock(r->file[i]);

		if (s)
			fn(s, work);
	}
}

/* Calls fn for each socket in s's queue. */
static void visit_queue(struct lsock *s, visit_fn fn, struct list *work)
{
	AUTO_LOCK(&s->mu);
	list_for_each (k, &s->marks, struct lmark, node)
		visit_rights(k->rights, fn, work);
	list_for_each (msg, &s->msgs, struct lmsg, node)
		visit_rights(msg->scm.rights, fn, work);
	list_for_each (e, &s->accept_queue, struct lsock, accept_node) {
		mutex_lock_nested(&e->mu); /* nobody else has an embryo's lock and wants ours */
		list_for_each (k, &e->marks, struct lmark, node)
			visit_rights(k->rights, fn, work);
		list_for_each (msg, &e->msgs, struct lmsg, node)
			visit_rights(msg->scm.rights, fn, work);
		mutex_unlock(&e->mu);
	}
}

static void discount(struct lsock *s, struct list *work)
{
	if (s->gc_candidate)
		s->gc_found++;
}

/* A socket that someone can receive; looked into once. */
static void mark_live(struct lsock *s, struct list *work)
{
	if (!s->gc_candidate || s->gc_live)
		return;
	s->gc_live = true;
	list_del_init(&s->gc_node);
	list_push_back(work, &s->gc_node);
}

static void find_candidates(void)
{
	list_for_each (s, &all_sockets, struct lsock, gc_node) {
		struct file *f = s->sk.file;

		s->gc_live = false;
		s->gc_found = 0;
		s->gc_candidate = s->gc_inflight && f && ref_count(&f->ref) == (int)s->gc_inflight;
	}
}

static void find_live(void)
{
	struct list work = LIST_INIT(work), done = LIST_INIT(done);

	list_for_each (s, &all_sockets, struct lsock, gc_node)
		if (s->gc_candidate)
			visit_queue(s, discount, NULL);
	list_for_each_safe (s, &all_sockets, struct lsock, gc_node)
		if (s->gc_candidate && s->gc_found < s->gc_inflight)
			mark_live(s, &work);
	while (!list_empty(&work)) {
		struct lsock *s = list_first(&work, struct lsock, gc_node);

		list_del_init(&s->gc_node);
		list_push_back(&done, &s->gc_node);
		visit_queue(s, mark_live, &work);
	}
	list_splice_back(&all_sockets, &done);
}

static void strip_rights(struct scm_rights **from, struct scm_rights **out)
{
	struct scm_rights *r = steal(from);

	if (!r)
		return;
	scm_inflight_del_locked(r);
	r->next = *out;
	*out = r;
}

static void strip_own_locked(struct lsock *s, struct scm_rights **out)
{
	list_for_each (k, &s->marks, struct lmark, node)
		strip_rights(&k->rights, out);
	list_for_each (msg, &s->msgs, struct lmsg, node)
		strip_rights(&msg->scm.rights, out);
	atomic_store(&s->rx_rights, 0);
}

/* Moves the descriptors out of a dead queue, and of those that wait to be accepted from it; the messages
 * stay as they are. */
static void strip_queue(struct lsock *s, struct scm_rights **out)
{
	AUTO_LOCK(&s->mu);
	strip_own_locked(s, out);
	list_for_each (e, &s->accept_queue, struct lsock, accept_node) {
		mutex_lock_nested(&e->mu); /* as in visit_queue() */
		strip_own_locked(e, out);
		mutex_unlock(&e->mu);
	}
}

static void strip_dead(struct scm_rights **out)
{
	list_for_each (s, &all_sockets, struct lsock, gc_node)
		if (s->gc_candidate && !s->gc_live)
			strip_queue(s, out);
}

void unix_gc(void)
{
	struct scm_rights *dead = NULL;

	{
		AUTO_LOCK(&scm_lock);
		if (!sockets_in_flight || collecting)
			return;
		collecting = true;
		find_candidates();
		find_live();
		strip_dead(&dead);
	}
	while (dead) {
		struct scm_rights *next = dead->next;

		scm_rights_put(dead);
		dead = next;
	}
	AUTO_LOCK(&scm_lock);
	collecting = false;
}
