/* NUMA policy calls: one memory node, so a policy is checked and has no effect. */
#include <errno.h>

#include "sentry/kernel/task.h"
#include "sentry/mm/mm.h"
#include "sentry/mm/usercopy.h"
#include "sentry/syscalls/syscalls.h"

/* <linux/mempolicy.h> */
enum { POLICY_DEFAULT, POLICY_PREFERRED, POLICY_BIND, POLICY_INTERLEAVE, POLICY_LOCAL,
       POLICY_PREFERRED_MANY, POLICY_WEIGHTED_INTERLEAVE, POLICY_END };
#define POLICY_MODE_FLAGS 0xe000
#define POLICY_STATIC_NODES 0x8000
#define POLICY_RELATIVE_NODES 0x4000
#define MBIND_STRICT 1
#define MBIND_MOVE_ALL 4
#define MBIND_KNOWN 7
#define GET_NODE 1
#define GET_ADDR 2
#define GET_MEMS_ALLOWED 4
#define MAX_NODE_BITS (GUEST_PAGE_SIZE * 8)

/* *mask: whether node 0 is in the set, *other: whether any other is. */
static int read_nodes(struct task *t, struct gptr ptr, uint64_t maxnode, bool *node0, bool *other)
{
	uint64_t words, bits, word;

	*node0 = *other = false;
	if (gptr_null(ptr) || maxnode <= 1)
		return 0;
	bits = maxnode - 1;
	if (bits > MAX_NODE_BITS)
		return -EINVAL;
	words = (bits + 63) / 64;
	for (uint64_t i = 0; i < words; i++) {
		if (get_guest_u64(t, &word, gptr_add(ptr, i * 8)))
			return -EFAULT;
		if (i == words - 1 && bits % 64)
			word &= (1ULL << bits % 64) - 1;
		if (i == 0) {
			*node0 = word & 1;
			word &= ~1ULL;
		}
		*other |= word != 0;
	}
	return 0;
}

static int check_policy(struct task *t, int policy, struct gptr mask, uint64_t maxnode)
{
	int mode = policy & ~POLICY_MODE_FLAGS, flags = policy & POLICY_MODE_FLAGS, err;
	bool node0, other;

	if (mode < 0 || mode >= POLICY_END)
		return -EINVAL;
	if ((flags & POLICY_STATIC_NODES) && (flags & POLICY_RELATIVE_NODES))
		return -EINVAL;
	err = read_nodes(t, mask, maxnode, &node0, &other);
	if (err)
		return err;
	switch (mode) {
	case POLICY_DEFAULT:
		return node0 || other || flags ? -EINVAL : 0;
	case POLICY_LOCAL:
		return node0 || other || (flags & (POLICY_STATIC_NODES | POLICY_RELATIVE_NODES))
			       ? -EINVAL
			       : 0;
	case POLICY_PREFERRED:
		if (!node0 && !other)
			return flags & (POLICY_STATIC_NODES | POLICY_RELATIVE_NODES) ? -EINVAL : 0;
		break;
	}
	return node0 ? 0 : -EINVAL;
}

int64_t sys_mbind(struct task *t, struct gptr addr, uint64_t len, int policy, struct gptr nodemask,
		  uint64_t maxnode, unsigned int flags)
{
	uint64_t size = page_up(len);
	int err;

	if (flags & ~(unsigned)MBIND_KNOWN)
		return -EINVAL;
	if ((flags & MBIND_MOVE_ALL) && !task_capable(t, 23 /* CAP_SYS_NICE */))
		return -EPERM;
	if (addr.v & ~GUEST_PAGE_MASK || addr.v + size < addr.v)
		return -EINVAL;
	err = check_policy(t, policy, nodemask, maxnode);
	if (err || size == 0)
		return err;
	return mm_range_mapped(t->mm, addr.v, size) ? -EFAULT : 0;
}

int64_t sys_set_mempolicy(struct task *t, int policy, struct gptr nodemask, uint64_t maxnode)
{
	return check_policy(t, policy, nodemask, maxnode);
}

static int write_node0(struct task *t, struct gptr mask, uint64_t maxnode)
{
	uint64_t bytes = (maxnode - 1 + 63) / 64 * 8, one = 1;

	if (gptr_null(mask))
		return 0;
	if (maxnode <= 1 || bytes > GUEST_PAGE_SIZE)
		return -EINVAL;
	if (put_guest_u64(t, mask, one))
		return -EFAULT;
	return bytes > 8 ? zero_guest(t, gptr_add(mask, 8), bytes - 8) : 0;
}

int64_t sys_get_mempolicy(struct task *t, struct gptr policy, struct gptr nodemask,
			  uint64_t maxnode, struct gptr addr, uint64_t flags)
{
	if (flags & ~(uint64_t)(GET_NODE | GET_ADDR | GET_MEMS_ALLOWED))
		return -EINVAL;
	if (flags & GET_MEMS_ALLOWED) {
		if (flags & (GET_NODE | GET_ADDR))
			return -EINVAL;
		return write_node0(t, nodemask, maxnode);
	}
	if (flags & GET_ADDR) {
		if (mm_range_mapped(t->mm, addr.v, 1))
			return -EFAULT;
	} else if (!gptr_null(addr) || (flags & GET_NODE)) {
		return -EINVAL;
	}
	/* Policy DEFAULT and node 0 are the same number. */
	if (!gptr_null(policy) && put_guest_u32(t, policy, 0))
		return -EFAULT;
	if (!gptr_null(nodemask)) {
		if (maxnode < 1)
			return -EINVAL;
		return zero_guest(t, nodemask, (maxnode - 1 + 63) / 64 * 8 > GUEST_PAGE_SIZE
						       ? GUEST_PAGE_SIZE
						       : (maxnode - 1 + 63) / 64 * 8);
	}
	return 0;
}
