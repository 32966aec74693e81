/* The data window: what a system call reads and writes, without a copy between processes.
 *
 *	slot + SLOT_WINDOW
 *	+----------------+--------------------------------------------+
 *	| what the stub  | records: address, length, bytes            |
 *	| copied ahead   | ... of what S wrote                        |
 *	+----------------+--------------------------------------------+
 *	  in_addr, in_len  begin                    end
 *
 * Inwards: the stub copies a call's paths and small buffers here before it reports. What S reads from
 * there on is what the guest's memory held then.
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
 * own (window_out), and goes by these when the stub says that a copy faulted: then nothing of the
 * guest has run, and the sentry repairs the mapping or gives the call another result. */
#include "platform/seccomp/impl.h"

#include <errno.h>
#include <string.h>
#include <sys/uio.h>

/* The thread that this S serves. Only its own S uses a window, so that nothing needs a lock. */
static _Thread_local struct pf_thread *served;

static struct window *window_of(struct pf_space *s)
{
	return served && served->space == s ? &served->window : NULL;
}

static bool meet(uint64_t a, uint64_t an, uint64_t b, uint64_t bn)
{
	return a < b + bn && b < a + an;
}

void window_open(struct pf_thread *t, bool call)
{
	struct window *w = &t->window;
	uint32_t n = call ? __atomic_load_n(&t->slot->in_len, __ATOMIC_RELAXED) : 0;

	served = NULL;
	/* Without process_vm_* others copy through the same window. */
	if (!t->space->p->process_vm)
		return;
	w->in_len = n > SLOT_WINDOW_SIZE / 2 ? 0 : n;
	w->in_addr = t->slot->in_addr;
	w->begin = w->end = (SLOT_WINDOW + w->in_len + SLOT_OUT_UNIT - 1) & -SLOT_OUT_UNIT;
	w->nouts = 0;
	served = t;
}

void window_close(struct pf_thread *t)
{
	if (served == t)
		served = NULL;
}

/* ---- outwards --------------------------------------------------------------------------------- */

void *seccomp_late_buffer(struct pf_thread *t, struct gptr dst, size_t len)
{
	struct window *w = &t->window;

	if (served != t || w->nouts == WINDOW_OUTS || dst.v > PF_GUEST_MAX ||
	    len > PF_GUEST_MAX - dst.v || len > SLOT_WINDOW_SIZE ||
	    w->end + slot_out_size((uint32_t)len) > SLOT_WINDOW + SLOT_WINDOW_SIZE)
		return NULL;
	return (uint8_t *)t->slot + w->end + sizeof(struct slot_out);
}

void seccomp_late_commit(struct pf_thread *t, struct gptr dst, size_t len)
{
	struct window *w = &t->window;
	struct slot_out *o = (struct slot_out *)((uint8_t *)t->slot + w->end);

	if (!len)
		return;
	o->addr = dst.v;
	o->len = (uint32_t)len;
	w->out[w->nouts++] = (struct window_out){dst.v, w->end + sizeof(*o), (uint32_t)len};
	w->end += slot_out_size((uint32_t)len);
	if (meet(dst.v, len, w->in_addr, w->in_len))
		w->in_len = 0;
}

/* Not relative to the end of the call: what is written twice is the same. */
int seccomp_late_flush(struct pf_thread *t, struct gptr *fault)
{
	struct window *w = &t->window;
	struct iovec local[WINDOW_OUTS], remote[WINDOW_OUTS];
	ssize_t n;

	if (!w->nouts)
		return 0;
	for (uint32_t i = 0; i < w->nouts; i++) {
		local[i] = (struct iovec){(uint8_t *)t->slot + w->out[i].off, w->out[i].len};
		remote[i] = (struct iovec){(void *)w->out[i].addr, w->out[i].len};
	}
	n = process_vm_writev(t->space->pid, local, w->nouts, remote, w->nouts, 0);
	if (n < 0)
		n = 0;
	for (uint32_t i = 0; i < w->nouts; i++) {
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

	t->slot->out = w->nouts << 16 | w->begin / SLOT_OUT_UNIT;
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
	const struct window *w = window_of(s);
	uint64_t off;

	if (!w)
		return 0;
	if (w->nouts && put_off(w, src.v, len))
		flush_quietly(served);
	off = src.v - w->in_addr;
	if (off >= w->in_len)
		return 0;
	if (len > w->in_len - off)
		len = w->in_len - off;
	memcpy(dst, (const uint8_t *)served->slot + SLOT_WINDOW + off, len);
	return len;
}

/* What the guest would read from there on differs. */
void window_written(struct pf_space *s, struct gptr dst, size_t len)
{
	struct window *w = window_of(s);

	if (!w)
		return;
	if (w->nouts && put_off(w, dst.v, len))
		flush_quietly(served);
	if (meet(dst.v, len, w->in_addr, w->in_len))
		w->in_len = 0;
}
