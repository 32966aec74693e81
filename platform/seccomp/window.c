/* The data window: what a system call reads and writes, without a copy between processes.
 *
 *	slot + SLOT_WINDOW
 *	+----------------+--------------------------------------------+
 *	| what the stub  | what S wrote                               |
 *	| copied ahead   |                                            |
 *	+----------------+--------------------------------------------+
 *			   begin                    end
 *
 * Both are sequences of pieces: address, length, bytes (struct slot_piece). Memory that is to be cleared
 * has no bytes in the window, nor has what the stub reads from a file that it keeps.
 *
 * Inwards: the stub copies a call's paths, structs and small buffers here before it reports
 * (stub/ahead.c). What S reads from there on is what the guest's memory held then.
 *
 * Outwards: what S writes is put off (late_buffer, late_commit) until the thread runs again; its stub
 * copies it just before that, on the CPU and with the page tables that the guest will use next, and
 * takes the page faults. To the guest this is a call that took its time: nothing of the thread
 * runs in between, and another thread that looks at a buffer of an unfinished call can't count on
 * anything. Whoever in the sentry reads or writes the same bytes by other ways first has them
 * written (window_read, window_written); so does a call that goes to sleep.
 *
 * The slot is the guest's: it can change bytes and addresses on their way, but only what its own
 * instructions could write anyway is ever written with them. S keeps positions and addresses of its
 * own (window_piece), and goes by these when the stub says that a copy faulted: then nothing of the
 * guest has run, and the sentry repairs the mapping or gives the call another result. */
#include "platform/seccomp/impl.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/uio.h>

/* The thread that this S serves. Only its own S uses a window, so that nothing needs a lock. */
static _Thread_local struct pf_thread *served;

static struct window *window_of(struct pf_space *s)
{
	return served && served->space == s ? &served->window : NULL;
}

/* Few threads at a time have more than the first pages of their windows: of thousands, each may have
 * read something large once. */
static bool large_begin(struct pf_thread *t)
{
	struct platform *p = t->space->p;

	if (t->window.large)
		return true;
	if (atomic_fetch_add(&p->nlarge, 1) >= WINDOWS_LARGE_MAX) {
		atomic_fetch_sub(&p->nlarge, 1);
		return false;
	}
	return t->window.large = true;
}

static bool meet(uint64_t a, uint64_t an, uint64_t b, uint64_t bn)
{
	return a < b + bn && b < a + an;
}

/* What the stub says that it has copied; believed no further than that it lies in the window. */
static void read_pieces(struct pf_thread *t, uint32_t n)
{
	struct window *w = &t->window;
	uint32_t at = SLOT_WINDOW;

	for (uint32_t i = 0; i < n && i < SLOT_INS; i++) {
		const struct slot_piece *p = (const void *)((uint8_t *)t->slot + at);
		uint32_t len = __atomic_load_n(&p->len, __ATOMIC_RELAXED);
		uint64_t addr = __atomic_load_n(&p->addr, __ATOMIC_RELAXED);
		uint32_t skip = __atomic_load_n(&p->skip, __ATOMIC_RELAXED);

		if (len > SLOT_IN_BUFFER_LARGE || addr > PF_GUEST_MAX ||
		    at + slot_piece_size(skip + len) > w->begin)
			return;
		w->in[w->nins++] = (struct window_piece){addr, at + sizeof(*p) + skip, len};
		at += slot_piece_size(skip + len);
	}
}

void window_open(struct pf_thread *t, bool call)
{
	struct window *w = &t->window;
	uint32_t in = call ? __atomic_load_n(&t->slot->in, __ATOMIC_RELAXED) : 0;

	served = NULL;
	/* Without process_vm_* others copy through the same window. */
	if (!t->space->p->process_vm)
		return;
	w->begin = (in & 0xffff) * SLOT_UNIT;
	if (w->begin < SLOT_WINDOW || w->begin > SLOT_WINDOW + SLOT_IN_SIZE_LARGE)
		w->begin = SLOT_WINDOW;
	w->end = w->begin;
	w->nins = w->nouts = 0;
	if (in)
		read_pieces(t, in >> 16);
	served = t;
}

/* What the guest would read from there on differs. */
static void forget(struct window *w, uint64_t addr, size_t len)
{
	for (uint32_t i = 0; i < w->nins; i++)
		if (meet(addr, len, w->in[i].addr, w->in[i].len))
			w->in[i].len = 0;
}

void window_close(struct pf_thread *t)
{
	if (served == t)
		served = NULL;
}

/* ---- outwards --------------------------------------------------------------------------------- */

/* The structure may serve another guest thread: nothing of this one is left. */
void window_end(struct pf_thread *t)
{
	bool large = t->window.large;

	window_close(t);
	t->window = (struct window){0};
	if (!large)
		return;
	fallocate(t->space->arena_fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
		  (off_t)(t->slot_index * SLOT_SIZE + SLOT_WINDOW + SLOT_IN_SIZE),
		  SLOT_WINDOW_SIZE - SLOT_IN_SIZE);
	atomic_fetch_sub(&t->space->p->nlarge, 1);
}

/* Is there room for one more piece, for len bytes at dst, with so many in the window? */
static bool out_fits(struct pf_thread *t, struct gptr dst, size_t len, size_t bytes)
{
	struct window *w = &t->window;
	uint64_t end = w->end + (uint64_t)sizeof(struct slot_piece) + bytes;

	return served == t && w->nouts < WINDOW_OUTS && dst.v <= PF_GUEST_MAX &&
	       len <= PF_GUEST_MAX - dst.v &&
	       end <= SLOT_WINDOW + SLOT_WINDOW_SIZE - SLOT_UNIT &&
	       (end <= SLOT_WINDOW + SLOT_IN_SIZE || large_begin(t));
}

static void out_add(struct pf_thread *t, struct gptr dst, size_t len, uint16_t what, uint16_t skip)
{
	struct window *w = &t->window;
	struct slot_piece *o = (struct slot_piece *)((uint8_t *)t->slot + w->end);

	*o = (struct slot_piece){dst.v, (uint32_t)len, what, skip};
	w->out[w->nouts++] =
		(struct window_piece){dst.v, w->end + sizeof(*o) + skip, (uint32_t)len, what};
	w->end += slot_out_size(&(struct slot_piece){.len = (uint32_t)len, .what = what, .skip = skip});
	forget(w, dst.v, len);
}

void *seccomp_late_buffer(struct pf_thread *t, struct gptr dst, size_t len)
{
	uint32_t at = t->window.end + sizeof(struct slot_piece);

	if (len > SLOT_WINDOW_SIZE || !out_fits(t, dst, len, COPY_APART + len))
		return NULL;
	t->window.skip = slot_skip(dst.v, at, len);
	return (uint8_t *)t->slot + at + t->window.skip;
}

void seccomp_late_commit(struct pf_thread *t, struct gptr dst, size_t len)
{
	if (len)
		out_add(t, dst, len, SLOT_BYTES, t->window.skip);
}

bool seccomp_late_zero(struct pf_thread *t, struct gptr dst, size_t len)
{
	if (len > WINDOW_PIECE_MAX || !out_fits(t, dst, len, 0))
		return false;
	if (len)
		out_add(t, dst, len, SLOT_ZEROS, 0);
	return true;
}

bool seccomp_late_fetch(struct pf_thread *t, int64_t number, struct gptr dst, size_t len, uint64_t off)
{
	struct slot_file *f = (void *)((uint8_t *)t->slot + t->window.end + sizeof(struct slot_piece));

	if (t->window.nouts || !len || len > WINDOW_FETCH_MAX || !out_fits(t, dst, len, sizeof(*f)))
		return false;
	t->window.file = (struct slot_file){number, off};
	*f = t->window.file;
	out_add(t, dst, len, SLOT_FILE, 0);
	return true;
}

/* Of the only file that is fetched from, which is the first piece. */
static bool fetch_now(struct pf_thread *t)
{
	const struct window *w = &t->window;
	struct slot_cmd cmd = {
		.op = SYS_pread64,
		.a = {(uint64_t)w->file.fd, w->out[0].addr, w->out[0].len, w->file.offset},
	};

	return commands_run(t, &cmd, 1) == 0 && cmd.ret == (int64_t)w->out[0].len;
}

/* Not relative to the end of the call: what is written twice is the same. */
int seccomp_late_flush(struct pf_thread *t, struct gptr *fault)
{
	static const uint8_t zeros[WINDOW_PIECE_MAX];
	struct window *w = &t->window;
	struct iovec local[WINDOW_OUTS], remote[WINDOW_OUTS];
	const uint32_t first = w->nouts && w->out[0].what == SLOT_FILE;
	ssize_t n;

	if (!w->nouts)
		return 0;
	if (first && !fetch_now(t)) {
		*fault = gptr(w->out[0].addr);
		return -EFAULT;
	}
	for (uint32_t i = first; i < w->nouts; i++) {
		const uint8_t *from = w->out[i].what == SLOT_ZEROS ?
					      zeros :
					      (uint8_t *)t->slot + w->out[i].off;

		local[i] = (struct iovec){(void *)from, w->out[i].len};
		remote[i] = (struct iovec){(void *)w->out[i].addr, w->out[i].len};
	}
	n = process_vm_writev(t->space->pid, local + first, w->nouts - first, remote + first,
			      w->nouts - first, 0);
	if (n < 0)
		n = 0;
	for (uint32_t i = first; i < w->nouts; i++) {
		if ((size_t)n < w->out[i].len) {
			*fault = gptr(w->out[i].addr + (uint64_t)n);
			return -EFAULT;
		}
		n -= w->out[i].len;
	}
	seccomp_late_drop(t);
	return 0;
}

void seccomp_late_drop(struct pf_thread *t)
{
	t->window.nouts = 0;
	t->window.faulted = false;
	t->window.end = t->window.begin;
}

/* For who can't tell anybody: the next run does. */
static void flush_quietly(struct pf_thread *t)
{
	struct gptr fault;

	if (seccomp_late_flush(t, &fault))
		t->window.faulted = true;
}

void window_flush(struct pf_thread *t)
{
	if (served == t && t->window.nouts)
		flush_quietly(t);
}

void window_send(struct pf_thread *t)
{
	struct window *w = &t->window;

	t->slot->out = w->nouts << 16 | w->begin / SLOT_UNIT;
}

bool window_sent(struct pf_thread *t)
{
	if (t->window.nouts && t->slot->signo == STUB_OUT_FAULT)
		return false;
	t->window.nouts = 0;
	return true;
}

/* ---- what other copies see --------------------------------------------------------------------- */

static bool put_off(const struct window *w, uint64_t addr, size_t len)
{
	for (uint32_t i = 0; i < w->nouts; i++)
		if (meet(addr, len, w->out[i].addr, w->out[i].len))
			return true;
	return false;
}

size_t window_read(struct pf_space *s, void *dst, struct gptr src, size_t len)
{
	struct window *w = window_of(s);

	if (!w)
		return 0;
	if (w->nouts && put_off(w, src.v, len))
		flush_quietly(served);
	for (uint32_t i = 0; i < w->nins; i++) {
		const struct window_piece *p = &w->in[i];
		uint64_t off = src.v - p->addr;

		if (off >= p->len)
			continue;
		if (len > p->len - off)
			len = p->len - off;
		copy_bytes(dst, (const uint8_t *)served->slot + p->off + off, len);
		slot_take_lines((uint8_t *)served->slot + p->off + off, len);
		return len;
	}
	/* It may be as much next time. */
	if (len > SLOT_IN_BUFFER && len <= SLOT_IN_BUFFER_LARGE && !w->reads_large)
		w->reads_large = large_begin(served);
	return 0;
}

void window_written(struct pf_space *s, struct gptr dst, size_t len)
{
	struct window *w = window_of(s);

	if (!w)
		return;
	if (w->nouts && put_off(w, dst.v, len))
		flush_quietly(served);
	forget(w, dst.v, len);
}
