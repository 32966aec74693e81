/* Guest memory and what the host knows of a stub's use of CPU and memory. */
#include "platform/seccomp/impl.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "abi/base/cleanup.h"

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

/* The thread that this S serves. Only its own S reads from a window, so that nothing needs a lock. */
static _Thread_local struct pf_thread *served;

void memory_window(struct pf_thread *t, bool open)
{
	uint32_t n = __atomic_load_n(&t->slot->in_len, __ATOMIC_RELAXED);

	served = NULL;
	/* Without process_vm_* others copy through the same window. */
	if (!open || !n || n > SLOT_WINDOW_SIZE || !t->space->p->process_vm)
		return;
	t->in_addr = t->slot->in_addr;
	t->in_len = n;
	served = t;
}

static size_t window_read(struct pf_space *s, void *dst, uint64_t src, size_t len)
{
	struct pf_thread *t = served;
	uint64_t off;

	if (!t || t->space != s)
		return 0;
	off = src - t->in_addr;
	if (off >= t->in_len)
		return 0;
	if (len > t->in_len - off)
		len = t->in_len - off;
	memcpy(dst, (const uint8_t *)t->slot + SLOT_WINDOW + off, len);
	return len;
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
	n = window_read(s, dst, src.v, len);
	if (n)
		return (ssize_t)n;
	return vm_copy(s, false, dst, src.v, len);
}

ssize_t seccomp_write(struct pf_space *s, struct gptr dst, const void *src, size_t len)
{
	if (dst.v > PF_GUEST_MAX || len > PF_GUEST_MAX - dst.v)
		return -EFAULT;
	served = NULL; /* what the guest would read from now on may differ */
	return vm_copy(s, true, (void *)src, dst.v, len);
}

/* Whether the host lets us at the stub's memory, tried on the zygote's code. */
bool memory_probe(struct pf_space *s)
{
	uint8_t byte;

	return copy_direct(s, false, &byte, STUB_TEXT, 1) == 1;
}

static int proc_read(struct pf_space *s, const char *file, char *buf, size_t cap)
{
	char path[64];
	ssize_t n;

	if (s->p->procfd < 0)
		return -ENOENT;
	snprintf(path, sizeof(path), "%d/%s", s->pid, file);
	AUTO(fd) int fd = openat(s->p->procfd, path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	n = read(fd, buf, cap - 1);
	if (n < 0)
		return -errno;
	buf[n] = 0;
	return n;
}

/* schedstat counts in ns what stat counts in ticks, but not user and system time apart: a stub's
 * thread spends nearly all of its time in user mode. */
int seccomp_thread_cpu_time(struct pf_thread *t, uint64_t *user_ns, uint64_t *sys_ns)
{
	char buf[128], path[40];
	unsigned long long run;
	int r;

	snprintf(path, sizeof(path), "task/%d/schedstat", t->tid);
	r = proc_read(t->space, path, buf, sizeof(buf));
	if (r < 0)
		return r;
	if (sscanf(buf, "%llu", &run) != 1)
		return -EIO;
	*user_ns = run;
	*sys_ns = 0;
	return 0;
}

/* The clock of another process: ~pid shifted, and what to count (posix-timers.h of the kernel's
 * uapi: 1 user time, 2 all of it). User time is sampled by ticks and may be ahead of the whole. */
#define CPU_CLOCK(pid, what) ((clockid_t)((~(unsigned)(pid) << 3) | (what)))

static int cpu_clock_ns(pid_t pid, unsigned what, uint64_t *ns)
{
	struct timespec ts;

	if (clock_gettime(CPU_CLOCK(pid, what), &ts) < 0)
		return -errno;
	*ns = (uint64_t)ts.tv_sec * 1000000000ULL + (uint64_t)ts.tv_nsec;
	return 0;
}

int seccomp_space_cpu_time(struct pf_space *s, uint64_t *user_ns, uint64_t *sys_ns)
{
	uint64_t user = 0, all = 0;
	int r = cpu_clock_ns(s->pid, 2, &all);

	if (r == 0)
		r = cpu_clock_ns(s->pid, 1, &user);
	if (r < 0)
		return r;
	*user_ns = user < all ? user : all;
	*sys_ns = all - *user_ns;
	return 0;
}

uint64_t seccomp_space_rss(struct pf_space *s)
{
	char buf[128];
	unsigned long long size, resident, shared;

	if (proc_read(s, "statm", buf, sizeof(buf)) < 0 ||
	    sscanf(buf, "%llu %llu %llu", &size, &resident, &shared) != 3)
		return 0;
	return resident * 4096;
}
