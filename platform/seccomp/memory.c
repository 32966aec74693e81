/* Guest memory and what the host knows of a stub's use of CPU and memory. */
#include <errno.h>
#include <string.h>
#include <sys/uio.h>

#include "platform/host_proc.h"
#include "platform/seccomp/impl.h"

static ssize_t copy_direct(struct pf_space *s, bool write, void *local, uint64_t remote, size_t len)
{
	struct iovec l = {local, len}, r = {(void *)remote, len};
	ssize_t n = write ? process_vm_writev(s->pid, &l, 1, &r, 1, 0)
			  : process_vm_readv(s->pid, &l, 1, &r, 1, 0);

	if (n > 0)
		return n;
	return n < 0 && errno == ESRCH ? -ESRCH : -EFAULT;
}

/* Where the host denies process_vm_*: any stopped thread of the space does it. Holding the list's
 * lock keeps the thread; space_kill() waits for it, for as long as a copy of a window takes. */
static ssize_t copy_by_stub(struct pf_space *s, bool write, void *local, uint64_t remote, size_t len)
{
	AUTO_LOCK(&s->copy_mu);
	for (;;) {
		struct pf_thread *t = NULL;
		ssize_t r;

		mutex_lock(&s->mu);
		list_for_each(c, &s->threads, struct pf_thread, link)
			if (!atomic_load(&c->running)) {
				t = c;
				break;
			}
		if (t)
			t->borrowed = true;
		mutex_unlock(&s->mu);
		if (!t)
			return -EFAULT;
		r = commands_copy(t, write, local, remote, len);
		mutex_lock(&s->mu);
		t->borrowed = false;
		cond_broadcast(&s->borrow_end);
		mutex_unlock(&s->mu);
		if (r != -EAGAIN)
			return r;
	}
}

/* The host copies as many whole pages as it can reach: go on until it says why it stopped. */
static ssize_t vm_copy(struct pf_space *s, bool write, void *local, uint64_t remote, size_t len)
{
	size_t done = 0;

	if (atomic_load_explicit(&s->dead, memory_order_relaxed))
		return -ESRCH;
	while (done < len) {
		ssize_t n = (s->p->process_vm ? copy_direct : copy_by_stub)(
			s, write, (uint8_t *)local + done, remote + done, len - done);

		if (n < 0)
			return done ? (ssize_t)done : n;
		done += n;
	}
	return done;
}

ssize_t seccomp_read(struct pf_space *s, void *dst, struct gptr src, size_t len)
{
	size_t n;

	if (src.v > PF_GUEST_MAX || len > PF_GUEST_MAX - src.v)
		return -EFAULT;
	n = window_read(s, dst, src, len);
	if (n)
		return (ssize_t)n;
	return vm_copy(s, false, dst, src.v, len);
}

ssize_t seccomp_write(struct pf_space *s, struct gptr dst, const void *src, size_t len)
{
	if (dst.v > PF_GUEST_MAX || len > PF_GUEST_MAX - dst.v)
		return -EFAULT;
	window_written(s, dst, len);
	return vm_copy(s, true, (void *)src, dst.v, len);
}

/* Whether the host lets us at the stub's memory, tried on the zygote's code. */
bool memory_probe(struct pf_space *s)
{
	uint8_t byte;

	return copy_direct(s, false, &byte, STUB_TEXT, 1) == 1;
}

static bool only_thread_ever(struct pf_space *s)
{
	AUTO_LOCK(&s->mu);
	return s->next_slot == 1;
}

/* The clock of a process can be read at once; a thread's is in /proc. */
int seccomp_thread_cpu_time(struct pf_thread *t, uint64_t *user_ns, uint64_t *sys_ns)
{
	int r;

	if (only_thread_ever(t->space))
		return host_process_cpu_time(t->space->pid, user_ns, sys_ns);
	r = host_thread_cpu_time(t->space->p->procfd, t->space->pid, t->tid, user_ns, sys_ns);
	if (r == 0)
		*user_ns -= *user_ns < t->cpu_base_ns ? *user_ns : t->cpu_base_ns;
	return r;
}

int seccomp_space_cpu_time(struct pf_space *s, uint64_t *user_ns, uint64_t *sys_ns)
{
	return host_process_cpu_time(s->pid, user_ns, sys_ns);
}

uint64_t seccomp_space_rss(struct pf_space *s)
{
	return host_process_rss(s->p->procfd, s->pid);
}

uint64_t seccomp_space_shared(struct pf_space *s)
{
	return host_process_shared(s->p->procfd, s->pid);
}

uint64_t seccomp_thread_maxrss(struct pf_thread *t)
{
	return (uint64_t)__atomic_load_n(&t->slot->maxrss, __ATOMIC_RELAXED) << 10;
}
