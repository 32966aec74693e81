/* rt_sigtimedwait(2): takes a pending signal off the queue, or sleeps until there is one. While it sleeps
 * the signals it waits for count as unblocked, so that senders choose this task; real_blocked keeps
 * them from being ignored or from ending the process. */
#include <errno.h>
#include <time.h>

#include "sentry/kernel/task_impl.h"
#include "sentry/mm/usercopy.h"
#include "sentry/syscalls/syscalls.h"

static void wait_begin(struct task *t, sigset64 set)
{
	AUTO_LOCK(&kernel->tasks_lock);

	t->real_blocked = t->blocked;
	atomic_fetch_and(&t->blocked, ~set);
	signal_recalc_locked(t);
}

static int wait_end(struct task *t, sigset64 set, struct guest_siginfo *info)
{
	int signo;

	AUTO_LOCK(&kernel->tasks_lock);
	atomic_store(&t->blocked, t->real_blocked);
	t->real_blocked = 0;
	signo = signal_dequeue_locked(t, set, info);
	signal_recalc_locked(t);
	return signo;
}

static int deadline_get(struct task *t, struct gptr timeout, uint64_t *deadline)
{
	struct timespec ts;
	uint64_t now = now_mono_ns();

	*deadline = UINT64_MAX;
	if (gptr_null(timeout))
		return 0;
	if (get_guest(t, &ts, timeout))
		return -EFAULT;
	if (ts.tv_sec < 0 || ts.tv_nsec < 0 || ts.tv_nsec > 999999999)
		return -EINVAL;
	if ((uint64_t)ts.tv_sec < (UINT64_MAX - now) / 1000000000ULL - 1)
		*deadline = now + (uint64_t)ts.tv_sec * 1000000000ULL + (uint64_t)ts.tv_nsec;
	return 0;
}

int64_t sys_rt_sigtimedwait(struct task *t, struct gptr uset, struct gptr uinfo,
			    struct gptr timeout, uint64_t setsize)
{
	struct guest_siginfo info;
	uint64_t deadline;
	sigset64 set;
	int signo, err;

	if (setsize != sizeof(sigset64))
		return -EINVAL;
	if (get_guest_u64(t, &set, uset))
		return -EFAULT;
	err = deadline_get(t, timeout, &deadline);
	if (err < 0)
		return err;
	set &= ~SIGSET_UNBLOCKABLE;
	signo = signal_dequeue(t, set, &info);
	if (!signo && deadline > now_mono_ns()) {
		wait_begin(t, set);
		while (!signal_pending(t) && err == 0) {
			uint32_t seq = task_wake_prepare(t);

			err = task_block(t, seq, deadline);
		}
		signo = wait_end(t, set, &info);
	}
	if (!signo)
		return signal_pending(t) && err != -ETIMEDOUT ? -EINTR : -EAGAIN;
	if (!gptr_null(uinfo) && put_guest(t, uinfo, &info))
		return -EFAULT;
	return signo;
}
