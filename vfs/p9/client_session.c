/* The beginning and the end of a connection. */
#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "abi/base/cleanup.h"
#include "vfs/p9/client_impl.h"

static void tversion(struct p9_call *call, const char *version)
{
	call->t.type = P9_tversion;
	call->t.tversion.msize = P9_MSIZE_MAX;
	call->t.tversion.version = p9_str(version, strlen(version));
}

/* 1: the version asked for; 0: some other. */
static int rversion(struct p9_client *c, const struct p9_call *call, const char *version)
{
	const struct p9_rversion *r = &call->r.rversion;

	if (r->msize < P9_MSIZE_MIN || r->msize > P9_MSIZE_MAX)
		return -EPROTO;
	c->msize = r->msize;
	return r->version.len == strlen(version) &&
	       memcmp(r->version.p, version, strlen(version)) == 0;
}

/* Ours: both messages are sent before the first is answered, and for all trees before the first answer
 * is waited for, which saves round trips at start. The gofer serves Tversion before it looks at
 * anything else. (Over a stream the peer may be someone else, who would stumble.) */
static int ask_extended(struct p9_client *c, const char *aname)
{
	struct p9_call *version = p9_call_get(c), *mount = p9_call_get(c);
	int err;

	if (!version || !mount)
		return -ENOMEM; /* all calls go with the client */
	c->version = version;
	c->mount = mount;
	tversion(version, P9_VERSION_SENTRY);
	mount->t.type = P9_tmount;
	mount->t.tmount = (struct p9_tmount){P9_ROOT_FID, p9_str(aname, strlen(aname))};
	err = p9_call_send(version);
	if (!err && c->seqpacket)
		err = p9_call_send(mount);
	return err;
}

/* 1: agreed and attached. */
static int finish_extended(struct p9_client *c, struct p9_attr *root)
{
	__attribute__((cleanup(auto_p9_call))) struct p9_call *version = steal(&c->version);
	__attribute__((cleanup(auto_p9_call))) struct p9_call *mount = steal(&c->mount);
	int err = p9_call_finish(version), agreed;

	agreed = err ? err : rversion(c, version, P9_VERSION_SENTRY);
	c->extended = agreed == 1;
	if (c->seqpacket)
		err = p9_call_finish(mount);
	else if (agreed == 1)
		err = p9_rpc(mount);
	if (agreed != 1)
		return agreed;
	if (!err)
		*root = mount->r.rmount.attr;
	return err ? err : 1;
}

static int negotiate_plain(struct p9_client *c, const char *aname, struct p9_attr *root)
{
	__attribute__((cleanup(auto_p9_call))) struct p9_call *call = p9_call_get(c);
	int err;

	if (!call)
		return -ENOMEM;
	tversion(call, P9_VERSION);
	err = p9_rpc(call);
	if (err)
		return err;
	err = rversion(c, call, P9_VERSION);
	if (err != 1)
		return err ? err : -EPROTO;
	call->t.type = P9_tattach;
	call->t.tattach = (struct p9_tattach){
	    .fid = P9_ROOT_FID,
	    .afid = P9_NOFID,
	    .uname = p9_str("root", 4),
	    .aname = p9_str(aname, strlen(aname)),
	    .n_uname = 0,
	};
	err = p9_rpc(call);
	if (err)
		return err;
	call->t.type = P9_tgetattr;
	call->t.tgetattr = (struct p9_tgetattr){P9_ROOT_FID, P9_GETATTR_ALL};
	err = p9_rpc(call);
	if (!err)
		*root = call->r.rgetattr.attr;
	return err;
}

int p9_client_new(int sock, const char *aname, struct p9_client **out)
{
	struct p9_client *c = calloc(1, sizeof(*c));
	const struct timeval slice = {.tv_usec = P9_SLICE_MS * 1000};
	socklen_t len = sizeof(int);
	cpu_set_t cpus;
	int type = 0, err;

	if (!c || !(c->rx = malloc(P9_MSIZE_MAX))) {
		free(c);
		close(sock);
		return -ENOMEM;
	}
	c->sock = sock;
	c->msize = P9_MSIZE_MIN;
	c->next_fid = P9_ROOT_FID + 1;
	c->may_spin = sched_getaffinity(0, sizeof(cpus), &cpus) == 0 && CPU_COUNT(&cpus) > 1;
	c->spin_ns = P9_SPIN_MAX_NS;
	c->cpu = -1;
	mutex_init(&c->mu, LOCK_P9);
	mutex_init(&c->send_mu, LOCK_NONE);
	cond_init(&c->call_freed);
	list_init(&c->free);
	list_init(&c->waiting);
	for (int i = 0; i < 2; i++)
		setsockopt(sock, SOL_SOCKET, i ? SO_SNDTIMEO : SO_RCVTIMEO, &slice, sizeof(slice));
	err = getsockopt(sock, SOL_SOCKET, SO_TYPE, &type, &len) < 0 ? -errno : 0;
	c->seqpacket = type == SOCK_SEQPACKET;
	if (!err)
		err = ask_extended(c, aname);
	if (err)
		p9_client_free(c);
	else
		*out = c;
	return err;
}

int p9_client_attach(struct p9_client *c, const char *aname, struct p9_attr *root)
{
	int err = finish_extended(c, root);

	if (!err)
		err = negotiate_plain(c, aname, root);
	return err < 0 ? err : 0;
}

void p9_client_free(struct p9_client *c)
{
	for (unsigned i = 0; i < c->ncalls; i++) {
		struct p9_call *call = c->calls[i];

		if (call->rx != call->rx_small)
			free(call->rx);
		p9_carried_close(&call->fds);
		cond_destroy(&call->cond);
		free(call);
	}
	close(c->sock);
	free(c->rx);
	free(c->free_fids);
	free(c->lost);
	mutex_destroy(&c->mu);
	mutex_destroy(&c->send_mu);
	cond_destroy(&c->call_freed);
	free(c);
}
