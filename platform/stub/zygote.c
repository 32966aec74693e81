/* How the zygote comes into being. It is exec'd by the sentry with an empty environment and two
 * descriptors: the stub's socket (0) and its first arena (1).
 *
 *	load     copy the stub to STUB_TEXT, a stack to STUB_BOOT; go there
 *	clear    move the vDSO, unmap everything else that exec made, map the arena
 *	confine  user namespace without a map, no capabilities
 *	split    A, the exec'd process, clones B with the same memory and descriptors.
 *	         B installs the filter, whose listener appears in A's table too; A, which has no
 *	         filter, sends it to the sentry, closes all but the socket for both and exits. (The
 *	         filter has no sendmsg for B.)
 *	rest     B traps on purpose and is from then on a stopped thread like any other: new
 *	         address spaces are forks of it.
 *
 * Nothing of a guest has run yet, so the sentry believes what it is told here. */
#include <asm/sigcontext.h>
#include <asm/signal.h>
#include <asm/unistd.h>
#include <linux/auxvec.h>
#include <linux/capability.h>
#include <linux/errno.h>
#include <linux/futex.h>
#include <linux/mman.h>
#include <linux/sched.h>

#include "platform/stub/stub.h"

#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE 0x100000
#endif
#define TASK_END 0x7ffffffff000UL

/* At the start of the boot stack. */
struct boot {
	struct zygote_hello hello;
	struct zygote_config cfg;
	uint64_t vdso; /* where exec put it */
	uint32_t listener_fd;
	uint32_t filtered; /* A waits for it */
	char maps[16384];
};

#define BOOT ((struct boot *)STUB_BOOT)
/* The stacks of A and B. */
#define STACK_A (STUB_BOOT + STUB_BOOT_SIZE - 64)
#define STACK_B (STUB_BOOT + STUB_BOOT_SIZE - 0x8000)

static _Noreturn void die(int status)
{
	for (;;)
		sys1(__NR_exit_group, status);
}

static _Noreturn void zygote_main(void *arg);

static void *map_at(uint64_t at, uint64_t size, int prot)
{
	long r = sys6(__NR_mmap, at, size, prot, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE,
		      -1, 0);

	if (r != (long)at)
		die(ZYGOTE_RETRY);
	return (void *)at;
}

/* Runs where the kernel put us, on the stack that exec made. */
_Noreturn void zygote_load(uint64_t *stack)
{
	uint64_t n = stub_blob_end - stub_blob_start;
	uint64_t *p = stack + 1 + stack[0] + 1;
	struct boot *b;

	while (*p)
		p++;
	memcpy(map_at(STUB_TEXT, STUB_TEXT_SIZE, PROT_READ | PROT_WRITE), stub_blob_start, n);
	sys3(__NR_mprotect, STUB_TEXT, STUB_TEXT_SIZE, PROT_READ | PROT_EXEC);
	b = map_at(STUB_BOOT, STUB_BOOT_SIZE, PROT_READ | PROT_WRITE);
	for (p++; p[0]; p += 2) {
		if (p[0] == AT_SYSINFO_EHDR)
			b->vdso = p[1];
		if (p[0] == 26 /* AT_HWCAP2 */)
			b->hello.fsgsbase = (p[1] >> 1) & 1;
	}
	stub_jump(b, STACK_A, STUB_TEXT + ((uint64_t)zygote_main - (uint64_t)stub_blob_start));
}

static uint64_t parse_hex(const char **p)
{
	uint64_t v = 0;

	for (;; (*p)++) {
		char c = **p;

		if (c >= '0' && c <= '9')
			v = v << 4 | (c - '0');
		else if (c >= 'a' && c <= 'f')
			v = v << 4 | (c - 'a' + 10);
		else
			return v;
	}
}

static int starts_with(const char *s, const char *prefix)
{
	for (; *prefix; s++, prefix++)
		if (*s != *prefix)
			return 0;
	return 1;
}

/* Calls fn(start, end) for the mappings of the vDSO: [vvar], [vvar_vclock], [vdso]. */
static void each_vdso_part(const char *maps, void (*fn)(uint64_t start, uint64_t end, void *arg),
			   void *arg)
{
	while (*maps) {
		const char *p = maps;
		uint64_t start = parse_hex(&p), end;

		p++;
		end = parse_hex(&p);
		while (*p && *p != '\n' && *p != '[')
			p++;
		if (starts_with(p, "[vvar") || starts_with(p, "[vdso"))
			fn(start, end, arg);
		while (*p && *p != '\n')
			p++;
		maps = *p ? p + 1 : p;
	}
}

struct range {
	uint64_t start, end;
};

static void range_add(uint64_t start, uint64_t end, void *arg)
{
	struct range *r = arg;

	if (!r->start || start < r->start)
		r->start = start;
	if (end > r->end)
		r->end = end;
}

static void vdso_part_move(uint64_t start, uint64_t end, void *arg)
{
	const struct range *r = arg;

	sys5(__NR_mremap, start, end - start, end - start, MREMAP_MAYMOVE | MREMAP_FIXED,
	     STUB_VDSO + (start - r->start));
}

/* Moves vvar and vDSO, which find each other by distance, above what the guest may map. Without
 * /proc we don't know where vvar is: then there is no vDSO. */
static void vdso_move(struct boot *b)
{
	struct range r = {0};
	uint64_t n = 0;
	long fd = sys4(__NR_openat, -100, "/proc/self/maps", 0, 0), got;

	if (fd < 0 || !b->vdso)
		return;
	while (n < sizeof(b->maps) - 1) {
		got = sys3(__NR_read, fd, b->maps + n, sizeof(b->maps) - 1 - n);
		if (got <= 0)
			break;
		n += got;
	}
	sys1(__NR_close, fd);
	b->maps[n] = 0;
	each_vdso_part(b->maps, range_add, &r);
	if (!r.start || r.end - r.start > STUB_VDSO_SIZE)
		return;
	map_at(STUB_VDSO, STUB_VDSO_SIZE, PROT_NONE);
	sys2(__NR_munmap, STUB_VDSO, STUB_VDSO_SIZE);
	each_vdso_part(b->maps, vdso_part_move, &r);
	b->hello.vdso = STUB_VDSO + (b->vdso - r.start);
}

/* Fails only where the host has sealed its mappings. */
static void unmap_between(uint64_t start, uint64_t end)
{
	sys2(__NR_munmap, start, end - start);
}

/* Not before the exec: a sentry that was started by root is not dumpable, so it may not write its own. */
static void oom_score_raise(const struct boot *b)
{
	const char *s = b->cfg.oom_score;
	unsigned n = 0;
	long fd;

	while (n < sizeof(b->cfg.oom_score) && s[n])
		n++;
	if (!n)
		return;
	fd = sys4(__NR_openat, -100, "/proc/self/oom_score_adj", 1 /* O_WRONLY */, 0);
	if (fd < 0)
		return;
	sys3(__NR_write, fd, s, n);
	sys1(__NR_close, fd);
}

static void confine(struct boot *b)
{
	struct __user_cap_header_struct h = {_LINUX_CAPABILITY_VERSION_3, 0};
	struct __user_cap_data_struct d[2] = {{0}};

	if (b->cfg.want_userns)
		b->hello.userns = sys1(__NR_unshare, CLONE_NEWUSER) == 0;
	sys2(__NR_capset, &h, d);
}

static void fail(struct boot *b, unsigned step, long err)
{
	if (b->hello.err == 0) {
		b->hello.step = step;
		b->hello.err = err;
	}
}

struct kernel_sigaction {
	void *handler;
	unsigned long flags;
	void *restorer;
	uint64_t mask;
};

/* SIGSEGV and SIGBUS stay open inside handlers: see entry.c. */
static void signals_init(struct boot *b)
{
	static const unsigned char signals[] = {SIGSEGV, SIGBUS,  SIGFPE,
						SIGILL,	 SIGTRAP, SIGSYS, STUB_SIG_INTERRUPT};
	struct kernel_sigaction sa;
	stack_t ss;
	uint64_t none = 0;

	ss.ss_sp = (void *)(STUB_ARENA + SLOT_ALTSTACK);
	ss.ss_flags = 0;
	ss.ss_size = SLOT_ALTSTACK_SIZE;
	if (sys2(__NR_sigaltstack, &ss, 0))
		fail(b, 1, -EINVAL);
	sa.handler = stub_handler;
	sa.flags = SA_SIGINFO | SA_ONSTACK | SA_RESTORER | SA_NODEFER;
	sa.restorer = stub_restorer;
	sa.mask = ~(1UL << (SIGSEGV - 1) | 1UL << (SIGBUS - 1));
	for (unsigned i = 0; i < sizeof(signals); i++)
		if (sys4(__NR_rt_sigaction, signals[i], &sa, 0, 8))
			fail(b, 2, -EINVAL);
	sys4(__NR_rt_sigprocmask, 2 /* SIG_SETMASK */, &none, 0, 8);
}

static _Noreturn void zygote_b(uint64_t arg)
{
	struct boot *b = (struct boot *)arg;
	struct slot *s = (struct slot *)STUB_ARENA;
	long r;

	signals_init(b);
	if (b->cfg.sentry) {
		sys2(__NR_prctl, 1 /* PR_SET_PDEATHSIG */, 9);
		if (sys0(__NR_getppid) != b->cfg.sentry)
			die(4);
	}
	r = stub_install_filter(b->cfg.want_listener, b->cfg.sentry != 0);
	if (r < 0)
		fail(b, 3, r);
	else
		b->listener_fd = r;
	__atomic_store_n(&b->filtered, 1, __ATOMIC_RELEASE);
	sys3(__NR_futex, &b->filtered, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, 1);
	s->flags = b->hello.fsgsbase ? SLOT_FSGSBASE : 0;
	for (;;)
		__asm__ volatile("ud2");
}

struct hello_msg {
	void *name;
	uint64_t namelen;
	struct {
		void *base;
		uint64_t len;
	} * iov;
	uint64_t iovlen;
	void *control;
	uint64_t controllen;
	uint64_t flags;
};

static void hello_send(struct boot *b)
{
	struct {
		uint64_t len;
		int32_t level, type, fd, pad;
	} c = {20, 1 /* SOL_SOCKET */, 1 /* SCM_RIGHTS */, b->listener_fd, 0};
	struct {
		void *base;
		uint64_t len;
	} iov = {&b->hello, sizeof(b->hello)};
	struct hello_msg m = {0};

	m.iov = (void *)&iov;
	m.iovlen = 1;
	b->hello.listener = b->listener_fd != 0;
	if (b->hello.listener) {
		m.control = &c;
		m.controllen = 24;
	}
	sys3(__NR_sendmsg, STUB_SOCK, &m, 0);
}

/* At STUB_TEXT now, on the boot stack. */
static _Noreturn void zygote_main(void *arg)
{
	struct boot *b = arg;
	long r;

	vdso_move(b);
	unmap_between(0, STUB_TEXT);
	unmap_between(STUB_TEXT + STUB_TEXT_SIZE, STUB_BOOT);
	unmap_between(STUB_BOOT + STUB_BOOT_SIZE, STUB_VDSO);
	unmap_between(STUB_VDSO + STUB_VDSO_SIZE, TASK_END);
	r = sys6(__NR_mmap, STUB_ARENA, STUB_ARENA_SIZE, PROT_READ | PROT_WRITE,
		 MAP_SHARED | MAP_FIXED, 1, 0);
	if (r != (long)STUB_ARENA)
		die(2);
	sys3(__NR_madvise, STUB_ARENA, STUB_ARENA_SIZE, 10 /* MADV_DONTFORK */);
	b->cfg = *(struct zygote_config *)(STUB_ARENA + SLOT_WINDOW);
	if (b->cfg.want_paths &&
	    sys6(__NR_mmap, STUB_PATHS, STUB_PATHS_SIZE, PROT_READ, MAP_SHARED | MAP_FIXED,
		 STUB_PATHS_FD, 0) != (long)STUB_PATHS)
		die(2);
	oom_score_raise(b);
	confine(b);
	b->hello.magic = ZYGOTE_MAGIC;
	r = stub_clone(CLONE_VM | CLONE_FILES | CLONE_PARENT | SIGCHLD, STACK_B, zygote_b,
		       (uint64_t)b);
	if (r < 0)
		die(3);
	b->hello.pid = r;
	while (!__atomic_load_n(&b->filtered, __ATOMIC_ACQUIRE))
		sys4(__NR_futex, &b->filtered, FUTEX_WAIT | FUTEX_PRIVATE_FLAG, 0, 0);
	hello_send(b);
	sys3(__NR_close_range, STUB_SOCK + 1, ~0U, 0);
	die(0);
}
