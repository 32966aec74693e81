/* Classic BPF as far as seccomp(2) allows it: 32-bit words at aligned offsets of struct
 * seccomp_data, an accumulator A, an index X, 16 words of memory M, forward jumps only. */
#include "sentry/kernel/seccomp_bpf.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#define DATA_SIZE ((uint32_t)sizeof(struct seccomp_data))

/* Codes without a condition of their own. */
static bool code_is_known(uint16_t code)
{
	static const uint16_t known[] = {
		BPF_RET | BPF_K, BPF_RET | BPF_A, BPF_LD | BPF_IMM, BPF_LDX | BPF_IMM,
		BPF_LD | BPF_W | BPF_LEN, BPF_LDX | BPF_W | BPF_LEN, BPF_MISC | BPF_TAX,
		BPF_MISC | BPF_TXA, BPF_ALU | BPF_NEG,
	};

	for (unsigned int i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (known[i] == code)
			return true;
	return false;
}

static bool alu_is_valid(const struct sock_filter *f)
{
	bool constant = BPF_SRC(f->code) == BPF_K;

	switch (BPF_OP(f->code)) {
	case BPF_ADD:
	case BPF_SUB:
	case BPF_MUL:
	case BPF_AND:
	case BPF_OR:
	case BPF_XOR:
		return true;
	case BPF_DIV:
		return !constant || f->k != 0;
	case BPF_LSH:
	case BPF_RSH:
		return !constant || f->k < 32;
	}
	return false;
}

/* rest: how many instructions follow. */
static bool jump_is_valid(const struct sock_filter *f, unsigned int rest)
{
	switch (f->code) {
	case BPF_JMP | BPF_JA:
		return f->k < rest;
	case BPF_JMP | BPF_JEQ | BPF_K:
	case BPF_JMP | BPF_JEQ | BPF_X:
	case BPF_JMP | BPF_JGT | BPF_K:
	case BPF_JMP | BPF_JGT | BPF_X:
	case BPF_JMP | BPF_JGE | BPF_K:
	case BPF_JMP | BPF_JGE | BPF_X:
	case BPF_JMP | BPF_JSET | BPF_K:
	case BPF_JMP | BPF_JSET | BPF_X:
		return f->jt < rest && f->jf < rest;
	}
	return false;
}

static bool insn_is_valid(const struct sock_filter *f, unsigned int rest)
{
	switch (f->code) {
	case BPF_LD | BPF_W | BPF_ABS:
		return f->k < DATA_SIZE && f->k % 4 == 0;
	case BPF_LD | BPF_MEM:
	case BPF_LDX | BPF_MEM:
	case BPF_ST:
	case BPF_STX:
		return f->k < BPF_MEMWORDS;
	}
	if (code_is_known(f->code))
		return true;
	if (BPF_CLASS(f->code) == BPF_JMP)
		return jump_is_valid(f, rest);
	if (BPF_CLASS(f->code) == BPF_ALU && !(f->code & ~0xff))
		return alu_is_valid(f);
	return false;
}

/* Every word of M that is read was written on each path that leads there. valid: the words written
 * on the way so far; masks[i]: those that all jumps to i agree on. */
static bool memory_is_valid(const struct sock_filter *prog, unsigned int len)
{
	uint16_t masks[BPF_MAXINSNS], valid = 0;

	memset(masks, 0xff, sizeof(masks[0]) * len);
	for (unsigned int i = 0; i < len; i++) {
		const struct sock_filter *f = &prog[i];

		valid &= masks[i];
		switch (f->code) {
		case BPF_ST:
		case BPF_STX:
			valid |= (uint16_t)(1 << f->k);
			break;
		case BPF_LD | BPF_MEM:
		case BPF_LDX | BPF_MEM:
			if (!(valid & 1 << f->k))
				return false;
			break;
		case BPF_JMP | BPF_JA:
			masks[i + 1 + f->k] &= valid;
			valid = 0xffff;
			break;
		default:
			if (BPF_CLASS(f->code) == BPF_JMP) {
				masks[i + 1 + f->jt] &= valid;
				masks[i + 1 + f->jf] &= valid;
				valid = 0xffff;
			}
		}
	}
	return true;
}

int seccomp_bpf_check(const struct sock_filter *prog, unsigned int len)
{
	if (len == 0 || len > BPF_MAXINSNS)
		return -EINVAL;
	for (unsigned int i = 0; i < len; i++)
		if (!insn_is_valid(&prog[i], len - i - 1))
			return -EINVAL;
	if (BPF_CLASS(prog[len - 1].code) != BPF_RET || !memory_is_valid(prog, len))
		return -EINVAL;
	return 0;
}

static uint32_t alu(uint16_t op, uint32_t a, uint32_t b)
{
	switch (op) {
	case BPF_ADD:
		return a + b;
	case BPF_SUB:
		return a - b;
	case BPF_MUL:
		return a * b;
	case BPF_DIV:
		return b ? a / b : 0;
	case BPF_AND:
		return a & b;
	case BPF_OR:
		return a | b;
	case BPF_XOR:
		return a ^ b;
	case BPF_LSH:
		return a << (b & 31);
	case BPF_RSH:
		return a >> (b & 31);
	default: /* BPF_NEG */
		return -a;
	}
}

static bool jump_taken(uint16_t op, uint32_t a, uint32_t b)
{
	switch (op) {
	case BPF_JEQ:
		return a == b;
	case BPF_JGT:
		return a > b;
	case BPF_JGE:
		return a >= b;
	default: /* BPF_JSET */
		return a & b;
	}
}

uint32_t seccomp_bpf_run(const struct sock_filter *f, const struct seccomp_data *data)
{
	uint32_t a = 0, x = 0, mem[BPF_MEMWORDS] = {0};

	for (;; f++) {
		uint32_t src = BPF_SRC(f->code) == BPF_X ? x : f->k;

		switch (f->code) {
		case BPF_RET | BPF_K:
			return f->k;
		case BPF_RET | BPF_A:
			return a;
		case BPF_LD | BPF_W | BPF_ABS:
			memcpy(&a, (const char *)data + f->k, sizeof(a));
			break;
		case BPF_LD | BPF_W | BPF_LEN:
			a = DATA_SIZE;
			break;
		case BPF_LDX | BPF_W | BPF_LEN:
			x = DATA_SIZE;
			break;
		case BPF_LD | BPF_IMM:
			a = f->k;
			break;
		case BPF_LDX | BPF_IMM:
			x = f->k;
			break;
		case BPF_LD | BPF_MEM:
			a = mem[f->k];
			break;
		case BPF_LDX | BPF_MEM:
			x = mem[f->k];
			break;
		case BPF_ST:
			mem[f->k] = a;
			break;
		case BPF_STX:
			mem[f->k] = x;
			break;
		case BPF_MISC | BPF_TAX:
			x = a;
			break;
		case BPF_MISC | BPF_TXA:
			a = x;
			break;
		case BPF_JMP | BPF_JA:
			f += f->k;
			break;
		default:
			if (BPF_CLASS(f->code) == BPF_ALU)
				a = alu(BPF_OP(f->code), a, src);
			else
				f += jump_taken(BPF_OP(f->code), a, src) ? f->jt : f->jf;
		}
	}
}
