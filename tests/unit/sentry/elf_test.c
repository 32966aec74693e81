#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "sentry/loader/elf.h"

static Elf64_Ehdr header(uint16_t phnum)
{
	Elf64_Ehdr h = {.e_type = ET_DYN, .e_machine = EM_X86_64, .e_phoff = sizeof(h),
			.e_phentsize = sizeof(Elf64_Phdr), .e_phnum = phnum, .e_entry = 0x1234};

	memcpy(h.e_ident, ELFMAG, SELFMAG);
	h.e_ident[EI_CLASS] = ELFCLASS64;
	h.e_ident[EI_DATA] = ELFDATA2LSB;
	return h;
}

static int parse(Elf64_Phdr *p, uint16_t n, struct elf_image *img)
{
	Elf64_Ehdr h = header(n);

	return elf_parse(&h, p, n * sizeof(*p), img);
}

Test(elf, program_headers_must_fit_their_limit)
{
	Elf64_Ehdr h = header(1170);
	uint64_t off;
	size_t bytes;

	cr_assert_eq(elf_check_header(&h, sizeof(h), &off, &bytes), 0);
	cr_assert_eq(bytes, 1170 * sizeof(Elf64_Phdr));
	h.e_phnum = 1171;
	cr_assert_eq(elf_check_header(&h, sizeof(h), &off, &bytes), -ENOEXEC);
	h = header(1);
	cr_assert_eq(elf_check_header(&h, sizeof(h) - 1, &off, &bytes), -ENOEXEC);
	h.e_phoff = UINT64_MAX - 8;
	cr_assert_eq(elf_check_header(&h, sizeof(h), &off, &bytes), -ENOEXEC);
}

Test(elf, extent_covers_all_segments)
{
	Elf64_Phdr p[] = {
		{.p_type = PT_LOAD, .p_flags = PF_R | PF_X, .p_filesz = 5000, .p_memsz = 5000,
		 .p_align = 4096},
		{.p_type = PT_LOAD, .p_flags = PF_R | PF_W, .p_vaddr = 0x200db8, .p_offset = 0xdb8,
		 .p_filesz = 10, .p_memsz = 0x10000, .p_align = 0x200000},
	};
	struct elf_image img;

	cr_assert_eq(parse(p, 2, &img), 0);
	cr_assert_eq(img.low, 0);
	cr_assert_eq(img.high, 0x211000);
	cr_assert_eq(img.align, 0x200000);
	cr_assert_eq(img.nsegments, 2);
	cr_assert_eq(img.segments[1].prot, PROT_READ | PROT_WRITE);
	cr_assert_eq(img.phdr_vaddr, sizeof(Elf64_Ehdr));
	elf_image_release(&img);
}

Test(elf, sizes_that_overflow_are_refused)
{
	static const Elf64_Phdr bad[] = {
		{.p_type = PT_LOAD, .p_filesz = 2, .p_memsz = 1},
		{.p_type = PT_LOAD, .p_memsz = UINT64_MAX},
		{.p_type = PT_LOAD, .p_memsz = 1UL << 47},
		{.p_type = PT_LOAD, .p_vaddr = UINT64_MAX - 4095, .p_memsz = 4096},
		{.p_type = PT_LOAD, .p_vaddr = 0x7ffdfffff000, .p_memsz = 4097},
		{.p_type = PT_LOAD, .p_offset = UINT64_MAX - 4095, .p_filesz = 4096, .p_memsz = 4096},
		{.p_type = PT_LOAD, .p_offset = 1, .p_filesz = 1, .p_memsz = 1},
	};
	struct elf_image img;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		Elf64_Phdr p = bad[i];

		cr_assert_eq(parse(&p, 1, &img), -EINVAL, "case %zu", i);
	}
}

Test(elf, interpreter_names_have_a_length)
{
	Elf64_Phdr p[2] = {
		{.p_type = PT_LOAD, .p_filesz = 100, .p_memsz = 100},
		{.p_type = PT_INTERP, .p_offset = 50, .p_filesz = 1},
	};
	struct elf_image img;

	cr_assert_eq(parse(p, 2, &img), -ENOEXEC);
	p[1].p_filesz = 4097;
	cr_assert_eq(parse(p, 2, &img), -ENOEXEC);
	p[1].p_filesz = 10;
	cr_assert_eq(parse(p, 2, &img), 0);
	cr_assert_eq(img.interp_offset, 50);
	elf_image_release(&img);
}

Test(elf, nothing_to_load_is_an_error)
{
	Elf64_Phdr p = {.p_type = PT_NOTE};
	struct elf_image img;

	cr_assert_eq(parse(&p, 1, &img), -EINVAL);
}
