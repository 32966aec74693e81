#include "tests/unit/vfs/setup.h"

#include <pthread.h>
#include <stdio.h>
#include <time.h>

static void setup(void)
{
	tree_setup();
	cr_assert_eq(vfs_mkdir(&ctx, "/usr", 0755), 0);
	cr_assert_eq(vfs_mkdir(&ctx, "/usr/lib", 0755), 0);
	cr_assert_eq(make_file("/usr/lib/x"), 0);
	cr_assert_eq(vfs_symlink(&ctx, "usr/lib", "/lib"), 0);
	cr_assert_eq(vfs_symlink(&ctx, "/usr", "/abs"), 0);
	cr_assert_eq(vfs_symlink(&ctx, "loop", "/loop"), 0);
	cr_assert_eq(vfs_symlink(&ctx, "nowhere", "/dangling"), 0);
	cr_assert_eq(vfs_symlink(&ctx, "x", "/usr/lib/y"), 0);
}

TestSuite(vfs_walk, .init = setup);

Test(vfs_walk, names_lead_to_places)
{
	for (int warm = 0; warm < 3; warm++) { /* slow, then fast */
		ASSERT_PLACE("/", "/");
		ASSERT_PLACE("/usr/lib/x", "/usr/lib/x");
		ASSERT_PLACE("usr//lib/./x", "/usr/lib/x");
		ASSERT_PLACE("/lib/x", "/usr/lib/x");
		ASSERT_PLACE("/lib/y", "/usr/lib/x");
		ASSERT_PLACE("/abs/lib/../lib/y", "/usr/lib/x");
		ASSERT_PLACE("/lib/..", "/usr");
		ASSERT_PLACE("/lib/", "/usr/lib");
	}
}

Test(vfs_walk, dotdot_stops_at_root)
{
	ASSERT_PLACE("/../../usr/..", "/");
	ASSERT_PLACE("..", "/");
}

Test(vfs_walk, errors_are_those_of_linux)
{
	char longname[300], deep[2] = "";

	memset(longname, 'a', 299);
	longname[299] = 0;
	for (int warm = 0; warm < 2; warm++) {
		cr_assert_eq(walk("/nope"), -ENOENT);
		cr_assert_eq(walk("/nope/x"), -ENOENT);
		cr_assert_eq(walk("/usr/lib/x/"), -ENOTDIR);
		cr_assert_eq(walk("/usr/lib/x/z"), -ENOTDIR);
		cr_assert_eq(walk("/loop"), -ELOOP);
		cr_assert_eq(walk("/dangling"), -ENOENT);
		cr_assert_eq(walk_flags("/dangling", 0), 0);
		cr_assert_eq(walk_flags("/dangling/", 0), -ENOENT);
		cr_assert_eq(walk(longname), -ENAMETOOLONG);
		cr_assert_eq(walk(deep), -ENOENT);
		cr_assert_eq(walk_flags("", WALK_EMPTY_PATH), 0);
	}
}

Test(vfs_walk, forty_links_are_followed_and_no_more)
{
	char name[16], target[16] = "/usr";

	for (int i = 1; i <= 41; i++) {
		snprintf(name, sizeof(name), "/l%d", i);
		cr_assert_eq(vfs_symlink(&ctx, target, name), 0);
		strcpy(target, name);
	}
	for (int warm = 0; warm < 2; warm++) {
		ASSERT_PLACE("/l40", "/usr");
		ASSERT_PLACE("/l40/", "/usr");
		ASSERT_PLACE("/l40/lib/x", "/usr/lib/x");
		cr_assert_eq(walk("/l41"), -ELOOP);
	}
}

Test(vfs_walk, search_permission_is_needed)
{
	struct path p;

	cr_assert_eq(vfs_mkdir(&ctx, "/secret", 0700), 0);
	cr_assert_eq(make_file("/secret/f"), 0);
	cr_assert_eq(walk("/secret/f"), 0);
	ctx.cred = user_cred;
	cr_assert_eq(walk("/secret/f"), -EACCES);
	cr_assert_eq(walk("/secret/../usr"), -EACCES);
	cr_assert_eq(walk("/secret"), 0);
	ctx.cred = root_cred;
	cr_assert_eq(vfs_walk(&ctx, "/secret", 0, &p), 0);
	cr_assert_eq(vfs_chown(&p, root_cred, 1000, UINT32_MAX), 0);
	path_put(&p);
	ctx.cred = user_cred;
	cr_assert_eq(walk("/secret/f"), 0);
}

Test(vfs_walk, beneath_refuses_to_leave)
{
	struct path usr;

	cr_assert_eq(vfs_walk(&ctx, "/usr", 0, &usr), 0);
	cr_assert_eq(vfs_symlink(&ctx, "../usr/lib", "/usr/out"), 0);
	cr_assert_eq(vfs_symlink(&ctx, "lib/../lib", "/usr/in"), 0);
	cr_assert_eq(vfs_symlink(&ctx, "/lib", "/usr/rooted"), 0);
	path_set(&ctx.cwd, &usr);
	cr_assert_eq(walk_flags("lib/x", WALK_BENEATH), 0);
	cr_assert_eq(walk_flags("in/x", WALK_BENEATH | WALK_FOLLOW), 0);
	cr_assert_eq(walk_flags("..", WALK_BENEATH), -EXDEV);
	cr_assert_eq(walk_flags("lib/../..", WALK_BENEATH), -EXDEV);
	cr_assert_eq(walk_flags("/usr", WALK_BENEATH), -EXDEV);
	cr_assert_eq(walk_flags("out", WALK_BENEATH | WALK_FOLLOW), -EXDEV);
	cr_assert_eq(walk_flags("rooted", WALK_BENEATH | WALK_FOLLOW), -EXDEV);
	cr_assert_eq(walk_flags("rooted/x", WALK_IN_ROOT | WALK_FOLLOW), 0);
	cr_assert_eq(walk_flags("../../lib/x", WALK_IN_ROOT), 0);
	cr_assert_eq(walk_flags("in/x", WALK_NO_SYMLINKS), -ELOOP);
	path_put(&usr);
}

/* Not a benchmark to compare machines with: it keeps the warm walk from becoming slow unseen. */
Test(vfs_walk, a_warm_stat_takes_less_than_a_microsecond)
{
	enum { N = 200000 };
	struct timespec a, b;
	struct vfs_attr attr;
	struct path p;
	double ns_each;

	clock_gettime(CLOCK_MONOTONIC, &a);
	for (int i = 0; i < N; i++) {
		cr_assert_eq(vfs_walk(&ctx, "/usr/lib/x", WALK_FOLLOW, &p), 0);
		vfs_getattr(&p, &attr);
		path_put(&p);
	}
	clock_gettime(CLOCK_MONOTONIC, &b);
	ns_each = ((double)(b.tv_sec - a.tv_sec) * 1e9 + (double)(b.tv_nsec - a.tv_nsec)) / N;
	if (getenv("VFS_TIMES"))
		fprintf(stderr, "warm stat: %.0f ns\n", ns_each);
	cr_assert_lt(ns_each, 20000); /* room for sanitizers and busy machines */
}

static void *mover(void *arg)
{
	for (int i = 0; i < 2000; i++) {
		cr_assert_eq(vfs_rename(&ctx, "/a/m", &ctx, "/b/m", 0), 0);
		cr_assert_eq(vfs_rename(&ctx, "/b/m", &ctx, "/a/m", 0), 0);
	}
	return NULL;
}

static void *looker(void *arg)
{
	for (int i = 0; i < 4000; i++) {
		int r = walk(i & 1 ? "/a/m/f" : "/b/m/f");

		cr_assert(r == 0 || r == -ENOENT);
		cr_assert_eq(walk("/a/../b"), 0);
	}
	return NULL;
}

static void *maker(void *arg)
{
	for (int i = 0; i < 2000; i++) {
		int r = open_put("/a/t", O_CREAT | O_RDWR);

		cr_assert(r == 0 || r == -ENOENT, "%d", r);
		r = vfs_unlink(&ctx, "/a/t");
		cr_assert(r == 0 || r == -ENOENT, "%d", r);
	}
	return NULL;
}

Test(vfs_walk, holds_while_directories_move)
{
	pthread_t th[6];

	cr_assert_eq(vfs_mkdir(&ctx, "/a", 0755), 0);
	cr_assert_eq(vfs_mkdir(&ctx, "/b", 0755), 0);
	cr_assert_eq(vfs_mkdir(&ctx, "/a/m", 0755), 0);
	cr_assert_eq(make_file("/a/m/f"), 0);
	pthread_create(&th[0], NULL, mover, NULL);
	for (int i = 1; i < 6; i++)
		pthread_create(&th[i], NULL, i & 1 ? looker : maker, NULL);
	for (int i = 0; i < 6; i++)
		pthread_join(th[i], NULL);
	cr_assert_eq(walk("/a/m/f"), 0);
}
