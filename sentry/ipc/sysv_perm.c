/* Permissions of System V IPC objects: ipcperms(), IPC_SET. */
#include <errno.h>
#include <linux/capability.h>
#include <string.h>
#include <time.h>

#include "sentry/ipc/sysv.h"
#include "sentry/kernel/task.h"
#include "vfs/cred.h"

void sysv_perm_init(struct linux_ipc_perm *p, struct task *t, int key, uint32_t mode)
{
	memset(p, 0, sizeof(*p));
	p->key = key;
	p->uid = p->cuid = t->cred->euid;
	p->gid = p->cgid = t->cred->egid;
	p->mode = mode & 0777;
}

int sysv_perm_check(const struct linux_ipc_perm *p, struct task *t, uint32_t mode)
{
	const struct cred *c = t->cred;
	uint32_t want = (mode >> 6 | mode >> 3 | mode) & 7, granted = p->mode;

	if (c->euid == p->cuid || c->euid == p->uid)
		granted >>= 6;
	else if (cred_in_group(c, p->cgid) || cred_in_group(c, p->gid))
		granted >>= 3;
	return (want & ~granted & 7) && !cred_capable(c, CAP_IPC_OWNER) ? -EACCES : 0;
}

int sysv_perm_owner(const struct linux_ipc_perm *p, struct task *t)
{
	const struct cred *c = t->cred;

	return c->euid == p->cuid || c->euid == p->uid || cred_capable(c, CAP_SYS_ADMIN) ? 0 : -EPERM;
}

void sysv_perm_set(struct linux_ipc_perm *p, const struct linux_ipc_perm *from)
{
	p->uid = from->uid;
	p->gid = from->gid;
	p->mode = (p->mode & ~0777u) | (from->mode & 0777);
}

int64_t sysv_now(void)
{
	return time(NULL);
}
