/* Tables of names, one for each format that has one. */
#pragma once

#include "sentry/strace/line.h"

extern const struct value_name names_open_flags[], names_access[], names_at[], names_statx_mask[],
	names_statx_flags[], names_rename[], names_xattr[], names_rwf[], names_whence[],
	names_fcntl[], names_flock[], names_falloc[], names_fadvise[], names_ioctl[], names_prot[],
	names_mmap[], names_mremap[], names_msync[], names_madvise[], names_mlock[], names_memfd[],
	names_clone[], names_sigprocmask[], names_wait_options[], names_idtype[], names_family[],
	names_socktype[], names_sol[], names_so[], names_shut[], names_msg[], names_epoll_op[],
	names_epoll_events[], names_poll[], names_clockid[], names_timer[], names_itimer[],
	names_rlimit[], names_rusage[], names_prio[], names_sched[], names_prctl[],
	names_arch_prctl[], names_ptrace[], names_futex[], names_random[], names_mount[],
	names_umount[], names_splice[], names_inotify[], names_sa_flags[], names_ss_flags[],
	names_resolve[], names_filetype[], names_fd_flags[], names_sigev[];

/* "ENOENT"; also of the restart codes; NULL for no errno. */
const char *errno_name(int err);
/* The text that strace(1) puts behind it. */
const char *errno_text(int err);
/* "SIGINT", "SIGRT_2"; buf is used for what has no fixed name. */
const char *signal_name(int signo, char buf[16]);
/* SI_USER, SEGV_MAPERR, ...; NULL if unknown. */
const char *sigcode_name(int signo, int code);
