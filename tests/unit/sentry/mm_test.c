/* The VMA tree against a model: an array of pages for the guest's view, and a fake platform that keeps
 * the host's. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include "sentry/kernel/kernel.h"
#include "sentry/kernel/task.h"
#include "sentry/mm/mm_impl.h"
#include "vfs/cred.h"

#define BASE 0x10000000UL
#define PAGES 256
#define UNMAPPED 0xff
#define PRIV (MAP_PRIVATE | MAP_ANONYMOUS)

/* ---- a host that is an array -------------------------------------------------------------------- */

static uint8_t host[PAGES];  /* protection, or UNMAPPED */
static uint8_t model[PAGES]; /* what the guest asked for */
static int fail_next;	     /* the host refuses the next call with this */
static int host_calls;

static bool host_range(uint64_t addr, uint64_t len, unsigned *first, unsigned *n)
{
	if (addr < BASE || addr + len > BASE + PAGES * GUEST_PAGE_SIZE)
		return false;
	*first = (unsigned)((addr - BASE) / GUEST_PAGE_SIZE);
	*n = (unsigned)(page_up(len) / GUEST_PAGE_SIZE);
	return true;
}

static int64_t fake_call(struct pf_thread *t, const struct pf_call *c)
{
	unsigned first, n, to, ton;

	host_calls++;
	if (fail_next) {
		int64_t err = fail_next;

		fail_next = 0;
		return err;
	}
	if (!host_range(c->arg[0], c->arg[1], &first, &n))
		return c->nr == PF_MMAP ? (int64_t)c->arg[0] : 0;
	switch (c->nr) {
	case PF_MMAP:
		memset(host + first, (int)c->arg[2], n);
		return (int64_t)c->arg[0];
	case PF_MUNMAP:
		memset(host + first, UNMAPPED, n);
		return 0;
	case PF_MPROTECT:
		for (unsigned i = first; i < first + n; i++) {
			if (host[i] == UNMAPPED)
				return -ENOMEM;
			host[i] = (uint8_t)c->arg[2];
		}
		return 0;
	case PF_MREMAP:
		/* The host's own mappings are cut finer than ours. */
		for (unsigned i = first + 1; i < first + n; i++)
			if (i % 8 == 0)
				return -EFAULT;
		if (!host_range(c->arg[4], c->arg[2], &to, &ton))
			return (int64_t)c->arg[4];
		memset(host + to, host[first], ton);
		memset(host + first, UNMAPPED, n);
		return (int64_t)c->arg[4];
	default:
		return 0;
	}
}

/* Posted calls are run, and reported, at once. */
static int fake_post(struct pf_thread *t, const struct pf_call *c)
{
	int64_t r = fake_call(t, c);

	if (c->done)
		c->done(c->ctx, r);
	return 0;
}

static int fake_space_new(struct platform *p, struct pf_space **s, struct pf_thread **t)
{
	*s = (struct pf_space *)1;
	*t = (struct pf_thread *)1;
	return 0;
}

static void fake_space_noop(struct pf_space *s)
{
}

static const struct pf_ops fake_ops = {
	.name = "fake",
	.space_new = fake_space_new,
	.space_kill = fake_space_noop,
	.space_get = fake_space_noop,
	.space_put = fake_space_noop,
	.call = fake_call,
	.call_post = fake_post,
};

static struct kernel fake_kernel = {.pf_ops = &fake_ops};
static struct thread_group group;
static struct task task;

static void setup(void)
{
	struct pf_thread *th;

	kernel = &fake_kernel;
	for (int i = 0; i < GUEST_NRLIMITS; i++)
		group.rlimits[i] = (struct rlimit64_guest){RLIM_INFINITY, RLIM_INFINITY};
	task.tg = &group;
	task.cred = cred_new_root();
	cr_assert_eq(mm_new(&task.mm, &th), 0);
	task.pt = th;
	current_task = &task;
	task.mm->mmap_base = BASE + PAGES * GUEST_PAGE_SIZE;
	task.mm->impl->hint = task.mm->mmap_base;
	memset(host, UNMAPPED, sizeof(host));
	memset(model, UNMAPPED, sizeof(model));
}

static void teardown(void)
{
	current_task = NULL;
	mm_put(task.mm);
	cred_put(task.cred);
}

TestSuite(mm, .init = setup, .fini = teardown);

static uint64_t at(unsigned page)
{
	return BASE + page * GUEST_PAGE_SIZE;
}

/* ---- what always holds ---------------------------------------------------------------------------- */

static void check_tree(void)
{
	struct mm *m = task.mm;
	uint64_t total = 0, data = 0, last = 0, n = 0;
	uint8_t seen[PAGES];

	memset(seen, UNMAPPED, sizeof(seen));
	for (struct rb_node *node = rb_first(&m->vmas); node; node = rb_next(node), n++) {
		struct vma *v = rb_entry(node, struct vma, node), *next = vma_next(v);
		unsigned first, pages;

		cr_assert(v->start < v->end && v->start >= last && !(v->start & 4095));
		cr_assert(!(next && v->end == next->start && v->prot == next->prot &&
			    v->flags == next->flags && v->vm_flags == next->vm_flags &&
			    v->special == next->special && !v->file && !next->file),
			  "neighbours at %#lx are alike and not joined", v->end);
		last = v->end;
		total += (v->end - v->start) / GUEST_PAGE_SIZE;
		if (vma_is_data(v))
			data += (v->end - v->start) / GUEST_PAGE_SIZE;
		if (host_range(v->start, v->end - v->start, &first, &pages))
			memset(seen + first, (int)v->prot, pages);
	}
	cr_assert_eq(m->impl->nvmas, n);
	cr_assert_eq(m->total_pages, total);
	cr_assert_eq(m->data_pages, data);
	for (unsigned i = 0; i < PAGES; i++) {
		cr_assert_eq(seen[i], model[i], "page %u: tree %x, model %x", i, seen[i], model[i]);
		cr_assert_eq(host[i], model[i], "page %u: host %x, model %x", i, host[i], model[i]);
	}
}

static unsigned first_hole(unsigned from, unsigned n)
{
	while (from < n && model[from] != UNMAPPED)
		from++;
	return from;
}

static void random_operation(void)
{
	unsigned page = (unsigned)rand() % PAGES, n = 1 + (unsigned)rand() % 12;
	unsigned prot = (unsigned)rand() % 4;
	uint64_t len;

	if (page + n > PAGES)
		n = PAGES - page;
	len = n * GUEST_PAGE_SIZE;
	switch (rand() % 4) {
	case 0:
	case 1:
		cr_assert_eq(mm_mmap(&task, at(page), len, (int)prot, PRIV | MAP_FIXED, NULL, 0),
			     (int64_t)at(page));
		memset(model + page, (int)prot, n);
		break;
	case 2:
		cr_assert_eq(mm_munmap(&task, at(page), len), 0);
		memset(model + page, UNMAPPED, n);
		break;
	default: {
		unsigned end = first_hole(page, page + n);

		cr_assert_eq(mm_mprotect(&task, at(page), len, (int)prot),
			     end == page + n ? 0 : -ENOMEM);
		memset(model + page, (int)prot, end - page);
	}
	}
}

Test(mm, tree_host_and_model_agree_after_random_operations)
{
	srand(3);
	for (int i = 0; i < 4000; i++) {
		random_operation();
		check_tree();
	}
}

Test(mm, shared_address_space_gives_the_same_result)
{
	srand(4);
	mm_get(task.mm); /* a second user: nothing is posted */
	for (int i = 0; i < 1000; i++) {
		random_operation();
		check_tree();
	}
	mm_put(task.mm);
}

Test(mm, refused_host_call_changes_nothing)
{
	mm_get(task.mm);
	mm_mmap(&task, at(10), 8 * 4096, PROT_READ | PROT_WRITE, PRIV | MAP_FIXED, NULL, 0);
	memset(model + 10, 3, 8);
	fail_next = -ENOMEM;
	cr_assert_eq(mm_munmap(&task, at(12), 4096), -ENOMEM);
	fail_next = -ENOMEM;
	cr_assert_eq(mm_mprotect(&task, at(13), 4096, PROT_READ), -ENOMEM);
	fail_next = -ENOMEM;
	cr_assert_eq(mm_mmap(&task, at(14), 4096, PROT_READ, PRIV | MAP_FIXED, NULL, 0), -ENOMEM);
	cr_assert_eq(vma_mapped_bytes(task.mm, at(0), at(PAGES)), 8 * 4096);
	for (unsigned i = 10; i < 18; i++)
		cr_assert_eq(vma_find(task.mm, at(i))->prot, PROT_READ | PROT_WRITE);
	mm_put(task.mm);
}

Test(mm, posted_mmap_that_fails_is_tried_again)
{
	fail_next = -ENOMEM;
	cr_assert_gt(mm_mmap(&task, at(5), 4096, PROT_READ, PRIV | MAP_FIXED, NULL, 0), 0);
	cr_assert_eq(host[5], UNMAPPED);
	cr_assert_gt(mm_mmap(&task, at(9), 4096, PROT_READ, PRIV | MAP_FIXED, NULL, 0), 0);
	model[5] = model[9] = PROT_READ;
	check_tree();
}

Test(mm, move_works_across_finer_host_mappings)
{
	mm_mmap(&task, at(0), 100 * 4096, PROT_READ, PRIV | MAP_FIXED, NULL, 0);
	cr_assert_eq(mm_mremap(&task, at(3), 60 * 4096, 70 * 4096, MREMAP_MAYMOVE | MREMAP_FIXED,
			       at(120)),
		     (int64_t)at(120));
	memset(model, PROT_READ, 100);
	memset(model + 3, UNMAPPED, 60);
	memset(model + 120, PROT_READ, 70);
	check_tree();
}

Test(mm, search_finds_every_hole_and_nothing_else)
{
	task.mm->mmap_base = at(64);
	task.mm->impl->hint = at(64);
	mm_mmap(&task, PF_GUEST_MIN, BASE - PF_GUEST_MIN, PROT_NONE, PRIV | MAP_FIXED, NULL, 0);
	mm_mmap(&task, at(64), PF_GUEST_MAX - at(64), PROT_NONE, PRIV | MAP_FIXED | MAP_NORESERVE,
		NULL, 0);
	for (unsigned i = 0; i < 64; i += 2)
		cr_assert_gt(mm_mmap(&task, at(i), 4096, PROT_READ, PRIV | MAP_FIXED, NULL, 0), 0);
	cr_assert_eq(mm_mmap(&task, 0, 2 * 4096, PROT_READ, PRIV, NULL, 0), -ENOMEM);
	for (unsigned i = 0; i < 32; i++)
		cr_assert_gt(mm_mmap(&task, 0, 4096, PROT_READ, PRIV, NULL, 0), 0);
	cr_assert_eq(mm_mmap(&task, 0, 4096, PROT_READ, PRIV, NULL, 0), -ENOMEM);
	cr_assert_eq(mm_munmap(&task, at(7), 3 * 4096), 0);
	cr_assert_eq(mm_mmap(&task, 0, 3 * 4096, PROT_READ, PRIV, NULL, 0), (int64_t)at(7));
}

Test(mm, address_space_limit_counts_what_is_replaced)
{
	group.rlimits[RLIMIT_AS].cur = 10 * 4096;
	cr_assert_gt(mm_mmap(&task, at(0), 10 * 4096, PROT_READ, PRIV | MAP_FIXED, NULL, 0), 0);
	cr_assert_gt(mm_mmap(&task, at(0), 10 * 4096, PROT_NONE, PRIV | MAP_FIXED, NULL, 0), 0);
	cr_assert_eq(mm_mmap(&task, at(5), 10 * 4096, PROT_NONE, PRIV | MAP_FIXED, NULL, 0), -ENOMEM);
	cr_assert_eq(mm_mmap(&task, at(20), 4096, PROT_NONE, PRIV | MAP_FIXED, NULL, 0), -ENOMEM);
}

Test(mm, stack_keeps_a_gap_to_what_is_below)
{
	mm_mmap(&task, at(0), PAGES * 4096, PROT_NONE, PRIV | MAP_FIXED, NULL, 0);
	mm_munmap(&task, at(0), PAGES * 4096);
	mm_mmap(&task, BASE + (1UL << 30), 4096, PROT_READ | PROT_WRITE,
		PRIV | MAP_FIXED | MAP_GROWSDOWN, NULL, 0);
	/* A hint inside the gap is not taken. */
	uint64_t near = BASE + (1UL << 30) - 16 * 4096;

	cr_assert_neq(mm_mmap(&task, near, 4096, PROT_READ, PRIV, NULL, 0), (int64_t)near);
}
