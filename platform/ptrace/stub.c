/* What a tracee executes on the sentry's behalf. Copied to PTSTUB_CODE of every space; has no data
 * and uses no stack: all that it works with is in registers that the sentry sets. A guest that
 * jumps in here gains nothing: under PTRACE_SYSEMU these `syscall`s are emulated like any other,
 * and the breakpoints are its own SIGTRAP.
 *
 *	park	 where a thread waits that nobody traces
 *	call	 one host call: number and arguments in their registers
 *	exit	 the end of a thread
 *	cmpxchg	 rdi address, eax expected, edx desired
 *	mmap_fd	 receives a descriptor (rbx: message header), maps it by rdi rsi rdx r10 r9, closes it
 *	thread	 clone, arguments in their registers; the child parks
 *	fork	 receives the child's socket (rbx: message header), clones with flags r12; the child
 *		 takes its socket for its only descriptor, asks for its parent's death signal, ends
 *		 if its parent is not r14 any more, and goes where r13 says: to `park`, or, once
 *		 it is traced, to `break`
 *
 * Descriptor 0 is the space's socket; a received one is always 1, as space.op_mu keeps the
 * exchanges of a space apart. */
#include "platform/ptrace/stub.h"

__asm__(".section .rodata\n"
	"	.balign 16\n"
	"	.globl ptstub_begin, ptstub_park, ptstub_call, ptstub_exit, ptstub_cmpxchg\n"
	"	.globl ptstub_mmap_fd, ptstub_thread, ptstub_fork, ptstub_born, ptstub_born_end\n"
	"	.globl ptstub_break, ptstub_end\n"
	"ptstub_begin:\n"
	"ptstub_park:\n"
	"	mov	$34, %eax\n" /* pause */
	"	syscall\n"
	"	jmp	ptstub_park\n"
	"ptstub_call:\n"
	"	syscall\n"
	"ptstub_break:\n"
	"	int3\n"
	"ptstub_exit:\n"
	"	xor	%edi, %edi\n"
	"	mov	$60, %eax\n"
	"	syscall\n"
	"	jmp	ptstub_exit\n"
	"ptstub_cmpxchg:\n"
	"	lock cmpxchg %edx, (%rdi)\n"
	"	int3\n"
	"ptstub_mmap_fd:\n"
	"	mov	%rdi, %r12\n"
	"	mov	%rsi, %r13\n"
	"	mov	%rdx, %r14\n"
	"	xor	%edi, %edi\n"
	"	mov	%rbx, %rsi\n"
	"	mov	$0x40000040, %edx\n" /* MSG_DONTWAIT | MSG_CMSG_CLOEXEC */
	"	mov	$47, %eax\n"	     /* recvmsg */
	"	syscall\n"
	"	test	%rax, %rax\n"
	"	jle	1f\n"
	"	mov	%r12, %rdi\n"
	"	mov	%r13, %rsi\n"
	"	mov	%r14, %rdx\n"
	"	mov	$1, %r8d\n"
	"	mov	$9, %eax\n" /* mmap */
	"	syscall\n"
	"	mov	%rax, %r15\n"
	"	mov	$1, %edi\n"
	"	mov	$3, %eax\n" /* close */
	"	syscall\n"
	"	mov	%r15, %rax\n"
	"1:	int3\n"
	"ptstub_thread:\n"
	"	syscall\n"
	"	test	%rax, %rax\n"
	"	jz	ptstub_park\n"
	"	int3\n"
	"ptstub_fork:\n"
	"	xor	%edi, %edi\n"
	"	mov	%rbx, %rsi\n"
	"	mov	$0x40000040, %edx\n"
	"	mov	$47, %eax\n"
	"	syscall\n"
	"	test	%rax, %rax\n"
	"	jle	1f\n"
	"	mov	%r12, %rdi\n"
	"	xor	%esi, %esi\n"
	"	xor	%edx, %edx\n"
	"	xor	%r10d, %r10d\n"
	"	xor	%r8d, %r8d\n"
	"	mov	$56, %eax\n" /* clone */
	"	syscall\n"
	"ptstub_born:\n"
	"	test	%rax, %rax\n"
	"	jz	2f\n"
	"	mov	%rax, %r15\n"
	"	mov	$1, %edi\n"
	"	mov	$3, %eax\n"
	"	syscall\n"
	"	mov	%r15, %rax\n"
	"1:	int3\n"
	"2:	mov	$1, %edi\n"
	"	xor	%esi, %esi\n"
	"	xor	%edx, %edx\n"
	"	mov	$292, %eax\n" /* dup3 */
	"	syscall\n"
	"	test	%rax, %rax\n"
	"	js	3f\n"
	"	mov	$1, %edi\n"
	"	mov	$-1, %esi\n"
	"	xor	%edx, %edx\n"
	"	mov	$436, %eax\n" /* close_range */
	"	syscall\n"
	"	mov	$1, %edi\n" /* PR_SET_PDEATHSIG */
	"	mov	$9, %esi\n"
	"	mov	$157, %eax\n" /* prctl */
	"	syscall\n"
	"	mov	$110, %eax\n" /* getppid */
	"	syscall\n"
	"	cmp	%rax, %r14\n"
	"	jne	3f\n"
	"	jmp	*%r13\n"
	"ptstub_born_end:\n"
	"3:	mov	$231, %eax\n" /* exit_group */
	"	syscall\n"
	"	ud2\n"
	"ptstub_end:\n"
	"	.text\n");
