/* Advisory locks.
 *
 * An inode's table is a list of ranges, each with a kind, a type and an owner. flock(2) locks and
 * fcntl(2) locks do not see each other; POSIX and OFD locks do. Ranges of one owner do not overlap: a
 * new one is cut out of the old ones first, then joined with equal neighbours.
 *
 * Deadlocks are looked for among POSIX locks only, as Linux does: who waits for whom is on a list;
 * a request that would close a circle gets -EDEADLK. */
#include "vfs/locks.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <poll.h>

#include "abi/base/list.h"
#include "abi/base/lock.h"
#include "vfs/file.h"
#include "vfs/inode.h"
#include "vfs/waitq.h"

struct file_lock {
	struct list node;
	struct file_lock_req l;
};

struct file_lock_table {
	struct mutex mu;
	struct list locks; /* under mu */
	size_t count;	   /* of them */
	struct waitq waitq;
};

enum { DEADLOCK_STEPS = 128, LOCKS_MAX = 65536 /* on one file */ };

static struct mutex waits_mu = MUTEX_INIT(LOCK_NONE);
static struct list waits = LIST_INIT(waits); /* file_lock_wait, under waits_mu */

static struct file_lock_table *table_of(struct inode *i)
{
	struct file_lock_table *t = atomic_load_explicit(&i->locks, memory_order_acquire);
	struct file_lock_table *first = NULL;

	if (t)
		return t;
	t = malloc(sizeof(*t));
	if (!t)
		return NULL;
	mutex_init(&t->mu, LOCK_FILE_LOCKS);
	list_init(&t->locks);
	t->count = 0;
	waitq_init(&t->waitq);
	if (atomic_compare_exchange_strong(&i->locks, &first, t))
		return t;
	free(t);
	return first;
}

void file_lock_table_free(struct file_lock_table *t)
{
	list_for_each_safe (l, &t->locks, struct file_lock, node)
		free(l);
	waitq_destroy(&t->waitq);
	mutex_destroy(&t->mu);
	free(t);
}

struct waitq *file_locks_waitq(struct file *f)
{
	struct file_lock_table *t = table_of(f->inode);

	return t ? &t->waitq : NULL;
}

static void lock_add(struct file_lock_table *t, struct file_lock *l)
{
	list_push_back(&t->locks, &l->node);
	t->count++;
}

static void lock_drop(struct file_lock_table *t, struct file_lock *l)
{
	list_del_init(&l->node);
	t->count--;
	free(l);
}

static bool same_owner(const struct file_lock_req *a, const struct file_lock_req *b)
{
	return a->kind == b->kind && a->owner == b->owner;
}

static bool overlap(const struct file_lock_req *a, const struct file_lock_req *b)
{
	return a->start <= b->end && b->start <= a->end;
}

static bool conflict(const struct file_lock_req *a, const struct file_lock_req *b)
{
	if ((a->kind == LOCK_KIND_FLOCK) != (b->kind == LOCK_KIND_FLOCK))
		return false;
	return !same_owner(a, b) && overlap(a, b) && (a->type == F_WRLCK || b->type == F_WRLCK);
}

static struct file_lock *find_conflict(struct file_lock_table *t, const struct file_lock_req *req)
{
	list_for_each (l, &t->locks, struct file_lock, node)
		if (conflict(&l->l, req))
			return l;
	return NULL;
}

/* Cuts req's range out of what its owner has. spare: for the one lock that may be split in two. */
static void cut(struct file_lock_table *t, const struct file_lock_req *req,
		struct file_lock **spare)
{
	list_for_each_safe (l, &t->locks, struct file_lock, node) {
		if (!same_owner(&l->l, req) || !overlap(&l->l, req))
			continue;
		if (l->l.start < req->start && l->l.end > req->end) {
			struct file_lock *tail = steal(spare);

			tail->l = l->l;
			tail->l.start = req->end + 1;
			lock_add(t, tail);
			l->l.end = req->start - 1;
		} else if (l->l.start < req->start) {
			l->l.end = req->start - 1;
		} else if (l->l.end > req->end) {
			l->l.start = req->end + 1;
		} else {
			lock_drop(t, l);
		}
	}
}

static bool touches(const struct file_lock_req *a, const struct file_lock_req *b)
{
	return same_owner(a, b) && a->type == b->type &&
	       ((a->end != UINT64_MAX && a->end + 1 == b->start) ||
		(b->end != UINT64_MAX && b->end + 1 == a->start));
}

static void join(struct file_lock_table *t, struct file_lock *new)
{
	list_for_each_safe (l, &t->locks, struct file_lock, node) {
		if (l == new || !touches(&l->l, &new->l))
			continue;
		if (l->l.start < new->l.start)
			new->l.start = l->l.start;
		if (l->l.end > new->l.end)
			new->l.end = l->l.end;
		lock_drop(t, l);
	}
}

int file_lock_set(struct file *f, const struct file_lock_req *req)
{
	AUTO(free) struct file_lock *new = malloc(sizeof(*new));
	AUTO(free) struct file_lock *spare = malloc(sizeof(*spare));
	struct file_lock_table *t = table_of(f->inode);

	if (!t || !new || !spare)
		return -ENOLCK;
	{
		AUTO_LOCK(&t->mu);
		if (req->type != F_UNLCK && t->count >= LOCKS_MAX)
			return -ENOLCK;
		if (req->type != F_UNLCK && find_conflict(t, req)) {
			/* Converting a flock is not atomic: the old one is lost first. */
			if (req->kind == LOCK_KIND_FLOCK)
				cut(t, req, &spare);
			return -EAGAIN;
		}
		cut(t, req, &spare);
		if (req->type != F_UNLCK) {
			struct file_lock *l = steal(&new);

			l->l = *req;
			lock_add(t, l);
			join(t, l);
		}
	}
	waitq_wake(&t->waitq, POLLIN); /* also a downgrade may let others in */
	return 0;
}

int file_lock_get(struct file *f, struct file_lock_req *req)
{
	struct file_lock_table *t = atomic_load_explicit(&f->inode->locks, memory_order_acquire);
	struct file_lock *l;

	if (t) {
		AUTO_LOCK(&t->mu);
		l = find_conflict(t, req);
		if (l) {
			*req = l->l;
			return 0;
		}
	}
	req->type = F_UNLCK;
	return 0;
}

void file_lock_release(struct file *f, enum lock_kind kind, const void *owner)
{
	struct file_lock_table *t = atomic_load_explicit(&f->inode->locks, memory_order_acquire);
	bool any = false;

	if (!t)
		return;
	{
		AUTO_LOCK(&t->mu);
		list_for_each_safe (l, &t->locks, struct file_lock, node) {
			if (l->l.kind != kind || l->l.owner != owner)
				continue;
			lock_drop(t, l);
			any = true;
		}
	}
	if (any)
		waitq_wake(&t->waitq, POLLIN);
}

/* The owner of a POSIX lock that blocks req, or NULL. */
static const void *blocker(struct file *f, const struct file_lock_req *req)
{
	struct file_lock_table *t = table_of(f->inode);
	const void *owner = NULL;
	struct file_lock *l;

	if (!t)
		return NULL;
	AUTO_LOCK(&t->mu);
	l = find_conflict(t, req);
	if (l && l->l.kind == LOCK_KIND_POSIX)
		owner = l->l.owner;
	return owner;
}

static const struct file_lock_wait *wait_of(const void *owner)
{
	list_for_each (w, &waits, struct file_lock_wait, node)
		if (w->owner == owner)
			return w;
	return NULL;
}

int file_lock_wait_begin(struct file *f, const struct file_lock_req *req, struct file_lock_wait *w)
{
	const void *on = blocker(f, req);

	list_init(&w->node);
	w->owner = req->owner;
	w->on = on;
	if (req->kind != LOCK_KIND_POSIX || !on)
		return 0;
	AUTO_LOCK(&waits_mu);
	for (int step = 0; on && step < DEADLOCK_STEPS; step++) {
		const struct file_lock_wait *next;

		if (on == req->owner)
			return -EDEADLK;
		next = wait_of(on);
		on = next ? next->on : NULL;
	}
	list_push_back(&waits, &w->node);
	return 0;
}

void file_lock_wait_end(struct file_lock_wait *w)
{
	AUTO_LOCK(&waits_mu);
	list_del_init(&w->node);
}

void file_lock_each(struct inode *inode, void (*fn)(const struct file_lock_req *l, void *ctx),
		    void *ctx)
{
	struct file_lock_table *t = atomic_load_explicit(&inode->locks, memory_order_acquire);

	if (!t)
		return;
	AUTO_LOCK(&t->mu);
	list_for_each (l, &t->locks, struct file_lock, node)
		fn(&l->l, ctx);
}
