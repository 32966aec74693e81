/* memfd_create(2). */
#include <errno.h>
#include <sys/mman.h>

#include "sentry/ipc/fd_publish.h"
#include "sentry/mm/usercopy.h"
#include "sentry/syscalls/syscalls.h"
#include "vfs/tmpfs/memfd.h"

enum { MEMFD_NAME_MAX = 249 };

int64_t sys_memfd_create(struct task *t, struct gptr name_ptr, unsigned int flags)
{
	char name[MEMFD_NAME_MAX + 1];
	struct file *f;
	ssize_t n = copy_string_from_guest(t, name, name_ptr, sizeof(name));
	int r;

	if (n < 0)
		return n == -ENAMETOOLONG ? -EINVAL : n;
	r = memfd_new(name, flags, t->cred, &f);
	return r < 0 ? r : fd_publish(t, f, flags & MFD_CLOEXEC);
}
