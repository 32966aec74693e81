/* The server as any 9P2000.L client sees it, and what it is confined to. */
#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/unit/gofer/raw.h"

static struct raw r;

#define RPC(kind, ...)                                                                             \
	({                                                                                         \
		t.type = P9_##kind;                                                                \
		t.kind = (struct p9_##kind){__VA_ARGS__};                                          \
		raw_rpc(&r, &t, &m);                                                               \
	})

Test(gofer_serve, plain_9p2000_l_reads_and_writes)
{
	struct p9_msg t = {.tag = 1}, m;

	raw_open(&r, 0, P9_VERSION, 0);
	cr_assert_eq(RPC(twalk, 0, 1, {0}), 0);
	cr_assert_eq(RPC(tlcreate, 1, p9_str("f", 1), O_RDWR, 0640, P9_NOID), 0);
	cr_assert_eq(RPC(twrite, 1, 0, {(const uint8_t *)"hello", 5}), 0);
	cr_assert_eq(m.rwrite.count, 5);
	cr_assert_eq(RPC(tread, 1, 1, 100), 0);
	cr_assert_eq(m.rread.data.len, 4);
	cr_assert_eq(memcmp(m.rread.data.p, "ello", 4), 0);
	cr_assert_eq(RPC(tfsync, 1, 0), 0);
	cr_assert_eq(RPC(tlock, 1, P9_LOCK_WRLCK, 0, 0, 0, 1, {"me", 2}), 0);
	cr_assert_eq(m.rlock.status, P9_LOCK_SUCCESS);
	cr_assert_eq(RPC(tclunk, 1), 0);
	cr_assert_eq(RPC(tread, 1, 0, 1), -EBADF);
	cr_assert_eq(RPC(twalk, 0, 2, {1, {{"f", 1}}}), 0);
	cr_assert_eq(m.rwalk.qids.n, 1);
	cr_assert_eq(RPC(tread, 2, 0, 1), -EBADF); /* not open */
	cr_assert_eq(RPC(tgetattr, 2, P9_GETATTR_ALL), 0);
	cr_assert_eq(m.rgetattr.attr.size, 5);
	cr_assert_eq(m.rgetattr.attr.mode, S_IFREG | 0640);
	cr_assert_eq(RPC(tremove, 2), -EOPNOTSUPP);
	cr_assert_eq(RPC(tclunk, 2), -EBADF); /* Tremove clunks whatever happens */
	cr_assert_eq(RPC(tunlinkat, 0, p9_str("f", 1), 0), 0);
	cr_assert_eq(RPC(twalk, 0, 2, {1, {{"f", 1}}}), -ENOENT);
	cr_assert_eq(RPC(tlookup, 0, 2, 0, {0}), -EOPNOTSUPP); /* not agreed */
	cr_assert_eq(raw_close(&r), 0);
}

Test(gofer_serve, plain_directories_and_names)
{
	struct p9_msg t = {.tag = 1}, m;
	struct p9_dirent d;
	struct p9_cur c;
	int n = 0;

	raw_open(&r, 0, P9_VERSION, 0);
	cr_assert_eq(RPC(tmkdir, 0, p9_str("d", 1), 0755, P9_NOID), 0);
	cr_assert_eq(m.rmkdir.qid.type, P9_QTDIR);
	cr_assert_eq(RPC(tsymlink, 0, p9_str("l", 1), p9_str("tgt", 3), P9_NOID), 0);
	cr_assert_eq(RPC(tmknod, 0, p9_str("p", 1), S_IFIFO | 0600, 0, 0, P9_NOID), 0);
	cr_assert_eq(RPC(twalk, 0, 1, {1, {{"l", 1}}}), 0);
	cr_assert_eq(RPC(treadlink, 1), 0);
	cr_assert_eq(m.rreadlink.target.len, 3);
	cr_assert_eq(RPC(trenameat, 0, p9_str("p", 1), 0, p9_str("q", 1)), 0);
	cr_assert_eq(RPC(twalk, 0, 2, {0}), 0);
	cr_assert_eq(RPC(treaddir, 2, 0, 4096), 0);
	c = p9_cur((void *)m.rreaddir.data.p, m.rreaddir.data.len);
	while (p9_get_dirent(&c, &d))
		n++;
	cr_assert_eq(n, 5);
	cr_assert_eq(RPC(tstatfs, 0), 0);
	cr_assert_gt(m.rstatfs.bsize, 0);
	raw_close(&r);
}

Test(gofer_serve, plain_extended_attributes)
{
	struct p9_msg t = {.tag = 1}, m;

	raw_open(&r, 0, P9_VERSION, 0);
	raw_write_host(&r, "f", "");
	cr_assert_eq(RPC(twalk, 0, 1, {1, {{"f", 1}}}), 0);
	cr_assert_eq(RPC(twalk, 1, 2, {0}), 0);
	cr_assert_eq(RPC(txattrcreate, 2, p9_str("user.k", 6), 3, 0), 0);
	cr_assert_eq(RPC(twrite, 2, 0, {(const uint8_t *)"abc", 3}), 0);
	cr_assert_eq(RPC(twrite, 2, 3, {(const uint8_t *)"d", 1}), -EINVAL);
	cr_assert_eq(RPC(tclunk, 2), 0);
	cr_assert_eq(RPC(txattrwalk, 1, 3, p9_str("user.k", 6)), 0);
	cr_assert_eq(m.rxattrwalk.size, 3);
	cr_assert_eq(RPC(tread, 3, 1, 10), 0);
	cr_assert_eq(m.rread.data.len, 2);
	cr_assert_eq(RPC(txattrwalk, 1, 4, p9_str("trusted.k", 9)), -EOPNOTSUPP);
	cr_assert_eq(RPC(txattrwalk, 1, 5, {0}), 0);
	cr_assert_eq(m.rxattrwalk.size, 7);
	raw_close(&r);
}

Test(gofer_serve, flush_is_answered)
{
	struct p9_msg t = {.tag = 1}, m;

	raw_open(&r, 0, P9_VERSION_SENTRY, 0);
	cr_assert_eq(RPC(tflush, 77), 0); /* no such request */
	cr_assert_eq(RPC(tflush, 1), 0);  /* itself */
	/* Each Rflush comes after the reply that it flushes, whatever overtakes what. */
	for (int i = 0; i < 500; i++) {
		bool answered = false, flushed = false;

		t.type = P9_tgetattr;
		t.tag = 5;
		t.tgetattr.fid = 0;
		raw_send(&r, &t);
		t.type = P9_tflush;
		t.tag = 6;
		t.tflush.oldtag = 5;
		raw_send(&r, &t);
		while (!answered || !flushed) {
			cr_assert(raw_recv(&r, &m));
			if (m.tag == 6) {
				cr_assert(answered);
				flushed = true;
			} else {
				cr_assert_eq(m.tag, 5);
				answered = true;
			}
		}
	}
	raw_close(&r);
}

Test(gofer_serve, many_requests_may_be_out_at_once)
{
	struct p9_msg t = {.type = P9_tgetattr}, m;
	bool seen[64] = {false};

	raw_open(&r, 0, P9_VERSION_SENTRY, 0);
	for (uint16_t i = 0; i < 64; i++) {
		t.tag = i;
		raw_send(&r, &t);
	}
	for (int i = 0; i < 64; i++) {
		cr_assert(raw_recv(&r, &m));
		cr_assert_lt(m.tag, 64);
		cr_assert_not(seen[m.tag]);
		seen[m.tag] = true;
	}
	raw_close(&r);
}

/* A field of /proc/pid/status. */
static const char *status_of(pid_t pid, const char *field)
{
	static char line[256];
	char path[64];
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/status", pid);
	f = fopen(path, "r");
	cr_assert(f);
	while (fgets(line, sizeof(line), f))
		if (strncmp(line, field, strlen(field)) == 0) {
			fclose(f);
			return line + strlen(field) + 1;
		}
	fclose(f);
	return "";
}

Test(gofer_serve, it_is_confined)
{
	struct p9_msg t = {.tag = 1}, m;

	raw_open(&r, GOFER_READONLY, P9_VERSION_SENTRY, 0);
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
	cr_skip_test("no filter in builds with sanitizers");
#endif
	for (int i = 0; i < 1000 && status_of(r.gofer, "Seccomp:")[0] != '2'; i++)
		usleep(10000);
	cr_assert_eq(status_of(r.gofer, "Seccomp:")[0], '2');
	cr_assert_eq(status_of(r.gofer, "NoNewPrivs:")[0], '1');
	/* Nothing but CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH. */
	cr_assert_eq(strtoul(status_of(r.gofer, "CapPrm:"), NULL, 16) & ~6UL, 0);
	cr_assert_eq(RPC(tgetattr, 0, P9_GETATTR_ALL), 0); /* and works */
	raw_close(&r);
}

Test(gofer_serve, its_root_holds_the_exports_only)
{
	char path[64];
	struct dirent *e;
	DIR *d;

	raw_open(&r, GOFER_READONLY, P9_VERSION_SENTRY, 0);
	snprintf(path, sizeof(path), "/proc/%d/root", r.gofer);
	d = opendir(path);
	if (d && !faccessat(dirfd(d), "usr", F_OK, 0))
		cr_skip_test("no mount namespaces here");
	while (d && (e = readdir(d)))
		cr_assert(strchr(".", e->d_name[0]) || !strcmp(e->d_name, "0") ||
				  !strcmp(e->d_name, "old") || !strcmp(e->d_name, "proc"),
			  "%s", e->d_name);
	if (d)
		closedir(d);
	raw_close(&r);
}

/* gofer_serve without gofer_spawn has no namespaces, as on a host that forbids them. */
Test(gofer_serve, without_namespaces_landlock_confines_it)
{
	struct gofer_export e = {.flags = GOFER_READONLY, .name = "test"};
	struct gofer_config cfg = {.exports = &e, .n = 1, .confinement = GOFER_CONFINE_BEST};
	struct p9_msg t = {.tag = 1}, m;
	int sv[2];

	cr_assert_eq(gofer_socketpair(sv), 0);
	e.fd = open("/etc", O_PATH | O_DIRECTORY | O_CLOEXEC);
	e.sock = sv[1];
	r.fd = -1;
	r.gofer = fork();
	if (r.gofer == 0) {
		close(sv[0]);
		_exit(gofer_serve(&cfg));
	}
	close(sv[1]);
	close(e.fd);
	r.sock = sv[0];
	cr_assert_eq(RPC(tversion, P9_MSIZE_MAX, p9_str(P9_VERSION_SENTRY, 15)), 0);
	cr_assert_eq(RPC(tmount, 0), 0);
	cr_assert_eq(raw_lookup(&r, 0, "passwd", 1), 0);
	cr_assert_eq(raw_openfd(&r, 1, O_RDONLY), 0);
	cr_assert_eq(RPC(tlist, .fid = 0, .count = 4096), 0);
	cr_assert_gt(m.rlist.data.len, 0);
	close(r.sock);
	int status;
	waitpid(r.gofer, &status, 0);
	cr_assert_eq(status, 0);
}
