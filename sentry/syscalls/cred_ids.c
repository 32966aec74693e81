/* User and group ids: credentials(7), setresuid(2) and their kin. */
#include <errno.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <stdlib.h>

#include "sentry/kernel/task_impl.h"
#include "sentry/mm/usercopy.h"
#include "sentry/syscalls/syscalls.h"

#define KEEP ((uint32_t)-1)
#define CAPBIT(c) (1ULL << (c))
/* What goes and comes with an fsuid of 0. */
#define CAPS_FS                                                                                    \
	(CAPBIT(CAP_CHOWN) | CAPBIT(CAP_DAC_OVERRIDE) | CAPBIT(CAP_DAC_READ_SEARCH) |               \
	 CAPBIT(CAP_FOWNER) | CAPBIT(CAP_FSETID) | CAPBIT(CAP_LINUX_IMMUTABLE) |                    \
	 CAPBIT(CAP_MKNOD) | CAPBIT(CAP_MAC_OVERRIDE))

int64_t sys_getuid(struct task *t)
{
	return t->cred->uid;
}

int64_t sys_geteuid(struct task *t)
{
	return t->cred->euid;
}

int64_t sys_getgid(struct task *t)
{
	return t->cred->gid;
}

int64_t sys_getegid(struct task *t)
{
	return t->cred->egid;
}

/* ---- user ids ------------------------------------------------------------------------------- */

/* capabilities(7), "Effect of user ID changes on capabilities". */
static void caps_follow_uids(const struct cred *old, struct cred *c)
{
	bool had_root = old->uid == 0 || old->euid == 0 || old->suid == 0;
	bool has_root = c->uid == 0 || c->euid == 0 || c->suid == 0;

	if (c->securebits & SECBIT_NO_SETUID_FIXUP)
		return;
	if (had_root && !has_root) {
		if (!(c->securebits & SECBIT_KEEP_CAPS))
			c->cap_permitted = c->cap_effective = 0;
		c->cap_ambient = 0;
	}
	if (old->euid == 0 && c->euid != 0)
		c->cap_effective = 0;
	if (old->euid != 0 && c->euid == 0)
		c->cap_effective = c->cap_permitted;
}

static int64_t uids_set(struct task *t, uint32_t ruid, uint32_t euid, uint32_t suid)
{
	struct cred *c = cred_dup(t->cred);

	if (!c)
		return -ENOMEM;
	c->uid = ruid;
	c->euid = c->fsuid = euid;
	c->suid = suid;
	caps_follow_uids(t->cred, c);
	task_set_cred(t, c);
	return 0;
}

int64_t sys_setuid(struct task *t, uint32_t uid)
{
	const struct cred *c = t->cred;

	if (uid == KEEP)
		return -EINVAL;
	if (task_capable(t, CAP_SETUID))
		return uids_set(t, uid, uid, uid);
	if (uid != c->uid && uid != c->suid)
		return -EPERM;
	return uids_set(t, c->uid, uid, c->suid);
}

int64_t sys_setreuid(struct task *t, uint32_t ruid, uint32_t euid)
{
	const struct cred *c = t->cred;
	bool may = task_capable(t, CAP_SETUID);
	uint32_t new_ruid = ruid == KEEP ? c->uid : ruid, new_euid = euid == KEEP ? c->euid : euid;
	uint32_t suid = c->suid;

	if (!may && new_ruid != c->uid && new_ruid != c->euid)
		return -EPERM;
	if (!may && new_euid != c->uid && new_euid != c->euid && new_euid != c->suid)
		return -EPERM;
	if (ruid != KEEP || (euid != KEEP && euid != c->uid))
		suid = new_euid;
	return uids_set(t, new_ruid, new_euid, suid);
}

static bool uid_own(const struct cred *c, uint32_t uid)
{
	return uid == KEEP || uid == c->uid || uid == c->euid || uid == c->suid;
}

int64_t sys_setresuid(struct task *t, uint32_t ruid, uint32_t euid, uint32_t suid)
{
	const struct cred *c = t->cred;

	if (!(uid_own(c, ruid) && uid_own(c, euid) && uid_own(c, suid)) &&
	    !task_capable(t, CAP_SETUID))
		return -EPERM;
	return uids_set(t, ruid == KEEP ? c->uid : ruid, euid == KEEP ? c->euid : euid,
			suid == KEEP ? c->suid : suid);
}

int64_t sys_getresuid(struct task *t, struct gptr ruid, struct gptr euid, struct gptr suid)
{
	const struct cred *c = t->cred;

	if (put_guest_u32(t, ruid, c->uid) || put_guest_u32(t, euid, c->euid) ||
	    put_guest_u32(t, suid, c->suid))
		return -EFAULT;
	return 0;
}

/* Returns the old one, whatever happens. */
int64_t sys_setfsuid(struct task *t, uint32_t uid)
{
	const struct cred *old = t->cred;
	uint32_t was = old->fsuid;
	struct cred *c;

	if (uid == KEEP || uid == was)
		return was;
	if (!uid_own(old, uid) && !task_capable(t, CAP_SETUID))
		return was;
	c = cred_dup(old);
	if (!c)
		return was;
	c->fsuid = uid;
	if (!(c->securebits & SECBIT_NO_SETUID_FIXUP)) {
		if (was == 0)
			c->cap_effective &= ~CAPS_FS;
		else if (uid == 0)
			c->cap_effective |= c->cap_permitted & CAPS_FS;
	}
	task_set_cred(t, c);
	return was;
}

/* ---- group ids ------------------------------------------------------------------------------ */

static int64_t gids_set(struct task *t, uint32_t rgid, uint32_t egid, uint32_t sgid)
{
	struct cred *c = cred_dup(t->cred);

	if (!c)
		return -ENOMEM;
	c->gid = rgid;
	c->egid = c->fsgid = egid;
	c->sgid = sgid;
	task_set_cred(t, c);
	return 0;
}

int64_t sys_setgid(struct task *t, uint32_t gid)
{
	const struct cred *c = t->cred;

	if (gid == KEEP)
		return -EINVAL;
	if (task_capable(t, CAP_SETGID))
		return gids_set(t, gid, gid, gid);
	if (gid != c->gid && gid != c->sgid)
		return -EPERM;
	return gids_set(t, c->gid, gid, c->sgid);
}

int64_t sys_setregid(struct task *t, uint32_t rgid, uint32_t egid)
{
	const struct cred *c = t->cred;
	bool may = task_capable(t, CAP_SETGID);
	uint32_t new_rgid = rgid == KEEP ? c->gid : rgid, new_egid = egid == KEEP ? c->egid : egid;
	uint32_t sgid = c->sgid;

	if (!may && new_rgid != c->gid && new_rgid != c->egid)
		return -EPERM;
	if (!may && new_egid != c->gid && new_egid != c->egid && new_egid != c->sgid)
		return -EPERM;
	if (rgid != KEEP || (egid != KEEP && egid != c->gid))
		sgid = new_egid;
	return gids_set(t, new_rgid, new_egid, sgid);
}

static bool gid_own(const struct cred *c, uint32_t gid)
{
	return gid == KEEP || gid == c->gid || gid == c->egid || gid == c->sgid;
}

int64_t sys_setresgid(struct task *t, uint32_t rgid, uint32_t egid, uint32_t sgid)
{
	const struct cred *c = t->cred;

	if (!(gid_own(c, rgid) && gid_own(c, egid) && gid_own(c, sgid)) &&
	    !task_capable(t, CAP_SETGID))
		return -EPERM;
	return gids_set(t, rgid == KEEP ? c->gid : rgid, egid == KEEP ? c->egid : egid,
			sgid == KEEP ? c->sgid : sgid);
}

int64_t sys_getresgid(struct task *t, struct gptr rgid, struct gptr egid, struct gptr sgid)
{
	const struct cred *c = t->cred;

	if (put_guest_u32(t, rgid, c->gid) || put_guest_u32(t, egid, c->egid) ||
	    put_guest_u32(t, sgid, c->sgid))
		return -EFAULT;
	return 0;
}

int64_t sys_setfsgid(struct task *t, uint32_t gid)
{
	const struct cred *old = t->cred;
	uint32_t was = old->fsgid;
	struct cred *c;

	if (gid == KEEP || gid == was)
		return was;
	if (!gid_own(old, gid) && !task_capable(t, CAP_SETGID))
		return was;
	c = cred_dup(old);
	if (!c)
		return was;
	c->fsgid = gid;
	task_set_cred(t, c);
	return was;
}

/* ---- supplementary groups ------------------------------------------------------------------- */

static int gid_compare(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

int64_t sys_getgroups(struct task *t, int size, struct gptr list)
{
	const struct cred *c = t->cred;

	if (size < 0)
		return -EINVAL;
	if (size == 0)
		return c->ngroups;
	if ((uint32_t)size < c->ngroups)
		return -EINVAL;
	if (copy_to_guest(t, list, c->groups, c->ngroups * sizeof(uint32_t)))
		return -EFAULT;
	return c->ngroups;
}

int64_t sys_setgroups(struct task *t, int size, struct gptr list)
{
	AUTO(free) uint32_t *groups = NULL;
	struct cred *c;

	if (!task_capable(t, CAP_SETGID))
		return -EPERM;
	if (size < 0 || size > CRED_NGROUPS_MAX)
		return -EINVAL;
	groups = malloc(((size_t)size + 1) * sizeof(*groups));
	if (!groups)
		return -ENOMEM;
	if (copy_from_guest(t, groups, list, (size_t)size * sizeof(*groups)))
		return -EFAULT;
	for (int i = 0; i < size; i++)
		if (groups[i] == KEEP)
			return -EINVAL;
	qsort(groups, (size_t)size, sizeof(*groups), gid_compare);
	c = cred_dup(t->cred);
	if (!c)
		return -ENOMEM;
	free(c->groups);
	c->groups = steal(&groups);
	c->ngroups = (uint32_t)size;
	task_set_cred(t, c);
	return 0;
}
