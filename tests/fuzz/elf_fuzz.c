/* Fuzzing the ELF parser: clang -fsanitize=fuzzer,address. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "platform/platform.h"
#include "sentry/loader/elf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct elf_image img;
	Elf64_Ehdr h;
	uint64_t off;
	size_t bytes;

	if (elf_check_header(data, size, &off, &bytes))
		return 0;
	memcpy(&h, data, sizeof(h));
	if (off > size || bytes > size - off)
		return 0;
	if (elf_parse(&h, data + off, bytes, &img))
		return 0;
	if (img.high <= img.low || img.high > PF_GUEST_MAX || img.nsegments > h.e_phnum ||
	    (img.align & (img.align - 1)) || img.align < GUEST_PAGE_SIZE)
		abort();
	for (size_t i = 0; i < img.nsegments; i++) {
		const struct elf_segment *s = &img.segments[i];

		if (s->filesz > s->memsz || s->vaddr < img.low || s->vaddr + s->memsz > img.high)
			abort();
		if (s->filesz && (s->offset ^ s->vaddr) & (GUEST_PAGE_SIZE - 1))
			abort();
	}
	elf_image_release(&img);
	return 0;
}
