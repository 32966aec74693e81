#include "tests/unit/gofer/raw.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "abi/base/log.h"

const char *raw_host(struct raw *r, const char *name)
{
	static char buf[4][512];
	static _Thread_local int i;

	i = (i + 1) % 4;
	snprintf(buf[i], sizeof(buf[i]), "%s/%s", r->dir, name);
	return buf[i];
}

void raw_write_host(struct raw *r, const char *name, const char *text)
{
	FILE *f = fopen(raw_host(r, name), "w");

	cr_assert(f);
	fputs(text, f);
	fclose(f);
}

void raw_open(struct raw *r, uint32_t flags, const char *version, uint32_t max_fids)
{
	struct gofer_export e = {.flags = flags, .name = "test"};
	struct gofer_config cfg = {
		.exports = &e,
		.n = 1,
		.max_fids = max_fids,
		.confinement = GOFER_CONFINE_BEST,
	};
	struct p9_msg t = {.type = P9_tversion, .tag = P9_NOTAG}, m;
	int sv[2];

	if (getenv("P9_DEBUG"))
		log_init("test", 2, LOG_DEBUG);
	umask(0);
	r->fd = -1;
	strcpy(r->dir, "/tmp/gofertest-XXXXXX");
	cr_assert(mkdtemp(r->dir));
	chmod(r->dir, 0755);
	cr_assert_eq(gofer_socketpair(sv), 0);
	e.fd = open(r->dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	e.sock = sv[1];
	cr_assert_eq(gofer_spawn(&cfg, &r->gofer), 0);
	r->sock = sv[0];
	if (!version)
		return;
	t.tversion.msize = P9_MSIZE_MAX;
	t.tversion.version = p9_str(version, strlen(version));
	cr_assert_eq(raw_rpc(r, &t, &m), 0);
	cr_assert_eq(m.rversion.version.len, strlen(version));
	t.type = P9_tattach;
	t.tattach = (struct p9_tattach){.fid = 0, .afid = P9_NOFID};
	cr_assert_eq(raw_rpc(r, &t, &m), 0);
}

int raw_close(struct raw *r)
{
	char cmd[256];
	int status = -1;

	close(r->sock);
	if (r->fd >= 0)
		close(r->fd);
	waitpid(r->gofer, &status, 0);
	snprintf(cmd, sizeof(cmd), "chmod -R u+rwx '%s'; rm -rf '%s'", r->dir, r->dir);
	cr_assert_eq(system(cmd), 0);
	return status;
}

void raw_send_bytes(struct raw *r, const void *p, size_t n)
{
	cr_assert_eq(send(r->sock, p, n, MSG_NOSIGNAL), (ssize_t)n);
}

void raw_send(struct raw *r, struct p9_msg *t)
{
	static uint8_t tx[P9_MSIZE_MAX];
	ssize_t n = p9_encode(t, tx, sizeof(tx));

	cr_assert_gt(n, 0);
	raw_send_bytes(r, tx, (size_t)n);
}

bool raw_recv(struct raw *r, struct p9_msg *m)
{
	char control[CMSG_SPACE(P9_MAXCARRIED * sizeof(int))];
	struct iovec iov = {r->rx, sizeof(r->rx)};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control,
			     .msg_controllen = sizeof(control)};
	ssize_t n = recvmsg(r->sock, &msg, MSG_CMSG_CLOEXEC);
	struct cmsghdr *cm;

	if (n <= 0)
		return false;
	cm = CMSG_FIRSTHDR(&msg);
	if (r->fd >= 0)
		close(r->fd);
	r->fd = -1;
	r->nfds = cm ? (unsigned)((cm->cmsg_len - CMSG_LEN(0)) / sizeof(int)) : 0;
	for (unsigned i = 0; i < r->nfds; i++) {
		int fd;

		memcpy(&fd, CMSG_DATA(cm) + i * sizeof(int), sizeof(int));
		if (i == 0)
			r->fd = fd;
		else
			close(fd);
	}
	cr_assert_eq(p9_decode(r->rx, (size_t)n, m), 0);
	return true;
}

int raw_rpc(struct raw *r, struct p9_msg *t, struct p9_msg *m)
{
	raw_send(r, t);
	if (!raw_recv(r, m))
		return -EPIPE;
	cr_assert_eq(m->tag, t->tag);
	if (m->type == P9_rlerror)
		return -(int)m->rlerror.ecode;
	cr_assert_eq(m->type, t->type + 1);
	return 0;
}

int raw_lookup_name(struct raw *r, uint32_t fid, const char *name, size_t len, uint32_t newfid)
{
	struct p9_msg t = {.type = P9_tlookup, .tag = 3}, m;
	int err;

	t.tlookup = (struct p9_tlookup){fid, newfid, 0, {1, {p9_str(name, len)}}};
	err = raw_rpc(r, &t, &m);
	return err ? err : m.rlookup.attrs.n == 1 ? 0 : -(int)m.rlookup.ecode;
}

int raw_lookup(struct raw *r, uint32_t fid, const char *path, uint32_t newfid)
{
	struct p9_msg t = {.type = P9_tlookup, .tag = 3}, m;
	struct p9_names *names = &t.tlookup.names;
	int err;

	t.tlookup.fid = fid;
	t.tlookup.newfid = newfid;
	for (const char *p = path; *p;) {
		size_t n = strcspn(p, "/");

		names->a[names->n++] = p9_str(p, n);
		p += n + (p[n] == '/');
	}
	err = raw_rpc(r, &t, &m);
	if (err || m.rlookup.attrs.n == names->n)
		return err;
	return m.rlookup.ecode ? -(int)m.rlookup.ecode : -ELOOP;
}

int raw_openfd(struct raw *r, uint32_t fid, uint32_t flags)
{
	struct p9_msg t = {.type = P9_topenfd, .tag = 4}, m;

	t.topenfd = (struct p9_topenfd){fid, flags};
	return raw_rpc(r, &t, &m);
}
