/* Instruction lengths by table: one letter an opcode.
 *
 *	.  unknown, or not for programs		p  a prefix, an escape: looked at before
 *	-  nothing follows			m  ModRM
 *	b  1 byte				B  ModRM and 1 byte
 *	z  4 bytes (2 with 66)			Z  ModRM and 4 bytes (2 with 66)
 *	j  1 byte of distance			J  4 bytes of distance
 *	w  2 bytes				v  as z, 8 bytes with REX.W
 *	o  an address of 8 bytes		t  ModRM, and for /0 and /1 1 byte: test
 *	T  ModRM, and for /0 and /1 as z
 *
 * Intel's manual, volume 2, appendix A, is the source. */
#include "platform/patch/insn.h"

#include <string.h>

static const char one_byte[256] =
	"mmmmbz..mmmmbz.p" /* 00 */
	"mmmmbz..mmmmbz.." /* 10 */
	"mmmmbzp.mmmmbzp." /* 20 */
	"mmmmbzp.mmmmbzp." /* 30 */
	"pppppppppppppppp" /* 40 */
	"----------------" /* 50 */
	"..pmppppzZbB...." /* 60 */
	"jjjjjjjjjjjjjjjj" /* 70 */
	"BZ.Bmmmmmmmmmmmm" /* 80 */
	"----------.-----" /* 90 */
	"oooo----bz------" /* a0 */
	"bbbbbbbbvvvvvvvv" /* b0 */
	"BBw-ppBZ.-w--b.-" /* c0 */
	"mmmm....mmmmmmmm" /* d0 */
	"jjjj....JJ.j...." /* e0 */
	"p.pp--tT--..--mm" /* f0 */;

static const char two_byte[256] =
	"mmmm.-.....-.m.." /* 00 */
	"mmmmmmmmmmmmmmmm" /* 10 */
	"........mmmmmmmm" /* 20 */
	".-......p.p....." /* 30 */
	"mmmmmmmmmmmmmmmm" /* 40 */
	"mmmmmmmmmmmmmmmm" /* 50 */
	"mmmmmmmmmmmmmmmm" /* 60 */
	"BBBBmmm-....mmmm" /* 70 */
	"JJJJJJJJJJJJJJJJ" /* 80 */
	"mmmmmmmmmmmmmmmm" /* 90 */
	"---mBm..---mBmmm" /* a0 */
	"mmmmmmmmmmBmmmmm" /* b0 */
	"mmBmBBBm--------" /* c0 */
	"mmmmmmmmmmmmmmmm" /* d0 */
	"mmmmmmmmmmmmmmmm" /* e0 */
	"mmmmmmmmmmmmmmm." /* f0 */;

struct decoder {
	const uint8_t *p;
	size_t n, i; /* bytes there are; taken */
	uint8_t rex, opcode, modrm;
	bool data16, addr32, rep, repne, lock, segment, has_modrm, vex;
	unsigned map; /* 1: one byte; 2: 0f; 3: 0f 38; 4: 0f 3a */
};

static bool take(struct decoder *d, uint8_t *out)
{
	if (d->i >= d->n || d->i >= INSN_MAX)
		return false;
	*out = d->p[d->i++];
	return true;
}

static bool skip(struct decoder *d, unsigned n)
{
	d->i += n;
	return d->i <= d->n && d->i <= INSN_MAX;
}

/* True: b was one. */
static bool prefix(struct decoder *d, uint8_t b)
{
	switch (b) {
	case 0x66:
		d->data16 = true;
		return true;
	case 0x67:
		d->addr32 = true;
		return true;
	case 0xf0:
		d->lock = true;
		return true;
	case 0xf2:
		d->repne = true;
		return true;
	case 0xf3:
		d->rep = true;
		return true;
	case 0x2e:
	case 0x36:
	case 0x3e:
	case 0x26:
	case 0x64:
	case 0x65:
		d->segment = true;
		return true;
	default:
		return false;
	}
}

/* Behind a byte of c4, c5 or 62. Legacy prefixes that matter are not allowed before. */
static bool vector_prefix(struct decoder *d, uint8_t first)
{
	uint8_t b[3] = {0};
	unsigned n = first == 0xc5 ? 1 : first == 0xc4 ? 2 : 3;
	unsigned map;

	if (d->rex || d->data16 || d->rep || d->repne || d->lock)
		return false;
	for (unsigned i = 0; i < n; i++)
		if (!take(d, &b[i]))
			return false;
	map = first == 0xc5 ? 1 : first == 0xc4 ? b[0] & 31 : b[0] & 15;
	if (map < 1 || map > 3 || (first == 0x62 && !(b[1] & 4)))
		return false;
	d->map = map + 1;
	d->vex = true;
	return take(d, &d->opcode);
}

/* Up to and with the opcode. */
static bool opcode(struct decoder *d)
{
	uint8_t b;

	do {
		if (!take(d, &b))
			return false;
	} while (prefix(d, b));
	if ((b & 0xf0) == 0x40) {
		d->rex = b;
		if (!take(d, &b))
			return false;
	}
	if (b == 0xc4 || b == 0xc5 || b == 0x62)
		return vector_prefix(d, b);
	d->map = 1;
	if (b == 0x0f) {
		d->map = 2;
		if (!take(d, &b))
			return false;
		if (b == 0x38 || b == 0x3a) {
			d->map = b == 0x38 ? 3 : 4;
			if (!take(d, &b))
				return false;
		}
	}
	d->opcode = b;
	return true;
}

static char form(const struct decoder *d)
{
	switch (d->map) {
	case 1:
		return one_byte[d->opcode];
	case 2:
		if (d->vex && d->opcode == 0x77)
			return '-';
		if (d->vex && (d->opcode < 0x10 || (d->opcode & 0xf0) == 0x80))
			return '.'; /* mask registers jump no further than kortest: 90 to 9f */
		if (d->vex && two_byte[d->opcode] == '-')
			return '.';
		return two_byte[d->opcode];
	case 3:
		return 'm';
	default:
		return 'B';
	}
}

/* ModRM, SIB and displacement. */
static bool operand(struct decoder *d, struct insn *out, int32_t *disp)
{
	uint8_t sib = 0;
	unsigned mod, rm, n;

	if (!take(d, &d->modrm))
		return false;
	d->has_modrm = true;
	mod = d->modrm >> 6;
	rm = d->modrm & 7;
	if (mod == 3)
		return true;
	out->memory = true;
	if (rm == 4 && !take(d, &sib))
		return false;
	n = mod == 1 ? 1 : mod == 2 ? 4 : 0;
	if (mod == 0 && rm == 5) {
		out->rip_at = (uint8_t)d->i;
		n = 4;
	} else if (mod == 0 && rm == 4 && (sib & 7) == 5) {
		n = 4;
	}
	if (!skip(d, n))
		return false;
	if (out->rip_at)
		memcpy(disp, d->p + out->rip_at, 4);
	return true;
}

/* What follows the operand; -1: unknown. */
static int immediate(const struct decoder *d, char f)
{
	int z = d->data16 && !(d->rex & 8) ? 2 : 4;
	bool test = (d->modrm & 0x38) <= 8;

	switch (f) {
	case '-':
	case 'm':
		return 0;
	case 'b':
	case 'B':
	case 'j':
		return 1;
	case 'w':
		return 2;
	case 'z':
	case 'Z':
		return z;
	case 'v':
		return d->rex & 8 ? 8 : z;
	case 'J': /* the CPUs' makers differ on what 66 does here */
		return z == 4 ? 4 : -1;
	case 'o':
		return 8;
	case 't':
		return test ? 1 : 0;
	case 'T':
		return test ? z : 0;
	default:
		return -1;
	}
}

static enum insn_kind kind_two_byte(const struct decoder *d)
{
	switch (d->opcode) {
	case 0x05:
		return INSN_SYSCALL;
	case 0x0b:
	case 0xb9:
		return INSN_END;
	case 0x1f:
		return INSN_NOP;
	case 0x1e: /* endbr64 among them: where jumps may go to */
		return INSN_MOVES_NOT;
	default:
		return (d->opcode & 0xf0) == 0x80 && !d->vex ? INSN_BRANCH : INSN_PLAIN;
	}
}

static enum insn_kind kind_one_byte(const struct decoder *d)
{
	uint8_t op = d->opcode, reg = d->modrm >> 3 & 7;

	if ((op & 0xf0) == 0x70 || (op >= 0xe0 && op <= 0xe3))
		return INSN_BRANCH;
	switch (op) {
	case 0x90:
		return d->rep || d->rex & 1 ? INSN_PLAIN : INSN_NOP;
	case 0xc2:
	case 0xc3:
	case 0xca:
	case 0xcb:
	case 0xcc:
	case 0xf4:
		return INSN_END;
	case 0xcf:
		return INSN_END;
	case 0xcd:
		return INSN_MOVES_NOT;
	case 0xe8:
		return INSN_CALL;
	case 0xe9:
	case 0xeb:
		return INSN_JUMP;
	case 0xc7:
		return d->modrm == 0xf8 ? INSN_BRANCH : INSN_PLAIN; /* xbegin */
	case 0xff:
		return reg == 4 || reg == 5 ? INSN_INDIRECT :
		       reg == 2 || reg == 3 ? INSN_MOVES_NOT : INSN_PLAIN;
	default:
		return INSN_PLAIN;
	}
}

/* Opcodes whose meaning hangs on ModRM and that table letters can't tell. */
static bool acceptable(const struct decoder *d)
{
	uint8_t reg = d->modrm >> 3 & 7;

	if (d->map == 2 && d->opcode == 0x78)
		return false;
	if (d->map != 1)
		return true;
	switch (d->opcode) {
	case 0x8f: /* else XOP */
		return reg == 0;
	case 0xc6: /* else transactions */
	case 0xc7:
		return reg == 0 || (d->modrm == 0xf8 && !d->data16);
	case 0xa0 ... 0xa3:
		return !d->addr32;
	case 0xfe:
		return reg < 2;
	case 0xff:
		return reg < 7;
	default:
		return true;
	}
}

/* Those that use the stack without an operand in memory. */
static bool uses_stack(const struct decoder *d)
{
	uint8_t op = d->opcode;

	return d->map == 1 && ((op >= 0x50 && op < 0x60) || op == 0x68 || op == 0x6a || op == 0x9c ||
			       op == 0x9d || op == 0xc8 || op == 0xc9 || (op >= 0xa4 && op <= 0xa7) ||
			       (op >= 0xaa && op <= 0xaf) || (op >= 0xa0 && op <= 0xa3) || op == 0xd7);
}

/* The distance that a branch or a rip-relative operand tells; the operand's is known already. */
static bool distance_get(const struct decoder *d, char f, const struct insn *in, int32_t *distance)
{
	if (f == 'j') {
		*distance = (int8_t)d->p[d->i - 1];
		return true;
	}
	if (f == 'J' || in->kind == INSN_BRANCH) { /* xbegin is one without its letter */
		memcpy(distance, d->p + d->i - 4, 4);
		return true;
	}
	return in->rip_at != 0;
}

bool insn_decode(const uint8_t *p, size_t n, uint64_t at, struct insn *out)
{
	struct decoder d = {.p = p, .n = n};
	int32_t distance = 0;
	int imm;
	char f;

	*out = (struct insn){0};
	if (!opcode(&d))
		return false;
	f = form(&d);
	if (strchr("mBZtT", f) && !operand(&d, out, &distance))
		return false;
	imm = immediate(&d, f);
	if (imm < 0 || !acceptable(&d) || !skip(&d, (unsigned)imm))
		return false;
	out->len = (uint8_t)d.i;
	out->kind = d.map == 1 ? kind_one_byte(&d) : d.map == 2 ? kind_two_byte(&d) : INSN_PLAIN;
	out->memory |= uses_stack(&d);
	if (distance_get(&d, f, out, &distance))
		out->target = at + d.i + (uint64_t)(int64_t)distance;
	return true;
}
