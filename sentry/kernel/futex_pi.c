/* Futexes that are locks: the word holds the owner's thread id, and the kernel hands it over. The
 * longest waiter is next; priorities are not inherited, for the host schedules.
 *
 * Every waiter knows the owner, as of the last change of hands. An owner that exits wakes those whom its robust
 * list doesn't name: whoever comes first takes the lock, marked with FUTEX_DIED. A waiter that queues after
 * that finds the owner dead: exit marks the task first and looks for waiters then, a waiter is to be seen first
 * and looks at the owner then. */
#include <errno.h>

#include "sentry/kernel/futex_impl.h"
#include "sentry/kernel/kernel.h"
#include "sentry/kernel/restart.h"
#include "sentry/kernel/signal.h"
#include "sentry/kernel/task.h"
#include "sentry/mm/usercopy.h"

/* Waiters for locks, everywhere: who exits looks for them only if there are any. */
static _Atomic int pi_waiters;

static int word_exchange(struct task *t, struct gptr addr, uint32_t expect, uint32_t desired)
{
	uint32_t seen;
	int err = kernel->pf_ops->cmpxchg32(t->pt, addr, expect, desired, &seen);

	if (err)
		return err;
	return seen == expect ? 0 : -EAGAIN;
}

/* The waiter who is next for the lock `key`; *more: whether others follow. Bucket locked. */
static struct futex_waiter *next_waiter(struct futex_bucket *b, const struct futex_key *key,
					bool *more)
{
	struct futex_waiter *first = NULL;

	*more = false;
	list_for_each(w, &b->waiters, struct futex_waiter, node) {
		if (!w->pi || !futex_key_same(&w->key, key))
			continue;
		if (first) {
			*more = true;
			break;
		}
		first = w;
	}
	return first;
}

/* Who waits for the lock waits for a new owner. Bucket locked. */
static void owner_changed(struct futex_bucket *b, const struct futex_key *key, uint32_t tid)
{
	list_for_each(w, &b->waiters, struct futex_waiter, node)
		if (w->pi && futex_key_same(&w->key, key))
			w->owner = tid;
}

/* Writes the next owner into the word and wakes it; or clears the word. Bucket locked. bits: what else the word
 * shall say. -EAGAIN: the word has changed meanwhile. */
static int hand_over(struct task *t, struct futex_bucket *b, const struct futex_key *key,
		     struct gptr addr, uint32_t word, uint32_t bits)
{
	bool more;
	struct futex_waiter *w = next_waiter(b, key, &more);
	uint32_t new = bits;
	int err;

	if (w)
		new |= (uint32_t)w->t->tid | (more ? FUTEX_HAS_WAITERS : 0);
	err = word_exchange(t, addr, word, new);
	if (!err && w) {
		futex_wake_waiter(w);
		if (more)
			owner_changed(b, key, (uint32_t)w->t->tid);
	}
	return err;
}

/* ---- lock --------------------------------------------------------------------------------------- */

static bool task_lives(uint32_t tid)
{
	AUTO(task) struct task *other = task_lookup((int)tid);

	return other && !atomic_load(&other->futexes_left);
}

/* One attempt. 0: locked; 1: queued; -EAGAIN: look again; else the answer. gone: this owner is known to be dead. */
static int lock_attempt(struct futex_waiter *w, struct gptr addr, uint32_t gone, bool try)
{
	struct task *t = w->t;
	struct futex_bucket *b = futex_bucket_of(&w->key);
	uint32_t word, owner;
	bool more;
	int err;

	AUTO_LOCK(&b->mu);
	err = futex_peek(t, addr, &word);
	if (err)
		return err;
	owner = word & FUTEX_TID;
	if (owner == (uint32_t)t->tid)
		return -EDEADLK;
	if (!owner || (gone && owner == gone)) {
		uint32_t keep = (word & FUTEX_DIED) | (owner ? FUTEX_DIED : 0);

		if (next_waiter(b, &w->key, &more))
			keep |= FUTEX_HAS_WAITERS;
		err = word_exchange(t, addr, word, (uint32_t)t->tid | keep);
		if (!err && keep & FUTEX_HAS_WAITERS)
			owner_changed(b, &w->key, (uint32_t)t->tid);
		return err;
	}
	if (try)
		return -EWOULDBLOCK;
	if (!(word & FUTEX_HAS_WAITERS)) {
		err = word_exchange(t, addr, word, word | FUTEX_HAS_WAITERS);
		if (err)
			return err;
	}
	w->owner = owner;
	futex_enqueue(b, w);
	return 1;
}

static int lock_wait(struct futex_waiter *w, uint32_t seq, uint64_t deadline)
{
	int err;

	atomic_fetch_add(&pi_waiters, 1);
	/* The owner may have died before we were to be seen. */
	err = task_lives(w->owner) ? futex_sleep(w, seq, deadline) : (futex_leave(w), 0);
	atomic_fetch_sub(&pi_waiters, 1);
	return err;
}

static int64_t lock_loop(struct task *t, struct gptr addr, const struct futex_key *key,
			 uint64_t deadline, bool try)
{
	uint32_t gone = 0;

	for (;;) {
		struct futex_waiter w;
		uint32_t seq;
		int r;

		futex_waiter_init(&w, t, key, FUTEX_ANY);
		w.pi = true;
		seq = task_wake_prepare(t);
		r = lock_attempt(&w, addr, gone, try);
		if (r == -EAGAIN && !try && signal_pending(t))
			return -ERESTARTNOINTR;
		if (r == -EAGAIN && !try)
			continue;
		if (r == -EFAULT && futex_fault_in(t, addr, true) == 0)
			continue;
		if (r <= 0)
			return r;
		r = lock_wait(&w, seq, deadline);
		if (r)
			return r == -EINTR ? -ERESTARTNOINTR : r;
		if (atomic_load(&w.woken) && !w.retry)
			return 0;
		if (w.retry || !task_lives(w.owner))
			gone = w.owner;
	}
}

/* An owner that never was, or went without a trace, is the guest's mistake. One that is just exiting changes
 * the word before it is gone. */
static bool owner_missing(struct task *t, struct gptr addr)
{
	uint32_t word, again;

	if (get_guest_u32(t, &word, addr) || !(word & FUTEX_TID) || word & FUTEX_DIED)
		return false;
	return !task_lives(word & FUTEX_TID) && get_guest_u32(t, &again, addr) == 0 &&
	       (again & FUTEX_TID) == (word & FUTEX_TID);
}

int64_t futex_lock_pi(struct task *t, struct gptr addr, bool shared, uint64_t deadline, bool try)
{
	struct futex_key key;
	int64_t r = futex_key_get(t, addr, shared, &key);

	if (r)
		return r;
	if (owner_missing(t, addr))
		r = -ESRCH;
	else
		r = lock_loop(t, addr, &key, deadline, try);
	futex_key_put(&key);
	return r;
}

/* ---- unlock ------------------------------------------------------------------------------------- */

static int unlock_attempt(struct task *t, struct gptr addr, const struct futex_key *key)
{
	struct futex_bucket *b = futex_bucket_of(key);
	uint32_t word;
	int err;

	AUTO_LOCK(&b->mu);
	err = futex_peek(t, addr, &word);
	if (err)
		return err;
	if ((word & FUTEX_TID) != (uint32_t)t->tid)
		return -EPERM;
	return hand_over(t, b, key, addr, word, 0);
}

int64_t futex_unlock_pi(struct task *t, struct gptr addr, bool shared)
{
	struct futex_key key;
	int r = futex_key_get(t, addr, shared, &key);

	if (r)
		return r;
	do
		r = unlock_attempt(t, addr, &key);
	while ((r == -EAGAIN && !signal_pending(t)) ||
	       (r == -EFAULT && futex_fault_in(t, addr, true) == 0));
	futex_key_put(&key);
	return r == -EAGAIN ? -ERESTARTNOINTR : r;
}

/* ---- condition variables with such locks --------------------------------------------------------- */

int64_t futex_wait_requeue_pi(struct task *t, struct gptr addr, uint32_t val, uint32_t bitset,
			      bool shared, uint64_t deadline, struct gptr addr2)
{
	struct futex_bucket *b;
	struct futex_waiter w;
	struct futex_key k1, k2;
	uint32_t seq, now;
	int err;

	if (addr.v == addr2.v || !bitset)
		return -EINVAL;
	err = futex_key_get(t, addr, shared, &k1);
	if (err)
		return err;
	err = futex_key_get(t, addr2, shared, &k2);
	if (err) {
		futex_key_put(&k1);
		return err;
	}
	futex_waiter_init(&w, t, &k1, bitset);
	w.wants_pi = true;
	w.target = k2;
	b = futex_bucket_of(&k1);
	do {
		seq = task_wake_prepare(t);
		mutex_lock(&b->mu);
		err = futex_peek(t, addr, &now);
		if (!err && now != val)
			err = -EAGAIN;
		if (!err)
			futex_enqueue(b, &w);
		mutex_unlock(&b->mu);
	} while (err == -EFAULT && futex_fault_in(t, addr, false) == 0);
	if (!err) {
		atomic_fetch_add(&pi_waiters, 1);
		err = futex_sleep(&w, seq, deadline);
		atomic_fetch_sub(&pi_waiters, 1);
		if (!err && w.retry) /* the lock's owner died: it is for the taking */
			err = (int)lock_loop(t, addr2, &k2, deadline, false);
		else if (err == -EINTR)
			err = w.pi ? -EAGAIN : -ERESTARTNOINTR;
	}
	futex_key_put(&k1);
	futex_key_put(&k2);
	return err;
}

/* Gives the lock at addr2 to w if it is free: 0 and w is woken; 1: it is taken, and says that it has
 * waiters. Buckets locked. */
static int requeue_try_lock(struct task *t, struct futex_waiter *w, struct gptr addr2,
			    uint32_t *owner)
{
	uint32_t word;
	int err = futex_peek(t, addr2, &word);

	if (err)
		return err;
	*owner = word & FUTEX_TID;
	if (!*owner) {
		err = word_exchange(t, addr2, word, (uint32_t)w->t->tid | (word & FUTEX_DIED));
		if (!err)
			futex_wake_waiter(w);
		return err;
	}
	if (!(word & FUTEX_HAS_WAITERS))
		err = word_exchange(t, addr2, word, word | FUTEX_HAS_WAITERS);
	return err ? err : 1;
}

/* *owner: who holds the lock, if somebody waits for it now. */
static int64_t requeue_pi_locked(struct task *t, struct futex_bucket *b1, const struct futex_key *k1,
				 struct futex_bucket *b2, const struct futex_key *k2,
				 struct gptr addr2, int64_t limit, uint32_t *owner)
{
	int64_t n = 0;

	list_for_each_safe(w, &b1->waiters, struct futex_waiter, node) {
		int r;

		if (n >= limit)
			break;
		if (!futex_key_same(&w->key, k1))
			continue;
		if (!w->wants_pi || !futex_key_same(&w->target, k2))
			return -EINVAL;
		r = requeue_try_lock(t, w, addr2, owner);
		if (r < 0)
			return n ? n : r;
		if (r == 1) {
			list_del_init(&w->node);
			w->key = *k2;
			w->key.file = NULL;
			w->wants_pi = false;
			w->pi = true;
			w->owner = *owner;
			futex_enqueue(b2, w);
		}
		n++;
	}
	return n;
}

int64_t futex_cmp_requeue_pi(struct task *t, struct gptr addr, bool shared, uint32_t nr_wake,
			     uint32_t nr_requeue, struct gptr addr2, uint32_t expect)
{
	struct futex_key k1, k2;
	struct futex_bucket *b1, *b2;
	uint32_t now, owner = 0;
	int64_t r;

	if (nr_wake != 1 || (int)nr_requeue < 0 || addr.v == addr2.v)
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
		r = futex_peek(t, addr, &now);
		if (!r && now != expect)
			r = -EAGAIN;
		if (!r)
			r = requeue_pi_locked(t, b1, &k1, b2, &k2, addr2,
					      (int64_t)nr_wake + nr_requeue, &owner);
		futex_unlock_two(b1, b2);
	} while (r == -EFAULT && futex_fault_in(t, addr, false) == 0 &&
		 futex_fault_in(t, addr2, true) == 0);
	/* It may have looked for waiters just before. */
	if (owner && !task_lives(owner))
		futex_pi_release_waiters(owner);
	futex_key_put(&k1);
	futex_key_put(&k2);
	return r;
}

/* ---- owners that die ------------------------------------------------------------------------------ */

void futex_pi_owner_died(struct task *t, struct gptr addr)
{
	struct futex_key key;
	struct futex_bucket *b;
	int err;

	if (futex_key_get(t, addr, true, &key))
		return;
	for (int tries = 0; tries < 100; tries++) {
		uint32_t word;
		bool more;

		b = futex_bucket_of(&key);
		mutex_lock(&b->mu);
		err = futex_peek(t, addr, &word);
		if (!err && (word & FUTEX_TID) != (uint32_t)t->tid)
			err = -EPERM;
		if (!err)
			err = next_waiter(b, &key, &more)
				      ? hand_over(t, b, &key, addr, word, FUTEX_DIED)
				      : word_exchange(t, addr, word,
						      (word & FUTEX_HAS_WAITERS) | FUTEX_DIED);
		mutex_unlock(&b->mu);
		if (err != -EAGAIN)
			break;
	}
	futex_key_put(&key);
}

static void release_in_bucket(struct futex_bucket *b, void *ctx)
{
	uint32_t tid = *(uint32_t *)ctx;

	list_for_each_safe(w, &b->waiters, struct futex_waiter, node) {
		if (!w->pi || w->owner != tid)
			continue;
		w->retry = true;
		futex_wake_waiter(w);
	}
}

void futex_pi_release_waiters(uint32_t tid)
{
	if (atomic_load(&pi_waiters))
		futex_each_bucket(release_in_bucket, &tid);
}
