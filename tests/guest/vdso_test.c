/* The vDSO: its headers as a C library reads them, and what its functions tell. */
#include <elf.h>
#include <link.h>
#include <sched.h>
#include <stdint.h>
#include <sys/auxv.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "tests/guest/check.h"

static const char *base;
static const ElfW(Sym) *syms;
static const char *strings;
static size_t nsyms;

static void *symbol(const char *name)
{
	for (size_t i = 0; i < nsyms; i++)
		if (syms[i].st_shndx != SHN_UNDEF && !strcmp(strings + syms[i].st_name, name))
			return (void *)(base + syms[i].st_value);
	return NULL;
}

static void open_vdso(void)
{
	const ElfW(Ehdr) *e;
	const ElfW(Phdr) *ph;
	const ElfW(Dyn) *dyn = NULL;
	const uint32_t *hash = NULL;

	base = (const char *)getauxval(AT_SYSINFO_EHDR);
	REQUIRE(base);
	e = (const void *)base;
	REQUIRE(!memcmp(e->e_ident, ELFMAG, SELFMAG));
	CHECK_EQ(e->e_type, ET_DYN);
	ph = (const void *)(base + e->e_phoff);
	for (int i = 0; i < e->e_phnum; i++)
		if (ph[i].p_type == PT_DYNAMIC)
			dyn = (const void *)(base + ph[i].p_vaddr);
	REQUIRE(dyn);
	for (; dyn->d_tag; dyn++) {
		const char *p = base + dyn->d_un.d_ptr;

		if (dyn->d_un.d_ptr > (uintptr_t)base)
			p = (const char *)dyn->d_un.d_ptr; /* relocated by the C library */
		if (dyn->d_tag == DT_SYMTAB)
			syms = (const void *)p;
		else if (dyn->d_tag == DT_STRTAB)
			strings = p;
		else if (dyn->d_tag == DT_HASH)
			hash = (const void *)p;
	}
	REQUIRE(syms && strings);
	nsyms = hash ? hash[1] : ((const char *)strings - (const char *)syms) / sizeof(*syms);
}

static int64_t ns(const struct timespec *t)
{
	return t->tv_sec * 1000000000LL + t->tv_nsec;
}

static void clocks(void)
{
	int (*get)(int, struct timespec *) = symbol("__vdso_clock_gettime");
	int (*res)(int, struct timespec *) = symbol("__vdso_clock_getres");
	static const int ids[] = {CLOCK_REALTIME, CLOCK_MONOTONIC, CLOCK_REALTIME_COARSE,
				  CLOCK_MONOTONIC_COARSE, CLOCK_MONOTONIC_RAW, CLOCK_BOOTTIME,
				  CLOCK_TAI, CLOCK_PROCESS_CPUTIME_ID, CLOCK_THREAD_CPUTIME_ID};

	REQUIRE(get && res);
	for (size_t i = 0; i < sizeof(ids) / sizeof(ids[0]); i++) {
		struct timespec a, b, c;

		CHECK_EQ(get(ids[i], &a), 0);
		CHECK_EQ(syscall(SYS_clock_gettime, ids[i], &b), 0);
		CHECK_EQ(get(ids[i], &c), 0);
		/* Coarse clocks may lag behind a tick. */
		CHECK(ns(&a) <= ns(&b) + 10000000 && ns(&b) <= ns(&c) + 10000000);
		CHECK(ns(&c) - ns(&a) < 2000000000LL);
		CHECK_EQ(res(ids[i], &a), 0);
	}
	CHECK_EQ(get(1234, &(struct timespec){0}), -EINVAL);
	CHECK_EQ(clock_gettime(1234, &(struct timespec){0}), -1);
}

static void monotonic(void)
{
	struct timespec last, now;

	clock_gettime(CLOCK_MONOTONIC, &last);
	for (int i = 0; i < 100000; i++) {
		clock_gettime(CLOCK_MONOTONIC, &now);
		if (ns(&now) < ns(&last)) {
			CHECK_FAIL("time went back");
			return;
		}
		last = now;
	}
}

static void others(void)
{
	int (*gtod)(struct timeval *, struct timezone *) = symbol("__vdso_gettimeofday");
	time_t (*tm)(time_t *) = symbol("__vdso_time");
	long (*cpu)(unsigned *, unsigned *, void *) = symbol("__vdso_getcpu");
	struct timeval tv;
	time_t t, now = (time_t)syscall(SYS_time, NULL);
	unsigned c = 9999, n = 9999;

	REQUIRE(gtod && tm && cpu);
	CHECK_EQ(gtod(&tv, NULL), 0);
	CHECK(tv.tv_sec - now >= 0 && tv.tv_sec - now < 5);
	CHECK_EQ(tm(&t), t);
	CHECK(t - now >= 0 && t - now < 5);
	CHECK_EQ(cpu(&c, &n, NULL), 0);
	CHECK(c < 4096 && n < 1024);
	CHECK(symbol("no_such_function") == NULL);
}

int main(void)
{
	open_vdso();
	clocks();
	monotonic();
	others();
	return check_status();
}
