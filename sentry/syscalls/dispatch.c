/* From a number and six registers to a handler with typed arguments.
 *
 * The switch is made from table.def. A row that has no handler, and isn't NOSYS, does not link. */
#include <errno.h>
#include <string.h>

#include "abi/linux/unistd.h"
#include "sentry/kernel/kernel.h"
#include "sentry/kernel/known.h"
#include "sentry/kernel/seccomp.h"
#include "sentry/kernel/task.h"
#include "sentry/strace/strace.h"
#include "sentry/syscalls/fs_answer.h"
#include "sentry/syscalls/syscalls.h"

#define CASE_FULL(nr, name, ...)                                                                   \
	case nr:                                                                                   \
		return sys_##name(__VA_ARGS__);
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

/* Arguments through which results come. read(2) and its like with vectors, and ioctl(2), write
 * where their arguments lead to. */
enum {
#define FORMAT(name, kind, dir, size)                                                              \
	WRITES_##name = ARG_DIR_##dir >= ARG_DIR_OUT || ARG_##name == ARG_IOVEC_OUT ||             \
			ARG_##name == ARG_IOCTL_CMD,
#include "sentry/syscalls/formats.def"
#undef FORMAT
};

/* Calls whose results may be put off until the guest goes on: sentry/mm/late.h. */
static bool writes_late(uint64_t nr)
{
#define ARG(format, arg) WRITES_##format
#define SYS0(nr, name, l, note)
#define SYS1(nr, name, l, note, p0) [nr] = p0,
#define SYS2(nr, name, l, note, p0, p1) [nr] = p0 || p1,
#define SYS3(nr, name, l, note, p0, p1, p2) [nr] = p0 || p1 || p2,
#define SYS4(nr, name, l, note, p0, p1, p2, p3) [nr] = p0 || p1 || p2 || p3,
#define SYS5(nr, name, l, note, p0, p1, p2, p3, p4) [nr] = p0 || p1 || p2 || p3 || p4,
#define SYS6(nr, name, l, note, p0, p1, p2, p3, p4, p5) [nr] = p0 || p1 || p2 || p3 || p4 || p5,
	static const bool late[LINUX_NR_MAX + 1] = {
#include "sentry/syscalls/table.def"
	};
#include "sentry/syscalls/table_end.h"

	return nr <= LINUX_NR_MAX && late[nr];
}

static int64_t call_make(struct task *t, uint64_t nr, const uint64_t args[6])
{
	int64_t result;

	t->late = kernel->pf_ops->late_buffer && writes_late(nr);
	fs_answer_begin(t, nr);
	result = syscall_call(t, nr, args);
	fs_answer_end(t, nr, args, result);
	known_opens_after(t, nr, args);
	t->late = false;
	return result;
}

/* What is called in the end may be another call than was asked for. */
static int64_t call_filtered(struct task *t, uint64_t nr, const uint64_t args[6])
{
	uint64_t a[6];
	int64_t result;

	memcpy(a, args, sizeof(a));
	return seccomp_allows(t, &nr, a, &result) ? call_make(t, nr, a) : result;
}

int64_t syscall_dispatch(struct task *t, uint64_t nr, const uint64_t args[6])
{
	bool traced = strace_enabled();
	int64_t result;

	if (traced)
		strace_enter(t, nr, args);
	result = t->seccomp ? call_filtered(t, nr, args) : call_make(t, nr, args);
	if (traced)
		strace_exit(t, nr, args, result);
	return result;
}
