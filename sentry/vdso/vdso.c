/* Places the vDSO: private memory of the guest with our image in it, and in its table where the
 * host's own vDSO functions lie in the stub. The host's symbols are read from the vDSO that
 * the sentry itself was given: both come from the same kernel. */
#include "sentry/vdso/vdso.h"

#include <elf.h>
#include <pthread.h>
#include <string.h>
#include <sys/auxv.h>

#include "sentry/kernel/kernel.h"
#include "sentry/mm/mm_impl.h"
#include "sentry/vdso/vdso_table.h"

extern const uint8_t vdso_blob[];

#define VDSO_MAX (4 * GUEST_PAGE_SIZE)

/* The one segment; section headers behind it stay out of the guest. */
static size_t vdso_size(void)
{
	const Elf64_Ehdr *e = (const void *)vdso_blob;
	const Elf64_Phdr *load = (const void *)(vdso_blob + e->e_phoff);

	return load->p_memsz;
}

/* ---- the host's vDSO --------------------------------------------------------------------------- */

/* The tables of an ELF image in our own memory that we trust. */
struct host_image {
	const char *base;
	const Elf64_Sym *syms;
	const char *strings;
	size_t nsyms;
};

static bool host_image_open(struct host_image *h)
{
	const char *base = (const char *)getauxval(AT_SYSINFO_EHDR);
	const Elf64_Ehdr *e = (const void *)base;
	const Elf64_Phdr *ph;
	const Elf64_Dyn *dyn = NULL;
	uint64_t bias = 0;

	memset(h, 0, sizeof(*h));
	if (!base)
		return false;
	ph = (const void *)(base + e->e_phoff);
	for (int i = 0; i < e->e_phnum; i++) {
		if (ph[i].p_type == PT_LOAD)
			bias = (uint64_t)base + ph[i].p_offset - ph[i].p_vaddr;
		else if (ph[i].p_type == PT_DYNAMIC)
			dyn = (const void *)(base + ph[i].p_offset);
	}
	for (; dyn && dyn->d_tag != DT_NULL; dyn++) {
		if (dyn->d_tag == DT_SYMTAB)
			h->syms = (const void *)(bias + dyn->d_un.d_ptr);
		else if (dyn->d_tag == DT_STRTAB)
			h->strings = (const void *)(bias + dyn->d_un.d_ptr);
	}
	/* The string table follows the symbols in every vDSO; DT_HASH is gone from new ones. */
	if (h->syms && h->strings && (const char *)h->strings > (const char *)h->syms)
		h->nsyms = (size_t)(h->strings - (const char *)h->syms) / sizeof(Elf64_Sym);
	h->base = base;
	return h->nsyms > 0;
}

/* Offset from the image's start, or 0. */
static uint64_t host_offset(const struct host_image *h, const char *name)
{
	for (size_t i = 0; i < h->nsyms; i++)
		if (h->syms[i].st_shndx != SHN_UNDEF && !strcmp(h->strings + h->syms[i].st_name, name))
			return h->syms[i].st_value;
	return 0;
}

static struct vdso_table host_offsets;

static void host_offsets_init(void)
{
	struct host_image h;

	if (!host_image_open(&h))
		return;
	host_offsets = (struct vdso_table){
		.clock_gettime = host_offset(&h, "__vdso_clock_gettime"),
		.clock_getres = host_offset(&h, "__vdso_clock_getres"),
		.gettimeofday = host_offset(&h, "__vdso_gettimeofday"),
		.time = host_offset(&h, "__vdso_time"),
		.getcpu = host_offset(&h, "__vdso_getcpu"),
	};
}

static struct vdso_table table_for(uint64_t host_base)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	const struct vdso_table *o = &host_offsets;

	pthread_once(&once, host_offsets_init);
	if (!host_base)
		return (struct vdso_table){0};
#define AT(name) .name = o->name ? host_base + o->name : 0
	return (struct vdso_table){AT(clock_gettime), AT(clock_getres), AT(gettimeofday), AT(time),
				   AT(getcpu)};
#undef AT
}

/* ---- the guest's -------------------------------------------------------------------------------- */

int vdso_map(struct mm_op *op)
{
	size_t size = vdso_size();
	uint64_t base = layout_search(op->m, size, false);
	struct mmap_args a = {.addr = base, .len = size - GUEST_PAGE_SIZE,
			      .prot = PROT_READ | PROT_WRITE,
			      .max_prot = PROT_READ | PROT_WRITE | PROT_EXEC,
			      .flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, .host_fd = -1,
			      .special = "[vdso]"};
	int64_t r;

	if (!base)
		return -ENOMEM;
	r = mmap_locked(op, &a);
	if (r < 0)
		return (int)r;
	a.addr = base + size - GUEST_PAGE_SIZE;
	a.len = GUEST_PAGE_SIZE;
	a.special = "[vvar]";
	a.max_prot = PROT_READ;
	r = mmap_locked(op, &a);
	if (r < 0)
		return (int)r;
	op->m->vdso_base = base;
	return 0;
}

int vdso_install(struct mm_op *op)
{
	_Alignas(Elf64_Ehdr) uint8_t image[VDSO_MAX];
	size_t size = vdso_size();
	Elf64_Ehdr *head = (void *)image;
	struct mm *m = op->m;
	uint64_t host = kernel->pf_ops->host_vdso ? kernel->pf_ops->host_vdso(m->space) : 0;
	struct vdso_table table = table_for(host);
	struct vma *code = vma_find(m, m->vdso_base), *vvar = vma_next(code);

	memcpy(image, vdso_blob, size);
	head->e_shoff = head->e_shnum = head->e_shstrndx = 0;
	memcpy(image + size - GUEST_PAGE_SIZE, &table, sizeof(table));
	if (kernel->pf_ops->write(m->space, gptr(m->vdso_base), image, size) != (ssize_t)size)
		return -ENOMEM;
	vma_set_prot(m, code, PROT_READ | PROT_EXEC);
	vma_set_prot(m, vvar, PROT_READ);
	/* One call for both: that the table is executable too hurts nobody. */
	return host_mprotect(op, m->vdso_base, size, PROT_READ | PROT_EXEC);
}
