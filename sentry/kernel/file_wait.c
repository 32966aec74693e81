#include "sentry/kernel/file_wait.h"

#include <errno.h>

#include "sentry/kernel/restart.h"
#include "sentry/kernel/task.h"
#include "vfs/file.h"
#include "vfs/waitq.h"

int64_t file_wait_op(struct task *t, struct file *f, uint32_t events, bool nonblock,
		     uint64_t deadline_ns, int64_t (*op)(struct file *f, void *arg), void *arg)
{
	int64_t r = op(f, arg);
	struct task_waiter tw;
	struct waitq *q;
	int err = 0;

	if (r != -EAGAIN || nonblock)
		return r;
	q = file_waitq(f);
	if (!q)
		return r;
	task_waiter_init(&tw, t, events);
	waitq_add(q, &tw.w);
	for (;;) {
		uint32_t seq = task_wake_prepare(t);

		r = op(f, arg);
		if (r != -EAGAIN)
			break;
		err = task_block(t, seq, deadline_ns);
		if (err == -EINTR)
			r = -ERESTARTSYS;
		if (err < 0)
			break;
	}
	waitq_remove(&tw.w);
	return r;
}
