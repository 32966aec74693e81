/* What a system call will read, copied to the slot's window before the call is reported. Which call
 * reads what: shape.h. All that can be missing is left out; the sentry fetches it in other ways. */
#include <asm/unistd.h>

#include "platform/stub/shape.h"
#include "platform/stub/stub.h"
#include "stub_shapes.h"

#define VECTOR_MAX 8
#define CONTROL_MAX 512

struct window {
	uint64_t at, end;
	uint32_t n, max; /* the longest piece */
};

struct vector {
	uint64_t base, len;
};

struct message {
	uint64_t name;
	uint32_t name_len, pad;
	uint64_t vector, count, control, control_len;
	uint32_t flags, pad2;
};

/* Where its bytes are, or NULL if not all could be had. */
static const void *piece(struct window *w, uint64_t addr, uint64_t len)
{
	struct slot_piece *p = (struct slot_piece *)w->at;
	uint32_t skip = slot_skip((uint64_t)(p + 1), addr, len);
	uint64_t data = (uint64_t)(p + 1) + skip, n;

	/* The first page faults in an ordinary way, or not at all. */
	if (!len || len > w->max || addr < 4096 || addr >= STUB_TEXT || w->n == SLOT_INS ||
	    data + len > w->end)
		return 0;
	n = len - stub_copy(data, addr, len);
	if (!n)
		return 0;
	p->addr = addr;
	p->len = n;
	p->skip = skip;
	w->at += slot_piece_size(skip + n);
	w->n++;
	return n == len ? (const void *)data : 0;
}

static void vector(struct window *w, uint64_t addr, uint64_t count, int data)
{
	const struct vector *v;
	uint64_t total = 0;

	if (count > VECTOR_MAX)
		return;
	v = piece(w, addr, count * sizeof(*v));
	for (uint64_t i = 0; v && data && i < count; i++) {
		uint64_t len = v[i].len;

		if (len > w->max - total)
			break;
		piece(w, v[i].base, len);
		total += len;
	}
}

static void message(struct window *w, uint64_t addr, int data)
{
	const struct message *m = piece(w, addr, sizeof(*m));

	if (!m)
		return;
	vector(w, m->vector, m->count, data);
	if (!data)
		return;
	if (m->name_len <= 128)
		piece(w, m->name, m->name_len);
	if (m->control_len <= CONTROL_MAX)
		piece(w, m->control, m->control_len);
}

static uint64_t page_rest(uint64_t addr)
{
	return 4096 - addr % 4096;
}

/* Not beyond the page: behind it there may be nothing, which takes a fault to find out. */
static void string(struct window *w, uint64_t addr)
{
	uint64_t rest = page_rest(addr);
	const char *s = piece(w, addr, rest < SLOT_IN_PATH ? rest : SLOT_IN_PATH);

	if (!s || rest >= SLOT_IN_PATH)
		return;
	for (uint64_t i = 0; i < rest; i++)
		if (!s[i])
			return;
	piece(w, addr + rest, SLOT_IN_PATH - rest);
}

/* pselect6's last argument leads to the mask. */
static void mask(struct window *w, uint64_t addr)
{
	const struct vector *m = piece(w, addr, sizeof(*m));

	if (m)
		piece(w, m->base, sizeof(uint64_t));
}

struct block {
	const char *bytes;
	uint64_t base, len;
};

/* Is all of the string at addr in it? */
static int block_holds(const struct block *b, uint64_t addr)
{
	for (uint64_t i = addr - b->base; i < b->len; i++)
		if (!b->bytes[i])
			return 1;
	return 0;
}

/* The beginning of a vector and its strings, in the blocks that the sentry will ask for one after the other (its
 * copying: syscalls/process_exec.c). */
static void strings(struct window *w, uint64_t vec, struct block *b)
{
	uint64_t rest = page_rest(vec), len = rest >= 8 && rest < STUB_STRINGS ? rest : STUB_STRINGS;
	const uint64_t *v = piece(w, vec, len);

	for (uint64_t i = 0; v && i < len / 8 && v[i]; i++) {
		if (v[i] >= b->base && block_holds(b, v[i]))
			continue;
		rest = page_rest(v[i]);
		b->base = v[i];
		b->len = rest < STUB_STRING_BLOCK ? rest : STUB_STRING_BLOCK;
		b->bytes = piece(w, b->base, b->len);
		if (!b->bytes)
			b->len = 0;
	}
}

static void argument(struct window *w, uint32_t shape, const uint64_t *regs)
{
	static const uint8_t place[8] = {REG_RDI, REG_RSI, REG_RDX, REG_R10, REG_R8, REG_R9};
	uint64_t addr = regs[place[SHAPE_ARG(shape)]];
	uint32_t value = SHAPE_VALUE(shape);
	uint64_t count = regs[place[value & 7]];

	switch (SHAPE_KIND(shape)) {
	case SHAPE_STRING:
		string(w, addr);
		break;
	case SHAPE_FIXED:
		piece(w, addr, value);
		break;
	case SHAPE_ARRAY:
		if (count <= w->max)
			piece(w, addr, count * (value >> 3));
		break;
	case SHAPE_BITS:
		if (count <= w->max)
			piece(w, addr, (count + 63) / 64 * 8);
		break;
	case SHAPE_IOVEC:
		vector(w, addr, count, 1);
		break;
	case SHAPE_MSGHDR:
		message(w, addr, value);
		break;
	}
}

void stub_copy_ahead(struct slot *s, const uint64_t *regs)
{
	uint64_t start = (uint64_t)s + SLOT_WINDOW;
	int large = s->flags & SLOT_LARGE;
	struct window w = {start, start + (large ? SLOT_IN_SIZE_LARGE : SLOT_IN_SIZE), 0,
			   large ? SLOT_IN_BUFFER_LARGE : SLOT_IN_BUFFER};
	uint64_t nr = (uint32_t)regs[REG_RAX];

	if (nr == __NR_rt_sigreturn)
		piece(&w, regs[REG_RSP], SLOT_IN_BUFFER);
	else if (nr < sizeof(shapes) / sizeof(shapes[0]))
		for (unsigned i = 0; i < SHAPES && shapes[nr][i]; i++)
			argument(&w, shapes[nr][i], regs);
	if (nr == __NR_execve) {
		struct block b = {0};

		strings(&w, regs[REG_RSI], &b);
		strings(&w, regs[REG_RDX], &b);
	}
	if (nr == __NR_pselect6)
		mask(&w, regs[REG_R9]);
	if (nr == __NR_execve || nr == __NR_exit || nr == __NR_exit_group)
		piece(&w, s->robust_list, STUB_ROBUST_HEAD_SIZE);
	s->in = w.n ? w.n << 16 | (SLOT_WINDOW + (w.at - start) + SLOT_UNIT - 1) / SLOT_UNIT : 0;
}
