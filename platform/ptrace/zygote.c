/* The zygote: a process with nothing in it but the stub's pages and the vDSO. It begins as a fork
 * of the sentry, which makes itself small (child_main) and parks in a page of the stub at a
 * place where nothing else is. Then the sentry has it unmap everything else, by injected calls. */
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/rseq.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "abi/base/cleanup.h"
#include "abi/base/log.h"
#include "platform/ptrace/impl.h"
#include "platform/host_limits.h"

#ifdef __SANITIZE_THREAD__ /* leaves no room there; ASan none here */
#define TEMP_CODE 0x4000000000UL
#define TEMP_VDSO 0x4100000000UL
#else
#define TEMP_CODE 0x200000000000UL
#define TEMP_VDSO 0x210000000000UL
#endif
#define TASK_END 0x7ffffffff000UL

struct range {
	uint64_t start, end;
};

/* [vvar], [vvar_vclock], [vdso]: as many as the host has, adjacent. */
struct vdso_parts {
	struct range part[4];
	unsigned n;
};

static void vdso_parts_read(struct vdso_parts *v)
{
	char line[512];
	FILE *f = fopen("/proc/self/maps", "re");

	v->n = 0;
	if (!f)
		return;
	while (fgets(line, sizeof(line), f)) {
		struct range r;

		if (!strstr(line, "[vvar") && !strstr(line, "[vdso]"))
			continue;
		if (v->n < 4 && sscanf(line, "%lx-%lx", &r.start, &r.end) == 2)
			v->part[v->n++] = r;
	}
	fclose(f);
}

/* ---- in the child ---------------------------------------------------------------------------- */

/* What the host keeps for a thread in its memory, which is about to vanish. */
static void thread_memory_forget(void)
{
	void *rseq = (char *)__builtin_thread_pointer() + __rseq_offset;

	if (__rseq_size) {
		/* The size it was registered with: the C library's own choice. */
		if (syscall(SYS_rseq, rseq, 32, RSEQ_FLAG_UNREGISTER, RSEQ_SIG) < 0)
			syscall(SYS_rseq, rseq, __rseq_size, RSEQ_FLAG_UNREGISTER, RSEQ_SIG);
	}
	syscall(SYS_set_tid_address, NULL);
	syscall(SYS_set_robust_list, NULL, 24);
	syscall(SYS_sigaltstack, &(stack_t){.ss_flags = SS_DISABLE}, NULL);
}

static void signals_default(void)
{
	struct sigaction sa = {.sa_handler = SIG_DFL};
	sigset_t none;

	for (int i = 1; i < NSIG; i++)
		sigaction(i, &sa, NULL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

static void privileges_drop(void)
{
	struct __user_cap_header_struct h = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct none[2] = {0};

	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	syscall(SYS_capset, &h, none);
	prctl(PR_SET_DUMPABLE, 1, 0, 0, 0); /* so that the sentry may trace it */
	prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
}

/* Where a sentry that was started by root is not dumpable, it may not write its own. */
static void oom_score_raise(void)
{
	char text[OOM_SCORE_SIZE];
	int fd;

	host_oom_score_raised(text);
	fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return;
	if (write(fd, text, strlen(text)) < 0)
		log_debug("oom_score_adj: %s", strerror(errno));
	close(fd);
}

static _Noreturn void child_main(int sock, pid_t parent)
{
	size_t n = ptstub_end - ptstub_begin;
	void *code = mmap((void *)TEMP_CODE, PTSTUB_PAGE, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
	char ok = 1;

	if (code != (void *)TEMP_CODE)
		_exit(1);
	memcpy(code, ptstub_begin, n);
	mprotect(code, PTSTUB_PAGE, PROT_READ | PROT_EXEC);
	setpgid(0, 0);
	if (dup2(sock, 0) < 0)
		_exit(1);
	syscall(SYS_close_range, 1, ~0U, 0);
	signals_default();
	privileges_drop();
	oom_score_raise();
	host_limits_set();
	thread_memory_forget();
	if (getppid() != parent || write(0, &ok, 1) != 1)
		_exit(1);
	((void (*)(void))(TEMP_CODE + (ptstub_park - ptstub_begin)))();
	_exit(1);
}

/* ---- in the sentry --------------------------------------------------------------------------- */

static int64_t call_at(struct pf_thread *t, uint64_t base, long nr, uint64_t a, uint64_t b,
		       uint64_t c, uint64_t d, uint64_t e)
{
	struct user_regs_struct r = {.rax = nr, .rdi = a, .rsi = b, .rdx = c, .r10 = d, .r8 = e};
	int64_t ret;
	int err = tracee_inject(t, base + (ptstub_call - ptstub_begin), &r, &ret);

	return err ? err : ret;
}

static int unmap(struct pf_thread *t, uint64_t base, uint64_t start, uint64_t end)
{
	return start < end ? (int)call_at(t, base, SYS_munmap, start, end - start, 0, 0, 0) : 0;
}

/* Where the host has sealed them they stay, and there is no vDSO for guests. */
static int vdso_move(struct pf_thread *t, uint64_t base, struct vdso_parts *v, uint64_t to)
{
	uint64_t first = v->n ? v->part[0].start : 0;

	for (unsigned i = 0; i < v->n; i++) {
		struct range *r = &v->part[i];
		uint64_t n = r->end - r->start, at = to + (r->start - first);

		if (call_at(t, base, SYS_mremap, r->start, n, n, MREMAP_MAYMOVE | MREMAP_FIXED,
			    at) != (int64_t)at)
			return -EPERM;
		*r = (struct range){at, at + n};
	}
	return 0;
}

/* Unmaps what lies around the page at TEMP_CODE and the vDSO. */
static int clear(struct pf_thread *t, const struct vdso_parts *v)
{
	uint64_t at = TEMP_CODE + PTSTUB_PAGE;
	int r = unmap(t, TEMP_CODE, 0, TEMP_CODE);

	for (unsigned i = 0; i < v->n && !r; i++) {
		r = unmap(t, TEMP_CODE, at, v->part[i].start);
		at = v->part[i].end;
	}
	return r ? r : unmap(t, TEMP_CODE, at, TASK_END);
}

static int64_t map_at(struct pf_thread *t, uint64_t base, uint64_t at)
{
	struct user_regs_struct r = {
		.rax = SYS_mmap, .rdi = at, .rsi = PTSTUB_PAGE, .rdx = PROT_READ | PROT_WRITE,
		.r10 = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, .r8 = -1UL};
	int64_t ret;
	int err = tracee_inject(t, base + (ptstub_call - ptstub_begin), &r, &ret);

	if (err)
		return err;
	return ret == (int64_t)at ? 0 : -EEXIST;
}

static int stub_install(struct pf_thread *t)
{
	size_t n = ptstub_end - ptstub_begin;
	int r = (int)map_at(t, TEMP_CODE, PTSTUB_CODE);

	if (!r)
		r = (int)map_at(t, TEMP_CODE, PTSTUB_DATA);
	if (!r && pt_memory_copy(t->space, true, (void *)ptstub_begin, PTSTUB_CODE, n) != (ssize_t)n)
		r = -EPERM;
	if (!r)
		r = (int)call_at(t, TEMP_CODE, SYS_mprotect, PTSTUB_CODE, PTSTUB_PAGE,
				 PROT_READ | PROT_EXEC, 0, 0);
	return r ? r : unmap(t, PTSTUB_CODE, TEMP_CODE, TEMP_CODE + PTSTUB_PAGE);
}

static int arrange(struct pf_thread *t, struct vdso_parts *v)
{
	uint64_t base = v->n ? v->part[0].start : 0, sysinfo = getauxval(AT_SYSINFO_EHDR);
	bool moved;
	int r = clear(t, v);

	if (r)
		return r;
	moved = v->n && vdso_move(t, TEMP_CODE, v, TEMP_VDSO) == 0;
	r = stub_install(t);
	if (r)
		return r;
	if (moved && v->part[v->n - 1].end - v->part[0].start <= PTSTUB_VDSO_SIZE &&
	    vdso_move(t, PTSTUB_CODE, v, PTSTUB_VDSO) == 0)
		t->space->p->vdso = PTSTUB_VDSO + (sysinfo - base);
	return 0;
}

static int child_ready(int sock)
{
	struct pollfd pfd = {.fd = sock, .events = POLLIN};
	char ok;

	if (poll(&pfd, 1, 10000) != 1)
		return -ETIMEDOUT;
	return read(sock, &ok, 1) == 1 ? 0 : -EPROTO;
}

static int launch(struct pf_space *s)
{
	pid_t parent = getpid();
	int sock[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sock) < 0)
		return -errno;
	s->sock = sock[0];
	/* Not fork(2) of the C library: a sanitizer starts a thread of its own in the child then. */
	s->pid = (pid_t)syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL);
	if (s->pid == 0)
		child_main(sock[1], parent);
	close(sock[1]);
	return s->pid < 0 ? -errno : child_ready(sock[0]);
}

int pt_zygote_start(struct platform *p)
{
	struct vdso_parts v;
	struct pf_space *s;
	struct pf_thread *t;
	int r = pt_space_alloc(p, &s);

	if (!r)
		r = pt_thread_alloc(s, &t);
	if (r)
		return r;
	vdso_parts_read(&v);
	r = launch(s);
	if (r)
		return r;
	t->tid = s->pid;
	pt_thread_enlist(t);
	ptrace_space_put(s);
	r = tracee_attach(t);
	if (!r)
		r = tracee_regs_get(t);
	if (!r)
		r = arrange(t, &v);
	if (!r)
		r = pt_fpu_learn(t);
	if (r) {
		log_error("ptrace: the first guest process can't be made: %s%s", strerror(-r),
			  r == -EPERM ? " (this host forbids ptrace)" : "");
		kill(s->pid, SIGKILL);
		return r;
	}
	ptrace_release(t);
	p->zygote = t;
	log_debug("ptrace: vdso %#lx, fp %zu bytes", (unsigned long)p->vdso, p->fp_size);
	return 0;
}
