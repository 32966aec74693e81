/* Host calls in a stopped thread, at once or before its next run, and descriptors for them. */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "platform/call_check.h"
#include "platform/ptrace/impl.h"

/* At PTSTUB_DATA: what the stub's recvmsg needs. The guest may change it under us; then it loses
 * the descriptor. */
struct mailbox {
	struct msghdr msg;
	struct iovec iov;
	uint64_t byte;
	uint8_t control[CMSG_SPACE(sizeof(int))];
};

static int fd_send(struct pf_space *s, int fd)
{
	char byte = 0;
	struct iovec iov = {&byte, 1};
	union {
		struct cmsghdr h;
		char space[CMSG_SPACE(sizeof(int))];
	} c = {.h = {CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS}};
	struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &c,
			   .msg_controllen = sizeof(c)};

	memcpy(CMSG_DATA(&c.h), &fd, sizeof(fd));
	if (sendmsg(s->sock, &m, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
		return errno == ETOOMANYREFS ? -EAGAIN : -errno;
	return 0;
}

int pt_fd_hand_over(struct pf_space *s, int fd)
{
	struct mailbox m = {
		.msg = {.msg_iov = (void *)(PTSTUB_DATA + offsetof(struct mailbox, iov)),
			.msg_iovlen = 1,
			.msg_control = (void *)(PTSTUB_DATA + offsetof(struct mailbox, control)),
			.msg_controllen = sizeof(m.control)},
		.iov = {(void *)(PTSTUB_DATA + offsetof(struct mailbox, byte)), 1},
	};

	if (pt_memory_copy(s, true, &m, PTSTUB_DATA, sizeof(m)) != sizeof(m))
		return -ESRCH;
	return fd_send(s, fd);
}

static int64_t mmap_fd(struct pf_thread *t, const uint64_t arg[6], int fd)
{
	struct user_regs_struct r = {.rdi = arg[0], .rsi = arg[1], .rdx = arg[2], .r10 = arg[3],
				     .r9 = arg[5], .rbx = PTSTUB_DATA};
	int64_t ret;
	int err;

	AUTO_LOCK(&t->space->op_mu);
	err = pt_fd_hand_over(t->space, fd);
	if (!err)
		err = tracee_inject(t, ptstub_addr(ptstub_mmap_fd), &r, &ret);
	return err ? err : ret;
}

static int64_t execute(struct pf_thread *t, const struct pf_call *c)
{
	static const uint16_t nr[] = {[PF_MMAP] = SYS_mmap,
				      [PF_MUNMAP] = SYS_munmap,
				      [PF_MPROTECT] = SYS_mprotect,
				      [PF_MREMAP] = SYS_mremap,
				      [PF_MADVISE] = SYS_madvise};
	int64_t r;

	if (c->nr == PF_MMAP && c->fd >= 0)
		r = mmap_fd(t, c->arg, c->fd);
	else
		r = tracee_syscall(t, nr[c->nr], c->arg);
	return r == -ESRCH ? -EINTR : r;
}

static bool queue_take(struct pf_thread *t, struct pf_call *c)
{
	AUTO_LOCK(&t->call_mu);
	if (!t->nqueued)
		return false;
	*c = t->queue[0];
	memmove(t->queue, t->queue + 1, --t->nqueued * sizeof(t->queue[0]));
	t->nreporting++;
	return true;
}

static void queue_report(struct pf_thread *t, const struct pf_call *c, int64_t result)
{
	if (c->done)
		c->done(c->ctx, result);
	AUTO_LOCK(&t->call_mu);
	t->nreporting--;
	cond_broadcast(&t->reported);
}

int pt_calls_drain(struct pf_thread *t)
{
	struct pf_call c;

	if (!__atomic_load_n(&t->nqueued, __ATOMIC_RELAXED))
		return 0;
	while (queue_take(t, &c))
		queue_report(t, &c, execute(t, &c));
	return atomic_load(&t->space->dead) ? -ESRCH : 0;
}

void pt_calls_abort(struct pf_thread *t)
{
	struct pf_call c;

	while (queue_take(t, &c))
		queue_report(t, &c, -EINTR);
}

void ptrace_call_wait(struct pf_thread *t)
{
	AUTO_LOCK(&t->call_mu);
	while (t->nqueued || t->nreporting) {
		struct timespec now;

		if (atomic_load(&t->space->dead) && t->nqueued) {
			mutex_unlock(&t->call_mu);
			pt_calls_abort(t);
			mutex_lock(&t->call_mu);
			continue;
		}
		clock_gettime(CLOCK_MONOTONIC, &now);
		cond_wait(&t->reported, &t->call_mu,
			  now.tv_sec * 1000000000ULL + now.tv_nsec + 20000000ULL);
	}
}

int64_t ptrace_call(struct pf_thread *t, const struct pf_call *c)
{
	struct pf_call checked = *c;
	int r = pf_call_check(&checked);

	if (r)
		return r;
	if (pt_calls_drain(t))
		return -EINTR;
	return execute(t, &checked);
}

int ptrace_call_post(struct pf_thread *t, const struct pf_call *c)
{
	struct pf_call checked = *c;
	int r = pf_call_check(&checked);

	if (r)
		return r;
	AUTO_LOCK(&t->call_mu);
	if (t->nqueued == POST_MAX)
		return -EAGAIN;
	t->queue[t->nqueued] = checked;
	__atomic_store_n(&t->nqueued, t->nqueued + 1, __ATOMIC_RELAXED);
	return 0;
}

int ptrace_cmpxchg32(struct pf_thread *t, struct gptr addr, uint32_t expect, uint32_t desired,
		     uint32_t *old)
{
	struct user_regs_struct r = {.rdi = addr.v, .rax = expect, .rdx = desired};
	int64_t rax;

	if (addr.v & 3 || addr.v > PF_GUEST_MAX - 4)
		return -EFAULT;
	if (pt_calls_drain(t) || tracee_inject(t, ptstub_addr(ptstub_cmpxchg), &r, &rax))
		return -EFAULT;
	*old = (uint32_t)rax;
	return 0;
}
