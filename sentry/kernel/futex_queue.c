/* Futex keys, buckets and queues; the theory is in futex_impl.h. */
#include <errno.h>
#include <pthread.h>
#include <sys/mman.h>

#include "abi/base/htable.h"
#include "sentry/kernel/futex_impl.h"
#include "sentry/kernel/kernel.h"
#include "sentry/kernel/task.h"
#include "sentry/mm/mm.h"
#include "sentry/mm/mm_impl.h"
#include "sentry/mm/usercopy.h"
#include "vfs/file.h"

#define BUCKETS 1024u

static struct futex_bucket buckets[BUCKETS];

static void buckets_init(void)
{
	for (unsigned i = 0; i < BUCKETS; i++) {
		mutex_init(&buckets[i].mu, LOCK_FUTEX);
		list_init(&buckets[i].waiters);
	}
}

struct futex_bucket *futex_bucket_of(const struct futex_key *key)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	uint64_t h = (uint64_t)(uintptr_t)key->object / 16 * 0x9e3779b97f4a7c15ULL ^ key->at / 4;

	pthread_once(&once, buckets_init);
	h *= 0xbf58476d1ce4e5b9ULL;
	return &buckets[(h >> 32) % BUCKETS];
}

void futex_lock_two(struct futex_bucket *a, struct futex_bucket *b)
{
	mutex_lock(a < b ? &a->mu : &b->mu);
	if (a != b)
		mutex_lock_nested(a < b ? &b->mu : &a->mu); /* by address */
}

void futex_unlock_two(struct futex_bucket *a, struct futex_bucket *b)
{
	mutex_unlock(&a->mu);
	if (a != b)
		mutex_unlock(&b->mu);
}

void futex_each_bucket(void (*fn)(struct futex_bucket *b, void *ctx), void *ctx)
{
	struct futex_key none = {0};

	futex_bucket_of(&none); /* they exist */
	for (unsigned i = 0; i < BUCKETS; i++) {
		AUTO_LOCK(&buckets[i].mu);
		fn(&buckets[i], ctx);
	}
}

/* ---- keys -------------------------------------------------------------------------------------- */

static int shared_key(struct task *t, uint64_t addr, struct futex_key *key)
{
	struct vma v;

	if (!mm_lookup(t->mm, addr, &v))
		return -EFAULT;
	if (!v.file || !(v.flags & MAP_SHARED)) {
		vma_copy_release(&v);
		*key = (struct futex_key){.object = t->mm, .at = addr};
		return 0;
	}
	*key = (struct futex_key){
		.object = shm_is_file(v.file) ? (const void *)v.file : (const void *)v.file->inode,
		.at = v.offset + (addr - v.start),
		.file = v.file,
	};
	return 0;
}

int futex_key_get(struct task *t, struct gptr addr, bool shared, struct futex_key *key)
{
	if (addr.v & 3)
		return -EINVAL;
	if (addr.v >= PF_GUEST_MAX)
		return -EFAULT;
	if (shared)
		return shared_key(t, addr.v, key);
	*key = (struct futex_key){.object = t->mm, .at = addr.v};
	return 0;
}

void futex_key_put(struct futex_key *key)
{
	if (key->file)
		file_put(key->file);
	key->file = NULL;
}

/* ---- the word ----------------------------------------------------------------------------------- */

int futex_peek(struct task *t, struct gptr addr, uint32_t *value)
{
	return kernel->pf_ops->read(t->mm->space, value, addr, 4) == 4 ? 0 : -EFAULT;
}

int futex_fault_in(struct task *t, struct gptr addr, bool write)
{
	uint32_t v;
	int err = get_guest_u32(t, &v, addr);

	if (!err && write && mm_fault_in(t->mm, t, addr.v, true))
		err = -EFAULT;
	return err;
}

/* ---- waiting ------------------------------------------------------------------------------------ */

void futex_waiter_init(struct futex_waiter *w, struct task *t, const struct futex_key *key,
		       uint32_t bitset)
{
	*w = (struct futex_waiter){.key = *key, .t = t, .bitset = bitset};
	list_init(&w->node);
}

void futex_enqueue(struct futex_bucket *b, struct futex_waiter *w)
{
	atomic_store(&w->bucket, b);
	list_push_back(&b->waiters, &w->node);
}

void futex_wake_waiter(struct futex_waiter *w)
{
	list_del_init(&w->node);
	atomic_store(&w->woken, true);
	task_wake(w->t);
}

bool futex_leave(struct futex_waiter *w)
{
	for (;;) {
		struct futex_bucket *b = atomic_load(&w->bucket);

		if (!b)
			return false;
		AUTO_LOCK(&b->mu);
		if (b != atomic_load(&w->bucket))
			continue; /* requeued meanwhile */
		list_del_init(&w->node);
		return atomic_load(&w->woken);
	}
}

int futex_sleep(struct futex_waiter *w, uint32_t seq, uint64_t deadline)
{
	int err = 0;

	while (!atomic_load(&w->woken)) {
		err = task_block(w->t, seq, deadline);
		if (err)
			break;
		seq = task_wake_prepare(w->t);
	}
	return futex_leave(w) ? 0 : err;
}
