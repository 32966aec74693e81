/* inotify(7).
 *
 * A watch joins an instance and an inode. The VFS tells of every event on an inode that has
 * watches (notify_ops); the event is queued on the instance of each watch that wants it. A watch holds a
 * reference to its inode, so an inode does not go away under its watches: they end when its last
 * name goes (IN_DELETE_SELF), when the guest removes them, or with the instance.
 *
 * One lock for all of it: events are rare, and an unwatched inode never gets here. It is taken
 * under almost any lock of the VFS, so references are put only after it is released. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>

#include "abi/base/htable.h"
#include "sentry/ipc/fd_publish.h"
#include "sentry/mm/usercopy.h"
#include "sentry/syscalls/syscalls.h"
#include "vfs/dirent.h"
#include "vfs/file.h"
#include "vfs/inode.h"
#include "vfs/fs.h"
#include "vfs/notify.h"
#include "vfs/uio.h"
#include "vfs/vfs.h"
#include "vfs/waitq.h"

#define QUEUE_MAX 16384	   /* events; /proc/sys/fs/inotify/max_queued_events */
#define WATCHES_MAX 65536  /* an instance */
#define INSTANCES_MAX 8192 /* in the sandbox */

#define MASK_VALID                                                                                 \
	(IN_ALL_EVENTS | IN_UNMOUNT | IN_Q_OVERFLOW | IN_IGNORED | IN_ONLYDIR | IN_DONT_FOLLOW |    \
	 IN_EXCL_UNLINK | IN_MASK_CREATE | IN_MASK_ADD | IN_ISDIR | (uint32_t)IN_ONESHOT)
/* What a watch keeps of the mask it was made with. */
#define MASK_KEPT (IN_ALL_EVENTS | IN_EXCL_UNLINK | (uint32_t)IN_ONESHOT)

struct event {
	struct list node;
	struct inotify_event ev; /* ev.len: of name, padded */
	char name[];
};

struct instance {
	struct waitq wq;
	/* protected by inotify_lock */
	struct list events;
	size_t nevents, bytes;
	bool overflow; /* an overflow event is queued */
	struct htable watches; /* by wd */
	int last_wd;
};

struct watch {
	struct hnode by_wd;
	struct list inode_node; /* on inode->watches */
	struct instance *in;
	struct inode *inode; /* owned */
	int wd;
	uint32_t mask;
};

/* What inode->watches points at. */
struct inotify_watches {
	struct list list;
};

static struct mutex inotify_lock = MUTEX_INIT(LOCK_INOTIFY);
static int instances; /* protected by inotify_lock */

/* ---- the queue ------------------------------------------------------------------------------ */

static size_t event_size(const struct event *e)
{
	return sizeof(e->ev) + e->ev.len;
}

/* Names are padded so that events stay aligned, and always have a NUL. */
static uint32_t name_space(size_t len)
{
	return len ? (uint32_t)((len + sizeof(struct inotify_event)) /
				sizeof(struct inotify_event) * sizeof(struct inotify_event))
		   : 0;
}

static bool same_as_last(const struct instance *in, int wd, uint32_t mask, uint32_t cookie,
			 const char *name, size_t len)
{
	const struct event *last = list_last(&in->events, struct event, node);

	return last && last->ev.wd == wd && last->ev.mask == mask &&
	       last->ev.cookie == cookie && last->ev.len == name_space(len) &&
	       (!len || (!memcmp(last->name, name, len) && !last->name[len]));
}

static void queue_push_locked(struct instance *in, int wd, uint32_t mask, uint32_t cookie,
			      const char *name, size_t len)
{
	struct event *e;

	if (same_as_last(in, wd, mask, cookie, name, len))
		return;
	if (in->nevents >= QUEUE_MAX) {
		if (in->overflow)
			return;
		in->overflow = true;
		wd = -1;
		mask = IN_Q_OVERFLOW;
		cookie = 0;
		len = 0;
	}
	e = calloc(1, sizeof(*e) + name_space(len));
	if (!e)
		return;
	e->ev.wd = wd;
	e->ev.mask = mask;
	e->ev.cookie = cookie;
	e->ev.len = name_space(len);
	if (len)
		memcpy(e->name, name, len);
	list_push_back(&in->events, &e->node);
	in->nevents++;
	in->bytes += event_size(e);
	waitq_wake(&in->wq, POLLIN | POLLRDNORM);
}

static struct event *queue_pop_locked(struct instance *in)
{
	struct event *e = list_first(&in->events, struct event, node);

	list_del_init(&e->node);
	in->nevents--;
	in->bytes -= event_size(e);
	if (e->ev.mask & IN_Q_OVERFLOW)
		in->overflow = false;
	return e;
}

/* ---- watches -------------------------------------------------------------------------------- */

/* Takes the watch off both sides; the caller puts the inode and frees the watch, unlocked. */
static void watch_detach_locked(struct watch *w)
{
	struct inotify_watches *all = atomic_load(&w->inode->watches);

	htable_remove(&w->in->watches, &w->by_wd);
	list_del_init(&w->inode_node);
	if (list_empty(&all->list)) {
		atomic_store(&w->inode->watches, NULL);
		free(all);
	}
}

static void watch_free(struct watch *w)
{
	inode_put(w->inode);
	free(w);
}

static void watch_ignore_locked(struct watch *w)
{
	queue_push_locked(w->in, w->wd, IN_IGNORED, 0, NULL, 0);
	watch_detach_locked(w);
}

/* One event for one watch; true when the watch has ended by it. */
static bool watch_event_locked(struct watch *w, const char *name, size_t len, uint32_t mask,
			       uint32_t cookie)
{
	uint32_t hit = mask & (w->mask | IN_UNMOUNT) & (IN_ALL_EVENTS | IN_UNMOUNT);

	if (hit)
		queue_push_locked(w->in, w->wd, hit | (mask & IN_ISDIR), cookie, name, len);
	if (!(mask & (IN_DELETE_SELF | IN_UNMOUNT)) && !(hit && w->mask & (uint32_t)IN_ONESHOT))
		return false;
	watch_ignore_locked(w);
	return true;
}

static void inotify_event(struct inode *inode, const char *name, size_t len, uint32_t mask,
			  uint32_t cookie)
{
	struct list ended = LIST_INIT(ended);
	struct inotify_watches *all;

	{
		AUTO_LOCK(&inotify_lock);
		all = atomic_load(&inode->watches);
		if (!all)
			return;
		/* The last one to end takes the list's head with it. */
		struct list *head = &all->list;
		struct watch *w = list_first(head, struct watch, inode_node), *next;

		for (; w; w = next) {
			bool last = w->inode_node.next == head;

			next = last ? NULL : list_entry(w->inode_node.next, struct watch, inode_node);
			if (watch_event_locked(w, name, len, mask, cookie))
				list_push_back(&ended, &w->inode_node);
		}
	}
	list_for_each_safe (w, &ended, struct watch, inode_node)
		watch_free(w);
}

/* Watches hold references: an inode with watches doesn't go. */
static void inotify_inode_gone(struct inode *inode)
{
}

static const struct notify_ops inotify_notify_ops = {
	.event = inotify_event,
	.inode_gone = inotify_inode_gone,
};

/* ---- the file ------------------------------------------------------------------------------- */

static ssize_t inotify_read(struct file *f, struct uio *dst, uint64_t off)
{
	struct instance *in = f->priv;
	ssize_t total = 0;

	for (;;) {
		struct event *e;
		ssize_t r;
		size_t n;

		{
			AUTO_LOCK(&inotify_lock);
			e = list_first(&in->events, struct event, node);
			if (!e)
				return total ? total : -EAGAIN;
			n = event_size(e);
			if (n > dst->resid)
				return total ? total : -EINVAL;
			queue_pop_locked(in);
		}
		r = uio_to(dst, &e->ev, n);
		free(e);
		if (r != (ssize_t)n)
			return total ? total : -EFAULT;
		total += r;
	}
}

static uint32_t inotify_poll(struct file *f)
{
	struct instance *in = f->priv;

	AUTO_LOCK(&inotify_lock);
	return in->nevents ? POLLIN | POLLRDNORM : 0;
}

static struct waitq *inotify_waitq(struct file *f)
{
	return &((struct instance *)f->priv)->wq;
}

static int64_t inotify_ioctl(struct file *f, struct task *t, unsigned cmd, uint64_t arg)
{
	struct instance *in = f->priv;
	size_t bytes;

	if (cmd != FIONREAD)
		return -ENOTTY;
	{
		AUTO_LOCK(&inotify_lock);
		bytes = in->bytes;
	}
	return put_guest_u32(t, gptr(arg), (uint32_t)bytes);
}

static int inotify_show(struct file *f, char *buf, size_t size)
{
	struct instance *in = f->priv;
	struct hnode *n = NULL;
	size_t used = 0;

	AUTO_LOCK(&inotify_lock);
	while (used < size && (n = htable_iter(&in->watches, n))) {
		struct watch *w = container_of(n, struct watch, by_wd);

		used += (size_t)snprintf(buf + used, size - used,
				 "inotify wd:%x ino:%llx sdev:%llx mask:%x ignored_mask:0\n", w->wd,
				 (unsigned long long)w->inode->ino,
				 (unsigned long long)w->inode->fs->dev, w->mask & IN_ALL_EVENTS);
	}
	return (int)used;
}

static void inotify_release(struct file *f)
{
	struct instance *in = f->priv;
	struct list ended = LIST_INIT(ended);

	{
		AUTO_LOCK(&inotify_lock);
		for (struct hnode *n = htable_iter(&in->watches, NULL), *next; n; n = next) {
			struct watch *w = container_of(n, struct watch, by_wd);

			next = htable_iter(&in->watches, n);
			watch_detach_locked(w);
			list_push_back(&ended, &w->inode_node);
		}
		instances--;
	}
	list_for_each_safe (w, &ended, struct watch, inode_node)
		watch_free(w);
	list_for_each_safe (e, &in->events, struct event, node)
		free(e);
	htable_destroy(&in->watches);
	waitq_destroy(&in->wq);
	free(in);
}

static const struct file_ops inotify_ops = {
	.seek = event_file_seek,
	.read = inotify_read,
	.poll = inotify_poll,
	.waitq = inotify_waitq,
	.ioctl = inotify_ioctl,
	.show_fdinfo = inotify_show,
	.release = inotify_release,
};

/* ---- system calls --------------------------------------------------------------------------- */

static int instance_count_up(void)
{
	AUTO_LOCK(&inotify_lock);
	if (instances >= INSTANCES_MAX)
		return -EMFILE;
	instances++;
	notify_ops = &inotify_notify_ops;
	return 0;
}

static void instance_count_down(void)
{
	AUTO_LOCK(&inotify_lock);
	instances--;
}

int64_t sys_inotify_init1(struct task *t, int flags)
{
	struct instance *in;
	struct file *f;
	int err;

	if (flags & ~(IN_CLOEXEC | IN_NONBLOCK))
		return -EINVAL;
	err = instance_count_up();
	if (err)
		return err;
	in = calloc(1, sizeof(*in));
	err = -ENOMEM;
	if (in) {
		waitq_init(&in->wq);
		list_init(&in->events);
		err = file_new_anon("anon_inode:inotify", &inotify_ops, in,
				    O_RDONLY | (flags & IN_NONBLOCK), FILE_READ, t->cred, &f);
	}
	if (err) {
		free(in);
		instance_count_down();
		return err;
	}
	return fd_publish(t, f, flags & IN_CLOEXEC);
}

int64_t sys_inotify_init(struct task *t)
{
	return sys_inotify_init1(t, 0);
}

static struct watch *watch_find_locked(struct instance *in, struct inode *inode)
{
	struct inotify_watches *all = atomic_load(&inode->watches);

	if (!all)
		return NULL;
	list_for_each (w, &all->list, struct watch, inode_node)
		if (w->in == in)
			return w;
	return NULL;
}

static bool watch_eq(const struct hnode *n, const void *key)
{
	return container_of(n, struct watch, by_wd)->wd == *(const int *)key;
}

static int watch_add_locked(struct instance *in, struct inode *inode, uint32_t mask)
{
	struct inotify_watches *all = atomic_load(&inode->watches);
	struct watch *w;

	if (in->watches.count >= WATCHES_MAX || in->last_wd == INT32_MAX)
		return -ENOSPC;
	w = calloc(1, sizeof(*w));
	if (!w)
		return -ENOMEM;
	w->in = in;
	w->mask = mask & MASK_KEPT;
	w->wd = in->last_wd + 1;
	if (htable_insert(&in->watches, &w->by_wd, hash_u64((uint64_t)w->wd)) < 0) {
		free(w);
		return -ENOMEM;
	}
	if (!all) {
		all = calloc(1, sizeof(*all));
		if (!all) {
			htable_remove(&in->watches, &w->by_wd);
			free(w);
			return -ENOMEM;
		}
		list_init(&all->list);
		atomic_store(&inode->watches, all);
	}
	w->inode = inode_get(inode);
	list_push_back(&all->list, &w->inode_node);
	in->last_wd = w->wd;
	return w->wd;
}

static int watch_set(struct instance *in, struct inode *inode, uint32_t mask)
{
	struct watch *w;

	AUTO_LOCK(&inotify_lock);
	w = watch_find_locked(in, inode);
	if (!w)
		return watch_add_locked(in, inode, mask);
	if (mask & IN_MASK_CREATE)
		return -EEXIST;
	w->mask = (mask & MASK_KEPT) | (mask & IN_MASK_ADD ? w->mask : 0);
	return w->wd;
}

static int inotify_file(struct task *t, int fd, struct file **out)
{
	int err = fdtable_get(t->files, fd, out);

	return !err && (*out)->ops != &inotify_ops ? -EINVAL : err;
}

static int watch_place(struct task *t, struct gptr upath, uint32_t mask, struct path *out)
{
	AUTO(free) char *path = malloc(4096);
	AUTO(walk) struct walk_ctx ctx = {0};
	unsigned flags = (mask & IN_DONT_FOLLOW ? 0u : WALK_FOLLOW) |
			 (mask & IN_ONLYDIR ? WALK_DIRECTORY : 0u);
	int err;

	if (!path)
		return -ENOMEM;
	err = copy_path_from_guest(t, path, upath);
	if (err < 0)
		return err;
	err = task_walk_begin(t, AT_FDCWD, &ctx);
	if (err)
		return err;
	err = vfs_walk(&ctx, path, flags, out);
	return err ? err : vfs_permission(out, t->cred, MAY_READ);
}

int64_t sys_inotify_add_watch(struct task *t, int fd, struct gptr path, unsigned int mask)
{
	AUTO(file) struct file *f = NULL;
	AUTO(path) struct path place = {0};
	int err;

	if (!(mask & MASK_VALID) || (mask & IN_MASK_ADD && mask & IN_MASK_CREATE))
		return -EINVAL;
	err = inotify_file(t, fd, &f);
	if (!err)
		err = watch_place(t, path, mask, &place);
	if (err)
		return err;
	return watch_set(f->priv, atomic_load(&place.dirent->inode), mask);
}

int64_t sys_inotify_rm_watch(struct task *t, int fd, int wd)
{
	AUTO(file) struct file *f = NULL;
	struct instance *in;
	struct watch *w;
	struct hnode *n;
	int err = inotify_file(t, fd, &f);

	if (err)
		return err;
	in = f->priv;
	{
		AUTO_LOCK(&inotify_lock);
		n = htable_find(&in->watches, hash_u64((uint64_t)wd), watch_eq, &wd);
		if (!n)
			return -EINVAL;
		w = container_of(n, struct watch, by_wd);
		watch_ignore_locked(w);
	}
	watch_free(w);
	return 0;
}
