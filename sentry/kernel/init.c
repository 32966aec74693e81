/* The first process: made from nothing, where every other one is a clone. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "sentry/fs/tty.h"
#include "sentry/kernel/cpu_limit.h"
#include "sentry/kernel/fdtable.h"
#include "sentry/kernel/fs_context.h"
#include "sentry/kernel/pid.h"
#include "sentry/kernel/session.h"
#include "sentry/kernel/task_impl.h"
#include "sentry/kernel/uts.h"
#include "sentry/mm/mm.h"

static int strings_dup(char *const *v, char ***out, size_t *count)
{
	size_t n = 0;
	char **copy;

	while (v && v[n])
		n++;
	copy = calloc(n + 1, sizeof(*copy));
	if (!copy)
		return -ENOMEM;
	*out = copy;
	*count = n;
	for (size_t i = 0; i < n; i++) {
		copy[i] = strdup(v[i]);
		if (!copy[i])
			return -ENOMEM;
	}
	return 0;
}

static int init_exec(struct task *t, const struct task_init_args *a)
{
	struct exec_args args = {0};
	int64_t err = task_open_exec(t, AT_FDCWD, a->path, 0, &args.file);

	if (err == 0) {
		args.filename = strdup(a->path);
		err = args.filename ? strings_dup(a->argv, &args.argv, &args.argc) : -ENOMEM;
	}
	if (err == 0)
		err = strings_dup(a->envp, &args.envp, &args.envc);
	if (err == 0)
		err = task_exec(t, &args);
	exec_args_free(&args);
	return (int)err;
}

/* A session of its own, with the terminal if there is one. */
static int init_enter_tree(struct task *t, const struct task_init_args *a)
{
	struct thread_group *tg = t->tg;
	struct pid_slot *slot;
	int pid, err;

	AUTO_LOCK(&kernel->tasks_lock);
	pid = pid_alloc_locked();
	if (pid < 0)
		return pid;
	t->tid = tg->tgid = pid;
	t->charged_uid = t->cred->uid;
	user_charge_locked(t->charged_uid, USER_NPROC, UINT64_MAX);
	tg->leader = t;
	err = session_new_locked(tg);
	if (err < 0)
		return err;
	if (a->ctty) {
		struct session *s = tg->pgrp->session;

		tty_attach_locked(a->ctty, s);
		s->foreground = pgrp_get(tg->pgrp);
	}
	slot = pid_slot_locked(pid);
	slot->task = task_get(t);
	slot->reserved = false;
	list_push_back(&tg->tasks, &t->tg_node);
	tg->ntasks = 1;
	if (!kernel->init)
		kernel->init = t;
	kernel->ntasks++;
	kernel->total_forks++;
	return 0;
}

static int init_resources(struct task *t, const struct task_init_args *a)
{
	int err;

	t->cred = cred_get(a->cred);
	if (!t->cred->user_ns)
		t->cred->user_ns = kernel->root_user_ns;
	t->mount_ns = mount_ns_get(a->mount_ns);
	t->ipc_ns = kernel->ipc_ns;
	t->files = fdtable_ref(a->files);
	t->sighand = sighand_new();
	if (!t->sighand)
		return -ENOMEM;
	err = uts_ns_new(kernel->config.hostname ? kernel->config.hostname : "sentry", "(none)",
			 &t->uts_ns);
	if (err < 0)
		return err;
	return fs_context_new(a->root, a->cwd, 022, &t->fs);
}

/* Undoes what never ran. */
static void init_discard(struct task *t)
{
	cpu_limit_exit(t->tg);
	if (t->pt)
		task_switch_pt(t, NULL, true);
	if (t->mm)
		mm_put(t->mm);
	if (t->files)
		fdtable_put(t->files);
	fs_context_put(t->fs);
	if (t->mount_ns)
		mount_ns_put(t->mount_ns);
	uts_ns_put(t->uts_ns);
	{
		AUTO_LOCK(&kernel->tasks_lock);
		sighand_put(t->sighand);
		t->sighand = NULL;
		list_del_init(&t->tg_node);
		if (t->tid) {
			t->tg->ntasks = 0;
			t->tg->zombie = true;
			kernel->ntasks--;
			if (kernel->init == t) {
				kernel->init = NULL;
				kernel->exited = true;
			}
			thread_group_reap_locked(t->tg);
		}
	}
	task_put(t);
}

int task_start_init(const struct task_init_args *a, struct task **out)
{
	struct thread_group *tg = thread_group_alloc();
	struct task *t = tg ? task_alloc(tg) : NULL;
	int err;

	thread_group_put(tg);
	if (!t)
		return -ENOMEM;
	memcpy(tg->rlimits, a->rlimits, sizeof(tg->rlimits));
	tg->exit_signal = SIGCHLD;
	t->nice = a->nice;
	err = init_resources(t, a);
	if (err == 0)
		err = init_enter_tree(t, a);
	if (err == 0)
		err = init_exec(t, a);
	if (err == 0) {
		cpu_limit_update(tg);
		err = task_start_thread(t);
	}
	if (err < 0) {
		init_discard(t);
		return err;
	}
	*out = t;
	return 0;
}
