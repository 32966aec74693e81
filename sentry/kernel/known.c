/* Telling stubs of a task's state, and hearing what they made of it. */
#include "sentry/kernel/known.h"

#include <string.h>

#include "abi/linux/stat.h"
#include "abi/linux/unistd.h"
#include "platform/stub/known.h"
#include "sentry/kernel/kernel.h"
#include "sentry/kernel/task_impl.h"

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

static void opens_drop(struct task *t, int fd)
{
	for (int i = 0; t->opens_told && i < KNOWN_OPENS; i++) {
		if (t->open_fds[i] != fd)
			continue;
		t->open_fds[i] = -1;
		known_of(t)->open[i].fd1 = 0;
	}
}

static void opens_begin(struct task *t, struct known *k)
{
	for (int i = 0; i < KNOWN_OPENS; i++) {
		t->open_fds[i] = -1;
		k->open[i].fd1 = 0;
	}
	t->opens_told = true;
}

void known_open_tell(struct task *t, int fd, const struct linux_stat *st, uint32_t of, uint64_t changed)
{
	struct known *k = known_of(t);
	struct known_open *o;
	int i;

	if (!k)
		return;
	if (!t->opens_told)
		opens_begin(t, k);
	i = t->open_turn++ % KNOWN_OPENS;
	o = &k->open[i];
	memcpy(o->stat, st, sizeof(*st));
	o->of = of;
	o->changed = changed;
	o->fd1 = (uint32_t)fd + 1;
	t->open_fds[i] = fd;
}

/* What programs call beside that, and what closes nothing. */
static bool closes_nothing(uint64_t nr)
{
	switch (nr) {
	case __NR_read:
	case __NR_pread64:
	case __NR_write:
	case __NR_lseek:
	case __NR_ioctl:
	case __NR_fcntl:
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
	default:
		return false;
	}
}

void known_opens_after(struct task *t, uint64_t nr, const uint64_t args[6])
{
	if (!t->opens_told || closes_nothing(nr))
		return;
	if (nr == __NR_close) {
		opens_drop(t, (int)args[0]);
	} else if (nr != __NR_open && nr != __NR_openat) {
		opens_begin(t, known_of(t));
		t->opens_told = false;
	}
}
