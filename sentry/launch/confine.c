/* The sentry's own cage. The guest never reaches the host's kernel; should it break into the sentry, this is
 * what it finds: no capability, an empty root, and these calls. */
#include "sentry/launch/confine.h"

#include <errno.h>
#include <linux/capability.h>
#include <linux/sched.h>
#include <seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "platform/host_calls.h"
#include "sentry/launch/host_calls.h"

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

static const int allowed[] = {
#define CALL(name, note) SCMP_SYS(name),
	PLATFORM_HOST_CALLS(CALL) SENTRY_HOST_CALLS(CALL)
};

static const int allowed_to_tracers[] = {PLATFORM_PTRACE_HOST_CALLS(CALL)};
#undef CALL

static int allow(scmp_filter_ctx f, const int *calls, size_t n)
{
	int r = 0;

	for (size_t i = 0; !r && i < n; i++)
		r = seccomp_rule_add(f, SCMP_ACT_ALLOW, calls[i], 0);
	return r;
}

static int add_rules(scmp_filter_ctx f, bool traces)
{
	int r = allow(f, allowed, sizeof(allowed) / sizeof(allowed[0]));

	if (!r && traces)
		r = allow(f, allowed_to_tracers,
			  sizeof(allowed_to_tracers) / sizeof(allowed_to_tracers[0]));
	/* Threads, but no processes. clone3's flags can't be seen: the C library falls back. */
	if (!r)
		r = seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(clone), 1,
				     SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_THREAD | CLONE_VM,
					     CLONE_THREAD | CLONE_VM));
	if (!r)
		r = seccomp_rule_add(f, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
	if (!r)
		r = seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(prctl), 1,
				     SCMP_A0(SCMP_CMP_EQ, PR_SET_NAME));
	return r;
}

int confine_filter_calls(bool traces)
{
	scmp_filter_ctx f = seccomp_init(SCMP_ACT_ERRNO(EPERM));
	int r;

	if (!f)
		return -ENOMEM;
	r = seccomp_attr_set(f, SCMP_FLTATR_CTL_TSYNC, 1);
	if (!r)
		r = seccomp_attr_set(f, SCMP_FLTATR_CTL_OPTIMIZE, 2);
	if (!r)
		r = add_rules(f, traces);
	if (!r)
		r = seccomp_load(f);
	seccomp_release(f);
	return r;
}
