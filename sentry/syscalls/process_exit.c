/* exit(2), exit_group(2). The task ends on its way to user mode, in the loop of its S thread. */
#include "sentry/kernel/task_impl.h"
#include "sentry/syscalls/syscalls.h"

static int wait_status(int status)
{
	return (status & 0xff) << 8;
}

int64_t sys_exit(struct task *t, int status)
{
	AUTO_LOCK(&kernel->tasks_lock);

	t->exit_code = wait_status(status);
	atomic_store(&t->killed, true);
	atomic_store(&t->work, true);
	return 0;
}

int64_t sys_exit_group(struct task *t, int status)
{
	AUTO_LOCK(&kernel->tasks_lock);

	task_group_exit_locked(t->tg, wait_status(status));
	atomic_store(&t->killed, true);
	atomic_store(&t->work, true);
	return 0;
}
