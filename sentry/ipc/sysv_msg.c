/* System V message queues: msgget(2), msgsnd(2), msgrcv(2), msgctl(2). */
#include <errno.h>
#include <linux/capability.h>
#include <stdlib.h>
#include <string.h>

#include "abi/base/list.h"
#include "sentry/ipc/sysv_table.h"
#include "sentry/kernel/restart.h"
#include "sentry/kernel/task.h"
#include "sentry/mm/usercopy.h"
#include "sentry/syscalls/syscalls.h"

#include <poll.h>

#define MSG_SIZE_MAX 8192
#define MSG_QUEUE_BYTES 16384
/* Of all queues: the sentry keeps them in its own memory. */
#define MSG_TOTAL_MAX (64UL << 20)
#define MSG_NOWAIT_FLAG 04000u
#define MSG_NOERROR_FLAG 010000u
#define MSG_EXCEPT_FLAG 020000u
#define MSG_COPY_FLAG 040000u
enum { MSG_CMD_STAT = 11, MSG_CMD_INFO, MSG_CMD_STAT_ANY };

struct message {
	struct list node;
	int64_t type;
	size_t size;
	char data[];
};

struct msg_queue {
	struct sysv_object o;
	struct linux_msqid_ds ds;
	struct list messages;
};

static size_t total; /* sentry memory of all messages; queues.mu */

static void queue_destroy(struct sysv_object *o)
{
	struct msg_queue *q = container_of(o, struct msg_queue, o);

	list_for_each_safe(m, &q->messages, struct message, node) {
		total -= sizeof(*m) + m->size;
		free(m);
	}
	free(q);
}

static struct sysv_table queues = SYSV_TABLE_INIT(queue_destroy);

static int queue_find(int id, struct msg_queue **out)
{
	struct sysv_object *o;
	int err = sysv_table_find(&queues, id, &o);

	if (err == 0)
		*out = container_of(o, struct msg_queue, o);
	return err;
}

static int64_t queue_new(struct task *t, int key, unsigned flags)
{
	struct msg_queue *q = calloc(1, sizeof(*q));
	int err;

	if (!q)
		return -ENOMEM;
	list_init(&q->messages);
	q->o.perm = &q->ds.msg_perm;
	sysv_perm_init(&q->ds.msg_perm, t, key, flags);
	q->ds.msg_ctime = sysv_now();
	q->ds.msg_qbytes = MSG_QUEUE_BYTES;
	err = sysv_table_add(&queues, &q->o);
	if (err < 0) {
		free(q);
		return err;
	}
	return q->o.id;
}

int64_t sys_msgget(struct task *t, int key, unsigned int flags)
{
	struct sysv_object *o;
	int err;

	AUTO_LOCK(&queues.mu);
	o = key == SYSV_PRIVATE ? NULL : sysv_table_by_key(&queues, key);
	if (!o) {
		if (key != SYSV_PRIVATE && !(flags & SYSV_CREAT))
			return -ENOENT;
		return queue_new(t, key, flags);
	}
	if ((flags & SYSV_CREAT) && (flags & SYSV_EXCL))
		return -EEXIST;
	err = sysv_perm_check(o->perm, t, flags & 0777);
	return err < 0 ? err : o->id;
}

/* ---- sending -------------------------------------------------------------------------------- */

static bool queue_has_room(const struct msg_queue *q, size_t size)
{
	return q->ds.msg_cbytes + size <= q->ds.msg_qbytes && q->ds.msg_qnum + 1 <= q->ds.msg_qbytes;
}

static int queue_put(struct task *t, int id, struct message *m, unsigned flags)
{
	struct msg_queue *q = NULL;
	int err;

	AUTO_LOCK(&queues.mu);
	err = queue_find(id, &q);
	while (err == 0) {
		uint32_t seq = task_wake_prepare(t);

		err = sysv_perm_check(&q->ds.msg_perm, t, 0222);
		if (err < 0 || queue_has_room(q, m->size))
			break;
		if (flags & MSG_NOWAIT_FLAG)
			return -EAGAIN;
		err = sysv_sleep(&queues, &q->o, t, seq, UINT64_MAX);
		if (err == -EINTR)
			err = -ERESTARTNOHAND;
	}
	if (err < 0)
		return err;
	if (total + sizeof(*m) + m->size > MSG_TOTAL_MAX)
		return -ENOMEM;
	total += sizeof(*m) + m->size;
	list_push_back(&q->messages, &m->node);
	q->ds.msg_cbytes += m->size;
	q->ds.msg_qnum++;
	q->ds.msg_lspid = t->tg->tgid;
	q->ds.msg_stime = sysv_now();
	waitq_wake(&q->o.wq, POLLIN);
	return 0;
}

/* The guest's message is its type, a long, and the text. */
int64_t sys_msgsnd(struct task *t, int id, struct gptr msg, uint64_t size, unsigned int flags)
{
	AUTO(free) struct message *m = NULL;
	int64_t type;
	int err;

	if (get_guest(t, &type, msg))
		return -EFAULT;
	if (id < 0 || size > MSG_SIZE_MAX || type < 1)
		return -EINVAL;
	m = calloc(1, sizeof(*m) + size);
	if (!m)
		return -ENOMEM;
	list_init(&m->node);
	m->type = type;
	m->size = size;
	if (size && copy_from_guest(t, m->data, gptr_add(msg, sizeof(type)), size))
		return -EFAULT;
	err = queue_put(t, id, m, flags);
	if (err == 0)
		steal(&m); /* the queue's now */
	return err;
}

/* ---- receiving ------------------------------------------------------------------------------ */

static struct message *message_choose(struct msg_queue *q, int64_t type, unsigned flags)
{
	struct message *best = NULL;
	int64_t index = 0;

	list_for_each(m, &q->messages, struct message, node) {
		if (flags & MSG_COPY_FLAG) {
			if (index++ == type)
				return m;
		} else if (type == 0) {
			return m;
		} else if (type > 0) {
			if ((m->type == type) != !!(flags & MSG_EXCEPT_FLAG))
				return m;
		} else if (m->type <= (type == INT64_MIN ? INT64_MAX : -type) &&
			   (!best || m->type < best->type)) {
			best = m;
		}
	}
	return best;
}

static struct message *message_copy(const struct message *m)
{
	struct message *copy = malloc(sizeof(*copy) + m->size);

	if (copy) {
		memcpy(copy, m, sizeof(*copy) + m->size);
		list_init(&copy->node);
	}
	return copy;
}

static int message_take(struct task *t, struct msg_queue *q, struct message *m, uint64_t size,
			unsigned flags, struct message **out)
{
	if (m->size > size && !(flags & MSG_NOERROR_FLAG))
		return -E2BIG;
	if (flags & MSG_COPY_FLAG) {
		*out = message_copy(m);
		return *out ? 0 : -ENOMEM;
	}
	list_del_init(&m->node);
	total -= sizeof(*m) + m->size;
	q->ds.msg_cbytes -= m->size;
	q->ds.msg_qnum--;
	q->ds.msg_lrpid = t->tg->tgid;
	q->ds.msg_rtime = sysv_now();
	waitq_wake(&q->o.wq, POLLIN);
	*out = m;
	return 0;
}

static int queue_get(struct task *t, int id, uint64_t size, int64_t type, unsigned flags,
		     struct message **out)
{
	struct msg_queue *q = NULL;
	int err;

	AUTO_LOCK(&queues.mu);
	err = queue_find(id, &q);
	while (err == 0) {
		uint32_t seq = task_wake_prepare(t);
		struct message *m;

		err = sysv_perm_check(&q->ds.msg_perm, t, 0444);
		if (err < 0)
			break;
		m = message_choose(q, type, flags);
		if (m)
			return message_take(t, q, m, size, flags, out);
		if (flags & MSG_NOWAIT_FLAG)
			return -ENOMSG;
		err = sysv_sleep(&queues, &q->o, t, seq, UINT64_MAX);
		if (err == -EINTR)
			err = -ERESTARTNOHAND;
	}
	return err;
}

int64_t sys_msgrcv(struct task *t, int id, struct gptr msg, uint64_t size, int64_t type,
		   unsigned int flags)
{
	AUTO(free) struct message *m = NULL;
	int err;

	if (id < 0 || size > INT64_MAX)
		return -EINVAL;
	if ((flags & MSG_COPY_FLAG) && (!(flags & MSG_NOWAIT_FLAG) || (flags & MSG_EXCEPT_FLAG)))
		return -EINVAL;
	err = queue_get(t, id, size, type, flags, &m);
	if (err < 0)
		return err;
	if (size > m->size)
		size = m->size;
	if (put_guest(t, msg, &m->type) ||
	    (size && copy_to_guest(t, gptr_add(msg, sizeof(m->type)), m->data, size)))
		return -EFAULT;
	return (int64_t)size;
}

/* ---- msgctl --------------------------------------------------------------------------------- */

static int64_t msg_info(struct task *t, int cmd, struct gptr dst)
{
	struct linux_msginfo mi = {
		.msgmax = MSG_SIZE_MAX,
		.msgmnb = MSG_QUEUE_BYTES,
		.msgmni = SYSV_TABLE_MAX,
		.msgpool = SYSV_TABLE_MAX * (MSG_QUEUE_BYTES / 1024),
		.msgmap = MSG_QUEUE_BYTES,
		.msgssz = 16,
		.msgtql = MSG_QUEUE_BYTES,
		.msgseg = 0xffff,
	};
	int highest;

	{
		AUTO_LOCK(&queues.mu);
		highest = queues.highest < 0 ? 0 : queues.highest;
		if (cmd == MSG_CMD_INFO) {
			mi.msgpool = queues.used;
			mi.msgmap = mi.msgtql = 0;
			for (int i = 0; i <= queues.highest; i++) {
				struct msg_queue *q;

				if (!queues.slot[i])
					continue;
				q = container_of(queues.slot[i], struct msg_queue, o);
				mi.msgmap += (int)q->ds.msg_qnum;
				mi.msgtql += (int)q->ds.msg_cbytes;
			}
		}
	}
	return put_guest(t, dst, &mi) ? -EFAULT : highest;
}

static int64_t msg_stat(struct task *t, int id, int cmd, struct gptr dst)
{
	struct linux_msqid_ds ds;
	int64_t result = 0;

	{
		AUTO_LOCK(&queues.mu);
		struct msg_queue *q = NULL;
		struct sysv_object *o;
		int err;

		if (cmd == SYSV_STAT) {
			err = queue_find(id, &q);
			if (err < 0)
				return err;
		} else {
			o = sysv_table_index(&queues, id);
			if (!o)
				return -EINVAL;
			q = container_of(o, struct msg_queue, o);
			result = o->id;
		}
		err = cmd == MSG_CMD_STAT_ANY ? 0 : sysv_perm_check(&q->ds.msg_perm, t, 0444);
		if (err < 0)
			return err;
		ds = q->ds;
	}
	return put_guest(t, dst, &ds) ? -EFAULT : result;
}

static int64_t msg_change(struct task *t, int id, int cmd, struct gptr src)
{
	struct linux_msqid_ds ds;
	struct msg_queue *q = NULL;
	int err;

	if (cmd == SYSV_SET && get_guest(t, &ds, src))
		return -EFAULT;
	AUTO_LOCK(&queues.mu);
	err = queue_find(id, &q);
	if (err == 0)
		err = sysv_perm_owner(&q->ds.msg_perm, t);
	if (err < 0)
		return err;
	if (cmd == SYSV_RMID) {
		sysv_table_remove(&queues, &q->o);
		return 0;
	}
	if (ds.msg_qbytes > MSG_QUEUE_BYTES && !task_capable(t, CAP_SYS_RESOURCE))
		return -EPERM;
	sysv_perm_set(&q->ds.msg_perm, &ds.msg_perm);
	q->ds.msg_qbytes = ds.msg_qbytes;
	q->ds.msg_ctime = sysv_now();
	waitq_wake(&q->o.wq, POLLIN);
	return 0;
}

int64_t sys_msgctl(struct task *t, int id, int cmd, struct gptr buf)
{
	if (id < 0 || cmd < 0)
		return -EINVAL;
	switch (cmd) {
	case SYSV_INFO:
	case MSG_CMD_INFO:
		return msg_info(t, cmd, buf);
	case SYSV_STAT:
	case MSG_CMD_STAT:
	case MSG_CMD_STAT_ANY:
		return msg_stat(t, id, cmd, buf);
	case SYSV_SET:
	case SYSV_RMID:
		return msg_change(t, id, cmd, buf);
	}
	return -EINVAL;
}
