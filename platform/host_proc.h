/* What the host knows of a guest's process or thread. procfd: of /proc, or -1. */
#pragma once

#include <stdint.h>
#include <sys/types.h>

/* Time on CPUs, in ns; 0 or -errno. */
int host_thread_cpu_time(int procfd, pid_t pid, pid_t tid, uint64_t *user_ns, uint64_t *sys_ns);
int host_process_cpu_time(pid_t pid, uint64_t *user_ns, uint64_t *sys_ns);
/* Resident bytes; 0 if unknown. */
uint64_t host_process_rss(int procfd, pid_t pid);
/* What of it is shared memory; 0 if not known. */
uint64_t host_process_shared(int procfd, pid_t pid);
