/* Telling stubs of a task's state, and hearing what they made of it. */
#include "sentry/kernel/known.h"

#include <string.h>

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
