#include "tests/unit/vfs/setup.h"

#include "vfs/locks.h"

static struct file *f, *g;

static void setup(void)
{
	tree_setup();
	cr_assert_eq(vfs_open(&ctx, "/f", O_CREAT | O_RDWR, 0644, 0, &f), 0);
	cr_assert_eq(vfs_open(&ctx, "/f", O_RDWR, 0644, 0, &g), 0);
}

static void teardown(void)
{
	file_put(f);
	file_put(g);
}

TestSuite(vfs_locks, .init = setup, .fini = teardown);

static int set(const void *owner, int type, uint64_t start, uint64_t end)
{
	struct file_lock_req r = {LOCK_KIND_POSIX, type, start, end, owner, 1};

	return file_lock_set(f, &r);
}

Test(vfs_locks, ranges_split_and_join)
{
	int a = 0, b = 0;
	struct file_lock_req q = {LOCK_KIND_POSIX, F_WRLCK, 0, UINT64_MAX, &b, 2};

	cr_assert_eq(set(&a, F_WRLCK, 0, 99), 0);
	cr_assert_eq(set(&b, F_RDLCK, 50, 60), -EAGAIN);
	cr_assert_eq(set(&a, F_UNLCK, 40, 59), 0);
	cr_assert_eq(set(&b, F_WRLCK, 40, 59), 0);
	cr_assert_eq(set(&b, F_WRLCK, 39, 39), -EAGAIN);
	cr_assert_eq(set(&b, F_WRLCK, 60, 60), -EAGAIN);
	cr_assert_eq(set(&b, F_UNLCK, 0, UINT64_MAX), 0);
	cr_assert_eq(set(&a, F_WRLCK, 40, 59), 0);
	cr_assert_eq(file_lock_get(f, &q), 0);
	cr_assert_eq(q.start, 0);
	cr_assert_eq(q.end, 99, "three pieces are one again");
	file_lock_release(f, LOCK_KIND_POSIX, &a);
	cr_assert_eq(set(&b, F_WRLCK, 0, UINT64_MAX), 0);
}

Test(vfs_locks, readers_share)
{
	int a = 0, b = 0;

	cr_assert_eq(set(&a, F_RDLCK, 0, 9), 0);
	cr_assert_eq(set(&b, F_RDLCK, 0, 9), 0);
	cr_assert_eq(set(&a, F_WRLCK, 0, 9), -EAGAIN);
	cr_assert_eq(set(&b, F_UNLCK, 0, 9), 0);
	cr_assert_eq(set(&a, F_WRLCK, 0, 9), 0);
}

Test(vfs_locks, a_circle_of_waiters_is_a_deadlock)
{
	int a = 0, b = 0;
	struct file_lock_req ra = {LOCK_KIND_POSIX, F_WRLCK, 1, 1, &a, 1};
	struct file_lock_req rb = {LOCK_KIND_POSIX, F_WRLCK, 0, 0, &b, 2};
	struct file_lock_wait wa, wb;

	cr_assert_eq(set(&a, F_WRLCK, 0, 0), 0);
	cr_assert_eq(set(&b, F_WRLCK, 1, 1), 0);
	cr_assert_eq(file_lock_wait_begin(f, &ra, &wa), 0);
	cr_assert_eq(file_lock_wait_begin(f, &rb, &wb), -EDEADLK);
	file_lock_wait_end(&wa);
	cr_assert_eq(file_lock_wait_begin(f, &rb, &wb), 0);
	file_lock_wait_end(&wb);
}

Test(vfs_locks, flock_belongs_to_the_open_file)
{
	struct file_lock_req rf = {LOCK_KIND_FLOCK, F_WRLCK, 0, UINT64_MAX, f, 1};
	struct file_lock_req rg = {LOCK_KIND_FLOCK, F_RDLCK, 0, UINT64_MAX, g, 1};
	struct file *h;
	int a = 0;

	cr_assert_eq(file_lock_set(f, &rf), 0);
	cr_assert_eq(file_lock_set(g, &rg), -EAGAIN);
	cr_assert_eq(set(&a, F_WRLCK, 0, 9), 0, "the two kinds do not see each other");
	rf.type = F_RDLCK;
	cr_assert_eq(file_lock_set(f, &rf), 0);
	cr_assert_eq(file_lock_set(g, &rg), 0);
	cr_assert_eq(vfs_open(&ctx, "/f", O_RDWR, 0644, 0, &h), 0);
	rf.owner = h;
	rf.type = F_WRLCK;
	cr_assert_eq(file_lock_set(h, &rf), -EAGAIN);
	file_put(h);
}
