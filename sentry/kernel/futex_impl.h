/* What the files of futexes share: keys, buckets, waiters.
 *
 * A futex is known by its key: (address space, address) for private memory, (file, offset) for
 * shared. Waiters hang in the bucket of their key, in order of arrival. The guest's word is read
 * and compared, or changed by a compare-and-exchange that the stub runs, with the bucket locked:
 * so a waker, who changes the word first and locks then, can't be missed.
 *
 * A waiter leaves through its bucket's lock even when it was woken, so whoever wakes it may
 * use it until that lock is dropped. */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "abi/base/gptr.h"
#include "abi/base/list.h"
#include "abi/base/lock.h"

struct file;
struct task;

#define FUTEX_TID 0x3fffffffu
#define FUTEX_DIED 0x40000000u
#define FUTEX_HAS_WAITERS 0x80000000u
#define FUTEX_ANY 0xffffffffu
/* What the command word may carry beside the command. */
#define FUTEX_OPT_PRIVATE 128
#define FUTEX_OPT_REALTIME 256

struct futex_key {
	const void *object; /* struct mm, struct inode or struct file */
	uint64_t at;	    /* address, or offset in the file */
	struct file *file;  /* referenced; NULL for private ones */
};

struct futex_bucket {
	struct mutex mu;
	struct list waiters;
};

struct futex_waiter {
	struct list node;
	struct futex_key key;
	_Atomic(struct futex_bucket *) bucket; /* changes under both buckets' locks */
	struct task *t;
	uint32_t bitset;
	_Atomic bool woken;
	bool pi;	       /* waits for a lock, which the waker hands over */
	bool retry;	       /* woken only to look again: the owner died */
	_Atomic uint32_t owner; /* pi: thread id of who holds it */
	bool wants_pi;	       /* FUTEX_WAIT_REQUEUE_PI: to be moved to target */
	struct futex_key target;
};

int futex_key_get(struct task *t, struct gptr addr, bool shared, struct futex_key *key);
void futex_key_put(struct futex_key *key);
static inline bool futex_key_same(const struct futex_key *a, const struct futex_key *b)
{
	return a->object == b->object && a->at == b->at;
}
struct futex_bucket *futex_bucket_of(const struct futex_key *key);
/* Both, in a fixed order; they may be the same. */
void futex_lock_two(struct futex_bucket *a, struct futex_bucket *b);
void futex_unlock_two(struct futex_bucket *a, struct futex_bucket *b);
/* Every bucket, for a look at all waiters: calls fn with it locked. */
void futex_each_bucket(void (*fn)(struct futex_bucket *b, void *ctx), void *ctx);

/* Reads the word with a bucket locked: no repair of faults, which the caller does unlocked. */
int futex_peek(struct task *t, struct gptr addr, uint32_t *value);
/* Makes the word readable (or writable) if it can be. -EFAULT. */
int futex_fault_in(struct task *t, struct gptr addr, bool write);

void futex_waiter_init(struct futex_waiter *w, struct task *t, const struct futex_key *key,
		       uint32_t bitset);
void futex_enqueue(struct futex_bucket *b, struct futex_waiter *w);
/* Bucket locked. */
void futex_wake_waiter(struct futex_waiter *w);
/* Off the queue. True: it had been woken. Always call it before w goes away. */
bool futex_leave(struct futex_waiter *w);
/* Sleeps until woken. 0, -EINTR, -ETIMEDOUT; the waiter has left. */
int futex_sleep(struct futex_waiter *w, uint32_t seq, uint64_t deadline);

/* futex_pi.c */
int64_t futex_lock_pi(struct task *t, struct gptr addr, bool shared, uint64_t deadline, bool try);
int64_t futex_unlock_pi(struct task *t, struct gptr addr, bool shared);
int64_t futex_wait_requeue_pi(struct task *t, struct gptr addr, uint32_t val, uint32_t bitset,
			      bool shared, uint64_t deadline, struct gptr addr2);
int64_t futex_cmp_requeue_pi(struct task *t, struct gptr addr, bool shared, uint32_t nr_wake,
			     uint32_t nr_requeue, struct gptr addr2, uint32_t expect);
/* The dead owner's lock goes to who waits first. Bucket not locked. */
void futex_pi_owner_died(struct task *t, struct gptr addr);
/* Those who wait for a lock of thread tid look again. */
void futex_pi_release_waiters(uint32_t tid);
