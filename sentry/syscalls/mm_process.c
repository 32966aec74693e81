/* process_vm_readv(2), process_vm_writev(2), process_madvise(2). */
#include <errno.h>
#include <linux/capability.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "sentry/kernel/fdtable.h"
#include "sentry/kernel/kernel.h"
#include "sentry/kernel/task.h"
#include "sentry/mm/mm.h"
#include "sentry/mm/usercopy.h"
#include "sentry/syscalls/syscalls.h"

#define CHUNK 65536u
#define IOV_LIMIT 1024

/* ptrace(2)'s access check, for attaching. */
static bool may_access_memory(struct task *t, const struct cred *theirs, bool dumpable)
{
	const struct cred *c = t->cred;
	bool same = c->uid == theirs->euid && c->uid == theirs->suid && c->uid == theirs->uid &&
		    c->gid == theirs->egid && c->gid == theirs->sgid && c->gid == theirs->gid;
	bool subset = (theirs->cap_permitted & ~c->cap_permitted) == 0;

	return (same && dumpable && subset) || task_capable(t, CAP_SYS_PTRACE);
}

/* The address space of thread pid, with a reference. */
static int target_mm(struct task *t, int pid, struct mm **out)
{
	AUTO(task) struct task *other = task_lookup(pid);
	AUTO(cred) struct cred *theirs = NULL;
	struct mm *m = NULL;
	bool allowed;

	if (!other)
		return -ESRCH;
	mutex_lock(&kernel->tasks_lock);
	if (other->mm)
		m = mm_get(other->mm);
	theirs = cred_get(other->cred);
	allowed = other->tg == t->tg || may_access_memory(t, theirs, other->tg->dumpable);
	mutex_unlock(&kernel->tasks_lock);
	if (!m)
		return -ESRCH;
	if (!allowed) {
		mm_put(m);
		return -EPERM;
	}
	*out = m;
	return 0;
}

/* Moves one remote piece through `buf`. The bytes moved, less at the first obstacle on either side; -EFAULT when none. */
static ssize_t move_piece(struct guest_uio *local, struct mm *remote, const struct guest_iov *piece,
			  char *buf, bool write)
{
	uint64_t done = 0;

	while (done < piece->len && local->u.resid) {
		struct gptr at = gptr_add(piece->base, done);
		size_t n = piece->len - done < CHUNK ? piece->len - done : CHUNK;
		ssize_t got, put;

		if (n > local->u.resid)
			n = local->u.resid;
		got = write ? uio_from(&local->u, buf, n) : mm_read(remote, buf, at, n);
		if (got <= 0)
			break;
		put = write ? mm_write(remote, at, buf, (size_t)got)
			    : uio_to(&local->u, buf, (size_t)got);
		if (put <= 0)
			break;
		done += (uint64_t)put;
		if (put < (ssize_t)n)
			break;
	}
	return done || piece->len == 0 ? (ssize_t)done : -EFAULT;
}

static int64_t move_all(struct guest_uio *local, struct mm *remote, const struct guest_iov *iov,
			uint64_t n, bool write)
{
	AUTO(free) char *buf = malloc(CHUNK);
	int64_t total = 0;

	if (!buf)
		return -ENOMEM;
	for (uint64_t i = 0; i < n && local->u.resid; i++) {
		size_t want = iov[i].len < local->u.resid ? iov[i].len : local->u.resid;
		ssize_t r = move_piece(local, remote, &iov[i], buf, write);

		if (r < 0)
			return total ? total : r;
		total += r;
		if ((size_t)r < want)
			break;
	}
	return total;
}

static int64_t process_vm(struct task *t, int pid, struct gptr local_iov, uint64_t local_cnt,
			  struct gptr remote_iov, uint64_t remote_cnt, uint64_t flags, bool write)
{
	AUTO(free) struct guest_iov *remote = NULL;
	AUTO(mm) struct mm *m = NULL;
	struct guest_uio local;
	int64_t r;

	if (flags)
		return -EINVAL;
	if (remote_cnt > IOV_LIMIT)
		return -EINVAL;
	r = guest_uio_init_iov(&local, t, local_iov, local_cnt);
	if (r < 0)
		return r;
	remote = calloc(remote_cnt + 1, sizeof(*remote));
	if (!remote)
		r = -ENOMEM;
	if (!r && remote_cnt)
		r = copy_from_guest(t, remote, remote_iov, remote_cnt * sizeof(*remote));
	for (uint64_t i = 0; !r && i < remote_cnt; i++)
		if ((int64_t)remote[i].len < 0)
			r = -EINVAL;
	if (!r && local.u.resid && remote_cnt) {
		r = target_mm(t, pid, &m);
		if (!r)
			r = move_all(&local, m, remote, remote_cnt, write);
	}
	guest_uio_fini(&local);
	return r;
}

int64_t sys_process_vm_readv(struct task *t, int pid, struct gptr local, uint64_t local_cnt,
			     struct gptr remote, uint64_t remote_cnt, uint64_t flags)
{
	return process_vm(t, pid, local, local_cnt, remote, remote_cnt, flags, false);
}

int64_t sys_process_vm_writev(struct task *t, int pid, struct gptr local, uint64_t local_cnt,
			      struct gptr remote, uint64_t remote_cnt, uint64_t flags)
{
	return process_vm(t, pid, local, local_cnt, remote, remote_cnt, flags, true);
}

/* Advice about another's memory is a hint at most: checked, counted, not followed. */
int64_t sys_process_madvise(struct task *t, int pidfd, struct gptr iov, uint64_t vlen, int advice,
			    unsigned int flags)
{
	AUTO(file) struct file *f = NULL;
	struct guest_uio g;
	int64_t total;
	int err;

	if (flags)
		return -EINVAL;
	err = fdtable_get(t->files, pidfd, &f);
	if (err)
		return err;
	switch (advice) {
	case MADV_COLD:
	case MADV_PAGEOUT:
	case MADV_WILLNEED:
	case 25: /* MADV_COLLAPSE */
		break;
	default:
		return -EINVAL;
	}
	err = guest_uio_init_iov(&g, t, iov, vlen);
	if (err)
		return err;
	total = (int64_t)g.u.resid;
	guest_uio_fini(&g);
	return total;
}
