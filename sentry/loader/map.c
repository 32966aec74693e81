/* Mapping an ELF image. Passing a descriptor to the stub is the dear part, so segments that lie in memory
 * as they lie in the file, one behind the other, are mapped at once and then given their own
 * protections. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "sentry/kernel/kernel.h"
#include "sentry/loader/loader_impl.h"
#include "sentry/mm/patch.h"
#include "vfs/file.h"

int elf_read(const struct exec_head *h, int bad, struct elf_image *out)
{
	Elf64_Ehdr hdr;
	uint64_t phoff;
	size_t phbytes;
	int err;

	if (elf_check_header(h->bytes, h->len, &phoff, &phbytes))
		return bad;
	memcpy(&hdr, h->bytes, sizeof(hdr));
	AUTO(free) void *phdrs = malloc(phbytes);
	if (!phdrs)
		return -ENOMEM;
	if (exec_head_get(h, phdrs, phbytes, phoff))
		return bad;
	err = elf_parse(&hdr, phdrs, phbytes, out);
	return err == -ENOEXEC ? bad : err;
}

static uint64_t file_start(const struct elf_segment *s)
{
	return page_down(s->vaddr);
}

static uint64_t file_end(const struct elf_segment *s)
{
	return page_up(s->vaddr + s->filesz);
}

/* May b be mapped together with a, which comes right before it? */
static bool adjoining(const struct elf_segment *a, const struct elf_segment *b)
{
	return a->filesz && b->filesz && file_end(a) == file_start(b) &&
	       a->memsz == a->filesz && a->vaddr - a->offset == b->vaddr - b->offset;
}

static int map_file_part(struct mm_op *op, struct file *f, const struct elf_image *img,
			 const struct elf_segment *first, const struct elf_segment *last, uint64_t bias)
{
	void (*patch)(struct mm_op *, uint64_t, int) = img->interp_size ? patch_mapped : patch_executed;
	struct file_mapping fm;
	struct mmap_args a = {
		.addr = file_start(first) + bias,
		.len = file_end(last) - file_start(first),
		.prot = first->prot,
		.max_prot = PROT_READ | PROT_WRITE | PROT_EXEC,
		.flags = MAP_PRIVATE | MAP_FIXED,
		.file = f,
		.offset = page_down(first->offset),
	};
	int err = file_mmap(f, (int)first->prot, false, &fm);
	struct vma *v;
	int64_t r;

	if (err)
		return err;
	if (fm.zero || fm.host_fd < 0)
		return -ENOEXEC;
	a.host_fd = fm.host_fd;
	a.host_offset = a.offset + fm.delta;
	r = mmap_locked(op, &a);
	if (r < 0)
		return (int)r;
	v = vma_find(op->m, a.addr);
	vma_set_vm_flags(op->m, v, v->vm_flags | VMA_PROGRAM);
	for (const struct elf_segment *s = first + 1; s <= last && !err; s++)
		if (s->prot != first->prot)
			err = mprotect_locked(op, file_start(s) + bias, file_end(s) + bias, s->prot);
	for (const struct elf_segment *s = first; s <= last && !err && !fm.delta; s++)
		if (s->prot & PROT_EXEC)
			patch(op, file_start(s) + bias, fm.host_fd);
	return err;
}

static int map_bss(struct mm_op *op, const struct elf_segment *s, uint64_t bias)
{
	uint64_t start = s->filesz ? file_end(s) : file_start(s);
	uint64_t end = page_up(s->vaddr + s->memsz);
	struct mmap_args a = {
		.addr = start + bias, .len = end - start, .prot = s->prot,
		.max_prot = PROT_READ | PROT_WRITE | PROT_EXEC,
		.flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, .host_fd = -1,
	};
	int64_t r;

	if (end <= start)
		return 0;
	r = mmap_locked(op, &a);
	return r < 0 ? (int)r : 0;
}

static void note_extent(const struct elf_segment *s, uint64_t bias, struct elf_placed *p)
{
	uint64_t start = s->vaddr + bias, fend = start + s->filesz;
	uint64_t end = page_up(start + s->memsz);

	if (end > p->end)
		p->end = end;
	if (start < p->start_code)
		p->start_code = start;
	if ((s->prot & PROT_EXEC) && fend > p->end_code)
		p->end_code = fend;
	if (start > p->start_data)
		p->start_data = start;
	if (fend > p->end_data)
		p->end_data = fend;
}

int elf_map(struct mm_op *op, struct file *f, const struct elf_image *img, uint64_t bias,
	    struct elf_placed *out)
{
	*out = (struct elf_placed){.bias = bias, .entry = img->entry + bias,
				   .start_code = UINT64_MAX};
	for (size_t i = 0; i < img->nsegments;) {
		const struct elf_segment *first = &img->segments[i], *last = first;
		int err = 0;

		while (last + 1 < img->segments + img->nsegments && adjoining(last, last + 1))
			last++;
		if (first->filesz)
			err = map_file_part(op, f, img, first, last, bias);
		if (!err)
			err = map_bss(op, last, bias);
		if (err)
			return err;
		for (const struct elf_segment *s = first; s <= last; s++, i++)
			note_extent(s, bias, out);
	}
	return 0;
}

/* A segment that may not be written keeps what the file has there, as on Linux. */
int elf_clear_tails(struct mm *m, const struct elf_image *img, uint64_t bias)
{
	static const uint8_t zeros[GUEST_PAGE_SIZE];

	for (size_t i = 0; i < img->nsegments; i++) {
		const struct elf_segment *s = &img->segments[i];
		uint64_t at = s->vaddr + s->filesz + bias, n = page_up(at) - at;

		if (s->memsz == s->filesz || !s->filesz || !n || !(s->prot & PROT_WRITE))
			continue;
		if (kernel->pf_ops->write(m->space, gptr(at), zeros, n) != (ssize_t)n)
			return -ENOEXEC;
	}
	return 0;
}
