/* What a broken-into sentry could try. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tests/unit/gofer/raw.h"

static struct raw r;

Test(gofer_hostile, names_that_lead_elsewhere_are_refused)
{
	static const char *const bad[] = {"..", ".", "a/b", "/", "../x", "/etc/passwd", "a/"};
	char name[300];

	raw_open(&r, 0, P9_VERSION_SENTRY, 0);
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		cr_assert_eq(raw_lookup_name(&r, 0, bad[i], strlen(bad[i]), 1), -EINVAL, "%s", bad[i]);
	cr_assert_eq(raw_lookup_name(&r, 0, "", 0, 1), -ENOENT);
	cr_assert_eq(raw_lookup_name(&r, 0, "a\0b", 3, 1), -EINVAL);
	memset(name, 'x', sizeof(name));
	cr_assert_eq(raw_lookup_name(&r, 0, name, 256, 1), -ENAMETOOLONG);
	cr_assert_eq(raw_lookup_name(&r, 0, name, 255, 1), -ENOENT);
	cr_assert_eq(raw_close(&r), 0);
}

Test(gofer_hostile, names_are_checked_wherever_a_name_is_made)
{
	struct p9_msg t = {.tag = 1}, m;

	raw_open(&r, 0, P9_VERSION_SENTRY, 0);
	raw_write_host(&r, "f", "x");
	t.type = P9_tmake;
	t.tmake = (struct p9_tmake){0, 9, p9_str("../evil", 7), S_IFREG | 0644, 0, 0, 0, {0}};
	cr_assert_eq(raw_rpc(&r, &t, &m), -EINVAL);
	t.tmake.mode = S_IFDIR | 0755;
	t.tmake.name = p9_str("..", 2);
	cr_assert_eq(raw_rpc(&r, &t, &m), -EINVAL);
	t.type = P9_trenameat;
	t.trenameat = (struct p9_trenameat){0, p9_str("f", 1), 0, p9_str("../g", 4)};
	cr_assert_eq(raw_rpc(&r, &t, &m), -EINVAL);
	t.type = P9_tunlinkat;
	t.tunlinkat = (struct p9_tunlinkat){0, p9_str("../f", 4), 0};
	cr_assert_eq(raw_rpc(&r, &t, &m), -EINVAL);
	t.tunlinkat = (struct p9_tunlinkat){0, p9_str("f", 1), AT_SYMLINK_FOLLOW};
	cr_assert_eq(raw_rpc(&r, &t, &m), -EINVAL);
	t.type = P9_tlink;
	cr_assert_eq(raw_lookup(&r, 0, "f", 1), 0);
	t.tlink = (struct p9_tlink){0, 1, p9_str("../h", 4)};
	cr_assert_eq(raw_rpc(&r, &t, &m), -EINVAL);
	raw_close(&r);
}

Test(gofer_hostile, symlinks_are_never_followed)
{
	struct p9_msg t = {.type = P9_twalk, .tag = 1}, m;

	raw_open(&r, 0, P9_VERSION_SENTRY, 0);
	cr_assert_eq(symlink("/etc", raw_host(&r, "l")), 0);
	cr_assert_eq(raw_lookup(&r, 0, "l", 1), 0);
	cr_assert_eq(raw_lookup(&r, 1, "passwd", 2), -ENOTDIR);
	cr_assert_eq(raw_openfd(&r, 1, O_RDONLY), -ELOOP);
	t.twalk = (struct p9_twalk){0, 3, {2, {p9_str("l", 1), p9_str("passwd", 6)}}};
	cr_assert_eq(raw_rpc(&r, &t, &m), 0);
	cr_assert_eq(m.rwalk.qids.n, 1);
	cr_assert_eq(raw_openfd(&r, 3, O_RDONLY), -EBADF);
	t.type = P9_tsetattr;
	t.tsetattr = (struct p9_tsetattr){.fid = 1, .valid = P9_SETATTR_MODE, .mode = 0777};
	cr_assert_eq(raw_rpc(&r, &t, &m), -EOPNOTSUPP);
	t.tsetattr = (struct p9_tsetattr){.fid = 1, .valid = P9_SETATTR_SIZE};
	cr_assert_eq(raw_rpc(&r, &t, &m), -EINVAL);
	raw_close(&r);
}

static _Atomic bool swapping;

/* Exchanges the directory d and the symlink e, which points to a directory outside, over and
 * over. */
static void *swap_main(void *arg)
{
	char d[512], e[512];

	snprintf(d, sizeof(d), "%s/d", r.dir);
	snprintf(e, sizeof(e), "%s/e", r.dir);
	while (swapping)
		syscall(SYS_renameat2, AT_FDCWD, d, AT_FDCWD, e, 2 /* RENAME_EXCHANGE */);
	return NULL;
}

Test(gofer_hostile, a_race_with_symlinks_does_not_lead_outside)
{
	char outside[] = "/tmp/goferout-XXXXXX", path[64], buf[8];
	struct p9_msg t = {.type = P9_tclunkmany, .tag = 1}, m;
	pthread_t thread;
	int found = 0;

	raw_open(&r, 0, P9_VERSION_SENTRY, 0);
	cr_assert(mkdtemp(outside));
	snprintf(path, sizeof(path), "%s/f", outside);
	FILE *f = fopen(path, "w");
	fputs("BAD", f);
	fclose(f);
	mkdir(raw_host(&r, "d"), 0755);
	raw_write_host(&r, "d/f", "good");
	cr_assert_eq(symlink(outside, raw_host(&r, "e")), 0);
	swapping = true;
	pthread_create(&thread, NULL, swap_main, NULL);
	for (int i = 0; i < 3000; i++) {
		if (raw_lookup(&r, 0, "d/f", 10) == 0) {
			cr_assert_eq(raw_openfd(&r, 11, O_RDONLY), 0);
			cr_assert_eq(read(r.fd, buf, 4), 4);
			cr_assert_eq(memcmp(buf, "good", 4), 0);
			found++;
		}
		t.tclunkmany.fids = (struct p9_fids){2, {10, 11}};
		cr_assert_eq(raw_rpc(&r, &t, &m), 0);
	}
	swapping = false;
	pthread_join(thread, NULL);
	cr_assert_gt(found, 0);
	unlink(path);
	rmdir(outside);
	raw_close(&r);
}

Test(gofer_hostile, fifos_sockets_and_devices_are_not_opened)
{
	raw_open(&r, 0, P9_VERSION_SENTRY, 0);
	cr_assert_eq(mkfifo(raw_host(&r, "fifo"), 0666), 0);
	cr_assert_eq(mknod(raw_host(&r, "sock"), S_IFSOCK | 0666, 0), 0);
	cr_assert_eq(raw_lookup(&r, 0, "fifo", 1), 0);
	cr_assert_eq(raw_lookup(&r, 0, "sock", 2), 0);
	cr_assert_eq(raw_openfd(&r, 1, O_RDONLY), -EACCES); /* and does not wait for a writer */
	cr_assert_eq(raw_openfd(&r, 2, O_RDWR), -ENXIO);
	if (mknod(raw_host(&r, "null"), S_IFCHR | 0666, 0x103) == 0) {
		cr_assert_eq(raw_lookup(&r, 0, "null", 3), 0);
		cr_assert_eq(raw_openfd(&r, 3, O_RDWR), -EACCES);
	}
	raw_close(&r);
}

Test(gofer_hostile, a_directory_is_never_donated)
{
	raw_open(&r, 0, P9_VERSION_SENTRY, 0);
	cr_assert_eq(raw_openfd(&r, 0, O_RDONLY), -EISDIR);
	cr_assert_eq(raw_openfd(&r, 0, O_DIRECTORY), -EISDIR);
	cr_assert_eq(r.fd, -1);
	raw_close(&r);
}

/* Opens names of fid 0, or of the directory `dir` in it: which of them. */
static uint32_t open_many(const char *dir, const char *const *names, unsigned n)
{
	struct p9_msg t = {.type = P9_topenmany, .tag = 1}, m;

	t.topenmany.fid = 0;
	if (dir)
		t.topenmany.dir = (struct p9_names){1, {p9_str(dir, strlen(dir))}};
	for (unsigned i = 0; i < n; i++)
		t.topenmany.names.a[i] = p9_str(names[i], strlen(names[i]));
	t.topenmany.names.n = (uint16_t)n;
	cr_assert_eq(raw_rpc(&r, &t, &m), 0);
	cr_assert_eq(r.nfds, m.ropenmany.qids.n);
	cr_assert_eq(r.nfds, (unsigned)__builtin_popcount(m.ropenmany.opened));
	return m.ropenmany.opened;
}

Test(gofer_hostile, of_many_names_only_regular_files_are_opened)
{
	static const char *const names[] = {"a", "dir", "link", "fifo", "none", "dir/f", "..", "b", "."};
	static const char *const f[] = {"f"};
	struct p9_msg t = {.type = P9_topenmany, .tag = 1}, m;

	raw_open(&r, 0, P9_VERSION_SENTRY, 0);
	raw_write_host(&r, "a", "x");
	raw_write_host(&r, "b", "x");
	mkdir(raw_host(&r, "dir"), 0755);
	raw_write_host(&r, "dir/f", "x");
	cr_assert_eq(symlink("a", raw_host(&r, "link")), 0);
	cr_assert_eq(symlink("dir", raw_host(&r, "dirlink")), 0);
	cr_assert_eq(mkfifo(raw_host(&r, "fifo"), 0666), 0);
	cr_assert_eq(open_many(NULL, names, 9), 1U << 0 | 1U << 7);
	cr_assert_eq(fcntl(r.fd, F_GETFL) & O_ACCMODE, O_RDONLY);
	cr_assert_eq(open_many("dir", f, 1), 1);
	t.topenmany = (struct p9_topenmany){0, {1, {p9_str("dirlink", 7)}}, {1, {p9_str("f", 1)}}};
	cr_assert_eq(raw_rpc(&r, &t, &m), -ENOTDIR);
	t.topenmany.dir.a[0] = p9_str("..", 2);
	cr_assert_eq(raw_rpc(&r, &t, &m), -EINVAL);
	t.topenmany.dir.a[0] = p9_str("a", 1);
	cr_assert_eq(raw_rpc(&r, &t, &m), -ENOTDIR);
	t.topenmany.fid = 7;
	cr_assert_eq(raw_rpc(&r, &t, &m), -EBADF);
	raw_close(&r);
}

Test(gofer_hostile, a_read_only_tree_stays_as_it_is_whatever_is_asked)
{
	struct p9_msg t = {.tag = 1}, m;
	struct stat before, after;

	raw_open(&r, GOFER_READONLY, P9_VERSION_SENTRY, 0);
	raw_write_host(&r, "f", "data");
	stat(raw_host(&r, "f"), &before);
	cr_assert_eq(raw_lookup(&r, 0, "f", 1), 0);
	cr_assert_eq(raw_openfd(&r, 1, O_RDWR), -EROFS);
	cr_assert_eq(raw_openfd(&r, 1, O_WRONLY), -EROFS);
	cr_assert_eq(raw_openfd(&r, 1, O_ACCMODE), -EINVAL);
	cr_assert_eq(raw_openfd(&r, 1, O_RDONLY | O_TRUNC), -EINVAL);
	t.type = P9_tlopen;
	t.tlopen = (struct p9_tlopen){1, O_RDONLY | O_TRUNC};
	cr_assert_eq(raw_rpc(&r, &t, &m), -EROFS);
#define REFUSED(kind, ...)                                                                         \
	t.type = P9_##kind;                                                                        \
	t.kind = (struct p9_##kind){__VA_ARGS__};                                                  \
	cr_assert_eq(raw_rpc(&r, &t, &m), -EROFS, #kind)
	REFUSED(tsetattr, .fid = 1, .valid = P9_SETATTR_MODE, .mode = 0777);
	REFUSED(tsetattr, .fid = 1, .valid = P9_SETATTR_SIZE);
	REFUSED(tsetattr, .fid = 1, .valid = P9_SETATTR_MTIME);
	REFUSED(tmake, 0, 9, p9_str("n", 1), S_IFREG | 0644);
	REFUSED(tmake, 0, 9, p9_str("", 0), S_IFREG | 0644);
	REFUSED(tmkdir, 0, p9_str("n", 1), 0755, 0);
	REFUSED(tmknod, 0, p9_str("n", 1), S_IFIFO | 0755, 0, 0, 0);
	REFUSED(tsymlink, 0, p9_str("n", 1), p9_str("t", 1), 0);
	REFUSED(tlcreate, 0, p9_str("n", 1), O_RDWR, 0644, 0);
	REFUSED(tlink, 0, 1, p9_str("n", 1));
	REFUSED(trenameat, 0, p9_str("f", 1), 0, p9_str("g", 1));
	REFUSED(trename2, 0, p9_str("f", 1), 0, p9_str("g", 1), 0);
	REFUSED(tunlinkat, 0, p9_str("f", 1), 0);
	REFUSED(tallocate, 1, 0, 0, 100);
	REFUSED(tsetxattr, 1, p9_str("user.x", 6), 0, {(const uint8_t *)"v", 1});
	REFUSED(tremovexattr, 1, p9_str("user.x", 6));
	REFUSED(txattrcreate, 1, p9_str("user.x", 6), 1, 0);
	stat(raw_host(&r, "f"), &after);
	cr_assert_eq(before.st_ctim.tv_nsec, after.st_ctim.tv_nsec);
	cr_assert_eq(after.st_size, 4);
	raw_close(&r);
}

Test(gofer_hostile, malformed_messages_end_the_connection)
{
	static const char *const bad[] = {
		"\x07\0\0",		    /* no header */
		"\x08\0\0\0\x79\x01\0",     /* a size that lies */
		"\x07\0\0\0\x78\x01\0",     /* Tclunk without a fid */
		"\xff\xff\xff\xff\x79\x01\0",
	};
	static const size_t len[] = {3, 7, 7, 7};
	struct p9_msg m;

	for (size_t i = 0; i < 4; i++) {
		raw_open(&r, 0, P9_VERSION_SENTRY, 0);
		raw_send_bytes(&r, bad[i], len[i]);
		cr_assert_not(raw_recv(&r, &m), "%zu", i);
		cr_assert_eq(raw_close(&r), 0);
	}
}

Test(gofer_hostile, a_reused_tag_ends_the_connection_or_not_the_gofer)
{
	struct p9_msg t = {.type = P9_tgetattr, .tag = 1}, m;

	raw_open(&r, 0, P9_VERSION_SENTRY, 0);
	for (int i = 0; i < 200; i++) {
		uint8_t tx[64];
		ssize_t n = p9_encode(&t, tx, sizeof(tx));

		if (send(r.sock, tx, (size_t)n, MSG_NOSIGNAL) != n)
			break;
	}
	while (raw_recv(&r, &m))
		if (recv(r.sock, NULL, 0, MSG_PEEK | MSG_DONTWAIT) < 0)
			break;
	cr_assert_eq(raw_close(&r), 0);
}

Test(gofer_hostile, nothing_is_served_before_the_version)
{
	struct p9_msg t = {.type = P9_tattach, .tag = 1}, m;

	raw_open(&r, 0, NULL, 0);
	cr_assert_eq(raw_rpc(&r, &t, &m), -EPROTO);
	t.type = P9_tversion;
	t.tversion.msize = 100;
	t.tversion.version = p9_str("9P2000.L", 8);
	cr_assert_eq(raw_rpc(&r, &t, &m), -EMSGSIZE);
	t.tversion.msize = 8192;
	t.tversion.version = p9_str("9P1984", 6);
	cr_assert_eq(raw_rpc(&r, &t, &m), 0);
	cr_assert_eq(memcmp(m.rversion.version.p, "unknown", 7), 0);
	raw_close(&r);
}

Test(gofer_hostile, fids_are_bounded_and_belong_to_one_file)
{
	uint32_t n = 1;
	int err;

	raw_open(&r, 0, P9_VERSION_SENTRY, 50);
	raw_write_host(&r, "f", "");
	while ((err = raw_lookup(&r, 0, "f", n)) == 0)
		n++;
	cr_assert_eq(err, -EMFILE);
	cr_assert_eq(n, 50);
	cr_assert_eq(raw_lookup(&r, 99, "f", 100), -EBADF);
	raw_close(&r);
	raw_open(&r, 0, P9_VERSION_SENTRY, 0);
	raw_write_host(&r, "f", "");
	cr_assert_eq(raw_lookup(&r, 0, "f", 1), 0);
	cr_assert_eq(raw_lookup(&r, 0, "f", 1), -EBADF);
	cr_assert_eq(raw_lookup(&r, 0, "f", P9_NOFID), -EBADF);
	raw_close(&r);
}

Test(gofer_hostile, descriptors_that_run_out_are_an_error_not_the_end)
{
	struct p9_msg t = {.type = P9_tgetattr, .tag = 1}, m;
	static const char *const f[] = {"f", "f"};
	int err = 0;

	/* The gofer inherits the limit. */
	cr_assert_eq(setrlimit(RLIMIT_NOFILE, &(struct rlimit){64, 64}), 0);
	raw_open(&r, 0, P9_VERSION_SENTRY, 1000);
	raw_write_host(&r, "f", "");
	for (uint32_t n = 1; n < 200 && !err; n++)
		err = raw_lookup(&r, 0, "f", n);
	cr_assert_eq(err, -EMFILE);
	cr_assert_eq(raw_openfd(&r, 1, O_RDONLY), -EMFILE);
	cr_assert_eq(open_many(NULL, f, 2), 0);
	cr_assert_eq(raw_rpc(&r, &t, &m), 0);
	raw_close(&r);
}

Test(gofer_hostile, what_others_may_not_read_is_not_readable)
{
	struct p9_msg t = {.type = P9_tlist, .tag = 1}, m;
	static const char *const many[] = {"secret", "f"};

	raw_open(&r, GOFER_OTHERS_ONLY | GOFER_READONLY, P9_VERSION_SENTRY, 0);
	raw_write_host(&r, "secret", "x");
	chmod(raw_host(&r, "secret"), 0640);
	mkdir(raw_host(&r, "home"), 0755);
	raw_write_host(&r, "home/f", "x");
	chmod(raw_host(&r, "home/f"), 0644);
	cr_assert_eq(raw_lookup(&r, 0, "secret", 1), 0);
	cr_assert_eq(raw_openfd(&r, 1, O_RDONLY), -EACCES);
	cr_assert_eq(raw_lookup(&r, 0, "home/f", 2), 0);
	cr_assert_eq(raw_openfd(&r, 3, O_RDONLY), 0);
	cr_assert_eq(open_many(NULL, many, 2), 0);
	cr_assert_eq(open_many("home", many + 1, 1), 1);
	chmod(raw_host(&r, "home"), 0750);
	cr_assert_eq(raw_lookup(&r, 2, "f", 4), -ENOENT);
	t.topenmany = (struct p9_topenmany){2, {0}, {1, {p9_str("f", 1)}}};
	t.type = P9_topenmany;
	cr_assert_eq(raw_rpc(&r, &t, &m), -ENOENT);
	t.type = P9_tlist;
	t.tlist = (struct p9_tlist){.fid = 2, .count = 4096, .flags = P9_LIST_ATTRS};
	cr_assert_eq(raw_rpc(&r, &t, &m), 0);
	cr_assert_eq(m.rlist.data.len, 0);
	raw_close(&r);
}

/* How many sections a reply has; -1: malformed. */
static int sections(const struct p9_rlist *l)
{
	struct p9_cur c = p9_cur((uint8_t *)l->data.p, l->data.len);
	struct p9_entry e;
	uint64_t qid;
	uint32_t n;
	int found = 0;

	for (p9_take(&c, l->own); p9_left(&c) > 0; found++) {
		struct p9_cur in;

		p9_get_u64(&c, &qid);
		p9_get_u32(&c, &n);
		in = p9_cur(p9_take(&c, n), n);
		if (c.bad)
			return -1;
		while (p9_get_entry(&in, &e))
			;
		if (in.bad)
			return -1;
	}
	return c.bad ? -1 : found;
}

Test(gofer_hostile, what_is_listed_ahead_is_no_more_than_what_may_be_listed)
{
	struct p9_msg t = {.type = P9_tlist, .tag = 1}, m;

	raw_open(&r, GOFER_OTHERS_ONLY | GOFER_READONLY, P9_VERSION_SENTRY, 0);
	mkdir(raw_host(&r, "d"), 0755);
	mkdir(raw_host(&r, "d/open"), 0755);
	mkdir(raw_host(&r, "d/unread"), 0751);
	mkdir(raw_host(&r, "d/unsearched"), 0754);
	cr_assert_eq(symlink("..", raw_host(&r, "d/up")), 0);
	cr_assert_eq(symlink("open", raw_host(&r, "d/link")), 0);
	cr_assert_eq(raw_lookup(&r, 0, "d", 1), 0);
	t.tlist = (struct p9_tlist){.fid = 1, .count = UINT32_MAX, .flags = P9_LIST_BELOW,
				    .ahead = UINT32_MAX};
	cr_assert_eq(raw_rpc(&r, &t, &m), 0);
	cr_assert_eq(m.rlist.own, 0);
	cr_assert_eq(sections(&m.rlist), 1);
	t.tlist.fid = 0;
	t.tlist.flags |= P9_LIST_DIRS;
	cr_assert_eq(raw_rpc(&r, &t, &m), 0);
	cr_assert_eq(sections(&m.rlist), 2); /* d and d/open */
	chmod(raw_host(&r, "d"), 0754);
	t.tlist.fid = 1;
	cr_assert_eq(raw_rpc(&r, &t, &m), 0);
	cr_assert_eq(sections(&m.rlist), 0);
	raw_close(&r);
}

Test(gofer_hostile, what_is_listed_ahead_fits)
{
	struct p9_msg t = {.type = P9_tlist, .tag = 1}, m;
	char name[64];

	raw_open(&r, 0, P9_VERSION_SENTRY, 0);
	for (int i = 0; i < 40; i++) {
		snprintf(name, sizeof(name), "d%d", i);
		mkdir(raw_host(&r, name), 0755);
		snprintf(name, sizeof(name), "d%d/sub", i);
		mkdir(raw_host(&r, name), 0755);
	}
	t.tlist.ahead = 1000;
	for (uint32_t flags = 0; flags < 8; flags++) {
		t.tlist.flags = flags;
		for (t.tlist.count = 0; t.tlist.count < 20000; t.tlist.count += 97) {
			int err = raw_rpc(&r, &t, &m);

			cr_assert(err == 0 || err == -EINVAL);
			if (err)
				continue;
			cr_assert_leq(m.rlist.data.len, t.tlist.count);
			cr_assert_geq(sections(&m.rlist), 0);
		}
	}
	raw_close(&r);
}

Test(gofer_hostile, a_listing_walks_no_further_than_a_walk)
{
	static const char *const bad[] = {"..", ".", "a/b", "", "link", "file", "none"};
	struct p9_msg t = {.type = P9_tlist, .tag = 1}, m;

	raw_open(&r, 0, P9_VERSION_SENTRY, 0);
	mkdir(raw_host(&r, "d"), 0755);
	raw_write_host(&r, "file", "x");
	cr_assert_eq(symlink("d", raw_host(&r, "link")), 0);
	t.tlist = (struct p9_tlist){.newfid = 7, .names.n = 1, .count = 4096};
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		t.tlist.names.a[0] = p9_str(bad[i], strlen(bad[i]));
		cr_assert_lt(raw_rpc(&r, &t, &m), 0, "%s", bad[i]);
	}
	t.tlist.names.a[0] = p9_str("d", 1);
	cr_assert_eq(raw_rpc(&r, &t, &m), 0);
	cr_assert_eq(raw_rpc(&r, &t, &m), -EBADF); /* 7 is taken */
	t.tlist = (struct p9_tlist){.fid = 7, .newfid = 0, .count = 4096};
	cr_assert_eq(raw_rpc(&r, &t, &m), 0);
	raw_close(&r);
}
