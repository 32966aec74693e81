/* pidfd_open(2) and what it opens: a descriptor that stands for a process. It holds the group
 * structure, so it never means another process that got the number later. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>

#include "sentry/kernel/task_impl.h"
#include "vfs/anon.h"
#include "vfs/file.h"

static uint32_t pidfd_poll(struct file *f)
{
	struct thread_group *tg = f->priv;

	AUTO_LOCK(&kernel->tasks_lock);
	return tg->zombie ? POLLIN | POLLRDNORM : 0;
}

static struct waitq *pidfd_waitq(struct file *f)
{
	struct thread_group *tg = f->priv;

	return &tg->exit_waitq;
}

static void pidfd_release(struct file *f)
{
	thread_group_put(f->priv);
}

static int pidfd_show(struct file *f, char *buf, size_t size)
{
	struct thread_group *tg = f->priv;

	AUTO_LOCK(&kernel->tasks_lock);
	int pid = tg->leader ? tg->tgid : -1;

	return snprintf(buf, size, "Pid:\t%d\nNSpid:\t%d\n", pid, pid);
}

static const struct file_ops pidfd_ops = {
	.poll = pidfd_poll,
	.waitq = pidfd_waitq,
	.release = pidfd_release,
	.show_fdinfo = pidfd_show,
};

int pidfd_new(struct task *t, struct thread_group *tg, int flags, struct file **out)
{
	int err = file_new_anon("anon_inode:[pidfd]", &pidfd_ops, thread_group_get(tg),
				O_RDWR | flags, FILE_READ | FILE_WRITE, t->cred, out);

	if (err < 0)
		thread_group_put(tg);
	return err;
}

int pidfd_group(struct file *f, struct thread_group **out)
{
	if (f->ops != &pidfd_ops)
		return -EBADF;
	*out = thread_group_get(f->priv);
	return 0;
}
