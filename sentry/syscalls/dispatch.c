/* From a number and six registers to a handler with typed arguments.
 *
 * The switch is made from table.def. A handler that isn't there yet is a weak reference which
 * stays NULL, and its call gives ENOSYS; with SYSCALL_STRICT it is a link error instead. */
#include <errno.h>

#include "abi/linux/unistd.h"
#include "sentry/kernel/seccomp.h"
#include "sentry/kernel/task.h"
#include "sentry/strace/strace.h"
#include "sentry/syscalls/syscalls.h"

#ifdef SYSCALL_STRICT
#define HAVE(name) true
#else
#define HAVE(name) (sys_##name != NULL)

#define WEAK_FULL(name) extern __typeof__(sys_##name) sys_##name __attribute__((weak));
#define WEAK_PARTIAL WEAK_FULL
#define WEAK_STUB WEAK_FULL
#define WEAK_NOSYS(name)
#define SYS0(nr, name, level, note) WEAK_##level(name)
#define SYS1(nr, name, level, note, ...) WEAK_##level(name)
#define SYS2 SYS1
#define SYS3 SYS1
#define SYS4 SYS1
#define SYS5 SYS1
#define SYS6 SYS1
#include "sentry/syscalls/table.def"
#include "sentry/syscalls/table_end.h"
#endif

#define CASE_FULL(nr, name, ...)                                                                   \
	case nr:                                                                                   \
		return HAVE(name) ? sys_##name(__VA_ARGS__) : -ENOSYS;
#define CASE_PARTIAL CASE_FULL
#define CASE_STUB CASE_FULL
#define CASE_NOSYS(nr, name, ...)
#define CASE(level, nr, name, ...) CASE_##level(nr, name, __VA_ARGS__)

static int64_t syscall_call(struct task *t, uint64_t nr, const uint64_t a[6])
{
	switch (nr) {
#define ARG(format, arg) arg_##format
#define SYS0(nr, name, l, note) CASE(l, nr, name, t)
#define SYS1(nr, name, l, note, p0) CASE(l, nr, name, t, p0(a[0]))
#define SYS2(nr, name, l, note, p0, p1) CASE(l, nr, name, t, p0(a[0]), p1(a[1]))
#define SYS3(nr, name, l, note, p0, p1, p2) CASE(l, nr, name, t, p0(a[0]), p1(a[1]), p2(a[2]))
#define SYS4(nr, name, l, note, p0, p1, p2, p3)                                                    \
	CASE(l, nr, name, t, p0(a[0]), p1(a[1]), p2(a[2]), p3(a[3]))
#define SYS5(nr, name, l, note, p0, p1, p2, p3, p4)                                                \
	CASE(l, nr, name, t, p0(a[0]), p1(a[1]), p2(a[2]), p3(a[3]), p4(a[4]))
#define SYS6(nr, name, l, note, p0, p1, p2, p3, p4, p5)                                            \
	CASE(l, nr, name, t, p0(a[0]), p1(a[1]), p2(a[2]), p3(a[3]), p4(a[4]), p5(a[5]))
#include "sentry/syscalls/table.def"
#include "sentry/syscalls/table_end.h"
	}
	/* No such number, no handler by its row, or the x32 bit is set. */
	return -ENOSYS;
}

bool syscall_handled(uint64_t nr)
{
#define HANDLED_FULL(nr, name)                                                                     \
	case nr:                                                                                   \
		return HAVE(name);
#define HANDLED_PARTIAL HANDLED_FULL
#define HANDLED_STUB HANDLED_FULL
#define HANDLED_NOSYS(nr, name)
	switch (nr) {
#define SYS0(nr, name, level, note) HANDLED_##level(nr, name)
#define SYS1(nr, name, level, note, ...) HANDLED_##level(nr, name)
#define SYS2 SYS1
#define SYS3 SYS1
#define SYS4 SYS1
#define SYS5 SYS1
#define SYS6 SYS1
#include "sentry/syscalls/table.def"
#include "sentry/syscalls/table_end.h"
	}
	return false;
}

int64_t syscall_dispatch(struct task *t, uint64_t nr, const uint64_t args[6])
{
	bool traced = strace_enabled();
	int64_t result;

	if (traced)
		strace_enter(t, nr, args);
	if (!t->seccomp || seccomp_allows(t, nr, args, &result))
		result = syscall_call(t, nr, args);
	if (traced)
		strace_exit(t, nr, args, result);
	return result;
}
