/* poll(2) and select(2), and their cousins with signal masks.
 *
 * One core serves all: first a pass over the files without any queueing, since most calls find
 * something ready or don't want to wait; only then the task is put on the queues of all files. After a
 * wake-up only the files that caused it are asked again. */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/time.h>

#include "sentry/ipc/wait_mask.h"
#include "sentry/kernel/fdtable.h"
#include "sentry/kernel/restart.h"
#include "sentry/kernel/task.h"
#include "sentry/mm/usercopy.h"
#include "sentry/syscalls/syscalls.h"
#include "sentry/time/clock.h"
#include "vfs/file.h"

#define POLL_SMALL 8

struct poll_entry {
	struct file *file; /* owned; NULL when there is none */
	struct task_waiter w;
};

static uint32_t entry_poll(const struct poll_entry *e, const struct pollfd *p)
{
	return file_poll(e->file) & ((uint32_t)(uint16_t)p->events | POLLERR | POLLHUP);
}

/* Opens the entries and asks each once; the number that is ready. */
static int first_pass(struct task *t, struct pollfd *fds, struct poll_entry *e, size_t n)
{
	int ready = 0;

	for (size_t i = 0; i < n; i++) {
		fds[i].revents = 0;
		e[i].file = NULL;
		if (fds[i].fd < 0)
			continue;
		if (fdtable_get(t->files, fds[i].fd, &e[i].file) < 0)
			fds[i].revents = POLLNVAL;
		else
			fds[i].revents = (short)entry_poll(&e[i], &fds[i]);
		ready += fds[i].revents != 0;
	}
	return ready;
}

static void enqueue(struct task *t, struct pollfd *fds, struct poll_entry *e, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct waitq *q = e[i].file ? file_waitq(e[i].file) : NULL;

		task_waiter_init(&e[i].w, t, (uint16_t)fds[i].events);
		atomic_store_explicit(&e[i].w.fired, 1, memory_order_relaxed);
		if (q)
			waitq_add(q, &e[i].w.w);
	}
}

static int ask_all(struct pollfd *fds, struct poll_entry *e, size_t n)
{
	int ready = 0;

	for (size_t i = 0; i < n; i++) {
		if (!e[i].file)
			continue;
		fds[i].revents = (short)entry_poll(&e[i], &fds[i]);
		ready += fds[i].revents != 0;
	}
	return ready;
}

/* Only those whose queue was woken, as long as none is ready. Then all: the waker may be on its way
 * from one of our waiters to the next. */
static int ask_fired(struct pollfd *fds, struct poll_entry *e, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (e[i].file && atomic_exchange(&e[i].w.fired, 0) && entry_poll(&e[i], &fds[i]))
			return ask_all(fds, e, n);
	return 0;
}

static int wait_ready(struct task *t, struct pollfd *fds, struct poll_entry *e, size_t n,
		      uint64_t deadline)
{
	int ready;

	enqueue(t, fds, e, n);
	for (;;) {
		uint32_t seq = task_wake_prepare(t);
		int err;

		ready = ask_fired(fds, e, n);
		if (ready)
			break;
		err = task_block(t, seq, deadline);
		if (err == -ETIMEDOUT) {
			/* What became ready at the last moment counts. */
			ready = ask_fired(fds, e, n);
			break;
		}
		if (err) {
			ready = err;
			break;
		}
	}
	for (size_t i = 0; i < n; i++)
		waitq_remove(&e[i].w.w);
	return ready;
}

/* The number of entries with revents, 0 at the deadline (0: do not wait), -EINTR, -ENOMEM. */
static int poll_core(struct task *t, struct pollfd *fds, size_t n, uint64_t deadline)
{
	struct poll_entry small[POLL_SMALL], *e = small;
	int ready;

	if (n > POLL_SMALL) {
		e = malloc(n * sizeof(*e));
		if (!e)
			return -ENOMEM;
	}
	ready = first_pass(t, fds, e, n);
	if (!ready && deadline && now_mono_ns() < deadline)
		ready = wait_ready(t, fds, e, n, deadline);
	for (size_t i = 0; i < n; i++)
		if (e[i].file)
			file_put(e[i].file);
	if (e != small)
		free(e);
	return ready;
}

/* ---- poll ----------------------------------------------------------------------------------- */

static int64_t do_poll(struct task *t, struct gptr ufds, unsigned nfds, uint64_t deadline)
{
	struct pollfd small[POLL_SMALL], *fds = small;
	size_t size = nfds * sizeof(*fds);
	int r;

	if (nfds > task_rlimit(t, RLIMIT_NOFILE))
		return -EINVAL;
	if (nfds > POLL_SMALL) {
		fds = malloc(size);
		if (!fds)
			return -ENOMEM;
	}
	r = copy_from_guest(t, fds, ufds, size);
	if (!r) {
		r = poll_core(t, fds, nfds, deadline);
		if (r >= 0 && nfds && copy_to_guest(t, ufds, fds, size))
			r = -EFAULT;
	}
	if (fds != small)
		free(fds);
	return r;
}

static int64_t poll_restart(struct task *t)
{
	int64_t r = do_poll(t, gptr(t->restart_args[0]), (unsigned)t->restart_args[1],
			    t->restart_args[2]);

	if (r != -EINTR)
		return r;
	t->restart = poll_restart;
	return -ERESTART_RESTARTBLOCK;
}

static uint64_t deadline_ms(int ms)
{
	if (ms < 0)
		return DEADLINE_NEVER;
	return ms ? deadline_after((uint64_t)ms * 1000000ULL) : 0;
}

int64_t sys_poll(struct task *t, struct gptr fds, unsigned int nfds, int timeout_ms)
{
	t->restart_args[0] = fds.v;
	t->restart_args[1] = nfds;
	t->restart_args[2] = deadline_ms(timeout_ms);
	return poll_restart(t);
}

/* A zero timeout must not read the clock, and is written back as it is. */
static int timeout_deadline(uint64_t ns, uint64_t *deadline)
{
	*deadline = ns ? deadline_after(ns) : 0;
	return 0;
}

static int get_timespec_deadline(struct task *t, struct gptr src, uint64_t *deadline)
{
	uint64_t ns;
	int err;

	*deadline = DEADLINE_NEVER;
	if (gptr_null(src))
		return 0;
	err = get_guest_timespec(t, src, &ns);
	return err ? err : timeout_deadline(ns, deadline);
}

/* The time left goes back to the guest; if it can't be stored, the call is not restarted, since it
 * would begin with the full time again. */
static int64_t finish_timespec(struct task *t, struct gptr timeout, uint64_t deadline, int64_t r)
{
	if (gptr_null(timeout))
		return r;
	if (put_guest_timespec(t, timeout, deadline ? deadline_left(deadline) : 0) &&
	    r == -ERESTARTNOHAND)
		return -EINTR;
	return r;
}

int64_t sys_ppoll(struct task *t, struct gptr fds, unsigned int nfds, struct gptr timeout,
		  struct gptr sigmask, uint64_t setsize)
{
	uint64_t deadline;
	int64_t r;
	int err = get_timespec_deadline(t, timeout, &deadline);

	if (err)
		return err;
	err = wait_mask_begin(t, sigmask, setsize);
	if (err)
		return err;
	r = do_poll(t, fds, nfds, deadline);
	wait_mask_end(t, r == -EINTR);
	return finish_timespec(t, timeout, deadline, r == -EINTR ? -ERESTARTNOHAND : r);
}

/* ---- select --------------------------------------------------------------------------------- */

#define SELECT_SMALL 8	     /* words of a set kept on the stack: 512 descriptors */

/* What counts as readable, writable, exceptional: as poll(2) says select maps its sets. */
#define SELECT_IN (POLLRDNORM | POLLRDBAND | POLLIN | POLLHUP | POLLERR)
#define SELECT_OUT (POLLWRBAND | POLLWRNORM | POLLOUT | POLLERR)
#define SELECT_EX POLLPRI

static const uint32_t select_events[3] = {SELECT_IN, SELECT_OUT, SELECT_EX};

struct select_sets {
	size_t words;	    /* of one set */
	uint64_t *bits;	    /* 3 sets in a row */
	struct gptr user[3]; /* may be null */
	uint64_t small[3 * SELECT_SMALL];
};

static int sets_read(struct task *t, struct select_sets *s, int nfds)
{
	int err = 0;

	s->words = ((size_t)nfds + 63) / 64;
	s->bits = s->small;
	if (s->words > SELECT_SMALL) {
		s->bits = malloc(3 * s->words * 8);
		if (!s->bits)
			return -ENOMEM;
	}
	memset(s->bits, 0, 3 * s->words * 8);
	for (int i = 0; i < 3 && !err; i++)
		if (!gptr_null(s->user[i]))
			err = copy_from_guest(t, s->bits + (size_t)i * s->words, s->user[i],
					      s->words * 8);
	if (nfds % 64)
		for (size_t i = 1; i <= 3; i++)
			s->bits[i * s->words - 1] &= (1ULL << (nfds % 64)) - 1;
	return err;
}

static void sets_free(struct select_sets *s)
{
	if (s->bits != s->small)
		free(s->bits);
}

static short bit_events(const struct select_sets *s, int fd)
{
	uint32_t ev = 0;

	for (size_t i = 0; i < 3; i++)
		if (s->bits[i * s->words + (size_t)fd / 64] >> (fd % 64) & 1)
			ev |= select_events[i];
	return (short)ev;
}

static uint64_t any_bits(const struct select_sets *s, size_t word)
{
	return s->bits[word] | s->bits[s->words + word] | s->bits[2 * s->words + word];
}

static size_t sets_count(const struct select_sets *s)
{
	size_t n = 0;

	for (size_t w = 0; w < s->words; w++)
		n += (size_t)__builtin_popcountll(any_bits(s, w));
	return n;
}

/* One entry for each descriptor in any set. */
static size_t sets_to_fds(const struct select_sets *s, struct pollfd *fds)
{
	size_t n = 0;

	for (size_t w = 0; w < s->words; w++) {
		uint64_t bits = any_bits(s, w);

		for (; bits; bits &= bits - 1) {
			int fd = (int)(w * 64) + __builtin_ctzll(bits);

			fds[n++] = (struct pollfd){fd, bit_events(s, fd), 0};
		}
	}
	return n;
}

/* The sets become what is ready; the number of bits set, -EBADF. */
static int fds_to_sets(struct select_sets *s, const struct pollfd *fds, size_t n)
{
	int count = 0;

	for (size_t i = 0; i < n; i++)
		if (fds[i].revents & POLLNVAL)
			return -EBADF;
	for (size_t i = 0; i < n; i++) {
		for (size_t k = 0; k < 3; k++) {
			uint64_t *word = &s->bits[k * s->words + (size_t)fds[i].fd / 64];
			uint64_t bit = 1ULL << (fds[i].fd % 64);

			if (*word & bit && (uint16_t)fds[i].revents & select_events[k])
				count++;
			else
				*word &= ~bit;
		}
	}
	return count;
}

static int select_sets_wait(struct task *t, struct select_sets *s, uint64_t deadline)
{
	struct pollfd small[POLL_SMALL], *fds = small;
	size_t n = sets_count(s);
	int r;

	if (n > POLL_SMALL) {
		fds = malloc(n * sizeof(*fds));
		if (!fds)
			return -ENOMEM;
	}
	n = sets_to_fds(s, fds);
	r = poll_core(t, fds, n, deadline);
	if (r >= 0)
		r = fds_to_sets(s, fds, n);
	if (fds != small)
		free(fds);
	return r;
}

/* The result, or -ERESTARTNOHAND when interrupted. */
static int64_t do_select(struct task *t, int nfds, struct select_sets *s, uint64_t deadline)
{
	int r;

	if (nfds < 0)
		return -EINVAL;
	/* What can't be open is not looked at, as on Linux. */
	if (nfds > fdtable_span(t->files))
		nfds = fdtable_span(t->files);
	r = sets_read(t, s, nfds);
	if (!r)
		r = select_sets_wait(t, s, deadline);
	for (size_t i = 0; i < 3 && r >= 0; i++)
		if (!gptr_null(s->user[i]) && s->words &&
		    copy_to_guest(t, s->user[i], s->bits + i * s->words, s->words * 8))
			r = -EFAULT;
	sets_free(s);
	return r == -EINTR ? -ERESTARTNOHAND : r;
}

int64_t sys_select(struct task *t, int nfds, struct gptr readfds, struct gptr writefds,
		   struct gptr exceptfds, struct gptr timeout)
{
	struct select_sets s = {.user = {readfds, writefds, exceptfds}};
	uint64_t deadline = DEADLINE_NEVER, left;
	struct timeval tv;
	int64_t r;

	s.bits = s.small;
	if (!gptr_null(timeout)) {
		r = get_guest(t, &tv, timeout);
		if (r)
			return r;
		/* Microseconds above a second are carried over, as Linux does here alone. */
		if (tv.tv_sec < 0 || tv.tv_usec < 0)
			return -EINVAL;
		struct timespec ts = {.tv_nsec = tv.tv_usec % 1000000 * 1000};

		if (__builtin_add_overflow(tv.tv_sec, tv.tv_usec / 1000000, &ts.tv_sec))
			return -EINVAL;
		timeout_deadline(timespec_to_ns(&ts), &deadline);
	}
	r = do_select(t, nfds, &s, deadline);
	if (gptr_null(timeout))
		return r;
	left = deadline ? deadline_left(deadline) : 0;
	tv = (struct timeval){(time_t)(left / NSEC_PER_SEC),
			      (suseconds_t)(left % NSEC_PER_SEC / 1000)};
	if (put_guest(t, timeout, &tv) && r == -ERESTARTNOHAND)
		return -EINTR;
	return r;
}

int64_t sys_pselect6(struct task *t, int nfds, struct gptr readfds, struct gptr writefds,
		     struct gptr exceptfds, struct gptr timeout, struct gptr sigmask)
{
	struct select_sets s = {.user = {readfds, writefds, exceptfds}};
	struct {
		struct gptr set;
		uint64_t size;
	} mask = {GNULL, 0};
	uint64_t deadline;
	int64_t r;
	int err = get_timespec_deadline(t, timeout, &deadline);

	s.bits = s.small;
	if (!err && !gptr_null(sigmask))
		err = get_guest(t, &mask, sigmask);
	if (!err)
		err = wait_mask_begin(t, mask.set, mask.size);
	if (err)
		return err;
	r = do_select(t, nfds, &s, deadline);
	wait_mask_end(t, r == -ERESTARTNOHAND);
	return finish_timespec(t, timeout, deadline, r);
}
