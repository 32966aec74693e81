#include "abi/base/process.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

pid_t process_clone(unsigned long flags)
{
	int *tid = NULL;
	long pid;

	/* The C library remembers its thread's id where the kernel clears it at the thread's end. Kernels that
	 * don't tell (without checkpoint support) leave the parent's id there; only locks that know their
	 * owner would mind. */
	if (prctl(PR_GET_TID_ADDRESS, &tid, 0, 0, 0) == 0 && tid)
		flags |= CLONE_CHILD_SETTID | CLONE_CHILD_CLEARTID;
	pid = syscall(SYS_clone, flags | SIGCHLD, NULL, NULL, tid, NULL);
	return pid < 0 ? -errno : (pid_t)pid;
}

int gate_init(struct gate *g)
{
	g->event = eventfd(0, EFD_CLOEXEC);
	if (g->event < 0)
		return -errno;
	if (sched_getaffinity(0, sizeof(g->cpus), &g->cpus))
		CPU_ZERO(&g->cpus);
	if (pipe2(g->alive, O_CLOEXEC) == 0)
		return 0;
	close(g->event);
	return -errno;
}

int64_t gate_wait(struct gate *g)
{
	struct pollfd p[2] = {{.fd = g->event, .events = POLLIN}, {.fd = g->alive[0]}};
	eventfd_t what = 0;

	close(g->alive[1]);
	while (poll(p, 2, -1) < 0 && errno == EINTR)
		;
	if (p[0].revents && eventfd_read(g->event, &what))
		what = 0;
	if (CPU_COUNT(&g->cpus) > 1)
		sched_setaffinity(0, sizeof(g->cpus), &g->cpus);
	close(g->alive[0]);
	close(g->event);
	return what ? (int64_t)what : -EPIPE;
}

void gate_place(const struct gate *g, pid_t child)
{
	cpu_set_t others = g->cpus;
	int cpu = sched_getcpu();

	if (cpu >= 0 && cpu < CPU_SETSIZE)
		CPU_CLR(cpu, &others);
	if (CPU_COUNT(&others))
		sched_setaffinity(child, sizeof(others), &others);
}

void gate_open(struct gate *g, uint32_t what)
{
	if (what)
		eventfd_write(g->event, what);
	close(g->event);
	close(g->alive[0]);
	close(g->alive[1]);
}

/* A multiple of what the kernel rounds to; 8 bytes each. */
#define DESCRIPTORS_RESERVED 4096

void process_reserve_descriptors(void)
{
	struct rlimit r;
	rlim_t n = DESCRIPTORS_RESERVED;
	int any, high;

	if (getrlimit(RLIMIT_NOFILE, &r) == 0 && r.rlim_cur < n)
		n = r.rlim_cur;
	any = eventfd(0, EFD_CLOEXEC);
	if (any < 0)
		return;
	high = fcntl(any, F_DUPFD_CLOEXEC, (int)n - 1);
	if (high >= 0)
		close(high);
	close(any);
}
