/* Terminals of the host. Modes and size are the host's own: requests about them are passed on. What
 * job control is about (the controlled session, the foreground group) is the sandbox's: the host only
 * knows the launcher, which forwards the signals that its terminal sends it. */
#include <errno.h>
#include <fcntl.h>
#include <linux/tty.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <asm/termbits.h>
#include <unistd.h>

#include "abi/linux/termios.h"
#include "sentry/fs/hostfile.h"
#include "sentry/fs/hostfile_impl.h"
#include "sentry/fs/pty.h"
#include "sentry/kernel/session.h"
#include "sentry/kernel/task.h"
#include "sentry/mm/usercopy.h"
#include "vfs/file.h"

static struct mutex list_mu = MUTEX_INIT(LOCK_NONE);
static struct list ttys = LIST_INIT(ttys);

static void host_tty_release(struct tty *t)
{
	struct host_tty *ht = container_of(t, struct host_tty, tty);

	close(ht->fd);
	tty_fini(t);
	free(ht);
}

static bool host_tty_tostop(struct tty *t)
{
	return atomic_load(&container_of(t, struct host_tty, tty)->tostop);
}

/* /dev/tty of a sandbox whose terminal is the host's. */
static int host_tty_open(struct tty *t, struct file *f)
{
	return host_file_adopt(container_of(t, struct host_tty, tty)->fd, f);
}

struct tty *hostfile_console(void)
{
	AUTO_LOCK(&list_mu);
	struct host_tty *ht = list_first(&ttys, struct host_tty, node);

	return ht ? tty_get(&ht->tty) : NULL;
}

static const struct tty_ops host_tty_ops = {
	.release = host_tty_release,
	.open = host_tty_open,
	.tostop = host_tty_tostop,
};

static void note_modes(struct host_tty *ht, uint32_t lflag, const uint8_t *cc)
{
	bool timed = !(lflag & ICANON) && cc[VMIN] == 0;

	atomic_store(&ht->tostop, (lflag & TOSTOP) != 0);
	atomic_store(&ht->read_tenths, timed ? cc[VTIME] : 0);
}

/* ---- VTIME: our descriptor doesn't block, so the host cannot do the waiting ----------------------- */

enum { VTIME_IDLE, VTIME_RUNNING, VTIME_OVER };

static void vtime_fired(struct ktimer *t)
{
	struct host_inode *hi = container_of(t, struct host_inode, vtime);
	int running = VTIME_RUNNING;

	if (atomic_compare_exchange_strong(&hi->vtime_state, &running, VTIME_OVER))
		waitq_wake(&hi->poll.wq, POLLIN | POLLRDNORM);
}

void host_tty_vtime_init(struct host_inode *hi)
{
	ktimer_init(&hi->vtime, vtime_fired);
}

ssize_t host_tty_vtime(struct host_inode *hi, ssize_t r)
{
	unsigned tenths = atomic_load(&hi->tty->read_tenths);
	int idle = VTIME_IDLE;

	if (r != -EAGAIN || tenths == 0) {
		if (atomic_exchange(&hi->vtime_state, VTIME_IDLE) == VTIME_RUNNING)
			ktimer_disarm(&hi->vtime);
		return r;
	}
	if (atomic_load(&hi->vtime_state) == VTIME_OVER) {
		atomic_store(&hi->vtime_state, VTIME_IDLE);
		return 0;
	}
	if (atomic_compare_exchange_strong(&hi->vtime_state, &idle, VTIME_RUNNING))
		ktimer_arm(&hi->vtime, now_mono_ns() + tenths * 100000000ULL);
	return -EAGAIN;
}

int host_tty_get(int fd, uint64_t host_rdev, const struct cred *cred, struct host_tty **out)
{
	struct fs *pts = devpts_default();
	struct termios modes;
	struct host_tty *ht;

	AUTO_LOCK(&list_mu);
	list_for_each(h, &ttys, struct host_tty, node) {
		if (h->host_rdev == host_rdev) {
			tty_get(&h->tty);
			*out = h;
			return 0;
		}
	}
	ht = calloc(1, sizeof(*ht));
	if (!ht)
		return -ENOMEM;
	ht->fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	if (ht->fd < 0) {
		free(ht);
		return -errno;
	}
	tty_init(&ht->tty, &host_tty_ops, (unsigned)host_rdev);
	if (pts)
		devpts_add(pts, &ht->tty, cred); /* without a node it has no name, that is all */
	ht->host_rdev = host_rdev;
	if (ioctl(fd, TCGETS, &modes) == 0)
		note_modes(ht, modes.c_lflag, modes.c_cc);
	/* Terminals of the host stay listed, and alive, as long as the sandbox. */
	tty_get(&ht->tty);
	list_push_back(&ttys, &ht->node);
	*out = ht;
	return 0;
}

void hostfile_winsize_changed(void)
{
	AUTO_LOCK(&list_mu);
	list_for_each(h, &ttys, struct host_tty, node)
		tty_signal_foreground(&h->tty, SIGWINCH);
}

static int64_t get_block(int fd, struct task *t, unsigned cmd, uint64_t arg, size_t size)
{
	char buf[64] = {0};

	if (ioctl(fd, cmd, buf) < 0)
		return -errno;
	return copy_to_guest(t, gptr(arg), buf, size);
}

/* W and F wait until the output is gone, which could take forever: the change is made at once. */
static int64_t set_modes(struct host_tty *ht, struct task *t, unsigned cmd, uint64_t arg)
{
	bool two = cmd == TCSETS2 || cmd == TCSETSW2 || cmd == TCSETSF2;
	struct termios2 modes = {0};
	int64_t r = tty_check_change(&ht->tty);

	if (r < 0)
		return r;
	r = copy_from_guest(t, &modes, gptr(arg),
			    two ? sizeof(struct linux_termios2) : sizeof(struct linux_termios));
	if (r < 0)
		return r;
	if (cmd == TCSETSF || cmd == TCSETSF2)
		ioctl(ht->fd, TCFLSH, TCIFLUSH);
	if (ioctl(ht->fd, two ? TCSETS2 : TCSETS, &modes) < 0)
		return -errno;
	note_modes(ht, modes.c_lflag, modes.c_cc);
	return 0;
}

static int64_t set_winsize(struct host_tty *ht, struct task *t, uint64_t arg)
{
	struct linux_winsize old, size;

	if (get_guest(t, &size, gptr(arg)) < 0)
		return -EFAULT;
	if (ioctl(ht->fd, TIOCGWINSZ, &old) == 0 && memcmp(&old, &size, sizeof(old)) == 0)
		return 0;
	if (ioctl(ht->fd, TIOCSWINSZ, &size) < 0)
		return -errno;
	tty_signal_foreground(&ht->tty, SIGWINCH);
	return 0;
}

int64_t host_tty_ioctl(struct host_inode *hi, struct file *f, struct task *t, unsigned cmd,
		       uint64_t arg)
{
	struct host_tty *ht = hi->tty;
	int64_t r;

	switch (cmd) {
	case TCGETS:
		return get_block(ht->fd, t, cmd, arg, sizeof(struct linux_termios));
	case TCGETS2:
		return get_block(ht->fd, t, cmd, arg, sizeof(struct linux_termios2));
	case TCSETS:
	case TCSETSW:
	case TCSETSF:
	case TCSETS2:
	case TCSETSW2:
	case TCSETSF2:
		return set_modes(ht, t, cmd, arg);
	case TIOCGWINSZ:
		return get_block(ht->fd, t, cmd, arg, sizeof(struct linux_winsize));
	case TIOCSWINSZ:
		return set_winsize(ht, t, arg);
	case TIOCOUTQ:
	case TIOCGETD:
		return get_block(ht->fd, t, cmd, arg, sizeof(int));
	case TCFLSH:
	case TCXONC:
		r = tty_check_change(&ht->tty);
		if (r < 0)
			return r;
		return ioctl(ht->fd, cmd, arg) < 0 ? -errno : 0;
	case TCSBRK:
	case TCSBRKP:
		return tty_check_change(&ht->tty); /* what waits for output does not wait */
	case TIOCSTI:
	case TIOCLINUX:
	case TIOCCONS:
		return -EPERM;
	}
	return tty_ioctl_job(&ht->tty, f, t, cmd, arg, false);
}
