/* Telling stubs of a task's state, and hearing what they made of it. */
#include "sentry/kernel/known.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "abi/linux/stat.h"
#include "abi/linux/unistd.h"
#include "platform/stub/known.h"
#include "sentry/kernel/fdtable.h"
#include "sentry/kernel/kernel.h"
#include "sentry/kernel/task_impl.h"
#include "vfs/inode.h"

/* Calls before that many are not worth it. */
#define ACTION_CALLS 3

_Static_assert(sizeof(struct known_action) == sizeof(struct sigaction_guest) &&
		       KNOWN_SIGNALS == GUEST_NSIG,
	       "the same on both sides");

static struct known *known_of(struct task *t)
{
	return kernel->pf_ops->known && t->pt ? kernel->pf_ops->known(t->pt) : NULL;
}

/* One by one checked: the guest may have written anything. */
void known_actions_hear(struct task *t)
{
	struct known *k = t->actions_told ? known_of(t) : NULL;
	uint64_t replaced = k ? __atomic_load_n(&k->replaced, __ATOMIC_RELAXED) : 0;

	if (!replaced)
		return;
	k->replaced = 0;
	AUTO_LOCK(&kernel->tasks_lock);
	for (int i = 0; i < GUEST_NSIG; i++) {
		struct sigaction_guest *a = &t->sighand->action[i];
		struct known_action new;

		if (!(replaced & ~KNOWN_SET_NEVER & SIGBIT(i + 1)) || a->handler)
			continue;
		memcpy(&new, &k->action[i], sizeof(new));
		a->flags = new.flags & KNOWN_SA_FLAGS;
		a->restorer = new.restorer;
		a->mask = new.mask & ~SIGSET_UNBLOCKABLE;
	}
}

void known_actions_tell(struct task *t, int signo)
{
	struct known *k;

	if (!t->actions_told && ++t->action_calls < ACTION_CALLS)
		return;
	if (!t->identity.answers_allowed || ref_count(&t->sighand->ref) != 1) {
		known_actions_end(t);
		return;
	}
	k = known_of(t);
	if (!k)
		return;
	if (t->actions_told) {
		memcpy(&k->action[signo - 1], &t->sighand->action[signo - 1], sizeof(k->action[0]));
		return;
	}
	memcpy(k->action, t->sighand->action, sizeof(k->action));
	k->replaced = 0;
	k->actions = 1;
	t->actions_told = true;
}

void known_actions_end(struct task *t)
{
	if (t->actions_told) {
		known_actions_hear(t);
		known_of(t)->actions = 0;
	}
	t->actions_told = false;
	t->action_calls = 0;
}

/* ---- opens ------------------------------------------------------------------------------------ */

_Static_assert(sizeof(((struct known_open *)0)->stat) == sizeof(struct linux_stat), "struct stat");
_Static_assert(sizeof(((struct task *)0)->open_fds) == KNOWN_OPENS * sizeof(int), "as many");

/* The table has the only reference, beside the caller's: nobody else moves the position, or is told it. */
static bool pos_is_own(struct file *f)
{
	const uint32_t never = FILE_WRITE | FILE_PATH | FILE_POS_OUTSIDE;

	return S_ISREG(inode_type(f->inode)) && f->mode & FILE_SEEKABLE && !(f->mode & never) &&
	       ref_count(&f->ref) == 2;
}

static void open_forget(struct task *t, struct known *k, int i)
{
	t->open_fds[i] = -1;
	k->open[i].fd1 = 0;
}

static void opens_begin(struct task *t, struct known *k)
{
	for (int i = 0; i < KNOWN_OPENS; i++)
		open_forget(t, k, i);
	k->moved = 0;
	atomic_store(&t->opens_told, true);
}

void known_opens_end(struct task *t)
{
	if (!atomic_load_explicit(&t->opens_told, memory_order_relaxed))
		return;
	opens_begin(t, known_of(t));
	atomic_store(&t->opens_told, false);
}

static void pos_tell(struct known_open *o, struct file *f)
{
	uint64_t pos = file_pos(f);

	o->has &= ~KNOWN_POS;
	if (!pos_is_own(f) || pos > KNOWN_POS_MAX)
		return;
	o->pos = pos;
	o->has |= KNOWN_POS;
}

void known_open_tell(struct task *t, int fd, struct file *f, const struct linux_stat *st, uint32_t of,
		     uint64_t changed)
{
	struct known *k;
	struct known_open *o;
	int i;

	if (!st && !pos_is_own(f))
		return;
	k = known_of(t);
	if (!k)
		return;
	if (!atomic_load_explicit(&t->opens_told, memory_order_relaxed))
		opens_begin(t, k);
	i = t->open_turn++ % KNOWN_OPENS;
	o = &k->open[i];
	o->has = 0;
	if (st) {
		memcpy(o->stat, st, sizeof(*st));
		o->of = of;
		o->changed = changed;
		o->has = KNOWN_STAT;
	}
	pos_tell(o, f);
	o->fd1 = (uint32_t)fd + 1;
	t->open_fds[i] = fd;
}

/* What the guest makes up here it could have had by lseek(2). */
void known_opens_hear(struct task *t)
{
	struct known *k;
	uint32_t moved;

	if (!atomic_load_explicit(&t->opens_told, memory_order_relaxed))
		return;
	k = known_of(t);
	moved = __atomic_load_n(&k->moved, __ATOMIC_RELAXED);
	if (!moved)
		return;
	k->moved = 0;
	for (int i = 0; i < KNOWN_OPENS; i++) {
		AUTO(file) struct file *f = NULL;
		uint64_t pos = __atomic_load_n(&k->open[i].pos, __ATOMIC_RELAXED);

		if (moved & 1U << i && t->open_fds[i] >= 0 && pos <= KNOWN_POS_MAX &&
		    fdtable_get(t->files, t->open_fds[i], &f) == 0)
			file_seek(f, (int64_t)pos, SEEK_SET);
	}
}

static void opens_closed(struct task *t, int fd)
{
	for (int i = 0; i < KNOWN_OPENS; i++)
		if (t->open_fds[i] == fd)
			open_forget(t, known_of(t), i);
}

static void opens_moved(struct task *t, int fd)
{
	for (int i = 0; i < KNOWN_OPENS; i++) {
		AUTO(file) struct file *f = NULL;

		if (t->open_fds[i] == fd && fdtable_get(t->files, fd, &f) == 0)
			pos_tell(&known_of(t)->open[i], f);
	}
}

/* What programs call beside all that, and what closes, moves and shares nothing. */
static bool leaves_opens(uint64_t nr, const uint64_t args[6])
{
	switch (nr) {
	case __NR_open:
	case __NR_openat:
	case __NR_pread64:
	case __NR_write:
	case __NR_ioctl:
	case __NR_stat:
	case __NR_fstat:
	case __NR_lstat:
	case __NR_newfstatat:
	case __NR_access:
	case __NR_readlink:
	case __NR_getcwd:
	case __NR_getdents64:
	case __NR_mmap:
	case __NR_mprotect:
	case __NR_munmap:
	case __NR_brk:
	case __NR_rt_sigaction:
	case __NR_prlimit64:
	case __NR_getrandom:
		return true;
	case __NR_fcntl:
		return args[1] == F_GETFD || args[1] == F_SETFD || args[1] == F_GETFL;
	default:
		return false;
	}
}

void known_opens_after(struct task *t, uint64_t nr, const uint64_t args[6])
{
	if (!atomic_load_explicit(&t->opens_told, memory_order_relaxed) || leaves_opens(nr, args))
		return;
	if (nr == __NR_close)
		opens_closed(t, (int)args[0]);
	else if (nr == __NR_read || nr == __NR_lseek)
		opens_moved(t, (int)args[0]);
	else
		known_opens_end(t);
}

bool known_open_pos(struct task *o, int fd, bool share, uint64_t *pos)
{
	struct known *k;
	bool found = false;

	AUTO_LOCK(&o->pt_lock);
	if (!atomic_load(&o->opens_told))
		return false;
	k = known_of(o);
	for (int i = 0; k && i < KNOWN_OPENS; i++) {
		if (__atomic_load_n(&k->open[i].fd1, __ATOMIC_RELAXED) == (uint32_t)fd + 1 &&
		    __atomic_load_n(&k->moved, __ATOMIC_RELAXED) & 1U << i) {
			*pos = __atomic_load_n(&k->open[i].pos, __ATOMIC_RELAXED);
			found = *pos <= KNOWN_POS_MAX;
		}
		if (share)
			__atomic_store_n(&k->open[i].fd1, 0, __ATOMIC_RELAXED);
	}
	if (share && k)
		__atomic_store_n(&k->moved, 0, __ATOMIC_RELAXED);
	return found;
}
