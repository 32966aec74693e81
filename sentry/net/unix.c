/* Unix sockets' names: unix(7). A pathname socket is found through its inode, whose `special` points
 * at the name for as long as the socket is open; the name holds the place in the tree, and so the
 * inode. Abstract names are in a table, apart for each type of socket. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "abi/base/htable.h"
#include "sentry/kernel/fs_context.h"
#include "sentry/kernel/task.h"
#include "sentry/net/local.h"
#include "vfs/dirent.h"
#include "vfs/inode.h"
#include "vfs/vfs.h"

#define PATH_AT offsetof(struct linux_sockaddr_un, sun_path)
#define AUTOBIND_NAMES (1u << 20)

/* Names and who is found under them. A leaf: taken last. */
static struct mutex names_lock = MUTEX_INIT(LOCK_NONE);
static struct htable abstract_names; /* protected by names_lock */
static _Atomic uint32_t autobind_next;

/* -EINVAL unless it is an address with a name in it. */
static int addr_check(const struct sock_addr *a)
{
	if (a->len <= PATH_AT || a->len > sizeof(struct linux_sockaddr_un) ||
	    a->family != AF_UNIX)
		return -EINVAL;
	return 0;
}

static bool is_abstract(const struct sock_addr *a)
{
	return a->len > PATH_AT && !a->un.sun_path[0];
}

/* ---- abstract names ------------------------------------------------------------------------- */

struct name_key {
	const struct sock_addr *addr;
	int type;
};

static uint64_t name_hash(const struct sock_addr *a, int type)
{
	return hash_combine(hash_bytes(a->raw, a->len), (uint64_t)type);
}

static bool name_eq(const struct hnode *h, const void *key)
{
	const struct lname *n = container_of(h, struct lname, hash);
	const struct name_key *k = key;

	return n->sock->sk.type == k->type && n->addr.len == k->addr->len &&
	       !memcmp(n->addr.raw, k->addr->raw, n->addr.len);
}

static struct lname *abstract_find_locked(const struct sock_addr *a, int type)
{
	struct name_key key = {a, type};
	struct hnode *h = htable_find(&abstract_names, name_hash(a, type), name_eq, &key);

	return h ? container_of(h, struct lname, hash) : NULL;
}

static int abstract_publish(struct lname *n, struct lsock *s)
{
	AUTO_LOCK(&names_lock);
	if (abstract_find_locked(&n->addr, s->sk.type))
		return -EADDRINUSE;
	n->sock = s;
	return htable_insert(&abstract_names, &n->hash, name_hash(&n->addr, s->sk.type));
}

/* ---- names of both kinds -------------------------------------------------------------------- */

static void unix_unbind(struct lname *n)
{
	AUTO_LOCK(&names_lock);
	if (n->path.dirent)
		atomic_store(&atomic_load(&n->path.dirent->inode)->special, NULL);
	else if (n->sock)
		htable_remove(&abstract_names, &n->hash);
	n->sock = NULL;
}

/* Makes n (consumed) the name of s, once. */
static int name_give(struct lsock *s, struct lname *n)
{
	{
		AUTO_LOCK(&s->mu);
		if (!s->name) {
			s->name = n;
			return 0;
		}
	}
	unix_unbind(n);
	lname_put(n);
	return -EINVAL;
}

static int unix_autobind(struct lsock *s)
{
	for (uint32_t i = 0; i < AUTOBIND_NAMES; i++) {
		uint32_t v = atomic_fetch_add(&autobind_next, 1) % AUTOBIND_NAMES;
		struct sock_addr a = {.len = PATH_AT + 6};
		char text[8];
		struct lname *n;
		int err;

		snprintf(text, sizeof(text), "%05x", v);
		a.family = AF_UNIX;
		memcpy(a.un.sun_path + 1, text, 5);
		n = lname_new(&a);
		if (!n)
			return -ENOMEM;
		err = abstract_publish(n, s);
		if (!err) {
			name_give(s, n); /* if it was bound meanwhile, that name is as good */
			return 0;
		}
		lname_put(n);
		if (err != -EADDRINUSE)
			return err;
	}
	return -ENOSPC;
}

static void path_of(const struct sock_addr *a, char path[sizeof(a->raw) + 1])
{
	size_t n = strnlen(a->un.sun_path, a->len - PATH_AT);

	memcpy(path, a->un.sun_path, n);
	path[n] = '\0';
}

static uint32_t task_umask(struct task *t)
{
	AUTO_LOCK(&t->fs->mu);

	return t->fs->umask;
}

static int bind_path(struct lsock *s, struct task *t, const struct sock_addr *a)
{
	AUTO(walk) struct walk_ctx ctx = {0};
	char path[sizeof(a->raw) + 1];
	struct sock_addr full = *a;
	struct lname *n;
	int err;

	path_of(a, path);
	full.len = (uint32_t)(PATH_AT + strlen(path) + 1);
	full.raw[full.len - 1] = '\0';
	n = lname_new(&full);
	if (!n)
		return -ENOMEM;
	err = task_walk_begin(t, AT_FDCWD, &ctx);
	if (!err)
		err = vfs_mknod_path(&ctx, path, S_IFSOCK | (0777 & ~task_umask(t)), 0, &n->path);
	if (err) {
		lname_put(n);
		return err == -EEXIST ? -EADDRINUSE : err;
	}
	{
		AUTO_LOCK(&names_lock);
		n->sock = s;
		atomic_store(&atomic_load(&n->path.dirent->inode)->special, n);
	}
	return name_give(s, n);
}

static int unix_bind(struct lsock *s, struct task *t, const struct sock_addr *a)
{
	struct lname *n;
	int err;

	if (a->len == PATH_AT && a->family == AF_UNIX)
		return s->name ? 0 : unix_autobind(s);
	err = addr_check(a);
	if (err)
		return err;
	if (s->name)
		return -EINVAL;
	if (!is_abstract(a))
		return bind_path(s, t, a);
	n = lname_new(a);
	if (!n)
		return -ENOMEM;
	err = abstract_publish(n, s);
	if (err) {
		lname_put(n);
		return err;
	}
	return name_give(s, n);
}

/* ---- finding -------------------------------------------------------------------------------- */

static int sock_of_name_locked(const struct lname *n, struct lsock **out)
{
	if (!n || !n->sock || !ref_get_unless_zero(&n->sock->ref))
		return -ECONNREFUSED;
	*out = n->sock;
	return 0;
}

static int lookup_path(struct lsock *s, struct task *t, const struct sock_addr *a,
		       struct lsock **out)
{
	AUTO(walk) struct walk_ctx ctx = {0};
	AUTO(path) struct path place = {0};
	char path[sizeof(a->raw) + 1];
	struct inode *inode;
	int err;

	path_of(a, path);
	err = task_walk_begin(t, AT_FDCWD, &ctx);
	if (!err)
		err = vfs_walk(&ctx, path, WALK_FOLLOW, &place);
	if (!err)
		err = vfs_permission(&place, t->cred, MAY_WRITE);
	if (err)
		return err;
	inode = atomic_load(&place.dirent->inode);
	if (inode_type(inode) != S_IFSOCK)
		return -ECONNREFUSED;
	{
		AUTO_LOCK(&names_lock);
		err = sock_of_name_locked(atomic_load(&inode->special), out);
	}
	if (!err && (*out)->sk.type != s->sk.type) {
		lsock_put(*out);
		*out = NULL;
		return -EPROTOTYPE;
	}
	return err;
}

static int unix_lookup(struct lsock *s, struct task *t, const struct sock_addr *a,
		       struct lsock **out)
{
	int err = addr_check(a);

	if (err)
		return err;
	if (!is_abstract(a))
		return lookup_path(s, t, a, out);
	AUTO_LOCK(&names_lock);
	return sock_of_name_locked(abstract_find_locked(a, s->sk.type), out);
}

static void unix_name_tell(const struct lsock *s, const struct lname *n, struct sock_addr *out)
{
	if (n) {
		*out = n->addr;
		return;
	}
	*out = (struct sock_addr){.len = PATH_AT};
	out->family = AF_UNIX;
}

static const struct lfamily unix_lfamily = {
	.bind = unix_bind,
	.autobind = unix_autobind,
	.lookup = unix_lookup,
	.unbind = unix_unbind,
	.name_tell = unix_name_tell,
	.passes_scm = true,
};

static int unix_create(struct task *t, int domain, int type, int protocol, struct socket **out)
{
	struct lsock *s;

	if (protocol && protocol != PF_UNIX)
		return -EPROTONOSUPPORT;
	if (type == SOCK_RAW)
		type = SOCK_DGRAM;
	if (type != SOCK_STREAM && type != SOCK_DGRAM && type != SOCK_SEQPACKET)
		return -ESOCKTNOSUPPORT;
	s = lsock_new(&unix_lfamily, domain, type, 0);
	if (!s)
		return -ENOMEM;
	*out = &s->sk;
	return 0;
}

const struct sock_family unix_family = {.create = unix_create, .pair = lsock_pair};
