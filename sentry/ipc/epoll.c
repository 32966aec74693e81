/* epoll(7).
 *
 * An instance holds items, one for each watched (file, descriptor). An item is a waiter on its file's
 * queue. When the file wakes that queue, the item goes to the ready list and one epoll_wait caller is
 * woken; epoll_wait takes items off the list, asks their files what is really there and reports it.
 *
 *	file's queue --wake--> item --> ready list --epoll_wait--> poll the file --> event
 *	                                    ^                          |
 *	                                    +---- level-triggered -----+
 *
 * Level-triggered items go back to the end of the list after they were reported, and drop out when
 * asking finds nothing; edge-triggered ones leave until the next wake-up; one-shot ones are
 * disabled until EPOLL_CTL_MOD.
 *
 * Locks: epoll_tree_lock for items coming and going, then one instance's mu, under which files are
 * polled (an inner instance's mu nests in the outer one's: there are no cycles); ready_mu is
 * taken by wake-ups, under the lock of a file's queue, and with mu for changes of the table of items. The queues of an instance are woken under
 * that of a file or of an inner instance, so their locks have no rank.
 *
 * An item does not keep its file open. When the last reference to the file goes, its items go first
 * (file->epolls_release). */
#include "sentry/ipc/epoll.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>

#include "sentry/ipc/epoll_impl.h"
#include "sentry/ipc/fd_publish.h"
#include "sentry/mm/usercopy.h"
#include "sentry/syscalls/syscalls.h"
#include "vfs/fs.h"
#include "vfs/inode.h"

static const struct file_ops epoll_ops;

struct epoll *epoll_of(const struct file *f)
{
	return f->ops == &epoll_ops ? f->priv : NULL;
}

/* ---- the ready list ------------------------------------------------------------------------- */

static void ready_add_locked(struct epoll *ep, struct epoll_item *it)
{
	if (it->ready)
		return;
	it->ready = true;
	list_push_back(&ep->ready, &it->ready_node);
}

static void announce(struct epoll *ep)
{
	waitq_wake_one(&ep->wq, POLLIN);
	waitq_wake(&ep->poll_wq, POLLIN | POLLRDNORM);
}

static void item_make_ready(struct epoll_item *it)
{
	struct epoll *ep = it->ep;

	{
		AUTO_LOCK(&ep->ready_mu);
		ready_add_locked(ep, it);
	}
	announce(ep);
}

static uint32_t item_interest(const struct epoll_item *it)
{
	uint32_t ev = atomic_load_explicit(&((struct epoll_item *)it)->events, memory_order_relaxed);

	ev &= ~(uint32_t)EPOLL_MODES;
	return ev ? ev | EPOLLERR | EPOLLHUP : 0;
}

static void item_wake(struct waiter *w, uint32_t events)
{
	struct epoll_item *it = container_of(w, struct epoll_item, w);

	if (events & item_interest(it))
		item_make_ready(it);
}

static uint32_t item_poll(const struct epoll_item *it)
{
	uint32_t interest = item_interest(it);

	return interest ? file_poll(it->file) & interest : 0;
}

/* Takes up to `max` items off the list, as a chain; ep->mu is held. */
static struct epoll_item *ready_take(struct epoll *ep, int max)
{
	struct epoll_item *first = NULL, **tail = &first;

	AUTO_LOCK(&ep->ready_mu);
	while (max-- > 0 && !list_empty(&ep->ready)) {
		struct epoll_item *it = list_first(&ep->ready, struct epoll_item, ready_node);

		list_del_init(&it->ready_node);
		it->ready = false;
		it->taken_next = NULL;
		*tail = it;
		tail = &it->taken_next;
	}
	return first;
}

/* Asks one item that was ready; true when it has something to report, in *out. */
static bool item_report(struct epoll_item *it, struct epoll_event *out, bool *again)
{
	uint32_t events = item_poll(it), modes;

	if (!events)
		return false;
	modes = atomic_load_explicit(&it->events, memory_order_relaxed) & EPOLL_MODES;
	out->events = events;
	out->data.u64 = it->data;
	if (modes & EPOLLONESHOT)
		atomic_store_explicit(&it->events, modes, memory_order_relaxed);
	else if (!(modes & EPOLLET))
		*again = true;
	return true;
}

/* Items to be put back on the ready list when a harvest is over. */
struct back_list {
	struct epoll_item *first, **tail;
};

static void back_add(struct back_list *b, struct epoll_item *it)
{
	if (it->in_back)
		return;
	it->in_back = true;
	it->back_next = NULL;
	*b->tail = it;
	b->tail = &it->back_next;
}

static void back_release(struct epoll *ep, struct back_list *b)
{
	AUTO_LOCK(&ep->ready_mu);
	for (struct epoll_item *it = b->first; it; it = it->back_next) {
		it->in_back = false;
		ready_add_locked(ep, it);
	}
}

/* Up to max events; the number. Level-triggered items go back on the list after all, so that one
 * call reports each item once. An item may be woken again while the harvest is on: it has had its
 * turn, and is left for the next call. */
static int harvest(struct epoll *ep, struct epoll_event *out, int max)
{
	struct back_list back = {NULL, &back.first};
	bool again_seen = false;
	int n = 0;

	AUTO_LOCK(&ep->mu);
	ep->harvests++;
	while (n < max && !again_seen) {
		struct epoll_item *it = ready_take(ep, max - n);

		if (!it)
			break;
		for (; it; it = it->taken_next) {
			bool again = it->harvested == ep->harvests;

			if (again)
				again_seen = true;
			else if (item_report(it, &out[n], &again))
				n++;
			it->harvested = ep->harvests;
			if (again)
				back_add(&back, it);
		}
	}
	if (back.first)
		back_release(ep, &back);
	return n;
}

static bool ready_any(struct epoll *ep)
{
	return !list_looks_empty(&ep->ready);
}

/* ---- the file ------------------------------------------------------------------------------- */

/* Readable when some item has something to report. Those that turn out not to are dropped. */
static uint32_t epoll_poll(struct file *f)
{
	struct epoll *ep = f->priv;
	uint32_t ev = 0;

	if (!ready_any(ep))
		return 0;
	/* Outer instances poll inner ones. */
	mutex_lock_nested(&ep->mu);
	while (!ev) {
		struct epoll_item *it = ready_take(ep, 1);

		if (!it)
			break;
		if (item_poll(it)) {
			AUTO_LOCK(&ep->ready_mu);
			if (!it->ready) {
				it->ready = true;
				list_push_front(&ep->ready, &it->ready_node);
			}
			ev = POLLIN | POLLRDNORM;
		}
	}
	mutex_unlock(&ep->mu);
	return ev;
}

static struct waitq *epoll_waitq(struct file *f)
{
	return &((struct epoll *)f->priv)->poll_wq;
}

/* The item leaves its file and its instance and is freed. Tree lock and ep->mu are held. */
static void item_remove_locked(struct epoll_item *it)
{
	struct epoll *ep = it->ep;

	waitq_remove(&it->w);
	{
		AUTO_LOCK(&ep->ready_mu);
		list_del_init(&it->ready_node);
		htable_remove(&ep->items, &it->hash);
	}
	list_del_init(&it->file_node);
	free(it);
}

static void epoll_release(struct file *f)
{
	struct epoll *ep = f->priv;

	{
		AUTO_LOCK(&epoll_tree_lock);
		AUTO_LOCK(&ep->mu);
		for (struct hnode *n = htable_iter(&ep->items, NULL), *next; n; n = next) {
			next = htable_iter(&ep->items, n);
			item_remove_locked(container_of(n, struct epoll_item, hash));
		}
	}
	htable_destroy(&ep->items);
	waitq_destroy(&ep->wq);
	waitq_destroy(&ep->poll_wq);
	mutex_destroy(&ep->mu);
	mutex_destroy(&ep->ready_mu);
	free(ep);
}

/* A watched file has lost its last reference. */
static void watched_file_gone(struct file *f)
{
	struct epoll_watch *watch = atomic_load(&f->epolls);

	AUTO_LOCK(&epoll_tree_lock);
	list_for_each_safe (it, &watch->items, struct epoll_item, file_node) {
		struct epoll *ep = it->ep;

		AUTO_LOCK(&ep->mu);
		item_remove_locked(it);
	}
	atomic_store(&f->epolls, NULL);
	free(watch);
}

/* Within the read of another file, so not under ep->mu. An item leaves the table before its file goes. */
static int epoll_show(struct file *f, char *buf, size_t size)
{
	struct epoll *ep = f->priv;
	struct hnode *n = NULL;
	size_t used = 0;

	AUTO_LOCK(&ep->ready_mu);
	while (used < size && (n = htable_iter(&ep->items, n))) {
		struct epoll_item *it = container_of(n, struct epoll_item, hash);

		used += (size_t)snprintf(buf + used, size - used,
				 "tfd: %8d events: %8x data: %16llx pos:%lli ino:%llx sdev:%llx\n",
				 it->fd, atomic_load(&it->events), (unsigned long long)it->data,
				 (long long)it->file->pos, (unsigned long long)it->file->inode->ino,
				 (unsigned long long)it->file->inode->fs->dev);
	}
	return (int)used;
}

static const struct file_ops epoll_ops = {
	.seek = event_file_seek,
	.poll = epoll_poll,
	.waitq = epoll_waitq,
	.show_fdinfo = epoll_show,
	.release = epoll_release,
};

int epoll_new(const struct cred *cred, struct file **out)
{
	struct epoll *ep = calloc(1, sizeof(*ep));
	int err;

	if (!ep)
		return -ENOMEM;
	mutex_init(&ep->mu, LOCK_EPOLL);
	mutex_init(&ep->ready_mu, LOCK_EPOLL_READY);
	list_init(&ep->ready);
	waitq_init(&ep->wq);
	waitq_init(&ep->poll_wq);
	ep->wq.mu.rank = ep->poll_wq.mu.rank = LOCK_NONE;
	err = file_new_anon("anon_inode:[eventpoll]", &epoll_ops, ep, O_RDWR, FILE_READ | FILE_WRITE, cred, out);
	if (err)
		free(ep);
	else
		ep->self = *out;
	return err;
}

/* ---- epoll_ctl(2) --------------------------------------------------------------------------- */

struct item_key {
	const struct file *file;
	int fd;
};

static uint64_t item_hash(const struct file *f, int fd)
{
	return hash_combine(hash_u64((uint64_t)(uintptr_t)f), (uint64_t)fd);
}

static bool item_eq(const struct hnode *n, const void *key)
{
	const struct epoll_item *it = container_of(n, struct epoll_item, hash);
	const struct item_key *k = key;

	return it->file == k->file && it->fd == k->fd;
}

static struct epoll_item *item_find_locked(struct epoll *ep, const struct file *f, int fd)
{
	struct item_key key = {f, fd};
	struct hnode *n = htable_find(&ep->items, item_hash(f, fd), item_eq, &key);

	return n ? container_of(n, struct epoll_item, hash) : NULL;
}

static struct epoll_watch *file_watch(struct file *f)
{
	struct epoll_watch *watch = atomic_load(&f->epolls);

	if (watch)
		return watch;
	watch = calloc(1, sizeof(*watch));
	if (!watch)
		return NULL;
	list_init(&watch->items);
	f->epolls_release = watched_file_gone;
	atomic_store(&f->epolls, watch);
	return watch;
}

/* A file that becomes ready between the change and this look tells by its wake-up. */
static void item_recheck(struct epoll_item *it)
{
	if (item_poll(it))
		item_make_ready(it);
}

static int item_insert_locked(struct epoll *ep, struct epoll_item *it)
{
	AUTO_LOCK(&ep->ready_mu);
	return htable_insert(&ep->items, &it->hash, item_hash(it->file, it->fd));
}

static int item_add_locked(struct epoll *ep, struct file *f, int fd, const struct epoll_event *ev)
{
	struct epoll_watch *watch = file_watch(f);
	struct epoll_item *it;
	struct waitq *q;

	if (!watch)
		return -ENOMEM;
	it = calloc(1, sizeof(*it));
	if (!it)
		return -ENOMEM;
	*it = (struct epoll_item){.ep = ep, .file = f, .inner = epoll_of(f), .fd = fd,
				  .data = ev->data.u64};
	atomic_init(&it->events, ev->events);
	it->w.events = ~0u; /* the interest may change without leaving the queue */
	it->w.wake = item_wake;
	list_init(&it->w.node);
	list_init(&it->ready_node);
	if (item_insert_locked(ep, it) < 0) {
		free(it);
		return -ENOMEM;
	}
	list_push_back(&watch->items, &it->file_node);
	q = file_waitq(f);
	if (q)
		waitq_add(q, &it->w);
	item_recheck(it);
	return 0;
}

static int ctl_add(struct epoll *ep, struct file *epf, struct file *f, int fd,
		   const struct epoll_event *ev)
{
	struct epoll *inner = epoll_of(f);
	int err;

	AUTO_LOCK(&epoll_tree_lock);
	if (inner) {
		err = epoll_nest_check_locked(ep, epf, inner);
		if (err)
			return err;
	}
	AUTO_LOCK(&ep->mu);
	if (item_find_locked(ep, f, fd))
		return -EEXIST;
	return item_add_locked(ep, f, fd, ev);
}

static int ctl_del(struct epoll *ep, struct file *f, int fd)
{
	struct epoll_item *it;

	AUTO_LOCK(&epoll_tree_lock);
	AUTO_LOCK(&ep->mu);
	it = item_find_locked(ep, f, fd);
	if (!it)
		return -ENOENT;
	item_remove_locked(it);
	return 0;
}

static int ctl_mod(struct epoll *ep, struct file *f, int fd, const struct epoll_event *ev)
{
	struct epoll_item *it;

	AUTO_LOCK(&ep->mu);
	it = item_find_locked(ep, f, fd);
	if (!it)
		return -ENOENT;
	if (atomic_load(&it->events) & EPOLLEXCLUSIVE)
		return -EINVAL;
	it->data = ev->data.u64;
	atomic_store(&it->events, ev->events);
	item_recheck(it);
	return 0;
}

/* EPOLLEXCLUSIVE promises that at least one of the instances that watch a file is woken. All of them
 * are, here. */
static int exclusive_check(int op, const struct epoll_event *ev, const struct file *f)
{
	const uint32_t allowed = EPOLLIN | EPOLLOUT | EPOLLERR | EPOLLHUP | EPOLLWAKEUP | EPOLLET |
				 EPOLLEXCLUSIVE;

	if (op == EPOLL_CTL_DEL || !(ev->events & EPOLLEXCLUSIVE))
		return 0;
	if (op == EPOLL_CTL_MOD || epoll_of(f) || ev->events & ~allowed)
		return -EINVAL;
	return 0;
}

int64_t sys_epoll_ctl(struct task *t, int epfd, int op, int fd, struct gptr event)
{
	AUTO(file) struct file *epf = NULL;
	AUTO(file) struct file *f = NULL;
	struct epoll_event ev = {0};
	struct epoll *ep;
	int err;

	if (op != EPOLL_CTL_DEL && get_guest(t, &ev, event))
		return -EFAULT;
	err = fdtable_get(t->files, epfd, &epf);
	if (!err)
		err = fdtable_get(t->files, fd, &f);
	if (err)
		return err;
	if (!f->ops->poll)
		return -EPERM;
	ep = epoll_of(epf);
	if (!ep || epf == f)
		return -EINVAL;
	err = exclusive_check(op, &ev, f);
	if (err)
		return err;
	ev.events &= ~(uint32_t)EPOLLWAKEUP;
	switch (op) {
	case EPOLL_CTL_ADD:
		ev.events |= EPOLLERR | EPOLLHUP;
		return ctl_add(ep, epf, f, fd, &ev);
	case EPOLL_CTL_MOD:
		ev.events |= EPOLLERR | EPOLLHUP;
		return ctl_mod(ep, f, fd, &ev);
	case EPOLL_CTL_DEL:
		return ctl_del(ep, f, fd);
	}
	return -EINVAL;
}

int64_t sys_epoll_create1(struct task *t, int flags)
{
	struct file *f;
	int err;

	if (flags & ~EPOLL_CLOEXEC)
		return -EINVAL;
	err = epoll_new(t->cred, &f);
	return err ? err : fd_publish(t, f, flags & EPOLL_CLOEXEC);
}

int64_t sys_epoll_create(struct task *t, int size)
{
	return size <= 0 ? -EINVAL : sys_epoll_create1(t, 0);
}

/* ---- for epoll_wait.c ----------------------------------------------------------------------- */

int epoll_harvest(struct epoll *ep, struct epoll_event *out, int max)
{
	return ready_any(ep) ? harvest(ep, out, max) : 0;
}

void epoll_pass_on(struct epoll *ep)
{
	if (ready_any(ep))
		waitq_wake_one(&ep->wq, POLLIN);
}

int epoll_item_count(struct epoll *ep)
{
	AUTO_LOCK(&ep->mu);
	return ep->items.count > INT32_MAX ? INT32_MAX : (int)ep->items.count;
}
