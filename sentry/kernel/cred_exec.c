/* execve's rules of capabilities(7):
 *
 *	P'(ambient)   = the file is privileged ? 0 : P(ambient)
 *	P'(permitted) = (P(inheritable) & F(inheritable)) | (F(permitted) & P(bounding)) | P'(ambient)
 *	P'(effective) = F(effective) ? P'(permitted) : P'(ambient)
 *
 * with F full for root unless SECBIT_NOROOT is set. */
#include "sentry/kernel/cred_exec.h"

#include <errno.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <string.h>
#include <sys/stat.h>

#include "sentry/kernel/seccomp.h"
#include "sentry/kernel/task.h"
#include "vfs/file.h"
#include "vfs/inode.h"
#include "vfs/vfs.h"

struct file_caps {
	bool present, effective;
	uint64_t permitted, inheritable;
};

/* security.capability: little-endian words; revision 3 adds the root user id of the namespace. */
static void file_caps_read(struct task *t, struct file *f, struct file_caps *out)
{
	uint32_t w[6];
	ssize_t n = vfs_getxattr(&f->path, t->cred, "security.capability", w, sizeof(w));
	uint32_t revision;

	memset(out, 0, sizeof(*out));
	if (n < (ssize_t)sizeof(w[0]))
		return;
	revision = w[0] & VFS_CAP_REVISION_MASK;
	if (!(revision == VFS_CAP_REVISION_2 && n == 20) &&
	    !(revision == VFS_CAP_REVISION_3 && n == 24 && w[5] == 0))
		return;
	out->present = true;
	out->effective = w[0] & VFS_CAP_FLAGS_EFFECTIVE;
	out->permitted = w[1] | (uint64_t)w[3] << 32;
	out->inheritable = w[2] | (uint64_t)w[4] << 32;
}

/* Root gets all of them anyway; asking costs a message to the file server. */
static bool file_caps_matter(const struct cred *c)
{
	return c->uid != 0 || c->euid != 0 || c->securebits & SECBIT_NOROOT || c->cap_ambient;
}

static void set_ids(struct cred *c, const struct vfs_attr *a)
{
	if (a->mode & S_ISUID)
		c->euid = a->uid;
	if ((a->mode & (S_ISGID | S_IXGRP)) == (S_ISGID | S_IXGRP))
		c->egid = a->gid;
}

static int permitted_compute(struct cred *c, const struct file_caps *fc, bool *effective)
{
	bool root = c->uid == 0 || c->euid == 0;

	*effective = fc->present && fc->effective;
	/* A set-user-ID-root program with capabilities of its own gets just those. */
	if (root && !(c->securebits & SECBIT_NOROOT) &&
	    !(fc->present && c->uid != 0 && c->euid == 0)) {
		c->cap_permitted = c->cap_bounding | c->cap_inheritable;
		if (c->euid == 0)
			*effective = true;
		return 0;
	}
	c->cap_permitted = (c->cap_bounding & fc->permitted) |
			   (c->cap_inheritable & fc->inheritable);
	if (fc->effective && (fc->permitted & ~c->cap_permitted))
		return -EPERM;
	return 0;
}

int cred_for_exec(struct task *t, struct file *f, struct cred **out, bool *secure)
{
	bool may_suid = !(f->path.mount->flags & MNT_NOSUID) && !task_no_new_privs(t) &&
			!t->ptrace;
	AUTO(cred) struct cred *c = cred_dup(t->cred);
	bool set_id, effective;
	struct file_caps fc = {0};
	struct vfs_attr attr;
	int err;

	if (!c)
		return -ENOMEM;
	if (may_suid) {
		err = vfs_getattr(&f->path, &attr);
		if (err < 0)
			return err;
		set_ids(c, &attr);
		if (file_caps_matter(c))
			file_caps_read(t, f, &fc);
	}
	err = permitted_compute(c, &fc, &effective);
	if (err < 0)
		return err;
	set_id = c->euid != t->cred->uid || c->egid != t->cred->gid;
	if (fc.present || (set_id && (c->euid != t->cred->euid || c->egid != t->cred->egid)))
		c->cap_ambient = 0;
	c->cap_permitted |= c->cap_ambient;
	c->cap_effective = effective ? c->cap_permitted : c->cap_ambient;
	c->suid = c->fsuid = c->euid;
	c->sgid = c->fsgid = c->egid;
	c->securebits &= ~(uint32_t)SECBIT_KEEP_CAPS;
	*secure = set_id || (c->uid != 0 && (effective || (c->cap_permitted & ~c->cap_ambient)));
	*out = steal(&c);
	return 0;
}
