#include "tests/unit/p9/tree.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "abi/base/log.h"
#include "abi/p9/p9.h"
#include "vfs/cred.h"
#include "vfs/dirent.h"
#include "vfs/file.h"
#include "vfs/fs.h"
#include "vfs/mount.h"
#include "vfs/uio.h"
#include "vfs/vfs.h"

const char *tree_host(struct tree *t, const char *name)
{
	static char buf[4][512];
	static int i;

	i = (i + 1) % 4;
	snprintf(buf[i], sizeof(buf[i]), "%s/%s", t->dir, name);
	return buf[i];
}

void tree_write_host(struct tree *t, const char *name, const char *text)
{
	FILE *f = fopen(tree_host(t, name), "w");

	cr_assert(f);
	fputs(text, f);
	fclose(f);
}

static void relay(int from, int to, bool refuse)
{
	static uint8_t rx[P9_MSIZE_MAX], tx[256];
	static struct p9_msg m;
	ssize_t n = recv(from, rx, sizeof(rx), 0);

	if (n <= 0)
		_exit(0);
	if (refuse && p9_decode(rx, (size_t)n, &m) == 0 && m.type == P9_tversion &&
	    m.tversion.version.len > strlen(P9_VERSION)) {
		m.type = P9_rversion;
		m.rversion.msize = m.tversion.msize;
		m.rversion.version = p9_str("unknown", 7);
		n = p9_encode(&m, tx, sizeof(tx));
		send(from, tx, (size_t)n, MSG_NOSIGNAL);
		return;
	}
	if (send(to, rx, (size_t)n, MSG_NOSIGNAL) != n)
		_exit(0);
}

/* A process that passes messages on, but refuses the extended version. The client's new end. */
static int plain_proxy(int sock)
{
	struct pollfd p[2] = {{.events = POLLIN}, {.fd = sock, .events = POLLIN}};
	int sv[2];

	cr_assert_eq(gofer_socketpair(sv), 0);
	if (fork() == 0) {
		close(sv[0]);
		p[0].fd = sv[1];
		while (poll(p, 2, -1) > 0) {
			if (p[0].revents)
				relay(sv[1], sock, true);
			if (p[1].revents)
				relay(sock, sv[1], false);
		}
		_exit(0);
	}
	close(sv[1]);
	close(sock);
	return sv[0];
}

void tree_open(struct tree *t, const struct tree_options *o)
{
	struct gofer_export e = {.flags = o->export_flags, .name = "test"};
	struct gofer_config cfg = {
		.exports = &e,
		.n = 1,
		.confinement = o->confinement,
		.max_fids = o->max_fids,
	};
	struct p9fs_options opts = {.cache = o->cache};
	int sv[2];

	memset(t, 0, sizeof(*t));
	if (getenv("P9_DEBUG"))
		log_init("test", 2, LOG_DEBUG);
	umask(0);
	strcpy(t->dir, "/tmp/p9test-XXXXXX");
	cr_assert(mkdtemp(t->dir));
	chmod(t->dir, 0755);
	if (o->stream)
		cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv), 0);
	else
		cr_assert_eq(gofer_socketpair(sv), 0);
	e.fd = open(t->dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	e.sock = sv[1];
	cr_assert_eq(gofer_spawn(&cfg, &t->gofer), 0);
	if (o->plain)
		sv[0] = plain_proxy(sv[0]);
	t->sock = sv[0];
	if (o->unmounted)
		return;
	t->sock = -1;
	vfs_init(1000);
	cr_assert_eq(p9fs_new(sv[0], &opts, &t->fs), 0);
	t->cred = cred_new_root();
	cr_assert_eq(mount_ns_new(t->fs, 0, &t->ns), 0);
	mount_ns_root(t->ns, &t->ctx.root);
	path_set(&t->ctx.cwd, &t->ctx.root);
	t->ctx.cred = t->cred;
}

int tree_close(struct tree *t)
{
	char cmd[128];
	int status = -1;

	if (t->ns) {
		path_put(&t->ctx.root);
		path_put(&t->ctx.cwd);
		mount_ns_put(t->ns);
		fs_put(t->fs);
		cred_put(t->cred);
	}
	if (t->sock >= 0)
		close(t->sock);
	if (t->gofer > 0)
		waitpid(t->gofer, &status, 0);
	snprintf(cmd, sizeof(cmd), "rm -rf '%s'", t->dir);
	cr_assert_eq(system(cmd), 0);
	return status;
}

const char *tree_get(struct tree *t, const char *path)
{
	static char buf[64];
	AUTO(file) struct file *f = NULL;
	struct uio u;
	ssize_t n = vfs_open(&t->ctx, path, O_RDONLY, 0, 0, &f);

	if (n == 0) {
		uio_init_buf(&u, buf, sizeof(buf) - 1);
		n = file_read(f, &u);
	}
	if (n < 0)
		return strerror((int)-n);
	buf[n] = 0;
	return buf;
}

void tree_put(struct tree *t, const char *path, int flags, const char *text)
{
	AUTO(file) struct file *f = NULL;
	struct uio u;

	cr_assert_eq(vfs_open(&t->ctx, path, O_WRONLY | flags, 0644, 0, &f), 0);
	uio_init_buf(&u, (void *)text, strlen(text));
	cr_assert_eq(file_write(f, &u, UINT64_MAX), (ssize_t)strlen(text));
}
