/* The host calls of the sentry process once it runs guest code, but for the platform's
 * (platform/host_calls.h): X(name, note). Everything else gets EPERM. */
#pragma once

#define SENTRY_HOST_CALLS(X)                                                                       \
	X(brk, "memory")                                                                           \
	X(mprotect, "memory; thread stacks")                                                       \
	X(mremap, "memory")                                                                        \
	X(exit, "threads")                                                                         \
	X(exit_group, "the end")                                                                   \
	X(set_robust_list, "threads")                                                              \
	X(rseq, "threads")                                                                         \
	X(gettid, "threads")                                                                       \
	X(getpid, "")                                                                              \
	X(rt_sigaction, "")                                                                        \
	X(rt_sigprocmask, "threads")                                                               \
	X(rt_sigreturn, "")                                                                        \
	X(sigaltstack, "")                                                                         \
	X(restart_syscall, "")                                                                     \
	X(sched_getaffinity, "")                                                                   \
	X(nanosleep, "")                                                                           \
	X(gettimeofday, "where the vDSO has no clock")                                             \
	X(clock_getres, "")                                                                        \
	X(getrandom, "")                                                                           \
	X(sysinfo, "/proc/meminfo")                                                                \
	X(prlimit64, "reading; the hard limits are lowered, never raised")                         \
	X(getrusage, "")                                                                           \
	X(poll, "host descriptors")                                                                \
	X(ppoll, "host descriptors")                                                               \
	X(epoll_create1, "host descriptors")                                                       \
	X(epoll_pwait, "host descriptors")                                                         \
	X(dup, "host descriptors")                                                                 \
	X(dup3, "host descriptors")                                                                \
	X(readv, "host files")                                                                     \
	X(writev, "host files")                                                                    \
	X(pread64, "host files")                                                                   \
	X(pwrite64, "host files")                                                                  \
	X(preadv, "host files")                                                                    \
	X(pwritev, "host files")                                                                   \
	X(preadv2, "host files")                                                                   \
	X(pwritev2, "host files")                                                                  \
	X(lseek, "host files")                                                                     \
	X(fstat, "host files")                                                                     \
	X(newfstatat, "fstat as the C library calls it")                                           \
	X(fstatfs, "host files")                                                                   \
	X(fallocate, "host files")                                                                 \
	X(fsync, "host files")                                                                     \
	X(fdatasync, "host files")                                                                 \
	X(copy_file_range, "host files")                                                           \
	X(recvmsg, "the gofer, standard streams")                                                  \
	X(recvfrom, "the launcher, standard streams")                                              \
	X(sendto, "the launcher, standard streams")                                                \
	X(shutdown, "standard streams")                                                            \
	X(getsockopt, "standard streams")
