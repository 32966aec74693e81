/* inotify(7). */
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/guest/check.h"

static int fd;
static char queue[65536];
static ssize_t have, at;

/* The next event, or NULL when there is none. */
static struct inotify_event *next(void)
{
	struct inotify_event *e;

	if (at >= have) {
		at = 0;
		have = read(fd, queue, sizeof(queue));
		if (have <= 0) {
			have = 0;
			return NULL;
		}
	}
	e = (struct inotify_event *)(queue + at);
	at += (ssize_t)(sizeof(*e) + e->len);
	return e;
}

#define EXPECT(wd_, mask_, name_) expect(__LINE__, wd_, mask_, name_)

static uint32_t expect(int line, int wd, uint32_t mask, const char *name)
{
	struct inotify_event *e = next();

	if (!e) {
		CHECK_FAIL("line %d: no event, wanted %#x %s", line, mask, name ? name : "");
		return 0;
	}
	if (e->wd != wd || e->mask != mask || strcmp(e->len ? e->name : "", name ? name : ""))
		CHECK_FAIL("line %d: wd %d mask %#x name %s, not %d %#x %s", line, e->wd, e->mask,
			   e->len ? e->name : "", wd, mask, name ? name : "");
	CHECK_EQ(e->len % sizeof(*e), 0);
	return e->cookie;
}

static void touch(const char *path)
{
	int f = open(path, O_CREAT | O_WRONLY, 0600);

	CHECK(f >= 0);
	close(f);
}

static void directory(void)
{
	uint32_t c1, c2;
	int wd, f, n;
	char c;

	wd = inotify_add_watch(fd, "dir", IN_ALL_EVENTS);
	CHECK(wd >= 1);
	f = open("dir/a", O_CREAT | O_RDWR, 0600);
	EXPECT(wd, IN_CREATE, "a");
	EXPECT(wd, IN_OPEN, "a");
	write(f, "x", 1);
	CHECK_EQ(ioctl(fd, FIONREAD, &n), 0);
	CHECK_EQ(n, 32);
	EXPECT(wd, IN_MODIFY, "a");
	pread(f, &c, 1, 0);
	EXPECT(wd, IN_ACCESS, "a");
	fchmod(f, 0644);
	EXPECT(wd, IN_ATTRIB, "a");
	ftruncate(f, 0);
	EXPECT(wd, IN_MODIFY, "a");
	close(f);
	EXPECT(wd, IN_CLOSE_WRITE, "a");
	f = open("dir/a", O_RDONLY);
	close(f);
	EXPECT(wd, IN_OPEN, "a");
	EXPECT(wd, IN_CLOSE_NOWRITE, "a");
	rename("dir/a", "dir/b");
	c1 = EXPECT(wd, IN_MOVED_FROM, "a");
	c2 = EXPECT(wd, IN_MOVED_TO, "b");
	CHECK(c1 && c1 == c2);
	rename("dir/b", "outside");
	c1 = EXPECT(wd, IN_MOVED_FROM, "b");
	CHECK(c1 != c2);
	rename("outside", "dir/c");
	EXPECT(wd, IN_MOVED_TO, "c");
	mkdir("dir/sub", 0700);
	EXPECT(wd, IN_CREATE | IN_ISDIR, "sub");
	rmdir("dir/sub");
	EXPECT(wd, IN_DELETE | IN_ISDIR, "sub");
	symlink("x", "dir/l");
	EXPECT(wd, IN_CREATE, "l");
	unlink("dir/l");
	EXPECT(wd, IN_DELETE, "l");
	unlink("dir/c");
	EXPECT(wd, IN_DELETE, "c");
	CHECK_EQ(inotify_rm_watch(fd, wd), 0);
	EXPECT(wd, IN_IGNORED, NULL);
	CHECK_ERR(inotify_rm_watch(fd, wd), EINVAL);
	touch("dir/quiet");
	unlink("dir/quiet");
	CHECK(!next());
}

static void file(void)
{
	int wd;

	touch("f");
	wd = inotify_add_watch(fd, "f", IN_MODIFY | IN_DELETE_SELF | IN_MOVE_SELF);
	rename("f", "g");
	EXPECT(wd, IN_MOVE_SELF, NULL);
	truncate("g", 10);
	EXPECT(wd, IN_MODIFY, NULL);
	unlink("g");
	EXPECT(wd, IN_DELETE_SELF, NULL);
	EXPECT(wd, IN_IGNORED, NULL);
	mkdir("gone", 0700);
	wd = inotify_add_watch(fd, "gone", IN_DELETE_SELF);
	rmdir("gone");
	EXPECT(wd, IN_DELETE_SELF, NULL);
	EXPECT(wd, IN_IGNORED, NULL);
	CHECK(!next());
}

static void masks(void)
{
	int wd = inotify_add_watch(fd, "dir", IN_CREATE | IN_ONESHOT);

	touch("dir/1");
	touch("dir/2");
	EXPECT(wd, IN_CREATE, "1");
	EXPECT(wd, IN_IGNORED, NULL);
	CHECK(!next());
	wd = inotify_add_watch(fd, "dir", IN_CREATE);
	CHECK_EQ(inotify_add_watch(fd, "dir", IN_DELETE), wd);
	touch("dir/3");
	CHECK(!next());
	CHECK_EQ(inotify_add_watch(fd, "dir", IN_CREATE | IN_MASK_ADD), wd);
	CHECK_ERR(inotify_add_watch(fd, "dir", IN_CREATE | IN_MASK_CREATE), EEXIST);
	touch("dir/4");
	unlink("dir/4");
	EXPECT(wd, IN_CREATE, "4");
	EXPECT(wd, IN_DELETE, "4");
	inotify_rm_watch(fd, wd);
	next();
	CHECK_ERR(inotify_add_watch(fd, "dir/1", IN_CREATE | IN_ONLYDIR), ENOTDIR);
	symlink("dir", "link");
	wd = inotify_add_watch(fd, "link", IN_CREATE | IN_DONT_FOLLOW);
	CHECK(wd > 0);
	touch("dir/5");
	CHECK(!next());
	unlink("link");
	while (next())
		;
	CHECK_ERR(inotify_add_watch(fd, "dir", 0), EINVAL);
	CHECK_ERR(inotify_add_watch(fd, "nothing", IN_CREATE), ENOENT);
	CHECK_ERR(inotify_add_watch(0, "dir", IN_CREATE), EINVAL);
	CHECK_ERR(inotify_add_watch(999, "dir", IN_CREATE), EBADF);
	CHECK_ERR(inotify_init1(1), EINVAL);
}

static void queueing(void)
{
	int wd = inotify_add_watch(fd, "dir", IN_ALL_EVENTS), f, overflow = 0, n = 0;
	struct pollfd p = {fd, POLLIN, 0};
	struct inotify_event *e;
	char c = 0;

	CHECK_EQ(poll(&p, 1, 0), 0);
	f = open("dir/1", O_RDWR);
	CHECK_EQ(poll(&p, 1, 0), 1);
	CHECK_ERR(read(fd, queue, 16), EINVAL);
	while (next())
		;
	/* The same event again joins the last one. */
	for (int i = 0; i < 10; i++)
		write(f, &c, 1);
	EXPECT(wd, IN_MODIFY, "1");
	CHECK(!next());
	for (int i = 0; i < 20000; i++) {
		pwrite(f, &c, 1, 0);
		pread(f, &c, 1, 0);
	}
	while ((e = next())) {
		n++;
		if (e->mask & IN_Q_OVERFLOW) {
			overflow++;
			CHECK_EQ(e->wd, -1);
		}
	}
	CHECK_EQ(overflow, 1);
	CHECK(n >= 16384);
	close(f);
}

int main(void)
{
	char name[32];

	snprintf(name, sizeof(name), "inotify.XXXXXX");
	REQUIRE(mkdtemp(name) && chdir(name) == 0 && mkdir("dir", 0700) == 0);
	fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	REQUIRE(fd >= 0);
	CHECK_ERR(read(fd, queue, sizeof(queue)), EAGAIN);
	directory();
	file();
	masks();
	queueing();
	close(fd);
	return check_status();
}
