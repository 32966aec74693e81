#include "abi/base/filter.h"

#include <errno.h>
#include <linux/seccomp.h>
#include <sys/syscall.h>
#include <unistd.h>

int filter_install(const struct filter *f)
{
	struct sock_fprog prog = {
		.len = (unsigned short)f->n,
		.filter = (struct sock_filter *)f->code,
	};
	long r = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &prog);

	/* Positive: a thread that has other filters, which can't be. */
	return r < 0 ? -errno : r > 0 ? -EBUSY : 0;
}
