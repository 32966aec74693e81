/* The handlers of mmap(2), munmap(2), mprotect(2), mremap(2), brk(2), msync(2), madvise(2),
 * mincore(2), mlock(2) and their kind. The work is done in sentry/mm. */
#include <errno.h>
#include <linux/capability.h>
#include <sys/mman.h>

#include "sentry/kernel/fdtable.h"
#include "sentry/kernel/task.h"
#include "sentry/mm/mm.h"
#include "sentry/mm/usercopy.h"
#include "sentry/syscalls/syscalls.h"

int64_t sys_mmap(struct task *t, struct gptr addr, uint64_t length, uint64_t prot, uint64_t flags,
		 int fd, uint64_t offset)
{
	AUTO(file) struct file *f = NULL;

	if (offset & ~GUEST_PAGE_MASK)
		return -EINVAL;
	if (!(flags & MAP_ANONYMOUS)) {
		int err = fdtable_get(t->files, fd, &f);

		if (err)
			return err;
	}
	return mm_mmap(t, addr.v, length, (int)prot, (int)flags, f, offset);
}

int64_t sys_munmap(struct task *t, struct gptr addr, uint64_t length)
{
	return mm_munmap(t, addr.v, length);
}

int64_t sys_mprotect(struct task *t, struct gptr addr, uint64_t length, uint64_t prot)
{
	if (prot > INT32_MAX)
		return -EINVAL;
	return mm_mprotect(t, addr.v, length, (int)prot);
}

int64_t sys_pkey_mprotect(struct task *t, struct gptr addr, uint64_t length, uint64_t prot, int pkey)
{
	if (pkey != -1)
		return -EINVAL;
	return sys_mprotect(t, addr, length, prot);
}

int64_t sys_mremap(struct task *t, struct gptr addr, uint64_t old_size, uint64_t new_size,
		   uint64_t flags, struct gptr new_addr)
{
	if (flags > INT32_MAX)
		return -EINVAL;
	return mm_mremap(t, addr.v, old_size, new_size, (int)flags, new_addr.v);
}

int64_t sys_brk(struct task *t, struct gptr addr)
{
	return mm_brk(t, addr.v);
}

int64_t sys_msync(struct task *t, struct gptr addr, uint64_t length, int flags)
{
	return mm_msync(t, addr.v, length, flags);
}

int64_t sys_madvise(struct task *t, struct gptr addr, uint64_t length, int advice)
{
	return mm_madvise(t, addr.v, length, advice);
}

/* What is mapped counts as resident: the host doesn't tell. */
int64_t sys_mincore(struct task *t, struct gptr addr, uint64_t length, struct gptr vec)
{
	static const uint8_t resident[4096] = {[0 ... 4095] = 1};
	uint64_t pages = length / GUEST_PAGE_SIZE + (length % GUEST_PAGE_SIZE != 0);

	if (addr.v & ~GUEST_PAGE_MASK)
		return -EINVAL;
	if (addr.v > PF_GUEST_MAX || length > PF_GUEST_MAX - addr.v)
		return -ENOMEM;
	if (vec.v > PF_GUEST_MAX || pages > PF_GUEST_MAX - vec.v)
		return -EFAULT;
	for (uint64_t done = 0; done < pages;) {
		uint64_t part = pages - done < sizeof(resident) ? pages - done : sizeof(resident);

		if (mm_range_mapped(t->mm, addr.v + done * GUEST_PAGE_SIZE, part * GUEST_PAGE_SIZE))
			return -ENOMEM;
		if (copy_to_guest(t, gptr_add(vec, done), resident, part))
			return -EFAULT;
		if (task_killed()) /* memory may be a hundred TiB */
			return -EINTR;
		done += part;
	}
	return 0;
}

int64_t sys_mlock(struct task *t, struct gptr addr, uint64_t length)
{
	return mm_mlock(t, addr.v, length, true, false);
}

int64_t sys_mlock2(struct task *t, struct gptr addr, uint64_t length, int flags)
{
	if (flags & ~MLOCK_ONFAULT)
		return -EINVAL;
	return mm_mlock(t, addr.v, length, true, flags & MLOCK_ONFAULT);
}

int64_t sys_munlock(struct task *t, struct gptr addr, uint64_t length)
{
	return mm_mlock(t, addr.v, length, false, false);
}

int64_t sys_mlockall(struct task *t, int flags)
{
	if (!flags || flags & ~(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT) || flags == MCL_ONFAULT)
		return -EINVAL;
	return mm_mlockall(t, flags);
}

int64_t sys_munlockall(struct task *t)
{
	return mm_mlockall(t, 0);
}

/* Since Linux 4.0 nothing but an mmap over a part of a shared mapping. */
int64_t sys_remap_file_pages(struct task *t, struct gptr addr, uint64_t size, uint64_t prot,
			     uint64_t pgoff, uint64_t flags)
{
	uint64_t start = page_down(addr.v), len = page_down(size);
	struct vma v;
	int64_t r;

	if (prot || start + len <= start || pgoff + len / GUEST_PAGE_SIZE < pgoff ||
	    pgoff > UINT64_MAX / GUEST_PAGE_SIZE)
		return -EINVAL;
	if (!mm_lookup(t->mm, start, &v))
		return -EINVAL;
	if (!v.file || !(v.flags & MAP_SHARED) || start + len > v.end)
		r = -EINVAL;
	else
		r = mm_mmap(t, start, len, (int)v.prot, MAP_SHARED | MAP_FIXED, v.file,
			    pgoff * GUEST_PAGE_SIZE);
	vma_copy_release(&v);
	return r < 0 ? r : 0;
}
