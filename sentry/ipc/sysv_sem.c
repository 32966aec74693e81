/* System V semaphores: semget(2), semop(2), semctl(2).
 *
 * A set of operations is done as a whole or not at all: it is tried on a copy of the values; if one
 * of them can't be done, the caller sleeps until the set changes and tries again.
 *
 * SEM_UNDO keeps for each process and set what its exit will add to each value. The records hang off
 * the set; semaphores_exit() looks for a process's own only if there are any at all. */
#include <errno.h>
#include <linux/capability.h>
#include <stdlib.h>
#include <string.h>

#include "abi/linux/time.h"
#include "sentry/ipc/sysv_exit.h"
#include "sentry/ipc/sysv_table.h"
#include "sentry/kernel/task.h"
#include "sentry/mm/usercopy.h"
#include "sentry/syscalls/syscalls.h"

#include <poll.h>

#define SEM_VALUE_MAX 32767
#define SEM_PER_SET_MAX 32000
#define SEM_OPS_MAX 500
#define SEM_UNDO_FLAG 010000
#define SEM_NOWAIT_FLAG 04000
/* Of all sets: the sentry keeps them in its own memory. */
#define SEM_TOTAL_MAX 256000
enum { SEM_GETPID = 11, SEM_GETVAL, SEM_GETALL, SEM_GETNCNT, SEM_GETZCNT, SEM_SETVAL, SEM_SETALL,
       SEM_CMD_STAT, SEM_CMD_INFO, SEM_CMD_STAT_ANY };

struct sem {
	int value, pid;
	unsigned ncnt, zcnt; /* who waits for it to grow; to be 0 */
};

struct sem_undo {
	struct list node;
	const struct thread_group *tg; /* a key: the record goes when the process does */
	int16_t adjust[];
};

struct sem_set {
	struct sysv_object o;
	struct linux_semid_ds ds;
	int n;
	struct list undos;
	struct sem sems[];
};

static int sem_total; /* sets.mu */

static void set_destroy(struct sysv_object *o)
{
	struct sem_set *s = container_of(o, struct sem_set, o);

	sem_total -= s->n;
	free(s);
}

static struct sysv_table sets = SYSV_TABLE_INIT(set_destroy);
static int undo_count; /* sets.mu; peeked at without */

static int set_find(int id, struct sem_set **out)
{
	struct sysv_object *o;
	int err = sysv_table_find(&sets, id, &o);

	if (err == 0)
		*out = container_of(o, struct sem_set, o);
	return err;
}

static void set_changed(struct sem_set *s)
{
	waitq_wake(&s->o.wq, POLLIN);
}

/* ---- semget --------------------------------------------------------------------------------- */

static int64_t set_new(struct task *t, int key, int nsems, unsigned flags)
{
	struct sem_set *s = NULL;
	int err;

	if (nsems == 0)
		return -EINVAL;
	if (sem_total + nsems > SEM_TOTAL_MAX)
		return -ENOSPC;
	s = calloc(1, sizeof(*s) + (size_t)nsems * sizeof(s->sems[0]));
	if (!s)
		return -ENOMEM;
	s->n = nsems;
	list_init(&s->undos);
	s->o.perm = &s->ds.sem_perm;
	sysv_perm_init(&s->ds.sem_perm, t, key, flags);
	s->ds.sem_ctime = sysv_now();
	s->ds.sem_nsems = (uint64_t)nsems;
	err = sysv_table_add(&sets, &s->o);
	if (err < 0) {
		free(s);
		return err;
	}
	sem_total += nsems;
	return s->o.id;
}

int64_t sys_semget(struct task *t, int key, int nsems, unsigned int flags)
{
	struct sysv_object *o;
	int err;

	if (nsems < 0 || nsems > SEM_PER_SET_MAX)
		return -EINVAL;
	AUTO_LOCK(&sets.mu);
	o = key == SYSV_PRIVATE ? NULL : sysv_table_by_key(&sets, key);
	if (!o) {
		if (key != SYSV_PRIVATE && !(flags & SYSV_CREAT))
			return -ENOENT;
		return set_new(t, key, nsems, flags);
	}
	if ((flags & SYSV_CREAT) && (flags & SYSV_EXCL))
		return -EEXIST;
	if (nsems > container_of(o, struct sem_set, o)->n)
		return -EINVAL;
	err = sysv_perm_check(o->perm, t, flags & 0777);
	return err < 0 ? err : o->id;
}

/* ---- undo ----------------------------------------------------------------------------------- */

static struct sem_undo *undo_find(struct sem_set *s, const struct thread_group *tg)
{
	list_for_each(u, &s->undos, struct sem_undo, node)
		if (u->tg == tg)
			return u;
	return NULL;
}

static struct sem_undo *undo_get(struct sem_set *s, const struct thread_group *tg)
{
	struct sem_undo *u = undo_find(s, tg);

	if (u)
		return u;
	u = calloc(1, sizeof(*u) + (size_t)s->n * sizeof(u->adjust[0]));
	if (!u)
		return NULL;
	u->tg = tg;
	list_init(&u->node);
	list_push_back(&s->undos, &u->node);
	undo_count++;
	return u;
}

static void undo_free(struct sem_undo *u)
{
	list_del_init(&u->node);
	free(u);
	undo_count--;
}

static void undos_clear(struct sem_set *s, int first, int n)
{
	list_for_each(u, &s->undos, struct sem_undo, node)
		memset(&u->adjust[first], 0, (size_t)n * sizeof(u->adjust[0]));
}

static void undo_apply(struct sem_set *s, const struct sem_undo *u)
{
	for (int i = 0; i < s->n; i++) {
		int v = s->sems[i].value + u->adjust[i];

		if (!u->adjust[i])
			continue;
		s->sems[i].value = v < 0 ? 0 : v > SEM_VALUE_MAX ? SEM_VALUE_MAX : v;
		s->sems[i].pid = u->tg->tgid;
	}
	s->ds.sem_otime = sysv_now();
}

bool semaphores_undo(const struct thread_group *tg)
{
	if (!__atomic_load_n(&undo_count, __ATOMIC_RELAXED))
		return false;
	AUTO_LOCK(&sets.mu);
	for (int i = 0; i <= sets.highest; i++)
		if (sets.slot[i] && undo_find(container_of(sets.slot[i], struct sem_set, o), tg))
			return true;
	return false;
}

void semaphores_exit(struct thread_group *tg)
{
	if (!__atomic_load_n(&undo_count, __ATOMIC_RELAXED))
		return;
	AUTO_LOCK(&sets.mu);
	for (int i = 0; i <= sets.highest; i++) {
		struct sem_set *s = NULL;
		struct sem_undo *u;

		if (!sets.slot[i])
			continue;
		s = container_of(sets.slot[i], struct sem_set, o);
		u = undo_find(s, tg);
		if (!u)
			continue;
		undo_apply(s, u);
		undo_free(u);
		set_changed(s);
	}
}

static void set_remove(struct sem_set *s)
{
	list_for_each_safe(u, &s->undos, struct sem_undo, node)
		undo_free(u);
	sysv_table_remove(&sets, &s->o);
}

/* ---- semop ---------------------------------------------------------------------------------- */

/* 0; -ERANGE; 1: operation *blocked can't be done yet. On anything but 0 nothing has changed. */
static int ops_try(struct sem_set *s, const struct linux_sembuf *ops, unsigned n, int pid,
		   struct sem_undo *undo, unsigned *blocked)
{
	unsigned i;
	int r = 0;

	for (i = 0; i < n; i++) {
		struct sem *sem = &s->sems[ops[i].sem_num];
		int v = sem->value + ops[i].sem_op;

		if (ops[i].sem_op == 0 ? sem->value != 0 : v < 0) {
			*blocked = i;
			r = 1;
			break;
		}
		if (v > SEM_VALUE_MAX) {
			r = -ERANGE;
			break;
		}
		if (ops[i].sem_flg & SEM_UNDO_FLAG) {
			int adjust = undo->adjust[ops[i].sem_num] - ops[i].sem_op;

			if (adjust < -SEM_VALUE_MAX - 1 || adjust > SEM_VALUE_MAX) {
				r = -ERANGE;
				break;
			}
			undo->adjust[ops[i].sem_num] = (int16_t)adjust;
		}
		sem->value = v;
	}
	if (r == 0) {
		for (i = 0; i < n; i++)
			s->sems[ops[i].sem_num].pid = pid;
		return 0;
	}
	while (i-- > 0) {
		s->sems[ops[i].sem_num].value -= ops[i].sem_op;
		if (ops[i].sem_flg & SEM_UNDO_FLAG)
			undo->adjust[ops[i].sem_num] =
				(int16_t)(undo->adjust[ops[i].sem_num] + ops[i].sem_op);
	}
	return r;
}

static int ops_check(struct sem_set *s, struct task *t, const struct linux_sembuf *ops, unsigned n,
		     bool *alter, bool *undo)
{
	*alter = *undo = false;
	for (unsigned i = 0; i < n; i++) {
		if (ops[i].sem_num >= s->n)
			return -EFBIG;
		*alter |= ops[i].sem_op != 0;
		*undo |= (ops[i].sem_flg & SEM_UNDO_FLAG) != 0;
	}
	return sysv_perm_check(&s->ds.sem_perm, t, *alter ? 0222 : 0444);
}

/* Counted as a waiter of the semaphore that holds the operations up. */
static int ops_sleep(struct sem_set *s, const struct linux_sembuf *op, struct task *t,
		     uint32_t seq, uint64_t deadline)
{
	struct sem *sem = &s->sems[op->sem_num];
	unsigned *count = op->sem_op ? &sem->ncnt : &sem->zcnt;
	int err;

	++*count;
	err = sysv_sleep(&sets, &s->o, t, seq, deadline);
	if (err != -EIDRM) /* else it may be gone */
		--*count;
	return err;
}

static int ops_do(struct task *t, int id, const struct linux_sembuf *ops, unsigned n,
		  uint64_t deadline)
{
	struct sem_undo *undo = NULL;
	struct sem_set *s = NULL;
	bool alter = false, wants_undo = false;
	unsigned blocked = 0;
	int r;

	AUTO_LOCK(&sets.mu);
	r = set_find(id, &s);
	if (r == 0)
		r = ops_check(s, t, ops, n, &alter, &wants_undo);
	while (r == 0) {
		uint32_t seq = task_wake_prepare(t);

		/* SETVAL and the like may have come between. */
		undo = wants_undo ? undo_get(s, t->tg) : NULL;
		if (wants_undo && !undo)
			return -ENOMEM;
		r = ops_try(s, ops, n, t->tg->tgid, undo, &blocked);
		if (r <= 0)
			break;
		if (ops[blocked].sem_flg & SEM_NOWAIT_FLAG)
			return -EAGAIN;
		r = ops_sleep(s, &ops[blocked], t, seq, deadline);
		if (r == -ETIMEDOUT)
			r = -EAGAIN;
	}
	if (r < 0)
		return r;
	s->ds.sem_otime = sysv_now();
	if (alter)
		set_changed(s);
	return 0;
}

static int64_t semop(struct task *t, int id, struct gptr sops, unsigned n, uint64_t deadline)
{
	AUTO(free) struct linux_sembuf *big = NULL;
	struct linux_sembuf small[16], *ops = small;

	if (n < 1 || id < 0)
		return -EINVAL;
	if (n > SEM_OPS_MAX)
		return -E2BIG;
	if (n > sizeof(small) / sizeof(small[0])) {
		ops = big = calloc(n, sizeof(*ops));
		if (!ops)
			return -ENOMEM;
	}
	if (copy_from_guest(t, ops, sops, n * sizeof(*ops)))
		return -EFAULT;
	return ops_do(t, id, ops, n, deadline);
}

int64_t sys_semop(struct task *t, int id, struct gptr sops, unsigned int n)
{
	return semop(t, id, sops, n, UINT64_MAX);
}

int64_t sys_semtimedop(struct task *t, int id, struct gptr sops, unsigned int n,
		       struct gptr timeout)
{
	struct linux_timespec ts;

	if (gptr_null(timeout))
		return semop(t, id, sops, n, UINT64_MAX);
	if (get_guest(t, &ts, timeout))
		return -EFAULT;
	if (!linux_timespec_valid(&ts))
		return -EINVAL;
	return semop(t, id, sops, n, now_mono_ns() + linux_timespec_ns(&ts));
}

/* ---- semctl --------------------------------------------------------------------------------- */

static int64_t sem_info(struct task *t, int cmd, struct gptr dst)
{
	struct linux_seminfo si = {
		.semmap = SEM_TOTAL_MAX,
		.semmni = SYSV_TABLE_MAX,
		.semmns = SEM_TOTAL_MAX,
		.semmnu = SEM_TOTAL_MAX,
		.semmsl = SEM_PER_SET_MAX,
		.semopm = SEM_OPS_MAX,
		.semume = SEM_OPS_MAX,
		.semusz = 20,
		.semvmx = SEM_VALUE_MAX,
		.semaem = SEM_VALUE_MAX,
	};
	int highest;

	{
		AUTO_LOCK(&sets.mu);
		highest = sets.highest < 0 ? 0 : sets.highest;
		if (cmd == SEM_CMD_INFO) {
			si.semusz = sets.used;
			si.semaem = 0;
			for (int i = 0; i <= sets.highest; i++)
				if (sets.slot[i])
					si.semaem += container_of(sets.slot[i], struct sem_set, o)->n;
		}
	}
	return put_guest(t, dst, &si) ? -EFAULT : highest;
}

static int64_t sem_stat(struct task *t, int id, int cmd, struct gptr dst)
{
	struct linux_semid_ds ds;
	int64_t result = 0;

	{
		AUTO_LOCK(&sets.mu);
		struct sem_set *s = NULL;
		struct sysv_object *o;
		int err;

		if (cmd == SYSV_STAT) {
			err = set_find(id, &s);
			if (err < 0)
				return err;
		} else {
			o = sysv_table_index(&sets, id);
			if (!o)
				return -EINVAL;
			s = container_of(o, struct sem_set, o);
			result = o->id;
		}
		err = cmd == SEM_CMD_STAT_ANY ? 0 : sysv_perm_check(&s->ds.sem_perm, t, 0444);
		if (err < 0)
			return err;
		ds = s->ds;
	}
	return put_guest(t, dst, &ds) ? -EFAULT : result;
}

static int64_t sem_change(struct task *t, int id, int cmd, struct gptr src)
{
	struct linux_semid_ds ds;
	struct sem_set *s = NULL;
	int err;

	if (cmd == SYSV_SET && get_guest(t, &ds, src))
		return -EFAULT;
	AUTO_LOCK(&sets.mu);
	err = set_find(id, &s);
	if (err == 0)
		err = sysv_perm_owner(&s->ds.sem_perm, t);
	if (err < 0)
		return err;
	if (cmd == SYSV_RMID) {
		set_remove(s);
		return 0;
	}
	sysv_perm_set(&s->ds.sem_perm, &ds.sem_perm);
	s->ds.sem_ctime = sysv_now();
	return 0;
}

static int64_t sem_one(struct task *t, int id, int num, int cmd, int value)
{
	struct sem_set *s = NULL;
	struct sem *sem;
	int err;

	AUTO_LOCK(&sets.mu);
	err = set_find(id, &s);
	if (err < 0)
		return err;
	if (cmd == SEM_SETVAL && (value < 0 || value > SEM_VALUE_MAX))
		return -ERANGE;
	err = sysv_perm_check(&s->ds.sem_perm, t, cmd == SEM_SETVAL ? 0222 : 0444);
	if (err < 0)
		return err;
	if (num < 0 || num >= s->n)
		return -EINVAL;
	sem = &s->sems[num];
	switch (cmd) {
	case SEM_GETVAL:
		return sem->value;
	case SEM_GETPID:
		return sem->pid;
	case SEM_GETNCNT:
		return sem->ncnt;
	case SEM_GETZCNT:
		return sem->zcnt;
	}
	undos_clear(s, num, 1);
	sem->value = value;
	sem->pid = t->tg->tgid;
	s->ds.sem_ctime = sysv_now();
	set_changed(s);
	return 0;
}

static int set_size(struct task *t, int id, uint32_t mode)
{
	struct sem_set *s = NULL;
	int err;

	AUTO_LOCK(&sets.mu);
	err = set_find(id, &s);
	if (err == 0)
		err = sysv_perm_check(&s->ds.sem_perm, t, mode);
	return err < 0 ? err : s->n;
}

static void set_store(struct sem_set *s, struct task *t, const uint16_t *values)
{
	undos_clear(s, 0, s->n);
	for (int i = 0; i < s->n; i++) {
		s->sems[i].value = values[i];
		s->sems[i].pid = t->tg->tgid;
	}
	s->ds.sem_ctime = sysv_now();
	set_changed(s);
}

/* A set's size never changes, so it is asked for before the values are copied. By then its number may be that of
 * another set, of another size: identifiers come back after 32768 removals. */
static int64_t sem_all(struct task *t, int id, int cmd, struct gptr array)
{
	bool set = cmd == SEM_SETALL;
	int n = set_size(t, id, set ? 0222 : 0444);
	AUTO(free) uint16_t *values = NULL;
	size_t size = n > 0 ? (size_t)n * sizeof(*values) : 0;

	if (n < 0)
		return n;
	values = malloc(size);
	if (!values)
		return -ENOMEM;
	if (set && copy_from_guest(t, values, array, size))
		return -EFAULT;
	for (int i = 0; set && i < n; i++)
		if (values[i] > SEM_VALUE_MAX)
			return -ERANGE;
	{
		AUTO_LOCK(&sets.mu);
		struct sem_set *s = NULL;
		int err = set_find(id, &s);

		if (err < 0 || s->n != n)
			return -EIDRM;
		if (set)
			set_store(s, t, values);
		for (int i = 0; !set && i < n; i++)
			values[i] = (uint16_t)s->sems[i].value;
	}
	return set ? 0 : copy_to_guest(t, array, values, size);
}

int64_t sys_semctl(struct task *t, int id, int num, int cmd, uint64_t arg)
{
	if (id < 0)
		return -EINVAL;
	switch (cmd) {
	case SYSV_INFO:
	case SEM_CMD_INFO:
		return sem_info(t, cmd, gptr(arg));
	case SYSV_STAT:
	case SEM_CMD_STAT:
	case SEM_CMD_STAT_ANY:
		return sem_stat(t, id, cmd, gptr(arg));
	case SYSV_RMID:
	case SYSV_SET:
		return sem_change(t, id, cmd, gptr(arg));
	case SEM_GETVAL:
	case SEM_GETPID:
	case SEM_GETNCNT:
	case SEM_GETZCNT:
	case SEM_SETVAL:
		return sem_one(t, id, num, cmd, (int)arg);
	case SEM_GETALL:
	case SEM_SETALL:
		return sem_all(t, id, cmd, gptr(arg));
	}
	return -EINVAL;
}
