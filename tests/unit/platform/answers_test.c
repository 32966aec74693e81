/* Calls with paths that the stub answers from what the sentry keeps for all stubs; and guests that would
 * rather write it themselves. */
#include "tests/unit/platform/guest.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "platform/seccomp/impl.h"

static unsigned place;
static _Atomic uint64_t *changes;

static void up(void)
{
	unsigned n;

	platform_up();
	changes = ops->changes(pf, &n);
	cr_assert(changes);
	cr_assert_eq(n, ANSWER_CHANGES);
	place = ops->place_new(pf);
	cr_assert_neq(place, 0);
	ops->place_set(pf, place, 100, 200);
}

TestSuite(answers, .init = up, .fini = platform_down, .timeout = 60);

/* syscall; mov %rax,%r9; mov $getpgrp,%eax; syscall */
static const uint8_t ask[] = {0x0f, 0x05, 0x49, 0x89, 0xc1, 0xb8, SYS_getpgrp, 0, 0, 0, 0x0f, 0x05};

#define PATH (DATA + 0x1000)
#define BUF (DATA + 0x2000)

static struct pf_thread *asker(struct pf_space **s, uint64_t cred, unsigned at)
{
	struct pf_identity id = {.tgid = 1, .tid = 1, .answers_allowed = true, .cred = cred, .place = at};
	struct pf_thread *t;

	guest_new(ask, sizeof(ask), s, &t);
	ops->publish(t, &id);
	return t;
}

/* True if the stub answered: then the next call, which no stub answers, is the first that is seen. */
static bool answered(struct pf_space *s, struct pf_thread *t, uint64_t nr, const uint64_t a[6],
		     const char *path, int64_t *result)
{
	struct pf_regs *r = ops->regs(t);
	struct pf_event ev;

	cr_assert_eq(ops->write(s, gptr(PATH), path, strlen(path) + 1), (ssize_t)strlen(path) + 1);
	r->rip = CODE;
	guest_set_call(r, nr, a);
	ops->run(t, &ev);
	cr_assert_eq(ev.kind, PF_SYSCALL);
	if (ev.nr == nr)
		return false;
	cr_assert_eq(ev.nr, SYS_getpgrp);
	*result = (int64_t)r->r9;
	return true;
}

/* The place that the tests ask from. */
static const uint64_t root_id = 100, cwd_id = 200;

static void keep(uint64_t nr, const uint64_t *args, const char *path, int64_t result, const void *data,
		 size_t n, uint32_t of)
{
	struct pf_answer a = {
		.nr = nr,
		.args = args,
		.cred = 7,
		.root = root_id,
		.cwd = cwd_id,
		.path = path,
		.path_len = strlen(path),
		.result = result,
		.data = data,
		.data_len = n,
		.of = of,
	};

	for (int i = 0; i < ANSWER_CHANGES; i++)
		if (of & 1u << i)
			a.changed += changes[i];
	ops->answer(pf, &a);
}

static const uint64_t access_args[6] = {PATH, R_OK};

Test(answers, an_answer_is_given_until_something_that_it_depends_on_has_changed)
{
	struct pf_space *s;
	struct pf_thread *t = asker(&s, 7, place);
	int64_t r;

	cr_expect(!answered(s, t, SYS_access, access_args, "/a", &r));
	changes[3] = 5;
	keep(SYS_access, access_args, "/a", -ENOENT, NULL, 0, 1 << 3 | 1 << 0);
	for (int i = 0; i < 3; i++) {
		cr_expect(answered(s, t, SYS_access, access_args, "/a", &r));
		cr_expect_eq(r, -ENOENT);
	}
	changes[4]++;
	cr_expect(answered(s, t, SYS_access, access_args, "/a", &r));
	changes[3]++;
	cr_expect(!answered(s, t, SYS_access, access_args, "/a", &r));
	keep(SYS_access, access_args, "/a", 0, NULL, 0, 1 << 3 | 1 << 0);
	cr_expect(answered(s, t, SYS_access, access_args, "/a", &r));
	cr_expect_eq(r, 0);
	changes[0]++;
	cr_expect(!answered(s, t, SYS_access, access_args, "/a", &r));
	ops->thread_destroy(t);
}

Test(answers, another_question_is_not_answered)
{
	static const uint64_t other_mode[6] = {PATH, W_OK}, at_fd[6] = {5, PATH, R_OK},
			      at_cwd[6] = {(uint32_t)-100, PATH, R_OK},
			      made[6] = {PATH, O_CREAT}, opened[6] = {PATH, 0};
	struct pf_space *s, *s2;
	struct pf_thread *t = asker(&s, 7, place), *t2 = asker(&s2, 8, place);
	int64_t r;

	keep(SYS_access, access_args, "/a", 0, NULL, 0, 1);
	keep(SYS_faccessat, at_fd, "r", 0, NULL, 0, 1);
	keep(SYS_faccessat, at_cwd, "r", 0, NULL, 0, 1);
	keep(SYS_open, made, "/a", -ENOENT, NULL, 0, 1);
	keep(SYS_open, opened, "/a", -ENOENT, NULL, 0, 1);
	cr_expect(answered(s, t, SYS_access, access_args, "/a", &r));
	cr_expect(!answered(s, t, SYS_access, other_mode, "/a", &r));
	cr_expect(!answered(s, t, SYS_access, access_args, "/aa", &r));
	cr_expect(!answered(s, t, SYS_access, access_args, "/", &r));
	cr_expect(!answered(s, t, SYS_access, access_args, "", &r));
	cr_expect(!answered(s, t, SYS_stat, access_args, "/a", &r));
	cr_expect(!answered(s2, t2, SYS_access, access_args, "/a", &r));
	cr_expect(answered(s, t, SYS_faccessat, at_cwd, "r", &r));
	cr_expect(!answered(s, t, SYS_faccessat, at_fd, "r", &r));
	cr_expect(!answered(s, t, SYS_open, made, "/a", &r));
	cr_expect(answered(s, t, SYS_open, opened, "/a", &r));
	ops->thread_destroy(t);
	ops->thread_destroy(t2);
}

Test(answers, a_place_that_moves_takes_its_relative_paths_along)
{
	struct pf_space *s;
	struct pf_thread *t = asker(&s, 7, place);
	unsigned copy = ops->place_new(pf);
	int64_t r;

	cr_expect_neq(copy, place);
	keep(SYS_access, access_args, "/a", 0, NULL, 0, 1);
	keep(SYS_access, access_args, "a", 0, NULL, 0, 1);
	cr_expect(answered(s, t, SYS_access, access_args, "a", &r));
	ops->place_set(pf, place, 100, 201);
	cr_expect(!answered(s, t, SYS_access, access_args, "a", &r));
	cr_expect(answered(s, t, SYS_access, access_args, "/a", &r));
	ops->place_set(pf, copy, 100, 200);
	ops->publish(t, &(struct pf_identity){.answers_allowed = true, .cred = 7, .place = copy});
	cr_expect(answered(s, t, SYS_access, access_args, "a", &r));
	ops->place_set(pf, copy, 101, 200);
	cr_expect(!answered(s, t, SYS_access, access_args, "/a", &r));
	ops->publish(t, &(struct pf_identity){.answers_allowed = true, .cred = 7});
	cr_expect(!answered(s, t, SYS_access, access_args, "a", &r));
	ops->publish(t, &(struct pf_identity){.cred = 7, .place = copy});
	cr_expect(!answered(s, t, SYS_access, access_args, "a", &r));
	ops->place_free(pf, copy);
	cr_expect_eq(ops->place_new(pf), copy);
	ops->thread_destroy(t);
}

Test(answers, what_the_call_writes_comes_with_them)
{
	static const uint64_t stat_args[6] = {PATH, BUF}, nowhere[6] = {PATH, 0x30000000},
			      far[6] = {PATH, STUB_ARENA};
	uint64_t link_args[6] = {PATH, BUF, 100};
	struct pf_space *s;
	struct pf_thread *t = asker(&s, 7, place);
	char data[256], got[256];
	int64_t r;

	for (int i = 0; i < 256; i++)
		data[i] = (char)(i + 1);
	keep(SYS_stat, stat_args, "/f", 0, data, 144, 1);
	cr_expect(answered(s, t, SYS_stat, stat_args, "/f", &r));
	cr_expect_eq(r, 0);
	cr_assert_eq(ops->read(s, got, gptr(BUF), 256), 256);
	cr_expect_eq(memcmp(got, data, 144), 0);
	cr_expect_eq(got[144], 0);
	cr_expect(!answered(s, t, SYS_stat, nowhere, "/f", &r));
	cr_expect(!answered(s, t, SYS_stat, far, "/f", &r));
	keep(SYS_readlink, link_args, "/l", 5, "abcdefgh", 8, 1);
	cr_expect(answered(s, t, SYS_readlink, link_args, "/l", &r));
	cr_expect_eq(r, 8);
	link_args[2] = 3;
	cr_assert_eq(ops->write(s, gptr(BUF), "........", 8), 8);
	cr_expect(answered(s, t, SYS_readlink, link_args, "/l", &r));
	cr_expect_eq(r, 3);
	cr_assert_eq(ops->read(s, got, gptr(BUF), 8), 8);
	cr_expect_eq(memcmp(got, "abc.....", 8), 0);
	link_args[2] = 0;
	cr_expect(!answered(s, t, SYS_readlink, link_args, "/l", &r));
	keep(SYS_stat, stat_args, "/g", 0, data, ANSWER_DATA + 1, 1);
	cr_expect(!answered(s, t, SYS_stat, stat_args, "/g", &r));
	ops->thread_destroy(t);
}

/* More questions than there is room for: who is not answered asks the sentry, nobody gets another's answer. */
Test(answers, they_make_room_for_each_other)
{
	struct pf_space *s;
	struct pf_thread *t = asker(&s, 7, place);
	char path[ANSWER_PATH + 8];
	unsigned hits = 0;
	int64_t r;

	for (int i = 0; i < 5000; i++) {
		snprintf(path, sizeof(path), "/%d", i);
		keep(SYS_access, access_args, path, -i, NULL, 0, 1);
	}
	for (int i = 0; i < 5000; i += 7) {
		snprintf(path, sizeof(path), "/%d", i);
		if (answered(s, t, SYS_access, access_args, path, &r)) {
			cr_expect_eq(r, -i);
			hits++;
		}
	}
	cr_expect_gt(hits, 50);
	for (size_t n = ANSWER_PATH - 2; n < ANSWER_PATH + 4; n++) {
		memset(path, 'x', n);
		path[0] = '/';
		path[n] = 0;
		keep(SYS_access, access_args, path, 0, NULL, 0, 1);
		cr_expect_eq(answered(s, t, SYS_access, access_args, path, &r), n <= ANSWER_PATH);
	}
	ops->thread_destroy(t);
}

static bool faults(struct pf_space *s, struct pf_thread *t, const uint8_t *code, size_t n, uint64_t at)
{
	struct pf_event ev;

	cr_assert_eq(ops->write(s, gptr(CODE), code, n), (ssize_t)n);
	ops->regs(t)->rip = CODE;
	ops->regs(t)->rdi = at;
	ops->run(t, &ev);
	return ev.kind == PF_FAULT && ev.signo == SIGSEGV && ev.addr == at;
}

Test(answers, no_guest_writes_them)
{
	static const uint8_t store[] = {0x48, 0x89, 0x07, 0x0f, 0x05}; /* mov %rax,(%rdi); syscall */
	struct pf_space *s;
	struct pf_thread *t = asker(&s, 7, place);
	/* What one that jumps into its stub could ask the host for. */
	struct slot_cmd cmds[] = {
		{.op = SYS_mprotect, .a = {STUB_PATHS, 4096, PROT_READ | PROT_WRITE}},
		{.op = SYS_madvise, .a = {STUB_PATHS, 4096, 9 /* MADV_REMOVE */}},
		{.op = SYS_madvise, .a = {STUB_PATHS, 4096, 23 /* MADV_POPULATE_WRITE */}},
	};

	cr_expect(faults(s, t, store, sizeof(store), STUB_PATHS));
	cr_expect(faults(s, t, store, sizeof(store), STUB_PATHS + offsetof(struct answers, answer)));
	for (unsigned i = 0; i < sizeof(cmds) / sizeof(cmds[0]); i++) {
		cr_assert_eq(commands_run(t, &cmds[i], 1), 0);
		cr_expect_lt(cmds[i].ret, 0, "call %lu: %ld", cmds[i].op, cmds[i].ret);
	}
	ops->thread_destroy(t);
}

/* A forged place or credential leads to other answers, not out of the table. */
Test(answers, a_forged_slot_does_no_harm)
{
	struct pf_space *s;
	struct pf_thread *t = asker(&s, 7, place);
	int64_t r;

	keep(SYS_access, access_args, "/a", 0, NULL, 0, 1);
	for (uint32_t forged = 1; forged; forged <<= 1) {
		t->slot->place = forged | ANSWER_PLACES;
		answered(s, t, SYS_access, access_args, "/a", &r);
	}
	t->slot->place = place;
	cr_expect(answered(s, t, SYS_access, access_args, "/a", &r));
	ops->thread_destroy(t);
}
