/* inotify(7): what each file system call tells the watchers of a file and of its directory. */
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>

#include "tests/guest/check.h"

static int in;
static char events[8192];
static size_t used, at;

static struct inotify_event *next_event(void)
{
	struct inotify_event *e;

	if (at == used) {
		ssize_t n = read(in, events, sizeof(events));

		if (n <= 0)
			return NULL;
		used = (size_t)n;
		at = 0;
	}
	e = (struct inotify_event *)(events + at);
	at += sizeof(*e) + e->len;
	return e;
}

static uint32_t last_cookie;

static void expect_(int line, int wd, uint32_t mask, const char *name)
{
	struct inotify_event *e = next_event();

	if (!e) {
		CHECK_FAIL("line %d: no event, not %#x %s", line, mask, name);
		return;
	}
	if (e->wd != wd || e->mask != mask || strcmp(e->len ? e->name : "", name) != 0)
		CHECK_FAIL("line %d: wd %d mask %#x name '%s', not %d %#x '%s'", line, e->wd, e->mask,
			   e->len ? e->name : "", wd, mask, name);
	last_cookie = e->cookie;
}

#define EXPECT(wd, mask, name) expect_(__LINE__, wd, mask, name)

static void expect_none(int line)
{
	struct inotify_event *e;

	while ((e = next_event()))
		CHECK_FAIL("line %d: left over: wd %d mask %#x '%s'", line, e->wd, e->mask,
			   e->len ? e->name : "");
}

static void test_directory(int dir)
{
	uint32_t cookie;
	int fd = open("d/f", O_CREAT | O_RDWR, 0644);

	EXPECT(dir, IN_CREATE, "f");
	EXPECT(dir, IN_OPEN, "f");
	CHECK_EQ(write(fd, "x", 1), 1);
	EXPECT(dir, IN_MODIFY, "f");
	CHECK_EQ(pread(fd, events + 4096, 1, 0), 1);
	EXPECT(dir, IN_ACCESS, "f");
	CHECK_EQ(fchmod(fd, 0600), 0);
	EXPECT(dir, IN_ATTRIB, "f");
	CHECK_EQ(ftruncate(fd, 0), 0);
	EXPECT(dir, IN_MODIFY, "f");
	close(fd);
	EXPECT(dir, IN_CLOSE_WRITE, "f");
	fd = open("d/f", O_RDONLY);
	EXPECT(dir, IN_OPEN, "f");
	close(fd);
	EXPECT(dir, IN_CLOSE_NOWRITE, "f");
	CHECK_EQ(rename("d/f", "d/g"), 0);
	EXPECT(dir, IN_MOVED_FROM, "f");
	cookie = last_cookie;
	CHECK(cookie != 0);
	EXPECT(dir, IN_MOVED_TO, "g");
	CHECK_EQ(last_cookie, cookie);
	CHECK_EQ(mkdir("d/sub", 0755), 0);
	EXPECT(dir, IN_CREATE | IN_ISDIR, "sub");
	CHECK_EQ(rename("d/g", "d/sub/g"), 0);
	EXPECT(dir, IN_MOVED_FROM, "g");
	CHECK_EQ(rename("d/sub/g", "d/h"), 0);
	EXPECT(dir, IN_MOVED_TO, "h");
	CHECK_EQ(link("d/h", "d/i"), 0);
	{
		/* the link count of the watched name's file changes, then the new name appears */
		struct inotify_event *e = next_event();

		if (e && e->mask == IN_ATTRIB)
			e = next_event();
		CHECK(e && e->mask == IN_CREATE);
	}
	CHECK_EQ(symlink("h", "d/l"), 0);
	EXPECT(dir, IN_CREATE, "l");
	CHECK_EQ(unlink("d/i"), 0);
	EXPECT(dir, IN_DELETE, "i");
	unlink("d/l");
	EXPECT(dir, IN_DELETE, "l");
	unlink("d/h");
	EXPECT(dir, IN_DELETE, "h");
	rmdir("d/sub");
	EXPECT(dir, IN_DELETE | IN_ISDIR, "sub");
	expect_none(__LINE__);
}

static void test_file(void)
{
	int fd = open("f", O_CREAT | O_RDWR, 0644), wd;

	wd = inotify_add_watch(in, "f", IN_ALL_EVENTS);
	CHECK(wd > 0);
	CHECK_EQ(inotify_add_watch(in, "f", IN_ALL_EVENTS), wd);
	CHECK_EQ(write(fd, "x", 1), 1);
	EXPECT(wd, IN_MODIFY, "");
	CHECK_EQ(utimes("f", NULL), 0);
	EXPECT(wd, IN_ATTRIB, "");
	CHECK_EQ(rename("f", "g"), 0);
	EXPECT(wd, IN_MOVE_SELF, "");
	close(fd);
	EXPECT(wd, IN_CLOSE_WRITE, "");
	CHECK_EQ(unlink("g"), 0);
	EXPECT(wd, IN_ATTRIB, "");
	EXPECT(wd, IN_DELETE_SELF, "");
	EXPECT(wd, IN_IGNORED, "");
	expect_none(__LINE__);
	CHECK_ERR(inotify_rm_watch(in, wd), EINVAL);
}

static void test_flags(void)
{
	int n = -1, wd, fd;

	mkdir("e", 0755);
	wd = inotify_add_watch(in, "e", IN_CREATE | IN_ONESHOT);
	CHECK(wd > 0);
	close(open("e/a", O_CREAT | O_RDWR, 0644));
	EXPECT(wd, IN_CREATE, "a");
	EXPECT(wd, IN_IGNORED, "");
	expect_none(__LINE__);
	CHECK_ERR(inotify_add_watch(in, "e/a", IN_ALL_EVENTS | IN_ONLYDIR), ENOTDIR);
	CHECK_ERR(inotify_add_watch(in, "none", IN_ALL_EVENTS), ENOENT);
	CHECK_ERR(inotify_add_watch(in, "e", 0), EINVAL);
	wd = inotify_add_watch(in, "e", IN_DELETE);
	CHECK_EQ(inotify_add_watch(in, "e", IN_CREATE | IN_MASK_ADD), wd);
	fd = open("e/b", O_CREAT | O_RDWR, 0644);
	close(fd);
	CHECK_EQ(ioctl(in, FIONREAD, &n), 0);
	CHECK_EQ(n, (int)sizeof(struct inotify_event) + 16);
	unlink("e/b");
	EXPECT(wd, IN_CREATE, "b");
	EXPECT(wd, IN_DELETE, "b");
	CHECK_EQ(inotify_rm_watch(in, wd), 0);
	EXPECT(wd, IN_IGNORED, "");
	unlink("e/a");
	expect_none(__LINE__);
	rmdir("e");
}

int main(void)
{
	int dir;

	in = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	REQUIRE(in >= 0);
	mkdir("d", 0755);
	dir = inotify_add_watch(in, "d", IN_ALL_EVENTS & ~(IN_DELETE_SELF | IN_MOVE_SELF));
	REQUIRE(dir > 0);
	test_directory(dir);
	CHECK_EQ(inotify_rm_watch(in, dir), 0);
	EXPECT(dir, IN_IGNORED, "");
	rmdir("d");
	test_file();
	test_flags();
	return check_status();
}
