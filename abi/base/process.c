#include "abi/base/process.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <sys/prctl.h>
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
