/* A big-reader lock: SHARDS mutexes, each on a cache line of its own. A thread keeps to one shard,
 * given out round robin, so readers on different CPUs share no cache line; a writer takes all
 * in order. Readers pay one uncontended mutex, writers SHARDS of them, about 100 ns. */
#include "vfs/tree_lock.h"

#include <stdatomic.h>

#include "abi/base/lock.h"

enum { SHARDS = 8 };

struct shard {
	_Alignas(64) struct mutex mu;
	uint64_t hits; /* under mu */
};

static struct shard shards[SHARDS];
static _Thread_local struct shard *my_shard;

void tree_lock_init(void)
{
	for (int i = 0; i < SHARDS; i++)
		mutex_init(&shards[i].mu, LOCK_DCACHE);
}

static struct shard *shard_pick(void)
{
	static atomic_uint next;

	my_shard = &shards[atomic_fetch_add(&next, 1) % SHARDS];
	return my_shard;
}

void tree_rdlock(void)
{
	mutex_lock(my_shard ? &my_shard->mu : &shard_pick()->mu);
}

void tree_rdunlock(void)
{
	mutex_unlock(&my_shard->mu);
}

void tree_wrlock(void)
{
	mutex_lock(&shards[0].mu);
	for (int i = 1; i < SHARDS; i++)
		mutex_lock_nested(&shards[i].mu); /* always in this order */
}

void tree_wrunlock(void)
{
	for (int i = SHARDS - 1; i >= 0; i--)
		mutex_unlock(&shards[i].mu);
}

void tree_count_hits(unsigned n)
{
	my_shard->hits += n;
}

uint64_t tree_hits(void)
{
	uint64_t sum = 0;

	for (int i = 0; i < SHARDS; i++) {
		AUTO_LOCK(&shards[i].mu);
		sum += shards[i].hits;
	}
	return sum;
}
