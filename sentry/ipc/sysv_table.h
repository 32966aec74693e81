/* A table of System V objects: identifiers, keys. Semaphore sets and message queues have one each,
 * guarded by its lock, which also guards the objects. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "abi/base/lock.h"
#include "sentry/ipc/sysv.h"
#include "vfs/waitq.h"

#define SYSV_TABLE_MAX 4096

/* The head of each object. */
struct sysv_object {
	int id;
	bool removed;
	int users;		/* calls that sleep on it; the last one frees a removed object */
	struct waitq wq;	/* woken at every change */
	struct linux_ipc_perm *perm;
};

struct sysv_table {
	struct mutex mu;
	struct sysv_object *slot[SYSV_TABLE_MAX];
	uint16_t seq[SYSV_TABLE_MAX];
	int used, highest; /* highest: the largest index in use, or -1 */
	void (*destroy)(struct sysv_object *o);
};

#define SYSV_TABLE_INIT(destroy_) {.mu = MUTEX_INIT(LOCK_SYSV), .highest = -1, .destroy = (destroy_)}

/* All with the table's lock. */

/* Gives o an identifier; -ENOSPC. */
int sysv_table_add(struct sysv_table *tbl, struct sysv_object *o);
/* -EINVAL: no such identifier; -EIDRM: its slot has another object by now. */
int sysv_table_find(struct sysv_table *tbl, int id, struct sysv_object **out);
/* By index, for the *_STAT commands; NULL. */
struct sysv_object *sysv_table_index(struct sysv_table *tbl, int index);
struct sysv_object *sysv_table_by_key(struct sysv_table *tbl, int key);
/* Out of the table, its sleepers are woken; destroyed now or by the last of them. */
void sysv_table_remove(struct sysv_table *tbl, struct sysv_object *o);

/* Sleeps until o changes: 0; -EIDRM: removed; -EINTR, -ETIMEDOUT. The lock is dropped meanwhile. The
 * condition was tested after `seq` was taken. */
struct task;
int sysv_sleep(struct sysv_table *tbl, struct sysv_object *o, struct task *t, uint32_t seq,
	       uint64_t deadline_ns);
