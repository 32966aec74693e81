/* The signal mask that ppoll(2), pselect(2) and epoll_pwait(2) set while they wait. */
#pragma once

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>

#include "sentry/kernel/signal.h"
#include "sentry/kernel/task.h"
#include "sentry/mm/usercopy.h"

/* GNULL: none. -EINVAL, -EFAULT. */
static inline int wait_mask_begin(struct task *t, struct gptr mask, uint64_t size)
{
	sigset64 set;
	int err;

	if (gptr_null(mask))
		return 0;
	if (size != sizeof(set))
		return -EINVAL;
	err = get_guest(t, &set, mask);
	if (!err)
		signal_set_temporary_mask(t, set & ~SIGSET_UNBLOCKABLE);
	return err;
}

/* Interrupted: the handler runs with the temporary mask first, and the return to user mode puts the
 * old one back. Else it comes back now, and signals that only the temporary one let in stay pending. */
static inline void wait_mask_end(struct task *t, bool interrupted)
{
	if (!t->has_saved_mask || interrupted)
		return;
	t->has_saved_mask = false;
	signal_set_mask(t, t->saved_mask);
}
