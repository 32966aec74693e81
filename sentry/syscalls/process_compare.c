/* kcmp(2), process_mrelease(2). */
#include <errno.h>
#include <linux/kcmp.h>

#include "abi/base/htable.h"
#include "sentry/ipc/sysv_exit.h"
#include "sentry/kernel/fdtable.h"
#include "sentry/kernel/fs_context.h"
#include "sentry/kernel/task_impl.h"
#include "sentry/mm/mm.h"
#include "sentry/syscalls/syscalls.h"

/* 0 equal, 1 less, 2 greater: addresses in an order that tells nothing about where they are. */
static int64_t compare(const void *a, const void *b)
{
	uint64_t x = hash_u64((uintptr_t)a), y = hash_u64((uintptr_t)b);

	if (a == b)
		return 0;
	return x < y ? 1 : 2;
}

static int64_t compare_files(struct fdtable *a, struct fdtable *b, uint64_t fd1, uint64_t fd2)
{
	AUTO(file) struct file *f1 = NULL, *f2 = NULL;

	if (fd1 > INT32_MAX || fd2 > INT32_MAX || fdtable_get_path(a, (int)fd1, &f1) < 0 ||
	    fdtable_get_path(b, (int)fd2, &f2) < 0)
		return -EBADF;
	return compare(f1, f2);
}

static int64_t compare_locked(struct task *a, struct task *b, int type)
{
	switch (type) {
	case KCMP_VM:
		return compare(a->mm, b->mm);
	case KCMP_FILES:
		return compare(a->files, b->files);
	case KCMP_FS:
		return compare(a->fs, b->fs);
	case KCMP_SIGHAND:
		return compare(a->sighand, b->sighand);
	case KCMP_IO:
		return compare(a->tg, b->tg);
	}
	return -EINVAL;
}

/* Who has no SEM_UNDO records has no list of them, as has anybody else without. */
static int64_t compare_undos(const struct task *a, const struct task *b)
{
	return compare(semaphores_undo(a->tg) ? a->tg : NULL, semaphores_undo(b->tg) ? b->tg : NULL);
}

/* Both tasks, or -errno. tasks_lock held. */
static int lookup_pair_locked(struct task *t, int pid1, int pid2, struct task **a, struct task **b)
{
	*a = task_lookup_locked(pid1);
	*b = task_lookup_locked(pid2);
	if (!*a || !*b)
		return -ESRCH;
	return task_may_access(t, *a) < 0 || task_may_access(t, *b) < 0 ? -EPERM : 0;
}

int64_t sys_kcmp(struct task *t, int pid1, int pid2, int type, uint64_t idx1, uint64_t idx2)
{
	AUTO(task) struct task *keep_a = NULL, *keep_b = NULL;
	struct fdtable *f1 = NULL, *f2 = NULL;
	struct task *a, *b;
	int64_t r;

	{
		AUTO_LOCK(&kernel->tasks_lock);
		r = lookup_pair_locked(t, pid1, pid2, &a, &b);
		if (r < 0)
			return r;
		if (type != KCMP_FILE && type != KCMP_SYSVSEM)
			return compare_locked(a, b, type);
		if (type == KCMP_FILE && (!a->files || !b->files))
			return -EBADF;
		keep_a = task_get(a);
		keep_b = task_get(b);
		f1 = a->files ? fdtable_ref(a->files) : NULL;
		f2 = b->files ? fdtable_ref(b->files) : NULL;
	}
	r = type == KCMP_FILE ? compare_files(f1, f2, idx1, idx2) : compare_undos(a, b);
	if (f1)
		fdtable_put(f1);
	if (f2)
		fdtable_put(f2);
	return r;
}

/* A process that is being killed gives its memory back by itself, and soon. */
int64_t sys_process_mrelease(struct task *t, int pidfd, unsigned int flags)
{
	AUTO(thread_group) struct thread_group *tg = NULL;
	AUTO(file) struct file *f = NULL;
	int err;

	if (flags)
		return -EINVAL;
	err = fdtable_get(t->files, pidfd, &f);
	if (err == 0)
		err = pidfd_group(f, &tg);
	if (err < 0)
		return err;
	AUTO_LOCK(&kernel->tasks_lock);
	if (!tg->leader)
		return -ESRCH;
	return tg->exiting || tg->zombie ? 0 : -EINVAL;
}
