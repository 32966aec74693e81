/* Commands for a stopped thread: host mapping calls, at once or riding on the next resume, and
 * small operations on guest memory.
 *
 * The queue holds calls in order. calls_send() copies them into the slot for the next hand-over,
 * whose sequence number the stub repeats in slot.done when it has run them; then anybody may
 * collect the results. A result is copied once and means only something to the guest that the
 * stub belongs to. */
#include "platform/seccomp/impl.h"

#include <errno.h>
#include <linux/futex.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "platform/call_check.h"

/* Many in one message. Calls whose descriptors can't be sent become one that fails. */
static void fds_send_locked(struct pf_thread *t)
{
	struct posted *with[SLOT_FDS];
	int fd[SLOT_FDS];
	unsigned n = 0;

	for (unsigned i = 0; i < t->nqueued && n < t->nunsent; i++)
		if (t->queue[i].fd >= 0) {
			fd[n] = t->queue[i].fd;
			with[n++] = &t->queue[i];
		}
	t->nunsent = 0;
	if (n == 0)
		return;
	for (unsigned i = 0; i < n; i++)
		with[i]->fd = -1;
	if (space_send_fds(t->space, fd, n) == 0)
		return;
	for (unsigned i = 0; i < n; i++)
		with[i]->cmd = (struct slot_cmd){.op = SYS_munmap, .a = {1, 0}};
}

void calls_send_fds(struct pf_thread *t)
{
	AUTO_LOCK(&t->call_mu);
	fds_send_locked(t);
}

unsigned calls_send(struct pf_thread *t)
{
	if (!__atomic_load_n(&t->nqueued, __ATOMIC_RELAXED))
		return 0;
	AUTO_LOCK(&t->call_mu);
	fds_send_locked(t);
	for (unsigned i = 0; i < t->nqueued; i++)
		t->slot->cmd[i] = t->queue[i].cmd;
	t->nsent = t->nqueued;
	t->sent_seq = t->seq + 1;
	return t->nsent;
}

/* Takes the calls that were sent out of the queue and reports them; false if there are none yet.
 * Called with call_mu held, which it drops around the reports. */
static void report_locked(struct pf_thread *t, unsigned n, bool aborted)
{
	struct posted done[POST_MAX];

	memcpy(done, t->queue, n * sizeof(done[0]));
	for (unsigned i = 0; i < n; i++)
		done[i].cmd.ret = aborted ? -EINTR : t->slot->cmd[i].ret;
	memmove(t->queue, t->queue + n, (t->nqueued - n) * sizeof(done[0]));
	__atomic_store_n(&t->nqueued, t->nqueued - n, __ATOMIC_RELAXED);
	__atomic_store_n(&t->nsent, 0, __ATOMIC_RELAXED);
	t->nreporting++;
	mutex_unlock(&t->call_mu);
	for (unsigned i = 0; i < n; i++)
		if (done[i].done)
			done[i].done(done[i].ctx, done[i].cmd.ret);
	mutex_lock(&t->call_mu);
	t->nreporting--;
}

static bool sent_are_done(struct pf_thread *t)
{
	return (int32_t)(__atomic_load_n(&t->slot->done, __ATOMIC_ACQUIRE) - t->sent_seq) >= 0;
}

/* The caller knows that the stub has run what was sent. */
void calls_collect(struct pf_thread *t)
{
	if (!__atomic_load_n(&t->nsent, __ATOMIC_RELAXED))
		return;
	AUTO_LOCK(&t->call_mu);
	if (t->nsent)
		report_locked(t, t->nsent, false);
}

void calls_abort(struct pf_thread *t)
{
	AUTO_LOCK(&t->call_mu);
	t->nunsent = 0;
	while (t->nqueued)
		report_locked(t, t->nqueued, true);
}

bool seccomp_calls_ran(struct pf_thread *t)
{
	AUTO_LOCK(&t->call_mu);
	return !t->nqueued || atomic_load(&t->space->dead) ||
	       (t->nsent == t->nqueued && sent_are_done(t));
}

void seccomp_call_wait(struct pf_thread *t)
{
	struct slot *s = t->slot;

	AUTO_LOCK(&t->call_mu);
	while (t->nqueued || t->nreporting) {
		struct timespec slice = {0, 20 * 1000 * 1000};
		uint32_t done = __atomic_load_n(&s->done, __ATOMIC_ACQUIRE);
		bool sent = t->nsent;

		if (atomic_load(&t->space->dead)) {
			if (t->nqueued)
				report_locked(t, t->nqueued, true);
		} else if (sent && sent_are_done(t)) {
			report_locked(t, t->nsent, false);
			continue;
		}
		mutex_unlock(&t->call_mu);
		if (sent) {
			__atomic_store_n(&s->done_waiters, 1, __ATOMIC_SEQ_CST);
			syscall(SYS_futex, &s->done, FUTEX_WAIT, done, &slice, NULL, 0);
		} else {
			/* Not handed over yet, or being reported by another thread. */
			slice.tv_nsec = 20 * 1000;
			nanosleep(&slice, NULL);
		}
		mutex_lock(&t->call_mu);
	}
	__atomic_store_n(&s->done_waiters, 0, __ATOMIC_RELAXED);
}

/* After `before` commands that are in the slot already. */
static int run_after(struct pf_thread *t, unsigned before, struct slot_cmd *cmd, unsigned n)
{
	int r;

	if (atomic_load(&t->space->dead))
		return -ESRCH;
	memcpy(&t->slot->cmd[before], cmd, n * sizeof(*cmd));
	t->slot->ncmd = before + n;
	r = handover_wait(t, WAIT_COMMANDS, handover_give(t, SLOT_CMD));
	for (unsigned i = 0; r == 0 && i < n; i++)
		cmd[i].ret = t->slot->cmd[before + i].ret;
	return r;
}

int commands_run(struct pf_thread *t, struct slot_cmd *cmd, unsigned n)
{
	int r;

	borrow_lock(t);
	r = run_after(t, calls_send(t), cmd, n);
	borrow_unlock(t);
	if (r)
		calls_abort(t);
	else
		calls_collect(t);
	return r;
}

void calls_flush(struct pf_thread *t)
{
	struct slot_cmd none;

	if (__atomic_load_n(&t->nqueued, __ATOMIC_RELAXED))
		commands_run(t, &none, 0);
}

ssize_t commands_copy(struct pf_thread *t, bool write, void *local, uint64_t remote, size_t len)
{
	uint8_t *window = (uint8_t *)t->slot + SLOT_WINDOW;
	struct slot_cmd cmd = {.op = write ? CMD_COPY_OUT : CMD_COPY_IN, .a = {remote}};
	size_t n = len < SLOT_WINDOW_SIZE ? len : SLOT_WINDOW_SIZE;
	int r;

	AUTO_LOCK(&t->borrow_mu);
	if (atomic_load(&t->running))
		return -EAGAIN;
	cmd.a[1] = n;
	if (write)
		memcpy(window, local, n);
	r = run_after(t, 0, &cmd, 1);
	if (r)
		return r;
	if (cmd.ret < 0 || (uint64_t)cmd.ret > n)
		return -EFAULT;
	n -= cmd.ret;
	if (!write)
		memcpy(local, window, n);
	return n ? (ssize_t)n : -EFAULT;
}

/* The call as a command, or -EINVAL for what the filter would not let through or what could hit
 * the stub itself: the caller decides where everything goes. */
static int command_of(const struct pf_call *c, struct slot_cmd *cmd)
{
	static const uint16_t nr[] = {[PF_MMAP] = SYS_mmap,
				      [PF_MUNMAP] = SYS_munmap,
				      [PF_MPROTECT] = SYS_mprotect,
				      [PF_MREMAP] = SYS_mremap,
				      [PF_MADVISE] = SYS_madvise};
	struct pf_call checked = *c;
	int r;

	memset(cmd, 0, sizeof(*cmd));
	if (c->nr == PF_KEEP || c->nr == PF_DROP) {
		cmd->op = c->nr == PF_KEEP ? (uint64_t)CMD_KEEP_FD : SYS_close;
		cmd->a[0] = c->arg[0];
		return c->nr == PF_KEEP ? 0 : c->arg[0] == STUB_SOCK ? -EINVAL : 0;
	}
	r = pf_call_check(&checked);
	if (r)
		return r;
	cmd->op = c->nr == PF_MMAP && c->fd >= 0 ? CMD_MMAP_FD : nr[c->nr];
	memcpy(cmd->a, checked.arg, sizeof(cmd->a));
	return 0;
}

static bool takes_fd(const struct slot_cmd *cmd)
{
	return cmd->op == CMD_MMAP_FD || cmd->op == CMD_KEEP_FD;
}

static int64_t call_with_fd(struct pf_thread *t, struct slot_cmd *cmd, int fd)
{
	int r;

	AUTO_LOCK(&t->space->op_mu);
	calls_send_fds(t);
	r = space_send_fds(t->space, &fd, 1);
	if (r == 0)
		r = commands_run(t, cmd, 1);
	return r;
}

int64_t seccomp_call(struct pf_thread *t, const struct pf_call *c)
{
	struct slot_cmd cmd;
	int r = command_of(c, &cmd);

	if (r)
		return r;
	if (takes_fd(&cmd))
		r = call_with_fd(t, &cmd, c->fd);
	else
		r = commands_run(t, &cmd, 1);
	if (r)
		return r == -ESRCH ? -EINTR : r;
	return cmd.ret;
}

static int post_locked(struct pf_thread *t, const struct slot_cmd *cmd, const struct pf_call *c)
{
	if (t->nqueued == POST_MAX)
		return -EAGAIN;
	t->queue[t->nqueued] = (struct posted){*cmd, c->done, c->ctx, -1};
	__atomic_store_n(&t->nqueued, t->nqueued + 1, __ATOMIC_RELAXED);
	return 0;
}

static bool space_has_one_thread(struct pf_space *s)
{
	AUTO_LOCK(&s->mu);
	return s->nthreads == 1;
}

/* The descriptor goes out now and waits in the socket for its command; or, if it lasts, with others at the
 * hand-over. The thread is the only one of its space, so no other's command can take the message; messages and
 * commands are both in order. */
static int post_with_fd(struct pf_thread *t, const struct slot_cmd *cmd, const struct pf_call *c)
{
	int r;

	AUTO_LOCK(&t->space->op_mu);
	AUTO_LOCK(&t->call_mu);
	if (t->nqueued == POST_MAX)
		return -EAGAIN;
	if (!c->fd_lasts || t->nunsent == SLOT_FDS)
		fds_send_locked(t);
	if (c->fd_lasts) {
		r = post_locked(t, cmd, c);
		t->queue[t->nqueued - 1].fd = c->fd;
		t->nunsent++;
		return r;
	}
	r = space_send_fds(t->space, &c->fd, 1);
	return r ? -EAGAIN : post_locked(t, cmd, c);
}

int seccomp_call_post(struct pf_thread *t, const struct pf_call *c)
{
	struct slot_cmd cmd;
	int r = command_of(c, &cmd);

	if (r)
		return r;
	if (takes_fd(&cmd)) {
		int64_t result;

		if (space_has_one_thread(t->space))
			return post_with_fd(t, &cmd, c);
		result = seccomp_call(t, c);
		if (c->done)
			c->done(c->ctx, result);
		return 0;
	}
	AUTO_LOCK(&t->call_mu);
	return post_locked(t, &cmd, c);
}

int seccomp_cmpxchg32(struct pf_thread *t, struct gptr addr, uint32_t expect, uint32_t desired,
		      uint32_t *old)
{
	struct slot_cmd cmd = {.op = CMD_CMPXCHG32, .a = {addr.v, expect, desired}};
	int r;

	if (addr.v & 3 || addr.v > PF_GUEST_MAX - 4)
		return -EFAULT;
	window_flush(t);
	r = commands_run(t, &cmd, 1);
	if (r || cmd.ret < 0)
		return -EFAULT;
	*old = cmd.ret;
	return 0;
}
