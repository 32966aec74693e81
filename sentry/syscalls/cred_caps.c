/* capget(2), capset(2). */
#include <errno.h>
#include <linux/capability.h>

#include "abi/linux/sched.h"
#include "sentry/kernel/task_impl.h"
#include "sentry/mm/usercopy.h"
#include "sentry/syscalls/syscalls.h"

/* How many words of data go with the version; an unknown one is answered with ours. */
static int version_check(struct task *t, const struct linux_cap_header *h, struct gptr header,
			 unsigned *words)
{
	switch (h->version) {
	case LINUX_CAPABILITY_VERSION_1:
		*words = 1;
		return 0;
	case LINUX_CAPABILITY_VERSION_2:
	case LINUX_CAPABILITY_VERSION_3:
		*words = 2;
		return 0;
	}
	return put_guest_u32(t, header, LINUX_CAPABILITY_VERSION_3) ? -EFAULT : -EINVAL;
}

int64_t sys_capget(struct task *t, struct gptr header, struct gptr data)
{
	struct linux_cap_data d[2];
	struct linux_cap_header h;
	struct cred *c = NULL;
	struct task *target;
	unsigned words;
	int err;

	if (get_guest(t, &h, header))
		return -EFAULT;
	err = version_check(t, &h, header, &words);
	if (gptr_null(data))
		return err == -EINVAL ? 0 : err;
	if (err < 0)
		return err;
	if (h.pid < 0)
		return -EINVAL;
	{
		AUTO_LOCK(&kernel->tasks_lock);
		target = h.pid ? task_lookup_locked(h.pid) : t;
		if (target)
			c = cred_get(target->cred);
	}
	if (!c)
		return -ESRCH;
	for (unsigned i = 0; i < 2; i++) {
		d[i].effective = (uint32_t)(c->cap_effective >> 32 * i);
		d[i].permitted = (uint32_t)(c->cap_permitted >> 32 * i);
		d[i].inheritable = (uint32_t)(c->cap_inheritable >> 32 * i);
	}
	cred_put(c);
	return copy_to_guest(t, data, d, words * sizeof(d[0]));
}

static int caps_check(const struct cred *old, uint64_t e, uint64_t p, uint64_t i)
{
	if (!cred_capable(old, CAP_SETPCAP) && (i & ~(old->cap_inheritable | old->cap_permitted)))
		return -EPERM;
	if (i & ~(old->cap_inheritable | old->cap_bounding))
		return -EPERM;
	if ((p & ~old->cap_permitted) || (e & ~p))
		return -EPERM;
	return 0;
}

int64_t sys_capset(struct task *t, struct gptr header, struct gptr data)
{
	uint64_t e = 0, p = 0, inh = 0, all = (1ULL << (CAP_LAST_CAP + 1)) - 1;
	struct linux_cap_data d[2] = {0};
	struct linux_cap_header h;
	struct cred *c;
	unsigned words;
	int err;

	if (get_guest(t, &h, header))
		return -EFAULT;
	err = version_check(t, &h, header, &words);
	if (err < 0)
		return err;
	if (h.pid != 0 && h.pid != t->tid)
		return -EPERM;
	if (copy_from_guest(t, d, data, words * sizeof(d[0])))
		return -EFAULT;
	for (unsigned i = 0; i < words; i++) {
		e |= (uint64_t)d[i].effective << 32 * i;
		p |= (uint64_t)d[i].permitted << 32 * i;
		inh |= (uint64_t)d[i].inheritable << 32 * i;
	}
	e &= all;
	p &= all;
	inh &= all;
	err = caps_check(t->cred, e, p, inh);
	if (err < 0)
		return err;
	c = cred_dup(t->cred);
	if (!c)
		return -ENOMEM;
	c->cap_effective = e;
	c->cap_permitted = p;
	c->cap_inheritable = inh;
	c->cap_ambient &= p & inh;
	task_set_cred(t, c);
	return 0;
}
