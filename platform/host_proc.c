#include "platform/host_proc.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "abi/base/cleanup.h"

static int proc_read(int procfd, const char *path, char *buf, size_t cap)
{
	ssize_t n;

	if (procfd < 0)
		return -ENOENT;
	AUTO(fd) int fd = openat(procfd, path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	n = read(fd, buf, cap - 1);
	if (n < 0)
		return -errno;
	buf[n] = 0;
	return (int)n;
}

/* schedstat counts in ns what stat counts in ticks, but not user and system time apart: a guest's
 * thread spends nearly all of its time in user mode. */
int host_thread_cpu_time(int procfd, pid_t pid, pid_t tid, uint64_t *user_ns, uint64_t *sys_ns)
{
	char buf[128], path[60];
	unsigned long long run;
	int r;

	snprintf(path, sizeof(path), "%d/task/%d/schedstat", pid, tid);
	r = proc_read(procfd, path, buf, sizeof(buf));
	if (r < 0)
		return r;
	if (sscanf(buf, "%llu", &run) != 1)
		return -EIO;
	*user_ns = run;
	*sys_ns = 0;
	return 0;
}

/* The clock of another process: ~pid shifted, and what to count (posix-timers.h of the kernel's
 * uapi: 1 user time, 2 all of it). User time is sampled by ticks and may be ahead of the whole. */
#define CPU_CLOCK(pid, what) ((clockid_t)((~(unsigned)(pid) << 3) | (what)))

static int cpu_clock_ns(pid_t pid, unsigned what, uint64_t *ns)
{
	struct timespec ts;

	if (clock_gettime(CPU_CLOCK(pid, what), &ts) < 0)
		return -errno;
	*ns = (uint64_t)ts.tv_sec * 1000000000ULL + (uint64_t)ts.tv_nsec;
	return 0;
}

int host_process_cpu_time(pid_t pid, uint64_t *user_ns, uint64_t *sys_ns)
{
	uint64_t user = 0, all = 0;
	int r = cpu_clock_ns(pid, 2, &all);

	if (r == 0)
		r = cpu_clock_ns(pid, 1, &user);
	if (r < 0)
		return r;
	*user_ns = user < all ? user : all;
	*sys_ns = all - *user_ns;
	return 0;
}

uint64_t host_process_shared(int procfd, pid_t pid)
{
	char buf[4096], path[40], *line;
	unsigned long long kib;

	snprintf(path, sizeof(path), "%d/status", pid);
	if (proc_read(procfd, path, buf, sizeof(buf)) < 0)
		return 0;
	line = strstr(buf, "\nRssShmem:");
	return line && sscanf(line, "\nRssShmem: %llu", &kib) == 1 ? kib << 10 : 0;
}

uint64_t host_process_rss(int procfd, pid_t pid)
{
	char buf[128], path[40];
	unsigned long long size, resident, shared;

	snprintf(path, sizeof(path), "%d/statm", pid);
	if (proc_read(procfd, path, buf, sizeof(buf)) < 0 ||
	    sscanf(buf, "%llu %llu %llu", &size, &resident, &shared) != 3)
		return 0;
	return resident * 4096;
}
