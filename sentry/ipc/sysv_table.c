#include "sentry/ipc/sysv_table.h"

#include <errno.h>
#include <poll.h>

#include "sentry/kernel/task.h"

int sysv_table_add(struct sysv_table *tbl, struct sysv_object *o)
{
	int i = 0;

	while (i < SYSV_TABLE_MAX && tbl->slot[i])
		i++;
	if (i == SYSV_TABLE_MAX)
		return -ENOSPC;
	o->id = (tbl->seq[i] & 0xffff) << SYSV_INDEX_BITS | i;
	o->perm->seq = tbl->seq[i];
	waitq_init(&o->wq);
	tbl->slot[i] = o;
	tbl->used++;
	if (i > tbl->highest)
		tbl->highest = i;
	return 0;
}

int sysv_table_find(struct sysv_table *tbl, int id, struct sysv_object **out)
{
	struct sysv_object *o = id >= 0 ? sysv_table_index(tbl, SYSV_INDEX(id)) : NULL;

	if (!o)
		return -EINVAL;
	if (o->id != id)
		return -EIDRM;
	*out = o;
	return 0;
}

struct sysv_object *sysv_table_index(struct sysv_table *tbl, int index)
{
	return index >= 0 && index < SYSV_TABLE_MAX ? tbl->slot[index] : NULL;
}

struct sysv_object *sysv_table_by_key(struct sysv_table *tbl, int key)
{
	for (int i = 0; i <= tbl->highest; i++)
		if (tbl->slot[i] && tbl->slot[i]->perm->key == key)
			return tbl->slot[i];
	return NULL;
}

static void object_free(struct sysv_table *tbl, struct sysv_object *o)
{
	waitq_destroy(&o->wq);
	tbl->destroy(o);
}

void sysv_table_remove(struct sysv_table *tbl, struct sysv_object *o)
{
	int i = SYSV_INDEX(o->id);

	tbl->slot[i] = NULL;
	/* 15 bits, so that identifiers stay positive. */
	tbl->seq[i] = (tbl->seq[i] + 1) & 0x7fff;
	tbl->used--;
	while (tbl->highest >= 0 && !tbl->slot[tbl->highest])
		tbl->highest--;
	o->removed = true;
	if (o->users)
		waitq_wake(&o->wq, POLLIN);
	else
		object_free(tbl, o);
}

int sysv_sleep(struct sysv_table *tbl, struct sysv_object *o, struct task *t, uint32_t seq,
	       uint64_t deadline_ns)
{
	struct task_waiter w;
	int err;

	task_waiter_init(&w, t, POLLIN);
	o->users++;
	waitq_add(&o->wq, &w.w);
	mutex_unlock(&tbl->mu);
	err = task_block(t, seq, deadline_ns);
	mutex_lock(&tbl->mu);
	waitq_remove(&w.w);
	o->users--;
	if (!o->removed)
		return err;
	if (!o->users)
		object_free(tbl, o);
	return -EIDRM;
}
