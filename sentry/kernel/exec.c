/* execve(2): a new program in an old process.
 *
 *	open, #! lines, credentials, new address space	may fail: the caller goes on as it was
 *	de_thread					the other tasks of the process die
 *	commit						nothing fails any more
 *
 * The new address space is complete before the old one is touched, so a failure needs no undoing. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "sentry/kernel/cred_exec.h"
#include "sentry/kernel/fdtable.h"
#include "sentry/kernel/known.h"
#include "sentry/kernel/ptrace.h"
#include "sentry/kernel/seccomp.h"
#include "sentry/kernel/task_impl.h"
#include "sentry/kernel/timer.h"
#include "sentry/mm/mm.h"
#include "vfs/dirent.h"
#include "vfs/file.h"
#include "vfs/inode.h"
#include "vfs/vfs.h"

int task_open_exec(struct task *t, int dirfd, const char *path, int flags, struct file **out)
{
	unsigned walk = flags & AT_SYMLINK_NOFOLLOW ? 0 : WALK_FOLLOW;
	AUTO(walk) struct walk_ctx ctx = {0};
	AUTO(path) struct path p = {0};
	struct inode *inode;
	int err = task_walk_begin(t, dirfd, &ctx);

	if (err < 0)
		return err;
	if (flags & AT_EMPTY_PATH)
		walk |= WALK_EMPTY_PATH;
	err = vfs_walk(&ctx, path, walk | WALK_TO_READ, &p);
	if (err < 0)
		return err;
	inode = p.dirent->inode;
	if (S_ISLNK(inode_type(inode)))
		return -ELOOP;
	if (!S_ISREG(inode_type(inode)) || (p.mount->flags & MNT_NOEXEC))
		return -EACCES;
	err = vfs_permission(&p, t->cred, MAY_EXEC);
	if (err < 0)
		return err;
	/* Before anything looks at what is in it. The program is guarded once more while it runs: mm_set_exe(). */
	if (inode_has_writers(inode))
		return -ETXTBSY;
	return file_open_path(&p, O_RDONLY | O_LARGEFILE, t->cred, out);
}

static void strings_free(char **v)
{
	if (!v)
		return;
	for (char **s = v; *s; s++)
		free(*s);
	free(v);
}

void exec_args_free(struct exec_args *a)
{
	if (a->file)
		file_put(a->file);
	free(a->filename);
	strings_free(a->argv);
	strings_free(a->envp);
	memset(a, 0, sizeof(*a));
}

static void image_discard(struct exec_image *img)
{
	kernel->pf_ops->thread_destroy(img->thread);
	mm_put(img->mm);
}

/* ---- commit --------------------------------------------------------------------------------- */

static void signals_reset(struct task *t, struct sighand *fresh)
{
	struct sighand *old = NULL;

	AUTO_LOCK(&kernel->tasks_lock);
	if (ref_count(&t->sighand->ref) > 1) {
		memcpy(fresh->action, t->sighand->action, sizeof(fresh->action));
		old = t->sighand;
		t->sighand = sighand_get(fresh);
	}
	for (int i = 0; i < GUEST_NSIG; i++) {
		struct sigaction_guest *a = &t->sighand->action[i];

		*a = (struct sigaction_guest){.handler = a->handler == 1 ? 1 : 0};
	}
	sighand_put(old);
	altstack_reset(t);
	signal_recalc_locked(t);
}

static void address_space_switch(struct task *t, struct exec_image *img)
{
	struct mm *old = t->mm;
	bool vforked = !t->tg->owns_space && t->vfork_parent;

	if (old) {
		if (t->tg->owns_space)
			task_note_rss(t);
		task_release_user_state(t, false);
	}
	{
		AUTO_LOCK(&kernel->tasks_lock);
		task_leave_space_locked(t, img->mm, true);
		thread_group_owns_space(t->tg);
		memcpy(t->comm, img->comm, sizeof(t->comm));
		t->comm[sizeof(t->comm) - 1] = '\0';
	}
	task_switch_pt(t, img->thread, !vforked);
	if (old)
		mm_put(old);
}

static void cred_commit(struct task *t, struct cred *c, bool secure, bool readable)
{
	struct cred *old = t->cred;
	bool changed = old->euid != c->euid || old->egid != c->egid ||
		       (c->cap_permitted & ~old->cap_permitted);

	cred_keep_id(c, old);
	AUTO_LOCK(&kernel->tasks_lock);
	if (changed || secure)
		t->pdeathsig = 0;
	t->tg->dumpable = c->euid == c->uid && c->egid == c->gid && readable ? 1 : 0;
	t->cred = c;
	t->tg->has_execed = true;
	cred_put(old);
}

static void exec_commit(struct task *t, struct exec_image *img, struct cred *c, bool secure,
			bool readable, struct sighand *fresh)
{
	known_actions_end(t);
	known_opens_end(t);
	address_space_switch(t, img);
	cred_commit(t, c, secure, readable);
	signals_reset(t, fresh);
	fdtable_close_on_exec(t->files);
	thread_group_timers_exec(t);
	t->robust_list = GNULL;
	t->clear_child_tid = t->set_child_tid = GNULL;
	t->restart = NULL;
	t->fault_addr = t->fault_trapno = t->fault_error = 0;
	task_publish(t);
}

/* ---- the call ------------------------------------------------------------------------------- */

/* A table shared with another process is left to it (execve(2)). */
static int files_unshare(struct task *t)
{
	struct fdtable *copy, *old;
	int err;

	if (!fdtable_is_shared(t->files))
		return 0;
	err = fdtable_clone(t->files, &copy);
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

int64_t task_exec(struct task *t, struct exec_args *args)
{
	AUTO(cred) struct cred *c = NULL;
	struct sighand *fresh;
	struct exec_image img;
	bool secure, readable, no_new_privs = task_no_new_privs(t);
	int old_tid = t->tid;
	int err = loader_resolve_script(t, args);

	if (err < 0)
		return err;
	err = cred_for_exec(t, args->file, &c, &secure);
	if (err < 0)
		return err;
	args->secure = secure;
	args->uid = c->uid;
	args->euid = c->euid;
	args->gid = c->gid;
	args->egid = c->egid;
	readable = vfs_permission(&args->file->path, c, MAY_READ) == 0;
	fresh = sighand_new();
	if (!fresh)
		return -ENOMEM;
	err = loader_load(t, args, &img);
	if (err == 0) {
		err = task_de_thread(t);
		/* A sibling had the time to take the rights that c may have. */
		if (err == 0 && task_no_new_privs(t) != no_new_privs)
			err = -EAGAIN;
		if (err == 0)
			err = files_unshare(t);
		if (err < 0)
			image_discard(&img);
	}
	if (err == 0)
		exec_commit(t, &img, steal(&c), secure, readable, fresh);
	sighand_put(fresh);
	if (err == 0)
		ptrace_exec(t, old_tid);
	return err;
}
