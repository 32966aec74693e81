/* clone(2), clone3, fork, vfork, unshare, setns: from their arguments to task_clone(). */
#include <errno.h>
#include <linux/capability.h>
#include <linux/sched.h>
#include <signal.h>
#include <string.h>

#include "sentry/kernel/fdtable.h"
#include "sentry/kernel/fs_context.h"
#include "sentry/kernel/task_impl.h"
#include "sentry/kernel/uts.h"
#include "sentry/mm/mm.h"
#include "sentry/mm/usercopy.h"
#include "sentry/syscalls/syscalls.h"

#define CLONE3_VALID (0xffffffffULL | CLONE_CLEAR_SIGHAND)
#define CLONE_ARGS_SIZE_MAX 4096

int64_t sys_fork(struct task *t)
{
	struct clone_args_kernel a = {.exit_signal = SIGCHLD};

	return task_clone(t, &a);
}

int64_t sys_vfork(struct task *t)
{
	struct clone_args_kernel a = {.exit_signal = SIGCHLD, .flags = CLONE_VFORK | CLONE_VM};

	return task_clone(t, &a);
}

int64_t sys_clone(struct task *t, uint64_t flags, struct gptr stack, struct gptr parent_tid,
		  struct gptr child_tid, uint64_t tls)
{
	struct clone_args_kernel a = {
		.flags = (uint32_t)flags & ~(uint64_t)CSIGNAL,
		.exit_signal = (int)(flags & CSIGNAL),
		.stack = stack.v,
		.parent_tid = parent_tid,
		.pidfd = parent_tid,
		.child_tid = child_tid,
		.tls = gptr(tls),
	};

	if ((a.flags & CLONE_PIDFD) && (a.flags & (CLONE_PARENT_SETTID | CLONE_DETACHED)))
		return -EINVAL;
	if ((a.flags & CLONE_PIDFD) && (a.flags & CLONE_THREAD))
		return -EINVAL;
	return task_clone(t, &a);
}

/* Copies a structure that grows with the years: what we don't know must be zero. */
static int copy_struct(struct task *t, void *dst, size_t known, struct gptr src, uint64_t size)
{
	uint8_t rest[64];
	uint64_t n = size < known ? size : known;

	memset(dst, 0, known);
	if (copy_from_guest(t, dst, src, n))
		return -EFAULT;
	while (n < size) {
		uint64_t part = size - n < sizeof(rest) ? size - n : sizeof(rest);

		if (copy_from_guest(t, rest, gptr_add(src, n), part))
			return -EFAULT;
		for (uint64_t i = 0; i < part; i++)
			if (rest[i])
				return -E2BIG;
		n += part;
	}
	return 0;
}

static int clone3_check(const struct clone_args *c)
{
	if (c->set_tid_size > 32 || (!c->set_tid) != (c->set_tid_size == 0))
		return -EINVAL;
	if (c->flags & ~CLONE3_VALID)
		return -EINVAL;
	if (c->flags & (CLONE_DETACHED | (CSIGNAL & ~CLONE_NEWTIME)))
		return -EINVAL;
	if ((c->exit_signal & ~(uint64_t)CSIGNAL) || c->exit_signal > GUEST_NSIG)
		return -EINVAL;
	if ((c->flags & (CLONE_THREAD | CLONE_PARENT)) && c->exit_signal)
		return -EINVAL;
	if ((c->stack == 0) != (c->stack_size == 0))
		return -EINVAL;
	if (c->stack && c->stack + c->stack_size < c->stack)
		return -EINVAL;
	/* A chosen pid, a cgroup, a time namespace: not here. */
	if (c->set_tid_size || (c->flags & CLONE_NEWTIME))
		return -EPERM;
	if (c->flags & CLONE_INTO_CGROUP)
		return -EOPNOTSUPP;
	return 0;
}

int64_t sys_clone3(struct task *t, struct gptr args, uint64_t size)
{
	struct clone_args_kernel a;
	struct clone_args c;
	int err;

	if (size > CLONE_ARGS_SIZE_MAX)
		return -E2BIG;
	if (size < CLONE_ARGS_SIZE_VER0)
		return -EINVAL;
	err = copy_struct(t, &c, sizeof(c), args, size);
	if (err == 0)
		err = clone3_check(&c);
	if (err < 0)
		return err;
	a = (struct clone_args_kernel){
		.flags = c.flags,
		.exit_signal = (int)c.exit_signal,
		.stack = c.stack ? c.stack + c.stack_size : 0,
		.parent_tid = gptr(c.parent_tid),
		.pidfd = gptr(c.pidfd),
		.child_tid = gptr(c.child_tid),
		.tls = gptr(c.tls),
	};
	return task_clone(t, &a);
}

/* ---- unshare, setns ------------------------------------------------------------------------- */

#define UNSHARE_VALID                                                                              \
	(CLONE_THREAD | CLONE_FS | CLONE_NEWNS | CLONE_SIGHAND | CLONE_VM | CLONE_FILES |           \
	 CLONE_SYSVSEM | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWNET | CLONE_NEWUSER |               \
	 CLONE_NEWPID | CLONE_NEWCGROUP | CLONE_NEWTIME)
#define UNSHARE_NAMESPACES                                                                         \
	(CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWNET | CLONE_NEWUSER | CLONE_NEWPID |  \
	 CLONE_NEWCGROUP | CLONE_NEWTIME)
#define UNSHARE_REFUSED                                                                            \
	(CLONE_NEWNET | CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWTIME | CLONE_NEWIPC)

/* What is shared with another task and can't be taken apart. */
static int unshare_check(struct task *t, uint64_t f)
{
	bool alone;

	if (f & ~(uint64_t)UNSHARE_VALID)
		return -EINVAL;
	if (f & (CLONE_THREAD | CLONE_SIGHAND | CLONE_VM)) {
		AUTO_LOCK(&kernel->tasks_lock);
		alone = t->tg->ntasks == 1;
		if (f & (CLONE_SIGHAND | CLONE_VM))
			alone = alone && ref_count(&t->sighand->ref) == 1;
		if (f & CLONE_VM)
			alone = alone && ref_count(&t->mm->ref) == 1;
		if (!alone)
			return -EINVAL;
	}
	if ((f & UNSHARE_NAMESPACES & ~CLONE_NEWUSER) && !task_capable(t, CAP_SYS_ADMIN))
		return -EPERM;
	return f & UNSHARE_REFUSED ? -EINVAL : 0;
}

static int unshare_files(struct task *t)
{
	struct fdtable *copy, *old;
	int err = fdtable_clone(t->files, &copy);

	if (err < 0)
		return err;
	{
		AUTO_LOCK(&kernel->tasks_lock);
		old = t->files;
		t->files = copy;
	}
	fdtable_put(old);
	return 0;
}

static int unshare_fs(struct task *t)
{
	struct fs_context *copy, *old;
	int err = fs_context_clone(t->fs, &copy);

	if (err < 0)
		return err;
	{
		AUTO_LOCK(&kernel->tasks_lock);
		old = t->fs;
		t->fs = copy;
	}
	task_publish(t);
	fs_context_put(old);
	return 0;
}

static int unshare_uts(struct task *t)
{
	struct uts_ns *copy, *old;
	int err = uts_ns_clone(t->uts_ns, &copy);

	if (err < 0)
		return err;
	{
		AUTO_LOCK(&kernel->tasks_lock);
		old = t->uts_ns;
		t->uts_ns = copy;
	}
	uts_ns_put(old);
	return 0;
}

static int unshare_mounts(struct task *t)
{
	struct mount_ns *copy, *old;
	int err = task_clone_mounts(t->mount_ns, t->fs, &copy);

	if (err < 0)
		return err;
	{
		AUTO_LOCK(&kernel->tasks_lock);
		old = t->mount_ns;
		t->mount_ns = copy;
	}
	mount_ns_put(old);
	return 0;
}

int64_t sys_unshare(struct task *t, uint64_t flags)
{
	int err = unshare_check(t, flags);

	if (err == 0 && (flags & (CLONE_FS | CLONE_NEWNS)) && ref_count(&t->fs->ref) > 1)
		err = unshare_fs(t);
	if (err == 0 && (flags & CLONE_FILES) && fdtable_is_shared(t->files))
		err = unshare_files(t);
	if (err == 0 && (flags & CLONE_NEWUTS))
		err = unshare_uts(t);
	if (err == 0 && (flags & CLONE_NEWNS))
		err = unshare_mounts(t);
	return err;
}

/* Namespaces have no descriptors here: what is given is none. */
int64_t sys_setns(struct task *t, int fd, uint64_t nstype)
{
	AUTO(file) struct file *f = NULL;
	int err = fdtable_get(t->files, fd, &f);

	return err < 0 ? err : -EINVAL;
}

int64_t sys_set_tid_address(struct task *t, struct gptr tidptr)
{
	task_hear(t);
	t->clear_child_tid = tidptr;
	return t->tid;
}
