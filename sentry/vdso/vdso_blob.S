/* The guest's vDSO, as bytes. */
	.section .rodata
	.balign 4096
	.globl vdso_blob, vdso_blob_end
	.type vdso_blob, @object
vdso_blob:
	.incbin VDSO_IMAGE
vdso_blob_end:
	.size vdso_blob, . - vdso_blob
	.section .note.GNU-stack,"",@progbits
