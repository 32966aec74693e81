#include "tests/unit/vfs/setup.h"

#include "vfs/changes.h"

static _Atomic uint64_t words[VFS_CHANGES];

static void setup(void)
{
	vfs_changes_keep_at(words);
	tree_setup();
	cr_assert_eq(vfs_mkdir(&ctx, "/d", 0755), 0);
	cr_assert_eq(vfs_mkdir(&ctx, "/private", 0750), 0);
	cr_assert_eq(make_file("/d/f"), 0);
	cr_assert_eq(make_file("/private/f"), 0);
	cr_assert_eq(vfs_symlink(&ctx, "d/f", "/l"), 0);
}

TestSuite(vfs_changes, .init = setup);

static struct walk_seen seen(const char *path)
{
	struct path p;

	for (int warm = 0; warm < 3; warm++) {
		walk_seen.walks = 0;
		if (vfs_walk(&ctx, path, WALK_FOLLOW, &p) == 0)
			path_put(&p);
	}
	return walk_seen;
}

static uint64_t sum_of(uint32_t of)
{
	uint64_t sum = 0;

	for (int i = 0; i < VFS_CHANGES; i++)
		if (of & 1u << i)
			sum += words[i];
	return sum;
}

/* What a walk to `path` depended on before `change` was counted by it. */
#define EXPECT_COUNTED(path, change)                                                               \
	do {                                                                                       \
		struct walk_seen before_ = seen(path);                                             \
		uint64_t sum_ = sum_of(before_.of);                                                \
		cr_expect(before_.pure, path);                                                     \
		cr_expect_eq(before_.walks, 1);                                                    \
		cr_expect_eq(change, 0, #change);                                                  \
		cr_expect_neq(sum_of(before_.of), sum_, #change);                                  \
	} while (0)

static int chmod_of(const char *path, uint32_t mode)
{
	struct path p;
	int r = vfs_walk(&ctx, path, 0, &p);

	if (r == 0) {
		r = vfs_chmod(&p, root_cred, mode);
		path_put(&p);
	}
	return r;
}

static int mount_at(const char *at)
{
	struct fs *fs = tree_fs();
	struct path p;
	int r = vfs_walk(&ctx, at, 0, &p);

	if (r == 0) {
		r = mount_attach(ns, &p, fs, fs->root, 0, NULL);
		path_put(&p);
	}
	fs_put(fs);
	return r;
}

Test(vfs_changes, names_that_come_go_and_move_are_counted)
{
	EXPECT_COUNTED("/d/new", make_file("/d/new"));
	EXPECT_COUNTED("/d/new", vfs_unlink(&ctx, "/d/new"));
	EXPECT_COUNTED("/d/e", vfs_mkdir(&ctx, "/d/e", 0755));
	EXPECT_COUNTED("/d/e", vfs_rename(&ctx, "/d/e", &ctx, "/d/g", 0));
	EXPECT_COUNTED("/d/g", vfs_rmdir(&ctx, "/d/g"));
	EXPECT_COUNTED("/d/s", vfs_symlink(&ctx, "f", "/d/s"));
	EXPECT_COUNTED("/l", vfs_rename(&ctx, "/d/f", &ctx, "/d/s", 2 /* RENAME_EXCHANGE */));
}

Test(vfs_changes, modes_and_mounts_are_counted)
{
	EXPECT_COUNTED("/d/f", chmod_of("/d", 0711 | 044));
	EXPECT_COUNTED("/d/f", chmod_of("/d/f", 0600));
	EXPECT_COUNTED("/d/f", mount_at("/d"));
	EXPECT_COUNTED("/d/f", make_file("/d/f")); /* of the new file system */
	EXPECT_COUNTED("/l", mount_at("/d"));
}

Test(vfs_changes, another_file_system_is_another_counter)
{
	struct walk_seen outside, inside;

	cr_assert_eq(vfs_mkdir(&ctx, "/m", 0755), 0);
	cr_assert_eq(mount_at("/m"), 0);
	outside = seen("/d/f");
	inside = seen("/m/x");
	cr_expect(outside.pure && inside.pure);
	cr_expect_neq(outside.of, inside.of);
	uint64_t sum = sum_of(outside.of);
	cr_expect_eq(make_file("/m/x"), 0);
	cr_expect_eq(sum_of(outside.of), sum);
}

Test(vfs_changes, what_others_may_not_list_is_not_pure)
{
	cr_expect(seen("/d/f").pure);
	cr_expect(seen("/l").pure);
	cr_expect_not(seen("/private/f").pure);
	cr_expect_not(seen("/private/nothing").pure);
	cr_expect(seen("/private").pure);
	cr_expect_eq(chmod_of("/private", 0755), 0);
	cr_expect(seen("/private/f").pure);
}

Test(vfs_changes, the_first_walk_to_a_name_is_as_good_as_any)
{
	struct path p;

	walk_seen.walks = 0;
	cr_expect_eq(vfs_walk(&ctx, "/d/never", 0, &p), -ENOENT);
	cr_expect(walk_seen.pure);
	cr_expect_eq(walk_seen.result, -ENOENT);
	cr_expect_eq(vfs_walk(&ctx, "/d/never", 0, &p), -ENOENT);
	cr_expect(walk_seen.pure);
	cr_expect_eq(walk_seen.walks, 2);
}

Test(vfs_changes, credentials_that_may_do_the_same_keep_their_number)
{
	AUTO(cred) struct cred *same = cred_dup(root_cred), *other = cred_dup(root_cred);

	cr_expect_neq(same->id, root_cred->id);
	same->no_new_privs = true;
	cred_keep_id(same, root_cred);
	cr_expect_eq(same->id, root_cred->id);
	other->fsgid = 5;
	cred_keep_id(other, root_cred);
	cr_expect_neq(other->id, root_cred->id);
}
