#include "platform/call_check.h"

#include <errno.h>
#include <sys/mman.h>

#define MMAP_FLAGS                                                                                 \
	(MAP_SHARED | MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_FIXED_NOREPLACE | MAP_NORESERVE)

static bool range_valid(uint64_t start, uint64_t len)
{
	return len <= PF_GUEST_MAX && start <= PF_GUEST_MAX - len;
}

/* Never MERGEABLE, PAGEOUT, COLD, COLLAPSE, HWPOISON, SOFT_OFFLINE. */
static bool advice_valid(uint64_t advice)
{
	static const uint8_t ok[] = {0,	 1,  2,	 3,  4,	 8,  9,	 10, 11,  14,
				     15, 16, 17, 18, 19, 22, 23, 24, 102, 103};

	for (unsigned i = 0; i < sizeof(ok); i++)
		if (ok[i] == advice)
			return true;
	return false;
}

static int mmap_check(struct pf_call *c)
{
	if (!(c->arg[3] & (MAP_FIXED | MAP_FIXED_NOREPLACE)) || c->arg[2] & ~7UL)
		return -EINVAL;
	c->arg[3] &= MMAP_FLAGS;
	c->arg[4] = -1UL;
	return c->fd >= 0 || c->arg[3] & MAP_ANONYMOUS ? 0 : -EBADF;
}

static int mremap_check(const struct pf_call *c)
{
	if (c->arg[3] & ~7UL || !range_valid(c->arg[0], c->arg[2]))
		return -EINVAL;
	if (!(c->arg[3] & MREMAP_MAYMOVE))
		return 0;
	return c->arg[3] & MREMAP_FIXED && range_valid(c->arg[4], c->arg[2]) ? 0 : -EINVAL;
}

int pf_call_check(struct pf_call *c)
{
	if (!range_valid(c->arg[0], c->arg[1]))
		return -EINVAL;
	switch (c->nr) {
	case PF_MMAP:
		return mmap_check(c);
	case PF_MPROTECT:
		return c->arg[2] & ~7UL ? -EINVAL : 0;
	case PF_MREMAP:
		return mremap_check(c);
	case PF_MADVISE:
		return advice_valid(c->arg[2]) ? 0 : -EINVAL;
	case PF_KEEP:
	case PF_DROP:
		return -EINVAL;
	default:
		return 0;
	}
}
