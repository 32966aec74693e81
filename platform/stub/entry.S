/* The parts of the stub that cannot be C: the first instruction, the ends of a handler, births. */
#include <asm/unistd.h>
#include "platform/stub/layout_asm.h"

/* A call from a patched site: rcx is where it returns to, %gs the slot, all else the guest's. The
 * registers are pushed in the order of struct pf_regs, so that they lie at SLOT_FAST_REGS; the
 * guest's stack and its red zone are not touched. */
	.section .text.fast,"ax",@progbits
	.globl	stub_fast_entry, stub_fast_exit, stub_fast_exit_end
stub_fast_entry:
	mov	%rsp, %r11
	rdgsbase %rsp
	lea	STUB_ASM_FAST_STACK(%rsp), %rsp
	pushfq
	push	%rcx			/* rip */
	push	%r11			/* rsp */
	push	%rcx
	push	%rax
	push	%rdx
	push	%rbx
	push	%rbp
	push	%rsi
	push	%rdi
	push	%r15
	push	%r14
	push	%r13
	push	%r12
	push	104(%rsp)		/* r11: the flags, as `syscall` has it */
	push	%r10
	push	%r9
	push	%r8
	cld
	mov	%rsp, %rdi
	call	stub_fast
/* From here to the end the guest's registers are in the slot, final: a handler that interrupts
 * this takes them from there, as if the guest ran already (entry.c:inside). Up to here it only
 * notes the interrupt, which is looked at first. */
stub_fast_exit:
	cmpl	$0, STUB_ASM_PENDING - STUB_ASM_FAST_REGS(%rsp)
	jne	1f
	pop	%r8
	pop	%r9
	pop	%r10
	pop	%r11
	pop	%r12
	pop	%r13
	pop	%r14
	pop	%r15
	pop	%rdi
	pop	%rsi
	pop	%rbp
	pop	%rbx
	pop	%rdx
	pop	%rax
	pop	%rcx
	lea	16(%rsp), %rsp
	popfq
	mov	%gs:STUB_ASM_FAST_REGS + 15 * 8, %rsp
	jmp	*%gs:STUB_ASM_FAST_REGS + 16 * 8
stub_fast_exit_end:
1:	mov	%rsp, %rdi
	call	stub_fast_interrupted
	jmp	stub_fast_exit

	.text
/* void stub_trap(void): makes a signal frame of the fast call; the handler goes on from there. An
 * undefined instruction would do, but on some virtual machines it costs several us. */
	.globl	stub_trap, stub_trap_site
stub_trap:
	int3
stub_trap_site:
	ud2

	.globl	_start
	.hidden	_start
_start:
	xor	%ebp, %ebp
	mov	%rsp, %rdi
	and	$-16, %rsp
	call	zygote_load
	ud2

/* void stub_jump(void *arg, uint64_t stack, uint64_t to): never returns */
	.globl	stub_jump
stub_jump:
	mov	%rsi, %rsp
	xor	%ebp, %ebp
	call	*%rdx
	ud2

/* void stub_return(uint64_t uc): back to the guest through the frame at uc */
	.globl	stub_return
stub_return:
	mov	%rdi, %rsp
	.globl	stub_restorer
stub_restorer:
	mov	$__NR_rt_sigreturn, %eax
	syscall
	ud2

/* long stub_fork(long flags, int arena, int sock, uint64_t uc, long sentry)
 *
 * The stack lies in the parent's arena, which is MADV_DONTFORK: the child has none until it has
 * mapped its own, so up to there it lives in registers. With `sentry` not 0 it is to die with the
 * process of this id: its parent, unless that has ended before the child asked for the signal. */
	.globl	stub_fork
stub_fork:
	push	%r12
	push	%r13
	push	%r14
	push	%r15
	mov	%rsi, %r12
	mov	%rdx, %r13
	mov	%rcx, %r14
	mov	%r8, %r15
	xor	%esi, %esi
	xor	%edx, %edx
	xor	%r10d, %r10d
	xor	%r8d, %r8d
	mov	$__NR_clone, %eax
	syscall
	test	%rax, %rax
	jz	1f
	pop	%r15
	pop	%r14
	pop	%r13
	pop	%r12
	ret
1:	movabs	$STUB_ASM_ARENA, %rdi
	mov	$STUB_ASM_ARENA_SIZE, %esi
	mov	$3, %edx		/* PROT_READ | PROT_WRITE */
	mov	$0x11, %r10d		/* MAP_SHARED | MAP_FIXED */
	mov	%r12, %r8
	xor	%r9d, %r9d
	mov	$__NR_mmap, %eax
	syscall
	cmp	%rdi, %rax
	jne	9f
	mov	$10, %edx		/* MADV_DONTFORK */
	mov	$__NR_madvise, %eax
	syscall
	mov	%r13, %rdi
	mov	$STUB_ASM_SOCK, %esi
	xor	%edx, %edx
	mov	$__NR_dup3, %eax
	syscall
	mov	$STUB_ASM_SOCK + 1, %edi
	mov	$-1, %esi
	xor	%edx, %edx
	mov	$__NR_close_range, %eax
	syscall
	test	%r15, %r15
	jz	2f
	mov	$1, %edi		/* PR_SET_PDEATHSIG */
	mov	$9, %esi		/* SIGKILL */
	mov	$__NR_prctl, %eax
	syscall
	mov	$__NR_getppid, %eax
	syscall
	cmp	%rax, %r15
	jne	9f
2:	lea	-256(%r14), %rsp
	and	$-16, %rsp
	mov	%r14, %rdi
	xor	%ebp, %ebp
	call	stub_child
9:	mov	$1, %edi
	mov	$__NR_exit_group, %eax
	syscall
	ud2

/* long stub_clone(long flags, uint64_t stack, void (*fn)(uint64_t), uint64_t arg)
 * The child, which shares this memory, calls fn on its own stack. */
	.globl	stub_clone
stub_clone:
	push	%r12
	push	%r13
	mov	%rdx, %r12
	mov	%rcx, %r13
	xor	%edx, %edx
	xor	%r10d, %r10d
	xor	%r8d, %r8d
	mov	$__NR_clone, %eax
	syscall
	test	%rax, %rax
	jz	1f
	pop	%r13
	pop	%r12
	ret
1:	mov	%r13, %rdi
	xor	%ebp, %ebp
	call	*%r12
	ud2

/* void stub_exit(void): the stack may be handed to another thread right after */
	.globl	stub_exit
stub_exit:
	xor	%edi, %edi
	mov	$__NR_exit, %eax
	syscall
	ud2

/* Operations on guest memory. A fault between two labels resumes at another (entry.c:fixup). None of
 * them touches the stack.
 * int64_t stub_cmpxchg32(uint32_t *p, uint32_t expect, uint32_t desired) */
	.globl	stub_cmpxchg32, stub_cmpxchg32_end, stub_fault
stub_cmpxchg32:
	mov	%esi, %eax
	lock cmpxchg %edx, (%rdi)
stub_cmpxchg32_end:
	mov	%eax, %eax
	ret
stub_fault:
	mov	$-14, %rax		/* -EFAULT */
	ret

/* uint64_t stub_copy(void *dst, const void *src, uint64_t n): bytes not copied
 * The short way moves words; one that faults is tried again byte by byte. */
	.globl	stub_copy, stub_copy_bytes, stub_copy_end
stub_copy:
	mov	%rdx, %rcx
	cmp	$128, %rcx
	ja	stub_copy_bytes
1:	cmp	$8, %rcx
	jb	2f
	mov	(%rsi), %rax
	mov	%rax, (%rdi)
	add	$8, %rsi
	add	$8, %rdi
	sub	$8, %rcx
	jmp	1b
2:	test	%rcx, %rcx
	jz	stub_copy_end
	mov	(%rsi), %al
	mov	%al, (%rdi)
	inc	%rsi
	inc	%rdi
	dec	%rcx
	jmp	2b
stub_copy_bytes:
	rep movsb
stub_copy_end:
	mov	%rcx, %rax
	ret

/* uint64_t stub_clear(void *dst, uint64_t n): bytes not cleared */
	.globl	stub_clear, stub_clear_end
stub_clear:
	mov	%rsi, %rcx
	xor	%eax, %eax
	rep stosb
stub_clear_end:
	mov	%rcx, %rax
	ret

	.globl	memcpy, memset
memcpy:
	mov	%rdi, %rax
	mov	%rdx, %rcx
	rep movsb
	ret
memset:
	mov	%rdi, %r8
	mov	%esi, %eax
	mov	%rdx, %rcx
	rep stosb
	mov	%r8, %rax
	ret

	.section .note.GNU-stack,"",@progbits
