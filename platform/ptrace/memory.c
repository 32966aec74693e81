/* Guest memory, and what guests use of the host. */
#include <errno.h>
#include <sys/uio.h>

#include "platform/host_proc.h"
#include "platform/ptrace/impl.h"

/* The host copies as many whole pages as it can reach: go on until it says why it stopped. */
ssize_t pt_memory_copy(struct pf_space *s, bool write, void *local, uint64_t remote, size_t len)
{
	size_t done = 0;

	if (atomic_load_explicit(&s->dead, memory_order_relaxed))
		return -ESRCH;
	while (done < len) {
		struct iovec l = {(uint8_t *)local + done, len - done};
		struct iovec r = {(void *)(remote + done), len - done};
		ssize_t n = write ? process_vm_writev(s->pid, &l, 1, &r, 1, 0)
				  : process_vm_readv(s->pid, &l, 1, &r, 1, 0);

		if (n <= 0) {
			if (done)
				break;
			return n < 0 && errno == ESRCH ? -ESRCH : -EFAULT;
		}
		done += n;
	}
	return done;
}

ssize_t ptrace_read(struct pf_space *s, void *dst, struct gptr src, size_t len)
{
	if (src.v > PF_GUEST_MAX || len > PF_GUEST_MAX - src.v)
		return -EFAULT;
	return pt_memory_copy(s, false, dst, src.v, len);
}

ssize_t ptrace_write(struct pf_space *s, struct gptr dst, const void *src, size_t len)
{
	if (dst.v > PF_GUEST_MAX || len > PF_GUEST_MAX - dst.v)
		return -EFAULT;
	return pt_memory_copy(s, true, (void *)src, dst.v, len);
}

int ptrace_thread_cpu_time(struct pf_thread *t, uint64_t *user_ns, uint64_t *sys_ns)
{
	return host_thread_cpu_time(t->space->p->procfd, t->space->pid, t->tid, user_ns, sys_ns);
}

int ptrace_space_cpu_time(struct pf_space *s, uint64_t *user_ns, uint64_t *sys_ns)
{
	return host_process_cpu_time(s->pid, user_ns, sys_ns);
}

uint64_t ptrace_space_rss(struct pf_space *s)
{
	return host_process_rss(s->p->procfd, s->pid);
}

uint64_t ptrace_space_shared(struct pf_space *s)
{
	return host_process_shared(s->p->procfd, s->pid);
}
