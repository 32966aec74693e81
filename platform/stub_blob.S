/* The stub executable, as bytes: stub_elf .. stub_elf_end. */
	.section .rodata
	.globl	stub_elf, stub_elf_end
	.balign	64
stub_elf:
	.incbin	STUB_ELF
stub_elf_end:
	.byte	0
	.section .note.GNU-stack,"",@progbits
