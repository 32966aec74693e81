/* timerfd_create(2). Expiries are counted by the timer and taken by read(2).
 *
 * TFD_TIMER_CANCEL_ON_SET: a change of the real-time clock can't be waited for here; it is noticed
 * when the descriptor is next read or set, by the clock's distance from the monotonic one. */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/timerfd.h>

#include "sentry/ipc/fd_publish.h"
#include "sentry/mm/usercopy.h"
#include "sentry/syscalls/syscalls.h"
#include "sentry/time/clock.h"
#include "sentry/time/gtimer.h"
#include "sentry/time/time_impl.h"
#include "vfs/file.h"
#include "vfs/uio.h"
#include "vfs/waitq.h"

#define CLOCK_SET_SLACK_NS 100000000ULL

struct timerfd {
	struct gtimer g;
	struct waitq wq;
	_Atomic uint64_t ticks;
	_Atomic int flags;	     /* of the last settime */
	_Atomic uint64_t realtime_offset; /* when it was set: CLOCK_REALTIME less CLOCK_MONOTONIC */
};

static uint64_t realtime_offset(void)
{
	return clock_now(CLOCK_REALTIME) - clock_now(CLOCK_MONOTONIC);
}

static void timerfd_expire(struct gtimer *g, uint64_t n)
{
	struct timerfd *tf = container_of(g, struct timerfd, g);

	/* Expiries that nobody has read yet are no news, as on Linux, which rearms on read. */
	if (atomic_fetch_add(&tf->ticks, n) == 0)
		waitq_wake(&tf->wq, POLLIN | POLLRDNORM);
}

/* True once after the clock was set, if the guest asked to know. */
static bool clock_was_set(struct timerfd *tf)
{
	const int both = TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET;
	uint64_t now, was;

	if ((atomic_load(&tf->flags) & both) != both ||
	    (tf->g.clock != CLOCK_REALTIME && tf->g.clock != CLOCK_REALTIME_ALARM))
		return false;
	now = realtime_offset();
	was = atomic_exchange(&tf->realtime_offset, now);
	return now - was + CLOCK_SET_SLACK_NS > 2 * CLOCK_SET_SLACK_NS;
}

static ssize_t timerfd_read(struct file *f, struct uio *dst, uint64_t off)
{
	struct timerfd *tf = f->priv;
	uint64_t ticks;

	if (dst->resid < sizeof(ticks))
		return -EINVAL;
	if (clock_was_set(tf)) {
		atomic_store(&tf->ticks, 0);
		return -ECANCELED;
	}
	ticks = atomic_exchange(&tf->ticks, 0);
	if (!ticks)
		return -EAGAIN;
	return uio_to(dst, &ticks, sizeof(ticks)) == sizeof(ticks) ? (ssize_t)sizeof(ticks)
								     : -EFAULT;
}

static uint32_t timerfd_poll(struct file *f)
{
	struct timerfd *tf = f->priv;

	return atomic_load(&tf->ticks) ? POLLIN | POLLRDNORM : 0;
}

static struct waitq *timerfd_waitq(struct file *f)
{
	return &((struct timerfd *)f->priv)->wq;
}

static void timerfd_release(struct file *f)
{
	struct timerfd *tf = f->priv;

	gtimer_destroy(&tf->g);
	waitq_destroy(&tf->wq);
	free(tf);
}

static int timerfd_show(struct file *f, char *buf, size_t size)
{
	struct timerfd *tf = f->priv;
	struct gtimer_value v = gtimer_get(&tf->g);

	return snprintf(buf, size,
			"clockid: %d\nticks: %llu\nsettime flags: 0%o\n"
			"it_value: (%llu, %llu)\nit_interval: (%llu, %llu)\n",
			tf->g.clock, (unsigned long long)atomic_load(&tf->ticks),
			atomic_load(&tf->flags), v.left / NSEC_PER_SEC, v.left % NSEC_PER_SEC,
			v.interval / NSEC_PER_SEC, v.interval % NSEC_PER_SEC);
}

static const struct file_ops timerfd_ops = {
	.seek = event_file_seek,
	.read = timerfd_read,
	.poll = timerfd_poll,
	.waitq = timerfd_waitq,
	.show_fdinfo = timerfd_show,
	.release = timerfd_release,
};

int64_t sys_timerfd_create(struct task *t, int clock, int flags)
{
	struct timerfd *tf;
	struct file *f;
	int err;

	if (flags & ~(TFD_CLOEXEC | TFD_NONBLOCK) || !clock_can_wait(clock) || clock == CLOCK_TAI)
		return -EINVAL;
	if ((clock == CLOCK_REALTIME_ALARM || clock == CLOCK_BOOTTIME_ALARM) &&
	    !task_capable(t, CAP_WAKE_ALARM))
		return -EPERM;
	tf = calloc(1, sizeof(*tf));
	if (!tf)
		return -ENOMEM;
	gtimer_init(&tf->g, clock, NULL, timerfd_expire);
	waitq_init(&tf->wq);
	err = file_new_anon("anon_inode:[timerfd]", &timerfd_ops, tf,
			    O_RDWR | (flags & TFD_NONBLOCK), FILE_READ | FILE_WRITE, t->cred, &f);
	if (err) {
		free(tf);
		return err;
	}
	return fd_publish(t, f, flags & TFD_CLOEXEC);
}

static int timerfd_lookup(struct task *t, int fd, struct file **out)
{
	int err = fdtable_get(t->files, fd, out);

	if (!err && (*out)->ops != &timerfd_ops)
		return -EINVAL; /* the caller's scope drops the file */
	return err;
}

int64_t sys_timerfd_settime(struct task *t, int fd, int flags, struct gptr value, struct gptr old)
{
	AUTO(file) struct file *f = NULL;
	struct gtimer_value was;
	uint64_t ns, interval;
	struct timerfd *tf;
	int err;

	if (flags & ~(TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET))
		return -EINVAL;
	err = get_guest_itimerspec(t, value, &ns, &interval);
	if (!err)
		err = timerfd_lookup(t, fd, &f);
	if (err)
		return err;
	tf = f->priv;
	atomic_store(&tf->flags, flags);
	atomic_store(&tf->realtime_offset, realtime_offset());
	gtimer_set(&tf->g, 0, 0, false, &was);
	atomic_store(&tf->ticks, 0);
	gtimer_set(&tf->g, ns, interval, flags & TFD_TIMER_ABSTIME, NULL);
	return gptr_null(old) ? 0 : put_guest_itimerspec(t, old, &was);
}

int64_t sys_timerfd_gettime(struct task *t, int fd, struct gptr value)
{
	AUTO(file) struct file *f = NULL;
	struct gtimer_value v;
	int err = timerfd_lookup(t, fd, &f);

	if (err)
		return err;
	v = gtimer_get(&((struct timerfd *)f->priv)->g);
	return put_guest_itimerspec(t, value, &v);
}
