/* Robust futexes (get_robust_list(2)): what a thread holds when it dies is marked and handed on. */
#include <errno.h>
#include <linux/futex.h>

#include "sentry/kernel/futex.h"
#include "sentry/kernel/futex_impl.h"
#include "sentry/kernel/kernel.h"
#include "sentry/kernel/task.h"
#include "sentry/mm/mm.h"
#include "sentry/mm/usercopy.h"
#include "sentry/syscalls/syscalls.h"

#define LIST_LIMIT 2048
#define CHANGE_TRIES 1000
#define ENTRY_PI 1UL

struct guest_robust_head {
	uint64_t next;
	int64_t futex_offset;
	uint64_t pending;
};
_Static_assert(sizeof(struct guest_robust_head) == sizeof(struct robust_list_head), "ABI");

/* The lock at addr, if it is ours. pending: the entry was being locked or unlocked. */
static int futex_owner_died(struct task *t, struct gptr addr, bool pi, bool pending)
{
	uint32_t word, seen, new;

	if (addr.v & 3 || get_guest_u32(t, &word, addr))
		return -EFAULT;
	/* Unlocked already, but the wake-up may not have been sent. */
	if (pending && !pi && !word) {
		futex_wake_addr(t, addr, 1);
		return 0;
	}
	if ((word & FUTEX_TID) != (uint32_t)t->tid)
		return 0;
	if (pi) {
		futex_pi_owner_died(t, addr);
		return 0;
	}
	/* Who changes it all the time may lose the wake-up; our end does not wait for him. */
	for (int tries = 0; tries < CHANGE_TRIES; tries++) {
		new = (word & FUTEX_HAS_WAITERS) | FUTEX_DIED;
		if (kernel->pf_ops->cmpxchg32(t->pt, addr, word, new, &seen))
			return -EFAULT;
		if (seen == word)
			break;
		word = seen;
		if ((word & FUTEX_TID) != (uint32_t)t->tid)
			return 0;
	}
	if (word & FUTEX_HAS_WAITERS)
		futex_wake_addr(t, addr, 1);
	return 0;
}

static void robust_list_walk(struct task *t, struct gptr head_addr)
{
	struct guest_robust_head head;
	uint64_t entry, next, pending;

	if (get_guest(t, &head, head_addr))
		return;
	pending = head.pending & ~ENTRY_PI;
	entry = head.next;
	for (int n = 0; n < LIST_LIMIT && (entry & ~ENTRY_PI) != head_addr.v; n++) {
		uint64_t at = entry & ~ENTRY_PI;
		int err = get_guest_u64(t, &next, gptr(at));

		if (at != pending &&
		    futex_owner_died(t, gptr(at + (uint64_t)head.futex_offset), entry & ENTRY_PI, false))
			return;
		if (err)
			return;
		entry = next;
	}
	if (pending)
		futex_owner_died(t, gptr(pending + (uint64_t)head.futex_offset),
				 head.pending & ENTRY_PI, true);
}

void futex_task_exit(struct task *t, bool exiting)
{
	struct gptr head = t->robust_list;

	t->robust_list = GNULL;
	if (!gptr_null(head))
		robust_list_walk(t, head);
	if (exiting)
		atomic_store(&t->futexes_left, true);
	futex_pi_release_waiters((uint32_t)t->tid);
}

int64_t sys_set_robust_list(struct task *t, struct gptr head, uint64_t len)
{
	if (len != sizeof(struct guest_robust_head))
		return -EINVAL;
	task_hear(t);
	t->robust_list = head;
	return 0;
}

int64_t sys_get_robust_list(struct task *t, int pid, struct gptr head, struct gptr len)
{
	AUTO(task) struct task *other = pid ? task_lookup(pid) : task_get(t);
	uint64_t list;
	int err;

	if (!other)
		return -ESRCH;
	{
		AUTO_LOCK(&kernel->tasks_lock);
		err = other == t ? 0 : task_may_access(t, other);
	}
	if (err)
		return err;
	list = task_robust_list(other).v;
	if (put_guest_u64(t, len, sizeof(struct guest_robust_head)))
		return -EFAULT;
	return put_guest_u64(t, head, list);
}
