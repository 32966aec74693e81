#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>

#include "sentry/kernel/fdtable.h"
#include "vfs/cred.h"
#include "vfs/file.h"
#include "vfs/vfs.h"

static struct fdtable *t;
static struct cred *cred;
static int released;

static void count_release(struct file *f)
{
	released++;
}

static const struct file_ops ops = {.release = count_release};

static void setup(void)
{
	cr_assert_eq(vfs_init(100), 0);
	cred = cred_new_root();
	cr_assert_eq(fdtable_new(&t), 0);
}

TestSuite(fdtable, .init = setup);

static struct file *new_file(void)
{
	struct file *f;

	cr_assert_eq(file_new_anon("x", &ops, NULL, O_RDWR, FILE_READ | FILE_WRITE, cred, &f), 0);
	return f;
}

static int install(int min, bool cloexec)
{
	return fdtable_install(t, new_file(), min, cloexec, 1 << 20);
}

Test(fdtable, gives_the_lowest_free_number)
{
	for (int i = 0; i < 300; i++)
		cr_assert_eq(install(0, false), i);
	cr_assert_eq(fdtable_close(t, 17), 0);
	cr_assert_eq(fdtable_close(t, 200), 0);
	cr_assert_eq(install(100, false), 200);
	cr_assert_eq(install(0, false), 17);
	cr_assert_eq(install(0, false), 300);
	cr_assert_eq(install(5000, false), 5000);
	cr_assert_eq(install(0, false), 301);
	cr_assert_eq(fdtable_count(t), 303);
	cr_assert_eq(released, 2);
	fdtable_put(t);
	cr_assert_eq(released, 305);
}

Test(fdtable, keeps_to_the_limit)
{
	struct file *f = new_file();

	for (int i = 0; i < 3; i++)
		cr_assert_eq(fdtable_install(t, new_file(), 0, false, 3), i);
	cr_assert_eq(fdtable_install(t, f, 0, false, 3), -EMFILE);
	cr_assert_eq(fdtable_install_at(t, f, 3, false, 3), -EBADF);
	cr_assert_eq(fdtable_install_at(t, f, 1, false, 3), 1);
	cr_assert_eq(released, 1);
}

Test(fdtable, clones_share_files_not_slots)
{
	struct fdtable *c;
	struct file *a, *b;

	install(0, true);
	install(70, false);
	cr_assert_eq(fdtable_clone(t, &c), 0);
	cr_assert_eq(fdtable_close(t, 70), 0);
	cr_assert_eq(released, 0);
	cr_assert_eq(fdtable_get(c, 70, &a), 0);
	file_put(a);
	cr_assert_eq(fdtable_get(c, 0, &a), 0);
	cr_assert_eq(fdtable_get(t, 0, &b), 0);
	cr_assert_eq(a, b);
	file_put(a);
	file_put(b);
	fdtable_close_on_exec(c);
	cr_assert_eq(fdtable_get(c, 0, &a), -EBADF);
	cr_assert_eq(fdtable_next(c, 0), 70);
	cr_assert_eq(fdtable_next(c, 71), -1);
	fdtable_put(c);
	cr_assert_eq(released, 1);
}

Test(fdtable, close_range_takes_or_marks_a_range)
{
	for (int i = 0; i < 200; i++)
		install(0, false);
	cr_assert_eq(fdtable_close_range(t, 10, 20, true), 0);
	cr_assert_eq(fdtable_get_cloexec(t, 9), 0);
	cr_assert_eq(fdtable_get_cloexec(t, 10), 1);
	cr_assert_eq(fdtable_get_cloexec(t, 20), 1);
	cr_assert_eq(fdtable_get_cloexec(t, 21), 0);
	cr_assert_eq(fdtable_close_range(t, 100, ~0u, false), 0);
	cr_assert_eq(fdtable_count(t), 100);
	cr_assert_eq(install(0, false), 100);
	cr_assert_eq(fdtable_close_range(t, 5, 4, false), -EINVAL);
	cr_assert_eq(fdtable_get_cloexec(t, 150), -EBADF);
	cr_assert_eq(fdtable_close(t, -1), -EBADF);
}
