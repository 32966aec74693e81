/* Places the vDSO: a private mapping of our image, which says in a table where the host's own vDSO functions lie in
 * the stub. The host's symbols are read from the vDSO that the sentry itself was given: both come from the same kernel. */
#include "sentry/vdso/vdso.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <unistd.h>

#include "abi/base/cleanup.h"
#include "abi/base/lock.h"
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

/* The image with its table filled, one for all address spaces: their stubs are forks of one process, which has the
 * host's vDSO in one place. */
static struct {
	struct mutex lock;
	int fd; /* protected by lock; 0: not made yet */
} image = {.lock = MUTEX_INIT(LOCK_NONE)};

static int image_write(int fd, uint64_t host)
{
	_Alignas(Elf64_Ehdr) uint8_t bytes[VDSO_MAX];
	size_t size = vdso_size();
	Elf64_Ehdr *head = (void *)bytes;
	struct vdso_table table = table_for(host);

	memcpy(bytes, vdso_blob, size);
	head->e_shoff = head->e_shnum = head->e_shstrndx = 0;
	memcpy(bytes + size - GUEST_PAGE_SIZE, &table, sizeof(table));
	if (ftruncate(fd, (off_t)size) < 0 || pwrite(fd, bytes, size, 0) != (ssize_t)size)
		return -ENOMEM;
	/* So that a process that gets at the descriptor can't write into the code of others. */
	return fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0 ?
		       -EPERM :
		       0;
}

static int image_fd(uint64_t host, int *out)
{
	AUTO_LOCK(&image.lock);
	if (!image.fd) {
		AUTO(fd) int fd = memfd_create("vdso", MFD_CLOEXEC | MFD_ALLOW_SEALING);
		int err = fd < 0 ? -ENOMEM : image_write(fd, host);

		if (err)
			return err;
		image.fd = steal_fd(&fd);
	}
	*out = image.fd;
	return 0;
}

static struct vma *vma_for(uint64_t start, uint64_t end, uint32_t prot, uint32_t max, const char *name)
{
	struct vma *v = vma_alloc();

	if (v)
		*v = (struct vma){
			.start = start,
			.end = end,
			.prot = prot,
			.max_prot = max,
			.flags = MAP_PRIVATE | MAP_ANONYMOUS,
			.special = name,
		};
	return v;
}

/* One mapping of the host: that the table is executable too hurts nobody. */
int vdso_map(struct mm_op *op)
{
	uint64_t host = kernel->pf_ops->host_vdso ? kernel->pf_ops->host_vdso(op->m->space) : 0;
	size_t size = vdso_size();
	uint64_t base = layout_search(op->m, size, false), end = base + size;
	struct vma *code, *vvar;
	int fd = -1, err = base ? image_fd(host, &fd) : -ENOMEM;

	if (!err)
		err = mm_may_expand(op, size, 0, false);
	if (err)
		return err;
	code = vma_for(base, end - GUEST_PAGE_SIZE, PROT_READ | PROT_EXEC, PROT_READ | PROT_WRITE | PROT_EXEC,
		       "[vdso]");
	vvar = vma_for(end - GUEST_PAGE_SIZE, end, PROT_READ, PROT_READ, "[vvar]");
	err = code && vvar ? host_mmap_fd(op, base, size, PROT_READ | PROT_EXEC, false, true, fd, 0) : -ENOMEM;
	if (err) {
		if (code)
			vma_free(code);
		if (vvar)
			vma_free(vvar);
		return err;
	}
	vma_link(op->m, code);
	vma_link(op->m, vvar);
	op->m->vdso_base = base;
	return 0;
}
