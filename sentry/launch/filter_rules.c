/* What the sentry may ask of its host once it runs guest code; anything else gets EPERM. The plain calls are
 * listed in host_calls.h, here and in platform/. */
#include "abi/base/filter_rules.h"

#include <asm/termbits.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>

#include "platform/host_calls.h"
#include "sentry/launch/host_calls.h"

static const int allowed[] = {
#define CALL(name, note) SCMP_SYS(name),
	PLATFORM_HOST_CALLS(CALL) SENTRY_HOST_CALLS(CALL)
};

static const int allowed_to_tracers[] = {PLATFORM_PTRACE_HOST_CALLS(CALL)};
#undef CALL

#define ANY_BITS_CLEAR(arg, bits) {arg, SCMP_CMP_MASKED_EQ, bits, 0}
#define SOCKET_TYPE 0xf
#define LOW_WORD_IS(arg, value) {arg, SCMP_CMP_MASKED_EQ, UINT32_MAX, (uint32_t)(value)}

/* Calls that are allowed only so: any one of a call's rows. */
static const struct checked_call {
	int nr;
	struct scmp_arg_cmp arg, and_arg;
} checked[] = {
	/* No code but what is there from the start, nor through /proc/self/mem. */
	{SCMP_SYS(mmap), ANY_BITS_CLEAR(2, PROT_EXEC)},
	{SCMP_SYS(mprotect), ANY_BITS_CLEAR(2, PROT_EXEC)},
	{SCMP_SYS(openat), ANY_BITS_CLEAR(2, O_ACCMODE | O_CREAT)},
	{SCMP_SYS(prlimit64), LOW_WORD_IS(0, 0)},
	/* Sockets are connected to each other and to nothing else: those of a type that can send to an address
	 * could reach names of the host's, as no network namespace is made. */
	{SCMP_SYS(socketpair), LOW_WORD_IS(0, AF_UNIX), {1, SCMP_CMP_MASKED_EQ, SOCKET_TYPE, SOCK_SEQPACKET}},
	{SCMP_SYS(fcntl), LOW_WORD_IS(1, F_DUPFD_CLOEXEC)},
	{SCMP_SYS(fcntl), LOW_WORD_IS(1, F_GETFD)},
	{SCMP_SYS(fcntl), LOW_WORD_IS(1, F_SETFD)},
	{SCMP_SYS(fcntl), LOW_WORD_IS(1, F_GETFL)},
	{SCMP_SYS(fcntl), LOW_WORD_IS(1, F_ADD_SEALS)},
	/* The user's terminal: nothing that types into it (TIOCSTI, TIOCLINUX) or takes it over. */
	{SCMP_SYS(ioctl), LOW_WORD_IS(1, TCGETS)},
	{SCMP_SYS(ioctl), LOW_WORD_IS(1, TCGETS2)},
	{SCMP_SYS(ioctl), LOW_WORD_IS(1, TCSETS)},
	{SCMP_SYS(ioctl), LOW_WORD_IS(1, TCSETS2)},
	{SCMP_SYS(ioctl), LOW_WORD_IS(1, TCFLSH)},
	{SCMP_SYS(ioctl), LOW_WORD_IS(1, TCXONC)},
	{SCMP_SYS(ioctl), LOW_WORD_IS(1, TIOCGWINSZ)},
	{SCMP_SYS(ioctl), LOW_WORD_IS(1, TIOCSWINSZ)},
	{SCMP_SYS(ioctl), LOW_WORD_IS(1, TIOCOUTQ)},
	{SCMP_SYS(ioctl), LOW_WORD_IS(1, TIOCGETD)},
	{SCMP_SYS(ioctl), LOW_WORD_IS(1, FIONREAD)},
	{SCMP_SYS(ioctl), LOW_WORD_IS(1, SECCOMP_IOCTL_NOTIF_RECV)},
	{SCMP_SYS(ioctl), LOW_WORD_IS(1, SECCOMP_IOCTL_NOTIF_SEND)},
};

static bool is_checked(int nr)
{
	for (size_t i = 0; i < sizeof(checked) / sizeof(checked[0]); i++)
		if (checked[i].nr == nr)
			return true;
	return false;
}

static int allow(scmp_filter_ctx f, const int *calls, size_t n)
{
	int r = 0;

	for (size_t i = 0; !r && i < n; i++)
		if (!is_checked(calls[i]))
			r = seccomp_rule_add(f, SCMP_ACT_ALLOW, calls[i], 0);
	return r;
}

static int add_checked(scmp_filter_ctx f, const struct checked_call *c)
{
	const struct scmp_arg_cmp args[] = {c->arg, c->and_arg};

	return seccomp_rule_add_array(f, SCMP_ACT_ALLOW, c->nr, c->and_arg.op ? 2 : 1, args);
}

static int add_rules(scmp_filter_ctx f, bool traces)
{
	int r = allow(f, allowed, sizeof(allowed) / sizeof(allowed[0]));

	if (!r && traces)
		r = allow(f, allowed_to_tracers,
			  sizeof(allowed_to_tracers) / sizeof(allowed_to_tracers[0]));
	for (size_t i = 0; !r && i < sizeof(checked) / sizeof(checked[0]); i++)
		r = add_checked(f, &checked[i]);
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

static int add_plain(scmp_filter_ctx f)
{
	return add_rules(f, false);
}

static int add_tracer(scmp_filter_ctx f)
{
	return add_rules(f, true);
}

const struct filter_rules filter_rules[] = {
	{"sentry_filter", add_plain},
	{"sentry_filter_tracer", add_tracer},
	{NULL, NULL},
};
