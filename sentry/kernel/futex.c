/* futex(2): wait, wake, requeue, wake-op, futex_waitv(2). The theory is in futex_impl.h. */
#include <errno.h>
#include <linux/futex.h>
#include <stdlib.h>
#include <time.h>

#include "sentry/kernel/futex.h"
#include "sentry/kernel/futex_impl.h"
#include "sentry/kernel/kernel.h"
#include "sentry/kernel/restart.h"
#include "sentry/kernel/signal.h"
#include "sentry/kernel/task.h"
#include "sentry/mm/usercopy.h"
#include "sentry/syscalls/syscalls.h"
#include "sentry/time/clock.h"

#ifndef FUTEX_LOCK_PI2
#define FUTEX_LOCK_PI2 13
#endif

/* ---- wait --------------------------------------------------------------------------------------- */

/* Queues w if the word at addr still is val: 0, -EAGAIN, -EFAULT. */
static int enqueue_if(struct futex_waiter *w, struct gptr addr, uint32_t val)
{
	struct futex_bucket *b = futex_bucket_of(&w->key);
	uint32_t now;
	int err;

	for (;;) {
		mutex_lock(&b->mu);
		err = futex_peek(w->t, addr, &now);
		if (!err && now == val)
			futex_enqueue(b, w);
		mutex_unlock(&b->mu);
		if (!err)
			return now == val ? 0 : -EAGAIN;
		err = futex_fault_in(w->t, addr, false);
		if (err)
			return err;
	}
}

static int64_t wait_once(struct task *t, struct gptr addr, uint32_t val, uint32_t bitset,
			 bool shared, uint64_t deadline)
{
	struct futex_waiter w;
	struct futex_key key;
	uint32_t seq;
	int err;

	err = futex_key_get(t, addr, shared, &key);
	if (err)
		return err;
	futex_waiter_init(&w, t, &key, bitset);
	seq = task_wake_prepare(t);
	err = enqueue_if(&w, addr, val);
	if (!err)
		err = futex_sleep(&w, seq, deadline);
	futex_key_put(&key);
	return err;
}

/* restart_args: addr, val, bitset, shared, deadline. */
static int64_t wait_restart(struct task *t)
{
	const uint64_t *a = t->restart_args;
	int64_t r = wait_once(t, gptr(a[0]), (uint32_t)a[1], (uint32_t)a[2], a[3], a[4]);

	if (r != -EINTR)
		return r;
	t->restart = wait_restart;
	return -ERESTART_RESTARTBLOCK;
}

static int64_t futex_wait(struct task *t, struct gptr addr, uint32_t val, uint32_t bitset,
			  bool shared, uint64_t deadline)
{
	int64_t r;

	if (!bitset)
		return -EINVAL;
	if (deadline == DEADLINE_NEVER) {
		r = wait_once(t, addr, val, bitset, shared, deadline);
		return r == -EINTR ? -ERESTARTSYS : r;
	}
	t->restart_args[0] = addr.v;
	t->restart_args[1] = val;
	t->restart_args[2] = bitset;
	t->restart_args[3] = shared;
	t->restart_args[4] = deadline;
	return wait_restart(t);
}

/* ---- wake --------------------------------------------------------------------------------------- */

/* -EINVAL when a waiter for a lock is found: those are for the PI calls. Bucket locked. */
static int64_t wake_locked(struct futex_bucket *b, const struct futex_key *key, int64_t n,
			   uint32_t bitset)
{
	int64_t woken = 0;

	list_for_each_safe(w, &b->waiters, struct futex_waiter, node) {
		if (woken >= n)
			break;
		if (!futex_key_same(&w->key, key))
			continue;
		if (w->pi || w->wants_pi)
			return -EINVAL;
		if (!(w->bitset & bitset))
			continue;
		futex_wake_waiter(w);
		woken++;
	}
	return woken;
}

static int64_t futex_wake(struct task *t, struct gptr addr, int n, uint32_t bitset, bool shared)
{
	struct futex_bucket *b;
	struct futex_key key;
	int64_t r;

	if (!bitset)
		return -EINVAL;
	r = futex_key_get(t, addr, shared, &key);
	if (r)
		return r;
	b = futex_bucket_of(&key);
	mutex_lock(&b->mu);
	r = wake_locked(b, &key, n < 1 ? 1 : n, bitset);
	mutex_unlock(&b->mu);
	futex_key_put(&key);
	return r;
}

int futex_wake_addr(struct task *t, struct gptr addr, int n)
{
	return (int)futex_wake(t, addr, n, FUTEX_ANY, true);
}

/* ---- requeue ------------------------------------------------------------------------------------- */

static int64_t requeue_locked(struct futex_bucket *from, const struct futex_key *k1,
			      struct futex_bucket *to, const struct futex_key *k2, int nr_wake,
			      int nr_requeue)
{
	int64_t woken = 0, moved = 0;

	list_for_each_safe(w, &from->waiters, struct futex_waiter, node) {
		if (woken >= nr_wake && moved >= nr_requeue)
			break;
		if (!futex_key_same(&w->key, k1))
			continue;
		if (w->pi || w->wants_pi)
			return -EINVAL;
		if (woken < nr_wake) {
			futex_wake_waiter(w);
			woken++;
			continue;
		}
		if (futex_key_same(k1, k2)) {
			moved++;
			continue;
		}
		/* The file of k2 is kept by the mapping that the requeuer used. */
		list_del_init(&w->node);
		w->key = *k2;
		w->key.file = NULL;
		futex_enqueue(to, w);
		moved++;
	}
	return woken + moved;
}

static int64_t futex_requeue(struct task *t, struct gptr addr, bool shared, int nr_wake,
			     int nr_requeue, struct gptr addr2, const uint32_t *expect)
{
	struct futex_key k1, k2;
	struct futex_bucket *b1, *b2;
	uint32_t now;
	int64_t r;

	if (nr_wake < 0 || nr_requeue < 0)
		return -EINVAL;
	r = futex_key_get(t, addr, shared, &k1);
	if (r)
		return r;
	r = futex_key_get(t, addr2, shared, &k2);
	if (r) {
		futex_key_put(&k1);
		return r;
	}
	b1 = futex_bucket_of(&k1);
	b2 = futex_bucket_of(&k2);
	do {
		futex_lock_two(b1, b2);
		r = expect ? futex_peek(t, addr, &now) : 0;
		if (!r)
			r = expect && now != *expect
				    ? -EAGAIN
				    : requeue_locked(b1, &k1, b2, &k2, nr_wake, nr_requeue);
		futex_unlock_two(b1, b2);
	} while (r == -EFAULT && futex_fault_in(t, addr, false) == 0);
	futex_key_put(&k1);
	futex_key_put(&k2);
	return r;
}

/* ---- wake-op ------------------------------------------------------------------------------------- */

/* Attempts to change a word under the locks. */
#define OP_TRIES 64

static int sign_extend12(uint32_t v)
{
	return (int)(v << 20) >> 20;
}

static int op_apply(uint32_t op, uint32_t old, uint32_t arg, uint32_t *new)
{
	switch (op) {
	case FUTEX_OP_SET:
		*new = arg;
		return 0;
	case FUTEX_OP_ADD:
		*new = old + arg;
		return 0;
	case FUTEX_OP_OR:
		*new = old | arg;
		return 0;
	case FUTEX_OP_ANDN:
		*new = old & ~arg;
		return 0;
	case FUTEX_OP_XOR:
		*new = old ^ arg;
		return 0;
	}
	return -ENOSYS;
}

static int op_compare(uint32_t cmp, int old, int arg)
{
	switch (cmp) {
	case FUTEX_OP_CMP_EQ:
		return old == arg;
	case FUTEX_OP_CMP_NE:
		return old != arg;
	case FUTEX_OP_CMP_LT:
		return old < arg;
	case FUTEX_OP_CMP_GE:
		return old >= arg;
	case FUTEX_OP_CMP_LE:
		return old <= arg;
	case FUTEX_OP_CMP_GT:
		return old > arg;
	}
	return -ENOSYS;
}

/* Changes the word as `encoded` says; whether the second wake is due. -EAGAIN: others change it faster than we do. Buckets
 * locked. */
static int op_run(struct task *t, struct gptr addr, uint32_t encoded)
{
	uint32_t op = encoded >> 28 & 7, cmp = encoded >> 24 & 15, old, new, seen = 0;
	int oparg = sign_extend12(encoded >> 12 & 0xfff), cmparg = sign_extend12(encoded & 0xfff);
	int err;

	if (encoded >> 28 & FUTEX_OP_OPARG_SHIFT)
		oparg = (int)(1u << (oparg & 31));
	err = futex_peek(t, addr, &old);
	for (int tries = 0; !err; tries++) {
		if (tries == OP_TRIES)
			return -EAGAIN;
		err = op_apply(op, old, (uint32_t)oparg, &new);
		if (!err)
			err = kernel->pf_ops->cmpxchg32(t->pt, addr, old, new, &seen);
		if (!err && seen == old)
			return op_compare(cmp, (int)old, cmparg);
		old = seen;
	}
	return err;
}

static int64_t futex_wake_op(struct task *t, struct gptr addr, bool shared, int nr_wake,
			     int nr_wake2, struct gptr addr2, uint32_t encoded)
{
	struct futex_key k1, k2;
	struct futex_bucket *b1, *b2;
	int64_t r;

	r = futex_key_get(t, addr, shared, &k1);
	if (r)
		return r;
	r = futex_key_get(t, addr2, shared, &k2);
	if (r) {
		futex_key_put(&k1);
		return r;
	}
	b1 = futex_bucket_of(&k1);
	b2 = futex_bucket_of(&k2);
	do {
		int64_t second;

		futex_lock_two(b1, b2);
		second = op_run(t, addr2, encoded);
		r = second;
		if (second >= 0)
			r = wake_locked(b1, &k1, nr_wake < 1 ? 1 : nr_wake, FUTEX_ANY);
		if (second > 0 && r >= 0) {
			second = wake_locked(b2, &k2, nr_wake2 < 1 ? 1 : nr_wake2, FUTEX_ANY);
			r = second < 0 ? second : r + second;
		}
		futex_unlock_two(b1, b2);
	} while ((r == -EAGAIN && !signal_pending(t)) ||
		 (r == -EFAULT && futex_fault_in(t, addr2, true) == 0));
	futex_key_put(&k1);
	futex_key_put(&k2);
	return r == -EAGAIN ? -ERESTARTNOINTR : r;
}

/* ---- the call -------------------------------------------------------------------------------------- */

/* The deadline of a waiting command; its timeout is relative for FUTEX_WAIT alone. */
static int wait_deadline(struct task *t, int cmd, bool realtime, struct gptr timeout,
			 uint64_t *deadline)
{
	uint64_t ns;
	int err;

	*deadline = DEADLINE_NEVER;
	if (gptr_null(timeout))
		return 0;
	err = get_guest_timespec(t, timeout, &ns);
	if (err)
		return err;
	if (cmd == FUTEX_WAIT)
		*deadline = deadline_after(ns);
	else
		*deadline = clock_deadline(realtime || cmd == FUTEX_LOCK_PI ? CLOCK_REALTIME
									     : CLOCK_MONOTONIC,
					   ns);
	return 0;
}

static bool takes_realtime(int cmd)
{
	return cmd == FUTEX_WAIT_BITSET || cmd == FUTEX_WAIT_REQUEUE_PI || cmd == FUTEX_LOCK_PI2;
}

static bool takes_timeout(int cmd)
{
	return takes_realtime(cmd) || cmd == FUTEX_WAIT || cmd == FUTEX_LOCK_PI;
}

int64_t sys_futex(struct task *t, struct gptr uaddr, int op, unsigned int val, struct gptr timeout,
		  struct gptr uaddr2, unsigned int val3)
{
	bool shared = !(op & FUTEX_OPT_PRIVATE), realtime = op & FUTEX_OPT_REALTIME;
	int cmd = op & ~(FUTEX_OPT_PRIVATE | FUTEX_OPT_REALTIME);
	uint64_t deadline = DEADLINE_NEVER;
	int val2 = (int)timeout.v, err;

	if (realtime && !takes_realtime(cmd))
		return -ENOSYS;
	if (takes_timeout(cmd)) {
		err = wait_deadline(t, cmd, realtime, timeout, &deadline);
		if (err)
			return err;
	}
	switch (cmd) {
	case FUTEX_WAIT:
		return futex_wait(t, uaddr, val, FUTEX_ANY, shared, deadline);
	case FUTEX_WAIT_BITSET:
		return futex_wait(t, uaddr, val, val3, shared, deadline);
	case FUTEX_WAKE:
		return futex_wake(t, uaddr, (int)val, FUTEX_ANY, shared);
	case FUTEX_WAKE_BITSET:
		return futex_wake(t, uaddr, (int)val, val3, shared);
	case FUTEX_REQUEUE:
		return futex_requeue(t, uaddr, shared, (int)val, val2, uaddr2, NULL);
	case FUTEX_CMP_REQUEUE:
		return futex_requeue(t, uaddr, shared, (int)val, val2, uaddr2, &val3);
	case FUTEX_WAKE_OP:
		return futex_wake_op(t, uaddr, shared, (int)val, val2, uaddr2, val3);
	case FUTEX_LOCK_PI:
	case FUTEX_LOCK_PI2:
		return futex_lock_pi(t, uaddr, shared, deadline, false);
	case FUTEX_TRYLOCK_PI:
		return futex_lock_pi(t, uaddr, shared, DEADLINE_NEVER, true);
	case FUTEX_UNLOCK_PI:
		return futex_unlock_pi(t, uaddr, shared);
	case FUTEX_WAIT_REQUEUE_PI:
		return futex_wait_requeue_pi(t, uaddr, val, FUTEX_ANY, shared, deadline, uaddr2);
	case FUTEX_CMP_REQUEUE_PI:
		return futex_cmp_requeue_pi(t, uaddr, shared, val, (uint32_t)val2, uaddr2, val3);
	}
	return -ENOSYS;
}

/* ---- futex_waitv(2) --------------------------------------------------------------------------------- */

#define WAITV_MAX 128
#define WAITV_SIZE_U32 2
#define WAITV_PRIVATE 128

struct guest_waitv {
	uint64_t val, uaddr;
	uint32_t flags, reserved;
};

struct waitv {
	struct guest_waitv v[WAITV_MAX];
	struct futex_key key[WAITV_MAX]; /* as they were: a requeue changes the waiter's */
	struct futex_waiter w[WAITV_MAX];
	unsigned n; /* of key and w: initialised */
};

static int waitv_read(struct task *t, struct waitv *s, struct gptr waiters, unsigned n)
{
	int err = copy_from_guest(t, s->v, waiters, n * sizeof(s->v[0]));

	if (err)
		return err;
	for (unsigned i = 0; i < n; i++)
		if (s->v[i].flags & ~(uint32_t)(WAITV_PRIVATE | WAITV_SIZE_U32) || s->v[i].reserved ||
		    (s->v[i].flags & 3) != WAITV_SIZE_U32)
			return -EINVAL;
	for (; s->n < n; s->n++) {
		struct guest_waitv *v = &s->v[s->n];
		struct futex_key *key = &s->key[s->n];

		err = futex_key_get(t, gptr(v->uaddr), !(v->flags & WAITV_PRIVATE), key);
		if (err)
			return err;
		futex_waiter_init(&s->w[s->n], t, key, FUTEX_ANY);
	}
	return 0;
}

/* The index of one that was woken, or -1. All have left. */
static int waitv_leave(struct waitv *s)
{
	int woken = -1;

	for (unsigned i = 0; i < s->n; i++)
		if (futex_leave(&s->w[i]))
			woken = (int)i;
	return woken;
}

static bool waitv_any(struct waitv *s)
{
	for (unsigned i = 0; i < s->n; i++)
		if (atomic_load(&s->w[i].woken))
			return true;
	return false;
}

static int64_t waitv_wait(struct task *t, struct waitv *s, uint64_t deadline)
{
	uint32_t seq = task_wake_prepare(t);
	int err = 0, woken;

	for (unsigned i = 0; !err && i < s->n; i++)
		err = enqueue_if(&s->w[i], gptr(s->v[i].uaddr), (uint32_t)s->v[i].val);
	while (!err && !waitv_any(s)) {
		err = task_block(t, seq, deadline);
		seq = task_wake_prepare(t);
	}
	woken = waitv_leave(s);
	if (woken >= 0)
		return woken;
	return err == -EINTR ? -ERESTARTSYS : err;
}

int64_t sys_futex_waitv(struct task *t, struct gptr waiters, unsigned int nr_futexes,
			unsigned int flags, struct gptr timeout, int clock)
{
	AUTO(free) struct waitv *s = NULL;
	uint64_t deadline = DEADLINE_NEVER, ns;
	int64_t r;

	if (flags || nr_futexes == 0 || nr_futexes > WAITV_MAX || gptr_null(waiters))
		return -EINVAL;
	if (!gptr_null(timeout)) {
		if (clock != CLOCK_MONOTONIC && clock != CLOCK_REALTIME)
			return -EINVAL;
		r = get_guest_timespec(t, timeout, &ns);
		if (r)
			return r;
		deadline = clock_deadline(clock, ns);
	}
	s = calloc(1, sizeof(*s));
	if (!s)
		return -ENOMEM;
	r = waitv_read(t, s, waiters, nr_futexes);
	if (!r)
		r = waitv_wait(t, s, deadline);
	for (unsigned i = 0; i < s->n; i++)
		futex_key_put(&s->key[i]);
	return r;
}
