/* What the gofer may ask of its host once it serves: file calls, its own memory and threads, and
 * the two calls that move messages over sockets it has. No call makes a socket, a process or a
 * program.
 *
 * Whatever is not listed is answered EPERM. */
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <sys/mman.h>

#include "abi/base/filter_rules.h"

#define ALLOWED(X)                                                                                 \
	/* server.c: messages */                                                                   \
	X(epoll_wait) X(epoll_pwait) X(epoll_ctl) X(recvfrom) X(recvmsg) X(sendmsg) X(shutdown)    \
	/* walk.c, host.c */                                                                       \
	X(openat) X(openat2) X(close) X(fstat) X(newfstatat) X(statx) X(fstatfs) X(readlinkat)     \
	X(getdents64) X(lseek)                                                                     \
	/* io.c */                                                                                 \
	X(pread64) X(pwrite64) X(fsync) X(fdatasync) X(fallocate)                                  \
	/* names.c */                                                                              \
	X(mkdirat) X(mknodat) X(symlinkat) X(linkat) X(unlinkat) X(renameat) X(renameat2)          \
	/* attr.c, xattr.c */                                                                      \
	X(ftruncate) X(fchownat) X(fchmodat) X(utimensat)                                          \
	X(getxattr) X(setxattr) X(listxattr) X(removexattr)                                        \
	/* abi/base/log.c */                                                                       \
	X(write) X(clock_gettime) X(getpid) X(gettid)                                              \
	/* the C library: threads, memory, the end */                                              \
	X(futex) X(munmap) X(mremap) X(madvise) X(brk) X(sched_yield) X(restart_syscall)           \
	X(rt_sigreturn) X(rt_sigprocmask) X(rseq) X(set_robust_list) X(getrandom)                  \
	X(exit) X(exit_group)

static const int allowed[] = {
#define NUMBER(name) SCMP_SYS(name),
	ALLOWED(NUMBER)
#undef NUMBER
};

static const int fcntl_allowed[] = {F_DUPFD_CLOEXEC, F_GETFL, F_OFD_SETLK, F_OFD_GETLK};

static int filter_rules_add(scmp_filter_ctx ctx)
{
	int err = 0;

	for (size_t i = 0; i < sizeof(allowed) / sizeof(*allowed) && !err; i++)
		err = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, allowed[i], 0);
	for (size_t i = 0; i < sizeof(fcntl_allowed) / sizeof(*fcntl_allowed) && !err; i++)
		err = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(fcntl), 1,
				       SCMP_A1(SCMP_CMP_EQ, (scmp_datum_t)fcntl_allowed[i]));
	/* A worker's own CPU: see server.c. */
	if (!err)
		err = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(sched_setaffinity), 1,
				       SCMP_A0(SCMP_CMP_EQ, 0));
	/* Memory, but nothing that could be run. */
	if (!err)
		err = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 1,
				       SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
	if (!err)
		err = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(mprotect), 1,
				       SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
	return err;
}

const struct filter_rules filter_rules[] = {{"gofer_filter", filter_rules_add}, {NULL, NULL}};
