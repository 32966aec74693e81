/* The host calls that the platform makes in the sentry process after start(), for the sentry's
 * own filter: X(name, note). start() itself needs fork, execveat and more, and comes before it. */
#pragma once

#define PLATFORM_HOST_CALLS(X)                                                                     \
	X(futex, "hand-over, locks")                                                               \
	X(sched_setaffinity, "S follows T to its CPU")                                             \
	X(sched_yield, "hand-over on one CPU")                                                     \
	X(getcpu, "hand-over")                                                                     \
	X(clock_gettime, "deadlines, where the vDSO has no clock")                                 \
	X(clock_nanosleep, "call_wait")                                                            \
	X(tgkill, "interrupt; whether a thread id exists; signals of S threads")                   \
	X(kill, "ends a stub and its process group")                                               \
	X(waitid, "whether a pid is our child; reaping")                                           \
	X(getpgid, "where a claimed pid comes from")                                               \
	X(setpgid, "each stub is a process group")                                                 \
	X(pidfd_open, "death of a stub")                                                           \
	X(epoll_ctl, "helper thread")                                                              \
	X(epoll_wait, "helper thread")                                                             \
	X(eventfd2, "helper thread")                                                               \
	X(read, "/proc of stubs; eventfd")                                                         \
	X(write, "eventfd")                                                                        \
	X(openat, "/proc/<pid>/stat and statm, below a descriptor of /proc")                       \
	X(close, "")                                                                               \
	X(ioctl, "SECCOMP_IOCTL_NOTIF_RECV and _SEND on the listener")                             \
	X(memfd_create, "arenas")                                                                  \
	X(ftruncate, "arenas")                                                                     \
	X(fcntl, "F_ADD_SEALS on arenas")                                                          \
	X(mmap, "arenas, memory")                                                                  \
	X(munmap, "arenas, memory")                                                                \
	X(madvise, "memory")                                                                       \
	X(socketpair, "AF_UNIX SOCK_SEQPACKET, one a stub")                                        \
	X(sendmsg, "descriptors to stubs")                                                         \
	X(process_vm_readv, "guest memory")                                                        \
	X(process_vm_writev, "guest memory")

/* In addition, if pf_ops.traces. */
#define PLATFORM_PTRACE_HOST_CALLS(X) X(ptrace, "guest threads")
