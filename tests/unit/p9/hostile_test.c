/* A peer that lies. Every call must end, with an error, and nothing may crash. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "abi/p9/p9.h"
#include "gofer/gofer.h"
#include "vfs/cred.h"
#include "vfs/dirent.h"
#include "vfs/file.h"
#include "vfs/fs.h"
#include "vfs/p9/p9fs.h"
#include "vfs/vfs.h"

/* What the peer does with requests after the mount; false: nothing more (the socket is closed). */
typedef bool (*script_fn)(struct p9_msg *t, struct p9_msg *r, int *fd);

static struct peer {
	int sock;
	script_fn script;
	pthread_t thread;
	uint8_t rx[P9_MSIZE_MAX], tx[P9_MSIZE_MAX];
	ssize_t cut; /* bytes of the next reply to leave out */
	int many[P9_MAXCARRIED]; /* descriptors that go with the next reply, and are closed */
	unsigned nmany;
} peer;

static struct walk_ctx ctx;
static struct fs *fs;

static void reply(struct p9_msg *r, int fd)
{
	ssize_t n = p9_encode(r, peer.tx, sizeof(peer.tx));
	char control[CMSG_SPACE(sizeof(peer.many))] = {0};
	struct iovec iov = {peer.tx, (size_t)(n - peer.cut)};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
	struct cmsghdr *cm = (void *)control;

	if (fd >= 0 || peer.nmany) {
		size_t size = (peer.nmany ? peer.nmany : 1) * sizeof(int);

		msg.msg_control = control;
		msg.msg_controllen = CMSG_SPACE(size);
		cm->cmsg_level = SOL_SOCKET;
		cm->cmsg_type = SCM_RIGHTS;
		cm->cmsg_len = CMSG_LEN(size);
		memcpy(CMSG_DATA(cm), peer.nmany ? peer.many : &fd, size);
	}
	sendmsg(peer.sock, &msg, MSG_NOSIGNAL);
	while (peer.nmany)
		close(peer.many[--peer.nmany]);
}

static void attr_of(struct p9_attr *a, uint32_t mode, uint64_t ino)
{
	*a = (struct p9_attr){.valid = P9_GETATTR_BASIC, .mode = mode, .nlink = 1, .qid.path = ino};
}

static void *peer_main(void *arg)
{
	static struct p9_msg t, r;
	ssize_t n;

	while ((n = recv(peer.sock, peer.rx, sizeof(peer.rx), 0)) > 0) {
		int fd = -1;

		if (p9_decode(peer.rx, (size_t)n, &t) < 0)
			break;
		r.type = (uint8_t)(t.type + 1);
		r.tag = t.tag;
		if (t.type == P9_tversion) {
			r.rversion.msize = t.tversion.msize;
			r.rversion.version = t.tversion.version;
		} else if (t.type == P9_tmount) {
			attr_of(&r.rmount.attr, S_IFDIR | 0777, 1);
		} else if (t.type != P9_tclunkmany && t.type != P9_tclunk) {
			if (!peer.script(&t, &r, &fd))
				break;
		}
		reply(&r, fd);
		if (fd >= 0)
			close(fd);
	}
	close(peer.sock);
	return NULL;
}

static void start(script_fn script)
{
	struct p9fs_options opts = {.cache = P9FS_EXCLUSIVE};
	static struct mount_ns *ns;
	int sv[2];

	cr_assert_eq(gofer_socketpair(sv), 0);
	peer.sock = sv[1];
	peer.script = script;
	pthread_create(&peer.thread, NULL, peer_main, NULL);
	vfs_init(1000);
	cr_assert_eq(p9fs_new(sv[0], &opts, &fs), 0);
	cr_assert_eq(mount_ns_new(fs, 0, &ns), 0);
	mount_ns_root(ns, &ctx.root);
	path_set(&ctx.cwd, &ctx.root);
	ctx.cred = cred_new_root();
}

static int walk(const char *path)
{
	struct path p = {0};
	int err = vfs_walk(&ctx, path, 0, &p);

	path_put(&p);
	return err;
}

static int open_ro(const char *path)
{
	AUTO(file) struct file *f = NULL;

	return vfs_open(&ctx, path, O_RDONLY, 0, 0, &f);
}

static bool die(struct p9_msg *t, struct p9_msg *r, int *fd)
{
	return false;
}

Test(p9_peer, that_dies_in_the_middle_gives_EIO)
{
	start(die);
	cr_assert_eq(walk("/a"), -EIO);
	cr_assert_eq(walk("/b"), -EIO);
}

static bool wrong_tag(struct p9_msg *t, struct p9_msg *r, int *fd)
{
	r->tag = 200;
	r->rlookup = (struct p9_rlookup){.ecode = ENOENT};
	return true;
}

/* Asking doesn't wait for the answer: at start the server isn't there yet. */
Test(p9_peer, that_comes_later_is_asked_before, .timeout = 10)
{
	struct p9fs_options opts = {.cache = P9FS_EXCLUSIVE};
	struct p9_client *c = NULL;
	int sv[2];

	cr_assert_eq(gofer_socketpair(sv), 0);
	vfs_init(1000);
	cr_assert_eq(p9fs_connect(sv[0], &c), 0);
	peer.sock = sv[1];
	peer.script = die;
	pthread_create(&peer.thread, NULL, peer_main, NULL);
	cr_assert_eq(p9fs_new_on(c, &opts, &fs), 0);
	cr_assert(S_ISDIR(fs->root->inode->mode));
	fs_put(fs);
}

Test(p9_peer, that_goes_between_question_and_answer_gives_EIO, .timeout = 10)
{
	struct p9fs_options opts = {.cache = P9FS_EXCLUSIVE};
	struct p9_client *c = NULL;
	int sv[2];

	cr_assert_eq(gofer_socketpair(sv), 0);
	vfs_init(1000);
	cr_assert_eq(p9fs_connect(sv[0], &c), 0);
	close(sv[1]);
	cr_assert_eq(p9fs_new_on(c, &opts, &fs), -EIO);
	cr_assert_eq(fcntl(sv[0], F_GETFD), -1);
}

Test(p9_peer, that_answers_another_tag_is_cut_off)
{
	start(wrong_tag);
	cr_assert_eq(walk("/a"), -EIO);
}

static bool wrong_type(struct p9_msg *t, struct p9_msg *r, int *fd)
{
	r->type = P9_rstatfs;
	return true;
}

Test(p9_peer, that_answers_something_else_is_cut_off)
{
	start(wrong_type);
	cr_assert_eq(walk("/a"), -EIO);
}

static bool truncated(struct p9_msg *t, struct p9_msg *r, int *fd)
{
	r->rlookup = (struct p9_rlookup){.attrs.n = 1};
	attr_of(&r->rlookup.attrs.a[0], S_IFREG | 0644, 2);
	peer.cut = 20;
	return true;
}

Test(p9_peer, that_cuts_messages_short_is_cut_off)
{
	start(truncated);
	cr_assert_eq(walk("/a"), -EIO);
}

static bool bad_types(struct p9_msg *t, struct p9_msg *r, int *fd)
{
	r->rlookup = (struct p9_rlookup){.attrs.n = 1};
	attr_of(&r->rlookup.attrs.a[0], 0170000, 2);
	return true;
}

Test(p9_peer, that_invents_file_types_gives_EIO)
{
	start(bad_types);
	cr_assert_eq(walk("/a"), -EIO);
}

static bool too_many(struct p9_msg *t, struct p9_msg *r, int *fd)
{
	r->rlookup = (struct p9_rlookup){.attrs.n = 9};
	for (int i = 0; i < 9; i++)
		attr_of(&r->rlookup.attrs.a[i], S_IFDIR | 0755, 2);
	return true;
}

Test(p9_peer, that_answers_more_than_was_asked_gives_EIO)
{
	start(too_many);
	cr_assert_eq(walk("/a"), -EIO);
}

static bool loop(struct p9_msg *t, struct p9_msg *r, int *fd)
{
	if (t->type == P9_tlookup) {
		r->rlookup = (struct p9_rlookup){.attrs.n = 1};
		attr_of(&r->rlookup.attrs.a[0], S_IFDIR | 0777, 1); /* the root itself */
	} else {
		r->type = P9_rlerror;
		r->rlerror.ecode = EPERM;
	}
	return true;
}

Test(p9_peer, whose_directories_contain_themselves_does_not_lock_us_up, .timeout = 10)
{
	start(loop);
	cr_assert_eq(walk("/a/a/a/a"), 0);
	cr_assert_lt(vfs_rename(&ctx, "/a/b", &ctx, "/a/a/c", 0), 0);
	cr_assert_lt(vfs_unlink(&ctx, "/a/a/x"), 0);
	cr_assert_lt(vfs_mkdir(&ctx, "/a/a/y", 0755), 0);
}

static bool donate_fifo(struct p9_msg *t, struct p9_msg *r, int *fd)
{
	int p[2];

	if (t->type == P9_tlookup) {
		r->rlookup = (struct p9_rlookup){.attrs.n = 1};
		attr_of(&r->rlookup.attrs.a[0], S_IFREG | 0777, 2);
	} else if (t->type == P9_topenfd) {
		r->ropenfd.donated = P9_DONATED_READ;
		cr_assert_eq(pipe(p), 0);
		*fd = p[0];
	} else {
		r->type = P9_rlerror;
		r->rlerror.ecode = 0; /* not an error number */
	}
	return true;
}

Test(p9_peer, that_donates_a_pipe_as_a_file_gives_EIO, .timeout = 10)
{
	start(donate_fifo);
	cr_assert_eq(open_ro("/a"), -EIO);
}

static bool donate_nothing(struct p9_msg *t, struct p9_msg *r, int *fd)
{
	if (t->type == P9_tlookup)
		return donate_fifo(t, r, fd);
	r->ropenfd.donated = P9_DONATED_READ;
	return true;
}

Test(p9_peer, that_promises_a_descriptor_and_sends_none_gives_an_error)
{
	start(donate_nothing);
	cr_assert_eq(open_ro("/a"), -ENFILE); /* as when there is no room for it */
}

/* Six files, and what comes when several are asked for at once. */
static struct {
	unsigned regular, pipes; /* descriptors */
	struct p9_ropenmany r;
} many;

static bool donate_many(struct p9_msg *t, struct p9_msg *r, int *fd)
{
	static uint8_t data[4096];
	struct p9_cur c = p9_cur(data, sizeof(data));
	struct p9_entry e = {.d = {.type = 8}};
	int p[2];

	if (t->type == P9_tlookup && t->tlookup.names.a[0].p[0] != 'f') {
		r->rlookup = (struct p9_rlookup){.ecode = ENOENT};
	} else if (t->type == P9_tlookup) {
		r->rlookup = (struct p9_rlookup){.attrs.n = 1, .donated = P9_DONATED_READ};
		attr_of(&r->rlookup.attrs.a[0], S_IFREG | 0777,
			10U + (unsigned)(t->tlookup.names.a[0].p[1] - '0'));
		*fd = memfd_create("file", MFD_CLOEXEC);
	} else if (t->type == P9_tlist) {
		for (unsigned i = 0; i < 6; i++) {
			char name[2] = {'f', (char)('0' + i)};

			e.d.name = p9_str(name, 2);
			e.d.offset = i + 1;
			attr_of(&e.attr, S_IFREG | 0777, 10 + i);
			p9_put_entry(&c, &e);
		}
		r->rlist = (struct p9_rlist){.data = {data, (uint32_t)(c.p - data)}, .end = 1};
		r->rlist.own = r->rlist.data.len;
	} else if (t->type == P9_topenmany) {
		for (unsigned i = 0; i < many.regular; i++)
			peer.many[peer.nmany++] = memfd_create("file", MFD_CLOEXEC);
		for (unsigned i = 0; i < many.pipes; i++) {
			cr_assert_eq(pipe(p), 0);
			close(p[1]);
			peer.many[peer.nmany++] = p[0];
		}
		r->ropenmany = many.r;
	} else {
		r->type = P9_rlerror;
		r->rlerror.ecode = EINVAL;
	}
	return true;
}

static bool sink_any(struct dir_sink *s, const char *name, size_t len, uint64_t ino, unsigned type,
		     uint64_t next)
{
	return true;
}

static unsigned descriptors(void)
{
	unsigned n = 0;

	for (int fd = 0; fd < 256; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

/* The second file in order is opened with others, which is answered so; more: how many descriptors stay. */
static void check_many(unsigned more)
{
	AUTO(file) struct file *f = NULL;
	struct dir_sink s = {sink_any};
	unsigned before;

	start(donate_many);
	cr_assert_eq(vfs_open(&ctx, "/", O_RDONLY | O_DIRECTORY, 0, 0, &f), 0);
	cr_assert_eq(file_readdir(f, &s), 0);
	/* Once it has answered another request the peer, a thread of ours, has closed its own. */
	cr_assert_eq(open_ro("/f0"), 0);
	cr_assert_eq(walk("/none"), -ENOENT);
	before = descriptors();
	cr_assert_eq(open_ro("/f1"), 0);
	cr_assert_eq(walk("/neither"), -ENOENT);
	cr_assert_eq(descriptors(), before + more);
}

#define QIDS(count, ...) {.n = (count), .a = {__VA_ARGS__}}

Test(p9_peer, that_opens_what_was_asked_for_ahead_is_believed)
{
	many.regular = 3;
	many.r = (struct p9_ropenmany){7, QIDS(3, {.path = 11}, {.path = 12}, {.path = 13})};
	check_many(3);
}

Test(p9_peer, that_opens_other_files_ahead_is_not_believed)
{
	many.regular = 3;
	many.r = (struct p9_ropenmany){7, QIDS(3, {.path = 10}, {.path = 14}, {.path = 13})};
	check_many(2); /* f1 asked for again, f3 */
}

Test(p9_peer, that_sends_pipes_ahead_is_not_believed)
{
	many.regular = 1;
	many.pipes = 2;
	many.r = (struct p9_ropenmany){7, QIDS(3, {.path = 11}, {.path = 12}, {.path = 13})};
	check_many(1);
}

Test(p9_peer, that_sends_fewer_ahead_than_it_says_is_not_believed)
{
	many.regular = 2;
	many.r = (struct p9_ropenmany){7, QIDS(3, {.path = 11}, {.path = 12}, {.path = 13})};
	check_many(1);
}

Test(p9_peer, that_sends_more_ahead_than_it_says_is_not_believed)
{
	many.regular = 16;
	many.r = (struct p9_ropenmany){1, QIDS(1, {.path = 11})};
	check_many(1);
}

Test(p9_peer, that_opens_names_that_were_not_asked_for_is_not_believed)
{
	many.regular = 3;
	many.r = (struct p9_ropenmany){0x80000003, QIDS(3, {.path = 11}, {.path = 12}, {.path = 13})};
	check_many(1);
}

Test(p9_peer, that_opens_nothing_ahead_is_asked_again)
{
	check_many(1);
}

static bool bad_names(struct p9_msg *t, struct p9_msg *r, int *fd)
{
	static uint8_t data[64];
	struct p9_dirent d = {.offset = 1, .type = 8, .name = p9_str("a/b", 3)};
	struct p9_cur c = p9_cur(data, sizeof(data));

	if (t->type != P9_tlist)
		return donate_fifo(t, r, fd);
	p9_put_entry(&c, &(struct p9_entry){.d = d});
	r->rlist = (struct p9_rlist){.data = {data, (uint32_t)(c.p - data)}};
	r->rlist.own = r->rlist.data.len;
	return true;
}

static bool sink_emit(struct dir_sink *s, const char *name, size_t len, uint64_t ino, unsigned type,
		      uint64_t next)
{
	cr_assert_fail("a name got through");
	return false;
}

Test(p9_peer, that_lists_names_with_slashes_gives_EIO)
{
	AUTO(file) struct file *f = NULL;
	struct dir_sink s = {sink_emit};

	start(bad_names);
	cr_assert_eq(vfs_open(&ctx, "/", O_RDONLY | O_DIRECTORY, 0, 0, &f), 0);
	cr_assert_eq(file_readdir(f, &s), -EIO);
}

static bool unasked(struct p9_msg *t, struct p9_msg *r, int *fd)
{
	struct p9_msg extra = {.type = P9_rclunk, .tag = 0};

	r->rlookup = (struct p9_rlookup){.ecode = ENOENT};
	reply(r, -1);
	reply(&extra, -1);
	return true;
}

Test(p9_peer, that_talks_unasked_is_cut_off)
{
	start(unasked);
	walk("/a");
	cr_assert_eq(walk("/b"), -EIO);
}

/* ---- listings that lie ---------------------------------------------------------------------- */

static struct p9_cur listing;
static uint8_t listing_bytes[4096];
static uint32_t listing_own;
static uint64_t listing_qid;

static void listing_begin(void)
{
	listing = p9_cur(listing_bytes, sizeof(listing_bytes));
	listing_own = 0;
	listing_qid = 1;
}

static void listing_add(const char *name, size_t len, uint32_t mode, uint64_t ino, const char *target,
			size_t target_len)
{
	struct p9_entry e = {.d = {.offset = ino, .type = (uint8_t)(mode >> 12)}};

	e.d.name = p9_str(name, len);
	e.target = p9_str(target, target_len);
	attr_of(&e.attr, mode, ino);
	p9_put_entry(&listing, &e);
	listing_own = (uint32_t)(listing.p - listing_bytes);
}

static bool list_prepared(struct p9_msg *t, struct p9_msg *r, int *fd)
{
	if (t->type != P9_tlist) {
		r->type = P9_rlerror;
		r->rlerror.ecode = ENOENT;
		return true;
	}
	r->rlist = (struct p9_rlist){
		.data = {listing_bytes, (uint32_t)(listing.p - listing_bytes)},
		.own = listing_own,
		.end = 1,
		.qid.path = listing_qid,
	};
	return true;
}

static bool ignore_name(struct dir_sink *s, const char *name, size_t len, uint64_t ino,
			unsigned type, uint64_t next)
{
	return true;
}

static int list(const char *path)
{
	AUTO(file) struct file *f = NULL;
	struct dir_sink s = {ignore_name};
	int err = vfs_open(&ctx, path, O_RDONLY | O_DIRECTORY, 0, 0, &f);

	return err ? err : file_readdir(f, &s);
}

Test(p9_peer, that_claims_more_own_entries_than_bytes_gives_EIO)
{
	start(list_prepared);
	listing_begin();
	listing_add("a", 1, S_IFREG | 0644, 2, NULL, 0);
	listing_own += 1;
	cr_assert_eq(list("/"), -EIO);
}

Test(p9_peer, that_lists_a_half_entry_gives_EIO)
{
	start(list_prepared);
	listing_begin();
	listing_add("a", 1, S_IFREG | 0644, 2, NULL, 0);
	listing.p -= 3;
	listing_own -= 3;
	cr_assert_eq(list("/"), -EIO);
}

Test(p9_peer, that_lists_targets_with_zero_bytes_gives_EIO)
{
	start(list_prepared);
	listing_begin();
	listing_add("a", 1, S_IFLNK | 0777, 2, "x\0y", 3);
	cr_assert_eq(list("/"), -EIO);
}

Test(p9_peer, that_lists_unknown_types_gives_EIO_when_they_are_used)
{
	start(list_prepared);
	listing_begin();
	listing_add("a", 1, 0170000, 2, NULL, 0);
	cr_assert_eq(list("/"), 0);
	cr_assert_eq(walk("/a"), -EIO);
}

Test(p9_peer, that_lists_a_name_twice_or_dots_is_taken_at_its_last_word)
{
	start(list_prepared);
	listing_begin();
	listing_add(".", 1, S_IFREG | 0644, 9, NULL, 0);
	listing_add("..", 2, S_IFREG | 0644, 9, NULL, 0);
	listing_add("a", 1, S_IFREG | 0644, 2, NULL, 0);
	listing_add("a", 1, S_IFDIR | 0755, 3, NULL, 0);
	cr_assert_eq(list("/"), 0);
	cr_assert_eq(walk("/a/"), 0);
	cr_assert_eq(walk("/./a/.."), 0);
}

Test(p9_peer, that_lists_directories_inside_themselves_does_not_lock_us_up, .timeout = 10)
{
	static char path[4096];

	start(list_prepared);
	listing_begin();
	listing_add("a", 1, S_IFDIR | 0755, 1, NULL, 0);
	cr_assert_eq(list("/"), 0);
	for (int i = 0; i < 2000; i++)
		strcat(path, "/a");
	cr_assert_eq(walk(path), 0);
	cr_assert_lt(vfs_mkdir(&ctx, "/a/a/a/a/a/a/a/a/a/a/y", 0755), 0);
	strcpy(path + 3900, "/x");
	cr_assert_lt(open_ro(path), 0);
}

/* Directory a, and as what is below: whatever `listing` holds. */
static bool list_below(struct p9_msg *t, struct p9_msg *r, int *fd)
{
	static uint8_t data[1024];
	struct p9_cur c = p9_cur(data, sizeof(data));
	struct p9_entry e = {.d = {.offset = 1, .type = 4, .name = p9_str("a", 1)}};

	if (t->type != P9_tlist || t->tlist.flags & P9_LIST_BELOW)
		return list_prepared(t, r, fd);
	attr_of(&e.attr, S_IFDIR | 0755, 2);
	p9_put_entry(&c, &e);
	r->rlist = (struct p9_rlist){.data = {data, (uint32_t)(c.p - data)}, .end = 1};
	r->rlist.own = r->rlist.data.len;
	r->rlist.qid.path = t->tlist.names.n ? 2 : 1;
	return true;
}

static void section(uint64_t qid, uint32_t claim, const char *name, size_t len)
{
	struct p9_cur head = listing;

	p9_take(&listing, P9_SECTION_HDR);
	listing_add(name, len, S_IFREG | 0644, 5, NULL, 0);
	p9_put_u64(&head, qid);
	p9_put_u32(&head, (uint32_t)(listing.p - head.p - 4) + claim);
	listing_own = 0;
}

Test(p9_peer, that_tells_ahead_what_cannot_be_is_asked_properly)
{
	start(list_below);
	listing_begin();
	section(2, 0, "b/c", 3);
	cr_assert_eq(list("/"), 0);
	cr_assert_eq(list("/a"), 0);
	listing_begin();
	section(2, 1, "b", 1);
	cr_assert_eq(list("/a"), 0);
	listing_begin();
	section(2, 0xfffffff0, "b", 1);
	cr_assert_eq(list("/a"), 0);
	listing_begin();
	section(77, 0, "b", 1);
	cr_assert_eq(list("/a"), 0);
	listing_begin();
	listing.p += 5;
	cr_assert_eq(list("/a"), 0);
	listing_begin();
	section(2, 0, "b", 1);
	cr_assert_eq(list("/a"), 0);
	cr_assert_eq(walk("/a/b"), 0);
}

Test(p9_peer, that_binds_another_directory_than_was_told_gives_ESTALE)
{
	start(list_below);
	listing_begin();
	cr_assert_eq(list("/"), 0);
	cr_assert_eq(list("/a"), 0); /* bound: 2 */
	listing_begin();
	listing_add("d", 1, S_IFDIR | 0755, 7, NULL, 0);
	peer.script = list_prepared;
	listing_qid = 2;
	cr_assert_eq(list("/a"), 0);
	listing_qid = 8;
	cr_assert_eq(list("/a/d"), -ESTALE);
}

/* ---- one that takes its time --------------------------------------------------------------------- */

static sem_t asked, answer;
static uint32_t slow_fid;
static bool fid_used_twice;

static bool slow(struct p9_msg *t, struct p9_msg *r, int *fd)
{
	static uint64_t ino = 10;

	r->type = P9_rlookup;
	r->rlookup = (struct p9_rlookup){.attrs.n = 1};
	attr_of(&r->rlookup.attrs.a[0], S_IFREG | 0644, ++ino);
	if (t->type != P9_tlookup) {
		r->type = P9_rlerror;
		r->rlerror.ecode = EOPNOTSUPP;
		return true;
	}
	fid_used_twice |= slow_fid && t->tlookup.newfid == slow_fid;
	if (t->tlookup.names.n && t->tlookup.names.a[0].p[0] == 's') {
		slow_fid = t->tlookup.newfid;
		sem_post(&asked);
		sem_wait(&answer);
	}
	return true;
}

static _Thread_local bool dying;

static bool is_dying(void)
{
	return dying;
}

/* With a peer that waits for `answer` before it replies: the thread whose request it has. */
static pthread_t walk_slowly(script_fn script, void *(*walker)(void *))
{
	pthread_t t;

	sem_init(&asked, 0, 0);
	sem_init(&answer, 0, 0);
	start(script);
	vfs_killed = is_dying;
	pthread_create(&t, NULL, walker, NULL);
	sem_wait(&asked);
	return t;
}

static void *walk_dying(void *arg)
{
	dying = true;
	return (void *)(intptr_t)walk("/slow");
}

Test(p9_peer, that_never_answers_holds_no_killed_caller, .timeout = 20)
{
	pthread_t t = walk_slowly(slow, walk_dying);
	void *r;

	pthread_join(t, &r); /* though no answer has come */
	cr_assert_eq((intptr_t)r, -EINTR);
	sem_post(&answer);
	/* The late answer is nobody's, and harms nobody. */
	for (char name[] = "/a"; name[1] <= 'r'; name[1]++)
		cr_assert_eq(walk(name), 0, "%s", name);
	cr_assert(!fid_used_twice);
}

static bool all_slow(struct p9_msg *t, struct p9_msg *r, int *fd)
{
	sem_post(&asked);
	sem_wait(&answer);
	r->rlookup = (struct p9_rlookup){.ecode = ENOENT};
	return t->type == P9_tlookup;
}

static void *walk_living(void *arg)
{
	return (void *)(intptr_t)walk("/slow");
}

Test(p9_peer, that_is_slow_is_waited_for, .timeout = 20)
{
	pthread_t t = walk_slowly(all_slow, walk_living);
	void *r;

	usleep(700000); /* several slices */
	sem_post(&answer);
	pthread_join(t, &r);
	cr_assert_eq((intptr_t)r, -ENOENT);
}
