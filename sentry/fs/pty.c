/* Both ends of a pseudoterminal.
 *
 * One lock a pty; bytes are copied from and to the guest outside of it, through a small buffer. What the
 * line discipline reports (signals) is acted on after the lock is dropped, since signals need
 * kernel->tasks_lock, which ranks before.
 *
 * The end: when the master closes, the slave hangs up (reads end, writes fail, the session gets
 * SIGHUP); when the last slave closes, the master reads EIO until one opens again. */
#include "sentry/fs/pty.h"
#include "sentry/fs/termio.h"

#include <asm/termbits.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/major.h>
#include <linux/tty.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/sysmacros.h>

#include "sentry/ipc/fd_publish.h"
#include "sentry/kernel/kernel.h"
#include "sentry/kernel/session.h"
#include "sentry/kernel/task.h"
#include "sentry/mm/usercopy.h"
#include "vfs/cred.h"
#include "vfs/dirent.h"
#include "vfs/file.h"
#include "vfs/fs.h"
#include "vfs/uio.h"
#include "vfs/vfs.h"

#define PIECE 1024
#define READ_EVENTS (POLLIN | POLLRDNORM)
#define WRITE_EVENTS (POLLOUT | POLLWRNORM)

static struct pty *pty_of(struct tty *t)
{
	return container_of(t, struct pty, tty);
}


/* ---- reports ------------------------------------------------------------------------------- */

/* Sends what input processing asked for; no lock held. */
static void send_signals(struct pty *p, uint32_t signals)
{
	for (int sig = 1; signals >> sig; sig++)
		if (signals >> sig & 1)
			tty_signal_foreground(&p->tty, sig);
}

static uint32_t take_signals_locked(struct pty *p)
{
	uint32_t s = p->ld.signals;

	p->ld.signals = 0;
	return s;
}

/* After anything changed: both sides look again. */
static void wake_both(struct pty *p)
{
	waitq_wake(&p->master_wq, READ_EVENTS | WRITE_EVENTS | POLLPRI);
	waitq_wake(&p->slave_wq, READ_EVENTS | WRITE_EVENTS);
}

/* ---- VTIME --------------------------------------------------------------------------------- */

static void vtime_fired(struct ktimer *t)
{
	struct pty *p = container_of(t, struct pty, vtime);
	{
		AUTO_LOCK(&p->mu);
		if (!p->vtime_armed)
			return;
		p->vtime_armed = false;
		p->vtime_over = true;
	}
	waitq_wake(&p->slave_wq, READ_EVENTS);
}

/* Nothing to read yet: starts the clock where VTIME asks for one. True: the time is over. */
static bool vtime_check_locked(struct pty *p)
{
	unsigned tenths = p->ld.modes.c_cc[VTIME], min = p->ld.modes.c_cc[VMIN];

	if (ldisc_canonical(&p->ld))
		return false;
	if (min == 0 && tenths == 0)
		return true;
	if (tenths == 0 || (min > 0 && p->ld.in_used == 0))
		return false;
	if (p->vtime_over) {
		p->vtime_over = false;
		return true;
	}
	if (!p->vtime_armed) {
		p->vtime_armed = true;
		ktimer_arm(&p->vtime, now_mono_ns() + tenths * 100000000ULL);
	}
	return false;
}

static void vtime_reset_locked(struct pty *p)
{
	p->vtime_over = false;
	if (p->vtime_armed) {
		p->vtime_armed = false;
		ktimer_disarm(&p->vtime);
	}
}

/* ---- the slave ----------------------------------------------------------------------------- */

static ssize_t slave_take(struct pty *p, char *buf, size_t n, bool nonblock)
{
	AUTO_LOCK(&p->mu);
	int64_t r;

	if (!p->master_open && p->ld.in_used == 0)
		return 0;
	r = ldisc_read(&p->ld, buf, n, nonblock);
	if (r == -EAGAIN && vtime_check_locked(p)) {
		r = ldisc_read(&p->ld, buf, n, true);
		if (r == -EAGAIN)
			r = 0;
	}
	if (r == -EAGAIN && !p->master_open)
		r = 0;
	if (r >= 0)
		vtime_reset_locked(p);
	return r;
}

static ssize_t slave_read(struct file *f, struct uio *dst, uint64_t off)
{
	struct pty *p = f->priv;
	char buf[LDISC_INPUT];
	ssize_t r = tty_check_read(&p->tty);

	if (r < 0 || dst->resid == 0)
		return r;
	r = slave_take(p, buf, dst->resid < sizeof(buf) ? dst->resid : sizeof(buf),
		       atomic_load(&f->flags) & O_NONBLOCK);
	if (r <= 0)
		return r;
	waitq_wake(&p->master_wq, WRITE_EVENTS);
	return uio_to(dst, buf, (size_t)r);
}

static ssize_t slave_write(struct file *f, struct uio *src, uint64_t off, uint64_t *end)
{
	struct pty *p = f->priv;
	size_t done = 0;
	ssize_t r = tty_check_write(&p->tty);

	if (r < 0)
		return r;
	while (src->resid) {
		char buf[PIECE];
		size_t took;
		ssize_t n = uio_from(src, buf, src->resid < PIECE ? src->resid : PIECE);

		if (n <= 0) {
			r = n;
			break;
		}
		{
			AUTO_LOCK(&p->mu);
			if (!p->master_open) {
				uio_revert(src, (size_t)n);
				return done ? (ssize_t)done : -EIO;
			}
			took = ldisc_output(&p->ld, buf, (size_t)n);
		}
		done += took;
		if (took < (size_t)n) {
			uio_revert(src, (size_t)n - took);
			r = -EAGAIN;
			break;
		}
	}
	if (done)
		waitq_wake(&p->master_wq, READ_EVENTS);
	return done ? (ssize_t)done : r;
}

static uint32_t slave_poll(struct file *f)
{
	struct pty *p = f->priv;
	uint32_t ev = 0;

	AUTO_LOCK(&p->mu);
	if (ldisc_readable(&p->ld))
		ev |= READ_EVENTS;
	if (!p->master_open)
		return ev | READ_EVENTS | WRITE_EVENTS | POLLHUP;
	if (!p->ld.stopped && p->ld.out.used < p->ld.out.size)
		ev |= WRITE_EVENTS;
	return ev;
}

static struct waitq *slave_waitq(struct file *f)
{
	return &((struct pty *)f->priv)->slave_wq;
}

static void slave_release(struct file *f)
{
	struct pty *p = f->priv;
	bool last;
	{
		AUTO_LOCK(&p->mu);
		last = --p->slaves == 0;
		if (last)
			p->exclusive = false;
	}
	if (last)
		waitq_wake(&p->master_wq, READ_EVENTS | POLLHUP);
	tty_put(&p->tty);
}

/* ---- the master ---------------------------------------------------------------------------- */

static ssize_t master_take(struct pty *p, char *buf, size_t n)
{
	AUTO_LOCK(&p->mu);
	size_t got = 0;

	if (p->packet) {
		if (p->ld.packet) {
			buf[0] = (char)p->ld.packet;
			p->ld.packet = 0;
			return 1;
		}
		if (n < 2)
			return p->ld.out.used ? 1 : -EAGAIN;
		buf[got++] = TIOCPKT_DATA;
	}
	if (!p->ld.stopped)
		got += ring_read(&p->ld.out, buf + got, n - got);
	if (got > (p->packet ? 1u : 0u))
		return (ssize_t)got;
	return p->slave_opened && p->slaves == 0 ? -EIO : -EAGAIN;
}

static ssize_t master_read(struct file *f, struct uio *dst, uint64_t off)
{
	struct pty *p = f->priv;
	char buf[PIECE];
	size_t done = 0;
	ssize_t r = 0;

	while (dst->resid) {
		ssize_t moved;

		r = master_take(p, buf, dst->resid < PIECE ? dst->resid : PIECE);
		if (r <= 0)
			break;
		moved = uio_to(dst, buf, (size_t)r);
		if (moved < 0)
			return done ? (ssize_t)done : moved;
		done += (size_t)moved;
		if (p->packet || r < PIECE)
			break;
	}
	if (done)
		waitq_wake(&p->slave_wq, WRITE_EVENTS);
	return done ? (ssize_t)done : r;
}

static ssize_t master_write(struct file *f, struct uio *src, uint64_t off, uint64_t *end)
{
	struct pty *p = f->priv;
	size_t done = 0;
	ssize_t r = 0;

	while (src->resid) {
		char buf[PIECE];
		uint32_t signals;
		size_t took;
		ssize_t n = uio_from(src, buf, src->resid < PIECE ? src->resid : PIECE);

		if (n <= 0) {
			r = n;
			break;
		}
		{
			AUTO_LOCK(&p->mu);
			took = ldisc_input(&p->ld, buf, (size_t)n);
			signals = take_signals_locked(p);
		}
		done += took;
		if (took) /* else the writer that waits for room would wake itself */
			wake_both(p);
		send_signals(p, signals);
		if (took < (size_t)n) {
			uio_revert(src, (size_t)n - took);
			r = -EAGAIN;
			break;
		}
	}
	return done ? (ssize_t)done : r;
}

static uint32_t master_poll(struct file *f)
{
	struct pty *p = f->priv;
	uint32_t ev = 0;

	AUTO_LOCK(&p->mu);
	if (p->ld.out.used && !p->ld.stopped)
		ev |= READ_EVENTS;
	if (p->packet && p->ld.packet)
		ev |= READ_EVENTS | POLLPRI;
	if (!ldisc_input_full(&p->ld))
		ev |= WRITE_EVENTS;
	if (p->slave_opened && p->slaves == 0)
		ev |= POLLHUP;
	return ev;
}

static struct waitq *master_waitq(struct file *f)
{
	return &((struct pty *)f->priv)->master_wq;
}

static void forget_session(struct pty *p)
{
	struct session *s;
	bool had = false;
	{
		AUTO_LOCK(&kernel->tasks_lock);
		s = p->tty.session;
		if (s && s->tty == &p->tty) {
			had = true;
			s->tty = NULL;
			pgrp_put_locked(s->foreground);
			s->foreground = NULL;
		}
		p->tty.session = NULL;
	}
	if (had)
		tty_put(&p->tty);
}

static void master_release(struct file *f)
{
	struct pty *p = f->priv;

	devpts_remove(&p->tty);
	{
		AUTO_LOCK(&p->mu);
		p->master_open = false;
	}
	tty_hangup_session(&p->tty);
	forget_session(p);
	waitq_wake(&p->slave_wq, READ_EVENTS | WRITE_EVENTS | POLLHUP);
	tty_put(&p->tty);
}

/* ---- requests ------------------------------------------------------------------------------ */

static int64_t get_modes(struct pty *p, struct task *t, uint64_t arg, size_t size)
{
	struct linux_termios2 m;
	{
		AUTO_LOCK(&p->mu);
		m = p->ld.modes;
	}
	return copy_to_guest(t, gptr(arg), &m, size);
}

static int64_t get_modes_old(struct pty *p, struct task *t, uint64_t arg)
{
	struct linux_termio m = {0};
	{
		AUTO_LOCK(&p->mu);
		termio_get(&m, &p->ld.modes);
	}
	return put_guest(t, gptr(arg), &m);
}

static int64_t set_modes(struct pty *p, struct task *t, unsigned cmd, uint64_t arg)
{
	struct linux_termios2 m;
	int64_t r = tty_check_change(&p->tty);

	if (r < 0)
		return r;
	{
		AUTO_LOCK(&p->mu);
		m = p->ld.modes;
	}
	r = termios_from_guest(t, cmd, arg, &m);
	if (r < 0)
		return r;
	/* A pty has no line: eight bits, no parity, whatever one asks for. */
	m.c_cflag = (m.c_cflag & ~(uint32_t)(CSIZE | PARENB)) | CS8 | CREAD;
	{
		AUTO_LOCK(&p->mu);
		termios_keep_locked(&m, &p->ld.modes, &p->fixed);
		if (cmd == TCSETSF || cmd == TCSETSF2 || cmd == TCSETAF)
			ldisc_flush_input(&p->ld);
		ldisc_set_modes(&p->ld, &m);
		vtime_reset_locked(p);
	}
	wake_both(p);
	return 0;
}

/* Which modes can't be changed any more. */
static int64_t lock_modes(struct pty *p, struct task *t, uint64_t arg)
{
	struct linux_termios m;

	if (!cred_capable(t->cred, CAP_SYS_ADMIN))
		return -EPERM;
	if (get_guest(t, &m, gptr(arg)))
		return -EFAULT;
	AUTO_LOCK(&p->mu);
	p->fixed = m;
	return 0;
}

static int64_t get_locked_modes(struct pty *p, struct task *t, uint64_t arg)
{
	struct linux_termios m;
	{
		AUTO_LOCK(&p->mu);
		m = p->fixed;
	}
	return put_guest(t, gptr(arg), &m);
}

static int64_t set_size(struct pty *p, struct task *t, uint64_t arg)
{
	struct linux_winsize size;

	if (get_guest(t, &size, gptr(arg)))
		return -EFAULT;
	{
		AUTO_LOCK(&p->mu);
		if (memcmp(&p->size, &size, sizeof(size)) == 0)
			return 0;
		p->size = size;
	}
	tty_signal_foreground(&p->tty, SIGWINCH);
	return 0;
}

static int64_t flush(struct pty *p, uint64_t what, bool master)
{
	int64_t r = master ? 0 : tty_check_change(&p->tty);

	if (r < 0)
		return r;
	if (what > TCIOFLUSH)
		return -EINVAL;
	{
		AUTO_LOCK(&p->mu);
		/* From the master's side, input is what the slave put out. */
		if (what == TCIOFLUSH || (what == TCIFLUSH) != master)
			ldisc_flush_input(&p->ld);
		if (what == TCIOFLUSH || (what == TCOFLUSH) != master)
			ldisc_flush_output(&p->ld);
	}
	wake_both(p);
	return 0;
}

static int64_t flow(struct pty *p, uint64_t what)
{
	int64_t r = tty_check_change(&p->tty);
	char c;

	if (r < 0)
		return r;
	{
		AUTO_LOCK(&p->mu);
		switch (what) {
		case TCOOFF:
		case TCOON:
			ldisc_stop(&p->ld, what == TCOOFF);
			break;
		case TCIOFF:
		case TCION:
			c = (char)p->ld.modes.c_cc[what == TCIOFF ? VSTOP : VSTART];
			if (c)
				ldisc_output(&p->ld, &c, 1);
			break;
		default:
			return -EINVAL;
		}
	}
	wake_both(p);
	return 0;
}

static int64_t put_int(struct task *t, uint64_t arg, uint32_t v)
{
	return put_guest_u32(t, gptr(arg), v);
}

/* What both ends answer alike. */
static int64_t common_ioctl(struct pty *p, struct file *f, struct task *t, unsigned cmd,
			    uint64_t arg, bool master)
{
	struct linux_winsize size;
	uint32_t v;

	switch (cmd) {
	case TCGETS:
		return get_modes(p, t, arg, sizeof(struct linux_termios));
	case TCGETS2:
		return get_modes(p, t, arg, sizeof(struct linux_termios2));
	case TCSETS:
	case TCSETSW:
	case TCSETSF:
	case TCSETS2:
	case TCSETSW2:
	case TCSETSF2:
	case TCSETA:
	case TCSETAW:
	case TCSETAF:
		return set_modes(p, t, cmd, arg);
	case TCGETA:
		return get_modes_old(p, t, arg);
	case TIOCGLCKTRMIOS:
		return get_locked_modes(p, t, arg);
	case TIOCSLCKTRMIOS:
		return lock_modes(p, t, arg);
	case TIOCGWINSZ: {
		AUTO_LOCK(&p->mu);
		size = p->size;
	}
		return copy_to_guest(t, gptr(arg), &size, sizeof(size));
	case TIOCSWINSZ:
		return set_size(p, t, arg);
	case TCFLSH:
		return flush(p, arg, master);
	case TCXONC:
		return flow(p, arg);
	case TCSBRK:
	case TCSBRKP:
		return tty_check_change(&p->tty);
	case TIOCSBRK:
	case TIOCCBRK:
		return 0;
	case TIOCOUTQ: {
		AUTO_LOCK(&p->mu);
		v = master ? 0 : p->ld.out.used;
	}
		return put_int(t, arg, v);
	case FIONREAD: {
		AUTO_LOCK(&p->mu);
		v = master ? p->ld.out.used : ldisc_readable_bytes(&p->ld);
	}
		return put_int(t, arg, v);
	case TIOCGETD:
		return put_int(t, arg, 0);
	case TIOCSETD:
		if (get_guest_u32(t, &v, gptr(arg)))
			return -EFAULT;
		return v == 0 ? 0 : -EINVAL;
	case TIOCEXCL:
	case TIOCNXCL: {
		AUTO_LOCK(&p->mu);
		p->exclusive = cmd == TIOCEXCL;
	}
		return 0;
	case TIOCGEXCL: {
		AUTO_LOCK(&p->mu);
		v = p->exclusive;
	}
		return put_int(t, arg, v);
	case TIOCSTI:
		return -EIO; /* as with dev.tty.legacy_tiocsti=0 */
	}
	return tty_ioctl_job(&p->tty, f, t, cmd, arg, master);
}

static int64_t slave_ioctl(struct file *f, struct task *t, unsigned cmd, uint64_t arg)
{
	struct pty *p = f->priv;

	if (!p->master_open)
		return cmd == TIOCSPGRP ? -ENOTTY : -EIO;
	return common_ioctl(p, f, t, cmd, arg, false);
}

/* TIOCGPTPEER: the slave, without a path. */
static int64_t open_peer(struct pty *p, struct file *f, struct task *t, uint64_t flags)
{
	AUTO(dirent) struct dirent *d = NULL;
	struct path path;
	struct file *out;
	char name[16];
	int r;

	if (flags & ~(uint64_t)(O_ACCMODE | O_NOCTTY | O_NONBLOCK | O_CLOEXEC | O_DIRECTORY |
				O_NOFOLLOW | 0100000))
		return -EINVAL;
	snprintf(name, sizeof(name), "%u", p->tty.index);
	r = dirent_lookup(p->fs->root, name, strlen(name), &d);
	if (r < 0)
		return r;
	if (dirent_negative(d))
		return -EIO;
	path = (struct path){f->path.mount, d};
	r = file_open_path(&path, (int)flags & ~O_CLOEXEC, t->cred, &out);
	return r < 0 ? r : fd_publish(t, out, flags & O_CLOEXEC);
}

static int64_t master_signal(struct pty *p, uint64_t sig)
{
	if (sig != SIGINT && sig != SIGQUIT && sig != SIGTSTP)
		return -EINVAL;
	tty_signal_foreground(&p->tty, (int)sig);
	return 0;
}

static int64_t master_ioctl(struct file *f, struct task *t, unsigned cmd, uint64_t arg)
{
	struct pty *p = f->priv;
	uint32_t v;

	switch (cmd) {
	case TIOCGPTN:
		return put_int(t, arg, p->tty.index);
	case TIOCSPTLCK:
		if (get_guest_u32(t, &v, gptr(arg)))
			return -EFAULT;
		{
			AUTO_LOCK(&p->mu);
			p->locked = v != 0;
		}
		return 0;
	case TIOCGPTLCK: {
		AUTO_LOCK(&p->mu);
		v = p->locked;
	}
		return put_int(t, arg, v);
	case TIOCPKT:
		if (get_guest_u32(t, &v, gptr(arg)))
			return -EFAULT;
		{
			AUTO_LOCK(&p->mu);
			p->packet = v != 0;
			p->ld.packet = 0;
		}
		return 0;
	case TIOCGPKT: {
		AUTO_LOCK(&p->mu);
		v = p->packet;
	}
		return put_int(t, arg, v);
	case TIOCGPTPEER:
		return open_peer(p, f, t, arg);
	case TIOCSIG:
		return master_signal(p, arg);
	case TIOCSCTTY:
		return -ENOTTY;
	}
	return common_ioctl(p, f, t, cmd, arg, true);
}

/* ---- life ---------------------------------------------------------------------------------- */

static const struct file_ops slave_ops = {
	.read = slave_read,
	.write = slave_write,
	.poll = slave_poll,
	.waitq = slave_waitq,
	.ioctl = slave_ioctl,
	.release = slave_release,
};

static const struct file_ops master_ops = {
	.read = master_read,
	.write = master_write,
	.poll = master_poll,
	.waitq = master_waitq,
	.ioctl = master_ioctl,
	.release = master_release,
};

static bool pty_tostop(struct tty *t)
{
	struct pty *p = pty_of(t);

	AUTO_LOCK(&p->mu);
	return p->ld.modes.c_lflag & TOSTOP;
}

static int pty_tty_open(struct tty *t, struct file *f)
{
	return pty_open_slave(pty_of(t), f);
}

static void pty_release(struct tty *t)
{
	struct pty *p = pty_of(t);

	ktimer_cancel(&p->vtime);
	ldisc_fini(&p->ld);
	waitq_destroy(&p->master_wq);
	waitq_destroy(&p->slave_wq);
	mutex_destroy(&p->mu);
	tty_fini(t);
	fs_put(p->fs);
	free(p);
}

/* tasks_lock is held, which ranks before LOCK_TTY: the queue may be woken. */
static void pty_hangup_locked(struct tty *t)
{
	waitq_wake(&pty_of(t)->slave_wq, READ_EVENTS | WRITE_EVENTS);
}

static const struct tty_ops pty_tty_ops = {
	.release = pty_release,
	.open = pty_tty_open,
	.tostop = pty_tostop,
	.hangup_locked = pty_hangup_locked,
};

int pty_open_master(struct fs *devpts_fs, struct file *f)
{
	struct pty *p = calloc(1, sizeof(*p));
	int r;

	if (!p)
		return -ENOMEM;
	tty_init(&p->tty, &pty_tty_ops, 0);
	p->fs = fs_get(devpts_fs);
	mutex_init(&p->mu, LOCK_TTY);
	waitq_init(&p->master_wq);
	waitq_init(&p->slave_wq);
	ktimer_init(&p->vtime, vtime_fired);
	ldisc_init(&p->ld);
	p->locked = true;
	p->master_open = true;
	r = devpts_add(devpts_fs, &p->tty, f->cred);
	if (r < 0) {
		tty_put(&p->tty);
		return r;
	}
	f->priv = p;
	f->ops = &master_ops;
	f->mode &= ~(uint32_t)FILE_SEEKABLE;
	f->mode |= FILE_STREAM;
	return 0;
}

int pty_open_slave(struct pty *p, struct file *f)
{
	{
		AUTO_LOCK(&p->mu);
		if (!p->master_open || p->locked)
			return -EIO;
		if (p->exclusive && !cred_capable(f->cred, CAP_SYS_ADMIN))
			return -EBUSY;
		p->slaves++;
		p->slave_opened = true;
	}
	tty_get(&p->tty);
	f->priv = p;
	f->ops = &slave_ops;
	f->mode &= ~(uint32_t)FILE_SEEKABLE;
	f->mode |= FILE_STREAM;
	if (!(atomic_load(&f->flags) & O_NOCTTY))
		tty_opened(&p->tty, f);
	return 0;
}
