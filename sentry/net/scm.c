#include "sentry/net/scm.h"

#include <errno.h>
#include <linux/capability.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include "sentry/kernel/fdtable.h"
#include "sentry/kernel/kernel.h"
#include "sentry/kernel/task.h"
#include "sentry/mm/usercopy.h"
#include "vfs/cred.h"
#include "vfs/file.h"

#define CONTROL_MAX 20480 /* bytes; net.core.optmem_max */

/* ---- files in flight ------------------------------------------------------------------------ */

/* Putting a file may release a socket that holds more files, and so on as deep as a guest likes.
 * The outermost put of a thread works through a list instead. */
static _Thread_local struct scm_rights *put_pending;
static _Thread_local bool put_running;

static void put_files(struct scm_rights *r)
{
	for (uint32_t i = 0; i < r->n; i++)
		file_put(r->file[i]);
	free(r);
}

void scm_rights_put(struct scm_rights *r)
{
	if (!r)
		return;
	r->next = put_pending;
	put_pending = r;
	if (put_running)
		return;
	put_running = true;
	while ((r = put_pending)) {
		put_pending = r->next;
		put_files(r);
	}
	put_running = false;
}

static struct scm_rights *rights_alloc(uint32_t n)
{
	return calloc(1, sizeof(struct scm_rights) + n * sizeof(struct file *));
}

struct scm_rights *scm_rights_dup(const struct scm_rights *r)
{
	struct scm_rights *d = rights_alloc(r->n);

	if (!d)
		return NULL;
	for (; d->n < r->n; d->n++)
		d->file[d->n] = file_get(r->file[d->n]);
	return d;
}

void scm_cred_of(struct task *t, struct linux_ucred *out)
{
	*out = (struct linux_ucred){t->tg->tgid, t->cred->uid, t->cred->gid};
}

/* ---- sending -------------------------------------------------------------------------------- */

static int rights_add(struct task *t, struct scm *scm, const uint8_t *data, size_t len)
{
	uint32_t n = (uint32_t)(len / sizeof(int32_t));
	uint32_t have = scm->rights ? scm->rights->n : 0;
	struct scm_rights *r;

	if (have + n > SCM_RIGHTS_MAX)
		return -EINVAL;
	if (!n)
		return 0;
	r = realloc(scm->rights, sizeof(*r) + (have + n) * sizeof(struct file *));
	if (!r)
		return -ENOMEM;
	if (!scm->rights)
		*r = (struct scm_rights){0};
	scm->rights = r;
	for (uint32_t i = 0; i < n; i++) {
		int32_t fd;
		int err;

		memcpy(&fd, data + i * sizeof(fd), sizeof(fd));
		err = fdtable_get_path(t->files, fd, &r->file[r->n]);
		if (err)
			return err;
		r->n++;
	}
	return 0;
}

static bool id_ok(uint32_t id, uint32_t a, uint32_t b, uint32_t c, bool capable)
{
	return id == a || id == b || id == c || capable;
}

static int cred_add(struct task *t, struct scm *scm, const uint8_t *data, size_t len)
{
	const struct cred *c = t->cred;
	struct linux_ucred u;

	if (len != sizeof(u))
		return -EINVAL;
	memcpy(&u, data, sizeof(u));
	if ((u.pid != t->tg->tgid && !task_capable(t, CAP_SYS_ADMIN)) ||
	    !id_ok(u.uid, c->uid, c->euid, c->suid, task_capable(t, CAP_SETUID)) ||
	    !id_ok(u.gid, c->gid, c->egid, c->sgid, task_capable(t, CAP_SETGID)))
		return -EPERM;
	if (u.pid != t->tg->tgid) {
		AUTO_LOCK(&kernel->tasks_lock);
		if (!thread_group_lookup_locked(u.pid))
			return -ESRCH;
	}
	scm->cred = u;
	scm->has_cred = true;
	return 0;
}

/* IP_TOS, IP_TTL and their like of IPv6: an int (or for IP a byte). Others are taken as they are. */
static int ip_add(struct scm *scm, const struct linux_cmsghdr *h, const uint8_t *data, size_t len)
{
	bool v4 = h->cmsg_level == IPPROTO_IP;
	bool tos = h->cmsg_type == (v4 ? IP_TOS : IPV6_TCLASS);
	bool ttl = h->cmsg_type == (v4 ? IP_TTL : IPV6_HOPLIMIT);
	int v = 0;

	if (!tos && !ttl)
		return 0;
	if (len == sizeof(v))
		memcpy(&v, data, sizeof(v));
	else if (len == 1 && v4)
		v = data[0];
	else
		return -EINVAL;
	if (v < (v4 ? 0 : -1) || v > 255)
		return -EINVAL;
	if (tos)
		scm->tos_plus1 = (uint16_t)(v + 1);
	else
		scm->ttl_plus1 = (uint16_t)(v + 1);
	return 0;
}

static int control_parse(struct task *t, const uint8_t *buf, size_t len, struct scm *scm)
{
	size_t at = 0;

	while (len - at >= sizeof(struct linux_cmsghdr)) {
		struct linux_cmsghdr h;
		const uint8_t *data = buf + at + sizeof(h);
		size_t n;
		int err = 0;

		memcpy(&h, buf + at, sizeof(h));
		if (h.cmsg_len < sizeof(h) || h.cmsg_len > len - at)
			return -EINVAL;
		n = h.cmsg_len - sizeof(h);
		if (h.cmsg_level == SOL_SOCKET) {
			if (h.cmsg_type == SCM_RIGHTS)
				err = rights_add(t, scm, data, n);
			else if (h.cmsg_type == SCM_CREDENTIALS)
				err = cred_add(t, scm, data, n);
			else
				err = -EINVAL;
		} else if (h.cmsg_level == IPPROTO_IP || h.cmsg_level == IPPROTO_IPV6) {
			err = ip_add(scm, &h, data, n);
		}
		if (err)
			return err;
		if (linux_cmsg_align(h.cmsg_len) >= len - at)
			break;
		at += linux_cmsg_align(h.cmsg_len);
	}
	return 0;
}

int scm_from_guest(struct task *t, struct gptr control, uint64_t len, struct scm *scm)
{
	AUTO(free) uint8_t *buf = NULL;
	int err;

	if (len > CONTROL_MAX)
		return -ENOBUFS;
	buf = malloc(len);
	if (!buf)
		return -ENOBUFS;
	err = copy_from_guest(t, buf, control, len);
	if (!err)
		err = control_parse(t, buf, len, scm);
	if (err) {
		scm_rights_put(scm->rights);
		scm->rights = NULL;
	}
	return err;
}

/* ---- receiving ------------------------------------------------------------------------------ */

struct control_out {
	struct gptr at;
	uint64_t room, used;
};

static void control_advance(struct control_out *c, uint64_t len)
{
	uint64_t step = linux_cmsg_align(len);

	if (step > c->room)
		step = c->room;
	c->at = gptr_add(c->at, step);
	c->room -= step;
	c->used += step;
}

/* Writes one message, clipped to the room. One that can't be written is left out: Linux fails no recvmsg(2) for
 * its control buffer. */
static void control_put(struct task *t, struct control_out *c, int level, int type, const void *data,
			size_t len, uint32_t *flags)
{
	struct linux_cmsghdr h = {sizeof(h) + len, level, type};

	if (c->room < sizeof(h)) {
		*flags |= MSG_CTRUNC;
		return;
	}
	if (h.cmsg_len > c->room) {
		*flags |= MSG_CTRUNC;
		h.cmsg_len = c->room;
	}
	if (put_guest(t, c->at, &h) == 0 &&
	    copy_to_guest(t, gptr_add(c->at, sizeof(h)), data, h.cmsg_len - sizeof(h)) == 0)
		control_advance(c, h.cmsg_len);
}

/* Writes numbers one after the other; how many could be. */
static uint32_t fds_tell(struct task *t, struct gptr at, const int32_t *fds, uint32_t n)
{
	uint32_t told = 0;

	if (copy_to_guest(t, at, fds, n * sizeof(fds[0])) == 0)
		return n;
	while (told < n && put_guest_u32(t, gptr_add(at, told * sizeof(fds[0])), (uint32_t)fds[told]) == 0)
		told++;
	return told;
}

/* Installs as many as can be told, up to max. */
static uint32_t rights_install(struct task *t, struct scm_rights *r, uint32_t max, bool cloexec, struct gptr at)
{
	uint64_t limit = task_rlimit(t, RLIMIT_NOFILE);
	int32_t fds[SCM_RIGHTS_MAX];
	uint32_t n = 0, told;

	for (; n < max; n++) {
		fds[n] = fdtable_reserve(t->files, limit);
		if (fds[n] < 0)
			break;
	}
	told = n ? fds_tell(t, at, fds, n) : 0;
	for (uint32_t i = told; i < n; i++)
		fdtable_unreserve(t->files, fds[i]);
	for (uint32_t i = 0; i < told; i++)
		fdtable_fill(t->files, fds[i], file_get(r->file[i]), cloexec);
	return told;
}

/* The numbers come first, their header afterwards: what can't be written is not told, and no error. */
static void rights_to_guest(struct task *t, struct scm_rights *r, struct control_out *c, bool cloexec,
			    uint32_t *flags)
{
	struct linux_cmsghdr h = {sizeof(h), SOL_SOCKET, SCM_RIGHTS};
	uint64_t room = c->room > sizeof(h) ? (c->room - sizeof(h)) / sizeof(int32_t) : 0;
	uint32_t max = room > r->n ? r->n : (uint32_t)room;
	uint32_t n = rights_install(t, r, max, cloexec, gptr_add(c->at, sizeof(h)));

	if (n < r->n)
		*flags |= MSG_CTRUNC;
	h.cmsg_len += n * sizeof(int32_t);
	if (n && put_guest(t, c->at, &h) == 0)
		control_advance(c, h.cmsg_len);
}

void scm_to_guest(struct task *t, struct scm *scm, const struct scm_item *items, unsigned nitems,
		  struct gptr control, uint64_t *len, bool cloexec, uint32_t *flags)
{
	struct control_out c = {control, gptr_null(control) ? 0 : *len, 0};

	for (unsigned i = 0; i < nitems; i++)
		control_put(t, &c, items[i].level, items[i].type, items[i].data, items[i].len, flags);
	if (scm->has_cred)
		control_put(t, &c, SOL_SOCKET, SCM_CREDENTIALS, &scm->cred, sizeof(scm->cred), flags);
	if (scm->rights) {
		rights_to_guest(t, scm->rights, &c, cloexec, flags);
		scm_rights_put(steal(&scm->rights));
	}
	*len = c.used;
}
