/* execve(2)'s new address space: program and interpreter are read and checked first, then all
 * mappings are posted and run in one go, then memory is written. Nothing touches the old address space. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/resource.h>

#include "sentry/kernel/kernel.h"
#include "sentry/kernel/task.h"
#include "sentry/loader/loader_impl.h"
#include "sentry/vdso/vdso.h"
#include "vfs/file.h"

#ifndef AT_MINSIGSTKSZ
#define AT_MINSIGSTKSZ 51
#endif
#define HWCAP2_FSGSBASE_GUEST 2UL
#define CLOCK_TICKS 100
/* Two thirds of the address space, as ELF_ET_DYN_BASE. */
#define PIE_BASE 0x555555554000UL
#define PIE_RND_PAGES (1UL << 28)
#define BRK_RND_PAGES (1UL << 18)
#define STACK_EXTRA (128UL << 10)
#define PERSONALITY_NO_RANDOMIZE 0x0040000

struct load {
	struct task *t;
	struct exec_args *args;
	struct exec_head head, interp_head;
	struct elf_image img, interp;
	bool has_interp;
	struct file *interp_file; /* owned */
	struct elf_placed prog, ld;
	struct exec_stack stack;
	uint64_t rlim_stack;
	bool random;
};

static void load_release(struct load *l)
{
	elf_image_release(&l->img);
	elf_image_release(&l->interp);
	if (l->interp_file)
		file_put(l->interp_file);
	free(l->stack.bytes);
	free(l);
}

static void auto_load(struct load **l)
{
	if (*l)
		load_release(*l);
}

/* ---- reading ------------------------------------------------------------------------------------ */

static int open_interp(struct load *l)
{
	char path[4096 + 1] = {0};

	if (exec_head_get(&l->head, path, l->img.interp_size, l->img.interp_offset))
		return -EIO;
	if (path[l->img.interp_size - 1] != 0)
		return -ENOEXEC;
	return task_open_exec(l->t, AT_FDCWD, path, 0, &l->interp_file);
}

static int read_interp(struct load *l)
{
	int err = open_interp(l);

	if (err)
		return err;
	err = exec_head_read(&l->interp_head, l->interp_file);
	if (!err && l->interp_head.len < sizeof(Elf64_Ehdr))
		err = -EIO;
	if (!err)
		err = elf_read(&l->interp_head, -ELIBBAD, &l->interp);
	l->has_interp = !err;
	return err;
}

static int read_all(struct load *l)
{
	int err = exec_head_read(&l->head, l->args->file);

	if (!err)
		err = elf_read(&l->head, -ENOEXEC, &l->img);
	if (!err && l->img.interp_size)
		err = read_interp(l);
	return err;
}

/* ---- placing ------------------------------------------------------------------------------------ */

static uint64_t align_down(uint64_t v, uint64_t align)
{
	return v & ~(align - 1);
}

/* The bias of a position-independent program; its range lies in guest memory. */
static int choose_bias(const struct load *l, uint64_t *bias)
{
	const struct elf_image *img = &l->img;
	uint64_t size = img->high - img->low, base;

	if (!img->pie) {
		*bias = 0;
		return layout_is_guest(img->low, size) ? 0 : img->low < PF_GUEST_MIN ? -EPERM : -ENOMEM;
	}
	base = align_down(PIE_BASE + (l->random ? layout_random(PIE_RND_PAGES) : 0), img->align);
	if (!layout_is_guest(base, size))
		return -ENOMEM;
	*bias = base - img->low;
	return 0;
}

static int map_interp(struct load *l, struct mm_op *op)
{
	const struct elf_image *img = &l->interp;
	uint64_t size = img->high - img->low, base, slack;

	if (!img->pie) {
		if (!layout_free(op->m, img->low, size))
			return -ENOMEM;
		return elf_map(op, l->interp_file, img, 0, &l->ld);
	}
	slack = img->align - GUEST_PAGE_SIZE;
	base = layout_search(op->m, size + slack, false);
	if (!base)
		return -ENOMEM;
	base = align_down(base + slack, img->align);
	return elf_map(op, l->interp_file, img, base - img->low, &l->ld);
}

static int map_program(struct load *l, struct mm_op *op)
{
	struct mm *m = op->m;
	uint64_t bias;
	int err = choose_bias(l, &bias);

	if (!err)
		err = elf_map(op, l->args->file, &l->img, bias, &l->prog);
	if (err)
		return err;
	m->start_code = l->prog.start_code;
	m->end_code = l->prog.end_code;
	m->start_data = l->prog.start_data;
	m->end_data = l->prog.end_data;
	m->brk_start = l->prog.end + (l->random ? layout_random(BRK_RND_PAGES) : 0);
	m->brk = m->brk_start;
	return 0;
}

/* The stack is made for its first contents and a little; it grows from there. */
static int map_stack(struct load *l, struct mm_op *op)
{
	uint64_t size = page_up(l->stack.top - page_down(l->stack.sp)) + STACK_EXTRA;
	struct mmap_args a = {
		.prot = PROT_READ | PROT_WRITE | (l->img.stack_exec == 1 ? PROT_EXEC : 0),
		.max_prot = PROT_READ | PROT_WRITE | PROT_EXEC,
		.flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_GROWSDOWN,
		.host_fd = -1, .special = "[stack]",
	};
	int64_t r;

	a.addr = l->stack.top - size;
	a.len = size;
	r = mmap_locked(op, &a);
	return r < 0 ? (int)r : 0;
}

static size_t fill_auxv(struct load *l, struct mm *m, uint64_t aux[AUXV_MAX][2])
{
	const struct exec_args *a = l->args;
	uint64_t phdr = l->img.phdr_vaddr ? l->img.phdr_vaddr + l->prog.bias : 0;
	const uint64_t v[][2] = {
		{AT_SYSINFO_EHDR, m->vdso_base},
		{AT_MINSIGSTKSZ, getauxval(AT_MINSIGSTKSZ)},
		{AT_HWCAP, getauxval(AT_HWCAP)},
		{AT_PAGESZ, GUEST_PAGE_SIZE},
		{AT_CLKTCK, CLOCK_TICKS},
		{AT_PHDR, phdr},
		{AT_PHENT, sizeof(Elf64_Phdr)},
		{AT_PHNUM, l->img.phnum},
		{AT_BASE, l->has_interp ? l->ld.bias : 0},
		{AT_FLAGS, 0},
		{AT_ENTRY, l->prog.entry},
		{AT_UID, a->uid},
		{AT_EUID, a->euid},
		{AT_GID, a->gid},
		{AT_EGID, a->egid},
		{AT_SECURE, a->secure != 0},
		{AT_HWCAP2, getauxval(AT_HWCAP2) & ~HWCAP2_FSGSBASE_GUEST},
	};

	_Static_assert(sizeof(v) / sizeof(v[0]) + 4 <= AUXV_MAX, "auxv too long");
	memcpy(aux, v, sizeof(v));
	return sizeof(v) / sizeof(v[0]);
}

static int map_all(struct load *l, struct mm_op *op)
{
	uint64_t aux[AUXV_MAX][2], top = layout_init(op->m, l->rlim_stack, l->random);
	int err = map_program(l, op);

	if (!err && l->has_interp)
		err = map_interp(l, op);
	if (!err)
		err = vdso_map(op);
	if (!err)
		err = exec_stack_build(op->m, l->args, top, l->rlim_stack,
				       (const uint64_t(*)[2])aux, fill_auxv(l, op->m, aux),
				       &l->stack);
	if (!err)
		err = map_stack(l, op);
	if (!err)
		err = mm_op_flush(op);
	return err;
}

static int write_all(struct load *l, struct mm *m)
{
	int err = elf_clear_tails(m, &l->img, l->prog.bias);

	if (!err && l->has_interp)
		err = elf_clear_tails(m, &l->interp, l->ld.bias);
	if (!err && kernel->pf_ops->write(m->space, gptr(l->stack.sp), l->stack.bytes,
					  l->stack.len) != (ssize_t)l->stack.len)
		err = -ENOMEM;
	return err;
}

static int build(struct load *l, struct mm *m, struct pf_thread *th)
{
	struct mm_op op;
	struct pf_regs *regs;
	int err;

	mm_op_begin_on(&op, m, th, l->t);
	err = map_all(l, &op);
	if (!err)
		err = write_all(l, m);
	mm_op_end(&op);
	if (err)
		return err;
	err = mm_set_exe(m, l->args->file);
	if (err)
		return err;
	regs = kernel->pf_ops->regs(th);
	regs->rip = l->has_interp ? l->ld.entry : l->prog.entry;
	regs->rsp = l->stack.sp;
	regs->orig_rax = -1;
	return 0;
}

static void set_comm(char comm[16], const char *filename)
{
	const char *base = strrchr(filename, '/');

	base = base ? base + 1 : filename;
	memset(comm, 0, 16);
	memcpy(comm, base, strnlen(base, 15));
}

/* A program always has an argv[0]. */
static int ensure_argv(struct exec_args *a)
{
	char **argv;

	if (a->argc)
		return 0;
	argv = calloc(2, sizeof(*argv));
	if (!argv || !(argv[0] = strdup(""))) {
		free(argv);
		return -ENOMEM;
	}
	free(a->argv);
	a->argv = argv;
	a->argc = 1;
	return 0;
}

int loader_load(struct task *t, struct exec_args *args, struct exec_image *out)
{
	AUTO(load) struct load *l = calloc(1, sizeof(*l));
	struct pf_thread *th;
	struct mm *m;
	int err;

	if (!l)
		return -ENOMEM;
	l->t = t;
	l->args = args;
	l->rlim_stack = task_rlimit(t, RLIMIT_STACK);
	l->random = !(t->personality & PERSONALITY_NO_RANDOMIZE);
	err = ensure_argv(args);
	if (!err)
		err = read_all(l);
	if (!err)
		err = mm_new(&m, &th);
	if (err)
		return err;
	err = build(l, m, th);
	if (err) {
		mm_put(m);
		kernel->pf_ops->thread_destroy(th);
		return err;
	}
	out->mm = m;
	out->thread = th;
	set_comm(out->comm, args->filename);
	return 0;
}
