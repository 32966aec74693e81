#include "tests/unit/vfs/setup.h"

#include <linux/fs.h>

TestSuite(vfs_names, .init = tree_setup);

Test(vfs_names, open_creates_as_its_flags_say)
{
	cr_assert_eq(open_put("/f", O_RDONLY), -ENOENT);
	cr_assert_eq(open_put("/f", O_CREAT | O_EXCL | O_WRONLY), 0);
	cr_assert_eq(open_put("/f", O_CREAT | O_EXCL | O_WRONLY), -EEXIST);
	cr_assert_eq(open_put("/f", O_CREAT | O_WRONLY), 0);
	cr_assert_eq(open_put("/g/", O_CREAT | O_WRONLY), -EISDIR);
	cr_assert_eq(open_put("/", O_CREAT | O_RDWR), -EISDIR);
	cr_assert_eq(open_put("/d", O_CREAT | O_DIRECTORY), -EINVAL);
	cr_assert_eq(open_put("/f", O_DIRECTORY), -ENOTDIR);
	cr_assert_eq(open_put("/", O_DIRECTORY), 0);
	cr_assert_eq(open_put("/", O_WRONLY), -EISDIR);
	cr_assert_eq(open_put("/nodir/f", O_CREAT | O_RDWR), -ENOENT);
	cr_assert_eq(open_put("/f/g", O_CREAT | O_RDWR), -ENOTDIR);
}

Test(vfs_names, open_creates_through_a_dangling_link)
{
	cr_assert_eq(vfs_symlink(&ctx, "made", "/l"), 0);
	cr_assert_eq(open_put("/l", O_CREAT | O_EXCL | O_RDWR), -EEXIST);
	cr_assert_eq(open_put("/l", O_CREAT | O_NOFOLLOW | O_RDWR), -ELOOP);
	cr_assert_eq(open_put("/l", O_CREAT | O_RDWR), 0);
	cr_assert_eq(walk("/made"), 0);
	cr_assert_eq(open_put("/l", O_RDONLY | O_NOFOLLOW), -ELOOP);
	cr_assert_eq(open_put("/l", O_PATH | O_NOFOLLOW), 0);
}

Test(vfs_names, unlink_and_rmdir_tell_files_from_directories)
{
	cr_assert_eq(vfs_mkdir(&ctx, "/d/", 0755), 0);
	cr_assert_eq(vfs_mkdir(&ctx, "/d", 0755), -EEXIST);
	cr_assert_eq(make_file("/d/f"), 0);
	cr_assert_eq(vfs_unlink(&ctx, "/d"), -EISDIR);
	cr_assert_eq(vfs_rmdir(&ctx, "/d"), -ENOTEMPTY);
	cr_assert_eq(vfs_rmdir(&ctx, "/d/f"), -ENOTDIR);
	cr_assert_eq(vfs_rmdir(&ctx, "/d/."), -EINVAL);
	cr_assert_eq(vfs_rmdir(&ctx, "/d/.."), -ENOTEMPTY);
	cr_assert_eq(vfs_rmdir(&ctx, "/"), -EBUSY);
	cr_assert_eq(vfs_unlink(&ctx, "/d/f/"), -ENOTDIR);
	cr_assert_eq(vfs_unlink(&ctx, "/d/f"), 0);
	cr_assert_eq(vfs_unlink(&ctx, "/d/f"), -ENOENT);
	cr_assert_eq(vfs_rmdir(&ctx, "/d"), 0);
	cr_assert_eq(walk("/d"), -ENOENT);
}

Test(vfs_names, nothing_is_made_in_a_removed_directory)
{
	struct path d;

	cr_assert_eq(vfs_mkdir(&ctx, "/d", 0755), 0);
	cr_assert_eq(vfs_walk(&ctx, "/d", 0, &d), 0);
	cr_assert_eq(vfs_rmdir(&ctx, "/d"), 0);
	path_set(&ctx.cwd, &d);
	cr_assert_eq(make_file("f"), -ENOENT);
	cr_assert_eq(walk("."), 0);
	ASSERT_PLACE(".", "/d (deleted)");
	path_put(&d);
}

Test(vfs_names, rename_replaces_and_refuses)
{
	cr_assert_eq(vfs_mkdir(&ctx, "/a", 0755), 0);
	cr_assert_eq(vfs_mkdir(&ctx, "/a/b", 0755), 0);
	cr_assert_eq(make_file("/f"), 0);
	cr_assert_eq(make_file("/g"), 0);
	cr_assert_eq(vfs_rename(&ctx, "/a", &ctx, "/a/b/c", 0), -EINVAL);
	cr_assert_eq(vfs_rename(&ctx, "/a", &ctx, "/a", 0), 0);
	cr_assert_eq(vfs_rename(&ctx, "/a/b", &ctx, "/a", 0), -ENOTEMPTY);
	cr_assert_eq(vfs_rename(&ctx, "/f", &ctx, "/a", 0), -EISDIR);
	cr_assert_eq(vfs_rename(&ctx, "/a", &ctx, "/f", 0), -ENOTDIR);
	cr_assert_eq(vfs_rename(&ctx, "/f", &ctx, "/h/", 0), -ENOTDIR);
	cr_assert_eq(vfs_rename(&ctx, "/f", &ctx, "/g", RENAME_NOREPLACE), -EEXIST);
	cr_assert_eq(vfs_rename(&ctx, "/none", &ctx, "/g", 0), -ENOENT);
	cr_assert_eq(vfs_rename(&ctx, "/f", &ctx, "/g", 0), 0);
	cr_assert_eq(walk("/f"), -ENOENT);
	cr_assert_eq(vfs_rename(&ctx, "/g", &ctx, "/a/b/g", 0), 0);
	cr_assert_eq(walk("/a/b/g"), 0);
	cr_assert_eq(vfs_rename(&ctx, "/a/b", &ctx, "/z", 0), 0);
	ASSERT_PLACE("/z/g", "/z/g");
	ASSERT_PLACE("/z/..", "/");
	cr_assert_eq(vfs_rename(&ctx, "/z/g", &ctx, "/a", RENAME_EXCHANGE), 0);
	ASSERT_PLACE("/a", "/a");
	cr_assert_eq(open_put("/z/g", O_DIRECTORY), 0);
	cr_assert_eq(open_put("/a", O_DIRECTORY), -ENOTDIR);
	cr_assert_eq(vfs_rename(&ctx, "/z/.", &ctx, "/y", 0), -EBUSY);
}

Test(vfs_names, the_sticky_bit_protects)
{
	cr_assert_eq(vfs_mkdir(&ctx, "/tmp", 01777), 0);
	cr_assert_eq(make_file("/tmp/roots"), 0);
	ctx.cred = user_cred;
	cr_assert_eq(make_file("/tmp/mine"), 0);
	cr_assert_eq(vfs_unlink(&ctx, "/tmp/roots"), -EPERM);
	cr_assert_eq(vfs_rename(&ctx, "/tmp/mine", &ctx, "/tmp/roots", 0), -EPERM);
	cr_assert_eq(vfs_rename(&ctx, "/tmp/roots", &ctx, "/tmp/mine", 0), -EPERM);
	cr_assert_eq(vfs_unlink(&ctx, "/tmp/mine"), 0);
	cr_assert_eq(make_file("/f"), -EACCES);
}

Test(vfs_names, links_share_an_inode)
{
	struct path f;
	struct vfs_attr a;

	cr_assert_eq(make_file("/f"), 0);
	cr_assert_eq(vfs_walk(&ctx, "/f", 0, &f), 0);
	cr_assert_eq(vfs_link(&f, &ctx, "/g"), 0);
	cr_assert_eq(vfs_link(&f, &ctx, "/g"), -EEXIST);
	cr_assert_eq(vfs_getattr(&f, &a), 0);
	cr_assert_eq(a.nlink, 2);
	cr_assert_eq(vfs_rename(&ctx, "/f", &ctx, "/g", 0), 0);
	cr_assert_eq(walk("/f"), 0, "renaming a file onto itself does nothing");
	path_put(&f);
	cr_assert_eq(vfs_walk(&ctx, "/", 0, &f), 0);
	cr_assert_eq(vfs_link(&f, &ctx, "/h"), -EPERM);
	path_put(&f);
}

Test(vfs_names, o_tmpfile_has_no_name)
{
	struct file *f;
	char *text;

	cr_assert_eq(vfs_open(&ctx, "/", O_TMPFILE | O_RDWR, 0600, 0, &f), 0);
	cr_assert_eq(path_to_text(&f->path, &ctx.root, &text), 0);
	cr_assert(strstr(text, " (deleted)"));
	free(text);
	cr_assert_eq(vfs_link(&f->path, &ctx, "/named"), 0);
	cr_assert_eq(walk("/named"), 0);
	file_put(f);
	cr_assert_eq(open_put("/", O_TMPFILE), -EINVAL);
}

Test(vfs_names, running_text_is_not_written)
{
	struct path f;

	cr_assert_eq(make_file("/prog"), 0);
	cr_assert_eq(vfs_walk(&ctx, "/prog", 0, &f), 0);
	cr_assert_eq(inode_deny_write(atomic_load(&f.dirent->inode)), 0);
	cr_assert_eq(open_put("/prog", O_WRONLY), -ETXTBSY);
	cr_assert_eq(open_put("/prog", O_RDONLY | O_TRUNC), -ETXTBSY);
	cr_assert_eq(vfs_truncate(&f, root_cred, 0), -ETXTBSY);
	inode_allow_write(atomic_load(&f.dirent->inode));
	cr_assert_eq(open_put("/prog", O_WRONLY), 0);
	path_put(&f);
}
