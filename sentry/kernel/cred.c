/* Credentials of tasks: swapping them in, and who may look into whom. */
#include <errno.h>
#include <linux/capability.h>

#include "sentry/kernel/task_impl.h"

static bool caps_within(uint64_t a, uint64_t b)
{
	return !(a & ~b);
}

void task_set_cred(struct task *t, struct cred *c)
{
	struct cred *old = t->cred;
	bool privileges = old->euid != c->euid || old->egid != c->egid || old->fsuid != c->fsuid ||
			  old->fsgid != c->fsgid ||
			  !caps_within(c->cap_permitted, old->cap_permitted);
	bool told;

	cred_keep_id(c, old);
	told = old->id == c->id;
	{
		AUTO_LOCK(&kernel->tasks_lock);
		if (privileges) {
			t->tg->dumpable = 0;
			t->pdeathsig = 0;
		}
		if (c->uid != t->charged_uid &&
		    user_charge_locked(c->uid, USER_NPROC, UINT64_MAX) == 0) {
			user_uncharge_locked(t->charged_uid, USER_NPROC);
			t->charged_uid = c->uid;
		}
		t->cred = c;
		cred_put(old);
	}
	if (!told && t->pt)
		task_publish(t);
}

int task_may_access(struct task *t, struct task *target)
{
	const struct cred *c = t->cred, *o = target->cred;

	if (t->tg == target->tg)
		return 0;
	if (cred_capable(c, CAP_SYS_PTRACE))
		return 0;
	if (c->fsuid != o->uid || c->fsuid != o->euid || c->fsuid != o->suid ||
	    c->fsgid != o->gid || c->fsgid != o->egid || c->fsgid != o->sgid)
		return -EPERM;
	if (target->tg->dumpable != 1 || !caps_within(o->cap_permitted, c->cap_permitted))
		return -EPERM;
	return 0;
}
