/* Mutexes and reader-writer locks with a checked order (lock_order.h).
 *
 *	struct mutex m;  mutex_init(&m, LOCK_PIPE);
 *	AUTO_LOCK(&m);				// until the scope ends
 *
 * None of them is recursive. */
#pragma once

#include <pthread.h>
#include <stdbool.h>

#include "abi/base/lock_order.h"

struct mutex {
	pthread_mutex_t m;
	enum lock_rank rank;
};

struct rwlock {
	pthread_rwlock_t l;
	enum lock_rank rank;
};

#define MUTEX_INIT(rank_) {PTHREAD_MUTEX_INITIALIZER, (rank_)}
#define RWLOCK_INIT(rank_) {PTHREAD_RWLOCK_INITIALIZER, (rank_)}

void mutex_init(struct mutex *m, enum lock_rank rank);
void mutex_destroy(struct mutex *m);
void mutex_lock(struct mutex *m);
/* Takes a second lock of the same rank; the caller has an order of its own among them. */
void mutex_lock_nested(struct mutex *m);
bool mutex_trylock(struct mutex *m);
void mutex_unlock(struct mutex *m);
/* Asserts, in debug builds, that this thread holds a lock of m's rank. */
void mutex_assert_held(struct mutex *m);

void rwlock_init(struct rwlock *l, enum lock_rank rank);
void rwlock_destroy(struct rwlock *l);
void rwlock_rdlock(struct rwlock *l);
void rwlock_wrlock(struct rwlock *l);
/* A second lock of the same rank; the caller has an order of its own (parent before child). */
void rwlock_rdlock_nested(struct rwlock *l);
void rwlock_wrlock_nested(struct rwlock *l);
/* For whoever may hold l for as long as it pleases somebody else: asks give_up() a few times a second
 * while it waits. 0, or -EINTR: it said yes. nested: as above. */
int rwlock_take_unless(struct rwlock *l, bool write, bool nested, bool (*give_up)(void));
void rwlock_unlock(struct rwlock *l);

/* A condition variable on CLOCK_MONOTONIC, for the sentry's own threads (tasks sleep on wait
 * queues instead). deadline_ns: absolute CLOCK_MONOTONIC, or UINT64_MAX; 0 or -ETIMEDOUT. */
struct cond {
	pthread_cond_t c;
};

void cond_init(struct cond *c);
void cond_destroy(struct cond *c);
int cond_wait(struct cond *c, struct mutex *m, unsigned long long deadline_ns);
void cond_signal(struct cond *c);
void cond_broadcast(struct cond *c);

static inline void auto_unlock(struct mutex **m)
{
	if (*m)
		mutex_unlock(*m);
}

static inline void auto_rwunlock(struct rwlock **l)
{
	if (*l)
		rwlock_unlock(*l);
}

#define LOCK_CAT2(a, b) a##b
#define LOCK_CAT(a, b) LOCK_CAT2(a, b)
#define AUTO_LOCK(m_)                                                                              \
	__attribute__((cleanup(auto_unlock), unused)) struct mutex *LOCK_CAT(locked_, __LINE__) =  \
		(m_);                                                                              \
	mutex_lock(LOCK_CAT(locked_, __LINE__))
#define AUTO_RDLOCK(l_)                                                                            \
	__attribute__((cleanup(auto_rwunlock), unused)) struct rwlock *LOCK_CAT(locked_,           \
										__LINE__) = (l_);   \
	rwlock_rdlock(LOCK_CAT(locked_, __LINE__))
#define AUTO_WRLOCK(l_)                                                                            \
	__attribute__((cleanup(auto_rwunlock), unused)) struct rwlock *LOCK_CAT(locked_,           \
										__LINE__) = (l_);   \
	rwlock_wrlock(LOCK_CAT(locked_, __LINE__))
