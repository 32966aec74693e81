#include "tests/unit/vfs/setup.h"

static void setup(void)
{
	tree_setup();
	cr_assert_eq(vfs_mkdir(&ctx, "/mnt", 0755), 0);
	cr_assert_eq(vfs_mkdir(&ctx, "/mnt/below", 0755), 0);
}

TestSuite(vfs_mount, .init = setup);

static int mount_tmpfs(const char *path, uint32_t flags)
{
	struct fs *fs = tree_fs();
	struct path at;
	int r = vfs_walk(&ctx, path, WALK_FOLLOW, &at);

	if (r == 0) {
		r = mount_attach(ns, &at, fs, fs->root, flags, "tmpfs");
		path_put(&at);
	}
	fs_put(fs);
	return r;
}

static int umount(const char *path, bool lazy)
{
	struct path at;
	int r = vfs_walk(&ctx, path, WALK_FOLLOW, &at);

	if (r == 0) {
		r = mount_detach(ns, at.mount, lazy);
		path_put(&at);
	}
	return r;
}

Test(vfs_mount, a_mount_hides_and_unmounting_shows_again)
{
	for (int warm = 0; warm < 2; warm++) {
		cr_assert_eq(walk("/mnt/below"), 0);
		cr_assert_eq(mount_tmpfs("/mnt", 0), 0);
		cr_assert_eq(walk("/mnt/below"), -ENOENT);
		cr_assert_eq(make_file("/mnt/f"), 0);
		ASSERT_PLACE("/mnt/f", "/mnt/f");
		ASSERT_PLACE("/mnt/..", "/");
		cr_assert_eq(walk_flags("/mnt/f", WALK_NO_XDEV), -EXDEV);
		cr_assert_eq(vfs_rmdir(&ctx, "/mnt"), -EBUSY);
		cr_assert_eq(vfs_rename(&ctx, "/mnt", &ctx, "/x", 0), -EBUSY);
		cr_assert_eq(umount("/mnt", false), 0);
	}
}

Test(vfs_mount, mounts_stack)
{
	cr_assert_eq(mount_tmpfs("/mnt", 0), 0);
	cr_assert_eq(make_file("/mnt/first"), 0);
	cr_assert_eq(mount_tmpfs("/mnt", 0), 0);
	cr_assert_eq(walk("/mnt/first"), -ENOENT);
	cr_assert_eq(umount("/mnt", false), 0);
	cr_assert_eq(walk("/mnt/first"), 0);
}

Test(vfs_mount, what_is_used_is_busy)
{
	struct file *f;

	cr_assert_eq(mount_tmpfs("/mnt", 0), 0);
	cr_assert_eq(vfs_open(&ctx, "/mnt/f", O_CREAT | O_RDWR, 0644, 0, &f), 0);
	cr_assert_eq(umount("/mnt", false), -EBUSY);
	cr_assert_eq(umount("/mnt", true), 0);
	cr_assert_eq(walk("/mnt/below"), 0);
	file_put(f); /* the last of it goes here */
	cr_assert_eq(umount("/", false), -EBUSY);
}

Test(vfs_mount, read_only_mounts_refuse_writers)
{
	struct path p;

	cr_assert_eq(mount_tmpfs("/mnt", MNT_RDONLY), 0);
	cr_assert_eq(make_file("/mnt/f"), -EROFS);
	cr_assert_eq(vfs_mkdir(&ctx, "/mnt/d", 0755), -EROFS);
	cr_assert_eq(vfs_walk(&ctx, "/mnt", 0, &p), 0);
	cr_assert_eq(vfs_chmod(&p, root_cred, 0700), -EROFS);
	mount_remount(p.mount, 0);
	cr_assert_eq(make_file("/mnt/f"), 0);
	path_put(&p);
	cr_assert_eq(vfs_rename(&ctx, "/mnt/f", &ctx, "/f", 0), -EXDEV);
}

Test(vfs_mount, bind_shows_a_subtree_and_rbind_its_mounts)
{
	struct path at, what;

	cr_assert_eq(vfs_mkdir(&ctx, "/bound", 0755), 0);
	cr_assert_eq(mount_tmpfs("/mnt/below", 0), 0);
	cr_assert_eq(make_file("/mnt/below/f"), 0);
	cr_assert_eq(vfs_walk(&ctx, "/mnt", 0, &what), 0);
	cr_assert_eq(vfs_walk(&ctx, "/bound", 0, &at), 0);
	cr_assert_eq(mount_bind(ns, &at, &what, false), 0);
	cr_assert_eq(walk("/bound/below"), 0);
	cr_assert_eq(walk("/bound/below/f"), -ENOENT);
	ASSERT_PLACE("/bound/below/../..", "/");
	cr_assert_eq(umount("/bound", false), 0);
	cr_assert_eq(mount_bind(ns, &at, &what, true), 0);
	cr_assert_eq(walk("/bound/below/f"), 0);
	ASSERT_PLACE("/bound/below/f", "/bound/below/f");
	/* onto something inside itself */
	path_put(&at);
	cr_assert_eq(vfs_walk(&ctx, "/mnt/below", 0, &at), 0);
	cr_assert_eq(mount_bind(ns, &at, &what, true), 0);
	cr_assert_eq(walk("/mnt/below/below/f"), 0);
	path_put(&at);
	path_put(&what);
}

Test(vfs_mount, a_clone_of_a_namespace_is_independent)
{
	struct mount_ns *copy;
	struct path root = {0};

	cr_assert_eq(mount_tmpfs("/mnt", 0), 0);
	cr_assert_eq(make_file("/mnt/f"), 0);
	cr_assert_eq(mount_ns_clone(ns, &copy), 0);
	path_set(&root, &ctx.root);
	mount_ns_adopt(copy, &root);
	cr_assert_neq(root.mount, ctx.root.mount);
	cr_assert_eq(umount("/mnt", false), 0);
	path_set(&ctx.root, &root);
	path_set(&ctx.cwd, &root);
	cr_assert_eq(walk("/mnt/f"), 0);
	path_put(&root);
}

Test(vfs_mount, pivot_root_onto_itself_then_unmount)
{
	struct path new;

	cr_assert_eq(mount_tmpfs("/mnt", 0), 0);
	cr_assert_eq(make_file("/mnt/f"), 0);
	cr_assert_eq(vfs_walk(&ctx, "/mnt", 0, &new), 0);
	cr_assert_eq(mount_pivot(ns, &ctx.root, &new, &new), 0);
	path_set(&ctx.root, &new);
	path_set(&ctx.cwd, &new);
	cr_assert_eq(walk("/f"), 0);
	cr_assert_eq(umount("/.", true), -EINVAL, "the walk to / does not see what is on top of it");
	path_put(&new);
}

Test(vfs_mount, files_go_on_files_only)
{
	struct path f, d;

	cr_assert_eq(make_file("/f"), 0);
	cr_assert_eq(make_file("/g"), 0);
	cr_assert_eq(mount_tmpfs("/f", 0), -ENOTDIR);
	cr_assert_eq(vfs_walk(&ctx, "/f", 0, &f), 0);
	cr_assert_eq(vfs_walk(&ctx, "/g", 0, &d), 0);
	cr_assert_eq(mount_bind(ns, &d, &f, false), 0);
	cr_assert_eq(vfs_unlink(&ctx, "/g"), -EBUSY);
	path_put(&f);
	path_put(&d);
}
