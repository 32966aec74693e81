/* The guest's vDSO: runs in the guest, so it may use nothing but itself. Each function jumps to the
 * host's vDSO through the table behind the code, which the loader fills for the stub's address
 * space, or makes the system call. The offsets of the functions depend on this file alone: pointers
 * that a C library keeps survive a restore on a host with another vDSO. */
#include <linux/time_types.h>
#include <stdint.h>
#include <sys/syscall.h>

#include "sentry/vdso/vdso_table.h"

struct timeval_guest;
struct timezone_guest;

const struct vdso_table vdso_table __attribute__((section(".table"), visibility("hidden"))) = {0};

/* Volatile: the zeros above are not what will be there. */
#define TARGET(name) (((const volatile struct vdso_table *)&vdso_table)->name)

static inline long syscall3(long nr, const void *a, const void *b, const void *c)
{
	long r;

	__asm__ volatile("syscall" : "=a"(r) : "0"(nr), "D"(a), "S"(b), "d"(c)
			 : "rcx", "r11", "memory");
	return r;
}

int __vdso_clock_gettime(int clock, struct __kernel_timespec *ts);
int __vdso_clock_getres(int clock, struct __kernel_timespec *ts);
int __vdso_gettimeofday(struct timeval_guest *tv, struct timezone_guest *tz);
long __vdso_time(long *t);
long __vdso_getcpu(unsigned *cpu, unsigned *node, void *unused);

int __vdso_clock_gettime(int clock, struct __kernel_timespec *ts)
{
	uint64_t f = TARGET(clock_gettime);

	if (f)
		return ((int (*)(int, void *))f)(clock, ts);
	return (int)syscall3(SYS_clock_gettime, (void *)(long)clock, ts, 0);
}

int __vdso_clock_getres(int clock, struct __kernel_timespec *ts)
{
	uint64_t f = TARGET(clock_getres);

	if (f)
		return ((int (*)(int, void *))f)(clock, ts);
	return (int)syscall3(SYS_clock_getres, (void *)(long)clock, ts, 0);
}

int __vdso_gettimeofday(struct timeval_guest *tv, struct timezone_guest *tz)
{
	uint64_t f = TARGET(gettimeofday);

	if (f)
		return ((int (*)(void *, void *))f)(tv, tz);
	return (int)syscall3(SYS_gettimeofday, tv, tz, 0);
}

long __vdso_time(long *t)
{
	uint64_t f = TARGET(time);

	if (f)
		return ((long (*)(long *))f)(t);
	return syscall3(SYS_time, t, 0, 0);
}

long __vdso_getcpu(unsigned *cpu, unsigned *node, void *unused)
{
	uint64_t f = TARGET(getcpu);

	if (f)
		return ((long (*)(unsigned *, unsigned *, void *))f)(cpu, node, unused);
	return syscall3(SYS_getcpu, cpu, node, unused);
}

#define ALIAS(name) __typeof__(__vdso_##name) name __attribute__((weak, alias("__vdso_" #name)))
ALIAS(clock_gettime);
ALIAS(clock_getres);
ALIAS(gettimeofday);
ALIAS(time);
ALIAS(getcpu);
