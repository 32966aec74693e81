/* The sentry's own cage. The guest never reaches the host's kernel; should it break into the sentry, this is
 * what it finds: no capability, an empty root, and these calls. */
#include "sentry/launch/confine.h"

#include <errno.h>
#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "abi/base/filter.h"
#include "sentry_filter.h"

int confine_drop_privileges(void)
{
	struct __user_cap_header_struct h = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct none[2] = {0};

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		return -errno;
	for (int cap = 0; cap <= 63; cap++)
		prctl(PR_CAPBSET_DROP, cap, 0, 0, 0); /* EINVAL past the last one */
	prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
	if (syscall(SYS_capset, &h, none))
		return -errno;
	return 0;
}

int confine_filter_calls(bool traces)
{
	const struct filter plain = {sentry_filter, sizeof(sentry_filter) / sizeof(sentry_filter[0])};
	const struct filter tracer = {sentry_filter_tracer, sizeof(sentry_filter_tracer) /
								    sizeof(sentry_filter_tracer[0])};

	return filter_install(traces ? &tracer : &plain);
}
